from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import video_clips
from hand_results import hand_result
from PIL import Image
from synthetic import GROUND_STOPS, noise_texture, write_clip

from chromatrack.errors import InputError
from chromatrack.evaluation.synthetic.materials import sample_texture
from chromatrack.evaluation.synthetic.render import Camera, finish
from chromatrack.runs.reader import Result
from chromatrack.uses.camera_path import Lock
from chromatrack.uses.stabilize import stabilize_video
from chromatrack.video.reader import probe, read_frames

SIZE = (96, 160)
WALK = [(-40 + 4.0 * i, -10 + 1.5 * i) for i in range(14)]
DOTS = [(-45.0, -20.0), (35.0, -25.0), (-20.0, 22.0), (40.0, 20.0), (0.0, -5.0)]


def shaken(count: int = 14, *, turn: float = 0.0, zoom: float = 0.0) -> list[Camera]:
    """A hand-held camera: up to 6 px of shake, and rotation and zoom if asked for."""
    rng = np.random.default_rng(5)
    dx, dy, da, dz = rng.uniform(-1, 1, (4, count))
    return [
        Camera(0.06 * dx[i], 0.06 * dy[i], 1 + zoom * dz[i], turn * da[i]) for i in range(count)
    ]


def film(
    cameras: list[Camera], dots: list[list[tuple[float, float]]], *, radius: float = 4.0
) -> tuple[list[np.ndarray], np.ndarray]:
    """Frames of bright dots on dim ground, and their (N, P, 2) places; dots per frame, in px."""
    rng = np.random.default_rng(1)
    ground = noise_texture((SIZE[0] * 3, SIZE[1] * 3), GROUND_STOPS, rng=rng, cell=20)
    py, px = np.mgrid[: SIZE[0], : SIZE[1]].astype(np.float32)
    frames, places = [], []
    for camera, spots in zip(cameras, dots, strict=True):
        x, y = camera.to_world(px, py, size=SIZE)
        rgb = 0.5 * sample_texture(ground, x * SIZE[0], y * SIZE[0])
        here = [camera.to_pixel(a / SIZE[0], b / SIZE[0], size=SIZE) for a, b in spots]
        for a, b in here:
            cover = np.clip(radius + 0.5 - np.hypot(px - a, py - b), 0, 1)[..., None]
            rgb = rgb + (1 - rgb) * cover
        frames.append(finish(rgb, noise=0.004, rng=rng))
        places.append(here)
    return frames, np.array(places)


def found(rgb: np.ndarray, near: np.ndarray, *, reach: float = 9.0) -> np.ndarray:
    """(P, 2) centres of the bright dots of a frame, each looked for around `near`."""
    light = np.clip(rgb.min(axis=2).astype(float) - 150, 0, None)
    y, x = np.mgrid[: rgb.shape[0], : rgb.shape[1]]
    centres = []
    for a, b in near:
        weight = light * (np.hypot(x - a, y - b) <= reach)
        assert weight.sum() > 0, "the dot is where it was locked"
        centres.append(((weight * x).sum() / weight.sum(), (weight * y).sum() / weight.sum()))
    return np.array(centres)


