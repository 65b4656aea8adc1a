from __future__ import annotations

import csv
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hand_results import hand_result, squares
from hypothesis import given
from hypothesis import strategies as st

from chromatrack.errors import InputError, OutputError
from chromatrack.structures import Kind
from chromatrack.uses import trajectories
from chromatrack.uses.events import (
    Event,
    EventRules,
    events_table,
    find_events,
    spans,
    speed,
)
from chromatrack.uses.trajectories import read_traces

EVENT_COLUMNS = (
    "event,kind,id,other_kind,other_id,start_frame,end_frame,start_seconds,end_seconds,"
    "duration_seconds,value,unit,x,y,side,present_at_start,present_at_end,name,other_name,"
    "category,other_category,color,other_color"
)
NAN2 = [np.nan, np.nan]


def named(events: list[Event], *names: str) -> list[Event]:
    return [e for e in events if e.event in names]


def line(count: int, *, step: tuple[float, float], start: tuple[float, float] = (10, 20)):
    return np.array(start) + np.outer(np.arange(count), step)


def test_entries_exits_and_hidden_spans_of_a_mask():
    places = [None, None, (0, 20), (5, 20), (10, 20), None, None, (25, 20), (30, 20), (35, 20)]
    events = find_events(hand_result(masks=squares({3: places}), first=100))
    got, gone = named(events, "entry"), named(events, "exit")
    assert [(e.start_frame, e.side) for e in got] == [(102, "left"), (107, None)]
    assert [(e.end_frame, e.side) for e in gone] == [(104, None)]  # it is there at the end
    assert {(e.present_at_start, e.present_at_end) for e in events} == {(False, True)}
    assert got[0].start_seconds == got[0].end_seconds == pytest.approx(0.2)
    assert (got[0].x, got[0].y, got[0].kind, got[0].id) == (4.5, 24.5, "object", 3)
    (hidden,) = named(events, "hidden")
    assert (hidden.start_frame, hidden.end_frame) == (105, 106)
    assert (hidden.start_seconds, hidden.end_seconds) == pytest.approx((0.5, 0.7))
    assert hidden.duration_seconds == pytest.approx(0.2)
    assert (hidden.value, hidden.unit) == (15, "px")


@pytest.mark.parametrize(
    ("step", "start", "side"),
    [
        ((-8, 0), (32, 25), "left"),
        ((8, 0), (38, 25), "right"),
        ((0, -6), (30, 24), "top"),
        ((0, 6), (30, 26), "bottom"),
    ],
)
@pytest.mark.parametrize("kind", ["masks", "boxes", "points"])
def test_exits_tell_the_side(step, start, side, kind):
    places = line(5, step=step, start=start)
    if kind == "masks":
        squared = [tuple(p) for p in places.astype(int).tolist()]
        given_ = {"masks": squares({1: [*squared, None, None]})}
    elif kind == "boxes":
        boxes = np.concatenate([places, np.full((5, 2), 10)], axis=1)
        given_ = {"boxes": {1: np.concatenate([boxes, np.full((2, 4), np.nan)])}}
    else:
        ahead = places + np.array([4.5, 4.5]) + 5 * np.sign(step)
        given_ = {"points": {1: np.concatenate([ahead, np.full((2, 2), np.nan)])}}
    (gone,) = named(find_events(hand_result(**given_)), "exit")
    assert (gone.end_frame, gone.side) == (4, side)


def test_of_two_borders_the_one_moved_to_counts():
    points = line(5, step=(10, 0), start=(38, 59))
    result = hand_result(points={1: np.concatenate([points, [NAN2]])})
    assert named(find_events(result), "exit")[0].side == "right"


