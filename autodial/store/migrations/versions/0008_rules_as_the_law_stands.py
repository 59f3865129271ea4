"""Clients who waited, consent, days off that somebody named, pauses by purpose."""

from datetime import datetime

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

#: An operator who is there later has not been there in time.
GRACE = 2.0


def upgrade() -> None:
    op.add_column(
        "attempts", sa.Column("purpose", sa.String(30), nullable=False, server_default="")
    )
    tasks = sa.table("tasks", sa.column("id"), sa.column("purpose"))
    attempts = sa.table("attempts", sa.column("task"), sa.column("purpose"))
    own = sa.select(tasks.c.purpose).where(tasks.c.id == attempts.c.task).scalar_subquery()
    op.execute(sa.update(attempts).values(purpose=sa.func.coalesce(own, "")))
    op.add_column("attempts", sa.Column("late", sa.Integer(), nullable=False, server_default="0"))
    _find_late(op.get_bind())
    op.add_column(
        "phones", sa.Column("no_consent", sa.Integer(), nullable=False, server_default="0")
    )
    op.add_column("flags", sa.Column("detail", sa.Text(), nullable=False, server_default=""))
    op.create_table(
        "purpose_pauses",
        sa.Column("purpose", sa.String(30), nullable=False, comment="a name of [[purposes]]"),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False, comment="since when"),
        sa.Column("why", sa.Text(), nullable=False, comment="for people"),
        sa.Column(
            "until", sa.DateTime(timezone=True), nullable=True,
            comment="when it ends by itself; empty: when somebody ends it",
        ),
        sa.PrimaryKeyConstraint("purpose", name=op.f("purpose_pauses_pkey")),
        comment="for what nobody is called for now",
    )  # fmt: skip
    op.create_table(
        "days_off",
        sa.Column(
            "day", sa.Date(), nullable=False, comment="by the clock of whoever is called or calls"
        ),
        sa.Column(
            "at", sa.DateTime(timezone=True), nullable=False, comment="when somebody said so"
        ),
        sa.Column("why", sa.Text(), nullable=False, comment="for people"),
        sa.PrimaryKeyConstraint("day", name=op.f("days_off_pkey")),
        comment="days on which nobody is called, besides [calendar] days_off",
    )


def _find_late(db: sa.Connection) -> None:
    table = sa.table(
        "attempts",
        *(sa.column(name) for name in ("id", "outcome", "abandoned", "late")),
        sa.column("report", sa.JSON()),
    )
    db.execute(sa.update(table).where(table.c.abandoned == 1).values(late=1))
    talks = sa.select(table.c.id, table.c.report).where(table.c.outcome == "talked")
    late = [row.id for row in db.execute(talks).all() if _waited(row.report) >= GRACE]
    for start in range(0, len(late), 500):
        which = table.c.id.in_(late[start : start + 500])
        db.execute(sa.update(table).where(which).values(late=1))


def _waited(report: "dict[str, str] | None") -> float:
    """Seconds from the client's answer to the operator's; if nobody can say, long enough."""
    try:
        moments = [datetime.fromisoformat((report or {})[key]) for key in ("answered", "talked")]
    except (KeyError, ValueError):
        return GRACE
    return (moments[1] - moments[0]).total_seconds()
