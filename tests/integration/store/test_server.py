"""A store that several diallers share: who may write, who works for all, and what a loss does."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
import pytest_twisted
import sqlalchemy as sa
from alembic.config import Config as AlembicConfig
from alembic.script import ScriptDirectory
from attrs import evolve
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from autodial.config.place import Server
from autodial.errors import StoreBusy, StoreError
from autodial.model.ids import OperatorId
from autodial.service.sharing import Sharing
from autodial.store import flags, in_force, locks, pauses, planning, releases, schema
from autodial.store.database import Beside, read, write
from autodial.store.listener import Listener
from autodial.store.locks import node_lock
from autodial.store.nodes import Topic, started, tell_nodes
from autodial.store.releases import migrate
from autodial.store.shared_store import NotLeading, SharedStore
from autodial.store.stores import open_store
from tests.cluster import Cluster
from tests.integration.conftest import NOON

reactor: Any = _reactor


@pytest.fixture
def server(postgresql: Cluster) -> Iterator[Server]:
    made = postgresql.new()
    yield made
    postgresql.drop(made)


@pytest.fixture
def nodes(server: Server) -> Iterator[tuple[SharedStore, SharedStore]]:
    """Two running diallers' stores."""
    both = SharedStore(server, reactor), SharedStore(evolve(server, node="two"), reactor)
    for store in both:
        store.start()
    yield both
    for store in both:
        store.stop()


def everybody(db: sa.Connection) -> None:
    pauses.pause(db, pauses.EVERYBODY, NOON, "")


def paused(db: sa.Connection) -> frozenset[OperatorId]:
    return in_force.paused(db, NOON)


async def working(store: SharedStore) -> None:
    """Until the store answers again."""
    for _ in range(200):
        try:
            await store.run(paused)
        except StoreError:
            await deferLater(reactor, 0.05)
        else:
            return
    raise AssertionError("the store does not come back")


def end_sessions(cluster: Cluster, store: SharedStore) -> None:
    """As when the server restarts, or the network ends the connection."""
    name = store.place.url.rpartition("/")[2]
    cluster.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        f" WHERE datname = '{name}' AND application_name = '{store._name}'"
    )


def test_what_one_process_writes_others_read(server: Server) -> None:
    write(server, everybody)
    beside = Beside(server)
    try:
        assert {pauses.EVERYBODY} == beside.read(paused) == read(server, paused)
        beside.write(lambda db: pauses.resume(db, pauses.EVERYBODY))
        assert frozenset() == beside.read(paused)
    finally:
        beside.close()


def test_text_that_is_none_for_the_database_is_written_all_the_same(server: Server) -> None:
    """From a portal: longer than a column was made for, a NUL, half of a character."""
    texts = "x" * 999, "a\0b", "a\ud800b"
    for name in texts:
        write(server, lambda db, name=name: flags.mark(db, NOON, name))  # type: ignore[misc]
    stored = read(server, lambda db: set(db.scalars(sa.select(schema.flags.c.name))))

    assert {"x" * 999, "a\ufffdb", "a?b"} == stored


def test_who_only_reads_writes_nothing(server: Server) -> None:
    with pytest.raises(StoreError, match="read-only"):
        read(server, everybody)


