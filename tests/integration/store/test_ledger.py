"""The ledger on a real SQLite file: its rules, and the constraints of the database."""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from attrs import evolve

from autodial.model.attempt import Report
from autodial.model.attempt_states import State
from autodial.model.ids import AttemptId, OperatorId, TaskId
from autodial.model.operator import Operator, PresenceRules
from autodial.model.outbox_message import MessageKind
from autodial.model.outcome import Outcome
from autodial.model.task import Called, CallTask, Phone
from autodial.model.trunk import Route
from autodial.rules.dial_facts import Dial
from autodial.rules.end_policy import EndPolicy
from autodial.rules.hangup import parse_report
from autodial.store import (
    attempt_end,
    attempt_queries,
    delivery,
    dispositions,
    ledger,
    outbox,
    own_deadlines,
    planning,
    presence,
    tasks,
    views,
)
from autodial.store.connections import open_engine
from autodial.store.database import read
from autodial.store.delivery import Done
from autodial.store.events import story
from autodial.store.releases import migrate
from autodial.store.schema import READY, attempts, metadata, reservations
from autodial.store.schema import tasks as task_table
from bitrix24 import Deadline, PortalTask
from tests.integration.conftest import NOON

Run = Callable[..., Any]
LEASE = timedelta(minutes=5)
PHONE = Phone("+442079460000", "Иван", "CONTACT", 55)
ANNA = Operator(id=OperatorId(501), name="Анна", extension="101", online=True)
BORIS = Operator(id=OperatorId(502), name="Борис", extension="102", online=True)
TALKED = parse_report(
    ["dial", "ANSWER", "16", "SIP%20200%20OK", "talk", "101", "1000", "1010", "1075", "c"]
)

BUSY = parse_report(["dial", "BUSY", "17", "SIP%20486%20x"])


def portal_task(
    number: int, deadline: datetime | None = NOON, responsible: int = 501
) -> PortalTask:
    return PortalTask(
        id=number, title="Позвонить", status=2, responsible=responsible,
        deadline=deadline, clients=("C_55",),
    )  # fmt: skip


def phone_of(number: int) -> Phone:
    """Every task has a client of its own."""
    if number == 8017:
        return PHONE
    return evolve(PHONE, number=f"+44207946{number % 1000:04d}", entity_id=number)


def bring(run: Run, *portal_tasks: PortalTask, at: datetime = NOON, complete: bool = False) -> None:
    imported = [tasks.Imported(task, (phone_of(task.id),)) for task in portal_tasks]
    run(tasks.save_tasks, imported, at, asked=at)
    if complete:
        run(tasks.close_others, {task.id for task in portal_tasks}, at)


def dial(run: Run, number: int = 8017, operator: Operator = ANNA, at: datetime = NOON) -> AttemptId:
    task = run(planning.load_task, TaskId(number))
    assert isinstance(task, CallTask)
    attempt = run(ledger.open_attempt, task, _to(task, operator), at, lease=LEASE)
    return AttemptId(attempt.id)


def _to(task: CallTask, operator: Operator) -> Dial:
    return Dial(task.phones[0], operator, (Route("carrier1"),))


@pytest.fixture
def task(run: Run) -> int:
    bring(run, portal_task(8017))
    return 8017


def test_a_claim_is_said_yes_to_once(run: Run, task: int) -> None:
    attempt = dial(run)

    assert run(ledger.claim, attempt, NOON) is not None
    assert run(ledger.claim, attempt, NOON) is None
    assert run(ledger.claim, AttemptId("t1-1"), NOON) is None


def test_an_operator_holds_one_reservation(run: Run, task: int) -> None:
    bring(run, portal_task(8018))
    dial(run)

    with pytest.raises(ledger.Taken):
        dial(run, 8018)
    assert len(run(views.attempt_lines)) == 1


def test_a_task_has_one_attempt_under_way(run: Run, task: int) -> None:
    dial(run)

    with pytest.raises(ledger.Taken):
        dial(run, operator=BORIS)


