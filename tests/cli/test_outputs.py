"""No command writes over what it reads, over another run, or over what others wrote."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import video_clips
from conftest import TINY, _tiny
from PIL import Image
from synthetic import moving_clip, write_clip, write_masks

from chromatrack.cli import main as cli
from chromatrack.model.weights import save_encoder
from chromatrack.runs.writer import track_to_folder
from chromatrack.tracking.config import TrackConfig
from chromatrack.tracking.marks import Marks
from chromatrack.tracking.tracker import Tracker
from chromatrack.video.writer import is_our_video

SIZE = (48, 64)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A clip, its frames, marks, weights and a run: what a user has."""
    home = tmp_path_factory.mktemp("made")
    film = moving_clip(frames=3, size=SIZE, objects=1, radius=9)
    write_clip(home / "clip.mp4", film)
    video_clips.write_clip(home / "other.mp4", [frame.rgb for frame in film])
    write_clip(home / "frames", film)
    write_masks(home / "given", film[:1])
    (home / "points.csv").write_text("id,frame,x,y\n1,0,20,20\n")
    Image.fromarray(film[0].rgb).save(home / "R.png")
    encoder = _tiny(TINY)
    save_encoder(home / "w.safetensors", encoder)
    config = TrackConfig(size=48)
    tracker = Tracker(encoder, device="cpu", config=config, model=str(home / "w.safetensors"))
    track_to_folder(tracker, home / "clip.mp4", Marks.of(masks=film[0].mask), output=home / "run")
    (home / "soft").symlink_to("clip.mp4")
    (home / "soft.csv").symlink_to("points.csv")
    os.link(home / "clip.mp4", home / "hard.mp4")
    os.link(home / "run/result.json", home / "hard.csv")
    (home / "ring.csv").symlink_to("ring.csv")
    (home / "full").mkdir()
    (home / "full/masks").mkdir()
    (home / "full/masks/00000.png").write_text("mine")
    (home / "notes.mp4").write_text("a text")
    return home


def run(*arguments: object) -> int:
    try:
        return cli.main([str(argument) for argument in arguments])
    except SystemExit as stop:
        return int(stop.code or 0)


def contents(folder: Path) -> dict[str, tuple[bytes, bool]]:
    paths = sorted(path for path in folder.rglob("*") if not path.is_dir())
    return {
        str(path.relative_to(folder)): (
            path.read_bytes() if path.exists() else b"",
            path.is_symlink(),
        )
        for path in paths
    }


TRACK = ("track", "clip.mp4", "--masks", "given/00000.png", "--model", "w.safetensors")
PIXELS = ("track", "frames", "--masks", "given/00000.png", "--model", "w.safetensors")
COLOR = ("colorize", "clip.mp4", "--reference", "R.png@0", "--model", "w.safetensors")
STEADY = ("stabilize", "clip.mp4", "--track", "run")
PAINT = ("paint", "clip.mp4", "--texture", "R.png", "--model", "w.safetensors")
FRAME = ("frame", "clip.mp4", "0")
READ, RUN, OTHERS = "would be overwritten", "belongs to the run in", "that chromatrack wrote"

