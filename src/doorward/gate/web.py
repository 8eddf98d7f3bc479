"""All addresses of this room: the live door, the lever, the wait-list's page and their JSON twins."""

import asyncio
import json
from collections.abc import AsyncIterator
from functools import partial
from typing import Annotated, Final

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from doorward.gate.book import Lever
from doorward.gate.errors import CohortSyntaxError, PostureChangeError
from doorward.gate.model import Level
from doorward.gate.picture import bands, figures_of, flows, reasons, row_values
from doorward.gate.service import Gate
from doorward.hall.doors import Desk
from doorward.hall.errors import TooManyError
from doorward.hall.model import Role

_MOST_STREAMS: Final = 32
_STREAM_SECONDS: Final = 600
_HISTORY_PAGE: Final = 200
_LARGEST_VERSION: Final = 2**53


_UNTOUCHED: Final = {"cohort": "*", "level": "careful", "reason": ""}


class PostureBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A change of the posture by hand. `expires_in_seconds` has no default: every change ends."""

    cohort: Annotated[str, msgspec.Meta(min_length=1, max_length=400)]
    level: Level
    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
    expires_in_seconds: Annotated[int, msgspec.Meta(ge=1, le=604_800)]


class UndoBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which change to take back."""

    version: Annotated[int, msgspec.Meta(ge=1, le=_LARGEST_VERSION)]


def routes(gate: Gate, desk: Desk) -> list[Route]:
    """Pages and JSON API of the gate."""
    console, api = DoorConsole(gate, desk), PostureApi(gate, desk)
    return [
        Route("/console/door", console.door, methods=["GET"]),
        Route("/console/door/events", console.events, methods=["GET"]),
        Route("/console/door/table", console.table, methods=["GET"]),
        Route("/console/posture", console.pull, methods=["POST"]),
        Route("/console/posture/undo", console.undo, methods=["POST"]),
        Route("/waitlist/{token}", partial(_place_page, gate, desk), methods=["GET"]),
        Route("/api/v1/waitlist/{token}", partial(_place, gate), methods=["GET"]),
        Route("/api/v1/admin/posture", api.show, methods=["GET"]),
        Route("/api/v1/admin/posture", api.pull, methods=["POST"]),
        Route("/api/v1/admin/posture/undo", api.undo, methods=["POST"]),
        Route("/api/v1/admin/posture/history", api.history, methods=["GET"]),
    ]


class DoorConsole:
    """The live door, for administrators."""

    def __init__(self, gate: Gate, desk: Desk) -> None:
        self._gate = gate
        self._desk = desk
        self._streams = 0

    async def door(self, request: Request) -> Response:
        """The page."""
        self._desk.standing(request, Role.ADMIN)
        return await self._page(request, _UNTOUCHED, 200)

    async def _page(self, request: Request, given: dict[str, str], status: int, fault: str = "") -> Response:
        live, vitals = self._gate.live(), self._gate.vitals()
        at = float(str(live["at"]))
        history = await self._gate.book.history(_HISTORY_PAGE)
        return self._desk.page(
            request,
            "gate/door.html",
            status,
            figures=figures_of(live, vitals),
            flows=flows(live["seconds"]),  # type: ignore[arg-type]
            bands=bands(history, at),
            rows=[row for row in self._gate.posture().rows.values() if row.change.expires_at > at],
            history=history[:20],
            reasons=reasons(live["seconds"]),  # type: ignore[arg-type]
            waiting=await self._gate.line.waiting(),
            given=given,
            fault=fault,
            at=at,
        )

    async def table(self, request: Request) -> Response:
        """All changes of the posture as a table."""
        self._desk.standing(request, Role.ADMIN)
        before = _number(request, "before")
        rows = await self._gate.book.history(_HISTORY_PAGE, before)
        following = rows[-1].version if len(rows) == _HISTORY_PAGE else 0
        return self._desk.page(request, "gate/table.html", rows=rows, following=following)

    async def pull(self, request: Request) -> Response:
        """The lever; what is wrong with the form comes back on the page."""
        standing = self._desk.standing(request, Role.ADMIN)
        body = await self._desk.body(request, PostureBody)
        try:
            await self._gate.pull(_lever(body, standing.account_id))
        except (PostureChangeError, CohortSyntaxError) as error:
            given = {"cohort": body.cohort, "level": body.level.value, "reason": body.reason}
            return await self._page(request, given, error.status, f"{error.message} {error.advice}")
        return RedirectResponse("/console/door", 303)

    async def undo(self, request: Request) -> Response:
        """Take one change back."""
        standing = self._desk.standing(request, Role.ADMIN)
        body = await self._desk.body(request, UndoBody)
        await self._gate.undo(body.version, standing.account_id)
        return RedirectResponse("/console/door", 303)

    async def events(self, request: Request) -> Response:
        """Server-sent events: one JSON object a second. A stream ends after ten minutes; browsers come back."""
        self._desk.standing(request, Role.ADMIN)
        if self._streams >= _MOST_STREAMS:
            raise TooManyError(retry_after_seconds=30)
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(self._stream(), media_type="text/event-stream", headers=headers)

    async def _stream(self) -> AsyncIterator[str]:
        self._streams += 1
        try:
            for _ in range(_STREAM_SECONDS):
                yield f"data: {json.dumps(figures_of(self._gate.live(), self._gate.vitals()))}\n\n"
                await asyncio.sleep(1.0)
        finally:
            self._streams -= 1


class PostureApi:
    """The posture as JSON, for administrators' keys and sessions."""

    def __init__(self, gate: Gate, desk: Desk) -> None:
        self._gate = gate
        self._desk = desk

    async def show(self, request: Request) -> Response:
        """What is in force."""
        self._desk.standing(request, Role.ADMIN)
        live = self._gate.live()
        return JSONResponse({"version": live["version"], "posture": live["posture"]})

    async def pull(self, request: Request) -> Response:
        """Change it."""
        standing = self._desk.standing(request, Role.ADMIN)
        body = await self._desk.body(request, PostureBody)
        row = await self._gate.pull(_lever(body, standing.account_id))
        return JSONResponse(row_values(row), 201)

    async def undo(self, request: Request) -> Response:
        """Take one change back."""
        standing = self._desk.standing(request, Role.ADMIN)
        body = await self._desk.body(request, UndoBody)
        return JSONResponse(row_values(await self._gate.undo(body.version, standing.account_id)), 201)

    async def history(self, request: Request) -> Response:
        """Changes, newest first; `before` gives the version below which to go on."""
        self._desk.standing(request, Role.ADMIN)
        rows = await self._gate.book.history(_HISTORY_PAGE, _number(request, "before"))
        following = rows[-1].version if len(rows) == _HISTORY_PAGE else None
        return JSONResponse({"history": [row_values(row) for row in rows], "before": following})


async def _place(gate: Gate, request: Request) -> Response:
    state, position = await gate.line.place(request.path_params["token"])
    return JSONResponse({"state": state, "position": position})


async def _place_page(gate: Gate, desk: Desk, request: Request) -> Response:
    state, position = await gate.line.place(request.path_params["token"])
    return desk.page(request, "gate/waitlist.html", state=state, position=position)


def _lever(body: PostureBody, set_by: str) -> Lever:
    return Lever(body.level, body.cohort, body.reason, body.expires_in_seconds, set_by)


def _number(request: Request, name: str) -> int | None:
    text = request.query_params.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 15 else None
