"""Colours of whole clips: all later frames coloured from the first, compared with the truth.

Which clips: see `color_clips`. The first frame is the reference and is not scored; of every later
one a method is shown the luminance (`colorers.grey_of`) and nothing
else. Scores are means over a clip's frames, then over clips: PSNR (dB, float RGB), SSIM, CIEDE2000
(mean over pixels, and the 90th percentile of each frame's pixels), LPIPS where its package is
there, CDC and colourfulness of the prediction, with the truth's own beside them. CDC needs 6
frames or more. The error over time is `horizon`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import partial
from os import PathLike
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from chromatrack.errors import InputError
from chromatrack.evaluation.baselines.colorizers import Method, Picture, chosen_methods
from chromatrack.evaluation.datasets.color_clips import (
    TRUTH,
    ColorClip,
    Colored,
    greys,
    method_names,
    read_clips,
    save_sheet,
)
from chromatrack.evaluation.metrics.color import ColorConsistency, ciede2000, colorfulness, ssim
from chromatrack.evaluation.metrics.masks import psnr
from chromatrack.evaluation.metrics.perceptual import Distance, load_lpips
from chromatrack.evaluation.runner import Benchmark, ClipReport, Result
from chromatrack.ops.color import rgb_to_lab
from chromatrack.ops.resample import planes
from chromatrack.video.reader import Frame

if TYPE_CHECKING:
    from rich.table import Table

COLUMNS = ("PSNR", "SSIM", "CIEDE2000", "CIEDE2000-p90", "LPIPS", "CDC", "colorfulness")
"""Scores in the order of tables; LPIPS only where its package is there."""

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
) -> Benchmark:
    """The benchmark of the clips under `root`.

    Args:
        root, clips, frames, short_side: as in `read_clips`.
        methods: out of `colorers.MethodName`; None is all, without the flow if OpenCV is missing.
            `model` is the tracker given to `evaluate`, whose config says how it colours.
        others: more methods by name, such as `colorers.single_method` of a colorizer.

    Raises:
        LayoutError, InputError, VideoError: see `read_clips`; or `colorers.check_names`.
    """
    names = method_names(methods)
    others = dict(others or {})
    found = read_clips(root, clips=clips, frames=frames, short_side=short_side)
    notes, lpips = [], True
    try:
        load_lpips()
    except InputError as error:
        notes, lpips = [f"left out: {error}"], False
    return Benchmark(
        "color",
        found,
        partial(measure_color, names=names, others=others, lpips=lpips),
        combine_color,
        settings={
            "methods": [*names, *others],
            "frames": frames,
            "short_side": short_side,
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
) -> ClipReport:
    """Colour a clip by every method, all in step, and compare frame by frame.

    Memory does not grow with the clip: frames are streamed, scores summed up.

    Returns:
        {"frames", "methods": {name: {column: score, "seconds"}}, "truth": {"CDC",
        "colourfulness"}}; with a folder also sheets/<clip>.png.

    Raises:
        InputError: a method gives other frames than it was shown. VideoError: damaged frames.
    """
    methods = chosen_methods(names, tracker=tracker, others=others)
    distance = load_lpips() if lpips else None
    frames = clip.frames()
    reference = next(frames).rgb
    tick()
    totals = {name: _Totals() for name in methods}
    truth, pictures = _Totals(), []
    shown = sorted(set(np.linspace(1, clip.frame_count - 1, SHOWN).astype(int).tolist()))
    with ExitStack() as stack:
        streams = {
            name: iter(method.colorer(reference, greys(clip.frames())))
            for name, method in methods.items()
        }
        for stream in streams.values():
            if isinstance(stream, Generator):  # else its temporary files would wait
                stack.enter_context(closing(stream))
        for frame in frames:
            truth.add(frame.rgb, {})
            colored = {}
            for name, stream in streams.items():
                began = perf_counter()
                colored[name] = _next_picture(stream, frame, f"{clip.name}, method '{name}'")
                totals[name].seconds += perf_counter() - began
            _compare(colored, frame.rgb, totals, distance)
            if folder is not None and frame.index in shown:
                pictures += [Colored(m, frame.index, rgb, frame.rgb) for m, rgb in colored.items()]
            tick()
    if folder is not None:
        columns = {f"frame {index}": index for index in shown}
        save_sheet(
            folder / "sheets" / f"{clip.name}.png", pictures, title=clip.name, columns=columns
        )
    rows = {name: {**total.means(), "seconds": total.seconds} for name, total in totals.items()}
    return {"frames": clip.frame_count, "methods": rows, TRUTH: truth.means()}


def _next_picture(stream: Iterator[Picture], frame: Frame, name: str) -> np.ndarray:
    index, rgb = next(stream, (None, np.empty(0)))
    if index != frame.index or rgb.shape != frame.rgb.shape or rgb.dtype != np.uint8:
        got = "nothing" if index is None else f"frame {index}, {rgb.shape} {rgb.dtype}"
        raise InputError(
            f"{name}: expected frame {frame.index}, {frame.rgb.shape} uint8, coloured; got {got}"
        )
    return rgb


def _compare(
    colored: Mapping[str, np.ndarray],
    truth: np.ndarray,
    totals: Mapping[str, _Totals],
    distance: Distance | None,
) -> None:
    """Add one frame's scores of every method."""
    true_lab = _lab(truth)
    for name, rgb in colored.items():
        apart = ciede2000(_lab(rgb), true_lab)
        scores = {
            "PSNR": psnr(rgb, truth),
            "SSIM": ssim(rgb, truth),
            "CIEDE2000": float(apart.mean(dtype=np.float64)),
            "CIEDE2000-p90": float(np.percentile(apart, 90)),
        }
        if distance is not None:
            scores["LPIPS"] = distance(rgb, truth)
        totals[name].add(rgb, scores)


