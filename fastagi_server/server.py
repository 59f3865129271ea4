"""
The FastAGI server: who may connect, which script runs, and what no peer can do to the others.

FastAGI has no authentication of its own, and whoever *answers* on this port can run commands on
the PBX; whoever *asks* can only run our scripts. So: listen on loopback by default, name the
allowed addresses otherwise, and bound sessions, lines and time.
"""

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from fastagi_server.deadlines import Deadlines
from fastagi_server.errors import CallEnded, UnknownScript, WireError
from fastagi_server.session import AgiSession, Script

#: How long one session may take, in seconds. A server that keeps silent hangs the channel for
#: ever (Asterisk has no read timeout), so this bound is what frees a caller.
DEADLINE = 5.0
#: How long the opening block may take; Asterisk writes it at once.
BLOCK_DEADLINE = 2.0
#: How long a script may go on after its session has ended, before what it waits for is cancelled.
HANDLER_DEADLINE = 30.0
#: How long a peer that was told to go may take to read what was said to it.
LEAVING = 1.0
#: How many sessions may be open at once; a further one is closed, and the dialplan goes on.
MAX_SESSIONS = 500
#: The listening queue. Twisted's default of 50 drops connections in a burst, and Asterisk gives
#: up on a connection after 2 seconds.
BACKLOG = 4096

#: How many addresses are remembered with whether they may connect.
MAX_HOSTS = 1_000

LOOPBACK = ("127.0.0.0/8", "::1/128")


@define
class Counters:
    """What the server has seen since it started."""

    accepted: int = 0  #: sessions let in
    refused_address: int = 0
    refused_limit: int = 0
    finished: int = 0  #: scripts that ran to their end
    failed: int = 0  #: scripts that raised, or whose caller had gone
    unknown_script: int = 0
    timed_out: int = 0  #: sessions closed because they outlived a deadline
    not_agi: int = 0  #: sessions closed because the other side did not speak AGI
    cancelled: int = 0  #: scripts that outlived theirs


@define(eq=False, slots=False)
class FastAgiServer(Factory):
    """
    Serve scripts by path: ``AGI(agi://host:4573/claim,...)`` runs ``scripts["claim"]``.

    A script that raises ends its own session only; the dialplan sees AGISTATUS=FAILURE. So it does
    for a path that is not known. Every time is in seconds; ``handler_deadline`` None: a script is
    never cancelled, for scripts that must not be left half-way.
    """

    log = Logger()

    scripts: Mapping[str, Script]
    clock: IReactorTime
    deadline: float = DEADLINE
    block_deadline: float = BLOCK_DEADLINE
    handler_deadline: float | None = HANDLER_DEADLINE
    max_sessions: int = MAX_SESSIONS
    allow: Sequence[str] = LOOPBACK
    counters: Counters = field(factory=Counters)
    #: How many sessions are open.
    sessions: int = field(default=0, init=False)
    _new: Deadlines[AgiSession] = field(init=False)  #: for as long as the block may take
    _old: Deadlines[AgiSession] = field(init=False)  #: from then on
    _leaving: Deadlines[AgiSession] = field(init=False)
    _alone: Deadlines[AgiSession] | None = field(default=None, init=False)
    _draining: bool = field(default=False, init=False)
    _drained: list[Deferred[None]] = field(factory=list, init=False)
    _networks: list[IPv4Network | IPv6Network] = field(factory=list, init=False)
    _hosts: dict[str, bool] = field(factory=dict, init=False)  #: who has knocked, and may he

    noisy = False

    def __attrs_post_init__(self) -> None:
        self._networks = [ip_network(text) for text in self.allow]
        clock, block = self.clock, min(self.block_deadline, self.deadline)
        self._new = Deadlines(clock, block, self._no_longer_new)
        self._old = Deadlines(clock, self.deadline - block, self._overdue)
        self._leaving = Deadlines(clock, LEAVING, self._cut_off)
        if self.handler_deadline is not None:
            self._alone = Deadlines(clock, self.handler_deadline, self._cancel)

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:
        return self.admit(getattr(addr, "host", ""))

    def admit(self, host: str) -> AgiSession | None:
        """A session for this peer; None: it is not let in."""
        known = self._hosts.get(host)
        if known is None:
            known = self._meet(host)
        if not known:
            self.counters.refused_address += 1
            self.log.warn("connection from {host} refused: not in the allow-list", host=host)
            return None
        if self._draining or self.sessions >= self.max_sessions:
            self.counters.refused_limit += 1
            self.log.warn("session refused: {count} are open", count=self.sessions)
            return None
        self.counters.accepted += 1
        self.sessions += 1
        session = AgiSession(self)
        self._new.start(session)
        return session

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

    # What a session says of its life.

    def started(self, session: AgiSession) -> Script:
        return self.scripts.get(session.environment.script, _unknown)

    def finished(self, session: AgiSession, failure: Failure | None) -> None:
        if self._alone is not None and len(self._alone):
            self._alone.end(session)
        if failure is None:
            self.counters.finished += 1
            return
        if failure.check(UnknownScript):
            self.counters.unknown_script += 1
            self.log.warn("{error}", error=failure.getErrorMessage())
            return
        self.counters.failed += 1
        # The first argument names the call; the others may hold a client's number.
        name, first = session.environment.script, session.argument(0)
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
        self.log.warn("session closed: {error}", error=error)

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
        """Take no further session; fires when those under way have ended by their deadline."""
        self._draining = True
        done: Deferred[None] = Deferred()
        self._drained.append(done)
        if not self.sessions:
            self._rest()
        return done

    def _rest(self) -> None:
        """No session, no timer. (Scripts may go on alone.)"""
        for deadlines in (self._new, self._old, self._leaving):
            deadlines.stop()
        while self._drained:
            self._drained.pop().callback(None)


def _within(host: str, networks: Sequence[IPv4Network | IPv6Network]) -> bool:
    try:
        address = ip_address(host)
    except ValueError:
        return False
    return any(address in network for network in networks)


async def _unknown(session: AgiSession) -> None:
    raise UnknownScript(f"no script {session.environment.script!r}")
