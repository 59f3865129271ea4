"""Faults of a running rig. Each fault is caused, lasts for a while, and is undone."""

import re
import resource
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from random import Random

from attrs import frozen

from bitrix24.simulator import Fault
from demo.rig import Rig
from tests.cluster import Cluster

#: No limit, and none for a file to grow.
_FREE = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
#: Requests that go wrong in one bout: mostly one, which is asked again; after several in a row the
#: portal is left alone for a while.
BOUTS = (1, 1, 1, 1, 2, 2, 4)


def portal_answers(rig: Rig, random: Random) -> None:
    """5xx before and after the request was executed, answers lost, cut, or of HTML."""
    rig.portal.fail_next(*random.choices(list(Fault), k=random.choice(BOUTS)))


def portal_down(rig: Rig, random: Random) -> None:
    rig.portal_down()
    time.sleep(random.uniform(0.3, 3))
    rig.portal_up()


def portal_slow(rig: Rig, random: Random) -> None:
    with rig.portal.lock:
        time.sleep(random.uniform(0.5, 3))


def dialler_killed(rig: Rig, random: Random) -> None:
    rig.kill_dialler()
    time.sleep(random.choice((0, 0, random.uniform(0, 4))))
    rig.start_dialler()


def dialler_stopped(rig: Rig, random: Random) -> None:
    rig.stop_dialler()
    time.sleep(random.choice((0, random.uniform(0, 2))))
    rig.start_dialler()


def dialler_frozen(rig: Rig, random: Random) -> None:
    rig.freeze_dialler()
    time.sleep(random.uniform(0.3, 5))
    rig.thaw_dialler()


def _boot(rig: Rig) -> None:
    """A phone that was refused while Asterisk went down does not register again by itself."""
    rig.exchange.pbx.start()
    for extension in rig.exchange.extensions:
        rig.exchange.register(extension)
    rig.exchange.wait_for_phones()


def asterisk_killed(rig: Rig, random: Random) -> None:
    rig.exchange.pbx.kill()
    _boot(rig)


def asterisk_stopped(rig: Rig, random: Random) -> None:
    rig.exchange.pbx.stop()
    _boot(rig)


def asterisk_stopped_now(rig: Rig, random: Random) -> None:
    rig.exchange.pbx.cli("core stop now", check=False)
    asterisk_stopped(rig, random)


def manager_cut(rig: Rig, random: Random) -> None:
    """The connection to Asterisk's manager breaks off."""
    output = rig.exchange.pbx.cli("manager show connected")
    for number in re.findall(r"(?m)^\s*autodial\s+\S+\s+\d+\s+\d+\s+(\d+)", output):
        rig.exchange.pbx.cli(f"manager kick session {number}", check=False)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another process locks a database against writing."""
    with closing(sqlite3.connect(path, timeout=20, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            db.execute("ROLLBACK")


@contextmanager
def full(rig: Rig) -> Iterator[None]:
    """No file of the dialler can grow any more."""
    dialler = rig.dialler
    assert dialler is not None
    resource.prlimit(dialler.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        resource.prlimit(dialler.pid, resource.RLIMIT_FSIZE, _FREE)


def astdb(rig: Rig) -> Path:
    return rig.exchange.pbx.outside / "lib/astdb.sqlite3"


def ledger_locked(rig: Rig, random: Random) -> None:
    with locked(rig.store):
        time.sleep(random.uniform(0.3, 8))


def ledger_full(rig: Rig, random: Random) -> None:
    with full(rig):
        time.sleep(random.uniform(0.3, 4))


def database_killed(database: Cluster, random: Random) -> None:
    """The server of a store that several diallers share."""
    database.kill()
    time.sleep(random.uniform(0.3, 4))
    database.start()


def database_frozen(database: Cluster, random: Random) -> None:
    """It answers nobody, as when the network is cut."""
    database.freeze()
    time.sleep(random.uniform(0.3, 15))
    database.thaw()


def sessions_ended(database: Cluster, random: Random) -> None:
    """All connections break, and the server goes on."""
    database.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid != pg_backend_pid()"
        " AND backend_type = 'client backend'"
    )


def astdb_locked(rig: Rig, random: Random) -> None:
    with locked(astdb(rig)):
        time.sleep(random.uniform(0.3, 3))


def spool_away(rig: Rig, random: Random) -> None:
    """The file system is unmounted, for example: call files cannot be written or withdrawn."""
    away = rig.exchange.spool.with_name("away")
    rig.exchange.spool.rename(away)
    time.sleep(random.uniform(0.3, 3))
    away.rename(rig.exchange.spool)


def person_moves_a_deadline(rig: Rig, random: Random) -> None:
    """Not a fault, but as sudden: a person changes tasks in the portal."""
    with rig.portal.lock:
        task = rig.portal.tasks[random.choice(sorted(rig.portal.tasks))]
        task["TITLE"] = f"{task['TITLE']}."
        task["CHANGED_DATE"] = rig.portal.now()


@frozen
class Kind:
    """A fault, and its weight among the others."""

    do: Callable[[Rig, Random], None]
    weight: int

    @property
    def name(self) -> str:
        return self.do.__name__


#: Faults of the server of a store that several diallers share.
DATABASE: Mapping[str, Callable[[Cluster, Random], None]] = {
    fault.__name__: fault for fault in (database_killed, database_frozen, sessions_ended)
}


def _of_database(name: str, weight: int) -> Kind:
    """It has no rig, and is caused by its name."""

    def do(rig: Rig, random: Random) -> None:
        raise NotImplementedError(name)

    do.__name__ = name
    return Kind(do, weight)


KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(portal_answers, 30),
        Kind(portal_down, 6),
        Kind(portal_slow, 6),
        Kind(dialler_killed, 12),
        Kind(dialler_stopped, 6),
        Kind(dialler_frozen, 8),
        Kind(asterisk_killed, 3),
        Kind(asterisk_stopped, 2),
        Kind(asterisk_stopped_now, 2),
        Kind(manager_cut, 8),
        Kind(ledger_locked, 6),
        Kind(ledger_full, 5),
        Kind(astdb_locked, 4),
        Kind(spool_away, 5),
        Kind(person_moves_a_deadline, 6),
        _of_database("database_killed", 6),
        _of_database("database_frozen", 6),
        _of_database("sessions_ended", 8),
    )
}
#: The kinds that happen to one dialler with its file, and to several with their server.
OF_ONE = tuple(name for name in KINDS if name not in DATABASE)
OF_SEVERAL = tuple(name for name in KINDS if not name.startswith("ledger_"))
