"""Files of tensors, read without running code from them, and checked before they are used."""

from __future__ import annotations

import importlib
import json
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from chromatrack.errors import WeightsError

UNREADABLE = (
    *(OSError, RuntimeError, ValueError, TypeError, EOFError, LookupError, AttributeError),
    *(ImportError, ArithmeticError, AssertionError, MemoryError, struct.error, zlib.error),
    *(zipfile.BadZipFile, pickle.PickleError),
)
"""What the loaders were seen to raise for damaged files."""

FLOATS = frozenset({torch.float16, torch.bfloat16, torch.float32, torch.float64})
WHOLE = frozenset({torch.int64, torch.int32})

StrPath = str | PathLike[str]


def reason(error: BaseException) -> str:
    """The first line of what went wrong, for a message."""
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__


def own_errors(*modules: str) -> tuple[type[Exception], ...]:
    """The exceptions that libraries define themselves, by their modules' names."""
    found = (vars(importlib.import_module(module)).values() for module in modules)
    things = (thing for values in found for thing in values)
    return tuple(x for x in things if isinstance(x, type) and issubclass(x, Exception))


def read_safetensors(path: StrPath) -> tuple[dict[str, Tensor], dict[str, str]]:
    """All tensors of a safetensors file by name, and the texts in its header.

    The library gets bytes, not the path: it opens no path that is not UTF-8, and makes a signal
    that arrives while it reads one look like damage.

    Raises:
        WeightsError: no such file, or a damaged one.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        content = _content(Path(path))
        return dict(sorted(load(content).items())), _texts(content)
    except (*UNREADABLE, SafetensorError) as error:
        raise WeightsError(
            f"{path}: expected a safetensors weights file ({reason(error)})"
        ) from error


def _content(path: Path) -> bytes:
    """A file that begins as safetensors do; others, such as long videos, are not read whole."""
    with path.open("rb") as file:
        start = file.read(9)
        if len(start) < 9 or start[8:] != b"{" or _header_size(start) > path.stat().st_size - 8:
            raise ValueError("its header is missing or cut off")
        return start + file.read()


def _header_size(content: bytes) -> int:
    return int.from_bytes(content[:8], "little")


def _texts(content: bytes) -> dict[str, str]:
    """The texts in the header of a safetensors file that was found to be whole."""
    header = json.loads(content[8 : 8 + _header_size(content)])
    return header.get("__metadata__") or {}


def read_torch(path: StrPath, *, allowed: Sequence[type] = ()) -> Any:  # noqa: ANN401
    """What `torch.save` put into a file; runs no code from it.

    allowed: plain classes that it may hold besides tensors and values.

    Raises:
        WeightsError: it holds other objects, or is damaged.
    """
    try:
        check_zip(Path(path))
        with torch.serialization.safe_globals(list(allowed)):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{path}: expected tensors and plain values, got Python objects, which would run code "
            "when read; if you trust the file, save its weights anew with torch.save(weights, FILE)"
        ) from error
    except UNREADABLE as error:
        raise WeightsError(f"{path}: cannot be read as weights ({reason(error)})") from error


def check_zip(path: Path) -> None:
    """ValueError where a file of torch.save is not as it was written, by its own check sums.

    The loader itself does not look at them. Files of before 2020 are no archives and have none.
    """
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        claimed = sum(entry.file_size for entry in archive.infolist())
        if claimed > path.stat().st_size:
            raise ValueError(f"it claims to hold {claimed} bytes, more than the file has")
        if (damaged := archive.testzip()) is not None:
            raise ValueError(f"{damaged} in it is damaged")


_LARGEST = 1e6
"""No weight of a network that works is larger: features would be infinite for some pictures."""


def check_numbers(state: Mapping[str, Tensor], path: StrPath) -> None:
    """Weights are plain arrays of finite numbers that take no more memory than the file.

    Raises:
        WeightsError: which one is not.
    """
    for name, value in state.items():
        if value.numel() == 0:
            raise WeightsError(f"{path}: expected weights, got {name} {tuple(value.shape)}, empty")
        if value.layout != torch.strided or value.dtype not in FLOATS | WHOLE:
            raise WeightsError(
                f"{path}: expected floating-point weights, got {name} as {value.layout} "
                f"{value.dtype}"
            )
        if value.untyped_storage().nbytes() < value.numel() * value.element_size():
            raise WeightsError(
                f"{path}: expected weights that are all in the file, got {name} "
                f"{tuple(value.shape)}, which repeats a few numbers"
            )
        if value.dtype in FLOATS and not bool(torch.isfinite(value).all()):
            raise WeightsError(
                f"{path}: expected finite weights, got NaN or infinity in {name}; the file is "
                "damaged, or its training went wrong"
            )
        if value.dtype in FLOATS and (most := float(value.abs().amax())) > _LARGEST:
            raise WeightsError(
                f"{path}: expected weights up to {_LARGEST:.0e}, got {most:.0e} in {name}; the "
                "file is damaged, or its training went wrong"
            )
        if name.endswith("running_var") and bool((value < 0).any()):
            raise WeightsError(
                f"{path}: expected variances of 0 or more, got less in {name}; the file is damaged"
            )


@torch.inference_mode()
def check_features(features: Callable[[Tensor], Tensor], path: StrPath, *, pictures: int) -> None:
    """A network can be run, gives finite features, and tells the places of a picture apart.

    Args:
        features: `(B, 3, H, W)` float in [-1, 1] -> `(B, C, h, w)`.
        pictures: how many it is shown at once, B.

    Raises:
        WeightsError: it cannot, or does not.
    """
    noise = torch.rand((pictures, 3, 64, 64), generator=torch.Generator().manual_seed(0))
    try:
        found = features(2 * noise - 1)
    except UNREADABLE as error:
        raise WeightsError(
            f"{path}: expected layers that fit each other ({reason(error)})"
        ) from error
    if not bool(torch.isfinite(found).all()):
        raise WeightsError(
            f"{path}: expected finite features, got NaN or infinity for a picture of noise; the "
            "file is damaged, or its training went wrong"
        )
    if float(found.float().flatten(2).std(2).max()) == 0:
        raise WeightsError(
            f"{path}: expected features that tell places apart, got the same everywhere in a "
            "picture of noise; the file is damaged, or its training went wrong"
        )


def differences(expected: Mapping[str, Tensor], got: Mapping[str, Tensor]) -> str:
    """What weights lack, have too much or have in another shape, in words; empty: nothing."""
    wrong = [
        f"{name} {tuple(got[name].shape)} instead of {tuple(expected[name].shape)}"
        for name in expected
        if name in got and got[name].shape != expected[name].shape
    ]
    parts = (
        ("missing", sorted(set(expected) - set(got))),
        ("unknown", sorted(set(got) - set(expected))),
        ("shape", wrong),
    )
    return "; ".join(f"{what}: {', '.join(names[:5])}" for what, names in parts if names)
