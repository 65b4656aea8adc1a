"""`chromatrack live` as it is typed: lines out, one for what is wrong, and an orderly end."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import av
import numpy as np
import pytest
from loopback import served_in_a_loop
from PIL import Image
from processes import Fork, command
from synthetic import moving_clip, write_clip

from chromatrack.errors import DamagedVideoError
from chromatrack.formats.masks import write_mask
from chromatrack.video.reader import read_frames

FAST = ("--size", 96, "--device", "cpu")
BOX = ("--box", "1@0:62,30,36,36", "--name", "1=mouse")
GENERATED = "device:lavfi:testsrc=size=160x96:rate=10"
HAS_LAVFI = "lavfi" in av.formats_available
needs_lavfi = pytest.mark.skipif(not HAS_LAVFI, reason="this PyAV has no generated device (lavfi)")


@pytest.fixture(scope="module")
def film():
    return moving_clip(frames=12, size=(96, 160), velocity=(2, 1))


@pytest.fixture(scope="module")
def raw(film, tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("raw") / "film.rgb"
    file.write_bytes(b"".join(frame.rgb.tobytes() for frame in film))
    return file


@pytest.fixture(scope="module")
def stream(film, tmp_path_factory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("stream")
    clip = write_clip(folder / "film.mp4", film, fps=25)
    with av.open(str(clip)) as source, av.open(str(folder / "film.ts"), "w") as target:
        track = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = track
                target.mux(packet)
    with served_in_a_loop(folder / "film.ts", pause=0.05) as address:
        yield f"{address}/live.ts"


def stdin(file: Path) -> Callable[[], object]:
    """Gives a file as fd 0 to the process that is started."""
    return lambda: os.dup2(os.open(file, os.O_RDONLY), 0)


def rows(text: str) -> list[dict]:
    assert text == "" or text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def failed(process: Fork, code: int = 2) -> str:
    """The one line that a process ended with."""
    out, err = process.communicate(timeout=240)
    assert "Traceback" not in err and process.returncode == code, err
    assert out == ""
    (line,) = err.splitlines()
    return line


def test_raw_video_on_stdin(raw, film, tmp_path):
    process = command(
        *("live", "-", "--input-size", "160x96", "--input-fps", 10, "--every-frame"),
        *(*BOX, *FAST, "-o", tmp_path / "out.mp4"),
        first=stdin(raw),
    )
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    found = rows(out)
    assert [row["source_frame"] for row in found] == list(range(12))
    assert [row["seconds"] for row in found] == pytest.approx([n / 10 for n in range(12)])
    for row, frame in zip(found, film, strict=True):
        (thing,) = row["things"]
        assert (thing["kind"], thing["id"], thing["name"]) == ("box", 1, "mouse")
        assert abs(thing["x"] - frame.centres[1][0]) < 4
    assert err.startswith("chromatrack: 12 frames tracked in") and "0 dropped" in err
    assert len(list(read_frames(tmp_path / "out.mp4"))) == 12


def test_a_stream_is_ended_by_ctrl_c_in_order(stream, tmp_path):
    video = tmp_path / "out.mp4"
    process = command("live", stream, *BOX, *FAST, "-o", video)
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        if os.pread(process._out.fileno(), 1 << 20, 0).count(b"\n") >= 3:
            break
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130 and "Traceback" not in err
    found = rows(out)
    assert len(found) >= 3 and f"interrupted after {len(found)} frames" in err
    assert len(list(read_frames(video))) == len(found)
    assert [row["frame"] for row in found] == list(range(len(found)))
    for row in found:
        assert row["dropped"] == row["source_frame"] - row["frame"]
    assert not list(tmp_path.glob(".*"))


@needs_lavfi
def test_a_generated_device_until_it_is_enough():
    process = command("live", GENERATED, *BOX, *FAST, "--max-frames", 3, "--every-frame")
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    assert [row["source_frame"] for row in rows(out)] == [0, 1, 2]


@needs_lavfi
def test_a_snapshot_is_marked_and_tracked(tmp_path):
    picture, grid = tmp_path / "cage.png", np.zeros((96, 160), np.uint8)
    said = failed(command("live", GENERATED, "--snapshot", picture), code=0)
    assert f"160x96 px: {picture}; mark it, and track with --marked {picture}" in said
    assert Image.open(picture).size == (160, 96)
    grid[30:60, 62:90] = 1
    write_mask(tmp_path / "cage-mask.png", grid)
    given = ("--marked", picture, "--masks", tmp_path / "cage-mask.png", "--max-frames", 2)
    process = command("live", GENERATED, *given, *FAST)
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    assert [thing["kind"] for row in rows(out) for thing in row["things"]] == ["object"] * 2
    assert "goes without marks" in failed(command("live", GENERATED, "--snapshot", picture, *BOX))
    (tmp_path / "mine.png").write_bytes(b"mine")
    other = failed(command("live", GENERATED, "--snapshot", tmp_path / "mine.png"))
    assert "choose another" in other and (tmp_path / "mine.png").read_bytes() == b"mine"


def test_what_is_wrong_is_told_in_one_line(raw, tmp_path):
    cut = tmp_path / "cut.rgb"
    cut.write_bytes(raw.read_bytes()[:100])
    on = ("live", "-", "--input-size")
    for process, told in (
        (command("live", "http://127.0.0.1:9/x", *BOX, *FAST), "cannot be opened (Conn"),
        (command("live", "clip.mp4", *BOX), "a recording is for `chromatrack track`"),
        (command("live", "camera:77", *BOX, *FAST), "is it plugged in"),
        (command("live", "camera:0"), "expected something to track"),
        (command("live", "camera:0", *BOX, "--no-lines"), "results to go somewhere"),
        (command("live", "camera:0", *BOX, "-o", "x.avi"), "expected a .mp4 or .mkv file"),
        (command("live", "camera:0", *BOX, "--fps", 0), "fps: expected"),
        (command("live", "camera:0", *BOX, "--numbers", "names"), "numbers names"),
        (command("live", "camera:0", *BOX, "--input-size", "big"), "WIDTHxHEIGHT"),
        (command(*on, "160x95", *BOX, *FAST, first=stdin(raw)), "no whole number of frames"),
        (command(*on, "16x16", *BOX, *FAST, first=stdin(cut)), "no whole number of frames"),
        (command("live", "-", *BOX, *FAST, first=stdin(Path(os.devnull))), "stdin: cannot be op"),
    ):
        assert told in failed(process)


def test_marks_that_are_not_of_the_first_frame(raw):
    on = ("live", "-", "--input-size", "160x96", *FAST)
    line = failed(command(*on, "--point", "1@3:5,5", first=stdin(raw)))
    assert line == (
        "chromatrack: point 1 on frame 3: expected frame 0, the one that is marked of live video"
    )
    line = failed(command(*on, "--point", "1@0:900,5", first=stdin(raw)))
    assert line.startswith("chromatrack: point 1 on frame 0: ")


def test_stdin_that_ends_in_mid_frame_leaves_what_was_found(raw, tmp_path):
    def piped() -> None:
        read, write = os.pipe()
        os.write(write, raw.read_bytes()[:60_000])
        os.close(write)
        os.dup2(read, 0)

    video = tmp_path / "out.mkv"
    given = ("--input-size", "160x96", "--every-frame", *BOX, *FAST, "-o", video)
    process = command("live", "-", *given, first=piped)
    out, err = process.communicate(timeout=240)
    assert process.returncode == 3 and len(rows(out)) == 1
    assert "warning: stdin: ends in mid frame: 13920 of 46080 bytes after 1 frames" in err
    assert len(list(read_frames(video))) == 1


def test_a_video_of_others_is_not_replaced(raw, tmp_path):
    (tmp_path / "out.mp4").write_bytes(b"mine")
    process = command("live", "camera:0", *BOX, "-o", tmp_path / "out.mp4")
    assert "choose another output" in failed(process)


@needs_lavfi
def test_a_full_disk_leaves_the_lines_and_what_the_video_holds(tmp_path):
    noisy = "device:lavfi:testsrc2=size=160x96:rate=10"
    given = (*BOX, *FAST, "--every-frame", "--max-frames", 150, "--crf", 0, "--preset", "ultrafast")
    video = tmp_path / "out.mkv"
    process = command("live", noisy, *given, "-o", video, limit=200_000)
    out, err = process.communicate(timeout=240)
    assert process.returncode == 2 and "Traceback" not in err, err
    assert "writing failed" in err and "is kept" in err
    count = len(rows(out))
    kept: list[int] = []
    with suppress(DamagedVideoError):  # the last one is cut
        kept.extend(frame.index for frame in read_frames(video))
    assert 20 < count < 150 and 10 < len(kept) <= count
