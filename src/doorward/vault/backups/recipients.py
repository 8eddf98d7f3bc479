"""Who can open a backup: this instance's key ring, or the holders of age identities.

The ring's key pair is a hybrid of ML-KEM-768 (FIPS 203) and X25519, used through HPKE (RFC 9180): a thief who keeps a
backup until there are quantum computers has nothing either. Both halves are derived from the ring, so that the ring is
all that must be kept.
"""

from collections.abc import Sequence
from typing import Any, Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from doorward.vault.backups.errors import BackupError, BackupForeignError
from doorward.vault.ring import Ring

RING: Final = "ring"
AGE: Final = "age"
_MLKEM_SEED_BYTES: Final = 64
_X25519_BYTES: Final = 32
_SUITE: Final = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)


class Recipient(Protocol):
    """Wraps the key of a file for whoever may open it."""

    @property
    def kind(self) -> str:
        """The word for it in a backup's head."""
        ...

    def wrap(self, key: bytes, head: bytes) -> bytes:
        """The file's key for the recipient, bound to the backup's head where the method can do that."""
        ...


class Identity(Protocol):
    """Unwraps the key of a file."""

    @property
    def kind(self) -> str:
        """Of which kind of recipient it is the private side."""
        ...

    @property
    def ring_id(self) -> str:
        """Whose backups it opens: a key ring's id, empty for anybody's."""
        ...

    def unwrap(self, wrapped: bytes, head: bytes) -> bytes:
        """The file's key.

        Raises:
            BackupForeignError: it was wrapped for somebody else, or the head was changed.
        """
        ...


class RingRecipient:
    """This instance: both sides, for who has the ring can make and open backups."""

    kind = RING

    def __init__(self, ring: Ring) -> None:
        """Derive the key pair."""
        self.ring_id = ring.ring_id
        seed = HKDF(SHA256(), _MLKEM_SEED_BYTES + _X25519_BYTES, salt=None, info=b"doorward/backup/1").derive(
            ring.backup_root
        )
        self._private = hpke.MLKEM768X25519PrivateKey(
            MLKEM768PrivateKey.from_seed_bytes(seed[:_MLKEM_SEED_BYTES]),
            X25519PrivateKey.from_private_bytes(seed[_MLKEM_SEED_BYTES:]),
        )

    def wrap(self, key: bytes, head: bytes) -> bytes:
        """See `Recipient.wrap`."""
        return _SUITE.encrypt(key, self._private.public_key(), head)

    def unwrap(self, wrapped: bytes, head: bytes) -> bytes:
        """See `Identity.unwrap`."""
        try:
            return _SUITE.decrypt(wrapped, self._private, head)
        except (InvalidTag, ValueError) as error:
            raise BackupForeignError from error


class AgeRecipients:
    """Holders of age identities (`age1…`): the machine that makes backups cannot open them."""

    kind = AGE

    def __init__(self, recipients: Sequence[str]) -> None:
        """Raises BackupError: not such recipients, or the extra `doorward[age]` is not installed."""
        age = _age()
        try:
            self._recipients = [age.x25519.Recipient.from_str(one) for one in recipients]
        except age.RecipientError as error:
            raise BackupError("`backup.recipients` must hold public keys of age, `age1…`.") from error

    def wrap(self, key: bytes, _head: bytes) -> bytes:
        """See `Recipient.wrap`; age binds nothing, the head is bound by the payload's key."""
        return bytes(_age().encrypt(key, self._recipients))


class AgeIdentity:
    """The private side of an age recipient, `AGE-SECRET-KEY-1…`."""

    kind = AGE
    ring_id = ""

    def __init__(self, text: str) -> None:
        """Read the file that `age-keygen` wrote, or its one line.

        Raises:
            BackupError: there is no identity in it, or the extra `doorward[age]` is not installed.
        """
        age = _age()
        lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
        try:
            self._identities = [age.x25519.Identity.from_str(line) for line in lines]
        except age.IdentityError as error:
            raise BackupError("The file does not hold an age identity, `AGE-SECRET-KEY-1…`.") from error

    def unwrap(self, wrapped: bytes, _head: bytes) -> bytes:
        """See `Identity.unwrap`."""
        age = _age()
        try:
            return bytes(age.decrypt(wrapped, self._identities))
        except age.DecryptError as error:
            raise BackupForeignError("This age identity does not open the backup.") from error


def _age() -> Any:
    try:
        import pyrage  # noqa: PLC0415  # an extra
    except ImportError as error:
        raise BackupError("age recipients need their library: pip install 'doorward[age]'") from error
    return pyrage
