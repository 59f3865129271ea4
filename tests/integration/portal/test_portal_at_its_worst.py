"""
The reporter and the importer under failures of the portal: lost answers, time zones that differ,
people who change a task while the state of a message is unknown.
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import pytest_twisted
import sqlalchemy as sa
from attrs import define
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs

from autodial.config.settings import Config
from autodial.model.ids import AttemptId, TaskId
from autodial.model.trunk import Route
from autodial.model.write_back import WriteBack
from autodial.portal.reporter import Reporter
from autodial.rules.dial_facts import Dial
from autodial.rules.end_policy import EndPolicy
from autodial.rules.hangup import parse_report
from autodial.store import attempt_end, delivery, ledger, planning, tasks, views
from autodial.store.events import story
from autodial.store.schema import outbox
from bitrix24 import AnswerLost, Portal, PortalUnavailable, Request
from bitrix24.simulator import Fault, SimulatedPortal
from bitrix24.simulator.seed import add_contact, add_deal, add_operator, add_task
from bitrix24.wire import Answer
from tests.integration.bitrix24.test_boxes_of_every_age import BAD, importer, old, wishes
from tests.integration.conftest import NOON, FakeStore, Now
from tests.integration.portal.replaced import use_portal
from tests.integration.portal.test_reporter import (
    BUSY,
    TALKED,
    WEBHOOK,
    attempt,
    end,
    reporter,
    told_once,
    under_way,
)
from tests.integration.portal.test_written_once import (
    BERLIN,
    SILENT,
    SUMMER,
    WINTER,
    states,
    task_of,
)
from tests.integration.store.test_ledger import ANNA, PHONE

ensure = pytest_twisted.ensureDeferred
Send = Callable[[Request], Any]
Wishes = Callable[..., Config]
__all__ = ["old", "wishes"]


@define
class Scene:
    """A reporter, its portal, and the failures between the two."""

    config: Config
    portal: SimulatedPortal
    store: FakeStore
    now: Now
    run: Callable[..., Any]

    def reporter(self, send: Send | None = None, **portal: Any) -> Reporter:
        settings = self.config.portal.model_copy(update=portal)
        config = self.config.model_copy(update={"portal": settings})
        paying = reporter(config, self.portal, self.store, self.now)
        if send is not None:
            use_portal(paying, Portal.direct(WEBHOOK, send))
        return paying

    async def turns(self, paying: Reporter, turns: int = 40, seconds: int = 30) -> None:
        for _ in range(turns):
            await paying.turn()
            self.now.advance(seconds=seconds)
        self.portal.catch_up()

    def loses(self, method: str, times: int = 1, *, executed: bool = False) -> Send:
        """A transport to the portal that loses the answers to a method."""
        left = [times]

        async def send(request: Request) -> Answer:
            if method in request.method and left[0]:
                left[0] -= 1
                if executed:
                    await self.portal.send(request)
                raise AnswerLost(method)
            return await self.portal.send(request)

        return send

    def call(self, task: int, report: str, write_back: WriteBack) -> AttemptId:
        """One finished call for a task."""
        row = self.run(planning.load_task, TaskId(task))
        decision = Dial(PHONE, ANNA, (Route("c"),))
        lease = timedelta(hours=1)
        opened = self.run(ledger.open_attempt, row, decision, self.now(), lease=lease)
        self.run(ledger.claim, opened.id, self.now())
        ending = parse_report(report.split(","))
        self.run(
            attempt_end.record, opened.id, ending, self.now(), EndPolicy(write_back=write_back)
        )
        return AttemptId(opened.id)

    async def imported(self) -> int:
        add_operator(self.portal, 501, "101")
        task = add_task(self.portal, "x", responsible=501, deadline=NOON)
        await self.read(task, phones=True)
        return task

    async def read(
        self, task: int, zone: tzinfo | None = None, *, phones: bool = False
    ) -> tasks.Imported:
        portal_task = await Portal.direct(WEBHOOK, self.portal.send, zone).task(task)
        assert portal_task is not None
        entry = tasks.Imported(portal_task, (PHONE,) if phones else None)
        self.run(tasks.save_tasks, [entry], self.now(), asked=self.now())
        return entry

    def comments(self, task: int) -> list[str]:
        return [row["POST_MESSAGE"] for row in self.portal.comments.get(task, [])]

    def story(self, task: int) -> list[str]:
        return [event.kind for event in self.run(story, task)]


@pytest.fixture
def scene(
    config: Config, portal: SimulatedPortal, store: FakeStore, now: Now, run: Callable[..., Any]
) -> Scene:
    return Scene(config, portal, store, now, run)


@ensure
@pytest.mark.parametrize("fault", [Fault.LOST, Fault.LATE])
async def test_a_key_is_not_relied_on_before_it_was_echoed(scene: Scene, fault: Fault) -> None:
    """REST 3.0 is available but ignores keys. The answer to the first comment is lost."""
    scene.portal.comments_in_chat = True
    number = attempt(scene.run, scene.portal, BAD)
    paying = scene.reporter()
    await paying.portal.look_for_keys()
    scene.portal.fail_next(fault)
    await scene.turns(paying)
    told_once(scene.portal, [number])


@ensure
async def test_a_key_is_not_relied_on_after_a_day(scene: Scene) -> None:
    scene.portal.comments_in_chat = scene.portal.idempotency_keys = True
    paying = scene.reporter()
    await paying.portal.look_for_keys()
    attempt(scene.run, scene.portal, BAD)
    await paying.turn()
    number = attempt(scene.run, scene.portal, BAD)
    scene.portal.fail_next(Fault.LOST)
    await paying.turn()
    scene.now.advance(hours=26)
    await scene.turns(paying)
    told_once(scene.portal, [number])


@ensure
async def test_rest_3_that_refuses_leaves_the_old_way(scene: Scene) -> None:
    """The webhook was given other scopes since the start."""
    scene.portal.comments_in_chat = scene.portal.idempotency_keys = True
    number = attempt(scene.run, scene.portal, BAD)
    paying = scene.reporter()
    await paying.portal.look_for_keys()
    scene.portal.scopes = scene.portal.scopes - {"tasks"}
    await paying.turn()
    told_once(scene.portal, [number])


@ensure
async def test_a_doubtful_deadline_does_not_go_over_a_person_s(scene: Scene) -> None:
    """A person moves the deadline while our own update waits for hours."""
    task = task_of(attempt(scene.run, scene.portal, BUSY))
    paying = scene.reporter(scene.loses("tasks.task.update", 99))
    await scene.turns(paying, 60, 10)
    assert states(scene.run)["task"] == "sending"
    chosen = (scene.now() + timedelta(days=3)).replace(second=0, microsecond=0)
    scene.portal.tasks[task]["DEADLINE"] = chosen
    scene.now.advance(minutes=4)
    await scene.read(task)
    assert "moved by hand" in scene.story(task)
    await scene.turns(scene.reporter(), 500, 60)
    assert scene.portal.tasks[task]["DEADLINE"] == chosen


@ensure
async def test_a_doubtful_status_does_not_end_what_a_person_has_restarted(scene: Scene) -> None:
    task = task_of(attempt(scene.run, scene.portal, BAD, WriteBack(given_up="DONE")))
    await scene.reporter(scene.loses("tasks.task.complete")).turn()
    assert states(scene.run)["status"] == "sending"
    scene.now.advance(seconds=91)
    scene.portal.tasks[task]["DEADLINE"] = scene.now() + timedelta(hours=1)
    await scene.read(task)
    await scene.turns(scene.reporter())
    assert scene.portal.tasks[task]["STATUS"] == 2


@ensure
async def test_a_corrected_number_voids_the_status_that_was_owed(
    scene: Scene, config: Config
) -> None:
    add_operator(scene.portal, 501, "101")
    code = add_contact(scene.portal, "Иван", ("WORK", "+442079460001"))
    task = add_task(scene.portal, "x", code, responsible=501, deadline=NOON)
    reading = importer(config, scene.portal, scene.store, scene.now)
    await reading.poll()
    row = scene.run(planning.load_task, TaskId(task))
    decision = Dial(row.phones[0], ANNA, (Route("c"),))
    opened = scene.run(ledger.open_attempt, row, decision, NOON, lease=timedelta(hours=1))
    scene.run(ledger.claim, opened.id, NOON)
    write_back = WriteBack(given_up="DEFERRED")
    scene.run(
        attempt_end.record,
        opened.id,
        parse_report(BAD.split(",")),
        NOON,
        EndPolicy(write_back=write_back),
    )
    scene.portal.contacts[int(code[2:])]["PHONE"] = [("WORK", "+442079460002")]
    reading._walked = None
    await reading.poll()
    await scene.reporter().turn()
    assert scene.run(planning.load_task, TaskId(task)).closed_reason == ""
    assert scene.portal.tasks[task]["STATUS"] == 2


@ensure
async def test_a_lost_comment_does_not_shorten_the_time_for_a_word(scene: Scene) -> None:
    write_back = WriteBack(talked="DONE", disposition_within=timedelta(minutes=10))
    task = task_of(attempt(scene.run, scene.portal, TALKED, write_back))
    paying = scene.reporter(scene.loses("commentitem.add"))
    await scene.turns(paying, 25, 10)
    assert scene.portal.tasks[task]["STATUS"] == 2
    await scene.turns(paying, 50, 10)
    assert scene.portal.tasks[task]["STATUS"] == 5


@ensure
async def test_the_time_of_doubt_begins_with_the_write(scene: Scene) -> None:
    """The read before the write takes more than a minute. Then the write's answer is lost too."""
    number = attempt(scene.run, scene.portal, BAD)
    steps: list[str] = []

    async def send(request: Request) -> Answer:
        if "commentitem.add" in request.method and not steps:
            steps.append("never executed")
            raise AnswerLost("x")
        if request.method == "batch" and len(steps) == 1:
            steps.append("looked for")
            scene.now.advance(seconds=75)
        elif "commentitem.add" in request.method and len(steps) == 2:
            steps.append("executed late")
            scene.portal.fail_next(Fault.LATE)
            try:
                return await scene.portal.send(request)
            finally:
                scene.now.advance(seconds=30)
        return await scene.portal.send(request)

    await scene.turns(scene.reporter(send))
    assert 3 == len(steps)
    told_once(scene.portal, [number])


