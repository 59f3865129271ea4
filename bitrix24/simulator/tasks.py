"""Tasks and their comments, as the portal's controllers answer."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from bitrix24.simulator import php
from bitrix24.simulator.errors import Refusal, controller, missing
from bitrix24.simulator.events import comment_added, task_added, task_deleted, task_updated
from bitrix24.simulator.php import Page, page

if TYPE_CHECKING:
    from bitrix24.simulator.portal import SimulatedPortal

Row = dict[str, Any]

_PLAIN = [
    "ID", "TITLE", "DESCRIPTION", "STATUS", "DEADLINE", "RESPONSIBLE_ID", "CREATED_BY", "GROUP_ID",
    "CHANGED_DATE", "CREATED_DATE", "CLOSED_DATE", "ALLOW_CHANGE_DEADLINE", "PRIORITY",
    "TASK_CONTROL",
]  # fmt: skip
_KNOWN = {*_PLAIN, "REAL_STATUS", "TAG", "UF_CRM_TASK"}
_ORDER = {
    "ID", "TITLE", "CREATED_DATE", "CHANGED_DATE", "DEADLINE", "REAL_STATUS", "PRIORITY",
    "GROUP_ID",
}  # fmt: skip
_DATES = {"DEADLINE", "CHANGED_DATE", "CREATED_DATE", "CLOSED_DATE"}
#: Fields that need only the right to change the deadline.
_DEADLINE_FIELDS = {"DEADLINE", "START_DATE_PLAN", "END_DATE_PLAN", "DURATION"}
_CHAT = 100_000  #: a task's chat has its number plus this


def task_list(portal: "SimulatedPortal", params: Row) -> Page:
    order = params.get("order") or {"ID": "asc"}
    for name in order:
        if name not in _ORDER:
            raise controller(f"{portal.text('order')} {name}")
    criteria, start = params.get("filter") or {}, params.get("start")
    select = php.as_list(params.get("select"))
    ways = [(name, str(way).lower()) for name, way in order.items()]
    by_id = ways in ([("ID", "asc")], [("ID", "desc")])
    rows = []
    for row in _between(portal, criteria, newest_first=ways == [("ID", "desc")]):
        if _matches(portal, row, criteria):
            rows.append(row)
            if by_id and int(start or 0) < 0 and len(rows) == 50:
                break
    if not by_id:
        for name, direction in reversed(list(order.items())):
            key = "STATUS" if name == "REAL_STATUS" else name
            rows.sort(key=lambda row: _comparable(row[key]), reverse=direction.lower() == "desc")
    return page(
        rows,
        start,
        lambda found: {"tasks": [_shown(portal, row, select) for row in found]},
    )


def _between(
    portal: "SimulatedPortal", criteria: Row, *, newest_first: bool = False
) -> Iterator[Row]:
    """All tasks by id, those between ``>ID`` and ``<ID`` only: a portal has an index for that."""
    ids = sorted(portal.tasks)
    first = bisect_right(ids, _number(criteria[">ID"])) if ">ID" in criteria else 0
    end = bisect_left(ids, _number(criteria["<ID"])) if "<ID" in criteria else len(ids)
    some = ids[first:end]
    return (portal.tasks[number] for number in (reversed(some) if newest_first else some))


def _number(value: Any) -> int:
    """PHP's intval: an array is 1, a text without digits 0."""
    if isinstance(value, dict | list):
        return int(bool(value))
    match = re.match(r"\s*[+-]?\d+", str(value))
    return int(match.group()) if match else 0


def _matches(portal: "SimulatedPortal", row: Row, criteria: Any) -> bool:
    for prefixed, wanted in (criteria or {}).items():
        sign, name = _criterion(str(prefixed))
        # Unknown names are ignored: a typing error returns all tasks.
        if name in _KNOWN and not _compares(portal, row, name, sign, wanted):
            return False
    return True


@lru_cache
def _criterion(prefixed: str) -> tuple[str, str]:
    match = re.fullmatch(r"(>=|<=|!=|!|>|<|=)?(\w+)", prefixed)
    return (match.group(1) or "=", match.group(2)) if match else ("", "")


def _compares(portal: "SimulatedPortal", row: Row, name: str, sign: str, wanted: Any) -> bool:
    if name == "TAG":
        return all(tag in row["TAGS"] for tag in php.as_list(wanted))
    have: Any = row["STATUS"] if name == "REAL_STATUS" else row.get(name)
    if name == "STATUS":
        have = _sub_status(portal, row)
    if name == "UF_CRM_TASK":
        return any(code in have for code in php.as_list(wanted))
    if name == "CHANGED_DATE" and have is None:
        have = row["CREATED_DATE"]
    if name in _DATES:
        if wanted in ("", None):
            return (have is not None) if sign.startswith("!") else (have is None)
        if have is None:
            return False
        return _signed(sign, have, portal.into(wanted))
    if sign in ("=", "!", "!="):
        found = str(have) in [str(value) for value in php.as_list(wanted)]
        return found if sign == "=" else not found
    return _signed(sign, _number(have), _number(wanted))


