"""Undo brings back what was tracked by the marks before; redo what was tracked after."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from studio_client import do, pixels_of, png_of, project_of, studio_client, wait_for_job
from synthetic import moving_clip
from video_clips import write_clip

from chromatrack.runs.reader import read_result
from chromatrack.studio import earlier
from chromatrack.studio.earlier import MadeBy, bring_back, keeping

FRAMES = 8


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    frames = moving_clip(frames=FRAMES, objects=2, radius=16)
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    write_clip(path, [frame.rgb for frame in frames])
    return path, frames


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with studio_client(tmp_path_factory.mktemp("home")) as made:
        yield made


@pytest.fixture
def tracked(client, clip, tmp_path):
    """The client with a project in which object 1 is tracked from frame 0."""
    video = shutil.copy(clip[0], tmp_path / "clip.mp4")
    assert client.post("/api/open", json={"path": str(video)}).status_code == 200
    do(client, type="add", kind="object", name="disc")
    do(client, type="mask", id=1, frame=0, png=png_of(clip[1][0].mask == 1))
    track(client)
    yield client
    wait_for_job(client)
    assert client.post("/api/close").status_code == 200


def track(client):
    assert client.post("/api/track", json={}).status_code == 202
    return wait_for_job(client)


def turn(client, way):
    response = client.post(f"/api/{way}")
    assert response.status_code == 200, response.text
    return response.json()


def folder_of(client) -> Path:
    return Path(project_of(client)["path"])


def run_files(client):
    """{name: content} of all that the run's folder holds, but for the studio's own."""
    folder = folder_of(client)
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.relative_to(folder).parts[0] not in ("studio", "studio.json")
    }


def corrected(client, clip, frame=4):
    """Correct object 1 by what is not it, and track; the run's files before and after."""
    before = run_files(client)
    do(client, type="mask", id=1, frame=frame, png=png_of(clip[1][frame].mask == 2))
    assert project_of(client)["result"]["next"] == "span"
    track(client)
    after = run_files(client)
    assert after["masks/00005.png"] != before["masks/00005.png"]
    assert "marks/00004.png" in after and "marks/00004.png" not in before
    return before, after


def test_undo_and_redo_of_a_correction_bring_its_results(tracked, clip):
    before, after = corrected(tracked, clip)
    key = project_of(tracked)["result"]["key"]
    assert turn(tracked, "undo")["results"] is True
    assert run_files(tracked) == before
    told = project_of(tracked)["result"]
    assert told["next"] is None and not told["stale"] and told["key"] != key
    assert (pixels_of(tracked.get("/api/masks/5")) == read_result(folder_of(tracked)).mask(5)).all()
    for _ in range(2):
        assert turn(tracked, "redo")["results"] is True
        assert run_files(tracked) == after
        assert turn(tracked, "undo")["results"] is True
        assert run_files(tracked) == before


def test_several_corrections_are_gone_back_through(tracked, clip):
    first, second = corrected(tracked, clip)
    do(tracked, type="add", kind="object", name="other")
    do(tracked, type="mask", id=2, frame=2, png=png_of(clip[1][2].mask == 2))
    track(tracked)
    third = run_files(tracked)
    assert turn(tracked, "undo")["results"] is True
    assert run_files(tracked) == second
    assert turn(tracked, "undo")["results"] is False  # the empty object was nothing to track
    assert turn(tracked, "undo")["results"] is True
    assert run_files(tracked) == first
    for _ in range(3):
        turn(tracked, "redo")
    assert run_files(tracked) == third
    for _ in range(2):  # past the second at once
        tracked.studio.project.undo()
    assert turn(tracked, "undo")["results"] is True
    assert run_files(tracked) == first


def test_marks_that_are_so_again_bring_results_as_undo_does(tracked, clip):
    before, _ = corrected(tracked, clip)
    do(tracked, type="clear", key="object:1", frame=4)
    assert run_files(tracked) == before
    assert project_of(tracked)["result"]["next"] is None


def test_another_quality_is_undone_with_its_results(tracked):
    before = run_files(tracked)
    do(tracked, type="settings", quality="fast")
    assert project_of(tracked)["result"]["next"] == "all"
    track(tracked)
    after = run_files(tracked)
    assert after["result.json"] != before["result.json"]
    assert turn(tracked, "undo")["results"] is True
    assert run_files(tracked) == before
    assert turn(tracked, "redo")["results"] is True
    assert run_files(tracked) == after


def test_a_project_that_was_closed_still_goes_back(tracked, clip):
    before, _ = corrected(tracked, clip)
    folder = folder_of(tracked)
    assert tracked.post("/api/close").status_code == 200
    assert tracked.post("/api/open", json={"path": str(folder)}).status_code == 200
    assert turn(tracked, "undo")["results"] is True
    assert run_files(tracked) == before


