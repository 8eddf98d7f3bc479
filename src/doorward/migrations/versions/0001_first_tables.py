"""First tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TABLES = (
    "accounts",
    "api_keys",
    "devices",
    "gate_attempts",
    "gate_baselines",
    "gate_places",
    "gate_posture_changes",
    "letters",
    "mail_allowance",
    "outbox_cursors",
    "outbox_events",
    "outbox_retries",
    "pending",
    "sessions",
    "upstream_usage",
)


def upgrade() -> None:
    """Create the tables of all rooms."""
    _create_accounts()
    _create_api_keys()
    _create_devices()
    _create_gate_attempts()
    _create_gate_baselines()
    _create_gate_places()
    _create_gate_posture_changes()
    _create_letters()
    _create_mail_allowance()
    _create_outbox_cursors()
    _create_outbox_events()
    _create_outbox_retries()
    _create_pending()
    _create_sessions()
    _create_upstream_usage()


def downgrade() -> None:
    """Drop them, the last first."""
    for table in reversed(_TABLES):
        op.drop_table(table)


def _create_accounts() -> None:
    op.create_table(
        "accounts",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("mailbox", sa.LargeBinary(), nullable=False),
        sa.Column("lane", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("attempt_id", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_accounts")),
        sa.UniqueConstraint("mailbox", name=op.f("uq_accounts_mailbox")),
    )
    op.create_index(op.f("ix_accounts_lane_created_at"), "accounts", ["lane", "created_at"])


def _create_api_keys() -> None:
    op.create_table(
        "api_keys",
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("hint", sa.Text(), nullable=False),
        sa.Column("scopes", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=True),
        sa.Column("last_used_at", sa.Double(), nullable=True),
        sa.Column("revoked_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("key_id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("digest", name=op.f("uq_api_keys_digest")),
    )
    op.create_index(op.f("ix_api_keys_account_id"), "api_keys", ["account_id"])


def _create_devices() -> None:
    op.create_table(
        "devices",
        sa.Column("device_id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("last_used_at", sa.Double(), nullable=False),
        sa.Column("revoked_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("device_id", name=op.f("pk_devices")),
    )
    op.create_index(op.f("ix_devices_account_id"), "devices", ["account_id"])


def _create_gate_attempts() -> None:
    op.create_table(
        "gate_attempts",
        sa.Column("attempt_id", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("signals", sa.Text(), nullable=False),
        sa.Column("receipt", sa.Text(), nullable=False),
        sa.Column("price", sa.Integer(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("posture_version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("attempt_id", name=op.f("pk_gate_attempts")),
    )
    op.create_index(op.f("ix_gate_attempts_at"), "gate_attempts", ["at"])


def _create_gate_baselines() -> None:
    op.create_table(
        "gate_baselines",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("saved_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_gate_baselines")),
    )


def _create_gate_places() -> None:
    op.create_table(
        "gate_places",
        sa.Column("sequence", _SERIAL, autoincrement=True, nullable=False),
        sa.Column("place_id", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("email_digest", sa.LargeBinary(), nullable=False),
        sa.Column("signals", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("invited_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_gate_places")),
        sa.UniqueConstraint("email_digest", name=op.f("uq_gate_places_email_digest")),
        sa.UniqueConstraint("place_id", name=op.f("uq_gate_places_place_id")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_gate_places_state_sequence"), "gate_places", ["state", "sequence"])


def _create_gate_posture_changes() -> None:
    op.create_table(
        "gate_posture_changes",
        sa.Column("version", _SERIAL, autoincrement=True, nullable=False),
        sa.Column("cohort", sa.Text(), nullable=False),
        sa.Column("from_level", sa.Text(), nullable=False),
        sa.Column("to_level", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.Column("set_by", sa.Text(), nullable=False),
        sa.Column("undoes", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_gate_posture_changes")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_gate_posture_changes_at"), "gate_posture_changes", ["at"])
    op.create_index(op.f("ix_gate_posture_changes_cohort_version"), "gate_posture_changes", ["cohort", "version"])


def _create_letters() -> None:
    op.create_table(
        "letters",
        sa.Column("sequence", _SERIAL, autoincrement=True, nullable=False),
        sa.Column("letter_id", sa.Text(), nullable=False),
        sa.Column("recipient", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("html", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", sa.Double(), nullable=False),
        sa.Column("last_error", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_letters")),
        sa.UniqueConstraint("letter_id", name=op.f("uq_letters_letter_id")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_letters_recipient_sequence"), "letters", ["recipient", "sequence"])
    op.create_index(op.f("ix_letters_state_next_attempt_at"), "letters", ["state", "next_attempt_at"])


def _create_mail_allowance() -> None:
    op.create_table(
        "mail_allowance",
        sa.Column("mailbox", sa.LargeBinary(), nullable=False),
        sa.Column("first_at", sa.Double(), nullable=False),
        sa.Column("last_at", sa.Double(), nullable=False),
        sa.Column("sent", sa.Integer(), nullable=False),
        sa.Column("day_at", sa.Double(), nullable=False),
        sa.Column("sent_that_day", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("mailbox", name=op.f("pk_mail_allowance")),
    )


def _create_outbox_cursors() -> None:
    op.create_table(
        "outbox_cursors",
        sa.Column("handler", sa.Text(), nullable=False),
        sa.Column("transaction_id", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("leased_by", sa.Text(), nullable=False),
        sa.Column("leased_until", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("handler", name=op.f("pk_outbox_cursors")),
    )


def _create_outbox_events() -> None:
    op.create_table(
        "outbox_events",
        sa.Column("position", _SERIAL, autoincrement=True, nullable=False),
        sa.Column("transaction_id", sa.BigInteger(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_outbox_events")),
        sa.UniqueConstraint("event_id", name=op.f("uq_outbox_events_event_id")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_outbox_events_transaction_id_position"), "outbox_events", ["transaction_id", "position"])


def _create_outbox_retries() -> None:
    op.create_table(
        "outbox_retries",
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("handler", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("event_id", "handler", name=op.f("pk_outbox_retries")),
    )
    op.create_index(op.f("ix_outbox_retries_handler_next_attempt_at"), "outbox_retries", ["handler", "next_attempt_at"])


def _create_pending() -> None:
    op.create_table(
        "pending",
        sa.Column("pending_id", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("mailbox", sa.LargeBinary(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("attempt_id", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("device_id", sa.Text(), nullable=False),
        sa.Column("by_link", sa.Boolean(), nullable=False),
        sa.Column("live", sa.Boolean(), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.Column("used_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("pending_id", name=op.f("pk_pending")),
    )
    op.create_index(op.f("ix_pending_expires_at"), "pending", ["expires_at"])
    op.create_index(op.f("ix_pending_secret"), "pending", ["secret"])


def _create_sessions() -> None:
    op.create_table(
        "sessions",
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("device_id", sa.Text(), nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("last_used_at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.Column("revoked_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("session_id", name=op.f("pk_sessions")),
        sa.UniqueConstraint("digest", name=op.f("uq_sessions_digest")),
    )
    op.create_index(op.f("ix_sessions_account_id_last_used_at"), "sessions", ["account_id", "last_used_at"])


def _create_upstream_usage() -> None:
    op.create_table(
        "upstream_usage",
        sa.Column("account_id", sa.String(length=40), nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("lane", sa.String(length=16), nullable=False),
        sa.Column("tokens", sa.BigInteger(), nullable=False),
        sa.Column("requests_ok", sa.BigInteger(), nullable=False),
        sa.Column("requests_refused", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "day", name=op.f("pk_upstream_usage")),
    )
    op.create_index(op.f("ix_upstream_usage_day_lane"), "upstream_usage", ["day", "lane"])
