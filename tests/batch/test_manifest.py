"""What a manifest says: rows as jobs, and a line for everything wrong with it."""

from __future__ import annotations

import json
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from quick_commands import commands

from chromatrack.batch.manifest import read_manifest
from chromatrack.cli.batch_commands import batch_commands
from chromatrack.errors import InputError


def faults(path, **given) -> list[str]:
    return [str(fault) for fault in read_manifest(path, batch_commands(), **given).faults]


def test_a_row_is_a_job_with_the_options_of_its_commands(tmp_path):
    path = tmp_path / "jobs.csv"
    path.write_text(
        "video,masks,command,size,--top-k,events.fps,near\n"
        "a.mp4,a.png;b.png@40,track+events,240,,12,9\n"
        '\n"/else/b, c.mp4",/m,,,5,,\n'
    )
    read = read_manifest(path, batch_commands(), settings={"still": "3", "size": "100"})
    first, second = read.jobs
    assert not read.faults and first.name == "a" and first.video == str(tmp_path / "a.mp4")
    assert first.command == "track+events" and first.place == "jobs.csv line 2"
    masks = [str(tmp_path / "a.png"), str(tmp_path / "b.png@40")]
    assert first.steps[0].options == {"size": 240, "masks": masks}
    assert first.steps[1].options == {"still": 3.0, "near": 9.0, "fps": 12.0}
    assert second.name == "b, c" and second.video == "/else/b, c.mp4"
    assert second.steps[0].options == {"size": 100, "top_k": 5, "masks": ["/m"]}


def test_lines_of_json_say_the_same_with_types(tmp_path):
    table, lines = tmp_path / "jobs.csv", tmp_path / "jobs.jsonl"
    table.write_text("job,video,masks,size,overlay\nn,a.mp4,a.png;b.png@4,240,no\n")
    row = {"job": "n", "video": "a.mp4", "masks": ["a.png", "b.png@4"], "size": 240}
    lines.write_text(json.dumps(row | {"overlay": False, "end": None}) + "\n\n")
    one, other = (read_manifest(path, batch_commands()).jobs[0] for path in (table, lines))
    assert one.steps == other.steps and one.key() == other.key()


def test_a_folder_has_its_marks_beside_its_videos(tmp_path):
    inside = tmp_path / "day 1"
    inside.mkdir()
    for name in ("b.mov", "a.mp4", "a.png", "a.points.csv", "a.reference.png", "note.txt"):
        (inside / name).write_bytes(b"")
    (inside / "b.masks").mkdir()
    (tmp_path / "c.mkv").write_bytes(b"")
    read = read_manifest(tmp_path, batch_commands(), settings={"command": "track"})
    assert [job.name for job in read.jobs] == ["day 1--a", "day 1--b"]
    a, b = (job.steps[0].options for job in read.jobs)
    assert a == {"masks": [str(inside / "a.png")], "points": str(inside / "a.points.csv")}
    assert b == {"masks": [str(inside / "b.masks")]}
    [fault] = read.faults
    assert str(fault).startswith("c.mkv: marks: expected something to track, got nothing")
    read = read_manifest(tmp_path, batch_commands(), settings={"command": "colorize"})
    assert [job.steps[0].options for job in read.jobs] == [
        {"reference": [str(inside / "a.reference.png")]}
    ]


