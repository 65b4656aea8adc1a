"""The clips that look like nothing trained on: the masks of their scenes, the same every time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from chromatrack.evaluation.datasets.davis import read_annotation, read_davis
from chromatrack.evaluation.synthetic.clips import scene
from chromatrack.video.reader import read_frames

BENCHMARKS = str(Path(__file__).parents[2] / "benchmarks")
SIZE = (48, 80)


@pytest.mark.parametrize("look", ["animation", "microscopy", "thermal", "underwater"])
def test_a_clip_has_the_masks_of_its_scene_and_another_look(monkeypatch, tmp_path, look):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import unlike  # pyright: ignore[reportMissingImports]

    monkeypatch.setattr(unlike, "SIZE", SIZE)
    monkeypatch.setattr(unlike, "FRAMES", 3)
    for folder in ("one", "two"):
        arguments = [str(tmp_path / folder), "--looks", look, "--scenes", "scale"]
        monkeypatch.setattr("sys.argv", ["unlike.py", *arguments])
        unlike.main()
    (first,) = read_davis(tmp_path / "one", year=2017).sequences
    (second,) = read_davis(tmp_path / "two", year=2017).sequences
    truth = list(scene("scale", seed=0, frames=3, size=SIZE))
    assert first.name == f"{look}-scale-0" and len(first.images) == 3
    for path, frame in zip(first.annotations, truth, strict=True):
        assert np.array_equal(read_annotation(path, year=2017), frame.mask)
    shown, again = ([f.rgb for f in read_frames(s.folder)] for s in (first, second))
    assert all(np.array_equal(a, b) for a, b in zip(shown, again, strict=True))
    assert all(np.abs(a - f.rgb.astype(int)).mean() > 5 for a, f in zip(shown, truth, strict=True))
    is_grey = all(int(np.ptp(a, axis=2).max()) == 0 for a in shown)
    assert is_grey == (look in ("microscopy", "thermal"))
