"""Foundry Nuke: scripts to paste into the node graph, with a Tracker4 or CornerPin2D nodes.

Pixels are counted from the frame's bottom-left corner, y up. Where the user does not say, the
video's first frame is 1001, as plates usually begin.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from chromatrack.errors import InputError
from chromatrack.formats.exchange import ExportOptions
from chromatrack.formats.frame_places import upward
from chromatrack.formats.tracked_video import TrackedVideo
from chromatrack.formats.trajectories import decimal, quadrilaterals, rate_note, trajectories
from chromatrack.structures import Color

FIRST = 1001
"""Number of the video's first frame, where the user does not say."""

_HEAD = "set cut_paste_input [stack 0]\nversion 12.0 v1\npush $cut_paste_input\n"

_COLUMNS = (
    *("5 1 20 enable", "3 1 75 name", "2 1 58 track_x", "2 1 58 track_y", "2 1 63 offset_x"),
    *("2 1 63 offset_y", "4 1 27 T", "4 1 27 R", "4 1 27 S", "2 0 45 error", "1 1 0 error_min"),
    *("1 1 0 error_max", "1 1 0 pattern_x", "1 1 0 pattern_y", "1 1 0 pattern_r"),
    *("1 1 0 pattern_t", "1 1 0 search_x", "1 1 0 search_y", "1 1 0 search_r", "1 1 0 search_t"),
    *("2 1 0 key_track", "2 1 0 key_search_x", "2 1 0 key_search_y", "2 1 0 key_search_r"),
    *("2 1 0 key_search_t", "2 1 0 key_track_x", "2 1 0 key_track_y", "2 1 0 key_track_r"),
    *("2 1 0 key_track_t", "2 1 0 key_centre_offset_x", "2 1 0 key_centre_offset_y"),
)
"""Type, whether shown, width in the panel and name of each column of a Tracker4's table."""

_SIDE = 15
"""Half the side of a track's pattern box, px; of its search box 10 more."""


def write_tracker(tracked: TrackedVideo, path: Path, options: ExportOptions) -> Sequence[str]:
    """Write a Tracker4 with a track for every thing; its error is 1 - confidence.

    A track is disabled where the thing is not seen.
    """
    numbers, told = _numbers(tracked, options)
    found, notes = trajectories(tracked)
    rows = []
    for track in found:
        xy, seen = upward(track.xy, tracked.size[0]), track.seen
        name = _quoted(track.name)
        known = seen & np.isfinite(track.confidence)
        rows.append(
            f" {{ {_enabled(numbers, seen)} {name} {_curve(numbers, xy[:, 0], seen)} "
            f"{_curve(numbers, xy[:, 1], seen)} {{curve K x{numbers[0]} 0}} "
            f"{{curve K x{numbers[0]} 0}} 1 0 0 {_curve(numbers, 1 - track.confidence, known)} 0 1 "
            f"{-_SIDE} {-_SIDE} {_SIDE} {_SIDE} {-_SIDE - 10} {-_SIDE - 10} {_SIDE + 10} "
            f"{_SIDE + 10} {' '.join(['{}'] * 11)} }}"
        )
    colors = {track.color for track in found}
    color = colors.pop() if len(colors) == 1 else None  # one node has one colour
    heads = " ".join(f"{{ {one} {one.rpartition(' ')[2]} 1 }}" for one in _COLUMNS)
    text = (
        f"{_HEAD}Tracker4 {{\n tracks {{ {{ 1 {len(_COLUMNS)} {len(rows)} }}\n {{ {heads} }}\n "
        "{\n" + "\n".join(rows) + f"\n }} }}\n reference_frame {numbers[0]}\n name Tracker1\n"
        " selected true\n"
        f"{_knobs(color)}}}\n"
    )
    path.write_text(text, encoding="utf-8")
    return [*notes, *told, *rate_note(tracked)]


def write_corner_pins(tracked: TrackedVideo, path: Path, options: ExportOptions) -> Sequence[str]:
    """Write a CornerPin2D for every box, and for four points; it pins pictures of the frame's size.

    Raises:
        InputError: neither a box nor just four points that are ever seen together.
    """
    numbers, told = _numbers(tracked, options)
    pins = quadrilaterals(tracked)
    if not pins:
        raise InputError(
            f"nuke-cornerpin: expected a box, or four points, got {len(tracked.boxes)} boxes and "
            f"{len(tracked.points)} points that are seen; track the four corners"
        )
    height, width = tracked.size
    frame = [(0, 0), (width, 0), (width, height), (0, height)]
    nodes = []
    for number, pin in enumerate(pins, start=1):
        xy = upward(pin.corners, height)[:, ::-1]  # from the bottom left on
        lines = [
            f" to{n + 1} {{{_curve(numbers, xy[:, n, 0], pin.seen)} "
            f"{_curve(numbers, xy[:, n, 1], pin.seen)}}}"
            for n in range(4)
        ]
        lines += [f" from{n + 1} {{{x} {y}}}" for n, (x, y) in enumerate(frame)]
        lines += [f" label {_quoted(pin.name)}", f" name CornerPin{number}", " selected true"]
        lines += _knobs(pin.color).splitlines()
        nodes.append("CornerPin2D {\n" + "\n".join(lines) + "\n}\n")
    path.write_text(_HEAD + "push $cut_paste_input\n".join(nodes), encoding="utf-8")
    return [*told, *rate_note(tracked)]


def _knobs(color: Color | None) -> str:
    """Lines that give a node its colour, in the tree and over the picture."""
    if color is None:
        return ""
    text = "0x{:02x}{:02x}{:02x}ff".format(*color)
    return f" tile_color {text}\n gl_color {text}\n"


def _numbers(tracked: TrackedVideo, options: ExportOptions) -> tuple[np.ndarray, list[str]]:
    numbers = options.numbers(tracked.frames, first=FIRST + int(tracked.frames[0]))
    if options.start_number is not None:
        return numbers, []
    return numbers, [f"the video's first frame is {FIRST} there; choose with --start-number"]


def _curve(numbers: np.ndarray, values: np.ndarray, known: np.ndarray) -> str:
    """An animated value with a key on every known frame, `{}` without any."""
    keys, before = [], None
    for number, value in zip(numbers[known].tolist(), values[known].tolist(), strict=True):
        keys.append(decimal(value) if before == number - 1 else f"x{number} {decimal(value)}")
        before = number
    return f"{{curve {' '.join(keys)}}}" if keys else "{}"


def _enabled(numbers: np.ndarray, seen: np.ndarray) -> str:
    """1 where seen, else 0, held until the next key."""
    changes = np.flatnonzero(np.diff(seen, prepend=~seen[:1]))
    keys = " ".join(f"x{numbers[row]} {int(seen[row])}" for row in changes.tolist())
    return f"{{curve K {keys}}}"


def _quoted(name: str) -> str:
    """A name as a word of Tcl: what means something there is escaped."""
    plain = name.replace("\n", " ").replace("\r", " ")
    return '"' + "".join(f"\\{sign}" if sign in '\\"[]{}$' else sign for sign in plain) + '"'
