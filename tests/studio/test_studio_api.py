"""The studio from open to export, as a page uses it, with real workers and the real model."""

from __future__ import annotations

import io
import os
import shutil
import signal
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from studio_client import do, events, pixels_of, png_of, project_of, studio_client, wait_for_job
from synthetic import moving_clip
from video_clips import write_clip

from chromatrack.runs.reader import read_result
from chromatrack.video.reader import read_frame

FRAMES = 10


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    frames = moving_clip(frames=FRAMES, objects=2, radius=16)
    path = tmp_path_factory.mktemp("clip") / "my clip.mp4"
    write_clip(path, [frame.rgb for frame in frames])
    return path, frames


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with studio_client(tmp_path_factory.mktemp("home")) as made:
        yield made


@pytest.fixture
def opened(client, clip, tmp_path):
    """The client with a project of its own."""
    video = shutil.copy(clip[0], tmp_path / "clip.mp4")
    assert client.post("/api/open", json={"path": str(video)}).status_code == 200
    yield client
    wait_for_job(client)
    assert client.post("/api/close").status_code == 200


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


def test_a_video_is_opened_and_its_frames_are_exact(opened, clip):
    project = project_of(opened)
    told = project["video"]
    assert (told["width"], told["height"], told["frames"]) == (160, 96, FRAMES)
    assert len(told["times"]) == FRAMES and not told["missing"]
    for index in (7, 2, 3, 9, 0, 8):
        shown = pixels_of(opened.get(f"/api/frames/{index}")).astype(int)
        exact = read_frame(clip[0], index=index).rgb.astype(int)
        assert np.abs(shown - exact).mean() < 4
    for beyond in (1, 0):  # backwards too, as is read ahead of
        assert opened.get(f"/api/frames/{FRAMES + beyond}").status_code == 404
    assert opened.get("/api/frames/-1").status_code == 404


def test_an_unchanged_frame_is_not_sent_twice(opened):
    first = opened.get("/api/frames/1")
    again = opened.get("/api/frames/1", headers={"if-none-match": first.headers["etag"]})
    assert again.status_code == 304 and not again.content


def test_painting_takes_pixels_from_others_but_not_from_locked_ones(opened, clip):
    for name in ("a", "b", "c"):
        do(opened, type="add", kind="object", name=name)
    left, right = np.zeros((2, 96, 160), dtype=bool)
    left[10:50, 10:60] = right[10:50, 40:100] = True
    do(opened, type="mask", id=1, frame=2, png=png_of(left))
    do(opened, type="mask", id=2, frame=2, png=png_of(right))
    ids = pixels_of(opened.get("/api/masks/2?of=marks"))
    assert (ids == np.where(right, 2, np.where(left, 1, 0))).all()
    do(opened, type="change", key="object:2", locked=True)
    do(opened, type="mask", id=3, frame=2, png=png_of(left | right))
    ids = pixels_of(opened.get("/api/masks/2?of=marks"))
    assert (ids == np.where(right, 2, np.where(left, 3, 0))).all()
    assert project_of(opened)["marks"]["2"]["objects"] == [2, 3]
    refused = opened.post(
        "/api/actions", json={"type": "mask", "id": 2, "frame": 2, "png": png_of(left)}
    )
    assert refused.status_code == 422 and "locked" in refused.json()["error"]


def test_undo_and_redo_bring_back_pixels(opened, clip):
    do(opened, type="add", kind="object")
    mask = clip[1][0].mask == 1
    do(opened, type="mask", id=1, frame=0, png=png_of(mask))
    undone = opened.post("/api/undo").json()
    assert undone["label"] == "Paint object 1 on frame 0" and undone["frame"] == 0
    assert opened.get("/api/masks/0?of=marks").status_code == 404
    assert project_of(opened)["undo"]["redo"] == "Paint object 1 on frame 0"
    opened.post("/api/redo")
    assert ((pixels_of(opened.get("/api/masks/0?of=marks")) > 0) == mask).all()
    opened.post("/api/undo"), opened.post("/api/undo")
    assert opened.post("/api/undo").status_code == 422


