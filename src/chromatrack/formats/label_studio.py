"""Boxes as Label Studio's video tasks: regions of the type `videorectangle`.

Frames count from 1; places are percent of the picture's width and height from the corner of the
first pixel. A region is drawn between its frames until one that says `"enabled": false`, the last
on which it is seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from chromatrack.atomic import replace_file
from chromatrack.formats.color_text import hex_color
from chromatrack.formats.exchange import ExportOptions
from chromatrack.formats.tracked_video import TrackedVideo
from chromatrack.formats.written_things import (
    BoxTrack,
    Thing,
    box_tracks,
    category_colors,
    category_of,
    frame_shift,
    own_name,
)
from chromatrack.json_text import json_text

REGION = "videorectangle"
INTERFACE = "label_config"
"""Among a task's `meta`, the labelling interface that its labels are of."""

TRACK = "track_"
"""Begins the ids of our regions, before the number."""


def write_label_studio(tracked: TrackedVideo, path: Path, options: ExportOptions) -> list[str]:
    """Write one task with a prediction: a region per box, its label the category.

    A name that is another text is the region's note (`meta.text`).
    """
    tracks, notes = box_tracks(tracked, "label-studio")
    shift = frame_shift(tracked, options, first=1)
    count = int(tracked.frames[-1]) + shift
    results = [_region(tracked, track, shift, count) for track in tracks if track.visible.any()]
    prediction = {"model_version": "chromatrack", "result": results}
    interface = _interface(tracked, tracks)
    task = {"id": 1, "data": {"video": tracked.video}, "predictions": [prediction]}
    replace_file(path, json_text([task | {"meta": {INTERFACE: interface}}]) + "\n")
    return [*notes, f"label-studio: labelling interface of the project: {interface}"]


def _interface(tracked: TrackedVideo, tracks: Sequence[BoxTrack]) -> str:
    """The project's labelling configuration, with our labels and their colours."""
    things: list[Thing] = [(track.kind, track.id) for track in tracks]
    colors = category_colors(tracked, things)
    labels = "".join(
        f"<Label value={quoteattr(label)}"
        + (f' background="{hex_color(colors[label])}"' if label in colors else "")
        + "/>"
        for label in dict.fromkeys(category_of(tracked, thing) for thing in things)
    )
    rate = f' frameRate="{tracked.fps:.6g}"'
    return (
        f'<View><Labels name="videoLabels" toName="video">{labels}</Labels>'
        f'<Video name="video" value="$video"{rate}/>'
        '<VideoRectangle name="box" toName="video"/></View>'
    )


def _region(tracked: TrackedVideo, track: BoxTrack, shift: int, count: int) -> dict[str, Any]:
    height, width = tracked.size
    sequence = []
    for row, frame in enumerate(tracked.each_frame()):
        if not track.visible[row]:
            continue
        left, top, wide, high = track.values[row].tolist()
        goes_on = row + 1 < len(track.visible) and bool(track.visible[row + 1])
        number = frame + shift
        place = {"x": 100 * left / width, "y": 100 * top / height}
        size = {"width": 100 * wide / width, "height": 100 * high / height}
        when = {"frame": number, "enabled": goes_on, "rotation": 0}
        sequence.append({**when, **place, **size, "time": round(number / tracked.fps, 6)})
    value = {"framesCount": count, "duration": count / tracked.fps, "sequence": sequence}
    label = category_of(tracked, (track.kind, track.id))
    name = own_name(tracked, (track.kind, track.id))
    scores = track.confidence[track.visible]
    return {
        "id": f"{TRACK}{track.number}",
        "type": REGION,
        "from_name": "box",
        "to_name": "video",
        "original_width": width,
        "original_height": height,
        "value": {**value, "labels": [label]},
        "score": round(float(scores.mean()), 4),
        **({"meta": {"text": [name]}} if name else {}),
    }
