"""
The simulated portal behaves as the real one does, also where clients often fail.

One test per behaviour, through the same entry as HTTP.
"""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl

import pytest

from bitrix24.simulator import FLAVOURS, Fault, SimulatedPortal
from bitrix24.simulator.page import page, state
from bitrix24.simulator.portal import ConnectionDropped
from bitrix24.simulator.presence import log_in
from bitrix24.simulator.seed import (
    add_contact,
    add_deal,
    add_operator,
    add_task,
    populate,
)
from tests.integration.conftest import NOON, Now

ROOT = "/rest/1/simulated0secret"
Ask = Callable[..., Any]


@pytest.fixture
def ask(portal: SimulatedPortal) -> Ask:
    """Call a method with JSON. Return the status and the parsed reply."""

    def one(method: str, params: Any = None, *, root: str = ROOT, query: str = "") -> Any:
        body = json.dumps(params if params is not None else {}).encode()
        answer = portal.handle(f"{root}/{method}", query, "application/json", body)
        return answer.status, json.loads(answer.body)

    return one


def ok(reply: tuple[int, Any]) -> Any:
    assert 200 == reply[0], reply
    return reply[1]["result"]


def error(reply: tuple[int, Any]) -> tuple[int, str]:
    assert "result" not in reply[1] and "time" not in reply[1]
    return reply[0], reply[1]["error"]


def call_task(portal: SimulatedPortal, **changes: Any) -> int:
    number = add_task(portal, "Позвонить", "C_1", responsible=501, deadline=NOON)
    portal.tasks[number] |= changes
    return number


@pytest.mark.parametrize(
    ("path", "query", "kind", "body"),
    [
        (f"{ROOT}/user.get", "ID=501", "", b""),
        (f"{ROOT}/USER.Get.json/", "ID=1", "", b"ID=501"),
        (f"{ROOT}/user.get/", "", "application/x-www-form-urlencoded", b"filter%5BID%5D=501"),
        (f"{ROOT}/user.get", "ID=1", "application/json", b'{"ID": 501}'),
        (f"{ROOT}/user.get", "ID=501", "application/json", b'{"ID": 1'),  # the bad body is ignored
        (
            f"{ROOT}/user.get", "", "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="ID"\r\n\r\n501\r\n--x--\r\n',
        ),
    ],
)  # fmt: skip
def test_1_parameters_by_every_way(
    portal: SimulatedPortal, path: str, query: str, kind: str, body: bytes
) -> None:
    """Parameters of the body replace those of the query, key by key."""
    add_operator(portal, 501, "101")
    add_operator(portal, 502, "102")
    reply = json.loads(portal.handle(path, query, kind, body).body)

    assert ["501"] == [row["ID"] for row in reply["result"]]


def test_2_an_unknown_method_is_unis_known_to_a_wrong_secret_too(ask: Ask) -> None:
    assert (404, "ERROR_METHOD_NOT_FOUND") == error(ask("no.such", root="/rest/1/wrong"))


def test_3_who_may_not_come_in(ask: Ask, portal: SimulatedPortal) -> None:
    portal.scopes = frozenset({"task"})

    assert (401, "INVALID_CREDENTIALS") == error(ask("user.get", root="/rest/1/wrong"))
    assert (401, "NO_AUTH_FOUND") == error(ask("user.get", root="/rest"))
    assert (401, "insufficient_scope") == error(ask("user.get"))
    portal.documented_statuses = True
    assert 403 == ask("user.get")[0]
    portal.https_required = True
    assert (400, "INVALID_REQUEST") == error(ask("profile"))


def test_4_the_envelope(ask: Ask, portal: SimulatedPortal) -> None:
    for _ in range(51):
        call_task(portal)
    _, reply = ask("tasks.task.list")

    assert ["result", "next", "total", "time"] == list(reply)
    assert (50, 51) == (reply["next"], reply["total"])
    assert int is type(reply["time"]["start"]) and int is type(reply["time"]["processing"])
    assert "operating" not in reply["time"]
    portal.cloud = True
    assert {"operating", "operating_reset_at"} <= set(ask("profile")[1]["time"])


