"""Where the labels of a layout are when labels come or go."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from chromatrack.propagation.layout import Layout, channel_names


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
