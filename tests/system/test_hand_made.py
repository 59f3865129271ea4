"""Call files that a person puts into the spool: they name a task, and the same rules hold."""

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from autodial.model.outcome import Outcome
from autodial.store import views
from bitrix24.simulator.seed import add_contact, add_task
from call_files import CallFile, Spool
from demo.rig import Rig
from tests.documents import blocks
from tests.system import scene


@pytest.fixture(scope="module")
def rig(house: Callable[..., Rig]) -> Rig:
    """A dialler that places no calls by itself."""
    rig = house(
        extensions=("101", "102"),
        overrides={"pace": {"automatic": False}, "portal": {"poll": "1s"}},
    )
    rig.operator(501, "101")
    rig.operator(502, "102")
    rig.start_dialler()
    Spool(rig.exchange.spool).prepare()
    return rig


def drop(rig: Rig, name: str, task: int, number: str = "task", wait: int = 30) -> None:
    Spool(rig.exchange.spool).submit(
        CallFile(
            name=name,
            channel=f"Local/{number}@autodial-out/n",
            context="autodial-answered",
            wait=wait,
            variables={"__AD_TASK": str(task)},
        )
    )


def imported(rig: Rig, task: int) -> int:
    rig.wait(
        lambda: any(line.id == task for line in scene.read(rig, views.task_lines)), "the import"
    )
    return task


def test_it_opens_an_attempt_with_an_outcome(rig: Rig) -> None:
    task = imported(rig, rig.task("00", responsible=502))
    drop(rig, "by-hand", task)
    scene.wait_for_reports(rig, [task])
    (attempt,) = scene.attempts(rig, task)
    (entry,) = [e for e in rig.exchange.journal() if e.kind == "operator"]

    assert (f"t{task}-1", Outcome.TALKED.value) == (attempt.id, attempt.outcome)
    assert ("102", str(task), attempt.id) == (entry.number, entry.task, entry.attempt)
    assert entry.shown_name.startswith("АВТОДОЗВОН Клиент")
    scene.assert_house_in_order(rig)


def test_a_second_file_for_the_task_is_refused(rig: Rig) -> None:
    """While an attempt is under way, no other call for the task is made."""
    task = imported(rig, rig.task("75", responsible=501))
    drop(rig, "first", task)
    scene.wait_for_ringing(rig, task)
    drop(rig, "second", task)
    rig.wait(lambda: f"task {task}: hand-made call file refused: in progress" in rig.said(), "a no")
    scene.wait_for_reports(rig, [task])

    assert len(scene.attempts(rig, task)) == 1
    assert scene.dialled(rig).count(scene.attempts(rig, task)[0].number[1:]) == 1


def test_a_task_that_is_not_due_is_refused(rig: Rig) -> None:
    code = add_contact(rig.portal, "Завтра", ("MOBILE", "+442079460009"))
    later = datetime.now(UTC) + timedelta(hours=5)
    task = add_task(rig.portal, "Завтра", code, responsible=501, deadline=later)
    drop(rig, "too-early", imported(rig, task))
    rig.wait(lambda: f"task {task}: hand-made call file refused: not due" in rig.said(), "a no")

    assert scene.attempts(rig, task) == []


def test_a_number_of_somebody_else_is_refused(rig: Rig) -> None:
    task = imported(rig, rig.task("01", responsible=501))
    drop(rig, "wrong-number", task, number="442079460999")
    rig.wait(lambda: f"task {task}: hand-made call file refused: no phone" in rig.said(), "a no")

    assert "442079460999" not in scene.dialled(rig)


def test_a_wait_shorter_than_the_ringing(rig: Rig) -> None:
    """WaitTime ends the call while the client's phone still rings: the client did not answer."""
    task = imported(rig, rig.task("44", responsible=501))
    drop(rig, "impatient", task, wait=3)
    scene.wait_for_reports(rig, [task])
    (attempt,) = scene.attempts(rig, task)

    assert Outcome.SILENT.value == attempt.outcome
    assert (
        attempt.report["dial_status"], attempt.report["tech"],
    ) == ("CANCEL", "SIP 180 Ringing")  # fmt: skip


