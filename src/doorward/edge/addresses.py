"""Who is really asking: the visitor's address behind proxies that are trusted by name, and by nobody else's word.

1. A peer that is no trusted proxy is itself the visitor; whatever it says in `X-Forwarded-*` changes nothing.
2. Behind a trusted proxy the visitor is the right-most entry of `X-Forwarded-For` that is no trusted proxy: entries
   further left were written by people whom nobody vouches for.
3. An entry that is no address, where one had to be read, makes the peer the visitor: a guess could be steered.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

_MOST_HOPS: Final = 32
_WITH_PORT: Final = re.compile(r"\[([0-9A-Fa-f:.]{2,45})\](?::[0-9]{1,5})?|([0-9.]{7,15}):[0-9]{1,5}")


@lru_cache(maxsize=8_192)
def canonical(text: str) -> str:
    """An IP address in its one spelling, without port or brackets; empty if it is none.

    An IPv4 address inside IPv6 (`::ffff:192.0.2.1`) is the IPv4 address; a zone (`%eth0`) is refused.
    """
    matched = _WITH_PORT.fullmatch(text)
    if matched is not None:
        text = matched.group(1) or matched.group(2)
    try:
        return str(_plain(ip_address(text))) if "%" not in text and len(text) <= 45 else ""
    except ValueError:
        return ""


def _plain(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


class TrustedProxies:
    """The networks whose forwarding headers are believed."""

    def __init__(self, networks: Iterable[str]) -> None:
        """Take networks in CIDR notation (or single addresses).

        Raises:
            ValueError: one of them is no network.
        """
        self._networks: list[IPv4Network | IPv6Network] = [ip_network(text, strict=False) for text in networks]
        self._trusts = lru_cache(maxsize=8_192)(self._look_up)

    def trusts(self, address: str) -> bool:
        """Whether this address (canonical spelling) is a trusted proxy."""
        return bool(self._networks) and self._trusts(address)

    def _look_up(self, address: str) -> bool:
        try:
            value = ip_address(address)
        except ValueError:
            return False
        return any(value in network for network in self._networks)

    def visitor(self, peer: str, forwarded_for: Iterable[bytes]) -> str:
        """The visitor's address, given the peer's (canonical) and the `X-Forwarded-For` values in order."""
        if not self.trusts(peer):
            return peer
        entries = b",".join(forwarded_for).decode("latin-1").split(",")
        visitor = peer
        for entry in reversed(entries[-_MOST_HOPS:]):
            address = canonical(entry.strip(" \t"))
            if not address:
                return peer
            visitor = address
            if not self.trusts(address):
                break
        return visitor
