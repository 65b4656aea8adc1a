"""How well a small ball is followed: overlap per frame, on a synthetic clip.

python benchmarks/small_things.py --radius 3 --height 1080 --frames 8
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from synthetic import moving_clip, write_clip

from chromatrack.tracking.tracker import Tracker


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--radius", type=float, default=3.0, help="of the ball, px")
    parser.add_argument("--height", type=int, default=1080, help="of the clip (16:9), px")
    parser.add_argument("--speed", type=float, default=6.0, help="px per frame")
    parser.add_argument("--frames", type=int, default=8)
    given = parser.parse_args()
    size = given.height, given.height * 16 // 9
    velocity = given.speed, given.speed / 3
    clip = moving_clip(frames=given.frames, size=size, radius=given.radius, velocity=velocity)
    with tempfile.TemporaryDirectory() as folder:
        video = write_clip(Path(folder) / "clip.mp4", clip)
        tracker = Tracker.from_pretrained("small", device="cpu")
        found = list(tracker.track(video, masks=clip[0].mask))
    overlaps = []
    for frame, truth in zip(found[1:], clip[1:], strict=True):
        here, there = frame.mask == 1, truth.mask == 1
        overlaps.append(float((here & there).sum() / (here | there).sum()))
    print(" ".join(f"{value:.2f}" for value in overlaps), f"mean {np.mean(overlaps):.2f}")


if __name__ == "__main__":
    main()
