"""
No sequence of tasks, events, clocks and crashes breaks a budget, doubles a reservation or dials
outside the hours: the production dispatcher and call control are driven at random, beside a plain
account of the calls to each client.
"""

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from autodial.config.load import parse
from autodial.config.settings import Config
from autodial.coroutines import run_now
from autodial.model.attempt_states import State
from autodial.model.ids import AttemptId, OperatorId, TaskId
from autodial.model.task import Phone
from autodial.rules.hangup import parse_report
from autodial.store import attempt_queries, dispositions, pauses, planning, tasks, views
from autodial.store.connections import open_memory
from autodial.store.external_calls import ExternalCall, save_external_calls
from autodial.store.presence import StaffRow
from autodial.store.schema import attempts, reservations
from bitrix24 import PortalTask
from tests.integration.conftest import FakeStore, Now
from tests.integration.house import House, build
from tests.integration.store.test_ledger import PHONE

START = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)  # a Monday, 9:00 in Moscow
MOSCOW, TOKYO = "Europe/Moscow", "Asia/Tokyo"
#: People: one with two numbers, one in Tokyo, one without an entry in the CRM; and the client of
#: a task of the site itself, in London.
PHONES = (
    Phone("+442079460101", "А", "CONTACT", 1, zone=MOSCOW),
    Phone("+442079460102", "А", "CONTACT", 1, zone=MOSCOW),
    Phone("+442079460201", "Б", "CONTACT", 2, zone=TOKYO),
    Phone("+442079460301", "В", "", 0, zone=MOSCOW),
)
ZONES = {phone.number: phone.zone for phone in PHONES} | {PHONE.number: "Europe/London"}
PERSON = {
    PHONE.number: 0,
    "+442079460101": 1,
    "+442079460102": 1,
    "+442079460201": 2,
    "+442079460301": 3,
}
PER_DAY, APART = 2, timedelta(minutes=90)
#: The call centre's own hours, Monday first.
HOUSE = (*[(6, 23)] * 4, (9, 16), (11, 15), (0, 0))
REPORTS = {
    "talked": ("dial", "ANSWER", "16", "", "talk", "101", "1000", "1010", "1075", "c"),
    "missed": ("dial", "ANSWER", "16", "", "NOANSWER", "101", "1000", "", "1020", "c"),
    "silent": ("dial", "NOANSWER", "19", ""),
    "busy": ("dial", "BUSY", "17", ""),
    "wrong": ("dial", "CHANUNAVAIL", "1", ""),
    "carrier": ("dial", "CONGESTION", "34", ""),
}


def config(place: Path) -> Config:
    return parse(
        {
            "portal": {"webhook": "http://127.0.0.1/rest/1/simulated0secret/"},
            "tasks": {"tag": "autodial", "later": "1h"},
            "staff": {"departments": [5], "wrap_up": "1m"},
            "asterisk": {"spool": str(place), "trunks": [{"name": "c", "lines": 3}]},
            "pace": {"calls_per_second": 50.0, "dial_ratio": 2.0, "abandoned_cap": 0.5},
            "client": {
                "preset": "none", "workdays": "09:00-20:00", "days_off": "10:00-18:00",
                "per_day": PER_DAY, "minimum_interval": "90m",
            },
            "hours": {
                **dict.fromkeys(("monday", "tuesday", "wednesday", "thursday"), "06:00-23:00"),
                "friday": "09:00-16:00", "saturday": "11:00-15:00", "sunday": "off",
            },
            "calendar": {"country": ""},
            "rules": {"do_not_call": str(place / "never.txt")},
            "retry": {"silent": ["5m"] * 9, "busy": ["5m"] * 9, "line_failed": ["5m"] * 9},
        },
        "test",
    )  # fmt: skip


class _Killed(BaseException):
    """The process was killed."""


class _Mortal(FakeStore):
    """A store whose process is killed before or after the commit of some transaction to come."""

    dies: tuple[int, bool] | None = None

    async def run(self, function: Any, *arguments: Any, **named: Any) -> Any:
        if self.dies is None:
            return await super().run(function, *arguments, **named)
        left, after = self.dies
        self.dies = (left - 1, after)
        if left == 0 and not after:
            raise _Killed
        result = await super().run(function, *arguments, **named)
        if left == 0:
            raise _Killed
        return result


RARELY = st.sampled_from((False, False, False, True))


