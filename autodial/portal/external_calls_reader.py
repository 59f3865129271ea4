"""Reads external calls from the portal's call statistics: talks with our clients besides ours."""

from collections.abc import Callable
from datetime import datetime

from attrs import define, field
from twisted.logger import Logger

from autodial.config.settings import Config
from autodial.model.ids import attempt_id
from autodial.portal.staff_reader import SELDOM, SOON, final
from autodial.rules.phone_numbers import e164
from autodial.store.database import Store
from autodial.store.external_calls import ExternalCall, mark, save_external_calls
from bitrix24 import Portal, PortalError


@define(eq=False)
class ExternalCallsReader:
    """Those of one portal, for the store."""

    log = Logger()

    config: Config
    portal: Portal
    store: Store
    now: Callable[[], datetime]
    _calls_read: int | None = field(default=None, init=False)  #: last row of the statistics
    _not_until: datetime | None = field(default=None, init=False)

    def use(self, config: Config) -> None:
        """Take over a new configuration."""
        self.config = config
        self._not_until = None

    async def restore(self) -> None:
        """After a start: go on behind what was read before."""
        self._calls_read = await self.store.run(mark)

    async def read(self) -> None:
        """External calls with our clients, where we have the right to read them."""
        now = self.now()
        if not self.config.client.external_calls or (self._not_until or now) > now:
            return
        try:
            talks, last = await self.portal.talks_since(self._calls_read)
        except PortalError as error:
            self.log.info("no external calls from the portal: {error}", error=error)
            self._not_until = now + (SELDOM if final(error) else SOON)
            return
        self._calls_read = last
        external = [talk for talk in talks if attempt_id(talk.external) is None]
        region = self.config.phones.region
        numbers = [(talk, e164(talk.number, region)) for talk in external]
        calls = [
            ExternalCall(t.id, number, t.at, t.user, t.entity)
            for t, number in numbers
            if number is not None
        ]
        if calls:
            count = await self.store.run(save_external_calls, calls, now)
            self.log.info("{calls} external calls, {count} tasks", calls=len(calls), count=count)
