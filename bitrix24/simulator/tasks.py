"""Tasks, with the answers of the portal's controllers."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from bitrix24.simulator import php
from bitrix24.simulator.errors import Refusal, controller, ill_typed, missing
from bitrix24.simulator.event_bodies import task_added, task_deleted, task_updated
from bitrix24.simulator.filters import criterion, ordered, rule
from bitrix24.simulator.php import Page, intval, page
from bitrix24.simulator.state import PortalState, Row

_PLAIN = [
    "ID", "PARENT_ID", "TITLE", "DESCRIPTION", "MARK", "PRIORITY", "STATUS", "TASK_CONTROL",
    "RESPONSIBLE_ID", "CREATED_BY", "CREATED_DATE", "CHANGED_BY", "CHANGED_DATE",
    "STATUS_CHANGED_BY", "CLOSED_DATE", "ACTIVITY_DATE", "DATE_START", "DEADLINE", "GUID",
    "XML_ID", "GROUP_ID", "ALLOW_CHANGE_DEADLINE", "ALLOW_TIME_TRACKING", "TIME_ESTIMATE",
    "START_DATE_PLAN", "END_DATE_PLAN", "STAGE_ID", "SITE_ID", "ADD_IN_REPORT",
]  # fmt: skip
#: Names a filter supports besides those read directly from the row.
_COMPUTED = {
    "STATUS", "TAG", "MEMBER", "DOER", "AUDITOR", "ACCOMPLICE", "ROLE", "OVERDUED", "WO_DEADLINE",
    "NOT_VIEWED", "DEPARTMENT_ID", "ONLY_ROOT_TASKS",
}  # fmt: skip
_STORED = {*_PLAIN, "REAL_STATUS", "UF_CRM_TASK"} - _COMPUTED
_ORDER = {
    "ID", "TITLE", "TIME_SPENT_IN_LOGS", "DATE_START", "CREATED_DATE", "CHANGED_DATE",
    "CLOSED_DATE", "ACTIVITY_DATE", "START_DATE_PLAN", "END_DATE_PLAN", "DEADLINE", "REAL_STATUS",
    "STATUS_COMPLETE", "PRIORITY", "MARK", "CREATED_BY_LAST_NAME", "RESPONSIBLE_LAST_NAME",
    "GROUP_ID", "TIME_ESTIMATE", "ALLOW_CHANGE_DEADLINE", "ALLOW_TIME_TRACKING", "MATCH_WORK_TIME",
    "FAVORITE", "SORTING", "IS_PINNED", "IS_PINNED_IN_GROUP",
}  # fmt: skip
_DATES = {
    "DEADLINE", "CHANGED_DATE", "CREATED_DATE", "CLOSED_DATE", "ACTIVITY_DATE", "DATE_START",
    "START_DATE_PLAN", "END_DATE_PLAN",
}  # fmt: skip
#: Fields that need only the right to change the deadline.
_DEADLINE_FIELDS = {"DEADLINE", "START_DATE_PLAN", "END_DATE_PLAN", "DURATION"}
CHAT = 100_000  #: a task's chat has its number plus this


def task_list(portal: PortalState, params: Row) -> Page:
    order = php.as_map(typed(params, "order")) or {"ID": "asc"}
    for name in order:
        if name not in _ORDER:
            raise controller(f"{portal.text('order')} {name}")
    criteria = php.as_map(typed(params, "filter"))
    select = [str(name) for name in php.as_list(params.get("select"))]
    start = intval(params.get("start"))
    ways = [(name, php.strval(way).lower()) for name, way in order.items()]
    by_id = ways in ([("ID", "asc")], [("ID", "desc")])
    fits = _test(portal, criteria)
    rows = []
    for row in _between(portal, criteria, newest_first=ways == [("ID", "desc")]):
        if may_read(portal, row) and fits(row):
            rows.append(row)
            if by_id and start < 0 and len(rows) == 50:
                break
    if not by_id:
        stored = {"REAL_STATUS": "STATUS"}
        rows = ordered(rows, {stored.get(name, name): way for name, way in order.items()})
    return page(
        rows,
        start,
        lambda selected: {"tasks": [_shown(portal, row, select) for row in selected]},
    )


def typed(params: Row, name: str) -> Any:
    """A controller's parameter that must be an array."""
    value = params.get(name)
    if value is not None and value != "" and not isinstance(value, dict | list):
        raise ill_typed(name, value, "array")
    return value


