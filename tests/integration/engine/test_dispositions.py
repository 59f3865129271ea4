"""Dispositions after a talk (done, later, wrong number, never), and the messages to the portal."""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from attrs import evolve

from autodial.config.settings import Config
from autodial.model.ids import AttemptId, TaskId
from autodial.rules.hangup import parse_report
from autodial.store import delivery, dispositions, outbox, planning, tasks, views
from autodial.store.delivery import Done
from autodial.store.schema import outbox as messages
from bitrix24 import Deadline
from tests.integration.conftest import NOON, FakeStore, Now
from tests.integration.house import House, build, variant
from tests.integration.store.test_ledger import PHONE, bring, phone_of, portal_task

Run = Callable[..., Any]
TALKED = parse_report(["dial", "ANSWER", "16", "", "talk", "101", "1000", "1010", "1075", "c"])
FIRST = AttemptId("t8017-1")


@pytest.fixture
def house(config: Config, store: FakeStore, now: Now, run: Run, tmp_path: Path) -> House:
    changed = variant(
        config, tasks={"when_talked": "complete", "hand_back_to": 700},
        staff={"wrap_up": timedelta(minutes=2)},
    )  # fmt: skip
    return build(changed, store, now, run, tmp_path)


async def talk(house: House) -> None:
    """Operator 101 has talked for task 8017."""
    await house.dispatcher.turn()
    await house.call_control.claim(FIRST)
    await house.engine.ends.record(FIRST, TALKED)


def key(house: House, code: str, extension: str = "101") -> str:
    return house.ask("disposition", extension, code).variables["AD_SAID"]


def states(run: Run) -> set[tuple[str, int]]:
    rows = run(lambda db: list(db.execute(messages.select())))
    return {(row.kind, row.revision) for row in rows if row.state == "pending"}


@pytest_twisted.ensureDeferred
async def test_done_completes_the_task(house: House, run: Run) -> None:
    await talk(house)
    assert "1" == key(house, "1")
    (line,) = run(views.task_lines)
    assert "talked" == line.reason
    assert {("status", 1), ("comment", 1)} <= states(run)


@pytest_twisted.ensureDeferred
async def test_later_puts_the_task_off_and_does_not_complete_it(
    house: House, run: Run, now: Now
) -> None:
    await talk(house)
    assert ("status", 0) in states(run), "waits until the talk is written up"
    assert "1" == key(house, "2")
    (line,) = run(views.task_lines)
    assert NOON + timedelta(days=1) == line.due
    assert not [entry for entry in states(run) if entry[0] == "status"]
    assert ("task", 2) in states(run)
    now.moment = NOON + timedelta(days=1)
    await house.dispatcher.turn()
    assert 2 == len(run(views.attempt_lines))


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(
    ("code", "due"),
    [  # NOON is a Monday, three o'clock in Moscow
        ("21600", NOON + timedelta(hours=1)), ("21459", NOON + timedelta(days=1, minutes=-1)),
        ("251500", NOON + timedelta(days=4)), ("211500", NOON + timedelta(days=7)),
        ("211630", NOON + timedelta(minutes=90)),
    ],
)  # fmt: skip
async def test_later_at_a_time_that_is_keyed(
    house: House, run: Run, code: str, due: datetime
) -> None:
    """At four today; at 14:59, which has passed, tomorrow; on Friday; on Monday in a week."""
    await talk(house)
    assert "1" == key(house, code)
    (line,) = run(views.task_lines)
    assert due == line.due


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("code", ["22500", "21560", "281500", "215", "11500", "2150000", "2x500"])
async def test_no_time_can_be_keyed_so(house: House, run: Run, code: str) -> None:
    await talk(house)
    (before,) = run(views.task_lines)
    assert "0" == key(house, code)
    assert [before] == run(views.task_lines)


@pytest_twisted.ensureDeferred
async def test_a_status_waits_for_a_word_as_long_as_he_writes(
    house: House, run: Run, now: Now
) -> None:
    await talk(house)

    def kinds() -> list[str]:
        result = []
        while (message := run(outbox.next_message, now())) is not None:
            run(delivery.delivered, message, now())
            result.append(message.kind)
        return result

    assert "status" not in kinds()
    now.advance(minutes=2)
    assert ["status"] == kinds()


@pytest_twisted.ensureDeferred
async def test_somebody_else_s_number_leads_to_the_next_one(
    house: House, run: Run, now: Now
) -> None:
    two = (PHONE, evolve(PHONE, number="+442079460999"))
    run(tasks.save_tasks, [tasks.Imported(portal_task(8017), two)], NOON, asked=NOON)
    await talk(house)
    assert "1" == key(house, "3")
    now.advance(minutes=3)
    await house.dispatcher.turn()
    assert "+442079460999" == house.line().number


@pytest_twisted.ensureDeferred
async def test_the_only_number_is_somebody_else_s_so_the_task_is_handed_back(
    house: House, run: Run
) -> None:
    await talk(house)
    assert "1" == key(house, "3")
    (line,) = run(views.task_lines)
    assert "bad number" == line.reason
    assert {("task", 3), ("comment", 3)} <= states(run)


