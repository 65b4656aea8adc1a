"""Transitions between shots: kinds and places as they were made, and none where none is."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import moving_clip

from chromatrack.ops.shot_transitions import Transition, TransitionFinder, unexplained
from chromatrack.runs.shots import small_picture

Pictures = list[torch.Tensor]


def shot(seed: int, count: int, step: float = 1.0) -> Pictures:
    clip = moving_clip(
        frames=count, size=(96, 128), camera_velocity=(step, 0.5 * step), objects=1, seed=seed
    )
    return [small_picture(frame.rgb) for frame in clip]


def dissolved(a: Pictures, b: Pictures, length: int) -> Pictures:
    """The last frames of a mixed into the first ones of b."""
    shares = [(i + 1) / (length + 1) for i in range(length)]
    mixed = [x + (y - x) * w for x, y, w in zip(a[-length:], b, shares, strict=False)]
    return [*a[:-length], *mixed, *b[length:]]


def faded(pictures: Pictures, length: int, *, out: bool, to: float = 0.0) -> Pictures:
    found = list(pictures)
    for i in range(length):
        at = len(found) - 1 - i if out else i
        found[at] = to + (found[at] - to) * i / length
    return found


def transitions(pictures: Pictures) -> list[Transition]:
    finder = TransitionFinder()
    for picture in pictures:
        finder.add(picture)
    return finder.found()


def cut(at: int) -> Transition:
    return Transition("cut", at, at, at)


def test_cuts_are_found_where_they_are():
    film = [*shot(0, 12), *shot(1, 9), *shot(2, 15), *shot(0, 6)]
    assert transitions(film) == [cut(12), cut(21), cut(36)]


@settings(max_examples=8, deadline=None)
@given(st.floats(-4, 4), st.integers(0, 3))
def test_one_shot_has_none(step, seed):
    assert transitions(shot(seed, 40, step)) == []


@pytest.mark.parametrize("length", [6, 12, 24, 48])
def test_a_dissolve_is_told_with_its_frames(length):
    film = dissolved(shot(0, 30 + length, 0.2), shot(1, 30 + length, 0.2), length)
    [found] = transitions(film)
    assert found.kind == "dissolve"
    assert abs(found.first - 30) <= 2 + length // 8
    assert abs(found.end - 30 - length) <= 2 + length // 8
    assert found.first < found.at < found.end


@pytest.mark.parametrize("to", [0.0, 1.0])
def test_a_fade_out_and_in_is_one_transition(to):
    out, back = faded(shot(0, 30), 12, out=True, to=to), faded(shot(1, 30), 12, out=False, to=to)
    [found] = transitions([*out, *[torch.full_like(out[0], to)] * 4, *back])
    assert found.kind == "fade" and 30 <= found.at <= 34
    assert abs(found.first - 18) <= 2 and abs(found.end - 46) <= 2


def test_a_fade_in_begins_a_film_and_a_fade_out_ends_it():
    film = faded(faded(shot(0, 40), 10, out=False), 10, out=True)
    first, last = transitions(film)
    assert (first.kind, first.first, first.at) == ("fade", 0, 0) and abs(first.end - 10) <= 2
    assert (last.kind, last.end, last.at) == ("fade", 40, 40) and abs(last.first - 30) <= 2


@pytest.mark.parametrize("flash", [1.0, 0.0, 0.8])
@pytest.mark.parametrize("length", [1, 3])
def test_a_flash_or_a_dropped_frame_is_no_cut(flash, length):
    film = shot(0, 24)
    for at in range(10, 10 + length):
        film[at] = film[at] * 0.2 + 0.8 * flash
    assert transitions(film) == []


def test_a_flash_beside_a_cut_hides_it_not():
    film = [*shot(0, 20), *shot(1, 20)]
    film[12] = torch.full_like(film[12], 1.0)
    assert transitions(film) == [cut(20)]


def test_black_between_two_hard_cuts_is_a_shot():
    film = [*shot(0, 15), *[torch.zeros(48, 64)] * 10, *shot(1, 15)]
    assert [one.at for one in transitions(film)] == [15, 25]


def test_motion_explains_a_moved_picture():
    a, b = (shot(1, 2, x)[1] for x in (0.0, 4.0))
    other = shot(2, 1)[0]
    assert unexplained(a, a)[0] == 0
    assert unexplained(b, a)[0] < 0.7 * unexplained(other, a)[0]


def test_no_frame_has_no_transition():
    assert transitions([]) == []
    assert transitions([torch.zeros(48, 64)] * 3) == []