def _between(portal: PortalState, criteria: Row, *, newest_first: bool = False) -> Iterator[Row]:
    """Tasks by id, only those between ``>ID`` and ``<ID``: a portal has an index for that."""
    ids = sorted(portal.tasks)
    first = bisect_right(ids, intval(criteria[">ID"])) if ">ID" in criteria else 0
    end = bisect_left(ids, intval(criteria["<ID"])) if "<ID" in criteria else len(ids)
    some = ids[first:end]
    return (portal.tasks[number] for number in (reversed(some) if newest_first else some))


def _test(portal: PortalState, criteria: Row) -> Callable[[Row], bool]:
    """All criteria, or any of them where ``::LOGIC`` says OR. Unknown names are ignored."""
    tests: list[Callable[[Row], bool]] = []
    for prefixed, wanted in criteria.items():
        sign, name = criterion(prefixed)
        if prefixed.startswith("::SUBFILTER"):
            tests.append(_test(portal, php.as_map(wanted)))
        elif name in _STORED or name in _COMPUTED:  # unknown names are ignored
            tests.append(_compares(portal, name, sign, wanted))
    either = php.strval(criteria.get("::LOGIC")).upper() == "OR" and tests
    return lambda row: (any if either else all)(test(row) for test in tests)


def _compares(portal: PortalState, name: str, sign: str, wanted: Any) -> Callable[[Row], bool]:
    if name in ("OVERDUED", "WO_DEADLINE", "NOT_VIEWED", "ONLY_ROOT_TASKS"):
        wished = php.truthy(wanted) and wanted != "N"
        return lambda row: not wished or _is(portal, row, name)
    if name == "TAG":
        tags = php.as_list(wanted)
        return lambda row: all(tag in row["TAGS"] for tag in tags) != sign.startswith("!")
    fulfils = rule(sign, wanted, portal.into)
    if name in _STORED and name not in ("REAL_STATUS", "CHANGED_DATE"):
        return lambda row: fulfils(row[name])
    return lambda row: fulfils(_value(portal, row, name))


def _is(portal: PortalState, row: Row, name: str) -> bool:
    if name == "OVERDUED":
        return _sub_status(portal, row) == -1
    if name == "WO_DEADLINE":
        return row["DEADLINE"] is None
    return not row["VIEWED"] if name == "NOT_VIEWED" else not row["PARENT_ID"]


def _value(portal: PortalState, row: Row, name: str) -> Any:
    """The value that a filter's name refers to."""
    match name:
        case "REAL_STATUS":
            return row["STATUS"]
        case "STATUS":
            return _sub_status(portal, row)
        case "CHANGED_DATE":
            return row["CHANGED_DATE"] or row["CREATED_DATE"]
        case "AUDITOR":
            return row["AUDITORS"]
        case "ACCOMPLICE":
            return row["ACCOMPLICES"]
        case "DOER":
            return [row["RESPONSIBLE_ID"], *row["ACCOMPLICES"]]
        case "MEMBER":
            return _members(row)
        case "ROLE":
            roles = (
                ("R", [row["RESPONSIBLE_ID"]]), ("A", row["ACCOMPLICES"]), ("U", row["AUDITORS"]),
                ("O", [row["CREATED_BY"]]),
            )  # fmt: skip
            return [role for role, users in roles if portal.user_id in users]
        case _:  # DEPARTMENT_ID
            return portal.users.get(row["RESPONSIBLE_ID"], {}).get("UF_DEPARTMENT", [])


def _members(row: Row) -> list[int]:
    return [row["RESPONSIBLE_ID"], row["CREATED_BY"], *row["ACCOMPLICES"], *row["AUDITORS"]]


