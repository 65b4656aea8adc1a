"""Shots: cuts that tracking found, as edit lists; and the shots of others' edits, read.

Written: CMX 3600 (`.edl`) and Final Cut Pro XML (`.fcpxml`), one event for each shot, in place: the
edit plays as the video does. Read: both, and through OpenTimelineIO the older XML of Final Cut Pro
and `.otio`. An EDL does not say its frame rate, so that has to be known. (OpenTimelineIO's adapter
for FCPXML cuts times down to whole frames, a frame short at rates such as 29.97: not used here.)
"""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np

from chromatrack.errors import InputError
from chromatrack.formats.exchange import ExportOptions, need
from chromatrack.formats.tracked_video import TrackedVideo
from chromatrack.formats.trajectories import rate_note

_MISREAD = (
    *(ET.ParseError, OSError, ValueError, LookupError, AttributeError, TypeError),
    *(ArithmeticError, RuntimeError),
)
"""What adapters raise where a file is not what they expect."""

_EVENT = re.compile(r"^\d{3,6}\s.*$", re.MULTILINE)
"""A line of an event; pycmx 1.5 passes over events that no remark follows, so they get one."""

_TIMECODE = re.compile(r"(\d+):(\d+):(\d+)[:;](\d+)")


Edge = Literal["film", "cut", "dissolve", "fade"]
"""How a shot begins or ends; film: with the film itself."""


@dataclass(frozen=True)
class Shot:
    """Frames first .. end - 1 of a video, from 0; name: of the clip, "" where it has none.

    begins, ends: how it does. whole: its first frame of this shot alone and the one after the last,
    where a dissolve or fade takes part of it; None: all of them.
    """

    first: int
    end: int
    name: str = ""
    begins: Edge = "cut"
    ends: Edge = "cut"
    whole: tuple[int, int] | None = None


def shots_of(tracked: TrackedVideo) -> list[Shot]:
    """The shots of a video between the cuts that tracking found."""
    cuts = tracked.cuts if len(tracked.cuts) else np.zeros(len(tracked.frames), dtype=bool)
    starts = [0, *(row for row in np.flatnonzero(cuts).tolist() if row)]
    first = int(tracked.frames[0])
    ends = [*starts[1:], len(tracked.frames)]
    return [Shot(first + a, first + b) for a, b in zip(starts, ends, strict=True)]


def write_edl(tracked: TrackedVideo, path: Path, options: ExportOptions) -> Sequence[str]:
    """Write an EDL of CMX 3600, without dropped frames."""
    base = round(tracked.fps)
    shots = shots_of(tracked)
    shift = int(options.numbers(tracked.frames)[0]) - shots[0].first
    name = Path(tracked.video).name
    lines = [f"TITLE: {' '.join(tracked.video_name.split())[:70]}", "FCM: NON-DROP FRAME", ""]
    for number, shot in enumerate(shots[:999], start=1):
        times = [timecode(frame + shift, base) for frame in (shot.first, shot.end)] * 2
        lines.append(f"{number:03d}  AX       V     C        {' '.join(times)}")
        lines.append(f"* FROM CLIP NAME: {name}")
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")
    notes = [f"an EDL says no frame rate: its timecodes are of {base} frames a second"]
    if len(shots) > 999:
        notes.append(f"an EDL holds 999 events, so {len(shots) - 999} shots are left out")
    return [*notes, *rate_note(tracked)]


