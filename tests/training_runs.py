"""Finished training runs looked at and compared."""

from pathlib import Path
from typing import Any

import pytest
import torch

from chromatrack.training import checkpoint


def same(a: Any, b: Any) -> bool:
    """Equal to the last bit, through dicts and lists."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return a == b


def newest(folder: Path) -> checkpoint.Checkpoint:
    found = checkpoint.latest(folder)
    assert found is not None
    return found


def same_run(one: Path, other: Path) -> bool:
    """Whether two runs ended alike: weights, optimiser, counts; not the wall time."""
    a, b = ({**newest(f).content, "seconds": 0.0, "config": ""} for f in (one, other))
    return same(a, b)


def ends_quickly(patch: pytest.MonkeyPatch) -> None:
    """Have runs end without plots, their normalisation measured on two batches: most of the time
    of a short run, where a test looks at neither.
    """
    for name in ("plot_losses", "write_report"):
        patch.setattr(f"chromatrack.training.run_folder.{name}", lambda *_, **__: None)
    patch.setattr("chromatrack.training.state.CALIBRATION_BATCHES", 2)
