"""Rows of the store's views, made by hand."""

from datetime import UTC, datetime

from autodial.store.views import OperatorLine

AT = datetime(2026, 11, 26, 12, tzinfo=UTC)


def operator_line(number: int, extension: str, name: str = "Анна") -> OperatorLine:
    """A member of the staff who has just been seen."""
    return OperatorLine(
        id=number, name=name, extension=extension, online=True, last_login=AT, last_activity=AT,
        last_logout=None, last_left=None, watched=None, since=AT, working_day=None, phone=None,
        seen=AT, reserved_for=None, talked=0,
    )  # fmt: skip
