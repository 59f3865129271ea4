"""An application's tokens: refreshed once, stored before use, and never shown."""

import json
import stat
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import Clock

from bitrix24 import (
    Answer,
    Application,
    Direct,
    Link,
    Portal,
    PortalDenied,
    PortalUnavailable,
    Request,
)
from bitrix24.simulator import SimulatedPortal
from tests.integration.conftest import Now

ensure = pytest_twisted.ensureDeferred


@pytest.fixture
def application(portal: SimulatedPortal, tmp_path: Path) -> Application:
    """An authorised application: its token file holds the refresh token."""
    path = tmp_path / "tokens.json"
    path.write_text(json.dumps({"access_token": "old", "refresh_token": portal.refresh_token}))
    portal.tokens["old"] = portal.now()  # expired
    return Application("https://portal.example.com/", portal.client_id, portal.client_secret, path)


def client(application: Application, portal: SimulatedPortal) -> Portal:
    return Portal(Link(application, portal.send, Clock()))


@ensure
async def test_an_expired_token_is_refreshed_and_the_call_goes_through(
    application: Application, portal: SimulatedPortal
) -> None:
    health = await client(application, portal).health()
    kept = json.loads(application.tokens.read_text())

    assert portal.user_id == health.user
    assert portal.refresh_token == kept["refresh_token"], "the rotated token is on disk"
    assert 0o600 == stat.S_IMODE(application.tokens.stat().st_mode)


@pytest.mark.parametrize("token", ["ключ", "a b", "a\r\nX: y", "\ud800", "x" * 5000])
def test_what_is_no_token_is_not_kept(application: Application, token: str) -> None:
    """The token would be a header of every request."""

    async def send(_: Request) -> Answer:
        reply = {"access_token": token, "refresh_token": "r"}
        return Answer(200, json.dumps(reply).encode())

    with pytest.raises(PortalUnavailable, match="no token"):
        application.renew(send, "old").send(None)
    assert "old" == json.loads(application.tokens.read_text())["access_token"]


@ensure
async def test_many_requests_at_once_refresh_once(
    application: Application, portal: SimulatedPortal
) -> None:
    """A refresh invalidates the previous refresh token, so there must be only one."""
    asked: list[Request] = []
    held: list[Deferred[None]] = []

    async def send(request: Request) -> Answer:
        asked.append(request)
        if request.method == "oauth.token":
            held.append(Deferred())
            await held[-1]
        return await portal.send(request)

    line = Link(application, send, Clock())
    calls = [Deferred.fromCoroutine(line.call("profile", {})) for _ in range(3)]
    held[0].callback(None)
    await gatherResults(calls)

    assert 1 == sum(request.method == "oauth.token" for request in asked)


@ensure
async def test_another_process_was_faster(
    application: Application, portal: SimulatedPortal
) -> None:
    portal.tokens["fresh"] = portal.now() + timedelta(hours=1)
    tokens = {"access_token": "fresh", "refresh_token": "rotated"}
    await client(application, portal).health()  # takes the first one into memory
    application.tokens.write_text(json.dumps(tokens))
    for token in set(portal.tokens) - {"fresh"}:
        portal.tokens[token] = portal.now()

    assert portal.user_id == (await client(application, portal).health()).user
    assert tokens == json.loads(application.tokens.read_text())


class Crash(Exception):
    """Stands for the end of the process."""


@ensure
async def test_a_crash_after_the_refresh_loses_nothing(
    application: Application, portal: SimulatedPortal, now: Now
) -> None:
    """The rotated token is on disk before the new access token is used."""

    async def send(request: Request) -> Answer:
        if request.token not in ("", "old"):
            raise Crash
        return await portal.send(request)

    with pytest.raises(Crash):
        await Portal(Link(application, send, Clock())).health()
    now.advance(hours=2)
    again = Application(
        application.address, application.client_id, application.client_secret, application.tokens
    )
    assert portal.user_id == (await client(again, portal).health()).user


@ensure
async def test_the_first_tokens_come_for_a_code(
    application: Application, portal: SimulatedPortal
) -> None:
    application.tokens.unlink()
    with pytest.raises(PortalDenied, match="autodial authorize"):
        await client(application, portal).health()
    await application.exchange(portal.send, portal.code)

    assert portal.user_id == (await client(application, portal).health()).user


@ensure
async def test_a_spoiled_refresh_token_is_said_and_no_secret_with_it(
    application: Application, portal: SimulatedPortal
) -> None:
    portal.refresh_token = "another"
    with pytest.raises(PortalDenied) as caught:
        await client(application, portal).health()

    assert "invalid_grant" in str(caught.value)
    for text in (str(caught.value), repr(caught.value), repr(application)):
        assert application.client_secret not in text
        assert "another" not in text and "old" not in text.replace(str(application.tokens), "")


@ensure
async def test_a_command_renews_an_expired_token_as_the_service_does(
    application: Application, portal: SimulatedPortal, now: Now
) -> None:
    await client(application, portal).health()
    now.advance(hours=2)
    assert portal.user_id == (await Portal(Direct(application, portal.send)).health()).user
