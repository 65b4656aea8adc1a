"""Passes: both ways and merged, seamlessly, in bounded memory."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from chromatrack.propagation.bidirectional import (
    FrameReading,
    ReadingCache,
    chunks_backward,
    farther,
)
from chromatrack.propagation.layout import Layout
from chromatrack.propagation.merging import merge_readings, shares
from chromatrack.propagation.point_labels import Seen

CPU = torch.device("cpu")
told_frames = st.dictionaries(st.integers(0, 30), st.booleans(), min_size=1, max_size=6)


@given(told_frames, st.integers(0, 30))
def test_shares_are_shares(told, index):
    ahead, behind = shares(index, told)
    assert 0 <= ahead <= 1 and 0 <= behind <= 1
    assert ahead + behind == pytest.approx(1)


@given(told_frames)
def test_at_a_keyframe_that_shows_a_label_its_own_pass_counts_alone(told):
    for frame, shown in told.items():
        if shown:
            assert shares(frame, told) == (1, 0)


@given(st.integers(0, 20), st.integers(1, 20))
def test_between_two_keyframes_the_nearer_one_counts_more_and_steps_are_even(first, length):
    told = {first: True, first + length: True}
    ahead = [shares(first + i, told)[0] for i in range(length)]
    np.testing.assert_allclose(np.diff([*ahead, 0]), -1 / length, atol=1e-9)


@given(st.integers(0, 20), st.integers(2, 20))
def test_towards_a_frame_where_it_is_lost_only_the_other_side_counts(first, length):
    inside = range(first + 1, first + length)
    for index in inside:
        assert shares(index, {first: True, first + length: False}) == (1, 0)
        assert shares(index, {first: False, first + length: True}) == (0, 1)


def test_outside_the_keyframes_the_only_pass_that_knows_counts():
    told = {5: True, 9: True}
    assert [shares(index, told) for index in (0, 4)] == [(0, 1)] * 2
    assert [shares(index, told) for index in (9, 10, 99)] == [(1, 0)] * 3
    assert shares(12, {5: True, 9: False}) == (1, 0)  # the pass that was told it is lost
    assert shares(3, {5: False, 9: True}) == (0, 1)


@given(st.integers(0, 50), st.integers(0, 300), st.integers(1, 10**9))
def test_chunks_cover_each_frame_once_in_falling_order(start, more, frame_bytes):
    last = start + more
    ranges = list(chunks_backward(start, last, frame_bytes=frame_bytes))
    frames = [frame for a, b in ranges for frame in reversed(range(a, b))]
    assert frames == list(range(last, start - 1, -1))
    assert all(0 < b - a <= 64 for a, b in ranges)


def test_large_frames_come_in_short_chunks():
    lengths = {
        size: max(b - a for a, b in chunks_backward(0, 200, frame_bytes=size))
        for size in (1, 10**7, 10**12)
    }
    assert lengths[1] == 64 and lengths[10**7] * 10**7 <= 128_000_000 and lengths[10**12] == 2


def seen(xy: Sequence[tuple[float, float]], confidence: Sequence[float]) -> Seen:
    sure = torch.tensor(confidence)
    return Seen(torch.tensor(xy), sure > 0.5, sure)


def held(found: FrameReading) -> torch.Tensor:
    """The label map of a reading that has one."""
    assert found.regions is not None
    return found.regions


def points(found: FrameReading) -> Seen:
    """The points of a reading that has some."""
    assert found.seen is not None
    return found.seen


def regions(seed: int, labels: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (3 * torch.randn(labels, 5, 7, generator=generator)).softmax(0)


def reading(seed: int, **more) -> FrameReading:
    known = {1: 0.9, 2: 0.8, 3: 0.7}
    return FrameReading(regions(seed), known, dict.fromkeys(known, 0.25 * seed), **more)


def test_readings_come_back_from_a_cache_as_they_went_in():
    cache = ReadingCache()
    masks = torch.rand(2, 10, 14)
    first = reading(0, boxes={3: (1, 2, 3, 4)}, seen=seen([(1.5, 2.25)], [0.75]), masks=masks)
    cache.put(4, first)
    cache.put(2, reading(1))
    cache.put(3, FrameReading(None))
    back = cache.get(4, device=CPU)
    assert back is not None and back.regions is not None and back.seen is not None
    assert held(back).dtype == torch.float32
    torch.testing.assert_close(held(back), first.regions, atol=1e-3, rtol=1e-3)
    assert back.masks is not None
    torch.testing.assert_close(back.masks, masks, atol=1e-3, rtol=1e-3)
    assert (back.confidence, back.entropy) == (first.confidence, first.entropy)
    assert back.boxes == first.boxes
    assert torch.equal(points(back).xy, points(first).xy)
    assert points(back).visible.tolist() == [True]
    again = cache.get(2, device=CPU)
    assert again is not None and again.entropy[1] == 0.25
    empty = cache.get(3, device=CPU)
    assert empty is not None and empty.regions is None
    assert cache.get(5, device=CPU) is None
    cache.close()


def test_a_cut_that_the_backward_pass_met_lies_before_the_next_frame():
    cache = ReadingCache()
    for index, cut in ((4, False), (3, True), (2, False)):
        cache.put(index, FrameReading(None, cut=cut))
    found = [cache.get(index, device=CPU) for index in (2, 3, 4)]
    assert [reading is not None and reading.cut for reading in found] == [False, False, True]
    cache.close()


def test_a_cache_keeps_no_label_maps_in_memory():
    cache = ReadingCache()
    for index in range(20):
        cache.put(index, FrameReading(torch.rand(4, 40, 60)))
    held = [value for value in vars(cache).values() if isinstance(value, dict)]
    assert all(isinstance(v, tuple) and len(v) == 2 for d in held for v in d.values())
    places = [place for d in held for place in d.values()]
    assert len(places) == 20 and sum(length for _, length in places) < 20 * 4 * 40 * 60 * 2.2
    cache.close()
    with pytest.raises(ValueError, match="closed"):
        cache.get(0, device=CPU)


LAYOUT = Layout((7, 9), (4,), (("point", 1, 0), ("point", 2, 0)))
TOLD = {c: {0: True, 10: True} for c in range(1, len(LAYOUT))}


def pair(
    index: int, forward: FrameReading, backward: FrameReading | None, told=None
) -> FrameReading:
    return merge_readings(index, forward, backward, LAYOUT, told or TOLD)


def full(seed: int, **changes) -> FrameReading:
    more = {
        "boxes": {3: (10.0 + seed, 20.0, 30.0, 40.0)},
        "seen": seen([(4.0 + 0.4 * seed, 5.0), (2.0 + 4 * seed, 2.0)], [0.9, 0.9]),
    }
    return reading(seed, **(more | changes))


def test_without_a_backward_reading_the_forward_one_stands():
    forward = full(0)
    assert pair(4, forward, None) is forward
    assert pair(4, forward, FrameReading(None)) is forward


def test_where_forward_knows_nothing_the_backward_one_stands():
    backward = full(1)
    told = {c: {6: True} for c in range(1, len(LAYOUT))}
    found = pair(2, FrameReading(None, cut=True), backward, told)
    torch.testing.assert_close(held(found)[1:], held(backward)[1:])
    assert found.boxes == backward.boxes and found.cut
    assert torch.equal(points(found).xy, points(backward).xy)
    assert found.confidence == backward.confidence


def test_merged_regions_are_shares_of_cells():
    found = held(pair(3, full(0), full(1)))
    torch.testing.assert_close(found.sum(0), torch.ones(5, 7))
    assert float(found.min()) >= 0


def test_at_a_keyframe_the_merge_is_the_forward_reading():
    forward = full(0)
    found = pair(0, forward, full(1))
    torch.testing.assert_close(held(found)[1:], held(forward)[1:])
    assert found.boxes == forward.boxes and torch.equal(points(found).xy, points(forward).xy)


def test_in_the_middle_both_count_the_same_and_then_the_surer_more():
    even = pair(5, full(0), full(1))
    torch.testing.assert_close(held(even)[1:], (regions(0) + regions(1))[1:] / 2)
    assert even.boxes[3] == (10.5, 20, 30, 40)
    torch.testing.assert_close(points(even).xy[0], torch.tensor([4.2, 5.0]))
    unsure = full(1)
    doubtful = FrameReading(
        held(unsure), {1: 0.1, 2: 0.8, 3: 0.0}, unsure.entropy, unsure.boxes, unsure.seen
    )
    found = pair(5, full(0), doubtful)
    roomy = held(found)[0] > 1e-4  # elsewhere the two regions crowd each other
    torch.testing.assert_close(held(found)[2][roomy], held(even)[2][roomy])
    nearer = (held(found)[1] - regions(0)[1]).abs().sum()
    assert nearer < 0.5 * (held(even)[1] - regions(0)[1]).abs().sum()
    assert found.boxes[3][0] == pytest.approx(10.0, abs=0.1)


def test_points_that_two_passes_put_far_apart_are_not_put_in_between():
    both = [points(pair(index, full(0), full(1))).xy[1, 0].item() for index in range(1, 10)]
    assert set(both) == {2.0, 6.0} and both == sorted(both)


def test_the_surer_pass_says_where_a_point_is():
    lost = full(1, seen=seen([(4.4, 5.0), (6.0, 2.0)], [0.9, 0.0]))
    found = points(pair(6, full(0), lost))
    assert found.xy[1].tolist() == [2, 2] and bool(found.visible[1])


def test_a_cut_in_either_pass_is_a_cut():
    assert not pair(3, full(0), full(1)).cut
    assert pair(3, full(0, cut=True), full(1)).cut


def test_masks_are_merged_by_the_weights_of_their_regions():
    a, b = torch.rand(2, 2, 10, 14)
    a, b = a / 2, b / 2
    for index, share in ((0, 1.0), (10, 1.0), (5, 0.5)):
        merged = pair(index, reading(0, masks=a), reading(0, masks=b))
        assert merged.masks is not None
        assert torch.allclose(merged.masks, share * a + (1 - share) * b, atol=1e-5)
    only = pair(5, reading(0), reading(0, masks=b))
    assert only.masks is b


def test_a_pass_that_came_through_doubt_counts_less_though_it_is_nearer():
    """Seven frames without a doubt, against three, one of which is doubtful."""
    sure = doubted = 0.0
    for _ in range(7):
        sure = farther(sure, 0.98)
    for chance in (0.9, 0.2, 0.9):
        doubted = farther(doubted, chance)
    near = pair(7, full(0, away={3: sure}), full(1, away={3: doubted}))
    share = doubted / (sure + doubted)
    assert share > 0.8
    assert near.boxes[3][0] == pytest.approx(10 * share + 11 * (1 - share))
    assert pair(7, full(0, away={3: sure}), full(1)).boxes == pair(7, full(0), full(1)).boxes


@given(st.integers(1, 9), st.floats(0.05, 1), st.floats(0, 9), st.floats(0, 9))
def test_where_all_frames_are_as_sure_distance_counts_as_frames_do(index, chance, a, b):
    ahead = behind = 0.0
    for _ in range(index):
        ahead = farther(ahead, chance)
    for _ in range(10 - index):
        behind = farther(behind, chance)
    even = pair(index, full(0, away={3: ahead}), full(1, away={3: behind}))
    assert even.boxes[3][0] == pytest.approx(pair(index, full(0), full(1)).boxes[3][0])
    other = pair(index, full(0, away={3: a}), full(1, away={3: b}))
    assert 10 <= other.boxes[3][0] <= 11


@given(st.lists(st.floats(0, 1), max_size=30))
def test_it_gets_farther_with_every_frame_and_stays_finite(chances):
    away = [0.0]
    for chance in chances:
        away.append(farther(away[-1], chance))
    assert all(0 < b - a < 10 for a, b in pairwise(away))
