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
    progress("export", frames done, frames in all) while any format is written (`export_run` does).
    look: how cut-outs show a frame, called with its number and (H, W, 3) uint8 or uint16, which it
    gives back in other colours; None: as it is.
    """

    start_number: int | None = None
    premultiplied: bool = False
    progress: Callable[[str, int, int | None], None] | None = None
    look: Callable[[int, np.ndarray], np.ndarray] | None = None

    def numbers(self, frames: np.ndarray, *, first: int | None = None) -> np.ndarray:
        """(N,) int64: what frames of these (N,) numbers are called in the output.

        first: number of the first one where the user did not choose; None: as in the video.
        """
        start = first if self.start_number is None else self.start_number
        return frames if start is None else frames - frames[0] + start


@dataclass(frozen=True)
class Format:
    """One exchange format.

    name: on the command line. title: for people. tool: what reads it, in a few words. kinds: what
    it carries. writer: "module:function" of this room, or "room.module:function" of one above,
    called with a TrackedVideo, the path to write to and ExportOptions; it returns notes for the
    user. suffix: of the file, "" for a folder. extra: the optional dependencies it needs, as in pip
    install 'chromatrack[extra]'.
    """

    name: str
    title: str
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


_MASKS: tuple[Kind, ...] = ("object",)
_REGIONS: tuple[Kind, ...] = ("object", "box")
_POSES: tuple[Kind, ...] = ("keypoints", "point")
_ALL: tuple[Kind, ...] = ("object", "box", "point", "keypoints")

GROUPS: dict[str, tuple[Format, ...]] = {
    "Masks and boxes": (
        Format(
            "davis",
            "DAVIS",
            "DAVIS tools, vos-benchmark, TrackEval",
            _MASKS,
            "davis_folders:write_davis",
            "",
        ),
        Format(
            "youtube-vos",
            "YouTube-VOS",
            "its tools: as DAVIS, and meta.json",
            _MASKS,
            "davis_folders:write_youtube_vos",
            "",
        ),
        Format(
            "mose",
            "MOSE",
            "its tools: as YouTube-VOS",
            _MASKS,
            "davis_folders:write_youtube_vos",
            "",
        ),
        Format(
            "coco",
            "COCO",
            "pycocotools, FiftyOne, Datumaro",
            _REGIONS,
            "coco_export:write_coco",
            ".json",
        ),
        Format(
            "youtube-vis",
            "YouTube-VIS",
            "of videos: TrackEval, MMTracking",
            _MASKS,
            "coco_export:write_youtube_vis",
            ".json",
        ),
        Format("mots", "MOTS", "MOTSChallenge, TrackEval", _MASKS, "mots:write_mots", ".txt"),
        Format("cvat", "CVAT", "CVAT for video 1.1", _ALL, "cvat_xml:write_cvat", ".xml"),
        Format(
            "labelme", "LabelMe", "a file for each frame", _ALL, "labelme_folder:write_labelme", ""
        ),
        Format(
            "mot", "MOT", "MOTChallenge, TrackEval, motmetrics", _REGIONS, "mot:write_mot", ".csv"
        ),
        Format(
            "label-studio",
            "Label Studio",
            "video rectangles",
            _REGIONS,
            "label_studio:write_label_studio",
            ".json",
        ),
        Format(
            "via",
            "VIA",
            "VGG Image Annotator 2, movement",
            _REGIONS,
            "via_tracks:write_via",
            ".csv",
        ),
    ),
    "Points and skeletons": (
        Format(
            "coco-keypoints",
            "COCO keypoints",
            "CVAT, FiftyOne: with track ids",
            _POSES,
            "coco_keypoints:write",
            ".json",
        ),
        Format(
            "deeplabcut-csv",
            "DeepLabCut, CSV",
            "movement, SimBA, Keypoint-MoSeq",
            _POSES,
            "deeplabcut:write_csv",
            ".csv",
        ),
        Format(
            "deeplabcut-h5",
            "DeepLabCut, HDF5",
            "movement, Keypoint-MoSeq",
            _POSES,
            "deeplabcut:write_h5",
            ".h5",
            "pose",
        ),
        Format(
            "sleap",
            "SLEAP project",
            "for corrections in its window",
            _POSES,
            "sleap:write_project",
            ".slp",
            "pose",
        ),
        Format(
            "sleap-analysis",
            "SLEAP analysis",
            "movement, MATLAB",
            _POSES,
            "sleap:write_analysis",
            ".h5",
            "pose",
        ),
        Format(
            "nwb", "NWB", "Neurodata Without Borders, ndx-pose", _POSES, "nwb:write", ".nwb", "pose"
        ),
        Format(
            "movement",
            "movement",
            "in Python: joints over time",
            _POSES,
            "movement_netcdf:write_poses",
            ".nc",
            "pose",
        ),
        Format(
            "movement-boxes",
            "movement, boxes",
            "in Python: boxes over time",
            _REGIONS,
            "movement_netcdf:write_boxes",
            ".nc",
            "pose",
        ),
        Format(
            "tapvid-npz",
            "TAP-Vid",
            "scripts made for it; no pictures",
            ("point",),
            "tapvid:write",
            ".npz",
        ),
    ),
    "Film and compositing": (
        Format(
            "after-effects",
            "After Effects",
            "keyframes to paste, a file a thing",
            _ALL,
            "after_effects:write",
            "",
        ),
        Format(
            "after-effects-stabilize",
            "After Effects, stabilize",
            "keyframes to paste",
            _ALL,
            "after_effects:write_stabilized",
            "",
        ),
        Format(
            "after-effects-jsx",
            "After Effects, script",
            "a null for each thing",
            _ALL,
            "after_effects:write_script",
            ".jsx",
        ),
        Format("nuke", "Nuke", "a Tracker4 to paste", _ALL, "nuke:write_tracker", ".nk"),
        Format(
            "nuke-cornerpin",
            "Nuke, corner pin",
            "of boxes, or four points",
            ("box", "point"),
            "nuke:write_corner_pins",
            ".nk",
        ),
        Format(
            "blender", "Blender", "a script: tracks for a movie clip", _ALL, "blender:write", ".py"
        ),
        Format(
            "matte-png",
            "Mattes, PNG",
            "any compositor: grey, soft edges",
            _MASKS,
            "runs.mattes:write_matte_pngs",
            "",
        ),
        Format(
            "matte-prores",
            "Mattes, ProRes",
            "editors: ProRes 4444, alpha",
            _MASKS,
            "runs.mattes:write_matte_movs",
            "",
        ),
        Format(
            "cutout-png",
            "Cut-outs, PNG",
            "any program: objects with alpha",
            _MASKS,
            "runs.mattes:write_cutout_pngs",
            "",
        ),
        Format(
            "cutout-prores",
            "Cut-outs, ProRes",
            "editors: 4444 with alpha",
            _MASKS,
            "runs.mattes:write_cutout_movs",
            "",
        ),
        Format(
            "cryptomatte",
            "Cryptomatte",
            "Nuke, Fusion, Blender: OpenEXR",
            _MASKS,
            "runs.mattes:write_cryptomatte",
            "",
            "film",
        ),
        Format("edl", "EDL", "editors: the shots, as CMX 3600", _ALL, "shots:write_edl", ".edl"),
        Format(
            "fcpxml",
            "Final Cut XML",
            "Final Cut Pro, Resolve: the shots",
            _ALL,
            "shots:write_fcpxml",
            ".fcpxml",
        ),
    ),
    "Tables": (
        Format(
            "tidy-csv",
            "Table, CSV",
            "spreadsheets (Excel), pandas, R",
            _ALL,
            "tidy:write_csv",
            ".csv",
        ),
        Format(
            "tidy-parquet",
            "Table, Parquet",
            "pandas, polars, DuckDB",
            _ALL,
            "tidy_parquet:write",
            ".parquet",
            "tables",
        ),
    ),
}
"""What formats are listed under, and the formats, in the order of the docs."""

FORMATS: tuple[Format, ...] = tuple(one for group in GROUPS.values() for one in group)
"""All of them."""


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