@ensure
async def test_a_lost_question_makes_nothing_doubtful(scene: Scene) -> None:
    """Without the scope ``im`` a person must resolve doubtful comments. This one was not sent."""
    scene.portal.comments_in_chat = True
    scene.portal.scopes = scene.portal.scopes - {"im"}
    attempt(scene.run, scene.portal, BAD)
    down = [True]

    async def send(request: Request) -> Answer:
        if down[0] and request.method == "server.time":
            down[0] = False
            raise AnswerLost("server.time")
        if down[0]:
            raise PortalUnavailable("nothing was sent")
        return await scene.portal.send(request)

    await scene.turns(scene.reporter(send), 30, 61)
    assert {"comment": "delivered"} == states(scene.run)


ONE = WriteBack(comments="one")


@ensure
@pytest.mark.parametrize("which", ["commentitem.add", "commentitem.update"])
async def test_the_one_comment_never_goes_back_in_time(scene: Scene, which: str) -> None:
    """The answer for one attempt is lost. The next attempt ends before the first is resolved."""
    task = await scene.imported()
    if which.endswith("update"):
        scene.call(task, BUSY, ONE)
        await scene.reporter(comments="one").turn()
    paying = scene.reporter(scene.loses(which, executed=which.endswith("add")), comments="one")
    for report in (SILENT, BAD):
        last = scene.call(task, report, ONE)
        await paying.turn()
        scene.now.advance(seconds=60)
    await scene.turns(paying)
    (text,) = scene.comments(task)
    assert f"[{last}]" in text
    scene.run(delivery.again, None, scene.now())
    with scene.store.engine.begin() as db:
        db.exec_driver_sql("UPDATE outbox SET state = 'sending' WHERE kind = 'comment' AND id < 4")
    await scene.turns(paying)
    assert [text] == scene.comments(task)


