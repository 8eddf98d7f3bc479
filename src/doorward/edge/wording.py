"""Finds the texts in Python files that visitors read, for Babel (see `console/babel.cfg`). Used by translators only.

Errors are written once, in English, where they are raised; pages translate them by the filter `told`. So these are
collected here: an error class's first docstring line and advice, the literal that an error is raised with, `words("…")`
of the charts, and in `api_*.py` the sentences of the API's description.
"""

import ast
import builtins
import inspect
from collections.abc import Iterator
from typing import IO, Any

Found = tuple[int, str | None, str, list[str]]


def extract(file: IO[bytes], _keywords: Any, _comment_tags: Any, options: dict[str, Any]) -> Iterator[Found]:
    """Babel's extraction protocol: line, function name, message, comments. Option `sentences`: take all sentences."""
    tree = ast.parse(file.read())
    seen: set[str] = set()
    takes_all = str(options.get("sentences", "")).lower() == "true"
    for line, text in _sentences(tree) if takes_all else _told(tree):
        if text and text not in seen:
            seen.add(text)
            yield line, None, text, []


def _told(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.name.endswith("Error"):
            yield from _of_class(node)
        elif isinstance(node, ast.Call) and node.args and _is_told(_name(node.func)):
            first = node.args[0]
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield node.lineno, first.value


def _is_told(callee: str) -> bool:
    """Errors of ours are told to people; ValueError and its like are told to programmers."""
    return callee == "words" or (callee.endswith("Error") and not hasattr(builtins, callee))


def _of_class(node: ast.ClassDef) -> Iterator[tuple[int, str]]:
    yield node.lineno, inspect.cleandoc(ast.get_docstring(node) or "").partition("\n")[0]
    for inner in node.body:
        target = inner.targets[0] if isinstance(inner, ast.Assign) else getattr(inner, "target", None)
        value = getattr(inner, "value", None)
        if _name(target) == "advice" and isinstance(value, ast.Constant) and isinstance(value.value, str):
            yield inner.lineno, value.value


def _sentences(tree: ast.Module) -> Iterator[tuple[int, str]]:
    documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            text = node.value
            if text[:1].isupper() and (" " in text or text.endswith(".") or "-" in text):
                yield node.lineno, text


def _name(node: Any) -> str:
    return str(getattr(node, "id", "") or getattr(node, "attr", ""))
