"""Follow one point through frames that come one by one, as from a camera, and print where it is.

python examples/live_session.py clip.mp4 320,240

The frames are read from a file here; a camera's go the same way, as (H, W, 3) uint8 RGB arrays.
"""

from __future__ import annotations

import sys

import chromatrack


def main(video: str, place: str, *, tracker: chromatrack.Tracker | None = None) -> None:
    x, y = map(float, place.split(","))
    tracker = tracker or chromatrack.Tracker.from_pretrained("small")
    session = None
    for frame in chromatrack.read_frames(video):
        if session is None:
            session = tracker.start(frame.rgb, points={1: (x, y)}, pts_seconds=frame.pts_seconds)
        else:
            session.step(frame.rgb, pts_seconds=frame.pts_seconds)
        point = session.result.points[1]
        print(f"{frame.pts_seconds:8.3f} s {point.x:7.1f} {point.y:7.1f} {point.confidence:5.2f}")


if __name__ == "__main__":
    main(*sys.argv[1:3])
