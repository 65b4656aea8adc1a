"""A project on disk: whole after whatever happens."""

from __future__ import annotations

import json
import os
import signal
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from processes import Fork

from chromatrack.errors import InputError, OutputError
from chromatrack.studio import document as doc
from chromatrack.studio.store import FOLDER, LOG, STUDIO, Project, find_video, video_reference

VIDEO = {"path": "/nowhere/clip.mp4", "name": "clip.mp4", "digest": "0"}


def new_project(folder):
    return Project(folder, doc.new_document("clip", VIDEO))


def add_box(project, name):
    new, _ = doc.add(project.document, kind="box", color="#ff0000", name=name)
    assert project.do(new, f"Add {name}")


def names(project):
    return [one["name"] for one in project.document["objects"]]


def test_actions_undo_and_redo_are_there_after_reopening(tmp_path):
    project = new_project(tmp_path)
    for name in ("a", "b", "c"):
        add_box(project, name)
    assert project.undo() == "Add c" and project.undo() == "Add b" and project.redo() == "Add b"
    project.close()
    again = Project(tmp_path)
    assert names(again) == ["a", "b"]
    assert again.redo() == "Add c" and names(again) == ["a", "b", "c"]
    assert again.redo() is None


def test_a_new_action_forgets_what_was_undone(tmp_path):
    project = new_project(tmp_path)
    add_box(project, "a")
    project.undo()
    add_box(project, "b")
    assert project.redo() is None and names(project) == ["b"]


def test_an_action_that_changes_nothing_is_no_step(tmp_path):
    project = new_project(tmp_path)
    assert not project.do(doc.with_settings(project.document), "Change settings")
    assert project.undo() is None


def test_half_a_line_at_the_end_of_the_log_is_taken_off(tmp_path):
    project = new_project(tmp_path)
    add_box(project, "a")
    project.close()
    log = tmp_path / FOLDER / LOG
    whole = log.read_bytes()
    log.write_bytes(whole + b'{"do": "Add b", "before": {"obj')
    again = Project(tmp_path)
    assert names(again) == ["a"] and log.read_bytes() == whole
    add_box(again, "b")
    again.close()
    assert names(Project(tmp_path)) == ["a", "b"]


@given(cut=st.integers(0, 4000))
def test_a_log_cut_anywhere_gives_the_actions_before(tmp_path_factory, cut):
    folder = tmp_path_factory.mktemp("cut")
    project = new_project(folder)
    for name in ("a", "b", "c"):
        add_box(project, name)
    project.close()
    log = folder / FOLDER / LOG
    content = log.read_bytes()
    log.write_bytes(content[: min(cut, len(content))])
    again = Project(folder)
    left = content[:cut].count(b"\n")
    expected = ["a", "b", "c"] if left == 0 else ["a", "b", "c"][: left - 1]
    assert names(again) == expected
    again.close()


@given(damage=st.binary(min_size=1, max_size=60), place=st.floats(0, 1))
def test_a_damaged_studio_json_is_restored_from_the_log(tmp_path_factory, damage, place):
    folder = tmp_path_factory.mktemp("damaged")
    project = new_project(folder)
    add_box(project, "a")
    project.close()
    path = folder / STUDIO
    content = path.read_bytes()
    at = int(place * len(content))
    path.write_bytes(content[:at] + damage)
    again = Project(folder)
    assert names(again) == ["a"]
    again.close()


def test_studio_json_alone_is_a_project_without_a_past(tmp_path):
    project = new_project(tmp_path)
    add_box(project, "a")
    project.close()
    (tmp_path / FOLDER / LOG).unlink()
    again = Project(tmp_path)
    assert names(again) == ["a"] and again.undo() is None


DEEP = '{"a":' * 100_000


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"schema_version": 1}', DEEP])
def test_a_damaged_project_without_a_log_is_refused(tmp_path, content):
    (tmp_path / STUDIO).write_text(content)
    with pytest.raises(InputError, match="damaged"):
        Project(tmp_path)


@pytest.mark.parametrize("which", [STUDIO, f"{FOLDER}/{LOG}"])
def test_a_document_nested_too_deep_is_restored_from_the_other(tmp_path, which):
    project = new_project(tmp_path)
    add_box(project, "a")
    project.close()
    (tmp_path / which).write_text(f"{DEEP}\n")
    assert names(Project(tmp_path)) == ["a"]


def test_a_project_of_another_version_is_refused(tmp_path):
    (tmp_path / STUDIO).write_text(json.dumps({"schema_version": 99}))
    with pytest.raises(InputError, match="schema_version"):
        Project(tmp_path)


def test_one_studio_at_a_time(tmp_path):
    project = new_project(tmp_path)
    other = Fork(_opens, tmp_path)
    assert other.wait(60) == 7
    project.close()
    other = Fork(_opens, tmp_path)
    assert other.wait(60) == 0


def _opens(folder):
    try:
        Project(folder).close()
    except OutputError:
        return 7
    return 0


def test_what_was_answered_before_a_kill_is_there(tmp_path):
    folder, told = tmp_path / "project", tmp_path / "told"
    other = Fork(_works_until_killed, folder, told)
    deadline = time.monotonic() + 60
    while not (told.exists() and told.read_text().count("\n") >= 12):
        assert time.monotonic() < deadline and other.poll() is None, other.err()
        time.sleep(0.005)
    os.kill(other.pid, signal.SIGKILL)
    other.wait(30)
    answered = told.read_text().splitlines()
    project = Project(folder)
    found = names(project)
    assert found[: len(answered)] == answered and len(found) <= len(answered) + 1
    for frame in range(len(answered)):
        ids = project.marked_ids(frame)
        assert ids is not None and int((ids == 1).sum()) == frame + 1


def _works_until_killed(folder, told):
    project = new_project(folder)
    new, _ = doc.add(project.document, kind="object", color="#ff0000", name="0")
    for count in range(100_000):
        if count:
            new, _ = doc.add(new, kind="object", color="#ff0000", name=str(count % 150))
            new["objects"] = new["objects"][:190]
        ids = np.zeros((30, 40), dtype=np.int32)
        ids.flat[: count % 1000 + 1] = 1
        new = doc.painted(new, count, mask=project.keep_mask(ids), objects={1: str(count)})
        project.do(new, "Add")
        with told.open("a") as file:
            file.write(f"{count}\n")


def test_a_full_disk_refuses_an_action_and_keeps_the_others(tmp_path):
    folder, told = tmp_path / "project", tmp_path / "told"
    other = Fork(_fills, folder, told, limit=6000)
    assert other.wait(60) == 5, other.err()
    project = Project(folder)
    assert names(project) == told.read_text().split()


def _fills(folder, told):
    project = new_project(folder)
    done = []
    try:
        for count in range(1000):
            add_box(project, f"box{count}")
            done.append(f"box{count}")
    except OutputError:
        assert names(project) == done
        told.write_text(" ".join(done))
        return 5
    return 1


def test_the_video_is_found_where_it_was_and_beside_the_project(tmp_path):
    video = tmp_path / "clip.mp4"
    video.write_bytes(b"any video")
    document = doc.new_document("clip", video_reference(video))
    folder = tmp_path / "elsewhere" / "clip-chromatrack"
    folder.mkdir(parents=True)
    assert find_video(document, folder) == video.resolve()
    moved = folder.parent / "clip.mp4"
    video.rename(moved)
    assert find_video(document, folder) == moved
    moved.write_bytes(b"another video")
    assert find_video(document, folder) is None
