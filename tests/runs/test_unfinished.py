"""A correction that is stopped: what is done stays, what is left is known and done later."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic import moving_clip, write_clip

from chromatrack.formats.masks import read_mask
from chromatrack.propagation.propagate import PropagateConfig
from chromatrack.runs.affected_spans import FrameSpan
from chromatrack.runs.correct import correct
from chromatrack.runs.file_names import TABLES
from chromatrack.runs.unfinished import (
    UNFINISHED,
    Unfinished,
    left_to_do,
    plain_unfinished,
    read_unfinished,
)
from chromatrack.runs.writer import track_to_folder
from chromatrack.structures import PointMark
from chromatrack.tracking.config import TrackConfig
from chromatrack.tracking.marks import Marks
from chromatrack.tracking.tracker import Tracker

FRAMES = 14
LABEL = ("object", 1, 0)


def masks_of(folder):
    return [read_mask(folder / "masks" / f"{i:05d}.png") for i in range(FRAMES)]


def left_in(folder):
    return read_unfinished(json.loads((folder / "result.json").read_text()))


def stopping_at(stage, count):
    def progress(what, done, total):
        if what == stage and done == count:
            raise KeyboardInterrupt

    return progress


@pytest.fixture(scope="module")
def film():
    return moving_clip(frames=FRAMES, size=(64, 96), objects=2, radius=11, velocity=(0.5, 1.2))


@pytest.fixture(scope="module")
def run(film, tmp_path_factory):
    """(tracker, video, folder) of a run whose mask on frame 0 is too far up and left."""
    place = tmp_path_factory.mktemp("run")
    config = TrackConfig(size=64, propagate=PropagateConfig(recent=2, radius=8, recent_radius=4))
    tracker = Tracker.from_pretrained("small", device="cpu", config=config)
    video = write_clip(place / "clip.mkv", film)
    first = np.roll(np.where(film[0].mask == 1, 1, 0), (-4, -6), axis=(0, 1))
    outputs = ("masks", "tracks")
    marks = Marks({0: first}, points=[PointMark(1, 0, *film[0].centres[2])])
    track_to_folder(tracker, video, marks, output=place / "out", outputs=outputs)
    return tracker, video, place / "out"


def test_what_is_done_stays_and_the_rest_is_done_later(run, film, tmp_path):
    tracker, video, saved = run
    stopped, whole = (shutil.copytree(saved, tmp_path / name) for name in ("stopped", "whole"))
    new = Marks({6: np.where(film[6].mask == 1, 1, 0)})
    before = masks_of(saved)
    done = correct(
        tracker, stopped, new, video=video, progress=stopping_at("correct", 8), keep_done=True
    )
    correct(tracker, whole, new, video=video)
    assert done.frames_recomputed == 8
    left = [Unfinished(LABEL, 1, FRAMES - 1, 9)]
    assert list(done.unfinished) == left == left_in(stopped)
    assert left_in(whole) == []
    found, wanted = masks_of(stopped), masks_of(whole)
    assert all((found[i] == wanted[i]).all() for i in range(9))
    assert all((found[i] == before[i]).all() for i in range(9, FRAMES))
    assert any((before[i] != wanted[i]).any() for i in range(9, FRAMES))
    correct(tracker, stopped, new, video=video)
    assert left_in(stopped) == []
    assert all((a == b).all() for a, b in zip(masks_of(stopped), wanted, strict=True))
    for name in ("thing", "point"):
        assert (stopped / TABLES[name]).read_bytes() == (whole / TABLES[name]).read_bytes()


@pytest.mark.parametrize(("stage", "keep_done"), [("backward", True), ("correct", False)])
def test_without_a_frame_or_the_wish_the_run_stays_as_it_was(run, film, tmp_path, stage, keep_done):
    tracker, video, saved = run
    folder = shutil.copytree(saved, tmp_path / "out")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    new = Marks({6: np.where(film[6].mask == 1, 1, 0)})
    with pytest.raises(KeyboardInterrupt, match="as it was"):
        correct(
            tracker,
            folder,
            new,
            video=video,
            progress=stopping_at(stage, 2),
            keep_done=keep_done,
        )
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


spans = st.tuples(st.integers(0, 20), st.integers(0, 20), st.integers(-1, 20)).map(
    lambda t: (min(t[:2]), max(t[:2]), t[2])
)


@given(st.lists(spans, max_size=4))
def test_what_is_left_is_what_no_later_pass_did(passes):
    left, stale = [], set()
    for first, last, reached in passes:
        span = FrameSpan((LABEL,), None, None, first, last)
        done = {} if reached < first else {span: min(reached, last)}
        left = left_to_do(left, [span], done)
        stale -= set(range(first, last + 1))
        stale |= set(range(done.get(span, first - 1) + 1, last + 1))
        assert all(one.first <= one.begin <= one.last for one in left)
    assert {f for one in left for f in range(one.begin, one.last + 1)} == stale
    assert read_unfinished({UNFINISHED: json.loads(json.dumps(plain_unfinished(left)))}) == left


@pytest.mark.parametrize("rows", [None, 3, [None], [{"first": 1}], [{"kind": "object"}]])
def test_what_makes_no_sense_is_passed_over(rows):
    assert read_unfinished({UNFINISHED: rows}) == []
