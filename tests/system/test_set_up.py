"""A defective set-up is reported by doctor and by the dialler, and nobody is dialled."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from autodial import texts
from autodial.model.outcome import Outcome
from demo.rig import Rig
from tests.system import scene

SITE = "[globals]\nSITE_OWN = 1\n"
OURS = '#include "autodial-globals.conf"\n#include "demo-globals.conf"\n'


@pytest.fixture(scope="module")
def rig(house: Callable[..., Rig]) -> Rig:
    rig = house(extensions=("101",), operator_rings=0.3, operator_talks=1)
    rig.operator(501, "101")
    rig.start_dialler()
    scene.staff(rig, e101="talks")
    return rig


@pytest.fixture
def pbx_as_it_was(rig: Rig) -> Iterator[None]:
    yield
    rig.exchange.pbx.cli("dialplan reload")
    rig.restore_server()
    rig.exchange.pbx.cli("dialplan set global AD_WAITING r")


def doctor(rig: Rig) -> tuple[int, str]:
    command = [sys.executable, "-m", "autodial", "--config", str(rig.config), "doctor"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout


def sentence(key: str, detail: str = "") -> str:
    return texts.text(key, "en", detail=detail)


def test_doctor_is_content_with_the_demo(rig: Rig) -> None:
    code, output = doctor(rig)

    assert (0, True) == (code, f"+ asterisk: {sentence('dialplan.well')}" in output), output
    assert f"+ fastagi: {sentence('fastagi.reached')}" in output, "by a call file and the dialplan"
    assert [] == [line for line in output.splitlines() if line.startswith("- ")]


@pytest.mark.parametrize(
    ("harm", "key"),
    [
        ("dialplan set global AD_SECRET 00000000000000000000000000000000", "fastagi.unreached"),
        ("dialplan remove context autodial-check", "fastagi.unreached"),
    ],
)
def test_what_keeps_asterisk_from_the_server_is_named(
    rig: Rig, pbx_as_it_was: None, harm: str, key: str
) -> None:
    rig.exchange.pbx.cli(harm)
    code, output = doctor(rig)

    assert (1, True) == (code, f"- fastagi: {sentence(key)}" in output), output
    assert [] == list(rig.exchange.spool.glob("autodial-check-*"))


def test_a_spool_that_no_asterisk_looks_into_is_named(rig: Rig, tmp_path: Path) -> None:
    other = tmp_path / "outgoing"
    other.mkdir()
    old = rig.config.read_text()
    rig.config.write_text(old.replace(str(rig.exchange.spool), str(other)))
    try:
        code, output = doctor(rig)
    finally:
        rig.config.write_text(old)

    assert (1, True) == (code, f"- fastagi: {sentence('fastagi.untouched')}" in output), output
    assert [] == list(other.glob("*.call"))


@pytest.mark.parametrize(
    ("harm", "key", "detail"),
    [
        ("dialplan set global AD_AGI ''", "dialplan.globals", "AD_AGI"),
        (
            "dialplan set global AD_AGI agi://127.0.0.1:9",
            "dialplan.address", "agi://127.0.0.1:9 / {port}",
        ),
        ("dialplan remove context autodial-end", "dialplan.contexts", "autodial-end"),
        ("dialplan set global AD_VIA from-nowhere", "dialplan.via", "from-nowhere"),
    ],
)  # fmt: skip
def test_what_the_dialplan_lacks_is_named_and_nobody_is_dialled(
    rig: Rig, pbx_as_it_was: None, harm: str, key: str, detail: str
) -> None:
    """Otherwise each task in turn would end as "line failed", with a comment."""
    detail = detail.format(port=rig.port)
    named, logged = sentence(key, detail), texts.text(key, "ru", detail=detail)
    since = rig.log.stat().st_size
    rig.exchange.pbx.cli(harm.replace("''", '""'))
    code, output = doctor(rig)
    assert (1, True) == (code, f"asterisk: {named}" in output)
    rig.restart_dialler()
    rig.wait(lambda: logged in rig.said(since), "the dialler's own word")
    task = rig.task("02", responsible=501)
    rig.wait(lambda: scene.reasons(rig)["dialplan"] == 1, "the task to wait for the dialplan")
    assert [] == scene.attempts(rig, task)

    rig.exchange.pbx.cli("dialplan reload")
    rig.restore_server()
    rig.exchange.pbx.cli("dialplan set global AD_WAITING r")
    rig.exchange.pbx.cli('dialplan set global AD_VIA ""')
    scene.wait_for_reports(rig, [task])
    assert Outcome.TALKED is scene.outcome(rig, task)


def test_a_client_who_would_hear_silence_is_named(rig: Rig, pbx_as_it_was: None) -> None:
    """A wrong AD_WAITING is a warning only, because the calls work."""
    rig.exchange.pbx.cli('dialplan set global AD_WAITING ""')
    code, output = doctor(rig)

    assert (0, True) == (code, f"asterisk: {sentence('dialplan.globals', 'AD_WAITING')}" in output)


def test_a_published_port_is_no_mistake(rig: Rig) -> None:
    old = rig.config.read_text()
    rig.exchange.pbx.cli("dialplan set global AD_AGI agi://127.0.0.1:9")
    rig.config.write_text(old.replace("[fastagi]", "[fastagi]\npublished_port = 9"))
    try:
        code, output = doctor(rig)
    finally:
        rig.config.write_text(old)
        rig.restore_server()

    assert f"+ asterisk: {sentence('dialplan.well')}" in output
    assert f"- fastagi: {sentence('fastagi.unreached')}" in output, "nothing forwards that port"
    assert 1 == code


def test_an_unknown_endpoint_is_named(rig: Rig) -> None:
    old = rig.config.read_text()
    rig.config.write_text(old.replace('"carrier2"', '"carrier9"'))
    try:
        code, output = doctor(rig)
    finally:
        rig.config.write_text(old)

    assert f"asterisk: {sentence('dialplan.trunks', 'carrier9')}" in output
    assert 0 == code, "the other carrier can do the work"


def test_doctor_says_what_the_manager_refuses(rig: Rig) -> None:
    old = rig.config.read_text()
    rig.config.write_text(old.replace(rig.exchange.ami_secret, "wrong"))
    try:
        code, output = doctor(rig)
    finally:
        rig.config.write_text(old)

    assert 1 == code
    assert "Authentication failed" in output


def test_a_refused_login_is_said_once_and_is_no_lost_connection(rig: Rig) -> None:
    since = rig.log.stat().st_size
    asterisk = rig.settings["asterisk"]
    right, asterisk["ami_secret"] = asterisk["ami_secret"], "wrong"
    rig.restart_dialler()
    try:
        rig.wait(lambda: "Asterisk's manager refuses autodial" in rig.said(since), "the refusal")
    finally:
        asterisk["ami_secret"] = right
        rig.restart_dialler()

    assert "cannot be reached" not in rig.said(since)
    assert 1 == rig.said(since).count("Asterisk's manager refuses")


def test_status_knows_of_a_start_and_of_a_stop_at_once(rig: Rig) -> None:
    def status() -> str:
        command = [sys.executable, "-m", "autodial", "--config", str(rig.config), "status"]
        return subprocess.run(command, capture_output=True, text=True, timeout=60).stdout

    rig.stop_dialler()
    assert status().startswith("the dialler does not run; last seen ")
    rig.start_dialler()
    rig.wait(lambda: status().startswith("the dialler runs\n"), "the manager's connection", 8)


@pytest.mark.parametrize("order", ["before", "after", "without"])
def test_our_globals_are_there_wherever_a_site_has_its_own(rig: Rig, order: str) -> None:
    """Of nine public sites, two have no [globals] before the include, or none at all."""
    text = {"before": SITE + OURS, "after": OURS + SITE, "without": OURS}[order]
    pbx = rig.exchange.pbx
    place = pbx.outside / "etc/extensions.conf"
    old = place.read_text()
    contexts = old.partition("[from-phones]")[2]
    place.write_text(f'{text}#include "autodial.conf"\n[from-phones]{contexts}')
    try:
        pbx.stop()
        pbx.start()
        output = pbx.cli("dialplan show globals")
    finally:
        place.write_text(old)
    variables = dict(row.strip().split("=", 1) for row in output.splitlines() if "=" in row)

    assert f"agi://127.0.0.1:{rig.port}" == variables["AD_AGI"]
    assert "r" == variables["AD_WAITING"]
    assert (order != "without") == ("SITE_OWN" in variables)
