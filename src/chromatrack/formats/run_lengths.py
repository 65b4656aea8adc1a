"""Masks as run lengths: COCO's compressed text, and CVAT's plain list.

COCO's runs go down the columns, CVAT's along the rows of a crop; both begin with what is outside.
"""

from __future__ import annotations

from typing import TypedDict

import numpy as np


class CocoRuns(TypedDict):
    """A mask as COCO files have it. size: [height, width] px. counts: compressed run lengths."""

    size: list[int]
    counts: str


def coco_runs(inside: np.ndarray) -> CocoRuns:
    """An (H, W) bool mask as COCO's compressed run lengths."""
    height, width = inside.shape
    return {"size": [height, width], "counts": _packed(run_lengths(inside.T).tolist())}


def run_lengths(inside: np.ndarray) -> np.ndarray:
    """(K,) int64 lengths of the runs of a bool array in C order; the first is of False."""
    flat = np.ascontiguousarray(inside, dtype=bool).ravel()
    turns = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    ends = [0] if flat.size and flat[0] else []
    return np.diff(np.concatenate([[0], ends, turns, [flat.size]]).astype(np.int64))


def runs_to_mask(runs: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Bool array of a shape from runs in C order that sum to its size; the first is of False."""
    values = np.arange(len(runs)) % 2 == 1
    return np.repeat(values, runs).reshape(shape)


def _packed(runs: list[int]) -> str:
    """Run lengths as text: 5 bits a letter, from the third on as differences from two before."""
    letters = bytearray()
    for i, run in enumerate(runs):
        value = run - runs[i - 2] if i > 2 else run
        while True:
            bits = value & 31
            value >>= 5
            is_last = value == (-1 if bits & 16 else 0)
            letters.append(48 + bits + (0 if is_last else 32))
            if is_last:
                break
    return letters.decode("ascii")
