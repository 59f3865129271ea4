"""The importer against the simulated portal: what it stores, and which answers it trusts."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import pytest_twisted
from twisted.logger import capturedLogs

from autodial.config.load import parse
from autodial.config.settings import Config
from autodial.engine.operators import Roster
from autodial.model.ids import TaskId
from autodial.model.task import Called
from autodial.portal.importer import Importer
from autodial.store import planning, views
from bitrix24 import Portal, PortalUnavailable, Request
from bitrix24.simulator import Fault, SimulatedPortal
from bitrix24.simulator.seed import add_contact, add_operator, add_task, populate
from bitrix24.wire import Answer
from tests.integration.conftest import NOON, FakeStore, Now

Run = Callable[..., Any]
WEBHOOK = "http://127.0.0.1/rest/1/simulated0secret"
Send = Callable[[Request], Any]


@pytest.fixture
def importer_for(
    config: Config, portal: SimulatedPortal, store: FakeStore, now: Now
) -> Callable[[Send], Importer]:
    add_operator(portal, 501, "101", seen=NOON)

    def build(send: Send) -> Importer:
        client = Portal.direct(WEBHOOK, send)
        return Importer(config, client, store, Roster(), now, lambda _: None)  # type: ignore[arg-type]

    return build


@pytest_twisted.ensureDeferred
async def test_a_poll_brings_tasks_with_phones_and_staff(
    importer_for: Callable[[Send], Importer], portal: SimulatedPortal, run: Run
) -> None:
    code = add_contact(portal, "Иван Петров", ("MOBILE", "+442079460000"), ("FAX", "+442079460001"))
    number = add_task(portal, "Позвонить", code, responsible=501, deadline=NOON)
    importer = importer_for(portal.send)
    await importer.poll()
    (line,) = run(views.task_lines)
    task = run(planning.load_task, TaskId(number))

    assert (number, "Иван Петров", NOON) == (line.id, line.client, line.due)
    assert ["+442079460000"] == [phone.number for phone in task.phones]
    assert [("101", True)] == [(o.extension, o.online) for o in run(views.operator_lines)]
    assert NOON == importer.seen


@pytest_twisted.ensureDeferred
async def test_a_walk_over_many_tasks_lets_others_run_after_each_page(
    importer_for: Callable[[Send], Importer], portal: SimulatedPortal
) -> None:
    """Claims wait for fifty tasks at most, not for two and a half thousand."""
    for n in range(120):
        add_task(portal, f"task {n}", responsible=501, deadline=NOON)
    importer = importer_for(portal.send)
    breaths: list[None] = []

    async def breathe() -> None:
        breaths.append(None)

    importer.breathe = breathe
    await importer.poll()

    assert 3 == len(breaths)


@pytest_twisted.ensureDeferred
async def test_a_portal_in_trouble_leaves_what_is_known(
    importer_for: Callable[[Send], Importer], portal: SimulatedPortal, run: Run, now: Now
) -> None:
    add_task(portal, "Позвонить", responsible=501, deadline=NOON)
    importer = importer_for(portal.send)
    await importer.poll()
    now.advance(minutes=1)
    portal.fail_next(Fault.CLOSED)
    await importer.poll()

    assert [True] == [line.open for line in run(views.task_lines)]
    assert NOON == importer.seen


@pytest_twisted.ensureDeferred
async def test_a_slow_poll_does_not_undo_a_fresher_look(
    importer_for: Callable[[Send], Importer], portal: SimulatedPortal, run: Run, now: Now
) -> None:
    """
    The list is read. Then a person moves the deadline, and the task is read again for a call.

    The older list must not restore the old deadline: the client would be dialled again.
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

    importer = importer_for(send)
    await importer.poll()
    now.advance(minutes=1)
    await importer.poll()
    assert [True] == moved
    assert tomorrow == run(planning.load_task, TaskId(number)).due

    now.advance(minutes=1)
    await importer.poll()
    assert tomorrow == run(planning.load_task, TaskId(number)).due


@pytest_twisted.ensureDeferred
async def test_a_task_closed_while_its_client_s_phone_rings_is_closed(
    importer_for: Callable[[Send], Importer], portal: SimulatedPortal, run: Run
) -> None:
    number = add_task(portal, "Позвонить", responsible=501, deadline=NOON)
    importer = importer_for(portal.send)
    await importer.poll()
    portal.tasks[number]["STATUS"] = 5
    await importer.refresh(TaskId(number))

    assert not run(planning.load_task, TaskId(number)).open


@pytest_twisted.ensureDeferred
async def test_a_refresh_that_fails_changes_nothing(
    importer_for: Callable[[Send], Importer], portal: SimulatedPortal, run: Run
) -> None:
    number = add_task(portal, "Позвонить", responsible=501, deadline=NOON)
    await importer_for(portal.send).poll()

    async def down(_: Request) -> Answer:
        raise PortalUnavailable("down")

    assert await importer_for(down).refresh(TaskId(number)) is None
    assert run(planning.load_task, TaskId(number)).open


