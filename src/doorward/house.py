"""The house: the only place that knows all rooms. It builds stores and rooms and hands each what it may ask.

Order matters, and is read from top to bottom:

1. The key ring first, then the stores, which carry the vault to the tables; these are brought up to date, and an empty
   database is bound to the ring. The outbox's mark is set before any room loads its snapshot, so that no fact falls
   between the two.
2. The AI service (the built-in simulator where the operator named none), then the gate, then the accounts: each is
   given the ones before it through a door in `hall`.
3. Rooms load what they serve from memory. From then on the lanes of those who belong need no store.
4. `start` begins deliveries and jobs; `close` ends them in the opposite order and loses nothing that was promised.
"""

import secrets
from dataclasses import dataclass, field
from typing import Final, Self

import msgspec
import structlog

from doorward.accounts import forget_tables
from doorward.accounts.parts import AccountsParts
from doorward.accounts.service import Accounts
from doorward.config import Config
from doorward.gate import tables as gate_tables
from doorward.gate.parts import GateParts
from doorward.gate.probation import Caretaker
from doorward.gate.service import Gate
from doorward.hall.bus import Bus
from doorward.hall.clock import Clock, SystemClock
from doorward.hall.doors import Stationery
from doorward.hall.errors import UnavailableError
from doorward.hall.ids import new_id
from doorward.hall.jobs import JobRunner
from doorward.hall.secrets import Secrets
from doorward.stores import postbox_tables
from doorward.stores.counters import Counters, open_counters
from doorward.stores.outbox import Outbox
from doorward.stores.postbox import Postbox
from doorward.stores.sql import Database
from doorward.stores.upgrade import prepare
from doorward.upstream import recording_tables
from doorward.upstream import tables as upstream_tables
from doorward.upstream.service import Upstream
from doorward.upstream.simulator import Simulator
from doorward.vault.acme import AcmeParts, Certificates
from doorward.vault.backups.service import BackupParts, Backups
from doorward.vault.honey import Honey
from doorward.vault.locks.lock import Lock
from doorward.vault.opening import open_vault
from doorward.vault.prune import KeyPruning
from doorward.vault.rotate import GENTLE, Pace, Rotation
from doorward.vault.rotations import Rotations
from doorward.vault.service import Vault
from doorward.vault.shred import Shredding
from doorward.vault.shred_list import FILE_NAME, ShredList

_NOWHERE = "http://127.0.0.1:9/v1"  # the discard port: for commands, which never ask the AI service anything

FORGETS: Final = (
    forget_tables.forget, gate_tables.forget, upstream_tables.forget, recording_tables.forget, postbox_tables.forget,
)  # fmt: skip
"""What deletes each room's rows about a person who is shredded."""

_log = structlog.get_logger("doorward.house")


@dataclass(slots=True)
class Stores:
    """What all rooms stand on."""

    vault: Vault
    database: Database
    counters: Counters
    bus: Bus
    outbox: Outbox
    postbox: Postbox
    shredding: Shredding
    honey: Honey

    @classmethod
    def open(cls, config: Config, clock: Clock, vault: Vault) -> Self:
        """Open what the configuration names; connections are made when first needed."""
        database = Database.open(config.stores.database_url(), vault)
        bus = Bus()
        days = config.stores.event_retention_days
        outbox = Outbox(database, bus, clock, new_id("node"), retention_days=days)
        counters = open_counters(config.stores.counters, clock)
        path = None if database.is_in_memory else config.vault.ring_path(config.stores.data_directory)
        kept = None if path is None else ShredList(path.with_name(FILE_NAME), lambda: vault.ring)
        shredding = Shredding(vault, database, outbox, clock, kept)
        shredding.forgets = FORGETS
        shredding.hear(bus)
        honey = Honey(vault, database, outbox, shredding, clock)
        return cls(vault, database, counters, bus, outbox, Postbox(database, clock, config.mail), shredding, honey)

    async def close(self) -> None:
        """Close both."""
        await self.database.close()
        await self.counters.close()


