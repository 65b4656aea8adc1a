"""What a run says of how far its rows are to be trusted, also of a part of its frames."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from synthetic import moving_clip, write_clip

from chromatrack.evaluation.baselines.identity import RawLabEncoder
from chromatrack.runs.reader import read_result
from chromatrack.runs.trust import trust_in
from chromatrack.runs.writer import track_to_folder
from chromatrack.structures import BoxMark, PointMark
from chromatrack.tracking.config import TrackConfig
from chromatrack.tracking.marks import Marks
from chromatrack.tracking.tracker import Tracker

FRAMES = 6


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    """A point and a box that are said to be gone on the third frame."""
    folder = tmp_path_factory.mktemp("trust")
    clip = write_clip(folder / "clip", moving_clip(frames=FRAMES, velocity=(1.0, 0.0), radius=20))
    points = [PointMark(1, 0, 30.0, 30.0), PointMark(1, 2, None, None)]
    boxes = [BoxMark(2, 0, 20.0, 20.0, 24.0, 24.0), BoxMark(2, 2, None, None, None, None)]
    tracker = Tracker(RawLabEncoder(), device="cpu", config=TrackConfig(size=96, adapt=0))
    marks = Marks(points=points, boxes=boxes)
    track_to_folder(tracker, clip, marks, output=folder / "out", outputs=("tracks",))
    return read_result(folder / "out")


@pytest.mark.parametrize("first", range(FRAMES))
def test_a_part_of_the_frames_says_what_the_whole_says_of_them(result, first):
    """Such as the one that is shown before an export."""
    whole = trust_in(result)
    part = trust_in(replace(result, frames=result.frames[first : first + 1]))
    here = np.s_[first : first + 1]
    assert part.doubtful.keys() == whole.doubtful.keys()
    assert all(len(flags) == 1 for flags in part.doubtful.values())
    assert part.marked is not None and whole.marked is not None
    for name, flags in part.marked.items():
        np.testing.assert_array_equal(flags, whole.marked[name][here])
    gone = {name for name, flags in (part.gone or {}).items() if flags.any()}
    assert gone == ({("point", 1, 0), ("box", 2, 0)} if first == 2 else set())
