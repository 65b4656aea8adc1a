"""Frame numbers and times, as typed."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from video_clips import pictures, write_clip

from chromatrack.errors import InputError, VideoError
from chromatrack.video.reader import frame_range, parse_moment


@given(st.integers(0, 10**9))
def test_whole_numbers_are_frames(number):
    assert (
        parse_moment(number) == parse_moment(str(number)) == parse_moment(f" {number} ") == number
    )
    assert isinstance(parse_moment(number), int)


@given(st.decimals(0, 10**6, places=3))
def test_numbers_with_s_are_seconds(seconds):
    parsed = parse_moment(f"{seconds}s")
    assert isinstance(parsed, float) and parsed == float(seconds)


@given(st.text(max_size=8))
def test_anything_else_is_refused(text):
    try:
        parsed = parse_moment(text)
    except InputError as error:
        assert repr(text.strip()) in str(error)
    else:
        assert parsed >= 0 and text.strip().removesuffix("s").strip().replace(".", "").isdigit()


@pytest.mark.parametrize("text", ["", "-1", "1.5", "s", ".s", "1e3s", "2 m", "٣"])
def test_near_misses_are_refused(text):
    with pytest.raises(InputError, match=r"frame number \(12\) or a time"):
        parse_moment(text)


def test_times_become_frames(tmp_path):
    """Frames at 0, 0.1, 0.15, 0.25 s: a start is on screen, an end and what follows is left out."""
    clip = write_clip(
        tmp_path / "clip.mp4", pictures(4), ticks=[0, 4, 6, 10], time_base=Fraction(1, 40)
    )
    assert frame_range(clip) == (0, None)
    assert frame_range(clip, start="0.12s", end="0.25s") == (1, 3)
    assert frame_range(clip, start="0.1s", end="0.2s") == (1, 3)
    assert frame_range(clip, start=1, end="0.26s") == (1, 4)
    with pytest.raises(InputError, match="start before end"):
        frame_range(clip, start="0.15s", end="0.15s")
    with pytest.raises(VideoError, match="ends at"):
        frame_range(clip, start="3s")
