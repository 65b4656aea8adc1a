"""A feature extractor in an ONNX file as an encoder, through `onnxruntime` (the extra `onnx`).

The file takes `(1, 3, H, W)` float32 sRGB in [0, 1] and gives `(1, C, h, w)`: one input, of which
the first output is read. Height and width are free, or one fixed square.
"""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from chromatrack.errors import InputError, WeightsError
from chromatrack.evaluation.features.callables import CallableEncoder
from chromatrack.model.onnx_export import META
from chromatrack.model.tensor_files import UNREADABLE, own_errors, reason

STATE = "onnxruntime.capi.onnxruntime_pybind11_state"
"""Where onnxruntime keeps its exceptions."""


def load_onnx(path: str | PathLike[str], *, offset: float | None = None) -> CallableEncoder:
    """The file's network as an encoder, frame by frame on the CPU.

    offset: pixel of cell 0; by default what a file of `chromatrack export-model` says, else the
    middle of the first stride x stride pixels. Frames are padded to whole cells, but for such
    files, which take any size.

    Raises:
        InputError: onnxruntime is missing, or the file's input or output has another shape.
        WeightsError: not an ONNX file.
    """
    network = OnnxFile(path)
    own = network.own_offset()
    return CallableEncoder(
        network,
        name=str(path),
        offset=own if offset is None else offset,
        side=network.side,
        pad=own is None,
    )


class OnnxFile:
    """A network in a file, as a function of frames; opened again where it is unpickled."""

    def __init__(self, path: str | PathLike[str]) -> None:
        """See `load_onnx`."""
        self.path = Path(path)
        self.session: Any = _open(str(path))
        self.side = _fixed_side(self.session, str(path))

    def __call__(self, rgb: Tensor) -> Tensor:
        """`(B, 3, H, W)` float -> `(B, C, h, w)` as the file gives them."""
        name = self.session.get_inputs()[0].name
        images = np.ascontiguousarray(rgb.float().cpu().numpy())
        try:
            found = [self.session.run(None, {name: image[None]})[0] for image in images]
            features = torch.from_numpy(np.concatenate(found).astype(np.float32))
        except (*own_errors(STATE), *UNREADABLE) as error:
            raise WeightsError(
                f"{self.path}: cannot be run on pictures of {images.shape[3]}x{images.shape[2]} "
                f"({reason(error)})"
            ) from error
        if not bool(torch.isfinite(features).all()):
            raise WeightsError(f"{self.path}: expected finite features, got NaN or infinity")
        return features.to(rgb.device)

    def own_offset(self) -> float | None:
        """The offset that a file of `chromatrack export-model` states; None: it is not one."""
        stated = self.session.get_modelmeta().custom_metadata_map.get(f"{META}offset")
        try:
            return None if stated is None else float(stated)
        except ValueError as error:
            raise WeightsError(
                f"{self.path}: expected a number as {META}offset, got {stated!r:.40}; export it "
                "again"
            ) from error

    def __reduce__(self) -> tuple[type[OnnxFile], tuple[Path]]:
        return OnnxFile, (self.path,)


def _open(path: str) -> Any:  # noqa: ANN401  (onnxruntime is optional)
    try:
        import onnxruntime  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise InputError(
            "onnx: needs onnxruntime; install it with pip install 'chromatrack[onnx]'"
        ) from error
    if not Path(path).is_file():
        raise WeightsError(f"{path}: expected an ONNX file; nothing is there")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except (*own_errors(STATE), *UNREADABLE) as error:
        raise WeightsError(f"{path}: cannot be opened as an ONNX file ({reason(error)})") from error


def _fixed_side(session: Any, path: str) -> int | None:  # noqa: ANN401
    """The side of the only images the file takes; None where height and width are free."""
    inputs = session.get_inputs()
    shape = list(inputs[0].shape) if len(inputs) == 1 else []
    if len(shape) != 4 or (isinstance(shape[1], int) and shape[1] != 3):
        got = " and ".join(f"{x.name} {x.shape}" for x in inputs)
        raise InputError(f"{path}: expected one input (1, 3, H, W), got {got or 'none'}")
    if inputs[0].type != "tensor(float)":
        raise InputError(f"{path}: expected a float32 input, got {inputs[0].type}")
    height, width = shape[2:]
    if not isinstance(height, int) and not isinstance(width, int):
        return None
    if height != width:
        raise InputError(
            f"{path}: expected free height and width, or a square, got {height} x {width}; export "
            "it with dynamic axes"
        )
    return height
