"""Exports call pictures what they are called in the folder that was tracked."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from hand_results import hand_result, squares
from PIL import Image

from chromatrack.formats.exchange import ExportOptions
from chromatrack.runs.export import export_run, tracked_video

NAMES = [f"cow {n}.png" for n in range(8, 12)]  # in natural order: 8, 9, 10, 11


@pytest.fixture
def result(tmp_path):
    """The last three of four pictures, tracked."""
    folder = tmp_path / "herd"
    folder.mkdir()
    for name in NAMES:
        Image.fromarray(np.zeros((60, 80, 3), np.uint8)).save(folder / name)
    made = hand_result(
        masks=squares({1: [(5, 5), (6, 5), (7, 6)]}),
        boxes={2: np.array([[0.0, 1, 10, 8]] * 3)},
        keypoints={},
        points={3: np.array([[1.0, 2.0]] * 3)},
        first=1,
    )
    return replace(made, video_path=str(folder))


def read(done):
    return json.loads(done.path.read_text(encoding="utf-8"))


def test_coco_and_youtube_vis(result, tmp_path):
    images = read(export_run(result, "coco", tmp_path / "a.json"))["images"]
    assert [one["file_name"] for one in images] == [f"herd/{name}" for name in NAMES[1:]]
    assert [one["frame_index"] for one in images] == [1, 2, 3]
    (video,) = read(export_run(result, "youtube-vis", tmp_path / "b.json"))["videos"]
    assert video["file_names"] == [f"herd/{name}" for name in NAMES[1:]]
    images = read(export_run(result, "coco-keypoints", tmp_path / "c.json"))["images"]
    assert [one["file_name"] for one in images] == NAMES[1:]


@pytest.mark.parametrize("name", ["davis", "youtube-vos", "mose"])
def test_masks_have_the_names_of_pictures(result, tmp_path, name):
    done = export_run(result, name, tmp_path / name)
    found = sorted(path.name for path in (done.path / "Annotations/herd").iterdir())
    assert found == sorted(NAMES[1:])
    if name != "davis":
        meta = json.loads((done.path / "meta.json").read_text(encoding="utf-8"))
        assert meta["videos"]["herd"]["objects"]["1"]["frames"] == ["cow 9", "cow 10", "cow 11"]


def test_labelme_and_via(result, tmp_path):
    done = export_run(result, "labelme", tmp_path / "l")
    for name in NAMES[1:]:
        one = json.loads((done.path / name).with_suffix(".json").read_text(encoding="utf-8"))
        assert one["imagePath"] == name
    assert any("cow 9.png" in note for note in done.notes)
    done = export_run(result, "via", tmp_path / "v")
    with done.path.open(encoding="utf-8", newline="") as file:
        assert {row["filename"] for row in csv.DictReader(file)} == set(NAMES[1:])


def test_numbers_that_were_chosen_are_the_names(result, tmp_path):
    options = ExportOptions(start_number=5)
    images = read(export_run(result, "coco", tmp_path / "a.json", options=options))["images"]
    assert [one["file_name"] for one in images] == [f"herd/{n:05d}.jpg" for n in (5, 6, 7)]


@pytest.mark.parametrize("why", ["gone", "shorter", "two of one name", "a video"])
def test_where_names_are_not_known_they_are_numbers(result, tmp_path, why):
    folder = tmp_path / "herd"
    if why == "gone":
        result = replace(result, video_path=str(tmp_path / "away"))
    if why == "shorter":
        (folder / NAMES[0]).unlink()
    if why == "two of one name":
        Image.new("RGB", (80, 60)).save(folder / "cow 9.jpg")
    if why == "a video":
        (tmp_path / "clip.mp4").write_bytes(b"")
        result = replace(result, video_path=str(tmp_path / "clip.mp4"))
    assert not tracked_video(result).pictures
