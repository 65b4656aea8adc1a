"""The memory bank: which frames labels are copied from, and how much each is trusted on each."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from chromatrack.propagation.config import USUAL_STRIDE, PropagateConfig
from chromatrack.propagation.relabeling import Relabeling


@dataclass(frozen=True)
class Reference:
    """One remembered frame: feature map `(C, h, w)`, label map `(L, h, w)`, window in cells.

    trust: `(L,)` float in [0, 1], how much it has to say on each label. shown: `(L,)` bool, labels
    that the user painted on this frame; None on frames that the user did not paint, and on marks
    that count for every label wherever they are. dilation: cells from one to the next in the coarse
    search that moves the windows; None: they stay where they are.
    """

    index: int
    features: Tensor
    label_map: Tensor
    radius: int | None
    trust: Tensor
    shown: Tensor | None = None
    dilation: int | None = None

    @property
    def reach(self) -> int | None:
        """Cells from a cell's place to the farthest that its window may hold; None: everywhere."""
        if self.radius is None or self.dilation is None:
            return self.radius
        return self.radius * (self.dilation + 1) + 1  # it may lie between two cells


def _speaks(trust: Tensor) -> bool:
    """Whether a frame is trusted on any label; background alone is made up from the others."""
    return bool(trust[min(1, len(trust) - 1) :].any())


