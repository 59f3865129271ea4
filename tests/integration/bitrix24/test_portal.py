"""The client against the simulated portal: requests, their number, results and errors."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from bitrix24 import (
    AnswerLost,
    Link,
    Portal,
    PortalDenied,
    PortalRefused,
    PortalTask,
    PortalUnavailable,
    Request,
    RequestsTransport,
    StaffQuery,
    TaskQuery,
    Webhook,
)
from bitrix24.errors import GatewayLost, PortalBusy, PortalClosed
from bitrix24.simulator import Fault, SimulatedPortal, serve
from bitrix24.simulator.seed import add_contact, add_operator, add_task, populate
from bitrix24.wire import Answer, decode, query
from tests.integration.conftest import NOON

WEBHOOK = "http://127.0.0.1/rest/1/simulated0secret"
CALLS = TaskQuery(tag="autodial")

ensure = pytest_twisted.ensureDeferred


@pytest.fixture
def client(portal: SimulatedPortal) -> Portal:
    return Portal.direct(WEBHOOK, portal.send)


async def opened(client: Portal) -> list[PortalTask]:
    return [task async for page in client.open_tasks(CALLS) for task in page.tasks]


@ensure
@pytest.mark.parametrize(
    ("count", "expected", "requests"),
    [
        (130, None, ["batch"]),
        (130, 130, ["batch"]),
        (130, 90, ["batch", "tasks.task.list"]),
        (130, 0, ["tasks.task.list", "batch"]),
        (50, 50, ["tasks.task.list"]),
        (100, 50, ["tasks.task.list", "tasks.task.list"]),
        (0, None, ["batch"]),
        (2550, None, ["batch", "tasks.task.list"]),
    ],
)
async def test_a_walk_is_few_requests_and_reads_nothing_twice(
    portal: SimulatedPortal, count: int, expected: int | None, requests: list[str]
) -> None:
    rows_sent = []

    async def send(request: Request) -> Answer:
        answer = await portal.send(request)
        rows_sent.append(answer.body.count(b'"ufCrmTask"'))
        return answer

    for n in range(count):
        add_task(portal, f"Позвонить {n}", "C_1", responsible=501, deadline=NOON)
    add_task(portal, "без метки", responsible=501, deadline=NOON)
    portal.tasks[max(portal.tasks)]["TAGS"] = []
    pages = Portal.direct(WEBHOOK, send).open_tasks(CALLS, expected)
    ids = [task.id async for page in pages for task in page.tasks]

    assert [n for n, row in portal.tasks.items() if row["TAGS"]] == sorted(ids)
    assert requests == portal.requests
    assert count == sum(rows_sent), "pages after the last one are empty"


@ensure
async def test_a_walk_given_up_half_way_leaves_nothing_under_way(portal: SimulatedPortal) -> None:
    answers: list[Deferred[Answer]] = []

    async def send(request: Request) -> Answer:
        if not answers:
            answers.append(Deferred())
            return await portal.send(request)
        return await answers[0]

    for n in range(60):
        add_task(portal, f"Позвонить {n}", "C_1", responsible=501, deadline=NOON)
    pages = Portal.direct(WEBHOOK, send).open_tasks(CALLS, expected=0)
    await anext(pages)
    assert not answers[0].called, "the request for the second page is under way"
    await pages.aclose()
    assert answers[0].called, "the request was cancelled"


@ensure
async def test_overdue_tasks_are_found_and_finished_ones_are_not(
    client: Portal, portal: SimulatedPortal
) -> None:
    """A task past its deadline counts as overdue and does not match STATUS=2."""
    due = add_task(portal, "due", responsible=501, deadline=NOON - timedelta(days=1))
    for status in (4, 5, 6):
        number = add_task(portal, "other", responsible=501, deadline=NOON)
        portal.tasks[number]["STATUS"] = status

    assert [due] == [task.id for task in await opened(client)]


@ensure
async def test_deadlines_are_exact_to_the_minute(client: Portal, portal: SimulatedPortal) -> None:
    """In any zone of the portal. The portal drops the seconds."""
    number = add_task(portal, "x", responsible=501, deadline=NOON)
    (task,) = await opened(client)
    assert task.deadline == NOON

    later = datetime(2026, 12, 1, 7, 30, 59, tzinfo=UTC)
    await client.move_deadline(task, later)
    assert later.replace(second=0) == portal.tasks[number]["DEADLINE"]


@ensure
async def test_the_responsible_changes_without_a_silent_delegation(
    client: Portal, portal: SimulatedPortal
) -> None:
    add_operator(portal, 501, "101")
    add_operator(portal, 502, "102")
    number = add_task(portal, "x", responsible=501, deadline=NOON)
    portal.tasks[number]["STATUS"] = 3
    (task,) = await opened(client)
    await client.change_responsible(task, 502, delegate=False)
    row = portal.tasks[number]

    assert (row["RESPONSIBLE_ID"], row["STATUS"], row["AUDITORS"]) == (502, 3, [])


@ensure
async def test_a_task_that_is_gone_is_none(client: Portal) -> None:
    assert await client.task(4711) is None


@ensure
async def test_phones_of_all_kinds_of_clients_in_two_requests(
    client: Portal, portal: SimulatedPortal
) -> None:
    contact = add_contact(portal, "Иван Петров", ("MOBILE", "8 999 000-11-22"), ("FAX", "1"))
    second = add_contact(portal, "Без Телефона")
    portal.companies[7] = {"ID": 7, "TITLE": "ООО <Ромашка>", "PHONE": [("WORK", "+442079460001")]}
    portal.leads[9] = {"ID": 9, "TITLE": "Лид", "PHONE": [("HOME", "+442079460002")]}
    ids = [int(code[2:]) for code in (contact, second)]
    portal.deals[102] = {"ID": 102, "TITLE": "Сделка", "CONTACT_IDS": ids, "COMPANY_ID": 7}
    rows = await client.clients([contact, "CO_7", "L_9", "D_102", "Q_1", "SC_4", "junk"])

    assert {contact, "CO_7", "L_9", "D_102"} == set(rows)
    assert portal.requests == ["batch", "batch"]
    known = {code: clients for code, clients in rows.items() if clients}
    assert [phone.value for phone in known[contact][0].phones] == ["8 999 000-11-22", "1"]
    assert known["CO_7"][0].name == "ООО <Ромашка>"
    assert [c.name for c in known["D_102"]] == ["Иван Петров", "Без Телефона", "ООО <Ромашка>"]


@ensure
async def test_one_kind_out_of_our_sight_leaves_the_others_readable(
    portal: SimulatedPortal,
) -> None:
    """One damaged client does not hide the others either."""
    contact = add_contact(portal, "Иван Петров", ("MOBILE", "+442079460000"))
    broken = add_contact(portal, "Мария", ("MOBILE", "+442079460001"))
    portal.deals[102] = {"ID": 102, "TITLE": "x", "CONTACT_IDS": [], "COMPANY_ID": 7}
    portal.forbidden.add("crm.company.list")

    async def send(request: Request) -> Answer:
        payload = json.loads((await portal.send(request)).body)
        results = payload["result"]["result"]
        for row in results["C_0"] if isinstance(results, dict) else ():
            row["PHONE"] = "?" if row["ID"] == broken[2:] else row["PHONE"]
        return Answer(200, json.dumps(payload).encode())

    clients = await Portal.direct(WEBHOOK, send).clients([contact, broken, "CO_7", "D_102"])
    assert clients[contact]
    assert [None, None, None] == [clients[code] for code in (broken, "CO_7", "D_102")]


@ensure
@pytest.mark.parametrize("in_chat", [False, True])
@pytest.mark.parametrize("blocked", ["task.commentitem.getlist", "im.dialog.messages.get"])
async def test_who_could_not_look_does_not_say_that_there_is_no_comment(
    client: Portal, portal: SimulatedPortal, in_chat: bool, blocked: str
) -> None:
    """One of the two places cannot be read: the comment may be there and must not be repeated."""
    portal.comments_in_chat = in_chat
    number = add_task(portal, "x", responsible=501, deadline=NOON)
    portal.blocked.add(blocked)
    with pytest.raises(PortalBusy):
        await client.find_comment(number, "[t1-1]")


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (413, PortalRefused), (414, PortalRefused), (520, AnswerLost), (524, AnswerLost),
        (408, AnswerLost), (503, AnswerLost), (500, AnswerLost), (200, AnswerLost),
        (502, GatewayLost), (504, GatewayLost), (403, PortalUnavailable), (404, PortalUnavailable),
    ],
)  # fmt: skip
def test_pages_of_proxies(status: int, kind: type[Exception]) -> None:
    with pytest.raises(kind) as caught:
        decode(Answer(status, b"<html>"), "task.commentitem.add")
    assert kind is caught.type


@ensure
async def test_staff_with_departments_below_and_presence(
    client: Portal, portal: SimulatedPortal
) -> None:
    add_operator(portal, 501, "101", seen=NOON)
    add_operator(portal, 502, "102", seen=NOON - timedelta(hours=2))
    add_operator(portal, 503, "103")
    portal.departments[6] = {"ID": 6, "NAME": "Смена 2", "PARENT": 5}
    portal.users[502]["UF_DEPARTMENT"] = [6]
    portal.users[503]["ACTIVE"] = False
    portal.users[1] = {**portal.users[501], "ID": 1, "UF_DEPARTMENT": [1]}
    staff = await client.staff(StaffQuery(departments=await client.with_below([5])))

    assert [(person.id, person.extension, person.online) for person in staff] == [
        (501, "101", True),
        (502, "102", False),
    ]
    seen = await client.presence([501, 502], working_day=False)
    assert seen[501].last_activity == NOON


@ensure
async def test_staff_of_a_work_group(client: Portal, portal: SimulatedPortal) -> None:
    add_operator(portal, 501, "101", seen=NOON)
    add_operator(portal, 502, "102", seen=NOON)
    portal.groups[129] = [502]

    assert [person.id for person in await client.staff(StaffQuery(group=129))] == [502]
    with pytest.raises(PortalRefused, match="group not found"):
        await client.staff(StaffQuery(group=130))


@pytest.mark.parametrize("in_chat", [False, True])
@ensure
async def test_a_comment_is_found_again(
    client: Portal, portal: SimulatedPortal, in_chat: bool
) -> None:
    """In the forum of old portals and in the chat of new ones."""
    portal.comments_in_chat = in_chat
    number = add_task(portal, "x", responsible=501, deadline=NOON)
    await client.add_comment(number, "Автодозвон: занято [t1-1]")

    assert [
        await client.find_comment(number, "[t1-1]"), await client.find_comment(number, "[t1-2]"),
    ] == [portal.comments[number][0]["ID"], None]  # fmt: skip


@ensure
async def test_a_call_from_registration_to_statistics(
    client: Portal, portal: SimulatedPortal
) -> None:
    add_operator(portal, 501, "101")
    await client.ensure_line("autodial", "АВТОДОЗВОН")
    await client.ensure_line("autodial", "АВТОДОЗВОН")

    async def register() -> str:
        return await client.register_call(
            external_id="t1-1", user=501, phone="+442079460000", started=NOON, line="autodial",
            incoming=True, show=True, client=("CONTACT", 55),
        )  # fmt: skip

    call = await register()
    assert call == await register(), "a repeated registration returns the same call"
    await client.finish_call(call, user=501, seconds=95, code="200")
    await client.finish_call(call, user=501, seconds=95, code="200")
    record = await client.call_record(call)
    assert record is not None

    assert (record.duration, record.failed_code) == (95, "200")
    assert len(portal.statistics) == 1
    with pytest.raises(PortalRefused, match="Call is not found"):
        await client.finish_call("externalCall.0.0", user=501, seconds=0, code="304")


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (503, b'{"error":"QUERY_LIMIT_EXCEEDED"}', PortalBusy),
        (429, b'{"error":"OPERATION_TIME_LIMIT"}', PortalBusy),
        (403, b'{"error":"PORTAL_DELETED"}', PortalClosed),
        (503, b"<html>busy</html>", AnswerLost),
        (502, b"<html>Bad Gateway</html>", GatewayLost),
        (500, b"", AnswerLost),
        (200, b'{"result": {"tasks"', AnswerLost),
        (200, b"[]", AnswerLost),
        (200, b"{}", AnswerLost),
        (500, b'{"error":"INTERNAL_SERVER_ERROR"}', AnswerLost),
        (400, b'{"error":"","error_description":"Access denied."}', PortalRefused),
        (400, b'{"error":"0","error_description":"x"}', PortalRefused),
        (400, b'{"error":100,"error_description":"x"}', PortalRefused),
        (401, b'{"error":"INVALID_CREDENTIALS"}', PortalDenied),
        (403, b'{"error":"INVALID_CREDENTIALS"}', PortalDenied),
        (401, b'{"error":"insufficient_scope"}', PortalRefused),
        (200, b'{"error":"WRONG","error_description":"x"}', PortalRefused),
        (404, b"<html>nginx</html>", PortalUnavailable),
    ],
)
def test_an_error_is_decided_by_its_code(
    status: int, body: bytes, expected: type[Exception]
) -> None:
    with pytest.raises(expected) as caught:
        decode(Answer(status, body), "some.method")

    assert expected is type(caught.value)


@pytest.mark.parametrize("result", [None, False, [], 0, "", {"a": 1}])
def test_any_result_is_a_result(result: object) -> None:
    import json

    assert result == decode(Answer(200, json.dumps({"result": result}).encode()), "m").result


def test_nothing_in_a_batch_is_left_unencoded() -> None:
    """PHP reads + as a blank, cuts at #, and splits the key at an unencoded > or =."""
    text = query("m", {"filter": {">=DEADLINE": "2026-05-20T10:00:00+03:00"}, "s": ["a b", "#&="]})

    assert text == (
        "m?filter[%3E%3DDEADLINE]=2026-05-20T10%3A00%3A00%2B03%3A00&s[0]=a%20b&s[1]=%23%26%3D"
    )


