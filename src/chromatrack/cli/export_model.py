"""`chromatrack export-model`: a network as an ONNX file, for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg


def export_model(
    model: Annotated[str, Positional, arg(metavar="MODEL")],
    /,
    *,
    output: Annotated[Path, arg(aliases=["-o"], metavar="FILE.onnx")],
    stride: Literal[4, 8] | None = None,
    opset: Literal[18, 19, 20, 21] = 18,
) -> str:
    """Write a model's network as an ONNX file that takes pictures of any size, and check it.

    Args:
        model: a shipped model's name, or the path of a weights file.
        output: the file; an earlier one of this command is replaced.
        stride: pixels per cell; None: as the tracker uses it (small: 8).
        opset: version of ONNX's operators.
    """
    from chromatrack.model.onnx_export import CHECKED_SIZES, export_onnx

    done = export_onnx(model, output, stride=stride, opset=opset)
    lines = [
        f"{done.path}: opset {done.opset}, image (1, 3, H, W), sRGB in [0, 1] -> features "
        f"(1, {done.channels}, h, w), one cell every {done.stride} px from px {done.offset:g} on"
    ]
    if done.difference is not None:
        lines.append(
            f"run on pictures of {len(CHECKED_SIZES)} sizes: differs from torch by at most "
            f"{done.difference:.1e}"
        )
    return "\n".join(lines)
