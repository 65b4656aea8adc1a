"""What to measure, as the user names it -> an encoder.

small                        a shipped model
FILE.safetensors             weights of `chromatrack train`
RUN/best.pt                  a checkpoint of a run, `checkpoint-*.pt` too
raw-lab, random              the floors
identity, flow, raft, ...    baselines that need no features: see `baselines.baseline`
resnet:FILE                  a public ResNet checkpoint: torchvision, CRW, VFS, MoCo
vit:FOLDER                   DINO, DINOv2, DINOv3 (a folder, or an id)
FILE.onnx                    an ONNX file
callable:module:function     your own Python function or network; this runs its code
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from os import PathLike, fspath
from typing import Any

import torch

from chromatrack.errors import InputError, WeightsError
from chromatrack.evaluation.baselines.flow_tracker import FlowTracker
from chromatrack.evaluation.baselines.identity import IdentityTracker, RawLabEncoder, baseline
from chromatrack.evaluation.features.callables import CallableEncoder, load_callable
from chromatrack.model.encoder import Encoder, build_encoder
from chromatrack.model.weights import is_model, load_checkpoint, load_encoder, shipped_models
from chromatrack.tracking.config import Device, TrackConfig
from chromatrack.tracking.tracker import Tracker

CONSTANT = 1e-5
"""Largest difference of unit-length features that counts as none."""


def load_extractor(
    model: str | PathLike[str], *, layer: int | None = None, offset: float | None = None
) -> Encoder:
    """An encoder in evaluation mode, on the CPU.

    Args:
        model: see the table above.
        layer: of `resnet:` and `vit:`, which layer or block is read (3; the last).
        offset: of ONNX files and callables, the pixel of cell 0.

    Raises:
        InputError: what it needs is not installed, or `layer` or `offset` does not apply.
        WeightsError: it cannot be found or read.
    """
    name = fspath(model)
    kind, _, rest = name.partition(":")
    _check_options(name, layer=layer, offset=offset)
    match kind:
        case "raw-lab":
            return RawLabEncoder()
        case "random":
            return _random()
        case "resnet":
            from chromatrack.evaluation.features.resnet import load_resnet

            return load_resnet(rest, layer=layer)
        case "vit":
            from chromatrack.evaluation.features.vit import load_vit

            return load_vit(rest, block=layer)
        case "callable":
            return CallableEncoder(load_callable(rest), name=name, offset=offset)
    if name.endswith(".onnx"):
        from chromatrack.evaluation.features.onnx import load_onnx

        return load_onnx(name, offset=offset)
    if name.endswith((".pt", ".pth", ".tar")):
        return load_checkpoint(name)
    return load_encoder(name)


def _check_options(name: str, *, layer: int | None, offset: float | None) -> None:
    if layer is not None and not name.startswith(("resnet:", "vit:")):
        raise InputError(f"layer: expected a model resnet:FILE or vit:FOLDER, got {name}")
    if offset is not None and not name.startswith("callable:") and not name.endswith(".onnx"):
        raise InputError(
            f"offset: expected a model FILE.onnx or callable:module:function, got {name}, whose "
            "cells are known"
        )


def _random() -> Encoder:
    """An untrained `small`, always the same."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build_encoder("small").eval()


def name_of(model: object) -> str:
    """What a result calls a model: its name or path, else that of the function or class."""
    if isinstance(model, str | PathLike):
        return fspath(model)
    return getattr(model, "__name__", type(model).__name__)


def load_measured(
    model: Encoder | str | PathLike[str] | Callable[..., Any],
    *,
    config: TrackConfig,
    device: Device = "auto",
    layer: int | None = None,
    offset: float | None = None,
) -> Tracker | IdentityTracker | FlowTracker:
    """A tracker with the features of what a user has, or a baseline that needs none.

    Args:
        model: an encoder, a name or path, a network, or a function image -> feature map.
        layer, offset: as of `load_extractor`.

    Raises:
        InputError, WeightsError: as `load_extractor`; or it is nothing of these.
    """
    name = name_of(model)
    if isinstance(model, str | PathLike):
        _check_options(name, layer=layer, offset=offset)
        if (other := baseline(name, device=device)) is not None:
            return other
        if _is_own(name) and not is_model(name):
            raise WeightsError(
                f"model {name!r}: expected a shipped model ({', '.join(shipped_models())}), the "
                "path of a .safetensors file or of a checkpoint (.pt), resnet:FILE, vit:FOLDER, "
                "FILE.onnx, callable:MODULE:FUNCTION, raw-lab, random, identity, flow or "
                "flow-straight; nothing is there"
            )
        if _is_own(name):  # these colour with other statistics than they track with
            return Tracker.from_pretrained(name, device=device, config=config)
        encoder = load_extractor(name, layer=layer, offset=offset)
    elif isinstance(model, Encoder):
        encoder = model
    elif callable(model):
        encoder = CallableEncoder(model, offset=offset)
    else:
        raise InputError(
            f"model: expected a network, a function image -> feature map, or a name, got {name}"
        )
    return Tracker(encoder, device=device, config=config, model=name)


def warn_of_constant(tracker: Tracker) -> None:
    """Warn where an encoder's features of a noise picture are the same everywhere, or no numbers.

    Such an encoder gives scores all the same, of whatever is copied from anywhere. One that takes
    pictures of another size only is not looked at.
    """
    clip = tracker.spec.clip_length
    maker = torch.Generator().manual_seed(0)
    picture = torch.rand(1, 3, 224, 224, generator=maker).expand(clip, -1, -1, -1)
    try:
        with torch.inference_mode():
            features = tracker.encoder(picture.to(tracker.device)).flatten(2)
    except (InputError, RuntimeError, ValueError):
        return
    if not bool(torch.isfinite(features).all()):
        warnings.warn(f"model: the features of {tracker.model} hold NaN or infinity", stacklevel=3)
    elif float((features - features[..., :1]).abs().max()) < CONSTANT:
        warnings.warn(
            f"model: the features of {tracker.model} are the same at every place of a picture, so "
            "nothing can be found by them; check what it returns",
            stacklevel=3,
        )


def _is_own(name: str) -> bool:
    """Whether a name can only be that of a shipped model or of a weights file of ours."""
    spelled = name.startswith(("resnet:", "vit:", "callable:")) or name in ("raw-lab", "random")
    return not spelled and not name.endswith((".onnx", ".pt", ".pth", ".tar"))
