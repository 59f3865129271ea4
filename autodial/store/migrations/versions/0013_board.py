"""People who may look at the board, and their sessions."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "accounts",
        sa.Column("name", sa.String(40), nullable=False, comment="by which he logs in"),
        sa.Column("role", sa.String(20), nullable=False, comment="role.Role"),
        sa.Column("password", sa.Text(), nullable=False, comment="its Argon2 hash"),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False, comment="since when"),
        sa.PrimaryKeyConstraint("name", name=op.f("accounts_pkey")),
        comment="people who may look at the board",
    )
    op.create_table(
        "board_sessions",
        sa.Column("token", sa.String(64), nullable=False, comment="SHA-256 of the cookie"),
        sa.Column("name", sa.String(40), nullable=False, comment="whose"),
        sa.Column("proof", sa.String(64), nullable=False, comment="what each form sends back"),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False, comment="the login"),
        sa.Column("seen", sa.DateTime(timezone=True), nullable=False, comment="the last page"),
        sa.ForeignKeyConstraint(["name"], ["accounts.name"]),
        sa.PrimaryKeyConstraint("token", name=op.f("board_sessions_pkey")),
        comment="who has logged in on the board",
    )


def downgrade() -> None:
    op.drop_table("board_sessions")
    op.drop_table("accounts")
