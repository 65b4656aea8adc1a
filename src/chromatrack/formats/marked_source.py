"""The video that marks are for, and which of its frames, at which size, a file of marks means.

Every reader of marks asks here: what a picture's name or a bare number means, how coordinates on a
picture of another size are brought to the video's, and which of several videos is this one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from chromatrack.distinct import distinct
from chromatrack.errors import InputError
from chromatrack.formats.color_text import read_color
from chromatrack.formats.picture_names import (
    NamedPicture,
    Numbers,
    PictureIndex,
    base_name,
    before_export,
    folder_of,
    listed,
    same_ending,
    stem,
)
from chromatrack.structures import Color, Kind

MOST_MASK_PIXELS = 2**25
"""Masks of more pixels, 33 megapixels, are read for videos of as many only."""

MOST_STRETCH = 0.03
"""Pictures whose aspect differs more are of different shapes, however few pixels that is."""

_Key = TypeVar("_Key", bound=Hashable)


@dataclass(frozen=True)
class Note:
    """Something understood of a file of marks. warned: it may not be what its author meant."""

    text: str
    warned: bool


class _Reading(NamedTuple):
    """What a picture may mean: that of the very name, the one with that number, frames counted.

    None where it cannot mean that.
    """

    given: NamedPicture
    named: int | None
    numbered: int | None
    counted: int | None

    @property
    def by_name(self) -> int | None:
        return self.numbered if self.named is None else self.named


@dataclass
class MarkedSource:
    """An opened video as files of marks speak of it; collects what was understood of them.

    `tracking.marked_video.marked_source` opens one.

    video: as the user named it. size: (height, width) px. frame_count: None where not known.
    pictures: paths of its pictures in order of frames, or None for a video file, where a number in
    a name can only be the index. numbers: what a number in a name means. video_name: the user's
    choice among the videos of a file of several. start: the frame of marks that say none.
    end: the frame after the last that is tracked; None: all are. notes: what was understood, passed
    over and scaled. names, categories, colors: of the marked things, where they have one.
    """

    video: str
    size: tuple[int, int]
    frame_count: int | None = None
    pictures: tuple[str, ...] | None = None
    numbers: Numbers = "auto"
    video_name: str | None = None
    start: int = 0
    end: int | None = None
    notes: list[Note] = field(default_factory=list)
    names: dict[tuple[Kind, int], str] = field(default_factory=dict)
    colors: dict[tuple[Kind, int], Color] = field(default_factory=dict)
    categories: dict[tuple[Kind, int], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._pictures = PictureIndex(self.pictures or ())
        self._first: dict[object, tuple[Kind, int]] = {}

    def say(self, text: str, *, warned: bool = True) -> None:
        """Keep a note, once."""
        note = Note(text, warned)
        if note not in self.notes:
            self.notes.append(note)

    def call(self, kind: Kind, number: int, name: str) -> None:
        """Keep the name of a thing; an empty one is none, and halves of letters become "?"."""
        if text := _whole_text(name):
            self.names[kind, number] = text

    def classify(self, kind: Kind, number: int, category: str) -> None:
        """Keep what a thing is, such as cow; as `call`."""
        if text := _whole_text(category):
            self.categories[kind, number] = text

    def label(self, kind: Kind, number: int, label: str, *, name: str = "") -> None:
        """Keep the one label that a file has for a thing: its category, and its name without one.

        name: what it is called besides.
        """
        self.call(kind, number, name or label)
        self.classify(kind, number, label)

    def draw(self, kind: Kind, number: int, color: object, place: str) -> None:
        """Keep the colour of a thing as a file has it; nothing (None, "") is none.

        Raises:
            InputError: no colour.
        """
        if color not in (None, ""):
            self.colors[kind, number] = read_color(color, place)

    def draw_first(self, label: object, kind: Kind, number: int, color: Color | None) -> None:
        """Keep the colour of a label for the first thing that has it.

        Other things of the label keep those of their numbers, so that they can be told apart.
        """
        if color is not None and self._first.setdefault(label, (kind, number)) == (kind, number):
            self.colors[kind, number] = color

    def frame_name(self, frame: int) -> str:
        """A frame as users know it: `12`, or `12 (00012.jpg)` where pictures have names."""
        if self.pictures is None or not 0 <= frame < len(self.pictures):
            return str(frame)
        return f"{frame} ({base_name(self.pictures[frame])})"

    # -- frames --------------------------------------------------------------------------------

    def frames(self, given: Sequence[NamedPicture]) -> list[int]:
        """The frames that pictures named in one file or folder belong to, read in one way.

        A picture of that very name is meant where there is one for each; else the numbers in the
        names are looked at: they may be the pictures' numbers or indices.

        Raises:
            InputError: a name tells no frame, names no picture, or tells two different frames.
        """
        if self.pictures is None or self.numbers == "index":
            return [self._index(picture) for picture in given]
        readings = [self._reading(picture) for picture in given]
        if self.numbers == "names":
            return [_known(reading, reading.by_name, self._no_picture) for reading in readings]
        if all(reading.named is not None for reading in readings):
            return self._by_exact_name(readings)
        by_name = [reading.by_name for reading in readings]
        by_index = [reading.counted for reading in readings]
        differing = next((r for r in readings if _differs(r)), None)
        if None not in by_name and None not in by_index and differing:
            raise self._either(differing)
        if None not in by_name:
            if differing:
                self.say(
                    f"{differing.given.place}: {differing.given.name} is taken for the picture of "
                    f"that number, frame {differing.by_name}, as not all can count frames"
                )
            return [_known(reading, reading.by_name, self._no_picture) for reading in readings]
        if named := next(
            (r for r in readings if r.named is not None and r.counted != r.named), None
        ):
            other = next(reading for reading in readings if reading.named is None)
            raise InputError(
                f"{self._no_picture(other.given)}, though {named.given.name} is one, frame "
                f"{named.named}; {_CHOICE}"
            )
        return [_known(reading, _indexed(reading), self._no_picture) for reading in readings]

    def frame(self, number: int, place: str) -> int:
        """The frame that a bare number means: the index, or with `names` the picture's number.

        Raises:
            InputError: there is no one picture of that number.
        """
        found = self._pictures.numbered(number)
        if self.pictures is None or self.numbers != "names":
            if found is not None and self.frame_count is not None and number >= self.frame_count:
                raise InputError(
                    f"{place}: expected a frame from 0 to {self.frame_count - 1}, got {number}; "
                    f"{base_name(self._path(found))} is frame {found}, or use --numbers names"
                )
            return number
        if found is None:
            raise InputError(
                f"{place}: expected the number of one of the pictures {self._span()}, got "
                f"{number}; correct it, or count frames from 0 with --numbers index"
            )
        return found

    def is_behind(self, number: int) -> bool:
        """Whether a bare number means a frame behind all that is tracked, as far as is known."""
        if self.pictures is not None and self.numbers == "names":
            return self._pictures.is_behind(number, self.end)
        return any(n is not None and number >= n for n in (self.end, self.frame_count))

    def frame_of_single(self, name: str, place: str) -> int:
        """The frame of a lone mask: of the picture with that very name, else the start.

        Raises:
            InputError: the picture stands before the start.
        """
        named = None if self.numbers == "index" else self.frame_of_name(name)
        if named is None and self.numbers == "names":
            named = self.frames([NamedPicture(place, (name,))])[0]
        if named is None or named == self.start:
            return self.start
        told = f"{place}: has the name of frame {self.frame_name(named)}"
        if named < self.start:
            raise InputError(
                f"{told}, but tracking starts at frame {self.start}; start there, or take the mask "
                "for the start with --numbers index"
            )
        self.say(f"{told}, so it is that frame's, not of frame {self.start} (--numbers index)")
        return named

    def frame_of_name(self, name: str) -> int | None:
        """The frame whose picture has that very name (folders and suffix left aside), or None.

        Raises:
            InputError: several pictures have it.
        """
        found = self._pictures.called(name)
        if len(found) > 1:
            raise InputError(
                f"{self.video}: frames {found[0]} and {found[1]} are both called "
                f"{base_name(name)}; count frames with --numbers index"
            )
        return found[0] if found else None

    def _reading(self, given: NamedPicture) -> _Reading:
        named = (self.frame_of_name(name) for name in (*given.names, *given.also))
        exact = next((frame for frame in named if frame is not None), None)
        number = given.number
        index = number if given.stated is None else given.stated
        possible = index is not None and (self.frame_count is None or index < self.frame_count)
        numbered = None if number is None else self._pictures.numbered(number)
        return _Reading(given, exact, numbered, index if possible else None)

    def _by_exact_name(self, readings: Sequence[_Reading]) -> list[int]:
        """All are names of pictures, unless the file states other frames beside them."""
        for reading in readings:
            stated = reading.given.stated
            if stated not in (None, reading.given.number) and _differs(reading):
                raise self._either(reading)
        other = next((reading for reading in readings if _differs(reading)), None)
        if other and all(reading.counted is not None for reading in readings):
            self.say(
                f"{other.given.place}: {other.given.name} is taken for the picture of that name, "
                f"frame {other.named}, not for frame {other.counted} (--numbers index)"
            )
        return [_known(reading, reading.named, self._no_picture) for reading in readings]

    def _index(self, given: NamedPicture) -> int:
        number = given.number if given.stated is None else given.stated
        if number is None:
            raise InputError(
                f"{given.place}: expected a name that ends in the frame's number, such as "
                f"frame_00012, got {given.name}; rename it"
            )
        if given.stated is None and not any(map(self.counts, given.names)):
            self.say(f"{given.place}: {given.name} is taken for frame {number}, by its last number")
        return number

    def _either(self, reading: _Reading) -> InputError:
        index, by_name = reading.counted, reading.by_name
        assert index is not None and by_name is not None
        return InputError(
            f"{reading.given.place}: {reading.given.name} may be the picture "
            f"{base_name(self._path(by_name))}, frame {by_name}, or frame {index}, "
            f"{base_name(self._path(index))}; {_CHOICE}"
        )

    def _no_picture(self, given: NamedPicture) -> str:
        return f"{given.place}: {given.name} is none of the pictures {self._span()}"

    def _span(self) -> str:
        return listed([base_name(path) for path in self.pictures or ()], most=2)

    def _path(self, frame: int) -> str:
        return (self.pictures or ())[frame]

    def counts(self, name: str) -> bool:
        """Whether a name surely is that of a frame: a number, `frame_12`, or our name and one."""
        own = stem(self.video).lower()
        counted = rf"{re.escape(own)}[ _.-]*[0-9]+"
        return NamedPicture("", (name,)).is_counted or bool(
            re.fullmatch(counted, stem(before_export(name)).lower())
        )

    # -- sizes ---------------------------------------------------------------------------------

    def scale(self, size: tuple[int, int], place: str) -> tuple[float, float]:
        """Factors of x and y from a picture of `size` (height, width) to the video's.

        Raises:
            InputError: the shapes differ by more than a pixel of the smaller of the two.
        """
        (height, width), (to_height, to_width) = size, self.size
        if size == self.size:
            return 1.0, 1.0
        self._check_shape(size, place)
        self.say(
            f"{place}: marked on {width}x{height} pixels, scaled to the video's "
            f"{to_width}x{to_height}"
        )
        return to_width / width, to_height / height

    def mask_size_check(self, place: str) -> Callable[[tuple[int, int]], None]:
        """What refuses the (height, width) of a mask by its header, before pixels are read.

        Raises (when called):
            InputError: another shape, or far more pixels than the video.
        """

        def check(size: tuple[int, int]) -> None:
            self._check_shape(size, place)
            most = max(MOST_MASK_PIXELS, self.size[0] * self.size[1])
            if size[0] * size[1] > most:
                raise InputError(
                    f"{place}: expected the video's {self.size[1]}x{self.size[0]} pixels, or at "
                    f"most {most / 1e6:.0f} megapixels of that shape, got {size[1]}x{size[0]}; "
                    "scale the mask down first"
                )

        return check

    def _check_shape(self, size: tuple[int, int], place: str) -> None:
        if size != self.size and (min(size) < 1 or not _same_shape(size, self.size)):
            raise InputError(
                f"{place}: expected the video's {self.size[1]}x{self.size[0]} pixels, got "
                f"{size[1]}x{size[0]}, another shape that cannot be scaled to it; mark a frame of "
                "this video"
            )

    def fit_mask(self, mask: np.ndarray, place: str) -> np.ndarray:
        """(H, W) ids brought to the video's size by the nearest pixel.

        Raises:
            InputError: another shape, or an object that is gone at that size.
        """
        self.scale((mask.shape[0], mask.shape[1]), place)
        if mask.shape == self.size:
            return mask
        rows, columns = (
            ((np.arange(to) + 0.5) * given / to).astype(np.int64)
            for given, to in zip(mask.shape, self.size, strict=True)
        )
        fitted = mask[np.ix_(rows, columns)]
        if gone := sorted({*distinct(mask).tolist()} - {*distinct(fitted).tolist()} - {0}):
            raise InputError(
                f"{place}: object {gone[0]} is too small to be scaled to the video's "
                f"{self.size[1]}x{self.size[0]}; draw it on a frame of this video"
            )
        return fitted

    # -- several videos in one file ------------------------------------------------------------

    def video_among(self, videos: Mapping[_Key, set[str]], place: str) -> _Key:
        """Which of a file's videos is this one.

        Args:
            videos: {key: its names and folders}, at least one.

        Raises:
            InputError: several and none or more than one fits, or --video-name fits none.
        """
        fit = {key: self._fit(names) for key, names in videos.items()}
        best = max(fit.values())
        fitting = [key for key in fit if fit[key] == best > 0]
        if len(fitting) == 1 or (len(videos) == 1 and not self.video_name):
            chosen = (fitting or list(videos))[0]
            if others := [_shortest(names) for key, names in videos.items() if key != chosen]:
                self.say(f"{place}: marks of other videos are passed over: {listed(others)}")
            return chosen
        texts = listed([_shortest(names) for names in videos.values()])
        got = f"--video-name {self.video_name}" if self.video_name else "no name that fits this one"
        raise InputError(
            f"{place}: holds marks of several videos ({texts}), got {got}; say which one with "
            "--video-name"
        )

    def _fit(self, names: set[str]) -> float:
        """How well a video's names and folders fit ours: parts that agree from the end."""
        if self.video_name:
            ours = {self.video_name}
        else:
            folders = {folder_of(picture) for picture in self.pictures or ()}
            ours = {Path(path).resolve().as_posix() for path in folders or {self.video}}
        pairs = [(_no_suffix(name), _no_suffix(own)) for name in names for own in ours]
        whole = max((same_ending(*pair) for pair in pairs), default=0)
        among = any(base_name(own).lower() in name.lower().split("/") for name, own in pairs)
        return max(whole, among / 2)