def may_read(portal: PortalState, row: Row) -> bool:
    """An administrator reads all tasks; others those of themselves and of their groups."""
    if "read" in row["DENY"]:
        return False
    if portal.administrator or portal.user_id in _members(row):
        return True
    return portal.user_id in portal.groups.get(row["GROUP_ID"], ())


def _sub_status(portal: PortalState, row: Row) -> int:
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


def _shown(portal: PortalState, row: Row, select: list[str]) -> Row:  # noqa: C901  # one line for each habit of a portal
    """Unknown names are ignored; without a known name, or with ``*``, all but custom fields."""
    names = [name for name in _PLAIN if name in select]
    special = {"TAGS", "CHAT_ID", "AUDITORS", "ACCOMPLICES"}.intersection(select)
    own = [name for name in select if name.startswith("UF_")]
    if "*" in select or not (names or special or own):
        names = _PLAIN
    fields: Row = {}
    for name in names:
        value = portal.out_wall(row[name]) if name in _DATES else row[name]
        fields[_camel(name)] = None if value is None else str(value)
    if "STATUS" in names:
        fields["subStatus"] = str(_sub_status(portal, row))
    if "UF_CRM_TASK" in own or "UF_*" in own:
        fields["ufCrmTask"] = _links(portal, row)
    for name in own:
        if any(name in task for task in portal.tasks.values()) and name != "UF_CRM_TASK":
            fields[_camel(name)] = row.get(name, False)
    if "TAGS" in special and row["TAGS"] and portal.tags_told != "no":
        numbers = {tag: portal.tag_number(tag) for tag in row["TAGS"]}
        fields["tags"] = {str(n): {"id": n, "title": tag} for tag, n in numbers.items()}
        if portal.tags_told == "texts":
            fields["tags"] = list(row["TAGS"])
    if "CHAT_ID" in special and portal.comments_in_chat:
        portal.chats.add(row["ID"])  # requesting it creates it
        fields["chatId"] = row["ID"] + CHAT
    for name in ("AUDITORS", "ACCOMPLICES"):
        if name in special:
            fields[name.lower()] = [str(number) for number in row[name]]
            fields[f"{name.lower()}Data"] = {str(n): _person(portal, n) for n in row[name]}
    fields["group"] = _group(portal, row["GROUP_ID"])
    for name, key in (("CREATED_BY", "creator"), ("RESPONSIBLE_ID", "responsible")):
        if name in names:
            fields[key] = _person(portal, row[name])
    return fields


def _links(portal: PortalState, row: Row) -> Any:
    links = list(row["UF_CRM_TASK"])
    if not links:
        return portal.no_links
    if portal.links_as == "map":
        return {str(n + 1): code for n, code in enumerate(links)}
    return ", ".join(links) if portal.links_as == "text" else links


def _group(portal: PortalState, number: int) -> Any:
    if not number:
        return []
    return {
        "id": str(number), "name": f"Группа {number}", "opened": False,
        "membersCount": len(portal.groups.get(number, ())), "image": "", "additionalData": [],
    }  # fmt: skip


def _person(portal: PortalState, number: int) -> Row:
    user = portal.users.get(number, {"NAME": "", "LAST_NAME": ""})
    return {
        "id": str(number),
        "name": f"{user['NAME']} {user['LAST_NAME']}".strip(),
        "link": f"/company/personal/user/{number}/",
        "icon": "/bitrix/images/tasks/default_avatar.png",
        "workPosition": user.get("WORK_POSITION", ""),
    }


@lru_cache
def _camel(name: str) -> str:
    head, *tail = name.lower().split("_")
    return head + "".join(part.capitalize() for part in tail)


def task_get(portal: PortalState, params: Row) -> Any:
    row = portal.tasks.get(_task_id(params))
    if row is None or not may_read(portal, row):
        return []  # missing and forbidden give the same answer
    select = [str(name) for name in php.as_list(params.get("select"))]
    return {"task": _full(portal, row, select) if select else _whole(portal, row)}


