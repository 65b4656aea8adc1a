"""Exports of the studio: what a folder holds, pictures for labelling tools, previews, stops."""

from __future__ import annotations

import io
import itertools
import json
import os
import re
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from studio_client import do, events, pixels_of, png_of, studio_client, wait_for_job
from synthetic import moving_clip
from video_clips import write_clip

from chromatrack.formats.tracked_video import Trust
from chromatrack.runs.reader import read_result
from chromatrack.studio.color_store import ColoredRow, ColorWriter
from chromatrack.studio.export_list import IN_COLORS, VIDEO, all_formats, export_path
from chromatrack.studio.exports import preview, write_export
from chromatrack.video.reader import read_frame
from chromatrack.viz.overlays import mask_outline

FRAMES = 4


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """A project in which two objects and a point are tracked."""
    home = tmp_path_factory.mktemp("home")
    truth = moving_clip(frames=FRAMES, objects=2, radius=16)
    write_clip(home / "bike.mp4", [frame.rgb for frame in truth])
    with studio_client(home) as made:
        assert made.post("/api/open", json={"path": str(home / "bike.mp4")}).status_code == 200
        for number in (1, 2):
            do(made, type="add", kind="object", name=f"object {number}")
            png = png_of(truth[0].mask == number)
            do(made, type="mask", id=number, frame=0, png=png)
        do(made, type="add", kind="point")
        do(made, type="point", id=1, frame=0, at=list(truth[0].centres[2]))
        assert made.post("/api/track", json={}).status_code == 202
        wait_for_job(made)
        yield made


@pytest.fixture
def project(client) -> Path:
    """Its folder, with no exports."""
    folder = client.studio.project.folder
    shutil.rmtree(folder / "exports", ignore_errors=True)
    return folder


def export(client, name: str, **more):
    """What is told of an export until its end; it takes the place of one that is there."""
    more = {"existing": "replace"} | more
    told = []
    with events(client) as ws:
        assert client.post("/api/export", json={"format": name, **more}).status_code == 202
        while not told or told[-1]["type"] not in ("done", "failed", "stopped"):
            told.append(ws.receive_json())
    wait_for_job(client)
    return told


def files(folder: Path) -> list[str]:
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return sorted(found)


def packed(client, told) -> list[str]:
    content = client.get(told[-1]["download"])
    with zipfile.ZipFile(io.BytesIO(content.content)) as archive:
        return sorted(archive.namelist())


def given(folder: Path, **more):
    """What `write_export` and `preview` are given of a project."""
    names = {"object:1": "cow", "object:2": "calf"}
    video = read_result(folder).find_video()
    return {
        "names": names,
        "colors": {},
        "keep": names,
        "video": video,
        "start_number": None,
    } | more


def test_nothing_is_replaced_unasked(client, project):
    """What is there is said before, and is replaced or kept as is said."""

    def place(name: str):
        return client.get("/api/export-place", params={"format": name}).json()

    nothing = {"name": "table.csv", "made": None, "older": False, "free": "table.csv"}
    assert place("tidy-csv") == {**nothing, "files": []}
    assert export(client, "tidy-csv", existing=None)[-1]["type"] == "done"
    first = project / "exports/table.csv"
    first.write_text("mine")
    told = {"name": "table.csv", "made": first.stat().st_mtime, "free": "table-2.csv"}
    assert place("tidy-csv") == {**told, "older": False, "files": []}
    tracked = (project / "result.json").stat().st_mtime
    os.utime(first, (tracked - 60, tracked - 60))
    assert place("tidy-csv")["older"]
    refused = client.post("/api/export", json={"format": "tidy-csv"})
    assert refused.status_code == 422 and "table.csv: is in exports already" in refused.text
    for number in (2, 3):
        told = export(client, "tidy-csv", existing="keep")
        assert Path(told[-1]["path"]).name == f"table-{number}.csv"
    assert first.read_text() == "mine"
    export(client, "tidy-csv", existing="replace")
    assert first.read_text() != "mine" and place("tidy-csv")["free"] == "table-4.csv"


def test_a_folder_is_kept_whole_beside_a_new_one(client, project):
    export(client, "cutout")
    (project / "exports/cutout/00001.png").write_bytes(b"retouched")
    export(client, "cutout", existing="keep")
    assert (project / "exports/cutout/00001.png").read_bytes() == b"retouched"
    assert files(project / "exports/cutout-2") == [f"{n:05d}.png" for n in range(FRAMES)]
    assert export(client, "cutout", existing="keep")[-1]["path"].endswith("cutout-3")


