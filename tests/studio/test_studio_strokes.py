"""Strokes of colour: how they are drawn, erased and undone."""

from __future__ import annotations

import base64
import io
import shutil
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image
from studio_client import do, project_of, studio_client, wait_for_job
from synthetic import moving_clip
from video_clips import write_clip

from chromatrack.ops.color import rgb_to_lab
from chromatrack.ops.resample import planes
from chromatrack.studio.color_pen import still_painted, strokes_drawn
from chromatrack.studio.color_store import Colors, read_colors
from chromatrack.studio.store import Project

RED, GREEN = "#ff0000", "#00ff00"
FRAMES = 7


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with studio_client(tmp_path_factory.mktemp("home")) as made:
        yield made


@pytest.fixture(scope="module")
def film():
    return moving_clip(frames=FRAMES, objects=2, radius=16)


@pytest.fixture
def opened(client, film, tmp_path):
    grey = [one.rgb.mean(-1, keepdims=True).repeat(3, -1).astype(np.uint8) for one in film]
    video = write_clip(tmp_path / "grey.mp4", grey)
    assert client.post("/api/open", json={"path": str(video)}).status_code == 200
    yield client
    wait_for_job(client)
    assert client.post("/api/close").status_code == 200


def stroke(color, *points, radius=3.0):
    return {"color": color, "radius": radius, "points": [list(at) for at in points]}


def strokes_of(client, frame=0):
    reference = project_of(client)["color"]["references"].get(str(frame))
    return None if reference is None else reference["strokes"]


def painted(client, frame, *strokes):
    do(client, type="colorStrokes", frame=frame, strokes=list(strokes))


def label(client):
    return project_of(client)["undo"]["undo"]


def test_later_strokes_lie_above():
    strokes = [stroke(RED, (5, 5)), stroke(GREEN, (5, 5), (8, 5), radius=1)]
    drawn, where = strokes_drawn(strokes, (10, 12))
    assert drawn[5, 5].tolist() == [0, 255, 0] and drawn[3, 4].tolist() == [255, 0, 0]
    assert where[5, 5] and not where[0, 11]


@pytest.mark.parametrize("radius", [0.5, 1.0, 2.3, 40.0])
def test_a_line_is_as_wide_as_its_brush_all_along(radius):
    angle = np.linspace(0.2, 1.1, 60)
    points = np.stack([30 + 200 * np.cos(angle), 20 + 220 * np.sin(angle)], 1).tolist()
    _, where = strokes_drawn([stroke(RED, *points, radius=radius)], (260, 260))
    rows, columns = np.mgrid[:260, :260]
    fine = np.concatenate([np.linspace(*ends, 40) for ends in pairwise(np.array(points))])
    apart = np.full((260, 260), np.inf)
    for x, y in fine:
        apart = np.minimum(apart, np.hypot(rows - y, columns - x))
    wide = max(radius, 0.71)
    assert where[apart < wide - 0.1].all() and not where[apart > wide + 0.1].any()


def test_strokes_at_the_edge_and_beyond_it_are_cut_off():
    _, where = strokes_drawn([stroke(RED, (-50, 3), (4, 3), radius=1)], (8, 8))
    assert where[3].tolist() == [True] * 6 + [False] * 2
    _, where = strokes_drawn([stroke(RED, (900, 900)), stroke(RED, (-40, -40))], (8, 8))
    assert not where.any()


def test_the_eraser_takes_away_what_is_under_it_and_nothing_that_comes_later():
    line, rubber = stroke(RED, (4, 10), (36, 10)), stroke(None, (20, 10), radius=5)
    drawn, where = strokes_drawn([line, rubber], (20, 40))
    assert where[10, 8] and where[10, 32] and not where[10, 17:24].any()
    assert drawn[10, 20].tolist() == [0, 0, 0] and drawn[10, 8].tolist() == [255, 0, 0]
    later = [line, rubber, stroke(GREEN, (20, 10), radius=1)]
    assert strokes_drawn(later, (20, 40))[0][10, 20].tolist() == [0, 255, 0]


