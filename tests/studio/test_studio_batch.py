"""Other videos: the manifest is one that `chromatrack batch` takes; the video copied on request."""

from __future__ import annotations

import csv
import shutil

import numpy as np
import pytest
from studio_client import do, png_of, project_of, studio_client, wait_for_job
from synthetic import moving_clip
from test_studio_colors import picture
from video_clips import write_clip

from chromatrack.batch.manifest import read_manifest
from chromatrack.cli.batch_commands import batch_commands
from chromatrack.studio import decoder


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with studio_client(tmp_path_factory.mktemp("home")) as made:
        yield made


@pytest.fixture
def opened(client, tmp_path):
    frames = [frame.rgb for frame in moving_clip(frames=4)]
    write_clip(tmp_path / "clip.mp4", frames)
    assert client.post("/api/open", json={"path": str(tmp_path / "clip.mp4")}).status_code == 200
    yield client
    wait_for_job(client)
    assert client.post("/api/close").status_code == 200


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_manifest_is_taken_by_batch(opened, tmp_path, kind):
    others = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        others.append(str(shutil.copy(tmp_path / "clip.mp4", tmp_path / name / "other; one.mp4")))
    asked = {"videos": others, "format": kind}
    assert opened.post("/api/batch", json=asked).status_code == 422  # nothing is marked
    do(opened, type="add", kind="object", name="cow")
    do(opened, type="add", kind="point")
    mask = np.zeros((96, 160), dtype=bool)
    mask[20:50, 30:70] = True
    do(opened, type="mask", id=1, frame=0, png=png_of(mask))
    do(opened, type="point", id=1, frame=1, at=[20.5, 30.25])
    do(opened, type="gone", key="object:1", frame=3)
    do(opened, type="colorStill", frame=2, png=picture(np.full((96, 160, 3), 90, np.uint8)))
    answer = opened.post("/api/batch", json=asked)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert told["command"].startswith("chromatrack batch ") and not told["notes"]
    content = opened.get(told["download"]).text
    assert told["text"] == "\n".join(content.splitlines()[:12])
    path = opened.studio.jobs.exports[told["download"].rpartition("/")[2]]
    read = read_manifest(path, batch_commands())
    assert read.faults == [] and len(read.jobs) == 4
    if kind == "csv":
        rows = list(csv.DictReader(content.splitlines()))
        assert rows[0]["point"] == "1@1:20.5,30.25" and rows[0]["lost"] == "1@3"
    do(opened, type="settings", saturation=0.6)
    content = opened.get(opened.post("/api/batch", json=asked).json()["download"]).text
    assert ("strength" in content) and "0.6" in content
    assert read_manifest(path, batch_commands()).faults == []
    do(opened, type="settings", saturation=1.4)
    assert "above 100 %" in opened.post("/api/batch", json=asked).json()["notes"][0]
    assert opened.post("/api/batch", json={"videos": ["/no/such.mp4"]}).status_code == 422
    assert opened.post("/api/batch", json={"videos": [others[0]] * 2}).status_code == 422


def test_the_video_is_copied_once_and_found_when_the_other_is_gone(opened, tmp_path):
    assert not project_of(opened)["video"]["copied"]
    assert opened.post("/api/copy-video").status_code == 202
    assert wait_for_job(opened)["video"]["copied"]
    folder = opened.studio.project.folder
    assert (folder / "clip.mp4").read_bytes() == (tmp_path / "clip.mp4").read_bytes()
    assert opened.post("/api/copy-video").status_code == 422
    assert opened.post("/api/close").status_code == 200
    (tmp_path / "clip.mp4").unlink()
    assert opened.post("/api/open", json={"path": str(folder)}).status_code == 200
    assert not project_of(opened)["video"]["missing"]
    assert opened.get("/api/frames/1").status_code == 200


def test_a_copy_that_is_stopped_or_has_no_room_leaves_nothing(tmp_path):
    import threading

    from chromatrack.studio.video_copy import copy_video

    video, target = tmp_path / "a.mp4", tmp_path / "to" / "a.mp4"
    target.parent.mkdir()
    video.write_bytes(b"x" * 5000)
    stopped = threading.Event()
    stopped.set()
    assert not copy_video(video, target, stopped=stopped, tell=lambda *_: None)
    assert list(target.parent.iterdir()) == []


def test_a_video_that_is_too_long_is_refused(tmp_path, monkeypatch):
    from chromatrack.errors import InputError

    write_clip(tmp_path / "clip.mp4", [frame.rgb for frame in moving_clip(frames=4)])
    monkeypatch.setattr(decoder, "MOST_SECONDS", 0)
    with pytest.raises(InputError, match="hours"):
        decoder.Decoder(None).open(source=str(tmp_path / "clip.mp4"), token=1)
