"""
The portal's methods that we use, named by what they mean to us. Protocol words stay in here.

Filters are built from constants only: the portal ignores unknown names silently, and a typing
error would mean "all tasks" or "all users".
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from bitrix24.errors import PortalRefused
from bitrix24.values import CallRecord, Client, Employee, Phone, PortalTask, TaskQuery, entity
from bitrix24.wire import (
    BATCH_LIMIT,
    PAGE,
    Answer,
    Params,
    Request,
    decode,
    encode,
    error_of,
    moment,
    query,
    written,
)

Send = Callable[[Request], Awaitable[Answer]]

_TASK = ["ID", "TITLE", "STATUS", "DEADLINE", "RESPONSIBLE_ID", "CHANGED_DATE", "UF_CRM_TASK"]
_USER = ["ID", "NAME", "LAST_NAME", "ACTIVE", "UF_PHONE_INNER", "LAST_LOGIN", "IS_ONLINE"]
#: CRM code -> the list method, the name of its rows, and what to ask for.
_HAVE_PHONES: Mapping[str, tuple[str, str, list[str]]] = {
    "C": ("crm.contact.list", "CONTACT", ["ID", "NAME", "LAST_NAME", "SECOND_NAME", "PHONE"]),
    "CO": ("crm.company.list", "COMPANY", ["ID", "TITLE", "PHONE"]),
    "L": ("crm.lead.list", "LEAD", ["ID", "TITLE", "NAME", "LAST_NAME", "PHONE"]),
}
#: Stored statuses of a task that still wants work: 1 new (old boxes), 2 pending, 3 in progress.
_OPEN = [1, 2, 3]


class Portal:
    """One portal, spoken to through an incoming webhook. Nothing here retries."""

    def __init__(self, webhook: str, send: Send) -> None:
        self._webhook = webhook
        self._send = send

    async def call(self, method: str, params: Params) -> Any:
        """Call one method; raises as ``wire.decode`` says."""
        return decode(await self._send(encode(self._webhook, method, params)), method)

    async def batch(self, commands: Mapping[str, tuple[str, Params]]) -> dict[str, Any]:
        """
        Call up to 50 methods in one request each; the results by their keys.

        Raises:
            PortalError: the first command that failed, after all have run.
        """
        results: dict[str, Any] = {}
        keys = list(commands)
        for start in range(0, len(keys), BATCH_LIMIT):
            chunk = {key: query(*commands[key]) for key in keys[start : start + BATCH_LIMIT]}
            said = await self.call("batch", {"halt": 0, "cmd": chunk})
            for key, error in _map(said["result_error"]).items():
                raise error_of(commands[key][0], error)
            results |= _map(said["result"])
        return results

    async def open_tasks(self, which: TaskQuery) -> list[PortalTask]:
        """All open call tasks, by id; one request per 50."""
        criteria: dict[str, Any] = {"REAL_STATUS": _OPEN}
        if which.group is not None:
            criteria["GROUP_ID"] = which.group
        if which.tag:
            criteria["TAG"] = which.tag
        tasks: list[PortalTask] = []
        last = 0
        while True:
            said = await self.call(
                "tasks.task.list",
                {
                    "filter": {**criteria, ">ID": last},
                    "select": _TASK,
                    "order": {"ID": "asc"},
                    "start": -1,
                },
            )
            rows = said["tasks"]
            tasks += [_task(row) for row in rows]
            if len(rows) < PAGE:
                return tasks
            last = int(rows[-1]["id"])

    async def task(self, task_id: int) -> PortalTask | None:
        """One task as it is now; None if it is gone or out of our sight."""
        said = await self.call("tasks.task.get", {"taskId": task_id, "select": _TASK})
        return _task(said["task"]) if said else None

    async def update_task(
        self, task: PortalTask, *, deadline: datetime | None = None, responsible: int | None = None
    ) -> None:
        """
        Move the deadline, change the responsible, or both.

        RESPONSIBLE_ID alone would count as delegation: the portal resets the status and makes
        the old responsible an observer. So it travels with the title, unchanged.
        """
        fields: dict[str, Any] = {}
        if deadline is not None:
            fields["DEADLINE"] = written(deadline)
        if responsible is not None:
            fields |= {"RESPONSIBLE_ID": responsible, "TITLE": task.title}
        if fields:
            await self.call("tasks.task.update", {"taskId": task.id, "fields": fields})

    async def add_comment(self, task_id: int, text: str) -> None:
        """Write one comment. Not repeatable: verify with ``has_comment`` after a lost answer."""
        # Arguments of task.* methods go by position: the order of these keys counts.
        await self.call(
            "task.commentitem.add", {"TASKID": task_id, "FIELDS": {"POST_MESSAGE": text}}
        )

    async def has_comment(self, task_id: int, marker: str) -> bool:
        """Does any comment of the task hold ``marker``? Reads the task's chat on new boxes."""
        try:
            said = await self.call("task.commentitem.getlist", {"TASKID": task_id})
        except PortalRefused:
            said = await self._chat(task_id)
        return any(marker in str(row.get("POST_MESSAGE") or row.get("text") or "") for row in said)

    async def _chat(self, task_id: int) -> list[dict[str, Any]]:
        task = await self.call("tasks.task.get", {"taskId": task_id, "select": ["ID", "CHAT_ID"]})
        chat = task["task"].get("chatId") if task else None
        if not chat:
            return []
        said = await self.call("im.dialog.messages.get", {"DIALOG_ID": f"chat{chat}", "LIMIT": 50})
        return list(said["messages"])

    async def clients(self, codes: Iterable[str]) -> dict[str, tuple[Client, ...]]:
        """
        Who stands behind CRM codes, with phones. A deal stands for its contacts and company.

        Two requests for any 50 tasks, three if deals are among them. Codes that the portal does
        not know are absent from the answer.
        """
        wanted = {code: parts for code in codes if (parts := entity(code))}
        deals = sorted(number for kind, number in wanted.values() if kind == "D")
        through = await self._behind_deals(deals)
        direct = {code for code, (kind, _) in wanted.items() if kind in _HAVE_PHONES}
        found = await self._with_phones(direct | {c for codes in through.values() for c in codes})
        answer: dict[str, tuple[Client, ...]] = {c: (found[c],) for c in direct if c in found}
        for number, behind in through.items():
            answer[f"D_{number}"] = tuple(found[code] for code in behind if code in found)
        return answer

    async def _behind_deals(self, deals: Sequence[int]) -> dict[int, tuple[str, ...]]:
        commands = {
            f"d{start}": (
                "crm.item.list",
                {
                    "entityTypeId": 2,
                    "filter": {"@id": deals[start : start + PAGE]},
                    "select": ["id", "contactIds", "companyId"],
                    "order": {"id": "ASC"},
                    "start": -1,
                },
            )
            for start in range(0, len(deals), PAGE)
        }
        through: dict[int, tuple[str, ...]] = {}
        for said in (await self.batch(commands) if commands else {}).values():
            for row in said["items"]:
                codes = [f"C_{number}" for number in row.get("contactIds") or ()]
                if int(row.get("companyId") or 0):
                    codes.append(f"CO_{row['companyId']}")
                through[int(row["id"])] = tuple(codes)
        return through

    async def _with_phones(self, codes: Iterable[str]) -> dict[str, Client]:
        ids: dict[str, list[int]] = {}
        for code in sorted(codes):
            kind, _, number = code.partition("_")
            ids.setdefault(kind, []).append(int(number))
        commands = {}
        for kind, numbers in ids.items():
            method, _, select = _HAVE_PHONES[kind]
            for start in range(0, len(numbers), PAGE):
                commands[f"{kind}_{start}"] = (
                    method,
                    {
                        "filter": {"@ID": numbers[start : start + PAGE]},
                        "select": select,
                        "order": {"ID": "ASC"},
                        "start": -1,
                    },
                )
        found: dict[str, Client] = {}
        for key, rows in (await self.batch(commands) if commands else {}).items():
            kind = key.partition("_")[0]
            for row in rows:
                found[f"{kind}_{row['ID']}"] = _client(_HAVE_PHONES[kind][1], row)
        return found

    async def staff(
        self, *, departments: Sequence[int] = (), group: int | None = None
    ) -> list[Employee]:
        """The active people of these departments (and those below them) or of a work group."""
        if group is not None:
            members = await self.call("sonet_group.user.get", {"ID": group})
            criteria: dict[str, Any] = {"ACTIVE": True, "ID": [int(m["USER_ID"]) for m in members]}
            if not criteria["ID"]:
                return []
        elif departments:
            criteria = {"ACTIVE": True, "UF_DEPARTMENT": await self._with_below(departments)}
        else:
            raise ValueError("name departments or a work group: not everybody is an operator")
        rows: list[dict[str, Any]] = []
        while True:
            last = int(rows[-1]["ID"]) if rows else 0
            page = await self.call(
                "user.get",
                {
                    "FILTER": {**criteria, ">ID": last},
                    "sort": "ID",
                    "order": "ASC",
                    "select": _USER,
                    "start": -1,
                },
            )
            rows += page
            if len(page) < PAGE:
                break
        activity = await self._activity([int(row["ID"]) for row in rows])
        return [_employee(row, activity) for row in rows]

    async def _with_below(self, departments: Sequence[int]) -> list[int]:
        known = list(departments)
        level = list(departments)
        while level:
            commands = {f"p{d}": ("department.get", {"PARENT": d}) for d in level}
            said = await self.batch(commands)
            below = [int(row["ID"]) for rows in said.values() for row in rows]
            level = [number for number in below if number not in known]
            known += level
        return known

    async def _activity(self, ids: Sequence[int]) -> dict[int, datetime]:
        """Last activity by user: user.get cannot tell it, im.user.list.get can (scope im)."""
        if not ids:
            return {}
        try:
            said = await self.call("im.user.list.get", {"ID": list(ids), "RESULT_TYPE": "array"})
        except PortalRefused:
            return {}  # no scope: the portal's own IS_ONLINE must do
        return {
            int(row["id"]): moment(row["last_activity_date"])
            for row in said
            if row and row.get("last_activity_date")
        }

    async def ensure_line(self, number: str, name: str) -> None:
        """Make the dialler's own line, or give it its name. The name is what the card shows."""
        try:
            await self.call("telephony.externalLine.add", {"NUMBER": number, "NAME": name})
        except PortalRefused:
            # "Line already exists"; the text is not to be relied on, so the update decides.
            await self.call("telephony.externalLine.update", {"NUMBER": number, "NAME": name})

    async def register_call(
        self,
        *,
        external_id: str,
        user: int,
        phone: str,
        started: datetime,
        line: str,
        incoming: bool,
        show: bool,
        client: tuple[str, int] | None,
    ) -> str:
        """Register a call and return its CALL_ID. Safe to repeat: ``external_id`` is the key."""
        said = await self.call(
            "telephony.externalCall.register",
            {
                "USER_ID": user,
                "PHONE_NUMBER": phone,
                "TYPE": 2 if incoming else 1,
                "CALL_START_DATE": written(started),
                "CRM_CREATE": 0,
                "SHOW": int(show),
                "LINE_NUMBER": line,
                "EXTERNAL_CALL_ID": external_id,
                **({"CRM_ENTITY_TYPE": client[0], "CRM_ENTITY_ID": client[1]} if client else {}),
            },
        )
        return str(said["CALL_ID"])

    async def show_call(self, call_id: str, user: int) -> None:
        """Raise the card for this operator."""
        await self.call("telephony.externalCall.show", {"CALL_ID": call_id, "USER_ID": user})

    async def hide_call(self, call_id: str, user: int) -> None:
        """Take the card away from this operator."""
        await self.call("telephony.externalCall.hide", {"CALL_ID": call_id, "USER_ID": user})

    async def finish_call(self, call_id: str, *, user: int, seconds: int, code: str) -> None:
        """End a registered call. A call that is already in the statistics counts as done."""
        try:
            await self.call(
                "telephony.externalCall.finish",
                {
                    "CALL_ID": call_id,
                    "USER_ID": user,
                    "DURATION": seconds,
                    "STATUS_CODE": code,
                    "ADD_TO_CHAT": 0,
                },
            )
        except PortalRefused:
            if not await self.call_record(call_id):
                raise

    async def call_record(self, call_id: str) -> CallRecord | None:
        """The finished call, from the portal's statistics."""
        rows = await self.call("voximplant.statistic.get", {"FILTER": {"CALL_ID": call_id}})
        for row in rows:
            return CallRecord(
                call_id=call_id,
                duration=int(row["CALL_DURATION"]),
                failed_code=str(row["CALL_FAILED_CODE"]),
            )
        return None


