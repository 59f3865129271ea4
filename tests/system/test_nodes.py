"""
Two diallers, each beside an Asterisk of its own, on one PostgreSQL and one portal: no talk is lost,
no client called twice, no limit exceeded, no message written twice, whoever dies.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from autodial.model.outcome import Outcome
from autodial.store import nodes, schema, views
from demo.rig import Rig
from tests.chaos.audit import audit
from tests.chaos.driver import chaos
from tests.cluster import Cluster, cluster
from tests.system import scene

House = Callable[..., Rig]
SEED = 20


@pytest.fixture(scope="module")
def postgresql() -> Iterator[Cluster]:
    with cluster() as running:
        yield running


def two_nodes(house: House, postgresql: Cluster, **wishes: object) -> tuple[Rig, Rig]:
    """Operator 501 is at the phone 101 of node "one", 502 at 102 of "two"; both diallers run."""
    server = postgresql.new()
    overrides = {
        "portal": {"poll": "1s", "walk": "2s", "executes_within": "30s"},
        "store": {"url": server.url},
        **wishes.pop("overrides", {}),  # type: ignore[dict-item]
    }
    one = house(
        extensions=("101",), overrides={**overrides, "node": {"name": "one"}}, grace=3, **wishes
    )
    two = house(
        extensions=("102",), overrides={**overrides, "node": {"name": "two"}}, grace=3,
        portal=one.portal, **wishes,
    )  # fmt: skip
    one.operator(501, "101")
    two.operator(502, "102")
    for rig in (one, two):
        rig.start_dialler()
    one.wait(lambda: leader(one) != "", "a node to lead")
    wait_for_phones(one)
    return one, two


def wait_for_phones(one: Rig) -> None:
    """Of both nodes."""
    one.wait(
        lambda: {"101", "102"} == {o.extension for o in phones(one) if o.phone == "NOT_INUSE"},
        "both phones to be known",
    )


@pytest.fixture(scope="module")
def both(house: House, postgresql: Cluster) -> tuple[Rig, Rig]:
    return two_nodes(house, postgresql, operator_talks=8)


def phones(rig: Rig) -> list[views.OperatorLine]:
    return scene.read(rig, views.operator_lines)


def lines(rig: Rig) -> list[nodes.NodeLine]:
    return scene.read(rig, nodes.lines)


def leader(rig: Rig) -> str:
    return next((line.name for line in lines(rig) if line.leads), "")


def which(rig: Rig, task: int) -> list[str]:
    """The nodes that have dialled a task."""
    query = sa.select(schema.attempts.c.node).where(schema.attempts.c.task == task)
    return list(scene.read(rig, lambda db: list(db.scalars(query))))


def end(both: tuple[Rig, Rig], tasks: list[int], seconds: float = 180) -> None:
    """Wait for all reports; then nothing is doubled, and nothing left over."""
    scene.wait_for_reports(both[0], tasks, seconds)
    for rig in both:
        scene.assert_house_in_order(rig)
    clients = Counter(number for rig in both for number in scene.dialled(rig))
    made = Counter(a.number[1:] for a in scene.attempts(both[0]) if a.outcome != "withdrawn")
    assert clients == made, "each attempt rang once"


def test_long_talks_go_on_at_both_and_none_is_lost(both: tuple[Rig, Rig]) -> None:
    """They last longer than a reconciler waits for a channel that it cannot see."""
    one, _ = both
    tasks = [one.task("00", responsible=who) for who in (501, 502, 501, 502)]
    end(both, tasks)

    assert {Outcome.TALKED} == {scene.outcome(one, task) for task in tasks}
    dialled_by = [which(one, task) for task in tasks]
    assert [["one"], ["two"]] == dialled_by[:2], "at the node of the responsible's phone"
    assert [1] * 4 == [len(names) for names in dialled_by], "the others: by who is free first"


def test_status_and_nodes_are_told_of_both(both: tuple[Rig, Rig]) -> None:
    assert ["one", "two"] == [line.name for line in lines(both[0])]
    assert all(line.lives and line.pbx for line in lines(both[0]))
    assert 1 == sum(line.leads for line in lines(both[0]))
    assert "one" in scene.autodial(both[1], "nodes")
    with pytest.raises(Exception, match="another process works as node 'one'"):
        second = Rig(
            both[0].exchange, both[0].portal, both[0].directory, both[0].port, both[0].settings
        )
        second.start_dialler()


def test_the_leader_is_killed_in_a_talk_and_the_other_reads_the_portal(
    both: tuple[Rig, Rig],
) -> None:
    names = {"one": both[0], "two": both[1]}
    name = leader(both[0])
    killed, other = names.pop(name), next(iter(names.values()))
    who = {"one": 501, "two": 502}
    task = killed.task("00", responsible=who[name])
    killed.wait(lambda: scene.state(killed, task) == "answered", "the talk")
    killed.kill_dialler()
    other.wait(lambda: leader(other) not in ("", name), "the other to lead")
    later = other.task("00", responsible=502 if name == "one" else 501)
    other.wait(lambda: scene.outcome(other, later) is Outcome.TALKED, "a call of the other")
    killed.start_dialler()
    end(both, [task, later])

    assert Outcome.TALKED is scene.outcome(killed, task), "Asterisk kept its report"
    assert 1 == len(scene.attempts(killed, task))


@pytest.mark.parametrize(("how", "seconds"), [(Cluster.stop, 30), (Cluster.kill, 0)])
def test_postgresql_is_away_during_talks(
    both: tuple[Rig, Rig], postgresql: Cluster, how: Callable[[Cluster], None], seconds: float
) -> None:
    """Talks go on; their results wait in Asterisk."""
    one, _ = both
    wait_for_phones(one)
    tasks = [one.task("00", responsible=who) for who in (501, 502)]
    one.wait(lambda: {"answered"} == {scene.state(one, t) for t in tasks}, "both talks")
    how(postgresql)
    back = time.monotonic() + seconds
    for rig in both:
        rig.wait(lambda rig=rig: rig.exchange.channels() == 0, "the talks to end")  # type: ignore[misc]
    one.wait(lambda: time.monotonic() > back, "the database to come back", seconds + 30)
    postgresql.start()
    end(both, tasks)

    assert {Outcome.TALKED} == {scene.outcome(one, task) for task in tasks}
    assert [1, 1] == [len(scene.attempts(one, task)) for task in tasks]


def test_lines_are_never_exceeded_and_a_slow_portal_is_told_once(
    house: House, postgresql: Cluster
) -> None:
    """Two lines in all, three seconds for each request of the portal."""
    both = two_nodes(
        house, postgresql, operator_talks=3,
        overrides={"asterisk": {"trunks": [{"name": "carrier1", "lines": 1}]}},
    )  # fmt: skip
    one, _ = both
    for rig in both:
        rig.portal_down()
        rig.latency = 3
        rig.portal_up()
    tasks = [one.task("00", responsible=who) for who in (501, 502) * 2]
    most = 0

    def all_told() -> bool:
        nonlocal most
        flying = sa.select(sa.func.count()).where(schema.attempts.c.outcome.is_(None))
        most = max(most, scene.read(one, lambda db: db.execute(flying).scalar_one()))
        done = {a.task for a in scene.attempts(one) if a.state == "reported"}
        return set(tasks) <= done

    one.wait(all_told, "all reports", 300)
    end(both, tasks)
    assert 1 == most
    assert {Outcome.TALKED} == {scene.outcome(one, task) for task in tasks}


def test_the_leader_is_killed_in_a_comment(house: House, postgresql: Cluster) -> None:
    """The next one waits until the request can no longer be executed, and writes it once."""
    both = two_nodes(house, postgresql, operator_talks=1)
    one, _ = both
    for rig in both:
        rig.portal_down()
        rig.latency = 2
        rig.portal_up()
    name = leader(one)
    leading = both[0] if name == "one" else both[1]
    other = both[1] if name == "one" else both[0]
    task = one.task("00", responsible=502 if name == "one" else 501)
    sending = (schema.outbox.c.state == "sending") & (schema.outbox.c.kind == "comment")
    comment = sa.select(schema.outbox.c.id).where(sending)
    other.wait(lambda: scene.read(other, lambda db: db.scalar(comment)) is not None, "a comment")
    leading.kill_dialler()
    other.wait(lambda: leader(other) not in ("", name), "the other to lead")
    end(both, [task], 240)
    leading.start_dialler()

    assert 1 == len(scene.comments_of(other, scene.attempts(other, task)[0]))


def test_whatever_happens_to_two_nodes_and_their_database(tmp_path: Path) -> None:
    """The short form of ``python -m tests.chaos --nodes 2``."""
    with chaos(SEED, tmp_path, deferral=5, nodes=2) as running:
        running.run(40, 10)
        result = audit(running.rig, running.happened, running.others)

    assert [] == result.broken
    assert result.attempts >= 40
