"""
A call whose end was reported never becomes "lost": after an outage longer than a lease, after a
failed write of a report, or while Asterisk cannot be asked for the reports that it keeps.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import pytest_twisted
import sqlalchemy as sa
from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs

from autodial.errors import PbxError, StoreError
from autodial.model.ids import AttemptId
from autodial.model.outcome import Outcome
from autodial.pbx.agi_scripts import AstDb
from autodial.pbx.ami import MoreKept, NotConnected
from autodial.pbx.reconciler import STARTING, UNASKED, Reconciler
from autodial.rules.hangup import parse_report
from autodial.store import attempt_end, attempt_queries, views
from tests.integration.conftest import FakeStore, Now
from tests.integration.house import House, Run
from tests.integration.store.test_ledger import BORIS, bring, dial, portal_task

TALKED = "dial,ANSWER,16,SIP%20200%20OK,talk,101,1000,1010,1075,c"


@define
class Manager:
    """Asterisk's manager: returns what the test sets, or raises it."""

    kept: dict[str, str] = field(factory=dict)
    away: Exception | None = None

    async def channels(self) -> dict[str, tuple[str, ...]]:
        return self._here({})  # type: ignore[no-any-return]

    async def kept_reports(self) -> dict[str, str]:
        return self._here(self.kept)  # type: ignore[no-any-return]

    def _here(self, answer: Any) -> Any:
        if self.away is not None:
            raise self.away
        return answer


@pytest.fixture
def manager() -> Manager:
    return Manager()


@pytest.fixture
def reconciler(house: House, store: FakeStore, now: Now, manager: Manager) -> Reconciler:
    return Reconciler(
        store, house.engine.ends, house.spool, AstDb(), now, manager, Clock(),  # type: ignore[arg-type]
        address="agi://127.0.0.1:4573",
    )  # fmt: skip


def claimed(house: House) -> AttemptId:
    attempt = house.dial()
    house.ask("claim", attempt, "442079460000", "")
    return attempt


@pytest.mark.parametrize("away", [NotConnected(), PbxError("a damaged list")])
@pytest_twisted.ensureDeferred
async def test_a_dialler_away_longer_than_a_lease_finds_the_talk_that_asterisk_kept(
    house: House,
    reconciler: Reconciler,
    manager: Manager,
    now: Now,
    away: Exception,
) -> None:
    """The dialler starts before Asterisk's manager answers: until then nothing is given up."""
    attempt = claimed(house)
    now.advance(hours=9)
    manager.kept, manager.away = {attempt: TALKED}, away
    with capturedLogs() as logs:
        await reconciler.turn()
    assert "claimed" == house.line().state
    assert any("wait for Asterisk's manager" in event["log_format"] for event in logs)
    manager.away = None
    await reconciler.turn()

    assert Outcome.TALKED.value == house.line().outcome


@pytest_twisted.ensureDeferred
async def test_without_a_manager_for_a_day_it_is_given_up(
    house: House,
    reconciler: Reconciler,
    manager: Manager,
    now: Now,
) -> None:
    """No attempt stays open for ever."""
    claimed(house)
    now.advance(hours=9)
    manager.away = NotConnected()
    await reconciler.turn()
    now.advance(seconds=UNASKED.total_seconds() - 1)
    await reconciler.turn()
    assert "claimed" == house.line().state
    now.advance(seconds=1)
    await reconciler.turn()

    assert Outcome.LOST.value == house.line().outcome


@pytest_twisted.ensureDeferred
async def test_with_nothing_kept_it_is_given_up_at_once(
    house: House,
    reconciler: Reconciler,
    now: Now,
) -> None:
    claimed(house)
    now.advance(hours=9)
    await reconciler.turn()

    assert Outcome.LOST.value == house.line().outcome


@pytest_twisted.ensureDeferred
async def test_while_asterisk_keeps_more_than_it_names_nothing_is_given_up(
    house: House,
    reconciler: Reconciler,
    manager: Manager,
    now: Now,
) -> None:
    """What it has named is recorded, and deleted there; then it names the others."""
    attempt = claimed(house)
    now.advance(hours=9)
    manager.away = MoreKept({"t8017-9": TALKED})
    await reconciler.turn()
    assert "claimed" == house.line().state
    manager.away = MoreKept({attempt: TALKED})
    await reconciler.turn()

    assert Outcome.TALKED.value == house.line().outcome
    assert attempt in reconciler.astdb.recorded


@pytest.fixture
def full(database: sa.Engine) -> Iterator[list[bool]]:
    """While this list has True, every write fails with a full disk."""
    state = [False]

    @sa.event.listens_for(database, "before_cursor_execute")
    def refuse(connection: object, cursor: object, statement: str, *rest: object) -> None:
        if state[0] and statement.startswith(("INSERT", "UPDATE", "DELETE")):
            raise StoreError("the disk is full")

    yield state
    sa.event.remove(database, "before_cursor_execute", refuse)


@pytest_twisted.ensureDeferred
async def test_a_report_that_could_not_be_written_is_written_before_anything_is_given_up(
    house: House,
    reconciler: Reconciler,
    full: list[bool],
    now: Now,
) -> None:
    """The store and AstDB share a full disk: only the dialler's memory has the report."""
    attempt = claimed(house)
    full[0] = True
    reply = house.ask("result", attempt, *TALKED.split(","))
    assert "AD_ACK" not in reply.variables
    now.advance(hours=9)  # past its lease
    with pytest.raises(StoreError):
        await reconciler.turn()
    assert "claimed" == house.line().state
    full[0] = False
    await reconciler.turn()

    assert Outcome.TALKED.value == house.line().outcome
    assert house.engine.calls.all() == ()


