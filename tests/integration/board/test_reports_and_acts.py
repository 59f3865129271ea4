"""The board's reports, an operator's own view, and the acts that a manager has besides pauses."""

import asyncio
import csv
import io
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from time import monotonic
from typing import Any

import pytest
import sqlalchemy as sa

from autodial.board.days import Days
from autodial.board.reports_pages import MOST_MAKING, SHADES, ReportsPages, _heat
from autodial.config.fields import DAYS
from autodial.rules.report import Sum
from autodial.store import audit, days_off, dispositions, flags, in_force, schema
from autodial.store import stand_ins as handed
from bitrix24.simulator import SimulatedPortal, serve
from bitrix24.simulator.seed import add_operator, add_task
from tests.integration.board.conftest import Served, Visitor

Run = Callable[..., Any]
ENGLISH = {"Accept-Language": "en"}


def acted(run: Run, *kinds: str) -> list[tuple[str, str, str]]:
    """Acts on the board, the first one first."""
    lines = run(audit.lines, datetime.now(UTC) - timedelta(hours=1))
    return [
        (line.act, line.about, line.detail)
        for line in reversed(lines)
        if line.door == "board" and line.act in kinds
    ]


def test_an_operator_sees_his_own_day_and_tasks_only(served: Served) -> None:
    him = served.visitor("operator")
    answer = him.get("/", headers=ENGLISH)
    assert answer.url.endswith("/operators/501") and "Анна" in answer.text
    assert "Клиент 9001" in answer.text, "his talk"
    for path in ("/day", "/month", "/calls", "/log", "/live", "/never", "/settings"):
        assert 403 == him.get(path).status_code, path
    assert 403 == him.get("/operators/502").status_code
    assert 200 == him.get("/tasks/9001").status_code, "a task of his"
    nav = answer.text.partition("</nav>")[0]
    assert "/log" not in nav and "/tasks" in nav


def test_an_operator_steers_himself_alone(served: Served, run: Run) -> None:
    him = served.visitor("operator")
    assert 303 == him.act("/operators/501/pause", why="обед").status_code
    assert {501} == run(in_force.paused, datetime.now(UTC))
    assert 303 == him.act("/operators/501/resume").status_code
    for path in (
        "/operators/502/pause", "/operators/0/pause", "/operators/501/hand-over",
        "/tasks/9003/skip", "/tasks/9003/never", "/dialler/reload", "/calendar",
    ):  # fmt: skip
        assert him.act(path, to="502", sure="1", day="2099-01-01").status_code == 403, path
    assert set() == run(in_force.paused, datetime.now(UTC))
    run(_give, 9003, 502)
    assert 403 == him.get("/tasks/9003").status_code, "another's task"
    assert 403 == him.act("/tasks/9003/call-now").status_code
    assert "9003" not in him.get("/tasks").text


def _give(db: sa.Connection, task: int, operator: int) -> None:
    which = schema.tasks.c.id == task
    db.execute(sa.update(schema.tasks).where(which).values(responsible=operator))


def test_the_month_and_its_heat_map(served: Served) -> None:
    viewer = served.visitor("viewer")
    text = viewer.get("/month", headers=ENGLISH).text
    assert "Answered calls by hour and weekday" in text and 'class="shade' in text
    assert "Clients answer best" in text and "By attempt" in text
    assert "<rect" in text and "50 %" in text
    assert "<rect" not in viewer.get("/month?month=2020-02").text
    for month in ("", "soon", "2026-13", "99999-01", "0001-01"):
        assert 200 == viewer.get("/month", params={"month": month}).status_code


def test_shades_are_of_the_rates() -> None:
    def one(key: str, answered: int) -> Sum:
        return Sum(key=key, calls=10, answered=answered, talked=0, abandoned=0, talk_seconds=0,
                   mean_wait=None)  # fmt: skip

    week = {f"{day} {hour}": one("", answered) for day, hour, answered in (
        (1, "09:00", 0), (1, "10:00", 5), (7, "09:00", 10))}  # fmt: skip
    heat = _heat(week, ["09:00", "10:00"])
    assert [1, 3] == [shade for _, shade in heat[0]]
    assert [SHADES, 0] == [shade for _, shade in heat[6]]
    assert [0, 0] == [shade for _, shade in heat[3]]


