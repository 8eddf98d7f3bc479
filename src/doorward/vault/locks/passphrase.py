"""The lock `passphrase`: Argon2id (RFC 9106) makes the key of a passphrase that somebody knows.

1. The passphrase comes from `DOORWARD_VAULT_PASSPHRASE`, from the file of `DOORWARD_VAULT_PASSPHRASE_FILE`, from the
   terminal, or later through `doorward vault unlock`: it is kept nowhere.
2. Salt and costs stand in the ring's file. A new lock costs 64 MiB and three passes (RFC 9106's second choice); costs
   below OWASP's floor of 19 MiB and two passes are refused, so that nobody can weaken the file, and so are costs that
   would take the machine's memory.
3. The file may be copied, so guessing goes on elsewhere, without limit: a passphrase that zxcvbn guesses within 10^14
   tries is refused (at a thousand guesses a second and card, a thousand cards need three years).
"""

import os
import unicodedata
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec
from argon2.exceptions import HashingError
from argon2.low_level import Type, hash_secret_raw
from msgspec import Meta
from zxcvbn import zxcvbn

from doorward.hall.errors import VaultLockedError
from doorward.vault.envelope import KEY_BYTES
from doorward.vault.errors import KeyRingError, WeakPassphraseError, WrongKeyError
from doorward.vault.locks.lock import KeyLock, LockEntry
from doorward.vault.site import Site
from doorward.vault.terminal import ask_secret

KIND: Final = "passphrase"
LONGEST: Final = 1_024
MINIMUM_GUESSES_LOG10: Final = 14.0
_ADVICE: Final = "take six random words, or 16 random characters"


class Costs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Argon2id's parameters, with the limits between which a file may set them (rule 2)."""

    salt: Annotated[str, Meta(pattern="^[0-9a-f]{32,128}$", max_length=128)]
    memory_kib: Annotated[int, Meta(ge=19_456, le=1_048_576)] = 65_536
    passes: Annotated[int, Meta(ge=2, le=20)] = 3
    lanes: Annotated[int, Meta(ge=1, le=16)] = 4


@dataclass(frozen=True, slots=True)
class PassphraseLock:
    """A lock that somebody's memory opens."""

    passphrase: str
    costs: Costs | None = None  # for new wrappings; None: the usual ones
    kind: str = KIND
    is_service: bool = False

    def __repr__(self) -> str:
        return "PassphraseLock(…)"

    def wrap(self, key: bytes, context: bytes) -> LockEntry:
        """See `Lock.wrap`: each wrapping has a fresh salt."""
        costs = self.costs or Costs(salt=os.urandom(16).hex())
        return self._lock(costs).wrap(key, context)

    def unwrap(self, entry: LockEntry, context: bytes) -> bytes:
        """See `Lock.unwrap`."""
        try:
            costs = msgspec.convert(entry.parameters, Costs)
        except msgspec.ValidationError as error:
            raise KeyRingError("The key ring's file is damaged: its passphrase's costs are out of bounds.") from error
        return self._lock(costs).unwrap(entry, context)

    def _lock(self, costs: Costs) -> KeyLock:
        # NFKC, because keyboards differ in how they compose letters (NIST SP 800-63B, 5.1.1.2).
        secret = unicodedata.normalize("NFKC", self.passphrase).encode()
        try:
            key = hash_secret_raw(
                secret, bytes.fromhex(costs.salt), costs.passes, costs.memory_kib, costs.lanes, KEY_BYTES, Type.ID
            )
        except HashingError as error:
            raise KeyRingError("There is not enough memory for the passphrase's costs.") from error
        return KeyLock(KIND, key, msgspec.to_builtins(costs))


def configured(site: Site, *, makes: bool = False) -> PassphraseLock:
    """The lock of a configuration; without a passphrase there, the terminal is asked.

    Raises:
        VaultLockedError: there is no passphrase and nobody to ask. With `makes`: WrongKeyError if there is none, and
        WeakPassphraseError if it can be guessed.
    """
    passphrase = site.settings.passphrase or _asked(twice=makes)
    if not passphrase and makes:
        raise WrongKeyError("There is no passphrase for the key ring, and nobody to ask for one.")
    if not passphrase:
        raise VaultLockedError("The key ring is locked by a passphrase that is not at hand.")
    return of_passphrase(passphrase, makes=makes)


def of_passphrase(passphrase: str, *, makes: bool = False) -> PassphraseLock:
    """The lock of a passphrase. `makes`: it is a new one, so it is judged.

    Raises:
        WeakPassphraseError: it can be guessed. WrongKeyError: longer than any that we take.
    """
    if len(passphrase) > LONGEST:
        raise WrongKeyError
    if makes and (problem := weakness(passphrase)):
        raise WeakPassphraseError(f"The passphrase {problem}.")
    return PassphraseLock(passphrase)


def weakness(passphrase: str) -> str:
    """Why a passphrase must not be used (rule 3); empty if nothing speaks against it. Never quotes it."""
    if len(passphrase) > LONGEST:
        return f"is longer than {LONGEST} characters"
    guesses = float(zxcvbn(passphrase[:72], user_inputs=["doorward", "vault"])["guesses_log10"])
    return f"can be guessed in about 10^{guesses:.0f} tries: {_ADVICE}" if guesses < MINIMUM_GUESSES_LOG10 else ""


def _asked(*, twice: bool) -> str:
    first = ask_secret("New passphrase of the key ring: " if twice else "Passphrase of the key ring: ")
    if twice and first and ask_secret("Once more: ") != first:
        raise WrongKeyError("The two passphrases are not the same.")
    return first
