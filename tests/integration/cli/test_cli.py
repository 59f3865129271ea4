"""The command line on a real store: its output for people and for programs."""

import csv
import json
import re
import signal
import socket
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest
import sqlalchemy as sa
import tomlkit
from attrs import evolve
from click.testing import CliRunner, Result

from autodial.cli.main import main
from autodial.cli.staff import _logout
from autodial.config.load import load
from autodial.config.place import Place, Server
from autodial.config.settings import Config
from autodial.model.disposition import Disposition
from autodial.model.ids import OperatorId, TaskId
from autodial.model.operator import PresenceRules
from autodial.model.task import Phone
from autodial.moments import moment_of
from autodial.rules.end_policy import EndPolicy
from autodial.rules.hangup import parse_report
from autodial.rules.phone_numbers import Refused
from autodial.store import (
    attempt_end,
    attempt_queries,
    delivery,
    dispositions,
    flags,
    in_force,
    ledger,
    nodes,
    outbox,
    pauses,
    planning,
    presence,
    stand_ins,
    tasks,
    views,
)
from autodial.store.database import read, write
from autodial.store.events import note
from autodial.store.locks import LEADER, NODES, OURS, node_lock
from autodial.store.ownership import only_one
from autodial.store.releases import migrate
from autodial.store.schema import attempts
from bitrix24 import Employee, LoginEvent, Portal, Presence
from bitrix24.simulator import Fault, SimulatedPortal, serve
from bitrix24.simulator.seed import add_operator, add_task
from bitrix24.simulator.state import SCOPES
from demo.pbx import free_ports
from tests.cluster import Cluster
from tests.integration.conftest import NOON
from tests.integration.store.test_ledger import BUSY, PHONE, TALKED, bring, dial, portal_task

Run = Callable[..., Any]


#: These commands read the real clock.
LONG_AGO = datetime(2020, 1, 6, 12, 0, tzinfo=UTC)


def stored(place: Place) -> dict[str, Any]:
    """The settings' sections about the store."""
    if isinstance(place, Path):
        return {"store": {"path": str(place)}}
    asterisk = {"spool": "/nowhere", "trunks": [{"name": "c", "lines": 1}]}
    reached = {"ami_port": free_ports(1)[0], "ami_secret": "0123456789abcdef"}
    return {
        "store": {"url": place.url},
        "node": {"name": place.node},
        "asterisk": {**asterisk, **reached},
    }


@pytest.fixture
def path(place: Place, tmp_path: Path) -> Path:
    """A configuration file."""
    path = tmp_path / "autodial.toml"
    path.write_text(
        tomlkit.dumps(
            {
                "portal": {"webhook": "http://127.0.0.1/rest/1/s3cretpath/"},
                "tasks": {"tag": "autodial"},
                "staff": {"departments": [5]},
                "asterisk": {"spool": "/nowhere", "trunks": [{"name": "c", "lines": 1}]},
                "fastagi": {"port": free_ports(1)[0], "secret": "0123456789abcdef"},
                "hours": {"zone": "UTC"},
                **stored(place),
            }
        )
    )
    path.chmod(0o600)
    return path


@pytest.fixture
def told(path: Path, run: Run) -> Callable[..., Result]:
    """``autodial`` on a store in which task 8017 was dialled once and found busy."""
    bring(run, portal_task(8017), portal_task(8018, None))
    attempt = dial(run)
    run(ledger.claim, attempt, NOON)
    run(attempt_end.record, attempt, BUSY, NOON, EndPolicy())
    return lambda *words: CliRunner().invoke(main, ["--config", str(path), *words])


def test_tasks(told: Callable[..., Result]) -> None:
    rows = json.loads(told("tasks", "--json").output)
    busy = next(row for row in rows if row["id"] == 8017)

    assert (busy["last"], busy["attempts"], busy["due"]) == ("busy", 1, "2026-11-23T12:20:00+00:00")
    assert "busy" in told("tasks").output


def test_why(told: Callable[..., Result], run: Run) -> None:
    far = datetime(2099, 1, 5, 10, 0, tzinfo=UTC)
    run(tasks.save_tasks, [tasks.Imported(portal_task(8019, far), (PHONE,))], NOON, asked=NOON)
    output = told("why", "8019").output

    assert "8019 Позвонить: not due yet" in output
    assert "looked at again 05.01. 10:00" in output
    assert "move the deadline forward" in output, "the output says what would change it"
    assert "the dialler does not run" in output
    assert [("no", "closed"), ("YES", "not due")] == [
        (words[0], " ".join(words[1:3]) if words[1] == "not" else words[1])
        for words in (line.split() for line in output.splitlines())
        if words and words[0] in ("no", "YES") and words[1] in ("closed", "not")
    ]
    (row,) = json.loads(told("why", "8019", "--json").output)
    assert "not due" == row["decision"]["reason"]
    assert told("why", "4711").exit_code == 1
    assert told("why").exit_code == told("why", "8019", "--operator", "101").exit_code == 2


