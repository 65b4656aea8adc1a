"""Speed of tracking and of colouring by the size of the clip: the table in the README.

    python benchmarks/sizes.py [--sizes 320x180 456x256 ...] [--frames 40] [--threads 2]

Renders the demo's scene at each size, encodes it, and measures from file to files, as the commands
do: decode, embed, copy, full resolution, write. The model is loaded before the clock starts, and a
first run of 3 frames is not counted. Run it on a machine that does nothing else: the load that it
finds is printed with the table.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

SIZES = ("320x180", "456x256", "640x360", "854x480", "1280x720", "1920x1080")


def render(folder: Path, *, size: tuple[int, int], frames: int) -> tuple[Path, Path, Path]:
    """The clip, the mask of its first frame and that frame as a picture."""
    from PIL import Image

    from chromatrack.evaluation.synthetic.render import render_demo_clip
    from chromatrack.formats.masks import write_mask
    from chromatrack.video.reader import open_writer

    clip, mask, reference = (folder / name for name in ("clip.mp4", "mask.png", "color.png"))
    with open_writer(clip, fps=25) as writer:
        for frame in render_demo_clip(frames=frames, size=size):
            writer.write(frame.rgb)
            if frame.index == 0:
                write_mask(mask, frame.mask)
                Image.fromarray(frame.rgb).save(reference)
    return clip, mask, reference


def rate(work: Callable[[Path, int], object], folder: Path, *, frames: int) -> float:
    """Frames per second of `work(output, end)` on `frames` frames, after a run of 3."""
    work(folder / "warm", 3)
    began = time.perf_counter()
    work(folder / "run", frames)
    return frames / (time.perf_counter() - began)


def measure(model: str, *, size: tuple[int, int], frames: int) -> tuple[float, float]:
    """Frames per second of tracking two objects, and of colouring from one reference."""
    from chromatrack.runs.colorized import colorize_to_file
    from chromatrack.runs.writer import track_to_folder
    from chromatrack.tracking.marks import Marks
    from chromatrack.tracking.tracker import Tracker

    tracker = Tracker.from_pretrained(model)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip, mask, reference = render(folder, size=size, frames=frames)

        def track(output: Path, end: int) -> None:
            track_to_folder(tracker, clip, Marks.of(masks=mask), output=output, end=end)

        def color(output: Path, end: int) -> None:
            colorize_to_file(
                tracker,
                clip,
                references=[f"{reference}@0"],
                output=output.with_suffix(".mp4"),
                end=str(end),
            )

        return rate(track, folder, frames=frames), rate(color, folder, frames=frames)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sizes", nargs="+", default=SIZES, metavar="WIDTHxHEIGHT")
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--model", default="small")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    print(f"{options.model}, {options.threads} threads, load before: {load}\n")
    print("| clip | track, frames/s | colour, frames/s |\n|---|---|---|")
    for text in options.sizes:
        width, height = map(int, text.split("x"))
        found = measure(options.model, size=(height, width), frames=options.frames)
        print(f"| {text} | {found[0]:.1f} | {found[1]:.1f} |", flush=True)


if __name__ == "__main__":
    main()
