"""Moments of a video as people name them: frame numbers and times -> frame numbers."""

from __future__ import annotations

import re

from chromatrack.errors import InputError
from chromatrack.structures import Source
from chromatrack.video.reader import read_frame

Moment = int | str
"""A frame number counted from 0 (`12`, `"12"`), or a time in seconds (`"2.5s"`)."""


def frame_range(
    video: Source, *, start: Moment = 0, end: Moment | None = None
) -> tuple[int, int | None]:
    """Frame numbers (first, one after the last or None) of two moments in a video.

    A start time means the frame on screen then; an end time leaves out every frame shown at that
    time or later. Times count as `Frame.pts_seconds` does.

    Raises:
        InputError: not a moment, or the range is empty.
        VideoError: a time behind the end of the video.
    """
    seconds = parse_moment(start)
    first = seconds if isinstance(seconds, int) else read_frame(video, seconds=seconds).index
    if end is None:
        return first, None
    last = parse_moment(end)
    if not isinstance(last, int):
        frame = read_frame(video, seconds=last)
        last = frame.index + (frame.pts_seconds < last)
    if last <= first:
        raise InputError(
            f"expected start before end, got {start} (frame {first}) and {end} (frame {last})"
        )
    return first, last


def parse_moment(moment: Moment) -> int | float:
    """A frame number (int) or seconds (float) from `12`, `"12"` or `"2.5s"`.

    Raises:
        InputError: neither of the two.
    """
    text = str(moment).strip()
    if re.fullmatch(r"[0-9]{1,12}", text):
        return int(text)
    if re.fullmatch(r"([0-9]{1,12}(\.[0-9]*)?|\.[0-9]+) ?s", text):
        return float(text[:-1])
    raise InputError(
        f"expected a frame number (12) or a time in seconds (2.5s), from 0 up, got {text!r}"
    )
