"""What a client calls a file names its project's folder, made safe, and is never a path."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chromatrack.errors import OutputError
from chromatrack.studio.library import Library, slug
from chromatrack.studio.uploads import names_of

HOSTILE = [
    *("../../etc/passwd", "..\\..\\boot.ini", "/etc/shadow", "C:\\Windows\\win.ini", "..", ".", ""),
    *(
        "a/b/../c.mp4",
        "file\0.mp4",
        "-rf.mp4",
        "~root.mp4",
        "$(reboot).mp4",
        "`id`.mp4",
        "a;b|c&d.mp4",
    ),
    *(
        "con.mp4",
        "NUL",
        "aux.mov",
        ".bashrc",
        "...mp4",
        "clip .mp4 ",
        "\u202egpj.4pm",
        "%2e%2e%2fx.mp4",
    ),
    *("studio.json", "overlay.mp4", "masks", "result.json", "x" * 5000 + ".mp4", "\u0301" * 400),
    *(
        "line\nbreak.mp4",
        "\ud800.mp4",
        "猫 と 犬.mp4",
        "Ärger (2).MP4",
        "😀.webm",
        "clip.mp4/",
        "//",
    ),
]


@pytest.mark.parametrize(
    ("given_", "shown", "file"),
    [
        ("My clip (final).mp4", "My clip (final)", "My-clip-final.mp4"),
        ("C:\\Users\\me\\cows.MOV", "cows", "cows.mov"),
        ("../../etc/passwd", "passwd", "passwd"),
        ("猫 と 犬.mp4", "猫 と 犬", "猫-と-犬.mp4"),
        ("…", "…", "video"),
        ("", "video", "video"),
        ("overlay.mp4", "overlay", "video.mp4"),  # that is what a run's own file is called
        ("Studio.json", "Studio", "video.json"),
        ("con.mp4", "con", "video.mp4"),  # no name of a file on Windows
        ("film.2024-05-01", "film.2024-05-01", "film-2024-05-01"),
    ],
)
def test_a_file_keeps_its_name_as_far_as_it_is_safe(given_, shown, file):
    assert names_of(given_) == (shown, file)


def is_safe(name):
    plain = unicodedata.normalize("NFKC", name)
    letters = all(c in "_-" or unicodedata.category(c)[0] in "LMN" for c in plain)
    return letters and name[0] not in "-." and 0 < len(os.fsencode(name)) < 200


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_makes_a_folder_of_its_own_in_the_studio_s(tmp_path, name):
    home = tmp_path / "home"
    shown, file = names_of(name)
    folder = Library(home).new_folder(shown)
    assert folder.parent == home and is_safe(folder.name) and folder.is_dir()
    video = folder / file
    video.write_bytes(b"")  # can be made, and lies in it
    assert video.resolve().parent == folder.resolve() and is_safe(Path(file).stem)
    assert list(tmp_path.iterdir()) == [home] and list(home.iterdir()) == [folder]
    assert shown.isprintable() and 0 < len(shown) <= 60


@given(st.text(max_size=300))
def test_any_text_becomes_a_safe_name(text):
    made = slug(text)
    assert is_safe(made) and "--" not in made and len(made) <= 48
    assert slug(made) == made


def test_names_that_are_alike_get_folders_of_their_own(tmp_path):
    library = Library(tmp_path)
    names = [library.new_folder(name).name for name in ("a b", "a/b", "a b")]
    assert names == ["a-b-chromatrack", "a-b-chromatrack-2", "a-b-chromatrack-3"]


def test_a_home_that_cannot_be_is_told(tmp_path):
    (tmp_path / "home").write_text("mine")
    with pytest.raises(OutputError, match="home"):
        Library(tmp_path / "home").new_folder("clip")
