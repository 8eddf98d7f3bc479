"""Key ring and data keys."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the vault's tables."""
    op.create_table(
        "vault_rings",
        sa.Column("ring_id", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("ring_id", name="pk_vault_rings"),
    )
    op.create_table(
        "vault_keks",
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("version", name="pk_vault_keks"),
    )
    op.create_table(
        "vault_data_keys",
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kek_version", sa.Integer(), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["kek_version"], ["vault_keks.version"], name="fk_vault_data_keys_kek_version_vault_keks"
        ),
        sa.PrimaryKeyConstraint("subject", "version", name="pk_vault_data_keys"),
    )
    op.create_index("ix_vault_data_keys_kek_version_subject", "vault_data_keys", ["kek_version", "subject"])


def downgrade() -> None:
    """Drop them, the last first."""
    for table in ("vault_data_keys", "vault_keks", "vault_rings"):
        op.drop_table(table)
