"""Decoded stretches: spaced in time, exact after seeking, cut into scenes, weighed."""

from __future__ import annotations

import io
import tarfile
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from synthetic import moving_clip, rgb_of, still
from video_clips import pictures, write_clip

from chromatrack.errors import VideoError
from chromatrack.training.data import decode
from chromatrack.training.data.decode import Clip, as_clip, clip_weight, decode_stretch, load_photo
from chromatrack.training.data.index import build_index
from chromatrack.training.data.media import MediaFile, VideoEntry
from chromatrack.video.reader import read_frames

GROUPS = {"g": "12", "bf": "2", "sc_threshold": "0"}
"""A key picture every half second at 24 frames per second."""


def entry_of(path: Path) -> VideoEntry:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return build_index([path], cache=None).videos[0]


def photo_of(path: Path) -> MediaFile:
    return MediaFile(path.name, str(path), 0, None, path.stat().st_size, 0)


def decoded(entry: VideoEntry, start: float = 0.0, end: float = 99.0, *, spacing: float = 0.0):
    return decode_stretch(
        entry, start_seconds=start, end_seconds=end, short_side=48, spacing_seconds=spacing
    )


def clip_of(entry: VideoEntry, start: float = 0.0, end: float = 99.0, *, spacing: float = 0.0):
    found = decoded(entry, start, end, spacing=spacing)
    assert found.problem is None and found.clip is not None
    return found.clip


def planes_of(frames) -> torch.Tensor:
    return torch.from_numpy(np.stack(rgb_of(frames))).permute(0, 3, 1, 2)


def clip_from(frames, *, step: float = 0.15) -> Clip:
    rgb = planes_of(frames)
    return as_clip(rgb, np.arange(len(rgb)) * step)


# -- time and place ------------------------------------------------------------------------


def test_frames_keep_time_and_size(tmp_path):
    path = write_clip(tmp_path / "v.mp4", pictures(24, size=(96, 128)))
    clip = clip_of(entry_of(path), spacing=0.1)
    assert clip.rgb.shape == (8, 3, 48, 64) and clip.rgb.dtype == torch.uint8
    assert clip.pts_seconds.dtype == np.float64
    np.testing.assert_allclose(np.diff(clip.pts_seconds), 0.125, atol=1e-3)  # 3 frames of 1/24
    every = [frame.rgb for frame in read_frames(path, size=(48, 64))][::3]
    assert torch.equal(clip.rgb, planes_of(every))


def test_spacing_is_in_time_not_in_frames(tmp_path):
    ticks = [*range(12), *range(24, 96, 12)]  # 24 frames per second, then 2
    path = write_clip(tmp_path / "v.mkv", pictures(18), ticks=ticks, codec="ffv1")
    times = clip_of(entry_of(path), spacing=0.2).pts_seconds
    np.testing.assert_allclose(times[:3], [0, 5 / 24, 10 / 24], atol=2e-3)
    np.testing.assert_allclose(times[3:], np.arange(24, 96, 12) / 24, atol=2e-3)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts", "avi"])
@pytest.mark.parametrize("start", [0.0, 0.4, 1.0, 1.23, 2.0])
def test_seeking_gives_what_decoding_from_the_start_gives(tmp_path, suffix, start):
    options = {"g": "12"} if suffix == "avi" else GROUPS
    codec = "mpeg4" if suffix == "avi" else "libx264"
    path = write_clip(tmp_path / f"v.{suffix}", pictures(60), codec=codec, options=options)
    entry = entry_of(path)
    assert len(entry.keyframes) == 5
    whole, part = clip_of(entry), clip_of(entry, entry.begin + start, entry.begin + start + 0.4)
    first = entry.begin + start
    inside = (whole.pts_seconds >= first - 1e-3) & (whole.pts_seconds < first + 0.4 - 1e-3)
    np.testing.assert_allclose(part.pts_seconds, whole.pts_seconds[inside])
    assert torch.equal(part.rgb, whole.rgb[torch.from_numpy(inside)]) and len(part.rgb) >= 9


def test_a_late_stretch_is_not_decoded_from_the_start(tmp_path, monkeypatch):
    path = write_clip(tmp_path / "v.mp4", pictures(120), options=GROUPS)
    entry = entry_of(path)
    seen: list[float] = []
    timed = decode._timed

    def counted(*args):
        for seconds, picture in timed(*args):
            seen.append(seconds)
            yield seconds, picture

    monkeypatch.setattr(decode, "_timed", counted)
    clip_of(entry, 4.1, 4.6)
    assert 4.0 <= seen[0] <= 4.1 + 1e-3 and len(seen) < 20


