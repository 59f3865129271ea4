"""Delivers what the portal is told of tasks: deadline and responsible, status, comments."""

import re
from collections.abc import Callable
from datetime import datetime, timedelta

from attrs import define
from twisted.logger import Logger

from autodial import texts
from autodial.config.settings import Config
from autodial.engine.operators import Roster
from autodial.model.ids import OperatorId
from autodial.model.outbox_message import MessageKind
from autodial.portal.comments import comment
from autodial.store import delivery, flags, outbox, own_deadlines
from autodial.store.database import Store
from autodial.store.delivery import Done
from autodial.store.outbox import Message
from autodial.store.own_deadlines import to_the_minute
from bitrix24 import Portal, PortalDenied, PortalRefused, TaskStatus

#: The portal keeps its answer to a request with a key for 24 hours.
KEY_LIVES = timedelta(hours=23)


@define(eq=False)
class TaskMessages:
    """The messages about tasks, of one dialler to one portal."""

    log = Logger()

    config: Config
    portal: Portal
    store: Store
    roster: Roster
    now: Callable[[], datetime]

    def use(self, config: Config) -> None:
        """Take over a new configuration."""
        self.config = config

    async def deliver(self, message: Message) -> Done:
        """
        Deliver it.

        Raises:
            PortalError, ValueError: it was not delivered; the type says what that means.
        """
        match message.kind:
            case MessageKind.TASK:
                return await self._task(message)
            case MessageKind.COMMENT:
                return await self._comment(message)
            case MessageKind.STATUS:
                return await self._status(message)
            case _:
                raise ValueError(f"not a message about a task: {message.kind}")

    async def _task(self, message: Message) -> Done:
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
        if theirs or await self.store.run(own_deadlines.outdated, message):
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
        return Done(until=until)

    async def _status(self, message: Message) -> Done:
        """The portal has its own rules for statuses; the status is read first: safe to repeat."""
        status = TaskStatus[message.payload["status"]]
        task = await self.portal.task(message.task)
        if task is not None and not await self.portal.bring_to(task, status):
            raise ValueError(f"a task of status {task.status} cannot become {status.name}")
        return Done()

    async def _comment(self, message: Message) -> Done:
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
            return Done()
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
        return Done(comment=number if number and generation else None)

    async def _find_comment(self, message: Message, marker: str) -> int | None:
        number = await self.portal.find_comment(message.task, marker)
        await self.store.run(delivery.being_sent, message, self.now())
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
            await self.store.run(delivery.remember, message, {"keyed": text, "keyed_at": at})
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
