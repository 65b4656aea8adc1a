"""Everything tracked as CVAT for video 1.1: one XML file, a track per thing.

CVAT counts from the corner of the first pixel, so a point is half a pixel on. Every frame on which
a thing is seen is a keyframe: between others CVAT would draw on. A shape with `outside` stands on
the first frame without it, also behind the last one that was tracked. Run lengths of masks are
CVAT's own, along the rows of a crop.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from chromatrack.atomic import WholeFile
from chromatrack.formats.color_text import hex_color
from chromatrack.formats.exchange import ExportOptions
from chromatrack.formats.run_lengths import run_lengths
from chromatrack.formats.tracked_video import TrackedVideo, mask_boxes
from chromatrack.formats.written_things import (
    Thing,
    category_of,
    frame_shift,
    own_name,
    things_of,
    unique_numbers,
)
from chromatrack.structures import Color, Kind, Skeleton

NAME = "name"
"""The attribute that says what a thing is called, where that is not its label."""

HALF = 0.5
"""From the centre of a pixel to its corner."""

_TYPES: dict[Kind, str] = {
    "object": "mask",
    "box": "rectangle",
    "point": "points",
    "keypoints": "skeleton",
}
_ODD = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

Shape = tuple[str, str, str]
"""Tag, attributes beside frame, keyframe and outside, and content with {outside} to fill in."""


def write_cvat(tracked: TrackedVideo, path: Path, options: ExportOptions) -> list[str]:
    """Write masks, boxes, points and skeletons; labels are categories, else names, in colours.

    A name that is another text than the label is an attribute `name`.
    """
    things = things_of(tracked, ("object", "box", "point", "keypoints"))
    numbers, notes = unique_numbers(things, "cvat")
    labels = _labels(tracked, things)
    names = {thing: name for thing in things if (name := own_name(tracked, thing))}
    colors = _colors(tracked, labels)
    shift = frame_shift(tracked, options)
    frames = [frame + shift for frame in tracked.frames.tolist()]
    masks = _masks(tracked)
    with WholeFile(path) as file:
        file.text('<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n')
        file.text("  <version>1.1</version>\n")
        file.text(_meta(tracked, labels, colors, frames[-1], {labels[thing] for thing in names}))
        for thing in things:
            shapes = masks[thing[1]] if thing[0] == "object" else _shapes(tracked, thing)
            label = quoteattr(labels[thing])
            file.text(f'  <track id="{numbers[thing]}" label={label} source="auto">\n')
            for line in _lines(frames, shapes, _attribute(names.get(thing))):
                file.text(line)
            file.text("  </track>\n")
        file.text("</annotations>\n")
    return notes


def _lines(frames: Sequence[int], shapes: Iterable[Shape | None], more: str) -> Iterator[str]:
    """The shapes of a track, and one with `outside` wherever it is gone; more: in each of them."""
    last: Shape | None = None
    for frame, shape in zip([*frames, frames[-1] + 1], [*shapes, None], strict=True):
        if shape is not None:
            yield _line(frame, shape, more, outside=False)
        elif last is not None:
            yield _line(frame, last, more, outside=True)
        last = shape


def _line(frame: int, shape: Shape, more: str, *, outside: bool) -> str:
    tag, attributes, content = shape
    flag = "" if tag == "skeleton" else f' outside="{int(outside)}" occluded="0"'
    head = f'    <{tag} frame="{frame}" keyframe="1"{flag} {attributes} z_order="0">'
    if outside:
        content = content.replace('outside="0"', 'outside="1"')
    return f"{head}\n{content}{more}    </{tag}>\n"


def _attribute(name: str | None) -> str:
    if not name:
        return ""
    return f'      <attribute name="{NAME}">{escape(_text(name))}</attribute>\n'


# -- shapes ----------------------------------------------------------------------------------


def _masks(tracked: TrackedVideo) -> dict[int, list[Shape | None]]:
    """The shape of every object on every frame; reads each mask once."""
    found: dict[int, list[Shape | None]] = {number: [] for number in tracked.ids("object")}
    for mask in tracked.masks() if tracked.objects else ():
        boxes = mask_boxes(mask)
        for number, shapes in found.items():
            if number not in boxes:
                shapes.append(None)
                continue
            left, top, width, height = boxes[number]
            crop = mask[top : top + height, left : left + width] == number
            runs = ", ".join(map(str, run_lengths(crop).tolist()))
            place = f'left="{left}" top="{top}" width="{width}" height="{height}"'
            shapes.append(("mask", f'rle="{runs}" {place}', ""))
    return found


def _shapes(tracked: TrackedVideo, thing: Thing) -> Iterator[Shape | None]:
    """The shapes of a box, point or skeleton on every frame."""
    kind, number = thing
    tables = {"box": tracked.boxes, "point": tracked.points}
    data = tables.get(kind, tracked.keypoints)[number]
    for values, visible in zip(data.values, data.visible, strict=True):
        if kind == "keypoints":
            yield _skeleton(tracked.skeleton, values, visible)
        elif not (visible and np.isfinite(values).all()):
            yield None
        elif kind == "box":
            left, top, width, height = values.tolist()
            ends = f'xtl="{left:.3f}" ytl="{top:.3f}"'
            yield "box", f'{ends} xbr="{left + width:.3f}" ybr="{top + height:.3f}"', ""
        else:
            yield "points", f'points="{_place(values)}"', ""


def _skeleton(skeleton: Skeleton | None, joints: np.ndarray, visible: np.ndarray) -> Shape | None:
    """Joints that are hidden but guessed are occluded, those of which nothing is known outside."""
    if not (visible & np.isfinite(joints).all(axis=1)).any():
        return None
    lines = []
    for j, xy in enumerate(joints):
        is_known = bool(np.isfinite(xy).all())
        name = quoteattr(_text(skeleton.names[j] if skeleton else str(j)))
        flags = f'outside="{int(not is_known)}" occluded="{int(is_known and not visible[j])}"'
        place = _place(xy) if is_known else "0.000,0.000"
        lines.append(
            f'      <points label={name} keyframe="1" {flags} points="{place}">\n      </points>\n'
        )
    return "skeleton", "", "".join(lines)


def _place(xy: np.ndarray) -> str:
    return f"{xy[0] + HALF:.3f},{xy[1] + HALF:.3f}"


# -- labels ----------------------------------------------------------------------------------


def _labels(tracked: TrackedVideo, things: Sequence[Thing]) -> dict[Thing, str]:
    """Categories as labels; that of a skeleton is told apart where other things have it too."""
    found = {thing: _text(category_of(tracked, thing)) for thing in things}
    others = {label for (kind, _), label in found.items() if kind != "keypoints"}
    return {
        thing: f"{label} skeleton" if thing[0] == "keypoints" and label in others else label
        for thing, label in found.items()
    }


def _colors(tracked: TrackedVideo, labels: dict[Thing, str]) -> dict[str, Color]:
    """{label: the colour of its first thing that was given one}."""
    found: dict[str, Color] = {}
    for thing, label in labels.items():
        if color := tracked.colors.get(thing):
            found.setdefault(label, color)
    return found


def _meta(
    tracked: TrackedVideo,
    labels: dict[Thing, str],
    colors: dict[str, Color],
    last: int,
    named: Collection[str],
) -> str:
    height, width = tracked.size
    kinds: dict[str, set[str]] = {}
    for (kind, _), label in labels.items():
        kinds.setdefault(label, set()).add(_TYPES[kind])
    told = "".join(
        _label(label, types, tracked.skeleton, colors.get(label), named=label in named)
        for label, types in kinds.items()
    )
    return (
        f"  <meta>\n    <task>\n      <name>{escape(_text(tracked.video_name))}</name>\n"
        f"      <size>{last + 1}</size>\n      <mode>interpolation</mode>\n"
        f"      <overlap>0</overlap>\n      <start_frame>0</start_frame>\n"
        f"      <stop_frame>{last}</stop_frame>\n      <labels>\n{told}      </labels>\n"
        f"      <original_size>\n        <width>{width}</width>\n"
        f"        <height>{height}</height>\n"
        f"      </original_size>\n    </task>\n  </meta>\n"
    )


def _label(
    label: str,
    types: set[str],
    skeleton: Skeleton | None,
    color: Color | None,
    *,
    named: bool,
) -> str:
    kind = types.pop() if len(types) == 1 else "any"
    name = escape(label)
    if kind != "skeleton" or skeleton is None:
        return _one_label(name, kind, color=color, named=named)
    parent = f"          <parent>{name}</parent>\n"
    joints = (_one_label(escape(_text(joint)), "points", parent) for joint in skeleton.names)
    svg = f"          <svg>{escape(_svg(skeleton))}</svg>\n"
    return _one_label(name, kind, svg, color=color, named=named) + "".join(joints)


_NAME_OF_THING = (
    f"            <attribute>\n              <name>{NAME}</name>\n"
    "              <mutable>False</mutable>\n              <input_type>text</input_type>\n"
    "              <default_value></default_value>\n              <values></values>\n"
    "            </attribute>\n"
)


def _one_label(
    name: str, kind: str, more: str = "", *, color: Color | None = None, named: bool = False
) -> str:
    drawn = "" if color is None else f"          <color>{hex_color(color)}</color>\n"
    known = _NAME_OF_THING if named else ""
    return (
        f"        <label>\n          <name>{name}</name>\n{drawn}          <type>{kind}</type>\n"
        f"          <attributes>\n{known}          </attributes>\n{more}        </label>\n"
    )


def _svg(skeleton: Skeleton) -> str:
    """How CVAT draws a skeleton: joints on a circle, in percent, and edges between them."""
    count, parts = len(skeleton.names), []
    places = [
        (50 + 40 * math.sin(turn), 50 - 40 * math.cos(turn))
        for turn in (2 * math.pi * j / count for j in range(count))
    ]
    for a, b in skeleton.edges:
        (x1, y1), (x2, y2) = places[a], places[b]
        ends = f'x1="{x1:.2f}" y1="{y1:.2f}" x2="{x2:.2f}" y2="{y2:.2f}"'
        nodes = f'data-node-from="{a + 1}" data-node-to="{b + 1}"'
        parts.append(f'<line {ends} stroke="black" data-type="edge" {nodes}></line>')
    for j, (name, (x, y)) in enumerate(zip(skeleton.names, places, strict=True), start=1):
        node = f'data-type="element node" data-element-id="{j}" data-node-id="{j}"'
        called = f"data-label-name={quoteattr(_text(name))}"
        parts.append(f'<circle r="1.5" cx="{x:.2f}" cy="{y:.2f}" {node} {called}></circle>')
    return "".join(parts)


def _text(text: str) -> str:
    """Without the control characters that XML cannot hold."""
    return _ODD.sub("", text)