def test_why_an_operator_gets_no_calls(told: Callable[..., Result], run: Run) -> None:
    staff(run, "101", "102")
    bring(run, portal_task(8021, LONG_AGO))
    run(presence.save_phones, {"101": "INUSE", "102": "NOT_INUSE"})
    output = told("why", "--operator", "101").output
    assert "(101): in a call" in output and "8021" in output
    assert "(102): free" in told("why", "--operator", "102").output
    assert told("why", "--operator", "999").exit_code == 1


def test_who_is_never_called_again_and_who_is_after_all(
    told: Callable[..., Result], run: Run
) -> None:
    staff(run, "101")
    mine = dial(run, 8017)
    run(ledger.claim, mine, NOON)
    run(attempt_end.record, mine, TALKED, NOON, EndPolicy())
    saved = run(
        dispositions.save, OperatorId(501), Disposition.DO_NOT_CALL, NOON, EndPolicy(),
    )  # fmt: skip
    assert mine == saved
    shown = told("do-not-call").output
    assert "+442079460000" in shown and "Иван" in shown and mine in shown
    assert "+442079460000" == json.loads(told("do-not-call", "--json").output)[0]["number"]
    assert told("do-not-call", "--remove", "+442079460999").exit_code == 1
    assert "may be called again" in told("do-not-call", "--remove", "+44 20 7946 0000").output
    assert [] == run(dispositions.do_not_call_lines)


def test_what_if(told: Callable[..., Result], tmp_path: Path) -> None:
    table, curve, plot = (tmp_path / name for name in ("day.csv", "curve.csv", "day.svg"))
    common = ("simulate", "--tasks", "6", "--date", "2026-11-23")
    some = told(*common, "--operators", "1,2", "--dial-ratio", "1,2", "--csv", str(table), "--svg",
                str(plot), "--curve", str(curve))  # fmt: skip
    rows = [line.split() for line in some.output.splitlines() if line.strip()[:1].isdigit()]
    assert [("1", "1"), ("1", "2"), ("2", "1"), ("2", "2")] == [(r[0], r[1]) for r in rows]
    assert curve.read_text().startswith("operators,dial_ratio,time,talks,attempts\n1,1.0,09:00,")
    with table.open(encoding="utf-8") as stream:
        sums = list(csv.DictReader(stream))
    assert [(row["operators"], row["dial_ratio"]) for row in sums] == [
        ("1", "1.0"), ("1", "2.0"), ("2", "1.0"), ("2", "2.0")
    ]  # fmt: skip
    assert [f" {row['done']}/6 " in some.output for row in sums] == [True] * 4
    assert all(0 <= float(row["busy_share"]) <= 1 for row in sums)
    assert plot.read_text().startswith("<svg")
    short = told(*common, "--hours", "12:00-12:30", "--curve", str(curve))
    assert short.exit_code == 0
    assert "12:30" == curve.read_text().splitlines()[-1].split(",")[2]
    off = told("simulate", "--date", "2026-11-22")
    assert off.exit_code == 1 and "does not work" in off.output


def test_a_day_of_the_ledger_is_simulated_again(told: Callable[..., Result]) -> None:
    """The call of the fixture ``told``. A day without calls is reported."""
    words = ("simulate", "--operators", "1", "--hours", "00:00-24:00")
    result = told(*words, "--replay", f"{NOON:%Y-%m-%d}")
    none = told(*words, "--replay", "2026-11-01")

    assert "/1 " in result.output
    assert none.exit_code == 1
    assert "the ledger has no calls" in none.output


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--operators", "many"), "a number, or several"),
        (("--operators", "0"), "from 1 to 999"),
        (("--dial-ratio", "0.5"), "from 1.0 to 5.0"),
        (("--hours", "9-20"), "hours are written"),
        (("--measured",), "too few calls to measure by"),
    ],
)
def test_what_cannot_be_simulated_is_said(
    told: Callable[..., Result], words: tuple[str, ...], expected: str
) -> None:
    result = told("simulate", "--date", "2026-11-23", *words)
    assert result.exit_code != 0 and expected in " ".join(result.output.split())


def test_a_pause_and_its_end(told: Callable[..., Result], run: Run) -> None:
    staff(run, "101")
    bring(run, portal_task(8021, LONG_AGO))
    assert told("resume", "101").exit_code == 1, "was not paused"
    assert told("pause", "101", "--why", "обед").exit_code == 0
    assert {501} == run(in_force.paused, NOON)
    assert "(101): paused" in told("why", "--operator", "101").output
    assert told("resume", "101").exit_code == 0
    assert told("pause").exit_code == 0
    assert {pauses.EVERYBODY} == run(in_force.paused, NOON)
    run(flags.mark, datetime.now(UTC), flags.ALIVE, flags.PBX_UP, flags.PORTAL_SEEN)
    assert "8021 Позвонить: the dialler is paused" in told("why", "8021").output
    assert told("resume").exit_code == 0
    assert told("pause", "999").exit_code == 1


