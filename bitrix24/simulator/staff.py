"""Users, departments and work groups."""

import re
from typing import TYPE_CHECKING, Any

from bitrix24.simulator import php
from bitrix24.simulator.errors import old
from bitrix24.simulator.php import Page, UnconvertedDate
from bitrix24.simulator.presence import online

if TYPE_CHECKING:
    from bitrix24.simulator.portal import SimulatedPortal

Row = dict[str, Any]


def user_get(portal: "SimulatedPortal", params: Row) -> Page:
    upper = {str(key).upper(): value for key, value in params.items()}
    given = upper.get("FILTER") or {}
    # Filters may also stand beside the others, as in user.get?ID=501.
    criteria = {k: v for k, v in upper.items() if k in ("ID", "ACTIVE")} | dict(given)
    rows = [row for _, row in sorted(portal.users.items()) if _matches(portal, row, criteria)]
    # Older boxes know no select here.
    select = php.as_list(upper.get("SELECT")) if portal.user_select else []
    start = int(upper.get("START") or 0)
    first = max(start, 0)
    said = [_shown(portal, row, select) for row in rows[first : first + 50]]
    if start < 0:
        return Page(said, total=0)
    return Page(said, len(rows), first + 50 if len(rows) > first + 50 else None)


def _matches(portal: "SimulatedPortal", row: Row, criteria: Any) -> bool:
    for prefixed, wanted in dict(criteria).items():
        match = re.fullmatch(r"(>=|<=|!|>|<|=|@)?(\w+)", str(prefixed).upper())
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
        elif name == "IS_ONLINE":
            if online(portal, row) != (wanted == "Y"):
                return False
        elif name.startswith("UF_USR_") and name in row and str(row[name]) not in values:
            return False  # a field that no user has is unknown, and ignored
    return True


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
        "UF_PHONE_INNER": row["UF_PHONE_INNER"] or None,
        **{name: value for name, value in row.items() if name.startswith("UF_USR_")},
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


def group_get(portal: "SimulatedPortal", params: Row) -> Page:
    rows = [
        {"ID": str(number), "NAME": f"Группа {number}", "NUMBER_OF_MEMBERS": str(len(members))}
        for number, members in sorted(portal.groups.items())
    ]
    return Page(rows[:50], len(rows))


METHODS = {
    "user.get": user_get,
    "user.search": user_get,
    "sonet_group.get": group_get,
    "department.get": department_get,
    "sonet_group.user.get": group_users,
}
