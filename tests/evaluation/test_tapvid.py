from __future__ import annotations

import io
import json
import pickle
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from patch_encoders import SmoothEncoder
from PIL import Image
from synthetic import moving_clip, write_clip

from chromatrack.cli import main as cli
from chromatrack.errors import DamagedVideoError, InputError, LayoutError
from chromatrack.evaluation.datasets.tapvid import read_tapvid
from chromatrack.evaluation.metrics.tapvid import TAPVID_COLUMNS
from chromatrack.evaluation.runner import evaluate
from chromatrack.model.weights import save_encoder
from chromatrack.propagation.propagate import PropagateConfig
from chromatrack.structures import PointMark, TrackedPoint
from chromatrack.tracking.config import TrackConfig
from chromatrack.tracking.tracker import Tracker

SIZE = (24, 32)
FRAMES = 7
STEP = 0.02  # share of the width that every point moves to the right per frame


def video_of(seed: int = 0, frames: int = FRAMES) -> np.ndarray:
    """Frames of large soft blots, which are written and read fast."""
    blots = np.random.default_rng(seed).integers(0, 256, (frames, 3, 4, 3), dtype=np.uint8)
    wanted = SIZE[1], SIZE[0]
    return np.stack([np.asarray(Image.fromarray(blot).resize(wanted)) for blot in blots])


def entry(seed: int = 0, frames: int = FRAMES, tracks: int = 3) -> dict:
    """Points that move right; number 1 is hidden on frames 0 and 1, number 2 on frame 5."""
    points = np.empty((tracks, frames, 2), dtype=np.float32)
    points[..., 0] = 0.1 + STEP * np.arange(frames)
    points[..., 1] = 0.2 + 0.1 * np.arange(tracks)[:, None]
    occluded = np.zeros((tracks, frames), dtype=bool)
    occluded[1, :2] = occluded[2, 5:6] = True
    return {"video": video_of(seed, frames), "points": points, "occluded": occluded}


def jpegs(video: np.ndarray) -> list[bytes]:
    streams = [io.BytesIO() for _ in video]
    for frame, stream in zip(video, streams, strict=True):
        Image.fromarray(frame).save(stream, "JPEG", quality=95)
    return [stream.getvalue() for stream in streams]


def write(path: Path, content: object) -> Path:
    path.write_bytes(pickle.dumps(content))
    return path


@pytest.fixture
def davis(tmp_path) -> Path:
    return write(tmp_path / "tapvid_davis.pkl", {"bear": entry(0), "camel": entry(1)})


@dataclass(frozen=True)
class Found:
    index: int
    points: dict[int, TrackedPoint]


class Scripted:
    """Moves points right by `speed` px a frame of the raster, always visible, and takes notes."""

    def __init__(self, *, speed=STEP * 256, error=0.0, hide=(), last=10**6, breaks=False):
        self.speed, self.error, self.hide = speed, error, hide
        self.last, self.breaks = last, breaks
        self.calls, self.shown = [], []

    def track(self, video, *, points, direction, start, end):
        self.calls.append((tuple(points), direction, start, end))
        self.shown.append([np.asarray(Image.open(path)) for path in sorted(video.iterdir())])
        for index in range(start, min(end, self.last + 1)):
            yield Found(
                index,
                {
                    mark.id: TrackedPoint(
                        mark.x + self.speed * (index - mark.frame),
                        mark.y + self.error,
                        index not in self.hide,
                        1.0,
                    )
                    for mark in points
                },
            )
        if self.breaks:
            raise DamagedVideoError("broken", frame_index=self.last + 1)


def test_first_asks_for_every_point_once_and_goes_forward(davis):
    tracker = Scripted()
    benchmark = read_tapvid(davis)
    assert [clip.name for clip in benchmark.clips] == ["bear", "camel"]
    assert benchmark.settings["set"] == "tapvid_davis"
    result = evaluate(benchmark, tracker=tracker)
    runs = [([m.id for m in marks], way, start, end) for marks, way, start, end in tracker.calls]
    assert runs == [([0, 2], "forward", 0, 7), ([1], "forward", 2, 7)] * 2
    assert result["frames"] == 2 * (7 + 5)
    assert result["scores"]["delta_avg"] == 1.0
    # of 6 + 4 + 6 frames after the queries only one is hidden, and said to be visible
    assert result["scores"]["OA"] == pytest.approx(15 / 16)
    assert result["scores"]["AJ"] == pytest.approx(15 / 16)
    assert result["queries"] == 6 and result["left_out"] == []


