"""How wrong copied colours are, by the seconds since the frame they were copied from.

The colours of a clip's first frame are brought to later frames, of which nothing but the luminance
is shown, by any of the `colorers`, and compared as the 8-bit picture that a viewer would see.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import takewhile
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np

from chromatrack.errors import InputError
from chromatrack.evaluation.baselines.colorizers import (
    Method,
    ab_of,
    check_names,
    chosen_methods,
    grey_of,
    usual_names,
)
from chromatrack.evaluation.metrics.color import ab_error, share_within
from chromatrack.evaluation.metrics.masks import psnr
from chromatrack.evaluation.runner import Benchmark, Report
from chromatrack.ops.coords import fit_size
from chromatrack.video.images import image_files
from chromatrack.video.reader import Frame, probe, read_frames
from chromatrack.viz.overlays import write_sheet

HORIZONS = (0.2, 0.5, 1.0, 2.0, 3.0, 4.0)
"""Seconds since the reference at which colours are compared."""

OFF_BY = 0.05
"""Seconds by which a frame's time may differ from the horizon it stands for: half a step of the
slowest usual rate, 10 frames per second."""


@dataclass(frozen=True)
class HorizonClip:
    """A clip and the frames of it to compare.

    size: (height, width) at which it is compared. times: seconds of its frames since frame 0, up
    to the last one needed. targets: frame index for each horizon (seconds) that the clip reaches.
    """

    name: str
    video: str
    size: tuple[int, int]
    times: tuple[float, ...]
    targets: Mapping[float, int]

    @property
    def frame_count(self) -> int:
        """Frames up to the last one compared."""
        return len(self.times)

    def frames(self) -> Iterator[Frame]:
        """Frame 0 to the last target, at `size`."""
        return read_frames(self.video, end=len(self.times), size=self.size)


@dataclass(frozen=True)
class Colored:
    """One method's picture, and the true one, of one frame: both `(H, W, 3)` uint8."""

    method: str
    index: int
    rgb: np.ndarray
    truth: np.ndarray


@dataclass(frozen=True)
class HorizonScore:
    """How wrong one method's colours are at one horizon of one clip.

    seconds: the horizon. index, since_seconds: the frame compared and its time since frame 0.
    error: mean absolute ab error, Lab units. within: share of pixels whose ab is at most so far
    (Lab units) from the truth. psnr: decibel, over RGB.
    """

    clip: str
    method: str
    seconds: float
    index: int
    since_seconds: float
    error: float
    within: Mapping[float, float]
    psnr: float


# -- means over clips ----------------------------------------------------------------------


def mean_error(scores: Iterable[HorizonScore], *, method: str, seconds: float) -> float:
    """Mean `error` over clips of one method at one horizon.

    Raises:
        InputError: there is none.
    """
    errors = list(_by_clip(scores, method=method, seconds=seconds).values())
    if not errors:
        raise InputError(f"no clip was measured with {method!r} at {seconds} s")
    return float(np.mean(errors))


def clip_differences(
    scores: Sequence[HorizonScore], *, method: str, other: str, seconds: float
) -> dict[str, float]:
    """Error of `method` minus that of `other` per clip, at one horizon; below 0: `method` wins."""
    ours = _by_clip(scores, method=method, seconds=seconds)
    theirs = _by_clip(scores, method=other, seconds=seconds)
    return {clip: error - theirs[clip] for clip, error in ours.items() if clip in theirs}


def _by_clip(scores: Iterable[HorizonScore], *, method: str, seconds: float) -> dict[str, float]:
    return {s.clip: s.error for s in scores if s.method == method and s.seconds == seconds}


# -- the frames to compare -----------------------------------------------------------------


def nearest_frames(times: Sequence[float], seconds: Sequence[float]) -> dict[float, int]:
    """The frame nearest to each horizon, by its time since frame 0.

    A horizon from which every frame but frame 0 is more than `OFF_BY` away is left out.

    Args:
        times: seconds of the frames, rising. seconds: horizons, above 0.

    Raises:
        InputError: a horizon that is not above 0.
    """
    if wrong := [s for s in seconds if not s > 0]:
        raise InputError(f"horizons: expected seconds above 0, got {wrong[0]}")
    since = np.asarray(times, dtype=np.float64)[1:] - (times[0] if len(times) else 0)
    found: dict[float, int] = {}
    for horizon in sorted(set(seconds)) if since.size else ():
        away = np.abs(since - horizon)
        if away.min() <= OFF_BY + 1e-6:
            found[horizon] = int(away.argmin()) + 1
    return found


