"""
Checks that Asterisk has our dialplan and the globals it needs. Runs over the manager interface, at
each connection and every minute: a wrong set-up would fail every task, one by one.
"""

import re
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any, TypeVar

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as TimedOut
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.error import TimeoutError as NoAnswer
from twisted.logger import Logger

from autodial.config.settings import Config
from autodial.errors import PbxError
from autodial.findings import Finding
from autodial.pbx.ami import Ami, NotConnected

T = TypeVar("T")

#: Targets of the dialler's call files and of the dialplan's own lines.
EXTENSIONS = (
    "autodial-out,task,1", "autodial-out,79990000000,1", "autodial-answered,s,1",
    "autodial-end,s,1", "autodial-op,s,1", "autodial-op,hdr,1",
)  # fmt: skip
#: Globals that should not be empty; without AD_AGI nothing works.
GLOBALS = ("AD_MAX", "AD_WAITING", "AD_SORRY")
#: Between two checks while all is well.
WELL = timedelta(minutes=1)
#: Seconds to wait for a connection to the manager and its login.
LOGIN = 10.0


async def findings(ami: Ami, config: Config) -> tuple[Finding, ...]:
    """
    What is wrong with the dialplan, serious findings first; empty: all is well.

    Raises:
        NotConnected. PbxError: the manager's user lacks the right.
    """
    missing = [place for place in EXTENSIONS if await _exists(ami, place) == "0"]
    if missing:
        contexts = ", ".join(dict.fromkeys(place.partition(",")[0] for place in missing))
        return (Finding("dialplan.contexts", contexts, True),)
    problems = []
    agi = await ami.value("AD_AGI")
    if not agi:
        return (Finding("dialplan.globals", "AD_AGI", True),)
    wanted, actual = config.fastagi.published_port or config.fastagi.port, _port(agi)
    if actual not in (None, wanted):
        problems.append(Finding("dialplan.address", f"{agi} / {wanted}", True))
    empty = [name for name in GLOBALS if not await ami.value(name)]
    if empty:
        problems.append(Finding("dialplan.globals", ", ".join(empty), False))
    via = await ami.value("AD_VIA")
    if via:
        if await _exists(ami, via) == "0":
            problems.append(Finding("dialplan.via", via, True))
        return tuple(problems)
    names = [trunk.name for trunk in config.asterisk.trunks]
    unknown = [name for name in names if await _unknown(ami, name)]
    if unknown:
        known = len(unknown) < len(names)
        problems.append(Finding("dialplan.trunks", ", ".join(unknown), not known))
    return tuple(sorted(problems, key=lambda finding: not finding.serious))


async def _exists(ami: Ami, place: str) -> str:
    """1, or 0; empty: this Asterisk lacks the function."""
    return await ami.value(f"DIALPLAN_EXISTS({place})")


async def _unknown(ami: Ami, endpoint: str) -> bool:
    """No such endpoint; an existing one that cannot be reached is UNAVAILABLE."""
    return await ami.value(f"DEVICE_STATE(PJSIP/{endpoint})") in ("INVALID", "UNKNOWN")


def _port(address: str) -> int | None:
    """The port of ``agi://host[:port]``; None: a DNS record has it; 0: it is no such address."""
    match = re.fullmatch(r"(h?)agi://(\[[0-9a-fA-F:]+\]|[^:/]+)(?::([0-9]{1,5}))?(/.*)?", address)
    if match is None:
        return 0
    if match.group(3):
        return int(match.group(3))
    return None if match.group(1) else 4573


@define(eq=False)
class DialplanCheck:
    """Repeats the check and logs its findings when they change."""

    log = Logger()

    config: Config
    ami: Ami
    now: Callable[[], datetime]
    #: Why nobody may be dialled; None: not checked since the manager connected.
    serious: tuple[Finding, ...] | None = field(default=None, init=False)
    _logged: tuple[Finding, ...] = field(default=(), init=False)
    _next: datetime | None = field(default=None, init=False)

    def use(self, config: Config) -> None:
        """Take over a new configuration; the dialplan is checked soon."""
        self.config, self._next = config, None

    @property
    def ok(self) -> bool:
        """Checked, and fit to dial."""
        return self.serious == ()

    def forget(self) -> None:
        """The connection is lost; Asterisk may return with another dialplan."""
        self.serious = None

    async def turn(self) -> None:
        """Check, if it is time: often while something is wrong, as a person may correct it."""
        now = self.now()
        if not self.ami.connected or (self.ok and self._next is not None and now < self._next):
            return
        self._next = now + WELL
        try:
            current = await findings(self.ami, self.config)
        except NotConnected:
            return
        except PbxError as error:
            # The manager's user has too few rights. It cannot ask for the phones' states either, so
            # clients would be dialled for operators whose phones are off.
            current = (Finding("dialplan.rights", str(error), True),)
        for finding in current:
            if finding not in self._logged:
                log = self.log.error if finding.serious else self.log.warn
                log("asterisk: {what}", what=finding.sentence(self.config.language))
        if self._logged and not current:
            self.log.info("asterisk: the faults of the dialplan are corrected")
        self._logged = current
        self.serious = tuple(finding for finding in current if finding.serious)


async def ask_once(reactor: Any, config: Config, question: Callable[[Ami], Awaitable[T]]) -> T:
    """
    Put a question over a separate connection, for a command.

    Raises:
        PbxError: Asterisk's manager cannot be reached, or refuses the login.
    """
    asterisk = config.asterisk
    assert asterisk.ami_port is not None
    answer: Deferred[None] = Deferred()

    def up() -> None:
        if not answer.called:
            answer.callback(None)

    def refused(error: Exception) -> None:
        if not answer.called:
            answer.errback(error)

    ami = Ami(
        reactor,
        asterisk.ami_user,
        asterisk.ami_secret.get_secret_value(),
        on_device=lambda *_: None,
        on_up=up,
        on_down=lambda: None,
        on_refused=refused,
    )
    where = f"{asterisk.ami_host}:{asterisk.ami_port}"
    endpoint = TCP4ClientEndpoint(reactor, asterisk.ami_host, asterisk.ami_port, timeout=LOGIN)
    try:
        link: Any = await endpoint.connect(ami.factory())
    except (ConnectError, DNSLookupError, NoAnswer) as error:
        raise PbxError(f"{where}: {error}") from error
    try:
        answer.addTimeout(LOGIN, reactor)
        await answer
        return await question(ami)
    except (NotConnected, TimedOut) as error:
        raise PbxError(f"{where}: no login within {LOGIN:g} s") from error
    finally:
        link.transport.abortConnection()
