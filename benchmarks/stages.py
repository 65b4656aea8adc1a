"""Where the time of tracking goes: every stage alone and all end to end, beside what is possible.

    python benchmarks/stages.py [--sizes 240p 480p 1080p] [--objects 1 5 20] [--points 0 200]
        [--frames 24 1000 10000] [--threads 2] [--json FILE]
    python benchmarks/stages.py --video CLIP --masks MASK.png [--points 200] [--frames 50]
    python benchmarks/stages.py --against COMMIT [--pairs 5] [--sizes 480p] [--objects 1]

Every combination of the choices is measured on a clip that is rendered for it (as many creatures as
objects, each going round; longer clips repeat a round of 48 frames without a seam), or on a video
and the mask of its first frame. Run it on a machine that does nothing else; the load that it finds
is printed. Without choices: 480p, 1 and 5 objects, no points, 24 frames. For each combination, all
in processes of their own:

1. **end to end**: `track_to_folder` as the command calls it, everything written, for each number of
   frames: frames/s, p50 and p95 of the time from one finished frame to the next, and the peak of
   resident memory. The model is loaded before; a run of 3 frames before it does not count.
2. **stages**: each alone, on what it is given on real frames once the memory is full. Those in
   parentheses are not on this run's way: the pointer for an object that fills the frame, recall
   with every object lost, the guided filter where a decoder makes the masks; or they are many
   stages in one: a whole step, from the encoder to reliability. `reliability` and `mask decoder`
   convert colours once more themselves. The peak is of the process while a stage runs (Linux).
   GFLOP: floating point operations of convolutions and matrix products, a multiply-add as two, as
   they are done; needed: of comparing the cells that labels can reach with all that their windows
   hold. An encoder in bytes is counted as one in floats, and may be below its floor.
3. **floor**: these operations (needed ones, where they are told) at the rate of a 1024 x 1024
   matrix product, measured in the same process before and after the stages; the better one counts.
4. **the plain full matrix** on the same features and references (left out where memory lacks).

`--against COMMIT` measures the end to end part alone, of that commit and of the tree that this file
is in, changes not committed included: run by run in turns, with medians, the ratio of each pair and
its spread, and whether both wrote the same masks and tables. The commit is checked out into a
temporary worktree, which is removed however this ends. It must have `runs.writer.track_to_folder`
and `tracking.marks.Marks.of`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from stage_children import Case
from stage_tables import (
    end_to_end_row,
    end_to_end_table,
    full_row,
    notes,
    pair_rows,
    pair_table,
    sameness,
    stage_line,
    stage_rows,
    stage_table,
)

ROOT = Path(__file__).resolve().parents[1]
LEAST_FRAMES = 9
"""Six fill the memory, one warms up, one is timed, one is counted."""


_STOPS = (signal.SIGINT, signal.SIGTERM)


class BenchmarkError(Exception):
    """Something that cannot be measured; one line says what."""


@dataclass(frozen=True)
class Clip:
    """What is tracked. title: how the tables call it."""

    title: str
    video: str
    mask: str | None
    points: list[tuple[float, float]]


# -- clips -----------------------------------------------------------------------------------


def rendered(options: argparse.Namespace, folder: Path) -> Iterator[Clip]:
    """A clip for each size and number of objects, with each number of points."""
    from stage_clips import Scene, frame_size, spread_points, write_clip

    for size, objects in product(options.sizes, options.objects):
        here = folder / f"{size}-{objects}"
        here.mkdir()
        scene = Scene(frame_size(size), max(1, objects), options.across)
        video, path, mask = write_clip(here, scene, frames=max(options.frames))
        for points in options.points:
            if objects or points:
                title = f"{size}, {counted(objects, points)}"
                marked = str(path) if objects else None
                yield Clip(title, str(video), marked, spread_points(mask, points))
        video.unlink()


def given(options: argparse.Namespace) -> Iterator[Clip]:
    """A video of the user's with the mask of its first frame."""
    from stage_clips import spread_points

    from chromatrack.errors import ChromatrackError
    from chromatrack.formats.masks import read_mask

    try:
        mask = read_mask(options.masks)
    except ChromatrackError as error:
        raise BenchmarkError(str(error)) from error
    objects = len(set(mask.ravel().tolist()) - {0})
    for points in options.points:
        title = f"{options.video.name}, {counted(objects, points)}"
        spread = spread_points(mask, points)
        yield Clip(title, str(options.video.absolute()), str(options.masks.absolute()), spread)


def counted(objects: int, points: int) -> str:
    """How many of each, in words."""
    numbers = {"object": objects, "point": points}
    return ", ".join(f"{n} {name}{'' if n == 1 else 's'}" for name, n in numbers.items())


# -- children --------------------------------------------------------------------------------


