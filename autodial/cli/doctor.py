"""The command ``doctor``: everything the dialler needs, each failure with what mends it."""

import re
import shutil
import socket
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from pwd import getpwuid
from secrets import randbelow
from time import monotonic, perf_counter, sleep

import click
from attrs import frozen

from autodial import texts
from autodial.cli.language import spoken
from autodial.cli.options import as_json, load
from autodial.cli.output import print_json, say, words
from autodial.config import legal_notes
from autodial.config.settings import Config
from autodial.coroutines import run_now
from autodial.errors import PbxError, StoreError
from autodial.findings import Finding
from autodial.pbx.asterisk_check import clock, thorough
from autodial.pbx.dialplan_check import ask_once
from autodial.portal.client import portal_of, unconnected
from autodial.portal.self_check import findings, names
from autodial.rules import time_zones
from autodial.rules.extension_conflicts import conflicts
from autodial.service.run import answer
from autodial.store import flags, views
from autodial.store.database import read
from bitrix24 import PortalDenied, PortalError
from call_files import CallFile, Spool, SpoolError
from fastagi_server import NotWell
from fastagi_server import check as ask_server

#: Free megabytes of the store's disk that are few, and that are too few.
FEW, TOO_FEW = 1000, 100
#: Seconds to connect to the manager.
CONNECT = 3.0
#: Seconds until Asterisk has taken a call file and asked the server.
PATIENCE = 8.0


#: Call files of the dialler and of its commands.
_OURS = re.compile(r"t\d+-\d+|test-\d+|autodial-check-\d+")


class Mark(StrEnum):
    """How a line is meant."""

    WELL = "well"
    NOTE = "note"  #: works, but should be looked at
    SERIOUS = "serious"  #: the dialler cannot work fully


@frozen
class Line:
    """One line of the report, and one row of ``--json``."""

    part: str  #: rules, host, store, fastagi, asterisk, portal, staff
    mark: Mark
    key: str  #: of the catalogue: the same in both languages and all versions
    text: str


def _line(part: str, finding: Finding) -> Line:
    mark = Mark.SERIOUS if finding.serious else Mark.NOTE
    return Line(part, mark, finding.key, finding.sentence(spoken()))


def _well(part: str, key: str, detail: object = "") -> Line:
    return Line(part, Mark.WELL, key, texts.text(key, spoken(), detail=detail))


@click.command()
@as_json
@click.pass_obj
def doctor(path: Path, as_json: bool) -> None:
    """
    Check everything the dialler needs, and give the remedy for each failure. While the dialler
    runs, Asterisk is made to ask its FastAGI server; nobody is called. Exit code 1: something
    serious.
    """
    config = load(path)
    report = []
    for part in (_rules, _host, _store, _fastagi, _asterisk, _portal, _staff):
        for line in part(config):
            report.append(line)
            if not as_json:
                say(f"{_SIGNS[line.mark]} {line.part}: {line.text}")
    if as_json:
        print_json(report)
    if any(line.mark is Mark.SERIOUS for line in report):
        sys.exit(1)


_SIGNS = {Mark.WELL: "+", Mark.NOTE: "!", Mark.SERIOUS: "-"}


def _rules(config: Config) -> Iterator[Line]:
    for note in legal_notes.notes(config, time_zones.DATA, datetime.now(UTC).date()):
        yield _line("rules", note)


def _host(config: Config) -> Iterator[Line]:
    """The spool, its owner, the disk."""
    spool = Spool(config.asterisk.spool)
    try:
        spool.check()
    except SpoolError as error:
        yield Line("host", Mark.SERIOUS, "host.spool", str(error))
    else:
        yield _well("host", "host.well", _user(spool.outgoing.stat().st_uid))
        strange = [name for name in spool.waiting() if not _OURS.fullmatch(name)]
        if strange:
            names = ", ".join(texts.cut(name, 40) for name in sorted(strange)[:3])
            detail = f"{len(strange)} ({names})"
            yield _line("host", Finding("host.strangers", detail, False))
    if not isinstance(config.place, Path):
        return
    directory = next(place for place in config.place.absolute().parents if place.exists())
    free = shutil.disk_usage(directory).free // 2**20
    if free < FEW:
        yield _line("host", Finding("host.disk", f"{directory}: {free} MB", free < TOO_FEW))


def _user(number: int) -> str:
    try:
        return getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _store(config: Config) -> Iterator[Line]:
    place = config.place
    try:
        if isinstance(place, Path) and not place.exists():
            yield _line("store", Finding("store.none", str(place), False))
            return
        running = read(place, lambda db: flags.running(db, datetime.now(UTC)))
        known = read(place, views.task_lines)
    except (StoreError, OSError) as error:
        yield Line("store", Mark.SERIOUS, "store.unusable", str(error))
        return
    spool = config.asterisk.spool
    if isinstance(place, Path) and spool.is_dir():
        owner = place.stat().st_uid
        if owner != spool.stat().st_uid:
            whose = f"{place}: {_user(owner)} / {_user(spool.stat().st_uid)}"
            yield _line("store", Finding("store.owner", whose, False))
    yield _well("store", "store.running" if running else "store.stopped")
    if not known and not read(place, lambda db: flags.last(db, flags.PORTAL_SEEN)):
        yield _line("store", Finding("store.unread", "", False))
    elif not known:
        yield _line(
            "store", Finding("store.empty", str(config.tasks.tag or config.tasks.group), False)
        )