def write_fcpxml(tracked: TrackedVideo, path: Path, options: ExportOptions) -> Sequence[str]:
    """Write a project of Final Cut Pro (FCPXML 1.8) with a clip for each shot."""
    step = 1 / _rate(tracked.fps)
    shots = shots_of(tracked)
    shift = int(options.numbers(tracked.frames)[0]) - shots[0].first
    height, width = tracked.size
    root = ET.Element("fcpxml", version="1.8")
    resources = ET.SubElement(root, "resources")
    size = {"width": str(width), "height": str(height)}
    ET.SubElement(resources, "format", {"id": "r1", "frameDuration": _time(1, step), **size})
    whole = shots[-1].end + shift
    asset = {"id": "r2", "name": tracked.video_name, "src": _address(tracked.video)}
    asset |= {"format": "r1", "start": "0s", "duration": _time(whole, step), "hasVideo": "1"}
    ET.SubElement(resources, "asset", asset)
    event = ET.SubElement(ET.SubElement(root, "library"), "event", name=tracked.video_name)
    project = ET.SubElement(event, "project", name=tracked.video_name)
    length = _time(shots[-1].end - shots[0].first, step)
    sequence = ET.SubElement(project, "sequence", format="r1", duration=length, tcStart="0s")
    spine = ET.SubElement(sequence, "spine")
    for number, shot in enumerate(shots, start=1):
        clip = {"name": f"shot {number}", "ref": "r2", "format": "r1"}
        clip["offset"] = _time(shot.first - shots[0].first, step)
        clip["start"] = _time(shot.first + shift, step)
        clip["duration"] = _time(shot.end - shot.first, step)
        ET.SubElement(spine, "asset-clip", clip)
    ET.indent(root)
    text = ET.tostring(root, encoding="unicode")
    head = '<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE fcpxml>\n'
    path.write_text(f"{head}{text}\n", encoding="utf-8")
    return rate_note(tracked)


def timecode(frame: int, base: int) -> str:
    """A frame as hours:minutes:seconds:frames at `base` frames a second; after a day, from 0."""
    seconds, rest = divmod(frame, base)
    minutes, hours = seconds // 60, seconds // 3600
    return f"{hours % 24:02d}:{minutes % 60:02d}:{seconds % 60:02d}:{rest:02d}"


# -- reading -------------------------------------------------------------------------------


def read_shots(path: str | PathLike[str], fps: float) -> list[Shot]:
    """The shots of an edit's first video track, as frames of the film that it makes.

    Args:
        path: `.edl` (CMX 3600), or `.fcpxml`, `.xml` (Final Cut Pro) or `.otio`.
        fps: of the film. Timecodes with `;` drop frames.

    Returns:
        In order of the film, whose first frame is 0; without length are left out.

    Raises:
        InputError: no such file, another suffix, no edit of that kind, no shots, or the extra is
            not installed.
    """
    file = Path(path)
    if not fps > 0:
        raise InputError(f"fps: expected frames per second, above 0, got {fps:g}")
    if not file.is_file():
        raise InputError(f"no file '{path}'; check the path")
    suffix = file.suffix.lower()
    if suffix not in (".edl", ".fcpxml", ".xml", ".otio"):
        raise InputError(
            f"'{path}': expected an edit as .edl, .fcpxml, .xml or .otio, got {suffix or 'none'}"
        )
    if suffix == ".edl":
        found = _read_edl(file, round(fps))
    else:
        found = _read_fcpxml(file, fps) if suffix == ".fcpxml" else _read_otio(file, fps)
    found = sorted((shot for shot in found if shot.end > shot.first), key=lambda shot: shot.first)
    if not found:
        raise InputError(f"'{path}': expected an edit with at least one shot, got none")
    start = found[0].first
    return [Shot(shot.first - start, shot.end - start, shot.name) for shot in found]


def _read_edl(path: Path, base: int) -> list[Shot]:
    cmx = need("pycmx", "film", "an EDL")
    try:
        text = path.read_text(encoding="utf-8-sig")
        edits = cmx.parse_cmx3600(io.StringIO(_EVENT.sub(r"\g<0>\n* EVENT", text)))
    except (UnicodeDecodeError, ValueError, IndexError, AttributeError) as error:
        raise InputError(
            f"'{path}': expected an EDL of CMX 3600, but it cannot be read ({error}); export it so"
        ) from error
    found = []
    for event in edits.events:
        for edit in event.edits:
            if edit.channels.video:
                first, end = (
                    _frame(text, base, path) for text in (edit.record_in, edit.record_out)
                )
                found.append(Shot(first, end, edit.clip_name or ""))
    return found


