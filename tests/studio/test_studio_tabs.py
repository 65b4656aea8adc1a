"""Two tabs at once: their changes are merged, and where they meet the later one is told so."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from studio_client import do, png_of, project_of, studio_client
from synthetic import moving_clip
from video_clips import write_clip

from chromatrack.studio import document as doc
from chromatrack.studio.conflicts import Changes, touched


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with studio_client(tmp_path_factory.mktemp("home")) as made:
        yield made


@pytest.fixture
def opened(client, tmp_path):
    video = tmp_path / "clip.mp4"
    write_clip(video, [frame.rgb for frame in moving_clip(frames=4)])
    assert client.post("/api/open", json={"path": str(video)}).status_code == 200
    for name in ("cow", "dog"):
        do(client, type="add", kind="object", name=name)
    do(client, type="add", kind="point", name="horn")
    yield client
    assert client.post("/api/close").status_code == 200


def region(left, right):
    mask = np.zeros((96, 160), dtype=bool)
    mask[10:30, left:right] = True
    return png_of(mask)


def refused(client, **action):
    answer = client.post("/api/actions", json=action)
    assert answer.status_code == 409, answer.text
    assert answer.json()["revision"] == client.studio.revision
    return answer.json()["error"]


def revision(client):
    return client.get("/api/state").json()["revision"]


def test_what_does_not_meet_is_merged(opened):
    seen = revision(opened)
    do(opened, type="mask", id=1, frame=0, png=region(0, 40), revision=seen)
    do(opened, type="mask", id=2, frame=0, png=region(60, 90), revision=seen)
    do(opened, type="point", id=1, frame=0, at=[5, 5], revision=seen)
    do(opened, type="change", key="object:2", name="cat", revision=seen)
    do(opened, type="add", kind="box", revision=seen)
    project = project_of(opened)
    assert project["marks"]["0"]["objects"] == [1, 2] and project["marks"]["0"]["points"]
    assert [one["name"] for one in project["objects"]] == ["cow", "cat", "horn", "box 1"]


def test_the_later_one_on_the_same_thing_is_told_and_changes_nothing(opened):
    seen = revision(opened)
    do(opened, type="mask", id=1, frame=0, png=region(0, 40), revision=seen)
    before = project_of(opened)
    assert "cow on frame 0" in refused(
        opened, type="mask", id=1, frame=0, png=region(0, 60), revision=seen
    )
    assert "cow on frame 0" in refused(
        opened, type="mask", id=2, frame=0, png=region(20, 60), revision=seen
    )  # it would take pixels that the other tab has just painted
    assert "cow" in refused(opened, type="gone", key="object:1", frame=0, revision=seen)
    do(opened, type="remove", key="object:2", revision=seen)
    told = refused(opened, type="change", key="object:2", name="pig", revision=seen)
    assert "removed in another tab" in told
    assert project_of(opened)["marks"] == before["marks"]
    do(opened, type="mask", id=1, frame=0, png=region(0, 60), revision=revision(opened))


def test_undo_does_not_take_back_what_another_tab_just_did(opened):
    seen = revision(opened)
    do(opened, type="point", id=1, frame=2, at=[9, 9])
    answer = opened.post("/api/undo", json={"revision": seen})
    assert answer.status_code == 409 and "another tab" in answer.json()["error"]
    assert project_of(opened)["marks"]["2"]["points"] == {"1": [9, 9]}
    assert opened.post("/api/undo", json={"revision": revision(opened)}).status_code == 200
    assert opened.post("/api/redo").status_code == 200


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.floats(0, 9)), max_size=6))
def test_what_was_touched_is_what_was_placed_anew(places):
    document = doc.new_document("a", {"path": "", "name": "", "digest": ""})
    keys = []
    for _ in range(3):
        document, key = doc.add(document, kind="point", color="#112233")
        keys.append(key)
    changes, last = Changes(), {}
    for number, (which, frame, x) in enumerate(places, start=1):
        after = doc.place(document, keys[which], frame, (x, 0.0))
        names = touched(document, after)
        assert len(names) <= 1
        changes.note(document, after, number)
        if names:
            last[which, frame] = number
        document = after
        for (other, at), when in last.items():
            name = {f"points/{other + 1}@{at}": "it"}
            assert changes.unseen(name, when) is None and changes.unseen(name, when - 1) == "it"
    assert changes.newest == max(last.values(), default=0)
