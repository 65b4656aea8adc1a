"""Samples that tools and benchmarks publish, shortened: facts typed in, pictures none.

Sources: CVAT's documentation of its XML (a video task; the mask of its example for images, put into
a track), MOT17-09 and MOT17-02 as MOTChallenge gives them out, a video of YouTube-VIS, a project of
SLEAP 1.3 (two joints, no tracks, labels made from predictions).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chromatrack.formats.mark_files import read_mark_file
from chromatrack.formats.marked_source import MarkedSource
from chromatrack.structures import BoxMark


def source(size: tuple[int, int], count: int, name: str = "clip") -> MarkedSource:
    return MarkedSource(name, size, frame_count=count, numbers="index")


DISC = (
    *(3, 5, 7, 7, 5, 9, 3, 11, 2, 11, 2, 12, 1, 12, 1, 26, 1, 12, 1, 12, 2, 11, 3, 9, 5, 7, 7, 5),
    3,
)
"""Run lengths of a mask of 13x15 px, those that are not of it first."""

NODES = {
    "1": ["112.07,258.59", "120.07,270.59", "112.07,258.59"],
    "2": ["127.87,333.23", "140.87,350.23", "127.87,333.23"],
    "3": ["195.37,223.27", "210.37,260.27", "195.37,223.27"],
}


def cvat_of_its_documentation() -> str:
    node = (
        '&lt;circle r="1.5" data-type="element node" data-node-id="{0}" data-label-name="{0}"&gt;'
    )
    edge = '&lt;line data-type="edge" data-node-from="{}" data-node-to="{}"&gt;'
    svg = edge.format(2, 3) + edge.format(1, 2) + "".join(map(node.format, "123"))
    labels = "".join(
        f"<label><name>{name}</name><attributes></attributes>{more}</label>"
        for name, more in (
            ("person", ""),
            ("car", ""),
            ("s1", f"<type>skeleton</type><svg>{svg}</svg>"),
            *((n, "<type>points</type><parent>s1</parent>") for n in "123"),
        )
    )
    first = "324.79,213.16;323.74,227.90;347.42,237.37;371.11,217.37;350.05,190.00;318.47,191.58"
    second = "305.32,237.90;312.16,207.90;352.69,206.32;355.32,233.16;331.11,254.74"
    outlines = "".join(
        f'<polygon frame="{frame}" points="{points}" outside="{outside}" occluded="0" '
        'keyframe="1"></polygon>'
        for frame, points, outside in ((0, first, 0), (1, first, 1), (6, second, 0), (7, second, 1))
    )
    skeletons = ""
    for frame, which, outside, key in ((0, 0, 0, 1), (1, 0, 1, 1), (6, 1, 0, 1), (7, 1, 1, 1)):
        joints = "".join(
            f'<points label="{name}" outside="{outside}" occluded="0" keyframe="{int(not which)}" '
            f'points="{places[which]}"></points>'
            for name, places in NODES.items()
        )
        skeletons += f'<skeleton frame="{frame}" keyframe="{key}" z_order="0">{joints}</skeleton>'
    masks = "".join(
        f'<mask frame="{frame}" keyframe="1" outside="{outside}" occluded="0" '
        f'rle="{", ".join(map(str, DISC))}" left="507" top="88" width="13" height="15" '
        'z_order="0"></mask>'
        for frame, outside in ((2, 0), (9, 1))
    )
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<annotations><version>1.1</version><meta><task>'
        "<id>5</id><name>interpolation</name><size>4620</size><mode>interpolation</mode>"
        f"<overlap>5</overlap><bugtracker></bugtracker><labels>{labels}</labels>"
        "<original_size><width>640</width><height>480</height></original_size></task>"
        "<dumped>2018-09-25 16:05:07.134046+03:00</dumped></meta>"
        f'<track id="0" label="car">{outlines}</track>'
        f'<track id="1" label="s1" source="manual">{skeletons}</track>'
        f'<track id="2" label="car" source="manual">{masks}</track></annotations>'
    )


def test_cvat_s_documented_video_task(tmp_path: Path) -> None:
    (tmp_path / "annotations.xml").write_text(cvat_of_its_documentation())
    marked = source((480, 640), 20)
    marks = read_mark_file(tmp_path / "annotations.xml", marked)
    inside = np.repeat(np.arange(len(DISC)) % 2, DISC).reshape(15, 13) > 0
    expected = np.zeros((480, 640), dtype=bool)
    expected[88:103, 507:520] = inside
    assert np.array_equal(marks.masks[2] == 3, expected)
    assert inside[0].sum() == 5 and inside[7].all() and inside[:, 6].all()  # a disc
    assert sorted(marks.masks) == [0, 2, 6] and 1600 < (marks.masks[0] == 1).sum() < 1660
    assert marked.categories["object", 1] == "car" and marked.categories["keypoints", 2] == "s1"
    assert marks.skeleton is not None and marks.skeleton.names == ("1", "2", "3")
    assert {frozenset(edge) for edge in marks.skeleton.edges} == {
        frozenset((0, 1)),
        frozenset((1, 2)),
    }
    seen = {m.frame: m.joints for m in marks.keypoints if np.isfinite(m.joints).any()}
    np.testing.assert_allclose(
        seen[0], np.array([[112.07, 258.59], [127.87, 333.23], [195.37, 223.27]]) - 0.5
    )
    np.testing.assert_allclose(seen[6][0], [119.57, 270.09])


def test_mot_challenge_s_ground_truth(tmp_path: Path) -> None:
    (tmp_path / "gt.txt").write_text(
        "1,1,260,450,102,262,1,1,1\n2,1,262,449,102,263,1,1,1\n24,1,310,450,101,253,1,1,0.89216\n"
        "1,2,1338,418,167,379,1,1,1\n2,2,1342,417,168,380,1,1,0\n"
        "1,3,912,484,97,109,0,7,1\n2,3,912,484,97,109,0,7,1\n"
    )
    marked = source((1080, 1920), 525)
    boxes = read_mark_file(tmp_path / "gt.txt", marked).boxes
    assert boxes == [
        BoxMark(1, 0, 259, 449, 102, 262),
        BoxMark(1, 1, 261, 448, 102, 263),
        BoxMark(1, 23, 309, 449, 101, 253),
        BoxMark(2, 0, 1337, 417, 167, 379),
        BoxMark(2, 1, 1341, 416, 168, 380),
    ]
    assert marked.categories == {("box", 1): "pedestrian", ("box", 2): "pedestrian"}
    assert any("passed over 2 rows" in note.text for note in marked.notes)


SEDAN = (
    *(830570, 11, 680, 40, 677, 43, 671, 52, 668, 54, 666, 54, 666, 7, 1, 46, 666, 7, 1, 46, 666),
    *(7, 1, 46, 666, 7, 1, 46, 666, 7, 1, 46, 666, 7, 1, 46, 668, 5, 1, 45, 675, 45, 675, 45, 676),
    *(44, 679, 40, 682, 37, 685, 35, 689, 26, 702, 16, 76624),
)
"""A car of 910 px in 1280x720, columns first, box 1153, 372, 21, 54, as plain run lengths."""


@pytest.mark.parametrize("how", ["youtube-vis", "coco of videos"])
def test_a_video_of_youtube_vis(tmp_path: Path, how: str) -> None:
    names = [f"0043f083b5/{number:05d}.jpg" for number in range(0, 40, 5)]
    runs = {"counts": list(SEDAN), "size": [720, 1280]}
    head: dict[str, Any] = {"id": 2, "video_id": 1, "category_id": 6, "iscrowd": 0}
    content: dict[str, Any] = {
        "categories": [{"supercategory": "object", "id": 6, "name": "sedan"}],
        "videos": [{"id": 1, "width": 1280, "height": 720}],
    }
    if how == "youtube-vis":
        content["videos"][0] |= {"length": 8, "file_names": names}
        lists = {key: [None] * 8 for key in ("segmentations", "bboxes", "areas")}
        lists["segmentations"][6] = runs
        lists["bboxes"][6], lists["areas"][6] = [1153.0, 372.0, 21.0, 54.0], 910
        content["annotations"] = [{**head, "width": 1280, "height": 720, "length": 1, **lists}]
    else:  # as MMTracking turns it
        content["videos"][0]["name"] = "0043f083b5"
        content["images"] = [
            {"file_name": name, "height": 720, "width": 1280, "id": n + 1, "frame_id": n}
            | {"video_id": 1}
            for n, name in enumerate(names)
        ]
        more = {"image_id": 7, "instance_id": 2, "segmentation": runs, "area": 910}
        content["annotations"] = [{**head, **more, "bbox": [1153.0, 372.0, 21.0, 54.0]}]
    (tmp_path / "instances.json").write_text(json.dumps(content))
    marked = source((720, 1280), 8, "0043f083b5")
    marks = read_mark_file(tmp_path / "instances.json", marked)
    rows, columns = np.nonzero(marks.masks[6] == 2)
    assert len(rows) == 910 and (columns.min(), np.ptp(columns) + 1) == (1153, 21)
    assert (rows.min(), np.ptp(rows) + 1) == (372, 54)
    assert marked.categories["object", 2] == "sedan"
    steps = [note.text for note in marked.notes if "is frame 6 by its frame_id" in note.text]
    assert len(steps) == (how != "youtube-vis")  # its name says 30


def test_a_project_of_sleap_with_labels_from_predictions(tmp_path: Path) -> None:
    sio = pytest.importorskip("sleap_io")
    skeleton = sio.Skeleton(["head", "abdomen"], edges=[("head", "abdomen")])
    video = sio.Video(filename="centered_pair_low_quality.mp4", open_backend=False)
    video.backend_metadata["shape"] = (1100, 384, 384, 1)

    def made(kind: Any, places: list[list[float]]) -> Any:
        return kind.from_numpy(np.array(places), skeleton)

    guess = made(sio.PredictedInstance, [[155.2, 160.1], [200.3, 201.7]])
    label = made(sio.Instance, [[155.5, 160.5], [201.0, 202.0]])
    label.from_predicted = guess
    half = made(sio.Instance, [[251.0, 262.0], [241.0, np.nan]])
    frames = [
        sio.LabeledFrame(video=video, frame_idx=220, instances=[label, guess]),
        sio.LabeledFrame(
            video=video,
            frame_idx=770,
            instances=[made(sio.Instance, [[160.0, 165.0], [206.0, 207.0]]), half],
        ),
    ]
    labels = sio.Labels(frames, videos=[video], skeletons=[skeleton])
    labels.suggestions = [sio.SuggestionFrame(video=video, frame_idx=330)]
    sio.save_slp(labels, str(tmp_path / "labels.slp"), verbose=False)
    marked = source((384, 384), 1100, "centered_pair_low_quality")
    marks = read_mark_file(tmp_path / "labels.slp", marked)
    assert [(mark.id, mark.frame) for mark in marks.keypoints] == [(1, 220), (1, 770), (2, 770)]
    np.testing.assert_allclose(marks.keypoints[0].joints, [[155.5, 160.5], [201, 202]])
    np.testing.assert_array_equal(marks.keypoints[2].joints, [[251, 262], [np.nan, np.nan]])
    assert any("without tracks" in note.text for note in marked.notes)
