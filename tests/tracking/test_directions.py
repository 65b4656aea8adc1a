"""Whole passes over a clip: forward, backward, and both merged between keyframes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from patch_encoders import CELLS, SPEC, blank_frame, given_on, patches, square, translating

from chromatrack.propagation.bidirectional import (
    DirectedPass,
    FrameReading,
    ReadingCache,
)
from chromatrack.propagation.label_state import LabelState
from chromatrack.propagation.merging import both_ways
from chromatrack.propagation.propagate import Input, PropagateConfig, Propagator
from chromatrack.structures import BoxMark, LostMark, PointMark
from chromatrack.tracking.marks import Marks


def held(found: FrameReading) -> torch.Tensor:
    """The label map of a reading that has one."""
    assert found.regions is not None
    return found.regions


MARKS = Marks(masks={0: square(24), 6: square(72)})


def run_pass(
    images: Sequence[torch.Tensor],
    marks: Marks,
    *,
    backward: bool = False,
    config: PropagateConfig | None = None,
    redetect: bool = False,
) -> tuple[dict[int, FrameReading], DirectedPass, list[tuple[Input, FrameReading]]]:
    """One pass over all images: readings by frame, the pass, and readings as they came."""
    config = config or PropagateConfig(radius=3, recent_radius=3)
    layout = marks.layout()
    keyframes = marks.keyframes(layout)

    def frame(index: int) -> Input:
        size = (images[index].shape[-2], images[index].shape[-1])
        found = marks.on_frame(index, layout, SPEC, frame_size=size, image_size=size)
        return Input(index, images[index], found, blank_frame(index))

    def embed(index: int) -> tuple[torch.Tensor, Input]:
        return patches(images[index][None])[0], frame(index)

    labels = LabelState(layout, SPEC, config, redetect=redetect)
    runner = Propagator(
        patches, SPEC, config, settle=labels.settle, background=True, free=layout.free
    )
    one = DirectedPass(runner, labels, keyframes, embed, backward)
    order = range(len(images) - 1, -1, -1) if backward else range(len(images))
    got = [(frame(index), one.step(frame(index))) for index in order]
    return {given.index: reading for given, reading in got}, one, got


def merged(images: Sequence[torch.Tensor], marks: Marks, **more) -> dict[int, FrameReading]:
    """Both passes, merged, by frame."""
    back, _, _ = run_pass(images, marks, backward=True, **more)
    _, _, got = run_pass(images, marks, **more)
    cache = ReadingCache()
    for index, found in back.items():
        cache.put(index, found)
    layout = marks.layout()
    result = {
        frame.index: found
        for frame, found in both_ways(got, cache, layout, marks.keyframes(layout))
    }
    cache.close()
    return result


def mirrored(marks: Marks, count: int) -> Marks:
    return Marks(
        {count - 1 - f: mask for f, mask in marks.masks.items()},
        [PointMark(p.id, count - 1 - p.frame, p.x, p.y) for p in marks.points],
        [BoxMark(b.id, count - 1 - b.frame, b.x, b.y, b.width, b.height) for b in marks.boxes],
    )


@pytest.mark.parametrize(
    "marks",
    [
        Marks(masks={6: square(72)}),
        MARKS,
        Marks(masks={2: square(40)}, points=[PointMark(1, 6, 60, 40), PointMark(2, 3, 50, 50)]),
        Marks(boxes=[BoxMark(1, 5, 40, 30, 48, 40)], points=[PointMark(1, 0, 60, 40)]),
    ],
)
def test_backward_is_forward_on_the_reversed_clip(marks):
    images = translating(7)
    back, _, _ = run_pass(images, marks, backward=True)
    ahead, _, _ = run_pass(images[::-1], mirrored(marks, 7))
    for index in range(7):
        a, b = back[index], ahead[6 - index]
        assert (a.regions is None) == (b.regions is None)
        if a.regions is not None and b.regions is not None:
            torch.testing.assert_close(a.regions, b.regions, atol=1e-5, rtol=1e-5)
        assert a.boxes.keys() == b.boxes.keys()
        for channel in a.boxes:
            np.testing.assert_allclose(a.boxes[channel], b.boxes[channel], atol=1e-3)
        if a.seen is not None and b.seen is not None:
            torch.testing.assert_close(a.seen.xy, b.seen.xy, atol=1e-3, rtol=0)
            assert torch.equal(a.seen.visible, b.seen.visible)


def drifting(count: int, *, seed: int = 0) -> list[torch.Tensor]:
    """A moving texture that turns into another one on the way: each keyframe knows one end."""
    a, b = translating(count, seed=seed), translating(count, seed=seed + 50)
    return [x + (y - x) * i / (count - 1) for i, (x, y) in enumerate(zip(a, b, strict=True))]


def wrong(found: FrameReading, left: int) -> float:
    """Mean error of the region's label map against the true square's."""
    assert found.regions is not None
    truth = given_on(Marks(masks={0: square(left)}), 0, torch.zeros(3, 96, 128), SPEC).label_map
    return float((held(found)[1] - truth[1]).abs().mean())


def test_two_keyframes_are_better_in_the_middle_than_either_alone():
    count = 9
    images = drifting(count)
    lefts = [16 + 8 * i for i in range(count)]
    both = Marks(masks={0: square(lefts[0]), count - 1: square(lefts[-1])})
    config = PropagateConfig(radius=3, recent_radius=3, recent=2)
    two = merged(images, both, config=config)
    first, _, _ = run_pass(images, Marks(masks={0: square(lefts[0])}), config=config)
    last, _, _ = run_pass(
        images, Marks(masks={count - 1: square(lefts[-1])}), backward=True, config=config
    )
    for index in (3, 4, 5):
        error = wrong(two[index], lefts[index])
        assert error < wrong(first[index], lefts[index])
        assert error < wrong(last[index], lefts[index])


def test_a_keyframe_changes_nothing_beyond_its_neighbours():
    images = translating(9)
    marks = Marks(masks={0: square(8), 4: square(40), 8: square(72)})
    redrawn = Marks(masks={**marks.masks, 8: square(64, top=24, side=48)})
    a, b = merged(images, marks), merged(images, redrawn)
    for index in range(5):
        torch.testing.assert_close(held(a[index]), held(b[index]), atol=2e-3, rtol=0)
    assert float((held(a[7]) - held(b[7])).abs().max()) > 0.2


def moved_back(reading: FrameReading, index: int) -> torch.Tensor:
    """A region's label map with the clip's own motion taken off."""
    assert reading.regions is not None
    return torch.roll(reading.regions[1], -index, dims=1)[:, 2:7]


def test_there_is_no_jump_at_a_keyframe():
    images = drifting(13)
    marks = Marks(masks={f: square(8 + 8 * f) for f in (0, 6, 12)})
    found = merged(images, marks)
    maps = [moved_back(found[index], index) for index in range(13)]
    changes = [float((b - a).abs().mean()) for a, b in pairwise(maps)]
    at_seam = changes[5:7]
    inside = changes[1:5] + changes[7:11]
    assert max(at_seam) <= max(inside) + 1e-3


def test_memory_is_bounded_by_the_neighbours():
    images = translating(14, step=4)
    marks = Marks(masks={f: square(8 + 4 * f) for f in range(0, 14, 2)})
    _, one, _ = run_pass(images, marks)
    assert len(one.propagator.bank.marked) <= 2
    _, one, _ = run_pass(images, marks, backward=True)
    assert len(one.propagator.bank.marked) <= 2


@pytest.mark.parametrize("redetect", [False, True])
def test_a_label_declared_lost_is_gone_until_it_is_shown_again(redetect):
    images = translating(9)
    marks = Marks(masks={0: square(16), 8: square(80)}, lost=[LostMark(1, 3), LostMark(1, 5)])
    found = merged(images, marks, redetect=redetect)
    strongest = [float(held(found[index])[1].max()) for index in range(9)]
    assert [round(value) for value in strongest] == [1, 1, 1, 0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize("backward", [False, True])
def test_without_recall_nothing_comes_back_after_it_is_declared_lost(backward):
    mask, lost, after = (8, 5, range(6)) if backward else (0, 3, range(3, 9))
    marks = Marks(masks={mask: square(16 + 8 * mask)}, lost=[LostMark(1, lost)])
    found, _, _ = run_pass(translating(9), marks, backward=backward)
    for index in after:
        assert not held(found[index])[1].any()


@settings(max_examples=6)
@given(st.sets(st.integers(0, 6), min_size=1, max_size=3))
def test_every_frame_is_read_whatever_the_keyframes(keyframes):
    images = translating(7)
    marks = Marks(masks={f: square(16 + 8 * f) for f in keyframes})
    found = merged(images, marks)
    for index in range(7):
        regions = held(found[index])
        assert regions is not None and regions.shape == (2, *CELLS)
        assert wrong(found[index], 16 + 8 * index) < 0.12
        torch.testing.assert_close(regions.sum(0), torch.ones(CELLS), atol=1e-3, rtol=0)
