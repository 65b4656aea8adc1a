"""Track the objects of one mask through a video and print how much of the frame each covers.

python examples/track_and_measure.py clip.mp4 first_mask.png
"""

from __future__ import annotations

import sys

import chromatrack


def main(video: str, mask: str) -> None:
    tracker = chromatrack.Tracker.from_pretrained("small")
    for frame in tracker.track(video, masks=mask):
        pixels = frame.mask.size
        shares = "  ".join(f"object {i}: {100 * a / pixels:5.1f} %" for i, a in frame.areas.items())
        print(f"{frame.pts_seconds:8.3f} s  {shares}")


if __name__ == "__main__":
    main(*sys.argv[1:3])
