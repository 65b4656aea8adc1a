"""Masks as MOTS text: a line per object and frame, `frame id class height width runs`.

id is class * 1000 + number, the class 1 for cars and 2 for pedestrians; run lengths are COCO's
compressed text. MOTSChallenge counts frames from 1, KITTI from 0.
"""

from __future__ import annotations

from pathlib import Path

from chromatrack.atomic import WholeFile
from chromatrack.distinct import distinct
from chromatrack.errors import InputError
from chromatrack.formats.exchange import ExportOptions
from chromatrack.formats.picture_names import listed
from chromatrack.formats.run_lengths import coco_runs
from chromatrack.formats.tracked_video import TrackedVideo
from chromatrack.formats.written_things import UNNAMED, category_of, frame_shift

CAR, PEDESTRIAN = 1, 2
PER_CLASS = 1000
"""Ids of a class; objects are numbered below it."""


def write_mots(tracked: TrackedVideo, path: Path, options: ExportOptions) -> list[str]:
    """Write all masks; objects of the category, or else name, car are cars, others pedestrians.

    Raises:
        InputError: an id that leaves the class's range.
    """
    ids = tracked.ids("object")
    if ids[-1] >= PER_CLASS:
        raise InputError(
            f"mots: expected object ids below {PER_CLASS}, which is what a class holds, got "
            f"{ids[-1]}; export coco instead, or mark it with a smaller id"
        )
    classes = {number: _class_of(tracked, number) for number in ids}
    shift = frame_shift(tracked, options, first=0 if options.start_number == 0 else 1)
    height, width = tracked.size
    with WholeFile(path) as file:
        for frame, mask in zip(tracked.frames.tolist(), tracked.masks(), strict=True):
            for number in distinct(mask).tolist():
                if number in classes:
                    runs, kind = coco_runs(mask == number)["counts"], classes[number]
                    own = kind * PER_CLASS + number
                    file.text(f"{frame + shift} {own} {kind} {height} {width} {runs}\n")
    named = {category_of(tracked, ("object", number)) for number in ids} - {UNNAMED["object"]}
    if others := sorted(name for name in named if name.lower() not in ("car", "pedestrian")):
        told = listed(others)
        return [f"mots: knows cars and pedestrians alone; written as pedestrians: {told}"]
    return []


def _class_of(tracked: TrackedVideo, number: int) -> int:
    return CAR if category_of(tracked, ("object", number)).lower() == "car" else PEDESTRIAN
