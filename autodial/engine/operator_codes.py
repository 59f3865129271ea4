"""What operators key on their phones: a pause, a disposition, "dial this task now"."""

from collections.abc import Callable
from datetime import datetime

from attrs import define
from twisted.logger import Logger

from autodial.engine.attempt_ends import AttemptEnds
from autodial.model.disposition import Disposition
from autodial.model.ids import TaskId
from autodial.store import dispositions, pauses
from autodial.store.database import Store
from autodial.store.tasks import confirm


@define(eq=False)
class OperatorCodes:
    """Each answer says whether the code was understood; the phone plays a tone for it."""

    log = Logger()

    store: Store
    ends: AttemptEnds
    now: Callable[[], datetime]

    async def call_now(self, extension: str, task: TaskId) -> bool:
        """
        A person's confirmation of a task. False: nobody has this extension, or it is no task that
        could be dialled.
        """
        if self.ends.calls.roster.with_extension(extension) is None:
            return False
        confirmed = await self.store.run(confirm, task, self.now())
        if confirmed:
            self.log.info("task {task}: dial it now, says {who}", task=task, who=extension)
        return confirmed

    async def dispose(self, extension: str, code: str) -> bool:
        """
        The disposition of an operator's last talk; the operator is free for the next call then.
        False: nobody has this extension, or had a talk lately, or the code means nothing.
        """
        operator = self.ends.calls.roster.with_extension(extension)
        disposition = next((one for one in Disposition if str(one.code) == code), None)
        if operator is None or disposition is None:
            return False
        now = self.now()
        attempt = await self.store.run(
            dispositions.save, operator.id, disposition, now, self.ends.policy
        )
        if attempt is None:
            return False
        self.log.info(
            "{attempt}: {disposition}, says {who}",
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
        if on:
            await self.store.run(pauses.pause, operator.id, self.now(), "by phone")
        else:
            await self.store.run(pauses.resume, operator.id)
        return True
