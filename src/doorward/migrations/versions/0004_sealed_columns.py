"""Sealed columns.

1. Every personal column becomes an envelope under a key of its person, and what looks people up becomes a blind index.
2. Rows that are there are named in `stores_scrubs`. They are sealed when all steps are done (see `plain_rows`), for the
   vault may need tables that come after this step.
3. There is no way back but for a database without rows: the plain values are gone.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_BLANK = sa.text("''")
_SEALED = {
    "accounts": ("email", "password_hash"),
    "pending": ("email", "password_hash"),
    "sessions": ("device",),
    "devices": ("label",),
    "api_keys": ("name",),
    "letters": ("recipient", "subject", "text", "html"),
    "gate_places": ("email", "signals"),
    "gate_attempts": ("signals",),
    "gate_baselines": ("payload",),
}
_ADDED = {
    "pending": (("subject", sa.Text),),
    "letters": (("person", sa.Text), ("recipient_index", sa.LargeBinary)),
    "gate_places": (("subject", sa.Text),),
    "gate_attempts": (("subject", sa.Text),),
    "gate_baselines": (("subject", sa.Text),),
}
_BYTES = {"gate_baselines"}  # whose column held bytes before
_NUMBERED = {"letters", "gate_places"}  # whose numbers are never used twice (AUTOINCREMENT on SQLite)


def upgrade() -> None:
    """Change the columns."""
    op.drop_index("ix_letters_recipient_sequence", "letters")
    for table in _SEALED:
        _make_room(table)
    op.create_index("ix_letters_recipient_index_sequence", "letters", ["recipient_index", "sequence"])
    _rename_unique("gate_places", "email_digest", "mailbox")
    scrubs = op.create_table(
        "stores_scrubs",
        sa.Column("table_name", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("table_name", name="pk_stores_scrubs"),
    )
    if not _is_empty(op.get_bind()):
        op.bulk_insert(scrubs, [{"table_name": table, "state": "plain"} for table in _SEALED])


def downgrade() -> None:
    """Change the columns back, if there is nothing in them.

    Raises:
        RuntimeError: there are rows; go back by restoring a backup.
    """
    if not _is_empty(op.get_bind()):
        raise RuntimeError("Sealed rows cannot be made plain again: restore a backup from before the upgrade.")
    op.drop_table("stores_scrubs")
    _rename_unique("gate_places", "mailbox", "email_digest")
    op.drop_index("ix_letters_recipient_index_sequence", "letters")
    for table in _SEALED:
        with op.batch_alter_table(table, table_kwargs=_kwargs(table)) as batch:
            for column in _plain_texts(table):
                batch.alter_column(
                    column,
                    type_=sa.Text(),
                    existing_type=sa.LargeBinary(),
                    existing_nullable=False,
                    postgresql_using=f"convert_from({column}, 'UTF8')",
                )
            for column, _ in _ADDED.get(table, ()):
                batch.drop_column(column)
    op.create_index("ix_letters_recipient_sequence", "letters", ["recipient", "sequence"])


def _make_room(table: str) -> None:
    added = _ADDED.get(table, ())
    with op.batch_alter_table(table, table_kwargs=_kwargs(table)) as batch:
        for column in _plain_texts(table):
            batch.alter_column(
                column,
                type_=sa.LargeBinary(),
                existing_type=sa.Text(),
                existing_nullable=False,
                postgresql_using=f"convert_to({column}, 'UTF8')",
            )
        for column, kind in added:
            batch.add_column(sa.Column(column, kind(), nullable=False, server_default=_BLANK))
    if added:
        with op.batch_alter_table(table, table_kwargs=_kwargs(table)) as batch:
            for column, kind in added:
                batch.alter_column(column, server_default=None, existing_type=kind(), existing_nullable=False)


def _plain_texts(table: str) -> tuple[str, ...]:
    return () if table in _BYTES else _SEALED[table]


def _rename_unique(table: str, old: str, new: str) -> None:
    with op.batch_alter_table(table, table_kwargs=_kwargs(table)) as batch:
        batch.drop_constraint(f"uq_{table}_{old}", type_="unique")
        batch.alter_column(old, new_column_name=new, existing_type=sa.LargeBinary())
    with op.batch_alter_table(table, table_kwargs=_kwargs(table)) as batch:
        batch.create_unique_constraint(f"uq_{table}_{new}", [new])


def _kwargs(table: str) -> dict[str, Any]:
    return {"sqlite_autoincrement": True} if table in _NUMBERED else {}


def _is_empty(connection: sa.Connection) -> bool:
    tables = (*_SEALED, "mail_allowance")
    any_row = (sa.select(sa.literal(1)).select_from(sa.table(one)).limit(1) for one in tables)
    return all(connection.execute(statement).first() is None for statement in any_row)
