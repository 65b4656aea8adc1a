"""Frames made of a video's frames, written with its timing and sound."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from chromatrack.errors import InputError
from chromatrack.runs.progress import Report, stop_on_interrupt, told
from chromatrack.runs.video_staging import staged_writer
from chromatrack.runs.writer import left_behind
from chromatrack.structures import Source
from chromatrack.video.encoding import USUAL, Codec, Quality
from chromatrack.video.like_source import options_like
from chromatrack.video.reader import Frame, ImageSequenceWriter, probe


@contextmanager
def video_output(
    output: Source,
    *,
    video: Source,
    name: str,
    total: int | None,
    first: int = 0,
    codec: Codec | None = None,
    quality: Quality = USUAL,
    progress: Report | None = None,
) -> Iterator[Callable[[Frame], None]]:
    """Open a video file, or a folder for images, for what is made of `video` from frame `first` on.

    Yields the function that writes a frame, in its `deep` pixels where it has them, reports
    progress as `name`, and then lets Ctrl-C end the loop: what was written until then plays. It has
    its name when the block ends; what was there before is as it was if that is by any other error.

    Raises:
        InputError: `codec` does not go with `output`. OutputError: it cannot be written.
        KeyboardInterrupt: says how many frames were written.
    """
    count = 0
    options = options_like(video, info=probe(video), first=first, codec=codec, quality=quality)

    def put(frame: Frame) -> None:
        nonlocal count
        writer.write(
            frame.rgb if frame.deep is None else frame.deep,
            pts_seconds=frame.pts_seconds,
            duration_seconds=frame.duration_seconds,
        )
        count += 1
        if progress is not None:
            progress(name, count, total)
        check_interrupt()

    with stop_on_interrupt() as check_interrupt:
        try:
            with staged_writer(output, **options) as writer:
                if isinstance(writer, ImageSequenceWriter) and codec is not None:
                    raise InputError(f"codec: {output} takes PNG images, so leave {codec} out")
                yield put
        except KeyboardInterrupt as interrupt:
            raise told(interrupt, left_behind(count, Path(output))) from None
