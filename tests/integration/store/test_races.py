"""
What two diallers do at the same moment to one store: each race has one right end, every time.

Both sides have looked before either has committed, if the database lets them.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from itertools import cycle
from threading import Barrier, Thread
from time import sleep
from typing import Any

import pytest
import sqlalchemy as sa

from autodial.config.place import Server
from autodial.model.ids import AttemptId, OperatorId, TaskId
from autodial.model.outbox_message import MessageKind
from autodial.model.outcome import Outcome
from autodial.model.trunk import Route
from autodial.rules.dial_facts import Dial
from autodial.rules.end_policy import EndPolicy
from autodial.store import (
    attempt_end,
    flags,
    ledger,
    nodes,
    outbox,
    pauses,
    planning,
    schema,
    tasks,
)
from autodial.store.attempt_queries import load_attempt, reserved
from autodial.store.events import ended_counts
from autodial.store.locks import Access
from autodial.store.server import open_server
from tests.integration.conftest import NOON
from tests.integration.store.test_ledger import (
    ANNA,
    BORIS,
    PHONE,
    TALKED,
    bring,
    dial,
    portal_task,
)

Side = Callable[[sa.Connection], object]
Run = Callable[..., Any]
pytestmark = pytest.mark.parametrize("place", ["postgresql"], indirect=True)
#: How often each race is run, and seconds for which a side waits before it commits.
TIMES, PAUSE = 4, 0.03
BESIDE = (Access.BESIDE, Access.BESIDE)


@pytest.fixture
def access() -> tuple[Access, Access]:
    """Of both sides."""
    return Access.ALONE, Access.ALONE


@pytest.fixture
def race(
    place: Server, access: tuple[Access, Access]
) -> Iterator[Callable[[Side, Side], list[str]]]:
    """Run both sides at once; what came of each, sorted: a value, or an error's name."""
    with ExitStack() as stack:
        engines = [open_server(place, access=cycle([one]).__next__) for one in access]
        for engine in engines:
            stack.callback(engine.dispose)
            with engine.connect():
                pass

        def run(*sides: Side) -> list[str]:
            ends: list[str] = []
            together = Barrier(len(sides))

            def work(engine: sa.Engine, side: Side) -> None:
                together.wait(10)
                try:
                    with engine.begin() as db:
                        result = side(db)
                        sleep(PAUSE)
                except Exception as error:
                    result = type(error).__name__
                ends.append(str(result))

            threads = [Thread(target=work, args=both) for both in zip(engines, sides, strict=True)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            return sorted(ends)

        yield run


Race = Callable[[Side, Side], list[str]]


def opening(number: int, operator: Any = ANNA, **knowing: Any) -> Side:
    def side(db: sa.Connection) -> object:
        task = planning.load_task(db, TaskId(number))
        assert task is not None
        decision = Dial(task.phones[0], operator, (Route("c"),))
        lease = timedelta(hours=1)
        return type(ledger.open_attempt(db, task, decision, NOON, lease=lease, **knowing)).__name__

    return side


@pytest.mark.parametrize("round_", range(TIMES))
def test_one_client_of_two_tasks(race: Race, run: Run, round_: int) -> None:
    both = [tasks.Imported(portal_task(8001 + n), (PHONE,)) for n in (0, 1)]
    run(tasks.save_tasks, both, NOON, asked=NOON)

    assert ["Attempt", "ClientTaken"] == race(opening(8001), opening(8002, BORIS))


@pytest.mark.parametrize("round_", range(TIMES))
def test_one_operator_for_two_calls(race: Race, run: Run, round_: int) -> None:
    bring(run, portal_task(8001), portal_task(8002))

    assert ["Attempt", "Taken"] == race(opening(8001), opening(8002))


@pytest.mark.parametrize("round_", range(TIMES))
def test_one_task_dialled_by_two_nodes(race: Race, run: Run, round_: int) -> None:
    bring(run, portal_task(8001))
    ends = race(opening(8001), opening(8001, BORIS))

    assert "Attempt" in ends and ends != ["Attempt", "Attempt"]
    assert "IntegrityError" not in ends


@pytest.mark.parametrize("round_", range(TIMES))
def test_the_last_line_taken_by_two_nodes(race: Race, run: Run, round_: int) -> None:
    bring(run, portal_task(8001), portal_task(8002))
    seen = run(nodes.last_event)
    one, two = ({"node": name, "seen": seen} for name in ("one", "two"))

    assert ["Attempt", "Stale"] == race(opening(8001, **one), opening(8002, BORIS, **two))


@pytest.mark.parametrize("access", [(Access.ALONE, Access.ALONE), BESIDE])
@pytest.mark.parametrize("round_", range(TIMES))
def test_one_attempt_claimed_twice(race: Race, run: Run, round_: int) -> None:
    bring(run, portal_task(8001))
    attempt = dial(run, 8001)

    def claiming(db: sa.Connection) -> object:
        return ledger.claim(db, attempt, NOON) is not None

    assert ["False", "True"] == race(claiming, claiming)


@pytest.mark.parametrize("round_", range(TIMES))
def test_a_result_and_a_giving_up(race: Race, run: Run, round_: int) -> None:
    bring(run, portal_task(8001))
    attempt = dial(run, 8001)
    run(ledger.claim, attempt, NOON)

    def reported(db: sa.Connection) -> object:
        return attempt_end.record(db, attempt, TALKED, NOON, EndPolicy()).recorded.value

    def given_up(db: sa.Connection) -> object:
        end = attempt_end.give_up(db, attempt, Outcome.LOST, "lease", NOON, EndPolicy())
        return end.recorded.value

    assert ["ended", "known"] == race(reported, given_up)
    assert {attempt: 1} == run(ended_counts)


@pytest.mark.parametrize("round_", range(TIMES))
def test_one_message_for_two_reporters(race: Race, run: Run, round_: int) -> None:
    bring(run, portal_task(8001))
    attempt = dial(run, 8001)
    run(ledger.claim, attempt, NOON)
    run(attempt_end.record, attempt, TALKED, NOON, EndPolicy())

    def next_one(db: sa.Connection) -> object:
        message = outbox.next_message(db, NOON)
        return message is not None and not message.doubtful

    assert 1 == race(next_one, next_one).count("True")
    sent = sa.select(schema.outbox.c.id).where(schema.outbox.c.state == "sending")
    assert 1 == len(run(lambda db: db.execute(sent).all())), "the second doubts it, and waits"


@pytest.mark.parametrize("round_", range(TIMES))
def test_one_message_enqueued_twice(race: Race, run: Run, round_: int) -> None:
    bring(run, portal_task(8001))
    attempt = run(load_attempt, dial(run, 8001))

    def enqueue(db: sa.Connection) -> None:
        outbox.enqueue(db, attempt, MessageKind.NOTIFY, {}, NOON, operator=501)

    assert ["None", "None"] == race(enqueue, enqueue)


@pytest.mark.parametrize("round_", range(TIMES))
def test_one_new_task_imported_twice(race: Race, round_: int) -> None:
    rows = [tasks.Imported(portal_task(8001), (PHONE,))]

    def imported(db: sa.Connection) -> object:
        return tasks.save_tasks(db, rows, NOON, asked=NOON)

    assert ["0", "1"] == race(imported, imported)


@pytest.mark.parametrize("round_", range(TIMES))
@pytest.mark.parametrize(
    "change",
    [
        lambda db: flags.mark(db, NOON, flags.ALIVE),
        lambda db: pauses.pause(db, OperatorId(501), NOON, "обед"),
        lambda db: nodes.started(db, "one", 1, "1", NOON),
    ],
    ids=["flag", "pause", "node"],
)
def test_one_row_written_twice(race: Race, change: Side, round_: int) -> None:
    assert ["None", "None"] == race(change, change)


# Claims and ringings of several nodes run beside each other.


def claiming(attempt: AttemptId) -> Side:
    return lambda db: ledger.claim(db, attempt, NOON) is not None


@pytest.mark.parametrize("access", [BESIDE])
def test_claims_of_two_nodes_do_not_wait_for_each_other(race: Race, run: Run) -> None:
    bring(run, portal_task(8001), portal_task(8002))
    first, second = dial(run, 8001), dial(run, 8002, BORIS)
    both_have_claimed = Barrier(2)

    def side(attempt: AttemptId) -> Side:
        def claim(db: sa.Connection) -> object:
            claimed = claiming(attempt)(db)
            both_have_claimed.wait(5)
            return claimed

        return claim

    assert ["True", "True"] == race(side(first), side(second))


@pytest.mark.parametrize("access", [BESIDE])
@pytest.mark.parametrize("round_", range(TIMES))
def test_two_operators_handed_over_crosswise(race: Race, run: Run, round_: int) -> None:
    """Each call rings the operator that is reserved for the other one."""
    for who in (ANNA, BORIS):
        values = {
            "id": who.id,
            "name": who.name,
            "extension": who.extension,
            "online": 1,
            "seen": NOON,
        }
        run(lambda db, v=values: db.execute(sa.insert(schema.operators).values(v)))
    bring(run, portal_task(8001), portal_task(8002))
    first, second = dial(run, 8001), dial(run, 8002, BORIS)
    for attempt in (first, second):
        run(ledger.claim, attempt, NOON)

    def ringing(attempt: AttemptId, extension: str) -> Side:
        return lambda db: ledger.ringing(db, attempt, extension, NOON)

    ends = race(ringing(first, BORIS.extension), ringing(second, ANNA.extension))

    assert ["None", "None"] == ends
    assert {BORIS.id: first, ANNA.id: second} == run(reserved)


@pytest.mark.parametrize("access", [(Access.BESIDE, Access.ALONE)])
@pytest.mark.parametrize("round_", range(TIMES))
def test_a_claim_and_a_giving_up(race: Race, run: Run, round_: int) -> None:
    """The client is dialled, or the attempt was given up before that."""
    bring(run, portal_task(8001))
    attempt = dial(run, 8001)

    def given_up(db: sa.Connection) -> object:
        before = load_attempt(db, attempt)
        assert before is not None
        attempt_end.give_up(db, attempt, Outcome.LOST, "lease", NOON, EndPolicy())
        return before.state.value

    assert race(claiming(attempt), given_up) in (["True", "claimed"], ["False", "spooled"])


@pytest.mark.parametrize("access", [(Access.BESIDE, Access.ALONE)])
@pytest.mark.parametrize("round_", range(TIMES))
def test_what_is_seen_of_the_history_misses_no_start(
    race: Race, place: Server, run: Run, round_: int
) -> None:
    """While claims run beside each other; who looks waits for nobody."""
    bring(run, portal_task(8001), portal_task(8002))
    attempt, before = dial(run, 8001), run(nodes.last_event)
    reader = open_server(place, access=lambda: Access.READS)
    told: list[nodes.News] = []

    def look(side: Side) -> Side:
        def looking(db: sa.Connection) -> object:
            end = side(db)
            with reader.begin() as beside:
                told.append(nodes.news(beside, "two", before))
            return end

        return looking

    race(look(claiming(attempt)), look(opening(8002, BORIS, node="one", seen=before)))
    reader.dispose()
    later = run(nodes.news, "two", min(news.seen for news in told))
    assert [8002] == [one.task for one, _ in later.in_flight]
