"""Answers to the dialplan: FastAGI server, a fake Asterisk, a real store."""

import os
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from attrs import define, evolve
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from autodial.config.sections import PhoneConfig
from autodial.config.settings import Config
from autodial.engine.conditions import Conditions
from autodial.engine.do_not_call_list import SETTLED, DoNotCall
from autodial.model.attempt_states import State
from autodial.model.ids import AttemptId, OperatorId, TaskId
from autodial.model.trunk import Route
from autodial.pbx.agi_scripts import TICKETS, scripts
from autodial.rules.dial_facts import Dial, Facts
from autodial.rules.trunk_choice import as_dialled
from autodial.store import attempt_queries, audit, in_force, ledger, planning, tasks, views
from autodial.store.schema import outbox
from fastagi_server import Tickets
from fastagi_server.testing import FakeAsterisk
from tests.integration.conftest import NOON, FakeStore, Now
from tests.integration.house import House, build, staff_row, variant
from tests.integration.store.test_ledger import PHONE, bring, portal_task

Run = Callable[..., Any]


def test_a_claim_gives_all_that_is_needed_to_dial(house: House) -> None:
    attempt = house.dial()
    variables = dict(house.ask("claim", attempt, "442079460000", "").variables)

    assert re.fullmatch("[0-9a-f]{32}", variables.pop("AD_KEY"))
    assert variables == {
        "AD_GO": "1",
        "AD_ID": attempt,
        "AD_TASK": "8017",
        "AD_NUM": "442079460000",
        "AD_DTMF": "",
        "AD_TONES": "",
        "AD_TO": "30",
        "AD_TRUNKS": "carrier1:carrier2",
        "AD_CIDS": ":",
        "AD_LINES": "9:",  # the second carrier has left the configuration
        "AD_OPS": "101:102:103",
        "AD_OPTO": "20",
        "AD_LANG": "ru",
        "AD_PURPOSE": "",
        "AD_TAG": "АВТОДОЗВОН Иван",
    }
    assert house.refreshed == [8017]


def test_the_responsible_then_who_is_reserved_then_the_others_then_who_wraps_up(
    house: House,
) -> None:
    """Another operator was reserved, and the responsible is at work again at the answer."""
    task = house.run(planning.load_task, TaskId(8017))
    reserved = house.roster.by_id(OperatorId(502))
    assert reserved is not None
    attempt = house.run(
        ledger.open_attempt, task, Dial(PHONE, reserved, (Route("carrier1"),)), NOON,
        lease=house.engine.calls.lease(),
    )  # fmt: skip
    house.engine.calls.opened(attempt)
    house.engine.calls.reassign({TaskId(8017): OperatorId(503)})

    ring = house.call_control.whom_to_ring(attempt.id)
    assert ring is not None and ("103", "102", "101") == ring.extensions
    house.roster.wraps_up(OperatorId(502), NOON + timedelta(minutes=1))
    ring = house.call_control.whom_to_ring(attempt.id)
    assert ring is not None and ("103", "101", "102") == ring.extensions


def test_a_second_claim_is_refused(house: House) -> None:
    attempt = house.dial()
    house.ask("claim", attempt, "442079460000", "")

    assert house.ask("claim", attempt, "442079460000", "").variables == {"AD_GO": "0"}
    assert house.line().state == "claimed"


def test_the_claim_takes_the_call_file_away(house: House) -> None:
    """After a crash Asterisk must not find the call file again."""
    attempt = house.dial()
    (house.spool.outgoing / f"{attempt}.call").write_text("")
    house.ask("claim", attempt, "442079460000", "")

    assert frozenset() == house.spool.waiting()


