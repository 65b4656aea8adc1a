"""A thing cut out of the rectangle around it by its colours. Pure.

Source: GrabCut (Rother, Kolmogorov, Blake 2004): colours of the thing and of its surroundings are
modelled by mixtures of Gaussians, pixels are labelled by them and by their neighbours, and so on in
turns. Instead of a minimum cut, the labels are the smooth ones of a random walker with priors
(Grady 2005), a linear system that conjugate gradients solve.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from chromatrack.ops.color import rgb_to_lab
from chromatrack.ops.resample import resize

_AROUND = 0.1  # of a rectangle's longer side: how far its surroundings reach
_LEAST_AROUND = 4  # pixels; the same for small ones
ROUNDS = 4  # of modelling and labelling
COLORS = 5  # Gaussians per mixture
_EM_STEPS = 8
_LEAST_VARIANCE = 0.2  # of a Gaussian, in squared units of Lab
_LEAST_PIXELS = 16  # that a mixture is made of
_START = 0.6  # of the squared radius of the ellipse in the rectangle: what is surely the thing
_SMOOTH = 10.0  # weight of a pair of neighbours of one colour, against 1 of a pixel's own colour
_UNSURE = 0.02  # least weight of a pixel's own colour
_STEPS = 60  # of conjugate gradients


def cut_out(image: Tensor, inside: Tensor) -> Tensor:
    """How much every pixel belongs to what fills a rectangle, unlike its surroundings.

    Args:
        image: `(3, H, W)` float32 sRGB in [0, 1]: the rectangle and what surrounds it closely.
        inside: `(H, W)` bool, the rectangle.

    Returns:
        `(H, W)` float32, about [0, 1]; 0 outside the rectangle. The thing is where it is above 1/2.
        All of the rectangle is 1 where there is too little of it or around it to model colours.
    """
    lab = rgb_to_lab(image)
    colors, graph = lab.flatten(1).T, Neighbours.of(lab, inside)
    share, thing = inside.float(), _ellipse(inside) & inside
    rest = ~inside
    for _ in range(ROUNDS):
        if min(int(thing.sum()), int(rest.sum())) < _LEAST_PIXELS:
            break
        mine = ColorMixture.fitted(colors[thing.flatten()]).log_density(colors)
        theirs = ColorMixture.fitted(colors[rest.flatten()]).log_density(colors)
        share = graph.smooth((mine - theirs).sigmoid().reshape(inside.shape))
        before, thing = thing, share > 1 / 2
        rest = ~thing
        if torch.equal(before, thing):
            break
    return share


def with_surroundings(inside: Tensor) -> tuple[slice, slice]:
    """Rows and columns of a rectangle and what surrounds it closely; `inside` `(H, W)` bool."""
    rows, columns = (inside.any(axis).nonzero()[:, 0] for axis in (1, 0))
    around = max(_LEAST_AROUND, round(_AROUND * max(len(rows), len(columns))))
    return _widened(rows, around), _widened(columns, around)


def _widened(places: Tensor, around: int) -> slice:
    return slice(max(0, int(places[0]) - around), int(places[-1]) + 1 + around)


def cut_out_small(image: Tensor, inside: Tensor, *, long_side: int) -> Tensor:
    """`cut_out` with a rectangle that is larger brought to `long_side` pixels for it.

    Args:
        image, inside: as for `cut_out`, inside not empty.

    Returns:
        `(H, W)` float32, about [0, 1]; near the rectangle's edges outside it, too.
    """
    longest = max(int(inside.any(axis).sum()) for axis in (0, 1))
    scale = min(1.0, long_side / longest)
    size = [max(1, round(side * scale)) for side in inside.shape]
    pixels = inside.float()[None, None]
    within = F.interpolate(pixels, size=size)[0, 0] > 0
    if not bool(within.any()):  # thinner than a pixel of them
        within = F.adaptive_max_pool2d(pixels, size)[0, 0] > 0
    share = cut_out(resize(image, size), within)
    return F.interpolate(share[None, None], size=list(inside.shape), mode="bilinear")[0, 0]


def _ellipse(inside: Tensor) -> Tensor:
    """`(H, W)` bool: the middle of a rectangle, without its corners."""
    distance = torch.zeros(inside.shape)
    for axis in (0, 1):
        held = inside.any(1 - axis).nonzero()
        low, high = float(held[0]), float(held[-1])
        places = (torch.arange(inside.shape[axis]) - (low + high) / 2) / ((high - low + 1) / 2)
        distance += (places**2)[:, None] if axis == 0 else (places**2)[None, :]
    return distance <= _START


@dataclass(frozen=True)
class ColorMixture:
    """A mixture of K Gaussians of colours.

    mean: `(K, 3)`. root: `(K, 3, 3)`, lower triangular square roots of the covariances. weight:
    `(K,)`, sums to 1.
    """

    mean: Tensor
    root: Tensor
    weight: Tensor

    @classmethod
    def fitted(cls, colors: Tensor, *, count: int = COLORS) -> ColorMixture:
        """To colours `(N, 3)`, N >= 1, by expectation and maximisation; at most `count` Gaussians.

        It begins with equal parts of the colours, in order along their main direction.
        """
        count = max(1, min(count, len(colors) // _LEAST_PIXELS))
        centred = colors - colors.mean(0)
        main = torch.linalg.eigh(centred.T @ centred).eigenvectors[:, -1]
        rank = (centred @ main).argsort().argsort()
        belongs = torch.nn.functional.one_hot(rank * count // len(colors), count).float()
        mixture = cls._of(colors, belongs)
        for _ in range(_EM_STEPS):
            mixture = cls._of(colors, mixture._joint(colors).softmax(1))
        return mixture

    @classmethod
    def _of(cls, colors: Tensor, belongs: Tensor) -> ColorMixture:
        """`belongs`: `(N, K)` share of each colour in each Gaussian."""
        size = belongs.sum(0).clamp(min=1e-3)
        mean = belongs.T @ colors / size[:, None]
        apart = colors[:, None] - mean
        spread = torch.einsum("nk,nki,nkj->kij", belongs, apart, apart) / size[:, None, None]
        root = torch.linalg.cholesky(spread + _LEAST_VARIANCE * torch.eye(colors.shape[1]))
        return cls(mean, root, size / size.sum())

    def log_density(self, colors: Tensor) -> Tensor:
        """`(N,)`, up to a constant, of colours `(N, 3)`."""
        return self._joint(colors).logsumexp(1)

    def _joint(self, colors: Tensor) -> Tensor:
        """`(N, K)`: log of each Gaussian's part in the density of each colour."""
        apart = (colors[:, None] - self.mean).permute(1, 2, 0)
        steps = torch.linalg.solve_triangular(self.root, apart, upper=False)
        size = self.root.diagonal(dim1=1, dim2=2).log().sum(1)
        return (-steps.square().sum(1) / 2 + (self.weight.log() - size)[:, None]).T


