"""Bars of reliability: in any corner, or beside the picture."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from chromatrack.viz.overlays import Bar, Panel, overlay_reliability

BARS = [Bar("1", 1, 1.0, 0.5), Bar("2", 2, 0.25, 0.5), Bar("k1", 1, 0.7, 0.5, (0, 255, 255))]


def changed(panel: Panel, size: tuple[int, int] = (120, 240)) -> np.ndarray:
    """(H, W) bool: where bars were drawn on a grey picture, in its own width."""
    rgb = np.full((*size, 3), 90, np.uint8)
    shown = overlay_reliability(rgb, BARS, panel=panel)
    return (shown[:, : size[1]] != 90).any(axis=-1)


@pytest.mark.parametrize("size", [(120, 240), (480, 854), (61, 33)])
def test_bars_stand_in_the_corner_asked_for(size):
    height, width = size
    corners = {
        "bottom-left": np.s_[height // 2 :, : width * 2 // 3],
        "bottom-right": np.s_[height // 2 :, width // 3 :],
        "top-left": np.s_[: height // 2, : width * 2 // 3],
        "top-right": np.s_[: height // 2, width // 3 :],
    }
    for panel, part in corners.items():
        drawn = changed(panel, size)  # type: ignore[arg-type]
        assert drawn[part].sum() == drawn.sum() > 0, panel


def test_bars_of_all_corners_are_alike():
    left, right = changed("bottom-left"), changed("bottom-right")
    assert left.sum() == right.sum() == changed("top-left").sum()


@pytest.mark.parametrize("size", [(120, 240), (480, 854), (61, 33), (2, 2)])
def test_outside_leaves_the_picture_alone_and_is_as_wide_for_any_bars(size):
    rgb = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    shown = [overlay_reliability(rgb, BARS[:n], panel="outside") for n in range(4)]
    assert len({image.shape for image in shown}) == 1
    height, width = size
    assert shown[0].shape[0] == height and (shown[0].shape[1] - width) % 2 == 0
    for image in shown:
        assert np.array_equal(image[:, :width], rgb)
    assert not shown[0][:, width:].any()
    if height > 20:
        strip = shown[3][:, width:]
        assert (strip == (0, 255, 255)).all(axis=-1).any()


@pytest.mark.parametrize("panel", get_args(Panel))
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (9, 4), (4, 300)])
def test_a_picture_of_any_size_holds_some(panel, size):
    rgb = np.zeros((*size, 3), np.uint8)
    shown = overlay_reliability(rgb, BARS * 20, panel=panel)
    assert shown.shape[0] == size[0] and shown.dtype == np.uint8
