"""The index of tasks to decide on also orders them."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

INDEX = "tasks_next_check_idx"
WHERE = sa.text("next_check IS NOT NULL")


def upgrade() -> None:
    _replace(["next_check", "due", "id"])


def downgrade() -> None:
    _replace(["next_check"])


def _replace(columns: list[str]) -> None:
    op.drop_index(INDEX, table_name="tasks")
    op.create_index(
        INDEX, "tasks", columns, unique=False, sqlite_where=WHERE, postgresql_where=WHERE
    )
