"""How fast a network is trained, where the time goes, and how much of the machine that uses.

    python benchmarks/train.py DATA... [--model small] [--steps 12] [--warmup 8] [--threads 1]

Four measurements, all in this run:

1. `train` as the command does it, by the wall clock: `--steps` steps after `--warmup`, and its own
   count of the time spent waiting for data (no checkpoint falls into these steps);
2. the parts of a step, one after the other, on batches of the same data that lie ready;
3. the floating point operations of forward and backward on such a batch, counted: convolutions and
   matrix products, the pointer's too; a multiply-add is two, element-wise work is none;
4. two ceilings on the same device, threads and number format, the best of several before and after
   the steps: a square matrix product, and the network's heaviest convolution, forward and backward.

At first a clip is decoded each step, until the memory is full, then one every 20 steps: to see
that, give fewer `--memory-gigabytes` or more `--warmup`. In float32 GPUs use TF32 for convolutions
and not for matrix products: there the second ceiling is the one to look at.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path

import torch
from ceilings import (
    Operations,
    clock,
    count_operations,
    heaviest_convolution,
    product_rate,
)

from chromatrack.caches import cache_folder
from chromatrack.model.config import PRESETS
from chromatrack.tracking.config import choose_device
from chromatrack.training.config import RECIPES, TrainConfig, change
from chromatrack.training.data.clip_store import ClipStore
from chromatrack.training.data.index import Index, build_index
from chromatrack.training.data.sampler import Batch, Sampler
from chromatrack.training.distributed import World
from chromatrack.training.monitor.holdout import set_aside
from chromatrack.training.state import TrainState, begin, choose_precision
from chromatrack.training.train import losses, network_to_train, train, update

BATCHES = 4  # that the parts are timed on


# -- whole steps ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Speed:
    """Training by the wall clock; `waiting_share` in [0, 1]: of the time, waiting for data."""

    frames_per_second: float
    examples_per_second: float
    seconds_per_step: float
    waiting_share: float


def whole_steps(
    data: Sequence[str], config: TrainConfig, *, warmup: int, steps: int, cache: Path | None
) -> Speed:
    """The trainer's speed over `steps` steps after `warmup`."""
    device = torch.device(config.device)
    config = replace(
        config,
        steps=warmup + steps + 1,  # left before its end, which would measure normalisation again
        minutes=None,
        log_every=math.gcd(warmup, steps),
        save_seconds=1e9,
    )
    marks = []
    with tempfile.TemporaryDirectory() as folder:
        run = train(data, output=Path(folder) / "run", config=config, cache=cache)
        with closing(run) as reports:
            for report in reports:
                marks.append((clock(device), report))
                if report.step == warmup + steps:
                    break
    marks = [mark for mark in marks if mark[1].step >= warmup]
    (began, first), (ended, last) = marks[0], marks[-1]
    waited = sum(
        (after - before) * report.waiting for (before, _), (after, report) in pairwise(marks)
    )
    seconds = ended - began
    return Speed(
        frames_per_second=(last.frames_seen - first.frames_seen) / seconds,
        examples_per_second=(last.examples_seen - first.examples_seen) / seconds,
        seconds_per_step=seconds / steps,
        waiting_share=waited / seconds,
    )


def clips_at_hand(index: Index, config: TrainConfig, steps: Sequence[int]) -> str:
    """How many of the clips lie decoded at some steps."""
    kept, _ = set_aside(index, config)
    store = ClipStore(kept, config=config.sampler, device=torch.device("cpu"), cache=cache_folder())
    with closing(store):
        if not store.count or config.sampler.cache in ("disk", "none"):
            return f"{store.count} clips, not kept in memory"
        first, last = (len(store.available_clips(step)) for step in steps)
        state = "still growing" if last > first else "full"
        return f"clips in memory: {first} to {last} of {store.count}, {state}"


# -- the parts of a step -------------------------------------------------------------------


