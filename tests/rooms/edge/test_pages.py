"""Small pages: choices, static files, robots, security.txt."""

import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doorward.edge.app import build_app
from doorward.edge.pages import own_path
from doorward.edge.security_txt import security_txt
from doorward.edge.static_files import StaticFiles
from doorward.edge.view import Front, HouseView

FORM = {"content-type": "application/x-www-form-urlencoded", "sec-fetch-site": "same-origin"}


async def test_choosing_a_language(client: Any) -> None:
    answer = await client.post("/language", headers=FORM, body=b"language=zh_Hans&back=%2Fdocs%2Fapi")
    assert (answer.status, answer.headers["location"]) == (303, "/docs/api")
    assert "doorward_language=zh_Hans" in answer.cookies[0]
    assert "HttpOnly" in answer.cookies[0]
    page = await client.get("/", headers={"cookie": "doorward_language=zh_Hans", "accept-language": "en"})
    assert '<html lang="zh-Hans">' in page.text
    assert page.headers["content-language"] == "zh-Hans"
    assert "Accept-Language" in page.headers["vary"]


async def test_choosing_an_appearance(client: Any) -> None:
    answer = await client.post("/appearance", headers=FORM, body=b"theme=dark&back=/")
    assert "doorward_theme=dark" in answer.cookies[0]
    assert 'data-theme="dark"' in (await client.get("/", headers={"cookie": "doorward_theme=dark"})).text
    assert "data-theme" not in (await client.get("/", headers={"cookie": 'doorward_theme="><script>'})).text


@pytest.mark.parametrize(
    ("path", "body"), [("/language", b"language=fr"), ("/appearance", b"theme=pink"), ("/language", b"lang=en")]
)
async def test_foreign_choices_are_refused(client: Any, path: str, body: bytes) -> None:
    answer = await client.post(path, headers=FORM, body=body)
    assert answer.status == 400
    assert not answer.cookies


async def test_choices_are_secure_over_tls(client: Any, house: HouseView) -> None:
    secured = type(client)(build_app(replace(house, front=Front(public_url="https://ai.example"))))
    answer = await secured.post("/language", headers={**FORM, "host": "ai.example"}, body=b"language=en")
    assert "Secure" in answer.cookies[0]


@pytest.mark.parametrize(
    "back",
    ["//evil.example", "https://evil.example", "/\\evil.example", "/a//b", "javascript:alert(1)", "/a\r\nX: 1", ""],
)
async def test_a_redirect_never_leaves_the_house(client: Any, back: str) -> None:
    answer = await client.post("/language", headers=FORM, body=f"language=en&back={quote(back, safe='')}".encode())
    assert answer.headers["location"] == "/"


@given(st.text(max_size=60))
def test_own_path_is_own(back: str) -> None:
    path = own_path(back)
    assert path.startswith("/")
    assert not path.startswith("//")
    assert not set(path) & set('\\\r\n\t ?#"<>')


async def test_start_page_knows_who_belongs(client: Any) -> None:
    assert 'href="/signup"' in (await client.get("/")).text
    member = await client.get("/", headers={"cookie": "doorward=dws_member"})
    assert 'href="/account"' in member.text
    assert 'href="/console/door"' not in member.text
    assert 'href="/console/door"' in (await client.get("/", headers={"cookie": "doorward=dws_admin"})).text


async def test_console_is_for_administrators(client: Any) -> None:
    assert (await client.get("/console")).status == 401
    assert (await client.get("/console", headers={"cookie": "doorward=dws_member"})).status == 403
    assert (await client.get("/console", headers={"cookie": "doorward=dws_admin"})).headers[
        "location"
    ] == "/console/door"


async def test_static_files(client: Any) -> None:
    page = await client.get("/")
    address = re.search(r'href="(/static/[0-9a-f]{16}/style\.css)"', page.text)
    assert address is not None
    answer = await client.get(address[1])
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/css; charset=utf-8"
    assert "immutable" in answer.headers["cache-control"]
    again = await client.get(address[1], headers={"if-none-match": answer.headers["etag"]})
    assert (again.status, again.body) == (304, b"")
    older = await client.get("/static/0123456789abcdef/style.css")
    assert older.body == answer.body
    assert "immutable" not in older.headers["cache-control"]


@pytest.mark.parametrize("name", ["../app.py", "..%2fapp.py", "nothing.js", "", "/etc/passwd"])
async def test_only_listed_files(client: Any, name: str) -> None:
    assert (await client.get(f"/static/x/{name}")).status == 404


def test_digest_follows_the_content(tmp_path: Any) -> None:
    (tmp_path / "a.js").write_text("1")
    first = StaticFiles(tmp_path)
    (tmp_path / "a.js").write_text("2")
    assert first.digest != StaticFiles(tmp_path).digest
    with pytest.raises(KeyError, match=r"b\.js"):
        first.url("b.js")


async def test_robots_and_favicon(client: Any) -> None:
    assert "Disallow: /" in (await client.get("/robots.txt")).text
    assert (await client.get("/favicon.ico")).headers["content-type"] == "image/svg+xml"


def test_security_txt() -> None:
    now = datetime(2026, 11, 24, 6, 0, tzinfo=UTC).timestamp()
    text = security_txt(Front(public_url="https://ai.example/", security_contact="mailto:security@ai.example"), now)
    fields = dict(line.split(": ", 1) for line in text.splitlines())
    assert fields["Contact"] == "mailto:security@ai.example"
    assert fields["Canonical"] == "https://ai.example/.well-known/security.txt"
    expires = datetime.fromisoformat(fields["Expires"]).timestamp()
    assert 150 * 86_400 < expires - now < 365 * 86_400


async def test_security_txt_is_served(client: Any) -> None:
    answer = await client.get("/.well-known/security.txt")
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.text.count("Contact: ") == 1
