"""``autodial test-call`` through a real Asterisk: each step is told, nothing else is touched."""

import re
import subprocess
import sys
from collections.abc import Callable

import pytest

from demo.rig import Rig
from tests.system import scene


@pytest.fixture(scope="module")
def rig(house: Callable[..., Rig]) -> Rig:
    rig = house(extensions=("101", "102"), operator_rings=0.3, operator_talks=1)
    rig.operator(501, "101")
    rig.operator(502, "102", "misses")
    rig.start_dialler()
    scene.staff(rig, e101="talks", e102="misses")
    return rig


def call(rig: Rig, *words: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "autodial", "--config", str(rig.config), "test-call", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout + done.stderr


def steps(output: str) -> list[str]:
    found = [re.fullmatch(r" +\d+\.\d\d s  (.*)", line) for line in output.splitlines()]
    return [line[1] for line in found if line is not None]


@pytest.mark.parametrize(
    ("words", "code", "last"),
    [
        (("+44 20 7946 0000", "--operator", "101"), 0, r"talked; carrier1; SIP 200 OK; cause 16.*"),
        (("--dry", "--operator", "101"), 0, r"talked; .*"),
        (("+442079460400", "--operator", "101"), 1, r"busy; carrier1; SIP 486 .*; cause 17"),
        (("--dry", "--operator", "102"), 1, r"the client answered, no operator did.*"),
    ],
)  # fmt: skip
def test_a_call_is_told_step_by_step(
    rig: Rig, words: tuple[str, ...], code: int, last: str
) -> None:
    said = rig.log.stat().st_size
    got, output = call(rig, *words)
    told = steps(output)

    assert "the call file is in the spool" == told[0], output
    assert told[1].startswith("Asterisk took it and asked the dialler: dial "), output
    assert (code, True) == (got, re.fullmatch(last, told[-1]) is not None), output
    if "answered" in told[-1] or "talked" in told[-1]:
        assert f"the client answered; the phone {words[-1]} is to ring" == told[2]
    assert [] == scene.attempts(rig), "no attempt, no outcome"
    assert [] == rig.portal.statistics, "nothing in the portal"
    assert "Traceback" not in rig.said(said)
    assert [] == list(rig.exchange.spool.glob("*.call"))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("nonsense",), "is not dialled: no digits"),
        (("+442079460000, +442079460001",), "name one number"),
        (("112",), "is not dialled: an emergency number"),
        ((), "name a NUMBER, or --dry"),
        (("--dry", "--operator", '1"x'), "no internal number"),
    ],
)
def test_what_cannot_be_called_is_said(rig: Rig, words: tuple[str, ...], expected: str) -> None:
    code, output = call(rig, *words)

    assert 2 == code
    assert expected in output


def test_a_number_nobody_may_call_is_not_called_for_a_test_either(rig: Rig) -> None:
    banned = rig.directory / "banned.txt"
    banned.write_text("+442079460000\n")
    old = rig.config.read_text()
    rig.config.write_text(f'{old}\n[rules]\ndo_not_call = "{banned}"\n')
    try:
        code, output = call(rig, "+442079460000", "--operator", "101")
    finally:
        rig.config.write_text(old)

    assert 1 == code
    assert "do-not-call list" in output


def test_a_name_of_another_test_is_refused(rig: Rig) -> None:
    """Only the last one that was asked for: an old call file calls nobody."""
    before = len(scene.dialled(rig))
    draft = rig.exchange.spool.parent / "tmp/test-1234567890.call"
    draft.write_text(
        "Channel: Local/task@autodial-out/n\nMaxRetries: 0\nContext: autodial-answered\n"
        "Extension: s\nPriority: 1\nSetvar: __AD_ID=test-1234567890\n"
    )
    draft.chmod(0o666)
    draft.rename(rig.exchange.spool / draft.name)
    rig.wait(lambda: not (rig.exchange.spool / draft.name).exists(), "Asterisk to take the file")

    assert before == len(scene.dialled(rig))
