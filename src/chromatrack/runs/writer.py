"""What tracking and colouring leave on disk, valid however they end: finished, Ctrl-C or damage."""

from __future__ import annotations

import shutil
import time
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import torch

from chromatrack import __version__
from chromatrack.errors import DamagedVideoError, OutputError, WeightsError
from chromatrack.formats.json_fields import plain_names
from chromatrack.formats.thing_colors import plain_colors
from chromatrack.model.weights import decoder_path, model_path
from chromatrack.propagation.bidirectional import Direction
from chromatrack.propagation.reliability import (
    KindReliability,
    ReviewRange,
    doubtful_things,
    look_at_rows,
    things_to_look_at,
)
from chromatrack.runs.digests import file_sha256
from chromatrack.runs.file_names import (
    OUTPUTS,
    RESULT,
    RESUME,
    Output,
    chosen_outputs,
    resume_files,
)
from chromatrack.runs.files import (
    OverlayStyle,
    TrackFiles,
    check_outputs,
    check_run_folder,
    stale_files,
)
from chromatrack.runs.marks_json import plain_marks, write_run_masks
from chromatrack.runs.progress import Report, stop_on_interrupt, told
from chromatrack.runs.result_file import KeptLines, frame_row, write_result
from chromatrack.runs.resume import CHOICE, Progress, ResumableRun, fingerprint, take_up
from chromatrack.runs.staging import Staging
from chromatrack.runs.things_table import Tally, ThingSummary, things_of
from chromatrack.structures import Source
from chromatrack.tracking.cores import after_frame, is_ahead_worth_it
from chromatrack.tracking.inference import TrackedFrame, follow
from chromatrack.tracking.mark_checks import checked_source, fit_skeleton
from chromatrack.tracking.marks import Marks
from chromatrack.tracking.tracker import Tracker
from chromatrack.video.ahead import Behind
from chromatrack.video.encoding import USUAL, Quality
from chromatrack.video.reader import VideoInfo
from chromatrack.viz.overlays import Panel

SCHEMA_VERSION = 2
"""Of result.json; raised when a key changes its meaning or goes."""


@dataclass(frozen=True)
class RunSummary:
    """What a finished run wrote: frames, wall-clock seconds and where to find it.

    look_at: frames on which tracking may have failed, the worst first. things: what became of
    everything tracked.
    """

    output: Path
    frames: int
    seconds: float
    look_at: tuple[ReviewRange, ...] = ()
    things: tuple[ThingSummary, ...] = ()

    @property
    def frames_per_second(self) -> float:
        """Frames per wall-clock second, reading and writing included."""
        return self.frames / self.seconds if self.seconds > 0 else 0.0


@dataclass
class _TrackRun:
    """The state of a run: what goes to the top of result.json, and a finished line per frame.

    stage: where its files are prepared. kept: what it needs to go on if it ends early.
    """

    stage: Staging
    first: int
    head: dict[str, Any]
    tally: Tally
    kept: Progress
    rows: KeptLines
    cuts: list[int] = field(default_factory=list)
    reliability: list[tuple[int, KindReliability]] = field(default_factory=list)
    track_seconds: float = 0.0
    write_seconds: float = 0.0
    started: float = field(default_factory=time.perf_counter)

    def add(self, frame: TrackedFrame) -> None:
        """Take in a frame that is on disk."""
        self.rows.append(frame_row(frame))
        if doubtful := doubtful_things(frame.reliability_by_kind):
            self.reliability.append((frame.index, doubtful))
        self.tally.add(frame)
        if frame.cut:
            self.cuts.append(frame.index)

    @property
    def written(self) -> range:
        """Numbers of the frames that are on disk."""
        return range(self.first, self.first + len(self.rows))


