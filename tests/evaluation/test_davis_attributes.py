"""Scores by attribute: the table of attributes, and the means."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chromatrack.errors import InputError
from chromatrack.evaluation.datasets.davis_attributes import attribute_table, read_attributes
from chromatrack.evaluation.tables import attributes_table, table_text

PUBLISHED = Path(__file__).resolve().parents[3] / "shared/data/davis16-attributes.csv"


def report(j: float, f: float) -> dict[str, float]:
    return {"J&F-Mean": (j + f) / 2, "J-Mean": j, "F-Mean": f}


RESULT = {"sequences": {"ant": report(1.0, 0.8), "bee": report(0.4, 0.6), "cat": report(0.2, 0.0)}}
ATTRIBUTES = {"ant": ("DEF",), "bee": ("OCC", "DEF"), "cat": ("DEF",), "dog": ("FM",)}


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_means_with_and_without_by_hand():
    table = attribute_table(RESULT, ATTRIBUTES)
    assert list(table) == ["DEF", "OCC"]  # nothing measured has FM
    occlusion = table["OCC"]
    assert occlusion["with"] == {"sequences": 1, **report(0.4, 0.6)}
    assert occlusion["without"]["sequences"] == 2
    assert occlusion["without"]["J-Mean"] == pytest.approx(0.6)
    assert occlusion["difference"]["J&F-Mean"] == pytest.approx(0.5 - 0.5)
    assert occlusion["difference"]["F-Mean"] == pytest.approx(0.6 - 0.4)
    everywhere = table["DEF"]
    assert everywhere["with"]["J-Mean"] == pytest.approx(1.6 / 3)
    assert everywhere["without"] is None and everywhere["difference"] is None
    assert json.loads(json.dumps(table)) == table


def test_a_sequence_without_a_row_is_refused():
    with pytest.raises(InputError, match="none for bee, cat"):
        attribute_table(RESULT, {"ant": ()})
    assert attribute_table(RESULT, dict.fromkeys(RESULT["sequences"], ())) == {}


def test_tables_show_the_worst_first():
    result = {**RESULT, "attributes": attribute_table(RESULT, {**ATTRIBUTES, "cat": ("FM",)})}
    lines = table_text(attributes_table(result)).splitlines()
    rows = [line.split() for line in lines if line.strip()]
    assert [row[0] for row in rows[-3:]] == ["FM", "OCC", "DEF"]
    assert rows[-3] == ["FM", "1", "0.100", "0.200", "0.000", "0.700", "-0.600"]


@pytest.mark.skipif(not PUBLISHED.is_file(), reason="needs ../shared/data/davis16-attributes.csv")
def test_the_published_attributes_are_read():
    found = read_attributes(PUBLISHED)
    assert len(found) == 50 and found["blackswan"] == ()
    assert found["goat"] == ("CS", "DEF", "EA", "BC")
    assert len({name for names in found.values() for name in names}) == 16


names = st.text(st.characters(blacklist_categories=["Cs", "Cc", "Zs", "Zl", "Zp"]), min_size=1)
words = st.from_regex(r"[A-Za-z][A-Za-z0-9_-]{0,5}", fullmatch=True)


@settings(max_examples=60)
@given(
    rows=st.dictionaries(names.map(str.strip).filter(bool), st.lists(words, unique=True)),
    order=st.permutations(["sequence", "set", "attributes"]),
)
def test_what_is_written_is_read(tmp_path_factory, rows, order):
    text = io.StringIO()
    table = csv.DictWriter(text, order)
    table.writeheader()
    for name, attributes in rows.items():
        row = {"sequence": name, "set": "val", "attributes": " ".join(attributes)}
        table.writerow(row)
    path = tmp_path_factory.mktemp("rows") / "attributes.csv"
    path.write_text("\ufeff" + text.getvalue(), encoding="utf-8", newline="")
    if rows:
        assert read_attributes(path) == {name: tuple(found) for name, found in rows.items()}
    else:
        with pytest.raises(InputError, match="a row for every sequence, got none"):
            read_attributes(path)


@settings(max_examples=100)
@given(st.binary(max_size=60) | st.text('sequence,attributes\n" AB;', max_size=60).map(str.encode))
def test_any_file_is_read_or_refused(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("any") / "attributes.csv"
    path.write_bytes(content)
    try:
        found = read_attributes(path)
    except InputError as error:
        assert str(path) in str(error) and len(str(error).splitlines()) == 1
    else:
        assert found and all(isinstance(names, tuple) for names in found.values())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a header line with sequence,attributes, got an empty line"),
        ("name,attributes\na,DEF\n", "got 'name,attributes': sequence missing"),
        ("sequence,sequence,attributes\n", "the column sequence is there twice"),
        ("sequence,attributes\n", "got none"),
        ("sequence,attributes\na,DEF,OCC\n", "line 2: expected 2 cells as in the header, got 3"),
        (
            "sequence,attributes\na,DEF;OCC\n",
            "line 2: .* separated by spaces, got 'DEF;OCC'",
        ),
        ("sequence,attributes\na,\n\n ,DEF\n", "line 4: expected the name of a sequence"),
        ("sequence,attributes\na,\na,DEF\n", "line 3: the sequence 'a' is there twice"),
        ('sequence,attributes\n"a"b,D/F\n', "got 'D/F'"),
    ],
)
def test_wrong_tables_say_what_is_wrong(text, message, tmp_path):
    with pytest.raises(InputError, match=message):
        read_attributes(write(tmp_path / "attributes.csv", text))


def test_no_file_and_no_text(tmp_path):
    with pytest.raises(InputError, match=r"no file .*none\.csv"):
        read_attributes(tmp_path / "none.csv")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="expected a CSV table as UTF-8 text"):
        read_attributes(tmp_path / "bytes")
