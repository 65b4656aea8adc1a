"""Whether a correction fits its run: the marks, what is taken away, and how the run was made."""

from __future__ import annotations

import json
import warnings
from collections.abc import Collection
from dataclasses import asdict
from typing import Any

from chromatrack.errors import InputError
from chromatrack.propagation.layout import channel_names
from chromatrack.runs.writer import model_sha256
from chromatrack.structures import LabelName
from chromatrack.tracking.mark_checks import dated
from chromatrack.tracking.marks import Marks
from chromatrack.tracking.tracker import Tracker


def check_removed(removed: Collection[tuple[LabelName, int]], merged: Marks) -> None:
    """Raises InputError where nothing is left of what is to be tracked without a mark."""
    shown = merged.layout()
    for name, frame in sorted(removed):
        if name not in channel_names(shown) or name in shown.unmarked:
            raise InputError(
                f"{name[0]} {name[1]}: its mark on frame {frame} is the only one; mark it on "
                "another frame first"
            )


def check_new(
    new: Marks,
    removed: Collection[tuple[LabelName, int]],
    frames: range,
    size: tuple[int, int],
) -> None:
    """Raises InputError unless there are marks, on these frames of the run, and of its size."""
    if not new.labels() and not removed:
        raise InputError("expected at least one mark, got none; mark what is to be corrected")
    check_inside(new, removed, frames, of="run")
    for frame, mask in new.masks.items():
        if mask.shape != size:
            raise InputError(
                f"mask of frame {frame}: expected the video's {size[1]}x{size[0]} pixels, got "
                f"{mask.shape[1]}x{mask.shape[0]}; draw it on a frame of this video"
            )


def check_inside(
    new: Marks, removed: Collection[tuple[LabelName, int]], frames: range, *, of: str
) -> None:
    """Raises InputError unless marks, and those that are taken away, are on these frames."""
    gone = [(f"{name[0]} {name[1]}, taken away,", frame) for name, frame in removed]
    for what, frame in [*dated(new), *gone]:
        if frame not in frames:
            raise InputError(
                f"{what} of frame {frame}: expected a frame of the {of}, {frames[0]} to "
                f"{frames[-1]}"
            )


def check_same(tracker: Tracker, data: dict[str, Any]) -> None:
    """Warn where the run was made in another way: its other frames will not fit the new ones."""
    now = json.loads(json.dumps(asdict(tracker.config)))  # tuples are lists there
    then = data["config"]
    for name in ("propagate", "color", "coloring"):
        then = {**then, name: {**now[name], **then.get(name, {})}}  # knobs that came later
    other = [name for name, value in now.items() if then.get(name, value) != value]
    if data["model"] != {"name": tracker.model, "sha256": model_sha256(tracker.model)}:
        other.insert(0, "model")
    if other:
        warnings.warn(
            f"the run was made with another {', '.join(other)}; the corrected frames may not fit "
            "the others",
            stacklevel=3,
        )


def settings_of(tracker: Tracker) -> dict[str, object]:
    """What a pass of a tracker depends on beside video and marks."""
    return {
        "config": asdict(tracker.config),
        "model": {"name": tracker.model, "sha256": model_sha256(tracker.model)},
        "device": str(tracker.embedder.device),
    }
