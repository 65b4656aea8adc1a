"""Folders of masks beside a source: which frame a file is of, and masks of another size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from chromatrack.errors import InputError
from chromatrack.formats.csv_tables import read_boxes, read_points
from chromatrack.formats.marked_source import MarkedSource
from chromatrack.formats.masks import read_mask_folder, write_mask

FROM_1 = tuple(f"{n:05d}.jpg" for n in range(1, 7))
EVERY_5TH = tuple(f"{n:05d}.jpg" for n in range(0, 75, 5))


def source(*pictures: str, **fields) -> MarkedSource:
    return MarkedSource("clip.mp4", (6, 8), len(pictures) or 12, pictures or None, **fields)


def masks(folder: Path, *names: str, size: tuple[int, int] = (6, 8)) -> Path:
    for value, name in enumerate(names, start=1):
        write_mask(folder / name, np.full(size, value))
    return folder


@pytest.mark.parametrize(
    ("opened", "names", "frames"),
    [
        (source(*FROM_1), ["00001.png"], [0]),
        (source(*EVERY_5TH), ["00000.png", "00005.png", "00010.png"], [0, 1, 2]),
        (source("a.jpg", "b.jpg"), ["b.png", "a.png"], [0, 1]),
        (source("1.jpg", "2.jpg", "10.jpg"), ["10.png", "2.png"], [1, 2]),
        (source("00012.jpg"), ["00012.jpg.png"], [0]),
        (source(), ["00000.png", "7.png"], [0, 7]),
        (source(), ["frame_000003.png", "clip_0004.png"], [3, 4]),
        (source(*EVERY_5TH, numbers="index"), ["00005.png"], [5]),
        (source(*EVERY_5TH, numbers="names"), ["5.png"], [1]),
    ],
)
def test_a_folder_of_masks_is_read_by_name(tmp_path, opened, names, frames):
    assert sorted(read_mask_folder(masks(tmp_path, *names), source=opened)) == frames


@pytest.mark.parametrize(
    ("opened", "names", "pattern"),
    [
        (source(*FROM_1), ["1.png"], "frame 0, or frame 1"),
        (source(), ["object_1.png"], "named by frame index"),
        (source(), ["1.5.png"], "named by frame index"),
        (source(), ["1.png", "00001.png"], "both name frame 1"),
        (source("00001.jpg", "x.jpg"), ["00001.png", "00001.jpg.png"], "both name frame 0"),
        (source(*FROM_1), ["dog.png"], "none of the pictures"),
    ],
)
def test_masks_of_no_frame_or_of_two_are_refused(tmp_path, opened, names, pattern):
    with pytest.raises(InputError, match=pattern):
        read_mask_folder(masks(tmp_path, *names), source=opened)


def test_masks_of_another_size_are_scaled_or_refused(tmp_path):
    opened = source()
    (mask,) = read_mask_folder(masks(tmp_path, "0.png", size=(12, 16)), source=opened).values()
    assert mask.shape == (6, 8) and (mask == 1).all() and "16x12" in opened.notes[0].text
    masks(tmp_path, "0.png", size=(8, 6))
    with pytest.raises(InputError, match=r"8x6 .* 6x8"):
        read_mask_folder(tmp_path, source=source())


def test_a_table_counts_frames_or_names_pictures(tmp_path):
    (tmp_path / "p.csv").write_text("id,frame,x,y\n1,3,1,2\n1,00001.jpg,1,2\n1,4.0,1,2\n")
    opened = source(*FROM_1)
    assert [mark.frame for mark in read_points(tmp_path / "p.csv", source=opened)] == [3, 0, 4]
    with pytest.raises(InputError, match=r"line 3: expected frame .* '00001.jpg'"):
        read_points(tmp_path / "p.csv", source=source())
    (tmp_path / "b.csv").write_text("id,frame,x,y,width,height\n1,3,1,2,3,3\n1,00004.png,1,2,3,3\n")
    with pytest.raises(InputError, match="id 1 on frame 3 is there already"):
        read_boxes(tmp_path / "b.csv", source=opened)
    (tmp_path / "b.csv").write_text("id,frame,x,y,width,height\n1,gone.jpg,1,2,3,3\n")
    with pytest.raises(InputError, match=r"line 2: gone.jpg is none of the pictures"):
        read_boxes(tmp_path / "b.csv", source=opened)


@pytest.mark.parametrize("suffix", ["jpg", "bmp", "tif", "webp", "gif"])
def test_a_folder_without_png_is_read_from_other_pictures(tmp_path, suffix):
    painted = np.zeros((48, 64), dtype=np.uint8)
    painted[10:30, 12:40] = 255
    for n in (0, 5):
        Image.fromarray(painted).save(tmp_path / f"{n:05d}.{suffix}")
    found = read_mask_folder(tmp_path)
    assert [*found] == [0, 5]
    for mask in found.values():
        assert np.count_nonzero((mask > 0) != (painted > 0)) <= 0.02 * painted.size
    write_mask(tmp_path / "00007.png", painted)
    assert [*read_mask_folder(tmp_path)] == [7]
