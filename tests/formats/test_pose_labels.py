"""Labels that people made in DeepLabCut and SLEAP, read as marks."""

from __future__ import annotations

import string

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chromatrack.errors import InputError
from chromatrack.formats import deeplabcut, sleap
from chromatrack.formats.file_marks import GivenFile
from chromatrack.formats.mark_files import read_mark_file, reader_of
from chromatrack.formats.marked_source import MarkedSource

SIZE = (60, 80)
ONE = """\
scorer,,,ann,ann,ann,ann
bodyparts,,,nose,nose,tail,tail
coords,,,x,y,x,y
labeled-data,mouse,img003.png,10.5,20,,
labeled-data,mouse,img007.png,11,21,30,40.25
labeled-data,mouse,img009.png,,,,
"""
MANY = """\
scorer,ann,ann,ann,ann,ann,ann
individuals,A,A,B,B,single,single
bodyparts,nose,nose,nose,nose,door,door
coords,x,y,x,y,x,y
labeled-data/mouse/img003.png,1,2,3,4,,
labeled-data/mouse/img007.png,,,5,6,7,8
labeled-data/other/img007.png,9,9,9,9,9,9
"""


def mouse(**fields):
    return MarkedSource("clips/mouse.mp4", SIZE, 12, **fields)


def test_labels_of_one_animal(tmp_path):
    path = tmp_path / "CollectedData_ann.csv"
    path.write_text(ONE, encoding="utf-8")
    skeleton, marks = deeplabcut.read_labels(path, mouse())
    assert skeleton.names == ("nose", "tail") and skeleton.edges == ()
    assert [(mark.id, mark.frame) for mark in marks] == [(1, 3), (1, 7)]
    assert marks[0].joints[0].tolist() == [10.5, 20] and np.isnan(marks[0].joints[1]).all()
    assert marks[1].joints.tolist() == [[11, 21], [30, 40.25]] and not marks[1].lost.any()


def test_labels_of_several_animals_and_videos(tmp_path):
    path = tmp_path / "CollectedData_ann.csv"
    path.write_text(MANY, encoding="utf-8")
    source = mouse()
    skeleton, marks = deeplabcut.read_labels(path, source)
    assert skeleton.names == ("nose", "door")
    assert [(mark.id, mark.frame) for mark in marks] == [(1, 3), (2, 3), (2, 7), (3, 7)]
    assert marks[2].joints[0].tolist() == [5, 6] and marks[3].joints[1].tolist() == [7, 8]
    assert source.names == {
        ("keypoints", n): name for n, name in ((1, "A"), (2, "B"), (3, "single"))
    }
    assert any("other videos" in note.text for note in source.notes)


def test_a_place_without_an_end_is_told_and_not_left_out(tmp_path):
    path = tmp_path / "CollectedData_ann.csv"
    path.write_text(ONE.replace("40.25", "1e400"), encoding="utf-8")
    with pytest.raises(InputError, match=r"csv', line 5: tail: expected px or an empty cell, got"):
        deeplabcut.read_labels(path, mouse())


def test_labels_in_other_encodings_are_read_or_told(tmp_path):
    path = tmp_path / "CollectedData_ann.csv"
    path.write_text(ONE, encoding="utf-16")
    assert len(read_mark_file(path, mouse()).keypoints) == 2
    path.write_text(ONE.replace("nose", "n\xe4se"), encoding="latin-1")
    with pytest.raises(InputError, match=r"csv': expected UTF-8 text, but it cannot be read"):
        read_mark_file(path, mouse())


def test_hdf5_of_other_programs_is_not_taken_for_labels(tmp_path):
    h5py = pytest.importorskip("h5py")
    for name in ("analysis.h5", "session.nwb", "poses.nc"):
        with h5py.File(tmp_path / name, "w") as file:
            file["tracks"] = np.zeros((2, 3))
        with pytest.raises(InputError, match=r"got HDF5 of something else .* no marks"):
            reader_of(GivenFile(tmp_path / name))


def test_labels_in_hdf5_are_those_in_csv(tmp_path):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("tables")
    for text, levels in ((ONE, 3), (MANY, 4)):
        path = tmp_path / "c.csv"
        path.write_text(text, encoding="utf-8")
        index = [0, 1, 2] if levels == 3 else [0]
        table = pandas.read_csv(path, header=list(range(levels)), index_col=index)
        table.to_hdf(tmp_path / "c.h5", key="df_with_missing", mode="w")
        read = [deeplabcut.read_labels(tmp_path / name, mouse()) for name in ("c.csv", "c.h5")]
        assert read[0][0] == read[1][0]
        for one, other in zip(read[0][1], read[1][1], strict=True):
            assert (one.id, one.frame) == (other.id, other.frame)
            np.testing.assert_array_equal(one.joints, other.joints)


