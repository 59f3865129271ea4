"""
``autodial secret``: creates the shared secret of dialplan and dialler, and writes it where both
read it. It is never printed.
"""

import os
import re
import tempfile
import tomllib
from errno import ELOOP
from pathlib import Path
from secrets import token_hex
from typing import Any

import click
import tomlkit
from attrs import frozen

from autodial.errors import ConfigError

#: The globals' file on a PBX that is installed as documented.
GLOBALS = Path("/etc/asterisk/autodial-globals.conf")

_GLOBAL = re.compile(r"^AD_SECRET[ \t]*=[ \t]*(?:>[ \t]*)?(\S*)[^\n]*$", re.MULTILINE)


@frozen
class _File:
    """A file that is replaced as a whole and keeps its owner."""

    path: Path
    text: str
    owner: tuple[int, int]
    mode: int

    def write(self, text: str, mode: int, group: int) -> None:
        """Through a new file in the same directory: a crash leaves the old or the new one."""
        handle, draft = tempfile.mkstemp(prefix=f".{self.path.name}.", dir=self.path.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                stream.write(text)
                os.fchmod(handle, mode)
                if os.geteuid() == 0:
                    os.fchown(handle, self.owner[0], group)
            Path(draft).replace(self.path)
        except BaseException:
            Path(draft).unlink(missing_ok=True)
            raise


def _read(path: Path) -> _File:
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(file, encoding="utf-8-sig") as stream:
            status = os.fstat(file)
            owner = (status.st_uid, status.st_gid)
            return _File(path, stream.read(), owner, status.st_mode & 0o777)
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: {error}") from error
    except OSError as error:
        link = "; name the file itself, not a link to it" if error.errno == ELOOP else ""
        raise ConfigError(f"{path}: {error.strerror}{link}") from error


def share_secret(config: Path, dialplan: Path, *, new: bool = False) -> bool:
    """
    Write one secret into both files: the configuration's, else the dialplan's, else a new one.
    False: both had it already.

    Raises:
        ConfigError: a file cannot be read or written, or is not the expected file.
    """
    settings, variables = _read(config), _read(dialplan)
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
    changed = _File(config, _with_key(settings.text, secret), settings.owner, 0o600)
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


def _parsed(file: _File) -> dict[str, Any]:
    try:
        return tomllib.loads(file.text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file.path}: {error}") from error


def _asterisk_group(parsed: dict[str, Any], settings: _File) -> int:
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
