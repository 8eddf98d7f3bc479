"""The pages, as a browser without JavaScript sees them."""

import re
from html.parser import HTMLParser

import pytest

from doorward.accounts.model import Visitor
from doorward.hall.model import Action

PASSWORD = "violet anchor tuesday marmalade"


class Fields(HTMLParser):
    """Forms by their action, with the fields that they would send, in order."""

    def __init__(self, text):
        super().__init__()
        self.forms, self._form = {}, None
        self.attributes = {}
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        if tag == "form":
            self._form = self.forms.setdefault(values["action"], {})
            self.attributes[values["action"]] = values
        elif tag == "input" and self._form is not None and "name" in values:
            self._form[values["name"]] = values.get("value") or ""
            self.attributes[values["name"]] = values

    def handle_endtag(self, tag):
        if tag == "form":
            self._form = None


async def sign_up(room, browser, email="ada@example.com", password=""):
    form = Fields((await browser.get("/signup")).text).forms["/signup"]
    answer = await browser.form("/signup", **(form | {"email": email, "password": password, "proof": "p"}))
    assert answer.status == 303
    page = await browser.get(answer.header("location"))
    form = Fields(page.text).forms["/signup/confirm"]
    return await browser.form("/signup/confirm", **(form | {"code": await room.code(email)}))


async def test_sign_up_with_a_code(room, browse):
    browser = browse()
    answer = await sign_up(room, browser)
    assert (answer.status, answer.header("location")) == (303, "/account")
    account = await browser.get("/account")
    assert account.status == 200
    assert "ada@example.com" in account.text


async def test_sign_up_with_a_link(room, browse):
    browser = browse()
    form = Fields((await browser.get("/signup")).text).forms["/signup"]
    answer = await browser.form("/signup", **(form | {"email": "ada@example.com"}))
    page = await browser.get(answer.header("location"))
    assert "/signup/confirm" not in Fields(page.text).forms
    token = await room.link("ada@example.com")
    for _ in range(2):  # looking at it, as mail scanners do, uses nothing up
        opened = await browser.get(f"/signup/link?token={token}")
    form = Fields(opened.text).forms["/signup/link"]
    assert form == {"token": token}
    assert (await browser.form("/signup/link", **form)).header("location") == "/account"
    again = await browser.form("/signup/link", **form)
    assert again.status == 404


async def test_the_ticket_comes_first_and_the_challenge_is_on_the_form(browse):
    page = Fields((await browse().get("/signup")).text)
    assert list(page.forms["/signup"]) == ["ticket", "proof", "email", "password"]
    assert page.forms["/signup"]["ticket"] == "ticket-1"
    assert '"cost":100' in page.attributes["/signup"]["data-challenge"]


async def test_fields_tell_password_managers_what_they_are(browse):
    browser = browse()
    signup, login = Fields((await browser.get("/signup")).text), Fields((await browser.get("/login")).text)
    code = Fields((await browser.get("/login/code?pending=pen_" + "0" * 26 + "." + "a" * 11)).text)
    assert signup.attributes["email"]["autocomplete"] == "email"
    assert signup.attributes["password"]["autocomplete"] == "new-password"
    assert login.attributes["password"]["autocomplete"] == "current-password"
    assert code.attributes["code"]["autocomplete"] == "one-time-code"


@pytest.mark.parametrize(
    ("email", "password", "field"),
    [
        ("ada@", "", "email"),
        ("ada@example.com", "short", "password"),
        ("ada@example.com", "password1234567", "password"),
    ],
)
async def test_a_mistake_shows_the_form_again_with_the_error_at_its_field(browse, email, password, field):
    answer = await browse().form("/signup", ticket="ticket-1", proof="p", email=email, password=password)
    assert answer.status == 400
    page = Fields(answer.text)
    assert page.attributes[field]["aria-invalid"] == "true"
    assert f"error-{field}" in page.attributes[field]["aria-describedby"]
    assert page.forms["/signup"]["email"] == email
    assert page.forms["/signup"]["password"] == ""
    assert f'id="error-{field}"' in answer.text


