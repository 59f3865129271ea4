"""
Two diallers on one store: what each must count of the other, and what it leaves to it.

Their Asterisks, spools and memories are their own; the store is a real PostgreSQL.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from time import sleep
from typing import Any

import psycopg
import pytest
import pytest_twisted
import sqlalchemy as sa
from attrs import define
from twisted.internet.task import Clock

from autodial.config.place import Server
from autodial.config.rules import ClientConfig
from autodial.config.settings import Config
from autodial.engine.attempt_starts import Started
from autodial.engine.dispatcher import Dispatcher
from autodial.engine.engine import Engine
from autodial.engine.operators import Roster
from autodial.engine.surroundings import all_well
from autodial.errors import StoreBusy
from autodial.model.ids import AttemptId, TaskId
from autodial.model.outcome import Outcome
from autodial.pbx.agi_scripts import AstDb
from autodial.pbx.reconciler import Reconciler
from autodial.rules.dial_decision import decide
from autodial.rules.dial_facts import Dial, Reason, Wait
from autodial.rules.hangup import parse_report
from autodial.store import locks, nodes, pauses, schema, tasks, views
from autodial.store.locks import DECIDER, NODES, OURS, node_lock
from autodial.store.planning import due_tasks, load_task
from call_files import CallFile, Spool
from tests.integration.conftest import NOON, FakeStore, Now
from tests.integration.house import staff_row, variant
from tests.integration.store.test_ledger import PHONE, bring, portal_task

Run = Callable[..., Any]
BOTH = ("one", "two")
pytestmark = pytest.mark.parametrize("place", ["postgresql"], indirect=True)


@define(eq=False)
class Node:
    """One dialler's engine, and its session's lock."""

    name: str
    engine: Engine
    store: FakeStore
    spool: Spool
    reconciler: Reconciler
    session: "psycopg.Connection[Any]"

    async def turn(self) -> None:
        """It hears of phones, and takes a turn."""
        roster = self.engine.roster
        await self.store.run(nodes.save_phones, self.name, dict(roster.phones() or {}))
        roster.set_elsewhere(await self.store.run(nodes.phones_elsewhere, self.name))
        await self.engine.dispatcher.turn()

    @property
    def waiting(self) -> set[str]:
        """Its call files."""
        return set(self.spool.waiting())

    def die(self) -> None:
        """Returns when the server knows it, too: it ends a session a moment later."""
        self.session.close()
        for _ in range(1000):
            with self.store.engine.begin() as db:
                if self.name not in nodes.live(db):
                    return
            sleep(0.01)
        raise AssertionError("the session goes on")


@pytest.fixture
def make(
    place: Server, config: Config, store: FakeStore, now: Now, tmp_path: Path
) -> Iterator[Callable[..., tuple[Node, Node]]]:
    """Two nodes; ``phones`` of each, and what is different in the settings of both."""

    staff = [staff_row(500 + n, f"10{n}") for n in range(1, 5)]
    rows = [
        {"id": o.id, "name": o.name, "extension": o.extension, "online": 1, "seen": NOON}
        for o in staff
    ]
    with store.engine.begin() as db:
        db.execute(sa.insert(schema.operators), rows)
    with ExitStack() as stack:

        def build(*phones: tuple[str, ...], **sections: dict[str, Any]) -> tuple[Node, Node]:
            one, two = (
                node(name, reached, **sections)
                for name, reached in zip(BOTH, phones or (("101",), ("102",)), strict=True)
            )
            with store.engine.begin() as db:
                for each in (one, two):
                    nodes.save_phones(db, each.name, dict(each.engine.roster.phones() or {}))
            return one, two

        def node(name: str, reached: tuple[str, ...], **sections: dict[str, Any]) -> Node:
            settings = variant(config, node={"name": name}, **sections)
            roster = Roster()
            roster.set_staff(staff)
            roster.ask_phones()
            for extension in reached:
                roster.set_phone(extension, "NOT_INUSE")
            spool = Spool(tmp_path / name / "outgoing")
            spool.outgoing.mkdir(parents=True)
            spool.prepare()
            fake: Any = store
            engine = Engine(settings, fake, roster, spool, now, all_well(now))
            reconciler = Reconciler(fake, engine.ends, spool, AstDb(), now, None, Clock())
            url = place.url.replace("+psycopg", "")
            session = stack.enter_context(psycopg.connect(url, autocommit=True))
            session.execute("SELECT pg_advisory_lock(%s, %s)", (NODES, node_lock(name)))
            with store.engine.begin() as db:
                nodes.started(db, name, node_lock(name), "1", now())
            return Node(name, engine, store, spool, reconciler, session)

        yield build


def due(run: Run, *responsible: int) -> None:
    """Due tasks of different clients, the first one 8001."""
    bring(run, *(portal_task(8001 + n, responsible=who) for n, who in enumerate(responsible)))


def attempt(name: str) -> AttemptId:
    return AttemptId(name)


def in_flight(run: Run) -> dict[str, str]:
    query = sa.select(schema.attempts.c.id, schema.attempts.c.node)
    rows = run(lambda db: db.execute(query.where(schema.attempts.c.outcome.is_(None))).all())
    return {row.id: row.node for row in rows}


ENDED = "dial,ANSWER,16,SIP 200 OK,talk,102,1795435200,1795435205,1795435265,carrier1"
TALKED = parse_report(ENDED.split(","))
SILENT = parse_report(["dial", "NOANSWER", "19", ""])


@pytest_twisted.ensureDeferred
async def test_each_node_dials_for_the_operators_at_its_own_phones(
    make: Callable[..., tuple[Node, Node]], run: Run, now: Now
) -> None:
    one, two = make()
    due(run, 502, 501)
    for node in (one, two):
        await node.turn()
        now.advance(seconds=1)

    assert ({"t8002-1"}, {"t8001-1"}) == (one.waiting, two.waiting)
    assert {"t8001-1": "two", "t8002-1": "one"} == in_flight(run)


@pytest_twisted.ensureDeferred
async def test_a_task_for_anybody_is_dialled_by_whoever_looks_first(
    make: Callable[..., tuple[Node, Node]], run: Run, now: Now
) -> None:
    one, two = make()
    due(run, 577, 577)
    await two.turn()
    now.advance(seconds=2)
    await one.turn()

    assert ({"t8002-1"}, {"t8001-1"}) == (one.waiting, two.waiting)


@pytest_twisted.ensureDeferred
async def test_a_node_without_free_operators_hides_no_task_from_the_other(
    make: Callable[..., tuple[Node, Node]], run: Run, now: Now
) -> None:
    """Each has tasks that wait for its busy operator, and none of them starves the other."""
    one, two = make(staff={"wait_for_responsible": timedelta(hours=9)})
    one.engine.roster.set_phone("101", "INUSE")
    one.engine.roster.set_phone("103", "NOT_INUSE")
    due(run, 501, 502)
    await two.turn()
    await one.turn()
    now.advance(seconds=1)
    await two.turn()

    assert {"t8002-1"} == two.waiting
    assert {} == {name: node for name, node in in_flight(run).items() if node == "one"}
    one.engine.roster.set_phone("101", "NOT_INUSE")
    now.advance(seconds=15)
    await one.turn()
    assert {"t8001-1"} == one.waiting


@pytest_twisted.ensureDeferred
async def test_a_decision_that_another_node_overtook_is_made_again_with_what_it_did(
    make: Callable[..., tuple[Node, Node]], run: Run, now: Now
) -> None:
    """The client is called for another task meanwhile: no second call that day."""
    day = ClientConfig.model_validate({"preset": "none", "per_day": 1})
    one, two = make(client=day.model_dump())
    of_one_client = [portal_task(8001), portal_task(8002, responsible=502)]
    run(tasks.save_tasks, [tasks.Imported(t, (PHONE,)) for t in of_one_client], NOON, asked=NOON)
    task = run(load_task, TaskId(8002))
    decision = decide(task, two.engine.conditions.facts(), now())
    assert isinstance(decision, Dial)
    await one.turn()
    assert await one.engine.call_control.claim(attempt("t8001-1"))
    await one.engine.ends.record(attempt("t8001-1"), SILENT)

    refusal = await two.engine.starts.start(task, decision)
    assert isinstance(refusal, Wait) and Reason.BUDGET is refusal.reason


@pytest_twisted.ensureDeferred
async def test_the_end_of_another_client_s_call_makes_no_decision_void(
    make: Callable[..., tuple[Node, Node]], run: Run
) -> None:
    one, two = make()
    due(run, 501, 502)
    assert not two.engine.dispatcher.waits_for_nodes
    await one.turn()
    seen = run(nodes.last_event)
    await one.engine.ends.record(attempt("t8001-1"), TALKED)
    called, other = (run(load_task, TaskId(n)).phones[0] for n in (8001, 8002))

    assert run(nodes.overtaken, "two", seen, called)
    assert not run(nodes.overtaken, "two", seen, other)


@pytest_twisted.ensureDeferred
async def test_who_was_overtaken_dials_in_the_same_turn(
    make: Callable[..., tuple[Node, Node]], run: Run, now: Now
) -> None:
    one, two = make()
    due(run, 501, 502)
    [task] = [task for task in run(due_tasks, NOON, 9) if task.id == 8002]
    decision = decide(task, two.engine.conditions.facts(), now())
    assert isinstance(decision, Dial)
    await one.turn()
    now.advance(seconds=1)

    started = await two.engine.starts.start(task, decision)
    assert isinstance(started, Started) and "t8002-1" == started.attempt.id
    assert {"t8001-1", "t8002-1"} == {each.id for each in two.engine.calls.all()}


@pytest_twisted.ensureDeferred
async def test_one_node_decides_at_a_time_unless_it_hangs(
    make: Callable[..., tuple[Node, Node]], place: Server, run: Run, now: Now
) -> None:
    one, two = make()
    due(run, 501, 502)
    with psycopg.connect(place.url.replace("+psycopg", ""), autocommit=True) as third:
        third.execute("SELECT pg_advisory_lock(%s, %s)", (OURS, DECIDER))
        await one.turn()
        assert set() == one.waiting
        third.execute("SELECT pg_advisory_unlock(%s, %s)", (OURS, DECIDER))
        await one.turn()
        assert {"t8001-1"} == one.waiting
        third.execute("SELECT pg_advisory_lock(%s, %s)", (OURS, DECIDER))
        now.advance(seconds=1)
        await two.turn()
        assert set() == two.waiting
        now.advance(seconds=4)
        await two.turn()
        assert {"t8002-1"} == two.waiting, "it waits no longer"


@pytest_twisted.ensureDeferred
async def test_a_node_that_has_decided_lets_the_next_one(
    make: Callable[..., tuple[Node, Node]], place: Server, run: Run
) -> None:
    one, _ = make()
    due(run, 501)
    # As when its transaction failed, and was run again: the session has the lock once more.
    assert run(locks.try_to_decide)
    await one.turn()
    with psycopg.connect(place.url.replace("+psycopg", ""), autocommit=True) as other:
        got = other.execute("SELECT pg_try_advisory_lock(%s, %s)", (OURS, DECIDER)).fetchone()
    assert ({"t8001-1"}, (True,)) == (one.waiting, got)


@pytest_twisted.ensureDeferred
async def test_a_turn_whose_answer_is_lost_is_given_back(
    make: Callable[..., tuple[Node, Node]], place: Server, run: Run
) -> None:
    class Losing:
        async def run(self, function: Callable[..., Any], *args: Any) -> Any:
            result = await one.store.run(function, *args)
            if function is nodes.turn_to_decide:
                raise StoreBusy("lost")
            return result

    one, _ = make()
    due(run, 501)
    losing: Any = Losing()
    one.engine.dispatcher.turns.store = losing
    with pytest.raises(StoreBusy):
        await one.turn()
    with psycopg.connect(place.url.replace("+psycopg", ""), autocommit=True) as other:
        got = other.execute("SELECT pg_try_advisory_lock(%s, %s)", (OURS, DECIDER)).fetchone()
    assert (True,) == got


@pytest_twisted.ensureDeferred
async def test_a_node_with_much_to_decide_lets_others_go_between(
    make: Callable[..., tuple[Node, Node]], run: Run, now: Now
) -> None:
    class SlowSpool(Spool):
        def submit(self, file: CallFile) -> Path:
            now.advance(seconds=2)
            return super().submit(file)

    one, _ = make(("101", "103"), ("102",))
    one.engine.dispatcher.spool = SlowSpool(one.spool.outgoing)
    due(run, 501, 503, 502)
    await one.turn()
    assert {"t8001-1"} == one.waiting
    await one.turn()
    assert {"t8001-1", "t8002-1"} == one.waiting


@pytest_twisted.ensureDeferred
async def test_the_lines_of_a_trunk_are_counted_over_all_nodes(
    make: Callable[..., tuple[Node, Node]], run: Run, config: Config, now: Now
) -> None:
    trunk = config.asterisk.trunks[0].model_copy(update={"lines": 2})
    one, two = make(("101", "102"), ("103", "104"), asterisk={"trunks": (trunk,)})
    due(run, 501, 502, 503, 504)
    for _ in range(3):
        for node in (one, two):
            await node.turn()
            now.advance(seconds=1)

    assert 2 == len(in_flight(run))
    assert one.engine.dispatcher.waits_for_nodes, "it is woken when a call of the other ends"
    ended = next(iter(in_flight(run)))
    which = one if in_flight(run)[ended] == "one" else two
    await which.engine.ends.record(attempt(ended), TALKED)
    for node in (one, two):
        await node.turn()
    assert 2 == len(in_flight(run)), "the line is used again"


@pytest_twisted.ensureDeferred
async def test_the_calls_at_once_and_the_pace_are_of_all_nodes(
    make: Callable[..., tuple[Node, Node]], run: Run, now: Now
) -> None:
    one, two = make(("101", "102"), ("103", "104"), pace={"max_calls": 3, "calls_per_second": 1})
    due(run, 501, 502, 503, 504)
    for moment in range(12):
        await (one, two)[moment % 2].turn()
        await (two, one)[moment % 2].turn()
        assert len(in_flight(run)) <= 1 + moment // 4, "one a second"
        now.advance(seconds=0.25)

    assert 3 == len(in_flight(run))


@pytest_twisted.ensureDeferred
async def test_who_knew_less_decides_again(
    make: Callable[..., tuple[Node, Node]],
    run: Run,
    config: Config,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Between a node's look at the store and its decision the other takes the last line."""
    trunk = config.asterisk.trunks[0].model_copy(update={"lines": 1})
    one, two = make(asterisk={"trunks": (trunk,)})
    due(run, 501, 502)
    await one.turn()

    async def late(dispatcher: Dispatcher) -> None:
        """As if it had looked a moment before."""

    monkeypatch.setattr(Dispatcher, "hear", late)
    await two.turn()
    assert {"t8001-1": "one"} == in_flight(run)
    assert set() == two.waiting


