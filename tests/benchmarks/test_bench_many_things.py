"""The benchmark of many things: trees kept apart, clips with what is asked for marked on them."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from chromatrack.formats.masks import read_mask

ROOT = Path(__file__).parents[2]


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import many_things  # pyright: ignore[reportMissingImports]

    return many_things


def test_each_tree_has_its_own_modules_and_leaves_those_of_others(bench):
    import chromatrack.ops.coords as outer

    trees = [bench.Tree(ROOT / "src") for _ in range(2)]
    for tree in trees:
        with tree.used():
            import chromatrack.ops.coords  # noqa: F401

            assert sys.modules["chromatrack.ops.coords"] is not outer
    assert sys.modules["chromatrack.ops.coords"] is outer
    first, second = (tree.modules["chromatrack.ops.coords"] for tree in trees)
    assert first is not second
    with trees[0].used():
        assert sys.modules["chromatrack.ops.coords"] is first


@pytest.mark.parametrize(("case", "count"), [("one", 1), ("3", 3), ("4p", 4)])
def test_a_case_marks_as_many_things(bench, tmp_path, case, count):
    clip, marks = bench.written(case, "48p", 2, tmp_path)
    assert clip.is_file()
    if "points" in marks:
        assert len(marks["points"]) == count
    else:
        assert len(np.unique(read_mask(marks["masks"]))) == count + 1


def test_what_differs_is_pixels_or_steps_of_visible_points(bench):
    def frame(value, *points):
        seen = {i: SimpleNamespace(x=x, y=0.0, visible=v) for i, (x, v) in enumerate(points)}
        return SimpleNamespace(mask=np.full((2, 2), value), points=seen)

    assert bench.differing(frame(1), frame(1)) == 0 and bench.differing(frame(1), frame(2)) == 1
    moved = frame(0, (1.0, True), (9.0, False)), frame(0, (1.5, True), (0.0, False))
    assert bench.differing(*moved) == 0.5


@pytest.mark.parametrize("wrong", [["--frames", "7"], ["--against", "nowhere"]])
def test_what_cannot_be_measured_is_said_in_one_line(bench, monkeypatch, capsys, wrong):
    monkeypatch.setattr(sys, "argv", ["many_things.py", *wrong])
    with pytest.raises(SystemExit) as stopped:
        bench.main()
    assert stopped.value.code == 2 and wrong[0] in capsys.readouterr().err.splitlines()[-1]
