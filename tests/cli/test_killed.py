"""Commands that are killed, stopped or starved of disk: nothing that was there is lost."""

from __future__ import annotations

import json
import signal
import time
from importlib import import_module
from pathlib import Path

import pytest
from conftest import TINY, _tiny
from PIL import Image
from processes import command, until
from synthetic import moving_clip, write_clip, write_masks

from chromatrack.model.weights import save_encoder
from chromatrack.runs.reader import read_result
from chromatrack.video.reader import read_frames

SIZE = (64, 96)
FRAMES = 300
SHORT = ("--end", 4)
SIGNALS = [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]


def contents(folder: Path) -> dict[str, bytes]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A long clip, a mask, a coloured picture and weights."""
    home = tmp_path_factory.mktemp("made")
    film = moving_clip(frames=FRAMES, size=SIZE, radius=9, velocity=(0.1, 0.05))
    write_clip(home / "clip.mp4", film)
    write_masks(home / "given", film[:1])
    Image.fromarray(film[0].rgb).save(home / "R.png")
    save_encoder(home / "w.safetensors", _tiny(TINY))
    return home


def track(made: Path, out: Path) -> tuple[object, ...]:
    marks = ("--masks", made / "given/00000.png", "--model", made / "w.safetensors", "--size", 64)
    return ("track", made / "clip.mp4", *marks, "-o", out)


def colorize(made: Path, out: Path) -> tuple[object, ...]:
    marks = ("--reference", f"{made / 'R.png'}@0", "--model", made / "w.safetensors", "--size", 64)
    return ("colorize", made / "clip.mp4", *marks, "-o", out)


@pytest.fixture
def out(made, tmp_path) -> Path:
    """The folder of a run of four frames."""
    assert command(*track(made, tmp_path / "out"), *SHORT).ended() == (0, [])
    return tmp_path / "out"


def test_a_second_run_that_is_killed_or_fails_leaves_the_first_one_whole(made, out):
    before = contents(out)
    process = command(*track(made, out))
    until(out.parent / ".out.chromatrack-*/out/masks/00002.png", process)
    assert contents(out) == before
    code, [line] = command(*track(made, out)).ended()
    assert code == 2 and f"out: is being written by process {process.pid} (since " in line
    process.kill()
    assert contents(out) == before
    assert [path.name for path in out.parent.glob(".*-[0-9]*")] != []
    assert command("events", out).ended()[0] == 0

    code, [line] = command(*track(made, out), "--end", 0).ended()
    assert code == 2 and contents(out) == before
    code, [line] = command(*track(made, out), *SHORT, limit=3000).ended()
    assert code == 2 and "(File too large)" in line and ".out.chromatrack" not in line
    assert contents(out) == before
    assert command(*track(made, out), *SHORT).ended() == (0, [])
    assert [path.name for path in out.parent.iterdir()] == ["out"]  # leftovers went with the next


def test_a_killed_run_goes_on_and_ends_as_if_nothing_had_happened(made, tmp_path):
    whole, out = tmp_path / "whole", tmp_path / "out"
    assert command(*track(made, whole), "--end", 60).ended() == (0, [])
    arguments = (*track(made, out), "--end", 60)
    for frame in (4, 30):
        process = command(*arguments, *(["--resume"] if frame > 4 else []))
        until(tmp_path / f".out.chromatrack-*/out/masks/{frame:05d}.png", process)
        process.kill()
        assert not out.exists()
    code, [line] = command(*arguments[:-1], 59, "--resume").ended()
    assert code == 2 and "the run that ended early had another config" in line
    assert command(*arguments, "--resume").ended() == (0, [])
    names = contents(whole).keys() - {"result.json"}  # that has times
    assert contents(out).keys() == contents(whole).keys()
    assert all((out / name).read_bytes() == (whole / name).read_bytes() for name in names)
    then, now = (json.loads((f / "result.json").read_text()) for f in (whole, out))
    assert then["frames"] == now["frames"] and then["look_at"] == now["look_at"]


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_signals_end_track_and_colorize_in_order(made, out, number, code):
    process = command(*track(made, out))
    until(out.parent / ".out.chromatrack-*/out/masks/00002.png", process)
    process.send_signal(number)
    found, lines = process.ended()
    result = json.loads((out / "result.json").read_text())
    how = "interrupted" if number == signal.SIGINT else f"stopped by {number.name}"
    count = len(result["frames"])
    assert found == code and 3 <= count < FRAMES
    assert lines[-1] == f"chromatrack: {how} after {count} frames, which are in {out}"
    assert (result["complete"], result["reason"]) == (False, how)
    with pytest.warns(UserWarning, match="ended early"):
        assert len(read_result(out).frames) == len(list(read_frames(out / "overlay.mp4"))) == count

    video = out.parent / "c.mp4"
    process = command(*colorize(made, video))
    until(out.parent / ".c.mp4.chromatrack-*/.c.*", process)
    time.sleep(0.5)
    process.send_signal(number)
    found, [line] = process.ended()
    assert found == code and line.startswith(f"chromatrack: {how} ")
    if video.exists():
        rows = json.loads((out.parent / "c.mp4.reliability.json").read_text())["frames"]
        assert len(rows) == len(list(read_frames(video))) < FRAMES
    assert {p.name for p in out.parent.iterdir()} <= {"out", "c.mp4", "c.mp4.reliability.json"}


@pytest.mark.parametrize(("number", "code"), SIGNALS)
@pytest.mark.parametrize("where", ["model.weights.load_encoder", "tracking.colorize.read_frames"])
def test_before_the_first_frame_a_command_says_that_it_was_interrupted(
    made, tmp_path, monkeypatch, where, number, code
):
    """While the model is loaded, and in the midst of the first frame, pressed twice."""
    room, _, name = f"chromatrack.{where}".rpartition(".")
    real = getattr(import_module(room), name)

    def stopped(*arguments: object, **options: object) -> object:
        signal.raise_signal(number)
        signal.raise_signal(number)
        return real(*arguments, **options)

    monkeypatch.setattr("chromatrack.tracking.tracker.load_encoder", stopped)
    if name != "load_encoder":
        monkeypatch.undo()
        monkeypatch.setattr(f"{room}.{name}", stopped)
    found, [line] = command(*colorize(made, tmp_path / "c.mp4")).ended()
    how = "interrupted" if code == 130 else f"stopped by {number.name}"
    rest = f" before the first frame was written; {tmp_path / 'c.mp4'} is as it was"
    assert found == code and line == f"chromatrack: {how}{'' if name == 'load_encoder' else rest}"
    assert list(tmp_path.iterdir()) == []


def test_a_coloured_video_and_its_file_of_reliability_belong_together(made, tmp_path):
    video = tmp_path / "c.mp4"
    assert command(*colorize(made, video), *SHORT).ended() == (0, [])
    before = contents(tmp_path)
    process = command(*colorize(made, video))
    until(tmp_path / ".c.mp4.chromatrack-*/.c.*", process)
    process.kill()
    assert contents(tmp_path).items() >= before.items()
    code, [line] = command(*colorize(made, video), "--end", 9, limit=700).ended()
    assert code == 2 and "(File too large)" in line and contents(tmp_path) == before
    assert command(*colorize(made, video), "--end", 9).ended() == (0, [])
    rows = json.loads((tmp_path / "c.mp4.reliability.json").read_text())["frames"]
    assert len(rows) == len(list(read_frames(video))) == 9
