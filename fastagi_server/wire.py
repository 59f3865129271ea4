"""
The AGI wire protocol, and nothing else.

Bytes go in, events come out; the socket and the clock are elsewhere. What is easy to get wrong in
this protocol is handled here (Asterisk's ``res/res_agi.c`` is the reference):

* ``HANGUP`` is a line of its own between replies, unsolicited. When the caller has already hung up
  it follows the last ``agi_`` line directly, or is joined to the end of the environment;
* a usage error is a block of lines that starts with ``520-`` and ends with ``520 ``;
* GOSUB sends ``100 result=0 Trying...`` first and its real answer later;
* names are raw bytes. Asterisk cuts them at 79 bytes, even in the middle of a character, so bytes
  that are not UTF-8 are kept (surrogate escapes), never refused;
* a command longer than 2,047 bytes (Asterisk 16; 8,191 in 22) would be cut, and its rest executed
  *as the next command*; a newline has the same effect. Both are refused.

A limit of the protocol itself: Asterisk splits a reply at a newline in a variable. This is
detected, unless the line before the newline ends with a bracket, and ends the session. Request
such values wrapped in ``${URIENCODE(...)}``.
"""

import re
from collections.abc import Mapping
from typing import NoReturn

from attrs import frozen

from fastagi_server.errors import CommandRefused, WireError

#: Longest line accepted from Asterisk, and longest opening block, in bytes. Replies of 12,000
#: characters have been seen.
MAX_LINE = 65_536
#: Most lines of environment accepted; Asterisk sends about 25 plus one per argument.
MAX_ENVIRONMENT = 200
#: Longest command we send, newline included: the 2,047 of Asterisk 16 with a margin.
MAX_COMMAND = 2_000

#: Most lines in a row that are no reply (``HANGUP``, ``100``). Asterisk sends HANGUP at the hangup
#: and at the end of a session.
MAX_IDLE = 8

_REPLY = re.compile(r"(\d{3}) (?:result=(\S*)(?: \((.*)\))?)?(.*)", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
#: Special characters of MSet: refused in a name, escaped in a value.
_SPLITS_NAME = re.compile(r'[,"\\=\x00-\x1f\x7f]')
_SPLITS_VALUE = re.compile(r'[,"\\()\[\]]')


class Environment:
    """
    The opening block: ``agi_`` variables without their prefix, and the arguments in order.

    It is parsed on demand: most scripts need only their arguments.
    """

    __slots__ = ("_block", "_variables")

    def __init__(self, block: bytes) -> None:
        self._block = block
        self._variables: Mapping[str, str] | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Environment) and self.variables == other.variables

    __hash__ = None  # type: ignore[assignment]  # never kept in sets

    def __repr__(self) -> str:
        return f"Environment({dict(self.variables)!r})"

    @property
    def variables(self) -> Mapping[str, str]:
        """All of them."""
        if self._variables is None:
            rows = _text(self._block).split("\n")
            pairs = (row.removesuffix("\r").partition(":") for row in rows if row)
            self._variables = {
                key.removeprefix("agi_"): value.removeprefix(" ") for key, _, value in pairs
            }
        return self._variables

    @property
    def arguments(self) -> tuple[str, ...]:
        """What the dialplan passed after the address: ``AGI(agi://host/script,one,two)``."""
        start = self._block.find(b"agi_arg_1:")
        if start < 0:
            return ()
        rows = self._block[start:].split(b"\n")  # the arguments are the last lines
        return tuple([_value(row) for row in rows if row.startswith(b"agi_arg_")])

    @property
    def script(self) -> str:
        """The path of the agi:// address, without its query."""
        start = self._block.find(b"agi_network_script:")
        if start < 0:
            return ""
        row = self._block[start : self._block.index(b"\n", start)]
        return _value(row).partition("?")[0].strip("/")


@frozen
class Reply:
    """The answer to one command: ``200 result=1 (value)`` or an error block."""

    code: int
    result: str = ""
    value: str | None = None
    detail: str = ""


@frozen
class Hangup:
    """The caller has hung up. Commands that need a live channel are now refused (511)."""


Event = Environment | Reply | Hangup

#: The answers to nearly all commands that set something, and their meaning.
COMMON: Mapping[bytes, Reply] = {
    f"200 result={result}\n".encode(): Reply(200, result) for result in ("0", "1")
}


