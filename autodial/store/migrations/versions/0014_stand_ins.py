"""Who takes whose tasks for a time; operators and the portal's people on the board; API tokens."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_MOMENT = sa.DateTime(timezone=True)


def _sessions(*columns: "sa.Column[object]", foreign: bool) -> None:
    """The sessions of before end: everybody logs in again."""
    op.drop_table("board_sessions")
    keys = [sa.ForeignKeyConstraint(["name"], ["accounts.name"])] if foreign else []
    op.create_table(
        "board_sessions",
        sa.Column("token", sa.String(64), nullable=False, comment="SHA-256 of the cookie"),
        sa.Column("name", sa.String(60), nullable=False, comment="whose, in the audit log"),
        *columns,
        sa.Column("proof", sa.String(64), nullable=False, comment="what each form sends back"),
        sa.Column("created", _MOMENT, nullable=False, comment="the login"),
        sa.Column("seen", _MOMENT, nullable=False, comment="the last page"),
        *keys,
        sa.PrimaryKeyConstraint("token", name=op.f("board_sessions_pkey")),
        comment="who has logged in on the board",
    )


def upgrade() -> None:
    op.create_table(
        "stand_ins",
        sa.Column("operator", sa.Integer(), autoincrement=False, nullable=False, comment="whose"),
        sa.Column("stand_in", sa.Integer(), nullable=False, comment="who takes his tasks"),
        sa.Column("at", _MOMENT, nullable=False, comment="since when"),
        sa.Column("until", _MOMENT, comment="when it ends by itself; empty: when it is taken back"),
        sa.PrimaryKeyConstraint("operator", name=op.f("stand_ins_pkey")),
        comment="operators whose tasks others take for a time",
    )
    op.add_column(
        "accounts",
        sa.Column("operator", sa.Integer(), nullable=False, server_default="0",
                  comment="the portal's user id of an operator; 0: none"),
    )  # fmt: skip
    _sessions(
        sa.Column("shown", sa.Text(), nullable=False, server_default="", comment="his name"),
        sa.Column("role", sa.String(20), nullable=False, server_default="",
                  comment="of a person of the portal; empty: the account's"),
        sa.Column("operator", sa.Integer(), nullable=False, server_default="0",
                  comment="the portal's user id of an operator; 0: none"),
        foreign=False,
    )  # fmt: skip
    op.create_table(
        "api_tokens",
        sa.Column("name", sa.String(40), nullable=False, comment="what it is for"),
        sa.Column("role", sa.String(20), nullable=False, comment="role.Role"),
        sa.Column("token", sa.String(64), nullable=False, comment="SHA-256 of the token"),
        sa.Column("created", _MOMENT, nullable=False, comment="since when"),
        sa.PrimaryKeyConstraint("name", name=op.f("api_tokens_pkey")),
        sa.UniqueConstraint("token", name=op.f("api_tokens_token_key")),
        comment="programs that may use the API",
    )
    op.create_table(
        "hooks",
        sa.Column("name", sa.String(40), nullable=False, comment="[[hooks]] name"),
        sa.Column("event", sa.Integer(), nullable=False, comment="the last one sent, of events"),
        sa.Column("tries", sa.Integer(), nullable=False, comment="in vain, of the next one"),
        sa.Column("not_before", _MOMENT, comment="when it is tried again"),
        sa.Column("error", sa.Text(), nullable=False, comment="why it failed"),
        sa.Column("dropped", sa.Integer(), nullable=False, comment="given up, in all"),
        sa.PrimaryKeyConstraint("name", name=op.f("hooks_pkey")),
        comment="how far each web hook has been told",
    )


def downgrade() -> None:
    op.drop_table("hooks")
    op.drop_table("api_tokens")
    _sessions(foreign=True)
    op.drop_column("accounts", "operator")
    op.drop_table("stand_ins")
