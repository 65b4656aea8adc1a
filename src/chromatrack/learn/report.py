"""report.html: a training run on one page, to be read offline, on any screen."""

from __future__ import annotations

import base64
import html
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from chromatrack.errors import InputError
from chromatrack.learn.log import (
    Curve,
    StepReport,
    Validation,
    curves,
    draw_curve,
    read_log,
    read_validations,
    replace_file,
)

FACTS = "data.json"
PICTURE_BYTES = 7_000_000
"""Room for pictures in the page, as text; older ones are left out beyond it."""

_LAST_PICTURES = 3
_MOST_ROWS = 40  # of the validation table; a longer one is thinned out
_MOST_PROBLEMS = 300
_MOST_CHARACTERS = 400  # of one problem or value


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
        _section("Curves", _panels(curves(reports, validations))),
        _section("What the network sees", _pictures(folder)),
        _section("Held-out material", _validation_table(validations)),
        _section("Data", _data(data)),
        _section("Recipe", _recipe(config)),
    ]
    page = _PAGE.format(title=_text(name), style=_STYLE, body="\n".join(parts))
    path = folder / "report.html"
    replace_file(path, page.encode())
    return path


def _read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; empty where there is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _text(value: object) -> str:
    """Anything as escaped text of bounded length."""
    if isinstance(value, float):
        value = f"{value:.4g}" if math.isfinite(value) else "-"
    elif isinstance(value, int) and not isinstance(value, bool):
        value = f"{value:,}"
    text = str(value)
    if len(text) > _MOST_CHARACTERS:
        text = text[: _MOST_CHARACTERS - 2] + ".."
    return html.escape(text)


