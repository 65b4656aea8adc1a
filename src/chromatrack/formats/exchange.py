"""The formats that results are written to for other tools: their names, and what each carries.

One file of this room per format; this list names them. Nothing of a format is imported until it is
used.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chromatrack.errors import InputError
from chromatrack.structures import Kind

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class ExportOptions:
    """What the user may choose of a format.

    start_number: number of the first tracked frame in the output; None: as the format counts.
    premultiplied: colours of cut-outs are multiplied by their opacity. progress: called as
    progress("export", frames done, frames in all) by writers that take long.
    """

    start_number: int | None = None
    premultiplied: bool = False
    progress: Callable[[str, int, int | None], None] | None = None

    def numbers(self, frames: np.ndarray, *, first: int | None = None) -> np.ndarray:
        """(N,) int64: what frames of these (N,) numbers are called in the output.

        first: number of the first one where the user did not choose; None: as in the video.
        """
        start = first if self.start_number is None else self.start_number
        return frames if start is None else frames - frames[0] + start


@dataclass(frozen=True)
class Format:
    """One exchange format.

    name: on the command line. tool: what reads it, in a few words. kinds: what it carries. writer:
    "module:function" of this room, or "room.module:function" of one above, called with a
    TrackedVideo, the path to write to and ExportOptions; it returns notes for the user. suffix: of
    the file, "" for a folder. extra: the optional dependencies it needs, as in pip install
    'chromatrack[extra]'.
    """

    name: str
    tool: str
    kinds: tuple[Kind, ...]
    writer: str
    suffix: str
    extra: str | None = None

    @property
    def is_folder(self) -> bool:
        """Whether a folder is written, not a file."""
        return not self.suffix

    def load_writer(self) -> Callable[..., Sequence[str]]:
        """The function that writes it.

        Raises:
            InputError: its extra is not installed.
        """
        module, _, function = self.writer.partition(":")
        place = module if "." in module else f"formats.{module}"
        return getattr(importlib.import_module(f"chromatrack.{place}"), function)


def need(module: str, extra: str, what: str) -> Any:  # noqa: ANN401 (a module)
    """Import a module of an extra, or say in one line how to install it.

    Raises:
        InputError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise InputError(
            f"{what} needs {module.partition('.')[0]}, which is not installed ({error}); "
            f"pip install 'chromatrack[{extra}]'"
        ) from error


