"""The command ``dialplan``: ``check`` reads the site's files."""

import sys
from pathlib import Path

import click

from autodial import texts
from autodial.cli.language import spoken
from autodial.cli.output import say
from autodial.pbx.dialplan_files import check as check_files

EXTENSIONS = Path("/etc/asterisk/extensions.conf")


@click.group("dialplan")
def dialplan_() -> None:
    """Look at the dialplan's files."""


@dialplan_.command("check")
@click.argument("file", type=click.Path(path_type=Path), default=EXTENSIONS)
def check(file: Path) -> None:
    """
    Read extensions.conf and all that it includes: our files missing or old, misspelt variables of
    ours, text from outside in an expression, hooks that do not come back. Exit code 1: something
    serious.
    """
    problems = check_files(file)
    for finding in problems:
        say(f"{'-' if finding.serious else '!'} {finding.sentence(spoken())}")
    if not any(finding.serious for finding in problems):
        say(f"+ {texts.text('files.well', spoken())}")
    if any(finding.serious for finding in problems):
        sys.exit(1)
