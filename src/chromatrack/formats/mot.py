"""Boxes as MOT Challenge tables: `frame,id,left,top,width,height,confidence,-1,-1,-1`, no header.

Frames and pixels count from 1: the top left pixel is at left 1, top 1.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from chromatrack.atomic import WholeFile
from chromatrack.formats.exchange import ExportOptions
from chromatrack.formats.tracked_video import TrackedVideo
from chromatrack.formats.written_things import box_tracks, frame_shift

FIRST_PIXEL = 1
"""How the format counts the first column and row."""


def write_mot(tracked: TrackedVideo, path: Path, options: ExportOptions) -> list[str]:
    """Write the boxes that are seen, frame by frame, ids ascending."""
    tracks, notes = box_tracks(tracked, "mot", least=1)
    tracks = sorted(tracks, key=lambda track: track.number)
    shift = frame_shift(tracked, options, first=1)
    with WholeFile(path) as file:
        for row, frame in enumerate(tracked.each_frame()):
            for track in tracks:
                if not track.visible[row]:
                    continue
                left, top, width, height = track.values[row].tolist()
                said = float(track.confidence[row])
                confidence = said if np.isfinite(said) else 1.0
                place = f"{_px(left + FIRST_PIXEL)},{_px(top + FIRST_PIXEL)}"
                size = f"{_px(width)},{_px(height)}"
                row_text = f"{frame + shift},{track.number},{place},{size},{confidence:.4f}"
                file.text(f"{row_text},-1,-1,-1\n")
    return notes


def _px(value: float) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".")
