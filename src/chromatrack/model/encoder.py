"""Image -> feature map: the residual encoders and the paper's network."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from chromatrack.errors import InputError
from chromatrack.model.color_head import ColorHead
from chromatrack.model.config import PRESETS, EncoderConfig
from chromatrack.ops.color import rgb_to_lab
from chromatrack.ops.compiled import unit_cells
from chromatrack.ops.coords import FeatureSpec
from chromatrack.ops.patches import SYMMETRIC_CHANNELS, symmetric_patches


def normalize_lab(lab: Tensor) -> Tensor:
    """Lab -> network input, each channel about in [-1, 1]; 0 means L = 50 and no colour."""
    scale = lab.new_tensor([50.0, 50.0, 50.0]).reshape(3, 1, 1)
    shift = lab.new_tensor([50.0, 0.0, 0.0]).reshape(3, 1, 1)
    return (lab - shift).div_(scale)


def _normalized(lab: Tensor) -> Tensor:
    """`normalize_lab` in place."""
    scale = lab.new_tensor([50.0, 50.0, 50.0]).reshape(3, 1, 1)
    return lab.sub_(lab.new_tensor([50.0, 0.0, 0.0]).reshape(3, 1, 1)).div_(scale)


def unnormalize_lab(lab: Tensor) -> Tensor:
    """Undo `normalize_lab`: network input -> Lab."""
    scale = lab.new_tensor([50.0, 50.0, 50.0]).reshape(3, 1, 1)
    return lab * scale + lab.new_tensor([50.0, 0.0, 0.0]).reshape(3, 1, 1)


def _conv(
    inputs: int, outputs: int, size: int, *, stride: int = 1, dilation: int = 1, bias: bool = False
) -> nn.Conv2d:
    padding = dilation * (size // 2)
    return nn.Conv2d(inputs, outputs, size, stride, padding, dilation, bias=bias)


class ResidualBlock(nn.Module):
    """ResNet basic block: two 3x3 convolutions and a (projected) skip."""

    def __init__(self, inputs: int, outputs: int, *, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = _conv(inputs, outputs, 3, stride=stride)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = _conv(outputs, outputs, 3)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.skip: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.skip = nn.Sequential(
                _conv(inputs, outputs, 1, stride=stride), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y, skipped = self.bn2(self.conv2(y)), self.skip(x)
        is_own = not torch.is_grad_enabled() and y.dtype == skipped.dtype
        return F.relu(y.add_(skipped) if is_own else y + skipped, inplace=True)


def _layers(config: EncoderConfig, strides: tuple[int, ...]) -> nn.Sequential:
    layers, inputs = [], config.widths[0]
    for width, count, stride in zip(config.widths, config.blocks, strides, strict=True):
        for block in range(count):
            layers.append(ResidualBlock(inputs, width, stride=stride if block == 0 else 1))
            inputs = width
    return nn.Sequential(*layers)


class Encoder(nn.Module):
    """Base of all encoders: sRGB frames in, unit-length feature maps out.

    Any module with a `spec` and this `forward` can be used for tracking. decoder: weights file of
    the mask decoder that comes with it, if one does. precision: of products when it is used to
    track or colour (`model.placement`); None: as they come.
    """

    spec: FeatureSpec
    config: EncoderConfig
    decoder: Path | None = None
    precision: torch.dtype | None = None

    def forward(self, rgb: Tensor) -> Tensor:
        """Embed frames.

        Args:
            rgb: `(B, 3, H, W)` float, sRGB in [0, 1]; B a multiple of `spec.clip_length`,
                consecutive frames forming a clip.

        Returns:
            `(B, C, h, w)`, unit length per cell, h = ceil(H / stride), w = ceil(W / stride).
        """
        return self.embed(normalize_lab(rgb_to_lab(rgb)))

    def plain(self, rgb: Tensor) -> Tensor:
        """`forward` before it is brought to unit length: what plain inner products compare."""
        return self._projected(normalize_lab(rgb_to_lab(rgb)))

    def embed(self, lab: Tensor) -> Tensor:
        """Embed normalised Lab `(B, 3, H, W)`, unit length per cell."""
        return unit_cells(self._projected(lab))

    def _projected(self, lab: Tensor) -> Tensor:
        if self.precision is None:
            return self.project(lab)
        with torch.autocast(lab.device.type, dtype=self.precision):
            return self.project(lab).float()

    def project(self, lab: Tensor) -> Tensor:
        """`embed` before it is brought to unit length; training enters here, channels hidden."""
        raise InputError(f"{type(self).__name__} defines neither embed() nor project()")


def embed_frames(encoder: Callable[[Tensor], Tensor], rgb: Tensor, lab: Tensor) -> Tensor:
    """`encoder(rgb)`, where Lab `(B, 3, H, W)` of the frames is at hand: not made twice.

    Lab is used up: it may be changed in place.
    """
    if isinstance(encoder, Encoder) and type(encoder).forward is Encoder.forward:
        return encoder.embed(_normalized(lab))
    return encoder(rgb)


class PlainEncoder(Encoder):
    """Another encoder whose feature vectors are left as long as they are."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder, self.spec = encoder, encoder.spec

    def forward(self, rgb: Tensor) -> Tensor:
        return self.encoder.plain(rgb)


