"""Every AGI command against the real Asterisk: the answers match our types."""

import re
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import defer
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

import fastagi_server
from demo.pbx import Exchange, exchange, free_ports
from fastagi_server import (
    ActionFailed,
    AgiError,
    AgiSession,
    ChannelState,
    DeadChannel,
    Digits,
    FastAgiServer,
    NotWell,
    Played,
    Recorded,
    UnknownApplication,
    UsageError,
    check,
    listen,
)
from fastagi_server import Script as AgiScript
from tests.documents import blocks
from tests.system.scene import add_dialplan

reactor: Any = _reactor
MOMENT = datetime(2026, 11, 23, 12, 30, tzinfo=UTC)
#: What people type, and what AGI cannot carry unless it is encoded.
ANY, LINES = 'Иванов (офис, [2)), "ООО \\ Рога" ${x} \\,', "one\ntwo"
DIALPLAN = """
[agi-quiet]
exten => s,1,Answer()
 same => n,Wait(100)

[agi-keys]
exten => s,1,Answer()
 same => n(again),Wait(0.3)
 same => n,SendDTMF(5,50,150)
 same => n,Goto(again)

[agi-run]
exten => _[a-z].,1,Answer()
 same => n,Set(TIMEOUT(absolute)=100)
 same => n,Set(LINES=${{URIDECODE(one%0Atwo)}})
 same => n,AGI(agi://127.0.0.1:{port}/${{EXTEN}})
 same => n,Set(DB(agitest/went-on)=next)
 same => n,Hangup()
exten => elsewhere,1,NoOp()
 same => n(there),Set(DB(agitest/went-on)=elsewhere)
 same => n,Hangup()

[agi-status]
exten => _[a-z].,1,Answer()
 same => n,AGI(agi://127.0.0.1:{port}/${{EXTEN}})
 same => n,Set(DB(agistatus/${{EXTEN}})=${{AGISTATUS}})
 same => n,Hangup()

[agi-dead]
exten => dead,1,Answer()
 same => n,Set(CHANNEL(hangup_handler_push)=agi-dead,handler,1)
 same => n,Hangup()
exten => handler,1,AGI(agi://127.0.0.1:{port}/dead)
 same => n,Return()

[agi-sub]
exten => s,1,Set(SUB=${{ARG1}}+${{ARG2}})
 same => n,Return()
"""
Ask = Callable[[AgiSession], Awaitable[object]]


class Script:
    """Runs a coroutine when Asterisk requests it, and returns its result."""

    def __init__(self) -> None:
        self.work: Callable[[AgiSession], Awaitable[object]] | None = None
        self.done: Deferred[object] = Deferred()

    async def __call__(self, call: AgiSession) -> None:
        assert self.work is not None
        try:
            result = await self.work(call)
        except BaseException as error:
            self.done.errback(error)
        else:
            self.done.callback(result)


class Bench:
    """A real Asterisk whose channels run a test's scripts."""

    def __init__(self, running: Exchange, port: int) -> None:
        self.pbx = running.pbx
        self.scripts = {name: Script() for name in ("keys", "quiet", "dead")}
        served: dict[str, AgiScript] = {
            **self.scripts,
            "does": _does,
            "fails": _fails,
            "refused": _refused,
        }
        self.server = FastAgiServer(served, reactor, deadline=90.0)
        self.port = listen(reactor, self.server, port)

    async def run(self, name: str, work: Callable[[AgiSession], Awaitable[object]]) -> Any:
        """Run on a channel whose other end keys 5 again and again, is quiet, or has hung up."""
        script = self.scripts[name]
        script.work, script.done = work, Deferred()
        place = f"{name}@agi-{'dead' if name == 'dead' else 'run'}"
        other = "s@agi-keys" if name == "keys" else "s@agi-quiet"
        self.pbx.cli(f"channel originate Local/{place}/n extension {other}")
        result = await script.done.addTimeout(80, reactor)
        while self.server.sessions:
            await deferLater(reactor, 0.05)
        return result


async def _does(call: AgiSession) -> None:
    await call.set("DONE", "1")


async def _fails(call: AgiSession) -> None:
    await call.set("DONE", "1")
    raise LookupError("no such task")


async def _refused(call: AgiSession) -> None:
    """The script may fail while Asterisk is busy; Asterisk reads the message afterwards."""
    call.send(b'WAIT FOR DIGIT "300"\n')
    raise LookupError("no such task")


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    (port,) = free_ports(1)
    with exchange(extensions=("101",), agi_port=port) as running:
        add_dialplan(running.pbx, "agi", DIALPLAN.format(port=port))
        bench = Bench(running, port)
        yield bench
        pytest_twisted.blockon(bench.port.stopListening())


