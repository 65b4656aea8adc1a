"""Commands of no weight, to be put into jobs: what is tested is what happens around them."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import forkserver
from pathlib import Path

from chromatrack.batch.api import Batch, Rules, run_batch
from chromatrack.batch.drive import News
from chromatrack.batch.job import Command
from chromatrack.batch.manifest import read_manifest
from chromatrack.errors import DamagedVideoError, InputError, OutputError


@dataclass(frozen=True)
class Fine:
    """Settings of a quick command."""

    size: int = 1
    trust: float = 0.5


FINE = Fine()


def copy(
    video: str,
    /,
    *,
    output: Path,
    mark: Path | None = None,
    seconds: float = 0.0,
    how: str = "",
    log: str = "",
    settings: Fine = FINE,
) -> str:
    """Copy a text bit by bit, as `result.json` and a file per letter; or fail as `how` says."""
    log_to(log, f"{os.getpid()} {Path(video).name} {_threads}")
    text = Path(video).read_text(encoding="utf-8")
    if text == "broken":
        raise InputError(f"{video}: is broken")
    output.mkdir()
    for number, letter in enumerate(text * settings.size):
        (output / f"{number}.txt").write_text(letter, encoding="utf-8")
        time.sleep(seconds / len(text))
    if mark is not None:
        (output / "mark.txt").write_bytes(mark.read_bytes())
    _fail(how, output)
    rows = [{"index": i, "reliability": {"1": settings.trust}} for i in range(len(text))]
    look_at = [{"object": 1, "first": 2, "last": 3, "reliability": 0.1}]
    found = {"frames": rows, "look_at": look_at if settings.trust < 0.3 else []}
    (output / "result.json").write_text(json.dumps(found), encoding="utf-8")
    if how == "damage":
        raise DamagedVideoError(f"{video}: ends early", frame_index=3)
    return "done"


def _fail(how: str, output: Path) -> None:
    if how == "bug":
        raise ValueError("unforeseen")
    if how == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "full":
        raise OutputError(f"{output}: no room")
    name, _, once = how.partition(":")
    if name in ("once", "die-once") and not Path(once).exists():
        Path(once).write_text("", encoding="utf-8")
        _fail({"once": "bug", "die-once": "die"}[name], output)


def count(track: Path, /, *, output: Path, unit: str = "letters") -> str:
    """How many letters were copied."""
    output.write_text(f"{len(list(track.glob('[0-9]*.txt')))} {unit}\n", encoding="utf-8")
    return "done"


def log_to(path: str, line: str) -> None:
    """Add a line to a file, whole however many do."""
    if path:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")


def commands() -> Mapping[str, Command]:
    """Both."""
    return {
        "track": Command(copy, output=lambda _: "track", files=("mark",)),
        "count": Command(count, output=lambda _: "count.txt", reads="track"),
    }


@contextmanager
def kept(threads: int) -> Iterator[None]:
    """Nothing is kept, but how often that was."""
    _threads.append(threads)
    yield


_threads: list[int] = []


def batch_of(manifest: Path, **given) -> Batch:
    """The batch of a manifest of quick commands."""
    rules = Rules(given.pop("retries", 2), given.pop("retry_failed", False))
    read = read_manifest(manifest, commands(), settings=given.pop("settings", None))
    assert not read.faults, read.faults
    return Batch(read.jobs, commands, kept, rules=rules, **{"processes": 2, **given})


def drive(manifest: Path, store: Path, **given) -> list[News]:
    """Do it; what was told of jobs."""
    told: list[News] = []
    run_batch(batch_of(manifest, **given), str(store), tell=told.append)
    return [news for news in told if news.job is not None]


def drive_in_fork(manifest: Path, store: Path, **given) -> partial:
    """To be called in a process of its own."""
    return partial(_drive, manifest, store, given)


def _drive(manifest: Path, store: Path, given: dict) -> int:
    forkserver._forkserver.__init__()  # that of the process which this one was forked from
    drive(manifest, store, **given)
    return 0


def contents(store: Path) -> dict[str, bytes]:
    """Every file of every job, and its record without times."""
    found = {}
    for path in sorted(path for path in (store / "jobs").rglob("*") if path.is_file()):
        content = path.read_bytes()
        if path.name == "job.json":
            record = json.loads(content)
            for name in ("seconds", "frames_per_second", "tries"):
                del record[name]
            content = json.dumps(record, sort_keys=True).encode()
        found[path.relative_to(store).as_posix()] = content
    return found
