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
from autodial.cli.history import end_of_test
from autodial.cli.language import spoken, tr
from autodial.cli.options import actor, load
from autodial.cli.output import read, say, words
from autodial.cli.portal import stopped_by_signals
from autodial.config.settings import Config
from autodial.engine import status_queries
from autodial.engine.do_not_call_list import DoNotCall
from autodial.engine.test_calls import TestCall
from autodial.errors import PbxError
from autodial.model.ids import internal_number
from autodial.model.outcome import Outcome
from autodial.model.task import Phone
from autodial.pbx.dialplan_check import ask_once
from autodial.rules.phone_fields import Entry
from autodial.rules.phone_numbers import dialable
from autodial.service.run import answer
from autodial.store import acts, dispositions, flags
from autodial.store.database import write
from autodial.store.events import Told, story
from call_files import CallFile, Spool

#: Seconds that the talk may take; the call itself goes on.
TALK = 300.0
#: Seconds until Asterisk has asked about it.
SOON = 15.0
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
    phone = _phone(config, number, dry=dry)
    call = TestCall(
        name=f"test-{10**9 + randbelow(9 * 10**9)}", number=phone.number, dtmf=phone.dtmf,
        extension=_extension(config, extension), dry=dry,
    )  # fmt: skip
    _check_phone(config, call.extension)
    spool, rings = Spool(config.asterisk.spool), config.asterisk.ring_client
    wait = rings * len(config.asterisk.trunks) + 15
    now = datetime.now(UTC)
    write(config.place, lambda db: acts.test_call(db, actor(), now, call.name, call.stored()))
    with stopped_by_signals():
        try:
            spool.submit(
                CallFile(
                    name=call.name, channel="Local/task@autodial-out/n",
                    context="autodial-answered", wait=wait, caller_id=config.asterisk.caller_id,
                    variables={"__AD_ID": call.name},
                )
            )  # fmt: skip
            ended = _follow(config, call, now, wait + config.asterisk.ring_operator + TALK)
        finally:
            spool.withdraw(call.name)  # harmless for a call that is up
    sys.exit(0 if ended == Outcome.TALKED.value else 1)


def _phone(config: Config, given: str | None, *, dry: bool) -> Phone:
    """The one number to dial, by the rules for the CRM's numbers, and on no do-not-call list."""
    if dry:
        return Phone(NOBODY, "", "", 0)
    if given is None:
        raise click.UsageError(tr("name a NUMBER, or --dry"))
    phones, refused = dialable([Entry(given, "", "", "", 0)], config.phones.rules)
    if refused:
        reason = words(refused[0].reason)
        raise click.UsageError(tr("{number} is not dialled: {reason}", number=given, reason=reason))
    if len(phones) != 1:
        raise click.UsageError(tr("{number}: name one number", number=given))
    number = phones[0].number
    unwanted = {line.number for line in read(config, dispositions.do_not_call_lines)}
    listed = DoNotCall(config.rules.do_not_call, config.phones.region).numbers()
    if phones[0].do_not_call or listed is None or number in listed | unwanted:
        raise click.ClickException(tr("{number} is on a do-not-call list", number=number))
    return phones[0]


def _extension(config: Config, given: str | None) -> str:
    if given is not None:
        if not internal_number(given):
            raise click.UsageError(tr("{number} is no internal number", number=given))
        return given
    now = datetime.now(UTC)
    for operator in read(config, lambda db: status_queries.operators(db, config, now)):
        if operator.free(now) and internal_number(operator.extension):
            return operator.extension
    raise click.ClickException(tr("no operator is free; name a phone with --operator"))


def _check_phone(config: Config, extension: str) -> None:
    """It can ring, as far as Asterisk can be asked."""
    if config.asterisk.ami_port is None:
        return
    try:
        state = answer(
            lambda reactor: ask_once(
                reactor, config, lambda ami: ami.value(f"DEVICE_STATE(PJSIP/{extension})")
            )
        )
    except PbxError:
        return  # doctor's matter
    if state in ("INVALID", "UNKNOWN"):
        raise click.ClickException(tr("Asterisk has no endpoint {name}", name=extension))
    if state == "UNAVAILABLE":
        raise click.ClickException(
            tr("the phone {extension} is off, or not registered", extension=extension)
        )


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
        if shown == 1 and monotonic() > end - patience + SOON:
            key = "fastagi.untouched" if untouched.exists() else "fastagi.unreached"
            raise click.ClickException(texts.text(key, spoken(), detail=""))
    raise click.ClickException(tr("no end was reported; see 'asterisk -rx \"core show channels\"'"))


def _lines(call: TestCall, event: Told) -> Iterator[str]:
    match event.kind:
        case "spooled":
            yield tr("the call file is in the spool")
        case "claimed":
            yield tr("Asterisk took it and asked the dialler: dial {number}",
                     number=tr("an echo, no carrier") if call.dry else call.number)  # fmt: skip
        case "answered":
            yield tr(
                "the client answered; the phone {extension} is to ring", extension=call.extension
            )
        case _:
            yield end_of_test(json.loads(event.detail))
