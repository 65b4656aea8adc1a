"""Samples: what the decoder sees while a pasted clip is tracked, and what it should answer."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from chromatrack.atomic import replace_file
from chromatrack.errors import WeightsError
from chromatrack.model.mask_decoder import decoder_inputs
from chromatrack.model.tensor_files import read_safetensors
from chromatrack.ops.coords import image_size
from chromatrack.ops.resample import COARSE, from_coarse
from chromatrack.propagation.label_state import LabelState
from chromatrack.propagation.mask_decoding import Decode, MaskDecoding, halved, scales
from chromatrack.propagation.propagate import FrameMarks, Input, Propagated, Propagator
from chromatrack.tracking.embedder import FrameEmbedder
from chromatrack.tracking.marks import Marks
from chromatrack.training.masks.pasted_clips import LEAST_SHOWN, PastedClip
from chromatrack.video.reader import Frame

FRAMES_A_CLIP = 5
"""Of a tracked clip's frames that are learned from, drawn at random."""

SIDE = 64
"""Steps of the decoder's grid that a sample is high and wide, about its object."""

_HELD = 0.02  # largest share of a label below which its object is lost, and nothing decodes it
_SEEN = 0.5  # share of a step from which it is the object's


@dataclass(frozen=True)
class Samples:
    """N samples, SIDE steps square.

    inputs: `(N, INPUTS, SIDE, SIDE)` float16. truth: `(N, 1, SIDE, SIDE)` float16, shares.
    """

    inputs: Tensor
    truth: Tensor

    def __len__(self) -> int:
        return len(self.inputs)

    @classmethod
    def joined(cls, parts: Sequence[Samples]) -> Samples:
        """All of them, at least one, in order."""
        return cls(torch.cat([p.inputs for p in parts]), torch.cat([p.truth for p in parts]))


@dataclass
class WatchedDecoding(MaskDecoding):
    """Decodes as ever, and keeps what the decoder sees on some frames around every object.

    frames: numbers of those frames.
    """

    frames: Collection[int] = ()
    seen: list[Seen] = field(default_factory=list)

    def read(
        self, frame: Input, features: Tensor, label_map: Tensor, given: FrameMarks | None
    ) -> tuple[Tensor, Tensor | None]:
        """As of `MaskDecoding`."""
        if frame.index in self.frames and given is None:
            for channel, one in self.known.items():
                label = label_map[channel]
                if bool(label.max() > _HELD):
                    other, evidence = self._other(channel, label_map), one.read(features)
                    for times in scales(label, self.spec):
                        self._keep(frame, channel, times, label, other, evidence)
        return super().read(frame, features, label_map, given)

    def _keep(
        self,
        frame: Input,
        channel: int,
        times: int,
        label: Tensor,
        other: Tensor,
        evidence: Tensor,
    ) -> None:
        image, spec = halved(frame.image, times), self.spec.halved(times)
        inputs = decoder_inputs(image, label, other, evidence, spec)
        middle = _middle(inputs[0])
        part = around(inputs, middle).half().cpu()
        self.seen.append(Seen(frame.index, channel, times, middle, part))


@dataclass(frozen=True)
class Seen:
    """What the decoder saw of a region on a frame.

    times: how often the picture was halved. middle: of its label, in steps. inputs: `(INPUTS, SIDE,
    SIDE)` about that.
    """

    frame: int
    channel: int
    times: int
    middle: tuple[int, int]
    inputs: Tensor


def _middle(label: Tensor) -> tuple[int, int]:
    """The step (row, column) in the middle of a label `(h, w)`, not empty."""
    sums = (label.sum(1 - axis) for axis in (0, 1))
    row, column = (float((s * torch.arange(len(s)).to(s)).sum() / s.sum()) for s in sums)
    return round(row), round(column)


def around(grid: Tensor, middle: tuple[int, int]) -> Tensor:
    """SIDE x SIDE steps of a grid `(C, h, w)` about one, inside of it; 0 where it is smaller."""
    part = grid[:, *(_span(m, n) for m, n in zip(middle, grid.shape[-2:], strict=True))]
    h, w = part.shape[-2:]
    return F.pad(part, (0, SIDE - w, 0, SIDE - h))


