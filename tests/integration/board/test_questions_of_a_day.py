"""
The twenty questions that a manager asks in a day: each is answered on the board and by a command,
in at most two steps, in Russian, and right. The day is known: Monday, 16 November 2026.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from attrs import define, evolve
from click.testing import CliRunner

from autodial.cli.main import main
from autodial.config.load import load
from autodial.model.act import Actor, Door
from autodial.model.attempt import Report
from autodial.model.operator import PresenceRules
from autodial.model.role import Role
from autodial.store import acts, flags, presence, tasks
from bitrix24 import Employee, Presence
from bitrix24.simulator import SimulatedPortal, serve
from bitrix24.simulator.seed import add_contact, add_operator, add_task
from demo.pbx import free_ports
from tests.integration.board.conftest import HASH, Served, Visitor
from tests.integration.cli.test_cli import path  # noqa: F401
from tests.integration.cli.test_reports import NINE, call, failed, talk
from tests.integration.store.test_ledger import PHONE, portal_task

Run = Callable[..., Any]
DAY = "2026-11-16"
RUSSIAN = {"Accept-Language": "ru"}
MISSED = Report(
    stage="dial", dial_status="ANSWER", cause=16, operator_state="", operator="102",
    answered=NINE + timedelta(hours=2), ended=NINE + timedelta(hours=2, seconds=30), trunk="c1",
)  # fmt: skip


@define
class Manager:
    """Somebody who asks, by a command or on the board."""

    path: Path
    board: Visitor
    portal: SimulatedPortal
    #: In the portal: a task of Сидоров's.
    task: int

    def says(self, *words: str, fails: bool = False) -> str:
        """What a command answers, as one line."""
        result = CliRunner().invoke(
            main, ["--config", str(self.path), *words], env={"COLUMNS": "250", "LC_ALL": "ru"}
        )
        assert (result.exit_code != 0) is fails, result.output
        return " ".join(result.output.split())

    def sees(self, page: str, **query: str) -> str:
        """The text of a page, as one line."""
        until = monotonic() + 60
        while True:
            answer = self.board.get(page, params=query, headers=RUSSIAN)
            assert 200 == answer.status_code, answer.text
            if "считается по модели" not in answer.text:
                return " ".join(answer.text.split())
            assert monotonic() < until, "the forecast is never made"

    def presses(self, button: str, **fields: str) -> None:
        answer = self.board.act(button, **fields)
        assert 303 == answer.status_code, answer.text


@pytest.fixture
def manager(run: Run, path: Path) -> Iterator[Manager]:  # noqa: F811
    """
    Иванов (101) has talked twice and Петрова (102) missed a call, c2 failed, Сидоров has two
    tasks, one is late, one waits for its deadline.
    """
    portal = SimulatedPortal()
    add_operator(portal, 501, "101")
    sidorov = add_contact(portal, "Сидоров", ("MOBILE", "+442079468111"))
    here = add_task(portal, "Позвонить", sidorov, responsible=501, deadline=NINE)
    with serve(portal) as webhook:
        text = path.read_text().replace("http://127.0.0.1/rest/1/s3cretpath/", webhook)
        text = text.replace("[portal]", 'language = "ru"\n[portal]', 1)
        path.write_text(text + '\n[[purposes]]\nname = "debt"\ntag = "debt"\n')
        fill(run, here, int(sidorov.removeprefix("C_")))
        served = Served(load(path), free_ports(1)[0])
        served.start()
        yield Manager(path, served.visitor("manager"), portal, here)
        served.stop()


def fill(run: Run, in_portal: int, sidorov: int) -> None:
    now = datetime.now(UTC)
    people = [
        Employee(id=number, name=name, extension=extension, active=True, online=True,
                 last_login=now)
        for number, name, extension in ((501, "Иванов", "101"), (502, "Петрова", "102"))
    ]  # fmt: skip
    there = {501: Presence(working_day="opened"), 502: Presence(working_day="opened")}
    run(presence.save_staff, people, there, now, PresenceRules(active_within=timedelta(minutes=9)))
    call(run, 8101, NINE, talk(NINE, 2, 60), "Первый")
    call(run, 8102, NINE, talk(NINE, 4, 30), "Второй")
    call(run, 8103, NINE, failed("BUSY", 17), "Третий")
    call(run, 8104, NINE + timedelta(hours=1), failed("CONGESTION", 34, "c2"), "Четвёртый")
    call(run, 8105, NINE + timedelta(hours=2), MISSED, "Пятый")
    phone = evolve(PHONE, number="+442079468111", client="Сидоров", entity_id=sidorov)
    for number, due in (
        (in_portal, NINE), (8112, now + timedelta(days=400)),
    ):  # fmt: skip
        task = evolve(portal_task(number, due), responsible=501)
        run(tasks.save_tasks, [tasks.Imported(task, (phone,))], now, asked=now)
    run(flags.mark, now, flags.ALIVE, flags.PBX_UP, flags.PORTAL_SEEN)
    shell = Actor("root", Door.COMMAND)
    run(acts.save_account, "manager", Role.MANAGER, HASH, shell, now)


def test_1_who_is_late(manager: Manager) -> None:
    """Finished talks are not among them."""
    for told in (manager.says("tasks", "--late"), manager.sees("/tasks", late="1")):
        assert "Сидоров" in told and str(manager.task) in told
        assert "Первый" not in told and "8112" not in told


def test_2_why_is_this_client_not_called(manager: Manager) -> None:
    assert "8112" in manager.says("tasks", "--client", "сидоров")
    assert "срок ещё не наступил" in manager.says("why", "8112")
    assert "/tasks/8112" in manager.sees("/tasks", client="сидоров")
    assert "срок ещё не наступил" in manager.sees("/tasks/8112")


def test_3_why_is_this_number_not_called(manager: Manager) -> None:
    assert "8112" in manager.says("tasks", "--number", "+44 20 7946 8111")
    manager.says("do-not-call", "--add", "+442079468111")
    assert "не звонить" in manager.says("why", str(manager.task)).lower()
    assert "Сидоров" in manager.sees("/never")


def test_4_why_does_ivanov_get_no_calls(manager: Manager) -> None:
    manager.says("pause", "101", "--why", "обед")
    assert "на паузе" in manager.says("why", "--operator", "101")
    seen = manager.sees("/operators/501")
    assert "на паузе" in seen and "обед" in seen


def test_5_call_this_one_now(manager: Manager) -> None:
    manager.says("call-now", "8112")
    due = manager.says("tasks", "--late")
    assert "8112" in due, "it is due now"
    manager.presses(f"/tasks/{manager.task}/call-now")
    assert "звонить сейчас" in manager.sees(f"/tasks/{manager.task}").lower()
    assert "звонить сейчас" in manager.says("audit", "8112")


def test_6_stop_everything_and_see_that_it_is_stopped_and_why(manager: Manager) -> None:
    manager.says("pause", "--why", "пожар", "--until", "2099-01-01T14:00")
    for told in (manager.says("status"), manager.sees("/")):
        assert "пауза для всех" in told.lower() and "пожар" in told
    manager.presses("/operators/0/resume")
    assert "пауза для всех: " not in manager.sees("/")


def test_7_stop_one_purpose_and_one_person_until_two(manager: Manager) -> None:
    manager.presses("/purposes/pause", purpose="debt", why="сбой базы")
    assert "debt" in manager.says("status")
    assert "пауза" in manager.sees("/settings").partition("debt")[2]
    manager.presses("/purposes/resume", purpose="debt")
    manager.presses("/operators/502/pause", why="врач", until="2099-01-01T14:00")
    assert "14:00" in manager.sees("/operators/502")
    assert "на паузе" in manager.says("why", "--operator", "102")


def test_8_all_calls_to_this_client_over_all_tasks(manager: Manager) -> None:
    for told in (
        manager.says("calls", "первый", "--day", DAY),
        manager.sees("/calls", who="первый", day=DAY),
    ):  # fmt: skip
        assert "8101" in told and "8102" not in told
    for told in (
        manager.says("calls", "+442079468101"), manager.sees("/calls", who="+442079468101"),
    ):  # fmt: skip
        assert "8101" in told and "разговор состоялся" in told


def test_9_how_many_were_reached_by_hour(manager: Manager) -> None:
    assert "09:00 3 2 67 %" in manager.says("report", "--day", DAY)
    assert '<th scope="row">09:00</th><td>3</td><td>2 (67 %)</td>' in manager.sees("/day", day=DAY)


def test_10_who_talked_how_long(manager: Manager) -> None:
    assert "Иванов 101" in manager.says("work-times", "--day", DAY)
    assert "0:01:30" in manager.says("work-times", "--day", DAY)
    seen = manager.sees("/day", day=DAY)
    assert "Иванов" in seen and "1:30" in seen


def test_11_which_trunk_fails_and_why(manager: Manager) -> None:
    assert "c2 1 0 0 %" in manager.says("report", "--day", DAY, "--by", "trunk")
    for told in (
        manager.says("report", "--day", DAY, "--by", "trunk"), manager.sees("/day", day=DAY),
    ):  # fmt: skip
        assert "34×1" in told.partition("c2")[2]


def test_12_how_many_were_abandoned_which_and_through_whom(manager: Manager) -> None:
    for told in (
        manager.says("calls", "--abandoned", "--day", DAY),
        manager.sees("/calls", abandoned="1", day=DAY),
    ):  # fmt: skip
        assert "Пятый" in told and "потерян" in told and "Первый" not in told


def test_13_tomorrow_with_five_people(manager: Manager) -> None:
    """The tasks that are really due, and what holds the others."""
    manager.says("do-not-call", "--add", "+442079468103")
    day = next(
        day for day in (datetime.now(UTC).date() + timedelta(days=n) for n in range(1, 8))
        if day.isoweekday() < 6
    )  # fmt: skip
    told = manager.says("simulate", "--due", "--operators", "5", "--date", f"{day}")
    assert "задач" in told and "5" in told
    seen = manager.sees("/day", day=f"{day}", operators="5")
    assert "Прогноз" in seen and "закончено задач" in seen


def test_14_hand_his_tasks_over_until_friday_and_back(manager: Manager) -> None:
    manager.says("hand-over", "101", "102", "--until", "пт 18:00")
    for told in (manager.says("hand-over"), manager.sees("/operators/501")):
        assert "Петрова" in told and "18:00" in told
    manager.presses("/operators/501/take-back")
    assert "Петрова" not in manager.says("hand-over")


def test_15_friday_at_three(manager: Manager) -> None:
    manager.says("postpone", str(manager.task), "пт 15:00")
    moved = manager.portal.tasks[manager.task]["DEADLINE"].astimezone(UTC)
    assert (5, 15) == (moved.isoweekday(), moved.hour)
    manager.presses(f"/tasks/{manager.task}/postpone", until="2099-01-02T15:00")
    moved = manager.portal.tasks[manager.task]["DEADLINE"].astimezone(UTC)
    assert (2099, 15) == (moved.year, moved.hour)


def test_16_never_again_and_the_crm_knows(manager: Manager) -> None:
    manager.says("do-not-call", "--add", "+442079468111", "--why", "просил [b]письменно")
    (told,) = manager.portal.timeline
    assert "contact" == told["TYPE"] and "больше не звонить" in told["COMMENT"]
    assert "[b]" not in told["COMMENT"], "what people type is no markup"
    manager.says("do-not-call", "--remove", "+442079468111")
    manager.presses(f"/tasks/{manager.task}/never", sure="1", why="просил")
    assert 2 == len(manager.portal.timeline)
    assert "Сидоров" in manager.sees("/never")


def test_17_the_number_was_wrong_and_is_mended(manager: Manager, run: Run) -> None:
    """Mended in the CRM; the next poll brings it, the story says so, and he is called again."""
    call(run, 8106, NINE, failed("CHANUNAVAIL", 1), "Шестой")
    assert "исправьте номер в CRM" in manager.says("why", "8106")
    assert "исправьте номер в CRM" in manager.sees("/tasks/8106")
    now = datetime.now(UTC)
    phone = evolve(PHONE, number="+442079460199", client="Шестой", entity_id=8106)
    mended = tasks.Imported(portal_task(8106, NINE), (phone,))
    run(tasks.save_tasks, [mended], now, asked=now)
    for told in (manager.says("show", "8106"), manager.sees("/tasks/8106")):
        assert "номер исправлен" in told and "+442079460199" in told


def test_18_two_tasks_of_one_client(manager: Manager) -> None:
    for told in (
        manager.says("tasks", "--client", "Сидоров"), manager.sees("/tasks", client="Сидоров"),
    ):  # fmt: skip
        assert str(manager.task) in told and "8112" in told


def test_19_tomorrow_is_a_holiday(manager: Manager) -> None:
    manager.says("day-off", "2099-01-05", "--why", "праздник")
    assert "2099-01-05 праздник" in manager.sees("/settings")
    manager.presses("/calendar", day="2099-01-05")
    assert "2099-01-05" not in manager.says("day-off")


def test_20_who_changed_what_and_a_table_for_the_boss(manager: Manager, tmp_path: Path) -> None:
    manager.presses("/operators/502/pause", why="врач")
    for told in (manager.says("audit"), manager.sees("/log")):
        assert "manager" in told and "врач" in told and "пауза" in told
    file = tmp_path / "день.xlsx"
    manager.says("report", "--day", DAY, "--file", str(file))
    assert file.read_bytes().startswith(b"PK")
    answer = manager.board.get(f"/day?day={DAY}&by=hour&file=.csv", headers=RUSSIAN)
    assert "час;звонков" in answer.content.decode("utf-8-sig")
