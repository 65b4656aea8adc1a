"""`chromatrack train-decoder`: the network that makes masks of copied labels, from videos alone."""

from __future__ import annotations

import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import OmitArgPrefixes, Positional, arg

from chromatrack.cli.knobs import knobs, turned
from chromatrack.cli.track import Output
from chromatrack.errors import InputError
from chromatrack.tracking.config import Device
from chromatrack.training.masks.config import DecoderConfig, from_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from chromatrack.training.monitor.log import Validation

if TYPE_CHECKING:
    Recipe = AS_IT_IS = Any
else:
    Recipe = knobs("Recipe", DecoderConfig)
    AS_IT_IS = Recipe()


def train_decoder(
    data: Annotated[tuple[str, ...], Positional, arg(metavar="DATA ...")],
    /,
    *,
    output: Output,
    resume: bool = False,
    device: Device = "auto",
    changes: OmitArgPrefixes[Recipe] = AS_IT_IS,
) -> str | int:
    """Train the decoder that makes masks of copied labels, without any labels.

    It learns from clips that are made: parts of photos pasted over real clips, where the truth is
    known, tracked with the decoder as it is by then. Measure it with `evaluate davis ... --decoder
    RUN/decoder.safetensors`.

    Args:
        data: folders and files: videos, photos, tar shards of them (also http, with braces).
        output: run folder: weights, checkpoints, log.
        resume: go on from the run folder's newest checkpoint, with its recipe.
        device: where to train.
        changes: of the recipe.
    """
    from chromatrack.caches import cache_folder
    from chromatrack.runs.progress import told
    from chromatrack.training.masks.learn import learn

    config = _configure(output, turned(changes, Recipe), resume=resume)
    last: Validation | None = None
    try:
        found = learn(
            data, output=output, config=config, resume=resume, device=device, cache=cache_folder()
        )
        with closing(found):
            for last in found:
                print(_line(last), file=sys.stderr)
    except KeyboardInterrupt as interrupt:
        text = "before the first step"
        if (output / "decoder.safetensors").exists():
            text = f"; the run in {output} is saved, go on with --resume"
        raise told(interrupt, text) from None
    if last is None:
        return f"nothing left to do in {output}"
    return f"{last.step} steps, {_figures(last)}: {output / 'decoder.safetensors'}"


def _configure(output: Path, given: Mapping[str, Any], *, resume: bool) -> DecoderConfig:
    """The recipe with the knobs that were turned, or that of the run to resume.

    Raises:
        InputError: options of which one would be ignored, or no run to go on from.
    """
    if "steps" in given and "minutes" in given:
        raise InputError("steps and minutes: expected one of them as the run's length, got both")
    if not resume:
        return replace(DecoderConfig(), **given)
    if given:
        name = next(iter(given)).replace("_", "-")
        raise InputError(
            f"{name}: --resume goes on with the recipe of its run; leave --{name} out, or begin a "
            "new run"
        )
    path = output / "config.json"
    try:
        return from_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{output}: expected a run to resume, with its config.json, found none"
        ) from error


def _line(found: Validation) -> str:
    """A line on a round, or on the end of the run."""
    values, minutes = found.values, found.seconds / 60
    if "loss" not in values:
        return f"end: {_figures(found)}"
    return (
        f"{minutes:.1f} min: step {found.step}, {values['clips']:.0f} clips, loss "
        f"{values['loss']:.4f}; {_figures(found)}"
    )


def _figures(found: Validation) -> str:
    """Mean IoU of held-out clips."""
    kind = "held" if "held_guided_iou" in found.values else "tracked"
    guided, decoder = (found.values[f"{kind}_{way}_iou"] for way in ("guided", "decoder"))
    where = "same labels" if kind == "held" else "clips tracked anew"
    return f"held-out IoU {decoder:.4f}, guided filter {guided:.4f} ({where})"
