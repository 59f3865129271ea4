"""``autodial init`` beside a simulated portal and an ``asterisk`` that lists its endpoints."""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from autodial.cli.main import main
from autodial.config.load import load
from autodial.store import in_force, pauses
from autodial.store.database import read
from autodial.store.releases import migrate
from bitrix24.simulator import SimulatedPortal, serve
from bitrix24.simulator.seed import add_operator

EXAMPLE = Path(__file__).parents[3] / "autodial/config/autodial.example.toml"
#: As Asterisk 22 prints them.
ENDPOINTS = r"""
 Endpoint:  <Endpoint/CID.....................................>  <State.....>  <Channels.>
    I/OAuth:  <AuthId/UserName...........................................................>
==========================================================================================

 Endpoint:  101                                                  Not in use    0 of inf
        Aor:  101                                                5
 Endpoint:  carrier1/74950000000                                 Not in use    0 of inf
 Endpoint:  carrier2                                             Unavailable   0 of inf

Objects found: 3
"""


@pytest.fixture
def portal() -> Iterator[tuple[SimulatedPortal, str]]:
    portal = SimulatedPortal()
    add_operator(portal, 501, "101")
    add_operator(portal, 502, "102")
    with serve(portal) as webhook:
        yield portal, webhook


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The configuration that ``install.sh production`` leaves; and an Asterisk's console."""
    console = tmp_path / "bin/asterisk"
    console.parent.mkdir()
    console.write_text(f"#!/bin/sh\ncat <<'END'\n{ENDPOINTS}\nEND\n")
    console.chmod(0o755)
    monkeypatch.setenv("PATH", f"{console.parent}:/usr/bin:/bin")
    path = tmp_path / "autodial.toml"
    text = EXAMPLE.read_text(encoding="utf-8").replace(
        '#secret = ""', 'secret = "0123456789abcdef"'
    )
    path.write_text(f'{text}\n[store]\npath = "{tmp_path}/store/autodial.sqlite"\n')
    path.chmod(0o600)
    return path


Init = Callable[..., Result]


@pytest.fixture
def init(path: Path) -> Init:
    def run(*words: str, answers: str = "") -> Result:
        return CliRunner().invoke(main, ["--config", str(path), "init", *words], input=answers)

    return run


def test_the_answers_are_tried_and_written(
    init: Init, path: Path, portal: tuple[SimulatedPortal, str]
) -> None:
    result = init(answers=f"{portal[1]}\n\ncarrier1:20, carrier2\nзвонок\n")
    assert 0 == result.exit_code, result.output
    config = load(path)

    assert config.portal.webhook is not None
    assert f"{portal[1]}/" == config.portal.webhook.get_secret_value()
    assert portal[1] not in result.output, "a secret is not echoed"
    assert (5,) == config.staff.departments
    assert [("carrier1", 20), ("carrier2", 10)] == [
        (t.name, t.lines) for t in config.asterisk.trunks
    ]
    assert "звонок" == config.tasks.tag
    assert "0123456789abcdef" == config.fastagi.secret.get_secret_value()
    assert 0o600 == path.stat().st_mode & 0o777
    assert "# Time to write up a talk before the next call." in path.read_text()


def test_each_operator_is_shown_with_his_phone(
    init: Init, portal: tuple[SimulatedPortal, str]
) -> None:
    output = init(answers=f"{portal[1]}\n\n\n\n").output

    assert re.search(r"101 +known to Asterisk", output)
    assert re.search(r"102 +no endpoint of that name", output)
    assert "carrier1:10" in output, "proposed: the first endpoint that is nobody's phone"


def test_nobody_is_dialled_after_the_first_start(
    init: Init, path: Path, portal: tuple[SimulatedPortal, str]
) -> None:
    result = init(answers=f"{portal[1]}\n\n\n\n")
    store = load(path).store.path

    assert "autodial resume" in result.output
    assert {pauses.EVERYBODY} == read(store, lambda db: in_force.paused(db, datetime.now(UTC)))
    status = CliRunner().invoke(main, ["--config", str(path), "status"]).output
    assert "PAUSED for everybody" in status


def test_a_second_time_a_running_site_is_not_paused(
    init: Init, path: Path, portal: tuple[SimulatedPortal, str]
) -> None:
    init(answers=f"{portal[1]}\n\n\n\n")
    assert 0 == CliRunner().invoke(main, ["--config", str(path), "resume"]).exit_code
    again = init(answers=f"{portal[1]}\n\n\n\n")

    assert 0 == again.exit_code and "or now by 'autodial reload'" in again.output
    assert set() == read(load(path).store.path, lambda db: in_force.paused(db, datetime.now(UTC)))


