"""A run that `chromatrack track` wrote, as the beginning of a project."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from chromatrack.errors import InputError
from chromatrack.formats.color_text import hex_color
from chromatrack.formats.json_fields import load_json_object
from chromatrack.formats.masks import write_mask
from chromatrack.runs.file_names import RESULT
from chromatrack.runs.marks_json import read_run_marks
from chromatrack.runs.reader import Result, read_result
from chromatrack.runs.saved_config import saved_range
from chromatrack.structures import Kind
from chromatrack.studio.document import Document, add, new_document, on_frame
from chromatrack.studio.store import FOLDER, ids_digest, mask_path, object_digests, video_reference
from chromatrack.tracking.marks import Marks
from chromatrack.viz.palette import object_hex


def document_of_run(folder: Path) -> Document:
    """What a run was given, as a document; the masks of it are written into the folder.

    Raises:
        InputError: the run is damaged, or of a version that did not keep its marks.
        OutputError: the folder cannot be written.
    """
    result, marks = read_result(folder), read_run_marks(folder)
    document = new_document(Path(result.video_path).stem or folder.name, _reference(folder, result))
    skeleton, names = marks.skeleton, marks.names
    layout = marks.layout()
    points = [n for what, n, _ in layout.points if what == "point"]
    ids: dict[Kind, Sequence[int]] = {
        "object": layout.regions,
        "point": points,
        "box": layout.boxes,
        "keypoints": sorted(layout.joints()),
    }
    things: list[tuple[Kind, int]] = [
        (kind, number) for kind, numbers in ids.items() for number in numbers
    ]
    for count, (kind, number) in enumerate(things, start=1):
        is_pose = kind == "keypoints" and skeleton is not None
        given = marks.colors.get((kind, number))
        document, _ = add(
            document,
            kind=kind,
            number=number,
            color=object_hex(count) if given is None else hex_color(given),
            name=names.get((kind, number)),
            category=marks.categories.get((kind, number)),
            joints=list(skeleton.names) if is_pose and skeleton else None,
            edges=[list(edge) for edge in skeleton.edges] if is_pose and skeleton else None,
        )
    (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    _enter(document, marks, folder)
    document["settings"]["range"] = _part(folder, result)
    return document


def _part(folder: Path, result: Result) -> list[int] | None:
    """Frames [start, end) that a run was to track; None: all of its video."""
    if not result.frames:
        return None
    data = load_json_object(folder / RESULT, what="a result of `chromatrack track`")
    end, _ = saved_range(data, str(folder / RESULT))
    first, after = int(result.indices[0]), int(result.indices[-1]) + 1
    return None if first == 0 and end is None else [first, after if end is None else end]


def _reference(folder: Path, result: Any) -> dict[str, Any]:  # noqa: ANN401
    try:
        return video_reference(Path(str(result.find_video())))
    except InputError:
        name = Path(result.video_path).name
        return {"path": result.video_path, "name": name, "digest": ""}


def _enter(document: Document, marks: Marks, folder: Path) -> None:
    """Put a run's marks into a document, in place."""
    for frame, mask in marks.masks.items():
        digest = ids_digest(mask)
        write_mask(mask_path(folder, digest), mask)
        here = on_frame(document, frame)
        here["mask"] = digest
        here["objects"] = {str(n): found for n, found in object_digests(mask).items()}
    for mark in marks.lost:
        here = on_frame(document, mark.frame)
        here["gone"] = sorted({*here["gone"], mark.id})
    for point in marks.points:
        at = None if point.x is None or point.y is None else [float(point.x), float(point.y)]
        on_frame(document, point.frame)["points"][str(point.id)] = at
    for box in marks.boxes:
        values = (box.x, box.y, box.width, box.height)
        at = None if box.x is None else [float(value) for value in values]  # type: ignore[arg-type]
        on_frame(document, box.frame)["boxes"][str(box.id)] = at
    for pose in marks.keypoints:
        joints = [
            "gone" if lost else [float(v) for v in xy] if np.isfinite(xy).all() else None
            for xy, lost in zip(pose.joints, pose.lost, strict=True)
        ]
        on_frame(document, pose.frame)["keypoints"][str(pose.id)] = joints
