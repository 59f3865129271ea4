"""The command ``init``: connects an installed dialler to its portal and its PBX, by questions."""

import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click
import tomlkit
from tomlkit import TOMLDocument

from autodial import texts
from autodial.cli.files import SiteFile, read_file
from autodial.cli.language import spoken, tr
from autodial.cli.options import actor
from autodial.cli.output import PlainTable, say, show_table
from autodial.config.load import parse
from autodial.config.settings import Config
from autodial.coroutines import run_now
from autodial.errors import ConfigError
from autodial.portal.client import portal_of, unconnected
from autodial.portal.self_check import findings
from autodial.store import acts, pauses
from autodial.store.database import write
from autodial.store.releases import migrate, release_of
from bitrix24 import Employee, Portal, PortalDenied, PortalError, PortalRefused
from bitrix24.values import Named

T = TypeVar("T")

#: The variable with the webhook's address, in place of the question.
WEBHOOK = "AUTODIAL_WEBHOOK"
#: Calls that a trunk carries for us at once, unless a person says otherwise.
LINES = 10
#: The word before a work group's name, in both languages.
GROUP = ("group", "группа")
#: A row of "pjsip show endpoints": the name, and after it the state.
_ENDPOINT = re.compile(r"(?m)^ Endpoint:\s+([A-Za-z0-9_.+-]+?)(?:/\S*)?\s{2,}")


@click.command("init")
@click.option(
    "--department", "departments", multiple=True, help="A department of operators, or: group NAME."
)
@click.option("--tag", help="The tag of call tasks, or: group NAME.")
@click.option("--trunk", "trunks", multiple=True, help="A trunk, as NAME or NAME:LINES.")
@click.pass_obj
def init(
    path: Path, departments: tuple[str, ...], tag: str | None, trunks: tuple[str, ...]
) -> None:
    """
    Connect the dialler to the portal and the PBX: asks for what it cannot find, tries each
    answer, and writes the configuration. Nobody is dialled before 'autodial resume'. Without
    questions: with all options, and the webhook's address in AUTODIAL_WEBHOOK (a command line
    is seen by everybody on this host).
    """
    file = read_file(path)
    document = _document(file)
    first = unconnected(_checked(document, path))
    try:
        people, groups = _connect(document, path, departments)
    except PortalError as error:
        raise click.ClickException(str(error)) from error
    endpoints = _endpoints()
    _match(people, endpoints)
    extensions = {person.extension for person in people}
    others = [name for name in endpoints if name not in extensions]
    chosen = _until_right(
        ",".join(trunks) or None,
        tr("The trunks, in the order to try, as NAME:LINES with commas between"),
        lambda answer: [_trunk(text, others) for text in _parts(answer)],
        f"{others[0]}:{LINES}" if others else "",
    )
    _write_trunks(document, chosen)
    table = _table(document, "tasks")
    if tag is not None or "group" not in table:
        default = str(table.get("tag", "autodial"))
        question = tr("The tag of call tasks; or: group NAME")
        told = _until_right(tag, question, lambda answer: _which(groups, answer), default)
        for other in ("tag", "group"):
            table.pop(other, None)
        table.update(told)
    config = _checked(document, path)
    file.write(tomlkit.dumps(document), 0o600, file.owner[1])
    say(tr("written: {path}", path=path))
    if not _paused(config, first=first):
        say(tr("The dialler reads it at its next start, or now by 'autodial reload'"))
        return
    say(
        tr(
            "Nobody is dialled yet. Start the dialler (systemctl start autodial24), look at"
            " 'autodial doctor' and 'autodial tasks', and let it dial: autodial resume"
        )
    )