def test_undo_says_what_the_tool_did(opened, clip):
    do(opened, type="add", kind="object")
    mask = clip[1][0].mask == 1
    did = {"brush": "Paint", "eraser": "Erase from", "select": "Mark", "polygon": "Mark"}
    for shift, (by, said) in enumerate(did.items()):
        png = png_of(np.roll(mask, shift, axis=1))
        do(opened, type="mask", id=1, frame=0, png=png, by=by)
        assert project_of(opened)["undo"]["undo"] == f"{said} object 1 on frame 0"
    answer = opened.post(
        "/api/actions", json={"type": "mask", "id": 1, "frame": 0, "png": png_of(mask), "by": "pen"}
    )
    assert answer.status_code == 422


def test_a_frame_that_is_not_tracked_has_no_mask_and_that_is_no_error(opened):
    answer = opened.get("/api/masks/0?of=result")
    assert (answer.status_code, answer.content) == (204, b"")
    assert opened.get("/api/masks/99999?of=result").status_code == 404


def test_a_new_object_and_its_first_mark_are_undone_as_one(opened, clip):
    do(opened, type="add", kind="object", opens=True)
    do(opened, type="mask", id=1, frame=0, png=png_of(clip[1][0].mask == 1))
    assert opened.post("/api/undo").json()["label"] == "Paint object 1 on frame 0"
    assert project_of(opened)["objects"] == [] and project_of(opened)["undo"]["undo"] is None
    assert opened.post("/api/redo").json()["label"] == "Paint object 1 on frame 0"
    assert project_of(opened)["marks"]["0"]["objects"] == [1]
    assert project_of(opened)["undo"]["redo"] is None


def test_a_mask_painted_on_an_older_state_is_refused(opened, clip):
    do(opened, type="add", kind="object")
    old = opened.get("/api/state").json()["revision"]
    mask = png_of(clip[1][0].mask == 1)
    do(opened, type="mask", id=1, frame=0, png=mask, revision=old)
    other = png_of(clip[1][0].mask == 2)
    late = {"type": "mask", "id": 1, "frame": 0, "png": other, "revision": old}
    refused = opened.post("/api/actions", json=late)
    assert refused.status_code == 409 and refused.json()["revision"] > old
    do(opened, type="mask", id=1, frame=1, png=mask, revision=old)  # another frame


def test_merging_makes_one_of_two(opened, clip):
    do(opened, type="add", kind="object")
    do(opened, type="add", kind="object")
    do(opened, type="mask", id=1, frame=0, png=png_of(clip[1][0].mask == 1))
    do(opened, type="mask", id=2, frame=0, png=png_of(clip[1][0].mask == 2))
    do(opened, **{"type": "merge", "from": "object:2", "into": "object:1"})
    ids = pixels_of(opened.get("/api/masks/0?of=marks"))
    assert ((ids == 1) == (clip[1][0].mask > 0)).all() and set(np.unique(ids)) == {0, 1}
    assert [one["key"] for one in project_of(opened)["objects"]] == ["object:1"]


def test_select_finds_the_disc_that_is_clicked(opened, clip):
    x, y = clip[1][3].centres[2]
    response = opened.post("/api/select", json={"frame": 3, "strokes": [{"places": [[x, y]]}]})
    assert iou(pixels_of(response) > 0, clip[1][3].mask == 2) > 0.8


def test_the_first_click_must_be_inside(opened):
    given = {"frame": 3, "strokes": [{"places": [[40, 30]], "inside": False}]}
    response = opened.post("/api/select", json=given)
    assert response.status_code == 422 and "first one inside" in response.json()["error"]


