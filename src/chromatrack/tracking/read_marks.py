"""What the user gives: masks painted on frames, and coloured reference pictures."""

from __future__ import annotations

from collections.abc import Mapping
from os import fspath
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from chromatrack.errors import InputError
from chromatrack.formats.masks import read_mask, read_mask_folder
from chromatrack.structures import Source

Masks = Source | np.ndarray | Mapping[int, np.ndarray]
ColourReference = Source | tuple[np.ndarray, int | None]


def read_marks(masks: Masks, *, start: int) -> dict[int, np.ndarray]:
    """Masks in any accepted form -> frame index -> `(H, W)` integer object ids."""
    if isinstance(masks, np.ndarray):
        return {start: masks}
    if isinstance(masks, Mapping):
        return {int(index): mask for index, mask in masks.items()}
    path = Path(masks)
    return read_mask_folder(path) if path.is_dir() else {start: read_mask(path)}


def read_reference(reference: ColourReference) -> tuple[np.ndarray, int | None]:
    """`"R.png@12"`, `"R.png"` or (rgb, index) -> rgb `(H, W, 3)` uint8 and frame index or None."""
    if isinstance(reference, tuple):
        return reference
    text, index = fspath(reference), None
    name, at, number = text.rpartition("@")
    if at and not Path(text).exists():
        if not number.isdecimal():
            raise InputError(
                f"reference {text!r}: expected PICTURE or PICTURE@FRAME with FRAME counted from 0"
            )
        text, index = name, int(number)
    try:
        with Image.open(text) as image:
            rgb = np.array(ImageOps.exif_transpose(image).convert("RGB"))
    except FileNotFoundError as error:
        raise InputError(f"reference {text!r}: no such file") from error
    except (OSError, UnidentifiedImageError) as error:
        raise InputError(f"reference {text!r}: expected a picture ({error})") from error
    return rgb, index
