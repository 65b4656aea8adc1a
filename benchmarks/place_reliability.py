"""Does reliability tell wrong boxes, points and joints? Signals and their combination, judged.

    python benchmarks/place_reliability.py collect SET ROOT --rows FILE.json [--davis DAVIS]
        [--model small] [--size 480] [--seeds 2] [--sequences NAME ...]
    python benchmarks/place_reliability.py report FILE.json ... [--check FILE.json ...] --out FOLDER

SET says what ROOT is: `davis-boxes` (DAVIS; the box around the annotation is tracked and is the
truth), `boxes` (sequences in the layout of OTB, VOT or TLD), `badja` (its annotations, frames in
--davis), `jhmdb`; `synthetic` needs no ROOT, it renders the clips of
`chromatrack.evaluation.synthetic.clips`. Everything is given on the
first frame, and truth and signals of all later frames are kept.

Right is a box with an IoU of 0.5 or more; a point within 8 pixels of a 256 x 256 frame of the truth
(TAP-Vid's middle distance); a joint within a fifth of the body's size (PCK@0.2; the size as BADJA
and JHMDB have it). Joints are tracked as points are, so their rows judge and fit both. `report`
fits weights to the rows of all FILES of a kind and judges them on sequences held out of the fit;
those that stand in `chromatrack.propagation.point_reliability` are also judged on the rows of
--check, which no fit sees. Boxes that are reported hidden are not in the fit; what is known of
them is printed.

Prints Markdown; FOLDER gets place_reliability.json (every number) and place_reliability.png.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from place_rows import SETS, Row, collect

from chromatrack.atomic import replace_file
from chromatrack.evaluation.metrics.calibration import (
    auc,
    bootstrap_correlation,
    expected_calibration_error,
    fit_logistic,
    held_out,
    reliability_bins,
)
from chromatrack.propagation.point_reliability import (
    NEAR,
    PointSignals,
    box_inputs,
    estimate_box,
    estimate_point,
    point_inputs,
)
from chromatrack.propagation.reliability import LOOK_BELOW_OF, Signals

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CAUGHT = 0.8
"""Share of what is wrong that the threshold for flags catches."""

RIDGE = 10.0
"""Of the fit, on inputs of unit variance: there are few sequences."""

BODY = 0.2
"""A joint is right within this share of the body's size."""


@dataclass(frozen=True)
class Kind:
    """How rows of a kind are judged.

    signals: whether more is good (1) or bad (-1). limit: what is below is to be looked at; of a
    joint that of its skeleton. hidden_too: so is what is reported hidden.
    """

    rows: str
    right: Callable[[Row], bool]
    inputs: Callable[[Row], Sequence[float]]
    estimate: Callable[[Row], float]
    signals: dict[str, int]
    limit: float
    hidden_too: bool = False


def box_signals(row: Row) -> Signals:
    return Signals(**{name: row[name] for name in Signals.__dataclass_fields__})


def point_signals(row: Row) -> PointSignals:
    return PointSignals(**{name: row[name] for name in PointSignals.__dataclass_fields__})


OF_BOXES = {
    "color_error": -1,
    "back": 1,
    "entropy": -1,
    "sharpness": 1,
    "certainty": 1,
    "rim": -1,
    "confidence": 1,
}
OF_POINTS = {
    "color_error": -1,
    "back": -1,
    "stray": -1,
    "likeness": 1,
    "entropy": -1,
    "confidence": 1,
}

KINDS = {
    "box": Kind(
        "box",
        lambda row: row["IoU"] >= 0.5,
        lambda row: box_inputs(box_signals(row)),
        lambda row: estimate_box(box_signals(row)),
        OF_BOXES,
        LOOK_BELOW_OF["box"],
    ),
    "point": Kind(
        "point",
        lambda row: row["apart"] <= NEAR,
        lambda row: point_inputs(point_signals(row)),
        lambda row: estimate_point(point_signals(row), kind="point"),
        OF_POINTS,
        LOOK_BELOW_OF["point"],
        hidden_too=True,
    ),
    "joint": Kind(
        "point",
        lambda row: row["share"] <= BODY,
        lambda row: point_inputs(point_signals(row)),
        lambda row: estimate_point(point_signals(row), kind="joint"),
        OF_POINTS,
        LOOK_BELOW_OF["keypoints"],
        hidden_too=True,
    ),
}


