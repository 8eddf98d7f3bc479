"""What the self-test looks for in its scratch rows."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, func, select

from doorward.stores.outbox_tables import outbox_events
from doorward.stores.postbox_tables import letters
from doorward.vault.tables import data_keys


def all_letters(connection: Connection) -> Sequence[Row[Any]]:
    """Every letter, sealed, in order."""
    return connection.execute(select(letters).order_by(letters.c.letter_id)).all()


def envelope_of(connection: Connection, person: str) -> bytes:
    """The sealed text of a person's letter."""
    return bytes(connection.execute(select(letters.c.text).where(letters.c.person == person)).scalar_one())


def wrapped_key_of(connection: Connection, subject: str) -> bytes:
    """A data key as it lies in its row."""
    return bytes(connection.execute(select(data_keys.c.wrapped).where(data_keys.c.subject == subject)).scalar_one())


def events_of(connection: Connection, name: str) -> int:
    """How many events of a name were published."""
    wanted = select(func.count()).where(outbox_events.c.name == name)
    return int(connection.execute(wanted).scalar_one())
