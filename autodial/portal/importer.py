"""
From the portal to the store: tasks with their clients' phones, and staff with presence.

A poll asks for what has changed; now and then for everything. With each task its clients' phones
are asked for: who moves a deadline may have mended the number a moment before.
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

#: Tasks whose clients are asked for together: as many contacts as fit in one request.
TOGETHER = PAGE * BATCH_LIMIT
#: Tasks saved in one transaction.
CHUNK = 200
#: Ids that the dialler itself gives its calls.
OURS = re.compile(r"t\d+-\d+")
#: How the portal writes no.
NO = frozenset({"", "0", "n", "false", "нет"})
#: And what says yes where only a yes will do; or the day on which it was said.
YES = frozenset({"1", "y", "yes", "true", "да"})
#: Tasks of which a person has said "dial it", asked for together.
AT_ONCE = 20
#: How long the tree of departments is believed, and an event log that cannot be read left alone.
SELDOM = timedelta(hours=1)
#: And after passing trouble with what nothing depends on.
SOON = timedelta(minutes=5)
#: A poll for changes looks back to a little before the last one began, by the portal's clock.
OVERLAP = timedelta(minutes=2)


#: Who stands behind each CRM code; None: we may not see it.
Clients = Mapping[str, tuple[Client, ...] | None]


def final(error: PortalError) -> bool:
    """Will asking again soon not help?"""
    return isinstance(error, PortalRefused | AnswerStrange)


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
    _refreshed: dict[int, datetime] = field(factory=dict, init=False)
    _staff_query: tuple[datetime, StaffQuery] | None = field(default=None, init=False)
    _group: int | None = field(default=None, init=False)  #: of the call tasks
    _no_external_calls_until: datetime | None = field(default=None, init=False)
    _heard: int | None = field(default=None, init=False)  #: last row of the portal's statistics
    _logins_read: int | None = field(default=None, init=False)  #: the last entry of the event log
    _no_logins_until: datetime | None = field(default=None, init=False)
    _walked: datetime | None = field(default=None, init=False)  #: the last whole walk
    _read: datetime | None = field(default=None, init=False)  #: last poll, by the portal's clock
    _read_next: datetime | None = field(default=None, init=False)
    _without_id: int = field(default=0, init=False)  #: rows of this read without a task's number
    _expected: int | None = field(default=None, init=False)  #: open tasks at the last whole walk
    _complaints: frozenset[str] = field(default=frozenset(), init=False)
    #: Keys of [rules] and kinds of clients, complained of.
    _without_field: set[tuple[str, str]] = field(factory=set, init=False)
    _tells_tags: bool | None = field(default=None, init=False)  #: does the portal? None: not known
    _without_tags: bool = field(default=False, init=False)  #: complained of
    _trusts: str = field(default="", init=False)  #: what was read by this fingerprint
    _next_config: Config | None = field(default=None, init=False)  #: from the next poll on
    seen: datetime | None = field(default=None, init=False)  #: the last import that succeeded

    def use(self, config: Config) -> None:
        """
        From the next poll on this is the configuration. If it says otherwise what is read of the
        portal, all is read anew, and nobody is called until that is done.
        """
        self._next_config = config
        if self.config.reading != config.reading:
            self.seen = None

    def _take_next_config(self) -> None:
        """Not while a poll is under way: what it reads, it reads by one configuration."""
        if self._next_config is None:
            return
        old, self.config = self.config, self._next_config
        self._next_config = None
        self._no_external_calls_until = None
        if old.staff != self.config.staff:  # else the numbers of its names are still right
            self._staff_query = None
        if old.tasks != self.config.tasks:
            self._group = None
        self._complaints, self._without_field = frozenset(), set()
        if old.reading != self.config.reading:
            self.seen = self._walked = self._read = self._tells_tags = None
            self._without_tags = False

    async def restore(self) -> None:
        """After a start: what the portal said before is better than nothing."""
        self.roster.set_staff(await self.store.run(presence.load_staff))
        # What was read under other rules may lack what the new ones ask for.
        read = await self.store.run(flags.last, flags.READ_WITH + self.config.reading)
        self.seen = await self.store.run(flags.last, flags.PORTAL_SEEN) if read else None
        if self.seen is not None:
            self._expected = await self.store.run(open_count)
        self._heard = await self.store.run(mark)
        await self.store.run(look_again, self.now())

    async def poll(self) -> None:
        """Import what is new; passing trouble is logged and left to the next turn."""
        self._take_next_config()
        try:
            for step in (self._staff, self._talks, self._tasks):
                try:
                    await step()
                except AnswerStrange as error:  # what we know stays, and the others go on
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
        people = await self.portal.staff(await self._whom())
        ids = [person.id for person in people]
        await self._logins(frozenset(ids))
        try:
            there = await self.portal.presence(ids, working_day=staff.working_day != "ignore")
        except AnswerStrange as error:
            if staff.working_day == "require":
                raise
            self.log.error("no working days from the portal: {error}", error=error)
            there = await self.portal.presence(ids, working_day=False)
        rows = await self.store.run(presence.save_staff, people, there, now, staff.presence)
        self.roster.set_staff(rows)
        await self.save_phones()
        await self._complain()

    async def _whom(self) -> StaffQuery:
        """Who is staff, by numbers, with the departments below the ones named."""
        if self._staff_query is None or self.now() - self._staff_query[0] > SELDOM:
            try:
                query = await self.portal.named(self.config.staff.query)
            except PortalRefused as error:
                if self._staff_query is None or isinstance(error, PortalDenied):
                    raise
                # Renamed, or out of our sight: who was staff is, until somebody mends the name.
                self.log.error("[staff] {error}", error=error)
                return self._staff_query[1]
            if query.departments:
                query = StaffQuery(departments=await self.portal.with_below(query.departments))
            self._staff_query = (self.now(), query)
        return self._staff_query[1]

    async def _which(self) -> TaskQuery:
        """Which tasks are call tasks, their group by its number."""
        query = self.config.query
        if self._group is None:
            self._group = await self.portal.group_number(query.group)
        return evolve(query, group=self._group)

    async def _logins(self, staff: frozenset[int]) -> None:
        """True login and logout times, where the portal has them; nothing depends on them."""
        now = self.now()
        if not self.config.staff.logins or (self._no_logins_until or now) > now:
            return
        if self._logins_read is None:
            self._logins_read = await self.store.run(presence.login_mark)
        try:
            found, self._logins_read = await self.portal.logins_since(self._logins_read)
        except PortalError as error:
            # Nothing depends on them: the tasks are still to be read.
            self.log.info("no logins and logouts from the portal: {error}", error=error)
            self._no_logins_until = now + (SELDOM if final(error) else SOON)
            if final(error):
                await self.store.run(presence.forget_logins)
            return
        mine = [event for event in found if event.user in staff]  # the log is the whole company's
        await self.store.run(presence.save_logins, mine, now)

    async def _talks(self) -> None:
        """Talks that others had with our clients, where we may see them."""
        now = self.now()
        if not self.config.client.external_calls or (self._no_external_calls_until or now) > now:
            return
        try:
            found, last = await self.portal.talks_since(self._heard)
        except PortalError as error:
            self.log.info("no talks of others from the portal: {error}", error=error)
            self._no_external_calls_until = now + (SELDOM if final(error) else SOON)
            return
        self._heard = last
        others = [talk for talk in found if not OURS.fullmatch(talk.external)]
        region = self.config.phones.region
        numbers = [(talk, e164(talk.number, region)) for talk in others]
        heard = [
            ExternalCall(t.id, number, t.at, t.user, t.entity)
            for t, number in numbers
            if number is not None
        ]
        if heard:
            count = await self.store.run(save_external_calls, heard, now)
            self.log.info("{heard} talks of others, {count} tasks", heard=len(heard), count=count)

    async def save_phones(self) -> None:
        """What Asterisk says of the operators' phones, for people who ask the store."""
        await self.store.run(presence.save_phones, self.roster.phones())

    async def _complain(self) -> None:
        """Name what is wrong with the staff's phones, once, and again when it changes."""
        lines = await self.store.run(views.operator_lines)
        wrong = conflicts(lines)
        said = frozenset(
            f"{line.name} ({line.extension or '-'}): {', '.join(wrong[line.id])}"
            for line in lines
            if line.id in wrong
        )
        for complaint in sorted(said - self._complaints):
            self.log.warn("operator {complaint}", complaint=complaint)
        self._complaints = said

    async def _tasks(self) -> None:
        asked = self.now()
        whole = self._walked is None or asked - self._walked >= self.config.portal.walk
        query = await self._which()
        if whole:
            await self._mistrust_what_was_read_otherwise()
        if whole or self._read is None:
            whole = True
            pages = self.portal.open_tasks(query, self._expected)
        else:
            # What we took for our own hand while it was doubtful is looked at again.
            doubt = self.config.portal.executes_within + self.config.portal.poll
            pages = self.portal.changed_tasks(query, self._read - OVERLAP - doubt)
        if (whole or self._tells_tags is None) and query.tags and not query.tag:
            # Of tasks that a tag has chosen each row shows it; here they are asked for.
            self._tells_tags = await self.portal.tells_tags(self.config.telling_tags)
        self._read_next = None
        self._without_id = 0
        present, changed, responsible = await self._take_over(pages, asked)
        self._read = self._read_next
        # What was read again since we asked is known better than by this answer.
        newer = {number for number, at in self._refreshed.items() if at > asked}
        if whole:
            if not self._without_id:  # else one of those that are missing may be there
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

    async def _mistrust_what_was_read_otherwise(self) -> None:
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
        """Page by page, so that no more than a few of them are ever held."""
        present: set[int] = set()
        responsible: dict[TaskId, OperatorId] = {}
        changed = 0
        waiting: list[PortalTask] = []
        async for page in pages:
            self._read_next = self._read_next or page.at
            # A damaged answer about one task: it is there, and what we knew of it stays.
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
        clients = await self._ask_for_clients({code for task in wanted for code in task.clients})
        changed = 0
        # In small transactions: claims and results wait for no more than one of them.
        for start in range(0, len(wanted), CHUNK):
            # (Some may have been read again while their clients were asked for.)
            some = [t for t in wanted[start : start + CHUNK] if self._is_fresh(t.id, asked)]
            found = [self._imported(task, clients) for task in some]
            late = self.config.portal.executes_within
            changed += await self.store.run(save_tasks, found, self.now(), asked=asked, late=late)
        closed = [task.id for task in fresh if not task.open]
        if closed:
            changed += await self.store.run(close_these, closed, self.now())
        responsible |= {TaskId(task.id): OperatorId(task.responsible) for task in wanted}
        return changed

    def _is_fresh(self, task: int, asked: datetime) -> bool:
        """Was it not read again since ``asked``?"""
        return self._refreshed.get(task, asked) <= asked

    async def refresh(self, task_id: TaskId) -> CallTask | None:
        """One task again, while its client's phone rings; None if the portal cannot say."""
        asked = self.now()
        self._refreshed[task_id] = asked
        try:
            query = self.config.query
            task = await self.portal.task(task_id, query.fields, chosen_by=query.tag or "")
        except PortalError as error:
            self.log.info("task {task} not refreshed: {error}", task=task_id, error=error)
            self._refreshed.pop(task_id, None)  # the poll under way knows better after all
            return None
        found = self._bare(task) if task is not None and task.open else None
        late = self.config.portal.executes_within
        await self.store.run(save_one, found, task_id, self.now(), asked=asked, late=late)
        return await self.store.run(load_task, task_id)

    async def refetch(self) -> None:
        """
        A person has said "dial it": the task and its clients' phones and marks are asked for again
        first. If the portal cannot say, what is known is dialled, unless a silent portal stops us.
        """
        which = await self.store.run(to_refetch, AT_ONCE)
        for number in which:
            try:
                await self._read_again(number)
            except (PortalUnavailable, PortalDenied) as error:
                self.log.warn("task {task} is not read again: {error}", task=number, error=error)
                if self.config.portal.when_silent == "continue":
                    await self.store.run(refetched, which, self.now())  # none waits for the others
                return
            except PortalError as error:
                self.log.error("task {task} is not read again: {error}", task=number, error=error)
            await self.store.run(refetched, [number], self.now())

    async def _read_again(self, number: int) -> None:
        asked = self.now()
        self._refreshed[number] = asked  # a poll under way knows less
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

    async def _ask_for_clients(self, codes: set[str]) -> Clients:
        found = await self.portal.clients(codes, self.config.client_fields) if codes else {}
        unseen = sorted(code for code in codes if found.get(code, ()) is None)
        if unseen:
            self.log.error(
                "the portal does not show who is behind {codes}; tasks with them keep the numbers"
                " they had",
                codes=", ".join(unseen[:10]) + (" …" if len(unseen) > 10 else ""),
            )
        return found

    def _imported(self, task: PortalTask, found: Clients) -> Imported:
        behind = [found.get(code, ()) for code in task.clients]
        if None in behind:
            return self._bare(task)
        entries = [
            self._entry(client, phone)
            for clients in behind
            for client in clients or ()
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
        """Does his field say that he is not to be called? If he has none, nobody can say: yes."""
        if not self.config.rules.do_not_call_field:
            return False
        said = self._said(client, "do_not_call_field", self.config.rules.do_not_call_field)
        return said is None or said.lower() not in NO

    def _without_consent(self, client: Client) -> bool:
        """Is consent asked for, and his field does not clearly say that he has given it?"""
        rules = self.config.rules
        if not rules.consent_field:
            return False
        said = (self._said(client, "consent_field", rules.consent_field) or "").strip()
        if rules.consent_value:
            return said != rules.consent_value
        return said.lower() not in YES and not self._has_passed(said)

    def _has_passed(self, text: str) -> bool:
        """A day, as the portal writes one, that is not to come; with its time or without."""
        day = re.fullmatch(r"(\d{4}-\d\d-\d\d|\d\d\.\d\d\.\d{4})([T ][\d:+.-]+)?", text)
        if day is None:
            return False
        try:
            form = "%d.%m.%Y" if "." in day[1] else "%Y-%m-%d"
            said = datetime.strptime(day[1], form).replace(tzinfo=UTC)
        except ValueError:
            return False
        return said.date() <= self.now().date()

    def _said(self, client: Client, key: str, name: str) -> str | None:
        """What his field says; None, with a complaint: his kind of client has no such field."""
        said = client.fields.get(name)
        if said is None and (key, client.entity_type) not in self._without_field:
            self._without_field.add((key, client.entity_type))
            self.log.error(
                "[rules] {key}: the portal's {entity} has no {name}, so nobody of them is called;"
                " correct the name, or add the field in the CRM",
                key=key,
                entity=client.entity_type,
                name=name,
            )
        return said

    def _bare(self, task: PortalTask) -> Imported:
        """A task with what its tags and fields say, and without its phones."""
        forbidden = self.config.rules.do_not_call_tag.lower()
        tags = task.tags if self._tells_tags is not False else None
        if tags is None and self.config.query.tags and not self._without_tags:
            self._without_tags = True
            self.log.error(
                "the portal does not tell its tasks' tags, so what [rules] do_not_call_tag and"
                " [[purposes]] tag say of a task cannot be seen, and none is called: use a field of"
                " the task, or select the call tasks by another tag or group"
            )
        known = tags or frozenset()
        purpose = next((p for p in self.config.purposes if p.means(known, task.fields)), None)
        named = task.fields.get(self.config.staff.deputies_field, ())
        return Imported(
            task,
            None,
            purpose=purpose.name if purpose else "",
            needs_confirmation=purpose is not None and self.config.needs_confirmation(purpose),
            do_not_call=(bool(forbidden) and forbidden in known)
            or (tags is None and self.config.query.tags),
            deputies=tuple(int(user) for user in named if re.fullmatch("[0-9]{1,15}", user)),
        )
