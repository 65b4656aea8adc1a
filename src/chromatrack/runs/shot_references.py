"""Which coloured pictures colour which shot."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from os import fspath
from pathlib import Path

import numpy as np

from chromatrack.errors import BeyondEndError, DamagedVideoError, InputError
from chromatrack.formats.shots import Shot
from chromatrack.structures import Source
from chromatrack.tracking.colorize import shows_same
from chromatrack.tracking.marks import ColorReference, read_reference
from chromatrack.video.images import is_image
from chromatrack.video.reader import read_frame

MOST_BORROWED = 4
"""References of other shots that a shot takes which has none of its own."""

MOST_CAST = 4
"""Largest difference of a grey pixel's channels: JPEG rounds them apart by a little."""

LIKE_FRAME = 0.8
"""Correlation of small luminance pictures from which one with a bare number is that frame."""

_NUMBERED = re.compile(r"(.*\bframe[ _-]?)?([0-9]{1,9})", re.IGNORECASE)


@dataclass(frozen=True)
class ShotPart:
    """Frames first .. end - 1 (None: to the end) that are coloured from the same references.

    number: of the shot, from 1. borrowed: none of the references is of this shot, or for all.
    """

    number: int
    first: int
    end: int | None
    references: tuple[ColorReference, ...]
    borrowed: bool = False


Likest = Callable[[Shot, Sequence[ColorReference]], Sequence[ColorReference]]
"""Of references, those most like a shot, the most alike first."""


def pictures_in(names: Sequence[str], video: Source | None = None) -> list[str]:
    """References with folders opened: `frame_00012.png` in one is frame 12, other names are stills.

    `00012.png` is frame 12 too, unless the video has no such frame or it looks like another; a
    warning says which pictures were taken for stills so. Those that are still grey are left out,
    with a warning.

    Args:
        video: that the frames are of; None: bare numbers are frames.

    Raises:
        InputError: a folder without a coloured picture.
    """
    found: list[str] = []
    for name in names:
        folder = Path(name)
        if not folder.is_dir():
            found.append(name)
            continue
        pictures = [p for p in sorted(folder.iterdir()) if is_image(p)]
        colored = [p for p in pictures if not is_grey(read_reference(p)[0])]
        if not colored:
            what = f"{len(pictures)} that are grey" if pictures else "no picture"
            raise InputError(
                f"reference {name}: expected coloured pictures in the folder, got {what}"
            )
        if len(colored) < len(pictures):
            warnings.warn(
                f"reference {name}: {len(pictures) - len(colored)} of its {len(pictures)} pictures "
                "are still grey and are left out",
                stacklevel=2,
            )
        stills = [path for path in colored if _is_still(path, video)]
        found += [str(path) if path in stills else _with_frame(path) for path in colored]
        if stills:
            listed = ", ".join(path.name for path in stills[:4])
            more = f" and {len(stills) - 4} more" if len(stills) > 4 else ""
            warnings.warn(
                f"reference {name}: {listed}{more} do not look like the frames of these numbers "
                f"and are taken as stills of other scenes; name one frame_{stills[0].name}, or "
                "give PICTURE@FRAME, to say that it is a frame",
                stacklevel=2,
            )
    return found


def is_grey(rgb: np.ndarray) -> bool:
    """Whether `(H, W, 3)` uint8 has no colour."""
    return int(np.ptp(rgb, axis=2).max()) <= MOST_CAST


def check_one_each(references: Sequence[str]) -> None:
    """InputError for a frame of which two pictures are given that differ."""
    first: dict[int, str] = {}
    for one in references:
        frame = frame_of(one)
        if frame is None:
            continue
        other = first.setdefault(frame, one)
        if other is not one and not np.array_equal(
            read_reference(other)[0], read_reference(one)[0]
        ):
            raise InputError(
                f"reference: expected one picture for frame {frame}, got two that differ, "
                f"{other} and {one}; leave one of them out"
            )


def frame_of(reference: ColorReference) -> int | None:
    """The frame that a reference says it is; None for a still. Pictures are not opened."""
    if isinstance(reference, tuple):
        return reference[1]
    text = fspath(reference)
    _, at, number = text.rpartition("@")
    return int(number) if at and number.isdecimal() and not Path(text).exists() else None


