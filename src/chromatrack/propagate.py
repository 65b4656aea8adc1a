"""Memory bank and propagation: a generator, one label map per frame, in constant memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from chromatrack.affinity import RadiusShape, SparseAffinity, tiled_affinity
from chromatrack.coords import image_size
from chromatrack.encoder import FeatureSpec
from chromatrack.errors import InputError
from chromatrack.video import Frame


def _check_least(name: str, value: int, least: int) -> None:
    if value < least:
        raise InputError(f"{name}: expected a whole number >= {least}, came {value}")


@dataclass(frozen=True)
class PropagateConfig:
    """How labels are copied.

    first: keep the marked frames (the first labelled one, and others) in memory. recent: how many
    of the last frames, `spacing` frames apart. radius: window in cells around a cell's place on
    marked frames (the whole frame if `restrict_first` is False); recent_radius: on recent ones.
    temperature divides the cosine similarity.
    """

    first: bool = True
    recent: int = 4
    spacing: int = 1
    top_k: int = 10
    radius: int = 20
    recent_radius: int = 8
    radius_shape: RadiusShape = "square"
    restrict_first: bool = True
    temperature: float = 0.05

    def __post_init__(self) -> None:
        for name, least in (("recent", 0), ("spacing", 1), ("top_k", 1)):
            _check_least(name, getattr(self, name), least)
        for name in ("radius", "recent_radius"):
            _check_least(name, getattr(self, name), 1 if self.radius_shape == "disc" else 0)
        if not self.temperature > 0:
            raise InputError(f"temperature: expected more than 0, came {self.temperature}")
        if not self.first and self.recent == 0:
            raise InputError("memory: expected first=True or recent >= 1, came neither")


@dataclass
class Reference:
    """One remembered frame: feature map `(C, h, w)`, label map `(L, h, w)`, window in cells.

    painted: `(L,)` bool, labels the user painted on this frame. trust: `(L,)` float in [0, 1], how
    much it has to say on each label: 0 on an object first painted later, half on one that the user
    painted again since, so that the last word wins where the two disagree.
    """

    index: int
    features: Tensor
    label_map: Tensor
    radius: int | None
    painted: Tensor
    trust: Tensor


@dataclass
class MemoryBank:
    """The reference frames in use: marked frames (kept) and the most recent ones (rolling).

    Its size is bounded by marked + recent, whatever the video's length.
    """

    config: PropagateConfig
    marked: list[Reference] = field(default_factory=list)
    rolling: deque[Reference] = field(default_factory=deque)

    def mark(
        self,
        index: int,
        features: Tensor,
        label_map: Tensor,
        *,
        painted: Tensor | None = None,
        whole_frame: bool = False,
    ) -> None:
        """Keep a frame the user labelled for good.

        On what was painted here (all labels, if `painted` is None), earlier marks lose half their
        trust, or all of it if the user had not painted it there. Predictions on recent frames are
        forgotten: this frame holds every label. `whole_frame` searches it without a window.
        """
        everything = torch.ones(len(label_map), dtype=torch.bool, device=label_map.device)
        painted = everything if painted is None else painted
        for earlier in self.marked:
            share = 0.5 * earlier.painted.float()
            earlier.trust = torch.where(painted, earlier.trust * share, earlier.trust)
        self.rolling.clear()
        free = whole_frame or not self.config.restrict_first
        radius = None if free else self.config.radius
        trust = everything.float()
        self.marked.append(Reference(index, features, label_map, radius, painted, trust))

    def add(self, index: int, features: Tensor, label_map: Tensor) -> None:
        """Remember a frame until `recent` younger ones have come."""
        trust = torch.ones(len(label_map), device=label_map.device)
        radius = self.config.recent_radius
        self.rolling.append(Reference(index, features, label_map, radius, trust < 0, trust))
        while len(self.rolling) > max(0, (self.config.recent - 1) * self.config.spacing + 1):
            self.rolling.popleft()

    def references(self) -> list[Reference]:
        """Frames to copy from, each once: marked ones first, then recent ones, youngest first."""
        recent = list(self.rolling)[::-1][:: self.config.spacing][: self.config.recent]
        kept = self.marked if self.config.first else []
        seen = {reference.index for reference in kept}
        return kept + [reference for reference in recent if reference.index not in seen]

    def __len__(self) -> int:
        return len(self.marked) + len(self.rolling)


@dataclass(frozen=True)
class Input:
    """One frame on its way in.

    image: `(3, H, W)` float32 sRGB in [0, 1], as the encoder sees it.
    given: `(L, h, w)` label map the user painted on this frame, if anything.
    frame: the source frame, handed through untouched.
    """

    index: int
    image: Tensor
    given: Tensor | None
    frame: Frame


@dataclass(frozen=True)
class Propagated:
    """One frame's result.

    label_map: `(L, h, w)` float32, None before the first labelled frame.
    entropy: pointer entropy `(h, w)` in [0, 1]; None where nothing was copied.
    """

    input: Input
    label_map: Tensor | None
    entropy: Tensor | None


Merge = Callable[[Tensor, Tensor | None], Tensor]
"""(what the user painted, what was predicted or None) -> the frame's label map."""


