"""Windows moved to where a coarse search finds the cell: as defined, and far things found."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
import torch
import torch.nn.functional as F
from hypothesis import example, given, settings
from hypothesis import strategies as st
from patch_encoders import CELLS, SMOOTH_SPEC, inputs, painted, smooth_patches, square

from chromatrack.errors import InputError
from chromatrack.evaluation.protocols import mast
from chromatrack.ops.dense_affinity import coarse_search, dense_affinity
from chromatrack.ops.shifted_windows import moved_windows
from chromatrack.ops.tiles import Windows
from chromatrack.propagation.config import PropagateConfig
from chromatrack.propagation.memory_bank import MemoryBank
from chromatrack.propagation.propagate import Propagator, paint_over, propagate, reach


def maps_of(count: int, size: tuple[int, int], seed: int, *, channels: int = 6) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, channels, *size, generator=generator)


def window(radius: int, shape: str) -> list[tuple[int, int]]:
    """Steps (dy, dx) of a window."""
    d = range(-radius, radius + 1)
    return [(y, x) for y, x in product(d, d) if shape == "square" or y * y + x * x < radius**2]


def between(maps: torch.Tensor, y: float, x: float) -> torch.Tensor:
    """`(C, h, w)` at a real place inside, by linear interpolation: `(C,)`."""
    top, left = int(y), int(x)
    bottom, right = min(top + 1, maps.shape[1] - 1), min(left + 1, maps.shape[2] - 1)
    v, u = y - top, x - left
    upper = (1 - u) * maps[:, top, left] + u * maps[:, top, right]
    lower = (1 - u) * maps[:, bottom, left] + u * maps[:, bottom, right]
    return (1 - v) * upper + v * lower


def coarse_place(target, reference, y, x, *, radius, dilation, temperature, shape):
    """The mean place of one cell's coarse search, (y, x)."""
    _, h, w = target.shape
    steps = [(y + dilation * dy, x + dilation * dx) for dy, dx in window(radius, shape)]
    steps = [(v, u) for v, u in steps if 0 <= v < h and 0 <= u < w]
    scores = torch.stack([target[:, y, x] @ reference[:, v, u] for v, u in steps])
    weight = (scores / temperature).softmax(0)
    return tuple((weight[:, None] * torch.tensor(steps, dtype=torch.float32)).sum(0).tolist())


def definition(target, references, labels, middles, *, radius, temperature, shape, top_k):
    """Slow: every cell, every place of every window; labels read and the pointer's entropy."""
    L, h, w = labels.shape[1:]
    read, spread = torch.zeros(L, h, w), torch.zeros(h, w)
    for y, x in product(range(h), range(w)):
        scores, values = [], []
        for reference, told, r, middle in zip(references, labels, radius, middles, strict=True):
            for dy, dx in window(r, shape):
                v, u = float(middle[1, y, x]) + dy, float(middle[0, y, x]) + dx
                if 0 <= v <= h - 1 and 0 <= u <= w - 1:
                    scores.append(target[:, y, x] @ between(reference, v, u))
                    values.append(between(told, v, u))
        best = torch.stack(scores).topk(min(top_k or len(scores), len(scores)))
        weight = (best.values / temperature).softmax(0)
        read[:, y, x] = weight @ torch.stack(values)[best.indices]
        many = torch.tensor(float(max(int((weight > 0).sum()), 2)))
        spread[y, x] = -torch.special.xlogy(weight, weight).sum() / many.log()
    return read, spread


sizes, shapes = st.integers(2, 7), st.sampled_from(["square", "disc"])


def own_places(h: int, w: int) -> torch.Tensor:
    """`(2, h, w)` x, y of every cell."""
    y, x = torch.meshgrid(torch.arange(float(h)), torch.arange(float(w)), indexing="ij")
    return torch.stack([x, y])


