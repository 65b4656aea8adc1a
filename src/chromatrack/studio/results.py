"""What a project's run has found, as the client wants it."""

from __future__ import annotations

import hashlib
import io
import json
import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from chromatrack.errors import InputError
from chromatrack.formats.csv_tables import TrackData
from chromatrack.formats.masks import read_mask
from chromatrack.json_text import strict
from chromatrack.propagation.reliability import LOOK_BELOW_OF
from chromatrack.runs.export import tracked_video
from chromatrack.runs.file_names import RESULT, RESUME, is_run
from chromatrack.runs.marks_json import read_run_marks
from chromatrack.runs.other_objects import found_under
from chromatrack.runs.reader import Result, read_result
from chromatrack.runs.unfinished import Unfinished, read_unfinished
from chromatrack.structures import Kind
from chromatrack.studio.document import Document, key_of
from chromatrack.studio.marks import (
    Difference,
    Said,
    difference,
    marks_of,
    said_by_document,
    said_by_marks,
    with_giving_way,
)
from chromatrack.tracking.marks import Marks
from chromatrack.tracking.reliability import by_kind

FAST_SIZE = 320
"""Working size of the quality "fast"; the others have the usual one."""

OTHER = "other"
"""The quality of a run that was made with settings that the studio does not offer."""

_KINDS: tuple[Kind, ...] = ("object", "point", "box", "keypoints")


@dataclass(frozen=True)
class SavedRun:
    """The run in a project's folder.

    said: what it was given. quality: by which it was made, or OTHER.
    start, end: frames it was to track. can_resume: it was stopped and could go on.
    unfinished: what a correction that was stopped has left.
    """

    folder: Path
    result: Result
    said: Said
    marks: Marks
    quality: str
    start: int
    end: int | None
    can_resume: bool
    unfinished: tuple[Unfinished, ...] = ()

    @property
    def first(self) -> int:
        """Number of its first frame."""
        return int(self.result.indices[0])

    @property
    def after(self) -> int:
        """Number of the frame after its last."""
        return int(self.result.indices[-1]) + 1

    @cached_property
    def summary(self) -> dict[str, Any]:
        """Its part of the state, but for what depends on the marks."""
        frames = self.result.frames
        reliability: dict[str, list[float | None]] = {}
        present: dict[str, list[bool]] = {}
        rows = [by_kind(frame.reliability, frame.place_reliability) for frame in frames]
        for kind in _KINDS:
            for number in self.result.ids(kind):
                key = key_of(kind, number)
                values = [row.get(kind, {}).get(number) for row in rows]
                reliability[key] = [None if v is None else round(v, 5) for v in values]
                present[key] = self._present(kind, number)
        return {
            "start": self.first,
            "end": self.after,
            "cuts": [frame.index for frame in frames if frame.cut],
            "reliability": reliability,
            "present": present,
            "doubtfulBelow": dict(LOOK_BELOW_OF),
            "complete": self.result.complete,
        }

    def _present(self, kind: Kind, number: int) -> list[bool]:
        if kind == "object":
            return [bool(frame.present.get(number)) for frame in self.result.frames]
        try:
            table = self.result.tracks(kind)[number]
        except (InputError, KeyError):
            return [False] * len(self.result.frames)
        visible = np.asarray(table.visible.reshape(len(table.frames), -1).any(axis=1))
        shown: list[bool] = visible.tolist()
        by_frame: dict[int, bool] = dict(zip(table.frames.tolist(), shown, strict=True))
        return [bool(by_frame.get(frame.index)) for frame in self.result.frames]

    @cached_property
    def tracks(self) -> bytes:
        """Points, boxes and skeletons, as JSON."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tracked = tracked_video(self.result)
        told = {
            "start": self.first,
            "points": {n: _columns(t, ("x", "y")) for n, t in tracked.points.items()},
            "boxes": {
                n: _columns(t, ("x", "y", "width", "height")) for n, t in tracked.boxes.items()
            },
            "keypoints": {n: _poses(t) for n, t in tracked.keypoints.items()},
        }
        return json.dumps(strict(told), separators=(",", ":"), allow_nan=False).encode()


def _columns(table: TrackData, names: tuple[str, ...]) -> dict[str, Any]:
    values = np.round(table.values, 2)
    found: dict[str, Any] = {name: values[:, n].tolist() for n, name in enumerate(names)}
    return found | {
        "visible": table.visible.tolist(),
        "confidence": np.round(table.confidence, 3).tolist(),
    }


def _poses(table: TrackData) -> dict[str, Any]:
    joints = [
        [xy.tolist() if np.isfinite(xy).all() else None for xy in pose]
        for pose in np.round(table.values, 2)
    ]
    return {
        "joints": joints,
        "visible": table.visible.tolist(),
        "confidence": np.round(table.confidence, 3).tolist(),
    }


def read_run(folder: Path) -> SavedRun | None:
    """The run in a folder; None where there is none, or none with a frame.

    Raises:
        InputError: it is damaged.
    """
    if not is_run(folder):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = read_result(folder)
        marks = read_run_marks(folder)
    if not result.frames:
        return None
    data = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    config = data.get("config", {})
    end = config.get("end")
    return SavedRun(
        folder,
        result,
        said_by_marks(marks),
        marks,
        _quality(config),
        int(config.get("start") or 0),
        None if end is None else int(end),
        (folder / RESUME / "made_with.json").is_file(),
        tuple(read_unfinished(data)),
    )


def _quality(config: dict[str, Any]) -> str:
    known = {(FAST_SIZE, False): "fast", (480, False): "normal", (480, True): "best"}
    return known.get((config.get("size"), bool(config.get("mirror"))), OTHER)  # type: ignore[arg-type]


def news_of(run: SavedRun, document: Document, folder: Path) -> Difference:
    """What is marked in a project's folder that a run does not know, and what that may change."""
    said, first, after = said_by_document(document), run.first, run.after
    part = part_of(run, document)
    news = difference(
        run.said, said, first=first, after=after, unfinished=run.unfinished, part=part
    )
    painted = {one for one in news.changed if one[0][0] == "object"}
    if not painted:
        return news
    try:
        under = found_under(marks_of(document, folder, wanted=painted), run.result)
    except InputError:
        return news  # a damaged mask: said where it is shown or tracked
    return with_giving_way(news, under)