def test_the_first_report_wins(run: Run, task: int) -> None:
    """
    The server and AstDB may both have the report. A report after the reconciler's end changes
    nothing.
    """
    attempt = dial(run)
    run(ledger.claim, attempt, NOON)
    first = run(attempt_end.record, attempt, BUSY, NOON, EndPolicy())
    second = run(attempt_end.record, attempt, TALKED, NOON, EndPolicy())

    assert (first.recorded, first.outcome) == (attempt_end.Recorded.ENDED, Outcome.BUSY)
    assert attempt_end.Recorded.KNOWN is second.recorded
    assert [line.outcome for line in run(views.attempt_lines)] == ["busy"]
    assert sum(message.kind == "comment" for message in run(views.messages)) == 1


def test_a_refused_second_run_does_not_end_the_first(run: Run, task: int) -> None:
    attempt = dial(run)
    run(ledger.claim, attempt, NOON)
    result = run(attempt_end.record, attempt, Report(stage="refused"), NOON, EndPolicy())

    assert attempt_end.Recorded.KNOWN is result.recorded
    assert [line.state for line in run(views.attempt_lines)] == ["claimed"]


def test_a_report_for_nobody_s_attempt(run: Run) -> None:
    result = run(attempt_end.record, AttemptId("t1-1"), BUSY, NOON, EndPolicy())

    assert attempt_end.Recorded.UNKNOWN is result.recorded


def test_the_end_frees_the_operator_and_puts_the_task_off(run: Run, task: int) -> None:
    attempt = dial(run)
    run(ledger.claim, attempt, NOON)
    run(attempt_end.record, attempt, BUSY, NOON, EndPolicy())

    assert run(attempt_queries.reserved) == {}
    assert run(planning.due_tasks, NOON + timedelta(minutes=19), 9) == []
    assert [t.id for t in run(planning.due_tasks, NOON + timedelta(minutes=20), 9)] == [8017]


def test_waits_grow_until_the_task_is_handed_back(run: Run, task: int) -> None:
    at, waits = NOON, []
    for _ in range(4):
        attempt = dial(run, at=at)
        run(ledger.claim, attempt, at)
        next_call = run(attempt_end.record, attempt, BUSY, at, EndPolicy()).next_call
        waits.append(next_call and (next_call - at).total_seconds() / 60)
        at = next_call or at

    assert waits == [20, 60, 180, None]
    assert run(planning.load_task, TaskId(8017)).closed_reason == "exhausted"


def test_a_person_who_moves_the_deadline_starts_it_again(run: Run, task: int) -> None:
    """After a talk the task is closed; a deadline moved by hand opens it again."""
    attempt = dial(run)
    run(ledger.claim, attempt, NOON)
    run(attempt_end.record, attempt, TALKED, NOON, EndPolicy())
    assert run(planning.load_task, TaskId(8017)).closed_reason == "talked"

    later = NOON + timedelta(hours=3)
    bring(run, portal_task(8017, later), at=NOON + timedelta(minutes=1))
    row = run(planning.load_task, TaskId(8017))
    assert ("", later, 0) == (row.closed_reason, row.due, row.attempts)


@pytest.mark.parametrize("report", [TALKED, BUSY])
def test_a_call_back_promised_in_the_talk_is_kept(run: Run, task: int, report: Report) -> None:
    """The operator moves the deadline during the talk; the end of the call must not undo it."""
    attempt = dial(run)
    run(ledger.claim, attempt, NOON)
    tomorrow = NOON + timedelta(days=1)
    bring(run, portal_task(8017, tomorrow), at=NOON + timedelta(minutes=1))
    run(attempt_end.record, attempt, report, NOON + timedelta(minutes=2), EndPolicy())
    row = run(planning.load_task, TaskId(8017))

    assert (tomorrow, "") == (row.due, row.closed_reason)
    assert [message for message in run(views.messages) if message.kind == "task"] == []


def test_our_own_hand_is_not_taken_for_a_person_s(run: Run, task: int) -> None:
    """
    A task read before our write was delivered, or after a crash during a write, must not be dialled
    again.
    """
    attempt = dial(run)
    run(ledger.claim, attempt, NOON)
    next_call = run(
        attempt_end.record, attempt, BUSY, NOON + timedelta(seconds=30), EndPolicy()
    ).next_call
    minute = own_deadlines.to_the_minute(next_call)

    # The dialler stopped during the write: the portal shows our own value.
    assert "task" == run(outbox.next_message, NOON).kind
    bring(run, portal_task(8017, minute), at=NOON + timedelta(minutes=1))
    assert next_call == run(planning.load_task, TaskId(8017)).due

    # Noted; then an answer from before our write arrives late.
    message = run(outbox.next_message, NOON + timedelta(minutes=2))
    run(delivery.delivered, message, NOON + timedelta(minutes=2), Done(until=Deadline(minute)))
    stale = [tasks.Imported(portal_task(8017, NOON), (PHONE,))]
    asked = NOON + timedelta(minutes=1)
    run(tasks.save_tasks, stale, NOON + timedelta(minutes=3), asked=asked)
    assert next_call == run(planning.load_task, TaskId(8017)).due