def test_no_change_is_lost_between_two_writers(server: Server) -> None:
    """Each reads, and writes what it read and one more; at READ COMMITTED alone some are lost."""

    def one_more(db: sa.Connection) -> None:
        told = flags.told(db, "count")
        flags.tell(db, NOON, "count", str(int(told[1]) + 1 if told else 1))

    def many() -> None:
        store = Beside(server)
        for _ in range(50):
            store.write(one_more)
        store.close()

    threads = [Thread(target=many) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (NOON, "200") == read(server, lambda db: flags.told(db, "count"))


def test_a_second_process_of_the_same_name_is_refused(
    nodes: tuple[SharedStore, SharedStore],
) -> None:
    with pytest.raises(StoreBusy, match="another process works as node 'one'"):
        SharedStore(nodes[0].place, reactor).start()


@pytest_twisted.ensureDeferred
async def test_a_name_is_free_after_a_stop(server: Server) -> None:
    for _ in range(2):
        store = open_store(server, reactor)
        store.start()
        assert store.in_place()
        await store.run(everybody)
        store.stop()


@pytest_twisted.ensureDeferred
async def test_who_loses_the_session_dials_nobody_until_it_is_back(
    postgresql: Cluster, nodes: tuple[SharedStore, SharedStore]
) -> None:
    store, told = nodes[0], []
    store.on_session = lambda: told.append(1)
    end_sessions(postgresql, store)
    with pytest.raises(StoreBusy):
        await store.run(everybody)
    assert not store.in_place() and not store.leads
    await working(store)

    assert store.in_place()
    assert frozenset() == await store.run(paused), "what was refused is not written"
    assert [1] == told, "memory is read again"


@pytest_twisted.ensureDeferred
async def test_one_leads_and_another_after_it(
    postgresql: Cluster, nodes: tuple[SharedStore, SharedStore]
) -> None:
    one, two = nodes
    assert (await one.lead(), await two.lead(), await one.lead()) == (True, False, True)
    await one.for_all().run(everybody)
    with pytest.raises(NotLeading):
        await two.for_all().run(everybody)
    end_sessions(postgresql, one)
    for _ in range(100):
        if await two.lead():
            break
        await deferLater(reactor, 0.05)
    await working(one)

    assert two.leads and not one.leads and not await one.lead()
    with pytest.raises(NotLeading):
        await one.for_all().run(everybody)
    one.stop()
    one.start()
    assert not await one.lead()


@pytest_twisted.ensureDeferred
async def test_our_own_broken_session_does_not_keep_the_name(
    postgresql: Cluster, nodes: tuple[SharedStore, SharedStore]
) -> None:
    """The network has dropped the connection, and the server does not know yet."""
    store = nodes[0]
    driver: Any = store._connection.connection.driver_connection
    await store.run(paused)
    # The driver's end is another, broken socket; the server's connection stays open.
    still_open = os.dup(driver.fileno())
    broken, other = socket.socketpair()
    other.close()
    os.dup2(broken.fileno(), driver.fileno())
    broken.close()
    with pytest.raises(StoreBusy):
        await store.run(everybody)
    await working(store)
    os.close(still_open)
    assert store.in_place()


@pytest_twisted.ensureDeferred
async def test_the_server_may_stop_and_come_back(
    postgresql: Cluster, nodes: tuple[SharedStore, SharedStore]
) -> None:
    store = nodes[0]
    await store.run(everybody)
    postgresql.kill()
    with pytest.raises(StoreBusy):
        await store.run(paused)
    with pytest.raises(StoreBusy, match=r"is the server up|out of reach"):
        await store.run(paused)
    with pytest.raises(StoreBusy, match="is the server up"):
        read(store.place, paused)
    postgresql.start()
    await working(store)

    assert {pauses.EVERYBODY} == await store.run(paused)


def test_errors_say_what_to_do_and_show_no_password(postgresql: Cluster) -> None:
    wrong = Server(f"postgresql+psycopg://autodial:geheim@127.0.0.1:{postgresql.port}/none", "one")
    with pytest.raises(StoreError, match="createdb") as error:
        read(wrong, paused)
    assert "geheim" not in f"{error.value} {wrong} {wrong!r}"
    with pytest.raises(StoreBusy, match="is the server up"):
        read(Server("postgresql+psycopg://autodial@127.0.0.1:1/none", "one"), paused)


def test_an_empty_database_is_no_store_before_the_first_start(postgresql: Cluster) -> None:
    empty = postgresql.new(empty=True)
    try:
        with pytest.raises(StoreError, match="start the dialler once"):
            read(empty, paused)
        migrate(empty)
        assert frozenset() == read(empty, paused)
        write(empty, lambda db: db.execute(sa.text("UPDATE alembic_version SET version_num = '9'")))
        for refused in (lambda: read(empty, paused), lambda: migrate(empty)):
            with pytest.raises(StoreError, match="newer program"):
                refused()
    finally:
        postgresql.drop(empty)


def test_who_starts_together_makes_one_schema(postgresql: Cluster) -> None:
    empty = postgresql.new(empty=True)
    program = (
        "from autodial.config.place import Server; from autodial.store.releases import migrate\n"
        f"migrate(Server({empty.url!r}, 'one'))"
    )
    starting = [
        subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE) for _ in range(3)
    ]

    assert [b""] * 3 == [process.communicate()[1] for process in starting]
    assert frozenset() == read(empty, paused)
    postgresql.drop(empty)


