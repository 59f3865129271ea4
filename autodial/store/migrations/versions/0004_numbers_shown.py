"""Numbers shown, calls for which nobody is held, operators' words, who is never to be called."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("attempts", sa.Column("caller_ids", sa.Text(), nullable=False, server_default=""))
    op.add_column("attempts", sa.Column("held", sa.Integer(), nullable=False, server_default="1"))
    op.add_column("tasks", sa.Column("deputies", sa.Text(), nullable=False, server_default=""))
    op.add_column("attempts", sa.Column("word", sa.String(20)))
    op.create_table(
        "never",
        sa.Column("id", sa.Integer(), nullable=False, comment="order of saying"),
        sa.Column("number", sa.String(20), nullable=False, comment="E.164 with its plus"),
        sa.Column(
            "entity_type", sa.String(20), nullable=False, comment="whose: CONTACT, COMPANY or LEAD"
        ),
        sa.Column(
            "entity_id", sa.Integer(), nullable=False, comment="its id in the CRM; 0: nobody's"
        ),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False, comment="when it was said"),
        sa.Column(
            "operator", sa.Integer(), nullable=False, comment="to whom, the portal's user id"
        ),
        sa.Column("attempt", sa.String(40), nullable=False, comment="in which call"),
        sa.PrimaryKeyConstraint("id", name=op.f("never_pkey")),
        sa.ForeignKeyConstraint(["attempt"], ["attempts.id"], name=op.f("never_attempt_fkey")),
        comment="clients who told an operator not to be called again",
    )
    op.create_index("never_number_idx", "never", ["number"], unique=False)
    op.create_index("never_entity_idx", "never", ["entity_id", "entity_type"], unique=False)
    for column in (
        sa.Column("entity_type", sa.String(20), nullable=False, server_default=""),
        sa.Column("entity_id", sa.Integer(), nullable=False, server_default="0"),
    ):
        op.add_column("talks", column)
    op.create_index("talks_entity_idx", "talks", ["entity_id", "entity_type"], unique=False)
    op.create_index("attempts_taken_idx", "attempts", ["taken_by", "ended_at"], unique=False)
    op.create_index("attempts_spooled_idx", "attempts", ["spooled_at"], unique=False)
