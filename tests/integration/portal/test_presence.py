"""Who is at work: how the portal's data about a person are combined, and how they are stored."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
import pytest_twisted

from autodial.config.settings import Config
from autodial.engine.operators import Roster
from autodial.model.operator import PresenceRules
from autodial.portal.importer import Importer
from autodial.store import presence, views
from bitrix24 import Employee, Portal, Presence
from bitrix24.simulator import SimulatedPortal
from bitrix24.simulator.presence import log_in, log_out, rest_authorization
from bitrix24.simulator.seed import add_operator
from tests.integration.conftest import NOON, FakeStore, Now

Run = Callable[..., Any]
WEBHOOK = "http://127.0.0.1/rest/1/simulated0secret"
MINUTE = timedelta(minutes=1)
RULES = PresenceRules(active_within=24 * MINUTE)

ensure = pytest_twisted.ensureDeferred


def person(*, online: bool = True, login: datetime | None = None) -> Employee:
    return Employee(
        id=501, name="Анна", extension="101", active=True, online=online, last_login=login
    )


@pytest.mark.parametrize(
    ("online", "seen", "gone", "expected"),
    [
        (True, None, None, True),  # only IS_ONLINE is known
        (False, None, None, False),
        (True, NOON - 25 * MINUTE, None, False),  # the last activity decides
        (False, NOON - 5 * MINUTE, None, True),
        (True, NOON - 5 * MINUTE, NOON - 4 * MINUTE, False),  # logged out: at once
        (True, NOON - 3 * MINUTE, NOON - 4 * MINUTE, True),  # another session goes on
        (True, None, NOON - 4 * MINUTE, False),
    ],
)
def test_at_work(
    online: bool, seen: datetime | None, gone: datetime | None, expected: bool
) -> None:
    there = Presence(last_activity=seen)

    assert expected is presence.at_work(person(online=online), there, gone, NOON, RULES)


@pytest.mark.parametrize(
    ("day", "expected"), [("opened", True), ("paused", False), ("closed", False), (None, True)]
)
def test_an_opened_working_day_may_be_required(day: str | None, expected: bool) -> None:
    """On a portal without working days (None) the requirement excludes nobody."""
    rules = PresenceRules(active_within=24 * MINUTE, working_day=True)
    there = Presence(last_activity=NOON, working_day=day)

    assert expected is presence.at_work(person(), there, None, NOON, rules)
    assert presence.at_work(person(), there, None, NOON, RULES)


@pytest.fixture
def poll(config: Config, portal: SimulatedPortal, store: FakeStore, now: Now) -> Callable[[], Any]:
    add_operator(portal, 501, "101")
    client = Portal.direct(WEBHOOK, portal.send)
    importer = Importer(config, client, store, Roster(), now, lambda _: None)  # type: ignore[arg-type]
    return importer.poll


def kinds(run: Run) -> list[tuple[str, datetime]]:
    return [(line.kind, line.at) for line in run(presence.presence_lines, NOON - timedelta(days=1))]


@ensure
async def test_logins_and_logouts_of_the_event_log(
    poll: Callable[[], Any], portal: SimulatedPortal, run: Run, now: Now
) -> None:
    portal.log_logins = portal.log_logouts = True
    log_in(portal, 501)
    await poll()
    (line,) = run(views.operator_lines)
    assert (True, NOON, None, NOON) == (
        line.online, line.last_login, line.last_logout, line.watched,
    )  # fmt: skip

    now.advance(minutes=5)
    log_out(portal, 501)
    await poll()
    (line,) = run(views.operator_lines)
    assert (False, NOON, now()) == (line.online, line.last_login, line.last_logout)

    now.advance(minutes=1)
    log_in(portal, 501)
    await poll()
    assert run(views.operator_lines)[0].online
    assert ["login", "came", "logout", "left", "login", "came"] == [k for k, _ in kinds(run)]


@ensure
async def test_what_an_application_does_in_his_name_is_no_login(
    poll: Callable[[], Any], portal: SimulatedPortal, run: Run, now: Now
) -> None:
    """The user has logged out, but the log has an hourly authorisation of the module rest."""
    portal.log_logins = portal.log_logouts = True
    log_in(portal, 501)
    await poll()
    now.advance(minutes=5)
    log_out(portal, 501)
    await poll()
    for _ in range(3):
        now.advance(minutes=7)
        rest_authorization(portal, 501)
        await poll()
    (line,) = run(views.operator_lines)

    assert (False, NOON) == (line.online, line.last_login)
    assert ["login", "came", "logout", "left"] == [kind for kind, _ in kinds(run)]


@ensure
async def test_who_is_not_of_the_staff_is_not_in_the_ledger(
    poll: Callable[[], Any], portal: SimulatedPortal, run: Run
) -> None:
    """The event log lists everybody in the company."""
    portal.log_logins = True
    add_operator(portal, 600, "600")
    portal.users[600]["UF_DEPARTMENT"] = [1]
    log_in(portal, 600)
    log_in(portal, 501)
    await poll()
    await poll()

    assert {501} == {line.operator for line in run(presence.presence_lines, NOON - timedelta(1))}


@pytest.mark.parametrize("missing", ["rest3", "administrator", "options"])
@ensure
async def test_without_the_event_log_nothing_is_claimed(
    poll: Callable[[], Any], portal: SimulatedPortal, run: Run, now: Now, missing: str
) -> None:
    """Polling shows that a person left, and roughly when. No logout is recorded."""
    if missing == "rest3":
        portal.rest3 = False
    elif missing == "administrator":
        portal.administrator = False
    log_in(portal, 501)
    await poll()
    now.advance(minutes=5)
    portal.users[501]["LAST_ACTIVITY"] = now()
    log_out(portal, 501)
    await poll()
    assert run(views.operator_lines)[0].online, "the portal still reports the person as active"

    now.advance(minutes=25)
    await poll()
    (line,) = run(views.operator_lines)
    assert (False, None, NOON + 5 * MINUTE) == (line.online, line.last_logout, line.last_left)
    assert [("came", NOON), ("left", NOON + 5 * MINUTE)] == kinds(run)
    assert (line.watched is None) == (missing != "options")


@ensure
async def test_a_portal_without_the_scopes_is_believed_in_what_it_says(
    poll: Callable[[], Any], portal: SimulatedPortal, run: Run
) -> None:
    portal.scopes = frozenset({"task", "user", "department"})
    portal.timeman = False
    portal.users[501]["LAST_ACTIVITY"] = NOON
    await poll()
    (line,) = run(views.operator_lines)

    assert (True, None, None) == (line.online, line.last_activity, line.working_day)


@ensure
async def test_who_left_the_department_is_no_operator_any_more(
    poll: Callable[[], Any], portal: SimulatedPortal, run: Run
) -> None:
    add_operator(portal, 502, "102", seen=NOON)
    await poll()
    portal.users[502]["UF_DEPARTMENT"] = [1]
    await poll()

    assert [501] == [line.id for line in run(views.operator_lines)]
