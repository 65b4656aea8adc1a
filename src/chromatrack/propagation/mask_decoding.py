"""Masks from copied labels: a decoder asked inside each object's surroundings, and told the labels.

The decoder itself is not known here: see `model.mask_decoder`.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from chromatrack.ops.compiled import window_max
from chromatrack.ops.coords import FeatureSpec, image_size
from chromatrack.ops.resample import COARSE, CoarseImage, coarse_to_cells, to_coarse
from chromatrack.propagation.layout import Layout
from chromatrack.propagation.mask_evidence import Discriminant
from chromatrack.propagation.propagate import FrameMarks, Input
from chromatrack.propagation.relabeling import Relabeling

MOST_DECODED = 64
"""Regions up to which they are decoded; of more, labels are filtered along the image alone."""

_FEW = 4
"""Regions up to which each is looked at twice, however small, and far around; of more, less is."""

_ONE_LOOK_TO = 2.5
"""Times `_HALVED_FROM` across up to which the finest look is enough where there are many."""

FEEDBACK = 0.5
"""The usual share of what a mask adds to the copied label that is remembered.

What it takes away is not: a part that is missed once would be forgotten.
"""

_HALVED_FROM = 45.0
"""Pixels across from which an object is seen at half size too; see `scales`."""

_WHOLE_TO = 8  # times that many across up to which it is seen at full size too

_HELD = 0.02  # share of a label from which a place holds it
_NEAR = 12  # steps of the decoder's grid from such a place within which a mask may lie
_MARGIN = 16  # steps of its grid around the label that the decoder sees
_MARGIN_IN_CROWD = 12, 8  # the same where there are many: of the finest look, of coarser ones
_GRID = 4  # cells of a multiple of which windows are then: what torch prepares for a size is kept

Extent = tuple[tuple[int, int], tuple[int, int]]  # first and last row and column of a label


class Decode(Protocol):
    """One object's mask `(H / 4, W / 4)` in [0, 1], rounded up, from its copied label.

    Image `(3, H, W)`; label, and the largest of the others, `(h, w)`; evidence `(3, h, w)`; coarse:
    the image made smaller, where it was made for many objects at once.
    """

    def __call__(
        self,
        image: Tensor,
        label: Tensor,
        others: Tensor,
        evidence: Tensor,
        spec: FeatureSpec,
        *,
        coarse: CoarseImage | None = None,
    ) -> Tensor: ...


@dataclass
class _Picture:
    """A frame, made smaller once for all objects: parts of it end where its smaller pixels do."""

    image: Tensor
    _halved: dict[int, Tensor] = field(default_factory=dict)
    _coarse: dict[int, CoarseImage] = field(default_factory=dict)

    def coarse(self, times: int = 0) -> CoarseImage:
        """By COARSE x COARSE pixels of it with sides `2 ** times` smaller."""
        if times not in self._coarse:
            self._coarse[times] = CoarseImage.of(self.halved(times))
        return self._coarse[times]

    def halved(self, times: int) -> Tensor:
        """With sides `2 ** times` smaller."""
        if times not in self._halved:
            self._halved[times] = halved(self.image, times)
        return self._halved[times]


@dataclass
class MaskDecoding:
    """All regions of a pass. known: region channel -> what tells it from its background.

    feedback: share of what a mask adds to the copied label that is remembered. narrow: look at
    each as where there are many, once and near by, however few there are.
    """

    layout: Layout
    spec: FeatureSpec
    decode: Decode | None
    feedback: float = FEEDBACK
    narrow: bool = False
    known: dict[int, Discriminant] = field(default_factory=dict)

    @property
    def is_on(self) -> bool:
        """Whether there is a decoder, and few enough things for it."""
        things = len(self.layout.regions) + len(self.layout.boxes)
        return self.decode is not None and 0 < things <= MOST_DECODED

    @property
    def _is_crowded(self) -> bool:
        return self.narrow or len(self.layout.regions) + len(self.layout.boxes) > _FEW

    def fork(self) -> MaskDecoding:
        """A copy that goes its own way."""
        twin = copy.copy(self)
        twin.known = dict(self.known)
        return twin

    def relabel(self, way: Relabeling) -> None:
        """Move all labels to the channels of another layout."""
        self.known = {way.channels[c]: one for c, one in self.known.items() if c in way.channels}
        self.layout = way.new

    def read(
        self, frame: Input, features: Tensor, label_map: Tensor, given: FrameMarks | None
    ) -> tuple[Tensor, Tensor | None]:
        """The label map to remember, and the masks `(R + B, H / 4, W / 4)`; None where it is off.

        Of regions, then of what is in boxes. What the user painted on the frame is the label as it
        is, and is learned from.
        """
        if not self.is_on:
            return label_map, None
        labels = label_map[: self.layout.box_channels.stop]
        grid = [-(-side // COARSE) for side in frame.image.shape[-2:]]
        picture = _Picture(frame.image)
        masks, told = label_map.new_zeros(len(labels) - 1, *grid), label_map.clone()
        for channel in (*self.layout.region_channels, *self.layout.box_channels):
            label = labels[channel]
            if given is not None and bool(given.painted[channel]):
                self._learn(channel, features, label)
                masks[channel - 1] = self._coarse(frame.image, label)
            elif channel in self.known and (extent := _extent(label)) is not None:
                looks = self._looks(label)
                frame_cells = [slice(0, side) for side in label.shape]
                cells = self._around(extent, looks[-1], looks, frame_cells)
                part = frame.image[:, *(_steps(s, self.spec.stride, 1) for s in cells)]
                mask = self._mask(channel, cells, picture, features, labels, extent=extent)
                corner = [_steps(s, self.spec.stride, COARSE).start for s in cells]
                place = [slice(a, a + n) for a, n in zip(corner, mask.shape, strict=True)]
                masks[channel - 1, *place] = mask
                seen = coarse_to_cells(mask, size=image_size(part), spec=self.spec)
                told[channel, *cells] += self.feedback * (seen - label[*cells]).clamp(min=0)
        regions = len(self.layout.regions)
        masks[:regions] /= masks[:regions].sum(0).clamp(min=1)
        return told, masks

    def _learn(self, channel: int, features: Tensor, label: Tensor) -> None:
        if bool((label > 0).any()):
            self.known[channel] = Discriminant.of(features, label)

    def _coarse(self, image: Tensor, label: Tensor) -> Tensor:
        return to_coarse(label[None], size=image_size(image), spec=self.spec)[0]

    def _mask(
        self,
        channel: int,
        cells: Sequence[slice],
        picture: _Picture,
        features: Tensor,
        labels: Tensor,
        *,
        extent: Extent,
    ) -> Tensor:
        """What is decoded of an object in a part of the picture: the mean over its scales.

        Where there are many objects, looks go less far around each of them, the finer the less.
        """
        assert self.decode is not None
        label, other = labels[channel, *cells], self._other(channel, labels[:, *cells])
        evidence = self.known[channel].read(features[:, *cells])
        stride, crowded = self.spec.stride, self._is_crowded
        grid = [_steps(s, stride, COARSE) for s in cells]
        coarse = picture.coarse().part(grid, of_many=crowded)
        looks, total = self._looks(labels[channel]), torch.zeros_like(coarse.spread[0])
        for times in looks:
            there = self._around(extent, times if crowded else looks[-1], looks, cells)
            near = [
                slice(t.start - c.start, t.stop - c.start)
                for c, t in zip(cells, there, strict=True)
            ]
            steps = [_steps(n, stride, COARSE) for n in near]
            part = picture.halved(times)[:, *(_steps(t, stride, 2**times) for t in there)]
            shown = label[*near], other[*near], evidence[:, *near], self.spec.halved(times)
            if crowded and (stride >> times) % COARSE == 0:
                small = [_steps(t, stride, COARSE << times) for t in there]
                of_part = picture.coarse(times).part(small, of_many=True)
                mask = self.decode(part, *shown, coarse=of_part)
            else:
                mask = self.decode(part.contiguous(), *shown)
            around = coarse.part(steps, of_many=crowded)
            total[*steps] += finer(mask, around, times) / len(looks)
        held = to_coarse(label[None], size=self._pixels(picture.image, cells), spec=self.spec)
        return total * (window_max(held, _NEAR)[0] > _HELD)

    def _pixels(self, image: Tensor, cells: Sequence[slice]) -> tuple[int, int]:
        """(height, width) of a part of a picture."""
        return image_size(image[:, *(_steps(s, self.spec.stride, 1) for s in cells)])

    def _other(self, channel: int, labels: Tensor) -> Tensor:
        """The largest label of other regions, `(h, w)`; of a box none: it may be of a region's."""
        regions = self.layout.region_channels
        if channel not in regions:
            return torch.zeros_like(labels[channel])
        others = labels[1 : regions.stop].clone()
        others[channel - 1] = 0
        return others.amax(0)

    def _looks(self, label: Tensor) -> range:
        """`scales` of an object; where there are many, the finest alone of all but large ones."""
        looks = scales(label, self.spec)
        if self._is_crowded and _across(label, self.spec) < _ONE_LOOK_TO:
            return looks[:1]
        return looks

    def _around(
        self, extent: Extent, times: int, looks: range, bounds: Sequence[slice]
    ) -> tuple[slice, slice]:
        """Rows and columns of cells around a label that a look at a scale sees."""
        steps, multiple = _MARGIN, 1
        if self._is_crowded:
            steps, multiple = _MARGIN_IN_CROWD[times > looks[0]], _GRID << times
        margin = (steps * COARSE << times) // self.spec.stride
        rows, columns = (
            _window(low - margin, high + margin + 1, side, multiple=multiple)
            for (low, high), side in zip(extent, bounds, strict=True)
        )
        return rows, columns


