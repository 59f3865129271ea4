"""
A site's dialplan files, read as Asterisk includes them: mistakes that Asterisk does not name.

``autodial dialplan check`` looks for: our files not included or not readable, an older copy beside
them, a misspelt variable of ours, text from outside inside an expression, a hook without Return.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from attrs import define, field, frozen

from autodial.findings import Finding
from dialplan import CONTEXTS, GLOBALS, release, text

#: Hooks that the dialplan calls.
HOOKS = ("dial", "answered", "operator", "nobody", "end")
#: Deepest inclusion that is followed.
DEEPEST = 20
_INCLUDE = re.compile(r"\s*#(try)?include\s+[\"<]?([^\">;]+?)[\">]?\s*(?:;.*)?$")
_SECTION = re.compile(r"\s*\[([^\]]+)\]")
_NAME = re.compile(r"\bAD_[A-Za-z0-9_]*")
#: Variables that end in a trunk's name.
_OF_A_TRUNK = re.compile(r"AD_(PREFIX|CID)_\w+")
#: A variable between quotation marks in an expression: its value is parsed as code.
_QUOTED = re.compile(r"\$\[[^\]]*\"\$\{([A-Za-z_][A-Za-z0-9_]*)[^}]*\}\"")
#: What Asterisk, our server or the whitelist sets: none of it can hold a quotation mark.
_SAFE = frozenset({
    "DIALSTATUS", "HANGUPCAUSE", "AGISTATUS", "EPOCH", "UNIQUEID", "AD_GO", "AD_OK", "AD_ACK",
    "AD_SAID", "AD_RING", "AD_PURPOSE", "AD_ID", "AD_TASK", "AD_NUM", "AD_STAGE", "AD_TRK",
})  # fmt: skip


@frozen
class Line:
    """One line of the site's dialplan, with its place."""

    file: Path
    number: int
    section: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.file}:{self.number}"


@define
class Files:
    """``extensions.conf`` and all that it includes."""

    main: Path
    lines: list[Line] = field(factory=list, init=False)
    read: list[Path] = field(factory=list, init=False)
    unreadable: list[str] = field(factory=list, init=False)

    def __attrs_post_init__(self) -> None:
        self._follow(self.main, "", 0)

    def _follow(self, file: Path, section: str, depth: int) -> str:
        """Read one file; returns the section in which it ends."""
        if depth > DEEPEST or file in self.read:
            return section
        try:
            content = file.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            self.unreadable.append(f"{file}: {error.strerror}")
            return section
        self.read.append(file)
        for number, row in enumerate(content.splitlines(), 1):
            included = _INCLUDE.match(row)
            if included is not None:
                for other in self._named(included[2]):
                    section = self._follow(other, section, depth + 1)
                continue
            begins = _SECTION.match(row)
            if begins is not None:
                section = begins[1]
            elif row.split(";")[0].strip():
                self.lines.append(Line(file, number, section, row))
        return section

    def _named(self, pattern: str) -> list[Path]:
        """The files that an include names; a pattern may name none."""
        base = self.main.parent
        if any(sign in pattern for sign in "*?["):
            return sorted(base.glob(pattern.removeprefix(f"{base}/")))
        return [base / pattern]

    def sections(self) -> dict[str, list[Path]]:
        """Contexts, each with the files that have lines of it."""
        found: dict[str, list[Path]] = {}
        for line in self.lines:
            files = found.setdefault(line.section, [])
            if line.file not in files:
                files.append(line.file)
        return found


def check(main: Path) -> list[Finding]:
    """What is wrong with the dialplan that ``extensions.conf`` at ``main`` makes."""
    files = Files(main)
    problems = [Finding("files.unreadable", problem, True) for problem in files.unreadable]
    problems += _includes(files)
    problems += _copies(files)
    for line in files.lines:
        problems += _of_a_line(line)
    problems += _hooks(files)
    return sorted(problems, key=lambda finding: not finding.serious)


def _includes(files: Files) -> Iterator[Finding]:
    names = {file.name: file for file in files.read}
    for name in (CONTEXTS, GLOBALS):
        if name not in names:
            yield Finding("files.missing", f'#tryinclude "{name}"', True)
    if CONTEXTS in names:
        found = release(names[CONTEXTS].read_text(encoding="utf-8", errors="replace"))
        if found != release(text(CONTEXTS)):
            yield Finding("files.release", str(names[CONTEXTS]), True)


def _copies(files: Files) -> Iterator[Finding]:
    """A context of ours in another file, too: Asterisk joins both, and the first priority wins."""
    ours = {match[1] for row in text(CONTEXTS).splitlines() if (match := _SECTION.match(row))}
    for section, places in files.sections().items():
        others = [str(place) for place in places if place.name != CONTEXTS]
        if section in ours and others:
            yield Finding("files.copy", f"[{section}]: {', '.join(others)}", True)


def _known() -> frozenset[str]:
    """The names of our variables."""
    return frozenset(_NAME.findall(text(CONTEXTS) + text(GLOBALS)))


def _of_a_line(line: Line) -> Iterator[Finding]:
    if line.file.name == CONTEXTS:
        return
    row = line.text.split(";")[0] if not re.search(r"\\;", line.text) else line.text
    for name in _NAME.findall(row):
        if name not in _known() and not _OF_A_TRUNK.fullmatch(name):
            yield Finding("files.variable", f"{line.place}: {name}", False)
    for name in _QUOTED.findall(row):
        if name not in _SAFE:
            # A site's own lines, or Debian's sample, may know what they are given.
            ours = line.section.startswith("autodial-") or name.startswith("AD_")
            yield Finding("files.unsafe", f"{line.place}: ${{{name}}}", ours)


def _hooks(files: Files) -> Iterator[Finding]:
    """A hook that is not called, or that does not come back."""
    for section in files.sections():
        if not section.startswith("autodial-hook-"):
            continue
        if section.removeprefix("autodial-hook-") not in HOOKS:
            yield Finding("files.hook", f"[{section}]", True)
            continue
        rows = [line.text for line in files.lines if line.section == section]
        if not any(re.search(r"\bReturn\(", row) for row in rows):
            yield Finding("files.return", f"[{section}]", True)
        if not any(re.match(r"\s*exten\s*=>?\s*s\s*,\s*1\s*,", row) for row in rows):
            yield Finding("files.start", f"[{section}]", True)
