"""Recipes: everything a training run depends on, as numbers in one place."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal, get_args

from chromatrack.errors import InputError
from chromatrack.json_text import json_text
from chromatrack.model.config import PRESETS, EncoderConfig

Compare = Literal["regress", "classify"]
Schedule = Literal["cosine", "step", "wsd"]
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
            _expect(getattr(self, name) >= least, name, f"{least} or more", self)
        for name in ("photo_share", "stills_show_all"):
            _expect(0 <= getattr(self, name) <= 1, name, "0 to 1", self)
        for name in ("still_motion", "video_motion", "thin_plate", "jitter"):
            _expect(getattr(self, name) >= 0, name, "0 or more", self)
        for name in ("spacing_seconds", "clip_seconds", "memory_gigabytes"):
            _expect(getattr(self, name) > 0, name, "more than 0", self)
        low, high = self.gap_seconds
        _expect(0 < low <= high, "gap_seconds", "0 < least <= largest", self)
        for name, kind in (("hide", Hide), ("cache", Cache)):
            _expect(getattr(self, name) in get_args(kind), name, " or ".join(get_args(kind)), self)


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
        distill: weight of a teacher's features, averaged with those of the mirrored picture.
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
    distill: float = 0.0
    predict: float = 0.0


@dataclass(frozen=True)
class TrainConfig:
    """A recipe. The schedule runs over `minutes` if given, else over `steps`.

    Args:
        model: the network: small, base or vondrick2018.
        init: weights to start from: a shipped model's name, or a weights file; None: random. A
            wider network takes over a narrower one.
        teacher: weights whose features are distilled, as `init`; None: there is no teacher.
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
    teacher: str | None = None
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
    ablations (docs/tried.md) for the rest: regression, as in MAST, was behind with both seeds.
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

