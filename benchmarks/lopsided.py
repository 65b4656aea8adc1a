"""How unlike the features of a frame are to those of its mirrored frame, layer by layer.

    python benchmarks/lopsided.py DAVIS --models random small WEIGHTS... [--sequences ...]

Frames 0 and 20 of each sequence, at 241 lines and 425 columns (cells of the mirrored frame lie on
those of the frame). One table:

- stem, layer 1 to 3, head: cosine of a cell's features with those of the same cell of the mirrored
  frame, each map less its mean over the frame (what all cells share says nothing); mean over cells;
- border: of the head, the four outermost columns of cells alone;
- upside down: of the head, with the frame flipped from top to bottom instead;
- found: share of cells whose most similar cell of the mirrored frame is the same one;
- odd: of all kernels, the share of their squares that changes sign when they are mirrored. Kernels
  of 3 x 3 drawn at random have 1/3.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from chromatrack.evaluation.datasets.davis import read_davis
from chromatrack.model.batchnorm import measure_statistics
from chromatrack.model.encoder import ResNetEncoder, build_encoder, normalize_lab
from chromatrack.model.weights import load_encoder
from chromatrack.ops.color import rgb_to_lab

HEIGHT, WIDTH = 241, 425
FRAMES = 0, 20
EDGE = 4
NAMES = ("stem", "layer 1", "layer 2", "layer 3", "head", "border", "upside down", "found", "odd")


def frames(davis: Path, sequences: Sequence[str] | None) -> Tensor:
    """The frames looked at: `(N, 3, H, W)` normalised Lab."""
    found = []
    for sequence in read_davis(davis, sequences=sequences).sequences:
        for number in FRAMES:
            with Image.open(sequence.images[number]) as image:
                small = image.convert("RGB").resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
            found.append(torch.from_numpy(np.array(small)).movedim(-1, 0) / 255)
    return normalize_lab(rgb_to_lab(torch.stack(found)))


def network(name: str, lab: Tensor) -> ResNetEncoder:
    """A network by name or file; `random`: an untrained one, normalised on the frames."""
    if name != "random":
        encoder = load_encoder(name)
    else:
        torch.manual_seed(0)
        encoder = build_encoder("small")
        statistics = measure_statistics(encoder, [lab], grey=False)
        encoder.load_state_dict({**encoder.state_dict(), **statistics})
    if not isinstance(encoder, ResNetEncoder):
        raise SystemExit(f"{name}: expected a network of the shape of small or base")
    return encoder.eval()


def maps(encoder: ResNetEncoder, lab: Tensor) -> list[Tensor]:
    """Features after the stem, after each layer and after the head, less their mean per frame."""
    ends = np.cumsum(encoder.config.blocks) - 1
    found: list[Tensor] = []

    def keep(_: nn.Module, __: tuple[Tensor, ...], out: Tensor) -> None:
        found.append(out)

    parts: list[nn.Module] = [encoder.stem, *(encoder.layers[int(end)] for end in ends)]
    hooks = [part.register_forward_hook(keep) for part in parts]
    found.append(encoder.project(lab))
    for hook in hooks:
        hook.remove()
    return [x - x.mean((2, 3), keepdim=True) for x in found]


def same_cell(straight: Tensor, mirrored: Tensor) -> float:
    """Share of cells whose most similar one is the same."""
    a, b = (F.normalize(x, dim=1).flatten(2) for x in (straight, mirrored))
    best = (a.transpose(1, 2) @ b).argmax(2)
    return float((best == torch.arange(best.shape[1])).float().mean())


def odd_share(encoder: ResNetEncoder) -> float:
    """Of all kernels wider than one pixel."""
    wide = [p for p in encoder.parameters() if p.ndim == 4 and p.shape[-1] > 1]
    odd = sum(((p - p.flip(-1)) / 2).square().sum() for p in wide)
    return float(odd / sum(p.square().sum() for p in wide))


@torch.no_grad()
def row(encoder: ResNetEncoder, lab: Tensor) -> list[float]:
    """The figures of `NAMES`."""
    straight = maps(encoder, lab)
    mirrored = [x.flip(-1) for x in maps(encoder, lab.flip(-1))]
    upside = maps(encoder, lab.flip(-2))[-1].flip(-2)
    alike = [F.cosine_similarity(a, b, dim=1) for a, b in zip(straight, mirrored, strict=True)]
    edge = torch.cat([alike[-1][..., :EDGE], alike[-1][..., -EDGE:]], -1)
    flipped = F.cosine_similarity(straight[-1], upside, dim=1)
    means = [float(x.mean()) for x in (*alike, edge, flipped)]
    return [*means, same_cell(straight[-1], mirrored[-1]), odd_share(encoder)]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("davis", type=Path)
    parser.add_argument("--models", nargs="+", default=["random", "small"])
    parser.add_argument("--sequences", nargs="+", help="only these of it")
    options = parser.parse_args()
    lab = frames(options.davis, options.sequences)
    print("| network | " + " | ".join(NAMES) + " |")
    print("|---|" + "---:|" * len(NAMES))
    for name in options.models:
        values = " | ".join(f"{value:.2f}" for value in row(network(name, lab), lab))
        print(f"| {name} | {values} |")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
