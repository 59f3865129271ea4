"""
Pages for monitoring: ``/metrics`` for Prometheus, ``/healthz`` for any system.

All values are in the running dialler's memory: a request reads neither the store nor the portal.
What only the store knows is read every few seconds (``read_backlog``).
"""

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from itertools import accumulate

from attrs import asdict, define, field
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
from autodial.model.outcome import Outcome
from autodial.store import outbox
from autodial.store.outbox import Backlog
from fastagi_server import FastAgiServer, Histogram


@define(eq=False)
class Measured:
    """The dialler as a Prometheus collector."""

    server: FastAgiServer
    engine: Engine
    now: Callable[[], datetime]
    _backlog: Backlog | None = field(default=None, init=False)  #: None: not read yet

    async def read_backlog(self) -> None:
        """Count the messages to the portal."""
        self._backlog = await self.engine.store.run(outbox.backlog)

    def health(self) -> Mapping[str, bool]:
        """The conditions that must all hold for calls to be placed."""
        facts = self.engine.conditions.facts()
        return {
            "portal": facts.portal_ok,
            "asterisk": facts.pbx_ok,
            "dialplan": facts.dialplan_ok,
            "spool": facts.spool_ok,
            "store": facts.store_ok,
            "rules": facts.do_not_call is not None,
            "dialling": not self.engine.alarm.on,
        }

    def collect(self) -> Iterator[Metric]:
        """The metrics, for Prometheus."""
        yield from self._fastagi()
        yield from self._calls()
        yield from self._people()
        yield from self._abandoned()
        yield from self._portal()
        yield GaugeMetricFamily(
            "autodial_unwritten_reports",
            "attempts whose reports the store could not write; they are kept in memory",
            self.engine.ends.unwritten,
        )
        healthy = GaugeMetricFamily("autodial_healthy", "1: well, by what", labels=["what"])
        for what, is_well in self.health().items():
            healthy.add_metric([what], int(is_well))
        yield healthy
        if self.engine.calls.node:
            leads = GaugeMetricFamily(
                "autodial_leads", "1: this node imports and reports for all", labels=["node"]
            )
            leads.add_metric([self.engine.calls.node], int(self.engine.store.leads))
            yield leads

    def _fastagi(self) -> Iterator[Metric]:
        sessions = CounterMetricFamily(
            "autodial_fastagi_sessions", "FastAGI sessions since the start", labels=["result"]
        )
        for name, value in asdict(self.server.counters).items():
            sessions.add_metric([name], value)
        yield sessions
        yield GaugeMetricFamily(
            "autodial_fastagi_open", "FastAGI sessions open now", self.server.sessions
        )
        durations = HistogramMetricFamily(
            "autodial_fastagi_script_seconds",
            "how long the dialplan waited for a script that ran to its end",
            labels=["script"],
        )
        for script, histogram in self.server.durations.items():
            _add(durations, histogram, script)
        yield durations

    def _calls(self) -> Iterator[Metric]:
        attempts = CounterMetricFamily(
            "autodial_attempts", "attempts ended since the start, by outcome", labels=["outcome"]
        )
        for outcome in Outcome:  # those that have not occurred, too: an increase begins at 0
            attempts.add_metric([outcome.value], self.engine.calls.ended_since_start[outcome])
        yield attempts
        live = GaugeMetricFamily("autodial_calls", "attempts in flight, by state", labels=["state"])
        for state in IN_FLIGHT:
            live.add_metric([state.value], sum(a.state is state for a in self.engine.calls.own()))
        yield live
        ringing = HistogramMetricFamily(
            "autodial_answered_to_ringing_seconds",
            "from the client's answer until the manager reports an operator's phone as ringing",
        )
        _add(ringing, self.engine.roster.ring_delay.histogram)
        yield ringing

    def _people(self) -> Iterator[Metric]:
        now = self.now()
        people = GaugeMetricFamily("autodial_operators", "operators, by state", labels=["state"])
        states = [operator.state(now) for operator in self.engine.roster.operators()]
        for state in sorted(set(states)):
            people.add_metric([state], states.count(state))
        yield people

    def _abandoned(self) -> Iterator[Metric]:
        now, statistics = self.now(), self.engine.calls.statistics
        pace, answers = self.engine.config.pace, statistics.answers(now)
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
        limited = statistics.by_purpose(now).values() if pace.pacing.by_purpose else (answers,)
        yield GaugeMetricFamily(
            "autodial_abandoned_counted_ratio",
            "the share that the cap limits, as [pace] abandoned and abandoned_per say: the highest"
            " of all purposes, if each has the cap; 0 below 100 answered calls",
            max(map(pace.pacing.counted, limited), default=0.0),
        )
        yield GaugeMetricFamily(
            "autodial_abandoned_cap_ratio", "[pace] abandoned_cap", pace.abandoned_cap
        )

    def _portal(self) -> Iterator[Metric]:
        """A moment that is unknown has no sample."""
        seen, backlog = self.engine.around.portal_seen(), self._backlog
        if seen is not None:
            yield GaugeMetricFamily(
                "autodial_portal_seen_timestamp_seconds",
                "when the portal last answered a whole poll",
                seen.timestamp(),
            )
        if backlog is None:
            return
        messages = GaugeMetricFamily(
            "autodial_messages", "messages to the portal that are not delivered", labels=["state"]
        )
        messages.add_metric(["waiting"], backlog.waiting)
        messages.add_metric(["dead"], backlog.dead)
        yield messages
        if backlog.oldest is not None:
            yield GaugeMetricFamily(
                "autodial_oldest_message_timestamp_seconds",
                "when that happened which the oldest waiting message tells",
                backlog.oldest.timestamp(),
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
