"""The first schema: tasks, phones, operators, attempts, reservations, outbox, events, flags."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "events",
        sa.Column("id", sa.Integer(), nullable=False, comment="order of write_back"),
        sa.Column(
            "at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="when it happened",
        ),
        sa.Column("task", sa.Integer(), nullable=False, comment="the portal's task id"),
        sa.Column(
            "attempt", sa.String(length=40), nullable=False, comment="empty for events of the task"
        ),
        sa.Column(
            "kind",
            sa.String(length=20),
            nullable=False,
            comment="spooled, claimed, ringing, ended …",
        ),
        sa.Column("detail", sa.Text(), nullable=False, comment="for people"),
        sa.PrimaryKeyConstraint("id", name=op.f("events_pkey")),
        comment="the story of each task",
    )
    with op.batch_alter_table("events", schema=None) as batch_op:
        batch_op.create_index("events_task_idx", ["task"], unique=False)

    op.create_table(
        "flags",
        sa.Column("name", sa.String(length=30), nullable=False, comment="portal_seen"),
        sa.Column(
            "at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="when last",
        ),
        sa.PrimaryKeyConstraint("name", name=op.f("flags_pkey")),
        comment="what the whole dialler remembers",
    )
    op.create_table(
        "operators",
        sa.Column(
            "id", sa.Integer(), autoincrement=False, nullable=False, comment="the portal's user id"
        ),
        sa.Column("name", sa.Text(), nullable=False, comment="first and last name"),
        sa.Column(
            "extension",
            sa.String(length=20),
            nullable=False,
            comment="internal number; empty: none",
        ),
        sa.Column(
            "online", sa.Integer(), nullable=False, comment="1 if at work by the configured rule"
        ),
        sa.Column(
            "last_login",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="start of the last portal session",
        ),
        sa.Column(
            "last_activity",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="last activity, where the portal tells it",
        ),
        sa.Column(
            "seen",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="when the portal said all this",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("operators_pkey")),
        comment="the call centre's staff",
    )
    op.create_table(
        "tasks",
        sa.Column(
            "id", sa.Integer(), autoincrement=False, nullable=False, comment="the portal's task id"
        ),
        sa.Column("title", sa.Text(), nullable=False, comment="as people wrote it"),
        sa.Column("responsible", sa.Integer(), nullable=False, comment="the portal's user id"),
        sa.Column(
            "open",
            sa.Integer(),
            nullable=False,
            comment="1 while the portal lists it as a call task",
        ),
        sa.Column(
            "portal_deadline",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="the deadline as the portal last had it",
        ),
        sa.Column(
            "due",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when to call next; the deadline, or later by our own rule",
        ),
        sa.Column(
            "halted",
            sa.String(length=20),
            nullable=False,
            comment="why we are through with it; empty: no",
        ),
        sa.Column(
            "series", sa.Integer(), nullable=False, comment="grows when a person moves the deadline"
        ),
        sa.Column(
            "next_check",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when the planner looks again; empty: on a change only",
        ),
        sa.Column(
            "reason",
            sa.String(length=30),
            nullable=False,
            comment="decide.Reason of the last look, or dial",
        ),
        sa.Column(
            "reason_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when that was",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("tasks_pkey")),
        comment="call tasks, as planned",
    )
    with op.batch_alter_table("tasks", schema=None) as batch_op:
        batch_op.create_index(
            "tasks_next_check_idx",
            ["next_check"],
            unique=False,
            sqlite_where=sa.text("next_check IS NOT NULL"),
        )

    op.create_table(
        "attempts",
        sa.Column(
            "id",
            sa.String(length=40),
            nullable=False,
            comment="t<task>-<n>; also the call file's name",
        ),
        sa.Column("task", sa.Integer(), nullable=False, comment="whose task"),
        sa.Column(
            "n",
            sa.Integer(),
            nullable=False,
            comment="number of the attempt within the task, from 1",
        ),
        sa.Column(
            "series", sa.Integer(), nullable=False, comment="the task's series when it was made"
        ),
        sa.Column(
            "number",
            sa.String(length=20),
            nullable=False,
            comment="whom to dial, E.164 with its plus",
        ),
        sa.Column("client", sa.Text(), nullable=False, comment="the client's name"),
        sa.Column(
            "entity_type", sa.String(length=20), nullable=False, comment="CONTACT, COMPANY or LEAD"
        ),
        sa.Column("entity_id", sa.Integer(), nullable=False, comment="its id in the CRM"),
        sa.Column(
            "operator",
            sa.Integer(),
            nullable=False,
            comment="reserved for it, the portal's user id",
        ),
        sa.Column("extension", sa.String(length=20), nullable=False, comment="his internal number"),
        sa.Column("trunks", sa.Text(), nullable=False, comment="carriers in order, ':' between"),
        sa.Column("state", sa.String(length=10), nullable=False, comment="states.State"),
        sa.Column(
            "spooled_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="when it was decided and written",
        ),
        sa.Column(
            "claimed_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when the dialplan was told to dial",
        ),
        sa.Column(
            "answered_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when the client answered",
        ),
        sa.Column(
            "ended_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when the outcome was recorded",
        ),
        sa.Column(
            "expires_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="no later than this it is given up",
        ),
        sa.Column("outcome", sa.String(length=20), nullable=True, comment="model.Outcome"),
        sa.Column("report", sa.JSON(), nullable=True, comment="what Asterisk said, field by field"),
        sa.Column(
            "taken_by",
            sa.Integer(),
            nullable=True,
            comment="the operator who spoke, the portal's user id",
        ),
        sa.Column("talk_seconds", sa.Integer(), nullable=True, comment="length of the talk"),
        sa.Column(
            "call_id",
            sa.String(length=80),
            nullable=True,
            comment="the portal's CALL_ID once registered",
        ),
        sa.CheckConstraint(
            "(outcome IS NULL) = (state IN ('spooled', 'claimed', 'answered'))",
            name=op.f("attempts_outcome_check"),
        ),
        sa.CheckConstraint(
            "(outcome IS NULL) = (ended_at IS NULL)", name=op.f("attempts_ended_check")
        ),
        sa.ForeignKeyConstraint(["task"], ["tasks.id"], name=op.f("attempts_task_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("attempts_pkey")),
        sa.UniqueConstraint("task", "n", name=op.f("attempts_task_key")),
        comment="one dialling of one phone for one task",
    )
    with op.batch_alter_table("attempts", schema=None) as batch_op:
        batch_op.create_index(
            "attempts_open_idx",
            ["task"],
            unique=True,
            sqlite_where=sa.text("state IN ('spooled', 'claimed', 'answered')"),
            postgresql_where=sa.text("state IN ('spooled', 'claimed', 'answered')"),
        )

    op.create_table(
        "phones",
        sa.Column("task", sa.Integer(), nullable=False, comment="whose task"),
        sa.Column("position", sa.Integer(), nullable=False, comment="the order to try, from 0"),
        sa.Column("number", sa.String(length=20), nullable=False, comment="E.164 with its plus"),
        sa.Column(
            "client", sa.Text(), nullable=False, comment="name of the contact, company or lead"
        ),
        sa.Column(
            "entity_type", sa.String(length=20), nullable=False, comment="CONTACT, COMPANY or LEAD"
        ),
        sa.Column("entity_id", sa.Integer(), nullable=False, comment="its id in the CRM"),
        sa.ForeignKeyConstraint(["task"], ["tasks.id"], name=op.f("phones_task_fkey")),
        sa.PrimaryKeyConstraint("task", "position", name=op.f("phones_pkey")),
        comment="dialable numbers of a task's clients",
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.Integer(), nullable=False, comment="also the order of delivery"),
        sa.Column("attempt", sa.String(length=40), nullable=False, comment="what it is about"),
        sa.Column("task", sa.Integer(), nullable=False, comment="the portal's task id"),
        sa.Column(
            "kind",
            sa.String(length=10),
            nullable=False,
            comment="register, move, finish, task, comment",
        ),
        sa.Column(
            "target", sa.Integer(), nullable=False, comment="user id for register and move, else 0"
        ),
        sa.Column("payload", sa.JSON(), nullable=False, comment="arguments; moments as ISO 8601"),
        sa.Column(
            "state",
            sa.String(length=10),
            nullable=False,
            comment="owed, sending, done, void, parked",
        ),
        sa.Column(
            "created",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="when it happened",
        ),
        sa.Column(
            "done_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when the portal had taken it",
        ),
        sa.Column("error", sa.Text(), nullable=False, comment="why a person must look (parked)"),
        sa.ForeignKeyConstraint(["attempt"], ["attempts.id"], name=op.f("outbox_attempt_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("outbox_pkey")),
        sa.UniqueConstraint("attempt", "kind", "target", name=op.f("outbox_attempt_key")),
        comment="what the portal has yet to be told, and what it was told",
    )
    with op.batch_alter_table("outbox", schema=None) as batch_op:
        batch_op.create_index(
            "outbox_owed_idx",
            ["id"],
            unique=False,
            sqlite_where=sa.text("state IN ('owed', 'sending')"),
        )

    op.create_table(
        "reservations",
        sa.Column("operator", sa.Integer(), autoincrement=False, nullable=False, comment="held"),
        sa.Column("attempt", sa.String(length=40), nullable=False, comment="for this"),
        sa.Column(
            "until",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="the lease; afterwards it is void",
        ),
        sa.ForeignKeyConstraint(
            ["attempt"], ["attempts.id"], name=op.f("reservations_attempt_fkey")
        ),
        sa.PrimaryKeyConstraint("operator", name=op.f("reservations_pkey")),
        sa.UniqueConstraint("attempt", name=op.f("reservations_attempt_key")),
        comment="operators held for an attempt; a row goes when the attempt ends",
    )


def downgrade() -> None:
    op.drop_table("reservations")
    with op.batch_alter_table("outbox", schema=None) as batch_op:
        batch_op.drop_index("outbox_owed_idx", sqlite_where=sa.text("state IN ('owed', 'sending')"))

    op.drop_table("outbox")
    op.drop_table("phones")
    with op.batch_alter_table("attempts", schema=None) as batch_op:
        batch_op.drop_index(
            "attempts_open_idx",
            sqlite_where=sa.text("state IN ('spooled', 'claimed', 'answered')"),
            postgresql_where=sa.text("state IN ('spooled', 'claimed', 'answered')"),
        )

    op.drop_table("attempts")
    with op.batch_alter_table("tasks", schema=None) as batch_op:
        batch_op.drop_index("tasks_next_check_idx", sqlite_where=sa.text("next_check IS NOT NULL"))

    op.drop_table("tasks")
    op.drop_table("operators")
    op.drop_table("flags")
    with op.batch_alter_table("events", schema=None) as batch_op:
        batch_op.drop_index("events_task_idx")

    op.drop_table("events")
