"""Labels along optical flow: exactly, with a flow that is told the motion; and with DIS."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from synthetic import GROUND_STOPS, moving_clip, noise_texture, rgb_of, write_clip

from chromatrack.errors import InputError
from chromatrack.evaluation.baselines.flow_color import luminance
from chromatrack.evaluation.baselines.flow_labels import moved_box
from chromatrack.evaluation.baselines.flow_tracker import FlowConfig, FlowPass, FlowTracker
from chromatrack.evaluation.baselines.identity import baseline
from chromatrack.evaluation.datasets.color_horizon import ab_of
from chromatrack.evaluation.metrics.masks import jaccard
from chromatrack.evaluation.synthetic.materials import sample_texture
from chromatrack.ops.coords import box_iou
from chromatrack.propagation.propagate import Input
from chromatrack.structures import BoxMark, KeypointMark, LostMark, PointMark
from chromatrack.tracking.marks import Marks
from chromatrack.tracking.tracker import Tracker
from chromatrack.video.reader import Frame

SIZE = (40, 60)
MODES = ("chained", "straight")


class Told:
    """The exact flow of a picture that is moved as a whole: `place(i, xy)` is where world point xy
    is on frame i, and `world(i, xy)` the way back. Frames are known by their pixels."""

    def __init__(self, frames, place, world):
        self.place, self.world, self.calls = place, world, 0
        self.numbers = {rgb.tobytes(): i for i, rgb in enumerate(frames)}
        self.numbers |= {luminance(rgb).tobytes(): i for i, rgb in enumerate(frames)}

    def __call__(self, source, target):
        self.calls += 1
        i, j = self.numbers[source.tobytes()], self.numbers[target.tobytes()]
        y, x = np.mgrid[: source.shape[0], : source.shape[1]].astype(np.float64)
        at = np.stack([x, y], axis=-1)
        return (self.place(j, self.world(i, at)) - at).astype(np.float32)


def moved_frames(count, world, size=SIZE, seed=0):
    rng = np.random.default_rng(seed)
    ground = noise_texture((size[0] * 4, size[1] * 4), GROUND_STOPS, rng=rng, cell=size[0] / 4)
    y, x = np.mgrid[: size[0], : size[1]].astype(np.float64)
    frames = []
    for index in range(count):
        at = world(index, np.stack([x, y], axis=-1))
        picture = sample_texture(ground, at[..., 0] - size[1] / 2, at[..., 1] - size[0] / 2)
        frames.append((picture * 255).round().astype(np.uint8))
    return frames


def panning(path, size=SIZE):
    """Frames and exact flow of a camera whose place is path[i] (x, y) on frame i."""
    path = np.asarray(path, dtype=np.float64)
    world = lambda i, xy: xy + path[i]  # noqa: E731
    frames = moved_frames(len(path), world, size)
    return frames, Told(frames, lambda i, xy: xy - path[i], world)


def turning(count, degrees, size=SIZE):
    """Frames and exact flow of a picture that turns about its middle."""
    middle = np.array([(size[1] - 1) / 2, (size[0] - 1) / 2])

    def turned(angle, xy):
        c, s = np.cos(angle), np.sin(angle)
        return (xy - middle) @ np.array([[c, s], [-s, c]]) + middle

    place = lambda i, xy: turned(np.radians(degrees) * i, xy)  # noqa: E731
    world = lambda i, xy: turned(-np.radians(degrees) * i, xy)  # noqa: E731
    frames = moved_frames(count, world, size)
    return frames, Told(frames, place, world)


def block(left, top, width, height, number=1, size=SIZE):
    mask = np.zeros(size, np.int32)
    mask[max(top, 0) : max(top + height, 0), max(left, 0) : max(left + width, 0)] = number
    return mask


def pose(*joints, frame=0):
    return KeypointMark(1, frame, np.array(joints, float), np.zeros(len(joints), bool))


def run(tmp_path, frames, tracker, **marks):
    folder = tmp_path / "clip"
    if not folder.exists():
        write_clip(folder, frames)
    return list(tracker.track(folder, **marks))


# -- with a flow that is told the motion ---------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_everything_goes_with_an_exact_flow(tmp_path, mode):
    path = [(0, 0), (-2, 1), (-5, 1), (-6, 3), (-6.5, 3.25)]
    frames, flow = panning(path)
    masks = block(10, 10, 12, 9, 3) + block(30, 12, 6, 6, 250)
    found = run(
        tmp_path,
        frames,
        FlowTracker(flow, mode),
        masks=masks,
        points=[PointMark(7, 0, 20.25, 15.5)],
        boxes=[BoxMark(4, 0, 12, 8, 16, 10)],
        keypoints=[pose((14, 12), (np.nan, np.nan), (25, 20))],
    )
    assert [frame.index for frame in found] == [0, 1, 2, 3, 4]
    for frame, (x, y) in zip(found[:4], path[:4], strict=True):
        true = block(10 - x, 10 - y, 12, 9, 3) + block(30 - x, 12 - y, 6, 6, 250)
        np.testing.assert_array_equal(frame.mask, true)
        assert frame.areas == {3: 108, 250: 36} and frame.present == {3: True, 250: True}
    for frame, (x, y) in zip(found, path, strict=True):
        point, box, person = frame.points[7], frame.boxes[4], frame.keypoints[1]
        assert (point.x, point.y) == pytest.approx((20.25 - x, 15.5 - y), abs=1e-3)
        assert point.visible and point.confidence == pytest.approx(1, abs=1e-4)
        sides = (box.x, box.y, box.width, box.height)
        assert sides == pytest.approx((12 - x, 8 - y, 16, 10), abs=1e-2) and box.visible
        np.testing.assert_allclose(person.joints[[0, 2]], [(14 - x, 12 - y), (25 - x, 20 - y)])
        assert person.visible.tolist() == [True, False, True]


@pytest.mark.parametrize("mode", MODES)
def test_many_turns_do_not_blur(tmp_path, mode):
    """Twelve turns of 10 degrees: composed places, not twelve times resampled masks."""
    frames, flow = turning(13, 10)
    mask = block(24, 4, 12, 11, 1)
    marked = {"masks": mask, "points": [PointMark(1, 0, 30, 8)]}
    found = run(tmp_path, frames, FlowTracker(flow, mode), **marked)[-1]
    y, x = np.mgrid[: SIZE[0], : SIZE[1]].astype(float)
    u, v = np.moveaxis(flow.world(12, np.stack([x, y], -1)), -1, 0).round(6)
    true = (u >= 23.5) & (u < 35.5) & (v >= 3.5) & (v < 14.5)
    assert jaccard(found.mask == 1, true) > 0.97
    x, y = flow.place(12, np.array([30.0, 8.0]))
    assert (found.points[1].x, found.points[1].y) == pytest.approx((x, y), abs=1e-2)


def test_what_leaves_the_frame_is_background_and_does_not_come_back_chained(tmp_path):
    frames, flow = panning([(0, 0), (20, 0), (0, 0)])
    marked = {"masks": block(5, 10, 30, 9), "points": [PointMark(1, 0, 10, 12)]}
    there, gone, back = run(tmp_path, frames, FlowTracker(flow), **marked)
    np.testing.assert_array_equal(gone.mask, block(-15, 10, 30, 9))
    assert not gone.points[1].visible and gone.points[1].confidence == 0
    np.testing.assert_array_equal(back.mask, block(20, 10, 15, 9))
    *_, back = run(tmp_path, frames, FlowTracker(flow, "straight"), **marked)
    np.testing.assert_array_equal(back.mask, there.mask)
    assert back.points[1].visible


def test_a_region_that_is_all_gone_is_reported_absent(tmp_path):
    frames, flow = panning([(0, 0), (30, 0), (60, 0)])
    *_, last = run(tmp_path, frames, FlowTracker(flow), masks=block(2, 2, 9, 9, 5))
    assert last.areas == {5: 0} and last.present == {5: False} and last.confidence == {5: 0}


def test_a_point_is_hidden_where_the_way_back_goes_elsewhere(tmp_path):
    frames, flow = panning([(0, 0), (-1, 0)])

    def torn(source, target):
        found = flow(source, target)
        if flow.numbers[source.tobytes()] == 1:
            found[:, 30:, 0] += 2
        return found

    points = [PointMark(1, 0, 10, 10), PointMark(2, 0, 40, 10)]
    _, last = run(tmp_path, frames, FlowTracker(torn), points=points)
    assert last.points[1].visible and not last.points[2].visible
    assert last.points[2].x == pytest.approx(41) and last.points[2].confidence < 0.1


@pytest.mark.parametrize("mode", MODES)
def test_marks_on_later_frames_go_both_ways(tmp_path, mode):
    path = [(0, 0), (-2, 0), (-4, 1), (-6, 1), (-7, 2), (-8, 2)]
    frames, flow = panning(path)
    tracker = FlowTracker(flow, mode)
    marked = {
        "points": [PointMark(1, 3, 30, 20), PointMark(2, 5, 20, 10)],
        "masks": {2: block(20, 10, 8, 8, 1), 4: block(40, 20, 8, 8, 2)},
        "boxes": [BoxMark(1, 4, 20, 10, 12, 12)],
    }
    for frame, (x, y) in zip(run(tmp_path, frames, tracker, **marked), path, strict=True):
        one, two = frame.points[1], frame.points[2]
        assert (one.x, one.y) == pytest.approx((24 - x, 21 - y), abs=1e-3) and one.visible
        assert (two.x, two.y) == pytest.approx((12 - x, 12 - y), abs=1e-3) and two.visible
        true = block(16 - x, 11 - y, 8, 8, 1) + block(33 - x, 22 - y, 8, 8, 2)
        np.testing.assert_array_equal(frame.mask, true)
        assert frame.boxes[1].x == pytest.approx(13 - x, abs=1e-2)

    forward = run(tmp_path, frames, tracker, direction="forward", **marked)
    assert [sorted(frame.points) for frame in forward[:3]] == [[], [], []]
    assert [frame.points[2].visible for frame in forward[3:]] == [False, False, True]
    assert [frame.areas for frame in forward[1:5:2]] == [{1: 0, 2: 0}, {1: 64, 2: 0}]
    assert [bool(frame.boxes) for frame in forward] == [False] * 4 + [True] * 2

    backward = run(tmp_path, frames, tracker, direction="backward", **marked)
    assert [frame.points[1].visible for frame in backward] == [True] * 4 + [False] * 2
    assert [frame.areas[2] for frame in backward] == [64] * 5 + [0]


def test_a_label_given_anew_goes_on_from_there_and_a_lost_one_stays_lost(tmp_path):
    path = [(-x, 0) for x in range(7)]
    frames, flow = panning(path)
    found = run(
        tmp_path,
        frames,
        FlowTracker(flow),
        direction="forward",
        masks={0: block(5, 5, 8, 8, 1), 3: block(30, 20, 6, 6, 1)},
        points=[PointMark(1, 0, 10, 10), PointMark(1, 2, 30, 30), PointMark(1, 5, None, None)],
        boxes=[BoxMark(1, 0, 5, 5, 9, 9), BoxMark(1, 4, None, None, None, None)],
        lost=[LostMark(1, 5)],
    )
    np.testing.assert_array_equal(found[2].mask, block(7, 5, 8, 8))
    np.testing.assert_array_equal(found[4].mask, block(31, 20, 6, 6))
    assert not found[5].mask.any() and not found[6].mask.any()
    assert found[1].points[1].x == pytest.approx(11) and found[4].points[1].x == pytest.approx(32)
    assert not found[5].points[1].visible and not found[6].points[1].visible
    assert [bool(frame.boxes) for frame in found] == [True] * 4 + [False] * 3


@pytest.mark.parametrize("mode", MODES)
def test_what_is_held_does_not_grow(mode):
    path = [(x / 4, 0) for x in range(20)]
    frames, flow = panning(path)
    marks = Marks(
        {0: block(5, 5, 8, 8, 1), 4: block(20, 5, 8, 8, 1) + block(40, 20, 5, 5, 2)},
        [PointMark(1, 0, 9, 9), PointMark(2, 6, 9, 9)],
    )
    way = FlowPass(flow, mode, marks, marks.layout())
    held = []
    for index, rgb in enumerate(frames):
        image = torch.from_numpy(rgb).permute(2, 0, 1)
        way.step(Input(index, image, None, Frame(rgb, index, index / 24)))
        held.append(len(way.pictures))
    assert held[-1] == max(held[7:]) == (1 if mode == "chained" else 3)
    assert list(way.regions.keyframes) == [4]
    # There and back from frame 0 and from 6; for the mask of frame 4 back alone.
    assert flow.calls == (19 * 2 if mode == "chained" else 19 * 2 + 13 * 2 + 15)


def test_boxes_grow_with_the_points_in_them_whatever_a_few_do():
    def grows(xy):
        moved = (xy - 30) * 1.5 + torch.tensor([36.0, 28.0])
        moved[:20] += 25
        return moved, torch.ones(len(xy))

    box, confidence = moved_box((20.5, 20.5, 20, 20), grows)
    assert box == pytest.approx((21.5, 13.5, 30, 30), abs=3) and confidence == 1
    lost = moved_box((20, 20, 9, 9), lambda xy: (xy + 3, torch.zeros(len(xy))))
    assert lost == ((20, 20, 9, 9), 0.0)


def test_the_record_says_flow_and_mode():
    tracker = FlowTracker(lambda a, b: a, "straight", name="mine")
    assert tracker.config == FlowConfig("mine", "straight") and tracker.model == "mine, straight"
    with pytest.raises(InputError, match="chained or straight, got 'both'"):
        FlowTracker(lambda a, b: a, "both")  # pyright: ignore[reportArgumentType]


def test_bad_marks_are_refused_at_once_as_by_the_tracker(tmp_path):
    frames, flow = panning([(0, 0), (1, 0)])
    write_clip(tmp_path / "clip", frames)
    tracker = FlowTracker(flow)
    with pytest.raises(InputError, match="expected the video's 60x40 pixels, got 30x20"):
        tracker.track(tmp_path / "clip", masks=np.ones((20, 30), np.int32))
    with pytest.raises(InputError, match="at least one object"):
        tracker.track(tmp_path / "clip")
    with pytest.raises(InputError, match="at least one coloured picture"):
        tracker.colorize(tmp_path / "clip", references=[])


# -- colours -------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_colors_go_with_an_exact_flow_both_ways(tmp_path, mode):
    frames, flow = panning([(0, 0), (3, 0), (5, 1), (7, 1), (9, 2)])
    folder = write_clip(tmp_path / "clip", frames)
    for reference in (0, 2, 4):
        tracker = FlowTracker(flow, mode)
        colored = list(tracker.colorize(folder, references=[(frames[reference], reference)]))
        assert [frame.index for frame in colored] == [0, 1, 2, 3, 4]
        for frame in colored:
            wrong = (ab_of(frame.rgb) - ab_of(frames[frame.index])).abs()[:, 4:-4, 12:-12]
            assert float(wrong.mean()) < 0.8, (reference, frame.index)
    part = list(FlowTracker(flow, mode).colorize(folder, references=[(frames[0], 0)], start=3))
    assert [frame.index for frame in part] == [3, 4]
    np.testing.assert_array_equal(part[0].rgb, whole_run(flow, mode, folder, frames)[3].rgb)


def whole_run(flow, mode, folder, frames):
    return list(FlowTracker(flow, mode).colorize(folder, references=[(frames[0], 0)]))


def test_the_last_reference_counts_and_none_beyond_the_end(tmp_path):
    frames, flow = panning([(0, 0)] * 2 + [(1, 0)])
    folder = write_clip(tmp_path / "clip", frames)
    grey = np.repeat(luminance(frames[2])[..., None], 3, axis=2)
    colored = list(FlowTracker(flow).colorize(folder, references=[(frames[0], 0), (grey, 2)]))
    assert float(ab_of(colored[1].rgb).abs().mean()) > 2
    assert float(ab_of(colored[2].rgb).abs().mean()) < 0.1
    with pytest.raises(InputError, match="reference of frame 3: expected a frame from 0 to 2"):
        FlowTracker(flow).colorize(folder, references=[(grey, 3)])


# -- OpenCV's ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def discs():
    return moving_clip(frames=8, size=(160, 240), radius=40, velocity=(2, 1))


@pytest.mark.parametrize("name", ["flow", "flow-straight"])
def test_dis_carries_every_kind(tmp_path, discs, name):
    pytest.importorskip("cv2", reason="OpenCV is not installed (the extra `flow`)")
    (x, y), (u, v) = discs[0].centres[1], discs[-1].centres[1]
    tracker = baseline(name)
    assert tracker is not None
    last = run(
        tmp_path,
        rgb_of(discs),
        tracker,
        masks=discs[0].mask,
        points=[PointMark(1, 0, x + 12, y + 5)],
        boxes=[BoxMark(1, 0, x - 25, y - 25, 51, 51)],
        keypoints=[pose((x - 10, y - 8), (x + 3, y - 14))],
    )[-1]
    assert jaccard(last.mask == 1, discs[-1].mask == 1) > 0.85
    point, box = last.points[1], last.boxes[1]
    assert (point.x, point.y) == pytest.approx((u + 12, v + 5), abs=0.5) and point.visible
    expected = [(u - 10, v - 8), (u + 3, v - 14)]
    np.testing.assert_allclose(last.keypoints[1].joints, expected, atol=0.5)
    found = np.array([[box.x, box.y, box.width, box.height]])
    assert float(box_iou(found, np.array([[u - 25, v - 25, 51, 51]]))[0]) > 0.95


def test_dis_follows_a_turn_and_its_colors(tmp_path):
    pytest.importorskip("cv2", reason="OpenCV is not installed (the extra `flow`)")
    frames, flow = turning(7, 5, size=(120, 180))
    points = [PointMark(k, 0, x, y) for k, (x, y) in enumerate([(60, 40), (100, 90), (130, 60)])]
    tracker = baseline("flow")
    assert tracker is not None
    *_, last = run(tmp_path, frames, tracker, points=points)
    for mark in points:
        true = flow.place(6, np.array([mark.x, mark.y]))
        found = last.points[mark.id]
        np.testing.assert_allclose((found.x, found.y), true, atol=0.7)
    wrong = {}
    for name in ("flow", "identity"):
        method = baseline(name)
        assert method is not None
        told: list[tuple[int, int | None]] = []
        tell = functools.partial(lambda told, *done: told.append(done), told)
        given = {"references": [(frames[0], 0)], "end": len(frames), "progress": tell}
        *_, colored = method.colorize(tmp_path / "clip", **given)
        assert told == [(n, len(frames)) for n in range(1, len(frames) + 1)]
        error = (ab_of(colored.rgb) - ab_of(frames[-1])).abs()[:, 30:-30, 40:-40]
        wrong[name] = float(error.mean())
    assert wrong["flow"] < 0.2 * wrong["identity"]


def test_the_trackers_take_what_the_tracker_takes():
    import inspect

    from chromatrack.evaluation.baselines.identity import IdentityTracker

    for name in ("track", "colorize"):
        asked = inspect.signature(getattr(Tracker, name)).parameters
        for other in (FlowTracker, IdentityTracker):
            given = inspect.signature(getattr(other, name)).parameters
            assert [(p.name, p.kind, p.default) for p in given.values()] == [
                (p.name, p.kind, p.default) for p in asked.values()
            ]
