"""How long a mask decoder learns, from how many clips, with which encoder."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from chromatrack.errors import InputError
from chromatrack.json_text import json_text
from chromatrack.propagation.config import check_fields

_MOST_CYCLES = 100


@dataclass(frozen=True, kw_only=True)
class DecoderConfig:
    """A recipe.

    Args:
        model: encoder whose features carry the labels: a shipped model's name (small), or a weights
            file.
        steps: length of the schedule (6000).
        minutes: wall-clock length of the schedule, instead of steps.
        round_steps: of a round: clips are made and tracked, then so many steps learned (60).
        init: decoder to begin with, a weights file; None: one that only filters.
        clips: pasted clips made over `steps` (800); with `minutes` as many for each step.
        size: height and width of a pasted clip, pixels (384 576).
        frames: of a pasted clip (12).
        cycles: real clips tracked there and back to a mask of their own, for each pasted clip (0).
        cycle_frames: of such a clip, one way (6).
        batch: samples a step (16).
        learning_rate: peak of the schedule (0.002).
        pool: samples kept to learn from; of more, the oldest go (8000, 0.7 GB).
        held_out: pasted clips to measure with, made of videos and photos that are set aside (12).
        memory_gigabytes: decoded videos and photos kept; more data is rotated through (0.7).
        seed: of all randomness (0).
        save_seconds: time between checkpoints (120).
    """

    model: str = "small"
    init: str | None = None
    steps: int = 6000
    minutes: float | None = None
    round_steps: int = 60
    clips: int = 800
    size: tuple[int, int] = (384, 576)
    frames: int = 12
    cycles: float = 0.0
    cycle_frames: int = 6
    batch: int = 16
    learning_rate: float = 2e-3
    pool: int = 8000
    held_out: int = 12
    memory_gigabytes: float = 0.7
    seed: int = 0
    save_seconds: float = 120.0

    def __post_init__(self) -> None:
        check_fields(self)
        for name in ("steps", "round_steps", "clips", "batch", "pool", "held_out"):
            _expect(getattr(self, name) >= 1, name, "1 or more", self)
        for name in ("learning_rate", "memory_gigabytes", "save_seconds"):
            _expect(getattr(self, name) > 0, name, "more than 0", self)
        _expect(self.minutes is None or self.minutes > 0, "minutes", "more than 0", self)
        _expect(self.seed >= 0, "seed", "0 or more", self)
        for name in ("frames", "cycle_frames"):
            _expect(getattr(self, name) >= 2, name, "2 or more", self)
        _expect(0 <= self.cycles <= _MOST_CYCLES, "cycles", f"0 to {_MOST_CYCLES}", self)
        _expect(min(self.size) >= 64, "size", "sides of 64 pixels or more", self)

    def clips_before(self, round: int) -> int:
        """How many clips are made before a round; the first round has one at least."""
        steps = round * self.round_steps
        if self.minutes is None:
            steps = min(steps, self.steps)
        return max(1, steps * self.clips // self.steps) if steps else 0


def _expect(right: bool, name: str, what: str, config: DecoderConfig) -> None:
    if not right:  # a NaN is never right
        raise InputError(f"{name}: expected {what}, got {getattr(config, name)!r}")


def to_json(config: DecoderConfig) -> str:
    """The recipe as JSON text, read back by `from_json`."""
    return json_text({"decoder": asdict(config)}, indent=2)


def from_json(text: str) -> DecoderConfig:
    """A recipe from `to_json`.

    Raises:
        InputError: it is none.
    """
    try:
        values = json.loads(text)["decoder"]
        return DecoderConfig(**{**values, "size": tuple(values["size"])})
    except (ValueError, TypeError, LookupError) as error:
        raise InputError(
            f"config.json: expected the recipe of a mask decoder, got another text ({error})"
        ) from error