class MirroredEncoder(Encoder):
    """Another encoder whose features are averaged with those of the mirrored frame.

    What is learned from small crops leans to one side; the mean of both does not, so that the same
    thing looks alike from left and right. Costs twice the time of the encoder. Cells keep their
    places: the mirrored frame is padded so that its cells lie on those of the frame.
    """

    def __init__(self, encoder: Encoder) -> None:
        """Raises InputError for an encoder of clips, or whose first cell is not on pixel 0."""
        super().__init__()
        self.encoder, self.spec = encoder, encoder.spec
        if self.spec.clip_length != 1 or self.spec.offset != 0:
            raise InputError(
                "mirror: expected an encoder of single frames whose first cell is on pixel 0, got "
                f"{self.spec}; leave mirror out"
            )

    def forward(self, rgb: Tensor) -> Tensor:
        return mirror_averaged(self.encoder, rgb, stride=self.spec.stride)


def mirror_averaged(embed: Callable[[Tensor], Tensor], images: Tensor, *, stride: int) -> Tensor:
    """Features averaged with those of the mirrored images, cell by cell, unit length.

    Args:
        embed: `(B, 3, H, W)` -> `(B, C, h, w)`, unit length, cell i on pixel `stride * i`.
        images: `(B, 3, H, W)`; the mirrored ones are padded so that their cells lie on the same
            pixels.
    """
    straight = embed(images)
    missing = (1 - images.shape[-1]) % stride
    mirrored = embed(F.pad(images, (0, missing, 0, 0), mode="replicate").flip(-1)).flip(-1)
    return unit_cells(straight + mirrored[..., : straight.shape[-1]])