async def test_a_dearer_price_shows_the_form_again_with_the_new_challenge(room, browse):
    room.door.action = Action.CHALLENGE
    for path in ("/signup", "/login"):
        answer = await browse().form(path, ticket="old", proof="p", email="ada@example.com")
        assert answer.status == 428
        form = Fields(answer.text).forms[path]
        assert form["email"] == "ada@example.com"
        assert form["ticket"].startswith("ticket-")


async def test_refused_and_waitlisted(room, browse):
    room.door.action = Action.REFUSE
    assert (await browse().form("/signup", ticket="t", proof="p", email="ada@example.com")).status == 403
    room.door.action = Action.WAITLIST
    answer = await browse().form("/signup", ticket="t", proof="p", email="ada@example.com")
    assert (answer.status, answer.header("location")) == (303, "/waitlist/plc_0.x")


async def test_a_wrong_code_shows_the_form_again(room, browse):
    browser = browse()
    answer = await browser.form("/signup", ticket="t", proof="p", email="ada@example.com")
    pending = answer.header("location").partition("pending=")[2]
    wrong = await browser.form("/signup/confirm", pending=pending, code="00000000")
    assert wrong.status == 400
    assert Fields(wrong.text).forms["/signup/confirm"]["pending"] == pending
    again = await browser.form("/signup/resend", pending=pending)
    assert (await browser.get(again.header("location"))).status == 200
    assert len(await room.letters()) == 2


async def test_known_and_unknown_addresses_get_the_same_bytes(room, browse):
    await sign_up(room, browse(), "known@example.com")

    async def answers(email):
        browser = browse()
        got = []
        for path in ("/signup", "/login"):
            begun = await browser.form(path, ticket="t", proof="p", email=email)
            got += [begun, await browser.get(begun.header("location"))]
            pending = begun.header("location").partition("pending=")[2]
            got.append(
                await browser.form(
                    "/signup/confirm" if path == "/signup" else "/login/code", pending=pending, code="00000000"
                )
            )
        got.append(await browser.form("/login", ticket="t", proof="p", email=email, password="another password here"))
        return [_same(answer, email) for answer in got]

    assert await answers("known@example.com") == await answers("unknown@example.com")


def _same(answer, email):
    """An answer without what is different each time anyway."""
    changing = re.compile(r"(pen|req)_[0-9a-z]{24,26}(\.[A-Za-z0-9_-]{11})?|ticket-\d+")
    headers = [(name, changing.sub("…", value)) for name, value in answer.headers if name != "content-length"]
    return answer.status, headers, changing.sub("…", answer.text).replace(email, "…")


async def test_log_in_and_out(room, browse):
    browser = browse()
    await sign_up(room, browser, password=PASSWORD)
    out = await browser.form("/logout")
    assert (out.status, out.header("location")) == (303, "/")
    assert (await browser.get("/account")).status == 401
    wrong = await browser.form("/login", email="ada@example.com", password="another password here")
    assert wrong.status == 401
    back = await browser.form("/login", email="ada@example.com", password=PASSWORD)
    assert (back.status, back.header("location")) == (303, "/account")


async def test_log_in_on_a_new_device_takes_the_code(room, browse):
    await sign_up(room, browse(), password=PASSWORD)
    stranger = browse()
    answer = await stranger.form("/login", ticket="t", proof="p", email="ada@example.com", password=PASSWORD)
    page = await stranger.get(answer.header("location"))
    form = Fields(page.text).forms["/login/code"]
    done = await stranger.form("/login/code", **(form | {"code": await room.code("ada@example.com")}))
    assert done.header("location") == "/account"


async def test_log_in_by_link(room, browse):
    await sign_up(room, browse())
    stranger = browse()
    await stranger.form("/login", ticket="t", email="ada@example.com")
    opened = await stranger.get(f"/login/link?token={await room.link('ada@example.com')}")
    done = await stranger.form("/login/link", **Fields(opened.text).forms["/login/link"])
    assert done.header("location") == "/account"