def test_strided_asks_every_fifth_frame_and_goes_both_ways(davis):
    tracker = Scripted()
    result = evaluate(read_tapvid(davis, queries="strided", videos=["bear"]), tracker=tracker)
    runs = [
        ([(m.id, m.frame) for m in marks], way, start, end)
        for marks, way, start, end in tracker.calls
    ]
    assert runs == [([(0, 0), (1, 0)], "both", 0, 7), ([(2, 5), (3, 5)], "both", 0, 7)]
    assert result["frames"] == 14 and result["queries"] == 4
    # tracks 0 and 2 from frame 0, 0 and 1 from frame 5: 24 frames, of them hidden: 2's 5, 1's 0, 1
    assert result["scores"]["OA"] == pytest.approx(21 / 24)
    assert result["scores"]["delta_avg"] == 1.0


def test_no_run_is_shown_a_point_twice_or_marks_of_two_frames(davis):
    tracker = Scripted()
    evaluate(read_tapvid(davis, queries="strided", frame_size="own"), tracker=tracker)
    for marks, *_ in tracker.calls:
        assert len({mark.frame for mark in marks}) == 1
        assert len({(mark.x, mark.y) for mark in marks}) == len(marks)


def test_alone_every_query_has_a_run_of_its_own(davis):
    together, alone = Scripted(), Scripted()
    own = {"frame_size": "own", "videos": ["bear"]}
    first = evaluate(read_tapvid(davis, **own), tracker=together)
    again = evaluate(read_tapvid(davis, together=False, **own), tracker=alone)
    assert [len(marks) for marks, *_ in alone.calls] == [1] * 3
    assert again["scores"] == first["scores"] and again["settings"]["together"] is False


def test_places_are_exact_in_pixels_of_the_raster(davis):
    tracker = Scripted()
    evaluate(read_tapvid(davis), tracker=tracker)
    mark = tracker.calls[0][0][0]
    # 0.1 of 256 px from the left edge of the frame, which is half a pixel left of pixel 0's centre
    assert (mark.x, mark.y) == pytest.approx((25.6 - 0.5, 51.2 - 0.5), abs=1e-4)
    assert all(frame.shape == (256, 256, 3) for frame in tracker.shown[0])
    expected = Image.fromarray(entry(0)["video"][3]).resize((256, 256), Image.Resampling.LANCZOS)
    assert np.array_equal(tracker.shown[0][3], np.asarray(expected))


def test_the_video_at_its_own_size_is_scored_on_the_raster(davis):
    tracker = Scripted(speed=STEP * SIZE[1], error=1.0)
    benchmark = read_tapvid(davis, frame_size="own", videos=["bear"])
    result = evaluate(benchmark, tracker=tracker)
    mark = tracker.calls[0][0][0]
    assert (mark.x, mark.y) == pytest.approx((3.2 - 0.5, 4.8 - 0.5), abs=1e-4)
    assert np.array_equal(tracker.shown[0][3], entry(0)["video"][3])
    # 1 px down of 24 rows is 10.67 px of 256
    scores = result["scores"]
    assert (scores["delta_8"], scores["delta_16"]) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("options", "delta", "accuracy"),
    [
        ({"error": 3.0}, 3 / 5, 15 / 16),
        ({"error": 300.0}, 0.0, 15 / 16),
        ({"hide": range(20)}, 1.0, 1 / 16),
        # frames 5 and 6 are missing: of the 15 visible ones 5 are nowhere, one hidden is right
        ({"last": 4}, 10 / 15, 11 / 16),
        ({"last": 4, "breaks": True}, 10 / 15, 11 / 16),
    ],
)
def test_scores_of_a_tracker_that_is_wrong(davis, options, delta, accuracy):
    ticks = []
    result = evaluate(
        read_tapvid(davis, videos=["bear"]),
        tracker=Scripted(**options),
        progress=lambda *a: ticks.append(a),
    )
    assert result["scores"]["delta_avg"] == pytest.approx(delta)
    assert result["scores"]["OA"] == pytest.approx(accuracy)
    assert len(ticks) == result["frames"] and ticks[-1] == ("bear", 12, 12)


