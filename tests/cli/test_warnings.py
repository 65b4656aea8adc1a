"""Each thing that a command warns of is said once, and by the name that the user knows."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY, _tiny
from PIL import Image
from video_clips import pictures, woven, write_clip

from chromatrack.cli import main as cli
from chromatrack.model.weights import save_encoder

COUNT, SIZE = 6, (48, 64)


def interlaced(path: Path) -> Path:
    return write_clip(path / "s.mp4", woven(pictures(2 * COUNT)), fields="bff")


def hdr(path: Path) -> Path:
    describe = {"color_trc": 18, "color_primaries": 9, "colorspace": 9}
    return write_clip(
        path / "s.mkv", pictures(COUNT), codec="ffv1", pixel_format="yuv420p10le", describe=describe
    )


def of_12_bits(path: Path) -> Path:
    (path / "s").mkdir()
    for index in range(COUNT):
        row = np.roll(np.linspace(0, 4095, SIZE[1]).astype(np.uint16), index)
        Image.fromarray(np.tile(row, (SIZE[0], 1))).save(path / f"s/{index}.png")
    return path / "s"


def stack_of_12_bits(path: Path) -> Path:
    pages = [Image.open(file) for file in sorted(of_12_bits(path).iterdir())]
    pages[0].save(path / "s.tif", save_all=True, append_images=pages[1:])
    return path / "s.tif"


def gap(path: Path) -> Path:
    ticks = [i + (86400 if i > 2 else 0) for i in range(COUNT)]
    return write_clip(path / "s.mkv", pictures(COUNT), ticks=ticks, time_base=Fraction(1))


SOURCES = [
    (interlaced, "s.mp4: is interlaced"),
    (hdr, "s.mkv: is HDR"),
    (of_12_bits, "s: holds pictures of 16 bits"),
    (stack_of_12_bits, "s.tif: holds pictures of 16 bits"),
    (gap, "o.mp4: frame 3 comes"),
]


@pytest.mark.parametrize("command", ["track", "colorize"])
@pytest.mark.parametrize(("make", "said"), SOURCES)
def test_what_is_warned_of_is_said_once(tmp_path, monkeypatch, capsys, make, said, command):
    monkeypatch.chdir(tmp_path)
    source = make(tmp_path).name
    Image.fromarray(pictures(1)[0]).save("r.png")
    save_encoder(tmp_path / "w.safetensors", _tiny(TINY))
    marks = ("--reference", "r.png@0") if command == "colorize" else ("--point", "1@0:20,20")
    if make is interlaced and command == "colorize":  # which refuses them else
        marks = (*marks, "--keep-fields")
    target = "o.mp4" if command == "colorize" else "o"
    assert cli.main([command, source, *marks, "--model", "w.safetensors", "-o", target]) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    if command == "track":
        said = said.replace("o.mp4", "overlay.mp4")
    assert [said in line for line in lines].count(True) == 1, lines
    assert len(lines) == len(set(lines)) and "chromatrack-" not in "".join(lines), lines
