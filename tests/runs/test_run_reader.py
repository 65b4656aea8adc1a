from __future__ import annotations

import json
import math
import warnings
from pathlib import Path

import numpy as np
import pytest
from hand_results import squares
from synthetic import moving_clip, write_clip
from track_tables import write_box_tracks, write_keypoints, write_tracks

from chromatrack.errors import InputError
from chromatrack.formats.masks import write_mask
from chromatrack.propagation.propagate import PropagateConfig
from chromatrack.runs.reader import READABLE_VERSIONS, read_result
from chromatrack.runs.writer import SCHEMA_VERSION, track_to_folder
from chromatrack.structures import Skeleton, TrackedBox, TrackedKeypoints, TrackedPoint
from chromatrack.tracking.config import TrackConfig
from chromatrack.tracking.marks import Marks
from chromatrack.tracking.tracker import Tracker

MASKS = squares({7: [(0, 0), None, (20, 20)], 2: [(40, 40)] * 3})


def row(index: int, **more) -> dict:
    mask = MASKS[index - 5]
    areas = {str(k): int(np.count_nonzero(mask == k)) for k in (2, 7)}
    return {"index": index, "pts_seconds": 0.5 + 0.1 * (index - 5), "areas": areas, **more}


def folder(tmp_path: Path, *, frames: list[dict] | None = None, **head) -> Path:
    """A result folder of frames 5 to 7, written by hand."""
    data = {
        "schema_version": 1,
        "command": "track",
        "video": {"path": "somewhere/clip.mp4", "height": 60, "width": 80},
        "objects": [2, 7],
        "complete": True,
        "reason": None,
        **head,
        "frames": [row(index) for index in (5, 6, 7)] if frames is None else frames,
    }
    home = tmp_path / "out"
    home.mkdir()
    (home / "result.json").write_text(json.dumps(data))
    for index, mask in enumerate(MASKS, start=5):
        write_mask(home / "masks" / f"{index:05d}.png", mask)
    return home


def test_a_result_of_today_reads_as_it_was_tracked(tmp_path, tiny_encoder):
    film = moving_clip(frames=5, size=(64, 96), objects=2, radius=14)
    clip = write_clip(tmp_path / "clip.mp4", film)
    config = TrackConfig(size=64, propagate=PropagateConfig(radius=2, recent_radius=2, top_k=3))
    tracker = Tracker(tiny_encoder, device="cpu", config=config)
    track_to_folder(tracker, clip, Marks.of(masks=film[0].mask), output=tmp_path / "out")
    result = read_result(tmp_path / "out")
    assert result.complete and result.size == (64, 96) and result.ids("object") == [1, 2]
    assert result.find_video() == str(clip)
    tracked = list(tracker.track(clip, masks=film[0].mask))
    assert result.indices.tolist() == [0, 1, 2, 3, 4]
    assert result.times.tolist() == [frame.pts_seconds for frame in tracked]
    for saved, frame in zip(result.frames, tracked, strict=True):
        np.testing.assert_array_equal(result.mask(saved.index), frame.mask)
        assert dict(saved.areas) == frame.areas


def test_the_written_version_can_be_read():
    assert SCHEMA_VERSION in READABLE_VERSIONS


def test_results_without_presence_are_present_where_there_is_a_mask(tmp_path):
    result = read_result(folder(tmp_path))
    assert [dict(f.present) for f in result.frames] == [
        {2: True, 7: True}, {2: True, 7: False}, {2: True, 7: True},
    ]  # fmt: skip
    assert result.frames[0].confidence == {2: None, 7: None}
    assert not result.cuts.any()
    assert result.points == result.boxes == result.keypoints == {}


def test_presence_confidence_and_cuts_are_read(tmp_path):
    stated = {"present": {"2": False, "7": True}, "confidence": {"2": 0.25, "7": None}}
    result = read_result(folder(tmp_path, frames=[row(5), row(6, cut=True, **stated)]))
    assert result.frames[1].present == {2: False, 7: True}
    assert result.frames[1].confidence == {2: 0.25, 7: None}
    assert result.cuts.tolist() == [False, True]


def test_masks_are_read_one_at_a_time(tmp_path):
    home = folder(tmp_path)
    result = read_result(home)
    (home / "masks" / "00006.png").unlink()
    np.testing.assert_array_equal(result.mask(7), MASKS[2])
    with pytest.raises(InputError, match=r"no mask file '.*00006\.png'"):
        result.mask(6)
    write_mask(home / "masks" / "00006.png", np.ones((4, 5), int))
    with pytest.raises(InputError, match="mask of frame 6 is 5x4 but the video is 80x60"):
        result.mask(6)


def test_points_and_boxes_are_read(tmp_path):
    home = folder(tmp_path)
    points = {5: {4: TrackedPoint(1.5, 2.25, True, 0.5)}, 6: {4: TrackedPoint(3, 4, False, 0.125)}}
    boxes = {7: {0: TrackedBox(1, 2, 30, 40, True, 0.75)}}
    write_tracks(home / "tracks.csv", [(n, 0.1 * n, points.get(n, {})) for n in (5, 6, 7)])
    write_box_tracks(home / "boxes.csv", [(n, 0.1 * n, boxes.get(n, {})) for n in (5, 6, 7)])
    result = read_result(home)
    assert (result.ids("point"), result.ids("box"), result.ids("keypoints")) == ([4], [0], [])
    track = result.points[4]
    assert track.frames.tolist() == [5, 6] and track.visible.tolist() == [True, False]
    assert track.values.tolist() == [[1.5, 2.25], [3, 4]]
    assert result.boxes[0].values.tolist() == [[1, 2, 30, 40]]