def test_points_outside_the_frame_are_given_at_its_edge_and_scored_where_they_are(tmp_path):
    odd = entry()
    odd["points"][0, :, 0] = -0.01
    path = write(tmp_path / "x.pkl", [odd])
    tracker = Scripted(speed=0.0)
    result = evaluate(read_tapvid(path), tracker=tracker)
    assert tracker.calls[0][0][0].x == -0.5
    assert result["sequences"]["0"]["delta_1"] < 1 and result["sequences"]["0"]["delta_4"] > 0


def test_a_list_of_videos_is_numbered(tmp_path):
    path = write(tmp_path / "tapvid_rgb_stacking.pkl", [entry(i) for i in range(11)])
    benchmark = read_tapvid(tmp_path)
    assert [clip.name for clip in benchmark.clips][:2] == ["00", "01"]
    assert len(benchmark.clips) == 11 and benchmark.settings["set"] == "tapvid_rgb_stacking"
    assert read_tapvid(path, videos=["07"]).clips[0].name == "07"


FORMS = {
    "list": jpegs,
    "array of bytes": lambda video: np.array(jpegs(video)),
    "array of objects": lambda video: np.array([*jpegs(video), None], dtype=object)[:-1],
    "list of arrays": list,
}


@pytest.mark.parametrize("form", FORMS)
def test_kinetics_parts_with_encoded_frames(tmp_path, form):
    for part in range(2):
        content = [
            {**(e := entry(10 * part + i)), "video": FORMS[form](e["video"])} for i in (0, 1)
        ]
        write(tmp_path / f"{part:04d}_of_0002.pkl", content)
    benchmark = read_tapvid(tmp_path, frame_size="own")
    names = [clip.name for clip in benchmark.clips]
    assert names == ["0000_of_0002-0", "0000_of_0002-1", "0001_of_0002-0", "0001_of_0002-1"]
    assert benchmark.settings["set"] == "kinetics"
    tracker = Scripted(speed=STEP * SIZE[1])
    result = evaluate(benchmark, tracker=tracker)
    assert result["scores"]["delta_avg"] == 1.0
    truth = video_of(11)[4].astype(int)
    difference = np.abs(tracker.shown[-1][4].astype(int) - truth)
    assert difference.mean() == 0 if form == "list of arrays" else 0 < difference.mean() < 60


def test_clips_are_light_and_can_be_pickled(davis):
    clip = read_tapvid(davis, queries="strided").clips[1]
    packed = pickle.dumps(clip)
    assert len(packed) < 6000 < entry()["video"].nbytes
    again = pickle.loads(packed)
    assert np.array_equal(again.video.load(), entry(1)["video"])
    assert again.frame_count == clip.frame_count == 14


def test_a_video_where_nothing_counts_is_left_out_of_the_mean(tmp_path):
    hidden = entry()
    hidden["occluded"][:] = True
    path = write(tmp_path / "x.pkl", {"a": entry(), "b": hidden, "c": entry(frames=1)})
    benchmark = read_tapvid(path, frame_size="own")
    result = evaluate(benchmark, tracker=Scripted(), output=tmp_path / "out")
    assert result["left_out"] == ["b", "c"]
    assert result["sequences"]["b"] == {**dict.fromkeys(TAPVID_COLUMNS), "queries": 0, "frames": 7}
    assert result["scores"] == {c: result["sequences"]["a"][c] for c in TAPVID_COLUMNS}
    assert "NaN" not in (tmp_path / "out/result.json").read_text()
    only = evaluate(read_tapvid(path, videos=["b"]), tracker=Scripted())
    assert only["scores"]["AJ"] is None


