"""Damaged files: every frame before the damage, then one error with its number; no false alarm."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from video_clips import pictures, write_clip

from chromatrack.errors import DamagedVideoError, VideoError
from chromatrack.video.integrity import StructureWalk, ffv1_sums_match
from chromatrack.video.reader import Frame, read_frame, read_frames

KINDS = {
    "faststart.mp4": ("libx264", {"movflags": "+faststart"}),
    "fragmented.mp4": ("libx264", {"movflags": "frag_keyframe+empty_moov"}),
    "h265.mp4": ("libx265", {"movflags": "+faststart"}),
    "h264.mkv": ("libx264", {}),
    "ffv1.mkv": ("ffv1", {}),
    "vp9.webm": ("libvpx-vp9", {}),
    "h264.ts": ("libx264", {}),
    "mpeg4.avi": ("mpeg4", {}),
    "mpeg2.mpg": ("mpeg2video", {}),
    "h264.flv": ("libx264", {}),
    "picture.gif": ("gif", {}),
}


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[bytes, list[Frame]]]:
    """Content and good frames of one 48-frame clip of every kind."""
    folder = tmp_path_factory.mktemp("whole")
    grain = np.random.default_rng(1).normal(0, 12, (96, 128, 3))
    made = {}
    for name, (codec, container_options) in KINDS.items():
        path = write_clip(
            folder / name,
            [np.clip(f + grain, 0, 255).astype(np.uint8) for f in pictures(48, size=(96, 128))],
            codec=codec,
            pixel_format="rgb8" if codec == "gif" else "yuv420p",
            options={"g": "16", "b": "900k"} if codec != "libx265" else {},
            container_options=container_options,
        )
        made[name] = path.read_bytes(), list(read_frames(path))
    return made


def read_until_damage(path: Path) -> tuple[list[Frame], DamagedVideoError | None]:
    frames = []
    try:
        for frame in read_frames(path):
            frames.append(frame)
    except DamagedVideoError as error:
        return frames, error
    return frames, None


def check_good_until(frames: list[Frame], error: DamagedVideoError | None, good: list[Frame]):
    """Every frame read equals the whole file's, and the error names the next one."""
    assert error is not None
    assert error.frame_index == len(frames)
    assert error.exit_code != 0
    assert f"frame {len(frames)}" in str(error) and "\n" not in str(error)
    for got, wanted in zip(frames, good, strict=False):
        assert got.index == wanted.index and got.pts_seconds == wanted.pts_seconds
        assert np.array_equal(got.rgb, wanted.rgb)


@pytest.mark.parametrize("name", KINDS)
def test_whole_files_raise_nothing(clips, name):
    assert len(clips[name][1]) == 48


@pytest.mark.parametrize("share", [0.55, 0.7, 0.93])
@pytest.mark.parametrize("name", KINDS)
def test_cut_files_give_every_frame_before_the_cut(clips, tmp_path, name, share):
    content, good = clips[name]
    # odd: an mpegts file that ends between two of its 188-byte packets is a whole file
    (tmp_path / name).write_bytes(content[: int(len(content) * share) | 1])
    frames, error = read_until_damage(tmp_path / name)
    check_good_until(frames, error, good)
    assert len(frames) >= 0.3 * share * 48
    assert len(frames) < 48


@pytest.mark.parametrize("name", [n for n in KINDS if n not in ("h264.ts", "h264.flv")])
def test_a_zeroed_stretch_ends_the_good_frames(clips, tmp_path, name):
    content, good = clips[name]
    middle, length = int(len(content) * 0.6), max(1500, len(content) // 20)
    holed = content[:middle] + bytes(length) + content[middle + length :]
    (tmp_path / name).write_bytes(holed)
    frames, error = read_until_damage(tmp_path / name)
    check_good_until(frames, error, good)


@settings(deadline=None, max_examples=15, suppress_health_check=list(HealthCheck))
@given(at=st.floats(0.2, 0.95), length=st.integers(1, 400), value=st.integers(0, 255))
def test_lossless_files_never_hand_out_a_wrong_picture(clips, tmp_path, at, length, value):
    content, good = clips["ffv1.mkv"]
    start = int(at * len(content))
    patch = bytes([value]) * len(content[start : start + length])
    if content[start : start + length] == patch:
        return
    (tmp_path / "x.mkv").write_bytes(content[:start] + patch + content[start + length :])
    frames, error = read_until_damage(tmp_path / "x.mkv")
    for got, wanted in zip(frames, good, strict=False):
        assert np.array_equal(got.rgb, wanted.rgb)
    assert len(frames) == 48 or error is not None


@settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_garbage_raises_only_our_errors(clips, tmp_path, data):
    name = data.draw(st.sampled_from(list(KINDS)))
    content = bytearray(clips[name][0])
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(content) - 1))
        noise = data.draw(st.binary(min_size=1, max_size=40))
        content[at : at + len(noise)] = noise
    (tmp_path / name).write_bytes(content)
    try:
        frames = list(read_frames(tmp_path / name))
    except VideoError as error:
        assert "\n" not in str(error)
    else:
        assert [f.index for f in frames] == list(range(len(frames)))