def test_a_renamed_object_leaves_nothing_behind(client, project):
    do(client, type="change", key="object:1", name="object 1")
    told = export(client, "cutout-prores")
    assert files(project / "exports/cutout-prores") == ["all.mov", "object 1.mov", "object 2.mov"]
    progress = [(one["done"], one["total"]) for one in told if one["type"] == "progress"]
    assert progress[0] == (0, FRAMES) and progress[-1] == (FRAMES, FRAMES)
    (project / "exports/cutout-prores/grade.txt").write_text("mine")
    do(client, type="change", key="object:1", name="boy with bike")
    place = client.get("/api/export-place", params={"format": "cutout-prores"}).json()
    assert place["files"] == ["boy with bike.mov", "object 2.mov", "all.mov"]
    told = export(client, "cutout-prores")
    ours = ["all.mov", "boy with bike.mov", "object 2.mov"]
    assert files(project / "exports/cutout-prores") == sorted([*ours, "grade.txt"])
    assert packed(client, told) == ours


def test_the_cut_outs_of_the_studio_hold_no_older_frames(client, project):
    folder = project / "exports/cutout"
    export(client, "cutout")
    assert files(folder) == [f"{n:05d}.png" for n in range(FRAMES)]
    (folder / "00002.png").write_bytes(b"retouched")
    told = export(client, "cutout")
    assert told[-1]["type"] == "failed"
    assert "cutout/00002.png: is there already" in told[-1]["message"]
    assert (folder / "00002.png").read_bytes() == b"retouched"
    (folder / "00002.png").rename(folder / "retouched.png")
    told = export(client, "cutout")
    assert packed(client, told) == [f"{n:05d}.png" for n in range(FRAMES)]
    assert (folder / "retouched.png").read_bytes() == b"retouched"


def test_paths_are_drawn_as_far_as_things_went(client, project, tmp_path):
    """The picture before it shows what the video shows on that frame."""
    more = given(project)
    output = export_path(tmp_path, "paths")
    write_export(project, "paths", output, progress=lambda *_: None, **more)
    plain = export_path(tmp_path, "outlines")
    write_export(project, "outlines", plain, progress=lambda *_: None, **more)
    change = []
    for index in range(FRAMES):
        pair = [read_frame(one, index=index).rgb.astype(int) for one in (output, plain)]
        change.append((np.abs(pair[0] - pair[1]).max(axis=2) > 60).sum())
    assert change[0] == 0 and change == sorted(change) and change[-1] > 0
    last = FRAMES - 1
    shown = np.asarray(preview(project, "paths", frame=last, **more).convert("RGB")).astype(int)
    film, without = (read_frame(one, index=last).rgb.astype(int) for one in (output, plain))
    line = np.abs(film - without).max(axis=2) > 60
    assert np.abs(shown - film)[line].mean() < np.abs(shown - without)[line].mean() / 2


def test_frames_are_the_pictures_that_formats_name(client, project, tmp_path):
    told = export(client, "coco")
    assert 'It names pictures: export "Frames, JPEG", too, to have them.' in told[-1]["notes"]
    told = export(client, "frames")
    assert told[-1]["notes"] == [] and packed(client, told) == files(project / "exports/frames")
    coco = json.loads((project / "exports/coco.json").read_text())
    for image in coco["images"]:
        path = project / "exports/frames" / image["file_name"]
        with Image.open(path) as picture:
            assert picture.format == "JPEG" and picture.size == (image["width"], image["height"])
            shown = np.asarray(picture).astype(int)
        exact = read_frame(client.studio.video.path, index=image["frame_index"]).rgb.astype(int)
        assert np.abs(shown - exact).mean() < 3
    assert len(files(project / "exports/frames")) == FRAMES
    export(client, "labelme")
    for file in (project / "exports/labelme").iterdir():
        named = json.loads(file.read_text())["imagePath"]
        assert (project / "exports/frames/bike" / named).is_file()
    assert "notes" in told[-1]
    assert not export(client, "tidy-csv")[-1]["notes"]


def test_frames_count_as_the_format_does(project):
    told = []
    counted = given(project, start_number=1001, progress=lambda *said: told.append(said))
    for name in ("frames", "youtube-vis"):
        write_export(project, name, export_path(project, name), **counted)
    vis = json.loads((project / "exports/youtube-vis.json").read_text())
    assert vis["videos"][0]["file_names"] == files(project / "exports/frames")
    assert files(project / "exports/frames")[0] == "bike/01001.jpg"
    assert told[-1] == ("export", FRAMES, FRAMES)


