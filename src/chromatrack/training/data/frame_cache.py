"""Decoded clips on disk: uncompressed, mapped into memory, reused while their video is the same."""

from __future__ import annotations

import hashlib
import json
import warnings
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from chromatrack.training.data.decode import Clip
from chromatrack.training.data.shards import atomic

if TYPE_CHECKING:
    from chromatrack.training.config import SamplerConfig
    from chromatrack.training.data.entries import Stretch, VideoEntry

_VERSION = 1  # of what a clip is: raise it when decoding gives other frames, scenes or weights


class FrameFiles:
    """A folder of decoded clips: below it one folder per video, in it two files per stretch.

    The frames are an `.npy`; a `.json` with times, scenes and weight is written last, so a clip
    without one is not there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._works = True

    def read(self, video: VideoEntry, stretch: Stretch, config: SamplerConfig) -> Clip | None:
        """The clip with frames mapped from disk; None if it is not there, or damaged."""
        path = self._path(video, stretch, config)
        try:
            about = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
            # "c": writing would not reach the file, and torch wants memory that can be written
            rgb = np.load(path, mmap_mode="c", allow_pickle=False)
            clip = Clip(
                torch.from_numpy(rgb),
                np.asarray(about["pts_seconds"], np.float64),
                np.asarray(about["scene"], np.int64),
                float(about["weight"]),
            )
        except (OSError, EOFError, ValueError, KeyError, TypeError):
            return None
        lengths = {len(rgb), len(clip.pts_seconds), len(clip.scene)}
        return clip if rgb.dtype == np.uint8 and rgb.ndim == 4 and len(lengths) == 1 else None

    def write(self, video: VideoEntry, stretch: Stretch, config: SamplerConfig, clip: Clip) -> None:
        """Keep a clip; where that fails (a full disk) it is warned of once, and not tried again."""
        if not self._works:
            return
        path = self._path(video, stretch, config)
        about = {
            "pts_seconds": clip.pts_seconds.tolist(),
            "scene": clip.scene.tolist(),
            "weight": clip.weight,
        }
        try:
            with atomic(path) as file:
                np.save(file, clip.rgb.numpy(), allow_pickle=False)
            with atomic(path.with_suffix(".json")) as file:
                file.write(json.dumps(about).encode())
        except OSError as error:
            self._works = False
            warnings.warn(
                f"training data: decoded clips cannot be kept in {self.folder} ({error}); they "
                "are decoded anew each time",
                stacklevel=2,
            )
            return
        self._forget_others(path, video)

    def _path(self, video: VideoEntry, stretch: Stretch, config: SamplerConfig) -> Path:
        span = stretch.start_seconds, stretch.end_seconds
        knobs = config.short_side, config.spacing_seconds
        place = _hash(video.path, video.start, video.length)
        return self.folder / place / f"{_stamp(video)}-{_hash(*span, *knobs)}.npy"

    def _forget_others(self, path: Path, video: VideoEntry) -> None:
        """Delete clips of what the video was before it changed."""
        with suppress(OSError):
            for other in path.parent.iterdir():
                if not other.name.startswith((_stamp(video), ".")):
                    other.unlink(missing_ok=True)


def _stamp(video: VideoEntry) -> str:
    return _hash(_VERSION, video.bytes, video.modified_ns)


def _hash(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
