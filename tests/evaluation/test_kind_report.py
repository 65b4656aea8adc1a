from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import pytest

from chromatrack.errors import DamagedVideoError, InputError
from chromatrack.evaluation.kind_report import (
    chosen,
    in_order,
    joints_table,
    kinds_markdown,
    named,
    scores_table,
)
from chromatrack.evaluation.tables import table_text


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


@pytest.mark.parametrize("breaks", [False, True])
def test_every_frame_of_the_range_ticks_once_delivered_or_not(breaks):
    ticks = []
    frames = delivered([2, 3, 6], breaks=breaks)
    for count, _ in enumerate(
        in_order(frames, name="a", start=2, end=9, tick=lambda: ticks.append(1))
    ):
        assert len(ticks) == count
    assert len(ticks) == 7


def test_clips_are_chosen_by_name_and_in_the_order_asked_for():
    found = {"ant": 1, "bee": 2, "cat": 3}
    assert list(chosen(found, None)) == ["ant", "bee", "cat"]
    assert chosen(found, ("cat", "ant", "cat")) == {"cat": 3, "ant": 1}
    for names, said in ((("dog", "ant"), "got dog"), ((), "got none")):
        with pytest.raises(InputError, match=f"must be among ant, bee, cat; {said}"):
            chosen(found, names)


def test_folders_have_their_own_names_and_their_paths_where_two_are_alike():
    base = Path("root")
    folders = [base / "otb/David", base / "tld/David", base / "tld/Car"]
    assert list(named(folders, base)) == ["otb-David", "tld-David", "Car"]


def test_tables_show_every_clip_the_total_and_every_joint():
    result = {
        "model": "small",
        "frames": 12,
        "frames_per_second": 3.0,
        "scores": {"PCK@0.1": 0.25, "PCK@0.2": None},
        "sequences": {"catch": {"PCK@0.1": 0.5, "PCK@0.2": None, "frames": 3}},
        "joints": {"neck": {"PCK@0.1": 1.0, "PCK@0.2": None}},
    }
    lines = table_text(scores_table(result, title="JHMDB")).splitlines()
    assert any(line.split() == ["catch", "0.500"] for line in lines)
    assert any(line.split() == ["all", "(1)", "0.250"] for line in lines)
    assert "small, 12 frames, 3.0 frames/s" in " ".join(lines)
    assert ["neck", "1.000"] in [
        line.split() for line in table_text(joints_table(result)).splitlines()
    ]
