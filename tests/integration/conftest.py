"""A store on a real SQLite file, a portal in memory, and a clock that tests move."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import pytest
import sqlalchemy as sa
from attrs import define

from autodial.config import Config, parse
from autodial.store.database import migrate, open_engine
from bitrix24.simulator import SimulatedPortal

T = TypeVar("T")
NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@define
class Now:
    """The time, as tests say it."""

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


@pytest.fixture
def database(config: Config) -> Iterator[sa.Engine]:
    migrate(config.store.path)
    engine = open_engine(config.store.path)
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
    """The store's coroutine face over the same functions, without the thread."""

    engine: sa.Engine

    async def run(self, function: Callable[..., T], *args: object, **kwargs: object) -> T:
        with self.engine.begin() as connection:
            return function(connection, *args, **kwargs)


@pytest.fixture
def store(database: sa.Engine) -> FakeStore:
    return FakeStore(database)
