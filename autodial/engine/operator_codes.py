"""Codes that operators key on their phones: a pause, a disposition, a confirmation."""

from collections.abc import Callable
from datetime import datetime

from attrs import define
from twisted.logger import Logger

from autodial.engine.attempt_ends import AttemptEnds
from autodial.model.act import Actor, Door
from autodial.model.disposition import Disposition
from autodial.model.ids import TaskId
from autodial.store import acts
from autodial.store.database import Store


@define(eq=False)
class OperatorCodes:
    """Each method returns whether the code was valid; the phone plays a tone for it."""

    log = Logger()

    store: Store
    ends: AttemptEnds
    now: Callable[[], datetime]

    async def call_now(self, extension: str, task: TaskId) -> bool:
        """
        A person's confirmation of a task. False: nobody has this extension, or the task is not
        open.
        """
        if self.ends.calls.roster.with_extension(extension) is None:
            return False
        by = Actor(extension, Door.PHONE)
        confirmed = await self.store.run(acts.call_now, task, by, self.now())
        if confirmed:
            self.log.info("task {task}: confirmed by {who}", task=task, who=extension)
        return confirmed

    async def dispose(self, extension: str, code: str) -> bool:
        """
        Store the disposition of an operator's last talk; the operator is free for the next call
        then. False: unknown extension or code, or no talk lately.
        """
        operator = self.ends.calls.roster.with_extension(extension)
        disposition = next((known for known in Disposition if str(known.code) == code), None)
        if operator is None or disposition is None:
            return False
        now = self.now()
        attempt = await self.store.run(
            acts.dispose,
            operator.id,
            disposition,
            Actor(extension, Door.PHONE),
            now,
            self.ends.policy,
        )
        if attempt is None:
            return False
        self.log.info(
            "{attempt}: {disposition}, keyed by {who}",
            attempt=attempt,
            disposition=disposition.value,
            who=extension,
        )
        self.ends.calls.roster.wraps_up(operator.id, now)
        self.ends.around.on_ended()
        self.ends.around.on_enqueued()
        return True

    async def pause(self, extension: str, *, on: bool) -> bool:
        """No calls for an operator, or calls again; False: nobody has this extension."""
        operator = self.ends.calls.roster.with_extension(extension)
        if operator is None:
            return False
        by = Actor(extension, Door.PHONE)
        if on:
            await self.store.run(acts.pause, operator.id, by, self.now(), "by phone")
        else:
            await self.store.run(acts.resume, operator.id, by, self.now())
        return True
