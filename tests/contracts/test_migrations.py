"""The history of the tables and the rooms' descriptions of them agree, on both databases, in both directions."""

import ast
from importlib.util import find_spec
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

import doorward
from doorward.migrations.rooms import MODULES, import_tables
from doorward.stores.errors import SchemaOutdatedError, SchemaTooNewError, StoreUnavailableError
from doorward.stores.schema import METADATA
from doorward.stores.sql import Database
from doorward.stores.upgrade import Upgrade, check, configuration, newest_revision, prepare, upgrade, upgrade_tables


@pytest.fixture
async def empty(database_url):
    opened = Database.open(database_url)
    yield opened
    await opened.close()


def _differences(connection) -> list[object]:
    import_tables()
    return compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), METADATA)


async def test_history_makes_what_the_rooms_describe(database_url, empty):
    assert upgrade(database_url) == Upgrade(before="", after=newest_revision())
    assert await empty.read(_differences) == []


async def test_upgrading_again_changes_nothing(database_url):
    upgrade(database_url)
    again = upgrade(database_url)
    assert not again.is_change


async def test_history_can_be_walked_back_and_forth(empty):
    await empty.write(upgrade_tables)
    await empty.write(lambda connection: command.downgrade(configuration(connection), "base"))
    left = await empty.read(lambda connection: set(inspect(connection).get_table_names()))
    assert left == {"alembic_version"}
    await empty.write(upgrade_tables)
    assert await empty.read(_differences) == []


async def test_a_failed_upgrade_leaves_nothing_behind(empty):
    def half_way(connection) -> None:
        upgrade_tables(connection)
        raise RuntimeError("the machine stops here")

    with pytest.raises(RuntimeError):
        await empty.write(half_way)
    assert await empty.read(lambda connection: inspect(connection).get_table_names()) == []


async def test_a_newer_database_is_refused_untouched(database_url, empty):
    upgrade(database_url)
    await empty.write(lambda connection: connection.execute(text("UPDATE alembic_version SET version_num = '9999'")))
    with pytest.raises(SchemaTooNewError, match="newer than this program"):
        upgrade(database_url)
    with pytest.raises(SchemaTooNewError):
        await empty.read(check)
    with pytest.raises(SchemaTooNewError):
        await prepare(empty, upgrades_postgresql=True)


async def test_an_embedded_database_upgrades_itself_and_a_shared_one_when_told(empty):
    if empty.is_postgresql:
        with pytest.raises(SchemaOutdatedError) as caught:
            await prepare(empty, upgrades_postgresql=False)
        assert "doorward db upgrade" in caught.value.advice
    done = await prepare(empty, upgrades_postgresql=True)
    assert done == Upgrade("", newest_revision())
    assert await empty.read(check) == newest_revision()
    assert not (await prepare(empty, upgrades_postgresql=False)).is_change


async def test_memory_can_be_upgraded_too():
    database = Database.open("sqlite://")
    await prepare(database, upgrades_postgresql=False)
    assert await database.read(_differences) == []
    await database.close()


def test_an_absent_postgresql_is_said_to_be_away():
    with pytest.raises(StoreUnavailableError):
        upgrade("postgresql://nobody@127.0.0.1:1/nothing")


def test_history_is_one_line():
    scripts = ScriptDirectory.from_config(configuration(None))
    assert len(scripts.get_heads()) == 1
    assert len(scripts.get_bases()) == 1
    assert not [revision for revision in scripts.walk_revisions() if revision.is_merge_point]


def test_every_module_with_tables_is_in_the_list():
    package = Path(doorward.__file__).parent

    def defines_tables(path: Path) -> bool:
        calls = (node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call))
        return any(isinstance(argument, ast.Name) and argument.id == "METADATA" for c in calls for argument in c.args)

    described = {path for path in package.rglob("*.py") if "migrations" not in path.parts and defines_tables(path)}
    listed = {Path(spec.origin) for module in MODULES if (spec := find_spec(module)) and spec.origin}
    assert described == listed
