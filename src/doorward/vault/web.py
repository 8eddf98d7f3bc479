"""The addresses of this room: the console's page of the vault, and its JSON twin. For administrators."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from doorward.hall.doors import Desk
from doorward.hall.errors import TooManyError, VaultLockedError
from doorward.hall.model import Role
from doorward.stores.durable import DurableBusyError
from doorward.vault.model import (
    BackupsPanel,
    CertificatesPanel,
    KeysPanel,
    RingPanel,
    RotationPanel,
    ShreddingPanel,
    TransportPanel,
)
from doorward.vault.panels import VaultParts, panels_of, rotation_of

PAGE: Final = "/console/vault"
STATE: Final = "/api/v1/vault"
_BEGUN: Final = "begun"
_RUNNING: Final = "running"
_MOST_STREAMS: Final = 32
_STREAM_STEPS: Final = 300
_STEP_SECONDS: Final = 2.0


class RotationBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be replaced: the key-encryption key, and perhaps every person's data key too."""

    with_data_keys: bool = False


def routes(parts: VaultParts, desk: Desk) -> list[Route]:
    """Page and JSON API of the vault."""
    console, api = VaultConsole(parts, desk), VaultApi(parts, desk)
    return [
        Route(PAGE, console.page, methods=["GET"]),
        Route(f"{PAGE}/events", console.events, methods=["GET"]),
        Route(f"{PAGE}/rotations", console.rotate, methods=["POST"]),
        Route(STATE, api.show, methods=["GET"]),
        Route(f"{STATE}/rotations", api.rotate, methods=["POST"]),
    ]


class VaultConsole:
    """The page."""

    def __init__(self, parts: VaultParts, desk: Desk) -> None:
        self._parts = parts
        self._desk = desk
        self._streams = 0

    async def page(self, request: Request) -> Response:
        """Ring, keys, rotation, transport, certificates, shredding, backups."""
        self._desk.standing(request, Role.ADMIN)
        panels = await panels_of(self._parts)
        asked = request.query_params.get("rotation", "")
        told = asked if asked in {_BEGUN, _RUNNING} else ""
        now, figures = self._parts.clock.now(), _live(self._parts)
        return self._desk.page(request, "vault/vault.html", panels=panels, figures=figures, told=told, now=now)

    async def rotate(self, request: Request) -> Response:
        """Begin a rotation; one that runs goes on."""
        self._desk.standing(request, Role.ADMIN)
        body = await self._desk.body(request, RotationBody)
        is_ours = _begun(self._parts, body)
        return RedirectResponse(f"{PAGE}?rotation={_BEGUN if is_ours else _RUNNING}", 303)

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
        panels = await panels_of(self._parts)
        return JSONResponse(
            {
                "ring": _ring(panels.ring),
                "keys": _keys(panels.keys),
                "rotation": _rotation(panels.rotation),
                "shredding": _shredding(panels.shredding),
                "transport": panels.transport and _transport(panels.transport),
                "certificates": panels.certificates and _certificates(panels.certificates),
                "backups": panels.backups and _backups(panels.backups),
            }
        )

    async def rotate(self, request: Request) -> Response:
        """Begin a rotation; `Location` is where to see how far it is.

        Raises:
            DurableBusyError: this process is at one. VaultLockedError: there is no key to wrap anything with.
        """
        self._desk.standing(request, Role.ADMIN)
        body = await self._desk.body(request, RotationBody)
        if not _begun(self._parts, body):
            raise DurableBusyError
        return JSONResponse(_rotation(rotation_of(self._parts.rotations)), 202, {"Location": STATE})


def _begun(parts: VaultParts, body: RotationBody) -> bool:
    if parts.vault.is_locked:
        raise VaultLockedError
    return parts.rotations.begin(with_data_keys=body.with_data_keys)


def _live(parts: VaultParts) -> dict[str, int]:
    known = rotation_of(parts.rotations)
    return {"rewrapped": known.rewrapped, "resealed": known.people, "in_memory": len(parts.vault.data_keys)}


# --- panels as JSON values ---


def _ring(ring: RingPanel) -> dict[str, Any]:
    return {
        "id": ring.ring_id, "state": ring.state, "lock": ring.lock, "key": ring.key, "since": ring.since,
        "locks_at": ring.locks_at,
    }  # fmt: skip


def _keys(keys: KeysPanel) -> dict[str, Any]:
    return {
        "kek_version": keys.kek_version,
        "kek_made_at": keys.kek_made_at,
        "data_keys": [{"kek_version": version, "number": number} for version, number in keys.data_keys],
        "rotating": keys.is_rotating,
        "left": keys.left,
    }


def _rotation(rotation: RotationPanel) -> dict[str, Any]:
    return {
        "running": rotation.is_running, "stage": rotation.stage, "version": rotation.version,
        "rewrapped": rotation.rewrapped, "people": rotation.people, "kept": rotation.kept, "done": rotation.is_done,
        "waits_until": rotation.waits_until,
    }  # fmt: skip


def _shredding(shredding: ShreddingPanel) -> dict[str, Any]:
    receipt = shredding.receipt
    return {
        "number": shredding.number,
        "last_receipt_id": receipt and receipt.receipt_id,
        "last_at": receipt and receipt.shredded_at,
        "public_key": shredding.public_key,
    }


def _transport(transport: TransportPanel) -> dict[str, Any]:
    names = ("version", "group", "suite", "number")
    return {
        "names": list(transport.names),
        "expires_at": transport.expires_at,
        "refused": transport.refused,
        "handshakes": [dict(zip(names, row, strict=True)) for row in transport.handshakes],
        "failures": dict(transport.failures),
        "post_quantum_percent": transport.post_quantum_percent,
    }


def _certificates(certificates: CertificatesPanel) -> dict[str, Any]:
    return {
        "authority": certificates.authority, "domains": list(certificates.domains),
        "expires_at": certificates.expires_at, "renew_at": certificates.renew_at,
        "failures": certificates.failures, "problem": certificates.problem,
        "retry_at": certificates.retry_at or None,
    }  # fmt: skip


def _backups(backups: BackupsPanel) -> dict[str, Any]:
    return {
        "made_at": backups.made_at, "size_bytes": backups.size_bytes, "drilled_at": backups.drilled_at,
        "drill_failed": backups.drill_failed,
    }  # fmt: skip
