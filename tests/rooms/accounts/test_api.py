"""The JSON API, through the real application."""

import hashlib
import hmac
import json

import pytest

from doorward.accounts.model import Visitor
from doorward.hall.model import Action

PASSWORD = "violet anchor tuesday marmalade"


@pytest.fixture
def client(browse):
    made = browse()
    made.headers["accept"] = "application/json"
    return made


async def sign_up(room, client, email="ada@example.com"):
    taken = await client.json("/api/v1/signup", ticket="ticket-1", proof="p", email=email, password=PASSWORD)
    assert taken.status == 202
    code = await room.code(email)
    return await client.json("/api/v1/signup/confirm", pending=taken.json["pending"], code=code)


async def be_admin(room, client):
    url, _ = await room.accounts.welcome.admin_link("admin@localhost")
    entered = await room.accounts.welcome.accept(url.rpartition("/")[2], Visitor(), "en")
    client.headers["authorization"] = f"Bearer {entered.token}"
    return entered


async def test_sign_up_account_log_out(room, client):
    offer = (await client.json("/api/v1/signup/offer")).json
    assert offer == {"ticket": "ticket-1", "challenge": offer["challenge"], "expires_at": room.clock.now() + 3600}
    made = await sign_up(room, client)
    assert (made.status, made.json["lane"]) == (201, "existing")
    assert set(client.cookies) == {"doorward", "doorward_device"}
    assert client.cookies["doorward"] == made.json["session"]
    account = await client.get("/api/v1/account")
    assert account.json == {
        "account_id": made.json["account_id"],
        "lane": "existing",
        "role": "member",
        "usage": {
            "tokens_today": 0,
            "tokens_per_day": None,
            "requests_ok": 7,
            "requests_refused": 1,
            "active_days": 2,
            "is_recorded": False,
        },
    }
    assert (await client.json("/api/v1/logout")).status == 204
    assert "doorward" not in client.cookies
    assert (await client.get("/api/v1/account")).status == 401


async def test_the_cookies_are_kept_from_scripts_and_other_sites(room, client):
    made = await sign_up(room, client)
    cookies = [value for name, value in made.headers if name == "set-cookie"]
    assert len(cookies) == 2
    for cookie in cookies:
        assert "HttpOnly" in cookie
        assert "SameSite=lax" in cookie
        assert "Path=/" in cookie


async def test_a_dearer_price_brings_its_offer(room, client):
    room.door.action = Action.CHALLENGE
    answer = await client.json("/api/v1/signup", ticket="t", proof="p", email="ada@example.com")
    assert answer.status == 428
    assert answer.header("content-type").startswith("application/problem+json")
    assert answer.json["code"] == "gate.price"
    assert set(answer.json["offer"]) == {"ticket", "challenge", "expires_at"}
    assert answer.json["reasons"] == [{"code": "test.said", "evidence": {}}]


async def test_refused_and_waitlisted(room, client):
    room.door.action = Action.REFUSE
    answer = await client.json("/api/v1/signup", ticket="t", proof="p", email="ada@example.com")
    assert (answer.status, answer.json["code"], answer.json["reasons"][0]["code"]) == (403, "gate.refused", "test.said")
    room.door.action = Action.WAITLIST
    answer = await client.json("/api/v1/signup", ticket="t", proof="p", email="ada@example.com")
    assert (answer.status, answer.json) == (202, {"waitlisted": True, "position": 1, "place": "plc_0.x"})


async def test_known_and_unknown_addresses_get_the_same_bytes(room, client, browse):
    await sign_up(room, client, "known@example.com")

    async def answers(email):
        stranger = browse()
        stranger.headers["accept"] = "application/json"
        got = [
            await stranger.json("/api/v1/signup", ticket="t", proof="p", email=email, password=PASSWORD),
            await stranger.json("/api/v1/login", ticket="t", proof="p", email=email, password="another password here"),
            await stranger.json("/api/v1/login", ticket="t", proof="p", email=email),
            await stranger.json("/api/v1/login", ticket="t", email=email),
        ]
        for begun, path in ((got[0], "signup"), (got[2], "login")):
            pending = begun.json["pending"]
            got.append(await stranger.json(f"/api/v1/{path}/resend", pending=pending))
            got.append(await stranger.json(f"/api/v1/{path}/confirm", pending=pending, code="00000000"))
        assert stranger.cookies == {}
        return [_same(answer) for answer in got]

    assert await answers("known@example.com") == await answers("unknown@example.com")


