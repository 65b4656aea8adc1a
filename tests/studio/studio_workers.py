"""The studio's workers for the tests: begun as forks of a process that has loaded what they need.

A new interpreter takes seconds for torch, and every module of tests begins two of them; with the
command line, in `test_studio_serve` and the browser's tests, they are begun as users' are.
"""

from __future__ import annotations

import multiprocessing
from multiprocessing.context import BaseContext
from types import SimpleNamespace

from chromatrack.studio import model_worker, workers
from chromatrack.studio.manager import Studio
from chromatrack.studio.workers import Channel

LOADED = (
    "studio.model_worker",
    "studio.decoder",
    "studio.small_copy_maker",
    "studio.marks",
    "studio.ranges",
    "runs.correct",
    "runs.export",
    "runs.writer",
    "tracking.colorize",
    "tracking.smart_select",
    "tracking.tracker",
)


def with_forks(studio: Studio) -> Studio:
    """Have a studio begin its workers so."""
    studio.model._main = model
    workers.multiprocessing = SimpleNamespace(get_context=_forks)  # type: ignore[assignment]
    return studio


def _forks(_: str) -> BaseContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([f"chromatrack.{name}" for name in LOADED])
    return context


def model(channel: Channel) -> None:
    """The model's worker; what it does for speed alone `test_studio_workers` does."""
    model_worker.track_noise = lambda tracker: None
    model_worker.main(channel)
