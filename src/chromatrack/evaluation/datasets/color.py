"""Colours of whole clips: all later frames coloured from the first, compared with the truth.

Which clips: see `color_clips`. The reference is the first frame, the one in the middle, or the
first of the next clip (another scene); it is not scored. Of every other frame a method is shown the
luminance (`colorers.grey_of`) and nothing else. Scores are means over a clip's frames, then over
clips: PSNR (dB, float RGB), SSIM, CIEDE2000 (mean over pixels, and the 90th percentile of each
frame's pixels), LPIPS where its package is there, error near luminance edges, warp error and
flicker along the true frames' optical flow where OpenCV is there, CDC and colourfulness of the
prediction, with the truth's own beside them. CDC needs 6 frames or more. The error by the frames
since the reference is `color_distance`'s, that over seconds `color_horizon`'s.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import cached_property, partial
from os import PathLike
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from chromatrack.errors import InputError
from chromatrack.evaluation.baselines.colorizers import (
    Method,
    Picture,
    ReferenceFrom,
    chosen_methods,
    colored_from,
)
from chromatrack.evaluation.baselines.flow import Flow, dis_flow
from chromatrack.evaluation.datasets.color_clips import (
    TRUTH,
    ColorClip,
    Colored,
    greys,
    method_names,
    read_clips,
    save_sheet,
)
from chromatrack.evaluation.datasets.color_distance import combine_distances, means_by_band
from chromatrack.evaluation.metrics.color import (
    ColorConsistency,
    ab_error,
    bootstrap_interval,
    ciede2000,
    colorfulness,
    psnr_wrapped,
    ssim,
)
from chromatrack.evaluation.metrics.color_motion import (
    edge_error,
    flicker,
    near_edges,
    unoccluded,
    warp_error,
)
from chromatrack.evaluation.metrics.masks import psnr
from chromatrack.evaluation.metrics.perceptual import Distance, load_lpips
from chromatrack.evaluation.runner import Benchmark, ClipReport, Result
from chromatrack.ops.color import rgb_to_lab
from chromatrack.ops.resample import planes
from chromatrack.tracking.colorize import fit_picture
from chromatrack.video.reader import Frame

if TYPE_CHECKING:
    from rich.table import Table

COLUMNS = (
    "PSNR",
    "SSIM",
    "CIEDE2000",
    "CIEDE2000-p90",
    "LPIPS",
    "edge-error",
    "warp-error",
    "flicker",
    "CDC",
    "colorfulness",
    "PSNR-uint8",
)
"""Scores in the order of tables; LPIPS only where its package is there, warp error and flicker only
with OpenCV. The last is in result.json alone: `psnr_wrapped`, to compare with published numbers."""

MOTION = ("warp-error", "flicker")
"""Those along optical flow."""

SHOWN = 5
"""Frames of a clip on its contact sheet."""


# -- the benchmark --------------------------------------------------------------------------


def color_benchmark(
    root: str | PathLike[str],
    *,
    clips: Iterable[str] | None = None,
    methods: Sequence[str] | None = None,
    others: Mapping[str, Method] | None = None,
    frames: int | None = None,
    short_side: int = 480,
    reference: ReferenceFrom = "first",
) -> Benchmark:
    """The benchmark of the clips under `root`.

    Args:
        root, clips, frames, short_side: as in `read_clips`.
        methods: out of `colorers.MethodName`; None is all, without the flow if OpenCV is missing.
            `model` is the tracker given to `evaluate`, whose config says how it colours.
        others: more methods by name, such as `colorers.single_method` of a colorizer.
        reference: what is given in colour; of another scene is the first frame of the next clip by
            name, so it takes two clips or more.

    Raises:
        LayoutError, InputError, VideoError: see `read_clips`; or `colorers.check_names`.
    """
    names = method_names(methods)
    others = dict(others or {})
    found = read_clips(root, clips=clips, frames=frames, short_side=short_side)
    if reference not in get_args(ReferenceFrom):
        known = ", ".join(get_args(ReferenceFrom))
        raise InputError(f"reference: expected one of {known}, got {reference!r}")
    if reference == "other scene" and len(found) < 2:
        raise InputError("reference: another scene takes two clips or more, got one")
    notes, lpips, flow = [], True, True
    try:
        load_lpips()
    except InputError as error:
        notes, lpips = [f"left out: {error}"], False
    try:
        dis_flow()
    except InputError as error:
        notes, flow = [*notes, f"left out: warp error, flicker; {error}"], False
    scenes = dict(zip((clip.name for clip in found), (*found[1:], found[0]), strict=True))
    return Benchmark(
        "color",
        found,
        partial(
            measure_color,
            names=names,
            others=others,
            lpips=lpips,
            flow=flow,
            reference=reference,
            scenes=scenes if reference == "other scene" else {},
        ),
        combine_color,
        settings={
            "methods": [*names, *others],
            "frames": frames,
            "short_side": short_side,
            "reference": reference,
            "notes": notes,
        },
        reads=(Path(root),),
    )


# -- one clip ------------------------------------------------------------------------------


def measure_color(
    clip: ColorClip,
    *,
    tracker: Any,  # noqa: ANN401  (colours, if the model is among the methods)
    folder: Path | None,
    tick: Callable[[], None],
    names: Sequence[str],
    others: Mapping[str, Method],
    lpips: bool,
    flow: bool = False,
    reference: ReferenceFrom = "first",
    scenes: Mapping[str, ColorClip] | None = None,
) -> ClipReport:
    """Colour a clip by every method, all in step, and compare frame by frame.

    Memory does not grow with the clip: frames are streamed, scores summed up.

    Args:
        flow: whether to measure along optical flow. scenes: for a reference of another scene, the
            clip that it is taken from, by the clip's name.

    Returns:
        {"frames", "methods": {name: {column: score, "seconds"}}, "distances": {name: {frames
        since the reference: ab error}}, "truth": {"CDC", "colourfulness"}}; with a folder also
        sheets/<clip>.png.

    Raises:
        InputError: a method gives other frames than it was shown. VideoError: damaged frames.
    """
    methods = chosen_methods(names, tracker=tracker, others=others)
    distance = load_lpips() if lpips else None
    at = {"first": 0, "middle": clip.frame_count // 2}.get(reference)
    given = _reference(clip, at, scenes or {})
    totals = {name: _Totals() for name in methods}
    truth, pictures, motion = _Totals(), [], _Motion() if flow else None
    if at == 0:
        tick()
    known = [index for index in range(clip.frame_count) if index != at]
    shown = {known[i] for i in np.linspace(0, len(known) - 1, SHOWN).astype(int)}
    with ExitStack() as stack:
        streams = {
            name: iter(colored_from(method, given, at, greys(clip.frames(), but=at)))
            for name, method in methods.items()
        }
        for stream in streams.values():
            if isinstance(stream, Generator):  # else its temporary files would wait
                stack.enter_context(closing(stream))
        for frame in clip.frames():
            if frame.index == at:
                if at:
                    tick()
                continue
            followed = None if motion is None else motion.step(frame)
            scene = _Scene(frame.rgb, followed)
            truth.add(frame.rgb, scene, {})
            colored = {}
            for name, stream in streams.items():
                began = perf_counter()
                colored[name] = _next_picture(stream, frame, f"{clip.name}, method '{name}'")
                totals[name].seconds += perf_counter() - began
            _compare(colored, scene, totals, distance, None if at is None else frame.index - at)
            if folder is not None and frame.index in shown:
                pictures += [Colored(m, frame.index, rgb, frame.rgb) for m, rgb in colored.items()]
            tick()
    if folder is not None:
        columns = {f"frame {index}": index for index in sorted(shown)}
        save_sheet(
            folder / "sheets" / f"{clip.name}.png", pictures, title=clip.name, columns=columns
        )
    rows = {name: {**total.means(), "seconds": total.seconds} for name, total in totals.items()}
    lasting = {name: means_by_band(total.errors) for name, total in totals.items()}
    return {"frames": clip.frame_count, "methods": rows, "distances": lasting, TRUTH: truth.means()}


def _next_picture(stream: Iterator[Picture], frame: Frame, name: str) -> np.ndarray:
    index, rgb = next(stream, (None, np.empty(0)))
    if index != frame.index or rgb.shape != frame.rgb.shape or rgb.dtype != np.uint8:
        got = "nothing" if index is None else f"frame {index}, {rgb.shape} {rgb.dtype}"
        raise InputError(
            f"{name}: expected frame {frame.index}, {frame.rgb.shape} uint8, coloured; got {got}"
        )
    return rgb


def _reference(clip: ColorClip, at: int | None, scenes: Mapping[str, ColorClip]) -> np.ndarray:
    """The picture given in colour `(H, W, 3)` uint8, at the clip's size."""
    if at is not None:
        return next(frame.rgb for frame in clip.frames() if frame.index == at)
    return fit_picture(next(scenes[clip.name].frames()).rgb, clip.size)


