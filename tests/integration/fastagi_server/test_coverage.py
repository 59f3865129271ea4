"""The codec, the commands and the session of FastAGI: no branch without a test."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
TESTS = ("test_wire", "test_in_step", "test_session", "test_commands", "test_strangers")
COVERED = ("wire", "results", "commands", "session", "errors")


def test_every_branch_is_taken(tmp_path: Path) -> None:
    data = f"--data-file={tmp_path}/coverage"

    def coverage(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "coverage", *words],
            cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    paths = [f"tests/unit/fastagi_server/{name}.py" for name in TESTS]
    cache = ("-p", "no:cacheprovider")
    coverage(
        "run", "--branch", "--source=fastagi_server", data, "-m", "pytest", "-q", *cache, *paths
    )
    files = ",".join(f"fastagi_server/{name}.py" for name in COVERED)
    coverage("report", data, f"--include={files}", "--show-missing", "--fail-under=100")
