"""How a network runs on each kind of device: precision of products, and layout of weights."""

from __future__ import annotations

import copy
from typing import NamedTuple

import torch

from chromatrack.model.encoder import Encoder


class Placement(NamedTuple):
    """On one kind of device.

    precision: of convolutions and matrix products; sums and results stay float32. channels_last:
    weights and pictures with their channels next to each other.
    """

    precision: torch.dtype
    channels_last: bool


PLACEMENTS: dict[str, Placement] = {
    "cpu": Placement(torch.float32, True),
    "cuda": Placement(torch.float16, True),
    "mps": Placement(torch.float32, False),
}
"""By `torch.device.type`. CPUs are slower in half precision where they have no units for it."""

OTHERWISE = Placement(torch.float32, False)


def placement(device: torch.device) -> Placement:
    """How to run there."""
    return PLACEMENTS.get(device.type, OTHERWISE)


def placed(encoder: Encoder, device: torch.device) -> Encoder:
    """A network, for inference, as it runs best on a device; its weights are laid out in place."""
    how = placement(device)
    if how.channels_last and encoder.spec.clip_length == 1:
        encoder = encoder.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    if how.precision != torch.float32:
        encoder = copy.copy(encoder)
        encoder.precision = how.precision
    return encoder
