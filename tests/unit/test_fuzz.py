"""The short form of the fuzzing: every seed, past findings among them, and some variants."""

from itertools import islice

import pytest

from tests.fuzz.mutations import SEEDS, seeds_of, variants
from tests.fuzz.targets import TARGETS

#: Variants tried for each target; the long form tries more in a minute.
VARIANTS = 600


@pytest.mark.parametrize("name", TARGETS)
def test_no_bytes_of_a_stranger_raise_what_they_may_not(name: str) -> None:
    assert seeds_of(name)
    for data in islice(variants(seeds_of(name), 1), VARIANTS):
        try:
            TARGETS[name](data)
        except Exception as error:
            raise AssertionError(f"{name}: {data!r}") from error


def test_each_folder_of_seeds_has_a_target() -> None:
    assert set(TARGETS) == {path.name for path in SEEDS.iterdir()}
