"""COCO segmentations as marks: outlines and run lengths, of pictures and of videos."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chromatrack.errors import InputError
from chromatrack.formats.marked_source import MarkedSource
from chromatrack.formats.polygons import paint_polygons, read_polygons

SIZE = (12, 16)
SQUARE = [2, 3, 6, 3, 6, 7, 2, 7]
FAR = [9, 3, 12, 3, 12, 6, 9, 6]
NAMES = [{"id": 1, "name": "cow"}, {"id": 2, "name": "dog"}]


def image(number: int, name: str = "frame_{:06d}.PNG", **fields: Any) -> dict[str, Any]:
    return {"id": number, "file_name": name.format(number), "height": 12, "width": 16, **fields}


def mark(number: int, image: int, segmentation: object, **fields: Any) -> dict[str, Any]:
    given = {"id": number, "image_id": image, "category_id": 1, "iscrowd": 0}
    return {**given, "segmentation": segmentation, **fields}


def saved(folder: Path, images: list, marks: list, **fields: Any) -> Path:
    data = {"categories": NAMES, "images": images, "annotations": marks, **fields}
    (folder / "c.json").write_text(json.dumps(data))
    return folder / "c.json"


def video(*pictures: str, name: str = "clip.mp4", count: int = 12, **fields: Any) -> MarkedSource:
    return MarkedSource(name, SIZE, len(pictures) or count, pictures or None, **fields)


def areas(path: Path, source: MarkedSource | None) -> dict[int, dict[int, int]]:
    """{frame: {id: px}}."""
    painted = paint_polygons(read_polygons(path, source=source), SIZE)
    return {
        frame: {int(i): int((mask == i).sum()) for i in np.unique(mask) if i}
        for frame, mask in painted.items()
    }


def run_lengths(mask: np.ndarray) -> list[int]:
    flat = mask.T.ravel().astype(int)
    edges = np.flatnonzero(np.diff(flat, prepend=0, append=1 - flat[-1]))
    return np.diff(edges, prepend=0).tolist()


def packed(runs: list[int]) -> str:
    """COCO's text of run lengths, written after its description."""
    text = ""
    for number, run in enumerate(runs):
        value = run - runs[number - 2] if number > 2 else run
        while True:
            bits, value = value & 31, value >> 5
            more = value != (-1 if bits & 16 else 0)
            text += chr(48 + (bits | 32 if more else bits))
            if not more:
                break
    return text


@given(bits=st.integers(0, 2**192 - 1), as_text=st.booleans())
def test_run_lengths_are_read_to_the_pixel(tmp_path_factory, bits, as_text):
    mask = np.array([bool(bits >> n & 1) for n in range(192)]).reshape(SIZE)
    mask[5, 5] = True
    runs = run_lengths(mask)
    counts = packed(runs) if as_text else runs
    path = saved(
        tmp_path_factory.mktemp("c"), [image(3)],
        [mark(1, 3, {"size": list(SIZE), "counts": counts}, iscrowd=1)],
    )  # fmt: skip
    painted = paint_polygons(read_polygons(path, source=video()), SIZE)
    np.testing.assert_array_equal(painted[3], mask)


def test_texts_of_run_lengths_are_those_of_others(tmp_path):
    golden = {"size": [12, 16], "counts": "k04800000e3"}  # by pycocotools 2.0.11's encode
    painted = paint_polygons(read_polygons(saved(tmp_path, [image(0)], [mark(1, 0, golden)])), SIZE)
    rows, columns = np.nonzero(painted[0])
    assert {*rows} == set(range(3, 7)) and {*columns} == set(range(2, 6)) and len(rows) == 16


@pytest.mark.parametrize("source", [None, video()])
@pytest.mark.parametrize(
    ("segmentation", "area"),
    [
        ([SQUARE], 16),
        (SQUARE, 16),  # not in a list of its own
        ([[[2, 3], [6, 3], [6, 7], [2, 7]]], 16),
        ([SQUARE, FAR], 25),  # parts of one
        ([SQUARE, SQUARE], 16),  # united, not cut out
        ([[1.5, 2.5, 6.5, 2.5, 6.5, 7.4, 1.5, 7.4]], 25),  # pixel middles lie at halves
        ({"size": [12, 16], "counts": [27, 4, 8, 4, 153 - 4]}, 8),
    ],
)  # fmt: skip
def test_every_form_of_a_segmentation(tmp_path, source, segmentation, area):
    path = saved(tmp_path, [image(0)], [mark(1, 0, segmentation)])
    assert areas(path, source) == {0: {1: area}}


