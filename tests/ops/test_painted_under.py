"""Colours under a picture's own luminance: the compiled pass and what it is to equal."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from chromatrack.ops.color import rgb_to_lab
from chromatrack.ops.compiled import has_compiler, largest
from chromatrack.ops.paint import painted_under
from chromatrack.ops.resample import planes
from chromatrack.tracking import colorize
from chromatrack.tracking.colorize import paint

pytestmark = pytest.mark.skipif(not has_compiler(), reason="numba is not installed")
RNG = np.random.default_rng(0)


def picture(dtype: type, size: tuple[int, int] = (40, 52)) -> np.ndarray:
    rgb = RNG.integers(0, np.iinfo(dtype).max + 1, (*size, 3)).astype(dtype)
    rgb[:5] //= 40  # dark ones, where the curve is straight
    rgb[5:7] = 0
    rgb[7:9] = np.iinfo(dtype).max
    return rgb


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("size", [(40, 52), (17, 23)])
def test_the_compiled_pass_gives_what_tensors_give(dtype, size, monkeypatch):
    rgb = picture(dtype)
    ab = torch.from_numpy(RNG.normal(0, 40, (2, *size)).astype(np.float32))
    fast = paint(rgb, ab)
    monkeypatch.setattr(colorize, "can_compile", lambda *_: False)
    apart = np.abs(fast.astype(int) - paint(rgb, ab).astype(int))
    # between its pixels ab is read with other roundings than `resize` has
    assert fast.dtype == dtype and apart.max() <= (2 if dtype == np.uint8 else 40)
    assert (apart > 1).mean() < (1e-3 if dtype == np.uint8 else 0.2)


def test_luminance_stays_and_colors_end_at_the_edges_of_the_picture():
    rgb = np.full((64, 64, 3), 40, np.uint8)
    rgb[:, 33:] = 200
    ab = torch.zeros(2, 16, 16)
    light = rgb_to_lab(planes(rgb).float() / 255)[:1]
    small = torch.nn.functional.avg_pool2d(light[None], 4)[0]
    ab[0, :, 8:] = 16  # red where it is bright; the pixel in between is both
    ab[0, :, 8] = 12
    plain, sharp = painted_under(rgb, ab, None), painted_under(rgb, ab, small[0])
    found = [rgb_to_lab(planes(x).float() / 255) for x in (plain, sharp)]
    for lab in found:
        assert float((lab[0] - light[0]).abs().max()) < 0.6
    leaks = [float(lab[1, :, 29:33].abs().mean()) for lab in found]
    assert leaks[1] < 0.6 * leaks[0]
    assert float((found[1][1, :, 40:] - 16).abs().max()) < 1.5


@pytest.mark.parametrize("k", [1, 3, 10, 40])
def test_the_largest_of_rows_are_those_of_topk(k):
    scores = torch.from_numpy(RNG.normal(size=(7, 500)).astype(np.float32))
    scores[2] = scores[2].sort().values
    scores[3] = scores[3].sort(descending=True).values
    values, index = largest(scores, k)
    assert torch.equal(values, scores.topk(k, dim=1).values)
    assert torch.equal(scores.gather(1, index), values)
    tied = torch.zeros(2, 100)
    values, index = largest(tied, k)
    assert not values.any() and all(len(set(row.tolist())) == k for row in index)
