"""
Put the dialler's files on a PBX, or take them away: ``./install.sh production`` runs this.

Everything is planned first, as texts before and after, so that ``--dry-run`` shows exactly what
would be done. What is a site's own stays: its configuration, its globals, its own lines. A second
run changes nothing. If Asterisk does not come up with the new dialplan, all files are put back.

Standard library only: ``--dry-run`` works before anything is installed.
"""

import argparse
import difflib
import grp
import os
import pwd
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from errno import ELOOP
from pathlib import Path
from secrets import token_hex
from tempfile import mkstemp

#: Where a site's own text ends and ours begins, in files that are not ours.
BEGIN, END = "; --- Autodial24: begin (./install.sh production) ---", "; --- Autodial24: end ---"
INCLUDES = '#tryinclude "autodial-globals.conf"\n#tryinclude "autodial.conf"\n'
#: The manager's user, its rights, and from which Asterisk on events are filtered by name.
USER, READ, WRITE, BY_NAME = "autodial", "system,call,reporting", "reporting", 22
EVENTS = (
    "FullyBooted", "DeviceStateChange", "DeviceStateListComplete", "CoreShowChannel",
    "CoreShowChannelsComplete", "DBGetTreeResponse", "DBGetTreeComplete",
)  # fmt: skip
VARIABLE = "AD_ID"
#: A new file of more lines is only named in a dry run.
LONG = 40


class InstallError(Exception):
    """The installation cannot go on; the text says what to do."""


@dataclass(frozen=True)
class Change:
    """One file: its text before and after (None: no file), its mode and owner afterwards."""

    path: Path
    before: str | None
    after: str | None
    mode: int = 0o644
    owner: tuple[int, int] = (0, 0)

    @property
    def needed(self) -> bool:
        return self.before != self.after

    def diff(self) -> str:
        """For people; a secret is never shown."""
        old, new = (_shown(text) for text in (self.before, self.after))
        if old is None and new is not None and (length := new.count("\n")) > LONG:
            return f"--- /dev/null\n+++ {self.path}\n@@ a new file of {length} lines @@"
        before, after = (str(self.path) if text is not None else "/dev/null" for text in (old, new))
        lines = difflib.unified_diff(
            (old or "").splitlines(), (new or "").splitlines(), before, after, lineterm="", n=2
        )
        return "\n".join(lines)


def _shown(text: str | None) -> str | None:
    if text is None:
        return None
    return re.sub(
        r"(?m)^((?:ami_)?secret|AD_SECRET|webhook)(\s*=\s*)(\S.*)$", r"\1\2(not shown)", text
    )


@dataclass(frozen=True)
class Site:
    """A PBX as it is found. ``root``: its root directory, ``/`` but for tests."""

    root: Path
    version: int  #: Asterisk's major version
    freepbx: bool
    spool: str  #: Asterisk's spool directory, in its own words
    user: str
    owner: tuple[int, int]  #: Asterisk's user and group
    texts: Mapping[str, str] = field(default_factory=dict)

    @property
    def etc(self) -> Path:
        return self.root / "etc/asterisk"

    def read(self, path: Path) -> str | None:
        """
        The file's text, byte for byte (line ends, too); None: there is no file.

        Raises:
            InstallError: it is a link. Asterisk's user could have root read any file by one.
        """
        try:
            file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno == ELOOP:
                raise InstallError(f"{path} is a link: put the file itself there") from None
            raise
        with os.fdopen(file, "rb") as stream:
            return stream.read().decode("utf-8", "surrogateescape")


def look(root: Path, version: str) -> Site:
    """
    The PBX at ``root``; ``version``: what ``asterisk -V`` says.

    Raises:
        InstallError: there is none, or an unknown one.
    """
    etc = root / "etc/asterisk"
    if not (etc / "extensions.conf").exists():
        raise InstallError(f"{etc} has no extensions.conf: is Asterisk installed on this host?")
    number = re.search(r"Asterisk (?:certified[/-])?(\d+)", version)
    if number is None or int(number[1]) < 16:
        raise InstallError(f"Asterisk 16.4 or later is needed; found: {version.strip() or 'none'}")
    settings = (etc / "asterisk.conf").read_text() if (etc / "asterisk.conf").exists() else ""
    spool = _directory(settings, "astspooldir", "/var/spool/asterisk")
    outgoing = root / spool.lstrip("/") / "outgoing"
    if not outgoing.is_dir():
        raise InstallError(f"{outgoing} is no directory: start Asterisk once, then run this again")
    status = outgoing.stat()
    try:
        user = pwd.getpwuid(status.st_uid).pw_name
    except KeyError:
        user = str(status.st_uid)
    freepbx = (root / "etc/freepbx.conf").exists() or (etc / "extensions_additional.conf").exists()
    return Site(root, int(number[1]), freepbx, spool, user, (status.st_uid, status.st_gid))