@ensure
async def test_over_http_from_a_thread(portal: SimulatedPortal) -> None:
    transport = RequestsTransport(reactor)  # type: ignore[arg-type]
    transport.start()
    try:
        with serve(portal) as webhook:
            client = Portal.direct(webhook, transport)
            number = add_task(portal, "Позвонить", responsible=501, deadline=NOON)
            task = await client.task(number)
            assert task is not None and task.title == "Позвонить"
            portal.fail_next(Fault.TOO_FAST, Fault.CLOSED, Fault.HTML, Fault.LOST)
            for expected in (PortalUnavailable, PortalUnavailable, AnswerLost, AnswerLost):
                with pytest.raises(expected):
                    await client.add_comment(number, "x")
            assert len(portal.comments[number]) == 1, (
                "the request with the lost answer was executed"
            )
            with pytest.raises(PortalRefused, match="INVALID_CREDENTIALS"):
                await Portal.direct(webhook[:-1], transport).task(number)
        with pytest.raises(PortalUnavailable) as caught:
            await client.task(number)
        assert AnswerLost is not type(caught.value), "connection refused: nothing was sent"
        for text in (str(caught.value), repr(caught.value), repr(caught.value.__cause__)):
            assert portal.secret not in text
    finally:
        transport.stop()


def test_a_request_hides_the_secret() -> None:
    request = Request("m", f"{WEBHOOK}/m", {})

    assert "simulated0secret" not in repr(request)


