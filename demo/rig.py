"""
The test bench on one machine: exchange, simulated portal, and the dialler as a process of its own,
started as an administrator starts it. The demo and the system tests use it.
"""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import tomlkit
from attrs import define, field

from autodial.board.passwords import hashed
from autodial.config.place import Place, Server
from autodial.model.act import Actor, Door
from autodial.model.role import Role
from autodial.store import acts
from autodial.store.database import write
from bitrix24.simulator import SimulatedPortal, serve
from bitrix24.simulator.seed import DEPARTMENT, TAG, add_contact, add_operator, add_task
from demo.pbx import Exchange, exchange, free_ports
from fastagi_server import BACKLOG

#: Seconds to wait for anything on a busy machine before it counts as failed.
PATIENCE = 120.0


#: Socket activation as systemd does it: descriptor 3, and the receiving process.
_HAND_OVER = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_FDS="1", LISTEN_FDNAMES="fastagi", LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[2], sys.argv[2:])
"""


#: A dialler that waits less: until its reconciler gives up an attempt without a channel, and for
#: a message to the portal that failed again and again.
_SOONER = """
import sys
from datetime import timedelta
from autodial.pbx import reconciler
from autodial.portal import reporter
from autodial.service import app
grace, deferral = sys.argv.pop(1), sys.argv.pop(1)
if grace:
    reconciler.GRACE, app.SWEEP = timedelta(seconds=float(grace)), 2.0
if deferral:
    reporter.DEFERRALS = (timedelta(seconds=float(deferral)),) * 3
