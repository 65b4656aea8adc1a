"""`chromatrack batch`: jobs are what their commands are alone; faults and failures are told."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest
from conftest import TINY, _tiny
from PIL import Image
from synthetic import moving_clip, write_clip, write_masks

from chromatrack.cli.main import main
from chromatrack.cli.options import Settings, kept_trackers, load_tracker
from chromatrack.model.weights import save_encoder


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """Clips with marks, a broken one, one that breaks off, and weights."""
    home = tmp_path_factory.mktemp("made")
    film = moving_clip(frames=5, size=(64, 96), radius=9, velocity=(2, 1))
    write_clip(home / "a.mp4", film)
    write_masks(home / "given", film[:1])
    Image.fromarray(film[0].rgb).save(home / "R.png")
    (home / "none.mp4").write_bytes(b"no video")
    long = moving_clip(frames=30, size=(64, 96), radius=9, velocity=(1, 0))
    content = write_clip(home / "whole.mkv", long).read_bytes()
    (home / "cut.mkv").write_bytes(content[: len(content) * 3 // 4])
    save_encoder(home / "w.safetensors", _tiny(TINY))
    (home / "jobs.csv").write_text(
        "job,video,masks,reference,command,box,start\n"
        "t,a.mp4,given,,track+events,,\n"
        "c,a.mp4,,R.png@0,colorize,,1\n"
        'b,a.mp4,,,,"1@0:30,20,20,20;2@0:5,5,12,12",\n'
        "n,none.mp4,given,,,,\n"
        "d,cut.mkv,given,,track+events,,\n"
    )
    return home


def words(made: Path, *more: object) -> list[str]:
    settings = ("--set", f"model={made / 'w.safetensors'}", "size=64")
    return [str(word) for word in ("batch", made / "jobs.csv", *settings, *more)]


def same_files(one: Path, other: Path) -> None:
    names = {p.relative_to(one).as_posix() for p in one.rglob("*") if p.is_file()}
    assert names == {p.relative_to(other).as_posix() for p in other.rglob("*") if p.is_file()}
    for name in names - {"result.json"}:
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


@pytest.mark.slow
def test_jobs_are_what_the_commands_are_alone(made, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(words(made, "-o", out, "--jobs", 2)) == 3
    said, told = capsys.readouterr()
    assert said.startswith("5 jobs: 3 done, 1 damaged, 1 failed: ") and "Traceback" not in told
    assert "n: failed: " in told and "d: damaged: " in told
    with (out / "index.csv").open() as file:
        rows = {row["job"]: row for row in csv.DictReader(file)}
    assert [row["state"] for row in rows.values()] == ["done", "done", "done", "failed", "damaged"]
    assert "cannot be opened as a video" in rows["n"]["message"]
    assert 0 < int(rows["d"]["frames"]) < 30 and (out / "jobs/d/events.csv").exists()

    model = ("--model", made / "w.safetensors", "--size", 64)
    alone = ("track", made / "a.mp4", "-o", tmp_path / "t", "--masks", made / "given", *model)
    assert main([str(word) for word in alone]) == 0
    same_files(tmp_path / "t", out / "jobs/t/track")
    assert main(["events", str(tmp_path / "t"), "-o", str(tmp_path / "events.csv")]) == 0
    assert (out / "jobs/t/events.csv").read_bytes() == (tmp_path / "events.csv").read_bytes()
    picture = f"{made / 'R.png'}@0"
    alone = ("colorize", made / "a.mp4", "-o", tmp_path / "c.mp4", "--reference", picture, *model)
    assert main([*map(str, alone), "--start", "1"]) == 0
    assert (out / "jobs/c/colorized.mp4").read_bytes() == (tmp_path / "c.mp4").read_bytes()
    assert (out / "jobs/b/track/boxes.csv").read_text().count("\n") == 1 + 2 * 5
    result = json.loads((out / "jobs/t/track/result.json").read_text())
    record = json.loads((out / "jobs/t/job.json").read_text())
    assert record["look_at"] == len(result["look_at"]) and record["frames"] == 5
    means = [row["reliability"]["1"] for row in result["frames"]]
    assert record["reliability"] == pytest.approx(sum(means) / 5, abs=1e-5)

    page = (out / "report.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 4 and "cannot be opened as a video" in page
    capsys.readouterr()
    assert main(words(made, "-o", out)) == 3
    assert "(5 before)" in capsys.readouterr().out


def test_a_dry_run_tells_every_fault_and_writes_nothing(made, tmp_path, capsys):
    shutil.copytree(made, tmp_path / "in")
    with (tmp_path / "in/jobs.csv").open("a") as file:
        file.write("x,a.mp4,gone.png,,,,\ny,a.mp4,,R.png,trak,,\nz,a.mp4,given,,,,99\n")
    assert main(words(tmp_path / "in", "-o", tmp_path / "out", "--dry-run")) == 2
    *faults, last = capsys.readouterr().out.splitlines()
    assert last == "dry run: 7 jobs, 4 faults; nothing done"
    places = [line.partition(": ")[0] for line in faults]
    assert places == [f"jobs.csv line {n}" for n in (8, 5, 7, 9)]
    assert "did you mean track?" in faults[0] and "gone.png: is not there" in faults[2]
    assert not (tmp_path / "out").exists()
    assert main(words(tmp_path / "in", "-o", tmp_path / "out")) == 2
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 2 and "1 fault, so nothing was begun" in told[1]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--shard", "3/2"), "shard: expected I/N with I from 1 to N, such as 3/10, got '3/2'"),
        (("--jobs", 0), "jobs: expected at least 1, got 0"),
        (("--set", "size"), "set 'size': expected COLUMN=VALUE such as size=240"),
        (("--set", "sizes=3"), "set sizes: no such column (did you mean size?)"),
        (("--set", "size=big"), "size: expected a whole number, got 'big'"),
    ],
)
def test_what_cannot_be_meant_is_one_line(more, said, made, tmp_path, capsys):
    assert main(words(made, "-o", tmp_path / "out", *more)) == 2
    assert capsys.readouterr().err == f"chromatrack: {said}\n"


def test_a_tracker_is_kept_for_who_asks_for_the_same(made):
    settings = Settings(model=str(made / "w.safetensors"), size=64)
    with kept_trackers():
        first = load_tracker(settings)
        assert load_tracker(settings) is first
        assert load_tracker(Settings(model=str(made / "w.safetensors"), size=72)) is not first
    assert load_tracker(settings) is not load_tracker(settings)


def test_runs_are_exported_in_a_chain(made, tmp_path, capsys):
    path = made / "export.csv"
    path.write_text("video,masks,command,to\na.mp4,given,track+export,tidy-csv\n")
    settings = (f"model={made / 'w.safetensors'}", "size=64", "only=tracks;masks")
    words = ["batch", str(path), "-o", str(tmp_path / "out"), "--jobs", "1", "--set", *settings]
    assert main(words) == 0, capsys.readouterr().err
    run, alone = tmp_path / "out/jobs/a/track", tmp_path / "alone.csv"
    assert main(["export", str(run), "--to", "tidy-csv", "-o", str(alone)]) == 0
    assert (tmp_path / "out/jobs/a/export.csv").read_bytes() == alone.read_bytes()
    path.write_text("video,masks,command,to\na.mp4,given,track+export,tidy\n")
    assert main(words) == 2
    assert "format: expected such as tidy-csv" in capsys.readouterr().err
