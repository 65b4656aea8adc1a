"""The options that commands share, the tracker they ask for, and how a benchmark is run.

Nothing heavy is imported until a tracker is made.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import DisallowNone, Positional, arg

from chromatrack.cli.knobs import knobs, turned
from chromatrack.errors import InputError
from chromatrack.evaluation.protocols import ProtocolName, protocol, with_floor
from chromatrack.propagation.config import PropagateConfig
from chromatrack.tracking.config import (
    COLOR_QUALITIES,
    QUALITIES,
    ColoringConfig,
    Device,
    Quality,
    TrackConfig,
)

if TYPE_CHECKING:
    from rich.table import Table

    from chromatrack.evaluation.datasets.davis import MaskTracker
    from chromatrack.evaluation.runner import Benchmark
    from chromatrack.tracking.tracker import Tracker
    from chromatrack.video.encoding import Quality as VideoQuality
    from chromatrack.video.source import VideoSource

    ColorKnobs = TrackKnobs = EvaluateKnobs = Any
else:
    # What only the protocols of others turn; what has one usual value, whoever tracks or colours.
    OTHERS = {"square", "long_multiple", "upsample", "stretch", "pinned", "fill", "harden"}
    OTHERS |= {"restrict_recent", "similarity", "faint", "moved_after", "moved_dilation"}
    PRESET = {"adapt", "redetect", "decoder", "first", "spacing", "top_k", "radius_shape"}
    PRESET |= {"carry", "confidence_floor", "faded"}
    EvaluateKnobs = knobs(
        "EvaluateKnobs", TrackConfig, PropagateConfig, ColoringConfig, without=["protocol"]
    )
    TrackKnobs = knobs(
        "TrackKnobs", TrackConfig, PropagateConfig, without=OTHERS | {"protocol"}, preset=PRESET
    )
    OF_OBJECTS = {"mirror", "redetect", "decoder", "narrow"}
    ColorKnobs = knobs(
        "ColorKnobs",
        TrackConfig,
        PropagateConfig,
        ColoringConfig,
        without=OTHERS | {"protocol"} | OF_OBJECTS,
        preset=PRESET,
    )


@dataclass(frozen=True, kw_only=True)
class ColorSettings(ColorKnobs):
    """How to colour.

    Args:
        model: a shipped model's name, or the path of a weights file.
        device: where to run; auto takes CUDA, then MPS, then the CPU.
        quality: fast embeds frames at 320 lines instead of 480; best sets --no-int8.
    """

    model: str = "small"
    device: Device = "auto"
    quality: Quality = "normal"

    def given(self) -> dict[str, Any]:
        """The fields of the configuration that were turned, by themselves or by the quality."""
        return COLOR_QUALITIES[self.quality] | turned(self, ColorKnobs)


@dataclass(frozen=True, kw_only=True)
class Settings(TrackKnobs):
    """How to track.

    Args:
        model: a shipped model's name, or the path of a weights file.
        device: where to run; auto takes CUDA, then MPS, then the CPU.
        quality: less or more time on tracking; fast sets --size 320 --recent 3 --radius 13
            --recent-radius 6 --narrow, best --mirror --no-int8.
    """

    model: str = "small"
    device: Device = "auto"
    quality: Quality = "normal"

    def given(self) -> dict[str, Any]:
        """The fields of the configuration that were turned, by themselves or by the quality."""
        return QUALITIES[self.quality] | turned(self, TrackKnobs)


DEFAULTS = Settings()
COLOR_DEFAULTS = ColorSettings()


def track_config(settings: Settings | ColorSettings) -> TrackConfig:
    """Our own protocol with the knobs that the user turned."""
    return replace(protocol("ours", **settings.given()), protocol="ours")


def load_tracker(settings: Settings | ColorSettings) -> Tracker:
    """The tracker the user asked for.

    Raises:
        WeightsError, InputError: no such model, or a setting out of its range.
    """
    from chromatrack.tracking.cores import prepare_process
    from chromatrack.tracking.tracker import Tracker

    prepare_process()
    config = track_config(settings)
    asked = settings.model, settings.device, config
    if _kept is not None and asked in _kept:
        return _kept[asked]
    tracker = Tracker.from_pretrained(settings.model, device=settings.device, config=config)
    if _kept is not None:
        _kept.clear()  # the one that was used last: the next job mostly wants it again
        _kept[asked] = tracker
    return tracker


_kept: dict[tuple[str, Device, TrackConfig], Tracker] | None = None


@contextmanager
def kept_trackers() -> Iterator[None]:
    """Within the block the tracker that was loaded last is kept for who asks for the same."""
    global _kept
    before, _kept = _kept, {}
    try:
        yield
    finally:
        _kept = before


@dataclass(frozen=True)
class SourceOptions:
    """How to read the video.

    Args:
        deinterlace: make whole pictures of the two fields of interlaced ones.
        fps: frames per second of a source that states no times, such as a folder of images; None:
            24.
    """

    deinterlace: bool = False
    fps: Annotated[float | None, arg(metavar="FLOAT")] = None

    def of(self, video: str) -> VideoSource:
        """The video, to be read so."""
        from chromatrack.video.source import VideoSource

        return VideoSource(video, fps=self.fps, deinterlace=self.deinterlace)


AS_IT_IS = SourceOptions()


@dataclass(frozen=True)
class OutputOptions:
    """How to encode the video that is written, where it is H.264.

    Args:
        crf: quality, 0 (best, largest) to 51.
        preset: how much time to spend on a smaller file; left out: veryfast, and superfast beside
            --quality fast (half as large again).
    """

    crf: int = 18
    preset: DisallowNone[
        Literal[
            "ultrafast",
            "superfast",
            "veryfast",
            "faster",
            "fast",
            "medium",
            "slow",
            "slower",
            "veryslow",
        ]
        | None
    ] = None

    def quality(self, beside: Quality = "normal") -> VideoQuality:
        """As the writers take it, beside a quality of the model's work.

        Raises InputError for a crf out of its range.
        """
        from chromatrack.video.encoding import Quality as VideoQuality

        usual = "superfast" if beside == "fast" else "veryfast"
        return VideoQuality(self.crf, self.preset or usual)


AS_USUAL = OutputOptions()


@dataclass(frozen=True, kw_only=True)
class Evaluated(EvaluateKnobs):
    """What to measure, and how; knobs that are left out are the protocol's.

    Args:
        model: a shipped model's name, a weights file or a run's checkpoint; resnet:FILE,
            vit:FOLDER, FILE.onnx, or callable:module:function (this runs your code); raw-lab,
            random and identity are the baselines.
        protocol: whose way of copying labels.
        device: where to run; auto takes CUDA, then MPS, then the CPU.
        quality: less or more time on tracking; fast sets --size 320 --recent 3 --radius 13
            --recent-radius 6 --narrow, best --mirror --no-int8.
        layer: of resnet: and vit:, which layer or block is read; None: 3, and the last.
        offset: of FILE.onnx and callable:, the pixel at which cell 0 lies; None: the middle of
            its stride.
    """

    model: str = "small"
    protocol: ProtocolName = "ours"
    device: Device = "auto"
    quality: Quality = "normal"
    layer: Annotated[int | None, arg(metavar="INT")] = None
    offset: Annotated[float | None, arg(metavar="FLOAT")] = None

    def config(self) -> TrackConfig:
        """The protocol's configuration with the knobs that were turned."""
        given = QUALITIES[self.quality] | turned(self, EvaluateKnobs)
        given = with_floor(self.model, self.protocol, given)
        return protocol(self.protocol, **given)

    def about_features(self) -> list[str]:
        """Options given that say how to copy by features."""
        other = [f"--protocol {self.protocol}"] if self.protocol != "ours" else []
        other += [f"--quality {self.quality}"] if self.quality != "normal" else []
        return other + [f"--{name.replace('_', '-')}" for name in turned(self, EvaluateKnobs)]


