"""The addresses of the colour flow."""

from __future__ import annotations

import asyncio
import io
from typing import Annotated, Any, Protocol

import numpy as np
from fastapi import FastAPI, Query, Request
from fastapi.responses import Response
from PIL import Image
from starlette.exceptions import HTTPException

from chromatrack.studio import requests as ask
from chromatrack.studio.answers import JPEG, PNG
from chromatrack.studio.color_desk import ColorDesk, View
from chromatrack.studio.jobs import Jobs
from chromatrack.studio.scrubbing import turned_away

Width = Annotated[int | None, Query(ge=1, le=8192)]
Text = Annotated[str | None, Query(max_length=100)]
Saturation = Annotated[float, Query(ge=0, le=2, allow_inf_nan=False)]


class Host(Protocol):
    """What these addresses need of the studio."""

    revision: int
    lock: asyncio.Lock
    colors: ColorDesk
    jobs: Jobs


def add_color_routes(app: FastAPI, studio: Host) -> None:
    """Give an app the addresses below /api/color, and /api/colorize."""

    @app.post("/api/colorize", status_code=202)
    async def colorize(given: ask.Track | None = None) -> dict[str, Any]:
        """Colour frames [from, to) by the references; progress comes as events of job "color"."""
        async with studio.lock:
            studio.jobs.colorize(given.from_ if given else None, given.to if given else None)
        return {"revision": studio.revision}

    @app.get("/api/color/frames/{index}", response_class=Response, responses=JPEG)
    async def frame(
        index: int,
        width: Width = None,
        view: View = "color",
        saturation: Saturation = 1.0,
        key: Text = None,
    ) -> Response:
        """A coloured frame as JPEG; 404 where it is not coloured (yet).

        view: its colours, how strong they are, or how sure. key: of the result, so that the
        answer may be kept.
        """
        if not 0 <= index < 2**31:
            raise HTTPException(404, f"there is no frame {index}")
        try:
            content = await studio.colors.frame(index, width, view, saturation)
        except LookupError as error:
            raise HTTPException(404, str(error.args[0])) from error
        is_settled = studio.jobs.job is None and key == studio.colors.key()
        keep = "private, max-age=600" if is_settled else "no-store"
        return Response(content, media_type="image/jpeg", headers={"cache-control": keep})

    @app.get("/api/color/reference/{frame}", response_class=Response, responses=JPEG)
    async def reference(
        request: Request,
        frame: int,
        width: Width = None,
        saturation: Saturation = 1.0,
        revision: Text = None,
        tab: Annotated[str, Query(max_length=64)] = "",
        seq: Annotated[int | None, Query(ge=0)] = None,
    ) -> Response:
        """The reference on a frame as JPEG, as it will be used: strokes spread over the frame.

        tab, seq: who asks, and the number of the request: of those of a tab for a frame that wait,
        only the newest is answered; one that another overtook gets 409.
        """
        turn = None if seq is None else (tab, seq)
        gone = asyncio.ensure_future(turned_away(request))
        try:
            picture = await studio.colors.shown_reference(frame, saturation, turn=turn, gone=gone)
        except LookupError as error:
            raise HTTPException(404, str(error.args[0])) from error
        finally:
            gone.cancel()
        content = await asyncio.to_thread(_jpeg, picture, width)
        return Response(content, media_type="image/jpeg", headers={"cache-control": "no-store"})

    @app.get("/api/textures/{number}", response_class=Response, responses=PNG)
    async def texture(number: int, v: Text = None) -> Response:
        """A placed picture as PNG, as it was given."""
        content = await asyncio.to_thread(studio.colors.texture, number)
        keep = "private, max-age=600" if v else "no-store"
        return Response(content, media_type="image/png", headers={"cache-control": keep})

    @app.get("/api/textures/{number}/placed", response_class=Response, responses=JPEG)
    async def placed(number: int, width: Width = None) -> Response:
        """Its frame with the picture on it, as JPEG."""
        content = await studio.colors.textured(number, width)
        return Response(content, media_type="image/jpeg", headers={"cache-control": "no-store"})

    @app.get("/api/color/suggest")
    async def suggest() -> dict[str, Any]:
        """Which frame to colour next, why, and others that come after it."""
        return await studio.colors.suggest()


def _jpeg(rgb: np.ndarray, width: int | None) -> bytes:
    image, out = Image.fromarray(rgb), io.BytesIO()
    if width is not None and width < image.width:
        image = image.resize((width, max(1, round(image.height * width / image.width))))
    image.save(out, format="JPEG", quality=90, subsampling=0)
    return out.getvalue()
