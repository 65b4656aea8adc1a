"""Pictures placed on a frame by their corners: shown, moved, carried through the video, undone."""

from __future__ import annotations

import base64
import io
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from studio_client import do, events, pixels_of, project_of, studio_client, wait_for_job
from synthetic import moving_clip
from video_clips import write_clip

from chromatrack.errors import InputError
from chromatrack.studio.textures import checked_quad, warped
from chromatrack.video.reader import read_frames

FRAMES = 5
QUAD = [[20, 10], [60, 10], [60, 40], [20, 40]]


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with studio_client(tmp_path_factory.mktemp("home")) as made:
        yield made


@pytest.fixture
def opened(client, tmp_path):
    write_clip(tmp_path / "clip.mp4", [frame.rgb for frame in moving_clip(frames=FRAMES)])
    assert client.post("/api/open", json={"path": str(tmp_path / "clip.mp4")}).status_code == 200
    yield client
    wait_for_job(client)
    assert client.post("/api/close").status_code == 200
    shutil.rmtree(tmp_path)


def logo(color=(255, 0, 255, 255), size=(8, 6)):
    out = io.BytesIO()
    Image.new("RGBA", size, color).save(out, format="PNG")
    return base64.b64encode(out.getvalue()).decode()


def is_pink(rgb):
    rgb = rgb.astype(int)
    return (rgb[..., 0] > rgb[..., 1] + 60) & (rgb[..., 2] > rgb[..., 1] + 60)


@pytest.mark.slow
def test_a_picture_is_placed_moved_carried_and_undone(opened):
    assert project_of(opened)["textures"] == []
    assert opened.post("/api/export", json={"format": "textured"}).status_code == 202
    with_none = opened.get("/api/export-preview", params={"format": "textured"})
    assert with_none.status_code == 422
    wait_for_job(opened)
    told = do(opened, type="texture", frame=1, png=logo(), quad=QUAD, name="logo")
    assert told["key"] == "texture:1"
    one = {"id": 1, "key": "texture:1", "name": "logo", "frame": 1, "quad": QUAD, "size": [8, 6]}
    assert project_of(opened)["textures"] == [one]
    assert pixels_of(opened.get("/api/textures/1")).shape == (6, 8, 4)
    assert opened.get("/api/textures/2").status_code == 422
    pink = is_pink(pixels_of(opened.get("/api/textures/1/placed")))
    assert pink[15:36, 25:56].all() and pink.sum() < 1.2 * 41 * 31
    elsewhere = [[x + 60, y + 30] for x, y in QUAD]
    do(opened, type="textureMove", id=1, quad=elsewhere)
    pink = is_pink(pixels_of(opened.get("/api/textures/1/placed")))
    assert pink[45:66, 85:116].all() and not pink[:35].any()
    opened.post("/api/undo")
    assert project_of(opened)["textures"] == [one]
    assert opened.post("/api/export", json={"format": "textured"}).status_code == 202
    wait_for_job(opened)
    path = opened.studio.jobs.exports[list(opened.studio.jobs.exports)[-1]]
    frames = [is_pink(frame.rgb) for frame in read_frames(path)]
    assert len(frames) == FRAMES and all(300 < pink.sum() < 2600 for pink in frames)
    assert frames[1][15:36, 25:56].mean() > 0.9
    before = path.read_bytes()
    with events(opened) as ws:  # one that is stopped leaves it
        opened.post("/api/export", json={"format": "textured", "existing": "replace"})
        opened.post("/api/stop")
        while (told := ws.receive_json())["type"] not in ("done", "stopped", "failed"):
            pass
    wait_for_job(opened)
    assert (told["type"], told["message"]) == ("stopped", "Stopped: nothing was written")
    assert path.read_bytes() == before
    do(opened, type="textureRemove", id=1)
    assert project_of(opened)["textures"] == []


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"quad": [[0, 0], [9, 9], [9, 0], [0, 9]]}, "convex"),
        ({"quad": [[0, 0], [0, 0], [0, 0], [0, 0]]}, "convex"),
        ({"png": logo((0, 0, 0, 0))}, "clear"),
        ({"png": "none"}, "picture"),
        ({"frame": FRAMES}, "frame"),
    ],
)
def test_what_cannot_be_placed_is_refused(opened, more, message):
    asked = {"type": "texture", "frame": 0, "png": logo(), "quad": QUAD} | more
    answer = opened.post("/api/actions", json=asked)
    assert answer.status_code == 422 and message in answer.json()["error"]
    assert project_of(opened)["textures"] == []


near = st.floats(-6, 6)


@given(st.lists(st.tuples(near, near), min_size=4, max_size=4))
def test_corners_go_where_they_are_wanted(moves):
    own = [(10.0, 10.0), (50.0, 10.0), (50.0, 40.0), (10.0, 40.0)]
    quad = [(x + dx, y + dy) for (x, y), (dx, dy) in zip(own, moves, strict=True)]
    picture = Image.new("RGBA", (20, 10), (255, 255, 255, 255))
    alpha = np.asarray(warped(picture, checked_quad(quad), (60, 70)))[..., 3] > 127
    x, y = np.array(quad).T
    area = 0.5 * abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))
    assert abs(alpha.sum() - area) < 0.1 * area
    for corner in quad:
        inward = np.array(corner) + 0.15 * (np.array([30, 25]) - corner)
        assert alpha[round(inward[1]), round(inward[0])]


def test_corners_that_are_no_numbers_are_refused():
    with pytest.raises(InputError):
        checked_quad([[0, 0], [9, 0], [9, float("nan")], [0, 9]])