def test_a_person_s_word(told: Callable[..., Result], run: Run) -> None:
    waits = tasks.Imported(portal_task(8020), (PHONE,), purpose="реклама", needs_confirmation=True)
    run(tasks.save_tasks, [waits], NOON, asked=NOON)
    assert "8020 Позвонить: waits for a person's" in told("why", "8020").output
    assert told("call-now", "8020").exit_code == 0
    assert "waits for a person" not in told("why", "8020").output
    moved = evolve(waits, task=portal_task(8020, NOON + timedelta(hours=1)))
    run(tasks.save_tasks, [moved], NOON, asked=NOON)
    assert "waits for a person" in told("why", "8020").output, "a new deadline, a new confirmation"
    assert told("call-now", "4711").exit_code == 1


def test_a_task_is_taken_away_from_the_dialler_and_given_back(
    told: Callable[..., Result], run: Run
) -> None:
    bring(run, portal_task(8021, LONG_AGO))
    assert 0 == told("skip", "8021", "--why", "клиент звонил сам").exit_code
    later = datetime.now(UTC)
    assert 8021 not in [task.id for task in run(planning.due_tasks, later, 9)]
    assert "taken away by a person" in told("why", "8021").output
    assert "autodial skip --undo" in told("why", "8021").output
    assert "клиент звонил сам" in told("show", "8021").output
    assert "is skipped already" in told("skip", "8021").output
    assert 1 == told("skip", "8021").exit_code == told("skip", "4711").exit_code

    assert 0 == told("skip", "8021", "--undo").exit_code
    assert 8021 in [task.id for task in run(planning.due_tasks, datetime.now(UTC), 9)]
    assert 1 == told("skip", "8021", "--undo").exit_code


def test_a_skipped_task_whose_deadline_is_moved_is_dialled_again(
    told: Callable[..., Result], run: Run
) -> None:
    bring(run, portal_task(8021, LONG_AGO))
    told("skip", "8021")
    bring(run, portal_task(8021, LONG_AGO + timedelta(days=1)), at=datetime.now(UTC))

    assert "" == run(planning.load_task, TaskId(8021)).closed_reason


