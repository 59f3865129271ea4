"""Codes that operators key on their phones: a pause, a disposition, a confirmation."""

import re
from collections.abc import Callable
from datetime import datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

from attrs import define
from twisted.logger import Logger

from autodial.engine.attempt_ends import AttemptEnds
from autodial.model.act import Actor, Door
from autodial.model.disposition import Disposition
from autodial.model.ids import TaskId
from autodial.moments import on_day
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
        then. False: unknown extension or code, or no talk lately. "2" may be followed by the time
        to call at, "1500", or by a day of the week and the time, "51500".
        """
        operator = self.ends.calls.roster.with_extension(extension)
        disposition = next((known for known in Disposition if str(known.code) == code[:1]), None)
        now = self.now()
        at = _moment(code[1:], ZoneInfo(self.ends.config.hours.zone), now)
        if operator is None or disposition is None or (code[1:] and at is None):
            return False
        if at is not None and disposition is not Disposition.LATER:
            return False
        attempt = await self.store.run(
            acts.dispose,
            operator.id,
            disposition,
            Actor(extension, Door.PHONE),
            now,
            self.ends.policy,
            at,
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


def _moment(digits: str, zone: tzinfo, now: datetime) -> datetime | None:
    """The next such time, or the next on such a day of the week; None: it is none."""
    found = re.fullmatch("([1-7]?)([01][0-9]|2[0-3])([0-5][0-9])", digits)
    if found is None:
        return None
    here = now.astimezone(zone)
    moment = here.replace(hour=int(found[2]), minute=int(found[3]), second=0, microsecond=0)
    if found[1]:
        return on_day(moment, int(found[1]) - 1, now)
    return moment if moment > now else moment + timedelta(days=1)
