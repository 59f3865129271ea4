"""What several diallers on one store deliver to the portal, and what passes from one to another."""

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest_twisted
import sqlalchemy as sa
from twisted.internet.task import Clock

from autodial.config.settings import Config
from autodial.engine.operators import Roster
from autodial.model.ids import AttemptId, OperatorId
from autodial.model.write_back import WriteBack
from autodial.portal.importer import Importer
from autodial.portal.reporter import Reporter
from autodial.store import flags, nodes, outbox, schema, views
from autodial.store.outbox import Search, Share
from bitrix24 import Portal
from bitrix24.simulator import SimulatedPortal
from tests.integration.conftest import NOON, FakeStore, Now
from tests.integration.house import variant
from tests.integration.portal.test_reporter import TALKED, WEBHOOK, attempt
from tests.integration.store.test_ledger import bring, portal_task

Run = Callable[..., Any]
REQUEST = timedelta(seconds=45)


def of_node(run: Run, number: AttemptId, node: str) -> None:
    its = sa.update(schema.attempts).where(schema.attempts.c.id == number)
    run(lambda db: db.execute(its.values(node=node)))


def kinds(run: Run, state: str) -> list[str]:
    return [message.kind for message in run(views.messages) if message.state == state]


@pytest_twisted.ensureDeferred
async def test_recordings_are_delivered_by_the_node_of_the_call_and_all_else_by_the_leader(
    config: Config, portal: SimulatedPortal, store: FakeStore, now: Now, run: Run, tmp_path: Path
) -> None:
    first = attempt(run, portal, TALKED, WriteBack(recording=True))
    of_node(run, first, "two")
    config = variant(config, recording={"folder": tmp_path, "delete": False})

    def reporter(node: str, share: Share) -> Reporter:
        settings, client = variant(config, node={"name": node}), Portal.direct(WEBHOOK, portal.send)
        fake: Any = store
        return Reporter(settings, client, fake, Roster(), now, Clock(), share=share)

    await reporter("two", Share.RECORDINGS).turn()
    assert "record" in kinds(run, "pending"), "the call is not registered yet"
    await reporter("one", Share.NO_RECORDINGS).turn()
    assert ["record"] == kinds(run, "pending")
    file = tmp_path / f"{first}.wav"
    file.write_bytes(b"RIFF")
    os.utime(file, (NOON.timestamp(), NOON.timestamp()))
    now.advance(minutes=5)
    await reporter("one", Share.RECORDINGS).turn()
    assert ["record"] == kinds(run, "pending"), "it has no such file"
    await reporter("two", Share.RECORDINGS).turn()
    assert "record" not in kinds(run, "pending")


@pytest_twisted.ensureDeferred
async def test_who_takes_over_waits_for_the_requests_of_the_one_before(
    config: Config, portal: SimulatedPortal, store: FakeStore, now: Now, run: Run
) -> None:
    """What it has sent may be executed yet: that is looked for later, and written once."""
    attempt(run, portal, TALKED)
    fake: Any = store
    client = Portal.direct(WEBHOOK, portal.send)
    for _ in range(2):  # the one before has delivered this, and that is under way
        under_way = await store.run(outbox.next_message, now(), Search())
    assert under_way is not None
    after = Reporter(config, client, fake, Roster(), now, Clock())
    await after.take_over(REQUEST)
    await after.turn()
    assert "sending" in {message.state for message in run(views.messages)}
    assert not portal.calls and not portal.comments
    now.advance(seconds=46)
    await after.turn()
    now.advance(minutes=4)
    for _ in range(4):
        await after.turn()
        now.advance(minutes=2)

    assert {"delivered"} == {message.state for message in run(views.messages)}
    (comments,) = portal.comments.values()
    assert 1 == len(comments)
    assert 1 == len(portal.statistics)


@pytest_twisted.ensureDeferred
async def test_who_follows_takes_staff_and_the_portal_s_answer_from_the_store(
    config: Config, portal: SimulatedPortal, store: FakeStore, now: Now, run: Run
) -> None:
    changed: list[object] = []
    fake: Any = store
    client = Portal.direct(WEBHOOK, portal.send)
    roster = Roster()
    following = Importer(config, client, fake, roster, now, changed.append)
    await following.follow()
    assert following.seen is None
    staff = {"id": 501, "name": "Анна", "extension": "101", "online": 1, "seen": NOON}
    run(lambda db: db.execute(sa.insert(schema.operators).values(**staff)))
    run(flags.mark, NOON, flags.PORTAL_SEEN, flags.READ_WITH + config.reading)
    bring(run, portal_task(8017, responsible=501))
    await following.follow()

    assert NOON == following.seen
    assert [OperatorId(501)] == [operator.id for operator in roster.operators()]
    other = variant(config, client={"zone_field": "UF_CRM_ZONE"})
    following.use(other)
    await following.follow()
    assert following.seen is None, "it was read by other rules"


@pytest_twisted.ensureDeferred
async def test_a_node_s_start_is_known_to_all(store: FakeStore, now: Now) -> None:
    await store.run(nodes.started, "one", 17, "1.0", now())
    await store.run(nodes.started, "one", 17, "1.1", now())
    await store.run(nodes.tell_nodes, nodes.Topic.CALLS)
    lines = await store.run(nodes.lines)

    assert [] == [line for line in lines if line.version != "1.1"]
    assert frozenset() == await store.run(nodes.live), "nobody holds its lock"
