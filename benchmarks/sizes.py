"""Speed of tracking and of colouring by the size of the clip: the table in the README.

    python benchmarks/sizes.py [--sizes 320x180 456x256 ...] [--frames 40] [--threads N] [--colour]

Renders the demo's scene at each size, encodes it, and measures from file to files, as the commands
do, with as many threads as they take unless --threads says otherwise: decode, embed, copy, full
resolution, write. The model is loaded before the clock starts, and a
first run of 3 frames is not counted. CPU seconds are of all threads, without what a run takes once
(references, fitting to the clip): they mean something on a busy machine, too. --colour leaves
tracking out. Run it on a machine that does nothing else: the load that it
finds is printed with the table.
"""

from __future__ import annotations

import argparse
import os
import sys
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


def rate(work: Callable[[Path, int], object], folder: Path, *, frames: int) -> tuple[float, float]:
    """Frames per second of `work(output, end)` on `frames` frames, and CPU seconds a frame."""
    work(folder / "warm", 3)
    used = time.process_time()
    work(folder / "few", 3)
    once = time.process_time() - used
    began, used = time.perf_counter(), time.process_time()
    work(folder / "run", frames)
    seconds, used = time.perf_counter() - began, time.process_time() - used
    return frames / seconds, (used - once) / (frames - 3)


def measure(
    model: str, *, size: tuple[int, int], frames: int, only_color: bool
) -> list[tuple[float, float]]:
    """`rate` of tracking two objects, if wanted, and of colouring from one reference."""
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

        works = [color] if only_color else [track, color]
        return [rate(work, folder, frames=frames) for work in works]


def peak_mib() -> str:
    """Peak of this process's resident memory so far, where the system says it (Linux, macOS)."""
    try:
        import resource
    except ImportError:
        return "unknown"
    unit = 1 if sys.platform == "darwin" else 1024
    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20:.0f}"


def main() -> None:
    from chromatrack.tracking.cores import prepare_process

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sizes", nargs="+", default=SIZES, metavar="WIDTHxHEIGHT")
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--model", default="small")
    parser.add_argument("--colour", action="store_true", help="leave tracking out")
    parser.add_argument("--threads", type=int, help="of torch")
    options = parser.parse_args()
    prepare_process()
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    print(f"{options.model}, torch's threads: {torch.get_num_threads()}, load before: {load}\n")
    names = ["colour"] if options.colour else ["track", "colour"]
    heads = "".join(f" {name}, frames/s | CPU s/frame |" for name in names)
    print(f"| clip |{heads} peak MiB |\n|{'---|' * (2 * len(names) + 2)}")
    for text in options.sizes:
        width, height = map(int, text.split("x"))
        found = measure(
            options.model, size=(height, width), frames=options.frames, only_color=options.colour
        )
        cells = "".join(f" {speed:.1f} | {used:.3f} |" for speed, used in found)
        print(f"| {text} |{cells} {peak_mib()} |", flush=True)


if __name__ == "__main__":
    main()
