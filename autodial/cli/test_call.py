"""The command ``test-call``: one call through everything, told step by step."""

import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from secrets import randbelow
from time import monotonic, sleep

import click

from autodial import texts
from autodial.cli.language import spoken, tr
from autodial.cli.options import load
from autodial.cli.output import read, say, words
from autodial.config.settings import Config
from autodial.engine.do_not_call_list import DoNotCall
from autodial.engine.test_calls import TestCall
from autodial.model.ids import internal_number
from autodial.model.outcome import Outcome
from autodial.rules.phone_numbers import numbers_in
from autodial.store import dispositions, flags, views
from autodial.store.database import write
from autodial.store.events import Told, note, story
from call_files import CallFile, Spool

#: Seconds that the talk may take; the call itself goes on.
TALK = 300.0
#: Number of the client of a dry call; it is not dialled.
NOBODY = "+10000000000"


@click.command("test-call")
@click.argument("number", required=False)
@click.option("--operator", "extension", help="Whose phone rings; else the first one that is free.")
@click.option("--dry", is_flag=True, help="Without a carrier: the client is an echo.")
@click.pass_obj
def test_call(path: Path, number: str | None, extension: str | None, dry: bool) -> None:
    """
    Call NUMBER and connect it to an operator's phone, as the dialler does, with the time that each
    step takes. No task, no outcome, nothing in the portal. Exit code 0: they talked.
    """
    config = load(path)
    if not read(config, lambda db: flags.running(db, datetime.now(UTC))):
        raise click.ClickException(
            tr("the dialler does not run, and it answers Asterisk: systemctl start autodial24")
        )
    call = TestCall(
        name=f"test-{10**9 + randbelow(9 * 10**9)}", number=_number(config, number, dry=dry),
        extension=_extension(config, extension), dry=dry,
    )  # fmt: skip
    spool, rings = Spool(config.asterisk.spool), config.asterisk.ring_client
    wait = rings * len(config.asterisk.trunks) + 15
    now = datetime.now(UTC)

    def ask(db: object) -> None:
        flags.tell(db, now, flags.TEST_CALL, call.stored())  # type: ignore[arg-type]
        note(db, now, 0, "spooled", "", call.name)  # type: ignore[arg-type]

    write(config.store.path, ask)
    spool.submit(
        CallFile(
            name=call.name, channel="Local/task@autodial-out/n", context="autodial-answered",
            wait=wait, caller_id=config.asterisk.caller_id, variables={"__AD_ID": call.name},
        )
    )  # fmt: skip
    try:
        ended = _follow(config, call, now, wait + config.asterisk.ring_operator + TALK)
    except KeyboardInterrupt:
        spool.withdraw(call.name)
        raise
    sys.exit(0 if ended == Outcome.TALKED.value else 1)


def _number(config: Config, given: str | None, *, dry: bool) -> str:
    if given is None:
        if dry:
            return NOBODY
        raise click.UsageError(tr("name a NUMBER, or --dry"))
    numbers = numbers_in(given, config.phones.region)
    if not numbers:
        raise click.UsageError(tr("{number} is no phone number", number=given))
    number = sorted(numbers)[0]
    unwanted = {line.number for line in read(config, dispositions.do_not_call_lines)}
    listed = DoNotCall(config.rules.do_not_call, config.phones.region).numbers()
    if listed is None or number in listed | unwanted:
        raise click.ClickException(tr("{number} is on a do-not-call list", number=number))
    return number


def _extension(config: Config, given: str | None) -> str:
    if given is not None:
        if not internal_number(given):
            raise click.UsageError(tr("{number} is no internal number", number=given))
        return given
    for line in read(config, views.operator_lines):
        if line.phone == "NOT_INUSE" and internal_number(line.extension):
            return line.extension
    raise click.ClickException(tr("no operator's phone is free; name one with --operator"))


def _follow(config: Config, call: TestCall, begun: datetime, patience: float) -> str:
    """Print the steps as they happen; returns the outcome, empty if none came in time."""
    shown, end = 0, monotonic() + patience
    untouched = Spool(config.asterisk.spool).outgoing / f"{call.name}.call"
    while monotonic() < end:
        events = [
            event for event in read(config, lambda db: story(db, 0)) if event.attempt == call.name
        ]
        for event in events[shown:]:
            seconds = (event.at - begun).total_seconds()
            for line in _lines(call, event):
                say(f"{seconds:7.2f} s  {line}")
            if event.kind == "ended":
                return str(json.loads(event.detail)["outcome"])
        shown = len(events)
        sleep(0.1)
        if shown == 1 and monotonic() > end - patience + 15 and untouched.exists():
            Spool(config.asterisk.spool).withdraw(call.name)
            raise click.ClickException(texts.text("fastagi.untouched", spoken(), detail=""))
    raise click.ClickException(tr("no end was reported; see 'asterisk -rx \"core show channels\"'"))


def _lines(call: TestCall, event: Told) -> Iterator[str]:
    match event.kind:
        case "spooled":
            yield tr("the call file is in the spool")
        case "claimed":
            yield tr("Asterisk took it and asked the dialler: dial {number}",
                     number=tr("an echo, no carrier") if call.dry else call.number)  # fmt: skip
        case "answered":
            yield tr("the client answered; the phone {extension} rings", extension=call.extension)
        case _:
            told = json.loads(event.detail)
            details = [told["trunk"], told["tech"]]
            if told["cause"]:
                details.append(tr("cause {number}", number=told["cause"]))
            if told["talk"]:
                details.append(texts.lasted(told["talk"], spoken()))
            yield "; ".join([words(told["outcome"]), *filter(None, details)])
