"""Object masks as image files: one PNG per frame, integer object ids, 0 is background.

Reads the DAVIS layout (palette PNG, folders of `00000.png`) and whatever a paint program saves
(grey, RGB, RGBA, 1-bit); writes palette PNG with the DAVIS colours.
"""

from __future__ import annotations

import io
import warnings
import zlib
from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from chromatrack.atomic import replace_file
from chromatrack.errors import InputError
from chromatrack.formats.marked_source import MarkedSource
from chromatrack.formats.mask_pixels import (
    DAVIS_PALETTE,
    IDS_KEY,
    PALETTE_IDS,
    MaskPage,
    SizeCheck,
    read_pages,
)
from chromatrack.formats.picture_names import NamedPicture
from chromatrack.formats.soft_edges import distinct_values, mapped
from chromatrack.structures import Color

_OTHER_MASKS = frozenset({".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".gif"})
"""Suffixes of masks in a folder without any PNG."""


def read_mask(path: str | PathLike[str], *, fits: SizeCheck | None = None) -> np.ndarray:
    """Read one mask image: (H, W) int32 object ids, 0 is background.

    - palette PNG: the stored indices are the ids, whatever the colours;
    - grey (1 to 16 bits): the stored values are the ids, except that a mask of nothing but
      0 and 255 is a binary mask and becomes ids 0 and 1;
    - RGB / RGBA: every distinct colour is an object, black and fully transparent pixels are
      background. A colour of the DAVIS palette gets its index there; the others get the smallest
      free ids from 1, in ascending (R, G, B) order.

    Shades along smooth edges are no objects: they are joined to what they are most like, with a
    warning, and so is what a lossy format smears around one object.

    Args:
        fits: refuses a size, before pixels are decoded; see `MarkedSource.mask_size_check`.

    Raises:
        InputError: no such file, not an image, several pictures, ids in a lossy format, more than
            256 colours, or values that change little by little everywhere.
    """
    pages = read_pages(Path(path), fits=fits)
    if len(pages) > 1:
        raise InputError(
            f"'{path}' holds {len(pages)} pictures, expected one mask; save the one that is meant"
        )
    return _page_ids(Path(path), pages)[0]


def read_mask_pages(
    path: str | PathLike[str],
    *,
    fits: SizeCheck | None = None,
    source: MarkedSource | None = None,
) -> list[np.ndarray]:
    """Read all pictures of a TIFF, an animated PNG, WebP or GIF, or the one of another image.

    Each as by `read_mask`, all of one size; a colour has the same id in all of them.

    Args:
        fits: as in `read_mask`. source: keeps the colours of palettes.

    Raises:
        InputError: as `read_mask`, or pictures of different sizes.
    """
    pages = read_pages(Path(path), fits=fits)
    sizes = [_size_text(page.values) for page in pages]
    for number, size in enumerate(sizes):
        if size != sizes[0]:
            raise InputError(
                f"'{path}': its masks must have one size, but picture 0 is {sizes[0]} and picture "
                f"{number} is {size}"
            )
    if source is not None:
        keep_palettes(pages, source)
    return _page_ids(Path(path), pages)


def keep_palettes(pages: Iterable[MaskPage], source: MarkedSource) -> None:
    """Keep the colours of palettes for objects, where somebody chose them.

    Those of DAVIS are everybody's, and shades of grey are numbers, not colours. An object has that
    of the first picture with it.
    """
    for page in pages:
        drawn = {number: color for number, color in page.palette.items() if number}
        if all(len(set(color)) == 1 for color in drawn.values()):
            continue
        for number, color in drawn.items():
            is_usual = number < 256 and tuple(DAVIS_PALETTE[number].tolist()) == color
            if any(color) and not is_usual:  # black is the ground
                source.colors.setdefault(("object", number), color)


def frame_file(index: int) -> str:
    """File name of a frame's mask or picture: `00012.png`."""
    return f"{index:05d}.png"


def read_mask_folder(
    path: str | PathLike[str], *, source: MarkedSource | None = None
) -> dict[int, np.ndarray]:
    """Read a folder of masks named by frame index, `00000.png`, `00012.png`, or as its pictures.

    Returns {frame index (0-based): (H, W) int32 ids}, ascending, all of one size; each file is read
    as by `read_mask`, and colours outside the DAVIS palette get the same id in every file. Hidden
    files are passed over, and so are files that are not PNG, unless there is no PNG at all.

    Args:
        source: the video they are for: says what a name means, and masks are brought to its size.

    Raises:
        InputError: no such folder, no PNG in it, a PNG whose name tells no frame, two names for
            one frame, masks of different sizes, or of another shape than the video.
    """
    folder = Path(path)
    files = _numbered_files(folder, source)
    raw = {index: _only_page(file, source) for index, file in files.items()}
    first_index, first = next(iter(raw.items()))
    for index, page in raw.items():
        if page.values.shape != first.values.shape:
            raise InputError(
                f"{folder}: masks must have one size, but frame {first_index} is "
                f"{_size_text(first.values)} and frame {index} is {_size_text(page.values)}"
            )
    masks = dict(zip(raw, _page_ids(folder, list(raw.values())), strict=True))
    if source is None:
        return masks
    keep_palettes(raw.values(), source)
    return {index: source.fit_mask(mask, f"'{files[index]}'") for index, mask in masks.items()}


def write_mask(
    path: str | PathLike[str], mask: np.ndarray, *, colors: Mapping[int, Color] | None = None
) -> None:
    """Write (H, W) integer object ids as a PNG; `read_mask` gives the same ids back.

    Ids up to 255 give an 8-bit palette PNG in the DAVIS colours, larger ones (up to 65535) a
    16-bit grey PNG. Missing folders are made; the file appears whole or not at all.

    colors: of some ids, in place of the palette's.

    Raises:
        InputError: not a 2-D integer (or bool) array, or ids outside 0..65535.
        OutputError: the file cannot be written.
    """
    target = Path(path)
    if target.suffix.lower() != ".png":
        raise InputError(f"a mask is written as .png, got '{target}'; change the suffix")
    ids = check_mask(mask)
    largest, about = int(ids.max(initial=0)), PngInfo()
    if largest > 65535:
        raise InputError(f"a mask file holds ids 0 to 65535, got {largest}; renumber the objects")
    if largest > 255:
        image = Image.fromarray(ids.astype(np.uint16))
    else:
        image = Image.fromarray(ids.astype(np.uint8))
        image.putpalette(_palette_with(colors or {}).tobytes())
        about.add_text(IDS_KEY, "palette indices")
    encoded = io.BytesIO()
    about = about if colors else None
    image.save(encoded, format="PNG", pnginfo=about, compress_type=zlib.Z_RLE)  # as small, sooner
    replace_file(target, encoded.getvalue())


def _palette_with(colors: Mapping[int, Color]) -> np.ndarray:
    palette = DAVIS_PALETTE.copy()
    for number, color in colors.items():
        if 0 < number < len(palette):
            palette[number] = color
    return palette


def check_mask(mask: np.ndarray) -> np.ndarray:
    """Return `mask` as (H, W) int32 ids, or say why it is not one.

    Raises:
        InputError: not 2-D, empty, not integer or bool, or with negative or huge ids.
    """
    array = np.asarray(mask)
    if array.ndim != 2 or array.size == 0:
        raise InputError(f"a mask is a non-empty (H, W) array of ids, got shape {array.shape}")
    if array.dtype.kind not in "iub":
        raise InputError(
            f"a mask holds integer object ids, got dtype {array.dtype}; convert with .astype(int)"
        )
    low, high = int(array.min()), int(array.max())
    if low < 0 or high > np.iinfo(np.int32).max:
        raise InputError(f"object ids run from 0 (background) up, got values {low} to {high}")
    return array.astype(np.int32)


def _only_page(path: Path, source: MarkedSource | None) -> MaskPage:
    pages = read_pages(path, fits=None if source is None else source.mask_size_check(f"'{path}'"))
    if len(pages) > 1:
        raise InputError(
            f"'{path}' holds {len(pages)} pictures, expected one mask per file of a folder"
        )
    return pages[0]


def _page_ids(path: Path, pages: Sequence[MaskPage]) -> list[np.ndarray]:
    """Ids of pages that belong together; warns where smooth edges were cut."""
    if any(page.shades for page in pages):
        most = max(page.shades for page in pages)
        warnings.warn(
            f"'{path}' has smooth edges: {most} shades were joined to the objects they border on, "
            "each cut where half of it is there; paint masks without anti-aliasing",
            stacklevel=3,
        )
    table = _color_table(page.values for page in pages if page.is_color)
    return [_colors_to_ids(p.values, table) if p.is_color else p.values for p in pages]


def _color_table(images: Iterable[np.ndarray]) -> dict[int, int]:
    """{packed colour: id} over all `images`, as `read_mask` describes; black is 0."""
    colors: set[int] = {0}
    for packed in images:
        colors.update(distinct_values(packed).tolist())
    table = {color: PALETTE_IDS[color] for color in colors if color in PALETTE_IDS}
    taken = set(table.values())
    free = (number for number in range(1, len(colors) + 257) if number not in taken)
    return table | dict(zip(sorted(colors - table.keys()), free, strict=False))


def _colors_to_ids(packed: np.ndarray, table: dict[int, int]) -> np.ndarray:
    """(H, W) int32 ids of packed colours by `table`."""
    colors = distinct_values(packed)
    ids = np.array([table[int(color)] for color in colors], dtype=np.int32)
    return mapped(packed, colors, ids)


def _numbered_files(folder: Path, source: MarkedSource | None) -> dict[int, Path]:
    """{frame index: file} of the PNGs in `folder`, ascending."""
    if not folder.is_dir():
        raise InputError(f"no mask folder '{folder}'; expected a folder with 00000.png, ...")
    every = [file for file in sorted(folder.iterdir()) if not file.name.startswith(".")]
    files = [file for file in every if file.suffix.lower() == ".png"]
    files = files or [file for file in every if file.suffix.lower() in _OTHER_MASKS]
    if not files:
        raise InputError(f"no PNG masks in '{folder}'; expected names like 00000.png")
    if source is None:
        frames = [_number_of(file) for file in files]
    else:
        if source.pictures is None and (odd := [f for f in files if not source.counts(f.name)]):
            raise _not_numbered(odd[0])
        frames = source.frames([NamedPicture(f"'{folder}'", (file.name,)) for file in files])
    found: dict[int, Path] = {}
    for index, file in zip(frames, files, strict=True):
        if index in found:
            raise InputError(
                f"'{found[index].name}' and '{file.name}' in '{folder}' both name frame {index}; "
                "keep one"
            )
        found[index] = file
    return dict(sorted(found.items()))


def _number_of(file: Path) -> int:
    if not (file.stem.isascii() and file.stem.isdigit()):
        raise _not_numbered(file)
    return int(file.stem)


def _not_numbered(file: Path) -> InputError:
    return InputError(
        f"'{file}': masks in a folder are named by frame index (00000.png, 00012.png), "
        "rename or remove this one"
    )


def _size_text(array: np.ndarray) -> str:
    return f"{array.shape[1]}x{array.shape[0]}"
