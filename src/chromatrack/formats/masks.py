"""Object masks as image files: one PNG per frame, integer object ids, 0 is background.

Reads the DAVIS layout (palette PNG, folders of `00000.png`) and whatever a paint program saves
(grey, RGB, RGBA, 1-bit); writes palette PNG with the DAVIS colours.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from os import PathLike
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from chromatrack.atomic import replace_file
from chromatrack.errors import InputError
from chromatrack.formats.marked_source import MarkedSource
from chromatrack.formats.picture_names import NamedPicture

MAX_COLORS = 256
"""An RGB mask with more distinct colours than this is taken for a photograph and refused."""

LOSSY_FORMATS = frozenset({"JPEG", "MPO"})
"""Formats that smear ids at the borders; refused as masks."""


def _davis_palette() -> np.ndarray:
    """The PASCAL VOC / DAVIS colour table, (256, 3) uint8 RGB; entry 0 is black.

    Bit k of red, green and blue (from the top) is bit 3k, 3k + 1 and 3k + 2 of the index.
    """
    index = np.arange(256)
    palette = np.zeros((256, 3), dtype=np.uint8)
    for k in range(8):
        for channel in range(3):
            bit = (index >> (3 * k + channel)) & 1
            palette[:, channel] |= (bit << (7 - k)).astype(np.uint8)
    palette.setflags(write=False)
    return palette


DAVIS_PALETTE = _davis_palette()
"""(256, 3) uint8 RGB: the colour in which object id `i` is stored and drawn."""

_PALETTE_IDS: dict[int, int] = {
    (int(r) << 16) | (int(g) << 8) | int(b): i for i, (r, g, b) in enumerate(DAVIS_PALETTE)
}


def read_mask(path: str | PathLike[str]) -> np.ndarray:
    """Read one mask image: (H, W) int32 object ids, 0 is background.

    - palette PNG: the stored indices are the ids, whatever the colours;
    - grey (1 to 16 bits): the stored values are the ids, except that a mask of nothing but
      0 and 255 is a binary mask and becomes ids 0 and 1;
    - RGB / RGBA: every distinct colour is an object, black and fully transparent pixels are
      background. A colour of the DAVIS palette gets its index there; the others get the smallest
      free ids from 1, in ascending (R, G, B) order.

    Raises:
        InputError: no such file, not an image, a lossy format, or more than 256 colours.
    """
    packed, is_color = _read_raw(Path(path))
    return _colors_to_ids(packed, _color_table([packed])) if is_color else packed


def frame_file(index: int) -> str:
    """File name of a frame's mask or picture: `00012.png`."""
    return f"{index:05d}.png"


def read_mask_folder(
    path: str | PathLike[str], *, source: MarkedSource | None = None
) -> dict[int, np.ndarray]:
    """Read a folder of masks named by frame index, `00000.png`, `00012.png`, or as its pictures.

    Returns {frame index (0-based): (H, W) int32 ids}, ascending, all of one size; each file is read
    as by `read_mask`, and colours outside the DAVIS palette get the same id in every file. Hidden
    files and files that are not PNG are passed over.

    Args:
        source: the video they are for: says what a name means, and masks are brought to its size.

    Raises:
        InputError: no such folder, no PNG in it, a PNG whose name tells no frame, two names for
            one frame, masks of different sizes, or of another shape than the video.
    """
    folder = Path(path)
    files = _numbered_files(folder, source)
    raw = {index: _read_raw(file) for index, file in files.items()}
    first_index, (first, _) = next(iter(raw.items()))
    for index, (array, _) in raw.items():
        if array.shape != first.shape:
            raise InputError(
                f"{folder}: masks must have one size, but frame {first_index} is "
                f"{_size_text(first)} and frame {index} is {_size_text(array)}"
            )
    table = _color_table(packed for packed, is_color in raw.values() if is_color)
    masks = {
        index: _colors_to_ids(array, table) if is_color else array
        for index, (array, is_color) in raw.items()
    }
    if source is None:
        return masks
    return {index: source.fit_mask(mask, f"'{files[index]}'") for index, mask in masks.items()}


def write_mask(path: str | PathLike[str], mask: np.ndarray) -> None:
    """Write (H, W) integer object ids as a PNG; `read_mask` gives the same ids back.

    Ids up to 255 give an 8-bit palette PNG in the DAVIS colours, larger ones (up to 65535) a
    16-bit grey PNG. Missing folders are made; the file appears whole or not at all.

    Raises:
        InputError: not a 2-D integer (or bool) array, or ids outside 0..65535.
        OutputError: the file cannot be written.
    """
    target = Path(path)
    if target.suffix.lower() != ".png":
        raise InputError(f"a mask is written as .png, got '{target}'; change the suffix")
    ids = check_mask(mask)
    largest = int(ids.max(initial=0))
    if largest > 65535:
        raise InputError(f"a mask file holds ids 0 to 65535, got {largest}; renumber the objects")
    if largest > 255:
        image = Image.fromarray(ids.astype(np.uint16))
    else:
        image = Image.fromarray(ids.astype(np.uint8))
        image.putpalette(DAVIS_PALETTE.tobytes())
    encoded = io.BytesIO()
    image.save(encoded, format="PNG")
    replace_file(target, encoded.getvalue())


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


