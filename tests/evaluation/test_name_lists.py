from __future__ import annotations

import pytest

from chromatrack.errors import LayoutError
from chromatrack.evaluation.datasets.name_lists import checked_name, text_lines


def test_lines_of_a_list_are_read_without_the_byte_order_mark(tmp_path):
    path = tmp_path / "val.txt"
    path.write_text("\ufeffbear\ncow\n", encoding="utf-8")
    assert text_lines(path) == ["bear", "cow"]


@pytest.mark.parametrize(
    ("content", "message"), [(b"bear\n\x88\xff", r"is no text"), (None, r"cannot read")]
)
def test_what_is_no_list_is_refused(tmp_path, content, message):
    path = tmp_path / "val.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(LayoutError, match=message):
        text_lines(path)


@pytest.mark.parametrize("name", ["bear", "bear-2", "Kuh ä", "..bear", "ä" * 127])
def test_names_of_folders_are_kept(tmp_path, name):
    assert checked_name(name, tmp_path) == name


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\\b", "a\0", "9" * 400, "ä" * 128])
def test_what_no_folder_is_called_is_refused(tmp_path, name):
    with pytest.raises(LayoutError, match="expected names of folders"):
        checked_name(name, tmp_path)
