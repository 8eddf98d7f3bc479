"""Questions that one room may ask another: small protocols, at most ten. `house.py` alone knows who answers.

`edge` answers `Desk` and `Stationery`; the gate answers `Doorkeeper` and `WaitList`; accounts answer
`StandingBook` and `Admissions`; upstream answers `Meter`; the vault answers `Sealer` and `Shredder`, and hands out
`PersonKey`s.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, TypeVar

from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response

from doorward.hall.model import (
    Arrival,
    Attempt,
    Cell,
    Conduct,
    Lane,
    Letter,
    Offer,
    Place,
    Role,
    ShredReceipt,
    Standing,
    Usage,
    Verdict,
)

T = TypeVar("T")


class Doorkeeper(Protocol):
    """The gate: may this arrival come in, and at what price?"""

    def offer(self, arrival: Arrival) -> Offer:
        """Mint a ticket and a challenge at the price of the arrival's cohorts. Writes nothing."""
        ...

    def is_genuine(self, ticket: bytes) -> bool:
        """Whether the ticket is ours and not too old: one keyed hash, for the street's first look."""
        ...

    async def consider(self, arrival: Arrival) -> Verdict:
        """Check ticket and proof, spend them, and decide."""
        ...

    async def settle(self, attempt_id: str) -> Verdict:
        """Decide once more when the visitor confirms: the posture may have changed since."""
        ...


class WaitList(Protocol):
    """The wait-list, for rooms that turn somebody away."""

    async def take_place(self, arrival: Arrival) -> Place:
        """A durable place for the arrival's address; the same place if it has one already."""
        ...


class StandingBook(Protocol):
    """Who belongs. Served from memory, so that it answers while the database is away."""

    def standing_of(self, credential: bytes) -> Standing | None:
        """The standing of a session token or API key in the snapshot; None if it is not there."""
        ...

    async def recall(self, credential: bytes) -> Standing | None:
        """Look once more in the database (a well-formed credential that the snapshot lacks), within a budget."""
        ...


class Admissions(Protocol):
    """Accounts, as far as the gate may touch them."""

    async def probationers(self, created_before: float, limit: int) -> list[str]:
        """Ids of accounts on probation made before `created_before` (Unix seconds), oldest first."""
        ...

    async def conduct_of(self, account_ids: list[str]) -> list[Conduct]:
        """How these accounts have behaved."""
        ...

    async def move_lane(self, account_ids: list[str], lane: Lane, reason: str) -> int:
        """Move accounts to a lane; returns how many moved."""
        ...


class Meter(Protocol):
    """What an account has used of the AI service."""

    async def usage_of(self, account_id: str, lane: Lane) -> Usage:
        """Usage in the current UTC day against the lane's cap, and the totals that conduct rests on."""
        ...


class Desk(Protocol):
    """The front desk: the only thing a room's `web.py` needs to talk to browsers and API clients."""

    def page(self, request: Request, template: str, status: int = 200, **values: object) -> Response:
        """Render `templates/<template>` in the visitor's language."""
        ...

    async def body(self, request: Request, shape: type[T]) -> T:
        """The request's form or JSON body as a msgspec struct.

        Raises:
            InvalidInputError: too large, not strict JSON (duplicate keys, depth, NaN, lone surrogates), or not
                of this shape.
        """
        ...

    def arrival(self, request: Request, attempt: Attempt) -> Arrival:
        """What the street saw of this request."""
        ...

    def standing(self, request: Request, role: Role = Role.MEMBER) -> Standing:
        """Who is asking.

        Raises:
            NotLoggedInError: nobody. NotAllowedError: somebody without the role.
        """
        ...


class Stationery(Protocol):
    """Writes letters from templates, in the reader's language."""

    def letter(self, template: str, recipient: str, language: str, **values: object) -> Letter:
        """Render `templates/<template>.txt` (first line: subject) and, where there is one, `.html`."""
        ...


class PersonKey(Protocol):
    """All versions of one person's data key (a value that the vault hands out, not a door of its own)."""

    def seal(self, cell: Cell, text: str) -> bytes:
        """The envelope of a text for a cell, under the newest version."""
        ...

    def unseal(self, cell: Cell, envelope: bytes) -> str:
        """The text of a cell's envelope.

        Raises:
            SealBrokenError: changed, or moved from another cell.
        """
        ...


class Sealer(Protocol):
    """The vault, as far as tables need it. A *subject* names whose key it is: an account, or a mailbox without one."""

    def key_for(self, connection: Connection, subject: str) -> PersonKey:
        """The subject's key, made in the running transaction if there is none yet."""
        ...

    def keys_of(
        self, connection: Connection, subjects: Iterable[str], *, renewed: bool = False
    ) -> Mapping[str, PersonKey]:
        """The keys of those subjects that (still) have one, in one question; `renewed`: not those in memory."""
        ...

    def index(self, column: str, value: bytes | str, size: int = 16) -> bytes:
        """The blind index of a value: a keyed digest to look it up by, with a key of the column's own."""
        ...

    def subject_of(self, mailbox: str) -> str:
        """Whose key seals what concerns a mailbox that has no account (yet)."""
        ...


class Shredder(Protocol):
    """The vault, as far as it makes people unreadable for good."""

    def shred(self, connection: Connection, subjects: Sequence[str], reason: str) -> ShredReceipt:
        """Destroy the keys of these subjects and every room's rows about them, in the running transaction.

        Nothing can take it back once that transaction is committed.
        """
        ...

    async def settled(self, receipt: ShredReceipt) -> ShredReceipt:
        """Call it after the commit: write the shred list that outlives the database. The receipt as it is then."""
        ...
