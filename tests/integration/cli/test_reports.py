"""What was: ``report``, ``calls``, ``audit``, and the lists for a spreadsheet."""

import ast
import csv
import json
import zipfile
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from attrs import evolve
from click.testing import Result
from hypothesis import example, given
from hypothesis import strategies as st

import autodial
from autodial.model.act import Act, Actor, Door
from autodial.model.attempt import Report
from autodial.model.ids import OperatorId, TaskId
from autodial.model.outcome import Outcome
from autodial.rules.end_policy import EndPolicy
from autodial.rules.report import TOTAL, By, EndedCall, Sum, best_hours, summed
from autodial.spreadsheets import safe
from autodial.store import acts, attempt_end, audit, ledger, planning, schema, tasks
from tests.integration.cli.test_cli import path, staff, told  # noqa: F401
from tests.integration.store.test_ledger import PHONE, dial, portal_task

Run = Callable[..., Any]
NINE = datetime(2026, 11, 16, 9, 5, tzinfo=UTC)  # a Monday
SHELL = Actor("ivan", Door.COMMAND)
EVIL = '=HYPERLINK("http://x","y")'


def call(run: Run, task: int, at: datetime, report: Report, client: str = "Иван") -> str:
    """One call of a task of its own, begun then; its number ends in the task's last digits."""
    phone = evolve(PHONE, number=f"+44207946{task % 10_000:04}", client=client, entity_id=task)
    run(tasks.save_tasks, [tasks.Imported(portal_task(task, at), (phone,))], at, asked=at)
    attempt = dial(run, task, at=at)
    run(ledger.claim, attempt, at)
    run(attempt_end.record, attempt, report, at + timedelta(minutes=2), EndPolicy())
    return str(attempt)


def talk(at: datetime, wait: int, seconds: int, trunk: str = "c1") -> Report:
    answered = at + timedelta(seconds=10)
    talked = answered + timedelta(seconds=wait)
    return Report(
        stage="dial", dial_status="ANSWER", cause=16, operator_state="talk", operator="101",
        answered=answered, talked=talked, ended=talked + timedelta(seconds=seconds), trunk=trunk,
    )  # fmt: skip


def failed(status: str, cause: int, trunk: str = "c1") -> Report:
    return Report(stage="dial", dial_status=status, cause=cause, trunk=trunk)


@pytest.fixture
def monday(run: Run, told: Callable[..., Result]) -> Callable[..., Result]:  # noqa: F811
    """Five calls: two talks and a busy phone from nine, a failing trunk and a late talk."""
    staff(run, "101")
    ten = NINE + timedelta(hours=1)
    call(run, 8101, NINE, talk(NINE, 2, 60))
    call(run, 8102, NINE, talk(NINE, 4, 30))
    call(run, 8103, NINE, failed("BUSY", 17))
    call(run, 8104, ten, failed("CONGESTION", 34, "c2"), EVIL)
    late = NINE + timedelta(hours=14, minutes=50)  # 23:55
    call(run, 8105, late, talk(late, 3, 90))
    return told


def lines(result: Result) -> dict[str, list[str]]:
    """Rows of a table by their first words."""
    assert 0 == result.exit_code, result.output
    table = result.output.partition("\ntasks: ")[0].splitlines()[2:]
    rows = [line.split() for line in table if line.strip()]
    return {row[0]: row[1:] for row in rows}


def test_a_day_by_hour(monday: Callable[..., Result]) -> None:
    shown = lines(monday("report", "--day", "2026-11-16"))

    assert ["09:00", "10:00", "23:00", "total"] == list(shown)
    assert ["3", "2", "67", "%", "2", "0:01:30", "0:00:45", "3.0", "s", "0", "17×1"] == (
        shown["09:00"]
    )
    assert ["5", "3", "60", "%", "3", "0:03:00"] == shown["total"][:6]


def test_by_trunk_outcome_operator_and_weekday(monday: Callable[..., Result]) -> None:
    of_day = ("report", "--from", "2026-11-16", "--to", "2026-11-22", "--by")
    assert ["1", "0", "0", "%", "0"] == lines(monday(*of_day, "trunk"))["c2"][:5]
    assert "34×1" == lines(monday(*of_day, "trunk"))["c2"][-1]
    assert ["3", "3"] == lines(monday(*of_day, "outcome"))["talked"][:2]
    assert ["5"] == lines(monday(*of_day, "weekday"))["monday"][:1]
    assert ["5"] == lines(monday(*of_day, "day"))["2026-11-16"][:1]
    operators = json.loads(monday(*of_day, "operator", "--json").output)
    assert [3, 2, 5] == [row["calls"] for row in operators]


