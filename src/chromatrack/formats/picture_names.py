"""Names of pictures: what tools make of them, which number stands in them, which name one picture.

Pure functions of texts; which frame a name means is decided in `marked_source.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Literal

Numbers = Literal["auto", "index", "names"]
"""What the number in a picture's name means: its frame's index, the picture that bears it, or
whichever of the two is possible."""

_SUFFIX = re.compile(r"\.[A-Za-z][A-Za-z0-9]{1,4}$")
_MEDIA = (
    "mp4|m4v|m2ts|3gp|3g2|f4v|h264|h265|ivf|jp2|j2k|jxl|mov|avi|mkv|webm|mpg|mpeg|wmv|flv|gif|ts"
)
_MEDIA_WORD = re.compile(_MEDIA, re.IGNORECASE)
_PICTURE_WORD = re.compile(r"_(jpe?g|png|bmp|webp|tiff?|avif|heic)$", re.IGNORECASE)
_IMAGE = re.compile(r"\.(jpe?g|png|bmp|webp|tiff?)$", re.IGNORECASE)
_ROBOFLOW = re.compile(r"\.rf\.[0-9A-Za-z_-]+(?=\.|$)")
_PREFIXED = re.compile(r"(.*?[A-Za-z0-9]*[A-Za-z][A-Za-z0-9]*?)[ _.-]*[0-9]+")
_GENERIC = re.compile("frame|img|image|pic|picture|mask", re.IGNORECASE)
_OF_VIDEO = re.compile(rf"(.+)[_.-]({_MEDIA})[_-][0-9]+", re.IGNORECASE)
_COUNTED = re.compile(rf"(.*[_.-]({_MEDIA})[_-])?(frame|img|image)?[_ -]?[0-9]+", re.IGNORECASE)
_WORD = re.compile(r"[0-9A-Za-z]+(?:\.[0-9]+)*")
_DECIMAL = re.compile(r"([0-9]+)\.([0-9]+)")


@dataclass(frozen=True)
class NamedPicture:
    """Which picture a part of a file of marks says it belongs to.

    place: where it says so, as errors begin. names: of the picture, the most telling first; may be
    empty. stated: the frame number that the file gives beside them, or None. also: names that count
    where a picture has exactly that name.
    """

    place: str
    names: tuple[str, ...]
    stated: int | None = None
    also: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The picture as errors call it."""
        return base_name(self.names[0]) if self.names else "an unnamed picture"

    @property
    def number(self) -> int | None:
        """The number in the most telling name that has one."""
        found = (last_number(name) for name in self.names)
        return next((number for number in found if number is not None), None)

    @property
    def is_counted(self) -> bool:
        """Whether it is named as frames are that were counted: `00012`, `frame_12`, `a_mp4-12`."""
        return any(_COUNTED.fullmatch(stem(name)) for name in map(before_export, self.names))


def base_name(name: str) -> str:
    """A picture's name without folders, of either kind of slash."""
    return name.replace("\\", "/").rstrip("/").rpartition("/")[2]


def folder_of(name: str) -> str:
    """The folders before a picture's name, '/' between them; "" where there are none."""
    return name.replace("\\", "/").rpartition("/")[0].removeprefix("./")


def stem(name: str) -> str:
    """A picture's name without folders and suffix; a number behind a dot is no suffix."""
    return _SUFFIX.sub("", base_name(name))


def before_export(name: str) -> str:
    """The name that a picture had before Roboflow exported it; other names as they are.

    `toy_mp4-0000_jpg.rf.9f3c...e3f.jpg` was `toy_mp4-0000.jpg`.
    """
    base = base_name(name)
    export = _ROBOFLOW.search(base)
    return _PICTURE_WORD.sub(r".\1", base[: export.start()]) if export else base


def video_in_name(name: str) -> str:
    """The video a picture says it was taken from: `toy` of `toy_mp4-0012.jpg`; "" if it does not.

    Only where the video's suffix stands in the name.
    """
    found = _OF_VIDEO.fullmatch(stem(before_export(name)))
    return found[1] if found else ""


