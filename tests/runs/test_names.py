"""Names of things: from the marks into every file of a run, and back."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic import moving_clip, write_clip

from chromatrack.cli.main import main
from chromatrack.errors import InputError
from chromatrack.formats.csv_tables import csv_cell, read_boxes, read_looks, read_points
from chromatrack.formats.json_fields import names_from_plain, plain_names
from chromatrack.formats.masks import write_mask
from chromatrack.runs.correct import correct
from chromatrack.runs.files import overlay_frame
from chromatrack.runs.marks_json import read_run_marks
from chromatrack.runs.reader import read_result
from chromatrack.runs.writer import track_to_folder
from chromatrack.structures import BoxMark, KeypointMark, Kind, PointMark, Skeleton
from chromatrack.tracking.config import TrackConfig
from chromatrack.tracking.inference import TrackedFrame
from chromatrack.tracking.marks import Marks
from chromatrack.tracking.tracker import Tracker

SIZE = (64, 96)
NAMES: dict[tuple[Kind, int], str] = {
    ("object", 1): "cow",
    ("point", 4): 'left "ear", tip',
    ("box", 6): "head; all of it",
    ("keypoints", 8): "корова",
}
LEG = Skeleton(("hip", "knee"), ((0, 1),))


@pytest.fixture
def tracker(tiny_encoder) -> Tracker:
    return Tracker(tiny_encoder, device="cpu", config=TrackConfig(size=64))


@pytest.fixture(scope="module")
def film():
    return moving_clip(frames=3, size=SIZE, objects=2, radius=13)


@pytest.fixture(scope="module")
def clip(film, tmp_path_factory) -> Path:
    return write_clip(tmp_path_factory.mktemp("film") / "clip.mkv", film)


def everything(film, names) -> Marks:
    joints = np.array([[20.0, 20.0], [40.0, 40.0]])
    return Marks(
        {0: film[0].mask},
        [PointMark(4, 0, 30.0, 30.0), PointMark(5, 0, 50.0, 30.0)],
        [BoxMark(6, 0, 20.0, 10.0, 30.0, 30.0)],
        [KeypointMark(8, 0, joints, np.zeros(2, dtype=bool))],
        skeleton=LEG,
        names=names,
    )


def column(path: Path) -> dict[str, set[str]]:
    """id -> what a table calls it."""
    with path.open(encoding="utf-8", newline="") as file:
        found: dict[str, set[str]] = {}
        for row in csv.DictReader(file):
            assert list(row)[-3:] == ["name", "category", "color"]
            found.setdefault(row["id"], set()).add(row["name"])
    return found


def said_in(folder: Path) -> dict[tuple[str, str], str]:
    """What the tables of a run call things, by kind and id."""
    said = {
        (kind, number): "".join(names)
        for kind, table in (("point", "tracks.csv"), ("box", "boxes.csv"))
        for number, names in column(folder / table).items()
    }
    for row in json.loads((folder / "keypoints.json").read_text(encoding="utf-8"))["annotations"]:
        said["keypoints", str(row["track_id"])] = row.get("name", "")
    return said


@pytest.mark.parametrize("names", [NAMES, {}])
def test_names_are_in_every_file_and_read_back(tracker, film, clip, tmp_path, names):
    track_to_folder(tracker, clip, everything(film, names), output=tmp_path)
    assert said_in(tmp_path) == {
        ("point", "4"): names.get(("point", 4), ""),
        ("point", "5"): "",
        ("box", "6"): names.get(("box", 6), ""),
        ("keypoints", "8"): names.get(("keypoints", 8), ""),
    }
    data = json.loads((tmp_path / "result.json").read_text())
    assert data["names"] == data["marks"]["names"] == plain_names(names)
    assert read_result(tmp_path).names == names
    assert read_run_marks(tmp_path).names == names


def test_a_correction_keeps_renames_and_adds(tracker, film, clip, tmp_path):
    track_to_folder(tracker, clip, everything(film, NAMES), output=tmp_path)
    more: dict[tuple[Kind, int], str] = {("point", 4): "ear", ("point", 5): "tail"}
    new = Marks(points=[PointMark(4, 1, 31.0, 30.0), PointMark(5, 1, 51.0, 30.0)], names=more)
    correct(tracker, tmp_path, new)
    assert read_result(tmp_path).names == {**NAMES, **more}
    said = said_in(tmp_path)
    assert (said["point", "4"], said["point", "5"]) == ("ear", "tail")
    assert said["box", "6"] == NAMES["box", 6]


def test_a_run_of_an_earlier_version_has_no_names(tracker, film, clip, tmp_path):
    track_to_folder(tracker, clip, everything(film, NAMES), output=tmp_path)
    data = json.loads((tmp_path / "result.json").read_text())
    del data["names"], data["marks"]["names"], data["overlay"]
    (tmp_path / "result.json").write_text(json.dumps(data))
    for name in ("tracks.csv", "boxes.csv"):
        with (tmp_path / name).open(newline="") as file:
            older = [",".join(row[:-3]) for row in csv.reader(file)]  # name, category, color
        (tmp_path / name).write_text("".join(f"{row}\n" for row in older))
    assert read_result(tmp_path).names == {} and read_run_marks(tmp_path).names == {}
    correct(tracker, tmp_path, Marks(points=[PointMark(4, 1, 31.0, 30.0)]))


@pytest.mark.parametrize("bad", [{"object": {"x": "cow"}}, {"cow": {"1": "a"}}, [1], {"box": 3}])
def test_names_that_make_no_sense_are_a_clear_error(tracker, film, clip, tmp_path, bad):
    track_to_folder(tracker, clip, everything(film, NAMES), output=tmp_path)
    data = json.loads((tmp_path / "result.json").read_text())
    data["names"] = data["marks"]["names"] = bad
    (tmp_path / "result.json").write_text(json.dumps(data))
    for read in (read_result, read_run_marks):
        with pytest.raises(
            InputError, match=r"not as `chromatrack track` writes|its marks are not"
        ):
            read(tmp_path)


def test_the_overlay_shows_them(tracker, film, clip, tmp_path):
    [frame, *_] = tracker.track(clip, masks={0: film[0].mask}, points=[PointMark(4, 0, 30, 30)])
    plain = overlay_frame(frame)
    things: list[tuple[Kind, int]] = [("object", 1), ("point", 4)]
    for thing in things:
        assert not np.array_equal(plain, overlay_frame(frame, names={thing: "cow"}))
    nobody: dict[tuple[Kind, int], str] = {("object", 99): "cow", ("keypoints", 1): "dog"}
    assert np.array_equal(plain, overlay_frame(frame, names=nobody))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("id,frame,x,y,name\n1,0,5,5,cow\n2,0,6,6,\n", {1: "cow"}),
        ("name,id,frame,x,y\n,1,0,5,5\nbig cow,1,1,5,5\n", {1: "big cow"}),
        ('id;frame;x;y;name\n1;0;5,5;6;"cow, brown; big"\n', {1: "cow, brown; big"}),
        ("id,frame,x,y\n1,0,5,5\n", {}),
        ("id,frame,x,y,Name\n1,0,5,5,cow\n1,1,,,cow\n", {1: "cow"}),
    ],
)
def test_tables_of_marks_may_have_names(tmp_path, text, names):
    (tmp_path / "p.csv").write_text(text)
    assert read_looks(tmp_path / "p.csv").names == names
    assert read_points(tmp_path / "p.csv")[0].frame == 0


def test_one_thing_has_one_name(tmp_path):
    (tmp_path / "p.csv").write_text("id,frame,x,y,name\n1,0,5,5,cow\n1,1,5,5,dog\n")
    with pytest.raises(InputError, match="line 3: id 1 is called 'cow' before, here 'dog'"):
        read_looks(tmp_path / "p.csv")


@given(st.dictionaries(st.integers(0, 10**6), st.text(min_size=1, max_size=20)))
def test_names_of_any_letters_come_back(names):
    kinds: tuple[Kind, ...] = ("object", "point", "box", "keypoints")
    given = {(kinds[number % 4], number): name for number, name in names.items()}
    assert names_from_plain(json.loads(json.dumps(plain_names(given)))) == given


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20))
def test_a_cell_of_any_letters_is_one_cell(text):
    [row] = (
        csv.reader([f"1,{csv_cell(text)},2\n"])
        if "\n" not in text and "\r" not in text
        else [["1", text, "2"]]
    )
    assert row == ["1", text, "2"]


def test_what_a_run_wrote_names_the_next_ones_marks(tracker, film, clip, tmp_path, capsys):
    track_to_folder(tracker, clip, everything(film, NAMES), output=tmp_path / "one")
    for table, read in (("tracks.csv", read_points), ("boxes.csv", read_boxes)):
        assert read(tmp_path / "one" / table)
    write_mask(tmp_path / "m.png", film[0].mask)
    tables = ["--points", str(tmp_path / "one" / "tracks.csv"),
              "--boxes", str(tmp_path / "one" / "boxes.csv")]  # fmt: skip
    out = str(tmp_path / "two")
    assert main(["track", str(clip), *tables, "--size", "64", "-o", out]) == 0
    assert read_result(out).names == {k: v for k, v in NAMES.items() if k[0] in ("point", "box")}
    (tmp_path / "more.csv").write_text("id,frame,x,y,name\n5,1,50,30,tail\n")
    assert main(["correct", out, "--points", str(tmp_path / "more.csv")]) == 0
    assert read_result(out).names["point", 5] == "tail"


def test_a_mask_is_named_above_the_middle_of_its_largest_part():
    mask = np.zeros((240, 320), np.int32)
    mask[120:200, 160:280] = 1
    mask[10:14, 4:8] = 1  # a stray bit
    frame = TrackedFrame(0, 0.0, np.full((240, 320, 3), 90, np.uint8), mask, {1: 9616}, {})
    plain, named = (overlay_frame(frame, names=names) for names in ({}, {("object", 1): "cow"}))
    rows, columns = np.nonzero((plain != named).any(axis=-1))
    assert rows.min() > 95 and rows.max() <= 121 and 215 <= columns.min() <= 225
    trails = overlay_frame(frame, names={("object", 1): "cow"}, fill=False)
    assert trails[121, 200].tolist() != [90, 90, 90] and trails[160, 220].tolist() == [90, 90, 90]
