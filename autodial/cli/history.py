"""A task's history as lines of text: ``autodial show``."""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from rich.cells import set_cell_size

from autodial import texts
from autodial.cli.language import spoken, tr
from autodial.cli.output import when, words
from autodial.config.settings import Config
from autodial.engine.test_calls import is_test
from autodial.store.events import Told
from autodial.store.views import AttemptLine

#: Columns of a kind of event.
KIND = 18
#: Details that are texts of the program, by their pattern: what is found fills the places.
_DETAILS = {
    r"(\S+) for (.+)": "{0} for {1}",
    r"extension (\S+)": "extension {0}",
    r"already (\w+)": "already {0}",
    r"hand-made call file": "hand-made call file",
    r"(.+): the rules have changed": "{0}: the rules have changed",
    r"talked for task (\d+)": "talked for task {0}",
    r"no longer among the portal's open call tasks": "no longer among the portal's open call tasks",
    r"dial it now, confirmed by a person": "dial it now, confirmed by a person",
}
_UTC = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d) UTC")


def tell(config: Config, events: Sequence[Told], attempts: Mapping[str, AttemptLine]) -> str:
    """The events as lines, one each. ``attempts``: by their ids, with Asterisk's reports."""
    zone = ZoneInfo(config.hours.zone)
    rows = []
    for event in events:
        kind = set_cell_size(words(event.kind, "event"), KIND)
        at = f"{event.at.astimezone(zone):%d.%m. %H:%M:%S}"
        detail = _detail(config, event, attempts.get(event.attempt))
        rows.append(f"{at}  {event.attempt or '-':<12} {kind} {detail}")
    return "\n".join(texts.escaped(row.rstrip()) for row in rows)


def _detail(config: Config, event: Told, attempt: AttemptLine | None) -> str:
    match event.kind:
        case "ended" if is_test(event.attempt):
            return end_of_test(json.loads(event.detail))
        case "ended":
            return "; ".join((words(event.detail), *_report(attempt)))
        case "disposition":
            return words(event.detail)
        case "told portal" | "again":
            return words(event.detail, "message")
        case "portal refused":
            kind, _, error = event.detail.partition(": ")
            return ": ".join((words(kind, "message"), error))
        case "imported":
            return event.detail
        case _:
            return _own(_UTC.sub(lambda found: _local(config, found[1]), event.detail))


def end_of_test(told: Mapping[str, Any]) -> str:
    """The last event of a test call: its outcome, and what Asterisk reported."""
    said = [words(told["outcome"]), told["trunk"], told["tech"]]
    if told["cause"]:
        said.append(tr("cause {number}", number=told["cause"]))
    if told.get("operator") not in (None, "", "talk", "ring"):
        said.append(told["operator"])
    if told["talk"]:
        said.append(texts.lasted(told["talk"], spoken()))
    return "; ".join(filter(None, said))


def _own(detail: str) -> str:
    """A text of the program in the language spoken; any other unchanged."""
    for pattern, english in _DETAILS.items():
        found = re.fullmatch(pattern, detail)
        if found is not None:
            return tr(english).format(*found.groups())
    return detail


def _local(config: Config, moment: str) -> str:
    return when(config, datetime.fromisoformat(moment).replace(tzinfo=UTC))


def _report(attempt: AttemptLine | None) -> list[str]:
    """What Asterisk reported of its end: the trunk, the far side's answer, the cause, the talk."""
    if attempt is None:
        return []
    report, said = attempt.report, []
    if report.get("trunk"):
        said.append(report["trunk"])
    if report.get("tech"):
        said.append(report["tech"])
    if report.get("cause") not in (None, "", "0"):
        said.append(tr("cause {number}", number=report["cause"]))
    if attempt.talk_seconds:
        said.append(texts.lasted(attempt.talk_seconds, spoken()))
    return said
