"""Commands about the portal: ``outbox``, ``groups``, ``test-card``, ``authorize``, ``doctor``."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from time import sleep

import click

from autodial import texts
from autodial.cli.options import NUMBER, as_json
from autodial.cli.output import PlainTable, print_json, read, say, show_table
from autodial.config import legal_notes
from autodial.config.load import load
from autodial.config.settings import Config
from autodial.coroutines import run_now
from autodial.errors import PbxError
from autodial.pbx import dialplan_check
from autodial.portal.self_check import findings, names
from autodial.rules import time_zones
from autodial.service.app import access, portal_of, send_now
from autodial.service.run import answer
from autodial.store import outbox, views
from autodial.store.database import write
from bitrix24 import AnswerLost, Application, Portal, PortalError, PortalRefused
from fastagi_server import NotWell, check

#: Whom a card shows while it is tried: no number at all.
NO_NUMBER = "0000000000"


@click.command("outbox")
@click.option("--again", type=NUMBER, help="Send this one again, which was put aside.")
@click.option("--all-again", is_flag=True, help="Send again everything that was put aside.")
@as_json
@click.pass_obj
def outbox_(path: Path, again: int | None, all_again: bool, as_json: bool) -> None:
    """List what the portal has yet to be told, and what it refused."""
    config = load(path)
    if again is not None or all_again:
        count = write(config.store.path, lambda db: outbox.again(db, again, datetime.now(UTC)))
        if not count:
            raise click.ClickException("nothing that was put aside has this number")
        say(f"{count} will be sent again")
        return
    lines = read(config, views.undelivered)
    if as_json:
        return print_json(lines)
    table = PlainTable("number", "attempt", "what", "state", "why it was put aside")
    for line in lines:
        table.add_row(str(line.id), line.attempt, line.kind, line.state, line.error)
    show_table(table)


@click.command()
@click.pass_obj
def doctor(path: Path) -> None:
    """Try what the dialler needs, and say for each failure what to do."""
    config = load(path)
    for note in legal_notes.notes(config, time_zones.DATA, datetime.now(UTC).date()):
        say(f"rules: {note.sentence(config.language)}")
    serious = _look_at_portal(config)
    address = f"agi://{config.fastagi.host}:{config.fastagi.port}/ping"
    try:
        took = f"{1000 * check(address):.1f} ms"
        say(f"fastagi: {texts.text('check.fastagi', config.language, detail=took)}")
    except NotWell as error:
        # It may not have been started yet: no failure of what is configured.
        say(f"fastagi: {error}")
    serious |= _look_at_dialplan(config)
    if serious:
        sys.exit(1)


def _look_at_portal(config: Config) -> bool:
    """Say what the portal lacks; True: the dialler cannot do its whole work."""
    portal = portal_of(config)
    try:
        said = run_now(portal.health(group=config.groups))
    except PortalError as error:
        say(f"portal: {error}")
        return True
    found = [*findings(said), *run_now(names(config, portal))]
    for finding in found:
        say(f"portal: {finding.sentence(config.language)}")
    if not found:
        say(f"portal: {texts.text('check.well', config.language, detail=said.user)}")
    return any(finding.serious for finding in found)


def _look_at_dialplan(config: Config) -> bool:
    """Say what the dialplan lacks; True: it cannot carry calls."""
    if config.asterisk.ami_port is None:
        say(f"asterisk: {texts.text('dialplan.unasked', config.language)}")
        return False
    try:
        found = answer(lambda reactor: dialplan_check.ask_once(reactor, config))
    except PbxError as error:
        say(f"asterisk: {error}")
        return True
    for finding in found:
        say(f"asterisk: {finding.sentence(config.language)}")
    if not found:
        say(f"asterisk: {texts.text('dialplan.well', config.language)}")
    return any(finding.serious for finding in found)


@click.command("test-card")
@click.argument("extension")
@click.option(
    "--seconds", default=15, show_default=True, type=click.IntRange(1, 600),
    help="How long the card stays.",
)  # fmt: skip
@click.option("--purpose", default="", help="On the line of this purpose.")
@click.pass_obj
def test_card(path: Path, extension: str, seconds: int, purpose: str) -> None:
    """
    Raise a call card for an operator and take it away again. Nobody is called; a call that comes
    meanwhile gets no card, as the portal raises one at a time.
    """
    config = load(path)
    if purpose and purpose not in {said.name for said in config.purposes}:
        raise click.UsageError(f"[[purposes]] has none of the name {purpose}")
    portal = portal_of(config)
    try:
        user = run_now(portal.user_by_extension(extension))
        if user is None:
            raise click.ClickException(f"nobody in the portal has the internal number {extension}")
        number, name = config.line(purpose)
        run_now(portal.ensure_line(number, name))
        with _stopped_by_signals():
            call = _raised(portal, config, user, number)
            try:
                say(f"the card is up for user {user}, for {seconds} s (Ctrl-C takes it away)")
                sleep(seconds)
            except KeyboardInterrupt:
                say("")
            finally:
                run_now(portal.finish_call(call, user=user, seconds=0, code="603-S"))
    except PortalError as error:
        raise click.ClickException(str(error)) from error
    say(
        "the card is down. If none came up: is the push server on, the extension the right one, and"
        " no other card open? The portal's statistics have one more cancelled call."
    )


def _raised(portal: Portal, config: Config, user: int, line: str) -> str:
    now = datetime.now(UTC)

    def register() -> str:
        return run_now(
            portal.register_call(
                external_id=f"test-{now.timestamp():.0f}", user=user, phone=NO_NUMBER, started=now,
                line=line, incoming=config.portal.call_type == "incoming", show=True, client=None,
            )
        )  # fmt: skip

    try:
        return register()
    except (AnswerLost, KeyboardInterrupt):
        return register()  # the portal knows it again; or it would stay up for good


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """A closed terminal, and a polite kill, end what Ctrl-C ends."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    wanted = (signal.SIGHUP, signal.SIGTERM)
    before = {one: signal.signal(one, stop) for one in wanted}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


