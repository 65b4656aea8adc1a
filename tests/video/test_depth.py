"""More than 8 bits: read, coloured and written in the source's depth."""

from __future__ import annotations

import warnings
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image
from video_clips import pictures, write_clip

from chromatrack.ops.color import rgb_to_lab
from chromatrack.tracking.colorize import paint
from chromatrack.video.image_writer import png_bytes
from chromatrack.video.like_source import options_like
from chromatrack.video.pixel_format import to_8_bit
from chromatrack.video.reader import VideoWriter, open_writer, probe, read_frame, read_frames


def ramp(size: tuple[int, int] = (32, 256)) -> np.ndarray:
    """(H, W, 3) uint16: grey, one level of 10 bits further in every column."""
    levels = (256 + np.arange(size[1])) * 64
    return np.repeat(np.repeat(levels[None, :, None], 3, 2), size[0], 0).astype(np.uint16)


def deep_clip(path: Path, codec: str = "ffv1", pixel_format: str = "yuv420p10le") -> Path:
    return write_clip(
        path, [ramp()] * 3, codec=codec, pixel_format=pixel_format, raw_format="rgb48le"
    )


def luminances(path: Path) -> int:
    """How many levels of luminance a picture of a file has."""
    with av.open(str(path)) as container:
        picture = next(container.decode(video=0))
    return len(np.unique(picture.reformat(format="gray16le").to_ndarray()[16]))


def test_deep_frames_on_request(tmp_path):
    clip = deep_clip(tmp_path / "a.mkv")
    frame = next(read_frames(clip, deep=True))
    assert frame.deep is not None and frame.deep.dtype == np.uint16
    assert np.array_equal(to_8_bit(frame.deep), frame.rgb)
    assert np.array_equal(frame.rgb, read_frame(clip, index=0).rgb)
    assert len(np.unique(frame.deep[16])) > 200 > 80 > len(np.unique(frame.rgb[16]))
    assert next(read_frames(clip)).deep is None
    plain = write_clip(tmp_path / "b.mp4", pictures(2))
    assert next(read_frames(plain, deep=True)).deep is None


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format", "least"),
    [
        ("a.mp4", None, "yuv420p10le", 180),
        ("a.mov", None, "yuv422p10le", 120),
        ("a.mkv", None, "gbrp16le", 200),
        ("a.mkv", "h264", "yuv420p10le", 180),
    ],
)
def test_deep_frames_are_written_deep(tmp_path, name, codec, pixel_format, least):
    with VideoWriter(tmp_path / name, codec=codec, crf=1) as writer:
        for _ in range(3):
            writer.write(ramp())
    assert probe(tmp_path / name).pixel_format == pixel_format
    assert luminances(tmp_path / name) >= least
    back = next(read_frames(tmp_path / name, deep=True)).deep
    assert back is not None and np.abs(back.astype(int) - ramp()).max() < 400


def test_shallow_and_deep_frames_may_follow_each_other(tmp_path):
    for first, second in (("uint8", "uint16"), ("uint16", "uint8")):
        with VideoWriter(tmp_path / "a.mkv") as writer:
            for kind in (first, second):
                writer.write(np.full((8, 8, 3), 200 * (257 if kind == "uint16" else 1), kind))
        assert [f.rgb[0, 0, 0] for f in read_frames(tmp_path / "a.mkv")] == [200, 200]


def test_painting_keeps_every_level_of_luminance():
    ab = torch.full((2, 32, 256), 8.0)
    painted = paint(ramp(), ab)
    assert painted.dtype == np.uint16
    before, after = (
        rgb_to_lab(torch.from_numpy(x.astype(np.int32)).permute(2, 0, 1).float() / 65535)[0]
        for x in (ramp(), painted)
    )
    assert (before - after).abs().max() < 0.01
    shallow = paint(to_8_bit(ramp()), ab)
    assert shallow.dtype == np.uint8
    assert np.abs(shallow.astype(int) - to_8_bit(painted)).max() <= 2


