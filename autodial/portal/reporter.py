"""
The reporter: delivers outbox messages to the portal, in the order they were enqueued.

A message is marked before it is sent, with the time. After a crash or a lost answer a doubtful
message is verified first, so nothing is written twice; and not before the portal can no longer
execute the abandoned request. A temporary failure stops the whole queue for a while; a refusal
makes one message a dead letter for a person, and the queue goes on.
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

#: Pauses after a temporary failure, in seconds; the last one repeats.
PAUSES = (2.0, 5.0, 15.0, 60.0)

#: After this many unreadable answers a message becomes a dead letter.
STRANGE = 5
#: A call's start may be this old when it is registered, so that a repetition is recognised.
KNOWN_AGAIN = timedelta(minutes=20)
#: From this age on a repetition is not recognised.
FORGOTTEN = timedelta(minutes=28)
#: The portal keeps its answer to a request with a key for 24 hours.
KEY_LIVES = timedelta(hours=23)
#: After this many failed tries of one message, the portal is probed with another request first.
PATIENCE = 4
#: If the portal answers the probe and the message fails again, it is deferred for these times,
#: and the others pass; then it becomes a dead letter.
DEFERRALS = (timedelta(minutes=10), timedelta(hours=1), timedelta(hours=6))

#: Deferrals of a registration: the portal recognises its repetition for half an hour only.
SOON = (timedelta(minutes=5),) * 8

#: Refusals that concern all calls.
FORBIDDEN = frozenset(
    {"insufficient_scope", "WRONG_AUTH_TYPE", "ACCESS_DENIED", "ERROR_METHOD_NOT_FOUND"}
)


@define(eq=False)
class Reporter:
    """Delivers the messages of one dialler to one portal."""

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
    #: Unreadable answers, by message; an outage of the portal is not counted here.
    _strange: dict[int, int] = field(factory=dict, init=False)
    #: Failed tries by message, and how often it was deferred.
    _failures: dict[int, int] = field(factory=dict, init=False)
    _deferrals: dict[int, int] = field(factory=dict, init=False)
    _portal_answers: bool = field(default=False, init=False)
    #: Lines of the pool that the portal has, each with the call in progress it is named for.
    _named: dict[str, AttemptId | None] = field(factory=dict, init=False)
    _lines_ensured: set[str] = field(factory=set, init=False)
    #: The log reports that unanswered calls cannot be registered.
    _no_calls: bool = field(default=False, init=False)
    #: The lines in use before this process started are loaded.
    _knows_lines: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self.recordings = Recordings(self.config.recording)

    def use(self, config: Config) -> None:
        """Take over a new configuration."""
        self.config = config
        self.recordings = Recordings(config.recording)
        self._lines_ensured.clear()

    async def turn(self) -> None:
        """Deliver until the outbox is empty, or until the portal fails."""
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
        """Handle a failure of this message; True: the others go on."""
        match error:
            case QuestionLost():
                # Nothing was written; a doubtful message stays doubtful.
                await self.store.run(outbox.not_sent, message)
            case AnswerLost():
                # It stays "sending": doubtful from now on.
                await self.store.run(outbox.being_sent, message, self.now())
            case PortalUnavailable() | PortalDenied():
                # Denied: the webhook is wrong, not the message. All messages wait for a person.
                await self.store.run(outbox.not_sent, message)
                if isinstance(error, PortalClosed) and not isinstance(error, MethodResting):
                    self._pause(error)  # of all, whichever message was next
                    return False
            case AnswerStrange():
                # An answer of an unknown shape, perhaps to this message alone.
                self._strange[message.id] = self._strange.get(message.id, 0) + 1
                if self._strange[message.id] < STRANGE:
                    self._pause(error)
                    return False
                await self._bury(message, error)
                return True
            case _:
                await self._bury(message, error)
                return True
        return await self._count_failure(message, error, suspect=suspect)

    async def _answers(self, message: Message) -> bool:
        """Does the portal answer at all? If not, this message was not sent."""
        try:
            await self.portal.answers()
        except PortalError as error:
            await self.store.run(outbox.not_sent, message)
            self._pause(error)
            return False
        self._portal_answers = True
        return True

    async def _count_failure(self, message: Message, error: PortalError, *, suspect: bool) -> bool:
        """
        Count a failure. A message that fails repeatedly, just after the portal has answered
        another request, is deferred and the others pass (True); at last it becomes a dead letter.
        """
        answered, self._portal_answers = self._portal_answers, False
        if not (suspect and answered) or isinstance(error, PortalDenied):
            self._failures[message.id] = self._failures.get(message.id, 0) + 1
            self._pause(error)
            return False
        times = self._deferrals.get(message.id, 0)
        self._deferrals[message.id] = times + 1
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
        log = self.log.error if isinstance(error, PortalDenied) else self.log.warn
        log("portal: {error}; again in {seconds} s", error=error, seconds=seconds)

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
        """Ensure the dialler's external line, once; its number. The card shows its name."""
        number, name = self.config.line(purpose)
        if number not in self._lines_ensured:
            await self.portal.ensure_line(number, name)
            self._lines_ensured.add(number)
        return number

    async def _register(self, message: Message) -> None:
        try:
            await self._register_call(message)
        except PortalDenied:
            raise  # it concerns all requests, not this call
        except PortalRefused as error:
            if "quiet" not in message.payload or error.code not in FORBIDDEN:
                raise
            # No dead letter: there would be one for each unanswered attempt.
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
        """Safe to repeat for half an hour, while the portal recognises the attempt's id."""
        portal = self.config.portal
        common = await self.ensure_line(message.purpose)
        # The line is a part of the key by which the portal recognises the call.
        quiet = message.payload.get("quiet", False)
        line = message.payload.get("line")
        if line is None:
            line = await self._line_of(message) if message.ended is None else common
        started = datetime.fromisoformat(message.payload.get("since", message.payload["at"]))
        unsent = not message.doubtful and message.lost_before is None
        forgotten = not unsent and self.now() - started > FORGOTTEN
        if forgotten:
            self.log.warn(
                "{attempt}: registered again as a new call, since the portal no longer recognises"
                " the first registration; if that arrived, its call stays open in the portal",
                attempt=message.attempt,
            )
        if unsent or forgotten:
            at = self.now() if forgotten else datetime.fromisoformat(message.payload["at"])
            started = self._started(at)
            registered = {"line": line, "since": started.isoformat()}
            await self.store.run(outbox.remember, message, registered)
        call_id = await self.portal.register_call(
            external_id=message.attempt,
            user=message.payload["user"],
            phone=message.number,
            started=started,
            line=line,
            # An unanswered call is outgoing: an incoming one would count as missed.
            incoming=portal.call_type == "incoming" and not quiet,
            # No card for a call that is over.
            show=message.ended is None,
            client=message.entity,
        )
        await self.store.run(outbox.delivered, message, self.now(), call_id=call_id)
        if portal.call_id_field and message.ended is None:
            # For the script on the portal, which links the card to its task; the card is shown
            # without it, too.
            try:
                await self.portal.set_field(message.task, portal.call_id_field, call_id)
            except PortalError as error:
                self.log.warn(
                    "{attempt}: no link on its card: {error}", attempt=message.attempt, error=error
                )

    async def _line_of(self, message: Message) -> str:
        """
        A line of the pool, named after the task: the card shows that name without any code on the
        portal. The portal reads the name when it shows the card, so a line serves one call at a
        time; when all are in use, the common line is used.
        """
        portal = self.config.portal
        common, common_name = self.config.line(message.purpose)
        if not self._knows_lines:
            used = await self.store.run(outbox.lines_in_use)
            self._named |= {line: AttemptId(used[line]) for line in used if line != portal.line}
            self._knows_lines = True
        lines = [f"{portal.line}-{number}" for number in range(1, portal.pool + 1)]
        own = [line for line in lines if self._named.get(line) == message.attempt]
        free = [line for line in lines if self._named.get(line) is None]
        line = next(iter((*own, *free)), common)
        if line != common:
            name = f"{common_name}: {message.title}"
            if line in self._named:
                await self.portal.name_line(line, name)
            else:
                await self.portal.ensure_line(line, name)
            self._named[line] = message.attempt
        return line

    async def _move(self, message: Message) -> None:
        """The call rings at another operator: show that operator's card, hide the others'."""
        if message.call_id is not None and message.ended is None:
            before = [
                o for o in await self.store.run(outbox.shown_to, message) if o != message.operator
            ]
            if before:
                await self.portal.hide_call(message.call_id, before)
            if not await self.portal.show_call(message.call_id, [message.operator]):
                self.log.warn(
                    "{attempt}: no card: the portal no longer has this call",
                    attempt=message.attempt,
                )
        await self.store.run(outbox.delivered, message, self.now())

    async def _notify(self, message: Message) -> None:
        """Send a link to the task while the phone rings, and not afterwards."""
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
                self.log.warn(
                    "{attempt}: the portal did not take the notification", attempt=message.attempt
                )
        await self.store.run(outbox.delivered, message, self.now())

    async def _finish(self, message: Message) -> None:
        self._named = {
            line: None if attempt == message.attempt else attempt
            for line, attempt in self._named.items()
        }
        ended = effect(message.payload["outcome"])
        # A card may be up for a call whose end is unknown.
        code = ended.finish_code if ended.answered or message.payload.get("quiet") else "OTHER"
        if message.call_id is not None:  # None: its registration was finally refused
            if message.unsure:
                # Finishing hides only the card of the operator who talked; another may be up.
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
        """A repetition replaces the file. Asterisk may still be writing it."""
        if message.call_id is None or message.ended is None:
            await self.store.run(outbox.delivered, message, self.now())
            return
        recording = self.recordings.find(message.attempt, message.ended, self.now())
        if recording.wait is not None:
            await self.store.run(outbox.wait, message, recording.wait)
            return
        if recording.file is None:
            raise ValueError(f"no recording {recording.name}: is AD_RECORD set in the dialplan?")
        try:
            await self.portal.attach_recording(message.call_id, recording.file, recording.size)
        except OSError as error:
            raise ValueError(f"{recording.file}: {error.strerror}") from error
        await self.store.run(outbox.delivered, message, self.now())
        self.recordings.attached(recording.file)

    def _started(self, at: datetime) -> datetime:
        """
        The portal recognises a call only while its start is less than half an hour old. A call
        registered later, after an outage, starts now: a wrong time is better than two calls.
        """
        return at if self.now() - at < KNOWN_AGAIN else self.now()

    async def _task(self, message: Message) -> None:
        """
        Absolute values: safe to repeat. For a deleted task there is nothing to do, and a deadline
        that a person has moved since is kept: the importer takes it over.
        """
        given = message.payload.get("deadline")
        deadline = to_the_minute(datetime.fromisoformat(given)) if given else None
        task = await self.portal.task(message.task)
        moved = task is not None and not task.until.same(message.until)
        ours = task is not None and deadline is not None and task.until.is_of(deadline)
        if moved and message.doubtful and deadline is not None and task is not None:
            # In doubt, midnight of the same day is ours: the portal may cut the time first here.
            ours = task.until.may_be_of(deadline, by_day=True)
        theirs = moved and not ours
        if theirs or await self.store.run(outbox.outdated, message):
            deadline = None
        responsible = message.payload.get("responsible")
        until = task.until if task is not None and deadline is not None else None
        if task is not None and responsible is not None:
            written = await self.portal.change_responsible(
                task, responsible, deadline=deadline, delegate=self.config.tasks.delegate
            )
            # The deadline that the portal stored is ours; the one before may be a person's.
            until = written if deadline is not None else None
        elif task is not None and deadline is not None and not ours:
            until = await self.portal.move_deadline(task, deadline)
        await self.store.run(outbox.delivered, message, self.now(), until=until)

    async def _status(self, message: Message) -> None:
        """The portal has its own rules for statuses; the status is read first: safe to repeat."""
        status = TaskStatus[message.payload["status"]]
        task = await self.portal.task(message.task)
        if task is not None and not await self.portal.bring_to(task, status):
            raise ValueError(f"a task of status {task.status} cannot become {status.name}")
        await self.store.run(outbox.delivered, message, self.now())

    async def _comment(self, message: Message) -> None:
        """Not safe to repeat: each comment contains its attempt's id, and is looked up in doubt."""
        name = f"{message.attempt}.{message.revision}" if message.revision else message.attempt
        marker = f"[{name}]"
        text = f"{comment(message.payload, message.number, self.config, self._name)} {marker}"
        generation = "outcome" in message.payload and self.config.portal.comments == "one"
        follows = bool(message.payload.get("next"))  # the last comment is always written
        if generation and (
            (follows and await self.store.run(outbox.said_since, message))
            # Where keys are supported, comments are chat messages and cannot be edited.
            or (self.portal.keyed and not message.doubtful and message.payload.get("same"))
        ):
            await self.store.run(outbox.delivered, message, self.now())
            return
        number: int | None = None
        recognised = message.doubtful and await self._is_recognised(message)
        if message.doubtful and not recognised:
            number = await self._find_comment(message, marker)
        if number is None and (self.portal.keyed or "keyed" in message.payload):
            number = await self._add_keyed(message, message.payload.get("keyed", text))
            if number is None and recognised:
                number = await self._find_comment(message, marker)
        if number is None and generation and message.comment:
            number = await self._edit(message, message.comment, text)
        if number is None:
            number = await self.portal.add_comment(message.task, text)
        await self.store.run(
            outbox.delivered, message, self.now(), comment=number if number and generation else None
        )

    async def _find_comment(self, message: Message, marker: str) -> int | None:
        number = await self.portal.find_comment(message.task, marker)
        await self.store.run(outbox.being_sent, message, self.now())
        return number

    async def _is_recognised(self, message: Message) -> bool:
        """Was it sent with a key that this portal supports and still keeps?"""
        at = message.payload.get("keyed_at")
        if at is None or self.now() - datetime.fromisoformat(at) > KEY_LIVES:
            return False
        return await self.store.run(flags.last, flags.HEEDS_KEYS) is not None

    async def _add_keyed(self, message: Message, text: str) -> int | None:
        """
        By REST 3.0, which recognises a repeated comment: the same text with the same key. None: it
        refused this comment, and has not written it now.
        """
        key = f"{message.attempt}.{message.ordinal}.{message.created.timestamp():.0f}"
        if "keyed" not in message.payload:
            at = self.now().isoformat()
            await self.store.run(outbox.remember, message, {"keyed": text, "keyed_at": at})
        try:
            supported = await self.portal.add_keyed_comment(message.task, text, key)
        except PortalDenied:
            raise
        except PortalRefused as error:
            self.log.info("REST 3.0 takes no comment: {error}", error=error)
            # For this task, or for all: the method or the scope no longer exists.
            self.portal.keyed = not re.search("(?i)method|scope|ACCESS", error.code)
            return None
        if supported:
            await self.store.run(flags.mark, self.now(), flags.HEEDS_KEYS)
        else:
            self.log.info(
                "the portal ignores idempotency keys: after a lost answer, the comment is looked up"
            )
            await self.store.run(flags.clear_all, flags.HEEDS_KEYS)
        return 0

    async def _edit(self, message: Message, number: int, text: str) -> int | None:
        """Update the generation's only comment; None: a new one is needed."""
        try:
            await self.portal.edit_comment(message.task, number, text)
        except PortalDenied:
            raise
        except PortalRefused as error:
            self.log.info(
                "{attempt}: its comment is not edited: {error}",
                attempt=message.attempt,
                error=error,
            )
            # Without editing, a call that ended like the one before needs no new comment.
            return number if message.payload.get("same") else None
        return number

    def _name(self, user: int) -> str:
        operator = self.roster.by_id(OperatorId(user))
        return texts.bb(operator.name) if operator else str(user)