@pytest.mark.parametrize(
    "path",
    ["/day?by=hour&", "/day?by=operator&", "/day?by=times&", "/month?by=week-hour&", "/tasks?",
     "/calls?", "/log?", "/never?"],
)  # fmt: skip
def test_every_table_is_a_file_too(served: Served, path: str) -> None:
    """For a Russian Excel; the hostile name is no formula and no markup."""
    viewer = served.visitor("viewer")
    answer = viewer.get(f"{path}file=.csv", headers={"Accept-Language": "ru"})
    assert answer.content.startswith(b"\xef\xbb\xbf")
    assert "attachment" in answer.headers["content-disposition"]
    rows = list(csv.reader(io.StringIO(answer.content.decode("utf-8-sig")), delimiter=";"))
    assert rows and len({len(row) for row in rows}) == 1
    book = viewer.get(f"{path}file=.xlsx")
    assert book.content.startswith(b"PK")
    assert 404 == viewer.get(f"{path}file=.exe").status_code
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_the_forecast_stands_beside_what_happened(served: Served, run: Run) -> None:
    """Of today and days to come: simulated with the tasks of the day and the staff at work."""
    served.stop()
    always = served.config.hours.model_copy(update=dict.fromkeys(DAYS, (time(0), time(0))))
    served.config = served.config.model_copy(update={"hours": always})
    served.start()
    run(_at_work_all_day, 501)
    viewer = served.visitor("viewer")
    assert "talks by now" in simulated(viewer, "/day")
    tomorrow = datetime.now(UTC) + timedelta(days=2)
    assert "tasks finished" in simulated(viewer, f"/day?day={tomorrow:%Y-%m-%d}&operators=5")
    assert "Forecast" not in viewer.get("/day?day=2020-01-01", headers=ENGLISH).text


def simulated(viewer: Visitor, page: str) -> str:
    """The page, once its forecast is made."""
    until = monotonic() + 60
    while "being simulated" in (text := viewer.get(page, headers=ENGLISH).text):
        assert monotonic() < until, "the forecast is never made"
    return text


def test_many_forecasts_at_once_are_not_made(served: Served) -> None:
    """Whoever asks for a hundred holds up neither the pages nor the live ones."""
    pages = ReportsPages(served.board.showing, served.board.figures)
    day = Days(date(2099, 1, 5), date(2099, 1, 5), served.config.when.zone)
    never: asyncio.Future[Any]

    async def asked() -> tuple[Any, bool]:
        nonlocal never
        never = asyncio.get_running_loop().create_future()
        for number in range(MOST_MAKING):
            pages._making[(day.first, number)] = never
        return await pages._forecast(day, 99)

    assert (None, True) == asyncio.run(asked())


def _at_work_all_day(db: sa.Connection, operator: int) -> None:
    at = datetime.now(UTC) - timedelta(days=1)
    db.execute(sa.insert(schema.presence).values(operator=operator, at=at, kind="came"))


def test_never_call_asks_whether_one_is_sure(served: Served, run: Run) -> None:
    manager = served.visitor("manager")
    assert 400 == manager.act("/tasks/9003/never").status_code
    assert [] == run(dispositions.do_not_call_lines)
    assert 303 == manager.act("/tasks/9003/never", sure="1", why="просил").status_code
    (line,) = run(dispositions.do_not_call_lines)
    assert ("+442079460003", "просил") == (line.number, line.why)
    assert 409 == manager.act("/tasks/9003/never", sure="1").status_code, "it is done already"
    assert "+442079460003" in manager.get("/never").text
    assert 303 == manager.act("/never", number="+442079460003").status_code
    assert 409 == manager.act("/never", number="+442079460003").status_code
    assert [] == run(dispositions.do_not_call_lines)
    assert ["never call", "may call"] == [act for act, *_ in acted(run, "never call", "may call")]


def test_tasks_are_handed_over_and_back(served: Served, run: Run) -> None:
    manager = served.visitor("manager")
    later = datetime.now(UTC) + timedelta(days=3)
    hand = {"to": "502", "until": f"{later:%Y-%m-%dT%H:%M}"}
    assert 303 == manager.act("/operators/501/hand-over", **hand).status_code
    assert {501: 502} == run(handed.current, datetime.now(UTC))
    assert {} == run(handed.current, later + timedelta(days=1))
    assert "His own tasks again" in manager.get("/operators/501", headers=ENGLISH).text
    assert 303 == manager.act("/operators/501/take-back").status_code
    assert {} == run(handed.current, datetime.now(UTC))
    for wrong, status in (("501", 400), ("999", 404), ("", 400), ("x", 400), ("९", 400)):
        answer = manager.act("/operators/501/hand-over", to=wrong)
        assert status == answer.status_code, wrong


