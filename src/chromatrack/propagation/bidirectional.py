"""Passes through the frames: forward, backward, and both merged between keyframes."""

from __future__ import annotations

import errno
import pickle
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from chromatrack.atomic import unwritable
from chromatrack.ops.coords import Box
from chromatrack.propagation.close_up import CloseUp
from chromatrack.propagation.label_state import LabelState
from chromatrack.propagation.layout import Layout
from chromatrack.propagation.point_labels import Seen
from chromatrack.propagation.point_reliability import PointSignals, read_point_signals
from chromatrack.propagation.propagate import Input, Propagated, Propagator
from chromatrack.propagation.relabeling import Relabeling
from chromatrack.propagation.reliability import SignalReader, Signals

Direction = Literal["forward", "backward", "both"]

AnySignals = Signals | PointSignals | None
"""Of a region, a box or a point; None: the user said where it is."""

_CHUNK_BYTES = 128_000_000


@dataclass(frozen=True)
class FrameReading:
    """One frame's result at the cells' resolution.

    regions: `(1 + R, h, w)` background and regions, None where nothing is known yet. By channel:
    confidence, entropy in [0, 1], boxes in working pixels, signals of reliability (None where the
    user painted; left out before the first mark). seen: points. close_ups: of channels that were
    followed so; their `regions` and `masks` are 0. masks: `(R, H / 4, W / 4)` regions as decoded.
    """

    regions: Tensor | None
    confidence: Mapping[int, float] = field(default_factory=dict)
    entropy: Mapping[int, float] = field(default_factory=dict)
    boxes: Mapping[int, Box] = field(default_factory=dict)
    seen: Seen | None = None
    cut: bool = False
    signals: Mapping[int, AnySignals] = field(default_factory=dict)
    close_ups: Mapping[int, CloseUp] = field(default_factory=dict)
    masks: Tensor | None = None


def read_step(step: Propagated, layout: Layout) -> FrameReading:
    """What a propagation's step says, without what only the next step needs."""
    found = step.readings
    if step.label_map is None or found is None:
        return FrameReading(None)
    channels = [*layout.region_channels, *layout.box_channels]
    entropy = dict.fromkeys(channels, 0.0)
    if step.entropy is not None and channels:
        weight = step.label_map[channels].flatten(1)
        mean = (weight * step.entropy.flatten()).sum(1) / weight.sum(1).clamp(min=1e-6)
        entropy = dict(zip(channels, mean.tolist(), strict=True))
    regions = step.label_map[: layout.region_channels.stop]
    return FrameReading(
        regions,
        found.confidence,
        entropy,
        found.boxes,
        found.seen,
        found.cut,
        masks=None if found.masks is None else found.masks[: len(layout.regions)],
    )


@dataclass
class DirectedPass:
    """One way through the frames.

    keyframes: channel -> {keyframe: True where shown, False where declared lost}.
    embed: frame index -> (features, the frame), to look ahead at a keyframe.
    backward: frames come in falling order.
    """

    propagator: Propagator
    labels: LabelState
    keyframes: Mapping[int, Mapping[int, bool]]
    embed: Callable[[int], tuple[Tensor, Input]]
    backward: bool = False
    watch: SignalReader = field(init=False)

    def __post_init__(self) -> None:
        self.watch = SignalReader(self.propagator.spec)

    def step(self, frame: Input) -> FrameReading:
        """Label the next frame."""
        self._look_ahead(frame.index)
        bank, step = self.propagator.bank, self.propagator.step(frame)
        reading = read_step(step, self.labels.layout)
        reading = replace(reading, signals=self._signals(step))
        ahead = frame.index + (-1 if self.backward else 1)
        wanted = {mark.index for mark in bank.neighbours(frame.index)}
        wanted |= {mark.index for mark in bank.neighbours(ahead)}
        bank.marked = [mark for mark in bank.marked if mark.index in wanted]
        return reading

    @torch.inference_mode()
    def fork(self) -> DirectedPass:
        """A copy that goes its own way; what no step changes in place is shared."""
        labels = self.labels.fork()
        twin = replace(self, propagator=self.propagator.fork(labels.settle), labels=labels)
        twin.watch = self.watch.fork()
        return twin

    @torch.inference_mode()
    def relabel(self, layout: Layout) -> None:
        """Move all state, by label, to the channels of another layout.

        New labels are unknown on the frames so far; labels that are gone leave nothing behind.

        Args:
            layout: `grown` from the one in use, or `without` some of its labels.
        """
        way = Relabeling(self.labels.layout, layout)
        for index in self.propagator.bank.relabel(way):
            self.labels.redetector.marked.pop(index, None)
        self.labels.relabel(way)
        self.propagator.free = layout.free

    def _signals(self, step: Propagated) -> dict[int, AnySignals]:
        """What tells without labels whether everything is tracked right, by channel."""
        if step.label_map is None or step.features is None:
            return {}
        layout, bank = self.labels.layout, self.propagator.bank
        ab = self.watch.see(step, bank)
        areas = [*layout.region_channels, *layout.box_channels]
        found: dict[int, AnySignals] = {**self.watch.read(step, ab, bank, areas)}
        return found | read_point_signals(step, ab, self.watch, bank, first=layout.first_point)

    def _look_ahead(self, index: int) -> None:
        """Have the next keyframe of every label in memory, on the far side of `index`."""
        held = {mark.index for mark in self.propagator.bank.marked}
        ahead = set()
        for of_label in self.keyframes.values():
            shown = [f for f, here in of_label.items() if here and self._is_ahead(f, index)]
            started = any(here and not self._is_ahead(f, index) for f, here in of_label.items())
            if shown and started:
                ahead.add(max(shown) if self.backward else min(shown))
        for keyframe in sorted(ahead - held):
            features, frame = self.embed(keyframe)
            assert frame.given is not None
            given = self.labels.prepare(frame.given, features, frame.image)
            nothing = torch.zeros_like(given.painted)
            self.propagator.bank.mark(
                keyframe, features, given.label_map, shown=given.shown, renewed=nothing
            )

    def _is_ahead(self, keyframe: int, index: int) -> bool:
        return keyframe < index if self.backward else keyframe > index


