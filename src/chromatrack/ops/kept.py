"""What is made once and asked for again: small tensors of a few numbers, and what is read of a map.

On a GPU, a small tensor made anew would be moved there while the device waits.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from functools import lru_cache
from typing import TypeVar
from weakref import ref

import torch
from torch import Tensor


def kept(make: Callable[..., Tensor], *, most: int = 64) -> Callable[..., Tensor]:
    """`make(*numbers)` as `kept(make)(like, *numbers)`: in the type and on the device of `like`.

    What comes back is shared: it must not be changed in place. The last `most` are kept.
    """

    @lru_cache(most)
    def made(device: torch.device, dtype: torch.dtype, *numbers: Hashable) -> Tensor:
        with torch.inference_mode(False):  # fit for training, too
            return make(*numbers).to(dtype).to(device)  # not every device has the type it comes in

    def like(tensor: Tensor, *numbers: Hashable) -> Tensor:
        if torch.compiler.is_compiling():  # a traced tensor is none that could be kept
            return make(*numbers).to(tensor.dtype).to(tensor.device)
        return made(tensor.device, tensor.dtype, *numbers)

    return like


Made = TypeVar("Made")


def kept_of(make: Callable[[Tensor], Made], *, most: int = 8) -> Callable[[Tensor], Made]:
    """`make(tensor)`, kept for the last `most` tensors of a thread as long as they live.

    A tensor is known again by identity, so it must not be changed in place.
    """
    known = threading.local()

    def of(tensor: Tensor) -> Made:
        if torch.compiler.is_compiling():
            return make(tensor)
        pairs: list[tuple[ref[Tensor], Made]] = getattr(known, "pairs", [])
        known.pairs = pairs = [pair for pair in pairs if pair[0]() is not None]
        for held, made in pairs:
            if held() is tensor:
                return made
        made = make(tensor)
        known.pairs = [*pairs[1 - most :], (ref(tensor), made)]
        return made

    return of
