"""The addresses of this room: the console's page of the vault, and its JSON twin. For administrators."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from doorward.hall.doors import Desk
from doorward.hall.errors import TooManyError
from doorward.hall.model import Role, ShredReceipt
from doorward.stores.durable import DurableBusyError
from doorward.vault.rotations import KeysOverview, Rotations
from doorward.vault.service import Vault
from doorward.vault.shred import Shredding
from doorward.vault.tls import TransportOverview

_MOST_STREAMS: Final = 32
_STREAM_STEPS: Final = 300
_STEP_SECONDS: Final = 2.0


class RotationBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be replaced: the key-encryption key, and perhaps every person's data key too."""

    with_data_keys: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultParts:
    """What the page shows. `transport`: of the listener with TLS in this process; None: there is none."""

    vault: Vault
    rotations: Rotations
    shredding: Shredding
    transport: Callable[[], TransportOverview] | None = None


@dataclass(frozen=True, slots=True)
class RingPanel:
    """The key ring: its id, whether it is open, what opened it, and what is known of that key."""

    ring_id: str
    is_locked: bool
    lock: str = ""  # empty: the ring is in memory only
    key: str = ""
    locks_at: float | None = None  # Unix seconds; None: it will not lock itself


@dataclass(frozen=True, slots=True)
class Panels:
    """Everything on the page."""

    ring: RingPanel
    keys: KeysOverview
    shredded: int
    receipt: ShredReceipt | None
    transport: TransportOverview | None


def routes(parts: VaultParts, desk: Desk) -> list[Route]:
    """Page and JSON API of the vault."""
    console, api = VaultConsole(parts, desk), VaultApi(parts, desk)
    return [
        Route("/console/vault", console.page, methods=["GET"]),
        Route("/console/vault/events", console.events, methods=["GET"]),
        Route("/console/vault/rotations", console.rotate, methods=["POST"]),
        Route("/api/v1/vault", api.show, methods=["GET"]),
        Route("/api/v1/vault/rotations", api.rotate, methods=["POST"]),
    ]


class VaultConsole:
    """The page."""

    def __init__(self, parts: VaultParts, desk: Desk) -> None:
        self._parts = parts
        self._desk = desk
        self._streams = 0

    async def page(self, request: Request) -> Response:
        """Ring, keys, rotation, shredding, transport."""
        self._desk.standing(request, Role.ADMIN)
        panels = await panels_of(self._parts)
        return self._desk.page(request, "vault/vault.html", panels=panels, figures=_live(self._parts))

    async def rotate(self, request: Request) -> Response:
        """Begin a rotation; one that runs goes on."""
        self._desk.standing(request, Role.ADMIN)
        body = await self._desk.body(request, RotationBody)
        self._parts.rotations.begin(with_data_keys=body.with_data_keys)
        return RedirectResponse("/console/vault", 303)

    async def events(self, request: Request) -> Response:
        """Server-sent events: how far this process's rotation is. A stream ends after ten minutes."""
        self._desk.standing(request, Role.ADMIN)
        if self._streams >= _MOST_STREAMS:
            raise TooManyError(retry_after_seconds=30)
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(self._stream(), media_type="text/event-stream", headers=headers)

    async def _stream(self) -> AsyncIterator[str]:
        self._streams += 1
        try:
            for _ in range(_STREAM_STEPS):
                yield f"data: {json.dumps(_live(self._parts))}\n\n"
                await asyncio.sleep(_STEP_SECONDS)
        finally:
            self._streams -= 1


class VaultApi:
    """The same as JSON."""

    def __init__(self, parts: VaultParts, desk: Desk) -> None:
        self._parts = parts
        self._desk = desk

    async def show(self, request: Request) -> Response:
        """The state of the vault."""
        self._desk.standing(request, Role.ADMIN)
        return JSONResponse(_values(await panels_of(self._parts)))

    async def rotate(self, request: Request) -> Response:
        """Begin a rotation.

        Raises:
            DurableBusyError: this process is at one.
        """
        self._desk.standing(request, Role.ADMIN)
        body = await self._desk.body(request, RotationBody)
        if not self._parts.rotations.begin(with_data_keys=body.with_data_keys):
            raise DurableBusyError
        return JSONResponse({"begun": True}, 202)


async def panels_of(parts: VaultParts) -> Panels:
    """What the page shows, as it is now.

    Raises:
        StoreUnavailableError: the database is away.
    """
    keys = await parts.rotations.overview()
    shredded, receipt = await parts.shredding.overview()
    transport = parts.transport() if parts.transport else None
    return Panels(_ring(parts.vault), keys, shredded, receipt, transport)


def _ring(vault: Vault) -> RingPanel:
    if vault.keeper is None:
        return RingPanel(vault.ring_id, vault.is_locked)
    known = vault.keeper.overview()
    return RingPanel(vault.ring_id, vault.is_locked, known["lock"], known["key"], known["locks_at"])


def _live(parts: VaultParts) -> dict[str, int]:
    figures = parts.rotations.figures()
    return {
        "rewrapped": int(figures["vault_rotation_rewrapped"]),
        "resealed": int(figures["vault_rotation_resealed_people"]),
        "in_memory": len(parts.vault.data_keys),
    }


def _values(panels: Panels) -> dict[str, Any]:
    ring, keys, transport = panels.ring, panels.keys, panels.transport
    return {
        "ring": {
            "id": ring.ring_id, "locked": ring.is_locked, "lock": ring.lock, "key": ring.key,
            "locks_at": ring.locks_at,
        },
        "kek_version": keys.kek_version,
        "kek_made_at": keys.kek_made_at,
        "data_keys": [{"kek_version": version, "number": number} for version, number in sorted(keys.data_keys.items())],
        "rotating": keys.is_rotating,
        "left": keys.left,
        "shredded": panels.shredded,
        "transport": None if transport is None else _transport_values(transport),
    }  # fmt: skip


def _transport_values(transport: TransportOverview) -> dict[str, Any]:
    return {
        "expires_at": transport.expires_at,
        "handshakes": [
            {"version": version, "group": group, "suite": suite, "number": number}
            for (version, group, suite), number in sorted(transport.handshakes.items())
        ],
    }
