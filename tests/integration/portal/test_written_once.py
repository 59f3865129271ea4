"""Each message is written exactly once, also if the portal executes late or reports wrongly."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import pytest_twisted

from autodial.config.settings import Config
from autodial.model.ids import AttemptId, TaskId
from autodial.model.write_back import WriteBack
from autodial.portal.comments import comment
from autodial.store import attempt_end, outbox, planning, schema, tasks, views
from autodial.store.events import story
from bitrix24 import Portal, PortalRefused
from bitrix24.simulator import Fault, SimulatedPortal
from bitrix24.simulator.seed import add_operator, add_task
from tests.integration.conftest import NOON, FakeStore, Now
from tests.integration.portal.replaced import use_portal
from tests.integration.portal.test_reporter import (
    BUSY,
    WEBHOOK,
    attempt,
    end,
    reporter,
    told_once,
    under_way,
)

Run = Callable[..., Any]
ensure = pytest_twisted.ensureDeferred
SILENT = "dial,NOANSWER,0,x"
BOTH = pytest.mark.parametrize("fault", [Fault.LATE, Fault.LATE_504])


def task_of(number: AttemptId) -> int:
    return int(number[1:].partition("-")[0])


def states(run: Run) -> dict[str, str]:
    return {message.kind: message.state for message in run(views.messages)}


async def until_all_is_paid(paying: Any, now: Now, run: Run) -> None:
    for _ in range(30):
        await paying.turn()
        if all(state in ("delivered", "dead", "void") for state in states(run).values()):
            return
        now.advance(seconds=10)
    raise AssertionError(states(run))


@ensure
@BOTH
@pytest.mark.parametrize("in_chat", [False, True])
async def test_a_comment_that_is_executed_late_is_there_once(
    config: Config, portal: SimulatedPortal, store: FakeStore, now: Now, run: Run,
    fault: Fault, in_chat: bool,
) -> None:  # fmt: skip
    """The reporter looks for it only when it can no longer arrive late."""
    portal.comments_in_chat = in_chat
    number = attempt(run, portal, "dial,CHANUNAVAIL,1,SIP%20404%20x")
    paying = reporter(config, portal, store, now)
    portal.fail_next(fault)
    await until_all_is_paid(paying, now, run)
    now.advance(minutes=5)
    portal.catch_up()
    told_once(portal, [number])
    assert "comment" in states(run)


@ensure
@BOTH
async def test_a_registration_that_is_executed_late_leaves_no_call_open(
    config: Config, portal: SimulatedPortal, store: FakeStore, now: Now, run: Run, fault: Fault
) -> None:
    """It is registered again at once with the same id, for the card. Its finish waits."""
    number = under_way(run, portal, "x")
    paying = reporter(config, portal, store, now)
    await paying.lines.common()
    portal.fail_next(fault)
    await paying.turn()
    now.advance(seconds=8)
    await paying.turn()
    assert 1 == len(portal.calls), "the operator's card is up"
    end(run, number)
    await until_all_is_paid(paying, now, run)
    now.advance(minutes=5)
    portal.catch_up()

    assert {} == portal.calls
    assert [number] == [row["EXTERNAL_CALL_ID"] for row in portal.statistics]


@ensure
async def test_a_registration_is_repeated_on_the_same_line(
    config: Config, portal: SimulatedPortal, store: FakeStore, now: Now, run: Run
) -> None:
    """The portal recognises a call by its line too. A new process remembers no names of lines."""
    settings = config.portal.model_copy(update={"pool": 2})
    config = config.model_copy(update={"portal": settings})
    under_way(run, portal, "first")
    number = under_way(run, portal, "second")
    paying = reporter(config, portal, store, now)
    await paying.turn()
    (call,) = [key for key, one in portal.calls.items() if one["EXTERNAL_CALL_ID"] == number]
    assert "autodial-2" == portal.calls[call]["LINE"]
    with store.engine.begin() as db:  # as if the answer had been lost
        db.execute(
            schema.outbox.update()
            .where(schema.outbox.c.attempt == number, schema.outbox.c.kind == "register")
            .values(state="sending", sent_at=now())
        )
    end(run, number)
    await reporter(config, portal, store, now).turn()
    assert 2 == len(portal.calls), "the second registration returned the first call"


@ensure
async def test_a_card_that_is_shown_late_comes_down_with_the_call(
    config: Config, portal: SimulatedPortal, store: FakeStore, now: Now, run: Run
) -> None:
    """The call moves to another operator while the request to show the card is under way."""
    from autodial.store import ledger

    add_operator(portal, 502, "102")
    number = under_way(run, portal, "x")
    paying = reporter(config, portal, store, now)
    await paying.turn()
    staff = {"active": True, "online": True, "last_login": None}
    _staff(run, staff)
    run(ledger.ringing, number, "102", now())
    portal.fail_next(Fault.LATE)  # the hiding of the first card
    await paying.turn()
    now.advance(seconds=10)
    await paying.turn()
    end(run, number)
    await until_all_is_paid(paying, now, run)

    up = {}
    for what, call, user in portal.cards:
        up[call, user] = what
    assert {"hide"} == set(up.values())


def _staff(run: Run, fields: dict[str, Any]) -> None:
    from autodial.model.operator import PresenceRules
    from autodial.store import presence
    from bitrix24 import Employee

    people = [
        Employee(id=user, name=f"N{user}", extension=extension, **fields)
        for user, extension in ((501, "101"), (502, "102"))
    ]
    rules = PresenceRules(active_within=timedelta(minutes=24))
    run(presence.save_staff, people, {}, NOON, rules)


@ensure
@BOTH
async def test_a_deadline_that_is_executed_late_is_not_taken_for_a_person_s(
    config: Config, portal: SimulatedPortal, store: FakeStore, now: Now, run: Run, fault: Fault
) -> None:
    number = attempt(run, portal, BUSY)
    task = task_of(number)
    due = run(planning.load_task, TaskId(task)).due
    paying = reporter(config, portal, store, now)
    portal.fail_next(fault)
    await until_all_is_paid(paying, now, run)
    portal.catch_up()
    client = Portal.direct(WEBHOOK, portal.send)
    read = await client.task(task)
    assert read is not None
    run(tasks.save_tasks, [tasks.Imported(read, None)], now(), asked=now())

    assert (due, 1) == (run(planning.load_task, TaskId(task)).due, _generation(store, task))


def _generation(store: FakeStore, task: int) -> int:
    with store.engine.begin() as db:
        query = schema.tasks.select().where(schema.tasks.c.id == task)
        return int(db.execute(query).one().generation)


@ensure
async def test_a_new_process_knows_when_it_was_sent(
    config: Config, portal: SimulatedPortal, store: FakeStore, now: Now, run: Run
) -> None:
    """The process is killed during the request. The moment of sending is on disk."""
    number = attempt(run, portal, "dial,CHANUNAVAIL,1,SIP%20404%20x")
    assert run(outbox.next_message, now()) is not None  # the process ends here
    now.advance(seconds=80)
    await reporter(config, portal, store, now).turn()
    assert {"comment": "sending"} == states(run)
    now.advance(seconds=11)
    await reporter(config, portal, store, now).turn()
    told_once(portal, [number])


@ensure
async def test_others_pass_while_one_is_doubtful(
    config: Config, portal: SimulatedPortal, store: FakeStore, now: Now, run: Run
) -> None:
    attempt(run, portal, "dial,CHANUNAVAIL,1,SIP%20404%20x")
    second = attempt(run, portal, "dial,CHANUNAVAIL,1,SIP%20404%20x")
    paying = reporter(config, portal, store, now)
    portal.fail_next(Fault.LATE)
    await paying.turn()
    now.advance(seconds=3)
    await paying.turn()
    told_once(portal, [second])


@ensure
async def test_while_the_portal_is_left_alone_no_message_is_blamed(
    config: Config, portal: SimulatedPortal, store: FakeStore, now: Now, run: Run
) -> None:
    """Closed for an upgrade, open, and closed once more: the messages wait a moment."""
    attempt(run, portal, "dial,CHANUNAVAIL,1,SIP%20404%20x")
    paying = reporter(config, portal, store, now)
    closed = [True] * 8

    async def send(request: Any) -> Any:
        if request.method == "task.commentitem.add" and closed:
            closed.pop()
            portal.fail_next(Fault.CLOSED)
        return await portal.send(request)

    use_portal(paying, Portal.direct(WEBHOOK, send))
    for _ in range(9):
        await paying.turn()
        now.advance(seconds=61)
    assert {"comment": "delivered"} == states(run)


@ensure
async def test_whether_a_comment_is_there_cannot_be_seen_without_the_chat(
    config: Config, portal: SimulatedPortal, store: FakeStore, now: Now, run: Run
) -> None:
    """The forum of a task with a chat is always empty, so a person must look."""
    portal.comments_in_chat = True
    portal.scopes = portal.scopes - {"im"}
    number = attempt(run, portal, "dial,CHANUNAVAIL,1,SIP%20404%20x")
    paying = reporter(config, portal, store, now)
    portal.fail_next(Fault.LOST)
    await until_all_is_paid(paying, now, run)
    told_once(portal, [number])
    (dead,) = run(views.messages)
    assert "dead" == dead.state
    assert "scope im" in dead.error


@ensure
async def test_a_comment_far_back_in_a_busy_chat_is_found(
    portal: SimulatedPortal,
) -> None:
    portal.comments_in_chat = True
    client = Portal.direct(WEBHOOK, portal.send)
    number = add_task(portal, "x", responsible=1, deadline=NOON)
    first = await client.add_comment(number, "Автодозвон [t1-1]")
    for n in range(120):
        await client.add_comment(number, f"слово {n}")
    assert first == await client.find_comment(number, "[t1-1]")
    assert await client.find_comment(number, "[t1-2]") is None


@ensure
async def test_a_task_without_a_chat_gets_one_and_then_its_comment(
    portal: SimulatedPortal,
) -> None:
    """The portal answers 0 and writes nothing."""
    portal.comments_in_chat = portal.chats_by_hand = True
    client = Portal.direct(WEBHOOK, portal.send)
    number = add_task(portal, "x", responsible=1, deadline=NOON)
    assert await client.add_comment(number, "x") > 0
    assert 1 == len(portal.comments[number])


@pytest.mark.parametrize(
    ("method", "answer", "ask"),
    [
        ("task.commentitem.add", b"0", lambda p, t: p.add_comment(t.id, "x")),
        ("tasks.task.update", b"[]", lambda p, t: p.move_deadline(t, NOON + timedelta(days=9))),
        ("tasks.task.update", b"false", lambda p, t: p.move_deadline(t, NOON + timedelta(days=9))),
        ("telephony.externalcall.attachrecord", b"false", None),
        ("telephony.externalcall.register", b'{"CALL_ID":""}', None),
    ],
)
@ensure
async def test_an_answer_that_says_done_and_means_not(
    portal: SimulatedPortal, tmp_path: Path, method: str, answer: bytes, ask: Any
) -> None:
    from bitrix24.wire import Answer, Request

    async def send(request: Request) -> Answer:
        if request.method.lower() == method:
            return Answer(200, b'{"result":' + answer + b"}")
        return await portal.send(request)

    client = Portal.direct(WEBHOOK, send)
    add_operator(portal, 501, "101")
    number = add_task(portal, "x", responsible=501, deadline=NOON)
    task = await client.task(number)
    assert task is not None
    file = tmp_path / "t1-1.wav"
    file.write_bytes(b"RIFF")
    with pytest.raises(PortalRefused):
        if ask is not None:
            await ask(client, task)
        elif "attach" in method:
            await client.attach_recording("x", file, 4)
        else:
            await client.register_call(
                external_id="t1-1", user=501, phone="+442079460001", started=NOON, line="autodial",
                incoming=True, show=False, client=None,
            )  # fmt: skip


@ensure
@pytest.mark.parametrize("fault", [Fault.LOST, Fault.LATE, Fault.LATE_504])
async def test_where_comments_have_keys_a_repetition_is_known(
    config: Config, portal: SimulatedPortal, store: FakeStore, now: Now, run: Run, fault: Fault
) -> None:
    """The same text is sent with the same key. The chat is not read: the scope is missing."""
    portal.comments_in_chat = portal.idempotency_keys = True
    portal.scopes = portal.scopes - {"im"}
    first = attempt(run, portal, "dial,CHANUNAVAIL,1,SIP%20404%20x")
    paying = reporter(config, portal, store, now)
    await paying.portal.look_for_keys()
    await paying.turn()  # the answer echoes the key: keys work, also for a new process
    number = attempt(run, portal, "dial,CHANUNAVAIL,1,SIP%20404%20x")
    portal.fail_next(fault)
    await paying.turn()
    later = reporter(config, portal, store, now)
    await until_all_is_paid(later, now, run)
    portal.catch_up()
    told_once(portal, [first, number])
    assert {"delivered"} == set(states(run).values())


@ensure
async def test_a_portal_that_does_not_echo_the_key_is_not_relied_on(
    config: Config, portal: SimulatedPortal, store: FakeStore, now: Now, run: Run
) -> None:
    """REST 3.0 without keys: the first comment shows it, and the next is sent without a key."""
    portal.comments_in_chat = True
    numbers = [attempt(run, portal, "dial,CHANUNAVAIL,1,SIP%20404%20x") for _ in range(2)]
    paying = reporter(config, portal, store, now)
    await paying.portal.look_for_keys()
    seen = [paying.portal.keyed]
    await paying.turn()
    assert [True, False] == [*seen, paying.portal.keyed]
    told_once(portal, numbers)


@ensure
async def test_a_portal_without_rest_3_has_no_keys(portal: SimulatedPortal) -> None:
    client = Portal.direct(WEBHOOK, portal.send)
    for portal.rest3, portal.comments_in_chat in ((False, False), (True, False)):
        await client.look_for_keys()
        assert not client.keyed


CODES = {
    "dial,BUSY,17,x": "486", SILENT: "304", "dial,CHANUNAVAIL,20,SIP%20480%20x": "480",
    "dial,CHANUNAVAIL,1,SIP%20404%20x": "404",
}  # fmt: skip


@ensure
@pytest.mark.parametrize("report", CODES)
async def test_a_call_that_nobody_answered_is_in_the_statistics(
    config: Config, portal: SimulatedPortal, store: FakeStore, now: Now, run: Run, report: str
) -> None:
    """With its code, at its time, without a card, and without a missed call."""
    number = attempt(run, portal, report, WriteBack(unanswered=True))
    await reporter(config, portal, store, now).turn()
    (row,) = portal.statistics

    assert (number, CODES[report], 1, 0, False) == (
        row["EXTERNAL_CALL_ID"], row["CALL_FAILED_CODE"], row["CALL_TYPE"], row["CALL_DURATION"],
        row["MISSED"],
    )  # fmt: skip
    assert NOON == row["CALL_START_DATE"]
    assert [] == [card for card in portal.cards if card[0] == "show"]
    assert {} == portal.calls


def test_what_nobody_was_called_for_is_no_call(portal: SimulatedPortal, run: Run) -> None:
    attempt(run, portal, "dial,CONGESTION,0,x", WriteBack(unanswered=True))
    assert "register" not in states(run)


async def generation(
    paying: Any,
    portal: SimulatedPortal,
    now: Now,
    run: Run,
    reports: list[str],
    write_back: WriteBack,
) -> int:
    """Make several calls for one task. Return the task's number."""
    from autodial.model.trunk import Route
    from autodial.rules.dial_facts import Dial
    from autodial.rules.end_policy import EndPolicy
    from autodial.rules.hangup import parse_report
    from autodial.store import ledger
    from tests.integration.store.test_ledger import ANNA, PHONE

    add_operator(portal, 501, "101")
    task = add_task(portal, "x", responsible=501, deadline=NOON)
    read = await paying.portal.task(task)
    run(tasks.save_tasks, [tasks.Imported(read, (PHONE,))], NOON, asked=NOON)
    for report in reports:
        row = run(planning.load_task, TaskId(task))
        decision = Dial(PHONE, ANNA, (Route("c"),))
        opened = run(ledger.open_attempt, row, decision, now(), lease=timedelta(hours=1))
        run(ledger.claim, opened.id, now())
        ending = parse_report(report.split(","))
        run(attempt_end.record, opened.id, ending, now(), EndPolicy(write_back=write_back))
        await paying.turn()
        now.advance(hours=4)
    return task


