"""Deleting an account: its page, its API, and the console's page for administrators. All work without JavaScript."""

import re
from dataclasses import asdict
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from doorward.accounts.api import masked
from doorward.accounts.deletion import Proof
from doorward.accounts.front import Front
from doorward.accounts.model import Account
from doorward.accounts.service import Accounts
from doorward.accounts.shapes import DeletionBody, NamedAccountBody
from doorward.hall.doors import Desk
from doorward.hall.errors import DoorwardError, InvalidInputError
from doorward.hall.model import Attempt, ShredReceipt

_PENDING: Final = re.compile(r"pen_[0-9a-z]{26}\.[A-Za-z0-9_-]{11}")
_LONGEST_ID: Final = 64


class DeletionWeb:
    """Handlers around `Deletion`."""

    def __init__(self, accounts: Accounts, desk: Desk, front: Front) -> None:
        """Stand between the service and the desk."""
        self._accounts = accounts
        self._deletion = accounts.deletion
        self._desk = desk
        self._front = front

    def routes(self) -> list[Route]:
        """The addresses."""
        return [
            Route("/account/delete", self._form, methods=["GET"]),
            Route("/account/delete", self._delete, methods=["POST"]),
            Route("/account/delete/code", self._send_code, methods=["POST"]),
            Route("/api/v1/account", self._delete_by_api, methods=["DELETE"]),
            Route("/api/v1/account/deletion-code", self._send_code_by_api, methods=["POST"]),
            Route("/console/accounts/{id}/delete", self._other_form, methods=["GET"]),
            Route("/console/accounts/{id}/delete", self._delete_other, methods=["POST"]),
            Route("/api/v1/admin/accounts/{id}", self._delete_other_by_api, methods=["DELETE"]),
        ]

    # --- the person's own ---

    async def _form(self, request: Request) -> Response:
        return await self._page(request, self._front.person(request).account_id, _pending_of(request))

    async def _send_code(self, request: Request) -> Response:
        standing = self._front.person(request)
        pending = await self._deletion.ask_code(standing.account_id, self._language(request))
        return RedirectResponse(f"/account/delete?pending={pending}", 303)

    async def _delete(self, request: Request) -> Response:
        standing, body = self._front.person(request), await self._desk.body(request, DeletionBody)
        try:
            receipt = await self._deletion.by_person(standing.account_id, _proof(body))
        except DoorwardError as error:
            pending = body.pending if _PENDING.fullmatch(body.pending) else ""
            return await self._page(request, standing.account_id, pending, error, email=body.email)
        return self._front.forget_all(self._gone(request, receipt, is_own=True))

    async def _delete_by_api(self, request: Request) -> Response:
        standing, body = self._front.person(request), await self._desk.body(request, DeletionBody)
        receipt = await self._deletion.by_person(standing.account_id, _proof(body))
        return self._front.forget_all(JSONResponse(asdict(receipt)))

    async def _send_code_by_api(self, request: Request) -> Response:
        standing = self._front.person(request)
        pending = await self._deletion.ask_code(standing.account_id, self._language(request))
        return JSONResponse({"pending": pending}, 202)

    # --- an administrator's ---

    async def _other_form(self, request: Request) -> Response:
        self._front.admin(request)
        return self._other_page(request, await self._accounts.account(_id(request)))

    async def _delete_other(self, request: Request) -> Response:
        admin, body = self._front.admin(request), await self._desk.body(request, NamedAccountBody)
        account = await self._accounts.account(_id(request))
        try:
            if body.account_id.strip() != account.account_id:
                raise InvalidInputError("This is not the id of the account.", field="account_id")
            receipt = await self._deletion.by_admin(admin.account_id, account.account_id)
        except DoorwardError as error:
            return self._other_page(request, account, error)
        is_own = account.account_id == admin.account_id
        response = self._gone(request, receipt, is_own=is_own)
        return self._front.forget_all(response) if is_own else response

    async def _delete_other_by_api(self, request: Request) -> Response:
        admin = self._front.admin(request)
        return JSONResponse(asdict(await self._deletion.by_admin(admin.account_id, _id(request))))

    # --- answers ---

    async def _page(
        self, request: Request, account_id: str, pending: str, error: DoorwardError | None = None, *, email: str = ""
    ) -> Response:
        response = self._desk.page(
            request,
            "accounts/delete.html",
            200 if error is None else error.status,
            by_password=await self._deletion.has_password(account_id),
            pending=pending,
            email=email,
            minutes=self._accounts.parts.settings.code_lifetime_seconds // 60,
            **_told(error),
        )
        if error is not None and error.retry_after_seconds is not None:
            response.headers["Retry-After"] = str(error.retry_after_seconds)
        return response

    def _other_page(self, request: Request, account: Account, error: DoorwardError | None = None) -> Response:
        status = 200 if error is None else error.status
        return self._desk.page(
            request,
            "accounts/delete_other.html",
            status,
            account=account,
            address=masked(account.email),
            **_told(error),
        )

    def _gone(self, request: Request, receipt: ShredReceipt, *, is_own: bool) -> Response:
        document = JSONResponse(asdict(receipt)).body
        return self._desk.page(
            request, "accounts/deleted.html", receipt=receipt, document=bytes(document).decode(), is_own=is_own
        )

    def _language(self, request: Request) -> str:
        return self._desk.arrival(request, Attempt.LOGIN).language


def _proof(body: DeletionBody) -> Proof:
    return Proof(email=body.email, password=body.password, pending=body.pending, code=body.code)


def _told(error: DoorwardError | None) -> dict[str, object]:
    if error is None:
        return {"errors": {}, "advice": ""}
    return {"errors": {error.field: error.message}, "advice": error.advice}


def _id(request: Request) -> str:
    return str(request.path_params["id"])[:_LONGEST_ID]


def _pending_of(request: Request) -> str:
    pending = request.query_params.get("pending", "")
    return pending if _PENDING.fullmatch(pending) else ""
