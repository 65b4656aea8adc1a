"""One long table of everything tracked, one row per thing (or joint) and frame: tidy data.

Columns, the same in CSV and Parquet:

| column | what |
|---|---|
| frame | number in the video, from 0 |
| time_s | when it is shown, seconds |
| kind | object, box, point or joint |
| id | the thing's id; of a joint, its instance's |
| name | what it is called, empty without a name |
| part | the joint's name, empty of other kinds |
| x_px, y_px | corner: left and top of a box, or of the box around a mask; of others their place |
| width_px, height_px | of a box, or of the box around a mask; empty of points and joints |
| area_px | of a mask, pixels |
| visible | whether it is seen |
| confidence | in [0, 1], as the tracker says |
| reliability | in [0, 1], chance that the mask or place is right |
| category | what it is, such as cow; empty where that was not said |
| color | such as #ff8000, empty where the user gave the thing none |
| center_x_px, center_y_px | place of a point or joint, middle of a box, mean of a mask's pixels |
| doubtful | whether it, or a joint's skeleton, is less reliable than things of its kind should be |
| marked | whether a person marked it on this frame, or said that it is gone, without a place |

Empty (null) where nothing is known, or the column says nothing of the kind. A point is counted from
the centre of the top-left pixel; a box covers the pixel columns x .. x + width - 1, so that its
middle is x + (width - 1) / 2. Columns that were added later stand at the end, so that what reads a
table of an earlier version, by names or by places, reads one of this version too.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from chromatrack.formats.color_text import hex_color
from chromatrack.formats.csv_tables import TrackData
from chromatrack.formats.exchange import ExportOptions
from chromatrack.formats.tracked_video import TrackedVideo, Trust, mask_boxes, mask_centres
from chromatrack.formats.written_things import Thing
from chromatrack.structures import LabelName

COLUMNS: dict[str, type] = {
    "frame": int, "time_s": float, "kind": str, "id": int, "name": str, "part": str,
    "x_px": float, "y_px": float, "width_px": float, "height_px": float, "area_px": int,
    "visible": bool, "confidence": float, "reliability": float, "category": str, "color": str,
    "center_x_px": float, "center_y_px": float, "doubtful": bool, "marked": bool,
}  # fmt: skip
"""Every column and the type of its cells."""

Row = tuple[object, ...]
"""A row's cells in the order of COLUMNS; None where there is nothing to say."""


def tidy_rows(tracked: TrackedVideo, options: ExportOptions) -> Iterator[Row]:
    """All rows, frame by frame; on each objects, boxes, points, joints, by id."""
    first = int(tracked.frames[0])
    shift = 0 if options.start_number is None else options.start_number - first
    masks = tracked.masks() if tracked.objects else None
    trust = tracked.find_trust()
    for n, (frame, time) in enumerate(
        zip(tracked.each_frame(), tracked.times.tolist(), strict=True)
    ):
        head = frame + shift, time
        if masks is not None:
            yield from _objects(tracked, trust, n, head, next(masks))
        for number, box in sorted(tracked.boxes.items()):
            yield _placed(tracked, trust, head, "box", number, box, n)
        for number, point in sorted(tracked.points.items()):
            yield _placed(tracked, trust, head, "point", number, point, n)
        for number, pose in sorted(tracked.keypoints.items()):
            yield from _joints(tracked, trust, head, number, pose, n)


def write_csv(tracked: TrackedVideo, path: Path, options: ExportOptions) -> list[str]:
    """Write the table as CSV, UTF-8, '.' as decimal mark, 1 and 0 for visible."""
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        for row in tidy_rows(tracked, options):
            table.writerow([_cell(value) for value in row])
    return []


def _objects(
    tracked: TrackedVideo, trust: Trust, n: int, head: tuple[int, float], mask: np.ndarray
) -> Iterator[Row]:
    boxes, centres = mask_boxes(mask), mask_centres(mask)
    for number, row in sorted(tracked.objects.items()):
        place, centre = boxes.get(number, (None,) * 4), centres.get(number, (None, None))
        area = int(np.count_nonzero(mask == number))
        said = bool(row.present[n]), _number(row.confidence[n]), _number(row.reliability[n])
        name = tracked.names.get(("object", number))
        looks = _looks(tracked, ("object", number))
        checked = _checked(trust, ("object", number), ("object", number, 0), n)
        yield (*head, "object", number, name, None, *place, area, *said, *looks, *centre, *checked)


def _placed(
    tracked: TrackedVideo,
    trust: Trust,
    head: tuple[int, float],
    kind: str,
    number: int,
    data: TrackData,
    n: int,
) -> Row:
    label: LabelName = (kind, number, 0)
    values = _values(trust, label, data.values[n], n)
    place = [_number(value) for value in values]
    place += [None] * (4 - len(place))
    centre = values[:2] + (values[2:] - 1) / 2 if kind == "box" else values
    thing: Thing = ("box" if kind == "box" else "point", number)
    name = tracked.names.get(thing)
    reliability = _reliability(trust, label, n)
    said = bool(data.visible[n]), _number(data.confidence[n]), reliability
    looks, checked = _looks(tracked, thing), _checked(trust, thing, label, n)
    middle = map(_number, centre)
    return (*head, kind, number, name, None, *place, None, *said, *looks, *middle, *checked)


def _joints(
    tracked: TrackedVideo,
    trust: Trust,
    head: tuple[int, float],
    number: int,
    data: TrackData,
    n: int,
) -> Iterator[Row]:
    parts = tracked.skeleton.names if tracked.skeleton else ()
    thing: Thing = ("keypoints", number)
    name, looks = tracked.names.get(thing), _looks(tracked, thing)
    for j, xy in enumerate(data.values[n]):
        label: LabelName = ("joint", number, j)
        values, checked = _values(trust, label, xy, n), _checked(trust, thing, label, n)
        part = parts[j] if j < len(parts) else str(j)
        reliability = _reliability(trust, label, n)
        said = bool(data.visible[n][j]), _number(data.confidence[n][j]), reliability
        x, y = (_number(value) for value in values)
        place = x, y, None, None, None
        yield (*head, "joint", number, name, part, *place, *said, *looks, x, y, *checked)


def _looks(tracked: TrackedVideo, thing: Thing) -> tuple[str | None, str | None]:
    """The category and colour of a thing."""
    color = tracked.colors.get(thing)
    return tracked.categories.get(thing), None if color is None else hex_color(color)


def _reliability(trust: Trust, name: LabelName, n: int) -> float | None:
    known = trust.places.get(name)
    return None if known is None else _number(known[n])


def _values(trust: Trust, name: LabelName, values: np.ndarray, n: int) -> np.ndarray:
    """Where a thing is on a frame; NaN where a person said that it is gone: the rest is a guess."""
    gone = trust.gone.get(name)
    return values if gone is None or not gone[n] else np.full_like(values, np.nan)


def _checked(
    trust: Trust, thing: Thing, name: LabelName, n: int
) -> tuple[bool | None, bool | None]:
    """Whether a thing is doubtful, of joints their skeleton; and whether a person marked it."""
    doubts, marks = trust.doubtful.get(thing), trust.marked
    known = doubts is not None and np.isfinite(doubts[n])
    marked = None if marks is None else bool(name in marks and marks[name][n])
    return (bool(doubts[n]) if doubts is not None and known else None), marked


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, float):
        return f"{value:.6g}" if abs(value) < 1 else f"{value:.9g}"
    return "" if value is None else value
