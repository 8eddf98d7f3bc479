"""What import-linter cannot see: names inside an import, calls, and cycles between single modules.

The layers themselves stand in `.importlinter`.
"""

import ast

import grimp
import pytest

# SQLAlchemy's types that a service may name in a signature: a connection is handed through, never spoken to.
CONNECTION_TYPES = {"Connection", "sqlalchemy.engine.Connection"}
SPEAKS_SQL = ("tables.py", "migrations/", "stores/")

# Who may ask the machine for the time, and why. Everybody else is handed a clock or takes `now` as a value.
READS_TIME = {
    "hall/clock.py": "it is the clock",
    "hall/ids.py": "an identifier carries its moment, which no rule ever compares",
    "siege/": "the siege lives in real time, outside the house",
    "upstream/simulator/": "the simulator lives in real time, outside the house",
}
CLOCK_CALLS = {("time", "time"), ("time", "time_ns"), ("datetime", "now"), ("datetime", "utcnow"), ("date", "today")}


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("doorward", cache_dir=None)


def test_modules_are_in_no_cycle(graph):
    def reaches_itself(module: str) -> bool:
        return any(
            module in graph.find_upstream_modules(imported) or imported == module
            for imported in graph.find_modules_directly_imported_by(module)
        )

    assert sorted(module for module in graph.modules if reaches_itself(module)) == []


def _may(place: str, places) -> bool:
    return any(place.endswith(name) if name == "tables.py" else place.startswith(name) for name in places)


def test_only_tables_speak_sql(package):
    found = []
    for source in package:
        if _may(source.place, SPEAKS_SQL):
            continue
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Import):
                found += [f"{source.at(node)} import {a.name}" for a in node.names if a.name.startswith("sqlalchemy")]
            elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sqlalchemy"):
                names = {alias.name for alias in node.names} - CONNECTION_TYPES
                found += [f"{source.at(node)} from {node.module} import {name}" for name in sorted(names)]
    assert found == []


STATEMENT = ("SELECT ", "INSERT INTO ", "UPDATE ", "DELETE FROM ", "CREATE TABLE ", "PRAGMA ")


def test_no_sql_is_written_as_text_elsewhere(package):
    assert [
        f"{source.at(node)} {node.value[:30]!r}"
        for source in package
        if not _may(source.place, SPEAKS_SQL)
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.lstrip().startswith(STATEMENT)
    ] == []


def test_time_is_handed_in(package):
    found = []
    for source in package:
        if _may(source.place, READS_TIME):
            continue
        for node in ast.walk(source.tree):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            owner = node.func.value
            name = owner.id if isinstance(owner, ast.Name) else owner.attr if isinstance(owner, ast.Attribute) else ""
            if (name, node.func.attr) in CLOCK_CALLS:
                found.append(f"{source.at(node)} {name}.{node.func.attr}()")
            if node.func.attr == "fromtimestamp" and not _says_its_zone(node):
                found.append(f"{source.at(node)} fromtimestamp() in the machine's own time zone")
    assert found == []


def _says_its_zone(call: ast.Call) -> bool:
    return len(call.args) > 1 or any(keyword.arg == "tz" for keyword in call.keywords)


def test_time_is_not_imported_by_name(package):
    """`from time import time` would pass the rule above unseen."""
    assert [
        source.at(node)
        for source in package
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ImportFrom)
        and node.module == "time"
        and {"time", "time_ns"} & {a.name for a in node.names}
    ] == []


PURE_IMPORTS = {
    "collections", "collections.abc", "dataclasses", "enum", "functools", "itertools", "math", "typing", "types",
    "operator", "bisect", "heapq", "statistics", "hashlib", "ipaddress", "re", "msgspec", "struct", "array",
}  # fmt: skip


def test_judgement_and_values_import_nothing_that_acts(package):
    """`decide`, `detect` and every `model`: their verdicts can be replayed because nothing else goes in."""
    found = []
    for source in package:
        if source.path.name != "model.py" and source.place not in {"gate/decide.py", "gate/detect.py"}:
            continue
        for node in ast.walk(source.tree):
            modules = (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
            found += [
                f"{source.at(node)} import {module}"
                for module in modules
                if module not in PURE_IMPORTS and not module.startswith("doorward.")
            ]
    assert found == []


def test_the_doors_are_few_and_small(package):
    doors = next(source for source in package if source.place == "hall/doors.py")
    protocols = {
        node.name: sum(isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) for child in node.body)
        for node in doors.tree.body
        if isinstance(node, ast.ClassDef)
    }
    assert 1 <= len(protocols) <= 10
    assert {name: count for name, count in protocols.items() if not 1 <= count <= 4} == {}


def test_no_room_keeps_state_in_its_module(package):
    """A `global` statement is the mark of it; what a house knows lives in objects that `house.py` builds."""
    assert [
        source.at(node) for source in package for node in ast.walk(source.tree) if isinstance(node, ast.Global)
    ] == []
