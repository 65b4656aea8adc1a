"""Boxes: what is inside is carried as a soft region, and its box is read back robustly."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from chromatrack.ops.coords import Box, FeatureSpec, box_edges, cell_to_pixel, edges_box
from chromatrack.propagation.relabeling import Relabeling

_TAIL = 0.08  # share of a region's mass cut off at each side before its extent is measured
_WEAK = 0.15  # of the largest value; what is less does not count to the extent
_SOFT = 0.06  # width of the change from background to object, in likeness
_RING = 3  # cells around a box that count as its background
_INSIDE = 0.5  # share of a cell from which it is inside a box, or in its middle
_TAPER = 1.5  # slope from a box's middle to its edge: 1 up to a third of the way, then falling
_LEAST_FOREGROUND = 0.15  # of the box's cells; less is not believed
_MOST_CHANGE = 1.6  # of a box's shape, width over height, from the drawn one
_STEADY = 0.5  # share of the last size in the next one


def box_to_label(box: Box, *, size: tuple[int, int], spec: FeatureSpec) -> Tensor:
    """Share of every cell that a box (working pixels) covers: `(h, w)` float32 in [0, 1]."""

    def covered(low: float, high: float, count: int) -> Tensor:
        centre = cell_to_pixel(torch.arange(count).float(), stride=spec.stride, offset=spec.offset)
        half = spec.stride / 2
        return ((centre + half).clamp(max=high) - (centre - half).clamp(min=low)).clamp(min=0)

    left, top, right, bottom = box_edges(box)
    rows, columns = covered(top, bottom, size[0]), covered(left, right, size[1])
    return rows[:, None] * columns[None, :] / spec.stride**2


def foreground(features: Tensor, covered: Tensor) -> Tensor:
    """The part of a box that is the object: what it holds and its surroundings do not.

    Args:
        features: `(C, h, w)`, unit length per cell. covered: `(h, w)` share the box covers.

    Returns:
        `(h, w)` in [0, 1], 0 outside the box; the whole box where nothing in it stands out.
    """
    cells, inside = features.flatten(1).T, covered.flatten() > _INSIDE
    near = F.max_pool2d(covered[None, None], 2 * _RING + 1, 1, _RING)[0, 0].flatten() > 0
    ring = near & (covered.flatten() == 0)
    core = inside & (centred(covered).flatten() > _INSIDE)
    if not bool(core.any()) or not bool(ring.any()):
        return covered
    some = covered.flatten() > 0
    out = (cells[some] @ cells[ring].T).amax(1)
    within = (cells[some] @ cells[core].T).topk(min(2, int(core.sum())), dim=1).values[:, -1]
    share = torch.zeros_like(covered).flatten()
    share[some] = ((within - out) / _SOFT).sigmoid()
    label = covered * share.reshape(covered.shape)
    if float(label.sum()) < _LEAST_FOREGROUND * float(covered.sum()):
        return covered
    return label / label.max().clamp(min=1e-6)


def centred(covered: Tensor) -> Tensor:
    """1 in the middle of a box's cells, 0 at its edge: `(h, w)`."""
    result = covered.clone()
    for axis in (0, 1):
        line = covered.sum(1 - axis)
        total = line.sum().clamp(min=1e-6)
        places = torch.arange(len(line), device=line.device)
        mean = (line * places).sum() / total
        half = (line > 0).sum() / 2
        weight = (_TAPER * (1 - (places - mean).abs() / half)).clamp(0, 1)
        result = result * (weight[:, None] if axis == 0 else weight[None, :])
    return result


