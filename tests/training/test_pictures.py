"""Held-out pairs as a network sees them: on features for which the answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import moving_clip, still

from chromatrack.errors import InputError
from chromatrack.model.encoder import normalize_lab
from chromatrack.ops.color import rgb_to_lab
from chromatrack.ops.coords import FeatureSpec
from chromatrack.ops.resample import planes, to_cells
from chromatrack.training.monitor.pictures import (
    CELL_COLORS,
    grey_frame,
    heat_colors,
    lay_heat,
    short_name,
    watch_picture,
)
from chromatrack.training.monitor.probes import (
    PairView,
    choose_cells,
    colorless,
    copy_colors,
    embedding_colors,
    look_at_pair,
    point,
)
from chromatrack.viz.overlays import PAPER

SPEC = FeatureSpec(channels=64, stride=8, offset=0.0)
SIZE = (64, 96)
CELLS = (8, 12)


def unique_features(cells=CELLS) -> torch.Tensor:
    """A feature map `(N, h, w)` in which every cell is like itself alone."""
    h, w = cells
    return torch.eye(h * w).reshape(h * w, h, w)


def shifted(across: int) -> torch.Tensor:
    """Features of a reference, and of a target whose content moved `across` cells to the right."""
    reference = unique_features()
    return torch.stack([reference, reference.roll(across, 2)])


def lab_of(*frames: np.ndarray) -> torch.Tensor:
    return rgb_to_lab(torch.stack([planes(frame) for frame in frames]).float() / 255)


def view_of(
    reference: np.ndarray, target: np.ndarray, features: torch.Tensor, *, name: str = "x", top_k=5
) -> PairView:
    knobs = {"temperature": 0.05}
    copied = copy_colors(features, lab_of(reference, target), SPEC, top_k=top_k, **knobs)
    frames = torch.stack([planes(reference), planes(target)])
    return look_at_pair(frames, features, SPEC, name=name, copied=copied, **knobs)


@pytest.fixture(scope="module")
def view() -> PairView:
    frames = moving_clip(frames=2, size=SIZE, velocity=(8.0, 0.0), radius=14)
    name = "a clip with a name of some length_7"
    return view_of(frames[0].rgb, frames[1].rgb, shifted(1), name=name)


@settings(max_examples=20)
@given(across=st.integers(-3, 3))
def test_the_pointer_finds_where_everything_came_from(across):
    cells = torch.tensor([3 * CELLS[1] + 5, 6 * CELLS[1] + 4])
    found = point(shifted(across), cells, SPEC, temperature=0.01)
    assert found.asked.tolist() == [[40, 24], [32, 48]]
    there = found.asked - torch.tensor([8.0 * across, 0])
    assert torch.equal(found.best, there)
    torch.testing.assert_close(found.expected, there, atol=1e-3, rtol=0)
    assert found.weight.shape == (2, *CELLS)
    torch.testing.assert_close(found.weight.sum((1, 2)), torch.ones(2))


def test_an_undecided_pointer_has_its_mean_in_the_middle():
    flat = F.normalize(torch.ones(2, 4, *CELLS), dim=1)
    found = point(flat, torch.tensor([0]), SPEC, temperature=0.05)
    torch.testing.assert_close(found.expected[0], torch.tensor([44.0, 28.0]))


def test_colors_copied_by_a_perfect_pointer_are_right_and_still_ones_are_not():
    reference = still(SIZE)
    target = np.roll(reference, 16, axis=1)
    copied = copy_colors(shifted(2), lab_of(reference, target), SPEC, top_k=5, temperature=0.02)
    inner = copied.ab[:, :, 3:-1] - copied.truth[:, :, 3:-1]  # beyond, the roll wraps
    assert float(inner.abs().max()) < 1e-3
    assert copied.error() < 0.3 * copied.error_still()


def test_errors_are_means_in_normalised_lab():
    grey = np.full((*SIZE, 3), 128, np.uint8)
    red = np.full((*SIZE, 3), (200, 60, 60), np.uint8)
    lab = lab_of(grey, red)
    copied = copy_colors(shifted(0), lab, SPEC, top_k=5, temperature=0.05)
    expected = float(normalize_lab(lab[1])[1:].abs().mean())
    assert copied.error() == pytest.approx(expected, abs=1e-3)
    assert copied.error_still() == pytest.approx(expected, abs=1e-3)


def test_the_targets_own_colors_do_not_leak_into_the_copy():
    """A grey target gets the same colours as one of the same lightness in full colour."""
    frame = still(SIZE)
    copies = [view_of(frame, target, shifted(0)).copied for target in (frame, grey_frame(frame))]
    assert float(lab_of(frame)[0, 1:].abs().mean()) > 5
    assert np.abs(copies[0].astype(int) - copies[1]).mean() < 0.5


def test_chosen_cells_are_inside_apart_and_do_not_depend_on_the_network():
    frames = moving_clip(frames=2, size=(160, 240), velocity=(9.0, 3.0))
    lab = to_cells(normalize_lab(lab_of(*(frame.rgb for frame in frames))), SPEC)
    chosen = choose_cells(lab, count=5)
    h, w = lab.shape[-2:]
    y, x = chosen // w, chosen % w
    assert len(chosen) == 5 and len(set(chosen.tolist())) == 5
    assert ((y > 0) & (y < h - 1) & (x > 0) & (x < w - 1)).all()
    distance = torch.cdist(torch.stack([x, y], 1).float(), torch.stack([x, y], 1).float())
    assert float(distance[~torch.eye(5, dtype=torch.bool)].min()) >= min(h, w) / 3.5 - 1e-6


@pytest.mark.parametrize("cells", [(1, 1), (2, 9), (3, 3), (4, 40)])
def test_cells_are_chosen_on_the_smallest_maps_too(cells):
    chosen = choose_cells(torch.zeros(2, 3, *cells))
    inner = max(0, cells[0] - 2) * max(0, cells[1] - 2)
    assert (len(chosen) > 0) == (inner > 0) and len(chosen) <= 5


def test_the_embedding_is_colored_by_its_main_directions():
    features = torch.zeros(2, 8, 6, 6)
    features[0, 3, :, :3] = 1.0  # the one difference there is: left from right, frame from frame
    colors = embedding_colors(features)
    assert colors.shape == (2, 3, 6, 6)
    assert float(colors.min()) >= 0 and float(colors.max()) <= 1
    first = colors[0, 0]
    assert torch.equal(first[:, :3], torch.ones(6, 3)) and torch.equal(first[:, 3:], first[:, 3:])
    assert float((first[:, :3].mean() - first[:, 3:].mean()).abs()) == pytest.approx(1.0, abs=1e-3)
    assert torch.equal(colors[1, 0], first[:, 3:].mean().expand(6, 6))
    torch.testing.assert_close(colors[:, 1:], torch.full((2, 2, 6, 6), 0.5), atol=0.01, rtol=0)


@given(channels=st.integers(1, 5), seed=st.integers(0, 9))
def test_embedding_colors_are_sound_for_few_channels_and_use_no_randomness(channels, seed):
    features = torch.randn(2, channels, 4, 5, generator=torch.Generator().manual_seed(seed))
    before = torch.get_rng_state()
    colors = embedding_colors(features)
    assert torch.equal(torch.get_rng_state(), before)
    assert colors.shape == (2, 3, 4, 5) and bool(colors.isfinite().all())
    assert torch.equal(colors, embedding_colors(features))


def test_heat_colors_go_from_black_to_white():
    shown = heat_colors(np.array([[0.0, 0.5, 1.0, 7.0]]))
    assert shown.dtype == np.uint8 and shown.shape == (1, 4, 3)
    assert shown[0, 0].tolist() == [0, 0, 0]
    assert shown[0, 2].tolist() == shown[0, 3].tolist() == [255, 255, 255]
    assert np.diff(shown.astype(int).sum(-1)[0])[:2].min() > 0


def test_heat_is_laid_in_each_cells_color():
    grey = np.full((4, 6, 3), 100, np.uint8)
    heat = np.zeros((2, 4, 6))
    heat[0, 1, 1] = heat[1, 2, 4] = 1.0
    shown = lay_heat(grey, heat)
    assert shown[0, 0].tolist() == [45, 45, 45]
    for number, (y, x) in enumerate([(1, 1), (2, 4)]):
        assert np.abs(shown[y, x].astype(int) - CELL_COLORS[number]).max() < 25


def test_a_grey_frame_has_the_lightness_and_nothing_else():
    frame = still(SIZE)
    grey = grey_frame(frame)
    assert int(np.ptp(grey.astype(int), axis=2).max()) <= 1
    lightness = lab_of(frame, grey)[:, 0]
    torch.testing.assert_close(lightness[1], lightness[0], atol=0.5, rtol=0)
    assert torch.equal(colorless(lab_of(frame))[:, 1:], torch.zeros(1, 2, *SIZE))


def test_a_view_has_what_its_docstring_says(view):
    assert view.copied.shape == view.reference.shape and view.copied.dtype == np.uint8
    assert view.error.shape == SIZE and view.error.min() >= 0
    count = len(view.pointers.asked)
    assert view.heat.shape == (count, *SIZE)
    assert view.heat.min() >= 0 and view.heat.max() == pytest.approx(1.0)
    assert [x.shape for x in view.embedding] == [(*SIZE, 3)] * 2
    moved = view.pointers.asked - view.pointers.best
    assert torch.equal(moved, torch.tensor([8.0, 0.0]).expand_as(moved))


def test_the_picture_has_two_rows_a_pair_on_one_ground(view):
    one = watch_picture([view], title="step 7")
    two = watch_picture([view, view], title="step 7")
    assert one.dtype == np.uint8 and one.shape[2] == 3
    assert two.shape[1] == one.shape[1] and two.shape[0] - one.shape[0] == 2 * (180 + 6)
    assert one.shape[1] > 5 * 320
    assert (one[:, -1] == PAPER).all() and (one[-1] == PAPER).all()
    for number in range(len(view.pointers.asked)):  # every cell's colour is there, as drawn
        assert (np.abs(one.astype(int) - CELL_COLORS[number]).sum(-1) < 40).any()
    with pytest.raises(InputError, match="at least one"):
        watch_picture([], title="")


@pytest.mark.parametrize("size", [(40, 200), (200, 40), (17, 23)])
def test_any_shape_of_frame_is_drawn(size):
    frame = still(size)
    cells = -(-size[0] // 8), -(-size[1] // 8)
    features = torch.stack([unique_features(cells)] * 2)
    view = view_of(frame, frame, features, name="", top_k=9)
    assert watch_picture([view], title="").shape[1] > 5 * 320


def test_frames_and_features_that_do_not_fit_are_refused():
    frame = still(SIZE)
    with pytest.raises(InputError, match="same two frames"):
        view_of(frame, frame, shifted(0)[:, :, 1:])


def test_names_are_shortened_in_the_middle():
    assert short_name("bear") == "bear"
    assert short_name("autoeval_videos_of_people_183_1") == "autoeval_v.._183_1"
