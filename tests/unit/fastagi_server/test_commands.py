"""Each AGI command: the line that is sent, and the meaning of its answers."""

from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

import pytest
from attrs import define, field

from autodial.coroutines import run_now
from fastagi_server import (
    ActionFailed,
    ChannelState,
    CommandRefused,
    Commands,
    Digits,
    Heard,
    Played,
    Recognized,
    Recorded,
    Reply,
    UnknownApplication,
)
from fastagi_server.wire import AgiWire

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
EPOCH = int(NOON.timestamp())


@define
class Asked(Commands):
    """Answers every command with the same line."""

    reply_line: str
    sent: list[str] = field(factory=list)

    async def send(self, line: bytes) -> Reply:
        self.sent.append(line.decode().rstrip("\n"))
        wire = AgiWire()
        wire.receive(b"agi_network: yes\n\n")
        (reply,) = wire.receive(f"{self.reply_line}\n".encode())
        assert isinstance(reply, Reply)
        return reply


Ask = Callable[[Commands], Coroutine[Any, Any, object]]


@pytest.mark.parametrize(
    ("ask", "line", "answer", "expected"),
    [
        (lambda c: c.answer(), "ANSWER", "200 result=0", None),
        (lambda c: c.hangup(), "HANGUP", "200 result=1", None),
        (lambda c: c.hangup("PJSIP/x"), 'HANGUP "PJSIP/x"', "200 result=1", None),
        (lambda c: c.channel_status(), "CHANNEL STATUS", "200 result=4", ChannelState.RING),
        (lambda c: c.get("A"), 'GET VARIABLE "A"', "200 result=1 (a (b) c)", "a (b) c"),
        (lambda c: c.get("A"), 'GET VARIABLE "A"', "200 result=0", None),
        (lambda c: c.get_full("${A}"), 'GET FULL VARIABLE "${A}"', "200 result=1 ()", ""),
        (
            lambda c: c.get_full("${A}", "PJSIP/x"), 'GET FULL VARIABLE "${A}" "PJSIP/x"',
            "200 result=1 (5)", "5",
        ),
        (lambda c: c.set("A", 'x"\\'), 'SET VARIABLE "A" "x\\"\\\\"', "200 result=1", None),
        (lambda c: c.set_many({"A": "1", "B": "2"}), 'EXEC "MSet" "A=1,B=2"', "200 result=0", None),
        (
            lambda c: c.set_many({"A": 'a,"b', "CALLERID(name)": "(\\"}),
            'EXEC "MSet" "A=a\\\\,\\\\\\"b,CALLERID(name)=\\\\(\\\\\\\\"', "200 result=0", None,
        ),
        (
            lambda c: c.get_many("A", "F(x)", "B"),
            'GET FULL VARIABLE "${URIENCODE(${A})}|${URIENCODE(${F(x)})}|${URIENCODE(${B})}"',
            "200 result=1 (one%0Atwo|%7C|)", ("one\ntwo", "|", ""),
        ),
        (lambda c: c.execute("Wait", "1"), 'EXEC "Wait" "1"', "200 result=0", 0),
        (lambda c: c.database_put("f", "k", "v"), 'DATABASE PUT "f" "k" "v"', "200 result=1", None),
        (lambda c: c.database_get("f", "k"), 'DATABASE GET "f" "k"', "200 result=1 (v)", "v"),
        (lambda c: c.database_get("f", "k"), 'DATABASE GET "f" "k"', "200 result=0", None),
        (lambda c: c.database_del("f", "k"), 'DATABASE DEL "f" "k"', "200 result=1", None),
        (lambda c: c.database_deltree("f"), 'DATABASE DELTREE "f"', "200 result=0", None),
        (lambda c: c.database_deltree("f", "t"), 'DATABASE DELTREE "f" "t"', "200 result=1", None),
        (lambda c: c.verbose("x", 3), 'VERBOSE "x" "3"', "200 result=1", None),
        (lambda c: c.noop(), "NOOP", "200 result=0", None),
        (lambda c: c.gosub("c", "s"), 'GOSUB "c" "s" "1"', "200 result=0 Gosub complete", None),
        (
            lambda c: c.gosub("c", "s", "n", "a", "b"), 'GOSUB "c" "s" "n" "a,b"',
            "200 result=0 Gosub complete", None,
        ),
        (lambda c: c.set_context("x"), 'SET CONTEXT "x"', "200 result=0", None),
        (lambda c: c.set_extension("x"), 'SET EXTENSION "x"', "200 result=0", None),
        (lambda c: c.set_priority("1"), 'SET PRIORITY "1"', "200 result=0", None),
        (lambda c: c.async_agi_break(), "ASYNCAGI BREAK", "200 result=0", None),
        (lambda c: c.set_autohangup(5), 'SET AUTOHANGUP "5"', "200 result=0", None),
        (lambda c: c.set_callerid("5"), 'SET CALLERID "5"', "200 result=1", None),
        (lambda c: c.set_music(True, "jazz"), 'SET MUSIC "ON" "jazz"', "200 result=0", None),
        (lambda c: c.set_music(False, "jazz"), 'SET MUSIC "OFF"', "200 result=0", None),
        (lambda c: c.tdd_mode(True), 'TDD MODE "on"', "200 result=1", True),
        (lambda c: c.tdd_mode(False), 'TDD MODE "off"', "200 result=0", False),
        (
            lambda c: c.stream_file("f", "12", 80), 'STREAM FILE "f" "12" "80"',
            "200 result=49 endpos=3520", Played("1", 3520),
        ),
        (
            lambda c: c.control_stream_file("f", "1", forward="6", pause="8", offset=9),
            'CONTROL STREAM FILE "f" "1" "3000" "6" "*" "8" "9"',
            "200 result=0 endpos=-1", Played("", -1),
        ),
        (
            lambda c: c.get_option("f", "1", 2.5), 'GET OPTION "f" "1" "2500"',
            "200 result=0 endpos=80", Played("", 80),
        ),
        (lambda c: c.get_data("f", 2, 4), 'GET DATA "f" "2000" "4"', "200 result=1234",
         Digits("1234", False)),
        (lambda c: c.get_data("f"), 'GET DATA "f" "6000" "1024"', "200 result=12 (timeout)",
         Digits("12", True)),
        (lambda c: c.get_data("f"), 'GET DATA "f" "6000" "1024"', "200 result= (timeout)",
         Digits("", True)),
        (lambda c: c.get_data("f"), 'GET DATA "f" "6000" "1024"', "200 result=*1",
         Digits("*1", False)),
        (lambda c: c.wait_for_digit(), 'WAIT FOR DIGIT "-1"', "200 result=42", "*"),
        (lambda c: c.wait_for_digit(0.5), 'WAIT FOR DIGIT "500"', "200 result=0", ""),
        (
            lambda c: c.record_file("f", timeout=9), 'RECORD FILE "f" "wav" "#" "9000" "0"',
            "200 result=35 (dtmf) endpos=8000", Recorded("dtmf", "#", 8000),
        ),
        (
            lambda c: c.record_file("f", beep=True, silence=3),
            'RECORD FILE "f" "wav" "#" "-1" "0" "BEEP" "s=3"',
            "200 result=0 (timeout) endpos=80", Recorded("timeout", "", 80),
        ),
        (
            lambda c: c.record_file("f"), 'RECORD FILE "f" "wav" "#" "-1" "0"',
            "200 result=-1 (hangup) endpos=80", Recorded("hangup", "", 80),
        ),
        (lambda c: c.say_alpha("a", "1"), 'SAY ALPHA "a" "1"', "200 result=49", "1"),
        (lambda c: c.say_digits("1"), 'SAY DIGITS "1" ""', "200 result=0", ""),
        (lambda c: c.say_number(7), 'SAY NUMBER "7" ""', "200 result=0", ""),
        (lambda c: c.say_number(7, "", "f"), 'SAY NUMBER "7" "" "f"', "200 result=0", ""),
        (lambda c: c.say_phonetic("a"), 'SAY PHONETIC "a" ""', "200 result=0", ""),
        (lambda c: c.say_date(NOON), f'SAY DATE "{EPOCH}" ""', "200 result=0", ""),
        (lambda c: c.say_time(NOON), f'SAY TIME "{EPOCH}" ""', "200 result=0", ""),
        (
            lambda c: c.say_datetime(NOON, "", "H", "Asia/Tokyo"),
            f'SAY DATETIME "{EPOCH}" "" "H" "Asia/Tokyo"', "200 result=0", "",
        ),
        (lambda c: c.receive_char(1), 'RECEIVE CHAR "1000"', "200 result=65", "A"),
        (lambda c: c.receive_char(1), 'RECEIVE CHAR "1000"', "200 result=0 (timeout)", ""),
        (lambda c: c.receive_text(1), 'RECEIVE TEXT "1000"', "200 result=1 (да)", "да"),
        (lambda c: c.send_text("два слова"), 'SEND TEXT "два слова"', "200 result=0", None),
        (lambda c: c.send_image("i"), 'SEND IMAGE "i"', "200 result=0", None),
        (lambda c: c.speech_create("e"), 'SPEECH CREATE "e"', "200 result=1", None),
        (lambda c: c.speech_set("a", "b"), 'SPEECH SET "a" "b"', "200 result=1", None),
        (lambda c: c.speech_destroy(), "SPEECH DESTROY", "200 result=1", None),
        (
            lambda c: c.speech_load_grammar("g", "/p"), 'SPEECH LOAD GRAMMAR "g" "/p"',
            "200 result=1", None,
        ),
        (
            lambda c: c.speech_unload_grammar("g"), 'SPEECH UNLOAD GRAMMAR "g"', "200 result=1",
            None,
        ),
        (
            lambda c: c.speech_activate_grammar("g"), 'SPEECH ACTIVATE GRAMMAR "g"',
            "200 result=1", None,
        ),
        (
            lambda c: c.speech_deactivate_grammar("g"), 'SPEECH DEACTIVATE GRAMMAR "g"',
            "200 result=1", None,
        ),
        # The two forms that res_speech writes; there is no free engine to test them with.
        (
            lambda c: c.speech_recognize("p", 5), 'SPEECH RECOGNIZE "p" "5000"',
            '200 result=1 (speech) endpos=160 results=2 score0=900 text0="да (конечно)"'
            ' grammar0=yes score1=50 text1="нет" grammar1=yes',
            Recognized("speech", "", 160, (Heard("да (конечно)", 900, "yes"),
                                           Heard("нет", 50, "yes"))),
        ),
        (
            lambda c: c.speech_recognize("p", 5, 80), 'SPEECH RECOGNIZE "p" "5000" "80"',
            "200 result=1 (digit) digit=5 endpos=160", Recognized("digit", "5", 160, ()),
        ),
        (
            lambda c: c.speech_recognize("p", 5), 'SPEECH RECOGNIZE "p" "5000"',
            "200 result=1 (timeout) endpos=0", Recognized("timeout", "", 0, ()),
        ),
    ],
)  # fmt: skip
def test_a_command_and_its_answer(ask: Ask, line: str, answer: str, expected: object) -> None:
    asked = Asked(answer)

    assert expected == run_now(ask(asked))
    assert [line] == asked.sent


