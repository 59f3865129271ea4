"""
The reporter: pays what is owed to the portal, in the order it arose.

A debt is marked before it is sent. After a crash or a lost answer a doubtful one is verified
first, so nothing is said twice. Passing trouble stops the whole queue until later; a refusal
parks one debt for a person, and the queue goes on.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from attrs import define, field
from twisted.logger import Logger

from autodial import texts
from autodial.config import Config
from autodial.model import AttemptId, OperatorId, Outcome
from autodial.recordings import Recordings
from autodial.roster import Roster
from autodial.store import outbox
from autodial.store.database import Store
from autodial.store.outbox import Debt, to_the_minute
from bitrix24 import (
    AnswerLost,
    AnswerStrange,
    Portal,
    PortalDenied,
    PortalError,
    PortalRefused,
    PortalUnavailable,
    TaskStatus,
)

#: Pauses after passing trouble, in seconds; the last one repeats.
PAUSES = (2.0, 5.0, 15.0, 60.0)

#: So many answers to one debt that we do not understand, and a debt is put aside for a person.
STRANGE = 5
#: A call's start may be this old when it is registered, so that a repetition is recognised.
KNOWN_AGAIN = timedelta(minutes=20)
#: So many failed tries of one debt, and the portal is asked something else first: does it answer?
PATIENCE = 4
#: It does, and the debt fails again: it lets the others pass for so long; then a person must look.
DEFERRALS = (timedelta(minutes=10), timedelta(hours=1), timedelta(hours=6))

#: How the portal files a call. 304 would light the missed-call counters for an operator's miss.
FINISH_CODES = {
    Outcome.TALKED.value: "200",
    Outcome.CLIENT_LEFT.value: "603-S",
    Outcome.OPERATOR_MISSED.value: "480",
}


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
    _line_ensured: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self.recordings = Recordings(self.config.recording)

    async def turn(self) -> None:
        """Pay until nothing is owed, or until the portal is in trouble."""
        if self.config.pace.shadow or (self.not_before and self.now() < self.not_before):
            return
        while not self.stopping:
            debt = await self.store.run(outbox.next_debt, self.now())
            if debt is None:
                return
            suspect = self._failures.get(debt.id, 0) >= PATIENCE
            try:
                if suspect:
                    await self.portal.answers()
                    self._portal_answers = True
                await self._pay(debt)
            except AnswerLost as error:
                # stays "sending": doubtful
                if not await self._put_aside(debt, error, suspect=suspect):
                    return
            except (PortalUnavailable, PortalDenied) as error:
                # Denied: not this debt is wrong but the webhook. All of them wait for a person.
                if not debt.doubtful:
                    await self.store.run(outbox.not_sent, debt)
                if not await self._put_aside(debt, error, suspect=suspect):
                    return
            except AnswerStrange as error:
                # An answer of a shape that we do not know: perhaps of this debt alone.
                self._strange[debt.id] = self._strange.get(debt.id, 0) + 1
                if self._strange[debt.id] < STRANGE:
                    self._pause(error)
                    return
                await self._park(debt, error)
            except (PortalRefused, ValueError) as error:
                await self._park(debt, error)
            else:
                self._failures.pop(debt.id, None)
            self._troubles = 0

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
        if times == len(DEFERRALS):
            await self._park(debt, error)
        else:
            self.log.warn(
                "{attempt}: {kind} waits, the others go on: {error}",
                attempt=debt.attempt,
                kind=debt.kind,
                error=error,
            )
            await self.store.run(outbox.put_off, debt, self.now() + DEFERRALS[times])
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

    async def ensure_line(self) -> None:
        """The dialler's own external line, once: its name is what the card shows."""
        if not self._line_ensured:
            await self.portal.ensure_line(self.config.portal.line, self.config.portal.line_name)
            self._line_ensured = True

    async def _register(self, debt: Debt) -> None:
        """Safe to repeat: the portal knows the attempt's id."""
        portal = self.config.portal
        await self.ensure_line()
        line = await self._line_of(debt) if debt.ended is None else portal.line
        call_id = await self.portal.register_call(
            external_id=debt.attempt,
            user=debt.payload["user"],
            phone=debt.number,
            started=self._started(datetime.fromisoformat(debt.payload["at"])),
            line=line,
            incoming=portal.call_type == "incoming",
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
        lines = [f"{portal.line}-{number}" for number in range(1, portal.pool + 1)]
        mine = [line for line in lines if self._named.get(line) == debt.attempt]
        free = [line for line in lines if self._named.get(line) is None]
        line = next(iter((*mine, *free)), portal.line)
        if line != portal.line:
            name = f"{portal.line_name}: {debt.title}"
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
            await self.portal.show_call(debt.call_id, [debt.target])
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
            await self.portal.notify(debt.target, text, f"AUTODIAL|{debt.attempt}|{debt.target}")
        await self.store.run(outbox.paid, debt, self.now())

    async def _finish(self, debt: Debt) -> None:
        self._named = {
            line: None if attempt == debt.attempt else attempt
            for line, attempt in self._named.items()
        }
        if debt.call_id is not None:  # None: its registration was refused for good
            await self.portal.finish_call(
                debt.call_id,
                user=debt.payload["user"],
                seconds=debt.payload["seconds"],
                code=FINISH_CODES.get(debt.payload["outcome"], "OTHER"),
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
        theirs = task is not None and task.deadline not in (debt.portal_deadline, deadline)
        if theirs or await self.store.run(outbox.outdated, debt):
            deadline = None
        responsible = debt.payload.get("responsible")
        if task is not None and responsible is not None:
            await self.portal.change_responsible(
                task, responsible, deadline=deadline, delegate=self.config.tasks.delegate
            )
        elif task is not None and deadline is not None and task.deadline != deadline:
            await self.portal.move_deadline(task, deadline)
        await self.store.run(outbox.paid, debt, self.now(), deadline=deadline)

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
        if not (debt.doubtful and await self.portal.has_comment(debt.task, marker)):
            await self.portal.add_comment(debt.task, f"{self._words(debt)} {marker}")
        await self.store.run(outbox.paid, debt, self.now())

    def _words(self, debt: Debt) -> str:
        said, language = debt.payload, self.config.language
        if "talked_for" in said:
            return texts.text(
                "comment.same client", language, number=debt.number, task=said["talked_for"],
                operator=self._name(said["user"]),
            )  # fmt: skip
        following = self._following(said["next"])
        if "word" in said:
            word = texts.text(said["word"], language)
            return texts.text(
                "comment.word", language, operator=self._name(said["user"]), word=word,
                next=following if said["next"] else "",
            ).rstrip()  # fmt: skip
        detail = ""
        if said["outcome"] == Outcome.TALKED.value:
            name = self._name(said["user"])
            detail = texts.text("comment.talked", language, operator=name, seconds=said["seconds"])
        return texts.text(
            "comment",
            language,
            number=debt.number,
            outcome=texts.text(said["outcome"], language),
            detail=detail,
            next=following,
        )

    def _name(self, user: int) -> str:
        operator = self.roster.by_id(OperatorId(user))
        return texts.bb(operator.name) if operator else str(user)

    def _following(self, moment: str | None) -> str:
        """When the next call is, or that there is none."""
        language = self.config.language
        if moment is None:
            return texts.text("comment.done", language)
        when = datetime.fromisoformat(moment).astimezone(ZoneInfo(self.config.hours.zone))
        return texts.text("comment.again", language, when=f"{when:%d.%m.%Y %H:%M}")
