"""Recipes: everything a training run depends on, as numbers in one place."""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from typing import Any, Literal, get_args, get_origin, get_type_hints

from chromatrack.errors import InputError
from chromatrack.model.config import PRESETS, EncoderConfig
from chromatrack.training.schedule import Schedule

Compare = Literal["regress", "classify"]
Precision = Literal["auto", "float32", "bfloat16", "float16"]
RecipeName = Literal["default", "vondrick2018", "single"]


Hide = Literal["dropout", "color", "none"]
"""Which Lab channels are hidden: drawn anew for every example; always a and b; never any."""

Cache = Literal["table", "device", "memory", "disk", "none"]


@dataclass(frozen=True, kw_only=True)
class SamplerConfig:
    """How training examples are drawn.

    Args:
        views: frames or views of an example; the last is the target. 1: single pictures.
        crop: side of the square views, pixels.
        short_side: of decoded frames, pixels.
        gap_seconds: least and largest time between the target and a reference.
        regular_gap: frames one gap apart in order of time, for networks that see clips.
        independent_views: every view of an example moves on its own; False: none moves.
        spacing_seconds: least time between decoded frames.
        clip_seconds: longest stretch decoded at once.
        photo_share: share of examples made from stills (photos, or single video frames).
        still_motion: strength of each view's own motion in stills; 1 is about 7 degrees and 15 %.
        video_motion: the same, between frames.
        thin_plate: bend of a still's target view, in sides of the view, e.g. 0.03; 0: none.
        jitter: strength of random light and colour change per view, 0 to 1.
        hide: Lab channels hidden from the network: drawn for each example, or always a and b.
        stills_show_all: share of stills that hide no channel, when hide is "dropout".
        cache: where decoded frames are kept: with a GPU, `table` or `device` if they fit.
        memory_gigabytes: decoded frames kept; more data is rotated through.
        seed: of the draws of examples.
    """

    views: int = 2
    crop: int = 208
    short_side: int = 240
    gap_seconds: tuple[float, float] = (0.1, 0.7)
    regular_gap: bool = False
    independent_views: bool = True
    spacing_seconds: float = 0.15
    clip_seconds: float = 14.4
    photo_share: float = 0.5
    still_motion: float = 1.0
    video_motion: float = 0.3
    thin_plate: float = 0.0
    jitter: float = 0.25
    hide: Hide = "dropout"
    stills_show_all: float = 0.0
    cache: Cache = "memory"
    memory_gigabytes: float = 3.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("views", 1), ("crop", 8), ("short_side", 8), ("seed", 0)):
            _expect(self, name, f"{least} or more", getattr(self, name) >= least)
        for name in ("photo_share", "stills_show_all"):
            _expect(self, name, "0 to 1", 0 <= getattr(self, name) <= 1)
        for name in ("still_motion", "video_motion", "thin_plate", "jitter"):
            _expect(self, name, "0 or more", getattr(self, name) >= 0)
        for name in ("spacing_seconds", "clip_seconds", "memory_gigabytes"):
            _expect(self, name, "more than 0", getattr(self, name) > 0)
        low, high = self.gap_seconds
        _expect(self, "gap_seconds", "0 < least <= largest", 0 < low <= high)
        for name, kind in (("hide", Hide), ("cache", Cache)):
            _expect(self, name, " or ".join(get_args(kind)), getattr(self, name) in get_args(kind))


def _expect(config: SamplerConfig, name: str, what: str, right: bool) -> None:
    if not right:  # a NaN is never right
        raise InputError(f"{name}: expected {what}, got {getattr(config, name)!r}")


@dataclass(frozen=True)
class Objective:
    """What is asked of the pointer; weights of 0 leave a term out.

    Args:
        compare: copied colours with the truth by smooth L1, or as classes by cross-entropy.
        classes: colours copied or predicted (k-means).
        unit_length: cosine similarity; False: plain inner products, as in the paper.
        temperature: divides the similarity, once.
        window: cells a target may look away when frames are less than `window_seconds` apart.
        window_seconds: time between frames from which on the whole frame is looked at.
        copy: weight of the colours copied.
        correspondence: weight of known motion found on stills.
        predict: weight of colours predicted from single grey pictures; no other term goes with it.
    """

    compare: Compare = "classify"
    classes: int = 16
    unit_length: bool = True
    temperature: float = 0.07
    window: int | None = None
    window_seconds: float = 0.5
    copy: float = 1.0
    correspondence: float = 0.0
    predict: float = 0.0


