"""The colour flow: references by stills and strokes, run, views, stop, export, undo."""

from __future__ import annotations

import asyncio
import base64
import io
import shutil
import struct
import zlib
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from studio_client import do, events, pixels_of, project_of, studio_client, wait_for_job
from synthetic import moving_clip
from video_clips import write_clip

from chromatrack.ops.color import rgb_to_lab
from chromatrack.ops.resample import planes
from chromatrack.studio import color_marks, coloring
from chromatrack.studio.color_desk import ColorDesk
from chromatrack.studio.color_store import (
    ColoredRow,
    Colors,
    ColorWriter,
    has_earlier,
    read_colors,
)
from chromatrack.studio.document import changed_parts, new_document, with_parts
from chromatrack.studio.scrubbing import OvertakenError
from chromatrack.video.reader import probe, read_frames

FRAMES = 8


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """A grey clip, and its frames in colour."""
    frames = moving_clip(frames=FRAMES, objects=2, radius=16)
    path = tmp_path_factory.mktemp("clip") / "grey.mp4"
    greys = [Image.fromarray(frame.rgb).convert("L").convert("RGB") for frame in frames]
    write_clip(path, [np.asarray(grey) for grey in greys])
    return path, frames


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with studio_client(tmp_path_factory.mktemp("home")) as made:
        yield made


@pytest.fixture
def opened(client, film, tmp_path):
    video = shutil.copy(film[0], tmp_path / "grey.mp4")
    assert client.post("/api/open", json={"path": str(video)}).status_code == 200
    yield client
    wait_for_job(client)
    assert client.post("/api/close").status_code == 200


def picture(rgb, kind="PNG"):
    out = io.BytesIO()
    Image.fromarray(rgb).save(out, format=kind)
    return base64.b64encode(out.getvalue()).decode()


def chroma(rgb):
    return np.ptp(rgb.astype(int), axis=2).mean()


def test_from_a_still_to_a_coloured_video(opened, film):
    _, truth = film
    assert project_of(opened)["color"] == {"references": {}, "result": None}
    assert opened.post("/api/colorize").status_code == 422  # nothing is coloured
    assert opened.get("/api/color/frames/0").status_code == 404
    do(opened, type="colorStill", frame=0, png=picture(truth[0].rgb))
    reference = project_of(opened)["color"]["references"]["0"]
    assert (reference["still"], reference["strokes"]) == (True, [])
    do(opened, type="colorStill", frame=0, png=picture(truth[1].rgb))
    assert project_of(opened)["color"]["references"]["0"]["stillKey"] != reference["stillKey"]
    opened.post("/api/undo")
    assert project_of(opened)["color"]["references"]["0"] == reference
    shown = pixels_of(opened.get("/api/color/reference/0"))
    assert np.abs(shown.astype(int) - truth[0].rgb).mean() < 12
    assert opened.get("/api/color/reference/1").status_code == 404
    assert opened.post("/api/colorize", json={}).status_code == 202
    assert opened.post("/api/colorize", json={}).status_code == 409
    color = wait_for_job(opened)["color"]["result"]
    assert (color["start"], color["end"], color["complete"], color["stale"]) == (
        (0, FRAMES, True, False)
    )
    assert len(color["reliability"]) == FRAMES
    for key, keep in ((color["key"], "max-age=600"), ("run5", "no-store"), (None, "no-store")):
        asked = opened.get("/api/color/frames/0", params={"key": key} if key else {})
        assert keep in asked.headers["cache-control"]
    left = {"color": color["key"]}
    again = opened.get("/api/state", params=left).json()["project"]["color"]["result"]
    assert "reliability" not in again and again["key"] == color["key"]
    for index in (0, 5):
        found = pixels_of(opened.get(f"/api/color/frames/{index}"))
        assert np.abs(found.astype(int) - truth[index].rgb).mean() < 16
        assert chroma(found) > 0.6 * chroma(truth[index].rgb)
    pale = pixels_of(opened.get("/api/color/frames/5", params={"saturation": 0}))
    assert chroma(pale) < 4
    views = [
        pixels_of(opened.get("/api/color/frames/5", params={"view": view, "width": 80}))
        for view in ("saturation", "confidence")
    ]
    assert chroma(views[0]) < 2 < views[0].mean() and chroma(views[1]) > 10
    _, sure = read_colors(opened.studio.colors._known().picture(5))
    assert np.ptp(sure) > 0.05, "a map, and not one value for the frame"
    _exported(opened, truth)
    _weaker(opened)
    _corrected(opened, truth)
    _stale_and_undone(opened)


