"""Where a client may be, by the number: each area code of Russia by its offset."""

import zoneinfo
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import tzdata

from autodial.rules import time_zone_data
from autodial.rules.time_zones import of_number

#: After the last change of a Russian zone (Volgograd, 2020-12-27).
NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
#: Offset from UTC in hours, and the area codes (three digits) that lie there.
CODES = {
    2: "401",
    3: "365 471 472 473 474 475 481 482 483 484 485 486 487 491 492 493 494 495 496 498 499 811 812"
    " 813 814 815 816 817 818 820 821 831 833 834 835 836 841 843 844 847 855 861 862 863 865 866"
    " 867 869 871 872 873 877 878 879",
    4: "341 842 845 846 848 851",
    5: "342 343 345 346 347 349 351 352 353",
    6: "381",
    7: "382 383 384 385 388 390 391 394",
    8: "301 395",
    9: "302 416",
    10: "421 423 426",
    11: "413 424",
    12: "415 427",
}


@pytest.mark.parametrize(
    ("code", "hours"), [(code, hours) for hours, some in CODES.items() for code in some.split()]
)
def test_an_area_code_has_its_offset(code: str, hours: int) -> None:
    for rest in ("2212345", "6122345"):
        zones = of_number(f"+7{code}{rest}")
        assert {hours} == {zone.utcoffset(NOW).seconds // 3600 for zone in zones}  # type: ignore[union-attr]


def test_saratov_is_four_hours_ahead_in_every_season() -> None:
    (zone,) = of_number("+78452123456")
    assert {4.0} == {
        datetime(2026, month, 1, tzinfo=zone).utcoffset().total_seconds() / 3600  # type: ignore[union-attr]
        for month in range(1, 13)
    }


def test_yakutia_outside_its_capital_is_in_one_of_three_zones() -> None:
    offsets = {zone.utcoffset(NOW).seconds // 3600 for zone in of_number("+74115612345")}  # type: ignore[union-attr]
    assert {9, 10, 11} == offsets
    assert ["Asia/Yakutsk"] == [zone.key for zone in of_number("+74112123456")]


def test_a_code_that_nobody_knows_may_be_anywhere_in_the_country() -> None:
    zones = {zone.key for zone in of_number("+73642123456")}
    assert {"Europe/Kaliningrad", "Asia/Kamchatka"} <= zones


@pytest.fixture
def as_it_was() -> Iterator[None]:
    yield
    time_zone_data.choose()


@pytest.mark.parametrize(
    ("first_line", "package"),
    [
        ("# version 2019a", True),
        (f"# version {tzdata.IANA_VERSION}", True),
        ("# version 2099a", False),
        ("", True),
        ("# version unknown", True),
        (None, True),
    ],
)
def test_the_newer_database_counts(
    tmp_path: Path, as_it_was: None, first_line: str | None, package: bool
) -> None:
    """The system's database is used if it is newer. One without a version does not count."""
    if first_line is not None:
        (tmp_path / "tzdata.zi").write_text(f"{first_line}\nR d 1916\n")
    database = time_zone_data.choose([str(tmp_path / "none"), str(tmp_path)])

    assert package is database.package
    assert (tzdata.IANA_VERSION if package else "2099a") == database.version
    assert (() if package else (str(tmp_path / "none"), str(tmp_path))) == zoneinfo.TZPATH
