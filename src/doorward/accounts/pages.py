"""The pages of this room: forms that work without JavaScript. Success answers with a redirect (303), so that a
reloaded page sends nothing twice; an error shows the form again, with what was wrong beside the field.
"""

import re
from dataclasses import replace
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from doorward.accounts.errors import TurnedAwayError
from doorward.accounts.front import Front
from doorward.accounts.model import Dearer, Entered, Mailed, Outcome, Purpose, Refused, Scope, Waitlisted
from doorward.accounts.service import Accounts
from doorward.accounts.shapes import ConfirmBody, KeyBody, LinkBody, LoginBody, PendingBody, SignupBody
from doorward.hall.doors import Desk
from doorward.hall.errors import DoorwardError, InvalidInputError
from doorward.hall.model import Arrival, Attempt, Reason, Role, Standing

_PENDING: Final = re.compile(r"pen_[0-9a-z]{26}\.[A-Za-z0-9_-]{11}")
_PURPOSES: Final = {Attempt.SIGNUP: Purpose.SIGNUP, Attempt.LOGIN: Purpose.LOGIN}


class Pages:
    """Handlers that answer with pages."""

    def __init__(self, accounts: Accounts, desk: Desk, front: Front) -> None:
        """Stand between the service and the desk."""
        self._accounts = accounts
        self._desk = desk
        self._front = front

    def routes(self) -> list[Route]:
        """The addresses of the pages."""
        return [
            Route("/signup", self._signup_form, methods=["GET"]),
            Route("/signup", self._sign_up, methods=["POST"]),
            Route("/signup/confirm", self._signup_code_form, methods=["GET"]),
            Route("/signup/confirm", self._confirm_signup, methods=["POST"]),
            Route("/signup/resend", self._resend_signup, methods=["POST"]),
            Route("/signup/link", self._signup_link_form, methods=["GET"]),
            Route("/signup/link", self._use_signup_link, methods=["POST"]),
            Route("/login", self._login_form, methods=["GET"]),
            Route("/login", self._log_in, methods=["POST"]),
            Route("/login/code", self._login_code_form, methods=["GET"]),
            Route("/login/code", self._confirm_login, methods=["POST"]),
            Route("/login/resend", self._resend_login, methods=["POST"]),
            Route("/login/link", self._login_link_form, methods=["GET"]),
            Route("/login/link", self._use_login_link, methods=["POST"]),
            Route("/logout", self._log_out, methods=["POST"]),
            Route("/welcome/{token}", self._welcome_form, methods=["GET"]),
            Route("/welcome/{token}", self._welcome, methods=["POST"]),
        ]

    # --- sign-up ---

    async def _signup_form(self, request: Request) -> Response:
        return self._form(request, self._desk.arrival(request, Attempt.SIGNUP))

    async def _sign_up(self, request: Request) -> Response:
        body = await self._desk.body(request, SignupBody)
        arrival = replace(self._desk.arrival(request, Attempt.SIGNUP), ticket=body.ticket, proof=body.proof)
        try:
            outcome = await self._accounts.signup.begin(arrival, body.email, body.password)
        except DoorwardError as error:
            return self._form(request, arrival, error, email=body.email)
        return self._answer(request, arrival, outcome, body)

    async def _signup_code_form(self, request: Request) -> Response:
        return self._code_form(request, Purpose.SIGNUP, _pending_id(request))

    async def _confirm_signup(self, request: Request) -> Response:
        body = await self._desk.body(request, ConfirmBody)
        try:
            entered = await self._accounts.signup.confirm(body.pending, body.code, self._front.visitor(request))
        except DoorwardError as error:
            return self._code_form(request, Purpose.SIGNUP, body.pending, error)
        return self._enter(entered)

    async def _resend_signup(self, request: Request) -> Response:
        body = await self._desk.body(request, PendingBody)
        await self._accounts.signup.resend(body.pending)
        return _to_code_form(Purpose.SIGNUP, body.pending, "sent=again")

    async def _signup_link_form(self, request: Request) -> Response:
        return self._link_form(request, "/signup/link", Purpose.SIGNUP)

    async def _use_signup_link(self, request: Request) -> Response:
        body = await self._desk.body(request, LinkBody)
        return self._enter(await self._accounts.signup.confirm_link(body.token, self._front.visitor(request)))

    # --- log-in ---

    async def _login_form(self, request: Request) -> Response:
        return self._form(request, self._desk.arrival(request, Attempt.LOGIN))

    async def _log_in(self, request: Request) -> Response:
        body = await self._desk.body(request, LoginBody)
        arrival = replace(self._desk.arrival(request, Attempt.LOGIN), ticket=body.ticket, proof=body.proof)
        visitor = self._front.visitor(request)
        try:
            outcome = await self._accounts.login.begin(arrival, body.email, body.password, visitor)
        except DoorwardError as error:
            return self._form(request, arrival, error, email=body.email)
        return self._answer(request, arrival, outcome, body)

    async def _login_code_form(self, request: Request) -> Response:
        return self._code_form(request, Purpose.LOGIN, _pending_id(request))

    async def _confirm_login(self, request: Request) -> Response:
        body = await self._desk.body(request, ConfirmBody)
        try:
            entered = await self._accounts.login.confirm(body.pending, body.code, self._front.visitor(request))
        except DoorwardError as error:
            return self._code_form(request, Purpose.LOGIN, body.pending, error)
        return self._enter(entered)

    async def _resend_login(self, request: Request) -> Response:
        body = await self._desk.body(request, PendingBody)
        await self._accounts.login.resend(body.pending)
        return _to_code_form(Purpose.LOGIN, body.pending, "sent=again")

    async def _login_link_form(self, request: Request) -> Response:
        return self._link_form(request, "/login/link", Purpose.LOGIN)

    async def _use_login_link(self, request: Request) -> Response:
        body = await self._desk.body(request, LinkBody)
        return self._enter(await self._accounts.login.confirm_link(body.token, self._front.visitor(request)))

    async def _log_out(self, request: Request) -> Response:
        standing = self._front.person(request)
        await self._accounts.sessions.revoke(standing.account_id, standing.credential_id, forget_device=False)
        return self._front.forget(RedirectResponse("/", 303))

    # --- one-time links ---

    async def _welcome_form(self, request: Request) -> Response:
        return self._desk.page(request, "accounts/link.html", purpose="welcome", action=request.url.path, token="")

    async def _welcome(self, request: Request) -> Response:
        language = self._desk.arrival(request, Attempt.SIGNUP).language
        token, visitor = request.path_params["token"], self._front.visitor(request)
        entered = await self._accounts.welcome.accept(token, visitor, language)
        return self._enter(entered, "/console" if entered.account.role is Role.ADMIN else "/account")

    # --- answers ---

    def _form(
        self,
        request: Request,
        arrival: Arrival,
        error: DoorwardError | None = None,
        *,
        email: str = "",
        dearer: Dearer | None = None,
    ) -> Response:
        offer = self._accounts.parts.doorkeeper.offer(arrival) if dearer is None else dearer.offer
        response = self._desk.page(
            request,
            f"accounts/{_PURPOSES[arrival.attempt]}.html",
            _status(error, dearer),
            ticket=offer.ticket,
            challenge=msgspec.json.encode(offer.challenge).decode(),
            errors={} if error is None else {error.field: error.message},
            advice="" if error is None else error.advice,
            email=email,
            is_dearer=dearer is not None,
            retypes=dearer is not None and arrival.has_password,
            reason=_first_code(dearer.reasons) if dearer is not None else "",
            minimum=self._accounts.parts.settings.password_minimum_characters,
        )
        return _with_wait(response, error)

    def _code_form(
        self, request: Request, purpose: Purpose, pending_id: str, error: DoorwardError | None = None
    ) -> Response:
        response = self._desk.page(
            request,
            "accounts/code.html",
            _status(error, None),
            purpose=purpose,
            pending=pending_id,
            by_link=request.query_params.get("way", "") == "link",
            is_sent_again=request.query_params.get("sent", "") == "again",
            errors={} if error is None else {error.field: error.message},
            advice="" if error is None else error.advice,
            minutes=self._accounts.parts.settings.code_lifetime_seconds // 60,
        )
        return _with_wait(response, error)

    def _link_form(self, request: Request, action: str, purpose: Purpose) -> Response:
        token = request.query_params.get("token", "")[:128]
        return self._desk.page(request, "accounts/link.html", purpose=purpose, action=action, token=token)

    def _answer(self, request: Request, arrival: Arrival, outcome: Outcome, body: SignupBody | LoginBody) -> Response:
        match outcome:
            case Mailed():
                way = "way=link" if outcome.by_link else ""
                return _to_code_form(_PURPOSES[arrival.attempt], outcome.pending_id, way)
            case Waitlisted():
                return RedirectResponse(f"/waitlist/{outcome.place.token}", 303)
            case Dearer():
                arrival = replace(arrival, has_password=bool(body.password))
                return self._form(request, arrival, email=body.email, dearer=outcome)
            case Refused():
                raise TurnedAwayError(outcome.reasons, outcome.retry_after_seconds)
            case Entered():
                return self._enter(outcome)

    def _enter(self, entered: Entered, to: str = "/account") -> Response:
        return self._front.remember(RedirectResponse(to, 303), entered)