_CHOICE = "say which with --numbers names or --numbers index"


def _whole_text(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8").strip()


def _known(reading: _Reading, frame: int | None, unknown: Callable[[NamedPicture], str]) -> int:
    if frame is None:
        raise InputError(f"{unknown(reading.given)}; rename it, or count with --numbers index")
    return frame


def _differs(reading: _Reading) -> bool:
    return reading.counted is not None and reading.by_name not in (None, reading.counted)


def _indexed(reading: _Reading) -> int | None:
    """The index, where the name may be one: stated, counted, or the picture's number too."""
    sure = reading.given.stated is not None or reading.given.is_counted
    return reading.counted if sure or reading.counted == reading.by_name else None


def _same_shape(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether two (height, width) are one shape, to within a pixel of the smaller (or 3 %)."""
    (height, width), (to_height, to_width) = sorted((one, other), key=lambda size: size[::-1])
    off = min(
        abs(to_height * width / to_width - height), abs(to_width * height / to_height - width)
    )
    return off <= 1 and abs(height * to_width / (width * to_height) - 1) <= MOST_STRETCH


def _no_suffix(name: str) -> str:
    return f"{folder_of(name)}/{stem(name)}".lstrip("/")


def _shortest(names: set[str]) -> str:
    return min(names, key=lambda name: (name.isdecimal(), len(name), name))
