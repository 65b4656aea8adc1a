"""Transport streams that were joined: read through, in one line of time, with their sound."""

from __future__ import annotations

import warnings
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from video_clips import pictures, sound_packets, write_clip

from chromatrack.errors import DamagedVideoError
from chromatrack.video.reader import VideoWriter, frame_range, probe, read_frame, read_frames
from chromatrack.video.transport import PACKET, recordings


def clip(
    path: Path, count: int, *, seed: int = 0, size=(48, 64), first: int = 0, **options
) -> bytes:
    ticks = [first + i for i in range(count)]
    frames = pictures(count, size=size, seed=seed)
    return write_clip(path, frames, ticks=ticks, options={"g": "15"}, **options).read_bytes()


def joined(folder: Path, *parts: bytes) -> Path:
    (folder / "joined.ts").write_bytes(b"".join(parts))
    return folder / "joined.ts"


M2TS = {"mpegts_m2ts_mode": "1"}  # packets of 192 bytes, as cameras and discs have them


@pytest.mark.parametrize("mode", [{}, M2TS], ids=["188", "192"])
@pytest.mark.parametrize("first", [0, 36, 24 * 3600, 5], ids=["back", "near", "far", "within"])
def test_both_recordings_are_read_without_a_gap(tmp_path, first, mode):
    """The second clock starts anew, goes on as if nothing was, leaps, or starts a little later."""
    a = clip(tmp_path / "a.ts", 30, container_options=mode)
    b = clip(tmp_path / "b.ts", 20, seed=3, first=first, container_options=mode)
    path = joined(tmp_path, a, b)
    assert a[4 if mode else 0] == 0x47 and len(a) % (192 if mode else 188) == 0
    assert [part.start for part in recordings(str(path))] == [0, len(a)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        frames = list(read_frames(path))
    assert [f.index for f in frames] == list(range(50))
    assert [f.pts_seconds for f in frames] == pytest.approx([i / 24 for i in range(50)], abs=1e-4)
    alone = [f.rgb for name in ("a.ts", "b.ts") for f in read_frames(tmp_path / name)]
    assert all(np.array_equal(f.rgb, rgb) for f, rgb in zip(frames, alone, strict=True))


def test_numbers_and_times_in_the_second_recording(tmp_path):
    parts = [clip(tmp_path / f"{seed}.ts", 40, seed=seed) for seed in range(3)]
    path = joined(tmp_path, *parts)
    frames = list(read_frames(path))
    assert len(frames) == 120
    for index in (39, 40, 79, 80, 119):
        alone = read_frame(path, index=index)
        assert alone.pts_seconds == frames[index].pts_seconds
        assert np.array_equal(alone.rgb, frames[index].rgb)
    assert frame_range(path, start="2s", end="4s") == (48, 96)


def test_another_size_is_brought_to_the_first_and_told(tmp_path):
    a, b = clip(tmp_path / "a.ts", 20), clip(tmp_path / "b.ts", 20, size=(64, 96))
    with pytest.warns(UserWarning, match="change from 64x48 to 96x64"):
        frames = list(read_frames(joined(tmp_path, a, b)))
    assert len(frames) == 40 and {f.rgb.shape for f in frames} == {(48, 64, 3)}


@settings(deadline=None, max_examples=15, suppress_health_check=list(HealthCheck))
@given(share=st.floats(0.3, 1), extra=st.integers(0, PACKET - 1), mode=st.sampled_from([{}, M2TS]))
def test_a_first_recording_that_broke_off_anywhere(tmp_path, share, extra, mode):
    a = clip(tmp_path / "a.ts", 30, container_options=mode)
    b = clip(tmp_path / "b.ts", 20, seed=3, container_options=mode)
    size = 192 if mode else PACKET
    packets = int(share * len(a) / size)
    path = joined(tmp_path, a[: packets * size + extra], b)
    frames = list(read_frames(path))
    assert 20 < len(frames) <= 50
    assert min(np.diff([f.pts_seconds for f in frames])) > 0
    last = next(iter(list(read_frames(tmp_path / "b.ts"))[-1:]))
    assert np.array_equal(frames[-1].rgb, last.rgb)


@pytest.mark.parametrize("at", [20, 31, 44])
@pytest.mark.parametrize("mode", [{}, M2TS], ids=["188", "192"])
def test_a_hole_is_still_damage(tmp_path, at, mode):
    content, size = clip(tmp_path / "a.ts", 60, container_options=mode), 192 if mode else PACKET
    holed = joined(tmp_path, content[: at * size], content[(at + 5) * size :])
    assert recordings(str(holed)) == ()
    with pytest.raises(DamagedVideoError):
        list(read_frames(holed))


@pytest.mark.parametrize("mode", [{}, M2TS], ids=["188", "192"])
@pytest.mark.parametrize("options", [{}, {"bf": "0"}, {"g": "1"}], ids=["b", "no b", "keys"])
@pytest.mark.parametrize("hours", [0.01, 5, 20])
def test_a_gap_in_one_recording_is_no_seam(tmp_path, hours, options, mode):
    """Counters go on, so nothing was joined: nothing was shown for a while."""
    ticks = [3750 * i + (round(hours * 3600 * 90_000) if i > 6 else 0) for i in range(12)]
    path = write_clip(
        tmp_path / "gap.ts",
        pictures(12),
        ticks=ticks,
        time_base=Fraction(1, 90_000),
        options={"g": "250", **options},
        container_options=mode,
    )
    assert recordings(str(path)) == ()
    times = [f.pts_seconds for f in read_frames(path)]
    assert times == pytest.approx([tick / 90_000 for tick in ticks], abs=1e-4)


def test_a_single_recording_and_other_files_are_left_alone(tmp_path):
    clip(tmp_path / "a.ts", 30)
    clip(tmp_path / "b.ts", 30, container_options=M2TS)
    write_clip(tmp_path / "a.mp4", pictures(5))
    for name in ("a.ts", "b.ts", "a.mp4", "none.ts"):
        assert recordings(str(tmp_path / name)) == ()


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_the_sound_of_both_goes_along(tmp_path, suffix):
    a = clip(tmp_path / "a.ts", 48, tone="aac", tone_seconds=2)
    b = clip(tmp_path / "b.ts", 48, tone="aac", tone_seconds=2)
    path = joined(tmp_path, a, b)
    assert probe(path).has_audio
    with VideoWriter(tmp_path / f"t{suffix}", audio_from=path) as writer:
        for frame in read_frames(path):
            writer.write(frame.rgb, pts_seconds=frame.pts_seconds)
    times = [seconds for seconds, _ in sound_packets(tmp_path / f"t{suffix}")]
    assert max(times) == pytest.approx(4, abs=0.1)
    assert len(times) == pytest.approx(4 * 44100 / 1024, abs=12)
    assert min(np.diff(times)) > 0


# -- times ------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".ts", ".mp4", ".mkv", ".mov"])
@pytest.mark.parametrize("first", [0, 36, 35])
def test_seconds_count_from_the_first_shown_frame(tmp_path, suffix, first):
    path = tmp_path / f"a{suffix}"
    base = Fraction(1, 24)
    write_clip(
        path, pictures(96), ticks=[first + i for i in range(96)], time_base=base,
        options={"g": "24"}, tone="aac", tone_seconds=4,
    )  # fmt: skip
    frames = list(read_frames(path))
    assert frames[0].pts_seconds == 0
    assert frames[90].pts_seconds == pytest.approx(90 / 24, abs=2e-3)
    assert frame_range(path, start="1.02s", end="3.02s") == (24, 73)
    assert read_frame(path, seconds=3.01).index == 72
    assert next(read_frames(path, start=80)).pts_seconds == frames[80].pts_seconds
    start = probe(path).start_seconds
    with VideoWriter(tmp_path / "t.mp4", audio_from=path) as writer:
        for frame in frames[48:]:
            writer.write(frame.rgb, pts_seconds=frame.pts_seconds)
    before = {content: seconds for seconds, content in sound_packets(path)}
    after = sound_packets(tmp_path / "t.mp4")
    if suffix != ".ts":  # there every packet has a header in front
        shift = start + frames[48].pts_seconds
        assert [t for t, _ in after] == pytest.approx(
            [before[content] - shift for _, content in after], abs=2e-3
        )
    assert after and after[0][0] == pytest.approx(0, abs=0.03)


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_what_an_edit_list_hides_is_not_shown(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    write_clip(path, pictures(30), ticks=[i - 10 for i in range(30)], time_base=Fraction(1, 24))
    frames = list(read_frames(path))
    assert len(frames) == 20 and frames[0].pts_seconds == 0
    assert np.abs(frames[0].rgb.astype(int) - pictures(30)[10]).mean() < 12


def test_an_edit_list_that_hides_everything_is_named(tmp_path):
    path = tmp_path / "a.mp4"
    write_clip(path, pictures(30), ticks=[i - 100 for i in range(30)], time_base=Fraction(1, 24))
    for attempt in (lambda: probe(path), lambda: list(read_frames(path))):
        with pytest.raises(Exception, match="edit list hides all of its pictures"):
            attempt()


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize("days", [1, 400])
def test_a_gap_of_days_between_frames(tmp_path, suffix, days):
    gap = days * 86_400.0
    times = [0, 0.04, 0.08, gap, gap + 0.04]
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with VideoWriter(tmp_path / f"a{suffix}") as writer:
            for rgb, seconds in zip(pictures(5), times, strict=True):
                writer.write(rgb, pts_seconds=seconds)
    found = [f.pts_seconds for f in read_frames(tmp_path / f"a{suffix}")]
    if suffix == ".mkv":
        assert found == pytest.approx(times, abs=2e-3) and not told
    else:
        assert found == pytest.approx([0, 0.04, 0.08, 300.08, 300.12], abs=1e-3)
        assert len(told) == 1 and "holds no such gap" in str(told[0].message)
