"""Both passes through the frames made one between keyframes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from chromatrack.ops.coords import Box
from chromatrack.propagation.bidirectional import AnySignals, FrameReading, ReadingCache
from chromatrack.propagation.close_up import CloseUp
from chromatrack.propagation.layout import Layout
from chromatrack.propagation.point_labels import Seen
from chromatrack.propagation.propagate import Input


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


def _shares_of(
    channel: int,
    index: int,
    forward: FrameReading,
    backward: FrameReading,
    keyframes: Mapping[int, bool],
) -> tuple[float, float]:
    """`shares` of a region or box, by how far both passes say that it is from their marks."""
    ahead, behind = shares(index, keyframes)
    a, b = forward.away.get(channel), backward.away.get(channel)
    if not (ahead and behind) or a is None or b is None or not a + b > 0:
        return ahead, behind
    return b / (a + b), a / (a + b)


_LEAST = 0.05  # confidence that a pass keeps in the merge: distance still counts
_TWO_PLACES = 2  # cells between two passes' points from which one is chosen, and none between


def merge_readings(
    index: int,
    forward: FrameReading,
    backward: FrameReading | None,
    layout: Layout,
    keyframes: Mapping[int, Mapping[int, bool]],
) -> FrameReading:
    """Merge two passes' readings of a frame, label by label, by distance and confidence.

    Regions and boxes by a distance in which a doubtful frame is many sure ones long: a mark that is
    drawn in haste, or of a thing that is half hidden, changes what is doubtful and not what was
    sure. `benchmarks/between_marks.py`.
    """
    if backward is None or (backward.regions is None and backward.seen is None):
        return forward
    if forward.regions is None:
        forward = replace(backward, cut=forward.cut or backward.cut)
    weights = {}
    for channel in [*layout.region_channels, *layout.box_channels]:
        ahead, behind = _shares_of(channel, index, forward, backward, keyframes[channel])
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
    """The points, and the forward pass's weight for each by channel.

    Where both found a point at one place, the surer one tells whether it is seen there.
    """
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
    surer = torch.maximum(forward.confidence * (share > 0), backward.confidence * (share < 1))
    confidence = torch.where(apart, confidence, torch.maximum(confidence, surer))
    known = None
    if forward.known is not None and backward.known is not None:
        known = (forward.known & (share > 0)) | (backward.known & (share < 1))
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
