"""How a project comes to be open: its video, and what stands for it where it is missing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chromatrack.errors import InputError
from chromatrack.runs.reader import read_result
from chromatrack.studio.document import new_document
from chromatrack.studio.store import Project, is_project


@dataclass
class OpenVideo:
    """What is known of the project's video; path None: it is not to be found."""

    path: Path | None
    size: tuple[int, int]
    frames: int
    fps: float
    times: list[float] | None
    has_audio: bool


def project_of(folder: Path, reference: dict[str, Any], name: str | None) -> Project:
    """The project of a video in a folder: as it is there, or a new one.

    Raises:
        InputError: the folder has the project of another video.
    """
    if is_project(folder):
        project = Project(folder)
        if project.document["video"]["digest"] == reference["digest"]:
            return project
        project.close()
        raise InputError(f"{folder}: is the project of another video; rename one of them")
    shown = name or Path(reference["name"]).stem or "video"
    return Project(folder, new_document(shown, reference))


def missing_video(folder: Path) -> OpenVideo:
    """What can be said of a video that is not to be found: what the run says, if there is one."""
    try:
        result = read_result(folder)
    except InputError:
        return OpenVideo(None, (1, 1), 1, 24.0, [0.0], False)
    times = result.times.tolist()
    fps = (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else 24.0
    times = [n / fps for n in range(result.frames[0].index)] + times
    return OpenVideo(None, result.size, len(times), fps, times, False)
