"""Tasks that one node cannot dial for the moment, and another perhaps can."""

from collections.abc import Mapping
from datetime import datetime

import sqlalchemy as sa

from autodial.store.schema import node_waits


def wait_here(db: sa.Connection, node: str, waiting: Mapping[int, datetime], now: datetime) -> None:
    """This node does not look at these tasks for a while; another may dial them."""
    over = (node_waits.c.until <= now) | node_waits.c.task.in_(list(waiting))
    db.execute(sa.delete(node_waits).where(node_waits.c.node == node, over))
    rows = [{"node": node, "task": task, "until": until} for task, until in waiting.items()]
    if rows:
        db.execute(sa.insert(node_waits), rows)
