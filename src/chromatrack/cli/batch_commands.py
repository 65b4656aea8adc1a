"""The commands that a job of `chromatrack batch` may be made of.

A further one is an entry in `batch_commands`: its function, what its output is called in the job's
folder, and the command whose output it reads; one that reads a run is as `events`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from chromatrack.batch.job import Command, Commands
from chromatrack.cli.colorize import colorize
from chromatrack.cli.exchange import export
from chromatrack.cli.options import SourceOptions, kept_trackers, track_config
from chromatrack.cli.track import events, track
from chromatrack.errors import InputError
from chromatrack.formats.exchange import format_named
from chromatrack.runs.file_names import RESUME, chosen_outputs
from chromatrack.runs.staging import leftovers

PRELOAD = (
    "chromatrack.runs.writer",
    "chromatrack.runs.colorized",
    "chromatrack.cli.batch_commands",
)
"""What every worker needs, torch among it, which takes seconds to load."""

MARKS = ("marks", "masks", "polygons", "points", "boxes", "keypoints", "skeleton")
"""Options of `track` that are files."""

SUFFIXES = {"ffv1": ".mkv", "prores": ".mov"}
"""Of a coloured video, by codec; others are MP4."""


def batch_commands() -> Commands:
    """{name: command}, in the order in which they are usually chained."""
    weights = ("model", "decoder")
    return {
        "track": Command(
            track,
            output=lambda _: "track",
            without=("output", "dry_run", "resume"),
            files=MARKS,
            names_or_files=weights,
            left=_is_left,
            check=_check_track,
            look=_look_at_marks,
            models=_models,
        ),
        "colorize": Command(
            colorize,
            output=lambda options: f"colorized{SUFFIXES.get(str(options.get('codec')), '.mp4')}",
            without=("output", "suggest", "resume", "unsure_map"),
            needs=("reference",),
            files=("reference", "strokes"),
            names_or_files=(*weights, "shots"),
            left=_has_shots,
            kept=RESUME,
            check=_check_settings,
            look=_look_at_references,
            models=_models,
        ),
        "events": Command(
            events,
            output=lambda _: "events.csv",
            reads="track",
            without=("output", "per_frame"),
            check=_check_events,
        ),
        "export": Command(
            export,
            output=lambda options: f"export{format_named(str(options['to'])).suffix}",
            reads="track",
            without=("output", "overwrite"),
            check=_check_export,
        ),
    }


@contextmanager
def kept_in_worker(threads: int) -> Iterator[None]:
    """In a worker: use so many cores, and load no model twice in a row."""
    from chromatrack.tracking.cores import use_cores

    use_cores(threads)
    with kept_trackers():
        yield


def _is_left(output: Path) -> bool:
    """Whether a run that was killed or stopped can go on."""
    return any(
        (place / RESUME / "made_with.json").is_file()
        for place in (output, *(left / output.name for left in leftovers(output)))
    )


def _has_shots(output: Path) -> bool:
    """Whether a coloured video that was killed or stopped can go on."""
    from chromatrack.runs.kept_shots import KeptShots

    return KeptShots.beside(output).is_begun


def _check_settings(arguments: Mapping[str, Any]) -> None:
    if "settings" in arguments:
        track_config(arguments["settings"])
    if "encoding" in arguments:
        arguments["encoding"].quality()


def _check_track(arguments: Mapping[str, Any]) -> None:
    _check_settings(arguments)
    chosen_outputs(arguments.get("only"), overlay=arguments.get("overlay", True))
    marks = arguments.get("marks")
    if marks is None or not any((*_files(marks), marks.box, marks.point, marks.polygon)):
        raise InputError(
            "marks: expected something to track, got nothing; fill a column marks, masks, box, "
            "point, polygon, polygons, points, boxes or keypoints"
        )


def _files(marks: Any) -> list[Any]:  # noqa: ANN401  (MarkFiles)
    return [getattr(marks, name) for name in MARKS if name != "skeleton"]


def _check_events(arguments: Mapping[str, Any]) -> None:
    from chromatrack.uses.events import EventRules
    from chromatrack.uses.measures import Scale

    given = {k: arguments[k] for k in ("near", "still") if arguments.get(k) is not None}
    EventRules(**given)
    scale, unit = arguments.get("scale"), arguments.get("unit")
    if scale is not None:
        Scale(scale, "unit" if unit is None else unit)
    elif unit is not None:
        raise InputError(f"unit {unit}: goes with scale, got without; say how many px it has")


def _check_export(arguments: Mapping[str, Any]) -> None:
    format_named(arguments["to"])


def _models(arguments: Mapping[str, Any]) -> Sequence[Path]:
    """Files of weights, which results depend on."""
    from chromatrack.model.weights import decoder_path, model_path

    model = arguments["settings"].model if "settings" in arguments else "small"
    config = track_config(arguments["settings"]) if "settings" in arguments else None
    decoder = decoder_path("auto" if config is None else config.decoder, model)
    found = [model_path(model), decoder]
    return [path for path in found if path is not None]


# -- with files opened -----------------------------------------------------------------------


def _look_at_marks(video: str, arguments: Mapping[str, Any]) -> None:
    """InputError, VideoError for a video that cannot be read or marks that do not lie on it."""
    from chromatrack.video.reader import probed_once

    with probed_once():
        track(video, output=Path("nowhere", "at", "all"), dry_run=True, **arguments)


def _look_at_references(video: str, arguments: Mapping[str, Any]) -> None:
    """InputError, VideoError for a video that cannot be read, or no coloured picture of it."""
    from chromatrack.cli.colorize import checked_references

    source = arguments.get("reading", SourceOptions()).of(video)
    checked_references(arguments.get("reference", ()), source)
