"""Frames in any order are the frames that are read in order."""

from __future__ import annotations

import gc

import numpy as np
import pytest
from av.video.frame import VideoFrame
from PIL import Image
from video_clips import pictures, write_clip

from chromatrack.errors import BeyondEndError, DamagedVideoError
from chromatrack.video.random_access import FrameReader, FrameTimes
from chromatrack.video.reader import read_frames

COUNT = 150
CODECS = {
    "many B pictures": ("libx264", {"g": "60", "bf": "4", "b-pyramid": "normal", "qp": "20"}),
    "one key picture": ("libx264", {"g": "250", "bf": "3", "qp": "24"}),
    "no B pictures": ("libx264", {"g": "40", "bf": "0", "qp": "20"}),
    "HEVC": ("libx265", {"x265-params": "log-level=none:keyint=50:bframes=4"}),
    "ffv1": ("ffv1", {"level": "3", "slicecrc": "1"}),
}


@pytest.mark.parametrize("name", CODECS)
def test_frames_in_any_order_are_exact(tmp_path, name):
    codec, options = CODECS[name]
    suffix = "mkv" if codec == "ffv1" else "mp4"
    clip = write_clip(tmp_path / f"clip.{suffix}", pictures(COUNT), codec=codec, options=options)
    exact = [frame.rgb for frame in read_frames(clip)]
    known = FrameTimes.of(clip)
    assert np.allclose(known.times, [frame.pts_seconds for frame in read_frames(clip)])
    reader = FrameReader(clip, known=known)
    rng = np.random.default_rng(0)
    for index in [*rng.integers(0, COUNT, 25).tolist(), 149, 148, 147, 60, 61, 62, 0, 1, 100]:
        assert (reader.read(index) == exact[index]).all(), index
    run = [rgb for _, (_, rgb) in zip(range(70), reader.read_from(70), strict=False)]
    assert all((a == b).all() for a, b in zip(run, exact[70:140], strict=True))
    with pytest.raises(BeyondEndError):
        reader.read(COUNT)
    assert (reader.read(75) == exact[75]).all()
    assert reader.read(80, size=(24, 32)).shape == (24, 32, 3)
    reader.close()


def test_folders_of_pictures_too(tmp_path):
    for index, rgb in enumerate(pictures(5)):
        Image.fromarray(rgb).save(tmp_path / f"f{index}.png")
    reader = FrameReader(tmp_path)
    assert (reader.read(3) == pictures(5)[3]).all()
    assert len(FrameTimes.of(tmp_path).times) == 5
    with pytest.raises(BeyondEndError):
        reader.read(5)


def read_until_damage(frames):
    """The pictures before damage, and its frame number; None where nothing was noticed."""
    got = []
    try:
        got.extend(frames)
    except DamagedVideoError as error:
        return got, error.frame_index
    return got, None


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
@pytest.mark.parametrize("seed", range(3))
def test_damage_is_met_where_reading_in_order_meets_it(tmp_path, codec, seed):
    """Pictures are decoded side by side until there is damage, which leaves none unsure."""
    options = {"x265-params": "log-level=none"} if codec == "libx265" else {"bf": "2", "qp": "20"}
    clip = write_clip(
        tmp_path / "clip.mp4", pictures(COUNT), codec=codec, options=options | {"g": "30"}
    )
    known = FrameTimes.of(clip)
    content = bytearray(clip.read_bytes())
    rng = np.random.default_rng(seed)
    at = int(len(content) * rng.uniform(0.4, 0.6))
    content[at : at + 400] = rng.integers(0, 256, 400, dtype=np.uint8).tobytes()
    clip.write_bytes(content)
    exact, damaged = read_until_damage(frame.rgb for frame in read_frames(clip))
    assert len(exact) < COUNT and (damaged is not None or codec == "libx265")
    for start in (0, len(exact) - 1, max(0, len(exact) - 20)):
        reader = FrameReader(clip, known=known)  # which has met no damage yet
        got, met = read_until_damage(rgb for _, rgb in reader.read_from(start))
        if start == 0 and codec == "libx264":  # x265's pictures are judged one by one
            assert (len(got), met) == (len(exact), damaged)
        assert all((a == b).all() for a, b in zip(got, exact[start:], strict=False))
        reader.close()


def test_decoded_pictures_do_not_pile_up_till_the_collector_comes(tmp_path):
    clip = write_clip(tmp_path / "clip.mp4", pictures(60), options={"bf": "0"})
    reader = FrameReader(clip)
    gc.collect()
    gc.disable()
    try:
        for _, _rgb in reader.read_from(0):
            pass
        kept = sum(type(one) is VideoFrame for one in gc.get_objects())
    finally:
        gc.enable()
    reader.close()
    assert kept < 10
