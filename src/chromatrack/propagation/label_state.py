"""All kinds of labels in one label map: which channel is what, and what is read from it."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from chromatrack.ops.coords import FeatureSpec
from chromatrack.ops.shot_boundary import CutDetector
from chromatrack.propagation.box_foreground import object_in_box
from chromatrack.propagation.box_labels import BoxTracks
from chromatrack.propagation.config import PropagateConfig
from chromatrack.propagation.label_maps import merge_given
from chromatrack.propagation.layout import Layout
from chromatrack.propagation.mask_decoding import Decode, MaskDecoding
from chromatrack.propagation.point_labels import PointTracks, Seen
from chromatrack.propagation.propagate import FrameMarks, Input, Readings, Settled, share_cells
from chromatrack.propagation.redetection import Redetector
from chromatrack.propagation.relabeling import Relabeling


@dataclass
class LabelState:
    """The state of every label beside the memory bank; `settle` is a propagation's `Settle`.

    decode: what makes masks of copied labels, if anything does. narrow: as of `MaskDecoding`.
    """

    layout: Layout
    spec: FeatureSpec
    config: PropagateConfig
    redetect: bool = True
    decode: Decode | None = None
    narrow: bool = False
    cuts: CutDetector = field(default_factory=CutDetector)
    boxes: BoxTracks = field(init=False)
    redetector: Redetector = field(init=False)
    points: PointTracks = field(init=False)
    masks: MaskDecoding = field(init=False)
    ended: Tensor = field(init=False)

    def __post_init__(self) -> None:
        layout = self.layout
        self.boxes = BoxTracks(self.spec)
        config = self.config.at_stride(self.spec.stride)
        self.redetector = Redetector(layout.region_channels, layout.box_channels, config)
        self.points = PointTracks(self.spec, layout.points)
        self.masks = MaskDecoding(layout, self.spec, self.decode, narrow=self.narrow)
        self.ended = torch.zeros(len(layout), dtype=torch.bool)

    def settle(self, frame: Input, features: Tensor, copied: Tensor | None) -> Settled:
        """Put painted over copied, take out what is lost, put in what is found, place points."""
        layout, given = self.layout, frame.given
        cut = self.cuts.is_cut(frame.image)
        copied = self._near_boxes(copied)
        if given is not None:
            given = self.prepare(given, features, frame.image)
        label_map = self._merge(given, copied)
        known = torch.ones(len(label_map), dtype=torch.bool, device=features.device)
        if self.redetect:
            label_map, known = self.redetector.settle(
                frame.index, features, label_map, given, cut=cut
            )
        else:
            label_map, known = self._without_ended(label_map, known, given)
        seen = None
        if layout.points:
            first = layout.first_point
            places = {} if given is None else self._given_points(given)
            soft = None if copied is None else label_map[first:] * (0 if cut else 1)
            bumps, trusted, seen = self.points.follow(features, frame.image, soft, places)
            label_map = torch.cat([label_map[:first], bumps])
            known = torch.cat([known[:first], trusted])
        label_map = share_cells(label_map, free=layout.free)
        label_map, masks = self.masks.read(frame, features, label_map, given)
        if masks is not None:
            label_map = share_cells(label_map, free=layout.free)
        size = (features.shape[1], features.shape[2])
        recalled = self.redetector.reference(frame.index, size, len(label_map))
        readings = self._read(frame.image, label_map, given, seen, cut, masks)
        return Settled(label_map, known, recalled, replace(readings, masks=masks))

    def fork(self) -> LabelState:
        """A copy that goes its own way; what no frame changes in place is shared."""
        twin = copy.copy(self)
        twin.cuts, twin.boxes = self.cuts.fork(), self.boxes.fork()
        twin.redetector, twin.points = self.redetector.fork(), self.points.fork()
        twin.masks = self.masks.fork()
        return twin

    def relabel(self, way: Relabeling) -> None:
        """Move all labels to the channels of another layout."""
        self.redetector.relabel(way)
        self.boxes.relabel(way)
        self.points.relabel(way)
        self.masks.relabel(way)
        self.ended, self.layout = way.carry(self.ended), way.new

    def prepare(self, given: FrameMarks, features: Tensor, image: Tensor) -> FrameMarks:
        """What the user gave, with the objects inside boxes found on the frame."""
        label_map = given.label_map.clone()
        for channel in self.layout.box_channels:
            if bool(given.shown[channel]):
                box, covered = given.boxes[channel], label_map[channel]
                found = object_in_box(image, features, covered, box, spec=self.spec)
                label_map[channel] = found
        return FrameMarks(label_map, given.painted, given.xy, given.boxes)

    def _near_boxes(self, copied: Tensor | None) -> Tensor | None:
        """Copied labels, those of boxes near where each is expected."""
        if copied is None or not self.layout.boxes:
            return copied
        copied = copied.clone()
        for channel in self.layout.box_channels:
            copied[channel] = self.boxes.kept_near(channel, copied[channel])
        return copied

    def _merge(self, given: FrameMarks | None, copied: Tensor | None) -> Tensor:
        if given is None:
            assert copied is not None
            return copied
        if copied is None:
            return given.label_map
        last = self.layout.region_channels.stop
        regions = merge_given(given.label_map[:last], copied[:last], painted=given.painted[:last])
        painted = given.painted[last:, None, None]
        free = torch.where(painted, given.label_map[last:], copied[last:])
        return torch.cat([regions, free])

    def _without_ended(
        self, label_map: Tensor, known: Tensor, given: FrameMarks | None
    ) -> tuple[Tensor, Tensor]:
        """Nobody looks for what the user declared lost: it stays so until it is shown again."""
        self.ended = self.ended.to(label_map.device)
        if given is not None:
            self.ended = torch.where(given.painted, ~given.shown, self.ended)
            self.ended[0], self.ended[self.layout.first_point :] = False, False
        return label_map * ~self.ended[:, None, None], known & ~self.ended

    def _given_points(self, given: FrameMarks) -> dict[int, tuple[float, float] | None]:
        """Number of each point that the user spoke of -> its place, None where declared lost."""
        first = self.layout.first_point
        numbers = given.painted[first:].nonzero()[:, 0].tolist()
        return {number: given.xy.get(first + number) for number in numbers}

    def _read(
        self,
        image: Tensor,
        label_map: Tensor,
        given: FrameMarks | None,
        seen: Seen | None,
        cut: bool,
        masks: Tensor | None,
    ) -> Readings:
        channels = [*self.layout.region_channels, *self.layout.box_channels]
        if self.redetect:
            confidence = {c: self.redetector.objects[c].confidence for c in channels}
        else:
            confidence = {c: float(label_map[c].max()) for c in channels}
        boxes = {}
        for channel in self.layout.box_channels:
            if given is not None and channel in given.boxes:
                self.boxes.draw(channel, given.boxes[channel], label_map[channel], image)
                boxes[channel] = given.boxes[channel]
                continue
            mask = None if masks is None else masks[channel - 1]
            box = self.boxes.read(channel, label_map[channel], image, mask)
            if box is not None:
                boxes[channel] = box
        return Readings(confidence, boxes, seen, cut)
