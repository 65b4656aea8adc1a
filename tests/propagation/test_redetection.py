"""Lost and found: absent where hidden, found again elsewhere, and not taken for something else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from patch_encoders import (
    SIZE,
    SMOOTH_SPEC,
    image_of,
    present,
    run_marks,
    smooth_patches,
    wave_frame,
)

from chromatrack.ops.coords import pixel_grid
from chromatrack.propagation.label_state import Readings
from chromatrack.propagation.redetection import ObjectMemory
from chromatrack.structures import BoxMark, LostMark
from chromatrack.tracking.marks import Marks

SIDE = 32
Place = tuple[int, int] | None

GROUND = wave_frame(seed=3) * [0.3, 0.9, 0.6]
SKINS = {
    "own": wave_frame(seed=4) * [0.4, 0.7, 0.7] + [0.6, 0.0, 0.0],
    "other": wave_frame(seed=6) * [0.2, 0.3, 0.5] + [0.1, 0.1, 0.5],
    "near": 0.25 * (wave_frame(seed=4) * [0.4, 0.7, 0.7] + [0.6, 0.0, 0.0])
    + 0.4 * (wave_frame(seed=8) * [0.4, 0.3, 0.2] + [0.6, 0.6, 0.0]),
    "third": wave_frame(seed=8) * [0.4, 0.3, 0.2] + [0.6, 0.6, 0.0],
}
BAR = slice(48, 92)


def drawn(*things: tuple[str, Place], bar: bool = True) -> torch.Tensor:
    """Squares of some textures on a ground, behind a standing bar."""
    frame = GROUND.copy()
    for skin, place in things:
        if place is not None:
            x, y = place
            frame[y : y + SIDE, x : x + SIDE] = SKINS[skin][:SIDE, :SIDE]
    if bar:
        frame[:, BAR] = 0.25 + 0.05 * wave_frame(seed=7)[:, BAR]
    return image_of(frame.astype(np.float32))


def mask_at(place: Place, value: int = 1) -> np.ndarray:
    mask = np.zeros(SIZE, dtype=np.int32)
    if place is not None:
        mask[place[1] : place[1] + SIDE, place[0] : place[0] + SIDE] = value
    return mask


def where(label: torch.Tensor, place: Place) -> float:
    """Share of a label's mass that lies at a place."""
    assert place is not None
    grid = pixel_grid(label.shape, stride=SMOOTH_SPEC.stride, offset=SMOOTH_SPEC.offset)
    near = (grid >= torch.tensor(place) - 4).all(-1) & (grid <= torch.tensor(place) + SIDE + 4).all(
        -1
    )
    return float(label[near].sum() / label.sum().clamp(min=1e-6))


def track(images: Sequence[torch.Tensor], marks: Marks) -> list[tuple[torch.Tensor, Readings]]:
    """Label map and readings of every frame."""
    found = []
    for step, readings in run_marks(images, marks):
        assert step.label_map is not None
        found.append((step.label_map, readings))
    return found


INTO: list[Place] = [(8 + 8 * i, 30) for i in range(6)]  # the last one is behind the bar
AWAY: list[Place] = [None] * 4
ELSEWHERE: Place = (94, 8)


@pytest.mark.parametrize("kind", ["mask", "box"])
def test_an_object_hidden_by_a_bar_is_absent_and_found_again_elsewhere(kind):
    places = [*INTO, *AWAY, *[ELSEWHERE] * 5]
    images = [drawn(("own", place)) for place in places]
    marks = Marks(masks={0: mask_at(INTO[0])})
    if kind == "box":
        marks = Marks(boxes=[BoxMark(1, 0, 8.0, 30.0, SIDE, SIDE)])
    found = track(images, marks)
    for label_map, readings in found[:4]:
        assert present(label_map, readings)[1] and readings.confidence[1] > 0.5
        assert float(label_map[1].max()) > 0.5
    for label_map, readings in found[7:10]:
        assert not present(label_map, readings)[1] and readings.confidence[1] < 0.5
        assert not label_map[1].any()
    for label_map, readings in found[-3:]:
        assert present(label_map, readings)[1] and readings.confidence[1] > 0.5
        assert where(label_map[1], ELSEWHERE) > 0.8


