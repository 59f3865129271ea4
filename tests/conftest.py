"""What concerns a whole run: the order of its files, and what all of its processes did together."""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from playwright.sync_api import Browser, sync_playwright

# Several processes share the cores: how long one example takes says nothing.
settings.register_profile("tests", deadline=None)
settings.load_profile("tests")
# The commands speak the terminal's language.
os.environ["LC_ALL"] = "en_US.UTF-8"
os.environ.pop("COLUMNS", None)  # as in a pipe

INTEGRATION = Path(__file__).parent / "integration"
#: The files that take longest, longest first: several processes take one file at a time.
LONG = ("test_nodes", "test_breakage", "test_chaos", "test_hostile", "test_whom", "test_operators",
        "test_load", "test_set_up", "test_decision", "test_strangers", "test_demo",
        "test_any_order", "test_hand_made", "test_simulate")  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = {name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: order.get(item.path.stem, len(LONG)))


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """One of several processes has ended: what it did is added up here."""
    done = getattr(node, "workeroutput", {})
    _explained(node.config).update(done.get("explained", ()))
    _files(node.config).update(done.get("files", ()))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Iterator[None]:
    """
    Every function that the dialler has its store run was run by some test, which explained its
    statements (see ``integration/plans.py``). Known once all tests are over, so it is no test.
    """
    config = session.config
    conftest = sys.modules.get("tests.integration.conftest")
    _explained(config).update(conftest.FakeStore.ran if conftest is not None else ())
    _files(config).update(item.path.name for item in getattr(session, "items", ()))
    if hasattr(config, "workeroutput"):
        config.workeroutput["explained"] = sorted(_explained(config))
        config.workeroutput["files"] = sorted(_files(config))
        yield
        return
    yield
    if config.option.collectonly:
        return
    if {path.name for path in INTEGRATION.rglob("test_*.py")} <= _files(config):
        from tests.integration.plans import asked_of_the_store

        missing = sorted(asked_of_the_store() - _explained(config))
        if missing:
            print(f"\nFAILED: no integration test has the store run {', '.join(missing)}")
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


_EXPLAINED = pytest.StashKey[set[str]]()
_FILES = pytest.StashKey[set[str]]()


def _explained(config: pytest.Config) -> set[str]:
    return config.stash.setdefault(_EXPLAINED, set())


def _files(config: pytest.Config) -> set[str]:
    return config.stash.setdefault(_FILES, set())


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The distribution's Chromium; it asks no other host by itself."""
    chromium = shutil.which("chromium") or "/usr/bin/chromium"
    quiet = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"]
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium, args=quiet)
        yield running
        running.close()
