"""``python -m bitrix24.simulator``: a portal for trying out clients, until interrupted."""

import signal
from datetime import UTC, datetime

import click

from bitrix24.simulator import FLAVOURS, SimulatedPortal, serve
from bitrix24.simulator.events import sender
from bitrix24.simulator.seed import DEPARTMENT, TAG, populate


@click.command()
@click.option("--port", default=8024, show_default=True, help="Port on 127.0.0.1.")
@click.option("--tasks", default=50, show_default=True, help="Call tasks to begin with.")
@click.option("--operators", default=5, show_default=True, help="Staff of the call centre.")
@click.option("--seed", default=1, show_default=True, help="The same seed makes the same portal.")
@click.option(
    "--flavour", type=click.Choice(list(FLAVOURS)), default="box", show_default=True,
    help="Which portal to simulate.",
)  # fmt: skip
@click.option("--latency", default=0.0, help="Seconds each request takes longer.")
@click.option("--events-to", help="URL that receives the portal's events.")
def main(  # noqa: PLR0913  # click hands over each option
    port: int,
    tasks: int,
    operators: int,
    seed: int,
    flavour: str,
    latency: float,
    events_to: str | None,
) -> None:
    """Serve a simulated Bitrix24 portal over HTTP on 127.0.0.1."""
    portal = SimulatedPortal(**FLAVOURS[flavour])
    populate(portal, seed, tasks=tasks, operators=operators, now=datetime.now(UTC))
    if events_to:
        portal.on_event.append(sender(events_to))
    with serve(portal, port=port, latency=latency) as webhook:
        click.echo(f"webhook:  {webhook}/")
        click.echo(f"tasks:    tag {TAG}, staff of department {DEPARTMENT}")
        click.echo(f"to watch: http://127.0.0.1:{port}/")
        signal.sigwait({signal.SIGINT, signal.SIGTERM})


if __name__ == "__main__":
    main()
