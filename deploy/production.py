"""
Put the dialler's files on a PBX, or take them away: ``./install.sh production`` runs this.

Everything is planned first, as texts before and after, so that ``--dry-run`` shows exactly what
would be done. What is a site's own stays: its configuration, its globals, its own lines. A second
run changes nothing. If Asterisk does not come up with the new dialplan, all files are put back.

Standard library only: ``--dry-run`` works before anything is installed.
"""

import argparse
import fcntl
import grp
import json
import os
import pwd
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Any

from deploy.files import Change, File, InstallError, read, text_of, write

#: Where a site's own text ends and ours begins, in files that are not ours.
BEGIN, END = "; --- Autodial24: begin (./install.sh production) ---", "; --- Autodial24: end ---"
INCLUDES = '#tryinclude "autodial-globals.conf"\n#tryinclude "autodial.conf"\n'
#: The manager's user, its rights, and from which Asterisk on events are filtered by name.
USER, READ, WRITE, BY_NAME = "autodial", "system,call,reporting", "reporting", (22, 1)
EVENTS = (
    "FullyBooted", "DeviceStateChange", "DeviceStateListComplete", "CoreShowChannel",
    "CoreShowChannelsComplete", "DBGetTreeResponse", "DBGetTreeComplete",
    "DBGetResponse", "DBGetComplete",
)  # fmt: skip
VARIABLE = "AD_ID"
UNITS = ("autodial24.service", "autodial24.socket", "autodial24-board.service")
#: The oldest Asterisk.
OLDEST = (16, 4)
NO_ASTERISK = (
    "is Asterisk installed on this host? Ubuntu has it (apt-get install asterisk); Debian 12 and 13"
    " have no package of it: build it, or take FreePBX's. Then start it and run this again"
)
STOPPED = "Asterisk does not run: start it, and run this again"
_COMMENT = re.compile(r"(?s);--(?!-).*?--;")
#: What a shared secret may be; a shorter one is not accepted by the dialler.
_SECRET = re.compile(r"[A-Za-z0-9_-]{16,128}")


@dataclass(frozen=True)
class Site:
    """A PBX as it is found. ``root``: its root directory, ``/`` but for tests."""

    root: Path
    version: tuple[int, int]  #: Asterisk's
    freepbx: bool
    spool: str  #: Asterisk's spool directory, in its own words
    user: str
    owner: tuple[int, int]  #: Asterisk's user and group

    @property
    def etc(self) -> Path:
        return self.root / "etc/asterisk"

    @property
    def settings(self) -> Path:
        return self.root / "etc/autodial24/autodial.toml"

    def changed(self, path: Path, text: str, *, secret: bool = False) -> Change:
        """
        A file of Asterisk's with another text. A new one is its user's; an existing one keeps mode
        and owner, but for others' rights where it holds a secret.
        """
        before = read(path)
        if before is None:
            return Change(path, None, File(text, 0o640, self.owner))
        mode, owner = before.mode, before.owner
        if secret and mode & 0o027:
            mode, owner = mode & ~0o027, (owner[0], self.owner[1])
        return Change(path, before, File(text, mode, owner))


def look(root: Path, version: str) -> Site:
    """
    The PBX at ``root``; ``version``: what ``asterisk -V`` says.

    Raises:
        InstallError: there is none, or one that cannot be installed on.
    """
    etc = root / "etc/asterisk"
    if not (etc / "extensions.conf").exists():
        raise InstallError(f"{etc} has no extensions.conf: {NO_ASTERISK}")
    number = re.search(r"Asterisk (?:certified[/-]|GIT-)?(\d+)(?:\.(\d+))?", version)
    known = (int(number[1]), int(number[2] or 99)) if number is not None else (0, 0)
    if known < OLDEST:
        if not version.strip():
            raise InstallError(f"no command 'asterisk' answers: {NO_ASTERISK}")
        raise InstallError(f"Asterisk 16.4 or later is needed; found: {version.strip()}")
    spool = _spool(root)
    outgoing = root / spool.lstrip("/") / "outgoing"
    if not outgoing.is_dir():
        raise InstallError(f"{outgoing} is no directory: start Asterisk once, then run this again")
    status = outgoing.stat()
    user = name_of(status.st_uid)
    if user == "root":
        raise InstallError(
            f"{outgoing} belongs to root, as Asterisk runs as root: give it a user of its own"
            " (runuser and rungroup in asterisk.conf), as the dialler runs as that user"
        )
    return Site(root, known, _freepbx(root), spool, user, (status.st_uid, status.st_gid))


