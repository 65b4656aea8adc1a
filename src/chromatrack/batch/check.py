"""A manifest looked at as a whole before anything is done: every video opened, all marks read."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import partial

from chromatrack.batch.job import Commands, Job
from chromatrack.batch.manifest import Fault
from chromatrack.batch.processes import check_in_processes
from chromatrack.errors import ChromatrackError

AT_A_TIME = 100
"""Jobs that a process is given at once; fewer altogether are looked at in this process."""


def check_jobs(
    jobs: Sequence[Job],
    commands: Callable[[], Commands],
    *,
    processes: int,
    preload: Sequence[str] = (),
) -> list[Fault]:
    """What is wrong with the files of jobs, in the order of the jobs; nothing is written.

    Args:
        processes: how many look at a time. preload: modules that they need.
    """
    parts = [jobs[i : i + AT_A_TIME] for i in range(0, len(jobs), AT_A_TIME)]
    if len(parts) < 2 or processes < 2:
        return [fault for part in parts for fault in _faults(part, commands())]
    return check_in_processes(partial(_faults_of, commands), parts, processes, preload)


def _faults_of(commands: Callable[[], Commands], jobs: Sequence[Job]) -> list[Fault]:
    return _faults(jobs, commands())


def _faults(jobs: Sequence[Job], commands: Commands) -> list[Fault]:
    found = []
    for job in jobs:
        try:
            texts = [f"{text}: is not there" for text in job.inputs(commands).missing()]
            if not texts:
                with job.copied_here(commands, "check") as (here, _):
                    texts = _wrong(here, commands)
        except ChromatrackError as error:
            texts = [str(error)]
        found += [Fault(job.place, text) for text in dict.fromkeys(texts)]
    return found


def _wrong(job: Job, commands: Commands) -> list[str]:
    texts = []
    for step in job.steps:
        command = commands[step.command]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                command.look(job.video, command.arguments(step.options))
        except ChromatrackError as error:
            texts.append(" ".join(str(error).split()))
    return texts
