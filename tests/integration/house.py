"""The middle of the dialler on a real store: call control, dispatcher, spool and server."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from attrs import define, field
from twisted.internet.task import Clock

from autodial.config.settings import Config
from autodial.engine.call_control import CallControl
from autodial.engine.dispatcher import Dispatcher
from autodial.engine.engine import Engine
from autodial.engine.operators import Roster
from autodial.engine.surroundings import all_well
from autodial.model.ids import AttemptId, OperatorId, TaskId
from autodial.model.trunk import Route
from autodial.pbx.agi_scripts import TICKETS, AstDb, scripts
from autodial.rules.dial_facts import Dial
from autodial.store import ledger, planning, views
from autodial.store.presence import StaffRow
from autodial.store.schema import operators
from call_files import Spool
from fastagi_server import FastAgiServer, Tickets
from fastagi_server.testing import FakeAsterisk
from tests.integration.conftest import NOON, FakeStore, Now
from tests.integration.store.test_ledger import ANNA, PHONE, bring, portal_task

Run = Callable[..., Any]


@define
class House:
    """An engine, its spool, and the server that answers for it."""

    engine: Engine
    roster: Roster
    spool: Spool
    server: FastAgiServer
    astdb: AstDb
    run: Run
    refreshed: list[int] = field(factory=list)
    pbx_up: bool = True
    #: Attempts whose calls are still under way in Asterisk, and the channels that were queried.
    talking: set[AttemptId] = field(factory=set)
    legs: list[str | None] = field(factory=list)

    def ask(self, script: str, *arguments: str) -> FakeAsterisk:
        asterisk = FakeAsterisk(self.server)
        asterisk.connect(script, *arguments)
        return asterisk

    def dial(self, number: int = 8017) -> AttemptId:
        """An attempt as the dispatcher makes it."""
        task = self.run(planning.load_task, TaskId(number))
        decision = Dial(PHONE, ANNA, (Route("carrier1"), Route("carrier2")))
        attempt = self.run(
            ledger.open_attempt, task, decision, NOON, lease=self.engine.calls.lease()
        )
        self.engine.calls.opened(attempt)
        return AttemptId(attempt.id)

    @property
    def call_control(self) -> CallControl:
        return self.engine.call_control

    @property
    def dispatcher(self) -> Dispatcher:
        return self.engine.dispatcher

    def line(self) -> views.AttemptLine:
        lines: list[views.AttemptLine] = self.run(views.attempt_lines)
        return lines[-1]


def staff_row(number: int, extension: str) -> StaffRow:
    return StaffRow(
        id=OperatorId(number), name=f"Оператор {extension}", extension=extension, online=True
    )


def variant(config: Config, **sections: dict[str, Any]) -> Config:
    """A configuration with some keys of its sections different."""
    changed = {
        name: getattr(config, name).model_copy(update=values) for name, values in sections.items()
    }
    return config.model_copy(update=changed)


def build(config: Config, store: FakeStore, now: Now, run: Run, tmp_path: Path) -> House:
    """With three operators at work, and task 8017 due."""
    roster = Roster()
    roster.set_staff([staff_row(501, "101"), staff_row(502, "102"), staff_row(503, "103")])
    rows = [
        {"id": o.id, "name": o.name, "extension": o.extension, "online": 1, "seen": NOON}
        for o in roster.operators()
    ]
    if not run(views.operator_lines):
        run(lambda db: db.execute(operators.insert(), rows))
    spool = Spool(tmp_path / "outgoing")
    spool.outgoing.mkdir(exist_ok=True)
    spool.prepare()
    refreshed: list[int] = []
    houses: list[House] = []

    async def refresh(task: TaskId) -> None:
        refreshed.append(task)

    async def under_way(attempt: AttemptId, leg: str | None) -> bool:
        houses[0].legs.append(leg)
        return attempt in houses[0].talking

    around = all_well(
        now, refresh=refresh, under_way=under_way, pbx_ok=lambda: not houses or houses[0].pbx_up
    )
    engine = Engine(config, store, roster, spool, now, around)  # type: ignore[arg-type]
    astdb = AstDb()
    server = FastAgiServer(scripts(engine, astdb, "ru", Clock(), Tickets(TICKETS)), Clock())
    houses.append(House(engine, roster, spool, server, astdb, run, refreshed))
    bring(run, portal_task(8017))
    return houses[0]