def what_is_left(root: Path) -> Site:
    """The same for a removal, which goes on without Asterisk and without its spool."""
    return Site(root, BY_NAME, _freepbx(root), _spool(root), "root", (0, 0))


def _freepbx(root: Path) -> bool:
    return any(
        (root / "etc" / name).exists()
        for name in ("freepbx.conf", "asterisk/extensions_additional.conf")
    )


def _spool(root: Path) -> str:
    """By ``[directories]`` of asterisk.conf; the sample's is a template, which says nothing."""
    settings = _plain(text_of(root / "etc/asterisk/asterisk.conf"))
    for section in _sections(settings, "directories"):
        found = re.search(r"(?m)^\s*astspooldir\s*=>?\s*([^\s;]+)", section)
        if found is not None:
            return found[1]
    return "/var/spool/asterisk"


def name_of(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)


def _plain(text: str) -> str:
    """A configuration without its block comments, and with LF."""
    return _COMMENT.sub("", text).replace("\r\n", "\n")


def _sections(text: str, name: str) -> list[str]:
    """The bodies of all sections of a name, but for templates."""
    found = re.finditer(
        rf"(?ms)^[ \t]*\[{re.escape(name)}\](\([^)\n]*\))?[^\n]*\n(.*?)(?=^[ \t]*\[|\Z)",
        text if text.endswith("\n") else f"{text}\n",
    )
    return [match[2] for match in found if "!" not in (match[1] or "")]


def plan(site: Site, source: Path) -> list[Change]:
    """Everything that an installation, or an upgrade, changes. ``source``: the release."""
    known = _settings(site)
    secret = _first(known.get("fastagi", {}).get("secret"), _dialplan_secret(site), token_hex(32))
    asterisk_section = known.get("asterisk", {})
    ami_secret = asterisk_section.get("ami_secret") or _manager_secret(site) or token_hex(24)
    changes = [
        *_dialplan(site, source, secret),
        *_manager(site, ami_secret),
        *_configuration(site, source, secret, ami_secret),
        *_units(site, source, known),
        *_manual(site, source),
    ]
    return [change for change in changes if change.needed]


def _settings(site: Site) -> dict[str, Any]:
    """The dialler's configuration, if there is one."""
    try:
        return tomllib.loads(text_of(site.settings).removeprefix("\ufeff"))
    except tomllib.TOMLDecodeError as error:
        raise InstallError(f"{site.settings}: {error}") from error


def _first(*secrets: str | None) -> str:
    return next(secret for secret in secrets if secret and _SECRET.fullmatch(secret))


_AD_SECRET = re.compile(r"(?m)^([ \t]*AD_SECRET[ \t]*=>?[ \t]*)([^\r\n;]*)")


def _dialplan(site: Site, source: Path, secret: str) -> Iterator[Change]:
    shipped = (source / "dialplan/autodial.conf").read_text(encoding="utf-8")
    yield site.changed(site.etc / "autodial.conf", shipped)
    path = site.etc / "autodial-globals.conf"
    present = read(path)
    if present is not None:
        text = present.text
    else:
        text = (source / "dialplan/autodial-globals.conf").read_text(encoding="utf-8")
        if site.freepbx:
            text = re.sub(r"(?m)^AD_VIA =.*$", "AD_VIA = from-internal", text)
    yield site.changed(path, _with_secret(text, secret), secret=True)
    including = site.etc / ("extensions_custom.conf" if site.freepbx else "extensions.conf")
    text = text_of(including)
    by_hand = r"""(?m)^[ \t]*#(?:try)?include[ \t]+["'<]?(?:/etc/asterisk/)?autodial\.conf"""
    if BEGIN in text or not re.search(by_hand, _plain(text)):
        text = _with_block(including, text, INCLUDES)
    yield site.changed(including, text)