FAILED, DEAD = ActionFailed, DeadChannel


async def outcome(call: AgiSession, ask: Ask) -> object:
    try:
        return await ask(call)
    except AgiError as error:
        return error


def name_of(call: AgiSession) -> str:
    return call.environment.variables["channel"]


#: In the order of ``agi show commands``: the command, and its result without keys.
QUIET: dict[str, tuple[Ask, object]] = {
    "answer": (lambda c: c.answer(), None),
    "asyncagi break": (lambda c: c.async_agi_break(), None),
    "channel status": (lambda c: c.channel_status(), ChannelState.UP),
    "channel status of another": (lambda c: c.channel_status(name_of(c)), ChannelState.UP),
    "channel status of nobody": (lambda c: c.channel_status("PJSIP/nobody"), FAILED),
    "database put": (lambda c: c.database_put("agitest", "k", 'в "кавычках" \\ и так'), None),
    "database get": (lambda c: c.database_get("agitest", "k"), 'в "кавычках" \\ и так'),
    "database get of nothing": (lambda c: c.database_get("agitest", "other"), None),
    "database del": (lambda c: c.database_del("agitest", "k"), None),
    "database del of nothing": (lambda c: c.database_del("agitest", "k"), None),
    "database deltree of nothing": (lambda c: c.database_deltree("agitest", "tree"), None),
    "exec": (lambda c: c.execute("Set", "A=раз, два"), 0),
    "exec of nothing": (lambda c: c.execute("NoSuchThing"), UnknownApplication),
    "get data": (lambda c: c.get_data("beep", 0.2, 3), Digits("", True)),
    "get full variable": (lambda c: c.get_full("<${A}> ${LEN(${A})}"), "<раз, два> 14"),
    "get full variable of another": (lambda c: c.get_full("${A}", name_of(c)), "раз, два"),
    "get full variable of nobody": (lambda c: c.get_full("${A}", "PJSIP/nobody"), FAILED),
    "get option": (lambda c: c.get_option("beep", "12", 0.2), Played),
    "get variable": (lambda c: c.get("A"), "раз, два"),
    "get variable of nothing": (lambda c: c.get("NOTHING"), None),
    "noop": (lambda c: c.noop("проба"), None),
    "receive char": (lambda c: c.receive_char(0.2), FAILED),
    "receive text": (lambda c: c.receive_text(0.2), FAILED),
    "record file": (lambda c: c.record_file("/tmp/agitest", timeout=0.3, beep=True), Recorded),
    "say alpha": (lambda c: c.say_alpha("a1"), ""),
    "say digits": (lambda c: c.say_digits("12"), ""),
    "say number": (lambda c: c.say_number(12, gender="f"), ""),
    "say phonetic": (lambda c: c.say_phonetic("a"), ""),
    "say date": (lambda c: c.say_date(MOMENT), ""),
    "say time": (lambda c: c.say_time(MOMENT), ""),
    "say datetime": (lambda c: c.say_datetime(MOMENT, form="H", zone="Europe/Moscow"), ""),
    "send image": (lambda c: c.send_image("nothing"), None),
    "send text": (lambda c: c.send_text("привет"), None),
    "set autohangup": (lambda c: c.set_autohangup(90), None),
    "set callerid": (lambda c: c.set_callerid('"Имя" <442079460000>'), None),
    "… was set": (lambda c: c.get_full("${CALLERID(name)} ${CALLERID(num)}"), "Имя 442079460000"),
    "set music": (lambda c: c.set_music(True, "default"), None),
    "set music off": (lambda c: c.set_music(False), None),
    "set variable": (lambda c: c.set("CALLERID(name)", 'ООО "Рога" \\ и ${копыта}, ;#'), None),
    "… is kept as it is": (lambda c: c.get("CALLERID(name)"), 'ООО "Рога" \\ и ${копыта}, ;#'),
    "set many": (lambda c: c.set_many({"ONE": "1", "__TWO": "два"}), None),
    "… were set": (lambda c: c.get_full("${ONE}${TWO}"), "1два"),
    "set many, any text": (lambda c: c.set_many({"ANY": ANY, "LAST": "("}), None),
    "get many": (lambda c: c.get_many("ANY", "LINES", "NOTHING", "LAST"), (ANY, LINES, "", "(")),
    "stream file": (lambda c: c.stream_file("beep"), Played),
    "stream file of nothing": (lambda c: c.stream_file("no-such-file", "5"), FAILED),
    "control stream file": (lambda c: c.control_stream_file("beep"), Played),
    "tdd mode": (lambda c: c.tdd_mode(True), False),
    "verbose": (lambda c: c.verbose("проба", 3), None),
    "wait for digit": (lambda c: c.wait_for_digit(0.2), ""),
    "speech create": (lambda c: c.speech_create("none"), FAILED),
    "speech set": (lambda c: c.speech_set("a", "b"), FAILED),
    "speech destroy": (lambda c: c.speech_destroy(), FAILED),
    "speech load grammar": (lambda c: c.speech_load_grammar("a", "/b"), FAILED),
    "speech unload grammar": (lambda c: c.speech_unload_grammar("a"), FAILED),
    "speech activate grammar": (lambda c: c.speech_activate_grammar("a"), FAILED),
    "speech deactivate grammar": (lambda c: c.speech_deactivate_grammar("a"), FAILED),
    "speech recognize": (lambda c: c.speech_recognize("beep", 0.2), FAILED),
    "gosub": (lambda c: c.gosub("agi-sub", "s", "1", "раз", "два"), None),
    "… has run": (lambda c: c.get("SUB"), "раз+два"),
    "gosub to nowhere": (lambda c: c.gosub("agi-sub", "nowhere"), FAILED),
    "set context": (lambda c: c.set_context("agi-run"), None),
    "set extension": (lambda c: c.set_extension("elsewhere"), None),
    "set priority of nothing": (lambda c: c.set_priority("nowhere"), UsageError),
    "set priority": (lambda c: c.set_priority("there"), None),
}
#: With a caller who keys 5: commands that are interrupted, or read the key.
KEYS: dict[str, tuple[Ask, object]] = {
    "get data": (lambda c: c.get_data("beep", 5, 2), Digits("55", False)),
    "get option": (lambda c: c.get_option("beep", "5", 5), "5"),
    "record file": (lambda c: c.record_file("/tmp/agitest2", escape="5", timeout=9), "5"),
    "say alpha": (lambda c: c.say_alpha("abcdefghijkl", "5"), "5"),
    "say digits": (lambda c: c.say_digits("1234567890", "5"), "5"),
    "say number": (lambda c: c.say_number(777777777, "5"), "5"),
    "say phonetic": (lambda c: c.say_phonetic("abcdef", "5"), "5"),
    "say date": (lambda c: c.say_date(MOMENT, "5"), "5"),
    "say time": (lambda c: c.say_time(MOMENT, "5"), "5"),
    "say datetime": (lambda c: c.say_datetime(MOMENT, "5"), "5"),
    "stream file": (lambda c: c.stream_file("vm-goodbye", "5"), Played),
    "control stream file": (lambda c: c.control_stream_file("vm-goodbye", "5"), Played),
    "wait for digit": (lambda c: c.wait_for_digit(5), "5"),
    "wait without an end": (lambda c: c.wait_for_digit(), "5"),
    "hangup of nobody": (lambda c: c.hangup("PJSIP/nobody"), FAILED),
    "hangup": (lambda c: c.hangup(), None),
}
#: After the caller has hung up.
GONE: dict[str, tuple[Ask, object]] = {
    "get variable": (lambda c: c.get("A"), None),
    "get full variable": (lambda c: c.get_full("${CONTEXT}"), "agi-dead"),
    "set variable": (lambda c: c.set("A", "1"), None),
    "exec": (lambda c: c.execute("NoOp"), 0),
    "database put": (lambda c: c.database_put("agitest", "dead", "1"), None),
    "database get": (lambda c: c.database_get("agitest", "dead"), "1"),
    "database del": (lambda c: c.database_del("agitest", "dead"), None),
    "database deltree": (lambda c: c.database_deltree("agitest"), None),
    "verbose": (lambda c: c.verbose("x"), None),
    "noop": (lambda c: c.noop(), None),
    "asyncagi break": (lambda c: c.async_agi_break(), None),
    "answer": (lambda c: c.answer(), DEAD),
    "hangup": (lambda c: c.hangup(), DEAD),
    "channel status": (lambda c: c.channel_status(), DEAD),
    "stream file": (lambda c: c.stream_file("beep"), DEAD),
    "gosub": (lambda c: c.gosub("agi-sub", "s"), DEAD),
    "set callerid": (lambda c: c.set_callerid("1"), DEAD),
    "set context": (lambda c: c.set_context("x"), DEAD),
}