@dataclass(frozen=True)
class Followed:
    """A frame's way back to the one before: flow `(H, W, 2)`, and where both are seen `(H, W)`."""

    flow: np.ndarray
    seen: np.ndarray


@dataclass
class _Motion:
    """Optical flow of the true frames, from each to the one before."""

    flow: Flow = field(default_factory=dis_flow)
    before: Frame | None = None

    def step(self, frame: Frame) -> Followed | None:
        last, self.before = self.before, frame
        if last is None or last.index + 1 != frame.index:
            return None
        flow, back = self.flow(frame.rgb, last.rgb), self.flow(last.rgb, frame.rgb)
        return Followed(flow, unoccluded(flow, back))


@dataclass(frozen=True)
class _Scene:
    """One true frame, and what is known of it: Lab `(3, H, W)`, its edges, its motion."""

    rgb: np.ndarray
    followed: Followed | None

    @cached_property
    def lab(self) -> np.ndarray:
        return _lab(self.rgb)

    @cached_property
    def near_edges(self) -> np.ndarray:
        return near_edges(self.lab[0])


def _compare(
    colored: Mapping[str, np.ndarray],
    scene: _Scene,
    totals: Mapping[str, _Totals],
    distance: Distance | None,
    since: int | None,
) -> None:
    """Add one frame's scores of every method; since: frames from the reference, if it is one."""
    for name, rgb in colored.items():
        lab = _lab(rgb)
        if since is not None:
            totals[name].errors.append((abs(since), ab_error(lab[1:], scene.lab[1:])))
        apart = ciede2000(lab, scene.lab)
        scores = {
            "PSNR": psnr(rgb, scene.rgb),
            "PSNR-uint8": psnr_wrapped(rgb, scene.rgb),
            "SSIM": ssim(rgb, scene.rgb),
            "CIEDE2000": float(apart.mean(dtype=np.float64)),
            "CIEDE2000-p90": float(np.percentile(apart, 90)),
            "edge-error": edge_error(lab[1:], scene.lab[1:], scene.near_edges),
        }
        if distance is not None:
            scores["LPIPS"] = distance(rgb, scene.rgb)
        totals[name].add(rgb, scene, scores)


