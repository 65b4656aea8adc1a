"""Who may talk to the studio, and what becomes of input that means harm."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import os
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect
from studio_client import BASE, PORT, TOKEN, do, png_of, project_of, studio_client

from chromatrack.errors import InputError
from chromatrack.studio.actions import read_png
from chromatrack.studio.security import MOST_BODY, MOST_UPLOAD, Gate
from chromatrack.video.writer import VideoWriter


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    video = home / "clip.mp4"
    with VideoWriter(video, fps=10) as writer:
        for shade in range(4):
            writer.write(np.full((48, 64, 3), 40 * shade, dtype=np.uint8))
    with studio_client(home / "studio") as made:
        assert made.post("/api/open", json={"path": str(video)}).status_code == 200
        do(made, type="add", kind="object")
        yield made


@pytest.fixture
def stranger(client):
    """One without the cookie."""
    return TestClient(client.app, base_url=BASE, follow_redirects=False)


def test_nothing_is_told_without_the_token(stranger):
    for path in ("/", "/app.js", "/api/state", "/api/frames/0", "/api/openapi.json"):
        assert stranger.get(path).status_code == 401
    assert stranger.get("/", params={"token": "wrong"}).status_code == 401
    assert stranger.get("/", params={"token": "é"}).status_code == 401
    assert stranger.post("/api/actions", json={}).status_code == 401
    with pytest.raises(WebSocketDisconnect):
        stranger.websocket_connect(f"ws://127.0.0.1:{PORT}/api/events").__enter__()


@pytest.mark.parametrize("query", [{"token": "of before"}, {}])
def test_who_opens_an_old_address_is_told_in_a_page(stranger, query):
    answer = stranger.get("/", params=query, headers={"accept": "text/html,*/*;q=0.8"})
    assert answer.status_code == 401
    assert answer.headers["content-type"].startswith("text/html")
    assert "script" not in answer.text and "printed" in answer.text
    assert "error" in stranger.get("/", params=query).json()


def test_the_token_gives_a_cookie_that_scripts_cannot_read(stranger):
    answer = stranger.get("/", params={"token": TOKEN})
    assert answer.status_code == 303 and answer.headers["location"] == "/"
    assert {"HttpOnly", "SameSite=Strict"} <= set(answer.headers["set-cookie"].split("; "))
    assert stranger.get("/api/state").status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8760", "127.0.0.1:1", "", "[::1]"])
def test_another_host_is_refused(client, host):
    assert client.get("/api/state", headers={"host": host}).status_code == 403


@pytest.mark.parametrize("origin", ["http://evil.example", "null", f"https://127.0.0.1:{PORT}", ""])
def test_another_origin_is_refused(client, origin):
    assert client.get("/api/state", headers={"origin": origin}).status_code == 403
    address = f"ws://127.0.0.1:{PORT}/api/events"
    with pytest.raises(WebSocketDisconnect):
        client.websocket_connect(address, headers={"origin": origin}).__enter__()


def test_both_names_of_this_machine_will_do(client):
    name = f"localhost:{PORT}"
    headers = {"host": name, "origin": f"http://{name}"}
    assert client.get("/api/state", headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("path", "size"), [("/api/upload", MOST_UPLOAD), ("/api/actions", MOST_BODY)]
)
def test_what_is_too_large_is_refused_unread(client, path, size):
    headers = {"content-length": str(size + 1), "content-type": "application/json"}
    answer = client.post(path, headers=headers, content=b"")
    assert answer.status_code == 413 and "MB" in answer.json()["error"]


def test_what_turns_out_too_large_is_refused_too(client):
    part = bytes(1 << 20)
    answer = client.post("/api/actions", content=(part for _ in range((MOST_BODY >> 20) + 2)))
    assert 400 <= answer.status_code < 500


def test_what_is_cut_short_by_the_end_of_the_studio_is_answered_in_one_line():
    async def waits(scope, receive, send):
        await asyncio.sleep(3600)

    async def ask():
        sent = []
        headers = {b"host": f"127.0.0.1:{PORT}", b"cookie": f"chromatrack-{PORT}={TOKEN}"}
        scope = {"type": "http", "path": "/api/select", "query_string": b""}
        scope["headers"] = [(name, value.encode()) for name, value in headers.items()]

        async def send(message):
            sent.append(message)

        gate = Gate(waits, token=TOKEN, port=PORT)
        task = asyncio.ensure_future(gate(scope, lambda: None, send))
        await asyncio.sleep(0.01)
        task.cancel()
        await task
        return sent

    start, body = asyncio.run(ask())
    assert start["status"] == 503 and b"is being closed" in body["body"]


@pytest.mark.parametrize(
    "path",
    [
        "/api/exports/../../../etc/passwd",
        "/api/exports/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "/..%2f..%2fapp.py",
        "/static/../app.py",
        "/api/frames/..%2f0",
        "/api/masks/%00",
    ],
)
def test_paths_lead_nowhere_else(client, path):
    assert client.get(path).status_code in (401, 404, 422)


def test_paths_to_open_are_told_in_one_line(client, tmp_path):
    text = tmp_path / "text.mp4"
    text.write_text("no video")
    for path in ("/nowhere", str(text), "a\0b", "~nobody/x", "x" * 4000):
        answer = client.post("/api/open", json={"path": path})
        assert answer.status_code == 422 and "\n" not in answer.json()["error"], path
    assert project_of(client)["name"] == "clip"  # what was open still is
    assert client.get("/api/frames/2").status_code == 200


def test_what_is_no_file_is_not_waited_for(client, tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    for path in (str(tmp_path / "pipe.mp4"), "/dev/zero"):
        answer = client.post("/api/open", json={"path": path})
        assert answer.status_code == 422
        assert answer.json()["error"].endswith("project, found what is no file; check the path")
        answer = client.post("/api/batch", json={"videos": [path]})
        assert answer.status_code == 422 and "\n" not in answer.json()["error"]
    assert project_of(client)["name"] == "clip"


def bomb(width, height):
    """A PNG that says it has so many pixels."""

    def chunk(kind, content):
        check = zlib.crc32(kind + content).to_bytes(4)
        return len(content).to_bytes(4) + kind + content + check

    head = width.to_bytes(4) + height.to_bytes(4) + bytes([8, 0, 0, 0, 0])
    pixels = zlib.compress(bytes(1 << 20), 9)
    content = chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + content).decode()


@pytest.mark.parametrize(
    "png",
    [
        bomb(60_000, 60_000),
        bomb(2**31 - 1, 2**31 - 1),
        "",
        "not base64!",
        base64.b64encode(b"GIF89a").decode(),
        png_of(np.ones((48, 63))),
        png_of(np.ones((48, 64)))[:60],
    ],
)
def test_masks_that_are_none_are_refused(client, png):
    answer = client.post("/api/actions", json={"type": "mask", "id": 1, "frame": 0, "png": png})
    assert answer.status_code == 422 and answer.json()["error"].startswith("png")


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "I;16"])
def test_masks_may_be_png_of_any_kind(mode):
    inside = np.zeros((48, 64), dtype=np.uint8)
    inside[10:20, 5:30] = 1
    image = Image.fromarray(inside * 255)
    if mode == "I;16":
        image = Image.fromarray(inside.astype(np.uint16) * 60000)
    elif mode == "RGBA":
        image = Image.merge("RGBA", [Image.new("L", image.size, 255)] * 3 + [image])
    elif mode == "P":
        image = Image.fromarray(inside)
        image.putpalette([0, 0, 0, 255, 0, 0])
    else:
        image = image.convert(mode)
    out = io.BytesIO()
    image.save(out, format="PNG")
    text = base64.b64encode(out.getvalue()).decode()
    for given_ in (text, f"data:image/png;base64,{text}"):
        assert (read_png(given_, (48, 64)) == (inside > 0)).all()


@given(st.binary(max_size=300), st.integers(0, 200))
def test_no_bytes_break_the_reading_of_masks(content, place):
    good = base64.b64decode(png_of(np.eye(48, 64)))
    for damaged in (content, good[:place] + content + good[place + len(content) :]):
        try:
            found = read_png(base64.b64encode(damaged).decode(), (48, 64))
        except InputError:
            continue
        assert found.shape == (48, 64)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
NAMES = ["add", "change", "remove", "merge", "mask", "point", "box", "joint", "gone", "clear"]
FIELDS = ["kind", "name", "key", "from", "into", "id", "frame", "png", "at", "joint", "range"]


@pytest.mark.parametrize("examples", [40, pytest.param(300, marks=pytest.mark.slow)])
def test_actions_of_any_kind_are_taken_or_refused_in_one_line(client, examples):
    @settings(max_examples=examples)
    @given(
        kind=st.sampled_from([*NAMES, "settings", "nothing"]),
        fields=st.dictionaries(st.sampled_from(FIELDS), JSON),
    )
    def sends(kind, fields):
        body, headers = json.dumps({"type": kind, **fields}), {"content-type": "application/json"}
        answer = client.post("/api/actions", content=body, headers=headers)
        assert answer.status_code in (200, 409, 422), answer.text
        if answer.status_code != 200:
            assert answer.json()["error"] and "\n" not in answer.json()["error"]

    sends()
