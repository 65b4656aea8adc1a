"""Normalisation statistics for what the encoder is shown.

Training hides channels at random, so its running statistics belong to a mixture that no one will
ever show the network again. They are measured once more at the end of training (on full colour, as
in tracking, and on L alone, as in colouring), and adapted to each clip from its first frame.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from chromatrack.model.encoder import Encoder, ResidualBlock, ResNetEncoder, Vondrick2018Encoder
from chromatrack.model.fast_convolution import make_convolutions_fast
from chromatrack.ops.coords import cell_count, image_size


@torch.no_grad()
def measure_statistics(
    encoder: Encoder, images: Iterable[Tensor], *, grey: bool
) -> dict[str, Tensor]:
    """Batch-norm means and variances, averaged over batches; the encoder is left as it is.

    Source: precise batch norm (Wu and Johnson 2021), on unhidden input.

    Args:
        images: batches `(B, 3, S, S)` float32 of normalised Lab.
        grey: show L alone.

    Returns:
        The statistics by their names in the encoder's state dict.
    """
    measured = copy.deepcopy(encoder).train()
    kind = nn.modules.batchnorm._BatchNorm
    norms = {name: m for name, m in measured.named_modules() if isinstance(m, kind)}
    for norm in norms.values():
        norm.reset_running_stats()
        norm.momentum = None  # the plain average of all batches
    for lab in images:
        shown = lab * lab.new_tensor([1.0, 0.0, 0.0]).reshape(3, 1, 1) if grey else lab
        measured.embed(shown.contiguous(memory_format=torch.channels_last))
    return {f"{n}.{key}": x for n, norm in norms.items() for key, x in norm.named_buffers()}


def adapt(encoder: Encoder, image: Tensor, *, share: float, grey: bool = False) -> Encoder:
    """A copy of the encoder whose normalisation leans towards one image; needs no labels.

    Source: test-time batch-norm adaptation (Schneider et al. 2020), from a single frame.

    Args:
        image: `(3, H, W)` float32 of normalised Lab; one of a single cell has no spread to lean to.
        share: weight of the image's own statistics, [0, 1]; the rest is the encoder's.
        grey: show L alone.
    """
    adapted = copy.deepcopy(encoder)
    if math.prod(cell_count(image_size(image), stride=encoder.spec.stride)) == 1:
        return adapted
    stored = adapted.state_dict()
    for name, own in measure_statistics(encoder, [image[None]], grey=grey).items():
        if own.is_floating_point():
            stored[name].lerp_(own, share)
    return adapted


def fold_batch_norm(encoder: Encoder) -> Encoder:
    """A copy for inference whose batch norms are folded into the convolutions before them.

    Same output within float rounding; a third fewer passes over memory. Encoders of other families
    are used as they are.
    """
    if not isinstance(encoder, ResNetEncoder | Vondrick2018Encoder):
        return encoder
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    folded = copy.deepcopy(encoder).eval()
    for module in list(folded.modules()):
        if isinstance(module, ResidualBlock):
            module.conv1 = fuse_conv_bn_eval(module.conv1, module.bn1)
            module.conv2 = fuse_conv_bn_eval(module.conv2, module.bn2)
            module.bn1, module.bn2 = nn.Identity(), nn.Identity()  # pyright: ignore[reportAttributeAccessIssue]
            if isinstance(module.skip, nn.Sequential):
                conv, norm = module.skip
                assert isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
                module.skip = fuse_conv_bn_eval(conv, norm)
    folded.stem = fuse_conv_bn_eval(folded.stem, folded.bn)
    folded.bn = nn.Identity()  # pyright: ignore[reportAttributeAccessIssue]
    make_convolutions_fast(folded)
    return folded


def channels_last(encoder: Encoder) -> Encoder:
    """The encoder with its weights laid out for the CPU's faster convolutions, in place."""
    return encoder.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