def test_the_pointer_points_where_the_disc_was(opened, clip):
    do(opened, type="add", kind="object")
    do(opened, type="mask", id=1, frame=0, png=png_of(clip[1][0].mask == 1))
    x, y = clip[1][6].centres[1]
    told = opened.get("/api/pointer/6", params={"x": x, "y": y}).json()
    assert np.hypot(told["target"][0] - x, told["target"][1] - y) < 8
    assert [one["frame"] for one in told["references"]] == [0, 2, 3, 4, 5]
    cells = [(one["frame"], *cell) for one in told["references"] for cell in one["cells"]]
    assert sum(cell[3] for cell in cells) == pytest.approx(1, abs=0.01)
    near = [
        np.hypot(cx - clip[1][f].centres[1][0], cy - clip[1][f].centres[1][1]) < 16
        for f, cx, cy, _ in cells
    ]
    assert np.mean(near) > 0.7


def test_from_marks_over_tracks_and_a_correction_to_exports(opened, clip):
    _, truth = clip
    assert opened.post("/api/track", json={}).status_code == 422  # nothing is marked
    do(opened, type="add", kind="object", name="red")
    do(opened, type="add", kind="point")
    do(opened, type="add", kind="box")
    do(opened, type="mask", id=1, frame=0, png=png_of(truth[0].mask == 1))
    do(opened, type="point", id=1, frame=0, at=list(truth[0].centres[2]))
    x, y = truth[0].centres[2]
    do(opened, type="box", id=1, frame=0, at=[x - 16, y - 16, 32, 32])
    with events(opened) as ws:
        assert ws.receive_json()["type"] == "state"
        assert opened.post("/api/track", json={}).status_code == 202
        assert opened.post("/api/track", json={}).status_code == 409
        told = []
        while not told or told[-1]["type"] not in ("done", "failed", "stopped"):
            told.append(ws.receive_json())
    assert told[-1]["type"] == "done", told[-1]
    progress = [one for one in told if one["type"] == "progress"]
    assert progress[-1]["done"] == FRAMES == progress[-1]["total"]
    project = wait_for_job(opened)
    result = project["result"]
    assert (result["start"], result["end"], result["stale"]) == (0, FRAMES, [])
    assert set(result["reliability"]) == {"object:1", "point:1", "box:1"}
    assert all(len(values) == FRAMES for values in result["present"].values())
    found = pixels_of(opened.get("/api/masks/5"))
    assert iou(found == 1, truth[5].mask == 1) > 0.8
    tracks = opened.get("/api/tracks").json()
    x, y = truth[5].centres[2]
    assert np.hypot(tracks["points"]["1"]["x"][5] - x, tracks["points"]["1"]["y"][5] - y) < 3
    assert len(tracks["boxes"]["1"]["width"]) == FRAMES

    do(opened, type="mask", id=1, frame=6, png=png_of(truth[6].mask == 1))
    assert project_of(opened)["result"]["stale"] == [[1, FRAMES]]
    assert opened.post("/api/track").status_code == 202
    assert wait_for_job(opened)["result"]["stale"] == []
    assert ((pixels_of(opened.get("/api/masks/6")) == 1) == (truth[6].mask == 1)).all()
    assert opened.post("/api/track", json={}).status_code == 422  # nothing is stale

    folder = opened.studio.project.folder
    assert read_result(folder).complete  # an ordinary run
    _exports(opened, truth)


def _exports(opened, truth):
    drawn = {}
    for name in ("tidy-csv", "overlay", "outlines", "cutout"):
        assert opened.post("/api/export", json={"format": name}).status_code == 202
        wait_for_job(opened)
        address = list(opened.studio.jobs.exports)[-1]
        content = opened.get(f"/api/exports/{address}")
        assert content.status_code == 200
        if name == "tidy-csv":
            assert content.text.count("\n") == 1 + 3 * FRAMES and "red" in content.text
        if name == "cutout":
            with zipfile.ZipFile(io.BytesIO(content.content)) as packed:
                assert len(packed.namelist()) == FRAMES
        preview = opened.get("/api/export-preview", params={"format": name})
        if name == "tidy-csv":
            assert "red" in preview.json()["text"]
        else:
            assert pixels_of(preview).shape[:2] == (96, 160)
            drawn[name] = pixels_of(preview)[..., :3].astype(int)
    ids = pixels_of(opened.get(f"/api/masks/{FRAMES // 2}"))
    inside = ndimage.binary_erosion(ids == 1, iterations=2)
    bare = drawn["cutout"]  # the picture itself
    assert (drawn["outlines"] == bare)[inside].all(axis=1).mean() > 0.65  # but for its name
    assert (drawn["overlay"] != bare)[inside].any(axis=1).mean() > 0.9
    edge = (ids == 1) & ~ndimage.binary_erosion(ids == 1)
    assert (drawn["outlines"] != bare)[edge].any(axis=1).mean() > 0.9