def test_pictures_of_a_folder_go_along_as_they_are(project, tmp_path):
    pictures = tmp_path / "walk"
    pictures.mkdir()
    for n in range(FRAMES):
        rgb = read_frame(read_result(project).find_video(), index=n).rgb
        Image.fromarray(rgb).save(pictures / f"walk {n + 17}.png")
    said = given(project, video=pictures, progress=lambda *_: None)
    write_export(project, "frames", tmp_path / "frames", **said)
    found = tmp_path / "frames/bike"
    assert [path.name for path in sorted(found.iterdir())] == [
        f"walk {n}.png" for n in range(17, 21)
    ]
    for path in found.iterdir():
        assert path.read_bytes() == (pictures / path.name).read_bytes()


WRITTEN = [one["name"] for one in all_formats() if "object" in one["kinds"] and one["available"]]


@pytest.mark.parametrize("name", WRITTEN)
def test_a_stop_leaves_what_was_there(project, name):
    output = export_path(project, name)
    told = []

    def stop(what, done, total):
        told.append(done)
        if done:
            raise KeyboardInterrupt

    write_export(project, name, output, **given(project, progress=lambda *_: None))

    def here():
        home = project / "exports"
        return {one: (home / one).read_bytes() for one in files(home)}

    before = here()
    with pytest.raises(KeyboardInterrupt):
        more = given(project, names={"object:1": "new", "object:2": "names"}, progress=stop)
        write_export(project, name, output, **more)
    assert here() == before and told[-1] in (1, FRAMES)


