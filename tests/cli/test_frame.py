"""`chromatrack frame`: the picture it writes, what it says, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from synthetic import moving_clip, rgb_of, write_clip

from chromatrack.cli.main import main
from chromatrack.video.reader import read_frame

SIZE = (48, 64)


@pytest.fixture
def clip(tmp_path) -> Path:
    truth = moving_clip(frames=5, size=SIZE, objects=1, radius=9)
    return write_clip(tmp_path / "clip.mp4", rgb_of(truth))


@pytest.fixture
def pictures(tmp_path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in (100, 105, 110):
        Image.new("RGB", (64, 48), (number, 0, 0)).save(folder / f"{number}.png")
    return folder


def written(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.array(image)


@pytest.mark.parametrize(("moment", "index"), [("0", 0), ("3", 3), ("0s", 0), ("4", 4)])
def test_the_frame_is_written_as_it_is_read(clip, tmp_path, capsys, moment, index):
    target = tmp_path / "new/f.png"
    assert main(["frame", str(clip), moment, "-o", str(target)]) == 0
    np.testing.assert_array_equal(written(target), read_frame(clip, index=index).rgb)
    said = capsys.readouterr()
    assert said.out.startswith(f"frame {index} (") and said.err == ""
    assert " of 5, 64x48 px: " in said.out and str(target) in said.out


def test_a_time_is_the_frame_on_screen_then(clip, tmp_path, capsys):
    third = read_frame(clip, index=3)
    moment = f"{third.pts_seconds + 0.001:.4f}s"
    assert main(["frame", str(clip), moment, "-o", str(tmp_path / "f.png")]) == 0
    assert f"frame 3 ({third.pts_seconds:.3f} s)" in capsys.readouterr().out


def test_the_first_frame_is_shown_if_none_is_named(clip, tmp_path, capsys):
    assert main(["frame", str(clip), "-o", str(tmp_path / "f.png")]) == 0
    assert capsys.readouterr().out.startswith("frame 0 ")


def test_pictures_are_named(pictures, tmp_path, capsys):
    target = tmp_path / "f.png"
    assert main(["frame", str(pictures), "1", "-o", str(target)]) == 0
    assert capsys.readouterr().out == f"frame 1 (105.png) of 3, 64x48 px: {target}\n"
    assert (written(target) == (105, 0, 0)).all()


def test_a_grid_says_how_a_box_is_typed(clip, tmp_path, capsys):
    target = tmp_path / "f.png"
    assert main(["frame", str(clip), "2", "-o", str(target), "--grid"]) == 0
    assert "--box 1@2:X,Y,WIDTH,HEIGHT" in capsys.readouterr().out
    assert min(written(target).shape[:2]) > 48 * 2


@pytest.mark.parametrize(
    ("moment", "output", "expected"),
    [
        ("5", "f.png", "5"),
        ("100s", "f.png", "100"),
        ("two", "f.png", "frame number"),
        ("1", "f.jpg", ".png"),
        ("1", "clip.mp4", ".png"),
        ("1", "", ".png"),
    ],
)
def test_what_cannot_be_is_one_line(clip, tmp_path, capsys, moment, output, expected):
    before = clip.read_bytes()
    assert main(["frame", str(clip), moment, "-o", str(tmp_path / output)]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1 and expected in said.err
    assert clip.read_bytes() == before
    assert not (tmp_path / "f.png").exists()


@pytest.mark.parametrize("name", ["105.png", "new.png"])
def test_nothing_is_written_among_the_source_pictures(pictures, capsys, name):
    before = {path.name: path.read_bytes() for path in pictures.iterdir()}
    assert main(["frame", str(pictures), "0", "-o", str(pictures / name)]) == 2
    assert "choose another" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in pictures.iterdir()} == before


def test_a_single_picture_is_not_replaced(pictures, capsys):
    picture = pictures / "105.png"
    before = picture.read_bytes()
    assert main(["frame", str(picture), "0", "-o", str(picture)]) == 2
    assert "choose another" in capsys.readouterr().err
    assert picture.read_bytes() == before
