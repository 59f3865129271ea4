"""``python -m bitrix24.simulator``: a portal to try clients on, until interrupted."""

import signal
from datetime import UTC, datetime, timedelta

import click

from bitrix24.simulator import SimulatedPortal, serve
from bitrix24.simulator.seed import add_contact, add_operator, add_task


@click.command()
@click.option("--port", default=8024, show_default=True, help="Port on 127.0.0.1.")
@click.option("--tasks", default=10, show_default=True, help="Call tasks to begin with.")
@click.option("--operators", default=3, show_default=True, help="Operators at work.")
@click.option("--chat-comments", is_flag=True, help="Keep comments in the task's chat (new boxes).")
def main(port: int, tasks: int, operators: int, chat_comments: bool) -> None:
    """Serve a simulated Bitrix24 portal over HTTP on 127.0.0.1."""
    now = datetime.now(UTC)
    portal = SimulatedPortal(comments_in_chat=chat_comments)
    for number in range(operators):
        add_operator(portal, 500 + number, str(101 + number), seen=now)
    for number in range(tasks):
        code = add_contact(portal, f"Клиент {number}", ("MOBILE", f"+442079460{number:03d}"))
        responsible = 500 + number % max(operators, 1)
        add_task(portal, f"Позвонить {number}", code, responsible=responsible,
                 deadline=now - timedelta(minutes=1))  # fmt: skip
    with serve(portal, port=port) as webhook:
        click.echo(f"webhook: {webhook}/")
        signal.sigwait({signal.SIGINT, signal.SIGTERM})


if __name__ == "__main__":
    main()