def test_a_person_s_change_voids_what_we_owed(run: Run, task: int) -> None:
    attempt = dial(run)
    run(ledger.claim, attempt, NOON)
    run(attempt_end.record, attempt, BUSY, NOON, EndPolicy())
    tomorrow = NOON + timedelta(days=1)
    bring(run, portal_task(8017, tomorrow), at=NOON + timedelta(minutes=1))

    assert tomorrow == run(planning.load_task, TaskId(8017)).due
    assert [message.state for message in run(views.messages) if message.kind == "task"] == ["void"]


def test_a_task_that_left_the_portal_is_closed(run: Run, task: int) -> None:
    bring(run, portal_task(8018), at=NOON, complete=True)

    assert not run(planning.load_task, TaskId(8017)).open
    assert run(planning.load_task, TaskId(8018)).open


def test_another_operator_s_talk_makes_him_responsible(run: Run, task: int, portal: Any) -> None:
    from bitrix24 import Employee

    staff = [
        Employee(id=number, name=name, extension=extension, active=True, online=True,
                 last_login=None)
        for number, name, extension in ((501, "Анна", "101"), (502, "Борис", "102"))
    ]  # fmt: skip
    rules = PresenceRules(active_within=timedelta(minutes=24))
    run(presence.save_staff, staff, {}, NOON, rules)
    attempt = dial(run)
    run(ledger.claim, attempt, NOON)
    report = parse_report(
        ["dial", "ANSWER", "16", "SIP%20200%20OK", "talk", "102", "1", "2", "9", "c"]
    )
    run(attempt_end.record, attempt, report, NOON, EndPolicy())
    message = run(outbox.next_message, NOON)
    kinds = {}
    while message is not None:
        kinds[message.kind] = message.payload
        run(delivery.delivered, message, NOON)
        message = run(outbox.next_message, NOON)

    assert kinds["task"] == {"responsible": 502}
    assert (kinds["finish"]["user"], kinds["finish"]["seconds"]) == (502, 7)
    assert [line.state for line in run(views.attempt_lines)] == ["reported"]


def test_only_what_was_never_claimed_can_be_withdrawn(run: Run, task: int) -> None:
    """The claim came just after the reconciler had read the attempt: the call goes on."""
    attempt = dial(run)
    run(ledger.claim, attempt, NOON)
    result = run(attempt_end.give_up, attempt, Outcome.WITHDRAWN, "no channel", NOON, EndPolicy())

    assert attempt_end.Recorded.KNOWN is result.recorded
    assert ["claimed"] == [line.state for line in run(views.attempt_lines)]
    assert 1 == len(run(attempt_queries.reserved))


def test_a_change_during_a_look_is_looked_at_again(run: Run, task: int) -> None:
    """
    The planner read the old task, and a person changed it before the planner wrote its result.
    """
    later = NOON + timedelta(seconds=1)
    bring(run, portal_task(8017, NOON + timedelta(minutes=5)), at=later)
    run(planning.save_reasons, [(TaskId(8017), "no deadline", None)], NOON)

    assert [8017] == [t.id for t in run(planning.due_tasks, later, 9)]


def test_thousands_of_tasks_become_due_at_once(run: Run) -> None:
    """They are decided on by their deadlines, though each turn readies a portion of them only."""
    many = [portal_task(n, NOON - timedelta(minutes=n)) for n in range(1, 2 * planning.PORTION)]
    bring(run, *many)

    first = [[task.id for task in run(planning.due_tasks, NOON, 2)] for _ in range(3)]

    assert [[999, 998]] * 3 == first
    ready = sa.select(sa.func.count()).where(task_table.c.next_check == READY)
    assert len(many) == run(lambda db: db.scalar(ready))


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
def test_due_tasks_are_not_sorted_at_each_turn(run: Run, task: int) -> None:
    def explain(db: sa.Connection) -> list[str]:
        query = str(planning.DUE.compile(db.engine, compile_kwargs={"literal_binds": True}))
        return [row.detail for row in db.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}")]

    steps = run(explain)
    assert "SEARCH tasks USING INDEX tasks_next_check_idx (next_check=?)" == steps[0]
    # The rest is of each task's attempts.
    assert steps[1:] == [step for step in steps if "SUBQUERY" in step or "SEARCH attempts" in step]


