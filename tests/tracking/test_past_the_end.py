"""Marks behind the last frame that is really there, whatever the file says of its own length."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from synthetic import moving_clip
from synthetic import write_clip as write_pictures
from video_clips import pictures, write_clip

from chromatrack.cli.main import main
from chromatrack.errors import BehindDamageError, BeyondEndError, DamagedVideoError, InputError
from chromatrack.formats.masks import write_mask
from chromatrack.propagation.bidirectional import Direction
from chromatrack.runs.correct import correct
from chromatrack.runs.reader import read_result
from chromatrack.runs.writer import track_to_folder
from chromatrack.structures import BoxMark, KeypointMark, LostMark, PointMark
from chromatrack.tracking.config import TrackConfig
from chromatrack.tracking.inference import follow
from chromatrack.tracking.marks import Marks
from chromatrack.tracking.tracker import Tracker
from chromatrack.video.reader import probe, read_frame, read_frames

COUNT = 6
SIZE = (48, 64)
MASK = np.zeros(SIZE, dtype=np.int32)
MASK[10:30, 10:30] = 1
JOINTS = np.array([[20.0, 20.0]])
KINDS: dict[str, tuple[int, int | None, str]] = {  # frames claimed in an AVI's header, or the file
    "clip.mkv": (COUNT, None, "ffv1"),
    "clip.mp4": (COUNT, None, "libx264"),
    "more.avi": (COUNT, 30, "mjpeg"),
    "fewer.avi": (COUNT, 3, "mjpeg"),
    "folder": (COUNT, None, "png"),
}


@pytest.fixture
def tracker(tiny_encoder) -> Tracker:
    return Tracker(tiny_encoder, device="cpu", config=TrackConfig(size=48))


def claim(path: Path, count: int) -> None:
    """Have an AVI's headers say that it has `count` frames."""
    data = bytearray(path.read_bytes())
    for chunk, offset in ((b"avih", 24), (b"strh", 40)):
        at = data.index(chunk) + offset
        data[at : at + 4] = count.to_bytes(4, "little")
    path.write_bytes(data)


@pytest.fixture(params=KINDS)
def video(request, tmp_path) -> Path:
    count, claimed, codec = KINDS[request.param]
    path, frames = tmp_path / request.param, pictures(count, size=SIZE)
    if codec == "png":
        return write_pictures(path, frames)
    pixels = {"mjpeg": "yuvj420p", "ffv1": "bgr0"}.get(codec, "yuv420p")
    write_clip(path, frames, codec=codec, pixel_format=pixels)
    if claimed is not None:
        claim(path, claimed)
        assert probe(path).frame_count == claimed
    return path


def pose(frame: int) -> KeypointMark:
    return KeypointMark(5, frame, JOINTS, np.zeros(1, dtype=bool))


def marks_at(frame: int) -> list[tuple[dict[str, Any], str]]:
    """One mark behind the end, alone and after one that is not, and what it is called."""
    return [
        ({"points": [PointMark(1, frame, 5, 5)]}, "point 1"),
        ({"points": [PointMark(1, 0, 5, 5), PointMark(7, frame, 5, 5)]}, "point 7"),
        ({"points": [PointMark(1, 0, 5, 5), PointMark(1, frame, None, None)]}, "point 1"),
        ({"boxes": [BoxMark(2, 0, 5, 5, 9, 9), BoxMark(2, frame, 5, 5, 9, 9)]}, "box 2"),
        ({"keypoints": [pose(0), pose(frame)]}, "keypoints 5"),
        ({"masks": {frame: MASK}}, "mask"),
        ({"masks": {0: MASK, frame: MASK}}, "mask"),
        ({"masks": {0: MASK}, "lost": [LostMark(1, frame)]}, "lost 1"),
    ]