def _with_secret(text: str, secret: str) -> str:
    """The globals with this secret, wherever they name one."""
    if _AD_SECRET.search(text):
        return _AD_SECRET.sub(lambda found: f"{found[1].rstrip()} {secret}", text)
    if not re.search(r"(?m)^[ \t]*\[globals\]", text):
        text = f"[globals]\n{text}"
    return re.sub(r"(?m)^([ \t]*\[globals\][^\r\n]*)$", rf"\1\nAD_SECRET = {secret}", text, count=1)


def _dialplan_secret(site: Site) -> str:
    """The secret that the dialplan has: the last one counts."""
    found = _AD_SECRET.findall(_plain(text_of(site.etc / "autodial-globals.conf")))
    return found[-1][1].strip() if found else ""


def _with_block(path: Path, text: str, ours: str) -> str:
    """A text with our block: in the place of an earlier one, else at its end."""
    if _block(path, text):
        return _BLOCK.sub(lambda _: f"{BEGIN}\n{ours}{END}", text)
    if text and not text.endswith("\n"):
        return f"{text}\n{BEGIN}\n{ours}{END}"  # removed, it leaves the last line as it was
    return f"{text}{BEGIN}\n{ours}{END}\n"


_BLOCK = re.compile(rf"(?s){re.escape(BEGIN)}\n.*?{re.escape(END)}")


def _block(path: Path, text: str) -> bool:
    """Is there a block of ours in it?"""
    if BEGIN in text and not _BLOCK.search(text):
        raise InstallError(f"{path}: the line '{END}' is missing after '{BEGIN}'; put it back")
    return BEGIN in text


def without_block(path: Path, text: str) -> str:
    if not _block(path, text):
        return text
    if text.endswith(END) and f"\n{BEGIN}" in text:  # before it the last line had no end
        return re.sub(rf"(?s)\n{_BLOCK.pattern.removeprefix('(?s)')}\Z", "", text)
    return re.sub(rf"(?s){_BLOCK.pattern.removeprefix('(?s)')}\n?", "", text)


def _manager_files(site: Site) -> list[Path]:
    """Those that Asterisk reads for the manager, as far as a PBX is laid out as usual."""
    files = [site.etc / "manager.conf", *sorted((site.etc / "manager.d").glob("*.conf"))]
    return [*files, site.etc / "manager_additional.conf", site.etc / "manager_custom.conf"]


def _manager_texts(site: Site) -> dict[Path, str]:
    """The manager's configuration without what is ours."""
    return {path: _plain(without_block(path, text_of(path))) for path in _manager_files(site)}


def _manager_path(site: Site) -> Path:
    """The file for our manager user."""
    main = _plain(text_of(site.etc / "manager.conf"))
    if re.search(r"""(?m)^[ \t]*#(?:try)?include[ \t]+["'<]?manager\.d/\*\.conf""", main):
        return site.etc / "manager.d/autodial.conf"
    custom = r"""(?m)^[ \t]*#(?:try)?include[ \t]+["'<]?manager_custom\.conf"""
    if site.freepbx and re.search(custom, main):
        return site.etc / "manager_custom.conf"
    return site.etc / "manager.conf"


def _manager_secret(site: Site) -> str:
    """Of our manager user, whoever made it."""
    for path in _manager_files(site):
        for section in _sections(_plain(text_of(path)), USER):
            found = re.search(r"(?mi)^[ \t]*secret[ \t]*=>?[ \t]*([^\s;]+)", section)
            if found is not None:
                return found[1]
    return ""


