"""The field's standard terms for tables, columns and states; what tells messages apart."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

COLUMNS = {
    "tasks": {
        "halted": "closed_reason", "series": "generation", "comment_series": "comment_generation",
        "needs_word": "needs_confirmation",
    },
    "phones": {"extension": "dtmf"},
    "attempts": {
        "series": "generation", "tones": "dtmf", "held": "reserved", "word": "disposition",
    },
}  # fmt: skip
TABLES = {"talks": "external_calls", "never": "do_not_call"}
#: Indexes are named after their tables: old name, new name, table, columns.
INDEXES = (
    ("talks_number_idx", "external_calls_number_idx", "external_calls", ["number"]),
    ("talks_entity_idx", "external_calls_entity_idx", "external_calls",
     ["entity_id", "entity_type"]),
    ("never_number_idx", "do_not_call_number_idx", "do_not_call", ["number"]),
    ("never_entity_idx", "do_not_call_entity_idx", "do_not_call", ["entity_id", "entity_type"]),
    ("never_attempt_idx", "do_not_call_attempt_idx", "do_not_call", ["attempt"]),
)  # fmt: skip
STATES = {"owed": "pending", "done": "delivered", "parked": "dead"}
PARTIAL = {
    "outbox_owed_idx": ("outbox_pending_idx", "state IN ('pending', 'sending')"),
    "outbox_parked_idx": ("outbox_dead_idx", "state = 'dead'"),
}


def upgrade() -> None:
    for table, names in COLUMNS.items():
        for old, new in names.items():
            op.execute(f"ALTER TABLE {table} RENAME COLUMN {old} TO {new}")
    for old, new in TABLES.items():
        op.rename_table(old, new)
    for old, new, table, columns in INDEXES:
        op.drop_index(old, table_name=table)
        op.create_index(new, table, columns, unique=False)
    for old in PARTIAL:
        op.drop_index(old, table_name="outbox")
    _tell_messages_apart()
    messages = sa.table("outbox", sa.column("state"))
    renamed = sa.case(STATES, value=messages.c.state, else_=messages.c.state)
    op.execute(sa.update(messages).where(messages.c.state.in_(STATES)).values(state=renamed))
    for new, condition in PARTIAL.values():
        where = sa.text(condition)
        op.create_index(
            new, "outbox", ["id"], unique=False, sqlite_where=where, postgresql_where=where
        )


def _tell_messages_apart() -> None:
    """Before: ``target``, the user of a card, a disposition's number, minus another task, or 0."""
    with op.batch_alter_table("outbox") as batch:
        for name in ("operator", "revision"):
            batch.add_column(sa.Column(name, sa.Integer(), nullable=False, server_default="0"))
        batch.drop_constraint("outbox_attempt_key", type_="unique")
    messages = sa.table(
        "outbox",
        *(sa.column(name) for name in ("id", "kind", "target", "operator", "revision", "state")),
        sa.column("payload", sa.JSON()),
    )
    cards = messages.c.kind.in_(("register", "move", "notify"))
    positive = messages.c.target > 0
    op.execute(sa.update(messages).where(positive, cards).values(operator=messages.c.target))
    op.execute(sa.update(messages).where(positive, ~cards).values(revision=messages.c.target))
    comments = messages.c.kind == "comment"
    undelivered = comments & messages.c.state.in_(("owed", "sending", "parked"))
    db = op.get_bind()
    for row in db.execute(sa.select(messages.c.id, messages.c.payload).where(undelivered)).all():
        payload = row.payload if isinstance(row.payload, dict) else json.loads(row.payload)
        if "word" in payload:
            payload["disposition"] = payload.pop("word")
            this = messages.c.id == row.id
            db.execute(sa.update(messages).where(this).values(payload=payload))
    with op.batch_alter_table("outbox") as batch:
        batch.drop_column("target")
        batch.create_unique_constraint(
            "outbox_attempt_key", ["attempt", "kind", "task", "operator", "revision"]
        )