def test_status_is_watched_until_ctrl_c(
    told: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[float] = []

    def sleep(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("autodial.cli.status.sleep", sleep)
    result = told("status", "--watch")

    assert 0 == result.exit_code
    assert 3 == result.output.count("the dialler does not run") == len(looks)


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
def test_a_stop_shows_at_once(told: Callable[..., Result], run: Run) -> None:
    now = datetime.now(UTC)
    run(flags.mark, now - timedelta(seconds=2), flags.ALIVE, flags.PBX_UP)
    assert told("status").output.startswith("the dialler runs\n")
    run(flags.mark, now, flags.STOPPED)
    assert told("status").output.startswith("the dialler does not run")
    run(flags.mark, now + timedelta(seconds=1), flags.ALIVE)
    assert told("status").output.startswith("the dialler runs")


def test_a_pause_for_everybody_is_said_first(told: Callable[..., Result], run: Run) -> None:
    staff(run, "101", "102")
    told("pause")
    output = told("status").output

    assert "PAUSED for everybody: nobody is dialled until 'autodial resume'\n" in output
    told("pause", "--until", "2099-01-01T10:00", "--why", "обед")
    assert "until 01.01. 10:00, or 'autodial resume' (обед)\n" in told("status").output
    assert "2 at work, 0 free" in output
    said = told("resume", "101")
    assert 1 == said.exit_code and "paused: everybody" in said.output


def test_the_mark_of_a_windows_editor_and_its_line_ends_do_no_harm(
    told: Callable[..., Result], path: Path
) -> None:
    text = path.read_text(encoding="utf-8")
    path.write_bytes("\ufeff".encode() + text.replace("\n", "\r\n").encode())

    assert 0 == told("tasks").exit_code


def test_the_version_is_that_of_the_package(told: Callable[..., Result]) -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]

    assert f"{project['name']} {project['version']}\n" == told("--version").output


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
def test_status(told: Callable[..., Result], run: Run) -> None:
    staff(run, "101", "102")
    output = told("status").output
    assert "the dialler does not run" in output
    assert "2 at work, 2 free, 0 paused" in output
    run(flags.mark, datetime.now(UTC), flags.ALIVE, flags.STALLED)
    assert "without Asterisk's manager" in told("status").output
    assert "STALLED" in told("status").output
    (row,) = json.loads(told("status", "--json").output)
    assert 2 == sum(count for _, count in row["funnel"])


def test_show_tells_the_story(told: Callable[..., Result]) -> None:
    output = told("show", "8017").output
    kinds = [line.split()[3] for line in output.splitlines()]

    assert kinds == ["imported", "spooled", "claimed", "ended"]
    assert [row["kind"] for row in json.loads(told("show", "t8017-1", "--json").output)] == [
        "spooled",
        "claimed",
        "ended",
    ]
    assert "neither a task" in told("show", "nonsense").output
    assert "nothing is known" in told("show", "4711").output


def test_why_names_the_numbers_and_those_refused(told: Callable[..., Result], run: Run) -> None:
    phones = (Phone("+442079460000", "Иван", "CONTACT", 55, "12"),)
    unfit = (Refused("спросить у Ани", "phone.empty", "Иван"),)
    run(tasks.save_tasks, [tasks.Imported(portal_task(8018), phones, unfit)], NOON, asked=NOON)
    output = told("why", "8018").output

    assert "+442079460000 ext. 12  Иван" in output
    assert "спросить у Ани  Иван: not dialled, no digits" in output


def staff(run: Run, *extensions: str) -> None:
    people = [
        Employee(id=501 + n, name=f"Имя{n}", extension=extension, active=True, online=True,
                 last_login=NOON - timedelta(hours=4))
        for n, extension in enumerate(extensions)
    ]  # fmt: skip
    rules = PresenceRules(active_within=timedelta(minutes=24))
    run(presence.save_staff, people, {501: Presence(working_day="opened")}, NOON, rules)


def test_operators(told: Callable[..., Result], run: Run) -> None:
    """Who is present, when the others left as far as known, and the faults of the phones."""
    assert json.loads(told("operators", "--json").output) == []
    staff(run, "101", "101", "", "104")
    run(presence.save_phones, {"101": "NOT_INUSE"})
    output = told("operators").output

    assert "online, day begun" in output and "free" in output
    assert "23.11. 08:00" in output
    assert "unknown" in output and "since" in output
    for trouble in (
        "Имя0 (101): ", "Имя1 (101): ", "Имя2 (503): no internal number",
        "Имя3 (104): unknown to Asterisk",
    ):  # fmt: skip
        assert trouble in output


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ({}, "unknown since 23.11. 12:00"),
        ({"watched": NOON}, "none since 23.11. 12:00"),
        ({"last_left": NOON}, "about 23.11. 12:00"),
        ({"last_left": NOON, "last_logout": NOON - timedelta(hours=1)}, "23.11. 11:00"),
    ],
)
def test_what_is_not_known_of_a_logout_is_said_to_be_unknown(
    path: Path, run: Run, known: dict[str, Any], expected: str
) -> None:
    staff(run, "101")
    (line,) = run(views.operator_lines)

    assert expected == _logout(load(path), evolve(line, **known))


def test_presence_tells_who_came_and_left(told: Callable[..., Result], run: Run) -> None:
    staff(run, "101")
    event = LoginEvent(id=7, user=501, login=False, at=datetime.now(UTC))
    run(presence.save_logins, [event], datetime.now(UTC))
    rows = json.loads(told("presence", "501", "--json").output)

    assert (501, "Имя0", "logout") in [(r["operator"], r["name"], r["kind"]) for r in rows]
    assert "logged out" in told("presence").output
    assert "event log" in {r["source"] for r in rows}
    assert "the portal's event log" in told("presence").output


