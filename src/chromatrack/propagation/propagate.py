"""Propagation: copy, settle, remember; one label map per frame, in constant memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from chromatrack.ops.affinity import SparseAffinity, tiled_affinity
from chromatrack.ops.compiled import window_max
from chromatrack.ops.coords import Box, FeatureSpec, image_size
from chromatrack.ops.dense_affinity import Pointer, dense_affinity
from chromatrack.ops.kept import kept_of
from chromatrack.ops.sparse_readout import can_read_sparse, read_sparse
from chromatrack.ops.window_search import WindowSearch
from chromatrack.propagation.config import PropagateConfig
from chromatrack.propagation.memory_bank import MemoryBank, Reference
from chromatrack.propagation.point_labels import Seen
from chromatrack.video.reader import Frame


@dataclass(frozen=True)
class FrameMarks:
    """What the user put on one frame.

    label_map: `(L, h, w)`. painted: `(L,)` bool, labels the user said something about; those of
    them that are 0 everywhere were declared lost. xy: exact `(x, y)` in cells of point channels.
    boxes: exact boxes of box channels, in working pixels.
    """

    label_map: Tensor
    painted: Tensor
    xy: Mapping[int, tuple[float, float]] = field(default_factory=dict)
    boxes: Mapping[int, Box] = field(default_factory=dict)

    @property
    def shown(self) -> Tensor:
        """`(L,)` bool: labels painted here and not declared lost."""
        return self.painted & (self.label_map.flatten(1).amax(1) > 0)


@dataclass(frozen=True)
class Input:
    """One frame on its way in.

    image: `(3, H, W)` float32 sRGB in [0, 1], as the encoder sees it.
    given: what the user put on this frame, if anything.
    frame: the source frame, handed through untouched.
    features: `(C, h, w)`, if it was embedded already. ab: `(2, h, w)` Lab colours of its cells, if
    they were looked at already.
    """

    index: int
    image: Tensor
    given: FrameMarks | None
    frame: Frame
    features: Tensor | None = None
    ab: Tensor | None = None


@dataclass(frozen=True)
class Readings:
    """What is read of one frame's labels, beside the label map.

    confidence: channel -> [0, 1], regions and boxes. boxes: channel -> box in working pixels. seen:
    the points. cut: a scene cut lies before. masks: `(R + B, H / 4, W / 4)` of the regions, then of
    what is in boxes, decoded; None: nothing decodes them.
    """

    confidence: Mapping[int, float]
    boxes: Mapping[int, Box]
    seen: Seen | None
    cut: bool
    masks: Tensor | None = None


@dataclass(frozen=True)
class Propagated:
    """One frame's result.

    label_map: `(L, h, w)` float32, None before the first labelled frame.
    entropy: pointer entropy `(h, w)` in [0, 1]; None where nothing was copied.
    features: `(C, h, w)`, None where the frame was not embedded.
    pointer: None where nothing was copied; copied_from: index of each frame it is over. Read it
    here and let go: it is of this frame alone. readings: None where `settle` makes none.
    """

    input: Input
    label_map: Tensor | None
    entropy: Tensor | None
    features: Tensor | None = None
    pointer: Pointer | None = None
    copied_from: tuple[int, ...] = ()
    readings: Readings | None = None


@dataclass(frozen=True)
class Settled:
    """What becomes of copied labels.

    label_map: `(L, h, w)`, kept and handed on. known: `(L,)` bool, False for labels about which
    this frame is to say nothing later (None: all are known). recalled: older views to copy from
    on the next frame besides the bank's. readings: what is read of the frame.
    """

    label_map: Tensor
    known: Tensor | None = None
    recalled: Reference | None = None
    readings: Readings | None = None


Settle = Callable[[Input, Tensor, Tensor | None], Settled]
"""(frame, its features, copied label map or None) -> what the user painted put over what was
copied, lost objects taken out, found ones put back."""


def paint_over(frame: Input, features: Tensor, copied: Tensor | None) -> Settled:
    """The plainest `Settle`: painted labels replace copied ones, channel by channel."""
    if frame.given is None:
        assert copied is not None
        return Settled(copied)
    if copied is None:
        return Settled(frame.given.label_map)
    painted = frame.given.painted[:, None, None]
    return Settled(torch.where(painted, frame.given.label_map, copied))


def reach(references: Sequence[Reference], *, size: tuple[int, int], faint: float = 0.0) -> Tensor:
    """Cells from which some reference's window holds more than background: `(h, w)` bool.

    All other cells copy background whatever their pointer is, so it need not be computed; nor where
    all labels in reach are below `faint`, as what is copied is a mean of them and is dropped.
    """
    least = _ROUNDING * faint
    seen = references[0].label_map.new_zeros(size, dtype=torch.bool)
    for reference in references:
        objects = _anything(reference.label_map)
        r = reference.reach
        if r is None:
            seen |= bool((objects > least).any())
            continue
        seen |= window_max(objects, r)[0] > least
    return seen


def _largest(label_map: Tensor) -> Tensor:
    """The largest of all labels but background: `(L, h, w)` -> `(1, h, w)`."""
    return label_map[1:].amax(0, keepdim=True)


_anything = kept_of(_largest)
_ROUNDING = 0.99  # of a share, so that none that is rounded up is passed over
_LEAST_TRUST = 0.05  # below this share of trusted frames, a cell's pointer hardly counts


def read_trusted(pointer: Pointer, references: Sequence[Reference]) -> Tensor:
    """Readout `(L, h, w)` in which every label is averaged over the frames trusted on it."""
    trust = torch.stack([r.trust for r in references])
    maps = [r.label_map for r in references]
    if isinstance(pointer, SparseAffinity) and can_read_sparse(maps):
        copied, weights = read_sparse(pointer.index, pointer.weight, maps, [*trust])
        if bool((trust == 1).all()):
            return copied
        return copied / (trust.float().T @ weights).clamp(min=_LEAST_TRUST).view_as(copied)
    label_maps = torch.stack(maps)
    if bool((trust == 1).all()):
        return pointer.readout(label_maps)
    spread = trust[:, :, None, None].expand_as(label_maps)
    share = pointer.readout(spread)
    return pointer.readout(label_maps * spread) / share.clamp(min=_LEAST_TRUST)


def copy_labels(
    features: Tensor,
    references: Sequence[Reference],
    config: PropagateConfig,
    *,
    background: bool = False,
    free: int = 0,
    search: WindowSearch | None = None,
) -> tuple[Tensor, Pointer]:
    """Copy label maps to a frame: `(C, h, w)` -> `(L, h, w)`, and the pointer used.

    The affinity is computed once, whatever the number of labels. `background`: channel 0 is
    background; cells that nothing else can reach are skipped, faint object shares dropped, so that
    label maps do not spread thinly. The last `free` channels do not share cells with the others
    (points, boxes). `search`: of the pass, see `tiled_affinity`.
    """
    pointer = _point(features, references, config, background=background, search=search)
    label_map = read_trusted(pointer, references)
    if background:
        label_map = torch.where(label_map < config.faint, 0, label_map)
        label_map = share_cells(label_map, free=free)
    return label_map, pointer


def _point(
    features: Tensor,
    references: Sequence[Reference],
    config: PropagateConfig,
    *,
    background: bool,
    search: WindowSearch | None = None,
) -> Pointer:
    """The pointer over the references: its `top_k` best cells, or all in the windows.

    Moved windows hold places between cells, so their pointer is the dense one with any `top_k`.
    """
    maps, radius = [r.features for r in references], [r.radius for r in references]
    size = image_size(features)
    active = reach(references, size=size, faint=config.faint) if background else None
    dilation = [r.dilation for r in references]
    if config.top_k is None or any(dilation):
        return dense_affinity(
            features,
            torch.stack(maps),
            radius=radius,
            temperature=config.temperature,
            radius_shape=config.radius_shape,
            dilation=dilation,
            top_k=config.top_k,
            active=active,
        )
    return tiled_affinity(
        features,
        maps,
        radius=radius,
        top_k=config.top_k,
        temperature=config.temperature,
        radius_shape=config.radius_shape,
        active=active,
        search=search,
    )


def harden(label_map: Tensor, *, free: int = 0) -> Tensor:
    """Leave the largest label of every cell alone: `(L, h, w)`, 1 or 0 but for the last `free`."""
    shared = label_map[: len(label_map) - free]
    hard = F.one_hot(shared.argmax(0), len(shared)).permute(2, 0, 1).to(label_map)
    return torch.cat([hard, label_map[len(label_map) - free :]])


def share_cells(label_map: Tensor, *, free: int = 0) -> Tensor:
    """Make background the rest: channels but the last `free` sum to 1 in every cell."""
    regions = label_map[1 : len(label_map) - free]
    regions = regions / regions.sum(0).clamp(min=1)
    rest = (1 - regions.sum(0, keepdim=True)).clamp(min=0)
    return torch.cat([rest, regions, label_map[len(label_map) - free :]])


@dataclass
class Propagator:
    """Carries labels from frame to frame, in whatever order the frames come.

    encode: `(B, 3, H, W)` -> `(B, C, h, w)`, unit length per cell. spec: the encoder's feature
    geometry; `clip_length` > 1 embeds the last frames together. settle: what becomes of the copied
    labels. background, free: as in `copy_labels`.
    """

    encode: Callable[[Tensor], Tensor]
    spec: FeatureSpec
    config: PropagateConfig
    settle: Settle = paint_over
    background: bool = False
    free: int = 0
    search: WindowSearch = field(init=False, default_factory=WindowSearch)
    bank: MemoryBank = field(init=False)
    clip: deque[Input] = field(init=False)

    def __post_init__(self) -> None:
        self.bank = MemoryBank(self.config)
        self.clip = deque(maxlen=self.spec.clip_length)

    def fork(self, settle: Settle) -> Propagator:
        """A copy that goes its own way."""
        twin = replace(self, settle=settle)
        twin.bank, twin.clip = self.bank.fork(), self.clip.copy()
        return twin

    @torch.inference_mode()
    def step(self, frame: Input) -> Propagated:
        """Label the next frame and remember it. Memory does not grow with the number of frames."""
        self.clip.append(frame)
        if frame.given is None and not self.bank.references(frame.index):
            return Propagated(frame, None, None)
        features = embed_last(self.clip, self.encode, self.spec, self.bank)
        references = self.bank.references(frame.index)
        copied, pointer = None, None
        if references:
            if self.bank.marked:
                self.search.lead_by(self.bank.marked[0].features)
            copied, pointer = copy_labels(
                features,
                references,
                self.config,
                background=self.background,
                free=self.free,
                search=self.search,
            )
        settled = self.settle(frame, features, copied)
        label_map = settled.label_map
        if self.config.harden:
            label_map = harden(label_map, free=self.free)
        if frame.given is not None:
            given = frame.given
            self.bank.mark(
                frame.index, features, label_map, shown=given.shown, renewed=given.painted
            )
        self.bank.add(frame.index, features, label_map, known=settled.known)
        self.bank.recalled = settled.recalled
        entropy = None if pointer is None else pointer.entropy()
        copied_from = tuple(reference.index for reference in references)
        return Propagated(
            frame, settled.label_map, entropy, features, pointer, copied_from, settled.readings
        )


def propagate(frames: Iterable[Input], propagator: Propagator) -> Iterator[Propagated]:
    """Carry labels through frames, one result a frame; before the first label they hold none."""
    for frame in frames:
        yield propagator.step(frame)


def embed_last(
    clip: deque[Input], encode: Callable[[Tensor], Tensor], spec: FeatureSpec, bank: MemoryBank
) -> Tensor:
    """Feature map `(C, h, w)` of the clip's last frame.

    An encoder that sees clips embeds the last frames together (the first repeated where there are
    too few), and the features of its references are renewed from the same pass, as in training.
    """
    if spec.clip_length == 1:
        last = clip[-1]
        return encode(last.image[None])[0] if last.features is None else last.features
    padded = [clip[0]] * (spec.clip_length - len(clip)) + list(clip)
    maps = encode(torch.stack([frame.image for frame in padded]))
    fresh = {frame.index: features for frame, features in zip(padded, maps, strict=True)}
    bank.renew(fresh)
    return maps[-1]
