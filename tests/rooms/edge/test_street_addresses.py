"""Whose address counts, behind proxies and behind nobody."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doorward.edge.addresses import TrustedProxies, canonical

PROXIES = TrustedProxies(["10.0.0.0/8", "2001:db8:1::/48", "192.0.2.9"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1:8080", "192.0.2.1"),
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", ""),
        ("192.0.2.01", ""),
        ("192.0.2.256", ""),
        ("unknown", ""),
        ("_hidden", ""),
        ("", ""),
        ("[192.0.2.1", ""),
        ("1" * 500, ""),
    ],
)
def test_one_spelling_for_each_address(text, expected):
    assert canonical(text) == expected


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("203.0.113.5", [b"192.0.2.1"], "203.0.113.5"),  # a stranger's word
        ("10.1.1.1", [], "10.1.1.1"),
        ("10.1.1.1", [b"203.0.113.5"], "203.0.113.5"),
        ("10.1.1.1", [b"1.2.3.4, 203.0.113.5"], "203.0.113.5"),  # what the visitor made up stands further left
        ("10.1.1.1", [b"1.2.3.4", b"203.0.113.5, 10.2.2.2"], "203.0.113.5"),
        ("10.1.1.1", [b"203.0.113.5,2001:db8:1::7, 192.0.2.9"], "203.0.113.5"),
        ("10.1.1.1", [b"10.3.3.3, 10.2.2.2"], "10.3.3.3"),  # a proxy itself is the visitor
        ("10.1.1.1", [b"203.0.113.5, nonsense"], "10.1.1.1"),
        ("10.1.1.1", [b"203.0.113.5, nonsense, 10.2.2.2"], "10.1.1.1"),
        ("10.1.1.1", [b"nonsense, 203.0.113.5:1234"], "203.0.113.5"),
        ("2001:db8:1::1", [b"[2001:db8:2::5]:99"], "2001:db8:2::5"),
        ("10.1.1.1", [b""], "10.1.1.1"),
    ],
)
def test_the_visitor_is_the_rightmost_whom_nobody_vouches_for(peer, forwarded, expected):
    assert PROXIES.visitor(peer, forwarded) == expected


def test_no_networks_trust_nobody():
    assert not TrustedProxies([]).trusts("127.0.0.1")
    assert not PROXIES.trusts("nonsense")


def test_a_network_that_is_none_is_told():
    with pytest.raises(ValueError, match="300"):
        TrustedProxies(["300.0.0.0/8"])


@given(peer=st.ip_addresses().map(str), forwarded=st.lists(st.binary(max_size=60), max_size=4))
def test_whatever_is_claimed_the_result_is_an_address(peer, forwarded):
    visitor = PROXIES.visitor(canonical(peer), forwarded)
    assert canonical(visitor) == visitor != ""
    if not PROXIES.trusts(canonical(peer)):
        assert visitor == canonical(peer)