def test_what_was_put_aside_is_sent_again_by_a_command(
    told: Callable[..., Result], run: Run
) -> None:
    told("tasks")
    message = run(outbox.next_message, NOON)
    run(delivery.bury, message, "Access denied.", NOON)
    assert "Access denied." in told("outbox").output
    assert 1 == told("outbox", "--again", "4711").exit_code

    assert "1 will be sent again" in told("outbox", "--again", str(message.id)).output
    assert run(outbox.next_message, NOON) is None, "it may still be executed"
    later = NOON + timedelta(minutes=2)
    assert run(outbox.next_message, later).doubtful, "it is unknown whether it arrived"


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
def test_doctor_says_what_the_portal_lacks(
    told: Callable[..., Result], run: Run, path: Path, tmp_path: Path
) -> None:
    staff(run, "101")
    portal = SimulatedPortal(administrator=False)
    portal.scopes = frozenset({"task", "user", "department", "crm"})
    with serve(portal) as webhook:
        path.write_text(path.read_text().replace("http://127.0.0.1/rest/1/s3cretpath/", webhook))
        result = told("doctor")
        assert 1 == result.exit_code
        assert "the webhook lacks scopes: telephony" in result.output
        assert "administrator" in result.output

        portal.scopes, portal.administrator = SCOPES, True
        portal.server_zone = UTC
        spool = tmp_path / "spool/outgoing"
        spool.mkdir(parents=True)
        path.write_text(path.read_text().replace("/nowhere", str(spool)))
        rows = json.loads(told("doctor", "--json").output)
        assert [] == [row for row in rows if row["mark"] == "serious"]
        assert {
            "host.well": "well", "store.stopped": "well", "check.silent": "note",
            "dialplan.unasked": "note", "check.well": "well", "zones.used": "note",
        }.items() <= {row["key"]: row["mark"] for row in rows}.items()  # fmt: skip
        assert "+ portal: all is well; we are user 1 there" in told("doctor").output
        assert "portal's time zone" not in told("doctor").output
        portal.server_zone = ZoneInfo("Asia/Yekaterinburg")
        assert "the portal's time zone is not the one that we assume: +0500 / UTC" in (
            " ".join(told("doctor").output.split())
        )
        (spool / "campaign-7.call").write_text("Channel: PJSIP/1@c\n")
        (spool / "t8017-1.call").write_text("Channel: Local/task@autodial-out/n\n")
        assert "of another program are in the spool: 1 (campaign-7)" in told("doctor").output
    result = told("doctor")
    assert 1 == result.exit_code
    assert "portal" in result.output and portal.secret not in result.output


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
def test_doctor_before_the_first_start_and_on_a_store_it_cannot_read(
    told: Callable[..., Result], config: Config
) -> None:
    config.store.path.write_bytes(b"not a database, and long enough not to be taken for one" * 99)
    assert "- store: " in told("doctor").output
    config.store.path.unlink()
    assert "! store: there is no store yet" in told("doctor").output


def test_doctor_before_the_portal_was_read(told: Callable[..., Result], path: Path) -> None:
    """A store without tasks and staff says nothing of the settings yet."""
    path.write_text(path.read_text().replace("s3cretpath", "put-the-secret-here"))
    rows = {row["key"]: row["mark"] for row in json.loads(told("doctor", "--json").output)}

    assert "serious" == rows["check.unconnected"]
    assert {"staff.none", "store.empty"}.isdisjoint(rows)


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
def test_doctor_says_that_asterisk_is_away_and_nothing_that_follows_from_it(
    told: Callable[..., Result], path: Path
) -> None:
    path.write_text(
        path.read_text().replace("[asterisk]", '[asterisk]\nami_port = 9\nami_secret = "x"')
    )
    rows = json.loads(told("doctor", "--json").output)

    assert ["asterisk.away"] == [row["key"] for row in rows if row["part"] == "asterisk"]


def test_a_start_before_init_is_refused(told: Callable[..., Result], path: Path) -> None:
    """Otherwise a store is made in which nobody is paused."""
    path.write_text(path.read_text().replace("s3cretpath", "put-the-secret-here"))
    result = told("run", "--as-root")

    assert 78 == result.exit_code
    assert "run 'autodial init' first" in result.output


