"""How a project comes to be open: its video, and what stands for it where it is missing."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from zlib import crc32

from chromatrack.errors import InputError
from chromatrack.runs.reader import read_result
from chromatrack.studio.document import new_document
from chromatrack.studio.store import Project, is_project
from chromatrack.video.picture_order import PacketTable


@dataclass
class OpenVideo:
    """What is known of the project's video; path None: it is not to be found."""

    path: Path | None
    size: tuple[int, int]
    frames: int
    fps: float
    times: list[float] | None
    has_audio: bool
    table: PacketTable | None = None

    @property
    def is_exact(self) -> bool:
        """Whether times and number of frames are known, and not guessed from the header."""
        return self.times is not None

    @cached_property
    def _guessed(self) -> list[float]:
        return [round(n / self.fps, 4) for n in range(self.frames)]

    @cached_property
    def _rounded(self) -> list[float]:
        return [round(seconds, 4) for seconds in self.times or ()]

    def told_times(self) -> tuple[str, list[float]]:
        """Seconds of every frame as the client is told, and the key by which it knows them."""
        times = self._rounded if self.is_exact else self._guessed
        end = times[-1] if times else 0
        kind = "exact" if self.is_exact else "guess"
        return f"{kind}-{len(times)}-{end:g}-{crc32(str(self.path).encode()):x}", times


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
