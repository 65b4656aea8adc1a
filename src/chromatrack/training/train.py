"""One visible training loop: examples in, weights out.

The same loop runs in one process, or in several that `torchrun` started. What it was doing is in
`TrainState`; everything else follows from the recipe, the data and the step's number.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, nullcontext
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TypeVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from chromatrack.errors import InputError, TrainingError
from chromatrack.model.encoder import Encoder, color_head, color_scores, mirror_averaged
from chromatrack.runs.output_lock import output_lock
from chromatrack.runs.progress import Report
from chromatrack.training.config import TrainConfig, check, default, learning_rate
from chromatrack.training.data.clip_store import ClipStore
from chromatrack.training.data.device_batches import DeviceSampler
from chromatrack.training.data.frame_table import frame_table
from chromatrack.training.data.index import Index, build_index
from chromatrack.training.data.sampler import AnySampler, Batch, Sampler
from chromatrack.training.distributed import (
    World,
    greatest,
    here,
    mean,
    once_per_machine,
    own_device,
    shared,
    together,
    wait,
    without_sharing,
)
from chromatrack.training.monitor.holdout import HeldPair, pairs_to_watch, set_aside
from chromatrack.training.monitor.log import StepReport
from chromatrack.training.objective import terms, total
from chromatrack.training.run_folder import RunFiles
from chromatrack.training.signals import asked_to_stop, raise_for
from chromatrack.training.state import TrainState, Watcher, begin, choose_precision

MakeWatcher = Callable[[Sequence[HeldPair]], Watcher | None]
"""Given the pairs set aside, maybe none, what looks at the network; None: nothing does."""

DEPTH = 4  # batches made ahead
Item = TypeVar("Item")


def train(
    data: Sequence[str | PathLike[str]],
    *,
    output: str | PathLike[str],
    config: TrainConfig | None = None,
    resume: bool = False,
    make_watcher: MakeWatcher | None = None,
    cache: Path | None = None,
    progress: Report | None = None,
) -> Generator[StepReport]:
    """Train an encoder; yields a report every `log_every` steps.

    Writes into `output`: config.json, data.json, log.jsonl, log.csv, the last two checkpoints and
    the best, validation.jsonl and pictures/ if watched, and at the end model.safetensors, loss.png
    and report.html. Ctrl-C, SIGTERM and leaving the iteration early save first.

    Args:
        data: folders and files: videos, photos, tar shards.
        resume: go on from the newest checkpoint in `output`; with `steps` as budget, on a CPU, the
            run ends bit for bit as if it had not been interrupted.
        make_watcher: given held-out pairs, what looks at the network now and then.
        cache: folder for the index of the data and for decoded clips; None: none is kept.
        progress: called as progress("calibrate", done, total) while the finished network's
            normalisation is measured, which takes minutes.

    With several processes, the first one of each machine fetches the data and looks at it, and the
    others get its index, with a cache or without; remote shards need one on each machine.

    Raises:
        InputError: no data, or `output` holds another run.
        OutputError: the disk is full; the last checkpoint is whole.
        StoppedError: SIGTERM or SIGHUP.
        TrainingError: the loss is not finite, or nothing could be decoded.
    """
    config = config or default()
    check(config)
    world = here()
    if config.batch % (world.size * config.accumulate):
        raise InputError(
            f"batch: expected a multiple of {world.size} processes x {config.accumulate} parts, "
            f"got {config.batch}"
        )
    files = RunFiles(Path(output), world)
    files.check(resume=resume, data=data)
    with ExitStack() as stack:
        if world.leads:
            stack.enter_context(output_lock(files.folder))
        stack.enter_context(together(world, torch.device(config.device)))
        index = once_per_machine(partial(build_index, data, cache=cache), world)
        return _train(
            index,
            files,
            config,
            stack=stack.pop_all(),  # left when the iteration ends
            resume=resume,
            make_watcher=make_watcher,
            cache=cache,
            progress=progress,
        )


def _train(
    index: Index,
    files: RunFiles,
    config: TrainConfig,
    *,
    stack: ExitStack,
    resume: bool,
    make_watcher: MakeWatcher | None,
    cache: Path | None,
    progress: Report | None,
) -> Generator[StepReport]:
    world = files.world
    device = own_device(torch.device(config.device), world)
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = True  # all batches of a run are of one shape
    with stack:
        index, held = set_aside(index, config)
        run = begin(config, device)
        files.open(run, index, config, resume=resume)
        if config.decay_from is not None and not resume:
            run.branch(Path(config.decay_from))
        stack.enter_context(files.curves(run, config))
        store = ClipStore(index, config=config.sampler, device=device, cache=cache)
        stack.callback(store.close)
        sampler = _sampler(store, run, config, device=device, cache=cache)
        if run.codebook is None and config.objective.compare == "classify":
            run.fit_colors(sampler, config)
        watcher = None
        if make_watcher and world.leads:
            watcher = make_watcher(pairs_to_watch(held, index, config))
        asked = stack.enter_context(asked_to_stop(again_ends=world.size == 1))
        yield from _loop(run, sampler, files, config, watcher, asked, progress)


def _sampler(
    store: ClipStore,
    run: TrainState,
    config: TrainConfig,
    *,
    device: torch.device,
    cache: Path | None,
) -> AnySampler:
    """What draws the batches: example by example on the CPU, or from a table on the device."""
    if config.sampler.cache != "table":
        return Sampler(store, run.encoder.spec, config.sampler)
    table = frame_table(store, cache=cache).on(device)
    return DeviceSampler(table, run.encoder.spec, config.sampler)


def _loop(
    run: TrainState,
    sampler: AnySampler,
    files: RunFiles,
    config: TrainConfig,
    watcher: Watcher | None,
    asked: Callable[[], int],
    progress: Report | None,
) -> Generator[StepReport]:
    world = files.world
    network = network_to_train(run, config, world)
    batches = prefetch(
        sampler.batches(config.batch, start=run.step, rank=world.rank, world=world.size),
        depth=DEPTH,
    )
    clock = _Clock(run)
    run.encoder.train()
    signal, is_together = 0, False
    try:
        while run.progress(config) < 1 and not signal:
            batch = clock.wait_for(batches).to(run.device)
            rate = _rate(config, run)
            found = _gradients(network, run, batch, config)
            signal = _agree(run, found, clock, asked, files)
            update(run, config, rate)
            run.step += 1
            run.examples_seen += config.batch
            run.frames_seen += config.batch * config.sampler.views
            is_last = run.progress(config) >= 1
            if run.step % config.log_every == 0 or is_last:
                report = _report(run, config, found, rate, clock.waited_share(), world)
                files.log(report)
                yield report
            if config.keep_every and run.step % config.keep_every == 0:
                files.keep(run, config)
            if files.is_time_to_save(config):
                files.save(run, config)
            if watcher is not None and files.is_time_to_watch(config) and not is_last:
                files.watch(run, watcher, config)
        is_together = True
        if signal == 0 and watcher is not None and run.step:
            files.watch(run, watcher, config)
    finally:
        batches.close()
        if run.is_sound:
            files.save(run, config)
            complete = is_together and not signal
            ended = files.finish(
                run, sampler, config, complete=complete, asked=asked, progress=progress
            )
            signal = signal or ended
        if is_together:
            wait(world)
    raise_for(signal, step=run.step)


class _Projector(nn.Module):
    """The encoder as the module that gradients are averaged for: features, or scores of colours."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.predicts = color_head(encoder) is not None

    def forward(self, lab: Tensor) -> Tensor:
        return color_scores(self.encoder, lab) if self.predicts else self.encoder.project(lab)


