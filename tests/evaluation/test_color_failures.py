"""Colour errors of every frame, set beside J&F of the same frames."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from chromatrack.errors import InputError
from chromatrack.evaluation.datasets.color_failures import (
    FailureClip,
    by_sequence,
    failure_benchmark,
    moments,
)
from chromatrack.evaluation.metrics.color import ab_error, ab_error_map
from chromatrack.evaluation.runner import evaluate
from chromatrack.formats.masks import write_mask
from chromatrack.video.reader import read_frames

SIZE = (32, 48)
RED, GREEN = (200, 60, 60), (60, 140, 60)


@dataclass(frozen=True)
class Picture:
    index: int
    rgb: np.ndarray


class Repeats:
    """Colours every frame as the reference is, so it is right until something changes."""

    def colorize(self, video, *, references):
        ((reference, _),) = references
        for frame in read_frames(video):
            assert (frame.rgb[..., :1] == frame.rgb).all(), "colours were shown"
            yield Picture(frame.index, reference)


def picture(color) -> np.ndarray:
    rgb = np.full((*SIZE, 3), GREEN, np.uint8)
    rgb[8:24, 8:24] = color
    return rgb


@pytest.fixture
def clip(tmp_path):
    """The square is red, and from frame 3 on green; the mask is lost on the last frame."""
    frames, masks = tmp_path / "frames", tmp_path / "masks"
    frames.mkdir()
    for index in range(5):
        Image.fromarray(picture(RED if index < 3 else GREEN)).save(frames / f"{index:05d}.png")
        mask = np.zeros(SIZE, np.int32)
        mask[8:24, 8:24] = index < 4
        write_mask(masks / f"{index:05d}.png", mask)
    return FailureClip("square", frames, masks, 5)


def test_errors_rise_where_the_color_is_wrong(clip):
    result = evaluate(failure_benchmark((clip,)), tracker=Repeats())
    report = result["sequences"]["square"]
    assert report["frames"] == [1, 2, 3, 4]
    assert report["color"][:2] == [0, 0] and report["region"][:2] == [0, 0]
    assert report["region"][2] > 20 and report["region"][3] is None
    share = 16 * 16 / (SIZE[0] * SIZE[1])
    assert report["color"][2] == pytest.approx(report["region"][2] * share, rel=1e-3)
    assert result["scores"]["ab error of the region"] == pytest.approx(report["region"][2] / 3)
    assert result["frames"] == 5


@pytest.mark.parametrize("every", [1, 2, 3, 4])
def test_progress_counts_what_is_colored_and_reaches_its_end(clip, every):
    told = []
    benchmark = failure_benchmark((clip,), every=every)
    result = evaluate(benchmark, tracker=Repeats(), progress=lambda *news: told.append(news))
    report = result["sequences"]["square"]
    assert report["frames"] == [i for i in range(1, 5) if i % every == 0]
    total = 1 + len(report["frames"])
    assert told == [("square", done, total) for done in range(1, total + 1)]


def test_a_sequence_without_a_frame_to_color(clip):
    with pytest.raises(InputError, match="more than 5 frames, got square with 5"):
        failure_benchmark((clip,), every=5)


def test_masks_that_are_missing_or_of_another_size(clip, tmp_path):
    small = tmp_path / "small"
    for index in range(3):
        mask = np.zeros((SIZE[0] // 2, SIZE[1] // 2), np.int32)
        mask[4:12, 4:12] = 1
        write_mask(small / f"{index:05d}.png", mask)
    other = FailureClip("square", clip.folder, small, 5)
    (report,) = evaluate(failure_benchmark((other,)), tracker=Repeats())["sequences"].values()
    assert report["region"] == [0, 0, None, None]


def scores(*values) -> dict:
    """A sequence's report with J&F as given on every frame, by two objects."""
    half = [value / 2 for value in values]
    one = {"J": list(values), "F": list(values)}
    return {"per_frame": {"1": one, "2": {"J": half, "F": half}}}


def test_moments_are_frames_measured_both_ways():
    errors = {
        "ant": {"frames": [1, 2, 3], "color": [1.0, 2.0, 3.0], "region": [4.0, None, 5.0]},
        "bee": {"frames": [1], "color": [9.0], "region": [9.0]},
    }
    found = moments(errors, {"ant": scores(1.0, 0.8, 0.4, 0.2)})
    assert found.sequences.tolist() == ["ant", "ant"]  # frame 3 is the last one: not scored
    assert found.frames.tolist() == [1, 2]
    assert found.scores.tolist() == pytest.approx([0.6, 0.3])
    assert found.color.tolist() == [1, 2]
    assert found.region[0] == 4 and math.isnan(found.region[1])
    with pytest.raises(InputError, match="both ways"):
        moments(errors, {"cat": scores(1.0, 1.0, 1.0)})


def test_means_of_sequences_leave_out_what_is_not_there():
    errors = {
        name: {"frames": [1, 2], "color": [1.0, 3.0], "region": [None, value]}
        for name, value in (("ant", 4.0), ("bee", None))
    }
    reports = {"ant": scores(1, 0.8, 0.4, 0), "bee": scores(1, 0.2, 0.2, 0)}
    found = by_sequence(moments(errors, reports))
    assert found.sequences.tolist() == ["ant", "bee"]
    assert found.frames.tolist() == [2, 2]
    assert found.color.tolist() == [2, 2]
    assert found.region[0] == 4 and math.isnan(found.region[1])
    assert found.scores.tolist() == pytest.approx([0.45, 0.15])


def test_only_some_frames(clip):
    (report,) = evaluate(failure_benchmark((clip,), every=2), tracker=Repeats())[
        "sequences"
    ].values()
    assert report["frames"] == [2, 4] and report["region"] == [0, None]


def test_no_sequences():
    with pytest.raises(InputError, match="at least one"):
        failure_benchmark(())
    with pytest.raises(InputError, match="every: expected 1"):
        failure_benchmark((FailureClip("a", Path("a"), Path("b"), 3),), every=0)


def test_the_error_map_and_its_mean():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 2, 5, 7))
    found = ab_error_map(a, b)
    assert found.shape == (5, 7)
    assert found.mean() == pytest.approx(ab_error(a, b))
    assert not ab_error_map(a, a).any()
    with pytest.raises(InputError, match="two"):
        ab_error_map(a, b[:, :4])
