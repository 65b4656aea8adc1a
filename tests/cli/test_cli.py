"""The commands, run as a user does: what they write, what they say and how they exit."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict, fields
from fractions import Fraction
from pathlib import Path
from typing import get_args, get_type_hints

import numpy as np
import pytest
import video_clips
from PIL import Image
from processes import Fork, command, until
from synthetic import moving_clip, rgb_of, write_clip, write_masks
from training_runs import ends_quickly

from chromatrack import __version__
from chromatrack.cli import main as cli
from chromatrack.cli import track as commands
from chromatrack.cli.mark_files import MarkFiles, read_mark_files
from chromatrack.cli.options import (
    DEFAULTS,
    EvaluateKnobs,
    OutputOptions,
    TrackKnobs,
    track_config,
)
from chromatrack.cli.progress import frame_bar
from chromatrack.cli.track import with_look_at
from chromatrack.evaluation.datasets.davis import evaluate_davis
from chromatrack.evaluation.protocols import PROTOCOLS, ProtocolName
from chromatrack.formats.masks import read_mask
from chromatrack.model.weights import MODELS, save_encoder
from chromatrack.propagation.bidirectional import Direction
from chromatrack.propagation.propagate import PropagateConfig
from chromatrack.propagation.reliability import ReviewRange
from chromatrack.runs.progress import stop_on_interrupt
from chromatrack.tracking.config import ColoringConfig, TrackConfig
from chromatrack.tracking.tracker import Tracker
from chromatrack.uses.plane_motion import Motion
from chromatrack.uses.warp import Fill
from chromatrack.video.encoding import Quality as VideoQuality
from chromatrack.video.reader import probe, read_frames

SIZE = (64, 96)
SOURCES = Path(__file__).resolve().parents[2] / "src"


def run(*arguments: object) -> int:
    """Exit code of a command in this process."""
    try:
        return cli.main([str(argument) for argument in arguments])
    except SystemExit as stop:
        return int(stop.code or 0)


def ask_to_stop_once(process: Fork, sign: Path) -> tuple[int, str, str]:
    """Send Ctrl-C as soon as `sign` (a pattern) exists; exit code, stdout and stderr."""
    until(sign, process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    return process.wait(0), out, err


@pytest.fixture
def model(tiny_encoder, tmp_path) -> Path:
    path = tmp_path / "tiny.safetensors"
    save_encoder(path, tiny_encoder)
    return path


@pytest.fixture
def truth():
    return moving_clip(frames=6, size=SIZE, objects=2, radius=9)


@pytest.fixture
def clip(tmp_path, truth) -> Path:
    """Six frames with uneven times from 0 on, and sound."""
    return video_clips.write_clip(
        tmp_path / "clip.mp4",
        rgb_of(truth),
        ticks=[0, 4, 6, 10, 12, 20],
        time_base=Fraction(1, 40),
        tone="aac",
    )


@pytest.fixture
def first(tmp_path, truth) -> Path:
    write_masks(tmp_path / "first", truth[:1])
    return tmp_path / "first/00000.png"


# -- track ---------------------------------------------------------------------------------


def as_json(config: PropagateConfig) -> dict:
    """As result.json has it: tuples are lists there."""
    return json.loads(json.dumps(asdict(config)))


def test_track_writes_masks_overlay_and_result(clip, first, model, truth, tmp_path, capsys):
    out = tmp_path / "out"
    knobs = (
        "--recent",
        3,
        "--top-k",
        4,
        "--recent-radius",
        5,
        "--radius-shape",
        "disc",
        "--size",
        48,
    )
    assert run("track", clip, "--masks", first, "-o", out, "--model", model, *knobs) == 0
    said = capsys.readouterr()
    assert said.out.startswith("6 frames in ") and str(out) in said.out and said.err == ""

    names = [f"{index:05d}.png" for index in range(6)]
    assert sorted(path.name for path in (out / "masks").iterdir()) == names
    np.testing.assert_array_equal(read_mask(out / "masks/00000.png"), truth[0].mask)
    assert Image.open(out / "masks/00003.png").mode == "P"

    result = json.loads((out / "result.json").read_text())
    assert (result["schema_version"], result["chromatrack_version"]) == (2, __version__)
    assert result["complete"] is True and result["reason"] is None
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    assert result["model"] == {"name": str(model), "sha256": digest}
    assert result["config"] == {
        "size": 48,
        "stride": None,
        "adapt": 0.7,
        "mirror": False,
        "int8": True,
        "narrow": False,
        "redetect": True,
        "start": 0,
        "end": None,
        "direction": "both",
        "propagate": as_json(
            PropagateConfig(recent=3, top_k=4, radius=20, recent_radius=5, radius_shape="disc")
        ),
        "color": as_json(
            PropagateConfig(
                recent=3,
                top_k=4,
                radius=20,
                recent_radius=5,
                radius_shape="disc",
                restrict_first=False,
            )
        ),
        "coloring": {"carry": True, "confidence_floor": 0.15, "faded": False},
        "square": False,
        "long_multiple": 1,
        "upsample": "guided",
        "stretch": False,
        "protocol": "ours",
        "decoder": "auto",
    }
    assert result["objects"] == [1, 2] and result["marked_frames"] == [0]
    assert (result["video"]["height"], result["video"]["width"]) == SIZE
    for frame in result["frames"]:
        mask = read_mask(out / "masks" / f"{frame['index']:05d}.png")
        assert frame["areas"] == {str(k): int((mask == k).sum()) for k in (1, 2)}
        assert all(0 <= value <= 1 for value in frame["entropy"].values())
    times = [frame["pts_seconds"] for frame in result["frames"]]
    assert times == pytest.approx([0, 0.1, 0.15, 0.25, 0.3, 0.5])
    timings = result["timings"]
    assert timings["frames"] == 6
    assert timings["frames_per_second"] == pytest.approx(6 / timings["seconds"])
    assert timings["track_seconds"] + timings["write_seconds"] < timings["seconds"]

    shown = [frame.pts_seconds for frame in read_frames(out / "overlay.mp4")]
    assert shown == pytest.approx(times, abs=1e-3)
    assert probe(out / "overlay.mp4").has_audio


def write_json(path: Path, data: object) -> Path:
    path.write_text(json.dumps(data))
    return path


@pytest.fixture
def mark_files(tmp_path) -> dict[str, Path]:
    """One file of every kind but masks, for frame 0 (a second point for frame 2)."""
    points, boxes = tmp_path / "points.csv", tmp_path / "boxes.csv"
    points.write_text("id,frame,x,y\n4,0,30,31.5\n5,2,40,20\n")
    boxes.write_text("id,frame,x,y,width,height\n6,0,20,15,25,26\n")
    corners = [[60, 40], [80, 40], [80, 60], [60, 60]]
    outline = {"id": 9, "frame": 0, "polygon": corners}
    joints = {"hip": [20, 30], "knee": None, "foot": [25, 40]}
    names = {"names": ["hip", "knee", "foot"], "edges": [["hip", "knee"], ["knee", "foot"]]}
    return {
        "points": points,
        "boxes": boxes,
        "polygons": write_json(tmp_path / "outlines.json", {"objects": [outline]}),
        "keypoints": write_json(
            tmp_path / "pose.json", {"marks": [{"id": 8, "frame": 0, "joints": joints}]}
        ),
        "skeleton": write_json(tmp_path / "skeleton.json", names),
    }


def test_track_takes_every_kind_in_one_run(clip, first, mark_files, model, tmp_path):
    out = tmp_path / "out"
    named = [word for name, path in mark_files.items() for word in (f"--{name}", path)]
    lost = ("--lost", "1@4", "2@3", "--lost", "2@5")
    common = ("track", clip, "--masks", first, *named, "-o", out, "--model", model)
    assert run(*common, *lost, "--direction", "forward") == 0
    result = json.loads((out / "result.json").read_text())
    assert result["objects"] == [1, 2, 9] and result["points"] == [4, 5]
    assert result["boxes"] == [6] and result["keypoints"] == [8]
    assert result["marks"]["lost"] == [[1, 4], [2, 3], [2, 5]]
    assert result["marks"]["skeleton"]["edges"] == [[0, 1], [1, 2]]
    assert result["config"]["direction"] == "forward"
    assert [row["present"]["2"] for row in result["frames"]][3] is False
    header, *rows = (out / "tracks.csv").read_text().splitlines()
    assert header == "id,frame,pts_seconds,x,y,visible,confidence,name,category,color"
    assert "4,0,0.000000,30.000,31.500,1,1.0000,,," in rows
    assert "6,0,0.000000,20.000,15.000,25.000,26.000,1,1.0000" in (out / "boxes.csv").read_text()
    category = json.loads((out / "keypoints.json").read_text())["categories"][0]
    assert category["keypoints"] == ["hip", "knee", "foot"]
    assert category["skeleton"] == [[1, 2], [2, 3]]


def test_a_skeleton_of_the_same_joints_in_another_order_draws_the_same(clip, mark_files, model):
    other = {"names": ["foot", "hip", "knee"], "edges": [["foot", "hip"]]}
    files = MarkFiles(keypoints=mark_files["keypoints"], skeleton=mark_files["skeleton"])
    data = json.loads(files.keypoints.read_text()) | {
        "skeleton": json.loads(files.skeleton.read_text())
    }
    write_json(files.keypoints, data)
    write_json(files.skeleton, other)
    given = read_mark_files(files, str(clip), output=clip.parent / "out", start=0)
    assert given.skeleton is not None
    assert given.skeleton.names == ("hip", "knee", "foot") and given.skeleton.edges == ((2, 0),)


def test_masks_of_an_earlier_run_are_not_read_and_overwritten(clip, first, model, tmp_path, capsys):
    assert run("track", clip, "--masks", first, "-o", tmp_path, "--model", model) == 0
    for name in ("masks", "marks"):
        before = (tmp_path / name / "00000.png").read_bytes()
        capsys.readouterr()
        assert run("track", clip, "--masks", tmp_path / name, "-o", tmp_path) == 2
        assert "choose another output" in capsys.readouterr().err
        assert (tmp_path / name / "00000.png").read_bytes() == before


def test_stabilize_and_events_use_what_was_tracked(clip, first, model, tmp_path, capsys):
    out, steady = tmp_path / "out", tmp_path / "steady.mp4"
    assert run("track", clip, "--masks", first, "-o", out, "--model", model) == 0
    capsys.readouterr()
    assert run("stabilize", clip, "--track", out, "--lock", 2, "-o", steady, "--fill", "edge") == 0
    said = capsys.readouterr()
    assert "6 frames in" in said.out and "object 2 held as on frame 0" in said.out
    assert [frame.index for frame in read_frames(steady)] == list(range(6))
    lines = refusal(capsys, "stabilize", clip, "--track", out, "-o", steady)
    assert "say which thing to lock on; there are object:1, object:2, background" in lines

    assert run("events", out) == 0
    printed = capsys.readouterr().out
    table, rows = tmp_path / "events.csv", tmp_path / "frames.csv"
    more = ("--near", 5, "--still", 10)
    assert run("events", out, "-o", table, "--per-frame", rows, *more) == 0
    assert table.read_text() == printed and printed.startswith("event,kind,id,")
    assert f"events: {table}" in capsys.readouterr().out
    columns = "kind,id,frame,pts_seconds,x,y,area,speed,unit,name,category,color"
    assert rows.read_text().splitlines()[0] == columns
    assert run("events", out, "--near", -1) == 2
    assert "near: expected a number from 0 up" in capsys.readouterr().err
    assert "there is no result.json in it" in refusal(capsys, "events", tmp_path / "nothing")

    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    for line in (
        refusal(capsys, "events", out, "-o", out / "result.json"),
        refusal(capsys, "events", out, "-o", table, "--per-frame", out / "masks" / "00000.png"),
        refusal(capsys, "stabilize", clip, "--track", out, "--lock", 2, "-o", out / "masks"),
        refusal(capsys, "stabilize", clip, "--track", out, "--lock", 2, "-o", out),
        refusal(capsys, "stabilize", clip, "--track", out, "--lock", 2, "-o", out / "overlay.mp4"),
    ):
        assert "would be overwritten" in line and "choose another output" in line
    assert "one name for both" in refusal(capsys, "events", out, "-o", table, "--per-frame", table)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_track_takes_a_range_in_frames_or_seconds(clip, truth, model, tmp_path):
    marks = write_masks(tmp_path / "marks", truth[1:4:2])
    common = ("track", clip, "--masks", marks, "--model", model)
    assert run(*common, "-o", tmp_path / "a", "--start", 1, "--end", 5) == 0
    assert run(*common, "-o", tmp_path / "b", "--start", "0.12s", "--end", "0.5s") == 0
    results = [json.loads((tmp_path / name / "result.json").read_text()) for name in "ab"]
    for result in results:
        assert [frame["index"] for frame in result["frames"]] == [1, 2, 3, 4]
        assert result["marked_frames"] == [1, 3]
    assert results[0]["frames"] == results[1]["frames"]
    assert sorted(p.name for p in (tmp_path / "a/masks").iterdir())[0] == "00001.png"


def test_track_leaves_no_mask_of_a_longer_run_and_no_other_file_lost(clip, first, model, tmp_path):
    out = tmp_path / "out"
    common = ("track", clip, "--masks", first, "-o", out, "--model", model)
    assert run(*common) == 0
    mine = [out / "notes.txt", out / "masks/notes.txt", out / "masks/sketch.png"]
    for path in mine:
        path.write_text("mine")
    assert run(*common, "--end", 2) == 0
    kept = {path.name for path in (out / "masks").iterdir()}
    assert kept == {"00000.png", "00001.png", "notes.txt", "sketch.png"}
    assert all(path.read_text() == "mine" for path in mine)
    assert len(list(read_frames(out / "overlay.mp4"))) == 2


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_track_of_a_damaged_video_keeps_what_is_before(suffix, first, model, tmp_path, capsys):
    more = moving_clip(frames=12, size=SIZE, objects=2, radius=9)
    whole = write_clip(tmp_path / f"whole.{suffix}", more)
    clip = tmp_path / f"cut.{suffix}"
    content = whole.read_bytes()
    clip.write_bytes(content[: int(len(content) * 0.85)])
    out = tmp_path / "out"
    assert run("track", clip, "--masks", first, "-o", out, "--model", model) == 3
    result = json.loads((out / "result.json").read_text())
    count = len(result["frames"])
    assert 0 < count < 12 and result["complete"] is False
    [line] = capsys.readouterr().err.splitlines()
    assert line == f"warning: {result['reason']}" and f"damaged at frame {count}" in line
    assert len(list((out / "masks").iterdir())) == count
    assert len(list(read_frames(out / "overlay.mp4"))) == count


def test_a_video_cut_before_its_first_picture_ends_says_what_to_do(first, model, tmp_path, capsys):
    clip = write_clip(tmp_path / "cut.mkv", moving_clip(frames=12, size=SIZE, radius=9))
    content = clip.read_bytes()
    clip.write_bytes(content[: len(content) // 20])
    assert run("track", clip, "--masks", first, "-o", tmp_path / "o", "--model", model) == 3
    [line] = capsys.readouterr().err.splitlines()
    assert line == (
        f"warning: {clip}: damaged at frame 0 (the file is cut short); no frame can be read, "
        "so nothing was written; check the file, or get it again"
    )
    assert not (tmp_path / "o").exists()


def test_track_interrupted_leaves_valid_output(first, model, tmp_path):
    clip = write_clip(tmp_path / "long.mp4", moving_clip(frames=400, size=SIZE, radius=9))
    out = tmp_path / "out"
    process = command("track", clip, "--masks", first, "-o", out, "--model", model)
    code, said, complaint = ask_to_stop_once(
        process, tmp_path / ".out.chromatrack-*/out/masks/00002.png"
    )
    result = json.loads((out / "result.json").read_text())
    count = len(result["frames"])
    assert (code, said) == (130, "") and 3 <= count < 400
    [line] = complaint.splitlines()
    assert line == f"chromatrack: interrupted after {count} frames, which are in {out}"
    assert result["complete"] is False and result["reason"] == "interrupted"
    masks = sorted((out / "masks").iterdir())
    assert [path.name for path in masks] == [f"{index:05d}.png" for index in range(count)]
    assert all(read_mask(path).shape == SIZE for path in masks)
    assert len(list(read_frames(out / "overlay.mp4"))) == count


def test_a_command_stops_between_frames_and_a_second_ctrl_c_at_once():
    steps = []
    with pytest.raises(KeyboardInterrupt), stop_on_interrupt() as check:
        for step in range(3):
            if step == 1:
                signal.raise_signal(signal.SIGINT)
            steps.append(step)
            check()
    assert steps == [0, 1]
    with stop_on_interrupt():
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)  # results are being finished: ignored
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


# -- colorize ------------------------------------------------------------------------------


@pytest.fixture
def reference(tmp_path, truth) -> Path:
    path = tmp_path / "R.png"
    Image.fromarray(truth[0].rgb).save(path)
    return path


def test_colorize_takes_references_together_and_repeated(clip, reference, model, tmp_path):
    out = tmp_path / "out.mkv"
    pictures = ("--reference", reference, f"{reference}@0", "--reference", f"{reference}@2")
    assert run("colorize", clip, *pictures, "-o", out, "--model", model, "--end", 4) == 0
    info = probe(out)
    assert (info.codec, info.has_audio) == ("ffv1", True)
    tracker = Tracker.from_pretrained(model)
    expected = tracker.colorize(
        clip, references=[str(reference), f"{reference}@0", f"{reference}@2"], end=4
    )
    pairs = list(zip(read_frames(out), expected, strict=True))
    assert len(pairs) == 4
    for ours, theirs in pairs:
        np.testing.assert_array_equal(ours.rgb, theirs.rgb)
        assert ours.pts_seconds == pytest.approx(theirs.pts_seconds, abs=1e-3)


def test_colorize_picks_the_codec_or_images(clip, reference, model, tmp_path, capsys):
    common = ("colorize", clip, "--reference", reference, "--model", model, "--end", 2)
    assert run(*common, "-o", tmp_path / "a.mov", "--codec", "h264") == 0
    assert probe(tmp_path / "a.mov").codec == "h264"
    assert run(*common, "-o", tmp_path / "images") == 0
    assert sorted(p.name for p in (tmp_path / "images").iterdir()) == ["00000.png", "00001.png"]
    capsys.readouterr()
    assert run(*common, "-o", tmp_path / "images", "--end", 1) == 0
    told = capsys.readouterr()
    assert told.err.endswith("1 picture remains that this run did not write, 00001.png\n")
    assert told.out.startswith("1 frame in ")
    assert run(*common, "-o", tmp_path / "images", "--codec", "ffv1") == 2
    assert run(*common, "-o", tmp_path / "a.mp4", "--codec", "ffv1") == 2
    assert not (tmp_path / "a.mp4").exists()


def test_colorize_interrupted_leaves_a_video_that_plays(reference, model, tmp_path, monkeypatch):
    clip = write_clip(tmp_path / "long.mp4", moving_clip(frames=12, size=SIZE, radius=9))
    colorize = Tracker.colorize

    def pressed_on_the_fifth(self, *arguments, **options):
        for frame in colorize(self, *arguments, **options):
            if frame.index == 4:
                signal.raise_signal(signal.SIGINT)
            yield frame

    monkeypatch.setattr(Tracker, "colorize", pressed_on_the_fifth)
    out = tmp_path / "out.mp4"
    assert run("colorize", clip, "--reference", reference, "-o", out, "--model", model) == 130
    assert len(list(read_frames(out))) == 5


# -- what is refused, in one line ----------------------------------------------------------


def refusal(capsys, *arguments: object) -> str:
    assert run(*arguments) == 2
    said = capsys.readouterr()
    [line] = said.err.splitlines()
    assert said.out == "" and line.startswith("chromatrack: ")
    return line


def test_track_refuses_in_one_line(clip, first, model, tmp_path, capsys):
    small = tmp_path / "small.png"
    Image.new("L", (10, 10), 1).save(small)
    out = tmp_path / "out"

    def line(*more: object, masks: Path = first, video: Path = clip, using: object = model) -> str:
        common = ("track", video, "--masks", masks, "--model", using)
        return refusal(capsys, *common, *(more or ("-o", out)))

    assert "expected the video's 96x64 pixels, got 10x10" in line(masks=small)
    assert "nothing.png" in line(masks=tmp_path / "nothing.png")
    assert "nothing.mp4" in line(video=tmp_path / "nothing.mp4")
    assert "nothing.safetensors" in line(using=tmp_path / "nothing.safetensors")
    assert "'huge'" in line(using="huge")
    assert str(clip / "out") in line("-o", clip / "out")  # below a file
    assert "got '3 apples'" in line("-o", out, "--start", "3 apples")
    assert "start before end" in line("-o", out, "--start", 4, "--end", 2)
    assert "ends at" in line("-o", out, "--start", "9s")
    assert "top_k" in line("-o", out, "--top-k", 0)
    assert "temperature" in line("-o", out, "--temperature", 0)
    assert not out.exists()


def test_marks_are_refused_in_one_line(clip, first, mark_files, model, tmp_path, capsys):
    out = tmp_path / "out"

    def line(*more: object) -> str:
        return refusal(capsys, "track", clip, "-o", out, "--model", model, *more)

    assert "expected something to track, got nothing; give --box, --point, --masks" in line()
    assert "no file" in line("--points", tmp_path / "none.csv")
    assert "goes with --keypoints" in line("--masks", first, "--skeleton", mark_files["skeleton"])
    assert "'3@x': expected a frame number" in line("--masks", first, "--lost", "3@x")
    assert "one of [1, 2], got 3" in line("--masks", first, "--lost", "3@1")
    assert "columns id,frame,x,y,width,height" in line("--boxes", mark_files["points"])
    assert not out.exists()


def test_tracks_given_as_marks_are_not_overwritten(clip, mark_files, model, tmp_path, capsys):
    common = ("track", clip, "--model", model, "-o", tmp_path / "out", "--points")
    assert run(*common, mark_files["points"]) == 0
    tracks = tmp_path / "out/tracks.csv"
    before = tracks.read_bytes()
    capsys.readouterr()
    assert "would be overwritten" in refusal(capsys, *common, tracks)
    assert tracks.read_bytes() == before


def test_nothing_given_is_overwritten_by_results(clip, first, reference, model, tmp_path, capsys):
    before = {path: path.read_bytes() for path in (clip, first, reference)}
    (tmp_path / "run").mkdir()
    overlay = (tmp_path / "run/overlay.mp4").resolve()
    overlay.write_bytes(before[clip])
    mask = tmp_path / "mask.png"
    mask.write_bytes(before[first])
    (tmp_path / "run/masks").symlink_to(first.parent)
    use = ("--model", model)
    for line in (
        refusal(capsys, "track", clip, "--masks", first, "-o", tmp_path / "run", *use),
        refusal(capsys, "track", clip, "--masks", first.parent, "-o", tmp_path / "run", *use),
        refusal(capsys, "track", overlay, "--masks", mask, "-o", tmp_path / "run", *use),
        refusal(capsys, "colorize", clip, "--reference", reference, "-o", clip, *use),
    ):
        assert "would be overwritten" in line and "choose another output" in line
    assert all(path.read_bytes() == content for path, content in before.items())
    assert overlay.read_bytes() == before[clip]


def test_colorize_refuses_in_one_line(clip, reference, model, tmp_path, capsys):
    out = tmp_path / "out.mp4"

    def line(*pictures: object) -> str:
        given = ("--reference", *pictures) if pictures else ()
        return refusal(capsys, "colorize", clip, *given, "-o", out, "--model", model)

    assert "R9.png" in line(tmp_path / "R9.png")
    assert "frame 99" in line(f"{reference}@99")
    assert "at least one coloured picture" in line()
    assert not out.exists()


@pytest.mark.parametrize("option", ["--mirror", "--decoder", "--redetect"])
def test_colorize_has_no_options_of_objects(option, clip, reference, tmp_path, capsys):
    line = refusal(capsys, "colorize", clip, "--reference", reference, "-o", tmp_path / "x", option)
    assert f"{option}: no option of" in line


def test_paint_refuses_a_decoder(clip, reference, tmp_path, capsys):
    given = ("--painted", f"{reference}@0", "-o", tmp_path / "x.mp4", "--decoder", "small")
    assert "got small; leave --decoder out" in refusal(capsys, "paint", clip, *given)


def test_wrong_options_exit_with_2(clip, capsys):
    for arguments in ((), ("nope",), ("track", clip), ("doctor", "--frobnicate"), ("evaluate",)):
        assert run(*arguments) == 2
        said = capsys.readouterr()
        assert said.err.strip() and "Traceback" not in said.err and said.out == ""
    assert run("track", clip, "--masks", "m", "-o", "o", "--stride", 5) == 2


# -- evaluate, demo, train -----------------------------------------------------------------


@pytest.fixture
def davis(tmp_path, truth) -> Path:
    root = tmp_path / "davis"
    write_clip(root / "JPEGImages/480p/discs", truth)
    write_masks(root / "Annotations/480p/discs", truth)
    (root / "ImageSets/2017").mkdir(parents=True)
    (root / "ImageSets/2017/val.txt").write_text("discs\n")
    return root


def test_evaluate_davis_prints_and_writes_the_scores(davis, model, tmp_path, capsys):
    out = tmp_path / "scores"
    assert run("evaluate", "davis", davis, "--year", 2017, "--model", model, "-o", out) == 0
    result = json.loads((out / "result.json").read_text())
    tracker = Tracker.from_pretrained(model)
    assert result["scores"] == evaluate_davis(davis, tracker=tracker, year=2017)["scores"]
    assert result["model"] == str(model) and result["frames"] == 6
    assert len(list((out / "masks/discs").iterdir())) == 6
    shown = capsys.readouterr().out
    assert "J&F-Mean" in shown and f"{result['scores']['J&F-Mean']:.3f}" in shown


def test_evaluate_davis_runs_the_baselines(davis, tmp_path, capsys):
    temperatures = {}
    for name in ("identity", "raw-lab", "random"):
        out = tmp_path / name
        assert run("evaluate", "davis", davis, "--year", 2017, "--model", name, "-o", out) == 0
        result = json.loads((out / "result.json").read_text())
        assert result["model"] == name
        temperatures[name] = result["config"].get("propagate", {}).get("temperature")
    assert temperatures == {"identity": None, "raw-lab": 0.03, "random": 0.05}
    again = ("--temperature", 0.06, "-o", tmp_path / "again", "--sequences", "discs")
    assert run("evaluate", "davis", davis, "--year", 2017, "--model", "raw-lab", *again) == 0
    config = json.loads((tmp_path / "again/result.json").read_text())["config"]
    assert config["propagate"]["temperature"] == 0.06
    capsys.readouterr()
    line = refusal(capsys, "evaluate", "davis", tmp_path / "none", "--model", "random")
    assert "holds no JPEGImages folder" in line


def test_evaluate_color_prints_and_writes_the_scores(davis, model, tmp_path, capsys):
    out = tmp_path / "colors"
    chosen = ("--frames", 3, "--methods", "model", "still", "grey")
    assert run("evaluate", "color", davis, "discs", *chosen, "--model", model, "-o", out) == 0
    result = json.loads((out / "result.json").read_text())
    assert list(result["methods"]) == [str(model), "still", "grey"] and result["frames"] == 3
    assert result["model"] == str(model) and (out / "sheets/discs.png").exists()
    shown = capsys.readouterr().out
    assert "CIEDE2000" in shown and f"{result['scores']['PSNR']:.2f}" in shown
    assert run("evaluate", "color", davis, "--methods", "grey", "--model", "none") == 0
    capsys.readouterr()
    assert "got cats" in refusal(capsys, "evaluate", "color", davis, "cats")


def test_evaluate_davis_goes_on_and_sums_up_by_attribute(davis, tmp_path, capsys):
    table, out = tmp_path / "attributes.csv", tmp_path / "out"
    table.write_text("sequence,attributes\ndiscs,FM OCC\n")
    again = ("evaluate", "davis", davis, "--year", 2017, "--model", "identity", "-o", out)
    assert run(*again, "--attributes", table) == 0
    result = json.loads((out / "result.json").read_text())
    assert result["resumed"] == [] and set(result["attributes"]) == {"FM", "OCC"}
    shown = capsys.readouterr().out
    assert "by attribute" in shown and "FM" in shown
    assert run(*again) == 0
    resumed = json.loads((out / "result.json").read_text())
    assert resumed["resumed"] == ["discs"] and resumed["scores"] == result["scores"]
    assert "from an earlier run" in capsys.readouterr().out
    assert run(*again, "--no-resume") == 0
    assert json.loads((out / "result.json").read_text())["resumed"] == []
    capsys.readouterr()
    table.write_text("sequence,attributes\nother,FM\n")
    assert "none for discs" in refusal(capsys, *again, "--attributes", table)


def test_evaluate_davis_scores_saved_masks_in_processes(davis, tmp_path, capsys):
    for kind in ("JPEGImages", "Annotations"):
        (davis / kind / "480p/more").symlink_to(davis / kind / "480p/discs")
    (davis / "ImageSets/2017/val.txt").write_text("discs\nmore\n")
    saved, out = davis / "Annotations/480p", tmp_path / "out"
    arguments = ("evaluate", "davis", davis, "--year", 2017, "--predictions", saved)
    assert run(*arguments, "--jobs", 2, "-o", out) == 0
    result = json.loads((out / "result.json").read_text())
    assert result["scores"]["J&F-Mean"] == 1.0 and result["model"] == f"masks in {saved}"
    assert not (out / "masks").exists()
    (davis / "empty").mkdir()
    capsys.readouterr()
    line = refusal(capsys, *arguments[:-1], davis / "empty", "--jobs", 2)
    assert "no masks of the sequence 'discs'" in line or "'more'" in line


def test_evaluate_davis_takes_protocols_and_any_features(davis, tmp_path, monkeypatch, capsys):
    (tmp_path / "blocks_8.py").write_text(
        "import torch.nn.functional as F\ndef mean(x):\n    return F.avg_pool2d(x, 8) - 0.5\n"
    )
    monkeypatch.chdir(tmp_path)
    asked = ("--year", 2017, "--model", "callable:blocks_8:mean", "--protocol", "dino")
    knobs = ("--top-k", "all", "--size", 64, "--redetect", "--offset", 3, "--pinned", 2, 3)
    assert run("evaluate", "davis", davis, *asked, *knobs, "-o", tmp_path / "out") == 0
    result = json.loads((tmp_path / "out/result.json").read_text())
    config, copying = result["config"], result["config"]["propagate"]
    assert result["model"] == "callable:blocks_8:mean"
    assert config["protocol"].startswith("dino with ") and "top_k=None" in config["protocol"]
    assert copying["top_k"] is None and copying["recent"] == 7 and copying["pinned"] == [2, 3]
    assert config["size"] == 64 and config["redetect"] and config["long_multiple"] == 64
    capsys.readouterr()
    wrong = ("--year", 2017, "--model", "resnet:none.pth")
    line = refusal(capsys, "evaluate", "davis", davis, *wrong)
    assert "none.pth: expected a file of weights" in line
    assert run("evaluate", "davis", davis, "--protocol", "crv") == 2


def test_demo_prints_scores_and_files(monkeypatch, tmp_path, model, capsys):
    from chromatrack.cli import demo

    small = demo.run_demo
    monkeypatch.setattr(
        demo, "run_demo", lambda *a, **options: small(*a, frames=5, size=SIZE, **options)
    )
    assert run("demo", "-o", tmp_path / "demo", "--model", model) == 0
    shown = capsys.readouterr().out
    scores = json.loads((tmp_path / "demo/scores.json").read_text())
    assert f"{scores['tracking']['scores']['J&F-Mean']:.3f}" in shown
    assert str(tmp_path / "demo/contact_sheet.png") in shown


@pytest.fixture
def photos(tmp_path, truth) -> Path:
    return write_clip(tmp_path / "photos", moving_clip(frames=3, size=(96, 128)))


SHORT = ("--batch", 2, "--crop", 32, "--photo-share", 1.0)


def test_train_writes_a_model_that_the_commands_take(
    photos, clip, first, tmp_path, monkeypatch, capsys
):
    ends_quickly(monkeypatch)
    folder = tmp_path / "run"
    assert run("train", photos, "-o", folder, "--steps", 2, *SHORT) == 0
    assert str(folder / "model.safetensors") in capsys.readouterr().out
    assert run("train", photos, "-o", folder, "--steps", 2, *SHORT) == 2
    assert "--resume" in capsys.readouterr().err
    recipe = (folder / "config.json").read_text()
    assert run("train", photos, "-o", folder, "--resume", "--steps", 1, "--crop", 48) == 0
    assert "nothing left to do" in capsys.readouterr().out
    assert (folder / "config.json").read_text() == recipe
    out = ("-o", tmp_path / "out", "--end", 2)
    assert run("track", clip, "--masks", first, *out, "--model", folder / "model.safetensors") == 0


def test_train_interrupted_saves_first(photos, tmp_path):
    folder = tmp_path / "run"
    process = command("train", photos, "-o", folder, "--steps", 100_000, *SHORT)
    code, said, complaint = ask_to_stop_once(process, folder / "log.jsonl")
    assert (code, said) == (130, "")
    assert complaint.splitlines()[-1].endswith("is saved, go on with --resume")
    assert list(folder.glob("checkpoint-*.pt")) and (folder / "model.safetensors").exists()


# -- the command itself --------------------------------------------------------------------


def test_help_imports_nothing_heavy():  # its time: benchmarks/start.py
    code = (
        "import sys\n"
        "from chromatrack.cli.main import main\n"
        "for words in ('', 'track', 'stabilize', 'events', 'evaluate davis', 'evaluate color',\n"
        "              'train-decoder'):\n"
        "    try: main([*words.split(), '--help'])\n"
        "    except SystemExit as stop: assert not stop.code\n"
        "heavy = {'torch', 'av', 'numpy', 'PIL', 'matplotlib'} & set(sys.modules)\n"
        "print('heavy:', sorted(heavy))"
    )
    env = {**os.environ, "PYTHONPATH": str(SOURCES)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert done.returncode == 0 and "heavy: []" in done.stdout, done.stderr


def test_version(capsys):
    assert run("--version") == 0
    assert capsys.readouterr().out == f"chromatrack {__version__}\n"


def test_the_options_are_the_library_s_with_its_defaults():
    assert track_config(DEFAULTS) == TrackConfig()
    kinds = (TrackConfig, PropagateConfig, ColoringConfig)
    names = {field.name for kind in kinds for field in fields(kind)}
    assert {field.name for field in fields(EvaluateKnobs)} == names - {
        "propagate",
        "color",
        "coloring",
        "protocol",
    }
    assert all(field.default is None for field in fields(EvaluateKnobs))
    assert {field.name for field in fields(TrackKnobs)} == {
        *(
            "size",
            "stride",
            "adapt",
            "mirror",
            "int8",
            "narrow",
            "redetect",
            "first",
            "recent",
            "spacing",
            "top_k",
            "radius",
        ),
        *("recent_radius", "radius_shape", "restrict_first", "temperature"),
        "decoder",
    }
    assert set(get_args(ProtocolName)) == set(PROTOCOLS)


def test_fast_spends_less_time_on_the_overlay_unless_told_otherwise():
    assert OutputOptions().quality() == OutputOptions().quality("best") == VideoQuality()
    assert OutputOptions(crf=30).quality("fast") == VideoQuality(30, "superfast")
    assert OutputOptions(preset="slow").quality("fast") == VideoQuality(preset="slow")


def test_the_choices_are_the_library_s():
    hints = get_type_hints(commands.track, include_extras=True)
    assert set(get_args(hints["direction"])) == set(get_args(Direction))
    hints = get_type_hints(commands.stabilize, include_extras=True)
    assert set(get_args(hints["fill"])) == set(get_args(Fill))
    assert set(get_args(get_args(hints["motion"])[0])) == set(get_args(Motion))


def test_progress_is_quiet_where_stderr_is_no_terminal(capsys):
    with frame_bar() as report:
        for done, total in ((1, 2), (2, 2), (1, None)):
            report("track", done, total)
    assert capsys.readouterr() == ("", "")


def test_the_shipped_model_is_the_default(clip, first, tmp_path):
    assert run("track", clip, "--masks", first, "-o", tmp_path / "out", "--end", 2) == 0
    result = json.loads((tmp_path / "out/result.json").read_text())
    digest = hashlib.sha256((MODELS / "small.safetensors").read_bytes()).hexdigest()
    assert result["model"] == {"name": "small", "sha256": digest}


def test_the_worst_frames_are_told_after_what_was_done():
    ranges = [ReviewRange(2, 4, 7, 0.25), ReviewRange(1, 9, 9, 0.5)]
    worst = "done: out\nlook at frames 4-7 of object 2: reliability 0.25"
    assert with_look_at("done: out", ranges[:1]) == worst
    assert with_look_at("done: out", ranges) == f"{worst} (1 more in result.json)"
    assert with_look_at("done: out", []) == "done: out"


def test_correct_does_a_span_again(clip, first, model, truth, tmp_path, capsys):
    out = tmp_path / "out"
    assert run("track", clip, "--masks", first, "-o", out, "--model", model) == 0
    marks = write_masks(tmp_path / "marks", truth[3:4])
    capsys.readouterr()
    before = (out / "result.json").read_bytes()
    both = ("--masks", f"{marks / '00003.png'}@3", "--lost", "1@3")
    assert "either painted or lost" in refusal(capsys, "correct", out, *both)
    assert (out / "result.json").read_bytes() == before
    assert run("correct", out, "--masks", f"{marks / '00003.png'}@3") == 0
    told, worst = capsys.readouterr().out, json.loads((out / "result.json").read_text())["look_at"]
    assert "of 6 frames done again" in told and ("\nlook at frame" in told) == bool(worst)
    found = read_mask(out / "masks" / "00003.png")
    assert (found == read_mask(marks / "00003.png")).all()
    assert "expected PNG@FRAME" in refusal(capsys, "correct", out, "--masks", first)


def test_correct_does_a_part_of_a_span(clip, first, model, truth, tmp_path, capsys):
    out = tmp_path / "out"
    assert run("track", clip, "--masks", first, "-o", out, "--model", model) == 0
    before = {frame: (out / "masks" / f"{frame:05d}.png").read_bytes() for frame in range(6)}
    marks = write_masks(tmp_path / "marks", truth[3:4])
    capsys.readouterr()
    new = ("--masks", f"{marks / '00003.png'}@3")
    assert "a frame of the part, 0 to 2" in refusal(capsys, "correct", out, *new, "--end", "3")
    assert run("correct", out, *new, "--start", "3", "--end", "5", "--dry-run") == 0
    assert "2 of 6 frames to do again" in capsys.readouterr().out
    assert run("correct", out, *new, "--start", "3", "--end", "5") == 0
    told = capsys.readouterr().out
    assert "2 of 6 frames done again" in told
    assert "\nframes 1-2, 5 stay as they were; the same marks alone do them too" in told
    for frame in (0, 1, 2, 5):
        assert (out / "masks" / f"{frame:05d}.png").read_bytes() == before[frame]
    assert run("correct", out, *new) == 0
    told = capsys.readouterr().out
    assert "3 of 6 frames done again" in told and "stay as they were" not in told


def test_marks_are_typed_and_corrected_with_whatever_track_takes(
    clip, mark_files, model, truth, tmp_path, capsys
):
    out = tmp_path / "out"
    joints = {"foot": [26, 41], "knee": [22, 33]}
    names = {"names": ["foot", "hip", "knee"], "edges": []}
    pose = {"skeleton": names, "marks": [{"id": 8, "frame": 4, "joints": joints}]}
    other = write_json(tmp_path / "other.json", pose)
    files = ("--keypoints", mark_files["keypoints"], "--skeleton", mark_files["skeleton"])
    marked = ("--box", "1@0:20,15,25,26", "3@0:50,30,20,20", "--point", "1@0:30,31.5")
    named = ("--name", "3=gate", "point:1=nose", "--lost", "box:3@2")
    assert run("track", clip, *marked, *files, *named, "-o", out, "--model", model) == 0
    given = json.loads((out / "result.json").read_text())["marks"]
    assert given["boxes"] == [[1, 0, 20, 15, 25, 26], [3, 0, 50, 30, 20, 20], [3, 2, *[None] * 4]]
    assert given["points"] == [[1, 0, 30, 31.5]]

    outlines = json.loads(mark_files["polygons"].read_text())["objects"]
    write_json(mark_files["polygons"], {"objects": [outlines[0] | {"frame": 3}]})
    new = ("--polygons", mark_files["polygons"], "--polygon", "4@5:0,0,9,0,9,9")
    new += ("--point", "1@4:31,30", "--box", "1@3:21,16,25,26", "--keypoints", other)
    new += ("--lost", "keypoints:8/hip@5", "point:1@5")
    assert run("correct", out, *new) == 0
    given = json.loads((out / "result.json").read_text())["marks"]
    assert given["masks"] == [3, 5] and (read_mask(out / "masks/00005.png") == 4).sum() > 30
    assert given["points"] == [[1, 0, 30, 31.5], [1, 4, 31, 30], [1, 5, None, None]]
    poses = {frame: joints for _, frame, joints in given["keypoints"]}
    assert poses[4] == [None, [22, 33], [26, 41]] and poses[5] == ["lost", None, None]
    capsys.readouterr()
    write_json(other, pose | {"skeleton": names | {"names": ["foot", "hip", "knie"]}})
    wrong = refusal(capsys, "correct", out, "--keypoints", other)
    assert "knie" in wrong or "knee" in wrong


def test_a_box_is_tracked_as_a_mask_and_corrected_as_one(clip, model, truth, tmp_path, capsys):
    out = tmp_path / "out"
    rows, columns = np.nonzero(truth[0].mask == 1)
    box = [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
    typed = f"1@0:{','.join(map(str, box))}"
    assert run("track", clip, "--box", typed, "--box-as-mask", "-o", out, "--model", model) == 0
    result = json.loads((out / "result.json").read_text())
    assert result["objects"] == [1] and result["boxes"] == []
    found, known = read_mask(out / "masks/00000.png") == 1, truth[0].mask == 1
    assert (found & known).sum() > 0.8 * (found | known).sum()
    assert run("correct", out, "--box", "1@4:5,5,20,20", "--box-as-mask") == 0
    assert "add --box-as-mask" not in capsys.readouterr().err
    assert json.loads((out / "result.json").read_text())["marked_frames"] == [0, 4]
    assert run("correct", out, "--box", "1@4:5,5,20,20") == 0
    assert "box 1 is new in this run" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("size", "colored", "name", "expected"),
    [
        ((96, 64), True, "@0", ""),
        ((192, 128), True, "@0", "is 192x128, scaled to 96x64"),
        ((96, 96), True, "", ""),
        ((96, 96), True, "@0", "another shape"),
        ((96, 64), False, "@0", "expected colours to copy"),
        ((50, 70), False, "", "expected colours to copy"),
    ],
)
def test_references_of_another_size_or_without_colour_are_said(
    clip, model, truth, tmp_path, capsys, size, colored, name, expected
):
    picture = Image.fromarray(truth[0].rgb).resize(size)
    (picture if colored else picture.convert("L")).save(tmp_path / "r.png")
    out = tmp_path / "out.mp4"
    words = ("colorize", clip, "--reference", f"{tmp_path / 'r.png'}{name}", "--end", 2)
    code = run(*words, "-o", out, "--model", model)
    err = capsys.readouterr().err
    assert code == (2 if "another" in expected or "expected" in expected else 0)
    assert expected in err and (err == "") == (expected == "")
    assert out.exists() == (code == 0)


def test_one_grey_reference_beside_another_is_said(clip, reference, model, tmp_path, capsys):
    grey = tmp_path / "grey.png"
    Image.open(reference).convert("L").save(grey)
    words = ("colorize", clip, "--reference", f"{reference}@0", grey, "--end", 2)
    assert run(*words, "-o", tmp_path / "out.mp4", "--model", model) == 0
    assert "grey.png: has no colour" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "is_right"),
    [
        ("--direction backward", False),
        ("--direction backward --point 2@3:5,5", True),
        ("--direction backward --start 0 --end 1", False),
        ("--direction forward", True),
        ("--direction forward --end 1", False),
        ("--direction both --end 1", True),
    ],
)
def test_a_direction_that_leads_nowhere_is_refused(clip, model, tmp_path, capsys, words, is_right):
    out = tmp_path / "out"
    common = ("track", clip, "--point", "1@0:30,30", "-o", out, "--model", model)
    if is_right:
        assert run(*common, *words.split()) == 0
    else:
        assert "leave --direction out" in refusal(capsys, *common, *words.split())
        assert not out.exists()


def test_paint_carries_a_texture(clip, model, tmp_path, capsys):
    picture, out = tmp_path / "red.png", tmp_path / "out.mp4"
    Image.new("RGBA", (16, 16), (255, 0, 0, 255)).save(picture)
    texture = ("--texture", f"{picture}@0:30,30")
    assert run("paint", clip, *texture, "-o", out, "--model", model) == 0
    assert "6 frames in" in capsys.readouterr().out
    frames = list(read_frames(out))
    assert len(frames) == 6
    inside = frames[0].rgb[34:42, 34:42].reshape(-1, 3).mean(0)
    assert inside[0] > 60 + max(inside[1], inside[2])
    assert "texture" in refusal(capsys, "paint", clip, "-o", tmp_path / "b.mp4", "--model", model)
    (tmp_path / "frames").mkdir()
    picture.rename(tmp_path / "frames" / "00000.png")
    again = ("--painted", tmp_path / "frames" / "00000.png@0", "-o", tmp_path / "frames")
    assert "would be overwritten" in refusal(capsys, "paint", clip, *map(str, again))
