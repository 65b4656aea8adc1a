"""Boxes: what is inside is carried as a soft region, and its box is read back robustly."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from chromatrack.ops.coords import Box, FeatureSpec, box_edges, cell_to_pixel, edges_box, image_size
from chromatrack.ops.resample import from_coarse, upsample_guided
from chromatrack.propagation.relabeling import Relabeling

_TAIL = 0.02  # share of what a box holds that is cut off at each side as strays
_SEEN = 0.5  # share of a decoded mask from which there is one
_MARGIN = 32  # pixels around a label that its edges are found with
_MOST_CHANGE = 1.6  # of a box's shape, width over height, from the drawn one
_SLACK = 0.15  # of a box's side, by which what it holds may stick out of where it is expected
_SLACK_CELLS = 1.0  # cells, added to it
_MOST_NEAR = 0.5  # share of a label near the place expected, above which the rest is dropped
_MOST_DOUBT = 1.0  # log odds by which a cell is settled at most, so that the area is kept
_HALVINGS = 8  # of them, until they are exact enough
_FOLLOW = 0.3  # of a change of a label's area in what is expected of the next one
_STEADY = 0.25  # share of the last size in the next one


def box_to_label(box: Box, *, size: tuple[int, int], spec: FeatureSpec) -> Tensor:
    """Share of every cell that a box (working pixels) covers: `(h, w)` float32 in [0, 1]."""

    def covered(low: float, high: float, count: int) -> Tensor:
        centre = cell_to_pixel(torch.arange(count).float(), stride=spec.stride, offset=spec.offset)
        half = spec.stride / 2
        return ((centre + half).clamp(max=high) - (centre - half).clamp(min=low)).clamp(min=0)

    left, top, right, bottom = box_edges(box)
    rows, columns = covered(top, bottom, size[0]), covered(left, right, size[1])
    return rows[:, None] * columns[None, :] / spec.stride**2


def outline(label: Tensor, image: Tensor, *, spec: FeatureSpec) -> Box:
    """(left, top, right, bottom) px of a label `(h, w)` brought to the image's size.

    Its edges follow the image's `(3, H, W)`; of what is more than half there (or half as much as it
    is anywhere), strays at the ends are cut off.
    """
    spans, margin = [], -(-_MARGIN // spec.stride)
    for axis in (1, 0):
        held = (label > 0).any(axis).nonzero()[:, 0]
        spans.append(slice(max(0, int(held[0]) - margin), int(held[-1]) + 1 + margin))
    part = [slice(span.start * spec.stride, span.stop * spec.stride) for span in spans]
    cells, pixels = label[spans[0], spans[1]], image[:, part[0], part[1]]
    dense = upsample_guided(cells[None].to(pixels), pixels, spec=spec)[0]
    left, top, right, bottom = _edges(dense)
    x, y = part[1].start, part[0].start
    return left + x, top + y, right + x, bottom + y


def _edges(dense: Tensor) -> Box:
    """(left, top, right, bottom) px of what is more than half as much as most, `(H, W)`."""
    level = min(float(dense.max()), 1.0) / 2
    (left, right), (top, bottom) = (_ends((dense > level).sum(axis)) for axis in (0, 1))
    return left, top, right, bottom


def _ends(line: Tensor) -> tuple[float, float]:
    """Where a line of pixel counts begins and ends, without its tails."""
    mass = torch.cat([line.new_zeros(1), line.cumsum(0)]).float() / max(int(line.sum()), 1)
    low = int((mass <= _TAIL).sum()) - 1
    high = int((mass < 1 - _TAIL).sum())
    return low - 0.5, high - 0.5


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

    scale: box size over extent, (x, y). shift: of the middles, in extents. moved: of the box's
    middle since the frame before, (x, y) px. area: that its label is expected to have, in cells.
    """

    scale: tuple[float, float]
    shift: tuple[float, float]
    box: Box
    drawn: Box
    moved: tuple[float, float] = (0.0, 0.0)
    area: float = 0.0

    @classmethod
    def start(cls, box: Box, found: Box) -> BoxTrack:
        """From the box `(x, y, width, height)` the user drew and the edges of what is in it."""
        drawn = box_edges(box)
        scale, shift = [], []
        for low in (0, 1):
            length = max(found[low + 2] - found[low], 1e-6)
            scale.append((drawn[low + 2] - drawn[low]) / length)
            apart = drawn[low] + drawn[low + 2] - found[low] - found[low + 2]
            shift.append(apart / 2 / length)
        return cls((scale[0], scale[1]), (shift[0], shift[1]), box, box)

    def read(self, found: Box) -> Box:
        """The box on another frame, from the edges of what it holds there."""
        old = self.box
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
        moved = [self.box[i] - old[i] + (self.box[i + 2] - old[i + 2]) / 2 for i in (0, 1)]
        self.moved = moved[0], moved[1]
        return self.box

    def settled(self, label: Tensor) -> Tensor:
        """A copied label, its doubtful cells settled so that it keeps its area as far as may be.

        Copied again and again, a label wears off at its edge or spreads over what is alike. A thing
        that grows or shrinks is told by cells that are sure, and changes the area over some frames.
        """
        held = label > 0
        found = float(label.sum())
        if found <= 0 or self.area <= 0:
            return label
        logit = torch.logit(label[held], eps=1e-3)
        low, high = -_MOST_DOUBT, _MOST_DOUBT
        for _ in range(_HALVINGS):
            doubt = (low + high) / 2
            enough = float((logit + doubt).sigmoid().sum()) > self.area
            low, high = (low, doubt) if enough else (doubt, high)
        self.area *= (found / self.area) ** _FOLLOW
        settled = label.clone()
        settled[held] = (logit + (low + high) / 2).sigmoid()
        return settled

    def near(self, size: tuple[int, int], *, spec: FeatureSpec) -> Tensor:
        """How near the cells are to where the box is expected: `(h, w)` in [0, 1]; 1 inside."""
        edges, shares = box_edges(self.box), []
        for axis in (0, 1):
            side = self.box[axis + 2]
            slack = _SLACK * side + _SLACK_CELLS * spec.stride
            places = torch.arange(size[1 - axis]).float()
            at = cell_to_pixel(places, stride=spec.stride, offset=spec.offset) - self.moved[axis]
            away = torch.maximum(edges[axis] - at, at - edges[axis + 2])
            shares.append((2 - away / slack).clamp(0, 1))
        return shares[1][:, None] * shares[0][None, :]