def _lab(rgb: np.ndarray) -> np.ndarray:
    """`(3, H, W)` float32 Lab of `(H, W, 3)` uint8."""
    return rgb_to_lab(planes(rgb).float() / 255).numpy()


@dataclass
class _Totals:
    """Scores of one method over the frames so far."""

    sums: dict[str, float] = field(default_factory=dict)
    count: int = 0
    seconds: float = 0.0
    consistency: ColorConsistency = field(default_factory=ColorConsistency)

    def add(self, rgb: np.ndarray, scores: Mapping[str, float]) -> None:
        for name, score in {**scores, "colorfulness": colorfulness(rgb)}.items():
            self.sums[name] = self.sums.get(name, 0.0) + score
        self.count += 1
        self.consistency.add(rgb)

    def means(self) -> dict[str, float | None]:
        means = {name: total / self.count for name, total in self.sums.items()}
        every = {**means, "CDC": self.consistency.value}
        return {name: every[name] for name in COLUMNS if name in every}


# -- all clips -----------------------------------------------------------------------------


def combine_color(reports: Mapping[str, ClipReport]) -> Result:
    """Means over clips: {"scores": of the first method, "methods": {name: {column: score}},
    "truth"}; CDC over the clips that have one."""
    names = next(iter(reports.values()))["methods"]
    methods = {name: _means([r["methods"][name] for r in reports.values()]) for name in names}
    first = {n: s for n, s in next(iter(methods.values())).items() if n != "seconds"}
    truth = _means([report[TRUTH] for report in reports.values()])
    return {"scores": first, "methods": methods, TRUTH: truth}


def _means(rows: Sequence[Mapping[str, float | None]]) -> dict[str, float | None]:
    means: dict[str, float | None] = {}
    for name in rows[0]:
        values = [value for row in rows if (value := row[name]) is not None]
        means[name] = float(np.mean(values)) if values else None
    return means


def color_table(result: Mapping[str, Any]) -> Table:
    """Terminal table of a result of `evaluate`: a row per clip and method, then the means."""
    from rich.table import Table

    columns = [name for name in COLUMNS if name in result["scores"]]
    table = Table(title="color", caption=f"{result['model']}, {result['frames']} frames")
    for name in ("clip", "method"):
        table.add_column(name)
    for name in columns:
        table.add_column(name, justify="right")
    for clip, report in {**result["sequences"], "mean": result}.items():
        rows = {**report["methods"], TRUTH: report[TRUTH]}
        for number, (method, scores) in enumerate(rows.items()):
            cells = [_cell(scores.get(name), name) for name in columns]
            table.add_row("" if number else clip, method, *cells, end_section=method == TRUTH)
    return table


def _cell(score: float | None, column: str) -> str:
    decimals = {"PSNR": 2, "CIEDE2000": 2, "CIEDE2000-p90": 2, "colorfulness": 1, "CDC": 5}
    return "" if score is None else f"{score:.{decimals.get(column, 3)}f}"
