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
        "YouTube-VOS tools: the same with meta.json",
        ("object",),
        "davis_folders:write_youtube_vos",
        "",
    ),
    Format(
        "mose", "MOSE tools: as YouTube-VOS", ("object",), "davis_folders:write_youtube_vos", ""
    ),
    Format(
        "coco",
        "pycocotools, FiftyOne, Datumaro: instances per picture",
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
    Format(
        "tidy-csv",
        "pandas, R, spreadsheets: one long table, one row per thing and frame",
        ("object", "box", "point", "keypoints"),
        "tidy:write_csv",
        ".csv",
    ),
    # -- tables, points and skeletons ------------------------------------------------------------
    Format(
        "tidy-parquet",
        "pandas, polars, DuckDB: the same table, typed",
        ("object", "box", "point", "keypoints"),
        "tidy_parquet:write",
        ".parquet",
        "tables",
    ),
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
        "the Python package movement: joints over time",
        ("keypoints", "point"),
        "movement_netcdf:write_poses",
        ".nc",
        "pose",
    ),
    Format(
        "movement-boxes",
        "the Python package movement: boxes over time",
        ("object", "box"),
        "movement_netcdf:write_boxes",
        ".nc",
        "pose",
    ),
    Format(
        "tapvid-npz",
        "scripts made for TAP-Vid: points and occluded, without pictures",
        ("point",),
        "tapvid:write",
        ".npz",
    ),
    # -- compositing -----------------------------------------------------------------------------
    Format(
        "after-effects",
        "After Effects: keyframes to paste, a text file for each thing",
        ("object", "box", "point", "keypoints"),
        "after_effects:write",
        "",
    ),
    Format(
        "after-effects-stabilize",
        "After Effects: keyframes for the video's layer that hold a thing in place",
        ("object", "box", "point", "keypoints"),
        "after_effects:write_stabilized",
        "",
    ),
    Format(
        "after-effects-jsx",
        "After Effects: a script that makes a null for each thing",
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
        "Nuke: a CornerPin2D for each box, or for four points",
        ("box", "point"),
        "nuke:write_corner_pins",
        ".nk",
    ),
    Format(
        "blender",
        "Blender: a script that puts tracks into a movie clip",
        ("object", "box", "point", "keypoints"),
        "blender:write",
        ".py",
    ),
    # -- mattes ----------------------------------------------------------------------------------
    Format(
        "matte-png",
        "any compositor: grey pictures of 8 bits with soft edges, a folder for each object",
        ("object",),
        "runs.mattes:write_matte_pngs",
        "",
    ),
    Format(
        "matte-prores",
        "editors and compositors: a ProRes 4444 video with transparency for each object",
        ("object",),
        "runs.mattes:write_matte_movs",
        "",
    ),
    Format(
        "cutout-png",
        "any program: each object cut out of the frames, as PNG with transparency",
        ("object",),
        "runs.mattes:write_cutout_pngs",
        "",
    ),
    Format(
        "cutout-prores",
        "editors: each object cut out of the video, as ProRes 4444 with transparency",
        ("object",),
        "runs.mattes:write_cutout_movs",
        "",
    ),
    Format(
        "cryptomatte",
        "Nuke, Fusion, After Effects, Blender: object mattes in OpenEXR files",
        ("object",),
        "runs.mattes:write_cryptomatte",
        "",
        "film",
    ),
    # -- shots -----------------------------------------------------------------------------------
    Format(
        "edl",
        "editors: the shots between the cuts that were found, as CMX 3600",
        ("object", "box", "point", "keypoints"),
        "shots:write_edl",
        ".edl",
    ),
    Format(
        "fcpxml",
        "Final Cut Pro, DaVinci Resolve: the shots between the cuts that were found",
        ("object", "box", "point", "keypoints"),
        "shots:write_fcpxml",
        ".fcpxml",
    ),
)
"""All of them, in the order of the docs."""


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
