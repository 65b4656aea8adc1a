"""Weights files: safetensors with the network's configuration in the header."""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from os import PathLike
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor

from chromatrack.atomic import replace_file
from chromatrack.errors import InputError, WeightsError
from chromatrack.model.config import EncoderConfig, EncoderKind
from chromatrack.model.encoder import Encoder, build_encoder

HEADER_KEY = "chromatrack"
GREY = "grey/"  # prefix of the normalisation statistics of grey input in a weights file
MODELS = Path(__file__).parent / "pretrained"


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
    header = {HEADER_KEY: json.dumps(asdict(encoder.config)), **(notes or {})}
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
    names = ", ".join(shipped_models()) or "none"
    raise WeightsError(
        f"model {str(model)!r}: expected a shipped model ({names}) or the path of a .safetensors "
        "file; nothing is there"
    )


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
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path}: expected a safetensors weights file ({error})") from error


def load_encoder(model: str | PathLike[str] = "small", *, grey: bool = False) -> Encoder:
    """A trained encoder in evaluation mode, on the CPU, float32.

    Args:
        model: a shipped name (`small`) or the path of a weights file.
        grey: normalise as for frames of which L alone is shown, if the file says how.

    Raises:
        WeightsError: no such model, not ours, or shapes differ; says what differs.
    """
    from safetensors.torch import load_file

    path = model_path(model)
    header = read_header(path)
    if HEADER_KEY not in header:
        raise WeightsError(
            f"{path}: expected Chromatrack weights (a {HEADER_KEY!r} entry in the header), "
            f"got a file with {sorted(header) or 'no metadata'}"
        )
    encoder = build_encoder(_parse_config(header[HEADER_KEY], path))
    stored = {_renamed(name): value for name, value in load_file(path).items()}
    state = {name: value for name, value in stored.items() if not name.startswith(GREY)}
    if grey:
        state |= {n.removeprefix(GREY): v for n, v in stored.items() if n.startswith(GREY)}
    _check_state(encoder.state_dict(), state, path)
    encoder.load_state_dict(state)
    return encoder.float().eval()


def _renamed(name: str) -> str:
    """Today's name of an entry or tensor; early weights say colours."""
    first, dot, rest = name.partition(".")
    return f"colors{dot}{rest}" if first == "colours" else name


def _parse_config(text: str, path: Path) -> EncoderConfig:
    try:
        raw = json.loads(text)
    except json.JSONDecodeError:
        raw = None
    if isinstance(raw, dict):
        raw = {_renamed(name): value for name, value in raw.items()}
    known = {field.name for field in fields(EncoderConfig)}
    kinds = get_args(EncoderKind)
    if not isinstance(raw, dict) or not set(raw) <= known or raw.get("kind", kinds[0]) not in kinds:
        raise WeightsError(
            f"{path}: expected a configuration with {sorted(known)} of kind {' or '.join(kinds)}, "
            f"got {text}"
        )
    raw = {key: tuple(v) if isinstance(v, list) else v for key, v in raw.items()}
    return replace(EncoderConfig(), **raw)


def _check_state(expected: dict[str, Tensor], got: dict[str, Tensor], path: Path) -> None:
    missing, extra = sorted(set(expected) - set(got)), sorted(set(got) - set(expected))
    wrong = [
        f"{name} {tuple(got[name].shape)} instead of {tuple(expected[name].shape)}"
        for name in expected
        if name in got and got[name].shape != expected[name].shape
    ]
    parts = [f"missing: {', '.join(missing[:5])}"] if missing else []
    parts += [f"unknown: {', '.join(extra[:5])}"] if extra else []
    parts += [f"shape: {', '.join(wrong[:5])}"] if wrong else []
    if parts:
        raise WeightsError(f"{path}: weights do not fit their configuration; {'; '.join(parts)}")


def load_checkpoint(path: str | PathLike[str]) -> Encoder:
    """The network of a checkpoint of `chromatrack train`: its running average if it has one.

    Normalisation is as in training; a finished run's model.safetensors has it measured.

    Raises:
        WeightsError: no such file, no checkpoint of ours, or a damaged one.
    """
    content = read_checkpoint(Path(path)).content
    try:
        encoder = build_encoder(json.loads(content["config"])["model"])
        encoder.load_state_dict(content.get("average") or content["encoder"])
    except (InputError, KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise WeightsError(
            f"{path}: expected a checkpoint of chromatrack train ({reason}); name public ResNet "
            f"checkpoints resnet:{path}"
        ) from error
    return encoder.eval()


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
        content = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(content, dict) or "step" not in content or "config" not in content:
            raise ValueError("no training state in it")
    except (
        OSError,
        RuntimeError,
        ValueError,
        EOFError,
        zipfile.BadZipFile,
        pickle.UnpicklingError,
    ) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(
            f"{path}: expected a checkpoint of chromatrack train ({reason}); name public ResNet "
            f"checkpoints resnet:{path}"
        ) from error
    return Checkpoint(path, content)
