"""Tasks and their comments, as the portal's controllers answer."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from attrs import frozen

from bitrix24.simulator import php
from bitrix24.simulator.errors import Refusal, controller, missing

if TYPE_CHECKING:
    from bitrix24.simulator.portal import SimulatedPortal

Row = dict[str, Any]

_PLAIN = [
    "ID", "TITLE", "DESCRIPTION", "STATUS", "DEADLINE", "RESPONSIBLE_ID", "CREATED_BY", "GROUP_ID",
    "CHANGED_DATE", "CREATED_DATE", "CLOSED_DATE", "ALLOW_CHANGE_DEADLINE", "PRIORITY",
]  # fmt: skip
_KNOWN = {*_PLAIN, "REAL_STATUS", "TAG", "UF_CRM_TASK"}
_ORDER = {
    "ID", "TITLE", "CREATED_DATE", "CHANGED_DATE", "DEADLINE", "REAL_STATUS", "PRIORITY",
    "GROUP_ID",
}  # fmt: skip
_DATES = {"DEADLINE", "CHANGED_DATE", "CREATED_DATE", "CLOSED_DATE"}


@frozen
class Page:
    """Rows of a list method, with what the envelope says about the rest."""

    rows: Any
    total: int | None = None
    next: int | None = None


def page(rows: list[Row], start: Any, wrap: Callable[[list[Row]], Any] = lambda rows: rows) -> Page:
    """Fifty rows from ``start``; -1 means "no counting"."""
    first = int(start or 0)
    if first < 0:
        return Page(wrap(rows[:50]))
    first -= first % 50
    following = first + 50 if len(rows) > first + 50 else None
    return Page(wrap(rows[first : first + 50]), len(rows), following)


def task_list(portal: "SimulatedPortal", params: Row) -> Page:
    for name in params.get("order") or {}:
        if name not in _ORDER:
            raise controller(f"Неизвестное поле сортировки {name}")
    rows = [row for row in portal.tasks.values() if _matches(portal, row, params.get("filter"))]
    for name, direction in reversed(list((params.get("order") or {"ID": "asc"}).items())):
        key = "STATUS" if name == "REAL_STATUS" else name
        rows.sort(key=lambda row: _comparable(row[key]), reverse=direction.lower() == "desc")
    select = php.as_list(params.get("select"))
    return page(
        [_shown(portal, row, select) for row in rows],
        params.get("start"),
        lambda found: {"tasks": found},
    )


def _matches(portal: "SimulatedPortal", row: Row, criteria: Any) -> bool:
    for prefixed, wanted in (criteria or {}).items():
        match = re.fullmatch(r"(>=|<=|!=|!|>|<|=)?(\w+)", str(prefixed))
        if match is None or match.group(2) not in _KNOWN:
            continue  # unknown names are ignored: a typing error returns all tasks
        sign, name = match.groups()
        if not _compares(portal, row, name, sign or "=", wanted):
            return False
    return True


def _compares(portal: "SimulatedPortal", row: Row, name: str, sign: str, wanted: Any) -> bool:
    if name == "TAG":
        return all(tag in row["TAGS"] for tag in php.as_list(wanted))
    have: Any = row["STATUS"] if name == "REAL_STATUS" else row.get(name)
    if name == "STATUS":
        have = _sub_status(portal, row)
    if name == "UF_CRM_TASK":
        return any(code in have for code in php.as_list(wanted))
    if name in _DATES:
        if wanted in ("", None):
            return (have is not None) if sign.startswith("!") else (have is None)
        if have is None:
            return False
        return _signed(sign, have, portal.into(wanted))
    if sign in ("=", "!", "!="):
        found = str(have) in [str(value) for value in php.as_list(wanted)]
        return found if sign == "=" else not found
    return _signed(sign, int(have), int(wanted))


def _signed(sign: str, have: Any, wanted: Any) -> bool:
    return bool(
        {">": have > wanted, ">=": have >= wanted, "<": have < wanted, "<=": have <= wanted}.get(
            sign, (have == wanted) == (sign == "=")
        )
    )


def _comparable(value: Any) -> Any:
    return value if value is not None else datetime.min.replace(tzinfo=UTC)


def _sub_status(portal: "SimulatedPortal", row: Row) -> int:
    """The computed status: -1 is "overdue", and such a task does not match STATUS=2."""
    if row["STATUS"] in (2, 3) and row["DEADLINE"] and row["DEADLINE"] < portal.now():
        return -1
    return int(row["STATUS"])


def _shown(portal: "SimulatedPortal", row: Row, select: list[str]) -> Row:
    names = _PLAIN if not select or "*" in select else [n for n in _PLAIN if n in select]
    said: Row = {}
    for name in names:
        value = portal.out(row[name]) if name in _DATES else row[name]
        said[_camel(name)] = None if value is None else str(value)
    if "STATUS" in names:
        said["subStatus"] = str(_sub_status(portal, row))
    if "UF_CRM_TASK" in select:
        said["ufCrmTask"] = list(row["UF_CRM_TASK"]) or False
    if "TAGS" in select and row["TAGS"]:
        said["tags"] = {str(n): {"id": n, "title": tag} for n, tag in enumerate(row["TAGS"], 35)}
    if "CHAT_ID" in select and portal.comments_in_chat:
        said["chatId"] = row["ID"] + 100_000
    said["group"] = {"id": str(row["GROUP_ID"])} if row["GROUP_ID"] else []
    return said


def _camel(name: str) -> str:
    head, *tail = name.lower().split("_")
    return head + "".join(part.capitalize() for part in tail)


def task_get(portal: "SimulatedPortal", params: Row) -> Any:
    row = portal.tasks.get(_task_id(params))
    if row is None:
        return []  # missing and forbidden look alike
    return {"task": _full(portal, row, php.as_list(params.get("select")))}


def _full(portal: "SimulatedPortal", row: Row, select: list[str]) -> Row:
    open_ = row["STATUS"] in (1, 2, 3)
    action = {"changeDeadline": True, "delegate": open_, "edit": True, "complete": open_}
    return {**_shown(portal, row, select), "action": action}


def _task_id(params: Row) -> int:
    given = params.get("taskId")
    if given is None:
        raise missing("taskId")
    try:
        return int(given)
    except (TypeError, ValueError):
        raise controller("wrong task id") from None


def task_add(portal: "SimulatedPortal", params: Row) -> Any:
    fields = params.get("fields")
    if not fields:
        raise missing("fields")
    if not fields.get("TITLE") or not fields.get("RESPONSIBLE_ID"):
        raise Refusal(400, "ERROR_CORE", "Не указано название задачи или исполнитель.<br>")
    number = portal.next_id()
    now = portal.now()
    portal.tasks[number] = {
        "ID": number,
        "TITLE": fields["TITLE"],
        "DESCRIPTION": fields.get("DESCRIPTION", ""),
        "STATUS": int(fields.get("STATUS", 2)),
        "DEADLINE": _deadline(portal, fields.get("DEADLINE")),
        "RESPONSIBLE_ID": int(fields["RESPONSIBLE_ID"]),
        "CREATED_BY": int(fields.get("CREATED_BY", portal.user_id)),
        "GROUP_ID": int(fields.get("GROUP_ID", 0)),
        "CHANGED_DATE": now,
        "CREATED_DATE": now,
        "CLOSED_DATE": None,
        "ALLOW_CHANGE_DEADLINE": fields.get("ALLOW_CHANGE_DEADLINE", "N"),
        "PRIORITY": int(fields.get("PRIORITY", 1)),
        "UF_CRM_TASK": [str(code) for code in php.as_list(fields.get("UF_CRM_TASK"))],
        "TAGS": [str(tag) for tag in php.as_list(fields.get("TAGS"))],
        "AUDITORS": [],
    }
    return {"task": _full(portal, portal.tasks[number], [])}


def _deadline(portal: "SimulatedPortal", given: Any) -> datetime | None:
    """What is stored: the instant, its seconds cut."""
    return portal.into(given).replace(second=0, microsecond=0) if given else None


def task_update(portal: "SimulatedPortal", params: Row) -> Any:
    row = portal.tasks.get(_task_id(params))
    fields = params.get("fields")
    if not fields:
        raise missing("fields")
    if row is None:
        raise controller("Задача не найдена или доступ запрещён")
    changed: Row = {}
    for name, value in fields.items():
        if name == "DEADLINE":
            changed[name] = _deadline(portal, value)
        elif name == "RESPONSIBLE_ID":
            if int(value) not in portal.users:
                raise Refusal(400, "ERROR_CORE", "Исполнитель задачи не найден.<br>")
            changed[name] = int(value)
        elif name == "STATUS":
            changed[name] = int(value)
        elif name in ("TITLE", "DESCRIPTION"):
            changed[name] = str(value)
    if list(fields) == ["RESPONSIBLE_ID"]:
        # The responsible alone is a delegation: status reset, the old one observes.
        row["AUDITORS"].append(row["RESPONSIBLE_ID"])
        changed["STATUS"] = 2
    for name, value in changed.items():
        if row[name] != value:
            portal.history.append(
                {
                    "task": row["ID"],
                    "field": name,
                    "from": row[name],
                    "to": value,
                    "at": portal.now(),
                }
            )
            row[name] = value
    row["CHANGED_DATE"] = portal.now()
    return {"task": _full(portal, row, [])}


def comment_add(portal: "SimulatedPortal", params: Row) -> Any:
    # task.* methods take their arguments by position, whatever the names.
    task_id, fields = [*params.values(), None, None][:2]
    row = portal.tasks.get(int(task_id or 0))
    if row is None:
        raise Refusal(
            400, "ERROR_CORE", "TASKS_ERROR_EXCEPTION_#8; Task not found or not accessible<br>"
        )
    text = str((fields or {}).get("POST_MESSAGE", ""))
    if not text:
        raise Refusal(400, "ERROR_CORE", "Message is empty<br>")
    if "task.commentitem.add" in text.lower():
        text = ""  # the portal drops arguments that hold the method's own name
    number = portal.next_id()
    author = int((fields or {}).get("AUTHOR_ID", portal.user_id))
    portal.comments.setdefault(row["ID"], []).append(
        {"ID": number, "POST_MESSAGE": text, "AUTHOR_ID": author, "POST_DATE": portal.now()}
    )
    return number


def comment_list(portal: "SimulatedPortal", params: Row) -> Any:
    if portal.comments_in_chat:
        raise Refusal(400, "ERROR_CORE", "Not available for tasks with a chat<br>")
    task_id = next(iter(params.values()), 0)
    return [
        {
            "ID": str(row["ID"]),
            "AUTHOR_ID": str(row["AUTHOR_ID"]),
            "POST_MESSAGE": row["POST_MESSAGE"],
            "POST_DATE": portal.out(row["POST_DATE"]),
        }
        for row in portal.comments.get(int(task_id), [])
    ]


def chat_messages(portal: "SimulatedPortal", params: Row) -> Any:
    match = re.fullmatch(r"chat(\d+)", str(params.get("DIALOG_ID", "")))
    if match is None or not portal.comments_in_chat:
        raise Refusal(403, "ACCESS_ERROR", "You do not have access to the specified dialog")
    rows = portal.comments.get(int(match.group(1)) - 100_000, [])
    newest = [
        {"id": row["ID"], "author_id": row["AUTHOR_ID"], "text": row["POST_MESSAGE"]}
        for row in reversed(rows)
    ]
    return {"messages": newest[: int(params.get("LIMIT", 20))], "users": [], "files": []}


METHODS = {
    "tasks.task.list": task_list,
    "tasks.task.get": task_get,
    "tasks.task.add": task_add,
    "tasks.task.update": task_update,
    "task.commentitem.add": comment_add,
    "task.commentitem.getlist": comment_list,
    "im.dialog.messages.get": chat_messages,
}
