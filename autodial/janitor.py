"""
The janitor: no attempt stays in flight for ever, no report stays in Asterisk, no file in the
spool that nobody answers for.

It looks at AstDB, the live channels, the spool and the clock; the ledger decides.
"""

from collections.abc import Callable, Collection
from datetime import datetime, timedelta

from attrs import define, field
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from autodial.ami import Ami, NotConnected
from autodial.desk import Desk
from autodial.errors import PbxError
from autodial.model import AttemptId, attempt_id
from autodial.outcomes import parse_report
from autodial.scripts import AstDb
from autodial.states import State
from autodial.store import ledger
from autodial.store.database import Store
from call_files import Spool
from fastagi_server import RateLimitedLog

#: An attempt without a live channel is given up this long after its last step: between the
#: rename of a call file and its channel, and between a claim and its record, there is a moment.
GRACE = timedelta(seconds=20)
#: Seconds between two complaints of one kind: it looks every quarter of a minute.
COMPLAIN = 3600.0


@define(eq=False)
class Janitor:
    """Reconciles one dialler with one Asterisk."""

    log = Logger()

    store: Store
    desk: Desk
    spool: Spool
    astdb: AstDb
    now: Callable[[], datetime]
    ami: Ami | None
    clock: IReactorTime
    _limited_log: RateLimitedLog = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._limited_log = RateLimitedLog(self.log, self.clock, every=COMPLAIN)

    async def turn(self) -> None:
        """One round. What Asterisk cannot be asked now is left to the clock."""
        try:
            await self._ask_asterisk()
        except NotConnected:
            self.log.debug("Asterisk's manager is out of reach")
        except PbxError as error:
            self.log.error("{error}", error=error)
        for attempt, state in await self.store.run(ledger.expired, self.now()):
            self.log.warn("{attempt}: past its lease", attempt=attempt)
            await self.desk.give_up(attempt, "lease", lost=state is not State.SPOOLED)
        await self._clear_spool()

    async def _ask_asterisk(self) -> None:
        if self.ami is None:
            return
        before = self.now() - GRACE
        # The order matters: a channel that is gone has written its report, to us or to AstDB.
        alive: Collection[str] | None
        try:
            alive = await self.ami.channels()
        except PbxError as error:
            self._limited_log.warn("{error}; nothing is given up by this list", error=error)
            alive = None
        for key, said in (await self.ami.kept_reports()).items():
            name = attempt_id(key)
            if name is None:
                self._limited_log.warn("AstDB, family autodial: {key} is no attempt", key=key)
                continue
            if not await self.desk.over(name):
                continue  # its call goes on, whoever wrote that
            await self.desk.result(name, parse_report(said.split(",")))
            self.astdb.recorded.add(name)
        if alive is None:
            return
        for attempt, state in await self.store.run(ledger.older_than, before):
            if attempt in alive:
                continue
            claimed = state is not State.SPOOLED
            self.log.warn("{attempt}: no channel and no report", attempt=attempt)
            # Never claimed is never dialled; after a claim, nobody can say.
            await self.desk.give_up(attempt, "no channel", lost=claimed)

    async def _clear_spool(self) -> None:
        """Files of ours whose attempt is over: leftovers of a crash."""
        wanted = {attempt.id for attempt in await self.store.run(ledger.in_flight)}
        for name in self.spool.waiting():
            attempt = AttemptId(name)
            if attempt in wanted:
                continue
            if await self.store.run(ledger.load_attempt, attempt) is not None:
                self.desk.take_away(name)
                self.log.warn("{attempt}: leftover call file removed", attempt=attempt)