def test_stop_keeps_what_is_done_and_track_goes_on(opened, clip):
    do(opened, type="add", kind="object")
    do(opened, type="mask", id=1, frame=0, png=png_of(clip[1][0].mask == 1))
    with events(opened) as ws:
        # At once: whichever of the two comes first there, the first frame is the last.
        opened.post("/api/track")
        opened.post("/api/stop")
        while (told := ws.receive_json())["type"] not in ("done", "stopped", "failed"):
            pass
    project = wait_for_job(opened)
    assert told["type"] == "stopped", told
    assert 0 < project["result"]["end"] < FRAMES and not project["result"]["complete"]
    assert project["result"]["next"] == "rest"
    assert opened.get("/api/masks/0").status_code == 200
    opened.post("/api/track")
    assert wait_for_job(opened)["result"]["end"] == FRAMES


@pytest.mark.parametrize("which", ["decoder", "model"])
def test_a_worker_that_is_killed_is_told_and_starts_anew(opened, clip, which):
    do(opened, type="add", kind="object")
    worker = getattr(opened.studio, which)
    with events(opened) as ws:
        os.kill(worker.pid, signal.SIGKILL)
        while (told := ws.receive_json())["type"] != "worker":
            pass
    assert told["which"] == which and "nothing is lost" in told["message"]
    assert pixels_of(opened.get("/api/frames/4")).shape == (96, 160, 3)
    x, y = clip[1][0].centres[1]
    assert (
        opened.post("/api/select", json={"frame": 0, "strokes": [{"places": [[x, y]]}]}).status_code
        == 200
    )
    assert len(project_of(opened)["objects"]) == 1


@pytest.mark.slow
def test_a_job_whose_worker_is_killed_fails_and_can_go_on(opened, clip):
    do(opened, type="add", kind="object")
    do(opened, type="mask", id=1, frame=0, png=png_of(clip[1][0].mask == 1))
    with events(opened) as ws:
        opened.post("/api/track")
        while ws.receive_json()["type"] != "progress":
            pass
        os.kill(opened.studio.model.pid, signal.SIGKILL)
        while (told := ws.receive_json())["type"] not in ("done", "stopped", "failed"):
            pass
    assert told["type"] == "failed"
    wait_for_job(opened)
    opened.post("/api/track")
    assert wait_for_job(opened)["result"]["end"] == FRAMES


def test_a_run_of_the_command_line_is_a_project(client, clip, tmp_path):
    from chromatrack.cli.main import main
    from chromatrack.formats.masks import write_mask

    video = Path(shutil.copy(clip[0], tmp_path / "clip.mp4"))
    write_mask(tmp_path / "first.png", clip[1][0].mask)
    run = tmp_path / "run"
    given = ["track", str(video), "--masks", str(tmp_path / "first.png"), "--output", str(run)]
    assert main(given) == 0
    assert client.post("/api/open", json={"path": str(run)}).status_code == 200
    project = project_of(client)
    assert [one["key"] for one in project["objects"]] == ["object:1", "object:2"]
    assert project["result"]["end"] == FRAMES and project["result"]["stale"] == []
    assert client.post("/api/close").status_code == 200
    video.unlink()
    assert client.post("/api/open", json={"path": str(run)}).status_code == 200
    assert project_of(client)["video"]["missing"]
    assert client.get("/api/frames/0").status_code == 422
    assert client.get("/api/masks/3").status_code == 200
    assert client.post("/api/close").status_code == 200


