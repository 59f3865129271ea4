"""
The reporter: pays what is owed to the portal, in the order it arose.

A message is marked before it is sent, with the moment. After a crash or a lost answer a doubtful
one is verified first, so nothing is said twice; and not before the portal can no longer execute
what we have given up. Passing trouble stops the whole queue until later; a refusal parks one
message for a person, and the queue goes on.
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
from autodial.model.outbox_message import MessageKind
from autodial.model.outcome import effect
from autodial.portal.comments import comment
from autodial.portal.recordings import Recordings
from autodial.store import flags, outbox
from autodial.store.database import Store
from autodial.store.outbox import Message, to_the_minute
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

#: So many answers to one message that we do not understand, and a message is put aside for a
#: person.
STRANGE = 5
#: A call's start may be this old when it is registered, so that a repetition is recognised.
KNOWN_AGAIN = timedelta(minutes=20)
#: And is not, once it is so old.
FORGOTTEN = timedelta(minutes=28)
#: The portal keeps its answer to a request with a key for 24 hours.
KEY_LIVES = timedelta(hours=23)
#: So many failed tries of one message, and the portal is asked something else first: does it
#: answer?
PATIENCE = 4
#: It does, and the message fails again: it lets the others pass for so long; then a person must
#: look.
DEFERRALS = (timedelta(minutes=10), timedelta(hours=1), timedelta(hours=6))

#: A registration is known again for half an hour only: it is tried again and again within it.
SOON = (timedelta(minutes=5),) * 8

#: Refusals that are not about one call.
FORBIDDEN = frozenset(
    {"insufficient_scope", "WRONG_AUTH_TYPE", "ACCESS_DENIED", "ERROR_METHOD_NOT_FOUND"}
)


@define(eq=False)
class Reporter:
    """Pays the messages of one dialler to one portal."""

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
    #: Answers we did not understand, by message; an outage of the portal is not counted here.
    _strange: dict[int, int] = field(factory=dict, init=False)
    #: Failed tries by message, and how often it was put off for it.
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
            message = await self.store.run(outbox.next_message, self.now(), late)
            if message is None:
                return
            suspect = self._failures.get(message.id, 0) >= PATIENCE
            if suspect and not await self._answers(message):
                return
            try:
                await self._deliver(message)
            except (PortalError, ValueError) as error:
                if not await self._failed(message, error, suspect=suspect):
                    return
            else:
                self._failures.pop(message.id, None)
            self._troubles = 0

    async def _failed(
        self, message: Message, error: PortalError | ValueError, *, suspect: bool
    ) -> bool:
        """What a failure means for this message, and (True) whether the others go on."""
        match error:
            case QuestionLost():
                # Nothing was written; what was doubtful is as doubtful as before.
                await self.store.run(outbox.not_sent, message)
            case AnswerLost():
                # stays "sending": doubtful, and that from now on
                await self.store.run(outbox.being_sent, message, self.now())
            case PortalUnavailable() | PortalDenied():
                # Denied: not this message is wrong but the webhook. All of them wait for a person.
                await self.store.run(outbox.not_sent, message)
                if isinstance(error, PortalClosed) and not isinstance(error, MethodResting):
                    self._pause(error)  # of all, whichever it was that we were about to send
                    return False
            case AnswerStrange():
                # An answer of a shape that we do not know: perhaps of this message alone.
                self._strange[message.id] = self._strange.get(message.id, 0) + 1
                if self._strange[message.id] < STRANGE:
                    self._pause(error)
                    return False
                await self._bury(message, error)
                return True
            case _:
                await self._bury(message, error)
                return True
        return await self._put_aside(message, error, suspect=suspect)

    async def _answers(self, message: Message) -> bool:
        """Does the portal answer anything at all? If not, this message was not even sent."""
        try:
            await self.portal.answers()
        except PortalError as error:
            await self.store.run(outbox.not_sent, message)
            self._pause(error)
            return False
        self._portal_answers = True
        return True

    async def _put_aside(self, message: Message, error: PortalError, *, suspect: bool) -> bool:
        """
        Count a failure. A message that fails again and again, just after the portal has answered
        something else, lets the others pass (True), and is at last put aside for a person.
        """
        answered, self._portal_answers = self._portal_answers, False
        if not (suspect and answered) or isinstance(error, PortalDenied):
            self._failures[message.id] = self._failures.get(message.id, 0) + 1
            self._pause(error)
            return False
        times = self._set_aside.get(message.id, 0)
        self._set_aside[message.id] = times + 1
        self._failures.pop(message.id, None)
        deferrals = SOON if message.kind is MessageKind.REGISTER and message.doubtful else DEFERRALS
        if times == len(deferrals):
            await self._bury(message, error)
        else:
            self.log.warn(
                "{attempt}: {kind} waits, the others go on: {error}",
                attempt=message.attempt,
                kind=message.kind,
                error=error,
            )
            await self.store.run(outbox.put_off, message, self.now() + deferrals[times])
        return True

    async def _bury(self, message: Message, error: Exception) -> None:
        self.log.error(
            "{attempt}: {kind} is put aside for a person: {error} (autodial outbox)",
            attempt=message.attempt,
            kind=message.kind,
            error=error,
        )
        await self.store.run(outbox.bury, message, str(error), self.now())

    def _pause(self, error: PortalError) -> None:
        seconds = PAUSES[min(self._troubles, len(PAUSES) - 1)]
        self._troubles += 1
        self.not_before = self.now() + timedelta(seconds=seconds)
        tell = self.log.error if isinstance(error, PortalDenied) else self.log.warn
        tell("portal: {error}; again in {seconds} s", error=error, seconds=seconds)

    async def _deliver(self, message: Message) -> None:
        match message.kind:
            case MessageKind.REGISTER:
                await self._register(message)
            case MessageKind.MOVE:
                await self._move(message)
            case MessageKind.NOTIFY:
                await self._notify(message)
            case MessageKind.FINISH:
                await self._finish(message)
            case MessageKind.RECORD:
                await self._record(message)
            case MessageKind.TASK:
                await self._task(message)
            case MessageKind.COMMENT:
                await self._comment(message)
            case MessageKind.STATUS:
                await self._status(message)

    async def ensure_line(self, purpose: str = "") -> str:
        """The dialler's own external line, once: its name is what the card shows. Its number."""
        number, name = self.config.line(purpose)
        if number not in self._lines_ensured:
            await self.portal.ensure_line(number, name)
            self._lines_ensured.add(number)
        return number

    async def _register(self, message: Message) -> None:
        try:
            await self._register_call(message)
        except PortalDenied:
            raise  # not of this call, but of all that we ask
        except PortalRefused as error:
            if "quiet" not in message.payload or error.code not in FORBIDDEN:
                raise
            # Of no use to anybody, and there would be one for each attempt that nobody answered.
            if not self._no_calls:
                self.log.error(
                    "unanswered calls are not registered: {error}; give the webhook the scope"
                    " telephony, or set [portal] register_unanswered = false",
                    error=error,
                )
            self._no_calls = True
            await self.store.run(outbox.delivered, message, self.now())
        else:
            self._no_calls = False

    async def _register_call(self, message: Message) -> None:
        """Safe to repeat for half an hour: so long the portal knows the attempt's id again."""
        portal = self.config.portal
        common = await self.ensure_line(message.purpose)
        # The line is a part of the key by which the portal knows the call again.
        quiet = message.payload.get("quiet", False)
        line = message.payload.get("line")
        if line is None:
            line = await self._line_of(message) if message.ended is None else common
        started = datetime.fromisoformat(message.payload.get("since", message.payload["at"]))
        untold = (
            not message.doubtful and message.lost_before is None
        )  # the portal has not heard of it
        forgotten = not untold and self.now() - started > FORGOTTEN
        if forgotten:
            self.log.warn(
                "{attempt}: registered anew, for the portal would not know it again; if its first"
                " registration has arrived, that call stays open there",
                attempt=message.attempt,
            )
        if untold or forgotten:
            at = self.now() if forgotten else datetime.fromisoformat(message.payload["at"])
            started = self._started(at)
            said = {"line": line, "since": started.isoformat()}
            await self.store.run(outbox.remember, message, said)
        call_id = await self.portal.register_call(
            external_id=message.attempt,
            user=message.payload["user"],
            phone=message.number,
            started=started,
            line=line,
            # Of a call that nobody answered: an incoming one would count as missed.
            incoming=portal.call_type == "incoming" and not quiet,
            # A card for a call that is over would only confuse.
            show=message.ended is None,
            client=message.entity,
        )
        await self.store.run(outbox.delivered, message, self.now(), call_id=call_id)
        if portal.call_id_field and message.ended is None:
            # For the script on the portal, which links the card to its task; without it there is
            # a card all the same.
            try:
                await self.portal.set_field(message.task, portal.call_id_field, call_id)
            except PortalError as error:
                self.log.warn(
                    "{attempt}: no link on its card: {error}", attempt=message.attempt, error=error
                )

    async def _line_of(self, message: Message) -> str:
        """
        A line of the pool, named after the task: that name is on the card, also without any code on
        the portal. The name is read when the card is shown, so a line serves one call at a time;
        when all of them do, the common line serves as well.
        """
        portal = self.config.portal
        common, word = self.config.line(message.purpose)
        if not self._knows_lines:
            used = await self.store.run(outbox.lines_in_use)
            self._named |= {line: AttemptId(used[line]) for line in used if line != portal.line}
            self._knows_lines = True
        lines = [f"{portal.line}-{number}" for number in range(1, portal.pool + 1)]
        mine = [line for line in lines if self._named.get(line) == message.attempt]
        free = [line for line in lines if self._named.get(line) is None]
        line = next(iter((*mine, *free)), common)
        if line != common:
            name = f"{word}: {message.title}"
            if line in self._named:
                await self.portal.name_line(line, name)
            else:
                await self.portal.ensure_line(line, name)
            self._named[line] = message.attempt
        return line

    async def _move(self, message: Message) -> None:
        """The call rings at another operator: his card up, the others' down."""
        if message.call_id is not None and message.ended is None:
            before = [
                o for o in await self.store.run(outbox.shown_to, message) if o != message.operator
            ]
            if before:
                await self.portal.hide_call(message.call_id, before)
            if not await self.portal.show_call(message.call_id, [message.operator]):
                self.log.warn(
                    "{attempt}: no card: the portal has no such call any more",
                    attempt=message.attempt,
                )
        await self.store.run(outbox.delivered, message, self.now())

    async def _notify(self, message: Message) -> None:
        """A link to the task while the phone rings; afterwards it would only confuse."""
        if message.ended is None:
            language = self.config.language
            link = f"/company/personal/user/{message.operator}/tasks/task/view/{message.task}/"
            text = texts.text(
                "notice",
                language,
                client=texts.bb(message.client),
                task=f"[URL={link}]{texts.bb(message.title)}[/URL]",
            )
            tag = f"AUTODIAL|{message.attempt}|{message.operator}"
            if not await self.portal.notify(message.operator, text, tag):
                self.log.warn("{attempt}: the portal took no notice", attempt=message.attempt)
        await self.store.run(outbox.delivered, message, self.now())

    async def _finish(self, message: Message) -> None:
        self._named = {
            line: None if attempt == message.attempt else attempt
            for line, attempt in self._named.items()
        }
        means = effect(message.payload["outcome"])
        # A card may be up for a call of which nobody knows how it ended.
        code = means.finish_code if means.answered or message.payload.get("quiet") else "OTHER"
        if message.call_id is not None:  # None: its registration was refused for good
            if message.unsure:
                # It takes down only the card of the operator who talked, and another's may be up.
                shown = await self.store.run(outbox.shown_to, message)
                await self.portal.hide_call(message.call_id, sorted(set(shown)))
            await self.portal.finish_call(
                message.call_id,
                user=message.payload["user"],
                seconds=message.payload["seconds"],
                code=code,
                again=message.doubtful,
            )
        await self.store.run(outbox.delivered, message, self.now())

    async def _record(self, message: Message) -> None:
        """A repetition replaces the file. Asterisk may be writing it for a while yet."""
        if message.call_id is None or message.ended is None:
            await self.store.run(outbox.delivered, message, self.now())
            return
        found = self.recordings.find(message.attempt, message.ended, self.now())
        if found.wait is not None:
            await self.store.run(outbox.wait, message, found.wait)
            return
        if found.file is None:
            raise ValueError(f"no recording {found.name}: is AD_RECORD set in the dialplan?")
        try:
            await self.portal.attach_recording(message.call_id, found.file, found.size)
        except OSError as error:
            raise ValueError(f"{found.file}: {error.strerror}") from error
        await self.store.run(outbox.delivered, message, self.now())
        self.recordings.attached(found.file)

    def _started(self, at: datetime) -> datetime:
        """
        The portal knows a call again only while its start is less than half an hour old. A call
        told later, after an outage, starts now: better a wrong time than two calls.
        """
        return at if self.now() - at < KNOWN_AGAIN else self.now()

    async def _task(self, message: Message) -> None:
        """
        Absolute values: safe to repeat. A task that is gone wants nothing any more, and a deadline
        that a person has moved since stays his: the importer will take it over.
        """
        given = message.payload.get("deadline")
        deadline = to_the_minute(datetime.fromisoformat(given)) if given else None
        task = await self.portal.task(message.task)
        moved = task is not None and not task.until.same(message.until)
        ours = task is not None and deadline is not None and task.until.is_of(deadline)
        if moved and message.doubtful and deadline is not None and task is not None:
            # In doubt a midnight of the same day is ours: it may be the first that is cut here.
            ours = task.until.may_be_of(deadline, by_day=True)
        theirs = moved and not ours
        if theirs or await self.store.run(outbox.outdated, message):
            deadline = None
        responsible = message.payload.get("responsible")
        until = task.until if task is not None and deadline is not None else None
        if task is not None and responsible is not None:
            told = await self.portal.change_responsible(
                task, responsible, deadline=deadline, delegate=self.config.tasks.delegate
            )
            # What the portal has made of it is ours; what it was before may be a person's.
            until = told if deadline is not None else None
        elif task is not None and deadline is not None and not ours:
            until = await self.portal.move_deadline(task, deadline)
        await self.store.run(outbox.delivered, message, self.now(), until=until)

    async def _status(self, message: Message) -> None:
        """The portal has rules of its own for statuses; looked at first, so safe to repeat."""
        status = TaskStatus[message.payload["status"]]
        task = await self.portal.task(message.task)
        if task is not None and not await self.portal.bring_to(task, status):
            raise ValueError(f"a task of status {task.status} cannot become {status.name}")
        await self.store.run(outbox.delivered, message, self.now())

    async def _comment(self, message: Message) -> None:
        """Not safe to repeat: each comment carries its attempt, and is looked for if in doubt."""
        said = f"{message.attempt}.{message.revision}" if message.revision else message.attempt
        marker = f"[{said}]"
        text = f"{comment(message.payload, message.number, self.config, self._name)} {marker}"
        generation = "outcome" in message.payload and self.config.portal.comments == "one"
        follows = bool(message.payload.get("next"))  # the last word is always written
        if generation and (
            (follows and await self.store.run(outbox.said_since, message))
            # Where keys are, comments are in the chat, and none can be edited.
            or (self.portal.keyed and not message.doubtful and message.payload.get("same"))
        ):
            await self.store.run(outbox.delivered, message, self.now())
            return
        found: int | None = None
        known = message.doubtful and await self._is_known_again(message)
        if message.doubtful and not known:
            found = await self._looked_for(message, marker)
        if found is None and (self.portal.keyed or "keyed" in message.payload):
            found = await self._keyed(message, message.payload.get("keyed", text))
            if found is None and known:
                found = await self._looked_for(message, marker)
        if found is None and generation and message.comment:
            found = await self._edited(message, message.comment, text)
        if found is None:
            found = await self.portal.add_comment(message.task, text)
        await self.store.run(
            outbox.delivered, message, self.now(), comment=found if found and generation else None
        )

    async def _looked_for(self, message: Message, marker: str) -> int | None:
        found = await self.portal.find_comment(message.task, marker)
        await self.store.run(outbox.being_sent, message, self.now())
        return found

    async def _is_known_again(self, message: Message) -> bool:
        """Was it sent with a key that this portal heeds, and remembers?"""
        at = message.payload.get("keyed_at")
        if at is None or self.now() - datetime.fromisoformat(at) > KEY_LIVES:
            return False
        return await self.store.run(flags.last, flags.HEEDS_KEYS) is not None

    async def _keyed(self, message: Message, text: str) -> int | None:
        """
        By REST 3.0, which knows a comment again: the same words with the same key. None: it has
        refused this one, and has not written it now.
        """
        key = f"{message.attempt}.{message.ordinal}.{message.created.timestamp():.0f}"
        if "keyed" not in message.payload:
            at = self.now().isoformat()
            await self.store.run(outbox.remember, message, {"keyed": text, "keyed_at": at})
        try:
            heeded = await self.portal.add_keyed_comment(message.task, text, key)
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

    async def _edited(self, message: Message, number: int, text: str) -> int | None:
        """The generation' one comment, brought up to date; None: a new one must say it."""
        try:
            await self.portal.edit_comment(message.task, number, text)
        except PortalDenied:
            raise
        except PortalRefused as error:
            self.log.info(
                "{attempt}: its comment stays: {error}", attempt=message.attempt, error=error
            )
            # Where nothing can be edited, a call that ended as the one before says nothing new.
            return number if message.payload.get("same") else None
        return number

    def _name(self, user: int) -> str:
        operator = self.roster.by_id(OperatorId(user))
        return texts.bb(operator.name) if operator else str(user)