def ask(
    portal: SimulatedPortal, path: str, params: str = "", kind: str = "", body: bytes = b""
) -> Any:
    import json

    answer = portal.handle(path, params, kind, body)
    return answer.status, json.loads(answer.body)


def test_an_unknown_method_is_404_before_the_secret_is_looked_at(portal: SimulatedPortal) -> None:
    assert ask(portal, "/rest/1/wrong/no.such.method")[0] == 404
    assert ask(portal, "/rest/1/wrong/user.get")[0] == 401
    assert ask(portal, "/rest/user.get")[0] == 401
    assert ask(portal, "/rest/1/simulated0secret/USER.GET.json/")[0] == 200


def test_a_filter_with_a_typing_error_returns_everything(portal: SimulatedPortal) -> None:
    add_task(portal, "x", responsible=501, deadline=NOON)
    _, reply = ask(portal, "/rest/1/simulated0secret/tasks.task.list", "filter[TAGG]=no")

    assert len(reply["result"]["tasks"]) == 1


def test_batch_references_and_unencoded_filters(portal: SimulatedPortal) -> None:
    add_operator(portal, 501, "101", seen=NOON)
    commands = (
        b'{"cmd":{"u":"user.get?ID=501","d":"department.get?ID=$result[u][0][UF_DEPARTMENT][0]",'
        b'"bad":"nope","broken":"tasks.task.list?filter[>=DEADLINE]=1"}}'
    )
    _, reply = ask(portal, "/rest/1/simulated0secret/batch", "", "application/json", commands)
    result = reply["result"]

    assert result["result"]["d"][0]["NAME"] == "Call-центр"
    assert result["result_error"]["bad"]["error"] == "ERROR_METHOD_NOT_FOUND"
    assert result["result"]["broken"] == {"tasks": []}


