"""Files that are there whole or not at all: names, folders, what is left when writing fails."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from chromatrack.atomic import WholeFile, replace_file
from chromatrack.errors import OutputError


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_and_its_folders_are_made(tmp_path):
    path = tmp_path / "new" / "deep" / "a.csv"
    replace_file(path, "x,y\nü\r\n")
    assert path.read_bytes() == "x,y\nü\r\n".encode() and names(path.parent) == ["a.csv"]
    replace_file(path, b"\x00\xff")
    assert path.read_bytes() == b"\x00\xff"


def test_what_cannot_be_written_is_one_line_and_leaves_no_crumbs(tmp_path, monkeypatch):
    path = tmp_path / "log.csv"
    replace_file(path, b"old")

    def full(self, content):
        self.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(OutputError, match=r"log\.csv: cannot be written \(No space left") as caught:
        replace_file(path, b"new")
    assert "\n" not in str(caught.value) and isinstance(caught.value.__cause__, OSError)
    assert names(tmp_path) == ["log.csv"] and path.read_text() == "old"


def test_a_name_that_is_taken_by_a_folder(tmp_path):
    (tmp_path / "a.csv").mkdir()
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "a.csv", tmp_path / "file" / "b.csv"):
        with pytest.raises(OutputError, match="cannot be written"):
            replace_file(path, "text")
        with pytest.raises(OutputError, match="cannot be written"), WholeFile(path) as file:
            file.text("row")
    assert names(tmp_path) == ["a.csv", "file"]


def test_a_file_written_bit_by_bit_has_its_name_only_when_closed(tmp_path):
    path = tmp_path / "new" / "rows.csv"
    with pytest.raises(KeyboardInterrupt), WholeFile(path) as file:
        file.text("one\n")
        assert not path.exists() and not file.closed
        file.text("two\n")
        raise KeyboardInterrupt  # what was written before stays
    assert path.read_text() == "one\ntwo\n" and names(path.parent) == ["rows.csv"]
    file.close()
    assert file.closed


def test_what_killed_processes_left_of_a_file_is_cleared(tmp_path):
    from chromatrack.atomic import OutputFile, check_output_files

    dead = 2**22 + 12345  # above the largest number of a process
    mine = os.getpid()
    left = [f".a.csv.{dead}.tmp", f".a.{dead}.partial.csv"]
    kept = [
        f".a.csv.{mine}.tmp",
        f".a.{mine}.partial.csv",
        f".b.csv.{dead}.tmp",
        ".a.x.partial.csv",
    ]
    for name in (*left, *kept):
        (tmp_path / name).write_text("half", encoding="utf-8")
    check_output_files([OutputFile(tmp_path / "a.csv", "table", lambda path: True)])
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept)
