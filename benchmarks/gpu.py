"""The first day with a GPU: is tracking on it right, how fast is it, and what makes it wait?

    python benchmarks/gpu.py [--device cuda] [--frames 60] [--sizes 480x854] [--objects 1 3]

Rendered discs over a ground (as in the tests). For each size and number of objects: frames a second
and peak memory on the device, how many pixels of the masks differ from those of the CPU, and the
same in float32 where `model.placement` asks for less. Then where the time goes, by stage of a step.
`--device cpu` runs everything on the CPU, to try the script.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from synthetic import moving_clip, write_clip

from chromatrack.model import placement as placements
from chromatrack.model.placement import Placement
from chromatrack.propagation import propagate
from chromatrack.propagation.mask_decoding import MaskDecoding
from chromatrack.propagation.redetection import Redetector
from chromatrack.propagation.reliability import SignalReader
from chromatrack.tracking import inference
from chromatrack.tracking.tracker import Tracker


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()
    elif device.type == "mps":
        torch.mps.synchronize()


def tracked(tracker: Tracker, clip: str, mask: np.ndarray) -> tuple[list[np.ndarray], float]:
    """The masks, and seconds a frame after the first five."""
    masks, began = [], 0.0
    for frame in tracker.track(clip, masks=mask):
        masks.append(frame.mask)
        if len(masks) == 5:
            synchronise(tracker.device)
            began = time.perf_counter()
    synchronise(tracker.device)
    return masks, (time.perf_counter() - began) / max(1, len(masks) - 5)


@contextmanager
def float32(kind: str):
    """Full precision on a kind of device."""
    before = placements.placement(torch.device(kind))
    placements.PLACEMENTS[kind] = Placement(torch.float32, before.channels_last)
    try:
        yield
    finally:
        placements.PLACEMENTS[kind] = before


@contextmanager
def timed(device: torch.device, found: dict[str, list[float]]):
    """Time of the stages of a step, each waited for: their sum is more than a step takes."""
    stages = [
        (inference, "embed_frames", "encoder"),
        (propagate, "tiled_affinity", "pointer"),
        (MaskDecoding, "read", "mask decoder"),
        (Redetector, "settle", "redetection"),
        (SignalReader, "read", "reliability"),
        (inference, "masks_to_ids", "ids of decoded masks"),
        (inference, "label_map_to_mask", "ids at full size"),
    ]
    kept = []
    for owner, name, stage in stages:
        real = getattr(owner, name, None)
        if real is None:
            raise SystemExit(f"{owner}: has no {name} any more; mend the list of stages")

        def waited(*args, real=real, stage=stage, **named):
            synchronise(device)
            began = time.perf_counter()
            result = real(*args, **named)
            synchronise(device)
            found[stage].append(time.perf_counter() - began)
            return result

        kept.append((owner, name, real))
        setattr(owner, name, waited)
    try:
        yield
    finally:
        for owner, name, real in kept:
            setattr(owner, name, real)


def measure(kind: str, size: tuple[int, int], objects: int, frames: int) -> None:
    film = moving_clip(
        frames=frames, size=size, objects=objects, radius=size[0] / 8, velocity=(3.0, 1.0)
    )
    with tempfile.TemporaryDirectory() as folder:
        clip = str(write_clip(Path(folder) / "clip.mkv", film))
        mask = film[0].mask
        reference, seconds = tracked(Tracker.from_pretrained("small", device="cpu"), clip, mask)
        rows = [("cpu", seconds, 0.0, 0.0)]
        runs = [("as placed", None)]
        if placements.placement(torch.device(kind)).precision != torch.float32:
            runs.append(("float32", float32(kind)))
        for name, way in runs:
            if kind == "cuda":
                torch.cuda.reset_peak_memory_stats()
            if way is None:
                found, seconds = tracked(Tracker.from_pretrained("small", device=kind), clip, mask)
            else:
                with way:
                    found, seconds = tracked(
                        Tracker.from_pretrained("small", device=kind), clip, mask
                    )
            peak = torch.cuda.max_memory_allocated() / 2**20 if kind == "cuda" else 0.0
            other = np.mean([(a != b).mean() for a, b in zip(found, reference, strict=True)])
            rows.append((f"{kind}, {name}", seconds, peak, 100 * float(other)))
        print(f"\n## {size[1]}x{size[0]}, {objects} object{'s' * (objects > 1)}, {frames} frames\n")
        print("| | frames/s | ms a frame | peak MiB there | pixels other than on the CPU |")
        print("|---|---:|---:|---:|---:|")
        for name, seconds, peak, other in rows:
            print(
                f"| {name} | {1 / seconds:.1f} | {1e3 * seconds:.0f} | {peak:.0f} | {other:.3f} % |"
            )
        stages: dict[str, list[float]] = defaultdict(list)
        tracker = Tracker.from_pretrained("small", device=kind)
        with timed(tracker.device, stages):
            tracked(tracker, clip, mask)
        print("\n| stage | ms, median | a frame |\n|---|---:|---:|")
        for stage, times in stages.items():
            each = f"{1e3 * np.median(times):.1f} | {len(times) / frames:.1f}"
            print(f"| {stage} | {each} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=["cuda", "mps", "cpu"], default="cuda")
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--sizes", nargs="+", default=["480x854", "1080x1920"], metavar="HxW")
    parser.add_argument("--objects", nargs="+", type=int, default=[1, 3], choices=[1, 2, 3])
    given = parser.parse_args()
    name = torch.cuda.get_device_name() if given.device == "cuda" else given.device
    how = placements.placement(torch.device(given.device))
    print(f"{name}, torch {torch.__version__}, {how.precision}, channels_last {how.channels_last}")
    for text in given.sizes:
        height, width = map(int, text.split("x"))
        for objects in given.objects:
            measure(given.device, (height, width), objects, given.frames)


if __name__ == "__main__":
    main()