class AccountPages:
    """The pages of somebody who is logged in."""

    def __init__(self, accounts: Accounts, desk: Desk, front: Front) -> None:
        """Stand between the service and the desk."""
        self._accounts = accounts
        self._desk = desk
        self._front = front

    def routes(self) -> list[Route]:
        """The addresses of the pages."""
        return [
            Route("/account", self._account, methods=["GET"]),
            Route("/account/sessions", self._sessions, methods=["GET"]),
            Route("/account/sessions/revoke-others", self._end_other_sessions, methods=["POST"]),
            Route("/account/sessions/{id}/revoke", self._end_session, methods=["POST"]),
            Route("/account/keys", self._keys, methods=["GET"]),
            Route("/account/keys", self._make_key, methods=["POST"]),
            Route("/account/keys/{id}/revoke", self._revoke_key, methods=["POST"]),
        ]

    async def _account(self, request: Request) -> Response:
        standing = self._front.person(request)
        account = await self._accounts.account(standing.account_id)
        usage = await self._accounts.parts.meter.usage_of(standing.account_id, account.lane)
        return self._desk.page(request, "accounts/account.html", account=account, usage=usage)

    async def _sessions(self, request: Request) -> Response:
        standing = self._front.person(request)
        found = await self._accounts.sessions.of_account(standing.account_id)
        return self._desk.page(request, "accounts/sessions.html", sessions=found, current=standing.credential_id)

    async def _end_session(self, request: Request) -> Response:
        standing = self._front.person(request)
        await self._accounts.sessions.revoke(standing.account_id, request.path_params["id"][:64])
        return RedirectResponse("/account/sessions", 303)

    async def _end_other_sessions(self, request: Request) -> Response:
        standing = self._front.person(request)
        await self._accounts.sessions.revoke_others(standing.account_id, standing.credential_id)
        return RedirectResponse("/account/sessions", 303)

    async def _keys(self, request: Request) -> Response:
        return await self._keys_page(request, self._front.person(request))

    async def _make_key(self, request: Request) -> Response:
        standing, body = self._front.person(request), await self._desk.body(request, KeyBody)
        try:
            _, text = await self._accounts.keys.create(
                standing.account_id, standing.role, body.name, body.scopes, body.expires_in_days
            )
        except DoorwardError as error:
            return await self._keys_page(request, standing, error=error)
        return await self._keys_page(request, standing, made=text)

    async def _revoke_key(self, request: Request) -> Response:
        standing = self._front.person(request)
        await self._accounts.keys.revoke(request.path_params["id"][:64], standing.account_id)
        return RedirectResponse("/account/keys", 303)

    async def _keys_page(
        self, request: Request, standing: Standing, *, made: str = "", error: DoorwardError | None = None
    ) -> Response:
        offered = [scope.value for scope in Scope if scope is not Scope.ADMIN or standing.role is Role.ADMIN]
        return self._desk.page(
            request,
            "accounts/keys.html",
            201 if made else _status(error, None),
            keys=await self._accounts.keys.of_account(standing.account_id),
            scopes=offered,
            made=made,
            errors={} if error is None else {error.field: error.message},
        )


def _to_code_form(purpose: Purpose, pending_id: str, extra: str) -> Response:
    _check_name(pending_id)
    path = "/signup/confirm" if purpose is Purpose.SIGNUP else "/login/code"
    return RedirectResponse(f"{path}?pending={pending_id}" + (f"&{extra}" if extra else ""), 303)


def _pending_id(request: Request) -> str:
    pending_id = request.query_params.get("pending", "")
    _check_name(pending_id)
    return pending_id


def _check_name(pending: str) -> None:
    """It goes into an address and a form: only what has the right form does."""
    if not _PENDING.fullmatch(pending):
        raise InvalidInputError("This does not name a sign-up or log-in.", field="pending")


def _status(error: DoorwardError | None, dearer: Dearer | None) -> int:
    if dearer is not None:
        return 428
    return 200 if error is None else error.status


def _with_wait(response: Response, error: DoorwardError | None) -> Response:
    if error is not None and error.retry_after_seconds is not None:
        response.headers["Retry-After"] = str(error.retry_after_seconds)
    return response


def _first_code(reasons: tuple[Reason, ...]) -> str:
    return reasons[0].code if reasons else ""
