"""One job: what it is made of, whether it is done already, and how it is done.

The same code runs it in this process, in a child and on another machine: a `Job` is plain data, and
what it names are functions of modules.
"""

from __future__ import annotations

import io
import json
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from chromatrack import __version__
from chromatrack.atomic import replace_file
from chromatrack.batch.columns import Columns, arguments_for, columns_of
from chromatrack.batch.inputs import Inputs, copied_files, digest_of
from chromatrack.batch.remote import is_remote
from chromatrack.batch.store import JOB_FILE, SCHEMA_VERSION, Store
from chromatrack.batch.summary import summary_of
from chromatrack.errors import ChromatrackError, DamagedVideoError
from chromatrack.json_text import json_text

State = Literal["done", "damaged", "failed", "waiting"]
"""damaged: done as far as its video could be read."""


@dataclass(frozen=True)
class Command:
    """A command that jobs may be made of.

    function: of the command line, called as `function(first, output=..., **options)`; what it says
    is not needed. output: what it writes is called in the job's folder, given its options. reads:
    the command whose output it is given first; None: the video. without: options that a job does
    not have. needs: options that it must have although the command can go without them. files:
    options whose values are paths, `@FRAME` behind some of them. names_or_files: those that may be.
    left: whether one that was interrupted left something at its output that it can go on with; then
    it is called with `resume=True`. kept: a suffix; behind its output's name it is that of a folder
    in which it keeps what is finished if it is called with `resume=True`, as it is then always; the
    folder goes with the end of the step. check: finds what is wrong with the arguments without
    opening a file. look: the same with files opened, given the video, too. models: files of
    weights, by the arguments.
    """

    function: Callable[..., object]
    output: Callable[[Mapping[str, Any]], str]
    reads: str | None = None
    without: tuple[str, ...] = ("output",)
    needs: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    names_or_files: tuple[str, ...] = ()
    left: Callable[[Path], bool] = lambda _: False
    kept: str | None = None
    look: Callable[[str, Mapping[str, Any]], None] = lambda *_: None
    check: Callable[[Mapping[str, Any]], None] = lambda _: None
    models: Callable[[Mapping[str, Any]], Sequence[Path]] = lambda _: ()

    @property
    def columns(self) -> Columns:
        """Its options."""
        return columns_of(self.function, without=self.without)

    def arguments(self, options: Mapping[str, object]) -> dict[str, Any]:
        """Keyword arguments for the options of a step. Raises InputError."""
        return arguments_for(self.function, self.columns, options)


Commands = Mapping[str, Command]


@dataclass(frozen=True)
class Step:
    """One command of a job, with its options as JSON has them."""

    command: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Job:
    """A row of a manifest. name: of its folder, of no other job. place: where it was asked for."""

    name: str
    video: str
    steps: tuple[Step, ...]
    place: str = ""

    @property
    def command(self) -> str:
        """`track+events`."""
        return "+".join(step.command for step in self.steps)

    def inputs(self, commands: Commands) -> Inputs:
        """Files it reads: the video and what its options name."""
        named: list[tuple[str, str]] = [("video", self.video)]
        for step in self.steps:
            for option in commands[step.command].files:
                given = step.options.get(option, ())
                values = given if isinstance(given, list) else [given] if given != () else []
                named += [(f"{step.command}.{option}", str(value)) for value in values]
        return Inputs(tuple(named))

    @contextmanager
    def copied_here(
        self, commands: Commands, whose: str = ""
    ) -> Iterator[tuple[Job, Mapping[str, str]]]:
        """The same with files here in place of those elsewhere, and which are copies of which.

        They lie where no other job's do, and where they did the last time: results name them.
        """
        inputs = self.inputs(commands)
        if not any(is_remote(text) for _, text in inputs.named):
            yield self, {}
            return
        place = f"chromatrack-batch-{digest_of(whose)[:12]}"
        home = Path(tempfile.gettempdir()) / place / self.name
        home.parent.mkdir(mode=0o700, exist_ok=True)
        try:
            copies = inputs.copied(home)
            steps = tuple(
                Step(step.command, {k: _moved(v, copies) for k, v in step.options.items()})
                for step in self.steps
            )
            yield replace(self, video=copies.get(self.video, self.video), steps=steps), copies
        finally:
            shutil.rmtree(home, ignore_errors=True)

    def key(self) -> str:
        """Digest of all that is asked for, the content of its files aside."""
        steps = [[step.command, dict(step.options)] for step in self.steps]
        return digest_of([__version__, SCHEMA_VERSION, self.video, steps])

    def settings(self, commands: Commands) -> list[Any]:
        """What is asked for besides files."""
        return [
            [step.command, {k: v for k, v in step.options.items() if k not in files}]
            for step in self.steps
            for files in [commands[step.command].files]
        ]


def _moved(value: Any, copies: Mapping[str, str]) -> Any:  # noqa: ANN401  (JSON)
    if isinstance(value, list):
        return [_moved(one, copies) for one in value]
    return copies.get(value, value) if isinstance(value, str) else value


def is_same(job: Job, record: Mapping[str, Any] | None, commands: Commands) -> bool:
    """Whether a record is of this very job, by the names, sizes and times of its files alone."""
    if record is None or record.get("key") != job.key():
        return False
    return job.inputs(commands).are_as(record.get("inputs", []))


def run_job(job: Job, commands: Commands, store: Store, *, tries: int = 1) -> dict[str, Any]:
    """Do a job and put its folder into the store; if that holds the very same already, leave it.

    Returns:
        Its record, as `job.json` in its folder has it.

    Raises:
        InputError, VideoError: something is wrong with its files. OutputError: the store cannot be
            written. Nothing is in the store then but what was before.
    """
    began = time.perf_counter()
    models = [
        path
        for step in job.steps
        for command in [commands[step.command]]
        for path in command.models(command.arguments(step.options))
    ]
    known = store.record(job.name)
    with job.copied_here(commands, store.path) as (here, copies):
        return _run(job, here, copies, commands, store, models, known, tries=tries, began=began)


