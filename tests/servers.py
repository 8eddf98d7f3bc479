"""Real PostgreSQL and Redis for tests: found by environment variable, else started from Debian's packages.

`DOORWARD_TEST_POSTGRESQL` (URL of a server on which databases may be made) and `DOORWARD_TEST_REDIS` (URL of a server
that may be emptied) point to running servers. Without them a server is started in a temporary directory, on a socket
or an ephemeral loopback port, by an unprivileged user, and stopped with the tests.
"""

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

_POSTGRES = "postgres"
_START_TRIES = 5


class AbsentError(Exception):
    """The machine has no such server; the message names what to install."""


def _program(name: str, *folders: str) -> str:
    for folder in folders:
        for found in sorted(Path("/").glob(folder.lstrip("/")), reverse=True):
            if (found / name).exists():
                return str(found / name)
    found_in_path = shutil.which(name)
    if found_in_path is None:
        raise AbsentError(f"{name} is not installed")
    return found_in_path


def _unprivileged() -> str | None:
    """The user to run servers as: None for ourselves (PostgreSQL refuses to be run by root)."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return _POSTGRES if _POSTGRES in names else "nobody"


@contextmanager
def postgresql() -> Iterator[str]:
    """The URL of a PostgreSQL server's `postgres` database."""
    given = os.environ.get("DOORWARD_TEST_POSTGRESQL")
    if given:
        yield given
        return
    initdb = _program("initdb", "/usr/lib/postgresql/*/bin", "/usr/local/bin")
    pg_ctl = _program("pg_ctl", "/usr/lib/postgresql/*/bin", "/usr/local/bin")
    user = _unprivileged()
    folder = Path(tempfile.mkdtemp(prefix="doorward-pg-", dir="/tmp"))
    if user is not None:
        shutil.chown(folder, user)
    data, log = folder / "data", folder / "log"

    def run(*command: str) -> None:
        # pg_ctl's server inherits the streams: a pipe here would never end.
        subprocess.run(
            command, check=True, user=user, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=60
        )

    run(initdb, "-D", str(data), "-U", _POSTGRES, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
    options = f"-F -c listen_addresses='' -k {folder} -c max_connections=200 -c shared_buffers=32MB"
    try:
        run(pg_ctl, "-D", str(data), "-w", "-l", str(log), "-o", options, "start")
        try:
            yield f"postgresql://{_POSTGRES}@/{_POSTGRES}?host={folder}"
        finally:
            run(pg_ctl, "-D", str(data), "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def postgresql_database(server_url: str) -> Iterator[str]:
    """The URL of a fresh database on a server, dropped afterwards."""
    name = f"doorward_{secrets.token_hex(6)}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    try:
        head, mark, query = server_url.partition("?")
        yield f"{head.rpartition('/')[0]}/{name}{mark}{query}"
    finally:
        with psycopg.connect(server_url, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def redis_server() -> Iterator[str]:
    """The URL of a Redis (or Valkey) server that may be emptied."""
    given = os.environ.get("DOORWARD_TEST_REDIS")
    if given:
        yield given
        return
    try:
        program = _program("redis-server")
    except AbsentError:
        program = _program("valkey-server")
    with tempfile.TemporaryDirectory(prefix="doorward-redis-") as folder:
        server, port = _start_redis(program, folder)
        try:
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            server.terminate()
            server.wait(timeout=10)


def _start_redis(program: str, folder: str) -> tuple[subprocess.Popen[bytes], int]:
    for _ in range(_START_TRIES):
        port = _free_port()
        server = subprocess.Popen(
            [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", folder],
            stdout=subprocess.DEVNULL,
        )
        patience = Retry(ConstantBackoff(0.05), 200)
        with redis.Redis(port=port, retry=patience) as client:
            client.ping()
        if server.poll() is None:
            return server, port
    raise AbsentError("redis-server does not start")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
