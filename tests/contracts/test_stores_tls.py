"""Rows and counters over TLS, on real servers that want our certificate: who is believed, and what is refused."""

from pathlib import Path
from urllib.parse import urlencode

import pytest
from sqlalchemy import text

import servers
from certificates import Authority
from doorward.hall.clock import SystemClock
from doorward.stores.counters import open_counters
from doorward.stores.errors import CountersUnavailableError, StoreSetupError, StoreUnavailableError
from doorward.stores.sql import Database


@pytest.fixture
def authority(tmp_path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def stranger(tmp_path) -> Authority:
    (tmp_path / "other").mkdir()
    return Authority(tmp_path / "other", "other authority")


def server_files(authority: Authority, *hosts: str) -> dict[str, Path]:
    made = authority.sign("server", *hosts)
    return {"certificate": made.certificate_file, "key": made.key_file, "authority": Path(authority.file)}


async def version_of(url: str) -> str:
    database = Database.open(url)
    try:
        return await database.read(lambda c: str(c.execute(text("SELECT ssl_version()")).scalar()))
    except StoreUnavailableError as error:
        return str(error.__cause__.__cause__ or error.__cause__)
    finally:
        await database.close()


@pytest.mark.postgresql
async def test_rows_over_mutual_tls(authority, stranger):
    try:
        opened = servers.postgresql_over_tls(server_files(authority))
        url = opened.__enter__()
    except servers.AbsentError as error:
        servers.absent(f"PostgreSQL: {error}")
    try:
        mine, theirs = authority.sign("postgres"), stranger.sign("postgres stranger")
        files = {"sslrootcert": authority.file, "sslcert": mine.certificate_file, "sslkey": mine.key_file}
        good = {"sslmode": "verify-full"} | files
        database = Database.open(f"{url}?{urlencode(good)}")
        query = "SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
        assert await database.read(lambda c: c.execute(text(query)).scalar()) == "TLSv1.3"
        await database.close()
        for change, reason in (
            ({"sslrootcert": stranger.file}, "certificate verify failed"),
            ({"sslcert": theirs.certificate_file, "sslkey": theirs.key_file}, "alert"),
            ({"sslmode": "disable"}, "no encryption"),
        ):
            assert reason in await version_of(f"{url}?{urlencode(good | change)}")
        elsewhere = url.replace("localhost", "127.0.0.2") + f"?{urlencode(good | {'hostaddr': '127.0.0.1'})}"
        assert 'does not match host name "127.0.0.2"' in await version_of(elsewhere)
    finally:
        opened.__exit__(None, None, None)


@pytest.mark.redis
@pytest.mark.parametrize("scheme", ["rediss", "valkeys"])
async def test_counters_over_mutual_tls(authority, stranger, tmp_path, scheme):
    try:
        opened = servers.redis_over_tls(server_files(authority, "localhost"), tmp_path)
        url = opened.__enter__().replace("rediss", scheme)
    except servers.AbsentError as error:
        servers.absent(f"Redis: {error}")
    try:
        mine, theirs = authority.sign("doorward"), stranger.sign("stranger")
        good = {"ca_file": authority.file, "certificate": mine.certificate_file, "key": mine.key_file}
        counters = open_counters(f"{url}?{urlencode(good)}", SystemClock())
        assert await counters.add("k", 2, 60) == 2
        await counters.close()
        wrong_name = url.replace("localhost", "127.0.0.1")
        for where, files in (
            (url, good | {"ca_file": stranger.file}),
            (url, {"ca_file": authority.file}),
            (url, good | {"certificate": theirs.certificate_file, "key": theirs.key_file}),
            (wrong_name, good),
        ):
            counters = open_counters(f"{where}?{urlencode(files)}", SystemClock())
            with pytest.raises(CountersUnavailableError):
                await counters.ping()
            await counters.close()
    finally:
        opened.__exit__(None, None, None)


@pytest.mark.parametrize(
    "url",
    [
        "rediss://localhost/0?ca_file=/nowhere",
        "rediss://localhost/0?ssl_cert_reqs=none",
        "redis://localhost/0?ca_file=/etc/hostname",
        "rediss://localhost/0?ca_file",
    ],
)
def test_what_cannot_be_meant_is_refused_at_the_start(url):
    with pytest.raises(StoreSetupError):
        open_counters(url, SystemClock())
