"""
The importer: tasks with their clients' phones, and staff with presence, from portal to store.

A poll requests what has changed, and at intervals everything. With each task its clients' phones
are requested: a person who moves a deadline may have corrected the number just before.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import datetime, timedelta

from attrs import Factory, define, evolve, field
from twisted.logger import Logger

from autodial.config.settings import Config
from autodial.engine.operators import Roster
from autodial.model.ids import OperatorId, TaskId
from autodial.portal.external_calls_reader import ExternalCallsReader
from autodial.portal.staff_reader import StaffReader
from autodial.portal.task_rows import Clients, TaskRows
from autodial.store import flags, presence
from autodial.store.attempt_queries import responsible_in_flight
from autodial.store.database import Store
from autodial.store.nodes import Topic, tell_nodes
from autodial.store.planning import look_again
from autodial.store.tasks import (
    close_others,
    close_these,
    mistrust,
    open_count,
    refetched,
    save_one,
    save_tasks,
    to_refetch,
)
from bitrix24 import (
    AnswerStrange,
    Portal,
    PortalDenied,
    PortalError,
    PortalRefused,
    PortalTask,
    PortalUnavailable,
    TaskPage,
    TaskQuery,
)
from bitrix24.wire import BATCH_LIMIT, PAGE

#: Tasks whose clients are requested together: as many contacts as fit in one request.
TOGETHER = PAGE * BATCH_LIMIT
#: Tasks saved in one transaction.
CHUNK = 50
#: Confirmed tasks that are requested together.
AT_ONCE = 20
#: A poll for changes starts this long before the start of the last one, by the portal's clock.
OVERLAP = timedelta(minutes=2)


async def _at_once() -> None:
    pass


@define(eq=False)
class Importer:
    """Polls one portal. ``on_change`` gets each task's responsible operator after each import."""

    log = Logger()

    config: Config
    portal: Portal
    store: Store
    roster: Roster
    now: Callable[[], datetime]
    on_change: Callable[[Mapping[TaskId, OperatorId]], None]
    #: The same store, of the dialler that reads the portal for all that share it.
    for_all: Store = field(default=Factory(lambda self: self.store, takes_self=True))
    #: Lets others run for a moment: a whole walk has thousands of rows to read.
    breathe: Callable[[], Awaitable[None]] = _at_once
    _staff: StaffReader = field(init=False)
    _external_calls: ExternalCallsReader = field(init=False)
    _rows: TaskRows = field(init=False)
    _refreshed: dict[int, datetime] = field(factory=dict, init=False)
    _group: int | None = field(default=None, init=False)  #: of the call tasks
    _walked: datetime | None = field(default=None, init=False)  #: the last whole walk
    _read: datetime | None = field(default=None, init=False)  #: last poll, by the portal's clock
    _read_next: datetime | None = field(default=None, init=False)
    _without_id: int = field(default=0, init=False)  #: rows of this read without a task's number
    _expected: int | None = field(default=None, init=False)  #: open tasks at the last whole walk
    #: Does the portal return tags? None: not known.
    _tells_tags: bool | None = field(default=None, init=False)
    #: The fingerprint under which stored values are valid.
    _trusts: str = field(default="", init=False)
    _next_config: Config | None = field(default=None, init=False)  #: from the next poll on
    seen: datetime | None = field(default=None, init=False)  #: the last import that succeeded

    def __attrs_post_init__(self) -> None:
        config, portal, store, now = self.config, self.portal, self.for_all, self.now
        self._staff = StaffReader(config, portal, store, self.roster, now)
        self._external_calls = ExternalCallsReader(config, portal, store, now)
        self._rows = TaskRows(config, now)

    def use(self, config: Config) -> None:
        """
        Take over a new configuration from the next poll. If it changes what is read of the portal,
        everything is read again, and nobody is called until that is done.
        """
        self._next_config = config
        if self.config.reading != config.reading:
            self.seen = None

    def _take_next_config(self) -> None:
        """Only between polls: one poll reads by one configuration."""
        if self._next_config is None:
            return
        old, self.config = self.config, self._next_config
        self._next_config = None
        self._staff.use(self.config)
        self._external_calls.use(self.config)
        self._rows.use(self.config)
        if old.tasks != self.config.tasks:
            self._group = None
        if old.reading != self.config.reading:
            self.seen = self._walked = self._read = self._tells_tags = None

    async def restore(self) -> None:
        """After a start: use what the portal returned before."""
        self.roster.set_staff(await self.store.run(presence.load_staff))
        # Values read under other rules may lack what the new rules need.
        read = await self.store.run(flags.last, flags.READ_WITH + self.config.reading)
        self.seen = await self.store.run(flags.last, flags.PORTAL_SEEN) if read else None
        if self.seen is not None:
            self._expected = await self.store.run(open_count)
        await self._external_calls.restore()
        await self.store.run(look_again, self.now())

    async def follow(self) -> None:
        """What another dialler has read of the portal."""
        self._take_next_config()
        self.roster.set_staff(await self.store.run(presence.load_staff))
        read = await self.store.run(flags.last, flags.READ_WITH + self.config.reading)
        self.seen = await self.store.run(flags.last, flags.PORTAL_SEEN) if read else None
        self.on_change(await self.store.run(responsible_in_flight))

    async def poll(self) -> None:
        """Import what is new; a temporary failure is logged, and the next turn tries again."""
        self._take_next_config()
        try:
            for step in (self._staff.read, self._external_calls.read, self._tasks):
                try:
                    await step()
                except AnswerStrange as error:  # stored values stay, the other steps go on
                    self.log.error("the portal's answer cannot be read: {error}", error=error)
                except PortalDenied:
                    raise
                except PortalRefused as error:
                    self.log.error("the portal refuses: {error}", error=error)
        except PortalUnavailable as error:
            self.log.warn("portal out of reach: {error}", error=error)
        except PortalError as error:
            self.log.error("the portal refuses us: {error}", error=error)

    async def _resolved_task_query(self) -> TaskQuery:
        """Which tasks are call tasks, with their group by its id."""
        query = self.config.query
        if self._group is None:
            self._group = await self.portal.group_number(query.group)
        return evolve(query, group=self._group)

    async def _tasks(self) -> None:
        asked = self.now()
        whole = self._walked is None or asked - self._walked >= self.config.portal.walk
        query = await self._resolved_task_query()
        if whole:
            await self._mistrust_older_reading()
        if whole or self._read is None:
            whole = True
            pages = self.portal.open_tasks(query, self._expected)
        else:
            # A change taken for our own while that was doubtful is read again.
            doubt = self.config.portal.executes_within + self.config.portal.poll
            pages = self.portal.changed_tasks(query, self._read - OVERLAP - doubt)
        if (whole or self._tells_tags is None) and query.tags and not query.tag:
            # If a tag selects the tasks, each row shows it; otherwise tags are requested.
            self._tells_tags = await self.portal.tells_tags(self.config.telling_tags)
        self._read_next = None
        self._without_id = 0
        present, changed, responsible = await self._take_over(pages, asked)
        self._read = self._read_next
        # A task read again since the request is newer than this answer.
        newer = {number for number, at in self._refreshed.items() if at > asked}
        if whole:
            if not self._without_id:  # else a missing task may be among the unreadable rows
                changed += await self.for_all.run(close_others, present | newer, self.now())
            self._expected = len(present)
            self._walked = asked
        self._refreshed = {number: self._refreshed[number] for number in newer}
        await self.for_all.run(flags.clear_all, flags.READ_WITH)
        read_with = flags.READ_WITH + self.config.reading
        await self.for_all.run(flags.mark, self.now(), flags.PORTAL_SEEN, read_with)
        await self.for_all.run(tell_nodes, Topic.IMPORTED)
        if self._next_config is None or self._next_config.reading == self.config.reading:
            self.seen = self.now()
        tell = self.log.info if changed else self.log.debug
        tell(
            "portal: {tasks} call tasks {read}, {changed} new or changed, {people} operators",
            tasks=len(present),
            read="open" if whole else "touched lately",
            changed=changed,
            people=len(self.roster.operators()),
        )
        self.on_change(responsible)

    async def _mistrust_older_reading(self) -> None:
        reading, rules = self.config.reading, self.config.rules
        if self._trusts == reading:
            return
        if await self.for_all.run(flags.last, flags.READ_WITH + reading) is None:
            asked = bool(rules.consent_field), bool(rules.do_not_call_field)
            await self.for_all.run(mistrust, consent=asked[0], do_not_call=asked[1])
        self._trusts = reading

    async def _take_over(
        self, pages: AsyncIterator[TaskPage], asked: datetime
    ) -> tuple[set[int], int, dict[TaskId, OperatorId]]:
        """Page by page, so that only a few pages are in memory."""
        present: set[int] = set()
        responsible: dict[TaskId, OperatorId] = {}
        changed = 0
        waiting: list[PortalTask] = []
        async for page in pages:
            self._read_next = self._read_next or page.at
            # A damaged answer about one task: it exists, and its stored values stay.
            for number, error in page.unreadable.items():
                self.log.error("task {task} is left as it was: {error}", task=number, error=error)
            if page.without_id:
                self.log.error("{count} tasks of the portal cannot be read", count=page.without_id)
            self._without_id += page.without_id
            present |= {task.id for task in page.tasks} | set(page.unreadable)
            waiting += page.tasks
            await self.breathe()
            if len(waiting) + PAGE > TOGETHER:
                changed += await self._save(waiting, asked, responsible)
                waiting = []
        changed += await self._save(waiting, asked, responsible)
        return present, changed, responsible

    async def _save(
        self, tasks: list[PortalTask], asked: datetime, responsible: dict[TaskId, OperatorId]
    ) -> int:
        fresh = [task for task in tasks if self._is_fresh(task.id, asked)]
        wanted = [task for task in fresh if task.open]
        clients = await self._clients({code for task in wanted for code in task.clients})
        changed = 0
        # In small transactions: claims and results wait for one of them at most.
        for start in range(0, len(wanted), CHUNK):
            # (Some may have been read again while their clients were requested.)
            some = [t for t in wanted[start : start + CHUNK] if self._is_fresh(t.id, asked)]
            rows = [self._rows.imported(task, clients, tagged=self._tagged) for task in some]
            late = self.config.portal.executes_within
            changed += await self.for_all.run(save_tasks, rows, self.now(), asked=asked, late=late)
        closed = [task.id for task in fresh if not task.open]
        if closed:
            changed += await self.for_all.run(close_these, closed, self.now())
        responsible |= {TaskId(task.id): OperatorId(task.responsible) for task in wanted}
        return changed

    def _is_fresh(self, task: int, asked: datetime) -> bool:
        """Was it not read again since ``asked``?"""
        return self._refreshed.get(task, asked) <= asked

    async def refresh(self, task_id: TaskId) -> OperatorId | None:
        """
        Read one task again while its client's phone rings: its responsible operator. None: it is
        gone, or the portal gave no answer.
        """
        asked = self.now()
        self._refreshed[task_id] = asked
        try:
            query = self.config.query
            task = await self.portal.task(task_id, query.fields, chosen_by=query.tag or "")
        except PortalError as error:
            self.log.info("task {task} not refreshed: {error}", task=task_id, error=error)
            self._refreshed.pop(task_id, None)  # the answer of the current poll counts
            return None
        row = self._rows.bare(task, tagged=self._tagged) if task is not None and task.open else None
        late = self.config.portal.executes_within
        return await self.store.run(save_one, row, task_id, self.now(), asked=asked, late=late)

    async def refetch(self) -> None:
        """
        Read confirmed tasks, their clients' phones and marks again before they are dialled. If the
        portal does not answer, stored values are used, unless [portal] when_silent stops dialling.
        """
        numbers = await self.for_all.run(to_refetch, AT_ONCE)
        for number in numbers:
            try:
                await self._read_again(number)
            except (PortalUnavailable, PortalDenied) as error:
                self.log.warn("task {task} is not read again: {error}", task=number, error=error)
                if self.config.portal.when_silent == "continue":
                    await self.for_all.run(
                        refetched, numbers, self.now()
                    )  # all at once, no waiting
                return
            except PortalError as error:
                self.log.error("task {task} is not read again: {error}", task=number, error=error)
            await self.for_all.run(refetched, [number], self.now())

    async def _read_again(self, number: int) -> None:
        asked = self.now()
        self._refreshed[number] = asked  # newer than the current poll
        try:
            query = self.config.query
            task = await self.portal.task(number, query.fields, chosen_by=query.tag or "")
            if task is None or not task.open:
                await self.for_all.run(close_these, [number], self.now())
            else:
                await self._save([task], asked, {})
        except PortalError:
            self._refreshed.pop(number, None)
            raise

    async def _clients(self, codes: set[str]) -> Clients:
        clients = await self.portal.clients(codes, self.config.client_fields) if codes else {}
        unseen = sorted(code for code in codes if clients.get(code, ()) is None)
        if unseen:
            self.log.error(
                "the portal does not show who is behind {codes}; tasks with them keep their"
                " numbers",
                codes=", ".join(unseen[:10]) + (" …" if len(unseen) > 10 else ""),
            )
        return clients

    @property
    def _tagged(self) -> bool:
        """Does the portal return the tags of tasks, as far as is known?"""
        return self._tells_tags is not False

    async def save_phones(self) -> None:
        """Store the device states of the operators' phones, for the commands."""
        await self._staff.save_phones()
