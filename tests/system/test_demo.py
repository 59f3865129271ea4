"""The demo, as a person runs it: it ends well, and it leaves nothing behind, also on Ctrl-C."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from demo.pbx import asterisk_root

DEMO = [sys.executable, "-m", "autodial", "demo"]


def leftovers() -> list[str]:
    """Directories and processes of a demo that is over."""
    directories = [str(p) for p in (asterisk_root() / "var/tmp").glob("autodial24-*")]
    processes = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode().split("\0")
        except OSError:
            continue  # it ended while we looked
        if any("autodial24-demo-" in word for word in words):
            processes.append(" ".join(words))
        if words[0].endswith("asterisk") and any("autodial24-" in word for word in words):
            processes.append(" ".join(words))
    return directories + processes


def mounts() -> str:
    return Path("/proc/self/mounts").read_text()


def test_it_shows_the_whole_job_and_ends_well() -> None:
    before, mounted = set(leftovers()), mounts()
    done = subprocess.run([*DEMO, "--tasks", "26"], capture_output=True, text=True, timeout=240)
    said = done.stdout

    assert done.returncode == 0, said + done.stderr
    assert "26 attempts, 26 outcomes, every report delivered." in said
    assert "The story of task" in said
    assert "What the portal holds now" in said
    for outcome in ("talked", "busy", "silent", "rejected", "unreachable", "bad number",
                    "client left", "line failed"):  # fmt: skip
        assert outcome in said
    assert set() == set(leftovers()) - before
    assert mounted == mounts()


def test_ctrl_c_leaves_nothing_behind() -> None:
    before, mounted = set(leftovers()), mounts()
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
        said = demo.stdout.read()

    assert demo.returncode == 130, said
    assert "interrupted" in said
    assert set() == set(leftovers()) - before
    assert mounted == mounts()
