"""
Call tasks: reading all, reading one, writing back. The protocol's field names stay in here.

Filters are built from constants only: the portal silently ignores unknown names, and a typing
error would mean "all tasks".
"""

import re
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta, tzinfo
from math import ceil
from typing import Any

from twisted.internet.defer import Deferred

from bitrix24.asking import Asking, Command
from bitrix24.errors import AnswerLost, AnswerStrange, QuestionLost
from bitrix24.values import Deadline, PortalTask, TaskPage, TaskQuery, TaskStatus
from bitrix24.wire import (
    BATCH_LIMIT,
    PAGE,
    Params,
    Ref,
    Reply,
    Row,
    plain,
    written,
)

_TASK = ["ID", "TITLE", "STATUS", "DEADLINE", "RESPONSIBLE_ID", "UF_CRM_TASK"]
#: Stored statuses of an open task. (The filter STATUS is computed: an overdue task does not match
#: STATUS=2. REAL_STATUS is the stored one.)
_OPEN = [1, 2, 3]
_LIST = "tasks.task.list"

#: A deadline stored by the portal may differ by this much from ours: a box may cut it to the
#: day, and daylight saving may shift it.
_CUT = timedelta(days=1, hours=2)
#: Tasks that may disappear during a walk.
SLACK = 100
#: How a task reaches a status: from which statuses, by which methods in order. The portal refuses
#: all others, even from an administrator (defer needs 1 or 2).
MOVES: Mapping[TaskStatus, Mapping[int, tuple[str, ...]]] = {
    TaskStatus.IN_PROGRESS: {1: ("start",), 2: ("start",), 6: ("renew", "start")},
    TaskStatus.DONE: dict.fromkeys((1, 2, 3, 6), ("complete",)),
    TaskStatus.DEFERRED: {1: ("defer",), 2: ("defer",), 3: ("pause", "defer")},
}
#: Statuses that count as the wanted one.
_REACHED = {
    TaskStatus.IN_PROGRESS: {3, 4, 5},
    TaskStatus.DONE: {4, 5},  # 4: done, and waits for its author's approval
    TaskStatus.DEFERRED: {4, 5, 6},
}