def track_to_folder(
    tracker: Tracker,
    video: Source,
    marks: Marks,
    *,
    output: Source,
    direction: Direction = "both",
    start: int = 0,
    end: int | None = None,
    show_reliability: bool = False,
    reliability_panel: Panel | None = None,
    joint_names: bool = False,
    resume: bool = False,
    quality: Quality = USUAL,
    outputs: Collection[Output] = OUTPUTS,
    progress: Report | None = None,
    on_frame: Callable[[TrackedFrame], None] | None = None,
) -> RunSummary:
    """Track everything marked through a video and write it into a folder.

    Writes `masks/00000.png` (numbered by frame, DAVIS palette), `tracks.csv` (points), `boxes.csv`
    and `keypoints.json`, each where there are such marks; `things.csv` (a row per frame and thing
    of any kind), `overlay.mp4` (the source's timing and sound), `result.json`, and `marks/` with
    the masks that were given. All is prepared in a hidden folder and put in place at the end, also
    if that comes early by a signal or damage: then an earlier run's files are replaced, and those
    that this one does not write removed (after a signal they stay). Things of others stay. A run
    that fails or is killed changes nothing.

    Args:
        tracker: the model and its configuration.
        video: file, folder or glob of images, or image; not in `output`, as far as it is written.
        marks: without a skeleton joints are numbered and not joined.
        output: folder, made if missing: empty, of an earlier run, or without files of our names.
        direction, start, end: as in `Tracker.track`.
        show_reliability: draw it into the overlay, a bar for everything tracked.
        reliability_panel: the same, and where; None: at the bottom left, if at all.
        joint_names: write the names of joints into the overlay.
        resume: go on with the run in `output` that was killed or stopped; it ends as if it had not
            been.
        quality: of the overlay.
        outputs: what is written of masks, tracks (all tables) and overlay; result.json and `marks/`
            always are.
        progress: called after every frame.
        on_frame: called before that with each frame that is on disk, maybe in another thread.

    Raises:
        InputError, VideoError: as in `Tracker.track`, before anything is written; or there is
            nothing to go on with, or it was made with something else; or an option is about an
            output that is left out.
        DamagedVideoError, KeyboardInterrupt: the frames until then are written, the overlay plays,
            and result.json says `"complete": false` and why. KeyboardInterrupt may be
            `Interrupted` by a signal; without any frame nothing is changed.
        OutputError: `output` cannot be written, or another process is writing it.
    """
    folder = Path(output)
    marks = replace(marks, skeleton=fit_skeleton(marks.skeleton, marks.keypoints))
    info = checked_source(video, marks, start=start, end=end, embedder=tracker.embedder)
    head = _head(tracker, info, marks)
    head["config"] |= {"start": start, "end": end, "direction": direction}
    head["marks"] = plain_marks(marks)
    if show_reliability and reliability_panel is None:
        reliability_panel = "bottom-left"
    style = OverlayStyle(reliability_panel, joint_names)
    head |= {"show_reliability": reliability_panel is not None, "overlay": asdict(style)}
    head |= {"quality": asdict(quality), "outputs": chosen_outputs(outputs)}
    made_with = fingerprint(video, info, marks, _settings(head))
    stage = Staging(folder)
    if resume:
        stage.adopt = lambda left: take_up([*left, folder], stage.path, made_with, output=folder)
    files = TrackFiles(
        stage.path,
        marks.layout(),
        video=video,
        fps=info.average_fps,
        skeleton=marks.skeleton,
        names=marks.names,
        colors=marks.colors,
        categories=marks.categories,
        outputs=head["outputs"],
        style=style,
        display=info.display,
        quality=quality,
    )
    check_outputs(files)
    check_run_folder(folder, files, reads=[video])
    with stage, ExitStack() as opened:
        tally = Tally(things_of(marks.layout()), marks.names)
        run = _TrackRun(
            stage,
            start,
            head,
            tally,
            Progress(stage.path / RESUME, made_with),  # makes the folder
            opened.enter_context(closing(KeptLines(stage.path))),
        )
        begin = run.kept.next_frame(start)
        before = run.kept.frames.read(stage.path / "masks", video, start, begin - start)
        frames = follow(
            tracker.embedder,
            video,
            marks,
            direction=direction,
            start=start,
            end=end,
            new_run=partial(ResumableRun, kept=run.kept),
            begin=begin,
        )
        write_run_masks(stage.path, marks.masks)
        _write_frames(
            run,
            files,
            chain(before, frames),
            frames_ahead(info.frame_count, start, end),
            progress,
            tracker.device,
            on_frame,
        )
    seconds = time.perf_counter() - run.started
    return RunSummary(
        folder,
        len(run.rows),
        seconds,
        tuple(things_to_look_at(run.reliability)),
        tuple(run.tally.summaries()),
    )


def _head(tracker: Tracker, info: VideoInfo, marks: Marks) -> dict[str, Any]:
    """The top of result.json, as far as it is known before the first frame."""
    return {
        "schema_version": SCHEMA_VERSION,
        "chromatrack_version": __version__,
        "command": "track",
        "model": {"name": tracker.model, "sha256": model_sha256(tracker.model)},
        "device": str(tracker.device),
        "config": asdict(tracker.config),
        "video": asdict(info),
        **marked_things(marks),
    }


def marked_things(marks: Marks) -> dict[str, Any]:
    """The part of result.json's head that says what is marked: frames, ids, names, colours, ..."""
    layout = marks.layout()
    return {
        "marked_frames": marks.frames(),
        "objects": list(layout.regions),
        "points": [number for kind, number, _ in layout.points if kind == "point"],
        "boxes": list(layout.boxes),
        "keypoints": sorted(layout.joints()),
        "names": plain_names(marks.names),
        "colors": plain_colors(marks.colors),
        "categories": plain_names(marks.categories),
    }