def test_an_object_that_is_always_seen_is_never_absent():
    images = [drawn(("own", (8 + 2 * i, 10 + 3 * i)), bar=False) for i in range(12)]
    for label_map, readings in track(images, Marks(masks={0: mask_at((8, 10))})):
        assert present(label_map, readings)[1] and readings.confidence[1] > 0.5
        assert float(label_map[1].max()) > 0.5


def test_a_look_alike_of_another_texture_is_not_taken():
    images = [drawn(("own", place)) for place in [*INTO, *AWAY]]
    images += [drawn(("other", ELSEWHERE))] * 6
    found = track(images, Marks(masks={0: mask_at(INTO[0])}))
    for label_map, readings in found[7:]:
        assert not present(label_map, readings)[1] and not label_map[1].any()


def test_features_that_have_much_in_common_lose_and_find_it_too():
    """As where a network makes everything alike: the object goes while its double stays."""

    def alike(images: torch.Tensor) -> torch.Tensor:
        maps = smooth_patches(images)
        common = torch.full_like(maps[:, :1], 3.0)
        return F.normalize(torch.cat([maps, common], 1), dim=1)

    double, spec = (94, 8), replace(SMOOTH_SPEC, channels=SMOOTH_SPEC.channels + 1)
    images = [drawn(("near", double), ("own", place)) for place in [*INTO, *AWAY, *AWAY]]
    images += [drawn(("near", double), ("own", (94, 58)))] * 6
    marks = Marks(masks={0: mask_at(INTO[0])})
    found = [
        (step.label_map, readings)
        for step, readings in run_marks(images, marks, encode=alike, spec=spec)
    ]
    for label_map, readings in found[8:14]:
        assert not present(label_map, readings)[1]
    label_map, readings = found[-1]
    assert label_map is not None
    assert present(label_map, readings)[1] and where(label_map[1], (94, 58)) > 0.8


def test_two_of_one_look_that_pass_each_other_keep_their_names():
    """Nothing but their ways tells them apart."""
    ways: list[tuple[tuple[int, int], tuple[int, int]]] = [
        ((6 + 6 * t, 20), (94 - 6 * t, 32)) for t in range(15)
    ]
    images = [drawn(("own", one), ("own", two), bar=False) for one, two in ways]
    one, two = ways[0]
    found = track(images, Marks(masks={0: mask_at(one) + mask_at(two, 2)}))
    for (label_map, readings), (one, two) in list(zip(found, ways, strict=True))[-2:]:
        assert present(label_map, readings)[1] and present(label_map, readings)[2]
        assert where(label_map[1], one) > 0.9 and where(label_map[2], two) > 0.9


def test_one_that_jumps_in_front_of_a_marked_thing_that_stands_stays_itself():
    """It gathers speed, so that it is never where it is expected; the other one always is."""
    lefts = [4, 4, 4, 8, 16, 28, 44, 60, 76, 84]
    images = [drawn(("other", (64, 26)), ("own", (x, 26)), bar=False) for x in lefts]
    found = track(images, Marks(masks={0: mask_at((4, 26)) + mask_at((64, 26), 2)}))
    grid = pixel_grid(found[0][0].shape[1:], stride=SMOOTH_SPEC.stride, offset=SMOOTH_SPEC.offset)
    for (label_map, _), x in zip(found, lefts, strict=True):
        middle = torch.tensor((x, 26)) + SIDE / 2
        inner = ((grid - middle).abs() <= SIDE / 4).all(-1)
        assert inner.any() and label_map[1][inner].min() > 0.8, x
        assert label_map[2][inner].max() < 0.1, x


