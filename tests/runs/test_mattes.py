"""Mattes and cut-outs of a run's objects, read back by Pillow, FFmpeg and OpenEXR."""

from __future__ import annotations

from dataclasses import replace

import av
import numpy as np
import pytest
from hand_results import hand_result, squares
from PIL import Image

from chromatrack.errors import InputError
from chromatrack.formats.exchange import ExportOptions
from chromatrack.runs.export import export_run

RED, GREEN, BLUE = (220, 40, 40), (40, 200, 60), (30, 40, 200)
PLATE = ExportOptions(start_number=1001)


@pytest.fixture
def run(tmp_path):
    """Frames 2 to 4 of a video: a red square that moves and a green one that comes, on blue."""
    masks = squares({1: [(5, 5), (9, 5), (13, 5)], 2: [None, (40, 30), (40, 30)]}, side=16)
    folder = tmp_path / "video"
    folder.mkdir()
    for n in range(6):
        picture = np.full((60, 80, 3), BLUE, dtype=np.uint8)
        mask = masks[n - 2] if 2 <= n < 5 else np.zeros((60, 80), dtype=int)
        picture[mask == 1], picture[mask == 2] = RED, GREEN
        Image.fromarray(picture).save(folder / f"{n:05d}.png")
    result = hand_result(masks=masks, first=2)
    names = {("object", 1): "a/b"}
    return replace(result, video_path=str(folder), names=names, folder=tmp_path / "run")


def test_mattes_are_grey_pictures_of_each_object_and_of_all(run, tmp_path):
    export_run(run, "matte-png", tmp_path / "m", options=PLATE)
    found = sorted(path.relative_to(tmp_path / "m").as_posix() for path in tmp_path.glob("m/*/*"))
    assert found == [
        f"{name}/{n:05d}.png" for name in ("a_b", "all", "object_2") for n in (1001, 1002, 1003)
    ]
    with Image.open(tmp_path / "m/a_b/01002.png") as image:
        assert image.mode == "L" and image.size == (80, 60)
        matte = np.asarray(image)
    assert (matte[8:18, 12:22] == 255).all() and (matte[30:] == 0).all()
    edge = matte[12, 5:14].astype(int)
    assert (np.diff(edge) >= 0).all() and edge[0] == 0 and edge[-1] == 255
    both = np.asarray(Image.open(tmp_path / "m/all/01002.png"))
    assert both[12, 16] == both[38, 48] == 255 and both[50, 5] == 0
    assert not np.asarray(Image.open(tmp_path / "m/object_2/01001.png")).any()  # not there yet


def test_cutouts_are_straight_colours_of_the_video(run, tmp_path):
    export_run(run, "cutout-png", tmp_path / "c")
    with Image.open(tmp_path / "c/object_2/00004.png") as image:
        assert image.mode == "RGBA" and image.info["Software"] == "chromatrack"
        cut = np.asarray(image)
    assert cut[38, 48].tolist() == [*GREEN, 255]
    assert cut[38, 36].tolist() == [*BLUE, 0]  # colours go on beside it
    assert cut[5, 5].tolist() == [0, 0, 0, 0]


def movie(path):
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "prores" and stream.codec_context.profile == "4444"
        frames = list(container.decode(video=0))
        times = [float(frame.pts * frame.time_base) for frame in frames]
        return [frame.to_ndarray(format="rgba").astype(int) for frame in frames], times


def test_cutout_videos_have_opacity_straight_or_premultiplied(run, tmp_path):
    export_run(run, "cutout-prores", tmp_path / "c")
    assert sorted(path.name for path in (tmp_path / "c").iterdir()) == [
        *("a_b.mov", "all.mov", "object_2.mov"),
    ]
    frames, times = movie(tmp_path / "c/object_2.mov")
    np.testing.assert_allclose(times, [0, 1 / 24, 2 / 24], atol=1e-4)
    assert frames[0].shape == (60, 80, 4) and not frames[0][..., 3].any()
    np.testing.assert_allclose(frames[1][38, 48], [*GREEN, 255], atol=4)
    assert frames[1][38, 36, 3] == 0 and abs(frames[1][38, 36, 2] - BLUE[2]) < 12
    options = ExportOptions(premultiplied=True)
    export_run(run, "cutout-prores", tmp_path / "p", options=options)
    frames, _ = movie(tmp_path / "p/object_2.mov")
    np.testing.assert_allclose(frames[1][38, 48], [*GREEN, 255], atol=4)
    assert frames[1][38, 30:36, :3].max() < 12  # black where it is clear
    with pytest.raises(InputError, match="premultiplied: PNG files hold straight colours"):
        export_run(run, "cutout-png", tmp_path / "q", options=options)
    assert not (tmp_path / "q").exists()


def test_matte_videos_are_as_opaque_as_the_object(run, tmp_path):
    export_run(run, "matte-prores", tmp_path / "m")
    frames, _ = movie(tmp_path / "m/a_b.mov")
    assert frames[0][12, 12].tolist() == pytest.approx([255] * 4, abs=2)
    assert frames[0][40, 40].tolist() == pytest.approx([0] * 4, abs=2)
    assert np.abs(frames[0][..., 0] - frames[0][..., 3]).mean() < 2


def test_cryptomatte_files_hold_all_objects(run, tmp_path):
    exr = pytest.importorskip("OpenEXR")
    export_run(run, "cryptomatte", tmp_path / "e", options=PLATE)
    assert sorted(path.name for path in (tmp_path / "e").iterdir()) == [
        *("01001.exr", "01002.exr", "01003.exr"),
    ]
    with exr.File(str(tmp_path / "e/01002.exr"), separate_channels=True) as file:
        pixels = {name: channel.pixels.copy() for name, channel in file.channels().items()}
    cover, which = pixels["CryptoObject00.G"], pixels["CryptoObject00.R"]
    assert cover[12, 16] == cover[38, 48] == 1 and cover[50, 5] == 0
    assert which[12, 16] != which[38, 48] and which[50, 5] == 0


def test_a_video_that_is_not_there_or_not_this_one_is_told(run, tmp_path):
    gone = replace(run, video_path="nowhere.mp4")
    with pytest.raises(InputError, match=r"nowhere\.mp4' is not there any more"):
        export_run(gone, "matte-png", tmp_path / "m")
    export_run(gone, "matte-png", tmp_path / "m", video=run.video_path)
    Image.new("RGB", (8, 8)).save(tmp_path / "other.png")
    short = tmp_path / "short"
    short.mkdir()
    for n in range(4):
        Image.new("RGB", (80, 60)).save(short / f"{n}.png")
    with pytest.raises(InputError, match="expected 3 frames as tracked, got 2; give the whole"):
        export_run(run, "cutout-prores", tmp_path / "n", video=short)
    assert not (tmp_path / "n").exists()


def test_progress_is_told(run, tmp_path):
    told = []
    options = ExportOptions(progress=lambda *said: told.append(said))
    export_run(run, "matte-png", tmp_path / "m", options=options)
    assert told == [("export", done, 3) for done in range(4)]
