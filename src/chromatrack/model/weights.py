"""Weights files: safetensors with the network's configuration in the header."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from chromatrack.atomic import replace_file
from chromatrack.errors import InputError, WeightsError
from chromatrack.json_text import json_text
from chromatrack.model.config import EncoderConfig
from chromatrack.model.encoder import Encoder, build_config, build_encoder
from chromatrack.model.tensor_files import (
    UNREADABLE,
    check_features,
    check_numbers,
    check_zip,
    differences,
    read_safetensors,
    reason,
)

HEADER_KEY = "chromatrack"
GREY = "grey/"  # prefix of the normalisation statistics of grey input in a weights file
MODELS = Path(__file__).parent / "pretrained"
DECODERS = MODELS / "decoders"  # mask decoders of shipped models, by the same names


def save_encoder(
    path: str | PathLike[str],
    encoder: Encoder,
    *,
    notes: Mapping[str, str] | None = None,
    grey_statistics: Mapping[str, Tensor] | None = None,
) -> None:
    """Write weights (safetensors, configuration and notes in the header), atomically.

    Kernels are stored as float16, half the size; biases and statistics, which are few, as float32.

    grey_statistics: the normalisation statistics of grey input, by name, beside those of colour.

    Raises:
        OutputError: the file cannot be written.
    """
    from safetensors.torch import save

    path = Path(path)
    header = {HEADER_KEY: json_text(asdict(encoder.config)), **(notes or {})}
    state = {name: _stored(x) for name, x in encoder.state_dict().items()}
    for name, value in (grey_statistics or {}).items():
        state[GREY + name] = _stored(value)
    replace_file(path, save(state, metadata=header))  # save_file would make it private


def _stored(x: Tensor) -> Tensor:
    x = x.detach().cpu().contiguous()
    return x.half() if x.ndim > 1 else x


def model_path(model: str | PathLike[str]) -> Path:
    """Where a model's weights are: a shipped name, or a path to a .safetensors file."""
    shipped = MODELS / f"{model}.safetensors"
    if shipped.is_file():
        return shipped
    path = Path(model)
    if path.is_file():
        return path
    if str(model) == "base":
        raise WeightsError(
            "model 'base': is shipped no longer; it was `small` with cells of 4 pixels: give "
            "--model small --stride 4, or --quality best"
        )
    names = ", ".join(shipped_models()) or "none"
    raise WeightsError(
        f"model {str(model)!r}: expected a shipped model ({names}) or the path of a .safetensors "
        "file; nothing is there"
    )


def decoder_path(decoder: str, model: str | PathLike[str]) -> Path | None:
    """Where the weights of a mask decoder are: a path, or "auto": those shipped with a model.

    A model's name means those shipped with that one. None where there are none, or "none" is asked
    for.
    """
    if decoder == "none":
        return None
    shipped = DECODERS / f"{model if decoder == 'auto' else decoder}.safetensors"
    if shipped.is_file():
        return shipped
    return None if decoder == "auto" else Path(decoder)


def is_model(model: str | PathLike[str]) -> bool:
    """Whether `model_path` finds a file."""
    return (MODELS / f"{model}.safetensors").is_file() or Path(model).is_file()


def shipped_models() -> list[str]:
    """Names of the models inside this installation."""
    return sorted(path.stem for path in MODELS.glob("*.safetensors"))


def read_header(path: str | PathLike[str]) -> dict[str, str]:
    """The text metadata of a weights file.

    Raises:
        WeightsError: not a safetensors file.
    """
    return read_safetensors(path)[1]


def load_encoder(model: str | PathLike[str] = "small", *, grey: bool = False) -> Encoder:
    """A trained encoder in evaluation mode, on the CPU, float32.

    Args:
        model: a shipped name (`small`) or the path of a weights file.
        grey: normalise as for frames of which L alone is shown, if the file says how.

    Raises:
        WeightsError: no such model, not ours, weights that do not fit or are not finite; says what.
    """
    path = model_path(model)
    tensors, header = read_safetensors(path)
    if HEADER_KEY not in header:
        raise WeightsError(
            f"{path}: expected Chromatrack weights (a {HEADER_KEY!r} entry in the header), "
            f"got a file with {sorted(header) or 'no metadata'}"
        )
    config = _parse_config(header[HEADER_KEY], path)
    stored = {_renamed(name): value for name, value in tensors.items()}
    state = {name: value for name, value in stored.items() if not name.startswith(GREY)}
    if grey:
        state |= {n.removeprefix(GREY): v for n, v in stored.items() if n.startswith(GREY)}
    encoder = _filled(config, state, path)
    encoder.decoder = decoder_path("auto", model)
    return encoder


