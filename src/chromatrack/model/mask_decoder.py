"""The mask decoder: a small network that says which pixels an object's copied label means.

Copied labels are soft and as coarse as the cells; the decoder looks at them beside the picture and
at what tells the object from its surroundings, and answers at 4 pixels. Learned without labels: see
`training.masks`.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from os import PathLike
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from chromatrack.atomic import replace_file
from chromatrack.errors import WeightsError
from chromatrack.model.encoder import normalize_lab
from chromatrack.model.narrow_decoder import NarrowDecoder
from chromatrack.model.tensor_files import check_numbers, differences, read_safetensors
from chromatrack.ops.coords import FeatureSpec, image_size
from chromatrack.ops.resample import CoarseImage, to_coarse

INPUTS = 10
"""Channels of `decoder_inputs`."""

LESS = 0.3
"""Share of what is taken away that is believed: in real clips it is often a thin part."""

_KEY = "chromatrack-mask-decoder"
_WIDTHS = (16, 24, 32)
_UNSURE = 0.02  # shares of the filtered label that the network starts from stay inside of this


def _filtered_logits(inputs: Tensor) -> Tensor:
    """What the filtered label says, as logits `(B, 1, h, w)`: the decoder corrects it."""
    return torch.logit(inputs[:, 1:2].clamp(_UNSURE, 1 - _UNSURE))


def _block(inputs: int, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width in (inputs, outputs):
        layers += [
            nn.Conv2d(width, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


def _folded(convolution: nn.Module, norm: nn.Module) -> nn.Conv2d:
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    assert isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
    return fuse_conv_bn_eval(convolution, norm)


def _blocks(modules: nn.ModuleList) -> list[nn.Sequential]:
    return [block for block in modules if isinstance(block, nn.Sequential)]


class MaskDecoder(nn.Module):
    """A U-Net of four levels that corrects the label that the guided filter made.

    100,000 weights; some 20,000 multiplications a pixel of its input (4 x 4 of the image). narrow:
    the same as one loop, to decode with on the CPU; `folded` makes it.
    """

    narrow: NarrowDecoder | None = None

    def __init__(self) -> None:
        super().__init__()
        first, second, third = _WIDTHS
        self.down = nn.ModuleList(
            [
                _block(INPUTS, first),
                _block(first, second),
                _block(second, third),
                _block(third, third),
            ]
        )
        self.up = nn.ModuleList(
            [
                _block(2 * third, third),
                _block(third + second, second),
                _block(second + first, first),
            ]
        )
        self.last = nn.Conv2d(first, 1, 1)
        for start in self.last.parameters():  # untrained, it says what the guided filter says
            nn.init.zeros_(start)

    def forward(self, inputs: Tensor) -> Tensor:
        """`(B, INPUTS, h, w)` -> logits `(B, 1, h, w)`."""
        levels, x = [], inputs
        for depth, block in enumerate(self.down):
            x = block(x if depth == 0 else F.max_pool2d(x, 2, ceil_mode=True))
            levels.append(x)
        for block, finer in zip(self.up, reversed(levels[:-1]), strict=True):
            larger = F.interpolate(x, size=finer.shape[-2:], mode="bilinear")
            x = block(torch.cat([finer, larger], 1))
        return _filtered_logits(inputs) + self.last(x)

    def folded(self) -> MaskDecoder:
        """A copy to decode with: batch norm within the convolutions, laid out for the CPU's.

        Same output within float rounding, in half the time.
        """
        twin = copy.deepcopy(self).eval()
        for blocks in (twin.down, twin.up):
            for number, block in enumerate(blocks):
                assert isinstance(block, nn.Sequential)
                conv1, norm1, relu1, conv2, norm2, relu2 = block
                first, second = _folded(conv1, norm1), _folded(conv2, norm2)
                blocks[number] = nn.Sequential(first, relu1, second, relu2)
        twin.narrow = NarrowDecoder(_blocks(twin.down), _blocks(twin.up), twin.last)
        return twin.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    @torch.inference_mode()
    def decode(
        self,
        image: Tensor,
        label: Tensor,
        others: Tensor,
        evidence: Tensor,
        spec: FeatureSpec,
        *,
        coarse: CoarseImage | None = None,
    ) -> Tensor:
        """An object's mask `(H / 4, W / 4)` in [0, 1]; arguments as of `decoder_inputs`."""
        inputs = decoder_inputs(image, label, others, evidence, spec, coarse=coarse)[None]
        start = _filtered_logits(inputs)
        if self.narrow is not None and self.narrow.can(inputs):
            change = self.narrow(inputs[0])
        else:
            change = self(inputs) - start
        return torch.sigmoid(start + change.clamp(min=0) + LESS * change.clamp(max=0))[0, 0]


def decoder_inputs(
    image: Tensor,
    label: Tensor,
    others: Tensor,
    evidence: Tensor,
    spec: FeatureSpec,
    *,
    coarse: CoarseImage | None = None,
) -> Tensor:
    """What the decoder sees of a picture and an object: `(INPUTS, H / 4, W / 4)`, rounded up.

    The copied label; the same, filtered along the picture; other labels; the evidence; Lab, and the
    spread of grey within 4 x 4 pixels.

    Args:
        image: `(3, H, W)` float32 sRGB in [0, 1].
        label: `(h, w)`; others: `(h, w)`, the largest of the other objects' labels.
        evidence: `(3, h, w)`, see `propagation.mask_evidence`.
        spec: where the cells are.
        coarse: the image by COARSE x COARSE pixels, where there is one already.
    """
    if coarse is None:
        coarse = CoarseImage.of(image)
    cells = torch.cat([torch.stack([label, others]), evidence])
    low = to_coarse(cells, size=image_size(image), spec=spec)
    ridge, margin, likeness = low[2:]
    return torch.cat(
        [
            low[:1],
            coarse.filtered(low[:1]),
            low[1:2],
            torch.stack([torch.tanh(ridge / 2), torch.tanh(4 * margin), likeness]),
            normalize_lab(coarse.lab[None])[0],
            8 * coarse.spread,
        ]
    )


def save_decoder(
    path: str | PathLike[str], decoder: MaskDecoder, *, notes: Mapping[str, str] | None = None
) -> None:
    """Write a decoder's weights, atomically; kernels as float16.

    Raises:
        OutputError: the file cannot be written.
    """
    from safetensors.torch import save

    state = {name: x.detach().cpu().contiguous() for name, x in decoder.state_dict().items()}
    halves = {name: x.half() if x.ndim > 1 else x for name, x in state.items()}
    replace_file(Path(path), save(halves, metadata={_KEY: "1", **(notes or {})}))


def load_decoder(path: str | PathLike[str]) -> MaskDecoder:
    """A decoder in evaluation mode, on the CPU, float32.

    Raises:
        WeightsError: no such file, not a decoder of ours, or weights that are not finite.
    """
    tensors, header = read_safetensors(path)
    decoder = MaskDecoder()
    wrong = differences(decoder.state_dict(), tensors)
    if _KEY not in header or wrong:
        raise WeightsError(
            f"{path}: expected the weights of a mask decoder; {wrong or 'got others'}"
        )
    check_numbers(tensors, path)
    decoder.load_state_dict(tensors)
    return decoder.float().eval()