def test_other_marks_bring_nothing(tracked, clip):
    _, after = corrected(tracked, clip)
    do(tracked, type="mask", id=1, frame=6, png=png_of(clip[1][6].mask == 1))
    assert run_files(tracked) == after
    assert project_of(tracked)["result"]["next"] == "span"


def test_a_part_loses_nothing_of_what_was_tracked_beyond_it(tracked, clip):
    before = run_files(tracked)
    do(tracked, type="settings", range=[2, 5])
    told = project_of(tracked)
    assert told["result"]["next"] is None, "all of the part is tracked"
    assert told["undo"]["undo"] == "Only frames 2-4"
    do(tracked, type="mask", id=1, frame=4, png=png_of(clip[1][4].mask == 2))
    assert project_of(tracked)["result"]["next"] == "span"
    track(tracked)
    assert len(read_result(folder_of(tracked)).frames) == FRAMES
    turn(tracked, "undo")
    assert run_files(tracked) == before
    do(tracked, type="settings", quality="fast")
    track(tracked)
    assert len(read_result(folder_of(tracked)).frames) == FRAMES


def test_after_a_part_the_rest_can_be_tracked(client, clip, tmp_path):
    video = shutil.copy(clip[0], tmp_path / "part.mp4")
    assert client.post("/api/open", json={"path": str(video)}).status_code == 200
    do(client, type="add", kind="object", name="disc")
    do(client, type="mask", id=1, frame=2, png=png_of(clip[1][2].mask == 1))
    do(client, type="settings", range=[2, 5])
    track(client)
    assert read_result(folder_of(client)).indices.tolist() == [2, 3, 4]
    do(client, type="settings", range=[4, 7])
    assert project_of(client)["result"]["next"] == "all"
    track(client)
    assert read_result(folder_of(client)).indices.tolist() == [2, 3, 4, 5, 6]
    do(client, type="settings", range=None)
    assert project_of(client)["result"]["next"] == "all"
    track(client)
    assert len(read_result(folder_of(client)).frames) == FRAMES
    assert project_of(client)["result"]["next"] is None
    assert client.post("/api/close").status_code == 200


def test_a_run_of_a_part_is_opened_as_that_part(client, clip, tmp_path):
    from chromatrack.runs.writer import track_to_folder
    from chromatrack.tracking.marks import Marks
    from chromatrack.tracking.tracker import Tracker

    marks = Marks(masks={2: (clip[1][2].mask == 1).astype("int32")})
    for name, end, part in (("part", 5, [2, 5]), ("rest", None, [2, FRAMES])):
        home = tmp_path / name
        track_to_folder(
            Tracker.from_pretrained("small"), clip[0], marks, output=home, start=2, end=end
        )
        assert client.post("/api/open", json={"path": str(home)}).status_code == 200
        told = project_of(client)
        assert told["settings"]["range"] == part and told["result"]["next"] is None
    assert client.post("/api/close").status_code == 200


# -- without a model ---------------------------------------------------------------------------

SETTINGS = {"quality": "normal", "range": None}
DOCUMENT = {"settings": SETTINGS, "marks": {}}


def made(said: str) -> MadeBy:
    return MadeBy(said, "normal", 0, None)