def _signed(sign: str, have: Any, wanted: Any) -> bool:
    return bool(
        {">": have > wanted, ">=": have >= wanted, "<": have < wanted, "<=": have <= wanted}.get(
            sign, (have == wanted) == (sign == "=")
        )
    )


def _comparable(value: Any) -> Any:
    return value if value is not None else datetime.min.replace(tzinfo=UTC)


def _sub_status(portal: "SimulatedPortal", row: Row) -> int:
    """The computed status: an overdue task (-1) does not match STATUS=2."""
    if row["STATUS"] in (1, 2, 3) and row["DEADLINE"]:
        left = row["DEADLINE"] - portal.now()
        if left < timedelta(0):
            return -1
        if left < timedelta(days=1):
            return -3
    if row["STATUS"] in (1, 2) and not row["VIEWED"]:
        return -2
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
        said["ufCrmTask"] = list(row["UF_CRM_TASK"]) or portal.no_links
    if "TAGS" in select and row["TAGS"]:
        said["tags"] = {str(n): {"id": n, "title": tag} for n, tag in enumerate(row["TAGS"], 35)}
    if "CHAT_ID" in select and portal.comments_in_chat:
        said["chatId"] = row["ID"] + _CHAT
    if "AUDITORS" in select:
        said["auditors"] = [str(number) for number in row["AUDITORS"]]
    said["group"] = {"id": str(row["GROUP_ID"])} if row["GROUP_ID"] else []
    if "RESPONSIBLE_ID" in names:
        user = portal.users.get(row["RESPONSIBLE_ID"], {"NAME": "", "LAST_NAME": ""})
        number = str(row["RESPONSIBLE_ID"])
        said["responsible"] = {
            "id": number,
            "name": f"{user['NAME']} {user['LAST_NAME']}".strip(),
            "link": f"/company/personal/user/{number}/",
            "icon": "/bitrix/images/tasks/default_avatar.png",
        }
    return said


@lru_cache
def _camel(name: str) -> str:
    head, *tail = name.lower().split("_")
    return head + "".join(part.capitalize() for part in tail)


def task_get(portal: "SimulatedPortal", params: Row) -> Any:
    row = portal.tasks.get(_task_id(params))
    if row is None or "read" in row["DENY"]:
        return []  # missing and forbidden look alike
    return {"task": _full(portal, row, php.as_list(params.get("select")))}


def _full(portal: "SimulatedPortal", row: Row, select: list[str]) -> Row:
    open_ = row["STATUS"] in (1, 2, 3)
    action = {
        "changeDeadline": _may_move(portal, row),
        "delegate": open_,
        "edit": _may_edit(portal, row),
        "complete": open_ or row["STATUS"] == 6,
        "start": row["STATUS"] in (1, 2),
        "defer": row["STATUS"] in (1, 2),
    }
    return {**_shown(portal, row, select), "action": action}


def _may_edit(portal: "SimulatedPortal", row: Row) -> bool:
    if "edit" in row["DENY"]:
        return False
    return portal.administrator or (row["CREATED_BY"] == portal.user_id and row["STATUS"] < 4)


def _may_move(portal: "SimulatedPortal", row: Row) -> bool:
    """An administrator passes; the responsible only where the task and its policy allow."""
    if "deadline" in row["DENY"]:
        return False
    if portal.administrator:
        return True
    limit = portal.deadline_changes
    within = limit is None or row["DEADLINE_CHANGES"] < limit
    responsible = row["RESPONSIBLE_ID"] == portal.user_id and row["ALLOW_CHANGE_DEADLINE"] == "Y"
    return (responsible and within) or _may_edit(portal, row)


def _task_id(params: Row) -> int:
    given = params.get("taskId")
    if given is None:
        raise missing("taskId")
    try:
        return int(given)
    except (TypeError, ValueError):
        raise controller("wrong task id") from None


def _existing(portal: "SimulatedPortal", params: Row) -> Row:
    row = portal.tasks.get(_task_id(params))
    if row is None or "read" in row["DENY"]:
        raise controller(portal.text("no task"))
    return row