@dataclass
class MemoryBank:
    """The reference frames in use: marked frames, early ones kept, the most recent ones (rolling).

    A label is copied from the marks next to the target that show it, one on either side, and from
    recent frames since the last of them. So a mark changes nothing beyond its neighbours. The size
    is bounded by marks + kept + recent, whatever the video's length.
    """

    config: PropagateConfig
    marked: list[Reference] = field(default_factory=list)
    early: list[Reference] = field(default_factory=list)
    rolling: deque[Reference] = field(default_factory=deque)
    recalled: Reference | None = None
    began: int | None = None

    def __post_init__(self) -> None:
        self.config = self.config.at_stride(USUAL_STRIDE)  # what is still open

    def mark(
        self,
        index: int,
        features: Tensor,
        label_map: Tensor,
        *,
        shown: Tensor | None = None,
        renewed: Tensor | None = None,
        whole_frame: bool = False,
    ) -> None:
        """Keep a frame the user labelled.

        shown: `(L,)` bool, labels to be copied from it wherever it is a label's next mark; None:
        all labels, from everywhere. renewed: `(L,)` bool, labels whose predictions on recent frames
        are forgotten (None: all), because this frame is the last word on them. `whole_frame`
        searches it without a window.
        """
        self._forget(renewed)
        trust = torch.ones(len(label_map), device=label_map.device)
        radius = None if whole_frame else self._radius_of_marks
        self.marked = [mark for mark in self.marked if mark.index != index]
        self.marked.append(Reference(index, features, label_map, radius, trust, shown))

    @property
    def _radius_of_marks(self) -> int | None:
        return self.config.radius if self.config.restrict_first else None

    def _forget(self, renewed: Tensor | None) -> None:
        if renewed is None:
            self.rolling.clear()
            self.early.clear()
            return

        def forget(held: Reference) -> Reference:
            return replace(held, trust=torch.where(renewed, 0, held.trust))

        self.early, self.rolling = [*map(forget, self.early)], deque(map(forget, self.rolling))

    def renew(self, features: Mapping[int, Tensor]) -> None:
        """Give frames, by index, the features of a later pass of the encoder."""
        self._change(lambda held: replace(held, features=features.get(held.index, held.features)))

    def relabel(self, way: Relabeling) -> set[int]:
        """Move all labels to other channels; returns marked frames that show nothing any more."""
        if len(way.new) == 1:
            self.marked, self.early, self.recalled = [], [], None
            self.rolling.clear()

        def carried(held: Reference) -> Reference:
            shown = None if held.shown is None else way.carry(held.shown)
            label_map, trust = way.carry(held.label_map), way.carry(held.trust)
            return replace(held, label_map=label_map, trust=trust, shown=shown)

        self._change(carried)
        self.recalled = None if self.recalled is None else carried(self.recalled)
        useless = {m.index for m in self.marked if m.shown is not None and not m.shown[1:].any()}
        self.marked = [mark for mark in self.marked if mark.index not in useless]
        return useless

    def fork(self) -> MemoryBank:
        """A copy that goes its own way."""
        return replace(
            self, marked=[*self.marked], early=[*self.early], rolling=self.rolling.copy()
        )

    def _change(self, change: Callable[[Reference], Reference]) -> None:
        self.marked, self.early = [*map(change, self.marked)], [*map(change, self.early)]
        self.rolling = deque(map(change, self.rolling))

    def add(
        self, index: int, features: Tensor, label_map: Tensor, *, known: Tensor | None = None
    ) -> None:
        """Remember a frame until `recent` younger ones have come.

        known: `(L,)` bool, labels about which the frame says something; None: all.
        """
        trust = torch.ones(len(label_map), device=label_map.device)
        if known is not None:
            trust = trust * known
        radius = self.config.recent_radius if self.config.restrict_recent else None
        self.rolling.append(Reference(index, features, label_map, radius, trust))
        self.began = index if self.began is None else self.began
        if abs(index - self.began) in self.config.pinned:
            self.early.append(replace(self.rolling[-1], radius=self._radius_of_marks))
        while len(self.rolling) > max(0, (self.config.recent - 1) * self.config.spacing + 1):
            self.rolling.popleft()

    def neighbours(self, index: int) -> list[Reference]:
        """Marks to copy from at frame `index`, each trusted on the labels it is next for."""
        trust = {mark.index: mark.trust for mark in self.marked}
        for earlier in (True, False):
            taken: Tensor | None = None
            for mark in sorted(self.marked, key=lambda mark: abs(mark.index - index)):
                if mark.shown is None or (mark.index <= index) != earlier:
                    continue
                taken = torch.zeros_like(mark.shown) if taken is None else taken
                trust[mark.index] = (mark.shown & ~taken).float()
                taken = taken | mark.shown
        found = [replace(mark, trust=trust[mark.index]) for mark in self.marked]
        return [mark for mark in found if _speaks(mark.trust)]

    def references(self, index: int) -> list[Reference]:
        """Frames to copy from at frame `index`: marked ones, then recent ones, youngest first.

        A recent frame that is also marked says only what the user did not paint on it.
        """
        recent = list(self.rolling)[::-1][:: self.config.spacing][: self.config.recent]
        kept = self.neighbours(index) if self.config.first else []
        shown = {mark.index: mark.shown for mark in kept}
        copies = self._copies(kept, recent) if self.config.fill else []
        held = {reference.index for reference in recent}
        early = [reference for reference in self.early if reference.index not in held]
        for reference in [*early, *recent]:
            trust = reference.trust
            if reference.index in shown:
                painted = shown[reference.index]
                trust = trust * 0 if painted is None else trust * ~painted
            if _speaks(trust):
                kept.append(replace(reference, trust=trust))
        kept = [self._dilated(reference, index) for reference in kept]
        return kept + copies + ([] if self.recalled is None else [self.recalled])

    def _dilated(self, reference: Reference, index: int) -> Reference:
        """The reference as it is searched from frame `index`: long ago in moved windows."""
        after, apart = self.config.moved_after, abs(index - reference.index)
        if after is None or reference.radius is None or apart <= after:
            return reference
        dilation = min(self.config.moved_dilation, apart // after + 1)
        return replace(reference, dilation=dilation)

    def _copies(self, marks: list[Reference], recent: list[Reference]) -> list[Reference]:
        """The first mark in the windows of recent frames, once for each that is still missing."""
        if not marks:
            return []
        first = marks[0]
        missing = self.config.recent - sum(reference.index != first.index for reference in recent)
        return [replace(first, radius=self.config.recent_radius)] * missing
