"""One visible training loop: pairs in, weights out."""

from __future__ import annotations

import copy
import json
import math
import queue
import random
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from os import PathLike
from pathlib import Path

import torch
from torch import Tensor, nn

from chromatrack.adapt import measure_statistics
from chromatrack.encoder import (
    Encoder,
    build_encoder,
    channels_last,
    load_encoder,
    save_encoder,
)
from chromatrack.errors import InputError, OutputError, TrainingError
from chromatrack.labels import to_cells
from chromatrack.learn.clips import Batch, ClipSampler, SamplerConfig, Sources, find_sources
from chromatrack.learn.log import StepReport, append_log, plot_losses, read_log
from chromatrack.learn.objective import (
    copy_loss,
    correspondence_loss,
    draw_hidden,
    jitter,
)

CALIBRATION_BATCHES = 24


@dataclass(frozen=True)
class TrainConfig:
    """A recipe. The schedule runs over `minutes` if given, else over `steps`.

    init: weights to start from (a shipped name or a file of the same network); None: random.
    """

    model: str = "small"
    init: str | None = None
    steps: int = 10_000
    minutes: float | None = None
    batch: int = 8
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    warmup: float = 0.05
    temperature: float = 0.07
    copy_weight: float = 10.0
    correspondence_weight: float = 1.0
    jitter_strength: float = 0.5
    device: str = "cpu"
    seed: int = 0
    log_every: int = 10
    save_seconds: float = 120.0
    sampler: SamplerConfig = field(default_factory=SamplerConfig)


def one_cycle(progress: float, *, peak: float, warmup: float) -> float:
    """Learning rate at `progress` in [0, 1]: linear warm-up, then cosine to exactly 0."""
    if progress < warmup:
        return peak * (0.04 + 0.96 * progress / warmup)
    return peak * 0.5 * (1 + math.cos(math.pi * min(1.0, (progress - warmup) / (1 - warmup))))


@dataclass
class TrainState:
    """All that a checkpoint holds."""

    encoder: Encoder
    optimizer: torch.optim.Optimizer
    step: int = 0
    elapsed_seconds: float = 0.0


