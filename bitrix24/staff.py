"""The call centre's staff and their presence, as the portal reports them."""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from attrs import evolve
from twisted.logger import Logger

from bitrix24.asking import Asking, Command
from bitrix24.errors import AnswerStrange, PortalDenied, PortalRefused
from bitrix24.values import Employee, LoginEvent, Named, Presence, StaffQuery
from bitrix24.wire import PAGE, Params, Row, each, items_of, plain, readable_rows

_log = Logger()

#: PERSONAL_PHOTO is unused: without it PHP 8 prints a warning into the answer where the portal has
#: display_errors on.
_USER = [
    "ID", "NAME", "LAST_NAME", "ACTIVE", "UF_PHONE_INNER", "LAST_LOGIN", "IS_ONLINE",
    "PERSONAL_PHOTO",
]  # fmt: skip
#: Stands for an answer that was not requested.
_NONE = KeyError()
#: Most users read; no call centre has more.
MOST_PEOPLE = 20_000
#: Most departments read; no company has more.
MOST_DEPARTMENTS = 10_000
#: Names listed in an error for an unknown name.
MOST_LISTED = 20
#: Audit types of the portal's event log.
_LOGIN, _LOGOUT = "USER_AUTHORIZE", "USER_LOGOUT"
#: The module that logs a user's own logins and logouts. (Module ``rest`` writes a USER_AUTHORIZE
#: every hour for each application of a user, at night too.)
_PERSONS = "main"


