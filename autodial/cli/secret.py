"""
``autodial secret``: creates the shared secret of dialplan and dialler, and writes it where both
read it. It is never printed.
"""

import re
import tomllib
from pathlib import Path
from secrets import token_hex
from typing import Any

import click
import tomlkit

from autodial.cli.files import SiteFile, read_file
from autodial.errors import ConfigError

#: The globals' file on a PBX that is installed as documented.
GLOBALS = Path("/etc/asterisk/autodial-globals.conf")

_GLOBAL = re.compile(r"^AD_SECRET[ \t]*=[ \t]*(?:>[ \t]*)?(\S*)[^\n]*$", re.MULTILINE)


def share_secret(config: Path, dialplan: Path, *, new: bool = False) -> bool:
    """
    Write one secret into both files: the configuration's, else the dialplan's, else a new one.
    False: both had it already.

    Raises:
        ConfigError: a file cannot be read or written, or is not the expected file.
    """
    settings, variables = read_file(config), read_file(dialplan)
    parsed = _parsed(settings)
    fastagi = parsed.get("fastagi", {})
    if not isinstance(fastagi, dict):
        raise ConfigError(f"{config}: fastagi is a section: write [fastagi]")
    if not re.search(r"^\[globals\]", variables.text, re.MULTILINE):
        raise ConfigError(f"{dialplan}: no [globals] in it; is it autodial-globals.conf?")
    match = _GLOBAL.search(variables.text)
    in_settings, in_dialplan = str(fastagi.get("secret", "")), match[1] if match else ""
    closed = not settings.mode & 0o077 and not variables.mode & 0o027
    if in_settings and in_settings == in_dialplan and closed and not new:
        return False
    secret = (not new and (in_settings or in_dialplan)) or token_hex(32)
    if not re.fullmatch("[A-Za-z0-9_-]{16,128}", secret):
        raise ConfigError("the existing secret is too short or has other characters: use --new")
    changed = SiteFile(config, _with_key(settings.text, secret), settings.owner, 0o600)
    if _parsed(changed) != {**parsed, "fastagi": {**fastagi, "secret": secret}}:
        raise ConfigError(
            f'{config}: this command cannot find its place there; write secret = "" on a line of'
            " its own below a line [fastagi], and run it again"
        )
    try:
        changed.write(changed.text, 0o600, settings.owner[1])
        variables.write(
            _with_global(variables.text, secret), 0o640, _asterisk_group(parsed, settings)
        )
    except OSError as error:
        raise ConfigError(f"{error.filename or config}: {error.strerror}") from error
    return True


def _parsed(file: SiteFile) -> dict[str, Any]:
    try:
        return tomllib.loads(file.text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file.path}: {error}") from error


def _asterisk_group(parsed: dict[str, Any], settings: SiteFile) -> int:
    """
    The group that may read the dialplan's globals: that of Asterisk's spool, by the
    configuration; else the configuration file's own.
    """
    asterisk = parsed.get("asterisk")
    spool = asterisk.get("spool") if isinstance(asterisk, dict) else None
    try:
        return Path(str(spool)).stat().st_gid
    except OSError:
        return settings.owner[1]


def _with_key(text: str, secret: str) -> str:
    """The TOML with ``secret`` in ``[fastagi]``; everything else unchanged, comments too."""
    document = tomlkit.parse(text)
    document.setdefault("fastagi", tomlkit.table())["secret"] = secret
    return tomlkit.dumps(document)


def _with_global(text: str, secret: str) -> str:
    row = f"AD_SECRET = {secret}"
    if _GLOBAL.search(text):
        return _GLOBAL.sub(lambda _: row, text, count=1)
    return re.sub(
        r"^(\[globals\][^\n]*)$",
        lambda head: f"{head[1]}\n{row}",
        text,
        count=1,
        flags=re.MULTILINE,
    )


@click.command()
@click.option(
    "--globals", "dialplan", type=click.Path(path_type=Path), default=GLOBALS, show_default=True,
    help="The dialplan's globals.",
)  # fmt: skip
@click.option("--new", is_flag=True, help="Replace an existing secret.")
@click.pass_obj
def secret(path: Path, dialplan: Path, new: bool) -> None:
    """Create the secret with which the dialplan authenticates to the dialler."""
    if not share_secret(path, dialplan, new=new):
        click.echo(f"{path} and {dialplan} share a secret already")
        return
    click.echo(
        f'written to {path} and {dialplan}; now: asterisk -rx "dialplan reload", and restart the'
        " dialler"
    )
