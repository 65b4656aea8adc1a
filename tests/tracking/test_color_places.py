"""Places followed from frame to frame are those in the references."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from patch_encoders import smooth_patches, wave_frame

from chromatrack.ops.affinity import SparseAffinity
from chromatrack.ops.coords import FeatureSpec
from chromatrack.tracking.color_detail import Places, places_over
from chromatrack.tracking.color_motion import FollowedPlaces, FrameMotion

SPEC, SIZE = FeatureSpec(4, 8, 0.0), (64, 96)


def flat(xy, size=(8, 12), number=0):
    shift = torch.tensor(xy, dtype=torch.float32)[:, None, None].expand(2, *size)
    return Places(shift, torch.full(size, number), torch.ones(size, dtype=torch.bool))


def frame(x: float, y: float):
    """Features and L of a texture that has moved by so many pixels."""
    rgb = torch.from_numpy(np.asarray(wave_frame((x, y), size=SIZE))).float().permute(2, 0, 1)
    light = 100 * rgb.mean(0, keepdim=True)
    return smooth_patches((light / 100)[None].expand(-1, 3, -1, -1))[0], light


@settings(deadline=None, max_examples=40)
@given(*[st.integers(-16, 16)] * 4)
def test_a_way_and_what_follows_it_add_up(a, b, c, d):
    followed = FollowedPlaces(SPEC)
    assert followed.moved(flat((0, 0)), [7]) is None  # nothing is known yet
    followed.keep(flat((a, b)), [7])
    found = followed.moved(flat((c, d)), [7])
    assert found is not None and bool(found.lends.all())
    assert torch.equal(found.shift, flat((a + c, b + d)).shift)
    assert followed.moved(None, [7]) is None


def test_pictures_are_found_again_under_another_number_and_those_gone_lend_nothing():
    followed = FollowedPlaces(SPEC)
    followed.keep(flat((1, 2), number=1), [3, 9])
    found = followed.moved(flat((0, 0)), [9, 12])
    assert found is not None and bool((found.picture == 0).all()) and bool(found.lends.all())
    found = followed.moved(flat((0, 0)), [3, 12])
    assert found is not None and not bool(found.lends.any())


def test_frames_tell_how_they_moved_unless_what_was_before_is_forgotten():
    motion = FrameMotion(SPEC, 0.05)
    assert motion.step(*frame(0, 0)) is None
    found = motion.step(*frame(3, 2))
    assert found is not None
    inside = found.shift[:, 1:-1, 1:-1].flatten(1)
    assert inside.median(1).values.tolist() == pytest.approx([-3, -2], abs=1)
    motion.forget()
    assert motion.step(*frame(6, 4)) is None


def test_a_followed_place_stands_where_the_pointer_errs_and_yields_where_it_is_wrong():
    (_, before), (_, now) = frame(0, 0), frame(6, 2)
    cells = torch.arange(8 * 12)
    astray = SparseAffinity(cells.flip(0)[:, None], torch.ones(96, 1), (8, 12))
    right = SparseAffinity(cells[:, None], torch.ones(96, 1), (8, 12))  # 6 px off: slid to it
    for pointer, place in ((astray, (-6.0, -2.0)), (right, (40.0, 30.0))):
        found = places_over(pointer, now, [before], spec=SPEC, followed=flat(place))
        assert found is not None
        off = (found.shift - torch.tensor([-6.0, -2.0])[:, None, None])[:, 2:-2, 2:-2]
        assert float((off.abs().amax(0) <= 1).float().mean()) > 0.8
    alone = places_over(astray, now, [before], spec=SPEC)
    assert alone is not None
    off = (alone.shift - torch.tensor([-6.0, -2.0])[:, None, None])[:, 2:-2, 2:-2]
    assert float((off.abs().amax(0) <= 1).float().mean()) < 0.5
