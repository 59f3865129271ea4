"""
Our server under load: the scripts of the benchmark, with time-outs, limits, logging and error
handling as the dialler has them.

    python bench/fastagi/ours.py PORT [stock]

``stock``: on Twisted's own transport instead of ours.
"""

import sys
from typing import Any

from peers import variables as values
from twisted.internet import reactor as _reactor
from twisted.logger import (
    FilteringLogObserver,
    LogLevel,
    LogLevelFilterPredicate,
    globalLogBeginner,
    textFileLogObserver,
)

from fastagi_server import BACKLOG, AgiSession, FastAgiServer, Script, listen, set_variables

reactor: Any = _reactor


async def standard(call: AgiSession) -> None:
    """One request, four variables one by one, and a NoOp, as in typical scripts."""
    task = await call.get_full("${AUTODIAL_TASK}")
    for name, value in values(task).items():
        await call.set(name, value)
    await call.noop()


async def mset(call: AgiSession) -> None:
    """One request, and all variables at once."""
    await call.set_many(values(await call.get_full("${AUTODIAL_TASK}")))


async def arg(call: AgiSession) -> None:
    """The task comes with the block: one command."""
    await call.set_many(values(call.argument(0)))


async def pipe(call: AgiSession) -> None:
    """The same, then half-closed: no further round trip for the caller."""
    await call.batch(set_variables(values(call.argument(0))))


SCRIPTS: dict[str, Script] = {
    "autodial": standard, "autodial-mset": mset, "autodial-arg": arg, "autodial-pipe": pipe,
}  # fmt: skip


def main() -> None:
    quiet = LogLevelFilterPredicate(defaultLogLevel=LogLevel.info)
    observer = FilteringLogObserver(textFileLogObserver(sys.stderr), [quiet])
    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False)
    server = FastAgiServer(SCRIPTS, reactor, max_sessions=20_000)
    port = int(sys.argv[1])
    if "stock" in sys.argv[2:]:
        reactor.listenTCP(port, server, backlog=BACKLOG, interface="127.0.0.1")
    else:
        listen(reactor, server, port)
    reactor.callWhenRunning(print, "listening", flush=True)
    reactor.run()


if __name__ == "__main__":
    main()
