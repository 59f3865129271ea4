"""
The reporter: pays what is owed to the portal, in the order it arose.

A debt is marked before it is sent, with the moment. After a crash or a lost answer a doubtful one
is verified first, so nothing is said twice; and not before the portal can no longer execute what we
have given up. Passing trouble stops the whole queue until later; a refusal parks one debt for a
person, and the queue goes on.
"""

import re
from collections.abc import Callable
from datetime import datetime, timedelta

from attrs import define, field
from twisted.logger import Logger

from autodial import texts
from autodial.config.settings import Config
from autodial.engine.operators import Roster
from autodial.model.ids import AttemptId, OperatorId
from autodial.model.outcome import effect
from autodial.portal.comments import comment
from autodial.portal.recordings import Recordings
from autodial.store import flags, outbox
from autodial.store.database import Store
from autodial.store.outbox import Debt, to_the_minute
from bitrix24 import (
    AnswerLost,
    AnswerStrange,
    MethodResting,
    Portal,
    PortalClosed,
    PortalDenied,
    PortalError,
    PortalRefused,
    PortalUnavailable,
    QuestionLost,
    TaskStatus,
)

#: Pauses after passing trouble, in seconds; the last one repeats.
PAUSES = (2.0, 5.0, 15.0, 60.0)

#: So many answers to one debt that we do not understand, and a debt is put aside for a person.
STRANGE = 5
#: A call's start may be this old when it is registered, so that a repetition is recognised.
KNOWN_AGAIN = timedelta(minutes=20)
#: And is not, once it is so old.
FORGOTTEN = timedelta(minutes=28)
#: The portal keeps its answer to a request with a key for 24 hours.
KEY_LIVES = timedelta(hours=23)
#: So many failed tries of one debt, and the portal is asked something else first: does it answer?
PATIENCE = 4
#: It does, and the debt fails again: it lets the others pass for so long; then a person must look.
DEFERRALS = (timedelta(minutes=10), timedelta(hours=1), timedelta(hours=6))

#: A registration is known again for half an hour only: it is tried again and again within it.
SOON = (timedelta(minutes=5),) * 8

#: Refusals that are not about one call.
FORBIDDEN = frozenset(
    {"insufficient_scope", "WRONG_AUTH_TYPE", "ACCESS_DENIED", "ERROR_METHOD_NOT_FOUND"}
)