def _map(value: Any) -> dict[str, Any]:
    """PHP writes an empty map as ``[]``."""
    return dict(value) if value else {}


def _task(row: Mapping[str, Any]) -> PortalTask:
    return PortalTask(
        id=int(row["id"]),
        title=str(row["title"]),
        status=int(row["status"]),
        responsible=int(row["responsibleId"]),
        deadline=moment(row["deadline"]) if row.get("deadline") else None,
        clients=tuple(row.get("ufCrmTask") or ()),
        changed=str(row.get("changedDate") or ""),
    )


def _client(entity_type: str, row: Mapping[str, Any]) -> Client:
    person = " ".join(str(row[key]) for key in ("NAME", "LAST_NAME") if row.get(key))
    return Client(
        entity_type=entity_type,
        entity_id=int(row["ID"]),
        name=person or str(row.get("TITLE") or ""),
        phones=tuple(Phone(str(p["VALUE"]), str(p["VALUE_TYPE"])) for p in row.get("PHONE") or ()),
    )


def _employee(row: Mapping[str, Any], activity: Mapping[int, datetime]) -> Employee:
    number = int(row["ID"])
    return Employee(
        id=number,
        name=" ".join(str(row[key]) for key in ("NAME", "LAST_NAME") if row.get(key)),
        extension=str(row.get("UF_PHONE_INNER") or ""),
        active=bool(row.get("ACTIVE")),
        online=row.get("IS_ONLINE") == "Y",
        last_login=moment(row["LAST_LOGIN"]) if row.get("LAST_LOGIN") else None,
        last_activity=activity.get(number),
    )
