"""Portals of every version: a value that an old one does not return is not taken for "no"."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.task import Clock
from twisted.logger import capturedLogs

from autodial.config.load import parse
from autodial.config.settings import Config
from autodial.engine.operators import Roster
from autodial.model.ids import TaskId
from autodial.portal.importer import Importer
from autodial.portal.self_check import findings, names
from autodial.rules.end_policy import EndPolicy
from autodial.rules.hangup import parse_report
from autodial.store import attempt_end, ledger, planning, tasks, views
from autodial.store.events import story
from bitrix24 import AnswerStrange, Portal, PortalRefused, StaffQuery, TaskQuery
from bitrix24.errors import PortalUnavailable
from bitrix24.simulator import SimulatedPortal
from bitrix24.simulator.portal import FLAVOURS
from bitrix24.simulator.seed import add_contact, add_deal, add_operator, add_task
from tests.integration.conftest import NOON, FakeStore, Now

Run = Callable[..., Any]
ensure = pytest_twisted.ensureDeferred
WEBHOOK = "http://127.0.0.1/rest/1/simulated0secret"
STAFF = StaffQuery(departments=(5,))


@pytest.fixture
def old(now: Now) -> SimulatedPortal:
    """A portal as of 2019, the oldest supported version."""
    return SimulatedPortal(now=now, **FLAVOURS["old box"])


@pytest.fixture
def wishes(config: Config) -> Callable[..., Config]:
    """Build the configuration with other sections in it."""

    def changed(**sections: Any) -> Config:
        before = {**config.model_dump(exclude_unset=True), "hours": {}}
        before["client"] = {"preset": "none", "zone_field": ""}
        before["portal"] = {"webhook": f"{WEBHOOK}/"}
        before["store"] = {"path": "/nowhere/x"}
        return parse({**before, **sections}, "test")

    return changed


def importer(config: Config, portal: SimulatedPortal, store: FakeStore, now: Now) -> Importer:
    client = Portal.direct(WEBHOOK, portal.send)
    return Importer(config, client, store, Roster(), now, lambda _: None)  # type: ignore[arg-type]


@ensure
@pytest.mark.parametrize("people", [49, 50, 51, 130])
async def test_all_the_staff_is_read_where_filters_know_no_prefixes(
    old: SimulatedPortal, people: int
) -> None:
    """With fifty people or more, the portal returned the same page for ever."""
    for number in range(501, 501 + people):
        add_operator(old, number, str(number - 400))
    client = Portal.direct(WEBHOOK, old.send)
    for _ in range(2):  # the second time with what the client has learnt
        staff = await client.staff(STAFF)
        assert list(range(501, 501 + people)) == [one.id for one in staff]
        assert {None} == {one.online for one in staff} | {one.last_login for one in staff}


@ensure
async def test_a_page_that_does_not_advance_is_an_error(portal: SimulatedPortal) -> None:
    from bitrix24.wire import Answer, Request

    for number in range(501, 561):
        add_operator(portal, number, str(number - 400))
    first: list[Answer] = []

    async def send(request: Request) -> Answer:
        first.append(await portal.send(request))
        return first[0]

    with pytest.raises(AnswerStrange, match="same page"):
        await Portal.direct(WEBHOOK, send).staff(STAFF)


@ensure
async def test_php_does_not_warn_into_the_answer(portal: SimulatedPortal) -> None:
    portal.php_warnings = True
    add_operator(portal, 501, "101")
    assert [501] == [one.id for one in await Portal.direct(WEBHOOK, portal.send).staff(STAFF)]


@ensure
async def test_deals_stand_for_their_contacts_on_an_old_box(old: SimulatedPortal) -> None:
    codes = [add_contact(old, f"Клиент {n}", ("WORK", f"+44207946{n:04d}")) for n in range(3)]
    deals = [add_deal(old, "Сделка", *codes[:2]), add_deal(old, "Сделка", codes[2])]
    client = Portal.direct(WEBHOOK, old.send)
    for _ in range(2):
        clients = await client.clients([*deals, codes[0]])
        names = {code: [one.name for one in some or ()] for code, some in clients.items()}
        assert ["Клиент 0", "Клиент 1"] == names[deals[0]]
        assert ["Клиент 2"] == names[deals[1]]
    assert 2 == old.executed.count("crm.deal.list")


@ensure
async def test_deals_that_we_may_not_see_are_not_taken_for_gone(old: SimulatedPortal) -> None:
    code = add_contact(old, "Клиент", ("WORK", "+442079460001"))
    deal = add_deal(old, "Сделка", code)
    old.forbidden.add("crm.deal.contact.items.get")
    assert {deal: None} == await Portal.direct(WEBHOOK, old.send).clients([deal])
    old.forbidden = {"crm.deal.list"}
    assert {deal: None} == await Portal.direct(WEBHOOK, old.send).clients([deal])


@ensure
@pytest.mark.parametrize("links_as", ["list", "map", "text"])
async def test_links_of_every_shape(portal: SimulatedPortal, links_as: str) -> None:
    portal.links_as = links_as
    add_task(portal, "x", "C_1", "CO_2", responsible=1, deadline=NOON)
    client = Portal.direct(WEBHOOK, portal.send)
    (page,) = [page async for page in client.open_tasks(TaskQuery(tag="autodial"))]
    assert ("C_1", "CO_2") == page.tasks[0].clients


@ensure
@pytest.mark.parametrize("shape", ["map", "texts"])
async def test_tags_of_every_shape(portal: SimulatedPortal, shape: str) -> None:
    portal.tags_told = shape
    add_task(portal, "x", responsible=1, deadline=NOON, tags=("Не звонить",))
    client = Portal.direct(WEBHOOK, portal.send)
    query = TaskQuery(tag="autodial", tags=True)
    (page,) = [page async for page in client.open_tasks(query)]
    assert frozenset({"autodial", "не звонить"}) == page.tasks[0].tags


@ensure
@pytest.mark.parametrize("by", [{"tag": "autodial"}, {"group": 129}])
@pytest.mark.parametrize(
    "sections",
    [
        {"rules": {"do_not_call_tag": "не звонить"}},
        {"purposes": [{"name": "ads", "tag": "не звонить", "confirm": True}]},
    ],
)
async def test_tags_that_are_not_told_forbid(
    wishes: Callable[..., Config], old: SimulatedPortal, store: FakeStore, now: Now, run: Run,
    by: dict[str, Any], sections: dict[str, Any],
) -> None:  # fmt: skip
    """Tasks come without tags, so it is unknown whether a client may be called."""
    add_operator(old, 501, "101")
    old.groups[129] = [1, 501]
    numbers = [add_task(old, "x", responsible=501, deadline=NOON, tags=("не звонить",))]
    numbers += [add_task(old, "y", responsible=501, deadline=NOON)]
    for number in numbers:
        old.tasks[number]["GROUP_ID"] = 129
    reading = importer(wishes(tasks=by, **sections), old, store, now)
    with capturedLogs() as logs:
        await reading.poll()
        await reading.refresh(TaskId(numbers[1]))
    assert [True, True] == [run(planning.load_task, TaskId(n)).do_not_call for n in numbers]
    warnings = [event for event in logs if "does not tell its tasks' tags" in event["log_format"]]
    assert 1 == len(warnings), "one warning, not one for each task"


@ensure
async def test_tags_that_are_told_forbid_only_whom_they_name(
    wishes: Callable[..., Config], portal: SimulatedPortal, store: FakeStore, now: Now, run: Run
) -> None:
    """Tasks selected by group: here a task without tags really has none."""
    add_operator(portal, 501, "101")
    numbers = [
        add_task(portal, "x", responsible=501, deadline=NOON, tags=tags)
        for tags in (("не звонить",), ())
    ]
    for number in numbers:
        portal.tasks[number]["GROUP_ID"] = 129
        portal.tasks[number]["TAGS"].remove("autodial")
    config = wishes(tasks={"group": 129}, rules={"do_not_call_tag": "Не звонить"})
    await importer(config, portal, store, now).poll()
    assert [True, False] == [run(planning.load_task, TaskId(n)).do_not_call for n in numbers]


@ensure
async def test_staff_and_tasks_are_chosen_by_names(
    wishes: Callable[..., Config], portal: SimulatedPortal, store: FakeStore, now: Now, run: Run
) -> None:
    add_operator(portal, 501, "101")
    portal.groups[129] = [501]
    number = add_task(portal, "x", responsible=501, deadline=NOON)
    portal.tasks[number]["GROUP_ID"] = 129
    config = wishes(tasks={"group": "группа 129"}, staff={"departments": ["CALL-ЦЕНТР"]})
    await importer(config, portal, store, now).poll()

    assert [501] == [line.id for line in run(views.operator_lines)]
    assert [number] == [line.id for line in run(views.task_lines)]
    assert () == await names(config, Portal.direct(WEBHOOK, portal.send))


@ensure
async def test_a_name_that_nobody_has_is_said_with_those_that_there_are(
    wishes: Callable[..., Config], portal: SimulatedPortal
) -> None:
    add_operator(portal, 501, "101")
    client = Portal.direct(WEBHOOK, portal.send)
    config = wishes(staff={"departments": ["CallCentre"]}, tasks={"group": "Обзвон"})
    first, second = await names(config, client)
    assert first.serious and "Call-центр (5)" in first.detail
    assert "autodial groups" in second.detail
    portal.departments[6] = {"ID": 6, "NAME": "call-центр", "PARENT": 1}
    with pytest.raises(PortalRefused, match="several"):
        await client.named(StaffQuery(departments=("Call-центр",)))


@ensure
async def test_departments_of_a_large_company_are_all_listed(portal: SimulatedPortal) -> None:
    for number in range(1, 121):
        portal.departments[number] = {"ID": number, "NAME": f"Отдел {number}", "PARENT": number - 1}
    departments = await Portal.direct(WEBHOOK, portal.send).departments()
    assert list(range(1, 121)) == [one.id for one in departments]
    assert (None, 1) == (departments[0].parent, departments[1].parent)


@ensure
async def test_doctor_says_what_an_old_box_lacks(old: SimulatedPortal) -> None:
    client = Portal.direct(WEBHOOK, old.send)
    report = findings(await client.health())
    (lacks,) = [finding for finding in report if finding.key == "check.lacks"]
    assert "crm.item.list, IS_ONLINE, LAST_LOGIN" == lacks.detail
    assert not [finding for finding in report if finding.serious]
    old.scopes = old.scopes - {"im"}
    blind = findings(await client.health())
    assert ["check.blind"] == [finding.key for finding in blind if finding.serious]


@ensure
@pytest.mark.parametrize("by", [{"tag": "autodial"}, {"group": 129}])
async def test_doctor_says_that_tags_are_not_told(
    wishes: Callable[..., Config], old: SimulatedPortal, portal: SimulatedPortal, by: dict[str, Any]
) -> None:
    config = wishes(tasks=by, rules={"do_not_call_tag": "не звонить"}, staff={"departments": [5]})
    for one, keys in ((old, ["check.tags"]), (portal, [])):
        add_operator(one, 501, "101")
        add_task(one, "x", responsible=501, deadline=NOON, tags=("не звонить",))
        report = await names(config, Portal.direct(WEBHOOK, one.send))
        assert keys == [finding.key for finding in report]


@ensure
async def test_tags_that_the_portal_compares_otherwise_than_we(portal: SimulatedPortal) -> None:
    """The portal's database ignores the spelling. It returned tags, so tags are supported."""
    number = add_task(portal, "x", responsible=1, deadline=NOON)
    portal.tasks[number]["TAGS"] = ["ещё"]
    client = Portal.direct(WEBHOOK, portal.send)
    task = await client.task(number, chosen_by="еще")
    assert task is not None and task.tags == frozenset({"ещё"})


