"""Clients on the do-not-call list by command, without a call in which they said so."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("do_not_call") as batch:
        batch.alter_column("attempt", existing_type=sa.String(40), nullable=True)
        batch.add_column(sa.Column("client", sa.Text(), nullable=False, server_default=""))
        batch.add_column(sa.Column("why", sa.Text(), nullable=False, server_default=""))


def downgrade() -> None:
    op.execute("DELETE FROM do_not_call WHERE attempt IS NULL")
    with op.batch_alter_table("do_not_call") as batch:
        batch.drop_column("why")
        batch.drop_column("client")
        batch.alter_column("attempt", existing_type=sa.String(40), nullable=False)
