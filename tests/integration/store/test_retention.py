"""Old rows are purged in small steps; rows that a rule or a person still needs stay."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
import pytest_twisted
import sqlalchemy as sa
from pydantic import ValidationError

from autodial.config.sections import KeepConfig
from autodial.engine.retention import ROUND, Retention
from autodial.model.act import Actor, Door
from autodial.model.disposition import Disposition
from autodial.model.ids import AttemptId, OperatorId, TaskId
from autodial.model.write_back import WriteBack
from autodial.rules.end_policy import EndPolicy
from autodial.rules.hangup import parse_report
from autodial.store import (
    acts,
    attempt_end,
    audit,
    dispositions,
    ledger,
    planning,
    presence,
    retention,
    tasks,
    views,
)
from autodial.store import external_calls as others
from autodial.store.delivery import again
from autodial.store.events import story
from autodial.store.outbox import next_message
from autodial.store.own_deadlines import outdated
from autodial.store.schema import (
    attempts,
    do_not_call,
    events,
    external_calls,
    outbox,
    phones,
)
from autodial.store.schema import presence as presence_table
from autodial.store.schema import tasks as task_table
from bitrix24 import LoginEvent
from tests.integration.conftest import NOON, FakeStore, Now
from tests.integration.store.test_ledger import (
    ANNA,
    BUSY,
    TALKED,
    bring,
    dial,
    phone_of,
    portal_task,
)

Run = Callable[..., Any]
OLD = NOON - timedelta(days=400)


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "STEP", 3)


@pytest.fixture
def forget(store: FakeStore, now: Now) -> Callable[[], Any]:
    """Purge all tables once; returns the number of steps."""

    async def go(keep: KeepConfig | None = None) -> int:
        job = Retention(keep or KeepConfig.model_validate({}), store, now)  # type: ignore[arg-type]
        for steps in range(1, 1000):
            await job.turn()
            if job._next is not None:
                return steps
        raise AssertionError("it never ends")

    return go


def count(run: Run, table: sa.Table) -> int:
    return int(run(lambda db: db.scalar(sa.select(sa.func.count()).select_from(table))))


def called(run: Run, number: int, at: datetime, *, closed: bool = True, report: Any = BUSY) -> None:
    """A task with one call, all of whose messages were delivered."""
    bring(run, portal_task(number, deadline=at), at=at)
    attempt = dial(run, number, at=at)
    run(ledger.claim, attempt, at)
    run(attempt_end.record, attempt, report, at, EndPolicy(write_back=WriteBack()))
    run(lambda db: db.execute(sa.update(outbox).values(state="delivered", done_at=at)))
    if closed:
        run(tasks.close_these, [number], at)


@pytest_twisted.ensureDeferred
async def test_old_tasks_go_with_all_that_is_theirs(run: Run, forget: Callable[..., Any]) -> None:
    for number in range(100, 110):
        called(run, number, OLD)
    called(run, 200, NOON - timedelta(days=1))
    steps = await forget()

    assert [(1,)] * 3 == [(count(run, table),) for table in (task_table, attempts, phones)]
    assert {200} == set(run(lambda db: db.scalars(sa.select(events.c.task)).all()))
    assert {200} == set(run(lambda db: db.scalars(sa.select(outbox.c.task)).all()))
    assert steps > 20, "in small steps"


@pytest_twisted.ensureDeferred
async def test_show_still_tells_the_outcome(run: Run, forget: Callable[..., Any], now: Now) -> None:
    """After ninety days the events are purged; the outcome is known for a year."""
    called(run, 100, NOON - timedelta(days=91))
    await forget()

    assert [("t100-1", "ended", "busy")] == [
        (line.attempt, line.kind, line.detail) for line in run(story, 100)
    ]
    assert 0 == count(run, outbox)


@pytest_twisted.ensureDeferred
async def test_what_is_open_counts_on_stays(run: Run, forget: Callable[..., Any]) -> None:
    """The limit of an open task counts its attempts."""
    called(run, 100, OLD, closed=False)
    await forget()

    assert 1 == run(planning.load_task, TaskId(100)).attempts


@pytest_twisted.ensureDeferred
async def test_budgets_see_the_same_after_it(run: Run, forget: Callable[..., Any]) -> None:
    """The shortest periods that the configuration allows are tested, too."""
    shortest = KeepConfig.model_validate(
        {
            "events": "1d",
            "outbox": "1d",
            "attempts": "32d",
            "external_calls": "32d",
            "presence": "1d",
        }
    )
    called(run, 100, NOON - timedelta(days=30))
    bring(run, portal_task(101), at=NOON)
    run(
        lambda db: db.execute(
            sa.update(phones).where(phones.c.task == 101).values(number=phone_of(100).number)
        )
    )
    talk = others.ExternalCall(7, phone_of(100).number, NOON - timedelta(days=31), 501)
    run(others.save_external_calls, [talk], NOON)
    before = run(planning.load_task, TaskId(101)).history
    await forget(shortest)

    assert before == run(planning.load_task, TaskId(101)).history
    assert 2 == len(before[phone_of(100).number])


@pytest.mark.parametrize("key", ["attempts", "external_calls"])
def test_nothing_may_be_kept_shorter_than_budgets_look_back(key: str) -> None:
    with pytest.raises(ValidationError):
        KeepConfig.model_validate({key: "31d"})


@pytest_twisted.ensureDeferred
async def test_never_again_is_for_ever(run: Run, forget: Callable[..., Any]) -> None:
    at = OLD
    run(lambda db: presence_staff(db, at))
    called(run, 100, at, closed=False, report=TALKED)
    attempt = run(
        dispositions.save, OperatorId(501), Disposition.DO_NOT_CALL, at, EndPolicy(),
    )  # fmt: skip
    assert attempt == AttemptId("t100-1")
    run(lambda db: db.execute(sa.update(outbox).values(state="delivered", done_at=at)))
    run(tasks.close_these, [100], at)
    await forget()
    bring(run, portal_task(101), at=NOON)
    run(
        lambda db: db.execute(
            sa.update(phones).where(phones.c.task == 101).values(number=phone_of(100).number)
        )
    )

    assert 1 == count(run, do_not_call)
    assert run(planning.load_task, TaskId(101)).phones[0].do_not_call
    assert ["Иван"] == [line.client for line in run(dispositions.do_not_call_lines)]


def presence_staff(db: sa.Connection, at: datetime) -> None:
    from autodial.store.schema import operators

    row = {"id": 501, "name": ANNA.name, "extension": "101", "online": 1, "seen": at}
    db.execute(operators.insert(), row)


@pytest.mark.parametrize("state", ["pending", "sending", "dead"])
@pytest_twisted.ensureDeferred
async def test_what_the_portal_was_not_told_stays(
    run: Run, forget: Callable[..., Any], state: str
) -> None:
    """The task and the attempt that the message is about stay, too."""
    called(run, 100, OLD)
    run(lambda db: db.execute(sa.update(outbox).where(outbox.c.kind == "task").values(state=state)))
    await forget()

    assert [1] * 2 == [count(run, table) for table in (attempts, task_table)]
    assert [state] == [message.state for message in run(views.messages) if message.kind == "task"]


@pytest_twisted.ensureDeferred
async def test_where_reading_goes_on_stays(run: Run, forget: Callable[..., Any]) -> None:
    """
    Otherwise the portal's old lists would be read again, and an absent operator would count as
    present.
    """
    log = [
        LoginEvent(id=n, at=OLD + timedelta(hours=n), user=501, login=n % 2 == 0) for n in range(9)
    ]
    run(presence.save_logins, log, NOON)
    calls = [others.ExternalCall(n, "+442079460001", OLD, 501) for n in range(1, 9)]
    run(others.save_external_calls, calls, NOON)
    await forget()

    assert [8] == run(lambda db: db.scalars(sa.select(external_calls.c.id)).all())
    assert 8 == run(presence.login_mark)
    kinds = run(lambda db: db.scalars(sa.select(presence_table.c.kind)).all())
    assert ["login", "logout"] == sorted(kinds)


@pytest_twisted.ensureDeferred
async def test_a_task_counts_from_the_day_it_was_closed(
    run: Run, forget: Callable[..., Any]
) -> None:
    """A task that was given up a year ago and closed today may be opened again tomorrow."""
    called(run, 100, OLD, closed=False)
    run(lambda db: db.execute(sa.update(task_table).values(closed_reason="exhausted")))
    run(tasks.close_these, [100], NOON)
    await forget()
    bring(run, portal_task(100, deadline=OLD), at=NOON)
    back = run(planning.load_task, TaskId(100))

    assert ("exhausted", 1) == (back.closed_reason, back.attempts)


@pytest_twisted.ensureDeferred
async def test_a_name_is_never_used_twice(run: Run, forget: Callable[..., Any]) -> None:
    """The name is also in the recording and in the portal's comment of a year ago."""
    called(run, 100, OLD)
    await forget()
    assert 0 == count(run, attempts)
    bring(run, portal_task(100), at=NOON)

    assert "t100-2" == dial(run, 100)


