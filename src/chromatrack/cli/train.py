"""`chromatrack train`: a recipe with some of its knobs turned."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import OmitArgPrefixes, Positional, arg

from chromatrack.cli.track import Output
from chromatrack.tracking.config import Device

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chromatrack.training.config import Objective, TrainConfig
    from chromatrack.training.monitor.holdout import HeldPair
    from chromatrack.training.monitor.log import StepReport
    from chromatrack.training.monitor.validate import Validator
    from chromatrack.training.train import MakeWatcher

Knob = Annotated[float | None, arg(metavar="NUMBER")]
Count = Annotated[int | None, arg(metavar="INT")]


@dataclass(frozen=True)
class Knobs:
    """What of a recipe can be changed; None leaves it as the recipe has it.

    Args:
        model: the network: small, base or vondrick2018.
        init: weights to start from: a shipped model's name, or a weights file. A wider network
            takes over a narrower one.
        steps: length of the schedule.
        minutes: wall-clock length of the schedule, instead of steps.
        batch: examples a step, over all processes.
        accumulate: parts that a batch is computed in, to save memory.
        learning_rate: peak of the schedule.
        crop: side of the square views, pixels.
        hide: Lab channels hidden from the network: drawn for each example, or always a and b.
        compare: copied colours with the truth by smooth L1, or as 16 classes.
        temperature: divides the similarity.
        window: cells a target may look away when frames are under half a second apart.
        photo_share: share of examples made from stills under random motion.
        thin_plate: bend of stills, in sides of the view, e.g. 0.03.
        jitter: strength of random light and colour change, 0 to 1.
        copy: weight of the colours copied.
        correspondence: weight of known motion found on stills; 0 leaves a term out.
        views: frames or views of an example.
        short_side: of decoded frames, pixels.
        still_motion: strength of the views' own motion where it is known.
        video_motion: the same, between frames.
        gap_least: least time between frames, seconds.
        gap_most: largest time between frames, seconds.
        stills_show_all: share of stills that hide no channel.
        classes: colours copied.
        schedule: cosine, step, or wsd (warm-up, stable, decay).
        decay: share of a wsd schedule that falls.
        keep_every: steps between checkpoints that stay.
        weight_decay: of the optimiser.
        cache: where decoded clips are kept: with a GPU, `table` or `device` if they fit.
        memory_gigabytes: decoded frames kept; more data is rotated through.
        seed: of all randomness.
        precision: of the forward pass; auto: bfloat16 on GPUs that have it.
        save_seconds: time between checkpoints.
        log_every: steps between lines of the log.
        watch_minutes: time between looks at held-out frames (pictures, colour error, tracking).
        held_out: clips (or photos) set aside for that.
    """

    model: Literal["small", "base", "vondrick2018"] | None = None
    init: Annotated[str | None, arg(metavar="MODEL")] = None
    steps: Count = None
    minutes: Knob = None
    batch: Count = None
    accumulate: Count = None
    learning_rate: Knob = None
    crop: Count = None
    hide: Literal["dropout", "color", "none"] | None = None
    compare: Literal["regress", "classify"] | None = None
    temperature: Knob = None
    window: Count = None
    photo_share: Knob = None
    thin_plate: Knob = None
    jitter: Knob = None
    copy: Knob = None
    correspondence: Knob = None
    views: Count = None
    short_side: Count = None
    still_motion: Knob = None
    video_motion: Knob = None
    gap_least: Knob = None
    gap_most: Knob = None
    stills_show_all: Knob = None
    classes: Count = None
    schedule: Literal["cosine", "step", "wsd"] | None = None
    decay: Knob = None
    keep_every: Count = None
    weight_decay: Knob = None
    cache: Literal["table", "device", "memory", "disk", "none"] | None = None
    memory_gigabytes: Knob = None
    seed: Count = None
    precision: Literal["auto", "float32", "bfloat16", "float16"] | None = None
    save_seconds: Knob = None
    log_every: Count = None
    watch_minutes: Knob = None
    held_out: Count = None


AS_THE_RECIPE = Knobs()


def train(
    data: Annotated[tuple[str, ...], Positional, arg(metavar="DATA ...")],
    /,
    *,
    output: Output,
    recipe: Literal["default", "vondrick2018", "single"] = "default",
    resume: bool = False,
    decay_from: Annotated[Path | None, arg(metavar="RUN")] = None,
    validate: Annotated[Path | None, arg(metavar="ROOT")] = None,
    validate_sequences: Annotated[tuple[str, ...] | None, arg(metavar="NAME ...")] = None,
    compile: bool = False,
    tensorboard: bool = False,
    device: Device = "auto",
    knobs: OmitArgPrefixes[Knobs] = AS_THE_RECIPE,
) -> str | int:
    """Train a model on videos and / or photos. Options left out have the recipe's values.

    Several processes or machines: `torchrun --nproc-per-node 2 -m chromatrack train ...`.

    Args:
        data: folders and files: videos, photos, tar shards of them (also http, with braces).
        output: run folder: weights, checkpoints, log, pictures, report.html.
        recipe: default, the paper's own, or its baseline that colours single images.
        resume: go on from the run folder's newest checkpoint, with its recipe.
        decay_from: branch off another run, or one checkpoint of it, with its recipe: the rate falls
            to 0 over --steps or --minutes. That run can go on unchanged.
        validate: DAVIS-like folder for a quick tracking score while training.
        validate_sequences: only these of it.
        compile: torch.compile (needs a C++ compiler).
        tensorboard: write TensorBoard's files too.
        device: where to train.
        knobs: see Knobs.
    """
    from chromatrack.cli.progress import train_bar
    from chromatrack.tracking.config import choose_device
    from chromatrack.training.distributed import here
    from chromatrack.training.train import train as run

    config = _configure(output, recipe, knobs, resume=resume, decay_from=decay_from)
    config = replace(
        config,
        device=str(choose_device(device)),
        compile=config.compile or compile,
        tensorboard=config.tensorboard or tensorboard,
    )
    reports = run(
        data,
        output=output,
        config=config,
        resume=resume,
        make_watcher=_watcher(validate, validate_sequences, config.objective),
        cache=_cache_folder(),
    )
    last: StepReport | None = None
    try:
        with train_bar() as show, closing(reports):
            for last in reports:
                show(last)
    except KeyboardInterrupt:
        step = f" after step {last.step}" if last else ""
        text = f"interrupted{step}; the run in {output} is saved, go on with --resume"
        raise KeyboardInterrupt(text) from None
    if not here().leads:
        return 0
    if last is None:
        return f"nothing left to do in {output}"
    weights = output / "model.safetensors"
    return f"{last.step} steps, loss {last.loss:.4f}: {weights}, {output / 'report.html'}"


def _configure(
    output: Path,
    recipe: Literal["default", "vondrick2018", "single"],
    knobs: Knobs,
    *,
    resume: bool,
    decay_from: Path | None = None,
) -> TrainConfig:
    """The recipe, or that of the run to resume, with the knobs that were turned."""
    from chromatrack.training.config import RECIPES, change

    if resume:
        config = _resumed(output)
    elif decay_from is not None:
        config = _branched(decay_from)
    else:
        config = RECIPES[recipe]()
    given = asdict(knobs)
    least, most = given.pop("gap_least"), given.pop("gap_most")
    low, high = config.sampler.gap_seconds
    gaps = (low if least is None else least, high if most is None else most)
    config = change(config, **given, gap_seconds=gaps)
    if knobs.steps is not None and knobs.minutes is None:
        config = replace(config, minutes=None)
    if knobs.correspondence and knobs.stills_show_all is None and config.sampler.hide == "dropout":
        # Where motion is known, half of the stills may show everything.
        config = change(config, stills_show_all=0.5)
    return config


def _resumed(output: Path) -> TrainConfig:
    """The recipe that a run folder was begun with."""
    from chromatrack.errors import InputError
    from chromatrack.training.config import from_json

    try:
        text = (output / "config.json").read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"{output}: expected a run to resume, with its config.json, found none"
        ) from error
    return from_json(text)


def _branched(source: Path) -> TrainConfig:
    """The recipe of a run, or of the run a checkpoint lies in, with a rate that only falls.

    Other draws than those it has seen, and the same weights' optimiser state.
    """
    from chromatrack.training.config import change

    config = _resumed(source.parent if source.is_file() else source)
    config = change(config, schedule="wsd", warmup=0.0, decay=1.0, seed=config.seed + 1)
    return replace(config, decay_from=str(source), minutes=None, keep_every=None)


def _watcher(
    root: Path | None, sequences: tuple[str, ...] | None, objective: Objective
) -> MakeWatcher:
    def make(pairs: Sequence[HeldPair]) -> Validator | None:
        if not pairs and root is None:
            return None
        from chromatrack.training.monitor.validate import Validator

        return Validator(pairs, validate=root, sequences=sequences, objective=objective)

    return make


def _cache_folder() -> Path:
    from chromatrack.training.data.index import cache_folder

    return cache_folder()
