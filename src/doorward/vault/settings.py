"""How the key ring is kept and unlocked."""

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from doorward.hall.hidden import Unprinted

_SECRET = {"secret": True}


class VaultSettings(Unprinted, msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The section `[vault]`."""

    ring: Annotated[
        str,
        Meta(max_length=1000, description="File of the key ring; empty: `keyring.json` in `stores.data_directory`."),
    ] = ""
    unlock: Annotated[
        str,
        Meta(
            max_length=32,
            description="What opens the key ring: `key-file`, `environment`, `passphrase`, `pkcs11`, or another lock"
            " that was added (docs/howto/key-ring.md).",
        ),
    ] = "key-file"
    key_path: Annotated[
        str,
        Meta(
            max_length=1000,
            description="`key-file`: file of the key that opens the ring, made at the first start; empty:"
            " `keyring.key` beside it.",
        ),
    ] = ""
    key: Annotated[
        str,
        Meta(
            max_length=200,
            description="`environment`: the key itself, 32 random bytes in hexadecimal or base 64; give it in the"
            " variable, or in a secret file such as `/run/secrets/vault-key` that the variable with `_FILE` names.",
            extra=_SECRET,
        ),
    ] = ""
    passphrase: Annotated[
        str,
        Meta(
            max_length=1024,
            description="`passphrase`: what opens the ring. Empty: asked for on the terminal; without one, the server"
            " waits for `doorward vault unlock`.",
            extra=_SECRET,
        ),
    ] = ""
    pkcs11_module: Annotated[
        str,
        Meta(max_length=1000, description="`pkcs11`: the module's library, e.g. `/usr/lib/softhsm/libsofthsm2.so`."),
    ] = ""
    pkcs11_token: Annotated[str, Meta(max_length=32, description="`pkcs11`: the token's label.")] = ""
    pkcs11_key: Annotated[str, Meta(max_length=100, description="`pkcs11`: label of the AES key in the token.")] = ""
    pin: Annotated[
        str,
        Meta(max_length=256, description="`pkcs11`: the PIN of the token's user.", extra=_SECRET),
    ] = ""
    lock_options: Annotated[
        tuple[Annotated[str, Meta(max_length=500, pattern="^[a-z0-9_]+=")], ...],
        Meta(max_length=32, description='What an added lock needs to know, as `["name=value"]`; nothing secret.'),
    ] = ()
    check_every_seconds: Annotated[
        float,
        Meta(
            ge=1,
            le=86_400,
            description="Seconds after which a key that lies in a service (a hardware module, a cloud) is asked for"
            " again.",
        ),
    ] = 60.0
    rotate_every_days: Annotated[
        float,
        Meta(ge=0, le=3_650, description="Days after which the key-encryption key is replaced by itself; 0: never."),
    ] = 90.0
    outage_hours: Annotated[
        float,
        Meta(
            ge=0, le=720, description="Hours for which the vault stays open while the key's service cannot be reached."
        ),
    ] = 24.0
    revoked_minutes: Annotated[
        float,
        Meta(
            ge=0, le=1_440, description="Minutes for which the vault stays open after the service has refused the key."
        ),
    ] = 10.0

    def ring_path(self, data_directory: str) -> Path:
        """The ring's file, with the default filled in."""
        return Path(self.ring) if self.ring else Path(data_directory) / "keyring.json"

    def path_of_key(self, data_directory: str) -> Path:
        """The key's file, with the default filled in."""
        return Path(self.key_path) if self.key_path else self.ring_path(data_directory).with_name("keyring.key")

    def option(self, name: str) -> str:
        """The value of one of `lock_options`; empty if it is not there."""
        return next((text.partition("=")[2] for text in self.lock_options if text.partition("=")[0] == name), "")
