"""The reporter against a failing portal: every message arrives, once, and in order."""

import os
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
import sqlalchemy as sa
from attrs import evolve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from autodial.config.settings import Config
from autodial.engine.operators import Roster
from autodial.model.ids import AttemptId, TaskId
from autodial.model.outbox_message import MessageKind
from autodial.model.trunk import Route
from autodial.model.write_back import WriteBack
from autodial.portal.reporter import Reporter
from autodial.rules.dial_facts import Dial
from autodial.rules.end_policy import EndPolicy
from autodial.rules.hangup import parse_report
from autodial.store import (
    attempt_end,
    attempt_queries,
    delivery,
    ledger,
    outbox,
    planning,
    schema,
    tasks,
    views,
)
from autodial.store.events import story
from autodial.store.own_deadlines import to_the_minute
from bitrix24 import AnswerLost, Portal, PortalTask, PortalUnavailable, Request
from bitrix24.simulator import Fault, SimulatedPortal
from bitrix24.simulator.seed import add_operator, add_task
from bitrix24.wire import Answer
from tests.integration.conftest import NOON, FakeStore, Now
from tests.integration.portal.replaced import use_portal
from tests.integration.store.test_ledger import ANNA, PHONE

Run = Callable[..., Any]
WEBHOOK = "http://127.0.0.1/rest/1/simulated0secret"
TALKED = "dial,ANSWER,16,SIP%20200%20OK,talk,101,1000,1010,1075,c"
BUSY = "dial,BUSY,17,SIP%20486%20x"


def reporter(config: Config, portal: SimulatedPortal, store: FakeStore, now: Now) -> Reporter:
    return Reporter(config, Portal.direct(WEBHOOK, portal.send), store, Roster(), now, Clock())  # type: ignore[arg-type]


def attempt(
    run: Run, portal: SimulatedPortal, report: str, write_back: WriteBack | None = None
) -> AttemptId:
    """One attempt from the import to its end."""
    if 501 not in portal.users:
        add_operator(portal, 501, "101")
    number = add_task(portal, "Позвонить", responsible=501, deadline=NOON)
    task = PortalTask(
        id=number,
        title="x",
        status=2,
        responsible=501,
        deadline=NOON,
        clients=(),
    )
    imported = [tasks.Imported(task, (PHONE,))]
    run(tasks.save_tasks, imported, NOON, asked=NOON)
    row = run(planning.load_task, TaskId(number))
    decision = Dial(PHONE, ANNA, (Route("c"),))
    opened = run(ledger.open_attempt, row, decision, NOON, lease=timedelta(hours=1))
    run(ledger.claim, opened.id, NOON)
    if ",ANSWER," in report:
        run(ledger.ringing, opened.id, "101", NOON, write_back)
    run(
        attempt_end.record,
        opened.id,
        parse_report(report.split(",")),
        NOON,
        EndPolicy(write_back=write_back or WriteBack()),
    )
    return AttemptId(opened.id)


def under_way(run: Run, portal: SimulatedPortal, title: str) -> AttemptId:
    """An attempt whose operator's phone rings."""
    if 501 not in portal.users:
        add_operator(portal, 501, "101")
    number = add_task(portal, title, responsible=501, deadline=NOON)
    task = PortalTask(
        id=number, title=title, status=2, responsible=501, deadline=NOON, clients=()
    )  # fmt: skip
    phone = evolve(PHONE, number=f"+4420794601{number % 100:02d}", entity_id=number)
    run(tasks.save_tasks, [tasks.Imported(task, (phone,))], NOON, asked=NOON)
    decision = Dial(phone, ANNA, (Route("c"),), reserved=False)
    row = run(planning.load_task, TaskId(number))
    opened = run(ledger.open_attempt, row, decision, NOON, lease=timedelta(hours=1))
    run(ledger.claim, opened.id, NOON)
    run(ledger.ringing, opened.id, "101", NOON)
    return AttemptId(opened.id)


def end(run: Run, number: AttemptId) -> None:
    run(attempt_end.record, number, parse_report(TALKED.split(",")), NOON, EndPolicy())