@pytest.mark.parametrize("frame", [COUNT, 30, 500])
def test_a_mark_behind_the_end_is_named(tracker, video, frame, tmp_path):
    for marks, name in marks_at(frame):
        message = rf"{name} of frame {frame}: .*from 0 to 5; .* has 6 frames \(0 to 5\)"
        with pytest.raises(InputError, match=message):
            tracker.track(video, **marks)
        with pytest.raises(InputError, match=message):
            track_to_folder(tracker, video, Marks.of(**marks), output=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(InputError, match="start: expected a frame from 0 to 5"):
        tracker.track(video, masks=MASK, start=frame)


def test_a_mark_on_the_last_frame_is_used(tracker, video):
    """Also where the header claims fewer frames."""
    for direction in ("both", "forward", "backward"):
        marks = [PointMark(1, 0, 20, 20), PointMark(1, COUNT - 1, 20, 20)]
        assert len(list(tracker.track(video, points=marks, direction=direction))) == COUNT
    part = tracker.track(video, points=[PointMark(1, 2, 20, 20)], start=1, end=99)
    assert [frame.index for frame in part] == [1, 2, 3, 4, 5]


def test_what_an_earlier_run_wrote_stays(tracker, video, tmp_path):
    out = tmp_path / "out"
    track_to_folder(tracker, video, Marks.of(masks=MASK), output=out)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    for marks, _ in marks_at(30):
        with pytest.raises(InputError, match="of frame 30"):
            track_to_folder(tracker, video, Marks.of(**marks), output=out)
        with pytest.raises(InputError, match="of frame 30: expected a frame of the run, 0 to 5"):
            correct(tracker, out, Marks.of(**marks))
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    assert len(read_result(out).frames) == COUNT
    correct(tracker, out, Marks.of(masks={COUNT - 1: MASK}))


@pytest.mark.parametrize("direction", ["forward", "backward", "both"])
def test_the_end_of_reading_is_the_last_word(tracker, tmp_path, direction: Direction):
    """Whatever was found out before: a mark that was not reached is named."""
    video = write_pictures(tmp_path / "clip", moving_clip(frames=3, size=SIZE))
    for marks, name in (marks_at(8)[1], marks_at(8)[-1]):
        given, start = Marks.of(**marks), 0
        frames = follow(tracker.embedder, video, given, direction=direction, start=start, end=None)
        with pytest.raises(InputError, match=rf"{name} of frame 8: .* has 3 frames \(0 to 2\)"):
            list(frames)


def test_the_command_line_prints_one_line(tmp_path, capsys):
    video = write_clip(tmp_path / "clip.mkv", pictures(COUNT, size=SIZE), codec="ffv1",
                       pixel_format="bgr0")  # fmt: skip
    write_mask(tmp_path / "mask.png", MASK)
    write_mask(tmp_path / "masks" / "00030.png", MASK)
    (tmp_path / "past.csv").write_text("id,frame,x,y\n1,30,5,5\n")
    cases = [
        (["--points", "past.csv"], "point 1 of frame 30"),
        (["--masks", "masks"], "mask of frame 30"),
        (["--masks", "mask.png", "--lost", "1@30"], "lost 1 of frame 30"),
    ]
    for options, name in cases:
        given = [str(tmp_path / text) if "." in text or text == "masks" else text
                 for text in options]  # fmt: skip
        code = main(["track", str(video), *given, "-o", str(tmp_path / "out")])
        said = capsys.readouterr().err.strip()
        assert code == 2 and said.count("\n") == 0
        assert name in said and "has 6 frames (0 to 5)" in said


@pytest.mark.parametrize("suffix", [".mkv", ".avi", ".mp4", ".ts"])
@pytest.mark.parametrize("is_cut", [True, False], ids=["cut", "whole"])
def test_every_kind_of_mark_ends_in_one_line(tmp_path, monkeypatch, capsys, suffix, is_cut):
    """Also where the file is cut short: nothing is begun, so it is the mark that is wrong."""
    monkeypatch.chdir(tmp_path)
    codec = "mjpeg" if suffix == ".avi" else "libx264"
    video = write_clip(
        Path("clip" + suffix),
        pictures(12, size=SIZE),
        codec=codec,
        pixel_format="yuvj420p" if suffix == ".avi" else "yuv420p",
        options={"g": "1", "bf": "0"} if codec == "libx264" else {},
        container_options={"movflags": "faststart"} if suffix == ".mp4" else {},
    )
    if is_cut:
        video.write_bytes(video.read_bytes()[: video.stat().st_size * 7 // 10])
    write_mask(Path("mask.png"), MASK)
    Image.fromarray(pictures(1, size=SIZE)[0]).save("r.png")
    track = [
        ["--masks", "mask.png@15"],
        ["--point", "1@15:5,5"],
        ["--box", "1@15:5,5,9,9"],
        ["--polygon", "1@15:5,5,20,5,20,20"],
        ["--masks", "mask.png", "--lost", "1@15"],
    ]
    for options in [*track, ["--reference", "r.png@15"]]:
        command, out = ("track", "o") if options[0] != "--reference" else ("colorize", "o.mp4")
        assert main([command, str(video), *options, "--size", "48", "-o", out]) == 2
        said = capsys.readouterr().err.strip().splitlines()[-1]
        assert said.startswith("chromatrack: ") and "of frame 15: expected" in said
        assert "damaged at frame" in said if is_cut else "0 to 11" in said
        assert not Path(out).exists()


def test_the_error_says_how_many_frames_there_are(video):
    for index in (COUNT, 49, 500):
        with pytest.raises(BeyondEndError) as caught:
            read_frame(video, index=index)
        assert caught.value.frame_count == COUNT


@pytest.mark.parametrize("direction", ["both", "forward", "backward"])
@pytest.mark.parametrize(("marks", "name"), marks_at(18))
def test_a_mark_behind_the_damage_of_a_file_is_named(
    tmp_path, tracker, marks, name, direction: Direction
):
    path = tmp_path / "cut.mkv"
    write_clip(path, pictures(20, size=SIZE), codec="ffv1", pixel_format="bgr0")
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises(DamagedVideoError, match="damaged at frame") as damaged:
        list(read_frames(path))
    good = damaged.value.frame_index
    pattern = rf"^{name} of frame 18: expected one of the frames 0 to {good - 1}; .*damaged at"
    with pytest.raises(BehindDamageError, match=pattern):
        list(tracker.track(path, **marks, direction=direction))
    fine = list(tracker_until_damage(tracker, path, points=[PointMark(1, good - 1, 5, 5)]))
    assert len(fine) == good


def tracker_until_damage(tracker: Tracker, path: Path, **marks: Any):
    """Frames of a run until the damage."""
    try:
        yield from tracker.track(path, **marks)
    except DamagedVideoError:
        return
