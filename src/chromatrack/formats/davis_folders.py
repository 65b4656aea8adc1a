"""Masks in the folders of DAVIS, YouTube-VOS and MOSE: `Annotations/<video>/00000.png`, mode P.

The pixels are object ids, 0 the background, in the DAVIS colours or those that the user chose.
YouTube-VOS and MOSE say in `meta.json` what each object is and on which frames: `{"videos": {video:
{"objects": {"1": {"category": "person", "frames": ["00000", ...]}}}}}`. Pictures (`JPEGImages/`)
are not copied.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from chromatrack.atomic import replace_file
from chromatrack.errors import InputError
from chromatrack.formats.exchange import ExportOptions
from chromatrack.formats.masks import write_mask
from chromatrack.formats.thing_colors import colors_of
from chromatrack.formats.tracked_video import TrackedVideo
from chromatrack.formats.written_things import Thing, category_of, own_name, picture_file
from chromatrack.json_text import json_text

MASKS = "Annotations"
META = "meta.json"
VOID = 255
"""Of a palette; many readers take it for pixels that nobody knows."""


def write_davis(tracked: TrackedVideo, folder: Path, options: ExportOptions) -> list[str]:
    """Write the masks of all frames.

    Raises:
        InputError: an id that a palette cannot hold.
    """
    _write_masks(tracked, folder, options)
    return _notes(tracked, "davis")


def write_youtube_vos(tracked: TrackedVideo, folder: Path, options: ExportOptions) -> list[str]:
    """Write the masks of all frames, and meta.json.

    Raises:
        InputError: an id that a palette cannot hold.
    """
    seen = _write_masks(tracked, folder, options)
    objects = {
        str(number): {**_about(tracked, ("object", number)), "frames": frames}
        for number, frames in seen.items()
    }
    meta: dict[str, Any] = {"videos": {tracked.video_name: {"objects": objects}}}
    replace_file(folder / META, json_text(meta) + "\n")
    return _notes(tracked, "youtube-vos")


def _write_masks(
    tracked: TrackedVideo, folder: Path, options: ExportOptions
) -> dict[int, list[str]]:
    """Write all masks; {id: names of the frames that have it}."""
    if (largest := max(tracked.ids("object"))) > VOID:
        raise InputError(
            f"{tracked.video_name}: expected object ids up to {VOID}, which is what a palette "
            f"holds, got {largest}; export coco or mots instead, or mark it with a smaller id"
        )
    colors = colors_of(tracked.colors, "object")
    seen: dict[int, list[str]] = {number: [] for number in tracked.ids("object")}
    for frame, mask in zip(tracked.frames.tolist(), tracked.masks(), strict=True):
        name = Path(picture_file(tracked, frame, options)).with_suffix(".png").name
        write_mask(folder / MASKS / tracked.video_name / name, mask, colors=colors)
        for number, frames in seen.items():
            if (mask == number).any():
                frames.append(Path(name).stem)
    return seen


def _about(tracked: TrackedVideo, thing: Thing) -> dict[str, str]:
    """The category, and a name that says more, which other readers pass over."""
    name = own_name(tracked, thing)
    return {"category": category_of(tracked, thing), **({"name": name} if name else {})}


def _notes(tracked: TrackedVideo, name: str) -> list[str]:
    if VOID in tracked.objects:
        return [f"{name}: object {VOID} has the number that many readers take for void"]
    return []
