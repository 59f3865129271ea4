"""The picture of the terminal in the README: what the commands print, drawn by nothing else."""

import os
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import pytest
from attrs import evolve
from click.testing import Result

from autodial.model.operator import PresenceRules
from autodial.rules.end_policy import EndPolicy
from autodial.store import attempt_end, flags, ledger, presence, tasks
from bitrix24 import Employee, Presence
from tests.integration.cli.test_cli import path, told  # noqa: F401  # fixtures
from tests.integration.conftest import NOON
from tests.integration.store.test_ledger import BUSY, PHONE, TALKED, dial, portal_task

Run = Callable[..., Any]
PICTURE = Path(__file__).parents[3] / "docs/img/terminal.svg"
WIDTH, LINE, LETTER = 80, 18, 8.4
#: Whatever the hour at which this runs, it is not due.
FAR = datetime(2099, 1, 5, 10, 0, tzinfo=UTC)
COMMANDS = ("tasks", "why 8033", "show 8031", "operators")


def svg(text: str) -> str:
    """A terminal of 80 columns with this text."""
    rows = text.rstrip().split("\n")
    high, wide = LINE * (len(rows) + 2), LETTER * (WIDTH + 4)
    lines = []
    for number, row in enumerate(rows):
        kind = ' class="c"' if row.startswith("$") else ""
        at = f'x="{2 * LETTER:g}" y="{LINE * (number + 1.7):g}"'
        lines.append(f"<text {at}{kind}>{escape(row)}</text>")
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide:g} {high:g}">',
            "<style>text{font:14px monospace;fill:#ddd;white-space:pre}.c{fill:#8c8}</style>",
            f'<rect width="{wide:g}" height="{high:g}" rx="8" fill="#222"/>',
            *lines,
            "</svg>",
        ]
    )


@pytest.fixture
def morning(told: Callable[..., Result], run: Run) -> Callable[..., Result]:  # noqa: F811
    """A store at work, with invented people."""
    rules = PresenceRules(active_within=timedelta(days=9999))
    names = ("Anna Lindqvist", "Boris Okafor", "Clara Mendes")
    people = [
        Employee(id=501 + n, name=name, extension=f"{101 + n}", active=True, online=n < 2,
                 last_login=NOON - timedelta(hours=3))
        for n, name in enumerate(names)
    ]  # fmt: skip
    run(presence.save_staff, people, {501: Presence(working_day="opened")}, NOON, rules)
    run(presence.save_phones, {"101": "INUSE", "102": "NOT_INUSE", "103": "UNAVAILABLE"})
    run(tasks.close_others, set(), NOON)
    clients = (("Ivan Petrov", BUSY), ("Rose Adeyemi", TALKED), ("Li Wei", None))
    for number, (client, report) in enumerate(clients, 8031):
        phone = evolve(
            PHONE, number=f"+44207946{number % 1000:04}", client=client, entity_id=number
        )
        due = NOON - timedelta(minutes=5) if report is not None else FAR
        task = evolve(portal_task(number, due), title="Renewal")
        run(tasks.save_tasks, [tasks.Imported(task, (phone,))], NOON, asked=NOON)
        if report is not None:
            attempt = dial(run, number)
            run(ledger.claim, attempt, NOON)
            run(attempt_end.record, attempt, report, NOON, EndPolicy())
    run(flags.mark, datetime.now(UTC), flags.ALIVE, flags.PBX_UP, flags.PORTAL_SEEN)
    return told


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
def test_the_picture_shows_what_the_commands_print(
    morning: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With AUTODIAL24_PICTURES=docs/img it is drawn again. Moments of today are not compared."""
    monkeypatch.setenv("COLUMNS", str(WIDTH))
    text = "\n".join(f"$ autodial {words}\n{morning(*words.split()).output}" for words in COMMANDS)
    text = re.sub(r"(?m)[ ]+$", "", text)
    if "AUTODIAL24_PICTURES" in os.environ:
        (Path(os.environ["AUTODIAL24_PICTURES"]) / PICTURE.name).write_text(svg(text))

    assert timeless(svg(text)) == timeless(PICTURE.read_text(encoding="utf-8"))


def timeless(picture: str) -> str:
    return re.sub(r"\d\d\.\d\d\. \d\d:\d\d", "…", picture)
