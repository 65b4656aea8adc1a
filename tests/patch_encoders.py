"""Encoders without weights, and clips whose motion is exact, for tests of the tracker's core."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from chromatrack.model.encoder import Encoder
from chromatrack.ops.coords import FeatureSpec
from chromatrack.ops.resample import planes
from chromatrack.propagation.label_maps import masks_to_label_map
from chromatrack.propagation.label_state import LabelState
from chromatrack.propagation.layout import Layout
from chromatrack.propagation.memory_bank import MemoryBank, Reference
from chromatrack.propagation.propagate import (
    FrameMarks,
    Input,
    PropagateConfig,
    Propagated,
    Propagator,
    Readings,
    propagate,
)
from chromatrack.tracking.marks import Marks
from chromatrack.video.reader import Frame

SIZE, CELLS = (96, 128), (12, 16)
SPEC = FeatureSpec(48, 8, 3.5)


def patches(images: Tensor) -> Tensor:
    """Identity-like encoder: every 8x8 block as 4x4 RGB averages, centred, unit length."""
    blocks = F.pixel_unshuffle(F.avg_pool2d(images, 2), 4)
    return F.normalize(blocks - 0.5, dim=1)


SMOOTH_SPEC = FeatureSpec(27, 4, 1.5)


def smooth_patches(images: Tensor) -> Tensor:
    """Every cell of 4 px as the 3x3 RGB averages of 8 px blocks around it: it varies smoothly."""
    blocks = F.avg_pool2d(F.pad(images, (2, 2, 2, 2), mode="replicate"), 8, 4)
    h, w = blocks.shape[-2:]
    around = F.unfold(F.pad(blocks, (1, 1, 1, 1), mode="replicate"), 3)
    around = around.reshape(len(images), -1, h, w)
    return F.normalize(around - 0.5, dim=1)


class SmoothEncoder(Encoder):
    """`smooth_patches` as an encoder that a `Tracker` takes."""

    spec = SMOOTH_SPEC

    def forward(self, rgb: Tensor) -> Tensor:
        return smooth_patches(rgb)


def translating(count: int, *, step: int = 8, seed: int = 0) -> list[Tensor]:
    """(3, H, W) frames: a random texture that moves `step` px to the right per frame."""
    generator = torch.Generator().manual_seed(seed)
    wide = torch.rand(3, SIZE[0], SIZE[1] + step * count, generator=generator)
    starts = [step * (count - i) for i in range(count)]
    return [wide[..., s : s + SIZE[1]] for s in starts]


def waves(
    x: np.ndarray, y: np.ndarray, *, seed: int = 0, count: int = 16, shortest: float = 12
) -> np.ndarray:
    """A smooth texture known at every real position: `(...)` x and y in px -> `(..., 3)` in [0, 1].

    A sum of plane waves no shorter than `shortest` px, so that it can be moved by any fraction of
    a pixel without interpolation.
    """
    rng = np.random.default_rng(seed)
    angle = rng.uniform(0, 2 * np.pi, count)
    length = rng.uniform(shortest, 4 * shortest, count)
    phase = rng.uniform(0, 2 * np.pi, (count, 3))
    kx, ky = 2 * np.pi * np.cos(angle) / length, 2 * np.pi * np.sin(angle) / length
    turn = x[..., None] * kx + y[..., None] * ky
    value = np.real(np.exp(1j * turn) @ np.exp(1j * phase)) / np.sqrt(count / 2)
    return 0.5 + 0.5 * np.tanh(0.8 * value)


def wave_frame(
    shift: tuple[float, float] = (0.0, 0.0), *, size: tuple[int, int] = SIZE, seed: int = 0
) -> np.ndarray:
    """(H, W, 3) float32 in [0, 1]: the waves moved by `shift` (x, y) px to the right and down."""
    y, x = np.mgrid[: size[0], : size[1]].astype(np.float64)
    return waves(x - shift[0], y - shift[1], seed=seed).astype(np.float32)


def image_of(frame: np.ndarray) -> Tensor:
    """(H, W, 3) float in [0, 1] -> (3, H, W) float32."""
    return planes(frame).float().contiguous()


def square(left: int, top: int = 32, side: int = 40, value: int = 1) -> np.ndarray:
    mask = np.zeros(SIZE, dtype=np.int32)
    mask[top : top + side, left : left + side] = value
    return mask


def label_map(mask: np.ndarray, ids: tuple[int, ...] = (1,)) -> Tensor:
    return masks_to_label_map(mask, ids=ids, size=SIZE, spec=SPEC)


def painted(soft: Tensor, *, lost: tuple[int, ...] = ()) -> FrameMarks:
    """A given frame: what holds anything was painted; channels `lost` were declared lost."""
    said = soft.flatten(1).amax(1) > 0
    said[[0, *lost]] = True
    return FrameMarks(soft, said)


def blank_frame(index: int) -> Frame:
    return Frame(np.zeros((1, 1, 3), np.uint8), index, 0.0)


def inputs(images: Iterable[Tensor], given: Mapping[int, FrameMarks]) -> Iterator[Input]:
    for index, image in enumerate(images):
        yield Input(index, image, given.get(index), blank_frame(index))


def kinds_run(
    images: Iterable[Tensor],
    given: Mapping[int, FrameMarks],
    layout: Layout,
    *,
    spec: FeatureSpec = SMOOTH_SPEC,
    encode: Callable[[Tensor], Tensor] = smooth_patches,
    config: PropagateConfig | None = None,
    redetect: bool = True,
) -> Iterator[tuple[Propagated, Readings]]:
    """Carry all kinds of labels through images: every step with what was read of it."""
    config = config or PropagateConfig(radius=6, recent_radius=4)
    labels = LabelState(layout, spec, config, redetect=redetect)
    runner = Propagator(
        encode, spec, config, settle=labels.settle, background=True, free=layout.free
    )
    for step in propagate(inputs(images, given), runner):
        assert step.readings is not None
        yield step, step.readings


def held(bank: MemoryBank) -> list[Reference]:
    """All frames that a memory bank holds."""
    return [*bank.marked, *bank.early, *bank.rolling]


def present(label_map: Tensor | None, readings: Readings) -> dict[int, bool]:
    """channel -> whether a region or box holds some of a cell."""
    assert label_map is not None
    return {channel: bool((label_map[channel] > 0.3).any()) for channel in readings.confidence}


def given_on(
    marks: Marks, index: int, image: Tensor, spec: FeatureSpec = SMOOTH_SPEC
) -> FrameMarks:
    """What `marks` put on one frame, as label maps."""
    size = (image.shape[-2], image.shape[-1])
    found = marks.on_frame(index, marks.layout(), spec, frame_size=size, image_size=size)
    assert found is not None
    return found


def run_marks(
    images: Sequence[Tensor], marks: Marks, **more: Any
) -> Iterator[tuple[Propagated, Readings]]:
    """Carry marks of all kinds through images in rising order."""
    spec = more.get("spec", SMOOTH_SPEC)
    given = {i: given_on(marks, i, images[i], spec) for i in marks.frames()}
    return kinds_run(images, given, marks.layout(), **more)