def prefix_of(name: str) -> str:
    """What stands before the number at a picture's end: `clip` of `clip_0012.jpg`, else "".

    Words such as `frame` are none.
    """
    found = _PREFIXED.fullmatch(stem(before_export(name)))
    return "" if found is None or _GENERIC.fullmatch(found[1]) else found[1]


def loosened(name: str) -> str:
    """A stem as exports keep it: other characters than letters and digits are one dash each run."""
    return re.sub(r"[^0-9a-z]+", "-", stem(before_export(name)).lower())


def last_number(file_name: str) -> int | None:
    """The number of a frame in a picture's name: the last that is a word, or ends one, of letters.

    What Roboflow appends is not looked at, nor are words such as `mp4` and hashes. None where there
    is no such number, where it has more than 18 digits, or where it is a fraction (a time).
    """
    for word in reversed(_WORD.findall(stem(before_export(file_name)))):
        if decimal := _DECIMAL.fullmatch(word):
            whole, fraction = decimal.groups()
            return int(whole) if not fraction.strip("0") and len(whole) <= 18 else None
        last = word.rpartition(".")[2]
        if _MEDIA_WORD.fullmatch(last):
            continue
        if digits := re.fullmatch(r"[A-Za-z]*?([0-9]+)", last):
            return int(digits[1]) if len(digits[1]) <= 18 else None
    return None


def same_ending(one: str, other: str) -> int:
    """How many parts of two paths agree, counted from the end; capitals do not matter."""
    parts = (path.replace("\\", "/").lower().split("/")[::-1] for path in (one, other))
    agreeing = takewhile(lambda pair: pair[0] == pair[1] != "", zip(*parts, strict=False))
    return sum(1 for _ in agreeing)


class PictureIndex:
    """Pictures in order of frames, found by name or number."""

    def __init__(self, paths: Sequence[str]) -> None:
        self.paths = tuple(paths)
        self._tables = {key: _table(key, self.paths) for key in _KEYS}
        self._numbered = _table(last_number, self.paths)
        self._last = max(filter(None, map(last_number, self.paths)), default=0)

    def called(self, name: str) -> list[int]:
        """The pictures of that name, at the first of these where there are any.

        With suffix, without, with other capitals, without two suffixes (`00012.jpg.png`), and as
        Roboflow renames what it exports. Where several folders have it, those on the same path.
        """
        keys = [*_KEYS] if _ROBOFLOW.search(base_name(name)) else [*_KEYS][:-1]
        found = next((hits for key in keys if (hits := self._tables[key].get(key(name)))), [])
        if not found:
            found = self._tables[stem].get(_stem_twice(name), [])
        if len(found) < 2:
            return found
        shared = {i: same_ending(folder_of(self.paths[i]), folder_of(name)) for i in found}
        return [i for i in found if shared[i] == max(shared.values())]

    def numbered(self, number: int) -> int | None:
        """The one picture with that number in its name, or None."""
        found = self._numbered.get(number, [])
        return found[0] if len(found) == 1 else None

    def is_behind(self, number: int, end: int | None) -> bool:
        """Whether the picture of that number is frame `end` or later, or would follow the last."""
        found = self.numbered(number)
        if found is None:
            return number > self._last
        return end is not None and found >= end


def _table(key: Callable[[str], Hashable], paths: Sequence[str]) -> dict[Hashable, list[int]]:
    found: dict[Hashable, list[int]] = {}
    for number, path in enumerate(paths):
        found.setdefault(key(path), []).append(number)
    return found


def _lower_stem(name: str) -> str:
    return stem(name).lower()


def _stem_twice(name: str) -> str:
    return _IMAGE.sub("", stem(name))


def _stem_before_export(name: str) -> str:
    return stem(before_export(name)).lower()


_KEYS = (base_name, stem, _lower_stem, _stem_before_export, loosened)


def listed(texts: Sequence[str], *, most: int = 4) -> str:
    """Texts with commas between them, shortened in the middle."""
    if len(texts) <= most:
        return ", ".join(texts)
    return f"{', '.join(texts[: most - 1])}, ... {texts[-1]} ({len(texts)})"
