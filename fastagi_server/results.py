"""
Asterisk's answers as values: digits, ends of playback and recording, channel states.

A digit is a text of one character; empty means that no key was pressed. Asterisk answers with the
character code, and with -1 when the caller hung up or the command failed.
"""

import re
from enum import Enum

from attrs import frozen

from fastagi_server.errors import ActionFailed
from fastagi_server.wire import Reply


class ChannelState(Enum):
    """The answer to CHANNEL STATUS."""

    DOWN = 0  #: down and available
    RESERVED = 1  #: down, but reserved
    OFF_HOOK = 2
    DIALED = 3  #: digits have been dialled
    RING = 4  #: the line is ringing
    RINGING = 5  #: the remote end is ringing
    UP = 6
    BUSY = 7
    DIALING_OFF_HOOK = 8
    PRE_RING = 9


@frozen
class Played:
    """How a playback ended."""

    digit: str  #: the key that interrupted it; empty: played to its end
    #: Where it ended: samples (STREAM FILE, GET OPTION), or ms (CONTROL STREAM FILE; -1: its end).
    endpos: int


@frozen
class Digits:
    """What was keyed after a prompt."""

    digits: str
    timed_out: bool  #: fewer digits than allowed, or no end key


@frozen
class Recorded:
    """How a recording ended."""

    why: str  #: dtmf, timeout, or hangup
    digit: str
    endpos: int  #: its length in samples


@frozen
class Heard:
    """One guess of a speech engine."""

    text: str
    score: int
    grammar: str


@frozen
class Recognized:
    """The result of SPEECH RECOGNIZE."""

    kind: str  #: speech, digit, hangup or timeout
    digit: str
    endpos: int
    guesses: tuple[Heard, ...]


def number(reply: Reply) -> int:
    """The result as a number; ActionFailed if it is not a number, or negative."""
    if not re.fullmatch("[0-9]{1,10}", reply.result):
        raise ActionFailed(f"result={reply.result} {reply.value or ''} {reply.detail}".strip())
    return int(reply.result)


def done(reply: Reply) -> None:
    """For commands that answer 1 for success and 0 for failure."""
    if reply.result != "1":
        raise ActionFailed(f"result={reply.result} {reply.detail}".strip())


def digit(reply: Reply) -> str:
    """The key of a character code; empty: none."""
    code = number(reply)
    if code > 0x10FFFF:
        raise ActionFailed(f"result={reply.result} is not a key")
    return chr(code) if code else ""


def played(reply: Reply) -> Played:
    return Played(digit(reply), endpos(reply))


def digits(reply: Reply) -> Digits:
    if reply.result == "-1":
        number(reply)
    return Digits(reply.result, reply.value == "timeout")


def recorded(reply: Reply) -> Recorded:
    """A recording that ends with a hang-up is valid; -1 with any other value is a failure."""
    if reply.value == "hangup":
        return Recorded("hangup", "", endpos(reply))
    key = digit(reply)
    return Recorded(reply.value or "", key, endpos(reply))


def endpos(reply: Reply) -> int:
    match = re.search(r"\bendpos=(-?[0-9]{1,18})", reply.detail)
    return int(match.group(1)) if match else 0


def recognized(reply: Reply) -> Recognized:
    done(reply)
    # A guess may contain a bracket, so the value as the codec read it may be too long.
    answer = f"({reply.value or ''}){reply.detail}"
    kind = re.match(r"\(([a-z]*)\)", answer)
    key = re.search(r"\bdigit=(\S)", answer)
    end = re.search(r"\bendpos=(-?[0-9]{1,18})", answer)
    guesses = re.findall(r'\bscore\d+=(-?\d+) text\d+="(.*?)" grammar\d+=(\S*)', answer)
    return Recognized(
        kind.group(1) if kind else "",
        key.group(1) if key else "",
        int(end.group(1)) if end else 0,
        tuple(Heard(text, int(score), grammar) for score, text, grammar in guesses),
    )