def _write_frames(
    run: _TrackRun,
    files: TrackFiles,
    frames: Iterator[TrackedFrame],
    total: int | None,
    progress: Report | None,
    device: torch.device,
    on_frame: Callable[[TrackedFrame], None] | None,
) -> None:
    """Write frames as they come, and put them in place however they end."""
    known = len(run.kept.frames)
    with stop_on_interrupt() as check_interrupt, closing(run.kept):
        run.kept.tell = _telling(progress, check_interrupt)

        def written(frame: TrackedFrame) -> None:
            run.add(frame)
            if len(run.rows) > known:
                run.kept.frames.put(frame, with_mask=files.needs_other_masks)
            if on_frame is not None:
                on_frame(frame)

        behind = Behind(files.write, written, is_threaded=is_ahead_worth_it(device))
        try:
            with files, behind:
                run.kept.settle = behind.settle
                _give_all(run, frames, behind, total)
        except KeyboardInterrupt as interrupt:
            _put_in_place(run, files, reason=str(interrupt) or "interrupted", is_stopped=True)
            raise told(interrupt, left_behind(len(run.rows), run.stage.target)) from None
        except DamagedVideoError as error:
            _put_in_place(run, files, reason=str(error))
            raise
        except OutputError as error:
            run.stage.keep = bool(run.rows)
            kept = f"; {len(run.rows)} frames are kept to go on with (--resume)"
            raise OutputError(f"{error}{kept if run.rows else ''}") from error
        _put_in_place(run, files, reason=None)


def _give_all(
    run: _TrackRun, frames: Iterator[TrackedFrame], behind: Behind[TrackedFrame], total: int | None
) -> None:
    """Give all frames to what writes them, and tell of each that is on disk."""
    began, told = time.perf_counter(), 0
    for frame in chain(frames, [None]):
        tracked = time.perf_counter()
        run.track_seconds += tracked - began
        if frame is None:
            behind.settle()
        else:
            behind.give(frame)
        began = time.perf_counter()
        run.write_seconds += began - tracked
        while told < len(run.rows):
            after_frame(told)
            told += 1
            run.kept.tell("track", told, total)


def _telling(progress: Report | None, check_interrupt: Callable[[], None]) -> Report:
    """Tell how far it is, then let a signal end it."""

    def tell(what: str, count: int, total: int | None) -> None:
        if progress is not None:
            progress(what, count, total)
        check_interrupt()

    return tell


def _settings(head: Mapping[str, Any]) -> dict[str, object]:
    """What of a run's head its results depend on, besides video and marks."""
    names = ("model", "device", "config", "overlay", "quality")
    found: dict[str, object] = {name: head[name] for name in names} | {CHOICE: head["outputs"]}
    decoder = decoder_path(head["config"]["decoder"], head["model"]["name"])
    return found if decoder is None else found | {"decoder": file_sha256(decoder)}


def _put_in_place(
    run: _TrackRun, files: TrackFiles, *, reason: str | None, is_stopped: bool = False
) -> None:
    """Put a run's files into its folder, as far as it has come; nothing if it has no frame.

    is_stopped: it may go on later, so what that needs comes along; and what an earlier run wrote
    and this one does not stays: that may be much.
    """
    if not run.rows and reason is not None:
        return
    _write_result(run, reason=reason)
    folder, marked = run.stage.target, run.head["marks"]["masks"]
    stale = stale_files(folder, files, written=run.written, marked=marked)
    emptied = [folder / name for name in ("masks", "marks")]
    if not is_stopped:
        shutil.rmtree(run.kept.folder)
    run.stage.put_in_place(
        last=run.stage.path / RESULT,
        removed=[*resume_files(folder), *([] if is_stopped else [*stale, *emptied])],
    )
    if is_stopped and stale:
        warnings.warn(
            f"{folder}: {len(stale)} files of an earlier run remain, "
            f"{stale[0].relative_to(folder)} the first; result.json says what this one wrote",
            stacklevel=4,
        )


def model_sha256(model: str) -> str | None:
    """SHA-256 of a model's weights file; None for a model that was not read from one."""
    try:
        return file_sha256(model_path(model))
    except WeightsError:
        return None


# -- parts ---------------------------------------------------------------------------------


def frames_ahead(count: int | None, first: int, last: int | None) -> int | None:
    """How many frames a range holds, as far as the source declares it."""
    if count is None and last is None:
        return None
    ends = [number for number in (count, last) if number is not None]
    return max(0, min(ends) - first)


def _write_result(run: _TrackRun, *, reason: str | None) -> None:
    """Write result.json as far as the run has come."""
    seconds, frames = time.perf_counter() - run.started, len(run.rows)
    head = {
        **run.head,
        "cuts": run.cuts,
        "look_at": look_at_rows(run.reliability),
        "complete": reason is None,
        "reason": reason,
        "timings": {
            "frames": frames,
            "seconds": seconds,
            "frames_per_second": frames / seconds,
            "track_seconds": run.track_seconds,
            "write_seconds": run.write_seconds,
        },
    }
    write_result(run.stage.path, head, run.rows)


def left_behind(count: int, output: Path) -> str:
    """What an interrupted command says it leaves behind, after "interrupted"."""
    if count == 0:
        return f"before the first frame was written; {output} is as it was"
    frames = "1 frame, which is" if count == 1 else f"{count} frames, which are"
    return f"after {frames} in {output}"