@pytest_twisted.ensureDeferred
async def test_between_whole_walks_only_what_changed_is_asked_for(
    importer_for: Callable[[Send], Importer], portal: SimulatedPortal, run: Run, now: Now
) -> None:
    old = [add_task(portal, f"old {n}", responsible=501, deadline=NOON) for n in range(120)]
    now.advance(minutes=30)
    importer = importer_for(portal.send)
    await importer.poll()
    assert 120 == len(run(views.task_lines))

    now.advance(minutes=1)
    new = add_task(portal, "new", responsible=501, deadline=NOON)
    portal.tasks[old[0]] |= {"STATUS": 5, "CHANGED_DATE": now()}
    portal.tasks[old[1]] |= {"DEADLINE": NOON + timedelta(days=1), "CHANGED_DATE": now()}
    before = len(portal.executed)
    await importer.poll()

    assert 1 == portal.executed[before:].count("tasks.task.list")
    assert not run(planning.load_task, TaskId(old[0])).open
    assert NOON + timedelta(days=1) == run(planning.load_task, TaskId(old[1])).due
    assert run(planning.load_task, TaskId(new)).open
    assert run(planning.load_task, TaskId(old[2])).open, "not in the list of changes, so not closed"


@pytest_twisted.ensureDeferred
async def test_a_deleted_task_is_closed_by_the_next_whole_walk(
    importer_for: Callable[[Send], Importer], portal: SimulatedPortal, run: Run, now: Now
) -> None:
    number = add_task(portal, "x", responsible=501, deadline=NOON)
    importer = importer_for(portal.send)
    await importer.poll()
    del portal.tasks[number]
    now.advance(minutes=14)
    await importer.poll()
    assert run(planning.load_task, TaskId(number)).open

    now.advance(minutes=2)
    await importer.poll()
    assert not run(planning.load_task, TaskId(number)).open


@pytest_twisted.ensureDeferred
async def test_a_damaged_task_stays_as_it_was_and_hides_no_other(
    importer_for: Callable[[Send], Importer], portal: SimulatedPortal, run: Run, now: Now
) -> None:
    first = add_task(portal, "first", responsible=501, deadline=NOON)
    importer = importer_for(portal.send)
    await importer.poll()
    second = add_task(portal, "second", responsible=501, deadline=NOON)
    portal.tasks[first]["RESPONSIBLE_ID"] = "nobody"
    now.advance(hours=1)
    await importer.poll()

    assert [True, True] == [run(planning.load_task, TaskId(n)).open for n in (first, second)]
    assert 501 == run(planning.load_task, TaskId(first)).responsible
    assert now() == importer.seen


@pytest_twisted.ensureDeferred
async def test_refused_numbers_are_kept_with_their_reasons(
    importer_for: Callable[[Send], Importer], portal: SimulatedPortal, run: Run
) -> None:
    code = add_contact(portal, "Иван", ("WORK", "спросить"), ("WORK", "+442079460001 доб. 9"))
    number = add_task(portal, "x", code, responsible=501, deadline=NOON)
    await importer_for(portal.send).poll()

    assert [("+442079460001", "9", ""), ("спросить", "", "phone.empty")] == [
        (line.number, line.dtmf, line.refused) for line in run(views.number_lines, number)
    ]


@pytest_twisted.ensureDeferred
async def test_a_whole_portal_comes_over(
    importer_for: Callable[[Send], Importer], portal: SimulatedPortal, run: Run, now: Now
) -> None:
    """Clients of all kinds, malformed phones, incomplete staff: every task is imported."""
    populate(portal, 7, tasks=300, operators=12, now=now())
    portal.items.pop(128, None)  # a smart process that was deleted
    await importer_for(portal.send).poll()
    lines = run(views.task_lines)

    assert set(portal.tasks) == {line.id for line in lines}
    assert sum(bool(line.client) for line in lines) > 200


def _whole(importer: Importer) -> Importer:
    """The importer, set to read all tasks at its next poll."""
    importer._walked = None
    return importer


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("changed", [False, True])
async def test_what_was_read_under_other_rules_is_not_dialled_by(
    config: Config, portal: SimulatedPortal, store: FakeStore, now: Now, changed: bool
) -> None:
    """After a restart with a new purpose or tag, nobody is called before the portal is read."""
    client = Portal.direct(WEBHOOK, portal.send)
    kept: Any = store
    first = Importer(config, client, kept, Roster(), now, lambda _: None)
    await first.poll()
    rules = config.rules.model_copy(update={"do_not_call_tag": "не звонить"})
    other = config.model_copy(update={"rules": rules}) if changed else config
    second = Importer(other, client, kept, Roster(), now, lambda _: None)
    await second.restore()

    assert (second.seen is None) is changed