def _exported(opened, truth):
    assert pixels_of(opened.get("/api/export-preview", params={"format": "coloured"})).ndim == 3
    assert opened.post("/api/export", json={"format": "coloured"}).status_code == 202
    wait_for_job(opened)
    path = opened.studio.jobs.exports[list(opened.studio.jobs.exports)[-1]]
    assert probe(path).frame_count == FRAMES
    last = list(read_frames(path))[-1].rgb
    assert np.abs(last.astype(int) - truth[-1].rgb).mean() < 18


def _corrected(opened, truth):
    before = pixels_of(opened.get("/api/color/frames/6")).astype(int)
    (x, y), size = truth[6].centres[1], truth[6].mask.shape
    stroke = {"color": "#10a040", "radius": 4, "points": [[x, y]]}
    do(opened, type="colorStrokes", frame=6, strokes=[stroke])
    assert project_of(opened)["undo"]["undo"] == "Correct colours on frame 6"
    after = pixels_of(opened.get("/api/color/reference/6")).astype(int)
    rows, columns = np.mgrid[: size[0], : size[1]]
    far = np.hypot(rows - y, columns - x) > 0.3 * np.hypot(*size)
    on = np.hypot(rows - y, columns - x) < 3
    assert np.abs(after - before)[far].mean() < 3, "the rest has the colours that it had"
    assert after[on][:, 1].mean() > after[on][:, 0].mean() + 20
    do(opened, type="colorStrokes", frame=6, strokes=[])
    assert "6" not in project_of(opened)["color"]["references"]
    opened.post("/api/undo")
    opened.post("/api/undo")


def _weaker(opened):
    full = chroma(pixels_of(opened.get("/api/export-preview", params={"format": "coloured"})))
    do(opened, type="settings", saturation=0.5)
    assert project_of(opened)["settings"]["saturation"] == 0.5
    half = chroma(pixels_of(opened.get("/api/export-preview", params={"format": "coloured"})))
    assert half < 0.75 * full
    opened.post("/api/export", json={"format": "coloured", "existing": "replace"})
    wait_for_job(opened)
    path = opened.studio.jobs.exports[list(opened.studio.jobs.exports)[-1]]
    assert chroma(list(read_frames(path))[4].rgb) < 0.75 * full
    assert project_of(opened)["undo"]["undo"] == "Change saturation"
    opened.post("/api/undo")
    assert "saturation" not in project_of(opened)["settings"]


def _stale_and_undone(opened):
    stroke = {"color": "#ff0000", "radius": 4, "points": [[5, 5], [30, 5]]}
    do(opened, type="colorStrokes", frame=3, strokes=[stroke])
    color = project_of(opened)["color"]
    assert color["references"]["3"] == {
        **{"still": False, "stillKey": None, "copied": True},
        "strokes": [stroke],
    }
    assert color["result"]["stale"] and not color["result"]["complete"]
    told = opened.get("/api/color/suggest").json()
    assert told["frame"] not in (0, 3) and told["why"]
    assert opened.post("/api/undo").status_code == 200
    color = project_of(opened)["color"]
    assert list(color["references"]) == ["0"] and color["result"]["complete"]


def test_strokes_colour_what_is_like_them(opened, film):
    _, truth = film
    (ax, ay), (bx, by) = truth[0].centres[1], truth[0].centres[2]
    strokes = [
        {"color": "#e02020", "radius": 5, "points": [[ax, ay]]},
        {"color": "#2020e0", "radius": 5, "points": [[bx, by]]},
        {"color": "#808080", "radius": 4, "points": [[4, 90], [150, 90]]},
    ]
    do(opened, type="colorStrokes", frame=0, strokes=strokes)
    shown = pixels_of(opened.get("/api/color/reference/0")).astype(int)
    red, blue = shown[truth[0].mask == 1].mean(0), shown[truth[0].mask == 2].mean(0)
    ground = shown[truth[0].mask == 0].mean(0)
    assert red[0] > red[2] + 20 and blue[2] > blue[0] + 20
    assert abs(ground[0] - ground[2]) < 0.5 * min(red[0] - red[2], blue[2] - blue[0])
    do(opened, type="colorStrokes", frame=0, strokes=[])
    assert project_of(opened)["color"]["references"] == {}
    refused = opened.post("/api/actions", json={"type": "colorClear", "frame": 0})
    assert refused.status_code == 422


