"""Corrections of a saved run: new marks, and only the frames that they can change done again.

A label is copied from the marks next to a frame, one on either side. So a mark changes nothing
beyond its neighbouring keyframes, and only the span between those is tracked again: forward from
the left one and backward from the right one, as in a whole run.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from chromatrack.atomic import keep_apart
from chromatrack.errors import InputError
from chromatrack.formats.json_fields import JsonValue, load_json_object
from chromatrack.formats.mask_marks import masks_at
from chromatrack.formats.masks import check_mask, read_mask
from chromatrack.propagation.bidirectional import Direction
from chromatrack.propagation.reliability import ReviewRange
from chromatrack.runs.affected_spans import (
    FrameSpan,
    SpanRun,
    count_steps,
    find_spans,
    part_of_run,
)
from chromatrack.runs.correction_checks import (
    check_inside,
    check_new,
    check_removed,
    check_same,
    settings_of,
)
from chromatrack.runs.file_names import TABLES
from chromatrack.runs.going_on import KeptPass, known_already, spans_left, still_needed
from chromatrack.runs.marks_json import read_run_marks
from chromatrack.runs.other_objects import found_under, others_under, with_rivals
from chromatrack.runs.progress import Report, stop_on_interrupt, told
from chromatrack.runs.reader import Result, read_result
from chromatrack.runs.rewrite import Rewriting
from chromatrack.runs.saved_config import saved_config, saved_range
from chromatrack.runs.staging import Staging
from chromatrack.runs.things_table import Tally, ThingSummary
from chromatrack.runs.unfinished import Unfinished, held_back, left_to_do, read_unfinished
from chromatrack.structures import LabelName, Source
from chromatrack.tracking.config import Device
from chromatrack.tracking.inference import TrackedFrame, TrackerRun
from chromatrack.tracking.mark_checks import check_all, fit_skeleton
from chromatrack.tracking.marks import Marks
from chromatrack.tracking.tracker import Tracker
from chromatrack.video.reader import probe, read_frame


@dataclass(frozen=True)
class CorrectionPlan:
    """What a correction is about to do.

    frames: to be tracked again, of `of` frames in the run. steps: how often the network looks at
    one for it, forward and backward. seconds: about how long that and drawing the overlay takes, at
    the speed of the run itself; None where the run does not say. stages: what `progress` is told,
    in order, and how many frames each has.
    """

    frames: int
    of: int
    steps: int
    seconds: float | None
    stages: tuple[tuple[str, int], ...] = ()

    def __str__(self) -> str:
        about = "" if self.seconds is None else f"; about {self.seconds:.0f} s at the run's speed"
        return f"{self.frames} of {self.of} frames to do again, in {self.steps} steps{about}"


@dataclass(frozen=True)
class Correction:
    """What a correction did.

    frames_recomputed: frames of which something was tracked again. frames_tracked: how often the
    network looked at a frame for it: up to once forward and once backward. frames: of the run.
    look_at: frames of it on which tracking may have failed, the worst first. things: what became of
    those that were corrected, over the whole run. unfinished: what is left, where it was stopped or
    was to leave frames as they were.
    """

    output: Path
    spans: tuple[FrameSpan, ...]
    frames_recomputed: int
    frames_tracked: int
    frames: int
    seconds: float
    look_at: tuple[ReviewRange, ...] = ()
    things: tuple[ThingSummary, ...] = ()
    unfinished: tuple[Unfinished, ...] = ()


def correct(
    tracker: Tracker,
    folder: str | PathLike[str],
    new: Marks,
    *,
    video: str | PathLike[str] | None = None,
    progress: Report | None = None,
    announce: Callable[[CorrectionPlan], None] | None = None,
    keep_done: bool = False,
    removed: Collection[tuple[LabelName, int]] = (),
    start: int | None = None,
    end: int | None = None,
    on_frame: Callable[[TrackedFrame], None] | None = None,
) -> Correction:
    """Put new marks into a saved run and do again what they change, in its folder.

    A mark replaces one of the same thing on the same frame. Masks of other objects keep their
    pixels. Only what was found where a new mark is, more than a sliver of it, was wrong: it loses
    what the corrected object now claims and nobody painted. All files are prepared aside and put
    in place at the end: interrupted or killed before, the run is as it was.

    Args:
        tracker: as the run was made with; `tracker_of` gives it.
        folder: of the run, as `chromatrack track` wrote it.
        new: marks on frames of the run; ids may be new, the skeleton counts where the run has none.
        video: where it is now, if not where it was.
        progress: called after every frame.
        announce: called once all is checked, before the work begins.
        keep_done: where `progress` raises KeyboardInterrupt once a frame is done, put what is done
            in place, and say in result.json what is not ("unfinished"); correcting by the same
            marks again does that, and only that: what was done stays, and counts no more.
        removed: marks of the run, by label and frame, that are to count no more; each label must
            still be shown on another frame.
        start, end: only frames [start, end) are done again, and the marks are on them; all others
            stay as they are, until the same marks are given again and nothing else. None: of the
            whole run.
        on_frame: called with every frame that is tracked again, with what of it is.

    Raises:
        InputError: no such run, nothing marked, or marks as in `Tracker.track`.
        VideoError, DamagedVideoError: the video cannot be read; the run is as it was.
        OutputError: the folder cannot be written.
    """
    home = Path(folder)
    read_result(home)  # to refuse what is no run before anything is made there
    with stop_on_interrupt() as check_interrupt, Staging(home) as stage:

        def tell(what: str, count: int, total: int) -> None:
            if progress is not None:
                progress(what, count, total)
            check_interrupt()

        try:
            return _correct(
                *(tracker, stage, new, video, tell, announce, on_frame),
                keep_done=keep_done,
                removed=removed,
                part=(start, end),
            )
        except KeyboardInterrupt as interrupt:
            raise told(interrupt, f"; {home} is as it was") from None


def _correct(
    tracker: Tracker,
    stage: Staging,
    new: Marks,
    video: str | PathLike[str] | None,
    tell: Callable[[str, int, int], None],
    announce: Callable[[CorrectionPlan], None] | None,
    on_frame: Callable[[TrackedFrame], None] | None,
    *,
    keep_done: bool,
    removed: Collection[tuple[LabelName, int]],
    part: tuple[int | None, int | None],
) -> Correction:
    """`correct`, with the folder to itself."""
    began, home = time.perf_counter(), stage.target
    checked = _checked(home, new, video, removed, part=part, settings=settings_of(tracker))
    check_same(tracker, checked.data)
    if announce is not None:
        announce(checked.plan)
    source, start, merged = checked.source, checked.start, checked.merged
    run = TrackerRun(
        source, merged, start, read_frame(source, index=start), embedder=tracker.embedder
    )
    book = Rewriting(checked.result, checked.data, merged, stage, on_frame)
    looks, reached, is_stopped = list[int](), dict[FrameSpan, int](), False
    try:
        for span in checked.spans:
            _track_again(run, span, checked, book, tell, reached, looks)
    except KeyboardInterrupt:
        if not (keep_done and reached):
            raise
        is_stopped = True  # what is done is put in place, and nobody asked about it again
    book.unfinished = left_to_do(
        read_unfinished(checked.data), checked.spans, reached, checked.held
    )
    book.needed = still_needed(home, book.unfinished)
    for count, _ in enumerate(book.write(source), start=1):
        if not is_stopped:
            tell("draw", count, checked.plan.of)
    book.put_in_place({*_mask_frames(new), *(frame for _, frame in removed)})
    done = {f for span, last in reached.items() for f in range(span.start, last + 1)}
    seconds = time.perf_counter() - began
    return Correction(
        home,
        tuple(checked.spans),
        len(done),
        sum(looks),
        checked.plan.of,
        seconds,
        tuple(book.look_at),
        _corrected(checked.result, {*new.labels(), *(label for label, _ in removed)}),
        tuple(book.unfinished),
    )


def plan_correction(
    folder: str | PathLike[str],
    new: Marks,
    *,
    video: str | PathLike[str] | None = None,
    start: int | None = None,
    end: int | None = None,
) -> CorrectionPlan:
    """What `correct` with the same arguments would do; nothing is tracked or written.

    Raises:
        InputError, VideoError: as `correct`.
    """
    return _checked(Path(folder), new, video, part=(start, end)).plan


@dataclass(frozen=True)
class _Checked:
    """A correction that can be made: the run, its marks with the new ones, and what to do again."""

    result: Result
    data: dict[str, Any]
    source: Source
    merged: Marks
    start: int
    direction: Direction
    spans: list[FrameSpan]
    held: list[Unfinished]
    plan: CorrectionPlan
    kept: KeptPass


def _checked(
    home: Path,
    new: Marks,
    video: str | PathLike[str] | None,
    removed: Collection[tuple[LabelName, int]] = (),
    part: tuple[int | None, int | None] = (None, None),
    settings: Mapping[str, object] | None = None,
) -> _Checked:
    """Look at a run and at new marks for it, before anything is done.

    part: frames [start, end) that are done again, None: of the run. settings: by which that is
    done, where it is known.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # said already
        result = read_result(home)
    data = load_json_object(home / "result.json", what="a result of `chromatrack track`")
    for kind in result.untold:
        result.tracks(kind)  # says that they were left out by choice
    old = read_run_marks(home).without(removed)
    new = replace(new, masks={int(frame): check_mask(mask) for frame, mask in new.masks.items()})
    source, start, last = result.find_video(video), int(result.indices[0]), result.frames[-1].index
    keep_apart(source, home / "overlay.mp4")
    skeleton = fit_skeleton(old.skeleton or new.skeleton, [*old.keypoints, *new.keypoints])
    inside = part_of_run(*part, range(start, last + 1))
    check_new(new, removed, range(start, last + 1), result.size)
    merged = replace(old.merged_with(new), skeleton=skeleton)
    check_removed(removed, merged)
    replace(result, objects=tuple(merged.layout().regions)).needs_masks()
    info = probe(source)
    if (info.height, info.width) != result.size:
        raise InputError(
            f"{source}: expected {result.size[1]}x{result.size[0]} pixels as in the run, got "
            f"{info.width}x{info.height}; name the video that was tracked"
        )
    info = replace(info, frame_count=None)  # the run says which frames there are
    end, direction = saved_range(data, str(home / "result.json"))
    check_all(merged, info, start=start, end=end)
    unfinished = read_unfinished(data)
    same = known_already(old, new) if unfinished else set()
    stopped = {one.label for one in unfinished if any(label == one.label for label, _ in same)}
    changed = new.without([one for one in same if one[0] in stopped])
    check_inside(changed, removed, inside, of="part")
    spans = find_spans(merged, changed, first=start, last=last, removed=removed)
    under = found_under(changed, result)
    spans = [replace(span, over=others_under(span, under)) for span in spans]
    held = [part for span in spans for part in held_back(span, inside)]
    left = [one for one in unfinished if one.label in stopped]
    is_more = bool(changed.labels() or removed or any(not one.held for one in left))
    left = [one for one in left if not (one.held and is_more)]
    spans = [*spans_left(left, merged, spans, first=start), *spans]
    spans = [span for one in spans if len((span := one.within(inside)).frames)]
    if not spans and part != (None, None):
        raise InputError(
            f"start, end: nothing is to be done again on frames {inside[0]} to {inside[-1]}; "
            "name others, or none"
        )
    kept = KeptPass(
        home, source, info, merged, {"direction": direction, "start": start, **(settings or {})}
    )
    counts = count_steps(spans, merged, direction, kept=kept.of(spans))
    frames = {f for span in spans for f in span.frames}
    looks = sum(count.looks for count in counts)
    seconds = _about_seconds(data, old, looks, direction)
    stages = [stage for count in counts for stage in count.stages]
    plan = CorrectionPlan(
        len(frames), len(result.frames), looks, seconds, (*stages, ("draw", len(result.frames)))
    )
    return _Checked(result, data, source, merged, start, direction, spans, held, plan, kept)


