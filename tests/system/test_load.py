"""Many tasks at once, and a dialler killed again and again: nothing is doubled or lost."""

from collections.abc import Callable
from datetime import timedelta

from autodial.model.outcome import Outcome
from autodial.store import views
from demo.rig import Rig
from tests.system import scene

EXTENSIONS = tuple(str(number) for number in range(101, 113))
#: 300 distinct clients: mostly talks, and every tenth a trouble.
MANY = [f"{n % 30:02d}" for n in range(270)] + ["40", "48", "52"] * 10


def busiest(attempts: list[views.AttemptLine]) -> int:
    """The greatest number of attempts under way at one moment."""
    steps = [(a.spooled_at, 1) for a in attempts] + [
        (a.ended_at, -1) for a in attempts if a.ended_at is not None
    ]
    most = now = 0
    for _, step in sorted(steps):
        now += step
        most = max(most, now)
    return most


def test_three_hundred_tasks_due_at_once(house: Callable[..., Rig]) -> None:
    """Limited by free operators, lines and calls per second: 300 attempts, 300 outcomes."""
    rig = house(
        extensions=EXTENSIONS,
        operator_rings=0.2,
        operator_talks=1,
        overrides={
            "pace": {"calls_per_second": 8},
            "asterisk": {
                "trunks": [{"name": "carrier1", "lines": 6}, {"name": "carrier2", "lines": 4}]
            },
        },
    )
    for number, extension in enumerate(EXTENSIONS, 500):
        rig.operator(number, extension)
    tasks = [
        rig.task(fate, responsible=500 + place % len(EXTENSIONS)) for place, fate in enumerate(MANY)
    ]
    rig.start_dialler()
    scene.wait_for_reports(rig, tasks, 280)
    attempts = scene.attempts(rig)
    starts = sorted(attempt.spooled_at for attempt in attempts)
    in_a_second = [
        sum(first <= start < first + timedelta(seconds=1) for start in starts) for first in starts
    ]

    assert len(attempts) == 300
    assert set(tasks) == {attempt.task for attempt in attempts}
    assert {"talked", "busy", "rejected", "bad number"} >= {a.outcome for a in attempts}
    # No two tasks share a number: each client's phone rang once.
    assert len(scene.dialled(rig)) == 300
    assert busiest(attempts) <= 10, "no more than the lines of both carriers"
    assert max(in_a_second) <= 8 + 1, "no faster than eight a second"
    scene.assert_house_in_order(rig)


def test_a_dialler_killed_again_and_again(house: Callable[..., Rig]) -> None:
    """kill -9 at six moments of a run: nobody is dialled twice, and each attempt ends once."""
    extensions = EXTENSIONS[:6]
    rig = house(extensions=extensions, operator_rings=0.3, operator_talks=1)
    for number, extension in enumerate(extensions, 500):
        rig.operator(number, extension)
    tasks = [
        rig.task(f"{place % 30:02d}", responsible=500 + place % len(extensions))
        for place in range(48)
    ]
    rig.start_dialler()
    for kills in range(6):
        wanted = (kills + 1) * 7
        rig.wait(lambda n=wanted: len(scene.attempts(rig)) >= n, f"{wanted} attempts")  # type: ignore[misc]
        rig.kill_dialler()
        rig.start_dialler()
    scene.wait_for_reports(rig, tasks, 200)
    attempts = scene.attempts(rig)
    rung = scene.dialled(rig)
    # Withdrawn: recorded, but the dialler was killed before the call file was in the spool.
    called = [a for a in attempts if a.outcome != Outcome.WITHDRAWN.value]

    assert len(rung) == len(set(rung)), "somebody was dialled twice"
    assert {a.number[1:] for a in called if a.outcome == Outcome.TALKED.value} <= set(rung)
    assert set(tasks) == {attempt.task for attempt in attempts}
    scene.assert_house_in_order(rig)