def test_a_tracker_out_of_order_is_refused(davis):
    class Backwards:
        def track(self, video, **_):
            yield Found(3, {})
            yield Found(2, {})

    with pytest.raises(InputError, match="bear: expected frames 4 to 6 in order"):
        evaluate(read_tapvid(davis), tracker=Backwards())


def test_a_tracker_of_masks_alone_is_refused(davis):
    class OfMasks:
        def track(self, video, *, masks):
            yield Found(0, {})

    with pytest.raises(InputError, match="follows points in a direction, got OfMasks"):
        evaluate(read_tapvid(davis), tracker=OfMasks())


def without(key: str) -> dict:
    return {name: value for name, value in entry().items() if name != key}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (3, "expected a dict or list of videos"),
        ([], "expected a dict or list of videos"),
        ({}, "expected a dict or list of videos"),
        ([3], "video '0': expected video, points, occluded; got int"),
        ({"bear": without("points")}, "video 'bear': expected video, .*; got video, occluded"),
        ([{**entry(), "video": "x.mp4"}], "expected video .T, H, W, 3. uint8 .* got 'x.mp4'"),
        ([{**entry(), "video": []}], "got ..$"),
        ([{**entry(), "video": video_of()[..., 0]}], r"got \(7, 24, 32\) .u1"),
        ([{**entry(), "video": video_of() / 255}], r"got \(7, 24, 32, 3\) <f8"),
        ([{**entry(), "video": video_of()[:0]}], r"got \(0, 24, 32, 3\)"),
        ([{**entry(), "video": video_of()[:5]}], r"points \(N, 5, 2\).* got \(3, 7, 2\)"),
        ([{**entry(), "points": entry()["points"][..., :1]}], r"got \(3, 7, 1\)"),
        ([{**entry(), "points": [[1, 2]]}], "got <class 'list'>"),
        ([{**entry(), "occluded": np.zeros((2, 7), bool)}], r"and \(2, 7\)"),
        ([{**entry(), "occluded": np.zeros((3, 7))}], "occluded as bool, got <f4 and <f8"),
        ([{**entry(tracks=3), "points": np.full((3, 7, 2), np.nan)}], "finite points"),
    ],
)
def test_content_that_is_not_as_published_says_why(tmp_path, content, message):
    with pytest.raises(LayoutError, match=message) as caught:
        read_tapvid(write(tmp_path / "x.pkl", content))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("frame", [b"no picture", 3, np.zeros((4, 4), np.uint8)])
def test_a_frame_that_is_no_picture_says_so(tmp_path, frame):
    path = write(tmp_path / "x.pkl", [{**entry(), "video": [*jpegs(video_of())[:6], frame]}])
    with pytest.raises(LayoutError, match=r"video '0', frame 6: .*expected .*picture"):
        evaluate(read_tapvid(path), tracker=Scripted())


def test_a_stranger_s_pickle_is_not_run(tmp_path):
    class Harmful:
        def __reduce__(self):
            return Path.mkdir, (tmp_path / "harm",)

    path = write(tmp_path / "x.pkl", {"bear": {**entry(), "more": Harmful()}})
    with pytest.raises(LayoutError, match="nothing in it was run"):
        read_tapvid(path)
    assert not (tmp_path / "harm").exists()


def test_folders_that_are_not_one_set_say_so(tmp_path):
    with pytest.raises(LayoutError, match=r"no '.*none'; expected tapvid_davis\.pkl"):
        read_tapvid(tmp_path / "none")
    with pytest.raises(LayoutError, match="found none"):
        read_tapvid(tmp_path)
    write(tmp_path / "0000_of_0003.pkl", [entry()])
    write(tmp_path / "0002_of_0003.pkl", [entry()])
    with pytest.raises(LayoutError, match="all parts of one set; see 0001_of_0003"):
        read_tapvid(tmp_path)
    write(tmp_path / "tapvid_davis.pkl", {"bear": entry()})
    with pytest.raises(LayoutError, match=r"one set .*; found 0000_of_0003\.pkl, 0002.*, tapvid"):
        read_tapvid(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"videos": ["bear", "ant"]}, r"names in .* \(bear, camel\), got ant"),
        ({"queries": "last"}, "expected 'first' or 'strided', got 'last'"),
        ({"frame_size": "512"}, "expected '256' or 'own', got '512'"),
    ],
)
def test_options_that_are_not_there_say_so(davis, options, message):
    with pytest.raises(InputError, match=message):
        read_tapvid(davis, **options)


