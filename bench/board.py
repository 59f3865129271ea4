"""
How long the board's pages take, with a thousand operators and a year of calls in its store.

    python -m bench.board [--calls 5000] [--days 365] [--operators 1000] [--rounds 40]
                          [--keep PLACE]

The board is the product, a process of its own, asked over HTTP one page after the other, each page
``--rounds`` times; the first of each is not counted, but said. Medians and the 95th of a hundred.
"""

import json
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from sqlite3 import connect
from statistics import quantiles

import click
import requests
from rich.console import Console
from rich.table import Table

from autodial.board.passwords import hashed
from autodial.model.act import Actor, Door
from autodial.model.role import Role
from autodial.store import acts
from autodial.store.database import write
from autodial.store.releases import migrate
from bench.year import a_year, toml
from demo.pbx import free_ports

PASSWORD, TOKEN = "a password of the bench", "autodial_bench"
PAGES = (
    "/", "/tasks", "/tasks?late=1", "/tasks/{task}", "/calls", "/day", "/month", "/operators/501",
    "/log", "/never", "/settings", "/api/v1/now", "/api/v1/report", "/api/v1/work-times",
)  # fmt: skip


def fill(place: Path, calls: int, days: int, operators: int, open_tasks: int) -> None:
    """The year, the staff at work, and tasks that are open."""
    now = datetime.now(UTC)
    (place / "autodial.toml").touch(mode=0o600)
    port = free_ports(1)[0]
    (place / "autodial.toml").write_text(toml(place) + f"[board]\nport = {port}\n")
    store = place / "store.sqlite"
    if store.exists():
        return
    migrate(store)
    with closing(connect(store)) as db:
        a_year(db, calls, days, now, operators)
        at = f"{now:%Y-%m-%d %H:%M:%S}.000000"
        for n in range(operators):
            db.execute(
                "INSERT INTO operators (id, name, extension, online, phone, seen)"
                " VALUES (?, ?, ?, 1, 'NOT_INUSE', ?)",
                (501 + n, f"Оператор {n}", str(1001 + n), at),
            )
        for n in range(open_tasks):
            db.execute(
                "INSERT INTO tasks (id, title, responsible, open, due, closed_reason, generation,"
                " next_check, reason) VALUES (?, 'Позвонить', ?, 1, ?, '', 1, ?, 'not due')",
                (1 + n, 501 + n % operators, at, at),
            )
            db.execute(
                "INSERT INTO phones (task, position, number, client, entity_type, entity_id)"
                " VALUES (?, 0, ?, 'Иван', 'CONTACT', ?)",
                (1 + n, f"+7999{n:07d}", n + 1),
            )
        db.commit()
    shell = Actor("bench", Door.COMMAND)
    write(store, partial(acts.save_account, name="manager", role=Role.MANAGER,
                         password_hash=hashed(PASSWORD), by=shell, now=now))  # fmt: skip
    write(store, lambda db: acts.save_token(db, "bench", Role.VIEWER, TOKEN, shell, now))


def asked(session: requests.Session, address: str, rounds: int) -> list[float]:
    """Milliseconds of each round; the first one first."""
    took = []
    for _ in range(rounds + 1):
        begun = time.perf_counter()
        answer = session.get(address, timeout=120)
        took.append(1000 * (time.perf_counter() - begun))
        assert answer.status_code == 200, (address, answer.status_code)
    return took


@click.command()
@click.option("--calls", default=5000, show_default=True, help="A day.")
@click.option("--days", default=365, show_default=True)
@click.option("--operators", default=1000, show_default=True)
@click.option("--open", "open_tasks", default=500, show_default=True)
@click.option("--rounds", default=40, show_default=True)
@click.option("--keep", type=click.Path(path_type=Path, file_okay=False))
def main(
    calls: int, days: int, operators: int, open_tasks: int, rounds: int, keep: Path | None
) -> None:
    """Fill, ask, and print milliseconds."""
    console = Console()
    with tempfile.TemporaryDirectory() as name:
        place = keep or Path(name)
        place.mkdir(exist_ok=True, parents=True)
        begun = time.monotonic()
        fill(place, calls, days, operators, open_tasks)
        size = (place / "store.sqlite").stat().st_size / 2**30
        console.print(f"{size:.1f} GB, {time.monotonic() - begun:.0f} s")
        port = json.loads((place / "autodial.toml").read_text().rsplit("port = ", 1)[1])
        command = [sys.executable, "-m", "autodial", "--config", str(place / "autodial.toml")]
        board = subprocess.Popen([*command, "board"])
        try:
            measured(console, f"http://127.0.0.1:{port}", rounds)
        finally:
            board.terminate()
            board.wait(20)


def measured(console: Console, address: str, rounds: int) -> None:
    session = requests.Session()
    until = time.monotonic() + 30
    while True:
        try:
            session.get(f"{address}/login", timeout=5)
            break
        except requests.ConnectionError:
            assert time.monotonic() < until, "the board does not start"
            time.sleep(0.1)
    form = {"name": "manager", "password": PASSWORD}
    assert session.post(f"{address}/login", data=form, timeout=20).url == f"{address}/"
    session.headers["Authorization"] = f"Bearer {TOKEN}"
    begun = time.monotonic()
    session.get(f"{address}/month", timeout=600)
    last = datetime.now(UTC).replace(day=1) - timedelta(days=1)
    session.get(f"{address}/month?month={last:%Y-%m}", timeout=600)
    console.print(f"the first months, not counted yet: {time.monotonic() - begun:.0f} s")
    table = Table("", "first, ms", "median, ms", "p95, ms")
    for page in PAGES:
        took = asked(session, address + page.format(task=1), rounds)
        parts = quantiles(took[1:], n=20)
        table.add_row(page, f"{took[0]:.0f}", f"{parts[9]:.0f}", f"{parts[18]:.0f}")
    console.print(table)


if __name__ == "__main__":
    main()