def texts_of(portal: SimulatedPortal, task: int) -> list[str]:
    return [row["POST_MESSAGE"] for row in portal.comments.get(task, [])]


@ensure
async def test_calls_that_end_alike_make_one_comment(
    config: Config, portal: SimulatedPortal, store: FakeStore, now: Now, run: Run
) -> None:
    """The next comment has the number of attempts. The last one says what to do."""
    paying = reporter(config, portal, store, now)
    reports = [SILENT, SILENT, SILENT, SILENT]
    write_back = WriteBack(comments="changes")
    texts = texts_of(portal, await generation(paying, portal, now, run, reports, write_back))

    assert 2 == len(texts)
    assert "попытка 4" in texts[1] and "позвоните сами" in texts[1]


@ensure
async def test_one_comment_is_kept_up_to_date(
    config: Config, portal: SimulatedPortal, store: FakeStore, now: Now, run: Run
) -> None:
    one = config.portal.model_copy(update={"comments": "one"})
    paying = reporter(config.model_copy(update={"portal": one}), portal, store, now)
    task = await generation(
        paying, portal, now, run, [BUSY, SILENT, SILENT], WriteBack(comments="one")
    )
    (text,) = texts_of(portal, task)
    assert "попытка 3: не ответил" in text
    assert f"[t{task}-3]" in text


