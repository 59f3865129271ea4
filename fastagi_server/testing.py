"""
A fake Asterisk for tests: the other end of one AGI session, without a socket.

It keeps variables, answers as Asterisk 22 answers, refuses what Asterisk refuses (a dead
channel's 511, a usage error's 520 block), and postpones commands that come before their turn, as
Asterisk does, so that a server which pipelines fails here too.
"""

import re
import shlex
from collections.abc import Mapping
from hashlib import sha1
from urllib.parse import quote

from twisted.internet.address import IPv4Address
from twisted.internet.testing import StringTransport

from fastagi_server.server import FastAgiServer
from fastagi_server.session import FAILURE

#: Commands that work after the caller has hung up (res_agi.c marks them "dead").
DEAD = ("NOOP", "GET VARIABLE", "GET FULL VARIABLE", "SET VARIABLE", "EXEC", "DATABASE", "VERBOSE")


class _Transport(StringTransport):
    """A transport with half-close, as TCP has it."""

    half_closed = False

    def loseWriteConnection(self) -> None:
        self.half_closed = True


class FakeAsterisk:
    """
    One channel that runs ``AGI(agi://127.0.0.1/<script>,<arguments>)``.

    ``variables`` holds what the server has set; ``commands`` what it sent, in order; ``database``
    is AstDB, ``globals`` are the dialplan's. ``dead`` makes it a hung-up channel. ``failed`` is
    true after a script that failed (AGISTATUS=FAILURE).
    """

    def __init__(self, server: FastAgiServer, *, dead: bool = False) -> None:
        self.server = server
        self.dead = dead
        self.variables: dict[str, str] = {}
        self.globals: dict[str, str] = {}
        self.database: dict[str, str] = {}
        self.commands: list[str] = []
        self.transport = _Transport(peerAddress=IPv4Address("TCP", "127.0.0.1", 40000))
        self.failed = False
        self._early = ""

    def connect(
        self, script: str, *arguments: str, channel: Mapping[str, str] | None = None
    ) -> None:
        """Open the session and send the environment."""
        protocol = self.server.buildProtocol(self.transport.getPeer())
        if protocol is None:
            self.transport.loseConnection()
            return
        self.protocol = protocol
        protocol.makeConnection(self.transport)
        self.send(environment(script, *arguments, channel=channel) + (b"HANGUP\n" * self.dead))

    def send(self, data: bytes) -> None:
        """Deliver bytes to the server and answer what it sends in return."""
        self.protocol.dataReceived(data)
        self.serve()

    def serve(self) -> None:
        """Answer commands until the server sends nothing more."""
        while text := self.transport.value().decode("utf-8", "surrogateescape"):
            self.transport.clear()
            lines = (self._early + text).split("\n")
            self._early = "" if self.transport.half_closed else "\n".join(lines[1:])
            runnable = lines[:-1] if self.transport.half_closed else lines[:1]
            for line in runnable:
                if line == FAILURE.decode().rstrip():
                    self.failed = True
                    return
                self.protocol.dataReceived(self._answer(line).encode("utf-8", "surrogateescape"))

    def hang_up(self) -> None:
        """The caller hangs up: Asterisk reports it and waits for the server to finish."""
        self.dead = True
        self.send(b"HANGUP\n")

    def _answer(self, line: str) -> str:
        self.commands.append(line)
        words = shlex.split(line)
        if self.dead and not line.upper().startswith(DEAD):
            return "511 Command Not Permitted on a dead channel or intercept routine\n"
        match words:
            case ["SET", "VARIABLE", name, value]:
                self.variables[name] = value
                return "200 result=1\n"
            case ["SET", "VARIABLE", *_]:
                return (
                    "520-Invalid command syntax.  Proper usage follows:\n520 End of proper usage.\n"
                )
            case ["GET", "VARIABLE", name]:
                return (
                    f"200 result=1 ({self.variables[name]})\n"
                    if name in self.variables
                    else "200 result=0\n"
                )
            case ["GET", "FULL", "VARIABLE", expression]:
                return f"200 result=1 ({self._evaluated(expression)})\n"
            case ["EXEC", "MSet", pairs]:
                for pair in _arguments(pairs):
                    name, _, value = pair.partition("=")
                    self.variables[name] = value
                return "200 result=0\n"
            case ["EXEC", *_] | ["VERBOSE", *_]:
                return "200 result=0\n"
            case ["NOOP", *_]:
                return "200 result=0\n"
            case ["DATABASE", "DEL", family, key]:
                return f"200 result={int(self.database.pop(f'{family}/{key}', None) is not None)}\n"
            case _:
                return "510 Invalid or unknown command\n"

    def _evaluated(self, expression: str) -> str:
        """Variables, alone or in URIENCODE(), and a SharedSecret's proof; else empty."""
        known = self.variables

        def encoded(match: re.Match[str]) -> str:
            return quote(known.get(match[1], ""), errors="surrogateescape")

        def hashed(match: re.Match[str]) -> str:
            return sha1(f"{match[1]}{self.globals.get(match[2], '')}".encode()).hexdigest()

        text = re.sub(r"\$\{URIENCODE\(\$\{([^{}]+)\}\)\}", encoded, expression)
        text = re.sub(r"\$\{SHA1\(([0-9a-f]*)\$\{GLOBAL\((\w+)\)\}\)\}", hashed, text)
        return re.sub(r"\$\{([^{}]+)\}", lambda match: known.get(match[1], ""), text)


def _arguments(text: str) -> list[str]:
    """Splits an application's arguments as Asterisk does."""
    parts, depth, quoted = [""], 0, False
    rest = iter(text)
    for character in rest:
        if character == "\\":
            parts[-1] += next(rest, "")
        elif character == '"':
            quoted = not quoted
        elif character == "," and not depth and not quoted:
            parts.append("")
        else:
            depth += (character in "([") - (character in ")]")
            parts[-1] += character
    return parts


def environment(script: str, *arguments: str, channel: Mapping[str, str] | None = None) -> bytes:
    """The opening block as Asterisk 22 sends it."""
    rows = {
        "network": "yes",
        "network_script": script,
        "request": f"agi://127.0.0.1:4573/{script}",
        "channel": "Local/442079460000@autodial-out-00000001;2",
        "language": "en",
        "type": "Local",
        "uniqueid": "1761054322.7",
        "version": "22.10.1",
        "callerid": "74950000000",
        "calleridname": "unknown",
        "extension": "442079460000",
        "priority": "5",
        "enhanced": "0.0",
        "threadid": "140000000000000",
        **(channel or {}),
        **{f"arg_{number}": text for number, text in enumerate(arguments, 1)},
    }
    return "".join(f"agi_{key}: {value}\n" for key, value in rows.items()).encode() + b"\n"
