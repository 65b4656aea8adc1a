"""The file beside a coloured video that says how far each of its frames can be trusted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from chromatrack import __version__
from chromatrack.atomic import replace_file
from chromatrack.propagation.reliability import frames_to_look_at
from chromatrack.tracking.color_reliability import LOOK_BELOW
from chromatrack.video.reader import ImageSequenceWriter, VideoWriter

ColouredRow = tuple[int, float, float]
"""Frame number, pts_seconds, reliability."""


def reliability_path(writer: VideoWriter | ImageSequenceWriter) -> Path:
    """OUTPUT.reliability.json, beside a video file or a folder of images."""
    target = writer.folder if isinstance(writer, ImageSequenceWriter) else writer.path
    target = target.resolve()
    return target.with_name(f"{target.name}.reliability.json")


def write_colour_reliability(
    writer: VideoWriter | ImageSequenceWriter, rows: Sequence[ColouredRow], *, model: str
) -> None:
    """Write the frames of a coloured video with their reliability, and which to look at.

    Raises:
        OutputError: the file cannot be written.
    """
    ranges = frames_to_look_at([(i, {0: value}) for i, _, value in rows], below=LOOK_BELOW)
    content = {
        "chromatrack_version": __version__,
        "command": "colorize",
        "model": model,
        "look_at": [
            {"first": r.first, "last": r.last, "reliability": round(r.reliability, 5)}
            for r in ranges
        ],
        "frames": [
            {"index": index, "pts_seconds": pts, "reliability": round(value, 5)}
            for index, pts, value in rows
        ],
    }
    replace_file(reliability_path(writer), json.dumps(content, indent=1) + "\n")