def _lab(rgb: np.ndarray) -> np.ndarray:
    """`(3, H, W)` float32 Lab of `(H, W, 3)` uint8."""
    return rgb_to_lab(planes(rgb).float() / 255).numpy()


@dataclass
class _Totals:
    """Scores of one method over the frames so far; each is a mean over the frames that have it."""

    errors: list[tuple[int, float]] = field(default_factory=list)
    sums: dict[str, float] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    consistency: ColorConsistency = field(default_factory=ColorConsistency)
    before: np.ndarray | None = None

    def add(self, rgb: np.ndarray, scene: _Scene, scores: Mapping[str, float | None]) -> None:
        rows = {**scores, "colorfulness": colorfulness(rgb), **self._along(rgb, scene.followed)}
        for name, score in rows.items():
            if score is not None:
                self.sums[name] = self.sums.get(name, 0.0) + score
                self.counts[name] += 1
        self.consistency.add(rgb)
        self.before = rgb

    def _along(self, rgb: np.ndarray, followed: Followed | None) -> dict[str, float | None]:
        if followed is None or self.before is None:
            return {}
        here, before = (picture.astype(np.float32) / 255 for picture in (rgb, self.before))
        ab, ab_before = (_lab(picture)[1:].transpose(1, 2, 0) for picture in (rgb, self.before))
        return {
            "warp-error": warp_error(here, before, followed.flow, followed.seen),
            "flicker": flicker(ab, ab_before, followed.flow, followed.seen),
        }

    def means(self) -> dict[str, float | None]:
        means = {name: total / self.counts[name] for name, total in self.sums.items()}
        every = {**means, "CDC": self.consistency.value}
        return {name: every[name] for name in COLUMNS if name in every}


