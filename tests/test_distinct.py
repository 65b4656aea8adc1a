"""The values of a mask: as NumPy finds them, whatever the mask."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from chromatrack.distinct import distinct

DTYPES = [np.int32, np.int64, np.uint8, np.uint16, np.bool_]


@given(
    arrays.arrays(
        st.sampled_from(DTYPES),
        arrays.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=12),
        elements=st.integers(0, 1),
    ),
    st.integers(1, 60),
)
def test_as_numpy_has_them(ids: np.ndarray, times: int) -> None:
    wide = np.repeat(ids, times, axis=-1)
    assert np.array_equal(distinct(wide), np.unique(wide))
    assert distinct(wide).dtype == wide.dtype


@pytest.mark.parametrize("dtype", DTYPES[:-1])
@pytest.mark.parametrize("patch", [1, 2, 3, 16])
def test_many_values_in_patches_and_alone(dtype: type, patch: int) -> None:
    rng = np.random.default_rng(patch)
    few = rng.integers(0, 200, (24, 31)).astype(dtype)
    ids = few.repeat(patch, axis=0).repeat(patch, axis=1)
    assert np.array_equal(distinct(ids), np.unique(ids))


def test_negative_values_and_one_at_the_very_end() -> None:
    ids = np.zeros((40, 50), np.int64)
    ids[0, 0], ids[-1, -1] = -7, 3
    assert distinct(ids).tolist() == [-7, 0, 3]
    assert distinct(ids[::2, ::-1]).tolist() == np.unique(ids[::2, ::-1]).tolist()