@pytest_twisted.ensureDeferred
async def test_reports_are_written_in_the_order_they_came(
    house: House,
    full: list[bool],
) -> None:
    """The first report of an attempt counts."""
    attempt = claimed(house)
    full[0] = True
    for text in (TALKED, "dial,BUSY,17"):
        with pytest.raises(StoreError):
            await house.engine.ends.record(attempt, parse_report(text.split(",")))
    full[0] = False
    await house.engine.ends.write_unwritten()

    assert Outcome.TALKED.value == house.line().outcome


@pytest_twisted.ensureDeferred
async def test_a_report_that_a_fault_of_ours_refuses_stops_no_others(
    house: House,
    reconciler: Reconciler,
    manager: Manager,
    now: Now,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its attempt is not given up: the report stays in AstDB until the fault is fixed."""
    attempt = claimed(house)
    bring(run, portal_task(8018))
    other = dial(run, 8018, BORIS)
    house.engine.calls.opened(run(attempt_queries.load_attempt, other))
    house.ask("claim", other, "442079468018", "")
    record = attempt_end.record

    def broken(db: sa.Connection, name: AttemptId, *rest: Any, **more: Any) -> attempt_end.Ended:
        if name == attempt:
            raise KeyError("a fault")
        return record(db, name, *rest, **more)

    monkeypatch.setattr(attempt_end, "record", broken)
    manager.kept = {attempt: TALKED, other: "dial,BUSY,17"}
    now.advance(hours=9)
    for _ in range(3):
        await reconciler.turn()
    ended = {line.id: line.outcome for line in run(views.attempt_lines)}
    assert {attempt: None, other: "busy"} == ended
    monkeypatch.undo()
    await reconciler.turn()

    ended = {line.id: line.outcome for line in run(views.attempt_lines)}
    assert {attempt: "talked", other: "busy"} == ended


@pytest_twisted.ensureDeferred
async def test_two_who_write_them_write_each_once(house: House, full: list[bool]) -> None:
    """The reconciler and a stop may write the reports at the same time."""
    attempt = claimed(house)
    full[0] = True
    with pytest.raises(StoreError):
        await house.engine.ends.record(attempt, parse_report(TALKED.split(",")))
    full[0] = False
    both = [Deferred.fromCoroutine(house.engine.ends.write_unwritten()) for _ in range(2)]
    for one in both:
        await one

    assert Outcome.TALKED.value == house.line().outcome


@pytest_twisted.ensureDeferred
async def test_what_waits_to_be_written_is_not_given_up(
    house: House,
    full: list[bool],
) -> None:
    attempt = claimed(house)
    full[0] = True
    with pytest.raises(StoreError):
        await house.engine.ends.record(attempt, parse_report(TALKED.split(",")))
    full[0] = False
    await house.engine.ends.give_up(attempt, "lease", lost=True)
    assert "claimed" == house.line().state
    await house.engine.ends.write_unwritten()

    assert Outcome.TALKED.value == house.line().outcome


@pytest_twisted.ensureDeferred
async def test_a_claim_that_failed_while_we_listened_names_the_global(
    house: House,
    reconciler: Reconciler,
    manager: Manager,
    now: Now,
) -> None:
    """Asterisk calls another address. Without the warning every task would end as "line failed"."""
    attempt = house.dial()
    late = now() + STARTING + timedelta(seconds=1)
    manager.kept = {attempt: f"claimfail,,21,,,,,,{int(late.timestamp())},,"}
    with capturedLogs() as logs:
        await reconciler.turn()
    (warning,) = [event for event in logs if "AD_AGI" in event["log_format"]]

    assert warning["log_level"] is LogLevel.error
    assert "agi://127.0.0.1:4573" == warning["address"]
    assert Outcome.LINE_FAILED.value == house.line().outcome


@pytest_twisted.ensureDeferred
async def test_a_claim_that_failed_while_we_were_away_is_no_fault_of_the_dialplan(
    house: House,
    reconciler: Reconciler,
    manager: Manager,
    now: Now,
) -> None:
    attempt = house.dial()
    manager.kept = {attempt: f"claimfail,,21,,,,,,{int(now().timestamp())},,"}
    with capturedLogs() as logs:
        await reconciler.turn()

    assert not any("AD_AGI" in event["log_format"] for event in logs)


def test_a_mistyped_task_of_a_call_file_is_refused_with_a_line(house: House) -> None:
    with capturedLogs() as logs:
        reply = house.ask("claim", "", "", "80l7")

    assert {"AD_GO": "0"} == reply.variables
    assert "80l7" in [event.get("task") for event in logs]


def test_a_full_disk_is_a_sentence_at_every_question(
    house: House,
    full: list[bool],
) -> None:
    """The dialplan has a branch for no answer. The log gets one line and no traceback."""
    attempt = house.dial()
    full[0] = True
    with capturedLogs() as logs:
        claim = house.ask("claim", attempt, "442079460000", "")
        result = house.ask("result", attempt, *TALKED.split(","))

    assert ({}, {}) == (claim.variables, result.variables)
    assert any("the disk is full" in str(event.get("error")) for event in logs)
    assert not any("log_failure" in event for event in logs)