def test_stop_keeps_the_frames_that_are_coloured(opened, film):
    do(opened, type="colorStill", frame=0, png=picture(film[1][0].rgb, "JPEG"))
    with events(opened) as ws:
        opened.post("/api/colorize")
        while (told := ws.receive_json())["type"] not in ("done", "stopped", "failed"):
            if told["type"] == "progress" and told["frame"] == 0:
                opened.post("/api/stop")
    color = wait_for_job(opened)["color"]["result"]
    assert told["type"] == "stopped" and "coloured" in told["message"]
    assert 0 < color["end"] < FRAMES and not color["complete"]
    assert color["staleRanges"] == [[color["end"], FRAMES]]
    assert opened.get("/api/color/frames/0").status_code == 200
    assert opened.get(f"/api/color/frames/{FRAMES - 1}").status_code == 404
    with events(opened) as ws:
        opened.post("/api/colorize")
        reached = []
        while (told := ws.receive_json())["type"] not in ("done", "stopped", "failed"):
            if told["type"] == "progress" and told["frame"] is not None:
                reached.append(told["frame"])
    assert told["type"] == "done" and min(reached) >= color["end"], "on from where it was stopped"
    assert wait_for_job(opened)["color"]["result"]["complete"]


def test_a_job_tells_of_the_frames_of_all_passes(opened, film):
    for frame in (2, 6):
        do(opened, type="colorStill", frame=frame, png=picture(film[1][frame].rgb))
    news, there = [], set()
    with events(opened) as ws:
        opened.post("/api/colorize")
        while (told := ws.receive_json())["type"] not in ("done", "stopped", "failed"):
            if told["type"] == "progress":
                news.append(told)
                if told["frame"] is not None and told["frame"] not in there:
                    shown = opened.get(f"/api/color/frames/{told['frame']}")
                    assert shown.status_code == 200, "it can be shown"
                    there.add(told["frame"])
    assert (told["type"], told["message"]) == ("done", f"{FRAMES} frames coloured")
    first = [one for one in news if not one["done"]]
    later = [one for one in news if one["done"]]
    assert first and {one["message"] for one in first} == {"Getting ready"}
    assert {one["message"] for one in later} == {"Colouring"}
    passes = FRAMES + 2 + 3  # forth, back from 2, back from 6 to 3
    assert {one["total"] for one in later} == {passes} and later[-1]["done"] == passes
    done = [one["done"] for one in news]
    assert done == sorted(done)
    frames = [-1 if one["frame"] is None else one["frame"] for one in news]
    assert frames == sorted(frames) and frames[0] == -1 and frames[-1] == FRAMES - 1
    assert any(one["frame"] is None for one in later), "none can be shown while it goes back first"


def test_a_preview_is_as_strong_as_the_film(opened, film):
    do(opened, type="colorStill", frame=0, png=picture(film[1][0].rgb))
    full, pale = (
        pixels_of(opened.get("/api/color/reference/0", params={"saturation": share}))
        for share in (1, 0.5)
    )
    assert 0.35 * chroma(full) < chroma(pale) < 0.65 * chroma(full)
    light = [rgb_to_lab(planes(one.copy()).float() / 255)[0] for one in (full, pale)]
    assert float((light[0] - light[1]).abs().mean()) < 1
    refused = opened.get("/api/color/reference/0", params={"saturation": 3})
    assert refused.status_code == 422


