"""Batches drawn at once: the motion they state is the motion of the pictures."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from chromatrack.ops.coords import FeatureSpec
from chromatrack.training.data.crops import CropView, cut_rgb
from chromatrack.training.data.device_batches import DeviceSampler, sample
from chromatrack.training.data.frame_table import FrameTable
from chromatrack.training.data.sampler import SamplerConfig

SPEC = FeatureSpec(4, 8, 0.0)
CONFIG = SamplerConfig(crop=64, jitter=0.0, views=2, photo_share=1.0, cache="table")


def smooth_table(*, videos: int = 6, photos: int = 2) -> FrameTable:
    """Frames of soft colours; two to a scene; photos smaller."""
    pixels, sizes = [], []
    for number in range(videos + photos):
        size = (80, 100) if number < videos else (72, 90)
        soft = torch.rand(1, 3, 6, 7, generator=torch.Generator().manual_seed(number))
        image = F.interpolate(soft, size, mode="bicubic", align_corners=True).clamp(0, 1)[0]
        pixels.append((image * 255).round().to(torch.uint8).movedim(0, -1).reshape(-1, 3))
        sizes.append(size)
    size = torch.tensor(sizes)
    scene = torch.arange(videos + photos)
    scene[:videos] //= 2
    return FrameTable(
        pixels=torch.cat(pixels),
        first=size.prod(1).cumsum(0) - size.prod(1),
        size=size,
        seconds=torch.arange(videos + photos, dtype=torch.float64) * 0.3,
        scene=scene,
        source=scene,
        weight=torch.ones(videos + photos, dtype=torch.float64),
        videos=videos,
    )


@pytest.mark.parametrize("knobs", [{}, {"thin_plate": 0.03}, {"views": 3}])
def test_the_target_shows_what_the_correspondence_says(knobs):
    batch = DeviceSampler(smooth_table(), SPEC, replace(CONFIG, **knobs)).batch(3, size=12)
    known = torch.isfinite(batch.correspondence).all(-1)
    assert known.float().mean() > 0.3
    place = batch.correspondence.nan_to_num(0) / (CONFIG.crop - 1) * 2 - 1
    there = F.grid_sample(batch.lab[:, 0], place, align_corners=True)
    here = batch.lab[:, -1, :, ::8, ::8]
    error = (there - here).abs().mean(1)[known].mean()
    unmoved = (batch.lab[:, 0, :, ::8, ::8] - here).abs().mean(1)[known].mean()
    assert error < 0.02 < unmoved / 3


def test_a_batch_depends_on_its_step_alone():
    sampler = DeviceSampler(smooth_table(), SPEC, CONFIG)
    first, again, next_one = (sampler.batch(step, size=4) for step in (7, 7, 8))
    assert torch.equal(first.lab, again.lab) and torch.equal(first.hidden, again.hidden)
    assert not torch.equal(first.lab, next_one.lab)


def test_moving_examples_have_no_known_motion():
    config = replace(CONFIG, photo_share=0.0)
    batch = DeviceSampler(smooth_table(), SPEC, config).batch(0, size=8)
    assert torch.isnan(batch.correspondence).all()
    assert (batch.gap_seconds > 0).all()


def test_samples_are_those_of_cut_views():
    table = smooth_table(videos=2, photos=0)
    image = table.pixels[: 80 * 100].reshape(80, 100, 3).movedim(-1, 0)
    view = CropView(np.array([[1.3, 0.2, -9.0], [-0.1, 1.4, 12.0], [0, 0, 1.0]]), 64)
    grid = torch.stack(torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="xy"), -1)
    m = torch.tensor(view.matrix, dtype=torch.float32)
    xy = (grid @ m[:2, :2].T + m[:2, 2])[None]
    found = sample(table.pixels, table.first[:1], table.size[:1], xy)
    torch.testing.assert_close(found, cut_rgb([image], [view]), atol=1e-4, rtol=0)
