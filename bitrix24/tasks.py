"""
Call tasks: walking them, reading one, writing back. Protocol words stay in here.

Filters are built from constants only: the portal ignores unknown names silently, and a typing
error would mean "all tasks".
"""

from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from math import ceil
from typing import Any

from bitrix24.asking import Asking, Command
from bitrix24.errors import AnswerLost, AnswerStrange, PortalRefused
from bitrix24.values import PortalTask, TaskPage, TaskQuery, TaskStatus
from bitrix24.wire import BATCH_LIMIT, PAGE, Params, Ref, Row, rows_of, written

_TASK = ["ID", "TITLE", "STATUS", "DEADLINE", "RESPONSIBLE_ID", "UF_CRM_TASK"]
#: Stored statuses of a task that still wants work. (The filter STATUS is a computed one: an
#: overdue task does not match STATUS=2. REAL_STATUS is what is stored.)
_OPEN = [1, 2, 3]
_LIST = "tasks.task.list"

#: How a task gets to a status: from which statuses, by which methods in order. The portal refuses
#: all others, an administrator's, too (defer wants 1 or 2).
MOVES: Mapping[TaskStatus, Mapping[int, tuple[str, ...]]] = {
    TaskStatus.IN_PROGRESS: {1: ("start",), 2: ("start",), 6: ("renew", "start")},
    TaskStatus.DONE: dict.fromkeys((1, 2, 3, 6), ("complete",)),
    TaskStatus.DEFERRED: {1: ("defer",), 2: ("defer",), 3: ("pause", "defer")},
}
#: Statuses that are as good as the one wanted.
_REACHED = {
    TaskStatus.IN_PROGRESS: {3, 4, 5},
    TaskStatus.DONE: {4, 5},  # 4: done, and its author will have a look
    TaskStatus.DEFERRED: {4, 5, 6},
}