def _directory(settings: str, name: str, default: str) -> str:
    found = re.search(rf"(?m)^\s*{name}\s*=>?\s*(\S+)", settings)
    return found[1] if found else default


def plan(site: Site, source: Path) -> list[Change]:
    """Everything that an installation, or an upgrade, changes. ``source``: the release."""
    secret = _secret(site) or token_hex(32)
    manager, port = _manager(site)
    ami_secret = _manager_secret(site) or token_hex(24)
    changes = [
        *_dialplan(site, source, secret),
        Change(
            manager, site.read(manager), _manager_text(site, manager, ami_secret), 0o640, site.owner
        ),
        *_configuration(site, source, secret, ami_secret, port),
        *_units(site, source),
        *_manual(site, source),
    ]
    return [change for change in changes if change.needed]


def _dialplan(site: Site, source: Path, secret: str) -> Iterator[Change]:
    contexts = site.etc / "autodial.conf"
    shipped = (source / "dialplan/autodial.conf").read_text(encoding="utf-8")
    yield Change(contexts, site.read(contexts), shipped, 0o640, site.owner)
    path = site.etc / "autodial-globals.conf"
    present = site.read(path)
    text = present
    if text is None:
        text = (source / "dialplan/autodial-globals.conf").read_text(encoding="utf-8")
        if site.freepbx:
            text = re.sub(r"(?m)^AD_VIA =.*$", "AD_VIA = from-internal", text)
    text = _with_secret(text, secret)
    yield Change(path, present, text, 0o640, site.owner)
    including = site.etc / ("extensions_custom.conf" if site.freepbx else "extensions.conf")
    present = site.read(including)
    text = present or ""
    if not re.search(r'(?m)^\s*#(?:try)?include\s+"?autodial\.conf', text):
        text = _with_block(text, INCLUDES)
    yield Change(including, present, text, 0o640, site.owner)


def _with_secret(text: str, secret: str) -> str:
    line = f"AD_SECRET = {secret}"
    if re.search(r"(?m)^AD_SECRET[ \t]*=", text):
        return re.sub(r"(?m)^AD_SECRET[ \t]*=>?[^\n]*$", line, text, count=1)
    if not re.search(r"(?m)^\[globals\]", text):
        text = f"[globals]\n{text}"
    return re.sub(r"(?m)^(\[globals\][^\n]*)$", rf"\1\n{line}", text, count=1)


def _secret(site: Site) -> str:
    """The secret that dialplan and dialler share already."""
    text = site.read(site.etc / "autodial-globals.conf") or ""
    found = re.search(r"(?m)^AD_SECRET[ \t]*=>?[ \t]*([A-Za-z0-9_-]{16,})", text)
    return found[1] if found else ""


def _with_block(text: str, ours: str) -> str:
    """A text with our block at its end, in the place of an earlier one."""
    rest = _without_block(text)
    if rest and not rest.endswith("\n"):
        return f"{rest}\n{BEGIN}\n{ours}{END}"  # removed, it leaves the last line as it was
    return f"{rest}{BEGIN}\n{ours}{END}\n"


def _without_block(text: str) -> str:
    text = re.sub(rf"(?s)\n{re.escape(BEGIN)}\n.*?{re.escape(END)}\Z", "", text)
    return re.sub(rf"(?s){re.escape(BEGIN)}\n.*?{re.escape(END)}\n?", "", text)


def _manager(site: Site) -> tuple[Path, int]:
    """The file for our manager user, and the manager's port."""
    main = site.read(site.etc / "manager.conf") or ""
    port = re.search(r"(?m)^\s*port\s*=>?\s*(\d+)", main)
    number = int(port[1]) if port else 5038
    if re.search(r'(?m)^\s*#(?:try)?include\s+"?manager\.d/\*\.conf', main):
        return site.etc / "manager.d/autodial.conf", number
    if site.freepbx and re.search(r'(?m)^\s*#(?:try)?include\s+"?manager_custom\.conf', main):
        return site.etc / "manager_custom.conf", number
    return site.etc / "manager.conf", number


def _manager_texts(site: Site) -> dict[Path, str]:
    """The manager's configuration without what is ours."""
    files = [site.etc / "manager.conf", *sorted((site.etc / "manager.d").glob("*.conf"))]
    files += [site.etc / "manager_additional.conf", site.etc / "manager_custom.conf"]
    ours = site.etc / "manager.d/autodial.conf"
    return {file: _without_block(site.read(file) or "") for file in files if file != ours}


