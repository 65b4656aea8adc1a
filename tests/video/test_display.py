"""How sources say their pictures are shown, and that what is made of them says the same."""

from __future__ import annotations

import itertools
import warnings
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from video_clips import pictures, woven, write_clip

from chromatrack.errors import InputError
from chromatrack.video.display import Display
from chromatrack.video.hdr import HLG, PQ, pq_signal, to_sdr
from chromatrack.video.like_source import options_like
from chromatrack.video.reader import VideoSource, open_writer, probe, read_frame, read_frames

PAL = {
    "sample_aspect_ratio": Fraction(16, 11),
    "colorspace": 5,
    "color_primaries": 5,
    "color_trc": 6,
    "color_range": 1,
}


def copied(source: Path, target: Path) -> Path:
    with open_writer(target, **options_like(source, info=probe(source))) as writer:
        for frame in read_frames(source):
            writer.write(frame.rgb, pts_seconds=frame.pts_seconds)
    return target


def stripes() -> list[np.ndarray]:
    """Three times the same (48, 64, 3) uint8 picture of broad saturated stripes."""
    colors = [(220, 40, 30), (30, 200, 50), (40, 60, 220), (240, 240, 240)]
    row = np.repeat(np.array(colors, np.uint8), 16, axis=0)
    return [np.repeat(row[None], 48, axis=0)] * 3


def tags(path: Path) -> tuple[int, int, int, int]:
    with av.open(str(path)) as container:
        picture = next(container.decode(video=0))
    codes = picture.colorspace, picture.color_primaries, picture.color_trc, picture.color_range
    return tuple(map(int, codes))


@pytest.mark.parametrize("suffix", [".mp4", ".m4v", ".mov", ".mkv"])
@pytest.mark.parametrize("ratio", [(16, 11), (8, 9), (1, 2)])
def test_the_shape_of_pixels_is_passed_on(tmp_path, suffix, ratio):
    shape = Fraction(*ratio)
    source = write_clip(tmp_path / "s.mp4", pictures(4), describe={"sample_aspect_ratio": shape})
    target = copied(source, tmp_path / f"t{suffix}")
    assert probe(source).display.sample_aspect_ratio == f"{ratio[0]}:{ratio[1]}"
    assert probe(target).display.pixel_shape == shape
    assert probe(target).height == 48 and probe(target).width == 64, "stored pixels stay"
    assert [f.index for f in read_frames(target, start=1)] == [1, 2, 3]


def test_a_turned_picture_has_turned_pixels(tmp_path):
    source = write_clip(
        tmp_path / "s.mp4",
        pictures(4),
        describe={"sample_aspect_ratio": Fraction(4, 3)},
        rotation=90,
    )
    assert probe(source).display.sample_aspect_ratio == "3:4"
    assert probe(copied(source, tmp_path / "t.mp4")).display.sample_aspect_ratio == "3:4"


def test_avi_cannot_hold_the_shape_and_says_so(tmp_path):
    source = write_clip(tmp_path / "s.mp4", pictures(2), describe=PAL)
    with pytest.warns(UserWarning, match=r"16:11.*choose \.mkv or \.mp4"):
        copied(source, tmp_path / "t.avi")


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
@pytest.mark.parametrize(
    "describe",
    [
        PAL,
        PAL | {"colorspace": 6, "color_primaries": 6},
        {"colorspace": 1, "color_primaries": 1, "color_trc": 1, "color_range": 1},
        {"colorspace": 9, "color_primaries": 9, "color_trc": 14, "color_range": 1},
    ],
)
def test_color_tags_are_passed_on(tmp_path, suffix, describe):
    source = write_clip(tmp_path / "s.mp4", stripes(), describe=describe)
    target = copied(source, tmp_path / f"t{suffix}")
    assert tags(target) == tags(source)
    for clip in (source, target):
        away = np.abs(read_frame(clip, index=1).rgb.astype(int) - stripes()[0])[:, 8::16]
        assert away.max() < 6, "what is stated is what was encoded"


