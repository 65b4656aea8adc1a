"""Categories of things: out of marks, and back in formats with a place for them."""

from __future__ import annotations

import csv
import json
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hand_results import hand_result
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from chromatrack.errors import InputError
from chromatrack.formats.csv_tables import LOOKS, POINT, Looks, TableWriter, read_looks
from chromatrack.formats.exchange import ExportOptions, format_named
from chromatrack.formats.keypoints import KeypointWriter, read_keypoints
from chromatrack.formats.mark_files import read_mark_file
from chromatrack.formats.marked_source import MarkedSource
from chromatrack.formats.masks import DAVIS_PALETTE, read_mask
from chromatrack.formats.own_marks import write_own_marks
from chromatrack.formats.tracked_video import TrackedVideo
from chromatrack.runs.export import tracked_video
from chromatrack.runs.files import captions
from chromatrack.runs.marks_json import marks_from_plain, plain_marks
from chromatrack.structures import Kind, Skeleton, TrackedKeypoints, TrackedPoint
from chromatrack.tracking.marks import Marks
from chromatrack.uses.events import find_events

NAMES: dict[tuple[Kind, int], str] = {("object", 1): "Berta", ("box", 2): "Rex & <Co>"}
SAID: dict[tuple[Kind, int], str] = {
    ("object", 1): "cow",
    ("object", 3): "cow",
    ("box", 2): "dog",
}
PEN = Skeleton(("tip", "end"), ((0, 1),))


def tracked() -> TrackedVideo:
    """Object 1 (Berta, a cow), object 3 (a cow) and box 2 (Rex, a dog) on three frames."""
    mask = np.zeros((60, 80), dtype=np.int32)
    mask[10:20, 30:50], mask[30:40, 30:50] = 1, 3
    result = hand_result(masks=[mask] * 3, boxes={2: np.array([[4.0, 5, 10, 8]] * 3)})
    return tracked_video(replace(result, names=NAMES, categories=SAID))


def written(name: str, path: Path) -> Path:
    chosen = format_named(name)
    if chosen.is_folder:
        path.mkdir()
    chosen.load_writer()(tracked(), path, ExportOptions())
    return path


def source() -> MarkedSource:
    return MarkedSource("hand", (60, 80), frame_count=3, numbers="index")


@pytest.mark.parametrize(
    "name",
    ["youtube-vos", "mose", "coco", "youtube-vis", "cvat", "labelme", "label-studio", "via"],
)
def test_formats_bring_them_back_beside_names(tmp_path: Path, name: str) -> None:
    marked = source()
    marks = read_mark_file(written(name, tmp_path / f"x{format_named(name).suffix}"), marked)
    if not marks.masks:  # boxes alone: objects are those around their masks
        marked.categories = {("object", n): said for (_, n), said in marked.categories.items()}
        assert marked.categories == {("object", n): said for (_, n), said in SAID.items()}
        assert marked.names["box", 1] == "Berta" and marked.names["box", 2] == "Rex & <Co>"
        return
    kinds = {"object", "box"} if marks.boxes else {"object"}
    assert marked.categories == {thing: said for thing, said in SAID.items() if thing[0] in kinds}
    assert marked.names["object", 1] == "Berta" and marked.names["object", 3] == "cow"
    if marks.boxes:
        assert marked.names["box", 2] == "Rex & <Co>"


def test_others_find_the_category_where_their_tools_look(tmp_path: Path) -> None:
    content = json.loads(written("coco", tmp_path / "x.json").read_text())
    assert [one["name"] for one in content["categories"]] == ["cow", "dog"]
    assert '<track id="1" label="cow"' in written("cvat", tmp_path / "x.xml").read_text()
    shapes = json.loads((written("labelme", tmp_path / "l") / "00000.json").read_text())["shapes"]
    assert [(s["label"], s["description"]) for s in shapes] == [
        ("cow", "Berta"),
        ("cow", ""),
        ("dog", "Rex & <Co>"),
    ]
    car = replace(tracked(), categories={("object", 1): "Car"})
    format_named("mots").load_writer()(car, tmp_path / "m.txt", ExportOptions())
    assert {row.split()[2] for row in (tmp_path / "m.txt").read_text().splitlines()} == {"1", "2"}