def _manager_secret(site: Site) -> str:
    path, _ = _manager(site)
    section = re.search(rf"(?ms)^\[{USER}\](.*?)(?=^\[|\Z)", site.read(path) or "")
    found = re.search(r"(?m)^secret\s*=>?\s*(\S+)", section[1]) if section else None
    return found[1] if found else ""


def _manager_text(site: Site, path: Path, secret: str) -> str:
    """Our manager user, and what [general] lacks."""
    others = _manager_texts(site)
    if any(re.search(rf"(?m)^\[{USER}\]", text) for text in others.values()):
        return site.read(path) or ""  # made by hand: it stays as it is
    general = "\n".join(
        found[1]
        for text in others.values()
        for found in re.finditer(r"(?ms)^\[general\][^\n]*\n(.*?)(?=^\[|\Z)", text)
    )
    lines = []
    if not re.search(r"(?mi)^\s*enabled\s*=>?\s*(yes|true|on|1)", general):
        lines += ["enabled = yes", "bindaddr = 127.0.0.1"]
    named = [
        name.strip()
        for found in re.finditer(r"(?m)^\s*channelvars\s*=>?\s*([^;\n]*)", general)
        for name in found[1].split(",")
    ]
    if VARIABLE not in named:
        lines.append(f"channelvars = {','.join([*filter(None, named), VARIABLE])}")
    head = ["[general](+)", *lines, ""] if lines else []
    user = [
        f"[{USER}]", f"secret = {secret}", "deny = 0.0.0.0/0.0.0.0",
        "permit = 127.0.0.1/255.255.255.255", f"read = {READ}", f"write = {WRITE}",
    ]  # fmt: skip
    ours = "\n".join([*head, *user, *_filters(site.version)]) + "\n"
    if path.parent.name == "manager.d":
        return f"{BEGIN}\n{ours}{END}\n"
    return _with_block(site.read(path) or "", ours)


def _filters(version: int) -> list[str]:
    """The events that the dialler wants, and none of Local channels."""
    if version < BY_NAME:
        return [
            *(f"eventfilter = Event: {name}" for name in EVENTS),
            "eventfilter = !Device: Local/",
        ]
    extra = {"DeviceStateChange": (",header(Device),method(starts_with)", " PJSIP/")}
    return [
        f"eventfilter(action(include),name({name}){extra.get(name, ('', ''))[0]}) ="
        f"{extra.get(name, ('', ''))[1]}"
        for name in EVENTS
    ]


def _configuration(
    site: Site, source: Path, secret: str, ami_secret: str, port: int
) -> Iterator[Change]:
    """Only where there is none: ``autodial init`` fills it, and a person edits it."""
    path = site.root / "etc/autodial24/autodial.toml"
    present = site.read(path)
    if present is not None:
        return
    text = (source / "autodial/config/autodial.example.toml").read_text(encoding="utf-8")
    for old, new in (
        ('#secret = ""', f'secret = "{secret}"'),
        ('ami_secret = "put-the-secret-here"', f'ami_secret = "{ami_secret}"'),
        ("ami_port = 5038", f"ami_port = {port}"),
        ('spool = "/var/spool/asterisk/outgoing"', f'spool = "{site.spool}/outgoing"'),
    ):
        if old not in text:
            raise InstallError(f"autodial.example.toml lacks the line {old}")
        text = text.replace(old, new)
    yield Change(path, None, text, 0o600, site.owner)


def _manual(site: Site, source: Path) -> Iterator[Change]:
    path = site.root / "usr/local/share/man/man1/autodial.1"
    yield Change(path, site.read(path), (source / "deploy/autodial.1").read_text(encoding="utf-8"))


def _units(site: Site, source: Path) -> Iterator[Change]:
    for name in ("autodial24.service", "autodial24.socket"):
        path = site.root / "etc/systemd/system" / name
        text = (source / "deploy" / name).read_text(encoding="utf-8")
        text = text.replace("User=asterisk\n", f"User={site.user}\n")
        text = text.replace("/var/spool/asterisk/", f"{site.spool}/")
        yield Change(path, site.read(path), text)