def test_moving_a_deadline_back_to_where_we_had_put_it(run: Run, task: int) -> None:
    """We set 12:20. A person moves it to tomorrow, then back: both changes are the person's."""
    attempt = dial(run)
    run(ledger.claim, attempt, NOON)
    ours = run(attempt_end.record, attempt, BUSY, NOON, EndPolicy()).next_call
    run(delivery.delivered, run(outbox.next_message, NOON), NOON, Done(until=Deadline(ours)))
    for minute, deadline in enumerate((NOON + timedelta(days=1), ours), 1):
        bring(run, portal_task(8017, deadline), at=NOON + timedelta(minutes=minute))
        assert deadline == run(planning.load_task, TaskId(8017)).due


def test_messages_of_one_attempt_or_about_one_task_go_one_after_the_other(
    run: Run, task: int
) -> None:
    """The talk of task 8017 is told in task 8018, too, which has a call of its own."""

    def following(*beside: outbox.Message) -> outbox.Message | None:
        found: outbox.Message | None = run(outbox.next_message, NOON, outbox.Search(beside=beside))
        return found

    bring(run, portal_task(8018), portal_task(8019))
    vera = evolve(BORIS, id=OperatorId(503))
    talked, other, third = (
        run(attempt_queries.load_attempt, dial(run, number, operator))
        for number, operator in ((8017, ANNA), (8018, BORIS), (8019, vera))
    )
    told = partial(run, outbox.enqueue, talked, MessageKind.COMMENT, {"talked_for": 8017}, NOON)
    run(outbox.enqueue, talked, MessageKind.COMMENT, {}, NOON)
    told(task=TaskId(8018))
    run(outbox.enqueue, third, MessageKind.COMMENT, {}, NOON)

    own = following()
    assert own is not None and 8017 == own.task
    beside = following(own)
    assert beside is not None and 8019 == beside.task, "not what the same attempt tells elsewhere"
    for message in (own, beside):
        run(delivery.delivered, message, NOON)

    elsewhere = following()
    assert elsewhere is not None and (8018, 8017) == (elsewhere.task, elsewhere.of_task)
    for attempt in (talked, other):
        run(outbox.enqueue, attempt, MessageKind.STATUS, {}, NOON)
    assert following(elsewhere) is None, "neither of its attempt, nor of its task"
    run(delivery.delivered, elsewhere, NOON)

    told(task=TaskId(8018), revision=1)
    run(delivery.delivered, following(), NOON)
    own = following()
    assert own is not None and (8018, 8018) == (own.task, own.of_task)
    assert following(own) is None, "nothing about its task that another attempt tells"


def test_a_lease_that_ran_out_is_found_and_its_reservation_void(run: Run, task: int) -> None:
    attempt = dial(run)
    bring(run, portal_task(8018))
    late = NOON + LEASE + timedelta(seconds=1)

    assert [(attempt, State.SPOOLED)] == run(attempt_queries.expired, late)
    assert dial(run, 8018, at=late)


@pytest.mark.parametrize("same", ["number", "client"])
def test_one_person_is_not_called_for_two_tasks_at_once(run: Run, task: int, same: str) -> None:
    """The same holds for two numbers of one client; the budgets count over all numbers."""
    phone = (
        evolve(PHONE, entity_id=99) if same == "number" else evolve(PHONE, number="+442079460009")
    )
    imported = tasks.Imported(portal_task(8018), (phone,))
    run(tasks.save_tasks, [imported], NOON, asked=NOON)
    attempt = dial(run)
    other = run(planning.load_task, TaskId(8018))
    assert other and {phone.number} == other.called_now
    with pytest.raises(ledger.Taken, match="for task 8017"):
        dial(run, 8018, BORIS)

    run(ledger.claim, attempt, NOON)
    run(attempt_end.record, attempt, BUSY, NOON, EndPolicy())
    other = run(planning.load_task, TaskId(8018))
    assert other and not other.called_now
    assert {phone.number: (Called(NOON),)} == other.history
    assert dial(run, 8018, BORIS)


