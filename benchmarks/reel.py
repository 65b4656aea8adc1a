"""A synthetic reel, coloured unattended: sync of sound, going on after crashes, flat memory.

    python benchmarks/reel.py --folder FOLDER [--shots 200] [--minutes 30] [--fps 24] [--lines 96]
        [--kills 2] [--seed 1]
    python benchmarks/reel.py --memory 100000 [--written]

Makes a grey film in 10 bits (FFV1, timecode, 4:3 pixels) with a beep on the first frame of every
shot, and a coloured picture for one shot in ten. Colours it with `chromatrack colorize --resume
--luma exact`, killing it (SIGKILL) --kills times at moments drawn by --seed, and checks: the shots
that were made are the shots found; after each kill at most the shot that was being coloured is
coloured again; every frame is there; each beep is within a frame of its cut; depth, timecode and
pixel shape are the source's; Y' is the source's to the bit, and the frames are those of runs that
were never killed, both at some shots from the first to the last. The resident memory of the process
is said for every tenth of the reel. `--shots 12 --minutes 0.5` takes minutes.

--memory N looks for shots in, colours, then writes N frames that are made as they are read, through
the very loops of the program with a network of no weights at 32x48 px (what is written has its
colours already), and prints the process's peak memory at 1 % and every tenth. --written leaves out
all but the writing, of which 100,000 frames take minutes.
"""

from __future__ import annotations

import argparse
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from chromatrack.video.reader import Frame

RATE = 48000