def judged(
    chance: np.ndarray, right: np.ndarray, names: Sequence[str], *, threshold: float
) -> dict[str, Any]:
    """AUC for what is wrong, over all and inside sequences, calibration, and flags."""
    inside = [auc(-chance[rows], ~right[rows]) for rows in groups_of(names)]
    there = [value for value in inside if np.isfinite(value)]
    flagged = chance < threshold
    return {
        "auc": auc(1 - chance, ~right),
        "auc_within": float(np.mean(there)) if there else float("nan"),
        "within_sequences": len(there),
        "calibration_error": expected_calibration_error(chance, right),
        "stated": float(chance.mean()),
        "true": float(right.mean()),
        "flagged": int(flagged.sum()),
        "flagged_wrong": int((flagged & ~right).sum()),
        "bins": [asdict(b) for b in reliability_bins(chance, right)],
    }


def groups_of(names: Sequence[str]) -> list[np.ndarray]:
    every = np.array(names)
    return [np.flatnonzero(every == name) for name in dict.fromkeys(names)]


def report_kind(kind: Kind, files: dict[str, list[Row]], checks: dict[str, list[Row]]) -> Row:
    """Every number of one kind."""
    every = [row for found in files.values() for row in found]
    rows = [row for row in every if kind.hidden_too or row["present"]]
    hidden = [row for row in every if not row["present"]]
    right = np.array([kind.right(row) for row in rows])
    names = [row["sequence"] for row in rows]
    weights, told_apart, chance = fitted(kind, rows, right)
    threshold = float(np.quantile(chance[~right], CAUGHT))
    shipped = np.array([kind.estimate(row) for row in rows])
    single = {}
    for name, sign in kind.signals.items():
        told = np.array([row[name] is not None for row in rows])
        values = np.array([row[name] for row in rows if row[name] is not None])
        single[name] = auc(-sign * values, ~right[told])
    found = {
        "count": len(rows),
        "wrong": int((~right).sum()),
        "sequences": {
            names[group[0]]: [len(group), int((~right[group]).sum()), float(chance[group].mean())]
            for group in groups_of(names)
        },
        "signals": single,
        "held_out": judged(chance, right, names, threshold=threshold),
        "shipped": judged(shipped, right, names, threshold=threshold),
        "hidden": [len(hidden), sum(kind.right(row) for row in hidden)],
        "weights": weights,
        "auc_by_inputs": told_apart,
        "threshold": threshold,
        "below": [int((chance < kind.limit).sum()), int((~right & (chance < kind.limit)).sum())],
        "checks": {},
    }
    for name, check in checks.items():
        if some := [row for row in check if kind.hidden_too or row["present"]]:
            values = np.array([kind.estimate(row) for row in some])
            true = np.array([kind.right(row) for row in some])
            told = judged(values, true, [r["sequence"] for r in some], threshold=threshold)
            gone = [row for row in check if not row["present"]]
            told["hidden"] = [len(gone), sum(kind.right(row) for row in gone)]
            found["checks"][name] = told | {"count": len(some), "wrong": int((~true).sum())}
    if kind is KINDS["joint"]:
        found["skeletons"] = skeletons(rows, chance)
    return found