@dataclass(slots=True)
class House:
    """An open house. Make one with `open` or `in_memory`."""

    config: Config
    clock: Clock
    keys: Secrets
    stores: Stores
    upstream: Upstream
    gate: Gate
    accounts: Accounts
    caretaker: Caretaker
    simulator: Simulator | None
    certificates: Certificates = field(init=False)
    rotations: Rotations = field(init=False)
    backups: Backups = field(init=False)
    runner: JobRunner = field(init=False)

    def __post_init__(self) -> None:
        self.certificates = _certificates(self.config, self.stores, self.clock)
        self.rotations = self.rotations_at(GENTLE)
        self.backups = _backups(self.config, self.stores, self.clock)
        rooms = (
            self.stores.vault,
            self.stores.shredding,
            self.stores.honey,
            self.gate,
            self.accounts,
            self.upstream,
            self.caretaker,
        )
        pruning = KeyPruning(self.stores.vault.data_keys, self.stores.database, self.clock)
        others = (self.certificates, self.rotations, self.backups, pruning, self.stores.outbox, self.stores.postbox)
        jobs = [job for room in (*rooms, *others) for job in room.jobs()]
        self.runner = JobRunner(jobs, is_worker=self.is_worker)

    def rotations_at(self, pace: Pace) -> Rotations:
        """Rotations of this house's keys: gently beside those whom it serves, or fast in a process of their own."""
        stores = self.stores
        rotation = Rotation(stores.vault, stores.database, stores.outbox, self.clock, pace)
        days = self.config.vault.rotate_every_days
        return Rotations(rotation, stores.database, stores.outbox, self.clock, days)

    @property
    def is_worker(self) -> bool:
        """Whether this process does the house's recurring work, beside what every node does."""
        return self.config.server.role in {"all", "worker"}

    @classmethod
    async def open(
        cls, config: Config, stationery: Stationery, *, clock: Clock | None = None, for_commands: bool = False,
        unlocks: Lock | None = None,
    ) -> Self:  # fmt: skip
        """Build the house of a configuration; nothing recurring runs until `start`.

        `for_commands`: without the AI service and without filling snapshots, for a command beside a running server.
        `unlocks`: what opens the key ring, instead of what the configuration names.

        Raises:
            SchemaOutdatedError, SchemaTooNewError: the database is not at this program's version.
            StoreUnavailableError: the database is away.
            KeyRingError: the key ring is missing, locked, or another database's; nothing was touched.
        """
        clock = clock or SystemClock()
        directory, url = config.stores.data_directory, config.stores.database_url()
        vault = await open_vault(config.vault, directory, url, clock, unlocks)
        stores = Stores.open(config, clock, vault)
        simulator: Simulator | None = None
        try:
            await prepare(stores.database, upgrades_postgresql=config.stores.upgrades_at_start)
            await stores.database.write(vault.bind)
            await stores.shredding.load()
            await stores.honey.load()
            if not config.upstream.url and not for_commands:
                simulator = Simulator.built_in(config.upstream)
                await simulator.start()
            house = cls._built(config, stores, stationery, clock, simulator)
            if not for_commands:
                await house.load()
        except BaseException:
            if simulator is not None:
                await simulator.stop()
            await stores.close()
            raise
        return house

    @classmethod
    async def in_memory(cls, stationery: Stationery, *, clock: Clock | None = None) -> Self:
        """A house that keeps nothing on disk, in front of the built-in simulator: for tests and rehearsals."""
        config = msgspec.convert(
            {"secret": secrets.token_urlsafe(48), "stores": {"database": "sqlite://", "counters": "memory://"}}, Config
        )
        return await cls.open(config, stationery, clock=clock)

    @classmethod
    def _built(
        cls, config: Config, stores: Stores, stationery: Stationery, clock: Clock, simulator: Simulator | None
    ) -> Self:
        url = config.upstream.url or (simulator.url if simulator else _NOWHERE)
        upstream_settings = msgspec.structs.replace(config.upstream, url=url)
        upstream = Upstream(upstream_settings, clock, stores.database, stores.outbox)
        upstream.hear(stores.bus)
        keys = Secrets(config.secret)
        gate = Gate(
            GateParts(
                settings=config.gate, keys=keys, clock=clock, database=stores.database, counters=stores.counters,
                outbox=stores.outbox, postbox=stores.postbox, stationery=stationery, bus=stores.bus,
                public_url=config.public_url,
            )
        )  # fmt: skip
        accounts = Accounts(
            AccountsParts(
                settings=config.accounts, secrets=keys, sealer=stores.vault, shredder=stores.shredding,
                tripwire=stores.honey, clock=clock,
                database=stores.database, counters=stores.counters, outbox=stores.outbox, postbox=stores.postbox,
                stationery=stationery,
                bus=stores.bus, doorkeeper=gate, waitlist=gate, meter=upstream, redeem_invitation=gate.redeem,
                public_url=config.public_url,
            )
        )  # fmt: skip
        gate.vitals = upstream.vitals
        caretaker = Caretaker(config.gate, clock, accounts)
        return cls(config, clock, keys, stores, upstream, gate, accounts, caretaker, simulator)

    async def load(self) -> None:
        """Set the outbox's mark, then fill what the rooms serve from memory."""
        await self.stores.outbox.mark()
        for load in (self.gate.load, self.accounts.load, self.upstream.load, self.certificates.put_files):
            await load()

    async def start(self) -> None:
        """Begin to hear facts, to send letters (where this process is a worker), and to do the recurring work."""
        await self.stores.outbox.start(delivers_once=self.is_worker)
        if self.is_worker:
            self.stores.postbox.start()
        self.stores.honey.start()
        self.runner.start()

    async def close(self) -> None:
        """End everything, the last first. What cannot be written is logged; people's sign-ups were durable before."""
        await self.runner.stop()
        await self.rotations.stop()
        await self.backups.stop()
        await self.stores.postbox.stop()
        await self.stores.outbox.stop()
        for write_behind in (self.upstream.close, self.accounts.book.write_use):
            try:
                await write_behind()
            except UnavailableError as error:
                _log.warning("use_not_written", code=error.code)
        await self.stores.honey.close()
        self.accounts.close()
        if self.simulator is not None:
            await self.simulator.stop()
        await self.stores.close()


def _certificates(config: Config, stores: Stores, clock: Clock) -> Certificates:
    directory = config.stores.data_directory
    return Certificates(
        AcmeParts(
            settings=config.acme, certificate_path=config.tls.certificate_path(directory),
            key_path=config.tls.key_path(directory), database=stores.database, outbox=stores.outbox, clock=clock,
            owner=new_id("node"),
        )
    )  # fmt: skip


def _backups(config: Config, stores: Stores, clock: Clock) -> Backups:
    return Backups(
        BackupParts(
            settings=config.backup, database_url=config.stores.database_url(),
            directory=config.backup.directory_in(config.stores.data_directory), vault=stores.vault,
            database=stores.database, outbox=stores.outbox, clock=clock, node=new_id("node"),
        )
    )  # fmt: skip
