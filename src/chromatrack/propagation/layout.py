"""Which channel of a label map is what."""

from __future__ import annotations

from dataclasses import dataclass

from chromatrack.structures import LabelName


@dataclass(frozen=True)
class Layout:
    """What the channels of a label map are: background, regions, boxes, points, in this order.

    regions, boxes: object ids. points: names of points and joints that were marked somewhere.
    unmarked: names of joints that never were: they have no channel, and are nowhere.
    """

    regions: tuple[int, ...] = ()
    boxes: tuple[int, ...] = ()
    points: tuple[LabelName, ...] = ()
    unmarked: tuple[LabelName, ...] = ()

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

    def joints(self) -> dict[int, int]:
        """How many joints each skeleton has, by its id, marked or not."""
        counts: dict[int, int] = {}
        for kind, number, joint in (*self.points, *self.unmarked):
            if kind == "joint":
                counts[number] = max(counts.get(number, 0), joint + 1)
        return counts

    def grown(self, more: Layout) -> Layout:
        """With more labels, the new ones behind the old ones of their kind."""
        points = tuple(dict.fromkeys(self.points + more.points))
        unmarked = dict.fromkeys(self.unmarked + more.unmarked)
        return Layout(
            tuple(dict.fromkeys(self.regions + more.regions)),
            tuple(dict.fromkeys(self.boxes + more.boxes)),
            points,
            tuple(name for name in unmarked if name not in points),
        )

    def without(self, labels: set[LabelName]) -> Layout:
        """Without some labels."""
        return Layout(
            tuple(i for i in self.regions if ("object", i, 0) not in labels),
            tuple(i for i in self.boxes if ("box", i, 0) not in labels),
            tuple(name for name in self.points if name not in labels),
            tuple(name for name in self.unmarked if name not in labels),
        )

    def __len__(self) -> int:
        return self.first_point + len(self.points)


def channel_names(layout: Layout) -> list[LabelName]:
    """Names of the channels of a label map, from channel 1 on."""
    regions: list[LabelName] = [("object", i, 0) for i in layout.regions]
    return [*regions, *(("box", i, 0) for i in layout.boxes), *layout.points]