def fitted(
    kind: Kind, rows: Sequence[Row], right: np.ndarray
) -> tuple[dict[int, list[float]], dict[int, float], np.ndarray]:
    """Weights and AUC by number of inputs, and every row's probability; its sequence held out.

    Rows with fewer inputs than others are judged by a fit to all rows with those inputs alone,
    which is made of points in any case: a run may hold few.
    """
    inputs, names = [kind.inputs(row) for row in rows], [row["sequence"] for row in rows]
    weights, found_bad, chance = {}, {}, np.zeros(len(rows))
    fewer = {len(inputs[0]) - 1} if kind.rows == "point" and rows[0]["stray"] is not None else set()
    for count in sorted({len(one) for one in inputs} | fewer):
        told = np.flatnonzero([len(one) >= count for one in inputs])
        x = np.array([inputs[n][:count] for n in told])
        middle, spread = x.mean(axis=0), x.std(axis=0)
        scaled, groups = (x - middle) / spread, [names[n] for n in told]
        chance[told] = held_out(scaled, right[told], groups=groups, ridge=RIDGE)
        found_bad[count] = auc(-chance[told], ~right[told])
        found = fit_logistic(scaled, right[told], ridge=RIDGE)
        slopes = found[1:] / spread
        weights[count] = [float(found[0] - slopes @ middle), *slopes.tolist()]
    return weights, found_bad, chance


def skeletons(rows: Sequence[Row], chance: np.ndarray) -> Row:
    """A frame's mean over its joints: with the share of them that is right; below a half is bad."""
    frames: dict[tuple[str, int, str], list[int]] = {}
    for number, row in enumerate(rows):
        frames.setdefault((row["sequence"], row["frame"], row["file"]), []).append(number)
    stated = np.array([chance[some].mean() for some in frames.values()])
    right = KINDS["joint"].right
    share = np.array([np.mean([right(rows[n]) for n in some]) for some in frames.values()])
    names = [name for name, *_ in frames]
    rank = bootstrap_correlation(stated, share, groups=names, kind="spearman")
    bad = share < 0.5
    return {
        "frames": len(frames),
        "bad": int(bad.sum()),
        "auc": auc(-stated, bad),
        "mean_error": float(np.abs(stated - share).mean()),
        "spearman": asdict(rank),
        "threshold": float(np.quantile(stated[bad], CAUGHT)) if bad.any() else None,
    }


def read_rows(path: Path) -> list[Row]:
    rows = json.loads(path.read_text("utf-8"))
    return [row | {"file": path.stem} for row in rows]


def report(files: Sequence[Path], checks: Sequence[Path]) -> dict[str, Any]:
    """Every number of every kind of which there are rows."""
    found = {}
    for name, kind in KINDS.items():
        picked = []
        for paths in (files, checks):
            every = {path.stem: read_rows(path) for path in paths}
            picked.append(
                {n: some for n, rows in every.items() if (some := of_kind(rows, name, kind))}
            )
        if picked[0]:
            found[name] = report_kind(kind, picked[0], picked[1])
    return found


def of_kind(rows: Sequence[Row], name: str, kind: Kind) -> list[Row]:
    """Rows of a kind; synthetic points are on no body."""
    return [row for row in rows if row["kind"] == kind.rows and (name != "joint" or "joint" in row)]