@pytest_twisted.ensureDeferred
async def test_one_client_of_two_tasks_is_called_once(
    make: Callable[..., tuple[Node, Node]], run: Run, now: Now
) -> None:
    one, two = make()
    both = [tasks.Imported(portal_task(8001 + n, responsible=501 + n), (PHONE,)) for n in (0, 1)]
    run(tasks.save_tasks, both, NOON, asked=NOON)
    for _ in range(3):
        for node in (one, two):
            await node.turn()
            now.advance(seconds=1)

    assert {"t8001-1"} == set(in_flight(run))


@pytest_twisted.ensureDeferred
async def test_only_the_caller_s_node_gives_a_call_up_while_it_lives(
    make: Callable[..., tuple[Node, Node]], run: Run, now: Now
) -> None:
    one, two = make()
    due(run, 501)
    await one.turn()
    await one.engine.call_control.claim(attempt("t8001-1"))
    now.advance(hours=3)
    await two.reconciler.turn()
    assert {"t8001-1": "one"} == in_flight(run)

    one.die()
    now.advance(days=1)
    await two.reconciler.turn()
    assert not in_flight(run)
    line = run(views.attempt_lines)[-1]
    assert Outcome.LOST.value == line.outcome


@pytest_twisted.ensureDeferred
async def test_a_dead_node_s_phones_are_nobody_s(
    make: Callable[..., tuple[Node, Node]], run: Run, now: Now
) -> None:
    one, two = make()
    due(run, 502)
    await two.engine.dispatcher.beat()
    await one.turn()
    assert set() == one.waiting, "the other dials it"
    two.die()
    now.advance(seconds=15)
    await one.turn()

    assert {"t8001-1"} == one.waiting, "its own operator takes it"
    lines = run(nodes.lines)
    assert [("one", True), ("two", False)] == [(line.name, line.lives) for line in lines]