def test_a_day_is_the_call_centre_s(
    monday: Callable[..., Result],
    path: Path,  # noqa: F811
) -> None:
    """23:55 in London is Tuesday in Moscow."""
    path.write_text(path.read_text().replace('zone = "UTC"', 'zone = "Europe/Moscow"'))
    assert "4" == lines(monday("report", "--day", "2026-11-16"))["total"][0]
    assert ["02:00", "total"] == list(lines(monday("report", "--day", "2026-11-17")))


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--day", "soon"), "write 2026-11-27, today or yesterday"),
        (("--to", "2026-11-16"), "--to needs --from"),
        (("--day", "today", "--from", "2026-11-16"), "--day, or --from and --to"),
        (("--from", "2026-11-16", "--to", "2026-11-15"), "is before"),
        (("--from", "2020-01-01", "--to", "2026-11-22"), "at most 366 days"),
        (("--file", "day.ods"), "name it .csv or .xlsx"),
    ],
)
def test_what_cannot_be_reported_is_said(
    told: Callable[..., Result],  # noqa: F811
    words: tuple[str, ...],
    why: str,
) -> None:
    result = told("report", *words)
    assert 2 == result.exit_code
    assert why in result.output


def test_what_became_of_the_tasks_and_when_to_call(monday: Callable[..., Result]) -> None:
    """The best hour is that of the most certain answers, not the luckiest one."""
    said = monday("report", "--day", "2026-11-16").output
    assert "tasks: 3 finished, 0 given up, 2 to be called again" in said
    assert "clients answer best at 09:00 (67%), 23:00 (100%)" in said
    week = lines(monday("report", "--day", "2026-11-16", "--by", "week-hour"))
    assert ["09:00", "3"] == week["monday"][:2] or "23:00" in week["monday"]
    assert ["5"] == lines(monday("report", "--day", "2026-11-16", "--by", "attempt"))["1"][:1]


def test_the_best_hour_is_a_certain_one() -> None:
    sums = [
        Sum(key=key, calls=calls, answered=answered, talked=0, abandoned=0, talk_seconds=0,
            mean_wait=None)
        for key, calls, answered in (("09:00", 100, 80), ("10:00", 3, 3), ("11:00", 5, 0),
                                     (TOTAL, 108, 83))
    ]  # fmt: skip
    assert ["09:00", "10:00"] == [one.key for one in best_hours(sums)]
    assert 0.438 == pytest.approx(sums[1].surely_answered, abs=0.001)


def test_how_operators_spent_their_time(
    monday: Callable[..., Result], run: Run, tmp_path: Path
) -> None:
    """At work from eight to six, and from before midnight; talks, ringing, and the rest."""
    for operator, at, kind in (
        (501, NINE - timedelta(minutes=65), "came"), (501, NINE + timedelta(hours=9), "left"),
        (501, NINE - timedelta(days=1), "came"), (501, NINE - timedelta(hours=20), "left"),
    ):  # fmt: skip
        run(_came_or_left, operator, at, kind)
    shown = lines(monday("work-times", "--day", "2026-11-16"))
    assert ["101", "10:05:00", "3", "0:03:00", "0:00:09", "10:01:51", "0"] == shown["Имя0"]
    assert {} == lines(monday("work-times", "--day", "2020-01-01"))
    run(_came_or_left, 501, NINE + timedelta(hours=14), "came")
    shown = lines(monday("work-times", "--day", "2026-11-17"))
    assert "24:00:00" == shown["Имя0"][1], "he has been there since the evening before"
    file = tmp_path / "times.xlsx"
    assert 0 == monday("work-times", "--day", "2026-11-16", "--file", str(file)).exit_code
    assert file.read_bytes().startswith(b"PK")


def _came_or_left(db: sa.Connection, operator: int, at: datetime, kind: str) -> None:
    db.execute(sa.insert(schema.presence).values(operator=operator, at=at, kind=kind))


