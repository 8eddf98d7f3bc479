"""A siege is only laid to what is one's own."""

from dataclasses import replace

import pytest

from doorward.siege.client import Client, Endpoint
from doorward.siege.ownership import NotOurTargetError, prove, resolve

from .conftest import ADMIN_KEY, ADMIN_KEY_ID


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080", "http://127.9.8.7", "http://[::1]:80/"])
async def test_loopback_is_ours(url):
    endpoint, is_loopback = await resolve(url)
    assert is_loopback
    assert endpoint.connect_host in url


@pytest.mark.parametrize(
    "url", ["http://192.0.2.1", "http://8.8.8.8:8080", "https://[2001:db8::1]", "http://0.0.0.0:80"]
)
async def test_other_addresses_are_not(url):
    _, is_loopback = await resolve(url)
    assert not is_loopback


@pytest.mark.parametrize(
    "url",
    [
        "ftp://127.0.0.1",
        "127.0.0.1:8080",
        "http://",
        "http://a:b@127.0.0.1",
        "http://127.0.0.1/path",
        "http://127.0.0.1:99999",
    ],
)
async def test_only_plain_addresses_of_a_target_are_taken(url):
    with pytest.raises(NotOurTargetError):
        await resolve(url)


async def test_a_name_that_also_leads_elsewhere_is_not_loopback(monkeypatch):
    import asyncio

    async def both(*_, **__):
        return [(2, 1, 6, "", ("127.0.0.1", 80)), (2, 1, 6, "", ("192.0.2.1", 80))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", both)
    endpoint, is_loopback = await resolve("http://two-faced.example")
    assert not is_loopback
    assert endpoint.host == "two-faced.example"
    assert endpoint.connect_host == "127.0.0.1"


def elsewhere(client: Client) -> Client:
    """The same server under a name that is not this machine's."""
    client.endpoint = replace(client.endpoint, host="ai.example")
    return client


async def test_the_operators_own_target_proves_it(client, door):
    await prove(elsewhere(client), ADMIN_KEY, ADMIN_KEY_ID)
    assert door.seen == [("POST", "/api/v1/admin/operator-proof", "127.0.0.1")]


@pytest.mark.parametrize(
    ("key", "key_id"),
    [
        ("dw_live_another", ADMIN_KEY_ID),
        (ADMIN_KEY, "key_unknown"),
        ("", ADMIN_KEY_ID),
        (ADMIN_KEY, ""),
        (ADMIN_KEY, "../x"),
    ],
    ids=["wrong key", "unknown id", "no key", "no id", "no id at all"],
)
async def test_without_proof_the_siege_refuses(client, key, key_id):
    with pytest.raises(NotOurTargetError):
        await prove(elsewhere(client), key, key_id)


async def test_the_key_is_not_sent_to_a_target_without_proof(serve_bytes):
    heard = bytearray()

    async def script(reader, writer):
        heard.extend(await reader.read(65536))
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")

    async with serve_bytes(script) as client:
        with pytest.raises(NotOurTargetError, match="nothing was sent"):
            await prove(elsewhere(client), ADMIN_KEY, ADMIN_KEY_ID)
    assert ADMIN_KEY.encode() not in heard
    assert heard.count(b"HTTP/1.1") == 1


async def test_an_unreachable_target_gives_no_proof():
    with pytest.raises(NotOurTargetError, match="gave no proof"):
        await prove(Client(Endpoint("ai.example", 9, "127.0.0.1")), ADMIN_KEY, ADMIN_KEY_ID)