async def test_keys_are_made_shown_once_and_revoked(room, browse):
    browser = browse()
    await sign_up(room, browser)
    assert "No keys yet" in (await browser.get("/account/keys")).text
    made = await browser.form("/account/keys", name="<script>ci</script>", scopes="chat", expires_in_days="7")
    assert made.status == 201
    key = re.search(r"dw_live_[a-z2-7]{38}", made.text)[0]
    assert room.accounts.standing_of(key.encode()).scopes == {"chat"}
    page = await browser.get("/account/keys")
    assert key not in page.text
    assert "<script>ci" not in page.text
    (revoke,) = (action for action in Fields(page.text).forms if action.endswith("/revoke"))
    assert (await browser.form(revoke)).header("location") == "/account/keys"
    assert room.accounts.standing_of(key.encode()) is None
    bad = await browser.form("/account/keys", name=" ", scopes="chat")
    assert bad.status == 400
    assert "error-name" in bad.text


async def test_sessions_are_listed_and_ended(room, browse):
    browser, other = browse(), browse()
    await sign_up(room, browser)
    other.headers["user-agent"] = "Mozilla/5.0 (iPhone; CPU) AppleWebKit Version/18 Safari/605"
    room.clock.step(1)
    begun = await other.form("/login", ticket="t", proof="p", email="ada@example.com")
    pending = begun.header("location").partition("pending=")[2]
    await other.form("/login/code", pending=pending, code=await room.code("ada@example.com"))
    page = await browser.get("/account/sessions")
    assert "Safari, iPhone" in page.text
    assert "Firefox, Linux" in page.text
    (end,) = (action for action in Fields(page.text).forms if action.endswith("/revoke"))
    await browser.form(end)
    assert (await other.get("/account")).status == 401
    assert (await browser.form("/account/sessions/revoke-others")).header("location") == "/account/sessions"
    assert (await browser.get("/account")).status == 200


async def test_the_first_administrator_comes_in_by_the_link(room, browse):
    browser = browse()
    url, _ = await room.accounts.welcome.admin_link("admin@localhost")
    path = url.removeprefix(room.parts.public_url)
    opened = await browser.get(path)
    assert path in Fields(opened.text).forms
    assert (await browser.form(path)).header("location") == "/console"
    await room.accounts.signup.begin(room.arrival(), "ada@example.com", "")
    accounts, mail = await browser.get("/console/accounts"), await browser.get("/console/mail")
    assert "a…@localhost" in accounts.text
    assert "ada@example.com" in mail.text
    assert "ada@example.com" not in (await browser.get("/console/mail?recipient=eve@example.com")).text
    found = await browser.get("/console/mail?recipient=ada%40example.com")
    assert await room.code("ada@example.com") in found.text
    assert (await browse().form(path)).status == 404


async def test_an_invitation_comes_in_by_its_link(room, browse):
    room.door.invitations["plc_1.signed"] = "ada@example.com"
    browser = browse()
    assert (await browser.form("/welcome/plc_1.signed")).header("location") == "/account"
    assert "probation" in (await browser.get("/account")).text


@pytest.mark.parametrize("path", ["/console/accounts", "/console/mail"])
async def test_the_console_is_for_administrators(room, browse, path):
    browser = browse()
    assert (await browser.get(path)).status == 401
    await sign_up(room, browser)
    assert (await browser.get(path)).status == 403


@pytest.mark.parametrize(
    "path", ["/signup/confirm", "/login/code", "/login/code?pending=x", "/signup/confirm?pending=<b>"]
)
async def test_a_code_page_for_nothing(browse, path):
    assert (await browse().get(path)).status == 400


async def test_letters_in_the_readers_language(room, browse):
    browser = browse()
    browser.headers["accept-language"] = "zh-CN"
    await browser.form("/signup", ticket="t", proof="p", email="ada@example.com")
    letter = (await room.letters("ada@example.com"))[0]
    assert 'lang="zh-Hans"' in letter.html
    assert await room.code("ada@example.com") in letter.html


async def test_every_letter_can_be_written(room):
    await room.sign_up("known@example.com")
    for proof in ("p", ""):
        for email in ("known@example.com", "other@example.com"):
            await room.accounts.signup.begin(room.arrival(proof=proof), email, "")
            arrival = room.arrival(proof=proof)
            await room.accounts.login.begin(arrival, email, "", Visitor())
    subjects = {letter.subject.lstrip("0123456789 ") for letter in await room.letters()}
    assert len(subjects) == 5