def test_a_clock_of_the_portal_that_is_hours_off_is_named(
    told: Callable[..., Result], with_portal: SimulatedPortal, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def time(portal: Portal) -> datetime:
        return datetime.now(UTC) + timedelta(hours=3)

    monkeypatch.setattr(Portal, "time", time)
    result = told("doctor")

    assert re.search(r"- portal: the clocks differ: Bitrix24: \+10(800|799) s", result.output)


@pytest.mark.parametrize(
    ("webhook", "expected"),
    [
        ("wrong", "the webhook is wrong or deleted"),
        ("refused", "nothing listens at that address"),
    ],
)
def test_a_webhook_that_cannot_be_used_is_said_with_what_to_do(
    told: Callable[..., Result], path: Path, webhook: str, expected: str
) -> None:
    with serve(SimulatedPortal()) as right:
        wrong = (
            right.replace("/rest/1/", "/rest/1/no")
            if webhook == "wrong"
            else "http://127.0.0.1:9/rest/1/x/"
        )
        path.write_text(path.read_text().replace("http://127.0.0.1/rest/1/s3cretpath/", wrong))
        result = told("doctor")

    assert 1 == result.exit_code
    assert re.search(f"- portal: .*{expected}", result.output), result.output


@pytest.fixture
def with_portal(told: Callable[..., Result], path: Path) -> Iterator[SimulatedPortal]:
    portal = SimulatedPortal()
    with serve(portal) as webhook:
        path.write_text(path.read_text().replace("http://127.0.0.1/rest/1/s3cretpath/", webhook))
        yield portal


def test_a_pause_that_ends_by_itself(told: Callable[..., Result], run: Run) -> None:
    """A pause for everybody, until a local time. A past or malformed time is refused."""
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    result = told("pause", "--until", f"{tomorrow:%Y-%m-%dT%H:%M}")
    assert 0 == result.exit_code and f"until {tomorrow:%d.%m. %H:%M}" in result.output
    assert {pauses.EVERYBODY} == run(in_force.paused, datetime.now(UTC))
    assert set() == run(in_force.paused, tomorrow + timedelta(minutes=1))
    for wrong in ("2020-01-01T10:00", "soon", "25:00", "2026-13-01T10:00"):
        assert 2 == told("pause", "--until", wrong).exit_code


def test_tasks_are_handed_over_until_friday_and_back(told: Callable[..., Result], run: Run) -> None:
    staff(run, "101", "102", "103")
    assert [] == json.loads(told("hand-over", "--json").output)
    result = told("hand-over", "101", "102", "--until", "fri 18:00")
    assert 0 == result.exit_code, result.output
    (line,) = json.loads(told("hand-over", "--json").output)
    until = datetime.fromisoformat(line["until"])
    assert (501, 502) == (line["operator"], line["stand_in"])
    assert (4, 18) == (until.weekday(), until.hour) and until > datetime.now(UTC)
    assert {501: 502} == run(stand_ins.current, until - timedelta(seconds=1))
    assert {} == run(stand_ins.current, until), "and back, by itself"
    assert 0 == told("hand-over", "101", "103").exit_code
    assert "Имя2" in told("hand-over").output
    assert 0 == told("hand-over", "101", "--back").exit_code
    assert 1 == told("hand-over", "101", "--back").exit_code
    for wrong in (("101",), ("101", "101"), ("101", "102", "--until", "2020-01-01T10:00")):
        assert 2 == told("hand-over", *wrong).exit_code
    assert 1 == told("hand-over", "101", "999").exit_code
    acted = json.loads(told("audit", "101", "--json").output)
    assert ["take back", "hand over", "hand over"] == [line["act"] for line in acted]
    assert acted[2]["detail"].startswith("102 (")


def test_friday_at_three(
    told: Callable[..., Result], with_portal: SimulatedPortal, run: Run
) -> None:
    """The deadline is the portal's; the log says who moved it."""
    add_operator(with_portal, 501, "101")
    number = add_task(with_portal, "Позвонить", responsible=501, deadline=NOON)
    assert 0 == told("postpone", str(number), "пт 15:00").exit_code
    moved = with_portal.tasks[number]["DEADLINE"].astimezone(UTC)
    assert (4, 15) == (moved.weekday(), moved.hour)
    (line,) = json.loads(told("audit", str(number), "--json").output)
    assert "postpone" == line["act"] and "15:00" in line["detail"]
    assert 1 == told("postpone", "999999", "23:59").exit_code, "the portal shows no such task"
    assert 2 == told("postpone", str(number), "yesterday").exit_code


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("14:00", "2026-11-23T14:00+03:00"), ("8:05", "2026-11-23T08:05+03:00"),
        ("mon 16:00", "2026-11-23T16:00+03:00"), ("пн 14:59", "2026-11-30T14:59+03:00"),
        ("Пт 15:00", "2026-11-27T15:00+03:00"), ("sunday 9:00", "2026-11-29T09:00+03:00"),
        ("2026-12-01T10:00", "2026-12-01T10:00+03:00"),
        ("2026-12-01 10:00", "2026-12-01T10:00+03:00"),
        ("2026-12-01T10:00Z", "2026-12-01T10:00+00:00"),
    ],
)  # fmt: skip
def test_moments_as_people_write_them(text: str, moment: str) -> None:
    """NOON is a Monday, three o'clock in Moscow."""
    zone = ZoneInfo("Europe/Moscow")
    assert datetime.fromisoformat(moment) == moment_of(text, zone, NOON)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "25:00",
        "10:60",
        "foo 10:00",
        "10",
        "2026-13-01",
        "9999-12-31T23:59",
        "0001-01-01T00:00",
    ],
)
def test_what_is_no_moment(text: str) -> None:
    with pytest.raises(ValueError):
        moment_of(text, UTC, NOON)


def test_groups(told: Callable[..., Result], with_portal: SimulatedPortal) -> None:
    add_operator(with_portal, 501, "101")
    with_portal.groups[129] = [501]
    result = told("groups")
    assert 0 == result.exit_code
    assert re.search(r"5 +Call-центр +Компания", result.output)
    assert re.search(r"129 +Группа 129", result.output)
    rows = json.loads(told("groups", "--json").output)
    assert {"id": 5, "name": "Call-центр", "parent": 1} in rows


def test_groups_without_the_scope_for_work_groups(
    told: Callable[..., Result], with_portal: SimulatedPortal
) -> None:
    """The scope is needed only where a work group selects staff. Departments are shown."""
    add_operator(with_portal, 501, "101")
    with_portal.scopes = SCOPES - {"sonet_group"}
    result = told("groups")
    assert 0 == result.exit_code
    assert "Call-центр" in result.output and "scope sonet_group" in result.output