async def all_of(call: AgiSession, table: dict[str, tuple[Ask, object]]) -> dict[str, object]:
    return {name: await outcome(call, ask) for name, (ask, _) in table.items()}


def differing(
    results: dict[str, object], table: dict[str, tuple[Ask, object]]
) -> dict[str, object]:
    """The results that differ from the table (a value or a class)."""
    wrong: dict[str, object] = {}
    for name, (_, wanted) in table.items():
        result = results[name]
        key = getattr(result, "digit", result) if isinstance(wanted, str) else result
        if not (isinstance(result, wanted) if isinstance(wanted, type) else key == wanted):
            wrong[name] = (wanted, result)
    return wrong


@pytest_twisted.ensureDeferred
async def test_with_nobody_keying(bench: Bench) -> None:
    results = await bench.run("quiet", lambda call: all_of(call, QUIET))
    assert {} == differing(results, QUIET)
    assert results["stream file"].endpos > 0
    assert "timeout" == results["record file"].why
    while "elsewhere" not in bench.pbx.cli("database show agitest went-on"):
        await deferLater(reactor, 0.05)


@pytest_twisted.ensureDeferred
async def test_with_a_caller_who_keys(bench: Bench) -> None:
    results = await bench.run("keys", lambda call: all_of(call, KEYS))
    assert {} == differing(results, KEYS)
    assert "5" == results["stream file"].digit == results["control stream file"].digit
    assert "dtmf" == results["record file"].why


