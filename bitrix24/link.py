"""
The connection to one portal: separates temporary errors from final ones, retries where that is
safe, and keeps the limits, the portal's and our own.

What is safe depends on the method: a read may be repeated any time; a write is never repeated
after a lost answer, but verified by its sender once it can no longer be executed late.
"""

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Protocol

from attrs import define, evolve, field
from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from bitrix24.access import Access, Send
from bitrix24.errors import (
    AnswerLost,
    GatewayLost,
    MethodResting,
    PortalBusy,
    PortalClosed,
    PortalResting,
    PortalUnavailable,
    QuestionLost,
    TokenExpired,
)
from bitrix24.wire import Params, Reply, decode


class Safety(Enum):
    """What a repetition of the same request does."""

    READ = 1  #: nothing
    #: Unknown: a portal may execute a request long after its sender gave up, even after later
    #: requests. So no write is repeated here once its answer is lost; the sender decides how long
    #: the result is unknown, and what to check then.
    WRITE = 2


_READS = ("get", "list", "getlist", "status", "tail")
_ALSO_READS = frozenset({"scope", "profile", "methods", "server.time", "app.info", "user.admin"})

#: Retries after an error of a type, by what a repetition does.
TRIES: Mapping[type[PortalUnavailable], Mapping[Safety, int]] = {
    PortalClosed: {Safety.READ: 0, Safety.WRITE: 0},
    GatewayLost: {Safety.READ: 0, Safety.WRITE: 0},
    AnswerLost: {Safety.READ: 2, Safety.WRITE: 0},
    PortalBusy: {Safety.READ: 3, Safety.WRITE: 3},
    PortalUnavailable: {Safety.READ: 2, Safety.WRITE: 2},
}
#: Seconds before the first, second, third retry.
WAITS = (0.5, 2.0, 5.0)
#: Seconds all requests pause after PORTAL_DELETED, 502 or 504; the last one repeats.
RESTS = (5.0, 15.0, 30.0, 60.0)
#: Seconds a method pauses after OPERATION_TIME_LIMIT if the portal gave no time.
METHOD_REST = 60.0
#: The longest such pause: the portal counts a method's running time over ten minutes.
LONGEST_REST = 3600.0
#: Requests a second on average, and in a burst. The cloud allows 2 and 50.
RATE, BURST = 10.0, 40
#: Requests in flight at once: three of what the portal is told, and one of what is read.
AT_ONCE = 4


def safety(method: str) -> Safety:
    """What a repetition of ``method`` does."""
    name = method.lower()
    reads = name in _ALSO_READS or name.rpartition(".")[2] in _READS
    return Safety.READ if reads else Safety.WRITE


class Line(Protocol):
    """What ``Portal`` needs of the connection to a portal."""

    async def call(
        self,
        method: str,
        params: Params,
        *,
        within: Iterable[str] = (),
        rest3: bool = False,
        key: str = "",
    ) -> Reply:
        """
        Call a method. ``within``: the methods of a batch, which decide whether it may be repeated;
        ``key``: the idempotency key of REST 3.0.

        Raises:
            PortalUnavailable, AnswerLost: temporary. PortalRefused: final.
        """
        ...

    def heard(self, method: str, error: Exception) -> None:
        """A command inside a batch has failed."""


@define
class Direct:
    """One try, no retry."""

    access: Access
    send: Send

    async def call(
        self,
        method: str,
        params: Params,
        *,
        within: Iterable[str] = (),
        rest3: bool = False,
        key: str = "",
    ) -> Reply:
        request = evolve(self.access.request(method, params, rest3=rest3), key=key)
        try:
            return decode(await self.send(request), method)
        except TokenExpired:
            if not await self.access.renew(self.send, request.token):
                raise
        request = evolve(self.access.request(method, params, rest3=rest3), key=key)
        return decode(await self.send(request), method)

    def heard(self, method: str, error: Exception) -> None:
        """Nothing to store: each request is tried once."""


