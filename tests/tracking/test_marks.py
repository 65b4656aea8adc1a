"""What users give: layout, label maps frame by frame, and one clear line for every mistake."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from chromatrack.errors import InputError
from chromatrack.ops.coords import FeatureSpec, cell_to_pixel
from chromatrack.ops.resample import resize
from chromatrack.propagation.label_maps import label_map_to_mask, masks_to_label_map
from chromatrack.propagation.point_labels import centres
from chromatrack.propagation.propagate import FrameMarks
from chromatrack.structures import BoxMark, KeypointMark, LostMark, PointMark
from chromatrack.tracking.mark_checks import ALWAYS, MOST_LABELS, check_all, checked_marks
from chromatrack.tracking.marks import Marks
from chromatrack.video.reader import VideoInfo

SIZE = (72, 104)
SPEC = FeatureSpec(4, 8, 3.5)


def info(frames: int | None = 10) -> VideoInfo:
    return VideoInfo("clip", *SIZE, frames, None, 25.0, "png", "rgb24", 0, False)


def mask(*ids: int) -> np.ndarray:
    """Ids side by side, background below them."""
    result = np.zeros(SIZE, dtype=np.int32)
    for number, i in enumerate(ids):
        result[8:48, 8 + 32 * number : 40 + 32 * number] = i
    return result


def pose(
    number: int, frame: int, joints: list[tuple[float, float]], lost: list[bool] | None = None
):
    return KeypointMark(
        number, frame, np.array(joints), np.array(lost or [False] * len(joints), dtype=bool)
    )


def on(marks: Marks, index: int, *, image_size: tuple[int, int] = SIZE) -> FrameMarks:
    layout = marks.layout()
    found = marks.on_frame(index, layout, SPEC, frame_size=SIZE, image_size=image_size)
    assert found is not None
    return found


EVERYTHING = Marks(
    masks={0: mask(7, 200), 4: mask(3)},
    points=[PointMark(9, 0, 10.0, 20.0), PointMark(2, 3, 5.0, 6.0), PointMark(9, 6, None, None)],
    boxes=[BoxMark(5, 0, 10.0, 10.0, 30.0, 20.0), BoxMark(5, 7, None, None, None, None)],
    keypoints=[
        pose(1, 2, [(1, 2), (3, 4), (np.nan, np.nan)], [False, False, True]),
        pose(1, 3, [(np.nan, np.nan), (np.nan, np.nan), (5, 6)]),
    ],
    lost=[LostMark(200, 8)],
)


def test_the_layout_has_one_channel_for_everything_ever_marked():
    layout = EVERYTHING.layout()
    assert layout.regions == (3, 7, 200) and layout.boxes == (5,)
    assert layout.points == (
        ("point", 2, 0), ("point", 9, 0), ("joint", 1, 0), ("joint", 1, 1), ("joint", 1, 2),
    )  # fmt: skip
    assert layout.unmarked == () and layout.joints() == {1: 3}
    assert len(layout) == 1 + 3 + 1 + 5
    assert EVERYTHING.frames() == [0, 2, 3, 4, 6, 7, 8]


def test_what_was_told_of_each_label_by_frame():
    told = EVERYTHING.keyframes(EVERYTHING.layout())
    assert told == {
        1: {4: True}, 2: {0: True}, 3: {0: True, 8: False},
        4: {0: True, 7: False},
        5: {3: True}, 6: {0: True, 6: False},
        7: {2: True}, 8: {2: True}, 9: {2: False, 3: True},
    }  # fmt: skip


def test_a_frame_holds_what_was_put_on_it_and_nothing_else():
    found = on(EVERYTHING, 0)
    assert found.label_map.shape == (10, 9, 13) and found.label_map.dtype == torch.float32
    assert found.painted.tolist() == [1, 0, 1, 1, 1, 0, 1, 0, 0, 0]
    assert found.shown.tolist() == found.painted.tolist()
    torch.testing.assert_close(found.label_map[:4].sum(0), torch.ones(9, 13))
    assert found.boxes == {4: (10, 10, 30, 20)}
    assert float(found.label_map[4].sum()) * 64 == pytest.approx(600)
    layout = EVERYTHING.layout()
    assert EVERYTHING.on_frame(1, layout, SPEC, frame_size=SIZE, image_size=SIZE) is None


def test_what_is_declared_lost_is_painted_and_not_shown():
    for index, channel in ((6, 6), (7, 4), (8, 3), (2, 9)):
        found = on(EVERYTHING, index)
        assert found.painted[channel] and not found.shown[channel]
        assert channel not in found.xy and channel not in found.boxes
    assert on(EVERYTHING, 6).painted.nonzero()[:, 0].tolist() == [0, 6]


def test_a_joint_that_is_not_marked_is_neither_shown_nor_lost():
    later = pose(1, 5, [(np.nan, np.nan), (3, 4)])
    found = on(Marks(keypoints=[pose(1, 2, [(1, 2), (np.nan, np.nan)]), later]), 2)
    assert found.painted.tolist() == [True, True, False]


@pytest.mark.parametrize("lost", [False, True])
def test_a_joint_that_is_marked_nowhere_has_no_channel(lost):
    marks = Marks(keypoints=[pose(1, 2, [(1, 2), (np.nan, np.nan)], [False, lost])])
    layout = marks.layout()
    assert layout.points == (("joint", 1, 0),) and layout.unmarked == (("joint", 1, 1),)
    assert layout.joints() == {1: 2} and marks.keyframes(layout) == {1: {2: True}}
    assert on(marks, 2).painted.tolist() == [True, True]


@given(st.floats(-0.5, 103.5), st.floats(-0.5, 71.5), st.sampled_from([(72, 104), (144, 208)]))
def test_points_lie_where_they_were_put_at_any_working_size(x, y, size):
    found = on(Marks(points=[PointMark(1, 0, x, y)]), 0, image_size=size)
    scale = size[0] / SIZE[0]
    pixel = cell_to_pixel(np.array(found.xy[1]), stride=8, offset=3.5)
    np.testing.assert_allclose((pixel + 0.5) / scale - 0.5, [x, y], atol=1e-4)
    if 20 < x < 80 and 20 < y < 50:
        centre, _ = centres(found.label_map[1:])
        np.testing.assert_allclose(centre[0], found.xy[1], atol=0.1)


def test_boxes_are_brought_to_the_working_size():
    marks = Marks(boxes=[BoxMark(5, 0, 10.0, 10.0, 30.0, 20.0)])
    assert on(marks, 0, image_size=(144, 208)).boxes[1] == (20, 20, 60, 40)


def test_a_mask_with_new_ids_says_nothing_of_the_others():
    found = on(Marks(masks={0: mask(7, 200), 4: mask(3)}), 4)
    assert found.painted.tolist() == [True, True, False, False]


def test_marks_of_what_a_layout_does_not_hold_are_left_out():
    layout = Marks(masks={0: mask(7)}).layout()
    found = EVERYTHING.on_frame(0, layout, SPEC, frame_size=SIZE, image_size=SIZE)
    assert found is not None and found.label_map.shape[0] == 2 and not found.boxes
    torch.testing.assert_close(found.label_map.sum(0), torch.ones(9, 13))
    assert EVERYTHING.on_frame(3, layout, SPEC, frame_size=SIZE, image_size=SIZE) is None


def point(x: float | None, y: float | None, *, frame: int = 0, number: int = 1) -> Marks:
    return Marks(points=[PointMark(number, frame, x, y)])


def box(x: Any, y: Any, width: Any, height: Any, *, frame: int = 0) -> Marks:
    return Marks(boxes=[BoxMark(4, frame, x, y, width, height)])


NAN, INF = float("nan"), float("inf")


def test_ids_may_be_as_large_as_what_they_are_written_to_can_hold() -> None:
    large = Marks(
        masks={0: mask(65535)},
        points=[PointMark(70_000, 0, 3.0, 3.0)],
        boxes=[BoxMark(70_000, 0, 3.0, 3.0, 5.0, 5.0)],
    )
    check_all(large, info(), start=0, end=None)


@pytest.mark.parametrize(
    ("marks", "message"),
    [
        (point(104, 3), "point 1 on frame 0: .* inside the 104x72 frame, got x 104, y 3"),
        (point(3, -0.6), "point 1 on frame 0: .* inside the 104x72 frame, got x 3, y -0.6"),
        (point(NAN, 3), "point 1 on frame 0: expected finite x and y, got nan, 3"),
        (point(3, INF), "point 1 on frame 0: expected finite x and y, got 3.0, inf"),
        (point(3, 3, frame=10), "point 1 of frame 10: expected a frame from 0 to 9"),
        (point(3, 3, frame=-1), "point 1 of frame -1: expected a frame from 0 to 9"),
        (point(None, None), "expected at least one object, point or box, got none"),
        (point(3, None), "point 1 on frame 0: .*x and y"),
        (
            Marks(points=[PointMark(1, 0, 3, 3), PointMark(1, 0, 4, 4)]),
            "point 1 on frame 0: expected one .*, got two",
        ),
        (box(104, 3, 5, 5), "box 4 on frame 0: .* meets the 104x72 frame, got x 104"),
        (box(3, 72, 5, 5), "box 4 on frame 0: .* meets the 104x72 frame"),
        (box(-5, 3, 5, 5), "box 4 on frame 0: .* meets the 104x72 frame"),
        (box(3, 3, 0, 5), "box 4 on frame 0: .* width and height > 0, got"),
        (box(3, 3, 5, -2), "box 4 on frame 0: .* width and height > 0, got"),
        (box(NAN, 3, 5, 5), "box 4 on frame 0: expected finite x, y.* got"),
        (box(3, 3, INF, 5), "box 4 on frame 0: expected finite x, y.* got"),
        (box(3, None, 5, 5), "box 4 on frame 0: expected finite x, y.* got"),
        (box(None, 3, 5, 5), "box 4 on frame 0: expected finite x, y.* got"),
        (box(3, 3, 5, 5, frame=12), "box 4 of frame 12: expected a frame from 0 to 9"),
        (box(None, None, None, None), "expected at least one object, point or box"),
        (
            Marks(boxes=[BoxMark(4, 0, 1, 1, 9, 9), BoxMark(4, 0, 2, 2, 9, 9)]),
            "box 4 on frame 0: expected one box per id and frame, got two",
        ),
        (Marks(), "expected at least one object, point or box, got none"),
        (Marks(masks={0: mask()}), "expected at least one object.*masks are all 0"),
        (Marks(masks={0: mask(1)[:-1]}), "mask of frame 0: expected the video's 104x72 .*104x71"),
        (
            Marks(masks={0: mask(1).astype(float)}),
            r"expected \(H, W\) integer object ids, .*float64",
        ),
        (Marks(masks={0: np.stack([mask(1)] * 3, -1)}), r"integer object ids, got \(72, 104, 3\)"),
        (Marks(masks={3: mask(1, 65536)}), "mask of frame 3: .* ids up to 65535, .* got 65536"),
        (Marks(masks={11: mask(1)}), "mask of frame 11: expected a frame from 0 to 9"),
        (Marks(masks={0: -mask(7)}), "expected object ids >= 0, got -7"),
        (Marks(masks={0: mask(7)}, lost=[LostMark(8, 3)]), r"painted ids \[7\], got 8"),
        (Marks(masks={0: mask(7)}, lost=[LostMark(7, 30)]), "lost 7 of frame 30: expected a frame"),
        (
            Marks(masks={0: mask(7)}, lost=[LostMark(7, 0)]),
            "lost 7 on frame 0: expected a frame without it",
        ),
        (
            Marks(keypoints=[pose(3, 0, [(1, 2), (104, 5)])]),
            "joint 3 on frame 0: .* inside the 104x72 frame, got x 104, y 5",
        ),
        (Marks(keypoints=[pose(3, 10, [(1, 2)])]), "keypoints 3 of frame 10: expected a frame"),
        (
            Marks(keypoints=[pose(3, 0, [(NAN, NAN)])]),
            "expected at least one object, point or box",
        ),
        (
            Marks(keypoints=[pose(3, 0, [(1, 2)]), pose(3, 4, [(1, 2), (3, 4)])]),
            "keypoints 3 on frame 4: expected 1 joints as on its first frame, got 2",
        ),
        (Marks(keypoints=[pose(3, 0, [(1, 2), (INF, 5)])]), "3 on frame 0: .* joint 1, or .*inf"),
        (Marks(keypoints=[pose(3, 0, [(1, NAN)])]), "3 on frame 0: .* joint 0, .*got 1.0, nan"),
        (
            Marks(keypoints=[pose(3, 0, [(1, 2)]), pose(3, 0, [(5, 2)])]),
            "3 on frame 0: expected one .*, got two",
        ),
    ],
)
def test_marks_that_make_no_sense_get_one_clear_line(marks, message):
    with pytest.raises(InputError, match=message) as caught:
        check_all(marks, info(), start=0, end=None)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("start", "end", "last"), [(2, None, 9), (2, 5, 4), (2, 99, 9)])
def test_marks_must_lie_in_the_part_that_is_tracked(start, end, last):
    for frame in (start - 1, last + 1):
        with pytest.raises(InputError, match=f"frame {frame}: .* from {start} to {last}"):
            check_all(point(3, 3, frame=frame), info(), start=start, end=end)
    for frame in (start, last):
        check_all(point(3, 3, frame=frame), info(), start=start, end=end)


def test_without_a_frame_count_any_later_frame_may_be_marked():
    check_all(point(3, 3, frame=10**6), info(None), start=0, end=None)
    with pytest.raises(InputError, match="from 0 to 4"):
        check_all(point(3, 3, frame=5), info(None), start=0, end=5)
    with pytest.raises(InputError, match="start: expected a frame from 0 to 9, got 10"):
        check_all(point(3, 3, frame=10), info(), start=10, end=None)
    with pytest.raises(InputError, match="point 1 of frame -1: expected a frame from 0 on;"):
        check_all(point(3, 3, frame=-1), info(None), start=0, end=None)


@pytest.mark.parametrize(
    "marks",
    [
        point(-0.5, -0.5),
        point(103.5, 71.5),
        box(-10, -10, 20, 20),
        box(0, 0, 104, 72),
        box(100.5, 3, 500, 2),
        Marks(masks={0: mask(7), 3: mask()}),
        EVERYTHING,
    ],
)
def test_marks_up_to_the_edges_are_welcome(marks):
    check_all(marks, info(), start=0, end=None)


def test_hundreds_of_objects_are_fine_and_thousands_are_not():
    many = np.arange(72 * 104, dtype=np.int32).reshape(72, 104) % 301
    check_all(Marks(masks={0: many}), info(), start=0, end=None)
    found = on(Marks(masks={0: many}), 0)
    assert found.label_map.shape[0] == 301 and bool(found.painted.all())
    torch.testing.assert_close(found.label_map.sum(0), torch.ones(9, 13))
    crowd = [PointMark(i, 0, 3.0, 3.0) for i in range(MOST_LABELS + 1)]
    check_all(Marks(points=crowd[:-1]), info(), start=0, end=None)
    with pytest.raises(InputError, match=f"at most {MOST_LABELS} .* got {MOST_LABELS + 1}; track"):
        check_all(Marks(points=crowd), info(), start=0, end=None)


def test_many_labels_are_welcome_where_there_is_memory_for_them():
    crowd = Marks(points=[PointMark(i, 0, 3.0, 3.0) for i in range(ALWAYS + 8000)])
    few = Marks(points=crowd.points[:ALWAYS])
    small, large = {"pixels": 120 * 160, "stride": 8}, {"pixels": 1080 * 1920, "stride": 4}
    check_all(crowd, info(), start=0, end=None, **small)
    check_all(few, info(), start=0, end=None, **large)
    with pytest.raises(InputError, match=r"10000 .* about \d+ GiB .* smaller --size"):
        check_all(crowd, info(), start=0, end=None, **large)


def test_the_limit_is_said_before_the_video_is_opened(tmp_path):
    crowd = Marks(points=[PointMark(i, 0, 3.0, 3.0) for i in range(MOST_LABELS + 1)])
    with pytest.raises(InputError, match="at most"):
        checked_marks(tmp_path / "not there.mp4", crowd, start=0, end=None)


def test_many_objects_a_few_at_a_time_are_the_same():
    spec, size = FeatureSpec(4, 8, 0.0), (72, 104)
    mask = np.random.default_rng(0).integers(0, 101, (144, 208))
    ids = list(range(1, 101))
    found = masks_to_label_map(mask, ids=ids, size=size, spec=spec)
    for number in (1, 31, 32, 100):
        alone = np.where(mask == number, number, 0)
        one = masks_to_label_map(alone, ids=[number], size=size, spec=spec)[1]
        torch.testing.assert_close(found[number], one)
    whole = resize(found, mask.shape).max(0).indices.numpy()
    assert np.array_equal(label_map_to_mask(found, ids=ids, size=mask.shape), whole)
