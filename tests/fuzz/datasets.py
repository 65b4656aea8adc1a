"""Small data sets as they are published, made here; and the doors that read them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import specimens
from PIL import Image
from scipy.io import savemat

from chromatrack.errors import ChromatrackError
from chromatrack.evaluation.datasets.badja import badja_benchmark, read_badja
from chromatrack.evaluation.datasets.box_formats import find_sequences
from chromatrack.evaluation.datasets.davis_attributes import read_attributes
from chromatrack.evaluation.datasets.davis_files import read_annotation, read_davis
from chromatrack.evaluation.datasets.jhmdb import jhmdb_benchmark, read_jhmdb
from chromatrack.evaluation.datasets.penn import penn_benchmark
from chromatrack.evaluation.datasets.vip import read_classes, read_vip
from chromatrack.formats.masks import write_mask
from chromatrack.training.data.index import build_index


def _frames(folder: Path, pattern: str = "{:05d}.jpg", *, first: int = 0) -> None:
    folder.mkdir(parents=True)
    for index, rgb in enumerate(specimens.pictures(), start=first):
        Image.fromarray(rgb).save(folder / pattern.format(index))


def _masks(folder: Path) -> None:
    folder.mkdir(parents=True)
    for index in range(specimens.FRAMES):
        write_mask(folder / f"{index:05d}.png", specimens.mask())


def _text(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def davis(folder: Path) -> Path:
    root = folder / "davis"
    for name in ("bear", "cow"):
        _frames(root / "JPEGImages/480p" / name)
        _masks(root / "Annotations/480p" / name)
    for year in (2016, 2017):
        _text(root / f"ImageSets/{year}/val.txt", "bear", "cow")
    return root


def vip(folder: Path) -> Path:
    root = folder / "vip"
    for name in ("one", "two"):
        _frames(root / "Images" / name)
        _masks(root / "Annotations/Category_ids" / name)
    _text(root / "lists/val_videos.txt", "one", "two")
    return root


def badja(folder: Path) -> Path:
    root = folder / "badja"
    _frames(root / "davis/JPEGImages/480p/bear")
    _masks(root / "davis/Annotations/480p/bear")
    entries = [
        {
            "image_path": f"DAVIS/JPEGImages/Full-Resolution/bear/{frame:05d}.jpg",
            "joints": [[100.0 + n + 4 * frame, 500.0 + n] for n in range(37)],
            "visibility": [n in (8, 9, 10, 34) for n in range(37)],
            "segmentation_path": "x",
        }
        for frame in (0, 1, 3)
    ]
    _text(root / "joint_annotations/bear.json", json.dumps(entries))
    return root


def _positions() -> np.ndarray:
    number, time = np.arange(15.0), np.arange(float(specimens.FRAMES))
    return np.stack([3 + number[:, None] + time, 2 + number[:, None] + 0 * time])


def jhmdb(folder: Path) -> Path:
    root = folder / "jhmdb"
    (root / "joint_positions/catch/one").mkdir(parents=True)
    savemat(root / "joint_positions/catch/one/joint_positions.mat", {"pos_img": _positions()})
    _frames(root / "Rename_Images/catch/one", first=1)
    _text(root / "splits/catch_test_split1.txt", "one.avi 2", "other.avi 1")
    return root


def penn(folder: Path) -> Path:
    root, frames = folder / "penn", specimens.FRAMES
    (root / "labels").mkdir(parents=True)
    place = np.arange(13.0) + 2 * np.arange(float(frames))[:, None]
    content = {
        "x": 3 + place,
        "y": 2 + place,
        "visibility": np.ones((frames, 13), dtype=np.uint8),
        "train": -1.0,
        "bbox": np.array([[2.0, 2.0, 20.0, 20.0]] * frames),
        "nframes": frames,
    }
    savemat(root / "labels/0001.mat", content)
    _frames(root / "frames/0001", "{:06d}.jpg", first=1)
    return root


def boxes(folder: Path) -> Path:
    root = folder / "boxes"
    rows = [f"{5 + 2 * index},7,10,10" for index in range(specimens.FRAMES)]
    _frames(root / "otb/img", "{:04d}.jpg", first=1)
    _text(root / "otb/groundtruth_rect.txt", *rows)
    _frames(root / "vot/color", "{:08d}.jpg", first=1)
    _text(root / "vot/groundtruth.txt", "4,6,13,6,13,15,4,15", *rows[1:])
    _frames(root / "tld", first=1)
    _text(root / "tld/gt.txt", "5,7,14,16", "NaN,NaN,NaN,NaN", "9,7,18,16")
    _text(root / "tld/init.txt", "5,7,14,16")
    return root


def attributes(folder: Path) -> Path:
    path = folder / "attributes.csv"
    _text(path, "sequence,attributes", "bear,AC OCC", "cow,")
    return path


def media(folder: Path) -> Path:
    """A folder to train on: two videos, photos and a shard."""
    root = folder / "media"
    (root / "deep").mkdir(parents=True)
    specimens.video("mp4", "libx264", "yuv420p")(root)
    specimens.video("mkv", "mpeg4", "yuv420p")(root / "deep")
    _frames(root / "photos")
    specimens.shard(root)
    return root


# -- doors -----------------------------------------------------------------------------------


def read_davis_folder(path: Path, folder: Path) -> None:
    for year in (2016, 2017):
        for sequence in read_davis(path, year=year).sequences:
            for annotation in sequence.annotations:
                read_annotation(annotation, year=year)


def read_vip_folder(path: Path, folder: Path) -> None:
    for clip in read_vip(path).clips:
        for annotation in clip.annotations:
            if annotation is not None:
                read_classes(annotation)


def read_badja_folder(path: Path, folder: Path) -> None:
    (file,) = (path / "joint_annotations").iterdir()
    _both(
        lambda: read_badja(file, path / "davis", joints="all"),
        lambda: badja_benchmark(path / "joint_annotations", davis=path / "davis"),
    )


def read_jhmdb_folder(path: Path, folder: Path) -> None:
    one = path / "joint_positions/catch/one"
    _both(
        lambda: jhmdb_benchmark(path),
        lambda: read_jhmdb(one, video=path / "Rename_Images/catch/one"),
    )


def read_penn_folder(path: Path, folder: Path) -> None:
    penn_benchmark(path)


def read_box_folder(path: Path, folder: Path) -> None:
    _both(*find_sequences(path).values())


def read_attribute_table(path: Path, folder: Path) -> None:
    read_attributes(path)


def index_media(path: Path, folder: Path) -> None:
    index = build_index([path], cache=folder)
    again = build_index([path], cache=folder)
    if index != again:
        raise AssertionError("the index read from its cache is another")


def _both(*calls: Callable[[], Any]) -> None:
    """All of them are tried; one of our errors is raised at the end."""
    refused: ChromatrackError | None = None
    for call in calls:
        try:
            call()
        except ChromatrackError as error:
            refused = error
    if refused is not None:
        raise refused
