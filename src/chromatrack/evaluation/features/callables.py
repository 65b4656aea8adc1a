"""A function or network `image -> feature map` as an encoder; its cells are found by running it."""

from __future__ import annotations

import copy
import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from chromatrack.errors import InputError
from chromatrack.model.encoder import Encoder
from chromatrack.ops.coords import FeatureSpec, cell_count, centred_offset, image_size

Features = Callable[[Tensor], Tensor]
"""`(B, 3, H, W)` float32 sRGB in [0, 1] -> `(B, C, h, w)` float."""

SMALL, LARGE = 224, 448
"""Sides of the images on which the stride is found: multiples of 8, 14, 16 and 32."""


def find_spec(
    function: Features, *, name: str, offset: float | None = None, side: int | None = None
) -> FeatureSpec:
    """The cells of a feature extractor, from its feature maps of two images.

    Args:
        name: for messages.
        offset: pixel of cell 0; by default the middle of the first stride x stride pixels. (0 for
            convolutions with odd kernels that are padded all around.)
        side: the only side of square images it takes, if so.

    Raises:
        InputError: not feature maps, or no whole number of pixels per cell, the same both ways.
    """
    sizes = [_map_of(function, s, name) for s in ((SMALL, LARGE) if side is None else (side,))]
    grown = sizes[-1] if side is not None else (sizes[1][0], *(b - a for a, b in _sides(sizes)))
    pixels = LARGE - SMALL if side is None else side
    channels, rows, columns = grown
    if rows != columns or rows <= 0 or pixels % rows:
        seen = " and ".join(f"{h} x {w}" for _, h, w in sizes)
        raise InputError(
            f"{name}: expected a whole number of pixels per cell, the same in height and width, "
            f"got feature maps of {seen} cells for square images of {pixels} pixels"
            + (" more" if side is None else "")
        )
    stride = pixels // rows
    return FeatureSpec(channels, stride, centred_offset(stride) if offset is None else offset)


def _sides(sizes: list[tuple[int, int, int]]) -> list[tuple[int, int]]:
    return [(sizes[0][axis], sizes[1][axis]) for axis in (1, 2)]


def _map_of(function: Features, side: int, name: str) -> tuple[int, int, int]:
    """(C, h, w) of the features of a grey square image."""
    with torch.no_grad():
        found: Any = function(torch.full((1, 3, side, side), 0.5))
    if not isinstance(found, Tensor) or found.ndim != 4 or len(found) != 1:
        got = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise InputError(
            f"{name}: expected a function of an image (1, 3, H, W) that gives a feature map "
            f"(1, C, h, w), got {got} for 1 x 3 x {side} x {side}"
        )
    return found.shape[1], found.shape[2], found.shape[3]


class CallableEncoder(Encoder):
    """A user's own feature extractor; frames are padded to whole cells, unless told otherwise.

    function: see `Features`; a network is moved to the tracker's device and is otherwise not
    changed. It can be pickled if the function can.
    """

    def __init__(
        self,
        function: Features,
        *,
        name: str | None = None,
        offset: float | None = None,
        side: int | None = None,
        pad: bool = True,
    ) -> None:
        """offset, side: as of `find_spec`. pad: repeat a frame's borders up to whole cells."""
        super().__init__()
        self.name = name or getattr(function, "__name__", type(function).__name__)
        if isinstance(function, nn.Module):
            function.eval()
        self.function, self.side, self.pad = function, side, pad
        self.spec = find_spec(function, name=self.name, offset=offset, side=side)

    def plain(self, rgb: Tensor) -> Tensor:
        """Features `(B, C, h, w)` as the function gives them.

        Raises:
            InputError: frames of another size than it takes, or other cells than its stride has it.
        """
        size, stride = image_size(rgb), self.spec.stride
        if self.side is not None and size != (self.side, self.side):
            raise InputError(
                f"{self.name}: takes images of {self.side} x {self.side} only, got "
                f"{size[0]} x {size[1]}; use --size {self.side} --square True"
            )
        found = self.function(padded(rgb, stride) if self.pad else rgb)
        h, w = cell_count(size, stride=stride)
        if tuple(found.shape) != (len(rgb), self.spec.channels, h, w):
            raise InputError(
                f"{self.name}: expected {self.spec.channels} x {h} x {w} features for a frame of "
                f"{size[0]} x {size[1]} pixels, {stride} pixels a cell, got "
                f"{' x '.join(map(str, found.shape[1:]))}; every cell must be there"
            )
        return found.float()

    def forward(self, rgb: Tensor) -> Tensor:
        return F.normalize(self.plain(rgb), dim=1)

    def __deepcopy__(self, memo: dict[int, Any]) -> CallableEncoder:
        return copy.copy(self)  # nothing changes the user's network, and it may be large


def padded(rgb: Tensor, stride: int) -> Tensor:
    """`(B, 3, H, W)` with its last row and column repeated up to whole cells."""
    H, W = image_size(rgb)
    bottom, right = -H % stride, -W % stride
    return F.pad(rgb, (0, right, 0, bottom), mode="replicate") if bottom or right else rgb


def load_callable(name: str) -> Features:
    """The function `package.module:function`, imported as Python would from the working folder.

    This runs the module's code. Of a class, such as a network's, an instance is made.

    Raises:
        InputError: no such module or function.
    """
    module, colon, attribute = name.partition(":")
    if not (module and colon and attribute):
        raise InputError(
            f"callable:{name}: expected callable:package.module:function, got no function's name"
        )
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        thing: Any = importlib.import_module(module)
        for part in attribute.split("."):
            thing = getattr(thing, part)
    except (ImportError, AttributeError) as error:
        raise InputError(f"callable:{name}: cannot be imported ({error})") from error
    if isinstance(thing, type):
        thing = thing()
    if not callable(thing):
        raise InputError(
            f"callable:{name}: expected a function or a network, got {type(thing).__name__}"
        )
    function: Any = thing
    return function
