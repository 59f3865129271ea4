"""
The targets: for each input, what must hold for any bytes. A target that raises is a finding.
"""

import json
import tomllib
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from twisted.internet.task import Clock

from autodial import texts
from autodial.config.load import parse
from autodial.errors import ConfigError, PbxError
from autodial.model.ids import attempt_id, internal_number
from autodial.pbx.ami import CHANNEL_FIELDS
from autodial.pbx.ami_wire import AmiWire, Listing, NotAmi
from autodial.rules.hangup import outcome_of, parse_report
from autodial.rules.numbering_plan import is_emergency
from autodial.rules.phone_fields import Entry
from autodial.rules.phone_numbers import PhoneRules, dialable, e164
from bitrix24 import Answer, PortalError
from bitrix24.wire import decode
from call_files import CallFile, CallFileError
from fastagi_server import AgiSession, CommandRefused, FastAgiServer, WireError, set_variables
from fastagi_server.testing import FakeAsterisk
from fastagi_server.wire import AgiWire, Environment, command
from tests.unit.bitrix24.test_answers import JUNK, places, put
from tests.unit.bitrix24.test_samples import SHAPES, answered, load

Target = Callable[[bytes], None]


def agi(data: bytes) -> None:
    """
    The codec: events or WireError, the same however TCP cut the bytes. A session: it ends, and its
    server goes on.
    """
    cut = len(data) // 2
    whole, halves = AgiWire(), AgiWire()
    try:
        events = whole.receive(data)
    except WireError:
        events = None
    with suppress(WireError):
        pieces = halves.receive(data[:cut]) + halves.receive(data[cut:])
        assert events is None or pieces == events
    for event in events or ():
        if isinstance(event, Environment):
            assert all(isinstance(text, str) for text in (event.script, *event.arguments))
            assert isinstance(event.variables, Mapping)
    asterisk = FakeAsterisk(FastAgiServer({"claim": _script}, Clock()))
    session = asterisk.server.admit("127.0.0.1")
    assert session is not None
    session.makeConnection(asterisk.transport)
    session.dataReceived(data)
    _one_line(data)


async def _script(call: AgiSession) -> None:
    await call.get("NAME")
    await call.batch(set_variables({"A": call.argument(0)[:100].replace("\n", "")}))


def _one_line(data: bytes) -> None:
    """Whatever a command carries, it is one command."""
    text = data.decode("utf-8", "surrogateescape")
    for make in (lambda: command("SET VARIABLE", "A", text), lambda: set_variables({"A": text})):
        try:
            line = make()
        except CommandRefused:
            continue
        assert line.endswith(b"\n") and line.count(b"\n") == 1 and len(line) <= 2000


def ami(data: bytes) -> None:
    """Messages or NotAmi; a list is whole or an error, and its rows have all their fields."""
    try:
        messages = AmiWire().receive(data)
    except NotAmi:
        return
    listing = Listing("CoreShowChannel", "CoreShowChannelsComplete", CHANNEL_FIELDS)
    for message in messages:
        if message.get("ActionID") != "1":
            listing.stray()
        elif listing.take(message):
            break
    with suppress(PbxError):
        for row in listing.result():
            assert len(row.all("Channel")) == 1 and set(CHANNEL_FIELDS) <= dict(row.fields).keys()


def portal(data: bytes) -> None:
    """An answer's body, to each question the client has: a result, or an error of the portal."""
    which, body = (data[0] % len(SHAPES), data[1:]) if data else (0, b"")
    with suppress(PortalError):
        decode(Answer(200 + which, body), "x")
    try:
        payload = json.loads(body)
    except RecursionError:
        return
    except ValueError:
        # Not JSON: each pair of bytes is a place in a recorded answer, and another value for it.
        payload = load(SHAPES[which].name)
        for place, junk in zip(body[:12:2], body[1:12:2], strict=False):
            paths = places(payload)
            payload = put(payload, paths[place % len(paths)], JUNK[junk % len(JUNK)])
    with suppress(PortalError, RecursionError):  # of json.dumps in ``answered``
        answered(SHAPES[which], payload)


