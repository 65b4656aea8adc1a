"""Live sources: names, stdin, generated devices, streams on the loopback address."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest
from loopback import served_in_a_loop
from video_clips import pictures, write_clip

from chromatrack.errors import InputError, VideoError
from chromatrack.video.live_source import (
    BrokenStreamError,
    InputSettings,
    LiveSource,
    StreamTimes,
    parse_size,
    without_password,
)

FRAMES = pictures(5, size=(48, 64))
GENERATED = "device:lavfi:testsrc=size=64x48:rate=10:duration=1"


def has_lavfi() -> bool:
    return "lavfi" in av.formats_available


@contextmanager
def on_stdin(content: bytes, *, folder: Path | None = None) -> Iterator[None]:
    """`content` as fd 0: a file in `folder`, else through a pipe (a small one)."""
    kept = os.dup(0)
    if folder is not None:
        (folder / "in").write_bytes(content)
        given = os.open(folder / "in", os.O_RDONLY)
    else:
        given, write = os.pipe()
        assert len(content) <= 65536, "more than a pipe holds"
        os.write(write, content)
        os.close(write)
    os.dup2(given, 0)
    os.close(given)
    try:
        yield
    finally:
        os.dup2(kept, 0)
        os.close(kept)


def test_names_say_what_is_opened(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    opened = {
        text: (source.kind, source.url, source.device)
        for text in ("camera:0", "camera:/dev/video2", "/dev/video1", GENERATED, "rtsp://a/b", "-")
        if (source := LiveSource.of(text))
    }
    assert opened == {
        "camera:0": ("device", "/dev/video0", "v4l2"),
        "camera:/dev/video2": ("device", "/dev/video2", "v4l2"),
        "/dev/video1": ("device", "/dev/video1", "v4l2"),
        GENERATED: ("device", "testsrc=size=64x48:rate=10:duration=1", "lavfi"),
        "rtsp://a/b": ("url", "rtsp://a/b", None),
        "-": ("stdin", "-", None),
    }
    monkeypatch.setattr(sys, "platform", "darwin")
    assert LiveSource.of("camera:1").url == "1:none"
    monkeypatch.setattr(sys, "platform", "win32")
    assert LiveSource.of("camera:Cam 1").url == "video=Cam 1"


@pytest.mark.parametrize("text", ["clip.mp4", "camera:", "file:///a.mp4", "device:lavfi", ""])
def test_other_names_are_refused(text):
    with pytest.raises(InputError, match="expected"):
        LiveSource.of(text)


def test_settings_are_checked():
    assert parse_size("640x480") == (480, 640)
    for call in (
        lambda: parse_size("640"),
        lambda: InputSettings((0, 5)),
        lambda: InputSettings((5, 4), pixel_format="yuv420p"),
        lambda: InputSettings((4, 5), pixel_format="yuyv422"),
        lambda: InputSettings(fps=0),
        lambda: InputSettings(timeout=0),
        lambda: LiveSource.of("http://a/b", InputSettings((48, 64))),
        lambda: LiveSource.of("-", InputSettings(fps=5)),
    ):
        with pytest.raises(InputError):
            call()


def test_a_password_is_not_shown():
    source = LiveSource.of("rtsp://me:secret@camera/1")
    assert "secret" in source.url and "secret" not in source.name
    assert without_password("http://a/b@c") == "http://a/b@c"


# -- stdin -----------------------------------------------------------------------------------


def raw(settings: InputSettings) -> Iterator:
    return LiveSource.of("-", settings).pictures()


def test_raw_pictures_come_as_they_are():
    content = b"".join(frame.tobytes() for frame in FRAMES)
    with on_stdin(content):
        found = list(raw(InputSettings((48, 64), fps=10)))
    assert [p.number for p in found] == [0, 1, 2, 3, 4]
    assert [p.seconds for p in found] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    assert all(np.array_equal(p.rgb, frame) for p, frame in zip(found, FRAMES, strict=True))


@pytest.mark.parametrize("kind", ["bgr24", "gray", "rgba", "bgra", "yuv420p", "nv12", "yuyv422"])
def test_all_pixel_formats_are_read(kind):
    picture = av.VideoFrame.from_ndarray(FRAMES[0], format="rgb24").reformat(format=kind)
    settings = InputSettings((48, 64), pixel_format=kind)
    content = picture.to_ndarray().tobytes()
    assert len(content) == settings.picture_bytes
    with on_stdin(content):
        (found,) = raw(settings)
    expected = FRAMES[0].astype(int)
    if kind == "gray":
        expected = np.repeat(expected.mean(axis=2, keepdims=True), 3, axis=2)
    tolerance = {"bgr24": 0, "rgba": 0, "bgra": 0}.get(kind, 40)
    assert np.abs(found.rgb.astype(int) - expected).mean() <= tolerance


def test_raw_pictures_without_a_rate_are_timed_as_they_arrive():
    ticks = iter([5.0, 5.5, 7.0])
    with on_stdin(b"".join(frame.tobytes() for frame in FRAMES[:3])):
        source = LiveSource.of("-", InputSettings((48, 64)))
        found = list(source.pictures(clock=lambda: next(ticks), now=lambda: 1e9))
    assert [p.seconds for p in found] == [0, 0.5, 2.0]
    assert found[0].arrived == 1e9


def test_an_end_in_mid_frame_is_told_behind_the_good_ones():
    content = FRAMES[0].tobytes() + FRAMES[1].tobytes()[:100]
    with on_stdin(content):
        found = raw(InputSettings((48, 64)))
        assert np.array_equal(next(found).rgb, FRAMES[0])
        with pytest.raises(BrokenStreamError, match=r"100 of 9216 bytes after 1 frames") as caught:
            next(found)
    assert caught.value.picture_count == 1


def test_too_little_or_nothing_on_stdin():
    for content, told in ((b"x" * 10, "10 of 9216 bytes"), (b"", "is empty")):
        with on_stdin(content), pytest.raises(VideoError, match=told):
            next(raw(InputSettings((48, 64))))
    with on_stdin(b"no video"), pytest.raises(VideoError, match="--input-size"):
        next(LiveSource.of("-").pictures())


def test_a_file_of_another_size_is_refused_before_its_first_frame(tmp_path):
    with on_stdin(FRAMES[0].tobytes(), folder=tmp_path), pytest.raises(VideoError, match="64x47"):
        next(raw(InputSettings((47, 64))))


def test_a_video_piped_in_is_read(tmp_path):
    clip = write_clip(tmp_path / "clip.mkv", FRAMES, codec="ffv1", pixel_format="bgr0")
    with on_stdin(clip.read_bytes(), folder=tmp_path):
        found = list(LiveSource.of("-").pictures())
    assert len(found) == 5 and np.array_equal(found[4].rgb, FRAMES[4])
    assert found[4].seconds == pytest.approx(4 / 24, abs=1e-3)


# -- devices and streams -----------------------------------------------------------------------


@pytest.mark.skipif(not has_lavfi(), reason="this PyAV has no generated device (lavfi)")
def test_a_generated_device():
    found = list(LiveSource.of(GENERATED).pictures())
    assert len(found) == 10 and found[0].rgb.shape == (48, 64, 3)
    assert [p.seconds for p in found] == pytest.approx([n / 10 for n in range(10)])


@pytest.mark.skipif(not has_lavfi(), reason="this PyAV has no generated device (lavfi)")
def test_a_device_without_video():
    with pytest.raises(VideoError, match="no video, only audio"):
        next(LiveSource.of("device:lavfi:sine=duration=1").pictures())


def test_what_is_not_there_is_told_in_one_line():
    for text, told in (
        ("device:nosuch:x", "no input device 'nosuch'"),
        ("http://me:secret@127.0.0.1:9/x", r"^http://127\.0\.0\.1:9/x: cannot be opened \(Conn"),
        ("device:v4l2:/dev/no-such", "is it plugged in|no input device"),
    ):
        with pytest.raises(InputError, match=told) as caught:
            next(LiveSource.of(text).pictures())
        assert "\n" not in str(caught.value) and "secret" not in str(caught.value)


def test_a_looped_file_on_the_loopback_address(tmp_path):
    """Times go on where the file begins anew; pictures are those of the file."""
    clip = write_clip(tmp_path / "clip.ts", pictures(12), options={"g": "4", "bf": "0"})
    with served_in_a_loop(clip) as address:
        source = LiveSource.of(f"{address}/live.ts")
        found = list(islice(source.pictures(), 30))
    steps = np.diff([p.seconds for p in found])
    assert (steps > 0).all() and steps.max() < 0.2
    assert np.median(steps) == pytest.approx(1 / 24, abs=1e-3)
    assert [p.number for p in found] == list(range(30))
    assert np.abs(found[1].rgb.astype(int) - pictures(12)[1]).mean() < 12


def test_a_stream_that_breaks_off(tmp_path):
    clip = write_clip(tmp_path / "clip.ts", pictures(12), options={"g": "4", "bf": "0"})
    with served_in_a_loop(clip, times=2, stated_length=10**7) as address:
        pictures_of = LiveSource.of(f"{address}/live.ts").pictures()
        with pytest.raises(BrokenStreamError, match="broke off"):
            list(pictures_of)


def test_a_page_that_is_not_there_and_one_that_is_no_video(tmp_path):
    text = tmp_path / "page.html"
    text.write_text("<html>no video here</html>" * 50)
    with served_in_a_loop(text, times=1) as address:
        with pytest.raises(VideoError, match="404"):
            next(LiveSource.of(f"{address}/missing").pictures())
        with pytest.raises(VideoError, match="cannot be opened"):
            next(LiveSource.of(f"{address}/live.ts").pictures())


def test_a_server_that_says_nothing():
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/x"
        source = LiveSource.of(address, InputSettings(timeout=0.3))
        with pytest.raises(VideoError, match=r"no answer in 0\.3 s"):
            next(source.pictures())


# -- times -------------------------------------------------------------------------------------


def times_of(stated: list[int | None], arrivals: list[float], rate: int = 10) -> list[float]:
    clock = iter(arrivals)
    times = StreamTimes(None, clock=lambda: next(clock))
    times._base, times._usual = 0.01, 1 / rate
    found = []
    for number, pts in enumerate(stated):
        picture = av.VideoFrame(16, 16, "rgb24")
        picture.pts = pts
        found.append(times.of(picture, number))
    return found


def test_a_time_that_goes_back_or_leaps_goes_on_a_frame_later():
    stated = [500, 510, 520, 3, 13, 90013, 90023]
    found = times_of(stated, [0.0] * len(stated))
    assert found == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6])


def test_a_gap_that_really_passed_stays():
    assert times_of([0, 10, 6000], [0, 0.1, 60]) == pytest.approx([0, 0.1, 60])
