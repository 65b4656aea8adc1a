"""What `export --help` and `import --help` list: a line each, by group, that fits a terminal."""

from __future__ import annotations

import subprocess
import sys

import pytest

from chromatrack.formats.exchange import FORMATS, GROUPS
from chromatrack.formats.format_lists import READABLE, listed_formats, listed_readers
from chromatrack.formats.mark_files import READERS


def test_every_format_has_a_line_of_its_own() -> None:
    lines = listed_formats().splitlines()
    assert max(map(len, lines)) <= 80
    for one in FORMATS:
        (line,) = [line for line in lines if line.split()[:1] == [one.name]]
        assert line.endswith(f" {one.title}: {one.tool}") and ("m" in line.split()[1]) == (
            "object" in one.kinds
        )
    assert [line.rstrip(":") for line in lines if line[:1].isalpha()] == list(GROUPS)


@pytest.mark.parametrize("what", ["name", "title"])
def test_no_two_formats_are_called_alike(what: str) -> None:
    called = [getattr(one, what) for one in FORMATS]
    assert all(called) and len({text.lower() for text in called}) == len(called)


def test_every_reader_is_listed() -> None:
    text = listed_readers().lower()
    assert max(map(len, text.splitlines())) <= 80
    for reader in READERS:
        words = [word.strip(",.'s") for word in reader.name.lower().split()]
        assert any(len(word) > 2 and word in text for word in words), reader.name
    assert [line.rstrip(":") for line in listed_readers().splitlines() if line.endswith(":")] == [
        *READABLE
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("command", "line"), [("export", "  cvat "), ("import", "  CVAT ")])
def test_help_shows_the_list_as_lines(command: str, line: str) -> None:
    asked = [sys.executable, "-m", "chromatrack", command, "--help"]
    shown = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=120)
    assert any(one.startswith(line) for one in shown.stdout.splitlines())
