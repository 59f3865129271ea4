"""
Pages for monitoring: ``/metrics`` for Prometheus, ``/healthz`` for any system.

All values are in the running dialler's memory: a request reads neither the store nor the portal.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from itertools import accumulate

from attrs import asdict, define
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from twisted.internet.interfaces import IReactorTime
from twisted.web.http import Request

from autodial.engine.engine import Engine
from autodial.http_limits import BoundedPort, Page, Root
from autodial.model.attempt_states import IN_FLIGHT
from fastagi_server import FastAgiServer, Histogram


@define(eq=False)
class Measured:
    """The dialler as a Prometheus collector."""

    server: FastAgiServer
    engine: Engine
    now: Callable[[], datetime]

    def health(self) -> Mapping[str, bool]:
        """The conditions that must all hold for calls to be placed."""
        facts = self.engine.conditions.facts()
        return {
            "portal": facts.portal_ok,
            "asterisk": facts.pbx_ok,
            "rules": facts.do_not_call is not None,
            "dialling": not self.engine.alarm.on,
        }

    def collect(self) -> Iterator[Metric]:
        """The metrics, for Prometheus."""
        sessions = CounterMetricFamily(
            "autodial_fastagi_sessions", "FastAGI sessions since the start", labels=["result"]
        )
        for name, value in asdict(self.server.counters).items():
            sessions.add_metric([name], value)
        yield sessions
        yield GaugeMetricFamily(
            "autodial_fastagi_open", "FastAGI sessions open now", self.server.sessions
        )
        attempts = CounterMetricFamily(
            "autodial_attempts", "attempts ended since the start, by outcome", labels=["outcome"]
        )
        for outcome, count in self.engine.calls.ended_since_start.items():
            attempts.add_metric([outcome.value], count)
        yield attempts
        live = GaugeMetricFamily("autodial_calls", "attempts in flight, by state", labels=["state"])
        for state in IN_FLIGHT:
            live.add_metric([state.value], sum(a.state is state for a in self.engine.calls.all()))
        yield live
        ringing = HistogramMetricFamily(
            "autodial_answered_to_ringing_seconds",
            "from the client's answer until the manager reports an operator's phone as ringing",
        )
        _add(ringing, self.engine.roster.ring_delay.histogram)
        yield ringing
        yield from self._people()
        healthy = GaugeMetricFamily("autodial_healthy", "1: well, by what", labels=["what"])
        for what, is_well in self.health().items():
            healthy.add_metric([what], int(is_well))
        yield healthy

    def _people(self) -> Iterator[Metric]:
        now = self.now()
        people = GaugeMetricFamily("autodial_operators", "operators, by state", labels=["state"])
        states = [operator.state(now) for operator in self.engine.roster.operators()]
        for state in sorted(set(states)):
            people.add_metric([state], states.count(state))
        yield people
        answers = self.engine.calls.statistics.answers(now)
        yield GaugeMetricFamily(
            "autodial_abandoned_ratio",
            "share of the clients who answered lately and found nobody",
            answers.rate,
        )
        yield GaugeMetricFamily(
            "autodial_late_ratio",
            "share of the clients who answered lately and had no operator within two seconds",
            answers.late_rate,
        )


def _add(family: HistogramMetricFamily, histogram: Histogram, *labels: str) -> None:
    """Prometheus's buckets count all that is not above their bound."""
    bounds = (*map(str, histogram.bounds), "+Inf")
    counts = accumulate(histogram.counts)
    family.add_metric(labels, list(zip(bounds, counts, strict=True)), histogram.total)


class Health(Page):
    """200 if all conditions hold, else 503; the body lists each."""

    methods = ("GET", "HEAD")

    def __init__(self, measured: Measured) -> None:
        super().__init__()
        self._measured = measured

    def render_GET(self, request: Request) -> bytes:
        health = self._measured.health()
        request.setHeader(b"Content-Type", b"application/json")
        request.setResponseCode(200 if all(health.values()) else 503)
        return json.dumps(health).encode() + b"\n"


class Figures(Page):
    """The metrics in Prometheus's text format, collected in the reactor thread."""

    methods = ("GET", "HEAD")

    def __init__(self, measured: Measured) -> None:
        super().__init__()
        self._registry = CollectorRegistry()
        self._registry.register(measured)

    def render_GET(self, request: Request) -> bytes:
        request.setHeader(b"Content-Type", CONTENT_TYPE_PLAIN_0_0_4.encode())
        return generate_latest(self._registry)


def metrics_site(measured: Measured, clock: IReactorTime) -> BoundedPort:
    """The site on ``[metrics] port``."""
    root = Root()
    root.putChild(b"metrics", Figures(measured))
    root.putChild(b"healthz", Health(measured))
    return BoundedPort(root, clock)
