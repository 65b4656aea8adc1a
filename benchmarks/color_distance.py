"""How long do colours last? The chart and the table of one measurement.

    chromatrack evaluate color ROOT [CLIP ...] -o SCORES
    python benchmarks/color_distance.py SCORES/result.json ... --out CHART.png

Several results, of the same methods and of other clips, count as one. Prints Markdown: the scores
of all clips, then ab error by the frames since the reference, and how far behind others are.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from chromatrack.evaluation.datasets.color import COLUMNS, combine_color
from chromatrack.evaluation.datasets.color_clips import TRUTH

INKS = ("#1f5fa8", "#2f8f5b", "#c8843c", "#a35d1f", "#6a6a6a", "#9a9a9a")


def scores(result: dict[str, Any]) -> str:
    """A row per method: every score, PSNR with half its interval."""
    columns = [name for name in COLUMNS if name in result["scores"]]
    lines = ["| method | " + " | ".join(columns) + " |", "|---|" + "---:|" * len(columns)]
    for name, row in [*result["methods"].items(), (TRUTH, result[TRUTH])]:
        interval = result["intervals"].get(name, {}).get("PSNR")
        half = f" ±{(interval[1] - interval[0]) / 2:.2f}" if interval else ""
        cells = [_cell(row.get(column), column) for column in columns]
        cells[0] += half
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(value: float | None, column: str) -> str:
    digits = {"SSIM": 3, "CDC": 5, "warp-error": 5, "colorfulness": 1}.get(column, 2)
    return "" if value is None else f"{value:.{digits}f}"


def distances(rows: Sequence[dict[str, Any]]) -> str:
    """A row per method, a column per band."""
    bands = list(dict.fromkeys(row["frames"] for row in rows))
    clips = {row["frames"]: row["clips"] for row in rows}
    head = " | ".join(f"{band} ({clips[band]} clips)" for band in bands)
    lines = [f"| frames since the reference | {head} |", "|---|" + "---:|" * len(bands)]
    for method in dict.fromkeys(row["method"] for row in rows):
        cells = []
        for row in (r for r in rows if r["method"] == method):
            text = f"{row['error']:.2f}"
            if row.get("ahead") is not None and row["ahead_interval"]:
                low, high = row["ahead_interval"]
                text += f"; {row['ahead']:+.2f} [{low:.2f}, {high:.2f}]"
            cells.append(text)
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def draw(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Error over bands, with intervals over clips."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    bands = list(dict.fromkeys(row["frames"] for row in rows))
    figure = Figure(figsize=(6.8, 4.0), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    methods = list(dict.fromkeys(row["method"] for row in rows))
    for number, method in enumerate(methods):
        own = [row for row in rows if row["method"] == method]
        x = [bands.index(row["frames"]) + 0.06 * (number - len(methods) / 2) for row in own]
        y = [row["error"] for row in own]
        color = INKS[number % len(INKS)]
        axis.plot(x, y, color=color, marker="o", ms=4, lw=2.4 if number == 0 else 1.4, label=method)
        spread = [row["interval"] or (row["error"], row["error"]) for row in own]
        axis.vlines(x, [s[0] for s in spread], [s[1] for s in spread], color=color, lw=1, alpha=0.6)
    axis.set_xticks(range(len(bands)), bands)
    axis.set(ylim=(0, None), xlabel="frames since the coloured frame")
    axis.set_ylabel("mean absolute ab error (Lab units)")
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(axis="y", color="#e4e4e0", lw=0.8)
    axis.legend(frameon=False, fontsize=9, ncols=2)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", nargs="+", type=Path, help="result.json of evaluate color")
    parser.add_argument("--out", type=Path, required=True, help="chart, .png or .svg")
    options = parser.parse_args()
    clips: dict[str, Any] = {}
    for path in options.results:
        clips |= json.loads(path.read_text())["sequences"]
    result = combine_color(clips)
    draw(result["distances"], options.out)
    print(scores(result), distances(result["distances"]), sep="\n\n")


if __name__ == "__main__":
    main()
