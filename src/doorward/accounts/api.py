"""The JSON API of this room."""

from dataclasses import asdict, replace

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from doorward.accounts import addresses
from doorward.accounts.errors import PriceHigherError, TurnedAwayError, shown_offer
from doorward.accounts.front import Front, whole_number
from doorward.accounts.model import Account, Dearer, Entered, Key, Mailed, Outcome, Refused, Waitlisted
from doorward.accounts.service import Accounts
from doorward.accounts.shapes import (
    ConfirmBody,
    KeyBody,
    LoginBody,
    OfferBody,
    OperatorProofBody,
    PendingBody,
    SignupBody,
)
from doorward.hall.doors import Desk
from doorward.hall.errors import InvalidInputError
from doorward.hall.ids import is_id
from doorward.hall.model import Attempt

_LARGEST_PAGE = 200
_LARGEST_SEQUENCE = 2**53


class Api:
    """Handlers that answer in JSON; errors are raised, and become answers at the edge."""

    def __init__(self, accounts: Accounts, desk: Desk, front: Front) -> None:
        """Stand between the service and the desk."""
        self._accounts = accounts
        self._desk = desk
        self._front = front

    def routes(self) -> list[Route]:
        """The addresses of the API."""
        return [
            Route("/api/v1/signup/offer", self._offer_signup, methods=["POST"]),
            Route("/api/v1/signup", self._sign_up, methods=["POST"]),
            Route("/api/v1/signup/confirm", self._confirm_signup, methods=["POST"]),
            Route("/api/v1/signup/resend", self._resend_signup, methods=["POST"]),
            Route("/api/v1/login/offer", self._offer_login, methods=["POST"]),
            Route("/api/v1/login", self._log_in, methods=["POST"]),
            Route("/api/v1/login/confirm", self._confirm_login, methods=["POST"]),
            Route("/api/v1/login/resend", self._resend_login, methods=["POST"]),
            Route("/api/v1/logout", self._log_out, methods=["POST"]),
            Route("/api/v1/account", self._account, methods=["GET"]),
            Route("/api/v1/sessions", self._sessions, methods=["GET"]),
            Route("/api/v1/sessions", self._end_other_sessions, methods=["DELETE"]),
            Route("/api/v1/sessions/{id}", self._end_session, methods=["DELETE"]),
            Route("/api/v1/keys", self._keys, methods=["GET"]),
            Route("/api/v1/keys", self._make_key, methods=["POST"]),
            Route("/api/v1/keys/{id}", self._revoke_key, methods=["DELETE"]),
            Route("/api/v1/admin/accounts", self._list_accounts, methods=["GET"]),
            Route("/api/v1/admin/letters", self._letters, methods=["GET"]),
            Route("/api/v1/admin/operator-proof", self._operator_proof, methods=["POST"]),
        ]

    # --- sign-up and log-in ---

    async def _offer_signup(self, request: Request) -> Response:
        return await self._offer(request, Attempt.SIGNUP)

    async def _offer_login(self, request: Request) -> Response:
        return await self._offer(request, Attempt.LOGIN)

    async def _offer(self, request: Request, attempt: Attempt) -> Response:
        body = await self._desk.body(request, OfferBody)
        email = addresses.parse(body.email, local=True).text if body.email else ""
        arrival = replace(self._desk.arrival(request, attempt), email=email)
        return JSONResponse(shown_offer(self._accounts.parts.doorkeeper.offer(arrival)))

    async def _sign_up(self, request: Request) -> Response:
        body = await self._desk.body(request, SignupBody)
        arrival = replace(self._desk.arrival(request, Attempt.SIGNUP), ticket=body.ticket, proof=body.proof)
        return self._shown(await self._accounts.signup.begin(arrival, body.email, body.password))

    async def _log_in(self, request: Request) -> Response:
        body = await self._desk.body(request, LoginBody)
        arrival = replace(self._desk.arrival(request, Attempt.LOGIN), ticket=body.ticket, proof=body.proof)
        visitor = self._front.visitor(request)
        return self._shown(await self._accounts.login.begin(arrival, body.email, body.password, visitor))

    async def _confirm_signup(self, request: Request) -> Response:
        body, visitor = await self._desk.body(request, ConfirmBody), self._front.visitor(request)
        signup = self._accounts.signup
        if body.link:
            return self._entered(await signup.confirm_link(body.link, visitor), 201)
        return self._entered(await signup.confirm(body.pending, body.code, visitor), 201)

    async def _confirm_login(self, request: Request) -> Response:
        body, visitor = await self._desk.body(request, ConfirmBody), self._front.visitor(request)
        login = self._accounts.login
        if body.link:
            return self._entered(await login.confirm_link(body.link, visitor), 200)
        return self._entered(await login.confirm(body.pending, body.code, visitor), 200)

    async def _resend_signup(self, request: Request) -> Response:
        body = await self._desk.body(request, PendingBody)
        await self._accounts.signup.resend(body.pending)
        return JSONResponse({"pending": body.pending}, 202)

    async def _resend_login(self, request: Request) -> Response:
        body = await self._desk.body(request, PendingBody)
        await self._accounts.login.resend(body.pending)
        return JSONResponse({"pending": body.pending}, 202)

    async def _log_out(self, request: Request) -> Response:
        standing = self._front.person(request)
        await self._accounts.sessions.revoke(standing.account_id, standing.credential_id, forget_device=False)
        return self._front.forget(Response(status_code=204))

    # --- the account ---

    async def _account(self, request: Request) -> Response:
        standing = self._front.member(request)
        account = await self._accounts.account(standing.account_id)
        usage = await self._accounts.parts.meter.usage_of(standing.account_id, account.lane)
        shown = {"account_id": account.account_id, "lane": account.lane, "role": account.role, "usage": asdict(usage)}
        return JSONResponse(shown)

    async def _sessions(self, request: Request) -> Response:
        standing = self._front.person(request)
        found = await self._accounts.sessions.of_account(standing.account_id)
        shown = [
            {name: value for name, value in asdict(one).items() if name != "account_id"}
            | {"current": one.session_id == standing.credential_id}
            for one in found
        ]
        return JSONResponse({"sessions": shown})

    async def _end_session(self, request: Request) -> Response:
        standing = self._front.person(request)
        await self._accounts.sessions.revoke(standing.account_id, request.path_params["id"][:64])
        return Response(status_code=204)

    async def _end_other_sessions(self, request: Request) -> Response:
        standing = self._front.person(request)
        ended = await self._accounts.sessions.revoke_others(standing.account_id, standing.credential_id)
        return JSONResponse({"ended": ended})

    async def _keys(self, request: Request) -> Response:
        standing = self._front.person(request)
        found = await self._accounts.keys.of_account(standing.account_id)
        return JSONResponse({"keys": [shown_key(key) for key in found]})

    async def _make_key(self, request: Request) -> Response:
        standing, body = self._front.person(request), await self._desk.body(request, KeyBody)
        key, text = await self._accounts.keys.create(
            standing.account_id, standing.role, body.name, body.scopes, body.expires_in_days
        )
        return JSONResponse(shown_key(key) | {"key": text}, 201)

    async def _revoke_key(self, request: Request) -> Response:
        standing = self._front.person(request)
        await self._accounts.keys.revoke(request.path_params["id"][:64], standing.account_id)
        return Response(status_code=204)

    # --- administration ---

    async def _list_accounts(self, request: Request) -> Response:
        self._front.admin(request)
        limit = whole_number(request, "limit", 50, _LARGEST_PAGE)
        found = await self._accounts.newest(after_id(request), limit)
        following = found[-1].account_id if len(found) == limit and found else ""
        return JSONResponse({"accounts": [shown_account(one) for one in found], "next": following})

    async def _letters(self, request: Request) -> Response:
        self._front.admin(request)
        after = whole_number(request, "after", 0, _LARGEST_SEQUENCE)
        limit = whole_number(request, "limit", 100, _LARGEST_PAGE)
        recipient = request.query_params.get("recipient", "")[:320]
        found = await self._accounts.parts.postbox.sink(after=after, recipient=recipient, limit=limit)
        following = found[-1].sequence if found else after
        return JSONResponse({"letters": [asdict(one) for one in found], "next": following})

    async def _operator_proof(self, request: Request) -> Response:
        body = await self._desk.body(request, OperatorProofBody)
        return JSONResponse({"proof": await self._accounts.operator_proof(body.key_id, body.nonce)})

    # --- answers ---

    def _shown(self, outcome: Outcome) -> Response:
        match outcome:
            case Mailed():
                following = "mail_link" if outcome.by_link else "confirm"
                return JSONResponse({"pending": outcome.pending_id, "next": following}, 202)
            case Waitlisted():
                place = outcome.place
                return JSONResponse({"waitlisted": True, "position": place.position, "place": place.token}, 202)
            case Dearer():
                raise PriceHigherError(outcome.offer, outcome.reasons)
            case Refused():
                raise TurnedAwayError(outcome.reasons, outcome.retry_after_seconds)
            case Entered():
                return self._entered(outcome, 200)

    def _entered(self, entered: Entered, status: int) -> Response:
        shown = {
            "account_id": entered.account.account_id,
            "lane": entered.account.lane,
            "session": entered.token,
            "expires_at": entered.expires_at,
            "device": entered.device,
        }
        return self._front.remember(JSONResponse(shown, status), entered)


def after_id(request: Request) -> str:
    """The account id that a page of the list begins behind.

    Raises:
        InvalidInputError: it is none.
    """
    after = request.query_params.get("after", "")
    if after and not is_id(after, "acc"):
        raise InvalidInputError("`after` is the id of an account.", field="after")
    return after


def shown_key(key: Key) -> dict[str, object]:
    """A key as it may be listed."""
    return asdict(key)


def shown_account(account: Account) -> dict[str, object]:
    """An account as an administrator sees it in a list: enough to tell it by, not the whole address."""
    return {
        "account_id": account.account_id,
        "email": masked(account.email),
        "lane": account.lane,
        "role": account.role,
        "created_at": account.created_at,
    }


def masked(email: str) -> str:
    """An address with all but the first letter of the name hidden."""
    name, _, domain = email.rpartition("@")
    return f"{name[:1]}…@{domain}"
