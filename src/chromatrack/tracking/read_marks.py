"""What the user gives: masks painted on frames, and coloured reference pictures."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike, fspath
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from chromatrack.errors import InputError
from chromatrack.formats.masks import read_mask, read_mask_folder

Source = str | PathLike[str]
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


def fit_picture(rgb: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Scale and centre-crop a picture to `size`, so that all references share the frame's cells."""
    if rgb.shape[:2] == tuple(size):
        return rgb
    image = ImageOps.fit(Image.fromarray(rgb), (size[1], size[0]), Image.Resampling.BICUBIC)
    return np.array(image)


def shows_same(rgb: np.ndarray, frame: np.ndarray, *, least: float = 0.95) -> bool:
    """Whether a picture shows the very frame: correlation of 64x64 luminance thumbnails."""
    thumbs = [
        np.asarray(Image.fromarray(x).convert("L").resize((64, 64)), dtype=np.float64).ravel()
        for x in (rgb, frame)
    ]
    spread = [thumb.std() for thumb in thumbs]
    if min(spread) < 1e-6:
        return False
    a, b = (thumb - thumb.mean() for thumb in thumbs)
    return float((a * b).mean() / (spread[0] * spread[1])) >= least
