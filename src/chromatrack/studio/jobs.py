"""Long work: tracking, correcting and exporting, one job at a time."""

from __future__ import annotations

import asyncio
import itertools
import secrets
import threading
from collections.abc import Collection, Coroutine
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

from chromatrack.errors import ChromatrackError, InputError
from chromatrack.formats.masks import frame_file
from chromatrack.runs.staging import leftovers
from chromatrack.studio.color_marks import references, references_key
from chromatrack.studio.color_store import Colors
from chromatrack.studio.document import Document, saturation_of
from chromatrack.studio.earlier import made_by
from chromatrack.studio.events import Hub, News
from chromatrack.studio.export_list import COLORED, TEXTURED, place_for
from chromatrack.studio.marks import Difference, said_by_document, thing_of
from chromatrack.studio.requests import Export
from chromatrack.studio.results import OTHER, SavedRun, part_of
from chromatrack.studio.store import Project
from chromatrack.studio.video_copy import copy_target, copy_video
from chromatrack.studio.workers import StoppedJob, Worker


class BusyError(ChromatrackError):
    """Something else is under way."""


class Host(Protocol):
    """What jobs need of the studio."""

    hub: Hub
    model: Worker

    @property
    def project(self) -> Project | None: ...
    @property
    def run(self) -> SavedRun | None: ...
    def changed(self) -> int: ...
    def opened(self) -> tuple[Project, Any]: ...
    def watched(self) -> tuple[Project, Any, Path]: ...
    def news_of_marks(self, run: SavedRun, document: Document) -> Difference: ...
    async def read_results(self) -> None: ...
    async def ask(self, worker: Worker, request: str, /, **given: Any) -> Any: ...  # noqa: ANN401


@dataclass
class Job:
    """What is under way, done of total frames, as often as each is looked at.

    staged: where masks of frames done so far lie, None: nowhere.
    """

    kind: str
    message: str
    done: int = 0
    total: int | None = None
    frame: int | None = None
    staged: Path | None = None


@dataclass(frozen=True)
class Plan:
    """How to track: frames [start, end); wanted: marks to correct by, None: everything is tracked.

    removed: marks that count no more in a correction. part: frames [start, end) that alone it
    changes; None: all. is_held: it is about frames that others were to leave as they were. resume:
    go on with what was stopped, if that can be.
    """

    start: int
    end: int | None
    quality: str
    wanted: frozenset[Any] | None = None
    removed: frozenset[Any] = frozenset()
    part: tuple[int, int] | None = None
    is_held: bool = False
    resume: bool = False


