"""
``python -m tests.fuzz TARGET... [--minutes 60]``: fuzz each for so long; ``all``: every target.

With one target, and where atheris is installed (``pip install atheris``), its coverage guides the
search; otherwise, or with ``--plain``, the seeds are mutated blindly. A finding is written to
``tests/fuzz/found`` and ends the run. Fix it, and move the file to the seeds: from then on the
test command runs it, too.
"""

import argparse
import sys
import time
from pathlib import Path

from tests.fuzz.mutations import seeds_of, variants
from tests.fuzz.targets import TARGETS

FOUND = Path(__file__).parent / "found"


def plainly(name: str, minutes: float, seed: int) -> int:
    """Mutate the seeds until the time is over; returns the number of inputs."""
    until = time.monotonic() + 60 * minutes
    tried = 0
    for data in variants(seeds_of(name), seed):
        try:
            TARGETS[name](data)
        except Exception:
            FOUND.mkdir(exist_ok=True)
            (FOUND / f"{name}-{seed}-{tried}").write_bytes(data)
            print(f"{name}: a finding, {FOUND / f'{name}-{seed}-{tried}'}", file=sys.stderr)
            raise
        tried += 1
        if tried % 100 == 0 and time.monotonic() > until:
            return tried
    return tried


def guided(name: str, minutes: float) -> None:
    """Fuzz with atheris; it prints its own figures, and does not return."""
    import atheris  # type: ignore[import-untyped, unused-ignore]

    atheris.instrument_all()
    FOUND.mkdir(exist_ok=True)
    options = [f"-max_total_time={int(60 * minutes)}", f"-artifact_prefix={FOUND}/{name}-"]
    seeds = str(Path(__file__).parent / "seeds" / name)
    corpus = FOUND / f"corpus-{name}"
    corpus.mkdir(exist_ok=True)
    quiet = ["-close_fd_mask=0", "-print_final_stats=1", "-max_len=4096", "-rss_limit_mb=4096"]
    atheris.Setup([sys.argv[0], *options, *quiet, str(corpus), seeds], TARGETS[name])
    atheris.Fuzz()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m tests.fuzz")
    parser.add_argument("targets", nargs="+", choices=[*TARGETS, "all"], metavar="TARGET")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--plain", action="store_true", help="do not use atheris")
    parser.add_argument("--seed", type=int, default=1)
    wishes = parser.parse_args()
    names = list(TARGETS) if "all" in wishes.targets else wishes.targets
    if len(names) == 1 and not wishes.plain:
        try:
            guided(names[0], wishes.minutes)
        except ImportError:
            print("atheris is not installed: mutating blindly", file=sys.stderr)
    for name in names:
        began = time.monotonic()
        tried = plainly(name, wishes.minutes, wishes.seed)
        print(f"{name}: {tried} inputs in {time.monotonic() - began:.0f} s, nothing found")


if __name__ == "__main__":
    main()
