"""`track --dry-run`, and runs of marks that name their pictures, as a user types them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from synthetic import moving_clip, write_clip

from chromatrack.cli import main as cli
from chromatrack.formats.masks import write_mask
from chromatrack.model.weights import save_encoder

SIZE = (64, 96)
CLIP = moving_clip(frames=6, size=SIZE, radius=12)


def run(*arguments: object) -> int:
    """Exit code of a command in this process."""
    try:
        return cli.main([str(argument) for argument in arguments])
    except SystemExit as stop:
        return int(stop.code or 0)


@pytest.fixture(scope="module")
def video(tmp_path_factory) -> Path:
    return write_clip(tmp_path_factory.mktemp("video") / "clip.mp4", CLIP)


def pictures(folder: Path, numbers: range) -> Path:
    folder.mkdir()
    for frame, number in zip(CLIP, numbers, strict=False):
        Image.fromarray(frame.rgb).save(folder / f"{number:05d}.png")
    return folder


def labelme(path: Path, *, picture: str, size: tuple[int, int] = SIZE, label: str = "toy") -> Path:
    factor = size[0] / SIZE[0]
    points = [[x * factor, y * factor] for x, y in [(10, 10), (30, 10), (30, 30), (10, 30)]]
    shapes = [{"label": label, "points": points}, {"label": "__ignore__", "points": points}]
    sizes = {"imageHeight": size[0], "imageWidth": size[1]}
    path.write_text(json.dumps({"shapes": shapes, "imagePath": picture, **sizes}))
    return path


def test_a_dry_run_says_what_was_understood_and_writes_nothing(tmp_path, capsys, video):
    folder = pictures(tmp_path / "from100", range(100, 106))
    outlined = labelme(tmp_path / "p.json", picture="00102.png", size=(128, 192))
    (tmp_path / "m.csv").write_text("id,frame,x,y\n4,0,30,31.5\n4,5,,\n")
    (tmp_path / "b.csv").write_text("id,frame,x,y,width,height\n6,1,20,15,25,26\n")
    before = sorted(tmp_path.rglob("*"))
    marks = ("--polygons", outlined, "--points", tmp_path / "m.csv", "--boxes", tmp_path / "b.csv")
    assert run("track", folder, *marks, "-o", tmp_path / "out", "--dry-run") == 0
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        f"video: {folder}, 96x64 px, 6 frames",
        "box 6: frame 1 (00101.png): 25x26 px at x 20, y 15",
        "object 1 'toy': frame 2 (00102.png): 400 px",
        "point 4: frame 0 (00100.png): x 30, y 31.5; frame 5 (00105.png): lost",
        f"note: '{outlined}': passed over 1 shape labelled __ignore__",
        f"note: '{outlined}': marked on 192x128 pixels, scaled to the video's 96x64",
        "dry run: nothing was tracked or written",
    ]
    assert err == "" and sorted(tmp_path.rglob("*")) == before


def test_a_dry_run_refuses_what_a_run_refuses(tmp_path, capsys, video):
    (tmp_path / "m.csv").write_text("id,frame,x,y\n4,40,30,31.5\n")
    given = ("track", video, "--points", tmp_path / "m.csv", "-o", tmp_path / "out", "--dry-run")
    assert run(*given) == 2
    assert "frame 40" in capsys.readouterr().err
    assert run(*given, "--numbers", "names") == 2
    assert "have no names" in capsys.readouterr().err


def test_marks_of_a_skeleton_are_listed_with_their_joints(tmp_path, capsys, video):
    joints = {"a": [10, 10], "b": None}
    marks = [{"id": 1, "frame": n, "joints": joints} for n in range(6)]
    data = {"skeleton": {"names": ["a", "b", "c"]}, "marks": marks}
    (tmp_path / "k.json").write_text(json.dumps(data))
    assert run("track", video, "--keypoints", tmp_path / "k.json", "-o", "x", "--dry-run") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("keypoints 1: frame 0: 1 of 3 joints, 1 lost; frame 1: ")
    assert lines[2] == "joints: a, b, c"


def test_a_run_of_marks_by_name_is_that_by_index(tmp_path, capsys, tiny_encoder):
    folder = pictures(tmp_path / "from1", range(1, 7))
    model = tmp_path / "tiny.safetensors"
    save_encoder(model, tiny_encoder)
    write_mask(tmp_path / "by_name" / "00002.png", CLIP[1].mask)
    write_mask(tmp_path / "by_index" / "1.png", CLIP[1].mask)
    options = ("--model", model, "--size", "64")
    named = ("track", folder, "--masks", tmp_path / "by_name", "-o", tmp_path / "a", *options)
    numbered = ("track", folder, "--masks", tmp_path / "by_index", "-o", tmp_path / "b", *options)
    assert run(*named) == 0
    err = capsys.readouterr().err
    assert "warning: " in err and "00002.png is taken for the picture of that name, frame 1" in err
    assert run(*numbered) == 2
    assert "00001.png, frame 0, or frame 1, 00002.png" in capsys.readouterr().err
    assert run(*numbered, "--numbers", "index") == 0
    for written in sorted((tmp_path / "a" / "masks").iterdir()):
        there = np.asarray(Image.open(tmp_path / "b" / "masks" / written.name))
        np.testing.assert_array_equal(np.asarray(Image.open(written)), there)


def test_a_dry_correction_says_the_same_and_changes_nothing(tmp_path, capsys, tiny_encoder):
    folder = pictures(tmp_path / "from1", range(1, 7))
    model, out = tmp_path / "tiny.safetensors", tmp_path / "out"
    save_encoder(model, tiny_encoder)
    write_mask(tmp_path / "first.png", CLIP[0].mask)
    first = ("--masks", tmp_path / "first.png", "--model", model, "--size", "64")
    assert run("track", folder, *first, "-o", out) == 0
    outlined = labelme(tmp_path / "p.json", picture="00003.png", label="1")
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    capsys.readouterr()
    assert run("track", folder, "--polygons", outlined, "-o", out, "--dry-run") == 0
    told = capsys.readouterr().out.splitlines()
    assert run("correct", out, "--polygons", outlined, "--dry-run") == 0
    again, err = capsys.readouterr()
    plan = again.splitlines().pop(-2)
    assert [line for line in again.splitlines() if line != plan] == told
    assert plan.startswith("5 of 6 frames to do again, in 8 steps; about ")
    assert err == ""
    assert run("correct", out, "--lost", "1@3", "--dry-run") == 0
    assert "object 1: frame 3 (00004.png): lost" in capsys.readouterr().out
    assert run("correct", out, "--point", "1@9:4,4", "--dry-run") == 2
    assert "expected a frame of the run, 0 to 5" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("kind", ["mp4", "mkv", "pictures"])
def test_a_run_of_a_part_of_a_clip_takes_its_own_cvat_export(tmp_path, capsys, tiny_encoder, kind):
    save_encoder(model := tmp_path / "tiny.safetensors", tiny_encoder)
    if kind == "pictures":
        clip = pictures(tmp_path / "from1", range(1, 7))
    else:
        clip = write_clip(tmp_path / f"clip.{kind}", CLIP)
    out, xml, part = tmp_path / "out", tmp_path / "c.xml", ("--start", "1", "--end", "4")
    given = ("--point", "4@1:30,30", *part, "--model", model, "--size", "64")
    assert run("track", clip, *given, "-o", out) == 0
    assert run("export", out, "--to", "cvat", "-o", xml) == 0
    assert 'frame="4"' in xml.read_text()
    capsys.readouterr()
    for command in (("correct", out), ("track", clip, *part, "-o", tmp_path / "new")):
        assert run(*command, "--marks", xml, "--dry-run") == 0
        told, err = capsys.readouterr()
        assert "frame 3" in told and "frame 4" not in told and "lost" not in told and err == ""
    assert run("track", clip, "--start", "1", "--marks", xml, "-o", out, "--dry-run") == 0
    assert "lost" in capsys.readouterr().out  # more is tracked: there it ends


@pytest.mark.parametrize(
    ("given", "numbers", "expected"),
    [
        (("--box", "1@105:10,10,20,20"), "names", "box 1: frame 2 (00105.png): 20x20 px"),
        (("--point", "1@2:10,10"), "index", "point 1: frame 2 (00105.png): x 10"),
        (("--point", "1@2:10,10"), "auto", "point 1: frame 2 (00105.png): x 10"),
        (("--point", "1@0s:10,10"), "names", "point 1: frame 0 (00095.png): x 10"),
        (("--polygon", "1@100:9,9,30,9,9,30"), "names", "object 1: frame 1 (00100.png): "),
        (("--masks", "m.png@100", "--lost", "1@110"), "names",
         "object 1: frame 1 (00100.png): 441 px; frame 3 (00110.png): lost"),
        (("--box", "1@105:10,10,20,20"), "auto", "00105.png is frame 2, or use --numbers names"),
        (("--masks", "m.png@105"), "auto", "00105.png is frame 2, or use --numbers names"),
        (("--box", "1@106:10,10,20,20"), "names", "got 106"),
    ],
)  # fmt: skip
def test_numbers_of_typed_marks_are_read_as_those_of_files(
    tmp_path, capsys, monkeypatch, given, numbers, expected
):
    folder = pictures(tmp_path / "every5th", range(95, 125, 5))
    monkeypatch.chdir(tmp_path)
    write_mask(tmp_path / "m.png", CLIP[0].mask)
    area = int((CLIP[0].mask > 0).sum())
    run("track", folder, *given, "-o", "out", "--numbers", numbers, "--dry-run")
    assert expected.replace("441", str(area)) in "".join(capsys.readouterr())