def _manager(site: Site, secret: str) -> Iterator[Change]:
    """Our manager user, and what [general] lacks. A user made by hand stays as it is."""
    others = _manager_texts(site)
    if any(_sections(text, USER) for text in others.values()):
        return
    path = _manager_path(site)
    sections = [section for text in others.values() for section in _sections(text, "general")]
    general = "\n".join(sections)
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
    title = "[general](+)" if sections else "[general]"
    head = [title, *lines, ""] if lines else []
    user = [
        f"[{USER}]", f"secret = {secret}", "deny = 0.0.0.0/0.0.0.0",
        "permit = 127.0.0.1/255.255.255.255", f"read = {READ}", f"write = {WRITE}",
    ]  # fmt: skip
    ours = "\n".join([*head, *user, *_filters(site.version)]) + "\n"
    yield site.changed(path, _with_block(path, text_of(path), ours), secret=True)


def _filters(version: tuple[int, int]) -> list[str]:
    """The events that the dialler wants, and none of Local channels."""
    if version < BY_NAME:
        named = [f"eventfilter = Event: {name}" for name in EVENTS]
        return [*named, "eventfilter = !Device: Local/"]
    extra = {"DeviceStateChange": (",header(Device),method(starts_with)", " PJSIP/")}
    return [
        f"eventfilter(action(include),name({name}){extra.get(name, ('', ''))[0]}) ="
        f"{extra.get(name, ('', ''))[1]}"
        for name in EVENTS
    ]


def _port(site: Site) -> int:
    """The manager's port."""
    for text in _manager_texts(site).values():
        for section in _sections(text, "general"):
            found = re.search(r"(?m)^\s*port\s*=>?\s*(\d+)", section)
            if found is not None:
                return int(found[1])
    return 5038


def _configuration(site: Site, source: Path, secret: str, ami_secret: str) -> Iterator[Change]:
    """Only where there is none: ``autodial init`` fills it, and a person edits it."""
    if read(site.settings) is not None:
        return
    text = (source / "autodial/config/autodial.example.toml").read_text(encoding="utf-8")
    for old, new in (
        ('#secret = ""', f'secret = "{secret}"'),
        ('ami_secret = "put-the-secret-here"', f"ami_secret = {json.dumps(ami_secret)}"),
        ("ami_port = 5038", f"ami_port = {_port(site)}"),
        ('spool = "/var/spool/asterisk/outgoing"', f'spool = "{site.spool}/outgoing"'),
    ):
        if old not in text:
            raise InstallError(f"autodial.example.toml lacks the line {old}")
        text = text.replace(old, new)
    yield Change(site.settings, None, File(text, 0o600, site.owner))


def _manual(site: Site, source: Path) -> Iterator[Change]:
    path = site.root / "usr/local/share/man/man1/autodial.1"
    text = (source / "deploy/autodial.1").read_text(encoding="utf-8")
    yield Change(path, read(path), File(text, 0o644, _root()))


def address(settings: Mapping[str, Any]) -> str:
    """Host and port of the FastAGI server, by the configuration."""
    fastagi = settings.get("fastagi", {})
    return f"{fastagi.get('host', '127.0.0.1')}:{fastagi.get('port', 4573)}"


def _units(site: Site, source: Path, settings: Mapping[str, Any]) -> Iterator[Change]:
    for name in UNITS:
        path = site.root / "etc/systemd/system" / name
        text = (source / "deploy" / name).read_text(encoding="utf-8")
        text = text.replace("User=asterisk\n", f"User={site.user}\n")
        text = text.replace("/var/spool/asterisk/", f"{site.spool}/")
        text = text.replace("ListenStream=127.0.0.1:4573", f"ListenStream={address(settings)}")
        yield Change(path, read(path), File(text, 0o644, _root()))


def _root() -> tuple[int, int]:
    """Root, or whoever tries this out."""
    return os.geteuid(), os.getegid()


