"""
A FastAGI library for Twisted.

``FastAgiServer`` routes sessions to scripts by path; a script is a coroutine that gets an
``AgiSession``. Depends on Asterisk only, not on portals or databases.
"""

from fastagi_server.commands import Commands
from fastagi_server.errors import (
    ActionFailed,
    AgiError,
    CallEnded,
    CommandFailed,
    CommandRefused,
    DeadChannel,
    NotAuthenticated,
    SessionTimeout,
    UnknownApplication,
    UnknownCommand,
    UnknownScript,
    UsageError,
    WireError,
)
from fastagi_server.health import NotWell, check, ping
from fastagi_server.histogram import Histogram
from fastagi_server.rate_limited_log import RateLimitedLog
from fastagi_server.results import ChannelState, Digits, Heard, Played, Recognized, Recorded
from fastagi_server.secret import SharedSecret
from fastagi_server.server import BACKLOG, Counters, FastAgiServer
from fastagi_server.session import AgiSession, Script
from fastagi_server.tickets import Tickets
from fastagi_server.transport import AgiPort, listen
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
    "ActionFailed",
    "AgiError",
    "AgiPort",
    "AgiSession",
    "AgiWire",
    "CallEnded",
    "ChannelState",
    "CommandFailed",
    "CommandRefused",
    "Commands",
    "Counters",
    "DeadChannel",
    "Digits",
    "Environment",
    "FastAgiServer",
    "Hangup",
    "Heard",
    "Histogram",
    "NotAuthenticated",
    "NotWell",
    "Played",
    "RateLimitedLog",
    "Recognized",
    "Recorded",
    "Reply",
    "Script",
    "SessionTimeout",
    "SharedSecret",
    "Tickets",
    "UnknownApplication",
    "UnknownCommand",
    "UnknownScript",
    "UsageError",
    "WireError",
    "check",
    "command",
    "listen",
    "ping",
    "set_variables",
]
