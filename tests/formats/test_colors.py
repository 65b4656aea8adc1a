"""Colours that users give things: out of marks, and back in formats with a place for them."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hand_results import hand_result
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from chromatrack.errors import InputError
from chromatrack.formats.color_text import hex_color, read_color
from chromatrack.formats.exchange import ExportOptions, format_named
from chromatrack.formats.mark_files import read_mark_file
from chromatrack.formats.marked_source import MarkedSource
from chromatrack.formats.masks import read_mask, write_mask
from chromatrack.formats.own_marks import write_own_marks
from chromatrack.formats.thing_colors import color_of, default_color
from chromatrack.formats.tracked_video import TrackedVideo
from chromatrack.runs.export import tracked_video
from chromatrack.runs.files import overlay_frame
from chromatrack.runs.marks_json import marks_from_plain, plain_marks
from chromatrack.structures import Color, Kind
from chromatrack.tracking.inference import TrackedFrame
from chromatrack.tracking.marks import Marks

ORANGE, TEAL = (255, 128, 0), (0, 130, 127)
COLORS: dict[tuple[Kind, int], Color] = {("object", 1): ORANGE, ("box", 2): TEAL}
BOX = np.array([[4.0, 5, 10, 8]] * 3)
levels = st.integers(0, 255)


def tracked() -> TrackedVideo:
    """Object 1 (cow, orange), object 3 (cow) and box 2 (dog, teal) on three frames."""
    mask = np.zeros((60, 80), dtype=np.int32)
    mask[10:20, 30:50], mask[30:40, 30:50] = 1, 3
    result = hand_result(masks=[mask] * 3, boxes={2: BOX})
    names: dict[tuple[Kind, int], str] = {
        ("object", 1): "cow",
        ("object", 3): "cow",
        ("box", 2): "dog",
    }
    return tracked_video(replace(result, names=names, colors=COLORS))


def written(name: str, path: Path) -> Path:
    chosen = format_named(name)
    if chosen.is_folder:
        path.mkdir()
    chosen.load_writer()(tracked(), path, ExportOptions())
    return path


def source() -> MarkedSource:
    return MarkedSource("hand", (60, 80), frame_count=3, numbers="index")


@given(levels, levels, levels)
def test_a_colour_reads_back(red: int, green: int, blue: int) -> None:
    color = red, green, blue
    assert read_color(hex_color(color), "here") == color
    assert read_color(list(color), "here") == color
    assert read_color(f" rgb({red}, {green}, {blue}) ", "here") == color


@pytest.mark.parametrize(
    "value", ["", "ff8000", "rgb(300,0,0)", "no colour", [1, 2], [1, 2, 256], [1, 2, True], 7, None]
)
def test_what_is_no_colour_is_told(value: object) -> None:
    with pytest.raises(InputError, match="line 3: expected a colour such as #ff8000"):
        read_color(value, "line 3")


def test_things_without_a_colour_have_that_of_their_number() -> None:
    assert color_of("object", 1, COLORS) == ORANGE
    assert color_of("object", 2, COLORS) == default_color("object", 2) == (0, 128, 0)
    assert color_of("box", 1, COLORS) == (255, 0, 0)


@pytest.mark.parametrize("name", ["cvat", "coco", "label-studio", "via"])
def test_formats_bring_colours_back(tmp_path: Path, name: str) -> None:
    marked = source()
    path = written(name, tmp_path / f"x{format_named(name).suffix}")
    marks = read_mark_file(path, marked)
    if marks.masks:
        assert marked.colors == COLORS
    else:  # boxes alone
        assert marked.colors == {("box", 1): ORANGE, ("box", 2): TEAL}


def test_coco_and_cvat_have_them_where_their_tools_look(tmp_path: Path) -> None:
    content = json.loads(written("coco", tmp_path / "x.json").read_text())
    assert {c["name"]: c["color"] for c in content["categories"]} == {
        "cow": list(ORANGE),
        "dog": list(TEAL),
    }
    text = written("cvat", tmp_path / "x.xml").read_text()
    assert re.findall(r"<name>(\w+)</name>\s*<color>(#\w+)</color>", text) == [
        ("cow", "#ff8000"),
        ("dog", "#00827f"),
    ]


def test_label_studio_has_an_interface_with_the_labels(tmp_path: Path) -> None:
    (task,) = json.loads(written("label-studio", tmp_path / "x.json").read_text())
    assert '<Label value="cow" background="#ff8000"/>' in task["meta"]["label_config"]


def test_davis_palettes_have_them_and_ids_stay(tmp_path: Path) -> None:
    (first, *_) = sorted(written("davis", tmp_path / "d").rglob("*.png"))
    with Image.open(first) as image:
        assert image.getpalette()[3:12] == [*ORANGE, 0, 128, 0, 128, 128, 0]  # type: ignore[index]
    assert np.array_equal(read_mask(first), tracked().mask(0))


@given(st.lists(st.tuples(levels, levels, levels), min_size=4, max_size=6))
def test_palettes_of_any_colours_keep_ids(tmp_path_factory: object, colors: list[Color]) -> None:
    folder = tmp_path_factory.mktemp("palette")  # type: ignore[attr-defined]
    rows, columns = np.mgrid[:30, :40]
    ids = ((rows // 6 + columns // 5) % (len(colors) + 1)).astype(np.int32)
    write_mask(folder / "0.png", ids, colors=dict(enumerate(colors, start=1)))
    assert np.array_equal(read_mask(folder / "0.png"), ids)


def test_compositing_programs_get_them(tmp_path: Path) -> None:
    script = written("after-effects-jsx", tmp_path / "x.jsx").read_text()
    assert '{name: "dog", color: [0, 0.51, 0.498], label: 14, frames' in script  # cyan
    names: dict[str, object] = {}
    blender = written("blender", tmp_path / "x.py").read_text()
    exec(re.search(r"^TRACKS = \[.*?^\]", blender, re.S | re.M).group(), names)  # type: ignore[union-attr]
    assert [track[1] for track in names["TRACKS"]] == [  # type: ignore[attr-defined]
        (1.0, 0.502, 0.0),
        None,
        (0.0, 0.5098, 0.498),
    ]
    pin = written("nuke-cornerpin", tmp_path / "x.nk").read_text()
    assert " tile_color 0x00827fff\n gl_color 0x00827fff\n" in pin
    table = written("tidy-csv", tmp_path / "x.csv").read_text().splitlines()
    assert [row["color"] for row in csv.DictReader(table)][:3] == ["#ff8000", "", "#00827f"]


def test_tables_and_our_json_carry_them(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text(
        "id;frame;x;y;name;color\n1;0;4,5;6;a;rgb(255,128,0)\n2;0;1;2;;\n"
    )
    (tmp_path / "o.json").write_text(
        '{"objects": [{"id": 4, "frame": 0, "category": "cow", "color": [0, 130, 127], '
        '"polygon": [[1, 1], [9, 1], [9, 9]]}]}'
    )
    (tmp_path / "k.json").write_text(
        '{"skeleton": {"names": ["a"], "edges": []}, "marks": [{"id": 5, "frame": 0, '
        '"color": "teal", "joints": {"a": [1, 2]}}]}'
    )
    marked = source()
    for name in ("p.csv", "o.json", "k.json"):
        read_mark_file(tmp_path / name, marked)
    assert marked.colors == {
        ("point", 1): ORANGE,
        ("object", 4): TEAL,
        ("keypoints", 5): (0, 128, 128),
    }
    assert marked.names == {("point", 1): "a", ("object", 4): "cow"}


def test_a_table_says_one_colour_of_a_thing(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("id,frame,x,y,color\n1,0,4,6,red\n1,1,4,6,blue\n")
    with pytest.raises(InputError, match="line 3: id 1 is #ff0000 before, here 'blue'"):
        read_mark_file(tmp_path / "p.csv", source())


def test_imported_folders_and_runs_keep_them(tmp_path: Path) -> None:
    marked = source()
    marks = read_mark_file(written("cvat", tmp_path / "x.xml"), marked)
    write_own_marks(tmp_path / "m", marks, marked.names, (60, 80), colors=marked.colors)
    again = source()
    read_mark_file(tmp_path / "m", again)
    assert again.colors == COLORS
    every = Marks(**vars(marks), colors=COLORS)
    assert marks_from_plain(plain_marks(every), marks.masks).colors == COLORS
    assert every.restricted_to([("box", 2, 0)]).colors == {("box", 2): TEAL}
    assert every.merged_with(Marks(colors={("box", 2): ORANGE})).colors["box", 2] == ORANGE


def test_the_overlay_is_drawn_in_them() -> None:
    rgb = np.zeros((60, 80, 3), dtype=np.uint8)
    mask = tracked().mask(0)
    frame = TrackedFrame(0, 0.0, rgb, mask, {1: 200, 3: 200}, {})
    shown = overlay_frame(frame, colors={("object", 1): ORANGE})
    assert shown[10, 40].tolist() == list(ORANGE)  # the outline
    assert shown[30, 40].tolist() == [255, 255, 0]  # object 3 as ever
