"""The street alone, for the benchmarks: the real book of standings with a thousand sessions, and real tickets.

`python serving.py PORT UPSTREAM_PORT [DIRECTORY]`, the last with `certificate.pem` and `key.pem` for TLS; tokens and
tickets are made from fixed seeds, as `tokens.py` makes them.
"""

import logging
import sys
from pathlib import Path

import uvicorn

sys.path.insert(0, str(Path(__file__).parent))

import tokens

from doorward.accounts.tokens import kind_of
from doorward.edge.street import StreetParts, street_class
from doorward.edge.tls_transport import over_tls
from doorward.hall.clock import SystemClock
from doorward.hall.model import Lane, Role, Standing
from doorward.upstream.exchange import RelayLimits
from doorward.upstream.pool import Origin
from doorward.upstream.relay import Relay
from doorward.vault.tls import ServedTls
from doorward.vault.tls_settings import TlsSettings


class Open:
    """Hooks without budgets, so that the relay alone is measured."""

    def permits(self, standing, _path):
        return "chat" in standing.scopes

    def allowance_left(self, _standing):
        return None

    def begin(self, _standing):
        return None

    def record(self, _standing, _tokens, _ok):
        """Nothing is kept."""

    def observe(self, _fault):
        """Nothing is kept."""


async def nothing(scope, _receive, _send):
    """An application that is never reached."""
    raise RuntimeError(scope["path"])


def main(port: int, upstream_port: int, pair: str = "") -> None:
    """Serve until SIGTERM."""
    scopes = frozenset({"chat", "models"})
    standings = {
        session: Standing(f"acc_{number:026d}", f"ses_{number:026d}", Lane.EXISTING, Role.MEMBER, scopes, 2e10)
        for number, session in enumerate(tokens.sessions())
    }
    relay = None
    if upstream_port:
        relay = Relay(Origin.parse(f"http://127.0.0.1:{upstream_port}/v1"), Open(), RelayLimits(), "sk-upstream")
    parts = StreetParts(book=tokens.book(standings), doorkeeper=tokens.Doorkeeper(), is_credential=kind_of, relay=relay)
    http = street_class(parts)
    if pair:
        settings = TlsSettings(mode="files", certificate=f"{pair}/certificate.pem", key=f"{pair}/key.pem")
        http = over_tls(http, ServedTls.open(settings, "", SystemClock()))
    logging.disable()
    uvicorn.run(
        nothing,
        host="127.0.0.1",
        port=port,
        http=http,
        loop="uvloop",
        lifespan="off",
        access_log=False,
        log_config=None,
    )


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
