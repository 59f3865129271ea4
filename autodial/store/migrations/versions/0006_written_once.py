"""When a debt was sent, for a portal that executes late; deadlines by the portal's clock."""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

ASKED_FOR = "refetch = 1"


def upgrade() -> None:
    op.add_column("outbox", sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("outbox", sa.Column("lost_at", sa.DateTime(timezone=True), nullable=True))
    # What was being sent may be executed yet.
    debts = sa.table("outbox", sa.column("state"), sa.column("sent_at", sa.DateTime(timezone=True)))
    now = {"sent_at": datetime.now(UTC)}
    op.execute(sa.update(debts).where(debts.c.state == "sending").values(now))
    op.add_column(
        "tasks", sa.Column("portal_wall", sa.String(20), nullable=False, server_default="")
    )
    op.add_column("tasks", sa.Column("comment", sa.Integer(), nullable=True))
    op.add_column("tasks", sa.Column("comment_series", sa.Integer(), nullable=True))
    op.add_column("tasks", sa.Column("refetch", sa.Integer(), nullable=False, server_default="0"))
    op.create_index(
        "tasks_refetch_idx", "tasks", ["id"], unique=False,
        sqlite_where=sa.text(ASKED_FOR), postgresql_where=sa.text(ASKED_FOR),
    )  # fmt: skip
