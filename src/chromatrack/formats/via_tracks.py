"""Boxes as a table of the VGG Image Annotator (VIA 2): a row per box and picture, JSON in cells.

VIA counts pixels from the corner of the first one, so a box that covers the columns x .. x + width
- 1 has the same x and width there. `file_attributes` say the frame, `region_attributes` the track.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np

from chromatrack.atomic import WholeFile
from chromatrack.formats.color_text import hex_color
from chromatrack.formats.exchange import ExportOptions
from chromatrack.formats.tracked_video import TrackedVideo
from chromatrack.formats.written_things import box_tracks, frame_shift, picture_file
from chromatrack.json_text import json_text

HEADER = (
    "filename",
    "file_size",
    "file_attributes",
    "region_count",
    "region_id",
    "region_shape_attributes",
    "region_attributes",
)


def write_via(tracked: TrackedVideo, path: Path, options: ExportOptions) -> list[str]:
    """Write the boxes that are seen, frame by frame; the size of files is not known, so 0."""
    tracks, notes = box_tracks(tracked, "via")
    shift, name = frame_shift(tracked, options), tracked.video_name
    with WholeFile(path) as file:
        file.text(",".join(HEADER) + "\n")
        for row, frame in enumerate(tracked.each_frame()):
            number = frame + shift
            picture = picture_file(tracked, frame, options)
            if not tracked.pictures:
                picture = f"{name}_{picture}"
            about = json_text({"frame": number})
            seen = [track for track in tracks if track.visible[row]]
            for region, track in enumerate(seen):
                x, y, width, height = (round(value, 3) for value in track.values[row].tolist())
                shape = {"name": "rect", "x": x, "y": y, "width": width, "height": height}
                said = {"track": str(track.number)}
                if called := tracked.names.get((track.kind, track.id)):
                    said["name"] = called
                if category := tracked.categories.get((track.kind, track.id)):
                    said["category"] = category
                if color := tracked.colors.get((track.kind, track.id)):
                    said["color"] = hex_color(color)
                if np.isfinite(score := float(track.confidence[row])):
                    said["confidence"] = f"{score:.4f}"
                cells = [json_text(shape), json_text(said)]
                file.text(_line([picture, 0, about, len(seen), region, *cells]))
    return notes


def _line(cells: list[object]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()
