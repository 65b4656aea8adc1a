"""What `export --help` and `import --help` say of formats: lists for people, by group."""

from __future__ import annotations

from chromatrack.formats.exchange import GROUPS
from chromatrack.structures import Kind

READABLE: dict[str, dict[str, str]] = {
    "Masks": {
        "DAVIS, YouTube-VOS, MOSE": "a folder with Annotations/, meta.json",
        "mask pictures": "PNG, TIFF, ...: one, or a folder of them",
        "MOTS": "text",
    },
    "Annotation tools": {
        "COCO, YouTube-VIS": "JSON: masks, boxes, skeletons",
        "CVAT": "XML for video or images 1.1, unpacked: all kinds",
        "LabelMe": "JSON, a file or a folder: all kinds",
        "Label Studio": "JSON: boxes in videos",
        "VIA": "CSV, JSON, a project: boxes, outlines, points",
        "MOT": "CSV: boxes",
    },
    "Skeletons": {
        "DeepLabCut": "CollectedData_*.csv, .h5, or its folder",
        "SLEAP": ".slp: what people labelled",
    },
    "Our own": {
        "tables": "CSV with id, frame, x, y (width, height)",
        "JSON": "outlines, skeletons",
        "a folder of `import`": "marks.json and what it names",
    },
}
"""What marks are read from, for people: `mark_files.READERS` are the readers."""


_LETTERS: dict[Kind, str] = {"object": "m", "box": "b", "point": "p", "keypoints": "k"}


def listed_formats() -> str:
    """The formats that are written, a line each, by group: name, kinds and what reads them."""
    parts: list[str] = []
    for group, formats in GROUPS.items():
        lines = [f"{group}:"]
        for one in formats:
            letters = "".join(_LETTERS[kind] if kind in one.kinds else "." for kind in _LETTERS)
            lines.append(f"  {one.name:<23} {letters} {one.title}: {one.tool}")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def listed_readers() -> str:
    """What marks are read from, a line each, by group."""
    return "\n\n".join(
        "\n".join([f"{group}:", *(f"  {name:<25} {what}" for name, what in readers.items())])
        for group, readers in READABLE.items()
    )
