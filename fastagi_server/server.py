"""
The FastAGI server: which peers may connect, which script runs, and the limits of each session.

FastAGI has no authentication of its own. Whoever *answers* on this port can run commands on the
PBX; whoever *connects* can run our scripts. So: listen on loopback by default, name the allowed
addresses otherwise, require the secret of the installation first (see ``secret``), and limit
sessions, lines and time.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from fastagi_server.deadlines import Deadlines
from fastagi_server.errors import (
    CallEnded,
    CommandFailed,
    NotAuthenticated,
    UnknownScript,
    WireError,
)
from fastagi_server.histogram import Histogram
from fastagi_server.rate_limited_log import RateLimitedLog
from fastagi_server.secret import SharedSecret
from fastagi_server.session import AgiSession, Script
from fastagi_server.tickets import Tickets

#: How long one session may take, in seconds. A server that does not answer blocks the channel for
#: ever (Asterisk has no read timeout), so this limit frees the caller.
DEADLINE = 5.0
#: How long the opening block may take; Asterisk writes it at once.
BLOCK_DEADLINE = 2.0
#: Seconds a script may go on after its session has ended; then what it awaits is cancelled.
HANDLER_DEADLINE = 30.0
#: Seconds a peer may take to read the last bytes after its session was closed.
LEAVING = 1.0
#: Most sessions open at once; a further one is closed, and the dialplan goes on.
MAX_SESSIONS = 500
#: The listening queue. Twisted's default of 50 drops connections in a burst, and Asterisk gives
#: up on a connection after 2 seconds.
BACKLOG = 4096

#: Bytes that a session may send before it is authenticated: the environment with room for its
#: arguments, and one reply.
UNAUTHENTICATED_BYTES = 20_000

#: Bounds of the buckets in which the durations of scripts are counted, in seconds.
DURATIONS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)

#: Most addresses whose permission is cached.
MAX_HOSTS = 1_000

LOOPBACK = ("127.0.0.0/8", "::1/128")


@define
class Counters:
    """Counts since the server started."""

    accepted: int = 0  #: sessions accepted
    refused_address: int = 0
    refused_limit: int = 0
    refused_secret: int = 0  #: sessions without the secret
    evicted: int = 0  #: unauthenticated sessions closed to make room for a new one
    finished: int = 0  #: scripts that ran to their end
    failed: int = 0  #: scripts that raised, or whose caller had hung up
    unknown_script: int = 0
    timed_out: int = 0  #: sessions closed because they exceeded a deadline
    not_agi: int = 0  #: sessions closed because the peer did not speak AGI
    cancelled: int = 0  #: scripts cancelled after their deadline


@define(eq=False, slots=False)
class FastAgiServer(Factory):
    """
    Serve scripts by path: ``AGI(agi://host:4573/claim,...)`` runs ``scripts["claim"]``.

    A script that raises ends its own session only; the dialplan sees AGISTATUS=FAILURE. The same
    holds for an unknown path. Every time is in seconds; ``handler_deadline`` None: a script is
    never cancelled, for scripts that must not stop half-way. With a ``secret`` only the scripts
    of ``unauthenticated`` run for a peer without it.

    At the limit of sessions the oldest unauthenticated one is closed for a new one, so silent
    connections cannot block the server.
    """

    log = Logger()

    scripts: Mapping[str, Script]
    clock: IReactorTime
    deadline: float = DEADLINE
    block_deadline: float = BLOCK_DEADLINE
    handler_deadline: float | None = HANDLER_DEADLINE
    max_sessions: int = MAX_SESSIONS
    allow: Sequence[str] = LOOPBACK
    secret: SharedSecret | None = None
    unauthenticated: Collection[str] = ("ping",)
    tickets: Tickets | None = None  #: taken in place of the secret
    counters: Counters = field(factory=Counters)
    #: How long the scripts took that ran to their end, Asterisk's replies included.
    durations: defaultdict[str, Histogram] = field(
        factory=lambda: defaultdict(lambda: Histogram(DURATIONS)), init=False
    )
    #: How many sessions are open.
    sessions: int = field(default=0, init=False)
    #: Bytes a session may send before it is authenticated; None: no secret, no such limit.
    unauthenticated_bytes: int | None = field(default=None, init=False)
    _new: Deadlines[AgiSession] = field(init=False)  #: until the block deadline
    _old: Deadlines[AgiSession] = field(init=False)  #: after it
    _leaving: Deadlines[AgiSession] = field(init=False)
    _alone: Deadlines[AgiSession] | None = field(default=None, init=False)
    _draining: bool = field(default=False, init=False)
    _drained: list[Deferred[None]] = field(factory=list, init=False)
    _networks: list[IPv4Network | IPv6Network] = field(factory=list, init=False)
    _hosts: dict[str, bool] = field(factory=dict, init=False)  #: may this address connect?
    _limited_log: RateLimitedLog = field(init=False)

    noisy = False

    def __attrs_post_init__(self) -> None:
        self._networks = [ip_network(text) for text in self.allow]
        self._limited_log = RateLimitedLog(self.log, self.clock)
        self.unauthenticated_bytes = UNAUTHENTICATED_BYTES if self.secret is not None else None
        clock, block = self.clock, min(self.block_deadline, self.deadline)
        self._new = Deadlines(clock, block, self._no_longer_new)
        self._old = Deadlines(clock, self.deadline - block, self._overdue)
        self._leaving = Deadlines(clock, LEAVING, self._cut_off)
        if self.handler_deadline is not None:
            self._alone = Deadlines(clock, self.handler_deadline, self._cancel)

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:
        return self.admit(getattr(addr, "host", ""))

    def admit(self, host: str) -> AgiSession | None:
        """A session for this peer; None: it is refused."""
        known = self._hosts.get(host)
        if known is None:
            known = self._meet(host)
        if not known:
            self.counters.refused_address += 1
            self._limited_log.warn(
                "connection from {host} refused: not in the allow-list", host=host
            )
            return None
        full = self.sessions >= self.max_sessions
        if self._draining or (full and not self._make_room()):
            self.counters.refused_limit += 1
            self._limited_log.warn("session refused: {count} are open", count=self.sessions)
            return None
        self.counters.accepted += 1
        self.sessions += 1
        session = AgiSession(self)
        self._new.start(session)
        return session

    def _make_room(self) -> bool:
        """Close the oldest unauthenticated session; False: there is none."""
        for session in (*self._old, *self._new):
            if not self._known(session):
                self.counters.evicted += 1
                self._limited_log.warn(
                    "{count} sessions are open: a silent one is closed for a new one",
                    count=self.sessions,
                )
                if not self._old.end(session):
                    self._new.end(session)
                session.abort()
                return True
        return False

    def _known(self, session: AgiSession) -> bool:
        return session.opened if self.secret is None else session.authenticated

    def _meet(self, host: str) -> bool:
        if len(self._hosts) >= MAX_HOSTS:
            self._hosts.clear()
        known = self._hosts[host] = _within(host, self._networks)
        return known

    # The deadlines. Most sessions end as new ones, and cost one start and one end.

    def _no_longer_new(self, session: AgiSession, moment: float) -> None:
        if session.opened:
            self._old.start_at(session, moment)
        else:
            self._close(session, self._new.seconds)

    def _overdue(self, session: AgiSession, moment: float) -> None:
        self._close(session, self.deadline)

    def _close(self, session: AgiSession, seconds: float) -> None:
        self.counters.timed_out += 1
        self._leaving.start(session)
        session.time_out(seconds)

    def _cut_off(self, session: AgiSession, moment: float) -> None:
        session.abort()

    def _cancel(self, session: AgiSession, moment: float) -> None:
        self.counters.cancelled += 1
        session.cancel_script()

    # The events of a session.

    def started(self, session: AgiSession) -> Script:
        session.began = self.clock.seconds()
        name = session.environment.script
        script = self.scripts.get(name, _unknown)
        if self.secret is None or name in self.unauthenticated:
            return script
        return partial(self._proven, script=script, secret=self.secret)

    async def _proven(self, session: AgiSession, script: Script, secret: SharedSecret) -> None:
        name = _short(session.environment.script)
        try:
            ticket = self.tickets is not None and self.tickets.take(session)
            known = ticket or await secret.is_known_to(session)
        except CommandFailed as error:
            raise NotAuthenticated(f"{name}: the proof was answered with {error.code}") from None
        except CallEnded:
            raise NotAuthenticated(f"{name}: closed before authentication") from None
        if not known:
            raise NotAuthenticated(
                f"{name}: whoever asks does not know the secret (global variable {secret.variable})"
            )
        session.authenticated = True
        await script(session)

    def finished(self, session: AgiSession, failure: Failure | None) -> None:
        if self._alone is not None and len(self._alone):
            self._alone.end(session)
        if failure is None:
            self.counters.finished += 1
            took = self.clock.seconds() - session.began
            self.durations[session.environment.script].add(took)
            return
        if failure.check(UnknownScript):
            self.counters.unknown_script += 1
            self._limited_log.warn("{error}", error=failure.getErrorMessage())
            return
        if failure.check(NotAuthenticated):
            self.counters.refused_secret += 1
            self._limited_log.warn("refused: {error}", error=failure.getErrorMessage())
            return
        self.counters.failed += 1
        # The first argument names the call; the others may hold a client's number.
        name, first = _short(session.environment.script), _short(session.argument(0))
        if failure.check(CallEnded):
            self.log.info(
                "{name} {first}: {reason}",
                name=name,
                first=first,
                reason=failure.getErrorMessage(),
            )
        else:
            self.log.failure("{name} {first}", failure, name=name, first=first)

    def spoke_otherwise(self, session: AgiSession, error: WireError) -> None:
        self.counters.not_agi += 1
        self._limited_log.warn("session closed: {error}", error=error)

    def closed(self, session: AgiSession) -> None:
        self.sessions -= 1
        if not self._new.end(session):
            self._old.end(session)
            self._leaving.end(session)
        if self._alone is not None and session.running:
            self._alone.start(session)
        if self._drained and not self.sessions:
            self._rest()

    def drain(self) -> Deferred[None]:
        """Accept no further session; fires when the open ones have ended by their deadline."""
        self._draining = True
        done: Deferred[None] = Deferred()
        self._drained.append(done)
        if not self.sessions:
            self._rest()
        return done

    def _rest(self) -> None:
        """No session is left: stop the timers. (Scripts may go on alone.)"""
        for deadlines in (self._new, self._old, self._leaving):
            deadlines.stop()
        while self._drained:
            self._drained.pop().callback(None)


def _within(host: str, networks: Sequence[IPv4Network | IPv6Network]) -> bool:
    address: IPv4Address | IPv6Address
    try:
        address = ip_address(host)
    except ValueError:
        return False
    # A socket that serves both families shows an IPv4 peer as ::ffff:127.0.0.1.
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address in network for network in networks)


async def _unknown(session: AgiSession) -> None:
    raise UnknownScript(f"no script {_short(session.environment.script)!r}")


def _short(text: str) -> str:
    """A peer's text, cut for a log line."""
    return text if len(text) <= 80 else f"{text[:80]}…"
