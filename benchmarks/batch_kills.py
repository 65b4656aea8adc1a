"""Does a batch that is killed again and again end as one that is not? With real clips and tracking.

    python benchmarks/batch_kills.py [--clips 1000] [--broken 20] [--kills 10] [--jobs 2] [--to DIR]

Renders clips of a second (half of `--broken` hold no video at all, half break off) and runs two
batches on them with a tiny network: one undisturbed, one of which the driver or a process of it is
killed by SIGKILL at random times. Then compares every file of every job, times aside, and the rows
of the index.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path

from chromatrack.evaluation.synthetic.clips import scene
from chromatrack.evaluation.synthetic.scenes import SCENES
from chromatrack.formats.masks import write_mask
from chromatrack.model.config import EncoderConfig
from chromatrack.model.encoder import build_encoder
from chromatrack.model.weights import save_encoder
from chromatrack.video.reader import open_writer

SIZE, FRAMES = (48, 64), 25
TINY = EncoderConfig(widths=(8, 16, 16), blocks=(1, 1, 1), embedding=16)
TIMES = ("seconds", "frames_per_second", "tries", "mtime_ns")
SETTINGS = ("size=48", "decoder=none", "adapt=0", "overlay=no", "redetect=no")
"""What costs least: how jobs are done is tested elsewhere."""

DRAWN = 40
"""Clips that are rendered; the others are the same with a note of their own at the end."""


def write_clips(home: Path, count: int, broken: int) -> Path:
    """The clips, their masks and the manifest."""
    names = list(SCENES)
    for number in range(min(count, DRAWN)):
        clip = islice(scene(names[number % len(names)], seed=number, size=SIZE), FRAMES)
        with open_writer(home / f"d{number}.mp4", fps=25) as writer:
            for frame in clip:
                writer.write(frame.rgb)
                if frame.index == 0:
                    write_mask(home / f"d{number}.png", frame.mask)
    save_encoder(home / "w.safetensors", build_encoder(TINY).eval())
    rows = ["job,video,masks"]
    for number in range(count):
        content = (home / f"d{number % DRAWN}.mp4").read_bytes()
        note = f"clip {number}".encode()
        content += (8 + len(note)).to_bytes(4, "big") + b"free" + note
        if number < broken // 2:
            content = note
        elif number < broken:
            content = content[: len(content) // 2]
        (home / f"c{number}.mp4").write_bytes(content)
        rows.append(f"c{number},c{number}.mp4,d{number % DRAWN}.png")
    (home / "jobs.csv").write_text("\n".join(rows) + "\n")
    return home / "jobs.csv"


def begin(manifest: Path, store: Path, jobs: int) -> subprocess.Popen:
    """The command, as typed."""
    words = ["batch", str(manifest), "-o", str(store), "--jobs", str(jobs)]
    words += ["--set", *SETTINGS, f"model={manifest.parent / 'w.safetensors'}"]
    return subprocess.Popen(
        [sys.executable, "-m", "chromatrack", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def family(process: int) -> list[int]:
    """Processes that descend from one."""
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
        children = [child for child, parent in parents.items() if parent == of]
        found += children
        waiting += children
    return found


def disturbed(manifest: Path, store: Path, args: argparse.Namespace, calm_seconds: float) -> str:
    """Run it with kills; what was killed."""
    chance, killed = random.Random(args.seed), []
    process = begin(manifest, store, args.jobs)
    while True:
        try:
            wait = chance.uniform(0.2, 1.6) * calm_seconds / (args.kills + 1)
            process.wait(wait if len(killed) < args.kills else None)
        except subprocess.TimeoutExpired:
            others = family(process.pid)
            is_driver = chance.random() < 0.5 or not others
            victim = process.pid if is_driver else chance.choice(others)
            try:
                os.kill(victim, signal.SIGKILL)
            except ProcessLookupError:
                continue
            killed.append("driver" if is_driver else "worker")
            if is_driver:
                process.wait()
        if process.poll() is not None:
            if process.returncode in (0, 3) and len(killed) >= args.kills:
                return f"{killed.count('driver')} drivers, {killed.count('worker')} workers"
            process = begin(manifest, store, args.jobs)


def digests(store: Path) -> dict[str, str]:
    """Digest of every file of every job, times taken out of what has some."""
    found = {}
    for path in sorted(path for path in (store / "jobs").rglob("*") if path.is_file()):
        content = path.read_bytes()
        if path.name == "job.json":
            data = json.loads(content)
            content = json.dumps({k: v for k, v in data.items() if k not in TIMES}).encode()
        elif path.name == "result.json":
            content = re.sub(rb'"timings": \{[^}]*\}', b"", content)
        found[path.relative_to(store).as_posix()] = hashlib.sha256(content).hexdigest()
    return found


def index(store: Path) -> list[dict[str, str]]:
    """Rows without times."""
    with (store / "index.csv").open(encoding="utf-8") as file:
        return [{k: v for k, v in r.items() if k not in TIMES} for r in csv.DictReader(file)]


def main() -> None:
    """Print what was done and whether it is the same."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, value in (("clips", 1000), ("broken", 20), ("kills", 10), ("jobs", 2), ("seed", 1)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--to", type=Path, help="folder to keep; None: a temporary one")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        home = args.to or Path(temporary)
        (home / "in").mkdir(parents=True)
        manifest = write_clips(home / "in", args.clips, args.broken)
        began = time.perf_counter()
        begin(manifest, home / "calm", args.jobs).wait()
        calm = time.perf_counter() - began
        print(f"undisturbed: {args.clips} jobs in {calm:.0f} s", flush=True)
        began = time.perf_counter()
        killed = disturbed(manifest, home / "killed", args, calm)
        print(f"killed: {killed}; {time.perf_counter() - began:.0f} s in all")
        one, other = digests(home / "calm"), digests(home / "killed")
        differ = sorted(k for k in one.keys() | other.keys() if one.get(k) != other.get(k))
        rows = index(home / "calm")
        states = [row["state"] for row in rows]
        print({state: states.count(state) for state in sorted(set(states))})
        print(f"{len(one)} files, {len(differ)} differ {differ[:5]}")
        print(f"index the same: {rows == index(home / 'killed')}")
        folders = [home / "killed/.batch" / n for n in ("claims", "drivers", "work", "left")]
        left = [path for folder in folders for path in folder.iterdir()]
        print(f"left behind: {left}")


if __name__ == "__main__":
    main()