@ensure
@pytest.mark.parametrize("keys", [False, True])
async def test_where_comments_cannot_be_edited_only_changes_are_said(
    config: Config, portal: SimulatedPortal, store: FakeStore, now: Now, run: Run, keys: bool
) -> None:
    portal.comments_in_chat, portal.idempotency_keys = True, keys
    one = config.portal.model_copy(update={"comments": "one"})
    paying = reporter(config.model_copy(update={"portal": one}), portal, store, now)
    await paying.portal.look_for_keys()
    task = await generation(
        paying, portal, now, run, [BUSY, SILENT, SILENT], WriteBack(comments="one")
    )
    assert 2 == len(texts_of(portal, task))


@ensure
async def test_a_comment_names_who_missed_and_says_minutes(
    config: Config, portal: SimulatedPortal, store: FakeStore, now: Now, run: Run
) -> None:
    _staff(run, {"active": True, "online": True, "last_login": None})
    missed = attempt(run, portal, "dial,ANSWER,16,x,NOANSWER,102,1000,,1020,c")
    talked = attempt(run, portal, "dial,ANSWER,16,x,talk,101,1000,1010,1764,c")
    paying = reporter(config, portal, store, now)
    from autodial.store import presence

    paying.roster.set_staff(run(presence.load_staff))
    await paying.turn()
    (first,) = texts_of(portal, task_of(missed))
    (second,) = texts_of(portal, task_of(talked))
    assert "(N502)" in first
    assert "N501, 12 мин 34 с" in second
    assert "закройте задачу" in second


