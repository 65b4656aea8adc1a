"""Boxes written for other tools, read back by theirs: ids, frames and places."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from tracked_scenes import tracked_everything

from chromatrack.errors import InputError
from chromatrack.formats.exchange import ExportOptions
from chromatrack.formats.label_studio import write_label_studio
from chromatrack.formats.mot import write_mot
from chromatrack.formats.via_tracks import write_via

USUAL = ExportOptions()
PLACES = {  # (frame, id): left, top, width, height
    **{(7, 1): (5, 5, 10, 10), (8, 1): (6, 5, 10, 10), (9, 1): (7, 6, 10, 10)},
    **{(8, 2): (12, 8, 10, 10), (9, 2): (13, 8, 10, 10)},
    **{(7, 4): (0, 1, 10, 8), (8, 4): (1.5, 1, 10, 8)},
}


def test_mot_counts_frames_and_pixels_from_one(tmp_path):
    notes = write_mot(tracked_everything(), tmp_path / "m.csv", USUAL)
    assert notes == ["mot: masks are written as the boxes around them"]
    assert (tmp_path / "m.csv").read_text().splitlines()[:3] == [
        "8,1,6,6,10,10,1.0000,-1,-1,-1",
        "8,4,1,2,10,8,1.0000,-1,-1,-1",
        "9,1,7,6,10,10,1.0000,-1,-1,-1",
    ]


def test_mot_reads_with_motmetrics_which_counts_from_zero_again(tmp_path):
    motmetrics = pytest.importorskip("motmetrics")
    write_mot(tracked_everything(), tmp_path / "m.txt", USUAL)
    table = motmetrics.io.loadtxt(tmp_path / "m.txt", fmt="mot15-2D")
    columns = table[["X", "Y", "Width", "Height"]]
    found = {(int(frame) - 1, int(k)): tuple(row) for (frame, k), *row in columns.itertuples()}
    assert found == PLACES


def test_mot_is_perfect_for_trackeval(tmp_path):
    trackeval = pytest.importorskip("trackeval")
    tracked = tracked_everything(first=0)
    (tmp_path / "gt/hand/gt").mkdir(parents=True)
    (tmp_path / "trackers/ours/data").mkdir(parents=True)
    write_mot(tracked, tmp_path / "trackers/ours/data/hand.txt", USUAL)
    rows = (tmp_path / "trackers/ours/data/hand.txt").read_text().splitlines()
    truth = "".join(",".join([*row.split(",")[:6], "1", "1", "1"]) + "\n" for row in rows)
    (tmp_path / "gt/hand/gt/gt.txt").write_text(truth)
    data = trackeval.datasets.MotChallenge2DBox(
        {
            "GT_FOLDER": str(tmp_path / "gt"),
            "TRACKERS_FOLDER": str(tmp_path / "trackers"),
            "SKIP_SPLIT_FOL": True,
            "SEQ_INFO": {"hand": 3},
            "PRINT_CONFIG": False,
        }
    )
    raw = data.get_raw_seq_data("ours", "hand")
    hota = trackeval.metrics.HOTA().eval_sequence(data.get_preprocessed_seq_data(raw, "pedestrian"))
    assert (hota["HOTA"] == 1).all()


def test_frames_before_the_first_of_a_format_are_refused(tmp_path):
    with pytest.raises(InputError, match="expected 1 or more, as this format counts from 1, got 0"):
        write_mot(tracked_everything(), tmp_path / "m.csv", ExportOptions(start_number=0))
    write_mot(tracked_everything(), tmp_path / "m.csv", ExportOptions(start_number=1))
    assert (tmp_path / "m.csv").read_text().startswith("1,1,6,6,")


def test_an_id_that_two_things_have_is_told_apart(tmp_path):
    tracked = tracked_everything()
    both = replace(tracked, boxes={1: tracked.boxes[4], 0: tracked.boxes[4]})
    notes = write_mot(both, tmp_path / "m.csv", USUAL)
    assert notes[1:] == ["mot: box 0 has the id 3 there", "mot: box 1 has the id 4 there"]
    rows = [line.split(",") for line in (tmp_path / "m.csv").read_text().splitlines()]
    assert [row[1] for row in rows if row[0] == "8"] == ["1", "3", "4"]


def test_label_studio_counts_frames_from_one_and_places_in_percent(tmp_path):
    tracked, path = tracked_everything(), tmp_path / "l.json"
    write_label_studio(tracked, path, USUAL)
    [task] = json.loads(path.read_text(encoding="utf-8"))
    assert task["data"] == {"video": "hand.mp4"}
    found, labels = {}, {}
    for region in task["predictions"][0]["result"]:
        assert region["type"] == "videorectangle" and region["value"]["framesCount"] == 10
        number = int(region["id"].removeprefix("track_"))
        labels[number] = region["value"]["labels"]
        for entry in region["value"]["sequence"]:
            place = [entry[key] for key in ("x", "y", "width", "height")]
            pixels = np.array(place) / 100 * [80, 60, 80, 60]
            found[entry["frame"] - 1, number] = tuple(np.round(pixels, 6).tolist())
            assert entry["time"] == pytest.approx(entry["frame"] / 10)
        states = [entry["enabled"] for entry in region["value"]["sequence"]]
        assert states[-1] is False and all(states[:-1])
    assert found == PLACES and labels == {1: ["cow, brown"], 2: ["object"], 4: ["pen & ink"]}


def test_label_studio_reads_with_a_converter_of_others(tmp_path):
    module = "dagshub_annotation_converter.converters.label_studio_video"
    converter = pytest.importorskip(module)
    tracked, path = tracked_everything(), tmp_path / "l.json"
    write_label_studio(tracked, path, USUAL)
    [task] = json.loads(path.read_text(encoding="utf-8"))
    task["annotations"] = task.pop("predictions")
    sequence = converter.ls_video_json_to_video_ir(json.dumps(task))
    found = {
        (one.frame_number, int(track.object_id.removeprefix("track_"))): _pixels(one)
        for track in sequence.tracks
        for one in track.annotations
    }
    assert found == PLACES
    assert sequence.tracks[0].annotations[0].categories == {"cow, brown": 1.0}


def _pixels(one):
    sizes = np.array([80, 60, 80, 60])
    place = np.array([one.left, one.top, one.width, one.height]) * sizes
    return tuple(np.round(place, 6).tolist())


def test_via_reads_with_movement(tmp_path):
    load_bboxes = pytest.importorskip("movement.io.load_bboxes")
    write_via(tracked_everything(), tmp_path / "v.csv", USUAL)
    ds = load_bboxes.from_via_tracks_file(tmp_path / "v.csv", use_frame_numbers_from_file=True)
    found = {}
    for frame in ds.time.values.tolist():
        for name in ds.individuals.values.tolist():
            place = ds.sel(time=frame, individuals=name)
            middle, size = place.position.values, place["shape"].values
            if np.isfinite(middle).all():
                box = (*(middle - size / 2).tolist(), *size.tolist())
                found[int(frame), int(name.removeprefix("id_"))] = box
    assert found == PLACES
