"""How wrong copied colours are, by the seconds since the frame they were copied from.

The colours of a clip's first frame are brought to later frames, of which nothing but the luminance
is shown: by a tracker, by dense optical flow (straight from the first frame, and chained from frame
to frame), by leaving them where they are, or not at all (grey). These are the comparison points of
Vondrick et al. 2018. Every method's ab is painted under the later frame's own luminance by the same
function and compared as the 8-bit picture that a viewer would see.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from chromatrack.color import rgb_to_lab
from chromatrack.coords import fit_size
from chromatrack.errors import InputError
from chromatrack.image_files import image_files
from chromatrack.labels import planes
from chromatrack.measure.colour_metrics import ab_error, share_within
from chromatrack.measure.flow import Flow, carry, chain, identity_places
from chromatrack.measure.flow import dis_flow as dis_flow  # as before; benchmarks ask for it here
from chromatrack.measure.metrics import psnr
from chromatrack.recolour import paint
from chromatrack.video import Frame, ImageSequenceWriter, probe, read_frames

if TYPE_CHECKING:
    from chromatrack.track import Tracker

HORIZONS = (0.2, 0.5, 1.0, 2.0, 3.0, 4.0)
"""Seconds since the reference at which colours are compared."""

OFF_BY = 0.05
"""Seconds by which a frame's time may differ from the horizon it stands for: half a step of the
slowest usual rate, 10 frames per second."""

STILL, GREY, FLOW, CHAINED = "still", "grey", "flow", "flow chained"
"""Names of the comparison points; trackers go by their own names."""


@dataclass(frozen=True)
class HorizonClip:
    """A clip and the frames of it to compare.

    size: (height, width) at which it is compared. times: seconds of its frames since frame 0, up
    to the last one needed. targets: frame index for each horizon (seconds) that the clip reaches.
    """

    name: str
    video: str
    size: tuple[int, int]
    times: tuple[float, ...]
    targets: Mapping[float, int]

    def frames(self) -> Iterator[Frame]:
        """Frame 0 to the last target, at `size`."""
        return read_frames(self.video, end=len(self.times), size=self.size)


@dataclass(frozen=True)
class Coloured:
    """One method's picture, and the true one, of one frame: both `(H, W, 3)` uint8."""

    method: str
    index: int
    rgb: np.ndarray
    truth: np.ndarray


@dataclass(frozen=True)
class HorizonScore:
    """How wrong one method's colours are at one horizon of one clip.

    seconds: the horizon. index, since_seconds: the frame compared and its time since frame 0.
    error: mean absolute ab error, Lab units. within: share of pixels whose ab is at most so far
    (Lab units) from the truth. psnr: decibel, over RGB.
    """

    clip: str
    method: str
    seconds: float
    index: int
    since_seconds: float
    error: float
    within: Mapping[float, float]
    psnr: float


# -- means over clips ----------------------------------------------------------------------


def mean_error(scores: Iterable[HorizonScore], *, method: str, seconds: float) -> float:
    """Mean `error` over clips of one method at one horizon.

    Raises:
        InputError: there is none.
    """
    errors = list(_by_clip(scores, method=method, seconds=seconds).values())
    if not errors:
        raise InputError(f"no clip was measured with {method!r} at {seconds} s")
    return float(np.mean(errors))


def clip_differences(
    scores: Sequence[HorizonScore], *, method: str, other: str, seconds: float
) -> dict[str, float]:
    """Error of `method` minus that of `other` per clip, at one horizon; below 0: `method` wins."""
    ours = _by_clip(scores, method=method, seconds=seconds)
    theirs = _by_clip(scores, method=other, seconds=seconds)
    return {clip: error - theirs[clip] for clip, error in ours.items() if clip in theirs}


def _by_clip(scores: Iterable[HorizonScore], *, method: str, seconds: float) -> dict[str, float]:
    return {s.clip: s.error for s in scores if s.method == method and s.seconds == seconds}


