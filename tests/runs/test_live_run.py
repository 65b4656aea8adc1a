"""Live runs: lines, the annotated video, what is dropped, the working size; clocks are injected."""

from __future__ import annotations

import io
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from synthetic import moving_clip

from chromatrack.errors import DamagedVideoError, InputError, VideoError
from chromatrack.runs.live_run import LiveLimits, LiveOutputs, LiveSummary, track_live
from chromatrack.structures import BoxMark, KeypointMark, PointMark, Skeleton
from chromatrack.tracking.config import TrackConfig
from chromatrack.tracking.marks import Marks
from chromatrack.tracking.tracker import Tracker
from chromatrack.video.live_source import BrokenStreamError, LivePicture
from chromatrack.video.reader import probe, read_frames

KEYS = [
    "schema_version", "frame", "source_frame", "dropped", "seconds", "time", "delay_seconds",
    "working_size", "cut", "things",
]  # fmt: skip
EVERY = LiveLimits(every=True)


@pytest.fixture(scope="module")
def film():
    return moving_clip(frames=8, size=(96, 160), velocity=(2, 1))


@pytest.fixture
def tracker(tiny_encoder) -> Tracker:
    return Tracker(tiny_encoder, device="cpu", config=TrackConfig(size=96))


@pytest.fixture(scope="module")
def trained() -> Tracker:
    return Tracker.from_pretrained("small", device="cpu", config=TrackConfig(size=144))


def coming(film: Sequence, error: Exception | None = None) -> Iterator[LivePicture]:
    for number, frame in enumerate(film):
        yield LivePicture(number, frame.rgb, number / 10, 1e9 + number / 10)
    if error is not None:
        raise error


def of_disc(film) -> Callable[[np.ndarray], Marks]:
    return lambda _: Marks({0: film[0].mask}, names={("object", 1): "cow"})


def run(tracker, pictures, film, **given) -> tuple[LiveSummary, list[dict]]:
    lines = given.pop("lines", io.StringIO())
    read_marks, video = given.pop("read_marks", of_disc(film)), given.pop("video", None)
    summary = track_live(
        tracker,
        pictures,
        name="test",
        read_marks=read_marks,
        outputs=LiveOutputs(lines, video),
        **({"limits": EVERY} | given),
    )
    return summary, rows_of(lines)


def rows_of(lines: io.StringIO) -> list[dict]:
    text = lines.getvalue()
    assert not text or text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def test_a_line_for_every_frame_with_all_that_is_tracked(trained, film):
    joints = np.array([[76.0, 44.0], [np.nan, np.nan]])
    marks = Marks(
        {0: film[0].mask},
        [PointMark(5, 0, 80, 48)],
        [BoxMark(2, 0, 62, 30, 36, 36)],
        [KeypointMark(3, 0, joints, np.zeros(2, dtype=bool))],
        skeleton=Skeleton(("hip", "knee"), ((0, 1),)),
        names={("object", 1): "cow"},
    )
    summary, rows = run(
        trained, coming(film), film, read_marks=lambda _: marks, now=lambda: 1e9 + 0.75
    )
    assert (summary.frames, summary.dropped) == (8, 0)
    assert [list(row) for row in rows] == [KEYS] * 8
    assert [row["frame"] for row in rows] == [row["source_frame"] for row in rows] == [*range(8)]
    assert [row["seconds"] for row in rows] == pytest.approx([n / 10 for n in range(8)])
    assert rows[1]["time"] == "2001-09-09T01:46:40.100+00:00"
    assert rows[1]["delay_seconds"] == pytest.approx(0.65)
    for row, frame in zip(rows, film, strict=True):
        by_kind = {thing["kind"]: thing for thing in row["things"]}
        assert list(by_kind) == ["object", "box", "point", "keypoints"]
        cow, (x, y) = by_kind["object"], frame.centres[1]
        assert cow["name"] == "cow" and cow["present"] and 0 < cow["reliability"] <= 1
        assert abs(cow["x"] - x) < 2 and abs(cow["y"] - y) < 2
        assert abs(cow["area"] - (frame.mask == 1).sum()) < 200 and len(cow["box"]) == 4
        assert abs(by_kind["point"]["x"] - x) < 3 and by_kind["point"]["area"] is None
        assert list(by_kind["keypoints"]["joints"]) == ["hip", "knee"]
        assert by_kind["keypoints"]["joints"]["knee"] is None


