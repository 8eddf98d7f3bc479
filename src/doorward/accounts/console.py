"""The console's pages of this room: the list of accounts, and the local mail sink."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from doorward.accounts.api import after_id, masked
from doorward.accounts.front import Front, whole_number
from doorward.accounts.service import Accounts
from doorward.hall.doors import Desk

_PAGE = 50
_LONGEST_RECIPIENT = 320
_LARGEST_SEQUENCE = 2**53


class Console:
    """Handlers for administrators."""

    def __init__(self, accounts: Accounts, desk: Desk, front: Front) -> None:
        """Stand between the service and the desk."""
        self._accounts = accounts
        self._desk = desk
        self._front = front

    def routes(self) -> list[Route]:
        """The addresses of the pages."""
        return [
            Route("/console/accounts", self._list_accounts, methods=["GET"]),
            Route("/console/mail", self._mail, methods=["GET"]),
        ]

    async def _list_accounts(self, request: Request) -> Response:
        self._front.admin(request)
        found = await self._accounts.newest(after_id(request), _PAGE)
        return self._desk.page(
            request,
            "accounts/accounts.html",
            accounts=[(one, masked(one.email)) for one in found],
            counts=await self._accounts.count(),
            following=found[-1].account_id if len(found) == _PAGE else "",
        )

    async def _mail(self, request: Request) -> Response:
        self._front.admin(request)
        postbox = self._accounts.parts.postbox
        after = whole_number(request, "after", 0, _LARGEST_SEQUENCE)
        recipient = request.query_params.get("recipient", "").strip()[:_LONGEST_RECIPIENT]
        found = await postbox.sink(after=after, recipient=recipient, limit=_PAGE)
        return self._desk.page(
            request,
            "accounts/mail.html",
            letters=found,
            recipient=recipient,
            counts=await postbox.counts(),
            is_sink=postbox.is_sink,
            is_braked=self._accounts.mailing.brake.on,
            following=found[-1].sequence if len(found) == _PAGE else 0,
        )
