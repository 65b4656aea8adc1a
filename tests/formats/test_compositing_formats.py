"""Keyframes for After Effects, Nuke and Blender: to the pixel, and read by small parsers here."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import types
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tracked_videos import NAN, a_square, three_points, track, tracked_video, two_mice

from chromatrack.errors import InputError
from chromatrack.formats import after_effects, blender, nuke
from chromatrack.formats.exchange import ExportOptions
from chromatrack.formats.frame_places import from_corner, shares, upward
from chromatrack.formats.trajectories import decimal, file_names, in_order, trajectories

PLAIN = ExportOptions()
PLATE = ExportOptions(start_number=1001)


def four_corners(first: int = 0):
    """Four points given in no order: a square that turns a quarter from one frame to the next."""
    square = np.array([[20, 20], [40, 20], [40, 40], [20, 40]], dtype=float)
    turned = np.stack([np.roll(square, -n, axis=0) for n in range(3)])  # (T, 4, 2)
    order = [2, 0, 3, 1]
    points = {n: track(turned[:, corner], first=first) for n, corner in enumerate(order, start=1)}
    return tracked_video(first, 3, points=points)


def one_box():
    boxes = {2: track([[10, 20, 30, 8], [11.5, 20, 30, 8], [NAN] * 4, [12, 20, 30, 8]])}
    return tracked_video(boxes=boxes, names={("box", 2): "screen"})


def test_places_are_counted_from_the_corners():
    xy = np.array([[0.0, 0.0], [79, 59]])
    assert from_corner(xy).tolist() == [[0.5, 0.5], [79.5, 59.5]]
    assert upward(xy, 60).tolist() == [[0.5, 59.5], [79.5, 0.5]]
    assert shares(np.array([-0.5, 59.5]), (60, 80)).tolist() == [0, 1]


def test_everything_tracked_is_a_place(tmp_path):
    square = replace(a_square(), points=three_points().points, boxes=one_box().boxes)
    found, notes = trajectories(replace(square, names={("point", 3): "eye"}))
    assert [one.name for one in found] == ["object_1", "box_2", "eye", "point_4", "point_9"]
    assert found[0].xy[0].tolist() == [9.5, 24.5] and np.isnan(found[0].xy[3]).all()
    assert found[1].xy[0].tolist() == [24.5, 23.5] and not notes
    found, notes = trajectories(two_mice())
    assert len(found) == 5 and found[0].name == "Mouse A snout"
    assert notes == ["Mouse A tail, base is never seen: left out"]
    assert np.isnan(found[1].xy[1]).all()  # a guess is not seen


def test_corners_keep_their_order_while_they_turn():
    places = np.stack([data.values for data in four_corners().points.values()], axis=1)
    ordered = in_order(places)
    assert ordered[0].tolist() == [[20, 20], [40, 20], [40, 40], [20, 40]]
    assert ordered[1].tolist() == [[40, 20], [40, 40], [20, 40], [20, 20]]
    assert np.isnan(in_order(np.full((2, 4, 2), NAN))).all()


@given(st.lists(st.text(max_size=12), max_size=8))
def test_names_of_files_are_safe_and_distinct(names):
    found = file_names(names)
    assert len({name.lower() for name in found}) == len(names)
    for name in found:
        assert name and not set(name) & set('/\\:*?"<>|\0\n') and name not in (".", "..")
    assert file_names(["CON", "a/b", "A_b"]) == ["_CON", "a_b", "A_b_3"]


@given(st.floats(-1e6, 1e6))
def test_numbers_are_short_and_near(value):
    assert float(decimal(value)) == pytest.approx(value, abs=5.1e-4)
    assert "e" not in decimal(value) and decimal(value) != "-0"


# -- After Effects ---------------------------------------------------------------------------

GOLDEN_AE = """\
Adobe After Effects 8.0 Keyframe Data

→Units Per Second→25
→Source Width→80
→Source Height→60
→Source Pixel Aspect Ratio→1
→Comp Pixel Aspect Ratio→1

Transform→Position
→Frame→X pixels→Y pixels→Z pixels→
→0→1.75→2.5→0→
→1→3.5→4.5→0→
→2→5.5→6.5→0→
→3→8→8.5→0→

