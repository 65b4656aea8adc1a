"""Small tensors that depend on a few numbers alone: made once for each device, not on every frame.

On a GPU, each one made anew would be moved there while the device waits.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import lru_cache

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
