"""
Answers of the portal as its documentation and people show them, parsed by the client.

An unknown field changes nothing; a missing field that is needed is an error that names the
method and the field.
"""

import copy
import json
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from bitrix24 import (
    Answer,
    AnswerStrange,
    Portal,
    PortalRefused,
    PortalTask,
    Request,
    StaffQuery,
    TaskQuery,
)

SAMPLES = Path(__file__).parents[2] / "samples/bitrix24"
CALL = "externalCall.716f1cb73def9700a23842adf9c4c568.1773130779"


@frozen
class Sample:
    """A recorded answer, the request it belongs to, and the fields that are needed."""

    name: str
    ask: Callable[[Portal], Awaitable[Any]]
    method: str = ""
    needed: tuple[str, ...] = ()


async def first_page(portal: Portal) -> Any:
    return await anext(portal.open_tasks(TaskQuery(tag="autodial"), expected=50))


async def register(portal: Portal) -> Any:
    return await portal.register_call(
        external_id="t8017-1", user=547, phone="+79990000000", started=datetime.now(UTC),
        line="autodial", incoming=True, show=True, client=None,
    )  # fmt: skip


async def moved(portal: Portal) -> Any:
    task = PortalTask(
        id=8017, title="x", status=2, responsible=547, deadline=None, clients=()
    )  # fmt: skip
    return await portal.move_deadline(task, datetime(2027, 4, 20, 8, tzinfo=UTC))


SHAPES = (
    Sample("tasks.task.list", first_page, "tasks.task.list", ("tasks",)),
    Sample(
        "tasks.task.get", lambda p: p.task(8017), "tasks.task.get",
        ("id", "title", "status", "responsibleId", "ufCrmTask"),
    ),
    Sample("tasks.task.get-missing", lambda p: p.task(8017)),
    Sample(
        "batch-clients", lambda p: p.clients(["C_627", "CO_591", "D_102", "T80_6", "L_9"]),
        "", ("result_error",),  # what cannot be read of a kind is "not seen": test_answers.py
    ),
    Sample("user.get", lambda p: p.staff(StaffQuery(departments=(5,))), "user.get",
           ("ID", "ACTIVE")),
    Sample("batch-presence", lambda p: p.presence([547], working_day=True), "",
           ("id", "STATUS")),
    Sample("batch-failed", lambda p: p.presence([547], working_day=True)),
    Sample("main.eventlog.tail", lambda p: p.logins_since(0), "main.eventlog.tail",
           ("items", "id", "auditTypeId", "itemId")),
    Sample("telephony.externalCall.register", register, "telephony.externalCall.register",
           ("CALL_ID",)),
    Sample("telephony.externalCall.show", lambda p: p.show_call(CALL, [547])),
    Sample("telephony.externalCall.finish",
           lambda p: p.finish_call(CALL, user=547, seconds=95, code="200")),
    Sample("voximplant.statistic.get", lambda p: p.call_record(CALL), "voximplant.statistic.get",
           ("CALL_DURATION", "CALL_FAILED_CODE")),
    Sample("batch-health", lambda p: p.health(), "", ("ID",)),
    # As boxes of 2019, and of 2026, answer.
    Sample("user.get-2019", lambda p: p.staff(StaffQuery(departments=(5,))), "user.get",
           ("ID", "ACTIVE")),
    Sample("tasks.task.list-2019", first_page, "tasks.task.list", ("tasks",)),
    Sample("batch-comments-in-chat", lambda p: p.find_comment(8017, "[t8017-1]"), "",
           ("messages",)),
    Sample("tasks.task.update", moved),
    Sample("voximplant.statistic.get-box", lambda p: p.talks_since(1), "voximplant.statistic.get",
           ("ID",)),
    Sample("department.get", lambda p: p.departments(), "department.get", ("ID",)),
)  # fmt: skip
NAMED = {sample.name: sample for sample in SHAPES}
by_name = pytest.mark.parametrize("sample", SHAPES, ids=lambda sample: sample.name)


def load(name: str) -> Any:
    return json.loads((SAMPLES / f"{name}.json").read_text(encoding="utf-8"))


