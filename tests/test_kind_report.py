from __future__ import annotations

import math
from dataclasses import dataclass

import pytest

from chromatrack.errors import DamagedVideoError, InputError
from chromatrack.measure.kind_report import in_order, kinds_markdown


@dataclass(frozen=True)
class Frame:
    index: int


def delivered(indices, *, breaks: bool = False):
    for index in indices:
        yield Frame(index)
    if breaks:
        raise DamagedVideoError("broken", frame_index=indices[-1] + 1)


def test_frames_pass_in_order_also_with_gaps():
    frames = in_order(delivered([2, 3, 6]), name="bear", start=2, end=7)
    assert [frame.index for frame in frames] == [2, 3, 6]


def test_a_stream_that_breaks_off_ends_early():
    frames = in_order(delivered([0, 1], breaks=True), name="bear", start=0, end=7)
    assert [frame.index for frame in frames] == [0, 1]


@pytest.mark.parametrize(
    ("indices", "message"),
    [
        ([2, 2], "bear: expected frames 3 to 6 in order from the tracker; got frame 2"),
        ([3, 2], "expected frames 4 to 6.*got frame 2"),
        ([1], "expected frames 2 to 6.*got frame 1"),
        ([5, 7], "got frame 7"),
    ],
)
def test_frames_out_of_order_or_range_are_refused(indices, message):
    with pytest.raises(InputError, match=message):
        list(in_order(delivered(indices), name="bear", start=2, end=7))


def test_the_table_has_all_columns_and_leaves_empty_what_is_missing():
    rows = {"small": {"J": 0.5, "AUC": 1 / 3}, "identity": {"J": math.nan, "PCK": 1.0}}
    assert kinds_markdown(rows).splitlines() == [
        "| model | J | AUC | PCK |",
        "| --- | ---: | ---: | ---: |",
        "| small | 0.500 | 0.333 |  |",
        "| identity |  |  | 1.000 |",
    ]
    with pytest.raises(InputError, match="at least one row"):
        kinds_markdown({})
