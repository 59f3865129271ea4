"""Behaviour of the simulated portal that third-party clients rely on: filters, types, rights."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from bitrix24.simulator import SimulatedPortal, php
from bitrix24.simulator.seed import add_contact, add_operator, add_task
from tests.integration.conftest import NOON, Now

ROOT = "/rest/1/simulated0secret"
Ask = Callable[..., Any]


@pytest.fixture
def ask(portal: SimulatedPortal) -> Ask:
    """Call a method: with JSON, or with a form if ``form`` is given."""

    def one(method: str, params: Any = None, *, form: str | None = None) -> Any:
        kind = "Application/JSON" if form is None else "application/x-www-form-urlencoded"
        body = json.dumps(params or {}).encode() if form is None else form.encode()
        answer = portal.handle(f"{ROOT}/{method}", "", kind, body)
        return answer.status, json.loads(answer.body)

    return one


def ok(reply: tuple[int, Any]) -> Any:
    assert 200 == reply[0], reply
    return reply[1]["result"]


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("tasks.task.list", {"start": "abc"}),
        ("tasks.task.list", {"filter": [1, 2]}),
        ("tasks.task.list", {"order": {"ID": 1}}),
        ("crm.contact.get", {"id": "abc"}),
        ("crm.contact.list", {"filter": {">NAME": 5}}),
        ("user.get", {"FILTER": {">ID": "abc"}}),
        ("sonet_group.user.get", {"ID": "abc"}),
        ("im.notify.personal.add", {}),
        ("telephony.externalCall.register", {"USER_ID": "abc", "PHONE_NUMBER": "1", "TYPE": 1}),
        ("telephony.externalCall.show", {"CALL_ID": "x", "USER_ID": "abc"}),
        ("task.commentitem.add", {"TASKID": 1, "FIELDS": {"AUTHOR_ID": "abc"}}),
        ("tasks.task.update", {"taskId": 1, "fields": {"STATUS": "abc"}}),
        ("batch", {"cmd": 5}),
        ("batch", {"cmd": "profile"}),
    ],
)
def test_what_is_ill_typed_is_answered_as_php_would(ask: Ask, method: str, params: Any) -> None:
    """A dropped connection would mean "executed, and the answer lost"."""
    status, reply = ask(method, params)
    assert status in (200, 400)
    assert "error" in reply or "result" in reply


@pytest.mark.parametrize(
    ("method", "params"),
    [("tasks.task.list", {"filter": "x"}), ("tasks.task.add", {"fields": "x"})],
)
def test_a_text_for_an_array_is_refused(ask: Ask, method: str, params: Any) -> None:
    status, reply = ask(method, params)
    assert (400, "100") == (status, reply["error"])


@pytest.mark.parametrize(
    ("method", "form"),
    [
        ("tasks.task.list", "filter[]=&select[]="),
        ("crm.contact.list", "filter[]="),
        ("user.get", "FILTER[]="),
        ("crm.item.list", "entityTypeId=3&filter[]="),
    ],
)
def test_an_empty_array_of_a_form_means_nothing_wished(ask: Ask, method: str, form: str) -> None:
    assert ok(ask(method, form=form)) is not None


def test_a_select_of_unknown_names_is_everything(ask: Ask, portal: SimulatedPortal) -> None:
    add_task(portal, "x", responsible=1, deadline=NOON)
    (task,) = ok(ask("tasks.task.list", form="select[]="))["tasks"]
    assert {"id", "title", "creator", "responsible"} <= set(task)


@pytest.mark.parametrize(
    ("criteria", "expected"),
    [
        ({"%TITLE": "ПОЗВ"}, {"a"}),
        ({"!%TITLE": "позв"}, {"b", "c"}),
        ({"?TITLE": "звон"}, {"a"}),
        ({"><DEADLINE": ["2026-11-23T00:00:00Z", "2026-11-24T00:00:00Z"]}, {"a"}),
        ({"!><DEADLINE": ["2026-11-23T00:00:00Z", "2026-11-24T00:00:00Z"]}, {"b", "c"}),
        ({"DEADLINE": ""}, {"c"}),
        ({"!DEADLINE": ""}, {"a", "b"}),
        ({"!TAG": "autodial"}, {"c"}),
        ({"UF_CRM_TASK": "C_1"}, {"a"}),
        ({"!UF_CRM_TASK": "C_1"}, {"b", "c"}),
        ({"AUDITOR": 502}, {"b"}),
        ({"MEMBER": 502}, {"b", "c"}),
        ({"DOER": 502}, {"c"}),
        ({"OVERDUED": "Y"}, {"b"}),
        ({"WO_DEADLINE": "Y"}, {"c"}),
        ({"ROLE": "O"}, {"a", "b", "c"}),
        ({"::LOGIC": "OR", "%TITLE": "позв", "RESPONSIBLE_ID": 502}, {"a", "c"}),
        ({"RESPONSIBLE_ID": 501, "::SUBFILTER-1": {"::LOGIC": "OR", "AUDITOR": 502}}, {"b"}),
        ({"RESPONSIBEL_ID": 999}, {"a", "b", "c"}),
    ],
)
def test_task_filters(ask: Ask, portal: SimulatedPortal, criteria: Any, expected: set[str]) -> None:
    numbers = {
        "a": add_task(portal, "Позвонить", "C_1", responsible=501, deadline=NOON),
        "b": add_task(portal, "b", "C_2", responsible=501, deadline=NOON - timedelta(days=2)),
        "c": add_task(portal, "c", responsible=502, deadline=NOON),
    }
    portal.tasks[numbers["a"]]["DEADLINE"] = NOON + timedelta(hours=1)
    portal.tasks[numbers["b"]]["AUDITORS"] = [502]
    portal.tasks[numbers["c"]] |= {"DEADLINE": None, "TAGS": []}
    ids = {int(task["id"]) for task in ok(ask("tasks.task.list", {"filter": criteria}))["tasks"]}
    assert {numbers[name] for name in expected} == ids


@pytest.mark.parametrize(
    ("criteria", "expected"),
    [
        ({">=LAST_ACTIVITY_DATE": "2026-11-23T00:00:00Z"}, ["501"]),
        ({"%NAME": "анн"}, ["502"]),
        ({"<=ID": 501}, ["1", "501"]),
        ({"!ID": 1}, ["501", "502"]),
        ({"UF_PHONE_INNER": "102"}, ["502"]),
        ({"@ID": [501, 502]}, ["501", "502"]),
    ],
)
def test_user_filters(
    ask: Ask, portal: SimulatedPortal, criteria: Any, expected: list[str]
) -> None:
    add_operator(portal, 501, "101", name="Борис Лебедев", seen=NOON)
    add_operator(portal, 502, "102", name="Анна Ковалёва")
    assert expected == [row["ID"] for row in ok(ask("user.get", {"FILTER": criteria}))]


def test_users_are_sorted_and_found_by_name(ask: Ask, portal: SimulatedPortal) -> None:
    add_operator(portal, 501, "101", name="Борис Лебедев")
    add_operator(portal, 502, "102", name="Анна Ковалёва")
    back = ok(ask("user.get", {"sort": "ID", "order": "DESC"}))
    assert ["502", "501", "1"] == [row["ID"] for row in back]
    assert ["502"] == [row["ID"] for row in ok(ask("user.search", {"FIND": "ковал"}))]
    assert "1" == ok(ask("user.current"))["ID"]


def test_an_outsider_sees_and_changes_nothing(ask: Ask, portal: SimulatedPortal) -> None:
    """A user who is no administrator has access only to tasks he takes part in."""
    foreign = add_task(portal, "x", responsible=501, deadline=NOON)
    mine = add_task(portal, "y", responsible=1, deadline=NOON)
    portal.tasks[foreign]["CREATED_BY"] = portal.tasks[mine]["CREATED_BY"] = 503
    add_operator(portal, 502, "102")
    portal.administrator = False

    assert [str(mine)] == [task["id"] for task in ok(ask("tasks.task.list"))["tasks"]]
    assert [] == ok(ask("tasks.task.get", {"taskId": foreign}))
    for method in ("start", "complete", "delete"):
        assert "0" == ask(f"tasks.task.{method}", {"taskId": foreign})[1]["error"]
    portal.groups[7] = [502, 1]
    portal.tasks[foreign]["GROUP_ID"] = 7
    assert ok(ask("tasks.task.get", {"taskId": foreign})), "a task of the user's group"
    for method in ("start", "delete"):
        assert "0" == ask(f"tasks.task.{method}", {"taskId": foreign})[1]["error"]
    assert "0" == ask("tasks.task.delegate", {"taskId": foreign, "userId": 502})[1]["error"]
    assert ok(ask("tasks.task.start", {"taskId": mine}))


def test_what_would_change_nothing_needs_no_right_and_leaves_no_trace(
    ask: Ask, portal: SimulatedPortal
) -> None:
    number = add_task(portal, "x", responsible=1, deadline=NOON)
    portal.tasks[number]["CREATED_BY"] = 503
    portal.administrator = False
    before = len(portal.history)
    same = {"DEADLINE": NOON.isoformat()}
    ok(ask("tasks.task.update", {"taskId": number, "fields": same}))
    later = {"DEADLINE": (NOON + timedelta(hours=1)).isoformat()}
    assert 400 == ask("tasks.task.update", {"taskId": number, "fields": later})[0]
    assert before == len(portal.history)


def test_the_same_responsible_alone_is_a_change_until_he_observes(
    ask: Ask, portal: SimulatedPortal
) -> None:
    number = add_task(portal, "x", responsible=1, deadline=NOON)
    for status in (2, 3):
        portal.tasks[number]["STATUS"] = 3
        ok(ask("tasks.task.update", {"taskId": number, "fields": {"RESPONSIBLE_ID": 1}}))
        assert (status, [1]) == (portal.tasks[number]["STATUS"], portal.tasks[number]["AUDITORS"])


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("2026-11-30T15:00:59+03:00", "2026-11-30T12:00"),
        ("2026-11-30T15:00:00", "2026-11-30T15:00"),  # the server's zone, here UTC
        ("30.11.2026 15:00:00", "2026-11-30T15:00"),
        ("11/30/2026 3:00 PM", "2026-11-30T15:00"),
        ("+3 hours", "2026-11-23T12:00"),
        ("tomorrow", "2026-11-24T00:00"),
        ("@1790000000", "2026-09-21T14:13"),
    ],
)
def test_dates_as_strtotime_reads_them(
    ask: Ask, portal: SimulatedPortal, now: Now, typed: str, stored: str
) -> None:
    portal.server_zone = UTC
    now.moment = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
    number = add_task(portal, "x", responsible=1, deadline=NOON)
    ok(ask("tasks.task.update", {"taskId": number, "fields": {"DEADLINE": typed}}))
    deadline = portal.tasks[number]["DEADLINE"]
    assert stored == deadline.astimezone(UTC).strftime("%Y-%m-%dT%H:%M")


def test_dates_are_shown_with_the_offset_of_today(ask: Ask, portal: SimulatedPortal) -> None:
    """In November a date in July has the winter offset: right wall clock, wrong instant."""
    portal.zone = ZoneInfo("Europe/Berlin")
    number = add_task(portal, "x", responsible=1, deadline=datetime(2027, 7, 1, 10, tzinfo=UTC))
    shown = ok(ask("tasks.task.get", {"taskId": number}))["task"]["deadline"]
    assert "2027-07-01T12:00:00+01:00" == shown


@pytest.mark.parametrize(
    "fields",
    [{"STATUS": 99}, {"PARENT_ID": 99999}, {"TITLE": ""}, {"RESPONSIBLE_ID": 9999}],
)
def test_an_impossible_value_is_refused_and_nothing_stored(
    ask: Ask, portal: SimulatedPortal, fields: Any
) -> None:
    number = add_task(portal, "x", responsible=1, deadline=NOON)
    before = dict(portal.tasks[number])
    status, reply = ask("tasks.task.update", {"taskId": number, "fields": fields})
    assert (400, "ERROR_CORE") == (status, reply["error"])
    assert before == portal.tasks[number]


def test_history_is_filtered_and_ordered(ask: Ask, portal: SimulatedPortal) -> None:
    number = add_task(portal, "x", responsible=1, deadline=NOON)
    ok(ask("tasks.task.update", {"taskId": number, "fields": {"TITLE": "y"}}))
    ok(ask("task.commentitem.add", {"TASKID": number, "FIELDS": {"POST_MESSAGE": "!"}}))
    params = {"taskId": number, "order": {"ID": "desc"}}
    rows = ok(ask("tasks.task.history.list", params))["list"]
    assert ["COMMENT", "TITLE", "NEW"] == [row["field"] for row in rows]
    nobody = {"taskId": number, "filter": {"USER_ID": 99}}
    assert [] == ok(ask("tasks.task.history.list", nobody))["list"]


def call(**changes: Any) -> dict[str, Any]:
    params = {
        "USER_ID": 501, "PHONE_NUMBER": "+442079460000", "TYPE": 2, "LINE_NUMBER": "autodial",
        "EXTERNAL_CALL_ID": "t1-1", "SHOW": 0,
    } | changes  # fmt: skip
    return {key: value for key, value in params.items() if value is not None}


def test_register_compares_what_is_given(ask: Ask, portal: SimulatedPortal) -> None:
    add_operator(portal, 501, "101")
    first = ok(ask("telephony.externalCall.register", call()))["CALL_ID"]
    for less in ({"LINE_NUMBER": None}, {"EXTERNAL_CALL_ID": None}):
        assert first == ok(ask("telephony.externalCall.register", call(**less)))["CALL_ID"]
    for other in ({"EXTERNAL_CALL_ID": "t1-2"}, {"PHONE_NUMBER": "+442079460001"}):
        assert first != ok(ask("telephony.externalCall.register", call(**other)))["CALL_ID"]
    status, reply = ask("telephony.externalCall.register", call(CALL_START_DATE="garbage"))
    assert (400, "") == (status, reply["error"])


def test_register_makes_a_lead_if_wished_and_none_for_a_colleague(
    ask: Ask, portal: SimulatedPortal
) -> None:
    add_operator(portal, 501, "101")
    reply = ok(ask("telephony.externalCall.register", call(CRM_CREATE=1)))
    assert ("LEAD", reply["CRM_CREATED_LEAD"]) == (reply["CRM_ENTITY_TYPE"], reply["CRM_ENTITY_ID"])
    inside = call(PHONE_NUMBER="101", CRM_CREATE=1, EXTERNAL_CALL_ID="t1-2")
    assert "" == ok(ask("telephony.externalCall.register", inside))["CRM_ENTITY_TYPE"]


def test_statistics_are_filtered_sorted_and_paged(ask: Ask, portal: SimulatedPortal) -> None:
    add_operator(portal, 501, "101")
    for n in range(60):
        one = ok(ask("telephony.externalCall.register", call(EXTERNAL_CALL_ID=f"t{n}-1")))
        finish = {"CALL_ID": one["CALL_ID"], "USER_ID": 501, "DURATION": n, "VOTE": 5, "COST": 1.5}
        ok(ask("telephony.externalCall.finish", finish))
    status, reply = ask("voximplant.statistic.get", {"FILTER": {">CALL_DURATION": 9}})
    assert (200, 50, 50) == (status, reply["total"], len(reply["result"]))
    _, reply = ask("voximplant.statistic.get", {"SORT": "ID", "ORDER": "DESC", "start": 50})
    assert (10, "9") == (len(reply["result"]), reply["result"][0]["CALL_DURATION"])
    (row,) = ok(ask("voximplant.statistic.get", {"FILTER": {"EXTERNAL_CALL_ID": "t7-1"}}))
    assert ("", "5", "1.5000") == (row["CRM_ACTIVITY_ID"], row["CALL_VOTE"], row["COST"])


def test_departments_are_paged(ask: Ask, portal: SimulatedPortal) -> None:
    for number in range(1, 94):
        portal.departments[number] = {"ID": number, "NAME": f"Отдел {number}", "PARENT": 1}
    first, second = (ask("department.get", {"start": start})[1] for start in (0, 50))
    assert (50, 43, 50) == (len(first["result"]), len(second["result"]), first["next"])


def test_a_batch_with_numbers_for_keys_answers_with_a_list(ask: Ask) -> None:
    reply = ok(ask("batch", {"cmd": {"0": "server.time", "1": "scope"}}))
    assert 2 == len(reply["result"])
    assert isinstance(reply["result"], list)


def test_applications_only_also_inside_a_batch(ask: Ask) -> None:
    reply = ok(ask("batch", {"cmd": {"a": "event.get", "b": "voximplant.user.get"}}))
    errors = [reply["result_error"][key]["error"] for key in ("a", "b")]
    assert ["WRONG_AUTH_TYPE", "ACCESS_DENIED"] == errors


def test_a_json_list_is_positional_and_start_is_no_argument(
    ask: Ask, portal: SimulatedPortal
) -> None:
    number = add_task(portal, "x", responsible=1, deadline=NOON)
    assert ok(ask("task.commentitem.add", [number, {"POST_MESSAGE": "раз"}]))
    assert ok(ask("task.commentitem.add", {"start": 0, "T": number, "F": {"POST_MESSAGE": "два"}}))


def test_half_a_character_is_no_json(ask: Ask, portal: SimulatedPortal) -> None:
    fields = '{"fields":{"TITLE":"\\ud800","RESPONSIBLE_ID":1}}'
    answer = portal.handle(f"{ROOT}/tasks.task.add", "", "application/json", fields.encode())
    assert 400 == answer.status
    assert 200 == ask("tasks.task.list")[0]


def test_a_login_serves_in_the_address_and_a_wrong_secret_is_told_as_such(
    portal: SimulatedPortal,
) -> None:
    def status(path: str) -> int:
        return portal.handle(path, "", "application/json", b"{}").status

    assert 200 == status("/rest/autodial/simulated0secret/profile")
    assert 401 == status("/rest/1/bad-secret/profile")
    assert 404 == status("/rest/1/bad-secret/no.such.method")


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("a[1]=x&a[]=y", {"a": {"1": "x", "2": "y"}}),
        ("a[5]=x&a[]=y", {"a": {"5": "x", "6": "y"}}),
        ("a[]=x&a[]=y", {"a": ["x", "y"]}),
        ("a[k]=x&a[]=y", {"a": {"k": "x", "0": "y"}}),
    ],
)
def test_brackets_append_as_in_php(text: str, read: Any) -> None:
    assert read == php.parse_query(text)


def test_contacts_are_found_by_phone_and_sorted(ask: Ask, portal: SimulatedPortal) -> None:
    add_contact(portal, "Борис Б", ("WORK", "+442079460000"))
    add_contact(portal, "Анна А")
    wished = {"order": {"NAME": "ASC"}, "select": ["NAME", "SECOND_NAME"]}
    rows = ok(ask("crm.contact.list", wished))
    assert ["Анна", "Борис"] == [row["NAME"] for row in rows]
    assert all("SECOND_NAME" in row for row in rows)
    (row,) = ok(ask("crm.contact.list", {"filter": {"HAS_PHONE": "Y"}}))
    assert "Борис" == row["NAME"]
