"""Labels of DeepLabCut and SLEAP, as marks of a file that may be anything."""

from __future__ import annotations

from chromatrack.errors import InputError
from chromatrack.formats import deeplabcut, sleap
from chromatrack.formats.file_marks import FileMarks, GivenFile, labels_in
from chromatrack.formats.marked_source import MarkedSource


def read_deeplabcut(given: GivenFile, source: MarkedSource) -> FileMarks:
    """Joints that people labelled, `CollectedData_*` as CSV or HDF5, or the folder it is in.

    Raises:
        InputError: as `deeplabcut.read_labels`, or several such files in the folder.
    """
    tables = labels_in(given) if given.is_folder else [given.path]
    if len(tables) > 1:
        raise InputError(
            f"'{given.path}': expected one file CollectedData_*, got "
            f"{', '.join(path.name for path in tables)}; give one of them"
        )
    skeleton, marks = deeplabcut.read_labels(tables[0], source)
    return FileMarks(keypoints=marks, skeleton=skeleton)


def read_sleap(given: GivenFile, source: MarkedSource) -> FileMarks:
    """Joints that people labelled in a project."""
    skeleton, marks = sleap.read_labels(given.path, source)
    return FileMarks(keypoints=marks, skeleton=skeleton)
