"""Presence: activity, logins and logouts, the working day."""

from datetime import timedelta
from typing import Any

from bitrix24.simulator import php
from bitrix24.simulator.errors import Refusal, old
from bitrix24.simulator.filters import holds, ordered
from bitrix24.simulator.php import intval
from bitrix24.simulator.state import PortalState, Row

#: IS_ONLINE lasts this long after the last activity, even after a logout.
LAG = timedelta(seconds=1440)
#: How long the event log keeps entries.
KEPT = timedelta(days=7)


def online(portal: PortalState, row: Row) -> bool:
    """IS_ONLINE: until 24 minutes after the last activity, whether logged out or not."""
    active = row["LAST_ACTIVITY"]
    return active is not None and portal.now() - active < LAG


def log_in(portal: PortalState, user: int) -> None:
    """A user opens the portal."""
    with portal.lock:
        row = portal.users[user]
        row["LAST_LOGIN"] = row["LAST_ACTIVITY"] = portal.now()
        if portal.log_logins:
            _note(portal, user, "USER_AUTHORIZE")


def log_out(portal: PortalState, user: int) -> None:
    """A user logs out. (Closing the browser leaves no trace.)"""
    with portal.lock:
        if portal.log_logouts:
            _note(portal, user, "USER_LOGOUT")


def rest_authorization(portal: PortalState, user: int) -> None:
    """An application of the user logs in, once an hour, in the same log."""
    with portal.lock:
        if portal.log_logins:
            _note(portal, user, "USER_AUTHORIZE", "rest")


def _note(portal: PortalState, user: int, kind: str, module: str = "main") -> None:
    row = {"at": portal.now(), "kind": kind, "user": user, "module": module}
    portal.event_log.append({"id": portal.next_id(), **row})


def user_online(portal: PortalState, params: Row) -> Any:
    return [str(n) for n, row in sorted(portal.users.items()) if online(portal, row)]


def im_user(portal: PortalState, params: Row) -> Any:
    row = portal.users.get(intval(params.get("ID") or portal.user_id))
    if row is None:
        raise Refusal(400, "USER_NOT_EXISTS", "User not exists")
    return _im(portal, row)


def im_users(portal: PortalState, params: Row) -> Any:
    rows = [portal.users.get(intval(number)) for number in php.as_list(params.get("ID"))]
    users = [_im(portal, row) for row in rows if row is not None]
    return users if params.get("RESULT_TYPE") == "array" else {str(r["id"]): r for r in users}


def _im(portal: PortalState, row: Row) -> Row:
    return {
        "id": row["ID"],
        "name": f"{row['NAME']} {row['LAST_NAME']}",
        "active": row["ACTIVE"],
        "status": "online",  # always
        "last_activity_date": portal.out(row["LAST_ACTIVITY"]) or False,
        "desktop_last_date": False,
        "idle": False,
        "mobile_last_date": False,
        "absent": False,
        "departments": list(row["UF_DEPARTMENT"]),
        "phones": {"inner_phone": row["UF_PHONE_INNER"]},
    }


def timeman_status(portal: PortalState, params: Row) -> Any:
    if not portal.timeman:
        raise Refusal(404, "ERROR_METHOD_NOT_FOUND", "Method not found!")
    user = intval(params.get("USER_ID") or portal.user_id)
    if user != portal.user_id and not portal.administrator:
        raise old("Access denied")
    row = portal.users.get(user)
    if row is None:
        raise old("User not found")
    day = row.get("DAY")
    if day is None:
        return {"STATUS": "CLOSED"}  # never opened
    return {"STATUS": day, "TIME_START": portal.out(row["LAST_LOGIN"]), "TIME_FINISH": None}


def event_log(portal: PortalState, params: Row) -> Any:
    """main.eventlog.tail and .list, REST 3.0."""
    if not portal.administrator:
        raise Refusal(403, "ACCESSDENIED", "Access denied")
    oldest = portal.now() - KEPT
    rows = [
        {
            "id": row["id"], "timestampX": row["at"], "auditTypeId": row["kind"],
            "itemId": str(row["user"]), "userId": row["user"], "guestId": 0,
            "moduleId": row["module"], "severity": "SECURITY", "description": "",
        }
        for row in portal.event_log
        if row["at"] > oldest
    ]  # fmt: skip
    for rule in params.get("filter") or ():
        name, sign, wanted = rule if len(rule) == 3 else (rule[0], "=", rule[1])
        if name not in ("id", "timestampX", "auditTypeId", "userId", "guestId"):
            raise Refusal(400, "UNKNOWNFILTERPROPERTY", f"Cannot filter by {name}")
        sign = {"in": "@"}.get(sign, sign)
        rows = [row for row in rows if holds(sign, row[name], wanted, portal.into)]
    cursor = params.get("cursor") or {}
    back = str(cursor.get("order", "ASC")).upper() == "DESC"
    if cursor.get("value") is not None:
        value = intval(cursor["value"])
        rows = [row for row in rows if (row["id"] < value if back else row["id"] > value)]
    rows = ordered(rows, {"id": "desc" if back else "asc"})
    select = [str(name) for name in php.as_list(params.get("select"))]
    return {
        "items": [
            {
                name: portal.out(value) if name == "timestampX" else value
                for name, value in row.items()
                if not select or name in select
            }
            for row in rows[: intval(cursor.get("limit") or 50)]
        ]
    }


METHODS = {
    "user.online": user_online,
    "im.user.get": im_user,
    "im.user.list.get": im_users,
    "timeman.status": timeman_status,
}
METHODS_3 = {"main.eventlog.tail": event_log, "main.eventlog.list": event_log}
