"""How far frames can be trusted: noted on disk, written as before."""

import json
import tracemalloc

import pytest

from chromatrack.runs.color_log import ColorLog


def test_what_is_written_is_what_was_noted(tmp_path):
    with ColorLog() as log:
        for index, value in enumerate([0.9, 0.1, 0.2, 0.987654321, 0.9]):
            log.add(index, index / 24, value)
        assert [r[0] for r in log.rows()] == list(range(5)) and log.count == 5
        log.add(5, float("nan"), 0.5)
        path = log.write(tmp_path / "out.mp4", model="small")
    content = json.loads(path.read_text())
    assert path.name == "out.mp4.reliability.json"
    assert list(content) == ["chromatrack_version", "command", "model", "look_at", "frames"]
    assert content["look_at"] == [{"first": 1, "last": 2, "reliability": 0.1}]
    assert content["frames"][3] == {"index": 3, "pts_seconds": 0.125, "reliability": 0.98765}
    assert len(content["frames"]) == 6 and content["frames"][5]["pts_seconds"] is None


def test_no_frame_is_an_empty_list(tmp_path):
    with ColorLog() as log:
        content = json.loads(log.write(tmp_path / "out.mp4", model="small").read_text())
    assert content["frames"] == content["look_at"] == []


def test_memory_does_not_grow_with_the_frames(tmp_path):
    with ColorLog() as log:
        for index in range(1000):
            log.add(index, index / 24, 0.9)
        log.write(tmp_path / "few.mp4", model="small")
        tracemalloc.start()
        for index in range(1000, 20_000):
            log.add(index, index / 24, 0.9)
        assert log.to_look_at() == []
        log.write(tmp_path / "many.mp4", model="small")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    # A tuple a frame took 150 bytes each, and the text as much again: 5.7 MB. What threads of
    # other tests allocate meanwhile counts, too.
    assert peak < 1_000_000


def test_what_is_closed_takes_no_more():
    with ColorLog() as log:
        log.add(0, 0.0, 0.5)
    with pytest.raises(ValueError, match="closed"):
        log.add(1, 0.0, 0.5)
