"""What the model is asked about the frame that is looked at."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from chromatrack.errors import InputError
from chromatrack.studio import requests as ask
from chromatrack.studio.actions import read_png
from chromatrack.studio.jobs import Jobs
from chromatrack.studio.opening import OpenVideo
from chromatrack.studio.scrubbing import Glances
from chromatrack.studio.store import Project
from chromatrack.studio.workers import Worker


class Host(Protocol):
    """What it needs of the studio."""

    model: Worker
    jobs: Jobs

    @property
    def video(self) -> OpenVideo | None: ...
    def opened(self) -> tuple[Project, OpenVideo]: ...
    def watched(self) -> tuple[Project, OpenVideo, Path]: ...
    async def ask(self, worker: Worker, request: str, /, **given: Any) -> Any: ...  # noqa: ANN401


class ModelDesk:
    """Asks the model about frames of the project that is open."""

    def __init__(self, studio: Host) -> None:
        """Nothing was asked yet."""
        self._studio = studio
        self._knows_table: tuple[int | None, Path] | None = None
        self._glances = Glances(self._glance)

    def shown(self, path: Path, index: int) -> None:
        """A frame is looked at: it may be asked about next."""
        self._glances.shown(path, index)

    def left(self) -> None:
        """Another frame is asked for."""
        self._glances.left()

    async def _glance(self, path: Path, index: int) -> None:
        """Have the model look at a frame before it is asked about it, if nothing else is done."""
        studio = self._studio
        video = studio.video
        if studio.jobs.job is None and video is not None and video.path == path and video.is_exact:
            who = studio.model.pid, path
            table = None if who == self._knows_table else video.table
            await studio.ask(studio.model, "glance", video=str(path), frame=index, table=table)
            self._knows_table = who

    async def select(self, given: ask.Select) -> np.ndarray:
        """`(H, W)` bool: what is meant by clicks inside and outside of it."""
        _, video, path = self._studio.watched()
        strokes = [one.model_dump() for one in given.strokes]
        self._check_places(given.frame, (xy for one in strokes for xy in one["places"]))
        base = given.base and await asyncio.to_thread(read_png, given.base, video.size)
        asked = {"video": str(path), "frame": given.frame, "strokes": strokes, "base": base}
        return await self._studio.ask(self._studio.model, "select", **asked)

    async def point(self, frame: int, at: tuple[float, float]) -> dict[str, Any]:
        """Where a pixel of a frame copies from: marked frames, and the ones just before."""
        project, _, path = self._studio.watched()
        self._check_places(frame, (at,))
        marked = sorted(int(number) for number in project.document["marks"])
        return await self._studio.ask(
            self._studio.model, "point", video=str(path), frame=frame, at=at, marked=marked
        )

    def _check_places(self, frame: int, places: Iterable[tuple[float, float]]) -> None:
        _, video = self._studio.opened()
        height, width = video.size
        for x, y in places:
            if not (-0.5 <= x <= width - 0.5 and -0.5 <= y <= height - 0.5):
                raise InputError(f"expected places in the {width}x{height} frame, got {x}, {y}")
        if not 0 <= frame < video.frames:
            raise InputError(f"frame: expected a number from 0 to {video.frames - 1}, got {frame}")
