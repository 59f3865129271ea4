"""One person is everybody with the same number, or the same entity of the CRM: one condition."""

from typing import Any

import sqlalchemy as sa


def same_person(one: Any, other: Any) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    """
    Two conditions, of which either will do, each by an index of its own. ``one``: columns number,
    entity_type and entity_id; ``other``: such columns, or the values. An entity of 0 is nobody's.
    """
    return (
        one.number == other.number,
        sa.and_(
            one.entity_id == other.entity_id,
            one.entity_type == other.entity_type,
            one.entity_id != 0,
        ),
    )
