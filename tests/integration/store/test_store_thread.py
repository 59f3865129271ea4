"""
What waits for the store together is committed together; each function still succeeds or fails as if
it were alone, and nothing is said before it is on disk.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import pytest_twisted
import sqlalchemy as sa
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred, DeferredList

from autodial.errors import StoreError
from autodial.store import database, flags
from autodial.store.database import Store
from autodial.store.file_store import FileStore
from tests.integration.conftest import NOON

reactor: Any = _reactor


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    running = FileStore(tmp_path / "autodial.sqlite", reactor)
    running.start()
    yield running
    running.stop()


@pytest.fixture
def commits(store: Store) -> list[None]:
    """One entry for each commit."""
    made: list[None] = []
    sa.event.listen(store._engine, "commit", lambda connection: made.append(None))
    return made


def mark(db: sa.Connection, name: str) -> str:
    flags.mark(db, NOON, name)
    return name


def refused(db: sa.Connection, name: str) -> None:
    flags.mark(db, NOON, name)
    raise LookupError(name)


def faulty(db: sa.Connection, name: str) -> None:
    flags.mark(db, NOON, name)
    db.exec_driver_sql("INSERT INTO flags (name) VALUES ('no moment')")


async def together(store: Store, *asked: tuple[Callable[..., object], str]) -> list[object]:
    """Run these while the store is at work on another one, so that all wait; results or errors."""
    begun, go = Event(), Event()

    def hold(db: sa.Connection) -> None:
        begun.set()
        go.wait(10)

    first = Deferred.fromCoroutine(store.run(hold))
    assert begun.wait(10)
    waiting = [Deferred.fromCoroutine(store.run(function, name)) for function, name in asked]
    go.set()
    await first
    ends = await DeferredList(waiting, consumeErrors=True)
    return [result if done else result.type for done, result in ends]  # type: ignore[attr-defined]


def on_disk(store: Store) -> set[str]:
    """As another process sees it."""
    with closing(sqlite3.connect(str(store.place))) as db:
        return {name for (name,) in db.execute("SELECT name FROM flags")}


@pytest_twisted.ensureDeferred
async def test_what_waits_together_is_one_commit(store: Store, commits: list[None]) -> None:
    names = [f"flag {n}" for n in range(database.TOGETHER)]
    assert names == await together(store, *((mark, name) for name in names))

    assert 1 + 1 == len(commits), "the first, and all that waited for it"
    assert set(names) <= on_disk(store)


@pytest_twisted.ensureDeferred
async def test_a_refusal_undoes_its_own_changes_alone(store: Store, commits: list[None]) -> None:
    ends = await together(store, (mark, "before"), (refused, "not"), (mark, "after"))

    assert ["before", LookupError, "after"] == ends
    assert {"before", "after"} == on_disk(store)
    assert 1 + 1 == len(commits)


@pytest_twisted.ensureDeferred
async def test_an_error_of_the_database_undoes_its_own_changes_alone(store: Store) -> None:
    ends = await together(store, (mark, "before"), (faulty, "not"), (mark, "after"))

    assert ["before", sa.exc.IntegrityError, "after"] == ends
    assert {"before", "after"} == on_disk(store)


@pytest_twisted.ensureDeferred
async def test_nobody_is_told_that_a_failed_commit_was_made(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk fills up between the last statement and the commit."""
    full = True

    def commit(connection: sa.Connection) -> None:
        if full and connection.exec_driver_sql("SELECT name FROM flags").first():
            raise sa.exc.OperationalError("COMMIT", {}, sqlite3.OperationalError("disk is full"))

    sa.event.listen(store._engine, "commit", commit)
    ends = await together(store, (mark, "one"), (mark, "two"))
    kept = on_disk(store)
    full = False

    assert [StoreError, StoreError] == ends
    assert not kept
    assert ["three"] == await together(store, (mark, "three")), "with room again it works"
    assert {"three"} == on_disk(store)


@pytest_twisted.ensureDeferred
async def test_a_long_queue_is_worked_off_in_its_order(store: Store) -> None:
    order: list[str] = []

    def append(db: sa.Connection, name: str) -> None:
        order.append(name)

    names = [f"{n:03d}" for n in range(3 * database.TOGETHER)]
    await together(store, *((append, name) for name in names))

    assert names == order


@pytest_twisted.ensureDeferred
async def test_a_stop_finishes_what_waits(tmp_path: Path) -> None:
    running = FileStore(tmp_path / "other.sqlite", reactor)
    running.start()
    waiting = [Deferred.fromCoroutine(running.run(mark, f"flag {n}")) for n in range(50)]
    running.stop()
    await DeferredList(waiting)

    assert 50 == len(on_disk(running))