def put(folder: Path, name: str, text: str) -> None:
    """As a run's files are replaced: written aside, then renamed."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name("aside")
    aside.write_text(text)
    aside.replace(path)


def result(n: int) -> str:
    return json.dumps({"command": "track", "n": n})


class Run:
    """What `bring_back` asks of a run."""

    said, quality, start, end = {}, "normal", 0, None


@pytest.fixture
def replaced(tmp_path):
    """A folder in which run 1 was replaced by run 2; no marks at all asked for run 1."""
    put(tmp_path, "result.json", result(1))
    put(tmp_path, "masks/0.png", "one")
    put(tmp_path, "masks/1.png", "same")
    put(tmp_path, "things.csv", "old")
    with keeping(tmp_path, made(earlier.said_digest({}))):
        put(tmp_path, "masks/0.png", "two")
        put(tmp_path, "marks/3.png", "new")
        (tmp_path / "things.csv").unlink()
        put(tmp_path, "result.json", result(2))
    return tmp_path


def content(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in folder.rglob("*")
        if path.is_file() and "studio" not in path.parts
    }


FIRST = {"result.json": result(1), "masks/0.png": "one", "masks/1.png": "same", "things.csv": "old"}


def test_only_what_differs_takes_room(replaced):
    (step,) = (replaced / "studio" / "earlier").iterdir()
    names = {path.name for path in step.rglob("*") if path.is_file()}
    assert names == {"result.json", "0.png", "things.csv", "step.json"}
    assert (replaced / "masks" / "1.png").stat().st_nlink == 1


def test_what_was_made_since_goes_and_what_went_comes_back(replaced):
    assert bring_back(replaced, DOCUMENT, Run())
    assert content(replaced) == FIRST
    assert not (replaced / "marks").exists()


def test_nothing_is_brought_over_a_run_that_is_another_by_now(replaced):
    put(replaced, "result.json", result(3))
    assert not bring_back(replaced, DOCUMENT, Run())
    assert content(replaced)["masks/0.png"] == "two"


def test_other_settings_ask_for_something_else(replaced):
    assert not bring_back(replaced, DOCUMENT | {"settings": SETTINGS | {"quality": "fast"}}, Run())
    assert content(replaced)["result.json"] == result(2)


def test_what_was_tracked_is_enough_for_a_part_of_it():
    old = MadeBy(earlier.said_digest({}), "normal", 2, 9)
    for part, is_enough in (([2, 9], True), ([4, 6], True), ([1, 5], False), ([5, 10], False)):
        assert old.fits(old.said, SETTINGS | {"range": part}) is is_enough
    assert not old.fits(old.said, SETTINGS) and MadeBy("", "normal", 0, None).fits("", SETTINGS)


def test_a_job_that_changes_nothing_keeps_nothing(replaced):
    with pytest.raises(RuntimeError), keeping(replaced, made("x")):
        raise RuntimeError
    assert len(list((replaced / "studio" / "earlier").iterdir())) == 1
    assert bring_back(replaced, DOCUMENT, Run())


def test_where_files_cannot_be_linked_work_goes_on(tmp_path, monkeypatch):
    put(tmp_path, "result.json", result(1))
    monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError(1, "no links")))
    with keeping(tmp_path, made("x")):
        put(tmp_path, "result.json", result(2))
    assert content(tmp_path) == {"result.json": result(2)}
    assert not list((tmp_path / "studio").rglob("*.json"))


@pytest.mark.parametrize(
    "harm", ["half", "gone", "no json", "file gone", "shorter", "begun", "other's", "out of it"]
)
def test_a_damaged_step_is_none(replaced, harm):
    (step,) = (replaced / "studio" / "earlier").iterdir()
    if harm == "half":
        (step / "step.json").write_text('{"replaces": "')
    elif harm == "gone":
        shutil.rmtree(step)
    elif harm == "no json":
        (step / "step.json").write_text("[]")
    elif harm == "file gone":
        (step / "masks" / "0.png").unlink()
    elif harm == "shorter":
        put(step, "masks/0.png", "")
    elif harm in ("other's", "out of it"):
        told = json.loads((step / "step.json").read_text())
        told["missing"].append("exports/mine.csv" if harm == "other's" else "masks/../mine.csv")
        (step / "step.json").write_text(json.dumps(told))
    else:
        step.rename(step.with_name("new-1"))
        (step.with_name("new-1") / "step.json").unlink()
    assert not bring_back(replaced, DOCUMENT, Run())
    assert content(replaced)["result.json"] == result(2)


def test_killed_while_going_back_it_goes_back_later(replaced, monkeypatch):
    def die(*_given, **_kept):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("chromatrack.runs.staging._replay", lambda target: None)
        patch.setattr(earlier.Staging, "put_in_place", die)
        with pytest.raises(KeyboardInterrupt):
            bring_back(replaced, DOCUMENT, Run())
    assert content(replaced)["result.json"] == result(2)
    assert bring_back(replaced, DOCUMENT, Run())
    assert content(replaced) == FIRST


def test_the_oldest_go_when_there_are_many(tmp_path, monkeypatch):
    monkeypatch.setattr(earlier, "MOST_STEPS", 3)
    put(tmp_path, "result.json", result(0))
    for n in range(1, 6):
        with keeping(tmp_path, made(str(n))):
            put(tmp_path, "result.json", result(n))
    steps = list((tmp_path / "studio" / "earlier").iterdir())
    assert sorted(json.loads((s / "step.json").read_text())["made_by"]["said"] for s in steps) == [
        "3",
        "4",
        "5",
    ]


def test_room_is_kept_within_bounds(tmp_path, monkeypatch):
    monkeypatch.setattr(earlier, "MOST_BYTES", 3000)
    put(tmp_path, "result.json", result(0))
    for n in range(1, 5):
        put(tmp_path, "masks/0.png", "x" * 2000)
        with keeping(tmp_path, made(str(n))):
            put(tmp_path, "masks/0.png", "y" * 2000)
            put(tmp_path, "result.json", result(n))
    assert len(list((tmp_path / "studio" / "earlier").iterdir())) == 1


def test_marks_are_told_from_others():
    one = {("object", 1, 0): {0: "a", 3: "b"}, ("point", 2, 0): {1: [1.0, 2.0]}}
    other = {("point", 2, 0): {1: [1.0, 2.0]}, ("object", 1, 0): {3: "b", 0: "a"}}
    assert earlier.said_digest(one) == earlier.said_digest(other)
    moved = one | {("point", 2, 0): {1: [1.0, 2.5]}}
    assert earlier.said_digest(one) != earlier.said_digest(moved)
