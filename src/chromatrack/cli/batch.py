"""`chromatrack batch`: many videos by a manifest, done once each, whatever dies meanwhile.

Nothing heavy is imported before it runs.
"""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, UseAppendAction, arg

from chromatrack.errors import ChromatrackError, InputError

if TYPE_CHECKING:
    from chromatrack.batch.drive import Progress
    from chromatrack.batch.manifest import Manifest

MOST_FAULTS_TOLD = 20
"""Of a manifest that is not begun; --dry-run tells all."""

INCOMPLETE = 3
"""Exit code where jobs failed or were cut short by damage, as that of a damaged video."""


def batch(
    manifest: Annotated[str, Positional, arg(metavar="MANIFEST")],
    /,
    *,
    output: Annotated[str, arg(aliases=["-o"], metavar="FOLDER|URL")],
    command: Annotated[str | None, arg(metavar="NAME[+NAME ...]")] = None,
    set: Annotated[
        tuple[tuple[str, ...], ...], UseAppendAction, arg(metavar="COLUMN=VALUE ...")
    ] = (),
    jobs: Annotated[int | None, arg(metavar="INT")] = None,
    threads: int = 1,
    retries: int = 2,
    retry_failed: bool = False,
    shard: Annotated[str, arg(metavar="I/N")] = "1/1",
    ray: Annotated[str | None, arg(metavar="auto|ADDRESS")] = None,
    dry_run: bool = False,
) -> str | int:
    """Track, colour and measure many videos, each once, on all cores or many machines.

    Args:
        manifest: table (.csv) or lines of JSON (.jsonl), here or at a URL, or a folder of videos
            with marks beside them: a row per job with video, marks, command and any options of the
            commands.
        output: the store: a folder per job, index.csv and report.html. Run again to go on.
        command: of rows that name none: track, colorize, or several such as track+events.
        set: cells of all rows that have none of their own, such as size=240. May be repeated.
        jobs: how many at a time, each in a process of its own. None: as many as cores.
        threads: of each.
        retries: how often a job is tried again that failed, but not by its own files or settings.
        retry_failed: try again what failed before, too, though nothing of it has changed.
        shard: part i of n of the jobs, for schedulers that start n of these (Slurm).
        ray: run on a Ray cluster, the one at hand or at an address.
        dry_run: open every video and all marks, say what is wrong with them, a line per fault, and
            stop.
    """
    from chromatrack.batch.manifest import read_manifest
    from chromatrack.cli.batch_commands import batch_commands
    from chromatrack.runs.child_processes import core_count

    part, processes = (
        _shard(shard),
        max(1, core_count() // max(1, threads)) if jobs is None else jobs,
    )
    for name, value, least in (
        ("jobs", processes, 1),
        ("threads", threads, 1),
        ("retries", retries, 0),
    ):
        if value < least:
            raise InputError(f"{name}: expected at least {least}, got {value}")
    settings = _settings(set) | ({} if command is None else {"command": command})
    read = read_manifest(manifest, batch_commands(), settings=settings)
    if dry_run:
        return _look(read, processes)
    if read.faults:
        for fault in read.faults[:MOST_FAULTS_TOLD]:
            print(fault, file=sys.stderr)
        raise InputError(
            f"{manifest}: {_count(len(read.faults), 'fault')}, so nothing was begun; see them all "
            "with --dry-run"
        )
    progress = _run(
        read, output, processes=processes, threads=threads, retries=retries,
        retry_failed=retry_failed, part=part, ray=ray,
    )  # fmt: skip
    print(_said(progress, output))
    states = {
        progress.records[j.name]["state"] for j in progress.mine if j.name in progress.records
    }
    return INCOMPLETE if states & {"failed", "damaged"} else 0


def _look(read: Manifest, processes: int) -> str | int:
    from chromatrack.batch.check import check_jobs
    from chromatrack.cli.batch_commands import PRELOAD, batch_commands

    looked = check_jobs(read.jobs, batch_commands, processes=processes, preload=PRELOAD)
    faults = [*read.faults, *looked]
    for fault in faults:
        print(fault)
    print(f"dry run: {_count(len(read.jobs), 'job')}, {_count(len(faults), 'fault')}; nothing done")
    return ChromatrackError.exit_code if faults else 0


def _run(
    read: Manifest,
    output: str,
    *,
    processes: int,
    threads: int,
    retries: int,
    retry_failed: bool,
    part: tuple[int, int],
    ray: str | None,
) -> Progress:
    from chromatrack.batch.api import Batch, Rules, run_batch
    from chromatrack.cli.batch_commands import PRELOAD, batch_commands, kept_in_worker
    from chromatrack.cli.batch_view import batch_view

    given = Batch(
        read.jobs,
        batch_commands,
        kept_in_worker,
        preload=PRELOAD,
        processes=processes,
        threads=threads,
        shard=part,
        cluster=ray,
        rules=Rules(retries=retries, retry_failed=retry_failed),
    )
    try:
        with batch_view() as tell:
            return run_batch(given, output, tell=tell)
    except KeyboardInterrupt as interrupt:
        from chromatrack.runs.progress import told

        raise told(interrupt, f"; what is done is in {output}, run again to go on") from None


def _said(progress: Progress, output: str) -> str:
    """What became of a batch, in lines."""
    from collections import Counter

    states = Counter(
        progress.records[job.name]["state"] for job in progress.mine if job.name in progress.records
    )
    told = [f"{states[name]} {name}" for name in ("done", "damaged", "failed") if states[name]]
    before = f" ({progress.skipped} before)" if progress.skipped else ""
    lines = [f"{_count(len(progress.mine), 'job')}: {', '.join(told)}{before}: {output}"]
    failed = [j for j in progress.mine if progress.records.get(j.name, {}).get("state") == "failed"]
    for job in failed[:MOST_FAULTS_TOLD]:
        lines.append(f"{job.name}: {progress.records[job.name]['message']}")
    if len(failed) > MOST_FAULTS_TOLD:
        lines.append(f"{len(failed) - MOST_FAULTS_TOLD} more failures are in report.html")
    if failed:
        lines.append("what failed is tried again when it changes, or with --retry-failed")
    return "\n".join([*lines, f"{output.rstrip('/')}/report.html"])


def _settings(given: tuple[tuple[str, ...], ...]) -> dict[str, str]:
    found = {}
    for text in (text for group in given for text in group):
        name, equals, value = text.partition("=")
        if not equals or not name.strip() or not value.strip():
            raise InputError(f"set {text!r}: expected COLUMN=VALUE such as size=240")
        found[name.strip()] = value.strip()
    return found


def _shard(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise InputError(f"shard: expected I/N with I from 1 to N, such as 3/10, got {text!r}")
    return int(match[1]), int(match[2])


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
