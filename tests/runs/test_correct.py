"""Corrections: only their span is done again, it is as in a fresh run, and all else stays."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import video_clips
from hypothesis import given
from hypothesis import strategies as st
from synthetic import moving_clip, write_clip

from chromatrack.errors import DamagedVideoError, InputError, OutputError
from chromatrack.formats.mask_marks import masks_at
from chromatrack.formats.masks import read_mask, write_mask
from chromatrack.propagation.layout import channel_names
from chromatrack.propagation.propagate import PropagateConfig
from chromatrack.runs.affected_spans import find_spans
from chromatrack.runs.correct import CorrectionPlan, correct, read_masks_at, tracker_of
from chromatrack.runs.file_names import TABLES
from chromatrack.runs.keyframe_seams import measure_seams
from chromatrack.runs.reader import read_result
from chromatrack.runs.rewrite import Rewriting
from chromatrack.runs.unfinished import Unfinished, read_unfinished
from chromatrack.runs.writer import track_to_folder
from chromatrack.structures import BoxMark, KeypointMark, LostMark, PointMark, Skeleton
from chromatrack.tracking.config import TrackConfig
from chromatrack.tracking.marks import Marks
from chromatrack.tracking.tracker import Tracker
from chromatrack.video.reader import read_frames

SIZE = (64, 96)
FRAMES = 14


@pytest.fixture(scope="module")
def tracker() -> Tracker:
    propagate = PropagateConfig(recent=2, radius=8, recent_radius=4)
    config = TrackConfig(size=64, propagate=propagate)
    return Tracker.from_pretrained("small", device="cpu", config=config)


@pytest.fixture(scope="module")
def film():
    return moving_clip(frames=FRAMES, size=SIZE, objects=2, radius=11, velocity=(0.5, 1.2))


@pytest.fixture(scope="module")
def clip(film, tmp_path_factory) -> Path:
    return write_clip(tmp_path_factory.mktemp("film") / "clip.mkv", film)


def one(film, index: int, number: int = 1) -> np.ndarray:
    return np.where(film[index].mask == number, number, 0)


def off(mask: np.ndarray) -> np.ndarray:
    """The mask as a careless user draws it: too far left and up."""
    return np.roll(mask, (-4, -6), axis=(0, 1))


def contents(folder: Path) -> dict[str, bytes]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def masks_of(folder: Path) -> list[np.ndarray]:
    return [read_mask(folder / "masks" / f"{i:05d}.png") for i in range(FRAMES)]


def rows_of(path: Path) -> dict[tuple[int, int], str]:
    rows = [line.split(",", 2) for line in path.read_text().splitlines()[1:]]
    return {(int(number), int(frame)): rest for number, frame, rest in rows}


@pytest.fixture(scope="module")
def keyframed(tracker, film, clip, tmp_path_factory) -> Path:
    """A run with object 1 marked on frames 0, 4, 10 and 13, badly on 10."""
    folder = tmp_path_factory.mktemp("run") / "out"
    masks = {i: one(film, i) for i in (0, 4, 13)} | {10: off(one(film, 10))}
    track_to_folder(tracker, clip, Marks.of(masks=masks), output=folder)
    return folder


def test_between_the_ends_it_is_a_fresh_run(tracker, film, clip, tmp_path):
    ends = {0: one(film, 0), 13: one(film, 13)}
    track_to_folder(tracker, clip, Marks.of(masks=ends), output=tmp_path / "out")
    track_to_folder(
        tracker, clip, Marks.of(masks=ends | {6: one(film, 6)}), output=tmp_path / "fresh"
    )
    before = contents(tmp_path / "out")
    plans: list[CorrectionPlan] = []
    new = Marks.of(masks={6: one(film, 6)})
    done = correct(tracker, tmp_path / "out", new, announce=plans.append)
    assert done.frames_recomputed == 12 and done.frames == FRAMES
    assert done.frames_tracked == 2 * 13
    [plan] = plans
    assert (plan.frames, plan.of, plan.steps) == (12, FRAMES, 2 * 13)
    timings = json.loads((tmp_path / "fresh/result.json").read_text())["timings"]
    assert plan.seconds is not None and 0 < plan.seconds < 20 * timings["seconds"]
    assert str(plan).startswith("12 of 14 frames to do again, in 26 steps; about ")
    out, fresh = masks_of(tmp_path / "out"), masks_of(tmp_path / "fresh")
    assert all(np.array_equal(a, b) for a, b in zip(out, fresh, strict=True))
    mine, other = (json.loads((tmp_path / f / "result.json").read_text()) for f in ("out", "fresh"))
    for name in ("marks", "marked_frames", "objects", "schema_version", "config"):
        assert mine[name] == other[name], name
    assert mine["frames"][1:-1] == other["frames"][1:-1]
    after = contents(tmp_path / "out")
    assert set(after) == set(before) | {"marks/00006.png"}
    assert before["masks/00006.png"] != after["masks/00006.png"]
    assert before["overlay.mp4"] != after["overlay.mp4"]
    drawn = [read_frames(tmp_path / f / "overlay.mp4") for f in ("out", "fresh")]
    for mine, other in zip(*drawn, strict=True):
        assert np.array_equal(mine.rgb, other.rgb) and mine.pts_seconds == other.pts_seconds


def test_only_the_span_between_its_neighbours_is_done_again(
    tracker, film, clip, keyframed, tmp_path
):
    folder = shutil.copytree(keyframed, tmp_path / "out")
    before = contents(folder)
    times = {i: (folder / "masks" / f"{i:05d}.png").stat().st_mtime_ns for i in range(FRAMES)}
    seen = []
    done = correct(
        tracker,
        folder,
        Marks.of(masks={10: one(film, 10)}),
        progress=lambda what, count, total: seen.append((what, count, total)),
    )
    assert [(s.left, s.right, s.first, s.last) for s in done.spans] == [(4, 13, 5, 12)]
    assert done.frames_recomputed == 8 and done.frames_tracked == 2 * 9
    assert seen[8] == ("backward", 9, 9) and seen[16] == ("correct", 8, 8)
    assert seen[-1] == ("draw", FRAMES, FRAMES)
    after = contents(folder)
    for index in [*range(5), 13]:
        name = f"masks/{index:05d}.png"
        assert after[name] == before[name]
        assert (folder / name).stat().st_mtime_ns == times[index]
    rows = [json.loads(data["result.json"])["frames"] for data in (before, after)]
    assert [i for i in range(FRAMES) if rows[0][i] == rows[1][i]] == [0, 1, 2, 3, 4, 13]
    masks = {i: one(film, i) for i in (0, 4, 10, 13)}
    track_to_folder(tracker, clip, Marks.of(masks=masks), output=tmp_path / "fresh")
    assert all(map(np.array_equal, masks_of(folder), masks_of(tmp_path / "fresh")))


def test_a_mark_that_is_taken_away_costs_its_span_and_is_as_if_never_made(
    tracker, film, clip, keyframed, tmp_path
):
    folder = shutil.copytree(keyframed, tmp_path / "out")
    before = contents(folder)
    badly = {(("object", 1, 0), 10)}
    done = correct(tracker, folder, Marks(), removed=badly)
    assert [(s.left, s.right, s.first, s.last) for s in done.spans] == [(4, 13, 5, 12)]
    assert done.frames_recomputed == 8 and [thing.id for thing in done.things] == [1]
    after = contents(folder)
    assert set(before) - set(after) == {"marks/00010.png"}
    for index in [*range(5), 13]:
        name = f"masks/{index:05d}.png"
        assert after[name] == before[name]
    masks = {i: one(film, i) for i in (0, 4, 13)}
    track_to_folder(tracker, clip, Marks.of(masks=masks), output=tmp_path / "fresh")
    assert all(map(np.array_equal, masks_of(folder), masks_of(tmp_path / "fresh")))
    marks = [json.loads(contents(f)["result.json"])["marks"] for f in (folder, tmp_path / "fresh")]
    assert marks[0] == marks[1]
    others = {(("object", 1, 0), frame) for frame in (0, 4, 13)}
    with pytest.raises(InputError, match="object 1: its mark on frame 0 is the only one"):
        correct(tracker, folder, Marks(), removed=others)
    assert contents(folder) == after


def test_a_long_clip_costs_two_short_spans_at_most(film, tiny_encoder, tmp_path):
    """Keyframes at 20 and 40 of 60 frames: a mark on 30 costs 19 frames each way."""
    propagate = PropagateConfig(radius=1, recent_radius=1, recent=1, top_k=1)
    config = TrackConfig(size=16, redetect=False, propagate=propagate)
    small = Tracker(tiny_encoder, device="cpu", config=config)
    tiny = moving_clip(frames=3, size=(16, 24), radius=4)
    clip = write_clip(tmp_path / "long.mkv", [tiny[i % 3] for i in range(60)])
    masks = {i: tiny[i % 3].mask for i in (0, 20, 40, 59)}
    track_to_folder(small, clip, Marks.of(masks=masks), output=tmp_path / "out")
    done = correct(small, tmp_path / "out", Marks.of(masks={30: tiny[0].mask}))
    assert done.frames_recomputed == 19
    assert done.frames_tracked == 2 * 20
    assert done.frames == 60


def test_there_is_no_jump_at_the_seams(tracker, film, keyframed, tmp_path):
    folder = shutil.copytree(keyframed, tmp_path / "out")
    bad = measure_seams(read_result(folder), "object", 1, first=11, last=12)
    correct(tracker, folder, Marks.of(masks={10: one(film, 10)}))
    seams = measure_seams(read_result(folder), "object", 1, first=5, last=12)
    assert seams.at_seams is not None and seams.inside is not None and bad.at_seams is not None
    assert seams.at_seams < 1.3 * seams.inside
    assert seams.at_seams < bad.at_seams / 1.5


def test_a_jump_at_a_seam_is_measured(tracker, film, keyframed, tmp_path):
    folder = shutil.copytree(keyframed, tmp_path / "out")
    for index in range(5, 9):
        path = folder / "masks" / f"{index:05d}.png"
        write_mask(path, np.roll(read_mask(path), 9, axis=1))
    seams = measure_seams(read_result(folder), "object", 1, first=5, last=8)
    assert seams.at_seams is not None and seams.inside is not None
    assert seams.at_seams > 2 * seams.inside
    with pytest.raises(InputError, match="point 4: is not in the result; there are none"):
        measure_seams(read_result(folder), "point", 4, first=5, last=8)


def everything(film, *frames: int) -> dict:
    """Marks of all kinds on some frames; object 2 stays for others."""
    points, boxes, poses = [], [], []
    for f in frames:
        (x, y), (u, v) = film[f].centres[1], film[f].centres[2]
        points += [PointMark(5, f, x, y), PointMark(8, f, u, v)]
        boxes.append(BoxMark(3, f, u - 13, v - 13, 27, 27))
        joints = np.array([[x - 5, y], [x + 5, y + 3]])
        poses.append(KeypointMark(2, f, joints, np.zeros(2, dtype=bool)))
    return {"points": points, "boxes": boxes, "keypoints": poses}


@pytest.fixture(scope="module")
def all_kinds(tracker, film, clip, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("kinds") / "out"
    skeleton = Skeleton(("left", "right"), ((0, 1),))
    masks = {0: film[0].mask, 13: film[13].mask}
    marks = everything(film, 0, 5, 13)
    track_to_folder(tracker, clip, Marks.of(masks=masks, skeleton=skeleton, **marks), output=folder)
    return folder


def test_rows_of_points_boxes_and_joints_are_replaced_in_their_spans(
    tracker, film, all_kinds, tmp_path
):
    folder = shutil.copytree(all_kinds, tmp_path / "out")
    before = contents(folder)
    (x, y), (u, v) = film[9].centres[1], film[9].centres[2]
    nowhere = [np.nan, np.nan]
    done = correct(
        tracker,
        folder,
        Marks.of(
            points=[PointMark(5, 9, x + 3, y)],
            boxes=[BoxMark(3, 9, u - 10, v - 16, 20, 32)],
            keypoints=[KeypointMark(2, 9, np.array([[x - 5, y + 6], nowhere]), np.zeros(2, bool))],
        ),
    )
    assert [(s.first, s.last) for s in done.spans] == [(6, 12)]
    assert done.frames_recomputed == 7
    after = contents(folder)
    assert {n for n in after if after[n] != before[n]} == {
        "boxes.csv",
        "keypoints.json",
        "overlay.mp4",
        "things.csv",
        "result.json",
        "tracks.csv",
    }
    for name, number in (("tracks.csv", 5), ("boxes.csv", 3)):
        old, new = rows_of(all_kinds / name), rows_of(folder / name)
        assert list(old) == list(new)
        changed = {key for key in old if old[key] != new[key]}
        assert changed and changed <= {(number, f) for f in range(6, 13)}
    result = read_result(folder)
    assert result.points[5].values[9] == pytest.approx((x + 3, y), abs=2e-3)
    assert result.boxes[3].values[9] == pytest.approx((u - 10, v - 16, 20, 32), abs=2e-3)
    old, new = read_result(all_kinds).keypoints[2], result.keypoints[2]
    assert new.values[9, 0] == pytest.approx((x - 5, y + 6), abs=2e-3)
    assert np.array_equal(old.values[:, 1], new.values[:, 1])
    outside = [*range(6), 13]
    assert np.array_equal(old.values[outside], new.values[outside])
    seams = measure_seams(result, "point", 5, first=6, last=12)
    assert seams.at_seams is not None and seams.at_seams < 4
    assert measure_seams(result, "box", 3, first=6, last=12).inside is not None
    assert measure_seams(result, "keypoints", 2, first=6, last=12).inside is not None


def test_a_point_is_as_in_a_fresh_run(tracker, film, clip, tmp_path):
    ends = [PointMark(5, f, *film[f].centres[1]) for f in (0, 13)]
    more = PointMark(5, 7, film[7].centres[1][0] + 2, film[7].centres[1][1])
    track_to_folder(tracker, clip, Marks.of(points=ends), output=tmp_path / "out")
    track_to_folder(tracker, clip, Marks.of(points=[*ends, more]), output=tmp_path / "fresh")
    correct(tracker, tmp_path / "out", Marks.of(points=[more]))
    texts = [(tmp_path / f / "tracks.csv").read_text() for f in ("out", "fresh")]
    assert texts[0] == texts[1]
    assert not (tmp_path / "out" / "masks").exists()


def test_a_point_is_known_by_the_mark_before_its_span_too(tracker, film, tmp_path):
    """On frame 4 it looks like on no other frame: how it looked on frame 0 counts after it."""
    pictures = [frame.rgb for frame in film]
    pictures[4] = 255 - pictures[4]
    clip = video_clips.write_clip(tmp_path / "clip.mkv", pictures)
    marks = [PointMark(5, f, *film[f].centres[1]) for f in (0, 4, 13)]
    more = PointMark(5, 9, film[9].centres[1][0] + 2, film[9].centres[1][1])
    track_to_folder(tracker, clip, Marks.of(points=marks), output=tmp_path / "out")
    track_to_folder(tracker, clip, Marks.of(points=[*marks, more]), output=tmp_path / "fresh")
    old = rows_of(tmp_path / "out" / "tracks.csv")
    correct(tracker, tmp_path / "out", Marks.of(points=[more]))
    new, fresh = (rows_of(tmp_path / f / "tracks.csv") for f in ("out", "fresh"))
    for key in new:
        assert new[key] == (fresh if 5 <= key[1] < 13 else old)[key], key


def test_what_is_not_under_a_new_mark_keeps_all_of_its_pixels(tracker, film, all_kinds, tmp_path):
    folder = shutil.copytree(all_kinds, tmp_path / "out")
    old = masks_of(folder)
    # As another object's tracker is at its worst: it claims whatever there is.
    rewriting = Rewriting.take

    def greedy(self, frame, labels, over=()):
        everywhere = np.ones_like(frame.mask)
        rewriting(self, dataclasses.replace(frame, mask=everywhere), labels, over)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Rewriting, "take", greedy)
        mark = np.where(film[6].mask == 1, 1, 0)
        correct(tracker, folder, Marks.of(masks={6: mark}))
    new = masks_of(folder)
    for index in range(FRAMES):
        assert np.array_equal(old[index] == 2, new[index] == 2), index
    assert (new[5] != 2).sum() == (new[5] == 1).sum()  # it did claim the rest


@pytest.mark.parametrize("is_stopped", [False, True])
def test_what_is_under_a_new_mark_was_wrong_and_gives_way(
    is_stopped, tracker, film, clip, tmp_path
):
    """Object 2 was tracked as both; the one of them is marked as 1 in the middle."""
    folder = tmp_path / "out"
    both = np.where(film[0].mask > 0, 2, 0)
    track_to_folder(tracker, clip, Marks.of(masks={0: both}), output=folder)
    whole = masks_of(folder)
    assert (whole[7][film[7].mask == 1] == 2).mean() > 0.3
    mark = Marks.of(masks={7: one(film, 7)})

    def stop(what, count, total):
        if is_stopped and what == "correct" and count == 5:
            raise KeyboardInterrupt

    correct(tracker, folder, mark, progress=stop, keep_done=True)
    assert bool(read_unfinished(json.loads((folder / "result.json").read_text()))) == is_stopped
    if is_stopped:
        correct(tracker, folder, mark)
    for index, mask in enumerate(masks_of(folder)):
        inside = film[index].mask == 1
        if index == 0:  # where it is painted
            assert np.array_equal(mask, whole[0])
            continue
        assert (mask[inside] == 1).mean() > 0.6
        assert np.array_equal((whole[index] == 2) & (mask != 1), mask == 2)


def test_other_objects_keep_their_pixels(tracker, film, all_kinds, tmp_path):
    folder = shutil.copytree(all_kinds, tmp_path / "out")
    old = masks_of(folder)
    correct(tracker, folder, Marks.of(masks={6: off(one(film, 6))}))
    rows = json.loads((folder / "result.json").read_text())["frames"]
    for index, (a, b) in enumerate(zip(old, masks_of(folder), strict=True)):
        if index in (0, 13):
            assert np.array_equal(a, b)
        assert np.array_equal((a == 2) & (b != 1), b == 2)
        assert rows[index]["areas"] == {str(i): int((b == i).sum()) for i in (1, 2)}
    painted = off(one(film, 6)) == 1
    assert (masks_of(folder)[6][painted] == 1).all()


def test_an_object_can_be_lost_and_another_one_new(tracker, film, keyframed, tmp_path):
    folder = shutil.copytree(keyframed, tmp_path / "out")
    correct(tracker, folder, Marks.of(lost=[LostMark(1, 10)]))
    assert not (folder / "marks" / "00010.png").exists()
    assert not masks_of(folder)[10].any()
    row = json.loads((folder / "result.json").read_text())["frames"][10]
    assert row["present"] == {"1": False} and row["areas"] == {"1": 0}
    done = correct(
        tracker, folder, Marks.of(masks={3: one(film, 3, 2)}, points=[PointMark(4, 3, 50, 40)])
    )
    assert done.frames_recomputed == FRAMES
    result = read_result(folder)
    assert result.ids("object") == [1, 2] and result.ids("point") == [4]
    assert (result.mask(3)[one(film, 3, 2) > 0] == 2).all()
    assert all(frame.areas[2] > 0 for frame in result.frames)
    again = correct(tracker, folder, Marks.of(masks={10: one(film, 10)}))
    assert again.frames_recomputed == 8 and (folder / "marks" / "00010.png").exists()
    assert read_result(folder).frames[10].present[1]


@pytest.mark.parametrize("phase", ["correct", "draw"])
def test_interrupted_it_leaves_the_run_as_it_was(tracker, film, keyframed, tmp_path, phase):
    folder = shutil.copytree(keyframed, tmp_path / "out")
    before = contents(folder)

    def press(what: str, count: int, _: int | None) -> None:
        if what == phase and count == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match=r"interrupted; .*out is as it was"):
        correct(tracker, folder, Marks.of(masks={10: one(film, 10)}), progress=press)
    assert contents(folder) == before
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


def test_only_one_direction(tracker, film, clip, tmp_path):
    masks = {0: one(film, 0), 9: one(film, 9)}
    for direction in ("forward", "backward"):
        folder, fresh = tmp_path / direction, tmp_path / f"{direction}-fresh"
        track_to_folder(tracker, clip, Marks.of(masks=masks), output=folder, direction=direction)
        done = correct(tracker, folder, Marks.of(masks={5: one(film, 5)}))
        assert done.frames_recomputed == 8 and done.frames_tracked <= 10
        more = masks | {5: one(film, 5)}
        track_to_folder(tracker, clip, Marks.of(masks=more), output=fresh, direction=direction)
        assert all(map(np.array_equal, masks_of(folder), masks_of(fresh)))


@pytest.mark.parametrize(
    ("marks", "message"),
    [
        ({}, "expected at least one mark, got none"),
        ({"masks": {10: np.zeros(SIZE, dtype=int)}}, "expected at least one mark, got none"),
        ({"masks": {14: np.ones(SIZE, dtype=int)}}, "frame 14: expected a frame of the run, 0 to"),
        ({"masks": {3: np.ones((5, 6), dtype=int)}}, "expected the video's 96x64 pixels, got 6x"),
        ({"points": [PointMark(1, 3, 200, 3)]}, "point 1 on frame 3: expected a place inside"),
        ({"lost": [LostMark(8, 3)]}, r"expected one of the painted ids \[1\], got 8"),
        ({"points": [PointMark(1, 3, 2, 3)], "video": "no.mkv"}, "no.mkv"),
    ],
)
def test_marks_that_make_no_sense(tracker, keyframed, marks, message):
    before = contents(keyframed)
    marks = dict(marks)
    video = marks.pop("video", None)
    with pytest.raises(InputError, match=message):
        correct(tracker, keyframed, Marks.of(**marks), video=video)
    assert contents(keyframed) == before


def test_runs_and_videos_that_do_not_fit(tracker, film, keyframed, tmp_path):
    with pytest.raises(InputError, match=r"no result\.json"):
        correct(tracker, tmp_path, Marks.of(masks={0: film[0].mask}))
    other = write_clip(tmp_path / "other.mkv", moving_clip(frames=3, size=(40, 60)))
    with pytest.raises(InputError, match="expected 96x64 pixels as in the run, got 60x40"):
        correct(tracker, keyframed, Marks.of(masks={10: one(film, 10)}), video=other)
    short = write_clip(tmp_path / "short.mkv", film[:12])
    folder = shutil.copytree(keyframed, tmp_path / "out")
    before = contents(folder)
    with pytest.raises((InputError, DamagedVideoError)):
        correct(tracker, folder, Marks.of(masks={2: one(film, 2)}), video=short)
    assert contents(folder) == before
    with pytest.warns(UserWarning, match="made with another size"):
        config = TrackConfig(size=40)
        odd = Tracker.from_pretrained("small", device="cpu", config=config)
        correct(odd, folder, Marks.of(masks={12: one(film, 12)}))


def test_a_folder_without_write_access(tracker, film, keyframed, monkeypatch):
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(OutputError, match="cannot be written"):
        correct(tracker, keyframed, Marks.of(masks={10: one(film, 10)}))


def test_the_tracker_of_a_run_is_made_again(tracker, film, keyframed, tmp_path):
    again = tracker_of(keyframed, device="cpu")
    assert again.config == tracker.config and again.model == "small"
    folder = shutil.copytree(keyframed, tmp_path / "out")
    data = json.loads((folder / "result.json").read_text())
    for name in ("mirror", "square", "long_multiple", "upsample", "stretch", "protocol"):
        del data["config"][name]  # a run of an earlier version
    later = ("pinned", "fill", "restrict_recent", "similarity", "faint", "harden")
    for name in (*later, "moved_after", "moved_dilation"):
        del data["config"]["propagate"][name]
    (folder / "result.json").write_text(json.dumps(data))
    assert tracker_of(folder, device="cpu").config == tracker.config
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        correct(tracker, folder, Marks.of(masks={12: one(film, 12)}))
    data = json.loads((folder / "result.json").read_text())
    del data["config"]["adapt"]
    (folder / "result.json").write_text(json.dumps(data))
    with pytest.raises(InputError, match="its settings are not those of this version"):
        tracker_of(folder)


def test_masks_are_named_with_their_frame(tmp_path):
    mask = np.eye(6, dtype=int) * 3
    write_mask(tmp_path / "M.png", mask)
    name = str(tmp_path / "M.png")
    assert masks_at([f"{name}@4", f"{name}@012"]) == {4: name, 12: name}
    found = read_masks_at([f"{name}@4", f"{name}@012"])
    assert list(found) == [4, 12] and np.array_equal(found[12], mask)
    for wrong in ("M.png", "M.png@", "@3", "M.png@x", "M.png@-1"):
        with pytest.raises(InputError, match="expected PNG@FRAME with FRAME counted from 0"):
            masks_at([wrong])
    with pytest.raises(InputError, match="one mask for frame 4, got two"):
        masks_at([f"{name}@4"] * 2)


places = st.one_of(st.none(), st.tuples(st.floats(0, 50), st.floats(0, 50)))
point_marks = st.dictionaries(st.tuples(st.integers(1, 3), st.integers(0, 20)), places)


def as_marks(told: dict) -> Marks:
    return Marks(points=[PointMark(i, f, *(xy or (None, None))) for (i, f), xy in told.items()])


@given(old=point_marks, new=point_marks)
def test_later_marks_hold_and_others_stay(old, new):
    merged = as_marks(old).merged_with(as_marks(new))
    assert {(m.id, m.frame): (m.x, m.y) for m in merged.points} == {
        key: xy or (None, None) for key, xy in (old | new).items()
    }


@given(told=point_marks, gone=st.sets(st.tuples(st.integers(1, 3), st.integers(0, 20))))
def test_what_is_taken_away_is_said_no_more_and_all_else_is(told, gone):
    left = as_marks(told).without({(("point", i, 0), frame) for i, frame in gone})
    assert {(m.id, m.frame) for m in left.points} == set(told) - gone
    poses = [KeypointMark(1, 2, np.array([[1.0, 2], [3, 4]]), np.zeros(2, bool))]
    masks = {0: np.array([[1, 2, 0]]), 2: np.array([[2, 2, 0]])}
    marks = Marks.of(masks=masks, keypoints=poses, lost=[LostMark(1, 3)])
    left = marks.without([(("object", 2, 0), 2), (("joint", 1, 0), 2), (("object", 1, 0), 3)])
    assert left.labels() == {
        ("object", 1, 0): {0},
        ("object", 2, 0): {0},
        ("joint", 1, 1): {2},
    }


@given(old=point_marks, new=point_marks.filter(bool))
def test_spans_hold_the_new_marks_and_end_at_kept_ones(old, new):
    merged = as_marks(old).merged_with(as_marks(new))
    spans = find_spans(merged, as_marks(new), first=0, last=20)
    for i, frame in new:
        span = [s for s in spans if ("point", i, 0) in s.labels and s.first <= frame <= s.last]
        assert len(span) == 1
        shown = {f for (k, f), xy in old.items() if k == i and xy and (k, f) not in new}
        assert not shown & set(range(span[0].first, span[0].last + 1))
        assert span[0].left in shown or (span[0].left is None and span[0].first == 0)
        assert span[0].right in shown or (span[0].right is None and span[0].last == 20)
    assert {name for s in spans for name in s.labels} == set(as_marks(new).labels())


def test_marks_of_one_frame_are_merged_object_by_object():
    under, over = np.zeros((4, 6), dtype=int), np.zeros((4, 6), dtype=int)
    under[:, :3], under[:, 3:5] = 1, 2
    over[1:3, 2:4] = 1
    old = Marks({5: under, 8: under}, lost=[LostMark(1, 9), LostMark(2, 9)])
    merged = old.merged_with(Marks({5: over, 9: over}, lost=[LostMark(1, 8), LostMark(2, 8)]))
    expected = np.where(over == 1, 1, np.where(under == 2, 2, 0))
    assert np.array_equal(merged.masks[5], expected)
    assert sorted(merged.masks) == [5, 9] and np.array_equal(merged.masks[9], over)
    assert merged.lost == [LostMark(1, 8), LostMark(2, 8), LostMark(2, 9)]


def test_joints_are_merged_one_by_one_and_picked():
    nan = np.nan
    old = KeypointMark(1, 3, np.array([[1.0, 2], [3, 4], [nan, nan]]), np.array([0, 0, 1], bool))
    new = KeypointMark(1, 3, np.array([[nan, nan], [9, 9], [5, 6.0]]), np.array([1, 0, 0], bool))
    (pose,) = Marks(keypoints=[old]).merged_with(Marks(keypoints=[new])).keypoints
    assert np.array_equal(pose.joints, [[nan, nan], [9, 9], [5, 6]], equal_nan=True)
    assert pose.lost.tolist() == [True, False, False]
    some = Marks(keypoints=[pose], points=[PointMark(1, 3, 0, 0)]).restricted_to([("joint", 1, 1)])
    assert some.labels() == {("joint", 1, 1): {3}} and not some.points
    assert channel_names(some.layout()) == [("joint", 1, 1)]


@pytest.mark.parametrize(
    ("inside", "value"),
    [
        (("propagate", "fill"), float("nan")),
        (("propagate", "top_k"), 2.5),
        (("propagate", "recent"), 10**400),
        (("propagate", "radius_shape"), "cube"),
        (("propagate", "temperature"), float("inf")),
        (("propagate", "temperature"), "0.05"),
        (("propagate", "pinned"), 3),
        (("propagate",), [1]),
        (("propagate", "colour"), 1),
        (("size",), True),
        (("size",), 3),
        (("stride",), 5),
        (("adapt",), None),
        (("stretch",), 1),
        ((), None),
    ],
)
def test_settings_of_another_type_are_refused(keyframed, tmp_path, inside, value):
    folder = shutil.copytree(keyframed, tmp_path / "out")
    data = json.loads((folder / "result.json").read_text())
    *place, last = ("config", *inside)
    target = data
    for key in place:
        target = target[key]
    target[last] = value
    (folder / "result.json").write_text(json.dumps(data))
    with pytest.raises(InputError, match=r"result\.json: config.*track the video again"):
        tracker_of(folder, device="cpu")


@pytest.mark.parametrize(("key", "value"), [("end", "9"), ("end", 1.5), ("direction", "up")])
def test_a_range_of_another_type_is_refused(tracker, film, keyframed, tmp_path, key, value):
    folder = shutil.copytree(keyframed, tmp_path / "out")
    data = json.loads((folder / "result.json").read_text())
    data["config"][key] = value
    (folder / "result.json").write_text(json.dumps(data))
    before = contents(folder)
    with pytest.raises(InputError, match=r"result\.json: config: its settings are not those"):
        correct(tracker, folder, Marks.of(masks={10: one(film, 10)}))
    assert contents(folder) == before


def test_only_a_part_is_done_again_and_the_rest_when_that_is_all(tracker, film, clip, tmp_path):
    first = off(one(film, 0))
    saved = tmp_path / "saved"
    track_to_folder(tracker, clip, Marks.of(masks={0: first, 13: one(film, 13)}), output=saved)
    held, whole = (shutil.copytree(saved, tmp_path / name) for name in ("held", "whole"))
    new = Marks.of(masks={6: one(film, 6)})
    done = correct(tracker, held, new, start=4, end=9)
    correct(tracker, whole, new)
    assert done.frames_recomputed == 5 and len(done.spans) == 1
    before, wanted, found = (masks_of(folder) for folder in (saved, whole, held))
    for frame in range(FRAMES):
        is_inside = 4 <= frame < 9
        assert np.array_equal(found[frame], (wanted if is_inside else before)[frame]), frame
    assert any(not np.array_equal(before[i], wanted[i]) for i in (1, 2, 3, 9, 10))
    rows = [json.loads((f / "result.json").read_text())["frames"] for f in (saved, held, whole)]
    assert rows[1][9:13] == rows[0][9:13] and rows[1][4:9] == rows[2][4:9]
    label = ("object", 1, 0)
    left = [
        Unfinished(label, 1, 3, 1, held=True),
        Unfinished(label, 1, 12, 9, held=True),
    ]
    assert list(done.unfinished) == left
    assert read_unfinished(json.loads((held / "result.json").read_text())) == left
    # By more than the same marks, what was left stays.
    again = shutil.copytree(held, tmp_path / "again")
    point = PointMark(1, 6, *film[6].centres[1])
    correct(tracker, again, dataclasses.replace(new, points=(point,)))
    assert all(map(np.array_equal, masks_of(again), found))
    # By them alone, it is done as well; a part of it in a part.
    correct(tracker, held, new, start=0, end=3)
    assert np.array_equal(masks_of(held)[3], before[3])
    assert np.array_equal(masks_of(held)[2], wanted[2])
    correct(tracker, held, new)
    assert all(map(np.array_equal, masks_of(held), wanted))
    assert read_unfinished(json.loads((held / "result.json").read_text())) == []


def test_a_thing_may_be_new_in_a_part_only(tracker, film, all_kinds, tmp_path):
    folder = shutil.copytree(all_kinds, tmp_path / "out")
    number = 7
    new = Marks.of(
        masks={6: np.where(film[6].mask == 2, number, 0)},
        points=[PointMark(number, 6, *film[6].centres[1])],
        boxes=[BoxMark(number, 6, 10, 10, 20, 20)],
    )
    correct(tracker, folder, new, start=5, end=9)
    result = read_result(folder)
    for frame in range(FRAMES):
        assert (number in result.mask(frame)) <= (5 <= frame < 9), frame
    assert number in result.mask(6)
    for kind in ("point", "box"):
        rows = [line.split(",") for line in (folder / TABLES[kind]).read_text().splitlines()[1:]]
        assert {int(row[1]) for row in rows if int(row[0]) == number} == set(range(5, 9))


@pytest.mark.parametrize(
    ("start", "end", "message"),
    [
        (7, 20, "start, end: expected frames of the run, 0 <= start < end <= 14; got 7 and 20"),
        (7, 7, "start, end: expected frames of the run"),
        (-1, None, "start, end: expected frames of the run"),
        (7, None, "mask of frame 6: expected a frame of the part, 7 to 13"),
        (None, 6, "mask of frame 6: expected a frame of the part, 0 to 5"),
    ],
)
def test_a_part_that_makes_no_sense(tracker, film, keyframed, start, end, message):
    before = contents(keyframed)
    with pytest.raises(InputError, match=re.escape(message)):
        correct(tracker, keyframed, Marks.of(masks={6: one(film, 6)}), start=start, end=end)
    assert contents(keyframed) == before


def test_nothing_to_do_in_a_part(tracker, film, keyframed, tmp_path):
    folder = shutil.copytree(keyframed, tmp_path / "out")
    new = Marks.of(masks={6: one(film, 6)})
    correct(tracker, folder, new, start=5, end=8)
    with pytest.raises(InputError, match="nothing is to be done again on frames 0 to 3"):
        correct(tracker, folder, new, start=0, end=4)