def test_a_store_that_was_made_before_is_paused_at_the_first_connection(
    init: Init, path: Path, portal: tuple[SimulatedPortal, str]
) -> None:
    store = load(path).store.path
    migrate(store)
    assert 0 == init(answers=f"{portal[1]}\n\n\n\n").exit_code

    assert {pauses.EVERYBODY} == read(store, lambda db: in_force.paused(db, datetime.now(UTC)))


def test_wrong_answers_are_asked_for_again(
    init: Init, path: Path, portal: tuple[SimulatedPortal, str]
) -> None:
    answers = [
        "portal.example.com", "http://127.0.0.1:9/rest/1/abc/", portal[1],
        "Нет такого", "Call-центр", "carrier9", "bad name!", "carrier2:3", "",
    ]  # fmt: skip
    result = init(answers="\n".join([*answers, ""]))

    assert 0 == result.exit_code, result.output
    for word in (
        "\na webhook's address is written https://", "nothing listens",
        "\nthe portal has no Нет такого", "\nAsterisk has no endpoint carrier9",
        "write NAME or NAME:LINES",
    ):  # fmt: skip
        assert word in result.output
    assert [("carrier2", 3)] == [(t.name, t.lines) for t in load(path).asterisk.trunks]


def test_without_questions(
    init: Init,
    path: Path,
    portal: tuple[SimulatedPortal, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AUTODIAL_WEBHOOK", portal[1])
    options = ("--department", "5", "--tag", "x", "--trunk", "carrier2:7")
    assert 0 == init(*options).exit_code
    assert "x" == load(path).tasks.tag
    before = path.read_text()

    monkeypatch.setenv("AUTODIAL_WEBHOOK", "http://127.0.0.1:9/rest/1/abc/")
    wrong = init(*options)
    assert 1 == wrong.exit_code and "nothing listens" in wrong.output
    assert before == path.read_text(), "a wrong option changes nothing"


def test_what_the_file_says_of_a_trunk_already_stays(
    init: Init, path: Path, portal: tuple[SimulatedPortal, str]
) -> None:
    """Another number would be shown to clients otherwise."""
    own = 'name = "carrier1"\ncaller_ids = ["+442079460999"]'
    path.write_text(path.read_text().replace('name = "carrier1"', own))
    assert 0 == init(answers=f"{portal[1]}\n\ncarrier2:3,carrier1\n\n").exit_code
    trunks = load(path).asterisk.trunks

    assert [("carrier2", 3), ("carrier1", 10)] == [(t.name, t.lines) for t in trunks]
    assert "+442079460999" in path.read_text()


def test_a_site_with_groups_keeps_them(
    init: Init, path: Path, portal: tuple[SimulatedPortal, str]
) -> None:
    text = path.read_text().replace('tag = "autodial"', "group = 7")
    path.write_text(text.replace("departments = [5]", "group = 9"))
    portal[0].groups[9] = [501]
    result = init(answers=f"{portal[1]}\n\n")
    assert 0 == result.exit_code, result.output
    config = load(path)

    assert (7, None) == (config.tasks.group, config.tasks.tag or None)
    assert 9 == config.staff.group and not config.staff.departments


def test_work_groups_are_shown_and_can_be_chosen(
    init: Init, path: Path, portal: tuple[SimulatedPortal, str]
) -> None:
    portal[0].groups[129] = [502]
    result = init(answers=f"{portal[1]}\ngroup Группа 129\ncarrier1\nгруппа 129\n")
    assert 0 == result.exit_code, result.output
    config = load(path)

    assert re.search(r"129 +Группа 129", result.output)
    assert (129, 129) == (config.staff.group, config.tasks.group)
    assert not config.staff.departments and not config.tasks.tag
    assert re.search(r"102 +no endpoint", result.output), "its members"


def test_empty_and_odd_answers_are_asked_for_again(
    init: Init, path: Path, portal: tuple[SimulatedPortal, str]
) -> None:
    result = init(answers=f"{portal[1]}\n,\n5\n,\ncarrier1:0\ncarrier1\n \x1b[31m\nзвонок\n")

    assert 0 == result.exit_code, result.output
    assert 2 == result.output.count("name at least one")
    assert "a tag is a word" in result.output
    assert ("звонок", 10) == (load(path).tasks.tag, load(path).asterisk.trunks[0].lines)


def test_a_webhook_without_rights_is_named(
    init: Init,
    path: Path,
    portal: tuple[SimulatedPortal, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AUTODIAL_WEBHOOK", portal[1])
    portal[0].scopes = frozenset({"task", "user", "department"})
    before = path.read_text()
    result = init()

    assert 1 == result.exit_code
    assert "the webhook lacks scopes: crm, telephony" in result.output
    assert before == path.read_text()
