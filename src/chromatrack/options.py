"""The options that all commands with a model share, and the tracker they ask for.

Nothing heavy is imported until a tracker is made.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import arg

if TYPE_CHECKING:
    from chromatrack.measure.davis import MaskTracker
    from chromatrack.track import TrackConfig, Tracker

Device = Literal["auto", "cpu", "cuda", "mps"]


@dataclass(frozen=True)
class Settings:
    """How to track or colour.

    Args:
        model: a shipped model's name, or the path of a weights file.
        device: where to run; auto takes CUDA, then MPS, then the CPU.
        size: short side in pixels at which frames are embedded; smaller ones are enlarged, up to
            twice.
        stride: pixels per cell; None keeps the model's own (small 8, base 4).
        adapt: how far the model leans towards the clip's first frame, 0 to 1.
        recall: report objects absent when they are gone, and look for them in the whole frame.
        recent: how many of the last frames to copy from; None is 4, and 0 for colours.
        spacing: frames from one of them to the next.
        first: keep copying from the marked frames: the first one, and others if any.
        restrict_first: search marked frames within the radius only; None is yes, and no for
            colours.
        top_k: how many of the most similar cells to copy from.
        radius: how far a cell may have moved since a marked frame, in cells; None: 160 pixels.
        recent_radius: how far since a recent frame, in cells; None: 64 pixels.
        radius_shape: shape of these neighbourhoods.
        temperature: of the softmax over similarities; None is 0.05 (0.03
            for raw-lab).
    """

    model: str = "small"
    device: Device = "auto"
    size: int = 480
    stride: Literal[4, 8] | None = None
    adapt: float = 0.7
    recall: bool = True
    recent: int | None = None
    spacing: int = 1
    first: bool = True
    restrict_first: bool | None = None
    top_k: int = 10
    radius: int | None = None
    recent_radius: int | None = None
    radius_shape: Literal["square", "disc"] = "square"
    temperature: Annotated[float | None, arg(metavar="FLOAT")] = None


DEFAULTS = Settings()


def track_config(settings: Settings, *, temperature: float | None = None) -> TrackConfig:
    """The library's configuration; `temperature` where the user named none."""
    from chromatrack.memory import PropagateConfig
    from chromatrack.track import TrackConfig

    if settings.temperature is not None:
        temperature = settings.temperature
    asked = {field.name: getattr(settings, field.name) for field in fields(PropagateConfig)}
    asked["temperature"] = temperature
    given = {name: value for name, value in asked.items() if value is not None}
    config = TrackConfig(
        size=settings.size, stride=settings.stride, adapt=settings.adapt, recall=settings.recall
    )
    return replace(
        config,
        propagate=replace(config.propagate, **given),
        colour=replace(config.colour, **given),
    )


def load_tracker(settings: Settings) -> Tracker:
    """The tracker the user asked for.

    Raises:
        WeightsError, InputError: no such model, or a setting out of its range.
    """
    from chromatrack.track import Tracker

    config = track_config(settings)
    return Tracker.from_pretrained(settings.model, device=settings.device, config=config)


def load_evaluated(settings: Settings) -> MaskTracker:
    """The model to measure: a trained one, or a baseline."""
    import torch

    from chromatrack.encoder import build_encoder
    from chromatrack.measure import baselines
    from chromatrack.track import Tracker

    device = settings.device
    if (found := baselines.baseline(settings.model, device=device)) is not None:
        return found
    match settings.model:
        case "raw-lab":
            config = track_config(settings, temperature=baselines.RAW_LAB_TEMPERATURE)
            return Tracker(baselines.RawLabEncoder(), device=device, config=config)
        case "random":
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                encoder = build_encoder("small")
            return Tracker(encoder, device=device, config=track_config(settings))
    return load_tracker(settings)
