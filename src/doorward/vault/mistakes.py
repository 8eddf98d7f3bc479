"""What does not fit in the section `[vault]`, for `doorward config check`."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from doorward.vault.locks import choice, environment, passphrase
from doorward.vault.settings import VaultSettings

_BELONGS: Final = {
    "key_path": "key-file",
    "key": "environment",
    "passphrase": "passphrase",
    "pkcs11_module": "pkcs11",
    "pkcs11_token": "pkcs11",
    "pkcs11_key": "pkcs11",
    "pin": "pkcs11",
}
_NEEDED: Final = {
    "environment": {"key": f"set DOORWARD_VAULT_KEY or …_KEY_FILE to {environment.ADVICE}"},
    "pkcs11": {
        "pkcs11_module": "name the module's library, such as `/usr/lib/softhsm/libsofthsm2.so`",
        "pkcs11_token": "name the token's label",
        "pkcs11_key": "name the label of an AES key in the token",
        "pin": "set DOORWARD_VAULT_PIN or …_PIN_FILE",
    },
}


@dataclass(frozen=True, slots=True)
class RingMistake:
    """One mistake; `name` is the setting to change."""

    name: str
    problem: str
    suggestion: str
    is_fatal: bool = True


def mistakes(settings: VaultSettings) -> Iterator[RingMistake]:
    """Everything that does not fit. Never quotes a secret."""
    kinds = choice.kinds()
    if settings.unlock not in kinds:
        yield RingMistake("unlock", "is no lock that Doorward knows", f"there are {', '.join(kinds)}")
        return
    for name, advice in _NEEDED.get(settings.unlock, {}).items():
        if not getattr(settings, name):
            yield RingMistake(name, f'is empty, and `vault.unlock` is "{settings.unlock}"', advice)
    for name, kind in _BELONGS.items():
        if getattr(settings, name) and settings.unlock != kind:
            problem = f'is not used, because `vault.unlock` is "{settings.unlock}"'
            yield RingMistake(name, problem, f'`unlock = "{kind}"`, or take it away', is_fatal=False)
    yield from _weak(settings)


def _weak(settings: VaultSettings) -> Iterator[RingMistake]:
    if settings.key and (problem := environment.weakness(settings.key)):
        yield RingMistake("key", problem, environment.ADVICE)
    if settings.passphrase and (problem := passphrase.weakness(settings.passphrase)):
        advice = "choose another with `doorward vault rekey`"
        yield RingMistake("passphrase", problem, advice, is_fatal=False)