def test_json_as_php_writes_it(portal: SimulatedPortal) -> None:
    add_task(portal, "a/b <c> & 'd' \"e\" Ж", responsible=501, deadline=NOON)
    answer = portal.handle("/rest/1/simulated0secret/tasks.task.list", "select[]=TITLE", "", b"")

    expected = r"a\/b \u003Cc\u003E \u0026 \u0027d\u0027 \u0022e\u0022 Ж"
    assert expected in answer.body.decode()
    assert ask(portal, "/rest/1/simulated0secret/tasks.task.get", "taskId=1")[1]["result"] == []


@ensure
async def test_fifty_tasks_with_clients_of_every_kind_are_three_requests(
    portal: SimulatedPortal,
) -> None:
    """Fifty tasks linked to contacts, companies, leads, deals and a smart process."""
    populate(portal, 7, tasks=50, operators=3, now=NOON)
    client = Portal.direct(WEBHOOK, portal.send)
    pages = [page async for page in client.open_tasks(CALLS, expected=50)]
    codes = {code for page in pages for task in page.tasks for code in task.clients}
    clients = await client.clients(codes)

    assert 50 == sum(len(page.tasks) for page in pages)
    assert {"C", "CO", "L", "D", "T80"} == {code.split("_")[0] for code in codes}
    assert codes == set(clients)
    assert ["tasks.task.list", "batch", "batch"] == portal.requests


