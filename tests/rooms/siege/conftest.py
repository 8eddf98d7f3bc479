"""A small target that speaks Doorward's interface, and servers that answer with bytes as told."""

import asyncio
import hashlib
import hmac
import itertools
import json
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from html import escape
from random import Random
from urllib.parse import parse_qsl

import altcha
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from doorward.siege.client import Client, Endpoint

ADMIN_KEY = "dw_live_test-admin-key"
ADMIN_KEY_ID = "key_admin"


@dataclass
class FakeDoorward:
    """Keeps everything in memory. What happens to a sign-up depends on the domain of its address:
    dear, wait, refuse, busy (once), silent, probation; all others are admitted."""

    price: int = 8
    letters: list[dict] = field(default_factory=list)
    pending: dict[str, str] = field(default_factory=dict)
    sessions: dict[str, str] = field(default_factory=dict)
    passwords: dict[str, str] = field(default_factory=dict)
    posture: list[dict] = field(default_factory=list)
    seen: list[tuple[str, str, str]] = field(default_factory=list)  # method, path, X-Forwarded-For
    paid: dict[str, int] = field(default_factory=dict)
    busy_once: set[str] = field(default_factory=set)
    chat_status: int = 200
    tightens_at_bots: bool = False
    numbers: itertools.count = field(default_factory=lambda: itertools.count(1))
    url: str = ""

    def app(self) -> Starlette:
        routes = [
            Route("/api/v1/signup/offer", self.offer, methods=["POST"]),
            Route("/api/v1/login/offer", self.offer, methods=["POST"]),
            Route("/api/v1/signup", self.sign_up, methods=["POST"]),
            Route("/api/v1/signup/confirm", self.confirm, methods=["POST"]),
            Route("/api/v1/login", self.log_in, methods=["POST"]),
            Route("/api/v1/login/confirm", self.confirm_login, methods=["POST"]),
            Route("/api/v1/account", self.account),
            Route("/api/v1/keys", self.make_key, methods=["POST"]),
            Route("/api/v1/admin/letters", self.read_letters),
            Route("/api/v1/admin/posture/history", self.history),
            Route("/api/v1/admin/operator-proof", self.operator_proof, methods=["POST"]),
            Route("/signup", self.page),
            Route("/signup", self.submit, methods=["POST"]),
            Route("/signup/confirm", self.code_page),
            Route("/signup/confirm", self.confirm_page, methods=["POST"]),
            Route("/signup/link", self.link_page),
            Route("/signup/link", self.use_link, methods=["POST"]),
            Route("/waitlist/{token}", lambda _: HTMLResponse("<p>You are number 3.</p>")),
            Route("/v1/models", lambda _: JSONResponse({"data": [{"id": "tiny"}]})),
            Route("/v1/chat/completions", self.chat, methods=["POST"]),
        ]
        return Starlette(routes=routes, middleware=[])

    def note(self, request: Request) -> None:
        self.seen.append((request.method, request.url.path, request.headers.get("x-forwarded-for", "")))

    def minted(self) -> dict:
        ticket = f"ticket-{next(self.numbers)}"
        challenge = altcha.create_challenge(
            "PBKDF2/SHA-256",
            10,
            counter=Random(ticket).randrange(1, self.price),
            hmac_secret="s",
            hmac_key_secret="k",
            data={"n": ticket},
        )
        return {"ticket": ticket, "challenge": challenge.to_dict(), "expires_at": time.time() + 600}

    def is_paid(self, ticket: str, proof: str) -> bool:
        if not proof or not altcha.verify_solution(proof, "s", hmac_key_secret="k").verified:
            return False
        return altcha.Payload.from_base64(proof).challenge.parameters.data == {"n": ticket}

    def mail(self, email: str, text: str) -> None:
        self.letters.append({"sequence": len(self.letters) + 1, "recipient": email, "subject": "x", "text": text})

    def begin(self, email: str, *, link: bool = False) -> str:
        name = f"pending-{next(self.numbers)}"
        self.pending[name] = email
        if not email.endswith("@silent.example"):
            code = f"{next(self.numbers):08d}"
            self.pending[f"{name}/code"] = code
            url = f"https://ai.example/signup/link?token={name}"
            self.mail(email, f"Open {url} now." if link else f"Your code:\n\n{code}\n\nGood for 15 minutes.")
        return name

    def enter(self, email: str, response: Response) -> str:
        token = f"dws_{next(self.numbers)}"
        self.sessions[token] = email
        response.set_cookie("doorward", token, httponly=True)
        response.set_cookie("doorward_device", f"device-of-{email}")
        return token

    def lane(self, email: str) -> str:
        return "probation" if email.endswith("@probation.example") else "existing"

    def judge(self, ticket: str, proof: str, email: str) -> str:
        domain = email.partition("@")[2]
        if domain == "busy.example" and email not in self.busy_once:
            self.busy_once.add(email)
            return "busy"
        if domain in {"refuse.example", "wait.example"}:
            return domain.partition(".")[0]
        if not proof:
            return "link"
        if not self.is_paid(ticket, proof):
            return "refuse"
        self.paid[email] = self.paid.get(email, 0) + 1
        return "dear" if domain == "dear.example" and self.paid[email] < 3 else "ok"

    async def offer(self, request: Request) -> Response:
        self.note(request)
        return JSONResponse(self.minted())

    async def sign_up(self, request: Request) -> Response:
        self.note(request)
        form = await request.json()
        word = self.judge(form["ticket"], form["proof"], form["email"])
        if form.get("password"):
            self.passwords[form["email"]] = form["password"]
        if word == "busy":
            return JSONResponse({"code": "busy"}, 503, {"Retry-After": "0"})
        if word == "refuse":
            return JSONResponse({"code": "gate.refused"}, 403)
        if word == "wait":
            return JSONResponse({"waitlisted": True, "position": 3, "place": "abc"}, 202)
        if word == "dear":
            return JSONResponse({"code": "gate.price", "offer": self.minted()}, 428)
        return JSONResponse({"pending": self.begin(form["email"]), "next": "confirm"}, 202)

    async def confirm(self, request: Request) -> Response:
        form = await request.json()
        if form["code"] != self.pending.get(f"{form['pending']}/code"):
            return JSONResponse({"code": "accounts.code.wrong"}, 400)
        email = self.pending[form["pending"]]
        response = JSONResponse({"account_id": "acc", "lane": self.lane(email), "session": "see cookie"}, 201)
        self.enter(email, response)
        return response

    async def log_in(self, request: Request) -> Response:
        self.note(request)
        form = await request.json()
        is_right = self.passwords.get(form["email"]) == form["password"]
        if request.cookies.get("doorward_device") == f"device-of-{form['email']}" and is_right:
            return JSONResponse({"session": "dws_again"})
        if not self.is_paid(form["ticket"], form["proof"]):
            return JSONResponse({"code": "gate.price", "offer": self.minted()}, 428)
        if not is_right:
            return JSONResponse({"code": "accounts.login.wrong"}, 401)
        return JSONResponse({"pending": self.begin(form["email"])}, 202)

    async def confirm_login(self, request: Request) -> Response:
        form = await request.json()
        is_right = form["code"] == self.pending.get(f"{form['pending']}/code")
        return JSONResponse({"session": "dws_mail"} if is_right else {"code": "wrong"}, 200 if is_right else 400)

    def who(self, request: Request) -> str:
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        return self.sessions.get(bearer) or self.sessions.get(request.cookies.get("doorward", ""), "")

    async def account(self, request: Request) -> Response:
        email = self.who(request)
        if not email:
            return JSONResponse({"code": "auth.required"}, 401)
        return JSONResponse({"account_id": "acc", "lane": self.lane(email), "role": "member", "usage": {}})

    async def make_key(self, request: Request) -> Response:
        email = self.who(request)
        if not email:
            return JSONResponse({"code": "auth.required"}, 401)
        key = f"dw_live_{next(self.numbers)}"
        self.sessions[key] = email
        return JSONResponse({"key": key}, 201)

    def is_admin(self, request: Request) -> bool:
        return request.headers.get("authorization") == f"Bearer {ADMIN_KEY}"

    async def read_letters(self, request: Request) -> Response:
        if not self.is_admin(request):
            return JSONResponse({"code": "auth.required"}, 401)
        after = int(request.query_params["after"])
        return JSONResponse({"letters": [one for one in self.letters if one["sequence"] > after][:100]})

    async def history(self, request: Request) -> Response:
        return JSONResponse(
            {"history": self.posture} if self.is_admin(request) else {}, 200 if self.is_admin(request) else 401
        )

    def tighten(self, cohort: str, before: str, after: str) -> None:
        row = {"version": len(self.posture) + 1, "cohort": cohort, "from": before, "to": after}
        self.posture.append(row | {"reason": "in lockstep", "at": time.time()})

    async def operator_proof(self, request: Request) -> Response:
        form = await request.json()
        self.note(request)
        if form["key_id"] != ADMIN_KEY_ID:
            return JSONResponse({"code": "resource.not_found"}, 404)
        secret = hashlib.sha256(ADMIN_KEY.encode()).digest()
        return JSONResponse({"proof": hmac.new(secret, form["nonce"].encode(), hashlib.sha256).hexdigest()})

    def form(self, email: str = "", note: str = "") -> str:
        offer = self.minted()
        challenge = escape(json.dumps(offer["challenge"]))
        return (
            f"<form action=/language method=post><button name=language value=en>English</button></form>{note}"
            f'<form method="post" action="/signup" data-challenge="{challenge}">'
            f'<input type=hidden name=ticket value="{offer["ticket"]}"><input type=hidden name=proof>'
            f'<input name=email type=email value="{escape(email)}"><input type=password name=password><button>Go</button></form>'
        )

    async def page(self, request: Request) -> Response:
        self.note(request)
        return HTMLResponse(self.form())

    async def submit(self, request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode(), keep_blank_values=True))
        word = self.judge(form["ticket"], form["proof"], form["email"])
        if word == "refuse":
            return HTMLResponse("<p>No.</p>", 403)
        if word == "busy":
            return HTMLResponse("<p>Later.</p>", 503, {"Retry-After": "0"})
        if word == "wait":
            return RedirectResponse("/waitlist/abc", 303)
        if word == "dear":
            return HTMLResponse(self.form(form["email"], "<p>Once more.</p>"), 428)
        pending = self.begin(form["email"], link=word == "link")
        return RedirectResponse(f"/signup/confirm?pending={pending}", 303)

    async def code_page(self, request: Request) -> Response:
        pending = escape(request.query_params["pending"])
        return HTMLResponse(
            f'<form method=post action="/signup/confirm"><input type=hidden name=pending value="{pending}">'
            "<input name=code><button>Go</button></form>"
        )

    async def confirm_page(self, request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode()))
        if form.get("code") != self.pending.get(f"{form['pending']}/code"):
            return HTMLResponse("<p>Wrong.</p>", 400)
        response = RedirectResponse("/api/v1/account", 303)
        self.enter(self.pending[form["pending"]], response)
        return response

    async def link_page(self, request: Request) -> Response:
        token = escape(request.query_params["token"])
        return HTMLResponse(
            f'<form method=post action="/signup/link"><input type=hidden name=token value="{token}"><button>Come in</button></form>'
        )

    async def use_link(self, request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode()))
        response = RedirectResponse("/api/v1/account", 303)
        self.enter(self.pending[form["token"]], response)
        return response

    async def chat(self, request: Request) -> Response:
        if not self.who(request):
            return JSONResponse({"error": {}}, 401)
        if self.chat_status != 200:
            return JSONResponse({"error": {}}, self.chat_status)

        async def words() -> AsyncIterator[bytes]:
            for word in ("Doors", " open", "."):
                yield f'data: {{"choices":[{{"delta":{{"content":"{word}"}}}}]}}\n\n'.encode()
                await asyncio.sleep(0)
            yield b"data: [DONE]\n\n"

        return StreamingResponse(words(), media_type="text/event-stream")


@pytest.fixture
async def door() -> AsyncIterator[FakeDoorward]:
    """The fake target, listening on loopback; `door.url` says where."""
    fake = FakeDoorward()
    config = uvicorn.Config(fake.app(), lifespan="off", ws="none", log_config=None, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen(128)  # from here on connections wait until the server takes them
    task = asyncio.create_task(server.serve(sockets=[listening]))
    fake.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    yield fake
    server.should_exit = True
    await task


@pytest.fixture
async def client(door: FakeDoorward) -> AsyncIterator[Client]:
    """A client of the fake target."""
    port = int(door.url.rpartition(":")[2])
    made = Client(Endpoint("127.0.0.1", port, "127.0.0.1"))
    yield made
    await made.close()


Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
def serve_bytes() -> Callable[[Script], object]:
    """`async with serve_bytes(script) as client:` a client of a server that runs `script` for each connection."""

    @asynccontextmanager
    async def serving(script: Script) -> AsyncIterator[Client]:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await script(reader, writer)
            except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                pass
            finally:
                writer.close()

        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        made = Client(Endpoint("127.0.0.1", port, "127.0.0.1"))
        try:
            yield made
        finally:
            await made.close()
            server.close()

    return serving