def _same(answer):
    """An answer without what is different each time anyway."""
    body = answer.json
    fresh = ("pending", "request_id")
    headers = [(name, value) for name, value in answer.headers if name != "x-request-id"]
    return answer.status, headers, {name: len(value) if name in fresh else value for name, value in body.items()}


async def test_log_in_by_known_device_and_by_code(room, client, browse):
    made = await sign_up(room, client)
    assert (await client.json("/api/v1/login/offer", email="ada@example.com")).json["ticket"]
    again = await client.json("/api/v1/login", email="ada@example.com", password=PASSWORD)
    assert (again.status, again.json["account_id"]) == (200, made.json["account_id"])
    program = browse()
    program.headers |= {"accept": "application/json", "doorward-device": made.json["device"]}
    assert (await program.json("/api/v1/login", email="ada@example.com", password=PASSWORD)).status == 200
    stranger = browse()
    taken = await stranger.json(
        "/api/v1/login", email="ada@example.com", password=PASSWORD, ticket="ticket-1", proof="p"
    )
    assert (taken.status, taken.json["next"]) == (202, "confirm")
    code = await room.code("ada@example.com")
    done = await stranger.json("/api/v1/login/confirm", pending=taken.json["pending"], code=code)
    assert done.status == 200
    assert done.json["session"].startswith("dws_")


async def test_links_can_be_used_by_programs(room, client):
    taken = await client.json("/api/v1/signup", ticket="ticket-1", email="ada@example.com")
    assert taken.json["next"] == "mail_link"
    done = await client.json("/api/v1/signup/confirm", link=await room.link("ada@example.com"))
    assert done.status == 201
    await client.json("/api/v1/logout")
    stranger_link = await client.json("/api/v1/login/confirm", link="dwl_" + "a" * 43)
    assert (stranger_link.status, stranger_link.json["code"]) == (404, "accounts.link.used")


async def test_sessions(room, client, browse):
    await sign_up(room, client)
    other = browse()
    other.cookies["doorward_device"] = client.cookies["doorward_device"]
    await other.json("/api/v1/login", email="ada@example.com", password=PASSWORD)
    listed = (await client.get("/api/v1/sessions")).json["sessions"]
    assert [one["current"] for one in listed].count(True) == 1
    foreign = next(one["session_id"] for one in listed if not one["current"])
    assert (await client.delete(f"/api/v1/sessions/{foreign}")).status == 204
    assert (await client.delete(f"/api/v1/sessions/{foreign}")).status == 404
    assert (await other.get("/api/v1/account")).status == 401
    assert (await client.delete("/api/v1/sessions")).json == {"ended": 0}
    assert (await client.get("/api/v1/account")).status == 200


async def test_keys(room, client, browse):
    await sign_up(room, client)
    made = await client.json("/api/v1/keys", name="ci", scopes=["chat"], expires_in_days=7)
    assert made.status == 201
    assert made.json["expires_at"] == room.clock.now() + 7 * 86_400
    listed = (await client.get("/api/v1/keys")).json["keys"]
    assert [one["key_id"] for one in listed] == [made.json["key_id"]]
    assert "key" not in listed[0]
    program = browse()
    program.headers |= {"accept": "application/json", "authorization": f"Bearer {made.json['key']}"}
    assert (await program.get("/api/v1/account")).status == 200
    for answer in (
        await program.json("/api/v1/keys", name="more", scopes=["*"]),
        await program.get("/api/v1/keys"),
        await program.get("/api/v1/sessions"),
        await program.json("/api/v1/logout"),
        await program.delete(f"/api/v1/keys/{made.json['key_id']}"),
    ):
        assert (answer.status, answer.json["code"]) == (403, "accounts.session.needed")
    assert (await client.delete(f"/api/v1/keys/{made.json['key_id']}")).status == 204
    assert (await program.get("/api/v1/account")).status == 401


@pytest.mark.parametrize(
    ("path", "values", "field"),
    [
        ("/api/v1/signup", {"email": "ada@"}, "email"),
        ("/api/v1/signup", {"email": "a" * 400}, "email"),
        ("/api/v1/signup", {"email": "ada@example.com", "password": "password1234567"}, "password"),
        ("/api/v1/signup", {"email": "ada@example.com", "proof": "x" * 9000}, "proof"),
        ("/api/v1/signup/offer", {"email": "ada@"}, "email"),
        ("/api/v1/signup/confirm", {"pending": "x", "code": "1"}, "code"),
        ("/api/v1/login", {"email": "@"}, "email"),
        ("/api/v1/login", {"email": ["ada@example.com"]}, "email"),
        ("/api/v1/admin/operator-proof", {"key_id": "k", "nonce": "short"}, "nonce"),
    ],
)
async def test_bad_input_names_its_field(client, path, values, field):
    answer = await client.json(path, **values)
    assert answer.status == 400
    assert answer.json["field"] == field


