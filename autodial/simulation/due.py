"""The tasks of a day to come: how many are really due, and what holds the others."""

from collections import Counter
from datetime import datetime

import sqlalchemy as sa
from attrs import frozen

from autodial.rules.dial_facts import Reason
from autodial.store import views

#: Why a task will not be dialled on any day until somebody changes something.
HELD = frozenset(
    reason.value
    for reason in (
        Reason.NO_PHONE, Reason.NO_DEADLINE, Reason.CONFIRM, Reason.DO_NOT_CALL,
        Reason.NO_CONSENT, Reason.WRONG_NUMBER, Reason.ENOUGH,
    )
)  # fmt: skip


@frozen
class Due:
    """Open tasks that are due by a moment."""

    tasks: int  #: that can be dialled
    held: Counter[str]  #: the others, by reason


def due_by(db: sa.Connection, end: datetime) -> Due:
    """As of now; what is imported later is not among them."""
    lines = views.task_lines(db, late_at=end)
    held = Counter(line.reason for line in lines if line.reason in HELD)
    return Due(len(lines) - held.total(), held)
