"""The board: who sees what, who may do what, and what a hostile name or form cannot do."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

import autodial.board
from autodial.board.access import COOKIE, LONGEST_FORM, _local
from autodial.board.passwords import TRIES, WINDOW, Throttle, fits, hashed
from autodial.board.rendering import language_of, span
from autodial.board.russian import RUSSIAN
from autodial.model.act import Act
from autodial.model.ids import OperatorId, TaskId
from autodial.model.role import MAY, Role, may
from autodial.store import accounts, audit, flags, in_force, pauses, planning
from autodial.store.schema import flags as flag_table
from autodial.store.schema import operators
from tests.integration.board.conftest import PASSWORD, Served, Visitor

Run = Callable[..., Any]
PAGES = (
    "/", "/tasks", "/tasks/9003", "/calls", "/day", "/month", "/operators/501", "/never",
    "/settings", "/log",
)  # fmt: skip


@pytest.mark.parametrize("path", [*PAGES, "/live", "/tasks/9003/call-now"])
def test_a_stranger_sees_nothing(served: Served, path: str) -> None:
    stranger = served.visitor()
    for answer in (stranger.get(path, allow_redirects=False), stranger.post(path)):
        assert answer.status_code in (303, 405)
        assert "9003" not in answer.text and "Анна" not in answer.text
    assert "login" in stranger.get(path, allow_redirects=False).headers.get("location", "login")


@pytest.mark.parametrize("path", PAGES)
def test_every_page_is_closed_to_foreign_code(served: Served, path: str) -> None:
    """A policy without exceptions, hostile names as text, nothing from elsewhere."""
    answer = served.visitor("manager").get(path)
    assert 200 == answer.status_code
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert "nosniff" == answer.headers["x-content-type-options"]
    assert "no-store" == answer.headers["cache-control"]
    assert "<img" not in answer.text and "24690" not in answer.text
    assert [] == re.findall(r"(?:src|href|action)=[\"']?(?:https?:)?//", answer.text)
    assert [] == re.findall(r"\son\w+=|style=|javascript:", answer.text.replace("onerror", ""))
    if path in ("/", "/tasks", "/tasks/9003"):
        assert "&lt;img src=x onerror=" in answer.text and "{{ 12345*2 }}" in answer.text


def test_now_shows_operators_calls_and_why_tasks_wait(served: Served) -> None:
    text = served.visitor("viewer").get("/").text
    tile = text[text.index("Анна") :].partition("</li>")[0]
    assert "Клиент 9002" in tile, "she is reserved for this call"
    assert 'data-attempt="t9002-1"' in text and "/tasks/9002" in text
    assert "1 free of 2 at work" in text or "свободны 1 из 2" in text
    assert "formaction" not in text, "a viewer has no buttons"
    assert "formaction" in served.visitor("manager").get("/").text


def test_tiles_and_alarms_say_why_and_since_when(served: Served, run: Run) -> None:
    """A pause with its reason and end, who left when, a portal that does not answer."""
    now = datetime.now(UTC)
    until = now + timedelta(hours=1)
    run(pauses.pause, OperatorId(501), now, "обед", until)
    run(_left, 502, datetime(2026, 11, 2, 9, 30, tzinfo=UTC))
    run(_not_seen)
    text = served.visitor("viewer").get("/", headers={"Accept-Language": "en"}).text
    zone = ZoneInfo(served.config.hours.zone)
    assert f": обед until {until.astimezone(zone):%H:%M}" in text
    assert "since 02.11. 12:30" in text
    assert "the portal has not answered since" in text and "autodial doctor" in text
    assert "All is well" not in text


def _left(db: Any, operator: int, at: datetime) -> None:
    which = operators.c.id == operator
    db.execute(operators.update().where(which).values(online=0, last_left=at))


def _not_seen(db: Any) -> None:
    which = flag_table.c.name == flags.PORTAL_SEEN
    at = datetime.now(UTC) - timedelta(days=1)
    db.execute(flag_table.update().where(which).values(at=at))


def test_a_task_says_why_it_is_not_dialled_and_what_was(served: Served, run: Run) -> None:
    visitor = served.visitor("viewer")
    text = visitor.get("/tasks/9000").text
    assert "t9000-1" in text and "+442079460000" in text
    assert 404 == visitor.get("/tasks/1").status_code
    assert 404 == visitor.get(f"/tasks/{10**30}").status_code
    assert 404 == visitor.get("/nowhere").status_code
    assert (
        "There is no such page" in visitor.get("/tasks/1", headers={"Accept-Language": "en"}).text
    )


def test_the_day_is_what_the_report_says(served: Served) -> None:
    visitor = served.visitor("viewer")
    text = visitor.get("/day", headers={"Accept-Language": "en"}).text
    assert "By trunk" in text and "<rect" in text
    assert "<td>2</td><td>1 (50 %)</td>" in text
    other = visitor.get("/day?day=2020-01-01").text
    assert "<rect" not in other
    assert 200 == visitor.get("/day?day=99999-99-99").status_code
    assert 200 == visitor.get("/day?day=0001-01-01").status_code


def test_lists_are_narrowed_down(served: Served) -> None:
    visitor = served.visitor("viewer")
    assert "9001" not in visitor.get("/tasks?late=1").text
    found = visitor.get("/tasks", params={"client": "клиент 9000"}).text
    assert "9000" in found and "/tasks/9001" not in found
    calls = visitor.get("/calls", params={"who": "+44 20 7946 0000"}).text
    assert "/tasks/9000" in calls and "/tasks/9001" not in calls
    assert "/tasks/9001" in visitor.get("/calls").text
    assert "/tasks/9001" not in visitor.get("/calls?day=2020-01-01").text


def test_a_manager_acts_and_it_is_in_the_log(served: Served, run: Run) -> None:
    manager = served.visitor("manager")
    assert 303 == manager.act("/tasks/9003/skip", why="сам позвоню").status_code
    assert "skipped" == run(planning.load_task, TaskId(9003)).closed_reason
    assert 409 == manager.act("/tasks/9003/skip").status_code, "two managers at once"
    assert 303 == manager.act("/tasks/9003/unskip").status_code
    assert 303 == manager.act("/tasks/9003/call-now").status_code
    assert 303 == manager.act("/operators/501/pause", why="обед").status_code
    assert {501} == run(in_force.paused, datetime.now(UTC))
    assert 303 == manager.act("/operators/501/resume").status_code
    assert 303 == manager.act("/operators/501/resume").status_code, "it is done already"
    assert 303 == manager.act("/operators/0/pause").status_code
    assert 303 == manager.act("/operators/0/resume").status_code
    lines = run(audit.lines, datetime.now(UTC) - timedelta(hours=1))
    acted = [
        (line.act, line.about, line.detail) for line in reversed(lines) if line.door == "board"
    ]

    assert [
        ("skip", "9003", "сам позвоню"), ("unskip", "9003", ""), ("call now", "9003", ""),
        ("pause", "101", "обед"), ("resume", "101", ""), ("pause", "", ""), ("resume", "", ""),
    ] == acted  # fmt: skip
    assert {"manager"} == {line.who for line in lines if line.door == "board"}
    assert "сам позвоню" in manager.get("/log").text
    assert "сам позвоню" in manager.get("/tasks/9003").text


def test_a_pause_has_a_reason_and_an_end(served: Served, run: Run) -> None:
    manager = served.visitor("manager")
    zone = ZoneInfo(served.config.hours.zone)
    here = datetime.now(zone)
    for until in ("00:00", "25:00", "soon", "10:00+25:00"):
        assert 400 == manager.act("/operators/501/pause", until=until).status_code
    assert 303 == manager.act("/operators/501/pause", until="23:59:59", why="обед").status_code
    pause = run(pauses.of, OperatorId(501))
    assert pause is not None and "обед" == pause.why
    assert here.replace(hour=23, minute=59, second=59, microsecond=0) == pause.until


@pytest.mark.parametrize("path", ["/tasks/9003/skip", "/operators/501/pause", "/operators/0/pause"])
def test_a_viewer_cannot_act(served: Served, run: Run, path: str) -> None:
    answer = served.visitor("viewer").act(path)
    assert 403 == answer.status_code
    assert "" == run(planning.load_task, TaskId(9003)).closed_reason
    assert set() == run(in_force.paused, datetime.now(UTC))


@pytest.mark.parametrize(
    "path",
    ["/tasks/9003/delete", "/operators/999/pause", "/tasks/9003/pause", "/operators/x/pause"],
)
def test_what_there_is_not_cannot_be_done(served: Served, path: str) -> None:
    assert 404 == served.visitor("administrator").act(path).status_code


def test_a_form_of_another_site_is_refused(served: Served, run: Run) -> None:
    """Without the proof, with another session's, from a foreign origin, or too long."""
    manager, other = served.visitor("manager"), served.visitor("administrator")
    skip = "/tasks/9003/skip"
    assert 403 == manager.post(skip).status_code
    assert 403 == manager.post(skip, proof=other.proof).status_code
    assert 403 == manager.post(skip, proof="я").status_code
    foreign = manager.session.post(
        served.address + skip, data={"proof": manager.proof}, timeout=10,
        headers={"Origin": "https://evil.example"},
    )  # fmt: skip
    assert 403 == foreign.status_code
    assert 413 == manager.act(skip, why="x" * LONGEST_FORM).status_code
    many = manager.session.post(
        served.address + skip, data="a=1&" * 500, timeout=10, allow_redirects=False
    )
    assert 400 == many.status_code
    binary = manager.session.post(served.address + skip, data=b"\xff\xfe=1", timeout=10)
    assert binary.status_code in (400, 403)
    assert 405 == manager.get(skip).status_code
    assert "" == run(planning.load_task, TaskId(9003)).closed_reason