@pytest.mark.parametrize(
    ("ask", "answer"),
    [
        (lambda c: c.answer(), "200 result=-1"),
        (lambda c: c.stream_file("f"), "200 result=-1 endpos=0"),
        (lambda c: c.get_data("f"), "200 result=-1"),
        (lambda c: c.record_file("f"), "200 result=-1 (writefile) endpos=0"),
        (lambda c: c.set("A", "x"), "200 result=0"),
        (lambda c: c.database_put("f", "k", "v"), "200 result=0"),
        (lambda c: c.get_full("x", "PJSIP/nobody"), "200 result=0"),
        (lambda c: c.execute("Dial", "x"), "200 result=-1"),
        (lambda c: c.speech_recognize("p", 1), "200 result=0"),
        (lambda c: c.wait_for_digit(), "200 result=what"),
        (lambda c: c.wait_for_digit(), "200 result=1114112"),
        (lambda c: c.wait_for_digit(), "200 result=" + "9" * 5000),
    ],
)
def test_what_asterisk_did_not_do_is_an_error(ask: Ask, answer: str) -> None:
    with pytest.raises(ActionFailed):
        run_now(ask(Asked(answer)))


def test_an_application_nobody_knows_is_told_apart() -> None:
    with pytest.raises(UnknownApplication, match="NoSuchThing"):
        run_now(Asked("200 result=-2").execute("NoSuchThing"))


def test_a_moment_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="which time zone"):
        run_now(Asked("200 result=0").say_date(datetime(2026, 11, 23)))


@pytest.mark.parametrize("text", ["a\nHANGUP", "a\0", "\x7f"])
def test_no_argument_carries_a_second_command(text: str) -> None:
    asked = Asked("200 result=0")
    with pytest.raises(CommandRefused):
        run_now(asked.say_alpha(text))
    assert [] == asked.sent
