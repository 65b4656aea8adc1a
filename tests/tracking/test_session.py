"""Live sessions: equal to tracking a clip, changed on the way, in bounded memory."""

from __future__ import annotations

import re
import runpy
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from synthetic import moving_clip, write_clip

from chromatrack.errors import InputError
from chromatrack.formats.masks import write_mask
from chromatrack.propagation.layout import Layout
from chromatrack.propagation.propagate import PropagateConfig
from chromatrack.runs.writer import track_to_folder
from chromatrack.structures import BoxMark, KeypointMark, PointMark
from chromatrack.tracking.config import TrackConfig
from chromatrack.tracking.inference import TrackedFrame
from chromatrack.tracking.marks import Marks
from chromatrack.tracking.session import Session, start_session
from chromatrack.tracking.tracker import Tracker

SIZE = (72, 104)
ROOT = Path(__file__).parents[2]
JOINTS = np.array([[40.0, 30.0], [np.nan, np.nan], [60.0, 40.0]])


@pytest.fixture
def tracker(tiny_encoder) -> Tracker:
    propagate = PropagateConfig(radius=3, recent_radius=3, top_k=3, temperature=1e-2)
    return Tracker(tiny_encoder, device="cpu", config=TrackConfig(size=72, propagate=propagate))


@pytest.fixture(scope="module")
def film():
    """Eight frames with two objects, ids 7 and 200."""
    frames = moving_clip(frames=8, size=SIZE, objects=2, radius=15, velocity=(2, 1))
    for frame in frames:
        frame.mask[:] = np.array([0, 7, 200])[frame.mask]
    return frames


@pytest.fixture(scope="module")
def trained() -> Tracker:
    return Tracker.from_pretrained("small", device="cpu", config=TrackConfig(size=144))


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


def same(a: TrackedFrame, b: TrackedFrame, *, close: float = 0) -> None:
    """Both frames say the same: exactly, or places to `close` px and all else to its 20th."""
    assert a.index == b.index
    assert (a.mask != b.mask).mean() <= close / 20
    assert set(a.areas) == set(b.areas) and set(a.points) == set(b.points)
    for mine, other in ((a.confidence, b.confidence), (a.entropy, b.entropy)):
        assert mine.keys() == other.keys()
        assert all(abs(mine[i] - other[i]) <= close / 20 for i in mine)
    for i, point in a.points.items():
        twin = b.points[i]
        assert abs(point.x - twin.x) <= close and abs(point.y - twin.y) <= close
        assert point.visible == twin.visible
    assert a.boxes.keys() == b.boxes.keys()
    for i, box in a.boxes.items():
        twin = b.boxes[i]
        told = np.array([(m.x, m.y, m.width, m.height) for m in (box, twin)])
        assert np.abs(told[0] - told[1]).max() <= close
    assert a.keypoints.keys() == b.keypoints.keys()
    for i, pose in a.keypoints.items():
        assert np.allclose(pose.joints, b.keypoints[i].joints, rtol=0, atol=close, equal_nan=True)


def everything(film) -> dict:
    return {
        "masks": film[0].mask,
        "points": {1: (50.5, 40.25), 9: (30.0, 20.0)},
        "boxes": {4: (20.0, 20.0, 30.0, 30.0)},
        "keypoints": {2: JOINTS},
    }


def test_a_session_gives_what_tracking_the_clip_gives(tracker, film, tmp_path):
    clip = write_clip(tmp_path / "clip", film)
    marks = everything(film)
    tracked = list(
        tracker.track(
            clip,
            masks=marks["masks"],
            points=[PointMark(i, 0, *xy) for i, xy in marks["points"].items()],
            boxes=[BoxMark(4, 0, *marks["boxes"][4])],
            keypoints=[KeypointMark(2, 0, JOINTS, np.zeros(3, dtype=bool))],
        )
    )
    session = start_session(tracker.embedder, film[0].rgb, **marks)
    same(session.result, tracked[0])
    for frame, expected in zip(film[1:], tracked[1:], strict=True):
        same(session.step(frame.rgb, pts_seconds=frame.index / 24), expected)
        assert session.result.rgb is not frame.rgb
        assert np.array_equal(session.result.rgb, frame.rgb)


def test_things_added_on_the_first_frame_are_as_if_given_at_once(tracker, film):
    marks = everything(film)
    at_once = start_session(tracker.embedder, film[0].rgb, **marks)
    piecewise = start_session(tracker.embedder, film[0].rgb)
    assert len(piecewise.layout) == 1 and not piecewise.result.mask.any()
    for kind in ("points", "masks", "keypoints", "boxes"):
        piecewise.add(**{kind: marks[kind]})
    assert piecewise.layout == at_once.layout
    for frame in film[1:4]:
        same(piecewise.step(frame.rgb), at_once.step(frame.rgb))