@dataclass(frozen=True)
class Neighbours:
    """Pixels and their 8 neighbours, tied the more the more their colours are alike.

    inside: `(H, W)` bool; other pixels are 0. ties: weights per direction (down, across).
    """

    inside: Tensor
    ties: list[tuple[int, int, Tensor]]

    @classmethod
    def of(cls, lab: Tensor, inside: Tensor) -> Neighbours:
        """Of an image `(3, H, W)` Lab."""
        steps = ((0, 1), (1, 0), (1, 1), (1, -1))
        change = [
            (down, across, (lab[:, a[0], a[1]] - lab[:, b[0], b[1]]).square().sum(0))
            for down, across in steps
            for a, b in [_pair(inside.shape, down, across)]
        ]
        usual = change[0][2].mean() + change[1][2].mean() + 1e-6
        ties = [
            (down, across, _SMOOTH * (-square / usual).exp() / (down**2 + across**2) ** 0.5)
            for down, across, square in change
        ]
        return cls(inside, ties)

    def smooth(self, prior: Tensor) -> Tensor:
        """The labels `(H, W)` nearest to `prior` in [0, 1] and to their neighbours."""
        trust = (2 * prior - 1).abs() + _UNSURE
        x = prior * self.inside
        rest = trust * prior * self.inside - self._system(x, trust)
        way, size = rest, float(rest.square().sum())
        for _ in range(_STEPS):
            if size < 1e-8:
                break
            image = self._system(way, trust)
            length = size / float((way * image).sum())
            x, rest = x + length * way, rest - length * image
            before, size = size, float(rest.square().sum())
            way = rest + size / before * way
        return x

    def _system(self, x: Tensor, trust: Tensor) -> Tensor:
        """What the linear system makes of labels that are 0 outside."""
        result = trust * x
        for a, b, tie in self._pairs():
            pull = tie * (x[a] - x[b])
            result[a] += pull
            result[b] -= pull
        return result * self.inside

    def _pairs(self) -> Iterator[tuple[tuple[slice, slice], tuple[slice, slice], Tensor]]:
        for down, across, tie in self.ties:
            yield *_pair(self.inside.shape, down, across), tie


def _pair(
    size: torch.Size, down: int, across: int
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Every pixel that has a neighbour in a direction, and these neighbours."""
    height, width = size
    here = slice(0, height - down), slice(max(0, -across), width - max(0, across))
    there = slice(down, height), slice(max(0, across), width - max(0, -across))
    return here, there