@pytest.mark.parametrize("given_up", ["leave", "complete", "defer"])
def test_the_last_word_says_what_helps(config: Config, given_up: str) -> None:
    """A correction in a closed task has no effect: the comment says to reopen it."""
    settings = config.tasks.model_copy(update={"when_given_up": given_up})
    config = config.model_copy(update={"tasks": settings})
    for outcome, advice in (("bad number", "исправьте номер"), ("silent", "перенесите")):
        text = comment({"outcome": outcome, "next": None}, "+1", config, str)
        assert advice in text
        assert ("откройте задачу снова" in text) == (given_up != "leave")
    wrong = {"disposition": "not his number", "user": 501, "next": None}
    assert "исправьте номер" in comment(wrong, "+1", config, str)


BERLIN = ZoneInfo("Europe/Berlin")
#: The switch to summer time in Berlin: 2027-03-28, 01:00 UTC.
WINTER, SUMMER = datetime(2027, 3, 27, 12, tzinfo=UTC), datetime(2027, 3, 29, 12, tzinfo=UTC)


@ensure
@pytest.mark.parametrize("known", [True, False])
async def test_the_change_of_clocks_moves_no_deadline(
    store: FakeStore, now: Now, run: Run, known: bool
) -> None:
    """The portal shows a stored wall clock with today's offset. Nobody has changed the task."""
    now.moment = WINTER
    portal = SimulatedPortal(now=now, zone=BERLIN)
    client = Portal.direct(WEBHOOK, portal.send, BERLIN if known else None)
    april = datetime(2027, 4, 20, 10, tzinfo=BERLIN)
    number = add_task(portal, "x", responsible=1, deadline=april)
    for moment in (WINTER, SUMMER):
        now.moment = moment
        read = await client.task(number)
        assert read is not None
        run(tasks.save_tasks, [tasks.Imported(read, None)], now(), asked=now())
    kinds = [event.kind for event in run(story, number)]

    assert "moved by hand" not in kinds
    assert 1 == _generation(store, number)
    if known:
        assert april == run(planning.load_task, TaskId(number)).due, "and it is called on time"


