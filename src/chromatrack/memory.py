"""The memory bank: which frames labels are copied from, and how much each is trusted on each."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from chromatrack.affinity import RadiusShape
from chromatrack.errors import InputError


def _check_least(name: str, value: int, least: int) -> None:
    if value < least:
        raise InputError(f"{name}: expected a whole number >= {least}, came {value}")


REACH = 160
"""Pixels that a thing may have moved since a marked frame, where no radius is given."""

RECENT_REACH = 64
"""The same since a recent frame."""

USUAL_STRIDE = 8
"""Pixels per cell where nobody says."""


@dataclass(frozen=True)
class PropagateConfig:
    """How labels are copied.

    first: keep the marked frames (the first labelled one, and others) in memory. recent: how many
    of the last frames, `spacing` frames apart. radius: window in cells around a cell's place on
    marked frames (the whole frame if `restrict_first` is False); recent_radius: on recent ones;
    None: as many cells as `REACH` and `RECENT_REACH` pixels are. temperature divides the cosine
    similarity.
    """

    first: bool = True
    recent: int = 4
    spacing: int = 1
    top_k: int = 10
    radius: int | None = None
    recent_radius: int | None = None
    radius_shape: RadiusShape = "square"
    restrict_first: bool = True
    temperature: float = 0.05

    def __post_init__(self) -> None:
        for name, least in (("recent", 0), ("spacing", 1), ("top_k", 1)):
            _check_least(name, getattr(self, name), least)
        for name in ("radius", "recent_radius"):
            if getattr(self, name) is not None:
                _check_least(name, getattr(self, name), 1 if self.radius_shape == "disc" else 0)
        if not self.temperature > 0:
            raise InputError(f"temperature: expected more than 0, came {self.temperature}")
        if not self.first and self.recent == 0:
            raise InputError("memory: expected first=True or recent >= 1, came neither")

    def at_stride(self, stride: int) -> PropagateConfig:
        """With the windows that were left open filled in for cells of `stride` pixels."""
        radius = REACH // stride if self.radius is None else self.radius
        recent = RECENT_REACH // stride if self.recent_radius is None else self.recent_radius
        return replace(self, radius=radius, recent_radius=recent)


@dataclass
class Reference:
    """One remembered frame: feature map `(C, h, w)`, label map `(L, h, w)`, window in cells.

    trust: `(L,)` float in [0, 1], how much it has to say on each label. shown: `(L,)` bool, labels
    that the user painted on this frame; None on frames that the user did not paint, and on marks
    that count for every label wherever they are.
    """

    index: int
    features: Tensor
    label_map: Tensor
    radius: int | None
    trust: Tensor
    shown: Tensor | None = None


def _speaks(trust: Tensor) -> bool:
    """Whether a frame is trusted on any label; background alone is made up from the others."""
    return bool(trust[min(1, len(trust) - 1) :].any())


@dataclass
class MemoryBank:
    """The reference frames in use: marked frames and the most recent ones (rolling).

    A label is copied from the marks next to the target that show it, one on either side, and from
    recent frames since the last of them. So a mark changes nothing beyond its neighbours. The size
    is bounded by marks + recent, whatever the video's length.
    """

    config: PropagateConfig
    marked: list[Reference] = field(default_factory=list)
    rolling: deque[Reference] = field(default_factory=deque)
    recalled: Reference | None = None

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
        free = whole_frame or not self.config.restrict_first
        radius = None if free else self.config.radius
        trust = torch.ones(len(label_map), device=label_map.device)
        self.marked = [mark for mark in self.marked if mark.index != index]
        self.marked.append(Reference(index, features, label_map, radius, trust, shown))

    def _forget(self, renewed: Tensor | None) -> None:
        if renewed is None:
            self.rolling.clear()
            return
        for reference in self.rolling:
            reference.trust = torch.where(renewed, 0, reference.trust)

    def add(
        self, index: int, features: Tensor, label_map: Tensor, *, known: Tensor | None = None
    ) -> None:
        """Remember a frame until `recent` younger ones have come.

        known: `(L,)` bool, labels about which the frame says something; None: all.
        """
        trust = torch.ones(len(label_map), device=label_map.device)
        if known is not None:
            trust = trust * known
        self.rolling.append(Reference(index, features, label_map, self.config.recent_radius, trust))
        while len(self.rolling) > max(0, (self.config.recent - 1) * self.config.spacing + 1):
            self.rolling.popleft()

    def neighbours(self, index: int) -> list[Reference]:
        """Marks to copy from at frame `index`, each trusted on the labels it is next for."""
        for mark in self.marked:
            if mark.shown is not None:
                mark.trust = mark.shown.float()
        for earlier in (True, False):
            side = [m for m in self.marked if m.shown is not None and (m.index <= index) == earlier]
            side.sort(key=lambda mark: abs(mark.index - index))
            taken: Tensor | None = None
            for mark in side:
                if taken is not None:
                    mark.trust = torch.where(taken, 0, mark.trust)
                assert mark.shown is not None
                taken = mark.shown if taken is None else taken | mark.shown
        return [mark for mark in self.marked if _speaks(mark.trust)]

    def references(self, index: int) -> list[Reference]:
        """Frames to copy from at frame `index`: marked ones, then recent ones, youngest first.

        A recent frame that is also marked says only what the user did not paint on it.
        """
        recent = list(self.rolling)[::-1][:: self.config.spacing][: self.config.recent]
        kept = self.neighbours(index) if self.config.first else []
        shown = {mark.index: mark.shown for mark in kept}
        for reference in recent:
            trust = reference.trust
            if reference.index in shown:
                painted = shown[reference.index]
                trust = trust * 0 if painted is None else trust * ~painted
            if _speaks(trust):
                kept.append(replace(reference, trust=trust))
        return kept + ([] if self.recalled is None else [self.recalled])

    def widen(self, labels: int) -> None:
        """Make room for new labels, of which the frames so far know nothing; `labels` in all."""
        self.recalled = None
        for reference in [*self.marked, *self.rolling]:
            more = labels - len(reference.trust)
            reference.label_map = F.pad(reference.label_map, (0, 0, 0, 0, 0, more))
            reference.trust = F.pad(reference.trust, (0, more))
            if reference.shown is not None:
                reference.shown = F.pad(reference.shown, (0, more))

    def __len__(self) -> int:
        return len(self.marked) + len(self.rolling)