def extent(label: Tensor, *, spec: FeatureSpec) -> Box:
    """(left, top, right, bottom) px between which all but the tails of a label's mass lie."""
    spans = []
    label = (label - _WEAK * label.max()).clamp(min=0)
    for axis in (0, 1):
        mass = label.sum(axis)
        ends = torch.cat([mass.new_zeros(1), mass.cumsum(0)]) / mass.sum().clamp(min=1e-9)
        span = []
        for share in (_TAIL, 1 - _TAIL):
            cell = int((ends[1:] < share).sum().clamp(max=len(mass) - 1))
            part = (share - float(ends[cell])) / max(float(ends[cell + 1] - ends[cell]), 1e-9)
            edge = cell_to_pixel(torch.tensor(float(cell)), stride=spec.stride, offset=spec.offset)
            span.append(float(edge) + (part - 1 / 2) * spec.stride)
        spans.append(span)
    (left, right), (top, bottom) = spans
    return left, top, right, bottom


def in_shape(width: float, height: float, drawn: Box) -> tuple[float, float]:
    """Width and height with the longer one cut where the shape strays too far from the drawn one.

    What smears lengthens a side; an object that turns changes its shape by less than this.
    """
    change = (width / height) / (drawn[2] / drawn[3])
    if change > _MOST_CHANGE:
        return width * _MOST_CHANGE / change, height
    if change < 1 / _MOST_CHANGE:
        return width, height * _MOST_CHANGE * change
    return width, height


@dataclass
class BoxTrack:
    """How a box lies over the extent of its region; fixed where the user drew it.

    scale: box size over extent, (x, y). shift: of the middles, in extents.
    """

    scale: tuple[float, float]
    shift: tuple[float, float]
    box: Box
    drawn: Box

    @classmethod
    def start(cls, box: Box, label: Tensor, *, spec: FeatureSpec) -> BoxTrack:
        """From the box `(x, y, width, height)` the user drew and its region's label `(h, w)`."""
        drawn, found = box_edges(box), extent(label, spec=spec)
        scale, shift = [], []
        for low in (0, 1):
            length = max(found[low + 2] - found[low], 1e-6)
            scale.append((drawn[low + 2] - drawn[low]) / length)
            apart = drawn[low] + drawn[low + 2] - found[low] - found[low + 2]
            shift.append(apart / 2 / length)
        return cls((scale[0], scale[1]), (shift[0], shift[1]), box, box)

    def read(self, label: Tensor, *, spec: FeatureSpec) -> Box:
        """The box on another frame, from its region's label `(h, w)`."""
        found, old = extent(label, spec=spec), self.box
        middles, sides = [], []
        for low in (0, 1):
            length = max(found[low + 2] - found[low], 1e-6)
            middles.append((found[low] + found[low + 2]) / 2 + self.shift[low] * length)
            sides.append((1 - _STEADY) * self.scale[low] * length + _STEADY * old[low + 2])
        sides = in_shape(sides[0], sides[1], self.drawn)
        (left, right), (top, bottom) = (
            (middle - side / 2, middle + side / 2)
            for middle, side in zip(middles, sides, strict=True)
        )
        self.box = edges_box((left, top, right, bottom))
        return self.box


@dataclass
class BoxTracks:
    """All boxes of a pass, by label channel."""

    spec: FeatureSpec
    tracks: dict[int, BoxTrack] = field(default_factory=dict)

    def draw(self, channel: int, box: Box, label: Tensor) -> None:
        """The user drew a box on this frame."""
        self.tracks[channel] = BoxTrack.start(box, label, spec=self.spec)

    def read(self, channel: int, label: Tensor) -> Box | None:
        """The box on this frame; None before one was drawn. An empty label keeps the last box."""
        track = self.tracks.get(channel)
        if track is None or not bool((label > 0).any()):
            return track.box if track is not None else None
        return track.read(label, spec=self.spec)

    def fork(self) -> BoxTracks:
        """A copy that goes its own way."""
        return BoxTracks(self.spec, {c: replace(track) for c, track in self.tracks.items()})

    def relabel(self, way: Relabeling) -> None:
        """Keep the boxes that stay, by their new channels."""
        channels = way.channels
        self.tracks = {channels[c]: track for c, track in self.tracks.items() if c in channels}