@ensure
async def test_a_line_of_the_pool_keeps_its_name_over_a_restart(scene: Scene) -> None:
    under_way(scene.run, scene.portal, "first")
    await scene.reporter(pool=1).turn()
    under_way(scene.run, scene.portal, "second")
    await scene.reporter(pool=1).turn()
    assert scene.portal.lines["autodial-1"].endswith("first")


@ensure
@pytest.mark.parametrize("report", [TALKED, SILENT])
async def test_a_registration_after_an_outage_is_known_again(scene: Scene, report: str) -> None:
    """Retried for an hour, then sent, and the answer is lost: one call, and none left open."""
    number = attempt(scene.run, scene.portal, report, WriteBack(unanswered=True))
    paying = scene.reporter()
    await paying.lines.common()
    for _ in range(60):
        scene.portal.fail_next(Fault.CLOSED)
        await paying.turn()
        scene.now.advance(seconds=61)
    scene.portal._faults.clear()
    use_portal(paying, Portal.direct(WEBHOOK, scene.loses("Call.register", executed=True)))
    await scene.turns(paying)
    assert {} == scene.portal.calls
    assert [number] == [row["EXTERNAL_CALL_ID"] for row in scene.portal.statistics]


@ensure
async def test_a_refused_registration_is_mended_by_a_command_hours_later(scene: Scene) -> None:
    number = attempt(scene.run, scene.portal, TALKED)
    paying = scene.reporter()
    await paying.lines.common()
    scopes, scene.portal.scopes = scene.portal.scopes, scene.portal.scopes - {"telephony"}
    await paying.turn()
    assert states(scene.run)["register"] == "dead"
    scene.portal.scopes = scopes
    scene.now.advance(hours=5)
    scene.run(delivery.again, None, scene.now())
    await scene.turns(paying)
    assert {} == scene.portal.calls
    assert [number] == [row["EXTERNAL_CALL_ID"] for row in scene.portal.statistics]


