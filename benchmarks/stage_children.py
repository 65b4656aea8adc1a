"""What the benchmark of stages measures, each in a process of its own: see `stages.py`.

    python benchmarks/stage_children.py end-to-end | stages | full-matrix CASE

CASE is JSON (`Case`); what was found is printed as one line of JSON. `end-to-end` uses nothing but
what every commit with `runs.writer.track_to_folder` has, so it runs with an older one's code too.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sys
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Case:
    """What is tracked, and how.

    mask: of the objects on the first frame; None: none. points: xy px there. size: short side of
    frames as embedded. folder: to write to. source: where the code lies that is to be run.
    """

    video: str
    mask: str | None
    points: list[tuple[float, float]]
    frames: int
    model: str
    size: int
    threads: int | None
    folder: str
    source: str
    stage_frames: int = 16


def loaded(case: Case) -> tuple[Any, Any]:
    """The tracker and the marks of a case.

    Raises:
        SystemExit: another chromatrack was imported than the one that is asked for.
    """
    import torch

    import chromatrack
    from chromatrack.structures import PointMark
    from chromatrack.tracking.config import TrackConfig
    from chromatrack.tracking.marks import Marks
    from chromatrack.tracking.tracker import Tracker

    if not Path(chromatrack.__file__).resolve().is_relative_to(Path(case.source).resolve()):
        raise SystemExit(f"expected the code in {case.source}, got {chromatrack.__file__}")
    if case.threads is not None:
        torch.set_num_threads(case.threads)
    tracker = Tracker.from_pretrained(case.model, device="cpu", config=TrackConfig(size=case.size))
    points = [PointMark(i, 0, x, y) for i, (x, y) in enumerate(case.points, start=1)]
    return tracker, Marks.of(masks=case.mask, points=points)


# -- end to end ------------------------------------------------------------------------------


def end_to_end(case: Case) -> dict[str, Any]:
    """Track to files as the command does, after a run of 3 frames that does not count.

    latency_ms: from one finished frame to the next.
    """
    import torch

    from chromatrack.runs.writer import track_to_folder

    tracker, marks = loaded(case)
    folder, ends = Path(case.folder), []

    def report(what: str, count: int, total: int | None) -> None:
        del count, total
        if what == "track":
            ends.append(time.perf_counter())

    track_to_folder(tracker, case.video, marks, output=folder / "warm", end=min(3, case.frames))
    began = time.perf_counter()
    track_to_folder(
        tracker, case.video, marks, output=folder / "run", end=case.frames, progress=report
    )
    seconds = time.perf_counter() - began
    if len(ends) < 2:
        raise SystemExit(f"{case.video}: expected 2 frames or more, got {len(ends)}")
    return {
        "frames": len(ends),
        "seconds": seconds,
        "latency_ms": [1000 * (b - a) for a, b in pairwise(ends)],
        "peak_mib": peak_mib(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "results": written(folder / "run"),
    }


def written(folder: Path) -> dict[str, str]:
    """A digest of every mask and table of a run, by name: what two commits must agree on."""
    files = [*folder.glob("masks/*.png"), *folder.glob("*.csv")]
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()[:16]
        for path in sorted(files)
    }


def peak_mib() -> float:
    """The most memory this process has had resident, MiB.

    Linux: of this program alone. Elsewhere what `resource` says, which may be its parent's.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    try:
        import resource
    except ImportError:  # Windows
        return float("nan")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (
        2**20 if sys.platform == "darwin" else 2**10
    )


def forget_peak() -> bool:
    """Count the peak from here on; False where the system does not do that."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
        return True
    return False


def stages(case: Case) -> dict[str, Any]:
    """See `stage_probes.stages`, which asks for the code of today."""
    from stage_probes import stages

    return stages(case)


def full_matrix(case: Case) -> dict[str, Any]:
    """See `stage_probes.full_matrix`."""
    from stage_probes import full_matrix

    return full_matrix(case)


MEASURES = {"end-to-end": end_to_end, "stages": stages, "full-matrix": full_matrix}


def main() -> None:
    from chromatrack.errors import ChromatrackError

    what, text = sys.argv[1:]
    try:
        print(json.dumps(MEASURES[what](Case(**json.loads(text)))))
    except ChromatrackError as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