@pytest_twisted.ensureDeferred
async def test_what_came_after_a_refused_write_back_stays(
    run: Run, forget: Callable[..., Any]
) -> None:
    """A refused write sent again by a person must not undo what was written since."""
    called(run, 100, NOON - timedelta(days=200), closed=False)
    first = run(lambda db: db.scalar(sa.select(outbox.c.id).where(outbox.c.kind == "task")))
    run(lambda db: db.execute(sa.update(outbox).where(outbox.c.id == first).values(state="dead")))
    at = NOON - timedelta(days=150)
    run(lambda db: db.execute(sa.update(task_table).values(due=at, next_check=at)))
    attempt = dial(run, 100, at=at)
    run(ledger.claim, attempt, at)
    run(attempt_end.record, attempt, BUSY, at, EndPolicy(write_back=WriteBack()))
    later_rows = outbox.c.id > first
    run(
        lambda db: db.execute(
            sa.update(outbox).where(later_rows).values(state="delivered", done_at=at)
        )
    )
    await forget()
    assert 1 == run(again, None, NOON)

    assert run(outdated, run(next_message, NOON))


@pytest_twisted.ensureDeferred
async def test_a_call_is_kept_for_as_long_as_a_rest_of_the_site_s_looks_back(
    run: Run, store: FakeStore, now: Now
) -> None:
    talk = others.ExternalCall(7, phone_of(100).number, NOON - timedelta(days=45), 501)
    newest = others.ExternalCall(8, "+442079460001", NOON, 501)
    run(others.save_external_calls, [talk, newest], NOON)
    keep = KeepConfig.model_validate({})
    job = Retention(keep, store, now, timedelta(days=60))  # type: ignore[arg-type]
    for _ in range(30):
        await job.turn()

    assert 2 == count(run, external_calls)


