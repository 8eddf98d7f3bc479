"""A hardware module for tests: Debian's SoftHSM, with a token in a temporary directory."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import servers

MODULES = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so")
PIN = "4711-4711"

ON_TOKEN = """
import sys, pkcs11
module, pin, what = sys.argv[1:4]
with pkcs11.lib(module).get_token(token_label="doorward").open(user_pin=pin, rw=True) as session:
    if what == "make":
        session.generate_key(pkcs11.KeyType.AES, 256, label="ring", store=True)
    else:
        session.get_key(label="ring", object_class=pkcs11.ObjectClass.SECRET_KEY).destroy()
"""


class SoftHsm:
    """One token called `doorward` with an AES key called `ring`; its files lie in `tokens`."""

    def __init__(self, folder: Path) -> None:
        found = next((path for path in MODULES if Path(path).exists()), None)
        if found is None or shutil.which("softhsm2-util") is None:
            servers.absent("SoftHSM: Debian's package softhsm2 is not installed")
        self.module = found
        self.tokens = folder / "tokens"
        self.tokens.mkdir()
        file = folder / "softhsm2.conf"
        file.write_text(f"directories.tokendir = {self.tokens}\nobjectstore.backend = file\nlog.level = ERROR\n")
        self.environment = {"SOFTHSM2_CONF": str(file)}
        self._run(
            "softhsm2-util", "--init-token", "--free", "--label", "doorward", "--so-pin", "0815-0815", "--pin", PIN
        )
        self.make_key()

    def settings(self) -> dict[str, object]:
        """The section `[vault]` for it."""
        return {
            "unlock": "pkcs11", "pkcs11_module": self.module, "pkcs11_token": "doorward", "pkcs11_key": "ring",
            "pin": PIN,
        }  # fmt: skip

    def make_key(self) -> None:
        """Make the key, as the token's owner does with any tool."""
        self._on_token("make")

    def revoke_key(self) -> None:
        """Destroy the key, from another process."""
        self._on_token("destroy")

    def go_away(self) -> None:
        """The token cannot be reached."""
        self.tokens.rename(self.tokens.with_name("away"))

    def come_back(self) -> None:
        """The token can be reached again."""
        self.tokens.with_name("away").rename(self.tokens)

    def _on_token(self, what: str) -> None:
        self._run(sys.executable, "-c", ON_TOKEN, self.module, PIN, what)

    def _run(self, *command: str) -> None:
        environment = {**os.environ, **self.environment}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
