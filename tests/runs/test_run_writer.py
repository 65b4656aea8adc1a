"""Runs on disk: the files of every kind, what a second run leaves, and running again."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import numpy as np
import pytest
from synthetic import moving_clip, write_clip

from chromatrack.atomic import keep_apart
from chromatrack.errors import DamagedVideoError, InputError
from chromatrack.formats.csv_tables import BOX, read_tracks
from chromatrack.formats.keypoints import read_keypoint_tracks
from chromatrack.formats.masks import read_mask
from chromatrack.formats.polygons import PolygonMark
from chromatrack.propagation.propagate import PropagateConfig
from chromatrack.runs import writer
from chromatrack.runs.files import overlay_frame
from chromatrack.runs.marks_json import (
    marks_from_plain,
    plain_marks,
    read_run_marks,
    write_run_masks,
)
from chromatrack.runs.reader import read_result
from chromatrack.runs.writer import track_to_folder
from chromatrack.structures import (
    BoxMark,
    KeypointMark,
    LostMark,
    PointMark,
    Skeleton,
    TrackedPoint,
)
from chromatrack.tracking.config import TrackConfig
from chromatrack.tracking.inference import TrackedFrame, follow
from chromatrack.tracking.mark_checks import add_polygons, fit_skeleton
from chromatrack.tracking.marks import Marks
from chromatrack.tracking.tracker import Tracker
from chromatrack.video.reader import read_frames
from chromatrack.viz.track_overlays import Trails

SIZE = (64, 96)
SKELETON = Skeleton(("hip", "knee", "foot"), ((0, 1), (1, 2)))


@pytest.fixture
def tracker(tiny_encoder) -> Tracker:
    propagate = PropagateConfig(radius=2, recent_radius=2, top_k=3, temperature=1e-3)
    return Tracker(tiny_encoder, device="cpu", config=TrackConfig(size=64, propagate=propagate))


@pytest.fixture(scope="module")
def film():
    return moving_clip(frames=5, size=SIZE, objects=2, radius=13)


@pytest.fixture(scope="module")
def clip(film, tmp_path_factory) -> Path:
    return write_clip(tmp_path_factory.mktemp("film") / "clip.mp4", film)


def pose(frame: int = 0) -> KeypointMark:
    joints = np.array([[20.0, 30.0], [np.nan, np.nan], [24.5, 40.25]])
    return KeypointMark(8, frame, joints, np.array([False, True, False]))


def every_kind(film) -> dict:
    """Marks of all kinds, on two keyframes."""
    return {
        "masks": {0: film[0].mask, 3: film[3].mask},
        "points": [PointMark(4, 0, 30.25, 31.5), PointMark(4, 3, None, None)],
        "boxes": [BoxMark(6, 1, 20.0, 15.0, 25.5, 26.0)],
        "keypoints": [pose()],
        "skeleton": SKELETON,
        "lost": [LostMark(2, 4)],
    }


def head_of(folder: Path) -> dict:
    return json.loads((folder / "result.json").read_text())


def names_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_every_kind_has_its_file_and_reads_back_as_tracked(tracker, film, clip, tmp_path):
    marks = every_kind(film)
    assert track_to_folder(tracker, clip, Marks.of(**marks), output=tmp_path).frames == 5
    given = {name: value for name, value in marks.items() if name != "skeleton"}
    frames = list(tracker.track(clip, **given))

    masks = {f"masks/{n:05d}.png" for n in range(5)} | {"marks/00000.png", "marks/00003.png"}
    tables = {"tracks.csv", "boxes.csv", "keypoints.json", "things.csv"}
    assert names_in(tmp_path) == masks | tables | {"overlay.mp4", "result.json"}
    tracks = read_tracks(tmp_path / "tracks.csv")[4]
    boxes = read_tracks(tmp_path / "boxes.csv", BOX)[6]
    skeleton, poses = read_keypoint_tracks(tmp_path / "keypoints.json")
    assert skeleton == SKELETON
    box_of = {frame.index: frame.boxes[6] for frame in frames if 6 in frame.boxes}
    assert boxes.frames.tolist() == sorted(box_of)
    for n, frame in enumerate(frames):
        np.testing.assert_array_equal(read_mask(tmp_path / f"masks/{n:05d}.png"), frame.mask)
        point = frame.points[4]
        np.testing.assert_allclose(tracks.values[n], (point.x, point.y), atol=1e-3)
        assert tracks.visible[n] == point.visible
        np.testing.assert_allclose(poses[8].values[n], frame.keypoints[8].joints, atol=1e-3)
    for index, values in zip(boxes.frames, boxes.values, strict=True):
        box = box_of[int(index)]
        np.testing.assert_allclose(values, (box.x, box.y, box.width, box.height), atol=1e-3)


def test_the_head_says_what_was_tracked_and_rows_how_sure(tracker, film, clip, tmp_path):
    track_to_folder(
        tracker, clip, Marks.of(**every_kind(film)), output=tmp_path, direction="forward"
    )
    head = head_of(tmp_path)
    assert head["schema_version"] == 2 and head["complete"] is True
    assert [head[k] for k in ("objects", "points", "boxes", "keypoints")] == [[1, 2], [4], [6], [8]]
    assert head["marked_frames"] == [0, 1, 3, 4] and head["cuts"] == []
    assert head["config"]["direction"] == "forward"
    tracked = tracker.track(
        clip,
        direction="forward",
        **{name: value for name, value in every_kind(film).items() if name != "skeleton"},
    )
    for row, frame in zip(head["frames"], tracked, strict=True):
        assert row["present"] == {str(k): v for k, v in frame.present.items()}
        assert row["cut"] is frame.cut
        for number, value in frame.confidence.items():
            assert row["confidence"][str(number)] == pytest.approx(value, abs=1e-5)
    assert head["frames"][4]["present"]["2"] is False


def test_a_cut_is_in_the_head_and_in_its_row(tracker, film, tmp_path):
    other = [np.full((*SIZE, 3), (250, 20, 20), np.uint8)] * 3
    clip = write_clip(tmp_path / "cut.mp4", [*film, *other])
    track_to_folder(tracker, clip, Marks.of(masks=film[0].mask), output=tmp_path / "out")
    head = head_of(tmp_path / "out")
    assert head["cuts"] == [5]
    assert [row["index"] for row in head["frames"] if row["cut"]] == [5]
    assert read_result(tmp_path / "out").cuts.tolist() == [n == 5 for n in range(8)]


def test_a_folder_holds_all_that_is_needed_to_run_again(tracker, film, clip, tmp_path):
    track_to_folder(tracker, clip, Marks.of(**every_kind(film)), output=tmp_path / "a")
    marks = read_run_marks(tmp_path / "a")
    track_to_folder(tracker, clip, marks, output=tmp_path / "b")
    names = names_in(tmp_path / "a")
    assert names == names_in(tmp_path / "b")
    for name in names - {"result.json", "overlay.mp4"}:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert head_of(tmp_path / "a")["marks"] == head_of(tmp_path / "b")["marks"]


def test_marks_survive_json():
    marks = Marks(
        {2: np.ones((3, 4), np.int32)},
        [PointMark(1, 2, 3.125, 4.0), PointMark(1, 3, None, None)],
        [BoxMark(0, 2, 1, 2, 3.5, 4), BoxMark(0, 5, None, None, None, None)],
        [pose(7)],
        [LostMark(1, 9)],
        SKELETON,
    )
    text = json.dumps(plain_marks(marks))
    again = marks_from_plain(json.loads(text), marks.masks)
    assert again.skeleton == SKELETON and again.points == marks.points
    assert again.boxes == marks.boxes and again.lost == marks.lost
    [before], [after] = marks.keypoints, again.keypoints
    assert (after.id, after.frame) == (8, 7)
    np.testing.assert_array_equal(after.joints, before.joints)
    np.testing.assert_array_equal(after.lost, before.lost)


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (None, "expected a folder that `chromatrack track` wrote"),
        ({"schema_version": 1}, "does not say what was marked; track the video again"),
        ({"marks": {"masks": []}}, r"marks are not as .* \(KeyError: 'points'\)"),
        ({"marks": 3}, r"marks are not as .* \(TypeError"),
    ],
)
def test_folders_without_marks_are_refused(tmp_path, head, message):
    if head is not None:
        (tmp_path / "result.json").write_text(json.dumps(head))
    with pytest.raises(InputError, match=message):
        read_run_marks(tmp_path)


def test_a_damaged_mask_of_a_run_is_named(tmp_path):
    empty = {**plain_marks(Marks()), "masks": [7]}
    (tmp_path / "result.json").write_text(json.dumps({"marks": empty}))
    write_run_masks(tmp_path, {7: np.ones((9, 9), np.int32)})
    assert read_run_marks(tmp_path).masks[7].all()
    path = tmp_path / "marks" / "00007.png"
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(InputError, match=r"^mask '.*00007\.png': .*; it is damaged") as damaged:
        read_run_marks(tmp_path)
    assert "result.json" not in str(damaged.value) and "InputError" not in str(damaged.value)


# -- a second run in the same folder ---------------------------------------------------------


def test_a_rerun_removes_what_it_does_not_write(tracker, film, clip, tmp_path):
    track_to_folder(tracker, clip, Marks.of(**every_kind(film)), output=tmp_path)
    mine = tmp_path / "masks/notes.txt"
    mine.write_text("mine")
    track_to_folder(tracker, clip, Marks.of(points=[PointMark(1, 0, 9, 9)]), output=tmp_path, end=2)
    written = {"tracks.csv", "things.csv", "overlay.mp4", "result.json"}
    assert names_in(tmp_path) == written | {"masks/notes.txt"}
    mine.unlink()
    track_to_folder(
        tracker, clip, Marks.of(boxes=[BoxMark(1, 0, 9, 9, 20, 20)]), output=tmp_path, end=2
    )
    assert names_in(tmp_path) == {"boxes.csv", "things.csv", "overlay.mp4", "result.json"}
    assert not (tmp_path / "masks").exists() and not (tmp_path / "marks").exists()


def test_tables_that_no_run_wrote_are_left_alone(tracker, film, clip, tmp_path):
    mine = {"boxes.csv": "id,frame,x,y,width,height\n1,0,2,3,4,5\n", "keypoints.json": "{}"}
    for name, text in mine.items():
        (tmp_path / name).write_text(text)
    track_to_folder(tracker, clip, Marks.of(masks=film[0].mask), output=tmp_path, end=2)
    assert {name: (tmp_path / name).read_text() for name in mine} == mine
    assert read_result(tmp_path).ids("box") == []


def stop_after(count: int, error: BaseException):
    """Tracking that ends badly after `count` frames."""

    def broken(*arguments, **options):
        for n, frame in enumerate(follow(*arguments, **options)):
            if n == count:
                raise error
            yield frame

    return broken


def test_ctrl_c_leaves_whole_files_and_tells_of_old_ones(
    tracker, film, clip, tmp_path, monkeypatch
):
    track_to_folder(tracker, clip, Marks.of(**every_kind(film)), output=tmp_path)
    monkeypatch.setattr(writer, "follow", stop_after(2, KeyboardInterrupt()))
    with (
        pytest.raises(KeyboardInterrupt, match="interrupted after 2 frames"),
        pytest.warns(UserWarning, match=r"files of an earlier run remain"),
    ):
        track_to_folder(tracker, clip, Marks.of(points=[PointMark(1, 0, 9, 9)]), output=tmp_path)
    assert head_of(tmp_path)["reason"] == "interrupted"
    with pytest.warns(UserWarning, match="ended early"):
        result = read_result(tmp_path)
    assert result.points[1].frames.tolist() == [0, 1]
    assert result.ids("box") == result.ids("keypoints") == result.ids("object") == []
    assert len(list(read_frames(tmp_path / "overlay.mp4"))) == 2
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_damage_keeps_what_is_before_and_a_run_without_frames_changes_nothing(
    tracker, film, clip, tmp_path, monkeypatch
):
    damage = DamagedVideoError("damaged at frame 3", frame_index=3)
    options = every_kind(film)
    for count in (3, 0):
        with monkeypatch.context() as patch, pytest.raises(DamagedVideoError):
            patch.setattr(writer, "follow", stop_after(count, damage))
            track_to_folder(tracker, clip, Marks.of(**options), output=tmp_path)
        assert head_of(tmp_path)["complete"] is False
        assert len(head_of(tmp_path)["frames"]) == 3
        assert len(read_tracks(tmp_path / "tracks.csv")[4].frames) == 3
    assert not [name for name in names_in(tmp_path) if name.endswith((".tmp", ".partial"))]


# -- polygons, skeletons, the overlay --------------------------------------------------------


def square(number: int, frame: int, left: float, side: float = 6) -> PolygonMark:
    corners = np.array([left, 2]) + np.array([[0, 0], [side, 0], [side, side], [0, side]])
    return PolygonMark(number, frame, (corners,))


def test_polygons_are_painted_over_masks():
    masks = {0: np.full((20, 30), 7, np.int32)}
    merged = add_polygons(masks, [square(3, 0, 4), square(5, 2, 10)], (20, 30))
    assert sorted(merged) == [0, 2] and masks[0].min() == 7
    assert set(np.unique(merged[0])) == {3, 7} and (merged[0] == 3).sum() == 36
    assert set(np.unique(merged[2])) == {0, 5}


def test_polygons_that_do_not_show_are_refused():
    with pytest.raises(InputError, match=r"polygon of object 3 on frame 0: .* no pixel of it does"):
        add_polygons({}, [square(3, 0, 400)], (20, 30))
    above, beside = square(4, 0, 3, side=9), square(4, 0, 7, side=9)
    what, then = "polygon of object 3 on frame 0: expected it to show, but the later", "; give what"
    for later, told in (
        ([above], "polygon of object 4 covers all of it"),
        ([square(5, 0, 0), square(4, 0, 6), square(9, 0, 20)], "polygons of object 4, 5 cover all"),
    ):
        with pytest.raises(InputError, match=f"{what} {told}.*{then} lies on top last"):
            add_polygons({}, [square(3, 0, 4), *later], (20, 30))
    assert 3 in add_polygons({}, [square(3, 0, 4), beside], (20, 30))[0]


def test_polygons_and_masks_of_another_size_are_told_apart(tracker, clip, tmp_path):
    wrong = {0: np.ones((5, 5), np.int32)}
    with pytest.raises(InputError, match="expected the video's 96x64 pixels, got 5x5"):
        masks = add_polygons(wrong, [square(3, 0, 4)], SIZE)
        track_to_folder(tracker, clip, Marks(masks), output=tmp_path)
    assert not names_in(tmp_path)


def test_tracking_of_polygons(tracker, clip, tmp_path):
    polygon = square(12, 0, 30, side=20)
    marks = Marks(add_polygons({}, [polygon], SIZE))
    track_to_folder(tracker, clip, marks, output=tmp_path, end=2)
    assert head_of(tmp_path)["objects"] == [12]
    assert (read_mask(tmp_path / "marks/00000.png") == 12).sum() == 400


def test_skeletons_fit_their_marks():
    assert fit_skeleton(None, []) is None and fit_skeleton(SKELETON, []) is None
    assert fit_skeleton(SKELETON, [pose()]) is SKELETON
    plain = fit_skeleton(None, [pose()])
    assert plain is not None and plain.edges == () and len(plain.names) == 3
    with pytest.raises(InputError, match="expected the skeleton's 2 joints, got 3"):
        fit_skeleton(Skeleton(("a", "b"), ()), [pose()])
    other = KeypointMark(1, 4, np.zeros((2, 2)), np.zeros(2, bool))
    with pytest.raises(InputError, match=r"keypoints 1 on frame 4: .* 3 joints, got 2"):
        fit_skeleton(None, [pose(), other])


def changed(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.any(a != b, axis=-1)


def test_the_overlay_shows_points_with_their_trails():
    rgb = np.full((40, 60, 3), 90, np.uint8)
    empty = np.zeros((40, 60), np.int32)
    trails = Trails(10)
    frames = [
        TrackedFrame(n, n / 25, rgb, empty, {}, {}, points={1: TrackedPoint(10 + n, 20, True, 1)})
        for n in (0, 10, 20)
    ]
    for frame in frames:
        trails.add(frame.points)
    alone, trailed = overlay_frame(frames[2]), overlay_frame(frames[2], trails=trails)
    assert changed(alone, rgb)[20, 30] and not changed(alone, rgb)[20, 15:24].any()
    assert changed(trailed, rgb)[20, 18:24].all()
    assert np.array_equal(overlay_frame(TrackedFrame(0, 0, rgb, empty, {}, {})), rgb)


@pytest.mark.parametrize(
    ("given", "target", "apart"),
    [
        ("a.csv", "a.csv", False),
        ("masks", "masks", False),
        ("masks/00000.png", "masks", False),
        ("other/00000.png", "masks", True),
        (None, "masks", True),
    ],
)
def test_what_was_given_is_not_overwritten(tmp_path, given, target, apart):
    path = None if given is None else tmp_path / given
    if apart:
        keep_apart(path, tmp_path / target)
        return
    with pytest.raises(InputError, match="would be overwritten by the results"):
        keep_apart(path, tmp_path / target)
