"""Reliability without labels: its signals on made-up features and on clips; where it is told."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import moving_clip, write_clip

from chromatrack.errors import InputError
from chromatrack.evaluation.baselines.identity import RawLabEncoder
from chromatrack.propagation.bidirectional import FrameReading
from chromatrack.propagation.config import PropagateConfig
from chromatrack.propagation.layout import Layout
from chromatrack.propagation.merging import merge_readings
from chromatrack.propagation.reliability import (
    ABSENT,
    LOOK_BELOW,
    Cells,
    ReviewRange,
    Signals,
    certainty,
    color_error,
    copied,
    estimate,
    frames_to_look_at,
    rim,
    weighted_mean,
)
from chromatrack.runs.correct import correct
from chromatrack.runs.reader import read_result
from chromatrack.runs.writer import track_to_folder
from chromatrack.tracking.config import TrackConfig
from chromatrack.tracking.marks import Marks
from chromatrack.tracking.tracker import Tracker
from chromatrack.viz.overlays import Bar, overlay_reliability

SIZE = (6, 8)


def unit(seed: int, channels: int = 48) -> torch.Tensor:
    """Features of which every cell is like no other."""
    torch.manual_seed(seed)
    return F.normalize(torch.randn(channels, *SIZE), dim=0)


def block(top: int, left: int) -> torch.Tensor:
    labels = torch.zeros(SIZE)
    labels[top : top + 2, left : left + 3] = 1
    return labels


KNOBS = {"top_k": 1, "temperature": 0.05}


def test_what_is_copied_back_tells_a_region_that_ran_over_from_one_that_moved():
    features, marked = unit(0), block(1, 1)
    moved = features.roll((1, 2), dims=(1, 2))

    def back(labels: torch.Tensor) -> float:
        cells = Cells.of(labels)
        return cells.mean(copied(moved, cells, features, marked[None], **KNOBS)[0])

    assert back(block(2, 3)) == pytest.approx(1, abs=1e-3)
    assert back(block(4, 5)) == pytest.approx(0, abs=1e-3)  # the label went elsewhere
    grown = block(2, 3) + block(4, 3)  # it ran over what is beside it
    assert back(grown) == pytest.approx(1 / 2, abs=1e-3)
    assert back(block(2, 3) + 0.5 * block(4, 3)) == pytest.approx(2 / 3, abs=1e-3)
    assert back(torch.zeros(SIZE)) == 0


def test_few_of_many_cells_stand_for_all():
    cells = Cells.of(block(1, 1), most=3)
    assert len(cells.index) == 3 and set(cells.index.tolist()) < {9, 10, 11, 17, 18, 19}
    assert cells.mean(torch.tensor([1.0, 2.0, 6.0])) == 3


def test_color_error_is_the_distance_from_the_copied_colors():
    features, labels = unit(1), block(1, 1)
    ab = torch.arange(96.0).reshape(2, *SIZE)
    moved, there = features.roll(2, dims=2), ab.roll(2, dims=2)
    at = block(1, 3)

    def error(labels: torch.Tensor, seen: torch.Tensor) -> float:
        cells = Cells.of(labels)
        return color_error(cells, seen, copied(moved, cells, features, ab, **KNOBS))

    assert error(at, there) == pytest.approx(0, abs=1e-4)
    shifted = there + torch.tensor([4.0, -10.0])[:, None, None] * at
    assert error(at, shifted) == pytest.approx(7, abs=1e-3)
    assert error(labels * 0, shifted) == 0
    assert weighted_mean(at, at * 3) == 3 and weighted_mean(at * 0, at) == 0


def test_certainty_is_the_overlap_that_chances_expect():
    mask = torch.zeros(10, 10)
    mask[2:6, 2:7] = 1
    assert certainty(mask) == 1 and rim(mask) == 0
    doubted = mask.clone()
    doubted[2:6, 2:4] = 0.75  # 8 of its 20 cells
    doubted[6, 2:7] = 0.4  # and 5 beside it
    assert certainty(doubted) == pytest.approx(18 / 22)
    assert rim(doubted) == pytest.approx(4 / 22 * 21**0.5)
    assert certainty(mask * 0.4) == 0 and certainty(mask * 0) == 0
    rng = np.random.default_rng(0)
    draws = rng.random((4000, 10, 10)) < doubted.numpy()
    inside = doubted.numpy() > 0.5
    overlap = (draws & inside).sum((1, 2)) / (draws | inside).sum((1, 2))
    assert overlap.mean() == pytest.approx(certainty(doubted), abs=0.01)


def test_a_blurred_edge_of_a_small_thing_is_as_narrow_as_that_of_a_large_one():
    def disc(radius: float) -> torch.Tensor:
        y, x = torch.meshgrid(torch.arange(120.0), torch.arange(120.0), indexing="ij")
        return (radius - ((y - 60) ** 2 + (x - 60) ** 2).sqrt()).sigmoid()

    small, large = disc(10), disc(40)
    assert certainty(small) < certainty(large) - 0.08
    assert rim(small) == pytest.approx(rim(large), rel=0.15)
    spilt = large.clone()
    spilt[0:36, 0:120] = 0.55  # as certain as the small one is, but not at its edge
    assert certainty(spilt) == pytest.approx(certainty(small), abs=0.05)
    assert rim(spilt) > 3 * rim(small)


unit_interval = st.floats(0, 1)


@given(unit_interval, unit_interval, st.floats(0, 200), st.booleans(), st.booleans())
def test_estimates_are_chances_and_fall_with_what_speaks_against(back, sure, rim, there, decoded):
    def of(**more: float) -> float:
        known = {"back": back, "certainty": sure, "rim": rim}
        return estimate(Signals(**known | more, present=there, decoded=decoded))

    assert 0 <= of() <= 1
    assert of(rim=rim + 5) <= of()
    assert of(back=min(1, back + 0.1)) >= of()
    assert of(certainty=min(1, sure + 0.1)) >= of()


def test_what_was_painted_is_certain_and_what_is_absent_is_not():
    assert estimate(None) == 1
    assert estimate(Signals(present=False)) == ABSENT < LOOK_BELOW
    for decoded in (True, False):
        sure = Signals(back=0.99, certainty=0.97, rim=0.5, sharpness=0.95, decoded=decoded)
        doubted = Signals(back=0.2, certainty=0.55, rim=14, sharpness=0.4, decoded=decoded)
        assert estimate(sure) > 0.9 and estimate(doubted) < 0.3


def test_ranges_are_joined_over_short_gaps_and_come_worst_first():
    low = {1: 0.5, 2: 0.9}
    frames = [(n, low) for n in (3, 4)] + [(5, {1: 0.95, 2: 0.1}), (6, {1: 0.3, 2: 0.95})]
    frames += [(n, {1: 1.0, 2: 1.0}) for n in range(7, 12)] + [(12, {1: 0.2, 2: 1.0})]
    assert frames_to_look_at(frames, below=0.8, gap=3) == [
        ReviewRange(2, 5, 5, 0.1),
        ReviewRange(1, 12, 12, 0.2),
        ReviewRange(1, 3, 6, 0.3),
    ]
    assert frames_to_look_at([]) == [] and frames_to_look_at([(0, {1: 1.0})]) == []
    assert str(ReviewRange(2, 31, 36, 0.213)) == "frames 31-36 of object 2: reliability 0.21"
    assert str(ReviewRange(2, 5, 5, 0.1)).startswith("frame 5 of object 2")


@given(st.lists(st.floats(0, 1), max_size=40), st.integers(0, 5))
@settings(deadline=None)
def test_every_unreliable_frame_is_in_exactly_one_range(values, gap):
    found = frames_to_look_at([(n, {7: v}) for n, v in enumerate(values)], below=0.5, gap=gap)
    for n, value in enumerate(values):
        inside = sum(r.first <= n <= r.last for r in found)
        assert inside == 1 if value < 0.5 else inside <= 1
    assert [r.reliability for r in found] == sorted(r.reliability for r in found)


def test_the_pass_that_counts_more_tells_the_signals():
    layout, told = Layout((4,)), {1: {0: True, 10: True}}
    regions = torch.stack([torch.zeros(SIZE), torch.ones(SIZE)])
    sure, lost = Signals(1.0, 0.9), Signals(present=False)

    def merged(index: int, ahead: dict, behind: dict) -> dict:
        both = [FrameReading(regions, {1: 0.5}, {1: 0.5}, signals=s) for s in (ahead, behind)]
        return dict(merge_readings(index, both[0], both[1], layout, told).signals)

    assert merged(2, {1: sure}, {1: lost}) == {1: sure}
    assert merged(8, {1: sure}, {1: lost}) == {1: lost}
    assert merged(0, {1: None}, {1: sure}) == {1: None}
    assert merged(8, {1: sure}, {}) == {1: sure} and merged(5, {}, {}) == {}


# -- whole clips ---------------------------------------------------------------------------

FRAMES, SPOILT = 8, range(4, 8)


@pytest.fixture(scope="module")
def tracker() -> Tracker:
    config = TrackConfig(size=96, adapt=0, propagate=PropagateConfig(temperature=0.03))
    return Tracker(RawLabEncoder(), device="cpu", config=config, model="raw-lab")


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> dict[str, Path]:
    """A still disc; the same, but from frame 4 on something grey lies where it was."""
    folder = tmp_path_factory.mktemp("clips")
    clip = moving_clip(frames=FRAMES, velocity=(1.0, 0.0), radius=20)
    spoilt = []
    for frame in clip:
        rgb = frame.rgb.copy()
        if frame.index in SPOILT:
            rng = np.random.default_rng(frame.index)
            noise = rng.integers(60, 200, (*rgb.shape[:2], 1)).repeat(3, axis=2)
            rgb = np.where((frame.mask > 0)[..., None], noise, rgb).astype(np.uint8)
        spoilt.append(rgb)
    return {
        "whole": write_clip(folder / "whole", clip),
        "spoilt": write_clip(folder / "spoilt", spoilt),
        "mask": write_mask_of(folder / "mask.png", clip[0].mask * 9),
    }


def write_mask_of(path: Path, mask: np.ndarray) -> Path:
    from chromatrack.formats.masks import write_mask

    write_mask(path, mask)
    return path


def test_reliability_drops_where_the_object_is_replaced(tracker, clips):
    plain = replace(tracker.config, redetect=False)
    without = Tracker(RawLabEncoder(), device="cpu", config=plain)
    whole = list(without.track(clips["whole"], masks=clips["mask"]))
    spoilt = list(without.track(clips["spoilt"], masks=clips["mask"]))
    assert all(set(frame.reliability) == {9} for frame in [*whole, *spoilt])
    assert whole[0].reliability == {9: 1.0} and whole[0].signals == {9: None}
    kept = [frame.reliability[9] for frame in whole]
    assert min(kept) > 0.9
    for before, after in zip(whole, spoilt, strict=True):
        assert 0 <= after.reliability[9] <= 1
        if after.index in SPOILT:
            assert after.reliability[9] < before.reliability[9] - 0.3
        else:
            assert after.reliability == before.reliability


def test_sessions_tell_it_too(tracker, clips):
    from chromatrack.formats.masks import read_mask
    from chromatrack.video.reader import read_frames

    frames = list(read_frames(clips["whole"], end=4))
    session = tracker.start(frames[0].rgb, masks=read_mask(clips["mask"]))
    pushed = [session.result, *(session.step(frame.rgb) for frame in frames[1:])]
    tracked = tracker.track(clips["whole"], masks=clips["mask"], end=4)
    assert [f.reliability for f in pushed] == [f.reliability for f in tracked]
    assert session.remove("object", 9).reliability == {}


def test_nothing_is_said_before_the_first_mark(tracker, clips):
    from chromatrack.formats.masks import read_mask

    marked = {3: read_mask(clips["mask"])}
    found = list(tracker.track(clips["whole"], masks=marked, direction="forward"))
    assert [bool(frame.reliability) for frame in found] == [n >= 3 for n in range(FRAMES)]
    both = list(tracker.track(clips["whole"], masks=marked))
    assert all(set(frame.reliability) == {9} for frame in both)


# -- files ---------------------------------------------------------------------------------


def test_result_json_says_it_and_what_to_look_at(tracker, clips, tmp_path):
    done = track_to_folder(tracker, clips["spoilt"], Marks.of(masks=clips["mask"]), output=tmp_path)
    data = json.loads((tmp_path / "result.json").read_text())
    told = [row["reliability"] for row in data["frames"]]
    assert told[0] == {"9": 1.0} and all(0 <= row["9"] <= 1 for row in told)
    assert told[5]["9"] < LOOK_BELOW
    assert [row["object"] for row in data["look_at"]] == [9]
    assert data["look_at"][0]["first"] == 4 and data["look_at"][0]["last"] == 7
    assert data["look_at"][0]["reliability"] == min(row["9"] for row in told)
    assert (done.look_at[0].first, done.look_at[0].last) == (4, 7)
    saved = read_result(tmp_path)
    assert saved.frames[5].reliability == {9: told[5]["9"]}


def test_runs_of_older_versions_are_read_and_corrected(tracker, clips, tmp_path):
    from chromatrack.formats.masks import read_mask

    track_to_folder(tracker, clips["spoilt"], Marks.of(masks=clips["mask"]), output=tmp_path)
    path = tmp_path / "result.json"
    data = json.loads(path.read_text())
    del data["look_at"], data["show_reliability"]
    for row in data["frames"]:
        del row["reliability"]
    path.write_text(json.dumps(data))
    assert read_result(tmp_path).frames[2].reliability == {}
    done = correct(tracker, tmp_path, Marks.of(masks={2: read_mask(clips["mask"])}))
    again = json.loads(path.read_text())
    assert [(r.object, r.first, r.last) for r in done.look_at] == [
        (row["object"], row["first"], row["last"]) for row in again["look_at"]
    ]
    assert done.look_at
    assert again["frames"][2]["reliability"] == {"9": 1.0}
    assert "reliability" in again["frames"][4] and "look_at" in again


def test_the_overlay_shows_it_when_asked(tracker, clips, tmp_path):
    from chromatrack.video.reader import read_frames

    shown = []
    for name, wanted in (("plain", False), ("shown", True)):
        track_to_folder(
            tracker,
            clips["whole"],
            Marks.of(masks=clips["mask"]),
            output=tmp_path / name,
            end=2,
            show_reliability=wanted,
        )
        frame = next(read_frames(tmp_path / name / "overlay.mp4"))
        shown.append(frame.rgb.astype(int))
    apart = np.abs(shown[0] - shown[1]).max(axis=-1) > 40
    assert apart[-6:, :30].any() and not apart[:40].any()


def test_bars_are_as_long_as_reliability_is_high():
    rgb = np.full((120, 240, 3), 90, np.uint8)
    shown = overlay_reliability(rgb, [Bar("1", 1, 1.0, 0.5), Bar("2", 2, 0.25, 0.5)])
    assert (rgb == 90).all() and shown.shape == rgb.shape
    rows = {2: 117, 1: 112}  # the first object's bar is the upper one
    lit = {k: (shown[y, 12:50].max(axis=-1) > 200).sum() for k, y in rows.items()}
    assert lit[1] > 35
    red = (shown[..., 0] > 200) & (shown[..., 1] < 90) & (shown[..., 2] < 90)
    assert red[114:].any()
    assert np.array_equal(overlay_reliability(rgb, []), rgb)
    with pytest.raises(InputError, match="reliability of p3: expected 0 to 1"):
        overlay_reliability(rgb, [Bar("p3", 3, 1.5, 0.5)])
    with pytest.raises(InputError, match="uint8 RGB"):
        overlay_reliability(rgb[..., 0], [])


def test_of_more_bars_than_fit_the_lowest_are_shown():
    rgb = np.zeros((60, 240, 3), np.uint8)
    some = [Bar(f"p{n}", 1, 1.0, 0.5) for n in range(30)]
    full = overlay_reliability(rgb, some[:20])
    assert np.array_equal(overlay_reliability(rgb, some), full)
    some[29] = Bar("p29", 2, 0.1, 0.5)
    red = overlay_reliability(rgb, some)[-3:].astype(int)
    assert ((red[..., 0] > 200) & (red[..., 1] < 90)).any()
