"""Public ResNet checkpoints as encoders: torchvision, CRW, VFS and MoCo, told apart by their keys.

The network is built here from the shapes in the file, as evaluations of label propagation use it:
layer 3, whose stride is removed (and layer 4's), so that cells are 8 pixels; ImageNet's mean and
deviation. Files are read without running code from them.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from chromatrack.errors import InputError, WeightsError
from chromatrack.model.encoder import Encoder
from chromatrack.model.tensor_files import (
    UNREADABLE,
    check_features,
    check_numbers,
    read_safetensors,
    read_torch,
    reason,
)
from chromatrack.ops.coords import FeatureSpec

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""ImageNet's, of sRGB in [0, 1]; CRW's evaluation too uses them (its `data/vos.py`)."""

STRIDES = (1, 2, 1, 1)
"""Of the four layers, after a stem of stride 4: layers 3 and 4 keep layer 2's resolution."""

PREFIXES = (
    ("crw", ("encoder.model.", "module.encoder.model.")),
    ("moco", ("module.encoder_q.", "encoder_q.", "module.base_encoder.", "base_encoder.")),
    ("vfs", ("backbone.", "module.backbone.")),
    ("encoder", ("encoder.", "module.encoder.")),
    ("torchvision", ("", "module.", "model.")),
)
"""What stands before a ResNet's own names, by layout; the first that fits is taken."""

Padding = Literal["zeros", "reflect"]


class Block(nn.Module):
    """A basic block (two 3x3 convolutions) or a bottleneck (1x1, 3x3, 1x1), torchvision's names."""

    def __init__(self, kernels: Mapping[str, Tensor], *, stride: int, padding: Padding) -> None:
        """kernels: the block's convolutions by name, for their shapes."""
        super().__init__()
        self.depth = 3 if "conv3" in kernels else 2
        strided = "conv2" if self.depth == 3 else "conv1"
        for number in range(1, self.depth + 1):
            shape, name = kernels[f"conv{number}"].shape, f"conv{number}"
            here = stride if name == strided else 1
            self.add_module(name, _conv(shape, stride=here, padding=padding))
            self.add_module(f"bn{number}", nn.BatchNorm2d(shape[0]))
        self.downsample: nn.Sequential | None = None
        if "downsample.0" in kernels:
            shape = kernels["downsample.0"].shape
            self.downsample = nn.Sequential(_conv(shape, stride=stride), nn.BatchNorm2d(shape[0]))

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for number in range(1, self.depth + 1):
            y = getattr(self, f"bn{number}")(getattr(self, f"conv{number}")(y))
            y = F.relu(y) if number < self.depth else y
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


def _conv(shape: torch.Size, *, stride: int, padding: Padding = "zeros") -> nn.Conv2d:
    outputs, inputs, size, _ = shape
    return nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False, padding_mode=padding)


class PublicEncoder(Encoder):
    """A published network, fed frames less a mean, by a deviation."""

    mean: Tensor
    deviation: Tensor

    def __init__(
        self, mean: Sequence[float] = MEAN, deviation: Sequence[float] = DEVIATION
    ) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).reshape(3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(deviation).reshape(3, 1, 1), False)

    def normalized(self, rgb: Tensor) -> Tensor:
        """Frames as the network was trained on them."""
        return (rgb - self.mean) / self.deviation

    def forward(self, rgb: Tensor) -> Tensor:
        return F.normalize(self.plain(rgb), dim=1)


class PublicResNet(PublicEncoder):
    """A ResNet up to one of its layers; cell i sits at pixel 8 i (odd kernels, padded)."""

    def __init__(
        self, state: Mapping[str, Tensor], *, layer: int = 3, padding: Padding = "zeros"
    ) -> None:
        """state: weights by torchvision's names. padding: `reflect` in CRW's networks."""
        super().__init__()
        stem = state["conv1.weight"].shape
        self.conv1 = _conv(stem, stride=2, padding=padding)
        self.bn1 = nn.BatchNorm2d(stem[0])
        self.depth = layer
        channels = stem[0]
        for number in range(1, layer + 1):
            blocks = []
            while kernels := _kernels(state, f"layer{number}.{len(blocks)}."):
                stride = 1 if blocks else STRIDES[number - 1]
                blocks.append(Block(kernels, stride=stride, padding=padding))
                channels = kernels[f"conv{blocks[-1].depth}"].shape[0]
            self.add_module(f"layer{number}", nn.Sequential(*blocks))
        stride = 4 if layer == 1 else 8
        self.spec = FeatureSpec(channels, stride, 0.0)

    def plain(self, rgb: Tensor) -> Tensor:
        """Features `(B, C, h, w)` as the layer leaves them."""
        x = self.conv1(self.normalized(rgb))
        x = F.max_pool2d(F.relu(self.bn1(x)), 3, 2, 1)
        for number in range(1, self.depth + 1):
            x = getattr(self, f"layer{number}")(x)
        return x


