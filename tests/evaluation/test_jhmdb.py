from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scripted_poses import Found, Scripted
from synthetic import moving_clip, write_clip

from chromatrack.errors import InputError, LayoutError, VideoError
from chromatrack.evaluation.datasets.jhmdb import JHMDB_JOINTS, jhmdb_benchmark, read_jhmdb
from chromatrack.evaluation.datasets.poses import measure_pose, track_pose
from chromatrack.evaluation.runner import evaluate
from chromatrack.structures import KeypointMark, TrackedKeypoints
from chromatrack.video.reader import read_frame

DATA = Path(__file__).resolve().parents[3] / "shared/data"
SIZE = (60, 80)
FRAMES = 4


def positions(frames: int = FRAMES) -> np.ndarray:
    """(2, 15, frames) float64, counted from 1; the person moves by 3 px a frame to the right."""
    number, time = np.arange(15.0), np.arange(float(frames))
    x = 11 + 2 * number[:, None] + 3 * time
    y = 6 + 3 * number[:, None] + 0 * time
    return np.stack([x, y])


def write_mat(folder: Path, **content) -> Path:
    savemat = pytest.importorskip("scipy.io").savemat
    folder.mkdir(parents=True, exist_ok=True)
    savemat(folder / "joint_positions.mat", content)
    return folder


def write_folder(folder: Path, pos_img=None, *, images: int = FRAMES) -> Path:
    write_mat(folder, pos_img=positions() if pos_img is None else pos_img, pos_world=np.zeros(3))
    for index in range(images):
        Image.new("RGB", (SIZE[1], SIZE[0])).save(folder / f"{index + 1:05d}.png")
    return folder


def write_whole(root: Path) -> Path:
    """Two classes in the published layout: three test clips in split 1, one of them a video."""
    for action, clip in (("catch", "one"), ("catch", "two"), ("walk", "three"), ("walk", "four")):
        write_mat(root / "joint_positions" / action / clip, pos_img=positions())
        if clip == "four":
            (root / "ReCompress_Videos/walk").mkdir(parents=True)
            made = write_clip(root / "four.mp4", moving_clip(frames=FRAMES, size=SIZE))
            made.rename(root / "ReCompress_Videos/walk/four.avi")
            continue
        images = root / "Rename_Images" / action / clip
        images.mkdir(parents=True)
        for index in range(FRAMES):
            Image.new("RGB", (SIZE[1], SIZE[0])).save(images / f"{index + 1:05d}.png")
    (root / "splits").mkdir()
    (root / "splits/catch_test_split1.txt").write_text("one.avi 1\r\ntwo.avi 2\r\n")
    (root / "splits/walk_test_split1.txt").write_text("four.avi 2 \nthree.avi 2\n\n")
    (root / "splits/catch_test_split2.txt").write_text("one.avi 2\ntwo.avi 1\n")
    return root


def scored(root: Path, tracker, **options) -> dict:
    return evaluate(jhmdb_benchmark(root, **options), tracker=tracker)


def test_positions_are_read_frame_by_frame_and_counted_from_zero(tmp_path):
    clip = read_jhmdb(write_folder(tmp_path / "catch"))
    assert clip.name == "catch" and clip.video == tmp_path / "catch"
    assert clip.joints.shape == (FRAMES, 15, 2) and clip.joints.dtype == np.float64
    assert clip.joints[0, 0].tolist() == [10, 5]
    assert clip.joints[2, 1].tolist() == [18, 8]
    assert clip.inside.all() and len(JHMDB_JOINTS) == 15


@settings(max_examples=20)
@given(st.integers(2, 5), st.integers(0, 2**32 - 1))
def test_written_positions_read_back(tmp_path_factory, frames, seed):
    folder = tmp_path_factory.mktemp("clip")
    values = np.random.default_rng(seed).uniform(1, 60, (2, 15, frames))
    clip = read_jhmdb(write_folder(folder, values, images=frames))
    assert np.allclose(clip.joints + 1, values.transpose(2, 1, 0), atol=1e-9)


