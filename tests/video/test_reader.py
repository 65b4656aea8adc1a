"""Reading: every kind of source, true times, exact frame numbers, one-line errors."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from video_clips import pictures, write_clip

from chromatrack.errors import DamagedVideoError, InputError, VideoError
from chromatrack.video.images import _natural
from chromatrack.video.pixel_format import opaque, to_8_bit
from chromatrack.video.reader import probe, read_frame, read_frames


def closeness(a: np.ndarray, b: np.ndarray) -> float:
    """Mean absolute difference in levels."""
    return float(np.abs(a.astype(int) - b.astype(int)).mean())


@pytest.fixture(scope="module")
def long_gop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """200 frames of H.264 with B-frames: a key picture every 90."""
    path = tmp_path_factory.mktemp("clips") / "long.mp4"
    return write_clip(path, pictures(200), options={"g": "90"})


def test_frames_have_the_stated_shape_type_and_numbers(tmp_path):
    frames = list(read_frames(write_clip(tmp_path / "a.mp4", pictures(30))))
    assert [f.index for f in frames] == list(range(30))
    assert all(f.rgb.shape == (48, 64, 3) and f.rgb.dtype == np.uint8 for f in frames)
    assert all(f.rgb.flags.c_contiguous for f in frames)
    assert [f.pts_seconds for f in frames] == pytest.approx([i / 24 for i in range(30)])
    assert frames[0].duration_seconds == pytest.approx(1 / 24)
    assert max(closeness(f.rgb, p) for f, p in zip(frames, pictures(30), strict=True)) < 12


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format"),
    [
        ("a.mkv", "libx264", "yuv420p"),
        ("a.ts", "libx264", "yuv420p"),
        ("a.flv", "libx264", "yuv420p"),
        ("a.mp4", "libx265", "yuv420p10le"),
        ("a.webm", "libvpx-vp9", "yuv420p"),
        ("a.webm", "libvpx", "yuv420p"),
        ("a.avi", "mpeg4", "yuv420p"),
        ("a.mpg", "mpeg2video", "yuv420p"),
        ("a.mov", "prores_ks", "yuv422p10le"),
        ("a.mkv", "ffv1", "gray"),
        ("a.mkv", "ffv1", "gray16le"),
        ("a.mkv", "ffv1", "yuv444p12le"),
        ("a.avi", "mjpeg", "yuvj420p"),
        ("a.gif", "gif", "rgb8"),
        ("a.h264", "libx264", "yuv420p"),
    ],
)
def test_reads_many_formats(tmp_path, name, codec, pixel_format):
    sent = pictures(40)
    path = write_clip(tmp_path / name, sent, codec=codec, pixel_format=pixel_format)
    frames = list(read_frames(path))
    assert len(frames) == 40
    times = [f.pts_seconds for f in frames]
    assert np.allclose(np.diff(times), 1 / 24, atol=0.009)  # gif and mkv round their times
    if "gray" in pixel_format:
        sent = [np.repeat(p @ [0.299, 0.587, 0.114], 3).reshape(p.shape) for p in sent]
    limit = 30 if codec in ("gif", "mpeg4", "mpeg2video", "libvpx", "mjpeg") else 14
    assert max(closeness(f.rgb, p) for f, p in zip(frames, sent, strict=True)) < limit


def test_variable_frame_rate_is_kept(tmp_path):
    ticks = [0, 1000, 1100, 4000, 9001, 9002, 12345, 90000]
    clip = write_clip(tmp_path / "v.mp4", pictures(8), ticks=ticks, time_base=Fraction(1, 90000))
    times = [f.pts_seconds for f in read_frames(clip)]
    assert np.diff(times) == pytest.approx(np.diff(ticks) / 90000, abs=1e-9)


def test_times_count_from_the_first_shown_frame(tmp_path):
    base = Fraction(1, 90000)
    ticks = [450000 + 3750 * i for i in range(10)]
    clip = write_clip(tmp_path / "l.mp4", pictures(10), ticks=ticks, time_base=base)
    assert [f.pts_seconds for f in read_frames(clip)] == pytest.approx([i / 24 for i in range(10)])
    assert probe(clip).start_seconds == pytest.approx(5)


@pytest.mark.parametrize("rotation", [90, 180, -90])
def test_rotation_is_applied(tmp_path, rotation):
    quadrants = np.zeros((48, 64, 3), np.uint8)
    quadrants[:24, :32], quadrants[:24, 32:], quadrants[24:, :32] = 255, (255, 0, 0), (0, 0, 255)
    clip = write_clip(tmp_path / "r.mp4", [quadrants] * 3, rotation=rotation)
    expected = np.rot90(quadrants, rotation // 90)
    info, frame = probe(clip), next(read_frames(clip))
    assert (info.height, info.width, info.rotation) == (*expected.shape[:2], rotation % 360)
    assert frame.rgb.shape == expected.shape
    assert closeness(frame.rgb, expected) < 8
    small = next(read_frames(clip, size=(expected.shape[0] // 2, expected.shape[1] // 2)))
    assert closeness(small.rgb, expected[::2, ::2]) < 12


@pytest.mark.parametrize("size", [(33, 47), (1, 1), (50, 35)])
def test_odd_sizes(tmp_path, size):
    frames = [np.full((*size, 3), 40 * i, np.uint8) for i in range(4)]
    clip = write_clip(tmp_path / "o.mkv", frames, codec="ffv1", pixel_format="bgr0")
    read = [f.rgb for f in read_frames(clip)]
    assert all(np.array_equal(a, b) for a, b in zip(read, frames, strict=True))


@pytest.mark.parametrize("matrix", ["bt709", "bt601", "full range", "untagged hd"])
def test_colors_follow_the_matrix_and_range(tmp_path, matrix):
    import av
    from av.video.reformatter import ColorRange, Colorspace

    height, width = (720, 1280) if matrix == "untagged hd" else (64, 96)
    rgb = np.empty((height, width, 3), np.uint8)
    rgb[:] = (220, 60, 30)
    space = Colorspace.ITU601 if matrix == "bt601" else Colorspace.ITU709
    span = ColorRange.JPEG if matrix == "full range" else ColorRange.MPEG
    with av.open(str(tmp_path / "c.mp4"), "w") as out:
        stream = out.add_stream("libx264", rate=24, options={"qp": "0"})
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        if matrix != "untagged hd":
            stream.codec_context.colorspace = 6 if matrix == "bt601" else 1
            stream.codec_context.color_range = span
        picture = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(
            format="yuv420p", dst_colorspace=space, dst_color_range=span
        )
        picture.pts = 0
        out.mux(stream.encode(picture))
        out.mux(stream.encode(None))
    assert np.abs(read_frame(tmp_path / "c.mp4", index=0).rgb.astype(int) - rgb).max() <= 2


def test_alpha_is_composited_over_black(tmp_path):
    rgba = np.zeros((32, 32, 4), np.uint8)
    rgba[..., 0], rgba[:, 16:, 3] = 200, 128
    clip = write_clip(
        tmp_path / "alpha.mkv", [rgba] * 2, codec="ffv1", pixel_format="bgra", raw_format="rgba"
    )
    Image.fromarray(rgba).save(tmp_path / "alpha.png")
    for source in (clip, tmp_path / "alpha.png"):
        rgb = read_frame(source, index=0).rgb
        assert (rgb[:, :16] == 0).all()
        assert (rgb[:, 16:] == (100, 0, 0)).all()


def test_transparent_gif_is_black_where_transparent(tmp_path):
    image = Image.new("P", (16, 16), 0)
    image.putpalette([255, 255, 255, 200, 0, 0] + [0] * 762)
    image.paste(1, (8, 0, 16, 16))
    image.save(tmp_path / "t.gif", transparency=0)
    frames = list(read_frames(tmp_path / "t.gif"))
    assert len(frames) == 1
    assert (frames[0].rgb[:, :8] == 0).all() and (frames[0].rgb[:, 8:] == (200, 0, 0)).all()


def test_sixteen_bit_grey_image_is_scaled_not_clipped(tmp_path):
    ramp = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    Image.fromarray(ramp).save(tmp_path / "deep.png")
    rgb = read_frame(tmp_path / "deep.png", index=0).rgb
    assert np.array_equal(rgb[..., 1], np.arange(256).reshape(16, 16))


@given(st.integers(0, 65535))
def test_sixteen_bits_round_to_eight(value):
    assert int(to_8_bit(np.array([value], np.uint16))[0]) == round(value * 255 / 65535)


@given(st.integers(0, 255), st.integers(0, 255))
def test_opaque_is_the_rounded_product(level, alpha):
    pixel = np.array([[[level, 0, 255, alpha]]], np.uint8)
    assert opaque(pixel)[0, 0].tolist() == [int(level * alpha / 255 + 0.5), 0, alpha]


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=20))
def test_natural_order_is_numeric_order(numbers):
    names = sorted((Path(f"f{n}.png") for n in numbers), key=_natural)
    assert names == [Path(f"f{n}.png") for n in sorted(numbers)]


@pytest.mark.parametrize("as_glob", [False, True])
def test_folder_and_glob_of_images(tmp_path, as_glob):
    for number in (10, 9, 1):
        Image.new("RGB", (20, 10), (number, 0, 0)).save(tmp_path / f"shot{number}.png")
    (tmp_path / "notes.txt").write_text("not an image")
    source = str(tmp_path / "shot*.png") if as_glob else tmp_path
    frames = list(read_frames(source))
    assert [f.rgb[0, 0, 0] for f in frames] == [1, 9, 10]
    assert [f.pts_seconds for f in frames] == pytest.approx([0, 1 / 24, 2 / 24])
    info = probe(source)
    assert (info.height, info.width, info.frame_count, info.codec) == (10, 20, 3, "png")
    assert next(read_frames(source, start=1, size=(5, 8))).rgb.shape == (5, 8, 3)
    assert read_frame(source, seconds=0.05).index == 1


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".tif", ".bmp"])
def test_still_images(tmp_path, suffix):
    Image.new("RGB", (32, 16), (10, 200, 30)).save(tmp_path / f"s{suffix}")
    (frame,) = read_frames(tmp_path / f"s{suffix}")
    assert frame.rgb.shape == (16, 32, 3)
    assert closeness(frame.rgb, np.full((16, 32, 3), (10, 200, 30))) < 3


def test_exif_rotation_of_a_photo(tmp_path):
    image = Image.new("RGB", (32, 16))
    image.paste((255, 255, 255), (0, 0, 16, 16))
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a quarter turn clockwise
    image.save(tmp_path / "p.png", exif=exif)
    rgb = read_frame(tmp_path / "p.png", index=0).rgb
    assert rgb.shape == (32, 16, 3)
    assert (rgb[:16] == 255).all() and (rgb[16:] == 0).all()
    assert probe(tmp_path / "p.png").height == 32


@pytest.mark.parametrize("index", [0, 1, 47, 89, 90, 91, 133, 199])
def test_random_access_equals_reading_in_order(long_gop, index):
    expected = next(f for f in read_frames(long_gop) if f.index == index)
    by_index = read_frame(long_gop, index=index)
    by_time = read_frame(long_gop, seconds=expected.pts_seconds + 0.01)
    for got in (by_index, by_time):
        assert (got.index, got.pts_seconds) == (index, expected.pts_seconds)
        assert np.array_equal(got.rgb, expected.rgb)


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("a.mkv", "libx264", {"g": "50"}),
        ("a.ts", "libx264", {"g": "50"}),
        ("a.mp4", "libx264", {"g": "40", "x264-params": "open-gop=1"}),
        ("a.mp4", "libx264", {"g": "40", "intra-refresh": "1"}),
        ("a.mp4", "libx265", {}),
        ("a.webm", "libvpx-vp9", {"g": "40"}),
        ("a.webm", "libvpx", {"g": "40", "auto-alt-ref": "1", "lag-in-frames": "16"}),
        ("a.avi", "mpeg4", {"g": "40", "bf": "2"}),
        ("a.h264", "libx264", {"g": "40"}),
    ],
)
def test_start_keeps_numbers_exact(tmp_path, name, codec, options):
    clip = write_clip(tmp_path / name, pictures(120), codec=codec, options=options)
    expected = list(read_frames(clip))
    assert len(expected) == 120
    for start in (60, 81, 118):
        got = list(read_frames(clip, start=start, end=start + 5))
        wanted = expected[start : start + 5]
        assert [f.index for f in got] == [f.index for f in wanted]
        assert [f.pts_seconds for f in got] == [f.pts_seconds for f in wanted]
        assert all(np.array_equal(a.rgb, b.rgb) for a, b in zip(got, wanted, strict=True))


def test_seeking_decodes_little(long_gop, monkeypatch):
    from chromatrack.video.picture_order import Held

    seen = []
    remember = Held.seen
    monkeypatch.setattr(Held, "seen", lambda self, p: (seen.append(p.pts), remember(self, p))[1])
    next(read_frames(long_gop, start=185))
    assert len(seen) < 30


def test_end_behind_the_last_frame_is_the_last_frame(long_gop):
    assert [f.index for f in read_frames(long_gop, start=198, end=900)] == [198, 199]


def test_probe(long_gop):
    info = probe(long_gop)
    assert (info.height, info.width, info.frame_count) == (48, 64, 200)
    assert info.duration_seconds == pytest.approx(200 / 24, abs=0.01)
    assert info.average_fps == pytest.approx(24)
    assert (info.codec, info.pixel_format, info.rotation) == ("h264", "yuv420p", 0)
    assert not info.has_audio


@pytest.mark.parametrize("bad", [{"index": -1}, {"index": 200}, {"index": 10**6}])
def test_frame_outside_the_video_says_how_many_there_are(long_gop, bad):
    with pytest.raises(InputError, match="200 frames"):
        read_frame(long_gop, **bad)


def test_bad_arguments(long_gop):
    with pytest.raises(InputError, match="exactly one"):
        read_frame(long_gop)
    with pytest.raises(InputError, match="exactly one"):
        read_frame(long_gop, index=1, seconds=1)
    with pytest.raises(InputError, match="200 frames"):
        read_frame(long_gop, seconds=100)
    with pytest.raises(InputError, match=r"-0\.5"):
        read_frame(long_gop, seconds=-0.5)
    with pytest.raises(InputError, match="start=5, end=5"):
        read_frames(long_gop, start=5, end=5)
    with pytest.raises(InputError, match="size"):
        read_frames(long_gop, size=(0, 5))
    with pytest.raises(VideoError, match="200 frames"):
        next(read_frames(long_gop, start=200))


def sound_only(path: Path) -> Path:
    import av

    with av.open(str(path), "w") as out:
        stream = out.add_stream("aac", rate=44100, layout="mono")
        chunk = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.int16), "s16", "mono")
        chunk.sample_rate = 44100
        out.mux(stream.encode(chunk))
        out.mux(stream.encode(None))
    return path


def make_text(path: Path) -> Path:
    path.write_text("just some words\n" * 50)
    return path


def make_bytes(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def make_folder(path: Path) -> Path:
    path.mkdir()
    return path


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda d: d / "absent.mp4", "No such file"),
        (lambda d: make_bytes(d / "zero.mp4", b""), "empty"),
        (lambda d: make_bytes(d / "zero.png", b""), "empty"),
        (lambda d: make_text(d / "words.txt"), "text file|cannot be opened"),
        (lambda d: make_text(d / "words.mp4"), "cannot be opened|text file"),
        (lambda d: make_text(d / "words.png"), "cannot be read as an image"),
        (lambda d: make_bytes(d / "noise.mp4", bytes(range(256)) * 40), "cannot be opened"),
        (lambda d: sound_only(d / "song.m4a"), "no video stream"),
        (lambda d: make_folder(d / "folder"), "no images"),
        (lambda d: d / "*.png", "no file matches"),
    ],
)
def test_unusable_sources_get_one_line(tmp_path, make, says):
    source = make(tmp_path)
    for attempt in (lambda: list(read_frames(source)), lambda: probe(source)):
        with pytest.raises(VideoError, match=says) as caught:
            attempt()
        assert source.name in str(caught.value) and "\n" not in str(caught.value)


def test_images_of_different_sizes_are_named(tmp_path):
    for number, size in enumerate([(20, 10), (20, 10), (21, 10)]):
        Image.new("RGB", size).save(tmp_path / f"{number}.png")
    with pytest.raises(VideoError, match=r"2\.png: is 21x10 but 0\.png is 20x10"):
        read_frames(tmp_path)


def test_damaged_image_in_a_folder(tmp_path):
    for number, rgb in enumerate(pictures(4)):
        Image.fromarray(rgb).save(tmp_path / f"{number}.png")
    whole = (tmp_path / "2.png").read_bytes()
    (tmp_path / "2.png").write_bytes(whole[: len(whole) // 2])
    frames = read_frames(tmp_path)
    assert [next(frames).index, next(frames).index] == [0, 1]
    with pytest.raises(DamagedVideoError, match=r"2\.png.*frame 2") as caught:
        next(frames)
    assert caught.value.frame_index == 2


def test_odd_file_names(tmp_path):
    for name in ("a:b 100%d.mp4", "-dash.mp4", "ünï [x].mp4"):
        clip = write_clip(tmp_path / "plain.mp4", pictures(2)).rename(tmp_path / name)
        assert len(list(read_frames(clip))) == 2


def test_memory_does_not_grow_with_length(tmp_path):
    script = (
        "import sys, resource; from chromatrack.video.reader import read_frames\n"
        "for _ in read_frames(sys.argv[1]): pass\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    peaks = []
    for count in (60, 600):
        frames = pictures(60, size=(240, 320)) * (count // 60)
        clip = write_clip(tmp_path / f"{count}.mp4", frames, options={"preset": "ultrafast"})
        run = subprocess.run(
            [sys.executable, "-c", script, str(clip)], capture_output=True, text=True, check=True
        )
        peaks.append(int(run.stdout))
    assert peaks[1] < 1.05 * peaks[0]