@pytest.mark.parametrize(
    ("first", "second", "ids", "names", "renumbered"),
    [
        ({"track_id": 3}, {"track_id": 3}, (3, 3), {3: "cow"}, 0),
        ({"attributes": {"track_id": 0}}, {"attributes": {"track_id": 0}}, (1, 1), {1: "cow"}, 1),
        ({"track_id": "a7"}, {"track_id": "a7"}, (1, 1), {1: "cow"}, 1),
        ({"track_id": "5"}, {"track_id": 5}, (5, 5), {5: "cow"}, 0),
        ({}, {"category_id": 2}, (1, 2), {1: "cow", 2: "dog"}, 0),
        ({"id": 900100184613}, {"id": 7}, (8, 7), {8: "cow", 7: "cow"}, 1),
        ({"name": "Ada"}, {}, (1, 2), {1: "Ada", 2: "cow"}, 0),
    ],
)
def test_tracks_are_objects_and_categories_name_them(
    tmp_path, first, second, ids, names, renumbered
):
    marks = [mark(1, 0, [SQUARE], **first), mark(2, 4, [FAR], **second)]
    opened = video()
    path = saved(tmp_path, [image(0), image(4)], marks)
    assert areas(path, opened) == {0: {ids[0]: 16}, 4: {ids[1]: 9}}
    assert opened.names == {("object", number): name for number, name in names.items()}
    told = [note.text for note in opened.notes if " is object " in note.text]
    assert len(told) == renumbered


def test_annotations_without_tracks_on_several_frames_are_told(tmp_path):
    opened, images = video(), [image(0), image(4)]
    areas(saved(tmp_path, images, [mark(1, 0, [SQUARE]), mark(2, 4, [FAR])]), opened)
    assert "2 annotations on 2 frames without track_id are objects of their own" in (
        opened.notes[-1].text
    )
    opened = video()
    areas(saved(tmp_path, images, [mark(1, 0, [SQUARE]), mark(2, 0, [FAR])]), opened)
    assert opened.notes == []


@pytest.mark.parametrize("category", [99, "cow"])
def test_a_category_that_the_file_has_not_is_told(tmp_path, category):
    opened = video()
    areas(saved(tmp_path, [image(0)], [mark(1, 0, [SQUARE], category_id=category)]), opened)
    (note,) = opened.notes
    assert note.warned and f"category {category!r} is not among the categories" in (
        note.text.replace('"', "'")
    )
    assert "annotations[0]" in note.text and ("object", 1) not in opened.categories


def test_what_has_no_outline_is_passed_over_and_told(tmp_path):
    empty = [mark(n, 0, given) for n, given in enumerate(([], None, [[]]), start=2)]
    opened = video()
    assert areas(saved(tmp_path, [image(0)], [mark(1, 0, [SQUARE]), *empty]), opened) == {
        0: {1: 16}
    }
    assert "passed over 3 annotations without outline" in opened.notes[0].text
    with pytest.raises(InputError, match="at least one polygon"):
        read_polygons(saved(tmp_path, [image(0)], empty), source=video())


def test_sizes_are_scaled_or_refused(tmp_path):
    twice = (2 * np.array(SQUARE)).tolist()
    path = saved(tmp_path, [image(0, height=24, width=32)], [mark(1, 0, [twice])])
    opened = video()
    assert areas(path, opened) == {0: {1: 16}} and "32x24" in opened.notes[0].text
    large = np.zeros((24, 32), dtype=bool)
    large[6:14, 4:12] = True
    given = {"size": [24, 32], "counts": run_lengths(large)}
    assert areas(saved(tmp_path, [image(0)], [mark(1, 0, given)]), video()) == {0: {1: 16}}
    wide = {"size": [16, 12], "counts": [192 - 4, 4]}
    for images, segmentation in ([image(0, height=16, width=12)], [SQUARE]), ([image(0)], wide):
        with pytest.raises(InputError, match=r"16x12 pixels, got 12x16, another shape"):
            read_polygons(saved(tmp_path, images, [mark(1, 0, segmentation)]), source=video())


EVERY_5TH = tuple(f"{n:05d}.jpg" for n in range(0, 60, 5))


def tubes(folder: Path, names: list[str], *marks: dict, **fields: Any) -> Path:
    length = len(names)
    videos = [{"id": 1, "file_names": names, "height": 12, "width": 16, "length": length}]
    return saved(folder, [], list(marks), **{"videos": videos, **fields})