def _read_raw(path: Path) -> tuple[np.ndarray, bool]:
    """((H, W) int32 ids, False), or ((H, W) int32 packed 0xRRGGBB colours, True)."""
    if path.is_dir():
        raise InputError(f"expected a mask image, got the folder '{path}'")
    if not path.exists():
        raise InputError(f"no mask file '{path}'; check the path")
    try:
        with Image.open(path) as image:
            if image.format in LOSSY_FORMATS:
                raise InputError(
                    f"'{path}' is a {image.format}, which blurs object ids; save the mask as PNG"
                )
            image.load()
            is_grey = image.format == "PNG" and image.mode in {"L", "LA"}
            bits = _grey_bits(path) if is_grey else 8
            return _pixels(image, bits=bits, path=path)
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"cannot read the mask '{path}': {error}") from error


def _pixels(image: Image.Image, *, bits: int, path: Path) -> tuple[np.ndarray, bool]:
    """As `_read_raw`, for an open image with `bits` per grey sample."""
    if image.mode == "P":
        return np.asarray(image).astype(np.int32), False
    if image.mode == "1":
        return np.asarray(image).astype(np.int32), False
    if image.mode == "L" or image.mode.startswith("I"):
        return _grey_ids(np.asarray(image), bits=bits), False
    if image.mode == "LA":
        grey, alpha = np.moveaxis(np.asarray(image), -1, 0)
        return _grey_ids(np.where(alpha == 0, 0, grey), bits=bits), False
    if image.mode in {"RGB", "RGBA"}:
        return _pack(np.asarray(image), path=path), True
    raise InputError(
        f"'{path}': a mask is a palette, grey, RGB or RGBA image, got mode {image.mode}; "
        "save it as PNG"
    )


def _grey_bits(path: Path) -> int:
    """Bits per sample in a PNG header (byte 24 of the file)."""
    with path.open("rb") as file:
        return file.read(25)[24]


def _grey_ids(values: np.ndarray, *, bits: int) -> np.ndarray:
    """Ids of a grey image: undo the decoder's stretch of 2 and 4 bits; 0/255 means 0/1."""
    ids = values.astype(np.int32)
    if bits < 8:
        return ids // (255 // (2**bits - 1))
    return ids // 255 if ((values == 0) | (values == 255)).all() else ids


def _pack(pixels: np.ndarray, *, path: Path) -> np.ndarray:
    """(H, W) int32 0xRRGGBB of an (H, W, 3 or 4) uint8 image; transparent pixels are black."""
    wide = pixels.astype(np.int32)
    packed = (wide[..., 0] << 16) | (wide[..., 1] << 8) | wide[..., 2]
    if pixels.shape[2] == 4:
        packed[pixels[..., 3] == 0] = 0
    distinct = len(np.unique(packed))
    if distinct > MAX_COLORS:
        raise InputError(
            f"'{path}' has {distinct} colours, so it is no mask (one flat colour per object, black "
            "background); paint without smooth edges and save as PNG"
        )
    return packed


def _color_table(images: Iterable[np.ndarray]) -> dict[int, int]:
    """{packed colour: id} over all `images`, as `read_mask` describes; black is 0."""
    colors: set[int] = {0}
    for packed in images:
        colors.update(np.unique(packed).tolist())
    table = {color: _PALETTE_IDS[color] for color in colors if color in _PALETTE_IDS}
    taken = set(table.values())
    free = (number for number in range(1, len(colors) + 257) if number not in taken)
    return table | dict(zip(sorted(colors - table.keys()), free, strict=False))


def _colors_to_ids(packed: np.ndarray, table: dict[int, int]) -> np.ndarray:
    """(H, W) int32 ids of packed colours by `table`."""
    colors, inverse = np.unique(packed, return_inverse=True)
    ids = np.array([table[int(color)] for color in colors], dtype=np.int32)
    return ids[inverse.reshape(packed.shape)]


def _numbered_files(folder: Path, source: MarkedSource | None) -> dict[int, Path]:
    """{frame index: file} of the PNGs in `folder`, ascending."""
    if not folder.is_dir():
        raise InputError(f"no mask folder '{folder}'; expected a folder with 00000.png, ...")
    files = [
        file
        for file in sorted(folder.iterdir())
        if not file.name.startswith(".") and file.suffix.lower() == ".png"
    ]
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
