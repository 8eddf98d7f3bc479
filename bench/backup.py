"""How fast rows are backed up, and how long until a million people are back and served, on both databases.

`python bench/backup.py --people 20000` for a smaller number; seconds are scaled to a million.

1. A server, and a member with an API key. The server stops, and its rows are filled: each person is an account, a data
   key and a session, as wide as they are in truth. (Their envelopes are noise: what is in them costs nobody anything.)
2. Backup: bytes of the rows against the processor time of the backup and of `pg_dump`, not of the database's server.
3. The database is deleted. Seconds from `doorward restore` until a server that is started then lets the member pass.

The figures are the worse of the two databases. PostgreSQL is left out, and the detail says so, where there is none.
"""

import argparse
import asyncio
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

import psycopg
from sqlalchemy import Connection, Table, text

from doorward.accounts.credential_tables import sessions
from doorward.accounts.tables import accounts
from doorward.config import load
from doorward.stores.sql import Database
from doorward.vault import ringfile
from doorward.vault.backups.making import make, source_for
from doorward.vault.backups.settings import BackupSettings
from doorward.vault.locks import choice
from doorward.vault.site import Site
from doorward.vault.tables import data_keys
from served import Served, figures_out

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import servers

MILLION = 1_000_000
PART = 10_000
PATIENCE_SECONDS = 900
SECRET = secrets.token_urlsafe(48)
WIDTHS = {"email": 76, "password_hash": 140, "device": 108, "wrapped": 109, "mailbox": 16, "digest": 32}
Result = tuple[float, float, str]  # MB per second and core, seconds to a million, detail


class Lost(Served):
    """A server that loses its database."""

    @property
    def environment(self) -> Mapping[str, str]:
        """Of its commands."""
        return self._environment

    def stop(self) -> None:
        """End the process, and keep its directory."""
        self.process.terminate()
        self.process.wait(PATIENCE_SECONDS)

    def restore(self, file: Path) -> None:
        """Run the command."""
        line = [sys.executable, *self._program, "restore", str(file)]
        subprocess.run(line, env=self._environment, check=True, timeout=PATIENCE_SECONDS, stdout=subprocess.DEVNULL)

    def start(self, key: str) -> None:
        """Start it again, and return when somebody with a key may pass."""
        line = [sys.executable, *self._program, "serve"]
        self.process = subprocess.Popen(line, env=self._environment, stdout=self._log, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self._lets_pass(key):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit("the restored house does not serve")
            time.sleep(0.05)

    def _lets_pass(self, key: str) -> bool:
        try:
            return self.call("GET", "/authorize", Authorization=f"Bearer {key}")[0] == 200
        except OSError:
            return False


def people(first: int, last: int, now: float) -> dict[Table, list[dict[str, object]]]:
    """The rows of some people."""

    def noise(name: str) -> bytes:
        return os.urandom(WIDTHS[name])

    found: dict[Table, list[dict[str, object]]] = {accounts: [], data_keys: [], sessions: []}
    for number in range(first, last):
        who = f"acc_{number:026}"
        found[accounts].append(
            {"account_id": who, "email": noise("email"), "mailbox": noise("mailbox"), "lane": "existing",
             "role": "member", "password_hash": noise("password_hash"), "language": "en", "attempt_id": "",
             "created_at": now}
        )  # fmt: skip
        found[data_keys].append(
            {"subject": who, "version": 1, "kek_version": 1, "wrapped": noise("wrapped"), "created_at": now}
        )
        found[sessions].append(
            {"session_id": f"ses_{number:026}", "account_id": who, "digest": noise("digest"),
             "device_id": f"dev_{number:026}", "device": noise("device"), "created_at": now, "last_used_at": now,
             "expires_at": now + 2_592_000}
        )  # fmt: skip
    return found


async def fill(url: str, count: int) -> None:
    """Give so many people rows."""
    database = Database.open(url)

    def work(connection: Connection, first: int) -> None:
        for table, rows in people(first, min(first + PART, count), time.time()).items():
            names, values = ", ".join(rows[0]), ", ".join(f":{name}" for name in rows[0])  # past the sealed columns
            connection.execute(text(f"INSERT INTO {table.name} ({names}) VALUES ({values})"), rows)

    try:
        for first in range(0, count, PART):
            await database.write(lambda connection, first=first: work(connection, first))
    finally:
        await database.close()


def spent() -> float:
    """Processor seconds of this process and of those that it has waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def measure(count: int, settings: Mapping[str, str], lose: Callable[[str, str], None]) -> Result:
    """One database; `lose` makes it empty."""
    with Lost(settings) as served:
        key = served.key()
        served.stop()
        config = load(None, dict(served.environment))
        url, directory = config.stores.database_url(), config.stores.data_directory
        asyncio.run(fill(url, count))
        site = Site(config.vault, directory, url)
        ring = ringfile.open_with(ringfile.read(site.ring_path), choice.configured(site)).ring
        file, before = Path(directory) / "bench.dwbackup", spent()
        made = make(source_for(url, ring, BackupSettings()), file, time.time())
        speed = made.rows_bytes / 1e6 / (spent() - before)
        lose(url, directory)
        began = time.perf_counter()
        served.restore(file)
        middle = time.perf_counter()
        served.start(key)
        ended = time.perf_counter()
    detail = (
        f"{count:,} people, {made.rows_bytes / 1e6:.0f} MB in {made.seconds:.1f} s,"
        f" {made.size_bytes / 1e6:.0f} MB sealed; restored in {middle - began:.1f} s,"
        f" serving {ended - middle:.1f} s later"
    )
    return speed, (ended - began) * MILLION / count, detail


def lose_file(_url: str, directory: str) -> None:
    """Delete the SQLite file."""
    for path in Path(directory).glob("doorward.db*"):
        path.unlink()


def lose_tables(url: str, _directory: str) -> None:
    """Drop everything in the PostgreSQL database."""
    with psycopg.connect(url) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")


def measure_all(count: int, only: str) -> dict[str, Result]:
    """Every database that the machine has."""
    found = {}
    if only != "postgresql":
        found["SQLite"] = measure(count, {"DOORWARD_SECRET": SECRET}, lose_file)
    if only != "sqlite":
        with ExitStack() as stack:
            try:
                url = stack.enter_context(servers.postgresql_database(stack.enter_context(servers.postgresql())))
            except servers.AbsentError as error:
                sys.stderr.write(f"without PostgreSQL: {error}\n")
            else:
                more = {
                    "DOORWARD_SECRET": SECRET, "DOORWARD_STORES_DATABASE": url,
                    "DOORWARD_STORES_UPGRADES_AT_START": "true",
                }  # fmt: skip
                found["PostgreSQL"] = measure(count, more, lose_tables)
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--people", type=int, default=MILLION)
    parser.add_argument("--database", choices=("sqlite", "postgresql", "both"), default="both")
    given = parser.parse_args()
    found = measure_all(given.people, given.database)
    speed, seconds = min(one[0] for one in found.values()), max(one[1] for one in found.values())
    speeds = "; ".join(f"{name} {one[0]:.0f} MB/s" for name, one in found.items())
    details = "; ".join(f"{name}: {one[2]}" for name, one in found.items())
    figures_out(
        {
            "backup_mb_per_s": (round(speed, 1), "MB/s", "at least 200 MB/s and core", speeds),
            "restore_million_s": (round(seconds, 1), "s", "at most 300 s", details),
        }
    )


if __name__ == "__main__":
    main()