REFUSED = [
    *((("events", "run"), name, READ) for name in ("clip.mp4", "soft", "hard.mp4")),
    *((("events", "run"), f"run/{name}", RUN) for name in ("result.json", "tracks.csv")),
    *((("events", "run"), f"run/{name}", RUN) for name in ("masks", "masks/a.csv", "boxes.csv")),
    *((("events", "run"), n, OTHERS) for n in ("other.mp4", "points.csv", "soft.csv", "hard.csv")),
    (("events", "run"), "frames", "is a folder; expected the name of a file"),
    (("events", "run"), "run", RUN),
    (("events", "run", "--per-frame", "e.csv"), "e.csv", "one name for both"),
    (("events", "run", "--per-frame", "./frames/../e.csv"), "e.csv", "one name for both"),
    (("events", "run", "--per-frame", "points.csv"), "e.csv", OTHERS),
    *((command, name, READ) for command in (COLOR, STEADY) for name in ("clip.mp4", "hard.mp4")),
    *((STEADY, name, OTHERS) for name in ("other.mp4", "notes.mp4")),
    *((command, "run/overlay.mp4", RUN) for command in (COLOR, STEADY, PAINT)),
    *((command, "run/masks", RUN) for command in (COLOR, STEADY, PAINT)),
    *((command, "run/masks/*.png", RUN) for command in (COLOR, STEADY)),
    *((command, "run", RUN) for command in (COLOR, STEADY)),
    *((STEADY, name, "is no picture that") for name in ("frames", "frames/%05d.png", "given")),
    (("stabilize", "frames", "--track", "run"), "frames", "is what is read"),
    (("stabilize", "frames", "--track", "run"), "frames/x*.png", "is what is read"),
    (("stabilize", "frames/*.png", "--track", "run"), "frames/x*.png", "is what is read"),
    (STEADY, "x.png", "cannot write .png"),
    (COLOR, "R.png", READ),
    (TRACK, "clip.mp4", "is a file; expected the name of a folder"),
    (TRACK, "R.png", "is a file; expected the name of a folder"),
    (TRACK, "full", "holds masks already"),
    (("track", "clip.mp4", "--masks", "given"), "given", "is what is read"),
    (PIXELS, "frames", "is what is read"),
    (("track", "frames/*.png", *PIXELS[2:]), "frames", "is what is read"),
    (("track", "clip.mp4", "--points", "run/result.json"), "run", READ),
    (("demo",), "full", "holds masks already"),
    (("demo",), "clip.mp4", "is a file; expected the name of a folder"),
    (("train", "frames"), "frames", "is what is read"),
    *(
        (FRAME, name, RUN)
        for name in ("run/masks/00000.png", "run/masks/new.png", "run/marks/x.png")
    ),
    *((FRAME, name, OTHERS) for name in ("R.png", "given/00000.png", "frames/00000.png")),
    (("frame", "R.png", "0"), "R.png", READ),
    (("frame", "frames", "0"), "frames/00001.png", OTHERS),
]


@pytest.mark.parametrize(("command", "output", "message"), REFUSED)
def test_what_is_there_stays(made, monkeypatch, capsys, command, output, message):
    monkeypatch.chdir(made)
    before = contents(made)
    assert run(*command, "-o", output) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert message in line
    assert contents(made) == before


def test_outputs_of_the_same_kind_are_replaced_and_new_names_are_free(made, monkeypatch, capsys):
    monkeypatch.chdir(made)
    for command, output in (
        (("events", "run", "--per-frame", "new/f.csv"), "new/e.csv"),
        (STEADY, "new/s.mp4"),
        (STEADY, "new/x_%03d.png"),
        (STEADY, "x*.png"),
        (STEADY, "new/pictures"),
        (TRACK, "new/run"),
        (COLOR, "new/c.mp4"),
        (COLOR, "new/c.mkv"),
        (FRAME, "new/f.png"),
        ((*FRAME, "--grid"), "new/f.png"),
    ):
        for _ in range(2):
            assert run(*command, "-o", output) == 0, capsys.readouterr().err
    assert is_our_video(made / "new/s.mp4") and is_our_video(made / "new/c.mkv")
    assert not [path for path in made.rglob(".*chromatrack*")]
    capsys.readouterr()
    assert run("events", "run", "-o", "new/f.csv") == 2  # the other kind of table
    assert run("stabilize", "clip.mp4", "--track", "run", "-o", "new/c.mp4") == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert "new/c.mp4: was coloured, as c.mp4.reliability.json beside it says" in line
    (made / "empty.csv").touch()
    assert run("events", "run", "-o", "empty.csv") == 0


def test_things_of_other_names_stay_in_a_run(made, monkeypatch, tmp_path):
    monkeypatch.chdir(made)
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "tracks.csv").write_text("mine")  # no points are tracked
    assert run(*TRACK, "-o", tmp_path) == 0 and run(*TRACK, "-o", tmp_path) == 0
    assert {(tmp_path / name).read_text() for name in ("notes.txt", "tracks.csv")} == {"mine"}
    assert json.loads((tmp_path / "result.json").read_text())["complete"] is True
    assert run("track", "clip.mp4", "--points", "points.csv", "-o", tmp_path) == 2
    assert (tmp_path / "tracks.csv").read_text() == "mine"


def test_devices_are_no_outputs(made, monkeypatch, capsys):
    monkeypatch.chdir(made)
    assert run("events", "run", "-o", os.devnull) == 2
    assert "is no ordinary file" in capsys.readouterr().err
