"""A store on a real SQLite file, a portal in memory, and a clock that tests move."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import attrs
import pytest
import sqlalchemy as sa
from attrs import define, field

from autodial.config.load import parse
from autodial.config.place import Place
from autodial.config.settings import Config
from autodial.store.engines import engine_of
from autodial.store.locks import Access, access_of
from autodial.store.releases import migrate
from bitrix24.simulator import SimulatedPortal
from tests.cluster import Cluster, cluster
from tests.integration.plans import Plans

if TYPE_CHECKING:
    from tests.integration.house import House

T = TypeVar("T")
NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@define
class Now:
    """The current time, set by a test."""

    moment: datetime = NOON

    def __call__(self) -> datetime:
        return self.moment

    def advance(self, **span: float) -> None:
        self.moment += timedelta(**span)


@pytest.fixture
def now() -> Now:
    return Now()


@pytest.fixture
def portal(now: Now) -> SimulatedPortal:
    return SimulatedPortal(now=now)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return parse(
        {
            "portal": {"webhook": "http://127.0.0.1/rest/1/simulated0secret/"},
            "tasks": {"tag": "autodial"},
            "staff": {"departments": [5]},
            "asterisk": {"spool": str(tmp_path), "trunks": [{"name": "carrier1", "lines": 9}]},
            "client": {"preset": "none"},
            "hours": dict.fromkeys(
                ("monday", "tuesday", "wednesday", "thursday", "friday"), "00:00-24:00"
            ),
            "store": {"path": str(tmp_path / "store.sqlite")},
        },
        "test",
    )


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Cluster]:
    """One cluster for all tests of a process that need one."""
    with cluster() as running:
        yield running


#: The folders whose tests run on both databases; the others', too, if ``AUTODIAL24_BOTH`` is set.
BOTH = ("store",) if "AUTODIAL24_BOTH" not in os.environ else (
    "cli", "engine", "pbx", "portal", "store",
)  # fmt: skip


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that is for one database alone names it, as a parameter."""
    named = any("place" == mark.args[0] for mark in metafunc.definition.iter_markers("parametrize"))
    both = metafunc.definition.path.parent.name in BOTH and "place" in metafunc.fixturenames
    if both and not named:
        metafunc.parametrize("place", ["sqlite", "postgresql"], indirect=True)


@pytest.fixture
def place(request: pytest.FixtureRequest, config: Config) -> Iterator[Place]:
    """A store with the present schema: a file, or a database of PostgreSQL."""
    if getattr(request, "param", "sqlite") == "sqlite":
        migrate(config.store.path)
        yield config.store.path
        return
    running: Cluster = request.getfixturevalue("postgresql")
    server = running.new()
    yield server
    running.take_back(server)


@pytest.fixture
def database(place: Place) -> Iterator[sa.Engine]:
    """The store's engine, for writing."""
    engine = engine_of(place)
    yield engine
    engine.dispose()


@pytest.fixture
def run(database: sa.Engine) -> Callable[..., object]:
    """Run a store function in its own transaction, as the store's thread does."""

    def once(function: Callable[..., T], *args: object, **kwargs: object) -> T:
        with database.begin() as connection:
            return function(connection, *args, **kwargs)

    return once


@define
class FakeStore:
    """
    The store's coroutine face over the same functions, without the thread; with the thread's rules:
    what goes in and what comes out are plain values, and no statement reads a growing table whole.
    """

    engine: sa.Engine
    #: Names of all functions that any ``FakeStore`` ran.
    ran: ClassVar[set[str]] = set()
    here: bool = True
    rescued: int = 0
    leads: bool = True
    plans: Plans = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.plans = Plans(self.engine)

    async def run(self, function: Callable[..., T], *args: object, **kwargs: object) -> T:
        self.ran.add(function.__name__)
        assert_plain(args, function.__name__)
        assert_plain(kwargs, function.__name__)
        with self.engine.begin() as connection, _no_more_than(access_of(function), connection):
            self.plans.watching = True
            try:
                result = function(connection, *args, **kwargs)
            finally:
                self.plans.watching = False
        assert_plain(result, f"the result of {function.__name__}")
        return result

    def in_place(self) -> bool:
        return self.here

    async def rescue(self) -> None:
        self.rescued += 1


@contextmanager
def _no_more_than(access: Access, db: sa.Connection) -> Iterator[None]:
    """Who says that it only reads can write nothing."""
    if access is not Access.READS:
        yield
    elif db.dialect.name == "postgresql":
        db.exec_driver_sql("SET TRANSACTION READ ONLY")
        yield
    else:
        db.exec_driver_sql("PRAGMA query_only = ON")
        try:
            yield
        finally:
            db.exec_driver_sql("PRAGMA query_only = OFF")


_ATOMS = (
    type(None), bool, int, float, str, bytes, datetime, date, time, timedelta, tzinfo, Enum, Path,
)  # fmt: skip


def assert_plain(value: object, where: str) -> None:
    """
    Nothing that another thread could change: only values, their collections, and frozen
    objects of them; no closure and no mutable object.
    """
    if isinstance(value, _ATOMS):
        return
    if isinstance(value, dict):
        assert_plain([*value.keys(), *value.values()], where)
    elif isinstance(value, tuple | list | set | frozenset):
        for one in value:
            assert_plain(one, where)
    else:
        kind: type[Any] = type(value)
        assert attrs.has(kind), f"{where}: {value!r} is no plain value"
        fields = attrs.fields(kind)
        if fields:
            with pytest.raises(attrs.exceptions.FrozenInstanceError):
                setattr(value, fields[0].name, getattr(value, fields[0].name))
        for one in fields:
            assert_plain(getattr(value, one.name), f"{where}, {type(value).__name__}.{one.name}")


@pytest.fixture
def store(database: sa.Engine) -> FakeStore:
    return FakeStore(database)


@pytest.fixture
def house(
    config: Config, store: FakeStore, now: Now, run: Callable[..., object], tmp_path: Path
) -> "House":
    """The middle of the dialler, with three operators at work and task 8017 due."""
    from tests.integration.house import build  # (which needs this module)

    return build(config, store, now, run, tmp_path)
