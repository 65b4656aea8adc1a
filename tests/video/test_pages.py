"""Several pictures in one file, as a video and as masks."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2
from video_clips import pictures

from chromatrack.errors import DamagedVideoError, InputError, VideoError
from chromatrack.formats.masks import read_mask, read_mask_folder, read_mask_pages
from chromatrack.tracking.mark_checks import checked_marks
from chromatrack.tracking.marks import Marks
from chromatrack.video.picture_files import MOST_PIXELS
from chromatrack.video.reader import frame_range, probe, read_frame, read_frames

DURATIONS = [40, 40, 120, 40, 500, 10]  # ms


def save(path, frames, **options):
    first, *rest = [Image.fromarray(frame) for frame in frames]
    first.save(path, save_all=True, append_images=rest, **options)
    return path


KINDS = {
    "a.tif": {},
    "lzw.tiff": {"compression": "tiff_lzw"},
    "big.tif": {"big_tiff": True},
    "a.png": {"duration": DURATIONS},
    "a.webp": {"duration": DURATIONS, "lossless": True},
    "a.avif": {"duration": DURATIONS, "quality": 100, "subsampling": "4:4:4"},
}


@pytest.mark.parametrize(("name", "options"), KINDS.items(), ids=KINDS)
def test_all_pictures_are_frames_at_their_own_times(tmp_path, name, options):
    shown = pictures(6)
    path = save(tmp_path / name, shown, **options)
    info, frames = probe(path), list(read_frames(path))
    assert info.frame_count == len(frames) == 6
    assert (info.height, info.width) == shown[0].shape[:2]
    tolerance = 12 if name.endswith("avif") else 0
    for index, frame in enumerate(frames):
        assert frame.index == index
        assert np.abs(frame.rgb.astype(int) - shown[index]).max() <= tolerance
    seconds = np.array(DURATIONS) / 1000 if "duration" in options else np.full(6, 1 / 24)
    assert np.allclose([f.pts_seconds for f in frames], np.cumsum([0, *seconds[:-1]]))
    assert np.allclose([f.duration_seconds or 0 for f in frames], seconds)
    assert np.isclose(info.duration_seconds or 0, seconds.sum())


@pytest.mark.parametrize(("name", "options"), KINDS.items(), ids=KINDS)
def test_a_picture_in_the_middle_is_the_one_of_a_whole_read(tmp_path, name, options):
    path = save(tmp_path / name, pictures(6), **options)
    whole = list(read_frames(path))
    part = list(read_frames(path, start=3, end=5))
    assert [f.index for f in part] == [3, 4]
    for frame in (*part, read_frame(path, index=1), read_frame(path, seconds=0.09)):
        assert np.array_equal(frame.rgb, whole[frame.index].rgb)
        assert frame.pts_seconds == whole[frame.index].pts_seconds
    small = next(read_frames(path, start=2, size=(24, 32)))
    assert small.rgb.shape == (24, 32, 3)
    with pytest.raises(VideoError, match="6 frames"):
        next(read_frames(path, start=6))


def test_a_moment_of_an_animation_is_by_its_own_times(tmp_path):
    path = save(tmp_path / "a.webp", pictures(6), duration=DURATIONS, lossless=True)
    assert frame_range(path, start="0.1s", end="0.3s") == (2, 5)


def test_equal_durations_are_a_frame_rate(tmp_path):
    info = probe(save(tmp_path / "a.webp", pictures(4), duration=40, lossless=True))
    assert info.average_fps == 25


def test_a_gif_is_read_whole(tmp_path):
    path = save(tmp_path / "a.gif", pictures(6), duration=100)
    assert len(list(read_frames(path))) == 6


@pytest.mark.parametrize("mode", ["L", "I;16", "1", "P"])
def test_stacks_of_other_kinds_of_pixels(tmp_path, mode):
    grey = [frame[..., 0] for frame in pictures(3)]
    images = [Image.fromarray(g.astype(np.uint16) * 257 if mode == "I;16" else g) for g in grey]
    images = [image if mode == "I;16" else image.convert(mode) for image in images]
    images[0].save(tmp_path / "a.tif", save_all=True, append_images=images[1:])
    frames = list(read_frames(tmp_path / "a.tif"))
    assert len(frames) == 3
    if mode in ("L", "I;16"):
        assert all(np.array_equal(f.rgb[..., 1], g) for f, g in zip(frames, grey, strict=True))


def reduced(number: int) -> ImageFileDirectory_v2:
    tags = ImageFileDirectory_v2()
    tags[254] = number
    return tags


def test_thumbnails_are_no_frames(tmp_path):
    full = [Image.fromarray(frame) for frame in pictures(2)]
    small = full[0].resize((16, 12))
    small.encoderinfo = {"tiffinfo": reduced(1)}
    full[0].save(tmp_path / "a.tif", save_all=True, append_images=[small, full[1]])
    with Image.open(tmp_path / "a.tif") as image:
        assert image.n_frames == 3  # type: ignore[attr-defined]
    frames = list(read_frames(tmp_path / "a.tif"))
    assert [np.array_equal(f.rgb, np.asarray(i)) for f, i in zip(frames, full, strict=True)]
    full[0].save(tmp_path / "b.tif", save_all=True, append_images=[small])
    assert len(list(read_frames(tmp_path / "b.tif"))) == 1
    full[0].save(tmp_path / "c.jpg", format="MPO", save_all=True, append_images=[full[1]])
    assert probe(tmp_path / "c.jpg").frame_count == 1


def test_the_stand_in_of_an_animated_png_is_no_frame(tmp_path):
    shown = pictures(4)
    save(tmp_path / "a.png", shown, default_image=True, duration=[100, 200, 300])
    frames = list(read_frames(tmp_path / "a.png"))
    assert len(frames) == probe(tmp_path / "a.png").frame_count == 3
    assert all(np.array_equal(f.rgb, s) for f, s in zip(frames, shown[1:], strict=True))
    assert np.allclose([f.duration_seconds or 0 for f in frames], [0.1, 0.2, 0.3])


def test_pages_of_different_sizes_are_refused(tmp_path):
    save(tmp_path / "a.tif", [*pictures(2), *pictures(1, size=(24, 32))])
    for act in (probe, lambda path: next(read_frames(path))):
        with pytest.raises(VideoError, match=r"picture 2 is 32x24 but the first is 64x48"):
            act(tmp_path / "a.tif")


def test_a_stack_among_other_files_is_refused(tmp_path):
    for index, frame in enumerate(pictures(3)):
        Image.fromarray(frame).save(tmp_path / f"{index}.tif")
    assert len(list(read_frames(tmp_path))) == 3
    save(tmp_path / "1.tif", pictures(5))
    with pytest.raises(VideoError, match=r"1\.tif: holds 5 pictures.*one each"):
        probe(tmp_path)


@pytest.mark.parametrize("name", ["a.tif", "a.png", "a.webp"])
def test_a_file_cut_short_is_damaged_not_shorter(tmp_path, name):
    path = save(tmp_path / name, pictures(6), **KINDS[name])
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises(VideoError):
        list(read_frames(path))


def test_damage_in_the_middle_comes_after_the_good_frames(tmp_path):
    path = save(tmp_path / "a.tif", pictures(6), compression="tiff_lzw")
    data = bytearray(path.read_bytes())
    with Image.open(path) as image:
        image.seek(3)
        place = image.tag_v2[273][0]  # type: ignore[attr-defined]
    data[place : place + 400] = bytes(400)
    path.write_bytes(data)
    seen = []
    with pytest.raises(DamagedVideoError) as error:
        seen.extend(frame.index for frame in read_frames(path) if not seen.append(frame.index))
    assert error.value.frame_index == 3


def test_very_large_pictures_are_refused_at_once(tmp_path):
    side = int(MOST_PIXELS**0.5) + 40
    Image.new("1", (side, side)).save(tmp_path / "a.png")
    for act in (probe, lambda path: next(read_frames(path)), read_mask):
        with pytest.raises(InputError, match=r"at most 134"):
            act(tmp_path / "a.png")


# -- as masks ------------------------------------------------------------------------------


def masks(count: int) -> list[np.ndarray]:
    found = []
    for index in range(count):
        mask = np.zeros((48, 64), dtype=np.uint8)
        mask[5:20, 5 + index : 25 + index] = 1
        mask[25:40, 30 - index : 50 - index] = 3
        found.append(mask)
    return found


def indexed(mask: np.ndarray) -> np.ndarray:
    from chromatrack.formats.masks import DAVIS_PALETTE

    return DAVIS_PALETTE[mask]


@pytest.mark.parametrize(
    ("name", "options", "change"),
    [
        ("m.tif", {}, None),
        ("m.tif", {}, lambda mask: mask.astype(np.uint16) * 100),
        ("m.tif", {"compression": "tiff_lzw"}, indexed),
        ("m.png", {}, None),
        ("m.png", {}, indexed),
        ("m.webp", {"lossless": True}, indexed),
        ("m.gif", {}, indexed),
    ],
    ids=["tiff", "tiff of 16 bits", "coloured tiff", "png", "coloured png", "webp", "gif"],
)
def test_page_i_is_the_mask_of_frame_i(tmp_path, name, options, change):
    drawn = [mask if change is None else change(mask) for mask in masks(4)]
    path = save(tmp_path / name, drawn, **options)
    factor = 100 if drawn[0].dtype == np.uint16 else 1
    for read, mask in zip(read_mask_pages(path), masks(4), strict=True):
        assert np.array_equal(read, mask.astype(int) * factor)
    marks = Marks.of(masks=path)
    assert list(marks.masks) == [0, 1, 2, 3]
    video = save(tmp_path / "v.tif", pictures(4))
    assert list(checked_marks(video, marks, start=0, end=None).masks) == [0, 1, 2, 3]
    video = save(tmp_path / "v.tif", pictures(3))
    with pytest.raises(InputError, match=r"mask of frame 3: expected a frame from 0 to 2"):
        checked_marks(video, marks, start=0, end=None)


@pytest.mark.parametrize("name", ["m.tif", "m.png"])
def test_a_palette_stack_keeps_its_indices(tmp_path, name):
    pages = [Image.fromarray(mask, mode="P") for mask in masks(3)]
    for page in pages:
        page.putpalette([7, 8, 9] * 256 if name == "m.tif" else list(range(255, -1, -1)) * 3)
    pages[0].save(tmp_path / name, save_all=True, append_images=pages[1:])
    assert all(map(np.array_equal, read_mask_pages(tmp_path / name), masks(3)))


def test_one_mask_is_of_the_first_frame(tmp_path):
    save(tmp_path / "m.tif", masks(1))
    assert list(Marks.of(start=2, masks=tmp_path / "m.tif").masks) == [2]


def test_several_masks_where_one_is_expected_are_refused(tmp_path):
    path = save(tmp_path / "00000.png", masks(3))
    for act in (lambda: read_mask(path), lambda: read_mask_folder(tmp_path)):
        with pytest.raises(InputError, match="holds 3 pictures"):
            act()


def test_masks_of_different_sizes_are_refused(tmp_path):
    save(tmp_path / "m.tif", [*masks(1), masks(1)[0][:20]])
    with pytest.raises(InputError, match="picture 0 is 64x48 and picture 1 is 64x20"):
        read_mask_pages(tmp_path / "m.tif")