class TaskMethods(Asking):
    """Tasks of the portal, as the dialler needs them."""

    _pages_at_once = BATCH_LIMIT  #: fewer after a batch was too large for the portal

    async def open_tasks(
        self, which: TaskQuery, expected: int | None = None
    ) -> AsyncGenerator[TaskPage, None]:
        """
        All open call tasks, the newest first, in pages of fifty: one request for 2,500 of them.

        ``expected``: the number of the last walk, so that no more than needed is requested. Tasks
        created during the walk are not included.
        """
        query = _query(which, {"REAL_STATUS": _OPEN})
        async for page in self._walk(query, expected, which.fields):
            yield page

    async def changed_tasks(
        self, which: TaskQuery, since: datetime
    ) -> AsyncGenerator[TaskPage, None]:
        """
        Call tasks changed since a moment of the portal's own clock, including closed ones.

        Tasks that were deleted, or lost their tag or group, are missing: only a full walk shows
        that.
        """
        query = _query(which, {">=CHANGED_DATE": written(since)})
        async for page in self._walk(query, 0, which.fields):
            yield page

    async def _walk(
        self, query: Params, expected: int | None, fields: Sequence[str]
    ) -> AsyncGenerator[TaskPage, None]:
        """
        Every page requests ids below the last one's. Up to 50 pages are sent in one batch, each
        referring to the answer before it. The next batch is in flight while this one is read.
        """
        limit = BATCH_LIMIT * PAGE
        pages = await self._pages(query, None, limit if expected is None else expected)
        total, seen = pages[0].total, 0
        last: int | None = None
        while pages:
            rows = len(_rows(pages[-1]))
            seen += (len(pages) - 1) * PAGE + rows
            left = limit if total is None else total - seen
            ahead = None
            if rows == PAGE and left > 0:
                before, last = last, _lowest(_rows(pages[-1]))
                if before is not None and last >= before:
                    raise AnswerStrange(_LIST, "id", "the same page again")
                ahead = Deferred.fromCoroutine(self._pages(query, last, left))
            try:
                for page in pages:
                    clock = _Clock(self._zone, page)
                    yield _task_page(page, fields, clock, query["filter"].get("TAG", ""))
                pages = await ahead if ahead else []
            finally:
                if ahead:
                    ahead.addErrback(lambda _: None)
                    ahead.cancel()
        if total is not None and total - seen > SLACK:
            # A few tasks may disappear during a walk; so many would wrongly count as closed.
            raise AnswerStrange(_LIST, "tasks", f"{seen} rows of {total}")

    async def _pages(self, query: Params, below: int | None, rows: int) -> list[Reply]:
        """The next pages: at least one, at most those of ``rows`` rows or of a batch."""
        while True:
            wanted = max(1, min(ceil(rows / PAGE), self._pages_at_once))
            try:
                if wanted == 1:
                    pages = [await self._line.call(_LIST, _page(query, below))]
                else:
                    pages = await self._batch_of_pages(query, below, wanted)
            except AnswerLost:
                if wanted == 1:
                    raise
                # A slow box: one request took too long. Request fewer pages for a while.
                self._pages_at_once = max(1, wanted // 4)
            else:
                self._pages_at_once = min(BATCH_LIMIT, 2 * self._pages_at_once)
                return pages

    async def _batch_of_pages(
        self, query: Params, below: int | Ref | None, wanted: int
    ) -> list[Reply]:
        commands: dict[str, Command] = {}
        for n in range(wanted):
            commands[f"p{n}"] = (_LIST, _page(query, below))
            # After the last page this refers to nothing and stays a text that begins with 0: there
            # are no ids below 0.
            below = Ref(f"0$result[p{n}][tasks][{PAGE - 1}][id]")
        pages: list[Reply] = []
        for reply in (await self.replies(commands)).values():
            if isinstance(reply, Exception):
                if not pages:
                    raise reply
                break
            pages.append(reply)
            if len(_rows(reply)) < PAGE:
                break  # the later pages refer to nothing
        return pages

    async def tells_tags(self, tags: Sequence[str]) -> bool | None:
        """
        Does the portal return a task's tags? Boxes of 2019 do not, and a task then looks untagged.
        Checked with tasks that have one of ``tags``; None: there is no such task.
        """
        commands: dict[str, Command] = {
            f"t{n}": (
                _LIST,
                {"filter": {"TAG": tag}, "select": ["ID", "TAGS"], "order": {"ID": "desc"},
                 "start": -1},
            )
            for n, tag in enumerate(tags)
        }  # fmt: skip
        with_tags: list[bool] = []
        for reply in (await self.replies(commands)).values():
            if isinstance(reply, Exception):
                raise reply
            with_tags += [bool(_tags(row.get("tags"))) for row in _rows(reply)]
        return any(with_tags) if with_tags else None

    async def task(
        self, task_id: int, fields: Sequence[str] = (), *, chosen_by: str = ""
    ) -> PortalTask | None:
        """
        One task as it is now; None if it is deleted or forbidden. ``chosen_by``: the tag of call
        tasks.
        """
        select = [*_TASK, "TAGS", *fields]
        reply = await self._line.call("tasks.task.get", {"taskId": task_id, "select": select})
        if not reply.result:
            return None
        row = Row("tasks.task.get", reply.result).object("task")
        return _task(row, fields, _Clock(self._zone, reply), chosen_by)

    async def move_deadline(self, task: PortalTask, deadline: datetime) -> Deadline:
        """
        Postpone the task; returns the deadline that the portal stored. The portal cuts seconds, and
        a box of 2019 cuts hours too. The right needed is "change deadline".
        """
        return await self._update(task, {"DEADLINE": written(deadline)}, deadline)

    async def change_responsible(
        self, task: PortalTask, user: int, *, deadline: datetime | None = None, delegate: bool
    ) -> Deadline:
        """
        Change the responsible user, and move the deadline in the same request if one is given.
        Returns the deadline that the portal stored.

        RESPONSIBLE_ID alone counts as delegation: the portal resets the status and makes the old
        responsible an observer. Unless that is wanted, the unchanged title is sent along.
        """
        current = task.until
        if deadline is not None and delegate:
            current = await self.move_deadline(task, deadline)
            deadline = None
        fields: dict[str, Any] = {} if deadline is None else {"DEADLINE": written(deadline)}
        if task.responsible != user:  # sending the same user would count as a change
            fields |= {"RESPONSIBLE_ID": user} | ({} if delegate else {"TITLE": task.title})
        return await self._update(task, fields, deadline) if fields else current

    async def set_field(self, task: int, name: str, value: str) -> None:
        """Set a custom field (UF_…), whatever its old value."""
        await self._line.call("tasks.task.update", {"taskId": task, "fields": {name: value}})

    async def _update(
        self, task: PortalTask, fields: Params, deadline: datetime | None
    ) -> Deadline:
        method = "tasks.task.update"
        reply = await self._line.call(method, {"taskId": task.id, "fields": fields})
        whole = reply.result.get("task") if isinstance(reply.result, Mapping) else None
        if isinstance(whole, dict) and "deadline" in whole:
            stored = _deadline(Row(method, whole), _Clock(self._zone, reply))
        else:
            try:
                now = await self.task(task.id)  # an answer without the task
            except QuestionLost as error:
                raise AnswerLost(str(error)) from None  # the write before it counts
            if now is None:
                return task.until  # this change has removed our right to read it
            stored = now.until
        if deadline is not None and (stored.moment is None or abs(stored.moment - deadline) > _CUT):
            raise self.refused(method, f"done, but the deadline is {stored.wall or 'none'}")
        return stored

    async def bring_to(self, task: PortalTask, status: TaskStatus) -> bool:
        """
        Move a task to a status by the portal's own rules; False: not possible from its status.

        Safe to repeat with the task as it is now.
        """
        if task.status in _REACHED[status]:
            return True
        steps = MOVES[status].get(task.status)
        if steps is None:
            return False
        result: Any = None
        for step in steps:
            result = await self.call(f"tasks.task.{step}", {"taskId": task.id})
        whole = result.get("task") if isinstance(result, Mapping) else None
        if isinstance(whole, dict) and "status" in whole:
            reached = Row(f"tasks.task.{steps[-1]}", whole).number("status")
            if reached not in _REACHED[status]:
                raise self.refused(f"tasks.task.{steps[-1]}", f"done, but the status is {reached}")
        return True


def _query(which: TaskQuery, criteria: Params) -> Params:
    """The parameters of each page of a walk."""
    chosen: dict[str, Any] = {}
    if which.group is not None:
        if isinstance(which.group, str):  # the portal would read a name as group 0
            raise ValueError(f"the group {which.group!r} is not looked up yet")
        chosen["GROUP_ID"] = which.group
    if which.tag:
        chosen["TAG"] = which.tag
    return {
        "filter": {**chosen, **criteria},
        "select": [*_TASK, *(("TAGS",) if which.tags else ()), *which.fields],
        "order": {"ID": "desc"},
    }


def _page(query: Params, below: int | Ref | None) -> Params:
    """Only the first page is counted; ``start`` -1 means fifty rows and no counting."""
    if below is None:
        return {**query, "start": 0}
    return {**query, "filter": {**query["filter"], "<ID": below}, "start": -1}


def _rows(reply: Reply) -> list[Row]:
    """All rows, including items that are not objects: they count for the page."""
    listed = Row(_LIST, reply.result).need("tasks")
    items = list(listed.values()) if isinstance(listed, Mapping) else listed
    if not isinstance(items or [], list):
        raise AnswerStrange(_LIST, "tasks", f"expected a list, not {type(items).__name__}")
    return [Row(_LIST, item if isinstance(item, dict) else {}) for item in items or []]


def _lowest(rows: Sequence[Row]) -> int:
    """The number of the last task of the page that can be read."""
    for row in reversed(rows):
        with suppress(AnswerStrange):
            return row.number("id")
    raise AnswerStrange(_LIST, "id", "a page without any id")


def _task_page(reply: Reply, fields: Sequence[str], clock: "_Clock", chosen_by: str) -> TaskPage:
    tasks, unreadable, without_id = [], {}, 0
    for row in _rows(reply):
        try:
            tasks.append(_task(row, fields, clock, chosen_by))
        except AnswerStrange as error:
            try:
                unreadable[row.number("id")] = error
            except AnswerStrange:
                without_id += 1
    return TaskPage(
        tasks=tuple(tasks),
        unreadable=unreadable,
        without_id=without_id,
        at=reply.at,
    )


def _task(row: Row, fields: Sequence[str], clock: "_Clock", chosen_by: str) -> PortalTask:
    """``chosen_by``: the tag that the task was filtered by."""
    deadline = _deadline(row, clock)
    tags = _tags(row.get("tags"))
    return PortalTask(
        id=row.number("id"),
        title=row.text("title"),
        status=row.number("status"),
        responsible=row.number("responsibleId"),
        deadline=deadline.moment,
        told=deadline,
        clients=_links(row.need("ufCrmTask")),
        # Filtered by a tag, yet untagged: this portal does not return tags.
        tags=None if chosen_by and not tags else tags,
        fields={name: texts for name in fields if (texts := _texts(row.get(_camel(name))))},
    )


class _Clock:
    """The server's clock, as an answer shows it: today's offset, and its zone if known."""

    def __init__(self, zone: tzinfo | None, reply: Reply) -> None:
        self.offset = reply.offset
        now = (reply.at or datetime.now(UTC)).astimezone(zone or UTC)
        # A zone that is not the server's is not used: it would give other errors.
        self.zone = zone if zone is not None and now.utcoffset() == reply.offset else None


def _deadline(row: Row, clock: _Clock) -> Deadline:
    """
    The portal writes it by the requesting user's clock, with today's offset. It stores the server's
    clock; with the server's zone the moment in the other season (daylight saving) is known too.
    """
    moment = row.moment("deadline")
    if moment is None:
        return Deadline(None)
    moment = moment.replace(second=0, microsecond=0)
    if clock.offset is None:
        return Deadline(moment)
    try:
        wall = (moment + clock.offset).replace(tzinfo=None)
    except OverflowError:
        raise AnswerStrange(row.method, "deadline", "a date out of range") from None
    meant = wall.replace(tzinfo=clock.zone).astimezone(UTC) if clock.zone is not None else None
    return Deadline(moment, wall.isoformat(timespec="minutes"), meant)


def _links(raw: Any) -> tuple[str, ...]:
    """CRM codes, as a list, a map or one text; without links it is [], false or null."""
    if isinstance(raw, Mapping):
        raw = list(raw.values())
    if isinstance(raw, str):
        raw = re.split(r"[,;\s]+", raw)
    return tuple(filter(None, map(plain, raw))) if isinstance(raw, list) else ()


def _camel(name: str) -> str:
    """Names are sent as UF_AUTO_123 and returned as ufAuto123."""
    head, *tail = name.lower().split("_")
    return head + "".join(part.capitalize() for part in tail)


def _texts(raw: Any) -> tuple[str, ...]:
    """One value or several; an empty field is null, false, "" or []."""
    values = raw if isinstance(raw, list) else [raw]
    texts = ["1" if value is True else plain(value) for value in values if value not in (0, None)]
    return tuple(filter(None, texts))


def _tags(raw: Any) -> frozenset[str]:
    """
    Tags by number, ``{"35": {"id": 35, "title": "autodial"}}``, or as texts; without tags the
    field is missing.
    """
    entries = raw.values() if isinstance(raw, Mapping) else raw
    titles = [
        entry.get("title") if isinstance(entry, Mapping) else entry
        for entry in (entries if isinstance(entries, Iterable) else ())
    ]
    return frozenset(title.lower() for title in titles if isinstance(title, str))