def test_what_is_not_seen_has_no_place(trained, film):
    ground = moving_clip(frames=1, size=(96, 160), objects=0)[0]
    _, rows = run(trained, coming([film[0], *[ground] * 4]), film)
    thing = rows[-1]["things"][0]
    assert not thing["present"]
    assert [thing[key] for key in ("x", "y", "box", "area")] == [None] * 4


def test_marks_on_an_earlier_picture(trained, film):
    asked = []

    def read_marks(rgb: np.ndarray) -> Marks:
        asked.append(rgb)
        return Marks({0: film[0].mask})

    _, rows = run(trained, coming(film[3:]), film, read_marks=read_marks, marked=film[0].rgb)
    assert np.array_equal(asked[0], film[0].rgb) and len(rows) == 5
    assert rows[0]["seconds"] == 0 and rows[0]["things"][0]["reliability"] < 1
    for row, frame in zip(rows, film[3:], strict=True):
        assert abs(row["things"][0]["x"] - frame.centres[1][0]) < 3
    with pytest.raises(InputError, match="expected a picture of 160x96 px like test, got 160x90"):
        run(trained, coming(film), film, marked=film[0].rgb[:90])


def test_the_newest_frame_is_next_and_the_rest_counted(tracker, film):
    """While frame 0 is looked at frames 1 to 6 come: 6 is next, and five are dropped."""
    began, came = threading.Event(), threading.Event()

    def pictures() -> Iterator[LivePicture]:
        for picture in coming(film[:7]):
            yield picture
            if picture.number == 0:
                assert began.wait(20)
        came.set()
        assert held.wait(20)
        yield LivePicture(7, film[7].rgb, 0.7, 1e9)

    held = threading.Event()

    def read_marks(_: np.ndarray) -> Marks:
        began.set()
        assert came.wait(20)
        return Marks({0: film[0].mask})

    class Lines(io.StringIO):
        def flush(self) -> None:
            if '"frame": 1,' in self.getvalue():
                held.set()

    summary, rows = run(
        tracker, pictures(), film, read_marks=read_marks, lines=Lines(), limits=LiveLimits()
    )
    assert [row["source_frame"] for row in rows] == [0, 6, 7]
    assert [row["dropped"] for row in rows] == [0, 5, 5]
    assert (summary.frames, summary.dropped) == (3, 5)


def test_limits_end_it(tracker, film):
    _, rows = run(tracker, coming(film), film, limits=LiveLimits(every=True, frames=3))
    assert len(rows) == 3
    _, rows = run(tracker, coming(film), film, limits=LiveLimits(every=True, seconds=0.45))
    assert len(rows) == 5
    for given in ({"frames": 0}, {"seconds": 0.0}, {"seconds": float("nan")}, {"fps": 0.0}):
        with pytest.raises(InputError):
            LiveLimits(**given)


def test_the_working_size_follows_the_time_a_frame_takes(trained):
    """A clock that makes frames slow, then fast: down, told of, and up again."""
    film = moving_clip(frames=70, size=(96, 160), velocity=(0.5, 0.2))
    ticks, said, slow = [0.0], [], range(4, 12)
    lines = io.StringIO()

    def clock() -> float:
        ticks[0] += 0.4 if lines.getvalue().count("\n") in slow else 0.001
        return ticks[0]

    limits = LiveLimits(every=True, fps=10)
    summary, rows = run(
        trained, coming(film), film, lines=lines, limits=limits, clock=clock, tell=said.append
    )
    sizes = [row["working_size"] for row in rows]
    least = min(sizes)
    assert sizes[0] == sizes[-1] == 144 and least < 144
    down = sizes.index(least)
    assert sizes[down:] == sorted(sizes[down:])
    assert f"working size 144 -> {least}, to keep up with 10 frames/s" in said[0]
    assert any("-> 144, as there is room" in text for text in said)
    assert summary.changes == len(said) - 1 and "changed" in said[-1]
    for row, frame in zip(rows, film, strict=True):
        thing = row["things"][0]
        assert thing["present"] and abs(thing["x"] - frame.centres[1][0]) < 3


