"""Raw patches: what they average, where they sit, and how they stand beside what was learned."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from chromatrack.errors import InputError
from chromatrack.model.config import PRESETS, EncoderConfig
from chromatrack.model.encoder import ResNetEncoder, build_encoder
from chromatrack.model.weights import load_encoder, save_encoder
from chromatrack.ops.patches import SYMMETRIC_CHANNELS, patches, symmetric_patches


def noise(height: int, width: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))


def small(share: float) -> ResNetEncoder:
    torch.manual_seed(0)
    encoder = build_encoder(replace(PRESETS["small"], raw_share=share))
    assert isinstance(encoder, ResNetEncoder)
    return encoder.eval()


def test_a_patch_holds_the_averages_around_its_cell():
    lab = noise(64, 80)
    found = patches(lab, stride=8, before=10)
    assert found.shape == (1, 75, 8, 10)
    own = found[0, :, 3, 4].reshape(3, 5, 5)  # cell (3, 4): pixels 14 to 33 down, 22 to 41 across
    torch.testing.assert_close(own[1, 0, 0], lab[0, 1, 14:18, 22:26].mean())
    torch.testing.assert_close(own[2, 4, 1], lab[0, 2, 30:34, 26:30].mean())


@given(st.integers(1, 70), st.integers(1, 70), st.sampled_from([4, 8]), st.integers(0, 1000))
def test_every_cell_has_a_patch_of_unit_length(height, width, stride, seed):
    found = symmetric_patches(noise(height, width, seed), stride=stride)
    assert found.shape == (1, SYMMETRIC_CHANNELS, -(-height // stride), -(-width // stride))
    assert torch.isfinite(found).all()
    length = found.norm(dim=1)
    assert ((length - 1).abs() < 1e-4).all() or height * width == 1


def test_a_mirrored_frame_has_the_same_patches_mirrored():
    lab = noise(40, 64)
    own, mirrored = (symmetric_patches(x, stride=8)[0, :, 2] for x in (lab, lab.flip(3)))
    # patches reach from 10 pixels before their cell's to 9 after it: cell i is cell 8 - i
    torch.testing.assert_close(mirrored[:, 2:7].flip(1), own[:, 2:7])


def test_similarity_is_that_of_whole_patches_averaged_with_their_mirror_images():
    lab = noise(40, 48)
    apart = lab - lab.mean((2, 3), keepdim=True)
    whole = patches(apart, stride=8, before=10).unflatten(1, (3, 5, 5))
    whole = F.normalize(((whole + whole.flip(3)) / 2).flatten(1, 3), dim=1)[0].flatten(1)
    folded = symmetric_patches(lab, stride=8)[0].flatten(1)
    torch.testing.assert_close(folded.T @ folded, whole.T @ whole, atol=1e-5, rtol=1e-4)


def test_a_frame_of_one_color_has_patches_of_nothing():
    flat = torch.full((1, 3, 40, 40), 0.25)  # a number whose mean is exact
    assert (symmetric_patches(flat, stride=8) == 0).all()
    features = small(0.5).embed(flat)
    torch.testing.assert_close(features.norm(dim=1), torch.ones(1, 5, 5))


def test_finer_cells_include_the_coarser_ones():
    lab = noise(60, 77)
    fine, coarse = symmetric_patches(lab, stride=4), symmetric_patches(lab, stride=8)
    torch.testing.assert_close(fine[:, :, ::2, ::2], coarse)


def test_patches_do_not_depend_on_the_brightness_of_the_whole_frame():
    lab = noise(48, 48)
    torch.testing.assert_close(
        symmetric_patches(lab + 0.2, stride=8),
        symmetric_patches(lab, stride=8),
        atol=1e-4,
        rtol=1e-4,
    )


@pytest.mark.parametrize("share", [0.25, 0.5])
def test_similarity_is_the_mean_of_learned_and_raw(share):
    lab = noise(40, 48) - 0.5
    learned, raw = (
        small(0.0).embed(lab)[0].flatten(1),
        symmetric_patches(lab, stride=8)[0].flatten(1),
    )
    both = small(share).embed(lab)[0].flatten(1)
    assert small(share).spec.channels == len(both) == 64 + SYMMETRIC_CHANNELS
    expected = (1 - share) * learned.T @ learned + share * raw.T @ raw
    torch.testing.assert_close(both.T @ both, expected, atol=1e-5, rtol=1e-4)


def test_training_sees_the_learned_part_alone():
    lab = noise(40, 48)
    assert small(0.5).project(lab).shape[1] == 64
    torch.testing.assert_close(F.normalize(small(0.5).project(lab), dim=1), small(0.0).embed(lab))


@pytest.mark.parametrize("share", [-0.1, 1.0, float("nan")])
def test_a_share_that_leaves_nothing_to_learn_is_refused(share):
    with pytest.raises(InputError, match="raw_share: expected a share from 0 to below 1, got"):
        small(share)


def test_the_share_is_kept_in_the_weights_file(tmp_path):
    save_encoder(tmp_path / "m.safetensors", small(0.3))
    assert load_encoder(tmp_path / "m.safetensors").config.raw_share == 0.3
    assert EncoderConfig().raw_share == 0.0  # files from before have none
