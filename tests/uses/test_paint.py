"""Painting clips whose motion is known: textures land where they should, changes are carried."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch
from synthetic import moving_clip, write_clip
from video_clips import write_clip as write_deep

from chromatrack import Tracker
from chromatrack.errors import InputError
from chromatrack.evaluation.synthetic.clips import scene
from chromatrack.model.mask_decoder import MaskDecoder, save_decoder
from chromatrack.tracking.config import TrackConfig
from chromatrack.uses.layers import ImageLayer
from chromatrack.uses.paint import paint_frames, paint_video
from chromatrack.video.pixel_format import to_8_bit
from chromatrack.video.reader import probe, read_frames

SIZE = (96, 160)


@pytest.fixture(scope="module")
def tracker() -> Tracker:
    return Tracker.from_pretrained("small", device="cpu", config=TrackConfig(size=192))


def blob(side: int = 11, color: tuple[int, int, int] = (255, 0, 255)) -> np.ndarray:
    return np.full((side, side, 4), (*color, 255), dtype=np.uint8)


def changed(painted: np.ndarray, plain: np.ndarray, *, least: int = 40) -> np.ndarray:
    return np.abs(painted.astype(int) - plain).max(2) > least


def middle(mask: np.ndarray) -> np.ndarray:
    rows, columns = np.nonzero(mask)
    return np.array([columns.mean(), rows.mean()])


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return 10 * np.log10(255**2 / max(1e-9, np.square(a.astype(float) - b).mean()))


def on_object(frame, *, side: int = 11) -> tuple[float, float]:
    x, y = frame.centres[1]
    return round(x) - side // 2, round(y) - side // 2


def test_a_texture_goes_with_a_moving_object_both_ways(tracker, tmp_path):
    clip = moving_clip(frames=7, size=SIZE, velocity=(3.0, 1.0), radius=24)
    video = write_clip(tmp_path / "clip", clip)
    texture = ImageLayer(blob(), 3, *on_object(clip[3]))
    frames = list(paint_frames(tracker, video, textures=[texture]))
    assert [frame.index for frame in frames] == list(range(7))
    start = middle(changed(frames[3].rgb, clip[3].rgb))
    for frame, plain in zip(frames, clip, strict=True):
        moved = np.array(plain.centres[1]) - clip[3].centres[1]
        found = changed(frame.rgb, plain.rgb)
        assert np.abs(middle(found) - start - moved).max() < 0.6
        assert found.sum() == pytest.approx(11 * 11, abs=25)
        assert frame.shown[0] > 0.7


def test_no_decoder_says_where_a_texture_ends(tracker, tmp_path):
    """One that says that nothing is anywhere: surfaces end where no edge is, so none is asked."""
    clip = moving_clip(frames=4, size=SIZE, velocity=(3.0, 1.0), radius=24)
    video = write_clip(tmp_path / "clip", clip)
    decoder = MaskDecoder()
    torch.nn.init.constant_(decoder.last.bias, -100)
    save_decoder(tmp_path / "none.safetensors", decoder)
    config = replace(tracker.config, decoder=str(tmp_path / "none.safetensors"))
    deaf = Tracker(tracker.encoder, device="cpu", config=config)
    texture = ImageLayer(blob(), 0, *on_object(clip[0]))
    for frame in paint_frames(deaf, video, textures=[texture]):
        assert frame.shown[0] > 0.7
    assert deaf.config.decoder == config.decoder


@pytest.mark.parametrize("name", ["rotation", "scale"])
def test_a_texture_turns_and_grows_with_the_object(tracker, tmp_path, name):
    truth = list(islice(scene(name, seed=2, size=(160, 240)), 10))
    video = write_clip(tmp_path / "clip", [frame.rgb for frame in truth])
    inner = np.array([truth[0].points[i] for i in range(1, 25)])
    central = 1 + int(np.hypot(*(inner - inner.mean(0)).T).argmin())
    x, y = np.rint(truth[0].points[central])
    texture = ImageLayer(blob(9), 0, x - 4, y - 4)
    off = np.array(truth[0].points[central]) - (x, y)
    for frame, true in zip(paint_frames(tracker, video, textures=[texture]), truth, strict=True):
        found = middle(changed(frame.rgb, true.rgb))
        assert np.hypot(*(found + off - true.points[central])) < 2


def test_a_texture_behind_something_does_not_show(tracker, tmp_path):
    clip = moving_clip(frames=11, size=SIZE, velocity=(4.0, 0.0), radius=20, objects=2)
    video = write_clip(tmp_path / "clip", clip)
    texture = ImageLayer(blob(), 0, *on_object(clip[0]))
    frames = list(paint_frames(tracker, video, textures=[texture], end=8))
    for frame, plain in zip(frames, clip, strict=False):
        over = changed(frame.rgb, plain.rgb) & (plain.mask != 1)
        assert over.sum() <= 12, f"frame {frame.index}"
    hidden = int(np.argmin([np.count_nonzero(frame.mask == 1) for frame in clip[:8]]))
    assert np.count_nonzero(clip[hidden].mask == 1) < 150
    assert frames[hidden].shown[0] < 0.1 < 0.7 < frames[2].shown[0]


def repainted(frame) -> np.ndarray:
    """A frame whose object carries a green square with a dark stripe."""
    rgb = frame.rgb.copy()
    x, y = (int(c) for c in frame.centres[1])
    rgb[y - 8 : y + 9, x - 8 : x + 9] = (40, 200, 60)
    rgb[y - 1 : y + 2, x - 8 : x + 9] = (20, 30, 20)
    return rgb


def test_a_repainted_part_is_carried_and_exact_on_its_own_frame(tracker, tmp_path):
    clip = moving_clip(frames=6, size=SIZE, velocity=(3.0, 1.0), radius=24)
    video = write_clip(tmp_path / "clip", clip)
    frames = list(paint_frames(tracker, video, painted=[(repainted(clip[2]), 2)]))
    assert psnr(frames[2].rgb, repainted(clip[2])) > 45
    for frame, plain in zip(frames, clip, strict=True):
        assert psnr(frame.rgb, repainted(plain)) > 30
        assert psnr(frame.rgb, repainted(plain)) > psnr(plain.rgb, repainted(plain)) + 6


def test_a_wholly_repainted_frame_is_carried_to_all_of_the_others(tracker, tmp_path):
    clip = moving_clip(frames=5, size=SIZE, camera_velocity=(4.0, 2.0), radius=20)
    video = write_clip(tmp_path / "clip", clip)
    frames = list(paint_frames(tracker, video, painted=[(clip[0].rgb[..., [1, 2, 0]], 0)]))
    assert psnr(frames[0].rgb, clip[0].rgb[..., [1, 2, 0]]) > 45
    for frame, plain in zip(frames, clip, strict=True):
        truth = plain.rgb[..., [1, 2, 0]]
        assert psnr(frame.rgb, truth) > max(24, psnr(plain.rgb, truth) + 8)


def test_two_repainted_frames_are_each_exact_and_blend_in_between(tracker, tmp_path):
    clip = moving_clip(frames=5, size=SIZE, velocity=(2.0, 0.0), radius=24)
    video = write_clip(tmp_path / "clip", clip)
    red, blue = repainted(clip[0])[..., [1, 0, 2]], repainted(clip[4])
    red[clip[0].mask == 0] = clip[0].rgb[clip[0].mask == 0]
    frames = list(paint_frames(tracker, video, painted=[(red, 0), (blue, 4)]))
    assert psnr(frames[0].rgb, red) > 45 and psnr(frames[4].rgb, blue) > 45
    x, y = (int(c) for c in clip[2].centres[1])
    ends = red[y + 5, int(clip[0].centres[1][0])], blue[y + 5, int(clip[4].centres[1][0])]
    between = frames[2].rgb[y + 5, x].astype(int)
    assert ends[1][0] + 20 < between[0] < ends[0][0] - 20


def test_textures_on_one_or_several_frames_are_all_laid(tracker, tmp_path):
    clip = moving_clip(frames=3, size=SIZE, radius=24)
    video = write_clip(tmp_path / "clip", clip)
    textures = [
        ImageLayer(blob(9), 0, 10, 10),
        ImageLayer(blob(9, (255, 255, 0)), 0, 120, 70),
        ImageLayer(blob(9, (0, 255, 255)), 2, 13, 13),
    ]
    for frame, plain in zip(paint_frames(tracker, video, textures=textures), clip, strict=True):
        found = changed(frame.rgb, plain.rgb)
        assert found[11:17, 11:17].all() and found[71:77, 121:127].all()
        assert frame.rgb[17, 17].tolist() == pytest.approx([0, 255, 255], abs=40)
        assert min(frame.shown) > 0.6


def test_a_painted_video_keeps_its_timing(tracker, tmp_path):
    clip = moving_clip(frames=5, size=SIZE, radius=24)
    video = write_clip(tmp_path / "clip.mp4", clip, fps=12.5)
    steps = []
    done = paint_video(
        tracker,
        video,
        textures=[ImageLayer(blob(), 2, *on_object(clip[2]))],
        output=tmp_path / "out.mp4",
        start=1,
        end="0.36s",
        progress=lambda *step: steps.append(step),
    )
    assert (done.output, done.frames, done.unseen) == (tmp_path / "out.mp4", 4, (0,))
    assert steps == [("paint", n, 4) for n in range(1, 5)]
    assert probe(tmp_path / "out.mp4").average_fps == pytest.approx(12.5)
    times = [frame.pts_seconds for frame in read_frames(tmp_path / "out.mp4")]
    assert times == pytest.approx([0, 0.08, 0.16, 0.24])


def test_an_interrupted_run_leaves_a_video_that_plays(tracker, tmp_path):
    video = write_clip(tmp_path / "clip", moving_clip(frames=4, size=SIZE))

    def stop(_name: str, done: int, _total: int | None) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match=r"after 2 frames, which are in .*out\.mp4"):
        paint_video(
            tracker,
            video,
            textures=[ImageLayer(blob(), 0, 60, 40)],
            output=tmp_path / "out.mp4",
            progress=stop,
        )
    assert len(list(read_frames(tmp_path / "out.mp4"))) == 2


def test_runs_that_cannot_be_say_why_and_write_nothing(tracker, tmp_path):
    video = write_clip(tmp_path / "clip.mp4", moving_clip(frames=3, size=SIZE))
    lies = ImageLayer(blob(), 0, 60, 40)
    with pytest.raises(InputError, match="would be overwritten"):
        paint_video(tracker, video, textures=[lies], output=video)
    folder = write_clip(tmp_path / "clip", moving_clip(frames=2, size=SIZE))
    with pytest.raises(InputError, match="is what is read; pictures would mix with it"):
        paint_video(tracker, folder, textures=[lies], output=folder / "%05d.png")
    with pytest.raises(InputError, match="expected a texture or a painted frame, got neither"):
        paint_video(tracker, video, output=tmp_path / "out.mp4")
    with pytest.raises(InputError, match="has 3 frames"):
        paint_frames(tracker, video, textures=[ImageLayer(blob(), 9, 60, 40)])
    with pytest.raises(InputError, match="so leave h264 out"):
        paint_video(tracker, video, textures=[lies], output=tmp_path / "o", codec="h264")
    assert not (tmp_path / "out.mp4").exists()


def test_what_is_painted_on_a_deep_source_keeps_its_depth(tracker, tmp_path):
    clip = moving_clip(frames=4, size=SIZE, velocity=(3.0, 1.0), radius=24)
    fine = np.random.default_rng(0).integers(-60, 60, (len(clip), *SIZE, 1))
    deep = [
        (np.clip(frame.rgb.astype(int) * 257 + more, 0, 65535)).astype(np.uint16)
        for frame, more in zip(clip, fine, strict=True)
    ]
    video = tmp_path / "deep.mkv"
    write_deep(video, deep, codec="ffv1", pixel_format="gbrp16le", raw_format="rgb48le")
    texture = ImageLayer(blob(), 1, *on_object(clip[1]))
    paint_video(tracker, video, textures=[texture], output=tmp_path / "out.mkv")
    plain = write_deep(
        tmp_path / "plain.mkv", [f.rgb for f in clip], codec="ffv1", pixel_format="bgr0"
    )
    paint_video(tracker, plain, textures=[texture], output=tmp_path / "out8.mkv")
    frames = zip(
        read_frames(tmp_path / "out.mkv", deep=True), read_frames(tmp_path / "out8.mkv"), deep,
        strict=True,
    )  # fmt: skip
    for frame, shallow, source in frames:
        assert frame.deep is not None and shallow.deep is None
        painted = changed(frame.rgb, to_8_bit(source), least=3)
        assert 60 < painted.sum() < 300  # the square
        left = np.abs(frame.deep.astype(int) - source)[~painted]
        assert (left <= 1).mean() > 0.999 and left.max() < 4 * 257
        assert np.abs(frame.rgb.astype(int) - shallow.rgb)[~painted].max() <= 1
    repaint = [(repainted(clip[1]), 1)]
    for frame, source in zip(paint_frames(tracker, video, painted=repaint), deep, strict=True):
        assert frame.deep is not None
        near = np.abs(frame.deep.astype(int) - source).max(2) < 20
        assert near.mean() > 0.8
