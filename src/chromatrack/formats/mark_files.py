"""Files of marks in any format that is known: which one it is, told by content, and its marks.

A reader of a format is one entry of `READERS`: what it is called, what it is recognised by, and a
function of a file of this room. Nothing of a format is imported until it is read.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from chromatrack.errors import InputError
from chromatrack.formats.file_marks import FileMarks, GivenFile, labels_in
from chromatrack.formats.marked_source import MarkedSource

Size = tuple[int, int]
"""(height, width) px."""


@dataclass(frozen=True)
class MarkReader:
    """A format that marks are read from.

    name: what users call it. detects: whether a file or folder is of it, by content. reader:
    "module:function" of this room, called with a GivenFile and a MarkedSource; it returns
    FileMarks and keeps names and notes in the source. size: "module:function" that gives the
    picture size that a GivenFile states, or None where it states none; without it places are px
    whatever the size. needs_size: whether marks cannot be read without one.
    """

    name: str
    detects: Callable[[GivenFile], bool]
    reader: str
    size: str | None = None
    needs_size: bool = True

    def read(self, given: GivenFile, source: MarkedSource) -> FileMarks:
        """The marks in a file.

        Raises:
            InputError: it is not as the format has it, or nothing is marked in it.
        """
        marks: FileMarks = _function(self.reader)(given, source)
        if marks.is_empty:
            raise InputError(
                f"'{given.path}': is {self.name}, but nothing in it is marked; mark something"
            )
        return marks

    def stated_size(self, given: GivenFile) -> Size | None:
        """(height, width) of the pictures that the marks are on, where the file states it."""
        return None if self.size is None else _function(self.size)(given)


def reader_of(given: GivenFile) -> MarkReader:
    """The format of a file or folder.

    Raises:
        InputError: none that is known.
    """
    for reader in READERS:
        if reader.detects(given):
            return reader
    if not given.is_folder and not given.start.strip():
        raise InputError(f"'{given.path}': expected marks, got an empty file; export it again")
    columns = _columns(given)
    if len(columns & {"id", "frame", "x", "y"}) > 1:
        lacking = [name for name in ("id", "frame", "x", "y") if name not in columns]
        raise InputError(
            f"'{given.path}': expected a table with the columns id, frame, x, y and, of boxes, "
            f"width and height, got {given.lines[0].strip()!r:.80}: "
            f"{', '.join(lacking)} missing; name the columns in the first line"
        )
    if given.start.startswith(_HDF):
        raise InputError(
            f"'{given.path}': expected labels of DeepLabCut or a SLEAP project (.slp), got HDF5 of "
            "something else or a damaged file; results (NWB, netCDF, analysis files) are no "
            "marks: give the labels that people made"
        )
    hint = "; unpack it first" if given.start.startswith(b"PK\3\4") else ""
    known = ", ".join(reader.name for reader in READERS)
    raise InputError(
        f"'{given.path}': expected marks in a format that is known ({known}), got something "
        f"else{hint}"
    )


def read_mark_file(path: str | PathLike[str], source: MarkedSource) -> FileMarks:
    """Marks in a file or folder of any format in `READERS`.

    Args:
        source: the video they are for; names and notes are kept in it.

    Raises:
        InputError: no such file, no format that is known, not as it should be, nothing marked.
    """
    given = GivenFile(Path(path))
    return reader_of(given).read(given, source)


def _function(name: str) -> Callable[..., Any]:
    module, _, function = name.partition(":")
    return getattr(importlib.import_module(f"chromatrack.formats.{module}"), function)


# -- what formats are recognised by ------------------------------------------------------------

_MAGIC = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"RIFF")
_HDF = b"\x89HDF"
_MOT_ROW = re.compile(r"\s*[0-9]+(\.0*)?\s*,\s*-?[0-9]+(\.0*)?\s*(,\s*[-+0-9.eE]+\s*){4,8}")


_MOTS_ROW = re.compile(r"\s*[0-9]+\s+[0-9]+\s+[0-9]+\s+[0-9]+\s+[0-9]+\s+\S+\s*")


def _is_coco(given: GivenFile) -> bool:
    return given.has("annotations") and (given.has("images") or given.has("videos"))


def _is_label_studio(given: GivenFile) -> bool:
    tasks = given.json if isinstance(given.json, list) else [given.json]
    return bool(tasks) and all(
        isinstance(task, dict) and "data" in task and {"annotations", "predictions"} & task.keys()
        for task in tasks
    )


def _is_via_json(given: GivenFile) -> bool:
    pictures = given.json.get("_via_img_metadata", given.json) if given.has() else None
    return isinstance(pictures, dict) and any(
        isinstance(one, dict) and {"filename", "regions"} <= one.keys() for one in pictures.values()
    )


def _columns(given: GivenFile) -> set[str]:
    first = given.lines[0] if given.lines else ""
    return {cell.strip().strip('"').lower() for cell in re.split("[,;\t]", first)}


def _is_deeplabcut(given: GivenFile) -> bool:
    is_table = bool(given.lines) and given.lines[0].startswith("scorer,")
    return is_table or (given.start.startswith(_HDF) and b"PYTABLES" in given.start)


def _is_sleap(given: GivenFile) -> bool:
    return given.start.startswith(_HDF) and given.path.suffix.lower() == ".slp"


def _is_mots(given: GivenFile) -> bool:
    return bool(given.lines) and _MOTS_ROW.fullmatch(given.lines[0]) is not None


def _is_mot(given: GivenFile) -> bool:
    return bool(given.lines) and _MOT_ROW.fullmatch(given.lines[0]) is not None


def _files(given: GivenFile, pattern: str) -> list[Path]:
    return sorted(given.path.glob(pattern)) if given.is_folder else []


def _has_pictures(given: GivenFile) -> bool:
    return any(path.suffix.lower() in _PICTURES for path in _files(given, "*.*"))


_PICTURES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".gif"})

READERS: tuple[MarkReader, ...] = (
    MarkReader(
        "a folder of our marks",
        lambda given: given.is_folder and (given.path / "marks.json").is_file(),
        "own_marks:read_own_marks",
        "own_marks:own_size",
        needs_size=False,
    ),
    MarkReader(
        "masks of DAVIS, YouTube-VOS or MOSE",
        lambda given: given.is_folder and (given.path / "Annotations").is_dir(),
        "mask_marks:read_davis",
        "mask_marks:davis_size",
    ),
    MarkReader(
        "a folder of LabelMe",
        lambda given: any(b'"shapes"' in GivenFile(path).start for path in _files(given, "*.json")),
        "json_marks:read_labelme_marks",
        "json_marks:labelme_size",
    ),
    MarkReader(
        "a folder of DeepLabCut's labels",
        lambda given: bool(labels_in(given)),
        "pose_marks:read_deeplabcut",
    ),
    MarkReader(
        "a folder of masks",
        _has_pictures,
        "mask_marks:read_masks",
        "mask_marks:masks_size",
    ),
    MarkReader(
        "a mask picture",
        lambda given: given.start.startswith(_MAGIC),
        "mask_marks:read_masks",
        "mask_marks:masks_size",
    ),
    MarkReader(
        "CVAT XML",
        lambda given: re.search(r"<annotations[\s>]", given.head) is not None,
        "cvat_marks:read_cvat",
        "cvat_marks:cvat_size",
    ),
    MarkReader(
        "LabelMe JSON",
        lambda given: given.has("shapes") or bool(_files(given, "*.json")),
        "json_marks:read_labelme_marks",
        "json_marks:labelme_size",
    ),
    MarkReader("COCO JSON", _is_coco, "json_marks:read_coco_marks", "json_marks:coco_size"),
    MarkReader("our outlines", lambda given: given.has("objects"), "json_marks:read_outlines"),
    MarkReader("our keypoints", lambda given: given.has("marks"), "json_marks:read_joints"),
    MarkReader(
        "Label Studio JSON",
        _is_label_studio,
        "label_studio_marks:read_label_studio",
        "label_studio_marks:label_studio_size",
    ),
    MarkReader("labels of DeepLabCut", _is_deeplabcut, "pose_marks:read_deeplabcut"),
    MarkReader("a SLEAP project", _is_sleap, "pose_marks:read_sleap"),
    MarkReader(
        "a VIA table",
        lambda given: "region_shape_attributes" in _columns(given),
        "via_marks:read_via",
    ),
    MarkReader("VIA JSON", _is_via_json, "via_marks:read_via"),
    MarkReader(
        "a table of boxes",
        lambda given: {"id", "frame", "x", "y", "width", "height"} <= _columns(given),
        "table_marks:read_box_table",
    ),
    MarkReader(
        "a table of points",
        lambda given: {"id", "frame", "x", "y"} <= _columns(given),
        "table_marks:read_point_table",
    ),
    MarkReader("a MOT table", _is_mot, "mot_marks:read_mot"),
    MarkReader("MOTS text", _is_mots, "mots_marks:read_mots", "mots_marks:mots_size"),
)
"""All of them, the surest to recognise first."""