@ensure
@pytest.mark.parametrize("ensured", [True, False])
async def test_calls_that_may_not_be_registered_are_complained_of_once(
    scene: Scene, ensured: bool
) -> None:
    """Unanswered calls: one warning in the log, not a dead letter for each attempt."""
    paying = scene.reporter()
    if ensured:
        await paying.lines.common()
    scene.portal.scopes = scene.portal.scopes - {"telephony"}
    for _ in range(3):
        attempt(scene.run, scene.portal, SILENT, WriteBack(unanswered=True))
    with capturedLogs() as logs:
        await scene.turns(paying, 3)
    assert {"delivered"} == set(states(scene.run).values())
    warnings = [event for event in logs if "unanswered calls" in event["log_format"]]
    assert 1 == len(warnings)


@ensure
async def test_a_registration_left_doubtful_by_the_version_before(scene: Scene) -> None:
    """The stored registration has no line and no start, and is hours old."""
    number = attempt(scene.run, scene.portal, TALKED)
    with scene.store.engine.begin() as db:
        db.exec_driver_sql("UPDATE outbox SET state = 'sending' WHERE kind = 'register'")
    scene.now.advance(hours=3)
    paying = scene.reporter()
    await paying.lines.common()
    use_portal(paying, Portal.direct(WEBHOOK, scene.loses("Call.register", executed=True)))
    await scene.turns(paying)
    assert {} == scene.portal.calls, "the portal recognises the new registration"
    assert [number] == [row["EXTERNAL_CALL_ID"] for row in scene.portal.statistics]


@ensure
async def test_a_key_that_is_refused_in_doubt_is_looked_for(scene: Scene) -> None:
    scene.portal.comments_in_chat = scene.portal.idempotency_keys = True
    paying = scene.reporter()
    await paying.portal.look_for_keys()
    attempt(scene.run, scene.portal, BAD)
    await paying.turn()
    number = attempt(scene.run, scene.portal, BAD)
    lost: list[str] = []

    async def send(request: Request) -> Answer:
        if request.key and not lost:
            lost.append(request.key)
            await scene.portal.send(request)
            raise AnswerLost("x")
        if request.key:
            body = b'{"error":{"code":"BITRIX_REST_V3_EXCEPTION_CONFLICT","message":"x"}}'
            return Answer(409, body)
        return await scene.portal.send(request)

    use_portal(paying, Portal.direct(WEBHOOK, send))
    paying.portal.keyed = True
    await scene.turns(paying)
    assert lost
    told_once(scene.portal, [number])


@ensure
async def test_one_task_that_is_gone_does_not_switch_keys_off(scene: Scene) -> None:
    scene.portal.comments_in_chat = scene.portal.idempotency_keys = True
    paying = scene.reporter()
    await paying.portal.look_for_keys()
    number = attempt(scene.run, scene.portal, BAD)
    del scene.portal.tasks[task_of(number)]
    await scene.turns(paying)
    assert states(scene.run)["comment"] == "dead"
    assert paying.portal.keyed


