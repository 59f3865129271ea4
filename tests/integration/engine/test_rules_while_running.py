"""Rules that change while the dialler runs: days off, pauses by purpose, settings read again."""

# ruff: noqa: F401, F811  # fixtures of other tests are used by their names

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest
import pytest_twisted
import sqlalchemy as sa
from click.testing import Result

from autodial.config.load import load, parse
from autodial.config.reload import AT_START, Settings, taken_over
from autodial.config.settings import Config
from autodial.engine.operators import Roster
from autodial.errors import ConfigError
from autodial.model.ids import AttemptId, OperatorId, TaskId
from autodial.model.task import Phone
from autodial.portal.importer import Importer
from autodial.rules.hangup import parse_report
from autodial.store import (
    days_off,
    delivery,
    flags,
    in_force,
    pauses,
    planning,
    retention,
    tasks,
    views,
)
from autodial.store import outbox as outbox_
from autodial.store.events import story
from autodial.store.replan import replan
from autodial.store.schema import attempts, outbox
from bitrix24 import Portal
from bitrix24.simulator import SimulatedPortal
from bitrix24.simulator.seed import add_contact, add_operator, add_task
from tests.integration.cli.test_cli import path, told
from tests.integration.conftest import NOON, FakeStore, Now
from tests.integration.engine.test_dispatcher import Make, make, reasons, spooled
from tests.integration.house import House, staff_row, variant
from tests.integration.store.test_ledger import PHONE, bring, portal_task

Run = Callable[..., Any]
WEBHOOK = "http://127.0.0.1/rest/1/simulated0secret"
SILENT = parse_report(["dial", "NOANSWER", "19", "SIP%20480%20x"])
TODAY, TOMORROW = NOON.date(), NOON.date() + timedelta(days=1)


async def put_off(house: House, now: Now) -> datetime:
    """Task 8017 after a call that nobody answered: the next one is in three hours."""
    await house.dispatcher.turn()
    await house.call_control.claim(AttemptId("t8017-1"))
    await house.engine.ends.record(AttemptId("t8017-1"), SILENT)
    return now() + timedelta(hours=3)


def due(run: Run, task: int = 8017) -> datetime | None:
    row = run(planning.load_task, TaskId(task))
    assert row
    return row.due  # type: ignore[no-any-return]


def told_portal(run: Run) -> list[str]:
    """The deadlines to be written to the portal, in order."""
    owed = sa.select(outbox.c.payload).where(outbox.c.kind == "task").order_by(outbox.c.id)
    return [payload["deadline"] for payload in run(lambda db: list(db.scalars(owed)))]


@pytest_twisted.ensureDeferred
async def test_a_day_off_that_somebody_names_holds_at_once_and_next_calls_follow(
    make: Make,
    run: Run,
    now: Now,
) -> None:
    house = make()
    then = await put_off(house, now)
    bring(run, portal_task(8018), portal_task(8019, NOON + timedelta(hours=3)))
    assert then == due(run)
    run(days_off.add, TODAY, NOON, "снег")
    now.advance(seconds=2)  # otherwise the pace would allow no call now
    await house.dispatcher.turn()

    assert {8018: "hours"}.items() <= reasons(run).items()
    tomorrow = datetime(2026, 11, 23, 21, tzinfo=UTC)  # midnight in Moscow
    assert tomorrow == due(run), "our own next call is put off"
    assert [then.isoformat(), tomorrow.isoformat()] == told_portal(run)
    assert "put off" in [line.kind for line in run(story, 8017)]
    assert NOON + timedelta(hours=3) == due(run, 8019), "a person's deadline is his"
    assert [] == spooled(house)

    await house.dispatcher.turn()
    assert 2 == len(told_portal(run)), "once"
    run(days_off.remove, TODAY)
    await house.dispatcher.turn()
    assert ["t8018-1"] == spooled(house), "as soon as it is taken back"
    assert tomorrow == due(run), "what was put off stays there"