def task_add(portal: "SimulatedPortal", params: Row) -> Any:
    fields = params.get("fields")
    if not fields:
        raise missing("fields")
    if not fields.get("TITLE"):
        raise Refusal(400, "ERROR_CORE", portal.text("title"))
    if not fields.get("RESPONSIBLE_ID"):
        raise Refusal(400, "ERROR_CORE", portal.text("responsible"))
    number = portal.next_id()
    now = portal.now()
    portal.tasks[number] = {
        "ID": number,
        "TITLE": str(fields["TITLE"]),
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
        "TASK_CONTROL": fields.get("TASK_CONTROL", "N"),
        "UF_CRM_TASK": [str(code) for code in php.as_list(fields.get("UF_CRM_TASK"))],
        "TAGS": [str(tag) for tag in php.as_list(fields.get("TAGS"))],
        "AUDITORS": [],
        "VIEWED": True,
        "DENY": set(),
        "DEADLINE_CHANGES": 0,
    }
    portal.emit("OnTaskAdd", **task_added(number))
    return {"task": _full(portal, portal.tasks[number], [])}


def _deadline(portal: "SimulatedPortal", given: Any) -> datetime | None:
    """What is stored: the instant, its seconds cut."""
    return portal.into(given).replace(second=0, microsecond=0) if given else None


def task_update(portal: "SimulatedPortal", params: Row) -> Any:
    fields = params.get("fields")
    if not fields:
        raise missing("fields")
    row = _existing(portal, params)
    _check_update(portal, row, set(fields))
    changed: Row = {}
    for name, value in fields.items():
        if name == "DEADLINE":
            changed[name] = _deadline(portal, value)
        elif name == "RESPONSIBLE_ID":
            if int(value) not in portal.users:
                raise Refusal(400, "ERROR_CORE", portal.text("responsible"))
            changed[name] = int(value)
        elif name in ("STATUS", "GROUP_ID", "PRIORITY"):
            changed[name] = int(value)
        elif name in ("TITLE", "DESCRIPTION", "ALLOW_CHANGE_DEADLINE", "TASK_CONTROL"):
            changed[name] = str(value)
        elif name in ("UF_CRM_TASK", "TAGS"):
            changed[name] = [str(one) for one in php.as_list(value)]
    if list(fields) == ["RESPONSIBLE_ID"]:
        _delegate(row, changed)
    _change(portal, row, changed)
    return {"task": _full(portal, row, [])}


def _check_update(portal: "SimulatedPortal", row: Row, names: set[str]) -> None:
    """Which right is asked for depends on the set of fields."""
    if names <= _DEADLINE_FIELDS:
        allowed = _may_move(portal, row)
    elif names == {"RESPONSIBLE_ID"}:
        mine = portal.user_id in (row["CREATED_BY"], row["RESPONSIBLE_ID"])
        allowed = "responsible" not in row["DENY"] and (portal.administrator or mine)
    elif names == {"STATUS"}:
        allowed = "status" not in row["DENY"]
    else:
        allowed = _may_edit(portal, row)
    if not allowed:
        raise controller(portal.text("no right"))


def _delegate(row: Row, changed: Row) -> None:
    """The responsible alone is a delegation: the status is reset, and the old one observes."""
    if row["RESPONSIBLE_ID"] not in row["AUDITORS"]:
        row["AUDITORS"].append(row["RESPONSIBLE_ID"])
    changed["STATUS"] = 2


def _change(portal: "SimulatedPortal", row: Row, changed: Row) -> None:
    for name, value in changed.items():
        if row[name] != value:
            portal.history.append(
                {
                    "ID": portal.next_id(), "task": row["ID"], "field": name,
                    "from": row[name], "to": value, "at": portal.now(),
                }
            )  # fmt: skip
            row[name] = value
            if name == "DEADLINE":
                row["DEADLINE_CHANGES"] += 1
    row["CHANGED_DATE"] = portal.now()
    portal.emit("OnTaskUpdate", **task_updated(row["ID"]))


def task_delete(portal: "SimulatedPortal", params: Row) -> Any:
    row = _existing(portal, params)
    del portal.tasks[row["ID"]]
    portal.emit("OnTaskDelete", **task_deleted(row["ID"]))
    return {"task": True}


def task_delegate(portal: "SimulatedPortal", params: Row) -> Any:
    row = _existing(portal, params)
    user = int(params.get("userId") or 0)
    if user not in portal.users:
        raise Refusal(400, "ERROR_CORE", portal.text("responsible"))
    changed: Row = {"RESPONSIBLE_ID": user}
    _delegate(row, changed)
    _change(portal, row, changed)
    return {"task": _full(portal, row, [])}


#: Method -> from which statuses, to which, and the code of a refusal.
_STEPS: dict[str, tuple[set[int], int, str]] = {
    "start": ({1, 2}, 3, "0"),
    "pause": ({3}, 2, "1048582"),
    "complete": ({1, 2, 3, 6}, 5, "0"),
    "defer": ({1, 2}, 6, "1048582"),
    "renew": ({4, 5, 6, 7}, 2, "1048582"),
    "approve": ({4}, 5, "1048582"),
    "disapprove": ({4}, 2, "1048582"),
}


