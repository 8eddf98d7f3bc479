"""The lock `pkcs11`: an AES key that never leaves a hardware module (or SoftHSM) wraps the ring's key.

1. AES-256-GCM on the module (PKCS#11 v3.0, CKM_AES_GCM) with a random nonce and the ring's context as associated data:
   the key needs the rights to encrypt and decrypt only, and is neither extractable nor ever seen here.
2. What the module answers is sorted into three: it opens; it says no (the key is gone, the PIN is refused, the tag is
   wrong); or it cannot be reached, which says nothing about the key.
3. Each question has a session of its own. After a failure the module is initialised again before the next one, since
   some (SoftHSM among them) stay broken when their token was away for a moment.
"""

import importlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from doorward.hall.hidden import Unprinted
from doorward.vault.envelope import KEY_BYTES
from doorward.vault.errors import KeyRingError, KeyServiceAwayError, WrongKeyError
from doorward.vault.locks.lock import LockEntry
from doorward.vault.site import Site

KIND: Final = "pkcs11"
_NONCE_BYTES: Final = 12
_TAG_BITS: Final = 128
_REFUSALS: Final = (
    "NoSuchKey", "PinIncorrect", "PinLocked", "PinExpired", "PinInvalid", "PinLenRange", "UserPinNotInitialized",
)  # fmt: skip
_ONE_AT_A_TIME: Final = threading.Lock()  # a process has one login state per module
_BROKEN: Final[set[str]] = set()  # modules to be initialised again (rule 3)


@dataclass(frozen=True, slots=True, repr=False)
class Pkcs11Lock(Unprinted):
    """A lock whose key is in a token."""

    module: str
    token: str
    label: str
    pin: str = field(repr=False)
    kind: str = KIND
    is_service: bool = True

    def wrap(self, key: bytes, context: bytes) -> LockEntry:
        """See `Lock.wrap`."""
        nonce = os.urandom(_NONCE_BYTES)
        with self._key() as (token_key, pkcs11):
            sealed = token_key.encrypt(key, **_gcm(pkcs11, nonce, context))
        return LockEntry(kind=KIND, parameters={"token": self.token, "key": self.label}, wrapped=nonce + sealed)

    def unwrap(self, entry: LockEntry, context: bytes) -> bytes:
        """See `Lock.unwrap`."""
        nonce, sealed = entry.wrapped[:_NONCE_BYTES], entry.wrapped[_NONCE_BYTES:]
        if len(sealed) != KEY_BYTES + _TAG_BITS // 8:
            raise WrongKeyError
        with self._key() as (token_key, pkcs11):
            try:
                return bytes(token_key.decrypt(sealed, **_gcm(pkcs11, nonce, context)))
            except pkcs11.exceptions.PKCS11Error as error:  # the key is there and at work: so it is the wrong one
                raise WrongKeyError("The key in the token does not open the key ring.") from error

    @contextmanager
    def _key(self) -> Iterator[tuple[Any, Any]]:
        """A session with the key in the token (rule 2)."""
        pkcs11 = _binding()
        with _ONE_AT_A_TIME:
            try:
                with self._session(pkcs11) as session:
                    yield session.get_key(label=self.label, object_class=pkcs11.ObjectClass.SECRET_KEY), pkcs11
            except _refusals(pkcs11) as error:
                raise WrongKeyError(f"The token refuses: {type(error).__name__}.") from error
            except (pkcs11.exceptions.PKCS11Error, RuntimeError, OSError) as error:
                _BROKEN.add(self.module)
                raise KeyServiceAwayError(f"The token does not answer: {type(error).__name__}.") from error

    def _session(self, pkcs11: Any) -> Any:
        library = pkcs11.lib(self.module)
        if self.module in _BROKEN:
            library.reinitialize()
            _BROKEN.discard(self.module)
        return library.get_token(token_label=self.token).open(user_pin=self.pin)


def configured(site: Site, *, makes: bool = False) -> Pkcs11Lock:
    """The lock of a configuration; `makes` changes nothing: the key in the token is made by its owner.

    Raises:
        KeyRingError: the configuration names no module, token or key, or no PIN.
    """
    del makes
    settings = site.settings
    if missing := [name for name, value in _needed(site).items() if not value]:
        raise KeyRingError(f"`vault.unlock` is `pkcs11`, and {' and '.join(missing)} is missing.")
    return Pkcs11Lock(settings.pkcs11_module, settings.pkcs11_token, settings.pkcs11_key, settings.pin)


def _needed(site: Site) -> dict[str, str]:
    settings = site.settings
    return {
        "`vault.pkcs11_module`": settings.pkcs11_module,
        "`vault.pkcs11_token`": settings.pkcs11_token,
        "`vault.pkcs11_key`": settings.pkcs11_key,
        "the PIN (DOORWARD_VAULT_PIN or its file)": settings.pin,
    }


def _binding() -> Any:
    try:
        return importlib.import_module("pkcs11")
    except ImportError as error:
        raise KeyRingError("Hardware modules need the extra `pkcs11`: pip install 'doorward[pkcs11]'.") from error


def _gcm(pkcs11: Any, nonce: bytes, context: bytes) -> dict[str, Any]:
    parameters = pkcs11.GCMParams(nonce, context, _TAG_BITS)
    return {"mechanism": pkcs11.Mechanism.AES_GCM, "mechanism_param": parameters}


def _refusals(pkcs11: Any) -> tuple[type[Exception], ...]:
    names = (
        "NoSuchKey",
        "PinIncorrect",
        "PinLocked",
        "PinExpired",
        "PinInvalid",
        "PinLenRange",
        "UserPinNotInitialized",
    )
    return tuple(getattr(pkcs11.exceptions, name) for name in names)
