"""Points: followed between pixels, invisible where they are hidden, gone or declared lost."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from patch_encoders import (
    CELLS,
    SIZE,
    SMOOTH_SPEC,
    image_of,
    run_marks,
    smooth_patches,
    wave_frame,
    waves,
)

import chromatrack.propagation.propagate as propagate_module
from chromatrack.ops.coords import FeatureSpec, cell_to_pixel
from chromatrack.propagation.point_labels import (
    Seen,
    Templates,
    bumps,
    centres,
    confidence_of,
    correlation,
    match_of,
)
from chromatrack.structures import PointMark
from chromatrack.tracking.marks import Marks

PLACES = [(44.25, 40.5), (61.3, 50.7), (80.5, 33.25)]


def film(count: int, step: tuple[float, float]) -> list[torch.Tensor]:
    """A texture that moves `step` px a frame."""
    return [image_of(wave_frame((step[0] * i, step[1] * i))) for i in range(count)]


def barred(images: Sequence[torch.Tensor], columns: slice) -> list[torch.Tensor]:
    """The same, behind a standing bar of another texture."""
    bar = image_of(wave_frame(seed=9))[:, :, columns] * torch.tensor([0.9, 0.4, 0.2])[:, None, None]
    covered = [image.clone() for image in images]
    for image in covered:
        image[:, :, columns] = bar
    return covered


def marks_of(places: Sequence[tuple[float, float]], *, frame: int = 0) -> list[PointMark]:
    return [PointMark(number, frame, x, y) for number, (x, y) in enumerate(places)]


def follow(images: Sequence[torch.Tensor], marks: Sequence[PointMark]) -> list[Seen]:
    """What is seen of points on every frame, in cells."""
    found = []
    for _, readings in run_marks(images, Marks(points=list(marks))):
        assert readings.seen is not None
        found.append(readings.seen)
    return found


def pixels(seen: Seen) -> np.ndarray:
    return cell_to_pixel(seen.xy, stride=SMOOTH_SPEC.stride, offset=SMOOTH_SPEC.offset).numpy()


@pytest.mark.parametrize("step", [(0.0, 0.0), (0.5, 0.25), (1.3, -0.7), (3.4, 1.1), (-4.1, 0.3)])
def test_points_follow_a_moving_texture_to_a_tenth_of_a_pixel(step):
    for index, seen in enumerate(follow(film(6, step), marks_of(PLACES))):
        truth = np.array(PLACES) + np.array(step) * index
        np.testing.assert_allclose(pixels(seen), truth, atol=0.1)
        assert bool(seen.visible.all())
        assert seen.xy.shape == (3, 2) and seen.confidence.shape == (3,)


def test_on_its_own_frame_a_mark_is_exact():
    (seen, *_) = follow(film(1, (0, 0)), marks_of(PLACES))
    np.testing.assert_allclose(pixels(seen), PLACES, atol=1e-4)
    assert seen.confidence.tolist() == [1, 1, 1]


@settings(max_examples=8)
@given(st.floats(-5, 5), st.floats(-5, 5))
def test_a_single_step_of_any_length_and_direction_is_followed(dx, dy):
    images = [image_of(wave_frame()), image_of(wave_frame((dx, dy)))]
    _, seen = follow(images, marks_of(PLACES))
    np.testing.assert_allclose(pixels(seen), np.array(PLACES) + np.array([dx, dy]), atol=0.1)


def test_different_points_move_differently():
    y, x = np.mgrid[: SIZE[0], : SIZE[1]].astype(np.float64)
    grown = [waves(64 + (x - 64) / s, 48 + (y - 48) / s) for s in (1.0, 1.02, 1.04, 1.06)]
    images = [image_of(frame.astype(np.float32)) for frame in grown]
    last = follow(images, marks_of(PLACES))[-1]
    truth = np.array([64, 48]) + 1.06 * (np.array(PLACES) - [64, 48])
    np.testing.assert_allclose(pixels(last), truth, atol=0.25)


def test_a_point_that_leaves_the_frame_becomes_invisible():
    found = follow(film(8, (6.0, 0.0)), marks_of([(100.0, 40.0), (30.0, 40.0)]))
    assert bool(found[2].visible.all())  # at 112 of 128
    assert [bool(seen.visible[0]) for seen in found[6:]] == [False, False]  # at 136 and 142
    assert all(bool(seen.visible[1]) for seen in found)
    np.testing.assert_allclose(pixels(found[-1])[1], [72, 40], atol=0.1)


def test_a_point_behind_a_bar_is_invisible_and_seen_again_after_it():
    images = barred(film(17, (4.0, 0.0)), slice(52, 76))
    found = follow(images, marks_of([(36.0, 44.0), (20.0, 60.0)]))
    x = [36 + 4 * index for index in range(17)]
    for index, seen in enumerate(found):
        if 58 <= x[index] <= 69:
            assert not seen.visible[0]
        if x[index] < 44 or x[index] > 92:
            assert seen.visible[0]
            np.testing.assert_allclose(pixels(seen)[0], [x[index], 44], atol=0.15)


def test_a_point_declared_lost_is_invisible_there_and_others_are_not():
    marks = [*marks_of(PLACES), PointMark(1, 3, None, None)]
    found = follow(film(5, (1.0, 0.5)), marks)
    assert [seen.visible.tolist() for seen in found[:3]] == [[True] * 3] * 3
    assert found[3].visible.tolist() == [True, False, True]
    assert float(found[3].confidence[1]) == 0
    np.testing.assert_allclose(
        pixels(found[3])[[0, 2]], np.array(PLACES)[[0, 2]] + [3, 1.5], atol=0.1
    )


def test_a_point_declared_lost_is_nowhere_till_it_is_seen_again():
    images = film(9, (1.0, 0.5))
    images[3:6] = [torch.full_like(images[0], 0.5)] * 3  # nothing to be seen of anything
    marks = [*marks_of(PLACES), PointMark(1, 3, None, None)]
    found = follow(images, marks)
    assert all(bool(seen.known[[0, 2]].all()) for seen in found)  # a best guess where hidden
    assert [bool(seen.known[1]) for seen in found[:6]] == [True] * 3 + [False] * 3
    assert [bool(seen.known[1]) for seen in found] == [
        index < 3 or bool(seen.visible[1]) for index, seen in enumerate(found)
    ]
    assert bool(found[-1].visible[1]) and bool(found[-1].known[1])


def test_a_second_mark_leaves_what_the_first_one_tells():
    images = film(8, (1.0, 0.5))
    images[3] = 1 - images[3]  # it looks like on no other frame
    marks = marks_of(PLACES)
    moved = [(x + 3.0, y + 1.5) for x, y in PLACES]
    again = [PointMark(n, 3, *place) for n, place in enumerate(moved)]
    found = follow(images, [*marks, *again])
    for index in (4, 5, 6, 7):
        assert bool(found[index].visible.all()), index
        truth = np.array(PLACES) + np.array([1.0, 0.5]) * index
        np.testing.assert_allclose(pixels(found[index]), truth, atol=0.1)
    alone = follow(images[3:], [PointMark(n, 0, *place) for n, place in enumerate(moved)])
    for index in (4, 5):  # by the second mark alone
        assert bool((found[index].confidence > alone[index - 3].confidence + 0.05).all())


def test_a_second_mark_puts_the_point_where_the_user_says():
    images = film(6, (1.5, 0.0))
    corrected = follow(images, [*marks_of(PLACES), PointMark(0, 3, 70.25, 60.5)])
    plain = follow(images, marks_of(PLACES))
    np.testing.assert_allclose(pixels(corrected[3])[0], [70.25, 60.5], atol=1e-4)
    np.testing.assert_allclose(pixels(corrected[5])[0], [73.25, 60.5], atol=0.1)
    np.testing.assert_allclose(pixels(corrected[5])[1:], pixels(plain[5])[1:], atol=0.1)


def test_a_point_marked_later_is_not_seen_before_and_followed_after():
    marks = [*marks_of(PLACES), PointMark(7, 2, 50.0, 60.0)]
    found = follow(film(5, (1.0, 0.0)), marks)
    assert [bool(seen.visible[3]) for seen in found] == [False, False, True, True, True]
    np.testing.assert_allclose(pixels(found[4])[3], [52, 60], atol=0.1)


def corner_blocks(images: torch.Tensor) -> torch.Tensor:
    """As `smooth_patches`, with cells at the corners of blocks of 8 px: offset 0."""
    wide = F.pad(images, (4, 3, 4, 3), mode="replicate")
    return F.normalize(F.unfold(wide, 8, stride=8).unflatten(2, CELLS) - 0.5, dim=1)


@pytest.mark.parametrize("size", [(96, 128), (91, 122)])
def test_up_to_the_frames_edges_points_are_seen_whatever_the_cells_offset(size):
    height, width = size
    places = [(-0.5, -0.5), (width - 0.5, height - 0.5), (width - 2.0, 1.0), (2.0, height - 2.0)]
    still = image_of(wave_frame(size=size))
    for spec, encode in ((SMOOTH_SPEC, smooth_patches), (FeatureSpec(192, 8, 0.0), corner_blocks)):
        if encode is smooth_patches and size != SIZE:
            continue
        *_, (_, readings) = run_marks(
            [still] * 4, Marks(points=marks_of(places)), spec=spec, encode=encode
        )
        seen = readings.seen
        assert seen is not None and bool(seen.visible.all())
        xy = cell_to_pixel(seen.xy, stride=spec.stride, offset=spec.offset)
        np.testing.assert_allclose(xy.numpy(), places, atol=0.1)


def test_hundreds_of_points_cost_one_pointer_a_frame(monkeypatch):
    calls = []
    real = propagate_module.tiled_affinity

    def counted(*args, **knobs):
        calls.append(1)
        return real(*args, **knobs)

    monkeypatch.setattr(propagate_module, "tiled_affinity", counted)
    y, x = np.mgrid[20:76:15j, 20:108:20j]
    places = list(zip(x.ravel().tolist(), y.ravel().tolist(), strict=True))
    found = follow(film(4, (1.5, -0.5)), marks_of(places))
    assert len(places) == 300 and len(calls) == 3
    truth = np.array(places) + np.array([4.5, -1.5])
    error = np.linalg.norm(pixels(found[-1]) - truth, axis=1)
    assert float((error < 0.2).mean()) > 0.98 and float(found[-1].visible.float().mean()) > 0.98


def test_points_do_not_change_each_other():
    images = film(4, (2.0, 1.0))
    alone = follow(images, marks_of(PLACES[:1]))[-1]
    near = follow(images, marks_of([*PLACES, (46.0, 41.0)]))[-1]
    np.testing.assert_allclose(pixels(near)[0], pixels(alone)[0], atol=1e-3)


@given(st.floats(2, 12), st.floats(2, 8))
def test_the_centre_of_a_bump_is_where_it_was_put(x, y):
    xy = torch.tensor([[x, y]])
    found, height = centres(bumps(xy, (11, 15)))
    assert float((found - xy).abs().max()) < 0.1
    assert 0.6 < float(height) <= 1


def test_bumps_are_one_at_their_place_and_fall_off():
    drawn = bumps(torch.tensor([[4.0, 2.0], [1.0, 5.0]]), (7, 9))
    assert drawn.shape == (2, 7, 9)
    assert float(drawn[0, 2, 4]) == 1 and float(drawn[1, 5, 1]) == 1
    assert drawn[0, 2, 4:].diff().max() < 0
    wide = bumps(torch.tensor([[4.0, 2.0]]), (7, 9), width=2.0)
    assert float(wide[0, 2, 6]) > float(drawn[0, 2, 6])


def test_the_centre_is_that_of_the_strongest_place():
    label_map = bumps(torch.tensor([[3.0, 3.0]]), (10, 20)) + 0.6 * bumps(
        torch.tensor([[15.0, 6.0]]), (10, 20)
    )
    found, height = centres(label_map)
    torch.testing.assert_close(found, torch.tensor([[3.0, 3.0]]), atol=0.05, rtol=0)
    torch.testing.assert_close(height, torch.ones(1))


def test_an_empty_label_map_has_no_height():
    _, height = centres(torch.zeros(2, 5, 6))
    assert height.tolist() == [0, 0]


def test_templates_are_kept_point_by_point():
    a = Templates(torch.zeros(3, 9, 4), torch.zeros(3, 5, 3))
    b = Templates(torch.ones(3, 9, 4), torch.ones(3, 5, 3))
    mixed = a.keep(b, torch.tensor([False, True, False]))
    assert mixed.features[:, 0, 0].tolist() == [0, 1, 0]
    assert mixed.pixels[:, 0, 0].tolist() == [0, 1, 0]
    assert mixed[torch.tensor([1])].pixels.shape == (1, 5, 3)
    assert not a.features.any()  # the old ones are not written into


@given(st.floats(0.2, 3), st.floats(-1, 1))
def test_correlation_sees_neither_light_nor_contrast(gain, light):
    a = torch.randn(2, 81, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(correlation(a, gain * a + light), torch.ones(2))
    torch.testing.assert_close(correlation(a, light - gain * a), -torch.ones(2))


@pytest.mark.parametrize("gain", [0.5, 1.0, 2.0])
def test_patches_that_show_something_match_as_they_correlate(gain):
    a = 0.5 + 0.15 * torch.randn(40, 81, 3, generator=torch.Generator().manual_seed(0))
    b = 0.5 + gain * (a - 0.5) + 0.1 * torch.randn(a.shape, generator=torch.Generator())
    torch.testing.assert_close(match_of(a, b), correlation(a, b), atol=0.03, rtol=0)
    torch.testing.assert_close(match_of(a, 1 - a), -torch.ones(40), atol=0.05, rtol=0)


def test_flat_patches_match_where_they_are_of_one_colour():
    """Their correlation is one of noise: about 0, whatever they show."""
    noise = 0.008 * torch.randn(2, 60, 81, 3, generator=torch.Generator().manual_seed(1))
    green, orange = torch.tensor([0.3, 0.7, 0.3]), torch.tensor([0.9, 0.5, 0.1])
    a, b = green + noise[0], green + noise[1]
    assert float(correlation(a, b).abs().max()) < 0.3
    assert float(match_of(a, b).min()) > 0.8
    assert float(match_of(a, orange + noise[1]).max()) < 0.1
    assert float(match_of(a, b * 0.96).min()) > 0.7, "a little darker"
    textured = green + 0.15 * torch.randn(b.shape, generator=torch.Generator().manual_seed(2))
    assert float(match_of(a, textured).max()) < 0.5


def test_a_point_on_a_flat_tile_is_seen_till_something_comes_before_it():
    tiles = torch.rand(3, 6, 8, generator=torch.Generator().manual_seed(3)) * 0.8
    ground = tiles.repeat_interleave(24, 1).repeat_interleave(24, 2)[:, : SIZE[0], : SIZE[1]]
    noise = torch.Generator().manual_seed(4)
    images = [ground + 0.006 * torch.randn(ground.shape, generator=noise) for _ in range(9)]
    for image in images[4:7]:
        image[:, 20:76, 40:96] = torch.tensor([0.9, 0.1, 0.9])[:, None, None]
    found = follow(images, marks_of([(59.0, 59.0)]))
    assert [bool(seen.visible[0]) for seen in found] == [True] * 4 + [False] * 3 + [True] * 2
    np.testing.assert_allclose(pixels(found[3])[0], [59, 59], atol=8)


ratios = st.floats(-1, 1)


@given(ratios, ratios, ratios, ratios, st.floats(0, 0.5))
def test_confidence_is_a_share_that_grows_with_every_likeness(a, b, c, d, more):
    likeness, match = torch.tensor([[a], [b]]), torch.tensor([[c], [d]])
    base = float(confidence_of(likeness, match))
    assert 0 <= base <= 1
    assert float(confidence_of(likeness + more, match)) >= base
    assert float(confidence_of(likeness, match + more)) >= base
