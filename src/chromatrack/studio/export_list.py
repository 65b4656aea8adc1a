"""What can be exported from the studio, as its dialog lists it, and where it goes."""

from __future__ import annotations

import importlib.metadata
import re
from functools import cache
from pathlib import Path
from typing import Any, Literal

from chromatrack.errors import InputError
from chromatrack.formats.exchange import GROUPS, Format, format_named
from chromatrack.runs.file_names import EXPORTS, RESULT
from chromatrack.runs.listed_folder import list_of

OVERLAY, OUTLINES, PATHS, CUTOUT = "overlay", "outlines", "paths", "cutout"
COLORED, TEXTURED, FRAMES = "coloured", "textured", "frames"
VIDEO = "Video"
"""The group of what the studio itself writes."""

VIDEOS: dict[str, dict[str, Any]] = {
    OVERLAY: {
        "title": "Video with the tracks on it",
        "tool": "MP4, plays anywhere",
        "kinds": ["object", "point", "box", "keypoints"],
        "suffix": ".mp4",
    },
    OUTLINES: {
        "title": "Video with outlines",
        "tool": "MP4, objects not filled in",
        "kinds": ["object", "point", "box", "keypoints"],
        "suffix": ".mp4",
    },
    PATHS: {
        "title": "Video with paths",
        "tool": "MP4, lines along which things went",
        "kinds": ["object", "point", "box"],
        "suffix": ".mp4",
    },
    CUTOUT: {
        "title": "All objects cut out, pictures",
        "tool": "PNG, transparent (alpha)",
        "kinds": ["object"],
        "suffix": "",
    },
    COLORED: {
        "title": "Coloured video",
        "tool": "MP4",
        "sound": ", sound is kept",
        "kinds": ["color"],
        "suffix": ".mp4",
    },
    TEXTURED: {
        "title": "Video with the picture on it",
        "tool": "MP4",
        "sound": ", sound is kept",
        "kinds": ["texture"],
        "suffix": ".mp4",
    },
    FRAMES: {
        "title": "Frames, JPEG",
        "tool": "pictures that labelling formats name",
        "kinds": ["object", "point", "box", "keypoints"],
        "suffix": "",
    },
}
IN_COLORS = frozenset((OVERLAY, OUTLINES, PATHS, CUTOUT, "cutout-png", "cutout-prores"))
"""What shows the film in its colours, where it was coloured."""

_AMONG_VIDEOS = {"cutout-prores": OUTLINES}
"""Formats of other groups that are listed as videos, after which one."""

_SAID = {
    "cutout-prores": ("Each object cut out, video", "transparent (alpha), ProRes: editors"),
    "cutout-png": ("Each object cut out, pictures", "PNG, transparent with a soft edge"),
}
"""Titles and tools where the list says more than the command line's has room for."""

_ABOUT = {
    "tidy": (
        "id: counts objects, points and boxes each from 1; name tells all apart. x_px, y_px: of a "
        "point its place, else the top left corner. center_x_px, center_y_px: the middle of the "
        "part that is seen. All are places in the picture: they move when the camera does. "
        "visible: 0 where it is not seen. reliability: chance that it is right; go by this, not "
        "by confidence. doubtful: 1 where you should look. marked: 1 where you marked it."
    ),
}
"""What is said of a format's columns, by the first word of its name."""

_FILES = {"tidy-csv": "table", "tidy-parquet": "table"}
"""Files that are called as their titles are, not as the format."""


def all_formats(*, sound: bool = False) -> list[dict[str, Any]]:
    """What can be exported, as the client is told: by group, in order. sound: the video has it."""
    videos = []
    for name, video in VIDEOS.items():
        told = {key: video[key] for key in ("title", "tool", "kinds", "suffix")}
        told["tool"] += video.get("sound", "") if sound else ""
        videos.append({"name": name, "group": VIDEO, **told, "extra": None, "available": True})
        also = (one for one, after in _AMONG_VIDEOS.items() if after == name)
        videos += [_told(format_named(one), VIDEO) for one in also]
    formats = [
        _told(one, group)
        for group, listed in GROUPS.items()
        for one in listed
        if one.name not in _AMONG_VIDEOS
    ]
    return [one | {"inColors": one["name"] in IN_COLORS} for one in videos + formats]


def _told(one: Format, group: str) -> dict[str, Any]:
    title, tool = _SAID.get(one.name, (one.title, one.tool))
    return {
        "name": one.name,
        "title": title,
        "group": group,
        "tool": tool,
        "kinds": list(one.kinds),
        "about": _ABOUT.get(one.name.partition("-")[0]),
        "suffix": one.suffix,
        "extra": one.extra,
        "available": one.extra is None or _is_installed(one.extra),
    }


@cache
def _is_installed(extra: str) -> bool:
    """Whether all packages of an extra are."""
    try:
        needs = importlib.metadata.requires("chromatrack") or []
    except importlib.metadata.PackageNotFoundError:
        return True  # run from its sources: the writer will say
    for need in needs:
        name = re.match(r"[A-Za-z0-9._-]+", need)
        if name is None or not re.search(rf"extra\s*==\s*['\"]{re.escape(extra)}['\"]", need):
            continue
        try:
            importlib.metadata.version(name.group())
        except importlib.metadata.PackageNotFoundError:
            return False
    return True


def export_path(folder: Path, name: str) -> Path:
    """Where a format goes. Raises InputError for an unknown one."""
    suffix = VIDEOS[name]["suffix"] if name in VIDEOS else format_named(name).suffix
    kind = suffix.removeprefix(".")
    stem = _FILES.get(name) or (name.removesuffix(f"-{kind}") if kind else name)
    return folder / EXPORTS / f"{stem}{suffix}"


def title_of(name: str) -> str:
    """What a format is called in the list."""
    return VIDEOS[name]["title"] if name in VIDEOS else _told(format_named(name), VIDEO)["title"]


def made_at(output: Path) -> float | None:
    """When what is in an export's place was written, in seconds since 1970; None: nothing is.

    Of a folder: when an export last wrote into it, whatever was put there since.
    """
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return None
    listed = list_of(output)
    return (listed if output.is_dir() and listed.exists() else output).stat().st_mtime


def is_older(folder: Path, name: str) -> bool:
    """Whether an export that is there was made before what was last tracked."""
    made, result = made_at(export_path(folder, name)), folder / RESULT
    if made is None or name in (COLORED, TEXTURED) or not result.is_file():
        return False
    return made < result.stat().st_mtime


def free_path(output: Path) -> Path:
    """An export's own place or, where something is, the first numbered one that is free."""
    path, number = output, 1
    while made_at(path) is not None:
        number += 1
        path = output.with_name(f"{output.stem}-{number}{output.suffix}")
    return path


def place_for(folder: Path, name: str, existing: Literal["replace", "keep"] | None) -> Path:
    """Where a format goes now. existing: what becomes of one that is there already.

    Raises:
        InputError: there is one, and it was not said what becomes of it; or an unknown format.
    """
    output = export_path(folder, name)
    if existing == "replace" or made_at(output) is None:
        return output
    if existing is None:
        raise InputError(
            f"{output.name}: is in {EXPORTS} already; say whether it is replaced or both are kept"
        )
    return free_path(output)
