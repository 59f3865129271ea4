"""On PostgreSQL no text of a portal or a client is too long for its column, as on SQLite."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_LIMITED = sa.text("""
SELECT table_name, column_name FROM information_schema.columns
WHERE table_schema = current_schema() AND character_maximum_length IS NOT NULL
AND table_name != 'alembic_version'
""")


def upgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        return
    for table, column in op.get_bind().execute(_LIMITED).all():
        op.alter_column(table, column, type_=sa.Text())


def downgrade() -> None:
    """Nothing: the older program does not care."""
