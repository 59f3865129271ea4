"""The commands speak Russian or English, not both, and fit a terminal of 80 columns."""

import ast
import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from string import Formatter
from typing import Any

import pytest
from attrs import evolve, fields
from click.testing import Result
from rich.cells import cell_len

from autodial.cli.output import PlainTable, titles
from autodial.cli.russian import RUSSIAN
from autodial.model.operator import PresenceRules
from autodial.rules.end_policy import EndPolicy
from autodial.rules.phone_numbers import Refused
from autodial.store import attempt_end, days_off, delivery, flags, ledger, outbox, presence, tasks
from bitrix24 import Employee, LoginEvent, Presence
from tests.integration.cli.test_cli import LONG_AGO, path, told  # noqa: F401  # fixtures
from tests.integration.conftest import NOON
from tests.integration.store.test_ledger import BUSY, PHONE, TALKED, dial, portal_task
from tests.reference import ROWS

Run = Callable[..., Any]
CLI = Path(__file__).parents[3] / "autodial/cli"
#: A name of twenty letters.
NAME = "Константинопольская Я"
#: Words that are the same in both languages: names of programs, keys, and what a trunk said.
NAMES = re.compile(
    r"""'[^']*'|"[^"]*"|\[\[?[a-z_.]+\]\]?(\ \w+)?|--[a-z-]+|autodial(\ [a-z-]+)?|id|carrier\d
        |SIP.\d+.\w+(.\w+)*|[tT]\d+-\d+|call-now|UTC|CRM|manager|Asterisk|push|CONTACT|[+/\w.-]*\d\S*
        |preset|tzdata|(?<=\s)[a-z_]+(?=\s*=)""",
    re.VERBOSE,
)

COMMANDS = (
    ("tasks",), ("tasks", "--all"), ("operators",), ("outbox",), ("status",), ("do-not-call",),
    ("presence", "--days", "3660"), ("why", "9000"), ("why", "9001"), ("why", "9002"),
    ("why", "--operator", "101"), ("show", "9000"), ("show", "9001"), ("day-off",),
    ("pause", "101"), ("resume", "101"), ("resume", "101"), ("pause", "--until", "2099-01-01"),
    ("resume",), ("call-now", "9002"), ("call-now", "1"), 
    ("skip", "9002"), ("skip", "1"), ("skip", "9002", "--undo"), ("show", "1"), ("why", "1"),
    ("simulate", "--tasks", "3", "--date", "2026-11-23", "--operators", "1,2"),
    ("reload",), ("day-off", "2099-01-01"), ("day-off", "2099-01-01", "--remove"),
    ("day-off", "2020-01-01"), ("pause", "--until", "soon"), ("pause", "999"),
    ("tasks", "--late"), ("tasks", "--client", "x"), ("report", "--day", "2026-11-23"),
    ("report", "--day", "2026-11-23", "--by", "trunk"),
    ("report", "--from", "2026-11-23", "--to", "2026-11-23", "--by", "weekday"),
    ("report", "--day", "2026-11-23", "--by", "outcome"), ("report", "--to", "2026-11-23"),
    ("calls", "+442079460001"), ("audit",), ("calls", "--day", "2026-11-23"),
    ("do-not-call", "--add", "+442079460001"), ("do-not-call", "--add", "12"),
)  # fmt: skip


@pytest.fixture
def full(told: Callable[..., Result], run: Run) -> Callable[..., Result]:  # noqa: F811
    """``autodial`` on a store that has something of everything."""
    rules = PresenceRules(active_within=NOON - LONG_AGO)
    person = Employee(id=501, name=NAME, extension="101", active=True, online=True, last_login=NOON)
    away = evolve(person, id=502, extension="102", online=False)
    there = {501: Presence(last_activity=NOON, working_day="opened")}
    run(presence.save_staff, [person, away], there, NOON, rules)
    run(presence.save_phones, {"101": "RINGINUSE"})
    run(presence.save_logins, [LoginEvent(id=1, user=501, login=True, at=NOON)], NOON)
    for number, report in ((9000, BUSY), (9001, TALKED), (9002, None)):
        phone = evolve(PHONE, number=f"+44207946{number - 9000:04}", client=NAME, entity_id=number)
        refused = (Refused("?", "phone.unreadable", NAME),)
        task = evolve(portal_task(number), title=NAME)
        imported = tasks.Imported(task, (phone,), refused, needs_confirmation=report is None)
        run(tasks.save_tasks, [imported], NOON, asked=NOON)
        if report is not None:
            attempt = dial(run, number)
            run(ledger.claim, attempt, NOON)
            run(attempt_end.record, attempt, evolve(report, trunk="carrier1"), NOON, EndPolicy())
    run(delivery.bury, run(outbox.next_message, NOON), "?", NOON)
    run(flags.mark, datetime.now(UTC), flags.STALLED)
    run(days_off.add, (datetime.now(UTC) + timedelta(days=3)).date(), NOON, "")
    return told


