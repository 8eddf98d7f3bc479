"""Lines of keys: on any TOML that tomllib reads, every key is found where it was written."""

import tomllib

from hypothesis import given
from hypothesis import strategies as st

from doorward.config.lines import key_lines

VALUES = st.sampled_from(
    [
        "1", "-2.5e3", "true", '"text # no comment"', "'it\\'", '"a\\"b = c"', "1979-05-27T07:32:00Z", "[]", '[1, "]", 2]',
        "[\n  1, # ] comment\n  [2, 3],\n]", '"""\nx = 1\n[no]\n"""', "'''\ny = 2\n'''", '"""one"""', '"""a\\\n  b"""',
        "{ a = 1, b = { c = [1] } }", '"""quote at the end: """""',
    ]
)  # fmt: skip
BARE = st.text("abcxyz_-09", min_size=1, max_size=6)
KEYS = BARE | st.text("äé .#=[]\\", min_size=0, max_size=4).map(lambda text: '"' + text.replace("\\", "\\\\") + '"')
NOISE = st.sampled_from(["", "# comment = 1", "   ", "\t# [table]"])


@st.composite
def documents(draw):
    """A TOML text and the line of each of its statements, by path."""
    lines: list[str] = []
    expected: dict[tuple[str, ...], int] = {}
    ending = draw(st.sampled_from(["\n", "\r\n"]))

    def put(text: str, path: tuple[str, ...]) -> None:
        lines.extend(draw(st.lists(NOISE, max_size=2)))
        expected[path] = len(lines) + 1
        lines.extend((draw(st.sampled_from(["", "  "])) + text).split("\n"))

    def unquoted(key: str) -> str:
        return key[1:-1].replace("\\\\", "\\") if key.startswith('"') else key

    def statements(table: tuple[str, ...]) -> None:
        for key in draw(st.lists(KEYS, max_size=4, unique_by=unquoted)):
            if (*table, unquoted(key)) not in expected:
                put(f"{key} = {draw(VALUES)}{draw(st.sampled_from(['', '  # end']))}", (*table, unquoted(key)))

    statements(())
    for name in draw(st.lists(BARE, max_size=3, unique=True)):
        if (name,) not in expected:
            put(draw(st.sampled_from(["[{}]", "[ {} ]"])).format(name), (name,))
            statements((name,))
    return ending.join(lines) + ending, expected


@given(documents())
def test_every_key_is_found_on_its_line(document):
    text, expected = document
    tomllib.loads(text)
    found = key_lines(text)
    assert {path: found.get(path) for path in expected} == expected


def test_dotted_keys_and_arrays_of_tables():
    text = 'a.b.c = 1\n[x."y z".w]\n k = 1\n[[t]]\nk = 1\n[[t]]\nk = 2\n'
    tomllib.loads(text)
    found = key_lines(text)
    assert (found["a", "b", "c"], found["x", "y z", "w", "k"], found["t",], found["t", "k"]) == (1, 3, 4, 5)


def test_escaped_keys_are_read():
    assert key_lines('"\\u00e9\\t" = 1')[("é\t",)] == 1


@given(st.text(alphabet="ab=[]{}\"'#\\\n. ", max_size=80))
def test_any_text_comes_to_an_end(text):
    assert all(1 <= line <= text.count("\n") + 1 for line in key_lines(text).values())
