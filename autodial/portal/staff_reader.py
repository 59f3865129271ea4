"""Reads the staff from the portal: who the operators are, and who is at work."""

from collections.abc import Callable
from datetime import datetime, timedelta

from attrs import define, field
from twisted.logger import Logger

from autodial.config.settings import Config
from autodial.engine.operators import Roster
from autodial.rules.extension_conflicts import conflicts
from autodial.store import presence, views
from autodial.store.database import Store
from bitrix24 import (
    AnswerStrange,
    Portal,
    PortalDenied,
    PortalError,
    PortalRefused,
    StaffQuery,
)

#: How long the tree of departments is cached, and an unreadable event log is not requested again.
SELDOM = timedelta(hours=1)
#: Pause after a temporary failure of an optional source.
SOON = timedelta(minutes=5)


def final(error: PortalError) -> bool:
    """Is a retry soon pointless?"""
    return isinstance(error, PortalRefused | AnswerStrange)


@define(eq=False)
class StaffReader:
    """The staff of one portal, for the store and the roster."""

    log = Logger()

    config: Config
    portal: Portal
    store: Store
    roster: Roster
    now: Callable[[], datetime]
    _query: tuple[datetime, StaffQuery] | None = field(default=None, init=False)
    _logins_read: int | None = field(default=None, init=False)  #: the last entry of the event log
    _no_logins_until: datetime | None = field(default=None, init=False)
    _complaints: frozenset[str] = field(default=frozenset(), init=False)

    def use(self, config: Config) -> None:
        """Take over a new configuration."""
        if self.config.staff != config.staff:  # else the ids of its names are still right
            self._query = None
        self.config = config
        self._complaints = frozenset()

    async def read(self) -> None:
        """One poll of it; device states and complaints go with it."""
        staff, now = self.config.staff, self.now()
        people = await self.portal.staff(await self._resolved_query())
        ids = [person.id for person in people]
        await self._logins(frozenset(ids))
        try:
            present = await self.portal.presence(ids, working_day=staff.working_day != "ignore")
        except AnswerStrange as error:
            if staff.working_day == "require":
                raise
            self.log.error("no working days from the portal: {error}", error=error)
            present = await self.portal.presence(ids, working_day=False)
        rows = await self.store.run(presence.save_staff, people, present, now, staff.presence)
        self.roster.set_staff(rows)
        await self.save_phones()
        await self._complain()

    async def _resolved_query(self) -> StaffQuery:
        """Who is staff, by ids, including the departments below the named ones."""
        if self._query is None or self.now() - self._query[0] > SELDOM:
            try:
                query = await self.portal.named(self.config.staff.query)
            except PortalRefused as error:
                if self._query is None or isinstance(error, PortalDenied):
                    raise
                # Renamed, or not readable: the staff stays until the name is corrected.
                self.log.error("[staff] {error}", error=error)
                return self._query[1]
            if query.departments:
                query = StaffQuery(departments=await self.portal.with_below(query.departments))
            self._query = (self.now(), query)
        return self._query[1]

    async def _logins(self, staff: frozenset[int]) -> None:
        """Exact login and logout times, where the portal has them; nothing depends on them."""
        now = self.now()
        if not self.config.staff.logins or (self._no_logins_until or now) > now:
            return
        if self._logins_read is None:
            self._logins_read = await self.store.run(presence.login_mark)
        try:
            events, self._logins_read = await self.portal.logins_since(self._logins_read)
        except PortalError as error:
            # Nothing depends on them: go on and read the tasks.
            self.log.info("no logins and logouts from the portal: {error}", error=error)
            self._no_logins_until = now + (SELDOM if final(error) else SOON)
            if final(error):
                await self.store.run(presence.forget_logins)
            return
        # The log is of the whole company.
        logins = [event for event in events if event.user in staff]
        await self.store.run(presence.save_logins, logins, now)

    async def save_phones(self) -> None:
        """Store the device states of the operators' phones, for the commands."""
        await self.store.run(presence.save_phones, self.roster.everywhere())

    async def _complain(self) -> None:
        """Log what is wrong with the staff's phones, once, and again when it changes."""
        lines = await self.store.run(views.operator_lines)
        wrong = conflicts(lines)
        complaints = frozenset(
            f"{line.name} ({line.extension or '-'}): {', '.join(wrong[line.id])}"
            for line in lines
            if line.id in wrong
        )
        for complaint in sorted(complaints - self._complaints):
            self.log.warn("operator {complaint}", complaint=complaint)
        self._complaints = complaints
