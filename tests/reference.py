"""
``docs/reference.md`` and ``deploy/autodial.1``, made from the program: ``python -m
tests.reference`` writes them, and a test compares.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from attrs import fields

from autodial import texts
from autodial.cli.doctor import Line
from autodial.cli.main import main
from autodial.engine.status_queries import Status, Why
from autodial.model.attempt_states import State
from autodial.model.operator import Operator
from autodial.model.outbox_message import MessageKind
from autodial.model.outcome import Outcome
from autodial.rules.dial_facts import Reason
from autodial.store.dispositions import DoNotCallLine
from autodial.store.events import Told
from autodial.store.nodes import NodeLine
from autodial.store.presence import PresenceLine
from autodial.store.views import MessageLine, OperatorLine, TaskLine
from bitrix24.values import Named

ROOT = Path(__file__).parents[1]
REFERENCE, MANUAL = ROOT / "docs/reference.md", ROOT / "deploy/autodial.1"
FILES = ("autodial/config/autodial.example.toml", "autodial/config/advanced.toml")
#: What the rows of ``--json`` are, by command.
ROWS: Mapping[str, type[Any]] = {
    "tasks": TaskLine,
    "why": Why,
    "why --operator": Operator,
    "show": Told,
    "status": Status,
    "operators": OperatorLine,
    "nodes": NodeLine,
    "presence": PresenceLine,
    "do-not-call": DoNotCallLine,
    "outbox": MessageLine,
    "groups": Named,
    "doctor": Line,
}
#: Findings of ``autodial doctor``, by the beginnings of their keys.
FINDINGS = ("host.", "store.", "fastagi.", "asterisk.", "dialplan.", "check.", "staff.", "files.")


def reference() -> str:
    """The whole document."""
    parts = [
        "# Reference\n\nMade from the program by `python -m tests.reference`. What the words mean"
        " for your work: [operations.md](operations.md), [administration.md](administration.md).",
        "## Commands\n\n" + "\n".join(_commands(main, "autodial")),
        "## Keys of the configuration\n\n" + _table(("section", "key", "what"), _keys()),
        "## JSON\n\nWith `--json` a command prints a list of objects. Keys are added, never"
        " renamed.\n\n"
        + _table(("command", "keys"), [(f"`{name}`", _fields(row)) for name, row in ROWS.items()]),
        "## Why a task waits\n\n" + _table(("key", "English", "Russian"), _reasons()),
        "## Outcomes\n\n" + _table(("key", "English", "Russian"), _words(Outcome)),
        "## States of an attempt\n\n"
        + _table(("key",), [(f"`{state.value}`",) for state in State]),
        "## Messages to the portal\n\n"
        + _table(
            ("key", "English", "Russian"),
            [(f"`{kind.value}`", *_both(f"message.{kind.value}")) for kind in MessageKind],
        ),
        "## Findings of doctor and dialplan check\n\n"
        + _table(
            ("key", "English", "Russian"),
            [
                (f"`{key}`", *_both(key))
                for key in sorted(texts.CATALOGUE)
                if key.startswith(FINDINGS)
            ],
        ),
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _fields(row: type[Any]) -> str:
    return ", ".join(f"`{field.name}`" for field in fields(row))


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    cells = [[cell.replace("|", "\\|") for cell in row] for row in lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def _both(key: str) -> tuple[str, str]:
    entry = texts.CATALOGUE[key]
    return entry["en"].replace("{detail}", "…"), entry["ru"].replace("{detail}", "…")


def _words(kind: "type[Outcome] | type[Reason]") -> list[tuple[str, str, str]]:
    return [(f"`{one.value}`", *_both(one.value)) for one in kind]


def _reasons() -> list[tuple[str, str, str]]:
    return [("`dial`", *_both("dial")), *_words(Reason), ("`exhausted`", *_both("exhausted")),
            ("`skipped`", *_both("skipped"))]  # fmt: skip


def commands(group: click.Group, name: str) -> Iterator[tuple[str, click.Command]]:
    """Each command with its whole name, in the order of the help."""
    context = click.Context(group, info_name=name)
    for word in group.list_commands(context):
        command = group.get_command(context, word)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, f"{name} {word}")
        else:
            yield f"{name} {word}", command


def _commands(group: click.Group, name: str) -> Iterator[str]:
    for whole, command in commands(group, name):
        yield f"### {whole}\n"
        yield f"`{_usage(whole, command)}`\n"
        yield _help(command) + "\n"
        options = list(_options(command))
        if options:
            yield "\n".join(f"- `{spelling}`: {what}" for spelling, what in options) + "\n"


def _usage(whole: str, command: click.Command) -> str:
    pieces = command.collect_usage_pieces(click.Context(command, info_name=whole))
    return " ".join([whole, *pieces])


def _help(command: click.Command) -> str:
    return " ".join((command.help or "").split())


def _options(command: click.Command) -> Iterator[tuple[str, str]]:
    for option in command.params:
        if isinstance(option, click.Option):
            record = option.get_help_record(click.Context(command))
            if record is not None:
                yield record[0], record[1]


def _keys() -> list[tuple[str, str, str]]:
    """Every key, with its default and what the two example files say above it."""
    rows = []
    for name in FILES:
        section, words = "", list[str]()
        for line in (ROOT / name).read_text(encoding="utf-8").splitlines():
            title = re.match(r"#?\[+([a-z_.]+)\]+\s*$", line)
            key = re.match(r"#?([a-z_]+) = (.*)$", line)
            if title is not None:
                section, words = title[1], []
            elif key is not None:
                rows.append((f"`[{section}]`" if section else "", f"`{key[1]} = {key[2]}`",
                             " ".join(words)))  # fmt: skip
                words = []
            elif line.startswith("# "):
                words.append(line[2:].strip())
            else:
                words = []
    return rows


def manual() -> str:
    """The manual page, for ``man autodial``."""
    lines = [
        '.\\" Made from the program by python -m tests.reference',
        '.TH AUTODIAL 1 "" "Autodial24" "User commands"',
        ".SH NAME",
        "autodial \\- work through the call tasks of a Bitrix24 portal with an Asterisk PBX",
        ".SH SYNOPSIS",
        ".B autodial",
        "[\\-\\-config FILE] COMMAND",
        ".SH COMMANDS",
    ]
    for whole, command in commands(main, "autodial"):
        lines += [".SS", f".B {_roff(_usage(whole, command))}", ".PP", _roff(_help(command))]
        for spelling, what in _options(command):
            lines += [".TP", f".B {_roff(spelling)}", _roff(what)]
    lines += [
        ".SH FILES",
        ".TP",
        ".I /etc/autodial24/autodial.toml",
        "The configuration (or \\-\\-config, or the variable AUTODIAL_CONFIG).",
        ".TP",
        ".I /var/lib/autodial24/autodial.sqlite",
        "The store.",
        ".SH ENVIRONMENT",
        "LC_ALL, LC_MESSAGES and LANG choose the language of commands (not of the log); COLUMNS is"
        " the width of tables; AUTODIAL_CONFIG the configuration; AUTODIAL_WEBHOOK what init would"
        " ask for.",
        ".SH EXIT STATUS",
        "0: done. 1: it cannot be done, or doctor found something serious. 2: wrong usage. Of run:"
        " 75: try again later, 78: a person must correct something.",
    ]
    return "\n".join(lines) + "\n"


def _roff(text: str) -> str:
    return text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").lstrip(".")


if __name__ == "__main__":
    REFERENCE.write_text(reference(), encoding="utf-8")
    MANUAL.write_text(manual(), encoding="utf-8")