def losses(
    encoder: Encoder, batch: Batch, config: TrainConfig, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """The two objectives of a batch: colours copied, and known motion found."""
    lab = batch.lab
    B = len(lab)
    known = torch.isfinite(batch.correspondence).flatten(1).any(1)
    hidden = draw_hidden(B, generator).to(lab.device)
    see_all = torch.rand(B, generator=generator).to(lab.device) < 0.5
    hidden = hidden & ~(known & see_all)[:, None]  # half of the stills show all channels
    seen = jitter(lab.flatten(0, 1), strength=config.jitter_strength, generator=generator)
    seen = seen.reshape(lab.shape) * ~hidden[:, None, :, None, None]
    with torch.autocast(lab.device.type, torch.bfloat16, enabled=lab.device.type == "cuda"):
        features = encoder.embed(seen.flatten(0, 1).contiguous(memory_format=torch.channels_last))
    features = features.float().unflatten(0, (B, 2))
    reference, target = features[:, 0], features[:, 1]
    values = to_cells(lab.flatten(0, 1), encoder.spec).unflatten(0, (B, 2))
    copied = copy_loss(
        target, reference, values[:, 1], values[:, 0], hidden, temperature=config.temperature
    )
    if config.correspondence_weight == 0 or not bool(known.any()):
        return copied, copied.new_zeros(())
    found = correspondence_loss(
        target[known],
        reference[known],
        batch.correspondence[known],
        encoder.spec,
        temperature=config.temperature,
    )
    return copied, found


def train(
    data: Sequence[str | PathLike[str]],
    *,
    output: str | PathLike[str],
    config: TrainConfig | None = None,
    resume: bool = False,
) -> Generator[StepReport]:
    """Train an encoder; yields a report every `log_every` steps.

    Writes into `output`: config.json, log.jsonl, checkpoint.pt, model.safetensors, loss.png.
    Leaving the iteration early (Ctrl-C, close) saves first.

    Raises:
        InputError: no data, or `output` holds another run.
        TrainingError: the loss is not finite, or nothing could be decoded.
    """
    config = config or TrainConfig()
    _check(config)
    sources = find_sources(data)
    state, folder = _start(config, Path(output), resume)
    return _loop(sources, config, state, folder)


def _check(config: TrainConfig) -> None:
    if config.minutes is not None and not config.minutes > 0:
        raise InputError(f"minutes: expected more than 0, came {config.minutes}")
    for name in ("steps", "batch", "log_every"):
        if getattr(config, name) < 1:
            raise InputError(f"{name}: expected 1 or more, came {getattr(config, name)}")
    if config.model not in ("small", "base"):
        raise InputError(f"model: expected small or base, came {config.model!r}")


def _loop(
    sources: Sources, config: TrainConfig, state: TrainState, folder: Path
) -> Generator[StepReport]:
    encoder, optimizer = state.encoder, state.optimizer
    device = torch.device(config.device)
    sampler = ClipSampler(sources, encoder.spec, config.sampler)
    batches = prefetch(sampler.batches(config.batch, start=state.step), depth=4)
    started = time.monotonic() - state.elapsed_seconds
    saved = time.monotonic()
    shown: list[Tensor] = []
    encoder.train()
    try:
        while (progress := _progress(config, state)) < 1:
            batch = next(batches)
            batch = Batch(batch.lab.to(device), batch.correspondence.to(device))
            generator = torch.Generator().manual_seed(config.seed * 1_000_003 + state.step)
            rate = one_cycle(progress, peak=config.learning_rate, warmup=config.warmup)
            for group in optimizer.param_groups:
                group["lr"] = rate

            copied, found = losses(encoder, batch, config, generator)
            loss = config.copy_weight * copied + config.correspondence_weight * found
            if not bool(torch.isfinite(loss)):
                raise TrainingError(
                    f"loss is {float(loss)} at step {state.step}; the last checkpoint in {folder} "
                    "is intact: lower the learning rate and resume"
                )
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(encoder.parameters(), 1.0)
            optimizer.step()

            state.step += 1
            state.elapsed_seconds = time.monotonic() - started
            if state.step % config.log_every == 0 or _progress(config, state) >= 1:
                report = StepReport(
                    step=state.step,
                    progress=min(1.0, _progress(config, state)),
                    loss=float(loss.detach()),
                    copy=float(copied.detach()),
                    correspondence=float(found.detach()),
                    learning_rate=rate,
                    seconds=state.elapsed_seconds,
                    pairs_seen=state.step * config.batch,
                )
                append_log(folder / "log.jsonl", report)
                yield report
            if time.monotonic() - saved > config.save_seconds:
                save_checkpoint(folder, state, config)
                saved = time.monotonic()
        save_checkpoint(folder, state, config)
        shown = [next(batches).lab.flatten(0, 1).to(device) for _ in range(CALIBRATION_BATCHES)]
    except (KeyboardInterrupt, GeneratorExit):
        save_checkpoint(folder, state, config)
        raise
    finally:
        batches.close()
        if state.step > 0:
            _finish(folder, state, config, sources, shown)


def _progress(config: TrainConfig, state: TrainState) -> float:
    if config.minutes is not None:
        return state.elapsed_seconds / (60 * config.minutes)
    return state.step / config.steps


def prefetch(batches: Iterator[Batch], *, depth: int) -> Generator[Batch]:
    """Run an iterator in a background thread, at most `depth` items ahead; errors come through."""
    waiting: queue.Queue[Batch | BaseException] = queue.Queue(maxsize=depth)
    stop = threading.Event()

    def put(item: Batch | BaseException) -> bool:
        while not stop.is_set():
            try:
                waiting.put(item, timeout=0.2)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        try:
            for batch in batches:
                if not put(batch):
                    return
        except BaseException as error:  # noqa: BLE001  (handed to the consumer, raised there)
            put(error)

    thread = threading.Thread(target=work, name="chromatrack-clips", daemon=True)
    thread.start()
    try:
        while True:
            item = waiting.get()
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stop.set()
        thread.join(timeout=10)


def _start(config: TrainConfig, folder: Path, resume: bool) -> tuple[TrainState, Path]:
    checkpoint = folder / "checkpoint.pt"
    if checkpoint.exists() and not resume:
        raise InputError(
            f"{folder}: holds a run already; resume it (--resume) or choose another folder"
        )
    if resume and not checkpoint.exists():
        raise InputError(f"{folder}: expected a checkpoint.pt to resume from, found none")
    random.seed(config.seed)
    torch.manual_seed(config.seed)
    encoder = channels_last(_new_encoder(config).to(config.device))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot create the run folder ({error.strerror})") from error
    optimizer = torch.optim.AdamW(
        encoder.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    state = TrainState(encoder, optimizer)
    if resume:
        load_checkpoint(checkpoint, state, config)
    _write_text(folder / "config.json", json.dumps(asdict(config), indent=2))
    return state, folder


def _new_encoder(config: TrainConfig) -> Encoder:
    """Random weights, or those of `config.init`."""
    encoder = build_encoder(config.model)
    if config.init is None:
        return encoder
    trained = load_encoder(config.init)
    if trained.config != encoder.config:
        raise InputError(
            f"init: expected weights of a {config.model!r} network, came another in {config.init}"
        )
    return trained


def save_checkpoint(folder: Path, state: TrainState, config: TrainConfig) -> None:
    """Write checkpoint.pt atomically: a crash leaves the previous one whole."""
    temporary = folder / ".checkpoint.pt.part"
    torch.save(
        {
            "encoder": state.encoder.state_dict(),
            "optimizer": state.optimizer.state_dict(),
            "step": state.step,
            "elapsed_seconds": state.elapsed_seconds,
            "config": json.dumps(asdict(config)),
        },
        temporary,
    )
    temporary.replace(folder / "checkpoint.pt")


def load_checkpoint(path: Path, state: TrainState, config: TrainConfig) -> None:
    """Fill `state` from a checkpoint of the same model.

    Raises:
        InputError: the checkpoint is of another model.
    """
    saved = torch.load(path, map_location=config.device, weights_only=True)
    model = json.loads(saved["config"])["model"]
    if model != config.model:
        raise InputError(f"{path}: expected a {config.model!r} run, came a {model!r} run")
    state.encoder.load_state_dict(saved["encoder"])
    state.optimizer.load_state_dict(saved["optimizer"])
    state.step, state.elapsed_seconds = saved["step"], saved["elapsed_seconds"]


def _write_text(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def _finish(
    folder: Path, state: TrainState, config: TrainConfig, sources: Sources, shown: list[Tensor]
) -> None:
    """Write the weights as they are now, and the loss curve.

    shown: images to measure the normalisation statistics on; none after an early end, when the
    running ones are kept.
    """
    notes = {
        "steps": str(state.step),
        "pairs_seen": str(state.step * config.batch),
        "videos": str(len(sources.videos)),
        "photos": str(len(sources.photos)),
        "complete": "yes" if shown else "no",
        "recipe": json.dumps(asdict(config)),
    }
    encoder, grey = state.encoder, None
    if shown:
        grey = measure_statistics(encoder, shown, grey=True)
        encoder = copy.deepcopy(encoder)
        colour = measure_statistics(encoder, shown, grey=False)
        encoder.load_state_dict({**encoder.state_dict(), **colour})
    save_encoder(folder / "model.safetensors", encoder, notes=notes, grey_statistics=grey)
    reports = read_log(folder / "log.jsonl")
    if reports:
        plot_losses(reports, folder / "loss.png")