def test_of_previews_of_a_frame_that_wait_the_model_makes_the_newest_alone():
    async def play():
        asked, gate = [], asyncio.Event()
        given = {str(n): {"still": None, "strokes": []} for n in (3, 4)}
        project = SimpleNamespace(document={"colors": given}, folder=Path())

        class Host:
            model = None

            def watched(self):
                return project, None, Path()

            async def ask(self, worker, request, /, **given):
                asked.append((given["frame"], given["saturation"]))
                await gate.wait()
                return given["saturation"]

        desk, left = ColorDesk(Host()), asyncio.get_running_loop().create_future()
        ask = partial(desk.shown_reference, 3)
        tasks = [asyncio.ensure_future(ask(n / 8, turn=("tab", n))) for n in range(6)]
        tasks.append(asyncio.ensure_future(desk.shown_reference(4, 1.0, turn=("tab", 6))))
        tasks.append(asyncio.ensure_future(ask(0.9, turn=("other", 0), gone=left)))
        left.set_result(None)
        await asyncio.sleep(0.01)
        gate.set()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        assert asked == [(3, 0.0), (4, 1.0), (3, 5 / 8)]
        assert [end for end in ends if not isinstance(end, OvertakenError)] == [0.0, 5 / 8, 1.0]

    asyncio.run(play())


def test_what_is_suggested_is_in_the_chosen_part(opened, film):
    do(opened, type="colorStill", frame=0, png=picture(film[1][0].rgb))
    do(opened, type="settings", range=[4, 7])
    told = opened.get("/api/color/suggest").json()
    assert all(4 <= frame < 7 for frame in [told["frame"], *told["others"]])
    stroke = {"color": "#112233", "radius": 2.0, "points": [[1, 2]]}
    for frame in (4, 6):
        do(opened, type="colorStrokes", frame=frame, strokes=[stroke])
    assert opened.get("/api/color/suggest").json()["frame"] == 5
    do(opened, type="colorStrokes", frame=5, strokes=[stroke])
    refused = opened.get("/api/color/suggest")
    assert (
        refused.status_code == 422 and "every frame of 4-6 has colours" in refused.json()["error"]
    )


class Alike:
    """Stands in for `FrameLooks`: all frames look the same."""

    def __init__(self, embedder):
        pass

    def of(self, rgb):
        return torch.ones(48, 1)


def test_doubtful_colours_beyond_the_part_are_not_suggested(monkeypatch):
    monkeypatch.setattr(coloring, "FrameLooks", Alike)
    doubtful = [{"first": 20, "last": 32}, {"first": 60, "last": 73}, {"first": 90, "last": 99}]

    def told(part, references=(0,)):
        return coloring.suggested(lambda _: None, None, part, references, doubtful)

    assert told((0, 200))["frame"] == 26
    inside = told((70, 140))
    assert (inside["frame"], inside["others"]) == (71, [94]), "the piece that is in the part"
    assert told((70, 140), references=(71,))["frame"] == 94
    assert 110 <= told((110, 140))["frame"] < 140
    compared = {round(i) for i in np.linspace(110, 139, 8)}
    farthest = told((110, 140), references=sorted(compared))["frame"]
    assert 110 <= farthest < 140 and farthest not in compared


@pytest.mark.parametrize("png", ["", "abc", picture(np.zeros((4, 4, 3), np.uint8))[:40]])
def test_what_is_no_picture_is_refused(opened, png):
    answer = opened.post("/api/actions", json={"type": "colorStill", "frame": 0, "png": png})
    assert answer.status_code == 422 and "picture" in answer.json()["error"]


