from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scripted_poses import Scripted

from chromatrack.errors import InputError, LayoutError
from chromatrack.evaluation.datasets.penn import PENN_JOINTS, penn_benchmark
from chromatrack.evaluation.runner import evaluate

savemat = pytest.importorskip("scipy.io").savemat

SIZE = (60, 80)
FRAMES = 4


def labels(frames: int = FRAMES, **changed) -> dict:
    """As published, counted from 1: 13 joints that move by 3 px a frame to the right."""
    number, time = np.arange(13.0), np.arange(float(frames))[:, None]
    x, y = 11 + 2 * number + 3 * time, 6 + 3 * number + 0 * time
    box = np.concatenate([9 + 3 * time, 4 + 0 * time, 39 + 3 * time, 44 + 0 * time], axis=1)
    content = {
        "action": "bowl",
        "x": x,
        "y": y,
        "visibility": np.ones((frames, 13), dtype=np.uint8),
        "train": -1.0,
        "bbox": box,
        "dimensions": np.array([SIZE[0], SIZE[1], frames]),
        "nframes": frames,
    }
    content.update(changed)
    return {name: value for name, value in content.items() if value is not None}


def write_penn(root: Path, name: str = "0001", *, images: int | None = None, **changed) -> Path:
    content = labels(**changed)
    (root / "labels").mkdir(parents=True, exist_ok=True)
    savemat(root / "labels" / f"{name}.mat", content)
    folder = root / "frames" / name
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(content.get("nframes", FRAMES) if images is None else images):
        Image.new("RGB", (SIZE[1], SIZE[0])).save(folder / f"{index + 1:06d}.jpg")
    return root


def scored(root: Path, tracker=None, **options) -> dict:
    return evaluate(penn_benchmark(root, **options), tracker=tracker or Scripted())


def test_labels_are_read_frame_by_frame_and_counted_from_zero(tmp_path):
    [clip] = penn_benchmark(write_penn(tmp_path), sequences=["0001"]).clips
    assert clip.name == "0001" and clip.video == tmp_path / "frames/0001"
    assert clip.joints.shape == (FRAMES, 13, 2) and len(PENN_JOINTS) == 13
    assert clip.joints[2, 1].tolist() == [18, 8]
    assert clip.visible.all() and clip.given.all()
    assert clip.box_sides.tolist() == [40] * FRAMES  # 30 wide and 40 high


def test_clips_for_training_are_left_out_unless_named(tmp_path):
    for name, train in (("0001", 1), ("0002", -1), ("0003", -1)):
        write_penn(tmp_path, name, train=train)
    assert list(scored(tmp_path)["sequences"]) == ["0002", "0003"]
    assert list(scored(tmp_path, sequences=["0001"])["sequences"]) == ["0001"]
    with pytest.raises(InputError, match="must be among 0001, 0002, 0003; got 7"):
        penn_benchmark(tmp_path, sequences=["7"])
    write_penn(tmp_path / "all", train=1)
    with pytest.raises(LayoutError, match="no clip is for the test"):
        penn_benchmark(tmp_path / "all")


def test_following_scores_one_and_standing_still_as_worked_out(tmp_path):
    root = write_penn(tmp_path)
    perfect = scored(root)
    assert set(perfect["scores"].values()) == {1.0}
    assert list(perfect["scores"]) == [f"PCK@0.{n}" for n in range(1, 6)] + ["PCK@0.2 box"]
    # joints span 24 x 36 px: size 0.6 * 43.27 = 25.96 px; 0.2 of the box 8 px; off by 3, 6, 9 px
    still = scored(root, Scripted(speed=0.0))
    expected = {"PCK@0.1": 0, "PCK@0.2": 1 / 3, "PCK@0.3": 2 / 3, "PCK@0.4": 1, "PCK@0.5": 1}
    assert still["scores"] == pytest.approx({**expected, "PCK@0.2 box": 2 / 3})
    assert still["joints"]["head"] == pytest.approx({**expected, "PCK@0.2 box": 2 / 3})


def test_joints_that_cannot_be_seen_are_neither_given_nor_scored(tmp_path):
    visibility = np.ones((FRAMES, 13))
    visibility[0, 5] = 0  # never given
    visibility[2, 6] = 0  # hidden once
    content = labels()
    content["x"][visibility == 0] = 900.0
    tracker = Scripted(drop=(6,))
    root = write_penn(tmp_path, visibility=visibility, x=content["x"])
    result = scored(root, tracker)
    assert np.isnan(tracker.calls[0][1][0].joints[5]).all()
    report = result["sequences"]["0001"]
    assert report["joints"] == 12 and report["dropped"] == 2
    assert report["counts"]["PCK@0.1"]["total"] == [3, 3, 3, 3, 3, 0, 2, 3, 3, 3, 3, 3, 3]
    assert result["scores"]["PCK@0.1"] == pytest.approx(11 / 12)
    assert result["scores"]["PCK@0.2 box"] == pytest.approx(33 / 35)
    assert result["joints"]["left wrist"]["PCK@0.1"] is None
    crw = scored(root, Scripted(drop=(6,), speed=3.0 * 320 / SIZE[1]), compat="crw")
    assert crw["scores"]["PCK@0.1"] == 1.0 and crw["scores"]["PCK@0.2 box"] == 1.0