def _step(name: str) -> Any:
    sources, target, code = _STEPS[name]

    def step(portal: "SimulatedPortal", params: Row) -> Any:
        row = _existing(portal, params)
        if row["STATUS"] not in sources or "status" in row["DENY"]:
            raise Refusal(400, code, portal.text("not allowed"))
        reached = target
        author = portal.administrator or row["CREATED_BY"] == portal.user_id
        if name == "complete" and row["TASK_CONTROL"] == "Y" and not author:
            reached = 4
        closed = portal.now() if reached == 5 else None
        _change(portal, row, {"STATUS": reached, "CLOSED_DATE": closed})
        return {"task": _full(portal, row, [])}

    return step


def task_history(portal: "SimulatedPortal", params: Row) -> Any:
    number = _existing(portal, params)["ID"]
    wanted = (params.get("filter") or {}).get("FIELD")
    return {
        "list": [
            {
                "id": row["ID"],
                "createdDate": portal.out(row["at"]),
                "field": row["field"],
                "value": {"from": _stored(row["from"]), "to": _stored(row["to"])},
                "user": {"id": portal.user_id, "name": "", "lastName": "", "login": "autodial"},
            }
            for row in portal.history
            if row["task"] == number and wanted in (None, row["field"])
        ]
    }


def _stored(value: Any) -> str:
    return str(int(value.timestamp())) if isinstance(value, datetime) else str(value)


def comment_add(portal: "SimulatedPortal", params: Row) -> Any:
    # task.* methods take their arguments by position, whatever the names. The portal drops texts
    # that hold the method's own name.
    values = [value for value in params.values() if not _names_itself(value)]
    task_id, fields = [*values, None, None][:2]
    row = portal.tasks.get(_number(task_id or 0))
    if row is None or "read" in row["DENY"]:
        raise Refusal(
            400, "ERROR_CORE", "TASKS_ERROR_EXCEPTION_#8; Task not found or not accessible<br>"
        )
    text = str((fields or {}).get("POST_MESSAGE", "")) if isinstance(fields, dict) else ""
    if not text or _names_itself(text):
        raise Refusal(400, "ERROR_CORE", "Message is empty<br>")
    author = int((fields or {}).get("AUTHOR_ID", portal.user_id))
    return _comment(portal, row, text, author)


def _names_itself(value: Any) -> bool:
    return isinstance(value, str) and "task.commentitem.add" in value.lower()


def _comment(portal: "SimulatedPortal", row: Row, text: str, author: int) -> int:
    number = portal.next_id()
    portal.comments.setdefault(row["ID"], []).append(
        {"ID": number, "POST_MESSAGE": text, "AUTHOR_ID": author, "POST_DATE": portal.now()}
    )
    event = comment_added(row["ID"], number, in_chat=portal.comments_in_chat)
    portal.emit("OnTaskCommentAdd", **event)
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
        for row in portal.comments.get(_number(task_id), [])
    ]


def chat_messages(portal: "SimulatedPortal", params: Row) -> Any:
    match = re.fullmatch(r"chat(\d+)", str(params.get("DIALOG_ID", "")))
    if match is None or not portal.comments_in_chat:
        raise Refusal(403, "ACCESS_ERROR", "You do not have access to the specified dialog")
    rows = portal.comments.get(int(match.group(1)) - _CHAT, [])
    newest = [
        {"id": row["ID"], "author_id": row["AUTHOR_ID"], "text": row["POST_MESSAGE"]}
        for row in reversed(rows)
    ]
    return {"messages": newest[: int(params.get("LIMIT", 20))], "users": [], "files": []}


def chat_send(portal: "SimulatedPortal", params: Row) -> Any:
    fields = params.get("fields") or {}
    row = portal.tasks.get(_number(fields.get("taskId")))
    if row is None:
        raise Refusal(400, "ENTITYNOTFOUND", "Task not found")
    _comment(portal, row, str(fields.get("text", "")), portal.user_id)
    return {"result": True}


METHODS = {
    "tasks.task.list": task_list,
    "tasks.task.get": task_get,
    "tasks.task.add": task_add,
    "tasks.task.update": task_update,
    "tasks.task.delete": task_delete,
    "tasks.task.delegate": task_delegate,
    "tasks.task.history.list": task_history,
    **{f"tasks.task.{name}": _step(name) for name in _STEPS},
    "task.commentitem.add": comment_add,
    "task.commentitem.getlist": comment_list,
    "im.dialog.messages.get": chat_messages,
}
METHODS_3 = {"tasks.task.chat.message.send": chat_send}
