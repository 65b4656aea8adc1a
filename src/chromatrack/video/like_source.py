"""A writer for frames made of a source's: with its times, sound, and way of being shown."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from os import fspath
from pathlib import Path
from typing import Any

from chromatrack.structures import Source
from chromatrack.video.encoding import USUAL, Codec, Quality
from chromatrack.video.images import image_files
from chromatrack.video.reader import VideoInfo
from chromatrack.video.timecode import first_timecode, later


def options_like(
    video: Source,
    *,
    info: VideoInfo,
    first: int = 0,
    codec: Codec | None = None,
    quality: Quality = USUAL,
) -> dict[str, Any]:
    """Options of `open_writer` for what is made of `video`.

    Args:
        video: whose sound goes along; pictures in a folder keep the names of its pictures.
        info: of the video, from `probe`: its rate and how it is shown; its timecode goes along.
        first: number of the frame that is written first.
        codec, quality: how a video file is encoded.
    """
    start = first_timecode(fspath(video)) if Path(fspath(video)).is_file() else None
    if start is not None and info.average_fps:
        start = later(start, first, Fraction(info.average_fps).limit_denominator(1001))
    return {
        "timecode": start,
        "names": picture_names(video)[first:],
        "codec": codec,
        "fps": info.average_fps,
        "audio_from": fspath(video),
        "crf": quality.crf,
        "preset": quality.preset,
        "display": info.display,
    }


def picture_names(video: Source) -> list[str]:
    """Names of a source's pictures, without suffix where they differ without; else empty."""
    files = image_files(video) or []
    count = Counter(file.stem.casefold() for file in files)
    names = [file.stem if count[file.stem.casefold()] == 1 else file.name for file in files]
    return names if len(set(map(str.casefold, names))) == len(names) else []