def _extent(label: Tensor) -> Extent | None:
    """First and last row and column of cells that hold a label; None: none does."""
    held = label > _HELD
    rows, columns = (held.any(axis).nonzero()[:, 0] for axis in (1, 0))
    if len(rows) == 0:
        return None
    return (int(rows[0]), int(rows[-1])), (int(columns[0]), int(columns[-1]))


def _window(start: int, stop: int, bounds: slice, *, multiple: int) -> slice:
    """start..stop within bounds, wider to a multiple of so many cells; else all between them."""
    start, stop = max(bounds.start, start), min(bounds.stop, stop)
    length = -(-(stop - start) // multiple) * multiple
    if length >= bounds.stop - bounds.start:
        return bounds
    start = max(bounds.start, start - (length - (stop - start)) // 2)
    start = min(start, bounds.stop - length)
    return slice(start, start + length)


def scales(label: Tensor, spec: FeatureSpec) -> range:
    """How often the picture is halved for an object, each one a look at it: from its label.

    Small things are seen at full size, others at half size too, very large ones at half and at a
    quarter, and so on: the decoder meets things of about one size in steps of its grid, however
    large the picture is. Two looks are better than either: one has the thin parts, one the whole.

    Args:
        label: `(h, w)`.
    """
    across = _across(label, spec)
    if across < 1:
        return range(1)
    most = spec.stride.bit_length() - 1
    first = min(most - 1, max(0, math.floor(math.log2(across / _WHOLE_TO)) + 1))
    return range(first, first + 2)


def _across(label: Tensor, spec: FeatureSpec) -> float:
    """The side of a square of an object's area, in `_HALVED_FROM` pixels."""
    return float(label.sum()) ** 0.5 * spec.stride / _HALVED_FROM


def halved(image: Tensor, times: int) -> Tensor:
    """`(C, H, W)` with sides `2 ** times` smaller, rounded up: means."""
    if not times:
        return image
    return F.avg_pool2d(image[None], 2**times, ceil_mode=True, count_include_pad=False)[0]


def finer(mask: Tensor, coarse: CoarseImage, times: int) -> Tensor:
    """A mask decoded from `halved`, at COARSE steps of the picture itself, along its edges."""
    if not times:
        return mask
    h, w = image_size(coarse.rgb)
    fine = F.interpolate(mask[None, None], scale_factor=2.0**times, mode="bilinear")[0]
    return coarse.filtered(fine[:, :h, :w])[0]


def _steps(cells: slice, stride: int, step: int) -> slice:
    """Cells in steps of a grid of that many pixels."""
    return slice(cells.start * stride // step, cells.stop * stride // step)
