"""Points: sub-pixel in and out, each with the confidence that it is seen.

A point is a small bump in its own channel of the label map, copied by the pointer like any label.
The copy says roughly where it went; two templates, of the frame it was marked on and of the last
frame it was seen on, then find the place within the cell, first on features, then on pixels.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from chromatrack.ops.compiled import can_compile
from chromatrack.ops.coords import (
    FeatureSpec,
    cell_to_pixel,
    image_size,
    inside_image,
    pixel_to_cell,
)
from chromatrack.ops.subpixel import best_steps, offsets_like, patch_similarity, patches, slide
from chromatrack.ops.subpixel_loops import places_of_bumps
from chromatrack.propagation.joint_company import Company, skeletons
from chromatrack.propagation.relabeling import Relabeling
from chromatrack.structures import LabelName

WIDTH = 0.8
"""Standard deviation of a point's bump, in cells."""

SURE = 0.7
"""Similarity to the marked template from which a point's bump is drawn anew, sharp, and below which
one that was marked before is asked too."""


def bumps(xy: Tensor, size: tuple[int, int], *, width: float = WIDTH) -> Tensor:
    """Gaussian bumps of height 1: `(P, 2)` xy in cells -> `(P, h, w)`."""
    columns, rows = (torch.arange(n, device=xy.device) for n in reversed(size))
    across, down = (
        torch.exp(-((steps - at) ** 2) / (2 * width * width))
        for steps, at in ((columns, xy[:, :1]), (rows, xy[:, 1:]))
    )
    return down[:, :, None] * across[:, None, :]