def test_what_comes_later_leaves_the_rest_as_it_was(tracker, film):
    """Points and boxes share no cells with others: their channels move, their places hardly."""
    points = {1: (50.5, 40.25), 9: (30.0, 20.0)}
    plain = start_session(tracker.embedder, film[0].rgb, points=points, boxes={4: (20, 20, 30, 30)})
    busy = start_session(tracker.embedder, film[0].rgb, points=points, boxes={4: (20, 20, 30, 30)})
    for frame in film[1:3]:
        plain.step(frame.rgb)
        busy.step(frame.rgb)
    busy.add(points={5: (70.0, 30.0)}, boxes={1: (60, 30, 20, 20)})
    busy.remove("point", 5)
    busy.remove("box", 1)
    assert busy.layout == plain.layout
    for frame in film[3:6]:
        same(busy.step(frame.rgb), plain.step(frame.rgb), close=0.5)


def test_an_object_added_later_is_tracked_from_there(trained, film):
    first = np.where(film[0].mask == 7, 7, 0)
    session = start_session(trained.embedder, film[0].rgb, masks=first)
    for frame in film[1:4]:
        session.step(frame.rgb)
    added = session.add(masks=np.where(film[3].mask == 200, 200, 0))
    assert added.index == 3 and set(added.areas) == {7, 200}
    assert (added.mask[film[3].mask == 200] == 200).all()
    later = session.step(film[4].rgb)
    assert overlap(film[4].mask == 200, later.mask == 200) > 0.9
    assert overlap(film[4].mask == 7, later.mask == 7) > 0.7


def test_a_correction_holds_on_its_frame_and_after(trained, film):
    session = start_session(
        trained.embedder, film[0].rgb, masks=film[0].mask, points={1: (50.0, 40.0)}
    )
    for frame in film[1:4]:
        session.step(frame.rgb)
    wrong = session.result
    place = wrong.points[1].x + 12, wrong.points[1].y - 6
    fixed = session.correct(points={1: place})
    assert fixed.index == 3
    assert np.allclose((fixed.points[1].x, fixed.points[1].y), place, atol=1e-3)
    assert fixed.points[1].visible and fixed.points[1].confidence == 1
    moved = np.zeros(SIZE, dtype=int)
    moved[10:30, 60:80] = 7
    again = session.correct(masks=moved)
    assert (again.mask[10:30, 60:80] == 7).all()
    assert np.allclose((again.points[1].x, again.points[1].y), place, atol=1e-3)
    after = session.step(film[3].rgb)
    assert overlap(after.mask == 7, moved == 7) > 0.7
    assert np.hypot(after.points[1].x - place[0], after.points[1].y - place[1]) < 2


def test_a_correction_is_a_keyframe_of_the_clip(tracker, film, tmp_path):
    """As tracking forward with that keyframe, from it on."""
    clip = write_clip(tmp_path / "clip", film)
    mask, later = film[0].mask, film[3].mask
    tracked = list(tracker.track(clip, masks={0: mask, 3: later}, direction="forward"))
    session = start_session(tracker.embedder, film[0].rgb, masks=mask)
    for frame in film[1:4]:
        session.step(frame.rgb)
    session.correct(masks=later)
    for frame, expected in zip(film[4:], tracked[4:], strict=True):
        found = session.step(frame.rgb)
        assert (found.mask != expected.mask).mean() < 0.02


def test_lost_and_found_again_by_hand(tracker, film):
    marks = everything(film)
    session = start_session(tracker.embedder, film[0].rgb, **marks)
    gone = session.lost(7)
    assert gone.areas[7] == 0 and gone.present == {7: False, 200: True}
    assert not session.lost(1, kind="point").points[1].visible
    assert session.lost(4, kind="box").boxes.get(4) is None
    hidden = session.lost(2, kind="keypoints", joints=[2]).keypoints[2]
    assert hidden.visible.tolist() == [True, False, False]
    back = session.correct(masks=np.where(film[0].mask == 7, 7, 0), points={1: (50.0, 41.0)})
    assert back.areas[7] > 0 and back.points[1].visible
    assert not back.keypoints[2].visible[2]


def test_things_are_removed(tracker, film):
    session = start_session(tracker.embedder, film[0].rgb, **everything(film))
    session.step(film[1].rgb)
    without = session.remove("object", 7)
    assert 7 not in np.unique(without.mask) and set(without.areas) == {200}
    session.remove("keypoints", 2)
    session.remove("point", 1)
    session.remove("box", 4)
    assert session.layout == Layout((200,), (), (("point", 9, 0),))
    later = session.step(film[2].rgb)
    assert set(later.areas) == {200} and set(later.points) == {9}
    assert not later.boxes and not later.keypoints
    session.remove("object", 200)
    session.remove("point", 9)
    empty = session.step(film[3].rgb)
    assert not empty.mask.any() and not empty.points
    again = session.add(masks=np.where(film[3].mask == 7, 7, 0))
    assert again.areas[7] > 0
    assert session.step(film[4].rgb).areas[7] > 0