def test_frames_can_be_a_video_beside_or_elsewhere(tmp_path):
    frames = moving_clip(frames=FRAMES, size=SIZE)
    folder = write_mat(tmp_path / "catch", pos_img=positions())
    with pytest.raises(LayoutError, match="holds 0 videos and is to hold one"):
        read_jhmdb(folder)
    elsewhere = write_clip(tmp_path / "elsewhere", frames)
    assert read_jhmdb(folder, video=elsewhere).video == elsewhere
    beside = write_clip(folder / "catch.mp4", frames)
    assert read_jhmdb(folder).video == beside
    write_clip(folder / "other.mkv", frames)
    with pytest.raises(LayoutError, match="holds 2 videos"):
        read_jhmdb(folder)
    with pytest.raises(VideoError):
        read_jhmdb(folder, video=tmp_path / "nothing.mp4")


def test_joints_are_given_once_as_one_skeleton(tmp_path):
    clip, tracker = read_jhmdb(write_folder(tmp_path)), Scripted()
    found = track_pose(clip, tracker=tracker)
    (video, (mark,), end), *more = tracker.calls
    assert not more and video == tmp_path and end == FRAMES
    assert isinstance(mark, KeypointMark) and (mark.id, mark.frame) == (1, 0)
    assert np.array_equal(mark.joints, clip.joints[0]) and not mark.lost.any()
    assert found == pytest.approx(clip.joints)


def test_a_joint_outside_the_first_frame_is_not_marked_and_counts_as_wrong(tmp_path):
    pos = positions()
    pos[0, 4] += 200
    folder, tracker = write_folder(tmp_path, pos), Scripted()
    result = scored(folder, tracker)
    assert np.isnan(tracker.calls[0][1][0].joints[4]).all()
    assert read_jhmdb(folder).given.sum() == 14
    assert next(iter(result["sequences"].values()))["joints"] == 14
    assert result["scores"]["PCK@0.5"] == pytest.approx(14 / 15)
    with pytest.raises(LayoutError, match="no joint of the first frame lies in 80x60"):
        read_jhmdb(write_folder(tmp_path / "far", positions() + 500))


def test_following_scores_one_and_standing_still_as_worked_out(tmp_path):
    root = write_folder(tmp_path / "catch")
    perfect = scored(root, Scripted())
    assert set(perfect["scores"].values()) == {1.0}
    assert list(perfect["scores"]) == [f"PCK@{a}" for a in (0.1, 0.2, 0.3, 0.4, 0.5)]
    # the box is 28 x 42 px, the person 0.6 * 50.48 = 30.29 px; off by 3, 6, 9 px
    still = scored(root, Scripted(speed=0.0))["scores"]
    expected = {"PCK@0.1": 1 / 3, "PCK@0.2": 2 / 3, "PCK@0.3": 1, "PCK@0.4": 1, "PCK@0.5": 1}
    assert still == pytest.approx(expected)


def test_a_dropped_joint_is_wrong_unless_scored_as_crw_does(tmp_path):
    root = write_folder(tmp_path / "catch")
    result = scored(root, Scripted(drop=(3, 7)))
    assert result["scores"]["PCK@0.1"] == pytest.approx(13 / 15)
    assert result["joints"]["right shoulder"]["PCK@0.1"] == 0.0
    assert result["joints"]["neck"]["PCK@0.1"] == 1.0
    assert result["sequences"]["catch"]["dropped"] == 2 * (FRAMES - 1)
    assert result["settings"] == {"split": None, "compat": None}
    crw = {"drop": (3, 7), "speed": 3.0 * 320 / SIZE[1]}
    published = scored(root, Scripted(**crw), compat="crw")
    assert published["scores"]["PCK@0.1"] == 1.0 and published["settings"]["compat"] == "crw"
    assert published["joints"]["right shoulder"]["PCK@0.1"] is None


def test_crw_frames_are_square_and_places_come_back_to_the_clips_pixels(tmp_path):
    clip, seen = read_jhmdb(write_folder(tmp_path / "catch")), []

    class Looking(Scripted):
        def track(self, video, *, keypoints, end):
            seen.extend((read_frame(video, index=i).rgb.shape, video) for i in range(end))
            yield from super().track(video, keypoints=keypoints, end=end)

    tracker = Looking(speed=3.0 * 320 / SIZE[1])
    found = track_pose(clip, tracker=tracker, compat="crw")
    assert [shape for shape, _ in seen] == [(320, 320, 3)] * FRAMES
    assert not seen[0][1].exists(), "the frames made for it are gone"
    assert found == pytest.approx(clip.joints)
    mark = tracker.calls[0][1][0]
    assert mark.joints[0] == pytest.approx([10.5 * 320 / 80 - 0.5, 5.5 * 320 / 60 - 0.5])