def _kernels(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Convolution kernels of a block by name; none if there is no such block."""
    found = {
        name.removeprefix(prefix).removesuffix(".weight"): value
        for name, value in state.items()
        if name.startswith(prefix) and name.endswith(".weight") and value.ndim == 4
    }
    return found if {"conv1", "conv2"} <= set(found) else {}


def load_resnet(path: str | PathLike[str], *, layer: int | None = None) -> PublicResNet:
    """A ResNet with the weights of a public checkpoint, in evaluation mode.

    Args:
        path: a file of torch.save or safetensors: torchvision's names, or CRW's, VFS's or MoCo's.
        layer: which layer's output is read, 1 to 4; by default 3.

    Raises:
        WeightsError: it cannot be read safely, holds no ResNet, or lacks weights; says which.
        InputError: no such layer.
    """
    layer = 3 if layer is None else layer
    if layer not in (1, 2, 3, 4):
        raise InputError(f"layer: expected a layer of a ResNet, 1 to 4, got {layer}")
    layout, state = resnet_state(read_state(path), path)
    check_numbers(state, path)
    try:
        network = PublicResNet(
            state, layer=layer, padding="reflect" if layout == "crw" else "zeros"
        )
    except KeyError as missing:
        raise WeightsError(f"{path}: expected a ResNet; {missing} is missing") from missing
    except UNREADABLE as error:
        raise WeightsError(
            f"{path}: expected a ResNet, got weights of other shapes ({reason(error)})"
        ) from error
    _check_names(network, state, layer, path)
    used = {name: value for name, value in state.items() if name in network.state_dict()}
    network.load_state_dict(used, strict=False)
    network = network.float().eval()
    check_features(network.plain, path, pictures=1)
    return network


def _check_names(
    network: PublicResNet, state: Mapping[str, Tensor], layer: int, path: str | PathLike[str]
) -> None:
    """Every weight of the layers read is there, of its shape, and there is none besides."""
    expected = network.state_dict()
    read = ("conv1.", "bn1.", *(f"layer{number}." for number in range(1, layer + 1)))
    counters = {name for name in expected if name.endswith("num_batches_tracked")}
    missing = sorted(set(expected) - set(state) - counters)
    extra = sorted(name for name in state if name.startswith(read) and name not in expected)
    wrong = [n for n in expected if n in state and expected[n].shape != state[n].shape]
    empty = [f"layer{n}" for n in range(1, layer + 1) if not len(getattr(network, f"layer{n}"))]
    parts = [
        f"{what}: {', '.join(names[:5])}" + (f" and {len(names) - 5} more" * (len(names) > 5))
        for what, names in (
            ("missing", empty + missing),
            ("unknown", extra),
            ("of another shape", wrong),
        )
        if names
    ]
    if parts:
        raise WeightsError(
            f"{path}: expected a plain ResNet up to layer {layer}; {'; '.join(parts)}"
        )


def read_state(path: str | PathLike[str]) -> dict[str, Tensor]:
    """All tensors of a weights file by name, out of whatever it keeps them in; runs no code.

    Raises:
        WeightsError: no such file, or it cannot be read without running code from it.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"{path}: expected a file of weights; nothing is there")
    if path.suffix == ".safetensors":
        return read_safetensors(path)[0]
    return _tensors(read_torch(path, allowed=[argparse.Namespace]))  # CRW keeps its options so


def _tensors(content: Any) -> dict[str, Tensor]:  # noqa: ANN401  (whatever was in the file)
    """The tensors of `state_dict`, `model` or the like, or of the file itself."""
    for key in ("state_dict", "model", "model_state_dict"):
        inner = content.get(key) if isinstance(content, dict) else None
        if isinstance(inner, dict) and any(isinstance(x, Tensor) for x in inner.values()):
            content = inner
            break
    if not isinstance(content, dict):
        return {}
    return {str(name): x for name, x in content.items() if isinstance(x, Tensor)}


def resnet_state(
    state: Mapping[str, Tensor], path: str | PathLike[str]
) -> tuple[str, dict[str, Tensor]]:
    """A checkpoint's layout, and its ResNet's weights by torchvision's names.

    Raises:
        WeightsError: none of the layouts fits.
    """
    for layout, prefixes in PREFIXES:
        for prefix in prefixes:
            inside = {
                plain_name(name.removeprefix(prefix)): value
                for name, value in state.items()
                if name.startswith(prefix)
            }
            if {"conv1.weight", "layer1.0.conv1.weight"} <= set(inside):
                is_crw = layout == "crw" or any("selfsim_fc" in name for name in state)
                return "crw" if is_crw else layout, inside
    some = ", ".join(sorted(state)[:3]) or "no tensors"
    raise WeightsError(
        f"{path}: expected a ResNet by torchvision's names (conv1.weight, layer1.0.conv1.weight, "
        f"...), alone or as CRW, VFS or MoCo keep it, got {some}"
    )


def plain_name(name: str) -> str:
    """A weight's name in torchvision's terms: mmcv's `conv1.bn.bias` is `bn1.bias`.

    CRW's older files number a convolution behind its padding, `conv1.1.weight`.
    """
    name = re.sub(r"\bdownsample\.conv\.", "downsample.0.", name)
    name = re.sub(r"\bdownsample\.bn\.", "downsample.1.", name)
    name = re.sub(r"\bconv(\d)\.bn\.", r"bn\1.", name)
    return re.sub(r"\bconv(\d)\.(?:conv|1)\.weight", r"conv\1.weight", name)
