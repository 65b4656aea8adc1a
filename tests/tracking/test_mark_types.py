"""What users of Python may get wrong ends in one InputError that names it, or is understood."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from synthetic import moving_clip, write_clip

from chromatrack.errors import InputError
from chromatrack.formats.masks import write_mask
from chromatrack.model.encoder import Encoder
from chromatrack.propagation.config import PropagateConfig
from chromatrack.structures import BoxMark, KeypointMark, LostMark, PointMark
from chromatrack.tracking.session import Session
from chromatrack.tracking.tracker import TrackConfig, Tracker

MASK = np.zeros((48, 64), np.int32)
MASK[10:30, 10:30] = 1
NOT_LOST = np.zeros(1, bool)
HUGE = int("9" * 400)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clip")
    write_clip(folder / "frames", moving_clip(frames=3, size=(48, 64), radius=8))
    write_mask(folder / "first.png", MASK)
    return folder


@pytest.fixture
def tracker(tiny_encoder: Encoder) -> Tracker:
    return Tracker(tiny_encoder, config=TrackConfig(size=48))


def frames_of(clip: Path) -> str:
    return str(next(path for path in clip.iterdir() if path.name.startswith("frames")))


def point(*values: Any) -> dict[str, object]:
    return {"points": [PointMark(*values)]}


def box(*values: Any) -> dict[str, object]:
    return {"boxes": [BoxMark(1, 0, *values)]}


def joints(values: Any, lost: Any = NOT_LOST) -> dict[str, object]:
    return {"keypoints": [KeypointMark(1, 0, values, lost)]}


ODD_NUMBERS = [HUGE, -HUGE, 1e308, -1e308, float("nan"), float("inf"), True, "3", [3], 2 + 3j]

WRONG: dict[str, dict[str, object]] = {
    "dict of points": {"points": {1: (1, 1)}},
    "plain points": {"points": [(1, 1)]},
    "text as points": {"points": "1,1"},
    "number as points": {"points": 3},
    "None among points": {"points": [None]},
    "boxes as points": {"points": [BoxMark(1, 0, 1, 1, 3, 3)]},
    "dict of boxes": {"boxes": {1: (1, 2, 3, 4)}},
    "dict as lost": {"lost": {1: 0}, "masks": MASK},
    "unknown argument": {"mask": MASK},
    "skeleton of another type": {**point(1, 0, 3, 3), "skeleton": ["nose"]},
    "number as masks": {"masks": 3},
    "float mask": {"masks": MASK.astype(float)},
    "colour mask": {"masks": np.stack([MASK] * 3, axis=-1)},
    "object mask": {"masks": MASK.astype(object)},
    "negative mask": {"masks": MASK - 1},
    "large mask": {"masks": MASK.astype(np.int64) << 40},
    "empty mask": {"masks": np.zeros((0, 0), int)},
    "mask of another size": {"masks": MASK[:9]},
    "mask on no frame": {"masks": {"first": MASK}},
    "mask on half a frame": {"masks": {0.5: MASK}},
    "mask before the first": {"masks": {-1: MASK}},
    "mask behind the last": {"masks": {99: MASK}},
    "None on a frame": {"masks": {0: None}},
    "no such file on a frame": {"masks": {0: "none.png"}},
    **{f"point x {odd!r:.20}": point(1, 0, odd, 3) for odd in ODD_NUMBERS},
    **{f"box x {odd!r:.20}": box(odd, 3, 5, 5) for odd in ODD_NUMBERS},
    **{f"box width {odd!r:.20}": box(3, 3, odd, 5) for odd in ODD_NUMBERS},
    **{f"id {odd!r:.20}": point(odd, 0, 3, 3) for odd in [*ODD_NUMBERS, -1, 2**63, 1.0, None]},
    **{f"frame {odd!r:.20}": point(1, odd, 3, 3) for odd in [*ODD_NUMBERS, -1, 2**63, 1.5, None]},
    "box of great reach": box(-1e9, -1e9, 2e9, 2e9),
    "box partly lost": box(None, 3, 5, 5),
    "joints huge": joints(np.array([[1e308, 3.0]])),
    "joints infinite": joints(np.array([[np.inf, 3.0]])),
    "joints in a row": joints(np.array([1.0, 2.0])),
    "joints ragged": joints([[1, 2], [3]]),
    "joints of text": joints(np.array([["1", "2"]])),
    "joints 400 digits": joints([[HUGE, 1]]),
    "joints none": joints(np.zeros((0, 2)), np.zeros(0, bool)),
    "lost of another length": joints(np.ones((1, 2)), np.zeros(2, bool)),
    "lost of numbers": joints(np.ones((1, 2)), np.zeros(1)),
    "lost id of text": {"masks": MASK, "lost": [LostMark("1", 1)]},  # pyright: ignore[reportArgumentType]
}


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_marks_end_in_one_line(tracker: Tracker, clip: Path, kind: str) -> None:
    given: Any = WRONG[kind]
    with pytest.raises(InputError) as raised:
        tracker.track(frames_of(clip), **given)
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 300


WRONG_CALLS: dict[str, Callable[[Tracker, str], object]] = {
    "video a number": lambda t, v: t.track(3, masks=MASK),  # pyright: ignore[reportArgumentType]
    "video an array": lambda t, v: t.track(np.zeros((3, 48, 64, 3), np.uint8), masks=MASK),  # pyright: ignore[reportArgumentType]
    "video None": lambda t, v: t.track(None, masks=MASK),  # pyright: ignore[reportArgumentType]
    "direction": lambda t, v: t.track(v, masks=MASK, direction="up"),  # pyright: ignore[reportArgumentType]
    "start a list": lambda t, v: t.track(v, masks=MASK, start=[1]),  # pyright: ignore[reportArgumentType]
    "start negative": lambda t, v: t.track(v, masks=MASK, start=-1),
    "start True": lambda t, v: t.track(v, masks=MASK, start=True),
    "start huge": lambda t, v: t.track(v, masks=MASK, start=HUGE),
    "start text": lambda t, v: t.track(v, masks=MASK, start="soon"),
    "end before start": lambda t, v: t.track(v, masks=MASK, start=2, end=1),
    "end 0": lambda t, v: t.track(v, masks=MASK, end=0),
    "end nan": lambda t, v: t.track(v, masks=MASK, end=float("nan")),  # pyright: ignore[reportArgumentType]
    "encoder": lambda t, v: Tracker(torch.nn.Conv2d(3, 3, 3)),  # pyright: ignore[reportArgumentType]
    "encoder a name": lambda t, v: Tracker("small"),  # pyright: ignore[reportArgumentType]
    "config a dict": lambda t, v: Tracker(t.encoder, config={"size": 48}),  # pyright: ignore[reportArgumentType]
    "references None": lambda t, v: t.colorize(v, references=None),  # pyright: ignore[reportArgumentType]
    "references a number": lambda t, v: t.colorize(v, references=[3]),  # pyright: ignore[reportArgumentType]
    "references empty": lambda t, v: t.colorize(v, references=[]),
    "reference of floats": lambda t, v: t.colorize(v, references=[(np.ones((4, 4, 3)), 0)]),
    "reference grey": lambda t, v: t.colorize(v, references=[(MASK, 0)]),
    "reference of one": lambda t, v: t.colorize(v, references=[(MASK,)]),  # pyright: ignore[reportArgumentType]
    "no such reference": lambda t, v: t.colorize(v, references="none.png"),
}


@pytest.mark.parametrize("kind", WRONG_CALLS)
def test_wrong_calls_end_in_one_line(tracker: Tracker, clip: Path, kind: str) -> None:
    with pytest.raises(InputError) as raised:
        WRONG_CALLS[kind](tracker, frames_of(clip))
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 300


RIGHT: dict[str, dict[str, object]] = {
    "numpy numbers": point(np.int64(1), np.uint8(0), np.float32(20), np.int16(20)),
    "a single mark": {"points": PointMark(1, 0, 20, 20)},
    "an iterator": {"boxes": iter([BoxMark(1, 0, 10, 10, 20, 20)])},
    "bool mask": {"masks": MASK > 0},
    "list as mask": {"masks": {0: MASK.tolist()}},
    "numpy frame": {"masks": {np.int64(0): MASK}},
    "joints as a list": joints([[20, 20]]),
    "start a time": {"masks": MASK, "start": "0s"},
    "start of numpy": {"masks": MASK, "start": np.int64(0)},
    "start as text": {"masks": MASK, "start": "0", "end": "3"},
}


@pytest.mark.parametrize("kind", RIGHT)
def test_what_can_be_understood_is_tracked(tracker: Tracker, clip: Path, kind: str) -> None:
    given: Any = RIGHT[kind]
    assert len(list(tracker.track(frames_of(clip), **given))) == 3


def test_masks_by_frame_may_be_files(tracker: Tracker, clip: Path) -> None:
    by_file = tracker.track(frames_of(clip), masks={0: str(clip / "first.png")})
    by_array = tracker.track(frames_of(clip), masks={0: MASK})
    for a, b in zip(by_file, by_array, strict=True):
        assert np.array_equal(a.mask, b.mask)


def test_one_reference_needs_no_list(tracker: Tracker, clip: Path) -> None:
    picture = sorted(Path(frames_of(clip)).iterdir())[0]
    alone = list(tracker.colorize(frames_of(clip), references=str(picture)))
    listed = list(tracker.colorize(frames_of(clip), references=[str(picture)]))
    assert all(np.array_equal(a.rgb, b.rgb) for a, b in zip(alone, listed, strict=True))


SESSION: dict[str, tuple[Callable[[Session], object], str]] = {
    "box of three": (lambda s: s.add(boxes={5: (1, 2, 3)}), "box 5: expected 4 numbers"),  # pyright: ignore[reportArgumentType]
    "box of text": (lambda s: s.add(boxes={5: "1234"}), "box 5: expected 4 numbers"),  # pyright: ignore[reportArgumentType]
    "box huge": (lambda s: s.add(boxes={5: (1e308, 1, 1, 1)}), "box 5: expected a finite"),
    "point of None": (lambda s: s.add(points={5: (None, 1)}), "point 5"),  # pyright: ignore[reportArgumentType]
    "points a list": (lambda s: s.add(points=[(1, 1)]), "points: expected"),  # pyright: ignore[reportArgumentType]
    "id of text": (lambda s: s.add(points={"a": (1, 1)}), "points: id"),  # pyright: ignore[reportArgumentType]
    "id 2**63": (lambda s: s.add(points={2**63: (1, 1)}), "points: id"),
    "joints": (lambda s: s.add(keypoints={5: [1, 2]}), "keypoints 5"),  # pyright: ignore[reportArgumentType]
    "unknown": (lambda s: s.add(foo=3), "foo: expected one of"),  # pyright: ignore[reportCallIssue]
    "mask of floats": (lambda s: s.add(masks=MASK * 1.0), "mask"),
    "remove kind": (lambda s: s.remove("foo", 1), "kind: expected one of 'object'"),  # pyright: ignore[reportArgumentType]
    "remove list": (lambda s: s.remove(["object"], 1), "kind: expected"),  # pyright: ignore[reportArgumentType]
    "remove id": (lambda s: s.remove("object", "1"), "object: id"),  # pyright: ignore[reportArgumentType]
    "lost id": (lambda s: s.lost(None), "object: id"),  # pyright: ignore[reportArgumentType]
    "lost unknown": (lambda s: s.lost(77), "is not tracked"),
    "lost joints": (lambda s: s.lost(3, kind="keypoints", joints=1), "joints: expected"),  # pyright: ignore[reportArgumentType]
    "lost joint text": (lambda s: s.lost(3, kind="keypoints", joints="a"), "joints: expected"),  # pyright: ignore[reportArgumentType]
    "step a list": (lambda s: s.step([[1]]), "expected a frame"),  # pyright: ignore[reportArgumentType]
    "step None": (lambda s: s.step(None), "expected a frame"),  # pyright: ignore[reportArgumentType]
    "step time": (lambda s: s.step(s.result.rgb, pts_seconds="1"), "pts_seconds"),  # pyright: ignore[reportArgumentType]
    "step nan": (lambda s: s.step(s.result.rgb, pts_seconds=float("nan")), "pts_seconds"),
}


@pytest.mark.parametrize("kind", SESSION)
def test_sessions_say_what_is_wrong_and_stay_as_they_were(tracker: Tracker, kind: str) -> None:
    rgb = moving_clip(frames=1, size=(48, 64), radius=8)[0].rgb
    session = tracker.start(rgb, masks=MASK, keypoints={3: np.array([[9.0, 9.0]])})
    before, layout = session.result, session.layout
    call, message = SESSION[kind]
    with pytest.raises(InputError, match=message):
        call(session)
    assert session.layout == layout and session.result is before


WRONG_VALUES: dict[str, list[object]] = {
    "first": ["yes", 1, None],
    "recent": ["4", 1.5, True, -1, HUGE],
    "spacing": [0, None],
    "top_k": ["all", 0, 2.5],
    "radius": ["wide", -1],
    "radius_shape": ["round", None, []],
    "temperature": ["hot", 0, -1, float("nan"), float("inf"), HUGE, True],
    "pinned": [3, (0,), ("a",), "12"],
    "similarity": ["l2", None],
    "faint": [1, -0.1, "x", float("nan")],
    "moved_dilation": [0, None],
}


@pytest.mark.parametrize("name", WRONG_VALUES)
def test_configurations_are_checked_field_by_field(name: str) -> None:
    for value in WRONG_VALUES[name]:
        knobs: Any = {name: value}
        with pytest.raises(InputError, match=name):
            PropagateConfig(**knobs)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("size", value) for value in (15, "480", 480.0, True, None, HUGE)],
        *[("stride", value) for value in (3, "8", 8.0)],
        *[("adapt", value) for value in (2, "x", float("nan"), None)],
        *[("redetect", value) for value in (1, "no")],
        *[("propagate", value) for value in ({}, None)],
        *[("upsample", value) for value in ("nearest", 3)],
        ("protocol", 3),
    ],
)
def test_settings_are_checked_field_by_field(name: str, value: object) -> None:
    knobs: Any = {name: value}
    with pytest.raises(InputError, match=name):
        TrackConfig(**knobs)
