"""The command ``autodial``: tables for people, ``--json`` for programs."""

import os
import sys
from pathlib import Path
from typing import Any, TypeVar

import click

from autodial import texts
from autodial.cli.board import api_token, board, board_user
from autodial.cli.dialplan import dialplan_
from autodial.cli.doctor import doctor
from autodial.cli.init import init
from autodial.cli.nodes import move_store, nodes_
from autodial.cli.portal import authorize, groups, outbox_, test_card
from autodial.cli.reports import audit, calls, report, work_times
from autodial.cli.rules import day_off, reload
from autodial.cli.secret import secret
from autodial.cli.simulate import simulate
from autodial.cli.staff import do_not_call, hand_over, operators, pause, presence_, resume
from autodial.cli.status import status
from autodial.cli.store import backup_, restore
from autodial.cli.tasks import call_now, postpone, show, skip, tasks_, why
from autodial.cli.test_call import test_call
from autodial.config import load as loading
from autodial.errors import AutodialError, StoreBusy
from autodial.portal.client import unconnected
from autodial.service.run import run_dialler
from call_files import SpoolError

T = TypeVar("T")


DEFAULT = Path("/etc/autodial24/autodial.toml")


#: Commands of earlier versions.
_RENAMED = {"never": "do-not-call"}


class _Main(click.Group):
    """Errors raised on purpose are shown as a sentence, not as a traceback."""

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name in _RENAMED:
            raise click.UsageError(f"'{name}' is called '{_RENAMED[name]}' now")
        return super().get_command(ctx, name)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (AutodialError, SpoolError) as error:
            raise click.ClickException(_lines(str(error))) from error
        except (click.UsageError, _Misconfigured):
            raise  # a usage error quotes the user's own input; the other is already escaped
        except click.ClickException as error:
            raise click.ClickException(_lines(error.message)) from error


class _Misconfigured(click.ClickException):
    """A failed start that a person must correct; the unit does not retry (sysexits.h)."""

    exit_code = 78


class _NotNow(_Misconfigured):
    """A failed start that may succeed later; the unit retries."""

    exit_code = 75


def _lines(text: str) -> str:
    """An error's text, escaped: it may quote the portal, a file, or input."""
    return "\n".join(texts.escaped(line) for line in text.split("\n"))


@click.group(cls=_Main)
@click.version_option(package_name="autodial24", message="%(package)s %(version)s")
@click.option(
    "--config", "path", type=click.Path(path_type=Path), default=DEFAULT, show_default=True,
    envvar="AUTODIAL_CONFIG", show_envvar=True, help="The configuration file.",
)  # fmt: skip
@click.pass_context
def main(ctx: click.Context, path: Path) -> None:
    """Work through the call tasks of a Bitrix24 portal with an Asterisk PBX."""
    ctx.obj = path


@click.command()
@click.option("--as-root", is_flag=True, help="Run although this is root.")
@click.pass_obj
def run(path: Path, as_root: bool) -> None:
    """Run the dialler until SIGTERM or Ctrl-C."""
    if os.geteuid() == 0 and not as_root:
        raise click.ClickException(
            "run this as Asterisk's user, for example 'runuser -u asterisk -- autodial run':"
            " otherwise a fault in the dialler has root's rights. To run as root: --as-root"
        )
    try:
        if unconnected(loading.load(path)):
            raise _Misconfigured("the portal is not connected yet: run 'autodial init' first")
        sys.exit(run_dialler(path))
    except StoreBusy as error:
        raise _NotNow(_lines(str(error))) from error
    except (AutodialError, SpoolError) as error:
        raise _Misconfigured(_lines(str(error))) from error


@click.command()
@click.option("--tasks", default=26, show_default=True, help="Call tasks, over all outcomes.")
@click.option("--keep-logs", type=click.Path(path_type=Path), help="Save all logs here.")
def demo(tasks: int, keep_logs: Path | None) -> None:
    """Watch the whole job: real Asterisk, real SIP, a simulated portal. Needs root."""
    from demo.run import run_demo

    sys.exit(run_demo(tasks, keep_logs))


for command in (
    run,
    init,
    demo,
    tasks_,
    why,
    show,
    call_now,
    skip,
    postpone,
    status,
    nodes_,
    operators,
    presence_,
    pause,
    resume,
    hand_over,
    do_not_call,
    outbox_,
    groups,
    authorize,
    test_call,
    test_card,
    doctor,
    dialplan_,
    backup_,
    restore,
    move_store,
    day_off,
    reload,
    report,
    work_times,
    calls,
    audit,
    board,
    board_user,
    api_token,
    simulate,
    secret,
):
    main.add_command(command)

if __name__ == "__main__":
    main()