def answered(sample: Sample, payload: Any) -> Any:
    """The client's result for an answer; its exception is raised."""

    async def send(_: Request) -> Answer:
        return Answer(200, json.dumps(payload).encode())

    async def ask() -> Any:
        return await sample.ask(Portal.direct("http://127.0.0.1/rest/1/s", send))

    results: list[Any] = []
    Deferred.fromCoroutine(ask()).addBoth(results.append)
    (result,) = results
    if isinstance(result, Failure):
        result.raiseException()
    return result


def objects(value: Any) -> Iterator[dict[str, Any]]:
    """Every object inside an answer."""
    if isinstance(value, dict):
        yield value
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for item in inner:
        yield from objects(item)


@by_name
def test_it_is_parsed_and_unknown_fields_change_nothing(sample: Sample) -> None:
    payload = load(sample.name)
    expected = answered(sample, payload)
    for row in list(objects(payload)):
        row["somethingNew"] = {"of": ["a", "later", "version"]}

    assert expected == answered(sample, payload)


@pytest.mark.parametrize(
    ("sample", "field"),
    [(sample, field) for sample in SHAPES for field in sample.needed],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_a_missing_field_is_named(sample: Sample, field: str) -> None:
    payload = copy.deepcopy(load(sample.name))
    for row in objects(payload["result"]):
        row.pop(field, None)
    with pytest.raises(AnswerStrange) as caught:
        answered(sample, payload)

    assert field == caught.value.field
    assert f"{sample.method or caught.value.method}: {field}: missing" == str(caught.value)


def test_the_values_are_what_the_sample_says() -> None:
    tasks = answered(SHAPES[0], load("tasks.task.list")).tasks
    clients = answered(SHAPES[3], load("batch-clients"))
    (person,) = answered(SHAPES[4], load("user.get"))

    assert [("Позвонить", ("C_627", "CO_591")), ("Позвонить", ())] == [
        (task.title, task.clients) for task in tasks
    ]
    assert [datetime(2026, 5, 20, 7, tzinfo=UTC), None] == [task.deadline for task in tasks]
    assert ["Иван Петров", "Без Телефона", "ООО"] == [c.name for c in clients["D_102"]]
    assert ["ООО"] == [c.name for c in clients["T80_6"]]
    assert ["Иван Петров"] == [c.name for c in clients["L_9"]], "a lead without phones"
    assert ("101", True, True) == (person.extension, person.active, person.online)


def test_the_values_of_a_box_of_2019() -> None:
    """No LAST_LOGIN, no IS_ONLINE, no tags; deadlines by the day; links as a map, or false."""
    (person,) = answered(NAMED["user.get-2019"], load("user.get-2019"))
    tasks = answered(NAMED["tasks.task.list-2019"], load("tasks.task.list-2019")).tasks
    assert (None, None, "101") == (person.online, person.last_login, person.extension)
    assert [(), ("C_627", "CO_591")] == [task.clients for task in tasks]
    assert ["2019-09-17T00:00", ""] == [task.until.wall for task in tasks]
    assert [None, None] == [task.tags for task in tasks], "not told: not the same as none"


def test_the_values_of_a_box_of_2026() -> None:
    chat = load("batch-comments-in-chat")
    assert 90210 == answered(NAMED["batch-comments-in-chat"], chat)
    deadline = answered(NAMED["tasks.task.update"], load("tasks.task.update"))
    assert "2027-04-20T10:00" == deadline.wall, "with the offset of October"
    ((talk,), last) = answered(NAMED["voximplant.statistic.get-box"],
                               load("voximplant.statistic.get-box"))  # fmt: skip
    assert ("", 7, ("CONTACT", 627)) == (talk.external, last, talk.entity)
    departments = answered(NAMED["department.get"], load("department.get"))
    assert [(1, None), (5, 1)] == [(one.id, one.parent) for one in departments]


def test_an_empty_forum_beside_a_chat_that_may_not_be_read_says_nothing() -> None:
    with pytest.raises(PortalRefused, match="scope im"):
        answered(NAMED["batch-comments-in-chat"], load("batch-comments-refused"))


def test_one_damaged_task_does_not_hide_the_others() -> None:
    payload = load("tasks.task.list")
    del payload["result"]["tasks"][0]["responsibleId"]
    page = answered(SHAPES[0], payload)

    assert [8018] == [task.id for task in page.tasks]
    assert "tasks.task.list: responsibleId: missing" == str(page.unreadable[8017])