def tube(number: int, *given: object, video: int = 1, **fields: Any) -> dict[str, Any]:
    item = {"id": number, "video_id": video, "category_id": 1, "iscrowd": 0}
    return {**item, "segmentations": given, "bboxes": [None] * len(given), **fields}


RUNS = {"size": [12, 16], "counts": [27, 4, 8, 4, 149]}


@pytest.mark.parametrize(
    ("names", "source", "frames"),
    [
        (["clip/00000.jpg", "clip/00005.jpg", "clip/00010.jpg"], video(*EVERY_5TH), [0, 2]),
        (["clip/00000.jpg", "clip/00005.jpg", "clip/00010.jpg"], video(count=12), [0, 10]),
        (["clip/00000.jpg", "clip/00005.jpg", "clip/00010.jpg"], video(count=3), [0, 2]),
        (["a.jpg", "b.jpg", "c.jpg"], video(count=12), [0, 2]),
        (["x/00001.jpg", "x/00002.jpg", "x/00003.jpg"], video(count=3), [0, 2]),
    ],
)
def test_frames_of_a_whole_video(tmp_path, names, source, frames):
    path = tubes(tmp_path, names, tube(4, RUNS, None, RUNS))
    assert areas(path, source) == {frame: {4: 8} for frame in frames}
    assert source.names == {("object", 4): "cow"}


def test_the_video_of_several_is_that_of_its_name(tmp_path):
    videos = [
        {"id": n, "file_names": [f"{name}/00000.jpg", f"{name}/00005.jpg"]}
        for n, name in ((1, "other"), (2, "clip"))
    ]
    marks = [tube(1, RUNS, None), tube(2, None, [SQUARE], video=2)]
    path = saved(tmp_path, [], marks, videos=videos)
    opened = video()
    assert areas(path, opened) == {5: {2: 16}}
    assert "other" in opened.notes[0].text
    assert areas(path, video(name="x.mp4", video_name="other")) == {0: {1: 8}}
    with pytest.raises(InputError, match="--video-name"):
        read_polygons(path, source=video(name="x.mp4"))


@pytest.mark.parametrize(
    ("segmentation", "pattern"),
    [
        ([[1, 2, 3, 4]], r"segmentation\[0\]: expected x and y of at least 3 corners, got 4"),
        ([[1, 2, 3, 4, 5, 6, 7]], "got 7 numbers"),
        ([["a", 2, 3, 4, 5, 6]], "expected a finite number"),
        ({"size": [12, 16], "counts": [1, 2]}, "expected runs of 12 x 16 pixels"),
        ({"size": [12, 16], "counts": [-1, 193]}, "run lengths from 0 up"),
        ({"size": [12, 16], "counts": [0.5, 191.5]}, "run lengths from 0 up"),
        ({"size": [12], "counts": [192]}, r"expected \[height, width\]"),
        ({"size": [12, 16], "counts": "zzzz"}, "no text of run lengths"),
        ({"size": [12, 16], "counts": "\u20ac"}, "no text of run lengths"),
        ({"size": [12, 16], "counts": "o" * 50}, "no text of run lengths"),
        ({"size": [12, 16], "counts": "PPP6"}, "expected runs of"),
        ({"size": [12, 16], "counts": [192]}, "with an object, got an empty one"),
        ({"size": [12, 16]}, 'expected "counts"'),
        ({"size": [10**9, 10**9], "counts": [10**18]}, "expected a finite number"),
        ({"size": [10**9, 10**9], "counts": [10**9]}, "run lengths from 0 up"),
        (7, "expected a list"),
    ],
)  # fmt: skip
def test_what_is_no_segmentation_is_said(tmp_path, segmentation, pattern):
    path = saved(tmp_path, [image(0)], [mark(1, 0, segmentation)])
    with pytest.raises(InputError, match=pattern):
        read_polygons(path, source=video())


@pytest.mark.parametrize(
    ("marks", "pattern"),
    [
        ([tube(1, RUNS)], r"expected one for each of the video's 2 pictures, got 1"),
        ([tube(1, RUNS, None, video=9)], "video 9 is not among the videos"),
        ([tube(1, RUNS, RUNS), mark(2, 0, [SQUARE])], "image 0 is not among the images"),
    ],
)
def test_what_is_no_annotation_of_a_video_is_said(tmp_path, marks, pattern):
    path = tubes(tmp_path, ["00000.jpg", "00001.jpg"], *marks)
    with pytest.raises(InputError, match=pattern):
        read_polygons(path, source=video())