def test_5_arrays_as_php_has_them(ask: Ask, portal: SimulatedPortal) -> None:
    add_operator(portal, 501, "101")

    assert [] == ok(ask("tasks.task.get", {"taskId": 1}))
    assert {} == ok(ask("user.get", {"ID": 501}))[0]["LAST_ACTIVITY_DATE"]
    reply = ok(ask("batch", {"cmd": ["no.such", "profile"]}))
    assert {"1"} == set(reply["result"])
    assert [{"error": "ERROR_METHOD_NOT_FOUND", "error_description": "Method not found!"}] == reply[
        "result_error"
    ]


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("telephony.externalCall.register", {"USER_ID": 501, "PHONE_NUMBER": "+1", "TYPE": 9}, ""),
        ("sonet_group.user.get", {"ID": 1}, ""),
        ("timeman.status", {"USER_ID": 4711}, ""),
        ("crm.contact.get", {"id": 4711}, ""),
        ("tasks.task.get", {}, "100"),
        ("tasks.task.get", {"taskId": "abc"}, "0"),
        ("tasks.task.update", {"taskId": 4711, "fields": {"TITLE": "x"}}, "0"),
        ("tasks.task.update", {"taskId": 4711}, "100"),
        ("tasks.task.list", {"order": {"NO_SUCH": "asc"}}, "0"),
        ("crm.item.list", {}, "100"),
    ],
)
def test_6_codes_that_are_empty_or_numbers(
    ask: Ask, portal: SimulatedPortal, method: str, params: Any, code: str
) -> None:
    add_operator(portal, 501, "101")

    assert (400, code) == error(ask(method, params))


def test_6_texts_in_the_portal_s_language(ask: Ask, portal: SimulatedPortal) -> None:
    russian = ask("tasks.task.start", {"taskId": 1})[1]["error_description"]
    portal.language = "en"

    assert russian != ask("tasks.task.start", {"taskId": 1})[1]["error_description"]


def test_7_pages(ask: Ask, portal: SimulatedPortal) -> None:
    for number in range(130):
        call_task(portal)
        add_operator(portal, 501 + number, str(number))

    assert {"next": 100, "total": 130} == {
        k: v for k, v in ask("tasks.task.list", {"start": 77})[1].items() if k in ("next", "total")
    }, "the offset is rounded down to a page"
    assert not {"next", "total"} & set(ask("tasks.task.list", {"start": -1})[1])
    assert 0 == ask("user.get", {"start": -1})[1]["total"]
    assert "577" == ok(ask("user.get", {"start": 77}))[0]["ID"], "an exact offset"


def test_8_batch(ask: Ask, portal: SimulatedPortal) -> None:
    add_operator(portal, 501, "101")
    commands = {f"c{n}": "profile" for n in range(52)} | {"c3": "no.such", "c4": "batch"}
    reply = ok(ask("batch", {"cmd": commands}))

    codes = {key: row["error"] for key, row in reply["result_error"].items()}
    assert codes == {
        "c3": "ERROR_METHOD_NOT_FOUND",
        "c4": "ERROR_BATCH_METHOD_NOT_ALLOWED",
        "c50": "ERROR_BATCH_LENGTH_EXCEEDED",
        "c51": "ERROR_BATCH_LENGTH_EXCEEDED",
    }
    assert 48 == len(reply["result"])
    assert {"c0", "c1", "c2"} == set(ok(ask("batch", {"cmd": commands, "halt": 1}))["result"])
    assert [] == ok(ask("batch", {"cmd": {"a": "profile"}}))["result_error"]


def test_8_references(ask: Ask, portal: SimulatedPortal) -> None:
    """A reference alone passes an array. Inside a text only scalar values are inserted."""
    add_operator(portal, 501, "101")
    add_operator(portal, 502, "102")
    reply = ok(
        ask(
            "batch",
            {
                "cmd": {
                    "u": "user.get?FILTER[UF_PHONE_INNER]=102",
                    "one": "user.get?ID=$result[u][0][ID]",
                    "dep": "user.get?FILTER[UF_DEPARTMENT]=$result[u][0][UF_DEPARTMENT]",
                    "text": "im.dialog.messages.get?DIALOG_ID=chat$result[u]",
                    "total": "user.get?ID=50$total[u]",
                }
            },
        )
    )

    assert "502" == reply["result"]["one"][0]["ID"]
    assert ["501", "502"] == [row["ID"] for row in reply["result"]["dep"]]
    assert "501" == reply["result"]["total"][0]["ID"]
    assert "text" in reply["result_error"]


