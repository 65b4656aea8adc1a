"""Features averaged with those of the mirrored frame: symmetric, on the same cells."""

from __future__ import annotations

import pytest
import torch
from conftest import randomize

from chromatrack.errors import InputError
from chromatrack.model.config import EncoderConfig
from chromatrack.model.encoder import MirroredEncoder, build_encoder, mirror_averaged
from chromatrack.ops.coords import FeatureSpec
from chromatrack.tracking.config import TrackConfig
from chromatrack.tracking.embedder import FrameEmbedder


def noise(height: int, width: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))


def lopsided(images: torch.Tensor) -> torch.Tensor:
    """What is left and right of the pixel `8 i` of every cell, and below it: `(B, 3, h, w)`."""
    mean = images.mean(1)
    left, right = (mean.roll(shift, 2)[:, ::8, ::8] for shift in (1, -1))
    return torch.stack([left, right, mean.roll(-1, 1)[:, ::8, ::8]], 1)


@pytest.mark.parametrize("width", [57, 64, 71, 72])
def test_left_and_right_count_the_same_and_cells_keep_their_places(width):
    images = noise(40, width)
    found = mirror_averaged(lopsided, images, stride=8)
    assert found.shape == lopsided(images).shape
    inner = found[..., 1:-1]
    torch.testing.assert_close(inner[:, 0], inner[:, 1])  # left and right of the same pixels
    both = lopsided(images)[:, :2].sum(1) / 2
    expected = torch.stack([both, both, lopsided(images)[:, 2]], 1)
    expected = torch.nn.functional.normalize(expected, dim=1)
    torch.testing.assert_close(inner, expected[..., 1:-1])


@torch.no_grad()
@pytest.mark.parametrize("stride", [8, 4])
def test_a_mirrored_frame_has_the_mirrored_features(tiny_encoder, stride):
    randomize(tiny_encoder)
    encoder = MirroredEncoder(tiny_encoder.at_stride(stride))
    images = noise(40, 8 * 9 + 1)  # the last cell on the last pixel: cells lie alike from both ends
    assert encoder(images).shape[-1] == (72 // stride) + 1
    torch.testing.assert_close(
        encoder(images.flip(3)).flip(3), encoder(images), atol=1e-5, rtol=1e-4
    )
    plain = encoder.encoder
    assert (plain(images.flip(3)).flip(3) - plain(images)).abs().max() > 0.01


def test_encoders_that_cannot_be_mirrored_so_are_refused(tiny_clip_encoder):
    with pytest.raises(InputError, match="mirror: expected an encoder of single frames"):
        MirroredEncoder(tiny_clip_encoder)
    shifted = build_encoder(EncoderConfig(widths=(4, 8), blocks=(1, 1), embedding=4))
    between = FeatureSpec(4, 8, 3.5)
    shifted.__class__ = type("Shifted", (type(shifted),), {"spec": between})
    with pytest.raises(InputError, match="first cell is on pixel 0"):
        MirroredEncoder(shifted)


@torch.no_grad()
def test_frames_are_embedded_so_where_asked(tiny_encoder):
    image = noise(48, 65)
    straight, mirrored = (
        FrameEmbedder(
            tiny_encoder, device="cpu", config=TrackConfig(size=48, adapt=0, mirror=mirror)
        ).for_clip(image[0])
        for mirror in (False, True)
    )
    averaged = mirror_averaged(straight, image, stride=8)
    torch.testing.assert_close(mirrored(image), averaged)
    assert (straight(image) - averaged).abs().max() > 1e-3
