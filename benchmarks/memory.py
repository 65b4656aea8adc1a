"""Peak memory of tracking a short and a long clip of the same size: they must not differ.

    python benchmarks/memory.py [--frames 100 1000] [--height 480 --width 854] [--size 480]

Each length is tracked in its own process, on a clip that this script renders and encodes (H.264).
Prints the peak resident set of each and their ratio.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np


def write_clip(path: Path, *, frames: int, size: tuple[int, int]) -> np.ndarray:
    """A textured disc moving over a panning background; returns the first frame's mask."""
    from chromatrack.video.reader import VideoWriter

    height, width = size
    rng = np.random.default_rng(0)
    coarse = rng.integers(40, 216, (height // 8 + 2, width // 8 + 2, 3), dtype=np.uint8)
    background = np.kron(coarse, np.ones((8, 8, 1), np.uint8))[:height, :width]
    side = min(128, height, width)
    blocks = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
    disc = np.kron(blocks, np.ones((4, 4, 1), np.uint8))[:side, :side]
    y, x = np.mgrid[:side, :side]
    inside = np.hypot(y - (side - 1) / 2, x - (side - 1) / 2) < 15 / 32 * side
    mask = np.zeros(size, dtype=np.int32)
    with VideoWriter(path, fps=25) as writer:
        for index in range(frames):
            frame = np.roll(background, index, axis=1).copy()
            top = int((height - side) * (0.5 + 0.4 * np.sin(index / 20)))
            left = int((width - side) * (0.5 + 0.4 * np.sin(index / 31)))
            frame[top : top + side, left : left + side][inside] = disc[inside]
            if index == 0:
                mask[top : top + side, left : left + side][inside] = 1
            writer.write(frame)
    return mask


def track(clip: Path, mask: Path, model: str, size: int) -> None:
    """Track to files, as the command does; prints frames, seconds and peak memory in MiB."""
    from chromatrack.runs.writer import track_to_folder
    from chromatrack.tracking.config import TrackConfig
    from chromatrack.tracking.cores import prepare_process
    from chromatrack.tracking.marks import Marks
    from chromatrack.tracking.tracker import Tracker

    prepare_process()
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as output:
        tracker = Tracker.from_pretrained(model, config=TrackConfig(size=size))
        marks = Marks.of(masks=mask)
        track_to_folder(tracker, clip, marks, output=Path(output))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{time.perf_counter() - started:.1f} {peak:.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--frames", type=int, nargs=2, default=[100, 1000])
    parser.add_argument("--height", type=int, default=480)
    parser.add_argument("--width", type=int, default=854)
    parser.add_argument("--model", default="small")
    parser.add_argument("--size", type=int, default=480, help="short side as embedded")
    parser.add_argument("--track", nargs=2, type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.track:
        clip, mask = options.track
        track(clip, mask, options.model, options.size)
        return
    from chromatrack.formats.masks import write_mask

    peaks = []
    with tempfile.TemporaryDirectory() as folder:
        for frames in options.frames:
            clip, mask = Path(folder) / f"{frames}.mp4", Path(folder) / f"{frames}.png"
            write_mask(mask, write_clip(clip, frames=frames, size=(options.height, options.width)))
            command = [sys.executable, __file__, "--model", options.model]
            command += ["--size", str(options.size), "--track", str(clip), str(mask)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            seconds, peak = map(float, done.stdout.split()[-2:])
            peaks.append(peak)
            print(f"{frames:6d} frames: {peak:8.1f} MiB peak, {frames / seconds:.2f} frames/s")
    print(f"ratio long / short: {peaks[1] / peaks[0]:.4f}")


if __name__ == "__main__":
    main()