def test_a_name_in_the_configuration_that_the_portal_does_not_know(
    told: Callable[..., Result], path: Path, with_portal: SimulatedPortal
) -> None:
    add_operator(with_portal, 501, "101")
    path.write_text(path.read_text().replace("departments = [5]", 'departments = ["Call-centre"]'))
    result = told("doctor")
    assert 1 == result.exit_code
    assert "Call-центр (5)" in result.output and "autodial groups" in result.output


@pytest.mark.parametrize("interrupted", [None, signal.SIGINT, signal.SIGHUP, signal.SIGTERM])
def test_a_card_is_tried_without_calling_anybody(
    told: Callable[..., Result], with_portal: SimulatedPortal, monkeypatch: pytest.MonkeyPatch,
    interrupted: signal.Signals | None,
) -> None:  # fmt: skip
    """It is shown to the right operator, and hidden however the command ends."""
    add_operator(with_portal, 501, "101")
    add_operator(with_portal, 502, "102")
    up: list[object] = []

    def wait(seconds: float) -> None:
        up.append((seconds, list(with_portal.cards)))
        if interrupted is not None:
            signal.raise_signal(interrupted)

    monkeypatch.setattr("autodial.cli.portal.sleep", wait)
    result = told("test-card", "102", "--seconds", "7")
    assert 0 == result.exit_code, result.output
    (call,) = {call for _, call, _ in with_portal.cards}
    assert [(7, [("show", call, 502)])] == up
    assert ("hide", call, 502) == with_portal.cards[-1]
    assert {} == with_portal.calls
    assert [False] == [row["MISSED"] for row in with_portal.statistics]
    assert {"autodial": "АВТОДОЗВОН"} == with_portal.lines