def test_days_off(served: Served, run: Run) -> None:
    manager = served.visitor("manager")
    assert 303 == manager.act("/calendar", day="2099-01-05", off="1", why="праздник").status_code
    assert [(datetime(2099, 1, 5).date(), "праздник")] == run(
        days_off.lines, datetime(2099, 1, 1).date()
    )
    assert "2099-01-05" in manager.get("/settings").text
    assert 303 == manager.act("/calendar", day="2099-01-05").status_code
    assert 409 == manager.act("/calendar", day="2099-01-05").status_code
    assert 400 == manager.act("/calendar", day="soon", off="1").status_code


def test_the_settings_are_the_administrator_s(served: Served, run: Run) -> None:
    manager, administrator = served.visitor("manager"), served.visitor("administrator")
    assert 403 == manager.act("/dialler/reload").status_code
    assert run(flags.told, flags.RELOAD) is None
    assert 303 == administrator.act("/dialler/reload").status_code
    assert run(flags.told, flags.RELOAD) is not None
    run(_refused)
    text = administrator.get("/settings", headers=ENGLISH).text
    assert "1 were refused" in text
    number = run(_dead)
    assert 403 == manager.act("/dialler/send-again", message=str(number)).status_code
    assert 303 == administrator.act("/dialler/send-again", message=str(number)).status_code
    assert 409 == administrator.act("/dialler/send-again", message=str(number)).status_code
    assert 404 == administrator.act("/dialler/stop").status_code


def _refused(db: sa.Connection) -> None:
    first = db.scalar(sa.select(sa.func.min(schema.outbox.c.id)))
    which = schema.outbox.c.id == first
    db.execute(sa.update(schema.outbox).where(which).values(state="dead", error="no rights"))


def _dead(db: sa.Connection) -> int:
    return int(db.scalar(sa.select(schema.outbox.c.id).where(schema.outbox.c.state == "dead")) or 0)


@pytest.fixture
def with_portal(served: Served) -> Iterator[SimulatedPortal]:
    """A portal behind the board, with a task."""
    portal = SimulatedPortal()
    add_operator(portal, 501, "101")
    with serve(portal) as webhook:
        served.change(webhook)
        yield portal


def test_friday_at_three_is_moved_in_the_portal(
    served: Served, run: Run, with_portal: SimulatedPortal
) -> None:
    manager = served.visitor("manager")
    now = datetime.now(UTC)
    number = add_task(with_portal, "Позвонить", responsible=501, deadline=now)
    answer = manager.act(f"/tasks/{number}/postpone", until="2099-01-02T15:00")
    assert 303 == answer.status_code
    moved = with_portal.tasks[number]["DEADLINE"].astimezone(UTC)
    assert (2099, 1, 2) == (moved.year, moved.month, moved.day)
    assert [("postpone", str(number))] == [one[:2] for one in acted(run, "postpone")]
    assert 400 == manager.act(f"/tasks/{number}/postpone", until="2020-01-02T15:00").status_code
    assert 400 == manager.act(f"/tasks/{number}/postpone").status_code
    assert 404 == manager.act("/tasks/999999/postpone", until="2099-01-02T15:00").status_code
    with_portal.forbidden.add("tasks.task.update")
    assert 502 == manager.act(f"/tasks/{number}/postpone", until="2099-01-03T15:00").status_code
    assert 1 == len(acted(run, "postpone")), "only what was done is in the log"


def test_all_calls_to_a_client_stand_on_the_task(served: Served) -> None:
    text = served.visitor("viewer").get("/tasks/9001", headers=ENGLISH).text
    assert "All calls to this client" in text
    assert "+442079460001" in text.partition("All calls to this client")[2]


def test_tasks_by_reason(served: Served) -> None:
    viewer = served.visitor("viewer")
    found = viewer.get("/tasks", params={"reason": "talked"}).text
    assert "/tasks/9001" in found and '/tasks/9000"' not in found


def test_abandoned_calls_alone(served: Served) -> None:
    viewer = Visitor(served.address)
    viewer.log_in("viewer")
    assert "/tasks/9001" not in viewer.get("/calls?abandoned=1").text
