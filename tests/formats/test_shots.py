"""Shots as edit lists: read back by pycmx and OpenTimelineIO, and against each other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tracked_videos import track, tracked_video

from chromatrack.errors import InputError
from chromatrack.formats.exchange import ExportOptions
from chromatrack.formats.shots import Shot, read_shots, shots_of, timecode, write_edl, write_fcpxml

PLAIN = ExportOptions()
PLATE = ExportOptions(start_number=1001)


def three_shots(first: int = 0, fps: float = 25.0):
    """Shots of 30, 45 and 25 frames."""
    cuts = np.zeros(100, dtype=bool)
    cuts[[30, 75]] = True
    point = {1: track(np.full((100, 2), 3.0), first=first)}
    times = np.arange(first, first + 100) / fps
    return tracked_video(first, 100, points=point, cuts=cuts, fps=fps, times=times)


def test_shots_lie_between_cuts():
    assert shots_of(three_shots(7)) == [Shot(7, 37), Shot(37, 82), Shot(82, 107)]
    assert shots_of(tracked_video(3, 4)) == [Shot(3, 7)]


def test_edl_is_golden(tmp_path):
    notes = write_edl(three_shots(), tmp_path / "s.edl", PLAIN)
    assert len(notes) == 1 and "25 frames a second" in notes[0]
    assert (tmp_path / "s.edl").read_text(encoding="utf-8") == (
        "TITLE: mouse\nFCM: NON-DROP FRAME\n\n"
        "001  AX       V     C        00:00:00:00 00:00:01:05 00:00:00:00 00:00:01:05\n"
        "* FROM CLIP NAME: mouse.mp4\n"
        "002  AX       V     C        00:00:01:05 00:00:03:00 00:00:01:05 00:00:03:00\n"
        "* FROM CLIP NAME: mouse.mp4\n"
        "003  AX       V     C        00:00:03:00 00:00:04:00 00:00:03:00 00:00:04:00\n"
        "* FROM CLIP NAME: mouse.mp4\n"
    )


@pytest.mark.parametrize("fps", [24.0, 25.0, 30000 / 1001, 24000 / 1001, 60.0])
def test_edl_is_read_by_both(tmp_path, fps):
    otio = pytest.importorskip("opentimelineio")
    pytest.importorskip("pycmx")
    if "cmx_3600" not in otio.adapters.available_adapter_names():
        pytest.skip("no adapter for EDL")
    write_edl(three_shots(fps=fps), tmp_path / "s.edl", PLATE)
    read = read_shots(tmp_path / "s.edl", fps)
    assert read == [Shot(0, 30, "mouse.mp4"), Shot(30, 75, "mouse.mp4"), Shot(75, 100, "mouse.mp4")]
    timeline = otio.adapters.read_from_file(str(tmp_path / "s.edl"), rate=round(fps))
    clips = list(timeline.video_tracks()[0].find_clips())
    assert [clip.source_range.start_time.to_frames() for clip in clips] == [1001, 1031, 1076]
    assert [clip.source_range.duration.to_frames() for clip in clips] == [30, 45, 25]


def test_fcpxml_is_read_by_opentimelineio(tmp_path):
    otio = pytest.importorskip("opentimelineio")
    if "fcpx_xml" not in otio.adapters.available_adapter_names():
        pytest.skip("no adapter for FCPXML")
    write_fcpxml(three_shots(7), tmp_path / "s.fcpxml", PLATE)
    read = otio.adapters.read_from_file(str(tmp_path / "s.fcpxml"))
    clips = list(read.find_clips())
    assert [clip.range_in_parent().start_time.to_frames() for clip in clips] == [0, 30, 75]
    assert [clip.source_range.start_time.to_frames() for clip in clips] == [1001, 1031, 1076]
    assert [clip.source_range.duration.to_frames() for clip in clips] == [30, 45, 25]


@pytest.mark.parametrize("fps", [25.0, 30000 / 1001, 24000 / 1001])
def test_fcpxml_keeps_every_frame(tmp_path, fps):
    write_fcpxml(three_shots(7, fps=fps), tmp_path / "s.fcpxml", PLAIN)
    read = read_shots(tmp_path / "s.fcpxml", fps)
    assert [(shot.first, shot.end) for shot in read] == [(0, 30), (30, 75), (75, 100)]
    text = (tmp_path / "s.fcpxml").read_text(encoding="utf-8")
    step = {25: "1/25s", 30: "1001/30000s", 24: "1001/24000s"}[round(fps)]
    assert f'frameDuration="{step}"' in text and 'src="file:///' in text


def test_an_edit_of_final_cut_itself_is_read(tmp_path):
    """As Final Cut Pro writes it (DAWFileKit's sample 29.97d, shortened to what counts here).

    A compound clip among the resources, with a spine of its own; clips that are sped up or have
    others connected to them; dropped frames.
    """
    parts = [(0, 103), (103, 106), (209, 108), (317, 100), (417, 137), (554, 124), (678, 209)]
    kinds = ["asset-clip", "asset-clip", "ref-clip", *["asset-clip"] * 4]
    inside = {
        3: '<timeMap><timept time="0s" value="0s" interp="smooth2"/></timeMap>',
        4: '<spine lane="1" offset="53053/1200s">'
        '<asset-clip ref="r2" offset="0s" name="B" duration="6006/30000s"/></spine>',
        6: '<ref-clip ref="r3" lane="1" offset="899899/10000s" duration="61061/30000s"/>',
    }
    clips = [
        f'<{kind} ref="r2" offset="{first * 1001}/30000s" name="TestVideo" '
        f'duration="{length * 1001}/30000s" tcFormat="NDF">{inside.get(number, "")}</{kind}>'
        for number, (kind, (first, length)) in enumerate(zip(kinds, parts, strict=True))
    ]
    compound = (
        '<media id="r3" name="29.97_CC"><sequence format="r1" duration="174174/30000s"><spine>'
        '<asset-clip ref="r2" offset="0s" name="inside" duration="174174/30000s"/>'
        "</spine></sequence></media>"
    )
    (tmp_path / "s.fcpxml").write_text(
        '<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE fcpxml>\n\n<fcpxml version="1.11">'
        '<resources><format id="r1" frameDuration="1001/30000s" width="1920" height="1080"/>'
        f'{compound}</resources><library><event name="11-9-22"><project name="29.97d_V1">'
        '<sequence format="r1" duration="887887/30000s" tcStart="0s" tcFormat="DF"><spine>'
        f"{''.join(clips)}</spine></sequence></project></event></library></fcpxml>\n"
    )
    shots = read_shots(tmp_path / "s.fcpxml", 30000 / 1001)
    assert [(shot.first, shot.end) for shot in shots] == [(a, a + b) for a, b in parts]
    assert {shot.name for shot in shots} == {"TestVideo"}


def test_other_edits_are_read(tmp_path):
    otio = pytest.importorskip("opentimelineio")
    line, track_ = otio.schema.Timeline("t"), otio.schema.Track("V", kind="Video")
    line.tracks.append(track_)
    time = otio.opentime.RationalTime
    for name, frames in (("a", 24), ("b", 48)):
        length = otio.opentime.TimeRange(time(10, 24), time(frames, 24))
        track_.append(otio.schema.Clip(name, source_range=length))
    otio.adapters.write_to_file(line, str(tmp_path / "s.otio"))
    assert read_shots(tmp_path / "s.otio", 48) == [Shot(0, 48, "a"), Shot(48, 144, "b")]


def test_dropped_frames_are_counted(tmp_path):
    pytest.importorskip("pycmx")
    (tmp_path / "s.edl").write_text(
        "TITLE: t\nFCM: DROP FRAME\n\n"
        "001  AX       V     C        00:00:00;00 00:01:00;02 00:00:00;00 00:01:00;02\n"
        "002  AX       V     C        00:00:00;00 00:09:00;00 00:01:00;02 00:10:00;00\n",
        encoding="utf-8",
    )
    shots = read_shots(tmp_path / "s.edl", 30000 / 1001)
    assert [(shot.first, shot.end) for shot in shots] == [(0, 1800), (1800, 17982)]


@given(st.integers(0, 24 * 3600 * 60), st.sampled_from([24, 25, 30, 50, 60]))
def test_timecodes_count_frames(frame, base):
    hours, minutes, seconds, rest = map(int, timecode(frame, base).split(":"))
    again = ((60 * hours + minutes) * 60 + seconds) * base + rest
    assert again == frame % (24 * 3600 * base) and minutes < 60 and seconds < 60 and rest < base


def test_what_is_no_edit_is_told(tmp_path):
    pytest.importorskip("pycmx")
    pytest.importorskip("opentimelineio")
    for name in ("a.edl", "a.fcpxml", "a.otio", "a.xml"):
        (tmp_path / name).write_text("no edit", encoding="utf-8")
        with pytest.raises(InputError, match="expected an edit"):
            read_shots(tmp_path / name, 25)
    with pytest.raises(InputError, match=r"expected an edit as \.edl"):
        (tmp_path / "a.txt").write_text("", encoding="utf-8")
        read_shots(tmp_path / "a.txt", 25)
    with pytest.raises(InputError, match="no file"):
        read_shots(tmp_path / "none.edl", 25)
    write_edl(replace(three_shots(fps=60.0)), tmp_path / "s.edl", PLAIN)
    with pytest.raises(InputError, match="expected timecodes of 25 frames a second"):
        read_shots(tmp_path / "s.edl", 25)
