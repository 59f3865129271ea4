"""Commands about the portal: ``outbox``, ``groups``, ``test-card``, ``authorize``, ``doctor``."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from time import sleep

import click

from autodial.cli.language import tr
from autodial.cli.options import NUMBER, actor, as_json, load
from autodial.cli.output import PlainTable, print_json, read, say, show_table, words
from autodial.config.settings import Config
from autodial.coroutines import run_now
from autodial.portal.client import access, portal_of, send_now
from autodial.store import acts, views
from autodial.store.database import write
from bitrix24 import AnswerLost, Application, Portal, PortalError, PortalRefused

#: The client's number on a test card: none.
NO_NUMBER = "0000000000"


@click.command("outbox")
@click.option("--again", type=NUMBER, help="Send this dead letter again.")
@click.option("--all-again", is_flag=True, help="Send all dead letters again.")
@as_json
@click.pass_obj
def outbox_(path: Path, again: int | None, all_again: bool, as_json: bool) -> None:
    """List the messages not yet delivered to the portal, and the dead letters."""
    config = load(path)
    if again is not None or all_again:
        now = datetime.now(UTC)
        count = write(config.place, lambda db: acts.send_again(db, again, actor(), now))
        if not count:
            raise click.ClickException(tr("there is no dead letter with this number"))
        say(tr("{count} will be sent again", count=count))
        return
    lines = read(config, views.undelivered)
    if as_json:
        return print_json(lines)
    table = PlainTable(
        "number", "attempt", "what", "state", "why it is a dead letter", whole=("number", "attempt")
    )
    for line in lines:
        what, state = words(line.kind, "message"), words(line.state, "message")
        table.add_row(str(line.id), line.attempt, what, state, line.error)
    show_table(table)


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
    Show a call card to an operator and hide it again. Nobody is called; a call that comes
    meanwhile gets no card, as the portal shows one at a time.
    """
    config = load(path)
    if purpose and purpose not in {known.name for known in config.purposes}:
        raise click.UsageError(tr("[[purposes]] has none of the name {name}", name=purpose))
    portal = portal_of(config)
    try:
        user = run_now(portal.user_by_extension(extension))
        if user is None:
            raise click.ClickException(
                tr("nobody in the portal has the internal number {extension}", extension=extension)
            )
        number, name = config.line(purpose)
        run_now(portal.ensure_line(number, name))
        with stopped_by_signals():
            call = _show_card(portal, config, user, number)
            try:
                say(
                    tr(
                        "the card is up for user {user}, for {seconds} s (Ctrl-C takes it away)",
                        user=user, seconds=seconds,
                    )
                )  # fmt: skip
                sleep(seconds)
            except KeyboardInterrupt:
                say("")
            finally:
                run_now(portal.finish_call(call, user=user, seconds=0, code="603-S"))
    except PortalError as error:
        raise click.ClickException(str(error)) from error
    say(
        tr(
            "the card is down. If none came up: is the push server on, the extension the right one,"
            " and no other card open? The portal's statistics have one more cancelled call."
        )
    )


def _show_card(portal: Portal, config: Config, user: int, line: str) -> str:
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
        return register()  # the portal recognises the call; otherwise the card would stay up


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """SIGHUP and SIGTERM act like Ctrl-C."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    handlers = {number: signal.signal(number, stop) for number in (signal.SIGHUP, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


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
    except PortalRefused as error:  # only settings with groups need the scope
        work_groups, hidden = [], str(error)
    if as_json:
        return print_json([*departments, *work_groups])
    names_of = {department.id: department.name for department in departments}
    table = PlainTable("number", "department", "below")
    for department in departments:
        parent = names_of.get(department.parent or 0, "")
        table.add_row(str(department.id), department.name, parent)
    show_table(table)
    table = PlainTable("number", "work group")
    for group in work_groups:
        table.add_row(str(group.id), group.name)
    if hidden:
        say(tr("no work groups: {error} (they need the scope sonet_group)", error=hidden))
    else:
        show_table(table)


@click.command()
@click.argument("code")
@click.pass_obj
def authorize(path: Path, code: str) -> None:
    """Exchange the portal's authorisation code for tokens of [portal.application]."""
    config = load(path)
    application = access(config.portal)
    if not isinstance(application, Application):
        raise click.ClickException(tr("[portal.application] is not set; a webhook needs no tokens"))
    try:
        run_now(application.exchange(send_now(config), code))
    except PortalError as error:
        raise click.ClickException(tr("{error}; a code lives 30 seconds", error=error)) from error
    except OSError as error:
        raise click.ClickException(f"{application.tokens}: {error.strerror}") from error
    say(tr("tokens are in {file}", file=application.tokens))