class Jobs:
    """The job under way, and files that were exported, by the names they are fetched by."""

    def __init__(self, studio: Host) -> None:
        """Nothing is under way."""
        self._studio = studio
        self.job: Job | None = None
        self.exports: dict[str, Path] = {}
        self._stopped = threading.Event()
        self._tickets, self._ticket = itertools.count(), -1
        self._task: asyncio.Task[None] | None = None

    def forget(self) -> None:
        """Another project was opened."""
        self.exports = {}

    def state(self) -> dict[str, Any] | None:
        """The job as the client is told of it."""
        job = self.job
        if job is None:
            return None
        return {
            "kind": job.kind,
            "done": job.done,
            "total": job.total,
            "frame": job.frame,
            "message": job.message,
        }

    def staged_mask(self, index: int) -> Path | None:
        """The mask of a frame that the job under way has done."""
        if self.job is None or self.job.staged is None:
            return None
        path = self.job.staged / frame_file(index)
        return path if path.is_file() else None

    def on_progress(self, told: News) -> None:
        """Hand on how far the job is."""
        job = self.job
        if job is None or job.kind != told["job"]:
            return
        job.done, job.total, job.message = told["done"], told["total"], told["message"]
        job.frame = told["frame"]
        if job.kind == "track":
            job.staged = Path(told["staged"])
        names = ("type", "job", "stage", "done", "total", "frame", "message")
        places = {"places": told["places"]} if told.get("places") else {}
        self._studio.hub.tell({name: told[name] for name in names} | places)

    # -- tracking ------------------------------------------------------------------------------

    def track(self, start: int | None, end: int | None) -> None:
        """Begin to track what is stale. Raises InputError where there is nothing to do."""
        self.check_free()
        project, video, path = self._studio.watched()
        end = None if end is not None and end >= video.frames else end
        if start is not None and (start >= video.frames or (end is not None and end <= start)):
            raise InputError(f"from, to: expected 0 <= from < to <= {video.frames}")
        document, run = project.document, self._studio.run
        news = None if run is None else self._studio.news_of_marks(run, document)
        asked = None if start is None and end is None else (start or 0, end)
        plan = plan_tracking(document, run, news, frames=video.frames, asked=asked)
        if not plan.resume and run is None:
            resumable = leftovers(project.folder.resolve())
            plan = replace(plan, resume=bool(resumable))
        work = self._asked(
            "track",
            folder=str(project.folder),
            video=str(path),
            document=document,
            quality=plan.quality,
            start=plan.start,
            end=plan.end,
            wanted=None if plan.wanted is None else list(plan.wanted),
            removed=list(plan.removed),
            part=plan.part,
            resume=plan.resume,
            frames=video.frames if video.is_exact else None,
            made_by=None if run is None or plan.resume else made_by(run),
        )
        self._begin(Job("track", "Tracking" if plan.wanted is None else "Tracking again"), work)

    def stop(self) -> None:
        """Ask for the end of the job; what it has done is kept."""
        self._stopped.set()
        if self.job is not None and self.job.kind != "copy":
            self._studio.model.stop(self._ticket)

    def copy(self) -> None:
        """Begin to copy the video into the project's folder. Raises InputError."""
        self.check_free()
        project, _, path = self._studio.watched()
        target = copy_target(project.folder, path, project.document["video"]["name"])
        job, loop = Job("copy", "Copying"), asyncio.get_running_loop()
        self._stopped.clear()

        def tell(done: int, total: int) -> None:
            told = {"done": done, "total": total, "frame": None, "message": "Copying"}
            news = {"type": "progress", "job": "copy", "stage": "copy", **told}
            loop.call_soon_threadsafe(self.on_progress, news)

        async def work() -> dict[str, Any]:
            done = await asyncio.to_thread(
                copy_video, path, target, stopped=self._stopped, tell=tell
            )
            if not done:
                raise StoppedJob("Stopped: nothing was copied")
            return {"message": f"{target.name} is in the project's folder"}

        self._begin(job, work())

    def exported(self, path: Path) -> str:
        """The address by which an exported file is fetched."""
        name = secrets.token_hex(8)
        self.exports[name] = path
        return f"/api/exports/{name}"

    def check_free(self) -> None:
        """Raises BusyError while something is under way."""
        if self.job is not None:
            raise BusyError("something is being worked on; stop it first")

    def _asked(self, request: str, /, **given: Any) -> Coroutine[Any, Any, dict[str, Any]]:  # noqa: ANN401
        """Long work of the model, with a ticket by which it can be stopped."""
        self._ticket = next(self._tickets)
        return self._studio.ask(self._studio.model, request, ticket=self._ticket, **given)

    def _begin(self, job: Job, work: Coroutine[Any, Any, dict[str, Any]]) -> None:
        self.job = job
        self._task = asyncio.ensure_future(self._follow(job, work))
        self._studio.changed()

    async def _follow(self, job: Job, work: Coroutine[Any, Any, dict[str, Any]]) -> None:
        told: News = {"type": "failed", "kind": job.kind, "message": "it ended unexpectedly"}
        try:
            done = await work
            told = {"type": "done", "kind": job.kind, **done}
            if "path" in done:
                told["download"] = self.exported(Path(done["path"]))
        except StoppedJob as stopped:
            told = {"type": "stopped", "kind": job.kind, "message": str(stopped)}
        except ChromatrackError as error:
            told["message"] = str(error)
        finally:
            if self._studio.project is not None:
                await self._studio.read_results()
            self.job = None
            self._studio.changed()
            self._studio.hub.tell(told)

    def colorize(self, start: int | None, end: int | None) -> None:
        """Begin to colour frames [start, end). Raises InputError where there is nothing to do."""
        self.check_free()
        project, video, path = self._studio.watched()
        chosen = project.document["settings"]["range"] or (0, video.frames)
        if start is None and end is None:
            chosen = _left_grey(project, chosen)
        first = chosen[0] if start is None else start
        after = min(video.frames, chosen[1] if end is None else end)
        if not first < after:
            raise InputError(f"from, to: expected 0 <= from < to <= {video.frames}")
        given = references(project.document)
        if not given:
            raise InputError("colour: expected colours on a frame, got none; paint some first")
        work = self._asked(
            "colorize",
            folder=str(project.folder),
            video=str(path),
            references=given,
            key=references_key(project.document),
            start=first,
            end=after,
        )
        self._begin(Job("color", "Getting ready"), work)

    # -- exporting -----------------------------------------------------------------------------

    def export(self, given: Export) -> None:
        """Begin to write the results in a format.

        Raises:
            InputError: there are none, or something is there and nothing is said of it.
        """
        self.check_free()
        project, video = self._studio.opened()
        name, saturation = given.format, given.saturation
        if name not in (COLORED, TEXTURED):
            if self._studio.run is None:
                raise InputError("export: expected results, found none; track first")
            if not any(one["visible"] for one in project.document["objects"]):
                raise InputError("export: all things are hidden; show those that are to be written")
        output = place_for(project.folder, name, given.existing)
        if name == COLORED:
            work = self._asked(
                "export_colors",
                folder=str(project.folder),
                video=str(self._studio.watched()[2]),
                output=str(output),
                saturation=saturation_of(project.document) if saturation is None else saturation,
            )
            self._begin(Job("export", "Exporting"), work)
            return
        if name == TEXTURED:
            work = self._asked(
                "export_textures",
                folder=str(project.folder),
                video=str(self._studio.watched()[2]),
                document=project.document,
                output=str(output),
            )
            self._begin(Job("export", "Exporting"), work)
            return
        work = self._asked(
            "export",
            folder=str(project.folder),
            video=None if video.path is None else str(video.path),
            name=name,
            output=str(output),
            names={one["key"]: one["name"] for one in project.document["objects"]},
            colors={one["key"]: one["color"] for one in project.document["objects"]},
            keep=[one["key"] for one in project.document["objects"] if one["visible"]],
            start_number=given.startNumber,
            mark_doubtful=given.markDoubtful,
            saturation=saturation_of(project.document),
        )
        self._begin(Job("export", "Exporting"), work)