@dataclass
class BoxTracks:
    """All boxes of a pass, by label channel."""

    spec: FeatureSpec
    tracks: dict[int, BoxTrack] = field(default_factory=dict)

    def draw(self, channel: int, box: Box, label: Tensor, image: Tensor) -> None:
        """The user drew a box on this frame."""
        found = outline(label, image, spec=self.spec) if bool(label.any()) else box_edges(box)
        self.tracks[channel] = BoxTrack.start(box, found)
        self.tracks[channel].area = float(label.sum())

    def read(
        self, channel: int, label: Tensor, image: Tensor, mask: Tensor | None = None
    ) -> Box | None:
        """The box on this frame; None before one was drawn. An empty label keeps the last box.

        mask: `(H / 4, W / 4)`, decoded of the label `(h, w)`; None or empty: the label's outline
            along the image is read.
        """
        track = self.tracks.get(channel)
        if track is None or not bool((label > 0).any()):
            return track.box if track is not None else None
        if mask is not None and float(mask.max()) > _SEEN:
            return track.read(_edges(from_coarse(mask[None], image_size(image))[0]))
        return track.read(outline(label, image, spec=self.spec))

    def kept_near(self, channel: int, label: Tensor) -> Tensor:
        """A copied label without what lies far from where the box is expected.

        What strays there, on a look-alike or on the background, takes the box over in the end. Of
        a thing most of which is found elsewhere, all counts: it moved at once.
        """
        track = self.tracks.get(channel)
        if track is None:
            return label
        near = label * track.near((label.shape[0], label.shape[1]), spec=self.spec).to(label)
        kept = near if float(near.sum()) > _MOST_NEAR * float(label.sum()) else label
        return track.settled(kept)

    def fork(self) -> BoxTracks:
        """A copy that goes its own way."""
        return BoxTracks(self.spec, {c: replace(track) for c, track in self.tracks.items()})

    def relabel(self, way: Relabeling) -> None:
        """Keep the boxes that stay, by their new channels."""
        channels = way.channels
        self.tracks = {channels[c]: track for c, track in self.tracks.items() if c in channels}
