"""MOTS text as marks."""

from __future__ import annotations

import numpy as np
import pytest
from hand_results import hand_result
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pycocotools import mask as coco_mask

from chromatrack.errors import InputError
from chromatrack.formats.exchange import ExportOptions
from chromatrack.formats.file_marks import GivenFile
from chromatrack.formats.mark_files import read_mark_file, reader_of
from chromatrack.formats.marked_source import MarkedSource
from chromatrack.formats.mots import write_mots
from chromatrack.runs.export import tracked_video

SIZE = (9, 12)
ids = arrays.arrays(
    np.int32, st.tuples(st.just(3), st.just(9), st.just(12)), elements=st.integers(0, 3)
)


def source(count=5):
    return MarkedSource("hand", SIZE, frame_count=count, numbers="index")


def theirs(inside):
    return coco_mask.encode(np.asfortranarray(inside.astype(np.uint8)))["counts"].decode()


@given(ids.filter(lambda masks: masks.any()), st.sampled_from([None, 0]))
def test_what_is_written_reads_back(tmp_path_factory, masks, start):
    path = tmp_path_factory.mktemp("mots") / "x.txt"
    write_mots(
        tracked_video(hand_result(masks=list(masks))), path, ExportOptions(start_number=start)
    )
    if start is None or masks[0].any():  # else KITTI's frame 1 cannot be told from the first
        found = read_mark_file(path, source())
        assert sorted(found.masks) == [n for n in range(3) if masks[n].any()]
        assert all((found.masks[n] == masks[n]).all() for n in found.masks)


def test_rows_of_pycocotools_with_classes_and_ignored_regions(tmp_path):
    one, two = np.zeros(SIZE, bool), np.zeros(SIZE, bool)
    one[1:3, 2:6], two[5:8, 3:9] = True, True
    path = tmp_path / "gt.txt"
    path.write_text(
        f"1 1002 1 9 12 {theirs(one)}\n1 2002 2 9 12 {theirs(two)}\n"
        f"2 2000 2 9 12 {theirs(two)}\n\n2 10000 10 9 12 {theirs(one)}\n"
    )
    marked = source()
    assert reader_of(GivenFile(path)).name == "MOTS text"
    found = read_mark_file(path, marked)
    assert np.array_equal(found.masks[0], np.where(one, 2, np.where(two, 1, 0)))
    assert np.array_equal(found.masks[1], np.where(two, 3, 0))
    assert marked.names == {
        ("object", 2): "car",
        ("object", 1): "pedestrian",
        ("object", 3): "pedestrian",
    }
    told = [note.text for note in marked.notes]
    assert any("passed over 1 rows of ignored regions" in text for text in told)
    assert any("track 2002 is object 1 (1 more are renumbered, too)" in text for text in told)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("1 2001 2 9 12 Z\n1 2001 2 9 12 Z", "line 1"),
        ("1 2001 2 9 12 X3\nx", "line 2: expected frame, id, class"),
        ("1 2001 2 9 12", "expected marks in a format"),
        ("1 2001 2 9 20 \\5", "another shape"),
    ],
)
def test_wrong_rows_are_told(tmp_path, rows, message):
    (tmp_path / "x.txt").write_text(rows)
    with pytest.raises(InputError, match=message):
        read_mark_file(tmp_path / "x.txt", source())


def test_two_rows_for_one_thing_are_told(tmp_path):
    runs = theirs(np.ones(SIZE, bool))
    (tmp_path / "x.txt").write_text(f"1 2001 2 9 12 {runs}\n" * 2)
    with pytest.raises(InputError, match=r"line 2: id 2001 on frame 1 is there already, in line 1"):
        read_mark_file(tmp_path / "x.txt", source())
