"""The folder of a run: what is written when, and what is there when a run goes on."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch

from chromatrack.atomic import check_output_folder, replace_file, starts_with
from chromatrack.errors import InputError, OutputError
from chromatrack.json_text import json_text
from chromatrack.model.weights import save_encoder
from chromatrack.runs.progress import Report
from chromatrack.training import checkpoint
from chromatrack.training.config import TrainConfig, to_json
from chromatrack.training.data.index import Index
from chromatrack.training.data.sampler import AnySampler
from chromatrack.training.distributed import World
from chromatrack.training.monitor.log import (
    Scalars,
    StepReport,
    Validation,
    append_log,
    append_validation,
    plot_losses,
    read_log,
    read_validations,
    scalars_of,
    tensorboard,
    truncate_log,
    write_csv,
)
from chromatrack.training.monitor.report import FACTS, write_report
from chromatrack.training.state import TrainState, Watcher, calibrate

CONFIG, LOG, TABLE = "config.json", "log.jsonl", "log.csv"
VALIDATION, CURVES, MODEL = "validation.jsonl", "loss.png", "model.safetensors"
REPORT = "report.html"


@dataclass
class RunFiles:
    """The files of one run. Only the process that leads writes."""

    folder: Path
    world: World
    saved: float = field(default_factory=time.monotonic)
    watched: float = 0.0
    scalars: Scalars | None = None

    def check(self, *, resume: bool, data: Iterable[object] = ()) -> None:
        """Refuse to write over another run or what is read, and to go on where there is no run.

        Raises:
            InputError: says which.
        """
        there = checkpoint.check_begin(self.folder, resume=resume)
        if (self.folder / MODEL).exists() and not there:
            raise InputError(
                f"{self.folder}: holds {MODEL} already, which would be overwritten; choose another "
                "folder"
            )
        check_output_folder(
            self.folder,
            (CONFIG, LOG, TABLE, VALIDATION, CURVES, FACTS, REPORT),
            kind="a training run",
            is_ours=there or starts_with(self.folder / CONFIG, '{\n  "model"'),
            reads=data,
        )

    def open(self, run: TrainState, index: Index, config: TrainConfig, *, resume: bool) -> None:
        """Make the folder, or bring `run` to where the folder's newest checkpoint was.

        Raises:
            InputError: the checkpoint is of another network. OutputError: no folder can be made.
        """
        run.notes |= checkpoint.data_notes(index)
        if resume:
            self._resume(run, index, config)
        if not self.world.leads:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"{self.folder}: cannot create the run folder ({error.strerror})"
            ) from error
        if resume:
            for name in (LOG, VALIDATION):
                truncate_log(self.folder / name, run.step)
        if run.progress(config) < 1:  # with nothing left to do, its recipe stays
            replace_file(self.folder / CONFIG, to_json(config))
        facts = json_text(_facts(run, index, self.world), indent=2)
        replace_file(self.folder / FACTS, facts)
        self.watched = time.monotonic()

    @contextmanager
    def curves(self, run: TrainState, config: TrainConfig) -> Iterator[None]:
        """Write TensorBoard's files too while the block runs, if the recipe asks for them.

        Raises:
            InputError: TensorBoard is not installed.
        """
        if not config.tensorboard or not self.world.leads:
            yield
            return
        with tensorboard(self.folder / "tensorboard", start=run.step) as self.scalars:
            yield

    def _resume(self, run: TrainState, index: Index, config: TrainConfig) -> None:
        found = checkpoint.latest(self.folder)
        assert found is not None, "check() came first"
        try:
            model = json.loads(found.content["config"])["model"]
        except (ValueError, LookupError, TypeError) as error:
            raise InputError(
                f"{found.path}: expected the recipe of a run in it, got another text"
            ) from error
        if model != config.model:
            raise InputError(f"{found.path}: expected a {config.model!r} run, got a {model!r} run")
        if self.world.leads:
            checkpoint.warn_of_other_data(found, index)
        run.restore(found.content, found.path)

    def is_time_to_save(self, config: TrainConfig) -> bool:
        return time.monotonic() - self.saved > config.save_seconds

    def is_time_to_watch(self, config: TrainConfig) -> bool:
        return time.monotonic() - self.watched > 60 * config.watch_minutes

    def save(self, run: TrainState, config: TrainConfig, *, best: bool = False) -> None:
        """Write a checkpoint.

        Raises:
            OutputError: it cannot be written; those before it are whole.
        """
        if self.world.leads:
            checkpoint.save(self.folder, run.content(config), best=best)
        self.saved = time.monotonic()

    def keep(self, run: TrainState, config: TrainConfig) -> None:
        """Write a checkpoint that later ones do not push out."""
        if self.world.leads:
            name = f"kept-{run.step:08d}.pt"
            checkpoint.write(self.folder / name, run.content(config))

    def log(self, report: StepReport) -> None:
        """Add a report to the log."""
        if self.world.leads:
            append_log(self.folder / LOG, report)
            if self.scalars is not None:
                self.scalars(report.step, scalars_of(report))

    def watch(self, run: TrainState, watcher: Watcher, config: TrainConfig) -> Mapping[str, float]:
        """Look at the network, note what was seen, and keep it if it is the best so far."""
        values = watcher(run.encoder, run.step, run.seconds, self.folder)
        append_validation(self.folder / VALIDATION, Validation(run.step, run.seconds, values))
        if self.scalars is not None:
            self.scalars(run.step, {f"held out/{name}": x for name, x in values.items()})
        value = merit(values)
        if value is not None and (run.best is None or value > run.best):
            run.best = value
            self.save(run, config, best=True)
        self.watched = time.monotonic()
        return values

    def finish(
        self,
        run: TrainState,
        sampler: AnySampler,
        config: TrainConfig,
        *,
        complete: bool,
        asked: Callable[[], int],
        progress: Report | None = None,
    ) -> int:
        """Write the weights as they are now, the table, the curves and the report.

        complete: the schedule came to its end; the normalisation is measured again only then.
        asked: the number of the signal that has asked for the end, or 0. progress: called while
            the normalisation is measured.

        Returns:
            The signal that ended the measuring, so that the weights are not complete, or 0.
        """
        if not self.world.leads or run.step == 0:
            return 0
        encoder, grey, signal = run.encoder, None, 0
        if complete:
            try:
                encoder, grey = calibrate(run, sampler, partial(_ticked, asked, progress))
            except _AskedToStopError as stop:
                complete, signal = False, stop.number
        notes = run.notes | {
            "steps": str(run.step),
            "examples_seen": str(run.examples_seen),
            "frames_seen": str(run.frames_seen),
            "seconds": f"{run.seconds:.0f}",
            "complete": "yes" if complete else "no",
            "recipe": to_json(config),
        }
        save_encoder(self.folder / MODEL, encoder, notes=notes, grey_statistics=grey)
        reports = read_log(self.folder / LOG)
        if reports:
            write_csv(self.folder / LOG, self.folder / TABLE)
            validations = read_validations(self.folder / VALIDATION)
            plot_losses(reports, self.folder / CURVES, validations=validations)
        write_report(self.folder)
        return signal


class _AskedToStopError(Exception):
    """A signal came while the normalisation was measured."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def _ticked(asked: Callable[[], int], progress: Report | None, done: int, total: int) -> None:
    if number := asked():
        raise _AskedToStopError(number)
    if progress is not None:
        progress("calibrate", done, total)


def merit(values: Mapping[str, float]) -> float | None:
    """What makes one moment of a run better than another: J&F where measured, else colours."""
    if "J&F-Mean" in values:
        return values["J&F-Mean"]
    return -values["color_error"] if "color_error" in values else None


def _facts(run: TrainState, index: Index, world: World) -> dict[str, object]:
    """What the run is made from, for its report."""
    return {
        "device": _device_name(run.device),
        "videos": len(index.videos),
        "photos": len(index.photos),
        "hours": round(sum(video.seconds for video in index.videos) / 3600, 2),
        "digest": index.digest,
        "processes": world.size,
        "threads of each": torch.get_num_threads(),
        "parameters": sum(p.numel() for p in run.encoder.parameters()),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "problems": list(index.problems),
    }


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