@define(eq=False)
class Link:
    """The service's connection to its portal."""

    log = Logger()

    access: Access
    send: Send
    clock: IReactorTime
    rate: float = RATE
    burst: int = BURST
    at_once: int = AT_ONCE
    _slots: DeferredSemaphore = field(init=False)
    _used: float = field(default=0.0, init=False)  #: of the burst, draining at the rate
    _used_at: float = field(default=0.0, init=False)
    _rest_until: float = field(default=0.0, init=False)
    _rests: int = field(default=0, init=False)
    _methods: dict[str, float] = field(factory=dict, init=False)
    _resets: dict[str, float] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self._slots = DeferredSemaphore(self.at_once)

    async def call(
        self,
        method: str,
        params: Params,
        *,
        within: Iterable[str] = (),
        rest3: bool = False,
        key: str = "",
    ) -> Reply:
        methods = tuple(within) or (method,)
        kind = max((safety(name) for name in methods), key=lambda item: item.value)
        tries = 0
        renewed = False
        lost: AnswerLost | None = None
        while True:
            try:
                return await self._once(method, params, rest3, methods, key)
            except TokenExpired as error:
                used = self.access.request(method, {}).token
                if renewed or not await self.access.renew(self.send, used):
                    raise error
                renewed = True
            except PortalUnavailable as error:
                # After a lost answer the request may have been executed.
                lost = error if isinstance(error, AnswerLost) else lost
                if tries >= _allowed(error, kind):
                    if lost is not None and kind is Safety.READ:
                        raise QuestionLost(str(lost)) from None
                    raise lost or error from None
                wait = WAITS[min(tries, len(WAITS) - 1)]
                tries += 1
                self.log.info("{error}; retry in {wait} s", error=error, wait=wait)
                await self._sleep(wait)

    async def _once(
        self, method: str, params: Params, rest3: bool, methods: tuple[str, ...], key: str
    ) -> Reply:
        self._refuse_if_resting(methods)
        await self._slots.acquire()
        try:
            await self._room()
            self._refuse_if_resting(methods)
            request = evolve(self.access.request(method, params, rest3=rest3), key=key)
            reply = decode(await self.send(request), method)
        except (MethodResting, PortalResting):
            raise  # our own pause, not the portal's answer
        except (PortalClosed, GatewayLost):
            self._rest()
            raise
        except PortalBusy as error:
            self.heard(method, error)
            raise
        finally:
            self._slots.release()
        self._rests = 0
        if reply.resets_at is not None:
            self._resets[method] = reply.resets_at
        return reply

    def heard(self, method: str, error: Exception) -> None:
        """Takes the error of a request, or of a command inside a batch."""
        if isinstance(error, PortalBusy) and "OPERATION_TIME_LIMIT" in str(error):
            self._rest_method(method)

    def _refuse_if_resting(self, methods: tuple[str, ...]) -> None:
        now = self.clock.seconds()
        for method in methods:
            if self._rest_until > now:
                left = f"{self._rest_until - now:.0f} s"
                raise PortalResting(f"{method}: all requests pause for {left} more")
            left = f"{self._methods.get(method, 0.0) - now:.0f} s"
            if self._methods.get(method, 0.0) > now:
                raise MethodResting(f"{method}: pauses for {left} more, as the portal requires")

    def _rest(self) -> None:
        seconds = RESTS[min(self._rests, len(RESTS) - 1)]
        self._rest_until = max(self._rest_until, self.clock.seconds() + seconds)
        self._rests += 1

    def _rest_method(self, method: str) -> None:
        """Pause this method only: its running time is used up."""
        now = self.clock.seconds()
        until = self._resets.get(method, 0.0)
        known = now < until <= now + LONGEST_REST
        self._methods[method] = until if known else now + METHOD_REST

    async def _room(self) -> None:
        """Wait for our own rate limit: a leaky bucket, as the cloud has."""
        while True:
            now = self.clock.seconds()
            self._used = max(0.0, self._used - (now - self._used_at) * self.rate)
            self._used_at = now
            if self._used <= self.burst - 1:
                self._used += 1
                return
            await self._sleep((self._used - self.burst + 1) / self.rate)

    def _sleep(self, seconds: float) -> "Deferred[None]":
        return deferLater(self.clock, seconds, lambda: None)


def _allowed(error: PortalUnavailable, kind: Safety) -> int:
    trouble = next(error_type for error_type in TRIES if isinstance(error, error_type))
    return TRIES[trouble][kind]