def some_batches(index: Index, run: TrainState, config: TrainConfig) -> list[Batch]:
    """Batches as training draws them, on the device; sets the colours of `run` if it needs any."""
    kept, _ = set_aside(index, config)
    drawn = replace(config.sampler, cache="none")
    with closing(ClipStore(kept, config=drawn, device=run.device)) as store:
        sampler = Sampler(store, run.encoder.spec, drawn)
        if config.objective.compare == "classify":
            run.fit_colors(sampler, config)
        return [sampler.batch(n, size=config.batch).to(run.device) for n in range(BATCHES)]


def parts_of_a_step(
    run: TrainState, config: TrainConfig, batches: Sequence[Batch], *, steps: int
) -> dict[str, float]:
    """Mean seconds of the parts of a step whose data is there, after one round of warm-up."""
    network = network_to_train(run, config, World())
    run.encoder.train()
    sums = dict.fromkeys(("forward and loss", "backward", "optimiser"), 0.0)
    for number in range(-len(batches), steps):
        batch = batches[number % len(batches)]
        run.optimizer.zero_grad(set_to_none=True)
        times = [clock(run.device)]
        loss = losses(network, run, batch, config)["loss"]
        times.append(clock(run.device))
        run.scaler.scale(loss).backward()
        times.append(clock(run.device))
        update(run, config, config.learning_rate)
        times.append(clock(run.device))
        if number >= 0:
            for place, name in enumerate(sums):
                sums[name] += times[place + 1] - times[place]
    return {name: total / steps for name, total in sums.items()}


def operations_of_a_step(run: TrainState, config: TrainConfig, batch: Batch) -> Operations:
    """Those of training on one batch; the products are the pointer's, the encoders have none."""
    network = network_to_train(run, replace(config, compile=False), World())
    run.encoder.train()
    return count_operations(lambda: losses(network, run, batch, config)["loss"])


# -- the table -----------------------------------------------------------------------------


