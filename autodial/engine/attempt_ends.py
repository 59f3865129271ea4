"""
The ends of attempts: reports of the dialplan, and attempts that are given up.

An end is on disk before the dialplan gets its answer. A report that cannot be written is kept here
and written before any attempt is given up.
"""

from collections.abc import Callable
from datetime import datetime

from attrs import define, field
from twisted.internet.defer import DeferredLock
from twisted.logger import Logger

from autodial.config.settings import Config
from autodial.engine.live_calls import LiveCalls
from autodial.engine.surroundings import Surroundings
from autodial.errors import StoreError
from autodial.model.attempt import Attempt, Report
from autodial.model.attempt_states import State
from autodial.model.ids import AttemptId
from autodial.model.outcome import Outcome
from autodial.rules.end_policy import EndPolicy
from autodial.rules.next_call import NextCall
from autodial.rules.trunk_choice import routes_tried
from autodial.store import attempt_end, attempt_queries
from autodial.store.database import Store
from call_files import Spool


def policy_of(config: Config) -> EndPolicy:
    """The configured rules for the end of an attempt."""
    return EndPolicy(
        retry=config.rules_for_retry,
        write_back=config.write_back,
        fit=NextCall(config.limits, config.when, config.client.jitter),
        attempts=config.client.attempts,
        later=config.tasks.later,
    )


@define(eq=False)
class AttemptEnds:
    """Writes the ends of one dialler's attempts."""

    log = Logger()

    config: Config
    store: Store
    calls: LiveCalls
    spool: Spool
    now: Callable[[], datetime]
    around: Surroundings
    policy: EndPolicy = field(init=False)
    #: Reports that the store could not write, in the order they came: this may be the only copy.
    _unwritten: dict[AttemptId, list[Report]] = field(factory=dict, init=False)
    _writing: DeferredLock = field(factory=DeferredLock, init=False)

    def __attrs_post_init__(self) -> None:
        self.use(self.config)

    def use(self, config: Config) -> None:
        """From now on this is the configuration."""
        self.config = config
        self.policy = policy_of(config)

    @property
    def unwritten(self) -> int:
        """For how many attempts a report waits that the store could not write."""
        return len(self._unwritten)

    async def possible(self, attempt: AttemptId) -> bool:
        """
        Can this attempt have ended? A report alone does not count while its call still has a
        channel in Asterisk.
        """
        if self.calls.get(attempt) is None:
            return True
        return not await self.around.under_way(attempt, self.calls.leg(attempt))

    async def record(self, attempt: AttemptId, report: Report) -> None:
        """
        Write the end that Asterisk reports. On disk once this returns; an attempt that has ended
        already is not changed.

        Raises:
            StoreError: it cannot be written now. The report is kept here.
        """
        try:
            await self._write(attempt, report)
        except StoreError:
            reports = self._unwritten.setdefault(attempt, [])
            if report not in reports:
                reports.append(report)
            raise

    async def write_unwritten(self) -> None:
        """
        Write the reports that could not be written when they came.

        Raises:
            StoreError: one still cannot be written; the rest stays here.
        """
        await self._writing.acquire()  # a stop and the reconciler may both be here
        try:
            for attempt in tuple(self._unwritten):
                while reports := self._unwritten[attempt]:
                    await self._write_or_leave(attempt, reports[0])
                    del reports[0]
                del self._unwritten[attempt]
        finally:
            self._writing.release()

    async def _write_or_leave(self, attempt: AttemptId, report: Report) -> None:
        """A faulty report is logged; it does not block the others."""
        try:
            await self._write(attempt, report)
        except StoreError:
            raise
        except Exception:
            self.log.failure("{attempt}: its report cannot be written", attempt=attempt)
        else:
            self.log.info("{attempt}: its report is written down now", attempt=attempt)

    async def _write(self, attempt: AttemptId, report: Report) -> None:
        known = self.calls.get(attempt)
        end = await self.store.run(attempt_end.record, attempt, report, self.now(), self.policy)
        if end.recorded is attempt_end.Recorded.UNKNOWN:
            self.log.warn("{attempt}: a report for an attempt nobody made", attempt=attempt)
        if end.recorded is attempt_end.Recorded.ENDED:
            self._ended(attempt, end)
            self._wrap_up(end)
            self._count(known, report, end)

    def _count(self, known: Attempt | None, report: Report, end: attempt_end.Ended) -> None:
        """Update the statistics for the limits over all calls."""
        for route in routes_tried(known.routes, report.trunk)[1:] if known else ():
            self.calls.statistics.shown(self.now(), route.caller_id)
        if end.answered is not None:
            self.calls.statistics.ended(end.answered)

    def _wrap_up(self, end: attempt_end.Ended) -> None:
        span = self.config.staff.wrap_up
        if span and end.taken_by is not None:
            self.calls.roster.wraps_up(end.taken_by, self.now() + span)

    async def give_up(self, attempt: AttemptId, why: str, *, lost: bool = False) -> None:
        """
        End an attempt without a report: never dialled (withdrawn), or lost. An attempt whose report
        waits to be written is left alone.
        """
        if attempt in self._unwritten:
            return
        outcome = Outcome.LOST if lost else Outcome.WITHDRAWN
        end = await self.store.run(
            attempt_end.give_up, attempt, outcome, why, self.now(), self.policy
        )
        if end.recorded is attempt_end.Recorded.ENDED:
            self._ended(attempt, end, why)
            self.withdraw(attempt)

    async def spool_failed(self, attempt: AttemptId) -> None:
        """Asterisk could not start the call file. Ignored once the attempt is claimed."""
        known = await self.store.run(attempt_queries.load_attempt, attempt)
        if known is not None and known.state is State.SPOOLED:
            await self.give_up(attempt, "spoolfail")

    def withdraw(self, name: str) -> None:
        """Remove a call file; one that cannot be removed is only logged: its claim is refused."""
        try:
            self.spool.withdraw(name)
        except OSError as error:
            self.log.error("{attempt}: call file stays: {error}", attempt=name, error=error)

    def _ended(self, attempt: AttemptId, end: attempt_end.Ended, why: str = "") -> None:
        self.calls.ended(attempt, end.outcome)
        self.around.on_ended()
        self.around.on_enqueued()
        self.log.info(
            "{attempt}: {outcome} {why}next {next}",
            attempt=attempt,
            outcome=end.outcome.value if end.outcome else "",
            why=f"({why}) " if why else "",
            next=end.next_call,
        )
