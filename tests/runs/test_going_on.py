"""A correction that goes on: only the rest is done, and all is as if it had not been stopped."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic import moving_clip, write_clip

from chromatrack.formats.masks import read_mask
from chromatrack.propagation.propagate import PropagateConfig
from chromatrack.runs.affected_spans import find_spans
from chromatrack.runs.correct import correct, plan_correction
from chromatrack.runs.file_names import TABLES
from chromatrack.runs.going_on import kept_file, known_already, spans_left
from chromatrack.runs.unfinished import Unfinished, read_unfinished
from chromatrack.runs.writer import track_to_folder
from chromatrack.structures import BoxMark, KeypointMark, LostMark, PointMark, Skeleton
from chromatrack.tracking import close_up
from chromatrack.tracking.config import TrackConfig
from chromatrack.tracking.marks import Marks
from chromatrack.tracking.tracker import Tracker

FRAMES = 12
LAST = FRAMES - 1
SKELETON = Skeleton(("left", "right"), ((0, 1),))


class Progress:
    """What is told; interrupts at `count` of a stage."""

    def __init__(self, stage="", count=0):
        self.stop, self.told = (stage, count), []

    def __call__(self, what, done, total):
        self.told.append((what, done, total))
        if (what, done) == self.stop:
            raise KeyboardInterrupt

    def of(self, stage):
        return [told[1:] for told in self.told if told[0] == stage]


def upto(total):
    return [(n, total) for n in range(1, total + 1)]


def contents(folder):
    """All that a run says, but for the times that it took."""
    paths = [*(folder / name for name in TABLES.values()), *sorted((folder / "masks").glob("*"))]
    found = {path.name: path.read_bytes() for path in paths if path.exists()}
    result = json.loads((folder / "result.json").read_text())
    return found, {name: value for name, value in result.items() if name != "timings"}


def masks_of(folder):
    return [read_mask(folder / "masks" / f"{i:05d}.png") for i in range(FRAMES)]


def left_in(folder):
    return [(u.label[0], u.begin) for u in read_unfinished(contents(folder)[1])]


@pytest.fixture(scope="module")
def tracker():
    config = TrackConfig(size=64, propagate=PropagateConfig(recent=2, radius=8, recent_radius=4))
    return Tracker.from_pretrained("small", device="cpu", config=config)


@pytest.fixture(scope="module")
def film():
    return moving_clip(frames=FRAMES, size=(64, 96), objects=2, radius=11, velocity=(0.5, 1.2))


@pytest.fixture(scope="module")
def run(tracker, film, tmp_path_factory):
    """A run with everything marked on frame 0, too far up and left."""
    place = tmp_path_factory.mktemp("run")
    video = write_clip(place / "clip.mkv", film)
    marks = everything(film, 0, off=(-6, -4))
    track_to_folder(tracker, video, marks, output=place / "out", outputs=("masks", "tracks"))
    return place / "out"


def everything(film, frame, off=(0, 0)):
    """Marks of all kinds on a frame."""
    (x, y), (u, v) = film[frame].centres[1] + np.array(off), film[frame].centres[2] + np.array(off)
    joints = np.array([[x - 5, y], [x + 5, y + 3]])
    return Marks.of(
        masks={frame: np.roll(film[frame].mask, off[::-1], axis=(0, 1))},
        points=[PointMark(5, frame, x, y)],
        boxes=[BoxMark(3, frame, u - 13, v - 13, 27, 27)],
        keypoints=[KeypointMark(2, frame, joints, np.zeros(2, dtype=bool))],
        skeleton=SKELETON,
    )


@pytest.fixture(scope="module")
def stopped(tracker, film, run, tmp_path_factory):
    """The run, its correction on frame 9 stopped when frames 1 to 6 were done."""
    folder = shutil.copytree(run, tmp_path_factory.mktemp("stopped") / "out")
    correct(tracker, folder, everything(film, 9), progress=Progress("correct", 6), keep_done=True)
    assert {begin for _, begin in left_in(folder)} == {7}
    return folder


@pytest.fixture(scope="module")
def whole(tracker, film, run, tmp_path_factory):
    """The run, corrected on frame 9 in one go."""
    folder = shutil.copytree(run, tmp_path_factory.mktemp("whole") / "out")
    done = correct(tracker, folder, everything(film, 9))
    assert (done.frames_recomputed, done.frames_tracked) == (LAST, 9 + FRAMES)
    return folder


def test_only_the_rest_is_done_and_it_is_as_if_never_stopped(
    tracker, film, stopped, whole, tmp_path
):
    folder, told = shutil.copytree(stopped, tmp_path / "out"), Progress()
    before = [folder / "masks" / f"{i:05d}.png" for i in range(7)]
    kept = [(path.read_bytes(), path.stat().st_mtime_ns) for path in before]
    plan = plan_correction(folder, everything(film, 9))
    assert plan.stages == (("backward", 3), ("correct", 5), ("draw", FRAMES))
    done = correct(tracker, folder, everything(film, 9), progress=told)
    assert told.of("backward") == upto(3)  # 9, 8, 7
    assert told.of("correct") == upto(5)  # 7 to 11
    assert (done.frames_recomputed, done.frames_tracked) == (5, 8)
    assert (plan.frames, plan.steps) == (5, 8)
    assert contents(folder) == contents(whole)
    assert [(path.read_bytes(), path.stat().st_mtime_ns) for path in before] == kept
    assert not kept_file(folder).parent.exists()


@pytest.mark.parametrize("spoil", ["gone", "cut", "another video"])
def test_without_what_was_kept_the_pass_is_made_anew_and_its_frames_stay(
    tracker, film, stopped, whole, tmp_path, spoil
):
    folder, told = shutil.copytree(stopped, tmp_path / "out"), Progress()
    path, video = kept_file(folder), None
    if spoil == "gone":
        path.unlink()
    elif spoil == "cut":
        path.write_bytes(path.read_bytes()[:-20])
    else:
        video = write_clip(tmp_path / "other name.mkv", film)
    plan = plan_correction(folder, everything(film, 9), video=video)
    done = correct(tracker, folder, everything(film, 9), video=video, progress=told)
    assert told.of("backward") == upto(3) and told.of("correct") == upto(LAST)
    assert done.frames_tracked == plan.steps == 3 + FRAMES
    assert done.frames_recomputed == plan.frames == 5
    assert contents(folder) == contents(whole)


@pytest.mark.slow
def test_several_stops_in_a_row(tracker, film, stopped, whole, tmp_path):
    folder, new = shutil.copytree(stopped, tmp_path / "out"), everything(film, 9)
    looks = []
    for begin in range(7, LAST):
        before = contents(folder)
        with pytest.raises(KeyboardInterrupt, match="as it was"):  # nothing is done yet
            told = Progress("backward" if begin <= 9 else "correct", 1)
            correct(tracker, folder, new, progress=told, keep_done=begin <= 9)
        assert contents(folder) == before and kept_file(folder).exists()
        told = Progress("correct", 1)
        done = correct(tracker, folder, new, progress=told, keep_done=True)
        assert {at for _, at in left_in(folder)} == {begin + 1}
        assert told.of("correct")[0] == (1, FRAMES - begin)
        looks.append(done.frames_tracked)
    assert looks == [3 + 1, 2 + 1, 1 + 1, 1]
    correct(tracker, folder, new)
    assert contents(folder) == contents(whole)


def assert_close(folder, other):
    """As if done in another order: a pass that begins at a keyframe forgets a little."""
    for mine, wanted in zip(masks_of(folder), masks_of(other), strict=True):
        for number in (1, 2):
            both = ((mine == number) & (wanted == number)).sum()
            assert both >= 0.98 * ((mine == number) | (wanted == number)).sum()
    for kind, columns in (("point", slice(2, 5)), ("box", slice(2, 7))):
        mine, wanted = (np.genfromtxt(f / TABLES[kind], delimiter=",") for f in (folder, other))
        assert np.allclose(mine[1:, columns], wanted[1:, columns], atol=0.02)


@pytest.mark.parametrize(
    ("frame", "looks"),
    [(10, 3 + 3 + 2 + 2), pytest.param(8, 9 + 9 + 1 + 3, marks=pytest.mark.slow), (4, 22)],
)
def test_a_mark_made_meanwhile_is_as_if_made_after(
    tracker, film, stopped, whole, tmp_path, frame, looks
):
    """After the stop behind the mark, after it before that, and before the stop."""
    folder, other = (
        shutil.copytree(path, tmp_path / name) for path, name in ((stopped, "a"), (whole, "b"))
    )
    first = [path.read_bytes() for path in sorted((folder / "masks").glob("*"))[:7]]
    new = everything(film, frame, off=(2, 1))
    done = correct(tracker, folder, everything(film, 9).merged_with(new))
    correct(tracker, other, new)
    assert left_in(folder) == []
    assert done.frames_tracked == looks
    assert_close(folder, other)
    for index in range(FRAMES):
        if frame > 9 and index < 7:
            assert (folder / "masks" / f"{index:05d}.png").read_bytes() == first[index]
        elif frame < 9 and index < 9:
            name = f"masks/{index:05d}.png"
            assert (folder / name).read_bytes() == (other / name).read_bytes()


def test_behind_the_mark_what_was_not_kept_begins_there(tracker, film, stopped, whole, tmp_path):
    folder, new = shutil.copytree(stopped, tmp_path / "out"), everything(film, 9)
    correct(tracker, folder, new, progress=Progress("correct", 4), keep_done=True)
    assert {begin for _, begin in left_in(folder)} == {11}
    kept_file(folder).unlink()
    done = correct(tracker, folder, new)
    assert (done.frames_recomputed, done.frames_tracked) == (1, 3)  # 9 and 10 for their memory
    assert_close(folder, whole)


def test_other_marks_leave_it_to_be_done(tracker, film, stopped, whole, tmp_path):
    folder, other = (
        shutil.copytree(path, tmp_path / name) for path, name in ((stopped, "a"), (whole, "b"))
    )
    new = Marks.of(points=[PointMark(8, 5, 40, 30)])
    for path in (folder, other):
        correct(tracker, path, new)
    assert {begin for _, begin in left_in(folder)} == {7}
    done = correct(tracker, folder, everything(film, 9))
    assert done.frames_tracked == 3 + 5  # the pass is still known
    (files, mine), (others, wanted) = contents(folder), contents(other)
    assert files == others
    told = [one.pop("place_reliability") for one in (*mine["frames"], *wanted["frames"])]
    assert mine == wanted
    for one, another in zip(told[:FRAMES], told[FRAMES:], strict=True):  # rounded, each by itself
        assert flat(one) == pytest.approx(flat(another), abs=2e-5, nan_ok=True)


def flat(told):
    """All numbers of nested JSON, by key and in order."""
    if isinstance(told, dict | list):
        inner = [told[key] for key in sorted(told)] if isinstance(told, dict) else told
        return [number for one in inner for number in flat(one)]
    return [np.nan if told is None else told]


@pytest.mark.parametrize(
    ("direction", "begin", "looks"),
    [
        ("forward", 3, 9),
        pytest.param("backward", 3, 7, marks=pytest.mark.slow),
        ("backward", 10, 0),
    ],
)
def test_one_way_runs_go_on_too(tracker, film, tmp_path, direction, begin, looks):
    video = write_clip(tmp_path / "clip.mkv", film)
    new = Marks({9: np.where(film[9].mask == 1, 1, 0)})
    first = Marks({0: np.roll(np.where(film[0].mask == 1, 1, 0), (-4, -6), axis=(0, 1))})
    for name in ("a", "b"):
        track_to_folder(
            tracker,
            video,
            first,
            output=tmp_path / name,
            outputs=("masks", "tracks"),
            direction=direction,
        )
    stop = Progress("correct", begin - 1)
    correct(tracker, tmp_path / "a", new, progress=stop, keep_done=True)
    assert kept_file(tmp_path / "a").exists() == (direction == "forward")
    told = Progress()
    done = correct(tracker, tmp_path / "a", new, progress=told)
    correct(tracker, tmp_path / "b", new)
    assert told.of("correct") == upto(FRAMES - begin) and done.frames_tracked == looks
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_a_second_span_that_was_not_begun_is_done_whole(tracker, film, run, tmp_path):
    folder, other = (shutil.copytree(run, tmp_path / name) for name in "ab")
    first, new = Marks(points=[PointMark(5, 6, 40, 30)]), Marks(points=[PointMark(5, 3, 30, 30)])
    new = new.merged_with(Marks({9: np.where(film[9].mask == 1, 1, 0)}))
    for path in (folder, other):
        correct(tracker, path, first)
    stop = Progress("correct", 4)  # of the first of two: all of the object, the point up to 5
    done = correct(tracker, folder, new, progress=stop, keep_done=True)
    assert len(done.spans) == 2 and len(left_in(folder)) == 2
    correct(tracker, other, new)
    done = correct(tracker, folder, new)
    assert left_in(folder) == [] and contents(folder) == contents(other)


def test_small_things_in_windows_begin_anew(tracker, film, tmp_path, monkeypatch):
    monkeypatch.setattr(close_up, "_WINDOW", close_up._WINDOW // 2)  # a quarter of the work
    speck = [np.zeros((64, 96), dtype=np.int32) for _ in range(2)]
    speck[0][20:23, 30:33] = speck[1][21:24, 31:34] = 1
    video = write_clip(tmp_path / "clip.mkv", film)
    for name in ("a", "b"):
        track_to_folder(
            tracker,
            video,
            Marks({0: speck[0]}),
            output=tmp_path / name,
            outputs=("masks", "tracks"),
        )
    new = Marks({6: speck[1]})
    correct(tracker, tmp_path / "a", new, progress=Progress("correct", 4), keep_done=True)
    assert not kept_file(tmp_path / "a").exists()
    done = correct(tracker, tmp_path / "a", new)
    correct(tracker, tmp_path / "b", new)
    assert (done.frames_recomputed, done.frames_tracked) == (7, 2 + FRAMES)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


# -- what is known already -------------------------------------------------------------------


def test_what_is_said_again_is_known(film):
    marks = everything(film, 4)
    marks = marks.merged_with(Marks(lost=[LostMark(2, 6)], points=[PointMark(5, 7, None, None)]))
    every = {(label, frame) for label, frames in marks.labels().items() for frame in frames}
    assert known_already(marks, marks) == every
    assert known_already(Marks(), marks) == set()
    moved = everything(film, 4, off=(1, 0))
    assert known_already(marks, moved) == set()
    one = Marks({4: np.where(film[4].mask == 2, 2, 0)})
    assert known_already(marks, one) == {(("object", 2, 0), 4)}
    assert known_already(marks, Marks(lost=[LostMark(2, 4)])) == set()


frames = st.integers(0, 20)


@given(
    marked=st.sets(frames, min_size=1),
    new=st.sets(frames, max_size=2),
    ends=st.tuples(frames, frames, frames).map(sorted),
)
def test_what_is_left_is_done_once_and_from_where_it_can(marked, new, ends):
    first, begin, last = ends
    label = ("point", 1, 0)
    merged = Marks(points=[PointMark(1, f, 3.0, 4.0) for f in sorted(marked | new)])
    changed = find_spans(
        merged, Marks(points=[PointMark(1, f, 3.0, 4.0) for f in new]), first=0, last=20
    )
    spans = spans_left([Unfinished(label, first, last, begin)], merged, changed, first=0)
    done = [f for span in spans for f in range(span.start, span.last + 1)]
    others = {f for span in changed for f in range(span.first, span.last + 1)}
    assert sorted(done) == sorted(set(range(begin, last + 1)) - others)
    for span in spans:
        assert span.first <= span.start and span.forward_from <= span.start
        known = {f for f in marked | new if f <= span.start}
        if span.start == first and first - 1 in known:
            known = {first - 1}
        assert span.forward_from == max(known, default=0) or not known
        assert span.right is None or span.right >= span.last