def test_tables_and_our_json_say_them(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text(
        "id,frame,x,y,category,name\n1,0,4,5,bird,Kiwi\n2,0,1,2,bird,\n"
    )
    (tmp_path / "o.json").write_text(
        '{"objects": [{"id": 4, "frame": 0, "category": "cow", "name": "Berta", '
        '"polygon": [[1, 1], [9, 1], [9, 9]]}]}'
    )
    (tmp_path / "k.json").write_text(
        '{"skeleton": {"names": ["a"], "edges": []}, "marks": [{"id": 5, "frame": 0, '
        '"category": "fly", "joints": {"a": [1, 2]}}]}'
    )
    marked = source()
    for name in ("p.csv", "o.json", "k.json"):
        read_mark_file(tmp_path / name, marked)
    assert marked.categories == {
        ("point", 1): "bird",
        ("point", 2): "bird",
        ("object", 4): "cow",
        ("keypoints", 5): "fly",
    }
    assert marked.names["point", 1] == "Kiwi" and marked.names["object", 4] == "Berta"
    assert ("point", 2) not in marked.names


def test_a_table_says_one_category_of_a_thing(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("id,frame,x,y,category\n1,0,4,6,cow\n1,1,4,6,dog\n")
    with pytest.raises(InputError, match="line 3: id 1 is a 'cow' before, here 'dog'; give it one"):
        read_mark_file(tmp_path / "p.csv", source())


@given(
    st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"])),
    st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"])),
)
def test_what_a_table_of_tracks_says_of_things_reads_back(name: str, category: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tracks.csv"
        given_looks = Looks({1: name}, {1: (255, 128, 0)}, {1: category})
        with TableWriter(path, POINT, given_looks) as writer:
            writer.write(0, 0.0, {1: TrackedPoint(1, 2, True, 0.5), 2: TrackedPoint(1, 2, True, 1)})
        assert path.read_text(encoding="utf-8").split("\n")[0].endswith(LOOKS)
        found = read_looks(path)
    assert found.names == ({1: name} if name else {})
    assert found.categories == ({1: category} if category else {})
    assert found.colors == {1: (255, 128, 0)}


def test_skeletons_have_theirs_in_coco(tmp_path: Path) -> None:
    pose = TrackedKeypoints(np.array([[1.0, 2], [3, 4]]), np.ones(2, bool), np.ones(2))
    looks = Looks({7: "Pico"}, {}, {7: "pen"})
    for ids, called in (((), ["skeleton", "pen"]), ((7,), ["pen"]), ((7, 8), ["pen", "skeleton"])):
        with KeypointWriter(tmp_path / "k.json", PEN, looks, ids=ids) as writer:
            writer.write(0, 0.0, {7: pose} if ids == (7,) else {7: pose, 8: pose})
        content = json.loads((tmp_path / "k.json").read_text())
        assert [one["name"] for one in content["categories"]] == called
        marked = source()
        read_keypoints(tmp_path / "k.json", source=marked)
        assert marked.categories == {("keypoints", 7): "pen"}
        assert marked.names == {("keypoints", 7): "Pico"}


def test_results_have_them(tmp_path: Path) -> None:
    rows = list(csv.DictReader(written("tidy-csv", tmp_path / "x.csv").open()))
    assert [(row["name"], row["category"]) for row in rows[:3]] == [
        ("Berta", "cow"),
        ("", "cow"),
        ("Rex & <Co>", "dog"),
    ]
    masks = [np.zeros((40, 60), np.int32) for _ in range(6)]
    for n, mask in enumerate(masks):
        mask[10:20, 4 * n : 4 * n + 10] = 1 if n > 2 else 0
    result = replace(
        hand_result(masks=masks), categories=SAID, colors={("object", 1): (255, 128, 0)}
    )
    events = find_events(result, per_frame=tmp_path / "f.csv")
    event = next(event for event in events if event.kind == "object")
    assert (event.category, event.color, event.other_category) == ("cow", "#ff8000", None)
    (head, *rows) = csv.reader((tmp_path / "f.csv").open())
    assert head[-3:] == ["name", "category", "color"] and rows[0][-3:] == ["", "cow", "#ff8000"]


def test_captions_say_both_where_they_differ() -> None:
    assert captions({("object", 1): "Berta", ("box", 2): "dog"}, SAID) == {
        ("object", 1): "Berta (cow)",
        ("object", 3): "cow",
        ("box", 2): "dog",
    }


def test_imported_folders_and_runs_keep_them(tmp_path: Path) -> None:
    marked = source()
    marks = read_mark_file(written("cvat", tmp_path / "x.xml"), marked)
    write_own_marks(tmp_path / "m", marks, marked.names, (60, 80), categories=marked.categories)
    again = source()
    read_mark_file(tmp_path / "m", again)
    assert again.categories == SAID
    every = Marks(**vars(marks), categories=SAID)
    assert marks_from_plain(plain_marks(every), marks.masks).categories == SAID
    assert every.restricted_to([("box", 2, 0)]).categories == {("box", 2): "dog"}
    assert every.merged_with(Marks(categories={("box", 2): "cat"})).categories["box", 2] == "cat"


# -- colours of palettes -------------------------------------------------------------------------


def palette_mask(path: Path, palette: np.ndarray) -> Path:
    ids = np.zeros((60, 80), np.uint8)
    ids[5:20, 5:20], ids[30:50, 30:50] = 1, 2
    image = Image.fromarray(ids, mode="P")
    image.putpalette(palette.astype(np.uint8).tobytes())
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    return path


def test_a_palette_that_somebody_chose_has_the_objects_colours(tmp_path: Path) -> None:
    chosen = DAVIS_PALETTE.copy()
    chosen[2] = 255, 128, 0
    for path in (
        palette_mask(tmp_path / "00000.png", chosen),
        palette_mask(tmp_path / "folder/00000.png", chosen).parent,
        palette_mask(tmp_path / "d/Annotations/hand/00000.png", chosen).parents[2],
    ):
        marked = source()
        marks = read_mark_file(path, marked)
        assert marked.colors == {("object", 2): (255, 128, 0)}
        assert np.array_equal(marks.masks[0], read_mask(tmp_path / "00000.png"))


def test_usual_palettes_say_nothing(tmp_path: Path) -> None:
    greys = np.repeat(np.arange(256)[:, None], 3, axis=1)
    for palette in (DAVIS_PALETTE, greys, np.zeros((256, 3))):
        marked = source()
        read_mark_file(palette_mask(tmp_path / "00000.png", palette), marked)
        assert marked.colors == {}
