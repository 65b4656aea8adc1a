"""Protocols of the field as presets: everything that changes a score besides the features.

The same features score up to 17 points apart under different protocols, so a number without its
protocol says little. Each preset is a function with its source and its literal numbers, as far as
they differ from our own. What no preset says is where a cell lies: that is the extractor's
`FeatureSpec` (the others' scripts take 3.5 pixels at stride 8, whatever the network). Label maps of
given masks are averages over cells in all of them; the scripts sample.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import Any, Literal

from chromatrack.errors import InputError
from chromatrack.propagation.config import PropagateConfig
from chromatrack.tracking.config import ColoringConfig, TrackConfig


def paper() -> TrackConfig:
    """The paper: the last 3 frames, the whole frame, all cells, plain inner products over 0.5.

    Source: Vondrick et al., ECCV 2018 (arXiv 1806.09594): frames of 256 x 256; the softmax is over
    all positions of the last three frames and their own soft predictions; temperature 1 in
    training, 0.5 in tracking. Plain inner products are what `vondrick2018` networks are trained
    with. Of networks trained on cosines, `small` among them, the lengths are not trained.
    """
    propagate = PropagateConfig(
        first=False,
        recent=3,
        restrict_recent=False,
        top_k=None,
        temperature=0.5,
        similarity="dot",
    )
    return _theirs("paper", propagate, size=256, square=True)


def crw() -> TrackConfig:
    """Contrastive random walk: the first frame everywhere and the last 20 near by, top-10.

    Source: Jabri et al., NeurIPS 2020, its code's `test.py` with the README's `--topk 10
    --videoLen 20 --radius 12 --temperature 0.05 --cropSize -1`: frames at their own size (480p);
    radius a disc, distance < 12 cells, on the last 20 frames alone; until there are 20, copies of
    the first stand in; softmax over the 10 best of all, together; labels stay soft and come to
    full size bilinearly.
    """
    propagate = PropagateConfig(
        recent=20,
        fill=True,
        top_k=10,
        radius=12,
        recent_radius=12,
        radius_shape="disc",
        restrict_first=False,
        temperature=0.05,
    )
    return _theirs("crw", propagate, size=480)


def dino() -> TrackConfig:
    """DINO: the first frame and the last 7, all near by, top-5.

    Source: Caron et al., ICCV 2021, its code's `eval_video_segmentation.py`: short side 480, the
    longer one cut down to a multiple of 64; exp(cosine / 0.1) of the 5 best within 12 cells
    (square, inclusive) in all of them, the first frame too; every label stretched to [0, 1]
    over the frame before the largest wins.
    """
    propagate = PropagateConfig(
        recent=7,
        top_k=5,
        radius=12,
        recent_radius=12,
        temperature=0.1,
    )
    return _theirs("dino", propagate, size=480, long_multiple=64, stretch=True)


def mast() -> TrackConfig:
    """MAST: frames 0 and 5 and every other one of the last 5, all cells near by, hard labels.

    Source: Lai et al., CVPR 2020, its code's `benchmark.py` and `models/`: references to frame t
    are 0, 5, t-5, t-3, t-1; softmax of plain inner products over all cells within 12 (square,
    inclusive), together; frames at their own size (480p) with cells of 4 pixels; each frame's
    labels are hard where they are copied from. On frames d > 15 back the window lies around the
    mean place (softmax, same temperature) of a search within 12 steps of min(4, d // 15 + 1)
    cells, between cells by linear interpolation. Other than there, places outside the frame do not
    count (there they score 0), and a reference's labels are read in its own windows (there in
    those of the youngest one that was searched so).
    """
    propagate = PropagateConfig(
        recent=3,
        spacing=2,
        pinned=(5,),
        top_k=None,
        radius=12,
        recent_radius=12,
        temperature=1.0,
        similarity="dot",
        harden=True,
        moved_after=15,
    )
    return _theirs("mast", propagate, size=480)


def ours() -> TrackConfig:
    """What `chromatrack track` does: the first frame and the last 4, top-10, lost and found.

    The windows are 160 pixels on marked and 64 pixels on recent frames, in whole cells.
    """
    return TrackConfig()


def _theirs(name: str, propagate: PropagateConfig, **reading: Any) -> TrackConfig:  # noqa: ANN401
    """Labels copied as `propagate` has it, and nothing of ours added."""
    return TrackConfig(
        propagate=replace(propagate, faint=0.0),
        adapt=0.0,
        redetect=False,
        upsample="bilinear",
        decoder="none",
        int8=False,
        protocol=name,
        **reading,
    )


PROTOCOLS: Mapping[str, Callable[[], TrackConfig]] = {
    "ours": ours,
    "paper": paper,
    "crw": crw,
    "dino": dino,
    "mast": mast,
}

_COPYING = frozenset(field.name for field in fields(PropagateConfig))
_READING = frozenset(field.name for field in fields(TrackConfig)) - {
    "propagate",
    "color",
    "coloring",
    "protocol",
}
_COLORING = frozenset(field.name for field in fields(ColoringConfig))


def protocol(name: str, **changed: Any) -> TrackConfig:  # noqa: ANN401  (knobs of two dataclasses)
    """A preset, single knobs of it changed; the configuration's `protocol` says which.

    Args:
        changed: fields of `TrackConfig`, `PropagateConfig` and `ColoringConfig` by name.

    Raises:
        InputError: no such protocol or knob, or a value out of its range.
    """
    if name not in PROTOCOLS:
        raise InputError(f"protocol: expected one of {', '.join(PROTOCOLS)}, got {name!r}")
    known = _COPYING | _READING | _COLORING
    unknown = sorted(set(changed) - known)
    if unknown:
        raise InputError(
            f"protocol {name}: expected knobs among {', '.join(sorted(known))}, "
            f"got {', '.join(unknown)}"
        )
    preset = PROTOCOLS[name]()
    copying = {key: value for key, value in changed.items() if key in _COPYING}
    reading = {key: value for key, value in changed.items() if key in _READING}
    coloring = {key: value for key, value in changed.items() if key in _COLORING}
    config = replace(
        preset,
        propagate=replace(preset.propagate, **copying),
        coloring=replace(preset.coloring, **coloring),
        color=replace(preset.color, **{k: v for k, v in copying.items() if v is not None}),
        **reading,
    )
    differing = [
        f"{key}={value}"
        for key, value in changed.items()
        if _knob(config, key) != _knob(preset, key)
    ]
    return replace(config, protocol=f"{name} with {', '.join(differing)}" if differing else name)


def _knob(config: TrackConfig, name: str) -> object:
    """A setting by its name, of the configuration or of the one inside it that has it."""
    inner = config.coloring if name in _COLORING else config.propagate
    return getattr(config if name in _READING else inner, name)


ProtocolName = Literal["ours", "paper", "crw", "dino", "mast"]


def with_floor(model: object, protocol: str, given: dict[str, Any]) -> dict[str, Any]:
    """The knobs named; under our own protocol raw patches have a temperature of their own."""
    if model != "raw-lab" or protocol != "ours":
        return given
    from chromatrack.evaluation.baselines.identity import RAW_LAB_TEMPERATURE

    return {"temperature": RAW_LAB_TEMPERATURE, **given}