def test_a_stop_is_told(client, project):
    with events(client) as ws:
        client.post("/api/export", json={"format": "cutout-png"})
        client.post("/api/stop")
        while (told := ws.receive_json())["type"] not in ("done", "stopped", "failed"):
            pass
    wait_for_job(client)
    assert (told["type"], told["message"]) == ("stopped", "Stopped: nothing was written")
    assert not (project / "exports/cutout-png").exists()


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("cutout", "RGBA"),
        ("cutout-png", "RGBA"),
        ("cutout-prores", "RGBA"),
        ("matte-png", "L"),
        ("matte-prores", "L"),
        ("cryptomatte", "RGB"),
        ("frames", "RGB"),
    ],
)
def test_pictures_are_shown_before_they_are_written(client, project, name, mode):
    shown = client.get("/api/export-preview", params={"format": name})
    assert shown.headers["content-type"] == "image/png"
    picture = preview(project, name, **given(project))
    assert isinstance(picture, Image.Image)
    assert picture.mode == mode and picture.size == (160, 96)
    inside = read_result(project).mask(FRAMES // 2) > 0
    pixels = np.asarray(picture).astype(int)
    if mode == "RGBA":
        assert pixels[..., 3][inside].mean() > 200 and pixels[..., 3][~inside].mean() < 10
    elif name != "frames":
        level = pixels if mode == "L" else pixels.max(axis=2)
        assert level[inside].mean() > 100 and level[~inside].mean() < 10
    assert pixels_of(shown).shape[:2] == (96, 160)
    ask = {"format": name, "frame": FRAMES - 1}
    last = pixels_of(client.get("/api/export-preview", params=ask))
    beyond = pixels_of(client.get("/api/export-preview", params=ask | {"frame": 10**6}))
    assert not np.array_equal(last, pixels_of(shown)), "the frame that is looked at"
    assert np.array_equal(beyond, pixels_of(shown)), "which was not tracked: the middle one"


def test_a_person_who_edits_videos_finds_transparency():
    formats = all_formats()
    tools = [
        [one["tool"] for one in all_formats(sound=there) if one["name"] in ("coloured", "textured")]
        for there in (False, True)
    ]
    assert tools == [["MP4"] * 2, ["MP4, sound is kept"] * 2], "said where there is any"
    assert len({one["name"] for one in formats}) == len(formats)
    assert len({one["title"] for one in formats}) == len(formats)
    for one in formats:
        assert len(one["title"]) <= 34 and len(one["tool"]) <= 42, one
    (found,) = [one for one in formats if one["name"] == "cutout-prores"]
    assert found["group"] == VIDEO and formats.index(found) == 2
    text = f"{found['title']} {found['name']} {found['group']} {found['tool']}".lower()
    for typed in ("cut out", "transparent", "alpha", "video", "prores", "editor"):
        assert typed in text
    # A format that is looked for by its own name is not found behind another that speaks of it.
    for name in ("coco", "labelme", "davis"):
        texts = [f"{one['title']} {one['name']} {one['tool']}".lower() for one in formats]
        assert formats[next(n for n, text in enumerate(texts) if name in text)]["name"] == name
    of_objects = [one for one in formats if one["name"].startswith("cutout")]
    for one in of_objects:
        assert re.match("(Each object|All objects) cut out, ", one["title"])
        assert len(one["tool"]) <= 36
    groups = [one["group"] for one in formats]
    assert sum(a != b for a, b in itertools.pairwise(groups)) == len(set(groups)) - 1


@pytest.fixture
def purple(project):
    """The project, its film coloured purple but for the last frame."""
    writer = ColorWriter(project)
    ab = np.stack([np.full((24, 40), 45.0), np.full((24, 40), -45.0)])
    for index in range(FRAMES - 1):
        writer.put(ColoredRow(index, index / 25, 0.9, "key"), ab, np.ones((24, 40)))
    writer.close()
    yield project
    shutil.rmtree(project / "studio" / "colors")


def is_purple(rgb, where):
    red, green, blue = rgb[..., :3].astype(int)[where].reshape(-1, 3).mean(0)
    return bool(red > green + 25 and blue > green + 25)


@pytest.mark.parametrize("name", ["cutout", "cutout-png", "cutout-prores", "overlay", "outlines"])
def test_what_shows_a_coloured_film_is_in_its_colours(purple, tmp_path, name):
    output = export_path(tmp_path, name)
    told = write_export(purple, name, output, progress=lambda *_: None, **given(purple))
    assert told["notes"] == ["1 frames have no colours yet and are as in the video"]
    shown = preview(purple, name, frame=0, **given(purple))
    masks = [read_result(purple).mask(index) for index in (0, FRAMES - 1)]
    where = [np.s_[:8] if name in ("overlay", "outlines") else mask == 1 for mask in masks]
    assert is_purple(np.asarray(shown), where[0])
    if name.startswith("cutout") and name != "cutout-prores":
        folder = output if name == "cutout" else output / "cow"
        found = [np.asarray(Image.open(folder / f"{n:05d}.png")) for n in (0, FRAMES - 1)]
    else:
        path = output / "cow.mov" if name == "cutout-prores" else output
        found = [read_frame(path, index=n).rgb for n in (0, FRAMES - 1)]
    assert [is_purple(*one) for one in zip(found, where, strict=True)] == [True, False]


@pytest.mark.parametrize("name", ["overlay", "outlines", "cutout"])
def test_doubtful_frames_are_marked_where_lines_are_drawn(
    client, project, tmp_path, monkeypatch, name
):
    """Object 1, or the point, is doubtful on the second frame."""
    doubts = np.array([0.0, 1.0, np.nan, 0.0])

    def trust(result):
        assert len(result.frames) == FRAMES  # a part of them would be told less
        thing = ("point", 1) if name == "overlay" else ("object", 1)
        return Trust(doubtful={thing: doubts[result.indices]})

    monkeypatch.setattr("chromatrack.runs.export.trust_in", trust)
    more = given(project)
    names = more["names"] = more["names"] | {"point:1": "nose"}
    more["keep"] = names
    found = []
    for is_marked in (True, False):
        output = export_path(tmp_path / str(is_marked), name)
        told = {"mark_doubtful": is_marked, "progress": lambda *_: None}
        write_export(project, name, output, **told, **more)
        if name == "cutout":
            files = sorted(output.iterdir())
            found.append([np.asarray(Image.open(file)).astype(int) for file in files])
        else:
            frames = [read_frame(output, index=n).rgb.astype(int) for n in range(FRAMES)]
            found.append(frames)
    change = [np.abs(a - b).max(axis=-1) > 60 for a, b in zip(*found, strict=True)]
    assert [one.any() for one in change] == [False, name != "cutout", False, False]
    ask = {"format": name, "frame": 1}
    shown = [
        pixels_of(client.get("/api/export-preview", params=ask | {"markDoubtful": is_marked}))
        for is_marked in (True, False)
    ]
    assert np.array_equal(shown[0], shown[1]) == (name == "cutout")
    if name == "outlines":  # its edge is dashed; the other object's is not
        mask = read_result(project).mask(1)
        edge = mask_outline(mask)
        assert change[1][edge & (mask == 1)].mean() > 0.05
        assert change[1][edge & (mask == 2)].mean() < 0.02


def test_tables_stay_as_in_the_video(purple, tmp_path):
    output = export_path(tmp_path, "coco")
    told = write_export(purple, "coco", output, progress=lambda *_: None, **given(purple))
    assert not any("colours" in note for note in told["notes"])
    assert {one["name"] for one in all_formats() if one["inColors"]} == set(IN_COLORS)
