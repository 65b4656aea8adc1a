"""Warp error, flicker and bleeding: on motion that is known exactly."""

from __future__ import annotations

import numpy as np
import pytest

from chromatrack.errors import InputError
from chromatrack.evaluation.metrics.color_motion import (
    edge_error,
    flicker,
    followed,
    near_edges,
    unoccluded,
    warp_error,
)

RNG = np.random.default_rng(0)
WORLD = RNG.uniform(size=(60, 80, 3)).astype(np.float32)


def shifted(dx: int, dy: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A frame, the one before it, and the flow between them, of a camera that moves."""
    here, before = WORLD[20:52, 20:62], WORLD[20 - dy : 52 - dy, 20 - dx : 62 - dx]
    flow = np.empty((32, 42, 2), np.float32)
    flow[:] = (dx, dy)
    return here, before, flow


@pytest.mark.parametrize(("dx", "dy"), [(0, 0), (3, 0), (-4, 2), (5, -6)])
def test_what_moves_with_the_scene_has_no_warp_error(dx, dy):
    here, before, flow = shifted(dx, dy)
    seen = unoccluded(flow, -flow)
    rows = slice(max(0, -dy), 32 - max(0, dy))
    columns = slice(max(0, -dx), 42 - max(0, dx))
    inside = np.zeros((32, 42), bool)
    inside[rows, columns] = True
    np.testing.assert_array_equal(seen, inside)
    assert warp_error(here, before, flow, seen) == pytest.approx(0, abs=1e-9)
    assert flicker(here[..., :2], before[..., :2], flow, seen) == pytest.approx(0, abs=1e-6)


def test_a_change_of_everything_is_its_own_size():
    here, before, flow = shifted(3, 1)
    seen = unoccluded(flow, -flow)
    assert warp_error(here + 0.5, before, flow, seen) == pytest.approx(0.25, rel=1e-5)
    assert flicker(here[..., :2] - 7, before[..., :2], flow, seen) == pytest.approx(7, rel=1e-5)


def test_what_comes_into_sight_does_not_count():
    here, before, flow = shifted(0, 0)
    back = -flow
    back[:, :10] = 6  # what was there has gone elsewhere
    seen = unoccluded(flow, back)
    assert not seen[:, :10].any() and seen[:, 10:].all()
    changed = here.copy()
    changed[:, :10] = 1 - changed[:, :10]
    assert warp_error(changed, before, flow, seen) == 0
    assert warp_error(changed, before, flow, np.ones_like(seen)) > 0.01
    assert warp_error(changed, before, flow, np.zeros_like(seen)) is None


def test_borders_of_motions_do_not_count():
    flow = np.zeros((20, 30, 2), np.float32)
    flow[:, 15:] = (4, 0)
    back = -flow
    seen = unoccluded(flow, back)
    assert not seen[:, 14:16].any() and seen[:, :13].all()


def test_places_between_pixels_are_mixed():
    picture = np.arange(12, dtype=np.float32).reshape(1, 12, 1).repeat(4, 0)
    flow = np.full((4, 12, 2), (0.25, 0), np.float32)
    laid = followed(picture, flow)[1, :, 0]
    np.testing.assert_allclose(laid[:-1], np.arange(11) + 0.25)
    assert laid[-1] == 11, "beyond the border is the border"


def test_edges_reach_eight_pixels_and_flat_pictures_have_none():
    light = np.full((40, 60), 30, np.float32)
    assert not near_edges(light).any()
    light[:, 30:] = 70
    near = near_edges(light)
    assert near[:, 22:38].all() and not near[:, :20].any() and not near[:, 40:].any()


def test_bleeding_is_the_error_near_edges_alone():
    near = np.zeros((20, 30), bool)
    near[:, 10:20] = True
    truth = np.zeros((2, 20, 30), np.float32)
    ab = truth.copy()
    ab[:, :, 12] = 10
    ab[:, :, :5] = 50
    assert edge_error(ab, truth, near) == pytest.approx(1.0)
    assert edge_error(truth, truth, near) == 0
    assert edge_error(ab, truth, np.zeros_like(near)) is None


def test_what_does_not_fit_is_refused():
    here, before, flow = shifted(0, 0)
    seen = np.ones(flow.shape[:2], bool)
    with pytest.raises(InputError, match="flow: expected"):
        followed(here, flow[:-1])
    with pytest.raises(InputError, match="warp error: expected two"):
        warp_error(here, before[:-1], flow, seen)
    with pytest.raises(InputError, match="finite"):
        warp_error(here * np.nan, before, flow, seen)
    with pytest.raises(InputError, match="edges"):
        near_edges(here)
    with pytest.raises(InputError, match="mask of"):
        edge_error(np.zeros((2, 4, 4)), np.zeros((2, 4, 4)), np.ones((3, 4), bool))
