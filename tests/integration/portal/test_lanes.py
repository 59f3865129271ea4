"""A portal that takes its time: what is delivered beside a request under way, and what is not."""

from collections.abc import Callable
from typing import Any

import pytest
from attrs import define, field
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from autodial.config.settings import Config
from autodial.engine.operators import Roster
from autodial.portal.reporter import LANES, LOOKS_APART, SLOW, Reporter
from autodial.store import views
from bitrix24 import Portal, PortalUnavailable, Request
from bitrix24.simulator import SimulatedPortal
from bitrix24.wire import Answer
from tests.integration.conftest import FakeStore, Now
from tests.integration.portal.test_reporter import (
    BUSY,
    TALKED,
    WEBHOOK,
    attempt,
    task_of,
    told_once,
    under_way,
)

Run = Callable[..., Any]


@define(eq=False)
class Slow:
    """A portal whose requests are answered when the test says so."""

    portal: SimulatedPortal
    waiting: list[tuple[Request, "Deferred[None]"]] = field(factory=list)
    #: Called as each request is sent.
    watch: Callable[[], None] = lambda: None

    async def send(self, request: Request) -> Answer:
        self.watch()
        answered: Deferred[None] = Deferred()
        self.waiting.append((request, answered))
        await answered
        return await self.portal.send(request)

    @property
    def methods(self) -> list[str]:
        return [request.method.lower() for request, _ in self.waiting]

    def answer(self, number: int = 0) -> None:
        self.waiting.pop(number)[1].callback(None)


@define(eq=False)
class Reporting:
    """A reporter at work, and its clock."""

    slow: Slow
    config: Config
    store: FakeStore
    now: Now
    clock: Clock = field(factory=Clock)
    reporter: Reporter = field(init=False)
    ended: list[object] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        portal = Portal.direct(WEBHOOK, self.slow.send)
        self.reporter = Reporter(
            self.config, portal, self.store, Roster(), self.now, self.clock  # type: ignore[arg-type]
        )  # fmt: skip

    def begin(self) -> None:
        Deferred.fromCoroutine(self.reporter.turn()).addBoth(self.ended.append)

    def answer_all(self, seconds: float = SLOW) -> None:
        while self.slow.waiting:
            self.clock.advance(seconds)
            self.slow.answer()


def test_a_card_does_not_wait_for_a_request_that_takes_long(
    config: Config, portal: SimulatedPortal, store: FakeStore, now: Now, run: Run
) -> None:
    """A recording of an hour takes a minute to upload: the next client's card is up at once."""
    over = attempt(run, portal, TALKED)
    slow = Slow(portal)
    reporting = Reporting(slow, config, store, now)
    reporting.begin()
    (sent,) = slow.methods

    reporting.clock.advance(SLOW)
    assert [sent] == slow.methods, "nothing else to deliver"
    rung = under_way(run, portal, "Позвонить")
    reporting.reporter.more()
    assert 2 == len(slow.waiting)
    slow.answer(1)
    slow.answer(1)
    (card,) = portal.calls.values()
    assert (rung, True) == (card["EXTERNAL_CALL_ID"], sent in slow.methods)
    reporting.answer_all()
    told_once(portal, [over])
    assert [None] == reporting.ended
    assert not reporting.clock.getDelayedCalls()


def test_a_prompt_portal_is_told_one_thing_at_a_time(
    config: Config, portal: SimulatedPortal, store: FakeStore, now: Now, run: Run
) -> None:
    attempts = [attempt(run, portal, TALKED) for _ in range(3)]
    slow = Slow(portal)
    reporting = Reporting(slow, config, store, now)
    reporting.begin()
    while slow.waiting:
        assert 1 == len(slow.waiting)
        reporting.reporter.more()
        reporting.clock.advance(SLOW / 10)
        slow.answer()
    told_once(portal, attempts)


def test_the_last_lane_is_kept_for_cards(
    config: Config, portal: SimulatedPortal, store: FakeStore, now: Now, run: Run
) -> None:
    for _ in range(LANES + 1):
        attempt(run, portal, BUSY)
    slow = Slow(portal)
    reporting = Reporting(slow, config, store, now)
    reporting.begin()
    for _ in range(LANES + 1):
        reporting.clock.advance(SLOW)
    assert LANES - 1 == len(slow.waiting)

    under_way(run, portal, "Позвонить")
    reporting.reporter.more()
    assert LANES == len(slow.waiting)
    assert "telephony.externalline.add" == slow.methods[-1]
    reporting.answer_all()
    assert {"delivered"} == {message.state for message in run(views.messages)}