def test_upload_and_close(client, clip):
    with clip[0].open("rb") as file:
        sent = client.post("/api/upload", files={"file": ("../../évil name.mp4", file)})
    assert sent.status_code == 200, sent.text
    project = project_of(client)
    assert project["name"] == "évil name" and project["video"]["frames"] == FRAMES
    folder = client.studio.project.folder
    assert folder == client.studio.library.home / "évil-name-chromatrack"
    assert project["video"]["name"] == "évil-name.mp4"
    assert client.get("/api/state").json()["recent"][0]["path"] == str(folder)
    client.post("/api/close")
    assert project_of(client) is None


def test_a_recent_project_has_a_picture_of_a_frame_that_was_looked_at(client, clip):
    with clip[0].open("rb") as file:
        assert client.post("/api/upload", files={"file": ("a clip.mp4", file)}).status_code == 200
    folder = client.studio.project.folder
    listed = client.get("/api/state").json()["recent"][0]
    assert client.get(f"/api/recent/{listed['key']}").status_code == 404  # none was looked at
    whole = Image.open(io.BytesIO(client.get("/api/frames/3").content)).convert("RGB")
    shown = client.get(f"/api/recent/{listed['key']}")
    assert shown.headers["content-type"] == "image/jpeg"
    small = Image.open(io.BytesIO(shown.content))
    assert small.width <= 160 and small.height <= 120
    assert abs(small.width / small.height - whole.width / whole.height) < 0.05
    apart = np.asarray(whole.resize(small.size), float) - np.asarray(small.convert("RGB"), float)
    assert np.abs(apart).mean() < 6
    assert client.get("/api/recent/0123456789abcdef").status_code == 404
    (folder / "studio" / "cover.jpg").write_bytes(b"<svg/>")  # not made by the studio
    assert client.get(f"/api/recent/{listed['key']}").status_code == 404
    client.post("/api/close")


def test_an_upload_that_is_no_video_leaves_nothing(client):
    before = sorted(client.studio.library.home.iterdir())
    sent = client.post("/api/upload", files={"file": ("a.mp4", b"no video")})
    assert sent.status_code == 422 and "video" in sent.json()["error"]
    assert sorted(client.studio.library.home.iterdir()) == before


def test_where_points_are_is_told_while_they_are_tracked(opened):
    do(opened, type="add", kind="point")
    do(opened, type="point", id=1, frame=0, at=[40.0, 30.0])
    told = []
    with events(opened) as ws:
        opened.post("/api/track")
        while not told or told[-1]["type"] not in ("done", "stopped", "failed"):
            told.append(ws.receive_json())
    wait_for_job(opened)
    places = {one["frame"]: one["places"] for one in told if one.get("places")}
    tracks = opened.get("/api/tracks").json()["points"]["1"]
    assert places and set(places) <= set(range(FRAMES))
    for frame, found in places.items():
        x, y, seen = found["points"]["1"]
        assert [x, y] == pytest.approx([tracks["x"][frame], tracks["y"][frame]], abs=0.011)
        assert seen == tracks["visible"][frame]


def test_where_points_are_is_told_while_they_are_corrected(opened):
    do(opened, type="add", kind="point")
    do(opened, type="point", id=1, frame=0, at=[40.0, 30.0])
    opened.post("/api/track")
    wait_for_job(opened)
    do(opened, type="point", id=1, frame=FRAMES - 1, at=[52.0, 33.0])
    told = []
    with events(opened) as ws:
        opened.post("/api/track")
        while not told or told[-1]["type"] not in ("done", "stopped", "failed"):
            told.append(ws.receive_json())
    wait_for_job(opened)
    places = {one["frame"]: one["places"] for one in told if one.get("places")}
    tracks = opened.get("/api/tracks").json()["points"]["1"]
    assert places and set(places) <= set(range(FRAMES))
    for frame, found in places.items():
        x, y, _ = found["points"]["1"]
        assert [x, y] == pytest.approx([tracks["x"][frame], tracks["y"][frame]], abs=0.011)


