"""Passes through the frames, forward and backward, and what they say of each."""

from __future__ import annotations

import errno
import math
import pickle
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping
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
from chromatrack.propagation.point_reliability import (
    PointSignals,
    estimate_place,
    read_point_signals,
)
from chromatrack.propagation.propagate import Input, Propagated, Propagator
from chromatrack.propagation.relabeling import Relabeling
from chromatrack.propagation.reliability import SignalReader, Signals, estimate

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
    away: of regions and boxes, how far from its last mark in this pass, as `farther` adds it up.
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
    away: Mapping[int, float] = field(default_factory=dict)


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


_SURE = 0.02
"""What a frame adds to a distance where there is no doubt at all."""

_NO_CHANCE = 0.001


def farther(away: float, chance: float) -> float:
    """How far a label is from its last mark, one frame on: a doubtful frame is a long way.

    Args:
        away: on the frame before. chance: that it is right on this one.
    """
    return away + _SURE - math.log(max(chance, _NO_CHANCE))


@dataclass
class DirectedPass:
    """One way through the frames.

    keyframes: channel -> {keyframe: True where shown, False where declared lost}.
    embed: frame index -> (features, the frame), to look ahead at a keyframe.
    backward: frames come in falling order. away: as `FrameReading` has it, on the frame before.
    """

    propagator: Propagator
    labels: LabelState
    keyframes: Mapping[int, Mapping[int, bool]]
    embed: Callable[[int], tuple[Tensor, Input]]
    backward: bool = False
    watch: SignalReader = field(init=False)
    away: dict[int, float] = field(init=False)

    def __post_init__(self) -> None:
        self.watch = SignalReader(self.propagator.spec)
        self.away = {}

    def step(self, frame: Input) -> FrameReading:
        """Label the next frame."""
        reading = self._read(frame)
        layout = self.labels.layout
        for channel in [*layout.region_channels, *layout.box_channels]:
            if channel not in reading.signals:
                continue
            told = reading.signals[channel]
            kind = "box" if channel in layout.box_channels else "object"
            before = self.away.get(channel, 0.0)
            self.away[channel] = 0.0 if told is None else farther(before, _chance(kind, told))
        return replace(reading, away=dict(self.away))

    def _read(self, frame: Input) -> FrameReading:
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
        twin.watch, twin.away = self.watch.fork(), dict(self.away)
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
        there = way.channels
        self.away = {there[c]: value for c, value in self.away.items() if c in there}

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


def _chance(kind: str, signals: AnySignals) -> float:
    """That a region or a box is right."""
    if kind == "object" and isinstance(signals, Signals):
        return estimate(signals)
    return estimate_place(kind, signals)


Packed = tuple[list[np.ndarray | None], FrameReading]
"""Label maps of a reading, float16, and all else of it."""


def packed(reading: FrameReading) -> Packed:
    """A reading to be kept."""
    halves = [_half(maps) for maps in (reading.regions, reading.masks)]
    return halves, replace(reading, regions=None, masks=None)


def unpacked(kept: Packed, device: torch.device) -> FrameReading:
    """A reading that was kept, its label maps as float32."""
    regions, masks = (_whole(maps, device) for maps in kept[0])
    return replace(kept[1], regions=regions, masks=masks)


def _half(maps: Tensor | None) -> np.ndarray | None:
    return None if maps is None else maps.half().cpu().numpy()


def _whole(maps: np.ndarray | None, device: torch.device) -> Tensor | None:
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
        data = zlib.compress(pickle.dumps(packed(reading)), 1)
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
        reading = unpacked(pickle.loads(zlib.decompress(self._file.read(length))), device)
        return replace(reading, cut=index in self._cuts)

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
