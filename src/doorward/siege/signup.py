"""The way of a sign-up, seen from outside: by the JSON API, by the pages, and by the pages without JavaScript.

1. Open the form: a ticket and a challenge come with it. While the visitor types, their device solves.
2. Hand the form in. A dearer price (428) is paid again, a few times; "busy" is met with patience.
3. Read the code, or the link, from the mailbox and hand it in.
4. What the door cost is the time from handing the form in to being in, without the visitor's own typing.
"""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any, Final

from doorward.siege.client import Answer
from doorward.siege.crowd import Newcomer
from doorward.siege.forms import Form, form_with, read_forms
from doorward.siege.mailboxes import Mailboxes
from doorward.siege.model import Outcome
from doorward.siege.proofs import NoProofError, SolverPool, payload
from doorward.siege.target import GaveUpError, Reply, Target, patiently

MOST_PAYMENTS: Final = 4
MOST_REDIRECTS: Final = 5
SCRIPT_PATIENCE_SECONDS: Final = 3.0  # of solving, after which the page's own script sends the form without a proof


@dataclass(frozen=True, slots=True)
class Means:
    """What a kind of visitor signs up with."""

    target: Target
    mailboxes: Mailboxes
    solvers: SolverPool
    patience_seconds: float


@dataclass(slots=True)
class Ending:
    """How it ended."""

    outcome: Outcome
    delay_s: float | None = None
    why: str = ""


class _EndedError(Exception):
    """The target gave its last word before there was an account."""

    def __init__(self, outcome: Outcome, why: str) -> None:
        self.outcome = outcome
        self.why = why
        super().__init__(why)


