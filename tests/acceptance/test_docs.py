"""The pages say nothing that the program would not take: commands, options, variables, files and addresses."""

import re
import shlex
from pathlib import Path

import click
import pytest
import typer.main

from doorward.cli import app
from doorward.config.fields import catalogue
from doorward.config.loading import examine

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    page
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    if page.parent.name != "reference" or page.name == "README.md"
)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def fences(*kinds: str) -> list[tuple[str, str]]:
    """The fenced blocks of some kinds in all pages, with the page's name."""
    return [
        (page.relative_to(ROOT).as_posix(), text)
        for page in PAGES
        for kind, text in FENCE.findall(page.read_text())
        if kind in kinds
    ]


def typed_commands() -> list[tuple[str, list[str]]]:
    """Every `doorward …` that a page tells its reader to type."""
    found = []
    for page, text in fences("", "sh"):
        for line in re.sub(r"\$\([^)]*\)", "x", text.replace("\\\n", " ")).splitlines():
            match = re.search(r"(?:^|[\s(])(?:\.venv/bin/)?doorward ([a-z][^|)#]*)", line)
            if match and "─" not in line:
                found.append((page, shlex.split(match[1])))
    return found


@pytest.mark.parametrize(("page", "words"), typed_commands())
def test_commands_are_real(page, words):
    """Parsed as the shell would hand them over; nothing is run."""
    command: click.Command = typer.main.get_command(app)
    words = list(words)
    while isinstance(command, click.Group):
        name = words.pop(0)
        assert name in command.commands, f"{page}: no such command: {name}"
        command = command.commands[name]
    command.make_context("doorward", words).close()


@pytest.mark.parametrize(("page", "text"), fences("toml"))
def test_configuration_files_are_accepted(page, text, tmp_path):
    path = tmp_path / "doorward.toml"
    path.write_text(text)
    errors = examine(path, {"DOORWARD_SECRET": "f3a1c97be2d84460ad25b9f00e7716c3"}).errors
    # Certificates and keys that a page names lie on its reader's machine.
    assert [error for error in errors if not error.problem.startswith("names no file")] == [], page


def test_variables_exist():
    known = {"DOORWARD_CONFIG", "DOORWARD_SIEGE_ADMIN_KEY"}
    for name in catalogue():
        variable = "_".join(("DOORWARD", *name)).upper()
        known |= {variable, f"{variable}_FILE"}
    assert [
        f"{page.relative_to(ROOT)}: {name}"
        for page in PAGES
        for name in re.findall(r"DOORWARD_[A-Z_]+[A-Z]", page.read_text())
        if name not in known
    ] == []


def test_files_that_are_named_exist():
    """`gate/decide.py` in a page is a file of the package."""
    package = ROOT / "src" / "doorward"
    assert [
        f"{page.relative_to(ROOT)}: {name}"
        for page in PAGES
        for name in re.findall(
            r"`((?:gate|accounts|upstream|edge|stores|hall|siege|config)/[a-z_/.]*)`", page.read_text()
        )
        if not (package / name).exists()
    ] == []


def test_make_targets_exist():
    rules = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert [
        f"{page.relative_to(ROOT)}: {name}"
        for page in PAGES
        for name in re.findall(r"(?:^|`)make ([a-z]+)", page.read_text(), re.MULTILINE)
        if name not in rules
    ] == []


def test_the_glossary_is_sorted_and_complete():
    text = (ROOT / "docs" / "explanation" / "glossary.md").read_text()
    words = re.findall(r"^\| \*\*(.+?)\*\* \|", text, re.MULTILINE)
    assert words == sorted(words)
    house_words = [
        "arrival",
        "signals",
        "cohort",
        "posture",
        "verdict",
        "standing",
        "lane",
        "probation",
        "wait-list",
        "siege",
        "storm",
    ]
    assert [word for word in house_words if word not in words] == []
