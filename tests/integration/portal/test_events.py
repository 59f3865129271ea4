"""The event hook over HTTP: it checks the token, and its only effect is an early poll."""

from collections.abc import Iterator
from urllib.parse import parse_qs

import pytest
import pytest_twisted
import requests
from twisted.internet import reactor
from twisted.internet.threads import deferToThread

from autodial.portal.event_webhook import event_site
from bitrix24.simulator.event_bodies import event_body, task_updated
from tests.integration.conftest import NOON

TOKEN = "simulated2token"


@pytest.fixture
def hook() -> Iterator[tuple[str, list[bool]]]:
    """The hook's address, and a list with one entry for each requested poll."""
    woken: list[bool] = []
    site = event_site(TOKEN, lambda: woken.append(True), reactor)
    port = reactor.listenTCP(0, site, interface="127.0.0.1")  # type: ignore[arg-type]
    number = port.getHost().port  # type: ignore[attr-defined]
    yield f"http://127.0.0.1:{number}/", woken
    pytest_twisted.blockon(port.stopListening())


async def post(url: str, body: bytes) -> int:
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Connection": "close"}
    answer = await deferToThread(requests.post, url, body, headers=headers, timeout=10)
    return int(answer.status_code)


@pytest.mark.parametrize(
    ("event", "token", "status", "polls"),
    [
        ("OnTaskUpdate", TOKEN, 200, 1),
        ("OnTaskAdd", TOKEN, 200, 1),
        ("OnTaskDelete", TOKEN, 200, 1),
        ("OnCrmDealAdd", TOKEN, 200, 0),
        ("OnTaskUpdate", "wrong", 403, 0),
        ("OnTaskUpdate", "", 403, 0),
    ],
)
@pytest_twisted.ensureDeferred
async def test_an_event_of_the_portal(
    hook: tuple[str, list[bool]], event: str, token: str, status: int, polls: int
) -> None:
    url, woken = hook
    assert status == await post(url, event_body(event, task_updated(8017), token, NOON))
    assert polls == len(woken)


@pytest.mark.parametrize("body", [b"", b"\xff\xfe", b"event=ONTASKADD", b"a[b][c]=1&" * 1000])
@pytest_twisted.ensureDeferred
async def test_nonsense_wakes_nobody(hook: tuple[str, list[bool]], body: bytes) -> None:
    url, woken = hook
    assert 403 == await post(url, body)
    assert not woken


def test_the_simulated_portal_sends_what_the_hook_reads() -> None:
    fields = parse_qs(event_body("OnTaskAdd", task_updated(1), TOKEN, NOON).decode())
    assert [TOKEN] == fields["auth[application_token]"]
    assert ["ONTASKADD"] == fields["event"]