@ensure
async def test_our_own_deadline_of_the_other_season_stays_ours(
    config: Config, store: FakeStore, now: Now, run: Run
) -> None:
    """The deadline is moved past the change of clocks, and read before and after it."""
    now.moment = WINTER
    portal = SimulatedPortal(now=now, zone=BERLIN)
    client = Portal.direct(WEBHOOK, portal.send)
    number = add_task(portal, "x", responsible=1, deadline=WINTER)
    task = await client.task(number)
    assert task is not None
    deadline = await client.move_deadline(task, datetime(2027, 4, 20, 8, tzinfo=UTC))
    assert "2027-04-20T10:00" == deadline.wall
    now.moment = SUMMER
    again = await client.task(number)
    assert again is not None and again.until.wall == deadline.wall


@ensure
async def test_a_box_that_cuts_deadlines_to_the_day_calls_no_task_again_at_once(
    config: Config, portal: SimulatedPortal, store: FakeStore, now: Now, run: Run
) -> None:
    """The deadline in the update's answer is our own, not a person's."""
    number = attempt(run, portal, SILENT)
    task = task_of(number)
    portal.deadline_by_day = True
    due = run(planning.load_task, TaskId(task)).due
    paying = reporter(config, portal, store, now)
    await until_all_is_paid(paying, now, run)
    assert portal.tasks[task]["DEADLINE"] not in (NOON, due), "it was moved, and cut to the day"
    read = await paying.portal.task(task)
    assert read is not None
    run(tasks.save_tasks, [tasks.Imported(read, None)], now(), asked=now())
    assert (due, 1) == (run(planning.load_task, TaskId(task)).due, _generation(store, task))