def test_every_step_is_in_the_story(run: Run, task: int) -> None:
    attempt = dial(run)
    run(ledger.claim, attempt, NOON)
    run(ledger.ringing, attempt, "101", NOON)
    run(attempt_end.record, attempt, TALKED, NOON, EndPolicy())

    assert [event.kind for event in run(story, 8017)] == [
        "imported",
        "spooled",
        "claimed",
        "ringing",
        "ended",
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        "UPDATE attempts SET outcome = 'busy'",  # an outcome while in flight
        "UPDATE attempts SET state = 'ended'",  # an end without an outcome
        "UPDATE attempts SET ended_at = '2026-01-01'",
        "INSERT INTO reservations SELECT operator, 't8018-1', until FROM reservations",
        "INSERT INTO outbox"
        " (attempt, task, kind, operator, revision, payload, state, created, error)"
        " SELECT attempt, task, kind, operator, revision, payload, state, created, error"
        " FROM outbox",
    ],
)
def test_the_database_forbids_doubles(database: sa.Engine, run: Run, task: int, wrong: str) -> None:
    bring(run, portal_task(8018))
    attempt = dial(run)
    run(ledger.claim, attempt, NOON)
    run(ledger.ringing, attempt, "101", NOON)

    with pytest.raises(sa.exc.IntegrityError), database.begin() as connection:
        connection.exec_driver_sql(wrong)


def test_every_column_has_a_comment() -> None:
    for table in metadata.tables.values():
        assert table.comment
        assert [str(column) for column in table.columns if not column.comment] == []


def test_the_migrations_make_the_schema(database: sa.Engine) -> None:
    """The migrated schema equals the schema in the code."""
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with database.connect() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, metadata) == []


def _put(db: sa.Connection, at: datetime, table: str, **row: Any) -> None:
    """A row in a store of some release; other columns get a value of their type."""
    there = sa.Table(table, sa.MetaData(), autoload_with=db)
    for column in there.columns:
        if not column.nullable and column.name not in row and not column.primary_key:
            kind = column.type.python_type
            row[column.name] = at if kind is datetime else kind()
    db.execute(there.insert(), row)


def test_the_do_not_call_list_survives_its_rebuilding(tmp_path: Path) -> None:
    """SQLite makes the table anew to let a column be empty: rows, keys and indexes stay."""
    path = tmp_path / "old.sqlite"
    migrate(path, "0011")
    at = NOON.replace(tzinfo=None)
    with open_engine(path).begin() as db:
        _put(db, at, "tasks", id=8017)
        _put(db, at, "attempts", id="t8017-1", task=8017, n=1, state="reported",
             outcome="talked", ended_at=at)  # fmt: skip
        _put(db, at, "do_not_call", id=7, number="+442079460000", attempt="t8017-1", operator=501)
    migrate(path)

    with open_engine(path).begin() as db:
        (line,) = dispositions.do_not_call_lines(db)
        assert ("+442079460000", "t8017-1", NOON, "") == (
            line.number, line.attempt, line.at, line.why
        )  # fmt: skip
        assert [] == db.exec_driver_sql("PRAGMA foreign_key_check").all()
        names = {row[1] for row in db.exec_driver_sql("PRAGMA index_list(do_not_call)")}
        assert {"do_not_call_number_idx", "do_not_call_entity_idx", "do_not_call_attempt_idx"} <= (
            names
        )
        assert dispositions.never_call(db, "+442079460001", NOON, "")