def test_9_queries_as_php_reads_them(ask: Ask, portal: SimulatedPortal) -> None:
    number = call_task(portal)

    def ids(query: str) -> list[str]:
        rows = ok(ask("batch", {"cmd": {"t": f"tasks.task.list?{query}"}}))["result"]["t"]["tasks"]
        return [row["id"] for row in rows]

    assert [] == ids("filter%5B%3EDEADLINE%5D=2026-11-23T15:00:00%2B03:00")
    assert [str(number)] == ids("filter[>=ID]=999999"), "unencoded, the filter is lost"
    assert [] == ids("filter[%3E%3DID]=999999")
    assert [str(number)] == ids("filter[TITLE]=Позвонить#&filter[ID]=1"), "cut off at #"


def test_10_tasks_as_the_list_shows_them(ask: Ask, portal: SimulatedPortal) -> None:
    number = call_task(portal, UF_CRM_TASK=[])
    (row,) = ok(ask("tasks.task.list", {"select": ["ID", "STATUS", "UF_CRM_TASK"]}))["tasks"]
    assert (str(number), "2", False, []) == (
        row["id"], row["status"], row["ufCrmTask"], row["group"],
    )  # fmt: skip

    portal.no_links = None
    (row,) = ok(ask("tasks.task.list", {"select": ["UF_CRM_TASK"], "filter": {"TAGG": "x"}}))[
        "tasks"
    ]
    assert row["ufCrmTask"] is None
    (row,) = ok(ask("tasks.task.list", {}))["tasks"]
    assert "ufCrmTask" not in row


def test_11_an_overdue_task_does_not_match_its_stored_status(
    ask: Ask, portal: SimulatedPortal, now: Now
) -> None:
    call_task(portal)
    now.advance(minutes=1)

    assert [] == ok(ask("tasks.task.list", {"filter": {"STATUS": 2}}))["tasks"]
    (row,) = ok(ask("tasks.task.list", {"filter": {"REAL_STATUS": 2}}))["tasks"]
    assert ("2", "-1") == (row["status"], row["subStatus"])
    portal.tasks[int(row["id"])] |= {"DEADLINE": NOON + timedelta(hours=2)}
    assert 1 == len(ok(ask("tasks.task.list", {"filter": {"STATUS": -3}}))["tasks"])
    portal.tasks[int(row["id"])] |= {"DEADLINE": None, "VIEWED": False}
    assert 1 == len(ok(ask("tasks.task.list", {"filter": {"STATUS": -2}}))["tasks"])


def test_12_tags_only_when_asked_for_and_there(ask: Ask, portal: SimulatedPortal) -> None:
    number = call_task(portal)
    asked = {"taskId": number, "select": ["ID"]}
    assert "tags" not in ok(ask("tasks.task.get", asked))["task"]
    # Without a selection, tags are plain texts.
    assert ["autodial"] == ok(ask("tasks.task.get", {"taskId": number}))["task"]["tags"]
    task = ok(ask("tasks.task.get", {"taskId": number, "select": ["TAGS"]}))["task"]
    assert {"35": {"id": 35, "title": "autodial"}} == task["tags"]

    portal.tasks[number]["TAGS"] = []
    assert "tags" not in ok(ask("tasks.task.get", {"taskId": number, "select": ["TAGS"]}))["task"]


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("2026-05-20T10:00:59+03:00", "2026-05-20T10:00:00+03:00"),
        ("2026-05-20T07:00:00+00:00", "2026-05-20T10:00:00+03:00"),
        ("2026-05-20T10:00:00", "2026-05-20T10:00:00+03:00"),  # the server's zone
        ("", None),
    ],
)
def test_13_dates(ask: Ask, portal: SimulatedPortal, sent: str, shown: str | None) -> None:
    number = call_task(portal)
    fields = {"DEADLINE": sent}

    assert (
        shown
        == ok(ask("tasks.task.update", {"taskId": number, "fields": fields}))["task"]["deadline"]
    )


def test_14_the_responsible_alone_is_a_delegation(ask: Ask, portal: SimulatedPortal) -> None:
    for user in (501, 502, 503):
        add_operator(portal, user, str(user))
    number = call_task(portal, STATUS=3)
    update: dict[str, Any] = {"taskId": number, "fields": {"RESPONSIBLE_ID": 502, "TITLE": "x"}}
    ok(ask("tasks.task.update", update))
    assert (3, []) == (portal.tasks[number]["STATUS"], portal.tasks[number]["AUDITORS"])

    ok(ask("tasks.task.update", {"taskId": number, "fields": {"RESPONSIBLE_ID": 503}}))
    assert (2, [502]) == (portal.tasks[number]["STATUS"], portal.tasks[number]["AUDITORS"])


