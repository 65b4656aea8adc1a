"""Whose is a cell: look-alikes keep to where they are expected, apart, meeting and hidden."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from chromatrack.propagation.rivals import Ways, contest_by_looks

SIZE = (12, 40)


def square(x: float, y: int = 4, *, side: int = 4) -> Tensor:
    """A square region, its left column at x rounded: `(h, w)` of 0 and 1."""
    label = torch.zeros(SIZE)
    left = round(x)
    label[y : y + side, max(0, left) : max(0, left + side)] = 1
    return label


def labels(*regions: Tensor) -> Tensor:
    """Background, then regions: `(L, h, w)`."""
    return torch.stack([torch.zeros(SIZE), *regions])


def walked(
    ways: Ways, *, frames: int, first: tuple[float, float], step: tuple[float, float]
) -> None:
    """Two regions that are seen apart, each on its way."""
    for t in range(frames):
        seen = labels(*(square(x + dx * t) for x, dx in zip(first, step, strict=True)))
        painted = {1, 2} if t == 0 else set()
        ways.follow(seen, seen={1, 2}, meeting=set(), painted=painted)


def test_a_double_that_stands_apart_is_not_taken_over() -> None:
    ways = Ways()
    walked(ways, frames=3, first=(4, 24), step=(0, 0))
    copied = labels((square(4) + square(24)).clamp(max=1) * 0.7, square(24) * 0.3)
    assert ways.contest(copied, [1, 2], []) == set()
    assert torch.allclose(copied[1], square(4) * 0.7, atol=0.05)
    assert torch.allclose(copied[2], square(24), atol=0.05)


def test_those_that_pass_each_other_go_on_the_way_they_went() -> None:
    ways, x, step = Ways(), (2.0, 30.0), (1.0, -1.0)
    walked(ways, frames=10, first=x, step=step)
    met = False
    for t in range(10, 26):
        one, two = square(x[0] + t), square(x[1] - t)
        both = torch.maximum(one, two) * 0.5
        copied = labels(both, both)  # the pointer cannot tell them apart
        meeting = ways.contest(copied, [1, 2], [])
        met |= bool(meeting)
        ways.follow(copied, seen={1, 2}, meeting=meeting, painted=())
        if not bool((one * two).any()):
            assert (copied[1] * one).sum() > 0.7 * copied[1].sum(), t
            assert (copied[2] * two).sum() > 0.7 * copied[2].sum(), t
    assert met


def test_what_stands_still_keeps_nothing_from_what_passes_in_front_of_it() -> None:
    for lost in ([], [2]):
        ways = Ways()
        walked(ways, frames=3, first=(4, 24), step=(0, 0))
        if lost:
            gone = labels(square(4), torch.zeros(SIZE))
            ways.follow(gone, seen={1}, meeting=set(), painted=())
        copied = labels(square(24) * 0.95, square(24) * 0.05)  # 1 has jumped onto 2
        before = copied.clone()
        seen = [c for c in (1, 2) if c not in lost]
        assert ways.contest(copied, seen, lost, lambda one, other: False) == set()
        assert torch.allclose(copied, before)
        ways.contest(copied, seen, lost)
        assert (copied[1] * square(24)).sum() < 0.5 * square(24).sum()  # of its double it does


def test_of_three_those_that_look_alike_contest_their_cells() -> None:
    ways = Ways()
    first = labels(square(4), square(24), square(14))
    ways.follow(first, seen={1, 2, 3}, meeting=set(), painted={1, 2, 3})
    both = (square(24) + square(14)) * 0.45
    copied = labels(both, square(24) * 0.1, square(14) * 0.1)
    ways.contest(copied, [1, 2, 3], [], lambda one, other: {one, other} == {1, 2})
    assert (copied[2] * square(24)).sum() > 0.5 * copied.sum(0).mul(square(24)).sum()
    assert torch.allclose(copied[1] * square(14), square(14) * 0.45, atol=1e-5)


def test_what_is_expected_of_a_lost_one_is_kept_from_its_double() -> None:
    ways = Ways()
    walked(ways, frames=3, first=(4, 24), step=(0, 0))
    gone = labels(square(4), torch.zeros(SIZE))
    ways.follow(gone, seen={1}, meeting=set(), painted=())
    copied = labels((square(4) + square(24)).clamp(max=1), torch.zeros(SIZE))
    ways.contest(copied, [1], [2])
    assert torch.equal(copied[1] * square(4), square(4))
    assert (copied[1] * square(24)).sum() < 0.5 * square(24).sum()


def test_a_lost_one_is_waited_for_so_long_and_no_longer() -> None:
    ways = Ways()
    walked(ways, frames=3, first=(4, 24), step=(0, 0))
    gone = labels(square(4), torch.zeros(SIZE))
    for _ in range(60):
        ways.follow(gone, seen={1}, meeting=set(), painted=())
    copied = labels((square(4) + square(24)).clamp(max=1), torch.zeros(SIZE))
    before = copied.clone()
    ways.contest(copied, [1], [2])
    assert torch.equal(copied, before)


def test_one_region_alone_is_left_as_it_is() -> None:
    ways = Ways()
    ways.follow(labels(square(4)), seen={1}, meeting=set(), painted={1})
    copied = labels((square(4) + square(24)) * 0.6)
    before = copied.clone()
    assert ways.contest(copied, [1], []) == set()
    assert torch.equal(copied, before)


def test_after_a_cut_and_after_a_mark_nothing_old_counts() -> None:
    ways = Ways()
    walked(ways, frames=3, first=(4, 24), step=(1, 0))
    ways.follow(labels(square(30), square(2)), seen={1, 2}, meeting=set(), painted={1, 2})
    copied = labels(square(30), square(2))
    ways.contest(copied, [1, 2], [])
    assert torch.equal(copied, labels(square(30), square(2)))
    ways.forget()
    swapped = labels(square(2), square(30))
    ways.contest(swapped, [1, 2], [])
    assert torch.equal(swapped, labels(square(2), square(30)))


def test_a_fork_and_other_channels_keep_the_ways_apart() -> None:
    ways = Ways()
    walked(ways, frames=3, first=(4, 24), step=(0, 0))
    twin = ways.fork()
    twin.relabel({2: 1})
    assert set(twin.known) == {1}
    assert set(ways.known) == {1, 2}
    assert torch.equal(twin.known[1].cells, ways.known[2].cells)


@given(seed=st.integers(0, 10_000), regions=st.integers(2, 4))
def test_what_is_held_is_shared_and_not_made(seed: int, regions: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    channels = [*range(1, regions + 1)]
    ways = Ways()
    seen = labels(*(square(float(torch.randint(0, 36, (), generator=rng))) for _ in channels))
    ways.follow(seen, seen=channels, meeting=set(), painted=channels)
    copied = torch.rand(regions + 1, *SIZE, generator=rng)
    copied /= copied.sum(0)
    before = copied.clone()
    ways.contest(copied, channels, [])
    assert torch.allclose(copied[1:].sum(0), before[1:].sum(0), atol=1e-5)
    assert torch.equal(copied[0], before[0])
    assert bool((copied >= 0).all())


def test_looks_decide_between_those_that_meet() -> None:
    looks = torch.zeros(2, *SIZE)
    looks[0, :, :8], looks[1, :, 8:] = 1, 1
    copied = labels(square(4) * 0.5 + square(8) * 0.5, square(8) * 0.5 + square(4) * 0.5)
    contest_by_looks(looks, copied, {1: torch.tensor([[1.0, 0.0]]), 2: torch.tensor([[0.0, 1.0]])})
    assert (copied[1] * square(4)).sum() > 2 * (copied[2] * square(4)).sum()
    assert (copied[2] * square(8)).sum() > 2 * (copied[1] * square(8)).sum()