def removal(site: Site, *, purge: bool) -> list[Change]:
    """Everything that goes; ``purge``: the configuration, too."""
    ours = [
        site.etc / "autodial.conf",
        *(site.root / "etc/systemd/system" / name for name in UNITS),
        site.root / "usr/local/share/man/man1/autodial.1",
    ]
    if purge:
        ours += [site.etc / "autodial-globals.conf", site.settings]
    changes = [Change(path, read(path), None) for path in ours]
    for name in ("extensions.conf", "extensions_custom.conf", "manager.conf", "manager_custom.conf",
                 "manager.d/autodial.conf"):  # fmt: skip
        path = site.etc / name
        before = read(path)
        if before is not None:
            text = without_block(path, before.text)
            # Debian's directory has a file of ours, where nobody added lines of his own.
            gone = not text and path.parent.name == "manager.d"
            after = None if gone else File(text, before.mode, before.owner)
            changes.append(Change(path, before, after))
    return [change for change in changes if change.needed]


def directories(site: Site) -> None:
    """Ours, for Asterisk's user alone; and those of the system that may be missing."""
    for name in ("etc/autodial24", "var/lib/autodial24"):
        path = site.root / name
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.geteuid() == 0:
            os.chown(path, *site.owner)
        path.chmod(0o700)
    for name in ("etc/systemd/system", "usr/local/share/man/man1", "etc/asterisk/manager.d"):
        (site.root / name).mkdir(parents=True, exist_ok=True)