def test_without_recall_what_is_lost_stays_so(tiny_encoder, film):
    config = TrackConfig(size=72, redetect=False)
    session = start_session(
        Tracker(tiny_encoder, device="cpu", config=config).embedder,
        film[0].rgb,
        masks=film[0].mask,
    )
    session.step(film[1].rgb)
    assert session.lost(200).areas[200] == 0
    more = np.zeros(SIZE, dtype=int)
    more[:20, :20] = 3
    assert session.add(masks=more, boxes={1: (5, 5, 20, 20)}).areas[3] > 0
    session.remove("object", 7)
    later = session.step(film[2].rgb)
    assert later.areas[200] == 0 and later.areas[3] > 0
    assert session.correct(masks=np.where(film[2].mask == 200, 200, 0)).areas[200] > 0
    assert session.step(film[3].rgb).areas[200] > 0


def tensors_held(session: Session) -> int:
    """Bytes of tensors that a session's state reaches."""
    seen: dict[int, int] = {}
    waiting: list = [session._now, session._before]
    visited: set[int] = set()
    while waiting:
        thing = waiting.pop()
        if id(thing) in visited or isinstance(thing, torch.nn.Module | type):
            continue
        visited.add(id(thing))
        if isinstance(thing, torch.Tensor):
            seen[thing.untyped_storage().data_ptr()] = thing.untyped_storage().nbytes()
        elif isinstance(thing, dict):
            waiting += thing.values()
        elif isinstance(thing, list | tuple) or type(thing).__name__ == "deque":
            waiting += list(thing)
        elif hasattr(thing, "__dict__"):
            waiting += vars(thing).values()
    return sum(seen.values())


def test_memory_does_not_grow_however_often_one_corrects(tracker, film):
    session = start_session(
        tracker.embedder, film[0].rgb, masks=film[0].mask, points={1: (50.0, 40.0)}
    )
    held = []
    for count in range(32):
        frame = film[count % len(film)]
        session.step(frame.rgb)
        session.correct(masks=frame.mask, points={1: (50.0 + count % 3, 40.0)})
        if count % 4 == 0:
            session.add(points={100: (20.0, 20.0)})
            session.remove("point", 100)
        if count in (15, 31):
            held.append(tensors_held(session))
    assert len(session._now.propagator.bank.marked) <= 3
    assert held[1] < 1.05 * held[0]


def test_a_fork_goes_its_own_way(tracker, film):
    session = start_session(tracker.embedder, film[0].rgb, **everything(film))
    session.step(film[1].rgb)
    kept = session._now.fork()
    ahead = session._run.input(session._frame)
    for _ in range(3):
        session._now.step(ahead)
    twin = kept.fork()
    one, two = kept.step(ahead), twin.step(ahead)
    assert one.regions is not None and two.regions is not None
    assert torch.equal(one.regions, two.regions)
    assert one.seen is not None and two.seen is not None
    assert torch.equal(one.seen.xy, two.seen.xy)
    assert twin.propagator.settle.__self__ is twin.labels  # type: ignore[attr-defined]
    assert twin.propagator.encode is session._now.propagator.encode


def test_layouts_grow_behind_and_shrink():
    old = Layout((3, 7), (1,), (("point", 5, 0),))
    more = old.grown(Layout((1, 7), (2,), (("joint", 1, 0), ("point", 5, 0))))
    assert more == Layout((3, 7, 1), (1, 2), (("point", 5, 0), ("joint", 1, 0)))
    assert more.without({("object", 1, 0), ("box", 2, 0), ("joint", 1, 0)}) == old


