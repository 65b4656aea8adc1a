"""A joint that nobody ever marked is nowhere: not estimated, not drawn, not counted, not hidden."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from synthetic import moving_clip, write_clip

from chromatrack.errors import InputError
from chromatrack.formats.keypoints import read_keypoint_tracks
from chromatrack.propagation.bidirectional import Direction
from chromatrack.runs.correct import correct
from chromatrack.runs.files import overlay_frame
from chromatrack.runs.reader import read_result
from chromatrack.runs.writer import track_to_folder
from chromatrack.structures import KeypointMark, PointMark, Skeleton
from chromatrack.tracking.config import TrackConfig
from chromatrack.tracking.marks import Marks
from chromatrack.tracking.session import start_session
from chromatrack.tracking.tracker import Tracker
from chromatrack.uses.trajectories import read_traces

SIZE = (64, 96)
FRAMES = 6
LEG = Skeleton(("hip", "knee", "foot"), ((0, 1), (1, 2)))
NAN = float("nan")
HIP, KNEE, FOOT = (45.0, 30.0), (50.0, 34.0), (48.0, 38.0)
NOWHERE = (NAN, NAN)


def pose(frame: int, *joints: tuple[float, float], lost: tuple[int, ...] = ()) -> KeypointMark:
    return KeypointMark(1, frame, np.array(joints), np.isin(np.arange(len(joints)), lost))


@pytest.fixture(scope="module")
def tracker() -> Tracker:
    return Tracker.from_pretrained("small", device="cpu", config=TrackConfig(size=64))


@pytest.fixture(scope="module")
def film():
    return moving_clip(frames=FRAMES, size=SIZE, radius=14, velocity=(1.0, 0.5))


@pytest.fixture(scope="module")
def clip(film, tmp_path_factory) -> Path:
    return write_clip(tmp_path_factory.mktemp("film") / "clip.mkv", film)


ONLY_TWO = [pose(0, HIP, KNEE, NOWHERE)]
LOST_ONLY = [pose(0, HIP, KNEE, NOWHERE, lost=(2,))]
LATER = [pose(0, HIP, KNEE, NOWHERE), pose(3, NOWHERE, NOWHERE, FOOT)]


@pytest.mark.parametrize(
    ("marks", "direction", "unknown"),
    [
        (ONLY_TWO, "both", range(FRAMES)),
        (ONLY_TWO, "forward", range(FRAMES)),
        (LOST_ONLY, "both", range(FRAMES)),
        (LOST_ONLY, "forward", range(FRAMES)),
        (LATER, "both", ()),
        (LATER, "forward", range(3)),  # nothing is known of it before its first mark
        (LATER, "backward", range(4, FRAMES)),
    ],
)
def test_what_is_not_known_is_nowhere(
    tracker, clip, marks, direction: Direction, unknown, tmp_path
):
    given = Marks.of(keypoints=marks, skeleton=LEG)
    track_to_folder(tracker, clip, given, output=tmp_path / "out", direction=direction)
    data = json.loads((tmp_path / "out" / "keypoints.json").read_text())
    said = {row["image_id"]: row for row in data["annotations"]}
    for frame, row in said.items():
        x, y, v = row["keypoints"][6:]
        if frame in unknown:
            assert (x, y, v) == (0, 0, 0) and row["keypoint_scores"][2] == 0
        else:
            assert v in (1, 2) and x > 20 and y > 20
        given = zip(row["keypoint_scores"], row["keypoints"][2::3], strict=True)
        known = [score for score, v in given if v]
        assert row["num_keypoints"] == len(known)
        assert row["score"] == pytest.approx(np.mean(known) if known else 0, abs=1e-4)
    result = read_result(tmp_path / "out")
    track = result.keypoints[1]
    nowhere = np.isnan(track.values[:, 2]).all(axis=1)
    assert set(track.frames[nowhere].tolist()) == set(unknown) & set(said)
    assert not track.visible[nowhere, 2].any() and not track.confidence[nowhere, 2].any()
    [trace] = read_traces(result).things
    assert np.isfinite(trace.xy[0 if direction != "backward" else 3]).all()


def test_what_is_said_to_be_lost_is_nowhere_there(tracker, clip, tmp_path):
    marks = [pose(0, HIP, KNEE, FOOT), pose(3, HIP, KNEE, NOWHERE, lost=(2,))]
    points = [PointMark(1, 0, *HIP), PointMark(1, 3, None, None)]
    marks = Marks.of(keypoints=marks, points=points, skeleton=LEG)
    track_to_folder(tracker, clip, marks, output=tmp_path)
    _, tracks = read_keypoint_tracks(tmp_path / "keypoints.json")
    assert np.isfinite(tracks[1].values[:3]).all() and np.isfinite(tracks[1].values[:, :2]).all()
    assert not tracks[1].visible[3, 2] and np.isnan(tracks[1].values[3, 2]).all()
    rows = [line.split(",") for line in (tmp_path / "tracks.csv").read_text().splitlines()[1:]]
    assert all(row[3] and row[4] for row in rows[:3]) and rows[3][3:6] == ["", "", "0"]


def test_no_channel_no_dot_and_no_edge(tracker, clip, film):
    marks = Marks.of(keypoints=ONLY_TWO, skeleton=LEG)
    assert [joint for _, _, joint in marks.layout().points] == [0, 1]
    assert marks.layout().joints() == {1: 3}
    for frame in tracker.track(clip, keypoints=ONLY_TWO):
        drawn = overlay_frame(frame, skeleton=LEG)
        assert np.array_equal(drawn[:16, :24], frame.rgb[:16, :24])  # where (0, 0) would be drawn
        assert np.isnan(frame.keypoints[1].joints[2]).all()
        assert ("joint", 1, 2) not in frame.place_reliability


def test_the_others_are_tracked_as_without_it(tracker, clip):
    short = [KeypointMark(1, 0, np.array([HIP, KNEE]), np.zeros(2, dtype=bool))]
    runs = tracker.track(clip, keypoints=ONLY_TWO), tracker.track(clip, keypoints=short)
    for three, two in zip(*runs, strict=True):
        assert np.array_equal(three.keypoints[1].joints[:2], two.keypoints[1].joints)


def test_a_point_that_is_only_declared_lost_is_nowhere(tracker, clip, tmp_path):
    points = [PointMark(1, 0, *HIP), PointMark(2, 0, None, None)]
    track_to_folder(tracker, clip, Marks.of(points=points), output=tmp_path)
    rows = [line.split(",") for line in (tmp_path / "tracks.csv").read_text().splitlines()[1:]]
    assert {(r[3], r[4], r[5]) for r in rows if r[0] == "2"} == {("", "", "0")}
    assert read_result(tmp_path).ids("point") == [1, 2]


def test_a_session_tracks_it_from_its_first_mark(tracker, film):
    joints = np.array([HIP, KNEE, NOWHERE])
    session = start_session(tracker.embedder, film[0].rgb, keypoints={1: joints})
    assert len(session.layout) == 3
    for frame in film[1:3]:
        assert np.isnan(session.step(frame.rgb).keypoints[1].joints[2]).all()
    session.lost(1, kind="keypoints")
    with pytest.raises(InputError, match="joint 2 of keypoints 1: is not tracked"):
        session.lost(1, kind="keypoints", joints=[2])
    with pytest.raises(InputError, match="joint 3 of keypoints 1: is not tracked"):
        session.correct(keypoints={1: np.array([HIP, KNEE, NOWHERE, FOOT])})
    found = session.correct(keypoints={1: np.array([NOWHERE, NOWHERE, FOOT])})
    assert np.allclose(found.keypoints[1].joints[2], FOOT, atol=1e-3)
    assert np.isfinite(session.step(film[3].rgb).keypoints[1].joints).all()
    session.remove("keypoints", 1)
    assert len(session.layout) == 1 and not session.layout.joints()
    session.add(keypoints={1: joints})


def test_a_correction_marks_it_for_the_first_time_and_takes_it_back(tracker, clip, tmp_path):
    track_to_folder(tracker, clip, Marks.of(keypoints=ONLY_TWO, skeleton=LEG), output=tmp_path)
    before = read_result(tmp_path).keypoints[1]
    correct(tracker, tmp_path, Marks(keypoints=[pose(3, NOWHERE, NOWHERE, FOOT)]))
    after = read_result(tmp_path).keypoints[1]
    assert np.array_equal(after.values[:, :2], before.values[:, :2])
    assert np.isfinite(after.values[:, 2]).all() and after.visible[3, 2]
    correct(tracker, tmp_path, Marks(keypoints=[pose(3, *[NOWHERE] * 3, lost=(2,))]))
    again = read_result(tmp_path).keypoints[1]
    assert np.array_equal(again.values, before.values, equal_nan=True)
    rows = json.loads((tmp_path / "result.json").read_text())["frames"]
    assert all(len(row["place_reliability"]["joint"]["1"]) == 2 for row in rows)