@ensure
async def test_doctor_wants_the_chat_where_comments_are_in_it(portal: SimulatedPortal) -> None:
    add_task(portal, "x", responsible=1, deadline=NOON)
    portal.scopes = portal.scopes - {"im"}
    client = Portal.direct(WEBHOOK, portal.send)
    assert "im" not in (await client.health()).missing
    portal.comments_in_chat = True
    assert "im" in (await client.health()).missing


def ended(run: Run, task: int, report: str, now: Now) -> None:
    """Record one call of the task's client that ended with this report."""
    from autodial.model.trunk import Route
    from autodial.rules.dial_facts import Dial
    from tests.integration.store.test_ledger import ANNA

    row = run(planning.load_task, TaskId(task))
    decision = Dial(row.phones[0], ANNA, (Route("c"),))
    opened = run(ledger.open_attempt, row, decision, now(), lease=timedelta(hours=1))
    run(ledger.claim, opened.id, now())
    run(attempt_end.record, opened.id, parse_report(report.split(",")), now(), EndPolicy())


BAD = "dial,CHANUNAVAIL,1,SIP%20404%20x"


@ensure
@pytest.mark.parametrize("moves", [True, False])
async def test_a_corrected_number_is_called_and_the_old_one_is_not(
    config: Config, portal: SimulatedPortal, store: FakeStore, now: Now, run: Run, moves: bool
) -> None:
    """The number is corrected in the CRM, with or without a new deadline half a minute later."""
    add_operator(portal, 501, "101")
    code = add_contact(portal, "Иван", ("WORK", "+442079460001"))
    number = add_task(portal, "x", code, responsible=501, deadline=NOON)
    reading = importer(config, portal, store, now)
    await reading.poll()
    ended(run, number, BAD, now)
    assert "bad number" == run(planning.load_task, TaskId(number)).closed_reason

    now.advance(minutes=1)
    portal.contacts[int(code[2:])]["PHONE"] = [("WORK", "+442079460002")]
    now.advance(seconds=26)
    if moves:
        portal.tasks[number]["DEADLINE"] = NOON + timedelta(minutes=1)
        portal.tasks[number]["CHANGED_DATE"] = now()
    else:
        reading._walked = None  # the next poll reads all tasks
    await reading.poll()
    row = run(planning.load_task, TaskId(number))

    assert ["+442079460002"] == [phone.number for phone in row.phones]
    assert "" == row.closed_reason and row.due <= now()
    kinds = [event.kind for event in run(story, number)]
    assert ("moved by hand" if moves else "number corrected") in kinds