@pytest.mark.parametrize(("queries", "count"), [("first", 4), ("strided", 6)])
def test_a_real_tracker_follows_a_moving_object(tmp_path, queries, count):
    """Points on an object that moves over a still ground, with the exact truth."""
    frames = moving_clip(frames=count, size=(128, 128), objects=1, radius=20)
    centres = [frame.centres[1] for frame in frames]
    offsets = np.array([[-6.0, -4.0], [0.0, 0.0], [5.0, 6.0]])
    pixels = np.array(centres)[None] + offsets[:, None]
    clip = {
        "video": np.stack([frame.rgb for frame in frames]),
        "points": ((pixels + 0.5) / 128).astype(np.float32),
        "occluded": np.zeros(pixels.shape[:2], dtype=bool),
    }
    path = write(tmp_path / "x.pkl", [clip])
    propagate = PropagateConfig(radius=10, recent_radius=6)
    config = TrackConfig(size=128, adapt=0.0, propagate=propagate)
    tracker = Tracker(SmoothEncoder(), device="cpu", config=config)
    scores = evaluate(read_tapvid(path, queries=queries), tracker=tracker)["scores"]
    assert scores["delta_4"] > 0.9 and scores["OA"] > 0.9 and scores["AJ"] > 0.6


def test_points_of_one_run_do_not_change_each_other_where_they_are_seen(tmp_path):
    """While a point is hidden its guess may move, as frames that say nothing of it stay in use."""
    frames = moving_clip(frames=10, size=(96, 128), objects=2, radius=14, velocity=(4.0, 0.0))
    folder = write_clip(tmp_path / "clip", frames)
    behind, before = frames[0].centres[1], frames[0].centres[2]
    places = [behind, before, (behind[0] + 5, behind[1] + 4), (20.0, 12.0)]
    propagate = PropagateConfig(radius=10, recent_radius=6)
    config = TrackConfig(size=96, adapt=0.0, propagate=propagate)
    tracker = Tracker(SmoothEncoder(), device="cpu", config=config)

    def track(*numbers: int) -> list[dict[int, TrackedPoint]]:
        marks = [PointMark(number, 0, *places[number]) for number in numbers]
        tracked = tracker.track(folder, points=marks, direction="forward", start=0, end=10)
        return [frame.points for frame in tracked]

    together, hidden = track(0, 1, 2, 3), 0
    for number in (0, 1):
        for alone, other in zip(track(number), together, strict=True):
            assert alone[number].visible == other[number].visible
            hidden += not alone[number].visible
            if alone[number].visible:
                assert (alone[number].x, alone[number].y) == pytest.approx(
                    (other[number].x, other[number].y), abs=0.05
                )
    assert 1 <= hidden <= 8


def test_the_command_prints_and_writes_the_scores(davis, tiny_encoder, tmp_path, capsys):
    model, out = tmp_path / "tiny.safetensors", tmp_path / "out"
    save_encoder(model, tiny_encoder)
    knobs = ("--model", str(model), "--size", "64", "--videos", "bear", "-o", str(out))
    assert cli.main(["evaluate", "tapvid", str(davis), "--queries", "strided", *knobs]) == 0
    text = capsys.readouterr().out
    assert (
        "tapvid tapvid_davis strided 256" in text
        and "delta_avg" in text
        and str(out / "result.json") in text
    )
    result = json.loads((out / "result.json").read_text())
    assert result["benchmark"] == "tapvid" and result["queries"] == 4
    assert f"{result['scores']['AJ']:.3f}" in text
    assert cli.main(["evaluate", "tapvid", str(tmp_path / "none.pkl")]) == 2
    assert "expected tapvid_davis.pkl" in capsys.readouterr().err
