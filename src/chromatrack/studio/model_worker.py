"""The process with the model: tracks and corrects, selects, points, and writes exports."""

from __future__ import annotations

import json
import tempfile
import time
import warnings
from collections.abc import Mapping, Sequence
from contextlib import closing, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from chromatrack.errors import ChromatrackError, InputError
from chromatrack.runs.output_lock import hidden
from chromatrack.structures import Source
from chromatrack.studio.document import Document
from chromatrack.studio.earlier import MadeBy, keeping
from chromatrack.studio.live_places import LivePlaces
from chromatrack.studio.results import OTHER
from chromatrack.studio.workers import Channel

_MOST_REFERENCES = 4
_TELL_SECONDS = 0.1  # between two news of how far a job is


def main(channel: Channel) -> None:
    """Answer the server."""
    model = Model(channel)
    model.warm()
    channel.serve(
        {
            "ping": model.ping,
            "track": model.track,
            "export": model.export,
            "export_colors": model.export_colors,
            "export_textures": model.export_textures,
            "colorize": model.colorize,
            "color_reference": model.color_reference,
            "color_suggest": model.color_suggest,
            "glance": model.glance,
            "select": model.select,
            "point": model.point,
            "close": model.close,
        },
        lambda: False,
    )


class Model:
    """Trackers by quality, and what they know of the open video."""

    def __init__(self, channel: Channel) -> None:
        """Nothing is loaded yet."""
        self._channel = channel
        self._trackers: dict[str, Any] = {}
        self._look: tuple[str, Any] | None = None
        self._selection: Any = None
        self._references: dict[str, Any] = {}
        self._canvas: tuple[str, int, Any] | None = None
        self._told = 0.0
        self._places = LivePlaces()

    def ping(self) -> bool:
        """Whether it answers: it does."""
        return True

    def warm(self) -> None:
        """Load what the first request would wait for."""
        from chromatrack.tracking.cores import leave_cores

        leave_cores()
        tracker = self._tracker("normal")
        with suppress(OSError, ChromatrackError):  # for speed alone: it is told where it matters
            track_noise(tracker)

    def _tracker(self, quality: str) -> Any:  # noqa: ANN401  (Tracker is not imported up there)
        from chromatrack.tracking.config import quality_config
        from chromatrack.tracking.tracker import Tracker

        if quality not in self._trackers:
            config = quality_config(quality)  # pyright: ignore[reportArgumentType]
            self._trackers[quality] = Tracker.from_pretrained("small", config=config)
        return self._trackers[quality]

    def close(self) -> None:
        """Let the open video go."""
        if self._look is not None:
            self._look[1].close()
        self._look = self._selection = self._canvas = None

    # -- jobs ----------------------------------------------------------------------------------

    def track(
        self,
        *,
        folder: str,
        video: Source,
        document: Document,
        quality: str,
        start: int,
        end: int | None,
        wanted: list[Any] | None,
        removed: list[Any],
        resume: bool,
        part: tuple[int, int] | None = None,
        frames: int | None = None,
        made_by: MadeBy | None = None,
    ) -> dict[str, Any]:
        """Track all marks on frames [start, end), or correct a run by those that are `wanted`.

        removed: marks of the run that are no more. part: frames [start, end) that alone a
        correction changes. frames: of the video, if that is known. made_by: what the run that is
        replaced was made by, which is kept then. Returns what the user is to be told.
        """
        from chromatrack.runs.correct import correct, tracker_of
        from chromatrack.runs.writer import track_to_folder
        from chromatrack.studio.marks import marks_of
        from chromatrack.studio.ranges import within

        home = Path(folder)
        stages: list[tuple[str, int]] = []
        tell = self._telling("track", home, start, stages)
        tracker = tracker_of(home) if quality == OTHER else self._tracker(quality)
        kept = nullcontext() if made_by is None else keeping(home, made_by)
        if wanted is not None:
            new = marks_of(document, home, wanted={tuple(one) for one in wanted})
            gone = {tuple(one) for one in removed}
            with kept:
                done = correct(
                    tracker,
                    home,
                    new,
                    video=video,
                    progress=tell,
                    announce=lambda plan: stages.extend(plan.stages),
                    keep_done=True,
                    removed=gone,
                    start=None if part is None else part[0],
                    end=None if part is None else part[1],
                    on_frame=self._places.add,
                )
            if self._channel.is_stopped and any(not one.held for one in done.unfinished):
                raise KeyboardInterrupt(
                    f"Stopped: {done.frames_recomputed} frames corrected, the rest is still to do"
                )
            return {"message": f"{done.frames_recomputed} frames tracked again"}
        marks = within(marks_of(document, home), start, end)
        after = frames if end is None else end
        if after is not None:
            stages += [("backward", 0), ("track", after - start)]

        def run(*, resume: bool) -> Any:  # noqa: ANN401
            try:
                return track_to_folder(
                    tracker,
                    video,
                    marks,
                    output=home,
                    start=start,
                    end=end,
                    outputs=("masks", "tracks"),
                    resume=resume,
                    progress=tell,
                    on_frame=self._places.add,
                )
            except KeyboardInterrupt:
                raise KeyboardInterrupt(_stopped(home)) from None

        if resume:
            try:
                summary = run(resume=True)
                return {"message": f"{summary.frames} frames tracked"}
            except InputError:
                pass  # what it would go on with was made with something else
        with kept:
            summary = run(resume=False)
        return {"message": f"{summary.frames} frames tracked"}

    def _telling(
        self, kind: str, folder: Path, start: int, stages: Sequence[tuple[str, int]] = ()
    ) -> Any:  # noqa: ANN401
        """How far a job is, told now and then; answers short requests in between.

        stages: that it will have, and how many frames each, as far as that is known; may be filled
        in later.
        """
        import os

        from chromatrack.studio.stages import Stages

        ahead, self._places = Stages(stages), LivePlaces()

        staged = hidden(folder.resolve(), str(os.getpid())) / folder.resolve().name / "masks"
        messages = {
            "backward": "Tracking back",
            "track": "Tracking",
            "correct": "Tracking again",
            "ready": "Getting ready",
            "color": "Colouring",
            "draw": "Writing",
            "export": "Exporting",
        }

        def tell(what: str, done: int, total: int | None, frame: int | None = None) -> None:
            overall = ahead.overall(what, done, total)
            now = time.monotonic()
            if done <= 1 or done == total or now - self._told >= _TELL_SECONDS:
                self._told = now
                frame = start + done - 1 if what == "track" else frame
                frame = self._places.newest if what == "correct" else frame
                self._channel.tell(
                    {
                        "type": "progress",
                        "job": kind,
                        "stage": what,
                        "done": overall[0],
                        "total": overall[1],
                        "frame": frame,
                        "message": messages.get(what, what),
                        "staged": str(staged),
                        "places": self._places.of(frame) if what in ("track", "correct") else None,
                    }
                )
            self._channel.serve_waiting()

        return tell

    def export(
        self,
        *,
        folder: str,
        video: Source | None,
        name: str,
        output: str,
        names: Mapping[str, Any],
        colors: Mapping[str, Any],
        keep: list[str],
        start_number: int | None,
        saturation: float,
        mark_doubtful: bool,
    ) -> dict[str, Any]:
        """Write a run's results in a format; returns {"path", "notes"}."""
        from chromatrack.studio.exports import nothing_written, write_export

        with nothing_written():
            return write_export(
                Path(folder),
                name,
                Path(output),
                names=names,
                colors=colors,
                keep=keep,
                video=video,
                start_number=start_number,
                saturation=saturation,
                mark_doubtful=mark_doubtful,
                progress=self._telling("export", Path(folder), 0),
            )

    def export_colors(
        self, *, folder: str, video: str, output: str, saturation: float
    ) -> dict[str, Any]:
        """Write the coloured frames as a video."""
        from chromatrack.studio.color_views import write_colored
        from chromatrack.studio.exports import nothing_written

        tell = self._telling("export", Path(folder), 0)
        with nothing_written():
            return write_colored(Path(folder), video, Path(output), saturation, tell)

    def export_textures(
        self, *, folder: str, video: str, document: Document, output: str
    ) -> dict[str, Any]:
        """Write the video with the placed pictures carried along."""
        from chromatrack.studio.exports import nothing_written
        from chromatrack.studio.textures import write_textured

        tell, tracker = self._telling("export", Path(folder), 0), self._tracker("normal")
        with nothing_written():
            return write_textured(tracker, video, Path(folder), document, Path(output), tell)

    # -- colours -------------------------------------------------------------------------------

    def colorize(
        self,
        *,
        folder: str,
        video: str,
        references: dict[int, Any],
        key: str,
        start: int,
        end: int,
    ) -> dict[str, Any]:
        """Colour frames [start, end) by a project's references; what is done stays if stopped."""
        from chromatrack.studio.coloring import color_frames

        told, newest, count = self._telling("color", Path(folder), start), None, 0

        def tell(done: int, total: int | None) -> None:
            told("color" if done else "ready", done, total, newest)

        tracker = self._tracker("normal")
        given = {"key": key, "start": start, "end": end, "progress": tell}
        try:
            tell(0, None)
            with closing(color_frames(tracker, video, Path(folder), references, **given)) as rows:
                for row in rows:
                    newest, count = row.index, count + 1
        except KeyboardInterrupt:
            done = f"{count} frames coloured" if count else "nothing was coloured"
            raise KeyboardInterrupt(f"Stopped: {done}") from None
        if not count:
            return {"message": f"No frames to colour: the video has none from {start} on"}
        return {"message": f"{count} frames coloured"}

    def color_reference(
        self, *, folder: str, video: str, frame: int, given: dict[str, Any], saturation: float = 1.0
    ) -> Any:  # noqa: ANN401
        """`(H, W, 3)` uint8: a reference as it is used; the last few are remembered.

        saturation: how strong its colours are shown.
        """
        from chromatrack.studio.coloring import reference_picture, saturated

        name = json.dumps([folder, video, frame, given], sort_keys=True, allow_nan=False)
        if name not in self._references:
            embedder = self._tracker("normal").embedder
            look = partial(self._painted, embedder)
            picture = reference_picture(embedder, video, Path(folder), frame, given, look=look)
            self._references[name] = picture
            while len(self._references) > _MOST_REFERENCES:
                del self._references[next(iter(self._references))]
        return saturated(self._references[name], saturation)

    def _painted(self, embedder: Any, video: str, frame: int) -> Any:  # noqa: ANN401
        """A frame as strokes need it: the one that is painted on is looked at once."""
        from chromatrack.tracking.color_strokes import PaintedFrame

        if self._canvas is None or self._canvas[:2] != (video, frame):
            self._canvas = video, frame, PaintedFrame.of(embedder, video, frame)
        return self._canvas[2]

    def color_suggest(
        self, *, video: Source, part: tuple[int, int], references: list[int], doubtful: list[Any]
    ) -> dict[str, Any]:
        """Which frame of a part [first, after) to colour next."""
        from chromatrack.studio.coloring import suggested

        look, embedder = self._looker(video), self._tracker("normal").embedder
        return suggested(look.picture, embedder, part, references, doubtful)

    # -- looking at frames ---------------------------------------------------------------------

    def _looker(self, video: Source) -> Any:  # noqa: ANN401
        from chromatrack.tracking.frame_looks import FrameLooks

        name = str(video)
        if self._look is None or self._look[0] != name:
            self.close()
            self._look = name, FrameLooks(self._tracker("normal").embedder, video)
        return self._look[1]

    def glance(self, *, video: Source, frame: int, table: Any = None) -> None:  # noqa: ANN401
        """Look at a frame that is shown, so that what is asked of it next is known already.

        table: where the video's frames are (`PacketTable`), as another process found them.
        """
        from chromatrack.video.picture_order import remember_table

        if table is not None:
            remember_table(str(video), table)
        self._looker(video).look(frame)

    def select(
        self,
        *,
        video: Source,
        frame: int,
        strokes: list[dict[str, Any]],
        base: np.ndarray | None = None,
    ) -> Any:  # noqa: ANN401
        """`(H, W)` bool: what a user means by strokes; what those before the last said is known.

        base: `(H, W)` bool, what they correct.
        """
        from chromatrack.tracking.smart_select import Selection, Stroke

        look = self._looker(video).look(frame)
        if self._selection is None or self._selection.look is not look:
            self._selection = Selection(look)
        return self._selection.after(
            [Stroke(tuple((x, y) for x, y in one.pop("places")), **one) for one in strokes],
            base,
        )

    def point(
        self, *, video: Source, frame: int, at: tuple[float, float], marked: list[int]
    ) -> dict[str, Any]:
        """Where a pixel of a frame copies from."""
        return self._looker(video).pointer(frame, at, marked)


