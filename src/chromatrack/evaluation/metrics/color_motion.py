"""Scores of colours over time and at edges: what flickers along the motion, what bleeds.

Pure numpy functions. A flow is `(H, W, 2)` float, xy pixels: what is at p on a frame is at p + flow
on the one before. Shapes that do not fit, and what is not finite, are refused: InputError.
"""

from __future__ import annotations

import numpy as np

from chromatrack.errors import InputError
from chromatrack.ops.compiled import box_mean, window_max

EDGE_STEP = 4.0
"""Difference of L from a pixel to the next, over 3 x 3 pixels' mean, that makes an edge."""

EDGE_REACH = 8
"""Pixels from a luminance edge within which colours that leak over it count as bleeding."""


def followed(picture: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """A picture `(H, W, C)` float of the frame before, laid over this one along the flow.

    Bilinear; what comes from outside takes the border's value.
    """
    _check_flow(flow, picture.shape[:2])
    height, width = flow.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    x = np.clip(x + flow[..., 0], 0, width - 1)
    y = np.clip(y + flow[..., 1], 0, height - 1)
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    right, below = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    x, y = (x - left)[..., None], (y - top)[..., None]
    upper = picture[top, left] * (1 - x) + picture[top, right] * x
    lower = picture[below, left] * (1 - x) + picture[below, right] * x
    return upper * (1 - y) + lower * y


def unoccluded(flow: np.ndarray, back: np.ndarray) -> np.ndarray:
    """Pixels `(H, W)` bool that are seen on both frames, and away from the borders of motions.

    Source: Sundaram, Brox and Keutzer 2010, with the thresholds of Ruder, Dosovitskiy and Brox
    2016, as Lai et al. 2018 take them: the way there and the way back differ by at most
    0.01 (|a|^2 + |b|^2) + 0.5, and the flow's gradient is at most 0.01 |a|^2 + 0.002.

    Args:
        flow: see the module. back: `(H, W, 2)`, from the frame before to this one.
    """
    _check_flow(back, flow.shape[:2])
    there = followed(back, flow)
    long = np.square(flow).sum(-1)
    apart = np.square(flow + there).sum(-1)
    seen = apart <= 0.01 * (long + np.square(there).sum(-1)) + 0.5
    slopes = np.gradient(flow, axis=(0, 1)) if min(flow.shape[:2]) > 1 else []
    steep = sum((np.square(slope).sum(-1) for slope in slopes), np.zeros_like(long))
    height, width = flow.shape[:2]
    y, x = np.mgrid[:height, :width]
    x, y = x + flow[..., 0], y + flow[..., 1]
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    return seen & inside & (steep <= 0.01 * long + 0.002)


def warp_error(
    picture: np.ndarray, before: np.ndarray, flow: np.ndarray, seen: np.ndarray
) -> float | None:
    """Mean squared difference from the frame before laid over this one, where both are seen.

    Source: the warping error of Lai et al. 2018 (Learning blind video temporal consistency).

    Args:
        picture, before: `(H, W, C)` float; in [0, 1] for the published unit.
        flow, seen: of the true frames; see the module, and `unoccluded`.

    Returns:
        0 or more; None where nothing is seen on both.
    """
    apart = _along(picture, before, flow, seen)
    return None if apart is None else float(np.square(apart).mean())


def flicker(ab: np.ndarray, before: np.ndarray, flow: np.ndarray, seen: np.ndarray) -> float | None:
    """The same of colours alone: mean absolute difference of ab `(H, W, 2)`, Lab units.

    Luminance, which colouring leaves alone and which is most of `warp_error`, has no say.
    """
    apart = _along(ab, before, flow, seen)
    return None if apart is None else float(np.abs(apart).mean())


def _along(
    picture: np.ndarray, before: np.ndarray, flow: np.ndarray, seen: np.ndarray
) -> np.ndarray | None:
    if picture.shape != before.shape or picture.ndim != 3 or seen.shape != picture.shape[:2]:
        raise InputError(
            f"warp error: expected two (H, W, C) pictures and an (H, W) mask, got {picture.shape}, "
            f"{before.shape} and {seen.shape}"
        )
    if not (np.isfinite(picture).all() and np.isfinite(before).all()):
        raise InputError("warp error: expected finite pictures, got NaN or infinity")
    apart = (picture - followed(before, flow))[seen]
    return apart if apart.size else None


def near_edges(
    lightness: np.ndarray, *, step: float = EDGE_STEP, reach: int = EDGE_REACH
) -> np.ndarray:
    """Pixels `(H, W)` bool within `reach` pixels (a square) of an edge of L `(H, W)` float32."""
    import torch

    if lightness.ndim != 2 or lightness.dtype.kind != "f" or not np.isfinite(lightness).all():
        raise InputError(f"edges: expected finite (H, W) floats, got {lightness.shape}")
    light = box_mean(torch.from_numpy(np.ascontiguousarray(lightness, np.float32))[None], 1)[0]
    edge = torch.zeros_like(light)
    edge[:, 1:-1] = (light[:, 2:] - light[:, :-2]).abs() / 2
    edge[1:-1] = torch.maximum(edge[1:-1], (light[2:] - light[:-2]).abs() / 2)
    return (window_max((edge > step).float()[None], reach)[0] > 0).numpy()


def edge_error(ab: np.ndarray, truth: np.ndarray, near: np.ndarray) -> float | None:
    """Mean absolute error of ab `(2, H, W)` near luminance edges, Lab units: how colour bleeds.

    near: `(H, W)` bool, `near_edges` of the true frame. None where there is no edge.
    """
    from chromatrack.evaluation.metrics.color import ab_error_map

    apart = ab_error_map(ab, truth)
    if near.shape != apart.shape:
        raise InputError(f"edges: expected a mask of {apart.shape}, got {near.shape}")
    return float(apart[near].mean()) if near.any() else None


def _check_flow(flow: np.ndarray, size: tuple[int, ...]) -> None:
    if flow.shape != (*size, 2) or not np.isfinite(flow).all():
        raise InputError(f"flow: expected finite (H, W, 2) for {size}, got {flow.shape}")
