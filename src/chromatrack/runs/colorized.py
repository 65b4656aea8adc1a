"""A video coloured and written: the file or pictures, and how far each frame can be trusted."""

from __future__ import annotations

import re
import time
import warnings
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from chromatrack.errors import InputError
from chromatrack.formats.shots import Shot
from chromatrack.runs.color_log import ColorLog
from chromatrack.runs.color_look import AS_COPIED, Look
from chromatrack.runs.kept_shots import KeptShots, task_of, unsure_picture
from chromatrack.runs.progress import Report, stop_on_interrupt, told
from chromatrack.runs.shot_references import (
    Likest,
    ShotPart,
    picture_of,
    shot_parts,
    tell_borrowed,
)
from chromatrack.runs.staging import Staging
from chromatrack.runs.video_staging import check_video_output, staged_writer
from chromatrack.runs.writer import RunSummary, frames_ahead, left_behind
from chromatrack.structures import Source
from chromatrack.tracking.colorize import ColorizedFrame
from chromatrack.tracking.frame_likeness import FrameLooks, likeness
from chromatrack.tracking.marks import ColorReference, read_reference
from chromatrack.tracking.tracker import Tracker
from chromatrack.video.encoding import USUAL, Codec, Quality
from chromatrack.video.like_source import options_like
from chromatrack.video.luma import Luma, read_luma
from chromatrack.video.reader import (
    ImageSequenceWriter,
    Moment,
    VideoInfo,
    VideoWriter,
    frame_range,
    probe,
    read_frame,
)


@dataclass(frozen=True)
class FilmOptions:
    """What is asked for beyond one clip with its references.

    shots: of the video, from `runs.shots`, without gaps; none: it is one shot. everywhere:
    references count in all shots, not in their own. resume: finished shots are kept beside the
    output until it is whole, and those of a run that ended early are taken over. look: what the
    frames look like. unsure: where to write a grey video of the places that are not sure (white).
    """

    shots: Sequence[Shot] = ()
    everywhere: bool = False
    resume: bool = False
    look: Look = AS_COPIED
    unsure: Source | None = None


ONE_CLIP = FilmOptions()


def colorize_to_file(
    tracker: Tracker,
    video: Source,
    *,
    references: Sequence[ColorReference],
    output: Source,
    codec: Codec | None = None,
    start: Moment = 0,
    end: Moment | None = None,
    quality: Quality = USUAL,
    film: FilmOptions = ONE_CLIP,
    progress: Report | None = None,
) -> RunSummary:
    """Colour a video from coloured pictures and write it, with the source's timing and sound.

    Args:
        tracker: the model and its configuration.
        video, references: as in `Tracker.colorize`.
        output: a video file, whose suffix (or `codec`) says how it is coded, or a folder or
            `*.png` pattern for images. Not the video itself. OUTPUT.reliability.json beside
            it says how far every frame can be trusted. Both are put in place together: an earlier
            video stays with its own file if this one fails.
        start, end: first frame and the one after the last: numbers, or times such as "2.5s".
        quality: of a video file.
        film: shots, going on with a run that ended early, and the look.
        progress: called after every frame.

    Raises:
        InputError, VideoError: as in `Tracker.colorize`; or `codec` does not go with `output`.
        DamagedVideoError, KeyboardInterrupt: the frames until then are written and play.
        OutputError: `output` cannot be written, or another process is writing it.
    """
    check_video_output(output, reads=[video, *map(picture_of, references)], like=video, beside=True)
    if film.unsure is not None:
        reads = [video, output, *map(picture_of, references)]
        check_video_output(film.unsure, reads=reads, like=video)
    began, info = time.perf_counter(), probe(video)
    first, last = frame_range(video, start=start, end=end)
    parts = shot_parts(
        film.shots,
        references,
        first=first,
        end=last,
        everywhere=film.everywhere,
        likest=_likest(tracker, video),
    )
    tell_borrowed(parts)
    total = frames_ahead(info.frame_count, first, last)

    log = ColorLog()

    def finish(stage: Staging) -> Path:
        return log.write(stage.path, model=tracker.model)

    writer, kept = None, KeptShots.beside(output)
    options = options_like(video, info=info, first=first, codec=codec, quality=quality)
    with log, stop_on_interrupt() as check_interrupt:
        try:
            with (
                staged_writer(output, finish=finish, **options) as writer,
                _unsure_writer(film.unsure, video, info, first) as unsure,
            ):
                is_images = isinstance(writer, ImageSequenceWriter)
                if is_images and codec is not None:
                    raise InputError(f"codec: {output} takes PNG images, so leave {codec} out")
                if is_images and film.look.exact_luma:
                    raise InputError(f"luma exact: {output} takes PNG images, which have no Y'")
                lumas = read_luma(video, start=first, end=last) if film.look.exact_luma else None
                if film.resume:
                    task = task_of(tracker, video, parts, references, info=info)
                    task["unsure map"] = "written" if film.unsure is not None else "none"
                    kept.begin(task, resume=True)
                shelf = kept if film.resume and len(parts) > 1 else None  # one is lost anyway
                maps = film.unsure is not None
                for frame in _colored(tracker, video, parts, shelf, info, maps=maps):
                    _write(writer, film.look, frame, lumas)
                    if unsure is not None:
                        unsure.write(
                            unsure_picture(frame),
                            pts_seconds=frame.pts_seconds,
                            duration_seconds=frame.duration_seconds,
                        )
                    log.add(frame.index, frame.pts_seconds, frame.reliability)
                    if progress is not None:
                        progress("colorize", log.count, total)
                    check_interrupt()
        except KeyboardInterrupt as interrupt:
            raise told(interrupt, left_behind(log.count, Path(output))) from None
        finally:
            if isinstance(writer, ImageSequenceWriter) and log.count:
                folder = Path(output)
                _warn_of_stale_images(folder if folder.is_dir() else folder.parent, writer.written)
        kept.clear()
        seconds = time.perf_counter() - began
        return RunSummary(Path(output), log.count, seconds, tuple(log.to_look_at()))