def test_every_frame_ticks_and_clips_can_be_sent_to_other_processes(tmp_path):
    clip = jhmdb_benchmark(write_folder(tmp_path / "catch")).clips[0]
    sent, ticks = pickle.loads(pickle.dumps(clip)), []
    report = measure_pose(sent, tracker=Scripted(last=1), tick=lambda: ticks.append(1))
    assert len(ticks) == sent.frame_count == FRAMES
    assert json.loads(json.dumps(report)) == report


def test_the_whole_data_set_is_read_by_its_lists(tmp_path):
    root = write_whole(tmp_path)
    benchmark = jhmdb_benchmark(root)
    assert [clip.name for clip in benchmark.clips] == ["two", "four", "three"]
    assert [clip.video.name for clip in benchmark.clips] == ["two", "four.avi", "three"]
    assert benchmark.settings == {"split": 1, "compat": None}
    assert [clip.name for clip in jhmdb_benchmark(root, split=2).clips] == ["one"]
    some = jhmdb_benchmark(root, sequences=["three", "two"])
    assert [clip.name for clip in some.clips] == ["three", "two"]
    assert set(scored(root, Scripted())["scores"].values()) == {1.0}


def test_lists_that_are_not_as_published_say_why(tmp_path):
    root = write_whole(tmp_path)
    with pytest.raises(InputError, match="must be among two, four, three; got one"):
        jhmdb_benchmark(root, sequences=["one"])
    with pytest.raises(LayoutError, match="holds no list of split 3; expected CLASS_test_split3"):
        jhmdb_benchmark(root, split=3)
    path = root / "splits/catch_test_split1.txt"
    for text, message in (
        ("two.avi 3", "line 1: expected CLIP.avi 1 or 2; got 'two.avi 3'"),
        ("two.avi", "expected CLIP.avi 1 or 2"),
        ("two.avi 2\ntwo.avi 2", "'two' is listed twice"),
        ("five.avi 2", "no frames of the clip 'five'; expected '.*Rename_Images/catch/five' or"),
    ):
        path.write_text(text)
        with pytest.raises(LayoutError, match=message):
            jhmdb_benchmark(root)
    path.write_text("two.avi 2")
    (root / "joint_positions/catch/two/joint_positions.mat").unlink()
    with pytest.raises(LayoutError, match=r"no '.*two/joint_positions\.mat'"):
        jhmdb_benchmark(root)


def test_other_folders_are_told_what_is_expected(tmp_path):
    for root in (tmp_path, tmp_path / "none"):
        with pytest.raises(LayoutError, match="is no JHMDB folder; expected joint_positions"):
            jhmdb_benchmark(root)
    root = write_whole(tmp_path / "whole")
    (root / "splits").rename(root / "lists")
    with pytest.raises(LayoutError, match="holds joint_positions, but no splits folder"):
        jhmdb_benchmark(root)


def test_missing_frames_are_misses(tmp_path):
    result = scored(write_folder(tmp_path / "catch"), Scripted(last=1))
    assert result["scores"]["PCK@0.5"] == pytest.approx(1 / 3)


def test_clips_are_scored_together_and_apart(tmp_path):
    write_folder(tmp_path / "one")
    write_folder(tmp_path / "two", positions(8), images=8)
    result = scored(tmp_path, Scripted(last=3))
    assert result["sequences"]["one"]["PCK@0.1"] == 1.0
    assert result["sequences"]["two"]["PCK@0.1"] == pytest.approx(3 / 7)
    assert result["scores"]["PCK@0.1"] == pytest.approx(6 / 10)
    assert result["joints"]["belly"]["PCK@0.5"] == pytest.approx(6 / 10)
    assert result["frames"] == 12