class StaffMethods(Asking):
    """Staff of the portal, as the dialler needs it."""

    _prefixes = True  #: does user.get support ``>ID``? Boxes of 2019 ignore it, restarting

    async def staff(self, which: StaffQuery) -> list[Employee]:
        """The active users of departments (not of sub-departments), of a group, or with a field."""
        criteria: dict[str, Any] = {"ACTIVE": True}
        if which.group is not None:
            method = "sonet_group.user.get"
            members = readable_rows(method, await self.call(method, {"ID": which.group}))
            criteria["ID"] = each(members, lambda member: member.number("USER_ID"))
            if not criteria["ID"]:
                return []
        elif which.departments:
            criteria["UF_DEPARTMENT"] = list(which.departments)
        else:
            criteria[which.field] = which.value
        select = [*_USER, *([which.field] if which.field else [])]
        rows = await self._people(criteria, select)
        for row in rows:
            # The portal ignores unknown filters and would return the whole company.
            if which.field and which.field in row and plain(row.get(which.field)) != which.value:
                raise AnswerStrange(
                    "user.get", which.field, f"a user does not have {which.value!r}"
                )
        return each(
            rows,
            _employee,
            lambda error: _log.error("somebody of the staff is left out: {error}", error=error),
        )

    async def _people(self, criteria: Params, select: Sequence[str]) -> list[Row]:
        """All users who match the criteria: page by page, by id or by offset."""
        rows: list[Row] = []
        last = 0
        while True:
            here: Params = (
                {"FILTER": {**criteria, ">ID": last}, "start": -1}
                if self._prefixes
                else {"FILTER": criteria, "start": len(rows)}
            )
            by = {"sort": "ID", "order": "ASC", "select": select}
            result = await self.call("user.get", {**here, **by})
            page = readable_rows("user.get", result)
            if last and page and min(each(page, _id)) <= last:
                if not self._prefixes:
                    raise AnswerStrange("user.get", "ID", "the same page again")
                self._prefixes = False  # the first page is valid: continue after it
                continue
            rows += page
            if len(items_of("user.get", result)) < PAGE:
                return rows
            last = max(each(page, _id))
            if len(rows) > MOST_PEOPLE:
                raise AnswerStrange("user.get", "ID", "pages without end")

    async def user_by_extension(self, extension: str) -> int | None:
        """The user with this internal number; None: there is none."""
        criteria = {"ACTIVE": True, "UF_PHONE_INNER": extension}
        for row in await self._people(criteria, _USER):
            if row.words("UF_PHONE_INNER") == extension:  # unknown filters are ignored
                return row.number("ID")
        return None

    async def departments(self) -> list[Named]:
        """All departments of the company, by their numbers."""
        return await self._named("department.get", {})

    async def groups(self) -> list[Named]:
        """The work groups that we may read."""
        return await self._named("sonet_group.get", {"ORDER": {"ID": "ASC"}})

    async def named(self, query: StaffQuery) -> StaffQuery:
        """
        The same query with numbers in place of names.

        Raises:
            PortalRefused: no such department or group, or several; the text lists the known ones.
        """
        if any(isinstance(department, str) for department in query.departments):
            known = await self.departments()
            numbers = tuple(
                number_of("department", department, known) for department in query.departments
            )
            query = evolve(query, departments=numbers)
        return evolve(query, group=await self.group_number(query.group))

    async def group_number(self, group: int | str | None) -> int | None:
        """A work group's number; PortalRefused as ``named``."""
        return number_of("group", group, await self.groups()) if isinstance(group, str) else group

    async def _named(self, method: str, criteria: Params) -> list[Named]:
        by_id: dict[int, Named] = {}
        start = 0
        while True:
            result = await self.call(method, {**criteria, "start": start})
            rows = readable_rows(method, result)
            fresh = [
                Named(row.number("ID"), row.words("NAME"), _parent(row))
                for row in rows
                if row.number("ID") not in by_id
            ]
            by_id |= {item.id: item for item in fresh}
            if len(items_of(method, result)) < PAGE:
                return sorted(by_id.values(), key=lambda item: item.id)
            if not fresh or len(by_id) > MOST_DEPARTMENTS:
                raise AnswerStrange(method, "ID", "the same page again")
            start += PAGE

    async def with_below(self, departments: Sequence[int | str]) -> tuple[int, ...]:
        """These departments and all below them: the portal's filter matches exact ones only."""
        known = [number for number in departments if isinstance(number, int)]
        level = list(known)
        while level and len(known) < MOST_DEPARTMENTS:
            commands: dict[str, Command] = {
                f"p{number}": ("department.get", {"PARENT": number}) for number in level
            }
            results = await self.batch(commands)
            below = [
                number
                for rows in results.values()
                for number in each(readable_rows("department.get", rows), _id)
            ]
            level = [number for number in dict.fromkeys(below) if number not in known]
            known += level
        return tuple(known)

    async def presence(self, users: Sequence[int], *, working_day: bool) -> dict[int, Presence]:
        """
        Last activity and working day, by user; one request for 49 users.

        What this portal does not report (no scope, no such module) is None.
        """
        if not users:
            return {}
        commands: dict[str, Command] = {
            "seen": ("im.user.list.get", {"ID": list(users), "RESULT_TYPE": "array"})
        }
        if working_day:
            commands |= {f"d{user}": ("timeman.status", {"USER_ID": user}) for user in users}
        results = await self.batch_of_each(commands)
        for error in results.values():
            if isinstance(error, Exception) and (
                not isinstance(error, PortalRefused) or isinstance(error, PortalDenied)
            ):
                raise error
        seen: dict[int, datetime | None] = {}
        if not isinstance(results["seen"], Exception):
            rows = readable_rows("im.user.list.get", results["seen"])
            seen |= each(rows, lambda row: (row.number("id"), row.moment("last_activity_date")))
        readable = [
            user for user in users if not isinstance(results.get(f"d{user}", _NONE), Exception)
        ]
        days = dict(each(readable, lambda user: (user, _day(results[f"d{user}"]))))
        return {
            user: Presence(last_activity=seen.get(user), working_day=days.get(user))
            for user in users
        }

    async def logins_since(self, mark: int, *, limit: int = 2000) -> tuple[list[LoginEvent], int]:
        """
        Logins and logouts from the portal's event log after the entry ``mark``, oldest first; and
        the last entry read. Entries of applications are left out.

        Needs REST 3.0, an administrator, and the main module's options "log successful logins"
        and "log logouts". Closing the browser writes no logout.
        """
        method = "main.eventlog.tail"
        events: list[LoginEvent] = []
        for _ in range(limit // PAGE):
            result = await self.call(
                method,
                {
                    "select": ["id", "timestampX", "auditTypeId", "itemId", "moduleId"],
                    "filter": [["auditTypeId", "in", [_LOGIN, _LOGOUT]]],
                    "cursor": {"field": "id", "order": "ASC", "value": mark, "limit": PAGE},
                },
                rest3=True,
            )
            items = Row(method, result).need("items")
            rows = readable_rows(method, items, "items")
            events += [event for event in each(rows, _login) if event is not None]
            before, mark = mark, max(each(rows, lambda row: row.number("id")), default=mark)
            if len(items_of(method, items, "items")) < PAGE or mark <= before:
                break
        return events, mark


def number_of(kind: str, wanted: int | str, known: Sequence[Named]) -> int:
    """The number for a name, ignoring case; PortalRefused: none or several have it."""
    if isinstance(wanted, int):
        return wanted
    matches = [item for item in known if item.name.casefold() == wanted.strip().casefold()]
    if len(matches) == 1:
        return matches[0].id
    near = matches or known[:MOST_LISTED]
    listed = ", ".join(f"{item.name} ({item.id})" for item in near)
    problem = "several have this name, give the number" if matches else "no such name; there are"
    raise PortalRefused("", f"{kind} {wanted!r}: {problem}: {listed} (autodial groups)")


def _login(row: Row) -> LoginEvent | None:
    at = row.moment("timestampX")
    # A portal without the module field is older and logs nothing else.
    if at is None or row.get("moduleId") not in (None, "", _PERSONS):
        return None
    login = row.text("auditTypeId") == _LOGIN
    return LoginEvent(id=row.number("id"), user=row.number("itemId"), login=login, at=at)


def _parent(row: Row) -> int | None:
    text = row.words("PARENT")
    return int(text) if re.fullmatch("[1-9][0-9]{0,15}", text) else None


def _id(row: Row) -> int:
    return row.number("ID")


def _employee(row: Row) -> Employee:
    return Employee(
        id=row.number("ID"),
        name=row.words("NAME", "LAST_NAME"),
        extension=row.words("UF_PHONE_INNER"),
        active=row.need("ACTIVE") in (True, "Y"),
        online=row.get("IS_ONLINE") == "Y" if "IS_ONLINE" in row else None,
        last_login=row.moment("LAST_LOGIN"),
    )


def _day(result: Any) -> str:
    return Row("timeman.status", result).text("STATUS").lower()
