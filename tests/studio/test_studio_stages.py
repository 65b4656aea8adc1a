"""How far work of several stages is."""

from __future__ import annotations

import pytest

from chromatrack.studio.stages import Stages


@pytest.mark.parametrize(
    ("stages", "told", "overall"),
    [
        (
            [("backward", 0), ("track", 9)],
            [("backward", 3, 4), ("backward", 4, 4), ("track", 1, 9), ("track", 9, 9)],
            [(3, 13), (4, 13), (5, 13), (13, 13)],
        ),
        (
            [("backward", 0), ("track", 9)],
            [("track", 1, 9), ("track", 2, None)],
            [(1, 9), (2, 9)],
        ),
        (
            [("backward", 3), ("correct", 5), ("correct", 2), ("draw", 7)],
            [
                ("backward", 1, 3),
                ("backward", 3, 3),
                ("correct", 2, 5),
                ("correct", 5, 5),
                ("correct", 1, 2),
                ("correct", 2, 2),
                ("draw", 1, 7),
                ("draw", 7, 7),
            ],
            [(1, 10), (3, 10), (5, 10), (8, 10), (9, 10), (10, 10), (1, 7), (7, 7)],
        ),
        ([("backward", 3)], [("export", 1, 8)], [(1, 8)]),
        ([], [("track", 1, None)], [(1, None)]),
    ],
)
def test_frames_over_all_stages(stages, told, overall):
    ahead = Stages(stages)
    assert [ahead.overall(*one) for one in told] == overall


def test_it_never_goes_back():
    stages = [("backward", 6), ("correct", 9), ("backward", 2), ("correct", 4)]
    ahead, shares = Stages(stages), []
    for name, frames in stages:
        for done in range(1, frames + 1):
            at, of = ahead.overall(name, done, frames)
            assert of == 21
            shares.append(at)
    assert shares == list(range(1, 22))


def test_stages_may_be_told_late():
    stages: list[tuple[str, int]] = []
    ahead = Stages(stages)
    stages += [("backward", 3), ("correct", 5)]
    assert ahead.overall("backward", 1, 3) == (1, 8)
