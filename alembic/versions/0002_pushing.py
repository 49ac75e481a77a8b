"""pushing

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply this revision."""
    op.create_table(
        "push_keys",
        sa.Column("project", sa.String(length=255), nullable=False),
        sa.Column("scope", sa.String(length=255), nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("stamp", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("renewed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("answer", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("project", "scope", "key", name=op.f("pk_push_keys")),
    )
    with op.batch_alter_table("push_keys", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_push_keys_created_at"), ["created_at"], unique=False)

    op.create_table(
        "push_watermarks",
        sa.Column("project", sa.String(length=255), nullable=False),
        sa.Column("push_source", sa.String(length=255), nullable=False),
        sa.Column("watermark", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("project", "push_source", name=op.f("pk_push_watermarks")),
    )

    op.create_table(
        "push_repairs",
        sa.Column("project", sa.String(length=255), nullable=False),
        sa.Column("server", sa.String(length=36), nullable=False),
        sa.Column("push_source", sa.String(length=255), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("owed", sa.Boolean(), nullable=False),
        sa.Column("heartbeat", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("project", "server", "push_source", name=op.f("pk_push_repairs")),
    )


def downgrade() -> None:
    """Undo this revision."""
    op.drop_table("push_repairs")
    op.drop_table("push_watermarks")
    with op.batch_alter_table("push_keys", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_push_keys_created_at"))

    op.drop_table("push_keys")
