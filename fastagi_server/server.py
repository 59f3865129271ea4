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

from fastagi_server.errors import CallEnded
from fastagi_server.session import AgiSession, Script

#: How long one session may take, in seconds. A server that keeps silent hangs the channel for
#: ever (Asterisk has no read timeout), so this bound is what frees a caller.
DEADLINE = 5.0
#: How many sessions may be open at once; a further one is closed, and the dialplan goes on.
MAX_SESSIONS = 500
#: The listening queue. Twisted's default of 50 drops connections in a burst, and Asterisk gives
#: up on a connection after 2 seconds.
BACKLOG = 4096

LOOPBACK = ("127.0.0.0/8", "::1/128")


@define
class Counters:
    """What the server has seen since it started."""

    accepted: int = 0
    refused_address: int = 0
    refused_limit: int = 0
    finished: int = 0
    failed: int = 0
    unknown_script: int = 0


@define(eq=False, slots=False)
class FastAgiServer(Factory):
    """
    Serve scripts by path: ``AGI(agi://host:4573/claim,...)`` runs ``scripts["claim"]``.

    A script that raises ends its own session only; the dialplan sees that no variable was set.
    """

    log = Logger()

    scripts: Mapping[str, Script]
    clock: IReactorTime
    deadline: float = DEADLINE
    max_sessions: int = MAX_SESSIONS
    allow: Sequence[str] = LOOPBACK
    counters: Counters = field(factory=Counters)
    _open: set[AgiSession] = field(factory=set, init=False)
    _draining: bool = field(default=False, init=False)
    _drained: list[Deferred[None]] = field(factory=list, init=False)
    _networks: list[IPv4Network | IPv6Network] = field(factory=list, init=False)

    noisy = False

    def __attrs_post_init__(self) -> None:
        self._networks = [ip_network(text) for text in self.allow]

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:
        host = getattr(addr, "host", "")
        if not self._allowed(host):
            self.counters.refused_address += 1
            self.log.warn("connection from {host} refused: not in the allow-list", host=host)
            return None
        if self._draining or len(self._open) >= self.max_sessions:
            self.counters.refused_limit += 1
            self.log.warn("session refused: {count} are open", count=len(self._open))
            return None
        self.counters.accepted += 1
        session = AgiSession(self.clock, self, self.deadline)
        self._open.add(session)
        return session

    def _allowed(self, host: str) -> bool:
        try:
            address = ip_address(host)
        except ValueError:
            return False
        return any(address in network for network in self._networks)

    def started(self, session: AgiSession) -> Script:
        script = self.scripts.get(session.environment.script)
        if script is None:
            self.counters.unknown_script += 1
            self.log.warn("no script {name!r}", name=session.environment.script)
            return _nothing
        return script

    def finished(self, session: AgiSession, failure: Failure | None) -> None:
        if failure is None:
            self.counters.finished += 1
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

    def closed(self, session: AgiSession) -> None:
        self._open.discard(session)
        if not self._open:
            while self._drained:
                self._drained.pop().callback(None)

    def drain(self) -> Deferred[None]:
        """Take no further session; fires when those under way have ended by their deadline."""
        self._draining = True
        done: Deferred[None] = Deferred()
        if self._open:
            self._drained.append(done)
        else:
            done.callback(None)
        return done


async def _nothing(session: AgiSession) -> None:
    """An unknown script: close at once, so that the dialplan goes on."""