def test_a_copy_of_a_call_file_dials_nobody_again(rig: Rig) -> None:
    """The same call file runs twice, as after a crash of Asterisk: the second claim is refused."""
    task = imported(rig, rig.task("75", responsible=501))
    drop(rig, "original", task)
    scene.wait_for_ringing(rig, task)
    attempt = scene.attempts(rig, task)[-1]
    Spool(rig.exchange.spool).submit(
        CallFile(
            name="copy",
            channel=f"Local/{attempt.number[1:]}@autodial-out/n",
            context="autodial-answered",
            wait=30,
            variables={"__AD_ID": attempt.id},
        )
    )
    rig.wait(lambda: f"{attempt.id}: claim refused" in rig.said(), "the refusal")
    scene.wait_for_reports(rig, [task])

    assert [Outcome.TALKED.value] == [a.outcome for a in scene.attempts(rig, task)]
    assert scene.dialled(rig).count(attempt.number[1:]) == 1
    scene.assert_house_in_order(rig)


def test_an_attempt_nobody_made_is_refused(rig: Rig) -> None:
    """A call file with an invented id dials nobody."""
    Spool(rig.exchange.spool).submit(
        CallFile(
            name="invented",
            channel="Local/442079460008@autodial-out/n",
            context="autodial-answered",
            wait=30,
            variables={"__AD_ID": "t1-1"},
        )
    )
    rig.wait(lambda: "t1-1: claim refused" in rig.said(), "the refusal")

    assert "442079460008" not in scene.dialled(rig)


def test_the_documented_call_file_works(rig: Rig) -> None:
    """The call file of the document, with only the number of the task changed."""
    task = imported(rig, rig.task("02", responsible=501))
    (text,) = [block for block in blocks("dialplan/README.md") if block.startswith("Channel:")]
    draft = Spool(rig.exchange.spool).staging / "documented"
    draft.write_text(text.replace("8017", str(task)))
    owner = rig.exchange.spool.stat()
    os.chown(draft, owner.st_uid, owner.st_gid)
    draft.rename(rig.exchange.spool / f"documented-{task}")
    scene.wait_for_reports(rig, [task])

    assert Outcome.TALKED is scene.outcome(rig, task)


ROUTES = """
[routes-debt]
exten => _X.,1,Dial(PJSIP/${EXTEN}@carrier2,30,gI)
"""


def test_the_documented_hooks_run(rig: Rig) -> None:
    """All at once, as a site would have them; the purpose's route is the site's own."""
    pbx = rig.exchange.pbx
    texts = [b for b in blocks("dialplan/README.md") if b.startswith("[autodial-hook-")]
    assert 4 == len(texts)
    scene.add_dialplan(pbx, "site", "\n".join([*texts, ROUTES]))
    rig.settings["purposes"] = [{"name": "debt", "tag": "долг"}]
    rig.restart_dialler()
    try:
        task = imported(rig, rig.task("03", responsible=501, tags=("долг",)))
        drop(rig, "hooked", task)
        scene.wait_for_reports(rig, [task])
    finally:
        scene.add_dialplan(pbx, "site", "")
        del rig.settings["purposes"]
        rig.restart_dialler()

    (attempt,) = scene.attempts(rig, task)
    log = (pbx.outside / "log/full").read_text(encoding="utf-8", errors="replace")
    assert Outcome.TALKED is scene.outcome(rig, task)
    assert '"PJSIP_HEADER(add,X-Campaign)=autumn"' in log
    assert '"this-call-may-be-monitored-or-recorded"' in log
    assert "@carrier2,30,gI" in log, "the purpose's own route"
    assert f"autodial {attempt.id}: ANSWER 16" in log


@pytest.mark.parametrize(("fate", "expected"), [("40", Outcome.BUSY), ("04", Outcome.TALKED)])
def test_routes_that_answer_what_failed(rig: Rig, fate: str, expected: Outcome) -> None:
    """The PBX's own routes answer the line and announce a failure; no operator is rung."""
    pbx = rig.exchange.pbx
    pbx.cli("dialplan set global AD_VIA routes")
    try:
        task = imported(rig, rig.task(fate, responsible=501))
        rung = len([e for e in rig.exchange.journal() if e.kind == "operator"])
        drop(rig, f"via-{fate}", task)
        scene.wait_for_reports(rig, [task])
    finally:
        pbx.cli('dialplan set global AD_VIA ""')
    now = len([e for e in rig.exchange.journal() if e.kind == "operator"])

    assert expected is scene.outcome(rig, task)
    assert int(expected is Outcome.TALKED) == now - rung