@ensure
@pytest.mark.parametrize("polled", [True, False])
async def test_the_same_where_the_answer_was_lost(
    config: Config, portal: SimulatedPortal, store: FakeStore, now: Now, run: Run, polled: bool
) -> None:
    """The first deadline that this portal cuts, with and without a poll before the check."""
    number = attempt(run, portal, SILENT)
    task = task_of(number)
    portal.deadline_by_day = True
    due = run(planning.load_task, TaskId(task)).due
    paying = reporter(config, portal, store, now)
    lost: list[str] = []

    async def send(request: Any) -> Any:
        if request.method == "tasks.task.update" and not lost:
            lost.append(request.method)
            portal.fail_next(Fault.LOST)
        return await portal.send(request)

    use_portal(paying, Portal.direct(WEBHOOK, send))
    await paying.turn()
    assert lost and states(run)["task"] == "sending"
    for _ in range(2):
        if polled:
            read = await Portal.direct(WEBHOOK, portal.send).task(task)
            assert read is not None
            run(tasks.save_tasks, [tasks.Imported(read, None)], now(), asked=now())
        assert (due, 1) == (run(planning.load_task, TaskId(task)).due, _generation(store, task))
        now.advance(seconds=91)
        await paying.turn()
        now.advance(seconds=60)
        polled = True


@ensure
@pytest.mark.parametrize("by_day", [False, True])
async def test_a_deadline_at_midnight_is_moved_within_its_day(
    config: Config, portal: SimulatedPortal, store: FakeStore, now: Now, run: Run, by_day: bool
) -> None:
    """A person's deadline at midnight is not taken for one of ours that the box has cut."""
    portal.deadline_by_day = by_day
    number = attempt(run, portal, BUSY)
    task = task_of(number)
    midnight = NOON.replace(hour=21) - timedelta(days=1)  # midnight in Moscow
    portal.tasks[task]["DEADLINE"] = midnight
    with store.engine.begin() as db:
        db.execute(
            schema.tasks.update().values(portal_deadline=midnight, portal_wall="2026-11-23T00:00")
        )
    await reporter(config, portal, store, now).turn()
    assert "tasks.task.update" in portal.executed
    moved = portal.tasks[task]["DEADLINE"]
    assert moved == (midnight if by_day else run(planning.load_task, TaskId(task)).due)


@ensure
async def test_another_zone_of_the_portal_s_moves_no_deadline(
    portal: SimulatedPortal, store: FakeStore, now: Now, run: Run
) -> None:
    """Somebody changes the zone in the profile of the webhook's user: all deadlines shift."""
    number = add_task(portal, "x", responsible=1, deadline=NOON)
    client = Portal.direct(WEBHOOK, portal.send)
    for hours in (3, 10):
        portal.zone = timezone(timedelta(hours=hours))
        read = await client.task(number)
        assert read is not None
        run(tasks.save_tasks, [tasks.Imported(read, None)], now(), asked=now())
    assert (1, NOON) == (_generation(store, number), run(planning.load_task, TaskId(number)).due)
