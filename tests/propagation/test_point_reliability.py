"""Reliability of boxes, points and joints: signals of known truth, clips, files, corrections."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from synthetic import moving_clip, write_clip

from chromatrack.evaluation.baselines.identity import RawLabEncoder
from chromatrack.ops.coords import FeatureSpec
from chromatrack.propagation.bidirectional import FrameReading
from chromatrack.propagation.config import PropagateConfig
from chromatrack.propagation.layout import Layout
from chromatrack.propagation.merging import merge_readings
from chromatrack.propagation.point_labels import Seen
from chromatrack.propagation.point_reliability import (
    BOX_ABSENT,
    RASTER,
    PointSignals,
    estimate_box,
    estimate_place,
    estimate_point,
    landed,
    on_raster,
    strays,
)
from chromatrack.propagation.reliability import (
    ReviewRange,
    Signals,
    look_at_rows,
    things_to_look_at,
)
from chromatrack.runs.correct import correct
from chromatrack.runs.files import reliability_bars
from chromatrack.runs.reader import read_result
from chromatrack.runs.writer import track_to_folder
from chromatrack.structures import BoxMark, KeypointMark, PointMark, Skeleton
from chromatrack.tracking.config import TrackConfig
from chromatrack.tracking.marks import Marks
from chromatrack.tracking.reliability import by_kind, places_row, read_places_row
from chromatrack.tracking.tracker import Tracker
from chromatrack.video.reader import read_frames

SIZE = (8, 10)
SPEC = FeatureSpec(channels=48, stride=8, offset=3.5)


def unit(seed: int, channels: int = 48) -> torch.Tensor:
    """Features of which every cell is like no other."""
    torch.manual_seed(seed)
    return F.normalize(torch.randn(channels, *SIZE), dim=0)


# -- signals -------------------------------------------------------------------------------


def found(features: torch.Tensor, xy: list, onto: torch.Tensor, near: list, reach: int = 9) -> list:
    return landed(features, torch.tensor(xy), onto, torch.tensor(near), reach=reach).tolist()


def test_patches_are_found_where_they_went():
    features, xy, there = unit(0), [[3.0, 2.0], [5.0, 4.0]], [[5.0, 3.0], [7.0, 5.0]]
    moved = features.roll((1, 2), dims=(1, 2))
    assert found(features, xy, moved, xy) == there
    assert found(moved, there, features, there) == xy
    near = np.array(found(features, xy, moved, xy, reach=1))
    assert (np.abs(near - xy) <= 1).all()  # not where it is searched: somewhere else near by


def test_a_patch_is_found_though_some_of_its_cells_changed():
    features = unit(0)
    changed = features.clone()
    changed[:, 3, 3:6] = unit(1)[:, 3, 3:6]  # its upper row is another's now
    changed[:, 4, 4] = features[:, 6, 1]  # and its middle looks like a place far away
    assert found(changed, [[4.0, 4.0]], features, [[4.0, 4.0]]) == [[4, 4]]


def test_distances_count_on_a_frame_of_256_by_256():
    apart = torch.tensor([[1.0, 0.0], [0.0, 1.0], [3.0, 4.0]])
    lengths = on_raster(apart, (RASTER // 2, RASTER * 2), spec=SPEC)
    assert lengths.tolist() == pytest.approx([4, 16, np.hypot(3 * 4, 4 * 16)])


def test_a_point_that_leaves_those_around_it_strays():
    marked = torch.tensor([[x, y] for x in (1.0, 3.0, 6.0) for y in (1.0, 4.0, 6.0)])
    here = marked + torch.tensor([2.0, -1.0])
    assert strays(marked, here).abs().max() == 0
    here[4] += torch.tensor([3.0, 0.5])
    off = strays(marked, here)
    assert off[4].tolist() == [3.0, 0.5] and off.abs().sum() == 3.5


@given(
    st.floats(0, 100), st.floats(0, 60), st.floats(-1, 1), st.none() | st.floats(0, 300),
    st.sampled_from(["point", "joint"]), st.booleans(),
)  # fmt: skip
def test_estimates_are_chances_that_fall_as_the_point_strays(error, back, like, stray, kind, there):
    def of(**more: float) -> float:
        known = {"color_error": error, "back": back, "likeness": like, "stray": stray}
        return estimate_point(PointSignals(**known | more, present=there), kind=kind)

    assert 0 <= of() <= 1
    assert of(color_error=error + 20) <= of()
    assert of(back=back + 20) <= of()
    if stray is not None:
        assert of(stray=stray + 20) <= of()


def test_what_was_marked_is_certain_and_what_is_hidden_is_not():
    assert [estimate_place(kind, None) for kind in ("box", "point", "joint")] == [1, 1, 1]
    assert estimate_place("box", Signals(present=False)) == BOX_ABSENT < 0.5
    for kind in ("point", "joint"):
        for stray in (1.0, None):
            seen = PointSignals(1.0, 2.0, stray, 0.9)
            hidden = replace(seen, present=False)
            assert 0 < estimate_place(kind, hidden) < estimate_place(kind, seen) < 1
    for decoded in (True, False):
        held = Signals(0.5, sharpness=0.95, certainty=0.9, rim=2, decoded=decoded)
        lost = Signals(15, sharpness=0.4, certainty=0.3, rim=15, decoded=decoded)
        assert estimate_box(held) > 0.9 and estimate_box(lost) < 0.5


def test_the_pass_that_counts_more_tells_the_signals_of_points_and_boxes():
    layout = Layout((), (3,), (("point", 5, 0),))
    told = {1: {0: True, 10: True}, 2: {0: True, 10: True}}
    ahead, behind = PointSignals(back=1.0), PointSignals(back=2.0)
    box, other = Signals(1.0), Signals(2.0)

    def reading(of_box: Signals, of_point: PointSignals | None) -> FrameReading:
        seen = Seen(torch.tensor([[1.0, 1.0]]), torch.tensor([True]), torch.tensor([0.8]))
        cells = torch.ones(1, *SIZE)
        return FrameReading(cells, {1: 0.5}, {1: 0.5}, seen=seen, signals={1: of_box, 2: of_point})

    def merged(index: int, first: PointSignals | None = ahead) -> dict:
        pair = reading(box, first), reading(other, behind)
        return dict(merge_readings(index, *pair, layout, told).signals)

    assert merged(2) == {1: box, 2: ahead} and merged(8) == {1: other, 2: behind}
    assert merged(0, None) == {1: box, 2: None}


# -- one row of result.json ----------------------------------------------------------------

NAMES = st.one_of(
    st.tuples(st.sampled_from(["box", "point"]), st.integers(0, 300), st.just(0)),
    st.tuples(st.just("joint"), st.integers(0, 5), st.integers(0, 20)),
)


@given(st.dictionaries(NAMES, st.floats(0, 1), max_size=30))
def test_rows_say_what_was_told(told):
    row = json.loads(json.dumps(places_row(told)))
    assert read_places_row(row) == {name: round(value, 5) for name, value in told.items()}


def test_a_skeleton_has_the_mean_of_its_joints():
    told = {("joint", 2, 0): 0.9, ("joint", 2, 3): 0.5, ("point", 2, 0): 0.1, ("box", 7, 0): 1.0}
    kinds = by_kind({2: 0.3}, told)
    assert kinds["object"] == {2: 0.3} and kinds["point"] == {2: 0.1} and kinds["box"] == {7: 1.0}
    assert kinds["keypoints"] == {2: pytest.approx(0.7)}
    row = places_row(told)
    assert row["joint"] == {2: [0.9, None, None, 0.5]} and row["keypoints"] == {2: 0.7}
    assert places_row({}) == {} and read_places_row({}) == {}


def test_frames_of_every_kind_are_looked_at_the_worst_first():
    told = {"object": {1: 0.4}, "box": {1: 0.2}, "point": {1: 0.3, 2: 0.99}, "keypoints": {}}
    found = things_to_look_at([(4, told), (5, {**told, "box": {1: 0.99}})])
    assert found == [
        ReviewRange(1, 4, 4, 0.2, "box"),
        ReviewRange(1, 4, 5, 0.3, "point"),
        ReviewRange(1, 4, 5, 0.4),
    ]
    assert str(found[1]) == "frames 4-5 of point 1: reliability 0.30"
    rows = look_at_rows([(4, told)])
    assert [next(iter(row)) for row in rows] == ["box", "point", "object"]
    assert rows[1] == {"point": 1, "first": 4, "last": 4, "reliability": 0.3}


# -- whole clips ---------------------------------------------------------------------------

FRAMES, SPOILT = 8, range(4, 8)
SKELETON = Skeleton(("a", "b", "c"), ((0, 1),))


@pytest.fixture(scope="module")
def tracker() -> Tracker:
    config = TrackConfig(size=96, adapt=0, propagate=PropagateConfig(temperature=0.03))
    return Tracker(RawLabEncoder(), device="cpu", config=config, model="raw-lab")


@pytest.fixture(scope="module")
def film():
    return moving_clip(frames=FRAMES, velocity=(1.0, 0.0), radius=20)


@pytest.fixture(scope="module")
def clips(film, tmp_path_factory) -> dict[str, Path]:
    """A disc that moves; the same, but from frame 4 on grey noise stands where it is."""
    folder = tmp_path_factory.mktemp("clips")
    noise = np.random.default_rng(0).integers(60, 200, (96, 160, 1)).repeat(3, axis=2)
    spoilt = []
    for frame in film:
        rgb = frame.rgb.copy()
        if frame.index in SPOILT:
            rgb = np.where((frame.mask > 0)[..., None], noise, rgb).astype(np.uint8)
        spoilt.append(rgb)
    whole = write_clip(folder / "whole", film)
    return {"whole": whole, "spoilt": write_clip(folder / "spoilt", spoilt)}


@pytest.fixture(scope="module")
def marks(film) -> dict:
    """A point, a box and a skeleton on the disc, and a point on the ground."""
    x, y = film[0].centres[1]
    joints = np.array([[x - 6, y], [x + 6, y], [np.nan, np.nan]])
    return {
        "points": [PointMark(4, 0, x, y), PointMark(9, 0, 20.0, 20.0)],
        "boxes": [BoxMark(4, 0, x - 20, y - 20, 41.0, 41.0)],
        "keypoints": [KeypointMark(4, 0, joints, np.zeros(3, dtype=bool))],
    }


NAMED = {
    ("box", 4, 0), ("point", 4, 0), ("point", 9, 0), ("joint", 4, 0), ("joint", 4, 1),
}  # fmt: skip


def test_reliability_drops_where_what_was_marked_is_replaced(tracker, clips, marks):
    whole = list(tracker.track(clips["whole"], **marks))
    spoilt = list(tracker.track(clips["spoilt"], **marks))
    assert all(set(frame.place_reliability) == NAMED for frame in [*whole, *spoilt])
    assert set(whole[0].place_reliability.values()) == {1.0}
    assert whole[0].place_signals == dict.fromkeys(NAMED)
    for before, after in zip(whole, spoilt, strict=True):
        held, lost = before.place_reliability, after.place_reliability
        for name in NAMED - {("point", 9, 0)}:
            if after.index in SPOILT:
                assert lost[name] < held[name] - 0.3
            else:
                assert lost[name] == held[name] > 0.5
        assert lost["point", 9, 0] == pytest.approx(held["point", 9, 0], abs=0.1)
        told = after.reliability_by_kind
        assert set(told["box"]) == {4} and set(told["point"]) == {4, 9} and not told["object"]
        joints = [lost["joint", 4, j] for j in (0, 1)]
        assert told["keypoints"] == {4: pytest.approx(np.mean(joints))}


def test_points_among_others_are_told_by_where_those_went(tracker, clips, film):
    x, y = film[0].centres[1]
    around = [(0, 0), (8, 0), (-8, 0), (0, 8), (0, -8), (6, 6)]
    points = [PointMark(i, 0, x + dx, y + dy) for i, (dx, dy) in enumerate(around)]
    many = list(tracker.track(clips["whole"], points=points))
    alone = list(tracker.track(clips["whole"], points=points[:1]))
    for few, all_of_them in zip(alone[1:], many[1:], strict=True):
        told = [all_of_them.place_signals["point", i, 0] for i in range(len(points))]
        assert all(signals.stray < 2 for signals in told)
        lone = few.place_signals["point", 0, 0]
        assert lone.stray is None and lone.back == pytest.approx(told[0].back, abs=1e-3)
        assert lone.color_error == pytest.approx(told[0].color_error, abs=1e-3)


def test_nothing_is_said_before_the_first_mark_and_lost_is_as_the_user_says(tracker, clips, film):
    x, y = film[3].centres[1]
    points = [PointMark(1, 3, x, y), PointMark(1, 6, None, None)]
    found = list(tracker.track(clips["whole"], points=points, direction="forward"))
    told = [frame.place_reliability.get(("point", 1, 0)) for frame in found]
    assert told[:3] == [None] * 3 and told[3] == 1 and told[6] == 1
    assert told[4] is not None and 0 < told[4] < 1
    both = list(tracker.track(clips["whole"], points=points[:1]))
    assert all(("point", 1, 0) in frame.place_reliability for frame in both)


def test_sessions_tell_it_too(tracker, clips, marks):
    frames = list(read_frames(clips["whole"], end=4))
    places = {m.id: (m.x, m.y) for m in marks["points"]}
    box = marks["boxes"][0]
    session = tracker.start(
        frames[0].rgb,
        points=places,
        boxes={box.id: (box.x, box.y, box.width, box.height)},
        keypoints={m.id: m.joints for m in marks["keypoints"]},
    )
    pushed = [session.result, *(session.step(frame.rgb) for frame in frames[1:])]
    tracked = tracker.track(clips["whole"], **marks, end=4)
    assert [f.place_reliability for f in pushed] == [f.place_reliability for f in tracked]
    assert set(session.remove("point", 4).place_reliability) == NAMED - {("point", 4, 0)}
    rest = {("box", 4, 0), ("point", 9, 0)}
    after = session.remove("keypoints", 4)
    assert set(after.place_reliability) == set(after.place_signals) == rest
    assert set(session.step(frames[3].rgb, pts_seconds=9.0).place_reliability) == rest


# -- files ---------------------------------------------------------------------------------


def run(tracker: Tracker, clip: Path, folder: Path, marks: dict, **more) -> dict:
    track_to_folder(tracker, clip, Marks.of(skeleton=SKELETON, **marks), output=folder, **more)
    return json.loads((folder / "result.json").read_text())


def test_result_json_says_it_and_what_to_look_at(tracker, clips, marks, tmp_path):
    data = run(tracker, clips["spoilt"], tmp_path, marks)
    told = [row["place_reliability"] for row in data["frames"]]
    assert told[0] == {
        "box": {"4": 1.0}, "point": {"4": 1.0, "9": 1.0}, "keypoints": {"4": 1.0},
        "joint": {"4": [1.0, 1.0]},
    }  # fmt: skip
    assert data["frames"][5]["reliability"] == {}
    look = {(kind, row[kind]) for row in data["look_at"] for kind in row if kind in told[0]}
    assert {("box", 4), ("point", 4), ("keypoints", 4)} <= look
    assert all(4 <= row["first"] <= row["last"] <= 7 for row in data["look_at"] if "box" in row)
    frames = list(tracker.track(clips["spoilt"], **marks))
    saved = read_result(tmp_path).frames[5].place_reliability
    assert saved == {n: round(v, 5) for n, v in frames[5].place_reliability.items()}
    bars = {bar.name: bar for bar in reliability_bars(frames[5])}
    assert set(bars) == {"b4", "p4", "p9", "k4"} and bars["p4"].value < bars["p9"].value


def test_corrections_tell_it_anew_and_leave_the_rest(tracker, clips, marks, film, tmp_path):
    before = run(tracker, clips["spoilt"], tmp_path, marks)["frames"]
    x, y = film[5].centres[1]
    correct(tracker, tmp_path, Marks.of(points=[PointMark(4, 5, x, y)]))
    data = json.loads((tmp_path / "result.json").read_text())
    after = [row["place_reliability"] for row in data["frames"]]
    assert after[5]["point"]["4"] == 1.0 and before[5]["place_reliability"]["point"]["4"] < 0.5
    assert after[6]["point"]["4"] != before[6]["place_reliability"]["point"]["4"]
    for row, old in zip(after, before, strict=True):
        assert row["point"]["9"] == old["place_reliability"]["point"]["9"]
        for kind in ("box", "joint"):
            assert row[kind] == old["place_reliability"][kind]
        whole = old["place_reliability"]["keypoints"]
        assert row["keypoints"] == pytest.approx(whole, abs=2e-5)  # the mean of rounded numbers
    on_five = [r for r in data["look_at"] if "point" in r and r["first"] <= 5 <= r["last"]]
    assert all(r["reliability"] < 0.5 for r in on_five)  # of the frames around it


def test_one_joint_corrected_renews_its_skeleton(tracker, clips, marks, tmp_path):
    before = run(tracker, clips["spoilt"], tmp_path, marks)["frames"][5]["place_reliability"]
    joints = np.array([[70.0, 50.0], [np.nan, np.nan], [np.nan, np.nan]])
    correct(
        tracker, tmp_path, Marks.of(keypoints=[KeypointMark(4, 5, joints, np.zeros(3, dtype=bool))])
    )
    after = read_result(tmp_path).frames[5].place_reliability
    assert after["joint", 4, 0] == 1.0
    assert after["joint", 4, 1] == before["joint"]["4"][1]
    row = json.loads((tmp_path / "result.json").read_text())["frames"][5]["place_reliability"]
    assert row["keypoints"]["4"] == pytest.approx((1 + before["joint"]["4"][1]) / 2, abs=1e-4)


def test_runs_of_older_versions_are_read_and_corrected(tracker, clips, marks, tmp_path):
    data = run(tracker, clips["whole"], tmp_path, marks)
    for row in data["frames"]:
        del row["place_reliability"]
    path = tmp_path / "result.json"
    path.write_text(json.dumps(data))
    assert read_result(tmp_path).frames[2].place_reliability == {}
    correct(tracker, tmp_path, Marks.of(points=[PointMark(4, 6, 80.0, 50.0)]))
    again = json.loads(path.read_text())["frames"]
    assert again[6]["place_reliability"] == {"point": {"4": 1.0}}
    assert set(again[2]["place_reliability"]) == {"point"}


def test_the_overlay_shows_it_when_asked(tracker, clips, marks, tmp_path):
    shown = []
    for name, wanted in (("plain", False), ("shown", True)):
        run(tracker, clips["whole"], tmp_path / name, marks, end=2, show_reliability=wanted)
        frame = next(read_frames(tmp_path / name / "overlay.mp4"))
        shown.append(frame.rgb.astype(int))
    apart = np.abs(shown[0] - shown[1]).max(axis=-1) > 40
    assert apart[-20:, :30].any() and not apart[:40].any()