@pytest_twisted.ensureDeferred
async def test_never_again_means_no_task_and_no_number_of_his(
    house: House, run: Run, now: Now
) -> None:
    other = evolve(PHONE, number="+442079460999")
    stranger = phone_of(8019)
    for number, phone in ((8018, other), (8019, stranger)):
        late = portal_task(number, NOON + timedelta(hours=2))
        run(tasks.save_tasks, [tasks.Imported(late, (phone,))], NOON, asked=NOON)
    await talk(house)
    assert "1" == key(house, "9")
    now.moment = NOON + timedelta(hours=3)
    for _ in range(3):
        await house.dispatcher.turn()
        now.advance(seconds=1)
    assert {8017, 8019} == {line.task for line in run(views.attempt_lines)}
    held = next(line for line in run(views.task_lines) if line.id == 8018)
    assert "do not call" == held.reason
    (entry,) = run(dispositions.do_not_call_lines)
    assert (PHONE.number, "Иван", "Оператор 101") == (entry.number, entry.client, entry.operator)

    assert 1 == run(dispositions.call_again, PHONE.number, now())
    await house.engine.ends.give_up(AttemptId("t8019-1"), "test")
    await house.dispatcher.turn()
    assert 8018 in {line.task for line in run(views.attempt_lines)}


@pytest_twisted.ensureDeferred
async def test_never_again_holds_at_the_last_look(house: House, run: Run, now: Now) -> None:
    """The call file for the client's other number is in the spool already."""
    await talk(house)
    later = tasks.Imported(portal_task(8018), (evolve(PHONE, number="+442079460999"),))
    run(tasks.save_tasks, [later], NOON, asked=NOON)
    now.advance(minutes=1)
    await house.dispatcher.turn()
    assert "1" == key(house, "9")
    assert await house.call_control.claim(AttemptId("t8018-1")) is None


@pytest_twisted.ensureDeferred
async def test_the_last_word_counts(house: House, run: Run) -> None:
    await talk(house)
    assert ["1"] * 4 == [key(house, code) for code in "9211"]
    assert [] == run(dispositions.do_not_call_lines)
    entries = {entry for entry in states(run) if entry[0] in ("status", "comment", "task")}
    assert {("comment", 0), ("status", 1), ("comment", 1)} == entries
    assert "talked" == run(views.task_lines)[0].reason


@pytest_twisted.ensureDeferred
async def test_a_word_ends_the_writing_up(house: House, now: Now) -> None:
    await talk(house)
    operator = house.engine.roster.operators()[0]
    assert "writes" == operator.state(now())
    key(house, "1")
    assert "free" == house.engine.roster.operators()[0].state(now())


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(
    ("extension", "code"), [("101", "4"), ("101", ""), ("102", "1"), ("999", "1"), ("", "1")]
)
async def test_a_word_that_means_nothing_is_refused(
    house: House, run: Run, extension: str, code: str
) -> None:
    await talk(house)
    before = states(run)
    assert "0" == key(house, code, extension)
    assert before == states(run)


@pytest_twisted.ensureDeferred
async def test_an_hour_later_nobody_knows_which_talk_is_meant(house: House, now: Now) -> None:
    await talk(house)
    now.advance(hours=1)
    assert "0" == key(house, "1")


@pytest_twisted.ensureDeferred
async def test_a_person_s_new_date_is_stronger_than_a_word(
    house: House, run: Run, now: Now
) -> None:
    await talk(house)
    moved = NOON + timedelta(hours=5)
    bring(run, portal_task(8017, moved), at=NOON + timedelta(seconds=1))
    assert "0" == key(house, "1")
    assert moved == run(planning.load_task, TaskId(8017)).due


@pytest_twisted.ensureDeferred
async def test_other_tasks_with_the_same_client_hear_of_the_talk(house: House, run: Run) -> None:
    same = tasks.Imported(portal_task(8018), (evolve(PHONE, number="+442079460999"),))
    not_due = tasks.Imported(portal_task(8019, NOON + timedelta(days=1)), (PHONE,))
    stranger = tasks.Imported(portal_task(8020), (phone_of(8020),))
    run(tasks.save_tasks, [same, not_due, stranger], NOON, asked=NOON)
    await talk(house)
    rows = run(lambda db: list(db.execute(messages.select())))
    assert {8017, 8018} == {row.task for row in rows if row.kind == "comment"}


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("since", ["closed", "moved"])
async def test_never_again_counts_whatever_became_of_the_task(
    house: House, run: Run, since: str
) -> None:
    """The wish belongs to the client and does not depend on the task."""
    await talk(house)
    if since == "closed":
        bring(run, portal_task(8099), complete=True)
    else:
        bring(run, portal_task(8017, NOON + timedelta(hours=5)), at=NOON + timedelta(seconds=1))
    assert "1" == key(house, "9")
    assert [PHONE.number] == [line.number for line in run(dispositions.do_not_call_lines)]


@pytest_twisted.ensureDeferred
async def test_a_word_said_again_after_the_portal_heard_of_it_is_told_again(
    house: House, run: Run, now: Now
) -> None:
    """ "Later" is keyed, and again after twenty minutes: the second deadline holds."""
    await talk(house)
    assert "1" == key(house, "2")
    first = run(planning.load_task, TaskId(8017)).due
    while (message := run(outbox.next_message, now())) is not None:
        run(
            delivery.delivered,
            message,
            now(),
            Done(until=Deadline(first) if message.kind == "task" else None),
        )
    now.advance(minutes=20)
    assert "1" == key(house, "2")
    second = run(planning.load_task, TaskId(8017)).due
    rows = run(lambda db: list(db.execute(messages.select().where(messages.c.state == "pending"))))

    assert second == first + timedelta(minutes=20)
    assert [second.isoformat()] == [r.payload["deadline"] for r in rows if r.kind == "task"]
