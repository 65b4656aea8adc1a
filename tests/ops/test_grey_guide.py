"""A grey guide of one channel does what three equal ones do."""

from __future__ import annotations

import torch
from patch_encoders import wave_frame

from chromatrack.ops.color import grey_of_light, lab_to_rgb
from chromatrack.ops.coords import FeatureSpec
from chromatrack.ops.resample import upsample_guided


def test_greys_of_light_are_those_of_lab():
    light = torch.linspace(-1, 101, 4080).reshape(1, 51, 80)
    grey = lab_to_rgb(torch.cat([light, torch.zeros(2, 51, 80)]).clamp(0, 100))
    for channel in grey:
        torch.testing.assert_close(grey_of_light(light)[0], channel, atol=4e-4, rtol=0)


def test_one_channel_guides_as_three_equal_ones_do():
    rgb = torch.from_numpy(wave_frame((3.0, 1.0), size=(61, 90))).float()
    grey, spec = rgb.mean(2)[None], FeatureSpec(4, 8, 0.0)
    labels = 40 * torch.randn(2, 8, 12, generator=torch.Generator().manual_seed(0))
    three = upsample_guided(labels, grey.expand(3, -1, -1).contiguous(), spec=spec)
    one = upsample_guided(labels, grey, spec=spec)
    torch.testing.assert_close(one, three, atol=0.05, rtol=0)
    assert float((one - one.mean()).abs().max()) > 10