@ensure
async def test_the_comment_of_an_earlier_generation_is_not_dropped(scene: Scene) -> None:
    task = await scene.imported()
    first = scene.call(task, BUSY, ONE)
    with scene.store.engine.begin() as db:
        db.exec_driver_sql(
            "UPDATE outbox SET not_before = '2026-11-23 12:30:00' WHERE kind = 'comment'"
        )
        db.exec_driver_sql("UPDATE tasks SET generation = 2")
    second = scene.call(task, SILENT, ONE)
    await scene.turns(scene.reporter(comments="one"), 80)
    text = " ".join(scene.comments(task))
    assert f"[{first}]" in text and f"[{second}]" in text


@ensure
async def test_a_registration_that_would_not_be_known_again_is_made_anew(scene: Scene) -> None:
    """The answers are lost for over half an hour. The call is in the statistics all the same."""
    number = under_way(scene.run, scene.portal, "x")
    paying = scene.reporter()
    await paying.lines.common()
    lost = scene.portal.send

    async def send(request: Request) -> Answer:
        answer = await lost(request)
        if "Call.register" in request.method and scene.now() < NOON + timedelta(minutes=32):
            raise AnswerLost("x")
        return answer

    use_portal(paying, Portal.direct(WEBHOOK, send))
    await paying.turn()
    end(scene.run, number)
    await scene.turns(paying, 300, 20)
    assert [number] == [row["EXTERNAL_CALL_ID"] for row in scene.portal.statistics]
    assert 1 == len(scene.portal.calls), "the first one: the portal has no search by our call id"


@ensure
async def test_an_update_whose_answer_shows_no_deadline_is_read_back(scene: Scene) -> None:
    task = await scene.imported()

    async def send(request: Request) -> Answer:
        answer = await scene.portal.send(request)
        if request.method == "tasks.task.update":
            return Answer(200, b'{"result":{"task":{"id":"%d","title":"x"}}}' % task)
        return answer

    client = Portal.direct(WEBHOOK, send)
    portal_task = await client.task(task)
    assert portal_task is not None
    deadline = await client.move_deadline(portal_task, NOON + timedelta(days=2))
    assert deadline.at == NOON + timedelta(days=2)


ZONES = (
    ("Europe/Moscow", "Europe/Berlin"),
    ("Europe/Berlin", "UTC"),
    ("Europe/Berlin", "Europe/Moscow"),
    ("Europe/Berlin", "Europe/Berlin"),
)


@ensure
@pytest.mark.parametrize(("user", "server"), ZONES)
@pytest.mark.parametrize("house", [None, "Europe/Berlin", "Europe/Moscow"])
async def test_no_switch_of_anybody_s_clocks_moves_a_deadline(
    scene: Scene, user: str, server: str, house: str | None
) -> None:
    """The profile's zone, the server's zone and the configured zone, in any combination."""
    scene.now.moment = WINTER
    scene.portal.zone, scene.portal.server_zone = ZoneInfo(user), ZoneInfo(server)
    april = datetime(2027, 4, 20, 10, tzinfo=BERLIN)
    number = add_task(scene.portal, "x", responsible=1, deadline=april)
    for scene.now.moment in (WINTER, SUMMER):
        imported = await scene.read(number, ZoneInfo(house) if house else None)
    assert "moved by hand" not in scene.story(number)
    assert imported.task.deadline == april, "read in summer"
    assert scene.run(planning.load_task, TaskId(number)).due == april, "and it is called on time"


@ensure
@pytest.mark.parametrize(
    ("house", "server", "when"),
    [
        ("Europe/Kyiv", "Europe/Moscow", datetime(2027, 1, 12, 12, tzinfo=UTC)),
        ("Europe/Berlin", "Europe/London", datetime(2027, 7, 1, 12, tzinfo=UTC)),
    ],
)
async def test_a_zone_that_is_not_the_server_s_is_not_believed(
    scene: Scene, house: str, server: str, when: datetime
) -> None:
    """In its other season the zone has the offset that the server has now."""
    scene.now.moment = when
    scene.portal.zone = ZoneInfo(server)
    deadline = when + timedelta(days=3)
    number = add_task(scene.portal, "x", responsible=1, deadline=deadline)
    assert (await scene.read(number, ZoneInfo(house))).task.deadline == deadline