def test_the_cookie_is_a_secret_and_ends_with_the_session(served: Served, run: Run) -> None:
    visitor = served.visitor()
    answer = visitor.log_in("manager")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=Lax" in cookie
    token = visitor.session.cookies[COOKIE]
    assert not any(token in str(row) for row in run(_sessions)), "only its hash is stored"
    assert 303 == visitor.act("/logout").status_code
    stolen = requests.get(
        served.address, cookies={COOKIE: token}, timeout=10, allow_redirects=False
    )
    assert 303 == stolen.status_code
    again = served.visitor("manager")
    run(accounts.remove, "manager")
    assert 303 == again.get("/", allow_redirects=False).status_code, "at once"


def _sessions(db: Any) -> list[Any]:
    from autodial.store.schema import board_sessions

    return list(db.execute(board_sessions.select()))


def test_a_session_ends_by_itself(run: Run, served: Served) -> None:
    now = datetime.now(UTC)
    run(accounts.log_in, "viewer", "token", "proof", now)
    (session, due) = run(accounts.session_of, "token", now)
    assert ("viewer", Role.VIEWER, False) == (session.name, session.role, due)
    almost = now + accounts.IDLE - timedelta(seconds=1)
    assert run(accounts.session_of, "token", almost)[1], "its use is to be stored"
    assert run(accounts.session_of, "token", now + accounts.IDLE * 2) is None
    for hours in range(0, 24 * 7, 6):
        run(accounts.seen, "token", now + timedelta(hours=hours))
    late = now + accounts.LONGEST
    run(accounts.seen, "token", late)
    assert run(accounts.session_of, "token", late + timedelta(seconds=1)) is None