def test_marks_of_any_format_go_to_the_reader_of_them_all(tmp_path):
    path = tmp_path / "jobs.csv"
    path.write_text("video,marks\na.mp4,m.png;b.csv;m.png@3;cvat.xml\nb.mp4,folder\n")
    read = read_manifest(path, batch_commands())
    masks = [str(tmp_path / "m.png"), str(tmp_path / "m.png@3")]
    marks = [str(tmp_path / "b.csv"), str(tmp_path / "cvat.xml")]
    assert read.jobs[0].steps[0].options == {"masks": masks, "marks": marks}
    assert read.jobs[1].steps[0].options == {"marks": [str(tmp_path / "folder")]}
    assert not read.faults


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"video": "v.mp4", "sice": 3}, "sice: no such column (did you mean size?)"),
        ({"video": "v.mp4", "near": 3}, "near: is no option of track"),
        ({"video": "v.mp4", "size": "x"}, "size: expected a whole number, got 'x'"),
        ({"video": "v.mp4", "top-k": 0}, "top_k: expected a whole number >= 1, got 0"),
        ({"video": "v.mp4", "masks": None}, "marks: expected something to track, got nothing"),
        ({"video": "v.mp4", "job": "a/b"}, "job: expected a name for a folder, no / or : in it"),
        (
            {"video": "v.mp4", "command": "trak"},
            "command: expected track, colorize, ",
        ),
        ({"video": "v.mp4", "command": "events"}, "command: events reads what track writes; write"),
        ({"video": "v.mp4", "command": "track+track"}, "command: expected each once, got track tw"),
        ({"video": "v.mp4", "command": "colorize"}, "reference: expected one, colorize needs it"),
        ({"video": 3}, "video: expected a path, got 3"),
        ([], "expected an object, {...}, got []"),
    ],
)
def test_what_is_wrong_with_a_row_is_a_line(row, said, tmp_path):
    path = tmp_path / "jobs.jsonl"
    good = {"video": "good.mp4", "masks": "m.png"}
    row = {"masks": "m.png"} | row if isinstance(row, dict) else row
    if isinstance(row, dict) and row.get("command", "").startswith("colorize"):
        del row["masks"]
    path.write_text(f"{json.dumps(good)}\n{json.dumps(row)}\n")
    [line] = faults(path)
    assert line.startswith(f"jobs.jsonl line 2: {said}")


def test_one_name_is_of_one_job(tmp_path):
    path = tmp_path / "jobs.csv"
    path.write_text("video,masks\na/clip.mp4,m.png\nb/CLIP.mov,m.png\n")
    [line] = faults(path)
    assert line.startswith("jobs.csv line 3: job: 'CLIP' is jobs.csv line 2, too")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("jobs.csv", "video,video\n", "expected one line with the names of columns, each once"),
        ("jobs.csv", "file\n", "expected one line with the names of columns, each once, video"),
        ("jobs.csv", "", "expected one line with the names"),
        ("jobs.csv", "video\n", "expected at least one job, got none"),
        ("jobs.csv", "video\n\xff", "cannot be read as a CSV table in UTF-8"),
        ("jobs.txt", "", "expected a .csv or .jsonl file, or a folder of videos"),
        ("none.csv", None, "expected a manifest (.csv, .jsonl) or a folder, got nothing"),
    ],
)
def test_what_is_no_manifest_says_so(name, text, said, tmp_path):
    path = tmp_path / name
    if text is not None:
        path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError) as caught:
        read_manifest(path, batch_commands())
    assert said in str(caught.value)


def test_settings_for_all_rows_are_looked_at_once(tmp_path):
    path = tmp_path / "jobs.csv"
    path.write_text("video,masks\na.mp4,m.png\nb.mp4,m.png\n")
    with pytest.raises(InputError, match=r"set sise: no such column \(did you mean size\?\)"):
        read_manifest(path, batch_commands(), settings={"sise": "3"})
    with pytest.raises(InputError, match="size: expected a whole number, got 'x'"):
        read_manifest(path, batch_commands(), settings={"size": "x"})


CELLS = st.dictionaries(
    st.sampled_from(["job", "command", "seconds", "size", "mark", "how", "other", "count.unit"]),
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.text())),
)


@given(st.lists(CELLS, max_size=4), st.text(string.printable, max_size=40))
def test_any_lines_give_jobs_or_faults(tmp_path_factory, rows, rest):
    path = tmp_path_factory.mktemp("any") / "jobs.jsonl"
    lines = [json.dumps({"video": f"{n}.mp4"} | row) for n, row in enumerate(rows)]
    path.write_text("\n".join([*lines, '{"video": "last.mp4", "job": "zzz"}', rest]))
    read = read_manifest(path, commands())
    count = len([line for line in path.read_text().splitlines() if line.strip()])
    places = {fault.place for fault in read.faults} | {job.place for job in read.jobs}
    assert len(places) <= count and len({job.name for job in read.jobs}) == len(read.jobs)
    assert not {fault.place for fault in read.faults} & {job.place for job in read.jobs}
