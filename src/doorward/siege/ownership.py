"""Whose target is it? A siege is an attack: it is run only on what is one's own.

1. A target whose every address is loopback is one's own machine.
2. Any other must prove, before it is sent anything else, that it knows the operator's admin key: the siege names
   the key and sends a nonce, the target answers HMAC-SHA256 of the nonce under the SHA-256 of the key (which is
   what it stores). The key itself is never sent to a target that has not proved so.
"""

import asyncio
import hashlib
import hmac
import re
import secrets
import socket
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from doorward.siege.client import Actor, Client, Endpoint, TransportError
from doorward.siege.target import Target

_KEY_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


class NotOurTargetError(Exception):
    """The siege refuses this target; the message says what would change that."""


async def resolve(url: str) -> tuple[Endpoint, bool]:
    """Where the target is, fixed to one address, and whether all of its addresses are loopback.

    Raises:
        NotOurTargetError: not an http(s) URL of a host that can be found.
    """
    parts = urlsplit(url)
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError as error:
        raise NotOurTargetError(f"{url!r} has an impossible port") from error
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.path.strip("/"):
        raise NotOurTargetError(f"{url!r} is not of the form http://host:port")
    try:
        found = await asyncio.get_running_loop().getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise NotOurTargetError(f"{parts.hostname} cannot be found: {error.strerror}") from error
    addresses = sorted({str(entry[4][0]) for entry in found}, key=lambda address: (":" in address, address))
    is_loopback = all(ip_address(address.partition("%")[0]).is_loopback for address in addresses)
    return Endpoint(parts.hostname, port, addresses[0], parts.scheme == "https"), is_loopback


async def prove(client: Client, admin_key: str, key_id: str) -> None:
    """Have the target prove that it is the operator's own.

    Raises:
        NotOurTargetError: no key or key id was given, or the proof is missing or wrong.
    """
    where = client.endpoint.authority
    if not admin_key or not _KEY_ID.fullmatch(key_id):
        raise NotOurTargetError(
            f"{where} is not this machine: give --admin-key and --admin-key-id, so that it can prove it is yours"
        )
    nonce = secrets.token_hex(32)
    stranger = Actor("127.0.0.1", "doorward-siege")
    try:
        reply = await Target(client).post(stranger, "/api/v1/admin/operator-proof", {"key_id": key_id, "nonce": nonce})
    except TransportError as error:
        raise NotOurTargetError(f"{where} gave no proof: {error}") from error
    proof = reply.data.get("proof")
    if (
        reply.status != 200
        or not isinstance(proof, str)
        or not hmac.compare_digest(proof.lower().encode(), expected_proof(admin_key, nonce).encode())
    ):
        raise NotOurTargetError(f"{where} did not prove that it is yours (HTTP {reply.status}): nothing was sent to it")


def expected_proof(admin_key: str, nonce: str) -> str:
    """What the operator's own target answers, in hexadecimal (HMAC, RFC 2104)."""
    return hmac.new(hashlib.sha256(admin_key.encode()).digest(), nonce.encode(), hashlib.sha256).hexdigest()