@dataclass(slots=True)
class SignUp:
    """One visitor's sign-up. Their actor keeps the session that comes of it."""

    visitor: Newcomer
    means: Means
    _handed_in: float = 0.0
    _own_seconds: float = 0.0
    _solving: asyncio.Task[str] | None = field(default=None, repr=False)

    async def run(self) -> Ending:
        """Do it all."""
        way = self._by_api if self.visitor.way == "api" else self._by_page
        try:
            lane = await way()
        except _EndedError as ended:
            return Ending(ended.outcome, why=ended.why)
        except NoProofError:
            return Ending(Outcome.REFUSED, why="price")
        except GaveUpError as error:
            return Ending(Outcome.LOST, why=str(error))
        finally:
            if self._solving is not None:
                self._solving.cancel()
        delay = max(0.0, time.perf_counter() - self._handed_in - self._own_seconds)
        return Ending(Outcome.ADMITTED if lane == "existing" else Outcome.PROBATION, delay)

    # the JSON API

    async def _by_api(self) -> str:
        offer = await self._ask("/api/v1/signup/offer", {})
        if offer.status != 200:
            raise _ended(offer)
        reply = await self._pay_by_api(offer)
        return await self._confirm_by_api(reply)

    async def _pay_by_api(self, offer: Reply) -> Reply:
        ticket, challenge = offer.text("ticket"), offer.mapping("challenge")
        proof = self._begin_solving(challenge)
        await asyncio.sleep(self.visitor.form_seconds)
        self._handed_in = time.perf_counter()
        for _ in range(MOST_PAYMENTS):
            reply = await self._ask("/api/v1/signup", self._form(ticket, await proof))
            if reply.status != 428:
                return reply
            dearer, why = reply.mapping("offer"), f"price-rises: {reply.reason}"
            ticket, challenge = str(dearer.get("ticket", "")), dearer.get("challenge") or {}
            proof = self._begin_solving(challenge)
        raise _EndedError(Outcome.REFUSED, why)

    def _form(self, ticket: str, proof: str) -> dict[str, str]:
        form = {"ticket": ticket, "proof": proof, "email": self.visitor.email}
        return form | {"password": self.visitor.password} if self.visitor.password else form

    async def _confirm_by_api(self, reply: Reply) -> str:
        if reply.status != 202:
            raise _ended(reply)
        if reply.data.get("waitlisted"):
            raise _EndedError(Outcome.WAITLISTED, "waitlisted")
        pending = reply.text("pending")
        mail = await self.means.mailboxes.next_mail(self.visitor.email, self.means.patience_seconds)
        await self._type(self.visitor.code_seconds)
        if mail.link:
            return await self._use_link(mail.link)
        done = await self._ask("/api/v1/signup/confirm", {"pending": pending, "code": mail.code})
        if done.status != 201:
            raise _ended(done)
        return done.text("lane")

    async def _ask(self, path: str, value: object) -> Reply:
        actor, target = self.visitor.actor, self.means.target
        return await patiently(lambda: target.post(actor, path, value), self.means.patience_seconds)

    # the pages

    async def _by_page(self) -> str:
        form = _signup_form(await self._open("/signup"))
        answer = await self._pay_by_page(form)
        if _is_waitlist(answer):
            raise _EndedError(Outcome.WAITLISTED, "waitlisted")
        mail = await self.means.mailboxes.next_mail(self.visitor.email, self.means.patience_seconds)
        await self._type(self.visitor.code_seconds)
        if mail.link:
            return await self._use_link(mail.link)
        form_for_code = form_with(answer.body, "code")
        if form_for_code is None:
            raise GaveUpError("page-without-code-form")
        await self._submit(form_for_code, "/signup/confirm", code=mail.code)
        return await self._lane()

    async def _pay_by_page(self, form: Form) -> Answer:
        has_script = self.visitor.way == "page"
        proof = self._begin_solving(form.challenge()) if has_script else None
        await asyncio.sleep(self.visitor.form_seconds)
        self._handed_in = time.perf_counter()
        for _ in range(MOST_PAYMENTS):
            values = {"email": self.visitor.email, "proof": await self._script_proof(proof)}
            if self.visitor.password and "password" in form.fields:
                values["password"] = self.visitor.password
            answer = await self._submit(form, "/signup", **values)
            again = form_with(answer.body, "email")
            if again is None or answer.status != 428:
                _refuse_errors(answer)
                return answer
            form = again
            proof = self._begin_solving(form.challenge()) if has_script else None
        raise _EndedError(Outcome.REFUSED, "price-rises")

    async def _script_proof(self, proof: "asyncio.Task[str] | None") -> str:
        if proof is None:
            return ""
        try:
            async with asyncio.timeout(SCRIPT_PATIENCE_SECONDS):
                return await asyncio.shield(proof)
        except (TimeoutError, NoProofError):
            return ""

    async def _use_link(self, link: str) -> str:
        page = await self._open(link)
        _refuse_errors(page)
        form = next(iter(_forms_to(page, "/signup/link")), None)
        if form is None:
            raise GaveUpError("link-page-without-button")
        _refuse_errors(await self._submit(form, link))
        return await self._lane()

    async def _lane(self) -> str:
        actor, target = self.visitor.actor, self.means.target
        reply = await patiently(lambda: target.get(actor, "/api/v1/account"), self.means.patience_seconds)
        if reply.status != 200:
            raise _ended(reply)
        return reply.text("lane")

    async def _open(self, path: str) -> Answer:
        actor, target = self.visitor.actor, self.means.target
        return await patiently(lambda: target.page(actor, path), self.means.patience_seconds)

    async def _submit(self, form: Form, default_action: str, **values: str) -> Answer:
        actor, target = self.visitor.actor, self.means.target
        action = form.action or default_action
        fields = form.filled(**values)
        answer = await patiently(lambda: target.submit(actor, action, fields), self.means.patience_seconds)
        for _ in range(MOST_REDIRECTS):
            location = answer.headers.get("location", "")
            if answer.status not in {302, 303} or not location.startswith("/"):
                break
            answer = await self._open(location)
            answer.headers.setdefault("x-came-from", location)
        return answer

    # paying and typing

    def _begin_solving(self, challenge: dict[str, Any]) -> "asyncio.Task[str]":
        if self._solving is not None:
            self._solving.cancel()
        self._solving = asyncio.create_task(self._solve(challenge))
        self._solving.add_done_callback(_retrieve)
        return self._solving

    async def _solve(self, challenge: dict[str, Any]) -> str:
        """Solve for real, and take no less time than the visitor's own device would."""
        began = time.perf_counter()
        counter, key = await self.means.solvers.solve(challenge)
        device_seconds = max(1, counter) * self.visitor.device_us / 1e6
        await asyncio.sleep(max(0.0, began + device_seconds - time.perf_counter()))
        return payload(challenge, counter, key, device_seconds * 1000)

    async def _type(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self._own_seconds += seconds


def _retrieve(task: "asyncio.Task[str]") -> None:
    """Look at a task's error, so that a proof nobody waited for any more is not reported as forgotten."""
    if not task.cancelled():
        task.exception()


def _ended(reply: Reply) -> _EndedError:
    is_place = bool(reply.data.get("waitlisted") or reply.data.get("place"))
    outcome = Outcome.WAITLISTED if is_place else Outcome.REFUSED if reply.status == 403 else Outcome.LOST
    return _EndedError(outcome, reply.reason)


def _signup_form(page: Answer) -> Form:
    form = form_with(page.body, "email")
    if page.status != 200 or form is None:
        raise GaveUpError(f"no-signup-form-http-{page.status}")
    return form


def _forms_to(page: Answer, path: str) -> list[Form]:
    from_page = [form for form in read_forms(page.body) if form.method == "post"]
    return [form for form in from_page if form.action.startswith(path) or not form.action]


def _is_waitlist(answer: Answer) -> bool:
    return answer.headers.get("x-came-from", "").startswith("/waitlist/")


def _refuse_errors(answer: Answer) -> None:
    if answer.status == 403:
        raise _EndedError(Outcome.REFUSED, "http-403")
    if answer.status >= 400:
        raise GaveUpError(f"http-{answer.status}")