def test_full_range_stays_full(tmp_path):
    source = write_clip(tmp_path / "s.mp4", stripes(), describe=PAL | {"color_range": 2})
    target = copied(source, tmp_path / "t.mp4")
    assert tags(target)[3] == tags(source)[3] == 2
    for clip in (source, target):
        away = np.abs(read_frame(clip, index=1).rgb.astype(int) - stripes()[0])[:, 8::16]
        assert away.max() < 6


def test_what_a_source_leaves_open_is_bt709(tmp_path):
    source = write_clip(tmp_path / "s.mp4", pictures(3))
    assert tags(copied(source, tmp_path / "t.mp4")) == (1, 1, 1, 1)
    assert probe(source).display == Display()


# -- fields ----------------------------------------------------------------------------------


def combing(rgb: np.ndarray) -> float:
    """How much neighbouring rows differ more than rows two apart."""
    rows = rgb.astype(int)
    return float(np.abs(rows[1:-1] - rows[:-2]).mean() - np.abs(rows[2:] - rows[:-2]).mean())


def interlaced(path: Path, *, count: int = 12, fields: str = "tff", codec: str = "libx264") -> Path:
    frames = woven(pictures(2 * count, size=(96, 128)))
    return write_clip(path, frames, fields=fields, codec=codec, options={"g": "4"})


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize(("fields", "order"), [("tff", "top first"), ("bff", "bottom first")])
def test_the_order_of_fields_is_passed_on(tmp_path, suffix, fields, order):
    source = interlaced(tmp_path / "s.mp4", fields=fields)
    with pytest.warns(UserWarning, match=rf"interlaced \({order}\).*--deinterlace"):
        target = copied(source, tmp_path / f"t{suffix}")
    assert probe(target).display.field_order == order
    assert len(list(read_frames(target))) == 12


@pytest.mark.parametrize("suffix", [".mp4", ".ts", ".mpg"])
def test_deinterlaced_frames_keep_number_and_time(tmp_path, suffix):
    codec = "mpeg2video" if suffix == ".mpg" else "libx264"
    clip = interlaced(tmp_path / f"s{suffix}", count=60, codec=codec)
    source = VideoSource(str(clip), deinterlace=True)
    plain, whole = list(read_frames(clip)), list(read_frames(source))
    assert [(f.index, f.pts_seconds) for f in whole] == [(f.index, f.pts_seconds) for f in plain]
    assert np.mean([combing(f.rgb) for f in whole]) < 0.2 * np.mean([combing(f.rgb) for f in plain])
    for index in (0, 1, 7, 55, 59):
        alone = read_frame(source, index=index)
        assert (alone.index, alone.pts_seconds) == (index, whole[index].pts_seconds)
        assert np.array_equal(alone.rgb, whole[index].rgb)