@pytest_twisted.ensureDeferred
async def test_tags_and_fields_say_what_a_task_is_for_and_what_its_client_wants(
    config: Config, portal: SimulatedPortal, store: FakeStore, now: Now, run: Run
) -> None:
    sections = {
        "purposes": [
            {"name": "advertising", "tag": "Реклама", "confirm": True},
            {"name": "debt", "field": "UF_AUTO_77", "value": "15"},
        ],
        "staff": {"departments": [5], "deputies_field": "ACCOMPLICES"},
        "rules": {"do_not_call_tag": "не звонить", "do_not_call_field": "UF_CRM_DNC"},
        "client": {"zone_field": "UF_CRM_ZONE"},
    }
    asked = {**config.model_dump(exclude_unset=True), **sections}
    asked["portal"] = {"webhook": f"{WEBHOOK}/"}
    add_operator(portal, 501, "101", seen=NOON)
    codes = [add_contact(portal, f"Клиент {n}", ("WORK", f"+44207946000{n}")) for n in range(3)]
    contacts = [portal.contacts[int(code[2:])] for code in codes]
    contacts[0] |= {"UF_CRM_DNC": "1", "UF_CRM_ZONE": "Asia/Tokyo"}
    contacts[1] |= {"UF_CRM_DNC": "0", "UF_CRM_ZONE": None}
    contacts[2] |= {"UF_CRM_DNC": False}
    numbers = [add_task(portal, "x", code, responsible=501, deadline=NOON) for code in codes]
    portal.tasks[numbers[0]] |= {"UF_AUTO_77": ["14", "15"], "ACCOMPLICES": [550, 551]}
    portal.tasks[numbers[1]]["UF_AUTO_77"] = "14"
    portal.tasks[numbers[1]]["TAGS"] += ["реклама"]
    portal.tasks[numbers[2]]["TAGS"] += ["Не звонить"]
    wishes = parse({**asked, "hours": {}, "store": {"path": "/nowhere/x"}}, "test")
    client = Portal.direct(WEBHOOK, portal.send)
    importer = Importer(wishes, client, store, Roster(), now, lambda _: None)  # type: ignore[arg-type]
    await importer.poll()
    tasks = [run(planning.load_task, TaskId(number)) for number in numbers]

    assert [(True, "Asia/Tokyo"), (False, ""), (False, "")] == [
        (task.phones[0].do_not_call, task.phones[0].zone) for task in tasks
    ]
    assert [False, True, False] == [task.needs_confirmation for task in tasks]
    assert [False, False, True] == [task.do_not_call for task in tasks]
    assert ["debt", "advertising", ""] == [task.purpose for task in tasks]
    assert [(550, 551), (), ()] == [task.own_deputies for task in tasks]
    del contacts[2]["UF_CRM_DNC"]
    with capturedLogs() as logs:
        await Importer.poll(_whole(importer))
    nobody_knows = run(planning.load_task, TaskId(numbers[2]))
    assert nobody_knows.phones[0].do_not_call, "a missing field is taken for do-not-call"
    assert ["do_not_call_field"] == [event["key"] for event in logs if "key" in event]
    contacts[2]["UF_CRM_DNC"] = False
    await Importer.poll(_whole(importer))
    for number in numbers:
        await importer.refresh(TaskId(number))
    again = [run(planning.load_task, TaskId(number)) for number in numbers]
    assert tasks == again, "a refresh while the phone rings keeps the marks"


@pytest.mark.parametrize(
    ("field", "value", "none"),
    [
        ("1", "", False), ("да", "", False), ("2026-09-01", "", False), ("01.09.2026", "", False),
        ("0", "", True), ("", "", True), (None, "", True), ("45", "", True), ("нет", "", True),
        ("45", "45", False), ("1", "45", True),
    ],
)  # fmt: skip
@pytest_twisted.ensureDeferred
async def test_where_consent_is_asked_for_only_a_clear_yes_is_one(
    config: Config, portal: SimulatedPortal, store: FakeStore, now: Now, run: Run,
    field: str | None, value: str, none: bool,
) -> None:  # fmt: skip
    asked = config.model_dump(exclude_unset=True)
    asked["client"] = {"preset": "none"}
    asked["rules"] = {"consent_field": "UF_CRM_YES", "consent_value": value}
    asked["portal"] = {"webhook": f"{WEBHOOK}/"}
    add_operator(portal, 501, "101", seen=NOON)
    code = add_contact(portal, "Клиент", ("WORK", "+442079460001"))
    if field is not None:
        portal.contacts[int(code[2:])]["UF_CRM_YES"] = field
    number = add_task(portal, "x", code, responsible=501, deadline=NOON)
    wishes = parse({**asked, "hours": {}, "store": {"path": "/nowhere/x"}}, "test")
    client = Portal.direct(WEBHOOK, portal.send)
    await Importer(wishes, client, store, Roster(), now, lambda _: None).poll()  # type: ignore[arg-type]

    assert none is run(planning.load_task, TaskId(number)).phones[0].no_consent