def test_passwords_are_not_guessed(served: Served) -> None:
    """Five wrong ones, then even the right one waits; the answer is the same for unknown names."""
    visitor = served.visitor()
    answers = [visitor.log_in("manager", f"wrong {n} password") for n in range(TRIES)]
    assert [403] * TRIES == [answer.status_code for answer in answers]
    assert 429 == visitor.log_in("manager").status_code
    assert 429 == visitor.log_in("viewer").status_code, "of this address"


def test_unknown_names_are_answered_alike(served: Served) -> None:
    visitor = served.visitor()
    known, unknown = visitor.log_in("manager", "wrong password"), visitor.log_in("nobody", "x" * 12)
    assert known.status_code == unknown.status_code == 403
    assert known.text.replace("manager", "") == unknown.text.replace("nobody", "")


def test_after_the_login_one_comes_where_one_wanted_but_never_elsewhere(served: Served) -> None:
    visitor = Visitor(served.address)
    asked = visitor.get("/tasks/9003", allow_redirects=False)
    assert "/login?back=/tasks/9003" == asked.headers["location"]
    assert 'value="/tasks/9003"' in visitor.get(asked.headers["location"]).text
    assert "/tasks/9003" == visitor.log_in("viewer", back="/tasks/9003").headers["location"]
    assert "/" == visitor.log_in("viewer", back="//evil.example/").headers["location"]