def open_clip(
    video: str | PathLike[str],
    *,
    seconds: Sequence[float] = HORIZONS,
    fps: float | None = None,
    short_side: int = 480,
) -> HorizonClip:
    """Find the frames of a clip to compare.

    Args:
        video: a video, or a folder of images.
        seconds: horizons; those that the clip does not reach are left out.
        fps: frames per second of a folder of images (None: as `read_frames` takes them, 24); a
            video has times of its own.
        short_side: pixels; a larger clip is compared at this size, a smaller one at its own.

    Raises:
        InputError: fps <= 0, or the clip reaches no horizon. VideoError: it cannot be read.
    """
    if fps is not None and not fps > 0:
        raise InputError(f"fps: expected frames per second above 0, got {fps}")
    info = probe(video)
    size = fit_size((info.height, info.width), short_side=short_side)
    last = max(seconds, default=0.0) + OFF_BY
    files = image_files(video)
    if files is not None:
        rate = fps or info.average_fps
        assert rate is not None, "folders of images have a rate"
        times = [index / rate for index in range(len(files))]
    else:
        times = _times(video, last)
    targets = nearest_frames(times, seconds)
    if not targets:
        raise InputError(
            f"{fspath(video)}: {len(times)} frames over {times[-1] - times[0]:.2f} s, none within "
            f"{OFF_BY} s of {', '.join(f'{s:g}' for s in seconds)} s after the first; expected a "
            "longer clip, of 10 frames per second or more"
        )
    used = times[: max(targets.values()) + 1]
    name = Path(video).stem if files is None else _folder_name(Path(video))
    return HorizonClip(name, fspath(video), size, tuple(t - times[0] for t in used), targets)


def _times(video: str | PathLike[str], last: float) -> list[float]:
    """Times of the frames up to `last` seconds after the first."""
    frames = read_frames(video, size=(16, 16))
    first = next(frames).pts_seconds
    shown = (frame.pts_seconds for frame in frames)
    return [first, *takewhile(lambda time: time - first <= last, shown)]


def _folder_name(folder: Path) -> str:
    """The name of a folder of frames; that of the sequence where it is called `img` or so."""
    folder = folder.resolve()
    return folder.parent.name if folder.name.lower() in ("img", "frames", "images") else folder.name


# -- one clip ------------------------------------------------------------------------------


def color_clip(clip: HorizonClip, *, methods: Mapping[str, Method]) -> Iterator[Colored]:
    """Every method's colours on every frame to compare.

    A method that does not need every frame is shown only the frames to compare. Memory: those, not
    the clip.
    """
    wanted = set(clip.targets.values())
    truth = {frame.index: frame.rgb for frame in clip.frames() if frame.index in wanted | {0}}
    reference = truth.pop(0)
    greys = {index: grey_of(rgb) for index, rgb in truth.items()}

    def every() -> Iterator[tuple[int, np.ndarray]]:
        for frame in clip.frames():
            if frame.index > 0:
                yield frame.index, grey_of(frame.rgb)

    for name, method in methods.items():
        shown = every() if method.every else iter(greys.items())
        for index, rgb in method.colorer(reference, shown):
            if index in wanted:
                yield Colored(name, index, rgb, truth[index])


def score_picture(clip: HorizonClip, colored: Colored) -> Iterator[HorizonScore]:
    """A score for each horizon that the picture's frame stands for."""
    ab, truth = ab_of(colored.rgb).numpy(), ab_of(colored.truth).numpy()
    error, within = ab_error(ab, truth), share_within(ab, truth)
    decibel, since = psnr(colored.rgb, colored.truth), clip.times[colored.index]
    name, method, index = clip.name, colored.method, colored.index
    for seconds, target in clip.targets.items():
        if target == index:
            yield HorizonScore(name, method, seconds, index, since, error, within, decibel)


def measure_horizons(clip: HorizonClip, *, methods: Mapping[str, Method]) -> Iterator[HorizonScore]:
    """Scores of every method at every horizon of a clip, as `color_clip` makes the pictures."""
    for colored in color_clip(clip, methods=methods):
        yield from score_picture(clip, colored)


