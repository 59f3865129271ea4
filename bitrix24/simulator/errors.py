"""Refusals of the simulated portal, with the box's codes and statuses."""

from collections.abc import Mapping

#: Statuses of the documentation where the box's code uses another.
DOCUMENTED: Mapping[str, int] = {
    "INVALID_CREDENTIALS": 403,
    "insufficient_scope": 403,
    "INVALID_REQUEST": 400,
    "OVERLOAD_LIMIT": 503,
    "PORTAL_DELETED": 500,
}

#: Texts of ``tasks.*`` are localized: clients must not depend on them.
TEXTS: Mapping[str, Mapping[str, str]] = {
    "no task": {"ru": "Задача не найдена или доступ запрещён", "en": "Task not found or forbidden"},
    "no right": {"ru": "Нет прав на это действие", "en": "You may not do this"},
    "not allowed": {"ru": "Действие над задачей не разрешено", "en": "Action on task not allowed"},
    "order": {"ru": "Неизвестное поле сортировки", "en": "Unknown order field"},
    "responsible": {"ru": "Исполнитель задачи не найден.<br>", "en": "Assignee not found.<br>"},
    "status": {"ru": "Неверный статус задачи.<br>", "en": "Wrong task status.<br>"},
    "parent": {"ru": "Базовая задача не найдена.<br>", "en": "Parent task not found.<br>"},
    "title": {"ru": "Не указано название задачи.<br>", "en": "Task title is missing.<br>"},
}


class Refusal(Exception):
    """An error answer: HTTP status, ``error``, ``error_description``."""

    def __init__(self, status: int, code: str, description: str = "") -> None:
        super().__init__(f"{status} {code} {description}")
        self.status = status
        self.code = code
        self.description = description


def controller(description: str) -> Refusal:
    """How ``tasks.*`` refuses: code "0", a text in the portal's language."""
    return Refusal(400, "0", description)


def old(description: str) -> Refusal:
    """How telephony, CRM, timeman and work groups refuse: an empty code."""
    return Refusal(400, "", description)


def missing(parameter: str) -> Refusal:
    """A controller's missing parameter."""
    return Refusal(400, "100", f"Could not find value for parameter {{{parameter}}}")


def ill_typed(parameter: str, value: object, wanted: str) -> Refusal:
    """A controller's parameter of a wrong type."""
    text = f"Invalid value {{{value}}} to match with parameter {{{parameter}}}."
    return Refusal(400, "100", f"{text} Should be value of type {wanted}")