EVALUATED = Evaluated()


def load_evaluated(settings: Evaluated, *, is_only_one: bool = True) -> MaskTracker:
    """The model to measure: features of any kind under a protocol, or a baseline.

    Warns of features that tell nothing apart.

    Args:
        is_only_one: the settings are meant for this model, and not for others beside it.

    Raises:
        WeightsError, InputError: no such model, a setting out of its range, or one that a baseline
            without features has no use for.
    """
    from chromatrack.evaluation.features.registry import load_measured, warn_of_constant
    from chromatrack.tracking.tracker import Tracker

    measured = load_measured(
        settings.model,
        config=settings.config(),
        device=settings.device,
        layer=settings.layer,
        offset=settings.offset,
    )
    if isinstance(measured, Tracker):
        warn_of_constant(measured)
    elif is_only_one and (unused := settings.about_features()):
        raise InputError(
            f"model: {settings.model} copies nothing by features, so it has no use for "
            f"{', '.join(unused)}; leave that out"
        )
    return measured


# -- benchmarks ----------------------------------------------------------------------------

Root = Annotated[Path, Positional, arg(metavar="ROOT")]
OutputIfAny = Annotated[Path | None, arg(aliases=["-o"], metavar="PATH")]
Names = Annotated[tuple[str, ...] | None, arg(metavar="NAME ...")]


@dataclass(frozen=True)
class RunOptions:
    """How to run a benchmark.

    Args:
        output: folder for result.json, a report per clip, and predictions.
        jobs: how many clips to measure at a time, each in a process of its own.
        resume: take over the clips that an earlier run left in the output folder, where nothing
            they depend on has changed.
    """

    output: OutputIfAny = None
    jobs: int = 1
    resume: bool = True


ONE_BY_ONE = RunOptions()


def run_benchmark(
    benchmark: Benchmark,
    run: RunOptions,
    *,
    tracker: object,
    model: str | None = None,
) -> dict[str, Any]:
    """Measure as the options say, with a bar."""
    from chromatrack.cli.progress import frame_bar
    from chromatrack.evaluation.runner import evaluate

    with frame_bar() as report:
        result = evaluate(
            benchmark,
            tracker=tracker,
            output=run.output,
            jobs=run.jobs,
            resume=run.resume,
            model=model,
            protocol=getattr(getattr(tracker, "config", None), "protocol", None),
            progress=report,
        )
    _warn_of_zeros(result)
    return result


def _warn_of_zeros(result: dict[str, Any]) -> None:
    """Scores that are 0 everywhere say that something is wrong, not how good a model is."""
    scores = [
        value for value in result.get("scores", {}).values() if isinstance(value, int | float)
    ]
    if scores and not any(scores):
        warnings.warn(
            "all scores are 0: nothing was tracked at all; check that the features differ from "
            "place to place, that the stride and offset are the model's, and that predictions and "
            "truth are of the same frames and ids",
            stacklevel=2,
        )


def said(*tables: Table, output: Path | None) -> str:
    """Tables, and where their result.json is, if anywhere."""
    from chromatrack.evaluation.tables import table_text

    where = [] if output is None else [str(output / "result.json")]
    return "\n".join([*map(table_text, tables), *where])