def _whole(portal: PortalState, row: Row) -> Row:
    """A task as methods without ``select`` return it: its tags are texts."""
    tags = {"tags": list(row["TAGS"])} if row["TAGS"] and portal.tags_told != "no" else {}
    return {**_full(portal, row, []), **tags}


def _full(portal: PortalState, row: Row, select: list[str]) -> Row:
    open_ = row["STATUS"] in (1, 2, 3)
    action = {
        "changeDeadline": _may_move(portal, row),
        "delegate": open_ and _may_delegate(portal, row),
        "edit": _may_edit(portal, row),
        **{
            name: row["STATUS"] in _STEPS[name][0] and _may_step(portal, row)
            for name in ("complete", "start", "defer")
        },
    }
    return {**_shown(portal, row, select), "action": action}


def _may_edit(portal: PortalState, row: Row) -> bool:
    if "edit" in row["DENY"]:
        return False
    return portal.administrator or (row["CREATED_BY"] == portal.user_id and row["STATUS"] < 4)


def _may_move(portal: PortalState, row: Row) -> bool:
    """An administrator may; the responsible only if the task and its policy allow."""
    if "deadline" in row["DENY"]:
        return False
    if portal.administrator:
        return True
    limit = portal.deadline_changes
    within = limit is None or row["DEADLINE_CHANGES"] < limit
    responsible = row["RESPONSIBLE_ID"] == portal.user_id and row["ALLOW_CHANGE_DEADLINE"] == "Y"
    return (responsible and within) or _may_edit(portal, row)


def _may_delegate(portal: PortalState, row: Row) -> bool:
    if "responsible" in row["DENY"]:
        return False
    return portal.administrator or portal.user_id in (row["CREATED_BY"], row["RESPONSIBLE_ID"])


def _may_step(portal: PortalState, row: Row) -> bool:
    """The author and those who work on the task may change its status."""
    if "status" in row["DENY"]:
        return False
    users = (row["CREATED_BY"], row["RESPONSIBLE_ID"], *row["ACCOMPLICES"])
    return portal.administrator or portal.user_id in users


def _task_id(params: Row) -> int:
    given = params.get("taskId")
    if given is None:
        raise missing("taskId")
    try:
        return int(given)
    except (TypeError, ValueError):
        raise controller("wrong task id") from None


def existing(portal: PortalState, params: Row) -> Row:
    row = portal.tasks.get(_task_id(params))
    if row is None or not may_read(portal, row):
        raise controller(portal.text("no task"))
    return row


def _fields(params: Row) -> Row:
    fields = typed(params, "fields")
    if not fields:
        raise missing("fields")
    return php.as_map(fields)


def add_by_rest(portal: PortalState, params: Row) -> Any:
    fields = _fields(params)
    if fields.get("RESPONSIBLE_ID"):
        _user(portal, fields["RESPONSIBLE_ID"])
    return task_add(portal, params)


def task_add(portal: PortalState, params: Row) -> Any:
    """Does not check that the responsible exists."""
    fields = _fields(params)
    if not fields.get("TITLE"):
        raise Refusal(400, "ERROR_CORE", portal.text("title"))
    if not fields.get("RESPONSIBLE_ID"):
        raise Refusal(400, "ERROR_CORE", portal.text("responsible"))
    number = portal.next_id()
    now = portal.now()
    row: Row = {
        **dict.fromkeys(_PLAIN),
        **_read(portal, {"STATUS": 2, "PRIORITY": 1, **fields}),
        "ID": number,
        "CREATED_DATE": now,
        "CHANGED_DATE": now,
        "ACTIVITY_DATE": now,
        "VIEWED": True,
        "DENY": set(),
        "DEADLINE_CHANGES": 0,
    }
    for name, value in _DEFAULTS.items():
        if row.get(name) is None:
            row[name] = list(value) if isinstance(value, list) else value
    row["CREATED_BY"] = row["CREATED_BY"] or portal.user_id
    row["CHANGED_BY"] = row["STATUS_CHANGED_BY"] = portal.user_id
    portal.tasks[number] = row
    remember(portal, row, "NEW", None, None)
    portal.emit("OnTaskAdd", **task_added(number))
    return {"task": _whole(portal, row)}


