"""Y' of a source, kept to the bit in what is encoded."""

from __future__ import annotations

import numpy as np
import pytest
from video_clips import pictures, write_clip

from chromatrack.errors import InputError
from chromatrack.video.luma import Luma, luma_of, read_luma, under_luma
from chromatrack.video.reader import VideoWriter, open_writer, probe, read_frames


def tinted(rgb: np.ndarray) -> np.ndarray:
    return (rgb * np.array([1.0, 0.6, 0.4])).astype(rgb.dtype)


def copy(source, target, **options):
    with open_writer(target, fps=24, **options) as writer:
        both = zip(read_frames(source, deep=True), read_luma(source), strict=True)
        for frame, luma in both:
            rgb = frame.rgb if frame.deep is None else frame.deep
            writer.write(tinted(rgb), pts_seconds=frame.pts_seconds, luma=luma)


@pytest.mark.parametrize(
    ("kind", "codec", "describe"),
    [
        ("yuv420p", "ffv1", {}),
        ("yuv422p10le", "ffv1", {}),
        ("yuv444p12le", "ffv1", {}),
        ("gray", "ffv1", {}),
        ("gray10le", "ffv1", {}),
        ("yuv420p", "ffv1", {"color_range": 2, "colorspace": 5}),
        ("yuv420p", "libx264", {}),
    ],
)
def test_ffv1_has_the_very_luma(tmp_path, kind, codec, describe):
    source = write_clip(
        tmp_path / "s.mkv", pictures(3), codec=codec, pixel_format=kind, describe=describe
    )
    copy(source, tmp_path / "c.mkv", display=probe(source).display)
    before, after = list(read_luma(source)), list(read_luma(tmp_path / "c.mkv"))
    assert len(after) == 3
    for a, b in zip(before, after, strict=True):
        assert a.bits == b.bits and a.full_range == b.full_range
        assert np.array_equal(a.values, b.values)
    shown = next(read_frames(tmp_path / "c.mkv")).rgb.astype(float).mean((0, 1))
    assert shown[0] > shown[1] + 10 > shown[2] + 15  # and it has colours


def test_lossless_h264_has_the_very_luma(tmp_path):
    source = write_clip(tmp_path / "s.mkv", pictures(3), codec="ffv1")
    copy(source, tmp_path / "c.mp4", crf=0)
    for a, b in zip(read_luma(source), read_luma(tmp_path / "c.mp4"), strict=True):
        assert np.array_equal(a.values, b.values)


def test_prores_is_handed_the_luma_times_four(tmp_path, monkeypatch):
    source = write_clip(tmp_path / "s.mkv", pictures(2), codec="ffv1")
    handed = []
    real = VideoWriter._encode

    def look(self, picture, **rest):
        if picture is not None:
            handed.append(luma_of(picture, ""))
        real(self, picture, **rest)

    monkeypatch.setattr(VideoWriter, "_encode", look)
    copy(source, tmp_path / "c.mov")
    for a, b in zip(read_luma(source), handed, strict=True):
        assert b.bits == 10 and np.array_equal(a.values.astype(int) * 4, b.values)


def test_a_part_of_a_source_is_read(tmp_path):
    source = write_clip(tmp_path / "s.mkv", pictures(6), codec="ffv1")
    whole = list(read_luma(source))
    part = list(read_luma(source, start=2, end=5))
    assert [np.array_equal(a.values, b.values) for a, b in zip(whole[2:5], part, strict=True)]


def test_what_cannot_be_kept_is_said(tmp_path):
    rgb = write_clip(tmp_path / "s.mkv", pictures(1), codec="ffv1", pixel_format="bgr0")
    with pytest.raises(InputError, match="got bgr0"):
        next(read_luma(rgb))
    with VideoWriter(tmp_path / "a.mov") as writer:
        luma = Luma(np.zeros((8, 8), np.uint8), 8, full_range=True)
        with pytest.raises(InputError, match=r"of full range .* choose \.mkv"):
            writer.write(np.zeros((8, 8, 3), np.uint8), luma=luma)
        writer.write(np.zeros((8, 8, 3), np.uint8))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_colours_under_another_luma_stay_in_srgb(dtype):
    rng = np.random.default_rng(0)
    most = np.iinfo(dtype).max
    rgb = rng.integers(0, most + 1, (32, 32, 3)).astype(dtype)
    luma = Luma(rng.integers(16, 236, (32, 32)).astype(np.uint8), 8, full_range=False)
    found = under_luma(rgb, luma, 1) / most
    own = found @ np.array([0.2126, 0.7152, 0.0722])
    assert np.abs(own - luma.share()).max() < 0.005
    grey = under_luma(np.repeat(rgb[..., :1], 3, 2), luma, 1)
    assert np.ptp(grey.astype(int), axis=2).max() == 0