def test_moved_labels_keep_what_is_known_of_them(tracker, film):
    session = start_session(tracker.embedder, film[0].rgb, **everything(film))
    session.step(film[1].rgb)
    run, old = session._now.fork(), session.layout
    names = ["box 4", "point 9"]
    before = [run.propagator.bank.marked[0].label_map[c].clone() for c in (3, 5)]
    body, track = run.labels.redetector.objects[3], run.labels.boxes.tracks[3]
    run.relabel(old.without({("object", 7, 0), ("point", 1, 0)}).grown(Layout((), (8,), ())))
    assert run.labels.layout.boxes == (4, 8)
    mark = run.propagator.bank.marked[0]
    after = [mark.label_map[c] for c in (2, 4)]
    for name, a, b in zip(names, before, after, strict=True):
        assert torch.equal(a, b), name
    assert mark.trust.tolist()[3] == 0 and not mark.label_map[3].any()
    assert mark.shown is not None and mark.shown.tolist()[:4] == [True, True, True, False]
    assert run.labels.redetector.objects[2].views is body.views
    assert run.labels.boxes.tracks == {2: track}
    assert run.labels.points.count == len(run.labels.points.xy) == 3  # one joint never marked


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda s: s.add(points={1: (5, 5)}), "point 1 is tracked already; use correct"),
        (lambda s: s.add(masks=np.full(SIZE, 7)), "object 7 is tracked already"),
        (lambda s: s.add(), "expected at least one object, point or box, got none"),
        (lambda s: s.add(points={3: (500, 5)}), "point 3 on frame 1: expected a place inside"),
        (lambda s: s.add(masks=np.ones((3, 4), dtype=int)), "expected the video's 104x72 pixels"),
        (lambda s: s.add(points={3: (1, 2, 3)}), "expected 2 numbers, got 3"),
        (lambda s: s.add(keypoints={1: np.zeros(3)}), r"expected \(J, 2\) joints, got \(3,\)"),
        (lambda s: s.correct(points={3: (5, 5)}), r"point 3: is not tracked .*are: 1.*; add it"),
        (lambda s: s.correct(boxes={1: (0, 0, 5, 5)}), "box 1: is not tracked .*: none"),
        (lambda s: s.correct(), "expected at least one"),
        (lambda s: s.lost(8), r"object 8: is not tracked \(ids of its kind that are: 7, 200\)"),
        (lambda s: s.remove("keypoints", 8), "keypoints 8: is not tracked"),
        (lambda s: s.step(np.zeros((8, 8, 3), np.uint8)), "expected a frame of 104x72 .* got 8x8"),
        (lambda s: s.step(np.zeros((*SIZE, 3))), r"\(H, W, 3\) uint8 RGB, got .* float64"),
        (lambda s: s.step(s.result.rgb, pts_seconds=0), "expected pts_seconds after the last"),
    ],
)
def test_what_makes_no_sense_changes_nothing(tracker, film, act, message):
    session = start_session(
        tracker.embedder, film[0].rgb, masks=film[0].mask, points={1: (50.0, 40.0)}
    )
    session.step(film[1].rgb, pts_seconds=0.5)
    before, layout = session.result, session.layout
    with pytest.raises(InputError, match=message):
        act(session)
    assert session.result is before and session.layout == layout
    assert session.step(film[2].rgb, pts_seconds=1).index == 2


def test_times_come_from_the_clock_where_none_are_given(tracker, film):
    session = start_session(tracker.embedder, film[0].rgb, pts_seconds=3.0)
    times = [session.step(film[1].rgb).pts_seconds for _ in range(4)]
    assert all(b > a for a, b in zip([3.0, *times], times, strict=False))
    assert times[-1] < 60
    assert session.step(film[2].rgb, pts_seconds=99.5).pts_seconds == 99.5


def test_the_code_in_the_docs_runs(film, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_clip(tmp_path / "clip.mp4", film)
    write_mask("fixed.png", np.where(film[4].mask == 7, 1, 0))
    mask = np.where(film[0].mask == 7, 1, 0)
    tracker = Tracker.from_pretrained("small", config=TrackConfig(size=72))
    track_to_folder(tracker, "clip.mp4", Marks.of(masks=mask), output="out")
    text = (ROOT / "docs" / "sessions.md").read_text(encoding="utf-8")
    live, saved = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    names: dict = {}
    exec(live, names)
    assert capsys.readouterr().out.splitlines()[-1] == "7"
    assert names["session"].layout == Layout((), (), (("point", 1, 0),))
    exec(saved, names)
    told, seams = capsys.readouterr().out.splitlines()
    assert told == "7 of 8 frames; 12 steps"
    assert seams.startswith("Seams(at_seams=0.")


def test_the_example_runs(tracker, film, tmp_path, capsys):
    clip = write_clip(tmp_path / "clip.mp4", film)
    main = runpy.run_path(str(ROOT / "examples" / "live_session.py"))["main"]
    main(str(clip), "50,40", tracker=tracker)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(film) and lines[0].split()[2:] == ["50.0", "40.0", "1.00"]


def test_what_a_run_would_enlarge_is_warned_of(tracker, film):
    tiny = np.zeros(SIZE, dtype=np.int32)
    tiny[20:22, 30:33], tiny[50:70, 60:90] = 4, 5
    with pytest.warns(UserWarning, match="object 4 covers 6 px of frame 0, .* no close-ups"):
        session = start_session(tracker.embedder, film[0].rgb, masks=tiny)
    with pytest.warns(UserWarning, match=r"box 9 covers 4 px of frame 1, .*\(and 1 more such\)"):
        session.step(film[1].rgb)
        session.add(boxes={9: (10, 10, 2, 2), 8: (30, 30, 1, 2), 7: (20, 20, 30, 30)})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        start_session(tracker.embedder, film[0].rgb, masks=film[0].mask, points={1: (9, 9)})
