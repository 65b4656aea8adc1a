"""Coloured shots kept on disk until the video is whole, so that a crash loses one shot at most.

`OUTPUT.resume/` holds for each finished shot its frames without loss (`00001.mkv`), and what is
known of them (`00001.json`, put there last); `task.json` says what was coloured and how.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import repeat
from os import fspath
from pathlib import Path
from typing import Any

import numpy as np

from chromatrack import __version__
from chromatrack.atomic import replace_file
from chromatrack.errors import InputError
from chromatrack.json_text import json_text
from chromatrack.runs.file_names import RESUME
from chromatrack.runs.shot_references import ShotPart
from chromatrack.structures import Source
from chromatrack.tracking.colorize import ColorizedFrame
from chromatrack.tracking.marks import ColorReference
from chromatrack.tracking.tracker import Tracker
from chromatrack.video.reader import VideoInfo, open_writer, read_frames

_TASK = "task.json"


@dataclass(frozen=True)
class KeptShots:
    """The folder of one output's finished shots."""

    folder: Path

    @classmethod
    def beside(cls, output: Source) -> KeptShots:
        """Of a video that is to be written there."""
        place = Path(output).resolve()
        return cls(place.with_name(place.name + RESUME))

    @property
    def is_begun(self) -> bool:
        """Whether a run has begun to keep shots here."""
        return (self.folder / _TASK).is_file()

    def begin(self, task: Mapping[str, str], *, resume: bool) -> None:
        """Make the folder; what another task left in it goes, or with `resume` is refused.

        Raises:
            InputError: the folder is not ours; with `resume`, its task was another one.
        """
        path = self.folder / _TASK
        if self.folder.exists() and not path.is_file() and any(self.folder.iterdir()):
            raise InputError(f"{self.folder}: is in the way and not ours; move it elsewhere")
        if resume and path.is_file():
            before = _read_json(path)
            changed = sorted(key for key in task if before.get(key) != task[key])
            if changed:
                raise InputError(
                    f"resume: what was begun had another {', '.join(changed)}; give all as before, "
                    f"or remove {self.folder} to begin anew"
                )
            return
        self.clear()
        replace_file(path, json_text(dict(task), indent=1) + "\n")

    def clear(self) -> None:
        """Remove all that is kept, if it is ours."""
        if self.is_begun:
            shutil.rmtree(self.folder)

    def has(self, part: ShotPart) -> bool:
        """Whether a shot is finished."""
        return self._rows(part).is_file()

    def read(self, part: ShotPart, *, maps: bool = False) -> Iterator[ColorizedFrame]:
        """The frames of a finished shot, as they were yielded when it was coloured.

        maps: with their confidence, rounded to 8 bits, if it was kept.
        """
        rows = _read_json(self._rows(part))["frames"]
        unsure = read_frames(self._map(part)) if maps else repeat(None)
        found = zip(rows, read_frames(self._video(part), deep=True), strict=True)
        for (row, frame), lack in zip(found, unsure, strict=False):
            yield ColorizedFrame(
                row["index"],
                row["pts_seconds"],
                frame.rgb,
                row["entropy"],
                row["duration_seconds"],
                reliability=row["reliability"],
                deep=frame.deep,
                confidence=None if lack is None else 1 - lack.rgb[..., 0] / np.float32(255),
            )

    def keep(
        self,
        part: ShotPart,
        frames: Iterator[ColorizedFrame],
        *,
        info: VideoInfo,
        maps: bool = False,
    ) -> Iterator[ColorizedFrame]:
        """Pass the frames of a shot on, and keep them; finished when the last one was passed on."""
        rows: list[dict[str, Any]] = []
        options: dict[str, Any] = {"fps": info.average_fps, "codec": "ffv1"}
        with ExitStack() as stack:
            writer = stack.enter_context(open_writer(self._video(part), **options))
            lack = stack.enter_context(open_writer(self._map(part), **options)) if maps else None
            for frame in frames:
                writer.write(frame.rgb if frame.deep is None else frame.deep)
                if lack is not None:
                    lack.write(unsure_picture(frame))
                rows.append(
                    {
                        "index": frame.index,
                        "pts_seconds": frame.pts_seconds,
                        "duration_seconds": frame.duration_seconds,
                        "entropy": frame.entropy,
                        "reliability": frame.reliability,
                    }
                )
                yield frame
        replace_file(self._rows(part), json_text({"frames": rows}, indent=None) + "\n")

    def _video(self, part: ShotPart) -> Path:
        return self.folder / f"{part.number:05d}.mkv"

    def _map(self, part: ShotPart) -> Path:
        return self.folder / f"{part.number:05d}.unsure.mkv"

    def _rows(self, part: ShotPart) -> Path:
        return self.folder / f"{part.number:05d}.json"


def unsure_picture(frame: ColorizedFrame) -> np.ndarray:
    """Where colours are not sure, `(H', W', 3)` uint8 grey at the working size: 255 is not at all.

    The map of a frame whose confidence is not known is white.
    """
    sure = frame.confidence
    if sure is None:
        sure = np.zeros(frame.rgb.shape[:2], np.float32)
    lack = np.rint(255 * (1 - np.clip(sure, 0, 1))).astype(np.uint8)
    return np.repeat(lack[..., None], 3, axis=2)


def task_of(
    tracker: Tracker,
    video: Source,
    parts: Sequence[ShotPart],
    references: Sequence[ColorReference],
    *,
    info: VideoInfo,
) -> dict[str, str]:
    """What must be the same for finished shots to be taken over: texts by what they are of."""
    path = Path(fspath(video))
    state = path.stat()
    size = state.st_size if path.is_file() else 0
    return {
        "version": __version__,
        "video": f"{path.resolve()} {size} {state.st_mtime_ns} {info.deinterlaced} {info.fps}",
        "references": _digest(*map(_content, references)),
        "shots": _digest(*(f"{p.number} {p.first} {p.end} {len(p.references)}" for p in parts)),
        "model": tracker.model,
        "settings": repr(tracker.config),
        "device": tracker.device.type,
    }


def _content(reference: ColorReference) -> bytes:
    if isinstance(reference, tuple):
        rgb, index = reference
        return np.ascontiguousarray(rgb).tobytes() + repr((rgb.shape, index)).encode()
    text = fspath(reference)
    path = Path(text)
    if not path.exists():
        path = Path(text.rpartition("@")[0])
    return text.encode() + path.read_bytes()


def _digest(*parts: str | bytes) -> str:
    found = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        found.update(len(data).to_bytes(8, "big") + data)
    return found.hexdigest()


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}); remove its folder") from error
