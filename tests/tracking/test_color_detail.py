"""Colours finer than cells: places, the fit to luminance, and what is left to the cells."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from patch_encoders import SmoothEncoder, smooth_patches, wave_frame
from synthetic import still, write_clip

from chromatrack.evaluation.baselines.colorizers import ab_of, grey_of
from chromatrack.ops.affinity import SparseAffinity
from chromatrack.ops.color import lab_to_rgb, rgb_to_lab
from chromatrack.ops.coords import FeatureSpec, cell_count
from chromatrack.ops.resample import planes, to_cells, upsample
from chromatrack.propagation.memory_bank import MemoryBank
from chromatrack.propagation.propagate import Input, PropagateConfig, Propagated
from chromatrack.tracking import color_carry, color_detail
from chromatrack.tracking import colorize as recolor
from chromatrack.tracking.color_detail import fine_colors, lay, look, pointed_places
from chromatrack.tracking.colorize import estimated
from chromatrack.tracking.config import TrackConfig
from chromatrack.tracking.tracker import Tracker
from chromatrack.video.reader import Frame

SPECS = [FeatureSpec(4, 8, 3.5), FeatureSpec(4, 4, 1.5), FeatureSpec(4, 8, 0.0)]
SIZE = (75, 101)


def picture(shift: tuple[float, float] = (0.0, 0.0), size: tuple[int, int] = SIZE) -> torch.Tensor:
    """Lab `(3, H, W)` of the waves, moved."""
    return rgb_to_lab(planes(wave_frame(shift, size=size)).contiguous())


def pointing(spec: FeatureSpec, *, cells: tuple[int, int] = (0, 0), reference: int = 0):
    """Every cell's pointer at the one `cells` (x, y) further on, or at the border's, and what
    reference it is of."""
    h, w = cell_count(SIZE, stride=spec.stride)
    y = (torch.arange(h)[:, None] + cells[1]).clamp(0, h - 1)
    x = (torch.arange(w) + cells[0]).clamp(0, w - 1)
    index = (reference * h * w + y * w + x).reshape(-1, 1)
    return SparseAffinity(index, torch.ones(h * w, 1), (h, w))


def by_cells(lab: torch.Tensor, pointer: SparseAffinity, spec: FeatureSpec) -> torch.Tensor:
    """ab `(2, H, W)` copied by cells from one reference."""
    copied = pointer.readout(to_cells(lab[None, 1:], spec))
    return upsample(copied, size=SIZE, spec=spec)


def off(ab: torch.Tensor, truth: torch.Tensor, margin: int = 12) -> float:
    inner = (slice(None), slice(margin, -margin), slice(margin, -margin))
    return float((ab - truth)[inner].abs().mean())


@pytest.mark.parametrize("spec", SPECS)
def test_a_picture_that_points_at_itself_gives_its_own_colors(spec):
    lab, pointer = picture(), pointing(spec)
    cells = by_cells(lab, pointer, spec)
    found = fine_colors(pointer, cells, lab[:1], [lab], spec=spec)
    assert found.shape == (2, *SIZE) and found.dtype == torch.float32
    assert off(found, lab[1:], 1) < 0.2 * off(cells, lab[1:], 1)


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("shift", [(3.0, -2.0), (9.0, 6.0), (-4.0, 5.0)])
def test_colors_of_a_moved_picture_are_far_sharper_than_cells(spec, shift):
    reference, target = picture(), picture(shift)
    cells_off = (-round(shift[0] / spec.stride), -round(shift[1] / spec.stride))
    pointer = pointing(spec, cells=cells_off)
    cells = by_cells(reference, pointer, spec)
    found = fine_colors(pointer, cells, target[:1], [reference], spec=spec)
    assert off(found, target[1:], 16) < 0.25 * off(cells, target[1:], 16)


def test_the_cells_color_stands_where_no_luminance_fits():
    spec, lab = SPECS[0], picture()
    dark = torch.cat([lab[:1] * 0.2, lab[1:]])
    light = torch.full((1, *SIZE), 95.0)
    cells = torch.full((2, *SIZE), 7.0)
    found = fine_colors(pointing(spec), cells, light, [dark], spec=spec)
    torch.testing.assert_close(found, cells, atol=1e-3, rtol=0)


def test_references_without_colors_lend_nothing():
    spec, lab = SPECS[0], picture()
    cells = torch.full((2, *SIZE), 7.0)
    for pictures in ([None, lab], [None, None]):
        assert torch.equal(fine_colors(pointing(spec), cells, lab[:1], pictures, spec=spec), cells)


@pytest.mark.parametrize("spec", SPECS)
def test_compiled_loops_do_what_tensors_do(spec, monkeypatch):
    pytest.importorskip("numba")
    target = picture((5.0, -3.0))
    others = [picture(), picture((20.0, 8.0))]
    h, w = cell_count(SIZE, stride=spec.stride)
    index = torch.randint(0, 2 * h * w, (h * w, 4), generator=torch.Generator().manual_seed(1))
    pointer = SparseAffinity(index, torch.rand(h * w, 4) + 0.1, (h, w))
    for pictures in (others, [None, others[0]]):
        fast = lay(pointer, target[:1], pictures, spec=spec)
        with monkeypatch.context() as patch:
            patch.setattr(color_detail, "can_compile", lambda *_: False)
            slow = lay(pointer, target[:1], pictures, spec=spec)
        assert fast is not None and slow is not None
        for a, b in zip(fast, slow, strict=True):
            apart = (a - b).abs()
            # a tie between two places may fall either way, by rounding
            assert float((apart > 2e-3 * (1 + b.abs())).float().mean()) < 0.01


def test_of_several_references_each_cell_takes_its_own():
    spec, lab = SPECS[0], picture()
    others = [torch.cat([lab[:1], lab[1:] + add]) for add in (0.0, 30.0)]
    h, w = cell_count(SIZE, stride=8)
    left, right = (pointing(spec, reference=r).index.reshape(h, w) for r in (0, 2))
    index = torch.cat([left[:, : w // 2], right[:, w // 2 :]], 1).reshape(-1, 1)
    pointer = SparseAffinity(index, torch.ones(h * w, 1), (h, w))
    cells = torch.zeros(2, *SIZE)
    found = fine_colors(pointer, cells, lab[:1], [others[0], None, others[1]], spec=spec)
    apart = (found - lab[1:]).mean((0, 1))
    assert float(apart[: 4 * w - 16].abs().max()) < 3
    assert float((apart[4 * w + 16 :] - 30).abs().max()) < 6  # the cells' 0 has a say of a tenth


def test_places_are_means_of_the_cells_near_the_best():
    index = torch.tensor([[5, 6, 11, 12 + 5], [12 + 3, 0, 1, 2]])  # maps of 3 x 4: row-major
    weight = torch.tensor([[0.5, 0.25, 0.125, 0.125], [0.4, 0.3, 0.2, 0.1]])
    whole = torch.cat([index, index[:1].repeat(10, 1)])
    pointer = SparseAffinity(whole, torch.cat([weight, weight[:1].repeat(10, 1)]), (3, 4))
    places = pointed_places(pointer, [0, 1], stride=8)
    # cell 0: (1, 1) and (2, 1) of frame 0; (3, 2) is two away, 17 is of frame 1
    assert places.shift[:, 0, 0].tolist() == pytest.approx([8 * 4 / 3, 8])
    assert places.shift[:, 0, 1].tolist() == pytest.approx([8 * (3 - 1), 0])
    assert places.picture[0, :2].tolist() == [0, 1] and bool(places.lends.all())
    only = pointed_places(pointer, [0], stride=8)  # then cell 1's best is (0, 0), beside (1, 0)
    assert only.shift[:, 0, 1].tolist() == pytest.approx([8 * (0.2 / 0.5 - 1), 0])
    none = pointed_places(pointer, [], stride=8)
    assert not bool(none.lends.any())


def test_places_are_looked_up_in_their_own_picture():
    pictures = torch.arange(2 * 3 * 4.0).reshape(2, 1, 3, 4)
    xy = torch.tensor([[[0.0, 3.0, 1.5], [0.0, 9.0, -5.0]], [[0.0, 2.0, 1.0], [2.9, 0.0, 0.0]]])
    found = look(pictures, xy, torch.tensor([[0], [1]]))
    assert found.shape == (1, 2, 3)
    np.testing.assert_allclose(found[0], [[0, 11, 5.5], [20, 15, 12]], atol=1e-4)


@pytest.mark.parametrize("spec", SPECS)
def test_says_of_the_cells_around_a_pixel_sum_to_about_one(spec):
    for cells, pixels in zip(cell_count(SIZE, stride=spec.stride), SIZE, strict=True):
        says = color_detail._says(cells, pixels, spec)
        assert says.shape == (cells, pixels)
        assert int((says > 0).sum(0).max()) <= 3
        total = says.sum(0)[8:-8]
        assert float(total.min()) > 0.8 and float(total.max()) < 1.15


def test_the_colors_of_the_frame_are_not_looked_at():
    spec, lab = SPECS[0], picture()
    pointer = pointing(spec)
    label_map = pointer.readout(to_cells(lab[None, 1:], spec))
    painted = []
    for fade in (1.0, 0.0, -0.5):
        image = lab_to_rgb(torch.cat([lab[:1], fade * lab[1:]]), gamut="desaturate")
        step = Propagated(
            Input(1, image, None, Frame(np.zeros((1, 1, 3), np.uint8), 1, 0.0)),
            label_map,
            pointer.entropy(),
            pointer=pointer,
            copied_from=(0,),
        )
        bank, cells = MemoryBank(PropagateConfig()), {0: to_cells(lab[None], spec)[0]}
        _, copied = estimated(step, bank, {0: lab}, cells, spec=spec)
        painted.append(copied.ab)
    for other in painted[1:]:
        assert float((other - painted[0]).abs().max()) < 0.05  # L itself, to its rounding


class GreyPatches(SmoothEncoder):
    """`smooth_patches` of the luminance."""

    def embed(self, lab: torch.Tensor) -> torch.Tensor:
        return smooth_patches(0.5 + 0.5 * lab[:, :1].expand(-1, 3, -1, -1))


def test_colorize_gives_a_moving_clip_colors_at_full_detail(tmp_path, monkeypatch):
    frames = [
        (wave_frame((3.0 * i, 1.0 * i), size=(96, 128)) * 255).round().astype(np.uint8)
        for i in range(3)
    ]
    clip = write_clip(tmp_path / "grey", [grey_of(rgb) for rgb in frames])
    config = TrackConfig(size=96, color=PropagateConfig(recent=0, radius=3))
    tracker = Tracker(GreyPatches(), device="cpu", config=config)
    found = list(tracker.colorize(clip, references=[(frames[0], 0)]))
    for frame, truth in zip(found, frames, strict=True):
        assert off(ab_of(frame.rgb), ab_of(truth), 16) < 3.0
    stranger = [(still((50, 70), seed=3), None)]
    (fine,) = tracker.colorize(clip, references=stranger, start=2)
    monkeypatch.setattr(recolor, "places_over", lambda *_, **knobs: None)
    monkeypatch.setattr(color_carry.CarriedColors, "_carried", lambda *_: None)
    (cells,) = tracker.colorize(clip, references=stranger, start=2)
    assert np.array_equal(fine.rgb, cells.rgb)  # another scene lends no detail
    *_, cells = tracker.colorize(clip, references=[(frames[0], 0)])
    assert off(ab_of(found[-1].rgb), ab_of(frames[-1]), 16) < 0.5 * off(
        ab_of(cells.rgb), ab_of(frames[-1]), 16
    )
