"""
The AGI wire protocol, and nothing else.

Bytes go in, events come out; somebody else owns the socket and the clock. What is easy to get
wrong on this wire lives here (Asterisk's ``res/res_agi.c`` is the authority):

* ``HANGUP`` is a line of its own between replies, unasked for. When the caller is already gone
  it follows the last ``agi_`` line directly, or comes glued to the end of the environment;
* a usage error is a block of lines that opens with ``520-`` and ends with ``520 ``;
* GOSUB sends ``100 result=0 Trying...`` first and its real answer later;
* names are raw bytes. Asterisk cuts them at 79 bytes, in the middle of a character if need be,
  so bytes that are not UTF-8 are kept (surrogate escapes), never refused;
* a command longer than 2,047 bytes (Asterisk 16; 8,191 in 22) would be executed cut off and its
  rest executed *as the next command*; a newline would do the same. Both are refused.

A limit that no parser can lift: a variable that holds a newline breaks a reply into several
lines on Asterisk's side. It is noticed, unless the line before the newline ends with a bracket,
and ends the session. Ask for such values wrapped in ``${URIENCODE(...)}``.
"""

import re
from collections.abc import Mapping

from attrs import frozen

from fastagi_server.errors import CommandRefused, WireError

#: Longest line accepted from Asterisk, in bytes. Replies of 12,000 characters have been seen.
MAX_LINE = 65_536
#: Most lines of environment accepted; Asterisk sends about 25 plus one per argument.
MAX_ENVIRONMENT = 200
#: Longest command we send, newline included: the 2,047 of Asterisk 16 with a margin.
MAX_COMMAND = 2_000

_REPLY = re.compile(r"(\d{3}) (?:result=(\S*)(?: \((.*)\))?)?(.*)", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@frozen
class Environment:
    """The opening block: ``agi_`` variables without their prefix, and the arguments in order."""

    variables: Mapping[str, str]
    arguments: tuple[str, ...]

    @property
    def script(self) -> str:
        """The path of the agi:// address, without its query."""
        return self.variables.get("network_script", "").partition("?")[0].strip("/")


@frozen
class Reply:
    """The answer to one command: ``200 result=1 (value)`` or an error block."""

    code: int
    result: str = ""
    value: str | None = None
    detail: str = ""


@frozen
class Hangup:
    """The caller has gone. Commands that need a living channel will now be refused (511)."""


Event = Environment | Reply | Hangup


class AgiWire:
    """One AGI conversation, as the server sees it. Feed it bytes; it yields events."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._environment: dict[str, str] | None = {}
        self._usage: list[str] = []

    def receive(self, data: bytes) -> list[Event]:
        """Take what the network gave; return every event now complete."""
        self._buffer += data
        events: list[Event] = []
        start = 0
        while (end := self._buffer.find(b"\n", start)) >= 0:
            line = self._buffer[start:end]
            start = end + 1
            if len(line) > MAX_LINE:
                raise WireError(f"a line of more than {MAX_LINE} bytes")
            events += self._line(line.decode("utf-8", "surrogateescape").removesuffix("\r"))
        del self._buffer[:start]
        if len(self._buffer) > MAX_LINE:
            raise WireError(f"a line of more than {MAX_LINE} bytes")
        return events

    def _line(self, line: str) -> list[Event]:
        if self._environment is not None:
            return self._environment_line(line)
        if line == "HANGUP":
            return [Hangup()]
        if self._usage or line.startswith("520-"):
            return self._usage_line(line)
        match = _REPLY.fullmatch(line)
        if match is None:
            raise WireError(f"not a reply: {line[:80]!r}")
        code, result, value, detail = match.groups()
        if code == "100":
            return []  # GOSUB is on its way; its answer follows
        if value is None and detail.startswith(" ("):
            # Its rest is on the next line, and may look like the answer to the next command.
            raise WireError(f"a newline in a value: {line[:80]!r}")
        return [Reply(int(code), result or "", value, detail.strip())]

    def _environment_line(self, line: str) -> list[Event]:
        assert self._environment is not None
        if line in ("", "HANGUP"):
            opening = _environment(self._environment)
            self._environment = None
            # A caller already gone may leave HANGUP in place of, or before, the empty line.
            return [opening] if line == "" else [opening, Hangup()]
        key, colon, value = line.partition(":")
        if not colon or not key.startswith("agi_"):
            raise WireError(f"not an AGI environment: {line[:80]!r}")
        if len(self._environment) >= MAX_ENVIRONMENT:
            raise WireError(f"more than {MAX_ENVIRONMENT} lines of environment")
        self._environment[key.removeprefix("agi_")] = value.removeprefix(" ")
        return []

    def _usage_line(self, line: str) -> list[Event]:
        self._usage.append(line.removeprefix("520-").removeprefix("520 "))
        if len(self._usage) > MAX_ENVIRONMENT:
            raise WireError("a usage text without an end")
        if not line.startswith("520 "):
            return []
        usage, self._usage = self._usage, []
        return [Reply(520, detail="\n".join(usage))]


def _environment(variables: dict[str, str]) -> Environment:
    arguments: list[str] = []
    while (value := variables.get(f"arg_{len(arguments) + 1}")) is not None:
        arguments.append(value)
    return Environment(variables, tuple(arguments))


def command(*words: str) -> bytes:
    """
    Encode one command line.

    The first word is Asterisk's own name of the command and goes as it is (``SET VARIABLE``);
    the others are quoted, with ``\\`` and ``"`` escaped. Control characters are refused, not
    escaped: AGI has no way to carry them, and a newline would inject a second command.

    Raises:
        CommandRefused: a control character, or a line over MAX_COMMAND bytes.
    """
    name, *arguments = words
    line = " ".join([name, *(_quoted(argument) for argument in arguments)])
    if _CONTROL.search(line):
        raise CommandRefused(f"a control character in {line[:80]!r}")
    data = line.encode("utf-8", "surrogateescape") + b"\n"
    if len(data) > MAX_COMMAND:
        raise CommandRefused(f"{len(data)} bytes are more than {MAX_COMMAND}: {line[:60]!r}…")
    return data


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def set_variables(values: Mapping[str, str]) -> bytes:
    """
    Encode ``EXEC MSet``: many variables in one command and one round trip.

    MSet splits at commas and eats quotes, so it carries machine-made values only: free text is
    refused here and belongs in ``SET VARIABLE``.

    Raises:
        CommandRefused: a value with a comma, a quote, a backslash or a control character.
    """
    for name, value in values.items():
        if re.search(r'[,"\\=\x00-\x1f\x7f]', name) or re.search(r'[,"\\\x00-\x1f\x7f]', value):
            raise CommandRefused(f"MSet cannot carry {name}={value[:40]!r}; use SET VARIABLE")
    return command("EXEC", "MSet", ",".join(f"{name}={value}" for name, value in values.items()))