def asterisk(*command: str) -> str:
    """What the running Asterisk says to a command of its console; empty: it does not run."""
    try:
        done = subprocess.run(
            ["asterisk", "-rx", " ".join(command)],
            capture_output=True, timeout=30, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else ""


def reload(site: Site) -> str | None:
    """
    Have Asterisk read its files; what is missing then, or None. (A refusal names what was asked
    for, too: only what a success prints counts.)
    """
    if "Asterisk" not in asterisk("core show version"):
        return STOPPED
    for command in ("dialplan reload", "manager reload"):
        asterisk(command)
    contexts = text_of(site.etc / "autodial.conf")
    release = re.search(r"(?m)^\[autodial-release\]\nexten => ([0-9a-f]{8}),", contexts)
    number = release[1] if release else "none"
    for command, pattern in (
        (f"dialplan show {number}@autodial-release", rf"'{number}' =>"),
        ("dialplan show globals", r"(?m)^\s*AD_SECRET=\S"),
        (f"manager show user {USER}", rf"(?im)^\s*username:\s*{USER}\s*$"),
    ):
        if not re.search(pattern, asterisk(command)):
            return f"after the reload 'asterisk -rx \"{command}\"' does not show it"
    return None


def install(site: Site, source: Path, *, dry_run: bool, keep: Path | None = None) -> int:
    """
    Plan, show or do it, and see that Asterisk has it; otherwise put everything back. ``keep``:
    where to store how it was, for ``restore``.
    """
    changes = plan(site, source)
    for change in changes:
        say(change.diff() if dry_run else f"   {change.path}")
    if dry_run:
        say(f"\n{len(changes)} files would be changed; nothing was.")
        return 0
    directories(site)
    if keep is not None:
        _keep(keep, changes)
    done: list[Change] = []
    try:
        for change in changes:
            done.append(change)
            write(change.path, change.after)
        problem = reload(site)
        if problem is not None:
            raise InstallError(problem)
    except BaseException as error:  # Ctrl-C, too
        failed = _put_back(reversed(done))
        reload(site)
        say(f"production: {error or type(error).__name__}. {_end_of(failed)}", sys.stderr)
        return 1
    say("   nothing to change" if not changes else "   Asterisk has them")
    return 0


def _put_back(changes: Iterator[Change]) -> list[str]:
    """Every file as it was; those that could not be."""
    failed = []
    for change in changes:
        try:
            write(change.path, change.before)
        except OSError as error:
            failed.append(f"{change.path}: {error.strerror}")
    return failed


def _end_of(failed: Sequence[str]) -> str:
    if failed:
        return f"NOT put back: {'; '.join(failed)}. All other files are as they were."
    return "All files are as they were before."


def _keep(place: Path, changes: Sequence[Change]) -> None:
    """How the files were, in a directory of root's own."""
    rows = [
        {
            "path": str(change.path),
            "before": None
            if change.before is None
            else [change.before.text, change.before.mode, *change.before.owner],
        }
        for change in changes
    ]
    write(place, File(json.dumps(rows), 0o600, _root()))


def restore(site: Site, kept: Path) -> int:
    """Put the files back that an ``install`` with ``keep`` has changed."""
    changes = []
    for row in json.loads(text_of(kept) or "[]"):
        before = row["before"]
        file = None if before is None else File(before[0], before[1], (before[2], before[3]))
        changes.append(Change(Path(row["path"]), file, None))
    failed = _put_back(iter(changes))
    reload(site)
    say(f"   {_end_of(failed)}")
    return 1 if failed else 0


def uninstall(site: Site, *, dry_run: bool, purge: bool) -> int:
    changes = removal(site, purge=purge)
    for change in changes:
        say(change.diff() if dry_run else f"   {change.path}")
        if not dry_run:
            write(change.path, change.after)
    if dry_run:
        say(f"\n{len(changes)} files would be changed or removed; nothing was.")
    else:
        for command in ("dialplan reload", "manager reload"):
            asterisk(command)
        if purge:
            asterisk("database deltree autodial")
            staging = site.root / site.spool.lstrip("/") / "outgoing/.autodial-staging"
            if staging.is_dir() and not staging.is_symlink() and not any(staging.iterdir()):
                staging.rmdir()
    return 0


def holder(site: Site) -> str:
    """Who works on the store, by its lock; empty: nobody."""
    try:
        file = os.open(f"{_store(site)}.lock", os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.pread(file, 200, 0).decode("ascii", "replace").strip() or "a process"
    finally:
        os.close(file)
    return ""


def _store(site: Site) -> str:
    default = site.root / "var/lib/autodial24/autodial.sqlite"
    return str(_settings(site).get("store", {}).get("path", default))


def say(text: str, stream: Any = None) -> None:
    """Whatever bytes a file of the site has."""
    stream = stream or sys.stdout
    print(text.encode("utf-8", "backslashreplace").decode(), file=stream, flush=True)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="install.sh production", description=__doc__)
    parser.add_argument(
        "what",
        choices=("install", "uninstall", "restore", "user", "address", "store", "holder", "needed"),
    )
    parser.add_argument("--dry-run", action="store_true", help="show every change, make none")
    parser.add_argument("--purge", action="store_true", help="uninstall: the configuration, too")
    parser.add_argument("--keep", type=Path, help="where to store how the files were")
    parser.add_argument("--root", type=Path, default=Path("/"), help=argparse.SUPPRESS)
    parser.add_argument("--asterisk-version", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    source = Path(__file__).parents[1]
    try:
        left = what_is_left(given.root)
        if given.what == "holder":
            say(holder(left))
            return 0
        if given.what == "uninstall":
            return uninstall(left, dry_run=given.dry_run, purge=given.purge)
        site = look(given.root, given.asterisk_version or _version())
        if given.what == "user":
            # (Asked before anything is built.)
            if "Asterisk" not in asterisk("core show version"):
                raise InstallError(STOPPED)
            say(f"{site.user} {_group(site.owner[1])}")
        elif given.what == "address":
            say(address(_settings(site)))
        elif given.what == "store":
            say(_store(site))
        elif given.what == "needed":
            return 0 if plan(site, source) else 1
        elif given.what == "restore":
            return restore(site, given.keep)
        else:
            return install(site, source, dry_run=given.dry_run, keep=given.keep)
    except BrokenPipeError:  # "| head"
        return 0
    except (InstallError, OSError) as error:
        say(f"production: {error}", sys.stderr)
        return 2
    return 0


def _group(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


def _version() -> str:
    try:
        done = subprocess.run(["asterisk", "-V"], capture_output=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode("utf-8", "replace")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
