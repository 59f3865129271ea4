"""The reference and the manual page are what the program says of itself."""

import re
import shutil
import subprocess

import pytest

from autodial.config.settings import Config
from tests import reference

RENEW = "python -m tests.reference"


def test_the_reference_is_up_to_date() -> None:
    assert reference.reference() == reference.REFERENCE.read_text(encoding="utf-8"), RENEW


def test_the_manual_page_is_up_to_date() -> None:
    assert reference.manual() == reference.MANUAL.read_text(encoding="utf-8"), RENEW


def test_every_section_of_the_configuration_is_in_it() -> None:
    text = reference.reference()

    for section in Config.model_fields:
        assert f"[{section}" in text or f"`{section} = " in text, section


@pytest.mark.skipif(shutil.which("groff") is None, reason="no groff here")
def test_the_manual_page_is_formatted_without_a_warning() -> None:
    done = subprocess.run(
        ["groff", "-man", "-Tutf8", "-ww", str(reference.MANUAL)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert "" == done.stderr
    shown = re.sub(r".\x08", "", done.stdout)  # bold is printed over itself
    assert "autodial test-call [OPTIONS] [NUMBER]" in shown