def network_to_train(run: TrainState, config: TrainConfig, world: World) -> nn.Module:
    """The run's encoder as `losses` calls it: over all processes, compiled if asked."""
    network = shared(_Projector(run.encoder), world, run.device)
    return cast("nn.Module", torch.compile(network)) if config.compile else network


def prefetch(items: Iterator[Item], *, depth: int) -> Generator[Item]:
    """Run an iterator in a background thread, at most `depth` items ahead; errors come through."""
    end = object()
    with ThreadPoolExecutor(1, thread_name_prefix="chromatrack-clips") as pool:
        coming = deque(pool.submit(next, items, end) for _ in range(depth))
        try:
            while (item := coming.popleft().result()) is not end:
                coming.append(pool.submit(next, items, end))
                yield cast("Item", item)
        finally:
            pool.shutdown(cancel_futures=True)


class _Clock:
    """Wall time of a run over all its processes' lives, and the share of it spent waiting."""

    def __init__(self, run: TrainState) -> None:
        self.began = time.monotonic() - run.seconds
        self.reported, self.waited = time.monotonic(), 0.0

    def seconds(self) -> float:
        return time.monotonic() - self.began

    def wait_for(self, batches: Iterator[Batch]) -> Batch:
        before = time.monotonic()
        batch = next(batches)
        self.waited += time.monotonic() - before
        return batch

    def waited_share(self) -> float:
        """Since the last call."""
        now = time.monotonic()
        share = self.waited / max(now - self.reported, 1e-9)
        self.reported, self.waited = now, 0.0
        return min(1.0, share)