@pytest_twisted.ensureDeferred
async def test_after_the_caller_has_gone(bench: Bench) -> None:
    results = await bench.run("dead", lambda call: all_of(call, GONE))
    assert {} == differing(results, GONE)


@pytest.mark.parametrize(
    ("script", "status"),
    [("does", "SUCCESS"), ("fails", "FAILURE"), ("refused", "FAILURE"), ("unknown", "FAILURE")],
)
@pytest_twisted.ensureDeferred
async def test_the_dialplan_sees_whether_a_script_failed(
    bench: Bench, script: str, status: str
) -> None:
    bench.pbx.cli(f"channel originate Local/{script}@agi-status/n extension s@agi-quiet")
    while not (output := bench.pbx.cli(f"database get agistatus {script}")).startswith("Value:"):
        await deferLater(reactor, 0.05)

    assert output.split()[1] == status


def test_no_command_of_this_asterisk_is_left_out(bench: Bench) -> None:
    """Each command of ``agi show commands`` is in one of the tables."""
    shown = bench.pbx.cli("agi show commands").splitlines()[2:]
    known = [re.match(r"\s*(?:Yes|No)\s+(.*?)   ", line) for line in shown]
    names = {match.group(1).strip() for match in known if match}
    asked = {*QUIET, *KEYS, *GONE}

    assert len(names) > 40
    assert set() == names - asked


def _guide() -> dict[str, Any]:
    """The scripts of the guide, unchanged."""
    known: dict[str, Any] = {"answer_of_a_slow_service": lambda _: Deferred()}
    known |= {name: getattr(fastagi_server, name) for name in fastagi_server.__all__}
    known |= {"reactor": reactor, "defer": defer}
    for block in blocks("docs/fastagi.md"):
        if block.startswith("async def"):
            exec(block, known)
    return known


@pytest.mark.parametrize(
    ("script", "channel", "variable", "value"),
    [
        ("read_digits", "keys", "CHOSEN", "55"),
        ("look_up", "quiet", "RESPONSIBLE", ""),
    ],
)
@pytest_twisted.ensureDeferred
async def test_the_guide_s_scripts_do_what_it_says(
    bench: Bench, script: str, channel: str, variable: str, value: str
) -> None:
    shown = _guide()[script]

    async def work(call: AgiSession) -> str | None:
        await shown(call)
        return await call.get(variable)

    assert await bench.run(channel, work) == value


@pytest_twisted.ensureDeferred
async def test_the_guide_s_batch_is_carried_out(bench: Bench) -> None:
    """The assertion in the guide holds on a real Asterisk: each command is answered with 200."""
    await bench.run("quiet", _guide()["answer_in_one"])


def test_the_guide_s_server_runs_and_is_well(tmp_path: Path) -> None:
    program = next(block for block in blocks("docs/fastagi.md") if "reactor.run()" in block)
    (port,) = free_ports(1)
    file = tmp_path / "hello.py"
    file.write_text(program.replace("4573", str(port)))
    running = subprocess.Popen([sys.executable, str(file)])
    address = f"agi://127.0.0.1:{port}/ping"
    try:
        while running.poll() is None:
            try:
                check(address)
            except NotWell as error:
                assert "is it running?" in str(error)
            else:
                break
        asked = [sys.executable, "-m", "fastagi_server", address]
        output = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
        assert output.startswith(f"{address}: well")
    finally:
        running.terminate()
        running.wait()