class ResNetEncoder(Encoder):
    """The default family: ResNet with Lab input up to layer 3, stride 8, and a linear head.

    As in CRW, layer 3 keeps layer 2's resolution. Cell i sits at pixel 8 i (odd kernels, padded).
    With `detail`, the head also sees layer 1 and the colours themselves, 20 pixels around the cell,
    because what deep layers smooth away still tells a thing from its surroundings.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.stem = _conv(3, config.widths[0], 7, stride=2)
        self.bn = nn.BatchNorm2d(config.widths[0])
        self.layers = _layers(config, (1, 2) + (1,) * (len(config.widths) - 2))
        self.detail: nn.Conv2d | None = None
        if config.detail:
            self.detail = _conv(config.widths[0] + 3, config.detail, 5, stride=2)
        self.head = _conv(config.widths[-1] + config.detail, config.embedding, 1, bias=True)
        self.colors: ColorHead | None = None
        if config.colors:
            self.colors = ColorHead(config.embedding, config.colors)
        self.stride = 8

    @property
    def spec(self) -> FeatureSpec:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Feature geometry at the current stride."""
        raw = SYMMETRIC_CHANNELS if self.config.raw_share else 0
        return FeatureSpec(self.config.embedding + raw, self.stride, 0.0)

    def embed(self, lab: Tensor) -> Tensor:
        """Embed normalised Lab `(B, 3, H, W)`: learned and raw features, together unit length.

        The cosine of two cells is the mean of their learned and their raw cosine, weighted by
        `raw_share`. Training sees the learned part alone (`project`).
        """
        learned, share = super().embed(lab), self.config.raw_share
        if not share:
            return learned
        raw = symmetric_patches(lab, stride=self.stride)
        return unit_cells(torch.cat([(1 - share) ** 0.5 * learned, share**0.5 * raw], 1))

    def project(self, lab: Tensor) -> Tensor:
        if self.colors is not None:  # or it would be asked for what it is shown
            lab = lab * lab.new_tensor([1.0, 0.0, 0.0]).reshape(3, 1, 1)
        x = _stem_in_strips(self.stem, lab) if self._can_strip(lab) else self._stem(lab)
        first = self.config.blocks[0]
        shallow = self.layers[:first](x)
        deep = self.layers[first:](shallow)
        if self.detail is not None:
            # 3x3 means 4 pixels apart, centred on pixel 4 i as layer 1 is.
            colors = F.avg_pool2d(lab, 3, 4, 1, ceil_mode=True, count_include_pad=False)
            colors = colors[..., : shallow.shape[-2], : shallow.shape[-1]]
            deep = torch.cat([deep, self.detail(torch.cat([shallow, colors], 1))], 1)
        return self.head(deep)

    def _stem(self, lab: Tensor) -> Tensor:
        return F.max_pool2d(F.relu(self.bn(self.stem(lab)), inplace=True), 3, 2, 1)

    def _can_strip(self, lab: Tensor) -> bool:
        """Whether the stem can be done in parts: a folded network, for use, on the CPU."""
        return (
            isinstance(self.bn, nn.Identity)
            and lab.device.type == "cpu"
            and not torch.is_grad_enabled()
            and not torch.compiler.is_compiling()
            and not torch.jit.is_tracing()  # pyright: ignore[reportPrivateImportUsage]
        )

    def at_stride(self, stride: int) -> ResNetEncoder:
        """A copy with a finer output grid and the same weights (a trous, no retraining).

        Source: Holschneider's algorithme a trous: the strided convolution becomes dense and what
        follows it is dilated, so cell (2i, 2j) at stride 4 equals cell (i, j) at stride 8.

        Raises:
            InputError: stride is not 8 or 4.
        """
        if stride not in (4, 8):
            raise InputError(f"stride: expected 8 or 4, got {stride}")
        finer = copy.deepcopy(self)
        if stride == self.stride:
            return finer
        if self.stride != 8:
            raise InputError("at_stride: expected an encoder at its own stride 8; load it again")
        first = self.config.blocks[0]
        for number, block in enumerate(finer.layers):
            if number >= first:
                _dilate(block, skip_first=number == first)
        if finer.detail is not None:
            finer.detail.stride = (1, 1)
        finer.stride = stride
        return finer


_STRIP = 15 << 18
"""Bytes of the stem's output that are made at a time: memory that is used again at once."""