@ensure
async def test_the_same_number_typed_otherwise_is_no_correction(
    config: Config, portal: SimulatedPortal, store: FakeStore, now: Now, run: Run
) -> None:
    add_operator(portal, 501, "101")
    code = add_contact(portal, "Иван", ("WORK", "+442079460001"))
    number = add_task(portal, "x", code, responsible=501, deadline=NOON)
    reading = importer(config, portal, store, now)
    await reading.poll()
    ended(run, number, BAD, now)
    portal.contacts[int(code[2:])] |= {"PHONE": [("MOBILE", "+44 20 7946 0001")], "NAME": "Пётр"}
    reading._walked = None
    await reading.poll()
    assert "bad number" == run(planning.load_task, TaskId(number)).closed_reason


@ensure
async def test_a_word_fetches_fresh_phones_and_marks_before_the_call(
    wishes: Callable[..., Config], portal: SimulatedPortal, store: FakeStore, now: Now, run: Run
) -> None:
    """``autodial call-now``: a minute ago the client got a new number and a do-not-call mark."""
    add_operator(portal, 501, "101")
    code = add_contact(portal, "Иван", ("WORK", "+442079460001"))
    portal.contacts[int(code[2:])]["UF_CRM_DNC"] = "0"
    number = add_task(portal, "x", code, responsible=501, deadline=NOON)
    reading = importer(wishes(rules={"do_not_call_field": "UF_CRM_DNC"}), portal, store, now)
    await reading.poll()
    portal.contacts[int(code[2:])] |= {"PHONE": [("WORK", "+442079460002")], "UF_CRM_DNC": "1"}
    assert run(tasks.confirm, TaskId(number), now())
    assert [] == run(planning.due_tasks, now(), 9), "not before the phones were read"
    await reading.refetch()
    (row,) = run(planning.due_tasks, now(), 9)
    assert [("+442079460002", True)] == [(p.number, p.do_not_call) for p in row.phones]
    asked = len(portal.requests)
    await reading.refetch()
    assert asked == len(portal.requests), "once"


