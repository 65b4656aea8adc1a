"""Annotations in MATLAB files, read by SciPy: `pip install 'chromatrack[measure]'`."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from chromatrack.errors import InputError, LayoutError


def read_mat(path: Path, names: Sequence[str], *, expected: str) -> dict[str, np.ndarray]:
    """Read named arrays of a MATLAB file (up to version 7.2); what it does not hold is left out.

    Args:
        path: the file. names: of the arrays. expected: what the path should have been, to say.

    Raises:
        LayoutError: no such file, or a damaged one. InputError: SciPy is not installed.
    """
    try:
        from scipy.io import loadmat
        from scipy.io.matlab import MatReadError
    except ImportError as error:
        raise InputError(
            f"{path.name} is read by SciPy, which is not installed; "
            "pip install 'chromatrack[measure]'"
        ) from error
    if not path.is_file():
        raise LayoutError(f"no '{path}'; expected {expected}")
    damaged = (
        MatReadError, OSError, ValueError, TypeError, IndexError, NotImplementedError, zlib.error
    )  # fmt: skip
    try:
        content = loadmat(path, variable_names=list(names))
    except damaged as error:
        raise LayoutError(f"cannot read '{path}' as a MATLAB file: {error}") from error
    return {name: content[name] for name in names if name in content}
