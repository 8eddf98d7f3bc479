"""Ordered certificates."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables of certificates, of their orders, and of the accounts with authorities."""
    op.create_table(
        "vault_certificates",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("directory", sa.Text(), nullable=False),
        sa.Column("domains", sa.Text(), nullable=False),
        sa.Column("chain", sa.Text(), nullable=False),
        sa.Column("private_key", sa.LargeBinary(), nullable=False),
        sa.Column("not_before", sa.Double(), nullable=False),
        sa.Column("not_after", sa.Double(), nullable=False),
        sa.Column("renew_at", sa.Double(), nullable=False),
        sa.Column("look_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_vault_certificates"),
    )
    op.create_table(
        "vault_certificate_orders",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("leased_by", sa.Text(), nullable=False),
        sa.Column("leased_until", sa.Double(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("retry_at", sa.Double(), nullable=False),
        sa.Column("problem", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_vault_certificate_orders"),
    )
    op.create_table(
        "vault_acme_accounts",
        sa.Column("directory", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("private_key", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("directory", name="pk_vault_acme_accounts"),
    )
    op.create_table(
        "vault_acme_challenges",
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("token", name="pk_vault_acme_challenges"),
    )


def downgrade() -> None:
    """Drop them, the last first."""
    for table in (
        "vault_acme_challenges",
        "vault_acme_accounts",
        "vault_certificate_orders",
        "vault_certificates",
    ):
        op.drop_table(table)
