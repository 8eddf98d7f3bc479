"""The stores' own tables: the outbox of events and the queue of letters."""

from sqlalchemy import BigInteger, Column, Double, Index, Integer, Table, Text

from doorward.stores.schema import METADATA, Serial

outbox_events = Table(
    "outbox_events",
    METADATA,
    Column("position", Serial, primary_key=True, autoincrement=True),
    # PostgreSQL's xid8 of the writing transaction (0 on SQLite, which commits in order of `position`).
    Column("transaction_id", BigInteger, nullable=False),
    Column("event_id", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("at", Double, nullable=False),
    Column("payload", Text, nullable=False),
    Index(None, "transaction_id", "position"),
    sqlite_autoincrement=True,
)

outbox_cursors = Table(
    "outbox_cursors",
    METADATA,
    Column("handler", Text, primary_key=True),
    Column("transaction_id", BigInteger, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("leased_by", Text, nullable=False),
    Column("leased_until", Double, nullable=False),
)

outbox_retries = Table(
    "outbox_retries",
    METADATA,
    Column("event_id", Text, primary_key=True),
    Column("handler", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("payload", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_attempt_at", Double, nullable=False),
    Index(None, "handler", "next_attempt_at"),
)

letters = Table(
    "letters",
    METADATA,
    Column("sequence", Serial, primary_key=True, autoincrement=True),
    Column("letter_id", Text, nullable=False, unique=True),
    Column("recipient", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("html", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("state", Text, nullable=False),  # waiting, sent, sunk or failed
    Column("attempts", Integer, nullable=False),
    Column("next_attempt_at", Double, nullable=False),
    Column("last_error", Text, nullable=False),
    Index(None, "state", "next_attempt_at"),
    Index(None, "recipient", "sequence"),
    sqlite_autoincrement=True,
)
