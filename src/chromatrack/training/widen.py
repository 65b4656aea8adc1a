"""Start a wider network from a trained narrower one, with what it knows kept."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from chromatrack.errors import InputError
from chromatrack.model.config import EncoderConfig
from chromatrack.model.encoder import Encoder, ResNetEncoder

NOISE = 0.02
"""Share of a weight's own spread added at random, so that doubled channels come to differ."""

DETAIL_GAIN = 3.0
"""Raw colours (patches of length about 2) beside a trained embedding (of length about 10)."""


def can_grow(narrow: EncoderConfig, wide: EncoderConfig) -> bool:
    """Whether the wide network holds the narrow one."""
    return (
        narrow.kind == wide.kind == "resnet"
        and narrow.blocks == wide.blocks
        and len(narrow.widths) == len(wide.widths)
        and all(a <= b for a, b in zip(narrow.widths, wide.widths, strict=True))
        and _steps(narrow) == _steps(wide)
        and narrow.embedding <= wide.embedding
        and narrow.detail == 0
    )


def _steps(config: EncoderConfig) -> list[bool]:
    """Between which layers the width changes: there, and only there, skips are projections."""
    return [a != b for a, b in zip(config.widths, config.widths[1:], strict=False)]


@torch.no_grad()
def grow(narrow: Encoder, wide: Encoder, *, seed: int) -> Encoder:
    """Fill a wider residual encoder with a trained one; `wide` is changed and returned.

    Source: Net2Net (Chen et al. 2016): a channel is repeated and its outgoing weights are shared
    among the repeats, so the output stays the same; a little noise lets the repeats part. New rows
    of the head show the detail branch, which starts as a rotation of raw colours.

    Raises:
        InputError: `wide` does not hold `narrow`.
    """
    if not (
        isinstance(narrow, ResNetEncoder)
        and isinstance(wide, ResNetEncoder)
        and can_grow(narrow.config, wide.config)
    ):
        raise InputError(
            "init: expected weights of the same network, or of a narrower residual one with as "
            f"many layers, got {narrow.config} for {wide.config}"
        )
    generator = torch.Generator().manual_seed(seed)
    sources = dict(narrow.named_modules())
    for name, module in wide.named_modules():
        if isinstance(module, nn.Conv2d) and name not in ("head", "detail"):
            source = sources.get(name)
            if isinstance(source, nn.Conv2d):
                module.weight.copy_(_repeat(source.weight, module.weight.shape, generator))
        elif isinstance(module, nn.BatchNorm2d):
            _repeat_norm(sources[name], module)
    _grow_head(narrow, wide, generator)
    return wide


def _repeat(weight: Tensor, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Repeat output and input channels in turn; inputs share the weight of the one they repeat."""
    outputs = torch.arange(shape[0]) % weight.shape[0]
    inputs = torch.arange(shape[1]) % weight.shape[1]
    shares = torch.bincount(inputs, minlength=weight.shape[1])[inputs]
    wider = weight[outputs][:, inputs] / shares.reshape(1, -1, 1, 1)
    if wider.shape == weight.shape:
        return wider
    return wider + NOISE * wider.std() * torch.randn(wider.shape, generator=generator)


def _repeat_norm(source: nn.Module, norm: nn.BatchNorm2d) -> None:
    assert isinstance(source, nn.BatchNorm2d)
    index = torch.arange(norm.num_features) % source.num_features
    for name in ("weight", "bias", "running_mean", "running_var"):
        getattr(norm, name).copy_(getattr(source, name)[index])


def _grow_head(narrow: ResNetEncoder, wide: ResNetEncoder, generator: torch.Generator) -> None:
    known, deep = narrow.config.embedding, wide.config.widths[-1]
    head = wide.head
    assert head.bias is not None and narrow.head.bias is not None
    spread = float(narrow.head.weight.std())
    fresh = torch.randn(head.weight.shape, generator=generator) * (NOISE * spread)
    head.weight.copy_(fresh)
    shape = (known, deep, 1, 1)
    head.weight[:known, :deep] = _repeat(narrow.head.weight, shape, generator)
    head.bias.zero_()
    head.bias[:known] = narrow.head.bias
    if wide.detail is None:
        return
    rows = min(head.weight.shape[0] - known, wide.config.detail)
    head.weight[known : known + rows, deep : deep + rows, 0, 0] = torch.eye(rows)
    colors = wide.detail.weight[:, -3:]
    random = torch.randn(colors[0].numel(), len(colors), generator=generator)
    rotation = torch.linalg.qr(random).Q.T[: len(colors)]
    wide.detail.weight.copy_(torch.randn(wide.detail.weight.shape, generator=generator))
    wide.detail.weight.mul_(NOISE * float(rotation.std()))
    wide.detail.weight[: len(rotation), -3:] = DETAIL_GAIN * rotation.reshape(-1, 3, 5, 5)
