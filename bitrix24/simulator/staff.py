"""Users, departments and work groups."""

from typing import Any

from bitrix24.simulator import php
from bitrix24.simulator.errors import old
from bitrix24.simulator.filters import criterion, holds, ordered
from bitrix24.simulator.php import Page, UnconvertedDate, intval, page
from bitrix24.simulator.presence import online
from bitrix24.simulator.state import PortalState, Row

#: Names a filter supports; custom fields (UF_USR_…) are supported if any user has them.
_FILTER = {
    "ID", "ACTIVE", "NAME", "LAST_NAME", "SECOND_NAME", "EMAIL", "LAST_LOGIN", "DATE_REGISTER",
    "LAST_ACTIVITY_DATE", "IS_ONLINE", "WORK_POSITION", "WORK_PHONE", "PERSONAL_MOBILE",
    "UF_DEPARTMENT", "UF_PHONE_INNER", "XML_ID",
}  # fmt: skip


def user_get(portal: PortalState, params: Row) -> Page:
    upper = {str(key).upper(): value for key, value in params.items()}
    # Filters may also be given as parameters, as in user.get?ID=501.
    steering = ("FILTER", "SORT", "ORDER", "SELECT", "START", "ADMIN_MODE")
    criteria = {key: value for key, value in upper.items() if key not in steering}
    criteria |= {key.upper(): value for key, value in php.as_map(upper.get("FILTER")).items()}
    rows = [row for row in portal.users.values() if _matches(portal, row, criteria)]
    return _people(portal, rows, upper)


def user_search(portal: PortalState, params: Row) -> Page:
    """As user.get; ``FIND`` and the names match prefixes."""
    upper = {str(key).upper(): value for key, value in params.items()}
    criteria = upper | {k.upper(): v for k, v in php.as_map(upper.get("FILTER")).items()}
    names = {key: php.strval(criteria.pop(key, "")) for key in ("NAME", "LAST_NAME")}
    words = php.strval(criteria.pop("FIND", "")).lower().split()
    rows = [
        row
        for row in portal.users.values()
        if _matches(portal, row, criteria)
        and all(row[key].lower().startswith(part.lower()) for key, part in names.items())
        and all(
            any(row[key].lower().startswith(word) for key in ("NAME", "LAST_NAME"))
            for word in words
        )
    ]
    return _people(portal, rows, upper)


def _people(portal: PortalState, rows: list[Row], upper: Row) -> Page:
    # Older boxes do not support select here.
    select = php.as_list(upper.get("SELECT")) if portal.user_select else []
    by = php.strval(upper.get("SORT") or "ID").upper()
    rows = ordered(
        rows, {by if by != "LAST_ACTIVITY_DATE" else "LAST_ACTIVITY": upper.get("ORDER")}
    )
    start = intval(upper.get("START"))
    if portal.php_warnings and select and "PERSONAL_PHOTO" not in select:
        portal.warned = True
    shown = lambda some: [_shown(portal, row, select) for row in some]  # noqa: E731
    people = page(rows, start, shown, exact=True)
    return Page(people.rows, total=0) if start < 0 else people


def user_current(portal: PortalState, params: Row) -> Any:
    """The requesting user's row; here the last activity is a text too."""
    row = portal.users[portal.acting]
    active = portal.out(row["LAST_ACTIVITY"]) or ""
    return {**_shown(portal, row, []), "LAST_ACTIVITY_DATE": active}


def _matches(portal: PortalState, row: Row, criteria: Row) -> bool:
    """Unknown names are ignored."""
    for prefixed, wanted in criteria.items():
        sign, name = criterion(prefixed)
        if sign != "=" and not portal.user_prefixes:
            continue  # boxes of 2019 ignore filters with prefixes here
        if name == "ACTIVE":
            if row["ACTIVE"] != (php.truthy(wanted) and wanted != "N"):
                return False
        elif name in _FILTER or (name.startswith("UF_USR_") and name in row):
            have = {
                "IS_ONLINE": "Y" if online(portal, row) else "N",
                "LAST_ACTIVITY_DATE": row["LAST_ACTIVITY"],
            }.get(name, row.get(name))
            if not holds(sign, have, wanted, portal.into):
                return False
    return True


def _shown(portal: PortalState, row: Row, select: list[str]) -> Row:
    fields: Row = {
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
    if not portal.user_presence:
        del fields["LAST_LOGIN"], fields["IS_ONLINE"]
    return {k: v for k, v in fields.items() if not select or k in select or "*" in select}


def department_get(portal: PortalState, params: Row) -> Page:
    upper = {str(key).upper(): value for key, value in params.items()}
    rows = [
        {
            "ID": str(row["ID"]), "NAME": row["NAME"], "SORT": row.get("SORT", 500),
            **({"PARENT": str(row["PARENT"])} if row["PARENT"] else {}),
            **({"UF_HEAD": php.strval(row["UF_HEAD"])} if row.get("UF_HEAD") else {}),
        }
        for row in portal.departments.values()
        if all(
            holds("=", row.get(name), upper[name], portal.into)
            for name in ("ID", "NAME", "SORT", "PARENT", "UF_HEAD")
            if name in upper and name in row
        )
    ]  # fmt: skip
    return page(rows, upper.get("START"))


def group_users(portal: PortalState, params: Row) -> Any:
    members = portal.groups.get(intval(params.get("ID")))
    if members is None:
        raise old("Socialnetwork group not found")
    return [
        {"USER_ID": str(number), "ROLE": "K" if position else "A"}
        for position, number in enumerate(members)
        if portal.users.get(number, {}).get("ACTIVE")
    ]


def own_groups(portal: PortalState, params: Row) -> Any:
    return [
        {"GROUP_ID": str(number), "GROUP_NAME": f"Группа {number}", "ROLE": "K",
         "GROUP_IMAGE_ID": None, "GROUP_IMAGE": ""}
        for number, members in sorted(portal.groups.items())
        if portal.acting in members
    ]  # fmt: skip


def group_get(portal: PortalState, params: Row) -> Page:
    rows = [
        {"ID": str(number), "NAME": f"Группа {number}", "NUMBER_OF_MEMBERS": str(len(members))}
        for number, members in sorted(portal.groups.items())
    ]
    for prefixed, wanted in php.as_map(params.get("FILTER")).items():
        sign, name = criterion(prefixed)
        if name in ("ID", "NAME"):
            rows = [row for row in rows if holds(sign, row[name], wanted, portal.into)]
    return page(rows, params.get("start"))


METHODS = {
    "user.get": user_get,
    "user.search": user_search,
    "user.current": user_current,
    "sonet_group.get": group_get,
    "department.get": department_get,
    "sonet_group.user.get": group_users,
    "sonet_group.user.groups": own_groups,
}