def _fastagi(config: Config) -> Iterator[Line]:
    address = f"agi://{config.fastagi.host}:{config.fastagi.port}/ping"
    try:
        yield _well("fastagi", "check.fastagi", f"{1000 * ask_server(address):.1f} ms")
    except NotWell as error:
        # It may not be started yet: then this is no failure.
        mark = Mark.SERIOUS if _runs(config) else Mark.NOTE
        yield Line("fastagi", mark, "check.silent", str(error))
        return
    if _away(config):
        return  # said below
    try:
        yield _from_asterisk(config)
    except (SpoolError, StoreError, OSError) as error:
        yield Line("fastagi", Mark.NOTE, "fastagi.untried", str(error))


def _runs(config: Config) -> bool:
    try:
        return read(config.place, lambda db: flags.running(db, datetime.now(UTC)))
    except StoreError:
        return False


def _from_asterisk(config: Config) -> Line:
    """
    Have Asterisk ask the server, as it does in a call: by a call file, the dialplan, AD_AGI and
    the secret. The server stores the number that it was told.
    """
    spool, number = Spool(config.asterisk.spool), str(10**9 + randbelow(9 * 10**9))
    call = CallFile(
        name=f"autodial-check-{number}", channel=f"Local/{number}@autodial-check/n",
        context="autodial-check", wait=5,
    )  # fmt: skip
    if not spool.staging.exists():
        spool.prepare()
    begun, end = perf_counter(), monotonic() + PATIENCE
    spool.submit(call)
    untouched = True
    try:
        while monotonic() < end:
            told = read(config.place, lambda db: flags.told(db, flags.CHECKED))
            if told is not None and told[1] == number:
                took = f"{1000 * (perf_counter() - begun):.0f} ms"
                return _well("fastagi", "fastagi.reached", took)
            sleep(0.05)
    finally:
        untouched = spool.withdraw(call.name)
    key = "fastagi.untouched" if untouched else "fastagi.unreached"
    return _line("fastagi", Finding(key, "", True))


def _asterisk(config: Config) -> Iterator[Line]:
    if config.asterisk.ami_port is None:
        yield _line("asterisk", Finding("dialplan.unasked", "", False))
        return
    if away := _away(config):
        yield _line("asterisk", Finding("asterisk.away", away, True))
        return
    extensions = _extensions(config)
    try:
        problems: Sequence[Finding] = answer(
            lambda reactor: ask_once(
                reactor,
                config,
                lambda ami: thorough(ami, config, extensions, lambda: datetime.now(UTC)),
            )
        )
    except PbxError as error:
        where = f"{config.asterisk.ami_user}: {error.args[0]}"
        yield _line("asterisk", Finding("asterisk.manager", where, True))
        return
    for finding in problems:
        yield _line("asterisk", finding)
    if not any(finding.serious for finding in problems):
        yield _well("asterisk", "dialplan.well")


def _away(config: Config) -> str:
    """Host and port of a manager that does not listen; empty: it does, or is not used."""
    asterisk = config.asterisk
    if asterisk.ami_port is None:
        return ""
    try:
        socket.create_connection((asterisk.ami_host, asterisk.ami_port), CONNECT).close()
    except OSError:
        return f"{asterisk.ami_host}:{asterisk.ami_port}"
    return ""


def _extensions(config: Config) -> list[str]:
    """Internal numbers of the staff, as last imported."""
    try:
        return [line.extension for line in read(config.place, views.operator_lines)]
    except StoreError:
        return []


def _portal(config: Config) -> Iterator[Line]:
    if unconnected(config):
        yield _line("portal", Finding("check.unconnected", "", True))
        return
    portal = portal_of(config)
    try:
        health = run_now(portal.health(group=config.groups))
        problems = [*findings(health), *run_now(names(config, portal))]
        problems += _portal_clock(config, run_now(portal.time()))
    except PortalDenied as error:
        yield _line("portal", Finding("check.denied", str(error), True))
        return
    except PortalError as error:
        yield _line("portal", Finding("check.unreachable", str(error), True))
        return
    for finding in problems:
        yield _line("portal", finding)
    if not problems:
        yield _well("portal", "check.well", health.user)


def _portal_clock(config: Config, theirs: datetime) -> list[Finding]:
    """Its clock, and the zone by which it keeps deadlines."""
    now = datetime.now(UTC)
    assumed = f"{now.astimezone(config.portal_zone):%z}"
    problems = clock("Bitrix24", theirs, now)
    if f"{theirs:%z}" != assumed:
        detail = f"{theirs:%z} / {config.portal_zone.key} ({assumed})"
        problems.append(Finding("portal.zone", detail, False))
    return problems


def _staff(config: Config) -> Iterator[Line]:
    """Operators whose phones cannot be rung rightly."""
    try:
        lines = read(config.place, views.operator_lines)
    except StoreError:
        return
    faults = conflicts(lines)
    for line in lines:
        for fault in faults.get(line.id, ()):
            who = f"{line.name} ({line.extension or line.id})"
            yield Line("staff", Mark.NOTE, fault, f"{who}: {words(fault)}")
    if not lines and read(config.place, lambda db: flags.last(db, flags.PORTAL_SEEN)):
        yield _line("staff", Finding("staff.none", "", True))
