"""Frames before a shot's first reference are coloured as well as those after it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from patch_encoders import SmoothEncoder, smooth_patches, wave_frame
from synthetic import write_clip

from chromatrack.evaluation.baselines.colorizers import ab_of, grey_of
from chromatrack.tracking import color_before
from chromatrack.tracking.color_before import share_between, share_of, span_before, spans_between
from chromatrack.tracking.config import ColoringConfig, PropagateConfig, TrackConfig
from chromatrack.tracking.tracker import Tracker

SIZE, COUNT = (64, 96), 13


class GreyPatches(SmoothEncoder):
    """`smooth_patches` of the luminance."""

    def embed(self, lab: torch.Tensor) -> torch.Tensor:
        return smooth_patches(0.5 + 0.5 * lab[:, :1].expand(-1, 3, -1, -1))


@pytest.fixture(scope="module")
def frames() -> list[np.ndarray]:
    return [
        (wave_frame((2.0 * i, 1.0 * i), size=SIZE) * 255).round().astype(np.uint8)
        for i in range(COUNT)
    ]


@pytest.fixture(scope="module")
def clips(frames, tmp_path_factory):
    """The clip in grey, forth and back."""
    folder = tmp_path_factory.mktemp("before")
    grey = [grey_of(rgb) for rgb in frames]
    return write_clip(folder / "forth", grey), write_clip(folder / "back", grey[::-1])


def tracker(recent: int = 0) -> Tracker:
    color = PropagateConfig(radius=3, recent=recent)
    return Tracker(GreyPatches(), device="cpu", config=TrackConfig(size=64, color=color))


@pytest.mark.slow
def test_a_clip_that_runs_back_gets_the_same_colors(frames, clips):
    middle = COUNT // 2
    forth = list(tracker().colorize(clips[0], references=[(frames[middle], middle)]))
    back = list(tracker().colorize(clips[1], references=[(frames[middle], middle)]))[::-1]
    assert [frame.index for frame in forth] == list(range(COUNT))
    for one, other in zip(forth, back, strict=True):
        assert one.ab is not None and other.ab is not None
        assert one.confidence is not None and other.confidence is not None
        assert np.abs(one.ab - other.ab).max() < 0.1  # what is kept is rounded
        assert np.abs(one.confidence - other.confidence).max() < 0.01
        assert one.signals == other.signals
    off = [
        float((ab_of(a.rgb) - ab_of(b)).abs().mean()) for a, b in zip(forth, frames, strict=True)
    ]
    assert np.mean(off[:middle]) < 1.5 * np.mean(off[middle + 1 :]) + 0.2


@pytest.mark.slow
def test_far_from_the_reference_they_fade_into_what_came_forth(frames, clips, monkeypatch):
    def colored() -> list[np.ndarray]:
        found = tracker().colorize(clips[0], references=[(frames[10], 10)])
        return [frame.ab for frame in found if frame.ab is not None]

    whole = colored()
    monkeypatch.setattr(color_before, "BACK", 0)
    without = colored()
    monkeypatch.setattr(color_before, "BACK", 6)
    monkeypatch.setattr(color_before, "FADE", 3)
    some = colored()
    for index in range(4):
        assert np.array_equal(some[index], without[index])
    for index in range(6, COUNT):  # after the reference, the search's features are turned otherwise
        assert np.abs(some[index] - whole[index]).mean() < (0.05 if index > 10 else 1e-6)
    assert not np.allclose(whole[9], without[9], atol=0.1)
    shares = [
        np.abs(some[i] - without[i]).mean() / np.abs(whole[i] - without[i]).mean() for i in (4, 5)
    ]
    assert 0 < shares[0] < shares[1] < 1


def test_no_pass_goes_back_where_it_has_no_place(frames, clips, monkeypatch):
    monkeypatch.setattr(color_before.KnownColors, "of", None)  # would be called
    given = [(frames[6], 6)]
    alone = tracker()
    alone.embedder.config = TrackConfig(
        size=64, color=alone.config.color, coloring=ColoringConfig(carry=False)
    )
    assert len(list(alone.colorize(clips[0], references=given))) == COUNT
    assert len(list(tracker(recent=2).colorize(clips[0], references=given))) == COUNT
    assert len(list(tracker().colorize(clips[0], references=given, start=7))) == COUNT - 7
    assert len(list(tracker().colorize(clips[0], references=given, end=6))) == 6


def test_the_frames_of_all_passes_are_counted(frames, clips):
    told, seen = [], []
    given = [(frames[3], 3), (frames[8], 8)]
    for frame in tracker().colorize(
        clips[0], references=given, end=COUNT, progress=lambda *news: told.append(news)
    ):
        seen.append((frame.index, told[-1][0]))
    passes = COUNT + 3 + 4
    assert {total for _, total in told} == {passes}
    done = [one for one, _ in told]
    assert done[0] == 0 and done[-1] == passes and set(done) == set(range(passes + 1))
    assert done == sorted(done)
    assert seen[0] == (0, 3) and seen[4] == (4, 3 + 4 + 4), "what went back first is counted"
    told.clear()
    list(tracker().colorize(clips[0], references=given, progress=lambda *news: told.append(news)))
    assert told[-1] == (passes, None)


def test_the_span_ends_at_the_first_reference_of_the_shot():
    assert span_before([30, 9, 20], 10, 40) == range(10, 20)
    assert span_before([100], 0, None) == range(52, 100)
    assert len(span_before([0, 5], 0, None)) == len(span_before([50], 0, 50)) == 0
    assert len(span_before([], 3, None)) == 0
    assert share_of(0, range(0, 20), 0) == 1
    shares = [share_of(index, range(60, 108), 0) for index in range(60, 108)]
    assert shares[0] == pytest.approx(1 / 16) and shares[15:] == [1.0] * 33


def test_between_two_references_colours_go_over_from_one_to_the_other(frames, clips):
    """The second is coloured wrongly: what lies between changes evenly, and jumps nowhere."""
    first, last = frames[0], frames[-1][..., ::-1].copy()
    light = ab_of(grey_of(last))
    assert light.abs().max() < 1
    both = list(tracker().colorize(clips[0], references=[(first, 0), (last, COUNT - 1)]))
    sides = [(first, 0)], [(last, COUNT - 1)]
    forth, back = (list(tracker().colorize(clips[0], references=side)) for side in sides)
    away, step = [], []
    for one, a, b in zip(both, forth, back, strict=True):
        assert one.ab is not None and a.ab is not None and b.ab is not None
        whole = np.abs(a.ab - b.ab).mean()
        away.append(float(np.abs(one.ab - a.ab).mean() / whole))
    step = np.diff(away)
    assert away[0] < 0.02 and away[-1] > 0.9
    assert (step > -0.05).all() and step.max() < 0.25  # one jump would be of 1


def test_frames_between_references_are_few_and_shared_smoothly(monkeypatch):
    assert spans_between([3, 4, 9], 0, None) == [range(5, 9)]
    assert spans_between([0, 100, 300], 0, 200) == [range(100 - color_before.BACK, 100)]
    assert spans_between([7], 0, None) == spans_between([], 0, None) == []
    shares = [share_between(index, range(10, 20)) for index in range(9, 21)]
    assert shares[0] == 0 and shares[-1] == 1
    assert shares == sorted(shares) and max(np.diff(shares)) < 0.14