@pytest_twisted.ensureDeferred
async def test_a_stop_stores_what_was_delivered_and_begins_nothing_more(
    config: Config, portal: SimulatedPortal, store: FakeStore, now: Now, run: Run
) -> None:
    """Else the next start would doubt a message that the portal has accepted, and a second one."""
    attempt(run, portal, TALKED)

    async def send(request: Request) -> Answer:
        if request.method == "telephony.externalCall.register":
            running.stopping = True
        return await portal.send(request)

    running = Reporter(config, Portal.direct(WEBHOOK, send), store, Roster(), now, Clock())  # type: ignore[arg-type]
    await running.turn()
    first, *others = [message.state for message in run(views.messages)]

    assert ("delivered", {"pending"}) == (first, set(others))


@pytest_twisted.ensureDeferred
async def test_lines_of_a_pool_are_named_after_the_task_while_its_call_lasts(
    config: Config, portal: SimulatedPortal, store: FakeStore, now: Now, run: Run
) -> None:
    """One call per line, a third on the common line. Characters that break a card are removed."""
    settings = config.portal.model_copy(update={"pool": 2, "line_name": "АВТОДОЗВОН"})
    paying = reporter(config.model_copy(update={"portal": settings}), portal, store, now)
    titles = ("Договор 17", "It's </script> 18", "Договор 19")
    first, _, _ = [under_way(run, portal, title) for title in titles]
    await paying.turn()
    used = {call["EXTERNAL_CALL_ID"]: call["LINE"] for call in portal.calls.values()}

    assert portal.lines == {
        "autodial": "АВТОДОЗВОН",
        "autodial-1": "АВТОДОЗВОН: Договор 17",
        "autodial-2": "АВТОДОЗВОН: Its /script 18",
    }
    assert list(used.values()) == ["autodial-1", "autodial-2", "autodial"]
    end(run, first)
    await paying.turn()
    again = under_way(run, portal, "Договор 20")
    await paying.turn()
    used = {call["EXTERNAL_CALL_ID"]: call["LINE"] for call in portal.calls.values()}
    assert used[again] == "autodial-1"
    assert portal.lines["autodial-1"] == "АВТОДОЗВОН: Договор 20"


@pytest_twisted.ensureDeferred
async def test_the_call_s_number_is_written_into_the_task_for_the_script_on_the_portal(
    config: Config, portal: SimulatedPortal, store: FakeStore, now: Now, run: Run
) -> None:
    settings = config.portal.model_copy(update={"call_id_field": "UF_AUTODIAL_CALL"})
    number = under_way(run, portal, "x")
    await reporter(config.model_copy(update={"portal": settings}), portal, store, now).turn()
    ((call, _),) = portal.calls.items()
    task = int(number[1:].partition("-")[0])

    assert portal.tasks[task]["UF_AUTODIAL_CALL"] == call


@pytest_twisted.ensureDeferred
async def test_a_card_without_a_link_is_still_a_card(
    config: Config, portal: SimulatedPortal, store: FakeStore, now: Now, run: Run
) -> None:
    """The portal refuses the number in the task's field. The call is registered all the same."""
    settings = config.portal.model_copy(update={"call_id_field": "UF_AUTODIAL_CALL"})
    under_way(run, portal, "x")

    async def send(request: Request) -> Answer:
        if request.method == "tasks.task.update":
            portal.fail_next(Fault.DIED)
        return await portal.send(request)

    kept: Any = store
    changed = config.model_copy(update={"portal": settings})
    await Reporter(changed, Portal.direct(WEBHOOK, send), kept, Roster(), now, Clock()).turn()

    assert [message.state for message in run(views.messages)] == ["delivered"]
    assert len(portal.calls) == 1


def told_once(portal: SimulatedPortal, attempts: list[AttemptId]) -> None:
    for number in attempts:
        task = int(number[1:].partition("-")[0])
        comments = [
            row for row in portal.comments.get(task, []) if f"[{number}]" in row["POST_MESSAGE"]
        ]
        assert len(comments) == 1, number


@pytest_twisted.ensureDeferred
async def test_a_talk_is_told_in_order(
    config: Config, portal: SimulatedPortal, store: FakeStore, now: Now, run: Run
) -> None:
    attempt(run, portal, TALKED)
    await reporter(config, portal, store, now).turn()

    assert portal.requests == [
        "telephony.externalline.add",
        "telephony.externalcall.register",
        "telephony.externalcall.finish",
        "task.commentitem.add",
    ]
    assert [(row["CALL_FAILED_CODE"], row["CALL_DURATION"]) for row in portal.statistics] == [
        ("200", 65)
    ]
    assert [line.state for line in run(views.attempt_lines)] == ["reported"]