RULES = tuple(
    PhoneRules(region=region, short=short)
    for region in ("RU", "GB")
    for short in ("refuse", "allow")
)


def phones(data: bytes) -> None:
    """A field of the CRM and a line of a list: digits that can be dialled, or a reason."""
    text = data.decode("utf-8", "replace")
    for rules in RULES:
        accepted, refused = dialable([Entry(text, "WORK", "x", "CONTACT", 1)], rules)
        for phone in accepted:
            digits = phone.number.removeprefix("+")
            assert digits.isascii() and digits.isdigit() and 2 <= len(digits) <= 17
            assert phone.number.startswith("+") or not is_emergency(phone.number, rules.region)
            assert phone.dtmf == "" or (phone.dtmf.isascii() and phone.dtmf.isdigit())
        assert all(one.reason in texts.CATALOGUE for one in refused)
        number = e164(text, rules.region)
        assert number is None or (
            number[0] == "+" and number[1:].isascii() and number[1:].isdigit()
        )


def call_files(data: bytes) -> None:
    """A call file has exactly the lines that were set, or is refused."""
    text = data.decode("utf-8", "surrogateescape")
    name, _, value = text.partition("=")
    try:
        rendered = CallFile(
            name="t1-1",
            channel=value or "Local/1@x/n",
            context="autodial-answered",
            wait=30,
            caller_id=name if len(name) % 3 == 0 else "",
            variables={name or "A": value},
        ).render()
    except CallFileError:
        return
    rows = rendered.split("\n")
    assert rows.pop() == ""
    keys = [row.partition(":")[0] for row in rows]
    expected = [
        "Channel",
        "WaitTime",
        "MaxRetries",
        "RetryTime",
        "Context",
        "Extension",
        "Priority",
    ]
    assert [key for key in keys if key not in ("CallerID", "Setvar")] == expected
    assert keys.count("Setvar") == 1 and rows[-1] == f"Setvar: {name or 'A'}={value}"
    assert not any(";" in row or "\r" in row for row in rows)


_WHOLE: dict[str, Any] = {
    "portal": {"webhook": "https://portal.example.com/rest/1/secret/"},
    "tasks": {"tag": "autodial"},
    "staff": {"departments": [5]},
    "asterisk": {"spool": "/x/outgoing", "trunks": [{"name": "c", "lines": 1}]},
}


def configuration(data: bytes) -> None:
    """A file: a usable configuration, or a sentence for each mistake."""
    try:
        settings = tomllib.loads(data.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError):
        return
    merged = dict(_WHOLE)
    for name, section in settings.items():
        old = merged.get(name)
        both = isinstance(old, dict) and isinstance(section, dict)
        merged[name] = {**old, **section} if both else section  # type: ignore[dict-item]
    try:
        config = parse(merged, "fuzz.toml")
    except ConfigError as error:
        assert str(error)
        return
    looks = config.looks
    assert len(looks.name(looks.of(""), client="x" * 1000, task=1, title="y").encode()) <= 79
    assert "secret" not in repr(config.portal.webhook)
    for meaning in (
        "limits",
        "when",
        "routing",
        "query",
        "write_back",
        "rules_for_retry",
        "reading",
    ):
        getattr(config, meaning)


def reports(data: bytes) -> None:
    """A report from AstDB or an AGI argument: any bytes give an outcome."""
    text = data.decode("utf-8", "surrogateescape")
    report = parse_report(text.split(","))
    assert outcome_of(report)
    attempt = attempt_id(text)
    assert attempt is None or (attempt.isascii() and attempt.isprintable())
    assert internal_number(text) in ("", text)
    shown = texts.escaped(text)
    assert shown.isprintable() or all(ord(char) > 127 or char.isprintable() for char in shown)
    assert "\n" not in shown and "\x1b" not in shown
    texts.caller_name(text).encode()


TARGETS: Mapping[str, Target] = {
    "agi": agi,
    "ami": ami,
    "portal": portal,
    "phones": phones,
    "call_files": call_files,
    "configuration": configuration,
    "reports": reports,
}
