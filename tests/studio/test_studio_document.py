"""What a project says, and how actions change it."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chromatrack.errors import InputError
from chromatrack.runs.unfinished import Unfinished
from chromatrack.studio import document as doc
from chromatrack.studio.marks import difference, marks_of

VIDEO = {"path": "/nowhere/clip.mp4", "name": "clip.mp4", "digest": "0"}


def a_document():
    new = doc.new_document("clip", VIDEO)
    new, _ = doc.add(new, kind="object", color="#ff0000", name="cow")
    new, _ = doc.add(new, kind="point", color="#00ff00")
    new, _ = doc.add(new, kind="keypoints", color="#0000ff", joints=["hip", "knee"], edges=[[0, 1]])
    return new


def test_ids_are_counted_by_kind_and_names_are_made():
    document = a_document()
    assert [one["key"] for one in document["objects"]] == ["object:1", "point:1", "keypoints:1"]
    assert [one["name"] for one in document["objects"]] == ["cow", "point 1", "skeleton 1"]


def test_an_action_leaves_the_old_document_as_it_was():
    before = a_document()
    after = doc.place(before, "point:1", 3, [1.0, 2.0])
    assert not before["marks"] and after["marks"]["3"]["points"] == {"1": [1.0, 2.0]}


def test_the_only_frame_that_differs_is_told():
    before = a_document()
    one = doc.place(before, "point:1", 3, [1.0, 2.0])
    assert doc.only_frame(before, one) == doc.only_frame(one, before) == 3
    added, _ = doc.add(one, kind="object", color="#ff0000")
    assert doc.only_frame(before, added) == 3, "a thing that came with its first mark"
    two = doc.place(one, "point:1", 4, [1.0, 2.0])
    assert doc.only_frame(before, two) is None and doc.only_frame(two, two) is None
    assert doc.only_frame(before, doc.change(before, "point:1", name="nose")) is None


def test_a_new_thing_has_a_colour_of_its_own():
    document = doc.new_document("clip", VIDEO)
    for _ in range(40):
        color = doc.next_color(document)
        document, _ = doc.add(document, kind="object", color=color)
    colors = [one["color"] for one in document["objects"]]
    assert len(set(colors[:35])) == 35


def test_a_frame_without_marks_is_no_frame_with_marks():
    document = doc.place(a_document(), "point:1", 3, [1.0, 2.0])
    assert doc.clear(document, "point:1", 3)["marks"] == {}
    assert doc.remove(document, "point:1")["marks"] == {}


def test_gone_takes_the_place_of_a_mark_of_every_kind():
    document = doc.painted(a_document(), 2, mask="a" * 32, objects={1: "x"})
    document = doc.place(document, "point:1", 2, [1, 2])
    for key in ("object:1", "point:1", "keypoints:1"):
        document = doc.gone(document, key, 2)
    marks = document["marks"]["2"]
    assert marks["objects"] == {} and marks["gone"] == [1]
    assert marks["points"] == {"1": None} and marks["keypoints"] == {"1": ["gone", "gone"]}


def test_painting_what_was_gone_brings_it_back():
    document = doc.gone(a_document(), "object:1", 2)
    assert doc.painted(document, 2, mask="a" * 32, objects={1: "x"})["marks"]["2"]["gone"] == []


def test_two_skeletons_in_one_project_are_refused():
    with pytest.raises(InputError, match="one kind of skeleton"):
        doc.add(a_document(), kind="keypoints", color="#000000", joints=["a"], edges=[])
    again, key = doc.add(a_document(), kind="keypoints", color="#000000")
    assert key == "keypoints:2" and again["objects"][-1]["joints"] == ["hip", "knee"]


@pytest.mark.parametrize("name", ["", " ", "a" * 81, "a\x00b"])
def test_names_that_cannot_be_shown_are_refused(name):
    with pytest.raises(InputError, match="name"):
        doc.change(a_document(), "object:1", name=name or " ")


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["point", "gone", "clear", "paint", "remove", "add"]),
        st.integers(0, 4),
        st.sampled_from(["object:1", "point:1", "keypoints:1"]),
    ),
    max_size=12,
)


def after_each(actions):
    """The document after each of some actions, those that do not fit left out."""
    documents = [a_document()]
    for what, frame, key in actions:
        now = documents[-1]
        try:
            new = {
                "point": lambda: doc.place(now, "point:1", frame, [frame, 1]),  # noqa: B023
                "gone": lambda: doc.gone(now, key, frame),  # noqa: B023
                "clear": lambda: doc.clear(now, key, frame),  # noqa: B023
                "paint": lambda: doc.painted(now, frame, mask="b" * 32, objects={1: key}),  # noqa: B023
                "remove": lambda: doc.remove(now, key),  # noqa: B023
                "add": lambda: doc.add(now, kind="box", color="#123456")[0],  # noqa: B023
            }[what]()
        except InputError:
            continue
        documents.append(new)
    return documents


@given(ACTIONS)
def test_changed_parts_lead_back_and_forth(actions):
    documents = after_each(actions)
    for before, after in pairwise(documents):
        was, now = doc.changed_parts(before, after)
        assert doc.with_parts(before, now) == after
        assert doc.with_parts(after, was) == before


def test_a_mark_makes_stale_what_lies_between_its_neighbours():
    old = {("object", 1, 0): {0: "a", 10: "b", 20: "c"}}
    new = {("object", 1, 0): {0: "a", 10: "x", 20: "c"}}
    found = difference(old, new, first=0, after=30)
    assert found.stale == ((1, 20),)
    assert found.changed == {(("object", 1, 0), 10)} and not found.removed


def test_a_mark_in_a_part_makes_stale_what_is_in_it_too():
    label = ("object", 1, 0)
    old = {label: {0: "a", 10: "b", 20: "c"}}
    new = {label: {0: "a", 10: "x", 20: "c", 25: "d"}}
    found = difference(old, new, first=0, after=30, part=(8, 12))
    assert found.stale == ((8, 12), (21, 30))  # one that is beyond it waits
    left = [Unfinished(label, 1, 19, 1, held=True), Unfinished(label, 1, 19, 12, held=True)]
    held = difference(new, new, first=0, after=30, unfinished=left)
    assert held.stale == () and not held.changed
    assert held.held == ((1, 20),) and held.held_by == {(label, 10)}
    some = difference(new, new, first=0, after=30, unfinished=left, part=(5, 15))
    assert some.held == ((5, 15),)
    none = difference(new, new, first=0, after=30, unfinished=left, part=(20, 30))
    assert none.held == () and not none.held_by


def test_what_is_no_longer_tracked_makes_nothing_stale():
    old = {("object", 1, 0): {0: "a"}, ("point", 2, 0): {0: [1, 1]}}
    found = difference(old, {("object", 1, 0): {0: "a"}}, first=0, after=30)
    assert found.stale == () and found.removed == {(("point", 2, 0), 0)}


def test_a_mark_that_was_taken_away_makes_its_span_stale():
    old = {("object", 1, 0): {0: "a", 10: "b"}}
    found = difference(old, {("object", 1, 0): {0: "a"}}, first=0, after=30)
    assert found.stale == ((1, 30),) and found.removed == {(("object", 1, 0), 10)}


def test_a_category_is_kept_and_goes_into_the_marks(tmp_path):
    document = doc.new_document("clip", VIDEO)
    document, _ = doc.add(document, kind="point", color="#ff8000", name="Kiwi", category="bird")
    document, _ = doc.add(document, kind="point", color="#ff8000")
    document = doc.place(doc.place(document, "point:1", 3, [4.0, 5.0]), "point:2", 3, [6.0, 7.0])
    marks = marks_of(document, tmp_path)
    assert marks.categories == {("point", 1): "bird"} and marks.names["point", 1] == "Kiwi"
    assert "category" not in document["objects"][1]
