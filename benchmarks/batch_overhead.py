"""How long does a batch take over a job besides doing it?

    python benchmarks/batch_overhead.py [--jobs 300] [--frames 250] [--megabytes 5]

Jobs whose command writes as many files as tracking a ten-second clip and does nothing else, by one
worker. Told apart: the files themselves, written here without a batch; the first start; a second
start that finds all of it done. Processor time is of driver and worker together: on a busy machine
look at that.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from chromatrack.batch.api import Batch, run_batch
from chromatrack.batch.job import Command
from chromatrack.batch.manifest import read_manifest

MASK = b"x" * 2000
CLIP_SECONDS = 10


def write_frames(video: str, /, *, output: Path, frames: int = 250) -> str:
    """What tracking leaves behind: a mask per frame and result.json."""
    (output / "masks").mkdir(parents=True)
    for number in range(frames):
        (output / f"masks/{number:05d}.png").write_bytes(MASK)
    rows = [{"index": i, "reliability": {"1": 0.9}} for i in range(frames)]
    (output / "result.json").write_text(json.dumps({"frames": rows, "look_at": []}))
    return video


def commands() -> Mapping[str, Command]:
    """The one."""
    return {"track": Command(write_frames, output=lambda _: "track")}


@contextmanager
def kept(threads: int) -> Iterator[None]:
    """Nothing is."""
    yield


def spent() -> tuple[float, float]:
    """Wall and processor time so far, s; of processes that ended, too."""
    t = os.times()
    return time.perf_counter(), t.user + t.system + t.children_user + t.children_system


def told(what: str, before: tuple[float, float], count: int) -> float:
    """Print time per job; the processor's, ms."""
    wall, processor = ((b - a) / count * 1000 for a, b in zip(before, spent(), strict=True))
    print(f"{what:42} {wall:7.1f} ms wall, {processor:6.1f} ms processor per job", flush=True)
    return wall


def main() -> None:
    """Print a line per case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=300)
    parser.add_argument("--frames", type=int, default=CLIP_SECONDS * 25)
    parser.add_argument("--megabytes", type=float, default=5.0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        home = Path(temporary)
        rows = []
        for number in range(args.jobs):
            clip = home / f"c{number}.mp4"
            clip.write_bytes(os.urandom(int(args.megabytes * 1e6)))
            rows.append(json.dumps({"video": clip.name, "frames": args.frames}))
        (home / "jobs.jsonl").write_text("\n".join(rows))
        before = spent()
        for number in range(args.jobs):
            write_frames("", output=home / f"alone{number}", frames=args.frames)
        alone = told("the files alone", before, args.jobs)
        before = spent()
        jobs = read_manifest(home / "jobs.jsonl", commands()).jobs
        told("manifest read and checked", before, args.jobs)
        batch = Batch(jobs, commands, kept, processes=1)
        for what in ("in a batch, the worker's start included", "a second start, all done"):
            before = spent()
            run_batch(batch, str(home / "store"), tell=lambda _: None)
            wall = told(what, before, args.jobs)
            if "second" not in what:
                over = max(0.0, wall - alone)
                share = over / (CLIP_SECONDS * 1000)
                print(f"{'overhead':42} {over:7.1f} ms: {share:.2%} of a clip tracked in real time")


if __name__ == "__main__":
    main()
