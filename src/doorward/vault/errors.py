"""What can go wrong with the key ring, and what to do about it."""

from doorward.hall.errors import ConflictError, InvalidInputError


class KeyRingError(ConflictError):
    """The key ring cannot be used as it is."""

    code = "vault.key_ring"
    advice = "Nothing was changed. See docs/howto/key-ring.md, and `doorward vault status`."


class DamagedRingError(KeyRingError):
    """The key ring's file is not a key ring, or was changed."""

    code = "vault.ring_damaged"
    advice = "Nothing was changed. Put your copy of the file in its place (docs/howto/key-ring.md, “Back up”)."


class NewerRingError(KeyRingError):
    """The key ring's file was made by a newer Doorward."""

    code = "vault.ring_newer"
    advice = "Nothing was changed. Run that version, or a newer one."


class FileThereError(KeyRingError):
    """There is a file of this name already."""

    code = "vault.file_there"
    advice = "Nothing was changed. Move it away if it is not needed any more."


class WrongKeyError(KeyRingError):
    """This key or passphrase does not open the key ring."""

    code = "vault.wrong_key"
    advice = "Nothing was changed. Give the right one, or open the ring with its recovery sheet."


class WeakPassphraseError(KeyRingError):
    """This passphrase can be guessed."""

    code = "vault.weak_passphrase"
    advice = "Nothing was changed. Take six random words: whoever has the file can guess as long as they like."


class RecoverySheetError(WrongKeyError):
    """This is not what stands on the recovery sheet."""

    code = "vault.recovery_sheet"
    advice = "Nothing was changed. Compare with the sheet letter by letter; its ring must be the one of this file."


class KeyServiceAwayError(KeyRingError):
    """The key service cannot be reached."""

    code = "vault.key_service_away"
    status = 503
    advice = "Nothing was changed. Bring it back, or open the ring with its recovery sheet."


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


class ShredListError(KeyRingError):
    """The list of shredded people cannot be read or written."""

    code = "vault.shred_list"
    advice = (
        "Put an intact copy of the list in its place, from another node or the machine that ran before. If the database"
        " was not restored since, you may also move the file away: it is then written anew from the database."
    )


class ReceiptError(InvalidInputError):
    """This is not a receipt of shredding."""

    code = "vault.receipt"
    advice = "Give the file as it was handed out, and the public key that `doorward vault status` showed."


class HoneyFullError(ConflictError):
    """There is no room for another honey record."""

    code = "vault.honey_full"
    advice = "Remove one that you do not need: `doorward vault honey list` and `remove`."
