"""How long the command line takes to answer `--help`, processor and wall clock, in seconds.

    python benchmarks/start.py [--runs 10]

Each run is a process of its own; the smallest is what the machine can do, the median what comes.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence

COMMANDS = ("", "track", "colorize", "train", "evaluate davis")


def measure(words: Sequence[str]) -> tuple[float, float]:
    """(processor, wall) seconds of one process."""
    before, started = os.times(), time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "chromatrack", *words, "--help"],
        stdout=subprocess.DEVNULL,
        check=True,
    )
    after, wall = os.times(), time.perf_counter() - started
    spent = after.children_user - before.children_user + after.children_system
    return spent - before.children_system, wall


def main() -> None:
    """Print one line per command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10)
    runs = parser.parse_args().runs
    for command in COMMANDS:
        processor, wall = zip(*(measure(command.split()) for _ in range(runs)), strict=True)
        print(
            f"{f'chromatrack {command} --help':34}"
            f" processor {min(processor):.2f} (median {statistics.median(processor):.2f}),"
            f" wall {min(wall):.2f} (median {statistics.median(wall):.2f})"
        )


if __name__ == "__main__":
    main()
