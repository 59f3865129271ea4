"""The dispatcher on a real store: which tasks get a call file, and which do not."""

import shutil
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from attrs import evolve
from twisted.logger import LogLevel, capturedLogs

from autodial.config.rules import ClientConfig
from autodial.config.sections import TrunkConfig
from autodial.config.settings import Config
from autodial.engine import status_queries
from autodial.engine.do_not_call_list import SETTLED
from autodial.model.ids import AttemptId, OperatorId, TaskId
from autodial.rules.hangup import parse_report
from autodial.store import (
    attempt_queries,
    days_off,
    flags,
    ledger,
    pauses,
    planning,
    stand_ins,
    tasks,
    views,
)
from autodial.store.events import story
from autodial.store.schema import outbox as messages
from autodial.store.schema import tasks as task_table
from tests.integration.conftest import NOON, FakeStore, Now
from tests.integration.house import House, build, variant
from tests.integration.store.test_ledger import PHONE, bring, portal_task

Run = Callable[..., Any]
Make = Callable[..., House]
SILENT = parse_report(["dial", "NOANSWER", "19", "SIP%20480%20x"])


@pytest.fixture
def make(config: Config, store: FakeStore, now: Now, run: Run, tmp_path: Path) -> Make:
    def one(**sections: dict[str, Any]) -> House:
        return build(variant(config, **sections), store, now, run, tmp_path)

    return one


def reasons(run: Run) -> dict[int, str]:
    return {line.id: line.reason for line in run(views.task_lines)}


def spooled(house: House) -> list[str]:
    return sorted(file.stem for file in house.spool.outgoing.glob("*.call"))


@pytest_twisted.ensureDeferred
async def test_what_is_due_is_spooled_once(make: Make, run: Run) -> None:
    house = make()
    await house.dispatcher.turn()
    await house.dispatcher.turn()
    assert ["t8017-1"] == spooled(house)
    assert {8017: "dial"} == reasons(run)


@pytest_twisted.ensureDeferred
async def test_shadow_mode_says_and_does_nothing(make: Make, run: Run, now: Now) -> None:
    house = make(pace={"shadow": True})
    await house.dispatcher.turn()
    await house.dispatcher.turn()
    assert [] == spooled(house)
    assert [] == run(views.attempt_lines) == run(views.messages)
    assert {8017: "shadow"} == reasons(run)
    kinds = [event.kind for event in run(story, 8017)]
    assert ["imported", "would be dialled"] == kinds, "once, until it is looked at again"
    now.advance(minutes=31)
    await house.dispatcher.turn()
    assert 2 == [event.kind for event in run(story, 8017)].count("would be dialled")


@pytest_twisted.ensureDeferred
async def test_a_pause_of_all_stops_everything_and_its_end_goes_on(make: Make, run: Run) -> None:
    house = make()
    run(pauses.pause, pauses.EVERYBODY, NOON)
    await house.dispatcher.turn()
    assert [] == spooled(house)
    assert {8017: "paused"} == reasons(run)
    run(pauses.resume, pauses.EVERYBODY)
    await house.dispatcher.turn()
    assert ["t8017-1"] == spooled(house)


@pytest_twisted.ensureDeferred
async def test_a_paused_operator_gets_no_calls_and_is_not_rung_for_others(
    make: Make, run: Run
) -> None:
    house = make()
    run(pauses.pause, OperatorId(501), NOON)
    await house.dispatcher.turn()
    attempt = run(attempt_queries.load_attempt, AttemptId("t8017-1"))
    assert attempt and "102" == attempt.extension
    ring = house.call_control.whom_to_ring(AttemptId("t8017-1"))
    assert ring is not None and ("102", "103") == ring.extensions