def test_a_day_without_calls_is_a_row_of_noughts(told: Callable[..., Result]) -> None:  # noqa: F811
    assert ["0", "0", "0", "%", "0"] == lines(told("report", "--day", "2020-01-01"))["total"][:5]


def test_tables_for_a_russian_excel(monday: Callable[..., Result], tmp_path: Path) -> None:
    """A mark, semicolons, decimal commas; a client's name is no formula."""
    file = tmp_path / "day.csv"
    assert "4 rows" in monday("report", "--day", "2026-11-16", "--file", str(file)).output
    assert file.read_bytes().startswith("\ufeffhour;calls;answered;".encode())
    with file.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.reader(stream, delimiter=";"))
    assert ["09:00", "3", "2", "66,7", "2", "90", "45,0", "3,0", "0", "17×1"] == rows[1]
    monday("calls", "HYPERLINK", "--file", str(file))
    monday("tasks", "--file", str(tmp_path / "tasks.csv"))
    for name in ("day.csv", "tasks.csv"):
        with (tmp_path / name).open(encoding="utf-8-sig", newline="") as stream:
            cells = [cell for row in csv.reader(stream, delimiter=";") for cell in row]
        assert f"'{EVIL}" in cells and EVIL not in cells


def test_in_xlsx_text_is_text_and_numbers_are_numbers(
    monday: Callable[..., Result], tmp_path: Path
) -> None:
    for command, wanted in (
        (("calls", "HYPERLINK"), b"=HYPERLINK("),
        (("report", "--day", "2026-11-16"), b"<v>66.7</v>"),
    ):
        file = tmp_path / "table.xlsx"
        assert 0 == monday(*command, "--file", str(file)).exit_code
        with zipfile.ZipFile(file) as book:
            sheet = book.read("xl/worksheets/sheet1.xml")
            texts = book.read("xl/sharedStrings.xml")
        assert b"<f>" not in sheet, "a formula"
        assert wanted in sheet + texts


@given(st.text(max_size=30))
@example("\ud7fc=")
def test_no_cell_is_a_formula(text: str) -> None:
    cell = safe(text)
    assert isinstance(cell, str)
    assert not cell.startswith(("=", "-", "@", "\t", "\r", "\n"))
    assert not cell.startswith("+") or cell[1:].isdigit()


def test_a_file_that_cannot_be_written_is_said(
    told: Callable[..., Result],  # noqa: F811
    tmp_path: Path,
) -> None:
    for suffix in ("csv", "xlsx"):
        result = told("report", "--file", str(tmp_path / "nowhere" / f"day.{suffix}"))
        assert 1 == result.exit_code
        assert "No such file" in result.output and "Traceback" not in result.output


CALLS = st.builds(
    EndedCall,
    begun=st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 31), timezones=st.just(UTC)),
    outcome=st.sampled_from(Outcome), purpose=st.sampled_from(["", "debt"]),
    trunk=st.sampled_from(["", "c1", "c2"]), cause=st.integers(0, 127),
    operator=st.sampled_from(["", "Анна"]), talk_seconds=st.integers(0, 4000),
    wait_seconds=st.none() | st.floats(0, 60), abandoned=st.booleans(),
)  # fmt: skip


@given(st.lists(CALLS, max_size=20), st.sampled_from(By))
def test_no_call_is_counted_twice_or_left_out(calls: list[EndedCall], by: By) -> None:
    *sums, total = summed(calls, by, ZoneInfo("Europe/Moscow"))

    assert TOTAL == total.key
    assert len(calls) == total.calls == sum(one.calls for one in sums)
    for name in ("answered", "talked", "abandoned", "talk_seconds"):
        assert getattr(total, name) == sum(getattr(one, name) for one in sums)
    assert all(0 <= one.answer_rate <= 1 for one in (*sums, total))


def test_all_calls_to_a_client_by_number_and_by_name(
    monday: Callable[..., Result], run: Run
) -> None:
    """Also to a second number of the same client, for another task."""
    other = evolve(PHONE, number="+442079469999", client="Иван", entity_id=8103)
    at = NINE + timedelta(hours=3)
    run(tasks.save_tasks, [tasks.Imported(portal_task(8199, at), (other,))], at, asked=at)
    attempt = dial(run, 8199, at=at)
    run(ledger.claim, attempt, at)
    run(attempt_end.record, attempt, failed("NOANSWER", 19), at, EndPolicy())
    shown = json.loads(monday("calls", "+44 20 7946 8103", "--json").output)
    assert [8199, 8103] == [row["task"] for row in shown]

    assert "8104" in monday("calls", "hyperlink").output
    assert json.loads(monday("calls", "nobody", "--json").output) == []