def test_joints_are_read(tmp_path):
    home = folder(tmp_path)
    joints = TrackedKeypoints(
        np.array([[1.0, 2], [30, 40]]), np.array([True, False]), np.array([0.5, 0.25])
    )
    skeleton = Skeleton(("hip", "knee"), ((0, 1),))
    write_keypoints(home / "keypoints.json", skeleton, [(5, 0.5, {}), (6, 0.6, {8: joints})])
    track = read_result(home).keypoints[8]
    assert track.frames.tolist() == [6] and track.visible.tolist() == [[True, False]]
    assert track.values[0, 0].tolist() == [1, 2]


def test_a_result_is_named_by_its_folder_or_its_file(tmp_path):
    home = folder(tmp_path)
    assert read_result(home / "result.json").frames == read_result(str(home)).frames


def test_a_run_that_ended_early_says_so(tmp_path):
    home = folder(tmp_path, complete=False, reason="interrupted", frames=[row(5), row(6)])
    with pytest.warns(UserWarning, match=r"ended early \(interrupted\); its 2 frames are used"):
        result = read_result(home)
    assert (result.complete, result.reason, len(result.frames)) == (False, "interrupted", 2)


def test_a_finished_run_warns_of_nothing(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_result(folder(tmp_path))


def test_a_video_that_moved_is_looked_for_or_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = read_result(folder(tmp_path))
    assert result.find_video("elsewhere.mp4") == "elsewhere.mp4"
    with pytest.raises(InputError, match=r"its video 'somewhere/clip\.mp4' is not there any more"):
        result.find_video()
    (tmp_path / "clip.mp4").touch()
    assert result.find_video() == str(tmp_path / "clip.mp4"), "beside the result folder"
    (tmp_path / "out" / "clip.mp4").touch()
    assert result.find_video() == str(tmp_path / "out" / "clip.mp4"), "in it"


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ({"schema_version": 99}, r"expected schema_version 1, 2, got 99; read it with"),
        ({"schema_version": None}, r"expected schema_version 1, 2, got None"),
        ({"command": "colorize"}, r"expected a result of `chromatrack track`, got one of 'color"),
        ({"frames": []}, r"holds no frames"),
        ({"video": None}, r"video: expected an object \{\.\.\.\}, got null"),
        ({"video": {"path": "x"}}, r'video: expected "height", got only'),
        ({"frames": [{"index": 0}]}, r'frames\[0\]: expected "pts_seconds"'),
        ({"frames": [3]}, r"frames\[0\]: expected an object \{\.\.\.\}, got 3"),
        ({"frames": [{**row(5), "index": math.inf}]}, r"index: expected an integer from 0 up"),
        ({"frames": [{**row(5), "index": 1.5}]}, r"index: expected an integer from 0 up, got 1\.5"),
        (
            {"frames": [{**row(5), "pts_seconds": math.nan}]},
            r"pts_seconds: expected a finite number",
        ),
        (
            {"frames": [{**row(5), "pts_seconds": 10**400}]},
            r"pts_seconds: expected a finite number",
        ),
        ({"frames": [{**row(5), "areas": {"1": -4}}]}, r"areas\.1: expected an integer from 0 up"),
        ({"frames": [{**row(5), "areas": {"cow": 4}}]}, r"areas: expected ids as keys, got 'cow'"),
        ({"frames": [{**row(5), "areas": {"9" * 5000: 4}}]}, r"areas: expected ids as keys"),
        ({"frames": [{**row(5), "reliability": {"1": "x"}}]}, r"reliability\.1: expected a finite"),
        (
            {"video": {"path": "x", "height": 0, "width": 9}},
            r"expected a side of 1 to \d+ px",
        ),
        ({"frames": [row(5), row(7)]}, r"in order .* got frame 7 at 0\.7 s after frame 5"),
        ({"frames": [row(5), {**row(6), "pts_seconds": 0.5}]}, r"got frame 6 at 0\.5 s after"),
        ({"objects": ["ball"]}, r'objects\[0\]: expected an integer from 0 up, got "ball"'),
    ],
)
def test_what_is_no_result_is_refused_in_one_line(tmp_path, head, message):
    with pytest.raises(InputError, match=message) as caught:
        read_result(folder(tmp_path, **head))
    assert "\n" not in str(caught.value) and "result.json" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, r"expected a folder that `chromatrack track` wrote, but there is no result\.json"),
        ("{", r"as JSON, but it cannot be read"),
        ("[]", r"expected a result of `chromatrack track`, a JSON object \{...\}, got a list"),
        (b"\xff\xfe", r"as JSON, but it cannot be read"),
    ],
)
def test_files_that_are_no_result_are_refused(tmp_path, text, message):
    if text is not None:
        content = text if isinstance(text, bytes) else text.encode()
        (tmp_path / "result.json").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_result(tmp_path)
