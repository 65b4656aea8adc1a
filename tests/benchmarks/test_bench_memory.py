"""The clip that memory is measured on: of any size, with the disc where its mask says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from chromatrack.video.reader import read_frames

BENCHMARKS = str(Path(__file__).parents[2] / "benchmarks")


@pytest.mark.parametrize("size", [(64, 96), (96, 64), (144, 256), (16, 16)])
def test_a_clip_of_any_size_is_written(tmp_path, size, monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    from memory import write_clip  # pyright: ignore[reportMissingImports]

    mask = write_clip(tmp_path / "clip.mp4", frames=2, size=size)
    first, second = read_frames(tmp_path / "clip.mp4")
    assert first.rgb.shape[:2] == second.rgb.shape[:2] == mask.shape == size
    share = (mask == 1).sum() / min(128, *size) ** 2
    assert share == pytest.approx(np.pi * (15 / 32) ** 2, rel=0.1)