class TaskMethods(Asking):
    """Tasks of the portal, as the dialler needs them."""

    _pages_at_once = BATCH_LIMIT

    async def open_tasks(self, which: TaskQuery) -> AsyncIterator[TaskPage]:
        """All open call tasks by id, in pages: one request for 50, two for 2,550."""
        criteria = {**_criteria(which), "REAL_STATUS": _OPEN}
        async for page in self._walk(criteria):
            yield page

    async def changed_tasks(self, which: TaskQuery, since: datetime) -> AsyncIterator[TaskPage]:
        """
        Call tasks changed since a moment of the portal's own clock, closed ones among them.

        Tasks that were deleted, or lost their tag or group, are not: only a whole walk shows that.
        """
        criteria = {**_criteria(which), ">=CHANGED_DATE": written(since)}
        async for page in self._walk(criteria):
            yield page

    async def _walk(self, criteria: Params) -> AsyncIterator[TaskPage]:
        """
        Every page asks for ids above the last one's. Where the count says that many pages are
        left, a batch asks for up to 50 of them, each referring to the answer before it.
        """
        reply = await self._line.call(_LIST, _page(criteria, 0, start=0))
        page = _task_page(_LIST, reply.result, reply.at)
        seen = page.rows
        yield page
        while page.rows == PAGE and (reply.total is None or seen < reply.total):
            left = ceil(((reply.total or 0) - seen) / PAGE)
            wanted = max(1, min(left, self._pages_at_once))
            try:
                pages = await self._pages(criteria, page.last, wanted)
            except AnswerLost:
                if wanted == 1:
                    raise
                # A slow box: its time for one request ran out. Ask for less at once from now on.
                self._pages_at_once = max(1, wanted // 4)
                continue
            for page in pages:
                seen += page.rows
                yield page

    async def _pages(self, criteria: Params, last: int, wanted: int) -> list[TaskPage]:
        if wanted == 1:
            return [_task_page(_LIST, await self.call(_LIST, _page(criteria, last)))]
        commands: dict[str, Command] = {}
        after: int | Ref = last
        for n in range(wanted):
            commands[f"p{n}"] = (_LIST, _page(criteria, after))
            after = Ref(f"$result[p{n}][tasks][{PAGE - 1}][id]")
        pages: list[TaskPage] = []
        for said in (await self.batch_of_each(commands)).values():
            if isinstance(said, Exception):
                if not pages:
                    raise said
                break
            pages.append(_task_page(_LIST, said))
            if pages[-1].rows < PAGE:
                break  # what the later ones referred to does not exist
        return pages

    async def task(self, task_id: int) -> PortalTask | None:
        """One task as it is now; None if it is gone or out of our sight."""
        said = await self.call("tasks.task.get", {"taskId": task_id, "select": _TASK})
        if not said:
            return None
        return _task(Row("tasks.task.get", said).object("task"))

    async def move_deadline(self, task: PortalTask, deadline: datetime) -> None:
        """Put the task off. The portal cuts seconds; the right needed is "change deadline"."""
        await self._update(task, {"DEADLINE": written(deadline)})

    async def change_responsible(
        self, task: PortalTask, user: int, *, deadline: datetime | None = None, delegate: bool
    ) -> None:
        """
        Give the task to somebody else, and move its deadline in the same breath if one is given.

        RESPONSIBLE_ID alone counts as delegation: the portal resets the status and makes the old
        responsible an observer. Unless that is wanted, it travels with the title, unchanged.
        """
        if deadline is not None and delegate:
            await self.move_deadline(task, deadline)
            deadline = None
        fields: dict[str, Any] = {} if deadline is None else {"DEADLINE": written(deadline)}
        if task.responsible != user:  # again the same would count as a change
            fields |= {"RESPONSIBLE_ID": user} | ({} if delegate else {"TITLE": task.title})
        if fields:
            await self._update(task, fields)

    async def _update(self, task: PortalTask, fields: Params) -> None:
        await self.call("tasks.task.update", {"taskId": task.id, "fields": fields})

    async def bring_to(self, task: PortalTask, status: TaskStatus) -> bool:
        """
        Move a task to a status by the portal's own rules; False: from where it is, it cannot.

        Safe to repeat with the task as it is now.
        """
        if task.status in _REACHED[status]:
            return True
        steps = MOVES[status].get(task.status)
        if steps is None:
            return False
        for step in steps:
            await self.call(f"tasks.task.{step}", {"taskId": task.id})
        return True

    async def add_comment(self, task_id: int, text: str) -> None:
        """Write one comment. Not repeatable: verify with ``has_comment`` after a lost answer."""
        try:
            # Arguments of task.* methods go by position: the order of these keys counts.
            await self.call(
                "task.commentitem.add", {"TASKID": task_id, "FIELDS": {"POST_MESSAGE": text}}
            )
        except PortalRefused as error:
            if error.code != "ERROR_METHOD_NOT_FOUND":
                raise
            fields = {"taskId": task_id, "text": text}
            await self.call("tasks.task.chat.message.send", {"fields": fields}, rest3=True)

    async def has_comment(self, task_id: int, marker: str) -> bool:
        """Does any comment of the task hold ``marker``? Looks in the forum and in the chat."""
        said = await self.batch_of_each(
            {
                "task": ("tasks.task.get", {"taskId": task_id, "select": ["ID", "CHAT_ID"]}),
                "forum": ("task.commentitem.getlist", {"TASKID": task_id}),
                "chat": (
                    "im.dialog.messages.get",
                    {"DIALOG_ID": Ref("chat$result[task][task][chatId]"), "LIMIT": 50},
                ),
            }
        )
        forum, chat = said["forum"], said["chat"]
        if isinstance(forum, Exception) and isinstance(chat, Exception):
            raise forum
        comments = (
            [] if isinstance(forum, Exception) else rows_of("task.commentitem.getlist", forum)
        )
        if not isinstance(chat, Exception):
            comments += Row("im.dialog.messages.get", chat).rows("messages")
        return any(
            marker in str(row.get("POST_MESSAGE") or row.get("text") or "") for row in comments
        )


def _criteria(which: TaskQuery) -> dict[str, Any]:
    criteria: dict[str, Any] = {}
    if which.group is not None:
        criteria["GROUP_ID"] = which.group
    if which.tag:
        criteria["TAG"] = which.tag
    return criteria


def _page(criteria: Params, after: int | Ref, *, start: int = -1) -> Params:
    """``start`` -1: fifty rows and no counting."""
    return {
        "filter": {**criteria, ">ID": after},
        "select": _TASK,
        "order": {"ID": "asc"},
        "start": start,
    }


def _task_page(method: str, said: Any, at: datetime | None = None) -> TaskPage:
    rows = Row(method, said).rows("tasks")
    tasks, unreadable = [], {}
    for row in rows:
        try:
            tasks.append(_task(row))
        except AnswerStrange as error:
            unreadable[row.number("id")] = error
    return TaskPage(
        tasks=tuple(tasks),
        unreadable=unreadable,
        rows=len(rows),
        last=rows[-1].number("id") if rows else 0,
        at=at,
    )


def _task(row: Row) -> PortalTask:
    clients = row.need("ufCrmTask")
    return PortalTask(
        id=row.number("id"),
        title=row.text("title"),
        status=row.number("status"),
        responsible=row.number("responsibleId"),
        deadline=row.moment("deadline"),
        # A task without links says [], false or null.
        clients=tuple(str(code) for code in clients) if isinstance(clients, list) else (),
    )
