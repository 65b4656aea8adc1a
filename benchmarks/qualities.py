"""How fast is `--quality fast`, normal and best? Everything written, the three in turn.

    python benchmarks/qualities.py CLIP MASK [--frames 30] [--rounds 4] [--only fast normal]

CLIP as for `chromatrack track`; MASK: of its first frame. Frames after the fifth are timed.
Prints frames a second and milliseconds of CPU a frame, all threads together (medians over the
rounds after the first), and how much less CPU and time than normal, round by round: [least, most].
Where others use the machine, CPU time tells more.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from chromatrack.cli.options import OutputOptions, Settings, load_tracker
from chromatrack.runs.writer import track_to_folder
from chromatrack.tracking.config import QUALITIES
from chromatrack.tracking.marks import Marks
from chromatrack.tracking.tracker import Tracker
from chromatrack.video.encoding import Quality

WARM = 5


def seconds_a_frame(
    tracker: Tracker, clip: str, mask: str, frames: int, quality: Quality
) -> tuple[float, float]:
    """Of the frames after the first few: by the clock, and of CPU."""
    times: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        track_to_folder(
            tracker,
            clip,
            Marks.of(masks=mask),
            output=Path(folder) / "run",
            end=frames,
            quality=quality,
            progress=lambda *_: times.append((time.perf_counter(), time.process_time())),
        )
    clock, cpu = (
        (last - first) / (len(times) - WARM)
        for first, last in zip(times[WARM - 1], times[-1], strict=True)
    )
    return clock, cpu


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("clip")
    parser.add_argument("mask")
    parser.add_argument("--frames", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--only", nargs="+", choices=list(QUALITIES), default=list(QUALITIES))
    given = parser.parse_args()
    if "normal" not in given.only:
        parser.error("--only: expected normal among them: the others are compared with it")
    trackers = {name: load_tracker(Settings(quality=name)) for name in given.only}
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in trackers}
    for number in range(given.rounds + 1):
        for name, tracker in trackers.items():
            encoded = OutputOptions().quality(name)
            seconds = seconds_a_frame(tracker, given.clip, given.mask, given.frames, encoded)
            if number:
                found[name].append(seconds)
    print("| quality | frames/s | CPU ms | times faster | times less CPU |")
    print("|---|---:|---:|---:|---:|")
    for name, times in found.items():
        clock, cpu = (statistics.median(one) for one in zip(*times, strict=True))
        pairs = [
            zip(usual, own, strict=True) for usual, own in zip(found["normal"], times, strict=True)
        ]
        ratios = zip(*([a / b for a, b in pair] for pair in pairs), strict=True)
        spreads = [f"{statistics.median(r):.2f} [{min(r):.2f}, {max(r):.2f}]" for r in ratios]
        print(f"| {name} | {1 / clock:.2f} | {1000 * cpu:.0f} | {' | '.join(spreads)} |")


if __name__ == "__main__":
    main()
