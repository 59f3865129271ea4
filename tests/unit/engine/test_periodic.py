"""A periodic job: one turn at a time, no wake-up is lost, and no failure ends the job."""

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs

from autodial.engine.periodic import GRACE, Periodic
from autodial.errors import StoreError


def test_a_failed_turn_does_not_stop_the_next_one() -> None:
    """The portal may be down for a while; the service goes on."""
    clock, turns = Clock(), []

    async def poll() -> None:
        turns.append(clock.seconds())
        raise RuntimeError("portal is down")

    service = Periodic(clock, 60, poll, "importer")
    service.startService()
    clock.advance(59)
    assert turns == [0]

    clock.advance(1)
    assert turns == [0, 60]


def test_what_is_raised_on_purpose_is_a_sentence_and_not_at_every_turn() -> None:
    clock = Clock()

    async def poll() -> None:
        raise StoreError("the disk is full: make room")

    service = Periodic(clock, 1, poll, "importer")
    with capturedLogs() as logs:
        service.startService()
        for _ in range(100):
            clock.advance(1)
    events = [event for event in logs if "make room" in str(event.get("error"))]

    assert [LogLevel.error] * 2 == [event["log_level"] for event in events]
    assert not any("log_failure" in event for event in logs)


def test_a_wake_during_a_turn_is_not_lost_and_turns_never_overlap() -> None:
    clock, gates = Clock(), []

    async def turn() -> None:
        gate: Deferred[None] = Deferred()
        gates.append(gate)
        await gate

    service = Periodic(clock, 60, turn, "dispatcher")
    service.startService()
    service.wake()
    service.wake()
    assert len(gates) == 1

    gates[0].callback(None)
    clock.advance(0)
    assert len(gates) == 2

    gates[1].callback(None)
    clock.advance(59)
    assert len(gates) == 2


def test_what_wakes_it_too_soon_is_one_turn_a_moment_later() -> None:
    """At a hundred calls a second each end and each start wakes the dispatcher."""
    clock, turns = Clock(), []

    async def turn() -> None:
        turns.append(round(clock.seconds(), 3))

    service = Periodic(clock, 1, turn, "dispatcher", 0.025)
    service.startService()
    for _ in range(10):
        clock.advance(0.004)
        service.wake()
    clock.advance(0.025)
    assert [0, 0.028, 0.065] == turns

    clock.advance(0.5)
    service.wake()
    assert 0.565 == turns[-1], "after a while without a turn it is taken at once"
    clock.advance(1)
    assert [0.565, 1.565] == turns[-2:]


def test_stopping_waits_for_the_turn_under_way() -> None:
    clock, gate = Clock(), Deferred[None]()
    stopped: list[None] = []

    async def turn() -> None:
        await gate

    service = Periodic(clock, 60, turn, "reporter")
    service.startService()
    done = service.stopService()
    assert done is not None
    done.addCallback(lambda _: stopped.append(None))
    assert stopped == []

    gate.callback(None)
    clock.advance(1000)
    assert stopped == [None]


def test_stopping_does_not_wait_for_a_portal_that_hangs() -> None:
    clock = Clock()
    stopped: list[None] = []

    async def turn() -> None:
        await Deferred(lambda _: None)

    service = Periodic(clock, 60, turn, "importer")
    service.startService()
    done = service.stopService()
    assert done is not None
    done.addCallback(lambda _: stopped.append(None))
    clock.advance(GRACE + 0.1)

    assert [None] == stopped
