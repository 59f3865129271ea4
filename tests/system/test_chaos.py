"""
The chaos test, short form: 90 seconds of faults from one seed, and the audit. The long form is
``python -m tests.chaos``. Besides, rare cases, each set up by a test.
"""

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from autodial.model.outcome import Outcome
from autodial.store.connections import BUSY
from demo.rig import Rig
from tests.chaos.audit import audit
from tests.chaos.driver import chaos
from tests.chaos.faults import astdb, full, locked
from tests.system import scene

SEED = 13


def test_nothing_is_doubled_lost_or_stuck_whatever_happens(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with chaos(SEED, tmp_path, deferral=5) as running:
        running.run(100, 20)
        result = audit(running.rig, running.happened)

    assert f"seed {SEED}" in capsys.readouterr().out, "whoever reads a failure can have it again"
    assert [] == result.broken
    assert result.attempts >= 100
    assert 20 == len(running.happened)


@pytest.fixture(scope="module")
def rig(house: Callable[..., Rig]) -> Rig:
    rig = house(
        extensions=("101",), operator_rings=0.5, operator_talks=2,
        overrides={"portal": {"poll": "1s"}},
    )  # fmt: skip
    rig.operator(501, "101")
    rig.start_dialler()
    return rig


def kept(rig: Rig, attempt: str) -> bool:
    return f"/autodial/{attempt}" in rig.exchange.pbx.cli("database show autodial")


def ended(rig: Rig, task: int) -> bool:
    """Wait until the client's call is over for the far end and for Asterisk."""
    number = scene.attempts(rig, task)[0].number[1:]
    over = any(e.kind == "client-end" and e.number == number for e in rig.exchange.journal())
    return over and rig.exchange.channels() == 0


def test_a_dialler_dead_for_longer_than_a_lease_still_finds_the_talk(rig: Rig) -> None:
    """
    The dialler is down for a night: the reports that Asterisk kept are read before any lease is
    enforced.
    """
    task = rig.task("00", responsible=501)
    scene.wait_for_talk(rig, "101")
    rig.kill_dialler()
    attempt = scene.attempts(rig, task)[0].id
    rig.wait(lambda: kept(rig, attempt), "the report in AstDB")
    yesterday = datetime.now(UTC) - timedelta(hours=9)
    with closing(sqlite3.connect(rig.store)) as db:
        moment = f"{yesterday:%Y-%m-%d %H:%M:%S.%f}"
        db.execute("UPDATE attempts SET expires_at = ? WHERE id = ?", (moment, attempt))
        db.execute("UPDATE reservations SET until = ? WHERE attempt = ?", (moment, attempt))
        db.commit()
    rig.start_dialler()
    scene.wait_for_reports(rig, [task])

    assert Outcome.TALKED is scene.outcome(rig, task)
    scene.assert_house_in_order(rig)


@pytest.mark.parametrize("trouble", ["full", "locked"])
def test_what_neither_ledger_nor_astdb_could_take_is_not_forgotten(rig: Rig, trouble: str) -> None:
    """
    Ledger and AstDB are usually on one disk: the dialler keeps the report in memory until there is
    room.
    """
    task = rig.task("00", responsible=501)
    scene.wait_for_talk(rig, "101")
    begun = time.monotonic()
    ledger = full(rig) if trouble == "full" else locked(rig.store)
    with locked(astdb(rig)), ledger:
        rig.wait(lambda: ended(rig, task), "the end of the call")
        rig.wait(lambda: time.monotonic() - begun > 2 * BUSY, "the ledger to give up waiting")
    attempt = scene.attempts(rig, task)[0].id
    assert not kept(rig, attempt), "AstDB has it: then this test shows nothing"
    scene.wait_for_reports(rig, [task])

    assert Outcome.TALKED is scene.outcome(rig, task)
    scene.assert_house_in_order(rig)


def test_a_spool_that_cannot_be_written_holds_everybody_and_goes_on(rig: Rig) -> None:
    away = rig.exchange.spool.with_name("away")
    rig.exchange.spool.rename(away)
    tasks = [rig.task("01", responsible=501) for _ in range(5)]
    try:
        rig.wait(lambda: "nobody is dialled until one can" in rig.said(), "the complaint")
        rig.wait(
            lambda: scene.reasons(rig)["spool refuses"] >= 4, "the others to wait for the spool"
        )
        assert 1 == sum(bool(scene.attempts(rig, task)) for task in tasks)
    finally:
        away.rename(rig.exchange.spool)
    rig.wait(lambda: "call files can be written again" in rig.said(), "the spool to be tried")
    scene.wait_for_reports(rig, tasks[1:])

    assert "Traceback" not in rig.said()
