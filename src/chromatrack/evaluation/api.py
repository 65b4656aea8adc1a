"""Scoring from Python: any features, on a benchmark by its name, under a protocol by its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import signature
from os import PathLike
from typing import Any

from chromatrack.errors import InputError
from chromatrack.evaluation.datasets.badja import badja_benchmark
from chromatrack.evaluation.datasets.boxes import box_benchmark
from chromatrack.evaluation.datasets.color import color_benchmark
from chromatrack.evaluation.datasets.davis import davis_benchmark
from chromatrack.evaluation.datasets.jhmdb import jhmdb_benchmark
from chromatrack.evaluation.datasets.penn import penn_benchmark
from chromatrack.evaluation.datasets.tapvid import read_tapvid
from chromatrack.evaluation.datasets.vip import read_vip
from chromatrack.evaluation.features.registry import load_measured, name_of
from chromatrack.evaluation.protocols import ProtocolName, with_floor
from chromatrack.evaluation.protocols import protocol as preset
from chromatrack.evaluation.runner import Benchmark, Progress, Result
from chromatrack.evaluation.runner import evaluate as run
from chromatrack.model.encoder import Encoder
from chromatrack.tracking.config import Device, TrackConfig
from chromatrack.tracking.tracker import Tracker

BENCHMARKS: dict[str, Callable[..., Benchmark]] = {
    "davis": davis_benchmark,
    "vip": read_vip,
    "tapvid": read_tapvid,
    "jhmdb": jhmdb_benchmark,
    "penn": penn_benchmark,
    "badja": badja_benchmark,
    "boxes": box_benchmark,
    "color": color_benchmark,
}
"""By name: called with the root and the benchmark's own options."""


def evaluate(
    benchmark: str,
    root: str | PathLike[str],
    *,
    model: Encoder | str | PathLike[str] | Callable[..., Any] = "small",
    protocol: ProtocolName | TrackConfig = "ours",
    offset: float | None = None,
    device: Device = "auto",
    output: str | PathLike[str] | None = None,
    jobs: int = 1,
    progress: Progress | None = None,
    **options: Any,  # noqa: ANN401  (of the benchmark)
) -> Result:
    """Score features on a benchmark.

    Args:
        benchmark: its name: davis, vip, tapvid, jhmdb, penn, badja, boxes or colour.
        root: its folder, in the published layout.
        model: a network or function, image `(B, 3, H, W)` float32 sRGB in [0, 1] -> features
            `(B, C, h, w)`; an `Encoder`; or a name as on the command line (`small`,
            `resnet:FILE`, `vit:FOLDER`, `FILE.onnx`, `identity`, ...).
        protocol: whose way of copying labels, by name; or a configuration, such as
            `evaluation.protocols.protocol("crw", top_k=5)`.
        offset: of your own features, the pixel of cell 0; None: the middle of its stride.
        output: folder for result.json and predictions; None writes nothing.
        jobs: clips measured at a time, each in a process of its own.
        progress: called after every frame with (clip, frames done, frames in all).
        options: of the benchmark, e.g. `year=2017`, `split="val"`, `sequences=["bear"]`.

    Returns:
        {"scores": {column: number}, "sequences": ..., "config": every knob and the protocol's
        name, "model", ...}, what can be written as JSON.

    Raises:
        InputError: no such benchmark, protocol or model, or it gives no feature maps.
        LayoutError: the folder is not laid out as published.
    """
    if benchmark not in BENCHMARKS:
        raise InputError(f"benchmark: expected one of {', '.join(BENCHMARKS)}, got {benchmark!r}")
    _check_options(benchmark, options)
    if not isinstance(protocol, TrackConfig):
        protocol = preset(protocol, **with_floor(model, protocol, {}))
    tracker = load_measured(model, config=protocol, device=device, offset=offset)
    return run(
        BENCHMARKS[benchmark](root, **options),
        tracker=tracker,
        output=output,
        jobs=jobs,
        model=name_of(model),
        protocol=tracker.config.protocol if isinstance(tracker, Tracker) else None,
        progress=progress,
    )


def _check_options(benchmark: str, options: Mapping[str, object]) -> None:
    """InputError for an option that the benchmark does not have."""
    known = list(signature(BENCHMARKS[benchmark]).parameters)[1:]
    unknown = [name for name in options if name not in known]
    if unknown:
        raise InputError(f"{unknown[0]}: {benchmark} has the options {', '.join(known) or 'none'}")