# -- the frames to compare -----------------------------------------------------------------


def nearest_frames(times: Sequence[float], seconds: Sequence[float]) -> dict[float, int]:
    """The frame nearest to each horizon, by its time since frame 0.

    A horizon from which every frame but frame 0 is more than `OFF_BY` away is left out.

    Args:
        times: seconds of the frames, rising. seconds: horizons, above 0.

    Raises:
        InputError: a horizon that is not above 0.
    """
    if wrong := [s for s in seconds if not s > 0]:
        raise InputError(f"horizons: expected seconds above 0, came {wrong[0]}")
    since = np.asarray(times, dtype=np.float64)[1:] - (times[0] if len(times) else 0)
    found: dict[float, int] = {}
    for horizon in sorted(set(seconds)) if since.size else ():
        away = np.abs(since - horizon)
        if away.min() <= OFF_BY + 1e-6:
            found[horizon] = int(away.argmin()) + 1
    return found


def open_clip(
    video: str | PathLike[str],
    *,
    seconds: Sequence[float] = HORIZONS,
    fps: float | None = None,
    short_side: int = 480,
) -> HorizonClip:
    """Find the frames of a clip to compare.

    Args:
        video: a video, or a folder of images.
        seconds: horizons; those that the clip does not reach are left out.
        fps: frames per second of a folder of images (None: as `read_frames` takes them, 24); a
            video has times of its own.
        short_side: pixels; a larger clip is compared at this size, a smaller one at its own.

    Raises:
        InputError: fps <= 0, or the clip reaches no horizon. VideoError: it cannot be read.
    """
    if fps is not None and not fps > 0:
        raise InputError(f"fps: expected frames per second above 0, came {fps}")
    info = probe(video)
    size = fit_size((info.height, info.width), short_side=short_side)
    last = max(seconds, default=0.0) + OFF_BY
    files = image_files(video)
    if files is not None:
        rate = fps or info.average_fps
        assert rate is not None, "folders of images have a rate"
        times = [index / rate for index in range(len(files))]
    else:
        times = _times(video, last)
    targets = nearest_frames(times, seconds)
    if not targets:
        raise InputError(
            f"{fspath(video)}: {len(times)} frames over {times[-1] - times[0]:.2f} s, none within "
            f"{OFF_BY} s of {', '.join(f'{s:g}' for s in seconds)} s after the first; expected a "
            "longer clip, of 10 frames per second or more"
        )
    used = times[: max(targets.values()) + 1]
    name = Path(video).stem if files is None else _folder_name(Path(video))
    return HorizonClip(name, fspath(video), size, tuple(t - times[0] for t in used), targets)


def _times(video: str | PathLike[str], last: float) -> list[float]:
    """Times of the frames up to `last` seconds after the first."""
    frames = read_frames(video, size=(16, 16))
    first = next(frames).pts_seconds
    shown = (frame.pts_seconds for frame in frames)
    return [first, *takewhile(lambda time: time - first <= last, shown)]


def _folder_name(folder: Path) -> str:
    """The name of a folder of frames; that of the sequence where it is called `img` or so."""
    folder = folder.resolve()
    return folder.parent.name if folder.name.lower() in ("img", "frames", "images") else folder.name


# -- the methods ---------------------------------------------------------------------------


def ab_of(rgb: np.ndarray) -> Tensor:
    """The ab `(2, H, W)` float32 of a `(H, W, 3)` uint8 picture, Lab units."""
    return rgb_to_lab(planes(rgb).float() / 255)[1:]


def grey_of(rgb: np.ndarray) -> np.ndarray:
    """A `(H, W, 3)` uint8 picture of the same luminance L, its three channels equal."""
    green = paint(rgb, torch.zeros(2, *rgb.shape[:2]))[..., 1:2]
    return np.repeat(green, 3, axis=2)