@click.command()
@as_json
@click.pass_obj
def groups(path: Path, as_json: bool) -> None:
    """List the portal's departments and work groups, for [staff] and [tasks]."""
    portal = portal_of(load(path))
    try:
        departments = run_now(portal.departments())
    except PortalError as error:
        raise click.ClickException(str(error)) from error
    hidden = ""
    try:
        work_groups = run_now(portal.groups())
    except PortalRefused as error:  # a scope that is needed only by who uses groups
        work_groups, hidden = [], str(error)
    if as_json:
        return print_json([*departments, *work_groups])
    names_of = {one.id: one.name for one in departments}
    table = PlainTable("number", "department", "below")
    for one in departments:
        table.add_row(str(one.id), one.name, names_of.get(one.parent or 0, ""))
    show_table(table)
    table = PlainTable("number", "work group")
    for one in work_groups:
        table.add_row(str(one.id), one.name)
    if hidden:
        say(f"no work groups: {hidden} (they need the scope sonet_group)")
    else:
        show_table(table)


@click.command()
@click.argument("code")
@click.pass_obj
def authorize(path: Path, code: str) -> None:
    """Exchange the portal's authorisation code for tokens of [portal.application]."""
    config = load(path)
    ours = access(config.portal)
    if not isinstance(ours, Application):
        raise click.ClickException("[portal.application] is not set; a webhook needs no tokens")
    try:
        run_now(ours.exchange(send_now(config), code))
    except PortalError as error:
        raise click.ClickException(f"{error}; a code lives 30 seconds") from error
    except OSError as error:
        raise click.ClickException(f"{ours.tokens}: {error.strerror}") from error
    say(f"tokens are in {ours.tokens}")
