"""Scopes: each opens its own addresses, and no way of writing an address opens more."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doorward.upstream.scopes import permits


@pytest.mark.parametrize(
    ("scope", "path", "is_open"),
    [
        ("chat", "/v1/chat/completions", True),
        ("chat", "/v1/chat/completions?x=1", True),
        ("chat", "/v1/responses/resp_1", True),
        ("chat", "/v1/models", True),
        ("chat", "/v1/models/sim-chat", True),
        ("chat", "/v1/embeddings", False),
        ("chat", "/v1/modelsx", False),
        ("chat", "/v1/files", False),
        ("embeddings", "/v1/embeddings", True),
        ("embeddings", "/v1/chat/completions", False),
        ("images", "/v1/images/generations", True),
        ("models", "/v1/models", True),
        ("models", "/v1/chat/completions", False),
        ("admin", "/v1/models", False),
        ("admin", "/v1/chat/completions", False),
        ("*", "/v1/files", True),
    ],
)
def test_what_a_scope_opens(scope, path, is_open):
    assert permits(frozenset({scope}), path) is is_open


@pytest.mark.parametrize(
    "path",
    [
        "/v1/embeddings/../chat/completions",
        "/v1/embeddings/..",
        "/v1/embeddings/%2e%2e/chat/completions",
        "/v1/embeddings//chat",
        "/v1//chat/completions",
        "/v1/embeddings/..;/chat/completions",
        "/v1/embeddings\\..\\chat",
    ],
)
def test_roundabout_addresses_need_all(path):
    assert not permits(frozenset({"chat", "embeddings", "models"}), path)
    assert permits(frozenset({"*"}), path)


@given(st.text(max_size=30))
def test_without_a_scope_nothing_is_open(path):
    assert not permits(frozenset(), f"/v1/{path}")
    assert not permits(frozenset({"admin"}), f"/v1/{path}")
