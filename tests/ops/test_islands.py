"""Parts of a region that hang together: the loop, its twin of tensors, and SciPy's, where it is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from chromatrack.ops import islands as module
from chromatrack.ops.islands import islands


@given(arrays.arrays(np.bool_, st.tuples(st.integers(1, 14), st.integers(1, 14))))
def test_the_loop_and_its_twin_are_the_same(region: np.ndarray) -> None:
    assert np.array_equal(islands(region), module._by_tensors(region))


@pytest.mark.parametrize("share", [0.05, 0.3, 0.5, 0.9])
def test_as_scipy_numbers_them(share: float) -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    region = np.random.default_rng(7).random((120, 97)) < share
    expected, count = ndimage.label(region, np.ones((3, 3)))
    found = islands(region)
    assert found.max() == count
    pairs = set(zip(found[region].tolist(), expected[region].tolist(), strict=True))
    assert len(pairs) == count and not found[~region].any()


def test_a_spiral_is_one_and_corners_touch() -> None:
    spiral = np.zeros((9, 9), np.bool_)
    spiral[0], spiral[:, 8], spiral[8], spiral[2:, 0], spiral[2, :7] = (True,) * 5
    assert islands(spiral).max() == 1
    assert islands(np.eye(6, dtype=np.bool_)).max() == 1
    assert islands(np.zeros((4, 5), np.bool_)).max() == 0
    apart = np.zeros((5, 5), np.bool_)
    apart[0, 4] = apart[2:4, 0] = apart[4, 4] = True
    assert islands(apart)[[0, 2, 4], [4, 0, 4]].tolist() == [1, 2, 3]