def centres(label_maps: Tensor, *, reach: int = 2) -> tuple[Tensor, Tensor]:
    """Where the bumps of `(P, h, w)` label maps are.

    Returns:
        `(P, 2)` xy in cells, the mean around the highest 3 x 3 cells, and `(P,)` the largest value.
    """
    if can_compile(label_maps):
        return places_of_bumps(label_maps, reach=reach)
    _, h, w = label_maps.shape
    wide = F.pad(label_maps, (1, 1, 1, 1))
    wide = wide[:, :-2] + wide[:, 1:-1] + wide[:, 2:]
    peak = (wide[:, :, :-2] + wide[:, :, 1:-1] + wide[:, :, 2:]).flatten(1).argmax(1)
    step = torch.arange(-reach, reach + 1, device=peak.device)
    rows, columns = (peak // w)[:, None] + step, (peak % w)[:, None] + step
    inside = ((rows >= 0) & (rows < h))[:, :, None] & ((columns >= 0) & (columns < w))[:, None, :]
    place = rows.clamp(0, h - 1)[:, :, None] * w + columns.clamp(0, w - 1)[:, None, :]
    weight = label_maps.flatten(1).gather(1, place.flatten(1)).view_as(place) * inside
    total = weight.sum((1, 2)).clamp(min=1e-9)
    x, y = (weight * columns[:, None, :]).sum((1, 2)), (weight * rows[:, :, None]).sum((1, 2))
    xy = torch.stack([x, y], 1) / total[:, None]
    return xy, label_maps.flatten(1).amax(1)


@dataclass
class Templates:
    """How points look: features `(P, K, C)` around each, pixels `(P, K', 3)` around each."""

    features: Tensor = field(default_factory=lambda: torch.zeros(0, 0, 0))
    pixels: Tensor = field(default_factory=lambda: torch.zeros(0, 0, 0))

    def keep(self, other: Templates, which: Tensor) -> Templates:
        """This, and `other` where `which` `(P,)` bool."""
        pick = which[:, None, None]
        return Templates(
            torch.where(pick, other.features, self.features),
            torch.where(pick, other.pixels, self.pixels),
        )

    def __getitem__(self, which: Tensor) -> Templates:
        return Templates(self.features[which], self.pixels[which])


_AROUND = 1  # cells around a point, each way
_TRIES = 2
_PIXELS = 4, 2.0  # steps each way, of working pixels
_HIDDEN = 0.15  # confidence below which a frame is to say nothing on a point later
_LEAST_MATCH = 0.6  # correlation of pixels from which their position is believed
_NOISE = 0.02  # spread of RGB values within a patch that shows nothing
_SAME_COLOR = 0.1  # difference of the means of RGB at which flat patches match no more
_AGE = 4  # frames between two templates that are kept for telling what comes in front
_OLDER_BY = 0.1  # the marked template is preferred unless worse than the last one by this
_LEAST_BUMP = 1e-3  # of a label map: below, the point is sought where it was last
_SEARCH_AFTER = 2  # frames hidden from which a point is sought around that place
_SEARCH, _SEARCH_MORE = 4, 2  # cells around it, and more for each frame hidden
_CONFIDENCE = (0.4, 1.2, 5.0, -4.1)  # of likeness, of match to marked and better template, of 1


@dataclass(frozen=True)
class Seen:
    """Where points are on a frame: xy `(P, 2)` cells, visible `(P,)`, confidence `(P,)`.

    known: `(P,)` bool, False for points that were shown nowhere so far, or said to be lost and not
    seen since, so that xy says nothing; None: all are known.
    """

    xy: Tensor
    visible: Tensor
    confidence: Tensor
    known: Tensor | None = None


@dataclass
class PointTracks:
    """The state of all points of a pass through the frames; names: of each.

    How they look: marked, where they were marked last; before, where they were marked before that,
    which counts where the newer mark does not fit; last, where they were seen last; elder and
    waiting, some frames ago.
    """

    spec: FeatureSpec
    names: Sequence[LabelName]
    marked: Templates = field(default_factory=Templates)
    before: Templates = field(default_factory=Templates)
    last: Templates = field(default_factory=Templates)
    elder: Templates = field(default_factory=Templates)
    waiting: Templates = field(default_factory=Templates)
    age: Tensor = field(default_factory=lambda: torch.zeros(0))
    xy: Tensor = field(default_factory=lambda: torch.zeros(0, 2))
    started: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.bool))
    ended: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.bool))
    hidden: Tensor = field(default_factory=lambda: torch.zeros(0))
    marked_again: bool = False
    company: Company = field(init=False)

    def __post_init__(self) -> None:
        self.company = Company(skeletons(self.names))

    @property
    def count(self) -> int:
        """How many points there are."""
        return len(self.names)

    def follow(
        self,
        features: Tensor,
        image: Tensor,
        copied: Tensor | None,
        given: dict[int, tuple[float, float] | None],
    ) -> tuple[Tensor, Tensor, Seen]:
        """Find the points on a frame.

        Args:
            features: `(C, h, w)`. image: `(3, H, W)` in [0, 1], the same frame.
            copied: `(P, h, w)` label maps from the pointer, None on the first frame.
            given: point number -> exact (x, y) in cells, or None for a point declared lost.

        Returns:
            `(P, h, w)` label maps to remember, `(P,)` whether to trust them, and what was seen.
        """
        self._grow(features, image)
        size = (features.shape[1], features.shape[2])
        soft = features.new_zeros(self.count, *size) if copied is None else copied
        seen, likeness = self._seen(features, image, soft)
        again = self.started.clone()
        for number, place in given.items():
            seen.visible[number] = place is not None
            seen.confidence[number] = likeness[number] = float(place is not None)
            self.started[number] |= place is not None
            self.ended[number] = place is None
            if place is not None:
                seen.xy[number] = seen.xy.new_tensor(place)
        now = self._templates(features, image, seen.xy)
        renewed = torch.zeros(self.count, dtype=torch.bool, device=features.device)
        renewed[[number for number, place in given.items() if place is not None]] = True
        self.before = self.before.keep(now, renewed).keep(self.marked, renewed & again)
        self.marked_again |= bool(given) and bool((renewed & again).any())
        self.marked = self.marked.keep(now, renewed)
        self.last = self.last.keep(now, seen.visible)
        self._age(now, seen.visible, renewed)
        self.ended = self.ended & ~seen.visible
        self.hidden = torch.where(seen.visible, 0, self.hidden + 1)
        self.xy = torch.where(seen.visible[:, None], seen.xy, self.xy)
        self.company = self.company.followed(seen.xy, seen.visible)
        sharp = bumps(seen.xy, size)
        seen = replace(seen, known=self.started & ~self.ended)
        sure = ((likeness > SURE) & seen.visible)[:, None, None]
        return torch.where(sure, sharp, soft), seen.confidence > _HIDDEN, seen

    def recall(
        self, features: Tensor, image: Tensor, places: Mapping[int, tuple[float, float]]
    ) -> None:
        """Know how points look on a frame on which they were marked before this pass begins.

        features, image: as for `follow`. places: point number -> (x, y) in cells.
        """
        self._grow(features, image)
        which = torch.zeros(self.count, dtype=torch.bool, device=features.device)
        which[list(places)] = True
        xy = self.xy.clone()
        for number, place in places.items():
            xy[number] = xy.new_tensor(place)
        self.marked = self.marked.keep(self._templates(features, image, xy), which)
        self.started = self.started | which

    def _age(self, now: Templates, visible: Tensor, renewed: Tensor) -> None:
        """Renew, every few frames seen, the template of some frames ago.

        What comes in front of a point changes its look within a few frames; the object itself
        rarely does. The last frame's template cannot tell the two apart, an older one can.
        """
        self.age = self.age + visible
        due = (self.age >= _AGE) & visible
        self.elder = self.elder.keep(self.waiting, due).keep(now, renewed)
        self.waiting = self.waiting.keep(now, due | renewed)
        self.age = torch.where(due | renewed, 0, self.age)

    def _grow(self, features: Tensor, image: Tensor) -> None:
        """Make room for points that came since the last frame."""
        more = self.count - len(self.xy)
        if more <= 0:
            return
        self.xy = F.pad(self.xy.to(features), (0, 0, 0, more))
        self.started = F.pad(self.started.to(features.device), (0, more))
        self.ended = F.pad(self.ended.to(features.device), (0, more))
        self.hidden = F.pad(self.hidden.to(features), (0, more))
        self.age = F.pad(self.age.to(features), (0, more))
        blank = self._templates(features, image, self.xy)
        n = self.count - more
        for name in ("marked", "before", "last", "elder", "waiting"):
            old: Templates = getattr(self, name)
            if n > 0:
                blank.features[:n], blank.pixels[:n] = old.features, old.pixels
            setattr(self, name, Templates(blank.features.clone(), blank.pixels.clone()))

    def fork(self) -> PointTracks:
        """A copy that goes its own way."""
        twin = copy.copy(self)
        twin.started, twin.ended = self.started.clone(), self.ended.clone()
        return twin  # the rest is not changed in place

    def relabel(self, way: Relabeling) -> None:
        """Keep the points that stay; the next frame makes room for new ones behind them."""
        self.names = way.new.points
        self.company = self.company.regrouped(skeletons(self.names), way.rows)
        rows = [row for row in way.rows if row < len(self.xy)]
        self.age, self.xy = self.age[rows], self.xy[rows]
        self.started, self.ended = self.started[rows], self.ended[rows]
        self.hidden = self.hidden[rows]
        for name in ("marked", "before", "last", "elder", "waiting"):
            templates: Templates = getattr(self, name)
            kept = torch.tensor(rows, dtype=torch.long, device=templates.features.device)
            setattr(self, name, templates[kept])

    def _pixel(self, xy: Tensor) -> Tensor:
        return cell_to_pixel(xy, stride=self.spec.stride, offset=self.spec.offset)

    def _cell(self, pixels: Tensor) -> Tensor:
        return pixel_to_cell(pixels, stride=self.spec.stride, offset=self.spec.offset)

    def _templates(self, features: Tensor, image: Tensor, xy: Tensor) -> Templates:
        around, pixels = offsets_like(xy, _AROUND), offsets_like(xy, *_PIXELS)
        return Templates(patches(features, xy, around), patches(image, self._pixel(xy), pixels))

    def _seen(self, features: Tensor, image: Tensor, soft: Tensor) -> tuple[Seen, Tensor]:
        """Positions, visibility and confidence; and the similarity to the marked templates."""
        guess, mass = centres(soft)
        guess = torch.where((mass > _LEAST_BUMP)[:, None], guess, self.xy)
        xy, likeness, match = self._refine(features, image, guess)
        again = (self.hidden >= _SEARCH_AFTER) & self.started & (likeness[0] < SURE)
        if bool(again.any()):
            xy, likeness, match = self._search(features, image, again, xy, likeness, match)
        inside = inside_image(self._pixel(xy), image_size(image))
        confidence = confidence_of(likeness, match) * inside * self.started
        confidence = self.company.doubted(xy, confidence)
        return Seen(xy, confidence > 0.5, confidence), likeness[0]

    def _refine(
        self, features: Tensor, image: Tensor, guess: Tensor, which: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Place within the cell; likeness `(2, P)` to both templates; correlation of pixels."""
        marked, before, last, elder = self.marked, self.before, self.last, self.elder
        if which is not None:
            marked, before, last, elder = (t[which] for t in (marked, before, last, elder))
        around, tries = offsets_like(guess, _AROUND), offsets_like(guess, _TRIES)
        looks = (marked.features, last.features, *([before.features] * self.marked_again))
        found = best_steps(features, looks, guess, offsets=around, tries=tries)
        (a, like_a), (b, like_b) = found[:2]
        for c, like_c in found[2:]:
            other = (like_a < SURE) & (like_c > like_a)  # the mark before shows it better
            marked = marked.keep(before, other)
            a, like_a = torch.where(other[:, None], c, a), torch.where(other, like_c, like_a)
        older = like_a >= like_b - _OLDER_BY
        template = last.keep(marked, older)
        xy = torch.where(older[:, None], a, b)
        xy = slide(features, template.features, xy, offsets=around)
        xy = self._refine_pixels(image, marked, last, xy)
        now = self._templates(features, image, xy)
        likeness, match = self._likeness(now, marked, elder)
        if self.marked_again:
            match[0] = torch.maximum(match[0], match_of(now.pixels, before.pixels))
        return xy, likeness, match

    def _likeness(
        self, now: Templates, marked: Templates, elder: Templates
    ) -> tuple[Tensor, Tensor]:
        """Likeness to the marked and the elder templates: of features, of pixels; `(2, P)` each."""
        both = (marked, elder)
        features = [patch_similarity(now.features, template.features) for template in both]
        pixels = [match_of(now.pixels, template.pixels) for template in both]
        return torch.stack(features), torch.stack(pixels)

    def _refine_pixels(
        self, image: Tensor, marked: Templates, last: Templates, xy: Tensor
    ) -> Tensor:
        pixels = offsets_like(xy, *_PIXELS)
        places, matches = [], []
        for template in (marked.pixels, last.pixels):
            start = self._pixel(xy)
            place = slide(image, template, start, offsets=pixels, reach=float(self.spec.stride))
            places.append(place)
            matches.append(correlation(patches(image, place, pixels), template))
        older = matches[0] >= matches[1] - _OLDER_BY
        place = torch.where(older[:, None], places[0], places[1])
        match = torch.where(older, matches[0], matches[1])
        return torch.where((match > _LEAST_MATCH)[:, None], self._cell(place), xy)

    def _search(
        self,
        features: Tensor,
        image: Tensor,
        which: Tensor,
        xy: Tensor,
        likeness: Tensor,
        match: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Look for hidden points in a neighbourhood that grows while they are hidden."""
        _, h, w = features.shape
        middle = self.marked.features[which][:, (2 * _AROUND + 1) ** 2 // 2]
        scores = F.normalize(middle, dim=1) @ F.normalize(features.flatten(1), dim=0)
        place = self.xy[which]
        y = torch.arange(h, device=xy.device).repeat_interleave(w)
        x = torch.arange(w, device=xy.device).repeat(h)
        far = torch.maximum((x - place[:, :1]).abs(), (y - place[:, 1:]).abs())
        scores = scores.masked_fill(far > _SEARCH + _SEARCH_MORE * self.hidden[which, None], -1)
        best = scores.argmax(1)
        found = torch.stack([best % w, best // w], 1).to(xy)
        new_xy, new_likeness, new_match = self._refine(features, image, found, which)
        better = new_likeness[0] > likeness[0, which]
        rows = which.nonzero()[better, 0]
        xy, likeness, match = xy.clone(), likeness.clone(), match.clone()
        xy[rows] = new_xy[better]
        match[:, rows], likeness[:, rows] = new_match[:, better], new_likeness[:, better]
        return xy, likeness, match


def correlation(a: Tensor, b: Tensor) -> Tensor:
    """Normalised correlation of patches `(P, K, C)`, each channel's mean taken off: `(P,)`."""
    a, b = a - a.mean(1, keepdim=True), b - b.mean(1, keepdim=True)
    return F.cosine_similarity(a.flatten(1), b.flatten(1), dim=1)


def match_of(a: Tensor, b: Tensor) -> Tensor:
    """How well patches `(P, K, C)` of RGB in [0, 1] match, `(P,)` in [-1, 1].

    Their correlation; where both are flat, in which case that is one of noise, whether they are of
    one colour.
    """
    mean_a, mean_b = a.mean(1), b.mean(1)
    flat = (-((mean_a - mean_b) / _SAME_COLOR).square().mean(1)).exp()
    a, b = (a - mean_a[:, None]).flatten(1), (b - mean_b[:, None]).flatten(1)
    noise = a.shape[1] * _NOISE**2
    return ((a * b).sum(1) + noise * flat) / (a.norm(dim=1) * b.norm(dim=1) + noise)


def confidence_of(likeness: Tensor, match: Tensor) -> Tensor:
    """How likely points are seen, `(P,)` in [0, 1].

    The form is that of a logistic fit on synthetic clips (seeds 100 to 103); the weights were then
    moved by hand towards the younger template, after a turning object was called hidden.

    likeness: of features, `(2, P)`, to the marked and to the elder template; match: of pixels.
    """
    like, marked, better, constant = _CONFIDENCE
    score = like * likeness[0] + marked * match[0] + better * match.amax(0) + constant
    return score.sigmoid()
