"""`track --export`: formats beside a run, checked before it begins, renewed with it."""

from __future__ import annotations

import csv
import json
import shutil
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from synthetic import moving_clip, write_clip, write_masks

from chromatrack.cli import main as cli
from chromatrack.formats.masks import read_mask
from chromatrack.model.weights import save_encoder
from chromatrack.runs.kept_exports import formats_named
from chromatrack.runs.reader import read_result

SIZE = (64, 96)
FILM = moving_clip(frames=4, size=SIZE, radius=13)


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    home = tmp_path_factory.mktemp("film")
    write_masks(home / "given", FILM[:1])
    (home / "points.csv").write_text("id,frame,x,y\n5,0,20,20\n")
    return write_clip(home / "clip.mp4", FILM)


@pytest.fixture
def track(clip, tiny_encoder):
    model = clip.parent / "tiny.safetensors"
    save_encoder(model, tiny_encoder)

    def run(*more: object, marks: str = "--masks", output: Path) -> int:
        given = {"--masks": "given", "--points": "points.csv"}[marks]
        command = ["track", clip, marks, clip.parent / given, "-o", output, "--model", model]
        command += ["--size", 64, "--device", "cpu", "--no-overlay", *more]
        return call(*command)

    return run


def call(*arguments: object) -> int:
    try:
        return cli.main([str(argument) for argument in arguments])
    except SystemExit as stop:
        return int(stop.code or 0)


def exports(run: Path) -> list[str]:
    home = run / "exports"
    return sorted(path.relative_to(home).as_posix() for path in home.rglob("*") if path.is_file())


DAVIS = [f"davis/Annotations/clip/{i:05d}.png" for i in range(4)]


def test_formats_are_written_beside_the_run_and_told(track, tmp_path, capsys):
    out = tmp_path / "out"
    assert track("--export", "coco,davis", "mots", "--export", "coco", output=out) == 0
    assert exports(out) == ["coco.json", *DAVIS, "exports.json", "mots.txt"]
    said = capsys.readouterr().out.splitlines()
    assert said[-3:] == [
        f"export: {out / 'exports' / n}" for n in ("coco.json", "davis", "mots.txt")
    ]
    for i, name in enumerate(DAVIS):
        assert np.array_equal(read_mask(out / "exports" / name), read_result(out).mask(i))


def test_the_next_run_removes_what_it_does_not_write_and_nothing_else(track, tmp_path):
    out = tmp_path / "out"
    assert track("--export", "coco", "davis", output=out) == 0
    (out / "exports" / "davis" / "mine.txt").write_text("mine")
    assert track("--export", "mot", "--end", 2, output=out) == 0
    assert exports(out) == ["davis/mine.txt", "exports.json", "mot.csv"]
    assert (out / "exports" / "mot.csv").read_text().startswith("1,1,36,20,26,26,")
    assert track(output=out) == 0
    assert exports(out) == ["davis/mine.txt"]
    (out / "exports" / "davis" / "mine.txt").unlink()
    (out / "exports" / "davis").rmdir()
    assert track("--export", "mot", output=out) == 0
    assert track(output=out) == 0 and not (out / "exports").exists()


def test_a_correction_writes_them_again(track, clip, tmp_path, capsys):
    out = tmp_path / "out"
    assert track("--export", "mot", output=out) == 0
    before = (out / "exports" / "mot.csv").read_text()
    assert call("correct", out, "--polygon", "9@2:2,2,30,2,30,30,2,30", "--device", "cpu") == 0
    assert f"export: {out / 'exports' / 'mot.csv'}" in capsys.readouterr().out
    after = list(csv.reader((out / "exports" / "mot.csv").open()))
    assert "9" not in {row[1] for row in csv.reader(before.splitlines())}
    assert ["3", "9", "3", "3", "28", "28"] in [row[:6] for row in after]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--export", "coko"], "such as coco"),
        (["--export", "mot", "--only", "tracks"], "made of the run's masks, which are left out"),
        (["--export", "tidy-csv", "--only", "tracks"], "masks, which are left out"),
    ],
)
def test_what_could_not_be_written_is_refused_before_tracking(track, tmp_path, capsys, more, said):
    assert track(*more, output=tmp_path / "out") == 2
    assert said in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_a_format_without_a_place_for_what_is_marked_is_refused(track, tmp_path, capsys):
    assert track("--export", "davis", marks="--points", output=tmp_path / "out") == 2
    said = "export davis: carries masks, but marked are points alone; choose another format"
    assert said in capsys.readouterr().err


def test_exports_of_others_are_not_overwritten(track, tmp_path, capsys):
    out = tmp_path / "out"
    (out / "exports").mkdir(parents=True)
    (out / "exports" / "mot.csv").write_text("mine")
    assert track("--export", "mot", output=out) == 2
    assert "holds exports already" in capsys.readouterr().err
    assert (out / "exports" / "mot.csv").read_text() == "mine"


def test_a_list_that_names_files_elsewhere_is_not_followed(track, tmp_path):
    out = tmp_path / "out"
    assert track("--export", "mot", output=out) == 0
    (tmp_path / "precious.txt").write_text("mine")
    listed = {"mot": ["mot.csv", "../../precious.txt", str(tmp_path / "precious.txt")]}
    (out / "exports" / "exports.json").write_text(json.dumps(listed))
    assert track(output=out) == 0
    assert (tmp_path / "precious.txt").exists() and not (out / "exports").exists()


def test_marks_are_not_read_from_where_exports_go(track, clip, tmp_path, capsys):
    out = tmp_path / "out"
    assert track("--export", "davis", output=out) == 0
    given = out / "exports" / "davis" / "Annotations" / "clip"
    assert call("track", clip, "--masks", given, "-o", out) == 2
    assert "would be overwritten" in capsys.readouterr().err
    shutil.rmtree(out)


def test_names_are_each_kept_once():
    assert formats_named(["coco, mot", "coco", " davis,"]) == ("coco", "mot", "davis")


def test_a_run_that_goes_on_writes_them_when_it_is_done(track, tmp_path, monkeypatch):
    @contextmanager
    def stopping():
        def report(what, count, total):
            if count == 2:
                raise KeyboardInterrupt("stopped here")

        yield report

    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr("chromatrack.cli.progress.frame_bar", stopping)
        assert track("--export", "davis", output=out) == 130
    assert not (out / "exports").exists()
    assert json.loads((out / "result.json").read_text())["complete"] is False
    assert track("--export", "davis", "--resume", output=out) == 0
    assert exports(out) == [*DAVIS, "exports.json"]
