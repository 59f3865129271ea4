"""``python -m autodial``, and the command ``autodial``."""

import signal
import sys


def start() -> None:
    """
    Run the command. SIGHUP (reload the settings) is ignored while the dialler starts, so it does
    not end the process.
    """
    if "run" in sys.argv[1:]:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    from autodial.cli.main import main

    main(prog_name="autodial")


if __name__ == "__main__":
    start()
