"""`doorward tls`: what the listener shows, and an authority of this machine's own for development."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from doorward.hall.clock import SystemClock
from doorward.hall.errors import DoorwardError
from doorward.vault import local_ca
from doorward.vault.commands import Json, answered, say
from doorward.vault.tls_pair import CertificateError, Pair
from doorward.vault.tls_settings import local_directory
from doorward.vault.tls_site import LoadTls, TlsSite, shown_by

_TRUST = """To trust it on this machine only, which permits it these names and no others:
  curl       curl --cacert {path} https://localhost:{port}/
  Debian     sudo cp {path} /usr/local/share/ca-certificates/doorward-local.crt && sudo update-ca-certificates
  macOS      sudo security add-trusted-cert -d -r trustRoot -k /Library/Keychains/System.keychain {path}
  browsers   Firefox and Chromium import it under Settings, Certificates, Authorities
Then set `mode = "local"` under [tls], or run: DOORWARD_TLS_MODE=local doorward serve"""


def tls_app(load: LoadTls) -> typer.Typer:
    """The commands under `doorward tls`; `load` reads the configuration when a command runs."""
    app = typer.Typer(help="The certificate of the listener.", no_args_is_help=True)

    @app.command("local", epilog="Example: doorward tls local --host dev.example.com")
    def local(
        host: Annotated[list[str] | None, typer.Option(help="A further name or address; may be repeated.")] = None,
        as_json: Json = False,
    ) -> None:
        """Make an authority of this machine's own and a certificate by it, for development. It renews itself."""
        site = load()
        directory = local_directory(site.data_directory)
        pair = answered(as_json, lambda: made_locally(site, host or ()))
        authority = (directory / local_ca.AUTHORITY).resolve()
        values = {"authority": str(authority), "names": pair.names, "expires_at": _moment(pair.expires_at)}
        words = f"authority  {authority}\nnames      {', '.join(pair.names)}\nuntil      {values['expires_at']}\n"
        say(as_json, words + _TRUST.format(path=authority, port=site.port), values)

    @app.command("status", epilog="Example: doorward tls status --json")
    def status(as_json: Json = False) -> None:
        """Say what the files hold and what the running server shows: names, expiry, version and key exchange.

        Exit status 1 if the files cannot be served, or nobody serves them.
        """
        site = load()
        files = files_of(site)
        values = {"mode": site.settings.mode, "files": files, "served": served_by(site) if files["is_on"] else {}}
        is_good = not any("problem" in values[part] for part in ("files", "served"))
        typer.echo(json.dumps({"ok": is_good, **values}) if as_json else _words(values))
        if not is_good:
            raise typer.Exit(1)

    return app


def made_locally(site: TlsSite, hosts: Sequence[str]) -> Pair:
    """The local authority's pair for these hosts and this server's own.

    Raises:
        CertificateError: a host is none, or a file cannot be written.
    """
    return local_ca.ensure(local_directory(site.data_directory), (*hosts, *site.hosts()), SystemClock().now())


def files_of(site: TlsSite) -> dict[str, Any]:
    """What the files hold, or why they cannot be served."""
    if not site.settings.is_on(site.data_directory):
        return {"is_on": False}
    path = str(site.settings.certificate_path(site.data_directory))
    try:
        pair = site.files()
    except CertificateError as error:
        return {"is_on": True, "certificate": path, "problem": error.message}
    expires = _moment(pair.expires_at)
    return {
        "is_on": True, "certificate": path, "names": pair.names, "expires_at": expires, "fingerprint": pair.fingerprint
    }  # fmt: skip


def served_by(site: TlsSite) -> dict[str, Any]:
    """What the running server shows, or why it does not."""
    try:
        return shown_by(site.reached_at, site.port, "localhost").values()
    except (OSError, DoorwardError) as error:
        return {"problem": str(error)}


def _words(values: dict[str, Any]) -> str:
    lines = [f"mode       {values['mode']}"]
    for part in ("files", "served"):
        for name, value in values[part].items():
            shown = ", ".join(value) if isinstance(value, tuple) else value
            lines.append(f"{part:10} {name.replace('_', ' '):12} {shown}")
    return "\n".join(lines)


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