@dataclass(frozen=True)
class Film:
    """What is made: frames a second, and (height, width)."""

    fps: int
    size: tuple[int, int]

    def picture(self, shot: int, frame: int) -> np.ndarray:
        """(H, W, 3) uint16: a texture of the shot's own colours that slides, with grain."""
        wide = texture(shot, self.size)
        rows, columns = (n - m for n, m in zip(wide.shape, self.size, strict=False))
        moved = frame * self.size[0] // 96
        left, top = (moved // 2) % (columns + 1), (moved // 5) % (rows + 1)
        grain = np.random.default_rng((shot, frame)).integers(0, 600, (*self.size, 1))
        inside = wide[top : top + self.size[0], left : left + self.size[1]]
        return (inside * 255 + grain).astype(np.uint16)


@lru_cache(4)
def texture(shot: int, size: tuple[int, int]) -> np.ndarray:
    """(H', W', 3) uint16 below 256, larger than the frames that are cut out of it."""
    rng = np.random.default_rng(shot)
    coarse = rng.integers(0, 65536, (15, 24, 1)) * rng.uniform(0.35, 1.0, (1, 1, 3))
    wide = (size[1] * 9 // 5, size[0] * 15 // 8)
    return np.asarray(Image.fromarray((coarse / 257).astype(np.uint8)).resize(wide, 3), np.uint16)


def lengths(shots: int, frames: int) -> list[int]:
    """How many frames each shot has, by chance, of `frames` in all."""
    shares = np.random.default_rng(7).uniform(0.5, 1.5, shots)
    ends = np.rint(np.cumsum(shares) / shares.sum() * frames).astype(int)
    return np.diff([0, *ends]).tolist()


def grey(rgb: np.ndarray) -> np.ndarray:
    """(H, W) uint16 Y' of 10 bits."""
    return (64 + (rgb @ np.array([0.2126, 0.7152, 0.0722])) / 65535 * 876).astype(np.uint16)


def make(folder: Path, film: Film, spans: Sequence[int]) -> Path:
    """Write the film and the coloured pictures."""
    from chromatrack.video.matroska import set_pixel_shape

    path, sound_at = folder / "reel.mkv", 0
    (folder / "colour").mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            "ffv1", rate=film.fps, options={"level": "3", "slicecrc": "1"}
        )
        stream.width, stream.height, stream.pix_fmt = film.size[1], film.size[0], "yuv422p10le"
        stream.codec_context.colorspace = stream.codec_context.color_primaries = 1
        stream.metadata["TIMECODE"] = "10:00:00:00"
        sound = container.add_stream("pcm_s16le", rate=RATE, layout="mono")
        number = 0
        for shot, length in enumerate(spans):
            for frame in range(length):
                rgb = film.picture(shot, frame)
                if shot % 10 == 0 and frame == length // 2:
                    name = folder / "colour" / f"frame_{number:05d}.png"
                    Image.fromarray((rgb >> 8).astype(np.uint8)).save(name)
                shown = av.VideoFrame(film.size[1], film.size[0], "yuv422p10le")
                for plane, level in zip(shown.planes, (grey(rgb), 512, 512), strict=True):
                    rows = np.full((plane.height, plane.line_size // 2), 512, np.uint16)
                    rows[:, : plane.width] = level
                    plane.update(rows.tobytes())
                shown.pts, shown.time_base = number, Fraction(1, film.fps)
                container.mux(stream.encode(shown))
                samples = np.zeros(RATE // film.fps, np.int16)
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


def command(folder: Path, output: Path, film: Film, *more: str) -> list[str]:
    """The command that colours the reel, or with `more` a part of it."""
    found = [sys.executable, "-m", "chromatrack", "colorize", str(folder / "reel.mkv")]
    found += ["--reference", str(folder / "colour"), "--shots", str(folder / "shots.csv")]
    found += ["-o", str(output), "--size", str(film.size[0])]
    return [*found, "--codec", "ffv1", "--luma", "exact", *more]


def color(
    folder: Path, output: Path, film: Film, shots: int, *, kills: int, chance: random.Random
) -> bool:
    """Colour the reel, killed at random moments, to its end; whether no crash cost two shots."""
    kept, began = output.with_name(output.name + ".resume"), time.monotonic()
    moments = sorted(chance.sample(range(1, max(3, shots - 1)), min(kills, max(1, shots - 2))))
    stamps: dict[str, int] = {}
    again: set[str] = set()
    worst = 0
    for at in [*moments, None]:
        process = subprocess.Popen(command(folder, output, film, "--resume"))
        tenth = 10 * len(stamps) // shots
        while process.poll() is None:
            done = finished(kept)
            again |= {name for name, when in stamps.items() if done.get(name, when) != when}
            if 10 * len(done) // shots > tenth:
                tenth = 10 * len(done) // shots
                print(f"  {len(done)} of {shots} shots: {memory_of(process.pid)}", flush=True)
            if at is not None and len(done) >= at:
                time.sleep(chance.uniform(0.0, 5.0))
                process.send_signal(signal.SIGKILL)
            time.sleep(0.2)
        if at is None and process.returncode:
            raise SystemExit(f"colorize ended with {process.returncode}")
        if at is not None:
            stamps = finished(kept)
            begun = {one.name.lstrip(".")[:5] for one in kept.glob("*.mkv*")}
            begun |= {one.name.lstrip(".")[:5] for one in kept.glob(".*.mkv*")}
            lost = len(begun - {name[:5] for name in stamps})
            worst = max(worst, lost)
            print(f"killed with {len(stamps)} shots finished and {lost} begun", flush=True)
    print(f"done after {time.monotonic() - began:.0f} s; coloured again: {sorted(again) or 'none'}")
    return worst <= 1 and not again


def finished(kept: Path) -> dict[str, int]:
    """When each finished shot was put in place."""
    found = {}
    for one in kept.glob("0*.json"):
        with suppress(FileNotFoundError):  # the film became whole meanwhile
            found[one.name] = one.stat().st_mtime_ns
    return found


def memory_of(process: int) -> str:
    """Resident memory of a process, now and at its peak (Linux)."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return "memory unknown"
    sizes = {line.partition(":")[0]: line.split()[1] for line in lines if line.startswith("Vm")}
    if "VmRSS" not in sizes:
        return "memory unknown"
    return f"{int(sizes['VmRSS']) // 1024} MiB resident, peak {int(sizes['VmHWM']) // 1024} MiB"


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


def check(folder: Path, output: Path, film: Film, spans: Sequence[int]) -> bool:
    """Compare what came out with what was made."""
    from chromatrack.runs.shots import read_shot_list
    from chromatrack.video.reader import probe, read_frames
    from chromatrack.video.timecode import first_timecode

    starts = np.cumsum([0, *spans[:-1]])
    found = {shot.first for shot in read_shot_list(folder / "shots.csv", fps=film.fps)}
    missed, false = set(starts.tolist()) - found, found - set(starts.tolist())
    print(f"shots: {len(spans)} made, {len(missed)} missed, {len(false)} found where none is")
    times = [frame.pts_seconds for frame in read_frames(output)]
    print(f"frames: {len(times)} of {sum(spans)}")
    heard = np.array(beeps(output))
    apart = [float(np.abs(heard - times[start]).min()) for start in starts]
    print(
        f"sound: largest distance of a beep from its cut {max(apart) * film.fps:.2f} frames, of "
        f"the last {apart[-1] * film.fps:.2f}"
    )
    before, after = probe(folder / "reel.mkv"), probe(output)
    print(f"depth: {before.pixel_format} -> {after.pixel_format}")
    shapes = before.display.sample_aspect_ratio, after.display.sample_aspect_ratio
    print(f"pixel shape: {shapes[0]} -> {shapes[1]}")
    codes = [first_timecode(str(info.path)) for info in (before, after)]
    print(f"timecode: {codes[0]} -> {codes[1]}")
    is_in_step = len(times) == sum(spans) and max(apart) * film.fps <= 1
    return is_in_step and shapes[0] == shapes[1] and codes[0] == codes[1] and not missed


def compare(folder: Path, output: Path, film: Film) -> bool:
    """Colour some shots again in one go; whether the reel has the same there, and the same Y'."""
    from chromatrack.runs.shots import read_shot_list
    from chromatrack.video.luma import read_luma
    from chromatrack.video.reader import read_frames

    shots = read_shot_list(folder / "shots.csv", fps=film.fps)
    count, same = min(2, len(shots)), True
    for shot in sorted({0, len(shots) // 2, len(shots) - count}):
        first, end = shots[shot].first, shots[shot + count - 1].end
        part = folder / "part.mkv"
        part.unlink(missing_ok=True)
        only = ("--start", str(first), "--end", str(end))
        subprocess.run(command(folder, part, film, *only), check=True)
        ours = read_frames(output, start=first, end=end, deep=True)
        pairs = zip(ours, read_frames(part, deep=True), strict=True)
        equal = all(np.array_equal(a.deep, b.deep) for a, b in pairs)  # pyright: ignore[reportArgumentType]
        pairs = zip(
            read_luma(folder / "reel.mkv", start=first, end=end),
            read_luma(output, start=first, end=end),
            strict=True,
        )
        kept = all(a.bits == b.bits == 10 and np.array_equal(a.values, b.values) for a, b in pairs)
        print(
            f"shots {shot + 1}-{shot + count}: frames of the reel "
            f"{'are' if equal else 'ARE NOT'} those of a run in one go, Y' of 10 bits "
            f"{'is' if kept else 'IS NOT'} the source's"
        )
        same = same and equal and kept
    return same


def made(count: int) -> Iterator[Frame]:
    """Frames that are made as they are read, a cut every 150."""
    from chromatrack.video.reader import Frame

    film = Film(24, (32, 48))
    for number in range(count):
        rgb = (film.picture(number // 150, number % 150) >> 8).astype(np.uint8)
        yield Frame(rgb, number, number / film.fps)


def told_peak(what: str, number: int, count: int) -> None:
    """Print the process's peak memory after so many frames, now and then."""
    if number in (count // 100, count // 50) or number % max(count // 10, 1) == 0:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{what}: {number} frames, peak {peak:.1f} MiB", flush=True)


def memory(count: int) -> None:
    """Peak memory while shots are looked for in so many frames, and while they are coloured."""
    from unittest.mock import patch

    import torch

    from chromatrack.model.encoder import Encoder
    from chromatrack.ops.coords import FeatureSpec
    from chromatrack.ops.resample import to_cells
    from chromatrack.ops.shot_transitions import TransitionFinder
    from chromatrack.runs.shots import small_picture
    from chromatrack.tracking import colorize
    from chromatrack.tracking.config import TrackConfig
    from chromatrack.tracking.tracker import Tracker

    finder = TransitionFinder()
    for number, frame in enumerate(made(count), start=1):
        finder.add(small_picture(frame.rgb))
        told_peak("shots", number, count)
    print(f"{len(finder.found())} transitions of {(count - 1) // 150} cuts")

    class Averages(Encoder):
        """Features without weights: means of luminance at three sizes."""

        spec = FeatureSpec(3, 8, 3.5)

        def embed(self, lab: torch.Tensor) -> torch.Tensor:
            light = lab[:, :1]
            wide = [torch.nn.functional.avg_pool2d(light, n, 1, n // 2) for n in (1, 9, 17)]
            found = torch.cat([to_cells(x[..., :32, :48], self.spec) for x in wide], 1)
            return torch.nn.functional.normalize(found, dim=1)

    tracker = Tracker(Averages(), device="cpu", config=TrackConfig(size=32))
    reference = next(made(1)).rgb
    with (
        patch.object(colorize, "read_frames", lambda *_, **__: made(count)),
        patch.object(colorize, "read_frame", lambda *_, **__: next(made(1))),
        patch.object(colorize, "reference_frame", lambda *_, **__: next(made(1))),
    ):
        frames = colorize.colorize_frames(tracker.embedder, "", [(reference, 0)], 0, None)
        for number, _ in enumerate(frames, start=1):
            told_peak("colours", number, count)


def written(count: int) -> None:
    """Peak memory while so many coloured frames are written, with all that is noted of them."""
    from types import SimpleNamespace
    from typing import Any, cast

    from chromatrack.runs.colorized import colorize_to_file
    from chromatrack.tracking.colorize import ColorizedFrame
    from chromatrack.video.reader import open_writer

    def colorize(*_: object, **__: object) -> Iterator[ColorizedFrame]:
        for frame in made(count):
            value = 0.2 if frame.index % 1000 < 3 else 0.9
            yield ColorizedFrame(frame.index, frame.pts_seconds, frame.rgb, 0.5, reliability=value)

    with tempfile.TemporaryDirectory() as name:
        film, network = Path(name) / "film.mkv", SimpleNamespace(grey_encoder=None)
        with open_writer(film, fps=24, codec="ffv1") as writer:
            for frame in made(2):
                writer.write(frame.rgb)
        colorize_to_file(
            cast(Any, SimpleNamespace(colorize=colorize, model="none", embedder=network)),
            film,
            references=[(next(made(1)).rgb, 0)],
            output=Path(name) / "out.mkv",
            progress=lambda what, done, _: told_peak(f"{what}, written", done, count),
        )
        told_peak("whole", count, count)


def main() -> None:
    """Make, colour, check."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--shots", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--fps", type=int, default=24)
    parser.add_argument("--lines", type=int, default=96)
    parser.add_argument("--kills", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--memory", type=int, default=0, metavar="FRAMES")
    parser.add_argument("--written", action="store_true")
    options = parser.parse_args()
    if options.memory and not options.written:
        memory(options.memory)
    if options.memory:
        written(options.memory)
    if options.folder is None:
        return
    film = Film(options.fps, (options.lines, options.lines * 5 // 3 // 2 * 2))
    spans = lengths(options.shots, round(60 * options.minutes * film.fps))
    folder, output = options.folder, options.folder / "coloured.mkv"
    folder.mkdir(parents=True, exist_ok=True)
    print(f"{sum(spans)} frames of {film.size[1]}x{film.size[0]}, {film.fps} a second", flush=True)
    make(folder, film, spans)
    find = [sys.executable, "-m", "chromatrack", "shots", str(folder / "reel.mkv")]
    subprocess.run([*find, "-o", str(folder / "shots.csv")], check=True, stdout=subprocess.DEVNULL)
    chance = random.Random(options.seed)
    is_good = color(folder, output, film, len(spans), kills=options.kills, chance=chance)
    is_good = check(folder, output, film, spans) and is_good
    is_good = compare(folder, output, film) and is_good
    print("all is well" if is_good else "SOMETHING IS WRONG")
    raise SystemExit(0 if is_good else 1)


if __name__ == "__main__":
    main()