def _mask_frames(new: Marks) -> set[int]:
    """Frames whose masks marks change."""
    return {*new.masks, *(mark.frame for mark in new.lost)}


def _corrected(result: Result, labels: Collection[LabelName]) -> tuple[ThingSummary, ...]:
    """What became of the things that labels are of, as their run has it, if in a table."""
    named = {("keypoints" if kind == "joint" else kind, number) for kind, number, _ in labels}
    if "tracks" not in result.outputs:
        return ()
    told = Tally.of_table(result.folder / TABLES["thing"]).summaries()
    return tuple(thing for thing in told if (thing.kind, thing.id) in named)


def _about_seconds(
    data: Mapping[str, Any], old: Marks, steps: int, direction: Direction
) -> float | None:
    """How long so many steps and the drawing take, if as long as in the run."""
    try:
        timings, first = data["timings"], int(data["frames"][0]["index"])
        frames = int(timings["frames"])
        last = max(old.frames(), default=first)
        backward = last - first + 1 if direction == "both" and last > first else 0
        forward = 0 if direction == "backward" else frames
        done = forward + (last - first + 1 if direction == "backward" else backward)
        return timings["track_seconds"] * steps / done + timings["write_seconds"]
    except (KeyError, TypeError, ValueError, IndexError, ZeroDivisionError):
        return None


