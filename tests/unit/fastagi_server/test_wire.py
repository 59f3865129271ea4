"""The AGI codec: bytes to events, however the bytes are cut; texts to safe commands."""

import shlex
from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastagi_server import AgiWire, CommandRefused, Environment, Hangup, Reply, WireError, command
from fastagi_server.testing import environment
from fastagi_server.wire import MAX_COMMAND, MAX_LINE, set_variables

DIALOGUE = (
    environment("claim", "t1-1", "", 'Иван, "О\'К"')
    + b"200 result=1 (some (nested) text)\n"
    + b"HANGUP\n"
    + b"520-Invalid command syntax.  Proper usage follows:\n"
    + "Usage: SET VARIABLE <имя> <value>\n".encode()
    + b"520 End of proper usage.\n"
    + b"100 result=0 Trying...\n"
    + b"200 result=0\n"
    + b"510 Invalid or unknown command\n"
    + b"511 Command Not Permitted on a dead channel or intercept routine\n"
    + b"200 result=-2\n"
)
EVENTS = AgiWire().receive(DIALOGUE)


@given(st.lists(st.integers(1, len(DIALOGUE) - 1), unique=True))
def test_events_do_not_depend_on_how_tcp_cut_the_bytes(cuts: list[int]) -> None:
    wire = AgiWire()
    edges = [0, *sorted(cuts), len(DIALOGUE)]
    events = [
        event for start, end in pairwise(edges) for event in wire.receive(DIALOGUE[start:end])
    ]

    assert events == EVENTS


def test_a_dialogue_is_read_as_asterisk_meant_it() -> None:
    opening, *rest = EVENTS
    assert isinstance(opening, Environment)

    assert (opening.script, opening.arguments) == ("claim", ("t1-1", "", 'Иван, "О\'К"'))
    assert [
        Reply(200, "1", "some (nested) text"),
        Hangup(),
        Reply(520, detail="Invalid command syntax.  Proper usage follows:\n"
              "Usage: SET VARIABLE <имя> <value>\nEnd of proper usage."),
        Reply(200, "0"),
        Reply(510, detail="Invalid or unknown command"),
        Reply(511, detail="Command Not Permitted on a dead channel or intercept routine"),
        Reply(200, "-2"),
    ] == rest  # fmt: skip


@pytest.mark.parametrize("end", [b"\nHANGUP\n", b"HANGUP\n", b"HANGUP\n200 result=1\n"])
def test_hangup_glued_to_the_environment(end: bytes) -> None:
    """
    The caller hung up before the first command: HANGUP comes before, in place of, or after the
    empty line.
    """
    events = AgiWire().receive(environment("claim").rstrip(b"\n") + b"\n" + end)

    assert isinstance(events[0], Environment)
    assert Hangup() == events[1]


def test_a_name_cut_in_the_middle_of_a_character_is_kept() -> None:
    """Asterisk cuts at 79 bytes; such bytes are not UTF-8, and must not end the session."""
    raw = "Ж".encode() * 39 + b"\xd0"
    block = environment("claim").replace(b"agi_calleridname: unknown", b"agi_calleridname: " + raw)
    (opening,) = AgiWire().receive(block)
    assert isinstance(opening, Environment)

    assert raw == opening.variables["calleridname"].encode("utf-8", "surrogateescape")


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        b"agi_network: yes\nnetwork: yes\n",
        environment("x") + b"hello\n",
        b"agi_x: " + b"y" * MAX_LINE,
        b"agi_x: " + b"y" * MAX_LINE + b"\n",
        b"".join(b"agi_%d: 1\n" % n for n in range(300)),
        environment("x") + b"520-usage\n" + b"more\n" * 300,
    ],
)
def test_what_is_not_agi_is_an_error(data: bytes) -> None:
    with pytest.raises(WireError):
        AgiWire().receive(data)


@given(st.binary(max_size=400))
def test_no_bytes_do_worse_than_a_wire_error(data: bytes) -> None:
    with suppress(WireError):
        AgiWire().receive(environment("x") + data)


@given(st.text(st.characters(blacklist_categories=["Cc", "Cs"]), max_size=200))
def test_any_text_arrives_as_one_word(text: str) -> None:
    """The quoting matches Asterisk's parser: blanks, quotes, backslashes."""
    line = command("SET VARIABLE", "A", text).decode().removesuffix("\n")

    assert ["SET", "VARIABLE", "A", text] == shlex.split(line)


@pytest.mark.parametrize("text", ["a\nEXEC System id", "a\r", "\0", "\x1b[2J", "\x7f"])
def test_control_characters_are_refused(text: str) -> None:
    """A newline would inject a second command."""
    with pytest.raises(CommandRefused):
        command("SET VARIABLE", "A", text)


def test_a_command_too_long_for_asterisk_16_is_refused() -> None:
    """The part beyond the limit would be executed as the next command."""
    fits = command("SET VARIABLE", "A", "x" * (MAX_COMMAND - len(command("SET VARIABLE", "A", ""))))

    assert len(fits) == MAX_COMMAND
    with pytest.raises(CommandRefused):
        command("SET VARIABLE", "A", "x" * MAX_COMMAND)


@pytest.mark.parametrize(
    ("name", "value"), [("A", "a\nb"), ("A=B", "x"), ("A,B", "x"), ("A", "x" * MAX_COMMAND)]
)
def test_mset_refuses_what_would_break_it(name: str, value: str) -> None:
    with pytest.raises(CommandRefused):
        set_variables({name: value})


@pytest.mark.parametrize("end", [b"HANGUP\n", b"HANGUP\n\n", b"\nHANGUP\n"])
@pytest.mark.parametrize("pieces", ["whole", "bytes"])
def test_a_caller_already_gone_leaves_his_word_before_or_behind_the_block(
    end: bytes, pieces: str
) -> None:
    """HANGUP may stand in each of these places, cut anywhere; the next reply is still a reply."""
    data = environment("x", "a b")[:-1] + end + b"200 result=1 (y)\n"
    wire = AgiWire()
    parts = [data] if pieces == "whole" else [data[n : n + 1] for n in range(len(data))]
    events = [event for part in parts for event in wire.receive(part)]

    assert events == [
        parsed(environment("x", "a b")), Hangup(), Reply(200, "1", "y")
    ]  # fmt: skip


def test_what_a_block_does_not_say_is_empty() -> None:
    """A peer other than Asterisk may omit fields that Asterisk always sends."""
    environment = parsed(b"agi_request: agi://127.0.0.1\n\n")

    assert (environment.script, environment.arguments) == ("", ())
    assert repr(environment) == "Environment({'request': 'agi://127.0.0.1'})"


def parsed(block: bytes) -> Environment:
    (event,) = AgiWire().receive(block)
    assert isinstance(event, Environment)
    return event


@pytest.mark.parametrize("line", [b"HANGUP\n", b"100 result=0 Trying...\n"])
def test_lines_that_answer_nothing_have_an_end(line: bytes) -> None:
    """
    A stranger's stream of such lines would keep the server busy. The few that Asterisk sends are
    read.
    """
    wire = AgiWire()
    wire.receive(environment("x"))
    for _ in range(5):
        wire.receive(line * 5)
        wire.receive(b"200 result=0\n")
    with pytest.raises(WireError, match="without an answer"):
        wire.receive(line * 1000)
