"""Alembic's entry: run the migrations on the engine that ``database.migrate`` opened."""

from typing import Any, Literal

from alembic import context

from autodial.store.schema import Moment, metadata


def _plain(kind: str, value: Any, _: Any) -> str | Literal[False]:
    """A migration must not depend on today's code: our type is written as the plain one."""
    return "sa.DateTime(timezone=True)" if isinstance(value, Moment) else False


engine = context.config.attributes["engine"]
with engine.connect() as connection:
    context.configure(
        connection=connection,
        target_metadata=metadata,
        render_as_batch=True,
        render_item=_plain,
    )
    with context.begin_transaction():
        context.run_migrations()
    connection.commit()