def _frame(text: str, base: int, path: Path) -> int:
    """A timecode as a frame number; `;` before the frames: two of 30 a minute are dropped."""
    parts = _TIMECODE.fullmatch(str(text).strip())
    if parts is None or int(parts[4]) >= base:
        raise InputError(
            f"'{path}': expected timecodes of {base} frames a second, got {text!r:.40}; give the "
            "frame rate of the edit"
        )
    hours, minutes, seconds, frames = map(int, parts.groups())
    whole = 60 * hours + minutes
    number = (60 * whole + seconds) * base + frames
    if ";" in text:
        number -= round(base / 15) * (whole - whole // 10)
    return number


def _read_fcpxml(path: Path, fps: float) -> list[Shot]:
    """The clips of the first project's spine, whose times are fractions of a second; no gaps.

    Compound clips have spines of their own, among the resources: theirs are no shots of the film.
    """
    try:
        root = ET.parse(path).getroot()
        spine = root.find(".//project/sequence/spine")
        if spine is None:
            spine = root.find(".//sequence/spine")
        clips = [] if spine is None else [clip for clip in spine if clip.get("duration")]
        found = []
        for clip in clips:
            begin, length = _seconds(clip.get("offset", "0s")), _seconds(clip.get("duration", "0s"))
            first, end = round(begin * Fraction(fps)), round((begin + length) * Fraction(fps))
            if clip.tag not in ("gap", "transition"):
                found.append(Shot(first, end, clip.get("name", "")))
    except (ET.ParseError, OSError, ValueError, ZeroDivisionError) as error:
        raise _unreadable(path, error) from error
    return found


def _seconds(text: str) -> Fraction:
    return Fraction(text.strip().removesuffix("s"))


def _read_otio(path: Path, fps: float) -> list[Shot]:
    otio = need("opentimelineio", "film", "an edit")
    adapter = "fcp_xml" if path.suffix.lower() == ".xml" else "otio_json"
    try:
        read = otio.adapters.read_from_file(str(path), adapter_name=adapter)
    except (otio.exceptions.OTIOError, *_MISREAD) as error:
        raise _unreadable(path, error) from error
    return [shot for track in _tracks(otio, read)[:1] for shot in _clips(track, fps)]


def _unreadable(path: Path, error: Exception) -> InputError:
    said = " ".join(str(error).split())
    return InputError(f"'{path}': expected an edit, but it cannot be read ({said:.120}); export it")


def _tracks(otio: Any, read: Any) -> list[Any]:  # noqa: ANN401
    """Video tracks of a timeline, or of the first one in a collection."""
    if not isinstance(read, otio.schema.Timeline):
        lines = read.find_children(descended_from_type=otio.schema.Timeline)
        read = lines[0] if lines else None
    return [] if read is None else list(read.video_tracks())


def _clips(track: Any, fps: float) -> list[Shot]:  # noqa: ANN401
    found = []
    for clip in track.find_clips():
        place = clip.transformed_time_range(clip.trimmed_range(), track)
        ends = [place.start_time, place.end_time_exclusive()]
        first, end = (round(when.to_seconds() * fps) for when in ends)
        found.append(Shot(first, end, clip.name or ""))
    return found


def _rate(fps: float) -> Fraction:
    """A rate as editors write it: whole, or a whole one times 1000 / 1001."""
    whole = round(fps * 1001 / 1000)
    if abs(whole * 1000 / 1001 - fps) < 1e-3 * fps and abs(round(fps) - fps) > 1e-6 * fps:
        return Fraction(whole * 1000, 1001)
    return Fraction(fps).limit_denominator(1001)


def _time(frames: int, step: Fraction) -> str:
    """Frames as seconds, over the rate's own denominator, as editors write it."""
    return f"{frames * step.numerator}/{step.denominator}s" if frames else "0s"


def _address(video: str) -> str:
    return Path(video).resolve().as_uri()
