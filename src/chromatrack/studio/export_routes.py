"""The addresses of exports: what is there already, how one looks, writing it, fetching it."""

from __future__ import annotations

import asyncio
import io
import re
import zipfile
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Annotated, Any

from fastapi import FastAPI, Query
from fastapi.responses import FileResponse, JSONResponse, Response
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException

from chromatrack.runs.listed_folder import listed_files
from chromatrack.studio import requests as ask
from chromatrack.studio.answers import PICTURE
from chromatrack.studio.document import saturation_of
from chromatrack.studio.export_list import (
    COLORED,
    TEXTURED,
    export_path,
    free_path,
    is_older,
    made_at,
)
from chromatrack.studio.exports import object_files, preview
from chromatrack.studio.manager import Studio

Name = Annotated[str, Query(max_length=40)]
OptionalInt = Annotated[int | None, Query(ge=0, lt=2**62)]


def add_export_routes(app: FastAPI, studio: Studio) -> None:
    """Give an app the addresses /api/export..."""

    @app.get("/api/export-place")
    async def place(format: Name) -> dict[str, Any]:
        """What is there already where a format goes.

        The answer: its name, when it was made (seconds since 1970; null: it is not there), whether
        tracks were made after it, the name that one beside it would get, and what a folder holds
        for each object.
        """
        project, _ = studio.opened()
        output = export_path(project.folder, format)
        made = await asyncio.to_thread(made_at, output)
        older = await asyncio.to_thread(is_older, project.folder, format)
        free = free_path(output).name
        files: list[str] = []
        if studio.run is not None:
            shown = _shown(project.document)
            files = await asyncio.to_thread(object_files, project.folder, format, **shown)
        told = {"name": output.name, "made": made, "older": older, "free": free}
        return told | {"files": files}

    @app.post("/api/export", status_code=202)
    async def export(given: ask.Export) -> dict[str, Any]:
        async with studio.lock:
            studio.jobs.export(given)
        return {"revision": studio.revision}

    @app.get("/api/exports/{name}", response_class=FileResponse)
    async def exported(name: str) -> Response:
        path = studio.jobs.exports.get(name)
        if path is None or not path.exists():
            raise HTTPException(404, "there is no such export; export again")
        project, _ = studio.opened()
        stem = re.sub(r"[^\w.-]+", "-", project.document["name"]).strip("-.") or "clip"
        if path.is_file():
            return FileResponse(path, filename=f"{stem}-{path.name}")
        packed = await asyncio.to_thread(_zipped, path)
        gone = BackgroundTask(lambda: packed.unlink(missing_ok=True))
        return FileResponse(packed, filename=f"{stem}-{path.name}.zip", background=gone)

    @app.get("/api/export-preview", responses=PICTURE)
    async def export_preview(
        format: Name,
        startNumber: OptionalInt = None,
        frame: OptionalInt = None,
        markDoubtful: bool = True,
    ) -> Response:
        if format == TEXTURED:
            return Response(await studio.colors.textured(None, 1280), media_type="image/jpeg")
        if format == COLORED:
            return Response(await studio.colors.preview(frame), media_type="image/jpeg")
        found = await asyncio.to_thread(_preview, studio, format, startNumber, frame, markDoubtful)
        if isinstance(found, dict):
            return JSONResponse(found)
        out = io.BytesIO()
        found.thumbnail((1280, 1280))
        found.save(out, format="PNG", compress_level=2)
        return Response(out.getvalue(), media_type="image/png")


def _shown(document: dict[str, Any]) -> dict[str, Any]:
    """What things are called, what colours they have, and which of them are exported."""
    things = document["objects"]
    return {
        "names": {one["key"]: one["name"] for one in things},
        "colors": {one["key"]: one["color"] for one in things},
        "keep": [one["key"] for one in things if one["visible"]],
    }


def _preview(
    studio: Studio,
    name: str,
    start_number: int | None,
    frame: int | None,
    mark_doubtful: bool,
) -> Any:  # noqa: ANN401
    project, video = studio.opened()
    if studio.run is None:
        raise HTTPException(422, "export: expected results, found none; track first")
    source = None if video.path is None else str(video.path)
    return preview(
        project.folder,
        name,
        **_shown(project.document),
        video=source,
        start_number=start_number,
        frame=frame,
        saturation=saturation_of(project.document),
        mark_doubtful=mark_doubtful,
    )


def _zipped(folder: Path) -> Path:
    """What the last export wrote into a folder, and nothing that others put there."""
    with NamedTemporaryFile(suffix=".zip", delete=False) as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as packed:
            for path in listed_files(folder):
                packed.write(path, path.relative_to(folder))
        return Path(file.name)
