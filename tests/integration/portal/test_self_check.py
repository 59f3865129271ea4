"""The check of the portal at start: it reports what is missing, and creates the dialler's line."""

import pytest
import pytest_twisted
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs

from autodial.config.settings import Config
from autodial.engine.operators import Roster
from autodial.portal.reporter import Reporter
from autodial.portal.self_check import SelfCheck
from bitrix24 import Portal
from bitrix24.simulator import Fault, SimulatedPortal
from tests.integration.conftest import FakeStore, Now

WEBHOOK = "http://127.0.0.1/rest/1/simulated0secret"


def self_check(config: Config, portal: SimulatedPortal, store: FakeStore, now: Now) -> SelfCheck:
    client = Portal.direct(WEBHOOK, portal.send)
    reporter = Reporter(config, client, store, Roster(), now, Clock())  # type: ignore[arg-type]
    return SelfCheck(config, client, reporter, now)


@pytest_twisted.ensureDeferred
async def test_a_portal_that_has_everything_gets_the_line_once(
    config: Config, portal: SimulatedPortal, store: FakeStore, now: Now
) -> None:
    looking = self_check(config, portal, store, now)
    with capturedLogs() as logs:
        await looking.turn()
        asked = len(portal.requests)
        await looking.turn()
    assert {"autodial": "АВТОДОЗВОН"} == portal.lines
    assert asked == len(portal.requests)
    assert [] == [e for e in logs if e["log_level"] in (LogLevel.warn, LogLevel.error)]


@pytest_twisted.ensureDeferred
async def test_shadow_mode_makes_no_line(
    config: Config, portal: SimulatedPortal, store: FakeStore, now: Now
) -> None:
    pace = config.pace.model_copy(update={"shadow": True})
    await self_check(config.model_copy(update={"pace": pace}), portal, store, now).turn()
    assert {} == portal.lines


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"scopes": frozenset({"task", "user", "department", "telephony"})}, "crm"),
        ({"administrator": False}, "1"),
        ({"telephony_by_webhook": False}, "WRONG_AUTH_TYPE"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_what_is_missing_is_said(
    config: Config,
    portal: SimulatedPortal,
    store: FakeStore,
    now: Now,
    change: dict[str, object],
    words: str,
) -> None:
    for name, value in change.items():
        setattr(portal, name, value)
    with capturedLogs() as logs:
        await self_check(config, portal, store, now).turn()
    events = [event for event in logs if event["log_level"] in (LogLevel.warn, LogLevel.error)]
    assert any(words in event["what"] for event in events)


@pytest_twisted.ensureDeferred
async def test_a_portal_that_is_down_is_looked_at_later(
    config: Config, portal: SimulatedPortal, store: FakeStore, now: Now
) -> None:
    looking = self_check(config, portal, store, now)
    portal.fail_next(Fault.HTML)
    await looking.turn()
    first = looking.done
    await looking.turn()
    assert (False, True) == (first, looking.done)
    assert portal.lines
