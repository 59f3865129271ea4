"""What a monitoring system reads over HTTP: metrics of the dialler, and its health."""

import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
import pytest_twisted
from prometheus_client.parser import text_string_to_metric_families
from twisted.internet import reactor as installed
from twisted.internet.threads import deferToThread

from autodial.service.metrics import Measured, metrics_site
from tests.integration.conftest import Now
from tests.integration.house import House

reactor: Any = installed
Run = Callable[..., Any]


@pytest.fixture
def site(house: House, now: Now) -> Iterator[str]:
    measured = Measured(house.server, house.engine, now)
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


@pytest_twisted.ensureDeferred
async def test_health_is_200_or_503_with_what_is_not_well(house: House, site: str) -> None:
    well = await deferToThread(get, f"{site}/healthz")
    house.pbx_up = False
    ill = await deferToThread(get, f"{site}/healthz")

    assert (well[0], ill[0]) == (200, 503)
    assert set(json.loads(well[1]).values()) == {True}
    assert json.loads(ill[1])["asterisk"] is False
