"""What every benchmark is: clips, a way to measure one, a way to sum them up; and how it is run.

A benchmark's file reads its published layout and returns a `Benchmark`; `evaluate` does the rest,
the same for all: each clip measured on its own, one or several at a time, and its report written at
once, so that a run that stopped goes on; then the scores of all.

    OUTPUT/result.json    OUTPUT/clips/NAME.json (a clip's report, and what it was made with)

Both are prepared beside OUTPUT and put in place at the end (`staged`).
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from chromatrack import __version__
from chromatrack.atomic import replace_file
from chromatrack.errors import DamagedVideoError, InputError, StoppedError
from chromatrack.evaluation.cache import clip_path, code_digest, digest, read_kept
from chromatrack.evaluation.staged import StagedResults, staged_results
from chromatrack.evaluation.workers import (
    Work,
    measure_here,
    measure_in_processes,
    stopped_by_sigterm,
)
from chromatrack.json_text import json_text, tagged
from chromatrack.runs.progress import told

if TYPE_CHECKING:
    from chromatrack.tracking.inference import TrackedFrame

ClipReport = dict[str, Any]
"""Of one clip: its scores and whatever `combine` needs; what JSON can hold."""

Result = dict[str, Any]
"""Of a whole benchmark, as `evaluate` gives it; what JSON can hold."""

Progress = Callable[[str, int, int], None]
"""Called with (clip's name, frames done, frames in all clips)."""

Tick = Callable[[], None]
"""Called after every frame."""


class Clip(Protocol):
    """One sequence of a benchmark; can be pickled."""

    @property
    def name(self) -> str: ...

    @property
    def frame_count(self) -> int: ...


class AnyTracker(Protocol):
    """Anything that tracks: `track(video, ...)` gives frames in order.

    What else it is given, and what is read of its frames, is with each benchmark.
    """

    @property
    def track(self) -> Callable[..., Iterable[TrackedFrame]]: ...


class Indexed(Protocol):
    """A tracked frame that knows its number."""

    @property
    def index(self) -> int: ...  # 0-based frame number


AnyFrame = TypeVar("AnyFrame", bound=Indexed)
Found = TypeVar("Found")

Measure = Callable[..., ClipReport]
"""Measures one clip: `measure(clip, tracker=..., folder=..., tick=...)`, a function of a module (or
`functools.partial` of one). folder: where to leave predictions, or None. `tick()` after a frame.
Where measuring is more than tracking, its report may say the tracker's own "seconds"."""


@dataclass(frozen=True)
class Benchmark:
    """A benchmark that was found on disk.

    settings: what of its protocol was chosen (year, split, ...), for the record. clips: in the
    order of the data set's list. combine: reports by clip -> {"scores": {column: number}, ...}.
    reads: the folders and files it was found in.
    """

    name: str
    clips: tuple[Any, ...]
    measure: Measure
    combine: Callable[[Mapping[str, ClipReport]], Result]
    settings: Mapping[str, Any] = field(default_factory=dict)
    reads: tuple[Path, ...] = ()


def evaluate(
    benchmark: Benchmark,
    *,
    tracker: Any,  # noqa: ANN401  (what a benchmark asks of it is in its file)
    output: str | PathLike[str] | None = None,
    jobs: int = 1,
    resume: bool = False,
    model: str | None = None,
    protocol: str | None = None,
    progress: Progress | None = None,
) -> Result:
    """Measure every clip and sum up.

    Args:
        tracker: has the methods the benchmark calls, and perhaps a dataclass `.config` to report.
        output: folder for result.json, clips/ and predictions, new, of an earlier run, or without
            files of these names; None writes nothing.
        jobs: clips measured at a time, each in a process of its own, cores / jobs threads each. A
            script that asks for more than one needs `if __name__ == "__main__":`.
        resume: take the reports that an earlier run left in `output`, where the clip, the model,
            all settings and this package's code are the same; not to be had for a tracker whose
            functions read from elsewhere (see `identity`).
        model: name for the result; by default `tracker.model`, else the class of `tracker`.
        protocol: name of the preset that the tracker's settings are, for the record.
        progress: called after every frame, with several jobs every few frames.

    Returns:
        {"benchmark", "settings", "protocol", "model", "model_sha256": of its weights file, if any,
        "config", "scores", ..., "sequences": {clip: report}, "frames", "resumed": clips taken from
        an earlier run, "jobs", "seconds": summed over the clips measured now,
        "frames_per_second": of these, "wall_seconds", "chromatrack_version"}.

    Raises:
        InputError: no clips, two of one name, or jobs below 1; a tracker that cannot be sent to
            other processes; or `output` holds things of others. OutputError: `output` cannot be
            written, or another process is writing it. WorkerError: a process died.
        StoppedError, KeyboardInterrupt: SIGTERM, Ctrl-C; the finished clips are kept in `output`.
    """
    _check(benchmark, jobs)
    if output is None:
        return _evaluate(benchmark, tracker, None, jobs, resume, model, protocol, progress)
    with staged_results(Path(output), reads=_reads(benchmark), resume=resume) as staged:
        return _evaluate(benchmark, tracker, staged, jobs, resume, model, protocol, progress)


def _evaluate(
    benchmark: Benchmark,
    tracker: Any,  # noqa: ANN401
    staged: StagedResults | None,
    jobs: int,
    resume: bool,
    model: str | None,
    protocol: str | None,
    progress: Progress | None,
) -> Result:
    """`evaluate`, with the output to itself."""
    name = model or getattr(tracker, "model", type(tracker).__name__)
    head = {
        "benchmark": benchmark.name,
        "settings": dict(benchmark.settings),
        "protocol": protocol,
        "model": name,
        "model_sha256": _weights_sha256(name),
        "config": config_of(tracker),
    }
    made = {} if staged is None else _run_digests(benchmark, tracker=tracker, head=head)
    run = BenchmarkRun(benchmark, tracker=tracker, staged=staged, made_with=made, progress=progress)
    if resume:
        run.take_kept()
    resumed, began = list(run.reports), time.perf_counter()
    with stopped_by_sigterm():
        run.measure_rest(jobs)
    reports = {clip.name: run.reports[clip.name] for clip in benchmark.clips}
    result = {
        **head,
        **benchmark.combine(reports),
        "sequences": reports,
        "frames": run.total,
        "resumed": resumed,
        "jobs": jobs,
        "seconds": run.seconds,
        "frames_per_second": run.measured / run.seconds if run.seconds > 0 else 0.0,
        "wall_seconds": time.perf_counter() - began,
        "chromatrack_version": __version__,
    }
    if staged is not None:
        write_json(staged.folder / "result.json", result)
    return result


@dataclass
class BenchmarkRun:
    """Reports as they come, by clip; each written when it is there."""

    benchmark: Benchmark
    tracker: Any
    staged: StagedResults | None
    made_with: Mapping[str, str]
    progress: Progress | None
    reports: dict[str, ClipReport] = field(default_factory=dict)
    seconds: float = 0.0
    measured: int = 0
    done: int = 0

    def __post_init__(self) -> None:
        self.total = sum(clip.frame_count for clip in self.benchmark.clips)

    def take_kept(self) -> None:
        """Take what an earlier run finished; say so where it was made with something else."""
        if self.staged is None:
            return
        changed, names, taken = Counter(), set(), set()
        for clip in self.benchmark.clips:
            names.add(clip.name)
            newer, older = (read_kept(p, name=clip.name) for p in self.staged.reports(clip.name))
            made = self._made_with(clip)
            for kept in (older, newer):
                if kept is not None and kept["made_with"] == made and clip.name not in self.reports:
                    self.reports[clip.name] = kept["report"]
                    self.done += clip.frame_count
                    taken |= {clip.name} if kept is newer else set()
            if (kept := older or newer) is not None and clip.name not in self.reports:
                changed.update(part for part in made if made[part] != kept["made_with"].get(part))
        self.staged.drop_but(taken, names)
        if changed:
            warnings.warn(
                f"{self.staged.output}: clips of an earlier run are measured again, as they were "
                f"made with another {', '.join(changed)}",
                stacklevel=3,
            )

    def measure_rest(self, jobs: int) -> None:
        """Measure what is not there yet, the clips in several processes if asked to."""
        rest = [clip for clip in self.benchmark.clips if clip.name not in self.reports]
        folder = None if self.staged is None else self.staged.folder
        work = Work(self.benchmark.measure, rest, self.tracker, folder)
        if min(jobs, len(rest)) > 1:
            found = measure_in_processes(work, tick=self._tick, jobs=jobs)
        else:
            found = measure_here(work, tick=self._tick)
        try:
            with closing(found):
                for clip, report, seconds in found:
                    self._keep(clip, report, seconds)
        except StoppedError:
            raise StoppedError(self._stopped("stopped by SIGTERM")) from None
        except KeyboardInterrupt as interrupt:
            raise told(interrupt, self._stopped("").strip()) from None

    def _keep(self, clip: Clip, report: ClipReport, seconds: float) -> None:
        report = json.loads(json.dumps(report))  # the same whether measured now or read again
        seconds = report.get("seconds", seconds)
        self.reports[clip.name] = report
        self.seconds += seconds
        self.measured += clip.frame_count
        if self.staged is not None:
            kept = {
                "name": clip.name,
                "made_with": self._made_with(clip),
                "frames": clip.frame_count,
                "seconds": seconds,
                "report": report,
            }
            write_json(clip_path(self.staged.folder, clip.name), tagged(kept))

    def _made_with(self, clip: Clip) -> dict[str, str]:
        return {**self.made_with, "clip": digest(clip)}

    def _tick(self, name: str) -> None:
        self.done += 1
        if self.progress is not None:
            self.progress(name, self.done, self.total)

    def _stopped(self, how: str) -> str:
        text = f"{how} after {len(self.reports)} of {len(self.benchmark.clips)} clips"
        return text if self.staged is None else f"{text}, {self.staged.where_kept()}; run it again"


def _reads(benchmark: Benchmark) -> set[Path]:
    """What a benchmark reads: where it was found, and the files and folders of its clips."""
    found = set(benchmark.reads)
    for value in (value for clip in benchmark.clips for value in vars(clip).values()):
        if isinstance(value, Path):
            found.add(value)
        elif isinstance(value, tuple | list):
            found |= {path.parent for path in value if isinstance(path, Path)}
    return found


def _check(benchmark: Benchmark, jobs: int) -> None:
    if jobs < 1:
        raise InputError(f"jobs: expected 1 or more clips at a time, got {jobs}")
    if not benchmark.clips:
        raise InputError(f"{benchmark.name}: expected at least one clip to measure, got none")
    names = Counter(clip.name for clip in benchmark.clips)
    name, count = names.most_common(1)[0]
    if count > 1:
        raise InputError(f"{benchmark.name}: expected clips of different names, got {count} {name}")


# -- the clips of a data set, and the frames of a tracker ----------------------------------


def named(folders: Sequence[Path], base: Path) -> dict[str, Path]:
    """Folders at or below `base` by their own names; by their paths where two have one name."""
    counts = Counter(folder.name for folder in folders)
    return {
        folder.name
        if counts[folder.name] == 1
        else "-".join(folder.relative_to(base).parts): folder
        for folder in folders
    }


def chosen(
    found: Mapping[str, Found],
    names: Iterable[str] | None,
    *,
    what: str = "sequences to evaluate",
) -> dict[str, Found]:
    """The clips of these names, in their order; all that were found when None.

    what: words for them, for the message.

    Raises:
        InputError: a name that was not found, or no name.
    """
    if names is None:
        return dict(found)
    wanted = list(dict.fromkeys(names))
    unknown = [name for name in wanted if name not in found]
    if unknown or not wanted:
        some = ", ".join([*found][:12]) + (", ..." if len(found) > 12 else "")
        raise InputError(f"{what} must be among {some}; got {', '.join(unknown) or 'none'}")
    return {name: found[name] for name in wanted}


def in_order(
    tracked: Iterable[AnyFrame], *, name: str, start: int, end: int, tick: Tick | None = None
) -> Iterator[AnyFrame]:
    """The frames a tracker delivers; a stream that breaks off ends early, without an error.

    Args:
        tracked: frames `start` to `end` (exclusive), ascending; some may be missing.
        name: the clip, for the message.
        tick: called for every frame of the range, for those not delivered at the end.

    Raises:
        InputError: a frame outside that range, or one that is not after the one before.
    """
    frames, expected, left = iter(tracked), start, end - start
    while True:
        try:
            frame = next(frames, None)
        except DamagedVideoError:
            frame = None
        if frame is None:
            break
        if not expected <= frame.index < end:
            raise InputError(
                f"{name}: expected frames {expected} to {end - 1} in order from the tracker; "
                f"got frame {frame.index}"
            )
        yield frame
        expected, left = frame.index + 1, left - 1
        if tick is not None:
            tick()
    if tick is not None:
        for _ in range(left):
            tick()


def every_frame(tracked: Iterable[AnyFrame], *, name: str, end: int) -> Iterator[AnyFrame | None]:
    """One for each of `end` frames, None for those that a tracker does not deliver.

    Args, Raises: as `in_order`.
    """
    index = 0
    for frame in in_order(tracked, name=name, start=0, end=end):
        yield from [None] * (frame.index - index)
        yield frame
        index = frame.index + 1
    yield from [None] * (end - index)


# -- what a result says of a run ----------------------------------------------------------


def _run_digests(benchmark: Benchmark, *, tracker: object, head: Result) -> dict[str, str]:
    """Digests of what a report depends on besides its clip."""
    parts = {name: digest(head[name]) for name in ("benchmark", "settings", "protocol", "config")}
    return parts | {
        "measure": digest(benchmark.measure),
        "model": digest([head["model"], head["model_sha256"]]),
        "tracker": digest(tracker),
        "code": f"{__version__} {code_digest()}",
    }


def _weights_sha256(model: str) -> str | None:
    if "torch" not in sys.modules:  # what has weights has loaded it; it need not be for the others
        return None
    from chromatrack.runs.writer import model_sha256

    return model_sha256(model)


def config_of(tracker: object) -> dict[str, Any]:
    """Every knob of a tracker, as its `.config` has them; empty for one without."""
    config = getattr(tracker, "config", None)
    return {} if config is None else dataclasses.asdict(config)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON, null for what is not finite, whole or not at all; OutputError if it cannot be."""
    replace_file(path, json_text(content, indent=2) + "\n")