@dataclass(frozen=True)
class TrainConfig:
    """A recipe. The schedule runs over `minutes` if given, else over `steps`.

    Args:
        model: the network: small, base or vondrick2018.
        init: weights to start from: a shipped model's name, or a weights file; None: random. A
            wider network takes over a narrower one.
        objective: what is asked of the pointer.
        sampler: how examples are drawn.
        steps: length of the schedule.
        minutes: wall-clock length of the schedule, instead of steps.
        batch: examples a step, over all processes.
        accumulate: parts that a batch is computed in, to save memory.
        optimizer: AdamW or Adam.
        learning_rate: peak of the schedule.
        weight_decay: of the optimiser.
        schedule: cosine, step, or wsd (warm-up, stable, decay).
        warmup: share of the schedule in which the rate rises.
        drops: shares of a step schedule at which the rate falls to a tenth.
        decay: share of a wsd schedule that falls.
        keep_every: steps between checkpoints that stay; None: only the last two do.
        decay_from: a run's folder or checkpoint that this one goes on from, at its own step 0.
        clip_norm: largest length of the gradient; None: any.
        precision: of the forward pass; auto: bfloat16 on GPUs that have it.
        compile: torch.compile (needs a C++ compiler).
        device: where to train.
        seed: of all randomness.
        log_every: steps between lines of the log.
        save_seconds: time between checkpoints.
        watch_minutes: time between looks at held-out frames (pictures, colour error, tracking).
        held_out: clips (or photos) set aside for that.
        tensorboard: write TensorBoard's files too.
    """

    model: str = "small"
    init: str | None = None
    objective: Objective = field(default_factory=Objective)
    sampler: SamplerConfig = field(default_factory=SamplerConfig)
    steps: int = 10_000
    minutes: float | None = None
    batch: int = 8
    accumulate: int = 1
    optimizer: Literal["adamw", "adam"] = "adamw"
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    schedule: Schedule = "cosine"
    warmup: float = 0.05
    drops: tuple[float, ...] = ()
    decay: float = 0.2
    keep_every: int | None = None
    decay_from: str | None = None
    clip_norm: float | None = 1.0
    precision: Precision = "auto"
    compile: bool = False
    device: str = "cpu"
    seed: int = 0
    log_every: int = 10
    save_seconds: float = 120.0
    watch_minutes: float = 10.0
    held_out: int = 8
    tensorboard: bool = False


def default() -> TrainConfig:
    """Lab with hidden channels, 16 colours copied; frames of videos and stills in random motion.

    Source: MAST (Lai et al. 2020) for channel dropout, Vondrick et al. 2018 for the classes, our
    ablations (docs/results.md) for the rest: regression, as in MAST, was behind with both seeds.
    """
    return TrainConfig()


def vondrick2018() -> TrainConfig:
    """The paper's recipe: grey frames, 16 colours, 3 references, 400,000 steps of Adam.

    Source: Vondrick et al. 2018, section 4. What they leave open (augmentation) is left out.
    """
    return TrainConfig(
        model="vondrick2018",
        objective=Objective(
            compare="classify", classes=16, unit_length=False, temperature=1.0, copy=1.0
        ),
        sampler=SamplerConfig(
            views=4,
            regular_gap=True,
            independent_views=False,
            crop=256,
            short_side=256,
            gap_seconds=(1 / 6, 1 / 6),
            spacing_seconds=1 / 30,
            photo_share=0.0,
            jitter=0.0,
            hide="color",
        ),
        steps=400_000,
        batch=32,
        optimizer="adam",
        learning_rate=1e-3,
        weight_decay=0.0,
        schedule="step",
        warmup=0.0,
        drops=(0.15,),
        clip_norm=None,
    )


def single() -> TrainConfig:
    """A baseline: colours of single grey pictures predicted, with no reference to copy them from.

    Source: Zhang et al. 2016 (classes, rebalancing), the baseline of Vondrick et al. 2018. All
    else is as in `default` (network, data, light, optimiser), and twice as many examples of one
    picture instead of two, so that what is asked of the network is the only difference.
    """
    return TrainConfig(
        objective=Objective(compare="classify", classes=64, copy=0.0, predict=1.0),
        sampler=SamplerConfig(views=1, hide="color"),
        batch=16,
    )


DROPPED = {
    **dict.fromkeys(("cycle", "compactness", "negatives", "ema"), 0),
    **dict.fromkeys(("walk", "queries", "distractors", "palindrome", "mirror_apart"), 0),
    "least_side": 0.6,
}
"""Entries of older recipes that are gone, with the value at which they did nothing.

What they were worth: docs/results.md, docs/ladder.md.
"""

RECIPES = {"default": default, "vondrick2018": vondrick2018, "single": single}


def network(config: TrainConfig) -> EncoderConfig:
    """The recipe's network; one that predicts colours has a head for that and no raw patches."""
    preset = PRESETS[config.model]
    if not config.objective.predict:
        return preset
    return replace(preset, raw_share=0.0, colors=config.objective.classes)


def check(config: TrainConfig) -> None:
    """Refuse numbers that cannot work.

    Raises:
        InputError: names the knob, what was expected and what came.
    """
    if config.minutes is not None and not config.minutes > 0:
        raise InputError(f"minutes: expected more than 0, got {config.minutes}")
    if not 0 <= config.decay <= 1:
        raise InputError(f"decay: expected a share from 0 to 1, got {config.decay}")
    if config.keep_every is not None and config.keep_every < 1:
        raise InputError(f"keep_every: expected 1 or more, got {config.keep_every}")
    for name in ("steps", "batch", "accumulate", "log_every"):
        if getattr(config, name) < 1:
            raise InputError(f"{name}: expected 1 or more, got {getattr(config, name)}")
    if config.batch % config.accumulate:
        raise InputError(
            f"batch: expected a multiple of accumulate ({config.accumulate}), got {config.batch}"
        )
    if config.model not in PRESETS:
        raise InputError(f"model: expected one of {', '.join(PRESETS)}, got {config.model!r}")
    if not config.objective.temperature > 0:
        raise InputError(f"temperature: expected more than 0, got {config.objective.temperature}")
    for name in ("learning_rate", "save_seconds", "watch_minutes"):
        if not getattr(config, name) > 0:
            raise InputError(f"{name}: expected more than 0, got {getattr(config, name)}")
    _check_fit(config)


