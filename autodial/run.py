"""Running the dialler in the foreground: logging, signals, exit codes."""

import sys
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import (
    FilteringLogObserver,
    LogLevel,
    LogLevelFilterPredicate,
    globalLogBeginner,
    textFileLogObserver,
)
from twisted.python.failure import Failure

from autodial.config import Config
from autodial.service import Dialler


def run_dialler(config: Config) -> int:
    """Run until a signal; returns the exit code. Start-up errors are raised."""
    from twisted.internet import reactor

    level = LogLevelFilterPredicate(LogLevel.info)
    # Twisted notes every listening and closed port at info level; nobody needs those.
    level.setLogLevelForNamespace("twisted", LogLevel.warn)
    level.setLogLevelForNamespace("log_legacy", LogLevel.warn)
    observer = FilteringLogObserver(textFileLogObserver(sys.stderr), [level])
    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False)
    dialler = Dialler(config, reactor)
    failures: list[Failure] = []

    def failed(failure: Failure) -> None:
        failures.append(failure)
        _running(reactor).stop()

    def start() -> None:
        Deferred.fromCoroutine(dialler.start()).addErrback(failed)

    def stop() -> "Deferred[None] | None":
        return None if failures else Deferred.fromCoroutine(dialler.stop())

    running = _running(reactor)
    running.callWhenRunning(start)
    running.addSystemEventTrigger("before", "shutdown", stop)
    running.run()
    if failures:
        failures[0].raiseException()
    return 0


def _running(reactor: Any) -> Any:
    """Twisted's reactor module is untyped until it is installed."""
    return reactor