@pytest_twisted.ensureDeferred
async def test_the_wrap_up_after_a_talk_at_one_node_holds_at_the_other(
    make: Callable[..., tuple[Node, Node]], run: Run, now: Now
) -> None:
    one, two = make(("102",), ("102",), staff={"wrap_up": timedelta(minutes=1)})
    due(run, 502, 502)
    await one.turn()
    now.advance(seconds=1)
    await one.engine.ends.record(attempt("t8001-1"), TALKED)
    await two.turn()
    assert set() == two.waiting
    now.advance(seconds=70)
    await two.turn()
    assert {"t8002-1"} == two.waiting


@pytest_twisted.ensureDeferred
async def test_what_a_node_remembers_after_a_new_session(
    make: Callable[..., tuple[Node, Node]], run: Run, store: FakeStore, now: Now
) -> None:
    one, two = make()
    due(run, 501, 502)
    await one.turn()
    now.advance(seconds=1)
    await two.turn()
    memory = await store.run(nodes.memory, now(), timedelta(days=1))
    calls = one.engine.calls
    calls.remember(memory)

    assert {"t8001-1"} == {call.id for call in calls.own()}
    assert {"t8001-1", "t8002-1"} == {call.id for call in calls.all()}
    assert memory.seen == calls.seen
    assert nodes.News(seen=memory.seen) == run(nodes.news, "one", memory.seen)


