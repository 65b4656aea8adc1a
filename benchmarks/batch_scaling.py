"""What a large batch takes on many machines, by a simulation with measured times.

    python benchmarks/batch_scaling.py [--clips 40000] [--frames 1500] [--seconds-per-frame 0.6 ...]

Each core is a worker with a clip at a time. All share a driver, which hands out one job after the
other, and a file server, which makes so many files and moves so many bytes a second. Both are
queues: first come, first served. Beside the simulation stands what paper alone says: work / cores,
the longest clip, and what driver and server need for all jobs were nothing else in the way.
"""

from __future__ import annotations

import argparse
import heapq
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

CORES = 16


@dataclass(frozen=True)
class Plan:
    """One batch.

    clips: of `frames` each. seconds_per_frame: of one core, measured on several clips; each clip of
    the batch is like one of them. slower: factor where all cores of a machine work. fixed_seconds:
    of a job besides frames. start_seconds: until a machine's workers have loaded. driver_seconds:
    of the driver, per job. files, megabytes: of a job, made and moved. server_files,
    server_megabytes: a second. price: of a machine, per hour.
    """

    clips: int = 40_000
    frames: int = 1500
    seconds_per_frame: tuple[float, ...] = (0.6,)
    slower: float = 1.3
    fixed_seconds: float = 1.0
    start_seconds: float = 90.0
    driver_seconds: float = 0.01
    plan_seconds: float = 0.001
    files: int = 1508
    megabytes: float = 40.0
    server_files: float = 2000.0
    server_megabytes: float = 1000.0
    price: float = 0.70
    seed: int = 1

    def job_seconds(self) -> list[float]:
        """Of each job on a core."""
        chance = random.Random(self.seed)
        each = [chance.choice(self.seconds_per_frame) for _ in range(self.clips)]
        return [self.fixed_seconds + self.frames * s * self.slower for s in each]


@dataclass(frozen=True)
class Outcome:
    """hours: until the last job ended. cost: of all machines for so long. busy: share of the cores'
    time in which they worked on a clip.
    """

    hours: float
    cost: float
    busy: float


def simulate(plan: Plan, machines: int) -> Outcome:
    """Run it, event by event."""
    jobs, workers = plan.job_seconds(), machines * CORES
    begun = plan.start_seconds + plan.plan_seconds * plan.clips
    free = [(begun, number) for number in range(min(workers, len(jobs)))]
    heapq.heapify(free)
    serving = plan.files / plan.server_files + plan.megabytes / plan.server_megabytes
    driver = server = begun
    ends: list[tuple[float, int, float]] = []
    end = worked = 0.0
    for seconds in jobs:
        at, number = heapq.heappop(free)
        while ends and ends[0][0] <= at:  # the server takes them in the order they come
            came, who, _ = heapq.heappop(ends)
            server = max(server, came) + serving
            end = max(end, server)
            heapq.heappush(free, (max(server, came), who))
            at, number = heapq.heappushpop(free, (at, number))
        driver = max(driver, at) + plan.driver_seconds
        worked += seconds
        heapq.heappush(ends, (driver + seconds, number, seconds))
        if not free:
            came, who, _ = heapq.heappop(ends)
            server = max(server, came) + serving
            end = max(end, server)
            heapq.heappush(free, (max(server, came), who))
    while ends:
        came, _, _ = heapq.heappop(ends)
        server = max(server, came) + serving
        end = max(end, server)
    return Outcome(end / 3600, end / 3600 * machines * plan.price, worked / (end * workers))


def bounds(plan: Plan, machines: int) -> dict[str, float]:
    """Hours that each part would take were the others nothing: the largest is in the way."""
    jobs = plan.job_seconds()
    serving = plan.files / plan.server_files + plan.megabytes / plan.server_megabytes
    rounds = math.ceil(len(jobs) / (machines * CORES))
    return {
        "work": sum(jobs) / (machines * CORES) / 3600,
        "whole rounds": rounds * sum(jobs) / len(jobs) / 3600,
        "driver": len(jobs) * (plan.driver_seconds + plan.plan_seconds) / 3600,
        "files": len(jobs) * serving / 3600,
    }


def table(plan: Plan, counts: Sequence[int]) -> list[str]:
    """Lines of Markdown."""
    head = ["machines", "hours", "cost", "cores busy", *bounds(plan, 1)]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for machines in counts:
        done, least = simulate(plan, machines), bounds(plan, machines)
        cells = [f"{machines:,}", f"{done.hours:,.1f}", f"{done.cost:,.0f}", f"{done.busy:.0%}"]
        lines.append(f"| {' | '.join([*cells, *(f'{v:,.2f}' for v in least.values())])} |")
    return lines


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    usual = Plan()
    for name in ("clips", "frames", "files"):
        parser.add_argument(f"--{name}", type=int, default=getattr(usual, name))
    for name in ("slower", "driver-seconds", "server-files", "server-megabytes", "price"):
        value = getattr(usual, name.replace("-", "_"))
        parser.add_argument(f"--{name}", type=float, default=value)
    parser.add_argument("--seconds-per-frame", type=float, nargs="+", default=[0.6])
    parser.add_argument("--machines", type=int, nargs="+", default=[1, 10, 100, 1000])
    given = vars(parser.parse_args())
    machines = given.pop("machines")
    plan = Plan(**{**given, "seconds_per_frame": tuple(given["seconds_per_frame"])})
    print("With masks, each frame's in a file:", *table(plan, machines), sep="\n")
    few = replace(plan, files=8, megabytes=plan.megabytes / 2)
    print("\nWith tables alone (only=tracks):", *table(few, machines), sep="\n")


if __name__ == "__main__":
    main()