def _filled(config: EncoderConfig, state: Mapping[str, Tensor], path: Path) -> Encoder:
    """An encoder in evaluation mode with weights, which are checked before memory is asked for."""
    with torch.device("meta"):
        expected = build_encoder(config).state_dict()
    if wrong := differences(expected, state):
        raise WeightsError(f"{path}: weights do not fit their configuration; {wrong}")
    check_numbers(state, path)
    encoder = build_encoder(config)
    encoder.load_state_dict(dict(state))
    encoder = encoder.float().eval()
    check_features(encoder.project, path, pictures=encoder.spec.clip_length)
    return encoder


def _renamed(name: str) -> str:
    """Today's name of an entry or tensor; early weights say colours."""
    first, dot, rest = name.partition(".")
    return f"colors{dot}{rest}" if first == "colours" else name


def _parse_config(text: str, path: Path) -> EncoderConfig:
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError):
        raw = None
    known = {field.name for field in fields(EncoderConfig)}
    if isinstance(raw, dict):
        raw = {_renamed(name): value for name, value in raw.items()}
    if not isinstance(raw, dict) or not set(raw) <= known:
        given = " ".join(text.split())[:200]
        raise WeightsError(f"{path}: expected a configuration with {sorted(known)}, got {given}")
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in raw.items()}
    try:
        return EncoderConfig(**values)
    except InputError as error:
        raise WeightsError(f"{path}: expected a configuration of our networks; {error}") from error


def load_checkpoint(path: str | PathLike[str]) -> Encoder:
    """The network of a checkpoint of `chromatrack train`: its running average if it has one.

    Normalisation is as in training; a finished run's model.safetensors has it measured.

    Raises:
        WeightsError: no such file, no checkpoint of ours, or a damaged one.
    """
    content = read_checkpoint(Path(path)).content
    try:
        config = build_config(json.loads(content["config"])["model"])
        state = content.get("average") or content["encoder"]
        return _filled(config, _weights_by_name(state), Path(path))
    except (InputError, *UNREADABLE) as error:
        said = reason(error).removeprefix(f"{path}: ")
        raise WeightsError(
            f"{path}: expected a checkpoint of chromatrack train ({said}); name public ResNet "
            f"checkpoints resnet:{path}"
        ) from error


def _weights_by_name(state: object) -> Mapping[str, Tensor]:
    """TypeError unless it is {name: tensor}."""
    if not isinstance(state, Mapping):
        raise TypeError(f"weights by name were expected, got {type(state).__name__}")
    if not all(isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items()):
        raise TypeError("weights by name were expected, got something else among them")
    return state


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint as read: the step it was written at, and its content by name."""

    path: Path
    content: Mapping[str, Any]

    @property
    def step(self) -> int:
        return self.content["step"]


def read_checkpoint(path: Path) -> Checkpoint:
    """Read one checkpoint; runs no code from it.

    Raises:
        WeightsError: no such file, not a checkpoint of ours, or a damaged one.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: expected a checkpoint of chromatrack train; nothing is there")
    try:
        if not zipfile.is_zipfile(path):  # the loader's answer to other files is any exception
            raise ValueError("not a file of torch.save, or the end is missing")
        check_zip(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(content, dict) or "step" not in content or "config" not in content:
            raise ValueError("no training state in it")
        if not isinstance(content["config"], str) or not _is_count(content["step"]):
            raise ValueError("its step or its configuration is of another kind")
    except UNREADABLE as error:
        raise WeightsError(
            f"{path}: expected a checkpoint of chromatrack train ({reason(error)}); name public "
            f"ResNet checkpoints resnet:{path}"
        ) from error
    return Checkpoint(path, content)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53