def part_of(run: SavedRun, document: Document) -> tuple[int, int] | None:
    """Frames [start, end) that alone are to be tracked, of a run that has more; None: all."""
    chosen = document["settings"]["range"]
    if chosen is None or not (run.first < chosen[0] or chosen[1] < run.after):
        return None
    return int(chosen[0]), int(chosen[1])


_KEPT_BY_CLIENT = ("cuts", "reliability", "present")


def result_state(
    run: SavedRun, keys: set[str], news: Difference, *, written: str, known: str | None
) -> dict[str, Any]:
    """A run's part of the state.

    Args:
        keys: of the project's things. news: what is marked that it does not know. written: when it
            was. known: key of the result that the client has already.
    """
    key = hashlib.sha256(f"{written}-{','.join(sorted(keys))}".encode()).hexdigest()[:16]
    told = run.summary | {
        "stale": news.stale,
        "staleOf": news.stale_of,
        "held": news.held,
        "key": key,
    }
    for what in ("reliability", "present"):
        told[what] = {name: rows for name, rows in told[what].items() if name in keys}
    if known == key:
        told = {name: told[name] for name in told if name not in _KEPT_BY_CLIENT}
    return told


def stamp(folder: Path) -> tuple[int, int] | None:
    """When a folder's run was written; None where there is none."""
    try:
        state = (folder / RESULT).stat()
    except OSError:
        return None
    return state.st_mtime_ns, state.st_size


def ids_png(ids: np.ndarray) -> bytes:
    """`(H, W)` ids as a grey PNG, of 8 bits if they fit."""
    kind = np.uint8 if int(ids.max(initial=0)) < 256 else np.uint16
    out = io.BytesIO()
    Image.fromarray(ids.astype(kind)).save(out, format="PNG", compress_level=1)
    return out.getvalue()


def mask_file_png(path: Path, keep: set[int] | None = None) -> bytes | None:
    """A run's mask file as a grey PNG, with some of its ids only; None if it is not there."""
    if not path.is_file():
        return None
    try:
        ids = read_mask(path)
    except InputError:
        if path.exists():
            raise
        return None  # a job that ended just now has moved it
    if keep is not None:
        ids = np.where(np.isin(ids, sorted(keep)), ids, 0)
    return ids_png(ids)
