"""A faded film's own colours as weak references, where the truth is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from patch_encoders import SmoothEncoder, smooth_patches
from synthetic import write_clip

from chromatrack.ops.color import lab_to_rgb, rgb_to_lab
from chromatrack.ops.resample import interleaved, planes
from chromatrack.propagation.config import PropagateConfig
from chromatrack.tracking.color_carry import Estimate
from chromatrack.tracking.color_faded import SAYS, FadedColors, joined
from chromatrack.tracking.config import ColoringConfig, TrackConfig
from chromatrack.tracking.tracker import Tracker

SIZE = (64, 96)


class GreyPatches(SmoothEncoder):
    """`smooth_patches` of the luminance."""

    def embed(self, lab: torch.Tensor) -> torch.Tensor:
        return smooth_patches(0.5 + 0.5 * lab[:, :1].expand(-1, 3, -1, -1))


def film(count: int) -> list[np.ndarray]:
    """A grey wall, a red disc and a blue floor; from frame 2 on a disc as light as the wall and as
    blue as the floor, that the first frame has not."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    light = 45 + 12 * np.sin(x / 5 + np.cos(y / 7)) + 6 * np.cos(y / 4)
    frames = []
    for i in range(count):
        lab = np.stack([light, 0 * light, 0 * light])
        lab[1:, np.hypot(x - 24 - i, y - 32) < 12] = np.array([[45.0], [20.0]])
        lab[0, 52:] -= 25
        lab[1:, 52:] = np.array([[8.0], [-30.0]])[:, None]
        if i >= 2:
            lab[1:, np.hypot(x - 72 + i, y - 32) < 12] = np.array([[5.0], [-35.0]])
        frames.append(interleaved(lab_to_rgb(torch.from_numpy(lab).float(), gamut="desaturate")))
    return frames


def lab_of(rgb: np.ndarray) -> torch.Tensor:
    return rgb_to_lab(planes(rgb).float() / 255)


def fade(rgb: np.ndarray) -> np.ndarray:
    """Pale, uneven in a and b, and cast towards orange where it is light."""
    lab = lab_of(rgb)
    a, b = 0.35 * lab[1] + 6, 0.25 * lab[2] + 10 + 0.1 * (lab[0] - 50)
    return interleaved(lab_to_rgb(torch.stack([lab[0], a, b]), gamut="desaturate"))


def colorized(tmp_path, frames, reference, *, faded, name) -> list[np.ndarray]:
    clip = write_clip(tmp_path / name, frames)
    config = TrackConfig(
        size=64, color=PropagateConfig(recent=0, radius=3), coloring=ColoringConfig(faded=faded)
    )
    tracker = Tracker(GreyPatches(), device="cpu", config=config)
    found = [frame.ab for frame in tracker.colorize(clip, references=[(reference, 0)])]
    return [ab for ab in found if ab is not None]


def test_the_fit_undoes_an_even_fade():
    frames = film(4)
    fit = FadedColors()
    fit.learn(lab_of(fade(frames[3])), lab_of(frames[3])[1:])
    found, truth = fit.estimate(lab_of(fade(frames[2]))), lab_of(frames[2])[1:]
    assert float((found.ab - truth).abs().mean()) < 1.5
    assert fit.quality() > 0.9
    assert float(found.weight.max()) == pytest.approx(SAYS * fit.quality())


def test_grey_pictures_and_noise_say_nothing():
    truth = lab_of(film(3)[2])
    grey, none = FadedColors(), torch.zeros_like(truth[1:])
    grey.learn(torch.cat([truth[:1], none]), truth[1:])
    assert grey.quality() == 0 and FadedColors().quality() == 0
    noise = torch.from_numpy(np.random.default_rng(0).normal(0, 6, none.shape)).float()
    other = FadedColors()
    other.learn(torch.cat([truth[:1], noise]), truth[1:])
    assert other.quality() < 0.05
    copied = Estimate(truth[1:], torch.ones(1, *SIZE), torch.ones(1, *SIZE))
    torch.testing.assert_close(joined(copied, grey.estimate(truth)).ab, copied.ab)


def test_they_decide_where_no_reference_shows_a_thing_and_leave_the_rest(tmp_path):
    frames = film(5)
    old = [fade(rgb) for rgb in frames]
    truth = lab_of(frames[4])[1:].numpy()
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    new = np.hypot(x - 72 + 4, y - 32) < 9
    errors = {}
    for faded in (False, True):
        ab = colorized(tmp_path, old, frames[0], faded=faded, name=f"old{faded}")[4]
        apart = np.abs(ab - truth).mean(0)
        errors[faded] = float(apart[new].mean()), float(apart[~new].mean())
    assert errors[True][0] < 0.8 * errors[False][0]
    assert errors[True][1] < errors[False][1] + 0.5


def test_a_grey_film_is_colored_as_without(tmp_path):
    frames = film(3)
    grey = [np.repeat(rgb.mean(2, keepdims=True).astype(np.uint8), 3, axis=2) for rgb in frames]
    without, with_ = (
        colorized(tmp_path, grey, frames[0], faded=faded, name=f"grey{faded}")
        for faded in (False, True)
    )
    for a, b in zip(without, with_, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)