def _stem_in_strips(stem: nn.Conv2d, lab: Tensor) -> Tensor:
    """`max_pool2d(relu(stem(lab)), 3, 2, 1)`, some rows at a time: `(B, C, H / 4, W / 4)`.

    The stem's output at half of the sides is the largest map of the network, and nothing but its
    maxima is wanted.
    """
    height, width = -(-lab.shape[-2] // 2), -(-lab.shape[-1] // 2)
    row_bytes = lab.shape[0] * stem.out_channels * width * lab.element_size()
    step = max(2, _STRIP // (2 * row_bytes) - 1)
    parts, rows = [], -(-height // 2)
    for first in range(0, rows, step):
        low, high = max(0, 2 * first - 2), min(height, 2 * (first + step))
        top, bottom = max(0, 3 - 2 * low), max(0, 2 * high + 2 - lab.shape[-2])
        part = lab[..., max(0, 2 * low - 3) : 2 * high + 2, :]
        seen = F.conv2d(F.pad(part, (3, 3, top, bottom)), stem.weight, stem.bias, 2)
        pooled = F.max_pool2d(F.relu(seen, inplace=True), 3, 2, 1)
        parts.append(pooled[..., min(first, 1) :, :])
    return torch.cat(parts, -2)


def color_head(encoder: Encoder) -> ColorHead | None:
    """The head of a network that predicts colours; None: it does not."""
    return encoder.colors if isinstance(encoder, ResNetEncoder) else None


def color_scores(encoder: Encoder, lab: Tensor) -> Tensor:
    """What a network thinks of each colour class, from L alone, before softmax.

    Args:
        lab: `(B, 3, H, W)` normalised Lab, of which a and b are not looked at.

    Returns:
        `(B, K, h, w)`.

    Raises:
        InputError: the network predicts no colours.
    """
    head = color_head(encoder)
    if head is None:
        raise InputError(
            "colours: expected a network that predicts them (chromatrack train --recipe single), "
            f"got a {type(encoder).__name__} without a colour head"
        )
    return head(encoder.project(lab))


def _dilate(block: nn.Module, *, skip_first: bool) -> None:
    """Make a block dense: stride 1, 3x3 kernels dilated by 2 (but the one that had the stride)."""
    first_seen = False
    for module in block.modules():
        if isinstance(module, nn.Conv2d):
            module.stride = (1, 1)
            if module.kernel_size == (3, 3):
                if first_seen or not skip_first:
                    module.dilation, module.padding = (2, 2), (2, 2)
                first_seen = True


class Vondrick2018Encoder(Encoder):
    """The paper's own network: grey ResNet-18 at stride 8, xy position, 3-D convolution head.

    Source: Vondrick et al. 2018 (values in their section 4): no pooling, 256 channels per frame,
    five blocks of Conv3d 1x3x3 (dilation 1, 2, 4, 8, 16) and Conv3d 3x1x1, then 1x1x1 -> 64.
    It sees clips of 4 frames; only L is read.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        width = config.widths[-1]
        self.stem = _conv(1, config.widths[0], 7, stride=2)
        self.bn = nn.BatchNorm2d(config.widths[0])
        self.layers = _layers(config, (1,) + (2,) * (len(config.widths) - 1))
        head: list[nn.Module] = []
        inputs = width + 2
        for d in (1, 2, 4, 8, 16):
            head += [
                nn.Conv3d(inputs, width, (1, 3, 3), 1, (0, d, d), (1, d, d), bias=False),
                nn.BatchNorm3d(width),
                nn.ReLU(inplace=True),
                nn.Conv3d(width, width, (3, 1, 1), 1, (1, 0, 0), bias=False),
                nn.BatchNorm3d(width),
                nn.ReLU(inplace=True),
            ]
            inputs = width
        self.head = nn.Sequential(*head, nn.Conv3d(width, config.embedding, 1))
        self.spec = FeatureSpec(config.embedding, 8, 0.0, clip_length=4)

    def project(self, lab: Tensor) -> Tensor:
        length = self.spec.clip_length
        if len(lab) % length:
            raise InputError(
                f"vondrick2018: expected a multiple of {length} frames (whole clips), "
                f"got {len(lab)}"
            )
        x = F.relu(self.bn(self.stem(lab[:, :1])), inplace=True)
        x = self.layers(x)
        B, _, h, w = x.shape
        y = torch.linspace(-1, 1, h, device=x.device, dtype=x.dtype).reshape(1, 1, h, 1)
        across = torch.linspace(-1, 1, w, device=x.device, dtype=x.dtype).reshape(1, 1, 1, w)
        x = torch.cat([x, across.expand(B, 1, h, w), y.expand(B, 1, h, w)], dim=1)
        clips = x.unflatten(0, (B // length, length)).transpose(1, 2)
        return self.head(clips).transpose(1, 2).flatten(0, 1)


def build_encoder(model: str | EncoderConfig) -> Encoder:
    """An untrained encoder from a preset's name or a configuration."""
    config = build_config(model)
    return ResNetEncoder(config) if config.kind == "resnet" else Vondrick2018Encoder(config)


def build_config(model: object) -> EncoderConfig:
    """The configuration that a preset's name or a configuration stands for.

    Raises:
        InputError: neither of them.
    """
    if isinstance(model, EncoderConfig):
        return model
    if not isinstance(model, str) or model not in PRESETS:
        raise InputError(f"model: expected one of {', '.join(PRESETS)}, got {model!r:.80}")
    return PRESETS[model]