@ensure
async def test_an_upgrade_brings_no_task_back_to_life(scene: Scene) -> None:
    """Older versions stored deadlines without the wall clock, also those of the other season."""
    scene.portal.zone = BERLIN
    september = datetime(2026, 9, 20, 10, tzinfo=BERLIN)
    number = add_task(scene.portal, "x", responsible=1, deadline=september)
    await scene.read(number)
    with scene.store.engine.begin() as db:
        db.exec_driver_sql("UPDATE tasks SET portal_wall = '', closed_reason = 'exhausted'")
    await scene.read(number, BERLIN)
    assert "moved by hand" not in scene.story(number)
    assert scene.run(planning.load_task, TaskId(number)).closed_reason == "exhausted"


@ensure
async def test_a_person_s_midnight_is_his_on_a_portal_that_cuts_nothing(scene: Scene) -> None:
    task = task_of(attempt(scene.run, scene.portal, BUSY))
    scene.portal.tasks[task]["DENY"].add("deadline")
    await scene.reporter().turn()
    assert states(scene.run)["task"] == "dead"
    with scene.store.engine.begin() as db:
        ours = {"deadline": "2026-11-24T12:00:00+00:00"}
        db.execute(sa.update(outbox).where(outbox.c.kind == "task").values(payload=ours))
    scene.now.advance(minutes=10)
    scene.portal.tasks[task]["DEADLINE"] = datetime(2026, 11, 23, 21, tzinfo=UTC)
    await scene.read(task)
    assert "moved by hand" in scene.story(task)


FIELD = {"do_not_call_field": "UF_CRM_DNC"}


def marked_contact(portal: SimulatedPortal, number: str) -> str:
    code = add_contact(portal, "Иван", ("WORK", number))
    portal.contacts[int(code[2:])]["UF_CRM_DNC"] = "0"
    return code


@ensure
async def test_one_damaged_task_does_not_let_the_others_be_called_unread(
    scene: Scene, wishes: Wishes
) -> None:
    add_operator(scene.portal, 501, "101")
    codes = [marked_contact(scene.portal, f"+44207946000{n}") for n in range(2)]
    numbers = [add_task(scene.portal, "x", code, responsible=501, deadline=NOON) for code in codes]
    reading = importer(wishes(rules=FIELD), scene.portal, scene.store, scene.now)
    await reading.poll()
    scene.portal.contacts[int(codes[1][2:])]["UF_CRM_DNC"] = "1"
    for number in numbers:
        scene.run(tasks.confirm, TaskId(number), NOON)

    async def send(request: Request) -> Answer:
        asked = request.params or {}
        if request.method == "tasks.task.get" and asked["taskId"] == numbers[0]:
            return Answer(200, b'{"result":{"task":{"id":"%d"}}}' % numbers[0])
        return await scene.portal.send(request)

    reading.portal = Portal.direct(WEBHOOK, send)
    await reading.refetch()
    due = {task.id: task for task in scene.run(planning.due_tasks, NOON, 9)}
    assert due[TaskId(numbers[1])].phones[0].do_not_call


@ensure
async def test_a_poll_under_way_does_not_undo_what_was_fetched_since(
    scene: Scene, wishes: Wishes
) -> None:
    add_operator(scene.portal, 501, "101")
    code = marked_contact(scene.portal, "+442079460001")
    number = add_task(scene.portal, "x", code, responsible=501, deadline=NOON)
    reading = importer(wishes(rules=FIELD), scene.portal, scene.store, scene.now)
    await reading.poll()
    gate: Deferred[None] = Deferred()
    held: list[str] = []

    async def slow(request: Request) -> Answer:
        answer = await scene.portal.send(request)
        if "crm.contact.list" in str(request.params) and not held:
            held.append(request.method)
            await gate
        return answer

    reading.portal = Portal.direct(WEBHOOK, slow)
    reading._walked = None
    poll = Deferred.fromCoroutine(reading.poll())
    assert held
    scene.now.advance(seconds=1)
    fresh = {"PHONE": [("WORK", "+442079460002")], "UF_CRM_DNC": "1"}
    scene.portal.contacts[int(code[2:])] |= fresh
    scene.run(tasks.confirm, TaskId(number), scene.now())
    await reading.refetch()
    scene.now.advance(seconds=1)
    gate.callback(None)
    await poll
    (due,) = scene.run(planning.due_tasks, scene.now(), 9)
    assert [("+442079460002", True)] == [(p.number, p.do_not_call) for p in due.phones]


