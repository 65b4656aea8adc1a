"""DINO, DINOv2 and DINOv3 as encoders, through `transformers` (the extra `vit`); bring the weights.

Patch tokens are the feature map: those of the last block, normalised by the network's last layer,
as DINO's evaluation on DAVIS has them. A cell is the middle of its patch. Frames are padded to
whole patches, their borders repeated. Licences: DINO and DINOv2 Apache-2.0, DINOv3 its own.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from chromatrack.errors import InputError, WeightsError, shown
from chromatrack.evaluation.features.callables import padded
from chromatrack.evaluation.features.resnet import DEVIATION, MEAN, PublicEncoder
from chromatrack.model.tensor_files import (
    UNREADABLE,
    check_features,
    check_numbers,
    own_errors,
    reason,
)
from chromatrack.ops.coords import FeatureSpec, cell_count, centred_offset, image_size


class VitEncoder(PublicEncoder):
    """Patch tokens of a vision transformer of `transformers`; stride is its patch size."""

    def __init__(
        self,
        network: Any,  # noqa: ANN401  (transformers is optional)
        *,
        block: int | None = None,
        mean: Sequence[float] = MEAN,
        deviation: Sequence[float] = DEVIATION,
    ) -> None:
        """block: which block's tokens, counted from 1; None: the last.

        Raises:
            InputError: not a vision transformer, or it has no such block.
        """
        super().__init__(mean, deviation)
        config = network.config
        patch, width = getattr(config, "patch_size", None), getattr(config, "hidden_size", None)
        if not isinstance(patch, int) or not isinstance(width, int):
            raise InputError(
                f"vit: expected a vision transformer with patches of one size (vit, dinov2, "
                f"dinov3_vit), got {config.model_type}"
            )
        blocks = config.num_hidden_layers
        if not isinstance(blocks, int) or blocks < 1:
            raise InputError(f"vit: expected a network with blocks, got {blocks} of them")
        if block is not None and not 1 <= block <= blocks:
            raise InputError(f"layer: expected a block of the network, 1 to {blocks}, got {block}")
        self.network, self.block = network, block
        self.others = 1 + (getattr(config, "num_register_tokens", 0) or 0)
        self.spec = FeatureSpec(width, patch, centred_offset(patch))

    def plain(self, rgb: Tensor) -> Tensor:
        """Patch tokens `(B, C, h, w)`; the class token and registers are left out."""
        h, w = cell_count(image_size(rgb), stride=self.spec.stride)
        image = self.normalized(padded(rgb, self.spec.stride))
        more: dict[str, Any] = {}
        if self.network.config.model_type == "vit":
            more["interpolate_pos_encoding"] = True  # the others do so by themselves
        if self.block is None:
            tokens = self.network(image, **more).last_hidden_state
        else:
            states = self.network(image, output_hidden_states=True, **more).hidden_states
            norms = (getattr(self.network, name, None) for name in ("layernorm", "norm"))
            tokens = next(norm for norm in norms if norm is not None)(states[self.block])
        return tokens[:, self.others :].transpose(1, 2).unflatten(2, (h, w))

    def __deepcopy__(self, memo: dict[int, Any]) -> VitEncoder:
        return copy.copy(self)  # nothing changes the network, and it is large


def load_vit(name: str, *, block: int | None = None) -> VitEncoder:
    """A vision transformer by its folder, or by its id where `transformers` finds it.

    Raises:
        InputError: `transformers` is missing, or it is no such network. WeightsError: not found.
    """
    try:
        from transformers import AutoModel  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise InputError(
            "vit: needs transformers; install it with pip install 'chromatrack[vit]'"
        ) from error
    if not Path(name).is_dir() and name.count("/") != 1:
        raise WeightsError(
            f"vit:{name}: expected a folder with config.json and weights, or an id OWNER/NAME; no "
            "such folder is there"
        )
    try:
        network, loaded = AutoModel.from_pretrained(
            name, trust_remote_code=False, output_loading_info=True
        )
    except (*UNREADABLE, *own_errors("huggingface_hub.errors", "safetensors")) as error:
        raise WeightsError(
            f"vit:{name}: expected a folder with config.json and weights, or an id "
            f"({reason(error)})"
        ) from error
    lacking = [str(key) for key in loaded["missing_keys"] if not str(key).startswith("pooler")]
    if lacking or loaded["mismatched_keys"]:  # it would make such weights up
        some = ", ".join([*lacking, *(str(key[0]) for key in loaded["mismatched_keys"])][:3])
        raise WeightsError(
            f"vit:{name}: expected weights that fit config.json; these do not: {some}"
        )
    check_numbers(network.state_dict(), f"vit:{name}")
    mean, deviation = _normalisation(Path(name))
    encoder = VitEncoder(network.float().eval(), block=block, mean=mean, deviation=deviation)
    check_features(encoder.plain, f"vit:{name}", pictures=1)
    return encoder


def _normalisation(folder: Path) -> tuple[Sequence[float], Sequence[float]]:
    """Mean and deviation of a folder's preprocessor_config.json, else ImageNet's."""
    path = folder / "preprocessor_config.json"
    if not path.is_file():
        return MEAN, DEVIATION
    try:
        settings = json.loads(path.read_text("utf-8"))
        mean, deviation = settings.get("image_mean", MEAN), settings.get("image_std", DEVIATION)
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise WeightsError(f"{path}: expected a JSON object ({reason(error)})") from error
    if not _is_color(mean) or not _is_color(deviation) or min(deviation) <= 0:
        raise WeightsError(
            f"{path}: expected three numbers as image_mean and three above 0 as image_std, got "
            f"{shown(mean)} and {shown(deviation)}"
        )
    return mean, deviation


def _is_color(value: Any) -> bool:  # noqa: ANN401  (whatever JSON can hold)
    """Whether it is three finite numbers."""
    is_three = isinstance(value, list | tuple) and len(value) == 3
    return is_three and all(type(x) in (int, float) and abs(x) < 1e6 for x in value)
