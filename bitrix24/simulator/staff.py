"""Users, departments, work groups and presence."""

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from bitrix24.simulator import php
from bitrix24.simulator.errors import old
from bitrix24.simulator.php import UnconvertedDate
from bitrix24.simulator.tasks import Page

if TYPE_CHECKING:
    from bitrix24.simulator.portal import SimulatedPortal

Row = dict[str, Any]

#: IS_ONLINE follows the last activity by this much, also after a logout.
LAG = timedelta(seconds=1440)


def user_get(portal: "SimulatedPortal", params: Row) -> Page:
    upper = {str(key).upper(): value for key, value in params.items()}
    criteria = upper.get("FILTER") or {}
    rows = [row for _, row in sorted(portal.users.items()) if _matches(portal, row, criteria)]
    select = php.as_list(upper.get("SELECT"))
    start = int(upper.get("START") or 0)
    first = max(start, 0)
    said = [_shown(portal, row, select) for row in rows[first : first + 50]]
    if start < 0:
        return Page(said, total=0)
    return Page(said, len(rows), first + 50 if len(rows) > first + 50 else None)


def _matches(portal: "SimulatedPortal", row: Row, criteria: Any) -> bool:
    for prefixed, wanted in dict(criteria).items():
        match = re.fullmatch(r"(>=|<=|!|>|<|=|@)?(\w+)", str(prefixed))
        sign, name = match.groups() if match else ("", "")
        values = [str(value) for value in php.as_list(wanted)]
        if name == "ACTIVE":
            if row["ACTIVE"] != (php.truthy(wanted) and wanted != "N"):
                return False
        elif name == "ID" and sign == ">":
            if row["ID"] <= int(wanted):
                return False
        elif name == "ID":
            if str(row["ID"]) not in values:
                return False
        elif name == "UF_PHONE_INNER":
            if row["UF_PHONE_INNER"] not in values:
                return False
        elif name == "UF_DEPARTMENT":
            if not {str(d) for d in row["UF_DEPARTMENT"]} & set(values):
                return False
        elif name == "IS_ONLINE" and online(portal, row) != (wanted == "Y"):
            return False
    return True


def online(portal: "SimulatedPortal", row: Row) -> bool:
    """What the portal believes: decays after 24 minutes, does not notice a logout."""
    active = row["LAST_ACTIVITY"]
    return active is not None and portal.now() - active < LAG


def _shown(portal: "SimulatedPortal", row: Row, select: list[str]) -> Row:
    said: Row = {
        "ID": str(row["ID"]),
        "ACTIVE": row["ACTIVE"],
        "NAME": row["NAME"],
        "LAST_NAME": row["LAST_NAME"],
        "LAST_LOGIN": portal.out(row["LAST_LOGIN"]) or "",
        "LAST_ACTIVITY_DATE": UnconvertedDate(),
        "TIME_ZONE": "",
        "IS_ONLINE": "Y" if online(portal, row) else "N",
        "UF_DEPARTMENT": list(row["UF_DEPARTMENT"]),
        "UF_PHONE_INNER": row["UF_PHONE_INNER"],
    }
    return {k: v for k, v in said.items() if not select or k in select or "*" in select}


def department_get(portal: "SimulatedPortal", params: Row) -> Page:
    rows = [
        {"ID": str(row["ID"]), "NAME": row["NAME"], "SORT": 500, "PARENT": str(row["PARENT"])}
        for row in portal.departments.values()
        if ("ID" not in params or str(row["ID"]) in [str(v) for v in php.as_list(params["ID"])])
        and ("PARENT" not in params or str(row["PARENT"]) == str(params["PARENT"]))
    ]
    return Page(rows[:50], len(rows))


def group_users(portal: "SimulatedPortal", params: Row) -> Any:
    members = portal.groups.get(int(params.get("ID") or 0))
    if members is None:
        raise old("Socialnetwork group not found")
    return [
        {"USER_ID": str(number), "ROLE": "K" if position else "A"}
        for position, number in enumerate(members)
        if portal.users[number]["ACTIVE"]
    ]


def im_users(portal: "SimulatedPortal", params: Row) -> Any:
    rows = [portal.users.get(int(number)) for number in php.as_list(params.get("ID"))]
    said = [
        {
            "id": row["ID"],
            "name": f"{row['NAME']} {row['LAST_NAME']}",
            "active": row["ACTIVE"],
            "status": "online",
            "last_activity_date": portal.out(row["LAST_ACTIVITY"]) or False,
            "desktop_last_date": False,
            "absent": False,
            "departments": list(row["UF_DEPARTMENT"]),
            "phones": {"inner_phone": row["UF_PHONE_INNER"]},
        }
        for row in rows
        if row is not None
    ]
    return said if params.get("RESULT_TYPE") == "array" else {str(r["id"]): r for r in said}


METHODS = {
    "user.get": user_get,
    "department.get": department_get,
    "sonet_group.user.get": group_users,
    "im.user.list.get": im_users,
}
