"""Shredding, and its receipts."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "vault_shreds",
        sa.Column("receipt_id", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("shredded_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("receipt_id", "subject", name="pk_vault_shreds"),
    )
    op.create_index("ix_vault_shreds_subject", "vault_shreds", ["subject"])
    op.create_table(
        "vault_receipts",
        sa.Column("receipt_id", sa.Text(), nullable=False),
        sa.Column("shredded_at", sa.Double(), nullable=False),
        sa.Column("cleared_at", sa.Double(), nullable=True),
        sa.Column("document", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("receipt_id", name="pk_vault_receipts"),
    )
    op.create_index("ix_vault_receipts_cleared_at", "vault_receipts", ["cleared_at"])


def downgrade() -> None:
    """Drop them, the last first."""
    for table in ("vault_receipts", "vault_shreds"):
        op.drop_table(table)
