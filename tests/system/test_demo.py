"""The demo, run as by a person: it ends well and leaves nothing behind, also on Ctrl-C."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from demo.pbx import asterisk_root

DEMO = [sys.executable, "-m", "autodial", "demo"]


def leftovers(demo: int) -> list[str]:
    """Directories and processes left by a demo that has ended; their names have its process id."""
    directories = [str(p) for p in (asterisk_root() / "var/tmp").glob(f"autodial24-{demo}-*")]
    directories += [str(p) for p in Path(tempfile.gettempdir()).glob(f"autodial24-demo-{demo}-*")]
    processes = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode().split("\0")
        except OSError:
            continue  # it ended during the check
        if any(f"autodial24-demo-{demo}-" in word for word in words):
            processes.append(" ".join(words))
        if any(f"autodial24-{demo}-" in word for word in words):
            processes.append(" ".join(words))
    return directories + processes


def mounts() -> str:
    return Path("/proc/self/mounts").read_text()


def test_it_shows_the_whole_job_and_ends_well() -> None:
    mounted = mounts()
    with subprocess.Popen(
        [*DEMO, "--tasks", "26"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as demo:
        assert demo.stdout is not None
        output = ""
        while not output.count("\nt8"):
            output += demo.stdout.readline()
        assert len(leftovers(demo.pid)) > 4, "while it runs they are there"
        output += demo.stdout.read()

    assert demo.returncode == 0, output
    assert "26 attempts, 26 outcomes, every report delivered." in output
    assert "The story of task" in output
    assert "What the portal holds now" in output
    for outcome in ("talked", "busy", "silent", "rejected", "unreachable", "bad number",
                    "client left", "line failed"):  # fmt: skip
        assert outcome in output
    assert [] == leftovers(demo.pid)
    assert mounted == mounts()


def test_ctrl_c_leaves_nothing_behind() -> None:
    mounted = mounts()
    with subprocess.Popen(
        [*DEMO, "--tasks", "26"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"}, start_new_session=True,
    ) as demo:  # fmt: skip
        assert demo.stdout is not None
        # Interrupt it in mid-run: the first attempt has ended, most have not.
        for line in demo.stdout:
            if line.startswith("t8"):
                break
        os.killpg(demo.pid, signal.SIGINT)
        output = demo.stdout.read()

    assert demo.returncode == 130, output
    assert "interrupted" in output
    assert [] == leftovers(demo.pid)
    assert mounted == mounts()
