"""A synthetic reel, coloured unattended: sync of sound, going on after a crash, flat memory.

    python benchmarks/reel.py --folder FOLDER [--shots 200] [--minutes 30] [--memory 100000]

Makes a grey film of 160x96 px in 10 bits (FFV1, 24 frames a second, timecode, 4:3 pixels) with a
beep on the first frame of every shot, and a coloured picture for one shot in ten. Colours it with
`chromatrack colorize --resume`, killing it once (SIGKILL) on the way, and checks: the shots that
were made are the shots found; no shot finished before the kill is coloured again; every frame is
there; each beep is within a frame of its cut; depth, timecode and pixel shape are the source's.
--memory N then looks for shots in N frames that are made as they are read, and prints the process's
peak memory at every tenth of it. `--shots 12 --minutes 0.5 --memory 5000` takes minutes.
"""

from __future__ import annotations

import argparse
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

FPS, RATE, SIZE = 24, 48000, (96, 160)


def picture(shot: int, frame: int) -> np.ndarray:
    """(H, W, 3) uint16: a texture of the shot's own colours that slides, with grain."""
    rng = np.random.default_rng(shot)
    coarse = rng.integers(0, 65536, (15, 24, 1)) * rng.uniform(0.35, 1.0, (1, 1, 3))
    wide = np.asarray(
        Image.fromarray((coarse / 257).astype(np.uint8)).resize((24 * 12, 15 * 12), 3), np.uint16
    )
    left, top = (frame // 2) % 90, (frame // 5) % 60
    grain = np.random.default_rng((shot, frame)).integers(0, 600, (*SIZE, 1))
    return (wide[top : top + SIZE[0], left : left + SIZE[1]] * 255 + grain).astype(np.uint16)


def lengths(shots: int, frames: int) -> list[int]:
    """How many frames each shot has, by chance, of `frames` in all."""
    shares = np.random.default_rng(7).uniform(0.5, 1.5, shots)
    ends = np.rint(np.cumsum(shares) / shares.sum() * frames).astype(int)
    return np.diff([0, *ends]).tolist()


def grey(rgb: np.ndarray) -> np.ndarray:
    """(H, W) uint16 Y' of 10 bits."""
    return (64 + (rgb @ np.array([0.2126, 0.7152, 0.0722])) / 65535 * 876).astype(np.uint16)


def make(folder: Path, spans: Sequence[int]) -> Path:
    """Write the film and the coloured pictures."""
    from chromatrack.video.matroska import set_pixel_shape

    path, sound_at = folder / "reel.mkv", 0
    (folder / "colour").mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=FPS, options={"level": "3", "slicecrc": "1"})
        stream.width, stream.height, stream.pix_fmt = SIZE[1], SIZE[0], "yuv422p10le"
        stream.codec_context.colorspace = stream.codec_context.color_primaries = 1
        stream.metadata["TIMECODE"] = "10:00:00:00"
        sound = container.add_stream("pcm_s16le", rate=RATE, layout="mono")
        number = 0
        for shot, length in enumerate(spans):
            for frame in range(length):
                rgb = picture(shot, frame)
                if shot % 10 == 0 and frame == length // 2:
                    name = folder / "colour" / f"frame_{number:05d}.png"
                    Image.fromarray((rgb >> 8).astype(np.uint8)).save(name)
                shown = av.VideoFrame(SIZE[1], SIZE[0], "yuv422p10le")
                for plane, level in zip(shown.planes, (grey(rgb), 512, 512), strict=True):
                    rows = np.full((plane.height, plane.line_size // 2), 512, np.uint16)
                    rows[:, : plane.width] = level
                    plane.update(rows.tobytes())
                shown.pts, shown.time_base = number, Fraction(1, FPS)
                container.mux(stream.encode(shown))
                samples = np.zeros(RATE // FPS, np.int16)
                if frame == 0:
                    samples[:] = 20000 * np.sin(np.arange(len(samples)) * 0.2)
                heard = av.AudioFrame.from_ndarray(samples[None], "s16", "mono")
                heard.sample_rate, heard.pts, heard.time_base = RATE, sound_at, Fraction(1, RATE)
                container.mux(sound.encode(heard))
                sound_at, number = sound_at + len(samples), number + 1
        container.mux(stream.encode(None))
        container.mux(sound.encode(None))
    set_pixel_shape(path, Fraction(4, 3))
    return path


def color(folder: Path, output: Path) -> None:
    """Colour the reel, killed once after some shots, and then to its end."""
    command = [sys.executable, "-m", "chromatrack", "colorize", str(folder / "reel.mkv")]
    command += ["--reference", str(folder / "colour"), "-o", str(output), "--resume"]
    command += ["--size", "96", "--codec", "ffv1"]
    kept = output.with_name(output.name + ".resume")
    began = time.monotonic()
    process = subprocess.Popen(command)
    while process.poll() is None and len(list(kept.glob("*.json"))) < 4:  # task.json and 3 shots
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = {one: one.stat().st_mtime_ns for one in kept.glob("0*.json")}
    print(f"killed after {len(done)} shots, {time.monotonic() - began:.0f} s")
    process = subprocess.Popen(command)
    seen: dict[Path, int] = {}
    while process.poll() is None:
        for one in done:
            if one.exists():
                seen[one] = one.stat().st_mtime_ns
        time.sleep(0.05)
    if process.returncode:
        raise SystemExit(f"colorize ended with {process.returncode}")
    again = [one.name for one, when in seen.items() if done[one] != when]
    print(f"done after {time.monotonic() - began:.0f} s; coloured again: {again or 'none'}")


def beeps(path: Path) -> list[float]:
    """Seconds at which each beep begins."""
    found: list[float] = []
    last = -1.0
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            loud = np.abs(frame.to_ndarray().astype(np.float32).ravel()) > 2000
            for at in np.flatnonzero(loud):
                moment = (frame.time or 0.0) + at / frame.sample_rate
                if moment - last > 0.2:
                    found.append(moment)
                last = moment
    return found


def check(folder: Path, output: Path, spans: Sequence[int]) -> None:
    """Compare what came out with what was made."""
    from chromatrack.runs.shots import find_shots
    from chromatrack.video.reader import probe, read_frames
    from chromatrack.video.timecode import first_timecode

    starts = np.cumsum([0, *spans[:-1]])
    found = {shot.first for shot in find_shots(folder / "reel.mkv").shots}
    missed, false = set(starts.tolist()) - found, found - set(starts.tolist())
    print(f"shots: {len(spans)} made, {len(missed)} missed, {len(false)} found where none is")
    times = [frame.pts_seconds for frame in read_frames(output)]
    print(f"frames: {len(times)} of {sum(spans)}")
    heard = np.array(beeps(output))
    apart = [float(np.abs(heard - times[start]).min()) for start in starts]
    print(f"sound: largest distance of a beep from its cut {max(apart) * FPS:.2f} frames")
    before, after = probe(folder / "reel.mkv"), probe(output)
    print(f"depth: {before.pixel_format} -> {after.pixel_format}")
    shapes = before.display.sample_aspect_ratio, after.display.sample_aspect_ratio
    print(f"pixel shape: {shapes[0]} -> {shapes[1]}")
    print(f"timecode: {' -> '.join(str(first_timecode(str(p))) for p in (before.path, output))}")
    is_good = len(times) == sum(spans) and max(apart) * FPS <= 1 and shapes[0] == shapes[1]
    print("all is well" if is_good and not missed else "SOMETHING IS WRONG")


def made(count: int) -> Iterator[np.ndarray]:
    """Frames that are made as they are read, a cut every 150."""
    for number in range(count):
        yield (picture(number // 150, number % 150) >> 8).astype(np.uint8)


def memory(count: int) -> None:
    """Peak memory while shots are looked for in so many frames."""
    from chromatrack.ops.shot_transitions import TransitionFinder
    from chromatrack.runs.shots import small_picture

    finder = TransitionFinder()
    for number, rgb in enumerate(made(count), start=1):
        finder.add(small_picture(rgb))
        if number % max(count // 10, 1) == 0:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(f"{number} frames: peak {peak:.0f} MB")
    print(f"{len(finder.found())} transitions of {(count - 1) // 150} cuts")


def main() -> None:
    """Make, colour, check."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--shots", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--memory", type=int, default=0, metavar="FRAMES")
    options = parser.parse_args()
    spans = lengths(options.shots, round(60 * options.minutes * FPS))
    options.folder.mkdir(parents=True, exist_ok=True)
    output = options.folder / "coloured.mkv"
    make(options.folder, spans)
    color(options.folder, output)
    check(options.folder, output, spans)
    if options.memory:
        memory(options.memory)


if __name__ == "__main__":
    main()
