"""Labels of DeepLabCut and SLEAP, as marks of a file that may be anything."""

from __future__ import annotations

from chromatrack.formats import deeplabcut, sleap
from chromatrack.formats.file_marks import FileMarks, GivenFile
from chromatrack.formats.marked_source import MarkedSource


def read_deeplabcut(given: GivenFile, source: MarkedSource) -> FileMarks:
    """Joints that people labelled, `CollectedData_*` as CSV or HDF5."""
    skeleton, marks = deeplabcut.read_labels(given.path, source)
    return FileMarks(keypoints=marks, skeleton=skeleton)


def read_sleap(given: GivenFile, source: MarkedSource) -> FileMarks:
    """Joints that people labelled in a project."""
    skeleton, marks = sleap.read_labels(given.path, source)
    return FileMarks(keypoints=marks, skeleton=skeleton)