End of Keyframe Data
"""


def keyframes(path):
    """{property: rows of numbers} of a text of keyframes, its heading checked."""
    text = path.read_bytes().decode()
    assert "\n" not in text.replace("\r\n", "")
    lines = text.split("\r\n")
    assert lines[0] == "Adobe After Effects 8.0 Keyframe Data" and lines[-2:] == [
        "End of Keyframe Data",
        "",
    ]
    blocks, name = {}, ""
    for line in lines[8:-2]:
        if not line.startswith("\t"):
            name = line or name
            if line:
                blocks[name] = []
        elif not line.startswith("\tFrame"):
            blocks[name].append([float(cell) for cell in line.strip("\t").split("\t")])
    return blocks


def test_after_effects_text_is_golden(tmp_path):
    assert not after_effects.write(three_points(), tmp_path, PLAIN)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("eye_3.txt", "eye_9.txt", "point_4.txt"),
    ]
    golden = GOLDEN_AE.replace("→", "\t").replace("\n", "\r\n")
    assert (tmp_path / "eye_3.txt").read_bytes() == golden.encode()


def test_after_effects_leaves_out_what_is_not_seen_and_counts_as_told(tmp_path):
    after_effects.write(three_points(5), tmp_path, PLATE)
    rows = keyframes(tmp_path / "eye_9.txt")["Transform\tPosition"]
    assert [row[0] for row in rows] == [1001, 1002, 1004]
    after_effects.write(three_points(5), tmp_path, PLAIN)
    assert keyframes(tmp_path / "eye_9.txt")["Transform\tPosition"][0][0] == 5


def test_after_effects_pins_a_box_by_its_outer_edges(tmp_path):
    after_effects.write(one_box(), tmp_path, PLAIN)
    pin = keyframes(tmp_path / "screen corner pin.txt")
    assert list(pin) == [
        f"Effects\tCorner Pin #1\t{place}"
        for place in ("Upper Left", "Upper Right", "Lower Right", "Lower Left")
    ]
    rows = list(pin.values())
    assert rows[0] == [[0, 10, 20], [1, 11.5, 20], [3, 12, 20]]
    assert rows[2][0] == [0, 40, 28] and rows[3][0] == [0, 10, 28]
    assert keyframes(tmp_path / "screen.txt")["Transform\tPosition"][0] == [0, 25, 24, 0]


def test_after_effects_holds_a_thing_in_place(tmp_path):
    after_effects.write_stabilized(a_square(), tmp_path, PLAIN)
    read = keyframes(tmp_path / "box of tea.txt")
    anchor, position = read["Transform\tAnchor Point"], read["Transform\tPosition"]
    assert position == [[0, 10, 25, 0]]
    for frame, x, y, _ in anchor:  # where the layer's place of the thing is shown
        assert (10 + 2 * frame - x + position[0][1], y) == (10, 25)


def test_after_effects_script_runs(tmp_path):
    odd = replace(three_points(), names={("point", 3): 'a "b" \\ ü </x>'})
    after_effects.write_script(odd, tmp_path / "s.jsx", PLAIN)
    node = shutil.which("node")
    if node is None:
        pytest.skip("no JavaScript engine here")
    fake = """
        var made = [], said = [];
        function CompItem() { this.width = 80; this.height = 60; this.duration = 9;
            this.layers = {addNull: function () {
                var layer = {name: "", property: function () { return {property: function () {
                    return {setValuesAtTimes: function (t, v) { layer.t = t; layer.v = v; }};
                }}}};
                made.push(layer); return layer; }}; }
        function alert(text) { said.push(text); }
        var app = {project: {activeItem: new CompItem()},
            beginUndoGroup: function () {}, endUndoGroup: function () {}};
    """
    script = fake + (tmp_path / "s.jsx").read_text(encoding="utf-8")
    script += "\nconsole.log(JSON.stringify([made, said]));"
    done = subprocess.run([node, "-e", script], capture_output=True, check=True, timeout=60)
    made, said = json.loads(done.stdout)
    assert said == [] and [layer["name"] for layer in made[::-1]] == [
        *('a "b" \\ ü </x>', "point_4", "point_9"),
    ]
    hidden = made[0]
    np.testing.assert_allclose(hidden["t"], [0, 0.04, 0.12])
    assert hidden["v"][0] == [3.75, 4.5]


# -- Nuke ------------------------------------------------------------------------------------


def words(text):
    """A Tcl list as nested lists of words: braces group, quotes and backslashes keep signs."""
    stack, word, quoted, place = [[]], None, False, 0
    while place < len(text):
        sign = text[place]
        if sign == "\\":
            word, place = (word or "") + text[place + 1], place + 1
        elif quoted and sign != '"':
            word += sign
        elif sign == '"':
            quoted, word = not quoted, word or ""
        elif sign == "{":
            stack.append([])
        elif sign in "} \n":
            if word is not None:
                stack[-1].append(word)
                word = None
            if sign == "}":
                done = stack.pop()
                stack[-1].append(done)
        else:
            word = (word or "") + sign
        place += 1
    assert len(stack) == 1 and not quoted
    return stack[0] + ([word] if word is not None else [])


def nodes(path):
    """[(class, {knob: value})] of a Nuke script."""
    read = words(path.read_text(encoding="utf-8"))
    found = []
    for place, word in enumerate(read):
        if isinstance(word, list) and place and str(read[place - 1])[0].isupper():
            knobs = dict(zip(word[::2], word[1::2], strict=True))
            found.append((read[place - 1], knobs))
    return found


def curve(value):
    """{frame: value} of an animated knob; a key without a frame is of the next one."""
    assert value[0] == "curve"
    keys, frame = {}, None
    for word in value[1:]:
        if word == "K":
            continue
        if word.startswith("x"):
            frame = int(word[1:]) - 1
            continue
        frame += 1
        keys[frame] = float(word)
    return keys


def test_nuke_tracker_is_golden(tmp_path):
    point = tracked_video(count=3, points={1: track([[10, 0], [11, 1], [NAN, NAN]])})
    notes = nuke.write_tracker(point, tmp_path / "t.nk", PLATE)
    assert not notes
    row = (tmp_path / "t.nk").read_text(encoding="utf-8").splitlines()[-6]
    assert row == (
        ' { {curve K x1001 1 x1003 0} "point_1" {curve x1001 10.5 11.5} {curve x1001 59.5 58.5} '
        "{curve K x1001 0} {curve K x1001 0} 1 0 0 {curve x1001 0 0} 0 1 -15 -15 15 15 "
        "-25 -25 25 25 {} {} {} {} {} {} {} {} {} {} {} }"
    )


def test_nuke_tracker_has_a_track_for_every_thing(tmp_path):
    mice = replace(two_mice(), names={("keypoints", 2): 'a "b" [c] $d {e} \\'})
    notes = nuke.write_tracker(mice, tmp_path / "t.nk", PLAIN)
    assert any("1001" in note for note in notes)
    ((kind, knobs),) = nodes(tmp_path / "t.nk")
    assert kind == "Tracker4"
    (head, columns, rows) = knobs["tracks"]
    assert head == ["1", "31", "5"] and len(columns) == 31 and len(rows) == 5
    assert [column[3] for column in columns][:4] == ["enable", "name", "track_x", "track_y"]
    assert all(len(column) == 6 and column[3] == column[4] for column in columns)
    for row in rows:
        assert len(row) == 31
    assert rows[0][1] == 'a "b" [c] $d {e} \\ snout'
    places = mice.keypoints[2].values[:3, 0]
    x, y = curve(rows[0][2]), curve(rows[0][3])
    assert list(x) == [1008, 1009, 1010]  # the video's first frame is 1001
    np.testing.assert_allclose(list(x.values()), places[:, 0] + 0.5, atol=1e-3)
    np.testing.assert_allclose(list(y.values()), 60 - places[:, 1] - 0.5, atol=1e-3)
    error = curve(rows[0][9])
    said = mice.keypoints[2].confidence[:3, 0]
    np.testing.assert_allclose(list(error.values()), 1 - said, atol=1e-3)
    assert curve(rows[1][2]).keys() == {1008, 1010}  # not seen in between
    assert curve(rows[1][0]) == {1008: 1, 1009: 0, 1010: 1, 1011: 0}


def test_nuke_scripts_are_tcl(tmp_path):
    tclsh = shutil.which("tclsh")
    if tclsh is None:
        pytest.skip("no Tcl here")
    mice = replace(two_mice(), names={("keypoints", 2): 'a "b" [c] $d {e} \\'})
    nuke.write_tracker(mice, tmp_path / "t.nk", PLAIN)
    fake = (
        "proc Tracker4 {body} { set t [lindex $body 1]\n puts [llength [lindex $t 1]]\n"
        "foreach row [lindex $t 2] { puts [llength $row]\n puts [lindex $row 1] } }\n"
        "proc version {args} {}\nproc push {args} {}\nproc stack {n} {return $n}\n"
    )
    run = fake + f"source {{{tmp_path / 't.nk'}}}\n"
    (tmp_path / "run.tcl").write_text(run, encoding="utf-8")
    done = subprocess.run([tclsh, tmp_path / "run.tcl"], capture_output=True, timeout=60)
    said = done.stdout.decode().splitlines()
    assert done.returncode == 0, done.stderr
    assert said[0] == "31" and said[1] == "31" and said[2] == 'a "b" [c] $d {e} \\ snout'


def test_nuke_pins_boxes_and_four_points(tmp_path):
    nuke.write_corner_pins(one_box(), tmp_path / "b.nk", PLATE)
    ((kind, knobs),) = nodes(tmp_path / "b.nk")
    assert kind == "CornerPin2D" and knobs["label"] == "screen"
    assert [knobs[f"from{n}"] for n in (1, 2, 3, 4)] == [
        *(["0", "0"], ["80", "0"], ["80", "60"], ["0", "60"]),
    ]
    corners = [[curve(axis)[1001] for axis in knobs[f"to{n}"]] for n in (1, 2, 3, 4)]
    assert corners == [[10, 32], [40, 32], [40, 40], [10, 40]]  # bottom left first
    assert list(curve(knobs["to1"][0])) == [1001, 1002, 1004]
    nuke.write_corner_pins(four_corners(), tmp_path / "p.nk", PLATE)
    ((_, knobs),) = nodes(tmp_path / "p.nk")
    first = [[curve(axis)[1001] for axis in knobs[f"to{n}"]] for n in (1, 2, 3, 4)]
    assert first == [[20.5, 19.5], [40.5, 19.5], [40.5, 39.5], [20.5, 39.5]]
    second = [curve(axis)[1002] for axis in knobs["to4"]]  # the upper left one moved right
    assert second == [40.5, 39.5]


def test_nuke_pins_two_boxes_as_two_nodes(tmp_path):
    two = replace(one_box(), boxes={1: one_box().boxes[2], 2: one_box().boxes[2]}, names={})
    nuke.write_corner_pins(two, tmp_path / "b.nk", PLAIN)
    assert [knobs["name"] for _, knobs in nodes(tmp_path / "b.nk")] == ["CornerPin1", "CornerPin2"]


def test_nuke_pins_nothing_of_three_points(tmp_path):
    with pytest.raises(InputError, match="expected a box, or four points, got 0 boxes and 3 poin"):
        nuke.write_corner_pins(three_points(), tmp_path / "p.nk", PLAIN)


# -- Blender ---------------------------------------------------------------------------------


def run_in_blender(path, *, clips=("mouse.mp4",)):
    """{track: {frame: (x, y) or None where disabled}} that a script makes in a made-up Blender."""
    made = {}

    class Markers(dict):
        def insert_frame(self, frame, co):
            marker = self[frame] = types.SimpleNamespace(co=co, mute=False)
            return marker

    def new(name, frame):
        made[name] = types.SimpleNamespace(markers=Markers(), frame=frame)
        return made[name]

    tracks = types.SimpleNamespace(tracks=types.SimpleNamespace(new=new))
    known = [types.SimpleNamespace(name=name, tracking=tracks) for name in clips]
    fake = types.ModuleType("bpy")
    fake.context = types.SimpleNamespace(screen=None)
    fake.data = types.SimpleNamespace(movieclips=known)
    sys.modules["bpy"] = fake
    try:
        exec(compile(path.read_text(encoding="utf-8"), path, "exec"), {})
    finally:
        del sys.modules["bpy"]
    return {
        name: {k: None if m.mute else m.co for k, m in track.markers.items()}
        for name, track in made.items()
    }


def test_blender_script_makes_the_tracks(tmp_path):
    odd = replace(three_points(), names={("point", 3): 'a "b" \\ ü 🐭'})
    blender.write(odd, tmp_path / "b.py", PLAIN)
    read = run_in_blender(tmp_path / "b.py")
    assert list(read) == ['a "b" \\ ü 🐭', "point_4", "point_9"]
    np.testing.assert_allclose(read["point_4"][1], [2.75 / 80, 1 - 3.5 / 60], atol=1e-6)
    assert list(read["point_4"]) == [1, 2, 3, 4] and read["point_4"][4] is None
    assert [read["point_9"][n] is None for n in (1, 2, 3, 4)] == [False, False, True, False]
    blender.write(odd, tmp_path / "b.py", PLATE)
    assert list(run_in_blender(tmp_path / "b.py")["point_4"]) == [1001, 1002, 1003, 1004]


def test_blender_script_says_what_to_open(tmp_path):
    blender.write(three_points(), tmp_path / "b.py", PLAIN)
    with pytest.raises(RuntimeError, match=r"Open mouse\.mp4 in a Movie Clip Editor"):
        run_in_blender(tmp_path / "b.py", clips=("other.mp4", "another.mp4"))


def test_an_uneven_rate_is_told(tmp_path):
    uneven = replace(three_points(), times=np.array([0, 0.04, 0.2, 0.24]))
    notes = after_effects.write(uneven, tmp_path, PLAIN)
    assert len(notes) == 1 and "not shown at one rate" in notes[0]
    assert not after_effects.write(three_points(), tmp_path, PLAIN)