@pytest.mark.parametrize(
    ("there", "came", "went"),
    [
        ("11111", [], []),
        ("01111", [1], []),
        ("11110", [], [3]),
        ("01110", [1], [3]),
        ("11011", [3], [1]),
        ("00000", [], []),
        ("00001", [4], []),
        ("10000", [], [0]),
    ],
)
@pytest.mark.parametrize("kind", ["masks", "boxes", "points", "keypoints"])
def test_what_is_there_first_did_not_come_and_what_is_there_last_did_not_go(
    there, came, went, kind
):
    shown = [flag == "1" for flag in there]
    if kind == "masks":
        places = [(0, 20) if flag else None for flag in shown]
        masks = squares({1: places, 2: [(30, 30)] * len(there)})
        given_ = {"masks": masks}
    else:
        size = {"boxes": (4,), "points": (2,), "keypoints": (3, 2)}[kind]
        given_ = {kind: {1: np.stack([np.full(size, 20.0 if flag else np.nan) for flag in shown])}}
    events = [e for e in find_events(hand_result(**given_)) if e.id == 1]
    assert [e.start_frame for e in named(events, "entry")] == came
    assert [e.end_frame for e in named(events, "exit")] == went
    assert all(e.present_at_start == shown[0] for e in events)
    assert all(e.present_at_end == shown[-1] for e in events)


def test_flicker_at_the_ends_is_no_presence():
    places: list[tuple[int, int] | None] = [(20, 20), *[None] * 4, *[(20, 20)] * 7]
    result = hand_result(masks=squares({1: places}), times=np.arange(12) * 0.04)
    events = find_events(result)
    assert [e.start_frame for e in named(events, "entry")] == [5] and not named(events, "exit")
    assert {(e.present_at_start, e.present_at_end) for e in events} == {(False, True)}


def test_flicker_makes_no_events():
    places: list[tuple[int, int] | None] = [(20, 20)] * 40
    for blank in (5, 11, 20, 31):
        places[blank] = None
    masks = squares({1: places})
    masks[36][50:55, 70:75] = 2
    times = np.arange(40) * 0.04
    calm = find_events(hand_result(masks=masks, times=times))
    assert not named(calm, "entry", "exit", "hidden")
    assert not [e for e in named(calm, "entry", "exit") if e.id == 2]
    nervous = find_events(
        hand_result(masks=masks, times=times), rules=EventRules(flicker_seconds=0)
    )
    assert len(named(nervous, "hidden")) == 4
    assert [e.start_frame for e in named(nervous, "entry") if e.id == 2] == [36]


@pytest.mark.parametrize("kind", ["masks", "boxes", "points"])
def test_contacts_are_found_with_times_of_a_variable_frame_rate(kind):
    times = [0, 0.1, 0.3, 0.4, 0.7, 0.8, 1.0, 1.3]
    xs = [60, 40, 22, 14, 12, 18, 40, 60]
    if kind == "masks":
        still, moving = [(0, 20)] * 8, [(x, 20) for x in xs]
        result = hand_result(masks=squares({1: still, 2: moving}), times=times)
    elif kind == "boxes":
        still, moving = [[0, 20, 10, 10]] * 8, [[x, 20, 10, 10] for x in xs]
        result = hand_result(boxes={1: np.array(still), 2: np.array(moving)}, times=times)
    else:
        still, moving = [[10, 20]] * 8, [[x, 20] for x in xs]
        result = hand_result(points={1: np.array(still), 2: np.array(moving)}, times=times)
    (contact,) = named(find_events(result), "contact")
    assert (contact.start_frame, contact.end_frame) == (3, 4)
    assert contact.duration_seconds == pytest.approx(0.4)
    assert (contact.value, contact.unit) == (2, "px")
    assert (contact.id, contact.other_id, contact.kind) == (1, 2, contact.other_kind)
    wide = named(find_events(result, rules=EventRules(near=13)), "contact")
    assert [(e.start_frame, e.end_frame) for e in wide] == [(2, 5)]


def test_distances_are_between_centres_on_common_frames():
    first = np.array([[0, 0], [0, 0], [0, 0], [0, 0]])
    second = np.array([[30, 40], [3, 4], [6, 8], NAN2])
    events = find_events(hand_result(points={1: first, 2: second}))
    (least,), (mean,) = named(events, "distance_min"), named(events, "distance_mean")
    assert (least.value, least.start_frame, least.x, least.y) == (5, 1, 1.5, 2)
    assert mean.value == pytest.approx(65 / 3)
    assert (mean.start_frame, mean.end_frame) == (0, 2)


