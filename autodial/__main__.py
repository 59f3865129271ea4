"""``python -m autodial``, and the command ``autodial``."""

import signal
import sys


def start() -> None:
    """
    Run the command. A dialler that is still being set up is not ended by a signal that it would
    read its settings again for.
    """
    if "run" in sys.argv[1:]:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    from autodial.cli.main import main

    main(prog_name="autodial")


if __name__ == "__main__":
    start()