def _packed(maps: Tensor | None) -> np.ndarray | None:
    return None if maps is None else maps.half().cpu().numpy()


def _unpacked(maps: np.ndarray | None, device: torch.device) -> Tensor | None:
    return None if maps is None else torch.from_numpy(maps.astype(np.float32)).to(device)


class ReadingCache:
    """Readings of a backward pass kept in a temporary file, by frame; gone when closed.

    That pass meets a scene cut on the frame before it; what comes back says it of the one after.
    """

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  (closed by `close`)
        self._places: dict[int, tuple[int, int]] = {}
        self._cuts: set[int] = set()

    def put(self, index: int, reading: FrameReading) -> None:
        """Keep a reading; label maps are stored as float16.

        Raises:
            OutputError: the disk of temporary files is full.
        """
        if reading.cut:
            self._cuts.add(index + 1)
        packed = [_packed(maps) for maps in (reading.regions, reading.masks)]
        rest = replace(reading, regions=None, masks=None)
        data = zlib.compress(pickle.dumps((packed, rest)), 1)
        place = self._file.seek(0, 2)
        try:
            if self._file.write(data) != len(data):
                raise OSError(errno.ENOSPC, "No space left on device")
        except OSError as error:
            raise unwritable(Path(tempfile.gettempdir()), error) from error
        self._places[index] = (place, len(data))

    def get(self, index: int, *, device: torch.device) -> FrameReading | None:
        """The reading of a frame, or None."""
        if index not in self._places:
            return None
        place, length = self._places[index]
        self._file.seek(place)
        packed, reading = pickle.loads(zlib.decompress(self._file.read(length)))
        regions, masks = (_unpacked(maps, device) for maps in packed)
        return replace(reading, cut=index in self._cuts, regions=regions, masks=masks)

    def close(self) -> None:
        """Give the file's space back."""
        self._file.close()