@ensure
@pytest.mark.parametrize("when_silent", ["continue", "stop"])
async def test_a_word_while_the_portal_is_silent(
    wishes: Callable[..., Config], portal: SimulatedPortal, store: FakeStore, now: Now, run: Run,
    when_silent: str,
) -> None:  # fmt: skip
    add_operator(portal, 501, "101")
    code = add_contact(portal, "Иван", ("WORK", "+442079460001"))
    number = add_task(portal, "x", code, responsible=501, deadline=NOON)
    config = wishes()
    settings = config.portal.model_copy(update={"when_silent": when_silent})
    config = config.model_copy(update={"portal": settings})
    reading = importer(config, portal, store, now)
    await reading.poll()
    run(tasks.confirm, TaskId(number), now())

    async def down(_: Any) -> Any:
        raise PortalUnavailable("down")

    reading.portal = Portal.direct(WEBHOOK, down)
    await reading.refetch()
    waits = [task.id for task in run(planning.due_tasks, now(), 9)]
    assert waits == ([number] if when_silent == "continue" else [])


@ensure
async def test_a_purpose_has_a_line_of_its_own(
    wishes: Callable[..., Config], portal: SimulatedPortal, store: FakeStore, now: Now, run: Run
) -> None:
    from autodial.portal.reporter import Reporter
    from tests.integration.portal.test_reporter import under_way

    number = under_way(run, portal, "x")
    with store.engine.begin() as db:
        db.exec_driver_sql("UPDATE tasks SET purpose = 'debt'")
    debt = {"name": "debt", "tag": "долг", "line": "autodial-debt", "line_name": "ДОЛГ"}
    config = wishes(purposes=[debt])
    client = Portal.direct(WEBHOOK, portal.send)
    await Reporter(config, client, store, Roster(), now, Clock()).turn()  # type: ignore[arg-type]
    ((_, call),) = portal.calls.items()
    assert ("autodial-debt", number) == (call["LINE"], call["EXTERNAL_CALL_ID"])
    assert {"autodial-debt": "ДОЛГ"} == portal.lines