def test_key_times_that_are_wrong_do_no_harm(tmp_path):
    path = write_clip(tmp_path / "v.mp4", pictures(48), options=GROUPS)
    entry = entry_of(path)
    wrong = VideoEntry(**{**vars(entry), "keyframes": (0.0, 0.3, 1.2, 1.3, 99.0)})
    right = clip_of(entry, 1.3, 1.8)
    assert torch.equal(clip_of(wrong, 1.3, 1.8).rgb, right.rgb)
    none = VideoEntry(**{**vars(entry), "keyframes": ()})
    assert torch.equal(clip_of(none, 1.3, 1.8).rgb, right.rgb)


def test_a_video_in_a_shard_is_read_and_sought_in_place(tmp_path):
    path = write_clip(tmp_path / "v.mp4", pictures(48), options=GROUPS)
    with tarfile.open(tmp_path / "s.tar", "w") as shard:
        for name in ("one.mp4", "two.mp4"):
            info = tarfile.TarInfo(name)
            info.size = path.stat().st_size
            shard.addfile(info, io.BytesIO(path.read_bytes()))
    inside = build_index([tmp_path / "s.tar"], cache=None).videos[1]
    for span in ((0.0, 9.0), (1.3, 1.9)):
        assert torch.equal(clip_of(inside, *span).rgb, clip_of(entry_of(path), *span).rgb)


def test_portrait_stays_upright(tmp_path):
    path = write_clip(tmp_path / "v.mp4", pictures(4, size=(96, 128)), rotation=90)
    clip = clip_of(entry_of(path))
    assert clip.rgb.shape == (4, 3, 64, 48)
    upright = [frame.rgb for frame in read_frames(path, size=(64, 48))]
    assert torch.equal(clip.rgb, planes_of(upright))


def test_narrow_pictures_are_not_enlarged(tmp_path):
    path = write_clip(tmp_path / "v.mkv", pictures(3, size=(20, 200)), codec="ffv1")
    assert clip_of(entry_of(path)).rgb.shape == (3, 3, 20, 200)


# -- damage --------------------------------------------------------------------------------


def test_damage_ends_a_clip(tmp_path):
    fast = {"movflags": "+faststart"}
    path = write_clip(tmp_path / "v.mp4", pictures(60), options={"g": "6"}, container_options=fast)
    whole = clip_of(entry_of(path))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    found = decoded(entry_of(path))
    assert found.clip is not None and 20 < len(found.clip.rgb) < 55
    assert torch.equal(found.clip.rgb, whole.rgb[: len(found.clip.rgb)])
    assert found.problem and "damaged after" in found.problem
    lost = decoded(VideoEntry(**{**vars(entry_of(path)), "keyframes": ()}), 2.2, 2.5)
    assert lost.clip is None and lost.problem and "damaged from 2.20 s on" in lost.problem


def test_what_cannot_be_used_says_why(tmp_path):
    path = write_clip(tmp_path / "v.mp4", pictures(6))
    entry = entry_of(path)
    assert (
        decoded(entry, 3.0, 4.0).problem
        == f"{path}: no frame between 3.00 to 4.00 s; two are needed"
    )
    assert "one frame between" in (decoded(entry, 0.0, 0.04).problem or "")
    path.unlink()
    assert "cannot be read" in (decoded(entry).problem or "")


# -- scenes --------------------------------------------------------------------------------


def test_a_hard_cut_begins_a_scene():
    scenes = [moving_clip(frames=6, seed=seed, velocity=(4, 2)) for seed in (0, 5)]
    other = [255 - frame.rgb for frame in scenes[1]]
    clip = clip_from([*rgb_of(scenes[0]), *other, *rgb_of(scenes[0])])
    assert clip.scene.tolist() == [0] * 6 + [1] * 6 + [2] * 6
    assert np.issubdtype(clip.scene.dtype, np.integer)


