"""Refused numbers, tones, presence, and debts that wait while others pass."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "refused",
        sa.Column("task", sa.Integer(), nullable=False, comment="whose task"),
        sa.Column("position", sa.Integer(), nullable=False, comment="their order"),
        sa.Column("value", sa.Text(), nullable=False, comment="as people typed it"),
        sa.Column("client", sa.Text(), nullable=False, comment="whose it is"),
        sa.Column(
            "reason", sa.String(length=30), nullable=False, comment="key of the catalogue: phone.…"
        ),
        sa.ForeignKeyConstraint(["task"], ["tasks.id"], name=op.f("refused_task_fkey")),
        sa.PrimaryKeyConstraint("task", "position", name=op.f("refused_pkey")),
        comment="numbers of a task's clients that will not be dialled",
    )
    op.create_table(
        "presence",
        sa.Column("id", sa.Integer(), nullable=False, comment="order of writing"),
        sa.Column("operator", sa.Integer(), nullable=False, comment="the portal's user id"),
        sa.Column("at", MOMENT, nullable=False, comment="when"),
        sa.Column(
            "kind", sa.String(length=10), nullable=False, comment="login, logout, came, left"
        ),
        sa.Column("mark", sa.Integer(), comment="row of the portal's event log; empty: a poll"),
        sa.PrimaryKeyConstraint("id", name=op.f("presence_pkey")),
        sa.UniqueConstraint("mark", name=op.f("presence_mark_key")),
        comment="who was at work when",
    )
    op.create_index("presence_operator_idx", "presence", ["operator", "at"], unique=False)
    for table, column in (
        ("phones", sa.Column("extension", sa.String(10), nullable=False, server_default="")),
        ("attempts", sa.Column("tones", sa.String(10), nullable=False, server_default="")),
        ("operators", sa.Column("last_logout", MOMENT)),
        ("operators", sa.Column("last_left", MOMENT)),
        ("operators", sa.Column("working_day", sa.String(10))),
        ("operators", sa.Column("phone", sa.String(20))),
        ("outbox", sa.Column("not_before", MOMENT)),
    ):
        op.add_column(table, column)
