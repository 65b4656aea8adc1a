"""Batches that are killed at random times, and the processes that they consist of."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

from processes import Fork


def family(process: int) -> list[int]:
    """Every process that descends from one, as `/proc` has them now."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                stat = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if stat[0] not in "ZX":
                parents[int(entry.name)] = int(stat[1])
    found, waiting = [], [process]
    while waiting:
        of = waiting.pop()
        children = sorted(child for child, parent in parents.items() if parent == of)
        found += children
        waiting += children
    return found


def kill_at_random(
    begin: Callable[[], Fork], *, kills: int, seed: int, longest_seconds: float
) -> list[str]:
    """Run a batch, killing its driver or any process of it at random times, until it is complete.

    Half of the kills, an even number, are of drivers. A batch that is complete sooner ends with
    fewer: nothing is left of it to be killed.

    Returns:
        What was killed: "driver" or "worker".
    """
    chance, killed = random.Random(seed), []
    planned = ["driver", "worker"] * (kills // 2)
    chance.shuffle(planned)
    process = begin()
    deadline = time.monotonic() + 120
    while process.poll() != 0:
        assert time.monotonic() < deadline, f"not done: {process.err()}"
        if process.poll() is not None:
            assert process.returncode in (0, -signal.SIGKILL), process.err()
            process = begin()
        if len(killed) >= kills:
            process.wait(60)
            continue
        time.sleep(chance.uniform(0, longest_seconds))
        what, victim = planned[len(killed)], process.pid
        if what == "worker":
            others = family(process.pid)
            if not others:  # none is begun yet, or all have ended
                continue
            victim = chance.choice(others)
        try:
            os.kill(victim, signal.SIGKILL)
        except ProcessLookupError:
            continue
        killed.append(what)
        if what == "driver":
            process.wait(10)
    assert not any(Path(f"/proc/{child}").exists() for child in family(process.pid))
    return killed
