"""The server as a process: what it prints, what a kill leaves, what it refuses to begin with."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time

import httpx
import numpy as np
import pytest
from studio_client import png_of
from synthetic import moving_clip
from video_clips import write_clip

from chromatrack.cli.main import main


class Server:
    """`chromatrack studio` in a process of its own."""

    def __init__(self, home, *arguments):
        given = ["studio", *map(str, arguments), "--no-browser", "--port", "0", "--home", str(home)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "chromatrack", *given],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.address = self.process.stdout.readline().strip()
        base = self.address.partition("/?token=")[0]
        self.client = httpx.Client(base_url=base, timeout=120, follow_redirects=True)
        assert self.client.get(self.address).status_code == 200

    def post(self, path, **body):
        answer = self.client.post(path, json=body)
        assert answer.status_code < 300, answer.text
        return answer.json()

    def project(self):
        return self.client.get("/api/state").json()["project"]

    def children(self):
        given = ["ps", "-o", "pid=", "--ppid", str(self.process.pid)]
        return [int(pid) for pid in subprocess.run(given, capture_output=True).stdout.split()]

    def end(self, number=signal.SIGKILL):
        self.client.close()
        self.process.send_signal(number)
        return self.process.wait(30), self.process.stderr.read()


@pytest.fixture
def clip(tmp_path):
    frames = moving_clip(frames=12, radius=16)
    return write_clip(tmp_path / "clip.mp4", [frame.rgb for frame in frames]), frames


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return (
        "Z"
        not in subprocess.run(
            ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True
        ).stdout
    )


@pytest.mark.slow
@pytest.mark.parametrize("while_tracking", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_killed_server_loses_nothing_that_it_answered(tmp_path, clip, while_tracking):
    video, truth = clip
    server = Server(tmp_path / "home", video)
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\?token=[\w-]{40,}", server.address)
    server.post("/api/actions", type="add", kind="object", name="disc")
    mask = png_of(truth[0].mask == 1)
    server.post("/api/actions", type="mask", id=1, frame=0, png=mask)
    if while_tracking:
        server.post("/api/track")
        while (server.project()["job"] or {"done": 99})["done"] < 2:
            time.sleep(0.02)
    workers = server.children()
    server.end()
    deadline = time.monotonic() + 60
    while any(is_alive(pid) for pid in workers):
        assert time.monotonic() < deadline, "workers outlive the server"
        time.sleep(0.05)

    again = Server(tmp_path / "home", tmp_path / "clip-chromatrack")
    project = again.project()
    assert [one["name"] for one in project["objects"]] == ["disc"]
    assert project["marks"]["0"]["objects"] == [1]
    assert project["undo"]["undo"] == "Paint disc on frame 0"
    if while_tracking:
        again.client.post("/api/track", json={})
        while again.project()["job"] is not None:
            time.sleep(0.05)
        assert again.project()["result"]["end"] == 12
        assert np.array_equal(again.project()["result"]["stale"], [])
    code, said = again.end(signal.SIGTERM)
    assert code in (0, 143) and "Traceback" not in said


def test_what_cannot_be_opened_is_told_in_one_line(tmp_path, capsys):
    assert main(["studio", str(tmp_path / "nothing.mp4"), "--no-browser"]) == 2
    assert main(["studio", "--port", "70000", "--no-browser"]) == 2
    text = tmp_path / "text.mp4"
    text.write_text("no video")
    assert main(["studio", str(text), "--no-browser", "--port", "0", "--home", str(tmp_path)]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 3 and all(line.startswith("chromatrack:") for line in said)


def test_a_port_that_is_taken_is_passed_over(tmp_path):
    from chromatrack.studio.serve import _bound

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with _bound(port) as other:
            assert other.getsockname()[0] == "127.0.0.1"
            assert other.getsockname()[1] != port