What they were worth: docs/tried.md, docs/ladder.md.
"""

PARTS = {"objective": Objective, "sampler": SamplerConfig}
"""Recipes inside a recipe, by the name of their field."""

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
    _expect(config.minutes is None or config.minutes > 0, "minutes", "more than 0", config)
    _expect(0 <= config.decay <= 1, "decay", "a share from 0 to 1", config)
    _expect(config.keep_every is None or config.keep_every >= 1, "keep_every", "1 or more", config)
    for name in ("steps", "batch", "accumulate", "log_every"):
        _expect(getattr(config, name) >= 1, name, "1 or more", config)
    parts = f"a multiple of accumulate ({config.accumulate})"
    _expect(config.batch % config.accumulate == 0, "batch", parts, config)
    _expect(config.model in PRESETS, "model", f"one of {', '.join(PRESETS)}", config)
    _expect(config.objective.temperature > 0, "temperature", "more than 0", config.objective)
    for name in ("learning_rate", "save_seconds", "watch_minutes"):
        _expect(getattr(config, name) > 0, name, "more than 0", config)
    _check_fit(config)


def _expect(right: bool, name: str, what: str, config: object) -> None:
    """Refuse the field `name` of a recipe or a part of one."""
    if not right:  # a NaN is never right
        raise InputError(f"{name}: expected {what}, got {getattr(config, name)!r}")


def _check_fit(config: TrainConfig) -> None:
    """What the network, the clips and the objective must have in common."""
    length = 4 if PRESETS[config.model].kind == "vondrick2018" else 1
    sampler, objective = config.sampler, config.objective
    clip = f"{length}, the clip that {config.model} embeds at once"
    _expect(sampler.views % length == 0, "views", clip, sampler)
    if sampler.cache == "table" and (sampler.regular_gap or not sampler.independent_views):
        raise InputError(
            "cache: a table gives views that move on their own, at gaps of their own; expected "
            "memory, device, disk or none for this recipe, got 'table'"
        )
    _expect(
        (config.teacher is None) == (not objective.distill),
        "teacher",
        "weights where the weight of distill is not 0, and none where it is",
        config,
    )
    if objective.predict:
        _check_prediction(config)
    elif objective.copy or objective.correspondence or not objective.distill:
        _expect(sampler.views >= 2, "views", "2 or more (references and a target)", sampler)
    if objective.correspondence and length > 1:
        raise InputError(
            f"correspondence: {config.model} embeds whole clips, stills under random motion are "
            "none; expected 0"
        )


def _check_prediction(config: TrainConfig) -> None:
    """Colours predicted go with nothing that needs a reference."""
    objective = config.objective
    alone = "1, as colours are predicted from single pictures"
    _expect(config.sampler.views == 1, "views", alone, config.sampler)
    is_single = PRESETS[config.model].kind == "resnet"
    _expect(is_single, "model", "a network of single pictures", config)
    classes = "classify where colours are predicted"
    _expect(objective.compare == "classify", "compare", classes, objective)
    for name in ("copy", "correspondence", "distill"):
        without = "0 where colours are predicted without a reference"
        _expect(not getattr(objective, name), name, without, objective)


def learning_rate(
    progress: float,
    *,
    schedule: Schedule,
    peak: float,
    warmup: float,
    drops: tuple[float, ...] = (),
    factor: float = 0.1,
    decay: float = 0.2,
) -> float:
    """The learning rate at `progress`, the share of steps or minutes used, [0, 1].

    `cosine`: linear warm-up over the share `warmup`, then a cosine to exactly 0 at the end.
    `step`: the same warm-up, then `peak`, multiplied by `factor` at every share in `drops`.
    `wsd`: the same warm-up, then `peak` until the last share `decay`, which falls to 0 as
    1 - sqrt (Haegele et al. 2024): a run that goes on can branch off before it.
    """
    progress = min(max(progress, 0.0), 1.0)
    if progress < warmup:
        return peak * (0.04 + 0.96 * progress / warmup)
    if schedule == "step":
        return peak * factor ** sum(progress >= drop for drop in drops)
    if schedule == "wsd":
        fallen = max(0.0, progress - (1 - decay)) / decay if decay else 0.0
        return peak * (1 - math.sqrt(min(fallen, 1.0)))
    return peak * 0.5 * (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup)))


def to_json(config: TrainConfig) -> str:
    """The recipe as JSON text, read back by `from_json`."""
    return json_text(asdict(config), indent=2)


def from_json(text: str) -> TrainConfig:
    """A recipe from `to_json`; entries it does not name keep today's defaults.

    Raises:
        InputError: not a recipe of this version or an older one.
    """
    try:
        return _build(TrainConfig, json.loads(text))
    except (ValueError, TypeError) as error:
        raise InputError(f"recipe: expected the JSON of a training recipe ({error})") from error


def _build(kind: type, raw: object) -> Any:  # noqa: ANN401
    """A recipe or a part of one, without the entries that are gone where they did nothing."""
    if not isinstance(raw, dict):
        raise TypeError(f"an object was expected, got {type(raw).__name__}")
    values: dict[str, Any] = {}
    for name, value in raw.items():
        if name in PARTS:
            values[name] = _build(PARTS[name], value)
        elif name not in DROPPED or value != DROPPED[name]:
            values[name] = tuple(value) if isinstance(value, list) else value
    if values.get("hide") == "colour":  # as early recipes spell it
        values["hide"] = "color"
    if unknown := sorted(set(values) - {f.name for f in fields(kind)}):
        raise ValueError(f"unknown entries {', '.join(unknown)}")
    return kind(**values)


def change(config: TrainConfig, **knobs: object) -> TrainConfig:
    """A recipe with some knobs changed; knobs of the objective and the sampler by their own names.

    None leaves a knob as it is.
    """
    given = {name: value for name, value in knobs.items() if value is not None}
    kinds: dict[str, type] = {"": TrainConfig, **PARTS}
    names = {part: {f.name for f in fields(kind)} - set(PARTS) for part, kind in kinds.items()}
    if unknown := sorted(set(given).difference(*names.values())):
        raise InputError(f"recipe: no knob called {', '.join(unknown)}")
    chosen = {part: {n: given[n] for n in names[part] & set(given)} for part in kinds}
    parts = {part: replace(getattr(config, part), **chosen[part]) for part in PARTS}
    return replace(config, **chosen[""], **parts)
