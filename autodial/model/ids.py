"""Names of things, and how they are read from outside."""

import re
from typing import NewType

TaskId = NewType("TaskId", int)


OperatorId = NewType("OperatorId", int)


AttemptId = NewType("AttemptId", str)


#: How an attempt is named: task 8017, its third.
_ATTEMPT = re.compile(r"t[0-9]{1,16}-[0-9]{1,9}")


def attempt_id(text: str) -> AttemptId | None:
    """A text from outside as the name of an attempt; None: it cannot be one."""
    return AttemptId(text) if _ATTEMPT.fullmatch(text) else None


#: What an internal number may be. It becomes an argument of the dialplan, where a quotation mark, a
#: bracket or a comma would be more than text.
_INTERNAL = re.compile(r"[A-Za-z0-9_.-]{1,40}")


def internal_number(text: str) -> str:
    """An internal number as the portal has it, if it can be one; otherwise empty: never rung."""
    return text if _INTERNAL.fullmatch(text) else ""