@pytest_twisted.ensureDeferred
async def test_between_two_rounds_nothing_is_asked(
    run: Run, store: FakeStore, now: Now, forget: Callable[..., Any]
) -> None:
    job = Retention(KeepConfig.model_validate({}), store, now)  # type: ignore[arg-type]
    for _ in range(20):
        await job.turn()
    called(run, 100, OLD)
    for _ in range(20):
        await job.turn()
    assert 1 == count(run, attempts)
    now.advance(seconds=ROUND.total_seconds())
    for _ in range(20):
        await job.turn()

    assert 0 == count(run, attempts)


def test_reports_are_read_as_before() -> None:
    """A report that an older dialplan left in AstDB has one field less."""
    assert not parse_report(["dial", "BUSY", "17", "SIP%20486", "", "", "", "", "1", "c"]).rang


@pytest_twisted.ensureDeferred
async def test_the_audit_log_keeps_what_is_young(run: Run, forget: Callable[..., Any]) -> None:
    by = Actor("ivan", Door.COMMAND)
    for days in (400, 380, 10):
        run(acts.pause, OperatorId(0), by, NOON - timedelta(days=days), f"{days}")
    await forget(KeepConfig.model_validate({}))

    assert ["10"] == [line.detail for line in run(audit.lines, NOON - timedelta(days=1000))]