def test_mp4_cut_before_its_index_cannot_be_opened(tmp_path):
    clip = write_clip(tmp_path / "a.mp4", pictures(30))
    clip.write_bytes(clip.read_bytes()[:-600])
    with pytest.raises(VideoError, match=r"a\.mp4: cannot be opened as a video"):
        read_frames(clip)


def test_padding_behind_the_end_is_no_damage(clips, tmp_path):
    for name in ("faststart.mp4", "h264.mkv", "mpeg4.avi"):
        for padding in (bytes(5000), b"\xff" * 777, b"x"):
            (tmp_path / name).write_bytes(clips[name][0] + padding)
            frames, error = read_until_damage(tmp_path / name)
            assert error is None and len(frames) == 48


def test_streamed_mkv_without_sizes_or_duration_is_whole(tmp_path):
    clip = write_clip(tmp_path / "live.mkv", pictures(40), container_options={"live": "1"})
    content = clip.read_bytes()
    assert b"\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff" in content  # segment of no size
    frames, error = read_until_damage(clip)
    assert error is None and len(frames) == 40


def test_wrong_declared_frame_count_is_no_damage(clips, tmp_path):
    content = bytearray(clips["mpeg4.avi"][0])
    at = content.index(b"avih") + 8 + 16
    assert int.from_bytes(content[at : at + 4], "little") == 48
    content[at : at + 4] = (55).to_bytes(4, "little")
    (tmp_path / "wrong.avi").write_bytes(content)
    frames, error = read_until_damage(tmp_path / "wrong.avi")
    assert error is None and len(frames) == 48


def test_transport_stream_that_begins_between_key_pictures(clips, tmp_path):
    content, good = clips["h264.ts"]
    (tmp_path / "late.ts").write_bytes(content[188 * 20 :])
    frames, error = read_until_damage(tmp_path / "late.ts")
    assert error is None and 0 < len(frames) < 48
    assert np.array_equal(frames[-1].rgb, good[-1].rgb)


def test_the_number_counts_from_the_start_of_the_file(clips, tmp_path):
    content, good = clips["ffv1.mkv"]
    (tmp_path / "cut.mkv").write_bytes(content[: len(content) * 9 // 10])
    whole, first_error = read_until_damage(tmp_path / "cut.mkv")
    assert first_error is not None
    start = len(whole) - 2
    frames = read_frames(tmp_path / "cut.mkv", start=start)
    assert [next(frames).index, next(frames).index] == [start, start + 1]
    with pytest.raises(DamagedVideoError) as second:
        next(frames)
    assert second.value.frame_index == first_error.frame_index
    assert np.array_equal(read_frame(tmp_path / "cut.mkv", index=3).rgb, good[3].rgb)


def test_single_damaged_photo_is_a_plain_error(tmp_path):
    Image.fromarray(pictures(1, size=(64, 64))[0]).save(tmp_path / "p.jpg")
    whole = (tmp_path / "p.jpg").read_bytes()
    (tmp_path / "p.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(VideoError, match=r"p\.jpg: cannot be read as an image"):
        list(read_frames(tmp_path / "p.jpg"))


@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(
    head=st.sampled_from([b"\x1aE\xdf\xa3", b"GIF89a", b"FLV\x01", b"RIFF", b"\0\0\0\x18ftyp"]),
    body=st.binary(max_size=300),
)
def test_the_structure_walk_survives_anything(tmp_path, head, body):
    (tmp_path / "any").write_bytes(head + body)
    walk = StructureWalk(tmp_path / "any")
    early, ever = walk.is_broken_before(10), walk.is_broken_before(float("inf"))
    walk.close()
    assert ever or not early


def test_ffv1_check_sums():
    assert not ffv1_sums_match(b"")
    assert not ffv1_sums_match(b"nothing of that kind")
