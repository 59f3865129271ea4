"""Commands of the board: ``board``, ``board-user``, ``api-token``."""

import gc
import os
import re
import secrets
from datetime import UTC, datetime
from pathlib import Path

import click
import uvicorn

from autodial.board.passwords import hashed
from autodial.board.site import board_of
from autodial.cli.language import tr
from autodial.cli.options import actor, as_json, load
from autodial.cli.output import PlainTable, print_json, read, say, show_table, when
from autodial.cli.staff import operator_of
from autodial.model.role import Role
from autodial.store import accounts, acts, api_tokens
from autodial.store.database import write

#: Seconds that a stop waits for requests; a live page never ends by itself.
GRACE = 2
#: Behind the dialler and Asterisk: whoever looks may wait, calls may not.
NICE = 10
#: Thresholds of the garbage collector: the figures of two months are many objects that stay.
SELDOM = (50_000, 50, 50)
#: Connections at once, live pages among them; above it, 503.
CONNECTIONS = 700


@click.command()
@click.pass_obj
def board(path: Path) -> None:
    """Run the board, pages for a browser, until SIGTERM or Ctrl-C; see [board]."""
    config = load(path)
    if not read(config, accounts.lines):
        raise click.ClickException(
            tr("nobody may log in yet: autodial board-user add NAME --role manager")
        )
    where = config.board.address or f"http://{config.board.host}:{config.board.port}/"
    say(tr("the board: {address}", address=where))
    os.nice(NICE)
    gc.set_threshold(*SELDOM)
    uvicorn.run(
        board_of(config), host=config.board.host, port=config.board.port, log_level="warning",
        server_header=False, timeout_graceful_shutdown=GRACE, limit_concurrency=CONNECTIONS,
    )  # fmt: skip


@click.group("board-user")
def board_user() -> None:
    """Who may log in on the board, and as what."""


@board_user.command("add")
@click.argument("name")
@click.option(
    "--role", type=click.Choice([role.value for role in Role]), default=Role.VIEWER.value,
    show_default=True,
    help="operator: his own day; viewer: sees all; manager: steers; administrator: everything.",
)  # fmt: skip
@click.option("--operator", "extension", help="Whose day is his own; needed for an operator.")
@click.password_option(help="Asked for, unless it is given here, where others can see it.")
@click.pass_obj
def add(path: Path, name: str, role: str, extension: str | None, password: str) -> None:
    """Let somebody log in, or change his role and password; his sessions end."""
    config = load(path)
    _check_name(name)
    try:
        stored = hashed(password)
    except ValueError:
        raise click.UsageError(tr("a password has 10 to 200 characters")) from None
    if extension is None and role == Role.OPERATOR.value:
        raise click.UsageError(tr("--operator says whose day an operator sees"))
    operator = operator_of(config, extension) if extension is not None else 0
    now = datetime.now(UTC)
    read(config, accounts.lines)
    write(
        config.place,
        lambda db: acts.save_account(db, name, Role(role), stored, actor(), now, operator),
    )
    say(tr("{name} may log in", name=name))


@board_user.command("remove")
@click.argument("name")
@click.pass_obj
def remove(path: Path, name: str) -> None:
    """Let somebody log in no more; his sessions end."""
    config, now = load(path), datetime.now(UTC)
    if not write(config.place, lambda db: acts.remove_account(db, name, actor(), now)):
        raise click.ClickException(tr("nobody is called {name}", name=name))
    say(tr("{name} may log in no more", name=name))


@board_user.command("list")
@as_json
@click.pass_obj
def list_(path: Path, as_json: bool) -> None:
    """List who may log in."""
    config = load(path)
    lines = read(config, accounts.lines)
    if as_json:
        return print_json(lines)
    table = PlainTable("name", "role", "since", whole=("name", "role"))
    for line in lines:
        table.add_row(line.name, line.role.value, when(config, line.created))
    show_table(table)
    return None


@click.group("api-token")
def api_token() -> None:
    """Which programs may use the board's API, and as what."""


@api_token.command("add")
@click.argument("name")
@click.option(
    "--role", type=click.Choice([Role.VIEWER.value, Role.MANAGER.value]),
    default=Role.VIEWER.value, show_default=True, help="viewer: reads all; manager: steers, too.",
)  # fmt: skip
@click.pass_obj
def add_token(path: Path, name: str, role: str) -> None:
    """Make a token, and print it once; an earlier one of the name is not valid any more."""
    config, now, token = load(path), datetime.now(UTC), f"autodial_{secrets.token_urlsafe(32)}"
    _check_name(name)
    read(config, accounts.lines)
    write(config.place, lambda db: acts.save_token(db, name, Role(role), token, actor(), now))
    say(token)


@api_token.command("remove")
@click.argument("name")
@click.pass_obj
def remove_token(path: Path, name: str) -> None:
    """A program may not use the API any more, at once."""
    config, now = load(path), datetime.now(UTC)
    if not write(config.place, lambda db: acts.remove_token(db, name, actor(), now)):
        raise click.ClickException(tr("no token is called {name}", name=name))
    say(tr("{name} may not use the API any more", name=name))


@api_token.command("list")
@as_json
@click.pass_obj
def list_tokens(path: Path, as_json: bool) -> None:
    """List the programs with a token."""
    config = load(path)
    lines = read(config, api_tokens.lines)
    if as_json:
        return print_json(lines)
    table = PlainTable("name", "role", "since", whole=("name", "role"))
    for line in lines:
        table.add_row(line.name, line.role.value, when(config, line.created))
    show_table(table)
    return None


def _check_name(name: str) -> None:
    if not re.fullmatch(r"[\w.@-]{1,40}", name):
        raise click.UsageError(tr("a name has 1 to 40 letters, digits, and . @ - _"))