def test_what_was_seen_a_frame_ago_is_not_found_at_the_other_end():
    """A thing that it cannot have become: it stands too far away, until it may have gone there."""
    body = ObjectMemory(area=16.0, place=torch.tensor([10.0, 10.0]))
    reaches = []
    for hidden in (1, 10):
        body.hidden = hidden
        reaches.append(body.reach)
    assert 4 < reaches[0] < 20 and reaches[1] - reaches[0] == pytest.approx(27)
    images = [drawn(("own", (8, 30)), bar=False)] * 4 + [drawn(("own", (94, 8)), bar=False)] * 8
    found = track(images, Marks(masks={0: mask_at((8, 30))}))
    there = [present(*one)[1] and where(one[0][1], (94, 8)) > 0.8 for one in found]
    assert not any(there[:6]) and there[-1]


def test_of_two_things_that_appear_the_object_is_taken():
    images = [drawn(("own", place)) for place in [*INTO, *AWAY]]
    images += [drawn(("other", (94, 8)), ("own", (94, 56)))] * 6
    label_map, readings = track(images, Marks(masks={0: mask_at(INTO[0])}))[-1]
    assert present(label_map, readings)[1] and where(label_map[1], (94, 56)) > 0.8


def test_two_objects_lost_together_do_not_change_places():
    second: list[Place] = [(8 + 8 * i, 62) for i in range(6)]
    pairs = list(zip(INTO, second, strict=True))
    images = [drawn(("own", a), ("third", b)) for a, b in pairs]
    images += [drawn()] * 4 + [drawn(("own", (94, 60)), ("third", (94, 10)))] * 6
    masks = {0: mask_at(INTO[0], 5) + mask_at(second[0], 9)}
    found = track(images, Marks(masks=masks))
    assert present(*found[8]) == {1: False, 2: False}
    label_map, readings = found[-1]
    assert present(label_map, readings) == {1: True, 2: True}
    assert where(label_map[1], (94, 60)) > 0.8 and where(label_map[2], (94, 10)) > 0.8


def test_an_object_declared_lost_is_absent_at_once():
    images = [drawn(("own", (8, 30)))] * 3 + [drawn()] * 4
    marks = Marks(masks={0: mask_at((8, 30))}, lost=[LostMark(1, 3)])
    found = track(images, marks)
    assert present(*found[2])[1]
    for label_map, readings in found[3:]:
        assert not present(label_map, readings)[1] and readings.confidence[1] == 0
        assert not label_map[1].any()


def test_an_object_declared_lost_is_found_when_it_comes_back():
    images = [drawn(("own", (8, 30)))] * 3 + [drawn()] * 3 + [drawn(("own", ELSEWHERE))] * 5
    marks = Marks(masks={0: mask_at((8, 30))}, lost=[LostMark(1, 3)])
    label_map, readings = track(images, marks)[-1]
    assert present(label_map, readings)[1] and where(label_map[1], ELSEWHERE) > 0.8


def test_after_a_cut_nothing_copied_holds_and_the_object_is_found_in_the_old_scene_again():
    other = image_of((wave_frame(seed=12) * [1.0, 0.9, 0.2]).astype(np.float32))
    images = [drawn(("own", (8, 30)), bar=False)] * 4 + [other] * 4
    images += [drawn(("own", (70, 40)), bar=False)] * 5
    found = track(images, Marks(masks={0: mask_at((8, 30))}))
    assert [index for index, (_, readings) in enumerate(found) if readings.cut] == [4, 8]
    for label_map, readings in found[4:8]:
        assert not present(label_map, readings)[1]
    assert present(*found[-1])[1] and where(found[-1][0][1], (70, 40)) > 0.8


def test_without_recall_an_object_is_not_looked_for():
    images = [drawn(("own", place)) for place in [*INTO, *AWAY, *[ELSEWHERE] * 4]]
    marks = Marks(masks={0: mask_at(INTO[0])})
    last, _ = list(run_marks(images, marks, redetect=False))[-1]
    assert last.label_map is not None and where(last.label_map[1], ELSEWHERE) < 0.5


@given(st.floats(-0.3, 1))
def test_more_is_asked_of_a_stranger_than_of_what_was_followed(usual):
    body = ObjectMemory(usual=usual)
    assert body.floor < body.accept < usual