from autodial.__main__ import start
start()
"""


class RigError(Exception):
    """An expected event did not happen."""


@define
class Rig:
    """All running parts, and methods to break them."""

    exchange: Exchange
    portal: SimulatedPortal
    directory: Path
    port: int  #: of the FastAGI server
    settings: dict[str, Any]
    #: Seconds after which the reconciler gives up an attempt without a channel; None: its default.
    grace: float | None = None
    #: Seconds for which a message that fails repeatedly is put off; None: its defaults.
    deferral: float | None = None
    #: Seconds that the portal takes for each request, from the next ``portal_up`` on.
    latency: float = field(default=0.0, init=False)
    #: Python's development mode for the dialler: more warnings, and twice the CPU.
    development: bool = field(default=True, init=False)
    dialler: "subprocess.Popen[bytes] | None" = field(default=None, init=False)
    board: "subprocess.Popen[bytes] | None" = field(default=None, init=False)
    _numbers: Counter[str] = field(factory=Counter, init=False)
    _serving: ExitStack = field(factory=ExitStack, init=False)
    _portal_port: int = field(default=0, init=False)
    _held: socket.socket | None = field(default=None, init=False)

    @property
    def config(self) -> Path:
        return self.directory / "autodial.toml"

    @property
    def store(self) -> Path:
        return self.directory / "autodial.sqlite"

    @property
    def place(self) -> Place:
        """Where the store is: that file, or a database that others use, too."""
        url = self.settings["store"].get("url")
        return Server(url, self.settings["node"]["name"]) if url else self.store

    @property
    def log(self) -> Path:
        return self.directory / "autodial.log"

    def portal_up(self) -> None:
        """Serve the portal, always at the same address, with its data."""
        webhook = self._serving.enter_context(
            serve(self.portal, port=self._portal_port, latency=self.latency)
        )
        self._portal_port = int(webhook.split(":")[2].partition("/")[0])
        self.settings["portal"]["webhook"] = webhook

    @property
    def portal_page(self) -> str:
        """The address of the portal's page for a browser."""
        return f"http://127.0.0.1:{self._portal_port}/"

    def portal_down(self) -> None:
        self._serving.close()

    def operator(self, number: int, extension: str, fate: str = "talks") -> None:
        """Add an operator at work, with a phone that does ``fate``."""
        add_operator(self.portal, number, extension, seen=datetime.now(UTC))
        self.exchange.set_fate(extension, fate)

    def logout(self, number: int) -> None:
        """Set the operator's last activity to an hour ago."""
        self.portal.users[number]["LAST_ACTIVITY"] = datetime.fromtimestamp(time.time() - 3600, UTC)

    def task(
        self, fate: str, *, responsible: int, name: str | None = None, tags: tuple[str, ...] = ()
    ) -> int:
        """Add a call task due now, whose client's phone does ``fate`` (see far/); a new number."""
        index = self._numbers[fate] % 10
        self._numbers[fate] += 1
        number = f"+44207946 0{fate}{index}"
        code = add_contact(self.portal, name or f"Клиент {fate}{index}", ("MOBILE", number))
        past = datetime.fromtimestamp(time.time() - 120, UTC)
        return add_task(
            self.portal, f"Позвонить {fate}{index}", code,
            responsible=responsible, deadline=past, tags=tags,
        )  # fmt: skip

    def start_dialler(self) -> None:
        """Write its configuration and start ``autodial run``; returns when it listens."""
        self.config.touch(0o600)
        self.config.write_text(tomlkit.dumps(self.settings), encoding="utf-8")
        program = ["-m", "autodial"]
        if self.grace is not None or self.deferral is not None:
            program = ["-c", _SOONER, str(self.grace or ""), str(self.deferral or "")]
        command = [sys.executable, *program, "--config", str(self.config)]
        command += ["run", "--as-root"]  # its call files must belong to the user of that Asterisk
        passed: tuple[int, ...] = ()
        if self._held is not None:
            passed = (self._held.fileno(),)
            command = [sys.executable, "-c", _HAND_OVER, str(passed[0]), *command]
        development = {"PYTHONDEVMODE": "1", "PYTHONWARNINGS": "default"}
        with self.log.open("ab") as log:
            self.dialler = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=passed,
                start_new_session=True,
                env={**os.environ, **(development if self.development else {})},
            )
        started = self.log.stat().st_size
        self.wait(lambda: "running;" in self.said(started) or self._dead(), "the dialler's start")
        if self._dead():
            raise RigError(f"the dialler did not start:\n{self.said()[-3000:]}")

    @property
    def board_page(self) -> str:
        """The board's address, without a slash at its end."""
        return f"http://127.0.0.1:{self.settings['board']['port']}"

    @property
    def application_page(self) -> str:
        """The board in the portal's frame, as user 1; ``&task=`` shows a task's tab."""
        return f"{self.portal_page}application?user={self.portal.user_id}"

    def start_board(self, **passwords: str) -> None:
        """
        Start ``autodial board`` beside the running dialler, with an account for each role that is
        named; returns when it answers.
        """
        shell, now = Actor("demo", Door.COMMAND), datetime.now(UTC)
        for role, password in passwords.items():
            whose = partial(
                acts.save_account, name=role, role=Role(role), password_hash=hashed(password),
                by=shell, now=now,
            )  # fmt: skip
            write(self.place, whose)
        command = [sys.executable, "-m", "autodial", "--config", str(self.config), "board"]
        with self.log.open("ab") as log:
            self.board = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self.wait(self._board_answers, "the board")

    def _board_answers(self) -> bool:
        if self.board is not None and self.board.poll() is not None:
            raise RigError(f"the board did not start:\n{self.said()[-3000:]}")
        try:
            with urllib.request.urlopen(f"{self.board_page}/login", timeout=5):
                return True
        except OSError:
            return False

    def stop_board(self) -> None:
        if self.board is not None:
            self.board.terminate()
            self.board.wait(20)
            self.board = None

    def hold_port(self) -> None:
        """From the next start, keep the FastAGI port open across restarts, as systemd does."""
        self._held = socket.create_server(("127.0.0.1", self.port), backlog=BACKLOG)

    def let_go_of_port(self) -> None:
        if self._held is not None:
            self._held.close()
            self._held = None

    def _dead(self) -> bool:
        return self.dialler is not None and self.dialler.poll() is not None

    def said(self, since: int = 0) -> str:
        """The dialler's log."""
        return self.log.read_bytes()[since:].decode("utf-8", "replace")

    def cut_off_server(self) -> None:
        """Make the dialplan call a FastAGI address without a server."""
        # (Nothing listens there; the dialler, which checks its own port, sees no error.)
        self.exchange.pbx.cli(f"dialplan set global AD_AGI agi://127.0.0.2:{self.port}")

    def restore_server(self) -> None:
        self.exchange.pbx.cli(f"dialplan set global AD_AGI agi://127.0.0.1:{self.port}")

    def freeze_dialler(self) -> None:
        """Freeze it: it accepts connections and does not answer."""
        assert self.dialler is not None
        self.dialler.send_signal(signal.SIGSTOP)

    def thaw_dialler(self) -> None:
        assert self.dialler is not None
        self.dialler.send_signal(signal.SIGCONT)

    def stop_dialler(self) -> None:
        """Send SIGTERM, as systemd does."""
        self._end_dialler(signal.SIGTERM)

    def restart_dialler(self) -> None:
        """Stop and start it, as for an upgrade."""
        self.stop_dialler()
        self.start_dialler()

    def kill_dialler(self) -> None:
        """Kill it, as in a power failure."""
        self._end_dialler(signal.SIGKILL)

    def _end_dialler(self, number: int) -> None:
        if self.dialler is not None:
            self.dialler.send_signal(number)
            try:
                self.dialler.wait(60)
            except subprocess.TimeoutExpired:
                self.dialler.kill()
                self.dialler.wait()
                raise RigError("the dialler did not stop when asked") from None
            finally:
                self.dialler = None

    def wait(self, true: Callable[[], bool], what: str, seconds: float = PATIENCE) -> None:
        """Wait until a condition holds; RigError after ``seconds``."""
        until = time.monotonic() + seconds
        while not true():
            if time.monotonic() > until:
                raise RigError(f"waited {seconds:g} s for {what}\n{self.said()[-4000:]}")
            time.sleep(0.05)