@pytest_twisted.ensureDeferred
async def test_two_tasks_of_one_client_are_one_call(make: Make, run: Run, now: Now) -> None:
    house = make(pace={"calls_per_second": 50.0})
    same = tasks.Imported(portal_task(8018), (PHONE,))
    run(tasks.save_tasks, [same], NOON, asked=NOON)
    now.advance(seconds=1)
    for _ in range(3):
        await house.dispatcher.turn()
        now.advance(seconds=1)
    assert ["t8017-1"] == spooled(house)
    assert "same client" == reasons(run)[8018]
    await house.engine.ends.give_up(AttemptId("t8017-1"), "test")
    await house.dispatcher.turn()
    assert "t8018-1" in spooled(house), "nobody was called for the first: at once for the other"


@pytest_twisted.ensureDeferred
async def test_a_budget_counts_over_tasks_and_the_task_waits_exactly_so_long(
    make: Make, run: Run, now: Now
) -> None:
    day = ClientConfig.model_validate({"preset": "none", "per_day": 1})
    house = make(client=day.model_dump())
    run(tasks.save_tasks, [tasks.Imported(portal_task(8018), (PHONE,))], NOON, asked=NOON)
    await house.dispatcher.turn()
    run(ledger.claim, AttemptId("t8017-1"), NOON)
    await house.engine.ends.record(AttemptId("t8017-1"), SILENT)
    now.advance(minutes=2)
    await house.dispatcher.turn()
    assert "budget" == reasons(run)[8018]
    now.moment = NOON + timedelta(hours=23, minutes=59)
    await house.dispatcher.turn()
    assert 1 == len(run(views.attempt_lines))
    now.moment = NOON + timedelta(hours=24)
    await house.dispatcher.turn()
    assert 2 == len(run(views.attempt_lines))


@pytest_twisted.ensureDeferred
async def test_who_is_taken_off_the_list_waits_no_longer(
    make: Make, run: Run, now: Now, tmp_path: Path
) -> None:
    listed = tmp_path / "do-not-call.txt"
    listed.write_text(f"{PHONE.number}\n")
    house = make(rules={"do_not_call": listed})
    house.engine.conditions.do_not_call.clock = lambda: listed.stat().st_mtime + SETTLED
    await house.dispatcher.turn()
    assert {8017: "do not call"} == reasons(run)
    house.engine.conditions.do_not_call.clock = lambda: listed.stat().st_mtime
    listed.write_text("")
    await house.dispatcher.turn()
    assert [] == spooled(house), "somebody may still be writing the list"
    house.engine.conditions.do_not_call.clock = lambda: listed.stat().st_mtime + SETTLED
    await house.dispatcher.turn()
    assert ["t8017-1"] == spooled(house)


@pytest_twisted.ensureDeferred
async def test_a_stall_is_said_once_in_a_while_and_remembered(
    make: Make, run: Run, now: Now
) -> None:
    house = make(pace={"max_calls": 1, "stall_after": timedelta(minutes=5)})
    await house.dispatcher.turn()  # the one line is in use from here on
    bring(run, portal_task(8018))
    with capturedLogs() as logs:
        for _ in range(9):
            await house.dispatcher.turn()
            now.advance(minutes=1)
    alarms = [event for event in logs if event["log_level"] is LogLevel.error]
    assert 1 == len(alarms)
    assert "trunks full 1" in alarms[0]["reasons"]
    assert run(flags.last, flags.STALLED) is not None
    await house.engine.ends.give_up(AttemptId("t8017-1"), "test")
    await house.dispatcher.turn()
    assert run(flags.last, flags.STALLED) is not None, "a call file is not yet a call"
    for attempt in spooled(house):
        await house.call_control.claim(AttemptId(attempt))
    now.advance(seconds=1)
    await house.dispatcher.turn()
    assert run(flags.last, flags.STALLED) is None


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("why", ["not for others", "call file not taken", "spool refuses"])
async def test_what_else_is_a_stall(make: Make, run: Run, now: Now, why: str) -> None:
    """The dispatcher makes one turn a second."""
    only_own: dict[str, Any] = {"order": ("responsible",)} if why == "not for others" else {}
    house = make(pace={"stall_after": timedelta(minutes=5)}, staff=only_own)
    if why == "not for others":
        for extension, state in (("101", "INUSE"), ("102", "NOT_INUSE"), ("103", "NOT_INUSE")):
            house.roster.set_phone(extension, state)
    if why == "spool refuses":
        shutil.rmtree(house.spool.outgoing)
    with capturedLogs() as logs:
        for _ in range(7 * 60):
            await house.dispatcher.turn()
            now.advance(seconds=1)
    alarms = [e for e in logs if e["log_level"] is LogLevel.error and "reasons" in e]
    assert 1 == len(alarms)
    assert why in alarms[0]["reasons"]


