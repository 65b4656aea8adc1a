"""Views of an object: cells cut out of frames, compared, laid back over other frames."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from chromatrack.ops.compiled import NEAREST, mean_of_largest, unit_cells, window_max
from chromatrack.propagation.relabeling import Relabeling

VIEWS = 4
"""Views kept of an object, the marked one and the most different of the later ones."""

MARGIN = 3
"""Cells cut out around an object."""

_CELLS = 256  # cells kept of a view, of its own and of its surroundings each
_TOGETHER = 1024  # cells compared with a gallery at a time: products of a few MB
_SCORES = 1 << 21  # products with galleries of whole frames at a time: in pages of their own
_LEAST = 16  # cells compared at a time, however many there are in those
_COARSE_FROM = 3000  # cells of a frame above which it is searched at half the resolution, or less
_FIT_FROM = 400  # cells of a view above which it is first fitted at half the resolution, or less
_NEW_BELOW = 0.75  # likeness to all views below which a cell looks new
_NEW_SHARE = 0.25  # of a view's cells that must look new for it to be kept
_STRONG = 0.5  # share of a cell from which it tells what an object looks like
_FAINT = 0.05  # share of a cell below which it tells what is around the object


def likeness(cells: Tensor, gallery: Tensor) -> Tensor:
    """Mean cosine to the most similar cells of a gallery: `(n, C)`, `(m, C)` -> `(n,)`."""
    if len(gallery) == 0:
        return cells.new_full((len(cells),), -1.0)
    parts = [mean_of_largest(gallery @ some.T) for some in cells.split(_TOGETHER)]
    return torch.cat(parts)


def likeness_to_rest(
    cells: Tensor, around: Sequence[Tensor], frames: Sequence[Surroundings], channel: int
) -> Tensor:
    """`likeness` to what is not an object: `(n, C)` -> `(n,)`.

    To cells `(m, C)` beside it, and to those of whole frames that hold nothing of it: these are
    passed over where they are compared, so that no gallery is made of them for each object.
    """
    galleries = [*around, *(frame.cells for frame in frames)]
    passed = [*(None for _ in around), *(frame.holds(channel) for frame in frames)]
    rows = [len(gallery) for gallery in galleries]
    left = sum(rows) - sum(int(held.sum()) for held in passed if held is not None)
    if left < NEAREST:
        few = zip(galleries, passed, strict=True)
        parts = [gallery if held is None else gallery[~held] for gallery, held in few]
        return likeness(cells, torch.cat(parts) if parts else cells[:0])
    found = []
    for some in cells.split(max(_LEAST, _SCORES // sum(rows))):
        scores = cells.new_empty(sum(rows), len(some))
        for gallery, held, part in zip(galleries, passed, scores.split(rows), strict=True):
            torch.mm(gallery, some.T, out=part)
            if held is not None:
                part[held] = -2
        found.append(mean_of_largest(scores))
    return torch.cat(found)


@dataclass(frozen=True)
class Exemplar:
    """An object as seen on one frame, cut out with a margin.

    features: `(C, a, b)`. labels: `(a, b)` in [0, 1]. own, around: looks of the object's cells
    `(n, C)` and of those beside it `(m, C)`, thinned out.
    """

    features: Tensor
    labels: Tensor
    own: Tensor
    around: Tensor


@dataclass(frozen=True)
class PlacedExemplar:
    """A view put back into a frame: its upper left cell (row, column), and until which frame."""

    view: Exemplar
    corner: tuple[int, int]
    steps: int


@dataclass(frozen=True)
class Surroundings:
    """All cells of a frame, coarse: `(m, C)`, and how much of each label they hold: `(L, m)`."""

    cells: Tensor
    labels: Tensor

    def holds(self, channel: int) -> Tensor:
        """`(m,)` bool: the cells that hold something of an object."""
        if channel >= len(self.labels):
            return self.labels.new_zeros(len(self.cells), dtype=torch.bool)
        return self.labels[channel] >= _FAINT

    def relabeled(self, way: Relabeling) -> Surroundings:
        """The same with the labels in other channels."""
        return replace(self, labels=way.carry(self.labels))


def coarse_factor(size: tuple[int, int], most: int = _COARSE_FROM) -> int:
    """By how much (h, w) cells are coarsened to be at most `most`: a power of 2.

    What a search costs so depends on the picture, not on how fine its cells are.
    """
    factor = 1
    while size[0] * size[1] > most * factor * factor:
        factor *= 2
    return factor


def coarser(features: Tensor, factor: int) -> Tensor:
    """Averages of factor x factor cells, unit length: `(C, h, w)` -> `(C, h', w')`."""
    if factor == 1:
        return features
    return unit_cells(F.avg_pool2d(features[None], factor, ceil_mode=True)[0])


def surroundings(
    looks: Tensor, label_map: Tensor, *, channels: int | None = None, margin: int = 0
) -> Surroundings:
    """A frame's cells and labels, coarse; labels reach `margin` cells further than they did.

    Of the first `channels` labels (None: all); those of the others are 0.
    """
    factor = coarse_factor((looks.shape[1], looks.shape[2]))
    some = window_max(label_map[:channels], margin)
    labels = F.max_pool2d(some[None], factor, ceil_mode=True)[0].flatten(1)
    labels = F.pad(labels, (0, 0, 0, len(label_map) - len(labels)))
    return Surroundings(coarser(looks, factor).flatten(1).T, labels)


def fit(view: Exemplar, features: Tensor, place: Tensor) -> tuple[float, tuple[int, int]]:
    """How well a view fits near a place, in [-1, 1], and its upper left cell (row, column) there.

    The view is slid over the frame, whole cells at a time, within its own size of the place; a
    large one coarsely first, then around the best place.
    """
    a, b = view.labels.shape
    kernel = view.features * (view.labels / view.labels.sum())
    centre = middle(view.labels)
    rows = _around(float(place[1] - centre[1]), max(4, a / 2), 1 - a, features.shape[1])
    columns = _around(float(place[0] - centre[0]), max(4, b / 2), 1 - b, features.shape[2])
    factor = coarse_factor((a, b), _FIT_FROM)
    if factor > 1:
        few = [range(r.start // factor, (r.stop - 1) // factor + 1) for r in (rows, columns)]
        _, corner = _slide_over(_sums(kernel, factor), _sums(features, factor), few[0], few[1])
        rows, columns = (
            range(max(r.start, factor * (c - 1)), min(r.stop, factor * (c + 1) + 1))
            for r, c in zip((rows, columns), corner, strict=True)
        )
    return _slide_over(kernel, features, rows, columns)


def _around(middle: float, reach: float, least: int, most: int) -> range:
    """Whole numbers within `reach` of a middle that is brought into [least, most)."""
    middle = min(max(middle, least), most - 1)
    first, last = math.ceil(middle - reach), math.floor(middle + reach)
    return range(max(least, first), min(most - 1, last) + 1)


def _sums(maps: Tensor, factor: int) -> Tensor:
    """Sums over factor x factor cells, zeros beyond the edge: `(C, h, w)` -> `(C, h', w')`."""
    padded = F.pad(maps, (0, -maps.shape[2] % factor, 0, -maps.shape[1] % factor))
    return F.avg_pool2d(padded[None], factor)[0] * factor**2


def _slide_over(
    kernel: Tensor, features: Tensor, rows: range, columns: range
) -> tuple[float, tuple[int, int]]:
    """The best product of a kernel with a frame, over some places of its upper left cell."""
    _, a, b = kernel.shape
    _, h, w = features.shape
    down, across = rows[-1] + a, columns[-1] + b
    margins = (max(0, -columns[0]), max(0, across - w), max(0, -rows[0]), max(0, down - h))
    padded = F.pad(features, margins)
    top, left = max(0, rows[0]), max(0, columns[0])
    part = padded[:, top : top + len(rows) - 1 + a, left : left + len(columns) - 1 + b]
    scores = F.conv2d(part[None], kernel[None])[0, 0]
    best = int(scores.argmax())
    corner = rows[best // len(columns)], columns[best % len(columns)]
    return float(scores.max()), corner


def put_back(recalled: PlacedExemplar, features: Tensor, labels: Tensor) -> None:
    """Paste a view into a frame's features `(C, h, w)` and labels `(h, w)`, in place."""
    h, w = labels.shape
    (top, left), (a, b) = recalled.corner, recalled.view.labels.shape
    rows, columns = slice(max(0, top), min(h, top + a)), slice(max(0, left), min(w, left + b))
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return
    part = (
        slice(rows.start - top, rows.stop - top),
        slice(columns.start - left, columns.stop - left),
    )
    features[:, rows, columns] = recalled.view.features[:, part[0], part[1]]
    labels[rows, columns] = recalled.view.labels[part]