def save_sheet(clip: HorizonClip, pictures: Sequence[Colored], path: Path) -> None:
    """A sheet of one clip: a row per method, the truth first, and a column per horizon."""
    shown = {("truth", p.index): p.truth for p in pictures}
    shown |= {(p.method, p.index): p.rgb for p in pictures}
    methods = dict.fromkeys(method for method, _ in shown)
    rows = {m: [shown[m, index] for index in clip.targets.values()] for m in methods}
    write_sheet(path, rows, columns=[f"{s:g} s" for s in clip.targets], title=clip.name)


# -- as a benchmark ------------------------------------------------------------------------


def horizon_benchmark(
    clips: Iterable[HorizonClip],
    *,
    methods: Sequence[str] | None = None,
    others: Mapping[str, Method] | None = None,
) -> Benchmark:
    """The comparison as a benchmark, whose clips can be measured in processes of their own.

    Args:
        clips: what `open_clip` gives.
        methods: out of `colorers.MethodName`; None is all, without the flow if OpenCV is missing.
            `model` is the tracker given to `evaluate`.
        others: more methods by name, such as `colorers.tracker_method` of a second tracker.

    Raises:
        InputError: an unknown method, one given twice, or flow without OpenCV.
    """
    names = usual_names() if methods is None else tuple(methods)
    check_names(names)
    others = dict(others or {})
    return Benchmark(
        "colour horizon",
        tuple(clips),
        partial(measure_horizon_clip, names=names, others=others),
        combine_horizons,
        settings={"methods": [*names, *others]},
    )


def measure_horizon_clip(
    clip: HorizonClip,
    *,
    tracker: Any,  # noqa: ANN401  (colours, if the model is among the methods)
    folder: Path | None,
    tick: Callable[[], None],
    names: Sequence[str],
    others: Mapping[str, Method],
) -> Report:
    """One clip's report: {"frames", "horizons": a dict of `HorizonScore` each}; with a folder also
    horizons/<clip>.png, all methods' pictures beside the truth."""
    methods = chosen_methods(names, tracker=tracker, others=others)
    scores: list[HorizonScore] = []
    pictures: list[Colored] = []
    made, ticked = len(methods) * len(set(clip.targets.values())), 0
    for count, colored in enumerate(color_clip(clip, methods=methods), start=1):
        scores += score_picture(clip, colored)
        pictures += [] if folder is None else [colored]
        for _ in range(clip.frame_count * count // made - ticked):
            tick()
            ticked += 1
    if folder is not None:
        save_sheet(clip, pictures, folder / "horizons" / f"{clip.name}.png")
    rows = [asdict(score) for score in scores]
    for row in rows:
        row["within"] = {f"{distance:g}": share for distance, share in row["within"].items()}
    return {"frames": clip.frame_count, "horizons": rows}


def combine_horizons(reports: Mapping[str, Report]) -> Report:
    """{"scores": {"ab error at 1 s": ...} of the first method, "horizons": [{"method", "seconds",
    "clips", "error", "psnr", "within"}]}: means over the clips that reach the horizon."""
    scores = read_scores(reports)
    rows = []
    for method, seconds in dict.fromkeys((s.method, s.seconds) for s in scores):
        there = [s for s in scores if (s.method, s.seconds) == (method, seconds)]
        within = {f"{d:g}": float(np.mean([s.within[d] for s in there])) for d in there[0].within}
        means = {n: float(np.mean([getattr(s, n) for s in there])) for n in ("error", "psnr")}
        about = {"method": method, "seconds": seconds, "clips": len(there)}
        rows.append({**about, **means, "within": within})
    first = [row for row in rows if row["method"] == rows[0]["method"]]
    headline = {f"ab error at {r['seconds']:g} s": r["error"] for r in first}
    return {"scores": headline, "horizons": rows}


def read_scores(reports: Mapping[str, Report]) -> list[HorizonScore]:
    """The scores in `result["sequences"]`, as measured or read back from result.json."""
    rows = [row for report in reports.values() for row in report["horizons"]]
    within = [{float(d): share for d, share in row["within"].items()} for row in rows]
    return [HorizonScore(**{**row, "within": near}) for row, near in zip(rows, within, strict=True)]