def removal(site: Site, *, purge: bool) -> list[Change]:
    """Everything that goes; ``purge``: the configuration and the store's directory, too."""
    ours = [
        site.etc / "autodial.conf", site.etc / "manager.d/autodial.conf",
        site.root / "etc/systemd/system/autodial24.service",
        site.root / "etc/systemd/system/autodial24.socket",
        site.root / "usr/local/share/man/man1/autodial.1",
    ]  # fmt: skip
    if purge:
        ours += [site.etc / "autodial-globals.conf", site.root / "etc/autodial24/autodial.toml"]
    changes = [Change(path, site.read(path), None) for path in ours]
    for name in (
        "extensions.conf", "extensions_custom.conf", "manager.conf", "manager_custom.conf",
    ):  # fmt: skip
        path = site.etc / name
        text = site.read(path)
        if text is not None:
            changes.append(Change(path, text, _without_block(text), 0o640, site.owner))
    return [change for change in changes if change.needed]


def write(change: Change, text: str | None) -> None:
    """Through a new file beside it: a crash leaves the old or the new one."""
    path = change.path
    if text is None:
        path.unlink(missing_ok=True)
        return
    mode, owner = change.mode, change.owner
    if path.exists():  # a site's own file keeps its own
        status = path.stat()
        mode, owner = status.st_mode & 0o7777, (status.st_uid, status.st_gid)
    handle, draft = mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(text.encode("utf-8", "surrogateescape"))
            os.fchmod(handle, mode)
            if os.geteuid() == 0:
                os.fchown(handle, *owner)
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise


def directories(site: Site) -> None:
    """Ours, for Asterisk's user alone."""
    for name in ("etc/autodial24", "var/lib/autodial24"):
        path = site.root / name
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.geteuid() == 0:
            os.chown(path, *site.owner)
        path.chmod(0o700)
    for name in ("etc/systemd/system", "usr/local/share/man/man1"):
        (site.root / name).mkdir(parents=True, exist_ok=True)


def asterisk(*command: str) -> str:
    """What the running Asterisk says to a command of its console; empty: it does not run."""
    try:
        done = subprocess.run(
            ["asterisk", "-rx", " ".join(command)],
            capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def reload() -> str | None:
    """Have Asterisk read its files; what is missing then, or None."""
    if not asterisk("core show version"):
        return "Asterisk does not run: start it, and run this again"
    for command in ("dialplan reload", "manager reload"):
        asterisk(command)
    for command, word in (
        ("dialplan show autodial-out", "autodial-out"),
        ("dialplan show globals", "AD_AGI"),
        (f"manager show user {USER}", USER),
    ):
        if word not in asterisk(command):
            return f"after the reload 'asterisk -rx \"{command}\"' does not show {word}"
    return None


def install(site: Site, source: Path, *, dry_run: bool) -> int:
    """Plan, show or do it, and see that Asterisk has it; otherwise put everything back."""
    changes = plan(site, source)
    for change in changes:
        print(change.diff() if dry_run else f"   {change.path}")
    if dry_run:
        print(f"\n{len(changes)} files would be changed; nothing was.")
        return 0
    directories(site)
    done: list[Change] = []
    try:
        for change in changes:
            write(change, change.after)
            done.append(change)
        problem = reload()
        if problem is not None:
            raise InstallError(problem)
    except (OSError, InstallError) as error:
        for change in reversed(done):
            write(change, change.before)
        reload()
        print(f"production: {error}. All files are as they were before.", file=sys.stderr)
        return 1
    print("   nothing to change" if not changes else "   Asterisk has them")
    return 0


def uninstall(site: Site, *, dry_run: bool, purge: bool) -> int:
    changes = removal(site, purge=purge)
    for change in changes:
        print(change.diff() if dry_run else f"   {change.path}")
        if not dry_run:
            write(change, change.after)
    if not dry_run:
        for command in ("dialplan reload", "manager reload"):
            asterisk(command)
    return 0


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="install.sh production", description=__doc__)
    parser.add_argument("what", choices=("install", "uninstall", "user"))
    parser.add_argument("--dry-run", action="store_true", help="show every change, make none")
    parser.add_argument("--purge", action="store_true", help="uninstall: the configuration, too")
    parser.add_argument("--root", type=Path, default=Path("/"), help=argparse.SUPPRESS)
    parser.add_argument("--asterisk-version", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    try:
        version = given.asterisk_version or _version()
        site = look(given.root, version)
        if given.what == "user":
            print(site.user, grp.getgrgid(site.owner[1]).gr_name)
            return 0
        if given.what == "uninstall":
            return uninstall(site, dry_run=given.dry_run, purge=given.purge)
        return install(site, Path(__file__).parents[1], dry_run=given.dry_run)
    except BrokenPipeError:  # "| head"
        return 0
    except (InstallError, OSError) as error:
        print(f"production: {error}", file=sys.stderr)
        return 1


def _version() -> str:
    try:
        return subprocess.run(
            ["asterisk", "-V"], capture_output=True, text=True, timeout=10, check=False
        ).stdout
    except OSError:
        return ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
