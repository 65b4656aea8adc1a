"""How long copied colours last: their error by the frames between a picture and its reference.

Frames are counted, not seconds (those are `color_horizon`'s): all frames of a band of distances
count, so that none is left out and none is picked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from chromatrack.evaluation.metrics.color import bootstrap_interval

if TYPE_CHECKING:
    from rich.table import Table

BANDS = (1, 6, 16, 31, 51, 101, 201)
"""Frames from the reference at which a band begins; each ends where the next begins."""


def band_of(distance: int) -> str:
    """The band, such as "6-15", of a distance in frames, 1 or more; the last has no end."""
    number = max(i for i, first in enumerate(BANDS) if first <= distance)
    if number == len(BANDS) - 1:
        return f"{BANDS[-1]}+"
    return f"{BANDS[number]}-{BANDS[number + 1] - 1}"


def means_by_band(errors: Iterable[tuple[int, float]]) -> dict[str, float]:
    """{band: mean error} of (distance, error) of one method's frames, the nearest band first."""
    found: dict[str, list[float]] = {}
    for distance, error in sorted(errors):
        found.setdefault(band_of(distance), []).append(error)
    return {band: float(np.mean(values)) for band, values in found.items()}


def combine_distances(
    clips: Sequence[Mapping[str, Mapping[str, float]]],
) -> list[dict[str, Any]]:
    """Means over clips of every method and band, and how far the first method is ahead.

    Args:
        clips: {method: {band: error}} of each clip.

    Returns:
        rows {"method", "frames": the band, "clips", "error", "interval"}, and of others than the
        first method {"ahead": their error minus the first's, the mean over clips,
        "ahead_interval", "ahead_in": clips in which that is above 0}. Intervals are of 95 %, of
        clips drawn anew; None of a single clip.
    """
    names = list(dict.fromkeys(name for clip in clips for name in clip))
    bands = {band for clip in clips for rows in clip.values() for band in rows}
    found = []
    for name in names:
        for band in sorted(bands, key=_first_frame):
            own = [clip[name][band] for clip in clips if band in clip.get(name, {})]
            if not own:
                continue
            row = {"method": name, "frames": band, "clips": len(own), "error": float(np.mean(own))}
            row["interval"] = _interval(own)
            if name != names[0]:
                both = [c for c in clips if band in c.get(name, {}) and band in c.get(names[0], {})]
                ahead = [clip[name][band] - clip[names[0]][band] for clip in both]
                row["ahead"] = float(np.mean(ahead)) if ahead else None
                row["ahead_interval"] = _interval(ahead)
                row["ahead_in"] = sum(value > 0 for value in ahead)
            found.append(row)
    return found


def _first_frame(band: str) -> int:
    return int(band.rstrip("+").split("-")[0])


def _interval(values: Sequence[float]) -> tuple[float, float] | None:
    return bootstrap_interval(values) if len(values) > 1 else None


def distance_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Terminal table of `combine_distances`: a row per method, a column per band."""
    from rich.table import Table

    bands = sorted({row["frames"] for row in rows}, key=_first_frame)
    clips = {row["frames"]: row["clips"] for row in rows}
    table = Table(
        title="ab error by the frames since the reference",
        caption="below: how much worse than the first method, of the same clips, 95 % interval",
    )
    table.add_column("method")
    for band in bands:
        table.add_column(f"{band}\n{clips[band]} clips", justify="right")
    for method in dict.fromkeys(row["method"] for row in rows):
        own = {row["frames"]: row for row in rows if row["method"] == method}
        table.add_row(method, *[_cell(own.get(band)) for band in bands])
    return table


def _cell(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return ""
    text = f"{row['error']:.2f}"
    if row.get("ahead") is None:
        return text
    text += f"\n{row['ahead']:+.2f}"
    if row["ahead_interval"]:
        low, high = row["ahead_interval"]
        text += f" [{low:.2f}, {high:.2f}]"
    return text
