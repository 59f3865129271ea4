"""Settings read again while the store is busy."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest_twisted

from autodial.config.settings import Config
from autodial.errors import StoreError
from autodial.service.reloading import Reloading
from autodial.store import flags
from tests.integration.conftest import NOON


@pytest_twisted.ensureDeferred
async def test_a_busy_store_keeps_nobody_from_the_answer(config: Config, tmp_path: Path) -> None:
    """The new settings are in force, past calls are counted again, and the report says so."""
    done: list[str] = []

    async def run(function: Any, *arguments: Any) -> None:
        done.append(f"{function.__name__} {arguments[-1]}")
        if function is flags.clear:
            raise StoreError("busy")

    async def recount() -> None:
        done.append("recount")

    settings: Any = SimpleNamespace(path=tmp_path / "autodial.toml", load=lambda: config)
    store: Any = SimpleNamespace(run=run)
    reloading = Reloading(
        config, settings, store, lambda: NOON, use=lambda new: done.append("use"), recount=recount
    )
    await reloading.reload()

    assert ["use", "recount", "clear changed"] == done[:3]
    assert done[3].startswith("tell taken over: nothing is new; ")