@ensure
async def test_a_move_seen_while_the_phone_rings_fetches_the_phones(
    scene: Scene, wishes: Wishes
) -> None:
    add_operator(scene.portal, 501, "101")
    code = marked_contact(scene.portal, "+442079460001")
    number = add_task(scene.portal, "x", code, responsible=501, deadline=NOON)
    reading = importer(wishes(rules=FIELD), scene.portal, scene.store, scene.now)
    await reading.poll()
    scene.now.advance(minutes=1)
    scene.portal.contacts[int(code[2:])]["UF_CRM_DNC"] = "1"
    scene.portal.tasks[number]["DEADLINE"] = scene.now()
    await reading.refresh(TaskId(number))
    assert [] == scene.run(planning.due_tasks, scene.now(), 9)
    await reading.refetch()
    (due,) = scene.run(planning.due_tasks, scene.now(), 9)
    assert due.phones[0].do_not_call


@ensure
async def test_the_first_task_with_a_tag_on_a_box_that_tells_none(
    wishes: Wishes, old: SimulatedPortal, store: FakeStore, now: Now, run: Callable[..., Any]
) -> None:
    """Between two full reads. At the last one no task could show that tags are not returned."""
    add_operator(old, 501, "101")
    old.groups[129] = [1, 501]
    number = add_task(old, "x", responsible=501, deadline=NOON)
    old.tasks[number]["GROUP_ID"] = 129
    config = wishes(tasks={"group": 129}, rules={"do_not_call_tag": "не звонить"})
    reading = importer(config, old, store, now)
    await reading.poll()
    now.advance(minutes=1)
    old.tasks[number]["TAGS"].append("не звонить")
    old.tasks[number]["CHANGED_DATE"] = now()
    await reading.poll()
    assert run(planning.load_task, TaskId(number)).do_not_call


@ensure
async def test_a_renamed_department_stops_nothing_else(scene: Scene, wishes: Wishes) -> None:
    add_operator(scene.portal, 501, "101")
    number = add_task(scene.portal, "x", responsible=501, deadline=NOON)
    config = wishes(staff={"departments": ["CALL-ЦЕНТР"]})
    reading = importer(config, scene.portal, scene.store, scene.now)
    await reading.poll()
    scene.portal.departments[5]["NAME"] = "Контакт-центр"
    scene.now.advance(hours=1, minutes=1)
    scene.portal.tasks[number] |= {"STATUS": 5, "CHANGED_DATE": scene.now()}
    await reading.poll()
    assert not scene.run(planning.load_task, TaskId(number)).open
    assert [501] == [line.id for line in scene.run(views.operator_lines)]


@ensure
@pytest.mark.parametrize("when_silent", ["continue", "stop"])
async def test_a_word_while_the_webhook_is_wrong(
    scene: Scene, wishes: Wishes, when_silent: str
) -> None:
    add_operator(scene.portal, 501, "101")
    code = marked_contact(scene.portal, "+442079460001")
    number = add_task(scene.portal, "x", code, responsible=501, deadline=NOON)
    config = wishes()
    settings = config.portal.model_copy(update={"when_silent": when_silent})
    config = config.model_copy(update={"portal": settings})
    reading = importer(config, scene.portal, scene.store, scene.now)
    await reading.poll()
    scene.run(tasks.confirm, TaskId(number), NOON)
    scene.portal.secret = "another"
    await reading.refetch()
    due = [task.id for task in scene.run(planning.due_tasks, NOON, 9)]
    assert due == ([number] if when_silent == "continue" else [])


@ensure
async def test_one_damaged_deal_of_an_old_box_hides_no_other(old: SimulatedPortal) -> None:
    code = add_contact(old, "Иван", ("WORK", "+442079460001"))
    deals = [add_deal(old, "Сделка", code) for _ in range(2)]

    async def send(request: Request) -> Answer:
        answer = await old.send(request)
        if b'"deals"' not in answer.body:
            return answer
        payload = json.loads(answer.body)
        payload["result"]["result"]["deals"].append({"ID": None})
        payload["result"]["result"][f"c{deals[1][2:]}"] = [{"CONTACT_ID": []}]
        return Answer(200, json.dumps(payload).encode())

    clients = await Portal.direct(WEBHOOK, send).clients(deals)
    assert clients[deals[0]] and clients[deals[1]] is None
