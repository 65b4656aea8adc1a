"""A benchmark that counts, measured in processes too: so nothing heavy is imported here."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass

from chromatrack.errors import DamagedVideoError, LayoutError


@dataclass(frozen=True)
class Counted:
    name: str
    frame_count: int


@dataclass(frozen=True)
class Config:
    top_k: int = 10


class Guess:
    model = "guess"

    def __init__(self, config=Config()):
        self.config = config


def measure(clip, *, tracker, folder, tick, log=None):
    if log is not None:
        with open(log, "a") as file:  # noqa: PTH123
            file.write(f"{clip.name} {os.getpid()} {os.environ.get('OMP_NUM_THREADS')}\n")
    for _ in range(clip.frame_count):
        tick()
    return {"score": clip.frame_count / 10, "by": tracker.model, "seconds": clip.frame_count * 2.0}


def combine(reports):
    return {"scores": {"score": sum(r["score"] for r in reports.values()) / len(reports)}}


CLIPS = (Counted("ant", 2), Counted("bee", 4), Counted("../c/ü?", 3))


class Other(Guess):
    """Another class."""


def measure_or_fail(clip, *, tracker, folder, tick):
    tick()
    if clip.name == "bee":
        for _ in range(6000):  # until the shortest is measured and kept
            if (folder / "clips" / "ant.json").exists():
                break
            time.sleep(0.01)
        tracker.fail()
    return {"score": 0.0}


class Failing(Guess):
    def __init__(self, how):
        super().__init__()
        self.how = how

    def fail(self):
        match self.how:
            case "layout":
                raise LayoutError("no such folder")
            case "damage":
                raise DamagedVideoError("broken", frame_index=7)
            case "bug":
                raise ValueError("unforeseen")
            case "ended":
                os._exit(7)
            case "killed":
                os.kill(os.getpid(), signal.SIGKILL)


class NeverAgain(Guess):
    def __reduce__(self):
        return (_only_here, (os.getpid(),))


def _only_here(process):
    if os.getpid() != process:
        raise TypeError("not here")
    return NeverAgain()


def measure_slowly(clip, *, tracker, folder, tick):
    (folder / f"{clip.name} {os.getpid()}").write_text("")
    for _ in range(clip.frame_count):
        time.sleep(0.02)
        tick()
    return {"score": 1.0}


def run_slowly(folder, jobs):
    """Finish the clip ant, and be at another for ever."""
    from chromatrack.evaluation.runner import Benchmark, evaluate

    benchmark = Benchmark(
        "slow", (Counted("ant", 1), Counted("bee", 10**6)), measure_slowly, combine
    )
    evaluate(benchmark, tracker=Guess(), output=folder, jobs=jobs)
