from __future__ import annotations

import struct

import numpy as np
import pytest
from scipy.io import savemat

from chromatrack.errors import LayoutError
from chromatrack.evaluation.datasets.mat_files import read_mat

CONTENT = {
    "numbers": np.arange(6.0).reshape(2, 3),
    "bytes": np.arange(5, dtype=np.uint8),
    "complex": np.array([1 + 2j]),
    "text": "walk",
    "cells": np.array([np.arange(3), "in a cell"], dtype=object),
    "fields": {"a": 1, "deep": {"b": np.eye(2)}},
    "none": np.zeros((0, 3)),
    "flags": np.array([True, False]),
}


def written(folder, **options):
    path = folder / "a.mat"
    savemat(path, CONTENT, **options)
    return path


@pytest.mark.parametrize("packed", [False, True])
def test_arrays_of_every_class_are_read(tmp_path, packed):
    path = written(tmp_path, do_compression=packed)
    found = read_mat(path, list(CONTENT), expected="a file")
    assert set(found) == set(CONTENT)
    assert np.array_equal(found["numbers"], CONTENT["numbers"])


def test_files_of_version_4_are_read(tmp_path):
    path = tmp_path / "a.mat"
    savemat(path, {"numbers": CONTENT["numbers"]}, format="4")
    found = read_mat(path, ["numbers"], expected="a file")
    assert np.array_equal(found["numbers"], CONTENT["numbers"])


@pytest.mark.parametrize("kind", [0, 8, 10, 11, 19, 0x7FFF, 0x7FFFFFFF])
def test_a_type_that_there_is_not_is_one_line(tmp_path, kind):
    """SciPy looks such a type up behind its table: a crash, at times."""
    path = tmp_path / "a.mat"
    savemat(path, {"numbers": CONTENT["numbers"]})
    content = path.read_bytes()
    numbers = struct.pack("<2I", 9, 48)
    assert content.count(numbers) == 1
    path.write_bytes(content.replace(numbers, struct.pack("<2I", kind, 48)))
    with pytest.raises(LayoutError, match=r"cannot read .*MATLAB"):
        read_mat(path, ["numbers"], expected="a file")


@pytest.mark.parametrize("length", [0, 1, 100, 128, 130, 136, 200, 300])
def test_a_file_cut_short_is_one_line_or_lacks_arrays(tmp_path, length):
    path = written(tmp_path)
    path.write_bytes(path.read_bytes()[:length])
    try:
        assert "fields" not in read_mat(path, ["fields"], expected="a file")
    except LayoutError as error:
        assert "\n" not in str(error)