def _rate(config: TrainConfig, run: TrainState) -> float:
    return learning_rate(
        run.progress(config),
        schedule=config.schedule,
        peak=config.learning_rate,
        warmup=config.warmup,
        drops=config.drops,
        decay=config.decay,
    )


def _gradients(
    network: nn.Module, run: TrainState, batch: Batch, config: TrainConfig
) -> dict[str, Tensor]:
    """Forward and backward through a batch, in parts if asked; the terms and `loss`, averaged."""
    run.optimizer.zero_grad(set_to_none=True)
    sums: dict[str, Tensor] = {}
    parts = batch.split(config.accumulate)
    for number, part in enumerate(parts):
        is_last = number == len(parts) - 1
        with nullcontext() if is_last else without_sharing(network):
            found = losses(network, run, part, config)
            run.scaler.scale(found["loss"] / len(parts)).backward()
        for name, value in found.items():
            sums[name] = sums.get(name, 0) + value.detach() / len(parts)
    return sums


def losses(
    network: nn.Module, run: TrainState, batch: Batch, config: TrainConfig
) -> dict[str, Tensor]:
    """Forward through a batch, or a part of one: the terms and their weighted sum, `loss`."""
    precision = choose_precision(config, run.device)
    seen = batch.seen * ~batch.hidden[:, None, :, None, None]
    images = seen.flatten(0, 1).contiguous(memory_format=torch.channels_last)
    with torch.autocast(run.device.type, precision, enabled=precision != torch.float32):
        features = network(images)
    features = features.float().unflatten(0, seen.shape[:2])
    head = color_head(run.encoder)
    if config.objective.unit_length and head is None:
        features = F.normalize(features, dim=2)
    found = terms(
        features,
        batch,
        config.objective,
        run.encoder.spec,
        codebook=run.codebook,
        balance=None if head is None else head.balance,
        taught=None if run.teacher is None else _taught(run.teacher, batch.seen),
    )
    return found | {"loss": total(found, config.objective)}


def _taught(teacher: Encoder, seen: Tensor) -> Tensor:
    """The teacher's features of views with nothing hidden, averaged with the mirrored ones."""
    with torch.no_grad():
        images = seen.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        found = mirror_averaged(
            lambda lab: F.normalize(teacher.project(lab), dim=1),
            images,
            stride=teacher.spec.stride,
        )
    return found.float().unflatten(0, seen.shape[:2])


def _agree(
    run: TrainState,
    found: dict[str, Tensor],
    clock: _Clock,
    asked: Callable[[], int],
    files: RunFiles,
) -> int:
    """What all processes must know alike: the time, a signal (returned), a loss gone wrong.

    Raises:
        TrainingError: the loss is not finite.
    """
    run.seconds = clock.seconds()
    is_wrong = not bool(torch.isfinite(found["loss"]))
    known = torch.tensor([run.seconds, asked(), is_wrong], dtype=torch.float64, device=run.device)
    run.seconds, signal, wrong = greatest(known, files.world).tolist()
    if wrong:
        run.is_sound = False
        raise TrainingError(
            f"loss is {float(found['loss'])} at step {run.step}; the last checkpoint in "
            f"{files.folder} is intact: lower the learning rate and resume"
        )
    return int(signal)


def update(run: TrainState, config: TrainConfig, rate: float) -> None:
    """One step of the optimiser, unless reduced precision overflowed.

    Raises:
        TrainingError: a gradient is not finite.
    """
    for group in run.optimizer.param_groups:
        group["lr"] = rate
    run.scaler.unscale_(run.optimizer)
    limit = config.clip_norm or math.inf
    norm = nn.utils.clip_grad_norm_(run.encoder.parameters(), limit)
    if not run.scaler.is_enabled() and not bool(torch.isfinite(norm)):
        run.is_sound = False
        raise TrainingError(
            f"the gradient is not finite at step {run.step}; the last checkpoint is intact: lower "
            "the learning rate and resume"
        )
    run.is_sound = False
    scale = run.scaler.get_scale()
    run.scaler.step(run.optimizer)
    run.scaler.update()
    run.skipped += run.scaler.get_scale() < scale
    run.is_sound = True


def _report(
    run: TrainState,
    config: TrainConfig,
    found: dict[str, Tensor],
    rate: float,
    waiting: float,
    world: World,
) -> StepReport:
    values = mean(torch.stack(list(found.values())), world).tolist()
    numbers = dict(zip(found, values, strict=True))
    return StepReport(
        step=run.step,
        progress=min(1.0, run.progress(config)),
        loss=numbers.pop("loss"),
        terms=numbers,
        learning_rate=rate,
        seconds=run.seconds,
        examples_seen=run.examples_seen,
        frames_seen=run.frames_seen,
        waiting=waiting,
        skipped=run.skipped,
    )