def _connect(
    document: TOMLDocument, path: Path, departments: Sequence[str]
) -> tuple[list[Employee], list[Named]]:
    """The portal and whose calls these are; the operators, and the portal's work groups."""
    portal = _until_right(
        os.environ.get(WEBHOOK),
        tr("The incoming webhook's address (Developer resources, Other, Inbound webhook)"),
        lambda address: _portal(document, path, address),
        hidden=True,
    )
    staff, groups = _table(document, "staff"), _groups(portal)
    if departments or not {"group", "field"} & set(staff):
        known = run_now(portal.departments())
        if not departments:
            _show("department", known)
            _show("work group", groups)
        chosen = _until_right(
            ",".join(departments) or None,
            tr("The departments of the operators, by number or name; or: group NAME"),
            lambda answer: _who(known, groups, answer),
            str(_likely(known).id) if known else "",
        )
        for other in ("departments", "group", "field", "value"):
            staff.pop(other, None)
        staff.update(chosen)
    query = _checked(document, path).staff.query
    return run_now(portal.staff(run_now(portal.named(query)))), groups


def _document(file: SiteFile) -> TOMLDocument:
    try:
        tomllib.loads(file.text)
        return tomlkit.parse(file.text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file.path}: {error}") from error


def _table(document: TOMLDocument, name: str) -> Any:
    return document.setdefault(name, tomlkit.table())


def _checked(document: TOMLDocument, path: Path) -> Config:
    return parse(tomllib.loads(tomlkit.dumps(document)), str(path))


def _ask(question: str, default: str = "", *, hidden: bool = False) -> str:
    answer: str = click.prompt(question, default=default or None, hide_input=hidden)
    return answer.strip()


def _parts(answer: str) -> list[str]:
    parts = [part.strip() for part in answer.split(",") if part.strip()]
    if not parts:
        raise ConfigError(tr("name at least one"))
    return parts


def _which(groups: Sequence[Named], answer: str) -> dict[str, Any]:
    """``[tasks]``, by an answer: a tag, or one work group."""
    word, _, name = answer.strip().partition(" ")
    if word.lower() in GROUP and name:
        return {"group": _number_of(groups, name.strip())}
    return {"tag": _tag(answer)}


def _tag(answer: str) -> str:
    if not answer.strip() or texts.escaped(answer) != answer:
        raise ConfigError(tr("a tag is a word, as people type it in the portal"))
    return answer.strip()


def _until_right(
    given: str | None,
    question: str,
    take: Callable[[str], T],
    default: str = "",
    *,
    hidden: bool = False,
) -> T:
    """
    What ``take`` makes of an answer. An option that is wrong ends the command; a wrong answer is
    asked for again.
    """
    if given is not None:
        try:
            return take(given)
        except (ConfigError, PortalError) as error:
            raise click.ClickException(str(error.args[0])) from error
    while True:
        try:
            return take(_ask(question, default, hidden=hidden))
        except (ConfigError, PortalError) as error:
            say(str(error.args[0]))  # the answer is wrong, not the configuration


def _portal(document: TOMLDocument, path: Path, address: str) -> Portal:
    """The portal, once it answers as the dialler needs it."""
    if not re.fullmatch(r"https?://[^/\s]+/rest/[0-9]+/[A-Za-z0-9]+/?", address):
        raise ConfigError(
            tr("a webhook's address is written https://portal.example.com/rest/1/secret/")
        )
    _table(document, "portal")["webhook"] = f"{address.rstrip('/')}/"
    portal = portal_of(_checked(document, path))
    try:
        problems = findings(run_now(portal.health()))
    except PortalDenied as error:
        raise ConfigError(texts.text("check.denied", spoken(), detail=error)) from error
    for finding in problems:
        say(finding.sentence(spoken()))
    if any(finding.serious for finding in problems):
        raise ConfigError(tr("correct that in the portal, and answer again"))
    return portal


def _groups(portal: Portal) -> list[Named]:
    """The portal's work groups; none without the scope for them."""
    try:
        return run_now(portal.groups())
    except PortalRefused:
        return []


def _show(kind: str, rows: Sequence[Named]) -> None:
    if rows:
        table = PlainTable("number", kind)
        for row in rows:
            table.add_row(row.id, row.name)
        show_table(table)


