"""The paper's four claims on one page: measured end to end, and every part of the page."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from PIL import Image

from chromatrack.errors import InputError
from chromatrack.evaluation.baselines.identity import IdentityTracker
from chromatrack.evaluation.datasets.color_failures import FrameErrors
from chromatrack.evaluation.datasets.color_horizon import HorizonScore
from chromatrack.evaluation.paper.page import PaperResults, paper_page
from chromatrack.evaluation.paper.pictures import chosen_sequences
from chromatrack.evaluation.paper.run import (
    Methods,
    PaperPlan,
    correlated,
    evaluate_paper,
    failing,
    stated_reliability,
)
from chromatrack.formats.masks import write_mask

SIZE, FRAMES = (48, 64), 7


def write_sequence(root, name, *, speed):
    """A red square that moves over a green ground, or stays."""
    images, truth = (root / kind / "480p" / name for kind in ("JPEGImages", "Annotations"))
    images.mkdir(parents=True)
    for index in range(FRAMES):
        left = 8 + speed * index
        rgb = np.full((*SIZE, 3), (60, 130, 60), np.uint8)
        rgb[16:32, left : left + 16] = (200, 60, 60)
        mask = np.zeros(SIZE, np.int32)
        mask[16:32, left : left + 16] = 1
        Image.fromarray(rgb).save(images / f"{index:05d}.png")
        write_mask(truth / f"{index:05d}.png", mask)


@pytest.fixture
def davis(tmp_path):
    root = tmp_path / "davis"
    names = ("still", "slow", "fast")
    for name, speed in zip(names, (0, 1, 5), strict=True):
        write_sequence(root, name, speed=speed)
    (root / "ImageSets/2016").mkdir(parents=True)
    (root / "ImageSets/2016/val.txt").write_text("\n".join(names))
    return root


class Unsure(IdentityTracker):
    """The first frame kept, and trusted the less the longer ago it was."""

    model = "unsure"

    def track(self, video, **marks):
        for frame in super().track(video, **marks):
            told = {number: 1 / (1 + frame.index) for number in frame.areas}
            yield type(frame)(**{**vars(frame), "reliability": told})


@pytest.mark.slow
def test_the_claims_are_measured_and_shown(davis, tmp_path):
    table = tmp_path / "attributes.csv"
    table.write_text("sequence,attributes\nstill,\nslow,FM\nfast,FM OCC\n")
    plan = PaperPlan(davis, fps=10.0, attributes=table)
    methods = Methods({"unsure": Unsure(), "identity": IdentityTracker()})
    page = evaluate_paper(plan, methods, output=tmp_path / "out")
    text = page.read_text()
    for title in ("1. It colours", "2. The pointer", "3. Where it does well", "4. Where it fails"):
        assert title in text
    masks = json.loads((tmp_path / "out/masks-unsure/result.json").read_text())
    assert f"{masks['scores']['J&F-Mean']:.3f}" in text
    assert masks["sequences"]["still"]["J&F-Mean"] == 1
    assert "fast motion (2)" in text and "OCC, occlusion" in text
    assert "share with J of 0.75 or more" in text and "ab error, tracked region" in text
    assert text.count("data:image/jpeg;base64,") == 6  # colours and masks of three sequences each
    assert not re.search(r"""(src|href)=["']?(http|/|\.)""", text), "it asks for something outside"
    began = page.stat().st_mtime_ns
    again = evaluate_paper(plan, methods, output=tmp_path / "out")
    resumed = json.loads((tmp_path / "out/masks-identity/result.json").read_text())["resumed"]
    assert resumed == ["still", "slow", "fast"] and again.stat().st_mtime_ns > began


def test_nothing_to_measure(davis, tmp_path):
    with pytest.raises(InputError, match="at least one model"):
        evaluate_paper(PaperPlan(davis), Methods({}), output=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def report(j, reliability=None):
    rows = {"J": j, "F": j}
    return {
        "per_frame": {"1": rows if reliability is None else rows | {"reliability": reliability}}
    }


def test_failures_go_with_errors_and_doubt():
    good, bad = [1.0, 0.9, 0.9, 1.0], [1.0, 0.8, 0.1, 0.0]
    scores = {
        "good": report(good, [1, 0.9, 0.9, 1]),
        "fine": report(good, [1, 0.95, 0.8, 1]),
        "bad": report(bad, [1, 0.6, 0.2, 0]),
    }
    errors = {
        name: {"frames": [1, 2], "color": colors, "region": colors}
        for name, colors in (("good", [1.0, 1.1]), ("fine", [1.2, 0.9]), ("bad", [2.0, 5.0]))
    }
    found = failing(errors, scores)
    assert (found.failed, found.judged, found.auc) == (1, 6, 1.0)
    assert {(c.over, c.count) for c in found.correlations} == {("frames", 6), ("sequences", 3)}
    assert all(c.pearson.value < -0.9 for c in found.correlations)
    assert sum(b.count for b in found.diagram) == 6


def test_without_stated_reliability_or_with_too_few_frames():
    stated, right = stated_reliability({"a": report([1.0, 0.2, 1.0])})
    assert stated.size == right.size == 0
    two = FrameErrors(*(np.arange(2.0) for _ in range(5)))
    assert correlated("x", two, over="frames", values=np.array([1.0, 2.0])) is None


def test_best_median_and_worst_are_shown():
    result = {"sequences": {n: {"J&F-Mean": v} for n, v in (("a", 0.2), ("b", 0.9), ("c", 0.5))}}
    assert chosen_sequences(result) == ["b", "c", "a"]
    assert chosen_sequences({"sequences": {"a": {"J&F-Mean": 1.0}}}) == ["a"]


def scored(method, seconds, error, clip="one"):
    return HorizonScore(clip, method, seconds, 1, seconds, error, {10.0: 1.0}, 30.0)


def test_what_was_not_measured_is_left_out_and_names_are_text():
    evil = "<script>x</script>"
    colors = [scored(m, s, e + s) for m, e in ((evil, 1.0), ("still", 2.0)) for s in (0.2, 1.0)]
    text = paper_page(PaperResults(evil, colors=colors))
    assert "<script" not in text and "1. It colours" in text
    assert "still: at every horizon" in text and "-1.00 [-1.00, -1.00]" in text
    assert "2. The pointer" not in text and "3. Where" not in text and "4. Where" not in text