_DEFAULTS: Row = {
    "PARENT_ID": 0, "DESCRIPTION": "", "GROUP_ID": 0, "ALLOW_CHANGE_DEADLINE": "N",
    "TASK_CONTROL": "N", "ALLOW_TIME_TRACKING": "N", "TIME_ESTIMATE": 0, "GUID": "", "XML_ID": "",
    "STAGE_ID": 0, "SITE_ID": "s1", "ADD_IN_REPORT": "N", "UF_CRM_TASK": [], "TAGS": [],
    "AUDITORS": [], "ACCOMPLICES": [],
}  # fmt: skip
_NUMBERS = {"STATUS", "GROUP_ID", "PRIORITY", "PARENT_ID", "CREATED_BY", "RESPONSIBLE_ID",
            "TIME_ESTIMATE", "STAGE_ID"}  # fmt: skip
_TEXTS = {"TITLE", "DESCRIPTION", "ALLOW_CHANGE_DEADLINE", "TASK_CONTROL", "MARK", "XML_ID",
          "ALLOW_TIME_TRACKING"}  # fmt: skip


def _read(portal: PortalState, fields: Row) -> Row:
    """Fields in their stored form; unknown ones are dropped."""
    stored: Row = {}
    for name, value in fields.items():
        if name in ("DEADLINE", "START_DATE_PLAN", "END_DATE_PLAN"):
            stored[name] = _deadline(portal, value)
        elif name in _NUMBERS:
            stored[name] = intval(value)
        elif name in _TEXTS:
            stored[name] = php.strval(value)
        elif name in ("UF_CRM_TASK", "TAGS"):
            stored[name] = [str(item) for item in php.as_list(value) if item not in ("", None)]
        elif name in ("AUDITORS", "ACCOMPLICES"):
            stored[name] = [intval(item) for item in php.as_list(value) if intval(item)]
        elif name.startswith("UF_"):
            several = isinstance(value, list)
            stored[name] = [php.strval(item) for item in value] if several else php.strval(value)
    if not 1 <= stored.get("STATUS", 2) <= 7:
        raise Refusal(400, "ERROR_CORE", portal.text("status"))
    if stored.get("PARENT_ID") and stored["PARENT_ID"] not in portal.tasks:
        raise Refusal(400, "ERROR_CORE", portal.text("parent"))
    return stored


def _user(portal: PortalState, given: Any) -> int:
    if intval(given) not in portal.users:
        raise Refusal(400, "ERROR_CORE", portal.text("responsible"))
    return intval(given)


def _deadline(portal: PortalState, given: Any) -> datetime | None:
    """The stored deadline: the moment without seconds."""
    if not given:
        return None
    moment = portal.typed(php.strval(given))
    if moment is not None and portal.deadline_by_day:
        there = moment.astimezone(portal.server_zone or portal.zone)
        moment = there.replace(hour=0, minute=0).astimezone(UTC)
    return moment.replace(second=0, microsecond=0) if moment else None


def task_update(portal: PortalState, params: Row) -> Any:
    fields = _fields(params)
    row = existing(portal, params)
    if "RESPONSIBLE_ID" in fields:
        _user(portal, fields["RESPONSIBLE_ID"])
    changed = _read(portal, fields)
    if "TITLE" in changed and not changed["TITLE"]:
        raise Refusal(400, "ERROR_CORE", portal.text("title"))
    delegates = list(fields) == ["RESPONSIBLE_ID"]
    if delegates and changed["RESPONSIBLE_ID"] not in row["AUDITORS"]:
        unchanged = False  # the same user is a change, unless already an observer
    else:
        unchanged = all(row.get(name) == value for name, value in changed.items())
    alone = set(fields) <= _DEADLINE_FIELDS or len(fields) == 1
    if not (alone and unchanged):  # no right is needed if nothing changes
        _check_update(portal, row, set(fields))
        if delegates:
            _delegate(row, changed)
        if changed.get("STATUS") in (4, 5) and row["STATUS"] < 4:
            changed["CLOSED_DATE"] = portal.now()
        _change(portal, row, changed)
    return {"task": _whole(portal, row)}


