"""Hears what other diallers tell through the database: a thread with a session of its own."""

import threading
from collections.abc import Callable
from typing import Any

import psycopg
import sqlalchemy as sa
from attrs import define, field
from twisted.internet.interfaces import IReactorFromThreads
from twisted.logger import Logger

from autodial.config.place import Server
from autodial.store.nodes import CHANNEL, Topic
from autodial.store.server import GONE

#: Seconds after which the thread looks whether it shall stop; and from one try to connect to the
#: next.
LOOK, AGAIN = 0.5, 2.0


@define(eq=False)
class Listener:
    """``heard`` is called in the reactor's thread, for each topic that another session tells."""

    log = Logger()

    server: Server
    reactor: IReactorFromThreads
    own: str  #: the name of our own sessions
    heard: Callable[[Topic], None]
    _stop: threading.Event = field(factory=threading.Event, init=False)
    _thread: threading.Thread | None = field(default=None, init=False)

    def start(self) -> None:
        self._thread = threading.Thread(target=self._work, name="listener")
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _work(self) -> None:
        url = sa.make_url(self.server.url)
        wanted: Any = url.get_dialect()().create_connect_args(url)[1]
        wanted |= {
            "autocommit": True, "connect_timeout": GONE, "application_name": self.own[:63],
            "keepalives_idle": GONE, "keepalives_interval": 2, "keepalives_count": 3,
        }  # fmt: skip
        while not self._stop.is_set():
            try:
                with psycopg.connect(**wanted) as session:
                    session.execute(f"LISTEN {CHANNEL}".encode())
                    for topic in Topic:  # something may have been told before
                        self.reactor.callFromThread(self.heard, topic)
                    self._listen(session)
            except psycopg.Error as error:
                self.log.debug("not told by the other nodes: {error}", error=error)
                self._stop.wait(AGAIN)

    def _listen(self, session: "psycopg.Connection[tuple[object, ...]]") -> None:
        known = {topic.value: topic for topic in Topic}
        while not self._stop.is_set():
            for told in session.notifies(timeout=LOOK):
                topic, _, sender = told.payload.partition(" ")
                if sender != self.own and topic in known:
                    self.reactor.callFromThread(self.heard, known[topic])