def discs(places: np.ndarray, radius: float) -> list[np.ndarray]:
    """Masks of object 3: a disc around the first place of every frame."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    return [
        np.where(np.hypot(x - a, y - b) <= radius, 3, 0).astype(np.int32) for (a, b), *_ in places
    ]


def walker(tmp_path: Path, **given) -> tuple[Path, Result, np.ndarray]:
    """A disc, object 3, that walks under a shaking camera: video, result, its places."""
    frames, places = film(shaken(), [[spot] for spot in WALK], radius=9)
    video = write_clip(tmp_path / "clip.mkv", frames)
    times = [frame.pts_seconds for frame in read_frames(video)]
    result = hand_result(masks=discs(places, 9), times=times, **given)
    return video, result, places[:, 0]


def marked(tmp_path: Path, cameras: list[Camera]) -> tuple[Path, Result, np.ndarray]:
    """Five points of a still scene under a moving camera: video, result, their places."""
    frames, places = film(cameras, [DOTS] * len(cameras))
    video = write_clip(tmp_path / "clip.mkv", frames)
    times = [frame.pts_seconds for frame in read_frames(video)]
    points = {k: places[:, k] for k in range(len(DOTS))}
    return video, hand_result(points=points, times=times, size=SIZE), places


def residual(output: Path, places: np.ndarray, **options) -> float:
    """Largest distance in px from the given places, over all frames of a video."""
    return max(
        float(np.hypot(*(found(frame.rgb, places, **options) - places).T).max())
        for frame in read_frames(output)
    )


def test_an_object_stays_where_it_was(tmp_path):
    video, result, places = walker(tmp_path)
    output = tmp_path / "out.mkv"
    summary = stabilize_video(video, result, output=output, lock=3)
    assert residual(output, places[:1], reach=14) < 0.5
    assert summary.frames == len(WALK) and summary.size == SIZE and summary.crop is None
    assert summary.lock == Lock("object", (3,)) and summary.reference_frame == 0
    moved = np.hypot(*(places - places[0]).T).max()
    assert summary.largest_shift == pytest.approx(moved, abs=0.5)


def test_the_only_thing_is_locked_on_unasked(tmp_path):
    video, result, places = walker(tmp_path)
    stabilize_video(video, result, output=tmp_path / "out.mkv")
    assert residual(tmp_path / "out.mkv", places[:1], reach=14) < 0.5


def test_absent_frames_are_bridged(tmp_path):
    video, result, places = walker(tmp_path)
    steady = [Camera()] * len(WALK)
    frames, places = film(steady, [[spot] for spot in WALK], radius=9)
    video = write_clip(tmp_path / "even.mkv", frames)
    masks = discs(places, 9)
    for gone in (0, 5, 6, 7, 13):
        masks[gone][:] = 0
    times = [frame.pts_seconds for frame in read_frames(video)]
    result = hand_result(masks=masks, times=times)
    summary = stabilize_video(video, result, output=tmp_path / "out.mkv", lock="3")
    assert summary.bridged_frames == 5 and summary.reference_frame == 1
    shown = [f.rgb for f in read_frames(tmp_path / "out.mkv")]
    for n in range(1, 13):
        apart = found(shown[n], places[1], reach=14) - places[1]
        assert np.hypot(*apart.T).max() < 0.5, "frames 5 to 7 too: the walk is even"


def test_a_mask_cut_by_the_border_is_bridged(tmp_path):
    walk = [(-50.0 - 4 * abs(i - 6), 0.0) for i in range(13)]
    frames, places = film([Camera()] * 13, [[spot] for spot in walk], radius=9)
    video = write_clip(tmp_path / "clip.mkv", frames)
    times = [frame.pts_seconds for frame in read_frames(video)]
    masks = discs(places, 9)
    cut = [n for n, mask in enumerate(masks) if mask[:, 0].any() or mask[:, 1].any()]
    assert 0 < len(cut) < 7, "some frames cut the disc, most do not"
    summary = stabilize_video(
        video, hand_result(masks=masks, times=times), output=tmp_path / "out.mkv"
    )
    assert summary.bridged_frames == len(cut)


def test_a_box_holds_its_centre(tmp_path):
    video, result, places = walker(tmp_path)
    boxes = np.concatenate([places - 9, np.full((len(places), 2), 19.0)], axis=1)
    boxed = hand_result(boxes={1: boxes}, times=result.times.tolist(), size=SIZE)
    stabilize_video(video, boxed, output=tmp_path / "out.mkv", lock="box:1")
    assert residual(tmp_path / "out.mkv", places[:1], reach=14) < 0.5


def test_points_undo_rotation_and_zoom(tmp_path):
    video, result, places = marked(tmp_path, shaken(turn=0.06, zoom=0.05))
    stabilize_video(video, result, output=tmp_path / "out.mkv", lock="point:0,1,2,3,4")
    assert residual(tmp_path / "out.mkv", places[0]) < 0.7


def test_joints_hold_like_points(tmp_path):
    video, result, places = marked(tmp_path, shaken(turn=0.06, zoom=0.05))
    joints = hand_result(keypoints={7: places}, times=result.times.tolist(), size=SIZE)
    stabilize_video(video, joints, output=tmp_path / "out.mkv", lock="keypoints:7")
    assert residual(tmp_path / "out.mkv", places[0]) < 0.7


def test_points_may_come_and_go_and_one_may_be_wrong(tmp_path):
    video, result, places = marked(tmp_path, shaken(turn=0.06, zoom=0.05))
    tracks = dict(result.points)
    for number, hidden in ((0, slice(0, 5)), (1, slice(6, 14)), (2, slice(8, 10))):
        visible = tracks[number].visible.copy()
        visible[hidden] = False
        tracks[number] = replace(tracks[number], visible=visible)
    wrong = tracks[4].values.copy()
    wrong[11] += 25
    tracks[4] = replace(tracks[4], values=wrong)
    held = replace(result, points=tracks)
    summary = stabilize_video(video, held, output=tmp_path / "out.mkv", lock="point:0,1,2,3,4")
    assert summary.bridged_frames == 0
    shown = list(read_frames(tmp_path / "out.mkv"))
    aims = places[summary.reference_frame]
    for n, frame in enumerate(shown):
        limit = 4 if n == 11 else 0.7
        assert np.hypot(*(found(frame.rgb, aims) - aims).T).max() < limit


def test_shift_alone_leaves_rotation(tmp_path):
    video, result, places = marked(tmp_path, shaken(turn=0.06))
    lock = "point:0,1,2,3,4"
    stabilize_video(video, result, output=tmp_path / "out.mkv", lock=lock, motion="shift")
    centre = places[0].mean(axis=0)
    for frame in read_frames(tmp_path / "out.mkv"):
        assert np.hypot(*(found(frame.rgb, places[0]).mean(axis=0) - centre)) < 0.5
    assert residual(tmp_path / "out.mkv", places[0]) > 1


@pytest.mark.parametrize("by", ["pictures", "points"])
def test_the_background_is_held_while_an_object_moves(tmp_path, by):
    cameras = shaken(turn=0.04, zoom=0.03)
    walk = [[*DOTS, (20 + 2.0 * i, 10.0)] for i in range(len(cameras))]
    frames, places = film(cameras, walk)
    video = write_clip(tmp_path / "clip.mkv", frames)
    times = [frame.pts_seconds for frame in read_frames(video)]
    points = {k: places[:, k] for k in range(6)} if by == "points" else None
    result = hand_result(masks=discs(places[:, 5:], 6), points=points, times=times)
    summary = stabilize_video(video, result, output=tmp_path / "out.mkv", lock="background")
    aims = places[summary.reference_frame, [0, 1, 2, 4]]
    assert residual(tmp_path / "out.mkv", aims) < 0.7


def test_smoothing_takes_the_shake_and_keeps_the_pan(tmp_path):
    pan = [Camera(c.x / 2 + 0.02 * i, c.y / 2) for i, c in enumerate(shaken(24))]
    video, result, places = marked(tmp_path, pan)
    stabilize_video(video, result, output=tmp_path / "out.mkv", lock="point:4", smooth_seconds=0.3)
    straight = np.polyfit(range(24), places[:, 4], 1)
    shown = [f.rgb for f in read_frames(tmp_path / "out.mkv")]
    path = np.array([found(rgb, [straight[0] * n + straight[1]])[0] for n, rgb in enumerate(shown)])

    def jerk(xy: np.ndarray) -> float:
        return float(np.abs(np.diff(xy, 2, axis=0)).mean())

    assert jerk(path) < 0.1 * jerk(places[:, 4])
    assert path[-1, 0] - path[0, 0] == pytest.approx(straight[0, 0] * 23, abs=3)


@pytest.mark.parametrize("fill", ["black", "edge", "blur"])
def test_fills_keep_the_size(tmp_path, fill):
    video, result, _ = walker(tmp_path)
    stabilize_video(video, result, output=tmp_path / "out.mkv", fill=fill)
    last = list(read_frames(tmp_path / "out.mkv"))[-1].rgb
    assert last.shape[:2] == SIZE
    assert (last[-10:, -10:].max() < 6) == (fill == "black")


@pytest.mark.parametrize("zoom", [False, True])
def test_crops_show_no_fill(tmp_path, zoom):
    video, result, _ = marked(tmp_path, shaken(turn=0.03))
    options = {"lock": "point:0,1,2"}
    summary = stabilize_video(
        video, result, output=tmp_path / "out.mkv", fill="crop", zoom=zoom, **options
    )
    stabilize_video(video, result, output=tmp_path / "black.mkv", fill="black", **options)
    assert summary.crop is not None and summary.crop[2] < SIZE[1]
    left, top, width, height = summary.crop
    assert summary.size == (SIZE if zoom else (height, width))
    both = zip(read_frames(tmp_path / "out.mkv"), read_frames(tmp_path / "black.mkv"), strict=True)
    for frame, black in both:
        part = black.rgb[top : top + height, left : left + width]
        if zoom:
            part = np.asarray(Image.fromarray(part).resize(SIZE[::-1], Image.Resampling.BICUBIC))
        apart = np.abs(frame.rgb.astype(int) - part)
        assert apart.max() <= 1 if not zoom else apart.mean() < 2


def test_times_and_sound_are_the_source_s(tmp_path):
    ticks = [0, 2, 3, 7, 8, 12, 13, 14, 20, 21, 22, 23, 24, 25]
    frames, places = film(shaken(), [[spot] for spot in WALK], radius=9)
    video = video_clips.write_clip(
        tmp_path / "clip.mp4", frames, ticks=ticks, time_base=Fraction(1, 25), tone="aac"
    )
    times = [frame.pts_seconds for frame in read_frames(video)]
    result = hand_result(masks=discs(places, 9), times=times)
    output = tmp_path / "out.mp4"
    stabilize_video(video, result, output=output)
    assert [f.pts_seconds for f in read_frames(output)] == pytest.approx(times, abs=1e-6)
    assert probe(output).has_audio
    before, after = video_clips.sound_packets(video), video_clips.sound_packets(output)
    assert [b for _, b in after] == [b for _, b in before][: len(after)] and len(after) > 20


def test_part_of_a_video_is_steadied_by_its_frame_numbers(tmp_path):
    video, result, places = walker(tmp_path)
    part = replace(result, frames=result.frames[4:10])
    stabilize_video(video, part, output=tmp_path / "out.mkv")
    shown = list(read_frames(tmp_path / "out.mkv"))
    assert len(shown) == 6
    assert residual(tmp_path / "out.mkv", places[4:5], reach=14) < 0.5


def test_progress_counts_both_passes(tmp_path):
    video, result, _ = walker(tmp_path)
    seen = []
    stabilize_video(
        video,
        result,
        output=tmp_path / "out.mkv",
        lock="background",
        progress=lambda *report: seen.append(report),
    )
    assert seen == [(name, n + 1, 14) for name in ("look", "stabilize") for n in range(14)]


def test_ctrl_c_leaves_a_video_of_what_was_done(tmp_path):
    video, result, _ = walker(tmp_path)

    def press(name: str, done: int, total: int | None) -> None:
        if (name, done) == ("stabilize", 5):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match=r"interrupted after 5 frames, .*out\.mkv"):
        stabilize_video(video, result, output=tmp_path / "out.mkv", progress=press)
    assert len(list(read_frames(tmp_path / "out.mkv"))) == 5


def test_a_video_that_is_shorter_than_its_tracks_says_so(tmp_path):
    video, result, _ = walker(tmp_path)
    last = result.frames[-1]
    longer = (*result.frames, replace(last, index=14, pts_seconds=last.pts_seconds + 0.04))
    masks = [result.mask(n) for n in range(14)]
    long = replace(result, frames=longer, load_mask=lambda n: masks[min(n, 13)])
    for lock in ("3", "background"):
        with pytest.raises(InputError, match="has only 14 of the 15 frames that were tracked"):
            stabilize_video(video, long, output=tmp_path / "out.mkv", lock=lock)
        assert not (tmp_path / "out.mkv").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lock": 9}, r"no object 9 was tracked; there are object:3, background"),
        ({"lock": "point:1"}, r"no point 1 was tracked"),
        ({"lock": 3, "motion": "similarity"}, r"lock on object 3: rotation and scale need"),
        ({"fill": "red"}, r"expected fill crop, black, blur, edge .* got 'red'"),
        ({"zoom": True}, r"zoom .* goes with fill='crop'"),
        ({"smooth_seconds": 0}, r"smooth_seconds: expected seconds > 0, got 0"),
        ({"fill": "crop"}, r"nothing to crop to"),
    ],
)
def test_wrong_wishes_are_refused_before_anything_is_written(tmp_path, options, message):
    walk = [(-66 + 10.0 * i, 0.0) for i in range(14)]
    frames, places = film([Camera()] * 14, [[spot] for spot in walk], radius=9)
    video = write_clip(tmp_path / "clip.mkv", frames)
    times = [frame.pts_seconds for frame in read_frames(video)]
    result = hand_result(masks=discs(places, 9), times=times)
    with pytest.raises(InputError, match=message):
        stabilize_video(video, result, output=tmp_path / "out.mkv", **options)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clip.mkv"]


def test_another_video_than_was_tracked_is_refused(tmp_path):
    video, result, _ = walker(tmp_path)
    other = write_clip(tmp_path / "other.mkv", video_clips.pictures(14))
    with pytest.raises(InputError, match=r"other\.mkv: is 64x48, but what was tracked is 160x96"):
        stabilize_video(other, result, output=tmp_path / "out.mkv")
    later = replace(result, frames=result.frames[3:])
    shifted = [replace(f, index=f.index - 3) for f in later.frames]
    with pytest.raises(InputError, match=r"frame 0 is at 0\.000 s, but when it was tracked"):
        stabilize_video(video, replace(later, frames=tuple(shifted)), output=tmp_path / "out.mkv")
    with pytest.raises(InputError, match="would be overwritten"):
        stabilize_video(video, result, output=video)


@pytest.mark.parametrize("name", ["out.mkv", "out.mov", "folder"])
def test_a_deep_source_keeps_its_depth(tmp_path, name):
    columns = 20_000 + 40 * np.arange(SIZE[1])
    rgb = np.repeat(np.repeat(columns[None, :, None], SIZE[0], 0), 3, 2).astype(np.uint16)
    options = {"pixel_format": "yuv420p10le", "raw_format": "rgb48le", "codec": "ffv1"}
    video = video_clips.write_clip(tmp_path / "deep.mkv", [rgb] * 4, **options)
    times = [frame.pts_seconds for frame in read_frames(video)]
    points = {1: np.array([(80.0 + 2 * n, 40.0) for n in range(4)])}
    result = hand_result(points=points, times=times, size=SIZE)
    stabilize_video(video, result, output=tmp_path / name)
    source = [frame.deep for frame in read_frames(video, deep=True)]
    for n, frame in enumerate(read_frames(tmp_path / name, deep=True)):
        assert frame.deep is not None and source[n] is not None
        shown, moved = frame.deep[20, :-10, 1], source[n][20, 2 * n :, 1][: SIZE[1] - 10]
        assert len(np.unique(shown)) > 60  # of 25 that 8 bits have there
        np.testing.assert_allclose(shown.astype(float), moved.astype(float), atol=200)
