"""A sequence in OTB's layout, for the tests of box formats and of the benchmark on them."""

from __future__ import annotations

from pathlib import Path

from PIL import Image


def write_sequence(folder: Path, rows, *, images: int | None = None, name="groundtruth_rect.txt"):
    (folder / "img").mkdir(parents=True, exist_ok=True)
    for index in range(len(rows) if images is None else images):
        Image.new("RGB", (64, 48)).save(folder / "img" / f"{index + 1:04d}.jpg")
    (folder / name).write_text("\n".join(rows) + "\n")
    return folder


def rows_of(frames: int = 5) -> list[str]:
    """A box of 20 x 10 that moves by 2 px a frame to the right, counted from 1."""
    return [f"{11 + 2 * index},21,20,10" for index in range(frames)]
