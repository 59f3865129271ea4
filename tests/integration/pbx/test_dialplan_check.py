"""The check of the dialplan over Asterisk's manager interface, and a manager that fails."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import pytest_twisted
from attrs import define, field
from twisted.internet import reactor as _reactor
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs

from autodial.config.settings import Config
from autodial.errors import PbxError
from autodial.pbx import dialplan_check
from autodial.pbx.ami import Ami
from autodial.pbx.dialplan_check import DialplanCheck, ask_once, findings
from tests.integration.conftest import Now
from tests.integration.house import variant

reactor: Any = _reactor
WELL = {
    "AD_AGI": "agi://127.0.0.1:4573", "AD_MAX": "3600", "AD_WAITING": "r", "AD_SORRY": "sorry",
    "DEVICE_STATE(PJSIP/carrier1)": "NOT_INUSE",
}  # fmt: skip


@define(eq=False, slots=False)
class Asterisk:
    """A manager that answers from a table. It reports every extension as present."""

    values: Mapping[str, str]
    connected: bool = True
    refuses: bool = False
    clock: Clock = field(factory=Clock)

    async def value(self, variable: str) -> str:
        if self.refuses:
            raise PbxError("Permission denied")
        return self.values.get(variable, "1" if variable.startswith("DIALPLAN_EXISTS") else "")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"DIALPLAN_EXISTS(autodial-op,s,1)": "0"}, [("dialplan.contexts", True)]),
        ({"AD_AGI": ""}, [("dialplan.globals", True)]),
        ({"AD_AGI": "agi://127.0.0.1"}, []),
        ({"AD_AGI": "agi://[::1]:4573/x"}, []),
        ({"AD_AGI": "hagi://pbx.example"}, []),  # the port is in a DNS record
        ({"AD_AGI": "agi://127.0.0.1:4574"}, [("dialplan.address", True)]),
        ({"AD_AGI": "127.0.0.1:4573"}, [("dialplan.address", True)]),
        ({"AD_SORRY": ""}, [("dialplan.globals", False)]),
        ({"DEVICE_STATE(PJSIP/carrier1)": "INVALID"}, [("dialplan.trunks", True)]),
        ({"AD_VIA": "from-internal", "DEVICE_STATE(PJSIP/carrier1)": "INVALID"}, []),
        ({"AD_VIA": "x", "DIALPLAN_EXISTS(x)": "0"}, [("dialplan.via", True)]),
    ],
)  # fmt: skip
@pytest_twisted.ensureDeferred
async def test_what_is_found(config: Config, changes: dict[str, str], expected: Any) -> None:
    asterisk: Any = Asterisk(WELL | changes)

    assert expected == [(one.key, one.serious) for one in await findings(asterisk, config)]


def _fit(check: DialplanCheck) -> bool:
    return check.ok


@pytest_twisted.ensureDeferred
async def test_nobody_is_dialled_before_it_was_looked_at_and_while_it_is_serious(
    config: Config, now: Now
) -> None:
    asterisk: Any = Asterisk(WELL | {"AD_AGI": ""})
    check = DialplanCheck(config, asterisk, now)
    assert not _fit(check)
    with capturedLogs() as logs:
        for _ in range(3):
            await check.turn()
    assert [LogLevel.error] == [event["log_level"] for event in logs], "logged once"
    assert not _fit(check)
    asterisk.refuses = True
    await check.turn()
    assert not _fit(check), "the finding still holds"
    asterisk.refuses, asterisk.values = False, WELL
    await check.turn()
    assert _fit(check)
    asterisk.values = WELL | {"AD_AGI": ""}
    await check.turn()
    assert _fit(check), "without findings it is checked once a minute"
    now.advance(minutes=1)
    await check.turn()
    assert not _fit(check)
    asterisk.values = WELL
    await check.turn()
    check.forget()

    assert not _fit(check), "it may return with another configuration"


@pytest_twisted.ensureDeferred
async def test_a_user_who_may_not_ask_holds_everybody(config: Config, now: Now) -> None:
    """The phones' states are unknown, too: clients would be dialled for phones that are off."""
    asterisk: Any = Asterisk(WELL, refuses=True)
    check = DialplanCheck(config, asterisk, now)
    with capturedLogs() as logs:
        for _ in range(5):
            await check.turn()
            now.advance(minutes=1)

    assert not _fit(check)
    assert ["dialplan.rights"] == [finding.key for finding in check.serious or ()]
    assert 1 == len(logs)


async def nothing(ami: Ami) -> None:
    """A question that is never put."""


class Silent(Protocol):
    """Accepts a connection and never sends anything."""


class Closing(Protocol):
    """Closes the connection during the login."""

    def dataReceived(self, data: bytes) -> None:
        self.transport.loseConnection()  # type: ignore[union-attr]


@pytest.fixture
def listening() -> Iterator[Callable[[type[Protocol]], int]]:
    ports = []

    def listen(kind: type[Protocol]) -> int:
        port = reactor.listenTCP(0, Factory.forProtocol(kind), interface="127.0.0.1")
        ports.append(port)
        return int(port.getHost().port)

    yield listen
    for port in ports:
        pytest_twisted.blockon(port.stopListening())


@pytest.mark.parametrize(
    ("kind", "message"), [(Silent, "no login within"), (Closing, "closed before the login")]
)
@pytest_twisted.ensureDeferred
async def test_a_manager_that_does_not_answer_a_command_is_a_sentence(
    config: Config,
    listening: Callable[[type[Protocol]], int],
    monkeypatch: pytest.MonkeyPatch,
    kind: type[Protocol],
    message: str,
) -> None:
    monkeypatch.setattr(dialplan_check, "LOGIN", 0.2)

    with pytest.raises(PbxError, match=message):
        await ask_once(reactor, variant(config, asterisk={"ami_port": listening(kind)}), nothing)


@pytest.mark.parametrize("host", ["127.0.0.1", "no.such.host.invalid"])
@pytest_twisted.ensureDeferred
async def test_a_manager_that_is_not_there_is_a_sentence(config: Config, host: str) -> None:
    with pytest.raises(PbxError):
        there = variant(config, asterisk={"ami_host": host, "ami_port": 9})
        await ask_once(reactor, there, nothing)