@pytest.mark.parametrize("kind", ["masks", "boxes", "points", "keypoints"])
def test_pairs_of_too_many_things_are_left_out_and_said(monkeypatch, kind):
    monkeypatch.setattr(trajectories, "MOST_PAIRS", 2)  # three things make three pairs
    shape = {"masks": (), "boxes": (4,), "points": (2,), "keypoints": (2, 2)}[kind]
    tracks = {number: np.full((3, *shape), 10.0 + number) for number in range(1, 4)}
    paths = {number: [(12 * number, 5)] * 3 for number in range(1, 4)}
    given = {kind: squares(paths) if kind == "masks" else tracks}
    if kind != "points":
        given["points"] = {1: np.full((3, 2), 3.0), 2: np.full((3, 2), 4.0)}
    with pytest.warns(UserWarning, match="make 3 pairs, more than 2: contacts and distances"):
        events = find_events(hand_result(**given))
    told = {event.kind for event in named(events, "contact", "distance_min", "distance_mean")}
    assert told == ({"point"} if kind != "points" else set())
    assert len(named(events, "path_length")) == (3 if kind == "points" else 5)


def test_speed_and_path_length_of_a_steady_motion_at_any_frame_rate():
    times = np.cumsum([0, 0.04, 0.04, 0.08, 0.02, 0.3, 0.04, 0.1])
    points = np.array([5.0, 5.0]) + np.outer(times, [30, 40])
    events = find_events(hand_result(points={1: points}, times=times))
    for name, value in (("speed_mean", 50), ("speed_max", 50), ("path_length", 50 * times[-1])):
        (event,) = named(events, name)
        assert event.value == pytest.approx(value)


def test_the_top_speed_knows_its_frame():
    points = np.concatenate([line(10, step=(1, 0)), line(5, step=(6, 0), start=(25, 20))])
    (top,) = named(find_events(hand_result(points={1: points})), "speed_max")
    assert top.start_frame in range(10, 15)
    assert top.value == pytest.approx(60) and top.start_seconds == pytest.approx(top.end_seconds)


def test_dwelling_is_slow_and_long_enough():
    points = np.concatenate(
        [line(8, step=(4, 0)), np.tile([42.0, 20.0], (10, 1)), line(8, step=(4, 0), start=(46, 20))]
    )
    events = find_events(hand_result(points={1: points}))
    (stay,) = named(events, "dwell")
    assert 8 <= stay.start_frame <= 9 and 16 <= stay.end_frame <= 17
    assert (stay.x, stay.y) == pytest.approx((42, 20))
    assert stay.value is not None and stay.value < 5
    fussy = find_events(hand_result(points={1: points}), rules=EventRules(dwell_seconds=1.5))
    assert not named(fussy, "dwell")


def test_a_cut_is_no_motion():
    points = np.concatenate([line(6, step=(1, 0)), line(6, step=(1, 0), start=(60, 40))])
    events = find_events(hand_result(points={1: points}, cuts=[6]))
    (cut,) = named(events, "cut")
    assert (cut.start_frame, cut.kind, cut.id) == (6, None, None)
    assert named(events, "speed_max")[0].value == pytest.approx(10)
    assert named(events, "path_length")[0].value == pytest.approx(10)


def test_joints_count_by_their_mean():
    joints = np.stack([line(6, step=(2, 0)), line(6, step=(2, 0), start=(10, 30))], axis=1)
    joints = np.concatenate([np.full((1, 2, 2), np.nan), joints])
    events = find_events(hand_result(keypoints={4: joints}))
    assert named(events, "speed_mean")[0].value == pytest.approx(20)
    assert (named(events, "entry")[0].y, named(events, "entry")[0].kind) == (25, "keypoints")


def test_events_come_in_order_of_time():
    masks = squares({1: [(0, 0)] * 9, 2: [None, None, *[(30, 30)] * 7]})
    events = find_events(hand_result(masks=masks, cuts=[4]))
    starts = [e.start_seconds for e in events]
    assert starts == sorted(starts)


