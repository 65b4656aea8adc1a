"""`chromatrack shots`: where the shots of a film begin.

Nothing heavy is imported before it runs.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import OmitArgPrefixes, arg

from chromatrack.cli.options import AS_IT_IS, SourceOptions
from chromatrack.cli.track import Video, counted

if TYPE_CHECKING:
    from chromatrack.formats.shots import Shot

MOST_LINES = 20
"""Transitions that take a line each at the end."""


def shots(
    video: Video,
    /,
    *,
    output: Annotated[Path | None, arg(aliases=["-o"], metavar="PATH")] = None,
    read: Annotated[Path | None, arg(metavar="CSV|EDL|FCPXML")] = None,
    reading: OmitArgPrefixes[SourceOptions] = AS_IT_IS,
) -> str:
    """List the shots of a film: cuts, dissolves and fades.

    Args:
        video: video file, folder or glob of images.
        output: shots.csv to look at and edit, or an edit list: .edl, .fcpxml. None: printed.
        read: take the shots from this list (.csv, .edl, .fcpxml, .xml, .otio) instead of looking
            for them: to check it, or to write it in another form.
    """
    from chromatrack.cli.progress import frame_bar
    from chromatrack.formats.shot_table import shot_table
    from chromatrack.runs.shots import check_shot_output, find_shots, listed_shots, write_shot_list

    opened = reading.of(video)
    if output is not None:
        check_shot_output(output, reads=[video, *([read] if read else [])])
    with frame_bar() as report:
        if read is None:
            found = find_shots(opened, progress=report)
        else:
            found = listed_shots(read, opened, progress=report)
    if output is None:
        return shot_table(found.shots, found.times).removesuffix("\n")
    for note in write_shot_list(found, opened, output):
        warnings.warn(note, stacklevel=2)
    return "\n".join([f"{_counted(found.shots)}: {output}", *_slow(found.shots)])


def _counted(found: tuple[Shot, ...]) -> str:
    frames = found[-1].end
    kinds = [shot.begins for shot in found[1:]]
    told = [
        counted(kinds.count(kind), kind) for kind in ("cut", "dissolve", "fade") if kind in kinds
    ]
    return f"{counted(len(found), 'shot')} in {counted(frames, 'frame')}" + (
        f" ({', '.join(told)})" if told else ""
    )


def _slow(found: tuple[Shot, ...]) -> list[str]:
    """A line for each dissolve and fade, which are less sure than cuts."""
    lines = []
    for number, shot in enumerate(found, start=1):
        whole = shot.whole or (shot.first, shot.end)
        before = found[number - 2] if number > 1 else None
        start = (before.whole or (before.first, before.end))[1] if before else shot.first
        if shot.begins in ("dissolve", "fade"):
            lines.append(f"{shot.begins} into shot {number}: frames {start} to {whole[0] - 1}")
    last = found[-1]
    if last.ends == "fade" and last.whole is not None:
        lines.append(f"fade at the end: frames {last.whole[1]} to {last.end - 1}")
    if len(lines) <= MOST_LINES:
        return lines
    return [*lines[:MOST_LINES], f"and {len(lines) - MOST_LINES} more dissolves and fades"]
