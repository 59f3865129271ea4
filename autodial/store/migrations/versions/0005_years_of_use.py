"""Indexes for a store that has been used for years; which calls were abandoned."""

from datetime import datetime

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

#: Who hangs up sooner after his answer has not waited for us.
GRACE = 2.0
UNPAID = "state IN ('owed', 'sending')"
PARKED = "state = 'parked'"
LISTED = "open = 1"


def upgrade() -> None:
    op.add_column(
        "attempts", sa.Column("abandoned", sa.Integer(), nullable=False, server_default="0")
    )
    _find_abandoned(op.get_bind())
    op.create_index(
        "tasks_open_idx", "tasks", ["id"], unique=False,
        sqlite_where=sa.text(LISTED), postgresql_where=sa.text(LISTED),
    )  # fmt: skip
    op.create_index(
        "outbox_parked_idx", "outbox", ["id"], unique=False,
        sqlite_where=sa.text(PARKED), postgresql_where=sa.text(PARKED),
    )  # fmt: skip
    op.create_index("outbox_task_idx", "outbox", ["task", "kind"], unique=False)
    op.create_index(
        "presence_kind_idx", "presence", ["operator", "kind", "at", "mark"], unique=False
    )
    op.create_index("presence_at_idx", "presence", ["at"], unique=False)
    op.create_table(
        "forgotten",
        sa.Column(
            "task", sa.Integer(), autoincrement=False, nullable=False,
            comment="the portal's task id",
        ),
        sa.Column("n", sa.Integer(), nullable=False, comment="number of its last attempt"),
        sa.PrimaryKeyConstraint("task", name=op.f("forgotten_pkey")),
        comment="attempts that are kept no longer; their names are never used again",
    )  # fmt: skip
    op.create_index("never_attempt_idx", "never", ["attempt"], unique=False)


def _find_abandoned(db: sa.Connection) -> None:
    table = sa.table(
        "attempts",
        *(sa.column(name) for name in ("id", "outcome", "abandoned")),
        sa.column("answered_at", sa.DateTime()),
        sa.column("ended_at", sa.DateTime()),
        sa.column("report", sa.JSON()),
    )
    found = sa.select(table).where(table.c.outcome.in_(("client left", "operator missed")))
    lost = [
        row.id
        for row in db.execute(found).all()
        if row.outcome == "operator missed" or _waited(row.answered_at, row.report) >= GRACE
    ]
    for start in range(0, len(lost), 500):
        which = table.c.id.in_(lost[start : start + 500])
        db.execute(sa.update(table).where(which).values(abandoned=1))


def _waited(answered: datetime | None, report: "dict[str, str] | None") -> float:
    """Seconds from the client's answer to the end, as the report has them; else long enough."""
    try:
        moments = [datetime.fromisoformat((report or {})[key]) for key in ("answered", "ended")]
    except (KeyError, ValueError):
        return GRACE
    return (moments[1] - moments[0]).total_seconds()
