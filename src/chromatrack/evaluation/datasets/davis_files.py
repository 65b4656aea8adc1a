"""DAVIS 2016 and 2017 on disk: the published layout, its lists and annotations.

    ROOT/JPEGImages/480p/bear/00000.jpg     ROOT/Annotations/480p/bear/00000.png
    ROOT/ImageSets/480p/val.txt             (DAVIS 2016: a line per frame, image and annotation)
    ROOT/ImageSets/2016/val.txt, .../2017/val.txt   (DAVIS 2017 package: a sequence name per line)

Another resolution folder (`Full-Resolution`, `1080p`) stands in when there is no `480p`. Fetch the
data set yourself, at davischallenge.org ("DAVIS 2016", "DAVIS 2017 TrainVal"); its licence is the
site's to state. The truth of test-dev and test-challenge is not published.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Literal

import numpy as np

from chromatrack.errors import InputError, LayoutError
from chromatrack.evaluation.datasets.name_lists import checked_name, text_lines
from chromatrack.evaluation.runner import chosen
from chromatrack.formats.masks import read_mask
from chromatrack.video.images import frame_files

Year = Literal[2016, 2017]

VOID = 255
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})


@dataclass(frozen=True)
class DavisSequence:
    """One sequence: `images` and `annotations` are its frames in order, one each."""

    name: str
    folder: Path
    images: tuple[Path, ...]
    annotations: tuple[Path, ...]

    @property
    def frame_count(self) -> int:
        """Frames to track, the first among them."""
        return len(self.images)


@dataclass(frozen=True)
class DavisSplit:
    """The sequences of one list of a DAVIS folder."""

    name: str
    sequences: tuple[DavisSequence, ...]


def read_davis(
    root: str | PathLike[str],
    *,
    year: Year = 2016,
    split: str | None = None,
    sequences: Iterable[str] | None = None,
) -> DavisSplit:
    """Find the sequences of a DAVIS folder and check that every frame is annotated.

    Args:
        root: the folder that holds JPEGImages, Annotations and ImageSets.
        year: which lists to use; ImageSets/<year> when there, else ImageSets/<resolution>, else
            ImageSets itself.
        split: the list's name without .txt; by default `val`, else the only list there.
        sequences: only these names, which must be in the list; by default all of it.

    Raises:
        LayoutError: a folder, list, sequence or frame is not where the layout has it.
        InputError: an unknown year or sequence name.
    """
    base = Path(root)
    if year not in (2016, 2017):
        raise InputError(f"year must be 2016 or 2017; got {year!r}")
    for name in ("JPEGImages", "Annotations", "ImageSets"):
        if not (base / name).is_dir():
            raise LayoutError(
                f"'{base}' holds no {name} folder; expected the published DAVIS layout with "
                "JPEGImages, Annotations and ImageSets"
            )
    resolution = _resolution(base)
    path = _split_file(base, year=year, resolution=resolution, split=split)
    listed = {name: name for name in _read_list(path)}
    names = chosen(listed, sequences, what=f"sequences of '{path}'")
    found = tuple(_read_sequence(base, resolution=resolution, name=name) for name in names)
    return DavisSplit(name=path.stem, sequences=found)


def read_annotation(path: str | PathLike[str], *, year: Year) -> np.ndarray:
    """Read one annotation: (H, W) int32 object ids, 0 = background.

    2016: every object is merged into id 1; whatever is not 0 (also 255) is the object.
    2017: ids as stored; 255 (void) is background, as in the official evaluation.
    """
    mask = read_mask(path)
    if year == 2016:
        return (mask != 0).astype(np.int32)
    return np.where(mask == VOID, 0, mask)


def _resolution(base: Path) -> str:
    """`480p` when there, else the only resolution folder that has images and annotations."""
    there = sorted(
        folder.name
        for folder in (base / "JPEGImages").iterdir()
        if folder.is_dir() and (base / "Annotations" / folder.name).is_dir()
    )
    if "480p" in there:
        return "480p"
    if len(there) == 1:
        return there[0]
    raise LayoutError(
        f"'{base}' needs JPEGImages/480p and Annotations/480p, or one other resolution in both; "
        f"found {', '.join(there) or 'none'}"
    )


def _split_file(base: Path, *, year: Year, resolution: str, split: str | None) -> Path:
    sets = base / "ImageSets"
    folders = (sets / str(year), sets / resolution, sets)
    lists = next((found for folder in folders if (found := sorted(folder.glob("*.txt")))), [])
    by_name = {path.stem: path for path in lists}
    if not by_name:
        raise LayoutError(
            f"'{sets}' holds no list for {year}; expected {year}/val.txt or {resolution}/val.txt"
        )
    wanted = split or ("val" if "val" in by_name or len(by_name) > 1 else next(iter(by_name)))
    if wanted not in by_name:
        raise LayoutError(
            f"'{lists[0].parent}' holds no {wanted}.txt; choose a split from {', '.join(by_name)}"
        )
    return by_name[wanted]


def _read_list(path: Path) -> list[str]:
    """Sequence names in order, from lines with a name each or the pair lines of DAVIS 2016."""
    lines = text_lines(path)
    parts = [line.split()[0].strip("/").split("/") for line in lines if line.strip()]
    names = [checked_name(part[-2] if len(part) > 1 else part[0], path) for part in parts]
    if not names:
        raise LayoutError(f"'{path}' is empty; expected a sequence name per line")
    return list(dict.fromkeys(names))


def _read_sequence(base: Path, *, resolution: str, name: str) -> DavisSequence:
    folder, truth = (base / kind / resolution / name for kind in ("JPEGImages", "Annotations"))
    for path in (folder, truth):
        if not path.is_dir():
            raise LayoutError(f"'{path}' is missing; the list names the sequence '{name}'")
    images, annotations = (frame_files(path, IMAGE_SUFFIXES) for path in (folder, truth))
    if len(images) < 3:
        raise LayoutError(
            f"'{folder}' holds {len(images)} frames; at least 3 are needed, as the first and last "
            "are not scored"
        )
    if [path.stem for path in annotations] == [images[0].stem]:
        raise LayoutError(
            f"'{truth}' annotates the first frame only, as in test-dev and test-challenge, whose "
            "truth is not published: nothing can be scored; choose the split val or train"
        )
    if alone := {path.stem for path in images} ^ {path.stem for path in annotations}:
        raise LayoutError(
            f"'{folder}' and '{truth}' must hold the same frames; {min(alone)} is in only one"
        )
    return DavisSequence(name=name, folder=folder, images=images, annotations=annotations)
