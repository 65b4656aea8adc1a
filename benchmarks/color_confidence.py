"""Does the confidence of a pixel's colour say how likely it is right?

    python benchmarks/color_confidence.py ROOT --halves docs/dev-halves.csv
        [--frames 20] [--size 320] [--model small]

ROOT is a DAVIS folder or one of clips, coloured from their first frames at SIZE lines. The weights
of `tracking.color_reliability.chance_right` are fitted to the clips of the half `choosing`, and
what the package states now is judged on those of the half `reporting`: 3,000 pixels of every
frame. Prints Markdown.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np

from chromatrack.cli.options import ColorSettings, load_tracker
from chromatrack.evaluation.baselines.colorizers import ab_of, grey_of
from chromatrack.evaluation.datasets.color_clips import ColorClip, read_clips
from chromatrack.evaluation.metrics.calibration import (
    auc,
    expected_calibration_error,
    fit_logistic,
    reliability_bins,
)
from chromatrack.ops.coords import fit_size
from chromatrack.tracking.color_reliability import PIXEL_RIGHT, PIXEL_WEIGHTS
from chromatrack.tracking.tracker import Tracker
from chromatrack.video.reader import ImageSequenceWriter

PIXELS = 3000


def pixels_of(clip: ColorClip, tracker: Tracker, folder: Path) -> np.ndarray:
    """Chance stated, and distance in ab from the truth, of pixels of its later frames: `(N, 2)`."""
    frames = [frame.rgb for frame in clip.frames()]
    with ImageSequenceWriter(folder) as writer:
        for rgb in frames:
            writer.write(grey_of(rgb))
    generator, found = np.random.default_rng(0), []
    for frame in tracker.colorize(folder, references=[(frames[0], 0)]):
        if frame.index == 0:
            continue
        assert frame.ab is not None and frame.confidence is not None
        truth = ab_of(frames[frame.index]).numpy()
        assert frame.ab.shape == truth.shape, "SIZE is that of the clips"
        apart = np.hypot(*(frame.ab - truth)).ravel()
        at = generator.integers(0, apart.size, PIXELS)
        found.append(np.stack([frame.confidence.ravel()[at], apart[at]], axis=1))
    return np.concatenate(found)


def behind(chance: np.ndarray) -> np.ndarray:
    """What stood behind the colours, from the chance that `chance_right` made of it."""
    inside = np.clip(chance, 1e-6, 1 - 1e-6)
    return (np.log(inside / (1 - inside)) - PIXEL_WEIGHTS[0]) / PIXEL_WEIGHTS[1]


def report(rows: np.ndarray) -> str:
    """Bins of like chance: how many pixels, the share that is right, their mean distance."""
    chance, apart = rows.T
    right = apart <= PIXEL_RIGHT
    lines = ["| stated | pixels | right | mean distance in ab |", "|---|---:|---:|---:|"]
    for one in reliability_bins(chance, right, bins=10):
        inside = (chance >= one.low) & (chance <= one.high)
        share, away = f"{one.count / len(rows):.1%}", f"{apart[inside].mean():.1f}"
        lines.append(f"| {one.reliability:.2f} | {share} | {one.accuracy:.2f} | {away} |")
    error = expected_calibration_error(chance, right)
    lines.append(f"\nAUC {auc(chance, right):.3f}, calibration error {error:.3f}, ")
    lines.append(f"{right.mean():.1%} of {len(rows)} pixels right")
    return "\n".join(lines)


def main() -> None:
    import tempfile

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("root", type=Path)
    parser.add_argument("--halves", type=Path, required=True, help="CSV: sequence,half")
    parser.add_argument("--frames", type=int, default=20)
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--model", default="small")
    options = parser.parse_args()
    with options.halves.open() as file:
        halves = {row["sequence"]: row["half"] for row in csv.DictReader(file)}
    tracker = load_tracker(ColorSettings(model=options.model, size=options.size))
    clips = read_clips(options.root, clips=halves, frames=options.frames, short_side=options.size)
    rows: dict[str, list[np.ndarray]] = {"choosing": [], "reporting": []}
    for clip in clips:
        assert clip.size == fit_size(clip.size, short_side=options.size)
        with tempfile.TemporaryDirectory(prefix="chromatrack-") as folder:
            rows[halves[clip.name]].append(pixels_of(clip, tracker, Path(folder)))
    chance, apart = np.concatenate(rows["choosing"]).T
    fitted = fit_logistic(behind(chance)[:, None], apart <= PIXEL_RIGHT)
    print(f"fitted to the choosing half: {fitted.round(3).tolist()}, stated by {PIXEL_WEIGHTS}\n")
    print(report(np.concatenate(rows["reporting"])))


if __name__ == "__main__":
    main()