def _left_grey(project: Project, wanted: tuple[int, int]) -> tuple[int, int]:
    """Of frames [start, end), those that these references do not colour yet; else all of them."""
    told = Colors(project.folder).told(references_key(project.document), wanted=wanted)
    left = told["staleRanges"] if told is not None else []
    return (left[0][0], left[-1][1]) if left else wanted


def plan_tracking(
    document: Document,
    run: SavedRun | None,
    news: Difference | None,
    *,
    frames: int,
    asked: tuple[int, int | None] | None = None,
) -> Plan:
    """What is to be done so that a run knows all that is marked.

    Args:
        news: what the run does not know. asked: frames to track, if the user says so now.

    Raises:
        InputError: nothing is marked, or the run knows all of it.
    """
    said = said_by_document(document)
    if not said:
        raise InputError("track: expected a mark, got none; mark something on a frame first")
    quality, chosen = document["settings"]["quality"], document["settings"]["range"]
    start, end = asked or chosen or (0, None)
    end = None if end is not None and end >= frames else end
    everything = Plan(start, end, quality)
    if run is None or news is None:
        return everything
    own = quality if run.quality == OTHER else run.quality
    is_other_range = not _covers(run, start, end, frames)
    if asked is None:  # nothing that was tracked outside a part is lost for it
        ends = (frames if one is None else one for one in (end, run.end))
        last = max(ends)
        everything = Plan(min(start, run.start), None if last >= frames else last, quality)
    elif (start, end) != (run.start, run.end):
        is_other_range = True
    things = {one["key"] for one in document["objects"]}
    removed = {one for one in news.removed if thing_of(one[0]) in things}
    is_gone = any(label not in said for label, _ in removed)
    beyond = _marked_beyond(document, run, frames)
    if own != quality or is_other_range or is_gone or beyond:
        return everything
    part = part_of(run, document)
    changed = _inside(news.changed, part)
    taken = _inside(removed, part)
    if changed or taken:
        return Plan(run.start, run.end, run.quality, changed, taken, part)
    if not run.result.complete:
        return Plan(run.start, run.end, run.quality, None, resume=True)
    if news.held:
        return Plan(run.start, run.end, run.quality, news.held_by, part=part, is_held=True)
    if part is not None and (news.changed or removed):
        raise InputError(
            f"track: frames {part[0]} to {part[1] - 1}, which alone are to be tracked, are done; "
            "let all be tracked for marks on others"
        )
    raise InputError("track: everything is tracked already; mark or correct something first")


def next_step(
    document: Document, run: SavedRun, news: Difference, frames: int
) -> Literal["all", "span", "rest", "held"] | None:
    """What `track` would do now.

    Everything, what corrections change, what was stopped, what was left as it was, or nothing.
    """
    try:
        plan = plan_tracking(document, run, news, frames=frames)
    except InputError:
        return None
    if plan.wanted is not None:
        return "held" if plan.is_held else "span"
    return "rest" if plan.resume else "all"


def _inside(marks: Collection[Any], part: tuple[int, int] | None) -> frozenset[Any]:
    """Those, labels on frames, that are on frames of a part."""
    return frozenset(one for one in marks if part is None or part[0] <= one[1] < part[1])


def _covers(run: SavedRun, start: int, end: int | None, frames: int) -> bool:
    """Whether a run was to track all of some frames."""
    last, wanted = (frames if one is None else one for one in (run.end, end))
    return run.start <= start and last >= wanted


def _marked_beyond(document: Document, run: SavedRun, frames: int) -> bool:
    """Whether something is marked on frames that the run was to reach but has not."""
    end = frames if run.end is None else run.end
    said = said_by_document(document)
    beyond = {
        (label, frame)
        for label, values in said.items()
        for frame in values
        if run.after <= frame < end or run.start <= frame < run.first
    }
    known = {(label, frame) for label, values in run.said.items() for frame in values}
    return bool(beyond - known)
