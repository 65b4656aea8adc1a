"""Annotations in MATLAB files, read by SciPy: `pip install 'chromatrack[measure]'`."""

from __future__ import annotations

import struct
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
        *(MatReadError, OSError, ValueError, TypeError, LookupError, AttributeError, MemoryError),
        *(NotImplementedError, RuntimeError, ArithmeticError, NameError, struct.error),
        zlib.error,
    )
    try:
        _check_elements(path.read_bytes())
        content = loadmat(path, variable_names=list(names))
    except damaged as error:
        raise LayoutError(f"cannot read '{path}' as a MATLAB file: {error}") from error
    return {name: content[name] for name in names if name in content}


HEADER = 128
"""Bytes before the first element of a file of version 5 to 7.2."""

MATRIX, COMPRESSED = 14, 15
NUMBERS = frozenset({1, 2, 3, 4, 5, 6, 7, 9, 12, 13, 16, 17, 18})
"""Types of an element: an array, a packed one, and those of plain numbers and text."""

MOST_BYTES = 1 << 30
"""A packed element may not hold more."""

MOST_DEPTH = 32
"""Arrays inside arrays."""


def _check_elements(content: bytes) -> None:
    """ValueError for a type of numbers that there is not: SciPy looks behind its table for it."""
    head = content[:HEADER]
    if len(head) < HEADER or 0 in head[:4]:
        return  # of version 4, or nothing that SciPy reads
    order = ">" if head[126:128] == b"MI" else "<"
    at = HEADER
    while at + 8 <= len(content):
        kind, length = struct.unpack_from(order + "2I", content, at)
        inner = content[at + 8 : at + 8 + length]
        at += 8 + length
        if kind == COMPRESSED:
            unpacked = zlib.decompressobj().decompress(inner, MOST_BYTES)
            _check_inside(unpacked, order, depth=0)
        elif kind == MATRIX:
            _check_inside(inner, order, depth=1)


def _check_inside(content: bytes, order: str, *, depth: int) -> None:
    """The elements of an array, one after the other, each begun at a multiple of 8 bytes."""
    if depth > MOST_DEPTH:
        raise ValueError(f"arrays lie {MOST_DEPTH} deep inside each other")
    at = 0
    while at + 8 <= len(content):
        kind, length = struct.unpack_from(order + "2I", content, at)
        if kind >> 16:  # a small element: its length stands in the same word
            kind, length, start = kind & 0xFFFF, 4, at + 4
        else:
            start = at + 8
        if kind == MATRIX:
            _check_inside(content[start : start + length], order, depth=depth + 1)
        elif kind not in NUMBERS:
            raise ValueError(f"an element is of type {kind}, which there is not")
        at = start + length + -length % 8 if start == at + 8 else at + 8