class AnyOrder(RuleBasedStateMachine):
    """One call centre of two operators, three clients, and everything that can happen."""

    @initialize()
    def open(self) -> None:
        self.place = TemporaryDirectory()
        self.engine = open_memory()
        self.now = Now(START)
        (Path(self.place.name) / "never.txt").touch()
        self.config = config(Path(self.place.name))
        self.listed: set[str] = set()
        self.borne: dict[int, list[datetime]] = defaultdict(list)  #: by person, calls and talks
        self.claimed: dict[AttemptId, datetime] = {}
        self.online = {501: True, 502: True}
        self.all_paused = False
        self.rung: list[AttemptId] = []  #: claimed, and not ended
        self.next_task = 100
        self._start()

    def _start(self) -> None:
        """A dialler that has only the store on disk."""
        root = Path(self.place.name) / "house"
        root.mkdir(exist_ok=True)
        self.store = _Mortal(self.engine)
        self.house: House = build(self.config, self.store, self.now, self.run, root)
        self.house.roster.set_staff(self._staff())
        self.house.engine.calls.restore(
            self.run(attempt_queries.in_flight), self.run(attempt_queries.reserved)
        )
        over = self.config.pace.abandoned_over
        self.house.engine.calls.statistics.recall(self.run(attempt_queries.past, self.now(), over))

    def _staff(self) -> list[StaffRow]:
        return [
            StaffRow(id=OperatorId(n), name="x", extension=str(n - 400), online=there)
            for n, there in self.online.items()
        ]

    def run(self, function: Any, *arguments: Any, **named: Any) -> Any:
        with self.engine.begin() as connection:
            return function(connection, *arguments, **named)

    def teardown(self) -> None:
        self.engine.dispose()
        self.place.cleanup()

    # Events from outside.

    @rule(who=st.sets(st.integers(0, 3), min_size=1), wait=st.sampled_from((0, 0, 0, 45, 600)))
    def task(self, who: set[int], wait: int) -> None:
        """A new task, with some of the numbers."""
        self.next_task += 1
        due = self.now() + timedelta(minutes=wait)
        task = PortalTask(
            id=self.next_task, title="x", status=2, responsible=501 + wait % 2, deadline=due,
            clients=(),
        )  # fmt: skip
        imported = tasks.Imported(task, tuple(PHONES[n] for n in sorted(who)))
        self.run(tasks.save_tasks, [imported], self.now(), asked=self.now())

    @rule(number=st.integers(101, 110))
    def deadline_by_hand(self, number: int) -> None:
        """A person asks to call a task now: it is opened again, and the budgets still hold."""
        known = self.run(planning.load_task, TaskId(number))
        if known is not None:
            at = self.now() - timedelta(seconds=1)
            task = PortalTask(
                id=number, title="x", status=2, responsible=501, deadline=at, clients=()
            )
            self.run(tasks.save_tasks, [tasks.Imported(task, None)], self.now(), asked=self.now())
            self.run(tasks.confirm, TaskId(number), self.now())

    @rule(minutes=st.sampled_from((0.02, 4, 30, 89, 90, 91, 200, 700, 1439)))
    def clock(self, minutes: float) -> None:
        self.now.advance(minutes=minutes)
        for attempt, state in self.run(
            attempt_queries.expired, self.now()
        ):  # as the reconciler does
            run_now(
                self.house.engine.ends.give_up(attempt, "lease", lost=state is not State.SPOOLED)
            )
        flying = {a.id for a in self.run(attempt_queries.in_flight)}
        self.rung = [attempt for attempt in self.rung if attempt in flying]

    @rule(number=st.sampled_from(sorted(PERSON)))
    def somebody_else_talks(self, number: str) -> None:
        """As the portal's statistics say."""
        self.next_task += 1
        entity = next((p.entity_type, p.entity_id) for p in (*PHONES, PHONE) if p.number == number)
        external = ExternalCall(self.next_task, number, self.now(), 1, entity)
        self.run(save_external_calls, [external], self.now())
        self.borne[PERSON[number]].append(self.now())

    @rule(number=st.sampled_from(sorted(PERSON)), on=RARELY)
    def do_not_call(self, number: str, on: bool) -> None:
        (self.listed.add if on else self.listed.discard)(number)
        file = Path(self.place.name) / "never.txt"
        file.write_text("".join(f"{one}\n" for one in sorted(self.listed)))

    @rule(who=st.sampled_from((501, 502)), away=RARELY)
    def comes_or_goes(self, who: int, away: bool) -> None:
        self.online = {**self.online, who: not away}
        self.house.roster.set_staff(self._staff())

    @rule(who=st.sampled_from((501, 502)), busy=RARELY)
    def phone(self, who: int, busy: bool) -> None:
        self.house.roster.set_phone(str(who - 400), "INUSE" if busy else "NOT_INUSE")

    @rule(who=st.sampled_from((501, 502)), on=RARELY)
    def pause(self, who: int, on: bool) -> None:
        if on:
            self.run(pauses.pause, OperatorId(who), self.now())
        else:
            self.run(pauses.resume, OperatorId(who))

    @rule(on=RARELY)
    def pause_all(self, on: bool) -> None:
        """The dispatcher learns of it at its next turn, a second later."""
        self.all_paused = on
        if on:
            self.run(pauses.pause, pauses.EVERYBODY, self.now(), "")
        else:
            self.run(pauses.resume, pauses.EVERYBODY)
        run_now(self.house.dispatcher.turn())

    # What the dialler and Asterisk do.

    @rule(times=st.integers(1, 4), slow=RARELY)
    def turns(self, times: int, slow: bool) -> None:
        """``slow``: Asterisk does not process its spool yet."""
        for _ in range(times):
            run_now(self.house.dispatcher.turn())
            self.now.advance(seconds=1)
        for attempt in () if slow else self._spooled():
            self._claim(attempt)

    @rule(ends=st.lists(st.sampled_from(sorted(REPORTS)), min_size=1, max_size=12))
    def works(self, ends: list[str]) -> None:
        """About an hour without trouble: due tasks are dialled, and each call ends."""
        for how in ends:
            self.turns(1, slow=False)
            for attempt in tuple(self.rung):
                self._answers(attempt)
            self.memory_and_store_agree()
            for attempt in tuple(self.rung):
                self._ends(attempt, how)
            self.clock(7)

    @rule(what=st.sampled_from(("talk", "list", "hour", "nobody", "pause")))
    def meanwhile(self, what: str) -> None:
        """Something changes while the call file lies in the spool."""
        run_now(self.house.dispatcher.turn())
        for attempt in self.run(attempt_queries.in_flight):
            if attempt.state == State.SPOOLED.value and what == "talk":
                self.somebody_else_talks(attempt.number)
            elif attempt.state == State.SPOOLED.value and what == "list":
                self.do_not_call(attempt.number, True)
        self.clock(55 if what == "hour" else 0.02)
        if what == "nobody":
            self._everybody(there=False)
        if what == "pause":
            self.pause_all(True)
        for attempt in self._spooled():
            self._claim(attempt)
        if what == "nobody":
            self._everybody(there=True)
        if what == "pause":
            self.pause_all(False)

    def _everybody(self, *, there: bool) -> None:
        self.online = dict.fromkeys(self.online, there)
        self.house.roster.set_staff(self._staff())

    @precondition(lambda self: self.rung)
    @rule(data=st.data())
    def answers(self, data: st.DataObject) -> None:
        """One operator after the other is rung, and the talk goes on."""
        self._answers(data.draw(st.sampled_from(self.rung)))

    def _answers(self, attempt: AttemptId) -> None:
        ring = self.house.call_control.whom_to_ring(attempt)
        for place, extension in enumerate(ring.extensions if ring is not None else ()):
            ringing = place and self.house.call_control.ringing(attempt, extension)
            if place == 0 or (ringing and ringing.allowed):
                self.house.call_control.write_ringing(attempt, extension)

    @precondition(lambda self: self._spooled())
    @rule(data=st.data())
    def late_claim(self, data: st.DataObject) -> None:
        self._claim(data.draw(st.sampled_from(self._spooled())))

    def _claim(self, attempt: AttemptId) -> None:
        """If the claim is granted, the client's phone rings."""
        claimed = run_now(self.house.call_control.claim(attempt))
        if claimed is not None:
            self.rung.append(attempt)
            self.claimed[attempt] = self.now()
            self._rings(claimed.attempt.number)

    def _rings(self, number: str) -> None:
        """The check uses only this file's own account."""
        now, person = self.now(), PERSON[number]
        local = now.astimezone(ZoneInfo(ZONES[number]))
        first, last = (10, 18) if local.weekday() >= 5 else (9, 20)
        assert first <= local.hour < last, f"{number} rings at {local:%H:%M}"
        here = now.astimezone(ZoneInfo(MOSCOW))
        opens, closes = HOUSE[here.weekday()]
        assert opens <= here.hour < closes, f"the house is closed at {here:%a %H:%M}"
        assert any(self.online.values()), "nobody is at work"
        assert not self.all_paused, "everything is paused"
        assert number not in self.listed, "he is on the list"
        assert all(now - at >= APART for at in self.borne[person]), "too soon after the last"
        day = [at for at in self.borne[person] if at > now - timedelta(days=1)]
        assert len(day) < PER_DAY, "too many in a day"
        never = {PERSON[line.number] for line in self.run(dispositions.do_not_call_lines)}
        assert person not in never, "he has told an operator not to be called again"
        others = [a for a in self.run(attempt_queries.in_flight) if a.id in self.rung[:-1]]
        assert person not in {PERSON[a.number] for a in others}, "he is in a call already"
        self.borne[person].append(now)

    @precondition(lambda self: self.rung)
    @rule(data=st.data(), how=st.sampled_from(sorted(REPORTS)))
    def ends(self, data: st.DataObject, how: str) -> None:
        self._ends(data.draw(st.sampled_from(self.rung)), how)

    def _ends(self, attempt: AttemptId, how: str) -> None:
        self.rung.remove(attempt)
        if how == "carrier":
            self._not_borne(attempt)
        run_now(self.house.engine.ends.record(attempt, parse_report(REPORTS[how])))

    @precondition(lambda self: self.rung)
    @rule(data=st.data())
    def lost(self, data: st.DataObject) -> None:
        """Asterisk sends no report of the attempt."""
        attempt = data.draw(st.sampled_from(self.rung))
        self.rung.remove(attempt)
        run_now(self.house.engine.ends.give_up(attempt, "quiet", lost=True))

    @rule(code=st.sampled_from("1239"), extension=st.sampled_from(("101", "102")))
    def word(self, code: str, extension: str) -> None:
        run_now(self.house.engine.codes.dispose(extension, code))

    @rule()
    def crash(self) -> None:
        """Memory is lost; committed data stays."""
        self._start()

    @rule(
        what=st.sampled_from(("turn", "claim", "result", "word")), writes=st.integers(0, 5),
        after=st.booleans(), data=st.data(),
    )  # fmt: skip
    def crash_in_the_middle(self, what: str, writes: int, after: bool, data: st.DataObject) -> None:
        """``kill -9`` before or after a commit; the answer is lost."""
        wanted = {"claim": self._spooled(), "result": self.rung}.get(what, [AttemptId("")])
        if not wanted:
            return
        attempt = data.draw(st.sampled_from(wanted))
        how = data.draw(st.sampled_from(sorted(REPORTS)))
        report = parse_report(REPORTS[how])
        work = {
            "turn": lambda: self.house.dispatcher.turn(),
            "claim": lambda: self.house.call_control.claim(attempt),
            "result": lambda: self.house.engine.ends.record(attempt, report),
            "word": lambda: self.house.engine.codes.dispose("101", "2"),
        }[what]
        self.store.dies = (writes, after)
        try:
            run_now(work())
        except _Killed:
            pass
        else:
            if what == "claim" and attempt not in self._spooled():
                self.store.dies = None
                flying = {a.id: a for a in self.run(attempt_queries.in_flight)}
                if attempt in flying:  # it succeeded, and Asterisk got the answer
                    self.rung.append(attempt)
                    self.claimed[attempt] = self.now()
                    self._rings(flying[attempt].number)
        self._start()
        flying_now = {a.id for a in self.run(attempt_queries.in_flight)}
        if what == "result" and how == "carrier" and attempt not in flying_now:
            self._not_borne(attempt)
        self.rung = [one for one in self.rung if one in flying_now]

    def _not_borne(self, attempt: AttemptId) -> None:
        """The client's phone cannot have rung, so the call does not count."""
        (number,) = {a.number for a in self.run(views.attempt_lines) if a.id == attempt}
        self.borne[PERSON[number]].remove(self.claimed[attempt])

    def _spooled(self) -> list[AttemptId]:
        flying = self.run(attempt_queries.in_flight)
        return [a.id for a in flying if a.state == State.SPOOLED.value]

    # Invariants.

    @invariant()
    def nobody_holds_two_and_no_attempt_is_held_twice(self) -> None:
        rows = self.run(lambda db: db.execute(sa.select(reservations)).all())
        flying = {a.id for a in self.run(attempt_queries.in_flight)}
        assert len({row.operator for row in rows}) == len(rows) == len({r.attempt for r in rows})
        assert {row.attempt for row in rows} <= flying, "held for what is over"

    @invariant()
    def memory_and_store_agree(self) -> None:
        held = {o.id: o.reserved_for for o in self.house.roster.operators() if o.reserved_for}
        assert held == self.run(attempt_queries.reserved)
        assert {a.id for a in self.house.engine.calls.all()} == {
            a.id for a in self.run(attempt_queries.in_flight)
        }

    @invariant()
    def every_attempt_ends_once(self) -> None:
        ended = sa.select(sa.func.count()).where(attempts.c.outcome.is_not(None))
        lines = [line for line in self.run(views.attempt_lines) if line.outcome]
        assert self.run(lambda db: db.scalar(ended)) == len(lines)


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(
    max_examples=100, stateful_step_count=60, deadline=None, derandomize=True,
    suppress_health_check=list(HealthCheck), phases=(Phase.explicit, Phase.generate),
)  # fmt: skip
