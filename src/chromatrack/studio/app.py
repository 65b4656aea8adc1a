"""The web app: every address of the studio, and what it answers."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import Body, FastAPI, Query, Request, WebSocket
from fastapi import Path as ApiPath
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp
from starlette.websockets import WebSocketDisconnect

from chromatrack import __version__
from chromatrack.errors import BeyondEndError, ChromatrackError, OutputError, WorkerError
from chromatrack.studio import requests as ask
from chromatrack.studio import uploads
from chromatrack.studio.answers import JPEG, PNG, REFUSED
from chromatrack.studio.color_routes import add_color_routes
from chromatrack.studio.conflicts import StaleError
from chromatrack.studio.covers import Covers
from chromatrack.studio.demo_clip import write_demo
from chromatrack.studio.export_routes import add_export_routes
from chromatrack.studio.jobs import BusyError
from chromatrack.studio.manager import Studio
from chromatrack.studio.results import ids_png
from chromatrack.studio.scrubbing import OvertakenError, turned_away
from chromatrack.studio.security import Gate, TooLargeError
from chromatrack.studio.workers import StoppedJob

STATIC = Path(__file__).parent / "static"

Index = Annotated[int, Query(ge=0, lt=2**31)]
Known = Annotated[str | None, Query(max_length=100)]
OptionalInt = Annotated[int | None, Query(ge=0, lt=2**62)]


def make_app(studio: Studio, *, token: str, port: int) -> ASGIApp:
    """The studio as an ASGI app, behind its gate."""

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        await studio.start()
        try:
            yield
        finally:
            await studio.stop()

    app = FastAPI(
        title="Chromatrack studio",
        version=__version__,
        lifespan=life,
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
        responses=REFUSED,
    )
    _errors(app)
    _pages(app)
    _pictures(app, studio)
    _projects(app, studio)
    _work(app, studio)
    add_export_routes(app, studio)
    add_color_routes(app, studio)
    _events(app, studio)
    app.state.studio = studio
    return Gate(app, token=token, port=port)


def _errors(app: FastAPI) -> None:
    """Every error is one clear line, and the client's fault unless it is not."""

    def said(status: int, text: str, **more: object) -> JSONResponse:
        return JSONResponse({"error": " ".join(text.split()), **more}, status_code=status)

    async def refused(_: Request, error: Exception) -> Response:
        status = 422
        for kind, code in (
            (BeyondEndError, 404),
            (BusyError, 409),
            (StaleError, 409),
            (OvertakenError, 409),
            (StoppedJob, 409),
            (OutputError, 507),
            (WorkerError, 503),
        ):
            if isinstance(error, kind):
                status = code
                break
        return said(status, str(error))

    async def too_large(_: Request, error: Exception) -> Response:
        return said(413, str(error))

    async def invalid(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"] if part != "body")
        return said(422, f"{place or 'request'}: {first['msg']}")

    async def wrong(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return said(error.status_code, str(error.detail))

    async def failed(_: Request, error: Exception) -> Response:
        assert isinstance(error, OSError)
        return said(422, f"{error.filename or 'a file'}: {error.strerror or error}")

    app.add_exception_handler(ChromatrackError, refused)
    app.add_exception_handler(OSError, failed)
    app.add_exception_handler(TooLargeError, too_large)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, wrong)


def _pages(app: FastAPI) -> None:
    kinds = {"index.html": "text/html", "app.js": "text/javascript", "app.css": "text/css"}

    def page(name: str) -> Callable[[], Response]:
        def serve() -> Response:
            path = STATIC / name
            if not path.is_file():
                raise HTTPException(404, f"{name}: is not there")
            headers = {"cache-control": "no-cache"}
            return FileResponse(path, media_type=kinds[name], headers=headers)

        return serve

    for name in kinds:
        address = "/" if name == "index.html" else f"/{name}"
        app.get(address, include_in_schema=False)(page(name))


def _pictures(app: FastAPI, studio: Studio) -> None:
    def cached(request: Request, content: bytes, kind: str, *, seconds: int) -> Response:
        tag = f'"{hashlib.sha256(content).hexdigest()[:24]}"'
        headers = {"etag": tag, "cache-control": f"private, max-age={seconds}"}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(content, media_type=kind, headers=headers)

    @app.get("/api/state")
    async def state(times: Known = None, result: Known = None, color: Known = None) -> Response:
        """All that the page shows.

        times, result, color: the keys of what the page has already (`project.video.timesKey`,
        `project.result.key`, `project.color.result.key`): then `video.times`, the result's `cuts`,
        `reliability` and `present`, or the colours' `reliability`, are left out.
        """
        given = {"times": times, "result": result, "color": color}
        known = {name: key for name, key in given.items() if key}
        async with studio.lock:
            content = await asyncio.to_thread(_state_text, studio, known)
        return Response(content, media_type="application/json")

    @app.get("/api/recent/{key}", response_class=Response, responses=JPEG)
    async def recent(request: Request, key: Annotated[str, ApiPath(max_length=40)]) -> Response:
        """A small picture of a recent project, by its key in the list of them."""
        content = await asyncio.to_thread(studio.library.cover, key)
        if content is None:
            raise HTTPException(404, "there is no picture of this project")
        return cached(request, content, "image/jpeg", seconds=0)

    covers = Covers()

    @app.get("/api/frames/{index}", response_class=Response, responses=JPEG)
    async def frame(
        request: Request,
        index: int,
        width: Annotated[int | None, Query(ge=1, le=8192)] = None,
        v: Known = None,
        tab: Annotated[str, Query(max_length=40)] = "",
        seq: OptionalInt = None,
        rough: bool = False,
    ) -> Response:
        """A frame as JPEG, exactly the one that is asked for.

        width: at least so many pixels. v: names the video, so that the answer may be kept.
        tab, seq: of the requests of one tab, numbered upward, only the newest is answered: one that
        another overtook before its turn gets 409. rough: a frame near it will do, or the small copy
        of it, if that is quicker; the header x-frame says which one it is, x-small: 1 that it is of
        the small copy.
        """
        if not 0 <= index < 2**31:
            raise HTTPException(404, f"there is no frame {index}")
        turn = None if seq is None else (tab, seq)
        gone = asyncio.ensure_future(turned_away(request))
        try:
            found = await studio.frame(index, width, rough=rough, turn=turn, gone=gone)
        finally:
            gone.cancel()
        # Without a name for the video in the address it might be another's by then.
        seconds = 3600 if v and not rough else 0
        answer = cached(request, found.content, "image/jpeg", seconds=seconds)
        answer.headers["x-frame"] = str(found.number)
        if rough:
            answer.headers["cache-control"] = "no-store"
        elif studio.project is not None:
            answer.background = BackgroundTask(covers.keep, studio.project, found.content)
        if found.is_small:
            answer.headers["x-small"] = "1"
        return answer

    @app.get(
        "/api/masks/{index}",
        response_class=Response,
        responses={**PNG, 204: {"description": "nothing is tracked there"}},
    )
    async def mask(
        request: Request,
        index: int,
        of: Literal["result", "marks"] = "result",
        revision: OptionalInt = None,
    ) -> Response:
        content = None
        if 0 <= index < 2**31:
            content = await studio.mask(index, of)
        if content is None and of == "result" and 0 <= index < studio.opened()[1].frames:
            return Response(status_code=204)
        if content is None:
            raise HTTPException(404, f"there is no mask on frame {index}")
        is_settled = revision == studio.revision and studio.jobs.job is None
        return cached(request, content, "image/png", seconds=600 if is_settled else 0)

    @app.get("/api/tracks")
    async def tracks(revision: OptionalInt = None) -> Response:
        studio.opened()
        run = studio.run
        if run is None:
            return JSONResponse({"start": 0, "points": {}, "boxes": {}, "keypoints": {}})
        content = await asyncio.to_thread(lambda: run.tracks)
        return Response(content, media_type="application/json")

    @app.get("/api/pointer/{frame}")
    async def pointer(
        frame: int,
        x: Annotated[float, Query(allow_inf_nan=False)],
        y: Annotated[float, Query(allow_inf_nan=False)],
    ) -> dict[str, Any]:
        return await studio.looks.point(frame, (x, y))

    @app.post("/api/select", response_class=Response, responses=PNG)
    async def select(given: ask.Select) -> Response:
        inside = await studio.looks.select(given)
        content = await asyncio.to_thread(ids_png, inside.astype("uint8") * 255)
        return Response(content, media_type="image/png", headers={"cache-control": "no-store"})


def _state_text(studio: Studio, known: dict[str, str]) -> bytes:
    import json

    from chromatrack.json_text import strict

    return json.dumps(strict(studio.state(known)), separators=(",", ":"), allow_nan=False).encode()


def _projects(app: FastAPI, studio: Studio) -> None:
    @app.post("/api/actions")
    async def act(action: Annotated[ask.Action, Body()]) -> Response:
        try:
            revision, key = await studio.act(action)
        except StaleError as error:
            text = {"error": str(error), "revision": studio.revision}
            return JSONResponse(text, status_code=409)
        return JSONResponse({"revision": revision} | ({} if key is None else {"key": key}))

    @app.post("/api/undo")
    async def undo(given: ask.Seen | None = None) -> dict[str, Any]:
        return await studio.turn("undo", given.revision if given else None)

    @app.post("/api/redo")
    async def redo(given: ask.Seen | None = None) -> dict[str, Any]:
        return await studio.turn("redo", given.revision if given else None)

    @app.post("/api/open")
    async def open_(given: ask.Open) -> dict[str, Any]:
        if "\0" in given.path:
            raise HTTPException(422, "path: expected a path, got one with a zero byte")
        return {"revision": await studio.open(Path(given.path))}

    @app.post("/api/close")
    async def close() -> dict[str, Any]:
        return {"revision": await studio.close()}

    @app.post("/api/upload", openapi_extra=uploads.FORM)
    async def upload(request: Request) -> dict[str, Any]:
        studio.jobs.check_free()
        home = studio.library.home
        await asyncio.to_thread(uploads.check_room, home, request.headers.get("content-length"))
        video: Path | None = None

        def place(name: str) -> Path:
            nonlocal video
            shown, file = uploads.names_of(name)
            video = studio.library.new_folder(shown) / file
            return video

        try:
            sent = await uploads.receive(request, place)
            shown, _ = uploads.names_of(sent.name)
            return {"revision": await studio.open_new(sent.path.parent, sent.path, name=shown)}
        except BaseException:
            if video is not None:
                await asyncio.to_thread(uploads.discard, video)
            raise

    @app.post("/api/demo")
    async def demo() -> dict[str, Any]:
        studio.jobs.check_free()
        folder = studio.library.home / "demo"
        video = folder / "demo.mp4"
        await asyncio.to_thread(write_demo, video)
        return {"revision": await studio.open_new(folder, video, name="demo")}


def _work(app: FastAPI, studio: Studio) -> None:
    @app.post("/api/track", status_code=202)
    async def track(given: ask.Track | None = None) -> dict[str, Any]:
        async with studio.lock:
            studio.jobs.track(given.from_ if given else None, given.to if given else None)
        return {"revision": studio.revision}

    @app.post("/api/stop")
    async def stop() -> dict[str, Any]:
        studio.jobs.stop()
        return {"revision": studio.revision}

    @app.post("/api/copy-video", status_code=202)
    async def copy() -> dict[str, Any]:
        """Copy the video into the project's folder; progress comes as events of job "copy"."""
        async with studio.lock:
            studio.jobs.copy()
        return {"revision": studio.revision}

    @app.post("/api/place")
    async def place(given: ask.Place) -> dict[str, Any]:
        """Keep where one is, for when the project is opened again."""
        project, _ = studio.opened()
        await asyncio.to_thread(project.keep_place, given.frame, given.loop)
        return {"revision": studio.revision}

    @app.post("/api/batch")
    async def batch(given: ask.Batch) -> dict[str, Any]:
        """Write a manifest of `chromatrack batch` that does the same to other videos.

        The answer: its path, where to fetch it, its first lines, the command, what is left out.
        """
        async with studio.lock:
            return await studio.colors.batch(given, studio.jobs)


def _events(app: FastAPI, studio: Studio) -> None:
    @app.websocket("/api/events")
    async def events(socket: WebSocket) -> None:
        await socket.accept()
        queue = studio.hub.listen()
        try:
            if socket.query_params.get("since") != str(studio.revision):
                await socket.send_json({"type": "state", "revision": studio.revision})
            reading = asyncio.ensure_future(_until_gone(socket))
            while not reading.done():
                next_ = asyncio.ensure_future(queue.get())
                await asyncio.wait({next_, reading}, return_when=asyncio.FIRST_COMPLETED)
                if not next_.done():
                    next_.cancel()
                    break
                await socket.send_json(next_.result())
        except (WebSocketDisconnect, RuntimeError):
            pass  # it is gone
        finally:
            studio.hub.leave(queue)


async def _until_gone(socket: WebSocket) -> None:
    """Read what a client sends, which means nothing, until it goes."""
    with suppress(WebSocketDisconnect, RuntimeError, KeyError):
        while True:
            await socket.receive_text()
