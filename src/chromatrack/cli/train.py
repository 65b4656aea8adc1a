"""`chromatrack train`: a recipe with some of its knobs turned."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import DisallowNone, OmitArgPrefixes, Positional, arg

from chromatrack.cli.knobs import knobs, turned
from chromatrack.cli.track import Output
from chromatrack.errors import InputError
from chromatrack.tracking.config import Device
from chromatrack.training.config import (
    RECIPES,
    Objective,
    RecipeName,
    SamplerConfig,
    TrainConfig,
    change,
    from_json,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from chromatrack.training.monitor.holdout import HeldPair
    from chromatrack.training.monitor.log import StepReport
    from chromatrack.training.monitor.validate import Validator
    from chromatrack.training.train import MakeWatcher

if TYPE_CHECKING:
    Recipe = AS_IT_IS = Any
else:
    OTHERWISE = {"device", "compile", "tensorboard", "decay_from", "clip_norm"}
    Recipe = knobs("Recipe", TrainConfig, Objective, SamplerConfig, without=OTHERWISE)
    AS_IT_IS = Recipe()


def train(
    data: Annotated[tuple[str, ...], Positional, arg(metavar="DATA ...")],
    /,
    *,
    output: Output,
    recipe: DisallowNone[RecipeName | None] = None,
    resume: bool = False,
    decay_from: Annotated[Path | None, arg(metavar="RUN")] = None,
    validate: Annotated[Path | None, arg(metavar="ROOT")] = None,
    validate_sequences: Annotated[tuple[str, ...] | None, arg(metavar="NAME ...")] = None,
    compile: bool = False,
    tensorboard: bool = False,
    device: Device = "auto",
    changes: OmitArgPrefixes[Recipe] = AS_IT_IS,
) -> str | int:
    """Train a model on videos and / or photos. Options left out have the recipe's values.

    Several processes or machines: `torchrun --nproc-per-node 2 -m chromatrack train ...`.

    Args:
        data: folders and files: videos, photos, tar shards of them (also http, with braces).
        output: run folder: weights, checkpoints, log, pictures, report.html.
        recipe: default (taken if none is named), the paper's own, or its baseline that colours
            single images.
        resume: go on from the run folder's newest checkpoint, with its recipe.
        decay_from: branch off another run, or one checkpoint of it, with its recipe: the rate falls
            to 0 over --steps or --minutes. That run can go on unchanged.
        validate: DAVIS-like folder for a quick tracking score while training.
        validate_sequences: only these of it.
        compile: torch.compile (needs a C++ compiler).
        tensorboard: write TensorBoard's files too.
        device: where to train.
        changes: of the recipe.
    """
    from chromatrack.cli.progress import train_bar
    from chromatrack.runs.progress import told
    from chromatrack.tracking.config import choose_device
    from chromatrack.training.distributed import here
    from chromatrack.training.train import train as run

    config = _configure(
        output, recipe, turned(changes, Recipe), resume=resume, decay_from=decay_from
    )
    config = replace(
        config,
        device=str(choose_device(device)),
        compile=config.compile or compile,
        tensorboard=config.tensorboard or tensorboard,
    )
    last: StepReport | None = None
    try:
        with train_bar() as (show, after):
            reports = run(
                data,
                output=output,
                config=config,
                resume=resume,
                make_watcher=_watcher(validate, validate_sequences, config.objective),
                cache=_cache_folder(),
                progress=after,
            )
            with closing(reports):
                for last in reports:
                    show(last)
    except KeyboardInterrupt as interrupt:
        if last is None:
            raise told(interrupt, "before the first step") from None
        text = f"after step {last.step}; the run in {output} is saved, go on with --resume"
        raise told(interrupt, text) from None
    if not here().leads:
        return 0
    if last is None:
        return f"nothing left to do in {output}"
    weights = output / "model.safetensors"
    return f"{last.step} steps, loss {last.loss:.4f}: {weights}, {output / 'report.html'}"


def _configure(
    output: Path,
    recipe: RecipeName | None,
    given: Mapping[str, Any],
    *,
    resume: bool,
    decay_from: Path | None = None,
) -> TrainConfig:
    """The recipe, or that of the run to resume, with the knobs that were turned.

    Raises:
        InputError: options of which one would be ignored, or no run to go on from.
    """
    _check_together(recipe, given, resume=resume, decay_from=decay_from)
    if resume:
        config = _resumed(output)
    elif decay_from is not None:
        config = _branched(decay_from)
    else:
        config = RECIPES[recipe or "default"]()
    config = change(config, **given)
    for knob, schedule in (("drops", "step"), ("decay", "wsd")):
        if knob in given and config.schedule != schedule:
            raise InputError(
                f"{knob}: is of the schedule {schedule}, but the schedule is {config.schedule}; "
                f"add --schedule {schedule} or leave {knob} out"
            )
    if "steps" in given and "minutes" not in given:
        config = replace(config, minutes=None)
    shows_some = "stills_show_all" in given or config.sampler.hide != "dropout"
    if given.get("correspondence") and not shows_some:
        # Where motion is known, half of the stills may show everything.
        config = change(config, stills_show_all=0.5)
    return config


def _check_together(
    recipe: RecipeName | None, given: Mapping[str, Any], *, resume: bool, decay_from: Path | None
) -> None:
    """InputError where two options say the same thing in two ways."""
    if "steps" in given and "minutes" in given:
        raise InputError("steps and minutes: expected one of them as the run's length, got both")
    if resume and decay_from is not None:
        raise InputError("resume and decay-from: expected one run to go on from, got both")
    if recipe is not None and (resume or decay_from is not None):
        other = "--resume" if resume else "--decay-from"
        raise InputError(
            f"recipe: {other} goes on with the recipe of its run, got {recipe} as well; leave "
            "--recipe out, or begin a new run"
        )


def _resumed(output: Path) -> TrainConfig:
    """The recipe that a run folder was begun with."""
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
    from chromatrack.caches import cache_folder

    return cache_folder()