@pytest.mark.parametrize("change", ["closed", "do not call", "paused", "nobody", "silent"])
def test_the_last_look_before_the_client_is_dialled(
    house: House, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Something changes after the call file was written; then nobody is called."""
    attempt = house.dial()
    facts = house.engine.conditions.facts()
    if change == "closed":
        bring(house.run, portal_task(8099), complete=True)
    changed = {
        "closed": facts,
        "do not call": _with(facts, do_not_call=frozenset({PHONE.number})),
        "paused": _with(facts, paused=True),
        "nobody": _with(facts, operators=()),
        "silent": _with(facts, portal_ok=False),
    }[change]
    monkeypatch.setattr(Conditions, "facts", lambda self: changed)

    assert house.ask("claim", attempt, "442079460000", "").variables == {"AD_GO": "0"}
    assert house.line().outcome == "withdrawn"
    assert house.run(views.messages) == []
    assert house.run(attempt_queries.reserved) == {}


def _with(facts: Facts, **changes: Any) -> Facts:
    return evolve(facts, **changes)


def test_the_answer_is_resolved_from_memory_in_one_batch(house: House) -> None:
    attempt = house.dial()
    house.ask("claim", attempt, "442079460000", "")

    @define
    class Busy:
        def run(self, *_: object, **__: object) -> Deferred[None]:
            return Deferred()  # the voice path must not wait for it

    house.call_control.store = Busy()  # type: ignore[assignment]
    asterisk = house.ask("resolve", attempt)

    assert asterisk.variables == {
        "CALLERID(name)": "АВТОДОЗВОН Иван",
        "AD_OK": "1",
        "AD_OPS": "101:102:103",
        "AD_OPTO": "20",
        "AD_RING": "1",
    }
    assert len(asterisk.commands) == 2


def test_the_first_operator_is_reserved_at_the_answer_and_the_portal_is_told(house: House) -> None:
    attempt = house.dial()
    house.ask("claim", attempt, "442079460000", "")
    house.ask("resolve", attempt)

    assert house.run(attempt_queries.reserved) == {OperatorId(501): attempt}
    assert [State.ANSWERED] == [known.state for known in house.engine.calls.all()]
    assert ["register"] == [message.kind for message in house.run(views.messages)]


def test_what_waits_for_the_voice_is_written_in_order(house: House) -> None:
    """The first phone is busy at once: its card is the first all the same."""
    later: list[Callable[[], None]] = []
    house.server.scripts = scripts(
        house.engine, house.astdb, "ru", Clock(), Tickets(TICKETS), aside=later.append
    )
    attempt = house.dial()
    house.ask("claim", attempt, "442079460000", "")
    house.ask("resolve", attempt)
    house.ask("ringing", attempt, "102")
    assert [] == house.run(views.messages)

    for write in later:
        write()
    told = house.run(lambda db: [(m.kind, m.operator) for m in db.execute(sa.select(outbox))])
    assert [("register", 501), ("move", 502)] == told


def test_an_operator_reserved_meanwhile_for_another_call_is_not_rung(house: House) -> None:
    attempt = house.dial()
    house.ask("claim", attempt, "442079460000", "")
    assert house.ask("resolve", attempt).variables["AD_OPS"] == "101:102:103"
    house.roster.reserve(OperatorId(502), AttemptId("t9-9"))

    assert {"AD_RING": "0"} == house.ask("ringing", attempt, "102").variables
    assert {"AD_RING": "1"} == house.ask("ringing", attempt, "103").variables
    assert house.run(attempt_queries.reserved) == {OperatorId(503): attempt}


def test_without_knowledge_of_the_call_the_dialplan_goes_by_its_lock(house: House) -> None:
    assert {} == house.ask("ringing", "t9-9", "101").variables


def test_the_order_of_ringing(house: House) -> None:
    """
    First the current responsible, then the operator reserved for the call, then others. An operator
    reserved for another call is not rung.
    """
    attempt = house.dial()
    house.ask("claim", attempt, "442079460000", "")
    house.engine.calls.reassign({TaskId(8017): OperatorId(503)})
    house.roster.reserve(OperatorId(502), AttemptId("t9-9"))

    assert house.ask("resolve", attempt).variables["AD_OPS"] == "103:101"


def test_each_phone_is_told_what_it_can_show(
    config: Config, store: FakeStore, now: Now, run: Run, tmp_path: Path
) -> None:
    """The second phone must not show the name that was meant for the first."""
    phones = ({"extension": "101", "ascii": True, "alert": "<http://127.0.0.1>;info=own"},)
    asterisk = {"phones": tuple(PhoneConfig.model_validate(phone) for phone in phones)}
    house = build(variant(config, asterisk=asterisk), store, now, run, tmp_path)
    attempt = house.dial()
    house.ask("claim", attempt, "442079460000", "")
    answered = house.ask("resolve", attempt).variables
    first = house.ask("ringing", attempt, "101").variables
    second = house.ask("ringing", attempt, "102").variables

    own = {"CALLERID(name)": "AVTODOZVON Ivan", "__AD_ALERT": "<http://127.0.0.1>;info=own"}
    assert own == {key: answered[key] for key in own}
    assert {**own, "AD_RING": "1"} == first
    assert "АВТОДОЗВОН Иван" == second["CALLERID(name)"]
    assert "" == second["__AD_ALERT"]


def test_phones_that_are_all_alike_are_told_once(house: House) -> None:
    """The name to show was set at the claim, so it is not sent again at the ringing."""
    attempt = house.dial()
    house.ask("claim", attempt, "442079460000", "")
    assert {"AD_RING": "1"} == house.ask("ringing", attempt, "101").variables


def test_an_unregistered_phone_is_not_offered(house: House) -> None:
    attempt = house.dial()
    for extension, state in (("101", "UNAVAILABLE"), ("102", "NOT_INUSE"), ("103", "NOT_INUSE")):
        house.roster.set_phone(extension, state)

    assert house.ask("resolve", attempt).variables["AD_OPS"] == "102:103"


def test_an_unknown_call_is_left_to_the_dialplan(house: House) -> None:
    """No answer at all: the dialplan uses the variables of the claim."""
    assert house.ask("resolve", "t1-1").variables == {}


def test_a_result_is_acknowledged_when_it_is_on_disk(house: House) -> None:
    attempt = house.dial()
    house.ask("claim", attempt, "442079460000", "")
    asterisk = house.ask(
        "result", attempt, "dial", "BUSY", "17", "SIP%20486%20x", "", "", "", "", "1"
    )

    assert asterisk.variables == {"AD_ACK": "1"}
    assert house.line().outcome == "busy"
    assert house.engine.calls.all() == ()


def test_a_result_that_cannot_be_written_is_not_acknowledged(house: House) -> None:
    """The disk is full: Asterisk keeps the report, and it is swept later."""
    attempt = house.dial()
    house.ask("claim", attempt, "442079460000", "")

    @define
    class Full:
        async def run(self, *_: object, **__: object) -> None:
            raise OSError("disk full")

    house.engine.ends.store = Full()  # type: ignore[assignment]
    asterisk = house.ask("result", attempt, "dial", "BUSY", "17")

    assert asterisk.variables == {}
    assert asterisk.transport.disconnecting


def test_what_astdb_kept_is_deleted_with_the_next_answer(house: House) -> None:
    house.astdb.recorded |= {"t1-1", "t1-2"}
    asterisk = FakeAsterisk(house.server)
    asterisk.database = {"autodial/t1-1": "x", "autodial/t1-2": "y", "autodial/t1-3": "z"}
    asterisk.connect("result", "t7-7", "dial", "BUSY", "17")

    assert asterisk.database == {"autodial/t1-3": "z"}


@pytest.mark.parametrize(("claimed", "expected"), [(False, "withdrawn"), (True, None)])
def test_the_failed_extension_only_hints(house: House, claimed: bool, expected: str | None) -> None:
    """
    It counts for an attempt that was never claimed. For any other attempt the real report follows.
    """
    attempt = house.dial()
    if claimed:
        house.ask("claim", attempt, "442079460000", "")
    house.ask("spoolfail", attempt, "0")

    assert expected == house.line().outcome


def test_hostile_arguments_harm_nobody(house: House) -> None:
    for script in ("claim", "resolve", "ringing", "result", "spoolfail"):
        for arguments in (
            (),
            ("",),
            ("'; DROP TABLE attempts; --",),
            ("x" * 5000,),
            ("", "", "'8017"),
        ):
            house.ask(script, *arguments)

    assert house.server.counters.failed == 0
    assert house.run(views.attempt_lines) == []


def test_an_operator_pauses_by_his_phone_and_comes_back(house: House, run: Run) -> None:
    assert house.ask("pause", "101").variables == {"AD_SAID": "1"}
    assert {501} == run(in_force.paused, NOON)
    (line,) = run(audit.lines, NOON)
    assert ("101", "phone", "pause", "101") == (line.who, line.door, line.act, line.about)
    assert house.ask("resume", "101").variables == {"AD_SAID": "1"}
    assert set() == run(in_force.paused, NOON)
    for nobody in ("999", "", "101; drop"):
        assert house.ask("pause", nobody).variables == {"AD_SAID": "0"}
    assert set() == run(in_force.paused, NOON)


def test_a_person_s_word_by_phone(house: House, run: Run) -> None:
    waits = tasks.Imported(portal_task(8020), (PHONE,), needs_confirmation=True)
    run(tasks.save_tasks, [waits], NOON, asked=NOON)
    assert house.ask("call-now", "101", "8020").variables == {"AD_SAID": "1"}
    assert run(planning.load_task, TaskId(8020)).confirmed
    for wrong in ("4711", "", "8020x", "9" * 30):
        assert house.ask("call-now", "101", wrong).variables == {"AD_SAID": "0"}


def test_a_word_for_a_task_is_an_operator_s(house: House, run: Run) -> None:
    """A disposition is accepted only from an operator's phone."""
    waits = tasks.Imported(portal_task(8020), (PHONE,), needs_confirmation=True)
    run(tasks.save_tasks, [waits], NOON, asked=NOON)
    for nobody in ("999", "", "8020"):
        assert house.ask("call-now", nobody, "8020").variables == {"AD_SAID": "0"}

    assert not run(planning.load_task, TaskId(8020)).confirmed


def test_a_large_staff_fits_one_command(house: House, run: Run) -> None:
    """Asterisk 16 takes 2,047 bytes, so the list of operators is cut."""
    staff = [staff_row(1000 + number, f"{number:040}") for number in range(500)]
    house.roster.set_staff(staff)
    attempt = house.dial()
    variables = house.ask("claim", attempt, "442079460000", "").variables

    assert "1" == variables["AD_GO"]
    assert 10 == len(variables["AD_OPS"].split(":"))
    assert 10 == len(house.ask("resolve", attempt).variables["AD_OPS"].split(":"))


def test_ping(house: House) -> None:
    assert house.ask("ping").variables == {"AD_PONG": "1"}


@pytest.mark.parametrize(
    ("form", "number"),
    [("digits", "442079460000"), ("plus", "+442079460000"), ("national", "2079460000")],
)
def test_numbers_as_carriers_want_them(form: str, number: str) -> None:
    assert number == as_dialled("+442079460000", form)


def numbers(path: Path | None) -> frozenset[str] | None:
    return DoNotCall(path, "RU").numbers()


def test_the_do_not_call_list_as_people_write_it(tmp_path: Path) -> None:
    """
    With a byte order mark, blanks, in national format or without the plus, it is the same number.
    """
    path = tmp_path / "dnc.txt"
    path.write_text(
        "\ufeff+442079460000  # asked us\n\n# nobody\n+44 20 7946 0001\n442079460002\n"
        "8 (999) 000-11-22\n",
        encoding="utf-8",
    )

    assert numbers(path) == frozenset(
        {"+442079460000", "+442079460001", "+442079460002", "+79990001122"}
    )
    assert frozenset() == numbers(None)


def test_a_do_not_call_list_that_cannot_be_relied_on_stops_everything(tmp_path: Path) -> None:
    path = tmp_path / "dnc.txt"
    assert numbers(path) is None
    path.write_text("+442079460000\nask Maria\n")
    assert numbers(path) is None
    path.write_bytes(b"\xff\xfe\x00")
    assert numbers(path) is None


def test_a_changed_list_counts_at_once(tmp_path: Path) -> None:
    path = tmp_path / "dnc.txt"
    path.write_text("+442079460000\n")
    known = DoNotCall(path, "RU")
    assert frozenset({"+442079460000"}) == known.numbers()
    path.write_text("+442079460000\n+442079460001\n")

    assert frozenset({"+442079460000", "+442079460001"}) == known.numbers()


def test_a_list_that_is_being_written_takes_nobody_off(tmp_path: Path) -> None:
    """An editor that saves in place empties the file first."""
    path = tmp_path / "dnc.txt"
    path.write_text("+442079460000\n+442079460001\n")
    rested = path.stat().st_mtime + SETTLED
    known = DoNotCall(path, "RU", clock=lambda: rested)
    both = known.numbers()
    path.write_text("+442079460001\n")
    os.utime(path, (rested - 1, rested - 1))
    seen = [both, known.numbers()]
    known.clock = lambda: rested + SETTLED

    assert [*seen, known.numbers()] == [both, both, frozenset({"+442079460001"})]