class AgiWire:
    """One AGI session, on the server's side. Feed it bytes; it returns events."""

    __slots__ = ("_buffer", "_idle", "_skip_blank", "_usage", "between_lines", "opened")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.opened = False  #: the environment has been received
        #: The next byte starts a reply: one of COMMON needs no parsing.
        self.between_lines = False
        self._skip_blank = False
        self._idle = 0  #: lines in a row that are no reply
        self._usage: list[str] = []

    def receive(self, data: bytes) -> list[Event]:
        """Take received bytes; return every event that is now complete."""
        self._buffer += data
        events: list[Event] = []
        if b"\n" in data:
            if not self.opened:
                events += self._opening()
            if self.opened and self._buffer:
                *lines, rest = self._buffer.split(b"\n")
                self._buffer = rest
                for line in lines:
                    _bounded(line)
                    events += self._line(_text(line).removesuffix("\r"))
        _bounded(self._buffer)
        self.between_lines = self.opened and not self._buffer and not self._usage
        return events

    def _opening(self) -> list[Event]:
        """The environment, once it is complete; it comes in one piece or a few."""
        block = self._buffer
        lines = block.count(b"\n")
        # Counts complete lines only: what follows the block does not belong to it.
        of_it = block.count(b"\nagi_", 0, block.rfind(b"\n")) + block.startswith(b"agi_")
        if lines > MAX_ENVIRONMENT + 1 and of_it > MAX_ENVIRONMENT:
            raise WireError(f"more than {MAX_ENVIRONMENT} lines of environment")
        if of_it >= lines:
            return []  # only lines of the block so far
        if of_it == lines - 1 and block.endswith(b"\n\n"):
            opening, self._buffer, end = Environment(bytes(block[:-1])), bytearray(), b""
        else:
            start = 0
            while block.startswith(b"agi_", start):
                start = block.index(b"\n", start) + 1
            stop = block.index(b"\n", start)
            end = bytes(block[start:stop].removesuffix(b"\r"))
            if end not in (b"", b"HANGUP"):
                raise WireError(f"not an AGI environment: {end[:80]!r}")
            opening, self._buffer = Environment(bytes(block[:start])), block[stop + 1 :]
        self.opened = True
        if end == b"":
            return [opening]
        # If the caller has already hung up, HANGUP may replace or precede the empty line.
        self._skip_blank = True
        return [opening, Hangup()]

    def _line(self, line: str) -> list[Event]:
        blank, self._skip_blank = self._skip_blank and line == "", False
        if blank:
            return []
        if line == "HANGUP":
            self._idle += 1
            return [Hangup()] if self._idle <= MAX_IDLE else self._too_idle(line)
        if self._usage or line.startswith("520-"):
            return self._usage_line(line)
        match = _REPLY.fullmatch(line)
        if match is None:
            raise WireError(f"not a reply: {line[:80]!r}")
        code, result, value, detail = match.groups()
        if code == "100":
            self._idle += 1
            # GOSUB is on its way; its answer follows.
            return [] if self._idle <= MAX_IDLE else self._too_idle(line)
        self._idle = 0
        if value is None and detail.startswith(" ("):
            # Its rest is on the next line, and may look like the answer to the next command.
            raise WireError(f"a newline in a value: {line[:80]!r}")
        return [Reply(int(code), result or "", value, detail.strip())]

    def _too_idle(self, line: str) -> NoReturn:
        raise WireError(f"lines without an answer: {line[:80]!r}")

    def _usage_line(self, line: str) -> list[Event]:
        self._usage.append(line.removeprefix("520-").removeprefix("520 "))
        if len(self._usage) > MAX_ENVIRONMENT:
            raise WireError("a usage text that does not end")
        if not line.startswith("520 "):
            return []
        usage, self._usage = self._usage, []
        return [Reply(520, detail="\n".join(usage))]


def _bounded(line: bytes | bytearray) -> None:
    if len(line) > MAX_LINE:
        raise WireError(f"a line of more than {MAX_LINE} bytes")


def _text(data: bytes | bytearray) -> str:
    return data.decode("utf-8", "surrogateescape")


def _value(row: bytes) -> str:
    return _text(row.partition(b":")[2].removesuffix(b"\r").removeprefix(b" "))


def command(name: str, *arguments: str) -> bytes:
    """
    Encode one command line.

    The name is Asterisk's and is sent unchanged (``SET VARIABLE``); the arguments are quoted, with
    ``\\`` and ``"`` escaped. Control characters are refused, not escaped: AGI cannot carry them,
    and a newline would inject a second command.

    Raises:
        CommandRefused: a control character, or a line over MAX_COMMAND bytes.
    """
    text = '" "'.join(arguments)
    if "\\" in text or text.count('"') != 2 * len(arguments) - 2:
        text = '" "'.join([_escaped(argument) for argument in arguments])
    line = f'{name} "{text}"' if arguments else name
    if not line.isprintable() and _CONTROL.search(line):
        raise CommandRefused(f"a control character in {line[:80]!r}")
    data = line.encode("utf-8", "surrogateescape") + b"\n"
    if len(data) > MAX_COMMAND:
        raise CommandRefused(f"{len(data)} bytes are more than {MAX_COMMAND}: {line[:60]!r}…")
    return data


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def set_variables(values: Mapping[str, str]) -> bytes:
    """
    Encode ``EXEC MSet``: many variables in one command and one round trip.

    MSet splits at commas outside brackets, removes quotes, and takes the character after a
    backslash literally, so any text can be sent except control characters.

    Raises:
        CommandRefused: a control character, a name with a comma, a quote, a backslash or ``=``, or
            more than MAX_COMMAND bytes.
    """
    pairs = []
    for name, value in values.items():
        if _SPLITS_NAME.search(name):
            raise CommandRefused(f"not a variable's name: {name!r}")
        if _SPLITS_VALUE.search(value):
            value = _SPLITS_VALUE.sub(r"\\\g<0>", value)
        pairs.append(f"{name}={value}")
    return command("EXEC", "MSet", ",".join(pairs))
