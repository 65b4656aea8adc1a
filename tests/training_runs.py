"""Finished training runs looked at and compared."""

from pathlib import Path

from chromatrack.training import checkpoint


def newest(folder: Path) -> checkpoint.Checkpoint:
    found = checkpoint.latest(folder)
    assert found is not None
    return found


def same_run(one: Path, other: Path) -> bool:
    """Whether two runs ended alike: weights, optimiser, counts; not the wall time."""
    a, b = ({**newest(f).content, "seconds": 0.0, "config": ""} for f in (one, other))
    return same(a, b)
