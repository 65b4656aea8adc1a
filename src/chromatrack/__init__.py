"""Chromatrack: track or colour anything in a video, learned from unlabelled video."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_PUBLIC = {
    "ChromatrackError": "chromatrack.errors",
    "ColorizedFrame": "chromatrack.tracking.tracker",
    "PropagateConfig": "chromatrack.propagation.config",
    "TrackConfig": "chromatrack.tracking.config",
    "TrackedFrame": "chromatrack.tracking.tracker",
    "Tracker": "chromatrack.tracking.tracker",
    "VideoWriter": "chromatrack.video.reader",
    "evaluate": "chromatrack.evaluation.api",
    "from_supervision": "chromatrack.tracking.detections",
    "load_encoder": "chromatrack.model.weights",
    "probe": "chromatrack.video.reader",
    "read_frame": "chromatrack.video.reader",
    "read_frames": "chromatrack.video.reader",
    "to_supervision": "chromatrack.tracking.detections",
}

__all__ = [
    "ChromatrackError",
    "ColorizedFrame",
    "PropagateConfig",
    "TrackConfig",
    "TrackedFrame",
    "Tracker",
    "VideoWriter",
    "evaluate",
    "from_supervision",
    "load_encoder",
    "probe",
    "read_frame",
    "read_frames",
    "to_supervision",
]

if TYPE_CHECKING:
    from chromatrack.errors import ChromatrackError
    from chromatrack.evaluation.api import evaluate
    from chromatrack.model.weights import load_encoder
    from chromatrack.propagation.config import PropagateConfig
    from chromatrack.tracking.config import TrackConfig
    from chromatrack.tracking.detections import from_supervision, to_supervision
    from chromatrack.tracking.tracker import ColorizedFrame, TrackedFrame, Tracker
    from chromatrack.video.reader import VideoWriter, probe, read_frame, read_frames


def __getattr__(name: str) -> Any:  # noqa: ANN401  (PEP 562)
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'chromatrack' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])
