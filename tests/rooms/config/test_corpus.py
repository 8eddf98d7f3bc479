"""The corpora: good files load without a word, bad ones say exactly what stands beside them."""

from pathlib import Path

import pytest

from doorward.config.loading import examine

CORPUS = Path(__file__).parents[2] / "config_corpus"


@pytest.fixture(autouse=True)
def in_corpus(monkeypatch):
    """Paths in messages are relative to the corpus."""
    monkeypatch.chdir(CORPUS)


@pytest.mark.parametrize("path", sorted(CORPUS.glob("good/*.toml")), ids=lambda path: path.stem)
def test_good_files_load_without_a_word(path):
    assert [str(mistake) for mistake in examine(path.relative_to(CORPUS), {}).mistakes] == []


@pytest.mark.parametrize("path", sorted(CORPUS.glob("bad/*.toml")), ids=lambda path: path.stem)
def test_bad_files_say_what_is_wrong(path, monkeypatch):
    monkeypatch.chdir(CORPUS / "bad")
    mistakes = examine(Path(path.name), {}).mistakes
    said = "".join(f"{mistake.gravity.value}: {mistake}\n" for mistake in mistakes)
    assert said == path.with_suffix(".expected").read_text(encoding="utf-8")


def test_every_bad_file_has_something_wrong():
    files = list(CORPUS.glob("bad/*.toml"))
    assert len(files) >= 20
    assert all(path.with_suffix(".expected").read_text(encoding="utf-8").strip() for path in files)


def test_no_message_repeats_a_value():
    """A configured value may be a secret, so no message quotes one."""
    told = "".join(path.read_text(encoding="utf-8") for path in CORPUS.glob("bad/*.expected"))
    assert [
        value for value in ("wordpass", "sk with spaces", "sk-internal-1", "eR7xD0vQ", "qwertyuiop") if value in told
    ] == []
