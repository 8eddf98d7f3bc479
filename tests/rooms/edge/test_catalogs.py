"""Every text that a visitor may read is translated, and what is compiled is what was translated."""

import gettext
import io
import re
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.frontend import parse_mapping_cfg
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

import doorward
from doorward.edge import wording
from doorward.edge.languages import CONSOLE, LANGUAGES, TRANSLATIONS

SOURCE = Path(doorward.__file__).parent
OTHERS = [language for language in LANGUAGES if language != "en"]
PLACEHOLDER = re.compile(r"%\([a-z_]+\)s|`[^`]*`|<[^>]+>")
Words = str | tuple[str, ...]


def template() -> Catalog:
    """All texts, as Babel finds them."""
    with (CONSOLE / "babel.cfg").open() as file:
        methods, options = parse_mapping_cfg(file)
    methods = [(pattern, wording.extract if method.startswith("doorward.") else method) for pattern, method in methods]
    found = Catalog()
    for _file, _line, message, _comments, context in extract_from_dir(SOURCE, methods, options):
        found.add(message, context=context)
    return found


@pytest.fixture(scope="module")
def texts() -> Catalog:
    return template()


def catalog(language: str) -> Catalog:
    with (TRANSLATIONS / language / "LC_MESSAGES" / "doorward.po").open("rb") as file:
        return read_po(file, locale=language, domain="doorward")


def as_tuple(words: Words) -> tuple[str, ...]:
    return words if isinstance(words, tuple) else (words,)


def test_texts_are_found_where_people_read_them(texts: Catalog) -> None:
    assert "The door stays open." in texts  # a template
    assert "Too many requests for now." in texts  # an error's title
    assert "Wait for the time that `Retry-After` gives." in texts  # an error's advice
    assert "There is no such language here." in texts  # an error's own words
    assert "Ask for a ticket and a challenge" in texts  # the API's description
    assert "Show as a table" in texts  # a chart


@pytest.mark.parametrize("language", OTHERS)
def test_every_text_is_translated(language: str, texts: Catalog) -> None:
    translated = catalog(language)
    missing = []
    for message in texts:
        entry = translated.get(message.id, message.context)
        if message.id and (entry is None or entry.fuzzy or not all(as_tuple(entry.string))):
            missing.append(message.id)
    assert missing == []


@pytest.mark.parametrize("language", OTHERS)
def test_placeholders_are_kept(language: str) -> None:
    for message in catalog(language):
        if message.id:
            expected = set(PLACEHOLDER.findall(as_tuple(message.id)[-1]))
            for words in as_tuple(message.string):
                assert set(PLACEHOLDER.findall(words)) == expected, message.id


@pytest.mark.parametrize("language", OTHERS)
def test_nothing_obsolete_is_kept(language: str, texts: Catalog) -> None:
    assert [
        message.id for message in catalog(language) if message.id and texts.get(message.id, message.context) is None
    ] == []


def words_of(compiled: bytes) -> dict[object, str]:
    """The entries of a compiled catalog, without its header of dates."""
    return {key: words for key, words in gettext.GNUTranslations(io.BytesIO(compiled))._catalog.items() if key}  # type: ignore[attr-defined]


@pytest.mark.parametrize("language", OTHERS)
def test_compiled_is_what_was_translated(language: str) -> None:
    compiled = io.BytesIO()
    write_mo(compiled, catalog(language))
    shipped = (TRANSLATIONS / language / "LC_MESSAGES" / "doorward.mo").read_bytes()
    assert words_of(shipped) == words_of(compiled.getvalue())
    assert b"Plural-Forms: nplurals=1" in shipped


def test_every_language_has_a_catalog() -> None:
    assert sorted(path.name for path in TRANSLATIONS.iterdir() if path.is_dir()) == sorted(OTHERS)