@pytest_twisted.ensureDeferred
async def test_a_talk_that_somebody_else_had_counts_for_the_client(
    importer_for: Callable[[Send], Importer], portal: SimulatedPortal, run: Run, now: Now
) -> None:
    """The client called in, or a colleague called him: the portal's statistics show the call."""
    code = add_contact(portal, "Иван", ("WORK", "+442079460000"))
    other = add_contact(portal, "Мария", ("WORK", "+442079460001"))
    number = add_task(portal, "x", code, responsible=501, deadline=NOON)
    mine = add_task(portal, "y", other, responsible=501, deadline=NOON)
    importer = importer_for(portal.send)
    await importer.poll()
    client = Portal.direct(WEBHOOK, portal.send)
    for phone, external, seconds in (
        ("442079460000", "crm-1", 60), ("442079460000", "crm-2", 0), ("442079460001", "t8-1", 60),
    ):  # fmt: skip
        call = await client.register_call(
            external_id=external, user=501, phone=phone, started=now(), line="other",
            incoming=True, show=False, client=None,
        )  # fmt: skip
        await client.finish_call(call, user=501, seconds=seconds, code="200")
    now.advance(minutes=1)
    await importer.poll()

    task = run(planning.load_task, TaskId(number))
    assert {"+442079460000": (Called(NOON, talked=True),)} == task.history
    assert {} == run(planning.load_task, TaskId(mine)).history, (
        "our own calls are in the ledger already"
    )
    again = len(portal.requests)
    await importer.poll()
    assert {"+442079460000": (Called(NOON, talked=True),)} == run(
        planning.load_task, TaskId(number)
    ).history
    assert "voximplant.statistic.get" in portal.requests[again:]


@pytest_twisted.ensureDeferred
async def test_without_a_right_to_the_statistics_all_else_is_read(
    importer_for: Callable[[Send], Importer], portal: SimulatedPortal, run: Run, now: Now
) -> None:
    portal.statistics_readable = False
    add_task(portal, "x", responsible=501, deadline=NOON)
    importer = importer_for(portal.send)
    await importer.poll()
    now.advance(minutes=1)
    await importer.poll()
    assert 1 == len(run(views.task_lines))
    assert importer.seen and NOON < importer.seen


@pytest.mark.parametrize("method", ["main.eventlog.tail", "voximplant.statistic.get"])
@pytest.mark.parametrize(
    "answer",
    [
        Answer(404, b"<html>"), Answer(500, b"<html>"),
        Answer(200, b'{"result": {"items": [{"id": 1, "itemId": null}]}}'),
        Answer(200, b'{"result": [{"ID": "7", "CALL_DURATION": "9", "PORTAL_USER_ID": null}]}'),
        Answer(200, b'{"result": 5}'),
    ],
)  # fmt: skip
@pytest_twisted.ensureDeferred
async def test_tasks_come_whatever_becomes_of_what_nothing_depends_on(
    importer_for: Callable[[Send], Importer],
    portal: SimulatedPortal,
    run: Run,
    now: Now,
    method: str,
    answer: Answer,
) -> None:
    async def send(request: Request) -> Answer:
        return answer if request.method == method else await portal.send(request)

    add_task(portal, "x", responsible=501, deadline=NOON)
    importer = importer_for(send)
    for _ in range(3):
        await importer.poll()
        now.advance(minutes=1)
    assert 1 == len(run(views.task_lines))
    assert importer.seen == NOON + timedelta(minutes=2)


@pytest_twisted.ensureDeferred
async def test_a_deadline_beyond_all_calendars_harms_one_task(
    importer_for: Callable[[Send], Importer], portal: SimulatedPortal, run: Run
) -> None:
    add_task(portal, "x", responsible=501, deadline=NOON)
    number = add_task(portal, "y", responsible=501, deadline=NOON)

    async def send(request: Request) -> Answer:
        answer = await portal.send(request)
        wrong = f'"id":"{number}","title":"y","status":"2","deadline":"0001-01-01T00:00:00+03:00"'
        body = re.sub(rf'"id":"{number}",[^{{]*?"deadline":"[^"]*"', wrong, answer.body.decode())
        return Answer(answer.status, body.encode())

    importer = importer_for(send)
    await importer.poll()
    assert importer.seen is not None
    assert number not in [line.id for line in run(views.task_lines)]
    assert 1 == len(run(views.task_lines))
