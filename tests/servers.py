"""Real PostgreSQL and Redis for tests: found by environment variable, else started from Debian's packages.

`DOORWARD_TEST_POSTGRESQL` (URL of a server on which databases may be made) and `DOORWARD_TEST_REDIS` (URL of a server
that may be emptied) point to running servers. Without them a server is started in a temporary directory, on a socket
or an ephemeral loopback port, by an unprivileged user, and stopped with the tests.
"""

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import psycopg
import pytest
import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

_POSTGRES = "postgres"
_START_TRIES = 5
_START_LOOKS = 1_200  # a minute


class AbsentError(Exception):
    """The machine has no such server; the message names what to install."""


def absent(what: str) -> NoReturn:
    """Skip by name on a newcomer's machine; fail in CI, which has to bring the servers."""
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)


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
    folders = ("/usr/lib/postgresql/*/bin", "/usr/local/bin")
    initdb, postgres = _program("initdb", *folders), _program("postgres", *folders)
    user = _unprivileged()
    folder = Path(tempfile.mkdtemp(prefix="doorward-pg-", dir="/tmp"))
    try:
        if user is not None:
            shutil.chown(folder, user)
        data = str(folder / "data")
        make = [initdb, "-D", data, "-U", _POSTGRES, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
        subprocess.run(make, check=True, user=user, cwd=folder, stdout=subprocess.DEVNULL)
        settings = {"listen_addresses": "", "unix_socket_directories": folder, "fsync": "off", "max_connections": 200}
        options = [f"--{name}={value}" for name, value in settings.items()]
        with (folder / "log").open("wb") as log:
            command = [*_dies_with_us("QUIT"), postgres, "-D", data, *options]
            server = subprocess.Popen(command, user=user, cwd=folder, stdout=log, stderr=log)
        url = f"postgresql://{_POSTGRES}@/{_POSTGRES}?host={folder}"
        try:
            _wait_for_postgresql(url, server)
            yield url
        finally:
            server.send_signal(signal.SIGQUIT)  # at once: nothing here is worth keeping
            server.wait(timeout=30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def postgresql_over_tls(files: dict[str, Path]) -> Iterator[str]:
    """The URL, without TLS parameters, of a server that wants TLS and a certificate for the user `postgres`.

    `files`: `certificate`, `key` and `authority` in PEM.

    Raises:
        AbsentError: PostgreSQL is not installed.
    """
    folders = ("/usr/lib/postgresql/*/bin", "/usr/local/bin")
    initdb, postgres = _program("initdb", *folders), _program("postgres", *folders)
    user = _unprivileged()
    folder = Path(tempfile.mkdtemp(prefix="doorward-pg-", dir="/tmp"))
    try:
        for name, source in files.items():
            target = folder / f"{name}.pem"
            target.write_bytes(source.read_bytes())
            target.chmod(0o600)
            if user is not None:
                shutil.chown(target, user)
        if user is not None:
            shutil.chown(folder, user)
        data, port = folder / "data", _free_port()
        make = [initdb, "-D", str(data), "-U", _POSTGRES, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
        subprocess.run(make, check=True, user=user, cwd=folder, stdout=subprocess.DEVNULL)
        (data / "pg_hba.conf").write_text("local all all trust\nhostssl all all 127.0.0.1/32 cert\n")
        settings = {
            "listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": folder, "fsync": "off",
            "ssl": "on", "ssl_cert_file": folder / "certificate.pem", "ssl_key_file": folder / "key.pem",
            "ssl_ca_file": folder / "authority.pem",
        }  # fmt: skip
        options = [f"--{name}={value}" for name, value in settings.items()]
        with (folder / "log").open("wb") as log:
            command = [*_dies_with_us("QUIT"), postgres, "-D", str(data), *options]
            server = subprocess.Popen(command, user=user, cwd=folder, stdout=log, stderr=log)
        try:
            _wait_for_postgresql(f"postgresql://{_POSTGRES}@/{_POSTGRES}?host={folder}&port={port}", server)
            yield f"postgresql://{_POSTGRES}@localhost:{port}/{_POSTGRES}"
        finally:
            server.send_signal(signal.SIGQUIT)
            server.wait(timeout=30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def redis_over_tls(files: dict[str, Path], folder: Path) -> Iterator[str]:
    """The URL, without TLS parameters, of a Redis that speaks TLS only and wants certificates; `files` as above.

    Raises:
        AbsentError: Redis is not installed, or built without TLS.
    """
    program, port = _program("redis-server"), _free_port()
    command = [
        *_dies_with_us("TERM"), program, "--port", "0", "--tls-port", str(port), "--bind", "127.0.0.1", "--save", "",
        "--appendonly", "no", "--dir", str(folder), "--tls-cert-file", str(files["certificate"]),
        "--tls-key-file", str(files["key"]), "--tls-ca-cert-file", str(files["authority"]),
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        try:
            pause = threading.Event()
            for _ in range(_START_LOOKS):
                if server.poll() is not None:
                    raise AbsentError("redis-server does not start with TLS")
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                pause.wait(0.05)
            yield f"rediss://localhost:{port}/0"
        finally:
            server.terminate()
            server.wait(timeout=10)


def _wait_for_postgresql(url: str, server: subprocess.Popen[bytes]) -> None:
    pause = threading.Event()
    for _ in range(_START_LOOKS):
        if server.poll() is not None:
            raise AbsentError("postgres does not start")
        try:
            psycopg.connect(url).close()
        except psycopg.OperationalError:
            pause.wait(0.05)
        else:
            return
    raise AbsentError("postgres does not answer")


def _dies_with_us(signal_name: str) -> list[str]:
    """A prefix that ends a server when the tests are killed, where util-linux has one."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", signal_name] if setpriv else []


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
            [
                *_dies_with_us("TERM"),
                program,
                "--port",
                str(port),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                "no",
                "--dir",
                folder,
            ],
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
