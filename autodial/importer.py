"""
From the portal to the store: tasks with their clients' phones, and staff with presence.

A poll is three to five requests for any 50 tasks. Phones are asked for again only after a while:
a contact's number changes seldom, a task's deadline often.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta

from attrs import define, field
from twisted.logger import Logger

from autodial.config import Config
from autodial.model import CallTask, OperatorId, Phone, TaskId
from autodial.phones import Entry, dialable
from autodial.roster import Roster
from autodial.store.database import Store
from autodial.store.tasks import (
    Imported,
    close_others,
    load_staff,
    load_task,
    look_again,
    portal_seen,
    save_one,
    save_staff,
    save_tasks,
)
from bitrix24 import Client, Portal, PortalError, PortalTask, PortalUnavailable

#: Tasks saved in one transaction.
CHUNK = 200
#: How long a client's phones are believed without asking again.
FRESH = timedelta(minutes=10)


@define(eq=False)
class Importer:
    """Polls one portal. ``on_change`` is told after each import who is responsible for what."""

    log = Logger()

    config: Config
    portal: Portal
    store: Store
    roster: Roster
    now: Callable[[], datetime]
    on_change: Callable[[Mapping[TaskId, OperatorId]], None]
    _clients: dict[str, tuple[datetime, tuple[Client, ...]]] = field(factory=dict, init=False)
    _refreshed: dict[int, datetime] = field(factory=dict, init=False)
    seen: datetime | None = field(default=None, init=False)  #: the last whole import

    async def restore(self) -> None:
        """After a start: what the portal said before is better than nothing."""
        self.roster.set_staff(await self.store.run(load_staff))
        self.seen = await self.store.run(portal_seen)
        await self.store.run(look_again, self.now())

    async def poll(self) -> None:
        """Import everything; passing trouble is logged and left to the next turn."""
        try:
            await self._poll()
        except PortalUnavailable as error:
            self.log.warn("portal out of reach: {error}", error=error)
        except PortalError as error:
            self.log.error("the portal refuses us: {error}", error=error)

    async def _poll(self) -> None:
        staff = self.config.staff
        people = await self.portal.staff(departments=staff.departments, group=staff.group)
        rows = await self.store.run(save_staff, people, self.now(), staff.active_within)
        self.roster.set_staff(rows)
        asked = self.now()
        tasks = await self.portal.open_tasks(self.config.tasks.query)
        await self._ask_for_clients(code for task in tasks for code in task.clients)
        present = {task.id for task in tasks}
        changed = 0
        # In small transactions: claims and results wait for no more than one of them.
        for start in range(0, len(tasks), CHUNK):
            found = [
                Imported(task, self._phones(task))
                for task in tasks[start : start + CHUNK]
                if self._refreshed.get(task.id, asked) <= asked
            ]
            changed += await self.store.run(save_tasks, found, self.now(), asked=asked)
        # What was read again since we asked is known better than by this answer.
        newer = {number for number, at in self._refreshed.items() if at > asked}
        changed += await self.store.run(close_others, present | newer, self.now())
        self._refreshed = {number: self._refreshed[number] for number in newer}
        self.seen = self.now()
        tell = self.log.info if changed else self.log.debug
        tell(
            "portal: {tasks} call tasks, {changed} new or changed, {people} operators",
            tasks=len(tasks),
            changed=changed,
            people=len(rows),
        )
        self.on_change({TaskId(task.id): OperatorId(task.responsible) for task in tasks})

    async def refresh(self, task_id: TaskId) -> CallTask | None:
        """One task again, while its client's phone rings; None if the portal cannot say."""
        asked = self.now()
        self._refreshed[task_id] = asked
        try:
            task = await self.portal.task(task_id)
        except PortalError as error:
            self.log.info("task {task} not refreshed: {error}", task=task_id, error=error)
            return None
        found = Imported(task, None) if task is not None and task.open else None
        await self.store.run(save_one, found, task_id, self.now(), asked=asked)
        return await self.store.run(load_task, task_id)

    async def _ask_for_clients(self, codes: Iterable[str]) -> None:
        now = self.now()
        stale = {
            code
            for code in codes
            if code not in self._clients or now - self._clients[code][0] > FRESH
        }
        if stale:
            found = await self.portal.clients(stale)
            self._clients |= {code: (now, found.get(code, ())) for code in stale}

    def _phones(self, task: PortalTask) -> tuple[Phone, ...]:
        entries = [
            Entry(phone.value, phone.kind, client.name, client.entity_type, client.entity_id)
            for code in task.clients
            for client in self._clients.get(code, (None, ()))[1]
            for phone in client.phones
        ]
        phones, refused = dialable(
            entries, region=self.config.phones.region, order=self.config.phones.order
        )
        for number in refused:
            self.log.debug(
                "task {task}: {value!r} refused: {reason}",
                task=task.id,
                value=number.value,
                reason=number.reason,
            )
        return phones