@pytest_twisted.ensureDeferred
async def test_next_calls_of_many_tasks_follow_in_steps(
    make: Make,
    run: Run,
    now: Now,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("autodial.engine.dispatcher.REPLANNED", 3)
    house = make(pace={"max_calls": 100, "calls_per_second": 50})
    bring(run, *(portal_task(8018 + n) for n in range(7)))
    for _ in range(9):
        await house.dispatcher.turn()
        for attempt in [line.id for line in run(views.attempt_lines) if line.outcome is None]:
            await house.call_control.claim(AttemptId(attempt))
            await house.engine.ends.record(AttemptId(attempt), SILENT)
        now.advance(seconds=1)
    run(days_off.add, TODAY, NOON)
    for _ in range(4):
        await house.dispatcher.turn()

    assert {datetime(2026, 11, 23, 21, tzinfo=UTC)} == {due(run, 8017 + n) for n in range(8)}


@pytest_twisted.ensureDeferred
async def test_a_day_off_is_stronger_than_a_working_day_of_the_settings(
    make: Make,
    run: Run,
) -> None:
    house = make(calendar={"working_days": (TODAY,)})
    run(days_off.add, TODAY, NOON)
    await house.dispatcher.turn()
    assert {8017: "hours"} == reasons(run)


@pytest_twisted.ensureDeferred
async def test_a_purpose_is_paused_for_what_is_due_and_what_is_spooled(
    make: Make,
    run: Run,
    now: Now,
) -> None:
    house = make()
    debt = tasks.Imported(
        portal_task(8018), (Phone("+442079460018", "Пётр", "CONTACT", 18),), purpose="debt"
    )
    run(tasks.save_tasks, [debt], NOON, asked=NOON)
    await house.dispatcher.turn()
    now.advance(seconds=5)
    await house.dispatcher.turn()
    assert ["t8017-1", "t8018-1"] == spooled(house)
    run(pauses.pause_purpose, "debt", now(), "", now() + timedelta(hours=1))
    await house.dispatcher.turn()

    assert await house.call_control.claim(AttemptId("t8018-1")) is None, (
        "not yet dialled: called off"
    )
    assert await house.call_control.claim(AttemptId("t8017-1")) is not None, "another purpose"
    now.advance(minutes=10)
    await house.dispatcher.turn()
    assert "paused" == reasons(run)[8018]
    now.advance(hours=1)
    for _ in range(2):
        await house.dispatcher.turn()
        now.advance(seconds=5)
    assert "t8018-2" in spooled(house), "it ends by itself"


def changed(house: House, **sections: dict[str, Any]) -> None:
    """Put settings with these sections into force."""
    house.engine.use(variant(house.dispatcher._settings, **sections))


def pay_all(run: Run, now: Now) -> None:
    while (message := run(outbox_.next_message, now())) is not None:
        run(delivery.delivered, message, now())


WEEK = ("monday", "tuesday", "wednesday", "thursday", "friday")


@pytest_twisted.ensureDeferred
async def test_rules_that_change_while_a_step_is_under_way_are_followed_from_the_beginning(
    make: Make, run: Run, now: Now, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = make()
    await put_off(house, now)
    real, once = FakeStore.run, [True]

    async def slow(self: FakeStore, function: Any, *words: Any, **more: Any) -> Any:
        answer = await real(self, function, *words, **more)
        if function is replan and once:
            once.clear()
            changed(house, hours={"monday": (time(9), time(10))})
        return answer

    run(days_off.add, TOMORROW, NOON)  # some change: nothing to move
    monkeypatch.setattr(FakeStore, "run", slow)
    for _ in range(4):
        await house.dispatcher.turn()

    assert datetime(2026, 11, 24, 21, tzinfo=UTC) == due(run), "not today, and tomorrow is off"


@pytest_twisted.ensureDeferred
async def test_hours_that_never_open_move_nothing(make: Make, run: Run, now: Now) -> None:
    """This is an emergency stop: tasks wait, name the reason, and continue afterwards."""
    house = make()
    then = await put_off(house, now)
    changed(house, hours=dict.fromkeys(WEEK))
    await house.dispatcher.turn()
    assert (then, 1) == (due(run), len(told_portal(run)))


@pytest_twisted.ensureDeferred
async def test_a_reload_without_new_hours_looks_through_nothing(
    make: Make, run: Run, now: Now
) -> None:
    house = make()
    changed(house, pace={"max_calls": 3})
    assert house.dispatcher._replan_after is None
    changed(house, client={"per_day": 3})
    assert 0 == house.dispatcher._replan_after


@pytest_twisted.ensureDeferred
async def test_a_deadline_of_a_person_is_not_told_over_after_a_call_that_was_called_off(
    make: Make, run: Run, now: Now
) -> None:
    house = make()
    await house.dispatcher.turn()
    run(pauses.pause, pauses.EVERYBODY, now())
    await house.dispatcher.turn()
    assert await house.call_control.claim(AttemptId("t8017-1")) is None
    run(days_off.add, TODAY, NOON)
    await house.dispatcher.turn()
    assert [] == told_portal(run), "the portal has the person's deadline, and keeps it"


@pytest_twisted.ensureDeferred
async def test_next_calls_that_are_put_off_are_spread_as_others_are(
    make: Make, run: Run, now: Now
) -> None:
    house = make(client={"jitter": timedelta(hours=2)}, pace={"calls_per_second": 50.0})
    bring(run, portal_task(8018), portal_task(8019))
    for _ in range(6):
        await house.dispatcher.turn()
        for attempt in [line.id for line in run(views.attempt_lines) if line.outcome is None]:
            await house.call_control.claim(AttemptId(attempt))
            await house.engine.ends.record(AttemptId(attempt), SILENT)
        now.advance(seconds=1)
    run(days_off.add, TODAY, NOON)
    for _ in range(2):
        await house.dispatcher.turn()
    dues = {due(run, 8017 + n) for n in range(3)}
    midnight = datetime(2026, 11, 23, 21, tzinfo=UTC)
    assert 3 == len(dues), "not all of them in the minute the day opens"
    assert all(one and midnight <= one < midnight + timedelta(hours=2) for one in dues)


@pytest_twisted.ensureDeferred
async def test_a_deadline_that_waits_to_be_told_is_told_once_and_the_last_one(
    make: Make, run: Run, now: Now
) -> None:
    """
    The answer to our first deadline was lost, and two days off follow while the portal is down.
    When the portal shows the first deadline, it counts as ours, not as a person's change.
    """
    house = make()
    then = await put_off(house, now)
    while (message := run(outbox_.next_message, now())).kind != "task":
        run(delivery.delivered, message, now())
    for day in (TODAY, TOMORROW):
        run(days_off.add, day, now())
        await house.dispatcher.turn()
        now.advance(seconds=30)
    after = datetime(2026, 11, 24, 21, tzinfo=UTC)
    assert [then.isoformat(), after.isoformat()] == told_portal(run)
    told_now = tasks.Imported(portal_task(8017, then.replace(second=0)), (PHONE,))
    run(tasks.save_tasks, [told_now], now(), asked=now())

    assert after == due(run), "it is put off, and nobody has moved it"


@pytest_twisted.ensureDeferred
async def test_what_is_put_off_again_and_again_is_told_each_time(
    make: Make, run: Run, now: Now
) -> None:
    """This holds also after the earlier messages were purged. The attempt stays "ended"."""
    house = make()
    await put_off(house, now)
    pay_all(run, now)
    for n in range(3):
        run(days_off.add, TODAY + timedelta(days=n), now())
        await house.dispatcher.turn()
        state = sa.select(attempts.c.state)
        assert ["ended"] == run(lambda db: list(db.scalars(state)))  # noqa: B023
        owed = sa.select(outbox.c.payload).where(outbox.c.state == "pending")
        (payload,) = run(lambda db: list(db.scalars(owed)))  # noqa: B023
        moved = due(run)
        assert moved and moved.isoformat() == payload["deadline"]
        pay_all(run, now)
        now.advance(hours=1)
        if n == 1:
            run(retention.forget_outbox, now() - timedelta(minutes=90), None)


@pytest_twisted.ensureDeferred
async def test_a_number_that_has_left_its_task_still_has_a_clock(
    make: Make, run: Run, now: Now
) -> None:
    house = make()
    await put_off(house, now)
    other = Phone("+442079460099", "Иван", "CONTACT", 55)
    run(tasks.save_tasks, [tasks.Imported(portal_task(8017), (other,))], now(), asked=now())
    run(days_off.add, TODAY, now())
    await house.dispatcher.turn()
    assert datetime(2026, 11, 23, 21, tzinfo=UTC) == due(run)


@pytest_twisted.ensureDeferred
async def test_shadow_mode_moves_no_deadline(make: Make, run: Run, now: Now) -> None:
    house = make()
    then = await put_off(house, now)
    changed(house, pace={"shadow": True})
    run(days_off.add, TODAY, now())
    await house.dispatcher.turn()
    assert (then, 1) == (due(run), len(told_portal(run)))


@pytest_twisted.ensureDeferred
async def test_many_tasks_of_a_paused_purpose_keep_no_other_waiting(
    make: Make, run: Run, now: Now, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    They are more than one turn examines, and were due earlier. They are called when the pause ends.
    """
    monkeypatch.setattr("autodial.engine.dispatcher.PAGES", (2, 8))
    house = make()
    early = NOON - timedelta(hours=1)
    debts = [
        tasks.Imported(
            portal_task(number, early),
            (Phone(f"+44207946{number % 1000:04d}", "x", "CONTACT", number),),
            purpose="debt",
        )
        for number in range(9000, 9030)
    ]
    run(tasks.save_tasks, debts, NOON, asked=NOON)
    run(pauses.pause_purpose, "debt", NOON)
    for _ in range(8):
        await house.dispatcher.turn()
        now.advance(seconds=5)
    assert ["t8017-1"] == spooled(house)
    run(pauses.resume_purpose, "debt")
    await house.dispatcher.turn()
    assert any(name.startswith("t90") for name in spooled(house)), "at once"


# The commands.


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
def test_days_off_by_command(told: Callable[..., Result], run: Run) -> None:
    today = datetime.now(UTC).date()
    assert 0 == told("day-off", "tomorrow", "--why", "снег").exit_code
    assert (today + timedelta(days=1),) == run(in_force.named_days_off, NOON.date())
    assert "снег" in told("day-off").output
    assert 0 == told("day-off", "tomorrow", "--remove").exit_code
    assert () == run(in_force.named_days_off, NOON.date())
    assert 1 == told("day-off", "tomorrow", "--remove").exit_code, "was not named"
    for wrong in ("2020-01-01", "31.12.2026", "soon", "2026-02-30"):
        assert 2 == told("day-off", wrong).exit_code, wrong
    assert 2 == told("day-off", "--remove").exit_code


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
def test_why_and_status_know_of_days_off_and_pauses(
    told: Callable[..., Result],
    run: Run,
    path: Path,
) -> None:
    path.write_text(path.read_text() + '\n[[purposes]]\nname = "debt"\ntag = "долг"\n')
    now = datetime.now(UTC)
    debt = tasks.Imported(portal_task(8020, NOON), (PHONE,), purpose="debt")
    run(tasks.save_tasks, [debt], NOON, asked=NOON)
    run(flags.mark, now, flags.ALIVE, flags.PBX_UP, flags.PORTAL_SEEN)
    assert 0 == told("pause", "--purpose", "debt").exit_code
    assert "8020 Позвонить: the dialler is paused" in told("why", "8020").output
    assert "purpose debt: paused" in told("status").output
    assert 2 == told("pause", "--purpose", "dept").exit_code, "no such purpose"
    assert 2 == told("pause", "101", "--purpose", "debt").exit_code
    assert 0 == told("resume", "--purpose", "debt").exit_code
    assert 1 == told("resume", "--purpose", "debt").exit_code
    assert 0 == told("day-off", "today").exit_code
    assert not {"dial", "dialled"} & set(told("why", "8020").output.split())
    run(flags.mark, now, flags.CHANGED)
    assert "autodial reload" in told("status").output


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
def test_reload_says_that_nobody_runs(told: Callable[..., Result], path: Path) -> None:
    assert "does not run" in told("reload").output
    path.write_text(path.read_text().replace("[hours]", '[hours]\nmonday = "soon"'))
    result = told("reload")
    assert 1 == result.exit_code and "hours.monday" in result.output


# Settings.


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
def test_what_is_built_at_the_start_waits_for_one(path: Path) -> None:
    old = load(path)
    settings = old.model_dump(exclude_unset=True)
    settings["portal"] = {"webhook": "http://127.0.0.1/rest/1/another/", "comments": "one"}
    settings["fastagi"] = {**settings["fastagi"], "secret": "0123456789abcdef", "port": 9}
    settings["client"] = {"preset": "ru-230fz"}
    settings["store"] = {"path": "/elsewhere/x", "keep": {"events": "10d"}}
    settings["language"] = "en"
    settings["hours"] = {"zone": "UTC", "monday": "10:00-11:00"}
    new, changed, waiting = taken_over(old, parse(settings, "test"))

    assert ("portal", "client", "store", "hours") == tuple(
        name for name in ("portal", "client", "store", "hours") if name in changed
    )
    assert {"language", "fastagi.port", "portal.webhook", "store.path"} == set(waiting)
    assert (old.portal.webhook, "one") == (new.portal.webhook, new.portal.comments)
    assert (old.store.path, timedelta(days=10)) == (new.store.path, new.store.keep.events)
    assert (old.language, old.fastagi) == (new.language, new.fastagi)
    assert "ru-230fz" == new.client.preset
    assert ((), ()) == taken_over(old, old)[1:]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"preset": "ru-230fz", "days_off": "10:00-18:00"}, {"saturday": "off"}),
        ({"preset": "us-ftc", "parts": {"US-FL": {}}},
         {"parts": {"US-FL": {"days_off": "off"}}}),
    ],
)  # fmt: skip
def test_a_day_that_is_off_now_is_something_new(
    path: Path, before: dict[str, Any], after: dict[str, Any]
) -> None:
    """ "off" and a missing key are stored alike, but they do not mean the same."""
    settings = load(path).model_dump(exclude_unset=True)
    settings["portal"], settings["fastagi"] = {"webhook": "http://127.0.0.1/rest/1/s3cretpath/"}, {}
    old = parse({**settings, "hours": {}, "client": before}, "test")
    new = parse({**settings, "hours": {}, "client": {**before, **after}}, "test")
    for one, other in ((old, new), (new, old)):
        now, changed, _ = taken_over(one, other)
        assert ("client",) == changed
        assert other.limits == now.limits


def test_what_does_not_fit_what_waits_is_not_taken_over(path: Path) -> None:
    settings = load(path).model_dump(exclude_unset=True)
    settings["portal"], settings["fastagi"] = {"webhook": "http://127.0.0.1/rest/1/s3cretpath/"}, {}
    settings["hours"] = {}
    old = parse({**settings, "portal": {**settings["portal"], "pool": 5}}, "test")
    new = parse({**settings, "purposes": [{"name": "x", "tag": "x", "line": "autodial-2"}]}, "test")
    with pytest.raises(ConfigError, match=r"pool.*until the next start"):
        taken_over(old, new)


def test_the_clock_of_the_portal_s_dates_waits(path: Path) -> None:
    settings = load(path).model_dump(exclude_unset=True)
    settings["portal"], settings["fastagi"] = {"webhook": "http://127.0.0.1/rest/1/s3cretpath/"}, {}
    old = parse({**settings, "hours": {"zone": "UTC"}}, "test")
    now, changed, waiting = taken_over(
        old, parse({**settings, "hours": {"zone": "Asia/Omsk"}}, "test")
    )
    assert (("hours",), 1) == (changed, len(waiting))
    assert ("UTC", "Asia/Omsk") == (now.portal_zone.key, now.hours.zone)


def test_who_is_left_out_now_is_no_operator_from_now_on() -> None:
    roster = Roster()
    roster.set_staff([staff_row(501, "101"), staff_row(502, "102")])
    roster.leave_out(frozenset({OperatorId(501)}))
    assert [502] == [one.id for one in roster.operators()]


def test_a_reload_keeps_what_is_known_of_the_do_not_call_list(make: Make, tmp_path: Path) -> None:
    """
    Somebody is writing the file at the moment of the reload: its former content stays in force for
    a while.
    """
    file = tmp_path / "list.txt"
    file.write_text("+442079460001\n")
    os.utime(file, (1, 1))
    house = make(rules={"do_not_call": file})
    assert frozenset({"+442079460001"}) == house.engine.conditions.do_not_call.numbers()
    file.write_text("")
    changed(house, rules={"consent_field": "UF_CRM_YES"})
    assert frozenset({"+442079460001"}) == house.engine.conditions.do_not_call.numbers()


def test_every_name_of_what_waits_is_a_key_there_is() -> None:
    for section, keys in AT_START.items():
        model = Config.model_fields[section].annotation
        assert keys <= set(getattr(model, "model_fields", {})), section


def test_a_file_that_cannot_be_used_changes_nothing(path: Path) -> None:
    settings = Settings(path)
    settings.load()
    assert not settings.changed
    path.write_text("nonsense")
    with pytest.raises(ConfigError):
        settings.load()
    assert settings.changed, "it is still not what runs"


@pytest_twisted.ensureDeferred
async def test_other_words_for_what_is_read_of_the_portal_are_read_before_anybody_is_called(
    config: Config, portal: SimulatedPortal, store: FakeStore, now: Now, run: Run
) -> None:
    add_operator(portal, 501, "101", seen=NOON)
    code = add_contact(portal, "Клиент", ("WORK", "+442079460001"), ("HOME", "+442079460002"))
    number = add_task(portal, "x", code, responsible=501, deadline=NOON)
    client = Portal.direct(WEBHOOK, portal.send)
    importer = Importer(config, client, store, Roster(), now, lambda _: None)  # type: ignore[arg-type]
    await importer.poll()
    assert _seen(importer)
    same = config.model_copy(update={"pace": config.pace.model_copy(update={"max_calls": 3})})
    importer.use(same)
    assert _seen(importer), "nothing that is read is different"
    rules = config.rules.model_copy(update={"consent_field": "UF_CRM_YES"})
    importer.use(config.model_copy(update={"rules": rules}))
    assert not _seen(importer), "nobody may be called by what was read before"
    await importer.poll()
    assert _seen(importer)
    assert {True} == {phone.no_consent for phone in run(planning.load_task, TaskId(number)).phones}


@pytest_twisted.ensureDeferred
async def test_a_client_whom_the_portal_does_not_show_is_not_trusted_under_new_rules(
    config: Config,
    portal: SimulatedPortal,
    store: FakeStore,
    now: Now,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A field with the same name and another meaning is another field."""
    add_operator(portal, 501, "101", seen=NOON)
    code = add_contact(portal, "Клиент", ("WORK", "+442079460001"))
    number = add_task(portal, "x", code, responsible=501, deadline=NOON)
    portal.contacts[int(code[2:])]["UF_CRM_X"] = "0"
    client = Portal.direct(WEBHOOK, portal.send)
    first = variant(config, rules={"do_not_call_field": "UF_CRM_X"})
    importer = Importer(first, client, store, Roster(), now, lambda _: None)  # type: ignore[arg-type]
    await importer.poll()
    (phone,) = run(planning.load_task, TaskId(number)).phones
    assert (False, False) == (phone.do_not_call, phone.no_consent)
    second = variant(config, rules={"consent_field": "UF_CRM_X"})
    assert first.reading != second.reading

    async def nobody(_: Portal, codes: Any, fields: Any = ()) -> dict[str, None]:
        return dict.fromkeys(codes)  # the webhook's user may not see them any more

    monkeypatch.setattr(Portal, "clients", nobody)
    importer.use(second)
    now.advance(minutes=1)
    await importer.poll()
    assert _seen(importer)
    assert {True} == {phone.no_consent for phone in run(planning.load_task, TaskId(number)).phones}


def _seen(importer: Importer) -> bool:
    return importer.seen is not None


@contextmanager
def started(path: Path, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """A dialler in a process of its own, without Asterisk and with a portal that is not there."""
    spool, log = tmp_path / "outgoing", tmp_path / "log"
    spool.mkdir()
    path.write_text(path.read_text().replace("/nowhere", str(spool)))
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "autodial", "--config", str(path), "run", "--as-root"],
            stdout=stream, stderr=stream,
        )  # fmt: skip
    try:
        yield process, log
    finally:
        process.terminate()
        process.wait(30)


def test_a_signal_while_it_is_being_set_up_does_not_end_it(path: Path, tmp_path: Path) -> None:
    with started(path, tmp_path) as (process, log):
        status = Path(f"/proc/{process.pid}/status")
        until = monotonic() + 60
        while monotonic() < until and not _heeds_sighup(status.read_text()):
            sleep(0.005)  # before that, Python is still starting
        for _ in range(40):
            os.kill(process.pid, signal.SIGHUP)
            sleep(0.02)
        wait_for(log, "running;")
        assert process.poll() is None


def _heeds_sighup(status: str) -> bool:
    """Is the signal ignored or caught?"""
    masks = [row.split()[1] for row in status.splitlines() if row[:6] in ("SigIgn", "SigCgt")]
    return any(int(mask, 16) & 1 << (signal.SIGHUP - 1) for mask in masks)


def wait_for(log: Path, text: str, since: int = 0) -> str:
    until = monotonic() + 60
    while monotonic() < until:
        output = log.read_text()[since:]
        if text in output:
            return output
        sleep(0.05)
    raise AssertionError(f"{text!r} is not in the log:\n{log.read_text()}")


@pytest.fixture
def running(path: Path, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    with started(path, tmp_path) as (process, log):
        wait_for(log, "running;")
        yield process, log


def test_a_signal_has_the_settings_read_again_and_ends_nothing(
    running: tuple[subprocess.Popen[bytes], Path], path: Path
) -> None:
    process, log = running
    old = path.read_text()
    path.write_text(old.replace("[hours]", '[hours]\nmonday = "10:00-11:00"'))
    os.kill(process.pid, signal.SIGHUP)
    wait_for(log, "taken over: hours")
    mark = len(log.read_text())
    path.write_text(old.replace("[hours]", '[hours]\nmonday = "soon"'))
    os.kill(process.pid, signal.SIGHUP)
    output = wait_for(log, "not read again", mark)
    assert "hours.monday" in output and "Traceback" not in output
    wait_for(log, "autodial reload", mark)  # the settings in the file are not the ones in force
    assert process.poll() is None
    mark = len(log.read_text())
    path.write_text(old)
    command = [sys.executable, "-m", "autodial", "--config", str(path), "reload"]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert 0 == answer.returncode, answer.stderr
    assert "taken over: hours" in answer.stdout
    other = path.with_name("other.toml")
    other.write_text(old)
    other.chmod(0o600)
    command[command.index(str(path))] = str(other)
    answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (1, True) == (answer.returncode, f"runs by {path}" in answer.stdout)
    assert process.poll() is None
