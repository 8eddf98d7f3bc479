"""Names that say something, documentation where a reader needs it, and nothing left for later."""

import ast
import re

EMPTY_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "core", "misc"}
LEFTOVERS = re.compile(r"\b(?:TODO|FIX" + "ME|XX" + r"X|HACK)\b")
UNFINISHED = re.compile(r"\braise\s+NotImplementedErr" + r"or\b")


def test_no_name_is_empty(everything):
    files = [source.name for source in everything if EMPTY_NAMES & set(source.path.with_suffix("").parts)]
    classes = [
        f"{source.at(node)} class {node.name}"
        for source in everything
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ClassDef) and re.search(r"(Utils?|Helpers?|Manager|Common)$", node.name)
    ]
    assert files + classes == []


def test_nothing_is_left_for_later(everything, root):
    rules = root / "tests" / "architecture" / "test_words.py"
    texts = [source for source in everything if source.path != rules]
    assert [
        f"{source.name}:{number}"
        for source in texts
        for number, line in enumerate(source.text.splitlines(), 1)
        if LEFTOVERS.search(line) or UNFINISHED.search(line)
    ] == []
    prose = [
        path
        for folder in ("docs", "src", "bench")
        for path in (root / folder).rglob("*")
        if path.suffix in {".md", ".js", ".css", ".html", ".toml", ".sh", ".conf"}
    ]
    assert [str(path) for path in prose if LEFTOVERS.search(path.read_text(encoding="utf-8"))] == []


def test_every_module_says_what_it_is(everything):
    assert [source.name for source in everything if not ast.get_docstring(source.tree) and source.text.strip()] == []


def _public(body: list[ast.stmt], inside: str = ""):
    """Public functions, classes and methods with the names that a reader would call them by."""
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield node, inside + node.name
            yield from _public(node.body, f"{inside}{node.name}.")
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            yield node, inside + node.name


def _is_setter(node: ast.AST) -> bool:
    """A property is documented where it is read."""
    decorators = getattr(node, "decorator_list", [])
    return any(isinstance(decorator, ast.Attribute) and decorator.attr == "setter" for decorator in decorators)


# The names that a framework gives to the methods it calls: what they do is the framework's to say.
FRAMEWORK_METHODS = {
    "connection_made", "connection_lost", "data_received", "eof_received", "pause_writing", "resume_writing",
    "on_message_begin", "on_url", "on_header", "on_headers_complete", "on_body", "on_message_complete", "on_status",
    "on_chunk_header", "on_chunk_complete", "upgrade", "downgrade",
}  # fmt: skip


def test_what_is_public_is_documented(package):
    assert [
        f"{source.at(node)} {name}"
        for source in package
        for node, name in _public(source.tree.body)
        if not ast.get_docstring(node) and name.rpartition(".")[2] not in FRAMEWORK_METHODS and not _is_setter(node)
    ] == []
