"""A long film of 1080p tracked unattended by the command: time, processor time, peak memory.

    python benchmarks/film.py WORK [--minutes 10] [--size 1080p] [--quality normal]

Renders two seconds of one creature that comes back to where it was, repeats their packets as often
as the film asks for, and runs `chromatrack track FILM --masks FIRST.png` as a process of its own.
Run again, it goes on from where it was stopped. At the end the masks of every hundredth frame are
compared with what was drawn.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from stage_clips import PERIOD, Scene, frame_size, render

from chromatrack.evaluation.metrics.masks import jaccard
from chromatrack.formats.masks import read_mask, write_mask

_FPS = 24


def make(folder: Path, size: str, *, rounds: int) -> list[np.ndarray]:
    """FOLDER/film.mp4 and FOLDER/first.png; the ids `(H, W)` of one round."""
    folder.mkdir(parents=True, exist_ok=True)
    height, width = frame_size(size)
    pictures, masks = zip(*render(Scene((height, width), 1)), strict=True)
    write_mask(folder / "first.png", masks[0])
    film = folder / "film.mp4"
    if film.exists():
        return list(masks)
    with av.open(str(film), "w") as container:
        stream = container.add_stream("libx264", rate=_FPS)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"crf": "20", "g": str(PERIOD), "bf": "0", "threads": "2"}
        stream.time_base = Fraction(1, _FPS)
        packets = []
        for index, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, _FPS)
            packets += list(stream.encode(frame))
        packets += list(stream.encode(None))
        held = [(bytes(packet), packet.is_keyframe) for packet in packets]
        base = packets[0].time_base
        step = round(1 / _FPS / base)
        for number in range(rounds * PERIOD):
            data, key = held[number % PERIOD]
            packet = av.Packet(data)
            packet.pts = packet.dts = number * step
            packet.duration, packet.time_base = step, base
            packet.stream, packet.is_keyframe = stream, key
            container.mux(packet)
    return list(masks)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--size", default="1080p")
    parser.add_argument("--quality", default="normal")
    options = parser.parse_args()
    rounds = round(options.minutes * 60 * _FPS / PERIOD)
    masks = make(options.work, options.size, rounds=rounds)
    output = options.work / f"run-{options.quality}"
    command = [sys.executable, "-m", "chromatrack", "track", str(options.work / "film.mp4")]
    command += ["--masks", str(options.work / "first.png"), "-o", str(output)]
    command += ["--quality", options.quality, *(["--resume"] if output.exists() else [])]
    started = time.perf_counter()
    done = subprocess.run(command, check=False).returncode
    seconds, use = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"exit code {done}; {seconds:.0f} s, {use.ru_utime + use.ru_stime:.0f} s of processor")
    print(f"peak {use.ru_maxrss / 1024:.0f} MiB")
    if done:
        raise SystemExit(done)
    scores = []
    for index in range(100, rounds * PERIOD, 100):
        found = read_mask(output / "masks" / f"{index:05d}.png")
        scores.append(jaccard(found == 1, masks[index % PERIOD] == 1))
    print(f"{rounds * PERIOD} frames; J of every hundredth: mean {np.mean(scores):.3f}, ", end="")
    print(f"least {np.min(scores):.3f}, last {scores[-1]:.3f}")


if __name__ == "__main__":
    main()
