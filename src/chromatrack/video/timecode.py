"""SMPTE timecode of a source: its first frame's, and what that makes another frame's."""

from __future__ import annotations

import re
from fractions import Fraction

from av.container import InputContainer
from av.error import FFmpegError

from chromatrack.video.decode import file_url, open_input

_TIMECODE = re.compile(r"([0-9]{2}):([0-9]{2}):([0-9]{2})([:;.])([0-9]{2,3})")


def first_timecode(path: str) -> str | None:
    """The timecode that a file states for its first frame, such as `01:00:00:00`; else None.

    With `;` before the frames, numbers of frames are dropped (29.97 and 59.94 per second).
    """
    try:
        with open_input(file_url(path)) as container:
            return _stated(container)
    except (FFmpegError, OSError):
        return None


def _stated(container: InputContainer) -> str | None:
    video = list(container.streams.video)
    places = [*(one.metadata for one in (*video, *container.streams)), container.metadata]
    for place in places:
        for name, text in place.items():
            if name.lower() == "timecode" and _TIMECODE.fullmatch(text.strip()):
                return text.strip()
    return None


def usual_rate(fps: float) -> Fraction | None:
    """The rate that is meant, whole or 1000 / 1001 of a whole one; None: it is neither."""
    for rate in (Fraction(round(fps)), Fraction(1000 * round(fps * 1.001), 1001)):
        if rate > 0 and abs(float(rate) - fps) <= 1e-5 * fps:
            return rate
    return None


def later(timecode: str, frames: int, rate: Fraction) -> str:
    """The timecode so many frames later, at frames per second; after a day from 0 again."""
    found = _TIMECODE.fullmatch(timecode)
    assert found is not None
    base = round(rate)
    hours, minutes, seconds, number = (int(found[part]) for part in (1, 2, 3, 5))
    drops = base // 15 if found[4] in ";." and base % 30 == 0 else 0
    whole = 60 * hours + minutes
    count = (60 * whole + seconds) * base + number - drops * (whole - whole // 10) + frames
    ten_minutes = 600 * base - 9 * drops
    count %= 144 * ten_minutes
    tens, rest = divmod(count, ten_minutes)
    count += drops * 9 * tens
    if rest >= 60 * base:
        count += drops * (1 + (rest - 60 * base) // (60 * base - drops))
    seconds, number = divmod(count, base)
    mark = ";" if drops else ":"
    return (
        f"{seconds // 3600 % 24:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{mark}{number:02d}"
    )
