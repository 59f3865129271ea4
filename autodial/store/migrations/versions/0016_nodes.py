"""Several diallers on one store."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_MOMENT = sa.DateTime(timezone=True)


def _word(length: int) -> "sa.types.TypeEngine[str]":
    return sa.String(length).with_variant(sa.Text(), "postgresql")


def upgrade() -> None:
    op.add_column(
        "attempts",
        sa.Column("node", _word(40), nullable=False, server_default="",
                  comment="[node] that dials it"),
    )  # fmt: skip
    op.create_table(
        "nodes",
        sa.Column("name", _word(40), nullable=False, comment="[node] name"),
        sa.Column("lock", sa.Integer(), nullable=False,
                  comment="its advisory lock: server.node_lock"),
        sa.Column("since", _MOMENT, nullable=False, comment="its last start"),
        sa.Column("seen", _MOMENT, nullable=False, comment="its last beat"),
        sa.Column("version", _word(40), nullable=False, comment="of its program"),
        sa.Column("pbx", sa.Integer(), nullable=False,
                  comment="1: Asterisk's manager is connected"),
        sa.Column("reason", _word(30), nullable=False,
                  comment="why it dials nobody; empty: it does"),
        sa.PrimaryKeyConstraint("name", name=op.f("nodes_pkey")),
        comment="diallers that share this store",
    )  # fmt: skip
    op.create_table(
        "device_states",
        sa.Column("node", _word(40), nullable=False, comment="whose Asterisk says so"),
        sa.Column("extension", _word(40), nullable=False, comment="internal number"),
        sa.Column("state", _word(20), nullable=False, comment="Asterisk's device state"),
        sa.PrimaryKeyConstraint("node", "extension", name=op.f("device_states_pkey")),
        comment="operators' phones, as each node's Asterisk sees them",
    )
    op.create_table(
        "node_waits",
        sa.Column("node", _word(40), nullable=False, comment="which does not look at it"),
        sa.Column("task", sa.Integer(), autoincrement=False, nullable=False,
                  comment="the portal's task id"),
        sa.Column("until", _MOMENT, nullable=False, comment="when it looks again"),
        sa.PrimaryKeyConstraint("node", "task", name=op.f("node_waits_pkey")),
        comment="tasks that one node cannot dial for the moment, and another perhaps can",
    )  # fmt: skip


def downgrade() -> None:
    for table in ("node_waits", "device_states", "nodes"):
        op.drop_table(table)
    op.drop_column("attempts", "node")
