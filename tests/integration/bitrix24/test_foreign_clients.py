"""
Third-party programs work against the simulated portal: two clients from the package index.

Only the portal is tested here, not the clients' own faults.
"""

import asyncio
import ssl
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme
from b24pysdk import BitrixWebhook
from b24pysdk.errors import BitrixAPIBadRequest, BitrixAPIUnauthorized
from fast_bitrix24 import BitrixAsync

from bitrix24.simulator import SimulatedPortal, serve
from bitrix24.simulator.seed import populate

TASKS = {"filter": {"TAG": "autodial", "REAL_STATUS": [2, 3]}, "select": ["ID", "TITLE", "STATUS"]}


@pytest.fixture
def portal() -> SimulatedPortal:
    simulated = SimulatedPortal()
    populate(simulated, 1, tasks=130, operators=5, now=datetime.now(UTC))
    return simulated


@pytest.fixture
def official(
    portal: SimulatedPortal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[BitrixWebhook]:
    """The vendor's SDK, which supports HTTPS only."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    with serve(portal, tls=context) as webhook:
        host = webhook.split("/")[2]
        yield BitrixWebhook(domain=host, webhook_token=f"1/{portal.secret}")


def test_the_official_sdk_lists_130_tasks(official: BitrixWebhook, portal: SimulatedPortal) -> None:
    """Both ways of paging: by offset, and by ids above the last one, in batches."""
    for way in (official.call_list, official.call_list_fast):
        rows = list(way("tasks.task.list", TASKS)["result"])

        assert sorted(portal.tasks) == sorted(int(row["id"]) for row in rows)


def test_the_official_sdk_updates_a_task_and_recognises_errors(
    official: BitrixWebhook, portal: SimulatedPortal
) -> None:
    number = next(iter(portal.tasks))
    fields = {"DEADLINE": "2026-12-01T10:00:00+03:00"}
    reply = official.call_method("tasks.task.update", {"taskId": number, "fields": fields})
    assert fields["DEADLINE"] == reply["result"]["task"]["deadline"]

    with pytest.raises(BitrixAPIBadRequest, match="Задача не найдена"):
        official.call_method("tasks.task.update", {"taskId": 1, "fields": fields})
    portal.secret = "another"
    with pytest.raises(BitrixAPIUnauthorized):
        official.call_method("profile")


def test_the_official_sdk_batches(official: BitrixWebhook, portal: SimulatedPortal) -> None:
    number = next(iter(portal.tasks))
    reply = official.call_batch(
        {
            "task": ("tasks.task.get", {"taskId": number}),
            "who": ("user.get", {"ID": "$result[task][task][responsibleId]"}),
            "wrong": ("no.such.method", {}),
        }
    )["result"]

    assert reply["result"]["task"]["task"]["responsibleId"] == reply["result"]["who"][0]["ID"]
    assert "ERROR_METHOD_NOT_FOUND" == reply["result_error"]["wrong"]["error"]


def test_the_official_sdk_registers_and_finishes_a_call(
    official: BitrixWebhook, portal: SimulatedPortal
) -> None:
    call = official.call_method(
        "telephony.externalCall.register",
        {
            "USER_ID": 500, "PHONE_NUMBER": "+442079460001", "TYPE": 2,
            "LINE_NUMBER": "autodial", "EXTERNAL_CALL_ID": "t1-1",
        },
    )["result"]["CALL_ID"]  # fmt: skip
    end = {"CALL_ID": call, "USER_ID": 500, "DURATION": 60, "STATUS_CODE": "200"}
    official.call_method("telephony.externalCall.finish", end)

    assert [("t1-1", 60)] == [
        (row["EXTERNAL_CALL_ID"], row["CALL_DURATION"]) for row in portal.statistics
    ]
    with pytest.raises(BitrixAPIBadRequest, match="Call is not found"):
        official.call_method("telephony.externalCall.finish", end)


@pytest.fixture
def fast(portal: SimulatedPortal) -> Iterator[Callable[..., Any]]:
    """Run a coroutine function with a client of fast_bitrix24."""
    with serve(portal) as webhook:

        def run(work: Callable[[BitrixAsync], Any]) -> Any:
            async def inside() -> Any:
                async with aiohttp.ClientSession(raise_for_status=True) as session:
                    return await work(BitrixAsync(webhook, verbose=False, client=session))

            return asyncio.run(inside())

        yield run


def test_fast_bitrix24_lists_130_tasks(fast: Callable[..., Any], portal: SimulatedPortal) -> None:
    rows = fast(lambda client: client.get_all("tasks.task.list", TASKS))

    assert sorted(portal.tasks) == sorted(int(row["id"]) for row in rows)


def test_fast_bitrix24_gets_contacts_and_updates_tasks_in_batches(
    fast: Callable[..., Any], portal: SimulatedPortal
) -> None:
    ids = list(portal.contacts)[:70]
    contacts = fast(lambda client: client.get_by_ID("crm.contact.get", ids, ID_field_name="id"))
    assert set(ids) == {int(number) for number in contacts}

    changes = [
        {"taskId": number, "fields": {"DEADLINE": "2026-12-01T10:00:00+03:00"}}
        for number in list(portal.tasks)[:60]
    ]
    fast(lambda client: client.call("tasks.task.update", changes))
    moved = datetime(2026, 12, 1, 7, tzinfo=UTC)
    assert 60 == sum(row["DEADLINE"] == moved for row in portal.tasks.values())


def test_fast_bitrix24_registers_and_finishes_a_call(
    fast: Callable[..., Any], portal: SimulatedPortal
) -> None:
    async def work(client: BitrixAsync) -> Any:
        call = await client.call(
            "telephony.externalCall.register",
            {"USER_ID": 500, "PHONE_NUMBER": "+442079460001", "TYPE": 1, "SHOW": 0},
            raw=True,
        )
        end = {"CALL_ID": call["result"]["CALL_ID"], "USER_ID": 500, "DURATION": 9}
        return await client.call("telephony.externalCall.finish", end, raw=True)

    assert 9 == fast(work)["result"]["CALL_DURATION"]
    assert ["200"] == [row["CALL_FAILED_CODE"] for row in portal.statistics]


def test_fast_bitrix24_sees_an_error_though_not_which(
    fast: Callable[..., Any], portal: SimulatedPortal
) -> None:
    with pytest.raises(aiohttp.ClientResponseError, match="400"):
        fast(
            lambda c: c.call("tasks.task.update", {"taskId": 1, "fields": {"TITLE": "x"}}, raw=True)
        )
