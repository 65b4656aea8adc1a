"""The decoder as it learns: one step on a batch of samples, and all that a checkpoint holds."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from chromatrack.errors import InputError, TrainingError
from chromatrack.model.mask_decoder import MaskDecoder, load_decoder
from chromatrack.model.tensor_files import UNREADABLE, check_numbers, reason
from chromatrack.training.config import learning_rate
from chromatrack.training.masks.config import DecoderConfig, to_json
from chromatrack.training.masks.samples import SamplePool, Samples

_WARMUP, _DECAY = 0.02, 0.3  # shares of the schedule in which the rate rises, and falls
_WEIGHT_DECAY = 1e-2
_KEEPS = 0.99  # share of the averaged weights that a step leaves as they are, once there were many
_CLIP_NORM = 1.0
_BY_PIXEL = 0.5  # weight of the cross-entropy beside that of the overlap
_LEAST_SIZE = 30.0  # steps of the grid that the cross-entropy is divided by, at least
_SLACK = 5.0  # steps of the grid that both overlap and union are more
_PART = 0.75  # of a sample's side that is learned from at once, so that objects lie anywhere
_FLIP, _UPSIDE_DOWN = 0.5, 0.3


@dataclass
class DecoderRun:
    """A run in progress, `step` steps behind it.

    averaged: running average of the decoder's weights, which is what tracks and what is shipped.
    is_sound: False within an update.
    """

    decoder: MaskDecoder
    averaged: MaskDecoder
    optimizer: torch.optim.Optimizer
    device: torch.device
    step: int = 0
    seconds: float = 0.0
    is_sound: bool = True
    notes: dict[str, str] = field(default_factory=dict)

    @classmethod
    def begin(cls, config: DecoderConfig, device: torch.device) -> DecoderRun:
        """Nothing learned yet, or what `init` has.

        Raises:
            WeightsError: `init` is no decoder.
        """
        torch.manual_seed(config.seed)
        decoder = MaskDecoder() if config.init is None else load_decoder(config.init)
        decoder = decoder.to(device)
        averaged = copy.deepcopy(decoder).eval().requires_grad_(False)
        optimizer = torch.optim.AdamW(
            decoder.parameters(), lr=config.learning_rate, weight_decay=_WEIGHT_DECAY
        )
        return cls(decoder.train(), averaged, optimizer, device)

    def progress(self, config: DecoderConfig) -> float:
        """Share of the schedule that is behind it; 1 or more: nothing is left to do."""
        if config.minutes is not None:
            return self.seconds / (60 * config.minutes)
        return self.step / config.steps

    def learn(self, pool: SamplePool, config: DecoderConfig) -> float:
        """One step on samples drawn by the step's number; its loss.

        Raises:
            TrainingError: the loss or its gradient is not finite; the weights are as before.
        """
        rng = np.random.default_rng((config.seed, 1, self.step))
        inputs, truth = augmented(pool.draw(config.batch, rng), rng)
        inputs, truth = inputs.to(self.device), truth.to(self.device)
        self.optimizer.zero_grad(set_to_none=True)
        found = loss(self.decoder(inputs), truth, inputs[:, :1])
        found.backward()
        norm = nn.utils.clip_grad_norm_(self.decoder.parameters(), _CLIP_NORM)
        if not bool(torch.isfinite(norm)):
            raise TrainingError(
                f"the loss or its gradient is not finite at step {self.step}; the last checkpoint "
                "is intact: begin anew with a lower learning rate"
            )
        self.is_sound = False
        self._update(config)
        self.is_sound = True
        return float(found.detach())

    def _update(self, config: DecoderConfig) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(
                self.progress(config),
                schedule="wsd",
                peak=config.learning_rate,
                warmup=_WARMUP,
                decay=_DECAY,
            )
        self.optimizer.step()
        self.step += 1
        kept = min(_KEEPS, self.step / (self.step + 10))
        average(self.averaged, self.decoder, share=1 - kept)

    def content(self, config: DecoderConfig) -> dict[str, Any]:
        """All that a checkpoint holds: tensors and plain values."""
        return {
            "decoder": self.decoder.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "config": to_json(config),
            "digest": self.notes.get("digest", ""),
        }

    def notes_of(self, config: DecoderConfig, *, complete: bool) -> dict[str, str]:
        """What is said of the run in the header of its weights."""
        return self.notes | {
            "steps": str(self.step),
            "clips": str(config.clips_before(-(-self.step // config.round_steps))),
            "seconds": f"{self.seconds:.0f}",
            "complete": "yes" if complete else "no",
            "recipe": to_json(config),
        }

    def restore(self, content: Mapping[str, Any], path: Path) -> None:
        """Take everything from a checkpoint.

        Raises:
            InputError: it is not one of a mask decoder.
        """
        try:
            for name in ("decoder", "averaged"):
                check_numbers(content[name], path)
                getattr(self, name).load_state_dict(content[name])
            self.optimizer.load_state_dict(content["optimizer"])
            self.step, self.seconds = int(content["step"]), float(content["seconds"])
        except InputError:
            raise
        except UNREADABLE as error:
            raise InputError(
                f"{path}: expected a checkpoint of `chromatrack train-decoder` ({reason(error)})"
            ) from error


@torch.no_grad()
def average(averaged: nn.Module, network: nn.Module, *, share: float) -> None:
    """Move averaged weights and statistics towards a network's by a share of the way."""
    for kept, new in zip(
        averaged.state_dict().values(), network.state_dict().values(), strict=True
    ):
        kept.lerp_(new, share) if kept.is_floating_point() else kept.copy_(new)


def loss(logits: Tensor, truth: Tensor, label: Tensor) -> Tensor:
    """How wrong masks are: 1 - soft IoU, and cross-entropy by the size of the object; a mean.

    Args:
        logits: `(B, 1, h, w)`. truth: of the same shape, shares. label: the same, as copied.
    """
    wrong = F.binary_cross_entropy_with_logits(logits, truth, reduction="none").flatten(1).sum(1)
    size = torch.maximum(truth, label).flatten(1).sum(1).clamp(min=_LEAST_SIZE)
    masks = torch.sigmoid(logits)
    overlap = torch.minimum(masks, truth).flatten(1).sum(1) + _SLACK
    union = torch.maximum(masks, truth).flatten(1).sum(1) + _SLACK
    return (_BY_PIXEL * wrong / size + 1 - overlap / union).mean()


def augmented(samples: Samples, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Square parts of samples, turned over at random: inputs and truth, float32 `(N, ., s, s)`."""
    side = round(_PART * min(samples.inputs.shape[-2:]))
    both = torch.cat([samples.inputs, samples.truth], 1).float()
    parts = torch.stack([_turned(one, side, rng) for one in both])
    return parts[:, :-1], parts[:, -1:]


def _turned(sample: Tensor, side: int, rng: np.random.Generator) -> Tensor:
    top, left = (int(rng.integers(n - side + 1)) for n in sample.shape[-2:])
    part = sample[:, top : top + side, left : left + side]
    part = part.flip(-1) if rng.random() < _FLIP else part
    part = part.mT if rng.random() < _FLIP else part
    return part.flip(-2) if rng.random() < _UPSIDE_DOWN else part