def test_what_will_give_way_to_a_new_mark_is_hatched_too(opened, clip):
    _, truth = clip
    for number in (1, 2):
        do(opened, type="add", kind="object")
        do(opened, type="mask", id=number, frame=0, png=png_of(truth[0].mask == number))
    opened.post("/api/track")
    wait_for_job(opened)
    last = truth[FRAMES - 1].mask
    do(opened, type="mask", id=1, frame=FRAMES - 1, png=png_of(np.isin(last, (1, 2))))
    spans = [[1, FRAMES]]
    assert project_of(opened)["result"]["staleOf"] == {"object:1": spans, "object:2": spans}
    found = pixels_of(opened.get(f"/api/masks/{FRAMES - 2}"))
    do(opened, type="clear", key="object:1", frame=FRAMES - 1)
    do(opened, type="mask", id=1, frame=FRAMES - 2, png=png_of(found == 1))
    assert project_of(opened)["result"]["staleOf"] == {"object:1": spans}


def test_stopping_a_correction_keeps_its_frames_and_track_goes_on_with_the_rest(opened, clip):
    _, truth = clip
    for number in (1, 2):
        do(opened, type="add", kind="object")
        mask = png_of(truth[0].mask == number)
        do(opened, type="mask", id=number, frame=0, png=mask)
    opened.post("/api/track")
    assert wait_for_job(opened)["result"]["end"] == FRAMES
    do(opened, type="mask", id=1, frame=FRAMES - 1, png=png_of(truth[FRAMES - 1].mask == 1))
    result = project_of(opened)["result"]
    assert result["staleOf"]["object:1"] == [[1, FRAMES]]
    with events(opened) as ws:
        opened.post("/api/track")
        while (told := ws.receive_json())["type"] != "progress" or told["stage"] != "correct":
            pass
        opened.post("/api/stop")
        while (told := ws.receive_json())["type"] not in ("done", "stopped", "failed"):
            pass
    result = wait_for_job(opened)["result"]
    assert told["type"] == "stopped" and "frames corrected" in told["message"], told
    ((begin, end),) = result["stale"]
    assert 1 < begin < end == FRAMES and result["staleOf"]["object:1"] == [[begin, end]]
    before = [opened.get(f"/api/masks/{index}").content for index in range(begin)]
    rest, told = FRAMES - begin, []
    with events(opened) as ws:
        opened.post("/api/track")
        while not told or told[-1]["type"] not in ("done", "stopped", "failed"):
            told.append(ws.receive_json())
    assert (told[-1]["type"], told[-1]["message"]) == ("done", f"{rest} frames tracked again")
    progress = [one for one in told if one["type"] == "progress"]
    totals = {one["stage"]: one["total"] for one in progress}
    assert totals == {"backward": 2 * rest, "correct": 2 * rest, "draw": FRAMES}
    done = [one["done"] for one in progress if one["stage"] != "draw"]
    assert done == sorted(done) and done[-1] == 2 * rest, "both ways are one"
    result = wait_for_job(opened)["result"]
    assert result["stale"] == [] and result["staleOf"] == {}
    assert before == [opened.get(f"/api/masks/{index}").content for index in range(begin)]
    last = pixels_of(opened.get(f"/api/masks/{FRAMES - 1}"))
    assert ((last == 1) == (truth[FRAMES - 1].mask == 1)).all()


