"""
The long form::

    python -m tests.chaos --attempts 5000 --faults 1500 [--seed N] [--keep-logs PLACE]

The seed draws the faults, their order and how long each lasts; it is printed first.
"""

import sys
import tempfile
import time
from pathlib import Path
from random import SystemRandom

import click

from tests.chaos.audit import audit
from tests.chaos.driver import chaos
from tests.chaos.faults import KINDS


@click.command()
@click.option("--attempts", default=5000, show_default=True)
@click.option("--faults", default=1500, show_default=True)
@click.option("--seed", type=int, help="Of an earlier run, for the same faults.")
@click.option(
    "--kind", "kinds", multiple=True, type=click.Choice(sorted(KINDS)), help="Only these."
)
@click.option("--nodes", default=1, show_default=True, help="So many, on one PostgreSQL.")
@click.option("--keep-logs", type=click.Path(path_type=Path))
def main(
    attempts: int,
    faults: int,
    seed: int | None,
    kinds: tuple[str, ...],
    nodes: int,
    keep_logs: Path | None,
) -> None:
    """Cause random faults, and check that the three records agree."""
    if seed is None:
        seed = SystemRandom().randrange(10**9)
    begun = time.monotonic()
    with (
        tempfile.TemporaryDirectory() as name,
        chaos(seed, Path(name), keep_logs, nodes=nodes) as running,
    ):
        running.run(attempts, faults, kinds)
        result = audit(running.rig, running.happened, running.others)
        click.echo(f"{len(running.happened)} faults: {dict(running.counts().most_common())}")
    minutes = (time.monotonic() - begun) / 60
    outcomes = dict(result.outcomes.most_common())
    click.echo(
        f"{result.attempts} attempts in {minutes:.0f} minutes: {outcomes};"
        f" {result.rung} phones rung, {result.comments} ends told to the portal"
    )
    for what in result.broken:
        click.echo(f"BROKEN: {what}")
    click.echo(f"{len(result.broken)} promises broken")
    sys.exit(bool(result.broken))


if __name__ == "__main__":
    main()
