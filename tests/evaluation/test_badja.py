from __future__ import annotations

import json
import pickle
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from chromatrack.errors import DamagedVideoError, InputError, LayoutError
from chromatrack.evaluation.datasets.badja import (
    BADJA_JOINTS,
    badja_benchmark,
    combine_badja,
    measure_badja,
    read_badja,
    track_joints,
)
from chromatrack.evaluation.runner import evaluate
from chromatrack.formats.masks import write_mask
from chromatrack.structures import PointMark, TrackedPoint

DATA = Path(__file__).resolve().parents[3] / "shared/data"
SIZE = (27, 48)  # 1080 x 1920 divided by 40
FRAMES = 8
ANNOTATED = (1, 3, 4, 7)
AREA = 100


def joints_of(frame: int) -> np.ndarray:
    """(37, 2) float [row, column] of 1920 x 1080 pixels; they move down by 40 px a frame."""
    number = np.arange(37)
    return np.stack([100.0 + 40 * frame + number, 1000.0 + 5 * number], axis=1)


def entry(frame: int, visible=(8, 9, 10, 34), name: str = "bear") -> dict:
    seen = [joint in visible for joint in range(37)]
    joints = [
        row if ok else [0, 0] for row, ok in zip(joints_of(frame).tolist(), seen, strict=True)
    ]
    path = f"DAVIS/JPEGImages/Full-Resolution/{name}/{frame:05d}.jpg"
    return {"image_path": path, "joints": joints, "visibility": seen, "segmentation_path": "x"}


def write_json(folder: Path, entries, name: str = "bear") -> Path:
    path = folder / f"{name}.json"
    path.write_text(json.dumps(entries))
    return path


def write_clip(root: Path, name: str = "bear", resolution: str = "480p", frames: int = FRAMES):
    images = root / "JPEGImages" / resolution / name
    images.mkdir(parents=True)
    mask = np.zeros(SIZE, dtype=np.int32)
    mask[5:15, 10:20] = 1
    for index in range(frames):
        Image.new("RGB", (SIZE[1], SIZE[0])).save(images / f"{index:05d}.jpg")
        write_mask(root / "Annotations" / resolution / name / f"{index:05d}.png", mask)


@pytest.fixture
def root(tmp_path):
    write_clip(tmp_path / "davis")
    write_json(tmp_path, [entry(frame) for frame in ANNOTATED])
    return tmp_path


@dataclass(frozen=True)
class Found:
    index: int
    points: dict[int, TrackedPoint]


class Scripted:
    """Moves points down by 1 px a frame (as the truth does) times `speed`, plus `error` in x."""

    def __init__(self, *, speed=1.0, error=0.0, last=10**6, breaks=False, drop=()):
        self.speed, self.error, self.last = speed, error, last
        self.breaks, self.drop = breaks, drop
        self.calls = []

    def track(self, video, *, points, start, end):
        self.calls.append((video, points, start, end))
        for index in range(start, min(end, self.last + 1)):
            shift = self.speed * (index - start)
            places = {
                mark.id: TrackedPoint(mark.x + self.error, mark.y + shift, True, 1.0)
                for mark in points
                if mark.id not in self.drop
            }
            yield Found(index, places)
        if self.breaks:
            raise DamagedVideoError("broken", frame_index=self.last + 1)


def scored(root, tracker, **options) -> dict:
    return evaluate(badja_benchmark(root, root / "davis", **options), tracker=tracker)


def test_joints_are_brought_to_the_size_of_the_frames(root):
    clip = read_badja(root / "bear.json", root / "davis")
    assert clip.name == "bear" and clip.folder == root / "davis/JPEGImages/480p/bear"
    assert clip.frames == ANNOTATED and clip.left_out == 0
    assert clip.joint_ids == (8, 9, 10), "34, the chin, does not count"
    assert clip.joints.shape == (4, 3, 2) and clip.visible.all()
    row, column = joints_of(3)[9]
    expected = [(column + 0.5) / 40 - 0.5, (row + 0.5) / 40 - 0.5]
    assert clip.joints[1, 1] == pytest.approx(expected)
    assert clip.areas.tolist() == [AREA] * 4


def test_all_joints_can_be_asked_for(root):
    assert read_badja(root / "bear.json", root / "davis", joints="all").joint_ids == (8, 9, 10, 34)
    write_json(root, [entry(frame, visible=(1, 34)) for frame in ANNOTATED], "odd")
    assert read_badja(root / "odd.json", root / "davis").joint_ids == (1, 34)


def test_twenty_joints_count():
    assert len(set(BADJA_JOINTS)) == 20 and 34 not in BADJA_JOINTS


def test_entries_come_in_any_order_and_frames_that_are_not_there_are_counted(root):
    write_json(root, [entry(frame) for frame in (12, 7, 1, 9)])
    clip = read_badja(root / "bear.json", root / "davis")
    assert clip.frames == (1, 7) and clip.left_out == 2