@settings(max_examples=30, deadline=None)
@given(sizes, sizes, st.integers(1, 3), st.integers(1, 4), shapes, st.integers(0, 99))
@example(2, 2, 3, 4, "square", 3)  # the step is longer than the frame
def test_the_search_equals_its_plain_definition(h, w, radius, dilation, shape, seed):
    target, reference = maps_of(2, (h, w), seed)
    knobs = {"radius": radius, "dilation": dilation, "temperature": 0.7}
    found = coarse_search(target, reference, radius_shape=shape, **knobs)
    for y, x in product(range(h), range(w)):
        place = coarse_place(target, reference, y, x, shape=shape, **knobs)
        assert (float(found[1, y, x]), float(found[0, y, x])) == pytest.approx(place, abs=0.003)


@settings(max_examples=12, deadline=None)
@given(
    sizes, sizes, st.integers(1, 3), st.integers(1, 4), shapes, st.sampled_from([3, 12]),
    st.sampled_from([None, 4]), st.integers(0, 99),
)  # fmt: skip
@example(7, 6, 2, 2, "square", 3, None, 1)
@example(5, 7, 3, 3, "disc", 12, 4, 2)
def test_moved_windows_equal_their_plain_definition(
    h, w, radius, dilation, shape, tile, top_k, seed
):
    maps = maps_of(4, (h, w), seed)
    labels = torch.rand(3, 2, h, w, generator=torch.Generator().manual_seed(seed))
    radii, steps = [radius, radius, 2], [dilation, None, 2]
    knobs = {"temperature": 0.7, "radius_shape": shape}
    middles = [
        own_places(h, w) if step is None
        else coarse_search(maps[0], reference, radius=r, dilation=step, **knobs)
        for reference, r, step in zip(maps[1:], radii, steps, strict=True)
    ]  # fmt: skip
    expected, spread = definition(
        maps[0], maps[1:], labels, middles, radius=radii, temperature=0.7, shape=shape, top_k=top_k
    )
    pointer = dense_affinity(
        maps[0], maps[1:], radius=radii, dilation=steps, top_k=top_k, tile=tile, **knobs
    )
    torch.testing.assert_close(pointer.readout(labels), expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(pointer.entropy(), spread, atol=1e-4, rtol=1e-3)
    rows = pointer.readout(torch.ones(3, 1, h, w))
    torch.testing.assert_close(rows, torch.ones(1, h, w))


def test_interpolation_is_that_of_torch():
    maps = maps_of(1, (7, 9), 4)[0]
    places = torch.rand(2, 7, 9) * torch.tensor([8.0, 6.0])[:, None, None]
    windows = Windows([], [], (7, 9), "square", 4)
    moved = moved_windows(places, radius=0, windows=windows)
    tiles = torch.arange(moved.middle.shape[0])
    ones = torch.ones(len(tiles), 16, 1)
    read = moved.readout(ones, maps, tiles)
    at = moved.middle / torch.tensor([8.0, 6.0]) * 2 - 1
    expected = F.grid_sample(maps[None], at[None], align_corners=True)[0].permute(1, 2, 0)
    torch.testing.assert_close(read, expected, atol=1e-5, rtol=1e-5)


def test_windows_that_the_search_leaves_in_place_are_plain_ones():
    maps, labels = maps_of(2, (14, 11), 5), torch.rand(1, 2, 14, 11)
    windows = Windows([], [], (14, 11), "square", 12)
    moved = moved_windows(own_places(14, 11), radius=3, windows=windows)
    plain = dense_affinity(maps[0], maps[1:], radius=[3], temperature=0.5)
    stands = replace(plain, windows=windows, moved={0: moved})
    torch.testing.assert_close(stands.readout(labels), plain.readout(labels))


def test_a_shift_is_found_by_the_coarse_search():
    wide = F.normalize(maps_of(1, (24, 40), 7, channels=40)[0], dim=0)
    target, reference = wide[:, :, 8:36], wide[:, :, :28]  # what is at x was at x + 8
    knobs = {"radius": 3, "temperature": 0.01}
    found = coarse_search(target, reference, dilation=4, **knobs)
    own = torch.arange(28.0).expand(24, 28)
    torch.testing.assert_close(found[0, :, :20], own[:, :20] + 8, atol=1e-3, rtol=0)
    torch.testing.assert_close(found[1, :, :20], torch.arange(24.0)[:, None].expand(24, 20))
    far = coarse_search(target, reference, dilation=2, **knobs)  # 6 cells at most
    assert float((far[0] - own).abs().max()) <= 6 + 1e-4


def jumping(count: int) -> list[torch.Tensor]:
    """A texture that jumps 32 pixels, 8 cells, to the right after the first frame."""
    coarse = torch.rand(1, 3, 24, 40, generator=torch.Generator().manual_seed(3))
    wide = F.interpolate(coarse, size=(96, 160), mode="bicubic")[0].clamp(0, 1)
    return [wide[..., 32:]] + [wide[..., :128]] * (count - 1)


def cells_on(found: torch.Tensor, mask) -> float:
    """Intersection over union, in cells of 4 pixels, where the first frame shows the same."""
    truth = F.avg_pool2d(torch.from_numpy(mask)[None].float(), 4)[0, :, 8:] > 0.5
    there = found[1, :, 8:] > 0.5
    return float((there & truth).sum() / (there | truth).sum())


def test_only_moved_windows_find_what_went_further_than_the_window():
    soft = F.avg_pool2d(torch.from_numpy(square(32)).float()[None], 4)[0]
    given_frames = {0: painted(torch.stack([1 - soft, soft]))}
    knobs = {"radius": 4, "recent": 0, "top_k": None, "temperature": 0.005}
    found = {}
    for after in (None, 1):
        config = PropagateConfig(moved_after=after, **knobs)
        runner = Propagator(smooth_patches, SMOOTH_SPEC, config, paint_over, background=True)
        steps = list(propagate(inputs(jumping(6), given_frames), runner))
        found[after] = [step.label_map for step in steps]
    assert cells_on(found[None][5], square(64)) < 0.2
    assert torch.equal(found[None][1], found[1][1])  # near in time: nothing is moved
    assert cells_on(found[1][5], square(64)) > 0.95


def test_which_frames_are_searched_how():
    config = replace(mast().propagate, radius=3, recent_radius=3)
    bank, blank = MemoryBank(config), torch.zeros(2, *CELLS)
    bank.mark(0, torch.zeros(6, *CELLS), blank)
    steps = {}
    for index in range(70):
        steps[index] = {r.index: r.dilation for r in bank.references(index)}
        bank.add(index, torch.zeros(6, *CELLS), blank)
    assert steps[15] == {0: None, 5: None, 14: None, 12: None, 10: None}
    assert steps[16][0] == 2 and steps[20][5] is None and steps[21][5] == 2
    assert [steps[i][0] for i in (29, 30, 44, 45, 69)] == [2, 3, 3, 4, 4]
    assert all(steps[60][i] is None for i in (59, 57, 55))
    assert [r.reach for r in bank.references(70)] == [3 * 5 + 1, 3 * 5 + 1, 3, 3, 3]


def test_frames_without_a_window_are_not_searched():
    bank = MemoryBank(PropagateConfig(restrict_first=False, moved_after=1))
    bank.mark(0, torch.zeros(6, *CELLS), torch.zeros(2, *CELLS))
    (reference,) = bank.references(9)
    assert reference.dilation is None and reference.reach is None


def test_cells_that_no_moved_window_reaches_are_skipped_without_a_difference():
    maps, labels = maps_of(2, (60, 60), 8), torch.zeros(2, 60, 60)
    labels[1, 2:5, 2:5] = 1
    bank = MemoryBank(PropagateConfig(recent=0, radius=3, moved_after=1, top_k=None))
    bank.mark(0, maps[1], labels)
    references = bank.references(9)
    active = reach(references, size=(60, 60))
    assert active[:21, :21].all() and not active[21:].any() and not active[:, 21:].any()
    knobs = {"radius": [3], "dilation": [4], "temperature": 0.1}
    full = dense_affinity(maps[0], maps[1:], **knobs).readout(labels[None])
    some = dense_affinity(maps[0], maps[1:], active=active, **knobs).readout(labels[None])
    assert torch.equal(some[1], full[1]) and not some[:, 40:, 40:].any()


def test_knobs_out_of_range():
    for name in ("moved_after", "moved_dilation"):
        with pytest.raises(InputError, match=f"{name}: expected a whole number >= 1, got 0"):
            PropagateConfig(**{name: 0})
