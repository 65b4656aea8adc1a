"""things.csv, a row per frame and thing; and what becomes of each thing over a run."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from synthetic import moving_clip, write_clip

from chromatrack.cli.track import MOST_THINGS, thing_lines
from chromatrack.errors import InputError
from chromatrack.formats.masks import read_mask
from chromatrack.propagation.layout import Layout
from chromatrack.runs.correct import correct
from chromatrack.runs.file_names import keep_runs
from chromatrack.runs.reader import read_result
from chromatrack.runs.things_table import (
    COLUMNS,
    Tally,
    ThingSummary,
    extents,
    mask_extents,
    things_of,
)
from chromatrack.runs.writer import RunSummary, track_to_folder
from chromatrack.structures import (
    BoxMark,
    KeypointMark,
    Kind,
    LostMark,
    PointMark,
    TrackedBox,
    TrackedKeypoints,
    TrackedPoint,
)
from chromatrack.tracking.config import TrackConfig
from chromatrack.tracking.inference import TrackedFrame
from chromatrack.tracking.marks import Marks
from chromatrack.tracking.tracker import Tracker
from chromatrack.uses.trajectories import read_traces

SIZE, FRAMES = (64, 96), 4
NAN = float("nan")


@pytest.fixture
def tracker(tiny_encoder) -> Tracker:
    return Tracker(tiny_encoder, device="cpu", config=TrackConfig(size=64))


@pytest.fixture(scope="module")
def film():
    return moving_clip(frames=FRAMES, size=SIZE, objects=2, radius=13)


@pytest.fixture(scope="module")
def clip(film, tmp_path_factory) -> Path:
    return write_clip(tmp_path_factory.mktemp("film") / "clip.mkv", film)


def everything(film) -> Marks:
    joints = np.array([[20.0, 20.0], [40.0, 40.0], [NAN, NAN]])
    return Marks(
        {0: film[0].mask},
        [PointMark(4, 0, 30.0, 30.0), PointMark(5, 0, 50.0, 30.0), PointMark(5, 2, None, None)],
        [BoxMark(6, 0, 20.0, 10.0, 30.0, 30.0)],
        [KeypointMark(8, 0, joints, np.zeros(3, dtype=bool))],
        [LostMark(2, 2)],
        names={("object", 1): "cow", ("point", 5): "ear, left"},
    )


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "things.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def frame_with(**given) -> TrackedFrame:
    mask = given.pop("mask", np.zeros(SIZE, dtype=np.int32))
    index, ids = given.pop("index", 0), given.pop("ids", ())
    areas = {i: int((mask == i).sum()) for i in ids}
    rgb = np.zeros((*SIZE, 3), np.uint8)
    present = {i: area > 0 for i, area in areas.items()}
    return TrackedFrame(index, index / 10, rgb, mask, areas, {}, present=present, **given)


def test_a_row_for_every_thing_on_every_frame(tracker, film, clip, tmp_path):
    track_to_folder(tracker, clip, everything(film), output=tmp_path)
    rows = rows_of(tmp_path)
    assert tuple(rows[0]) == COLUMNS
    things = ["object 1", "object 2", "box 6", "point 4", "point 5", "keypoints 8"]
    assert [f"{r['kind']} {r['id']}" for r in rows] == things * FRAMES
    assert [int(r["frame"]) for r in rows] == [n for n in range(FRAMES) for _ in things]
    assert {r["name"] for r in rows if r["id"] == "5"} == {"ear, left"}
    assert {r["name"] for r in rows if r["id"] == "1"} == {"cow"}
    result = read_result(tmp_path)
    for trace in read_traces(result).things:
        own = [r for r in rows if (r["kind"], r["id"]) == (trace.kind, str(trace.id))]
        assert [r["present"] == "1" for r in own] == trace.present.tolist()
        for row, xy, extent, area in zip(own, trace.xy, trace.extent, trace.area, strict=True):
            if row["present"] == "0":
                assert not any(row[name] for name in COLUMNS[5:12])
                continue
            near = 2e-3 if trace.kind != "object" else 2.0  # there the mean of all pixels counts
            assert (float(row["x"]), float(row["y"])) == pytest.approx(tuple(xy), abs=near)
            if trace.kind != "point":
                left, top, right, bottom = extent
                box = [float(row[name]) for name in ("left", "top", "width", "height")]
                assert box == pytest.approx(
                    [left, top, right - left + 1, bottom - top + 1], abs=4e-3
                )
            if math.isfinite(area):
                assert float(row["area"]) == pytest.approx(area, rel=1e-3)
            else:
                assert not row["area"]
    for n, frame in enumerate(result.frames):
        of_frame = {(r["kind"], r["id"]): r["reliability"] for r in rows if r["frame"] == str(n)}
        for i, value in frame.reliability.items():
            assert float(of_frame["object", str(i)]) == pytest.approx(value, abs=1e-4)


def test_a_correction_writes_it_anew(tracker, film, clip, tmp_path):
    marks = everything(film)
    track_to_folder(tracker, clip, marks, output=tmp_path)
    before = rows_of(tmp_path)
    (tmp_path / "things.csv").unlink()  # as runs of earlier versions, which had none
    painted = np.zeros(SIZE, dtype=np.int32)
    painted[2:12, 4:24] = 2
    done = correct(tracker, tmp_path, Marks(masks={3: painted}))
    [thing] = done.things
    assert str(thing).startswith("object 2: seen on ") and thing.frames == FRAMES
    after = rows_of(tmp_path)
    assert len(after) == len(before)
    [row] = [r for r in after if (r["kind"], r["id"], r["frame"]) == ("object", "2", "3")]
    said = [row[k] for k in ("present", "x", "y", "left", "top", "width", "height", "area")]
    assert said == ["1", "13.5", "6.5", "4", "2", "20", "10", "200"]
    assert np.array_equal(read_mask(tmp_path / "masks" / "00003.png") == 2, painted == 2)
    same = [(a, b) for a, b in zip(after, before, strict=True) if a["kind"] != "object"]
    assert len(same) == 4 * FRAMES and all(a == b for a, b in same)


def test_it_belongs_to_the_run(tracker, film, clip, tmp_path):
    track_to_folder(tracker, clip, everything(film), output=tmp_path)
    with pytest.raises(InputError):
        keep_runs(tmp_path / "things.csv")
    track_to_folder(tracker, clip, Marks({0: film[0].mask}), output=tmp_path, end=2)
    assert {(r["kind"], r["frame"]) for r in rows_of(tmp_path)} == {
        ("object", "0"),
        ("object", "1"),
    }


@given(arrays(np.int32, (7, 9), elements=st.integers(0, 4)))
def test_centre_box_and_area_of_all_objects_of_a_mask(mask):
    found = mask_extents(mask)
    assert sorted(found) == sorted({int(i) for i in np.unique(mask)} - {0})
    for number, extent in found.items():
        rows, columns = np.nonzero(mask == number)
        assert extent.xy == pytest.approx((columns.mean(), rows.mean()))
        assert extent.box == (
            columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1,
        )  # fmt: skip
        assert extent.area == len(rows)


@pytest.mark.parametrize(
    "given",
    [
        {"points": {1: TrackedPoint(3, 4, False, 0.4), 2: TrackedPoint(NAN, 4, True, 0.4)}},
        {"boxes": {1: TrackedBox(3, 4, 5, 6, False, 0), 2: TrackedBox(3, NAN, 5, 6, True, 1)}},
        {"keypoints": {1: TrackedKeypoints(np.full((2, 2), NAN), np.ones(2, bool), np.ones(2))}},
        {"keypoints": {1: TrackedKeypoints(np.ones((2, 2)), np.zeros(2, bool), np.ones(2))}},
        {},
    ],
)  # fmt: skip
def test_what_is_not_seen_is_nowhere(given):
    assert extents(frame_with(**given)) == {}


def test_things_come_by_kind_and_id():
    layout = Layout(
        (7, 9), (2,), (("point", 3, 0), ("joint", 5, 0)), (("joint", 5, 1), ("joint", 1, 0))
    )
    assert things_of(layout) == [
        ("object", 7), ("object", 9), ("box", 2), ("point", 3), ("keypoints", 1), ("keypoints", 5),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("seen", "told"),
    [
        ("1111", "point 1: seen on 4 of 4 frames"),
        ("0011", "point 1: seen on 2 of 4 frames"),  # before its first mark it is not lost
        ("1011", "point 1: seen on 3 of 4 frames; lost on 1"),
        ("1100", "point 1: seen on 2 of 4 frames; lost on 2-3"),
        ("0000", "point 1: seen on 0 of 4 frames"),
        ("10010010", "point 1: seen on 3 of 8 frames; lost on 1-2, 4-5, 7"),
        ("1010101010101", "point 1: seen on 7 of 13 frames; lost on 1, 3, 5, 7 and 2 more times"),
    ],
)
def test_what_is_told_of_a_thing(seen, told):
    tally = Tally([("point", 1)], {})
    for index, flag in enumerate(seen):
        tally.add(frame_with(index=index, points={1: TrackedPoint(3, 4, flag == "1", 0.5)}))
    [summary] = tally.summaries()
    assert str(summary) == told


def test_the_table_tells_the_same(tracker, film, clip, tmp_path):
    done = track_to_folder(tracker, clip, everything(film), output=tmp_path)
    again = Tally.of_table(tmp_path / "things.csv").summaries()
    assert [str(thing) for thing in again] == [str(thing) for thing in done.things]
    (tmp_path / "things.csv").write_text(",".join(COLUMNS) + "\n")
    assert Tally.of_table(tmp_path / "things.csv").summaries() == []


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("1,cow,0,0,1,1,1,,,,,,0.5,", "expected kind object, point, box, keypoints, got 'cow'"),
        ("x,point,0,0,1,1,1,,,,,,0.5,", "expected id to be an integer"),
        ("1,point,0,0,perhaps,1,1,,,,,,0.5,", "expected present to be 1 or 0"),
        ("1,point,0,0,1,1,1,,,,,,high,", "expected reliability to be a finite number"),
    ],
)
def test_a_table_that_is_not_ours_is_a_clear_error(tmp_path, row, message):
    (tmp_path / "things.csv").write_text(f"{','.join(COLUMNS[:-2])}\n{row}\n")
    with pytest.raises(InputError, match=message):
        Tally.of_table(tmp_path / "things.csv")


def test_how_sure_it_is_is_told_with_the_worst_frame():
    tally = Tally([("object", 2)], {("object", 2): "cow"})
    mask = np.full(SIZE, 2, dtype=np.int32)
    for index, value in enumerate([1.0, 0.25, 0.7]):
        tally.add(frame_with(index=index, mask=mask, ids=(2,), reliability={2: value}))
    [summary] = tally.summaries()
    assert str(summary) == (
        "object 2 (cow): seen on 3 of 3 frames; reliability 0.65, lowest 0.25 on frame 1"
    )


def test_a_run_tells_of_each_thing(tracker, film, clip, tmp_path):
    done: RunSummary = track_to_folder(tracker, clip, everything(film), output=tmp_path)
    names = [(thing.kind, thing.id, thing.name) for thing in done.things]
    assert names[:2] == [("object", 1, "cow"), ("object", 2, None)] and len(names) == 6
    rows = rows_of(tmp_path)
    for thing in done.things:
        own = [r for r in rows if (r["kind"], r["id"]) == (thing.kind, str(thing.id))]
        assert thing.seen == sum(r["present"] == "1" for r in own) and thing.frames == FRAMES


def test_of_many_things_the_least_sure_get_a_line():
    kind: Kind = "point"
    some = [
        ThingSummary(kind, n, None, 9, 9, (), n / 100, (n / 100, 0)) for n in range(MOST_THINGS + 5)
    ]
    lines = thing_lines(some[::-1])
    assert len(lines) == MOST_THINGS + 1 and lines[0].startswith("point 0:")
    assert lines[-1].startswith("5 more things are in things.csv")
    assert len(thing_lines(some[:3])) == 3