# -- all clips -----------------------------------------------------------------------------


def combine_color(reports: Mapping[str, ClipReport]) -> Result:
    """Means over clips: {"scores": of the first method, "methods": {name: {column: score}},
    "truth", "intervals": {name: {column: [low, high]}}, "distances": as `combine_distances`};
    each over the clips that have one.

    Intervals of 95 % come of drawing clips anew; there are none of a single clip.
    """
    names = next(iter(reports.values()))["methods"]
    of_method = {name: [r["methods"][name] for r in reports.values()] for name in names}
    methods = {name: _means(rows) for name, rows in of_method.items()}
    intervals = {name: _intervals(rows) for name, rows in of_method.items()} if reports else {}
    first = {n: s for n, s in next(iter(methods.values())).items() if n != "seconds"}
    truth = _means([report[TRUTH] for report in reports.values()])
    lasting = combine_distances([report["distances"] for report in reports.values()])
    found = {"scores": first, "methods": methods, TRUTH: truth, "intervals": intervals}
    return {**found, "distances": lasting}


def _means(rows: Sequence[Mapping[str, float | None]]) -> dict[str, float | None]:
    return {
        name: float(np.mean(values)) if values else None
        for name, values in _by_column(rows).items()
    }


def _by_column(rows: Sequence[Mapping[str, float | None]]) -> dict[str, list[float]]:
    names = [name for name in (*COLUMNS, "seconds") if any(name in row for row in rows)]
    return {name: [value for row in rows if (value := row.get(name)) is not None] for name in names}


def _intervals(rows: Sequence[Mapping[str, float | None]]) -> dict[str, tuple[float, float]]:
    return {
        name: bootstrap_interval(values)
        for name, values in _by_column(rows).items()
        if len(values) > 1 and np.isfinite(values).all()
    }


def color_table(result: Mapping[str, Any]) -> Table:
    """Terminal table of a result of `evaluate`: a row per clip and method, then the means, each
    with half its interval over clips."""
    from rich.table import Table

    columns = [name for name in COLUMNS[:-1] if name in result["scores"]]
    table = Table(title="color", caption=f"{result['model']}, {result['frames']} frames")
    for name in ("clip", "method"):
        table.add_column(name)
    for name in columns:
        table.add_column(name, justify="right")
    for clip, report in {**result["sequences"], "mean": result}.items():
        rows = {**report["methods"], TRUTH: report[TRUTH]}
        intervals = report.get("intervals", {})
        for number, (method, scores) in enumerate(rows.items()):
            spread = intervals.get(method, {})
            cells = [_cell(scores.get(name), name, spread.get(name)) for name in columns]
            table.add_row("" if number else clip, method, *cells, end_section=method == TRUTH)
    return table


def _cell(score: float | None, column: str, interval: Sequence[float] | None) -> str:
    if score is None:
        return ""
    decimals = {"SSIM": 3, "LPIPS": 3, "colorfulness": 1, "CDC": 5, "warp-error": 5}
    digits = decimals.get(column, 2)
    if not interval:
        return f"{score:.{digits}f}"
    return f"{score:.{digits}f}\n±{(interval[1] - interval[0]) / 2:.{digits}f}"
