"""The long run: `python tests/fuzz/run.py --count 10000 --seed 1`.

Works in a child process that is begun anew where it hangs, dies or grows. Prints what was badly
answered, grouped; `--keep FOLDER` keeps the damaged files. One trial again:
`--kind K --again SEED`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import IO

HANG_SECONDS = 30.0
"""An answer that takes longer is a bad one: of the processor's time, as the machine may be busy."""

WAIT_SECONDS = 300.0
"""Nor may it take longer by the clock, computing or not."""

BEGIN_SECONDS = 120.0
"""More time for the first answers of a child, which imports and makes whole files first."""

MEMORY_BYTES = 6 << 30
"""Address space of a child; GROWN_BYTES: of which it may come to hold, beyond that of imports."""
GROWN_BYTES = 1 << 30


def child() -> None:
    """Answer the trials that come line by line."""
    import trials

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, resource.RLIM_INFINITY))
    out = os.fdopen(os.dup(1), "w")
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    with tempfile.TemporaryDirectory(prefix="chromatrack-fuzz-") as made:
        for line in sys.stdin:
            trial = trials.Trial(**json.loads(line))
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            found = trials.answer(trial, Path(made))
            grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
            if found is None and grown > GROWN_BYTES:
                found = f"memory: grew by {grown >> 20} MiB"
            print(json.dumps(found), file=out, flush=True)


class Child:
    """A child process that answers trials."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--child"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.known: set[str] = set()

    def ask(self, kind: str, seed: int) -> str | None:
        """What is wrong with the answer, or None; the child is over after a hang or death."""
        limit = HANG_SECONDS if kind in self.known else BEGIN_SECONDS
        self.known.add(kind)
        stdin, stdout = self._pipes()
        stdin.write(json.dumps({"kind": kind, "seed": seed}).encode() + b"\n")
        stdin.flush()
        began, spent = time.monotonic(), self._spent()
        while not select.select([stdout], [], [], 5)[0]:
            waited, computed = time.monotonic() - began, self._spent() - spent
            if computed > limit or waited > WAIT_SECONDS:
                return f"hang: no answer in {waited:.0f} s, {computed:.0f} s of them computing"
        line = stdout.readline()
        return json.loads(line) if line else f"died with code {self.process.wait()}"

    def _spent(self) -> float:
        """Seconds that the child has computed; by the clock where the system does not say."""
        try:
            after = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
            return (int(after[11]) + int(after[12])) / os.sysconf("SC_CLK_TCK")
        except (OSError, IndexError):
            return time.monotonic()

    def _pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        assert self.process.stdin is not None and self.process.stdout is not None
        return self.process.stdin, self.process.stdout

    def end(self) -> None:
        """Kill it."""
        with contextlib.suppress(OSError):
            self.process.kill()
        self.process.wait()


def main() -> int:
    """Draw, ask, count, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--skip", type=int, default=0, help="of these inputs, the first so many")
    parser.add_argument("--kind", nargs="*", default=[])
    parser.add_argument("--again", type=int, help="one trial's seed, with --kind")
    parser.add_argument("--keep", type=Path, help="folder for badly answered inputs")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child()
        return 0
    import trials

    if given.again is not None:
        todo = [trials.Trial(given.kind[0], given.again)]
    else:
        todo = list(trials.draw(given.count, seed=given.seed, kinds=given.kind))[given.skip :]
    bad: dict[str, list[trials.Trial]] = defaultdict(list)
    asked: Counter[str] = Counter()
    began, worker = time.monotonic(), Child()
    for number, trial in enumerate(todo, start=1):
        found = worker.ask(trial.kind, trial.seed)
        asked[trial.kind] += 1
        if found:
            bad[found].append(trial)
            print(f"{trial.kind} --again {trial.seed}: {found}", flush=True)
            if given.keep:
                _keep(trial, given.keep)
            if found.startswith(("hang", "died", "memory")):
                worker.end()
                worker = Child()
        if number % 500 == 0:
            print(f"{number} inputs, {time.monotonic() - began:.0f} s", flush=True)
    worker.end()
    for kind, count in sorted(asked.items()):
        print(f"{kind}: {count} inputs")
    wrong = sum(map(len, bad.values()))
    print(f"{len(todo)} inputs, {wrong} badly answered, {time.monotonic() - began:.0f} s")
    return 1 if bad else 0


def _keep(trial: object, folder: Path) -> None:
    import trials

    assert isinstance(trial, trials.Trial)
    target = folder / f"{trial.kind.replace('/', '-')}-{trial.seed}"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as made:
        trials.prepare(trial, Path(made), target)


if __name__ == "__main__":
    sys.exit(main())
