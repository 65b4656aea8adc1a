"""`chromatrack colorize` as archivists type it: shots, suggestions, fields, what is wrong."""

from __future__ import annotations

import json

import numpy as np
import pytest
from conftest import TINY, _tiny
from PIL import Image
from synthetic import moving_clip, rgb_of, write_clip
from video_clips import pictures, woven
from video_clips import write_clip as write_plain

from chromatrack.cli.main import main
from chromatrack.model.weights import save_encoder
from chromatrack.video.reader import probe, read_frames


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A film of two shots, a coloured frame of the first, and weights."""
    home = tmp_path_factory.mktemp("made")
    frames = []
    for seed in (0, 1):
        frames += rgb_of(moving_clip(frames=5, size=(64, 96), seed=seed))
    write_clip(home / "film.mp4", frames)
    Image.fromarray(frames[1]).save(home / "R.png")
    save_encoder(home / "w.safetensors", _tiny(TINY))
    return home


def colorize(made, *rest, video="film.mp4"):
    model = ("--model", made / "w.safetensors", "--size", 64)
    return main(list(map(str, ("colorize", made / video, *model, *rest))))


def test_a_film_is_coloured_and_shots_without_reference_are_named(made, tmp_path, capsys):
    out = tmp_path / "c.mp4"
    assert colorize(made, "--reference", f"{made / 'R.png'}@1", "-o", out) == 0
    told = capsys.readouterr()
    assert "shot 2 of 2 has no reference of its own" in told.err and "10 frames" in told.out
    one = ("--reference", f"{made / 'R.png'}@1", "-o", out, "--shots", "one")
    assert colorize(made, *one, "--end", 6, "--resume") == 0
    assert "no reference of" not in capsys.readouterr().err
    assert len(list(read_frames(out))) == 6
    assert {path.name for path in tmp_path.iterdir()} == {"c.mp4", "c.mp4.reliability.json"}


def test_what_is_suggested_can_be_coloured_and_given_back(made, tmp_path, capsys):
    folder, out = tmp_path / "colour", tmp_path / "c.mkv"
    assert colorize(made, "--suggest", 2, "-o", folder) == 0
    told = capsys.readouterr().out
    assert "together" in told and f"--reference {folder}" in told
    assert colorize(made, "--reference", folder, "-o", out) == 2
    assert "that are grey" in capsys.readouterr().err
    for path in folder.iterdir():
        grey = np.array(Image.open(path))
        Image.fromarray((grey * [1.0, 0.8, 0.5]).astype(np.uint8)).save(path)
    assert colorize(made, "--reference", folder, "-o", out) == 0
    shown = next(read_frames(out)).rgb.astype(float).mean((0, 1))
    assert shown[0] > shown[2] + 10


def test_strokes_alone_colour_a_film(made, tmp_path):
    points = [{"frame": 1, "x": 40, "y": 30, "color": "#c04020", "radius": 12}]
    (tmp_path / "s.json").write_text(json.dumps(points), encoding="utf-8")
    out = tmp_path / "c.mkv"
    assert colorize(made, "--strokes", tmp_path / "s.json", "-o", out, "--shots", "one") == 0
    shown = list(read_frames(out))[1].rgb.astype(float)[20:40, 30:50].mean((0, 1))
    assert shown[0] > shown[2] + 20


@pytest.mark.parametrize(
    ("rest", "said"),
    [
        (("-o", "c.mp4"), "reference: expected at least one coloured picture, got none"),
        (("--reference", "R.png", "--suggest", 2, "-o", "f"), "leave --reference out"),
        (("--suggest", 0, "-o", "f"), "at least 1, got 0"),
        (("--strokes", "R.png", "-o", "c.mp4"), "strokes R.png: expected PICTURE@FRAME"),
        (("--reference", "R.png", "-o", "c.mp4", "--strength", 2), "strength: expected 0"),
        (("--reference", "R.png@99", "-o", "c.mp4"), "99"),
        (("--reference", "R.png", "-o", "c.mp4", "--shots", "no.csv"), "no.csv"),
        (("--reference", "R.png", "-o", "pictures", "--luma", "exact"), "which have no Y'"),
    ],
)
def test_what_is_wrong_is_one_line(made, tmp_path, monkeypatch, capsys, rest, said):
    monkeypatch.chdir(tmp_path)
    Image.open(made / "R.png").save("R.png")
    assert colorize(made, *rest) == 2
    lines = capsys.readouterr().err.splitlines()
    assert said in lines[-1] and len([x for x in lines if x.startswith("chromatrack:")]) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["R.png"]


def test_two_pictures_of_one_frame_are_refused_unless_they_are_the_same(
    made, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    picture = Image.open(made / "R.png")
    for name in ("R.png", "again.png", "in/frame_1.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        picture.save(name)
    picture.transpose(Image.Transpose.ROTATE_180).save("other.png")
    picture.transpose(Image.Transpose.ROTATE_180).save("in/1.png")
    rest, told = ("-o", "c.mkv", "--shots", "one", "--end", 2), "expected one picture for frame 1, "
    for given in (("R.png@1", "other.png@1"), ("R.png@1", "other.png@01"), ("other.png@1", "in")):
        assert colorize(made, "--reference", *given, *rest) == 2
        line = capsys.readouterr().err.splitlines()[-1]
        assert line.startswith("chromatrack: reference: ") and told in line and given[0] in line
    assert not (tmp_path / "c.mkv").exists()
    assert colorize(made, "--reference", "R.png@1", "again.png@1", "other.png@3", *rest) == 0


def test_transparency_of_a_reference_is_passed_over_and_told(made, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    picture = Image.open(made / "R.png").convert("RGBA")
    picture.save("opaque.png")
    picture.putpixel((3, 4), (9, 9, 9, 254))
    picture.save("clear.png")
    for name, warned in (("opaque.png", False), ("clear.png@1", True)):
        assert colorize(made, "--reference", name, "-o", "c.mkv", "--shots", "one", "--end", 1) == 0
        lines = [line for line in capsys.readouterr().err.splitlines() if "transparent" in line]
        start = f"warning: reference {name}: is transparent in part, which is passed over"
        assert [line.startswith(start) for line in lines] == [True] * warned


def test_transparency_of_the_pictures_to_colour_is_told_as_lost(made, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    for number in range(2):
        picture = Image.open(made / "R.png").convert("LA")
        if number == 1:
            picture.putpixel((3, 4), (9, 254))
        picture.save(tmp_path / "in" / f"{number}.png")
    for start, warned in ((0, False), (1, True)):
        given = ("--reference", made / "R.png", "-o", tmp_path / f"out{start}", "--shots", "one")
        assert colorize(made, *given, "--start", start, video=tmp_path / "in") == 0
        lines = [line for line in capsys.readouterr().err.splitlines() if "transparent" in line]
        named = f"warning: {tmp_path / 'in' / '1.png'}: is transparent in part"
        assert [line.startswith(named) for line in lines] == [True] * warned


def test_strokes_may_stand_beside_a_picture_of_their_frame(made, tmp_path):
    points = [{"frame": 1, "x": 40, "y": 30, "color": "#c04020", "radius": 12}]
    (tmp_path / "s.json").write_text(json.dumps(points), encoding="utf-8")
    both = ("--reference", f"{made / 'R.png'}@1", "--strokes", tmp_path / "s.json")
    assert colorize(made, *both, "-o", tmp_path / "c.mkv", "--shots", "one", "--end", 2) == 0


def test_interlaced_videos_are_refused_deinterlaced_or_kept(made, tmp_path, capsys):
    frames = pictures(8, size=(64, 96))
    write_plain(made / "i.mkv", woven(frames), fields="tff")
    rest = ("--reference", f"{made / 'R.png'}@0", "-o", tmp_path / "c.mkv")
    assert colorize(made, *rest, video="i.mkv") == 2
    assert "got interlaced ones (top first); --deinterlace" in capsys.readouterr().err
    assert colorize(made, *rest, "--keep-fields", video="i.mkv") == 0
    assert probe(tmp_path / "c.mkv").display.field_order == "top first"
    assert colorize(made, *rest, "--deinterlace", video="i.mkv") == 0
    assert probe(tmp_path / "c.mkv").display.field_order == "progressive"