def test_the_calls_of_a_day_and_the_abandoned_ones(monday: Callable[..., Result], run: Run) -> None:
    """Which, and through whom: the client said hello, and heard nobody."""
    at = NINE + timedelta(hours=2)
    alone = Report(
        stage="dial", dial_status="ANSWER", cause=16, operator_state="NOANSWER", operator="101",
        answered=at, ended=at + timedelta(seconds=20), trunk="c1",
    )  # fmt: skip
    call(run, 8110, at, alone, "Пётр")

    def asked(*words: str) -> list[int]:
        return [row["task"] for row in json.loads(monday("calls", *words, "--json").output)]

    day = ("--day", "2026-11-16")
    assert [8105, 8110, 8104] == asked(*day)[:3], "the latest first"
    assert [8110] == asked(*day, "--abandoned")
    assert [8103] == asked(*day, "--outcome", "BUSY")
    assert [8110] == asked("пётр", *day)
    assert [] == asked("пётр", "--day", "2026-11-17")
    assert [] == asked(), "today"
    assert "Имя0" in monday("calls", *day, "--abandoned").output
    (line,) = (row for row in json.loads(monday("report", *day, "--json").output)
               if row["key"] == "11:00")  # fmt: skip
    assert 1 == line["abandoned"]


def test_a_number_is_never_called_again_by_command(monday: Callable[..., Result], run: Run) -> None:
    """Also on the client's other numbers, in tasks that wait; once; it is in the log."""
    other = evolve(PHONE, number="+442079469998", client="Иван", entity_id=8103)
    at = NINE + timedelta(hours=3)
    run(tasks.save_tasks, [tasks.Imported(portal_task(8198, at), (other,))], at, asked=at)
    added = monday("do-not-call", "--add", "+44 20 7946 8103", "--why", "письмо")
    assert "+442079468103: never called again" in added.output and "Иван" in added.output
    assert "on the list already" in monday("do-not-call", "--add", "+442079468103").output
    assert 2 == monday("do-not-call", "--add", "12").exit_code
    (entry,) = json.loads(monday("do-not-call", "--json").output)
    assert ("Иван", "письмо", "", "") == (
        entry["client"], entry["why"], entry["operator"], entry["attempt"]
    )  # fmt: skip
    for task in (8103, 8198):
        known = run(planning.load_task, TaskId(task))
        assert known.phones[0].do_not_call
    assert not run(planning.load_task, TaskId(8101)).phones[0].do_not_call
    (line,) = json.loads(monday("audit", "--json").output)
    assert ("never call", "+442079468103", "письмо") == (
        line["act"], line["about"], line["detail"]
    )  # fmt: skip
    assert "since" in monday("calls", "+442079468103").output
    assert 0 == monday("do-not-call", "--remove", "+442079468103").exit_code
    assert not run(planning.load_task, TaskId(8198)).phones[0].do_not_call

    assert 0 == monday("do-not-call", "--add", "+442079467777").exit_code, "of nobody we know"


def test_tomorrow_with_as_many_tasks_as_are_really_due(
    monday: Callable[..., Result], run: Run
) -> None:
    """Those that nobody may call are named apart."""
    morning = datetime.now(UTC) + timedelta(days=1)
    for task in (8201, 8202):
        run(tasks.save_tasks, [tasks.Imported(portal_task(task, morning), ())], NINE, asked=NINE)
    run(lambda db: db.execute(
        sa.update(schema.tasks).where(schema.tasks.c.id == 8202).values(reason="no phone")
    ))  # fmt: skip
    open_ones = [row for row in json.loads(monday("tasks", "--json").output)
                 if row["reason"] != "talked" and row["due"] is not None]  # fmt: skip
    day = f"{morning:%Y-%m-%d}"
    words = ("simulate", "--due", "--date", day, "--hours", "09:00-23:59", "--operators", "5")
    shown = monday(*words)

    assert 0 == shown.exit_code, shown.output
    assert "1 tasks are held: no phone" in " ".join(shown.output.split())
    assert f"{len(open_ones) - 1} tasks are due by the end of {day}" in shown.output
    assert f"/{len(open_ones) - 1} " in shown.output
    assert 2 == monday("simulate", "--due", "--replay", "2026-11-16").exit_code