@define(eq=False)
class Reporter:
    """Pays the debts of one dialler to one portal."""

    log = Logger()

    config: Config
    portal: Portal
    store: Store
    roster: Roster
    now: Callable[[], datetime]
    recordings: Recordings = field(init=False)
    not_before: datetime | None = field(default=None, init=False)
    stopping: bool = field(default=False, init=False)
    _troubles: int = field(default=0, init=False)
    #: Answers we did not understand, by debt; an outage of the portal is not counted here.
    _strange: dict[int, int] = field(factory=dict, init=False)
    #: Failed tries by debt, and how often it was put off for it.
    _failures: dict[int, int] = field(factory=dict, init=False)
    _set_aside: dict[int, int] = field(factory=dict, init=False)
    _portal_answers: bool = field(default=False, init=False)
    #: Lines of the pool that the portal has, and the call that each was named for, if it goes on.
    _named: dict[str, AttemptId | None] = field(factory=dict, init=False)
    _lines_ensured: set[str] = field(factory=set, init=False)
    _no_calls: bool = field(default=False, init=False)  #: complained of
    _knows_lines: bool = field(default=False, init=False)  #: those of before this process

    def __attrs_post_init__(self) -> None:
        self.recordings = Recordings(self.config.recording)

    def use(self, config: Config) -> None:
        """From now on this is the configuration."""
        self.config = config
        self.recordings = Recordings(config.recording)
        self._lines_ensured.clear()

    async def turn(self) -> None:
        """Pay until nothing is owed, or until the portal is in trouble."""
        if self.config.pace.shadow or (self.not_before and self.now() < self.not_before):
            return
        while not self.stopping:
            late = self.config.portal.executes_within
            debt = await self.store.run(outbox.next_debt, self.now(), late)
            if debt is None:
                return
            suspect = self._failures.get(debt.id, 0) >= PATIENCE
            if suspect and not await self._answers(debt):
                return
            try:
                await self._pay(debt)
            except (PortalError, ValueError) as error:
                if not await self._failed(debt, error, suspect=suspect):
                    return
            else:
                self._failures.pop(debt.id, None)
            self._troubles = 0

    async def _failed(self, debt: Debt, error: PortalError | ValueError, *, suspect: bool) -> bool:
        """What a failure means for this debt, and (True) whether the others go on."""
        match error:
            case QuestionLost():
                # Nothing was written; what was doubtful is as doubtful as before.
                await self.store.run(outbox.not_sent, debt)
            case AnswerLost():
                # stays "sending": doubtful, and that from now on
                await self.store.run(outbox.being_sent, debt, self.now())
            case PortalUnavailable() | PortalDenied():
                # Denied: not this debt is wrong but the webhook. All of them wait for a person.
                await self.store.run(outbox.not_sent, debt)
                if isinstance(error, PortalClosed) and not isinstance(error, MethodResting):
                    self._pause(error)  # of all, whichever it was that we were about to send
                    return False
            case AnswerStrange():
                # An answer of a shape that we do not know: perhaps of this debt alone.
                self._strange[debt.id] = self._strange.get(debt.id, 0) + 1
                if self._strange[debt.id] < STRANGE:
                    self._pause(error)
                    return False
                await self._park(debt, error)
                return True
            case _:
                await self._park(debt, error)
                return True
        return await self._put_aside(debt, error, suspect=suspect)

    async def _answers(self, debt: Debt) -> bool:
        """Does the portal answer anything at all? If not, this debt was not even sent."""
        try:
            await self.portal.answers()
        except PortalError as error:
            await self.store.run(outbox.not_sent, debt)
            self._pause(error)
            return False
        self._portal_answers = True
        return True

    async def _put_aside(self, debt: Debt, error: PortalError, *, suspect: bool) -> bool:
        """
        Count a failure. A debt that fails again and again, just after the portal has answered
        something else, lets the others pass (True), and is at last put aside for a person.
        """
        answered, self._portal_answers = self._portal_answers, False
        if not (suspect and answered) or isinstance(error, PortalDenied):
            self._failures[debt.id] = self._failures.get(debt.id, 0) + 1
            self._pause(error)
            return False
        times = self._set_aside.get(debt.id, 0)
        self._set_aside[debt.id] = times + 1
        self._failures.pop(debt.id, None)
        deferrals = SOON if debt.kind == "register" and debt.doubtful else DEFERRALS
        if times == len(deferrals):
            await self._park(debt, error)
        else:
            self.log.warn(
                "{attempt}: {kind} waits, the others go on: {error}",
                attempt=debt.attempt,
                kind=debt.kind,
                error=error,
            )
            await self.store.run(outbox.put_off, debt, self.now() + deferrals[times])
        return True

    async def _park(self, debt: Debt, error: Exception) -> None:
        self.log.error(
            "{attempt}: {kind} is put aside for a person: {error} (autodial outbox)",
            attempt=debt.attempt,
            kind=debt.kind,
            error=error,
        )
        await self.store.run(outbox.park, debt, str(error), self.now())

    def _pause(self, error: PortalError) -> None:
        seconds = PAUSES[min(self._troubles, len(PAUSES) - 1)]
        self._troubles += 1
        self.not_before = self.now() + timedelta(seconds=seconds)
        tell = self.log.error if isinstance(error, PortalDenied) else self.log.warn
        tell("portal: {error}; again in {seconds} s", error=error, seconds=seconds)

    async def _pay(self, debt: Debt) -> None:
        match debt.kind:
            case "register":
                await self._register(debt)
            case "move":
                await self._move(debt)
            case "notify":
                await self._notify(debt)
            case "finish":
                await self._finish(debt)
            case "record":
                await self._record(debt)
            case "task":
                await self._task(debt)
            case "comment":
                await self._comment(debt)
            case "status":
                await self._status(debt)
            case _:
                await self.store.run(outbox.park, debt, "unknown kind", self.now())

    async def ensure_line(self, purpose: str = "") -> str:
        """The dialler's own external line, once: its name is what the card shows. Its number."""
        number, name = self.config.line(purpose)
        if number not in self._lines_ensured:
            await self.portal.ensure_line(number, name)
            self._lines_ensured.add(number)
        return number

    async def _register(self, debt: Debt) -> None:
        try:
            await self._register_call(debt)
        except PortalDenied:
            raise  # not of this call, but of all that we ask
        except PortalRefused as error:
            if "quiet" not in debt.payload or error.code not in FORBIDDEN:
                raise
            # Of no use to anybody, and there would be one for each attempt that nobody answered.
            if not self._no_calls:
                self.log.error(
                    "unanswered calls are not registered: {error}; give the webhook the scope"
                    " telephony, or set [portal] register_unanswered = false",
                    error=error,
                )
            self._no_calls = True
            await self.store.run(outbox.paid, debt, self.now())
        else:
            self._no_calls = False

    async def _register_call(self, debt: Debt) -> None:
        """Safe to repeat for half an hour: so long the portal knows the attempt's id again."""
        portal = self.config.portal
        common = await self.ensure_line(debt.purpose)
        # The line is a part of the key by which the portal knows the call again.
        quiet = debt.payload.get("quiet", False)
        line = debt.payload.get("line")
        if line is None:
            line = await self._line_of(debt) if debt.ended is None else common
        started = datetime.fromisoformat(debt.payload.get("since", debt.payload["at"]))
        untold = not debt.doubtful and debt.lost_before is None  # the portal has not heard of it
        forgotten = not untold and self.now() - started > FORGOTTEN
        if forgotten:
            self.log.warn(
                "{attempt}: registered anew, for the portal would not know it again; if its first"
                " registration has arrived, that call stays open there",
                attempt=debt.attempt,
            )
        if untold or forgotten:
            at = self.now() if forgotten else datetime.fromisoformat(debt.payload["at"])
            started = self._started(at)
            said = {"line": line, "since": started.isoformat()}
            await self.store.run(outbox.remember, debt, said)
        call_id = await self.portal.register_call(
            external_id=debt.attempt,
            user=debt.payload["user"],
            phone=debt.number,
            started=started,
            line=line,
            # Of a call that nobody answered: an incoming one would count as missed.
            incoming=portal.call_type == "incoming" and not quiet,
            # A card for a call that is over would only confuse.
            show=debt.ended is None,
            client=debt.entity,
        )
        await self.store.run(outbox.paid, debt, self.now(), call_id=call_id)
        if portal.call_id_field and debt.ended is None:
            # For the script on the portal, which links the card to its task; without it there is
            # a card all the same.
            try:
                await self.portal.set_field(debt.task, portal.call_id_field, call_id)
            except PortalError as error:
                self.log.warn(
                    "{attempt}: no link on its card: {error}", attempt=debt.attempt, error=error
                )

    async def _line_of(self, debt: Debt) -> str:
        """
        A line of the pool, named after the task: that name is on the card, also without any code on
        the portal. The name is read when the card is shown, so a line serves one call at a time;
        when all of them do, the common line serves as well.
        """
        portal = self.config.portal
        common, word = self.config.line(debt.purpose)
        if not self._knows_lines:
            used = await self.store.run(outbox.lines_in_use)
            self._named |= {line: AttemptId(used[line]) for line in used if line != portal.line}
            self._knows_lines = True
        lines = [f"{portal.line}-{number}" for number in range(1, portal.pool + 1)]
        mine = [line for line in lines if self._named.get(line) == debt.attempt]
        free = [line for line in lines if self._named.get(line) is None]
        line = next(iter((*mine, *free)), common)
        if line != common:
            name = f"{word}: {debt.title}"
            if line in self._named:
                await self.portal.name_line(line, name)
            else:
                await self.portal.ensure_line(line, name)
            self._named[line] = debt.attempt
        return line

    async def _move(self, debt: Debt) -> None:
        """The call rings at another operator: his card up, the others' down."""
        if debt.call_id is not None and debt.ended is None:
            before = [o for o in await self.store.run(outbox.shown_to, debt) if o != debt.target]
            if before:
                await self.portal.hide_call(debt.call_id, before)
            if not await self.portal.show_call(debt.call_id, [debt.target]):
                self.log.warn(
                    "{attempt}: no card: the portal has no such call any more", attempt=debt.attempt
                )
        await self.store.run(outbox.paid, debt, self.now())

    async def _notify(self, debt: Debt) -> None:
        """A link to the task while the phone rings; afterwards it would only confuse."""
        if debt.ended is None:
            language = self.config.language
            link = f"/company/personal/user/{debt.target}/tasks/task/view/{debt.task}/"
            text = texts.text(
                "notice",
                language,
                client=texts.bb(debt.client),
                task=f"[URL={link}]{texts.bb(debt.title)}[/URL]",
            )
            tag = f"AUTODIAL|{debt.attempt}|{debt.target}"
            if not await self.portal.notify(debt.target, text, tag):
                self.log.warn("{attempt}: the portal took no notice", attempt=debt.attempt)
        await self.store.run(outbox.paid, debt, self.now())

    async def _finish(self, debt: Debt) -> None:
        self._named = {
            line: None if attempt == debt.attempt else attempt
            for line, attempt in self._named.items()
        }
        means = effect(debt.payload["outcome"])
        # A card may be up for a call of which nobody knows how it ended.
        code = means.finish_code if means.answered or debt.payload.get("quiet") else "OTHER"
        if debt.call_id is not None:  # None: its registration was refused for good
            if debt.unsure:
                # It takes down only the card of the operator who talked, and another's may be up.
                shown = await self.store.run(outbox.shown_to, debt)
                await self.portal.hide_call(debt.call_id, sorted(set(shown)))
            await self.portal.finish_call(
                debt.call_id,
                user=debt.payload["user"],
                seconds=debt.payload["seconds"],
                code=code,
                again=debt.doubtful,
            )
        await self.store.run(outbox.paid, debt, self.now())

    async def _record(self, debt: Debt) -> None:
        """A repetition replaces the file. Asterisk may be writing it for a while yet."""
        if debt.call_id is None or debt.ended is None:
            await self.store.run(outbox.paid, debt, self.now())
            return
        found = self.recordings.find(debt.attempt, debt.ended, self.now())
        if found.wait is not None:
            await self.store.run(outbox.wait, debt, found.wait)
            return
        if found.file is None:
            raise ValueError(f"no recording {found.name}: is AD_RECORD set in the dialplan?")
        try:
            await self.portal.attach_recording(debt.call_id, found.file, found.size)
        except OSError as error:
            raise ValueError(f"{found.file}: {error.strerror}") from error
        await self.store.run(outbox.paid, debt, self.now())
        self.recordings.attached(found.file)

    def _started(self, at: datetime) -> datetime:
        """
        The portal knows a call again only while its start is less than half an hour old. A call
        told later, after an outage, starts now: better a wrong time than two calls.
        """
        return at if self.now() - at < KNOWN_AGAIN else self.now()

    async def _task(self, debt: Debt) -> None:
        """
        Absolute values: safe to repeat. A task that is gone wants nothing any more, and a deadline
        that a person has moved since stays his: the importer will take it over.
        """
        given = debt.payload.get("deadline")
        deadline = to_the_minute(datetime.fromisoformat(given)) if given else None
        task = await self.portal.task(debt.task)
        moved = task is not None and not task.until.same(debt.until)
        ours = task is not None and deadline is not None and task.until.is_of(deadline)
        if moved and debt.doubtful and deadline is not None and task is not None:
            # In doubt a midnight of the same day is ours: it may be the first that is cut here.
            ours = task.until.may_be_of(deadline, by_day=True)
        theirs = moved and not ours
        if theirs or await self.store.run(outbox.outdated, debt):
            deadline = None
        responsible = debt.payload.get("responsible")
        until = task.until if task is not None and deadline is not None else None
        if task is not None and responsible is not None:
            told = await self.portal.change_responsible(
                task, responsible, deadline=deadline, delegate=self.config.tasks.delegate
            )
            # What the portal has made of it is ours; what it was before may be a person's.
            until = told if deadline is not None else None
        elif task is not None and deadline is not None and not ours:
            until = await self.portal.move_deadline(task, deadline)
        await self.store.run(outbox.paid, debt, self.now(), until=until)

    async def _status(self, debt: Debt) -> None:
        """The portal has rules of its own for statuses; looked at first, so safe to repeat."""
        status = TaskStatus[debt.payload["status"]]
        task = await self.portal.task(debt.task)
        if task is not None and not await self.portal.bring_to(task, status):
            raise ValueError(f"a task of status {task.status} cannot become {status.name}")
        await self.store.run(outbox.paid, debt, self.now())

    async def _comment(self, debt: Debt) -> None:
        """Not safe to repeat: each comment carries its attempt, and is looked for if in doubt."""
        said = f"{debt.attempt}.{debt.target}" if debt.target > 0 else debt.attempt
        marker = f"[{said}]"
        text = f"{comment(debt.payload, debt.number, self.config, self._name)} {marker}"
        series = "outcome" in debt.payload and self.config.portal.comments == "one"
        follows = bool(debt.payload.get("next"))  # the last word is always written
        if series and (
            (follows and await self.store.run(outbox.said_since, debt))
            # Where keys are, comments are in the chat, and none can be edited.
            or (self.portal.keyed and not debt.doubtful and debt.payload.get("same"))
        ):
            await self.store.run(outbox.paid, debt, self.now())
            return
        found: int | None = None
        known = debt.doubtful and await self._is_known_again(debt)
        if debt.doubtful and not known:
            found = await self._looked_for(debt, marker)
        if found is None and (self.portal.keyed or "keyed" in debt.payload):
            found = await self._keyed(debt, debt.payload.get("keyed", text))
            if found is None and known:
                found = await self._looked_for(debt, marker)
        if found is None and series and debt.comment:
            found = await self._edited(debt, debt.comment, text)
        if found is None:
            found = await self.portal.add_comment(debt.task, text)
        await self.store.run(
            outbox.paid, debt, self.now(), comment=found if found and series else None
        )

    async def _looked_for(self, debt: Debt, marker: str) -> int | None:
        found = await self.portal.find_comment(debt.task, marker)
        await self.store.run(outbox.being_sent, debt, self.now())
        return found

    async def _is_known_again(self, debt: Debt) -> bool:
        """Was it sent with a key that this portal heeds, and remembers?"""
        at = debt.payload.get("keyed_at")
        if at is None or self.now() - datetime.fromisoformat(at) > KEY_LIVES:
            return False
        return await self.store.run(flags.last, flags.HEEDS_KEYS) is not None

    async def _keyed(self, debt: Debt, text: str) -> int | None:
        """
        By REST 3.0, which knows a comment again: the same words with the same key. None: it has
        refused this one, and has not written it now.
        """
        key = f"{debt.attempt}.{debt.target}.{debt.created.timestamp():.0f}"
        if "keyed" not in debt.payload:
            at = self.now().isoformat()
            await self.store.run(outbox.remember, debt, {"keyed": text, "keyed_at": at})
        try:
            heeded = await self.portal.add_keyed_comment(debt.task, text, key)
        except PortalDenied:
            raise
        except PortalRefused as error:
            self.log.info("REST 3.0 takes no comment: {error}", error=error)
            # For this task, or for all: the method or the scope is there no longer.
            self.portal.keyed = not re.search("(?i)method|scope|ACCESS", error.code)
            return None
        if heeded:
            await self.store.run(flags.mark, self.now(), flags.HEEDS_KEYS)
        else:
            self.log.info("the portal heeds no idempotency keys: lost answers are looked for")
            await self.store.run(flags.clear_all, flags.HEEDS_KEYS)
        return 0

    async def _edited(self, debt: Debt, number: int, text: str) -> int | None:
        """The series' one comment, brought up to date; None: a new one must say it."""
        try:
            await self.portal.edit_comment(debt.task, number, text)
        except PortalDenied:
            raise
        except PortalRefused as error:
            self.log.info(
                "{attempt}: its comment stays: {error}", attempt=debt.attempt, error=error
            )
            # Where nothing can be edited, a call that ended as the one before says nothing new.
            return number if debt.payload.get("same") else None
        return number

    def _name(self, user: int) -> str:
        operator = self.roster.by_id(OperatorId(user))
        return texts.bb(operator.name) if operator else str(user)