def test_an_upgrade_waits_for_the_nodes_of_the_older_program(
    postgresql: Cluster, nodes: tuple[SharedStore, SharedStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless its steps only add what the older program does not miss."""
    server = nodes[0].place
    for name in ("one", "two"):
        write(server, lambda db, name=name: started(db, name, node_lock(name), "0", NOON))  # type: ignore[misc]
    write(server, lambda db: db.execute(sa.text("UPDATE alembic_version SET version_num = '0015'")))
    with pytest.raises(StoreBusy, match="stop the diallers of two first"):
        migrate(server)
    monkeypatch.setattr(releases, "rolling", lambda present: True)
    with pytest.raises(StoreError, match="already exists"):
        migrate(server)  # it is tried


@pytest.mark.parametrize(("adds", "expected"), [((True, True), True), ((True, False), False)])
def test_each_step_must_be_one_that_the_older_program_does_not_miss(
    tmp_path: Path, adds: tuple[bool, bool], expected: bool
) -> None:
    (tmp_path / "versions").mkdir()
    for number, rolling in enumerate((False, *adds)):
        down = repr(str(number - 1)) if number else None
        text = f"revision, down_revision, rolling = '{number}', {down}, {rolling}\n"
        (tmp_path / f"versions/{number}_step.py").write_text(text)
    settings = AlembicConfig()
    settings.set_main_option("script_location", str(tmp_path))

    assert expected is releases.rolling("0", ScriptDirectory.from_config(settings))


@pytest.fixture
def told(server: Server) -> Iterator[list[Topic]]:
    """What a node hears that knows two servers, of which the first is away."""
    port = server.url.rpartition(":")[2].partition("/")[0]
    name = server.url.rpartition("/")[2]
    url = (
        f"postgresql+psycopg://autodial@/{name}?host=127.0.0.1:1&host=127.0.0.1:{port}"
        "&target_session_attrs=read-write"
    )
    topics: list[Topic] = []
    listener = Listener(Server(url, "three"), reactor, "three", topics.append)
    listener.start()
    yield topics
    listener.stop()


async def until(true: Callable[[], bool]) -> None:
    for _ in range(200):
        if true():
            return
        await deferLater(reactor, 0.05)
    raise AssertionError("it does not happen")


@pytest_twisted.ensureDeferred
async def test_a_node_is_told_at_once_and_again_after_a_loss(
    postgresql: Cluster, server: Server, told: list[Topic]
) -> None:
    await until(lambda: set(Topic) == set(told))  # at first: something may have been missed
    told.clear()
    write(server, lambda db: tell_nodes(db, Topic.CALLS))
    await until(lambda: told == [Topic.CALLS])
    postgresql.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'three'"
    )
    await until(lambda: set(Topic) == set(told))


@pytest_twisted.ensureDeferred
async def test_nobody_wakes_himself(server: Server, nodes: tuple[SharedStore, SharedStore]) -> None:
    topics: list[Topic] = []
    listener = Listener(server, reactor, nodes[0].session_name, topics.append)
    listener.start()
    try:
        await until(lambda: set(Topic) == set(topics))
        topics.clear()
        await nodes[0].run(tell_nodes, Topic.CALLS)
        await nodes[1].run(tell_nodes, Topic.MESSAGES)
        await until(lambda: bool(topics))
    finally:
        listener.stop()
    assert [Topic.MESSAGES] == topics


@pytest_twisted.ensureDeferred
async def test_the_store_may_be_at_one_of_several_servers(
    postgresql: Cluster, server: Server
) -> None:
    port = server.url.rpartition(":")[2].partition("/")[0]
    name = server.url.rpartition("/")[2]
    url = f"postgresql+psycopg://autodial@/{name}?host=127.0.0.1:1&host=127.0.0.1:{port}"
    store = SharedStore(Server(url, "far"), reactor)
    store.start()
    try:
        assert frozenset() == await store.run(paused)
        assert "autodial@" not in str(store.place)
    finally:
        store.stop()


@pytest_twisted.ensureDeferred
async def test_who_leads_works_for_all_only_once_it_has_taken_over(
    server: Server, nodes: tuple[SharedStore, SharedStore]
) -> None:
    """Until then the messages of the one before are not touched."""
    over: Deferred[None] = Deferred()
    nothing: Deferred[None] = Deferred()
    nothing.callback(None)
    fakes: Any = SimpleNamespace(restore=lambda: nothing, take_over=lambda request: over)
    sharing = Sharing(nodes[0], fakes, fakes, fakes, lambda: NOON, lambda topic: None)
    looking = Deferred.fromCoroutine(sharing.lead_or_follow())
    await until(lambda: nodes[0].leads)
    seen = [sharing.leads]
    over.callback(None)
    await looking
    seen.append(sharing.leads)
    nodes[0]._lost()
    seen.append(sharing.leads)

    assert [False, True, False] == seen


@locks.reads
def says_that_it_reads(db: sa.Connection) -> None:
    everybody(db)


@pytest_twisted.ensureDeferred
async def test_who_reads_waits_for_no_writer(nodes: tuple[SharedStore, SharedStore]) -> None:
    store = nodes[0]
    url = store.place.url.replace("+psycopg", "")
    with psycopg.connect(url) as other:
        other.execute("SELECT pg_advisory_xact_lock(%s, %s)", (locks.OURS, locks.WRITER))
        told = await store.run(flags.told, "x")
        writing = Deferred.fromCoroutine(store.run(everybody))
        assert (None, False) == (told, writing.called)
    await writing
    assert {pauses.EVERYBODY} == await store.run(paused)


@pytest_twisted.ensureDeferred
async def test_who_says_that_it_reads_can_write_nothing(
    nodes: tuple[SharedStore, SharedStore],
) -> None:
    with pytest.raises(StoreError, match="read-only"):
        await nodes[0].run(says_that_it_reads)
    assert frozenset() == await nodes[0].run(paused)


@pytest_twisted.ensureDeferred
async def test_what_reads_and_what_writes_may_come_together(
    nodes: tuple[SharedStore, SharedStore],
) -> None:
    store = nodes[0]
    runs: list[Deferred[Any]] = [
        Deferred.fromCoroutine(run)
        for run in (store.run(flags.told, "x"), store.run(everybody), store.run(paused))
    ]
    assert [None, None, {pauses.EVERYBODY}] == [await run for run in runs]


@pytest_twisted.ensureDeferred
async def test_thousands_due_at_nine_are_not_sorted_at_each_look(
    nodes: tuple[SharedStore, SharedStore],
) -> None:
    """The planner has no statistics of them yet."""

    def plan(db: sa.Connection) -> str:
        rows = [
            {"id": n, "title": "", "responsible": 1, "open": 1, "closed_reason": "",
             "generation": 0, "due": NOON, "next_check": schema.READY, "reason": "new"}
            for n in range(3000)
        ]  # fmt: skip
        db.execute(sa.insert(schema.tasks), rows)
        query = planning.DUE_HERE.compile(db.engine)
        values = {**query.params, "limit": 1, "node": "one", "now": NOON}
        return "\n".join(db.exec_driver_sql(f"EXPLAIN {query}", values).scalars())

    shown = await nodes[0].run(plan)
    assert "Index Scan using tasks_next_check_idx" in shown and "Sort" not in shown
