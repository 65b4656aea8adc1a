"""report.html: a training run on one page, to be read offline, on any screen."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from chromatrack.atomic import replace_file
from chromatrack.errors import InputError
from chromatrack.training.monitor.log import (
    Curve,
    StepReport,
    Validation,
    curves,
    draw_curve,
    read_log,
    read_validations,
)
from chromatrack.video.picture_files import opened_picture
from chromatrack.viz.html import (
    as_data,
    heading,
    page,
    pairs,
    panels,
    picture,
    section,
    svg,
    table,
    text,
    tiles,
)

FACTS = "data.json"
PICTURE_BYTES = 7_000_000
"""Room for pictures in the page, as text; older ones are left out beyond it."""

_LAST_PICTURES = 3
_MOST_ROWS = 40  # of the validation table; a longer one is thinned out
_MOST_PROBLEMS = 300


def write_report(folder: Path) -> Path:
    """Write `folder`/report.html from what a run left there; whatever is missing is left out.

    Reads log.jsonl, validation.jsonl, config.json, data.json (a flat object; `problems`, a list of
    lines, and `device` have their own places) and pictures/step-*.png. The page holds everything
    it shows (under 10 MB) and asks nothing of the network.

    Raises:
        InputError: neither a log nor a configuration is there, so nothing to report. OutputError:
            the page cannot be written.
    """
    reports = read_log(folder / "log.jsonl")
    config = _read_json(folder / "config.json")
    if not reports and not config:
        raise InputError(
            f"{folder}: expected a run folder with log.jsonl and config.json, found neither"
        )
    validations = read_validations(folder / "validation.jsonl")
    data = _read_json(folder / "data.json")
    name = folder.resolve().name
    parts = [
        _heading(name, reports),
        _tiles(reports, validations, data),
        section("Curves", panels([_drawn(curve) for curve in curves(reports, validations)])),
        section("What the network sees", _pictures(folder)),
        section("Held-out material", _validation_table(validations)),
        section("Data", _data(data)),
        section("Recipe", _recipe(config)),
    ]
    path = folder / "report.html"
    replace_file(path, page(f"{name}: training report", "\n".join(parts)))
    return path


def _read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; empty where there is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def duration(seconds: float) -> str:
    """Wall time in words: `45 s`, `12 min 5 s`, `3 h 20 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _heading(name: str, reports: Sequence[StepReport]) -> str:
    state = "nothing logged yet"
    if reports:
        progress = reports[-1].progress
        state = "complete" if progress >= 1 else f"{progress:.0%} of its budget used"
    return heading(name, f"Training report, {state}")


def _tiles(
    reports: Sequence[StepReport], validations: Sequence[Validation], data: Mapping[str, Any]
) -> str:
    """The numbers one wants to know first."""
    shown = _numbers(reports) if reports else {}
    if "device" in data:
        shown["device"] = data["device"]
    final = validations[-1].values if validations else {}
    for name, label in (("color_ratio", "colour error / still"), ("J&F-Mean", "tracking J&F")):
        if name in final:
            shown[label] = final[name]
    return tiles(shown)


def _numbers(reports: Sequence[StepReport]) -> dict[str, object]:
    """What the log sums up to; waiting is that of its second half, once warm."""
    last = reports[-1]
    warm = reports[len(reports) // 2 :]
    shown: dict[str, object] = {
        "steps": last.step,
        "examples seen": last.examples_seen,
        "frames seen": last.frames_seen,
        "wall time": duration(last.seconds),
        "frames a second": last.frames_seen / last.seconds if last.seconds > 0 else math.nan,
        "waiting for data": f"{sum(r.waiting for r in warm) / len(warm):.1%}",
        "loss": last.loss,
    }
    if last.skipped:
        shown["steps left out"] = last.skipped
    return shown


def _drawn(curve: Curve) -> str:
    """One panel as inline SVG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6, 3.0), layout="constrained")
    draw_curve(figure.subplots(), curve)
    return svg(figure, salt=curve.title)


def chosen_pictures(paths: Sequence[Path]) -> list[Path]:
    """Which pictures to show: the last few, newest first, and the very first to compare with."""
    ordered = sorted(paths, key=lambda path: (len(path.stem), path.stem))
    chosen = list(reversed(ordered[-_LAST_PICTURES:]))
    return chosen + [path for path in ordered[:1] if path not in chosen]


def _pictures(folder: Path) -> str:
    """Pictures as data in the page; those beyond its room are named, not shown."""
    room, shown, left_out = PICTURE_BYTES, [], []
    for path in chosen_pictures(list((folder / "pictures").glob("step-*.png"))):
        data = _as_data(path)
        if data is None or len(data) > room:
            left_out.append(path.name)
            continue
        room -= len(data)
        step = f"{int(path.stem.removeprefix('step-')):,}"
        alt = f"What the network sees at step {step}"
        shown.append(picture(data, caption=f"Step {step}", alt=alt))
    if left_out:
        shown.append(f"<p>Not shown: {text(', '.join(left_out))}</p>")
    return "\n".join(shown)


def _as_data(path: Path) -> str | None:
    """A picture as a data URI; None if it cannot be read."""
    if not path.stem.removeprefix("step-").isdigit():
        return None
    try:
        with opened_picture(path) as image:
            return as_data(image)
    except InputError:
        return None


def _validation_table(validations: Sequence[Validation]) -> str:
    if not validations:
        return ""
    every = math.ceil(len(validations) / _MOST_ROWS)
    rows = list(reversed(validations))[::every]  # the last one always stays
    names = list(dict.fromkeys(name for v in validations for name in v.values))
    shown = table(
        ["step", "wall time", *names],
        [[v.step, duration(v.seconds), *(v.values.get(n, math.nan) for n in names)] for v in rows],
    )
    note = f"<p>Every {every}th of {len(validations)} rows.</p>" if every > 1 else ""
    return note + shown


def _data(data: Mapping[str, Any]) -> str:
    table = pairs(dict(_flat({name: x for name, x in data.items() if name != "problems"})))
    problems = data.get("problems")
    if not isinstance(problems, list):
        return table
    if not problems:
        return table + "<p>Every file could be read.</p>"
    lines = "".join(f"<li>{text(line)}</li>" for line in problems[:_MOST_PROBLEMS])
    rest = len(problems) - _MOST_PROBLEMS
    more = f"<p>And {rest:,} more.</p>" if rest > 0 else ""
    count = f"{len(problems):,} problem{'s' if len(problems) > 1 else ''} with the data"
    opened = " open" if len(problems) <= 10 else ""
    return f"{table}<details{opened}><summary>{count}</summary><ul>{lines}</ul>{more}</details>"


def _recipe(config: Mapping[str, Any]) -> str:
    table = pairs(dict(_flat(config)))
    return f"<details><summary>All settings</summary>{table}</details>" if table else ""


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Nested settings as `sampler.crop`."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        elif isinstance(value, list):
            yield prefix + name, ", ".join(str(item) for item in value)
        else:
            yield prefix + name, value
