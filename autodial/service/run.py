"""Running the dialler in the foreground: logging, signals, exit codes."""

import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.logger import globalLogBeginner
from twisted.python.failure import Failure

from autodial.config.reload import Settings
from autodial.service.app import Dialler
from autodial.service.logs import log_to

T = TypeVar("T")


def run_dialler(path: Path) -> int:
    """
    Run with the configuration at ``path`` until a signal; returns the exit code. SIGHUP reads the
    file again. Start-up errors are raised.
    """
    settings = Settings(path)
    config = settings.load()
    from twisted.internet import reactor

    os.umask(0o077)  # our files are readable by our user only
    observer = log_to(sys.stderr, config.log.format)
    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False)
    dialler = Dialler(config, reactor, settings=settings)
    failures: list[Failure] = []

    def failed(failure: Failure) -> None:
        failures.append(failure)
        _running(reactor).stop()

    def start() -> None:
        Deferred.fromCoroutine(dialler.start()).addErrback(failed)

    def stop() -> "Deferred[None] | None":
        return None if failures else Deferred.fromCoroutine(dialler.stop())

    def again(*_: object) -> None:
        running.callFromThread(lambda: Deferred.fromCoroutine(dialler.reload()).addErrback(log))

    def log(failure: Failure) -> None:
        dialler.log.failure("the settings are not read again", failure)

    running = _running(reactor)
    running.callWhenRunning(start)
    # Before the reactor runs, SIGHUP has no effect; by default it would kill the process.
    signal.signal(signal.SIGHUP, again)
    running.addSystemEventTrigger("before", "shutdown", stop)
    running.run()
    if failures:
        failures[0].raiseException()
    return 0


def answer(question: Callable[[Any], Awaitable[T]]) -> T:
    """Run the reactor for one query of a command; returns the answer or raises its error."""
    from twisted.internet import reactor

    answers: list[T] = []
    failures: list[Failure] = []
    running = _running(reactor)

    async def ask() -> None:
        answers.append(await question(running))

    def start() -> None:
        asking = Deferred.fromCoroutine(ask()).addErrback(failures.append)
        asking.addCallback(lambda _: running.stop())

    running.callWhenRunning(start)
    running.run()
    if failures:
        failures[0].raiseException()
    return answers[0]


def _running(reactor: Any) -> Any:
    """Twisted's reactor module is untyped until it is installed."""
    return reactor
