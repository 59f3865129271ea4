"""Delivers what the portal is told of calls: registrations, cards, notices, ends, recordings."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import ClassVar

from attrs import define, field
from twisted.logger import Logger

from autodial import texts
from autodial.config.settings import Config
from autodial.model.outbox_message import MessageKind
from autodial.model.outcome import effect
from autodial.portal.line_pool import LinePool
from autodial.portal.recordings import Recordings
from autodial.store import delivery, outbox
from autodial.store.database import Store
from autodial.store.delivery import Done
from autodial.store.outbox import Message
from bitrix24 import Portal, PortalDenied, PortalError, PortalRefused

#: A call's start may be this old when it is registered, so that a repetition is recognised.
KNOWN_AGAIN = timedelta(minutes=20)
#: From this age on a repetition is not recognised.
FORGOTTEN = timedelta(minutes=28)
#: Refusals that concern all calls.
FORBIDDEN = frozenset(
    {"insufficient_scope", "WRONG_AUTH_TYPE", "ACCESS_DENIED", "ERROR_METHOD_NOT_FOUND"}
)


@define(eq=False)
class CallMessages:
    """The messages about calls, of one dialler to one portal."""

    log = Logger()

    KINDS: ClassVar = frozenset(
        {
            MessageKind.REGISTER, MessageKind.MOVE, MessageKind.NOTIFY, MessageKind.FINISH,
            MessageKind.RECORD,
        }
    )  # fmt: skip

    config: Config
    portal: Portal
    store: Store
    lines: LinePool
    now: Callable[[], datetime]
    recordings: Recordings = field(init=False)
    #: The log reports that unanswered calls cannot be registered.
    _complained: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self.recordings = Recordings(self.config.recording)

    def use(self, config: Config) -> None:
        """Take over a new configuration."""
        self.config = config
        self.recordings = Recordings(config.recording)

    async def deliver(self, message: Message) -> Done | None:
        """
        Deliver it. None: it waits, and that is stored.

        Raises:
            PortalError, ValueError: it was not delivered; the type says what that means.
        """
        match message.kind:
            case MessageKind.REGISTER:
                return await self._register(message)
            case MessageKind.MOVE:
                return await self._move(message)
            case MessageKind.NOTIFY:
                return await self._notify(message)
            case MessageKind.FINISH:
                return await self._finish(message)
            case MessageKind.RECORD:
                return await self._record(message)
            case _:
                raise ValueError(f"not a message about a call: {message.kind}")

    def stored(self, done: Done) -> None:
        """What became of a message is on disk."""
        if done.recording is not None:
            self.recordings.attached(done.recording)

    async def _register(self, message: Message) -> Done:
        try:
            done = await self._register_call(message)
        except PortalDenied:
            raise  # it concerns all requests, not this call
        except PortalRefused as error:
            if "quiet" not in message.payload or error.code not in FORBIDDEN:
                raise
            # No dead letter: there would be one for each unanswered attempt.
            if not self._complained:
                self.log.error(
                    "unanswered calls are not registered: {error}; give the webhook the scope"
                    " telephony, or set [portal] register_unanswered = false",
                    error=error,
                )
            self._complained = True
            return Done()
        self._complained = False
        return done

    async def _register_call(self, message: Message) -> Done:
        """Safe to repeat for half an hour, while the portal recognises the attempt's id."""
        portal = self.config.portal
        common = await self.lines.common(message.purpose)
        # The line is a part of the key by which the portal recognises the call.
        quiet = message.payload.get("quiet", False)
        line = message.payload.get("line")
        if line is None:
            line = await self.lines.line_of(message) if message.ended is None else common
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
            await self.store.run(delivery.remember, message, registered)
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
        if portal.call_id_field and message.ended is None:
            # For the script on the portal, which links the card to its task; the card is shown
            # without it, too.
            try:
                await self.portal.set_field(message.task, portal.call_id_field, call_id)
            except PortalError as error:
                self.log.warn(
                    "{attempt}: no link on its card: {error}", attempt=message.attempt, error=error
                )
        return Done(call_id=call_id)

    async def _move(self, message: Message) -> Done:
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
        return Done()

    async def _notify(self, message: Message) -> Done:
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
        return Done()

    async def _finish(self, message: Message) -> Done:
        self.lines.release(message.attempt)
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
        return Done()

    async def _record(self, message: Message) -> Done | None:
        """A repetition replaces the file. Asterisk may still be writing it."""
        if message.call_id is None or message.ended is None:
            return Done()
        recording = self.recordings.find(message.attempt, message.ended, self.now())
        if recording.wait is not None:
            await self.store.run(delivery.wait, message, recording.wait)
            return None
        if recording.file is None:
            raise ValueError(f"no recording {recording.name}: is AD_RECORD set in the dialplan?")
        try:
            await self.portal.attach_recording(message.call_id, recording.file, recording.size)
        except OSError as error:
            raise ValueError(f"{recording.file}: {error.strerror}") from error
        return Done(recording=recording.file)

    def _started(self, at: datetime) -> datetime:
        """
        The portal recognises a call only while its start is less than half an hour old. A call
        registered later, after an outage, starts now: a wrong time is better than two calls.
        """
        return at if self.now() - at < KNOWN_AGAIN else self.now()