def picture_of(reference: ColorReference) -> str | None:
    """The file of a reference, without its @FRAME; None where it is none."""
    if isinstance(reference, tuple):
        return None
    text = fspath(reference)
    name, at, _ = text.rpartition("@")
    return name if at and not Path(text).exists() else text


def shot_parts(
    shots: Sequence[Shot],
    references: Sequence[ColorReference],
    *,
    first: int,
    end: int | None,
    everywhere: bool = False,
    likest: Likest | None = None,
) -> list[ShotPart]:
    """The parts of frames first .. end - 1, each with its references.

    A reference that is a frame of the film counts in its own shot, a still in all. A shot that has
    neither takes those of other shots that are most like it, and that is said.

    Args:
        shots: all of the film, without gaps; none: it is one shot.
        everywhere: all references count in all shots.
        likest: None: a shot without its own takes all.

    Raises:
        InputError: the frames are behind the last shot.
    """
    if not shots:
        return [ShotPart(1, first, end, tuple(references))]
    count = shots[-1].end
    for one in references:
        if end is None and (frame_of(one) or 0) >= count:
            raise InputError(
                f"reference {one if isinstance(one, str) else ''}: expected a frame before "
                f"{count}, where the last shot ends, got {frame_of(one)}"
            )
    stills = [one for one in references if frame_of(one) is None]
    parts = []
    for number, shot in enumerate(shots, start=1):
        begin, after = max(first, shot.first), shot.end if end is None else min(end, shot.end)
        if begin >= after:
            continue
        until = None if number == len(shots) else shot.end
        own = [one for one in references if _is_in(shot.first, until, frame_of(one))]
        borrowed = not own and not stills and not everywhere
        given: Sequence[ColorReference] = [*own, *stills]
        if everywhere or borrowed:
            given = references
        if borrowed and likest is not None and len(references) > MOST_BORROWED:
            given = likest(shot, references)[:MOST_BORROWED]
        parts.append(ShotPart(number, begin, after, tuple(given), borrowed))
    if parts and end is None:
        parts[-1] = replace(parts[-1], end=None)  # also what damage hid from whoever found shots
    if not parts:
        raise InputError(
            f"start: expected a frame before {shots[-1].end}, where the last shot ends, got {first}"
        )
    return parts


def tell_borrowed(parts: Sequence[ShotPart]) -> None:
    """Warn of the shots that have no reference of their own."""
    lacking = [part.number for part in parts if part.borrowed]
    if lacking:
        which = f"{ranges(lacking)} of {parts[-1].number}"
        what = (
            f"shots {which} have no reference of their own and take those most like them"
            if len(lacking) > 1
            else f"shot {which} has no reference of its own and takes those most like it"
        )
        warnings.warn(
            f"{what}; --suggest N says which frames are worth colouring",
            stacklevel=3,
        )


def ranges(numbers: Sequence[int]) -> str:
    """Ascending numbers as people write them: "1, 3-5"."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    told = [f"{a}" if a == b else f"{a}-{b}" for a, b in spans]
    return ", ".join(told if len(told) <= 12 else [*told[:12], f"and {len(told) - 12} more"])


def _is_in(first: int, end: int | None, frame: int | None) -> bool:
    return frame is not None and first <= frame and (end is None or frame < end)


def _with_frame(path: Path) -> str:
    numbered = _NUMBERED.fullmatch(path.stem)
    return f"{path}@{int(numbered[2])}" if numbered else str(path)


def _is_still(path: Path, video: Source | None) -> bool:
    """Whether a picture has a bare number for its name and is not that frame of the video."""
    numbered = _NUMBERED.fullmatch(path.stem)
    if numbered is None or numbered[1] is not None or video is None:
        return False
    try:
        frame = read_frame(video, index=int(numbered[2])).rgb
    except BeyondEndError:
        return True
    except DamagedVideoError:  # told where the frame is coloured
        return False
    return not shows_same(read_reference(path)[0], frame, least=LIKE_FRAME)
