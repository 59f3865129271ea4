"""The call centre's staff: who they are, and what the portal knows of their presence."""

from collections.abc import Sequence
from typing import Any

from bitrix24.asking import Asking, Command
from bitrix24.errors import AnswerStrange, PortalDenied, PortalRefused
from bitrix24.values import Employee, LoginEvent, Presence, StaffQuery
from bitrix24.wire import PAGE, Row, rows_of

_USER = ["ID", "NAME", "LAST_NAME", "ACTIVE", "UF_PHONE_INNER", "LAST_LOGIN", "IS_ONLINE"]
#: Audit types of the portal's event log.
_LOGIN, _LOGOUT = "USER_AUTHORIZE", "USER_LOGOUT"


class StaffMethods(Asking):
    """Staff of the portal, as the dialler needs it."""

    async def staff(self, which: StaffQuery) -> list[Employee]:
        """The active people of departments (not those below them), a group, or with a field."""
        criteria: dict[str, Any] = {"ACTIVE": True}
        if which.group is not None:
            method = "sonet_group.user.get"
            members = rows_of(method, await self.call(method, {"ID": which.group}))
            criteria["ID"] = [member.number("USER_ID") for member in members]
            if not criteria["ID"]:
                return []
        elif which.departments:
            criteria["UF_DEPARTMENT"] = list(which.departments)
        else:
            criteria[which.field] = which.value
        select = [*_USER, *([which.field] if which.field else [])]
        rows: list[Row] = []
        while True:
            last = rows[-1].number("ID") if rows else 0
            page = rows_of(
                "user.get",
                await self.call(
                    "user.get",
                    {
                        "FILTER": {**criteria, ">ID": last},
                        "sort": "ID",
                        "order": "ASC",
                        "select": select,
                        "start": -1,
                    },
                ),
            )
            rows += page
            if len(page) < PAGE:
                break
        for row in rows:
            # The portal drops filters it does not know, and would name the whole company.
            if which.field and str(row.need(which.field)) != which.value:
                raise AnswerStrange(
                    "user.get", which.field, f"user {row.get('ID')} does not have {which.value!r}"
                )
        return [_employee(row) for row in rows]

    async def with_below(self, departments: Sequence[int]) -> tuple[int, ...]:
        """These departments and all below them: the portal's filter knows only the very ones."""
        known = list(departments)
        level = list(departments)
        while level:
            commands: dict[str, Command] = {
                f"p{number}": ("department.get", {"PARENT": number}) for number in level
            }
            said = await self.batch(commands)
            below = [
                row.number("ID")
                for rows in said.values()
                for row in rows_of("department.get", rows)
            ]
            level = [number for number in below if number not in known]
            known += level
        return tuple(known)

    async def presence(self, users: Sequence[int], *, working_day: bool) -> dict[int, Presence]:
        """
        Last activity and working day, by user; one request for 49 people.

        What this portal does not tell (no scope, no such module) is None.
        """
        if not users:
            return {}
        commands: dict[str, Command] = {
            "seen": ("im.user.list.get", {"ID": list(users), "RESULT_TYPE": "array"})
        }
        if working_day:
            commands |= {f"d{user}": ("timeman.status", {"USER_ID": user}) for user in users}
        said = await self.batch_of_each(commands)
        for error in said.values():
            if isinstance(error, Exception) and (
                not isinstance(error, PortalRefused) or isinstance(error, PortalDenied)
            ):
                raise error
        seen = {}
        if not isinstance(said["seen"], Exception):
            people = [person for person in (said["seen"] or ()) if person]
            for row in rows_of("im.user.list.get", people):
                seen[row.number("id")] = row.moment("last_activity_date")
        return {
            user: Presence(last_activity=seen.get(user), working_day=_day(said.get(f"d{user}")))
            for user in users
        }

    async def logins_since(self, mark: int, *, limit: int = 2000) -> list[LoginEvent]:
        """
        Logins and logouts from the portal's event log after the entry ``mark``, oldest first.

        Needs REST 3.0, an administrator, and the main module's options "log successful logins"
        and "log logouts". A closed browser writes no logout.
        """
        method = "main.eventlog.tail"
        found: list[LoginEvent] = []
        while len(found) < limit:
            said = await self.call(
                method,
                {
                    "select": ["id", "timestampX", "auditTypeId", "itemId"],
                    "filter": [["auditTypeId", "in", [_LOGIN, _LOGOUT]]],
                    "cursor": {"field": "id", "order": "ASC", "value": mark, "limit": PAGE},
                },
                rest3=True,
            )
            rows = Row(method, said).rows("items")
            for row in rows:
                at = row.moment("timestampX")
                if at is not None:
                    login = row.text("auditTypeId") == _LOGIN
                    number, user = row.number("id"), row.number("itemId")
                    found.append(LoginEvent(id=number, user=user, login=login, at=at))
                mark = row.number("id")
            if len(rows) < PAGE:
                break
        return found


def _employee(row: Row) -> Employee:
    return Employee(
        id=row.number("ID"),
        name=" ".join(str(row.get(key)) for key in ("NAME", "LAST_NAME") if row.get(key)),
        extension=str(row.get("UF_PHONE_INNER") or ""),
        active=row.need("ACTIVE") in (True, "Y"),
        online=row.get("IS_ONLINE") == "Y",
        last_login=row.moment("LAST_LOGIN"),
    )


def _day(said: Any) -> str | None:
    if said is None or isinstance(said, Exception):
        return None
    return Row("timeman.status", said).text("STATUS").lower()