def chunks_backward(start: int, last: int, *, frame_bytes: int) -> Iterator[tuple[int, int]]:
    """Ranges [a, b) from the one that ends with frame `last` down to the one with `start`."""
    length = max(2, min(64, _CHUNK_BYTES // max(1, frame_bytes)))
    end = last + 1
    while end > start:
        begin = max(start, end - length)
        yield begin, end
        end = begin


def shares(index: int, keyframes: Mapping[int, bool]) -> tuple[float, float]:
    """How much the forward and the backward pass count for a label at a frame; they sum to 1.

    By distance to the keyframes on both sides: at a keyframe, its own pass counts alone. Where the
    nearest keyframe on a side declares the label lost, or there is none, the other pass counts.
    """
    before = [f for f in keyframes if f <= index]
    after = [f for f in keyframes if f > index]
    left = max(before) if before and keyframes[max(before)] else None
    right = min(after) if after and keyframes[min(after)] else None
    if left is None and right is None:
        return (1.0, 0.0) if any(keyframes[f] for f in before) else (0.0, 1.0)
    if right is None:
        return 1.0, 0.0
    if left is None:
        return 0.0, 1.0
    backward = (index - left) / (right - left)
    return 1 - backward, backward


_LEAST = 0.05  # confidence that a pass keeps in the merge: distance still counts
_TWO_PLACES = 2  # cells between two passes' points from which one is chosen, and none between


def merge_readings(
    index: int,
    forward: FrameReading,
    backward: FrameReading | None,
    layout: Layout,
    keyframes: Mapping[int, Mapping[int, bool]],
) -> FrameReading:
    """Merge two passes' readings of a frame, label by label, by distance and confidence."""
    if backward is None or (backward.regions is None and backward.seen is None):
        return forward
    if forward.regions is None:
        forward = replace(backward, cut=forward.cut or backward.cut)
    weights = {}
    for channel in [*layout.region_channels, *layout.box_channels]:
        ahead, behind = shares(index, keyframes[channel])
        a = ahead * max(forward.confidence.get(channel, 0.0), _LEAST)
        b = behind * max(backward.confidence.get(channel, 0.0), _LEAST)
        weights[channel] = a / (a + b)
    confidence, entropy = (
        {c: w * a.get(c, 0.0) + (1 - w) * b.get(c, 0.0) for c, w in weights.items()}
        for a, b in ((forward.confidence, backward.confidence), (forward.entropy, backward.entropy))
    )
    seen, of_points = _merge_seen(index, forward.seen, backward.seen, layout, keyframes)
    return FrameReading(
        _merge_regions(forward.regions, backward.regions, layout, weights),
        confidence,
        entropy,
        _merge_boxes(forward, backward, layout, weights),
        seen,
        forward.cut or backward.cut,
        _merge_signals(forward, backward, weights | of_points),
        _merge_close_ups(forward, backward, weights),
        _merge_masks(forward.masks, backward.masks, layout, weights),
    )


def _merge_regions(
    forward: Tensor | None, backward: Tensor | None, layout: Layout, weights: Mapping[int, float]
) -> Tensor | None:
    if forward is None or backward is None:
        return backward if forward is None else forward
    share = forward.new_tensor([0.5, *(weights[c] for c in layout.region_channels)])
    share = share[:, None, None]
    merged = share * forward + (1 - share) * backward
    objects = merged[1:] / merged[1:].sum(0).clamp(min=1)
    return torch.cat([(1 - objects.sum(0, keepdim=True)).clamp(min=0), objects])


def _merge_masks(
    forward: Tensor | None, backward: Tensor | None, layout: Layout, weights: Mapping[int, float]
) -> Tensor | None:
    if forward is None or backward is None:
        return backward if forward is None else forward
    share = forward.new_tensor([weights[c] for c in layout.region_channels])[:, None, None]
    merged = share * forward + (1 - share) * backward
    return merged / merged.sum(0).clamp(min=1)


def _merge_signals(
    forward: FrameReading, backward: FrameReading, weights: Mapping[int, float]
) -> dict[int, AnySignals]:
    """Of each region, box and point, those of the pass that counts more."""
    merged = {}
    for channel, weight in weights.items():
        first, second = (forward, backward) if weight >= 1 / 2 else (backward, forward)
        for reading in (second, first):
            if channel in reading.signals:
                merged[channel] = reading.signals[channel]
    return merged


def _merge_close_ups(
    forward: FrameReading, backward: FrameReading, weights: Mapping[int, float]
) -> dict[int, CloseUp]:
    """Of each small thing, that of the pass that counts more, or of the only one that has it."""
    merged = {}
    for channel in forward.close_ups.keys() | backward.close_ups.keys():
        ways = (forward, backward) if weights[channel] >= 1 / 2 else (backward, forward)
        merged[channel] = next(w.close_ups[channel] for w in ways if channel in w.close_ups)
    return merged


def _merge_boxes(
    forward: FrameReading, backward: FrameReading, layout: Layout, weights: Mapping[int, float]
) -> dict[int, Box]:
    merged = {}
    for channel in layout.box_channels:
        a, b, w = forward.boxes.get(channel), backward.boxes.get(channel), weights[channel]
        if a is not None and b is not None:
            x, y, width, height = (w * p + (1 - w) * q for p, q in zip(a, b, strict=True))
            merged[channel] = (x, y, width, height)
        elif (box := a if a is not None else b) is not None:
            merged[channel] = box
    return merged


def _merge_seen(
    index: int,
    forward: Seen | None,
    backward: Seen | None,
    layout: Layout,
    keyframes: Mapping[int, Mapping[int, bool]],
) -> tuple[Seen | None, dict[int, float]]:
    """The points, and the forward pass's weight for each by channel."""
    first = layout.first_point
    channels = range(first, first + len(layout.points))
    if forward is None or backward is None:
        found = backward if forward is None else forward
        return found, dict.fromkeys(channels, float(forward is not None))
    ahead = [shares(index, keyframes[first + n])[0] for n in range(len(layout.points))]
    share = forward.xy.new_tensor(ahead)
    a = share * forward.confidence.clamp(min=_LEAST)
    b = (1 - share) * backward.confidence.clamp(min=_LEAST)
    w = a / (a + b)
    apart = (forward.xy - backward.xy).norm(dim=1) > _TWO_PLACES
    place = torch.where(apart, (w >= 1 / 2).float(), w)[:, None]
    xy = place * forward.xy + (1 - place) * backward.xy
    confidence = w * forward.confidence + (1 - w) * backward.confidence
    known = None
    if forward.known is not None and backward.known is not None:
        known = forward.known | backward.known
    seen = Seen(xy, confidence > 1 / 2, confidence, known)
    return seen, dict(zip(channels, w.tolist(), strict=True))


def both_ways(
    forward: Iterable[tuple[Input, FrameReading]],
    backward: ReadingCache,
    layout: Layout,
    keyframes: Mapping[int, Mapping[int, bool]],
) -> Iterator[tuple[Input, FrameReading]]:
    """Merge a forward pass, as it comes, with a backward pass that is done."""
    for frame, reading in forward:
        other = backward.get(frame.index, device=frame.image.device)
        yield frame, merge_readings(frame.index, reading, other, layout, keyframes)
