"""A model fitted to a run's own video: its weights, kept with the run, and what is known of it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol, cast

from chromatrack.atomic import replace_file
from chromatrack.errors import WeightsError
from chromatrack.model.weights import load_encoder, read_header
from chromatrack.runs.file_names import MODEL
from chromatrack.runs.progress import Report, stop_on_interrupt, told
from chromatrack.tracking.config import Device, TrackConfig
from chromatrack.tracking.tracker import Tracker
from chromatrack.video.writer import picture_pattern

HEADER_KEY = "fit"
"""Entry of a weights file's header that says how it was fitted."""

BESIDE = ".model.safetensors"
"""Of a coloured video there is a file of its name and this: the model fitted to it."""


@dataclass(frozen=True)
class FitFacts:
    """How a model was fitted to a video.

    model, model_sha256: what it started from. steps: made. step: the one whose weights were taken;
    0: none was better than the start. error_before, error_after: colour error on frames kept back,
    mean absolute difference of ab in Lab units, at the start and of the weights taken.
    """

    model: str
    model_sha256: str | None
    steps: int
    step: int
    error_before: float
    error_after: float
    seed: int

    def __str__(self) -> str:
        """One line for people."""
        if not self.steps:
            return f"fit: the clip has no colours to learn from; {self.model} is used as it was"
        if not self.step:
            return (
                f"fit: {self.steps} steps, none better on frames kept back (colour error "
                f"{self.error_before:.2f}); {self.model} is used as it was"
            )
        return (
            f"fit: colour error on frames kept back {self.error_before:.2f} -> "
            f"{self.error_after:.2f} (step {self.step} of {self.steps})"
        )


@dataclass(frozen=True)
class FittedModel:
    """A weights file's content, whose header holds its facts."""

    content: bytes
    facts: FitFacts

    @classmethod
    def read(cls, path: Path) -> FittedModel:
        """From a file.

        Raises:
            WeightsError: it is no weights file, or was not fitted to a video.
        """
        try:
            facts = FitFacts(**json.loads(read_header(path)[HEADER_KEY]))
            return cls(path.read_bytes(), facts)
        except (KeyError, ValueError, TypeError, OSError) as error:
            raise WeightsError(f"{path}: expected weights that were fitted to a video") from error

    @property
    def sha256(self) -> str:
        """SHA-256 of the file, 64 hex digits."""
        return hashlib.sha256(self.content).hexdigest()

    def write(self, path: Path) -> None:
        """Into a file, whole or not at all. Raises OutputError if it cannot be written."""
        replace_file(path, self.content)

    def tracker(self, *, device: Device = "auto", config: TrackConfig | None = None) -> Tracker:
        """A tracker with these weights, which calls them by their name in a run's folder."""
        with TemporaryDirectory(prefix="chromatrack-fit-") as folder:
            path = Path(folder) / MODEL
            path.write_bytes(self.content)
            encoder, grey = load_encoder(path), load_encoder(path, grey=True)
        return Tracker(encoder, grey_encoder=grey, device=device, config=config, model=MODEL)

    def in_place_of(self, tracker: Tracker) -> Tracker:
        """A tracker with these weights and all else as another has it."""
        return self.tracker(device=cast("Device", tracker.device.type), config=tracker.config)

    def record(self) -> dict[str, Any]:
        """What result.json says of the model."""
        return {"name": MODEL, "sha256": self.sha256, "fit": asdict(self.facts)}


class Fit(Protocol):
    """Fits a model to the video that is about to be used; `training.fit.fit`, prepared."""

    def __call__(self, *, progress: Report | None) -> FittedModel: ...


def fit_first(fit: Fit, output: Path, progress: Report | None) -> FittedModel:
    """Fit, before anything of `output` is made.

    Raises:
        KeyboardInterrupt: Ctrl-C or another signal; nothing is changed. All that `fit` does.
    """
    with stop_on_interrupt() as check_interrupt:

        def tell(what: str, count: int, total: int | None) -> None:
            if progress is not None:
                progress(what, count, total)
            check_interrupt()

        try:
            return fit(progress=tell)
        except KeyboardInterrupt as interrupt:
            raise told(interrupt, f"while fitting the model; {output} is as it was") from None


def model_beside(output: Path) -> Path:
    """Where the model fitted to a coloured video, or folder of pictures, is kept."""
    pattern = picture_pattern(output)
    place = (output if pattern is None else pattern.parent).resolve()
    return place.with_name(f"{place.name}{BESIDE}")


def is_fitted(path: Path) -> bool:
    """Whether a file holds weights that were fitted to a video."""
    try:
        return HEADER_KEY in read_header(path)
    except WeightsError:
        return False
