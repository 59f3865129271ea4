"""
A FastAGI library for Twisted.

``FastAgiServer`` routes sessions to scripts by path; a script is a coroutine that gets an
``AgiSession``. Knows Asterisk; knows nothing of portals or databases.
"""

from fastagi_server.errors import (
    AgiError,
    CallEnded,
    CommandFailed,
    CommandRefused,
    DeadChannel,
    SessionTimeout,
    UnknownCommand,
    UsageError,
    WireError,
)
from fastagi_server.server import BACKLOG, Counters, FastAgiServer
from fastagi_server.session import AgiSession, Script
from fastagi_server.wire import (
    AgiWire,
    Environment,
    Hangup,
    Reply,
    command,
    set_variables,
)

__all__ = [
    "BACKLOG",
    "AgiError",
    "AgiSession",
    "AgiWire",
    "CallEnded",
    "CommandFailed",
    "CommandRefused",
    "Counters",
    "DeadChannel",
    "Environment",
    "FastAgiServer",
    "Hangup",
    "Reply",
    "Script",
    "SessionTimeout",
    "UnknownCommand",
    "UsageError",
    "WireError",
    "command",
    "set_variables",
]
