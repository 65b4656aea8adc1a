"""Options of commands as columns: what a cell says is what the option says."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest
import tyro
from hypothesis import given
from hypothesis import strategies as st
from quick_commands import Fine, copy

from chromatrack.batch.columns import arguments_for, columns_of, needed_columns, plain
from chromatrack.cli.batch_commands import batch_commands
from chromatrack.cli.colorize import colorize
from chromatrack.cli.track import events, track
from chromatrack.errors import InputError

SAME = {
    "direction": "forward",
    "start": "2.5s",
    "end": "12",
    "show_reliability": "true",
    "reliability_panel": "outside",
    "only": "masks;tracks",
    "masks": "a.png;b.png@40",
    "points": "p.csv",
    "box": "1@0:180,150,102,68;2@5:1,2,3,4",
    "box_as_mask": "yes",
    "numbers": "names",
    "deinterlace": "1",
    "fps": "12.5",
    "crf": "20",
    "preset": "slow",
    "model": "w.safetensors",
    "quality": "best",
    "size": "240",
    "top_k": "all",
    "adapt": "0.25",
}


def as_typed(column, cell: str) -> list[str]:
    option = f"--{column.name.replace('_', '-')}"
    if column.hint in (bool, bool | None):
        return [option]
    return [option, *cell.split(";")] if column.takes_several else [option, cell]


def test_cells_mean_what_the_same_options_mean():
    columns = columns_of(track)
    typed = [word for name, cell in SAME.items() for word in as_typed(columns[name], cell)]
    seen = {}

    @functools.wraps(track)
    def taken(video, /, **arguments):
        seen.update(arguments)

    tyro.cli(taken, args=["clip.mp4", "-o", "out", *typed])
    ours = arguments_for(track, columns, SAME)
    assert ours == {name: seen[name] for name in ours}
    assert set(ours) >= {"marks", "settings", "reading", "encoding", "only", "direction"}


@pytest.mark.parametrize("function", [track, colorize, events])
def test_every_option_is_a_column_and_takes_back_its_own_value(function):
    columns = columns_of(function)
    assert len(columns) > 5 and "video" not in columns
    for name, column in columns.items():
        for cell in ("1", "true", "auto", "a;b", "0.5", "both", "h264", "black"):
            try:
                value = column.value(cell)
            except InputError as error:
                assert str(error).startswith(f"{name.replace('_', '-')}: expected ")
            else:
                assert column.value(plain(value)) == value


@pytest.mark.parametrize(
    ("name", "cell", "said"),
    [
        ("top_k", "abc", "top-k: expected a whole number or all, got 'abc'"),
        ("size", 1.5, "size: expected a whole number, got 1.5"),
        ("size", True, "size: expected a whole number, got true"),
        ("top_k", "1_0", "top-k: expected a whole number or all, got '1_0'"),
        ("direction", "up", "direction: expected both, forward or backward, got 'up'"),
        ("show_reliability", "maybe", "show-reliability: expected true or false, got 'maybe'"),
        ("only", ["mask"], "only: expected a list of masks or tracks or overlay (; between)"),
        ("points", ["a"], 'points: expected a path, got ["a"]'),
        ("start", None, "start: expected a text, got null"),
    ],
)
def test_what_is_no_such_value_says_what_is(name, cell, said):
    with pytest.raises(InputError) as caught:
        columns_of(track)[name].value(cell)
    assert str(caught.value).startswith(said)


@given(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.text()))
)
def test_any_cell_is_a_value_or_an_input_error(cell):
    for column in columns_of(track).values():
        try:
            value = column.value(cell)
        except InputError:
            continue
        assert column.value(plain(value)) == value or value != value


def test_a_call_is_made_of_cells():
    cells = {"mark": "m.txt", "seconds": "0.5", "size": "3"}
    made = arguments_for(copy, columns_of(copy), cells)
    assert made == {"mark": Path("m.txt"), "seconds": 0.5, "settings": Fine(size=3)}
    assert needed_columns(colorize) == ["output"]
    assert all(set(c.files) <= set(c.columns) for c in batch_commands().values())
