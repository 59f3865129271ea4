"""The condition for the same person: the same number, or the same entity of the CRM."""

from typing import Any

import sqlalchemy as sa

#: The columns that it looks at.
SAME_PERSON = ("number", "entity_type", "entity_id")


def same_person(columns: Any, other: Any) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    """
    Two conditions, either of which is enough, each with its own index. ``columns``: number,
    entity_type and entity_id; ``other``: such columns, or values. The entity id 0 is nobody's.
    """
    return (
        columns.number == other.number,
        sa.and_(
            columns.entity_id == other.entity_id,
            columns.entity_type == other.entity_type,
            columns.entity_id != 0,
        ),
    )
