"""Which channel of a label map is what, and where it is when labels come or go."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from chromatrack.structures import LabelName


@dataclass(frozen=True)
class Layout:
    """What the channels of a label map are: background, regions, boxes, points, in this order.

    regions, boxes: object ids. points: names of points and joints.
    """

    regions: tuple[int, ...] = ()
    boxes: tuple[int, ...] = ()
    points: tuple[LabelName, ...] = ()

    @property
    def free(self) -> int:
        """How many of the last channels do not share cells with others."""
        return len(self.boxes) + len(self.points)

    @property
    def region_channels(self) -> range:
        """Channels of the regions."""
        return range(1, 1 + len(self.regions))

    @property
    def box_channels(self) -> range:
        """Channels of the boxes."""
        return range(1 + len(self.regions), 1 + len(self.regions) + len(self.boxes))

    @property
    def first_point(self) -> int:
        """Channel of the first point."""
        return 1 + len(self.regions) + len(self.boxes)

    def grown(self, more: Layout) -> Layout:
        """With more labels, the new ones behind the old ones of their kind."""
        return Layout(
            tuple(dict.fromkeys(self.regions + more.regions)),
            tuple(dict.fromkeys(self.boxes + more.boxes)),
            tuple(dict.fromkeys(self.points + more.points)),
        )

    def without(self, labels: set[LabelName]) -> Layout:
        """Without some labels."""
        return Layout(
            tuple(i for i in self.regions if ("object", i, 0) not in labels),
            tuple(i for i in self.boxes if ("box", i, 0) not in labels),
            tuple(name for name in self.points if name not in labels),
        )

    def __len__(self) -> int:
        return self.first_point + len(self.points)


def channel_names(layout: Layout) -> list[LabelName]:
    """Names of the channels of a label map, from channel 1 on."""
    regions: list[LabelName] = [("object", i, 0) for i in layout.regions]
    return [*regions, *(("box", i, 0) for i in layout.boxes), *layout.points]


@dataclass(frozen=True)
class Relabeling:
    """The way of labels from the channels of one layout to those of another.

    new: made by `old.grown` or `old.without`. Labels that are new hold nothing yet.
    """

    old: Layout
    new: Layout

    @property
    def _sources(self) -> list[int]:
        """For every new channel the old one, -1 where there is none."""
        before = {name: channel for channel, name in enumerate(channel_names(self.old), start=1)}
        return [0, *(before.get(name, -1) for name in channel_names(self.new))]

    @property
    def channels(self) -> dict[int, int]:
        """Old channel -> new one, of all labels that stay."""
        return {old: new for new, old in enumerate(self._sources) if old > 0}

    @property
    def rows(self) -> list[int]:
        """For every new point the old one's row, as far as there is one; the others come last."""
        first = self.old.first_point
        kept = [source - first for source in self._sources[self.new.first_point :]]
        rows = [row for row in kept if row >= 0]
        assert kept[: len(rows)] == rows, "new points come last"
        return rows

    def carry(self, values: Tensor) -> Tensor:
        """`(L, ...)` of the old layout -> `(L', ...)` of the new one, 0 for labels that are new."""
        pick = torch.tensor(self._sources, device=values.device)
        known = (pick >= 0).reshape(-1, *[1] * (values.ndim - 1))
        return values[pick.clamp(min=0)] * known