def duration(seconds: float) -> str:
    """Wall time in words: `45 s`, `12 min 5 s`, `3 h 20 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _section(title: str, body: str) -> str:
    return f"<section><h2>{_text(title)}</h2>\n{body}\n</section>" if body else ""


def _heading(name: str, reports: Sequence[StepReport]) -> str:
    state = "nothing logged yet"
    if reports:
        progress = reports[-1].progress
        state = "complete" if progress >= 1 else f"{progress:.0%} of its budget used"
    return f"<header><h1>{_text(name)}</h1><p>Training report, {_text(state)}</p></header>"


def _tiles(
    reports: Sequence[StepReport], validations: Sequence[Validation], data: Mapping[str, Any]
) -> str:
    """The numbers one wants to know first."""
    shown = _numbers(reports) if reports else {}
    if "device" in data:
        shown["device"] = data["device"]
    final = validations[-1].values if validations else {}
    for name, label in (("colour_ratio", "colour error / still"), ("J&F-Mean", "tracking J&F")):
        if name in final:
            shown[label] = final[name]
    return f'<div class="tiles">{"".join(_tile(k, v) for k, v in shown.items())}</div>'


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


def _tile(label: str, value: object) -> str:
    text = _text(value)
    size = ' class="long"' if len(text) > 14 else ""
    return f"<div{size}><b>{text}</b><span>{_text(label)}</span></div>"


def _panels(panels: Sequence[Curve]) -> str:
    if not panels:
        return ""
    return f'<div class="panels">{"".join(_svg(panel) for panel in panels)}</div>'


def _svg(panel: Curve) -> str:
    """One panel as inline SVG, its text as text."""
    import matplotlib
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6, 3.0), layout="constrained")
    figure.patch.set_alpha(0)
    draw_curve(figure.subplots(), panel)
    drawn = io.StringIO()
    unsigned = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": panel.title}):
        figure.savefig(drawn, format="svg", metadata=unsigned)
    text = drawn.getvalue()
    return f"<figure>{text[text.index('<svg') :]}</figure>"


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
        step = _text(int(path.stem.removeprefix("step-")))
        shown.append(
            f'<figure class="wide"><figcaption>Step {step}</figcaption><div class="scroll">'
            f'<img alt="What the network sees at step {step}" src="{data}"></div></figure>'
        )
    if left_out:
        shown.append(f"<p>Not shown: {_text(', '.join(left_out))}</p>")
    return "\n".join(shown)


def _as_data(path: Path) -> str | None:
    """A picture as a data URI (JPEG, a tenth of the PNG's size); None if it cannot be read."""
    if not path.stem.removeprefix("step-").isdigit():
        return None
    content = io.BytesIO()
    try:
        with Image.open(path) as image:
            image.convert("RGB").save(content, "JPEG", quality=88, subsampling=0)
    except OSError:
        return None
    return "data:image/jpeg;base64," + base64.b64encode(content.getvalue()).decode()


def _validation_table(validations: Sequence[Validation]) -> str:
    if not validations:
        return ""
    every = math.ceil(len(validations) / _MOST_ROWS)
    rows = list(reversed(validations))[::every]  # the last one always stays
    names = list(dict.fromkeys(name for v in validations for name in v.values))
    table = _table(
        ["step", "wall time", *names],
        [[v.step, duration(v.seconds), *(v.values.get(n, math.nan) for n in names)] for v in rows],
    )
    note = f"<p>Every {every}th of {len(validations)} rows.</p>" if every > 1 else ""
    return note + table


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    top = "".join(f"<th>{_text(name)}</th>" for name in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{_text(value)}</td>" for value in row) + "</tr>" for row in rows
    )
    return (
        f'<div class="scroll"><table class="numbers"><thead><tr>{top}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _pairs(values: Mapping[str, object]) -> str:
    rows = "".join(
        f"<tr><th>{_text(name)}</th><td>{_text(value)}</td></tr>" for name, value in values.items()
    )
    return f'<table class="pairs"><tbody>{rows}</tbody></table>' if rows else ""


def _data(data: Mapping[str, Any]) -> str:
    table = _pairs(dict(_flat({name: x for name, x in data.items() if name != "problems"})))
    problems = data.get("problems")
    if not isinstance(problems, list):
        return table
    if not problems:
        return table + "<p>Every file could be read.</p>"
    lines = "".join(f"<li>{_text(line)}</li>" for line in problems[:_MOST_PROBLEMS])
    rest = len(problems) - _MOST_PROBLEMS
    more = f"<p>And {rest:,} more.</p>" if rest > 0 else ""
    count = f"{len(problems):,} problem{'s' if len(problems) > 1 else ''} with the data"
    opened = " open" if len(problems) <= 10 else ""
    return f"{table}<details{opened}><summary>{count}</summary><ul>{lines}</ul>{more}</details>"


def _recipe(config: Mapping[str, Any]) -> str:
    table = _pairs(dict(_flat(config)))
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


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}: training report</title>
<style>{style}</style>
</head>
<body>
{body}
</body>
</html>
"""

_STYLE = """
:root { color-scheme: light; --ink: #26282c; --soft: #6b6f76; --line: #dddbd4; --paper: #f6f6f3; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1180px; padding: 1rem; background: var(--paper);
  color: var(--ink); font: 16px/1.45 system-ui, sans-serif; }
h1 { margin: .5rem 0 0; font-size: 1.6rem; overflow-wrap: anywhere; }
h2 { margin: 2.2rem 0 .7rem; font-size: 1.15rem; }
header p { margin: .1rem 0 1rem; color: var(--soft); }
.tiles { display: grid; gap: .6rem; grid-template-columns: repeat(auto-fill, minmax(8.6rem, 1fr)); }
.tiles div { padding: .6rem .75rem; background: #fff; border: 1px solid var(--line);
  border-radius: .5rem; }
.tiles .long { grid-column: span 2; }
.tiles b { display: block; font-size: 1.15rem; overflow-wrap: anywhere; }
.tiles span { color: var(--soft); font-size: .85rem; }
.panels { display: grid; gap: .6rem; grid-template-columns: repeat(auto-fill, minmax(19rem, 1fr)); }
figure { margin: 0; padding: .5rem; background: #fff; border: 1px solid var(--line);
  border-radius: .5rem; }
figure svg { display: block; width: 100%; height: auto; }
figure.wide { margin-bottom: .8rem; }
figcaption { padding: 0 .2rem .4rem; font-weight: 600; }
.scroll { overflow-x: auto; }
.scroll img { display: block; width: 100%; min-width: 60rem; height: auto; }
table { border-collapse: collapse; background: #fff; font-size: .92rem; }
th, td { padding: .3rem .7rem; border: 1px solid var(--line); }
.numbers { font-variant-numeric: tabular-nums; text-align: right; white-space: nowrap; }
.pairs { width: 100%; table-layout: fixed; }
.pairs th { width: 45%; text-align: left; font-weight: 500; color: var(--soft); }
.pairs th, .pairs td { overflow-wrap: anywhere; }
summary { cursor: pointer; padding: .5rem 0; font-weight: 600; }
ul { padding-left: 1.2rem; overflow-wrap: anywhere; }
"""
