"""The audit log: what people did."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "audit",
        sa.Column("id", sa.Integer(), nullable=False, comment="order of writing"),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False, comment="when"),
        sa.Column(
            "who", sa.String(80), nullable=False, comment="a user of the shell, or an extension"
        ),
        sa.Column("door", sa.String(10), nullable=False, comment="act.Door"),
        sa.Column("act", sa.String(20), nullable=False, comment="act.Act"),
        sa.Column(
            "about", sa.String(80), nullable=False, comment="task, extension, number …; empty: all"
        ),
        sa.Column("detail", sa.Text(), nullable=False, comment="the reason, the end"),
        sa.PrimaryKeyConstraint("id", name=op.f("audit_pkey")),
        comment="what people did to the dialler",
    )
    op.create_index("audit_at_idx", "audit", ["at"], unique=False)
    op.create_index("audit_about_idx", "audit", ["about", "at"], unique=False)


def downgrade() -> None:
    op.drop_table("audit")
