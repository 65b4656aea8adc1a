"""The output folder of a benchmark while it is measured: what was there stays until all is done.

New reports and predictions lie in a hidden folder beside it (see `runs.staging`). At the end they
are put in place together, result.json last. A run that is stopped, fails or is killed leaves an
earlier result as it was, and its own finished clips to the next run.
"""

from __future__ import annotations

import shutil
from collections.abc import Container, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from chromatrack.atomic import check_output_folder, starts_with, unwritable
from chromatrack.errors import OutputError
from chromatrack.evaluation.cache import clip_path, kept_name
from chromatrack.runs.staging import Staging

PREDICTIONS = ("masks", "sheets", "horizons")
"""Folders with a folder or picture for each clip."""

WRITTEN = ("result.json", "clips", *PREDICTIONS)
"""What is written into the output folder."""


@dataclass(frozen=True)
class StagedResults:
    """Where results are written, and where they will be.

    output: the folder that the user named. folder: the one to write into.
    """

    output: Path
    folder: Path

    def reports(self, name: str) -> list[Path]:
        """Where an earlier run may have left the report of a clip, the newest first."""
        return [clip_path(folder, name) for folder in (self.folder, self.output)]

    def drop_but(self, taken: Container[str], names: Container[str]) -> None:
        """Remove what was taken over of dead runs and is not needed, lest it replace anything.

        Args:
            taken: clips whose report in `folder` holds. names: clips that are measured now.
        """
        for name, report in _whole_clips(self.folder).items():
            is_in_output = clip_path(self.output, name).exists()
            if name not in taken and (name in names or is_in_output):
                report.unlink(missing_ok=True)
        _drop_unfinished(self.folder)

    def has_earlier(self) -> bool:
        """Whether the output holds a finished result, which is not touched before the next is."""
        return (self.output / "result.json").exists()

    def where_kept(self) -> str:
        """Where the finished clips are when a run stops."""
        if self.has_earlier():
            return f"which are kept beside '{self.output}', whose earlier result stays"
        return f"which '{self.output}' keeps"


@contextmanager
def staged_results(output: Path, *, reads: Iterable[Path], resume: bool) -> Iterator[StagedResults]:
    """A folder to write results into, put in place when the block ends.

    If it ends with an exception: its whole clips are put in place where there was no result before,
    and else left hidden, for the next run.

    Args:
        reads: what is measured: none of it is written over or mixed with results.
        resume: whether to take over whole clips that a run that died has left; else they go.

    Raises:
        InputError: `output` is read, or holds things of others. OutputError: it cannot be written,
            or another process is writing it.
    """
    kind = "results of `chromatrack evaluate`"
    check_output_folder(output, WRITTEN, kind=kind, is_ours=_is_evaluation(output), reads=reads)
    stage = Staging(output)
    if resume:
        stage.adopt = lambda left: _take_over(left, stage.path)
    with stage:
        staged = StagedResults(output, stage.path)
        try:
            _make_clips(staged)
            yield staged
        except BaseException:
            stage.keep = True
            if not staged.has_earlier():
                with suppress(OSError, OutputError):
                    _drop_unfinished(stage.path)
                    stage.put_in_place()
                    stage.keep = False
            raise
        stage.put_in_place(last=stage.path / "result.json")


def _make_clips(staged: StagedResults) -> None:
    """Made first, so that a folder is known as ours from the start."""
    try:
        (staged.folder / "clips").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(staged.output, error) from error


def _is_evaluation(folder: Path) -> bool:
    """Whether an earlier run wrote a folder, or a part of it."""
    if (folder / "result.json").exists():
        return starts_with(folder / "result.json", '{\n  "benchmark"')
    reports = folder / "clips"
    return reports.is_dir() and all(starts_with(p, '{\n  "name"') for p in reports.iterdir())


def _take_over(left: Iterable[Path], folder: Path) -> None:
    """Move whole clips of runs that died: their reports, and what they predicted."""
    for old in left:
        for name, report in _whole_clips(old).items():
            target = folder / "clips" / report.name
            if target.exists():  # of a newer one
                continue
            for path in _predictions(old, name):
                _move(path, folder / path.relative_to(old))
            _move(report, target)


def _move(path: Path, target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        path.replace(target)
    except OSError as error:
        raise unwritable(target, error) from error


def _drop_unfinished(folder: Path) -> None:
    """Remove what was predicted for clips that have no report."""
    whole = {path for name in _whole_clips(folder) for path in _predictions(folder, name)}
    for path in (path for part in PREDICTIONS for path in (folder / part).glob("*")):
        if any(path == kept or path in kept.parents for kept in whole):
            continue
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _whole_clips(folder: Path) -> dict[str, Path]:
    """Reports by the names of their clips."""
    found = {kept_name(path): path for path in sorted((folder / "clips").glob("*.json"))}
    return {name: path for name, path in found.items() if name is not None}


def _predictions(folder: Path, name: str) -> list[Path]:
    """What was predicted for a clip: a folder of masks, pictures."""
    if ".." in Path(name).parts:  # nowhere but in the folder
        return []
    named = (folder / part / file for part in PREDICTIONS for file in (name, f"{name}.png"))
    return [path for path in named if path.exists()]