def _check_update(portal: PortalState, row: Row, names: set[str]) -> None:
    """The right needed depends on the set of fields."""
    if names <= _DEADLINE_FIELDS:
        allowed = _may_move(portal, row)
    elif names == {"RESPONSIBLE_ID"}:
        allowed = _may_delegate(portal, row)
    elif names == {"STATUS"}:
        allowed = _may_step(portal, row)
    else:
        allowed = _may_edit(portal, row)
    if not allowed:
        raise controller(portal.text("no right"))


def _delegate(row: Row, changed: Row) -> None:
    """RESPONSIBLE_ID alone delegates: the status is reset, the old responsible observes."""
    if row["RESPONSIBLE_ID"] not in row["AUDITORS"]:
        changed["AUDITORS"] = [*row["AUDITORS"], row["RESPONSIBLE_ID"]]
    changed["STATUS"] = 2


def _change(portal: PortalState, row: Row, changed: Row) -> None:
    for name, value in changed.items():
        if row.get(name) != value:
            remember(portal, row, name, row.get(name), value)
            row[name] = value
            if name == "DEADLINE":
                row["DEADLINE_CHANGES"] += 1
            if name == "STATUS":
                row["STATUS_CHANGED_BY"] = portal.user_id
                row["DATE_START"] = portal.now() if value == 3 else row["DATE_START"]
    row["CHANGED_DATE"] = row["ACTIVITY_DATE"] = portal.now()
    row["CHANGED_BY"] = portal.user_id
    portal.emit("OnTaskUpdate", **task_updated(row["ID"]))


def remember(portal: PortalState, row: Row, name: str, old: Any, new: Any) -> None:
    portal.history.append(
        {
            "ID": len(portal.history) + 1, "task": row["ID"], "field": name, "from": old, "to": new,
            "at": portal.now(), "user": portal.user_id,
        }
    )  # fmt: skip


def task_delete(portal: PortalState, params: Row) -> Any:
    row = existing(portal, params)
    if not (portal.administrator or row["CREATED_BY"] == portal.user_id):
        raise controller(portal.text("no right"))
    del portal.tasks[row["ID"]]
    portal.emit("OnTaskDelete", **task_deleted(row["ID"]))
    return {"task": True}


def task_delegate(portal: PortalState, params: Row) -> Any:
    row = existing(portal, params)
    user = _user(portal, params.get("userId"))
    if not _may_delegate(portal, row):
        raise controller(portal.text("no right"))
    changed: Row = {"RESPONSIBLE_ID": user}
    _delegate(row, changed)
    _change(portal, row, changed)
    return {"task": _whole(portal, row)}


#: Method -> allowed statuses, new status, and the code of a refusal.
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

    def step(portal: PortalState, params: Row) -> Any:
        row = existing(portal, params)
        if row["STATUS"] not in sources or not _may_step(portal, row):
            raise Refusal(400, code, portal.text("not allowed"))
        reached = target
        author = portal.administrator or row["CREATED_BY"] == portal.user_id
        if name == "complete" and row["TASK_CONTROL"] == "Y" and not author:
            reached = 4
        closed = portal.now() if reached == 5 else None
        _change(portal, row, {"STATUS": reached, "CLOSED_DATE": closed})
        return {"task": _whole(portal, row)}

    return step


METHODS = {
    "tasks.task.list": task_list,
    "tasks.task.get": task_get,
    "tasks.task.add": add_by_rest,
    "tasks.task.update": task_update,
    "tasks.task.delete": task_delete,
    "tasks.task.delegate": task_delegate,
    **{f"tasks.task.{name}": _step(name) for name in _STEPS},
}
