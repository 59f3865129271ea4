"""Malformed answers: one damaged row stops nothing else, and no unexpected exception is raised."""

import copy
import json
from contextlib import suppress
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from bitrix24 import (
    Answer,
    AnswerStrange,
    Link,
    Portal,
    PortalError,
    PortalRefused,
    Request,
    StaffQuery,
    Webhook,
)
from bitrix24.wire import Reply, decode, error_of, parsed
from tests.unit.bitrix24.test_samples import SHAPES, Sample, answered, load

DEEP = b'{"result": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
#: Values of a wrong type or range.
JUNK: tuple[Any, ...] = (
    None, True, False, 0, -1, 10**30, 1e308, "", "x", "\ud800", "a\x00b", "9" * 5000, [], {}, [[]],
    [None], {"a": {}}, {"error": 1}, {"error": {"code": []}}, "\u0661", [1, "2", {}],
)  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in an answer."""
    paths = [path]
    inner = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, item in inner:
        paths += places(item, (*path, key))
    return paths


def put(value: Any, path: tuple[Any, ...], junk: Any) -> Any:
    """A copy with another value at this place."""
    if not path:
        return junk
    changed = copy.deepcopy(value)
    inside = changed
    for key in path[:-1]:
        inside = inside[key]
    inside[path[-1]] = junk
    return changed


@settings(max_examples=600, deadline=None)
@given(st.sampled_from(SHAPES), st.data())
def test_junk_anywhere_is_an_error_of_the_portal_or_harms_nothing(
    sample: Sample, data: st.DataObject
) -> None:
    payload = load(sample.name)
    for _ in range(data.draw(st.integers(1, 3))):
        payload = put(
            payload, data.draw(st.sampled_from(places(payload))), data.draw(st.sampled_from(JUNK))
        )
    with suppress(PortalError):
        answered(sample, payload)


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
                    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))  # fmt: skip
def test_any_json_as_an_error_is_an_error(payload: Any) -> None:
    assert isinstance(error_of("x", payload), PortalError)


@pytest.mark.parametrize(
    "body",
    [DEEP, b'{"result": ' + b"9" * 5000 + b"}",
     b'{"result": NaN, "total": 1e999, "time": {"start": 1e999}}',
     b'{"result": "\\ud800"}', b'{"result": "\xed\xa0\x80"}', b'{"result": "\\u0000"}',
     b"\xff\xfe", b"",
     b'{"error": []}', b"[]", b"null", b'{"result": 1, "time": 5, "total": "x"}'],
)  # fmt: skip
def test_no_body_is_a_fault_of_ours(body: bytes) -> None:
    try:
        reply = decode(Answer(200, body), "x")
    except PortalError:
        return
    json.dumps(reply.result).encode()  # can be stored and sent
    assert "\x00" not in str(reply.result)
    str(reply.result).encode()  # no half of a surrogate pair


def test_a_whole_surrogate_pair_is_a_character() -> None:
    assert {"a\U0001f600": ["\U0001f600"]} == parsed(b'{"a\\ud83d\\ude00": ["\\ud83d\\ude00"]}')
    assert {"\ufffd": ["\ufffdx\ufffd", 5]} == parsed(b'{"\\ud83d": ["\\ude00x\\u0000", 5]}')


def staff_of(rows: list[Any]) -> list[int]:
    sample = Sample("x", lambda p: p.staff(StaffQuery(departments=(5,))))
    return [person.id for person in answered(sample, {"result": rows})]


USER = {"ID": "501", "ACTIVE": True, "NAME": "Анна"}


@pytest.mark.parametrize(
    "damaged",
    [
        {},
        {"ID": 10**30, "ACTIVE": True},
        {**USER, "ID": "x"},
        {**USER, "LAST_LOGIN": "yesterday"},
        5,
        None,
        [],
    ],
)
def test_one_damaged_member_of_the_staff_does_not_stop_the_others(damaged: Any) -> None:
    assert [501] == staff_of([damaged, USER])


def test_a_staff_of_which_nobody_can_be_read_is_an_error() -> None:
    """The format is unknown; an empty list would log out all operators."""
    with pytest.raises(AnswerStrange):
        staff_of([{"ID": "x"}, {"ID": "y"}])


def test_a_full_page_is_one_whatever_is_damaged_in_it() -> None:
    """Otherwise the pages behind it would not be read, and those users would leave the staff."""
    first = [None, 5, *({**USER, "ID": number} for number in range(501, 549))]
    pages = {0: first, 548: [{**USER, "ID": 600}]}

    async def send(request: Request) -> Answer:
        assert request.params is not None
        rows = pages[request.params["FILTER"][">ID"]]
        return Answer(200, json.dumps({"result": rows}).encode())

    portal = Portal.direct("http://127.0.0.1/rest/1/s", send)
    with pytest.raises(StopIteration) as ended:
        portal.staff(StaffQuery(departments=(5,))).send(None)
    assert [*range(501, 549), 600] == [person.id for person in ended.value.value]


@pytest.mark.parametrize(
    "rows", [[{"ID": "x"}], [5], 5, [{}], "x", [{"ID": 10**30, "PHONE": 5}]], ids=repr
)
def test_a_damaged_client_hides_nobody_else(rows: Any) -> None:
    """The damaged client is unknown, so its task keeps the numbers it had."""
    payload = {
        "result": {
            "result": {"C_0": [{"ID": "7", "NAME": "Анна"}], "CO_0": rows},
            "result_error": [],
        }
    }
    clients = answered(Sample("x", lambda p: p.clients(["C_7", "CO_8"])), payload)

    assert None is clients["CO_8"]
    assert ["Анна"] == [client.name for client in clients["C_7"]]


def test_a_portal_that_gives_one_page_for_ever_is_an_error() -> None:
    page = [{**USER, "ID": number} for number in range(501, 551)]
    with pytest.raises(AnswerStrange, match="the same page again"):
        staff_of(page)


@pytest.mark.parametrize("junk", [5, "x", {"tasks": 5}, {"tasks": [{"id": 10**30}]}])
def test_a_task_whose_number_cannot_be_read_is_counted(junk: Any) -> None:
    row = load("tasks.task.list")["result"]["tasks"][0]
    sample = SHAPES[0]
    payload = {"result": {"tasks": [row, junk, {**row, "id": "8018", "status": []}]}, "total": 3}
    page = answered(sample, payload)

    assert ([int(row["id"])], [8018], 1) == (
        [t.id for t in page.tasks],
        list(page.unreadable),
        page.without_id,
    )


@pytest.mark.parametrize("name", ["responsibleId", "id", "status"])
def test_a_number_beyond_all_numbers_damages_its_task_only(name: str) -> None:
    row = load("tasks.task.list")["result"]["tasks"][0]
    page = answered(SHAPES[0], {"result": {"tasks": [{**row, name: 10**30}, {**row, "id": "9"}]}})

    assert [9] == [task.id for task in page.tasks]
    assert 1 == len(page.unreadable) + page.without_id


def test_a_batch_error_without_the_word_error() -> None:
    assert isinstance(error_of("x", {"error_description": "no"}), PortalRefused)
    assert isinstance(error_of("x", None), PortalRefused)


def test_the_moment_of_an_answer_is_a_moment() -> None:
    reply = decode(Answer(200, b'{"result": 1, "time": {"start": 1790000000.5}}'), "x")

    assert isinstance(reply.at, datetime)
    assert decode(Answer(200, b'{"result": 1, "time": {"start": -1e300}}'), "x").at is None


@pytest.mark.parametrize("start", [-62135596800, 253402300000, 1e300, -1e300, "x", [], True])
def test_a_moment_beyond_all_clocks_is_none(start: Any) -> None:
    """Polls subtract from the moment, and calls wait until it."""
    body = json.dumps({"result": 1, "time": {"start": start, "operating_reset_at": start}})
    reply = decode(Answer(200, body.encode()), "x")

    assert (None, None) == (reply.at, reply.resets_at)


def test_a_method_is_left_alone_for_an_hour_at_most() -> None:
    clock, answers = Clock(), [b'{"error": "OPERATION_TIME_LIMIT"}', b'{"result": 1}']
    clock.advance(1_790_000_000)
    resets = b'{"result": 1, "time": {"operating_reset_at": 7000000000}}'

    async def send(request: Request) -> Answer:
        return Answer(200, [resets, *answers * 9][len(asked)])

    asked: list[int] = []
    link = Link(Webhook("http://127.0.0.1/rest/1/s"), send, clock)

    def call() -> None:
        Deferred.fromCoroutine(link.call("tasks.task.complete", {})).addBoth(lambda _: None)
        asked.append(1)

    call()
    call()
    clock.advance(3601)
    done: list[Any] = []
    Deferred.fromCoroutine(link.call("tasks.task.complete", {})).addBoth(done.append)

    assert isinstance(done[0], Reply), done


def test_more_values_than_any_answer_has_are_not_read() -> None:
    """Ten million bytes of brackets would become a gigabyte of lists."""
    with pytest.raises(ValueError, match="more values"):
        parsed(b'{"result":[' + b"[]," * 1_500_000 + b"[]]}")


def test_portal_direct_is_what_these_tests_ask() -> None:
    """A guard: the answers in these tests pass through the client."""
    asked: list[str] = []

    async def send(request: Request) -> Answer:
        asked.append(request.method)
        return Answer(200, b'{"result": []}')

    portal = Portal.direct("http://127.0.0.1/rest/1/s", send)
    with pytest.raises(StopIteration):
        portal.staff(StaffQuery(departments=(5,))).send(None)
    assert ["user.get"] == asked
