"""A writer for frames made of a source's: with its times, sound, and way of being shown."""

from __future__ import annotations

from collections import Counter
from os import PathLike, fspath

from chromatrack.structures import Source
from chromatrack.video.encoding import USUAL, Codec, Quality
from chromatrack.video.image_writer import ImageSequenceWriter
from chromatrack.video.images import image_files
from chromatrack.video.reader import VideoInfo
from chromatrack.video.writer import VideoWriter, open_writer


def open_writer_like(
    video: Source,
    output: str | PathLike[str],
    *,
    info: VideoInfo,
    first: int = 0,
    codec: Codec | None = None,
    quality: Quality = USUAL,
) -> VideoWriter | ImageSequenceWriter:
    """A writer of `output` for what is made of `video`.

    Args:
        video: whose sound goes along; pictures in a folder keep the names of its pictures.
        output: as in `open_writer`.
        info: of the video, from `probe`: its rate and how it is shown.
        first: number of the frame that is written first.
        codec, quality: how a video file is encoded.

    Raises InputError for a suffix that is not written, OutputError.
    """
    return open_writer(
        output,
        names=picture_names(video)[first:],
        codec=codec,
        fps=info.average_fps,
        audio_from=fspath(video),
        crf=quality.crf,
        preset=quality.preset,
        display=info.display,
    )


def picture_names(video: Source) -> list[str]:
    """Names of a source's pictures, without suffix where they differ without; else empty."""
    files = image_files(video) or []
    count = Counter(file.stem.casefold() for file in files)
    names = [file.stem if count[file.stem.casefold()] == 1 else file.name for file in files]
    return names if len(set(map(str.casefold, names))) == len(names) else []
