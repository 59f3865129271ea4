"""
No statement of a running dialler reads a table that grows with the years from end to end.

Every test that goes through ``FakeStore`` has its statements explained as they are executed (see
``plans.py``). Here: that this would be noticed, and that nothing escaped it.
"""

import re
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_twisted
import sqlalchemy as sa

from autodial.rules.rolling_statistics import Past
from autodial.store import attempt_queries, flags, retention
from autodial.store import outbox as outbox_
from autodial.store.schema import attempts, events, outbox, phones, tasks
from tests.integration.conftest import NOON, FakeStore
from tests.integration.house import House
from tests.integration.plans import Plans, Scan

SOURCES = Path(__file__).parents[2] / "autodial"


@pytest.mark.parametrize(
    "statement",
    [
        sa.select(attempts).where(attempts.c.outcome.is_(None)),
        sa.select(outbox).where(outbox.c.state.in_(("owed", "sending"))),  # bound: no small index
        sa.select(tasks.c.id).where(tasks.c.title == "x"),
        sa.update(tasks).where(tasks.c.reason == "x").values(reason="y"),
        sa.delete(events).where(events.c.kind == "x"),
        sa.select(phones.alias("p")).join(tasks, sa.true()),
    ],
    ids=str,
)
def test_a_statement_that_reads_a_table_whole_is_noticed(
    database: sa.Engine, statement: sa.Executable
) -> None:
    plans = Plans(database)
    plans.watching = True
    with database.begin() as connection, pytest.raises(Scan):
        connection.execute(statement)


def test_what_goes_by_an_index_is_not(database: sa.Engine) -> None:
    plans = Plans(database)
    plans.watching = True
    with database.begin() as connection:
        connection.execute(sa.select(attempts).where(attempts.c.task == 1))

    assert 1 == len([statement for statement in plans.explained if "FROM attempts" in statement])


@pytest_twisted.ensureDeferred
async def test_what_is_asked_at_a_start_and_for_a_second_operator(
    house: House, store: FakeStore
) -> None:
    attempt = house.dial()
    house.ask("claim", attempt, "442079460000", "")
    house.ask("ringing", attempt, "101")
    house.ask("ringing", attempt, "102")
    debt = await store.run(outbox_.next_debt, NOON)

    assert debt is not None
    assert [] == await store.run(outbox_.shown_to, debt)
    assert Past() == await store.run(attempt_queries.past, NOON, timedelta(days=1))
    assert {} == await store.run(attempt_queries.last_talks, NOON)
    await store.run(flags.tell, NOON, flags.RELOAD, "/etc/autodial24/autodial.toml")
    assert (NOON, "/etc/autodial24/autodial.toml") == await store.run(flags.told, flags.RELOAD)


def test_every_function_that_the_dialler_asks_of_its_store_was_explained(
    request: pytest.FixtureRequest,
) -> None:
    """Runs last, as it looks at what the others did."""
    modules = {Path(str(item.path)).name for item in request.session.items}
    here = {path.name for path in Path(__file__).parent.glob("test_*.py")}
    if not here <= modules:
        pytest.skip("only some of the tests are run")
    asked = {
        name.rpartition(".")[2]
        for path in SOURCES.rglob("*.py")
        for name in re.findall(r"store\.run\(\s*([\w.]+)", path.read_text(encoding="utf-8"))
    }
    steps = {step.__name__ for kind in retention.STEPS.values() for step in kind}

    assert len(asked) > 30
    assert (asked - {"step"}) | steps <= FakeStore.ran
