"""The options that all commands with a model share, and the tracker they ask for.

Nothing heavy is imported until a tracker is made.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import arg

from chromatrack.evaluation.protocols import ProtocolName, with_floor
from chromatrack.tracking.config import Device

if TYPE_CHECKING:
    from chromatrack.evaluation.datasets.davis import MaskTracker
    from chromatrack.tracking.config import TrackConfig
    from chromatrack.tracking.tracker import Tracker


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
        redetect: report objects absent when they are gone, and look for them in the whole frame.
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
    redetect: bool = True
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
    from chromatrack.propagation.config import PropagateConfig
    from chromatrack.tracking.config import TrackConfig

    if settings.temperature is not None:
        temperature = settings.temperature
    shared = {f.name for f in fields(PropagateConfig)} & {f.name for f in fields(Settings)}
    asked = {name: getattr(settings, name) for name in shared}
    asked["temperature"] = temperature
    given = {name: value for name, value in asked.items() if value is not None}
    config = TrackConfig(
        size=settings.size, stride=settings.stride, adapt=settings.adapt, redetect=settings.redetect
    )
    return replace(
        config,
        propagate=replace(config.propagate, **given),
        color=replace(config.color, **given),
    )


def load_tracker(settings: Settings) -> Tracker:
    """The tracker the user asked for.

    Raises:
        WeightsError, InputError: no such model, or a setting out of its range.
    """
    from chromatrack.tracking.tracker import Tracker

    config = track_config(settings)
    return Tracker.from_pretrained(settings.model, device=settings.device, config=config)


@dataclass(frozen=True)
class Evaluated:
    """What to measure, and how; knobs that are left out are the protocol's.

    Args:
        model: a shipped model's name, a weights file or a run's checkpoint; resnet:FILE,
            vit:FOLDER, FILE.onnx, or callable:module:function (this runs your code); raw-lab,
            random and identity are the baselines.
        protocol: whose way of copying labels.
        device: where to run; auto takes CUDA, then MPS, then the CPU.
        layer: of resnet: and vit:, which layer or block is read; None: 3, and the last.
        offset: of FILE.onnx and callable:, the pixel at which cell 0 lies; None: the middle of
            its stride.
        size: short side in pixels at which frames are embedded.
        square: embed frames as squares of that side.
        long_multiple: cut the longer side down to a multiple of this.
        stride: pixels per cell; None keeps the model's own.
        adapt: how far the model leans towards the clip's first frame, 0 to 1.
        redetect: report objects absent when they are gone, and look for them in the whole frame.
        first: keep copying from the marked frames.
        recent: how many of the last frames to copy from.
        spacing: frames from one of them to the next.
        pinned: frames that stay in memory, counted from the first one.
        fill: copies of the first frame stand in for recent ones that are still to come.
        top_k: how many of the most similar cells to copy from.
        radius: how far a cell may have moved since a marked frame, in cells.
        recent_radius: how far since a recent frame, in cells.
        radius_shape: shape of these neighbourhoods.
        restrict_first: search marked frames within the radius only.
        restrict_recent: search recent frames within the radius only.
        similarity: cosine, or dot: features as long as the network makes them.
        temperature: of the softmax over similarities.
        faint: object shares below this are background.
        harden: remember the largest label of every cell alone.
        moved_after: on frames more than this many frames away, move the neighbourhoods to where a
            coarse search finds each cell.
        moved_dilation: at most this many cells from one to the next in that search.
        upsample: how masks come to full size.
        stretch: stretch every label to [0, 1] over the frame before the largest wins.
    """

    model: str = "small"
    protocol: ProtocolName = "ours"
    device: Device = "auto"
    layer: int | None = None
    offset: Annotated[float | None, arg(metavar="FLOAT")] = None
    size: int | None = None
    square: bool | None = None
    long_multiple: int | None = None
    stride: Literal[4, 8] | None = None
    adapt: Annotated[float | None, arg(metavar="FLOAT")] = None
    redetect: bool | None = None
    first: bool | None = None
    recent: int | None = None
    spacing: int | None = None
    pinned: Annotated[tuple[int, ...] | None, arg(metavar="INT ...")] = None
    fill: bool | None = None
    top_k: int | Literal["all"] | None = None
    radius: int | None = None
    recent_radius: int | None = None
    radius_shape: Literal["square", "disc"] | None = None
    restrict_first: bool | None = None
    restrict_recent: bool | None = None
    similarity: Literal["cosine", "dot"] | None = None
    temperature: Annotated[float | None, arg(metavar="FLOAT")] = None
    faint: Annotated[float | None, arg(metavar="FLOAT")] = None
    harden: bool | None = None
    moved_after: int | None = None
    moved_dilation: int | None = None
    upsample: Literal["guided", "bilinear"] | None = None
    stretch: bool | None = None

    def config(self) -> TrackConfig:
        """The protocol's configuration with the knobs named here."""
        from chromatrack.evaluation.protocols import protocol

        names = [field.name for field in fields(self)]
        given = {name: getattr(self, name) for name in names if name not in NO_KNOBS}
        given = {name: value for name, value in given.items() if value is not None}
        if given.get("top_k") == "all":
            given["top_k"] = None
        return protocol(self.protocol, **with_floor(self.model, self.protocol, given))


NO_KNOBS = ("model", "protocol", "device", "layer", "offset")
EVALUATED = Evaluated()


def load_evaluated(settings: Settings | Evaluated) -> MaskTracker:
    """The model to measure: features of any kind under a protocol, or a baseline.

    Raises:
        WeightsError, InputError: no such model, or a setting out of its range.
    """
    from chromatrack.evaluation.baselines.identity import RAW_LAB_TEMPERATURE
    from chromatrack.evaluation.features.registry import load_measured

    if isinstance(settings, Evaluated):
        return load_measured(
            settings.model,
            config=settings.config(),
            device=settings.device,
            layer=settings.layer,
            offset=settings.offset,
        )
    floor = RAW_LAB_TEMPERATURE if settings.model == "raw-lab" else None
    config = track_config(settings, temperature=floor)
    return load_measured(settings.model, config=config, device=settings.device)