def test_pictures_are_found_by_their_names(tmp_path):
    path = tmp_path / "c.csv"
    path.write_text(ONE, encoding="utf-8")
    pictures = tuple(f"labeled-data/mouse/img{n:03d}.png" for n in (1, 3, 7, 9))
    source = MarkedSource("labeled-data/mouse", SIZE, 4, pictures)
    assert [mark.frame for mark in deeplabcut.read_labels(path, source)[1]] == [1, 2]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "expected labels of DeepLabCut"),
        ("id,frame,x,y\n1,0,2,3\n", "its first column begins with id, 1"),
        (ONE.replace("10.5", "ten"), r"line 4: expected px or an empty cell, got 'ten'"),
        (ONE.replace("10.5,20,,", "10.5,20,"), "line 4: expected 7 cells as in the header, got 6"),
        ("\n".join(ONE.splitlines()[:3]), "expected at least one labelled joint, got none"),
    ],
)
def test_what_is_wrong_with_labels_is_told(tmp_path, text, told):
    path = tmp_path / "c.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=told):
        deeplabcut.read_labels(path, mouse())
    with pytest.raises(InputError, match="no file"):
        deeplabcut.read_labels(tmp_path / "none.csv", mouse())


@given(st.text(string.printable, max_size=200))
def test_any_text_is_read_or_told(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("t") / "c.csv"
    path.write_text("scorer,a,a\nbodyparts,n,n\ncoords,x,y\n" + text, encoding="utf-8")
    try:
        deeplabcut.read_labels(path, mouse())
    except InputError:
        return


def project(path, *, tracks=True, videos=("clips/mouse.mp4", "clips/other.mp4"), predicted=False):
    """Two people's labels on frames 2 and 5 of the first video, and one of the second."""
    sio = pytest.importorskip("sleap_io")
    skeleton = sio.Skeleton(["nose", "ear", "tail"], edges=[("nose", "tail"), ("nose", "ear")])
    clips = [sio.Video(filename=name, open_backend=False) for name in videos]
    for clip in clips:
        clip.backend_metadata["shape"] = (12, 120, 160, 3)  # twice as large
    known = [sio.Track("A"), sio.Track("B")]
    kind = sio.PredictedInstance if predicted else sio.Instance

    def frame(clip, index, *instances):
        made = [
            kind.from_numpy(np.array(xy, dtype=float), skeleton, track=known[n] if tracks else None)
            for n, xy in instances
        ]
        return sio.LabeledFrame(video=clip, frame_idx=index, instances=made)

    gone = [np.nan, np.nan]
    frames = [
        frame(clips[0], 2, (1, [[2, 4], gone, [6, 8]])),
        frame(clips[0], 5, (0, [[10, 20], [12, 22], gone]), (1, [gone, [30, 40], gone])),
        *(frame(clip, 3, (0, [[1, 1], [1, 1], [1, 1]])) for clip in clips[1:]),
    ]
    labels = sio.Labels(frames, videos=clips, skeletons=[skeleton], tracks=known if tracks else [])
    sio.save_slp(labels, str(path), verbose=False)


def test_sleap_labels_are_marks(tmp_path):
    project(tmp_path / "p.slp")
    source = mouse()
    skeleton, marks = sleap.read_labels(tmp_path / "p.slp", source)
    assert skeleton.names == ("nose", "ear", "tail") and skeleton.edges == ((0, 2), (0, 1))
    assert [(mark.id, mark.frame) for mark in marks] == [(2, 2), (1, 5), (2, 5)]
    np.testing.assert_array_equal(marks[0].joints, [[1, 2], [np.nan] * 2, [3, 4]])  # half as large
    assert source.names == {("keypoints", 1): "A", ("keypoints", 2): "B"}
    assert any("other videos" in note.text for note in source.notes)


def test_sleap_labels_without_tracks_go_by_their_order(tmp_path):
    project(tmp_path / "p.slp", tracks=False, videos=("clips/mouse.mp4",))
    source = mouse()
    _, marks = sleap.read_labels(tmp_path / "p.slp", source)
    assert [(mark.id, mark.frame) for mark in marks] == [(1, 2), (1, 5), (2, 5)]
    assert any("without tracks" in note.text for note in source.notes)


def test_sleap_projects_that_cannot_be_marks_are_told(tmp_path):
    project(tmp_path / "p.slp", predicted=True)
    with pytest.raises(InputError, match="expected instances that people labelled, got none"):
        sleap.read_labels(tmp_path / "p.slp", mouse())
    (tmp_path / "q.slp").write_text("no project", encoding="utf-8")
    with pytest.raises(InputError, match="expected a SLEAP project, but it cannot be read"):
        sleap.read_labels(tmp_path / "q.slp", mouse())
    with pytest.raises(InputError, match="no file"):
        sleap.read_labels(tmp_path / "none.slp", mouse())


def test_marks_of_any_format_are_told_by_content(tmp_path):
    (tmp_path / "c.csv").write_text(MANY, encoding="utf-8")
    project(tmp_path / "p.slp")
    for name, told in (("c.csv", "labels of DeepLabCut"), ("p.slp", "a SLEAP project")):
        assert reader_of(GivenFile(tmp_path / name)).name == told
        marks = read_mark_file(tmp_path / name, mouse())
        assert len(marks.keypoints) >= 3 and marks.skeleton is not None
