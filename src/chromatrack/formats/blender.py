"""Blender: a script that puts tracks into a movie clip.

Run it in Blender's text editor, with the clip open in a Movie Clip Editor. Markers are shares of
width and height from the frame's bottom-left corner; a clip's first frame is 1. Where a thing is
not seen its marker is disabled.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from chromatrack.formats.exchange import ExportOptions
from chromatrack.formats.frame_places import upward
from chromatrack.formats.tracked_video import TrackedVideo
from chromatrack.formats.trajectories import Trajectory, trajectories

FIRST = 1
"""Number of a clip's first frame."""

_SCRIPT = '''\
# Tracks of chromatrack for Blender. Open the clip in a Movie Clip Editor, then run this script
# in the text editor (Alt P). A track is (name, colour or None,
# markers), a marker (frame, x, y); x None: disabled from there on.
import bpy

NAME = {name}
TRACKS = {tracks}


def clip():
    """The clip in the Movie Clip Editor, else the one of the video's name, else the only one."""
    for area in bpy.context.screen.areas if bpy.context.screen else ():
        if area.type == "CLIP_EDITOR" and area.spaces.active.clip:
            return area.spaces.active.clip
    clips = list(bpy.data.movieclips)
    named = [one for one in clips if one.name == NAME]
    if named or len(clips) == 1:
        return (named or clips)[0]
    raise RuntimeError("Open " + NAME + " in a Movie Clip Editor, and run the script again.")


found = clip()
for name, color, markers in TRACKS:
    track = found.tracking.tracks.new(name=name, frame=markers[0][0])
    if color:
        track.use_custom_color, track.color = True, color
    last = markers[0][1:]
    for frame, x, y in markers:
        last = last if x is None else (x, y)
        marker = track.markers.insert_frame(frame, co=last)
        marker.mute = x is None
'''


def write(tracked: TrackedVideo, path: Path, options: ExportOptions) -> Sequence[str]:
    """Write the script."""
    numbers = options.numbers(tracked.frames, first=FIRST + int(tracked.frames[0]))
    found, notes = trajectories(tracked)
    lines = ",\n".join(
        f"    ({_text(track.name)}, {_levels(track)}, {_markers(track, numbers, tracked.size)})"
        for track in found
    )
    script = _SCRIPT.replace("{name}", _text(Path(tracked.video).name))
    path.write_text(script.replace("{tracks}", f"[\n{lines},\n]"), encoding="utf-8")
    return notes


def _markers(track: Trajectory, numbers: np.ndarray, size: tuple[int, int]) -> str:
    """From the first frame on which it is seen; one that is not, only after one that is."""
    height, width = size
    places = np.round(upward(track.xy, height) / (width, height), 7).tolist()
    keys: list[str] = []
    was_seen = False
    for number, (x, y), seen in zip(numbers.tolist(), places, track.seen.tolist(), strict=True):
        if seen:
            keys.append(f"({number}, {x}, {y})")
        elif was_seen:
            keys.append(f"({number}, None, None)")
        was_seen = seen
    return f"[{', '.join(keys)}]"


def _levels(track: Trajectory) -> tuple[float, ...] | None:
    """Its colour from 0 to 1; None where it has none of its own."""
    return None if track.color is None else tuple(round(v / 255, 4) for v in track.color)


def _text(name: str) -> str:
    return ascii(name)