def test_a_part_is_corrected_and_the_rest_held_until_it_is_wanted_too(opened, clip):
    _, truth = clip
    do(opened, type="add", kind="object")
    for frame in (0, FRAMES - 1):
        do(opened, type="mask", id=1, frame=frame, png=png_of(truth[frame].mask == 1))
    opened.post("/api/track")
    assert wait_for_job(opened)["result"]["stale"] == []
    before = {f: opened.get(f"/api/masks/{f}").content for f in range(FRAMES)}
    do(opened, type="settings", range=[3, 6])
    shifted = np.roll(truth[4].mask == 1, 5, axis=1)
    do(opened, type="mask", id=1, frame=4, png=png_of(shifted))
    assert project_of(opened)["result"]["stale"] == [[3, 6]]

    def track():
        with events(opened) as ws:
            opened.post("/api/track")
            while (told := ws.receive_json())["type"] not in ("done", "stopped", "failed"):
                pass
        masks = {f: opened.get(f"/api/masks/{f}").content for f in range(FRAMES)}
        return (told["type"], told["message"]), {f for f in masks if masks[f] != before[f]}

    told, changed = track()
    assert told == ("done", "3 frames tracked again") and changed == {3, 4, 5}
    result = project_of(opened)["result"]
    assert (result["stale"], result["next"], result["held"]) == ([], None, [])
    do(opened, type="mask", id=1, frame=1, png=png_of(np.roll(truth[1].mask == 1, 5, axis=1)))
    assert project_of(opened)["result"]["next"] is None  # it waits
    refused = opened.post("/api/track", json={})
    assert refused.status_code == 422 and "frames 3 to 5" in refused.json()["error"]
    do(opened, type="clear", key="object:1", frame=1)
    do(opened, type="settings", range=None)
    result = project_of(opened)["result"]
    spans = [[1, 3], [6, FRAMES - 1]]
    assert (result["stale"], result["next"], result["held"]) == ([], "held", spans)
    told, changed = track()
    assert told == ("done", f"{FRAMES - 5} frames tracked again")
    assert {3, 4, 5} < changed <= set(range(1, FRAMES - 1))
    result = project_of(opened)["result"]
    assert (result["next"], result["held"]) == (None, [])


def test_a_mark_that_is_cleared_costs_its_span_only(opened, clip):
    _, truth = clip
    do(opened, type="add", kind="object")
    for frame in (0, 4, 7):
        do(opened, type="mask", id=1, frame=frame, png=png_of(truth[frame].mask == 1))
    opened.post("/api/track")
    assert wait_for_job(opened)["result"]["stale"] == []
    before = {f: opened.get(f"/api/masks/{f}").content for f in range(FRAMES)}
    do(opened, type="clear", key="object:1", frame=4)
    assert project_of(opened)["result"]["stale"] == [[1, 7]]
    assert project_of(opened)["result"]["next"] == "span"
    with events(opened) as ws:
        opened.post("/api/track")
        while (told := ws.receive_json())["type"] not in ("done", "stopped", "failed"):
            pass
    assert (told["type"], told["message"]) == ("done", "6 frames tracked again")
    assert project_of(opened)["result"]["stale"] == []
    after = {f: opened.get(f"/api/masks/{f}").content for f in range(FRAMES)}
    assert all(after[f] == before[f] for f in (0, *range(7, FRAMES)))
    assert after[4] != before[4]  # found, not painted
    assert opened.post("/api/track", json={}).status_code == 422  # nothing is stale
    assert project_of(opened)["result"]["next"] is None
    do(opened, type="settings", quality="fast")
    assert project_of(opened)["result"]["next"] == "all"
    for frame in (0, 7):
        do(opened, type="clear", key="object:1", frame=frame)
    assert opened.post("/api/track", json={}).status_code == 422  # nothing is marked


def test_hiding_is_not_undone_and_leaves_what_can_be_done_again(opened, clip):
    do(opened, type="add", kind="object", name="disc")
    do(opened, type="mask", id=1, frame=0, png=png_of(clip[1][0].mask == 1))
    opened.post("/api/undo")
    do(opened, type="change", key="object:1", visible=False)
    do(opened, type="change", key="object:1", locked=True)
    project = project_of(opened)
    assert not project["objects"][0]["visible"] and project["objects"][0]["locked"]
    assert "frame 0" in project["undo"]["redo"] and project["undo"]["undo"] == "Add disc"
    assert opened.post("/api/redo").status_code == 200
    assert project_of(opened)["marks"]["0"]["objects"] == [1]
    do(opened, type="change", key="object:1", name="ring")
    assert project_of(opened)["undo"]["undo"] == "Rename disc"
    do(opened, type="change", key="object:1", color="#123456")
    assert project_of(opened)["undo"]["undo"] == "Change the colour of ring"
    path = project_of(opened)["path"]
    assert opened.post("/api/close").status_code == 200
    assert opened.post("/api/open", json={"path": path}).status_code == 200
    thing = project_of(opened)["objects"][0]
    assert (thing["name"], thing["visible"], thing["locked"]) == ("ring", False, True)
    do(opened, type="change", key="object:1", locked=False)
    for way, name in (("undo", "ring"), ("undo", "disc"), ("redo", "ring")):
        assert opened.post(f"/api/{way}").status_code == 200
        thing = project_of(opened)["objects"][0]
        assert (thing["name"], thing["visible"], thing["locked"]) == (name, False, False)


