"""What every benchmark is: clips, a way to measure one, a way to sum them up; and how it is run.

A benchmark's file reads its published layout and returns a `Benchmark`; `evaluate` does the rest,
the same for all: clip after clip, each measured on its own, then the scores of all.
"""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, Protocol

from chromatrack.errors import InputError, OutputError

Report = dict[str, Any]
"""What JSON can hold. Of one clip: its scores and whatever `combine` needs."""

Progress = Callable[[str, int, int], None]
"""Called with (clip's name, frames done, frames in all clips)."""


class Clip(Protocol):
    """One sequence of a benchmark; can be pickled."""

    @property
    def name(self) -> str: ...

    @property
    def frame_count(self) -> int: ...


Measure = Callable[..., Report]
"""Measures one clip: `measure(clip, tracker=..., folder=..., tick=...)`, a function of a module (or
`functools.partial` of one). folder: where to leave predictions, or None. `tick()` after a frame."""


@dataclass(frozen=True)
class Benchmark:
    """A benchmark that was found on disk.

    settings: what of its protocol was chosen (year, split, ...), for the record. clips: in the
    order of the data set's list. combine: reports by clip -> {"scores": {column: number}, ...}.
    """

    name: str
    clips: tuple[Any, ...]
    measure: Measure
    combine: Callable[[Mapping[str, Report]], Report]
    settings: Mapping[str, Any] = field(default_factory=dict)


def evaluate(
    benchmark: Benchmark,
    *,
    tracker: Any,  # noqa: ANN401  (what a benchmark asks of it is in its file)
    output: str | PathLike[str] | None = None,
    model: str | None = None,
    progress: Progress | None = None,
) -> Report:
    """Measure every clip and sum up.

    Args:
        tracker: has the methods the benchmark calls, and perhaps a dataclass `.config` to report.
        output: folder for result.json and predictions; None writes nothing.
        model: name for the result; by default `tracker.model`, else the class of `tracker`.
        progress: called after every frame.

    Returns:
        {"benchmark", "settings", "model", "config", "scores", ..., "sequences": {clip: report},
        "frames", "seconds", "frames_per_second"}.

    Raises:
        InputError: no clips. OutputError: `output` cannot be written.
    """
    if not benchmark.clips:
        raise InputError(f"{benchmark.name}: expected at least one clip to measure, came none")
    folder = None if output is None else make_folder(Path(output))
    total = sum(clip.frame_count for clip in benchmark.clips)
    done, began = 0, time.perf_counter()
    reports: dict[str, Report] = {}
    for clip in benchmark.clips:

        def tick(name: str = clip.name) -> None:
            nonlocal done
            done += 1
            if progress is not None:
                progress(name, done, total)

        reports[clip.name] = benchmark.measure(clip, tracker=tracker, folder=folder, tick=tick)
    seconds = time.perf_counter() - began
    result = {
        "benchmark": benchmark.name,
        "settings": dict(benchmark.settings),
        "model": model or getattr(tracker, "model", type(tracker).__name__),
        "config": config_of(tracker),
        **benchmark.combine(reports),
        "sequences": reports,
        "frames": total,
        "seconds": seconds,
        "frames_per_second": total / seconds if seconds > 0 else 0.0,
    }
    if folder is not None:
        write_json(folder / "result.json", result)
    return result


def config_of(tracker: object) -> Report:
    """Every knob of a tracker, as its `.config` has them; empty for one without."""
    config = getattr(tracker, "config", None)
    return {} if config is None else dataclasses.asdict(config)


def make_folder(folder: Path) -> Path:
    """Make a folder for results.

    Raises:
        OutputError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder '{folder}': {error.strerror}") from error
    return folder


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write through a temporary file, so that a reader never sees half a result."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(json.dumps(content, indent=2, default=str) + "\n", "utf-8")
        temporary.replace(path)
    except OSError as error:
        raise OutputError(f"cannot write '{path}': {error.strerror}") from error
