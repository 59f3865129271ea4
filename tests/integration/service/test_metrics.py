"""What a monitoring system reads over HTTP: metrics of the dialler, and its health."""

import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
import pytest_twisted
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from twisted.internet import reactor as installed
from twisted.internet.threads import deferToThread

from autodial.config.settings import Config
from autodial.errors import StoreBusy
from autodial.model.outcome import Outcome
from autodial.rules.rolling_statistics import Answered
from autodial.service.metrics import Measured, metrics_site
from autodial.store import delivery, outbox
from tests.integration.conftest import NOON, FakeStore, Now
from tests.integration.house import House, variant

reactor: Any = installed
Run = Callable[..., Any]
OLDEST = "autodial_oldest_message_timestamp_seconds"
MESSAGES_DEAD = ("autodial_messages", "dead")


@pytest.fixture
def measured(house: House, now: Now) -> Measured:
    return Measured(house.server, house.engine, now)


@pytest.fixture
def site(measured: Measured) -> Iterator[str]:
    port = reactor.listenTCP(0, metrics_site(measured, reactor), interface="127.0.0.1")
    yield f"http://127.0.0.1:{port.getHost().port}"
    pytest_twisted.blockon(port.stopListening())


def get(address: str) -> tuple[int, str]:
    try:
        with urlopen(address, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        return error.code, error.read().decode()


def figures(text: str) -> dict[tuple[str, ...], float]:
    """The metrics as Prometheus reads them: by name and labels."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest_twisted.ensureDeferred
async def test_prometheus_reads_what_has_happened(house: House, site: str) -> None:
    attempt = house.dial()
    house.ask("claim", attempt, "442079460000", "")
    house.ask("nonsense")
    status, text = await deferToThread(get, f"{site}/metrics")
    before = figures(text)
    house.ask("result", attempt, "dial", "BUSY", "17", "SIP%20486%20x")
    after = figures((await deferToThread(get, f"{site}/metrics"))[1])

    assert status == 200
    assert before["autodial_calls", "claimed"] == 1
    assert before["autodial_operators", "reserved"] == 1
    assert before["autodial_fastagi_sessions_total", "unknown_script"] == 1
    assert before["autodial_healthy", "portal"] == 1
    assert after["autodial_calls", "claimed"] == 0
    assert after["autodial_attempts_total", "busy"] == 1
    assert after["autodial_fastagi_sessions_total", "accepted"] == 3


@pytest_twisted.ensureDeferred
async def test_prometheus_reads_how_long_clients_wait_for_a_phone_to_ring(
    house: House, site: str
) -> None:
    moments = iter((10.0, 10.0625))
    house.roster.ring_delay.clock = lambda: next(moments)
    house.roster.set_phone("101", "NOT_INUSE")
    attempt = house.dial()
    house.ask("claim", attempt, "442079460000", "")
    house.ask("resolve", attempt)
    house.roster.set_phone("101", "RINGING")
    read = figures((await deferToThread(get, f"{site}/metrics"))[1])

    name = "autodial_answered_to_ringing_seconds"
    assert (0, 1) == (read[f"{name}_bucket", "0.05"], read[f"{name}_bucket", "0.1"])
    assert (1, 1) == (read[f"{name}_bucket", "+Inf"], read[f"{name}_count",])
    assert 0.0625 == read[f"{name}_sum",]


def now_served(measured: Measured) -> dict[tuple[str, ...], float]:
    return figures(generate_latest(measured).decode())


@pytest_twisted.ensureDeferred
async def test_what_the_portal_was_not_told_is_counted(
    house: House, measured: Measured, run: Run, now: Now
) -> None:
    before = now_served(measured)
    attempt = house.dial()
    house.ask("claim", attempt, "442079460000", "")
    house.ask("result", attempt, "dial", "BUSY", "17", "SIP%20486%20x")
    message = run(outbox.next_message, now())
    await measured.read_backlog()
    waiting = now_served(measured)
    run(delivery.bury, message, "Access denied.", now())
    await measured.read_backlog()
    buried = now_served(measured)

    assert not {name for name, *_ in before} & {"autodial_messages", OLDEST}
    assert (True, 0) == (waiting["autodial_messages", "waiting"] > 0, waiting[MESSAGES_DEAD])
    assert waiting[OLDEST,] == NOON.timestamp()
    assert 1 == buried[MESSAGES_DEAD]
    assert 1 == waiting["autodial_messages", "waiting"] - buried["autodial_messages", "waiting"]


@pytest_twisted.ensureDeferred
async def test_what_the_store_cannot_take_is_counted(
    house: House, measured: Measured, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt = house.dial()
    house.ask("claim", attempt, "442079460000", "")
    with monkeypatch.context() as full:

        async def refuse(*_: object) -> None:
            raise StoreBusy("the disk is full")

        full.setattr(FakeStore, "run", refuse)
        house.ask("result", attempt, "dial", "BUSY", "17", "SIP%20486%20x")
    kept = now_served(measured)
    await house.engine.ends.write_unwritten()

    assert 1 == kept["autodial_unwritten_reports",]
    assert 0 == now_served(measured)["autodial_unwritten_reports",]


@pytest.mark.parametrize(
    ("settings", "answered", "share"),
    [
        ({}, {"": (200, 3)}, 0.015),
        ({"abandoned": "in two seconds"}, {"": (200, 3)}, 0.02),
        ({}, {"a": (200, 3), "b": (100, 9)}, 0.04),
        ({"abandoned_per": "purpose"}, {"a": (200, 3), "b": (100, 9)}, 0.09),
        ({}, {"": (99, 50)}, 0),  # too few to say
    ],
    ids=["by nobody", "in two seconds", "house", "purpose", "few"],
)
def test_the_share_under_the_cap_is_counted_as_configured(
    house: House,
    measured: Measured,
    config: Config,
    settings: dict[str, str],
    answered: dict[str, tuple[int, int]],
    share: float,
) -> None:
    """An alert compares the two, and need not know what the site has configured."""
    house.engine.use(variant(config, pace={"abandoned_cap": 0.05, **settings}))
    for purpose, (calls, abandoned) in answered.items():
        for number in range(calls):
            lost, late = number < abandoned, number < abandoned + 1
            call = Answered(at=NOON, abandoned=lost, late=late, purpose=purpose)
            house.engine.calls.statistics.ended(call)
    read = now_served(measured)

    assert share == pytest.approx(read["autodial_abandoned_counted_ratio",])
    assert 0.05 == read["autodial_abandoned_cap_ratio",]


def test_an_outcome_begins_at_zero(measured: Measured) -> None:
    """Prometheus sees an increase only between two samples: the first of them is not to be lost."""
    read = now_served(measured)

    assert {0.0} == {read["autodial_attempts_total", outcome.value] for outcome in Outcome}


@pytest_twisted.ensureDeferred
async def test_health_is_200_or_503_with_what_is_not_well(house: House, site: str) -> None:
    well = await deferToThread(get, f"{site}/healthz")
    house.pbx_up = False
    ill = await deferToThread(get, f"{site}/healthz")

    assert (well[0], ill[0]) == (200, 503)
    assert set(json.loads(well[1]).values()) == {True}
    assert json.loads(ill[1])["asterisk"] is False


@pytest.mark.parametrize("what", ["spool", "store"])
def test_without_spool_or_store_nothing_is_well(
    house: House, measured: Measured, what: str
) -> None:
    setattr(house.engine.conditions, f"{what}_ok", False)

    assert [what] == [name for name, is_well in measured.health().items() if not is_well]