def test_what_is_wholly_erased_is_not_kept():
    size, rubber = (20, 60), stroke(None, (4, 10), (30, 10), radius=6)
    near, far = stroke(RED, (8, 10), (20, 10)), stroke(GREEN, (50, 10))
    assert still_painted([near, far, rubber], size) == [far]
    assert still_painted([near, rubber], size) == []
    assert still_painted([far, rubber], size) == [far], "nothing was under it"
    long = stroke(RED, (8, 10), (55, 10))
    assert still_painted([long, rubber], size) == [long, rubber]
    assert still_painted([near, far], size) == [near, far]
    every = [long, near, rubber, far, stroke(None, (50, 10), radius=1)]
    kept = still_painted(every, size)
    assert len(kept) == 4
    for before, after in zip(strokes_drawn(every, size), strokes_drawn(kept, size), strict=True):
        assert (before == after).all()


def test_erasing_is_undone_and_is_on_disk(opened, tmp_path):
    one, two = stroke(RED, (20, 20), (60, 20)), stroke(GREEN, (20, 60), (60, 60))
    painted(opened, 0, one, two)
    painted(opened, 0, one, two, stroke(None, (40, 20)))
    assert label(opened) == "Erase colours on frame 0"
    assert [s["color"] for s in strokes_of(opened)] == [RED, GREEN, None]
    folder = opened.studio.project.folder
    shutil.copytree(folder, tmp_path / "copy", ignore=shutil.ignore_patterns("*lock*"))
    copied = Project(tmp_path / "copy")
    assert [s["color"] for s in copied.document["colors"]["0"]["strokes"]] == [RED, GREEN, None]
    copied.close()
    assert opened.get("/api/color/reference/0").status_code == 200
    opened.post("/api/undo")
    assert strokes_of(opened) == [one, two]
    opened.post("/api/redo")
    painted(opened, 0, one, two, stroke(None, (10, 20), (70, 20), radius=9))
    assert strokes_of(opened) == [two], "a stroke that is erased is gone"
    painted(opened, 0, two, stroke(None, (10, 60), (70, 60), radius=9))
    assert strokes_of(opened) is None, "and so is a frame without any"
    opened.post("/api/undo")
    assert strokes_of(opened) == [two]
    painted(opened, 0)
    assert label(opened) == "Remove the strokes on frame 0" and strokes_of(opened) is None


def test_an_eraser_on_nothing_is_no_change(opened):
    one = stroke(RED, (20, 20), (60, 20))
    refused = {"type": "colorStrokes", "frame": 0, "strokes": [stroke(None, (5, 5))]}
    assert opened.post("/api/actions", json=refused).status_code == 422
    painted(opened, 0, one)
    refused["strokes"] = [one, stroke(None, (60, 60))]
    told = opened.post("/api/actions", json=refused)
    assert told.status_code == 422 and "no stroke under the eraser" in told.json()["error"]
    assert label(opened) == "Paint colours on frame 0" and strokes_of(opened) == [one]


def test_a_colour_is_changed_in_all_strokes_of_all_frames_in_one_step(opened):
    red, other = stroke("#FF0000", (20, 20)), stroke(GREEN, (60, 20))
    painted(opened, 0, red, other)
    painted(opened, 3, stroke(RED, (9, 9)), stroke(None, (9, 9), radius=1))
    painted(opened, 4, other)
    do(opened, type="colorReplace", **{"from": RED, "to": "#0000ff"})
    colors = {f: [s["color"] for s in strokes_of(opened, f)] for f in (0, 3, 4)}
    assert colors == {0: ["#0000ff", GREEN], 3: ["#0000ff", None], 4: [GREEN]}
    folder = opened.studio.project.folder
    assert b"Change #ff0000 to #0000ff" in (folder / "studio" / "log.jsonl").read_bytes()
    assert opened.post("/api/undo").json()["label"] == "Change #ff0000 to #0000ff"
    assert strokes_of(opened) == [red, other]
    assert [s["color"] for s in strokes_of(opened, 3)] == [RED, None]
    nothing = {"type": "colorReplace", "from": "#123456", "to": RED}
    told = opened.post("/api/actions", json=nothing)
    assert told.status_code == 422 and "no stroke has it" in told.json()["error"]


