"""
The locks by which diallers share a store of PostgreSQL, and what each function needs of them.

Advisory locks: a class and a number, in this database alone. A dialler's transaction begins with
the writers' lock: alone, unless its function says that it needs less. One lock for all writers is
what BEGIN IMMEDIATE means on SQLite: the functions of ``store/`` are right under one writer, and
need not know of others. At READ COMMITTED each statement after the lock sees what the writer before
has committed. On SQLite nothing here makes a difference.
"""

from collections.abc import Callable
from enum import Enum
from typing import Any, TypeVar
from zlib import crc32

import sqlalchemy as sa

#: The classes.
OURS, NODES = 0x0AD2_4000, 0x0AD2_4001
#: Numbers of class ``OURS``: for writers; of the dialler that works for all; for who hands a
#: reservation over; of who decides whom to dial.
WRITER, LEADER, HAND_OVER, DECIDER = 0, 1, 2, 3


class Access(Enum):
    """How a transaction begins."""

    #: It changes nothing. It waits for nobody, and sees one moment.
    READS = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"
    #: It changes rows of its own node's calls, and what it reads no other of this kind changes.
    BESIDE = f"SELECT pg_advisory_xact_lock_shared({OURS}, {WRITER})"
    #: Nobody else writes meanwhile.
    ALONE = f"SELECT pg_advisory_xact_lock({OURS}, {WRITER})"


Function = TypeVar("Function", bound=Callable[..., Any])


def reads(function: Function) -> Function:
    """It changes nothing."""
    return _needs(Access.READS, function)


def beside(function: Function) -> Function:
    """
    It runs beside others of its kind, on other nodes, and needs no more. Never for one that starts
    or ends a call: the history's rows of these are numbered in the order of their commits.
    """
    return _needs(Access.BESIDE, function)


def _needs(access: Access, function: Function) -> Function:
    function.__dict__["access"] = access
    return function


def access_of(function: Callable[..., Any]) -> Access:
    access: Access = getattr(function, "access", Access.ALONE)
    return access


def access_of_all(functions: list[Callable[..., Any]]) -> Access:
    """What all of them need that run in one transaction."""
    needed = {access_of(function) for function in functions}
    if Access.ALONE in needed:
        return Access.ALONE
    return Access.BESIDE if Access.BESIDE in needed else Access.READS


def node_lock(node: str) -> int:
    """The number of a node's lock in the class ``NODES``: a signed integer of four bytes."""
    return int.from_bytes(crc32(node.encode()).to_bytes(4), signed=True)


_HAND_OVER = sa.text(f"SELECT pg_advisory_xact_lock({OURS}, {HAND_OVER})")


def hand_over_alone(db: sa.Connection) -> None:
    """Until the transaction ends nobody else, of those who run beside it, changes reservations."""
    if db.dialect.name == "postgresql":
        db.execute(_HAND_OVER)


_TRY = sa.text(f"SELECT pg_try_advisory_lock({OURS}, {DECIDER})")
_LEAVE = sa.text(f"SELECT pg_advisory_unlock({OURS}, {DECIDER})")
_HELD = sa.text(
    "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND granted"
    f" AND classid = {OURS} AND objid = {DECIDER} AND objsubid = 2"
)


def try_to_decide(db: sa.Connection) -> bool:
    """
    Become the one node that decides whom to dial, until ``stop_deciding``, or the session ends.
    False: another is at it. Nothing depends on it but time: nodes that decide at once mostly make
    each other's decisions void.
    """
    return db.dialect.name != "postgresql" or bool(db.scalar(_TRY))


@reads
def stop_deciding(db: sa.Connection) -> None:
    """
    Another node may decide now. (A session has a lock as often as it was taken, also in a
    transaction that failed and was run again.)
    """
    if db.dialect.name == "postgresql":
        while db.scalar(_HELD):
            db.execute(_LEAVE)