def test_a_card_on_the_line_of_a_purpose(
    told: Callable[..., Result], path: Path, with_portal: SimulatedPortal,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    add_operator(with_portal, 501, "101")
    purpose = '[[purposes]]\nname = "debt"\ntag = "x"\nline = "autodial-debt"\nline_name = "ДОЛГ"'
    path.write_text(f"{path.read_text()}\n{purpose}\n")
    monkeypatch.setattr("autodial.cli.portal.sleep", lambda seconds: None)
    result = told("test-card", "101", "--purpose", "debt")
    assert 0 == result.exit_code, result.output
    assert {"autodial-debt": "ДОЛГ"} == with_portal.lines
    assert 2 == told("test-card", "101", "--purpose", "dept").exit_code


def test_a_card_whose_registration_s_answer_is_lost_comes_down(
    told: Callable[..., Result], with_portal: SimulatedPortal, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_operator(with_portal, 501, "101")
    monkeypatch.setattr("autodial.cli.portal.sleep", lambda seconds: None)
    register = Portal.register_call

    async def losing(portal: Portal, **call: Any) -> str:
        if not with_portal.calls:
            with_portal.fail_next(Fault.LOST)
        return await register(portal, **call)

    monkeypatch.setattr(Portal, "register_call", losing)
    assert 0 == told("test-card", "101").exit_code
    assert {} == with_portal.calls


def test_a_card_for_nobody(told: Callable[..., Result], with_portal: SimulatedPortal) -> None:
    result = told("test-card", "199")
    assert 1 == result.exit_code
    assert "internal number 199" in result.output
    assert [] == with_portal.cards


def test_why_a_task_with_a_bad_number_waits(told: Callable[..., Result], run: Run) -> None:
    with_number = tasks.Imported(portal_task(8021), (evolve(PHONE, number="+442079460021"),))
    run(tasks.save_tasks, [with_number], NOON, asked=NOON)
    attempt = dial(run, 8021)
    run(ledger.claim, attempt, NOON)
    bad = parse_report(["dial", "CHANUNAVAIL", "1", "SIP%20404%20x"])
    run(attempt_end.record, attempt, bad, NOON, EndPolicy())
    assert "mend the number in the CRM" in told("why", "8021").output


def test_a_mistake_is_a_sentence_not_a_traceback(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["--config", str(tmp_path / "none.toml"), "tasks"])

    assert result.exit_code == 1
    assert "The configuration cannot be used; fix it and start again." in result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
def test_before_the_first_run(told: Callable[..., Result], config: Config) -> None:
    config.store.path.unlink()

    assert "no store yet" in told("tasks").output


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
def test_a_store_that_is_not_one(told: Callable[..., Result], config: Config) -> None:
    config.store.path.write_text("not a database, and long enough not to be taken for one " * 99)
    result = told("tasks")

    assert 1 == result.exit_code
    assert "not a database" in result.output and "Traceback" not in result.output


def test_run_says_that_its_port_is_taken(path: Path, tmp_path: Path) -> None:
    """Another dialler or another program uses the port."""
    spool = tmp_path / "outgoing"
    spool.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        text = path.read_text().replace("/nowhere", str(spool))
        path.write_text(re.sub(r"port = [0-9]+", f"port = {port}", text))
        done = subprocess.run(
            [sys.executable, "-m", "autodial", "--config", str(path), "run", "--as-root"],
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip

    assert 78 == done.returncode
    assert "is another dialler running?" in done.stderr
    assert "Traceback" not in done.stderr


def test_run_says_what_is_wrong_with_the_spool(path: Path) -> None:
    """The dialler refuses to start and says what to do. It runs in its own process, as in use."""
    done = subprocess.run(
        [sys.executable, "-m", "autodial", "--config", str(path), "run", "--as-root"],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip

    assert done.returncode == 78, "with this code the systemd unit does not restart it"
    assert "/nowhere is not a directory: set [asterisk] spool" in done.stderr
    assert "Traceback" not in done.stderr
    assert "s3cretpath" not in done.stderr


@pytest.mark.parametrize("place", ["postgresql"], indirect=True)
@pytest.mark.parametrize("command", ["backup", "restore"])
def test_a_database_has_tools_of_its_own(told: Callable[..., Result], command: str) -> None:
    result = told(command, "file")

    assert 1 == result.exit_code
    assert "use pg_" in result.output and "postgresql://127.0.0.1" in result.output


@pytest.mark.parametrize("place", ["sqlite", "postgresql"], indirect=True)
def test_nodes(told: Callable[..., Result], place: Place, run: Run) -> None:
    if isinstance(place, Path):
        assert "one dialler alone" in told("nodes").output
        assert [] == json.loads(told("nodes", "--json").output)
        return
    run(nodes.started, "one", node_lock("one"), "0.1.0", NOON)
    run(nodes.started, "two", node_lock("two"), "0.1.0", NOON)
    with psycopg.connect(place.url.replace("+psycopg", ""), autocommit=True) as session:
        for lock in ((NODES, node_lock("two")), (OURS, LEADER)):
            session.execute("SELECT pg_advisory_lock(%s, %s)", lock)
        rows = json.loads(told("nodes", "--json").output)
        shown = told("nodes").output
    both = [(row["name"], row["lives"], row["leads"]) for row in rows]

    assert [("one", False, False), ("two", True, True)] == both
    assert "does not run" in shown and "leads" in shown


@pytest.mark.parametrize("place", ["postgresql"], indirect=True)
def test_a_node_that_is_gone_for_good(told: Callable[..., Result], place: Server, run: Run) -> None:
    """It is not listed any more; one that runs, or has a call in flight, is."""
    for name in ("one", "two", "three"):
        run(nodes.started, name, node_lock(name), "0.1.0", NOON)
    bring(run, portal_task(8017))
    dial(run)
    run(lambda db: db.execute(sa.update(attempts).values(node="two")))
    with psycopg.connect(place.url.replace("+psycopg", ""), autocommit=True) as session:
        session.execute("SELECT pg_advisory_lock(%s, %s)", (NODES, node_lock("three")))
        refused = [told("nodes", "--forget", name).output for name in ("two", "three", "four")]
        shown = told("nodes", "--forget", "one").output

    assert "seem so: 1" in refused[0] and "stop it" in refused[1] and "is no node" in refused[2]
    assert "one" not in shown and "two" in shown and "three" in shown


@pytest.mark.parametrize("place", ["postgresql"], indirect=True)
def test_the_store_is_moved_into_a_database(
    path: Path, place: Server, postgresql: Cluster, tmp_path: Path
) -> None:
    """Everything of the file is there, new rows are numbered on, and nothing is moved twice."""
    file = tmp_path / "old.sqlite"
    migrate(file)

    def in_file(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return write(file, lambda db: function(db, *args, **kwargs))

    bring(in_file, portal_task(8017), portal_task(8018))
    first = dial(in_file)
    in_file(ledger.claim, first, NOON)
    in_file(attempt_end.record, first, TALKED, NOON, EndPolicy())
    dial(in_file, 8018)
    say = lambda *words: CliRunner().invoke(main, ["--config", str(path), *words])  # noqa: E731
    done = say("move-store", str(file))

    assert 0 == done.exit_code, done.output
    assert "rows are in postgresql://" in done.output
    for question in (views.task_lines, views.attempt_lines, views.messages):
        assert read(file, question) == read(place, question)
    moved = read(place, attempt_queries.in_flight)
    assert [("t8018-1", "one")] == [(attempt.id, attempt.node) for attempt in moved]
    write(place, lambda db: note(db, NOON, 8017, "again", ""))
    again = say("move-store", str(file))
    assert 1 == again.exit_code and "has rows in" in again.output
    with only_one(file):
        held = say("move-store", str(file))
    assert 1 == held.exit_code and "another process holds it" in held.output
    assert "is not there" in say("move-store", str(tmp_path / "none")).output