def _who(departments: Sequence[Named], groups: Sequence[Named], answer: str) -> dict[str, Any]:
    """``[staff]``, by an answer: departments, or one work group."""
    word, _, name = answer.strip().partition(" ")
    if word.lower() in GROUP and name:
        return {"group": _number_of(groups, name.strip())}
    return {"departments": [_number_of(departments, name) for name in _parts(answer)]}


def _likely(departments: Sequence[Named]) -> Named:
    """The call centre's, by its name; else the first."""
    names = re.compile(r"(?i)(call|кол+).{0,2}(cent|центр)")
    return next((one for one in departments if names.search(one.name)), departments[0])


def _number_of(known: Sequence[Named], name: str) -> int:
    for one in known:
        if name in (str(one.id), one.name):
            return one.id
    raise ConfigError(tr("the portal has no {name}", name=name))


def _asterisk() -> str:
    """Its command; after "su" without a dash /usr/sbin is not in the path."""
    return shutil.which("asterisk") or "/usr/sbin/asterisk"


def _endpoints() -> list[str]:
    """PJSIP endpoints of the running Asterisk; none if it cannot be asked."""
    try:
        done = subprocess.run(
            [_asterisk(), "-rx", "pjsip show endpoints"],
            capture_output=True, text=True, timeout=20, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [name for name in _ENDPOINT.findall(done.stdout) if not name.startswith("<")]


def _match(people: Sequence[Employee], endpoints: Sequence[str]) -> None:
    """Each operator with his internal number, and whether Asterisk has a phone of that name."""
    table = PlainTable("name", "ext.", "phone", whole=("name", "ext."))
    for person in people:
        if not person.extension:
            phone = tr("no internal number in his profile: never rung")
        elif not endpoints:
            phone = "?"
        elif person.extension in endpoints:
            phone = tr("known to Asterisk")
        else:
            phone = tr("no endpoint of that name in Asterisk: never rung")
        table.add_row(person.name, person.extension or "-", phone)
    show_table(table)


def _trunk(text: str, known: Sequence[str]) -> tuple[str, int | None]:
    """
    A trunk and its lines (None: not said); ``known``: endpoints that may be one, if Asterisk was
    asked.
    """
    name, _, lines = text.partition(":")
    if not re.fullmatch(r"[A-Za-z0-9_.+-]{1,40}", name) or not re.fullmatch(
        r"([1-9][0-9]{0,3})?", lines
    ):
        raise ConfigError(tr("{text}: write NAME or NAME:LINES, from 1 to 9999", text=text))
    if known and name not in known:
        names = ", ".join(known)
        raise ConfigError(
            tr("Asterisk has no endpoint {name}; it has {names}", name=name, names=names)
        )
    return name, int(lines) if lines else None


def _write_trunks(document: TOMLDocument, trunks: Sequence[tuple[str, int | None]]) -> None:
    """In this order; what the file says of a trunk already stays, but for its lines."""
    asterisk = _table(document, "asterisk")
    before = {row.get("name"): row.unwrap() for row in asterisk.get("trunks", [])}
    rows = tomlkit.aot()
    for name, lines in trunks:
        row = tomlkit.table()
        kept = {"name": name, "lines": LINES, **before.get(name, {})}
        row.update(kept if lines is None else {**kept, "lines": lines})
        rows.append(row)
    asterisk["trunks"] = rows


def _paused(config: Config, *, first: bool) -> bool:
    """
    Everybody is paused in a new store, or at the first connection: the next start dials nobody.
    False: a site at work.
    """
    place = config.place
    there = place.exists() if isinstance(place, Path) else release_of(place) is not None
    if there and not first:
        return False
    migrate(place)
    now = datetime.now(UTC)
    reason = tr("a new installation")
    write(place, lambda db: acts.pause(db, pauses.EVERYBODY, actor(), now, reason))
    return True