def test_15_which_right_depends_on_the_fields(ask: Ask, portal: SimulatedPortal) -> None:
    """An administrator may do all. The responsible may do what the task and the policy allow."""
    portal.administrator = False
    mine = {"RESPONSIBLE_ID": 1, "CREATED_BY": 503, "ALLOW_CHANGE_DEADLINE": "Y"}
    number = call_task(portal, **mine)
    portal.deadline_changes = 1

    def update(**fields: Any) -> int:
        return int(ask("tasks.task.update", {"taskId": number, "fields": fields})[0])

    assert 400 == update(DEADLINE="2026-12-01T10:00:00+03:00", TITLE="x")
    assert 200 == update(DEADLINE="2026-12-01T10:00:00+03:00")
    assert 400 == update(DEADLINE="2026-12-02T10:00:00+03:00"), (
        "the one permitted change is used up"
    )
    portal.administrator = True
    assert 200 == update(DEADLINE="2026-12-02T10:00:00+03:00")
    portal.tasks[number]["DENY"] = {"deadline"}
    assert 400 == update(DEADLINE="2026-12-03T10:00:00+03:00")


def test_16_a_forbidden_task_looks_like_a_missing_one(ask: Ask, portal: SimulatedPortal) -> None:
    number = call_task(portal, DENY={"read"})

    assert [] == ok(ask("tasks.task.get", {"taskId": number}))


@pytest.mark.parametrize(
    ("status", "step", "expected"),
    [
        (2, "start", 3), (3, "start", "0"), (3, "pause", 2), (2, "pause", "1048582"),
        (2, "defer", 6), (3, "defer", "1048582"), (6, "renew", 2), (2, "renew", "1048582"),
        (3, "complete", 5), (5, "complete", "0"), (4, "approve", 5), (4, "disapprove", 2),
    ],
)  # fmt: skip
def test_17_statuses(
    ask: Ask, portal: SimulatedPortal, status: int, step: str, expected: int | str
) -> None:
    number = call_task(portal, STATUS=status)
    reply = ask(f"tasks.task.{step}", {"taskId": number})
    if isinstance(expected, str):
        assert (400, expected) == error(reply)
    else:
        assert str(expected) == ok(reply)["task"]["status"]


def test_17_completed_under_control_waits_for_its_author(ask: Ask, portal: SimulatedPortal) -> None:
    portal.administrator = False
    number = call_task(portal, TASK_CONTROL="Y", CREATED_BY=503, ACCOMPLICES=[1])

    assert "4" == ok(ask("tasks.task.complete", {"taskId": number}))["task"]["status"]


@pytest.mark.parametrize("in_chat", [False, True])
def test_18_comments_by_position(ask: Ask, portal: SimulatedPortal, in_chat: bool) -> None:
    portal.comments_in_chat = in_chat
    number = call_task(portal)
    events: list[bytes] = []
    portal.on_event.append(events.append)
    first = ok(ask("task.commentitem.add", {"any": number, "name": {"POST_MESSAGE": "раз"}}))
    assert int is type(first)
    wrong = {"FIELDS": {"POST_MESSAGE": "раз"}, "TASKID": number}
    assert (400, "ERROR_CORE") == error(ask("task.commentitem.add", wrong))

    listed = ok(ask("task.commentitem.getlist", {"TASKID": number}))
    assert (0 if in_chat else 1) == len(listed), "comments in a chat are not listed in the forum"
    fields = dict(parse_qsl(events[0].decode()))
    assert ("0" if in_chat else str(first)) == fields["data[FIELDS_AFTER][ID]"]


def test_19_the_crm(ask: Ask, portal: SimulatedPortal) -> None:
    code = add_contact(portal, "Иван Петров", ("WORK", "+442079460001"))
    none = add_contact(portal, "Без Телефона")
    deal = add_deal(portal, "Сделка", code, none)
    item = add_deal(portal, "Заявка", code, process=True)
    ids = [int(c[2:]) for c in (code, none)]
    rows = ok(ask("crm.contact.list", {"filter": {"@ID": ids}, "select": ["ID", "PHONE"]}))

    assert [True, False] == ["PHONE" in row for row in rows]
    assert {"ID", "VALUE_TYPE", "VALUE", "TYPE_ID"} == set(rows[0]["PHONE"][0])
    assert "PHONE" not in ok(ask("crm.contact.list", {"select": ["*"]}))[0]
    assert "PHONE" not in ok(ask("crm.deal.list", {"select": ["ID", "PHONE"]}))[0]
    assert item.startswith("T80_")
    for kind, number in ((2, deal), (0x80, item)):
        page = ok(ask("crm.item.list", {"entityTypeId": kind, "select": ["id", "contactIds"]}))
        assert (int(number.rpartition("_")[2]), ids[0]) == (
            page["items"][0]["id"], page["items"][0]["contactIds"][0],
        )  # fmt: skip
    assert "fm" in ok(ask("crm.item.list", {"entityTypeId": 3}))["items"][0]


