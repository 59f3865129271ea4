"""The log as JSON: each event is one object on one line, whatever text it holds."""

import json
import re
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
import pytest_twisted
from twisted.logger import globalLogPublisher
from twisted.python.failure import Failure

from autodial.service.logs import json_line, log_to
from tests.documents import blocks
from tests.integration.cli.test_cli import path  # noqa: F401  # a fixture
from tests.integration.cli.test_printed import HOSTILE, event, obeyed
from tests.integration.house import House


@pytest_twisted.ensureDeferred
async def test_the_documents_show_the_lines_of_a_call(house: House) -> None:
    """But for the clock."""
    log = StringIO()
    observers = [log_to(log, "text"), log_to(log, "json")]
    for observer in observers:
        globalLogPublisher.addObserver(observer)
    try:
        await house.dispatcher.turn()
        house.ask("claim", "t8017-1", "442079460000", "")
        house.ask("result", "t8017-1", "dial", "BUSY", "17", "SIP%20486%20x")
    finally:
        for observer in observers:
            globalLogPublisher.removeObserver(observer)
    shown = [row for block in blocks("docs/operations.md") for row in block.splitlines()]

    assert 4 == len(log.getvalue().splitlines())
    assert set() == set(map(timeless, log.getvalue().splitlines())) - set(map(timeless, shown))


def timeless(line: str) -> str:
    return re.sub(r'^({"time": ")?\d{4}[-+:.T\d]+', r"\1", line)


#: What a terminal obeys, or a log collector would split at.
WILD = (*HOSTILE, "\ud800", "a\x00b", "\x7f", "\x85", "\u200b", "\ufeff", '"}\n{"level": "info"}')


@pytest.mark.parametrize("text", WILD)
def test_a_json_line_is_one_object_with_the_text_as_it_came(text: str) -> None:
    line = json_line(event(attempt=text))
    assert line is not None

    assert ([], 1, "\n") == (obeyed(line), line.count("\n"), line[-1])
    told = json.loads(line)
    assert ["time", "level", "logger", "attempt", "message"] == list(told)
    assert (text, f"{text}: claim refused") == (told["attempt"], told["message"])


def test_a_traceback_is_in_its_json_object() -> None:
    try:
        raise ValueError("x\n{}\x1b[31m")
    except ValueError:
        failure = Failure()
    line = json_line(event(attempt="t1-1", log_failure=failure))
    assert line is not None

    assert ([], 1) == (obeyed(line), line.count("\n"))
    assert "ValueError: x\n{}\x1b[31m" in json.loads(line)["traceback"]


def test_a_json_line_holds_what_the_message_says_and_no_more() -> None:
    """A field that the format leaves out may be a client's number."""
    line = json_line(event(attempt="t1-1", number="442079460000"))

    assert line is not None and "442079460000" not in line


def test_the_clock_of_a_json_line_is_utc() -> None:
    told = json.loads(json_line(event(attempt="t1-1") | {"log_time": 1764151200.25}) or "")

    assert "2025-11-26T10:00:00.250+00:00" == told["time"]
    assert "info" == told["level"]


def test_an_event_of_no_attempt_has_none() -> None:
    told = json.loads(json_line({"log_format": "running", "log_namespace": "x"}) or "")

    assert {"time": None, "level": "", "logger": "x", "message": "running"} == told


def test_what_cannot_be_formatted_is_a_json_line_still() -> None:
    line = json_line({"log_format": "{attempt.missing}\n", "attempt": "t1-1\x1b"})
    assert line is not None

    assert ([], 1) == (obeyed(line), line.count("\n"))
    assert "Unable to format event" in json.loads(line)["message"]


@pytest.mark.parametrize("settings", ["", '[log]\nformat = "text"\n', '[log]\nformat = "json"\n'])
def test_the_log_is_as_configured(path: Path, settings: str) -> None:  # noqa: F811
    """The dialler in a process of its own: it warns, then finds no spool and ends."""
    path.write_text(f"{path.read_text()}\n{settings}")
    done = subprocess.run(
        [sys.executable, "-m", "autodial", "--config", str(path), "run", "--as-root"],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    (line,) = [row for row in done.stderr.splitlines() if "ami_port is not set" in row]

    if "json" in settings:
        told = json.loads(line)
        assert ("warn", "autodial.service.app.Dialler") == (told["level"], told["logger"])
    else:
        assert "[autodial.service.app.Dialler#warn] [asterisk] ami_port" in line