_FAINT = 0.01  # object shares below this are background: keeps label maps from spreading thinly


def reach(references: Sequence[Reference], *, size: tuple[int, int]) -> Tensor:
    """Cells from which some reference's window holds more than background: `(h, w)` bool.

    All other cells copy background whatever their pointer is, so it need not be computed.
    """
    seen = references[0].label_map.new_zeros(size, dtype=torch.bool)
    for reference in references:
        objects = reference.label_map[1:].amax(0, keepdim=True)
        if reference.radius is None:
            seen |= bool((objects > 0).any())
            continue
        r = reference.radius
        seen |= F.max_pool2d(objects[None], 2 * r + 1, 1, r)[0, 0] > 0
    return seen


_LEAST_TRUST = 0.05  # below this share of trusted frames, a cell's pointer hardly counts


def read_trusted(pointer: SparseAffinity, references: Sequence[Reference]) -> Tensor:
    """Readout `(L, h, w)` in which every label is averaged over the frames trusted on it."""
    label_maps = torch.stack([r.label_map for r in references])
    trust = torch.stack([r.trust for r in references])
    if bool((trust == 1).all()):
        return pointer.readout(label_maps)
    spread = trust[:, :, None, None].expand_as(label_maps)
    share = pointer.readout(spread)
    return pointer.readout(label_maps * spread) / share.clamp(min=_LEAST_TRUST)


def copy_labels(
    features: Tensor, bank: MemoryBank, config: PropagateConfig, *, background: bool = False
) -> tuple[Tensor, SparseAffinity]:
    """Copy the bank's label maps to a frame: `(C, h, w)` -> `(L, h, w)`, and the pointer used.

    The affinity is computed once, whatever the number of labels. `background`: channel 0 is
    background; cells that nothing else can reach are skipped, object shares under 1 % dropped.
    """
    references = bank.references()
    pointer = tiled_affinity(
        features,
        torch.stack([r.features for r in references]),
        radius=[r.radius for r in references],
        top_k=config.top_k,
        temperature=config.temperature,
        radius_shape=config.radius_shape,
        active=reach(references, size=image_size(features)) if background else None,
    )
    label_map = read_trusted(pointer, references)
    if background:
        label_map = torch.where(label_map < _FAINT, 0, label_map)
        label_map[1:] /= label_map[1:].sum(0).clamp(min=1)
        label_map[0] = (1 - label_map[1:].sum(0)).clamp(min=0)
    return label_map, pointer


@torch.inference_mode()
def propagate(
    frames: Iterable[Input],
    encode: Callable[[Tensor], Tensor],
    spec: FeatureSpec,
    *,
    merge: Merge,
    config: PropagateConfig,
    background: bool = False,
    bank: MemoryBank | None = None,
) -> Iterator[Propagated]:
    """Carry labels through frames, in order.

    Args:
        frames: frames of one size; those with something painted on them start or renew labels.
        encode: `(B, 3, H, W)` -> `(B, C, h, w)`, unit length per cell.
        spec: the encoder's feature geometry; `clip_length` > 1 embeds the last frames together.
        merge: combines what the user painted with the prediction for that frame.
        background: channel 0 of the label maps is background (object masks).
        bank: memory to start from (marked frames may already be in it).

    Yields:
        Propagated, one a frame. Memory does not grow with the number of frames.
    """
    bank = bank if bank is not None else MemoryBank(config)
    clip: deque[Input] = deque(maxlen=spec.clip_length)
    for frame in frames:
        clip.append(frame)
        if frame.given is None and not bank.references():
            yield Propagated(frame, None, None)
            continue
        features = embed_last(clip, encode, spec, bank)
        label_map, entropy = None, None
        if bank.references():
            label_map, pointer = copy_labels(features, bank, config, background=background)
            entropy = pointer.entropy()
        if frame.given is not None:
            label_map = merge(frame.given, label_map)
            painted = frame.given.flatten(1).amax(1) > 0 if background else None
            bank.mark(frame.index, features, label_map, painted=painted)
        assert label_map is not None
        bank.add(frame.index, features, label_map)
        yield Propagated(frame, label_map, entropy)


def embed_last(
    clip: deque[Input],
    encode: Callable[[Tensor], Tensor],
    spec: FeatureSpec,
    bank: MemoryBank,
) -> Tensor:
    """Feature map `(C, h, w)` of the clip's last frame.

    An encoder that sees clips embeds the last frames together (the first repeated where there are
    too few), and the features of its references are renewed from the same pass, as in training.
    """
    if spec.clip_length == 1:
        return encode(clip[-1].image[None])[0]
    padded = [clip[0]] * (spec.clip_length - len(clip)) + list(clip)
    maps = encode(torch.stack([frame.image for frame in padded]))
    fresh = {frame.index: features for frame, features in zip(padded, maps, strict=True)}
    for reference in [*bank.marked, *bank.rolling]:
        reference.features = fresh.get(reference.index, reference.features)
    return maps[-1]
