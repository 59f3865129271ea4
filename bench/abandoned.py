"""
The share of abandoned calls over many simulated days, with more calls than operators: below the
cap on every day, and far above it without a cap. The tests do the same with a few days.
"""

from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

import click

from tests.integration.simulation.test_simulate import strong


@click.command()
@click.option("--days", default=30, show_default=True)
@click.option("--cap", default=0.05, show_default=True)
def main(days: int, cap: float) -> None:
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        capped = list(pool.map(partial(strong, abandoned_cap=cap), range(days)))
        uncapped = list(pool.map(partial(strong, abandoned_cap=0.5), range(2)))
    for seed, day in enumerate(capped):
        print(
            f"day {seed}: {day.answers.rate:.1%} of {day.answers.answered}, overdial {day.overdial}"
        )
    print(f"worst {max(day.answers.rate for day in capped):.1%}, cap {cap:.1%}")
    print(f"without a cap: {', '.join(f'{day.answers.rate:.1%}' for day in uncapped)}")


if __name__ == "__main__":
    main()
