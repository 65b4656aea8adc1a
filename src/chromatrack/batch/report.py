"""STORE/report.html: how far a batch is, what failed and why, and what to look at first."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image

from chromatrack.batch.remote import is_remote
from chromatrack.batch.store import Store
from chromatrack.errors import ChromatrackError
from chromatrack.viz.html import (
    as_data,
    heading,
    messages,
    page,
    paragraph,
    section,
    table,
    thumbnail,
    thumbnails,
    tiles,
)

MOST_FAILURES = 500
MOST_PICTURES = 24
MOST_ROWS = 200
PICTURE_PIXELS = 320
"""Of a picture's longer side."""

Row = Mapping[str, Any]


class Report:
    """Writes the page; keeps pictures from one time to the next."""

    def __init__(self, store: Store) -> None:
        """Nothing is written yet."""
        self._store = store
        self._pictures: dict[tuple[str, str], str] = {}

    def write(self, rows: Sequence[Row], records: Mapping[str, Row], *, skipped: int = 0) -> None:
        """Write the page from the rows of the index and the records of jobs.

        Args:
            skipped: jobs that were done before this batch was started.

        Raises:
            OutputError: it cannot be written.
        """
        ended = [row for row in rows if row["output"]]
        least = sorted(
            (row for row in ended if row["reliability"] is not None),
            key=lambda row: (row["reliability"], row["job"]),
        )
        name = self._store.name
        body = [
            heading(name, _state(rows)),
            tiles(_numbers(rows, skipped)),
            section("Failures", _failures(rows)),
            section("Cut short by damage", _damaged(rows)),
            section("Least reliable first", self._least(least, records)),
            section("Slowest", _slowest(ended)),
        ]
        self._store.put(page(f"{name}: batch report", "\n".join(body)), "report.html")

    def _least(self, rows: Sequence[Row], records: Mapping[str, Row]) -> str:
        if not rows:
            return ""
        shown = []
        for row in rows[:MOST_PICTURES]:
            record = records[row["job"]]
            data = self._picture(record)
            if data:
                where = _where(record)
                caption = f"{row['job']}: reliability {row['reliability']:.2f}{where}"
                shown.append(thumbnail(data, caption=caption, alt=f"a frame of {row['job']}"))
        head = ("job", "reliability", "to look at", "worst frames", "frames", "output")
        cells = [
            [
                row["job"],
                row["reliability"],
                row["look_at"],
                _where(records[row["job"]]).removeprefix(", frames "),
                row["frames"],
                row["output"],
            ]
            for row in rows[:MOST_ROWS]
        ]
        more = len(rows) - MOST_ROWS
        rest = paragraph(f"{more} more are in index.csv") if more > 0 else ""
        said = paragraph(
            "Reliability is the chance of being right, of the thing that is trusted least, as a "
            "mean over its frames; pictures show the worst frame."
        )
        return said + thumbnails(shown) + table(head, cells) + rest

    def _picture(self, record: Row) -> str:
        """The worst frame of a job as it was drawn, else as it was filmed; "" where none can be."""
        key = record["job"], record["digest"]
        if key not in self._pictures:
            frame = _frame_of(record, self._store)
            self._pictures[key] = "" if frame is None else as_data(frame)
        return self._pictures[key]


def _frame_of(record: Row, store: Store) -> Image.Image | None:
    from chromatrack.video.reader import read_frame

    worst, first = record.get("worst") or {}, record["first_frame"]
    index = worst.get("first", first)
    outputs = record["outputs"]
    names = [f"{outputs['track']}/overlay.mp4"] if "track" in outputs else []
    names += [outputs["colorize"]] if "colorize" in outputs else []
    drawn = (store.output(record["job"], name) for name in names)
    places = [(path, index - first) for path in drawn if path is not None]
    filmed = [] if is_remote(record["video"]) else [(record["video"], index)]
    for path, number in [*places, *filmed]:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                image = Image.fromarray(read_frame(path, index=number).rgb)
        except (ChromatrackError, OSError):
            continue
        image.thumbnail((PICTURE_PIXELS, PICTURE_PIXELS))
        return image
    return None


def _state(rows: Sequence[Row]) -> str:
    waiting = sum(row["state"] in ("waiting", "running") for row in rows)
    return "Batch report, " + (f"{waiting} of {len(rows)} jobs to do" if waiting else "complete")


def _numbers(rows: Sequence[Row], skipped: int) -> dict[str, object]:
    """The numbers one wants to know first."""
    states = Counter(row["state"] for row in rows)
    ended = [row for row in rows if row["output"]]
    frames = sum(row["frames"] or 0 for row in ended)
    seconds = sum(row["seconds"] or 0.0 for row in ended)
    shown: dict[str, object] = {"jobs": len(rows), "done": states["done"]}
    for name in ("damaged", "failed", "running", "waiting"):
        if states[name]:
            shown[name] = states[name]
    if skipped:
        shown["known before this start"] = skipped
    shown["frames"] = frames
    if seconds:
        shown["frames/s, each worker"] = round(frames / seconds, 2)
        shown["hours of workers"] = round(seconds / 3600, 2)
    trusted = [row["reliability"] for row in ended if row["reliability"] is not None]
    if trusted:
        shown["mean reliability"] = round(sum(trusted) / len(trusted), 3)
        shown["jobs to look at"] = sum(bool(row["look_at"]) for row in ended)
    return shown


def _failures(rows: Sequence[Row]) -> str:
    failed = [row for row in rows if row["state"] == "failed"]
    return _with_messages(failed, "tries") if failed else ""


def _damaged(rows: Sequence[Row]) -> str:
    damaged = [row for row in rows if row["state"] == "damaged"]
    return _with_messages(damaged, "frames") if damaged else ""


def _with_messages(rows: Sequence[Row], count: str) -> str:
    cells = [[row["job"], row["message"], row[count]] for row in rows]
    more = len(rows) - MOST_FAILURES
    rest = paragraph(f"{more} more are in index.csv") if more > 0 else ""
    return messages(("job", "message", count), cells[:MOST_FAILURES]) + rest


def _slowest(rows: Sequence[Row]) -> str:
    slow = sorted(rows, key=lambda row: -(row["seconds"] or 0.0))[:10]
    head = ("job", "seconds", "frames", "frames/s")
    cells = [[r["job"], r["seconds"], r["frames"], r["frames_per_second"]] for r in slow]
    return table(head, cells) if cells else ""


def _where(record: Row) -> str:
    worst = record.get("worst")
    if not worst:
        return ""
    first, last = worst["first"], worst["last"]
    return f", frames {first}" if first == last else f", frames {first}-{last}"
