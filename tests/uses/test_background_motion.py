from __future__ import annotations

import numpy as np
import pytest
from synthetic import GROUND_STOPS, noise_texture

from chromatrack.evaluation.synthetic.materials import sample_texture
from chromatrack.evaluation.synthetic.render import Camera, finish
from chromatrack.uses.background_motion import background_motions, background_view
from chromatrack.uses.plane_motion import apply_motion

SIZE = (96, 160)
CORNERS = np.array([[0.0, 0], [159, 0], [80, 48], [0, 95], [159, 95]])


def seen_by(cameras: list[Camera], *, noise: float = 0.01) -> list[np.ndarray]:
    """Frames of a textured plane."""
    rng = np.random.default_rng(1)
    ground = noise_texture((SIZE[0] * 3, SIZE[1] * 4), GROUND_STOPS, rng=rng, cell=20)
    py, px = np.mgrid[: SIZE[0], : SIZE[1]].astype(np.float32)
    frames = []
    for camera in cameras:
        x, y = camera.to_world(px, py, size=SIZE)
        frames.append(
            finish(sample_texture(ground, x * SIZE[0], y * SIZE[0]), noise=noise, rng=rng)
        )
    return frames


def true_places(camera: Camera, first: Camera) -> np.ndarray:
    """Where the corners of a frame are on the first one."""
    worlds = [camera.to_world(np.float64(x), np.float64(y), size=SIZE) for x, y in CORNERS]
    return np.array([first.to_pixel(float(x), float(y), size=SIZE) for x, y in worlds])


def worst_error(cameras, frames, *, motion="similarity", masks=None, cuts=(), starts=(0,)):
    views = [
        background_view(rgb, np.zeros(SIZE, bool) if masks is None else masks[n], cut=n in cuts)
        for n, rgb in enumerate(frames)
    ]
    found = list(background_motions(views, size=SIZE, motion=motion))
    assert len(found) == len(frames)
    errors = []
    for n, matrix in enumerate(found):
        first = max(s for s in starts if s <= n)
        apart = apply_motion(matrix, CORNERS) - true_places(cameras[n], cameras[first])
        errors.append(np.hypot(*apart.T).max())
    return max(errors)


SHAKE = [Camera(0.03 * np.sin(2.3 * i), 0.02 * np.cos(1.7 * i) - 0.02) for i in range(8)]
WILD = [
    Camera(0.02 * np.sin(i), 0.02 * np.cos(i), 1 + 0.04 * np.sin(0.7 * i), 0.03 * np.sin(1.3 * i))
    for i in range(8)
]


def test_shake_is_found_to_a_tenth_of_a_pixel():
    assert worst_error(SHAKE, seen_by(SHAKE), motion="shift") < 0.1


def test_rotation_and_zoom_are_found_at_the_corners():
    assert worst_error(WILD, seen_by(WILD)) < 0.25


def test_a_long_pan_does_not_drift_away():
    pan = [Camera(0.06 * i - 0.5, 0.01 * np.sin(i)) for i in range(24)]
    assert worst_error(pan, seen_by(pan)) < 0.6, "six frame widths of key frames later"


def test_a_jump_of_a_fifth_of_the_frame_is_followed():
    jump = [Camera(), Camera(0.3, 0.1), Camera(0.3, 0.1), Camera()]
    assert worst_error(jump, seen_by(jump)) < 0.2


def test_moving_objects_do_not_pull_the_background():
    frames, masks = seen_by(SHAKE), []
    noise = np.random.default_rng(2).integers(0, 256, (46, 60, 3)).astype(np.uint8)
    for n, rgb in enumerate(frames):
        mask = np.zeros(SIZE, bool)
        mask[20:66, 10 + 9 * n : 70 + 9 * n] = True
        rgb[mask] = noise.reshape(-1, 3)
        masks.append(mask)
    assert worst_error(SHAKE, frames, masks=masks) < 0.25


def test_what_moves_untracked_hardly_counts():
    frames = seen_by(SHAKE)
    noise = np.random.default_rng(2).integers(0, 256, (36, 36, 3)).astype(np.uint8)
    for n, rgb in enumerate(frames):
        rgb[30:66, 20 + 8 * n : 56 + 8 * n] = noise
    assert worst_error(SHAKE, frames) < 0.3


def test_a_change_of_light_is_no_motion():
    frames = [
        np.clip(rgb * (1 - 0.05 * n) + 4 * n, 0, 255).astype(np.uint8)
        for n, rgb in enumerate(seen_by(SHAKE))
    ]
    assert worst_error(SHAKE, frames, motion="shift") < 0.15


def test_each_shot_starts_anew():
    cameras = [*SHAKE[:4], *(Camera(c.x + 0.9, c.y) for c in SHAKE[:4])]
    assert worst_error(cameras, seen_by(cameras), cuts=[4], starts=(0, 4)) < 0.2


@pytest.mark.parametrize("level", [0, 128])
def test_flat_pictures_stay_where_they_are(level):
    flat = np.full((*SIZE, 3), level, np.uint8)
    views = [background_view(flat, np.zeros(SIZE, bool)) for _ in range(3)]
    for matrix in background_motions(views, size=SIZE, motion="similarity"):
        np.testing.assert_allclose(matrix, np.eye(3), atol=1e-6)


def test_a_frame_full_of_objects_is_survived():
    frames = seen_by(SHAKE[:3])
    views = [background_view(rgb, np.ones(SIZE, bool)) for rgb in frames]
    for matrix in background_motions(views, size=SIZE, motion="similarity"):
        assert np.isfinite(matrix).all()
