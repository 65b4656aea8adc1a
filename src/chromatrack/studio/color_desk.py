"""The colours of the open project: what the page is told and shown of them."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, Protocol

from chromatrack.errors import InputError, OutputError
from chromatrack.studio import requests as ask
from chromatrack.studio import textures
from chromatrack.studio.batch_hook import write_batch
from chromatrack.studio.color_marks import references, references_key
from chromatrack.studio.color_store import Colors, ColorWriter, has_earlier, still_path
from chromatrack.studio.document import saturation_of
from chromatrack.studio.jobs import Jobs
from chromatrack.studio.scrubbing import OvertakenError, Shown, Turn, Turns
from chromatrack.studio.store import Project
from chromatrack.studio.workers import Worker

View = Literal["color", "saturation", "confidence"]


class Host(Protocol):
    """What colours need of the studio."""

    decoder: Worker
    model: Worker

    def opened(self) -> tuple[Project, Any]: ...
    def watched(self) -> tuple[Project, Any, Path]: ...
    async def frame(self, index: int, width: int | None) -> Shown: ...
    async def ask(self, worker: Worker, request: str, /, **given: Any) -> Any: ...  # noqa: ANN401


class ColorDesk:
    """Looks at the colours of the project that is open."""

    def __init__(self, studio: Host) -> None:
        """No project is open yet."""
        self._studio = studio
        self._colors: Colors | None = None
        self._turns = Turns()

    def take(self, folder: Path) -> None:
        """Another project was opened."""
        self._colors = Colors(folder)

    def _known(self) -> Colors:
        if self._colors is None:
            raise InputError("no project is open; open a video first")
        self._colors.refresh()
        return self._colors

    def state(self, known: str | None) -> dict[str, Any]:
        """Its part of the state. known: key of the result that the client has already."""
        project, _ = self._studio.opened()
        document = project.document
        told = self._known().told(references_key(document), wanted=self._part())
        if told is not None and told["key"] == known:
            del told["reliability"]
        return {
            "references": {
                str(frame): {
                    "still": one["still"] is not None,
                    "copied": one.get("copied") is not None,
                    "stillKey": one["still"],
                    "strokes": one["strokes"],
                }
                for frame, one in references(document).items()
            },
            "result": told,
        }

    async def bring_back(self) -> bool:
        """Have the colours again that these references had given; whether there are any."""
        project, _ = self._studio.opened()
        key = references_key(project.document)
        if not has_earlier(project.folder, key):
            return False
        return await asyncio.to_thread(_bring_back, project.folder, key)

    def _part(self) -> tuple[int, int]:
        """Frames [first, after) that are to be coloured."""
        project, video = self._studio.opened()
        chosen = project.document["settings"]["range"] or (0, video.frames)
        return int(chosen[0]), min(video.frames, int(chosen[1]))

    def key(self) -> str:
        """Key of the result as it is on disk now."""
        project, _ = self._studio.opened()
        return self._known().key(references_key(project.document))

    async def frame(self, index: int, width: int | None, view: View, saturation: float) -> bytes:
        """A coloured frame as JPEG. Raises LookupError where it is not coloured."""
        self._studio.watched()
        picture = self._known().picture(index)
        if picture is None:
            raise LookupError(f"frame {index} is not coloured yet")
        return await self._studio.ask(
            self._studio.decoder,
            "colored",
            index=index,
            width=width,
            picture=str(picture),
            view=view,
            saturation=saturation,
        )

    async def preview(self, frame: int | None = None) -> bytes:
        """A coloured frame: this one if it is, else one from the middle of those that are."""
        rows = sorted(self._known().rows)
        if not rows:
            raise InputError("coloured: expected coloured frames, found none; colour some first")
        project, _ = self._studio.opened()
        saturation = saturation_of(project.document)
        shown = frame if frame in rows else rows[len(rows) // 2]
        return await self.frame(shown, 1280, "color", saturation)

    async def shown_reference(
        self,
        frame: int,
        saturation: float,
        *,
        turn: Turn | None = None,
        gone: asyncio.Future[None] | None = None,
    ) -> Any:  # noqa: ANN401
        """The reference on a frame as it is looked at while it is painted.

        turn, gone: the model spreads colours for one request of a frame at a time, then for the
        newest of those that wait.

        Raises:
            LookupError: there is none. OvertakenError: a newer request of the same tab for the same
                frame came before its `turn`, or nobody waits for it any more, as `gone` said.
        """
        async with self._turns.of(None if turn is None else (f"{turn[0]} {frame}", turn[1])):
            if gone is not None and gone.done():
                raise OvertakenError("nobody waits for it any more")
            return await self.reference(frame, saturation)

    async def reference(self, frame: int, saturation: float = 1.0) -> Any:  # noqa: ANN401
        """`(H, W, 3)` uint8: the reference on a frame. Raises LookupError where there is none."""
        project, _, path = self._studio.watched()
        given = references(project.document).get(frame)
        if given is None:
            raise LookupError(f"no colours are given on frame {frame}")
        folder, video = str(project.folder), str(path)
        return await self._studio.ask(
            self._studio.model,
            "color_reference",
            folder=folder,
            video=video,
            frame=frame,
            given=given,
            saturation=saturation,
        )

    def texture(self, number: int) -> bytes:
        """A placed picture as PNG. Raises InputError where there is none."""
        project, _ = self._studio.opened()
        found = textures.texture_of(project.document, number)
        return still_path(project.folder, found["picture"]).read_bytes()

    async def textured(self, number: int | None, width: int | None) -> bytes:
        """The frame of a placed picture, or of the first one, with it on, as JPEG."""
        project, video, _ = self._studio.watched()
        every = textures.told(project.document)
        if number is None and not every:
            raise InputError("textured: expected a placed picture, got none; place one first")
        found = textures.texture_of(project.document, every[0]["id"] if number is None else number)
        frame = (await self._studio.frame(found["frame"], width)).content
        return await asyncio.to_thread(textures.placed, frame, project.folder, found, video.size[1])

    async def batch(self, given: ask.Batch, jobs: Jobs) -> dict[str, Any]:
        """Write a manifest for other videos, the project's references with it."""
        project, _ = self._studio.opened()
        pictures = {f: await self.reference(f) for f in references(project.document)}
        told = await asyncio.to_thread(
            write_batch,
            project.folder,
            project.document,
            given.videos,
            pictures,
            kind=given.format,
        )
        return told | {"download": jobs.exported(Path(told["path"]))}

    async def suggest(self) -> dict[str, Any]:
        """Which frame of the chosen part to colour next."""
        project, video, path = self._studio.watched()
        part = self._part()
        told = self._known().told(references_key(project.document), wanted=part)
        is_now = told is not None and not told["stale"]
        given = sorted(references(project.document))
        if set(range(*part)) <= set(given):
            where = "" if part == (0, video.frames) else f" of {part[0]}-{part[1] - 1}"
            raise InputError(
                f"suggest: every frame{where} has colours of its own; there is none to add"
            )
        return await self._studio.ask(
            self._studio.model,
            "color_suggest",
            video=str(path),
            part=part,
            references=given,
            doubtful=told["lookAt"] if told is not None and is_now else [],
        )


def _bring_back(folder: Path, key: str) -> bool:
    with suppress(OutputError):  # they can be made again
        writer = ColorWriter(folder)
        try:
            return writer.bring_back(key) > 0
        finally:
            writer.close()
    return False