@pytest_twisted.ensureDeferred
async def test_a_lost_answer_is_verified_before_it_is_repeated(
    config: Config, portal: SimulatedPortal, store: FakeStore, now: Now, run: Run
) -> None:
    """The comment is written, the answer lost. The reporter looks for it and writes no second."""
    number = attempt(run, portal, "dial,CHANUNAVAIL,1,SIP%20404%20x")
    paying = reporter(config, portal, store, now)
    portal.fail_next(Fault.LOST)
    await paying.turn()
    assert [message.state for message in run(views.messages)] == ["sending"]

    now.advance(seconds=1)
    await paying.turn()
    assert [message.state for message in run(views.messages)] == ["sending"], "it pauses first"

    now.advance(seconds=5)
    await paying.turn()
    assert [message.state for message in run(views.messages)] == ["sending"], (
        "it may be executed yet"
    )

    now.advance(seconds=85)
    await paying.turn()
    told_once(portal, [number])
    assert [message.state for message in run(views.messages)] == ["delivered"]


@pytest_twisted.ensureDeferred
async def test_a_refusal_is_dead_and_the_others_go_on(
    config: Config, portal: SimulatedPortal, store: FakeStore, now: Now, run: Run
) -> None:
    first = attempt(run, portal, BUSY)
    second = attempt(run, portal, BUSY)
    del portal.tasks[int(first[1:].partition("-")[0])]
    await reporter(config, portal, store, now).turn()

    told_once(portal, [second])
    dead = [message for message in run(views.messages) if message.state == "dead"]
    assert [(first, "comment")] == [(message.attempt, message.kind) for message in dead]
    assert "not found" in dead[0].error


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
@settings(
    max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(
    reports=st.lists(st.sampled_from([TALKED, BUSY]), min_size=1, max_size=3),
    faults=st.lists(st.sampled_from([*Fault, None]), max_size=12),
)
def test_whatever_the_portal_does_each_thing_is_said_exactly_once(
    config: Config,
    store: FakeStore,
    run: Run,
    reports: list[str],
    faults: list[Fault | None],
) -> None:
    """Faults of every kind, in any order, with a new process after each."""
    now = Now()
    portal = SimulatedPortal(now=now)
    _fresh_ids(portal, run)
    attempts = [attempt(run, portal, report) for report in reports]
    for fault in [*faults, *[None] * 4]:
        if fault is not None:
            portal.fail_next(fault)
        now.advance(seconds=120)
        _now(reporter(config, portal, store, now).turn())

    told_once(portal, attempts)
    assert portal.calls == {}
    talks = sum(report == TALKED for report in reports)
    assert talks == len(portal.statistics)
    assert len({row["EXTERNAL_CALL_ID"] for row in portal.statistics}) == talks
    states = {line.id: line.state for line in run(views.attempt_lines)}
    assert {"reported"} == {states[number] for number in attempts}


def _fresh_ids(portal: SimulatedPortal, run: Run) -> None:
    """The examples share one store, so their tasks need different numbers."""
    highest = max((line.id for line in run(views.task_lines)), default=8000)
    while portal.next_id() <= highest + 1000:
        pass


def _now(coroutine: Any) -> None:
    """Run a coroutine that waits for nothing real."""
    done: list[object] = []
    Deferred.fromCoroutine(coroutine).addBoth(done.append)
    assert done == [None]


@pytest_twisted.ensureDeferred
async def test_while_the_portal_is_down_nothing_is_marked_doubtful(
    config: Config, store: FakeStore, now: Now, run: Run, portal: SimulatedPortal
) -> None:
    """With a refused connection nothing was sent: the message is simply sent again."""
    number = attempt(run, portal, BUSY)

    async def down(_: Request) -> Answer:
        raise PortalUnavailable("down")

    paying = Reporter(config, Portal.direct(WEBHOOK, down), store, Roster(), now, Clock())  # type: ignore[arg-type]
    await paying.turn()
    assert {"pending"} == {message.state for message in run(views.messages)}

    now.advance(minutes=2)
    await reporter(config, portal, store, now).turn()
    told_once(portal, [number])
    assert portal.requests.count("task.commentitem.getlist") == 0


@pytest_twisted.ensureDeferred
async def test_a_deleted_webhook_loses_nothing(
    config: Config, store: FakeStore, now: Now, run: Run, portal: SimulatedPortal
) -> None:
    """All messages wait until a person creates a new webhook. None is given up."""
    numbers = [attempt(run, portal, report) for report in (BUSY, TALKED)]
    secret, portal.secret = portal.secret, "another"
    paying = reporter(config, portal, store, now)
    await paying.turn()
    assert {"pending"} == {message.state for message in run(views.messages)}

    portal.secret = secret
    now.advance(minutes=2)
    await paying.turn()
    told_once(portal, numbers)


@pytest_twisted.ensureDeferred
async def test_a_deadline_that_a_person_has_moved_stays_his(
    config: Config, store: FakeStore, now: Now, run: Run, portal: SimulatedPortal
) -> None:
    """The person moves it between our last read and our update. Our update must not undo that."""
    number = attempt(run, portal, BUSY)
    task = int(number[1:].partition("-")[0])
    promised = NOON + timedelta(days=1)
    portal.tasks[task]["DEADLINE"] = promised
    await reporter(config, portal, store, now).turn()

    assert promised == portal.tasks[task]["DEADLINE"]
    told_once(portal, [number])


@pytest_twisted.ensureDeferred
async def test_answers_of_an_unknown_shape_do_not_stop_the_others(
    config: Config, store: FakeStore, now: Now, run: Run, portal: SimulatedPortal
) -> None:
    """The portal answers one method with an unknown shape: in the end only that message waits."""
    first, second = attempt(run, portal, TALKED), attempt(run, portal, BUSY)

    async def send(request: Request) -> Answer:
        if request.method == "telephony.externalCall.register":
            return Answer(200, b'{"result": []}')
        return await portal.send(request)

    paying = Reporter(config, Portal.direct(WEBHOOK, send), store, Roster(), now, Clock())  # type: ignore[arg-type]
    for _ in range(8):
        await paying.turn()
        now.advance(minutes=2)

    told_once(portal, [first, second])
    assert [("register", "dead")] == [
        (message.kind, message.state)
        for message in run(views.messages)
        if message.state != "delivered"
    ]


@pytest_twisted.ensureDeferred
async def test_a_long_outage_does_not_use_up_the_patience_with_strange_answers(
    config: Config, store: FakeStore, now: Now, run: Run, portal: SimulatedPortal
) -> None:
    """After an hour's outage the first answer is malformed. The message is not given up."""
    number = attempt(run, portal, BUSY)
    odd: list[bytes] = []

    async def send(request: Request) -> Answer:
        if len(odd) < 30:
            odd.append(b"")
            raise PortalUnavailable("down")
        if len(odd) == 30:
            odd.append(b"")
            return Answer(200, b'{"result": {"task": {}}}')
        return await portal.send(request)

    paying = Reporter(config, Portal.direct(WEBHOOK, send), store, Roster(), now, Clock())  # type: ignore[arg-type]
    for _ in range(40):
        await paying.turn()
        now.advance(minutes=2)

    told_once(portal, [number])
    assert {"delivered"} == {message.state for message in run(views.messages)}


def task_of(number: str) -> int:
    return int(number[1:].partition("-")[0])


@pytest.mark.parametrize(
    ("status", "wish", "expected", "steps"),
    [
        (2, "DONE", 5, ["complete"]),
        (3, "DONE", 5, ["complete"]),
        (2, "IN_PROGRESS", 3, ["start"]),
        (3, "IN_PROGRESS", 3, []),
        (2, "DEFERRED", 6, ["defer"]),
        (3, "DEFERRED", 6, ["pause", "defer"]),  # the portal defers only tasks that are not begun
        (5, "IN_PROGRESS", 5, []),  # a person has closed it: it stays closed
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_task_is_brought_to_a_status_by_the_portal_s_rules(
    config: Config, store: FakeStore, now: Now, run: Run, portal: SimulatedPortal,
    status: int, wish: str, expected: int, steps: list[str],
) -> None:  # fmt: skip
    number = attempt(run, portal, TALKED, WriteBack(talked=wish))
    portal.tasks[task_of(number)]["STATUS"] = status
    await reporter(config, portal, store, now).turn()
    calls = [name for name in portal.executed if name.startswith("tasks.task.")]

    assert expected == portal.tasks[task_of(number)]["STATUS"]
    assert [f"tasks.task.{step}" for step in steps] == [
        name for name in calls if name != "tasks.task.get"
    ]
    assert {"delivered"} == {message.state for message in run(views.messages)}


@pytest_twisted.ensureDeferred
async def test_a_lost_answer_to_a_status_is_looked_at_before_it_is_repeated(
    config: Config, store: FakeStore, now: Now, run: Run, portal: SimulatedPortal
) -> None:
    number = attempt(run, portal, BUSY, WriteBack(given_up="DONE"))
    run(tasks_given_up, number)
    paying = reporter(config, portal, store, now)
    send = portal.send

    async def lossy(request: Request) -> Answer:
        answer = await send(request)
        if request.method == "tasks.task.complete":
            raise AnswerLost(request.method)
        return answer

    use_portal(paying, Portal.direct(WEBHOOK, lossy))
    await paying.turn()
    now.advance(minutes=2)
    await paying.turn()

    assert 5 == portal.tasks[task_of(number)]["STATUS"]
    assert 1 == portal.executed.count("tasks.task.complete")
    assert {"delivered"} == {message.state for message in run(views.messages)}


def tasks_given_up(db: Any, number: str) -> None:
    """Queue the status, as after the last attempt that the rules allow."""
    row = attempt_queries.load_attempt(db, AttemptId(number))
    assert row is not None
    outbox.enqueue(db, row, MessageKind.STATUS, {"status": "DONE"}, NOON)


@pytest_twisted.ensureDeferred
async def test_a_responsible_may_be_changed_by_delegation(
    config: Config, store: FakeStore, now: Now, run: Run, portal: SimulatedPortal
) -> None:
    """Only if configured: it resets the status. A repeated message must not delegate twice."""
    add_operator(portal, 501, "101")
    add_operator(portal, 502, "102")
    number = attempt(run, portal, TALKED)
    ended = run(attempt_queries.load_attempt, number)
    run(outbox.enqueue, ended, MessageKind.TASK, {"responsible": 502}, NOON)
    row = portal.tasks[task_of(number)]
    row["STATUS"] = 3
    delegating = config.tasks.model_copy(update={"delegate": True})
    paying = reporter(config.model_copy(update={"tasks": delegating}), portal, store, now)
    await paying.turn()

    assert (502, 2, [501]) == (row["RESPONSIBLE_ID"], row["STATUS"], row["AUDITORS"])


@pytest_twisted.ensureDeferred
async def test_a_notice_with_a_link_while_the_phone_rings_and_none_afterwards(
    config: Config, store: FakeStore, now: Now, run: Run, portal: SimulatedPortal
) -> None:
    attempt(run, portal, TALKED, WriteBack(notify=True))
    await reporter(config, portal, store, now).turn()
    assert [] == portal.notices, "the talk was over before the notice could be sent"

    number = add_task(portal, "[b]Срочно", responsible=501, deadline=NOON)
    task = PortalTask(
        id=number, title="[b]Срочно", status=2, responsible=501, deadline=NOON, clients=(),
    )  # fmt: skip
    run(tasks.save_tasks, [tasks.Imported(task, (PHONE,))], NOON, asked=NOON)
    decision = Dial(PHONE, ANNA, (Route("c"),))
    row = run(planning.load_task, TaskId(number))
    opened = run(ledger.open_attempt, row, decision, NOON, lease=timedelta(hours=1))
    run(ledger.claim, opened.id, NOON)
    run(ledger.ringing, opened.id, "101", NOON, WriteBack(notify=True))
    await reporter(config, portal, store, now).turn()
    (notice,) = portal.notices

    assert 501 == notice["USER_ID"]
    link = f"[URL=/company/personal/user/501/tasks/task/view/{number}/](b)Срочно[/URL]"
    assert link in notice["MESSAGE"]


@pytest_twisted.ensureDeferred
async def test_a_recording_is_waited_for_attached_and_deleted(
    config: Config, store: FakeStore, now: Now, run: Run, portal: SimulatedPortal, tmp_path: Path
) -> None:
    """While Asterisk still writes it, the other messages are sent."""
    number = attempt(run, portal, TALKED, WriteBack(recording=True))
    folder = tmp_path / "recordings"
    folder.mkdir()
    recording = config.recording.model_copy(update={"folder": folder})
    paying = reporter(config.model_copy(update={"recording": recording}), portal, store, now)
    await paying.turn()
    assert ["record"] == [
        message.kind for message in run(views.messages) if message.state != "delivered"
    ]
    told_once(portal, [number])

    file = folder / f"{number}.wav"
    file.write_bytes(b"RIFF sound")
    os.utime(file, (NOON.timestamp(), NOON.timestamp()))
    now.advance(seconds=1)
    await paying.turn()
    assert {} == portal.recordings, "the file may still be growing"

    now.advance(seconds=30)
    await paying.turn()
    assert [(file.name, b"RIFF sound")] == list(portal.recordings.values())
    assert not file.exists()
    assert ["reported"] == [line.state for line in run(views.attempt_lines)]


@pytest_twisted.ensureDeferred
async def test_a_recording_that_never_appears_is_put_aside_with_a_word_on_what_to_do(
    config: Config, store: FakeStore, now: Now, run: Run, portal: SimulatedPortal, tmp_path: Path
) -> None:
    attempt(run, portal, TALKED, WriteBack(recording=True))
    recording = config.recording.model_copy(update={"folder": tmp_path})
    paying = reporter(config.model_copy(update={"recording": recording}), portal, store, now)
    for _ in range(3):
        now.advance(minutes=6)
        await paying.turn()

    assert ["is AD_RECORD set in the dialplan?"] == [
        message.error.partition(": ")[2]
        for message in run(views.messages)
        if message.state == "dead"
    ]


@pytest_twisted.ensureDeferred
async def test_a_missing_scope_stops_only_what_needs_it_and_is_mended_by_a_command(
    config: Config, store: FakeStore, now: Now, run: Run, portal: SimulatedPortal
) -> None:
    """The call's registration is refused. It is sent again, and the finish follows."""
    number = attempt(run, portal, TALKED)
    scopes, portal.scopes = portal.scopes, portal.scopes - {"telephony"}
    paying = reporter(config, portal, store, now)
    await paying.turn()
    told_once(portal, [number])
    (dead,) = [message for message in run(views.messages) if message.state == "dead"]
    assert "register" == dead.kind and "insufficient_scope" in dead.error

    portal.scopes = scopes
    now.advance(minutes=5)
    assert 1 == run(delivery.again, None, now())
    await paying.turn()
    assert [number] == [row["EXTERNAL_CALL_ID"] for row in portal.statistics]
    assert {} == portal.calls
    told_once(portal, [number])
    assert ["reported"] == [line.state for line in run(views.attempt_lines)]


@pytest_twisted.ensureDeferred
async def test_a_lost_finish_without_a_right_to_the_statistics_is_done(
    config: Config, store: FakeStore, now: Now, run: Run, portal: SimulatedPortal
) -> None:
    attempt(run, portal, TALKED)
    portal.statistics_readable = False
    paying = reporter(config, portal, store, now)
    send = portal.send
    lost: list[bool] = []

    async def lossy(request: Request) -> Answer:
        answer = await send(request)
        if request.method.endswith("finish") and not lost:
            lost.append(True)
            raise AnswerLost(request.method)
        return answer

    use_portal(paying, Portal.direct(WEBHOOK, lossy))
    await paying.turn()
    now.advance(minutes=2)
    await paying.turn()

    assert 1 == len(portal.statistics)
    assert {"delivered"} == {message.state for message in run(views.messages)}


@pytest_twisted.ensureDeferred
async def test_one_message_that_the_portal_cannot_digest_lets_the_others_pass(
    config: Config, portal: SimulatedPortal, store: FakeStore, now: Now, run: Run
) -> None:
    """The answer to it is always a proxy's error page. All other requests succeed."""
    bad = attempt(run, portal, BUSY)
    attempt(run, portal, BUSY)
    paying = reporter(config, portal, store, now)
    sent = []

    async def poisoned(request: Request) -> Answer:
        if request.method == "task.commentitem.add" and f"[{bad}]" in str(request.params):
            sent.append(now())
            return Answer(500, b"<html>")
        return await portal.send(request)

    use_portal(paying, Portal.direct(WEBHOOK, poisoned))
    for _ in range(12 * 60):
        await paying.turn()
        now.advance(minutes=1)

    others = [d for d in run(views.messages) if d.attempt != bad]
    assert {"delivered"} == {message.state for message in others}
    (dead,) = [d for d in run(views.messages) if d.state == "dead"]
    assert (bad, "comment") == (dead.attempt, dead.kind)
    assert len(sent) < 30, "it is not sent every minute of the day"


@pytest_twisted.ensureDeferred
async def test_an_outage_is_no_message_s_fault(
    config: Config, portal: SimulatedPortal, store: FakeStore, now: Now, run: Run
) -> None:
    attempt(run, portal, BUSY)
    paying = reporter(config, portal, store, now)

    async def down(request: Request) -> Answer:
        raise PortalUnavailable(request.method)

    use_portal(paying, Portal.direct(WEBHOOK, down))
    for _ in range(24 * 60):
        await paying.turn()
        now.advance(minutes=1)
    use_portal(paying, Portal.direct(WEBHOOK, portal.send))
    await paying.turn()
    assert {"delivered"} == {message.state for message in run(views.messages)}, (
        "at once when the portal is back"
    )


@pytest_twisted.ensureDeferred
async def test_a_card_does_not_wait_behind_what_is_over(
    config: Config, portal: SimulatedPortal, store: FakeStore, now: Now, run: Run
) -> None:
    for _ in range(3):
        attempt(run, portal, BUSY)
    number = add_task(portal, "Позвонить", responsible=501, deadline=NOON)
    task = PortalTask(id=number, title="x", status=2, responsible=501, deadline=NOON, clients=())
    phone = evolve(PHONE, number="+442079460777", entity_id=777)
    run(tasks.save_tasks, [tasks.Imported(task, (phone,))], NOON, asked=NOON)
    row = run(planning.load_task, TaskId(number))
    opened = run(
        ledger.open_attempt, row, Dial(phone, ANNA, (Route("c"),)), NOON, lease=timedelta(hours=1)
    )
    run(ledger.claim, opened.id, NOON)
    run(ledger.ringing, opened.id, "101", NOON)
    await reporter(config, portal, store, now).turn()
    write_back = [m for m in portal.executed if m.startswith(("telephony.externalcall", "task."))]
    assert "telephony.externalcall.register" == write_back[0]


@pytest_twisted.ensureDeferred
async def test_our_deadline_that_arrived_in_an_outage_is_not_a_person_s(
    config: Config, portal: SimulatedPortal, store: FakeStore, now: Now, run: Run
) -> None:
    """The update is executed, its answer lost, and the repetition refused: it is already done."""
    number = task_of(attempt(run, portal, BUSY))
    (row,) = run(tasks_owed, number)
    portal.tasks[number]["DEADLINE"] = to_the_minute(datetime.fromisoformat(row))
    portal_task = PortalTask(
        id=number, title="x", status=2, responsible=501,
        deadline=portal.tasks[number]["DEADLINE"], clients=(),
    )  # fmt: skip
    run(tasks.save_tasks, [tasks.Imported(portal_task, None)], now(), asked=now())
    assert "moved by hand" not in [event.kind for event in run(story, number)]


def tasks_owed(db: sa.Connection, task: int) -> list[str]:
    query = sa.select(schema.outbox.c.payload).where(
        schema.outbox.c.task == task, schema.outbox.c.kind == "task"
    )
    return [row.payload["deadline"] for row in db.execute(query)]


@pytest_twisted.ensureDeferred
async def test_a_task_given_up_is_handed_to_whom_the_site_names(
    config: Config, portal: SimulatedPortal, store: FakeStore, now: Now, run: Run
) -> None:
    add_operator(portal, 501, "101")
    add_operator(portal, 503, "103")
    write_back = WriteBack(hand_back=503)
    wrong = task_of(attempt(run, portal, "dial,CHANUNAVAIL,1,SIP%20404%20x", write_back))
    busy = task_of(attempt(run, portal, BUSY, write_back))
    talked = task_of(attempt(run, portal, TALKED, write_back))
    await reporter(config, portal, store, now).turn()
    assert [503, 501, 501] == [
        portal.tasks[number]["RESPONSIBLE_ID"] for number in (wrong, busy, talked)
    ]


@pytest_twisted.ensureDeferred
async def test_a_call_told_long_after_is_registered_once_though_its_answer_is_lost(
    config: Config, portal: SimulatedPortal, store: FakeStore, now: Now, run: Run
) -> None:
    """The portal recognises a repeated call only if it started less than half an hour ago."""
    attempt(run, portal, TALKED)
    now.advance(hours=5)
    paying = reporter(config, portal, store, now)
    lost: list[bool] = []

    async def lossy(request: Request) -> Answer:
        answer = await portal.send(request)
        if request.method.endswith("register") and not lost:
            lost.append(True)
            raise AnswerLost(request.method)
        return answer

    use_portal(paying, Portal.direct(WEBHOOK, lossy))
    for _ in range(3):
        await paying.turn()
        now.advance(minutes=2)
    assert (1, {}) == (len(portal.statistics), portal.calls)


@pytest_twisted.ensureDeferred
async def test_a_person_who_moves_the_deadline_keeps_his_task_open(
    config: Config, portal: SimulatedPortal, store: FakeStore, now: Now, run: Run
) -> None:
    """After a talk the task is to be completed. The portal is down, and a person postpones it."""
    done = WriteBack(talked="DONE")
    number = task_of(attempt(run, portal, TALKED, done))
    moved = NOON + timedelta(days=1)
    portal.tasks[number]["DEADLINE"] = moved
    portal_task = PortalTask(
        id=number, title="x", status=2, responsible=501, deadline=moved, clients=()
    )
    run(tasks.save_tasks, [tasks.Imported(portal_task, None)], NOON, asked=NOON)
    await reporter(config, portal, store, now).turn()
    assert (2, moved) == (portal.tasks[number]["STATUS"], portal.tasks[number]["DEADLINE"])


@pytest_twisted.ensureDeferred
async def test_an_old_deadline_does_not_follow_a_newer_one(
    config: Config, portal: SimulatedPortal, store: FakeStore, now: Now, run: Run
) -> None:
    """The first attempt's deadline is set aside, and sent again after the second attempt's."""
    first = attempt(run, portal, BUSY)
    number = task_of(first)
    (old,) = [message.id for message in run(views.messages) if message.kind == "task"]
    run(lambda db: db.execute(sa.update(schema.outbox).where(schema.outbox.c.id == old)
                              .values(state="dead")))  # fmt: skip
    paying = reporter(config, portal, store, now)
    await paying.turn()
    now.advance(hours=2)
    row = run(planning.load_task, TaskId(number))
    dial = Dial(PHONE, ANNA, (Route("c"),))
    opened = run(ledger.open_attempt, row, dial, now(), lease=timedelta(hours=1))
    run(ledger.claim, opened.id, now())
    run(attempt_end.record, opened.id, parse_report(BUSY.split(",")), now(), EndPolicy())
    await paying.turn()
    newer = portal.tasks[number]["DEADLINE"]
    run(delivery.again, old, now())
    await paying.turn()

    assert newer == portal.tasks[number]["DEADLINE"] > NOON + timedelta(hours=2)
    assert {"delivered"} == {message.state for message in run(views.messages)}


@pytest_twisted.ensureDeferred
async def test_a_person_decides_while_our_deadline_is_put_off(
    config: Config, portal: SimulatedPortal, store: FakeStore, now: Now, run: Run
) -> None:
    number = task_of(attempt(run, portal, BUSY))
    message = run(outbox.next_message, now())
    assert "task" == message.kind
    run(delivery.put_off, message, now() + timedelta(hours=6))
    moved = NOON + timedelta(days=3)
    portal_task = PortalTask(
        id=number, title="x", status=2, responsible=501, deadline=moved, clients=()
    )
    now.advance(minutes=5)
    run(tasks.save_tasks, [tasks.Imported(portal_task, None)], now(), asked=now())
    assert moved == run(planning.load_task, TaskId(number)).due


def test_a_message_of_an_unknown_kind_is_a_dead_letter_and_the_others_go_on(
    config: Config, run: Run, portal: SimulatedPortal
) -> None:
    """Of a newer program that was installed in between."""
    attempt(run, portal, BUSY)
    first = min(line.id for line in run(views.messages))
    odd = sa.update(schema.outbox).where(schema.outbox.c.id == first).values(kind="odd")
    run(lambda db: db.execute(odd))
    message = run(outbox.next_message, NOON)

    assert message is not None and message.id != first
    assert "unknown kind odd" in {line.error for line in run(views.messages)}