def _run(
    job: Job,
    here: Job,
    copies: Mapping[str, str],
    commands: Commands,
    store: Store,
    models: Sequence[Path],
    known: Mapping[str, Any] | None,
    *,
    tries: int,
    began: float,
) -> dict[str, Any]:
    """See `run_job`; here: the job with its files on this machine."""
    before = known.get("inputs", []) if known else []
    read = job.inputs(commands).read(models, before, copied_files(copies))
    digest = digest_of([__version__, SCHEMA_VERSION, job.settings(commands), read.contents])
    head = {
        "schema_version": SCHEMA_VERSION,
        "chromatrack_version": __version__,
        "job": job.name,
        "command": job.command,
        "video": job.video,
        "key": job.key(),
        "digest": digest,
        "inputs": read.rows,
    }
    if known is not None and known.get("digest") == digest:  # touched or moved, but the same
        record = {**known, **head}
        store.amend(job.name, record)
        return record
    with store.staged(job.name, digest) as folder:
        message, outputs, said = _done_steps(here, commands, folder)
        record = head | {
            "state": "damaged" if message else "done",
            "message": message,
            "outputs": outputs,
            **summary_of(folder, outputs),
            "warnings": said,
            "tries": tries,
            "seconds": round(time.perf_counter() - began, 3),
        }
        frames, seconds = record["frames"], record["seconds"]
        record["frames_per_second"] = round(frames / seconds, 3) if frames and seconds else None
        (folder / JOB_FILE).write_text(json_text(record, indent=1) + "\n", encoding="utf-8")
        store.publish(job.name, folder, [*outputs.values(), JOB_FILE])
    return record


_SPOILED = (ChromatrackError, OSError, ValueError, TypeError, LookupError, RuntimeError, EOFError)
"""What reading files that were half written, or changed by hand, may raise."""

_STEPS = ".steps.json"
"""In a folder that is prepared: what the steps that are finished came to."""


def _done_steps(
    job: Job, commands: Commands, folder: Path
) -> tuple[str | None, dict[str, str], list[str]]:
    """Run every command; what damage was met, {command: its output}, and what was warned of.

    What an interrupted worker left in the folder is gone on with. If it is not good for that, for
    whatever reason, it goes and all is done anew: nothing is lost by it but time.
    """
    if not any(folder.iterdir()):
        return _do_steps(job, commands, folder, _Steps())
    try:
        return _do_steps(job, commands, folder, _Steps.read(folder))
    except _SPOILED:  # a fault of the job's own comes again, and is told then
        _clear(folder)
        return _do_steps(job, commands, folder, _Steps())


@dataclass
class _Steps:
    """What finished steps came to: damage that was met, outputs by command, warnings.

    files: all that they wrote, by their names in the folder.
    """

    damage: str | None = None
    outputs: dict[str, str] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, folder: Path) -> _Steps:
        """Those of a worker that was interrupted; ValueError, TypeError: it is damaged."""
        path = folder / _STEPS
        return cls(**json.loads(path.read_text(encoding="utf-8"))) if path.exists() else cls()


def _do_steps(
    job: Job, commands: Commands, folder: Path, steps: _Steps
) -> tuple[str | None, dict[str, str], list[str]]:
    """Run every command that is not among the finished ones."""
    for step in job.steps:
        if step.command in steps.outputs:
            continue
        command, name = commands[step.command], commands[step.command].output(step.options)
        arguments = command.arguments(step.options)
        is_left = command.left(folder / name)
        if not is_left:
            _clear(folder, but=[*steps.files, _STEPS])
        if is_left or command.kept is not None:
            arguments["resume"] = True
        first = job.video if command.reads is None else folder / steps.outputs[command.reads]
        with warnings.catch_warnings(record=True) as caught, redirect_stderr(io.StringIO()):
            warnings.simplefilter("always", UserWarning)
            try:
                command.function(first, output=folder / name, **arguments)
            except DamagedVideoError as error:
                if not (folder / name).exists():
                    raise
                steps.damage = str(error)
        if command.kept is not None:  # it stays where a video broke off
            shutil.rmtree(folder / f"{name}{command.kept}", ignore_errors=True)
        told = (" ".join(str(w.message).split()) for w in caught if w.category is UserWarning)
        steps.said += [text.replace(f"{folder}/", "") for text in told]
        steps.outputs[step.command] = name
        steps.files = sorted(path.name for path in folder.iterdir() if path.name[0] != ".")
        if step is not job.steps[-1]:
            replace_file(folder / _STEPS, json_text(asdict(steps)))
    _clear(folder, but=steps.files)
    return steps.damage, steps.outputs, list(dict.fromkeys(steps.said))


def _clear(folder: Path, *, but: Collection[str] = ()) -> None:
    """Remove what is in a folder, but for some names."""
    for path in folder.iterdir():
        if path.name in but:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def failure_of(job: Job, commands: Commands, message: str, *, tries: int, lasts: bool) -> dict:
    """The record of a job that failed; lasts: it would again, as its files and settings are."""
    return {
        "schema_version": SCHEMA_VERSION,
        "chromatrack_version": __version__,
        "job": job.name,
        "command": job.command,
        "video": job.video,
        "state": "failed",
        "message": " ".join(message.split()),
        "lasts": lasts,
        "ended": time.time(),
        "tries": tries,
        "key": job.key(),
        "inputs": job.inputs(commands).seen(),
    }