@given(st.text(max_size=30))
def test_no_address_leads_away(path: str) -> None:
    assert re.match(r"/(?![/\\])|/$", _local(path))


def test_throttling_forgets_after_a_while() -> None:
    moment = datetime(2026, 11, 23, tzinfo=UTC)
    throttle = Throttle(lambda: moment)
    for _ in range(TRIES):
        assert not throttle.waits("name x", "address y")
        throttle.was_wrong("name x", "address y")
    assert throttle.waits("name x", "address z") and throttle.waits("name q", "address y")
    assert not throttle.waits("name q", "address z")
    moment += WINDOW
    assert not throttle.waits("name x", "address y")


def test_passwords() -> None:
    stored = hashed(PASSWORD)
    assert PASSWORD not in stored and stored != hashed(PASSWORD)
    assert fits(PASSWORD, stored) and not fits(PASSWORD + "x", stored)
    assert not fits("nobody has this password", None)
    assert not fits(PASSWORD, "not a hash")
    for bad in ("short", "x" * 201):
        with pytest.raises(ValueError, match="10 to 200"):
            hashed(bad)


def test_more_rights_with_each_role() -> None:
    assert MAY[Role.VIEWER] < MAY[Role.MANAGER] < MAY[Role.ADMINISTRATOR]
    assert not any(may(Role.VIEWER, act) for act in Act)


@pytest.mark.parametrize(
    ("accepted", "expected"),
    [("ru-RU,ru;q=0.9,en;q=0.8", "ru"), ("en-GB", "en"), ("de,ru", "ru"), ("", "en"), ("*", "en")],
)
def test_the_browser_s_language(accepted: str, expected: str) -> None:
    assert expected == language_of(accepted, "en")


def test_russian_pages_are_russian(served: Served) -> None:
    visitor = served.visitor("administrator")
    for path in PAGES:
        text = visitor.get(path, headers={"Accept-Language": "ru"}).text
        body = text[text.index("<main") : text.index("</main>")]
        ours = r"<[^>]*>|&lt;.*?&gt;|\{\{.*?\}\}|t\d+-\d+|Asterisk|CRM|autodial [a-z-]+|carrier1"
        words = re.sub(ours, " ", body).replace("XLSX", "").replace("CSV", "")
        words = re.sub(r"\[[a-z]+\]", " ", words)  # a section of the configuration
        words = re.sub(r"\b(viewer|manager|administrator|operator|root)\b", "", words)  # names
        assert [] == re.findall(r"[A-Za-z]{3,}", words), (path, words)


def test_every_text_of_the_pages_has_its_russian_one() -> None:
    house = Path(autodial.board.__file__).parent
    said = set()
    for file in house.glob("templates/*.html"):
        text = file.read_text(encoding="utf-8")
        said |= set(re.findall(r'tr\("([^"]+)"', text))
        for group in re.findall(r"\{% for [^%]* in \((.*?)\) %\}", text):
            said |= {name for name in re.findall(r'"([^"]*)"', group) if "/" not in name}
        said |= {known for known in RUSSIAN if f'"{known}"' in text}
    said |= {"in the spool", "dialling", "answered", *(role.value for role in Role)}
    for file in house.glob("*.py"):
        if file.name != "russian.py":
            code = file.read_text(encoding="utf-8")
            said |= {text for text in RUSSIAN if f'"{text}"' in code}
    assert said == set(RUSSIAN)


def test_spans() -> None:
    assert ["", "0:05", "1:01", "1:00:00"] == [span(one) for one in (None, 5.2, 61, 3600)]
    assert "0:00" == span(-3)


def test_a_store_that_cannot_be_read_is_said(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    """And the page comes back by itself when the store does."""
    visitor = served.visitor("viewer")
    path = served.config.store.path
    moved = path.with_suffix(".away")
    path.rename(moved)
    try:
        answer = visitor.get("/")
        assert 503 == answer.status_code and "Traceback" not in answer.text
        stranger = served.visitor().get("/")
        assert 503 == stranger.status_code
        assert str(path) not in answer.text + stranger.text, "for the log alone"
        assert str(path) in caplog.text
    finally:
        path.unlink(missing_ok=True)
        moved.rename(path)
    assert 200 == visitor.get("/").status_code
