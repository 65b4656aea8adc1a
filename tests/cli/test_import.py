"""`chromatrack import` and `--marks`: files of other tools, as a user types them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from synthetic import moving_clip, write_clip
from tracked_scenes import tracked_everything

from chromatrack.cli import main as cli
from chromatrack.formats.exchange import ExportOptions, format_named
from chromatrack.formats.masks import read_mask, write_mask
from chromatrack.model.weights import save_encoder
from chromatrack.runs.marks_json import read_run_marks

SIZE = (60, 80)


def run(*arguments: object) -> int:
    """Exit code of a command in this process."""
    try:
        return cli.main([str(argument) for argument in arguments])
    except SystemExit as stop:
        return int(stop.code or 0)


@pytest.fixture(scope="module")
def video(tmp_path_factory) -> Path:
    film = moving_clip(frames=12, size=SIZE, radius=12)
    return write_clip(tmp_path_factory.mktemp("video") / "hand.mp4", film)


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    for name in ("cvat", "coco", "labelme", "davis", "mot", "label-studio", "via"):
        chosen = format_named(name)
        path = folder / f"{name}{chosen.suffix}"
        if chosen.is_folder:
            path.mkdir()
        chosen.load_writer()(tracked_everything(), path, ExportOptions())
    return folder


CVAT = [
    "box 4 'pen & ink': frame 7: 10x8 px at x 0, y 1; frame 8: 10x8 px at x 1.5, y 1; "
    "frame 9: lost",
    "keypoints 5: frame 7: 2 of 3 joints; frame 8: 2 of 3 joints; frame 9: 0 of 3 joints, 2 lost",
    "object 1 'cow, brown': frame 7: 99 px; frame 8: 71 px; frame 9: 67 px; frame 10: lost",
    "object 2: frame 8: 100 px; frame 9: 100 px; frame 10: lost",
    "point 3 'eye <l>': frame 7: x 1.25, y 2; frame 8: lost; frame 9: x 3, y 4.5; frame 10: lost",
    "joints: hip, knee, foot",
]


def test_what_was_understood_is_said_and_nothing_written(files, video, tmp_path, capsys):
    assert run("import", files / "cvat.xml", "--video", video) == 0
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        f"{files / 'cvat.xml'}: CVAT XML",
        f"video: {video}, 80x60 px, 12 frames",
        *CVAT,
        "nothing was written; -o FOLDER keeps it",
    ]
    assert not err and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "name", ["cvat.xml", "coco.json", "labelme", "davis", "mot.csv", "via.csv"]
)
def test_what_is_kept_says_the_same_as_the_file_itself(files, video, tmp_path, capsys, name):
    out = tmp_path / "marks"
    assert run("import", files / name, "--video", video, "-o", out) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"marks: {out}"
    told = []
    for marks in (files / name, out):
        assert run("track", video, "--marks", marks, "-o", tmp_path / "o", "--dry-run") == 0
        said = capsys.readouterr().out.splitlines()
        told.append([line for line in said if not line.startswith("note:")])
    assert told[0] == told[1] and len(told[0]) >= 4
    if name == "cvat.xml":
        assert told[0][1:-1] == CVAT


def test_single_files_of_the_folder_are_those_of_the_other_options(files, video, tmp_path, capsys):
    out = tmp_path / "marks"
    assert run("import", files / "cvat.xml", "--video", video, "-o", out) == 0
    names = ["boxes.csv", "keypoints.json", "marks.json", "masks", "points.csv"]
    assert sorted(path.name for path in out.iterdir()) == names
    capsys.readouterr()
    given = [("--points", "points.csv"), ("--boxes", "boxes.csv"), ("--masks", "masks")]
    options = [part for option, name in given for part in (option, out / name)]
    command = ["track", video, *options, "--keypoints", out / "keypoints.json", "--dry-run"]
    assert run(*command, "-o", tmp_path / "o") == 0
    said = capsys.readouterr().out.splitlines()[1:-1]
    wanted = [line.replace("; frame 10: lost", "") if "object" in line else line for line in CVAT]
    assert said == [line.replace(" 'cow, brown'", "") for line in wanted]  # masks have no names


def test_without_a_video_the_file_says_the_size(files, tmp_path, capsys):
    assert run("import", files / "cvat.xml", "-o", tmp_path / "marks") == 0
    said = capsys.readouterr().out.splitlines()
    assert said[1:-2] == CVAT and said[-2].startswith("no video given")
    assert json.loads((tmp_path / "marks" / "marks.json").read_text())["size"] == [60, 80]
    bare = tmp_path / "bare.xml"
    bare.write_text("<annotations></annotations>")
    assert run("import", bare) == 2
    assert "does not say how large its pictures are; add --video" in capsys.readouterr().err


def test_a_second_import_replaces_the_first_and_nothing_of_others(files, tmp_path, capsys):
    out = tmp_path / "marks"
    assert run("import", files / "cvat.xml", "-o", out) == 0
    (out / "mine.txt").write_text("mine")
    assert run("import", files / "mot.csv", "-o", out) == 0
    assert sorted(path.name for path in out.iterdir()) == ["boxes.csv", "marks.json", "mine.txt"]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "boxes.csv").write_text("mine")
    assert run("import", files / "mot.csv", "-o", tmp_path / "other") == 2
    assert "holds boxes.csv already, and not from imported marks" in capsys.readouterr().err
    assert run("import", out, "-o", out) == 2
    assert "is what is read" in capsys.readouterr().err


def test_marks_behind_the_videos_end_are_refused(files, tmp_path, capsys):
    short = write_clip(tmp_path / "hand.mp4", moving_clip(frames=5, size=SIZE, radius=12))
    assert run("import", files / "mot.csv", "--video", short, "-o", tmp_path / "marks") == 2
    assert "frame 7" in capsys.readouterr().err and not (tmp_path / "marks").exists()


def test_several_files_and_other_options_go_together(files, video, tmp_path, capsys):
    (tmp_path / "p.csv").write_text("id,frame,x,y\n1,0,5,6\n")
    more = ["--points", tmp_path / "p.csv", "--box", "8@0:1,2,30,40", "--name", "box:8=lid"]
    given = ["--marks", files / "davis", files / "mot.csv", *more]
    assert run("track", video, *given, "-o", tmp_path / "o", "--dry-run") == 0
    said = capsys.readouterr().out
    for start in ("box 1:", "box 4:", "box 8 'lid':", "object 1:", "object 2:", "point 1: frame 0"):
        assert f"\n{start}" in said
    assert run("track", video, "--marks", files / "mot.csv", files / "via.csv", "-o", "o") == 2
    assert "boxes: id 1 is marked on frame 7 in two files; keep one" in capsys.readouterr().err


@pytest.fixture
def model(tiny_encoder, tmp_path) -> Path:
    save_encoder(tmp_path / "tiny.safetensors", tiny_encoder)
    return tmp_path / "tiny.safetensors"


def test_a_run_starts_from_other_tools_marks_and_is_corrected_by_them(
    files, video, tmp_path, model
):
    out = tmp_path / "out"
    command = ["track", video, "--marks", files / "cvat.xml", "-o", out, "--model", model]
    assert run(*command, "--size", 64, "--device", "cpu", "--no-overlay", "--start", 7) == 0
    mask = tracked_everything().mask(7)
    assert np.array_equal(read_mask(out / "masks" / "00007.png"), mask)
    marks = read_run_marks(out)
    assert marks.names["object", 1] == "cow, brown" and marks.frames() == [7, 8, 9, 10]
    moved = np.roll(mask, 9, axis=1)
    write_mask(tmp_path / "fix" / "00011.png", moved)
    assert run("correct", out, "--marks", tmp_path / "fix", "--device", "cpu") == 0
    assert np.array_equal(read_mask(out / "masks" / "00011.png"), moved)


def test_a_single_mask_for_a_correction_has_to_say_its_frame(video, tmp_path, model, capsys):
    write_mask(tmp_path / "m.png", tracked_everything().mask(7))
    command = ["track", video, "--marks", tmp_path / "m.png", "-o", tmp_path / "out"]
    given = ["--model", model, "--size", 64, "--device", "cpu", "--no-overlay"]
    assert run(*command, *given) == 0
    assert run("correct", tmp_path / "out", "--marks", tmp_path / "m.png") == 2
    assert "m.png: is a mask that says no frame; give it as --masks" in capsys.readouterr().err
