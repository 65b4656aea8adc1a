"""Decoded clips on disk: uncompressed, mapped into memory, reused while their video is the same."""

from __future__ import annotations

import hashlib
import json
import warnings
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from chromatrack.atomic import replace_file
from chromatrack.errors import OutputError
from chromatrack.training.data.decode import Clip

if TYPE_CHECKING:
    from chromatrack.training.config import SamplerConfig
    from chromatrack.training.data.media import Stretch, VideoEntry

_VERSION = 2  # of what a clip is: raise it when decoding gives other frames, scenes or weights


class FrameFiles:
    """A folder of decoded clips: below it one folder per video, in it a file per stretch."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._works = True

    def read(self, video: VideoEntry, stretch: Stretch, config: SamplerConfig) -> Clip | None:
        """The clip with frames mapped from disk; None if it is not there, or damaged."""
        try:
            found = load_file(self._path(video, stretch, config))
        except (OSError, SafetensorError):
            return None
        times, scene = found["pts_seconds"].numpy(), found["scene"].numpy()
        return Clip(found["rgb"], times, scene, float(found["weight"]))

    def write(self, video: VideoEntry, stretch: Stretch, config: SamplerConfig, clip: Clip) -> None:
        """Keep a clip; where that fails (a full disk) it is warned of once, and not tried again."""
        if not self._works:
            return
        path = self._path(video, stretch, config)
        content = {
            "rgb": clip.rgb,
            "pts_seconds": torch.from_numpy(clip.pts_seconds),
            "scene": torch.from_numpy(clip.scene),
            "weight": torch.tensor(clip.weight, dtype=torch.float64),
        }
        try:
            replace_file(path, save(content))
        except OutputError as error:
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
        return self.folder / place / f"{_stamp(video)}-{_hash(*span, *knobs)}.safetensors"

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