def _stopped(folder: Path) -> str:
    """What is said when tracking was stopped."""
    from chromatrack.runs.reader import read_result

    with suppress(ChromatrackError), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = read_result(folder)
        if not found.complete:
            return f"Stopped: {len(found.frames)} frames are tracked"
    return "Stopped: nothing has changed"


def track_noise(tracker: Any) -> None:  # noqa: ANN401
    """Track in a small clip as a user's is, so that all that it takes is loaded and compiled."""
    from PIL import Image

    from chromatrack.runs import correct  # noqa: F401
    from chromatrack.runs.writer import track_to_folder
    from chromatrack.structures import PointMark
    from chromatrack.studio import marks, ranges  # noqa: F401
    from chromatrack.tracking import smart_select  # noqa: F401
    from chromatrack.tracking.marks import Marks

    rng = np.random.default_rng(0)
    mask = np.zeros((240, 320), dtype=np.int32)
    mask[80:160, 80:200] = 1
    with tempfile.TemporaryDirectory(prefix="chromatrack-") as place:
        for number in range(3):
            rgb = rng.integers(0, 256, (*mask.shape, 3), dtype=np.uint8)
            (Path(place) / "noise").mkdir(exist_ok=True)
            Image.fromarray(rgb).save(Path(place) / "noise" / f"{number:05d}.png")
        track_to_folder(
            tracker,
            str(Path(place) / "noise"),
            Marks(masks={0: mask}, points=[PointMark(1, 0, 200.0, 100.0)]),
            output=Path(place) / "run",
            outputs=("masks", "tracks"),
        )
