"""
The importer: tasks with their clients' phones, and staff with presence, from portal to store.

A poll requests what has changed, and at intervals everything. With each task its clients' phones
are requested: a person who moves a deadline may have corrected the number just before.
"""

import re
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime, timedelta

from attrs import define, evolve, field
from twisted.logger import Logger

from autodial.config.settings import Config
from autodial.engine.operators import Roster
from autodial.model.ids import OperatorId, TaskId
from autodial.model.task import CallTask
from autodial.rules.extension_conflicts import conflicts
from autodial.rules.phone_fields import Entry
from autodial.rules.phone_numbers import dialable, e164
from autodial.store import flags, presence, views
from autodial.store.database import Store
from autodial.store.external_calls import ExternalCall, mark, save_external_calls
from autodial.store.planning import load_task, look_again
from autodial.store.tasks import (
    Imported,
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
    Client,
    Portal,
    PortalDenied,
    PortalError,
    PortalRefused,
    PortalTask,
    PortalUnavailable,
    StaffQuery,
    TaskPage,
    TaskQuery,
)
from bitrix24.values import Phone as PortalPhone
from bitrix24.wire import BATCH_LIMIT, PAGE

#: Tasks whose clients are requested together: as many contacts as fit in one request.
TOGETHER = PAGE * BATCH_LIMIT
#: Tasks saved in one transaction.
CHUNK = 200
#: External ids of the dialler's own calls.
OURS = re.compile(r"t\d+-\d+")
#: Field values that mean no.
NO = frozenset({"", "0", "n", "false", "нет"})
#: Field values that mean yes where an explicit yes is needed; the date of the consent also counts.
YES = frozenset({"1", "y", "yes", "true", "да"})
#: Confirmed tasks that are requested together.
AT_ONCE = 20
#: How long the tree of departments is cached, and an unreadable event log is not requested again.
SELDOM = timedelta(hours=1)
#: Pause after a temporary failure of an optional source.
SOON = timedelta(minutes=5)
#: A poll for changes starts this long before the start of the last one, by the portal's clock.
OVERLAP = timedelta(minutes=2)


#: The clients of each CRM code; None: we have no right to read it.
Clients = Mapping[str, tuple[Client, ...] | None]


