"""What many things cost beside one, and small ones beside a large one: CPU milliseconds a frame.

    python benchmarks/many_things.py [--cases one 20 200p small 10p] [--size 480p] [--frames 15]
    python benchmarks/many_things.py --against FOLDER

Clips are rendered (`stage_clips.py`), tracking alone is measured, on one core, and the median
over the frames after the first seven is told: `one` object that is as large as fits, 20 objects,
200 points (`200p`), one point (`1p`), a `small` object of a tenth of the frame's height. CPU time
is that of the whole process, so other work on the machine counts little. `--against` tracks each
frame with the code in the `src` FOLDER of another checkout, too, in turns and in the same process.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from types import ModuleType
from typing import Any

import torch
from stage_clips import Scene, frame_size, spread_points, write_clip

SOURCE = Path(__file__).resolve().parents[1] / "src"
CASES = ("one", "20", "1p", "200p", "small", "10p")
_SETTLED = 7  # frames after which the memory is full and all is compiled
_SMALL = 0.1


@dataclass
class Tree:
    """The package in a folder, as if it alone were imported while `used`."""

    source: Path
    modules: dict[str, ModuleType] = field(default_factory=dict)

    @contextmanager
    def used(self) -> Iterator[None]:
        """Imports find this tree's modules."""
        outer = _taken_out()
        sys.modules.update(self.modules)
        sys.path.insert(0, str(self.source))
        try:
            yield
        finally:
            sys.path.remove(str(self.source))
            self.modules = _taken_out()
            sys.modules.update(outer)

    def follow(self, clip: Path, marks: dict[str, Any]) -> Iterator[Any]:
        """The tracked frames of a clip."""
        with self.used():
            from chromatrack.structures import PointMark
            from chromatrack.tracking.tracker import Tracker

            places = enumerate(marks.get("points", ()), start=1)
            points = [PointMark(number, 0, x, y) for number, (x, y) in places]
            tracker = Tracker.from_pretrained("small", device="cpu")
            return tracker.track(clip, masks=marks.get("masks"), points=points)

    def next_frame(self, frames: Iterator[Any]) -> tuple[float, Any]:
        """CPU milliseconds of the next frame, and the frame."""
        with self.used():
            began = time.process_time()
            frame = next(frames)
            return 1000 * (time.process_time() - began), frame


def _taken_out() -> dict[str, ModuleType]:
    names = [name for name in sys.modules if name.partition(".")[0] == "chromatrack"]
    return {name: sys.modules.pop(name) for name in names}


def written(case: str, size: str, frames: int, folder: Path) -> tuple[Path, dict[str, Any]]:
    """The clip of a case, and what is marked on its first frame."""
    objects = 1 if case in ("one", "small") or case.endswith("p") else int(case)
    scene = Scene(frame_size(size), objects, _SMALL if case == "small" else None)
    clip, mask, ids = write_clip(folder, scene, frames=frames)
    if case.endswith("p"):
        return clip, {"points": spread_points(ids, int(case.removesuffix("p")))}
    return clip, {"masks": mask}


def differing(before: Any, after: Any) -> float:
    """Share of a frame's pixels, or the largest step of a visible point in pixels, that differ."""
    steps = [
        max(abs(point.x - other.x), abs(point.y - other.y))
        for point, other in zip(before.points.values(), after.points.values(), strict=True)
        if point.visible
    ]
    return max(steps, default=float((before.mask != after.mask).mean()))


def measured(case: str, trees: list[Tree], options: argparse.Namespace) -> str:
    """A row of the table."""
    with tempfile.TemporaryDirectory() as name:
        clip, marks = written(case, options.size, options.frames, Path(name))
        ways, spent, apart = [tree.follow(clip, marks) for tree in trees], [], 0.0
        for _ in range(options.frames):
            seen = [tree.next_frame(way) for tree, way in zip(trees, ways, strict=True)]
            spent.append([ms for ms, _ in seen])
            apart = max(apart, differing(seen[0][1], seen[-1][1]))
    rows = spent[_SETTLED:]
    columns = [f"{median(column):.0f}" for column in zip(*rows, strict=True)]
    if len(trees) > 1:
        columns += [f"{median(row[-1] / row[0] for row in rows):.2f}", f"{apart:.4f}"]
    return f"| {case} | {' | '.join(columns)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cases", nargs="+", default=CASES, metavar="CASE")
    parser.add_argument("--size", default="480p")
    parser.add_argument("--frames", type=int, default=15)
    parser.add_argument("--against", type=Path, metavar="FOLDER", help="src of another checkout")
    options = parser.parse_args()
    if options.frames <= _SETTLED:
        parser.error(f"--frames: expected more than {_SETTLED}, got {options.frames}")
    if options.against is not None and not (options.against / "chromatrack").is_dir():
        parser.error(f"--against: expected a folder with chromatrack in it, got {options.against}")
    torch.set_num_threads(1)
    if hasattr(os, "sched_setaffinity"):  # on one core, no thread embeds the next frame meanwhile
        os.sched_setaffinity(0, [max(os.sched_getaffinity(0))])
    trees = [Tree(SOURCE)]
    if options.against is not None:
        trees.insert(0, Tree(options.against.resolve()))
    more = " before | now | ratio | most that differs |" if len(trees) > 1 else " CPU ms |"
    print(f"| {options.size} |{more}\n|---|{'---:|' * more.count('|')}")
    for case in options.cases:
        print(measured(case, trees, options), flush=True)


if __name__ == "__main__":
    main()