def _check_fit(config: TrainConfig) -> None:
    """What the network, the clips and the objective must have in common."""
    length = 4 if PRESETS[config.model].kind == "vondrick2018" else 1
    views, objective = config.sampler.views, config.objective
    if views % length:
        raise InputError(
            f"views: expected {length}, the clip that {config.model} embeds at once, got {views}"
        )
    if config.sampler.cache == "table":
        _check_table(config.sampler)
    if objective.predict:
        _check_prediction(config)
    elif views < 2:
        raise InputError(f"views: expected 2 or more (references and a target), got {views}")
    if objective.correspondence and length > 1:
        raise InputError(
            f"correspondence: {config.model} embeds whole clips, stills under random motion are "
            "none; expected 0"
        )


def _check_table(sampler: SamplerConfig) -> None:
    """A table gives single frames, each view moving on its own."""
    if sampler.regular_gap or not sampler.independent_views:
        raise InputError(
            "cache: a table gives views that move on their own, at gaps of their own; expected "
            "memory, device, disk or none for this recipe, got 'table'"
        )


def _check_prediction(config: TrainConfig) -> None:
    """Colours predicted go with nothing that needs a reference."""
    objective = config.objective
    if config.sampler.views != 1:
        raise InputError(
            f"views: expected 1, as colours are predicted from single pictures, got "
            f"{config.sampler.views}"
        )
    if PRESETS[config.model].kind != "resnet":
        raise InputError(f"model: expected a network of single pictures, got {config.model!r}")
    if objective.compare != "classify":
        raise InputError(
            f"compare: expected classify where colours are predicted, got {objective.compare!r}"
        )
    for name in ("copy", "correspondence"):
        if getattr(objective, name):
            raise InputError(
                f"{name}: expected 0 where colours are predicted without a reference, got "
                f"{getattr(objective, name)}"
            )


def to_json(config: TrainConfig) -> str:
    """The recipe as JSON text, read back by `from_json`."""
    return json.dumps(asdict(config), indent=2)


def from_json(text: str) -> TrainConfig:
    """A recipe from `to_json`; entries it does not name keep today's defaults.

    Raises:
        InputError: not a recipe of this version or an older one.
    """
    try:
        raw = json.loads(text)
        if not isinstance(raw, dict):
            raise TypeError(f"an object was expected, got {type(raw).__name__}")
        return _build(TrainConfig, _without_dropped(raw))
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"recipe: expected the JSON of a training recipe ({error})") from error


def _without_dropped(raw: dict[str, Any]) -> dict[str, Any]:
    """An older recipe without the entries that are gone, where they did nothing in it."""
    kept = {n: value for n, value in raw.items() if n not in DROPPED or value != DROPPED[n]}
    for name in ("objective", "sampler"):
        if isinstance(kept.get(name), dict):
            kept[name] = _without_dropped(kept[name])
    return kept


def _build(kind: type, raw: Mapping[str, Any]) -> Any:  # noqa: ANN401
    known = {f.name for f in fields(kind)}
    if unknown := sorted(set(raw) - known):
        raise KeyError(f"unknown entries {', '.join(unknown)}")
    hints = get_type_hints(kind)
    values = {}
    for name, value in raw.items():
        hint = hints[name]
        if is_dataclass(hint) and isinstance(hint, type):
            values[name] = _build(hint, value)
        elif _wants_tuple(hint) and isinstance(value, list):
            values[name] = tuple(value)
        else:
            values[name] = value
    return kind(**values)


def _wants_tuple(hint: object) -> bool:
    if get_origin(hint) in (types.UnionType, typing.Union):
        return any(_wants_tuple(part) for part in get_args(hint))
    return get_origin(hint) is tuple


def change(config: TrainConfig, **knobs: object) -> TrainConfig:
    """A recipe with some knobs changed; knobs of the objective and the sampler by their own names.

    None leaves a knob as it is.
    """
    given = {name: value for name, value in knobs.items() if value is not None}
    own = {f.name for f in fields(TrainConfig)} - {"objective", "sampler"}
    terms = {f.name for f in fields(Objective)}
    drawn = {f.name for f in fields(SamplerConfig)}
    if unknown := sorted(set(given) - own - terms - drawn):
        raise InputError(f"recipe: no knob called {', '.join(unknown)}")

    def part(names: set[str]) -> dict[str, Any]:
        return {name: value for name, value in given.items() if name in names}

    sampler = replace(config.sampler, **part(drawn))
    objective = replace(config.objective, **part(terms))
    return replace(config, **part(own), objective=objective, sampler=sampler)