def final(error: PortalError) -> bool:
    """Is a retry soon pointless?"""
    return isinstance(error, PortalRefused | AnswerStrange)


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
    _refreshed: dict[int, datetime] = field(factory=dict, init=False)
    _staff_query: tuple[datetime, StaffQuery] | None = field(default=None, init=False)
    _group: int | None = field(default=None, init=False)  #: of the call tasks
    _no_external_calls_until: datetime | None = field(default=None, init=False)
    _calls_read: int | None = field(default=None, init=False)  #: last row of call statistics
    _logins_read: int | None = field(default=None, init=False)  #: the last entry of the event log
    _no_logins_until: datetime | None = field(default=None, init=False)
    _walked: datetime | None = field(default=None, init=False)  #: the last whole walk
    _read: datetime | None = field(default=None, init=False)  #: last poll, by the portal's clock
    _read_next: datetime | None = field(default=None, init=False)
    _without_id: int = field(default=0, init=False)  #: rows of this read without a task's number
    _expected: int | None = field(default=None, init=False)  #: open tasks at the last whole walk
    _complaints: frozenset[str] = field(default=frozenset(), init=False)
    #: Keys of [rules] and client types for which a missing field is logged.
    _without_field: set[tuple[str, str]] = field(factory=set, init=False)
    #: Does the portal return tags? None: not known.
    _tells_tags: bool | None = field(default=None, init=False)
    _without_tags: bool = field(default=False, init=False)  #: that is logged
    #: The fingerprint under which stored values are valid.
    _trusts: str = field(default="", init=False)
    _next_config: Config | None = field(default=None, init=False)  #: from the next poll on
    seen: datetime | None = field(default=None, init=False)  #: the last import that succeeded

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
        self._no_external_calls_until = None
        if old.staff != self.config.staff:  # else the ids of its names are still right
            self._staff_query = None
        if old.tasks != self.config.tasks:
            self._group = None
        self._complaints, self._without_field = frozenset(), set()
        if old.reading != self.config.reading:
            self.seen = self._walked = self._read = self._tells_tags = None
            self._without_tags = False

    async def restore(self) -> None:
        """After a start: use what the portal returned before."""
        self.roster.set_staff(await self.store.run(presence.load_staff))
        # Values read under other rules may lack what the new rules need.
        read = await self.store.run(flags.last, flags.READ_WITH + self.config.reading)
        self.seen = await self.store.run(flags.last, flags.PORTAL_SEEN) if read else None
        if self.seen is not None:
            self._expected = await self.store.run(open_count)
        self._calls_read = await self.store.run(mark)
        await self.store.run(look_again, self.now())

    async def poll(self) -> None:
        """Import what is new; a temporary failure is logged, and the next turn tries again."""
        self._take_next_config()
        try:
            for step in (self._staff, self._external_calls, self._tasks):
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

    async def _staff(self) -> None:
        staff, now = self.config.staff, self.now()
        people = await self.portal.staff(await self._resolved_staff_query())
        ids = [person.id for person in people]
        await self._logins(frozenset(ids))
        try:
            present = await self.portal.presence(ids, working_day=staff.working_day != "ignore")
        except AnswerStrange as error:
            if staff.working_day == "require":
                raise
            self.log.error("no working days from the portal: {error}", error=error)
            present = await self.portal.presence(ids, working_day=False)
        rows = await self.store.run(presence.save_staff, people, present, now, staff.presence)
        self.roster.set_staff(rows)
        await self.save_phones()
        await self._complain()

    async def _resolved_staff_query(self) -> StaffQuery:
        """Who is staff, by ids, including the departments below the named ones."""
        if self._staff_query is None or self.now() - self._staff_query[0] > SELDOM:
            try:
                query = await self.portal.named(self.config.staff.query)
            except PortalRefused as error:
                if self._staff_query is None or isinstance(error, PortalDenied):
                    raise
                # Renamed, or not readable: the staff stays until the name is corrected.
                self.log.error("[staff] {error}", error=error)
                return self._staff_query[1]
            if query.departments:
                query = StaffQuery(departments=await self.portal.with_below(query.departments))
            self._staff_query = (self.now(), query)
        return self._staff_query[1]

    async def _resolved_task_query(self) -> TaskQuery:
        """Which tasks are call tasks, with their group by its id."""
        query = self.config.query
        if self._group is None:
            self._group = await self.portal.group_number(query.group)
        return evolve(query, group=self._group)

    async def _logins(self, staff: frozenset[int]) -> None:
        """Exact login and logout times, where the portal has them; nothing depends on them."""
        now = self.now()
        if not self.config.staff.logins or (self._no_logins_until or now) > now:
            return
        if self._logins_read is None:
            self._logins_read = await self.store.run(presence.login_mark)
        try:
            events, self._logins_read = await self.portal.logins_since(self._logins_read)
        except PortalError as error:
            # Nothing depends on them: go on and read the tasks.
            self.log.info("no logins and logouts from the portal: {error}", error=error)
            self._no_logins_until = now + (SELDOM if final(error) else SOON)
            if final(error):
                await self.store.run(presence.forget_logins)
            return
        # The log is of the whole company.
        logins = [event for event in events if event.user in staff]
        await self.store.run(presence.save_logins, logins, now)

    async def _external_calls(self) -> None:
        """External calls with our clients, where we have the right to read them."""
        now = self.now()
        if not self.config.client.external_calls or (self._no_external_calls_until or now) > now:
            return
        try:
            talks, last = await self.portal.talks_since(self._calls_read)
        except PortalError as error:
            self.log.info("no external calls from the portal: {error}", error=error)
            self._no_external_calls_until = now + (SELDOM if final(error) else SOON)
            return
        self._calls_read = last
        external = [talk for talk in talks if not OURS.fullmatch(talk.external)]
        region = self.config.phones.region
        numbers = [(talk, e164(talk.number, region)) for talk in external]
        calls = [
            ExternalCall(t.id, number, t.at, t.user, t.entity)
            for t, number in numbers
            if number is not None
        ]
        if calls:
            count = await self.store.run(save_external_calls, calls, now)
            self.log.info("{calls} external calls, {count} tasks", calls=len(calls), count=count)

    async def save_phones(self) -> None:
        """Store the device states of the operators' phones, for the commands."""
        await self.store.run(presence.save_phones, self.roster.phones())

    async def _complain(self) -> None:
        """Log what is wrong with the staff's phones, once, and again when it changes."""
        lines = await self.store.run(views.operator_lines)
        wrong = conflicts(lines)
        complaints = frozenset(
            f"{line.name} ({line.extension or '-'}): {', '.join(wrong[line.id])}"
            for line in lines
            if line.id in wrong
        )
        for complaint in sorted(complaints - self._complaints):
            self.log.warn("operator {complaint}", complaint=complaint)
        self._complaints = complaints

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
                changed += await self.store.run(close_others, present | newer, self.now())
            self._expected = len(present)
            self._walked = asked
        self._refreshed = {number: self._refreshed[number] for number in newer}
        await self.store.run(flags.clear_all, flags.READ_WITH)
        read_with = flags.READ_WITH + self.config.reading
        await self.store.run(flags.mark, self.now(), flags.PORTAL_SEEN, read_with)
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
        if await self.store.run(flags.last, flags.READ_WITH + reading) is None:
            asked = bool(rules.consent_field), bool(rules.do_not_call_field)
            await self.store.run(mistrust, consent=asked[0], do_not_call=asked[1])
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
            rows = [self._imported(task, clients) for task in some]
            late = self.config.portal.executes_within
            changed += await self.store.run(save_tasks, rows, self.now(), asked=asked, late=late)
        closed = [task.id for task in fresh if not task.open]
        if closed:
            changed += await self.store.run(close_these, closed, self.now())
        responsible |= {TaskId(task.id): OperatorId(task.responsible) for task in wanted}
        return changed

    def _is_fresh(self, task: int, asked: datetime) -> bool:
        """Was it not read again since ``asked``?"""
        return self._refreshed.get(task, asked) <= asked

    async def refresh(self, task_id: TaskId) -> CallTask | None:
        """Read one task again while its client's phone rings; None: the portal gave no answer."""
        asked = self.now()
        self._refreshed[task_id] = asked
        try:
            query = self.config.query
            task = await self.portal.task(task_id, query.fields, chosen_by=query.tag or "")
        except PortalError as error:
            self.log.info("task {task} not refreshed: {error}", task=task_id, error=error)
            self._refreshed.pop(task_id, None)  # the answer of the current poll counts
            return None
        row = self._bare(task) if task is not None and task.open else None
        late = self.config.portal.executes_within
        await self.store.run(save_one, row, task_id, self.now(), asked=asked, late=late)
        return await self.store.run(load_task, task_id)

    async def refetch(self) -> None:
        """
        Read confirmed tasks, their clients' phones and marks again before they are dialled. If the
        portal does not answer, stored values are used, unless [portal] when_silent stops dialling.
        """
        numbers = await self.store.run(to_refetch, AT_ONCE)
        for number in numbers:
            try:
                await self._read_again(number)
            except (PortalUnavailable, PortalDenied) as error:
                self.log.warn("task {task} is not read again: {error}", task=number, error=error)
                if self.config.portal.when_silent == "continue":
                    await self.store.run(refetched, numbers, self.now())  # all at once, no waiting
                return
            except PortalError as error:
                self.log.error("task {task} is not read again: {error}", task=number, error=error)
            await self.store.run(refetched, [number], self.now())

    async def _read_again(self, number: int) -> None:
        asked = self.now()
        self._refreshed[number] = asked  # newer than the current poll
        try:
            query = self.config.query
            task = await self.portal.task(number, query.fields, chosen_by=query.tag or "")
            if task is None or not task.open:
                await self.store.run(close_these, [number], self.now())
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

    def _imported(self, task: PortalTask, clients: Clients) -> Imported:
        by_code = [clients.get(code, ()) for code in task.clients]
        if None in by_code:
            return self._bare(task)
        entries = [
            self._entry(client, phone)
            for clients_of_code in by_code
            for client in clients_of_code or ()
            for phone in client.phones
        ]
        phones, refused = dialable(entries, self.config.phones.rules)
        return evolve(self._bare(task), phones=phones, refused=refused)

    def _entry(self, client: Client, phone: PortalPhone) -> Entry:
        zone = client.fields.get(self.config.client.zone_field, "")
        return Entry(
            phone.value, phone.kind, client.name, client.entity_type, client.entity_id, zone,
            self._forbidden(client), self._without_consent(client),
        )  # fmt: skip

    def _forbidden(self, client: Client) -> bool:
        """Does the client's field forbid calls? Without the field that is unknown: yes."""
        if not self.config.rules.do_not_call_field:
            return False
        value = self._value(client, "do_not_call_field", self.config.rules.do_not_call_field)
        return value is None or value.lower() not in NO

    def _without_consent(self, client: Client) -> bool:
        """Is consent required, and the client's field does not clearly show it?"""
        rules = self.config.rules
        if not rules.consent_field:
            return False
        value = (self._value(client, "consent_field", rules.consent_field) or "").strip()
        if rules.consent_value:
            return value != rules.consent_value
        return value.lower() not in YES and not self._has_passed(value)

    def _has_passed(self, text: str) -> bool:
        """A date in the portal's format, with or without a time, that is not in the future."""
        day = re.fullmatch(r"(\d{4}-\d\d-\d\d|\d\d\.\d\d\.\d{4})([T ][\d:+.-]+)?", text)
        if day is None:
            return False
        try:
            form = "%d.%m.%Y" if "." in day[1] else "%Y-%m-%d"
            moment = datetime.strptime(day[1], form).replace(tzinfo=UTC)
        except ValueError:
            return False
        return moment.date() <= self.now().date()

    def _value(self, client: Client, key: str, name: str) -> str | None:
        """The client's field; None, with a log line: this type of client has no such field."""
        value = client.fields.get(name)
        if value is None and (key, client.entity_type) not in self._without_field:
            self._without_field.add((key, client.entity_type))
            self.log.error(
                "[rules] {key}: the portal's {entity} has no {name}, so none of them is called;"
                " correct the name, or add the field in the CRM",
                key=key,
                entity=client.entity_type,
                name=name,
            )
        return value

    def _bare(self, task: PortalTask) -> Imported:
        """A task with the values of its tags and fields, without its phones."""
        forbidden = self.config.rules.do_not_call_tag.lower()
        tags = task.tags if self._tells_tags is not False else None
        if tags is None and self.config.query.tags and not self._without_tags:
            self._without_tags = True
            self.log.error(
                "the portal does not tell its tasks' tags, so [rules] do_not_call_tag and"
                " [[purposes]] tag cannot be checked, and no task is called: use a field of the"
                " task, or select the call tasks by another tag or group"
            )
        known = tags or frozenset()
        purpose = next((p for p in self.config.purposes if p.means(known, task.fields)), None)
        deputies = task.fields.get(self.config.staff.deputies_field, ())
        return Imported(
            task,
            None,
            purpose=purpose.name if purpose else "",
            needs_confirmation=purpose is not None and self.config.needs_confirmation(purpose),
            do_not_call=(bool(forbidden) and forbidden in known)
            or (tags is None and self.config.query.tags),
            deputies=tuple(int(user) for user in deputies if re.fullmatch("[0-9]{1,15}", user)),
        )
