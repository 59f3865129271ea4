"""
The reconciler: no attempt stays in flight for ever, no report stays in Asterisk, no orphaned file
stays in the spool.

It reads AstDB, the live channels, the spool and the clock; the ledger decides.
"""

from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta

from attrs import define, field
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from autodial.engine.attempt_ends import AttemptEnds
from autodial.engine.test_calls import is_test
from autodial.errors import PbxError, StoreError
from autodial.model.attempt import Report
from autodial.model.attempt_states import State
from autodial.model.ids import AttemptId, attempt_id
from autodial.pbx.agi_scripts import AstDb
from autodial.pbx.ami import Ami, MoreKept, NotConnected
from autodial.rules.hangup import parse_report
from autodial.store import attempt_queries, nodes
from autodial.store.database import Store
from call_files import Spool
from fastagi_server import RateLimitedLog

#: An attempt without a live channel is given up this long after its last step: a call file's
#: channel follows its rename, and a claim's record follows the claim, after a moment.
GRACE = timedelta(seconds=20)
#: A claim may have failed just before the server listened.
STARTING = timedelta(seconds=10)
#: How long an attempt past its lease waits for Asterisk's manager while the dialler runs. If the
#: manager comes back sooner, a report of any age is found.
UNASKED = timedelta(days=1)
#: Seconds between two warnings of one kind: a round runs every 15 s.
COMPLAIN = 3600.0


@define(eq=False)
class Reconciler:
    """Reconciles one dialler with one Asterisk."""

    log = Logger()

    store: Store
    ends: AttemptEnds
    spool: Spool
    astdb: AstDb
    now: Callable[[], datetime]
    ami: Ami | None
    clock: IReactorTime
    #: Since when Asterisk's manager cannot be asked for kept reports; None: it can.
    _unasked_since: datetime | None = field(default=None, init=False)
    #: Attempts whose report cannot be written because of a fault in the dialler.
    _unfit: set[AttemptId] = field(factory=set, init=False)
    address: str = ""  #: where our server listens, for log lines
    _limited_log: RateLimitedLog = field(init=False)
    _listening_since: datetime = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._listening_since = self.now() + STARTING
        self._limited_log = RateLimitedLog(self.log, self.clock, every=COMPLAIN)

    async def turn(self) -> None:
        """
        One round. No attempt is given up before all reports are recorded: those in memory and
        those that Asterisk keeps. Otherwise a dialler that was down longer than an attempt's lease
        would count a talk as lost, and call its client again.
        """
        await self.ends.write_unwritten()
        try:
            await self._ask_asterisk()
            self._unasked_since = None
        except (NotConnected, PbxError) as error:
            if isinstance(error, PbxError):
                self._limited_log.error("{error}", error=error)
            self._unasked_since = self._unasked_since or self.now()
        await self._end_leases()
        await self._clear_spool()

    async def _end_leases(self) -> None:
        """Give up attempts past their lease; without Asterisk's manager only after a day."""
        node = self.ends.calls.node
        others = await self.store.run(nodes.live) if node else frozenset()
        expired = await self.store.run(attempt_queries.expired, self.now(), node, others)
        since = self._unasked_since
        if expired and since is not None and self.now() - since < UNASKED:
            self._limited_log.warn(
                "{count} attempts are past their lease, and wait for Asterisk's manager: their"
                " reports may be kept there",
                count=len(expired),
            )
            return
        for attempt, state in expired:
            if attempt in self._unfit:
                continue
            self.log.warn("{attempt}: past its lease", attempt=attempt)
            await self.ends.give_up(attempt, "lease", lost=state is not State.SPOOLED)

    async def _ask_asterisk(self) -> None:
        """
        Raises:
            NotConnected. PbxError: Asterisk's manager did not list the reports it keeps.
        """
        if self.ami is None:
            return
        before = self.now() - GRACE
        # The order matters: a channel that is gone has sent its report, to us or to AstDB.
        alive: Collection[str] | None
        try:
            alive = await self.ami.channels()
        except PbxError as error:
            self._limited_log.warn("{error}; nothing is given up by this list", error=error)
            alive = None
        try:
            await self._record(await self.ami.kept_reports())
        except MoreKept as error:
            await self._record(error.reports)
            raise  # an attempt without a report may have one among the others
        if alive is None:
            return
        node = self.ends.calls.node
        for attempt, state in await self.store.run(attempt_queries.older_than, before, node):
            if attempt in alive or attempt in self._unfit:
                continue
            claimed = state is not State.SPOOLED
            self.log.warn("{attempt}: no channel and no report", attempt=attempt)
            # Without a claim it was not dialled; after a claim, that is unknown.
            await self.ends.give_up(attempt, "no channel", lost=claimed)

    async def _record(self, kept: Mapping[str, str]) -> None:
        """Reports that Asterisk keeps are recorded, and then deleted there."""
        for key, text in kept.items():
            name = attempt_id(key)
            if is_test(key):
                self.astdb.recorded.add(key)  # to be deleted: nobody waits for its end any more
                continue
            if name is None:
                self._limited_log.warn("AstDB, family autodial: {key} is no attempt", key=key)
                continue
            if not await self.ends.possible(name):
                continue  # its call goes on, whatever wrote the report
            report = parse_report(text.split(","))
            self._check_address(name, report)
            try:
                await self.ends.record(name, report)
            except StoreError:
                raise
            except Exception:
                # It stays in AstDB, its attempt stays as it is, and the others go on.
                self.log.failure("{attempt}: its report cannot be written", attempt=name)
                self._unfit.add(name)
                continue
            self._unfit.discard(name)
            self.astdb.recorded.add(name)

    def _check_address(self, attempt: AttemptId, report: Report) -> None:
        """A claim that failed while our server listened: Asterisk asks another address."""
        at = report.ended
        if report.stage == "claimfail" and at is not None and at > self._listening_since:
            self._limited_log.error(
                "{attempt}: Asterisk did not get our answer to its claim, though we listen on"
                " {address}: is that AD_AGI of its dialplan's globals, and AD_SECRET ours?"
                " 'autodial doctor' checks",
                attempt=attempt,
                address=self.address,
            )

    async def _clear_spool(self) -> None:
        """Remove our files whose attempt is over: leftovers of a crash."""
        in_flight = {attempt.id for attempt in await self.store.run(attempt_queries.in_flight)}
        for name in self.spool.waiting():
            attempt = AttemptId(name)
            if attempt in in_flight:
                continue
            if await self.store.run(attempt_queries.load_attempt, attempt) is not None:
                self.ends.withdraw(name)
                self.log.warn("{attempt}: leftover call file removed", attempt=attempt)
