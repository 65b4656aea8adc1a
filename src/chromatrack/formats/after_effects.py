"""Adobe After Effects: keyframes to paste onto a layer, and a script that makes nulls.

Pasted text: one file for each thing, tab-separated with CRLF, as After Effects copies keyframes to
the clipboard. Copy the whole text, select the layer and paste. Positions are pixels of a
composition of the video's size, from its top-left corner; frames are those of the composition.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from chromatrack.formats.exchange import ExportOptions
from chromatrack.formats.frame_places import from_corner
from chromatrack.formats.tracked_video import TrackedVideo
from chromatrack.formats.trajectories import (
    decimal,
    file_names,
    quadrilaterals,
    rate_note,
    trajectories,
)
from chromatrack.structures import Color

_PINS = ("Upper Left", "Upper Right", "Lower Right", "Lower Left")
"""Properties of the effect Corner Pin, in the order of `trajectories.CORNERS`."""

LABELS = (
    *((181, 56, 56), (228, 216, 76), (169, 203, 199), (229, 188, 201)),  # red, yellow, aqua, pink
    *((169, 169, 202), (231, 193, 158), (179, 199, 179)),  # lavender, peach, sea foam
    *(
        (103, 125, 224),
        (74, 164, 76),
        (142, 44, 154),
        (232, 146, 13),
    ),  # blue, green, purple, orange
    *((127, 69, 42), (244, 109, 214), (61, 162, 165)),  # brown, fuchsia, cyan
    *((168, 150, 119), (30, 64, 30)),  # sandstone, dark green
)
"""The colours of a layer's labels, 1 to 16, as they are where nobody changed them."""

_SCRIPT = """\
// Nulls for what chromatrack tracked. Open the composition, then File > Scripts > Run Script File.
(function () {
    var size = SIZE, fps = FPS;
    var tracks = [
TRACKS
    ];
    var comp = app.project ? app.project.activeItem : null;
    if (!(comp instanceof CompItem)) {
        alert("Open the composition that the nulls are for, and run the script again.");
        return;
    }
    if (comp.width !== size[0] || comp.height !== size[1]) {
        alert("The composition is not of the video's " + size[0] + " x " + size[1] + " pixels: " +
            "parent the nulls to one that is scaled as the video is.");
    }
    app.beginUndoGroup("chromatrack");
    for (var i = tracks.length - 1; i >= 0; i--) {
        var track = tracks[i], times = [], places = [];
        for (var k = 0; k < track.frames.length; k++) {
            times.push(track.frames[k] / fps);
            places.push([track.x[k], track.y[k]]);
        }
        var layer = comp.layers.addNull(comp.duration);
        layer.name = track.name;
        if (track.color) {
            layer.label = track.label;
            layer.source.mainSource.color = track.color;
        }
        layer.property("Transform").property("Position").setValuesAtTimes(times, places);
    }
    app.endUndoGroup();
})();
"""


def write(tracked: TrackedVideo, path: Path, options: ExportOptions) -> Sequence[str]:
    """Write a file of `Position` for every thing, and one of Corner Pin for every box.

    Four points, where there are just four, have one of Corner Pin, too. A thing has no keyframes
    where it is not seen.
    """
    numbers = options.numbers(tracked.frames)
    found, notes = trajectories(tracked)
    for name, track in zip(file_names([one.name for one in found]), found, strict=True):
        keys = _keys(numbers, from_corner(track.xy), track.seen)
        block = _block("Transform\tPosition", ("X pixels", "Y pixels", "Z pixels"), keys, "0")
        _write(path / f"{name}.txt", tracked, [block])
    pins = quadrilaterals(tracked)
    for name, pin in zip(file_names([one.name for one in pins]), pins, strict=True):
        blocks = [
            _block(
                f"Effects\tCorner Pin #1\t{place}",
                ("X pixels", "Y pixels"),
                _keys(numbers, from_corner(pin.corners[:, n]), pin.seen),
            )
            for n, place in enumerate(_PINS)
        ]
        _write(path / f"{name} corner pin.txt", tracked, blocks)
    return [*notes, *rate_note(tracked)]