def test_20_users(ask: Ask, portal: SimulatedPortal, now: Now) -> None:
    add_operator(portal, 501, "101", seen=NOON)
    add_operator(portal, 502, "102")
    portal.users[502]["ACTIVE"] = False
    active = ok(ask("user.get", {"FILTER": {"ACTIVE": True}, "select": ["ID", "ACTIVE"]}))
    assert [{"ID": "1", "ACTIVE": True}, {"ID": "501", "ACTIVE": True}] == active

    assert 3 == len(ok(ask("user.get", {"FILTER": {"ACTVE": True}})))
    assert [] == ok(ask("user.get", {"FILTER": {"UF_PHONE_INNER": "10"}}))
    portal.user_select = False
    assert "NAME" in ok(ask("user.get", {"select": ["ID"]}))[0]
    now.advance(minutes=23)
    assert ["501"] == ok(ask("user.online"))
    now.advance(minutes=2)
    assert [] == ok(ask("user.online"))


def test_21_the_event_log(ask: Ask, portal: SimulatedPortal) -> None:
    add_operator(portal, 501, "101")
    log_in(portal, 501)
    portal.log_logins = True
    log_in(portal, 501)
    api = "/rest/api/1/simulated0secret"
    (row,) = ok(ask("main.eventlog.tail", {}, root=api))["items"]
    assert ("USER_AUTHORIZE", "501") == (row["auditTypeId"], row["itemId"])

    portal.administrator = False
    status, reply = ask("main.eventlog.tail", {}, root=api)
    assert (403, "BITRIX_REST_V3_EXCEPTION_ACCESSDENIED") == (status, reply["error"]["code"])
    portal.rest3 = False
    assert 404 == ask("main.eventlog.tail", {}, root=api)[0]


def register(**changes: Any) -> dict[str, Any]:
    return {
        "USER_PHONE_INNER": "101", "PHONE_NUMBER": "+44 (20) 7946-0001", "TYPE": 2,
        "LINE_NUMBER": "autodial", "EXTERNAL_CALL_ID": "t1-1", **changes,
    }  # fmt: skip


def test_22_registration(ask: Ask, portal: SimulatedPortal, now: Now) -> None:
    add_operator(portal, 501, "101")
    method = "telephony.externalCall.register"
    first = ok(ask(method, register()))["CALL_ID"]
    assert ("externalCall", 32, 3) == (
        first.split(".")[0], len(first.split(".")[1]), first.count(".") + 1,
    )  # fmt: skip
    assert first == ok(ask(method, register()))["CALL_ID"]
    assert first != ok(ask(method, register(EXTERNAL_CALL_ID="t1-2")))["CALL_ID"]
    assert {"autodial": ""} == portal.lines
    assert "+442079460001" == portal.calls[first]["PHONE"]

    now.advance(minutes=31)
    assert first != ok(ask(method, register()))["CALL_ID"]
    assert (400, "") == error(ask(method, register(USER_PHONE_INNER="999")))
    portal.telephony_by_webhook = False
    assert (403, "WRONG_AUTH_TYPE") == error(ask(method, register()))


def test_23_the_end_of_a_call(ask: Ask, portal: SimulatedPortal) -> None:
    add_operator(portal, 501, "101")
    call = ok(ask("telephony.externalCall.register", register()))["CALL_ID"]
    end = {"CALL_ID": call, "USER_ID": 501}
    reply = ok(ask("telephony.externalCall.finish", end))

    assert ("304", {}, False) == (
        reply["CALL_FAILED_CODE"], reply["CALL_START_DATE"], reply["CRM_ACTIVITY_ID"],
    )  # fmt: skip
    assert "ACTIVITY_CREATION" in reply["ERRORS"]
    assert portal.statistics[0]["MISSED"]
    status, again = ask("telephony.externalCall.finish", end)
    assert (400, "") == (status, again["error"])
    assert (
        "Call is not found (call should be registered prior to finishing"
        == (again["error_description"])
    )


