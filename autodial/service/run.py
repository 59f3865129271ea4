"""Running the dialler in the foreground: logging, signals, exit codes."""

import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.logger import (
    FileLogObserver,
    FilteringLogObserver,
    LogEvent,
    LogLevel,
    LogLevelFilterPredicate,
    eventAsText,
    formatTime,
    globalLogBeginner,
)
from twisted.python.failure import Failure

from autodial import texts
from autodial.config.reload import Settings
from autodial.service.app import Dialler

T = TypeVar("T")


def run_dialler(path: Path) -> int:
    """
    Run by the configuration at ``path`` until a signal; returns the exit code. SIGHUP reads it
    again. Start-up errors are raised.
    """
    settings = Settings(path)
    config = settings.load()
    from twisted.internet import reactor

    os.umask(0o077)  # what we make is nobody else's
    level = LogLevelFilterPredicate(LogLevel.info)
    # Twisted notes every listening and closed port at info level; nobody needs those.
    level.setLogLevelForNamespace("twisted", LogLevel.warn)
    level.setLogLevelForNamespace("log_legacy", LogLevel.warn)
    observer = FilteringLogObserver(FileLogObserver(sys.stderr, log_line), [level])
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
        running.callFromThread(lambda: Deferred.fromCoroutine(dialler.reload()).addErrback(said))

    def said(failure: Failure) -> None:
        dialler.log.failure("the settings are not read again", failure)

    running = _running(reactor)
    running.callWhenRunning(start)
    # Until it runs a signal to read again has nothing to say; by default it would kill.
    signal.signal(signal.SIGHUP, again)
    running.addSystemEventTrigger("before", "shutdown", stop)
    running.run()
    if failures:
        failures[0].raiseException()
    return 0


def answer(question: Callable[[Any], Awaitable[T]]) -> T:
    """Run the reactor for one question of a command; its answer, or its error."""
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


def log_line(event: LogEvent) -> str | None:
    """
    An event as one line; its traceback, if any, on lines that begin with a tab. What a stranger has
    put into a field makes no lines of its own, and nothing that a terminal would obey.
    """
    said = eventAsText(event, includeTraceback=False, includeTimestamp=False)
    if not said:
        return None
    failure = event.get("log_failure")
    trace = failure.getTraceback().splitlines() if isinstance(failure, Failure) else []
    lines = (f"{formatTime(event.get('log_time'))} {texts.escaped(said)}", *map(_indented, trace))
    return "\n".join(lines) + "\n"


def _indented(line: str) -> str:
    return "\t" + texts.escaped(line.expandtabs())


def _running(reactor: Any) -> Any:
    """Twisted's reactor module is untyped until it is installed."""
    return reactor