def test_where_one_was_is_kept(opened):
    assert project_of(opened)["place"] == {}
    for place in ({"frame": 3, "loop": [2, 6]}, {"frame": 5, "loop": None}):
        assert opened.post("/api/place", json=place).status_code == 200
        path = project_of(opened)["path"]
        assert opened.post("/api/close").status_code == 200
        assert opened.post("/api/open", json={"path": path}).status_code == 200
        assert project_of(opened)["place"] == place
    (Path(path) / "studio" / "place.json").write_text('{"frame": ')
    assert project_of(opened)["place"] == {}
    assert opened.post("/api/place", json={"frame": -1}).status_code == 422


def test_what_is_hidden_is_not_exported(opened, clip):
    for number, name in ((1, "car"), (2, "glass")):
        do(opened, type="add", kind="object", name=name)
        mask = png_of(clip[1][0].mask == number)
        do(opened, type="mask", id=number, frame=0, png=mask)
    opened.post("/api/track")
    wait_for_job(opened)
    do(opened, type="change", key="object:2", visible=False)
    assert project_of(opened)["result"]["next"] is None, "it is tracked all the same"
    preview = opened.get("/api/export-preview", params={"format": "tidy-csv"}).text
    assert "car" in preview and "glass" not in preview
    assert opened.post("/api/export", json={"format": "tidy-csv"}).status_code == 202
    path = Path(wait_for_job(opened)["path"]) / "exports" / "table.csv"
    assert "car" in path.read_text() and "glass" not in path.read_text()
    do(opened, type="change", key="object:1", visible=False)
    refused = opened.post("/api/export", json={"format": "tidy-csv"})
    assert refused.status_code == 422 and "all things are hidden" in refused.text


def test_a_colour_that_nobody_chose_is_seen_under_the_first_mark(opened, clip):
    inside, other = (png_of(clip[1][0].mask == number) for number in (1, 2))

    def colors():
        return [one["color"] for one in project_of(opened)["objects"]]

    do(opened, type="add", kind="object", opens=True)
    [usual] = colors()
    do(opened, type="mask", id=1, frame=0, png=inside, ground=usual)
    [seen] = colors()
    assert seen != usual
    opened.post("/api/undo")
    assert project_of(opened)["objects"] == [], "the mark and its colour are one step"
    opened.post("/api/redo")
    assert colors() == [seen]
    do(opened, type="mask", id=1, frame=1, png=inside, ground=seen)
    assert colors() == [seen], "it is changed once"
    do(opened, type="add", kind="object")
    do(opened, type="change", key="object:2", color="#123456")
    do(opened, type="mask", id=2, frame=0, png=other, ground="#123456")
    assert colors() == [seen, "#123456"], "it was chosen"
    do(opened, type="add", kind="object")
    before = colors()[2]
    do(opened, type="mask", id=3, frame=1, png=other, ground="#ffffff")
    assert colors()[2] == before, "it is seen well"


def test_a_stop_says_what_is_done(opened, clip):
    do(opened, type="add", kind="object")
    do(opened, type="mask", id=1, frame=0, png=png_of(clip[1][0].mask == 1))
    with events(opened) as ws:
        opened.post("/api/track")
        while (told := ws.receive_json())["type"] != "progress" or told["done"] < 2:
            pass
        opened.post("/api/stop")
        while (told := ws.receive_json())["type"] not in ("done", "stopped", "failed"):
            pass
    end = wait_for_job(opened)["result"]["end"]
    assert (told["type"], told["message"]) == ("stopped", f"Stopped: {end} frames are tracked")
