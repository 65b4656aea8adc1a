"""How fine live frames are looked at: scripted times in, levels out."""

from __future__ import annotations

import numpy as np
import pytest

from chromatrack.errors import InputError
from chromatrack.structures import BoxMark
from chromatrack.tracking.close_up import SMALL
from chromatrack.tracking.config import TrackConfig
from chromatrack.tracking.marks import Marks
from chromatrack.tracking.pace import HOLD, SETTLING, WINDOW, Level, Pace, levels

FOUR = [Level(480, 4), Level(360, 3), Level(288, 2), Level(240, 2)]
DISC = Marks({0: np.pad(np.ones((200, 200), np.int32), ((140, 140), (300, 354)))})


def machine(pace: Pace, *, whole: float, frames: int) -> list[int]:
    """Levels while frames take `whole` seconds at the finest, less in proportion below."""
    used = []
    for _ in range(frames):
        used.append(pace.level)
        pace.add(whole * pace.levels[pace.level].cost / pace.levels[0].cost)
    return used


def test_levels_go_down_in_lines_and_recent_frames():
    found = levels(TrackConfig(), frame_size=(480, 854), marks=DISC, stride=8)
    assert [(level.size, level.recent) for level in found] == [
        (480, 4), (360, 3), (288, 2), (240, 2), (176, 1),
    ]  # fmt: skip


def test_a_small_picture_is_enlarged_less_and_never_below_the_least():
    config = TrackConfig(size=480)
    sizes = [v.size for v in levels(config, frame_size=(96, 160), marks=Marks(), stride=8)]
    assert sizes[0] == 192 and sizes[-1] >= 96 and sizes == sorted(sizes, reverse=True)


def test_no_level_makes_a_marked_thing_smaller_than_a_cell():
    config, size = TrackConfig(), (480, 854)
    counts = []
    for side in (10, 12, 16, 24):
        marks = Marks(boxes=[BoxMark(1, 0, 40, 40, side, side)])
        found = levels(config, frame_size=size, marks=marks, stride=8)
        assert all((side * level.size / 480 / 8) ** 2 >= SMALL for level in found)
        counts.append(len(found))
    assert counts == sorted(counts) and counts[0] < counts[-1] == 5


def test_fast_enough_stays():
    assert set(machine(Pace(10, FOUR), whole=0.09, frames=200)) == {0}


def test_too_slow_goes_down_at_once_as_far_as_is_needed_and_stays():
    pace = Pace(10, FOUR)
    used = machine(pace, whole=0.15, frames=200)
    assert used[: WINDOW + SETTLING] == [0] * (WINDOW + SETTLING)
    assert set(used[WINDOW + SETTLING :]) == {1}  # 0.15 s there is too much, so it is not tried
    used = machine(Pace(10, FOUR), whole=0.3, frames=200)
    assert set(used) == {0, 2}


def test_it_goes_back_up_when_there_is_room():
    pace = Pace(10, FOUR)
    assert machine(pace, whole=0.35, frames=50)[-1] == 3
    used = machine(pace, whole=0.05, frames=400)
    assert used[-1] == 0 and used == sorted(used, reverse=True)


def test_one_slow_frame_changes_nothing():
    pace = Pace(10, FOUR)
    machine(pace, whole=0.05, frames=20)
    assert not pace.add(5.0) and not pace.add(0.05)


def test_a_level_that_was_too_much_is_tried_more_and_more_seldom():
    """Times that lie: the finer level takes far longer than the coarser one lets expect."""
    pace, ups = Pace(10, FOUR[:2]), []
    for frame in range(2000):
        before = pace.level
        pace.add(0.2 if pace.level == 0 else 0.04)
        if pace.level < before:
            ups.append(frame)
    gaps = np.diff(ups)
    assert len(ups) >= 4 and (gaps[1:] > 1.5 * gaps[:-1]).all() and ups[0] >= HOLD


def test_behind_is_said_at_the_coarsest_alone():
    pace = Pace(10, FOUR)
    machine(pace, whole=9.0, frames=7)
    assert not pace.is_behind
    machine(pace, whole=9.0, frames=50)
    assert pace.level == 3 and pace.is_behind
    machine(pace, whole=0.2, frames=20)
    assert not pace.is_behind


def test_no_rate_is_refused():
    for fps in (0, -1, float("nan")):
        with pytest.raises(InputError, match="fps"):
            Pace(fps, FOUR)