def test_clips_of_one_name_are_told_apart(tmp_path):
    for place in ("a/catch", "b/catch"):
        write_folder(tmp_path / place)
    assert list(scored(tmp_path, Scripted())["sequences"]) == ["a-catch", "b-catch"]


def test_a_tracker_with_other_joints_or_order_is_refused(tmp_path):
    clip = read_jhmdb(write_folder(tmp_path / "catch"))

    class Short:
        def track(self, video, *, keypoints, end):
            nothing = np.zeros(3)
            yield Found(0, {1: TrackedKeypoints(np.zeros((3, 2)), nothing > 0, nothing)})

    with pytest.raises(InputError, match=r"catch: expected joints \(15, 2\).*got \(3, 2\)"):
        track_pose(clip, tracker=Short())

    class Backwards:
        def track(self, video, *, keypoints, end):
            yield Found(1, {})
            yield Found(0, {})

    with pytest.raises(InputError, match="catch: expected frames 2 to 3 in order"):
        track_pose(clip, tracker=Backwards())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"other": np.zeros(3)}, "expected pos_img of 2 x 15 x frames .*got None"),
        ({"pos_img": np.zeros((2, 14, 5))}, r"got \(2, 14, 5\)"),
        ({"pos_img": np.zeros((2, 15))}, r"got \(2, 15\)"),
        ({"pos_img": positions(1)}, "got"),
        ({"pos_img": positions() * np.nan}, "expected finite numbers"),
        ({"pos_img": positions() + 1j}, "expected finite numbers"),
    ],
)
def test_files_that_are_not_as_published_say_why(tmp_path, content, message):
    with pytest.raises(LayoutError, match=message):
        read_jhmdb(write_mat(tmp_path, **content))


def test_a_file_that_is_missing_or_damaged_says_so(tmp_path):
    folder = write_folder(tmp_path)
    with pytest.raises(LayoutError, match=r"has 4 frames; .* joints for 5"):
        read_jhmdb(write_folder(tmp_path / "short", positions(5)))
    path = folder / "joint_positions.mat"
    whole = path.read_bytes()
    for damaged in (b"", b"no matlab file", whole[: len(whole) // 2], whole[:130]):
        path.write_bytes(damaged)
        with pytest.raises(LayoutError):
            read_jhmdb(folder)
    path.unlink()
    with pytest.raises(LayoutError, match=r"no '.*joint_positions\.mat'"):
        read_jhmdb(folder)


def test_without_scipy_the_message_names_the_command(tmp_path, monkeypatch):
    for name in ("scipy", "scipy.io", "scipy.io.matlab"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InputError, match=r"pip install 'chromatrack\[measure\]'") as caught:
        read_jhmdb(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(not (DATA / "jhmdb").is_dir(), reason="needs ../shared/data/jhmdb")
def test_reads_a_real_clip():
    pytest.importorskip("scipy")
    (folder,) = (path.parent for path in (DATA / "jhmdb").rglob("joint_positions.mat"))
    clip = read_jhmdb(folder)
    assert clip.joints.shape == (40, 15, 2) and clip.inside.all()
    assert clip.joints[0, 0].tolist() == [285.5, 105.5]


@pytest.mark.skipif(not (DATA / "jhmdb").is_dir(), reason="needs ../shared/data/jhmdb")
def test_a_real_clip_scores_as_it_did_before_it_was_a_benchmark():
    pytest.importorskip("scipy")

    class Drifting:
        def track(self, video, *, keypoints, end):
            (mark,) = keypoints
            for index in range(end):
                joints = mark.joints + np.array([index / 4, -index / 8])
                if index % 5 == 2:
                    joints[[1, 7]] = np.nan
                there = np.isfinite(joints[:, 0])
                if index % 11 != 10:
                    yield Found(index, {1: TrackedKeypoints(joints, there, there.astype(float))})

    result = scored(DATA / "jhmdb", Drifting())
    assert list(result["scores"].values()) == pytest.approx(
        [0.0017094017, 0.0136752137, 0.0307692308, 0.0376068376, 0.0495726496]
    )
    assert result["joints"]["right shoulder"]["PCK@0.1"] == pytest.approx(1 / 39)
    (report,) = result["sequences"].values()
    assert report["dropped"] == 59 and report["frames"] == 39
