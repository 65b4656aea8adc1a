"""What work says of the stage that follows."""

from __future__ import annotations

import pytest

from chromatrack.studio.stages import Stages


@pytest.mark.parametrize(
    ("stages", "told", "after"),
    [
        ([("backward", 0), ("track", 9)], [("backward", 3), ("backward", 4)], [9, 9]),
        ([("backward", 0), ("track", 9)], [("track", 1), ("track", 2)], [None, None]),
        (
            [("backward", 3), ("correct", 5), ("correct", 2), ("draw", 7)],
            [("backward", 1), ("correct", 2), ("correct", 5), ("correct", 1), ("draw", 1)],
            [5, 2, 2, 7, None],
        ),
        ([("backward", 3)], [("export", 1)], [None]),
        ([], [("track", 1)], [None]),
    ],
)
def test_the_frames_of_the_stage_that_follows(stages, told, after):
    ahead = Stages(stages)
    assert [ahead.after(*one) for one in told] == after


def test_stages_may_be_told_late():
    stages: list[tuple[str, int]] = []
    ahead = Stages(stages)
    stages += [("backward", 3), ("correct", 5)]
    assert ahead.after("backward", 1) == 5


def test_which_of_several_alike_it_is():
    ahead = Stages([("backward", 3), ("correct", 5), ("backward", 2), ("correct", 2)])
    assert ahead.part("backward") == "", "before anything is told"
    told = []
    for name, done in (("backward", 1), ("correct", 1), ("correct", 5), ("correct", 1)):
        ahead.after(name, done)
        told.append(ahead.part(name))
    assert told == [" (1/2)", " (1/2)", " (1/2)", " (2/2)"]
    assert ahead.part("draw") == ""
    one = Stages([("backward", 3), ("correct", 5)])
    one.after("correct", 1)
    assert one.part("correct") == ""