@pytest_twisted.ensureDeferred
async def test_a_node_s_pause_holds_for_all(
    make: Callable[..., tuple[Node, Node]], run: Run
) -> None:
    one, two = make()
    due(run, 501, 502)
    run(pauses.pause, pauses.EVERYBODY, NOON, "")
    for node in (one, two):
        await node.turn()

    assert {} == in_flight(run)
    assert {"paused"} == {line.reason for line in run(views.task_lines)}


@pytest_twisted.ensureDeferred
async def test_a_call_that_began_and_ended_between_two_looks_counts(
    make: Callable[..., tuple[Node, Node]], run: Run, config: Config, now: Now
) -> None:
    """For the numbers shown in a day, the trunk, the pace, and the cap on abandoned calls."""
    trunk = config.asterisk.trunks[0].model_copy(update={"caller_ids": ("442079469900",)})
    one, two = make(asterisk={"trunks": (trunk,)})
    due(run, 501)
    await one.turn()
    now.advance(seconds=60)
    await one.engine.ends.record(attempt("t8001-1"), TALKED)
    await two.turn()
    calls = two.engine.calls

    assert {"442079469900": 1} == calls.statistics.in_a_day(now())
    assert {"carrier1": NOON} == calls.started
    assert 1 == calls.statistics.answers(now()).answered
    assert () == calls.all()