def _track_again(
    run: TrackerRun,
    span: FrameSpan,
    checked: _Checked,
    book: Rewriting,
    tell: Callable[[str, int, int], None],
    reached: dict[FrameSpan, int],
    looks: list[int],
) -> None:
    """Track a span's labels again and enter them.

    reached: gets the last frame that is done. looks: gets how often a frame was labelled.
    """
    marks = with_rivals(run.marks.restricted_to(span.labels), run.marks, checked.result)
    some, kept = replace(run, marks=marks), checked.kept
    way = kept.read(span, some)
    (count,) = count_steps([span], some.marks, checked.direction, kept=[span] if way else [])
    total, before = count.told, count.known
    again = SpanRun(
        some,
        span,
        partial(tell, "backward"),
        lambda done: tell("correct", done, total),
        way,
    )
    try:
        for done, frame in enumerate(again.frames(checked.direction), start=before + 1):
            book.take(frame, span.labels, span.over)
            reached[span] = frame.index
            tell("correct", done, total)
    except KeyboardInterrupt:
        at = reached.get(span, span.last)
        if again.way is not None and again.at == at < span.last:
            kept.write(book.stage, span, at + 1, again.way, some)
        raise
    finally:
        looks.append(again.steps)


def tracker_of(folder: str | PathLike[str], *, device: Device = "auto") -> Tracker:
    """The tracker a saved run was made with: the same model and settings.

    Raises:
        InputError: no run there, or one of another version. WeightsError: its model is gone.
    """
    path = Path(folder) / "result.json"
    read_result(folder)
    data = load_json_object(path, what="a result of `chromatrack track`")
    config, model = saved_config(data, str(path)), JsonValue(data, str(path))["model"]["name"]
    return Tracker.from_pretrained(str(model.value), device=device, config=config)


def read_masks_at(names: Sequence[str]) -> dict[int, np.ndarray]:
    """Masks named `M.png@40`: frame -> `(H, W)` int32 ids.

    Raises:
        InputError: no frame number, one frame twice, or no mask there.
    """
    return {frame: read_mask(path) for frame, path in masks_at(names).items()}