def middle(labels: Tensor) -> Tensor:
    """Weighted mean position `(2,)` xy in cells of labels `(h, w)`."""
    h, w = labels.shape
    y = torch.arange(h, device=labels.device)[:, None]
    x = torch.arange(w, device=labels.device)[None, :]
    total = labels.sum().clamp(min=1e-9)
    return torch.stack([(labels * x).sum() / total, (labels * y).sum() / total])


def strong_cells(labels: Tensor) -> Tensor:
    """Which cells tell what an object looks like; the strongest where all are faint."""
    return labels >= min(_STRONG, float(labels.max()))


def take_view(features: Tensor, looks: Tensor, labels: Tensor) -> Exemplar:
    """Cut an object out of a frame.

    Args:
        features, looks: `(C, h, w)`, what is pointed with and what likeness is measured in.
        labels: `(h, w)`, not 0 everywhere.
    """
    largest = float(labels.max())
    faint = _FAINT if largest > _FAINT else largest / 2  # however small, it has a cell
    near = window_max((labels[None] > faint).float(), MARGIN)[0] > 0
    rows, columns = near.any(1).nonzero()[:, 0], near.any(0).nonzero()[:, 0]
    box = (slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1))
    cells = looks.flatten(1).T
    return Exemplar(
        features[:, box[0], box[1]].clone(),
        labels[box].clone(),
        thinned(cells[strong_cells(labels).flatten()]),
        thinned(cells[(near & (labels < faint)).flatten()]),
    )


