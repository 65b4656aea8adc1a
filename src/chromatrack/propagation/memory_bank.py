"""The memory bank: which frames labels are copied from, and how much each is trusted on each."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from chromatrack.errors import InputError
from chromatrack.ops.affinity import RadiusShape


def _check_least(name: str, value: int, least: int) -> None:
    if value < least:
        raise InputError(f"{name}: expected a whole number >= {least}, came {value}")


REACH = 160
"""Pixels that a thing may have moved since a marked frame, where no radius is given."""

RECENT_REACH = 64
"""The same since a recent frame."""

TOP_K = 10
"""Cells to copy from, where nobody says."""

USUAL_STRIDE = 8
"""Pixels per cell where nobody says."""


@dataclass(frozen=True)
class PropagateConfig:
    """How labels are copied.

    first: keep the marked frames (the first labelled one, and others) in memory. recent: how many
    of the last frames, `spacing` frames apart. radius: window in cells around a cell's place on
    marked frames (the whole frame if `restrict_first` is False); recent_radius: on recent ones;
    None: as many cells as `REACH` and `RECENT_REACH` pixels are. temperature divides the cosine
    similarity. top_k: how many of the most similar cells to copy from; None: all in the windows.

    For the protocols of others (`measure.protocols`): kept: how many frames after the first one
    lie those that stay in memory with their labels, in windows of `radius`. fill: until `recent`
    frames have been, copies of the first marked one stand in for them. restrict_recent: False
    searches recent frames everywhere. similarity: `dot` leaves features as long as the network
    makes them. faint: object shares below this are background. harden: what is remembered of a
    frame is the largest label of every cell alone. moved_after: on frames more than this many
    frames away windows are moved to where a coarse search finds the cell (None: nowhere); it looks
    at every second cell there, one in three from twice as far on and so on, up to one in
    `moved_dilation`.
    """

    first: bool = True
    recent: int = 4
    spacing: int = 1
    top_k: int | None = TOP_K
    radius: int | None = None
    recent_radius: int | None = None
    radius_shape: RadiusShape = "square"
    restrict_first: bool = True
    temperature: float = 0.05
    kept: tuple[int, ...] = ()
    fill: bool = False
    restrict_recent: bool = True
    similarity: Literal["cosine", "dot"] = "cosine"
    faint: float = 0.01
    harden: bool = False
    moved_after: int | None = None
    moved_dilation: int = 4

    def __post_init__(self) -> None:
        object.__setattr__(self, "kept", tuple(self.kept))  # JSON has lists
        least_of = {"recent": 0, "spacing": 1, "top_k": 1, "moved_after": 1, "moved_dilation": 1}
        for name, least in least_of.items():
            if getattr(self, name) is not None:
                _check_least(name, getattr(self, name), least)
        for distance in self.kept:
            _check_least("kept", distance, 1)
        if not 0 <= self.faint < 1:
            raise InputError(f"faint: expected a share from 0 to below 1, came {self.faint}")
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

    def frames(self) -> list[Reference]:
        """All frames held, marked ones first."""
        return [*self.marked, *self.early, *self.rolling]

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
        for reference in [*self.early, *self.rolling]:
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
        radius = self.config.recent_radius if self.config.restrict_recent else None
        self.rolling.append(Reference(index, features, label_map, radius, trust))
        self.began = index if self.began is None else self.began
        if abs(index - self.began) in self.config.kept:
            self.early.append(replace(self.rolling[-1], radius=self._radius_of_marks))
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

    def widen(self, labels: int) -> None:
        """Make room for new labels, of which the frames so far know nothing; `labels` in all."""
        self.recalled = None
        for reference in self.frames():
            more = labels - len(reference.trust)
            reference.label_map = F.pad(reference.label_map, (0, 0, 0, 0, 0, more))
            reference.trust = F.pad(reference.trust, (0, more))
            if reference.shown is not None:
                reference.shown = F.pad(reference.shown, (0, more))

    def __len__(self) -> int:
        return len(self.frames())