def machine(device: torch.device, precision: torch.dtype) -> dict[str, object]:
    """What all numbers belong to."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    is_cuda = device.type == "cuda"
    return {
        "cpu": names[0] if names else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name(device) if is_cuda else str(device),
        "precision": str(precision).removeprefix("torch."),
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
    }


def measure(options: argparse.Namespace, config: TrainConfig) -> dict[str, object]:
    """All numbers, by name; plain values."""
    device, cache = torch.device(config.device), cache_folder()
    precision = choose_precision(config, device)
    about = machine(device, precision)
    index = build_index(options.data, cache=cache)
    run = begin(config, device)
    batches = some_batches(index, run, config)
    operations = operations_of_a_step(run, config, batches[0])
    lab = batches[0].seen.flatten(0, 1).contiguous(memory_format=torch.channels_last)
    heaviest = heaviest_convolution(run.encoder, lab, precision=precision)
    side = options.matrix or (8192 if device.type == "cuda" else 2048)

    def ceilings() -> tuple[float, float]:
        return product_rate(side, device=device, precision=precision), heaviest.rate()

    before = ceilings()
    speed = whole_steps(
        options.data, config, warmup=options.warmup, steps=options.steps, cache=cache
    )
    parts = parts_of_a_step(run, config, batches, steps=options.steps)
    product, convolution = map(max, before, ceilings())
    learning = operations.total / (parts["forward and loss"] + parts["backward"])
    whole = operations.total / speed.seconds_per_step
    return {
        "machine": about,
        "recipe": options.recipe,
        "model": config.model,
        "batch": config.batch,
        "views": config.sampler.views,
        "crop": config.sampler.crop,
        "compile": config.compile,
        "cache": config.sampler.cache,
        "warmup": options.warmup,
        "steps": options.steps,
        "clips": clips_at_hand(index, config, (options.warmup, options.warmup + options.steps)),
        **asdict(speed),
        "parts_seconds": parts,
        "operations_of_a_step": operations.total,
        "operations_of_the_pointer": operations.products,
        "step_flops": whole,
        "forward_backward_flops": learning,
        "product_side": side,
        "product_flops": product,
        "convolution": heaviest.name,
        "convolution_flops": convolution,
        "step_share_of_product": whole / product,
        "step_share_of_convolution": whole / convolution,
        "forward_backward_share_of_product": learning / product,
        "forward_backward_share_of_convolution": learning / convolution,
    }


def table(found: dict) -> str:
    """The numbers as Markdown, headed by the machine."""
    about, parts = found["machine"], found["parts_seconds"]
    step, waiting = found["seconds_per_step"], found["waiting_share"]
    times = {"waiting for data": waiting * step, **parts}
    times["decoding beside it, logging, the rest"] = step - sum(times.values())
    rows = [
        ("frames a second", f"{found['frames_per_second']:.2f}"),
        ("examples a second", f"{found['examples_per_second']:.2f}"),
        ("a step", f"{1000 * step:.0f} ms"),
        ("waiting for data", f"{waiting:.1%} (wanted: under 5 %)"),
        *((f"a step: {name}", f"{1000 * seconds:.1f} ms") for name, seconds in times.items()),
        (
            "operations of a step",
            f"{found['operations_of_a_step'] / 1e9:.2f} GFLOP, "
            f"{found['operations_of_the_pointer'] / 1e9:.2f} of them the pointer's",
        ),
    ]
    for title, rate in (
        ("achieved, whole step", found["step_flops"]),
        ("achieved, forward and backward alone", found["forward_backward_flops"]),
        (f"ceiling: matrix product, {found['product_side']} square", found["product_flops"]),
        (f"ceiling: {found['convolution']}", found["convolution_flops"]),
    ):
        rows.append((title, f"{rate / 1e9:.1f} GFLOP/s"))
    for name, title in (("step", "whole step"), ("forward_backward", "forward and backward")):
        product, convolution = (
            found[f"{name}_share_of_{ceiling}"] for ceiling in ("product", "convolution")
        )
        words = f"{product:.1%} of the matrix product, {convolution:.1%} of the convolution"
        rows.append((f"share, {title}", words))
    return "\n".join(
        [
            f"{about['cpu']}, {about['threads']} of {about['cores']} threads, "
            f"torch {about['torch']}, {about['device']}, {about['precision']}, "
            f"load {about['load']} before",
            "",
            f"{found['model']}, recipe {found['recipe']}: batch {found['batch']} of "
            f"{found['views']} views of {found['crop']} px, {found['steps']} steps after "
            f"{found['warmup']}; {found['clips']}",
            "",
            "| what | measured |",
            "|---|---|",
            *(f"| {title} | {text} |" for title, text in rows),
        ]
    )


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, got {number}")
    return number


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("data", nargs="+")
    parser.add_argument("--model", choices=list(PRESETS), help="the recipe's if left out")
    parser.add_argument("--recipe", choices=list(RECIPES), default="default")
    parser.add_argument("--steps", type=positive, default=12)
    parser.add_argument("--warmup", type=positive, default=8)
    parser.add_argument("--batch", type=positive)
    parser.add_argument("--crop", type=positive)
    parser.add_argument("--threads", type=positive, default=torch.get_num_threads())
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--precision", choices=["auto", "float32", "bfloat16", "float16"])
    parser.add_argument("--compile", action="store_true", help="needs a C++ compiler")
    parser.add_argument("--cache", choices=["device", "memory", "disk", "none"])
    parser.add_argument("--memory-gigabytes", type=float)
    parser.add_argument("--matrix", type=positive, help="side of the matrix product")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    config = change(
        RECIPES[options.recipe](),
        model=options.model,
        batch=options.batch,
        crop=options.crop,
        device=str(choose_device(options.device)),
        precision=options.precision,
        compile=options.compile,
        cache=options.cache,
        memory_gigabytes=options.memory_gigabytes,
    )
    found = measure(options, config)
    print(table(found))
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