def test_what_is_deinterlaced_is_told_as_progressive_without_warning(tmp_path):
    clip = VideoSource(str(interlaced(tmp_path / "s.mp4")), deinterlace=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        info = probe(clip)
    assert info.display.field_order == "progressive" and info.deinterlaced


@pytest.mark.parametrize("count", [1, 2])
def test_short_interlaced_clips(tmp_path, count):
    clip = VideoSource(str(interlaced(tmp_path / "s.mp4", count=count)), deinterlace=True)
    assert [f.index for f in read_frames(clip)] == list(range(count))


# -- mirrored --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rotation", "across", "down"),
    itertools.product((0, 90, 180, 270), (False, True), (False, True)),
)
def test_turned_and_mirrored_pictures_come_upright(tmp_path, rotation, across, down):
    quadrants = np.zeros((48, 64, 3), np.uint8)
    quadrants[:24, :32], quadrants[:24, 32:], quadrants[24:, :32] = 255, (255, 0, 0), (0, 0, 255)
    clip = write_clip(tmp_path / "m.mp4", [quadrants] * 2, rotation=rotation, flips=(across, down))
    expected = np.rot90(quadrants, rotation // 90)
    expected = expected[:, ::-1] if across else expected
    expected = expected[::-1] if down else expected
    info, rgb = probe(clip), read_frame(clip, index=1).rgb
    assert (info.height, info.width) == rgb.shape[:2] == expected.shape[:2]
    assert info.mirrored == (across != down)
    assert np.abs(rgb.astype(int) - expected).mean() < 8 and rgb.flags.c_contiguous


# -- HDR -------------------------------------------------------------------------------------


def grey(signal: np.ndarray) -> np.ndarray:
    """(1, N, 3) uint16 of signals in [0, 1]."""
    return np.repeat(np.round(signal * 65535).astype(np.uint16)[None, :, None], 3, axis=2)


def test_pq_of_known_lights():
    assert pq_signal(np.array([0, 100, 203, 1000, 10000])) == pytest.approx(
        [0, 0.5081, 0.5807, 0.7518, 1], abs=1e-4
    )


@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_the_tone_curve_rises_and_spends_the_range_on_what_sdr_shows(transfer):
    ramp = to_sdr(grey(np.linspace(0, 1, 256)), transfer=transfer, primaries=9)[0].astype(int)
    assert (np.diff(ramp[:, 1]) >= 0).all()
    assert np.abs(ramp[:, 0] - ramp[:, 1]).max() < 200, "grey stays grey"
    assert ramp[0, 1] == 0 and ramp[-1, 1] > 65000
    white = pq_signal(np.array([203.0])) if transfer == PQ else np.array([0.75])
    shown = to_sdr(grey(white), transfer=transfer, primaries=9)[0, 0, 1] / 65535
    assert 0.8 < shown < 0.95, "reference white is bright, not half grey"


@pytest.mark.parametrize(("transfer", "name"), [(PQ, "PQ"), (HLG, "HLG")])
def test_hdr_is_tone_mapped_and_told(tmp_path, transfer, name):
    ramp = np.repeat(np.repeat(grey(np.linspace(0, 0.75, 128)), 96, axis=0), 1, axis=1)
    clip = write_clip(
        tmp_path / "h.mp4",
        [ramp] * 3,
        codec="libx265",
        pixel_format="yuv420p10le",
        raw_format="rgb48le",
        describe={"colorspace": 9, "color_primaries": 9, "color_trc": transfer, "color_range": 1},
    )
    with pytest.warns(UserWarning, match=rf"HDR \({name}\).*SDR"):
        info = probe(clip)
    assert (info.display.color_trc, info.display.color_primaries) == (1, 1)
    rgb = read_frame(clip, index=1).rgb
    expected = to_sdr(ramp, transfer=transfer, primaries=9) / 257
    assert np.abs(rgb.astype(float) - expected).mean() < 3
    assert tags(copied(clip, tmp_path / "t.mp4")) == (1, 1, 1, 1)


# -- rates -----------------------------------------------------------------------------------


def test_a_rate_for_sources_without_times(tmp_path):
    bare = write_clip(tmp_path / "a.h264", pictures(8))
    write_clip(tmp_path / "a.mp4", pictures(4))
    for number, rgb in enumerate(pictures(8)):
        av.VideoFrame.from_ndarray(rgb, format="rgb24").to_image().save(tmp_path / f"{number}.png")
    for source in (bare, tmp_path / "*.png"):
        frames = list(read_frames(VideoSource(str(source), fps=10)))
        assert [f.pts_seconds for f in frames] == pytest.approx([i / 10 for i in range(8)])
        assert read_frame(VideoSource(str(source), fps=10), seconds=0.55).index == 5
        info = probe(VideoSource(str(source), fps=10))
        assert (info.average_fps, info.fps, info.states_times) == (10, 10, False)
    with pytest.raises(InputError, match="leave fps 10 out"):
        read_frames(VideoSource(str(tmp_path / "a.mp4"), fps=10))


@pytest.mark.parametrize("fps", [0, -1, float("nan"), float("inf"), 1e9])
def test_rates_that_are_none(fps):
    with pytest.raises(InputError, match="frames per second"):
        VideoSource("a", fps=fps)
