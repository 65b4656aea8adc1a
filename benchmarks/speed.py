"""End-to-end tracking speed, beside the plain full-matrix pointer on the same frames.

    python benchmarks/speed.py FRAMES MASK.png [--frames 50] [--model small] [--threads 2]

FRAMES is a video or a folder of images. Three measurements, all in this run:

1. `track` as the command does it: decode, embed, point, copy, upsample, draw, write masks, overlay;
2. the share of each stage (measured apart, on the same frames);
3. the pointer alone, tiled against the full matrix: milliseconds and their ratio.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import torch


def median_ms(work: Callable[[], object], *, runs: int) -> float:
    """Median wall time of `runs` calls after one warm-up, milliseconds."""
    work()
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        work()
        times.append(1000 * (time.perf_counter() - started))
    return statistics.median(times)


def end_to_end(video: Path, mask: Path, model: str, frames: int) -> float:
    """Frames per second of tracking to files."""
    from chromatrack.runs.writer import track_to_folder
    from chromatrack.tracking.marks import Marks
    from chromatrack.tracking.tracker import Tracker

    tracker = Tracker.from_pretrained(model)
    with tempfile.TemporaryDirectory() as output:
        track_to_folder(tracker, video, Marks.of(masks=mask), output=Path(output) / "warm", end=3)
        started = time.perf_counter()
        track_to_folder(
            tracker, video, Marks.of(masks=mask), output=Path(output) / "run", end=frames
        )
        return frames / (time.perf_counter() - started)


def stages(video: Path, mask: Path, model: str) -> None:
    """Print the time of each stage of one frame with a full memory."""
    from chromatrack.formats.masks import read_mask
    from chromatrack.ops.affinity import full_affinity, tiled_affinity
    from chromatrack.ops.color import rgb_to_lab
    from chromatrack.ops.resample import upsample_guided
    from chromatrack.propagation.label_maps import label_map_to_mask, masks_to_label_map
    from chromatrack.tracking.tracker import Tracker
    from chromatrack.video.reader import read_frames
    from chromatrack.viz.overlays import overlay_masks

    tracker = Tracker.from_pretrained(model)
    config = tracker.config.propagate
    count = 1 + config.recent
    frames = [frame.rgb for frame in islice(read_frames(video), count + 1)]
    images = [tracker.embedder.image(rgb) for rgb in frames]
    painted = read_mask(mask)
    size = (images[0].shape[-2], images[0].shape[-1])
    with torch.inference_mode():
        encoder = tracker.embedder.for_clip(rgb_to_lab(images[0]))
        maps = [encoder(image[None])[0] for image in images]
        references, target = torch.stack(maps[:count]), maps[count]
        knobs = {"top_k": config.top_k, "temperature": config.temperature}
        radius = [config.radius] + [config.recent_radius] * config.recent
        label_map = masks_to_label_map(painted, ids=[1], size=size, spec=tracker.spec)
        tiled = median_ms(
            lambda: tiled_affinity(target, references, radius=radius, **knobs), runs=7
        )
        full = median_ms(lambda: full_affinity(target, references, radius=radius, **knobs), runs=2)
        up = upsample_guided(label_map, images[0], spec=tracker.spec, background=True)
        rest: dict[str, Callable[[], object]] = {
            "embed": lambda: encoder(images[0][None]),
            "full resolution": lambda: upsample_guided(
                label_map, images[0], spec=tracker.spec, background=True
            ),
            "argmax": lambda: label_map_to_mask(up, ids=[1]),
            "overlay": lambda: overlay_masks(frames[0], painted),
        }
        for name, work in rest.items():
            print(f"  {name:16s} {median_ms(work, runs=7):8.1f} ms")
    print(f"  pointer, tiled   {tiled:8.1f} ms (all tiles; tracking skips those out of reach)")
    print(f"  pointer, full    {full:8.1f} ms, {full / tiled:.1f} times the tiled one")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("video", type=Path)
    parser.add_argument("mask", type=Path)
    parser.add_argument("--frames", type=int, default=50)
    parser.add_argument("--model", default="small")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(
        f"{platform.processor() or platform.machine()}, {options.threads} threads, "
        f"torch {torch.__version__}"
    )
    rate = end_to_end(options.video, options.mask, options.model, options.frames)
    print(f"track, end to end: {rate:.2f} frames/s over {options.frames} frames")
    stages(options.video, options.mask, options.model)


if __name__ == "__main__":
    main()
