"""Recorded conversations."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "upstream_recordings",
        sa.Column("recording_id", sa.String(length=40), nullable=False),
        sa.Column("account_id", sa.String(length=40), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.Column("request_id", sa.String(length=40), nullable=False),
        sa.Column("path", sa.String(length=100), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.String(length=40), nullable=False),
        sa.Column("prompt_bytes", sa.Integer(), nullable=False),
        sa.Column("answer_bytes", sa.Integer(), nullable=False),
        sa.Column("rules", sa.String(length=40), nullable=False),
        sa.Column("prompt", sa.LargeBinary(), nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("recording_id", name="pk_upstream_recordings"),
    )
    op.create_index("ix_upstream_recordings_account_id_at", "upstream_recordings", ["account_id", "at"])
    op.create_index("ix_upstream_recordings_expires_at", "upstream_recordings", ["expires_at"])


def downgrade() -> None:
    """Drop it."""
    op.drop_table("upstream_recordings")