def _span(middle: int, length: int) -> slice:
    """SIDE steps of so many, or all, about a middle."""
    start = max(0, min(middle - SIDE // 2, length - SIDE))
    return slice(start, start + SIDE)


class ClipTracker:
    """Tracks pasted clips from their first mask, as `chromatrack track` would."""

    def __init__(self, embedder: FrameEmbedder) -> None:
        self.embedder = embedder

    def samples(
        self, clip: PastedClip, decode: Decode, *, feedback: float, rng: np.random.Generator
    ) -> Samples | None:
        """What is learned from a clip; None where every object is lost at once.

        Args:
            decode: the decoder as it is by now.
            feedback: share of what its masks add that is remembered.
        """
        wanted = rng.permutation(np.arange(1, len(clip.frames)))[:FRAMES_A_CLIP].tolist()
        return self._seen(clip, self._decoding(clip, decode, feedback, wanted))

    def cycled(self, clip: PastedClip, decode: Decode, *, feedback: float) -> Samples | None:
        """What is learned where a real clip, tracked to its end and back, comes to its first mask.

        The way back begins with the masks that the way there ended with, so it needs no truth but
        the first mask. None where the object is lost.
        """
        there, masks = None, self._decoding(clip, decode, feedback, ())
        for step in self._steps(clip, masks):
            there = None if step.readings is None else step.readings.masks
        if there is None:
            return None
        shares = from_coarse(there.cpu(), clip.first_mask.shape).amax(0)
        truth = clip.truth[::-1].copy()
        truth[0] = (shares > _SEEN).numpy()
        if truth[0].sum() < LEAST_SHOWN:
            return None
        back = PastedClip(clip.frames[::-1].copy(), truth, clip.ids)
        return self._seen(back, self._decoding(back, decode, feedback, [len(truth) - 1]))

    def _seen(self, clip: PastedClip, masks: WatchedDecoding) -> Samples | None:
        for _ in self._steps(clip, masks):
            pass
        if not masks.seen:
            return None
        return Samples(
            torch.stack([seen.inputs for seen in masks.seen]),
            torch.stack([_truth_around(clip, seen) for seen in masks.seen]).half(),
        )

    def scores(self, clip: PastedClip, decode: Decode, *, feedback: float) -> list[float]:
        """IoU at the decoder's grid of each object on each frame after the first that shows it."""
        masks = self._decoding(clip, decode, feedback, ())
        found = []
        for t, step in enumerate(self._steps(clip, masks)):
            if t == 0 or step.readings is None or step.readings.masks is None:
                continue
            truth = torch.stack([coarse_truth(clip, t, c) for c in masks.layout.region_channels])
            found += shown_iou(step.readings.masks[:, None].cpu(), truth).tolist()
        return found

    def _decoding(
        self, clip: PastedClip, decode: Decode, feedback: float, frames: Collection[int]
    ) -> WatchedDecoding:
        layout = Marks.of(masks={0: clip.first_mask}).layout()
        return WatchedDecoding(layout, self.embedder.spec, decode, feedback, frames=frames)

    def _steps(self, clip: PastedClip, masks: WatchedDecoding) -> Iterator[Propagated]:
        embedder, config = self.embedder, self.embedder.config
        labels = LabelState(masks.layout, embedder.spec, config.propagate)
        labels.masks = masks
        propagator = Propagator(
            embedder.for_clip(embedder.lab(clip.frames[0])),
            embedder.spec,
            config.propagate,
            settle=labels.settle,
            background=True,
        )
        for t, rgb in enumerate(clip.frames):
            image = embedder.image(rgb)
            given = self._given(clip, masks, image) if t == 0 else None
            yield propagator.step(Input(t, image, given, Frame(rgb, t, float(t))))

    def _given(self, clip: PastedClip, masks: WatchedDecoding, image: Tensor) -> FrameMarks:
        marks, device = Marks.of(masks={0: clip.first_mask}), self.embedder.device
        given = marks.on_frame(
            0,
            masks.layout,
            self.embedder.spec,
            frame_size=clip.first_mask.shape,
            image_size=image_size(image),
        )
        assert given is not None
        return FrameMarks(given.label_map.to(device), given.painted.to(device))


def coarse_truth(clip: PastedClip, t: int, channel: int, *, times: int = 0) -> Tensor:
    """Share of each step of the decoder's grid that is a region's: `(1, h, w)` float32.

    times: how often the picture is halved first.
    """
    shown = torch.from_numpy(clip.truth[t] == clip.ids[channel - 1]).float()[None]
    shown = halved(shown, times)[None]
    return F.avg_pool2d(shown, COARSE, ceil_mode=True, count_include_pad=False)[0]


def _truth_around(clip: PastedClip, seen: Seen) -> Tensor:
    return around(coarse_truth(clip, seen.frame, seen.channel, times=seen.times), seen.middle)


def iou(masks: Tensor, truth: Tensor) -> Tensor:
    """Of masks and shares `(N, 1, h, w)`, both cut at a half: `(N,)`; 1 where both are empty."""
    found, shown = (x.flatten(1) > _SEEN for x in (masks, truth))
    union = (found | shown).sum(1)
    return torch.where(union > 0, (found & shown).sum(1) / union.clamp(min=1), 1.0)


def shown_iou(masks: Tensor, truth: Tensor) -> Tensor:
    """`iou` of those of N that are to be seen at all."""
    return iou(masks, truth)[(truth > _SEEN).flatten(1).any(1)]


class SamplePool:
    """Samples by round, in memory and in a folder, so that a run goes on with the same ones."""

    def __init__(self, folder: Path, *, most: int) -> None:
        """most: samples kept; of more, whole rounds go, the oldest first."""
        self.folder, self.most = folder, most
        self.rounds: dict[int, Samples] = {}

    def __len__(self) -> int:
        return sum(map(len, self.rounds.values()))

    def load(self, *, last: int) -> None:
        """Take in what is in the folder, up to a round."""
        for path in sorted(self.folder.glob("round-*.safetensors")):
            number = int(path.stem.removeprefix("round-"))
            samples = read_samples(path) if number <= last else None
            if samples is not None:
                self.rounds[number] = samples
        self._trim()

    def add(self, number: int, samples: Samples) -> None:
        """Keep a round's samples, and let go of what is too many.

        Raises:
            OutputError: they cannot be written.
        """
        write_samples(self._path(number), samples)
        self.rounds[number] = samples
        self._trim()

    def draw(self, count: int, rng: np.random.Generator) -> Samples:
        """Samples at random, each of the pool as likely; there must be some."""
        rounds = list(self.rounds.values())
        starts = np.cumsum([0, *map(len, rounds)])
        picks = rng.integers(starts[-1], size=count)
        at = np.searchsorted(starts, picks, side="right") - 1
        places = [(rounds[r], int(p - starts[r])) for r, p in zip(at, picks, strict=True)]
        return Samples.joined([Samples(s.inputs[i, None], s.truth[i, None]) for s, i in places])

    def clear(self) -> None:
        """Remove the files."""
        for path in self.folder.glob("*.safetensors"):
            path.unlink(missing_ok=True)
        with suppress(OSError):
            self.folder.rmdir()

    def _path(self, number: int) -> Path:
        return self.folder / f"round-{number:06d}.safetensors"

    def _trim(self) -> None:
        while len(self) > self.most and len(self.rounds) > 1:
            oldest = min(self.rounds)
            del self.rounds[oldest]
            self._path(oldest).unlink(missing_ok=True)


def write_samples(path: Path, samples: Samples) -> None:
    """Write a file of samples, whole or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    from safetensors.torch import save

    replace_file(
        path, save({"inputs": samples.inputs.contiguous(), "truth": samples.truth.contiguous()})
    )


def read_samples(path: Path) -> Samples | None:
    """Samples as written; None where there are none that can be read."""
    with suppress(WeightsError, KeyError):
        tensors, _ = read_safetensors(path)
        return Samples(tensors["inputs"], tensors["truth"])
    return None
