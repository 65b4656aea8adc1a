"""The studio itself: one open project, what works for it, and who is told.

Everything here runs in the event loop, one change at a time; what takes long is done by the two
workers, or in a thread.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from chromatrack import __version__
from chromatrack.errors import ChromatrackError, InputError, WorkerError
from chromatrack.studio import decoder, model_worker, textures
from chromatrack.studio import requests as ask
from chromatrack.studio.actions import apply
from chromatrack.studio.color_desk import ColorDesk
from chromatrack.studio.conflicts import Changes, StaleError, touched
from chromatrack.studio.document import Document, next_color, only_frame
from chromatrack.studio.earlier import bring_back
from chromatrack.studio.events import Hub, News
from chromatrack.studio.export_list import all_formats
from chromatrack.studio.jobs import BusyError, Jobs, next_step
from chromatrack.studio.library import Library, kind_of
from chromatrack.studio.marks import Difference
from chromatrack.studio.model_desk import ModelDesk
from chromatrack.studio.opening import OpenVideo, missing_video, project_of
from chromatrack.studio.results import (
    SavedRun,
    ids_png,
    mask_file_png,
    news_of,
    read_run,
    result_state,
    stamp,
)
from chromatrack.studio.run_documents import document_of_run
from chromatrack.studio.scrubbing import Askers, Shown, Turn, Turns
from chromatrack.studio.small_copy_desk import SmallCopyDesk
from chromatrack.studio.store import Project, find_video, video_reference
from chromatrack.studio.workers import Worker


class Studio:
    """What the web app talks to."""

    def __init__(self, home: Path, *, small_copies: bool = True) -> None:
        """home: the studio's own folder. `start` begins its work."""
        self.library, self.hub, self.lock = Library(home), Hub(), asyncio.Lock()
        self.revision = int(time.time())  # grows over restarts too
        self.project: Project | None = None
        self.video: OpenVideo | None = None
        self.run: SavedRun | None = None
        self.jobs = Jobs(self)
        self.colors = ColorDesk(self)
        self.looks = ModelDesk(self)
        self._stamp: tuple[int, int] | None = None
        self._stale: tuple[int, Difference | None] = (-1, None)
        self._changes = Changes()
        self._token = 0
        self._turns = Turns()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.decoder = self._worker("decoder", decoder.main)
        self.model = self._worker("model", model_worker.main)
        self._askers = Askers(self.decoder.stop)
        self.small = SmallCopyDesk(self, is_on=small_copies)

    def _worker(self, which: str, main: Callable[..., None]) -> Worker:
        def dead(message: str) -> None:
            self._call(self._on_death, which, message)

        def news(told: dict[str, Any]) -> None:
            self._call(self._on_news, told)

        return Worker(which, main, on_news=news, on_death=dead)

    def _call(self, function: Callable[..., None], *given: Any) -> None:  # noqa: ANN401
        """Have the event loop call something, from any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function, *given)

    async def start(self) -> None:
        """Begin the workers."""
        self._loop = asyncio.get_running_loop()
        await asyncio.to_thread(self.decoder.start)
        await asyncio.to_thread(self.model.start)

    async def stop(self) -> None:
        """End them, and let the project go."""
        await asyncio.to_thread(self.small.close)
        await asyncio.to_thread(self.model.close)
        await asyncio.to_thread(self.decoder.close)
        if self.project is not None:
            self.project.close()
        self.project = None

    async def ask(self, worker: Worker, request: str, /, **given: Any) -> Any:  # noqa: ANN401
        """A worker's answer."""
        asked: Future[Any] = await asyncio.to_thread(worker.ask, request, **given)
        return await asyncio.wrap_future(asked)

    # -- news ----------------------------------------------------------------------------------

    def changed(self) -> int:
        """Something of project or results has changed: all are told; returns the revision."""
        self.revision += 1
        self.small.look()
        self.hub.tell({"type": "state", "revision": self.revision})
        return self.revision

    def _on_news(self, told: News) -> None:
        if told["type"] == "times" and told["token"] == self._token and self.video is not None:
            self.video.table = told["table"]
            if self.video.times is None:
                self.video.times = told["times"]
                self.video.frames = len(told["times"])
                self.changed()
        elif told["type"] == "progress":
            self.jobs.on_progress(told)

    def _on_death(self, which: str, message: str) -> None:
        self.hub.tell({"type": "worker", "which": which, "message": f"{message}; nothing is lost"})
        if which == "decoder" and self.video is not None and self.video.path is not None:
            again = asyncio.ensure_future(self._reopen())
            again.add_done_callback(lambda task: task.exception())

    async def _reopen(self) -> None:
        if self.video is not None and self.video.path is not None:
            self._token += 1
            await self.ask(self.decoder, "open", source=str(self.video.path), token=self._token)

    # -- projects ------------------------------------------------------------------------------

    async def open(self, path: Path, *, name: str | None = None) -> int:
        """Open a project, a run or a video.

        Raises:
            InputError, VideoError: it cannot be opened; what was open stays open.
        """
        async with self.lock:
            if self.jobs.job is not None:
                raise BusyError("something is being worked on; stop it first")
            kind, place = await asyncio.to_thread(kind_of, path)
            if kind == "video":
                await self._open_video(place, self.library.project_folder(place), name)
            else:
                await self._open_folder(place, is_run=kind == "run")
            assert self.project is not None
            shown = self.project.document["name"]
            await asyncio.to_thread(self.library.note, self.project.folder, shown)
            return self.changed()

    async def open_new(self, folder: Path, video: Path, *, name: str) -> int:
        """Open a video that lies in a project folder of the studio's own."""
        async with self.lock:
            await self._open_video(video, folder, name)
            await asyncio.to_thread(self.library.note, folder, name)
            return self.changed()

    async def _open_video(self, path: Path, folder: Path, name: str | None) -> None:
        reference = await asyncio.to_thread(video_reference, path)
        try:
            opened = await self._opened(path)
            await self._take(folder, opened, lambda: project_of(folder, reference, name))
        except ChromatrackError:
            await self._reopen()
            raise

    async def _open_folder(self, folder: Path, *, is_run: bool) -> None:
        if self.project is not None and self.project.folder.resolve() == folder.resolve():
            return
        document = await asyncio.to_thread(document_of_run, folder) if is_run else None
        project = await asyncio.to_thread(Project, folder, document)
        try:
            path = await asyncio.to_thread(find_video, project.document, folder)
            opened = missing_video(folder) if path is None else await self._opened(path)
            await self._take(folder, opened, lambda: project)
        except BaseException:
            project.close()
            await self._reopen()
            raise

    async def _opened(self, path: Path) -> OpenVideo:
        self._token += 1
        found: decoder.Opened = await self.ask(
            self.decoder, "open", source=str(path), token=self._token
        )
        return OpenVideo(
            path,
            (found.height, found.width),
            *(found.frames, found.fps, found.times, found.has_audio, found.table),
        )

    async def _take(self, folder: Path, opened: OpenVideo, make: Callable[[], Project]) -> None:
        """Put another project in the place of the open one."""
        if self.project is not None and self.project.folder.resolve() == folder.resolve():
            self.video = opened
            return
        project = await asyncio.to_thread(make)
        if self.project is not None:
            self.project.close()
        self.project, self.video = project, opened
        self.run, self._stamp, self._changes = None, None, Changes()
        self.jobs.forget()
        await asyncio.to_thread(self.colors.take, folder)
        await self.read_results()

    async def close(self) -> int:
        """Close the open project, if there is one."""
        async with self.lock:
            if self.jobs.job is not None:
                raise BusyError("something is being worked on; stop it first")
            if self.project is not None:
                self.project.close()
                await self.ask(self.decoder, "close")
            self.project, self.video, self.run, self._stamp = None, None, None, None
            return self.changed()

    async def read_results(self) -> None:
        """Read the run in the project's folder anew, if it changed."""
        assert self.project is not None
        found = await asyncio.to_thread(stamp, self.project.folder)
        if found != self._stamp:
            try:
                self.run = await asyncio.to_thread(read_run, self.project.folder)
            except InputError as error:
                self.run = None
                self.hub.tell({"type": "failed", "kind": "open", "message": str(error)})
            self._stamp = found
        self._stale = (-1, None)

    def opened(self) -> tuple[Project, OpenVideo]:
        """The open project. Raises InputError if there is none."""
        if self.project is None or self.video is None:
            raise InputError("no project is open; open a video first")
        return self.project, self.video

    def watched(self) -> tuple[Project, OpenVideo, Path]:
        """The same with its video. Raises InputError if that is missing."""
        project, video = self.opened()
        if video.path is None:
            name = project.document["video"]["name"]
            raise InputError(f"{name}: is not to be found; put it beside the project's folder")
        return project, video, video.path

    # -- state ---------------------------------------------------------------------------------

    def state(self, known: Mapping[str, str] | None = None) -> dict[str, Any]:
        """All that a client shows.

        known: keys of what it has already ("times", "result", "color"), which is then left out.
        """
        sound = self.video is not None and self.video.has_audio
        return {
            "revision": self.revision,
            "app": {"version": __version__, "formats": all_formats(sound=sound)},
            "project": None if self.project is None else self._project_state(known or {}),
            "recent": self.library.recent(),
            "demo": True,
        }

    def _project_state(self, known: Mapping[str, str]) -> dict[str, Any]:
        project, video = self.opened()
        document = project.document
        times_key, times = video.told_times()
        marks = {
            frame: {
                "objects": [int(number) for number in marks["objects"]],
                **{name: marks[name] for name in ("points", "boxes", "keypoints", "gone")},
            }
            for frame, marks in document["marks"].items()
        }
        return {
            "folder": project.folder.name,
            "path": str(project.folder),
            "name": document["name"],
            "video": {
                "name": document["video"]["name"],
                "width": video.size[1],
                "height": video.size[0],
                "frames": video.frames,
                "fps": round(video.fps, 4),
                "timesKey": times_key,
                **({} if known.get("times") == times_key else {"times": times}),
                "exact": video.is_exact,
                "hasAudio": video.has_audio,
                "missing": video.path is None,
                "copied": (project.folder / Path(document["video"]["name"]).name).exists(),
            },
            "objects": document["objects"],
            "nextColor": next_color(document),
            "marks": marks,
            "result": self._result_state(document, known.get("result")),
            "textures": textures.told(document),
            "color": self.colors.state(known.get("color")),
            "undo": {
                "undo": project.done[-1]["do"] if project.done else None,
                "redo": project.undone[-1]["do"] if project.undone else None,
            },
            "job": self.jobs.state(),
            "place": project.place,
            "smallCopy": self.small.state(),
            "settings": document["settings"],
        }

    def _result_state(self, document: Document, known: str | None) -> dict[str, Any] | None:
        if self.run is None:
            return None
        news = self.news_of_marks(self.run, document)
        keys = {one["key"] for one in document["objects"]}
        told = result_state(self.run, keys, news, written=str(self._stamp), known=known)
        return told | {"next": next_step(document, self.run, news, self.opened()[1].frames)}

    def news_of_marks(self, run: SavedRun, document: Document) -> Difference:
        """What is marked that the run does not know."""
        if self._stale[0] != self.revision or self._stale[1] is None:
            folder = self.opened()[0].folder
            self._stale = (self.revision, news_of(run, document, folder))
        assert self._stale[1] is not None
        return self._stale[1]

    async def _bring_back(self) -> bool:
        """Have the results again that marks and colours had before, if they are out of date."""
        project, video = self.opened()
        document, run = project.document, self.run
        if self.jobs.job is not None:
            return False
        if await self.colors.bring_back():
            return True
        if run is None:
            return False
        news = news_of(run, document, project.folder)
        wants = next_step(document, run, news, video.frames)
        if wants not in ("all", "span"):
            return False
        if not await asyncio.to_thread(bring_back, project.folder, document, run):
            return False
        await self.read_results()
        return True

    # -- actions -------------------------------------------------------------------------------

    async def act(self, action: ask.Action) -> tuple[int, str | None]:
        """Do one action; (revision, key of what was added).

        Raises:
            InputError: it does not fit. StaleError: it is about what was changed elsewhere after
                the state that it was made on.
        """
        async with self.lock:
            project, video = self.opened()
            before, seen = project.document, action.revision
            key = getattr(action, "key", None)
            if key is not None and seen is not None and self._changes.is_gone(before, key, seen):
                raise StaleError("this object was removed in another tab meanwhile")
            done = await asyncio.to_thread(apply, project, action, video.size, video.frames)
            if seen is not None:
                other = self._changes.unseen(touched(before, done.document), seen)
                if other is not None:
                    raise StaleError(f"{other}: was changed in another tab meanwhile; look again")
            how = {"opens": done.opens, "is_view": done.is_view}
            await asyncio.to_thread(project.do, done.document, done.label, **how)
            await self._bring_back()
            revision = self.changed()
            self._changes.note(before, project.document, revision)
            return revision, done.key

    async def turn(self, way: str, seen: int | None = None) -> dict[str, Any]:
        """Undo or redo; the revision, what, and the frame where that is to be seen, or None.

        results: whether what was tracked by the marks is back, too.

        Raises:
            InputError: there is nothing. StaleError: something was done after the revision `seen`.
        """
        async with self.lock:
            project, _ = self.opened()
            if seen is not None and seen < self._changes.newest:
                raise StaleError(f"something was done in another tab meanwhile; {way} again?")
            before = project.document
            label = await asyncio.to_thread(project.undo if way == "undo" else project.redo)
            if label is None:
                raise InputError(f"{way}: there is nothing to {way}")
            is_back = await self._bring_back()
            revision = self.changed()
            self._changes.note(before, project.document, revision)
            frame = only_frame(before, project.document)
            return {"revision": revision, "label": label, "frame": frame, "results": is_back}

    # -- pictures ------------------------------------------------------------------------------

    async def frame(
        self,
        index: int,
        width: int | None,
        *,
        rough: bool = False,
        turn: Turn | None = None,
        gone: asyncio.Future[None] | None = None,
    ) -> Shown:
        """A frame; rough: or a small picture of it, or one near it, if that is quicker.

        Raises:
            OvertakenError: a newer request of the same tab came before its `turn`.
            StoppedJob: nobody waits for it any more, as `gone` said.
        """
        _, _, path = self.watched()
        self.looks.left()
        async with self._turns.of(turn):
            with self.small.asked(index, is_exact=not rough):
                found = await self._frame(index, width, rough=rough, gone=gone)
        if not rough:
            self.looks.shown(path, index)
        return found

    async def _frame(
        self, index: int, width: int | None, *, rough: bool, gone: asyncio.Future[None] | None
    ) -> Shown:
        small = await self.small.picture(index, width) if rough else None
        if small is not None:
            return Shown(index, *small)
        given = {"index": index, "width": width, "rough": rough}
        given["ticket"] = self._askers.ticket(gone)
        try:
            return Shown(*await self.ask(self.decoder, "frame", **given))
        except WorkerError:  # it starts anew
            await self._reopen()
            return Shown(*await self.ask(self.decoder, "frame", **given))

    async def mask(self, index: int, of: str) -> bytes | None:
        """Ids of a frame as a grey PNG: what was marked, or found; None where nothing was."""
        project, _ = self.opened()
        if of == "marks":
            ids = await asyncio.to_thread(project.marked_ids, index)
            return None if ids is None else await asyncio.to_thread(ids_png, ids)
        keep = {one["id"] for one in project.document["objects"] if one["kind"] == "object"}
        live = self.jobs.staged_mask(index)
        places = [] if live is None else [live]
        if self.run is not None and self.run.first <= index < self.run.after:
            places.append(project.folder / "masks" / f"{index:05d}.png")
        for path in places:
            found = await asyncio.to_thread(mask_file_png, path, keep)
            if found is not None:
                return found
        return None