def markdown(found: dict[str, Any]) -> str:
    """A table with a column per kind, what was checked, and the weights."""
    kinds = list(found)
    lines = [["AUC for what is wrong", *kinds], ["---", *["---:"] * len(kinds)]]
    lines.append(["places (wrong)", *(f"{r['count']} ({r['wrong']})" for r in found.values())])
    for name in dict.fromkeys([*OF_BOXES, *OF_POINTS]):
        told = [r["signals"].get(name) for r in found.values()]
        lines.append([name.replace("_", " "), *("" if v is None else f"{v:.3f}" for v in told)])
    for title, which in (("**combined, held out**", "held_out"), ("as shipped", "shipped")):
        lines.append([title, *(f"{r[which]['auc']:.3f}" for r in found.values())])
    told = [r["held_out"] for r in found.values()]
    lines.append(
        ["inside sequences", *(f"{t['auc_within']:.3f} ({t['within_sequences']})" for t in told)]
    )
    lines.append(["calibration error", *(f"{t['calibration_error']:.3f}" for t in told)])
    lines.append(
        ["flagged, of them wrong", *(f"{t['flagged']}, {t['flagged_wrong']}" for t in told)]
    )
    below = [r["below"] for r in found.values()]
    lines.append(["below the limit in use, of them wrong", *(f"{n}, {bad}" for n, bad in below)])
    hidden = [r["hidden"] for r in found.values()]
    lines.append(["reported hidden, of them wrong", *(f"{n}, {n - ok}" for n, ok in hidden)])
    text = [" | ".join(["", *row, ""]).strip() for row in lines]
    for name, kind in found.items():
        text += ["", f"{name}: flags below {kind['threshold']:.3f}"]
        for count, weights in kind["weights"].items():
            told = f"- {count} inputs, held out: AUC {kind['auc_by_inputs'][count]:.3f}; weights "
            text.append(told + ", ".join(f"{w:.3f}" for w in weights))
        for sequence, (count, wrong, stated) in kind["sequences"].items():
            text.append(f"- {sequence}: {wrong} of {count} wrong, {1 - stated:.2f} stated")
        for check, t in kind["checks"].items():
            gone, ok = t["hidden"]
            text.append(
                f"- not fitted to, {check}: {t['wrong']} of {t['count']} wrong, AUC "
                f"{t['auc']:.3f}, calibration error {t['calibration_error']:.3f}; hidden {gone}, "
                f"of them wrong {gone - ok}"
            )
        if "skeletons" in kind:
            text.append(f"- skeletons: {kind['skeletons']}")
    return "\n".join(text)


def draw_diagram(found: dict[str, Any], path: Path) -> None:
    """Share that is right over reliability, a line per kind; dots as large as bins are full."""
    from matplotlib.figure import Figure

    figure = Figure((5.2, 4.6), layout="constrained")
    axes: Axes = figure.subplots()
    axes.plot([0, 1], [0, 1], ":", color="#9a9a9a", linewidth=1)
    for name, kind in found.items():
        bins = kind["held_out"]["bins"]
        x, y = [b["reliability"] for b in bins], [b["accuracy"] for b in bins]
        told = f"AUC {kind['held_out']['auc']:.2f}"
        label = f"{name}: {told}, error {kind['held_out']['calibration_error']:.3f}"
        (line,) = axes.plot(x, y, "-", linewidth=1, label=label)
        axes.scatter(x, y, [10 + 2 * b["count"] ** 0.5 for b in bins], color=line.get_color())
    axes.set(xlabel="reliability (held out)", ylabel="share that is right")
    axes.legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=150)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    tracked = commands.add_parser("collect")
    tracked.add_argument("set", choices=SETS)
    tracked.add_argument("root", type=Path, nargs="?")
    tracked.add_argument("--davis", type=Path)
    tracked.add_argument("--rows", type=Path, required=True)
    tracked.add_argument("--model", default="small")
    tracked.add_argument("--size", type=int, default=480)
    tracked.add_argument("--seeds", type=int, default=2)
    tracked.add_argument("--sequences", nargs="+")
    told = commands.add_parser("report")
    told.add_argument("files", type=Path, nargs="+")
    told.add_argument("--check", type=Path, nargs="+", default=[])
    told.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args(argv)
    if asked.command == "collect":
        if asked.root is None and asked.set != "synthetic":
            parser.error(f"{asked.set} needs a ROOT")
        if asked.davis is None and asked.set == "badja":
            parser.error("badja needs --davis, where its frames are")
        rows: list[Row] = []
        for some in collect(asked):
            rows += some
            replace_file(asked.rows, json.dumps(rows).encode())
            print(some[0]["sequence"] if some else "-", len(rows), file=sys.stderr)
        return 0
    found = report(asked.files, asked.check)
    asked.out.mkdir(parents=True, exist_ok=True)
    replace_file(asked.out / "place_reliability.json", json.dumps(found, indent=1).encode())
    draw_diagram(found, asked.out / "place_reliability.png")
    print(markdown(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
