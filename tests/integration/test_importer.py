"""The importer against the simulated portal: what it brings, and which answer it believes."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import pytest_twisted

from autodial.config import Config
from autodial.importer import Importer
from autodial.model import TaskId
from autodial.roster import Roster
from autodial.store import tasks, views
from bitrix24 import Portal, PortalUnavailable, Request
from bitrix24.simulator import Fault, SimulatedPortal
from bitrix24.simulator.seed import add_contact, add_operator, add_task
from bitrix24.wire import Answer
from tests.integration.conftest import NOON, FakeStore, Now

Run = Callable[..., Any]
WEBHOOK = "http://127.0.0.1/rest/1/simulated0secret"
Send = Callable[[Request], Any]


@pytest.fixture
def made(
    config: Config, portal: SimulatedPortal, store: FakeStore, now: Now
) -> Callable[[Send], Importer]:
    add_operator(portal, 501, "101", seen=NOON)

    def build(send: Send) -> Importer:
        client = Portal.direct(WEBHOOK, send)
        return Importer(config, client, store, Roster(), now, lambda _: None)  # type: ignore[arg-type]

    return build


@pytest_twisted.ensureDeferred
async def test_a_poll_brings_tasks_with_phones_and_staff(
    made: Callable[[Send], Importer], portal: SimulatedPortal, run: Run
) -> None:
    code = add_contact(portal, "Иван Петров", ("MOBILE", "+442079460000"), ("FAX", "+442079460001"))
    number = add_task(portal, "Позвонить", code, responsible=501, deadline=NOON)
    importer = made(portal.send)
    await importer.poll()
    (line,) = run(views.task_lines)
    found = run(tasks.load_task, TaskId(number))

    assert (number, "Иван Петров", NOON) == (line.id, line.client, line.due)
    assert ["+442079460000"] == [phone.number for phone in found.phones]
    assert [("101", True)] == [(o.extension, o.online) for o in run(views.operator_lines)]
    assert NOON == importer.seen


@pytest_twisted.ensureDeferred
async def test_a_portal_in_trouble_leaves_what_is_known(
    made: Callable[[Send], Importer], portal: SimulatedPortal, run: Run, now: Now
) -> None:
    add_task(portal, "Позвонить", responsible=501, deadline=NOON)
    importer = made(portal.send)
    await importer.poll()
    now.advance(minutes=1)
    portal.fail_next(Fault.CLOSED)
    await importer.poll()

    assert [True] == [line.open for line in run(views.task_lines)]
    assert NOON == importer.seen


@pytest_twisted.ensureDeferred
async def test_a_slow_poll_does_not_undo_a_fresher_look(
    made: Callable[[Send], Importer], portal: SimulatedPortal, run: Run, now: Now
) -> None:
    """
    The list was read; then a person moved the deadline, and the task was read again for a call.

    The list's older word must not bring the old deadline back: the client would be dialled again.
    """
    number = add_task(portal, "Позвонить", responsible=501, deadline=NOON)
    tomorrow = NOON + timedelta(days=1)
    moved: list[bool] = []

    async def send(request: Request) -> Answer:
        answer = await portal.send(request)
        if request.method == "tasks.task.list" and importer.seen and not moved:
            moved.append(True)
            portal.tasks[number]["DEADLINE"] = tomorrow
            now.advance(seconds=1)
            await importer.refresh(TaskId(number))
        return answer

    importer = made(send)
    await importer.poll()
    now.advance(minutes=1)
    await importer.poll()
    assert [True] == moved
    assert tomorrow == run(tasks.load_task, TaskId(number)).due

    now.advance(minutes=1)
    await importer.poll()
    assert tomorrow == run(tasks.load_task, TaskId(number)).due


@pytest_twisted.ensureDeferred
async def test_a_task_closed_while_its_client_s_phone_rings_is_closed(
    made: Callable[[Send], Importer], portal: SimulatedPortal, run: Run
) -> None:
    number = add_task(portal, "Позвонить", responsible=501, deadline=NOON)
    importer = made(portal.send)
    await importer.poll()
    portal.tasks[number]["STATUS"] = 5
    await importer.refresh(TaskId(number))

    assert not run(tasks.load_task, TaskId(number)).open


@pytest_twisted.ensureDeferred
async def test_a_refresh_that_fails_changes_nothing(
    made: Callable[[Send], Importer], portal: SimulatedPortal, run: Run
) -> None:
    number = add_task(portal, "Позвонить", responsible=501, deadline=NOON)
    await made(portal.send).poll()

    async def down(_: Request) -> Answer:
        raise PortalUnavailable("down")

    assert await made(down).refresh(TaskId(number)) is None
    assert run(tasks.load_task, TaskId(number)).open
