"""How fine to look at live frames so that enough are tracked; a policy that has no clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from chromatrack.errors import InputError
from chromatrack.tracking.close_up import small_things
from chromatrack.tracking.config import TrackConfig
from chromatrack.tracking.marks import Marks

STEPS = ((1.0, None), (0.75, 3), (0.6, 2), (0.5, 2), (0.375, 1))
"""Share of the working size, and recent frames at most, from fine to coarse: 480 lines, then 360,
288, 240 and 176."""

LEAST_SIZE = 96
"""Lines below which nothing is looked at more coarsely."""

SETTLING = 2
"""Frames behind a change that say nothing: they set up what the others use."""

WINDOW = 6
"""Frames whose median time counts."""

HOLD = 30
"""Frames at a level before a finer one is tried; doubled each time that was too much."""

LONGEST_HOLD = 1920
"""What it is doubled to at most."""

ROOM = 0.8
"""Share of the time there is that a finer level may be expected to take."""


@dataclass(frozen=True)
class Level:
    """How fine frames are looked at. size: short side, px. recent: frames to copy from."""

    size: int
    recent: int

    @property
    def cost(self) -> float:
        """Time a frame takes, in proportion: cells, and frames to search for each."""
        return self.size**2 * (1 + 0.1 * self.recent)


def levels(
    config: TrackConfig, *, frame_size: tuple[int, int], marks: Marks, stride: int
) -> list[Level]:
    """The levels for frames of one size, the finest, that of the configuration, first.

    Those at which something marked would be smaller than a cell and is not at the first are left
    out: it would be lost for the sake of speed.
    """
    whole = min(config.working_size(frame_size))

    def too_small(size: int) -> set[tuple[str, int]]:
        scaled = tuple(round(side * size / min(frame_size)) for side in frame_size)
        found = small_things(marks, frame_size=frame_size, working_size=scaled, stride=stride)  # type: ignore[arg-type]
        return {(thing.kind, thing.number) for thing in found}

    recent = config.propagate.recent
    found, small = [Level(whole, recent)], too_small(whole)
    for share, most in STEPS[1:]:
        size = round(whole * share / stride) * stride
        if size >= LEAST_SIZE and size < found[-1].size and too_small(size) <= small:
            found.append(Level(size, min(recent, most or recent)))
    return found


@dataclass
class Pace:
    """Chooses among levels by how long frames take. `add` is told of each, and says what next.

    fps: frames a second that are wanted. level: the one in use, 0 is the finest. is_behind: even
    the coarsest takes too long.
    """

    fps: float
    levels: Sequence[Level]
    level: int = 0
    is_behind: bool = False
    _times: deque[float] = field(default_factory=lambda: deque(maxlen=WINDOW))
    _since: int = 0
    _hold: int = HOLD
    _is_trial: bool = False

    def __post_init__(self) -> None:
        """Raises InputError for an fps that is none."""
        if not 0.01 <= self.fps <= 1000:
            raise InputError(f"fps: expected 0.01 to 1000 frames a second, got {self.fps:g}")

    @property
    def seconds(self) -> float:
        """Median time of the frames that count; 0 where there is none yet."""
        return median(self._times) if self._times else 0.0

    def add(self, seconds: float) -> bool:
        """Take in how long a frame took; True where `level` changed."""
        self._since += 1
        if self._since > SETTLING:
            self._times.append(seconds)
        if len(self._times) < WINDOW:
            return False
        goal, last = 1 / self.fps, len(self.levels) - 1
        if self.seconds > goal and self.level < last:
            if self._is_trial:
                self._hold = min(LONGEST_HOLD, 2 * self._hold)
            return self._go(self._fitting(goal), is_trial=False)
        self.is_behind = self.seconds > goal
        if self._since < self._hold:
            return False
        if self._is_trial:  # it has held
            self._is_trial, self._hold = False, HOLD
        if self.level and self._expected(self.level - 1) < ROOM * goal:
            return self._go(self.level - 1, is_trial=True)
        return False

    def _expected(self, level: int) -> float:
        return self.seconds * self.levels[level].cost / self.levels[self.level].cost

    def _fitting(self, goal: float) -> int:
        """The finest of the coarser levels that is expected to be fast enough, else the last."""
        coarser = range(self.level + 1, len(self.levels))
        return next((n for n in coarser if self._expected(n) < goal), len(self.levels) - 1)

    def _go(self, level: int, *, is_trial: bool) -> bool:
        self.level, self._is_trial, self._since, self.is_behind = level, is_trial, 0, False
        self._times.clear()
        return True