def measured(what: str, case: Case) -> dict[str, Any]:
    """What a process of its own finds, with the code of `case.source`.

    Raises:
        BenchmarkError: it failed; says how it ended.
    """
    child = Path(__file__).with_name("stage_children.py")
    environment = os.environ | {"PYTHONPATH": case.source}
    if case.threads is not None:
        environment |= {"OMP_NUM_THREADS": str(case.threads)}
    print(f"... {what}, {case.frames} frames, {case.source}", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(dir=case.folder) as folder:
        text = json.dumps(asdict(replace(case, folder=folder)))
        command = [sys.executable, str(child), what, text]
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise BenchmarkError(f"{what} with {case.source}: {lines[-1]}")
    return json.loads(done.stdout.splitlines()[-1])


def case_of(clip: Clip, options: argparse.Namespace, folder: Path, *, frames: int) -> Case:
    """The case of a clip, with the code of this tree."""
    return Case(
        video=clip.video,
        mask=clip.mask,
        points=clip.points,
        frames=frames,
        model=options.model,
        size=options.size,
        threads=options.threads,
        folder=str(folder),
        source=str(ROOT / "src"),
        stage_frames=options.stage_frames,
    )


# -- one tree --------------------------------------------------------------------------------


def measure_clip(clip: Clip, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """End to end for each number of frames, then the stages; printed as they come."""
    print(f"\n## {clip.title}\n", flush=True)
    found: dict[str, Any] = {"clip": clip.title}
    case = case_of(clip, options, folder, frames=min(options.frames))
    frame_ms = None
    if "end-to-end" in options.only:
        runs = [measured("end-to-end", replace(case, frames=n)) for n in options.frames]
        found["end_to_end"] = rows = [end_to_end_row(run) for run in runs]
        found |= {key: runs[0][key] for key in ("threads", "torch")}
        frame_ms = rows[0]["p50_ms"]
        print(end_to_end_table(rows), flush=True)
    if "stages" in options.only:
        found |= measure_stages(case, frame_ms, with_full="full-matrix" in options.only)
    return found


def measure_stages(case: Case, frame_ms: float | None, *, with_full: bool) -> dict[str, Any]:
    """The stages, and the plain full matrix as one more; frame_ms: of a frame end to end."""
    stages = measured("stages", case)
    rows, rates = stage_rows(stages), [rate / 1e9 for rate in stages["gemm"]]
    print(f"\n{stage_table(rows)}", flush=True)
    full = measured("full-matrix", case) if with_full else {}
    if "ms" in full:
        rows.append(full_row(full, rate=max(stages["gemm"])))
        print(stage_line(rows[-1]))
    print(f"\nmatrix product: {rates[0]:.1f} GFLOP/s before, {rates[1]:.1f} after")
    if "left_out" in full:
        print(f"plain full matrix left out: {full['left_out']}")
    print("\n".join(notes(rows, frame_ms=frame_ms)), flush=True)
    return {"stages": rows, "gflops": rates, "stages_peak_mib": stages["peak_mib"]}


# -- two commits -----------------------------------------------------------------------------


def git(*arguments: str) -> str:
    """What git says in this tree. Raises BenchmarkError with the last line of its complaint."""
    try:
        done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True)
    except OSError as error:
        raise BenchmarkError(f"--against: git cannot be run: {error}") from error
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise BenchmarkError(f"git {arguments[0]}: {lines[-1]}")
    return done.stdout.strip()


@contextmanager
def checked_out(commit: str, folder: Path) -> Iterator[Path]:
    """A commit in a worktree of its own, which is gone afterwards however that comes.

    Raises:
        BenchmarkError: no such commit, or it cannot be checked out.
    """
    try:
        name = git("rev-parse", "--verify", f"{commit}^{{commit}}")
    except BenchmarkError as error:
        raise BenchmarkError(f"--against {commit}: expected a commit of {ROOT}: {error}") from error
    tree = folder / "against"
    try:
        git("worktree", "add", "--detach", str(tree), name)
        yield tree
    finally:
        before = [signal.signal(kind, signal.SIG_IGN) for kind in _STOPS]  # a second one, too
        with suppress(BenchmarkError):  # it may not be there yet
            git("worktree", "remove", "--force", str(tree))
        shutil.rmtree(tree, ignore_errors=True)
        for kind, handler in zip(_STOPS, before, strict=True):
            signal.signal(kind, handler)


def measured_before(case: Case, commit: str) -> dict[str, Any]:
    """End to end with another commit's code. Raises BenchmarkError, with what it must have."""
    try:
        return measured("end-to-end", case)
    except BenchmarkError as error:
        raise BenchmarkError(
            f"--against {commit}: expected one that has runs.writer.track_to_folder and "
            f"tracking.marks.Marks.of, and reads this clip: {error}"
        ) from error


def compare_clip(
    clip: Clip, options: argparse.Namespace, folder: Path, tree: Path
) -> dict[str, Any]:
    """Both trees in turns, for each number of frames."""
    print(f"\n## {clip.title}", flush=True)
    pairs = []
    for frames in options.frames:
        after = case_of(clip, options, folder, frames=frames)
        before = replace(after, source=str(tree / "src"))
        runs: tuple[list, list] = [], []
        for _ in range(options.pairs):
            runs[0].append(measured_before(before, options.against))
            runs[1].append(measured("end-to-end", after))
        pairs.append(pair_rows(*runs))
        print(f"\n{pair_table(pairs[-1], name=options.against)}\n")
        print(f"{options.pairs} pairs; {sameness(pairs[-1])}", flush=True)
    return {"clip": clip.title, "pairs": pairs}


# -- all of it -------------------------------------------------------------------------------


def machine() -> dict[str, Any]:
    """What it runs on, and how busy that is."""
    model = platform.processor() or platform.machine()
    cpu = Path("/proc/cpuinfo")
    if cpu.exists():
        names = [x for x in cpu.read_text().splitlines() if x.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else model
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {"cpu": model, "cores": cores, "load_before": load, "python": platform.python_version()}


def run(options: argparse.Namespace, folder: Path) -> None:
    """Measure all that is asked for; the JSON file is whole after every clip."""
    found: dict[str, Any] = {"machine": machine(), "command": sys.argv[1:], "clips": []}
    where = found["machine"]
    busy = "unknown" if where["load_before"] is None else f"{where['load_before']:.1f}"
    threads = "as torch chooses" if options.threads is None else options.threads
    print(f"{where['cpu']}, {where['cores']} cores, threads {threads}, load before: {busy}")
    print(f"{options.model}, frames embedded at {options.size} lines")
    if options.json:
        write_json(options.json, found)  # or it is only known at the end that it cannot be
    clips = given(options) if options.video else rendered(options, folder)
    for clip in clips:
        if options.against:
            found["against"] = options.against
            clip_found = compare_clip(clip, options, folder, options.tree)
        else:
            clip_found = measure_clip(clip, options, folder)
        found["clips"].append(clip_found)
        if options.json:
            write_json(options.json, found)


def write_json(path: Path, found: dict[str, Any]) -> None:
    """Whole or not at all."""
    from chromatrack.atomic import replace_file
    from chromatrack.errors import ChromatrackError

    try:
        replace_file(path, json.dumps(found, indent=1) + "\n")
    except ChromatrackError as error:
        raise BenchmarkError(str(error)) from error


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options; argparse says what is wrong with them and exits with 2."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parts = ["end-to-end", "stages", "full-matrix"]
    parser.add_argument("--sizes", nargs="+", metavar="240p", help="240p 480p of rendered clips")
    parser.add_argument("--objects", nargs="+", type=int, metavar="N", help="1 5; 0: points only")
    parser.add_argument("--points", nargs="+", type=int, default=[0], metavar="N")
    parser.add_argument("--frames", nargs="+", type=int, default=[24], metavar="N")
    parser.add_argument("--across", type=float, help="length of objects in frame heights")
    parser.add_argument("--video", type=Path, help="instead of rendered clips")
    parser.add_argument("--masks", type=Path, help="mask of its first frame, a PNG")
    parser.add_argument("--model", default="small")
    parser.add_argument("--size", type=int, default=480, help="short side as embedded")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--stage-frames", type=int, default=16, metavar="N", help="at most")
    parser.add_argument("--only", nargs="+", choices=parts, default=parts)
    parser.add_argument("--against", metavar="COMMIT")
    parser.add_argument("--pairs", type=int, default=5, metavar="N")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args(arguments)
    _check(parser, options)
    options.sizes, options.objects = options.sizes or ["480p"], options.objects or [1, 5]
    return options


def _check(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    if (options.video is None) != (options.masks is None):
        parser.error("--video and --masks: expected both or none")
    if options.video and (options.sizes or options.objects or options.across):
        parser.error("--sizes, --objects and --across are of rendered clips: not with --video")
    if "full-matrix" in options.only and "stages" not in options.only:
        parser.error("--only full-matrix: goes with stages, got without")
    if options.against and "end-to-end" not in options.only:
        parser.error("--against measures end to end: expected --only with end-to-end, or none")
    for size in options.sizes or []:
        if not size.removesuffix("p").isdecimal() or int(size.removesuffix("p")) < 48:
            parser.error(f"--sizes: expected a height of 48 or more such as 480p, got {size}")
    if min(options.frames) < LEAST_FRAMES or options.stage_frames < 3:
        parser.error(f"expected --frames {LEAST_FRAMES} or more, and --stage-frames 3 or more")
    least = {"objects": 0, "points": 0}
    for name, value in least.items():
        if min(getattr(options, name) or [value]) < value:
            parser.error(f"--{name}: expected {value} or more")
    if options.pairs < 1 or (options.threads is not None and options.threads < 1):
        parser.error("expected --pairs and --threads 1 or more")
    if options.across is not None and not 0 < options.across <= 4:
        parser.error("--across: expected more than 0 and up to 4 frame heights")


def stop(number: int, frame: FrameType | None) -> NoReturn:
    """End as by Ctrl-C."""
    raise KeyboardInterrupt


def main() -> None:
    options = parsed()
    signal.signal(signal.SIGTERM, stop)
    try:
        with tempfile.TemporaryDirectory() as folder:
            if options.against:
                with checked_out(options.against, Path(folder)) as options.tree:
                    run(options, Path(folder))
            else:
                run(options, Path(folder))
    except BenchmarkError as error:
        print(f"stages: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        print("stages: interrupted", file=sys.stderr)
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
