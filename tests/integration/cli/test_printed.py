"""Text typed by strangers is printed as plain text on one line: in tables, lines and logs."""

import ast
import json
import re
import unicodedata
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from click.testing import Result
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from autodial import texts
from autodial.model.operator import PresenceRules
from autodial.rules.end_policy import EndPolicy
from autodial.rules.phone_numbers import Refused
from autodial.service.logs import text_line
from autodial.store import attempt_end, delivery, ledger, outbox, presence, tasks
from bitrix24 import Employee, LoginEvent, Presence
from tests.integration.cli.test_cli import LONG_AGO, path, told  # noqa: F401  # fixtures
from tests.integration.conftest import NOON
from tests.integration.store.test_ledger import PHONE, TALKED, dial, portal_task

Run = Callable[..., Any]
ROOT = Path(__file__).parents[3]

#: An end tag without a beginning, markup, a link, an emoji code, ESC, OSC 8, C1, a bell, line ends,
#: a mark that reverses the direction of writing.
HOSTILE = (
    "[/Рога]", "[red]Рога[/red]", "[link=http://x]Рога[/link]", ":smile: Рога", "\x1b[31mРога",
    "\x1b]8;;http://x\x07Рога", "\x9b31mРога", "Рога\r\n2026-11-26 forged", "Рога\u202egnol",
    "Рога\u2028x",
)  # fmt: skip


def obeyed(text: str) -> list[str]:
    """The characters of an output that a terminal would execute or not show."""
    return [
        char
        for char in text.replace("\n", "")
        if unicodedata.category(char)[0] == "C" or unicodedata.category(char) in ("Zl", "Zp")
    ]


@pytest.fixture
def hostile(told: Callable[..., Result], run: Run) -> Callable[..., Result]:  # noqa: F811
    """``autodial`` on a store in which every name is hostile text."""
    for number, text in enumerate(HOSTILE):
        person = Employee(
            id=600 + number, name=text, extension=text, active=True, online=True, last_login=None
        )
        there = {person.id: Presence(last_activity=LONG_AGO, working_day=text)}
        run(
            presence.save_staff, [person], there, NOON, PresenceRules(active_within=NOON - LONG_AGO)
        )
        task = evolve(portal_task(9000 + number), title=text)
        phone = evolve(PHONE, number=f"+44207946{number:04}", client=text)
        refused = (Refused(text, "phone.unreadable", text),)
        run(tasks.save_tasks, [tasks.Imported(task, (phone,), refused)], NOON, asked=NOON)
        attempt = dial(run, 9000 + number)
        run(ledger.claim, attempt, NOON)
        run(
            attempt_end.record, attempt, evolve(TALKED, operator=text, tech=text), NOON, EndPolicy()
        )
    run(presence.save_logins, [LoginEvent(id=1, user=600, login=True, at=NOON)], NOON)
    for text in HOSTILE:
        run(delivery.bury, run(outbox.next_message, NOON), text, NOON)
    return told


@pytest.mark.parametrize(
    "command",
    [
        ("tasks",), ("operators",), ("outbox",), ("status",), ("do-not-call",),
        ("presence", "--days", "3660"), *((("why", str(9000 + n))) for n in range(len(HOSTILE))),
        *((("show", str(9000 + n))) for n in range(len(HOSTILE))), ("why", "--operator", "[/x]"),
        ("pause", "\x1b[31m"), ("show", "\x1b]0;x\x07"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_no_command_obeys_a_name(hostile: Callable[..., Result], command: tuple[str, ...]) -> None:
    result = hostile(*command)

    assert result.exit_code in (0, 1), result.exception
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert [] == obeyed(result.output)
    assert not re.search("^2026-11-26 forged", result.output, re.MULTILINE)


def test_a_name_is_shown_as_it_is_written(hostile: Callable[..., Result]) -> None:
    output = hostile("tasks").output

    for text in ("[/Рога]", "[red]Рога[/red]", "[link=http://x]", ":smile:"):
        assert text in output


@pytest.mark.parametrize("command", ["tasks", "operators", "outbox", "presence"])
def test_json_is_json_and_nothing_a_terminal_obeys(
    hostile: Callable[..., Result], command: str
) -> None:
    output = hostile(command, "--json").output

    assert [] == obeyed(output)
    assert isinstance(json.loads(output), list)


def event(**fields: Any) -> dict[str, Any]:
    """An event as the logger emits it."""
    events: list[dict[str, Any]] = []
    log = Logger(observer=events.append)  # type: ignore[arg-type]
    log.emit(LogLevel.info, "{attempt}: claim refused", **fields)
    return events[0]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_log_line_is_one_line(text: str) -> None:
    line = text_line(event(attempt=text))
    assert line is not None

    assert 1 == line.count("\n")
    assert [] == obeyed(line)


def test_a_traceback_makes_no_lines_of_its_own() -> None:
    try:
        raise ValueError("x\n2026-11-26T10:00:00+0000 [autodial#info] t1-1: talked\x1b[31m")
    except ValueError:
        failure = Failure()
    line = text_line(event(attempt="t1-1", log_failure=failure))
    assert line is not None
    head, *rest = line.rstrip("\n").split("\n")

    assert "t1-1: claim refused" in head
    assert rest and all(row.startswith("\t") for row in rest)
    assert "\x1b" not in line


@pytest.mark.parametrize("text", [*HOSTILE, "\ud800", "a\x00b", "\u200b", "\ufeff"])
def test_escaped_shows_and_does_nothing(text: str) -> None:
    shown = texts.escaped(text)

    assert [] == obeyed(shown)
    shown.encode()


@pytest.mark.parametrize(
    "text", ["Анна Ковалёва", "O'Brien & Sons", "日本", "a b  c", "\U0001f600"]
)
def test_escaped_leaves_names_alone(text: str) -> None:
    assert text == texts.escaped(text)


def test_a_name_in_a_comment_is_no_bb_code() -> None:
    assert "(URL=x)Анна(/URL)" == texts.bb("[URL=x]Анна[/URL]")


def test_tables_are_made_in_one_place() -> None:
    """Rich's table would read a cell as markup, and ``echo`` prints a line unescaped."""
    for file in (ROOT / "autodial").rglob("*.py"):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        names = {
            f"{node.module}.{alias.name}"
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        assert file.name == "output.py" or "rich.table.Table" not in names, file


def test_the_clock_of_a_line_is_there() -> None:
    line = text_line(event(attempt="t1-1"))

    assert line is not None and datetime.fromisoformat(line.split(" ")[0])
