"""Purposes and their word, clients' zones, what the CRM forbids, pauses."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "talks",
        sa.Column(
            "id", sa.Integer(), autoincrement=False, nullable=False, comment="of the portal's list"
        ),
        sa.Column(
            "number", sa.String(20), nullable=False,
            comment="the other side's, E.164 with its plus",
        ),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False, comment="when it began"),
        sa.Column(
            "operator", sa.Integer(), nullable=False, comment="who spoke, the portal's user id"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("talks_pkey")),
        comment="talks that others had with our clients, from the portal's statistics",
    )  # fmt: skip
    op.create_index("talks_number_idx", "talks", ["number"], unique=False)
    op.create_table(
        "pauses",
        sa.Column(
            "operator", sa.Integer(), autoincrement=False, nullable=False, comment="0: everybody"
        ),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False, comment="since when"),
        sa.Column("why", sa.Text(), nullable=False, comment="for people"),
        sa.PrimaryKeyConstraint("operator", name=op.f("pauses_pkey")),
        comment="who is not to get calls for now",
    )
    for table, column in (
        ("tasks", sa.Column("purpose", sa.String(30), nullable=False, server_default="")),
        ("tasks", sa.Column("needs_word", sa.Integer(), nullable=False, server_default="0")),
        ("tasks", sa.Column("confirmed", sa.Integer())),
        ("tasks", sa.Column("do_not_call", sa.Integer(), nullable=False, server_default="0")),
        ("phones", sa.Column("zone", sa.String(40), nullable=False, server_default="")),
        ("phones", sa.Column("do_not_call", sa.Integer(), nullable=False, server_default="0")),
    ):
        op.add_column(table, column)
    op.create_index("phones_number_idx", "phones", ["number"], unique=False)
    op.create_index("phones_entity_idx", "phones", ["entity_id", "entity_type"], unique=False)
    op.create_index("attempts_number_idx", "attempts", ["number"], unique=False)
    op.create_index("attempts_entity_idx", "attempts", ["entity_id", "entity_type"], unique=False)
