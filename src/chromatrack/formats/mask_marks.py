"""Masks as marks: single pictures, folders of them, and the folders of DAVIS and YouTube-VOS."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path

import numpy as np

from chromatrack.errors import InputError
from chromatrack.formats.davis_folders import MASKS, META
from chromatrack.formats.file_marks import FileMarks, GivenFile
from chromatrack.formats.json_fields import JsonValue, load_json_object
from chromatrack.formats.marked_source import MarkedSource
from chromatrack.formats.masks import read_mask_folder, read_mask_pages
from chromatrack.formats.written_things import UNNAMED
from chromatrack.video.picture_files import opened_picture


def read_mask_file(
    path: str | PathLike[str], *, start: int, source: MarkedSource | None = None
) -> dict[int, np.ndarray]:
    """{frame: (H, W) int32 ids} of a mask picture, one of several pages, or a folder.

    Args:
        start: the frame of a single picture; several in a file are of frames 0, 1, 2, ...
        source: the video they are for: says what names mean, and brings masks to its size. A single
            picture is of the frame of its name, if the video has that.

    Raises:
        InputError: as `read_mask_pages` and `read_mask_folder`.
    """
    if Path(path).is_dir():
        return read_mask_folder(path, source=source)
    place = f"'{path}'"
    fits = None if source is None else source.mask_size_check(place)
    pages = read_mask_pages(path, fits=fits, source=source)
    if source is None:
        return {start: pages[0]} if len(pages) == 1 else dict(enumerate(pages))
    if len(pages) == 1:
        return {source.frame_of_single(str(path), place): source.fit_mask(pages[0], place)}
    return {
        index: source.fit_mask(mask, f"{place}, picture {index}")
        for index, mask in enumerate(pages)
    }


def read_masks(given: GivenFile, source: MarkedSource) -> FileMarks:
    """A mask picture, or a folder of them."""
    return FileMarks(masks=read_mask_file(given.path, start=source.start, source=source))


def masks_size(given: GivenFile) -> tuple[int, int] | None:
    """(height, width) of the first picture."""
    return _picture_size(given.path)


def read_davis(given: GivenFile, source: MarkedSource) -> FileMarks:
    """The masks of one video of a folder with `Annotations`; names from meta.json, if any.

    Raises:
        InputError: no masks, or several videos and none that fits.
    """
    folders = _video_folders(given.path)
    if not folders:
        raise InputError(
            f"'{given.path / MASKS}': expected folders of PNG masks, one for each video, found none"
        )
    named = {folder: {folder.relative_to(given.path).as_posix()} for folder in folders}
    folder = source.video_among(named, f"'{given.path}'")
    for number, (category, name) in _categories(given.path, folder.name).items():
        source.label("object", number, "" if category == UNNAMED["object"] else category, name=name)
    return FileMarks(masks=read_mask_folder(folder, source=source))


def davis_size(given: GivenFile) -> tuple[int, int] | None:
    """(height, width) of the first mask."""
    folders = _video_folders(given.path)
    return _picture_size(folders[0]) if folders else None


def _video_folders(path: Path) -> list[Path]:
    """Folders under `Annotations` that have PNG files themselves."""
    every = [path / MASKS, *sorted((path / MASKS).rglob("*"))]
    return [folder for folder in every if folder.is_dir() and any(folder.glob("*.png"))]


def _categories(path: Path, video: str) -> dict[int, tuple[str, str]]:
    """{id: category and name} of a video, as far as meta.json says it."""
    files = sorted(path.glob(f"{Path(META).stem}*.json"))
    found: dict[int, tuple[str, str]] = {}
    for file in files:
        data = JsonValue(load_json_object(file, what="meta.json of YouTube-VOS"), str(file))
        ours = data["videos"].fields().get(video)
        objects = ours.get("objects") if isinstance(ours, dict) else None
        for number, said in objects.items() if isinstance(objects, dict) else ():
            if number.isdecimal() and isinstance(said, dict) and said.get("category"):
                found[int(number)] = str(said["category"]), str(said.get("name") or "")
    return found


def _picture_size(path: Path) -> tuple[int, int] | None:
    if path.is_dir():
        pictures = sorted(p for p in path.iterdir() if p.is_file() and not p.name.startswith("."))
        return _picture_size(pictures[0]) if pictures else None
    with opened_picture(path, name=f"mask '{path}'") as image:
        return image.height, image.width


def masks_at(names: Sequence[str]) -> dict[int, str]:
    """Files of masks named `M.png@40`: frame -> `M.png`.

    Raises:
        InputError: no frame number, or one frame twice.
    """
    found: dict[int, str] = {}
    for name in names:
        path, _, frame = name.rpartition("@")
        if not path or not (frame.isascii() and frame.isdecimal()):
            raise InputError(f"mask {name!r}: expected PNG@FRAME with FRAME counted from 0")
        if int(frame) in found:
            raise InputError(f"mask {name!r}: expected one mask for frame {frame}, got two")
        found[int(frame)] = path
    return found