def write_stabilized(tracked: TrackedVideo, path: Path, options: ExportOptions) -> Sequence[str]:
    """Write keyframes for the video's own layer that hold a thing in place, a file for each.

    The anchor point follows the thing, and the position keeps it where it was when first seen.
    """
    numbers = options.numbers(tracked.frames)
    found, notes = trajectories(tracked)
    columns = ("X pixels", "Y pixels", "Z pixels")
    for name, track in zip(file_names([one.name for one in found]), found, strict=True):
        keys = _keys(numbers, from_corner(track.xy), track.seen)
        anchor = _block("Transform\tAnchor Point", columns, keys, "0")
        position = _block("Transform\tPosition", columns, keys[:1], "0")
        _write(path / f"{name}.txt", tracked, [anchor, position])
    return [*notes, *rate_note(tracked)]


def write_script(tracked: TrackedVideo, path: Path, options: ExportOptions) -> Sequence[str]:
    """Write a script (`.jsx`) that makes a null with keyframed position for every thing.

    A thing with a colour of its own has it on the null, and the label nearest to it.
    """
    numbers = options.numbers(tracked.frames)
    found, notes = trajectories(tracked)
    lines = []
    for track in found:
        keys = _keys(numbers, from_corner(track.xy), track.seen)
        frames, x, y = zip(*keys, strict=True)
        lists = ", ".join(
            f"{key}: [{', '.join(values)}]"
            for key, values in (("frames", frames), ("x", x), ("y", y))
        )
        named = json.dumps(track.name, allow_nan=False)
        lines.append(f"        {{name: {named}, {_drawn(track.color)}{lists}}}")
    height, width = tracked.size
    script = _SCRIPT.replace("SIZE", f"[{width}, {height}]").replace("FPS", _rate(tracked))
    path.write_text(script.replace("TRACKS", ",\n".join(lines)), encoding="utf-8")
    return [*notes, *rate_note(tracked)]


def _drawn(color: Color | None) -> str:
    """A colour from 0 to 1, and the number of the label that is nearest to it."""
    if color is None:
        return ""
    far = np.abs(np.array(LABELS, dtype=np.int64) - color).sum(axis=1)
    levels = ", ".join(decimal(level / 255) for level in color)
    return f"color: [{levels}], label: {int(far.argmin()) + 1}, "


def _keys(numbers: np.ndarray, xy: np.ndarray, seen: np.ndarray) -> list[tuple[str, str, str]]:
    """(frame, x, y) where it is seen, as texts."""
    return [
        (str(number), decimal(x), decimal(y))
        for number, (x, y) in zip(numbers[seen].tolist(), xy[seen].tolist(), strict=True)
    ]


def _block(head: str, columns: Sequence[str], keys: Iterable[Sequence[str]], *more: str) -> str:
    """Keyframes of one property; `more`: further values, the same of all."""
    lines = ["\t".join(["", "Frame", *columns, ""])]
    lines += ["\t".join(["", *key, *more, ""]) for key in keys]
    return "\n".join([head, *lines, ""])


def _write(path: Path, tracked: TrackedVideo, blocks: Sequence[str]) -> None:
    height, width = tracked.size
    head = (
        "Adobe After Effects 8.0 Keyframe Data\n\n"
        f"\tUnits Per Second\t{_rate(tracked)}\n"
        f"\tSource Width\t{width}\n\tSource Height\t{height}\n"
        "\tSource Pixel Aspect Ratio\t1\n\tComp Pixel Aspect Ratio\t1\n"
    )
    text = "\n".join([head, *blocks, "End of Keyframe Data\n"])
    with path.open("w", encoding="utf-8", newline="\r\n") as file:
        file.write(text)


def _rate(tracked: TrackedVideo) -> str:
    return decimal(tracked.fps)
