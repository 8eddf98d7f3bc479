"""What can go wrong with the key ring, and what to do about it."""

from doorward.hall.errors import ConflictError


class KeyRingError(ConflictError):
    """The key ring cannot be used as it is."""

    code = "vault.key_ring"
    advice = "Nothing was changed. See docs/howto/key-ring.md, and `doorward vault status`."


class WrongKeyError(KeyRingError):
    """This key or passphrase does not open the key ring."""

    code = "vault.wrong_key"
    advice = "Nothing was changed. Give the right one, or open the ring with its recovery sheet."


class RingMissingError(KeyRingError):
    """The database is sealed, and its key ring is not here."""

    code = "vault.ring_missing"
    advice = (
        "Nothing was changed. Put the key ring's file back where `vault.ring` says, from the machine that ran before or"
        " from your copy of it. Without it nobody can read the personal values."
    )


class WrongRingError(KeyRingError):
    """This key ring belongs to another database."""

    code = "vault.wrong_ring"
    advice = "Nothing was changed. Point `vault.ring` (or `stores.database`) at the one that belongs to it."
