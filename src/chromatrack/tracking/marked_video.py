"""A video opened to read marks for it, and what was understood of them, as text to check."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from os import fspath

import numpy as np

from chromatrack.errors import InputError
from chromatrack.formats.color_text import hex_color
from chromatrack.formats.marked_source import MarkedSource
from chromatrack.formats.picture_names import Numbers
from chromatrack.propagation.label_maps import object_ids
from chromatrack.structures import Kind, Source
from chromatrack.tracking.mark_checks import checked_source
from chromatrack.tracking.marks import Marks
from chromatrack.video.images import image_files
from chromatrack.video.reader import VideoInfo, probe

MOST_FRAMES = 8
"""So many frames of one thing are listed."""

_Things = dict[tuple[Kind, int], dict[int, str]]
"""(kind, id) -> {frame: what is marked there}."""


def marked_source(
    video: Source,
    *,
    numbers: Numbers = "auto",
    video_name: str | None = None,
    start: int = 0,
    end: int | None = None,
) -> MarkedSource:
    """Open a video to read marks for it: what readers of `formats` take as `source`.

    Args:
        numbers: what a number in a picture's name means.
        video_name: which of the videos in a file of several it is, where no name fits.
        start: the frame of marks that say none.
        end: the frame after the last that is tracked; None: to the end of the video.

    Raises:
        VideoError: it cannot be read. InputError: names of pictures wanted for a video file.
    """
    info, files = probe(video), image_files(video)
    paths = None if files is None else tuple(file.as_posix() for file in files)
    if paths is not None and info.frame_count != len(paths):
        paths = None  # several pictures in one file have no names
    if paths is None and numbers == "names":
        raise InputError(
            f"numbers names: expected a folder of pictures, got the video '{fspath(video)}', "
            "whose frames have no names; leave it out"
        )
    size = info.height, info.width
    return MarkedSource(
        fspath(video), size, info.frame_count, paths, numbers, video_name, start=start, end=end
    )


DRY_RUN = "dry run: nothing was tracked or written"


def understood(
    marks: Marks,
    source: MarkedSource,
    *,
    start: int = 0,
    end: int | None = None,
    last: str = DRY_RUN,
) -> str:
    """Check marks against the video and say what they mean: a line for everything to be tracked.

    Kinds, ids and names, frames and the pictures' names, sizes, and what was passed over or scaled.

    Args:
        source: what the marks were read for, with the notes that were taken.
        start, end: of tracking, as in `Tracker.track`.
        last: the line to end with.

    Raises:
        InputError: as `Tracker.track`, and for a mark behind the last frame that can be read.
        VideoError: the video cannot be read.
    """
    info = checked_source(source.video, marks, start=start, end=end)
    return described(marks, source, info, last=last)


def described(
    marks: Marks,
    source: MarkedSource,
    info: VideoInfo,
    *,
    more: Iterable[str] = (),
    last: str = DRY_RUN,
) -> str:
    """What marks mean, as `understood` says it, without checking them.

    Args:
        info: of the video.
        more, last: lines to end with.
    """
    frames = {None: "", 1: ", 1 frame"}.get(info.frame_count, f", {info.frame_count} frames")
    head = f"video: {source.video}, {info.width}x{info.height} px{frames}"
    return "\n".join([head, *marked_lines(marks, source), *more, last])


def marked_lines(marks: Marks, source: MarkedSource) -> list[str]:
    """A line for everything marked, the joints, and what was noted while reading."""
    lines = []
    for (kind, number), marked in sorted(_things(marks).items()):
        name = marks.names.get((kind, number))
        called = f"{kind} {number}" + (f" '{name}'" if name else "")
        color, category = marks.colors.get((kind, number)), marks.categories.get((kind, number))
        said = [category] if category not in (None, name) else []
        said += [hex_color(color)] if color else []
        called += f" ({', '.join(said)})" if said else ""
        lines.append(f"{called}: {_on_frames(marked, source)}")
    if marks.skeleton is not None:
        lines.append(f"joints: {', '.join(marks.skeleton.names)}")
    return lines + [f"note: {note.text}" for note in source.notes]


def _things(marks: Marks) -> _Things:
    found: _Things = defaultdict(dict)
    for frame, mask in marks.masks.items():
        for number in object_ids([mask]):
            found["object", number][frame] = f"{int((mask == number).sum())} px"
    for lost in marks.lost:
        found["object", lost.id][lost.frame] = "lost"
    for point in marks.points:
        place = "lost" if point.x is None else f"x {point.x:g}, y {point.y:g}"
        found["point", point.id][point.frame] = place
    for box in marks.boxes:
        place = f"{box.width:g}x{box.height:g} px at x {box.x:g}, y {box.y:g}" if box.width else ""
        found["box", box.id][box.frame] = place or "lost"
    for pose in marks.keypoints:
        marked = int(np.isfinite(pose.joints).all(axis=1).sum())
        lost = f", {int(pose.lost.sum())} lost" if pose.lost.any() else ""
        text = f"{marked} of {len(pose.joints)} joints{lost}"
        found["keypoints", pose.id][pose.frame] = text
    return found


def _on_frames(marked: dict[int, str], source: MarkedSource) -> str:
    told = [f"frame {source.frame_name(frame)}: {what}" for frame, what in sorted(marked.items())]
    return "; ".join(_shortened(told))


def _shortened(texts: list[str]) -> Iterable[str]:
    if len(texts) <= MOST_FRAMES:
        return texts
    return [*texts[: MOST_FRAMES - 1], f"... {texts[-1]} ({len(texts)} frames)"]