def test_at_80_columns_a_row_is_a_line_and_names_are_whole(
    full: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for language in ("en_GB.UTF-8", "ru_RU.UTF-8"):
        monkeypatch.setenv("LC_ALL", language)
        for command in ("tasks", "operators"):
            lines = full(command).output.splitlines()
            assert max(map(cell_len, lines)) <= 80
            assert 2 <= sum(line.count(NAME) for line in lines), lines
        for words in (("simulate", "--tasks", "3", "--date", "2026-11-23"), ("status",)):
            table = full(*words).output.split("\n")[-4:]
            assert max(map(cell_len, table)) <= 80


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_russian_is_russian(
    full: Callable[..., Result], command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "ru_RU.UTF-8")
    if command == ("resume",):
        full("pause")
    output = full(*command).output
    ours = re.sub(r"^(Usage|Try|Error|rules|portal|fastagi|asterisk):?.*?(:|$)", "", output,
                  flags=re.MULTILINE)  # fmt: skip

    ours = re.sub(r"(не записано): .*", r"\1", ours)  # the portal's own words
    assert [] == re.findall("[A-Za-z]{2,}", NAMES.sub("", ours)), output
    assert re.search("[а-я]", output), output


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_english_is_english(
    full: Callable[..., Result], command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "en_GB.UTF-8")
    output = full(*command).output

    assert [] == re.findall("[а-яё]+", output.replace(NAME, "").replace("Позвонить", "")
                            .replace("Иван", "").replace("Анна", "")), output  # fmt: skip


@pytest.mark.parametrize("command", [name for name in ROWS if name != "groups"])
def test_json_has_the_documented_keys(full: Callable[..., Result], command: str) -> None:
    words = {"why": "why 9000", "why --operator": "why --operator 101", "show": "show 9000",
             "presence": "presence --days 3660"}.get(command, command)  # fmt: skip
    rows = json.loads(full(*words.split(), "--json").output)

    keys = {field.name for field in fields(ROWS[command])}
    assert all(keys == row.keys() for row in rows)
    assert rows or command in ("do-not-call", "nodes")


@pytest.mark.parametrize(
    ("locale", "expected"),
    [("ru_RU.UTF-8", "срок"), ("en_US", "due"), ("C", "срок"), ("POSIX", "срок"), ("", "срок")],
)
def test_the_locale_decides_and_without_one_the_configuration(
    full: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, locale: str, expected: str
) -> None:
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", locale)

    assert expected in full("tasks").output.splitlines()[0]


def english() -> Iterator[str]:
    """Every text of the commands, in English."""
    for file in CLI.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                texts = [str(a.value) for a in node.args if isinstance(a, ast.Constant)]
                if node.func.id == "tr":
                    yield from texts[:1]
                elif node.func.id in (PlainTable.__name__, titles.__name__):
                    yield from filter(None, texts)
            elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_DETAILS":
                assert isinstance(node.value, ast.Dict)
                yield from (ast.literal_eval(value) for value in node.value.values)


def places(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


def test_every_text_has_its_russian_one_and_none_is_left_over() -> None:
    assert set(english()) == set(RUSSIAN)
    assert [] == [text for text, russian in RUSSIAN.items() if places(text) != places(russian)]


def test_a_table_that_cannot_fit_is_cut_in_what_matters_least() -> None:
    table = PlainTable("name", "what", "portal", whole=("name",), optional=("portal",))
    table.add_row("n" * 20, "w" * 40, "p" * 40)

    assert [20, 40, 40] == [column.width for column in table.fitting(None).columns]
    assert [20, 18, 18] == [column.width for column in table.fitting(60).columns]
    assert [20, 8] == [column.width for column in table.fitting(30).columns]
    assert [20, 8] == [column.width for column in table.fitting(10).columns]
