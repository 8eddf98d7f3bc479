"""Fixtures for all tests: databases and counters of every kind, and a clock that moves when told to."""

import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import hypothesis
import pytest
import redis as redis_client

sys.path.insert(0, str(Path(__file__).parent))  # for `servers` and `rows`

import servers
from doorward.hall.clock import SteppedClock
from doorward.stores.sql import Database
from rows import open_rows

# Deadlines measure the machine, not the code: two cores may be shared by many.
hypothesis.settings.register_profile("doorward", deadline=None, print_blob=True)
hypothesis.settings.load_profile("doorward")

SQLITE = pytest.param("sqlite", id="sqlite")
POSTGRESQL = pytest.param("postgresql", id="postgresql", marks=pytest.mark.postgresql)
MEMORY = pytest.param("memory", id="memory")
REDIS = pytest.param("redis", id="redis", marks=pytest.mark.redis)


@pytest.fixture
def clock() -> SteppedClock:
    """A clock that stands still until it is stepped."""
    return SteppedClock()


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """The URL of a PostgreSQL server."""
    try:
        context = servers.postgresql()
        url = context.__enter__()
    except servers.AbsentError as error:
        servers.absent(f"PostgreSQL: {error}")
    yield url
    context.__exit__(None, None, None)


@pytest.fixture(scope="session")
def redis_server() -> Iterator[str]:
    """The URL of a Redis server."""
    try:
        context = servers.redis_server()
        url = context.__enter__()
    except servers.AbsentError as error:
        servers.absent(f"Redis: {error}")
    yield url
    context.__exit__(None, None, None)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of a SQLite file that does not exist yet."""
    return f"sqlite:///{tmp_path / 'doorward.db'}"


@pytest.fixture
def postgresql_url(postgresql_server: str) -> Iterator[str]:
    """The URL of a fresh, empty PostgreSQL database."""
    with servers.postgresql_database(postgresql_server) as url:
        yield url


@pytest.fixture
def redis_url(redis_server: str) -> str:
    """The URL of an empty Redis."""
    with redis_client.Redis.from_url(redis_server) as client:
        client.flushall()
    return redis_server


@pytest.fixture(params=[SQLITE, POSTGRESQL])
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty database: the test runs once on each kind."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """An open database with the tables of every room that the test has imported; once on each kind."""
    opened = await open_rows(database_url)
    yield opened
    await opened.close()