def _write(
    writer: VideoWriter | ImageSequenceWriter,
    look: Look,
    frame: ColorizedFrame,
    lumas: Iterator[Luma] | None,
) -> None:
    rgb, pts, duration = look.of(frame), frame.pts_seconds, frame.duration_seconds
    if isinstance(writer, ImageSequenceWriter) or lumas is None:
        writer.write(rgb, pts_seconds=pts, duration_seconds=duration)
        return
    luma = next(lumas)
    luma = luma.beside() if look.side_by_side else luma
    writer.write(rgb, pts_seconds=pts, duration_seconds=duration, luma=luma)


@contextmanager
def _unsure_writer(
    target: Source | None, video: Source, info: VideoInfo, first: int
) -> Iterator[VideoWriter | ImageSequenceWriter | None]:
    """A writer of the map of unsure places, without sound; None: none is asked for."""
    if target is None:
        yield None
        return
    options = options_like(video, info=info, first=first)
    options["audio_from"] = None
    with staged_writer(target, **options) as writer:
        yield writer


def _colored(
    tracker: Tracker,
    video: Source,
    parts: Sequence[ShotPart],
    kept: KeptShots | None,
    info: VideoInfo,
    *,
    maps: bool,
) -> Iterator[ColorizedFrame]:
    """The frames of all shots, one shot after the other."""
    for part in parts:
        if kept is not None and kept.has(part):
            yield from kept.read(part, maps=maps)
            continue
        frames = tracker.colorize(video, references=part.references, start=part.first, end=part.end)
        yield from frames if kept is None else kept.keep(part, frames, info=info, maps=maps)


def _likest(tracker: Tracker, video: Source) -> Likest:
    """Sorts references by how much of a shot's middle frame they could colour."""
    looks = FrameLooks(tracker.embedder)
    known: dict[int, Tensor] = {}

    def likest(shot: Shot, references: Sequence[ColorReference]) -> list[ColorReference]:
        begin, end = shot.whole or (shot.first, shot.end)
        own = looks.of(read_frame(video, index=(begin + end) // 2).rgb)
        for number, reference in enumerate(references):
            if number not in known:
                known[number] = looks.of(read_reference(reference)[0])
        score = {n: float(likeness(own, look).mean()) for n, look in known.items()}
        return [references[n] for n in sorted(score, key=lambda n: -score[n])]

    return likest


def _warn_of_stale_images(folder: Path, written: Collection[str]) -> None:
    numbered = (path for path in folder.glob("*.png") if re.fullmatch(r"[0-9]{5,}", path.stem))
    stale = sorted(path.name for path in numbered if path.name not in written)
    if stale:
        remain, first = f"{len(stale)} pictures remain", f"{stale[0]} the first"
        if len(stale) == 1:
            remain, first = "1 picture remains", stale[0]
        text = f"{folder}: {remain} that this run did not write, {first}"
        warnings.warn(text, stacklevel=3)