def test_a_cut_is_found_in_a_file(tmp_path):
    one, two = (rgb_of(moving_clip(frames=24, seed=seed)) for seed in (1, 9))
    frames = [*one, *(255 - picture for picture in two)]
    clip = clip_of(entry_of(write_clip(tmp_path / "v.mp4", frames)), spacing=0.15)
    change = np.flatnonzero(np.diff(clip.scene))
    assert len(change) == 1 and clip.pts_seconds[change[0]] < 1.0 <= clip.pts_seconds[change[0] + 1]


@pytest.mark.parametrize("speed", [8.0, 20.0])
def test_fast_motion_is_no_cut(speed):
    frames = moving_clip(
        frames=14, size=(96, 160), velocity=(-speed, 2), camera_velocity=(speed, 0), objects=2
    )
    assert clip_from(frames).scene.tolist() == [0] * 14


# -- weights -------------------------------------------------------------------------------


def noisy(frame: np.ndarray, seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, 2, frame.shape)
    return (frame + noise).round().clip(0, 255).astype(np.uint8)


def test_a_clip_in_which_something_moves_weighs_one():
    assert clip_from(moving_clip(frames=8, size=(240, 320), radius=50)).weight == 1.0


def test_near_static_clips_weigh_little():
    frame = still((240, 320))
    frozen = clip_from([frame] * 8)
    assert frozen.weight == pytest.approx(0.05)
    assert clip_from([noisy(frame, i) for i in range(8)]).weight < 0.35
    slow = moving_clip(frames=8, size=(240, 320), objects=0, camera_velocity=(0.1, 0))
    assert frozen.weight <= clip_from(slow).weight < 0.6


def test_a_small_mover_before_a_still_camera_is_worth_it():
    frames = moving_clip(frames=8, size=(240, 320), radius=32, velocity=(8, 0))
    assert clip_from(frames).weight > 0.7


def test_a_slide_show_weighs_little():
    pages = [still((96, 160), seed=seed) for seed in (0, 4)]
    clip = clip_from([*[pages[0]] * 4, *[255 - pages[1]] * 4])
    assert clip.scene[-1] == 1 and clip.weight == pytest.approx(0.05)


def test_grey_and_toned_clips_weigh_little():
    color = rgb_of(moving_clip(frames=8, size=(240, 320), radius=50))
    grey = [np.repeat(f.mean(-1, keepdims=True).astype(np.uint8), 3, axis=-1) for f in color]
    assert clip_from(grey).weight <= 0.06
    toned = [(f * np.array([1.0, 0.93, 0.85])).astype(np.uint8) for f in grey]
    assert clip_from(toned).weight < 0.8 < clip_from(color).weight


def test_weights_are_in_range_for_anything():
    black = torch.zeros(2, 3, 16, 16, dtype=torch.uint8)
    assert clip_weight(black, np.zeros(2, int)) == pytest.approx(0.0025)
    assert 0 < clip_weight(black, np.arange(2)) <= 1


# -- photos --------------------------------------------------------------------------------


def test_photos_are_upright_rgb_and_small(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    Image.fromarray(still((40, 60))).convert("L").save(tmp_path / "turned.jpg", exif=exif)
    photo = load_photo(photo_of(tmp_path / "turned.jpg"), short_side=32)
    assert photo.shape == (3, 48, 32) and photo.dtype == torch.uint8
    Image.fromarray(still((40, 60))).save(tmp_path / "plain.png")
    same = load_photo(photo_of(tmp_path / "plain.png"), short_side=99)
    assert torch.equal(same, planes_of([still((40, 60))])[0])


def test_a_huge_photo_is_brought_down(tmp_path):
    Image.fromarray(still((40, 60))).resize((3000, 2000)).save(tmp_path / "huge.jpg")
    photo = load_photo(photo_of(tmp_path / "huge.jpg"), short_side=40).float()
    assert photo.shape == (3, 40, 60)
    assert (photo - planes_of([still((40, 60))])[0].float()).abs().mean() < 8


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n" + bytes(40)])
def test_a_photo_that_is_none(tmp_path, content):
    (tmp_path / "x.png").write_bytes(content)
    with pytest.raises(VideoError, match=r"x\.png: cannot be read as an image"):
        load_photo(photo_of(tmp_path / "x.png"), short_side=32)


def test_a_photo_too_small_to_learn_from(tmp_path):
    Image.new("RGB", (1, 1)).save(tmp_path / "pixel.png")
    with pytest.raises(VideoError, match="expected at least 16 pixels a side, got 1x1"):
        load_photo(photo_of(tmp_path / "pixel.png"), short_side=32)