def test_a_clip_whose_first_frame_shows_nothing_is_not_scored(tmp_path):
    visibility = np.ones((FRAMES, 13))
    visibility[0] = 0
    write_penn(tmp_path, "0001", visibility=visibility)
    write_penn(tmp_path, "0002")
    tracker = Scripted(speed=0.0)
    result = scored(tmp_path, tracker)
    assert len(tracker.calls) == 1
    assert result["sequences"]["0001"]["PCK@0.1"] is None
    assert result["scores"] == scored(tmp_path, Scripted(speed=0.0), sequences=["0002"])["scores"]


def test_boxes_that_lack_the_last_row_take_the_one_before(tmp_path):
    boxes = labels()["bbox"]
    boxes[1] = (5, 5, 5, 5)  # no box: not judged
    [clip] = penn_benchmark(write_penn(tmp_path, bbox=boxes[:-1]), sequences=["0001"]).clips
    assert np.isnan(clip.box_sides).tolist() == [False, True, False, False]
    assert clip.box_sides[3] == clip.box_sides[2] == 40
    result = scored(tmp_path, Scripted(ends=2))
    assert result["scores"]["PCK@0.2 box"] == pytest.approx(1 / 2)
    assert result["scores"]["PCK@0.2"] == pytest.approx(2 / 3)


def test_scores_are_summed_up_over_frames_of_all_clips_not_over_clips(tmp_path):
    write_penn(tmp_path, "0001")
    write_penn(tmp_path, "0002", frames=8)
    result = scored(tmp_path, Scripted(ends=3))
    assert result["sequences"]["0002"]["PCK@0.1"] == pytest.approx(3 / 7)
    assert result["scores"]["PCK@0.1"] == pytest.approx(6 / 10)
    assert json.loads(json.dumps(result)) == result


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"x": None}, "expected x, y, visibility, train, bbox, nframes; lacks x"),
        ({"train": None, "bbox": None}, "lacks train, bbox"),
        ({"x": np.zeros((FRAMES, 12))}, r"expected x of frames x 13 .*got \(4, 12\)"),
        ({"visibility": np.ones((3, 13))}, "expected visibility of frames x 13"),
        ({"y": "text"}, "expected a table of numbers as y"),
        ({"x": np.full((FRAMES, 13), np.nan)}, "expected finite places of visible joints"),
        ({"nframes": 1}, "with 2 frames or more"),
        ({"nframes": np.array([4, 4])}, "expected one number as nframes"),
        ({"bbox": np.zeros((FRAMES, 3))}, r"expected bbox of 4 x 4, got \(4, 3\)"),
        ({"bbox": np.zeros((FRAMES + 1, 4))}, r"got \(5, 4\)"),
        ({"images": 3}, "holds 3 pictures; its labels 4 frames"),
    ],
)
def test_labels_that_are_not_as_published_say_why(tmp_path, changed, message):
    images = changed.pop("images", FRAMES)
    with pytest.raises(LayoutError, match=message):
        penn_benchmark(write_penn(tmp_path, images=images, **changed))


def test_other_folders_are_told_what_is_expected(tmp_path):
    for root in (tmp_path, tmp_path / "none"):
        with pytest.raises(LayoutError, match="is no Penn Action folder; expected labels"):
            penn_benchmark(root)
    root = write_penn(tmp_path / "penn")
    (root / "frames/0001/000001.jpg").write_bytes(b"no picture")
    with pytest.raises(LayoutError, match=r"cannot read .*000001\.jpg' as a picture"):
        penn_benchmark(root)
    (root / "labels/0001.mat").write_bytes(b"no matlab")
    with pytest.raises(LayoutError, match="as a MATLAB file"):
        penn_benchmark(root)


@settings(max_examples=20)
@given(frames=st.integers(2, 4), seed=st.integers(0, 2**32 - 1))
def test_written_labels_read_back(tmp_path_factory, frames, seed):
    rng = np.random.default_rng(seed)
    places, seen = rng.uniform(1, 60, (2, frames, 13)), rng.random((frames, 13)) < 0.7
    root = tmp_path_factory.mktemp("penn")
    write_penn(root, frames=frames, x=places[0], y=places[1], visibility=seen)
    [clip] = penn_benchmark(root, sequences=["0001"]).clips
    assert np.array_equal(clip.joints, places.transpose(1, 2, 0) - 1)
    assert np.array_equal(clip.visible, seen) and clip.frame_count == frames
