"""A network as an ONNX file: sRGB picture -> unit-length feature map, at any size."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from chromatrack import __version__
from chromatrack.atomic import OutputFile, check_output_files, replace_file
from chromatrack.errors import InputError, OutputError
from chromatrack.json_text import json_text
from chromatrack.model.encoder import Encoder, ResNetEncoder
from chromatrack.model.weights import load_encoder, model_path

META = "chromatrack."
"""Begins the names of what an exported file says of itself."""

CHECKED_SIZES = ((64, 64), (97, 155), (33, 41), (120, 214), (7, 9))
"""(height, width) of the pictures on which an exported file is compared with torch."""

LARGEST_DIFFERENCE = 1e-4
"""Of unit-length features, between an exported file and torch."""

_NEEDED = ("onnx", "onnxscript")


@dataclass(frozen=True)
class Exported:
    """What an exported file holds.

    channels, stride, offset: of its feature maps; cell i sits at pixel stride * i + offset.
    difference: the largest of a feature from torch's; None: onnxruntime is missing, not checked.
    """

    path: Path
    opset: int
    channels: int
    stride: int
    offset: float
    difference: float | None


def export_onnx(
    model: str | PathLike[str],
    output: str | PathLike[str],
    *,
    stride: Literal[4, 8] | None = None,
    opset: Literal[18, 19, 20, 21] = 18,
) -> Exported:
    """Write a model as an ONNX file, and compare it with torch by running it.

    It takes `image` `(1, 3, H, W)` float32, sRGB in [0, 1], of any height and width, and gives
    `features` `(1, C, h, w)` float32, unit length per cell, h = ceil(H / stride); Lab is made
    inside. What it is stands in its metadata.

    Args:
        model: a shipped name, or the path of a weights file.
        output: `.onnx` file; an earlier one of ours is replaced, once the new one is checked.
        stride: pixels per cell; None: as the tracker uses it.
        opset: version of ONNX's operators.

    Raises:
        InputError: a package is missing, the file is of others, or the network takes clips.
        WeightsError: no such model. OutputError: the file cannot be written, or differs from torch.
    """
    path, source = Path(output), model_path(model)
    _check(path, source)
    encoder = _encoder(fspath(model), stride)
    proto = _traced(encoder, opset)
    _describe(proto, encoder, fspath(model), source)
    content = proto.SerializeToString()
    difference = _difference(content, encoder)
    if difference is not None and not difference <= LARGEST_DIFFERENCE:
        raise OutputError(
            f"{path}: features of the exported network differ from torch's by {difference:.1e}, "
            f"expected at most {LARGEST_DIFFERENCE:.0e}; nothing is written: try another --opset"
        )
    replace_file(path, content)
    spec = encoder.spec
    return Exported(path, opset, spec.channels, spec.stride, spec.offset, difference)


def _check(path: Path, source: Path) -> None:
    """Refuse another suffix, missing packages, and files that are not ours."""
    if path.suffix != ".onnx":
        raise InputError(f"{path}: expected a name that ends in .onnx")
    for package in _NEEDED:
        if find_spec(package) is None:
            raise InputError(
                f"export-model: needs {package}; install it with pip install 'chromatrack[onnx]'"
            )
    check_output_files([OutputFile(path, "network of export-model", _is_ours)], reads=[source])


def _is_ours(path: Path) -> bool:
    import onnx
    from google.protobuf.message import DecodeError  # of onnx

    try:
        found = onnx.load(path, load_external_data=False)
    except (DecodeError, OSError):
        return False
    return any(entry.key.startswith(META) for entry in found.metadata_props)


def _encoder(model: str, stride: int | None) -> Encoder:
    encoder = load_encoder(model)
    if encoder.spec.clip_length != 1:
        raise InputError(
            f"{model}: expected a network of single pictures, got one that takes clips of "
            f"{encoder.spec.clip_length} frames; export another model"
        )
    if isinstance(encoder, ResNetEncoder):
        wanted = stride or encoder.config.track_stride
        return encoder if wanted == encoder.stride else encoder.at_stride(wanted)
    return encoder


def _traced(encoder: Encoder, opset: int) -> Any:  # noqa: ANN401  (onnx is optional)
    """The network as onnx.ModelProto, its height and width free."""
    free = torch.export.Dim.DYNAMIC  # pyright: ignore[reportAttributeAccessIssue]
    with torch.inference_mode(False), torch.no_grad(), _quiet():
        program = torch.onnx.export(
            encoder,
            (torch.rand(1, 3, 120, 204),),
            input_names=["image"],
            output_names=["features"],
            dynamic_shapes=({2: free, 3: free},),
            opset_version=opset,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    return program.model_proto


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what torch says of packages that this needs not."""
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)


def _describe(proto: Any, encoder: Encoder, model: str, source: Path) -> None:  # noqa: ANN401
    """Name sizes and say what it is; take out what tells of the machine it was made on."""
    import onnx

    graph, spec = proto.graph, encoder.spec
    for value, names in ((graph.input[0], "height width"), (graph.output[0], "rows columns")):
        for axis, name in zip((2, 3), names.split(), strict=True):
            value.type.tensor_type.shape.dim[axis].dim_param = name
    del graph.value_info[:]  # sizes by other names
    for part in (graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        del part.metadata_props[:]  # lines of source files
        part.doc_string = ""
    graph.name, proto.doc_string = "chromatrack", "sRGB in [0, 1] to unit-length features"
    proto.producer_name, proto.producer_version = "chromatrack", __version__
    shipped = source.stem if model == source.stem else source.name
    said = {
        "model": shipped,
        "version": __version__,
        "channels": spec.channels,
        "stride": spec.stride,
        "offset": spec.offset,
        "config": vars(encoder.config),
    }
    if shipped == source.stem:
        said["license"] = "Apache-2.0"
    texts = {f"{META}{k}": v if isinstance(v, str) else json_text(v) for k, v in said.items()}
    onnx.helper.set_model_props(proto, texts)
    onnx.checker.check_model(proto)


def _difference(content: bytes, encoder: Encoder) -> float | None:
    """The largest difference from torch's features over pictures of several sizes."""
    if find_spec("onnxruntime") is None:
        warnings.warn(
            "the exported file was not run, as onnxruntime is missing; install it with pip "
            "install 'chromatrack[onnx]' and export again to have it checked",
            stacklevel=3,
        )
        return None
    import onnxruntime  # pyright: ignore[reportMissingImports]

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    maker, most = torch.Generator().manual_seed(0), 0.0
    for size in CHECKED_SIZES:
        image = torch.rand(1, 3, *size, generator=maker)
        with torch.inference_mode():
            expected = encoder(image).numpy()
        found = np.asarray(session.run(None, {"image": image.numpy()})[0])
        if found.shape != expected.shape:
            return float("inf")
        most = max(most, float(np.abs(found - expected).max()))
    return most
