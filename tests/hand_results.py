"""Results made by hand, whose places and times are known exactly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from chromatrack.formats.csv_tables import TrackData
from chromatrack.runs.reader import Result, SavedFrame

SIZE = (60, 80)


def hand_result(
    *,
    masks: Sequence[np.ndarray] | None = None,
    points: Mapping[int, np.ndarray] | None = None,
    boxes: Mapping[int, np.ndarray] | None = None,
    keypoints: Mapping[int, np.ndarray] | None = None,
    times: Sequence[float] | None = None,
    cuts: Sequence[int] = (),
    size: tuple[int, int] = SIZE,
    first: int = 0,
) -> Result:
    """A result in memory; rows of NaN are frames on which a thing is not visible.

    masks: (H, W) ids per frame. points: {id: (N, 2)}. boxes: {id: (N, 4)}. keypoints: {id: (N, J,
    2)}. times: seconds, 0.1 s apart if None. cuts: rows just before which there is a cut. first:
    number of the first frame.
    """
    tracks = [*(points or {}).values(), *(boxes or {}).values(), *(keypoints or {}).values()]
    count = len(masks) if masks is not None else len(tracks[0])
    shown = np.arange(count) * 0.1 if times is None else times
    ids = sorted({int(k) for mask in masks or () for k in np.unique(mask)} - {0})
    frames = []
    for n in range(count):
        areas = {k: int(np.count_nonzero(masks[n] == k)) for k in ids} if masks else {}
        present = {k: area > 0 for k, area in areas.items()}
        frames.append(
            SavedFrame(first + n, float(shown[n]), areas, present, dict.fromkeys(ids), n in cuts)
        )
    return Result(
        folder=Path("hand"),
        video_path="hand.mp4",
        size=masks[0].shape if masks is not None else size,
        frames=tuple(frames),
        objects=tuple(ids),
        points={k: _track(v, first) for k, v in (points or {}).items()},
        boxes={k: _track(v, first) for k, v in (boxes or {}).items()},
        keypoints={k: _track(v, first) for k, v in (keypoints or {}).items()},
        load_mask=lambda index: (masks or [])[index - first],
    )


def _track(values: np.ndarray, first: int) -> TrackData:
    values = np.asarray(values, dtype=np.float64)
    visible = np.isfinite(values).all(axis=-1)
    frames = np.arange(first, first + len(values))
    return TrackData(
        frames, np.full(len(frames), np.nan), values, visible, visible.astype(np.float64)
    )


def squares(
    corners: Mapping[int, Sequence[tuple[int, int] | None]],
    *,
    side: int = 10,
    size: tuple[int, int] = SIZE,
) -> list[np.ndarray]:
    """Masks of squares: {id: (left, top) per frame, None where absent}; later ids in front."""
    count = len(next(iter(corners.values())))
    masks = [np.zeros(size, dtype=np.int32) for _ in range(count)]
    for number, places in corners.items():
        for mask, place in zip(masks, places, strict=True):
            if place is not None:
                left, top = place
                right, bottom = max(0, left + side), max(0, top + side)
                mask[max(0, top) : bottom, max(0, left) : right] = number
    return masks
