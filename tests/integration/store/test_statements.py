"""
No statement of a running dialler reads a table that grows with the years from end to end.

Every test that goes through ``FakeStore`` has its statements explained as they are executed (see
``plans.py``; ``tests/conftest.py`` checks that none is left out). Here: such a scan is detected,
and a statement that SQLite prepares each time.
"""

from contextlib import nullcontext
from datetime import timedelta

import pytest
import pytest_twisted
import sqlalchemy as sa

from autodial.rules.rolling_statistics import PastCalls
from autodial.store import attempt_queries, flags, retention
from autodial.store import outbox as outbox_
from autodial.store.schema import (
    LISTED,
    attempts,
    events,
    holds,
    in_state,
    outbox,
    phones,
    tasks,
)
from tests.integration.conftest import NOON, FakeStore
from tests.integration.house import House
from tests.integration.plans import Plans, PreparedAnew, Scan, asked_of_the_store


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    "statement",
    [
        sa.select(attempts).where(attempts.c.outcome.is_(None)),
        sa.select(outbox).where(
            outbox.c.state.in_(("pending", "sending"))
        ),  # bound: no small index
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


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("condition", "anew"),
    [
        (tasks.c.open == 1, True),
        (holds("tasks", LISTED), False),
        (outbox.c.state == "sending", True),
        (in_state("sending"), False),
    ],
    ids=str,
)
def test_a_statement_that_is_prepared_each_time_is_noticed(
    database: sa.Engine, condition: sa.ColumnElement[bool], anew: bool
) -> None:
    plans = Plans(database)
    plans.watching = True
    statement = sa.select(tasks.c.id).join(outbox, outbox.c.task == tasks.c.id)
    with (
        database.begin() as connection,
        pytest.raises(PreparedAnew) if anew else nullcontext(),
    ):
        connection.execute(statement.where(tasks.c.id == 1, outbox.c.task == 1, condition))


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
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
    message = await store.run(outbox_.next_message, NOON)

    assert message is not None
    assert [] == await store.run(outbox_.shown_to, message)
    assert PastCalls() == await store.run(attempt_queries.past, NOON, timedelta(days=1))
    assert {} == await store.run(attempt_queries.last_talks, NOON)
    await store.run(flags.tell, NOON, flags.RELOAD, "/etc/autodial24/autodial.toml")
    assert (NOON, "/etc/autodial24/autodial.toml") == await store.run(flags.told, flags.RELOAD)


def test_what_the_dialler_asks_of_its_store_is_known() -> None:
    """
    ``tests/conftest.py`` checks at the end of the run that each function was run and explained.
    """
    asked = asked_of_the_store()

    assert {"claim", "open_attempt", "next_message", "record"} <= asked
    assert {step.__name__ for kind in retention.STEPS.values() for step in kind} <= asked
    assert len(asked) > 40