def test_what_becomes_due_beside_a_slow_request_is_not_forgotten(
    config: Config, portal: SimulatedPortal, store: FakeStore, now: Now, run: Run
) -> None:
    """Nothing wakes the reporter for a message that was put off: it looks by itself."""
    first = attempt(run, portal, TALKED)
    slow = Slow(portal)
    reporting = Reporting(slow, config, store, now)
    reporting.begin()
    reporting.clock.advance(SLOW)
    attempt(run, portal, BUSY)
    assert 1 == len(slow.waiting)
    reporting.clock.advance(LOOKS_APART)
    assert 2 == len(slow.waiting)
    reporting.answer_all()
    told_once(portal, [first])


def test_a_portal_that_fails_is_left_alone_by_all_lanes_once(
    config: Config, portal: SimulatedPortal, store: FakeStore, now: Now, run: Run
) -> None:
    attempts = [attempt(run, portal, BUSY) for _ in range(LANES)]
    slow = Slow(portal)
    reporting = Reporting(slow, config, store, now)
    reporting.begin()
    reporting.clock.advance(SLOW)
    for _, answered in slow.waiting:
        answered.errback(PortalUnavailable("away"))
    assert 2 == len(slow.waiting)
    slow.waiting.clear()
    assert [None] == reporting.ended
    reporting.begin()
    assert not slow.waiting, "it waits"
    now.advance(seconds=3)
    reporting.begin()
    assert slow.waiting, "two failures of one moment are one trouble: the shortest pause"
    reporting.answer_all()
    told_once(portal, attempts)


def test_cards_of_two_calls_at_once_have_lines_of_their_own(
    config: Config, portal: SimulatedPortal, store: FakeStore, now: Now, run: Run
) -> None:
    settings_ = config.portal.model_copy(update={"pool": 2})
    slow = Slow(portal)
    reporting = Reporting(slow, config.model_copy(update={"portal": settings_}), store, now)
    for title in ("Договор 17", "Договор 18"):
        under_way(run, portal, title)
    reporting.begin()
    reporting.clock.advance(SLOW)
    assert 2 == len(slow.waiting)
    reporting.answer_all()
    assert {"autodial-1", "autodial-2"} == {call["LINE"] for call in portal.calls.values()}


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
@settings(
    max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(
    reports=st.lists(st.sampled_from([TALKED, BUSY]), min_size=2, max_size=5),
    answers=st.lists(st.tuples(st.integers(0, LANES), st.floats(0, 2 * SLOW)), max_size=40),
)
def test_in_whatever_order_answers_come_each_thing_is_said_once_and_in_its_order(
    config: Config,
    store: FakeStore,
    run: Run,
    reports: list[str],
    answers: list[tuple[int, float]],
) -> None:
    now = Now()
    portal = SimulatedPortal(now=now)
    highest = max((line.id for line in run(views.task_lines)), default=8000)
    while portal.next_id() <= highest + 1000:  # the examples share one store
        pass
    attempts = [attempt(run, portal, report) for report in reports]

    order: list[int] = []

    def watch() -> None:
        sent = [message for message in run(views.messages) if message.state == "sending"]
        assert len(sent) <= LANES
        assert len(sent) == len({message.attempt for message in sent})
        assert len(sent) == len({task_of(message.attempt) for message in sent})
        order.extend(message.id for message in sent if message.id not in order)

    slow = Slow(portal, watch=watch)
    reporting = Reporting(slow, config, store, now)
    reporting.begin()
    for which, seconds in answers:
        reporting.clock.advance(seconds)
        if slow.waiting:
            slow.answer(which % len(slow.waiting))
    reporting.answer_all()
    assert [None] == reporting.ended
    told_once(portal, attempts)
    messages = [message for message in run(views.messages) if message.attempt in attempts]
    assert {"delivered"} == {message.state for message in messages}
    for number in attempts:
        its = [message.id for message in messages if message.attempt == number]
        assert its == [message for message in order if message in its]
