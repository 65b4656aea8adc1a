"""What `chromatrack evaluate paper` found: everything that its page shows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from chromatrack.evaluation.datasets.color_failures import FrameErrors
from chromatrack.evaluation.datasets.color_horizon import HorizonScore
from chromatrack.evaluation.metrics.calibration import CorrelationInterval, ReliabilityBin
from chromatrack.evaluation.runner import Result


@dataclass(frozen=True)
class Correlated:
    """How `signal` goes along with J&F over `count` frames, or sequences (`over`)."""

    signal: str
    over: str
    count: int
    pearson: CorrelationInterval
    spearman: CorrelationInterval


@dataclass(frozen=True)
class Failing:
    """What is known about claim 4.

    correlations: what was set against J&F, over what, and how it goes along. diagram, auc: of the
    reliability that the tracker states, for objects and frames with J below 0.5; empty and NaN
    where none is stated, or none failed. failed: of how many judged.
    """

    frames: FrameErrors
    correlations: Sequence[Correlated] = ()
    diagram: Sequence[ReliabilityBin] = ()
    auc: float = math.nan
    failed: int = 0
    judged: int = 0


@dataclass(frozen=True)
class PaperResults:
    """Everything the page shows; a part that was not measured is empty and left out.

    model: the one under test, first in every mapping. colours: scores over the time horizon.
    masks: {method: result of DAVIS}. poses: {benchmark: {method: its scores}}. attributes: {name:
    {method: J&F-Mean}}; counts: sequences that have each. pictures: {part: [(caption, PIL image)]}.
    settings: for the record.
    """

    model: str
    colors: Sequence[HorizonScore] = ()
    masks: Mapping[str, Result] = field(default_factory=dict)
    poses: Mapping[str, Mapping[str, Mapping[str, float]]] = field(default_factory=dict)
    attributes: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    failing: Failing | None = None
    pictures: Mapping[str, Sequence[tuple[str, Any]]] = field(default_factory=dict)
    settings: Mapping[str, object] = field(default_factory=dict)