def test_frame_numbers_are_places_in_the_folder(root):
    folder = root / "davis/JPEGImages/480p/bear"
    (folder / "00000.jpg").unlink()
    (folder / ".hidden.jpg").write_bytes(b"")
    assert read_badja(root / "bear.json", root / "davis").frames == (0, 2, 3, 6)


def test_another_resolution_stands_in(tmp_path):
    write_clip(tmp_path, resolution="Full-Resolution")
    path = write_json(tmp_path, [entry(frame) for frame in ANNOTATED])
    assert read_badja(path, tmp_path).folder.parent.name == "Full-Resolution"


def test_joints_enter_on_the_first_annotated_frame_with_their_own_ids(root):
    tracker = Scripted()
    clip = read_badja(root / "bear.json", root / "davis")
    found = track_joints(clip, tracker=tracker)
    (video, marks, start, end), *more = tracker.calls
    assert not more and video == clip.folder and (start, end) == (1, 8)
    assert [(mark.id, mark.frame) for mark in marks] == [(8, 1), (9, 1), (10, 1)]
    assert isinstance(marks[0], PointMark)
    assert found == pytest.approx(clip.joints)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, 1.0),
        ({"error": 1.9}, 1.0),  # a fifth of the root of 100 px is 2 px
        ({"error": 2.1}, 0.0),
        ({"speed": 0.1}, 1 / 3),  # off by 1.8, 2.7 and 5.4 px on frames 3, 4 and 7
        ({"drop": (9,)}, 2 / 3),
        ({"last": 4}, 2 / 3),
        ({"last": 3, "breaks": True}, 1 / 3),
    ],
)
def test_the_score_is_the_share_of_joints_near_enough(root, options, expected):
    result = scored(root, Scripted(**options))
    assert result["scores"]["PCK@0.2"] == pytest.approx(expected)
    bear = result["sequences"]["bear"]
    assert bear["joints"] == 3 and bear["frames"] == 3 and bear["left_out_frames"] == 0


def test_only_joints_visible_on_the_first_and_the_later_frame_count(root):
    entries = [entry(1, (8, 9)), entry(3, (8, 9, 10)), entry(7, (9, 10))]
    write_json(root, entries)
    tracker = Scripted(drop=(9,))
    result = scored(root, tracker)
    assert [mark.id for mark in tracker.calls[0][1]] == [8, 9]
    assert result["scores"]["PCK@0.2"] == pytest.approx(1 / 3)  # 8 on 3; 9 on 3 and 7 is dropped


def test_the_mean_is_over_animals(root):
    write_clip(root / "davis", "camel")
    write_json(root, [entry(f, (8,), "camel") for f in ANNOTATED], "camel")
    result = scored(root, Scripted(drop=(9, 10)))
    assert list(result["sequences"]) == ["bear", "camel"]
    assert result["scores"]["PCK@0.2"] == pytest.approx((1 / 3 + 1) / 2)
    assert result["frames"] == 2 * 7 and result["settings"]["not_in_davis"] == []
    assert scored(root, Scripted(drop=(9, 10)), sequences=["camel"])["scores"] == {"PCK@0.2": 1.0}


def test_animals_that_are_not_in_davis_are_left_out_and_told(root):
    inner = root / "badja/joint_annotations"
    inner.mkdir(parents=True)
    write_json(inner, [entry(frame) for frame in ANNOTATED])
    write_json(inner, [entry(f, (8,), "cat_jump") for f in ANNOTATED], "cat_jump")
    benchmark = badja_benchmark(root / "badja", root / "davis")
    assert [clip.name for clip in benchmark.clips] == ["bear"]
    assert benchmark.settings["not_in_davis"] == ["cat_jump"]
    with pytest.raises(LayoutError, match="has no clip 'cat_jump'"):
        badja_benchmark(root / "badja", root / "davis", sequences=["cat_jump"])
    with pytest.raises(LayoutError, match="has the frames of none of bear, cat_jump"):
        badja_benchmark(root / "badja", root / "elsewhere")
    with pytest.raises(InputError, match="must be among bear, cat_jump; got emu"):
        badja_benchmark(root / "badja", root / "davis", sequences=["emu"])


def test_frames_tick_also_those_without_an_annotation_and_clips_can_be_sent(root):
    clip = pickle.loads(pickle.dumps(badja_benchmark(root, root / "davis").clips[0]))
    ticks = []
    report = measure_badja(clip, tracker=Scripted(last=5), tick=lambda: ticks.append(1))
    assert len(ticks) == clip.frame_count == 7
    assert json.loads(json.dumps(report)) == report
    assert combine_badja({"a": report, "b": {"PCK@0.2": 0.0}})["scores"] == {
        "PCK@0.2": pytest.approx(report["PCK@0.2"] / 2)
    }