@pytest_twisted.ensureDeferred
async def test_a_turn_that_fails_is_a_stall_too(
    make: Make, now: Now, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise LookupError("a bug")

    monkeypatch.setattr("autodial.engine.dispatcher.due_tasks", broken)
    house = make(pace={"stall_after": timedelta(minutes=5)})
    with capturedLogs() as logs:
        for _ in range(7):
            with pytest.raises(LookupError):
                await house.dispatcher.turn()
            now.advance(minutes=1)
    (alarm,) = [e for e in logs if e["log_level"] is LogLevel.error]
    assert "error" in alarm["reasons"]


@pytest_twisted.ensureDeferred
async def test_so_many_attempts_are_so_many_calls_and_then_the_task_is_handed_back(
    make: Make, run: Run, now: Now
) -> None:
    """The limit is two. The second call is made; after it the task is closed by the rule."""
    house = make(
        client={"attempts": 2, "preset": "none"}, tasks={"hand_back_to": 700},
    )  # fmt: skip
    for n in (1, 2):
        await house.dispatcher.turn()
        assert await house.call_control.claim(AttemptId(f"t8017-{n}")) is not None
        await house.engine.ends.record(AttemptId(f"t8017-{n}"), SILENT)
        now.advance(minutes=60 * 30)
    rows = run(
        lambda db: list(db.execute(messages.select().where(messages.c.attempt == "t8017-2")))
    )
    owed = {row.kind: row.payload for row in rows}
    assert "exhausted" == run(planning.load_task, TaskId(8017)).closed_reason
    assert {"responsible": 700} == owed["task"]
    assert owed["comment"]["next"] is None


@pytest_twisted.ensureDeferred
async def test_a_call_that_reached_nobody_is_no_attempt_of_the_client(
    make: Make, run: Run, now: Now
) -> None:
    house = make(client={"attempts": 1, "preset": "none"})
    carrier = parse_report(["dial", "CONGESTION", "34", "SIP%20503%20x"])
    await house.dispatcher.turn()
    await house.call_control.claim(AttemptId("t8017-1"))
    await house.engine.ends.record(AttemptId("t8017-1"), carrier)
    now.advance(minutes=6)
    await house.dispatcher.turn()
    assert await house.call_control.claim(AttemptId("t8017-2")) is not None


@pytest_twisted.ensureDeferred
async def test_a_person_s_word_is_for_one_call(make: Make, run: Run, now: Now) -> None:
    """The next call of an advertisement needs a new confirmation."""
    house = make()
    wanted = evolve(tasks.Imported(portal_task(8017), (PHONE,)), needs_confirmation=True)
    run(tasks.save_tasks, [wanted], NOON, asked=NOON)
    assert run(tasks.confirm, TaskId(8017), NOON)
    await house.dispatcher.turn()
    assert [] == run(views.attempt_lines), "its phones are asked for first"
    run(tasks.refetched, [8017], NOON)
    await house.dispatcher.turn()
    await house.call_control.claim(AttemptId("t8017-1"))
    await house.engine.ends.record(AttemptId("t8017-1"), SILENT)
    now.advance(minutes=60 * 24)
    await house.dispatcher.turn()
    assert ["t8017-1"] == [line.id for line in run(views.attempt_lines)]
    assert {8017: "confirm"} == reasons(run)


@pytest_twisted.ensureDeferred
async def test_pauses_hold_for_hand_made_call_files_too(make: Make, run: Run) -> None:
    house = make(pace={"automatic": False})
    run(pauses.pause, pauses.EVERYBODY, NOON, "")
    await house.dispatcher.turn()
    assert house.ask("claim", "", "", "8017").variables == {"AD_GO": "0"}
    run(pauses.resume, pauses.EVERYBODY)
    await house.dispatcher.turn()
    assert house.ask("claim", "", "", "8017").variables["AD_GO"] == "1"


@pytest_twisted.ensureDeferred
async def test_shadow_mode_refuses_hand_made_call_files(make: Make, run: Run) -> None:
    house = make(pace={"shadow": True})
    await house.dispatcher.turn()
    assert house.ask("claim", "", "", "8017").variables == {"AD_GO": "0"}
    assert [] == run(views.attempt_lines)


@pytest_twisted.ensureDeferred
async def test_in_shadow_mode_one_operator_takes_one_call(make: Make, run: Run, now: Now) -> None:
    """Shadow mode reserves the operator as a real call would, and keeps the pace of the site."""
    house = make(pace={"shadow": True})
    for number in range(8020, 8026):
        bring(run, portal_task(number))
    for _ in range(20):
        await house.dispatcher.turn()
        now.advance(seconds=1)
    events = [line for number in range(8017, 8026) for line in run(story, number)]
    per_operator = Counter(
        line.detail.rpartition(" ")[2] for line in events if "would" in line.kind
    )
    assert per_operator == {"101": 1, "102": 1, "103": 1}


@pytest_twisted.ensureDeferred
async def test_the_list_s_change_does_not_touch_tasks_that_are_not_due(
    make: Make, run: Run, now: Now, tmp_path: Path
) -> None:
    """With a million tasks it would be a million checks."""
    listed = tmp_path / "do-not-call.txt"
    listed.write_text("")
    house = make(rules={"do_not_call": listed})
    later = NOON + timedelta(days=3)
    bring(run, portal_task(8018, later))
    for _ in range(3):
        await house.dispatcher.turn()
        now.advance(seconds=2)
    before = _next_looks(run)
    listed.write_text(f"{PHONE.number}\n")
    await house.dispatcher.turn()
    assert before[8018] == _next_looks(run)[8018] == later


def _next_looks(run: Run) -> dict[int, datetime]:
    rows = run(lambda db: list(db.execute(task_table.select())))
    return {row.id: row.next_check for row in rows}


@pytest_twisted.ensureDeferred
async def test_numbers_shown_by_the_second_carrier_count(make: Make, run: Run, now: Now) -> None:
    """They count in memory, and are read from the ledger after a restart."""
    two = [{"name": "a", "lines": 9, "caller_ids": ["1111"]},
           {"name": "b", "lines": 9, "caller_ids": ["2222"]}]  # fmt: skip
    house = make(asterisk={"trunks": tuple(TrunkConfig.model_validate(one) for one in two)})
    await house.dispatcher.turn()
    await house.call_control.claim(AttemptId("t8017-1"))
    await house.engine.ends.record(
        AttemptId("t8017-1"),
        parse_report(["dial", "BUSY", "17", "SIP%20486%20x", "", "", "", "", "5", "b"]),
    )
    assert {"1111": 1, "2222": 1} == dict(house.engine.calls.statistics.in_a_day(now()))
    past = run(attempt_queries.past, now(), timedelta(days=1))
    assert {"1111", "2222"} == {number for _, number in past.shown}


@pytest_twisted.ensureDeferred
async def test_no_alarm_while_it_is_the_clients_who_rest(make: Make, run: Run, now: Now) -> None:
    night = ClientConfig.model_validate({"preset": "courtesy"})
    house = make(client=night.model_dump())
    now.moment = NOON.replace(hour=22)
    with capturedLogs() as logs:
        for _ in range(9):
            await house.dispatcher.turn()
            now.advance(minutes=1)
    assert [] == [event for event in logs if event["log_level"] is LogLevel.error]
    assert {8017: "client hours"} == reasons(run)


@pytest_twisted.ensureDeferred
async def test_after_a_talk_its_operator_writes_it_up(make: Make, run: Run, now: Now) -> None:
    house = make(staff={"wrap_up": timedelta(minutes=2)})
    await house.dispatcher.turn()
    run(ledger.claim, AttemptId("t8017-1"), NOON)
    fields = ["dial", "ANSWER", "16", "SIP%20200%20OK", "talk", "101", "1000", "1010", "1075", "c"]
    await house.engine.ends.record(AttemptId("t8017-1"), parse_report(fields))
    operator = house.roster.by_id(OperatorId(501))
    assert operator is not None and "writes" == operator.state(now())
    now.advance(minutes=2)
    assert "free" == operator.state(now())


@pytest_twisted.ensureDeferred
async def test_who_stands_in_for_the_responsible_is_reserved(make: Make, run: Run) -> None:
    house = make()
    run(stand_ins.hand_over, OperatorId(501), OperatorId(503), NOON)
    await house.dispatcher.turn()

    assert {OperatorId(503): "t8017-1"} == run(attempt_queries.reserved)
    operators = {one.id: one for one in house.roster.operators()}
    assert not operators[OperatorId(501)].paused, "he takes other tasks"


@pytest_twisted.ensureDeferred
async def test_a_wrong_number_leads_to_the_client_s_next_one(
    make: Make, run: Run, now: Now
) -> None:
    house = make()
    two = (PHONE, evolve(PHONE, number="+442079460999"))
    run(tasks.save_tasks, [tasks.Imported(portal_task(8017), two)], NOON, asked=NOON)
    await house.dispatcher.turn()
    wrong = parse_report(["dial", "CHANUNAVAIL", "1", "SIP%20404%20x"])
    run(ledger.claim, AttemptId("t8017-1"), NOON)
    await house.engine.ends.record(AttemptId("t8017-1"), wrong)
    now.advance(minutes=2)
    await house.dispatcher.turn()
    assert "+442079460999" == house.line().number
    run(ledger.claim, AttemptId("t8017-2"), now())
    await house.engine.ends.record(AttemptId("t8017-2"), wrong)
    assert "bad number" == run(views.task_lines)[0].reason, "both are wrong: through with it"


@pytest_twisted.ensureDeferred
async def test_the_last_look_before_the_phone_rings_keeps_the_limits(
    make: Make, run: Run, now: Now
) -> None:
    """The call file stayed in the spool until the client's evening began."""
    night = ClientConfig.model_validate({"preset": "courtesy"})
    house = make(client=night.model_dump())
    now.moment = NOON.replace(hour=19, minute=59, second=50)
    await house.dispatcher.turn()
    assert ["t8017-1"] == spooled(house)
    now.advance(seconds=10)
    assert await house.call_control.claim(AttemptId("t8017-1")) is None
    assert "withdrawn" == house.line().outcome


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(("status", "cause", "hour"), [("NOANSWER", "19", 18), ("BUSY", "17", 12)])
async def test_best_hours_are_for_who_did_not_hear_us(
    make: Make, run: Run, now: Now, status: str, cause: str, hour: int
) -> None:
    """After "silent" the next call is in the evening. After "busy" it is at the rule's time."""
    evening = ClientConfig.model_validate({"preset": "none", "best_hours": ["18:00-20:00"]})
    house = make(client=evening.model_dump())
    await house.dispatcher.turn()
    run(ledger.claim, AttemptId("t8017-1"), now())
    await house.engine.ends.record(AttemptId("t8017-1"), parse_report(["dial", status, cause, ""]))
    (line,) = run(views.task_lines)
    assert line.due is not None and hour == line.due.astimezone(NOON.tzinfo).hour


@pytest_twisted.ensureDeferred
async def test_a_next_call_falls_where_the_client_may_be_called(
    make: Make, run: Run, now: Now
) -> None:
    """Silent at 19:30: the next call is in the morning, not at 21:30."""
    night = ClientConfig.model_validate({"preset": "courtesy"})
    house = make(client=night.model_dump())
    now.moment = NOON.replace(hour=19, minute=30)
    await house.dispatcher.turn()
    run(ledger.claim, AttemptId("t8017-1"), now())
    await house.engine.ends.record(
        AttemptId("t8017-1"), parse_report(["dial", "NOANSWER", "19", ""])
    )
    (line,) = run(views.task_lines)
    assert NOON.replace(day=24, hour=9) == line.due
    (moved,) = [d for d in run(views.messages) if d.kind == "task"]
    assert moved.state == "pending", "and the portal is told that"


@pytest_twisted.ensureDeferred
async def test_nobody_is_dialled_while_the_store_is_elsewhere(
    house: House,
) -> None:
    """The next start would not read what is written now, and would call the same clients again."""
    fake: FakeStore = house.dispatcher.store  # type: ignore[assignment]
    fake.here = False
    await house.dispatcher.beat()
    await house.dispatcher.turn()
    await house.dispatcher.turn()
    assert frozenset() == house.spool.waiting()
    assert 1 == fake.rescued
    fake.here = True
    await house.dispatcher.beat()
    await house.dispatcher.turn()

    assert frozenset({"t8017-1"}) == house.spool.waiting()


@pytest_twisted.ensureDeferred
async def test_one_call_file_that_cannot_be_written_holds_the_others(
    make: Make, run: Run, now: Now
) -> None:
    """The failure is reported once. No other attempts are opened, withdrawn and put off in turn."""
    house = make(pace={"calls_per_second": 50})
    for number in range(8018, 8030):
        bring(run, portal_task(number))
    away = house.spool.outgoing.with_name("away")
    house.spool.outgoing.rename(away)
    with capturedLogs() as logs:
        for _ in range(60):
            await house.dispatcher.turn()
            now.advance(seconds=1)
    assert 1 == len(run(views.attempt_lines))
    assert 1 == sum("nobody is dialled until one can" in e["log_format"] for e in logs)
    assert 12 == dict(run(views.funnel))["spool refuses"]
    away.rename(house.spool.outgoing)
    for _ in range(20):
        now.advance(seconds=1)
        await house.dispatcher.turn()

    assert 3 == len(house.spool.waiting()), "as many as there are operators"


@pytest_twisted.ensureDeferred
async def test_a_file_that_cannot_be_written_by_itself_holds_nobody(
    make: Make, run: Run, now: Now
) -> None:
    """The name is in the spool already, which is not a failure of the spool."""
    house = make(pace={"calls_per_second": 50})
    bring(run, portal_task(8018))
    (house.spool.outgoing / "t8017-1.call").write_text("x")
    await house.dispatcher.turn()
    now.advance(seconds=1)
    await house.dispatcher.turn()

    assert "t8018-1" in house.spool.waiting()


@pytest_twisted.ensureDeferred
async def test_why_and_the_dispatcher_know_the_same(
    make: Make, run: Run, now: Now, store: FakeStore
) -> None:
    """
    Both see calls under way, an answered and an abandoned call, a day off and a paused purpose. The
    pace is not compared.
    """
    house = make(pace={"dial_ratio": 2.0, "abandoned_per": "purpose"})
    bring(run, portal_task(8018), portal_task(8019))
    for _ in range(3):
        await house.dispatcher.turn()
        now.advance(seconds=5)
    await house.call_control.claim(AttemptId("t8017-1"))
    missed = parse_report(["dial", "ANSWER", "16", "x", "NOANSWER", "101", "1000", "", "1075", "c"])
    await house.engine.ends.record(AttemptId("t8017-1"), missed)
    run(days_off.add, NOON.date() + timedelta(days=1), now())
    run(pauses.pause_purpose, "debt", now())
    run(flags.mark, now(), flags.ALIVE, flags.PBX_UP, flags.PORTAL_SEEN)
    await house.dispatcher.turn()
    mine = house.engine.conditions.facts()
    theirs = run(status_queries.facts, house.dispatcher._settings, now())

    assert mine.overdial and mine.paused_purposes and mine.calls
    assert mine == evolve(theirs, operators=mine.operators, next_start=mine.next_start)
