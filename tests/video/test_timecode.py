"""Timecode goes along: read, counted on, and written into what is made of a source."""

from __future__ import annotations

from fractions import Fraction

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st
from video_clips import pictures

from chromatrack.video.like_source import options_like
from chromatrack.video.reader import open_writer, probe, read_frames
from chromatrack.video.timecode import first_timecode, later
from chromatrack.video.writer import VideoWriter

NTSC = Fraction(30000, 1001)


@pytest.mark.parametrize(
    ("start", "frames", "rate", "then"),
    [
        ("01:00:00:00", 0, Fraction(25), "01:00:00:00"),
        ("01:00:00:24", 1, Fraction(25), "01:00:01:00"),
        ("10:59:59:23", 1, Fraction(24000, 1001), "11:00:00:00"),
        ("23:59:59:29", 1, Fraction(30), "00:00:00:00"),
        ("00:00:59;29", 1, NTSC, "00:01:00;02"),
        ("00:09:59;29", 1, NTSC, "00:10:00;00"),
        ("00:00:00;00", 107_892, NTSC, "01:00:00;00"),
        ("00:00:59;59", 1, Fraction(60000, 1001), "00:01:00;04"),
    ],
)
def test_timecodes_are_counted_as_smpte_does(start, frames, rate, then):
    assert later(start, frames, rate) == then


@given(st.integers(0, 2_589_407), st.integers(0, 100_000))
def test_steps_add_up(first, second):
    start = later("00:00:00;00", first, NTSC)
    assert later(start, second, NTSC) == later("00:00:00;00", first + second, NTSC)
    assert not (start.endswith((";00", ";01")) and start[6:8] == "00" and start[4] != "0")


@pytest.mark.parametrize("name", ["a.mov", "a.mp4", "a.mkv"])
def test_it_goes_from_a_source_to_what_is_made_of_it(tmp_path, name):
    source = tmp_path / f"source-{name}"
    with VideoWriter(source, fps=25, timecode="09:58:30:10") as writer:
        for rgb in pictures(6):
            writer.write(rgb)
    assert first_timecode(str(source)) == "09:58:30:10"
    made = tmp_path / name
    with open_writer(made, **options_like(source, info=probe(source), first=2)) as writer:
        for frame in read_frames(source, start=2):
            writer.write(frame.rgb, pts_seconds=frame.pts_seconds)
    assert first_timecode(str(made)) == "09:58:30:12"
    with av.open(str(made)) as container:
        assert [one.type for one in container.streams].count("video") == 1
    assert len(list(read_frames(made))) == 4


def test_a_source_without_one_has_none(tmp_path):
    with VideoWriter(tmp_path / "a.mp4") as writer:
        writer.write(pictures(1)[0])
    assert first_timecode(str(tmp_path / "a.mp4")) is None
    assert first_timecode(str(tmp_path / "none.mp4")) is None