def test_a_tracker_out_of_order_is_refused(root):
    class Backwards:
        def track(self, video, *, points, start, end):
            yield Found(3, {})
            yield Found(2, {})

    with pytest.raises(InputError, match="bear: expected frames 4 to 7 in order"):
        scored(root, Backwards())


def changed(**values) -> list[dict]:
    return [entry(1), {**entry(3), **values}]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is no JSON"),
        ("{}", "expected a list"),
        ("[]", "expected a list"),
        ("[3]", "entry 0: expected image_path, joints, visibility; got 3"),
        (changed(image_path=3), "entry 1: image_path is 3"),
        (changed(image_path="camel/00003.jpg"), "one clip, got bear, camel"),
        ([entry(1), entry(1)], "two for 00001"),
        (changed(joints="no"), "are not .row, column. each"),
        (changed(joints=[[10**400, 2]] * 37), "are not .row, column. each"),
        (changed(joints=[[1, 2, 3]] * 37), r"got \(37, 3\)"),
        (changed(joints=[[1, 2], [3]]), "are not .row, column. each"),
        (changed(visibility=[True]), "expected 37 visibilities"),
        (changed(joints=[[1, 2]], visibility=[True]), r"got \[1, 37\]"),
        (changed(joints=[[1080, 2]] * 37), "joint 8 is at .1080.0, 2.0., outside 1920x1080"),
        (changed(joints=[[float("nan"), 2]] * 37), "joint 8 is at .nan, 2.0., outside"),
        ([entry(30), entry(1)], "holds 1 of the 2 frames"),
        ([entry(1, name="ant"), entry(3, name="ant")], "has no clip 'ant'; expected JPEGImages"),
    ],
)
def test_files_that_are_not_as_published_say_why(root, content, message):
    text = content if isinstance(content, str) else json.dumps(content)
    (root / "bear.json").write_text(text)
    with pytest.raises(LayoutError, match=message):
        read_badja(root / "bear.json", root / "davis")


def test_missing_files_say_so(root):
    with pytest.raises(LayoutError, match=r"cannot read.*ant\.json"):
        read_badja(root / "ant.json", root / "davis")
    with pytest.raises(LayoutError, match=r"expected BADJA's bear\.json"):
        badja_benchmark(root / "davis", root / "davis")
    masks = root / "davis/Annotations/480p/bear"
    write_mask(masks / "00003.png", np.zeros(SIZE, dtype=np.int32))
    with pytest.raises(LayoutError, match=r"00003.png' marks no animal"):
        read_badja(root / "bear.json", root / "davis")
    write_mask(masks / "00003.png", np.ones((5, 5), dtype=np.int32))
    with pytest.raises(LayoutError, match="masks of one size"):
        read_badja(root / "bear.json", root / "davis")


@settings(max_examples=30)
@given(value=st.recursive(st.none() | st.integers() | st.text(max_size=3), st.lists, max_leaves=8))
def test_any_json_is_read_or_refused_in_one_line(tmp_path_factory, value):
    folder = tmp_path_factory.mktemp("any")
    for content in (value, [{**entry(1), "joints": value}], [{**entry(1), "visibility": value}]):
        path = write_json(folder, content)
        with pytest.raises(LayoutError) as caught:
            read_badja(path, folder)
        assert "\n" not in str(caught.value)


@pytest.mark.skipif(not (DATA / "badja").is_dir(), reason="needs ../shared/data/badja")
def test_reads_a_real_animal():
    clip = read_badja(DATA / "badja/bear.json", DATA / "davis16-dev")
    assert clip.frames[:3] == (2, 7, 12) and clip.left_out == 6 and len(clip.frames) == 11
    assert clip.joint_ids == BADJA_JOINTS
    assert (np.nanmax(clip.joints, axis=(0, 1)) < (854, 480)).all()


@pytest.mark.skipif(not (DATA / "badja").is_dir(), reason="needs ../shared/data/badja")
def test_real_animals_score_as_they_did_before_they_were_a_benchmark():
    class Drifting:
        def track(self, video, *, points, start, end):
            for index in range(start, end):
                step = index - start
                if step % 11 != 10:
                    yield Found(
                        index,
                        {
                            mark.id: TrackedPoint(mark.x + step / 2, mark.y - step / 4, True, 1.0)
                            for mark in points
                        },
                    )

    result = evaluate(badja_benchmark(DATA / "badja", DATA / "davis16-dev"), tracker=Drifting())
    scores = {name: report["PCK@0.2"] for name, report in result["sequences"].items()}
    assert scores == pytest.approx(
        {"bear": 74 / 189, "dog-agility": 1 / 29, "horsejump-low": 72 / 171}
    )
    assert result["scores"]["PCK@0.2"] == pytest.approx(0.2823565939113428)
