"""Lines of a run that wait in a file, and result.json made of them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chromatrack.errors import OutputError
from chromatrack.propagation.reliability import LOOK_BELOW_OF, doubtful_things, look_at_rows
from chromatrack.runs.result_file import KeptLines, write_result


@given(st.lists(st.text(st.characters(blacklist_characters="\n\r", codec="utf-8")), max_size=9))
def test_lines_come_back_also_while_more_are_added(tmp_path_factory, lines):
    folder = tmp_path_factory.mktemp("kept")
    kept = KeptLines(folder)
    for count, line in enumerate(lines):
        assert [*kept] == lines[:count] and len(kept) == count
        kept.append(line)
    assert [*kept] == lines
    assert not [*folder.iterdir()]  # it has no name


def test_result_json_of_any_number_of_frames(tmp_path):
    for count in range(3):
        rows = [json.dumps({"index": i}) for i in range(count)]
        write_result(tmp_path, {"version": 1, "names": {"1": "a"}}, rows)
        found = json.loads((tmp_path / "result.json").read_text())
        assert found == {
            "version": 1,
            "names": {"1": "a"},
            "frames": [{"index": i} for i in range(count)],
        }
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


def test_a_folder_that_is_gone_is_named(tmp_path):
    with pytest.raises(OutputError, match="gone: cannot be written"):
        KeptLines(tmp_path / "gone")


values = st.floats(0, 1) | st.just(float("nan"))
by_kind = st.dictionaries(
    st.sampled_from(sorted(LOOK_BELOW_OF)), st.dictionaries(st.integers(1, 3), values, max_size=3)
)


@given(st.lists(by_kind, max_size=20))
def test_what_is_well_says_nothing_of_where_to_look(frames):
    numbered = [*enumerate(frames)]
    few = [(i, doubtful) for i, frame in numbered if (doubtful := doubtful_things(frame))]
    assert str(look_at_rows(few)) == str(look_at_rows(numbered))