def test_lists_of_tasks_by_what_is_asked(monday: Callable[..., Result], run: Run) -> None:
    """A late one first, finished talks last; by responsible, client, reason."""

    def asked(*words: str) -> list[int]:
        return [row["id"] for row in json.loads(monday("tasks", *words, "--json").output)]

    open_ones = asked()
    assert {8101, 8102, 8105} == set(open_ones[-3:]), "talked: nothing to do"
    assert {8101, 8102, 8105}.isdisjoint(asked("--late"))
    assert {8103, 8104} <= set(asked("--late"))
    assert [8104] == asked("--client", "hyperlink")
    assert [8103] == asked("--number", "+44 20 7946 8103")
    assert [] == asked("--number", "soon")
    assert set(asked("--operator", "101")) == set(open_ones)
    assert set(asked("--reason", "TALKED")) == {8101, 8102, 8105}
    assert 1 == monday("tasks", "--operator", "999").exit_code
    assert 2 == monday("tasks", "--late", "--all").exit_code


def test_who_did_what(
    told: Callable[..., Result],  # noqa: F811
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every act leaves a line with who and through which door; what changed nothing, none."""
    staff(run, "101")
    monkeypatch.setenv("SUDO_USER", "petrov")
    for words in (
        ("pause", "101", "--why", "обед"), ("resume", "101"), ("resume", "101"), ("pause",),
        ("resume",), ("call-now", "8017"), ("skip", "8017", "--why", "сам"),
        ("skip", "8017", "--undo"), ("skip", "1"), ("day-off", "2099-01-01"),
        ("day-off", "2099-01-01", "--remove"), ("day-off", "2099-01-01", "--remove"),
    ):  # fmt: skip
        told(*words)
    rows = json.loads(told("audit", "--json").output)

    assert [
        ("pause", "101", "обед"), ("resume", "101", ""), ("pause", "", ""), ("resume", "", ""),
        ("call now", "8017", ""), ("skip", "8017", "сам"), ("unskip", "8017", ""),
        ("day off", "2099-01-01", ""), ("working day", "2099-01-01", ""),
    ] == [(row["act"], row["about"], row["detail"]) for row in reversed(rows)]  # fmt: skip
    assert {("petrov", "command")} == {(row["who"], row["door"]) for row in rows}
    of_task = json.loads(told("audit", "8017", "--json").output)
    assert ["unskip", "skip", "call now"] == [row["act"] for row in of_task]
    assert "petrov" in told("audit").output and "everybody" in told("audit").output


def test_a_line_of_the_log_is_no_longer_than_it_may_be(run: Run) -> None:
    run(acts.pause, OperatorId(0), SHELL, NINE, "x" * 10_000)
    (line,) = run(audit.lines, NINE)
    assert audit.LONGEST == len(line.detail)


#: Functions that change what a person decides: only ``store/acts`` may call them.
LOW = {
    "pauses": {"pause", "resume", "pause_purpose", "resume_purpose"},
    "days_off": {"add", "remove"},
    "dispositions": {"save", "call_again", "never_call"},
    "tasks": {"confirm", "skip", "unskip"},
    "delivery": {"again"},
}


def test_no_act_goes_past_the_log() -> None:
    """Whoever calls these functions elsewhere acts without a trace."""
    past = []
    house = Path(autodial.__file__).parent
    for file in house.rglob("*.py"):
        if file.parent.name == "store":
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                if node.attr in LOW.get(node.value.id, ()):
                    past.append(f"{file.relative_to(house)}:{node.lineno} {node.attr}")
            elif isinstance(node, ast.ImportFrom) and node.module is not None:
                module = node.module.rpartition(".")[2]
                if node.module.startswith("autodial.store"):
                    past += [a.name for a in node.names if a.name in LOW.get(module, ())]
    assert [] == past


def test_every_act_is_called_something_in_both_languages() -> None:
    from autodial import texts

    assert {f"act.{act.value}" for act in Act} | {f"door.{door.value}" for door in Door} <= set(
        texts.CATALOGUE
    )


def test_today_is_the_default(monday: Callable[..., Result]) -> None:
    assert ["total"] == list(lines(monday("report"))) or date.today() == NINE.date()