def copied(
    tracker: Tracker, reference: np.ndarray, greys: Iterable[tuple[int, np.ndarray]]
) -> Iterator[tuple[int, np.ndarray]]:
    """Colours as `Tracker.colorize` copies them: grey `(H, W, 3)` uint8 -> coloured.

    The grey frames lie in files of their own, so that no colour of the clip can be seen.
    """
    with tempfile.TemporaryDirectory(prefix="chromatrack-") as folder:
        indices = [0]
        with ImageSequenceWriter(folder) as writer:
            writer.write(grey_of(reference))
            for index, grey in greys:
                indices.append(index)
                writer.write(grey)
        for frame in tracker.colorize(folder, references=[(reference, 0)]):
            if frame.index > 0:
                yield indices[frame.index], frame.rgb


def carried(
    reference: np.ndarray, greys: Iterable[tuple[int, np.ndarray]], flow: Flow, wanted: set[int]
) -> Iterator[tuple[str, int, np.ndarray]]:
    """Colours carried by optical flow, straight and chained, on the wanted frames."""
    ab, first = ab_of(reference), grey_of(reference)[..., 0]
    before, places = first, identity_places(first.shape)
    for index, grey in greys:
        light = np.ascontiguousarray(grey[..., 0])
        places = chain(places, flow(light, before))
        before = light
        if index in wanted:
            straight = identity_places(first.shape) + torch.from_numpy(flow(light, first))
            yield FLOW, index, paint(grey, carry(ab, straight))
            yield CHAINED, index, paint(grey, carry(ab, places))


def colour_clip(
    clip: HorizonClip, *, trackers: Mapping[str, Tracker], flow: Flow | None = None
) -> Iterator[Coloured]:
    """Every method's colours on every frame to compare.

    A tracker that copies from the reference alone is shown only the frames to compare, which
    changes nothing for it; one that remembers recent frames is shown all. Memory: the frames to
    compare, not the clip.
    """
    wanted = set(clip.targets.values())
    truth = {frame.index: frame.rgb for frame in clip.frames() if frame.index in wanted | {0}}
    reference = truth.pop(0)
    greys = {index: grey_of(rgb) for index, rgb in truth.items()}

    def every() -> Iterator[tuple[int, np.ndarray]]:
        for frame in clip.frames():
            if frame.index > 0:
                yield frame.index, grey_of(frame.rgb)

    still = ab_of(reference)
    for index, grey in greys.items():
        yield Coloured(GREY, index, grey, truth[index])
        yield Coloured(STILL, index, paint(grey, still), truth[index])
    if flow is not None:
        for method, index, rgb in carried(reference, every(), flow, wanted):
            yield Coloured(method, index, rgb, truth[index])
    for name, tracker in trackers.items():
        shown = every() if tracker.config.colour.recent else greys.items()
        for index, rgb in copied(tracker, reference, shown):
            if index in wanted:
                yield Coloured(name, index, rgb, truth[index])


def score_picture(clip: HorizonClip, coloured: Coloured) -> Iterator[HorizonScore]:
    """A score for each horizon that the picture's frame stands for."""
    ab, truth = ab_of(coloured.rgb).numpy(), ab_of(coloured.truth).numpy()
    error, within = ab_error(ab, truth), share_within(ab, truth)
    decibel, since = psnr(coloured.rgb, coloured.truth), clip.times[coloured.index]
    name, method, index = clip.name, coloured.method, coloured.index
    for seconds, target in clip.targets.items():
        if target == index:
            yield HorizonScore(name, method, seconds, index, since, error, within, decibel)


def measure_horizons(
    clip: HorizonClip, *, trackers: Mapping[str, Tracker], flow: Flow | None = None
) -> Iterator[HorizonScore]:
    """Scores of every method at every horizon of a clip, as `colour_clip` makes the pictures."""
    for coloured in colour_clip(clip, trackers=trackers, flow=flow):
        yield from score_picture(clip, coloured)
