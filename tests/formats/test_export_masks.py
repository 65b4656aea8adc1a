"""Masks written for other tools, read back by theirs: to the pixel, with ids, frames and names."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from tracked_scenes import tracked_everything, tracked_masks

from chromatrack.errors import InputError
from chromatrack.formats.coco_export import write_coco, write_youtube_vis
from chromatrack.formats.davis_folders import write_davis, write_youtube_vos
from chromatrack.formats.exchange import ExportOptions
from chromatrack.formats.labelme_folder import write_labelme
from chromatrack.formats.masks import DAVIS_PALETTE
from chromatrack.formats.mots import write_mots
from chromatrack.formats.run_lengths import coco_runs, run_lengths, runs_to_mask

USUAL = ExportOptions()
bools = arrays.arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12)))
ids = arrays.arrays(
    np.int32,
    st.tuples(st.just(2), st.integers(2, 9), st.integers(2, 9)),
    elements=st.integers(0, 3),
)


@given(bools)
def test_run_lengths_are_those_of_pycocotools(inside):
    theirs = coco_mask.encode(np.asfortranarray(inside.astype(np.uint8)))
    ours = coco_runs(inside)
    assert ours["counts"].encode() == theirs["counts"] and ours["size"] == theirs["size"]


def test_long_run_lengths_are_those_of_pycocotools():
    inside = np.random.default_rng(0).random((700, 900)) > 0.6
    inside[:, 100:600] = True
    theirs = coco_mask.encode(np.asfortranarray(inside.astype(np.uint8)))
    assert coco_runs(inside)["counts"].encode() == theirs["counts"]


@given(bools)
def test_plain_run_lengths_begin_outside_and_give_the_mask_back(inside):
    runs = run_lengths(inside)
    assert runs.sum() == inside.size and (runs[1:] > 0).all() and (runs[0] == 0) == inside[0, 0]
    assert np.array_equal(runs_to_mask(runs, inside.shape), inside)


def test_davis_masks_are_palettes_with_the_ids(tmp_path):
    tracked = tracked_everything()
    assert write_davis(tracked, tmp_path, USUAL) == []
    files = sorted((tmp_path / "Annotations" / "hand").iterdir())
    assert [file.name for file in files] == ["00007.png", "00008.png", "00009.png"]
    for file, mask in zip(files, tracked.masks(), strict=True):
        with Image.open(file) as image:
            assert (
                image.mode == "P" and image.getpalette()[:9] == DAVIS_PALETTE[:3].ravel().tolist()
            )
            assert np.array_equal(np.asarray(image), mask)


def test_davis_masks_are_perfect_for_vos_benchmark(tmp_path):
    vos = pytest.importorskip("vos_benchmark.benchmark")
    tracked = tracked_everything(first=0)
    for name in ("gt", "ours"):
        write_davis(tracked, tmp_path / name, USUAL)
    folders = [str(tmp_path / name / "Annotations") for name in ("gt", "ours")]
    scores = vos.benchmark(folders[:1], folders[1:], strict=False, num_processes=1, verbose=False)
    assert scores[0] == [100.0]


def test_ids_that_no_palette_holds_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"object ids up to 255.*got 300; export coco or mots"):
        write_davis(tracked_masks([np.full((4, 5), 300, np.int32)]), tmp_path, USUAL)
    assert list(tmp_path.iterdir()) == []
    notes = write_davis(tracked_masks([np.full((4, 5), 255, np.int32)]), tmp_path, USUAL)
    assert "take for void" in notes[0]


def test_youtube_vos_says_what_is_seen_where(tmp_path):
    write_youtube_vos(tracked_everything(), tmp_path, ExportOptions(start_number=0))
    meta = json.loads((tmp_path / "meta.json").read_text(encoding="utf-8"))
    assert meta["videos"]["hand"]["objects"] == {
        "1": {"category": "cow, brown", "frames": ["00000", "00001", "00002"]},
        "2": {"category": "object", "frames": ["00001", "00002"]},
    }


def test_coco_reads_with_pycocotools(tmp_path):
    tracked, path = tracked_everything(), tmp_path / "c.json"
    write_coco(tracked, path, USUAL)
    coco = COCO(str(path))
    names = {number: entry["name"] for number, entry in coco.cats.items()}
    assert names == {1: "cow, brown", 2: "object", 3: "pen & ink"}
    for row, mask in enumerate(tracked.masks()):
        image = coco.imgs[row + 1]
        assert image["file_name"] == f"hand/{row + 7:05d}.jpg" and image["frame_index"] == row + 7
        seen = np.zeros_like(mask)
        for item in coco.imgToAnns[row + 1]:
            if names[item["category_id"]] == "pen & ink":
                assert (
                    item["track_id"] == 4 and item["bbox"] == tracked.boxes[4].values[row].tolist()
                )
                continue
            inside = coco.annToMask(item) > 0
            seen[inside] = item["track_id"]
            box = coco_mask.toBbox(coco.annToRLE(item)).tolist()
            assert item["bbox"] == box and item["area"] == inside.sum()
        assert np.array_equal(seen, mask)
    assert [len(coco.imgToAnns[row]) for row in (1, 2, 3)] == [2, 3, 2]


@given(ids)
def test_coco_masks_are_exact(tmp_path_factory, masks):
    masks[:, 0, 0] = 1  # so that there is an object
    path = tmp_path_factory.mktemp("c") / "c.json"
    write_coco(tracked_masks(list(masks)), path, USUAL)
    content = json.loads(path.read_text(encoding="utf-8"))
    seen = np.zeros_like(masks)
    for item in content["annotations"]:
        inside = coco_mask.decode(item["segmentation"]) > 0
        seen[item["image_id"] - 1][inside] = item["track_id"]
    assert np.array_equal(seen, masks)


def test_coco_reads_with_supervision(tmp_path):
    sv = pytest.importorskip("supervision")
    tracked, path = tracked_everything(), tmp_path / "c.json"
    write_coco(replace(tracked, boxes={}), path, USUAL)
    (tmp_path / "hand").mkdir()
    for number in (7, 8, 9):
        Image.new("RGB", (80, 60)).save(tmp_path / "hand" / f"{number:05d}.jpg")
    found = sv.DetectionDataset.from_coco(str(tmp_path), str(path), force_masks=True)
    for (_, _, detections), mask in zip(found, tracked.masks(), strict=True):
        assert np.array_equal(detections.mask.any(axis=0), mask > 0)
        areas = sorted(int((mask == number).sum()) for number in np.unique(mask[mask > 0]))
        assert sorted(detections.mask.sum(axis=(1, 2)).tolist()) == areas


def test_youtube_vis_has_a_segmentation_or_null_for_each_frame(tmp_path):
    tracked, path = tracked_everything(), tmp_path / "v.json"
    write_youtube_vis(tracked, path, USUAL)
    content = json.loads(path.read_text(encoding="utf-8"))
    [video] = content["videos"]
    assert video["length"] == 3 and video["file_names"][0] == "hand/00007.jpg"
    assert [item["id"] for item in content["annotations"]] == [1, 2]
    assert content["annotations"][1]["segmentations"][0] is None
    assert content["annotations"][1]["bboxes"] == [None, [12, 8, 10, 10], [13, 8, 10, 10]]
    for item in content["annotations"]:
        for runs, mask in zip(item["segmentations"], tracked.masks(), strict=True):
            inside = mask == item["id"]
            assert (runs is None) == (not inside.any())
            assert runs is None or np.array_equal(_decoded(runs), inside)


def test_youtube_vis_is_perfect_for_trackeval(tmp_path):
    trackeval = pytest.importorskip("trackeval")
    tracked = tracked_everything()
    for place in ("gt/youtube_vis_train", "trackers/youtube_vis_train/ours/data"):
        (tmp_path / place).mkdir(parents=True)
        write_youtube_vis(tracked, tmp_path / place / "v.json", USUAL)
    results = tmp_path / "trackers/youtube_vis_train/ours/data/v.json"  # annotations alone
    found = json.loads(results.read_text(encoding="utf-8"))["annotations"]
    for item in found:
        item["segmentations"] = [runs and _compressed(runs) for runs in item["segmentations"]]
    results.write_text(json.dumps(found), encoding="utf-8")
    data = trackeval.datasets.YouTubeVIS(
        {
            "GT_FOLDER": f"{tmp_path}/gt/",
            "TRACKERS_FOLDER": f"{tmp_path}/trackers/",
            "SPLIT_TO_EVAL": "train",
            "PRINT_CONFIG": False,
        }
    )
    raw = data.get_raw_seq_data("ours", "hand")
    seen = data.get_preprocessed_seq_data(raw, "cow, brown")
    average = trackeval.metrics.TrackMAP({"PRINT_CONFIG": False, "USE_TIME_RANGES": False})
    scores = average.combine_sequences({"hand": average.eval_sequence(seen)})
    assert scores["AP_all"].min() == pytest.approx(1)


def test_mots_is_perfect_for_trackeval(tmp_path):
    trackeval = pytest.importorskip("trackeval")
    tracked = tracked_everything(first=0)
    for place in ("gt/hand/gt/gt.txt", "trackers/ours/data/hand.txt"):
        (tmp_path / place).parent.mkdir(parents=True)
        write_mots(tracked, tmp_path / place, USUAL)
    data = trackeval.datasets.MOTSChallenge(
        {
            "GT_FOLDER": str(tmp_path / "gt"),
            "TRACKERS_FOLDER": str(tmp_path / "trackers"),
            "SKIP_SPLIT_FOL": True,
            "SEQ_INFO": {"hand": 3},
            "PRINT_CONFIG": False,
        }
    )
    raw = data.get_raw_seq_data("ours", "hand")
    assert [frame.tolist() for frame in raw["gt_ids"]] == [[2001], [2001, 2002], [2001, 2002]]
    for runs, mask in zip(raw["gt_dets"], tracked.masks(), strict=True):
        for number, one in enumerate(runs, start=1):
            assert np.array_equal(coco_mask.decode(one) > 0, mask == number)
    hota = trackeval.metrics.HOTA().eval_sequence(data.get_preprocessed_seq_data(raw, "pedestrian"))
    assert (hota["HOTA"] == 1).all()


def test_mots_knows_cars_and_ids_below_a_thousand(tmp_path):
    tracked = tracked_everything()
    named = replace(tracked, names={("object", 1): "Car", ("object", 2): "dog"})
    notes = write_mots(named, tmp_path / "m.txt", ExportOptions(start_number=0))
    rows = [line.split() for line in (tmp_path / "m.txt").read_text().splitlines()]
    assert [row[:5] for row in rows[:2]] == [
        ["0", "1001", "1", "60", "80"],
        ["1", "1001", "1", "60", "80"],
    ]
    assert rows[2][:3] == ["1", "2002", "2"] and "pedestrians: dog" in notes[0]
    with pytest.raises(InputError, match="below 1000"):
        write_mots(tracked_masks([np.full((4, 5), 1000)]), tmp_path / "n.txt", USUAL)


def test_davis_is_perfect_for_trackeval(tmp_path):
    trackeval = pytest.importorskip("trackeval")
    tracked = tracked_everything(first=0)
    for place in ("gt", "trackers/ours/data"):
        write_davis(tracked, tmp_path / place, USUAL)
        (tmp_path / place / "Annotations" / "hand").rename(tmp_path / place / "hand")
        (tmp_path / place / "Annotations").rmdir()
    data = trackeval.datasets.DAVIS(
        {
            "GT_FOLDER": str(tmp_path / "gt"),
            "TRACKERS_FOLDER": str(tmp_path / "trackers"),
            "SEQ_INFO": {"hand": 3},
            "PRINT_CONFIG": False,
        }
    )
    seen = data.get_preprocessed_seq_data(data.get_raw_seq_data("ours", "hand"), "general")
    assert trackeval.metrics.JAndF().eval_sequence(seen)["J-Mean"] == 1


def test_labelme_has_a_file_per_frame_with_everything_seen(tmp_path):
    tracked = tracked_everything()
    write_labelme(tracked, tmp_path, USUAL)
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["00007.json", "00008.json", "00009.json"]
    for file, mask in zip(files, tracked.masks(), strict=True):
        content = json.loads(file.read_text(encoding="utf-8"))
        assert content["imagePath"] == f"{file.stem}.jpg"
        assert (content["imageHeight"], content["imageWidth"]) == mask.shape
        seen = np.zeros_like(mask)
        for shape in content["shapes"]:
            if shape["shape_type"] == "mask":
                (left, top), (right, bottom) = np.array(shape["points"]).astype(int)
                picture = Image.open(io.BytesIO(base64.b64decode(shape["mask"])))
                crop = seen[top : bottom + 1, left : right + 1]
                crop[np.asarray(picture) > 0] = shape["track_id"]
        assert np.array_equal(seen, mask)
    first = json.loads(files[0].read_text(encoding="utf-8"))["shapes"]
    assert [(shape["shape_type"], shape["label"], shape["group_id"]) for shape in first] == [
        ("mask", "cow, brown", None),
        ("rectangle", "pen & ink", None),
        ("point", "eye <l>", None),
        ("point", "hip", 5),
        ("point", "knee", 5),
    ]
    assert first[1]["points"] == [[0, 1], [10, 9]] and first[2]["points"] == [[1.25, 2]]


def _compressed(runs):
    found = coco_mask.frPyObjects(runs, *runs["size"])
    return found | {"counts": found["counts"].decode()}


def _decoded(runs):
    return coco_mask.decode(_compressed(runs)) > 0