async def test_an_address_is_needed(client):
    for path in ("/api/v1/signup", "/api/v1/login"):
        answer = await client.json(path)
        assert (answer.status, "email" in answer.json["detail"]) == (400, True)


async def test_the_sink_and_the_accounts_are_for_administrators(room, client):
    for path in ("/api/v1/admin/letters", "/api/v1/admin/accounts"):
        assert (await client.get(path)).status == 401
    await sign_up(room, client)
    for path in ("/api/v1/admin/letters", "/api/v1/admin/accounts"):
        assert (await client.get(path)).status == 403


async def test_administrators_read_letters_from_where_they_stopped(room, client):
    for number in range(3):
        await room.accounts.signup.begin(room.arrival(), f"person{number}@example.com", "")
    await be_admin(room, client)
    first = (await client.get("/api/v1/admin/letters?limit=2")).json
    assert [one["recipient"] for one in first["letters"]] == ["person0@example.com", "person1@example.com"]
    rest = (await client.get(f"/api/v1/admin/letters?after={first['next']}")).json
    assert [one["recipient"] for one in rest["letters"]] == ["person2@example.com"]
    empty = (await client.get(f"/api/v1/admin/letters?after={rest['next']}")).json
    assert empty == {"letters": [], "next": rest["next"]}
    assert (await client.get("/api/v1/admin/letters?after=-1")).status == 400
    assert (await client.get("/api/v1/admin/letters?after=" + "9" * 40)).status == 400


async def test_administrators_list_accounts_without_whole_addresses(room, client):
    for number in range(3):
        await room.sign_up(f"person{number}@example.com")
        room.clock.step(1)
    await be_admin(room, client)
    first = (await client.get("/api/v1/admin/accounts?limit=3")).json
    assert [one["email"] for one in first["accounts"]] == ["a…@localhost", "p…@example.com", "p…@example.com"]
    rest = (await client.get(f"/api/v1/admin/accounts?limit=3&after={first['next']}")).json
    assert (len(rest["accounts"]), rest["next"]) == (1, "")
    assert (await client.get("/api/v1/admin/accounts?after=x")).status == 400


async def test_the_operators_proof(room, client):
    entered = await be_admin(room, client)
    made = await client.json("/api/v1/keys", name="siege", scopes=["admin"])
    plain = await client.json("/api/v1/keys", name="plain", scopes=["*"])
    del client.headers["authorization"]
    nonce = "0123456789abcdef"
    answer = await client.json("/api/v1/admin/operator-proof", key_id=made.json["key_id"], nonce=nonce)
    key = hashlib.sha256(made.json["key"].encode()).digest()
    assert answer.json == {"proof": hmac.new(key, nonce.encode(), "sha256").hexdigest()}
    for key_id in (plain.json["key_id"], "key_" + "0" * 26):
        refused = await client.json("/api/v1/admin/operator-proof", key_id=key_id, nonce=nonce)
        assert refused.status == 404
    statuses = [
        (await client.json("/api/v1/admin/operator-proof", key_id="key_none", nonce=nonce)).status for _ in range(12)
    ]
    assert statuses[-1] == 429
    assert entered.account.role == "admin"


async def test_a_full_hash_queue_is_a_503_with_the_time_to_wait(room, client, monkeypatch):
    monkeypatch.setattr(room.accounts.hasher, "_limit", 0)
    answer = await client.json(
        "/api/v1/signup", ticket="ticket-1", proof="p", email="ada@example.com", password=PASSWORD
    )
    assert (answer.status, answer.header("retry-after")) == (503, "2")
    assert answer.json["code"] == "accounts.hashing.busy"


async def test_no_answer_and_no_log_line_holds_a_secret(room, client, capsys):
    made = await sign_up(room, client)
    key = (await client.json("/api/v1/keys", name="ci")).json["key"]
    await client.json("/api/v1/login", email="ada@example.com", password="wrong wrong wrong wrong")
    logged = capsys.readouterr().out + json.dumps((await client.get("/api/v1/sessions")).json)
    for secret in (PASSWORD, made.json["session"], made.json["device"], key, "ada@example.com", "wrong wrong"):
        assert secret not in logged
