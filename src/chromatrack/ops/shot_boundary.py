"""Scene cuts: where a frame has nothing to do with the one before."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from chromatrack.ops.compiled import can_compile, compiled, thumbnail

_BINS = 6
_THUMB = (48, 64)
_LEAST_CHANGE = 0.06  # mean change of a small picture, in [0, 1] ...
_TIMES = 3.0  # ... and how many times the usual change of this clip
_OTHER = 0.4  # share of the colours that are others at a cut,
_SAME = 0.9  # unless the small pictures correlate so well that only the light has changed,
_UNLIKE = 0.15  # or correlation of the small pictures below which they show other things,
_SOME_OTHER = 0.1  # and at least this share of other colours


def color_histogram(image: Tensor) -> Tensor:
    """Share of the pixels in each of 6 x 6 x 6 colours: `(3, H, W)` in [0, 1] -> `(216,)`."""
    if can_compile(image):
        counts = np.zeros(_BINS**3, np.float32)
        compiled(_count_colors)(image.numpy(), counts)
        return torch.from_numpy(counts / counts.sum())
    return _histogram_by_tensors(image)


def _count_colors(image: np.ndarray, counts: np.ndarray) -> None:
    for y in range(0, image.shape[1], 2):
        for x in range(0, image.shape[2], 2):
            code = 0
            for c in range(3):
                step = int(image[c, y, x] * np.float32(_BINS))
                code = code * _BINS + min(max(step, 0), _BINS - 1)
            counts[code] += 1


def _histogram_by_tensors(image: Tensor) -> Tensor:
    bins = (image[:, ::2, ::2] * _BINS).long().clamp(0, _BINS - 1).flatten(1)
    code = (bins[0] * _BINS + bins[1]) * _BINS + bins[2]
    return torch.bincount(code, minlength=_BINS**3).float() / code.numel()


@dataclass
class CutDetector:
    """Compares each frame with the one before: small picture and colours must change at once."""

    before: tuple[Tensor, Tensor] | None = None
    usual: deque[float] = field(default_factory=lambda: deque(maxlen=12))

    def fork(self) -> CutDetector:
        """A copy that goes its own way."""
        return replace(self, usual=self.usual.copy())

    def is_cut(self, image: Tensor) -> bool:
        """Whether a cut lies between the last frame and this one, `(3, H, W)` in [0, 1]."""
        small = thumbnail(image, _THUMB)
        colors = color_histogram(image)
        if self.before is None:
            self.before = small, colors
            return False
        change = float((small - self.before[0]).abs().mean())
        other = float((colors - self.before[1]).abs().sum() / 2)
        alike = correlation(small.mean(0), self.before[0].mean(0))
        self.before = small, colors
        usual = sorted(self.usual)[len(self.usual) // 2] if self.usual else 0.0
        differs = (other > _OTHER and alike < _SAME) or (alike < _UNLIKE and other > _SOME_OTHER)
        cut = differs and change > max(_LEAST_CHANGE, _TIMES * usual)
        if not cut:
            self.usual.append(change)
        return cut


def correlation(a: Tensor, b: Tensor) -> float:
    """Pearson correlation of two grey pictures of one size; 1 where both are flat."""
    a, b = a - a.mean(), b - b.mean()
    spread = float(a.norm() * b.norm())
    return float((a * b).sum()) / spread if spread > 1e-9 else 1.0
