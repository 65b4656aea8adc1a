"""Sequences with one box per frame, in the layouts of OTB, VOT and TLD; fetch them yourself.

OTB (Wu et al. 2013 and 2015, "Object Tracking Benchmark"; visual-tracking.net):

    SEQUENCE/groundtruth_rect.txt    x, y, width, height per frame; comma, tab or space between
    SEQUENCE/img/0001.jpg

`groundtruth_rect.1.txt` and `.2.txt` are two objects of one sequence, here `Jogging-1` and `-2`.
Pixels are counted from 1, so 1 is taken off x and y. A row with NaN, or without width or height,
says that the object is absent. Four sequences are annotated from a later picture on (`OTB_STARTS`),
four not to the end (`OTB_SHORT`), as the benchmark's own lists have it.

VOT (votchallenge.net, 2013 to 2021 short- and long-term; ROOT/list.txt names the sequences):

    SEQUENCE/groundtruth.txt         x, y, width, height, or the corners of a polygon x1,y1,x2,y2...
    SEQUENCE/color/00000001.jpg      or the pictures beside the file, as in older years

As the VOT toolkit has it, pixels are counted from 0, and the box of a polygon goes from its least
to its largest x and y (width: the difference). NaN says absent. Masks ("m...") are no boxes.

TLD (Kalal et al. 2012, the ten sequences of OpenTLD's `datasets`):

    SEQUENCE/gt.txt                  x1,y1,x2,y2 per frame, NaN where the object is not visible
    SEQUENCE/init.txt                the box that is given on the first frame; else gt.txt's first
    SEQUENCE/00001.jpg               or one video

Its MATLAB code counts pixels from 1 and both corners as inside: 1 is taken off, and the width is
x2 - x1 + 1.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Literal

import numpy as np

from chromatrack.errors import LayoutError
from chromatrack.evaluation.datasets.name_lists import checked_name, text_lines
from chromatrack.evaluation.runner import named
from chromatrack.video.images import IMAGE_SUFFIXES, VIDEO_SUFFIXES, image_files

Layout = Literal["otb", "vot", "tld"]
Box = tuple[float, float, float, float]

OTB_TRUTH, VOT_TRUTH, TLD_TRUTH = "groundtruth_rect.txt", "groundtruth.txt", "gt.txt"

OTB_STARTS = {"David": 300, "BlurCar1": 247, "BlurCar3": 3, "BlurCar4": 18}
"""The number in the name of the picture that the first row belongs to."""

OTB_SHORT = frozenset({"Diving", "Football1", "Freeman3", "Freeman4"})
"""Sequences whose last pictures have no row."""

ABSENT: Box = (math.nan, math.nan, math.nan, math.nan)
DEPTH = 3
"""How many folders below ROOT sequences are looked for."""


@dataclass(frozen=True)
class BoxSequence:
    """One sequence: row t of `boxes` is frame `start + t` of `video`, a folder or a file.

    boxes: (T, 4) float64 x, y, width, height in pixels, counted from 0; NaN where absent.
    first: the box that is given on frame `start`.
    """

    name: str
    layout: Layout
    video: Path
    boxes: np.ndarray
    first: Box
    start: int = 0

    @property
    def frame_count(self) -> int:
        """How many frames are tracked, the given one among them."""
        return len(self.boxes)


def find_sequences(root: str | PathLike[str]) -> dict[str, Callable[[], BoxSequence]]:
    """Sequences at or below a folder, each in its own layout: {name: how to read it}.

    Where ROOT holds a list.txt, it names the sequences and their order.

    Raises:
        LayoutError: there is none, or one of the list is missing.
    """
    base = Path(root)
    if (base / "list.txt").is_file():
        folders = _listed(base)
    else:
        folders = list(_search(base, DEPTH)) if base.is_dir() else []
    if not folders:
        raise LayoutError(
            f"'{base}' holds no sequence; expected folders with {OTB_TRUTH} and img (OTB), "
            f"{VOT_TRUTH} and color (VOT), or {TLD_TRUTH} and pictures (TLD)"
        )
    return {
        name: read
        for folder_name, folder in named(folders, base).items()
        for name, read in _readers(folder_name, folder)
    }


def read_otb(
    folder: str | PathLike[str],
    *,
    truth: str = OTB_TRUTH,
    start: int | None = None,
    name: str | None = None,
) -> BoxSequence:
    """Read one sequence of OTB, and check that every frame has a row.

    Args:
        folder: the sequence's folder, with img and the boxes.
        truth: the file of boxes.
        start: 0-based picture of the first row. None expects a row for every picture, or one of the
            sequences known to be annotated in part.
        name: by default the folder's.

    Raises:
        LayoutError: something is missing, a row is not a box, or rows and pictures do not fit.
    """
    base = Path(folder)
    images = base / "img"
    if not images.is_dir():
        raise LayoutError(f"'{base}' holds no img folder; expected OTB's img and {truth}")
    pictures = _pictures(images)
    boxes = _read_boxes(base / truth, otb_box, "x, y, width, height")
    if start is None and len(boxes) != len(pictures):
        start = _otb_start(base.name, pictures)
    fits = (
        len(boxes) == len(pictures) if start is None else 0 <= start <= len(pictures) - len(boxes)
    )
    if not fits:
        raise LayoutError(
            f"'{base / truth}' has {len(boxes)} rows and '{images}' {len(pictures)} pictures; "
            "name the picture of the first row (start) if only some are annotated"
        )
    return BoxSequence(
        name or base.name, "otb", images, boxes, _first(boxes, base / truth), start or 0
    )


def read_vot(folder: str | PathLike[str], *, name: str | None = None) -> BoxSequence:
    """Read one sequence of VOT, and check that every frame has a row.

    Raises:
        LayoutError: something is missing, a row is not a box, or rows and pictures do not fit.
    """
    base = Path(folder)
    path = base / VOT_TRUTH
    boxes = _read_boxes(path, vot_box, "x, y, width, height or a polygon")
    images = base / "color" if (base / "color").is_dir() else base
    pictures = _pictures(images)
    if len(boxes) != len(pictures):
        raise LayoutError(
            f"'{path}' has {len(boxes)} rows and '{images}' {len(pictures)} pictures; expected "
            "VOT's color/00000001.jpg, ... (or the pictures beside it), one for every row"
        )
    return BoxSequence(name or base.name, "vot", images, boxes, _first(boxes, path))


def read_tld(folder: str | PathLike[str], *, name: str | None = None) -> BoxSequence:
    """Read one sequence of TLD; frames after the last row are not scored.

    Raises:
        LayoutError: something is missing, a row is not a box, or there are too few pictures.
    """
    base = Path(folder)
    path, given = base / TLD_TRUTH, base / "init.txt"
    boxes = _read_boxes(path, tld_box, "x1, y1, x2, y2")
    first = _read_boxes(given, tld_box, "x1, y1, x2, y2") if given.is_file() else boxes
    if np.isnan(boxes).any(axis=1).all():
        raise LayoutError(f"'{path}': the object is on no frame; nothing to score")
    pictures = _pictures(base)
    videos = [file for file in sorted(base.iterdir()) if file.suffix.lower() in VIDEO_SUFFIXES]
    if len(pictures) < len(boxes) and (pictures or len(videos) != 1):
        raise LayoutError(
            f"'{path}' has {len(boxes)} rows and '{base}' {len(pictures)} pictures and "
            f"{len(videos)} videos; expected 00001.jpg, ... for every row, or one video"
        )
    video = base if pictures else videos[0]
    return BoxSequence(name or base.name, "tld", video, boxes, _first(first, path))


def otb_box(numbers: Sequence[float]) -> Box:
    """(x, y, width, height) counted from 0, of a row that counts from 1; NaN where absent.

    Raises ValueError for another number of numbers, or no box, as do the two below.
    """
    x, y, width, height = numbers
    return _checked((x - 1, y - 1, width, height))


def vot_box(numbers: Sequence[float]) -> Box:
    """(x, y, width, height) of four such numbers, or around a polygon; NaN where absent.

    numbers: four, or x and y of three corners or more.
    """
    if len(numbers) == 4:
        x, y, width, height = numbers
        return _checked((x, y, width, height))
    if len(numbers) < 6 or len(numbers) % 2:
        raise ValueError("neither a box nor a polygon")
    if any(map(math.isnan, numbers)):
        return ABSENT
    xs, ys = numbers[::2], numbers[1::2]
    return _checked((min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)))


def tld_box(numbers: Sequence[float]) -> Box:
    """(x, y, width, height) counted from 0, of corners that count from 1; NaN where absent."""
    left, top, right, bottom = numbers
    if right < left or bottom < top:
        raise ValueError("the second corner comes before the first")
    return _checked((left - 1, top - 1, right - left + 1, bottom - top + 1))


def _checked(box: Box) -> Box:
    if any(map(math.isnan, box)) or box[2] == 0 or box[3] == 0:
        return ABSENT
    if not all(map(math.isfinite, box)) or box[2] < 0 or box[3] < 0:
        raise ValueError("expected a finite box of positive size")
    return box


def _read_boxes(path: Path, box_of: Callable[[Sequence[float]], Box], expected: str) -> np.ndarray:
    """(T, 4) float64 x, y, width, height counted from 0; whole rows of NaN where absent."""
    try:
        lines = path.read_text("utf-8-sig").rstrip().splitlines()
    except OSError as error:
        raise LayoutError(f"cannot read '{path}': {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise LayoutError(f"'{path}' is no text; expected {expected} per line") from error
    if not lines:
        raise LayoutError(f"'{path}' is empty; expected {expected} per line")
    boxes = []
    for number, line in enumerate(lines, start=1):
        try:
            boxes.append(box_of([float(text) for text in re.split(r"\s*[,;\s]\s*", line.strip())]))
        except ValueError as error:
            raise LayoutError(
                f"'{path}', line {number}: expected a finite box of positive size as {expected}; "
                f"got {line!r:.60}"
            ) from error
    return np.array(boxes, dtype=np.float64)


def _first(boxes: np.ndarray, path: Path) -> Box:
    if np.isnan(boxes[0]).any():
        raise LayoutError(f"'{path}': the object is absent on the first frame; nothing to track")
    x, y, width, height = boxes[0].tolist()
    return x, y, width, height


def _otb_start(name: str, pictures: Sequence[Path]) -> int | None:
    """The picture of the first row of a sequence known to be annotated in part."""
    if name in OTB_SHORT:
        return 0
    number = OTB_STARTS.get(name)
    places = [at for at, path in enumerate(pictures) if re.fullmatch(f"0*{number}", path.stem)]
    return places[0] if places else None


def _pictures(folder: Path) -> list[Path]:
    """The pictures of a folder, in the order in which they are read as frames; none is fine."""
    files = (path for path in folder.iterdir() if not path.name.startswith("."))
    has_some = any(path.suffix.lower() in IMAGE_SUFFIXES for path in files)
    return (image_files(folder) or []) if has_some else []


def _listed(base: Path) -> list[Path]:
    path = base / "list.txt"
    names = [checked_name(name, path) for line in text_lines(path) for name in line.split()]
    for name in names:
        if not (base / name / VOT_TRUTH).is_file():
            raise LayoutError(f"'{base / 'list.txt'}' names {name}; no '{base / name / VOT_TRUTH}'")
    return [base / name for name in names]


def _search(folder: Path, depth: int) -> Iterator[Path]:
    if any(_readers(folder.name, folder)):
        yield folder
    elif depth:
        for path in sorted(folder.iterdir()):
            if path.is_dir() and not path.name.startswith("."):
                yield from _search(path, depth - 1)


def _readers(name: str, folder: Path) -> Iterator[tuple[str, Callable[[], BoxSequence]]]:
    """(name, how to read it) of every object that a sequence's folder annotates."""
    if files := sorted(folder.glob("groundtruth_rect*.txt")):
        for path in files:
            number = path.name.removeprefix("groundtruth_rect").removesuffix(".txt").strip(".")
            full = f"{name}-{number}" if number else name
            yield full, partial(read_otb, folder, truth=path.name, name=full)
    elif (folder / VOT_TRUTH).is_file():
        yield name, partial(read_vot, folder, name=name)
    elif (folder / TLD_TRUTH).is_file():
        yield name, partial(read_tld, folder, name=name)
