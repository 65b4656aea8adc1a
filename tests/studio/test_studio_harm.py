"""Uploads without end, a full disk and a killed worker: told in one line, and nothing is lost."""

from __future__ import annotations

import base64
import io
import os
import resource
import shutil
import signal
from contextlib import contextmanager

import numpy as np
import pytest
from PIL import Image
from studio_client import do, events, pixels_of, png_of, project_of, studio_client, wait_for_job
from synthetic import moving_clip
from video_clips import write_clip

from chromatrack.studio import security, uploads
from chromatrack.studio.color_store import ColoredRow, Colors, ColorWriter

FRAMES = 6
ENDS = ("done", "stopped", "failed")


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with studio_client(tmp_path_factory.mktemp("home")) as made:
        yield made


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    frames = moving_clip(frames=FRAMES, radius=16)
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    return write_clip(path, [frame.rgb for frame in frames]), frames


@pytest.fixture
def opened(client, clip, tmp_path):
    video = shutil.copy(clip[0], tmp_path / "clip.mp4")
    assert client.post("/api/open", json={"path": str(video)}).status_code == 200
    yield client
    wait_for_job(client)
    assert client.post("/api/close").status_code == 200


@contextmanager
def full_disk(worker, most):
    """A worker whose files may have so many bytes."""
    before = resource.prlimit(worker.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        yield
    finally:
        resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, before)


def end_of(client, address, *, at_first_frame=None):
    """Begin a job; what it was told at its end."""
    with events(client) as ws:
        assert client.post(address).status_code == 202
        while (told := ws.receive_json())["type"] not in ENDS:
            is_one = told["type"] == "progress" and told["done"] > 0
            if at_first_frame is not None and is_one:
                at_first_frame()
                at_first_frame = None
    wait_for_job(client)
    return told


def form(parts, boundary="x"):
    head = f'--{boundary}\r\ncontent-disposition: form-data; name="file"; filename="a.mp4"\r\n\r\n'
    yield head.encode()
    yield from parts
    yield f"\r\n--{boundary}--\r\n".encode()


KIND = {"content-type": "multipart/form-data; boundary=x"}


def left(client):
    return sorted(client.studio.library.home.iterdir())


def test_an_upload_without_end_is_refused_at_the_limit_and_leaves_nothing(client, monkeypatch):
    monkeypatch.setattr(security, "MOST_UPLOAD", 2 << 20)
    before = left(client)
    parts = (bytes(1 << 18) for _ in range(40))
    answer = client.post("/api/upload", headers=KIND, content=form(parts))
    assert answer.status_code == 413 and "2 MB" in answer.json()["error"]
    assert left(client) == before


def test_an_upload_that_the_disk_has_no_room_for_is_refused_unread(client, monkeypatch):
    free = shutil.disk_usage(client.studio.library.home)._replace(free=100 << 20)
    monkeypatch.setattr(uploads.shutil, "disk_usage", lambda _: free)
    before = left(client)
    headers = KIND | {"content-length": str(3 << 30)}
    answer = client.post("/api/upload", headers=headers, content=b"")
    assert answer.status_code == 507 and "has 100 MB, of which 64" in answer.json()["error"]
    assert left(client) == before
    asked = []
    monkeypatch.setattr(uploads.shutil, "disk_usage", lambda path: asked.append(path) or free)
    uploads.check_room(client.studio.library.home / "not" / "there" / "yet", "1")
    assert asked == [client.studio.library.home]


@pytest.mark.parametrize("parts", [[b"no video"], []])
@pytest.mark.parametrize("boundary", ["x", "y"])
def test_an_upload_that_is_no_form_or_no_video_leaves_nothing(client, parts, boundary):
    before = left(client)
    answer = client.post("/api/upload", headers=KIND, content=form(parts, boundary))
    assert answer.status_code == 422 and "\n" not in answer.json()["error"]
    for kind in ("text/plain", "multipart/form-data", "multipart/form-data; boundary="):
        given = {"content-type": kind}
        assert client.post("/api/upload", headers=given, content=b"a").status_code == 422
    assert left(client) == before


def test_an_upload_whose_disk_fills_meanwhile_leaves_nothing(client, clip, monkeypatch):
    class Full(io.BytesIO):
        def write(self, _):
            raise OSError(28, "No space left on device")

    before = left(client)
    content = clip[0].read_bytes()
    monkeypatch.setattr(uploads.Path, "open", lambda path, mode: Full())
    answer = client.post("/api/upload", headers=KIND, content=form([content]))
    monkeypatch.undo()
    assert answer.status_code == 507 and "No space left" in answer.json()["error"]
    assert left(client) == before


def test_a_disk_that_fills_while_tracking_is_told_and_loses_nothing(opened, clip):
    do(opened, type="add", kind="object")
    do(opened, type="mask", id=1, frame=0, png=png_of(clip[1][0].mask == 1))
    with full_disk(opened.studio.model, 64):
        told = end_of(opened, "/api/track")
    assert told["type"] == "failed" and "cannot be written" in told["message"], told
    project = project_of(opened)
    assert project["marks"]["0"]["objects"] == [1] and project["result"] is None
    assert end_of(opened, "/api/track")["type"] == "done"
    before = pixels_of(opened.get("/api/masks/3"))

    do(opened, type="mask", id=1, frame=5, png=png_of(clip[1][5].mask == 1))
    with full_disk(opened.studio.model, 64):
        told = end_of(opened, "/api/track")
    assert told["type"] == "failed" and "cannot be written" in told["message"], told
    result = project_of(opened)["result"]
    assert result["stale"] == [[1, FRAMES]] and result["end"] == FRAMES
    assert (pixels_of(opened.get("/api/masks/3")) == before).all()
    assert end_of(opened, "/api/track")["type"] == "done"


@pytest.mark.slow
def test_colouring_outlives_a_full_disk_and_a_killed_worker(opened, clip):
    out = io.BytesIO()
    Image.fromarray(clip[1][0].rgb).save(out, format="PNG")
    png = base64.b64encode(out.getvalue()).decode()
    do(opened, type="colorStill", frame=0, png=png)
    with full_disk(opened.studio.model, 64):
        told = end_of(opened, "/api/colorize")
    assert told["type"] == "failed" and "cannot be written" in told["message"], told
    assert list(project_of(opened)["color"]["references"]) == ["0"]

    kill = lambda: os.kill(opened.studio.model.pid, signal.SIGKILL)  # noqa: E731
    told = end_of(opened, "/api/colorize", at_first_frame=kill)
    assert told["type"] == "failed" and "starts anew" in told["message"], told
    color = project_of(opened)["color"]["result"]
    assert color["start"] == 0 and 0 < color["end"] <= FRAMES
    assert opened.get("/api/color/frames/0").status_code == 200
    assert end_of(opened, "/api/colorize")["type"] == "done"
    color = project_of(opened)["color"]["result"]
    assert (color["end"], color["complete"]) == (FRAMES, True)


def test_half_a_line_that_a_full_disk_left_takes_no_other_with_it(tmp_path):
    ab, sure = np.zeros((2, 3, 4), np.float32), np.ones((3, 4), np.float32)
    writer = ColorWriter(tmp_path)
    writer.put(ColoredRow(0, 0.0, 1.0, "k"), ab, sure)
    writer.close()
    table = next(tmp_path.rglob("frames.jsonl"))
    with table.open("ab") as file:
        file.write(b'{"index": 1, "pts')
    writer = ColorWriter(tmp_path)
    writer.put(ColoredRow(2, 0.2, 1.0, "k"), ab, sure)
    writer.close()
    assert sorted(Colors(tmp_path).rows) == [0, 2]
