"""Gathers what the console's page of the vault shows, each part from whoever knows it.

Nothing here needs an open ring: an administrator sees a locked vault too.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from doorward.hall.clock import Clock, SystemClock
from doorward.vault.acme import Certificates
from doorward.vault.model import (
    BackupsPanel,
    CertificatesPanel,
    KeysPanel,
    RingPanel,
    RotationPanel,
    Share,
    ShreddingPanel,
    TransportPanel,
)
from doorward.vault.rotations import Rotations
from doorward.vault.service import Vault
from doorward.vault.shred import Shredding
from doorward.vault.tls import TransportOverview

_DAY_SECONDS: Final = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultParts:
    """Whom the page asks. What is None is not shown: `transport` is of the listener with TLS in this process."""

    vault: Vault
    rotations: Rotations
    shredding: Shredding
    clock: Clock = field(default_factory=SystemClock)
    transport: Callable[[], TransportOverview] | None = None
    certificates: Certificates | None = None
    backups: Callable[[], Awaitable[BackupsPanel]] | None = None


@dataclass(frozen=True, slots=True)
class Panels:
    """Everything on the page."""

    ring: RingPanel
    keys: KeysPanel
    rotation: RotationPanel
    shredding: ShreddingPanel
    transport: TransportPanel | None = None
    certificates: CertificatesPanel | None = None
    backups: BackupsPanel | None = None


async def panels_of(parts: VaultParts) -> Panels:
    """Everything, as it is now.

    Raises:
        StoreUnavailableError: the database is away.
    """
    return Panels(
        ring=_ring(parts.vault),
        keys=await _keys(parts.rotations, parts.clock.now()),
        rotation=rotation_of(parts.rotations),
        shredding=await _shredding(parts),
        transport=transport_of(parts.transport()) if parts.transport else None,
        certificates=await parts.certificates.overview() if parts.certificates else None,
        backups=await parts.backups() if parts.backups else None,
    )


def rotation_of(rotations: Rotations) -> RotationPanel:
    """How far the rotation of this process is."""
    known = rotations.state
    is_running = bool(rotations.figures()["vault_rotation_running"])
    if not known:
        return RotationPanel(is_running)
    stage = str(known.get("stage", ""))
    return RotationPanel(
        is_running=is_running,
        stage=stage,
        version=int(known.get("version", 0)),
        rewrapped=int(known.get("rewrapped", 0)),
        people=int(known.get("people", 0)),
        kept=int(known.get("kept", 0)),
        is_done=bool(known.get("done")),
        waits_until=float(known["until"]) if stage == "wait" else None,
    )


def transport_of(known: TransportOverview) -> TransportPanel:
    """Shares of versions, key exchanges and suites among the handshakes.

    Post-quantum: groups with ML-KEM (FIPS 203), alone or beside a curve (draft-ietf-tls-ecdhe-mlkem).
    """
    total = sum(known.handshakes.values())
    ways = [((version, group, suite), number) for (version, group, suite), number in sorted(known.handshakes.items())]
    quantum = sum(number for (_, group, _), number in ways if "MLKEM" in group.upper())
    return TransportPanel(
        names=known.names,
        expires_at=known.expires_at,
        refused=known.refused,
        handshakes=tuple((*way, number) for way, number in ways),
        versions=_shares((way[0], number) for way, number in ways),
        groups=_shares((way[1], number) for way, number in ways),
        suites=_shares((way[2], number) for way, number in ways),
        failures=tuple(sorted(known.failures.items())),
        post_quantum_percent=_percent(quantum, total) if total else None,
    )


def _ring(vault: Vault) -> RingPanel:
    keeper = vault.keeper
    if keeper is None:
        return RingPanel(vault.ring_id, vault.is_locked)
    return RingPanel(
        ring_id=vault.ring_id,
        is_locked=vault.is_locked,
        lock=keeper.kind,
        key=keeper.state.value,
        is_in_doubt=keeper.doubt() is not None,
        since=keeper.sound_at,
        locks_at=keeper.locks_at(),
    )


async def _keys(rotations: Rotations, now: float) -> KeysPanel:
    known = await rotations.overview()
    age = int(max(0.0, now - known.kek_made_at) // _DAY_SECONDS)
    counts = tuple(sorted(known.data_keys.items()))
    return KeysPanel(known.kek_version, known.kek_made_at, age, counts, known.left, known.is_rotating)


async def _shredding(parts: VaultParts) -> ShreddingPanel:
    number, receipt = await parts.shredding.overview()
    return ShreddingPanel(number, receipt, "" if parts.vault.is_locked else parts.shredding.public_key)


def _shares(counted: Iterable[tuple[str, int]]) -> tuple[Share, ...]:
    numbers: Counter[str] = Counter()
    for name, number in counted:
        numbers[name] += number
    total = numbers.total()
    return tuple(Share(name, number, _percent(number, total)) for name, number in numbers.most_common())


def _percent(part: int, whole: int) -> float:
    return round(100 * part / whole, 1)