FORMATS: tuple[Format, ...] = (
    # -- masks and boxes
    Format(
        "davis",
        "DAVIS tools, vos-benchmark, TrackEval",
        ("object",),
        "davis_folders:write_davis",
        "",
    ),
    Format(
        "youtube-vos",
        "YouTube-VOS tools: the same and meta.json",
        ("object",),
        "davis_folders:write_youtube_vos",
        "",
    ),
    Format(
        "mose", "MOSE tools: as YouTube-VOS", ("object",), "davis_folders:write_youtube_vos", ""
    ),
    Format(
        "coco",
        "pycocotools, FiftyOne, Datumaro",
        ("object", "box"),
        "coco_export:write_coco",
        ".json",
    ),
    Format(
        "youtube-vis",
        "TrackEval, MMTracking: COCO of whole videos",
        ("object",),
        "coco_export:write_youtube_vis",
        ".json",
    ),
    Format("mots", "MOTSChallenge, TrackEval", ("object",), "mots:write_mots", ".txt"),
    Format(
        "cvat",
        "CVAT for video 1.1",
        ("object", "box", "point", "keypoints"),
        "cvat_xml:write_cvat",
        ".xml",
    ),
    Format(
        "labelme",
        "LabelMe: a file per frame",
        ("object", "box", "point", "keypoints"),
        "labelme_folder:write_labelme",
        "",
    ),
    Format(
        "mot", "MOTChallenge, TrackEval, motmetrics", ("object", "box"), "mot:write_mot", ".csv"
    ),
    Format(
        "label-studio",
        "Label Studio: video rectangles",
        ("object", "box"),
        "label_studio:write_label_studio",
        ".json",
    ),
    Format(
        "via", "VGG Image Annotator 2, movement", ("object", "box"), "via_tracks:write_via", ".csv"
    ),
    # -- tables ----------------------------------------------------------------------------------
    Format(
        "tidy-csv",
        "pandas, R, spreadsheets: a row a thing and frame",
        ("object", "box", "point", "keypoints"),
        "tidy:write_csv",
        ".csv",
    ),
    Format(
        "tidy-parquet",
        "pandas, polars, DuckDB: the same, typed",
        ("object", "box", "point", "keypoints"),
        "tidy_parquet:write",
        ".parquet",
        "tables",
    ),
    # -- points and skeletons --------------------------------------------------------------------
    Format(
        "coco-keypoints",
        "COCO tools, CVAT, FiftyOne: joints with track ids",
        ("keypoints", "point"),
        "coco_keypoints:write",
        ".json",
    ),
    Format(
        "deeplabcut-csv",
        "DeepLabCut, movement, SimBA, Keypoint-MoSeq",
        ("keypoints", "point"),
        "deeplabcut:write_csv",
        ".csv",
    ),
    Format(
        "deeplabcut-h5",
        "DeepLabCut, movement, Keypoint-MoSeq",
        ("keypoints", "point"),
        "deeplabcut:write_h5",
        ".h5",
        "pose",
    ),
    Format(
        "sleap",
        "SLEAP projects, for corrections in its window",
        ("keypoints", "point"),
        "sleap:write_project",
        ".slp",
        "pose",
    ),
    Format(
        "sleap-analysis",
        "SLEAP analysis files: movement, MATLAB",
        ("keypoints", "point"),
        "sleap:write_analysis",
        ".h5",
        "pose",
    ),
    Format(
        "nwb",
        "Neurodata Without Borders, with ndx-pose",
        ("keypoints", "point"),
        "nwb:write",
        ".nwb",
        "pose",
    ),
    Format(
        "movement",
        "movement (Python): joints over time",
        ("keypoints", "point"),
        "movement_netcdf:write_poses",
        ".nc",
        "pose",
    ),
    Format(
        "movement-boxes",
        "movement (Python): boxes over time",
        ("object", "box"),
        "movement_netcdf:write_boxes",
        ".nc",
        "pose",
    ),
    Format(
        "tapvid-npz",
        "scripts made for TAP-Vid; without pictures",
        ("point",),
        "tapvid:write",
        ".npz",
    ),
    # -- compositing -----------------------------------------------------------------------------
    Format(
        "after-effects",
        "After Effects: keyframes to paste, a file a thing",
        ("object", "box", "point", "keypoints"),
        "after_effects:write",
        "",
    ),
    Format(
        "after-effects-stabilize",
        "After Effects: keyframes that hold a thing still",
        ("object", "box", "point", "keypoints"),
        "after_effects:write_stabilized",
        "",
    ),
    Format(
        "after-effects-jsx",
        "After Effects: a script, a null for each thing",
        ("object", "box", "point", "keypoints"),
        "after_effects:write_script",
        ".jsx",
    ),
    Format(
        "nuke",
        "Nuke: a Tracker4 to paste",
        ("object", "box", "point", "keypoints"),
        "nuke:write_tracker",
        ".nk",
    ),
    Format(
        "nuke-cornerpin",
        "Nuke: a CornerPin2D per box, or for four points",
        ("box", "point"),
        "nuke:write_corner_pins",
        ".nk",
    ),
    Format(
        "blender",
        "Blender: a script, tracks for a movie clip",
        ("object", "box", "point", "keypoints"),
        "blender:write",
        ".py",
    ),
    # -- mattes ----------------------------------------------------------------------------------
    Format(
        "matte-png",
        "any compositor: grey pictures with soft edges",
        ("object",),
        "runs.mattes:write_matte_pngs",
        "",
    ),
    Format(
        "matte-prores",
        "editors: ProRes 4444 with transparency",
        ("object",),
        "runs.mattes:write_matte_movs",
        "",
    ),
    Format(
        "cutout-png",
        "any program: objects cut out, as PNG with alpha",
        ("object",),
        "runs.mattes:write_cutout_pngs",
        "",
    ),
    Format(
        "cutout-prores",
        "editors: objects cut out, ProRes 4444",
        ("object",),
        "runs.mattes:write_cutout_movs",
        "",
    ),
    Format(
        "cryptomatte",
        "Nuke, Fusion, Blender: mattes in OpenEXR files",
        ("object",),
        "runs.mattes:write_cryptomatte",
        "",
        "film",
    ),
    # -- shots -----------------------------------------------------------------------------------
    Format(
        "edl",
        "editors: the shots between cuts, as CMX 3600",
        ("object", "box", "point", "keypoints"),
        "shots:write_edl",
        ".edl",
    ),
    Format(
        "fcpxml",
        "Final Cut Pro, DaVinci Resolve: the same shots",
        ("object", "box", "point", "keypoints"),
        "shots:write_fcpxml",
        ".fcpxml",
    ),
)
"""All of them, in the order of the docs."""

GROUPS = {
    "davis": "Masks and boxes",
    "tidy-csv": "Tables",
    "coco-keypoints": "Points and skeletons",
    "after-effects": "Compositing",
    "matte-png": "Mattes and cut-outs",
    "edl": "Shots",
}
"""What formats are listed under, by the first of each group."""

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


def listed_formats() -> str:
    """The formats that are written, a line each, by group: name, kinds and what reads them."""
    lines: list[str] = []
    for one in FORMATS:
        if one.name in GROUPS:
            lines += ["", f"{GROUPS[one.name]}:"]
        letters = "".join(_LETTERS[kind] if kind in one.kinds else "." for kind in _LETTERS)
        lines.append(f"  {one.name:<23} {letters} {one.tool}")
    return "\n".join(lines[1:])


def listed_readers() -> str:
    """What marks are read from, a line each, by group."""
    return "\n\n".join(
        "\n".join([f"{group}:", *(f"  {name:<25} {what}" for name, what in readers.items())])
        for group, readers in READABLE.items()
    )


_LETTERS: dict[Kind, str] = {"object": "m", "box": "b", "point": "p", "keypoints": "k"}


def format_named(name: str) -> Format:
    """The format of a name.

    Raises:
        InputError: there is none.
    """
    for one in FORMATS:
        if one.name == name:
            return one
    names = [one.name for one in FORMATS]
    near = get_close_matches(name, names, n=3)
    some = f"such as {', '.join(near)}" if near else f"one of {', '.join(names)}"
    raise InputError(
        f"format: expected {some}, got {name!r:.40}; `chromatrack export --help` lists them"
    )


def checked_output(path: Path, chosen: Format) -> Path:
    """Where a format goes: a file gets the format's suffix where it has none.

    Raises:
        InputError: a file of another suffix.
    """
    if chosen.is_folder or path.is_dir():
        return path
    if not path.suffix:
        return path.with_name(path.name + chosen.suffix)
    if path.suffix.lower() != chosen.suffix:
        raise InputError(
            f"{path}: expected the name of a {chosen.suffix} file for {chosen.name}, got "
            f"{path.suffix}; rename it"
        )
    return path
