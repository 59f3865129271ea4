"""A periodic job as a service: one turn at a time, woken early on request, surviving failures."""

from collections.abc import Awaitable, Callable

from attrs import define, field
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from autodial.errors import AutodialError
from fastagi_server import RateLimitedLog

#: How long a stop waits for a running turn, in seconds. A portal may take half a minute to answer;
#: work that is cut off here is on disk as not done.
GRACE = 5.0
#: Seconds between two log lines about the same failure.
COMPLAIN = 60.0


@define(eq=False, slots=False)
class Periodic(Service):
    """
    Run a coroutine every ``seconds``. The clock is an argument, so a test can advance it.

    ``wake`` runs it now, or right after the running turn, but not sooner than ``least`` after its
    start. No wake is lost.
    """

    log = Logger()

    clock: IReactorTime
    seconds: float
    turn: Callable[[], Awaitable[None]]
    label: str
    #: The least seconds from the start of one turn to the next.
    least: float = 0.0
    _begun: float = field(default=float("-inf"), init=False)
    _running: "Deferred[None] | None" = field(default=None, init=False)
    _again: bool = field(default=False, init=False)
    _timer: IDelayedCall | None = field(default=None, init=False)
    _limited_log: RateLimitedLog = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._limited_log = RateLimitedLog(self.log, self.clock, every=COMPLAIN)

    def startService(self) -> None:
        super().startService()
        self.wake()

    def stopService(self) -> "Deferred[None] | None":
        """Stop after the running turn, but wait no longer than ``GRACE`` for it."""
        super().stopService()
        self._cancel()
        if self._running is None:
            return None
        done: Deferred[None] = Deferred()
        timer = self.clock.callLater(GRACE, done.callback, None)

        def ended(_: object) -> None:
            if timer.active():
                timer.cancel()
                done.callback(None)

        self._running.addBoth(ended)
        return done

    def wake(self) -> None:
        """Take the next turn now."""
        if not self.running:
            return
        if self._running is not None:
            self._again = True
            return
        early = self._early()
        if early > 0:
            self._again = True
            if not self._comes_within(early):
                self._cancel()
                self._timer = self.clock.callLater(early, self.wake)
            return
        self._cancel()
        self._again = False
        self._begun = self.clock.seconds()
        self._running = Deferred.fromCoroutine(self._run_turn())
        if self._running.called:
            self._running = None

    async def _run_turn(self) -> None:
        try:
            await self.turn()
        except AutodialError as error:
            # Our own errors name the remedy: one line without traceback, rate-limited.
            self._limited_log.error("{label}: {error}", label=self.label, error=error)
        except Exception:
            self.log.failure("{label} failed; it will run again", label=self.label)
        finally:
            self._running = None
            if self.running:
                pause = max(0.0, self._early()) if self._again else self.seconds
                self._timer = self.clock.callLater(pause, self.wake)

    def _comes_within(self, seconds: float) -> bool:
        timer = self._timer
        if timer is None or not timer.active():
            return False
        return timer.getTime() <= self.clock.seconds() + seconds

    def _early(self) -> float:
        """Seconds until the next turn may begin; not positive: now."""
        return self._begun + self.least - self.clock.seconds()

    def _cancel(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
