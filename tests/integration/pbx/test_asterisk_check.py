"""What ``autodial doctor`` finds in Asterisk, over a manager that answers from a table."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from attrs import define

from autodial.config.settings import Config
from autodial.errors import PbxError
from autodial.pbx.asterisk_check import clock, thorough
from tests.integration.house import variant
from tests.integration.pbx.test_dialplan_check import WELL, Asterisk

AT = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)
NOW = str(int(AT.timestamp()))


@define(eq=False, slots=False)
class Whole(Asterisk):
    """It also lists channels and what its user may do."""

    may: tuple[str, ...] = ("Getvar", "CoreShowChannels")
    names_attempts: bool = True
    lists_reports: bool = True

    async def channels(self) -> dict[str, tuple[str, ...]]:
        if not self.names_attempts:
            raise PbxError("channels do not name their attempt: set channelvars = AD_ID")
        return {}

    async def kept_reports(self) -> dict[str, str]:
        if not self.lists_reports:
            raise PbxError("Permission denied")
        return {}

    async def allowed(self) -> frozenset[str]:
        return frozenset(self.may)


@pytest.mark.parametrize(
    ("changes", "more", "expected"),
    [
        ({}, {}, []),
        ({"EPOCH": str(int(AT.timestamp()) + 3)}, {}, []),
        ({"EPOCH": str(int(AT.timestamp()) + 60)}, {}, [("host.clock", "Asterisk: +60 s", False)]),
        (
            {"EPOCH": str(int(AT.timestamp()) - 10_800)}, {},
            [("host.clock", "Asterisk: -10800 s", True)],
        ),
        ({"EPOCH": NOW, "STRFTIME(,,%z)": f"{AT.astimezone():%z}"}, {}, []),
        (
            {"EPOCH": NOW, "STRFTIME(,,%z)": "-0330"}, {},
            [("host.zone", f"{AT.astimezone():%z} / -0330", False)],
        ),
        (
            {"DEVICE_STATE(PJSIP/102)": "INVALID"}, {},
            [("asterisk.phones", "102", False)],
        ),
        (
            {"DEVICE_STATE(PJSIP/carrier1)": "UNAVAILABLE"}, {},
            [("asterisk.trunks", "carrier1", False)],
        ),
        ({}, {"may": ("Getvar", "Originate", "Command")},
         [("asterisk.rights", "Originate, Command", False)]),
        ({}, {"names_attempts": False},
         [("asterisk.channelvars", "AD_ID", True)]),
    ],
)  # fmt: skip
@pytest_twisted.ensureDeferred
async def test_what_is_found(
    config: Config, changes: dict[str, str], more: dict[str, Any], expected: Any
) -> None:
    asterisk: Any = Whole(WELL | changes, **more)
    found = await thorough(asterisk, config, ["101", "102", "со смыслом"], lambda: AT)

    assert expected == [(one.key, one.detail, one.serious) for one in found]


@pytest_twisted.ensureDeferred
async def test_reports_that_cannot_be_read_are_no_good_health(config: Config) -> None:
    """Without them the reconciler cannot work: calls would be in flight for ever."""
    with pytest.raises(PbxError, match="Permission denied"):
        await thorough(Whole(WELL, lists_reports=False), config, [], lambda: AT)  # type: ignore[arg-type]


@pytest_twisted.ensureDeferred
async def test_the_dialplan_of_another_release_is_named(config: Config) -> None:
    old: Any = Whole(WELL)
    real = old.value

    async def value(variable: str) -> str:
        return "0" if "autodial-release" in variable else str(await real(variable))

    old.value = value

    assert ["dialplan.release"] == [one.key for one in await thorough(old, config, [], lambda: AT)]


@pytest_twisted.ensureDeferred
async def test_another_spool_is_named_where_it_is_on_this_host(
    config: Config, tmp_path: Path
) -> None:
    """Where Asterisk has a root of its own, its name for the directory is another."""
    ours, theirs = tmp_path / "ours/outgoing", tmp_path / "theirs/outgoing"
    for directory in (ours, theirs):
        directory.mkdir(parents=True)
    set_up = variant(config, asterisk={"spool": ours})
    found = {}
    for name in ("ours", "theirs", "nowhere"):
        asterisk: Any = Whole(WELL | {"ASTSPOOLDIR": str(tmp_path / name)})
        found[name] = [one.key for one in await thorough(asterisk, set_up, [], lambda: AT)]

    assert {"ours": [], "theirs": ["asterisk.spool"], "nowhere": []} == found


def test_clocks() -> None:
    assert [] == clock("x", AT, AT + timedelta(seconds=29))
    assert [False] == [one.serious for one in clock("x", AT, AT + timedelta(minutes=4))]
    assert [True] == [one.serious for one in clock("x", AT, AT - timedelta(hours=3))]