def test_an_upgrade_loses_nothing(tmp_path: Path) -> None:
    """A store of the first release, with a call under way and something owed to the portal."""
    path = tmp_path / "old.sqlite"
    migrate(path, "0001")
    at = NOON.replace(tzinfo=None)
    with open_engine(path).begin() as db:
        put = partial(_put, db, at)

        put("tasks", id=8017, title="Позвонить", open=1)
        put("phones", task=8017, position=0, number="+442079460000")
        put("operators", id=501, name="Анна", extension="101")
        put("attempts", id="t8017-1", task=8017, n=1, state="ended", outcome="busy", ended_at=at)
        owed = {"kind": "comment", "state": "pending", "payload": {}}
        put("outbox", id=1, attempt="t8017-1", task=8017, **owed)
    migrate(path)

    assert [8017] == [line.id for line in read(path, views.task_lines)]
    task = read(path, lambda db: planning.load_task(db, TaskId(8017)))
    assert task
    assert [("+442079460000", "")] == [(phone.number, phone.dtmf) for phone in task.phones]
    assert ["101"] == [line.extension for line in read(path, views.operator_lines)]
    assert [("t8017-1", "comment")] == [(d.attempt, d.kind) for d in read(path, views.messages)]


@pytest.mark.parametrize(("talked", "waited"), [("1001", False), ("1002", True), ("1010", True)])
def test_who_waited_for_an_operator_counts_although_he_talked(
    run: Run, talked: str, waited: bool
) -> None:
    bring(run, portal_task(8017))
    attempt = dial(run)
    run(ledger.claim, attempt, NOON)
    fields = ["dial", "ANSWER", "16", "SIP%20200%20OK", "talk", "101", "1000", talked, "1075", "c"]
    run(attempt_end.record, attempt, parse_report(fields), NOON, EndPolicy())
    (call,) = run(attempt_queries.past, NOON, timedelta(hours=1)).answers

    assert (False, waited) == (call.abandoned, call.late)
    assert run(planning.load_task, TaskId(8017)).history[PHONE.number][0].talked


def test_an_upgrade_finds_who_waited_in_the_reports_there_are(tmp_path: Path) -> None:
    path = tmp_path / "old.sqlite"
    migrate(path, "0007")
    payload = {"answered": "2026-11-23 12:00:00+00:00", "talked": "2026-11-23 12:00:01+00:00"}
    later = {**payload, "talked": "2026-11-23 12:00:09+00:00"}
    kinds = [("talked", payload, 0), ("talked", later, 0), ("talked", None, 0),
             ("operator missed", {}, 1), ("busy", {}, 0)]  # fmt: skip
    with open_engine(path).begin() as db:
        old = sa.MetaData()
        old.reflect(db)
        names = {column.name: "" for column in old.tables["attempts"].columns}
        numbers = dict.fromkeys(("generation", "entity_id", "operator", "held"), 1)
        moments = dict.fromkeys(("spooled_at", "ended_at", "expires_at"), NOON.replace(tzinfo=None))
        optional = dict.fromkeys(
            ("claimed_at", "answered_at", "taken_by", "talk_seconds", "disposition", "call_id")
        )
        task = dict.fromkeys((c.name for c in old.tables["tasks"].columns if not c.nullable), 0)
        db.execute(old.tables["tasks"].insert(), task | {"id": 8017, "title": "x"})
        for n, (outcome, report, abandoned) in enumerate(kinds, 1):
            row = {**names, **numbers, **moments, **optional, "id": f"t8017-{n}", "task": 8017}
            row |= {"n": n, "state": "ended", "outcome": outcome, "report": report}
            db.execute(old.tables["attempts"].insert(), row | {"abandoned": abandoned})
    migrate(path)

    late = sa.select(attempts.c.late).order_by(attempts.c.n)
    assert [0, 1, 1, 1, 0] == read(path, lambda db: list(db.scalars(late)))


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
def test_the_store_is_its_owner_s_alone(database: sa.Engine, config: Any) -> None:
    assert config.store.path.stat().st_mode & 0o777 == 0o600


def test_a_store_that_is_not_one_is_a_sentence(config: Any) -> None:
    from autodial.errors import StoreError

    config.store.path.write_text("this is not a database, and long enough to look like one" * 99)
    with pytest.raises(StoreError, match="not a database"):
        migrate(config.store.path)


def test_names_with_everything_in_them_are_only_data(run: Run) -> None:
    """What a person typed never reaches SQL unescaped."""
    nasty = "'); DROP TABLE attempts; --"
    imported = tasks.Imported(portal_task(8020), (Phone("+442079460001", nasty, "CONTACT", 1),))
    run(tasks.save_tasks, [imported], NOON, asked=NOON)

    assert nasty == run(planning.load_task, TaskId(8020)).phones[0].client
    assert {"attempts", "reservations"} <= {attempts.name, reservations.name}