def test_tables_are_written_whole(tmp_path):
    masks = squares({1: [(i, 10) for i in range(10)], 2: [None] * 4 + [(50, 30)] * 6})
    result = hand_result(masks=masks, points={9: line(10, step=(0.5, 0))})
    target, frames = tmp_path / "new" / "events.csv", tmp_path / "frames.csv"
    events = find_events(result, output=target, per_frame=frames)
    with target.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert ",".join(rows[0]) == EVENT_COLUMNS
    assert len(rows) == len(events)
    assert [row["event"] for row in rows] == [e.event for e in events]
    with frames.open(newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert ",".join(table[0]) == "kind,id,frame,pts_seconds,x,y,area,speed,unit,name,category,color"
    assert [len([r for r in table if r["id"] == k]) for k in "129"] == [10, 6, 10]
    assert table[0] == {
        "kind": "object", "id": "1", "frame": "0", "pts_seconds": "0.0",
        "x": "4.5", "y": "14.5", "area": "100.0", "speed": "10.0", "unit": "px", "name": "",
        "category": "", "color": "",
    }  # fmt: skip
    assert table[-1]["area"] == "" and table[-1]["kind"] == "point"
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["events.csv", "frames.csv", "new"]


def test_nothing_is_written_unless_it_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_events(hand_result(points={1: line(5, step=(1, 0))}))
    assert not list(tmp_path.iterdir())


def test_a_table_that_cannot_be_written_says_so(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"events\.csv: cannot be written"):
        find_events(
            hand_result(points={1: line(5, step=(1, 0))}), output=tmp_path / "file" / "events.csv"
        )


def test_a_table_without_events_is_its_header():
    assert events_table([]) == f"{EVENT_COLUMNS}\n"


@pytest.mark.parametrize("name", ["near", "still", "flicker_seconds"])
@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_rules_are_checked(name, value):
    with pytest.raises(InputError, match=f"{name}: expected a number from 0 up"):
        EventRules(**{name: value})


@given(
    flags=st.lists(st.booleans(), min_size=1, max_size=40),
    steps=st.lists(st.floats(0.01, 0.3), min_size=40, max_size=40),
    flicker=st.floats(0, 0.6),
)
def test_spans_are_long_enough_apart_and_lasting(flags, steps, flicker):
    count = len(flags)
    times = np.cumsum(steps)[:count]
    traces = read_traces(hand_result(points={1: np.zeros((count, 2))}, times=times))
    found = spans(np.array(flags), traces, flicker_seconds=flicker)
    for first, last in found:
        assert flags[first] and flags[last]
        assert traces.ends[last] - traces.times[first] >= flicker - 1e-6
    for (_, before), (after, _) in pairwise(found):
        assert traces.times[after] - traces.ends[before] >= flicker - 1e-6
    if flicker == 0:
        assert sum(b - a + 1 for a, b in found) == sum(flags)


def test_speed_is_unknown_for_a_lone_place():
    points = np.array([[1.0, 1], NAN2, NAN2, NAN2, [9, 9], [10, 9]])
    traces = read_traces(hand_result(points={1: points}))
    rates = speed(points, traces)
    assert np.isnan(rates[:4]).all() and rates[4:] == pytest.approx([10, 10])


def test_reading_results_and_finding_events_needs_no_torch():
    code = "import sys, chromatrack.uses.events; print(*sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert not {name.split(".")[0] for name in run.stdout.split()} & {"torch", "av"}


def test_names_stand_in_both_tables(tmp_path):
    masks = squares({1: [(i, 10) for i in range(10)], 2: [None] * 4 + [(15, 10)] * 6})
    names: dict[tuple[Kind, int], str] = {("object", 1): "cow, brown", ("box", 2): "no mask"}
    result = replace(hand_result(masks=masks, cuts=[5]), names=names)
    found = find_events(result, output=tmp_path / "e.csv", per_frame=tmp_path / "f.csv")
    (cut,) = named(found, "cut")
    assert (cut.name, cut.present_at_start, cut.present_at_end) == (None, None, None)
    assert {e.name for e in found if e.id == 1} == {"cow, brown"}
    assert {e.name for e in found if e.id == 2} == {None}
    (contact,) = named(found, "contact")
    assert (contact.name, contact.other_name) == ("cow, brown", None)
    for name in ("e.csv", "f.csv"):
        with (tmp_path / name).open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        assert {row["name"] for row in rows if row["id"] == "1"} == {"cow, brown"}
        assert {row["name"] for row in rows if row["id"] == "2"} == {""}
    with (tmp_path / "e.csv").open(newline="", encoding="utf-8") as file:
        said = {(r["id"], r["present_at_start"], r["present_at_end"]) for r in csv.DictReader(file)}
    assert said == {("1", "1", "1"), ("2", "0", "1"), ("", "", "")}
