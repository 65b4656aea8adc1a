"""The benchmark of a training run's curve: what it measures, keeps and draws."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from PIL import Image
from synthetic import moving_clip, rgb_of, write_clip
from training_runs import ends_quickly

from chromatrack.formats.masks import write_mask
from chromatrack.training.config import change, default
from chromatrack.training.monitor.log import Validation, append_validation
from chromatrack.training.train import train

BENCHMARKS = str(Path(__file__).parents[2] / "benchmarks")
TINY = {"steps": 2, "batch": 1, "log_every": 1, "crop": 32, "short_side": 40, "held_out": 0}


@pytest.fixture
def curve(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import curve  # pyright: ignore[reportMissingImports]

    return curve


@pytest.fixture
def run(tmp_path, monkeypatch) -> Path:
    """A run of two steps, whose held-out clips were looked at once."""
    film = moving_clip(frames=12, size=(48, 64), velocity=(1.0, 0.5))
    clip = write_clip(tmp_path / "data" / "a.mp4", rgb_of(film))
    config = change(default(), **TINY, photo_share=0.0, spacing_seconds=0.04)
    ends_quickly(monkeypatch)
    list(train([clip.parent], output=tmp_path / "run", config=config))
    looked = {"color_error": 0.25, "color_error_still": 0.5}
    append_validation(tmp_path / "run" / "validation.jsonl", Validation(1, 1.0, looked))
    return tmp_path / "run"


@pytest.fixture
def davis(tmp_path) -> Path:
    """A disc that stands still for four frames, in DAVIS's layout."""
    for kind in ("JPEGImages", "Annotations"):
        (tmp_path / kind / "480p" / "disc").mkdir(parents=True)
    for frame in moving_clip(frames=4, size=(64, 96), velocity=(0.0, 0.0)):
        name = f"480p/disc/{frame.index:05d}"
        Image.fromarray(frame.rgb).save(tmp_path / "JPEGImages" / f"{name}.jpg", quality=95)
        write_mask(tmp_path / "Annotations" / f"{name}.png", frame.mask)
    (tmp_path / "ImageSets" / "480p").mkdir(parents=True)
    (tmp_path / "ImageSets" / "480p" / "val.txt").write_text("disc\n")
    return tmp_path


def test_a_runs_curve_has_every_checkpoint_and_look_and_is_kept(
    curve, run, davis, tmp_path, monkeypatch, capsys
):
    last = str(run / "checkpoint-00000002.pt")
    out = tmp_path / "out"
    command = ["curve.py", str(run), last, "--davis", str(davis), "--out", str(out)]
    monkeypatch.setattr(sys, "argv", [*command, "--protocol", "ours", "--frames", "3"])
    curve.main()
    table = capsys.readouterr().out
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]
    assert [row[0] for row in rows] == ["0", "1", "2"]
    assert rows[1][1:] == ["0.250", "0.500", "", "", ""]
    for row in (rows[0], rows[2]):
        assert row[1:3] == ["", ""] and float(row[3]) > 0.8, "a disc that stands still is held"
    assert (out / "curve.png").stat().st_size > 0

    def measured_again(*_):
        raise AssertionError("what is kept is not measured again")

    monkeypatch.setattr(curve, "tracked", measured_again)
    curve.main()
    assert capsys.readouterr().out == table


def test_held_out_clips_are_looked_at_again_where_the_data_is_given(
    curve, run, davis, tmp_path, monkeypatch, capsys
):
    film = moving_clip(frames=30, size=(48, 64), velocity=(1.0, 0.5))
    data = tmp_path / "more"
    for number in range(10):  # one in ten is held out
        write_clip(data / f"{number}.mp4", rgb_of(film), fps=12)
    held = (run / "config.json").read_text().replace('"held_out": 0', '"held_out": 1')
    (run / "config.json").write_text(held)
    command = ["curve.py", str(run), "--davis", str(davis), "--out", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", [*command, "--protocol", "ours", "--data", str(data)])
    curve.main()
    row = capsys.readouterr().out.splitlines()[-1].split("|")
    assert row[1].strip() == "0" and 0 < float(row[2]) < 1 and 0 < float(row[3]) < 1
    assert (tmp_path / "out" / "pictures" / "step-000000.png").stat().st_size > 0