def test_a_change_of_colour_goes_for_corrected_frames_too(opened):
    red, blue = _ab("#b02020"), _ab("#2020b0")
    painted(opened, 0, stroke("#b02020", (10, 10), (70, 50), radius=12))
    first = _colored(opened)[3]
    was_red = np.square(first - red[:, None, None]).sum(0) < 12**2
    assert was_red.mean() > 0.02
    where = np.argwhere(was_red)[0][::-1] * 2 + 1
    painted(opened, 3, stroke(GREEN, tuple(map(int, where)), radius=1))
    given = opened.studio.project.document["colors"]["3"]
    assert given["copied"], "it lies on the colours that the frame had"
    _colored(opened)
    do(opened, type="colorReplace", **{"from": "#b02020", "to": "#2020b0"})
    assert opened.studio.project.document["colors"]["3"]["changed"] == [["#b02020", "#2020b0"]]
    now = _colored(opened)[3][:, was_red]
    nearer = np.square(now - blue[:, None]).sum(0) < np.square(now - red[:, None]).sum(0)
    assert nearer.mean() > 0.9
    assert opened.post("/api/undo").status_code == 200
    assert "changed" not in opened.studio.project.document["colors"]["3"]


def _ab(color):
    rgb = np.array([[[int(color[i : i + 2], 16) for i in (1, 3, 5)]]], np.uint8)
    return rgb_to_lab(planes(rgb).float() / 255)[1:, 0, 0].numpy()


def test_a_change_of_colour_meets_what_another_tab_did(opened):
    painted(opened, 0, stroke(RED, (20, 20)))
    seen = opened.get("/api/state").json()["revision"]
    painted(opened, 2, stroke(RED, (20, 20)))
    late = {"type": "colorReplace", "from": RED, "to": GREEN, "revision": seen}
    told = opened.post("/api/actions", json=late)
    assert told.status_code == 409 and "colours on frame 2" in told.json()["error"]
    painted(opened, 4, stroke(RED, (1, 1)), stroke(GREEN, (30, 30)))
    del late["revision"]
    do(opened, **late)
    every = [s["color"] for f in (0, 2, 4) for s in strokes_of(opened, f)]
    assert every == [GREEN] * 4, "strokes of another tab are changed with the others"


def test_a_stroke_changes_frames_beyond_the_coloured_frames_next_to_it(opened, film):
    """Why all frames are coloured again: each looks into all references, not the nearest two."""
    for frame in (1, 3, 5):
        png = base64.b64encode(_png(film[frame].rgb)).decode()
        do(opened, type="colorStill", frame=frame, png=png)
    first = _colored(opened)
    do(opened, type="colorStrokes", frame=3, strokes=[stroke(GREEN, (20, 20), (60, 20), radius=9)])
    assert project_of(opened)["color"]["result"]["staleRanges"] == [[0, FRAMES]]
    again = _colored(opened)
    apart = {f: float(np.abs(again[f] - first[f]).max()) for f in range(FRAMES)}
    assert apart[1] == apart[5] == 0, "frames with colours of their own"
    assert apart[3] > 10 and apart[0] > 0 and apart[6] > 0, apart


def _png(rgb):
    out = io.BytesIO()
    Image.fromarray(rgb).save(out, format="PNG")
    return out.getvalue()


def _colored(client):
    """{frame: ab `(2, h, w)`}, once all are coloured."""
    assert client.post("/api/colorize").status_code == 202
    assert wait_for_job(client)["color"]["result"]["complete"]
    colors = Colors(client.studio.project.folder)
    return {frame: read_colors(colors.picture(frame))[0] for frame in colors.rows}
