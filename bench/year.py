"""
The cost of a year of use: claim, result, a turn, a poll, deadlines moved by hand, and each command,
on a store with 5,000 calls a day for a year, compared with an empty one.

    python bench/year.py [--calls 5000] [--days 365] [--open 500] [--rounds 15] [--keep PLACE]

Both stores hold the same open tasks and the same staff. SQLite itself writes the year, in
statements that generate their rows. Measured are the dialler's own parts on a real SQLite file, and
the commands as processes. Both stores are measured in turns, and medians are printed.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from sqlite3 import Connection, connect
from statistics import median
from typing import Any

import click
import sqlalchemy as sa
from attrs import define, field
from rich.console import Console
from rich.table import Table
from twisted.internet.task import Clock

from autodial.config.load import parse
from autodial.config.settings import Config
from autodial.coroutines import run_now
from autodial.engine.engine import Engine
from autodial.engine.operators import Roster
from autodial.engine.retention import Retention
from autodial.engine.surroundings import all_well
from autodial.model.ids import AttemptId
from autodial.pbx.agi_scripts import AstDb
from autodial.pbx.reconciler import Reconciler
from autodial.portal.importer import Importer
from autodial.portal.reporter import Reporter
from autodial.rules.hangup import parse_report
from autodial.store.connections import open_engine
from autodial.store.releases import migrate
from bitrix24 import Portal
from bitrix24.simulator import SimulatedPortal
from bitrix24.simulator.seed import add_contact, add_operator, add_task
from call_files import Spool

WEBHOOK = "http://127.0.0.1/rest/1/simulated0secret"
OPERATORS = 40
#: Calls a task, and rows a call, as in a year of the demo's fates.
CALLS_OF_TASK, EVENTS, WRITE_BACKS = 2.6, 6.5, 2.36
TALKED = "dial,ANSWER,16,SIP%20200%20OK,talk,{},1000,1010,1075,c,1"
COMMANDS = (
    "tasks", "tasks --all", "why {task}", "why --operator 101", "status", "operators",
    "presence --days 1", "outbox", "do-not-call", "show {attempt}", "pause 101", "resume 101",
)  # fmt: skip


def toml(place: Path) -> str:
    return f"""
[portal]
webhook = "{WEBHOOK}/"
[tasks]
tag = "autodial"
[staff]
departments = [5]
[asterisk]
spool = "{place}/outgoing"
trunks = [{{name = "c", lines = 60}}]
[fastagi]
secret = "{"0" * 64}"
[pace]
calls_per_second = 50
[client]
preset = "none"
[hours]
zone = "UTC"
{"".join(f'{day} = "00:00-24:00"{chr(10)}' for day in DAYS)}
[store]
path = "{place}/store.sqlite"
"""


DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def a_year(
    db: Connection, calls: int, days: int, now: datetime, operators: int = OPERATORS
) -> None:
    """Insert attempts, tasks, events, outbox rows, presence and external calls, up to now."""
    call_count = calls * days
    tasks = int(call_count / CALLS_OF_TASK)
    step = days * 86400 / call_count  # seconds between two calls
    start = (now - timedelta(days=days)).replace(tzinfo=None, microsecond=0)
    db.execute("PRAGMA synchronous=OFF")
    db.execute("PRAGMA cache_size=-400000")
    numbers = "WITH RECURSIVE c(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM c WHERE n < :most - 1)"
    at = f"strftime('%Y-%m-%d %H:%M:%S.000000', '{start}', '+' || CAST({{}} AS INT) || ' seconds')"
    of_task = at.format(f"(n + 1) * {CALLS_OF_TASK} * {step}")
    of_call = at.format(f"n * {step}")
    first = 10_000_000
    statements = {
        f"""INSERT INTO tasks (id, title, responsible, open, portal_deadline, due,
            closed_reason, generation, next_check, reason, reason_at)
            SELECT {first} + n, 'Позвонить клиенту', 501 + n % {operators}, 0, {of_task}, {of_task},
            'talked', 1, NULL, 'closed', {of_task} FROM c""": tasks,
        f"""INSERT INTO phones (task, position, number, client, entity_type, entity_id)
            SELECT {first} + n, 0, '+7999' || printf('%07d', n % 250000), 'Иван', 'CONTACT',
            n % 250000 + 1 FROM c""": tasks,
        f"""INSERT INTO attempts (id, task, n, generation, number, client, entity_type, entity_id,
            operator, extension, trunks, caller_ids, state, spooled_at, claimed_at, answered_at,
            ended_at, expires_at, outcome, report, taken_by, talk_seconds)
            SELECT 't' || t || '-' || (n + 1), t, n + 1, 1,
            '+7999' || printf('%07d', t % 250000), 'Иван', 'CONTACT', t % 250000 + 1,
            501 + n % {operators}, '101', 'c', '74950000000', 'reported', m, m, m, m, m,
            CASE WHEN n % 3 = 0 THEN 'talked' ELSE 'silent' END,
            '{{"stage": "dial", "dial_status": "NOANSWER", "cause": "16", "tech": "SIP 180"}}',
            CASE WHEN n % 3 = 0 THEN 501 + n % {operators} END, 60
            FROM (SELECT n, {first} + CAST(n / {CALLS_OF_TASK} AS INT) AS t, {of_call} AS m FROM c)
            """: call_count,
        f"""INSERT INTO events (at, task, attempt, kind, detail)
            SELECT {at.format(f"n * {step / EVENTS}")},
            {first} + CAST(n / {EVENTS * CALLS_OF_TASK} AS INT), '', 'ringing', 'extension 101'
            FROM c""": int(call_count * EVENTS),
        f"""INSERT INTO presence (operator, at, kind, mark)
            SELECT 501 + n % {operators}, {at.format(f"n * {86400 / (8 * operators)}")},
            CASE n / {operators} % 4 WHEN 0 THEN 'login' WHEN 1 THEN 'came' WHEN 2 THEN 'logout'
            ELSE 'left' END, n + 1 FROM c""": days * 8 * operators,
        f"""INSERT INTO external_calls (id, number, at, operator, entity_type, entity_id)
            SELECT n + 1, '+7999' || printf('%07d', n % 250000),
            {at.format(f"n * {step * 2.5}")}, 501, 'CONTACT', n % 250000 + 1
            FROM c""": int(call_count / 2.5),
    }  # fmt: skip
    for statement, most in statements.items():
        head, _, rest = statement.partition("SELECT")
        db.execute(f"{head} {numbers} SELECT {rest}", {"most": most})
    kinds = ("comment", "task", "register")
    for place, kind in enumerate(kinds):
        share = WRITE_BACKS - 2 if place == len(kinds) - 1 else 1.0
        db.execute(
            """INSERT INTO outbox (attempt, task, kind, payload, state, created, done_at,
               error) SELECT id, task, ?, '{"outcome": "silent"}', 'delivered', spooled_at,
               spooled_at, '' FROM attempts WHERE state = 'reported' AND rowid % 100 < ?""",
            (kind, 100 * share),
        )
    db.commit()


@define
class Blocking:
    """The store's interface without threads."""

    engine: sa.Engine

    async def run(self, function: Callable[..., Any], *args: Any, **named: Any) -> Any:
        with self.engine.begin() as db:
            return function(db, *args, **named)

    def in_place(self) -> bool:
        return True