@contextmanager
def rig(  # noqa: PLR0913  # the parts of a rig, by name
    *,
    extensions: tuple[str, ...],
    directory: Path,
    overrides: Mapping[str, Any] | None = None,
    keep_logs: Path | None = None,
    grace: float | None = None,
    deferral: float | None = None,
    portal: SimulatedPortal | None = None,
    **behaviour: Any,
) -> Iterator[Rig]:
    """
    Run exchange and portal (``portal``: another rig's); the dialler is configured and not yet
    started.

    ``overrides`` replace keys of the configuration's sections; ``behaviour`` goes to the exchange.
    """
    port, board = free_ports(2)
    with ExitStack() as stack:
        running = stack.enter_context(
            exchange(extensions=extensions, agi_port=port, keep_logs=keep_logs, **behaviour)
        )
        settings: dict[str, Any] = {
            "language": "ru",
            "portal": {"webhook": "", "poll": "2s", "walk": "4s", "requests_per_second": 100},
            "tasks": {"tag": TAG},
            "staff": {"departments": [DEPARTMENT]},
            "asterisk": {
                "spool": str(running.spool),
                "trunks": [{"name": "carrier1", "lines": 30}, {"name": "carrier2", "lines": 30}],
                "caller_id": "442079469900",
                "ring_client": 10,
                "ring_operator": 6,
                "longest_call": "2m",
                "ami_port": running.ports["AMI_PORT"],
                "ami_secret": running.ami_secret,
            },
            "fastagi": {"port": port, "deadline": "3s", "secret": running.agi_secret},
            "pace": {"calls_per_second": 10, "max_calls": 30},
            "recording": {"folder": str(running.recordings)} if behaviour.get("record") else {},
            "client": {"preset": "none"},
            "hours": dict.fromkeys(_DAYS, "00:00-24:00"),
            "store": {"path": str(directory / "autodial.sqlite")},
            "board": {
                "port": board,
                "address": f"http://127.0.0.1:{board}",
                "application": SimulatedPortal().client_id,
            },
        }
        for section, values in (overrides or {}).items():
            old = settings.get(section)
            if isinstance(old, Mapping) and isinstance(values, Mapping):
                settings[section] = {**old, **values}
            else:
                settings[section] = values
        served = portal or SimulatedPortal()
        whole = Rig(running, served, directory, port, settings, grace, deferral)
        if portal is None:
            whole.portal.application_address = f"{whole.board_page}/inside/"
        stack.callback(whole.portal_down)
        stack.callback(_clean, whole)
        whole.portal_up()
        if keep_logs is not None:
            stack.callback(_save_log, whole, keep_logs)
        yield whole


_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def _clean(whole: Rig) -> None:
    whole.stop_board()
    if whole.dialler is not None:
        whole.stop_dialler()
    whole.let_go_of_port()


def _save_log(whole: Rig, target: Path) -> None:
    if whole.log.exists():
        target.mkdir(parents=True, exist_ok=True)
        (target / "autodial.log").write_text(whole.said(), encoding="utf-8")
