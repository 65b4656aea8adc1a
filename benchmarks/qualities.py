"""How fast is `--quality fast`, normal and best? Everything written, the three in turn.

    python benchmarks/qualities.py CLIP MASK [--frames 30] [--rounds 4]

CLIP as for `chromatrack track`; MASK: of its first frame. Frames after the fifth are timed.
Prints frames a second (medians over the rounds after the first) and how much faster than normal,
round by round: [least, most].
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from chromatrack.cli.options import Settings, load_tracker
from chromatrack.runs.writer import track_to_folder
from chromatrack.tracking.config import QUALITIES
from chromatrack.tracking.marks import Marks
from chromatrack.tracking.tracker import Tracker

WARM = 5


def seconds_a_frame(tracker: Tracker, clip: str, mask: str, frames: int) -> float:
    """Of the frames after the first few."""
    times: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        track_to_folder(
            tracker,
            clip,
            Marks.of(masks=mask),
            output=Path(folder) / "run",
            end=frames,
            progress=lambda *_: times.append(time.perf_counter()),
        )
    return (times[-1] - times[WARM - 1]) / (len(times) - WARM)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("clip")
    parser.add_argument("mask")
    parser.add_argument("--frames", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=4)
    given = parser.parse_args()
    trackers = {name: load_tracker(Settings(quality=name)) for name in QUALITIES}
    found: dict[str, list[float]] = {name: [] for name in trackers}
    for number in range(given.rounds + 1):
        for name, tracker in trackers.items():
            seconds = seconds_a_frame(tracker, given.clip, given.mask, given.frames)
            if number:
                found[name].append(seconds)
    print("| quality | frames/s | times normal [least, most] |\n|---|---:|---:|")
    for name, times in found.items():
        ratios = [usual / own for usual, own in zip(found["normal"], times, strict=True)]
        spread = f"{statistics.median(ratios):.2f} [{min(ratios):.2f}, {max(ratios):.2f}]"
        print(f"| {name} | {1 / statistics.median(times):.2f} | {spread} |")


if __name__ == "__main__":
    main()
