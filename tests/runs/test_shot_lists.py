"""Lists of shots: found in a film, written, edited and read back; and what is wrong with one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic import moving_clip, rgb_of, write_clip

from chromatrack.cli.main import main
from chromatrack.errors import InputError
from chromatrack.formats.shot_table import read_shot_table, shot_table
from chromatrack.formats.shots import Shot
from chromatrack.ops.shot_transitions import Transition
from chromatrack.runs.shots import find_shots, read_shot_list, shots_between


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """Shots of 10, 12 and 9 frames."""
    frames = []
    for seed, count in ((0, 10), (1, 12), (2, 9)):
        frames += rgb_of(moving_clip(frames=count, size=(64, 96), seed=seed))
    return write_clip(tmp_path_factory.mktemp("film") / "film.mp4", frames)


def spans(shots):
    return [(shot.first, shot.end) for shot in shots]


def test_shots_of_a_film_are_listed_and_read_back(film, tmp_path, capsys):
    table = tmp_path / "shots.csv"
    assert main(["shots", str(film), "-o", str(table)]) == 0
    assert capsys.readouterr().out.startswith("3 shots in 31 frames (2 cuts)")
    shots = read_shot_table(table)
    assert spans(shots) == [(0, 10), (10, 22), (22, 31)]
    assert [shot.begins for shot in shots] == ["film", "cut", "cut"]
    assert table.read_text().splitlines()[2] == "2,10,21,cut,10,21,cut,0.400000,0.880000,"


@pytest.mark.parametrize("suffix", [".edl", ".fcpxml"])
def test_edits_are_written_and_read_back(film, tmp_path, suffix):
    if suffix == ".edl":
        pytest.importorskip("pycmx")
    edit, back = tmp_path / f"e{suffix}", tmp_path / "back.csv"
    assert main(["shots", str(film), "-o", str(edit)]) == 0
    assert main(["shots", str(film), "--read", str(edit), "-o", str(back)]) == 0
    assert spans(read_shot_table(back)) == [(0, 10), (10, 22), (22, 31)]
    assert main(["shots", str(film), "-o", str(edit)]) == 0  # over its own


def test_an_edited_table_is_taken_as_it_is(film, tmp_path, capsys):
    table = tmp_path / "mine.csv"
    table.write_text("last_frame, first_frame,name\n4,0,door\n\n20,8,\n", encoding="utf-8")
    found = read_shot_list(table, fps=25, frames=31)
    assert spans(found) == [(0, 5), (5, 8), (8, 21), (21, 31)] and found[0].name == "door"
    assert main(["shots", str(film), "--read", str(table)]) == 0
    assert capsys.readouterr().out.count("\n") == 5
    assert main(["shots", str(film), "-o", str(table)]) == 2  # not a list that we wrote
    assert "mine.csv" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("first_frame,last_frame\n", "at least one shot"),
        ("first,last\n0,3\n", "first_frame"),
        ("first_frame,last_frame\n3,1\n", "line 2: expected first_frame <= last_frame, got 3"),
        ("first_frame,last_frame\n0,x\n", "line 2: expected last_frame as a frame number"),
        ("first_frame,last_frame\n0,9\n9,12\n", "overlap, got frame 9"),
        ("first_frame,last_frame\n40,50\n", "expected shots of 31 frames"),
        ("first_frame,last_frame,begins\n0,9,wipe\n", "got 'wipe'"),
    ],
)
def test_what_is_wrong_with_a_table_is_said(tmp_path, text, said):
    path = tmp_path / "s.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=said):
        read_shot_list(path, fps=25, frames=31)


def test_no_table_at_all(tmp_path):
    with pytest.raises(InputError, match=r"no\.csv"):
        read_shot_list(tmp_path / "no.csv", fps=25)
    (tmp_path / "no.txt").touch()
    with pytest.raises(InputError, match=r"\.edl, \.fcpxml"):
        read_shot_list(tmp_path / "no.txt", fps=25)


def test_dissolves_and_fades_leave_what_a_shot_shows_alone():
    found = shots_between(
        [
            Transition("fade", 0, 6, 0),
            Transition("dissolve", 20, 30, 25),
            Transition("cut", 40, 40, 40),
            Transition("fade", 55, 60, 60),
        ],
        60,
    )
    assert found == [
        Shot(0, 25, "", "fade", "dissolve", (6, 20)),
        Shot(25, 40, "", "dissolve", "cut", (30, 40)),
        Shot(40, 60, "", "cut", "fade", (40, 55)),
    ]


@given(st.lists(st.integers(1, 40), min_size=1, max_size=9), st.data())
def test_a_table_keeps_every_shot(tmp_path_factory, lengths, data):
    at, shots = 0, []
    for length in lengths:
        begin, end = sorted(data.draw(st.tuples(st.integers(0, length), st.integers(0, length))))
        whole = (at + begin, at + end) if begin < end and (begin, end) != (0, length) else None
        name = data.draw(st.sampled_from(["", "a, b", 'say "x"']))
        edges = data.draw(st.tuples(*[st.sampled_from(["cut", "dissolve", "fade", "film"])] * 2))
        shots.append(Shot(at, at + length, name, *edges, whole))
        at += length
    path = tmp_path_factory.mktemp("t") / "s.csv"
    path.write_text(shot_table(shots, [i / 25 for i in range(at + 1)]), encoding="utf-8")
    assert read_shot_list(path, fps=25, frames=at) == shots


def test_pictures_are_a_film_too(film, tmp_path):
    frames = [*rgb_of(moving_clip(frames=6, size=(48, 64), seed=4))] * 1
    frames += rgb_of(moving_clip(frames=6, size=(48, 64), seed=5))
    folder = write_clip(tmp_path / "pictures", frames)
    assert spans(find_shots(folder).shots) == [(0, 6), (6, 12)]