def black_png(side):
    """A black picture of one bit a pixel, a row at a time: as one in memory it has a byte each."""
    squeezed, row = zlib.compressobj(), bytes(1 + side // 8)
    content = b"".join(squeezed.compress(row) for _ in range(side)) + squeezed.flush()
    head = struct.pack(">2I5B", side, side, 1, 0, 0, 0, 0)
    parts = [b"\x89PNG\r\n\x1a\n"]
    for kind, data in ((b"IHDR", head), (b"IDAT", content), (b"IEND", b"")):
        parts += [struct.pack(">I", len(data)), kind, data]
        parts.append(struct.pack(">I", zlib.crc32(kind + data)))
    return b"".join(parts)


def test_a_picture_that_would_fill_the_memory_is_refused(opened):
    png = base64.b64encode(black_png(40_000)).decode()
    assert len(png) < 1 << 20
    answer = opened.post("/api/actions", json={"type": "colorStill", "frame": 0, "png": png})
    assert answer.status_code == 422 and "mega" in answer.json()["error"]
    do(opened, type="add", kind="object")
    answer = opened.post("/api/actions", json={"type": "mask", "id": 1, "frame": 0, "png": png})
    assert answer.status_code == 422 and "160x96" in answer.json()["error"]


def test_actions_on_colours_are_undone_part_by_part():
    old = new_document("a", {"path": "", "name": "", "digest": ""})
    new = color_marks.with_strokes(
        old, 3, [{"color": "#112233", "radius": 2.0, "points": [[1, 2]]}]
    )
    before, after = changed_parts(old, new)
    assert list(after) == ["colors/3"]
    assert color_marks.references(with_parts(old, after)) == color_marks.references(new)
    assert color_marks.references(with_parts(new, before)) == {}
    assert color_marks.references_key(old) != color_marks.references_key(new)


def test_colours_come_back_from_disk_and_half_a_line_is_passed_over(tmp_path):
    writer = ColorWriter(tmp_path)
    ab = np.stack([np.full((3, 4), 20.3), np.full((3, 4), -51.6)]).astype(np.float32)
    certainty = np.linspace(0, 1, 12).reshape(3, 4)
    writer.put(ColoredRow(2, 0.1, 0.8, "k"), ab, certainty)
    writer.put(ColoredRow(3, 0.2, 0.2, "k"), ab, certainty)
    writer.close()
    table = next(tmp_path.rglob("frames.jsonl"))
    with table.open("ab") as file:
        file.write(b'{"index": 4, "pts')
    colors = Colors(tmp_path)
    assert sorted(colors.rows) == [2, 3]
    found, sure = read_colors(colors.picture(2))
    assert np.abs(found - ab).max() <= 0.5 and np.abs(sure - certainty).max() < 0.003
    told = colors.told("k", wanted=(2, 5))
    assert told["staleRanges"] == [[4, 5]] and told["reliability"] == [0.8, 0.2]
    assert told["lookAt"][0]["first"] == 3
    assert colors.told("other", wanted=(2, 4))["staleRanges"] == [[2, 4]]


def test_no_frame_is_suggested_where_all_have_colours(opened):
    stroke = {"color": "#112233", "radius": 2.0, "points": [[1, 2]]}
    for frame in range(FRAMES):
        do(opened, type="colorStrokes", frame=frame, strokes=[stroke])
    answer = opened.get("/api/color/suggest")
    assert answer.status_code == 422 and "every frame has colours" in answer.json()["error"]


def colors_of(client):
    """{frame: its copied colours}, and the part of the state."""
    color = wait_for_job(client)["color"]["result"]
    shown = {}
    for frame in range(color["start"], color["end"]):
        shown[frame] = pixels_of(client.get(f"/api/color/frames/{frame}")).tolist()
    return shown, color


@pytest.mark.slow
def test_undo_and_redo_bring_back_what_was_coloured(opened, film):
    do(opened, type="colorStill", frame=0, png=picture(film[1][0].rgb))
    opened.post("/api/colorize")
    first, told = colors_of(opened)
    assert told["complete"]
    do(opened, type="colorStill", frame=4, png=picture(255 - film[1][4].rgb))
    opened.post("/api/colorize")
    second, told = colors_of(opened)
    assert told["complete"] and second[4] != first[4]
    for way, wanted in (("undo", first), ("redo", second), ("undo", first)):
        turned = opened.post(f"/api/{way}").json()
        assert turned["results"] is True
        shown, told = colors_of(opened)
        assert told["complete"] and shown == wanted
    do(opened, type="colorStill", frame=6, png=picture(film[1][6].rgb))
    shown, told = colors_of(opened)
    assert told["stale"] and shown == first, "shown until it is coloured anew"


def test_colors_of_references_long_ago_go(tmp_path, monkeypatch):
    monkeypatch.setattr("chromatrack.studio.color_store.MOST_EARLIER", 2)
    for n in range(5):
        writer = ColorWriter(tmp_path)
        levels = np.full((2, 4, 4), float(n))
        writer.put(ColoredRow(0, 0.0, 0.5, f"k{n}"), levels, np.ones((4, 4)))
        writer.close()
    assert [n for n in range(5) if has_earlier(tmp_path, f"k{n}")] == [2, 3]
    assert not has_earlier(tmp_path, "../k")
    writer = ColorWriter(tmp_path)
    assert writer.bring_back("k2") == 1 and writer.bring_back("k2") == 0
    writer.close()
    assert Colors(tmp_path).rows[0].key == "k2" and has_earlier(tmp_path, "k4")
    ab, _ = read_colors(Colors(tmp_path).picture(0))
    assert (ab == 2).all()