def test_24_cards_and_records(ask: Ask, portal: SimulatedPortal) -> None:
    add_operator(portal, 501, "101")
    call = ok(ask("telephony.externalCall.register", register(SHOW=0)))["CALL_ID"]
    record = {"CALL_ID": call, "FILENAME": "x.mp3", "FILE_CONTENT": "QUJD"}

    assert ok(ask("telephony.externalCall.show", {"CALL_ID": call, "USER_ID": [501, 502]})) is True
    assert ok(ask("telephony.externalCall.hide", {"CALL_ID": "no"})) is False
    assert (400, "") == error(ask("telephony.externalCall.attachRecord", record))
    assert [] == ok(ask("voximplant.statistic.get", {"FILTER": {"CALL_ID": call}}))
    ok(ask("telephony.externalCall.finish", {"CALL_ID": call, "USER_ID": 501, "DURATION": 5}))
    assert "FILE_ID" in ok(ask("telephony.externalCall.attachRecord", record))
    assert ("x.mp3", b"ABC") == portal.recordings[call]


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (Fault.TOO_FAST, 503, "QUERY_LIMIT_EXCEEDED"),
        (Fault.BLOCKED, 429, "OPERATION_TIME_LIMIT"),
        (Fault.CLOSED, 403, "PORTAL_DELETED"),
        (Fault.EXPIRED, 401, "expired_token"),
    ],
)
def test_25_faults_before_anything_is_done(
    ask: Ask, portal: SimulatedPortal, fault: Fault, status: int, code: str
) -> None:
    portal.fail_next(fault)

    assert (status, code) == error(ask("tasks.task.add", {"fields": {}}))
    assert [] == portal.executed


def test_25_faults_after_it_was_done(portal: SimulatedPortal) -> None:
    number = call_task(portal)
    body = json.dumps({"a": number, "b": {"POST_MESSAGE": "x"}}).encode()
    portal.fail_next(Fault.LOST, Fault.GARBAGE)
    with pytest.raises(ConnectionDropped):
        portal.handle(f"{ROOT}/task.commentitem.add", "", "application/json", body)
    answer = portal.handle(f"{ROOT}/task.commentitem.add", "", "application/json", body)

    assert 2 == len(portal.comments[number])
    with pytest.raises(ValueError):
        json.loads(answer.body)


def test_25_the_cloud_s_bucket(ask: Ask, portal: SimulatedPortal, now: Now) -> None:
    portal.cloud = True
    assert [200] * 50 + [503] == [ask("profile")[0] for _ in range(51)]
    now.advance(seconds=1)
    assert [200, 200, 503] == [ask("profile")[0] for _ in range(3)]


def test_25_events_are_sent_once_with_our_own_changes_among_them(
    ask: Ask, portal: SimulatedPortal
) -> None:
    events: list[bytes] = []
    portal.on_event.append(events.append)
    fields = {"TITLE": "x", "RESPONSIBLE_ID": 1}
    number = ok(ask("tasks.task.add", {"fields": fields}))["task"]["id"]
    ok(ask("tasks.task.update", {"taskId": number, "fields": {"TITLE": "y"}}))
    first, second = (dict(parse_qsl(body.decode())) for body in events)

    assert ("ONTASKADD", number, "undefined") == (
        first["event"], first["data[FIELDS_AFTER][ID]"], first["data[FIELDS_BEFORE]"],
    )  # fmt: skip
    assert "ONTASKUPDATE" == second["event"]
    assert portal.application_token == second["auth[application_token]"]


@pytest.mark.parametrize(
    ("method", "code"),
    [("event.bind", "WRONG_AUTH_TYPE"), ("placement.bind", "WRONG_AUTH_TYPE"),
     ("voximplant.user.get", "ACCESS_DENIED")],
)  # fmt: skip
def test_a_webhook_is_no_application(ask: Ask, method: str, code: str) -> None:
    assert (403, code) == error(ask(method))


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_populated_portal_of_each_flavour_can_be_looked_at(flavour: str, now: Now) -> None:
    """The same seed makes the same portal. What people typed is escaped on the page."""
    portals = [SimulatedPortal(now=now, **FLAVOURS[flavour]) for _ in range(2)]
    for one in portals:
        populate(one, 3, tasks=30, operators=6, now=now())
    html = page(portals[0])

    assert state(portals[0]) == state(portals[1])
    assert 30 == len(state(portals[0])["tasks"])
    assert "<Оля>" not in html and "&lt;Оля&gt;" in html