def test_what_cannot_be_kept_up_with_is_said_once(tracker, film):
    ticks, said = [0.0], []

    def clock() -> float:
        ticks[0] += 5.0
        return ticks[0]

    limits = LiveLimits(every=True, fps=10)
    pictures = coming([*film, *film, *film, *film])
    run(tracker, pictures, film, limits=limits, clock=clock, tell=said.append)
    assert sum("cannot keep up" in text for text in said) == 1


# -- however it ends -----------------------------------------------------------------------------


def test_the_annotated_video_has_the_frames_at_their_times(tracker, film, tmp_path):
    for name in ("out.mp4", "out.mkv"):
        run(tracker, coming(film), film, video=tmp_path / name)
        assert probe(tmp_path / name).codec == "h264"
        frames = list(read_frames(tmp_path / name))
        assert [f.pts_seconds for f in frames] == pytest.approx([n / 10 for n in range(8)])
        assert np.abs(frames[3].rgb.astype(int) - film[3].rgb).mean() > 1  # drawn over


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_between_frames(tracker, film, tmp_path, number):
    def pictures() -> Iterator[LivePicture]:
        yield from coming(film[:4])
        os.kill(os.getpid(), number)
        yield from ()
        threading.Event().wait(0.5)

    def ignored(*_: object) -> None:
        pytest.fail("the run did not handle it")

    lines, video = io.StringIO(), tmp_path / "out.mp4"
    kept = signal.getsignal(number)
    if number == signal.SIGTERM:
        signal.signal(number, signal.SIG_DFL)
    try:
        with pytest.raises(KeyboardInterrupt, match=r"after \d frames"):
            run(tracker, pictures(), film, lines=lines, video=video)
    finally:
        signal.signal(number, kept)
    rows = rows_of(lines)
    assert 1 <= len(rows) <= 4
    assert len(list(read_frames(video))) == len(rows)


def test_a_source_that_breaks_off_leaves_what_was_found(tracker, film, tmp_path):
    lines, video, said = io.StringIO(), tmp_path / "out.mp4", []
    error = BrokenStreamError("camera:0: broke off (unplugged) after 8 frames", picture_count=8)
    with pytest.raises(DamagedVideoError, match="unplugged") as caught:
        run(tracker, coming(film, error), film, lines=lines, video=video, tell=said.append)
    assert caught.value.frame_index == 8 and caught.value.exit_code == 3
    assert len(rows_of(lines)) == len(list(read_frames(video))) == 8
    assert said and said[-1].startswith("8 frames tracked in")


def test_a_source_that_stalls_is_given_up(tracker, film, tmp_path):
    never = threading.Event()

    def pictures() -> Iterator[LivePicture]:
        yield from coming(film[:2])
        never.wait(20)

    video, limits = tmp_path / "out.mp4", LiveLimits(every=True, timeout=0.4)
    with pytest.raises(
        DamagedVideoError, match=r"test: stalled: no frame came for 0\.4 s, after 2"
    ):
        run(tracker, pictures(), film, video=video, limits=limits)
    never.set()
    assert len(list(read_frames(video))) == 2


@pytest.mark.parametrize(
    "error", [None, VideoError("no such camera"), BrokenStreamError("x", picture_count=0)]
)
def test_without_a_frame_nothing_is_written(tracker, film, tmp_path, error):
    with pytest.raises(VideoError):
        run(tracker, coming([], error), film, video=tmp_path / "out.mp4")
    assert not list(tmp_path.iterdir())


def test_wrong_marks_leave_no_video(tracker, film, tmp_path):
    with pytest.raises(InputError, match="frame 2"):
        run(
            tracker,
            coming(film),
            film,
            read_marks=lambda _: Marks({2: film[0].mask}),
            video=tmp_path / "out.mp4",
        )
    assert not list(tmp_path.iterdir())


def test_whoever_reads_the_lines_may_leave(tracker, film, tmp_path):
    class Closed(io.StringIO):
        def flush(self) -> None:
            if self.getvalue().count("\n") == 3:
                raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        run(tracker, coming(film), film, lines=Closed(), video=tmp_path / "out.mp4")
    assert len(list(read_frames(tmp_path / "out.mp4"))) == 2


def test_the_page_names_every_key():
    page = (Path(__file__).parents[2] / "docs" / "live.md").read_text(encoding="utf-8")
    for key in [*KEYS, "kind", "id", "name", "present", "x", "y", "box", "area", "reliability"]:
        assert f"`{key}`" in page, key
