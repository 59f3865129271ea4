"""System tests use the demo's rig: two real Asterisks, a portal, the dialler as a process."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from demo.pbx import ExchangeError, asterisk_root
from demo.rig import Rig, rig


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/system" in str(item.path):
            item.add_marker(pytest.mark.system)


@pytest.fixture(scope="session", autouse=True)
def _asterisk_is_here() -> None:
    """Without Asterisk these tests are skipped, but never in the test command."""
    try:
        asterisk_root()
    except ExchangeError as error:
        if os.environ.get("AUTODIAL24_SYSTEM") == "required":
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Rig]]:
    """Make rigs; all are taken down at the end of the module."""
    with ExitStack() as stack:

        def make(**wishes: Any) -> Rig:
            directory = tmp_path_factory.mktemp("rig")
            logs = Path(os.environ["AUTODIAL24_LOGS"]) if "AUTODIAL24_LOGS" in os.environ else None
            if logs is not None:
                logs /= directory.name
            return stack.enter_context(rig(directory=directory, keep_logs=logs, **wishes))

        yield make