def test_pictures_of_sixteen_bits_stay_so(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    color = np.random.default_rng(0).integers(0, 65536, (8, 9, 3)).astype(np.uint16)
    for name in ("IMG_0012", "IMG_0013"):
        (folder / f"{name}.png").write_bytes(png_bytes(color))
    frames = list(read_frames(folder, deep=True))
    assert all(np.array_equal(f.deep, color) for f in frames)
    with open_writer(tmp_path / "out", **options_like(folder, info=probe(folder))) as writer:
        for frame in frames:
            writer.write(frame.deep)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["IMG_0012.png", "IMG_0013.png"]
    again = next(read_frames(tmp_path / "out", deep=True))
    assert np.array_equal(again.deep, color)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_grey_pictures_of_sixteen_bits(tmp_path, suffix):
    grey = np.random.default_rng(0).integers(0, 65536, (8, 9)).astype(np.uint16)
    Image.fromarray(grey).save(tmp_path / f"a{suffix}")
    frame = next(read_frames(tmp_path / f"a{suffix}", deep=True))
    assert frame.deep is not None
    assert np.array_equal(frame.deep, np.repeat(grey[..., None], 3, 2))


@pytest.mark.parametrize(("most", "bits"), [(255, 8), (1000, 10), (4095, 12), (16000, 14)])
def test_twelve_bits_in_sixteen_get_a_hint(tmp_path, most, bits):
    Image.fromarray(np.linspace(0, most, 64).astype(np.uint16).reshape(8, 8)).save(
        tmp_path / "a.png"
    )
    with pytest.warns(UserWarning, match=rf"cameras of {bits} bits.*multiply"):
        read_frame(tmp_path / "a.png", index=0)


@pytest.mark.parametrize("most", [0, 20000, 65535])
def test_other_pictures_get_none(tmp_path, most):
    Image.fromarray(np.full((8, 8), most, np.uint16)).save(tmp_path / "a.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_frame(tmp_path / "a.png", index=0)


# -- names -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sources", "first", "expected"),
    [
        (["IMG_0012.jpg", "IMG_0013.jpg"], 0, ["IMG_0012.png", "IMG_0013.png"]),
        (["IMG_0012.jpg", "IMG_0013.jpg"], 1, ["IMG_0013.png"]),
        (["a.jpg", "a.png", "b.jpg"], 0, ["a.jpg.png", "a.png.png", "b.png"]),
        (["f9.bmp", "f10.bmp"], 0, ["f10.png", "f9.png"]),
    ],
)
def test_folders_keep_the_names_of_their_pictures(tmp_path, sources, first, expected):
    (tmp_path / "in").mkdir()
    for name in sources:
        Image.new("RGB", (8, 8)).save(tmp_path / "in" / name)
    source, target = tmp_path / "in", tmp_path / "out"
    with open_writer(target, **options_like(source, info=probe(source), first=first)) as writer:
        for frame in read_frames(source, start=first):
            writer.write(frame.rgb)
    assert sorted(p.name for p in target.iterdir()) == expected


def test_pictures_of_a_video_and_of_a_pattern_are_numbered(tmp_path):
    clip = write_clip(tmp_path / "a.mp4", pictures(2))
    (tmp_path / "in").mkdir()
    for name in ("x.png", "y.png"):
        Image.new("RGB", (8, 8)).save(tmp_path / "in" / name)
    for source, target in ((clip, "one"), (tmp_path / "in", "two/f_%02d.png")):
        with open_writer(tmp_path / target, **options_like(source, info=probe(source))) as writer:
            for frame in read_frames(source):
                writer.write(frame.rgb)
    assert sorted(p.name for p in (tmp_path / "one").iterdir()) == ["00000.png", "00001.png"]
    assert sorted(p.name for p in (tmp_path / "two").iterdir()) == ["f_00.png", "f_01.png"]
