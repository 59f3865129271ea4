"""The command line on a real store: what people read, and what programs read."""

import json
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from autodial.cli import main
from autodial.config import Config
from autodial.retry import DEFAULTS
from autodial.store import ledger
from dialplan.demo.rig import toml
from tests.integration.conftest import NOON
from tests.integration.test_ledger import BUSY, bring, dial, portal_task

Run = Callable[..., Any]


@pytest.fixture
def path(config: Config, tmp_path: Path) -> Path:
    """A configuration file."""
    path = tmp_path / "autodial.toml"
    path.write_text(
        toml(
            {
                "portal": {"webhook": "http://127.0.0.1/rest/1/s3cretpath/"},
                "tasks": {"tag": "autodial"},
                "staff": {"departments": [5]},
                "asterisk": {"spool": "/nowhere", "trunks": [{"name": "c", "lines": 1}]},
                "hours": {"zone": "UTC"},
                "store": {"path": str(config.store.path)},
            }
        )
    )
    path.chmod(0o600)
    return path


@pytest.fixture
def told(path: Path, run: Run) -> Callable[..., Result]:
    """``autodial`` on a store in which task 8017 was dialled once and found busy."""
    bring(run, portal_task(8017), portal_task(8018, None))
    attempt = dial(run)
    run(ledger.claim, attempt, NOON)
    run(ledger.record, attempt, BUSY, NOON, DEFAULTS)
    return lambda *words: CliRunner().invoke(main, ["--config", str(path), *words])


def test_tasks(told: Callable[..., Result]) -> None:
    rows = json.loads(told("tasks", "--json").output)
    busy = next(row for row in rows if row["id"] == 8017)

    assert (busy["last"], busy["attempts"], busy["due"]) == ("busy", 1, "2026-11-23T12:20:00+00:00")
    assert "занято" in told("tasks").output


def test_why(told: Callable[..., Result]) -> None:
    said = told("why", "8017").output

    assert "срок ещё не наступил" in said
    assert "23.11. 12:20" in said
    assert told("why", "4711").exit_code == 1


def test_show_tells_the_story(told: Callable[..., Result]) -> None:
    said = told("show", "8017").output
    kinds = [line.split()[3] for line in said.splitlines()]

    assert kinds == ["imported", "spooled", "claimed", "ended"]
    assert [row["kind"] for row in json.loads(told("show", "t8017-1", "--json").output)] == [
        "spooled",
        "claimed",
        "ended",
    ]
    assert "neither a task" in told("show", "nonsense").output
    assert "nothing is known" in told("show", "4711").output


def test_operators(told: Callable[..., Result]) -> None:
    assert json.loads(told("operators", "--json").output) == []
    assert told("operators").exit_code == 0


def test_a_mistake_is_a_sentence_not_a_traceback(tmp_path: Path) -> None:
    said = CliRunner().invoke(main, ["--config", str(tmp_path / "none.toml"), "tasks"])

    assert said.exit_code == 1
    assert "The configuration cannot be used; fix it and start again." in said.output
    assert "Traceback" not in said.output


def test_before_the_first_run(told: Callable[..., Result], config: Config) -> None:
    config.store.path.unlink()

    assert "no store yet" in told("tasks").output


def test_a_store_that_is_not_one(told: Callable[..., Result], config: Config) -> None:
    config.store.path.write_text("not a database, and long enough not to be taken for one " * 99)
    said = told("tasks")

    assert 1 == said.exit_code
    assert "not a database" in said.output and "Traceback" not in said.output


def test_run_says_that_its_port_is_taken(path: Path, tmp_path: Path) -> None:
    """Another dialler is running, or something else sits there."""
    spool = tmp_path / "outgoing"
    spool.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        text = path.read_text().replace("/nowhere", str(spool))
        path.write_text(f"{text}\n[fastagi]\nport = {port}\n")
        done = subprocess.run(
            [sys.executable, "-m", "autodial", "--config", str(path), "run"],
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip

    assert 1 == done.returncode
    assert "is another dialler running?" in done.stderr
    assert "Traceback" not in done.stderr


def test_run_says_what_is_wrong_with_the_spool(path: Path) -> None:
    """The dialler refuses to start, with what to do; in a process of its own, as it is run."""
    done = subprocess.run(
        [sys.executable, "-m", "autodial", "--config", str(path), "run"],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip

    assert done.returncode == 1
    assert "/nowhere is not a directory: set [asterisk] spool" in done.stderr
    assert "Traceback" not in done.stderr
    assert "s3cretpath" not in done.stderr