def thinned(cells: Tensor, most: int = _CELLS) -> Tensor:
    """At most `most` of the rows, evenly spread."""
    if len(cells) <= most:
        return cells
    pick = torch.linspace(0, len(cells) - 1, most, device=cells.device).round().long()
    return cells[pick]


def keep_view(views: list[Exemplar], view: Exemplar) -> None:
    """Add a view if it shows something new; beyond VIEWS the one most like the others goes.

    The first, of the frame the user marked, always stays.
    """
    known = torch.cat([v.own for v in views])
    new = (view.own @ known.T).amax(1) < _NEW_BELOW
    if float(new.float().mean()) < _NEW_SHARE:
        return
    views.append(view)
    if len(views) <= VIEWS:
        return
    later = views[1:]
    alike = []
    for one in later:
        rest = torch.cat([v.own for v in views if v is not one])
        alike.append(float((one.own @ rest.T).amax(1).mean()))
    del views[1 + max(range(len(later)), key=alike.__getitem__)]


def pointing_back(
    views: Sequence[Exemplar], cells: Tensor, region: Tensor, *, least: float
) -> float:
    """Backward check: the share of a view's cells that point into a region, of the best view.

    Args:
        cells: looks of a frame `(h * w, C)`. region: `(h, w)` bool; one cell beyond it counts.
        least: likeness below which a cell points at nothing.
    """
    wide = F.max_pool2d(region[None, None].float(), 3, 1, 1)[0, 0].flatten() > 0
    shares = []
    for view in views:
        best = (view.own @ cells.T).max(1)
        weight = (best.values - least).clamp(min=0)
        shares.append(float((weight * wide[best.indices]).sum() / weight.sum().clamp(min=1e-6)))
    return max(shares)
