"""The search for canaries: every form is found wherever it lies, nothing is found in what is clean."""

import base64
import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doorward.hall.hidden import Hidden
from doorward.siege.canaries import Canary, CanaryFileError, Searcher, forms, read_canaries
from doorward.siege.wire import Answer
from doorward.siege.witness import Witness

VALUES = st.text(min_size=12, max_size=60).map(str.encode) | st.binary(min_size=12, max_size=60)


def found(value: bytes, data: bytes) -> bool:
    searcher = Searcher([Canary("x", Hidden(value))])
    searcher.read("here", data)
    return bool(searcher.outcome().hits)


@given(st.text(min_size=12, max_size=60, alphabet=st.characters(exclude_categories=["Cs"])), st.binary(max_size=7))
def test_every_form_is_found(text, before):
    value = text.encode()
    for data in (
        before + value,
        (before + value + before).hex().encode(),
        base64.b64encode(before + value + before),
        base64.urlsafe_b64encode(before + value + before),
        quote(text, safe="").encode(),
        json.dumps({"a": text}).encode(),
    ):
        assert found(value, b"..." + data + b"...")


@given(VALUES, VALUES)
def test_nothing_is_found_where_it_is_not(value, other):
    assert found(value, other) == any(form in other for form in forms(value).values())


def test_files_below_a_directory_are_read_and_the_excepted_are_not(tmp_path):
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    (inner / "db-wal").write_bytes(bytes(5_000) + b"canary-value-1")
    (tmp_path / "key").write_bytes(b"canary-value-1")
    searcher = Searcher([Canary("password", Hidden(b"canary-value-1"))])
    searcher.read_files([tmp_path], [tmp_path / "key"])
    (hit,) = searcher.outcome().hits
    assert (hit.kind, hit.form, hit.offset, hit.place) == ("password", "raw", 5_000, str(inner / "db-wal"))
    assert not searcher.outcome().is_clean
    with pytest.raises(FileNotFoundError):
        searcher.read_files([tmp_path / "absent"])


def test_the_operators_values(tmp_path):
    path = tmp_path / "values.json"
    path.write_text('{"secret": ["first-one", "hex:00112233445566"]}')
    assert [one.value.reveal() for one in read_canaries(path)] == [b"first-one", bytes.fromhex("00112233445566")]
    path.write_text('{"secret": "short"}')
    with pytest.raises(CanaryFileError):
        read_canaries(path)


def test_the_witness_keeps_what_passes_and_an_own_address_is_no_leak():
    witness = Witness()
    sent = json.dumps({"email": "li.wei@example.cn", "password": "a-long-password"}).encode()
    answer = Answer(status=400, body=b"li.wei@example.cn is refused, a-long-password too")
    witness.saw(("203.0.113.9", "agent/1.0"), "/api/v1/signup?x=1", sent, answer)
    searcher = Searcher(witness.canaries())
    witness.search(searcher)
    assert [hit.kind for hit in searcher.outcome().hits] == ["password"]
    assert set(searcher.outcome().kinds) == {"mail address", "password", "IP address", "user agent"}
