"""
The way to one portal: tells passing trouble from final trouble, tries again where that is safe,
and keeps within limits, the portal's and our own.

What is safe depends on the method: a read may be repeated at will, a write with absolute values
too; anything else is never repeated after a lost answer, but verified by whoever knows how.
"""

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Protocol

from attrs import define, field
from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from bitrix24.access import Access, Send
from bitrix24.errors import (
    AnswerLost,
    GatewayLost,
    PortalBusy,
    PortalClosed,
    PortalUnavailable,
    TokenExpired,
)
from bitrix24.wire import Params, Reply, decode


class Safety(Enum):
    """What a repetition of the same request does."""

    READ = 1  #: nothing
    ABSOLUTE = 2  #: the same again: absolute values, or a key that the portal recognises
    ONCE = 3  #: a second comment, a second task


#: Writes that may be repeated. Reads are known by their names; all the rest is ONCE.
ABSOLUTE = frozenset(
    {
        "tasks.task.update", "telephony.externalline.add", "telephony.externalline.update",
        "telephony.externalcall.register", "telephony.externalcall.show",
        "telephony.externalcall.hide", "telephony.externalcall.attachrecord",
        "im.notify.personal.add",  # with a TAG, which the portal keeps unique
    }
)  # fmt: skip
_READS = ("get", "list", "getlist", "status", "tail")
_ALSO_READS = frozenset({"scope", "profile", "methods", "server.time", "app.info", "user.admin"})

#: Further tries after trouble of a kind, by what a repetition does.
TRIES: Mapping[type[PortalUnavailable], Mapping[Safety, int]] = {
    PortalClosed: {Safety.READ: 0, Safety.ABSOLUTE: 0, Safety.ONCE: 0},
    GatewayLost: {Safety.READ: 0, Safety.ABSOLUTE: 0, Safety.ONCE: 0},
    AnswerLost: {Safety.READ: 2, Safety.ABSOLUTE: 1, Safety.ONCE: 0},
    PortalBusy: {Safety.READ: 3, Safety.ABSOLUTE: 3, Safety.ONCE: 3},
    PortalUnavailable: {Safety.READ: 2, Safety.ABSOLUTE: 2, Safety.ONCE: 2},
}
#: Seconds before the first, second, third further try.
WAITS = (0.5, 2.0, 5.0)
#: Seconds all traffic rests after PORTAL_DELETED, 502 or 504; the last one repeats.
RESTS = (5.0, 15.0, 30.0, 60.0)
#: Seconds a method rests after OPERATION_TIME_LIMIT if the portal never said until when.
METHOD_REST = 60.0
#: And at most: the portal counts a method's running time over ten minutes.
LONGEST_REST = 3600.0
#: Requests a second in the long run, and at once. The cloud allows 2 and 50.
RATE, BURST = 10.0, 40
#: Requests under way at once.
AT_ONCE = 3


def safety(method: str) -> Safety:
    """What a repetition of ``method`` does."""
    name = method.lower()
    if name in _ALSO_READS or name.rpartition(".")[2] in _READS:
        return Safety.READ
    return Safety.ABSOLUTE if name in ABSOLUTE else Safety.ONCE


class _Resting(PortalClosed):
    """We have agreed with ourselves to leave the portal, or one method, alone."""


class Line(Protocol):
    """What ``Portal`` needs of the way to a portal."""

    async def call(
        self,
        method: str,
        params: Params,
        *,
        within: Iterable[str] = (),
        rest3: bool = False,
        once: bool = False,
    ) -> Reply:
        """
        Call a method. ``within``: the methods of a batch, which decide whether it may be repeated;
        ``once``: it may not, whatever its method says.

        Raises:
            PortalUnavailable, AnswerLost: passing trouble. PortalRefused: final.
        """
        ...

    def heard(self, method: str, error: Exception) -> None:
        """A command inside a batch has failed."""


@define
class Direct:
    """One try, no waiting."""

    access: Access
    send: Send

    async def call(
        self,
        method: str,
        params: Params,
        *,
        within: Iterable[str] = (),
        rest3: bool = False,
        once: bool = False,
    ) -> Reply:
        request = self.access.request(method, params, rest3=rest3)
        try:
            return decode(await self.send(request), method)
        except TokenExpired:
            if not await self.access.renew(self.send, request.token):
                raise
        return decode(await self.send(self.access.request(method, params, rest3=rest3)), method)

    def heard(self, method: str, error: Exception) -> None:
        """Nothing to remember: each request is tried once."""


@define(eq=False)
class Link:
    """The service's way to its portal."""

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
        once: bool = False,
    ) -> Reply:
        methods = tuple(within) or (method,)
        kind = max((safety(name) for name in methods), key=lambda one: one.value)
        kind = Safety.ONCE if once else kind
        tries = 0
        renewed = False
        lost: AnswerLost | None = None
        while True:
            try:
                return await self._once(method, params, rest3, methods)
            except TokenExpired as error:
                used = self.access.request(method, {}).token
                if renewed or not await self.access.renew(self.send, used):
                    raise error
                renewed = True
            except PortalUnavailable as error:
                # Once one answer was lost, nobody can say that nothing was executed.
                lost = error if isinstance(error, AnswerLost) else lost
                if tries >= _allowed(error, kind):
                    raise lost or error from None
                wait = WAITS[min(tries, len(WAITS) - 1)]
                tries += 1
                self.log.info("{error}; again in {wait} s", error=error, wait=wait)
                await self._sleep(wait)

    async def _once(
        self, method: str, params: Params, rest3: bool, methods: tuple[str, ...]
    ) -> Reply:
        self._refuse_if_resting(methods)
        await self._slots.acquire()
        try:
            await self._room()
            self._refuse_if_resting(methods)
            request = self.access.request(method, params, rest3=rest3)
            reply = decode(await self.send(request), method)
        except _Resting:
            raise  # our own word, not the portal's
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
        """A command's error: of a request, or inside a batch."""
        if isinstance(error, PortalBusy) and "OPERATION_TIME_LIMIT" in str(error):
            self._rest_method(method)

    def _refuse_if_resting(self, methods: tuple[str, ...]) -> None:
        for method in methods:
            until = max(self._rest_until, self._methods.get(method, 0.0))
            left = until - self.clock.seconds()
            if left > 0:
                raise _Resting(f"{method}: not asked for {left:.0f} s more, as the portal wishes")

    def _rest(self) -> None:
        seconds = RESTS[min(self._rests, len(RESTS) - 1)]
        self._rest_until = max(self._rest_until, self.clock.seconds() + seconds)
        self._rests += 1

    def _rest_method(self, method: str) -> None:
        """Only this method's running time is used up; the others go on."""
        now = self.clock.seconds()
        until = self._resets.get(method, 0.0)
        known = now < until <= now + LONGEST_REST
        self._methods[method] = until if known else now + METHOD_REST

    async def _room(self) -> None:
        """Wait until our own limit has room: a bucket that drains, as the cloud's own does."""
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
    known = next(one for one in TRIES if isinstance(error, one))
    return TRIES[known][kind]