@define
class Manager:
    """Asterisk's manager, without channels or stored reports."""

    connected: bool = True

    async def channels(self) -> dict[str, tuple[str, ...]]:
        return {}

    async def kept_reports(self) -> dict[str, str]:
        return {}


@define(slots=False)
class Bench:
    """One store, with the dialler's parts."""

    place: Path
    open_tasks: int
    took: dict[str, list[float]] = field(factory=dict, init=False)
    now: datetime = field(factory=lambda: datetime.now(UTC), init=False)

    def prepare(self, calls: int, days: int) -> None:
        if (self.place / "store.sqlite").exists():
            return  # kept from an earlier run
        (self.place / "outgoing").mkdir(parents=True)
        (self.place / "autodial.toml").write_text(toml(self.place))
        (self.place / "autodial.toml").chmod(0o600)
        migrate(self.place / "store.sqlite")
        if calls * days:
            with closing(connect(self.place / "store.sqlite")) as db:
                a_year(db, calls, days, self.now)

    def build(self) -> None:
        self.portal = SimulatedPortal(now=lambda: self.now)
        for n in range(OPERATORS):
            add_operator(self.portal, 501 + n, str(101 + n), seen=self.now)
        self.tasks = []
        for n in range(self.open_tasks):
            # Each of these clients was called in that year.
            code = add_contact(self.portal, "Иван", ("MOBILE", f"+7999{n:07d}"))
            due = self.now + (timedelta(minutes=-5) if n % 5 == 0 else timedelta(hours=3))
            self.tasks.append(
                add_task(self.portal, "Позвонить", code, responsible=501 + n % 40, deadline=due)
            )
        config = self.config = parse_file(self.place / "autodial.toml")
        self.engine = open_engine(config.store.path)
        store: Any = Blocking(self.engine)
        self.roster = roster = Roster()
        spool = Spool(self.place / "outgoing")
        spool.prepare()
        client = Portal.direct(WEBHOOK, self.portal.send)
        self.importer = Importer(config, client, store, roster, lambda: self.now, lambda _: None)
        self.reporter = Reporter(config, client, store, roster, lambda: self.now, Clock())
        around = all_well(lambda: self.now)
        self.parts = Engine(config, store, roster, spool, lambda: self.now, around)
        manager: Any = Manager()
        clock: Any = Seconds()
        self.reconciler = Reconciler(
            store, self.parts.ends, spool, AstDb(), lambda: self.now, manager, clock
        )
        self.retention = Retention(config.store.keep, store, lambda: self.now)
        run_now(self.importer.poll())
        for n in range(OPERATORS):
            roster.set_phone(str(101 + n), "NOT_INUSE")

    def timed(self, what: str, work: Callable[[], Awaitable[Any]]) -> Any:
        begun = time.perf_counter()
        answer = run_now(work())  # type: ignore[arg-type]
        self.took.setdefault(what, []).append(1000 * (time.perf_counter() - begun))
        return answer

    def round(self) -> None:
        """One call from the dispatcher to the portal, a poll, and deadlines moved by users."""
        self.now += timedelta(seconds=5)
        self.timed("turn", self.parts.dispatcher.turn)
        live = self.parts.calls.all()
        assert live, "nothing was dialled"
        attempt = live[-1]
        number = AttemptId(attempt.id)
        self.timed("claim", lambda: self.parts.call_control.claim(number))
        report = parse_report(TALKED.format(attempt.extension).split(","))
        self.timed("result", lambda: self.parts.ends.record(number, report))
        self.timed("reporter's turn", self.reporter.turn)
        self.timed("reconciler's turn", self.reconciler.turn)
        self.timed("poll", self.importer.poll)
        moved = [task for task in self.tasks if task not in {a.task for a in live}][-15:]
        for task in moved:
            fields = self.portal.tasks[task]
            fields["DEADLINE"] = self.now + timedelta(hours=4, minutes=len(self.took["poll"]))
            fields["CHANGED_DATE"] = self.now
        self.now += timedelta(seconds=60)
        self.timed("poll, 15 deadlines moved", self.importer.poll)
        self.timed("step of forgetting", self.retention.turn)

    def command(self, line: str) -> None:
        attempt = next(iter(self.parts.calls.all()), None)
        known = f"t{self.tasks[0]}-1"
        words = line.format(task=self.tasks[1], attempt=attempt.id if attempt else known).split()
        program = [sys.executable, "-m", "autodial", "--config", str(self.place / "autodial.toml")]
        begun = time.perf_counter()
        subprocess.run(
            [*program, *words],
            check=True, stdout=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        self.took.setdefault(f"autodial {line}", []).append(1000 * (time.perf_counter() - begun))


ROOT = Path(__file__).parents[1]


class Seconds:
    """A clock for logs."""

    def seconds(self) -> float:
        return time.monotonic()


def parse_file(path: Path) -> Config:
    import tomllib

    return parse(tomllib.loads(path.read_text()), str(path))


@click.command()
@click.option("--calls", default=5000, show_default=True, help="A day.")
@click.option("--days", default=365, show_default=True)
@click.option("--open", "open_tasks", default=500, show_default=True)
@click.option("--rounds", default=15, show_default=True)
@click.option("--commands", default=5, show_default=True, help="Runs of each command.")
@click.option(
    "--keep",
    type=click.Path(path_type=Path),
    help="Directory of the stores; existing ones are used again.",
)
def main(
    calls: int, days: int, open_tasks: int, rounds: int, commands: int, keep: Path | None
) -> None:
    """Fill, measure, and print medians in milliseconds."""
    console = Console()
    with tempfile.TemporaryDirectory() as name:
        place = keep or Path(name)
        empty, year = Bench(place / "empty", open_tasks), Bench(place / "year", open_tasks)
        empty.prepare(0, 0)
        begun = time.monotonic()
        year.prepare(calls, days)
        with closing(connect(year.place / "store.sqlite")) as db:
            rows = {
                table: db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
                for table in ("tasks", "attempts", "events", "outbox", "presence", "external_calls")
            }
        size = (year.place / "store.sqlite").stat().st_size / 2**30
        console.print(f"{json.dumps(rows)}, {size:.1f} GB, {time.monotonic() - begun:.0f} s")
        both = (empty, year)
        for bench in both:
            bench.build()
        for number in range(rounds + 1):
            for bench in both if number % 2 else reversed(both):
                bench.round()
        for number in range(commands + 1):
            for line in COMMANDS:
                for bench in both if number % 2 else reversed(both):
                    bench.command(line)
    table = Table("", "empty, ms", "a year, ms", "times")
    for what, base in empty.took.items():
        of_empty, of_year = median(base[1:]), median(year.took[what][1:])
        # Deleting nothing takes no time.
        times = f"{of_year / of_empty:.2f}" if of_empty > 0.1 else "-"
        table.add_row(what, f"{of_empty:.2f}", f"{of_year:.2f}", times)
    console.print(table)


if __name__ == "__main__":
    main()
