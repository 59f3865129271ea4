"""
A private PostgreSQL for the tests: a cluster of its own on 127.0.0.1, stopped at the end.

It does not wait for the disk, unless asked: what it has committed survives its processes, not the
machine.
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from functools import cached_property
from itertools import count
from pathlib import Path
from tempfile import mkdtemp

import psycopg
from attrs import define, field

from autodial.config.place import Server
from autodial.store.releases import migrate
from autodial.store.schema import metadata

#: Seconds to wait for the server's start or end.
PATIENCE = 60.0
_SETTINGS = {
    "max_connections": "200",
    "listen_addresses": "127.0.0.1",
    "log_min_messages": "fatal",
}
_NOT_DURABLE = {"fsync": "off", "full_page_writes": "off"}
#: The template that new databases are made of, with the present schema.
TEMPLATE = "present"


def programs() -> Path:
    """PostgreSQL's programs, as Debian installs them."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if not found:
        raise RuntimeError("PostgreSQL is not installed: ./install.sh test does that")
    return found[-1].parent


@define(eq=False, slots=False)
class Cluster:
    """One server, and its databases."""

    directory: Path
    port: int
    user: str | None  #: whose processes they are; None: ours
    durable: bool = False  #: it waits for the disk
    _process: "subprocess.Popen[bytes] | None" = field(default=None, init=False)
    _free: list[Server] = field(factory=list, init=False)
    _numbers: "count[int]" = field(factory=lambda: count(1), init=False)

    def start(self) -> None:
        wanted = _SETTINGS | ({} if self.durable else _NOT_DURABLE)
        settings = [part for key, value in wanted.items() for part in ("-c", f"{key}={value}")]
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [programs() / "postgres", "-D", self.directory / "data", "-p", str(self.port),
                 "-k", self.directory, *settings],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", user=self.user,
            )  # fmt: skip
        until = time.monotonic() + PATIENCE
        while True:
            try:
                self.sql("SELECT 1")
            except psycopg.OperationalError:
                if time.monotonic() > until or self._process.poll() is not None:
                    said = (self.directory / "log").read_text(errors="replace")
                    raise RuntimeError(f"PostgreSQL does not start:\n{said[-2000:]}") from None
                time.sleep(0.05)
            else:
                return

    def stop(self) -> None:
        """In order; sessions are ended."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """As in a power failure: all of its processes at once."""
        self._signal_all(signal.SIGKILL)
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(PATIENCE)
            self._process = None

    def freeze(self) -> None:
        """The server answers nothing: all of its processes are stopped."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal_all(signal.SIGCONT)

    def _signal_all(self, number: signal.Signals) -> None:
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        for pid in (*map(int, children.read_text().split()), self._process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def sql(self, statement: str, name: str = "postgres") -> list[tuple[object, ...]]:
        """Run one statement, outside a transaction; its rows."""
        with closing(psycopg.connect(self._conninfo(name), autocommit=True)) as db:
            cursor = db.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def _conninfo(self, name: str) -> str:
        return f"postgresql://autodial@127.0.0.1:{self.port}/{name}"

    def server(self, name: str, node: str = "one") -> Server:
        return Server(f"postgresql+psycopg://autodial@127.0.0.1:{self.port}/{name}", node)

    @cached_property
    def _template(self) -> str:
        self.sql(f"CREATE DATABASE {TEMPLATE}")
        migrate(self.server(TEMPLATE))
        return TEMPLATE

    def new(self, *, empty: bool = False) -> Server:
        """A database of its own, with the present schema and no rows."""
        if self._free and not empty:
            return self._free.pop()
        name = f"test{next(self._numbers)}"
        template = "template1" if empty else self._template
        self.sql(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.server(name)

    def take_back(self, server: Server) -> None:
        """It is not used any more, and may be another test's, without its rows."""
        name = server.url.rpartition("/")[2]
        tables = ", ".join(metadata.tables)
        self.sql(f"TRUNCATE {tables} RESTART IDENTITY", name)
        self._free.append(server)

    def drop(self, server: Server) -> None:
        name = server.url.rpartition("/")[2]
        self.sql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@contextmanager
def cluster(*, durable: bool = False) -> Iterator[Cluster]:
    """A running cluster, gone afterwards; ``durable``: it waits for the disk, for measurements."""
    # It does not run as root.
    user = "postgres" if os.geteuid() == 0 else None
    directory = Path(mkdtemp(prefix="autodial-pg-", dir="/var/tmp"))
    if user is not None:
        owner = pwd.getpwnam(user)
        os.chown(directory, owner.pw_uid, owner.pw_gid)
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    made: list[str | Path]
    made = [programs() / "initdb", "-D", directory / "data", "-U", "autodial", "-A", "trust",
            "-E", "UTF8", "--no-locale", "--no-sync"]  # fmt: skip
    subprocess.run(made, check=True, capture_output=True, cwd="/", user=user)
    running = Cluster(directory, port, user, durable)
    try:
        running.start()
        yield running
    finally:
        running.stop()
        shutil.rmtree(directory, ignore_errors=True)
