"""Videos and folders of pictures that a command writes: checked first, put in place when whole."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from chromatrack.atomic import (
    UNSIGNED,
    OutputFile,
    check_output_files,
    check_output_folder,
    keep_apart,
)
from chromatrack.errors import DamagedVideoError, InputError
from chromatrack.runs.file_names import is_reliability_file, keep_runs
from chromatrack.runs.staging import Staging
from chromatrack.structures import Source
from chromatrack.video.image_writer import ImageSequenceWriter, is_our_picture
from chromatrack.video.like_source import picture_names
from chromatrack.video.writer import VideoWriter, is_our_video, picture_pattern

BESIDE = ".reliability.json"
"""Of a coloured video there is a file of its name and this, which belongs to it."""


def check_video_output(
    output: Source,
    *,
    reads: Iterable[object],
    like: Source | None = None,
    beside: bool = False,
) -> None:
    """Refuse to write a video or pictures over what is read or what others wrote.

    Args:
        output: a video file, or a folder or pattern for pictures.
        reads: files, folders and patterns that the command reads.
        like: the video whose pictures' names the pictures in a folder get.
        beside: the output has a file of reliability beside it.

    Raises:
        InputError: says what is in the way.
    """
    target, reads = Path(output), list(reads)
    keep_runs(target)
    pattern = picture_pattern(target)
    place = target if pattern is None else pattern.parent
    if pattern is None:
        check_output_files([OutputFile(target, "video", is_our_video, UNSIGNED)], reads=reads)
    else:
        keep_runs(place)
        is_folder = target.is_dir() or target.suffix.lower() != ".png"
        names = picture_names(like) if like is not None and is_folder else []
        _check_pictures(pattern, reads, {f"{name}.png" for name in names})
    other = place.resolve()
    other = other.with_name(other.name + BESIDE)
    if beside:
        check_output_files([OutputFile(other, "reliability file", is_reliability_file)])
    elif is_reliability_file(other) and place.exists():
        raise InputError(
            f"{place}: was coloured, as {other.name} beside it says; choose another output, or "
            "remove both first"
        )


def _check_pictures(pattern: Path, reads: list[object], also: set[str]) -> None:
    """Pictures go neither into a folder that is read, nor over pictures of others."""
    folder = pattern.parent
    check_output_folder(folder, (), kind="pictures", is_ours=True, reads=reads)
    if not folder.is_dir():
        return
    names = re.compile(re.sub(r"%0?\d*d", r"[0-9]+", re.escape(pattern.name).replace(r"\%", "%")))
    inside = [path for path in folder.iterdir() if names.fullmatch(path.name) or path.name in also]
    for path in sorted(inside):
        for given in reads:
            keep_apart(given, path)
        check_output_files([OutputFile(path, "picture", is_our_picture, UNSIGNED)])


@contextmanager
def staged_writer(
    output: Source,
    *,
    finish: Callable[[Staging], Path] | None = None,
    names: Sequence[str] = (),
    **options: Any,  # noqa: ANN401
) -> Iterator[VideoWriter | ImageSequenceWriter]:
    """A writer of what is to be `output`, put in place when the block ends in order.

    That is at its end, by a signal or at damage, with the frames until then; else, and without any
    frame, nothing changes.

    Args:
        finish: called before that; writes what belongs to the video beside it, and returns where.
        names: of pictures in a folder, without suffix. options: of `VideoWriter`; pictures have
            none of them.

    Raises:
        InputError: a suffix that is not written. OutputError: it cannot be written, or another
            process is writing it.
    """
    target = Path(output)
    pattern = picture_pattern(target)
    with Staging(target if pattern is None else pattern.parent) as stage:
        writer: VideoWriter | ImageSequenceWriter
        if pattern is None:
            writer = VideoWriter(stage.path, **options)
        elif target.suffix.lower() == ".png" and not target.is_dir():
            writer = ImageSequenceWriter(stage.path / pattern.name)
        else:
            writer = ImageSequenceWriter(stage.path, names=names)
        try:
            with writer:
                yield writer
        except (DamagedVideoError, KeyboardInterrupt, GeneratorExit):
            _put_in_place(stage, finish)
            raise
        _put_in_place(stage, finish)


def _put_in_place(stage: Staging, finish: Callable[[Staging], Path] | None) -> None:
    is_empty = not stage.path.exists() or (stage.path.is_dir() and not any(stage.path.iterdir()))
    if not is_empty:
        stage.put_in_place(last=None if finish is None else finish(stage))
