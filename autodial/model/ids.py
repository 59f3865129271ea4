"""Identifiers, and how they are parsed from outside text."""

import re
from typing import NewType

TaskId = NewType("TaskId", int)


OperatorId = NewType("OperatorId", int)


AttemptId = NewType("AttemptId", str)


#: An attempt's id: ``t8017-3`` is the third attempt of task 8017.
_ATTEMPT = re.compile(r"t[0-9]{1,16}-[0-9]{1,9}")


def new_attempt_id(task: TaskId, number: int) -> AttemptId:
    """Of the task's attempt of this number, from 1."""
    return AttemptId(f"t{task}-{number}")


def attempt_id(text: str) -> AttemptId | None:
    """An attempt id from outside text; None: the text is not a valid id."""
    return AttemptId(text) if _ATTEMPT.fullmatch(text) else None


#: Allowed internal numbers. One becomes a dialplan argument, where a quotation mark, a bracket or
#: a comma would be syntax.
_INTERNAL = re.compile(r"[A-Za-z0-9_.-]{1,40}")


def internal_number(text: str) -> str:
    """An internal number from the portal if it is valid; otherwise empty, which is never rung."""
    return text if _INTERNAL.fullmatch(text) else ""
