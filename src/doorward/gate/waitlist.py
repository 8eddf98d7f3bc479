"""The wait-list: a durable place in line, its page, and the mail when it is somebody's turn.

1. A place is a row; the same address has the same place. Its token is the row's id with a keyed digest, so the page's
   address can be made again and cannot be guessed.
2. Invitations are paced (`invites_per_minute`), in order of arrival, and only to people whose cohort is not on the
   wait-list at that moment. The letter is enqueued in the transaction that marks the place.
3. An invitation is used once, on every node: the row moves from invited to joined in one statement, and the address
   is deleted with it.
"""

from dataclasses import replace
from typing import Final

import msgspec
from sqlalchemy import Connection

from doorward.gate import tables
from doorward.gate.book import PostureBook
from doorward.gate.errors import InvitationUsedError, PlaceNotFoundError
from doorward.gate.model import Level, Signals
from doorward.gate.parts import GateParts
from doorward.gate.sense import sense
from doorward.gate.tables import NextPlace
from doorward.hall.events import PlaceInvited, PlaceTaken
from doorward.hall.ids import is_id, new_id
from doorward.hall.model import Arrival, Letter, Place
from doorward.hall.secrets import same

INVITE_EVERY_SECONDS: Final = 10.0
_DAY_SECONDS: Final = 86_400
_DIGEST: Final = 12
_LOOK_AHEAD: Final = 5


class WaitingLine:
    """Places and invitations."""

    def __init__(self, parts: GateParts, book: PostureBook) -> None:
        self._parts = parts
        self._book = book
        self._settings = parts.settings
        self._owed = 0.0  # invitations that the pace allows, with their fraction

    async def take_place(self, arrival: Arrival) -> Place:
        """A durable place for the arrival's address; the same place if it has one already.

        Raises:
            StoreUnavailableError: the database is away.
        """
        signals = sense(arrival)
        row = self._book.index.strictest(signals)
        values = {
            "place_id": new_id("plc", arrival.at),
            "email": arrival.email,
            "language": arrival.language,
            "signals": msgspec.json.encode(signals).decode(),
            "state": "waiting",
            "created_at": arrival.at,
            "invited_at": 0.0,
        }
        cohort = row.change.cohort if row is not None else ""

        def work(connection: Connection) -> tuple[str, int]:
            place_id, is_new = tables.take_place(connection, arrival.mailbox or arrival.email, values)
            if is_new:
                fact = PlaceTaken(at=arrival.at, place_id=place_id, cohort=cohort)
                self._parts.outbox.publish(connection, fact)
            found = tables.read_place(connection, place_id)
            return place_id, found[1] if found else 0

        place_id, position = await self._parts.database.write(work)
        return Place(self._signed("place", place_id), position)

    async def place(self, token: str) -> tuple[str, int]:
        """State (waiting, invited or joined) and position of a place.

        Raises:
            PlaceNotFoundError: no such place.
        """
        place_id = self._checked("place", token)
        found = None
        if place_id is not None:
            found = await self._parts.database.read(lambda connection: tables.read_place(connection, place_id))
        if found is None:
            raise PlaceNotFoundError
        return found

    async def waiting(self) -> int:
        """How many people wait."""
        return await self._parts.database.read(tables.count_waiting)

    async def invite(self) -> int:
        """Invite those whose turn it is, as many as the pace allows; returns how many."""
        at = self._parts.clock.now()
        self._owed = min(self._settings.invites_per_minute, self._owed + self._share_of_round())
        due = int(self._owed)
        if due == 0 or self._book.current.level("*", at) is Level.WAITLIST:
            return 0
        found = await self._parts.database.read(lambda connection: tables.next_places(connection, _LOOK_AHEAD * due))
        letters = [(place, self._letter(place)) for place in found if not self._is_held(place.signals, at)][:due]
        if not letters:
            return 0
        invited = await self._parts.database.write(lambda connection: self._invite(connection, letters, at))
        self._owed -= invited
        return invited

    def _share_of_round(self) -> float:
        return self._settings.invites_per_minute * INVITE_EVERY_SECONDS / 60

    def _is_held(self, recorded: Signals, at: float) -> bool:
        row = self._book.index.strictest(replace(recorded, at=at))
        return row is not None and row.change.level is Level.WAITLIST

    def _letter(self, place: NextPlace) -> Letter:
        link = f"{self._parts.public_url.rstrip('/')}/welcome/{self._signed('invitation', place.place_id)}"
        days = self._settings.invitation_lifetime_days
        return self._parts.stationery.letter("gate/invitation", place.email, place.language, link=link, days=days)

    def _invite(self, connection: Connection, letters: list[tuple[NextPlace, Letter]], at: float) -> int:
        invited = 0
        for place, letter in letters:
            if tables.mark_invited(connection, place.place_id, at):
                self._parts.postbox.enqueue(connection, letter, place.subject)
                self._parts.outbox.publish(connection, PlaceInvited(at=at, place_id=place.place_id))
                invited += 1
        return invited

    async def invited_email(self, token: str) -> str:
        """The address that an unused invitation was mailed to, without using it.

        Raises:
            InvitationUsedError: not ours, used, or too old.
        """
        _, email = await self._invitation(token)
        return email

    async def redeem(self, token: str) -> str:
        """Use an invitation; the address it was mailed to. Only the first use succeeds, on every node.

        Raises:
            InvitationUsedError: not ours, used, or too old.
        """
        place_id, email = await self._invitation(token)
        if not await self._parts.database.write(lambda connection: tables.mark_joined(connection, place_id)):
            raise InvitationUsedError
        return email

    async def _invitation(self, token: str) -> tuple[str, str]:
        place_id = self._checked("invitation", token)
        found = None
        if place_id is not None:
            found = await self._parts.database.read(lambda connection: tables.read_invited(connection, place_id))
        lifetime = self._settings.invitation_lifetime_days * _DAY_SECONDS
        if place_id is None or found is None or self._parts.clock.now() - found[1] > lifetime:
            raise InvitationUsedError
        return place_id, found[0]

    def _signed(self, purpose: str, place_id: str) -> str:
        digest = self._parts.keys.digest(f"gate.{purpose}", place_id, _DIGEST)
        return f"{place_id}.{digest.hex()}"

    def _checked(self, purpose: str, token: str) -> str | None:
        place_id = token[:80].partition(".")[0]
        return place_id if is_id(place_id, "plc") and same(token, self._signed(purpose, place_id)) else None