@ensure
async def test_a_smart_process_out_of_our_sight_is_not_taken_for_deleted(
    client: Portal, portal: SimulatedPortal
) -> None:
    """A deleted smart process has no clients. Of a forbidden one the clients are unknown."""
    assert {} == await client.clients(["T80_6"])
    portal.forbidden.add("crm.item.list")
    assert {"T80_6": None} == await client.clients(["T80_6"])


@ensure
async def test_walks_get_long_again_after_a_disturbance(portal: SimulatedPortal) -> None:
    for n in range(1000):
        add_task(portal, f"Позвонить {n}", responsible=501, deadline=NOON)
    client = Portal.direct(WEBHOOK, portal.send)
    portal.fail_next(Fault.DIED, Fault.DIED)
    sizes = []
    for _ in range(6):
        before = len(portal.requests)
        pages = [page async for page in client.open_tasks(CALLS, expected=1000)]
        assert 1000 == sum(len(page.tasks) for page in pages)
        sizes.append(len(portal.requests) - before)
    assert sizes[0] > 1
    assert 1 == sizes[-1]


@ensure
async def test_a_delegation_is_not_repeated_by_itself(portal: SimulatedPortal) -> None:
    """A second delegation would make the new responsible an observer of the task."""
    add_operator(portal, 502, "102")
    number = add_task(portal, "x", responsible=501, deadline=NOON)
    lost: list[str] = []

    async def send(request: Request) -> Answer:
        answer = await portal.send(request)
        if request.method == "tasks.task.update":
            lost.append(request.method)
            raise AnswerLost(request.method)
        return answer

    client = Portal(Link(Webhook(WEBHOOK), send, Clock()))
    task = await client.task(number)
    assert task is not None
    with pytest.raises(AnswerLost):
        await client.change_responsible(task, 502, delegate=True)
    assert (1, [501]) == (len(lost), portal.tasks[number]["AUDITORS"])
